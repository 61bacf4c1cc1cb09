//! How often something may happen: so often at once, and then once in a while.

use std::time::{Duration, Instant};

/// What may happen `BURST` times at once, and then once in `INTERVAL_MS`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowance<const BURST: u32, const INTERVAL_MS: u64> {
    /// When all of it is there again.
    full_at: Option<Instant>,
}

impl<const BURST: u32, const INTERVAL_MS: u64> Allowance<BURST, INTERVAL_MS> {
    const INTERVAL: Duration = Duration::from_millis(INTERVAL_MS);

    /// Nothing of it is taken.
    pub(crate) const FULL: Self = Self { full_at: None };

    /// Says whether it may happen now; then it has.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |it| it.max(now));
        let is_left = full_at < now + Self::INTERVAL * BURST;
        if is_left {
            self.full_at = Some(full_at + Self::INTERVAL);
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::start;

    #[test]
    fn a_burst_and_then_one_in_each_interval() {
        let (mut allowance, start) = (Allowance::<4, 100>::default(), start());
        let mut taken = |ms| {
            let now = start + Duration::from_millis(ms);
            (0..10).filter(|_| allowance.take(now)).count()
        };
        assert_eq!([0, 50, 150, 350, 10_000].map(&mut taken), [4, 1, 1, 2, 4]);
    }
}
