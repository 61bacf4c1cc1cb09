//! The order in which the packets of one stream arrive.

/// Numbers behind the highest that are remembered: later ones cannot be told from repetitions.
const WINDOW: u32 = 1_024;
const WORDS: usize = 16;

const _: () = assert!(WORDS * 64 == WINDOW as usize);

/// What arrived of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals {
    /// One more than the highest number so far.
    next: u32,
    /// Which of the last [`WINDOW`] numbers arrived, by their remainder.
    seen: [u64; WORDS],
}

/// How a packet stands to those before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    /// It was here before.
    Duplicate,
    /// The highest number so far.
    InOrder,
    /// So late that nobody knows whether it was here before; counts as lost.
    Late,
    /// After one with a higher number.
    Reordered,
}

impl Arrivals {
    /// Takes note of a packet.
    pub(crate) fn handle(&mut self, number: u32) -> Arrival {
        if number >= self.next {
            self.forget(self.next, number);
            self.mark(number);
            self.next = number.saturating_add(1);
            return Arrival::InOrder;
        }
        if self.next - number > WINDOW {
            return Arrival::Late;
        }
        if self.mark(number) {
            Arrival::Duplicate
        } else {
            Arrival::Reordered
        }
    }

    /// Clears what stood for numbers that are a window older than these.
    fn forget(&mut self, from: u32, to: u32) {
        if to - from >= WINDOW {
            self.seen = [0; WORDS];
            return;
        }
        for number in from..=to {
            let (word, bit) = place(number);
            self.seen[word] &= !bit;
        }
    }

    /// Marks a number; says whether it was marked before.
    fn mark(&mut self, number: u32) -> bool {
        let (word, bit) = place(number);
        let before = self.seen[word] & bit != 0;
        self.seen[word] |= bit;
        before
    }
}

fn place(number: u32) -> (usize, u64) {
    // Below WINDOW, which fits.
    let slot = usize::try_from(number % WINDOW).unwrap_or(0);
    (slot / 64, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Arrival::{Duplicate, InOrder, Late, Reordered};
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn arrivals<const N: usize>(numbers: [u32; N]) -> [Arrival; N] {
        let mut it = Arrivals::default();
        numbers.map(|number| it.handle(number))
    }

    #[test]
    fn order_is_told_from_disorder() {
        assert_eq!(
            arrivals([0, 1, 3, 2, 3, 2, 4]),
            [
                InOrder, InOrder, InOrder, Reordered, Duplicate, Duplicate, InOrder
            ]
        );
    }

    #[test]
    fn a_gap_is_no_disorder() {
        assert_eq!(arrivals([5, 9, 9]), [InOrder, InOrder, Duplicate]);
        assert_eq!(arrivals([0, 5_000, 4_999]), [InOrder, InOrder, Reordered]);
    }

    #[test]
    fn what_is_too_late_is_not_guessed_at() {
        assert_eq!(
            arrivals([0, 1_024, 1, 0]),
            [InOrder, InOrder, Reordered, Late]
        );
    }

    proptest! {
        /// Whatever the order, as long as it is within the window: each number is new once.
        #[test]
        fn counts_each_number_once(numbers in prop::collection::vec(0_u32..1_000, 0..200)) {
            let mut it = Arrivals::default();
            let mut seen = HashSet::new();
            for number in numbers {
                let is_new = it.handle(number) != Duplicate;
                prop_assert_eq!(is_new, seen.insert(number));
            }
        }
    }
}
