//! How often something may be done.

use std::time::{Duration, Instant};

/// So many at once, and then one each so often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    left: u8,
    since: Option<Instant>,
}

const BURST: u8 = 8;
const INTERVAL: Duration = Duration::from_millis(500);

impl Default for Allowance {
    fn default() -> Self {
        Self {
            left: BURST,
            since: None,
        }
    }
}

impl Allowance {
    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        let earned = passed.as_millis() / INTERVAL.as_millis();
        if earned > 0 {
            let earned = u8::try_from(earned).unwrap_or(u8::MAX);
            self.left = self.left.saturating_add(earned).min(BURST);
            self.since = Some(now);
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests need an instant to begin with"
)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_some() {
        let mut allowance = Allowance::default();
        let now = Instant::now();
        assert_eq!((0..100).filter(|_| allowance.take(now)).count(), 8);
        let later = now + 2 * INTERVAL;
        assert_eq!((0..100).filter(|_| allowance.take(later)).count(), 2);
        let much_later = later + 1_000 * INTERVAL;
        assert_eq!((0..100).filter(|_| allowance.take(much_later)).count(), 8);
    }
}
