//! Keys that others took the place of, and that come back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const REPLAYED: Result<(Egress, Vec<u8>), Verdict> = Err(Verdict::Drop(DropReason::Replayed));

impl Bench {
    /// Another endpoint towards Bob.
    fn open_another(&mut self, number: u16) {
        self.done(Command::OpenEndpoint {
            call: CallKey(1),
            port: port(number),
            tos: None,
        });
        self.done(signal(number, BOB, Learning::Off));
    }

    /// A packet of Alice leaves towards Bob, who hears it.
    fn hears(&mut self, ear: &mut Receiver, sequence: u16) {
        let (_, bytes) = self.through(0, ALICE, &rtp(sequence)).unwrap();
        assert_eq!(opened(ear, &bytes), rtp(sequence));
    }
}

fn number_of_rtcp(report: &[u8]) -> u32 {
    let bytes = report[report.len() - 14..].first_chunk().unwrap();
    u32::from_be_bytes(*bytes)
}

/// A change that is taken back, or several phones that answer in turn.
#[test]
fn keys_that_come_back_go_on_where_they_were() {
    let (mut bench, mut peer, mut ear) = Bench::call_with_keys(Learning::Off);
    let taken = sealed(&mut peer, &rtp(65_535));
    bench.through(1, BOB, &taken).unwrap();
    bench.hears(&mut ear, 65_535);
    bench.hears(&mut ear, 0);
    let mut sequence = 0;
    let mut last_report = 0;
    for others in [3..4, 3..5, 3..7] {
        for seed in others {
            bench.done(set(30_002, Some(seed), Some(seed + 10)));
            let mut other = Receiver::new(&keys(seed + 10)).unwrap();
            bench.through(0, ALICE, &rtp(sequence)).map(drop).ok();
            let (_, report) = bench.through(0, ALICE, RTCP).unwrap();
            assert_eq!(opened(&mut other, &report), RTCP);
            last_report = number_of_rtcp(&report);
        }
        // Whatever else is said of it, it is the same key.
        let (receive, mut send) = (keys(1), keys(2));
        send.rtcp_is_clear = true;
        bench.done(set_all([(30_002, Some(receive), Some(send))]));
        bench.done(set(30_002, Some(1), Some(2)));
        assert_eq!(bench.through(1, BOB, &taken), REPLAYED);
        for used in [65_535, 0, sequence] {
            assert_eq!(bench.through(0, ALICE, &rtp(used)), REPLAYED);
        }
        sequence += 1;
        bench.hears(&mut ear, sequence);
        let (_, report) = bench.through(0, ALICE, RTCP).unwrap();
        assert_eq!(number_of_rtcp(&report), last_report + 1);
        let next = sealed(&mut peer, &rtp(sequence));
        assert_eq!(bench.through(1, BOB, &next).unwrap().1, rtp(sequence));
        assert_eq!(bench.through(1, BOB, &next), REPLAYED);
    }
}

/// A party may change its keys as often as it likes.
#[test]
fn a_few_keys_are_kept_and_no_more() {
    let (mut bench, _, mut ear) = Bench::call_with_keys(Learning::Off);
    bench.hears(&mut ear, 7);
    for (others, is_known) in [(3..7, true), (3..8, false)] {
        for seed in others {
            bench.done(set(30_002, None, Some(seed)));
        }
        bench.done(set(30_002, None, Some(2)));
        let left = bench.through(0, ALICE, &rtp(7));
        assert_eq!(left == REPLAYED, is_known);
    }
}

#[test]
fn keys_come_back_at_another_endpoint() {
    let (mut bench, _, mut ear) = Bench::call_with_keys(Learning::Off);
    bench.hears(&mut ear, 65_535);
    bench.hears(&mut ear, 0);
    bench.done(set(30_002, Some(1), Some(3)));
    bench.through(0, ALICE, &rtp(1)).unwrap();
    // Bob's port changes, and the keys are those of before.
    bench.open_another(30_004);
    bench.done(set(30_004, Some(1), Some(2)));
    bench.done(connect(30_000, Some(30_004)));
    assert_eq!(bench.through(0, ALICE, &rtp(0)), REPLAYED);
    bench.hears(&mut ear, 1);
    // It leaves what it has counted to where these keys are not used at the moment.
    bench.done(Command::CloseEndpoint {
        call: CallKey(1),
        port: port(30_004),
    });
    bench.done(connect(30_000, Some(30_002)));
    assert_eq!(bench.through(0, ALICE, &rtp(1)), REPLAYED, "with others");
    bench.done(set(30_002, Some(1), Some(2)));
    assert_eq!(bench.through(0, ALICE, &rtp(1)), REPLAYED);
    bench.hears(&mut ear, 2);
}

/// What happens to the keys of a party with two endpoints.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Keys, one of which may be that of both.
    Keys([Option<u8>; 2]),
    /// What leaves, leaves from this endpoint.
    Leave(bool),
    /// A packet of one of two sources, so far ahead.
    Packet(bool, u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    let key = || prop::option::weighted(0.9, 20_u8..25);
    prop_oneof![
        2 => [key(), key()].prop_map(Step::Keys),
        1 => any::<bool>().prop_map(Step::Leave),
        6 => (any::<bool>(), prop_oneof![3 => 0_u16..4, 1 => any::<u16>()])
            .prop_map(|(source, ahead)| Step::Packet(source, ahead)),
    ]
}

proptest! {
    /// Two packets with one key and number can be read by whoever has both. Who hears all that
    /// leaves with a key would take the second of them for one that it had already.
    #[test]
    fn no_number_of_a_key_leaves_twice(steps in prop::collection::vec(any_step(), 1..80)) {
        let mut bench = Bench::new();
        bench.call_between_alice_and_bob(Learning::Off);
        bench.open_another(30_004);
        let mut ears = BTreeMap::new();
        let (mut sequences, mut leaves_from, mut used) = ([65_530_u16; 2], 0, [None; 2]);
        for step in steps {
            match step {
                Step::Keys(keys_of) => {
                    used = keys_of;
                    let [one, other] = used.map(|it| it.map(keys));
                    bench.done(set_all([(30_002, None, one), (30_004, None, other)]));
                }
                Step::Leave(is_other) => {
                    leaves_from = usize::from(is_other);
                    bench.done(connect(30_000, Some([30_002, 30_004][leaves_from])));
                }
                Step::Packet(is_other, ahead) => {
                    let sequence = &mut sequences[usize::from(is_other)];
                    *sequence = sequence.wrapping_add(ahead);
                    let mut packet = rtp(*sequence);
                    packet[11] ^= u8::from(is_other);
                    let Ok((_, mut bytes)) = bench.through(0, ALICE, &packet) else {
                        continue;
                    };
                    let Some(key) = used[leaves_from] else {
                        prop_assert_eq!(bytes, packet);
                        continue;
                    };
                    let ear = ears.entry(key).or_insert_with(|| Receiver::new(&keys(key)).unwrap());
                    let len = ear.unprotect_rtp(&mut bytes);
                    prop_assert_eq!(len, Ok(packet.len()));
                    prop_assert_eq!(&bytes[..packet.len()], packet);
                }
            }
        }
    }
}
