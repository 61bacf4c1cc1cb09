//! Arithmetic of sequence numbers that wrap (RFC 1982) and their extension (RFC 3550 A.1).

/// The 16-bit number of a packet in its stream. It wraps, so it has no order but only a
/// distance.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Sequence(u16);

impl Sequence {
    /// Any 16 bits are a sequence number.
    #[must_use]
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    /// As it stands in the packet.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// How far it is from `earlier` to this, the shorter way round: -32,768 to 32,767.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// This comes after `other` by RFC 1982 §3.2. Of two numbers exactly half the circle apart,
    /// neither does.
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }
}

/// A sequence number that counts on where the 16 bits wrap, so that loss over a whole stream is
/// a subtraction (RFC 3550 A.3).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ExtendedSequence(u64);

/// The first packet is put one turn up, so that packets from just before it have a number too.
const FIRST_CYCLE: u64 = 1 << 16;

impl ExtendedSequence {
    /// Begins with the first packet of a stream.
    #[must_use]
    pub const fn first(sequence: Sequence) -> Self {
        // Widening; `u64::from` is not const.
        Self(FIRST_CYCLE + sequence.0 as u64)
    }

    /// A number that [`Self::value`] has given, or one near it.
    #[must_use]
    pub const fn from_value(value: u64) -> Self {
        Self(value)
    }

    /// The whole number. Only differences mean anything.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The extended number of a packet of the same stream: the one nearest to this.
    #[must_use]
    pub fn extend(self, sequence: Sequence) -> Self {
        let distance = sequence.distance_from(self.sequence());
        Self(self.0.saturating_add_signed(i64::from(distance)))
    }

    /// The lower 16 bits.
    #[must_use]
    pub fn sequence(self) -> Sequence {
        let [.., high, low] = self.0.to_be_bytes();
        Sequence(u16::from_be_bytes([high, low]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_on_where_the_bits_wrap() {
        let first = ExtendedSequence::first(Sequence::new(65_534));
        let mut newest = first;
        for sequence in [65_535, 0, 1] {
            newest = newest.extend(Sequence::new(sequence));
        }
        assert_eq!(newest.value() - first.value(), 3);
        let late = newest.extend(Sequence::new(65_535));
        assert_eq!(late.value() - first.value(), 1);
    }

    #[test]
    fn neither_of_two_opposite_numbers_is_after_the_other() {
        let (a, b) = (Sequence::new(0), Sequence::new(32_768));
        assert!(!a.is_after(b) && !b.is_after(a));
    }

    #[test]
    fn packets_from_before_the_first_have_a_number() {
        let first = ExtendedSequence::first(Sequence::new(0));
        assert!(first.extend(Sequence::new(65_535)) < first);
    }

    proptest! {
        #[test]
        fn agrees_with_another_implementation(a: u16, b: u16) {
            let theirs = rtp_rs::Seq::from(a) - rtp_rs::Seq::from(b);
            let ours = Sequence::new(a).distance_from(Sequence::new(b));
            prop_assert_eq!(i32::from(ours), theirs);
        }

        #[test]
        fn follows_any_walk_of_short_steps(start: u16, steps in prop::collection::vec(-1000_i64..1000, 0..200)) {
            let first = ExtendedSequence::first(Sequence::new(start));
            let (mut newest, mut walked) = (first, 0_i64);
            for step in steps {
                if walked + step < -30_000 {
                    continue;
                }
                walked += step;
                let low = (i64::from(start) + walked).rem_euclid(65_536);
                newest = newest.extend(Sequence::new(u16::try_from(low).unwrap()));
                let distance = i64::try_from(newest.value()).unwrap() - i64::try_from(first.value()).unwrap();
                prop_assert_eq!(distance, walked);
            }
        }
    }
}
