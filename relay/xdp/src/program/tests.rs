//! What the programs do with one frame, run by the kernel itself (`BPF_PROG_TEST_RUN`). Needs
//! privileges; without them each test says aloud that it was skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use super::forward::{self, PASS, TRANSMIT, Traits};
use super::observe;
use crate::packet::Family::{self, V4, V6};
use crate::system::{self, Hook};
use crate::table::{Counts, Flow, LEASE, Options, Share, Slot, Table};

/// Sent to another interface.
const REDIRECT: i32 = 4;

/// Who takes part, in either family.
#[derive(Clone, Copy, Debug)]
struct Cast {
    alice: SocketAddr,
    bob: SocketAddr,
    /// Where Alice sends, and where it leaves for Bob.
    to_us: SocketAddr,
    from_us: SocketAddr,
}

fn cast(family: Family) -> Cast {
    let [ours, ours_too, alice, bob] = match family {
        V4 => [
            Ipv4Addr::new(192, 0, 2, 1).into(),
            Ipv4Addr::new(192, 0, 2, 2).into(),
            Ipv4Addr::new(198, 51, 100, 7).into(),
            Ipv4Addr::new(203, 0, 113, 200).into(),
        ],
        V6 => [
            "2001:db8:1::1",
            "2001:db8:2::ffff:fffe",
            "2001:db8:a:b:c:d:e:f",
            "2001:db8:ffff::2:1",
        ]
        .map(|it| IpAddr::V6(it.parse::<Ipv6Addr>().unwrap())),
    };
    Cast {
        alice: (alice, 4_000).into(),
        bob: (bob, 60_001).into(),
        to_us: (ours, 30_000).into(),
        from_us: (ours_too, 39_999).into(),
    }
}

const SSRC: u32 = 0x0a0b_0c0d;
const PAYLOAD_TYPE: u8 = 8;
const FIRST: u16 = 65_530;
/// Above 16 bits.
const CYCLE: u64 = 1 << 16;
/// Of 8 kHz.
const TICK: u32 = 125_000 << 15;

const VIRTUAL: Traits = Traits {
    place: 0,
    is_virtual: true,
    packets_max: 0,
};

/// Ethernet addresses of what the kernel sends: Bob's, or what is on the way to him, and ours.
const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa];
const OUR_ETHERNET: [u8; 6] = [2, 0, 0, 0, 0, 0xaa];
const TOS: u8 = 184;
const TTL: u8 = 63;
const FLOW_LABEL: [u8; 3] = [0x0c, 0xaf, 0xfe];

/// A flow from Alice to Bob, and both programs.
struct World {
    family: Family,
    share: Share,
    table: Arc<Table>,
    slot: Slot,
    forward: OwnedFd,
    observe: OwnedFd,
    /// The observer of another interface.
    observe_elsewhere: OwnedFd,
}

impl World {
    /// `None`, said aloud: we may not.
    fn new(family: Family, traits: Traits) -> Option<Self> {
        let addresses = [V4, V6].map(cast);
        let addresses = addresses.iter().flat_map(|it| [it.to_us, it.from_us]);
        let options = Options {
            addresses: addresses.map(|it| it.ip()).collect(),
            ports: 30_000..=39_999,
            interfaces: Vec::new(),
            packets_max: 0,
        };
        let table = match Table::open(&options) {
            Ok(table) => table,
            Err(error) => {
                eprintln!("SKIPPED, this is not tested: {error}");
                return None;
            }
        };
        let load = |hook, program: Vec<u64>| match system::load("test", hook, &program) {
            Ok(program) => program,
            Err(failure) => panic!("{}\n{}", failure.error, failure.log),
        };
        let scene = table.scene();
        let xdp = Hook::Xdp { is_generic: false };
        let forward = load(xdp, forward::write(scene, traits).unwrap());
        let observe = |place| {
            let program = observe::write(scene, LEASE, place).unwrap();
            load(Hook::TcxEgress, program)
        };
        let (observe, observe_elsewhere) = (observe(0), observe(1));
        let mut share = Arc::clone(&table).share(0, 1);
        let slot = share.install(Instant::now(), &flow(family)).unwrap();
        table.pretend(0, OUR_ETHERNET, None);
        Some(Self {
            family,
            share,
            table,
            slot,
            forward,
            observe,
            observe_elsewhere,
        })
    }

