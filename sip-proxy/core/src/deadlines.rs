//! When things are due: a heap whose entries are corrected, not removed.
//!
//! What a deadline belongs to knows its true deadline itself. An entry of the heap only says "look
//! at it no later than this"; whoever looks and finds that it is not yet time arms it again. So an
//! item has few entries however often its deadline moves, and dropping an item touches no heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Deadlines of items that are named by `K`.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
}

/// The earliest entry of one item, kept beside the item.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Armed(Option<Instant>);

impl<K: Copy + Ord> Deadlines<K> {
    pub(crate) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
        }
    }

    /// Makes sure that `key` is looked at no later than `deadline`.
    pub(crate) fn arm(&mut self, armed: &mut Armed, key: K, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if armed.0.is_none_or(|at| deadline < at) {
            armed.0 = Some(deadline);
            self.heap.push(Reverse((deadline, key)));
        }
    }

    /// Takes the next item to look at, if its time has come. Its [`Armed`] is to be
    /// [fired](Armed::fired) before it is armed again.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, K)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// No item is due before this.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Entries, true and outdated.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl Armed {
    /// The entry at `at` was taken. An entry that is later than the earliest is left in the heap
    /// when an earlier one is pushed; taking it then changes nothing.
    pub(crate) fn fired(&mut self, at: Instant) {
        if self.0 == Some(at) {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moving_a_deadline_later_adds_no_entry() {
        let start = crate::sim::start();
        let mut deadlines = Deadlines::new();
        let mut armed = Armed::default();
        for second in 1..100 {
            deadlines.arm(&mut armed, 7, Some(start + Duration::from_secs(second)));
        }
        assert_eq!(deadlines.len(), 1);
        assert_eq!(deadlines.next(), Some(start + Duration::from_secs(1)));
    }

    #[test]
    fn an_earlier_deadline_is_seen_first() {
        let start = crate::sim::start();
        let mut deadlines = Deadlines::new();
        let mut armed = Armed::default();
        deadlines.arm(&mut armed, 7, Some(start + Duration::from_secs(9)));
        deadlines.arm(&mut armed, 7, Some(start + Duration::from_secs(3)));
        assert_eq!(deadlines.pop(start + Duration::from_secs(2)), None);
        let (at, key) = deadlines.pop(start + Duration::from_secs(3)).unwrap();
        assert_eq!(key, 7);
        armed.fired(at);
        deadlines.arm(&mut armed, 7, Some(start + Duration::from_secs(5)));
        assert_eq!(deadlines.next(), Some(start + Duration::from_secs(5)));
    }
}
