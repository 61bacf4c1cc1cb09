//! How much a codec thread has to do, and what is to be done about it.

use std::time::{Duration, Instant};

/// What a codec thread can do about too much to do.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Level {
    /// There is time for all.
    #[default]
    Easy,
    /// Less work is made of Opus.
    Pressed,
    /// No call is taken on.
    Full,
}

/// How long the share of time at work is measured: seconds of speech are alike.
const PERIOD: Duration = Duration::from_secs(1);

/// A level is left for the one below after so many periods that would not have led to it.
const PERIODS_EASY: u32 = 5;

/// Shares of time at work, in percent, from which on a thread is pressed, and full.
const PRESSED_PERCENT: u128 = 75;
const FULL_PERCENT: u128 = 90;

/// Packets so old that wait mean the same: the thread looks each millisecond.
const PRESSED_AGE: Duration = Duration::from_millis(10);
const FULL_AGE: Duration = Duration::from_millis(30);

/// Watches how a codec thread keeps up.
#[derive(Debug)]
pub(super) struct Load {
    level: Level,
    since: Instant,
    worked: Duration,
    oldest: Duration,
    easy_periods: u32,
    /// What the last period would lead to.
    measured: Level,
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            level: Level::Easy,
            since: now,
            worked: Duration::ZERO,
            oldest: Duration::ZERO,
            easy_periods: 0,
            measured: Level::Easy,
        }
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    /// A round of work has taken so long, and the oldest packet in it had waited so long.
    pub(super) fn handle_round(&mut self, now: Instant, worked: Duration, oldest: Duration) {
        self.worked += worked;
        self.oldest = self.oldest.max(oldest);
        let period = now.saturating_duration_since(self.since);
        if period < PERIOD {
            return;
        }
        let percent = self.worked.as_nanos() * 100 / period.as_nanos().max(1);
        let measured = if percent >= FULL_PERCENT || self.oldest >= FULL_AGE {
            Level::Full
        } else if percent >= PRESSED_PERCENT || self.oldest >= PRESSED_AGE {
            Level::Pressed
        } else {
            Level::Easy
        };
        self.note(measured);
        (self.since, self.worked, self.oldest) = (now, Duration::ZERO, Duration::ZERO);
    }

    /// What happens once is a hiccup of the system: two periods in a row make a level.
    fn note(&mut self, measured: Level) {
        let before = std::mem::replace(&mut self.measured, measured);
        if measured >= self.level {
            self.level = self.level.max(measured.min(before));
            self.easy_periods = 0;
            return;
        }
        self.easy_periods += 1;
        if self.easy_periods >= PERIODS_EASY {
            self.easy_periods = 0;
            self.level = match self.level {
                Level::Full => Level::Pressed,
                Level::Pressed | Level::Easy => Level::Easy,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds with this share of work and this age of the oldest packet.
    fn pass(load: &mut Load, now: &mut Instant, seconds: u32, percent: u32, age_ms: u64) {
        for _ in 0..seconds * 100 {
            *now += Duration::from_millis(10);
            let worked = Duration::from_micros(100) * percent;
            load.handle_round(*now, worked, Duration::from_millis(age_ms));
        }
    }

    #[test]
    fn too_much_work_presses_and_then_refuses_and_ease_comes_slowly() {
        let mut now = Instant::now();
        let mut load = Load::new(now);
        pass(&mut load, &mut now, 3, 70, 2);
        assert_eq!(load.level(), Level::Easy);
        pass(&mut load, &mut now, 2, 80, 2);
        assert_eq!(load.level(), Level::Pressed);
        pass(&mut load, &mut now, 2, 95, 2);
        assert_eq!(load.level(), Level::Full);
        pass(&mut load, &mut now, 3, 50, 2);
        assert_eq!(load.level(), Level::Full, "not at once");
        pass(&mut load, &mut now, 4, 50, 2);
        assert_eq!(load.level(), Level::Pressed);
        pass(&mut load, &mut now, 6, 50, 2);
        assert_eq!(load.level(), Level::Easy);
    }

    #[test]
    fn a_hiccup_means_nothing() {
        let mut now = Instant::now();
        let mut load = Load::new(now);
        for _ in 0..5 {
            pass(&mut load, &mut now, 1, 95, 100);
            pass(&mut load, &mut now, 1, 10, 2);
            assert_eq!(load.level(), Level::Easy);
        }
    }

    #[test]
    fn packets_that_wait_mean_the_same() {
        let mut now = Instant::now();
        let mut load = Load::new(now);
        pass(&mut load, &mut now, 2, 1, 15);
        assert_eq!(load.level(), Level::Pressed);
        pass(&mut load, &mut now, 2, 1, 40);
        assert_eq!(load.level(), Level::Full);
    }
}
