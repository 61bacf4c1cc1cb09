//! Whether a turn waits for company: a wake-up costs as much as some packets, so it pays to let
//! some more come first, as long as nobody waits for long.
//!
//! A turn waits only if, as things go, at least [`COMPANY_MIN`] packets arrive within the bound.
//! Below that a packet is forwarded at once, and an idle worker sleeps without a timer. Neither does
//! one wait that follows on a crowd: the worker has fallen behind, and there is a queue already.
//! Asked for one packet the kernel serves 20 sockets and comes back, asked for many it serves as
//! many sockets, with up to 32 packets each, more than a cache holds.

use std::time::{Duration, Instant};

/// Packets that must be expected within the bound.
const COMPANY_MIN: u64 = 2;

/// Packets that end the wait early: more would not make a packet much cheaper, and would be
/// sent in a burst.
const COMPANY_MAX: u32 = 64;

/// Packets of a turn that are a crowd.
const CROWD_MIN: u64 = 2 * 64;

/// Parts of a packet that the load is counted in.
const SCALE: u64 = 256;

/// How much of the load before the last turn is kept: a few turns of memory.
const KEEP: u64 = 7;

/// Decides for one worker.
#[derive(Debug)]
pub(super) struct Batching {
    /// How long a packet may wait at most. Zero: never.
    bound: Duration,
    turned_at: Option<Instant>,
    /// Packets of this turn so far.
    packets: u64,
    /// Packets that arrive within the bound, smoothed, by [`SCALE`].
    load: u64,
}

/// What a turn waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Company {
    /// This many packets end the wait.
    pub(super) packets: u32,
    /// As does this time, if one has come.
    pub(super) bound: Duration,
}

impl Batching {
    pub(super) fn new(bound: Duration) -> Self {
        Self {
            bound,
            turned_at: None,
            packets: 0,
            load: 0,
        }
    }

    /// A packet has arrived.
    pub(super) fn note(&mut self) {
        self.packets += 1;
    }

    /// A turn that began at `now` is over: what the next one waits for, if anything.
    pub(super) fn turn(&mut self, now: Instant) -> Option<Company> {
        let packets = std::mem::take(&mut self.packets);
        let before = self.turned_at.replace(now)?;
        let bound = nanoseconds(self.bound);
        let elapsed = nanoseconds(now.saturating_duration_since(before)).max(1);
        let newest = (packets * SCALE).saturating_mul(bound) / elapsed;
        self.load = (KEEP * self.load + newest.min(LOAD_MAX)) / (KEEP + 1);
        let is_worth_it = self.load >= COMPANY_MIN * SCALE && packets < CROWD_MIN;
        is_worth_it.then_some(Company {
            packets: COMPANY_MAX,
            bound: self.bound,
        })
    }
}

/// More than any worker forwards, so that one turn does not count for long.
const LOAD_MAX: u64 = 1_000 * SCALE;

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of so many packets, so many microseconds apart: does the last one wait?
    fn waits(bound_us: u64, packets: usize, apart_us: u64) -> bool {
        let mut batching = Batching::new(Duration::from_micros(bound_us));
        let mut now = Instant::now();
        let mut company = None;
        for _ in 0..100 {
            (0..packets).for_each(|_| batching.note());
            company = batching.turn(now);
            now += Duration::from_micros(apart_us);
        }
        company.is_some()
    }

    #[test]
    fn waits_only_if_others_will_come() {
        assert!(!waits(300, 0, 1));
        assert!(!waits(300, 1, 20_000), "one call");
        assert!(!waits(300, 1, 160), "not two within the bound");
        assert!(waits(300, 1, 140));
        assert!(
            waits(300, 30, 300),
            "the batches that come of waiting go on"
        );
        assert!(!waits(0, 100, 1), "never");
    }

    #[test]
    fn a_crowd_waits_for_nobody() {
        assert!(waits(300, 100, 300));
        assert!(!waits(300, 1_000, 300));
    }

    #[test]
    fn forgets_a_burst_soon() {
        let mut batching = Batching::new(Duration::from_micros(300));
        let mut now = Instant::now();
        assert_eq!(batching.turn(now), None, "nothing is known yet");
        (0..100_000).for_each(|_| batching.note());
        now += Duration::from_micros(1);
        assert_eq!(batching.turn(now), None, "a crowd");
        batching.note();
        now += Duration::from_micros(1);
        assert!(batching.turn(now).is_some(), "it is remembered");
        let turns = (0..100).take_while(|_| {
            now += Duration::from_millis(20);
            batching.note();
            batching.turn(now).is_some()
        });
        assert!(turns.count() < 60);
    }
}
