//! What the programs do with one frame, run by the kernel itself (`BPF_PROG_TEST_RUN`). Needs
//! privileges; without them each test says aloud that it was skipped.

mod frame;

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use frame::{Cast, FIRST, Frame, OUR_ETHERNET, PAYLOAD_LEN, PAYLOAD_TYPE, SSRC, cast};

use super::forward::{self, PASS, TRANSMIT, Traits};
use super::observe;
use crate::flow::Flow;
use crate::packet::Family::{self, V4, V6};
use crate::system::{self, Hook};
use crate::table::{Counts, LEASE, Options, Share, Slot, Table};
use crate::testing::forbidden;

/// Sent to another interface.
const REDIRECT: i32 = 4;

/// Above 16 bits.
const CYCLE: u64 = 1 << 16;
/// Of 8 kHz.
const TICK: u32 = 125_000 << 15;

const VIRTUAL: Traits = Traits {
    place: 0,
    is_virtual: true,
    packets_max: 0,
};

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
        let table = match forbidden(Table::open(&options)) {
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
fn addresses_of_one_family_are_enough() {
    for family in Family::ALL {
        let options = Options {
            addresses: vec![cast(family).to_us.ip()],
            ports: 30_000..=30_001,
            interfaces: Vec::new(),
            packets_max: 0,
        };
        let Ok(table) = forbidden(Table::open(&options)) else {
            return eprintln!("SKIPPED, this is not tested: it is not allowed");
        };
        let scene = table.scene();
        let forward = forward::write(scene, Traits::default()).unwrap();
        let observe = observe::write(scene, LEASE, 0).unwrap();
        let xdp = Hook::Xdp { is_generic: false };
        for (hook, program) in [(xdp, forward), (Hook::TcxEgress, observe)] {
            if let Err(failure) = system::load("test", hook, &program) {
                panic!("{family:?}: {}", failure.log);
            }
        }
    }
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
        let for_another = next.clone().with(5, 0xab);
        assert_eq!(world.come(&for_another), None, "another host's");
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