    /// The same with a lease.
    fn leased(family: Family, traits: Traits) -> Option<Self> {
        let world = Self::new(family, traits)?;
        world.renew();
        Some(world)
    }

    /// The kernel sends a packet to Bob.
    fn renew(&self) {
        self.observed(&Frame::from_us(self.family));
    }

    fn observed(&self, frame: &Frame) {
        Self::observed_by(&self.observe, frame);
    }

    fn observed_by(observe: &OwnedFd, frame: &Frame) {
        let ran = system::run(observe.as_fd(), &frame.bytes, 1).unwrap();
        assert_eq!(ran.verdict.cast_signed(), -1, "it goes on in any case");
        assert_eq!(ran.frame, frame.bytes, "and as it was");
    }

    /// What becomes of a frame that comes in.
    fn come(&self, frame: &Frame) -> Option<Frame> {
        let (verdict, left) = self.come_anywhere(frame);
        assert!(verdict == PASS || verdict == TRANSMIT, "verdict {verdict}");
        left
    }

    fn come_anywhere(&self, frame: &Frame) -> (i32, Option<Frame>) {
        let ran = system::run(self.forward.as_fd(), &frame.bytes, 1).unwrap();
        let verdict = ran.verdict.cast_signed();
        if verdict == PASS {
            assert_eq!(ran.frame, frame.bytes, "it passes as it was");
            return (verdict, None);
        }
        let left = Frame {
            family: frame.family,
            bytes: ran.frame,
        };
        (verdict, Some(left))
    }

    fn counts(&self) -> Counts {
        self.share.read(self.slot)
    }
}

/// Runs a test with both families, where that is possible.
fn with_each(traits: Traits, test: impl Fn(World)) {
    for family in Family::ALL {
        if let Some(world) = World::leased(family, traits) {
            test(world);
        }
    }
}

