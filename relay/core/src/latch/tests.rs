use relay_rtp::Sequence;

use super::*;
use crate::tests::start;

const SIGNALLED: &str = "192.0.2.1:4000";
const SAME_ADDRESS: &str = "192.0.2.1:5000";
const SAME_PORT: &str = "198.51.100.1:4000";
const STRANGER: &str = "198.51.100.2:5000";
const SPRAYER: &str = "203.0.113.66:6666";

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Passes,
    Drops,
}
use Fate::{Drops, Passes};

/// Packets that arrive: when the first does, in milliseconds; how many, 20 ms apart; from where;
/// and how many of them are dropped before the others pass.
#[derive(Clone, Copy, Debug)]
enum Step {
    One(u64, &'static str, Fate),
    Stream(u64, u16, &'static str, u16),
}
use Step::{One, Stream};

/// One test. Each source sends a stream of its own.
struct Case {
    what: &'static str,
    learning: Learning,
    handover: Handover,
    signalled: Option<&'static str>,
    steps: &'static [Step],
    remote: Option<&'static str>,
}

const HEURISTIC: Case = Case {
    what: "",
    learning: Learning::Heuristic,
    handover: Handover::SameStream,
    signalled: Some(SIGNALLED),
    steps: &[],
    remote: None,
};

const CASES: &[Case] = &[
    Case {
        what: "a perfect match is locked at once",
        steps: &[One(0, SIGNALLED, Passes), One(1, SAME_ADDRESS, Drops)],
        remote: Some(SIGNALLED),
        ..HEURISTIC
    },
    Case {
        what: "the signalled address is believed at once",
        steps: &[One(0, SAME_ADDRESS, Passes), One(1, STRANGER, Drops)],
        remote: Some(SAME_ADDRESS),
        ..HEURISTIC
    },
    Case {
        what: "a sprayer that comes first gets nothing and is sent nothing",
        steps: &[
            One(0, SPRAYER, Drops),
            One(100, SPRAYER, Drops),
            One(5_000, SPRAYER, Drops),
        ],
        remote: Some(SIGNALLED),
        ..HEURISTIC
    },
    Case {
        what: "a sprayer before and during a call behind a NAT changes nothing",
        steps: &[
            One(0, SPRAYER, Drops),
            Stream(10, 50, SAME_ADDRESS, 0),
            One(500, SPRAYER, Drops),
            Stream(4_000, 50, SPRAYER, 50),
            One(5_100, SAME_ADDRESS, Passes),
        ],
        remote: Some(SAME_ADDRESS),
        ..HEURISTIC
    },
    Case {
        what: "behind a NAT with another address a phone is heard after three packets",
        steps: &[
            One(0, SPRAYER, Drops),
            Stream(20, 10, STRANGER, 3),
            One(400, SPRAYER, Drops),
        ],
        remote: Some(STRANGER),
        ..HEURISTIC
    },
    Case {
        what: "the port alone proves nothing",
        steps: &[Stream(0, 10, SAME_PORT, 3)],
        remote: Some(SAME_PORT),
        ..HEURISTIC
    },
    Case {
        what: "who keeps up a stream before the phone speaks is out when it does",
        steps: &[
            Stream(0, 10, SPRAYER, 3),
            One(1_000, SIGNALLED, Passes),
            Stream(1_020, 10, SPRAYER, 10),
        ],
        remote: Some(SIGNALLED),
        ..HEURISTIC
    },
    Case {
        what: "long before, too",
        steps: &[
            Stream(0, 1_000, SPRAYER, 3),
            Stream(20_000, 10, SAME_ADDRESS, 3),
            Stream(20_200, 10, SPRAYER, 10),
        ],
        remote: Some(SAME_ADDRESS),
        ..HEURISTIC
    },
    Case {
        what: "better and better matches win within the window",
        steps: &[
            Stream(0, 4, STRANGER, 3),
            Stream(500, 4, SAME_PORT, 3),
            One(600, STRANGER, Drops),
            One(1_000, SAME_ADDRESS, Passes),
            One(1_100, SAME_PORT, Drops),
            One(3_059, SIGNALLED, Passes),
            One(3_060, SAME_ADDRESS, Drops),
        ],
        remote: Some(SIGNALLED),
        ..HEURISTIC
    },
    Case {
        what: "the window counts from the first that is believed, not from the best",
        steps: &[
            One(0, SAME_ADDRESS, Passes),
            One(2_999, SAME_ADDRESS, Passes),
            One(3_000, SIGNALLED, Drops),
        ],
        remote: Some(SAME_ADDRESS),
        ..HEURISTIC
    },
    Case {
        what: "of two that fit alike the first stays",
        signalled: None,
        steps: &[Stream(0, 4, STRANGER, 3), Stream(100, 20, SAME_PORT, 20)],
        remote: Some(STRANGER),
        ..HEURISTIC
    },
    Case {
        what: "after the window nothing at the same address is believed any more",
        steps: &[
            One(0, SAME_ADDRESS, Passes),
            Stream(60_000, 20, SIGNALLED, 20),
            One(60_401, SAME_ADDRESS, Passes),
        ],
        remote: Some(SAME_ADDRESS),
        ..HEURISTIC
    },
    Case {
        what: "immediate locks whoever is first",
        learning: Learning::Immediate,
        steps: &[One(0, STRANGER, Passes), One(1, SIGNALLED, Drops)],
        remote: Some(STRANGER),
        ..HEURISTIC
    },
    Case {
        what: "delayed locks whoever is last within the window",
        learning: Learning::Delayed,
        steps: &[
            One(0, SIGNALLED, Passes),
            One(2_000, STRANGER, Passes),
            One(2_500, SAME_PORT, Passes),
            One(3_000, STRANGER, Drops),
            One(3_001, SAME_PORT, Passes),
        ],
        remote: Some(SAME_PORT),
        ..HEURISTIC
    },
    Case {
        what: "off lets only the signalled address through",
        learning: Learning::Off,
        handover: Handover::AnyStream,
        steps: &[
            Stream(0, 10, STRANGER, 10),
            One(201, SAME_ADDRESS, Drops),
            One(202, SIGNALLED, Passes),
            Stream(1_000, 10, STRANGER, 10),
        ],
        remote: Some(SIGNALLED),
        ..HEURISTIC
    },
    Case {
        what: "off without an address lets nobody through",
        learning: Learning::Off,
        signalled: None,
        steps: &[Stream(0, 10, STRANGER, 10)],
        ..HEURISTIC
    },
    Case {
        what: "before the first packet the signalled address is all there is",
        remote: Some(SIGNALLED),
        ..HEURISTIC
    },
    Case {
        what: "an unspecified address is none",
        signalled: Some("0.0.0.0:4000"),
        ..HEURISTIC
    },
    Case {
        what: "a group is none",
        signalled: Some("224.0.0.1:4000"),
        ..HEURISTIC
    },
    Case {
        what: "port 0 is nobody",
        learning: Learning::Immediate,
        signalled: None,
        steps: &[One(0, "192.0.2.1:0", Drops), One(1, STRANGER, Passes)],
        remote: Some(STRANGER),
        ..HEURISTIC
    },
    Case {
        what: "with handover to any stream, one takes over when the old is silent",
        handover: Handover::AnyStream,
        steps: &[
            Stream(0, 50, SIGNALLED, 0),
            Stream(1_000, 10, STRANGER, 10),
            One(1_001, SIGNALLED, Passes),
            Stream(1_300, 10, STRANGER, 3),
        ],
        remote: Some(STRANGER),
        ..HEURISTIC
    },
];

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A latch with the rest of an endpoint, and sources that each send a stream of their own.
struct Bench {
    latch: Latch,
    start: Instant,
    heard: Option<Heard>,
}

impl Bench {
    fn new(signalled: Option<&str>, learning: Learning) -> Self {
        Self {
            latch: Latch::new(signalled.map(address), learning),
            start: start(),
            heard: None,
        }
    }

    fn rules(&mut self, change: impl FnOnce(&mut SourceRules)) {
        let mut rules = SourceRules::default();
        change(&mut rules);
        self.latch.set_rules(rules);
    }

    fn rtp(&mut self, ms: u64, source: &str, ssrc: u32, sequence: u64) -> Result<(), DropReason> {
        let (now, source) = (self.start + Duration::from_millis(ms), address(source));
        let sequence = Sequence::new(u16::try_from(sequence & 0xffff).unwrap());
        let evidence = Evidence::Rtp { ssrc, sequence };
        if !self.latch.is_peer(source) {
            self.latch.judge(now, source, evidence, self.heard)?;
        }
        self.heard = Some(Heard {
            at: now,
            newest: evidence,
        });
        Ok(())
    }

    /// A packet of a source's own stream.
    fn arrive(&mut self, ms: u64, source: &str) -> bool {
        let ssrc = source
            .bytes()
            .fold(0, |sum, it| (sum * 31 + u32::from(it)) & 0xff_ffff);
        self.rtp(ms, source, ssrc, ms / 20).is_ok()
    }
}

#[test]
fn follows_the_table() {
    for case in CASES {
        let mut bench = Bench::new(case.signalled, case.learning);
        bench.rules(|it| it.handover = case.handover);
        for step in case.steps {
            match *step {
                One(at, source, fate) => {
                    let passes = bench.arrive(at, source);
                    assert_eq!(passes, fate == Passes, "{}: {step:?}", case.what);
                }
                Stream(at, count, source, dropped) => {
                    let packets = (0..u64::from(count)).map(|it| at + it * 20);
                    let passed = packets.filter(|at| bench.arrive(*at, source)).count();
                    let expected = usize::from(count - dropped);
                    assert_eq!(passed, expected, "{}: {step:?}", case.what);
                }
            }
        }
        let remote = case.remote.map(address);
        assert_eq!(bench.latch.remote(), remote, "{}", case.what);
    }
}

#[test]
fn the_same_signalling_again_keeps_the_lock() {
    let mut bench = Bench::new(Some(SIGNALLED), Learning::Immediate);
    assert!(bench.arrive(0, SAME_ADDRESS));
    bench
        .latch
        .signal(Some(address(SIGNALLED)), Learning::Immediate);
    assert!(!bench.arrive(1, STRANGER));
    assert!(bench.latch.is_learnt());
}

#[test]
fn other_signalling_begins_anew_under_the_same_rules() {
    let mut bench = Bench::new(Some(SIGNALLED), Learning::Immediate);
    bench.rules(|it| it.is_asymmetric = true);
    assert!(bench.arrive(0, SAME_ADDRESS));
    bench
        .latch
        .signal(Some(address(STRANGER)), Learning::Immediate);
    assert_eq!(bench.latch.remote(), Some(address(STRANGER)));
    assert!(!bench.latch.is_learnt());
    assert!(bench.arrive(1, STRANGER));
    assert!(bench.latch.rules().is_asymmetric);
}

#[test]
fn a_phone_that_moves_goes_on_with_its_stream() {
    for (handover, is_followed) in [
        (Handover::SameStream, true),
        (Handover::AnyStream, true),
        (Handover::Never, false),
    ] {
        let mut bench = Bench::new(Some(SIGNALLED), Learning::Heuristic);
        bench.rules(|it| it.handover = handover);
        bench.rtp(0, SIGNALLED, 7, 65_530).unwrap();
        assert!(bench.rtp(200, STRANGER, 7, 65_531).is_err(), "too soon");
        for (ssrc, sequence) in [(8, 65_540), (7, 65_530), (7, 65_530 + 3_001), (7, 65_000)] {
            assert!(bench.rtp(300, SPRAYER, ssrc, sequence).is_err());
        }
        assert_eq!(bench.rtp(300, STRANGER, 7, 65_545).is_ok(), is_followed);
        let remote = if is_followed { STRANGER } else { SIGNALLED };
        assert_eq!(bench.latch.remote(), Some(address(remote)));
    }
}

#[test]
fn a_phone_that_moves_is_followed_while_the_window_is_open() {
    let mut bench = Bench::new(Some(SIGNALLED), Learning::Heuristic);
    let learnt = (0..4).map(|it| bench.rtp(it * 20, STRANGER, 7, it).is_ok());
    assert_eq!(Vec::from_iter(learnt), [false, false, false, true]);
    for (at, source, ssrc, sequence) in [
        (80, SPRAYER, 7, 4),
        (400, SPRAYER, 8, 4),
        (400, SPRAYER, 7, 4_000),
    ] {
        assert!(bench.rtp(at, source, ssrc, sequence).is_err());
    }
    assert!(bench.rtp(400, SPRAYER, 7, 9).is_ok());
    assert_eq!(bench.latch.remote(), Some(address(SPRAYER)));
    assert!(bench.rtp(500, SIGNALLED, 9, 1).is_ok(), "open as before");
}

#[test]
fn an_asymmetric_peer_is_heard_from_there_and_sent_to_here() {
    let mut bench = Bench::new(Some(SIGNALLED), Learning::Heuristic);
    bench.rules(|it| it.is_asymmetric = true);
    let passed = (0..10).filter(|it| bench.arrive(it * 20, STRANGER)).count();
    assert_eq!(passed, 7);
    assert_eq!(bench.latch.remote(), Some(address(SIGNALLED)));
    assert!(!bench.arrive(200, SPRAYER), "one source all the same");
}

#[test]
fn who_waits_for_the_peer_sends_nothing_before() {
    let mut bench = Bench::new(Some(SIGNALLED), Learning::Heuristic);
    bench.rules(|it| it.waits_for_peer = true);
    assert_eq!(bench.latch.remote(), None);
    assert!(bench.arrive(0, SAME_ADDRESS));
    assert_eq!(bench.latch.remote(), Some(address(SAME_ADDRESS)));
}

#[test]
fn rtcp_is_vouched_for_by_address_and_once() {
    let now = start();
    let mut latch = Latch::new(Some(address(SIGNALLED)), Learning::Heuristic);
    assert!(latch.vouch(now, address(STRANGER)));
    assert_eq!(latch.remote(), Some(address(STRANGER)));
    assert!(!latch.vouch(now, address("198.51.100.2:5001")), "no second");
    assert!(latch.vouch(now, address(SPRAYER)), "the peer has moved");
    let mut off = Latch::new(Some(address(SIGNALLED)), Learning::Off);
    assert!(!off.vouch(now, address(STRANGER)));
}

/// One packet after the other, the second number of each pair in milliseconds; where media is sent
/// to in the end.
fn as_open_as_other_relays(
    learning: Learning,
    handover: Handover,
    packets: &[(u64, &str, Fate)],
) -> Option<SocketAddr> {
    let mut bench = Bench::new(Some(SIGNALLED), learning);
    bench.rules(|it| (it.handover, it.forwards_others) = (handover, true));
    for (at, source, fate) in packets {
        let passes = bench.arrive(*at, source);
        assert_eq!(passes, *fate == Passes, "{learning:?}: {source} at {at}");
    }
    bench.latch.remote()
}

#[test]
fn others_may_be_heard_without_being_sent_to() {
    let remote = as_open_as_other_relays(
        Learning::Heuristic,
        Handover::SameStream,
        &[
            (0, STRANGER, Passes),
            (20, SAME_ADDRESS, Passes),
            (40, SAME_PORT, Passes),
            (60, SIGNALLED, Passes),
            (80, SAME_ADDRESS, Passes),
            (5_000, STRANGER, Passes),
            (5_020, SAME_PORT, Passes),
        ],
    );
    assert_eq!(remote, Some(address(SIGNALLED)));
    let remote = as_open_as_other_relays(
        Learning::Off,
        Handover::SameStream,
        &[(0, STRANGER, Passes), (20, SAME_ADDRESS, Passes)],
    );
    assert_eq!(remote, Some(address(SIGNALLED)));
}

#[test]
fn of_others_that_may_be_heard_the_best_is_sent_to_at_once() {
    let strict = [
        (0, STRANGER, Passes),
        (20, SAME_ADDRESS, Passes),
        (40, SAME_PORT, Drops),
        (60, STRANGER, Drops),
    ];
    let learning = Learning::Heuristic;
    let remote = as_open_as_other_relays(learning, Handover::Never, &strict[..1]);
    assert_eq!(remote, Some(address(STRANGER)));
    let remote = as_open_as_other_relays(learning, Handover::Never, &strict);
    assert_eq!(remote, Some(address(SAME_ADDRESS)));
    let loose = strict.map(|(at, source, _)| (at, source, Passes));
    let remote = as_open_as_other_relays(learning, Handover::SameStream, &loose);
    assert_eq!(remote, Some(address(SAME_ADDRESS)));
}

#[test]
fn a_strict_source_stays_the_only_one_where_others_may_be_heard() {
    let remote = as_open_as_other_relays(
        Learning::Off,
        Handover::Never,
        &[(0, STRANGER, Drops), (20, SIGNALLED, Passes)],
    );
    assert_eq!(remote, Some(address(SIGNALLED)));
    let remote = as_open_as_other_relays(
        Learning::Heuristic,
        Handover::Never,
        &[
            (0, SIGNALLED, Passes),
            (20, SAME_ADDRESS, Drops),
            (5_000, STRANGER, Drops),
        ],
    );
    assert_eq!(remote, Some(address(SIGNALLED)));
    // The first after the window is locked.
    let remote = as_open_as_other_relays(
        Learning::Delayed,
        Handover::Never,
        &[
            (0, SIGNALLED, Passes),
            (20, STRANGER, Passes),
            (5_000, SAME_PORT, Passes),
            (5_020, STRANGER, Drops),
            (5_040, SIGNALLED, Drops),
        ],
    );
    assert_eq!(remote, Some(address(SAME_PORT)));
    let steady = (0..200).map(|it| (it * 20, SIGNALLED, Passes));
    let packets: Vec<_> = steady.chain([(4_010, STRANGER, Drops)]).collect();
    let remote = as_open_as_other_relays(Learning::Delayed, Handover::Never, &packets);
    assert_eq!(
        remote,
        Some(address(SIGNALLED)),
        "also if it was there all the time"
    );
}

#[test]
fn port_0_does_not_get_past_a_strict_source_where_others_may_be_heard() {
    for learning in [Learning::Off, Learning::Heuristic] {
        let remote = as_open_as_other_relays(
            learning,
            Handover::Never,
            &[(0, SIGNALLED, Passes), (20, "198.51.100.2:0", Drops)],
        );
        assert_eq!(remote, Some(address(SIGNALLED)));
    }
}

#[test]
fn nobody_is_learnt_of_whom_nothing_was_said_where_others_may_be_heard() {
    let mut bench = Bench::new(None, Learning::Heuristic);
    bench.rules(|it| (it.handover, it.forwards_others) = (Handover::Never, true));
    assert!(bench.arrive(0, STRANGER) && bench.arrive(20, SPRAYER));
    assert_eq!(bench.latch.remote(), None);
}

#[test]
fn with_handover_another_stream_takes_over_only_after_silence_where_others_may_be_heard() {
    let mut packets = vec![(0, SIGNALLED, Passes)];
    packets.extend((1..4).map(|it| (it * 20, STRANGER, Passes)));
    let learning = Learning::Heuristic;
    let remote = as_open_as_other_relays(learning, Handover::AnyStream, &packets);
    assert_eq!(remote, Some(address(SIGNALLED)));
}
