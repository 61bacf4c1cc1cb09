//! How often something may happen: so often at once, and then once in a while.

use std::time::{Duration, Instant};

/// What may happen `BURST` times at once, and then once in `INTERVAL_US`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace<const BURST: u32, const INTERVAL_US: u64> {
    /// When all of it is there again.
    full_at: Option<Instant>,
}

impl<const BURST: u32, const INTERVAL_US: u64> Pace<BURST, INTERVAL_US> {
    const INTERVAL: Duration = Duration::from_micros(INTERVAL_US);

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

    #[test]
    fn a_burst_and_then_one_in_each_interval() {
        let (mut pace, start) = (Pace::<4, 100_000>::default(), Instant::now());
        let mut taken = |ms| {
            let now = start + Duration::from_millis(ms);
            (0..10).filter(|_| pace.take(now)).count()
        };
        assert_eq!([0, 50, 150, 350, 10_000].map(&mut taken), [4, 1, 1, 2, 4]);
    }
}
