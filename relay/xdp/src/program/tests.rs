//! What the programs do with one frame, run by the kernel itself (`BPF_PROG_TEST_RUN`). Needs
//! privileges; without them each test says aloud that it was skipped.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use super::forward::{self, PASS, TRANSMIT, Traits};
use super::observe;
use crate::system::{self, Hook};
use crate::table::{Counts, Flow, LEASE, Options, Share, Slot, Table};

const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OURS_TOO: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const ALICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 7), 4_000);
const BOB: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 200), 60_001);
/// Where Alice sends, and where it leaves for Bob.
const TO_US: SocketAddrV4 = SocketAddrV4::new(OURS, 30_000);
const FROM_US: SocketAddrV4 = SocketAddrV4::new(OURS_TOO, 39_999);

const SSRC: u32 = 0x0a0b_0c0d;
const PAYLOAD_TYPE: u8 = 8;
const FIRST: u16 = 65_530;
/// Above 16 bits.
const CYCLE: u64 = 1 << 16;
/// Of 8 kHz.
const TICK: u32 = 125_000 << 15;

const VIRTUAL: Traits = Traits {
    is_virtual: true,
    packets_max: 0,
};

/// Ethernet addresses of what the kernel sends.
const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa];
const TOS: u8 = 184;
const TTL: u8 = 63;

/// A flow from Alice to Bob, and both programs.
struct World {
    share: Share,
    slot: Slot,
    forward: OwnedFd,
    observe: OwnedFd,
}

