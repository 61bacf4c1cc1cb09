//! How far the whole of it is, and how long the rest takes.

use std::cell::Cell;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Counts the steps that are done, in seconds that they were thought to take.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    all_s: Cell<f64>,
    done_s: Cell<f64>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            all_s: Cell::new(0.0),
            done_s: Cell::new(0.0),
        }
    }

    /// A step of about `seconds` is to come.
    pub(crate) fn expect(&self, seconds: f64) {
        self.all_s.set(self.all_s.get() + seconds);
    }

    /// A step that was thought to take `seconds` is over.
    pub(crate) fn tick(&self, seconds: f64) {
        self.done_s
            .set((self.done_s.get() + seconds).min(self.all_s.get()));
    }

    /// A line for those who wait, with the time that is left.
    pub(crate) fn tell(&self, line: &str) {
        let left = left(self.began.elapsed(), self.done_s.get(), self.all_s.get());
        let (minutes, seconds) = (left.as_secs() / 60, left.as_secs() % 60);
        let mut out = io::stdout();
        // Nobody has to read it: the results are in files.
        let _ = writeln!(out, "{minutes:>3}:{seconds:02} left  {line}").and_then(|()| out.flush());
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// What was thought, corrected by how the thought fared so far: the more is done, the more.
fn left(elapsed: Duration, done_s: f64, all_s: f64) -> Duration {
    if all_s <= 0.0 {
        return Duration::ZERO;
    }
    let share = (done_s / all_s).clamp(0.0, 1.0);
    let seen = if done_s > 0.0 {
        elapsed.as_secs_f64() / done_s
    } else {
        1.0
    };
    let factor = 1.0 + (seen - 1.0) * share.sqrt();
    Duration::try_from_secs_f64((all_s - done_s).max(0.0) * factor.max(0.1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_comes_to_what_is_seen() {
        assert_eq!(left(Duration::ZERO, 0.0, 100.0), Duration::from_secs(100));
        assert_eq!(
            left(Duration::from_secs(50), 50.0, 100.0),
            Duration::from_secs(50)
        );
        // Twice as slow as thought.
        let late = left(Duration::from_secs(180), 90.0, 100.0).as_secs();
        assert!((18..=20).contains(&late), "{late}");
        assert_eq!(left(Duration::from_secs(9), 10.0, 10.0), Duration::ZERO);
        assert_eq!(left(Duration::from_secs(9), 0.0, 0.0), Duration::ZERO);
    }
}
