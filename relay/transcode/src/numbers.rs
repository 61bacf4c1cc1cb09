//! The numbers of packets that leave as they came, without the jumps.

use relay_rtp::{Sequence, Ssrc};

/// From here on a step forward is a jump (`MAX_DROPOUT` of RFC 3550 A.1): a receiver would drop the
/// packet, and believe only the next one.
const FORWARD_MAX: i16 = 3_000;

/// The same of a step back (`MAX_MISORDER`).
const BACK_MAX: i16 = 100;

/// How the numbers of one source go on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Numbers {
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Source {
    ssrc: Ssrc,
    /// The newest that came.
    newest: Sequence,
    /// What is added to what comes.
    shift: u16,
}

impl Numbers {
    /// The number by which a packet is to leave: its own until the sender jumps, and then the one
    /// after the newest that left. Another source has numbers of its own.
    pub(crate) fn pass(&mut self, ssrc: Ssrc, sequence: Sequence) -> Sequence {
        let known = self.source.filter(|it| it.ssrc == ssrc);
        let mut source = known.unwrap_or(Source {
            ssrc,
            newest: sequence,
            shift: 0,
        });
        let step = sequence.distance_from(source.newest);
        if !(-BACK_MAX..FORWARD_MAX).contains(&step) {
            let next = source.newest.next().value().wrapping_add(source.shift);
            source.shift = next.wrapping_sub(sequence.value());
            source.newest = sequence;
        } else if step > 0 {
            source.newest = sequence;
        }
        self.source = Some(source);
        Sequence::new(sequence.value().wrapping_add(source.shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn passed(numbers: &mut Numbers, sequence: u16) -> u16 {
        let passed = numbers.pass(Ssrc::new(1), Sequence::new(sequence));
        passed.value()
    }

    #[test]
    fn a_jump_is_closed_and_what_is_lost_or_late_or_twice_is_not() {
        let mut numbers = Numbers::default();
        for (came, left) in [
            (2_000, 2_000),
            (2_000, 2_000),
            (2_010, 2_010),
            (2_009, 2_009),
            (62_011, 2_011),
            (62_013, 2_013),
            (62_012, 2_012),
            (5, 2_014),
        ] {
            assert_eq!(passed(&mut numbers, came), left);
        }
        let other = numbers.pass(Ssrc::new(2), Sequence::new(9));
        assert_eq!(other.value(), 9, "another source is another stream");
    }

    #[test]
    fn numbers_wrap_without_a_jump() {
        let mut numbers = Numbers::default();
        for sequence in [65_534, 65_535, 0, 1] {
            assert_eq!(passed(&mut numbers, sequence), sequence);
        }
    }

    proptest! {
        #[test]
        fn no_receiver_ever_sees_a_jump(sequences in prop::collection::vec(any::<u16>(), 2..50)) {
            let mut numbers = Numbers::default();
            let mut newest: Option<Sequence> = None;
            for sequence in sequences {
                let left = Sequence::new(passed(&mut numbers, sequence));
                let before = newest.unwrap_or(left);
                let step = left.distance_from(before);
                prop_assert!((-BACK_MAX..FORWARD_MAX).contains(&step));
                newest = Some(if step > 0 { left } else { before });
            }
        }
    }
}