impl World {
    /// `None`, said aloud: we may not.
    fn new(traits: Traits) -> Option<Self> {
        let options = Options {
            addresses: vec![OURS, OURS_TOO],
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
        let observe = load(Hook::TcxEgress, observe::write(scene, LEASE).unwrap());
        let mut share = Arc::clone(&table).share(0, 1);
        let slot = share.install(Instant::now(), &flow()).unwrap();
        Some(Self {
            share,
            slot,
            forward,
            observe,
        })
    }

    /// The same with a lease.
    fn leased(traits: Traits) -> Option<Self> {
        let world = Self::new(traits)?;
        world.renew();
        Some(world)
    }

    /// The kernel sends a packet to Bob.
    fn renew(&self) {
        let mut frame = Frame::new(FROM_US, BOB);
        frame.bytes[..12].copy_from_slice(&ETHERNET);
        (frame.bytes[15], frame.bytes[22]) = (TOS, TTL);
        self.observed(&frame);
    }

    fn observed(&self, frame: &Frame) {
        let ran = system::run(self.observe.as_fd(), &frame.bytes, 1).unwrap();
        assert_eq!(ran.verdict.cast_signed(), -1, "it goes on in any case");
        assert_eq!(ran.frame, frame.bytes, "and as it was");
    }

    /// What becomes of a frame that comes in.
    fn come(&self, frame: &Frame) -> Option<Frame> {
        let ran = system::run(self.forward.as_fd(), &frame.bytes, 1).unwrap();
        match ran.verdict.cast_signed() {
            PASS => {
                assert_eq!(ran.frame, frame.bytes, "it passes as it was");
                None
            }
            TRANSMIT => Some(Frame { bytes: ran.frame }),
            other => panic!("verdict {other}"),
        }
    }

    fn counts(&self) -> Counts {
        self.share.read(self.slot)
    }
}

fn flow() -> Flow {
    Flow {
        peer: ALICE,
        arrives_at: TO_US,
        leaves_from: FROM_US,
        to: BOB,
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
    bytes: Vec<u8>,
}

const UDP_SUM: usize = 40;
const RTP: usize = 42;
const PAYLOAD_LEN: usize = 160;

impl Frame {
    /// RTP: 160 bytes of payload.
    fn new(from: SocketAddrV4, to: SocketAddrV4) -> Self {
        let mut bytes = vec![6; 12];
        bytes.extend([8, 0, 0x45, 0, 0, 0, 0xbe, 0xef, 0x40, 0, 64, 17, 0, 0]);
        bytes.extend(from.ip().octets());
        bytes.extend(to.ip().octets());
        bytes.extend(from.port().to_be_bytes());
        bytes.extend(to.port().to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend([0x80, PAYLOAD_TYPE]);
        bytes.extend((FIRST.wrapping_add(1)).to_be_bytes());
        bytes.extend(160_u32.to_be_bytes());
        bytes.extend(SSRC.to_be_bytes());
        bytes.extend((0..PAYLOAD_LEN).map(|it| it.to_le_bytes()[0]));
        let mut frame = Self { bytes };
        frame.set_lens();
        frame
    }

    fn to_us() -> Self {
        Self::new(ALICE, TO_US).with_our_ethernet()
    }

    /// To where frames of ours come from.
    fn with_our_ethernet(mut self) -> Self {
        self.bytes[..6].copy_from_slice(&ETHERNET[6..]);
        self
    }

    fn numbered(step: u16) -> Self {
        let mut frame = Self::to_us();
        let number = FIRST.wrapping_add(step);
        frame.bytes[RTP + 2..RTP + 4].copy_from_slice(&number.to_be_bytes());
        frame.sum();
        frame
    }

    /// The same with one byte changed, and sums that are right again.
    fn with(mut self, place: usize, byte: u8) -> Self {
        self.bytes[place] = byte;
        self.sum();
        self
    }

    fn set_lens(&mut self) {
        let ip = u16::try_from(self.bytes.len() - 14).unwrap();
        self.bytes[16..18].copy_from_slice(&ip.to_be_bytes());
        self.bytes[38..40].copy_from_slice(&(ip - 20).to_be_bytes());
        self.sum();
    }

    fn sum(&mut self) {
        self.bytes[24..26].fill(0);
        let ip = !sum(&self.bytes[14..34], 0);
        self.bytes[24..26].copy_from_slice(&ip.to_be_bytes());
        self.bytes[UDP_SUM..UDP_SUM + 2].fill(0);
        let udp = match !self.udp_sum() {
            0 => 0xffff,
            udp => udp,
        };
        self.bytes[UDP_SUM..UDP_SUM + 2].copy_from_slice(&udp.to_be_bytes());
    }

    fn udp_sum(&self) -> u16 {
        let len = u32::try_from(self.bytes.len() - 34).unwrap();
        sum(&self.bytes[26..], 17 + len)
    }

    /// Both sums are right, or there is none of UDP.
    fn is_right(&self) -> bool {
        let has_udp = self.bytes[UDP_SUM..UDP_SUM + 2] != [0, 0];
        sum(&self.bytes[14..34], 0) == 0xffff && (!has_udp || self.udp_sum() == 0xffff)
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
    let Some(world) = World::leased(Traits::default()) else {
        return;
    };
    let came = Frame::to_us();
    assert!(came.is_right());
    let left = world.come(&came).expect("it is forwarded");
    let mut expected = Frame::new(FROM_US, BOB);
    expected.bytes[..12].copy_from_slice(&ETHERNET);
    let expected = expected.with(15, TOS).with(22, TTL);
    assert_eq!(left, expected, "with sums that are right");
}

#[test]
fn what_has_no_sum_gets_none_and_what_was_wrong_stays_wrong() {
    let Some(world) = World::leased(Traits::default()) else {
        return;
    };
    let mut without = Frame::numbered(1);
    without.bytes[UDP_SUM..UDP_SUM + 2].fill(0);
    let left = world.come(&without).unwrap();
    assert_eq!(left.bytes[UDP_SUM..UDP_SUM + 2], [0, 0]);
    let mut broken = Frame::numbered(2);
    broken.bytes[RTP + 100] ^= 1;
    assert!(!world.come(&broken).unwrap().is_right());
    let Some(world) = World::leased(VIRTUAL) else {
        return;
    };
    let left = world.come(&broken).unwrap();
    assert!(left.is_right() && left.bytes[UDP_SUM..UDP_SUM + 2] == [0, 0]);
}

#[test]
fn sums_are_right_whatever_the_payload() {
    let Some(world) = World::leased(Traits::default()) else {
        return;
    };
    for step in 1..=1_000_u16 {
        // Moves the sum through all carries.
        let frame = Frame::numbered(step);
        let [a, b] = (step.wrapping_mul(66)).to_be_bytes();
        let frame = frame.with(RTP + 20, a).with(RTP + 21, b);
        assert!(world.come(&frame).unwrap().is_right(), "{step}");
    }
    assert_eq!(world.counts().packets, 1_000);
}

#[test]
fn everything_else_passes() {
    let Some(world) = World::leased(Traits::default()) else {
        return;
    };
    let us = Frame::to_us;
    let other = |ip: [u8; 4], port| SocketAddrV4::new(ip.into(), port);
    let mut short = us();
    short.bytes.truncate(RTP + 11);
    short.set_lens();
    let mut cut = us();
    cut.bytes.truncate(RTP + 50);
    let to = |from, to| Frame::new(from, to).with_our_ethernet();
    let mut half_a_sum = us();
    half_a_sum.bytes[UDP_SUM..UDP_SUM + 2].fill(0);
    let pseudo = [
        &half_a_sum.bytes[26..34],
        &[0, 17],
        &half_a_sum.bytes[38..40],
    ]
    .concat();
    let pseudo = sum(&pseudo, 0).to_be_bytes();
    half_a_sum.bytes[UDP_SUM..UDP_SUM + 2].copy_from_slice(&pseudo);
    let mut behind = us();
    behind.bytes[38..40].copy_from_slice(&100_u16.to_be_bytes());
    let cases = [
        (
            "another address",
            to(other([198, 51, 100, 8], 4_000), TO_US),
        ),
        ("another port", to(other([198, 51, 100, 7], 4_001), TO_US)),
        (
            "to another port",
            to(ALICE, SocketAddrV4::new(OURS, 30_001)),
        ),
        (
            "to below our ports",
            to(ALICE, SocketAddrV4::new(OURS, 29_999)),
        ),
        (
            "to above our ports",
            to(ALICE, SocketAddrV4::new(OURS, 40_000)),
        ),
        (
            "to the other of us",
            to(ALICE, SocketAddrV4::new(OURS_TOO, 30_000)),
        ),
        ("to neither", to(ALICE, other([192, 0, 2, 3], 30_000))),
        ("where it leaves", to(BOB, FROM_US)),
        ("IPv6", us().with(12, 0x86).with(13, 0xdd)),
        ("ARP", us().with(13, 6)),
        ("a VLAN", us().with(12, 0x81)),
        ("options", us().with(14, 0x46)),
        ("a first fragment", us().with(20, 0x20)),
        ("another fragment", us().with(21, 1)),
        ("TCP", us().with(23, 6)),
        ("at its end", us().with(22, 1)),
        ("STUN", us().with(RTP, 0)),
        ("DTLS", us().with(RTP, 20)),
        ("another version", us().with(RTP, 0x40)),
        ("RTCP", us().with(RTP + 1, 200)),
        ("the first of RTCP", us().with(RTP + 1, 192)),
        ("the last of RTCP", us().with(RTP + 1, 223)),
        ("another type", us().with(RTP + 1, 101)),
        ("another source", us().with(RTP + 8, 1)),
        ("no RTP header", short),
        ("a frame that is cut", cut),
        ("something behind UDP", behind),
        ("the same again", Frame::numbered(0)),
        ("one before", Frame::numbered(u16::MAX)),
        ("far ahead", Frame::numbered(3_001)),
        ("for another host of the link", us().with(0, 4)),
        ("for its neighbour", us().with(5, 0xab)),
        ("to everybody", us().with(3, 0xff)),
        ("a sum that is not finished", half_a_sum),
    ];
    for (what, frame) in cases {
        assert_eq!(world.come(&frame), None, "{what}");
    }
    assert_eq!(world.counts().packets, 0);
    assert!(
        world
            .come(&us().with(RTP + 1, 0x80 | PAYLOAD_TYPE))
            .is_some(),
        "the marker is no type"
    );
}

#[test]
fn nothing_is_forwarded_without_a_lease() {
    let Some(mut world) = World::new(Traits::default()) else {
        return;
    };
    assert_eq!(world.come(&Frame::to_us()), None, "never granted");
    let not_ours = [
        Frame::new(FROM_US, ALICE),
        Frame::new(TO_US, BOB),
        Frame::new(FROM_US, SocketAddrV4::new(*BOB.ip(), 60_002)),
        Frame::new(FROM_US, BOB).with(23, 6),
    ];
    for frame in not_ours {
        world.observed(&frame);
        assert_eq!(world.come(&Frame::to_us()), None, "another packet's");
    }
    world.renew();
    assert!(world.come(&Frame::to_us()).is_some());
    world.share.take_out(Instant::now(), world.slot);
    assert_eq!(world.come(&Frame::numbered(2)), None, "taken out");
    world.renew();
    assert_eq!(world.come(&Frame::numbered(2)), None, "and out it stays");
    assert_eq!(world.counts().packets, 1, "what it counted is there");
}

#[test]
fn what_came_in_elsewhere_grants_nothing() {
    let Some(world) = World::new(Traits::default()) else {
        return;
    };
    let mut forged = Frame::new(FROM_US, BOB);
    forged.bytes[..12].copy_from_slice(&ETHERNET);
    system::run_come_in(world.observe.as_fd(), &forged.bytes, 1).unwrap();
    assert_eq!(world.come(&Frame::to_us()), None, "a bridged frame");
    system::run_come_in(world.observe.as_fd(), &forged.bytes, 0).unwrap();
    assert!(world.come(&Frame::to_us()).is_some());
}

#[test]
fn an_empty_datagram_renews_as_well() {
    let Some(world) = World::new(Traits::default()) else {
        return;
    };
    let mut empty = Frame::new(FROM_US, BOB);
    empty.bytes[..12].copy_from_slice(&ETHERNET);
    empty.bytes.truncate(RTP);
    empty.set_lens();
    world.observed(&empty);
    assert!(world.come(&Frame::to_us()).is_some());
}

#[test]
fn a_packet_that_is_due_goes_to_the_socket_and_the_next_does_not() {
    let Some(world) = World::leased(Traits::default()) else {
        return;
    };
    world.share.expire(world.slot, false);
    assert_eq!(world.come(&Frame::numbered(1)), None, "this one renews");
    assert!(
        world.come(&Frame::numbered(2)).is_some(),
        "one is enough for now"
    );
    world.share.expire(world.slot, true);
    for step in 3..10 {
        assert_eq!(
            world.come(&Frame::numbered(step)),
            None,
            "the lease is over"
        );
    }
}

#[test]
fn what_is_faster_than_it_may_goes_to_the_socket() {
    let fast = |packets_max| {
        let traits = Traits {
            packets_max,
            ..Traits::default()
        };
        let world = World::leased(traits)?;
        let came = (1..=1_000).map(|step| world.come(&Frame::numbered(step)).is_some());
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
    let Some(world) = World::leased(Traits::default()) else {
        return;
    };
    for step in [1, 2, 4, 9, 8, 10, 10, 100] {
        world.come(&Frame::numbered(step));
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
    let Some(world) = World::leased(Traits::default()) else {
        return;
    };
    for step in [1, 3, 4] {
        world.come(&Frame::numbered(step));
    }
    assert_eq!(world.counts().seen, 0b11011, "2 has not come");
}

#[test]
fn jitter_is_how_much_packets_are_early_or_late() {
    let Some(world) = World::leased(Traits::default()) else {
        return;
    };
    // The timestamps say an hour, though there are microseconds between them.
    for (step, timestamp) in [(1, 0_u32), (2, 8_000), (3, 16_000)] {
        let mut frame = Frame::numbered(step);
        frame.bytes[RTP + 4..RTP + 8].copy_from_slice(&timestamp.to_be_bytes());
        frame.sum();
        world.come(&frame).unwrap();
    }
    // Each is early by nearly a second: J += |D| - J / 16, in sixteenths.
    let (jitter, second) = (world.counts().jitter, 1_000_000_000_u64);
    let expected = second + second - second / 16;
    assert!(jitter <= expected && jitter > expected * 9 / 10, "{jitter}");
}