fn flow(family: Family) -> Flow {
    let cast = cast(family);
    Flow {
        peer: cast.alice,
        arrives_at: cast.to_us,
        leaves_from: cast.from_us,
        to: cast.bob,
        ssrc: SSRC,
        payload_type: PAYLOAD_TYPE,
        tick: TICK,
        highest: CYCLE + u64::from(FIRST),
        seen: 1,
        jitter: 0,
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Frame {
    family: Family,
    bytes: Vec<u8>,
}

const PAYLOAD_LEN: usize = 160;

impl Frame {
    /// RTP: 160 bytes of payload.
    fn new(from: SocketAddr, to: SocketAddr) -> Self {
        Self::with_payload(from, to, PAYLOAD_LEN)
    }

    fn with_payload(from: SocketAddr, to: SocketAddr, payload_len: usize) -> Self {
        let mut bytes = vec![6; 12];
        match [from.ip(), to.ip()] {
            [IpAddr::V4(from), IpAddr::V4(to)] => {
                bytes.extend([8, 0, 0x45, 0, 0, 0, 0xbe, 0xef, 0x40, 0, 64, 17, 0, 0]);
                bytes.extend([from.octets(), to.octets()].concat());
            }
            [IpAddr::V6(from), IpAddr::V6(to)] => {
                bytes.extend([0x86, 0xdd, 0x60, 1, 2, 3, 0, 0, 17, 64]);
                bytes.extend([from.octets(), to.octets()].concat());
            }
            _ => panic!("a frame is of one family"),
        }
        bytes.extend(from.port().to_be_bytes());
        bytes.extend(to.port().to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([0x80, PAYLOAD_TYPE]);
        bytes.extend((FIRST.wrapping_add(1)).to_be_bytes());
        bytes.extend(160_u32.to_be_bytes());
        bytes.extend(SSRC.to_be_bytes());
        bytes.extend((0..payload_len).map(|it| it.to_le_bytes()[0]));
        let family = if from.is_ipv4() { V4 } else { V6 };
        let mut frame = Self { family, bytes };
        frame.set_lens();
        frame
    }

    fn to_us(family: Family) -> Self {
        let cast = cast(family);
        Self::new(cast.alice, cast.to_us).with_our_ethernet()
    }

    /// As the kernel sends it to Bob.
    fn from_us(family: Family) -> Self {
        Self::long_from_us(family, PAYLOAD_LEN)
    }

    fn long_from_us(family: Family, payload_len: usize) -> Self {
        let cast = cast(family);
        let mut frame = Self::with_payload(cast.from_us, cast.bob, payload_len);
        frame.bytes[..12].copy_from_slice(&ETHERNET);
        frame.mark();
        frame
    }

    /// Has it marked as what the kernel sends to Bob.
    fn mark(&mut self) {
        match self.family {
            V4 => (self.bytes[15], self.bytes[22]) = (TOS, TTL),
            V6 => {
                let [a, b, c] = FLOW_LABEL;
                let [d, e] = [0x60 | TOS >> 4, TOS << 4 | a];
                self.bytes[14..18].copy_from_slice(&[d, e, b, c]);
                self.bytes[21] = TTL;
            }
        }
        self.sum();
    }

    /// To where frames of ours come from.
    fn with_our_ethernet(mut self) -> Self {
        self.bytes[..6].copy_from_slice(&OUR_ETHERNET);
        self
    }

    fn numbered(family: Family, step: u16) -> Self {
        Self::to_us(family).number(step)
    }

    fn number(mut self, step: u16) -> Self {
        let number = FIRST.wrapping_add(step);
        let place = self.rtp() + 2;
        self.bytes[place..place + 2].copy_from_slice(&number.to_be_bytes());
        self.sum();
        self
    }

    /// The same with one byte changed, and sums that are right again.
    fn with(mut self, place: usize, byte: u8) -> Self {
        self.bytes[place] = byte;
        self.sum();
        self
    }

    /// The same, and the byte is in RTP.
    fn with_rtp(self, place: usize, byte: u8) -> Self {
        let place = self.rtp() + place;
        self.with(place, byte)
    }

    fn udp(&self) -> usize {
        match self.family {
            V4 => 34,
            V6 => 54,
        }
    }

    fn rtp(&self) -> usize {
        self.udp() + 8
    }

    /// The sum of UDP.
    fn udp_sum(&mut self) -> &mut [u8] {
        let place = self.udp() + 6;
        &mut self.bytes[place..place + 2]
    }

    fn set_lens(&mut self) {
        let udp = u16::try_from(self.bytes.len() - self.udp()).unwrap();
        let place = self.udp() + 4;
        self.bytes[place..place + 2].copy_from_slice(&udp.to_be_bytes());
        match self.family {
            V4 => self.bytes[16..18].copy_from_slice(&(udp + 20).to_be_bytes()),
            V6 => self.bytes[18..20].copy_from_slice(&udp.to_be_bytes()),
        }
        self.sum();
    }

    fn sum(&mut self) {
        if self.family == V4 {
            self.bytes[24..26].fill(0);
            let ip = !sum(&self.bytes[14..34], 0);
            self.bytes[24..26].copy_from_slice(&ip.to_be_bytes());
        }
        self.udp_sum().fill(0);
        let udp = match !self.sum_of_udp() {
            0 => 0xffff,
            udp => udp,
        };
        self.udp_sum().copy_from_slice(&udp.to_be_bytes());
    }

    /// Over the pseudo-header, UDP and what is in it.
    fn sum_of_udp(&self) -> u16 {
        sum(&self.bytes[self.addresses()..], self.pseudo_len())
    }

    /// That of the pseudo-header alone, which senders leave to hardware.
    fn half_a_sum(&self) -> u16 {
        let addresses = self.addresses()..self.udp();
        sum(&self.bytes[addresses], self.pseudo_len())
    }

    fn addresses(&self) -> usize {
        match self.family {
            V4 => 26,
            V6 => 22,
        }
    }

    fn pseudo_len(&self) -> u32 {
        17 + u32::try_from(self.bytes.len() - self.udp()).unwrap()
    }

    fn is_without_sum(&mut self) -> bool {
        *self.udp_sum() == [0, 0]
    }

    /// All sums are right, or there is none of UDP.
    fn is_right(&mut self) -> bool {
        let is_ip_right = self.family == V6 || sum(&self.bytes[14..34], 0) == 0xffff;
        is_ip_right && (self.is_without_sum() || self.sum_of_udp() == 0xffff)
    }
}

fn sum(bytes: &[u8], first: u32) -> u16 {
    let pairs = bytes.chunks(2).map(|it| match it {
        [a, b] => u32::from(u16::from_be_bytes([*a, *b])),
        [a] => u32::from(*a) << 8,
        _ => 0,
    });
    let mut sum: u32 = first + pairs.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

#[test]
fn a_packet_of_the_flow_leaves_as_the_kernel_would_send_it() {
    with_each(Traits::default(), |world| {
        let mut came = Frame::to_us(world.family);
        assert!(came.is_right());
        let left = world.come(&came).expect("it is forwarded");
        let mut expected = Frame::from_us(world.family);
        assert!(expected.is_right());
        assert_eq!(left, expected, "with sums that are right");
    });
}

#[test]
fn what_was_wrong_stays_wrong() {
    with_each(Traits::default(), |world| {
        let mut broken = Frame::numbered(world.family, 2);
        let place = broken.rtp() + 100;
        broken.bytes[place] ^= 1;
        assert!(!world.come(&broken).unwrap().is_right());
    });
}

#[test]
fn what_has_no_sum_gets_none() {
    let without = |world: &World| {
        let mut without = Frame::numbered(world.family, 1);
        without.udp_sum().fill(0);
        world.come(&without)
    };
    with_each(Traits::default(), |world| match world.family {
        V4 => assert!(without(&world).unwrap().is_without_sum()),
        // There must be one, and the kernel says what it thinks of it.
        V6 => assert_eq!(without(&world), None),
    });
}

#[test]
fn where_sums_are_left_to_hardware_that_is_not_there_none_is_trusted() {
    with_each(VIRTUAL, |world| {
        let mut half = Frame::numbered(world.family, 1);
        let sum = half.half_a_sum().to_be_bytes();
        half.udp_sum().copy_from_slice(&sum);
        match world.family {
            V4 => assert!(world.come(&half).unwrap().is_without_sum()),
            V6 => {
                assert_eq!(world.come(&half), None);
                let mut left = world.come(&Frame::numbered(V6, 2)).unwrap();
                assert!(left.is_right() && !left.is_without_sum());
            }
        }
    });
}

#[test]
fn sums_are_right_whatever_the_payload() {
    with_each(Traits::default(), |world| {
        for step in 1..=1_000_u16 {
            // Moves the sum through all carries.
            let frame = Frame::numbered(world.family, step);
            let [a, b] = (step.wrapping_mul(66)).to_be_bytes();
            let frame = frame.with_rtp(20, a).with_rtp(21, b);
            assert!(world.come(&frame).unwrap().is_right(), "{step}");
        }
        assert_eq!(world.counts().packets, 1_000);
    });
}

/// Frames that are not the next of the flow, but nearly.
fn strangers(family: Family) -> Vec<(&'static str, Frame)> {
    let Cast {
        alice,
        bob,
        to_us,
        from_us,
    } = cast(family);
    let us = || Frame::to_us(family);
    let to = |from, to| Frame::new(from, to).with_our_ethernet();
    let port = |of: SocketAddr, port| SocketAddr::new(of.ip(), port);
    let mut short = us();
    short.bytes.truncate(short.rtp() + 11);
    short.set_lens();
    let mut cut = us();
    cut.bytes.truncate(cut.rtp() + 50);
    let mut half_a_sum = us();
    let half = half_a_sum.half_a_sum().to_be_bytes();
    half_a_sum.udp_sum().copy_from_slice(&half);
    let mut behind = us();
    let len = behind.udp() + 4;
    behind.bytes[len..len + 2].copy_from_slice(&100_u16.to_be_bytes());
    let mut tagged = us();
    let tag = [0x81, 0, 0, 5];
    tagged.bytes.splice(12..12, tag);
    let changed = |what: &'static str, place: usize, byte: u8| (what, us().with(place, byte));
    let rtp = |what: &'static str, place, byte| (what, us().with_rtp(place, byte));
    let mut all = vec![
        ("another port", to(port(alice, 4_001), to_us)),
        ("to another port", to(alice, port(to_us, 30_001))),
        ("to below our ports", to(alice, port(to_us, 29_999))),
        ("to above our ports", to(alice, port(to_us, 40_000))),
        ("to the other of us", to(alice, port(from_us, 30_000))),
        ("where it leaves", to(bob, from_us)),
        changed("ARP", 13, 6),
        ("a VLAN", tagged),
        rtp("STUN", 0, 0),
        rtp("DTLS", 0, 20),
        rtp("another version", 0, 0x40),
        rtp("RTCP", 1, 200),
        rtp("the first of RTCP", 1, 192),
        rtp("the last of RTCP", 1, 223),
        rtp("another type", 1, 101),
        rtp("another source", 8, 1),
        ("no RTP header", short),
        ("a frame that is cut", cut),
        ("something behind UDP", behind),
        ("the same again", Frame::numbered(family, 0)),
        ("one before", Frame::numbered(family, u16::MAX)),
        ("far ahead", Frame::numbered(family, 3_001)),
        changed("for another host of the link", 0, 4),
        changed("for its neighbour", 5, 0xab),
        changed("to everybody", 3, 0xff),
        ("a sum that is not finished", half_a_sum),
    ];
    match family {
        V4 => all.extend([
            changed("options", 14, 0x46),
            changed("a first fragment", 20, 0x20),
            changed("another fragment", 21, 1),
            changed("TCP", 23, 6),
            changed("at its end", 22, 1),
            changed("IPv6, it says", 12, 0x86),
        ]),
        V6 => all.extend([
            changed("another version of IP", 14, 0x50),
            changed("TCP", 20, 6),
            changed("a fragment", 20, 44),
            changed("a jumbogram", 20, 0),
            changed("at its end", 21, 1),
        ]),
    }
    // Each byte of both addresses counts.
    let first = us().addresses();
    all.extend((first..us().udp()).map(|place| {
        let byte = us().bytes[place] ^ 1;
        changed("another address", place, byte)
    }));
    all
}

#[test]
fn everything_else_passes() {
    with_each(Traits::default(), |world| {
        for (what, frame) in strangers(world.family) {
            assert_eq!(world.come(&frame), None, "{what}, {:?}", world.family);
        }
        assert_eq!(world.counts().packets, 0);
        let marked = Frame::to_us(world.family).with_rtp(1, 0x80 | PAYLOAD_TYPE);
        assert!(world.come(&marked).is_some(), "the marker is no type");
    });
}

#[test]
fn a_flow_is_of_one_family() {
    let Some(mut world) = World::new(V6, Traits::default()) else {
        return;
    };
    let mixed = Flow {
        leaves_from: cast(V4).from_us,
        to: cast(V4).bob,
        ..flow(V6)
    };
    world.share.take_out(Instant::now(), world.slot);
    assert_eq!(world.share.install(Instant::now(), &mixed), None);
    // Both families may have the same ports.
    let mut install = |family| world.share.install(Instant::now(), &flow(family));
    assert!(install(V4).is_some() && install(V6).is_some());
}

#[test]
fn nothing_is_forwarded_without_a_lease() {
    for family in Family::ALL {
        let Some(mut world) = World::new(family, Traits::default()) else {
            return;
        };
        let Cast {
            alice,
            bob,
            to_us,
            from_us,
        } = cast(family);
        assert_eq!(world.come(&Frame::to_us(family)), None, "never granted");
        let not_ours = [
            Frame::new(from_us, alice),
            Frame::new(to_us, bob),
            Frame::new(from_us, SocketAddr::new(bob.ip(), 60_002)),
            Frame::new(from_us, bob).with(if family == V4 { 23 } else { 20 }, 6),
        ];
        for frame in not_ours {
            world.observed(&frame);
            assert_eq!(world.come(&Frame::to_us(family)), None, "another packet's");
        }
        world.renew();
        assert!(world.come(&Frame::to_us(family)).is_some());
        world.share.take_out(Instant::now(), world.slot);
        let next = Frame::numbered(family, 2);
        assert_eq!(world.come(&next), None, "taken out");
        world.renew();
        assert_eq!(world.come(&next), None, "and out it stays");
        assert_eq!(world.counts().packets, 1, "what it counted is there");
    }
}

#[test]
fn what_came_in_elsewhere_grants_nothing() {
    for family in Family::ALL {
        let Some(world) = World::new(family, Traits::default()) else {
            return;
        };
        let (forged, next) = (Frame::from_us(family), Frame::to_us(family));
        system::run_come_in(world.observe.as_fd(), &forged.bytes, 1).unwrap();
        assert_eq!(world.come(&next), None, "a bridged frame");
        system::run_come_in(world.observe.as_fd(), &forged.bytes, 0).unwrap();
        assert!(world.come(&next).is_some());
    }
}

#[test]
fn an_empty_datagram_renews_as_well() {
    for family in Family::ALL {
        let Some(world) = World::new(family, Traits::default()) else {
            return;
        };
        let mut empty = Frame::from_us(family);
        empty.bytes.truncate(empty.rtp());
        empty.set_lens();
        world.observed(&empty);
        assert!(world.come(&Frame::to_us(family)).is_some());
    }
}

#[test]
fn what_leaves_elsewhere_is_sent_there_if_that_interface_takes_it() {
    const ELSEWHERE: u32 = 1;
    for family in Family::ALL {
        let Some(world) = World::new(family, Traits::default()) else {
            return;
        };
        World::observed_by(&world.observe_elsewhere, &Frame::from_us(family));
        let next = Frame::to_us(family);
        assert_eq!(world.come(&next), None, "it takes nothing");
        world.table.pretend(1, [0; 6], Some(ELSEWHERE));
        let (verdict, left) = world.come_anywhere(&next);
        assert_eq!(verdict, REDIRECT);
        assert_eq!(left, Some(Frame::from_us(family)));
        world.table.pretend(1, [0; 6], None);
        let next = Frame::numbered(family, 2);
        assert_eq!(world.come(&next), None, "it takes nothing any more");
        world.renew();
        assert!(world.come(&next).is_some(), "the route is back");
    }
}

#[test]
fn what_is_longer_than_all_that_left_whole_goes_to_the_socket() {
    with_each(Traits::default(), |world| {
        let Cast { alice, to_us, .. } = cast(world.family);
        let long = |step, len| {
            let frame = Frame::with_payload(alice, to_us, len);
            frame.with_our_ethernet().number(step)
        };
        // What every network takes is not too long, though nothing of the kind was seen.
        let safe = if world.family == V4 { 512 } else { 1_220 };
        assert!(world.come(&long(1, safe)).is_some());
        assert_eq!(world.come(&long(2, safe + 1)), None);
        world.observed(&Frame::long_from_us(world.family, 1_400));
        assert!(world.come(&long(2, 1_400)).is_some());
        assert_eq!(world.come(&long(3, 1_401)), None);
        world.renew();
        assert!(world.come(&long(3, 1_400)).is_some(), "a short one, too");
        // Later the measure is taken anew: the network may be another.
        world.share.forget_len(world.slot);
        world.renew();
        assert_eq!(world.come(&long(4, 1_400)), None);
        assert!(world.come(&long(4, safe)).is_some());
    });
}

#[test]
fn a_packet_that_is_due_goes_to_the_socket_and_the_next_does_not() {
    with_each(Traits::default(), |world| {
        let numbered = |step| Frame::numbered(world.family, step);
        world.share.expire(world.slot, false);
        assert_eq!(world.come(&numbered(1)), None, "this one renews");
        assert!(world.come(&numbered(2)).is_some(), "one is enough for now");
        world.share.expire(world.slot, true);
        for step in 3..10 {
            assert_eq!(world.come(&numbered(step)), None, "the lease is over");
        }
    });
}

#[test]
fn what_is_faster_than_it_may_goes_to_the_socket() {
    let fast = |packets_max| {
        let traits = Traits {
            packets_max,
            ..Traits::default()
        };
        let world = World::leased(V4, traits)?;
        let came = (1..=1_000).map(|step| world.come(&Frame::numbered(V4, step)).is_some());
        Some(came.collect::<Vec<_>>())
    };
    // However slow this machine is: one of a thousand comes within a second of the one before.
    let Some(one) = fast(1) else {
        return;
    };
    assert!(one[0], "the first");
    assert!(one.contains(&false), "not all");
    for none in [0, u32::MAX] {
        assert_eq!(fast(none), Some(vec![true; 1_000]));
    }
}

#[test]
fn counts_what_the_relay_would() {
    with_each(Traits::default(), |world| {
        for step in [1, 2, 4, 9, 8, 10, 10, 100] {
            world.come(&Frame::numbered(world.family, step));
        }
        let counts = world.counts();
        let len = u64::try_from(12 + PAYLOAD_LEN).unwrap();
        assert_eq!(counts.packets, 6, "8 was late, one 10 was there");
        assert_eq!(counts.bytes, 6 * len);
        assert_eq!(
            counts.highest,
            CYCLE + u64::from(FIRST) + 100,
            "beyond 16 bits"
        );
        assert_eq!(counts.seen, 1, "100 is far from 10");
        assert!(counts.idle.is_some_and(|it| it.as_secs() < 3_600));
    });
    with_each(Traits::default(), |world| {
        for step in [1, 3, 4] {
            world.come(&Frame::numbered(world.family, step));
        }
        assert_eq!(world.counts().seen, 0b11011, "2 has not come");
    });
}

#[test]
fn jitter_is_how_much_packets_are_early_or_late() {
    with_each(Traits::default(), |world| {
        // The timestamps say an hour, though there are microseconds between them.
        for (step, timestamp) in [(1, 0_u32), (2, 8_000), (3, 16_000)] {
            let mut frame = Frame::numbered(world.family, step);
            let place = frame.rtp() + 4;
            frame.bytes[place..place + 4].copy_from_slice(&timestamp.to_be_bytes());
            frame.sum();
            world.come(&frame).unwrap();
        }
        // Each is early by nearly a second: J += |D| - J / 16, in sixteenths.
        let (jitter, second) = (world.counts().jitter, 1_000_000_000_u64);
        let expected = second + second - second / 16;
        assert!(jitter <= expected && jitter > expected * 9 / 10, "{jitter}");
    });
}
