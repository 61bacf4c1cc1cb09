//! Which of many calls is due next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Keys by the time at which they want to be looked at. One that does not any more is not taken
/// out: whoever looks at it finds that nothing is due.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, u64)>>,
}

impl Timers {
    pub(super) fn set(&mut self, at: Instant, key: u64) {
        self.heap.push(Reverse((at, key)));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next key that is due by now.
    pub(super) fn poll_due(&mut self, now: Instant) -> Option<u64> {
        self.poll_timeout().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse((_, key))| key)
    }
}
