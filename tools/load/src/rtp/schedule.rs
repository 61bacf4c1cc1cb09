//! When each stream sends its next packet.
//!
//! All streams have the same interval, so the order of one round is the order of all: no queue
//! has to be kept, whatever the number of streams.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A schedule that is further behind than this leaves packets out, and counts them, instead of
/// sending them in a burst that no phones would send.
const BEHIND_MAX_NS: u64 = 20_000_000;

/// How to spread the streams over time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From one packet of a stream to the next.
    pub(crate) interval_ns: u64,
    /// The last stream begins this long after the first.
    pub(crate) ramp_ns: u64,
    /// Nothing is due from then on.
    pub(crate) end_ns: u64,
    /// At random points of the interval, from this seed; `None`: evenly.
    pub(crate) jitter_seed: Option<u64>,
}

/// One packet that is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Due {
    /// Index of the stream.
    pub(crate) stream: usize,
    /// When, counted from the start.
    pub(crate) at_ns: u64,
}

/// The packets of a number of streams, in the order in which they are due.
#[derive(Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    /// Place of each stream in the interval, sorted; and which stream it is.
    slots: Vec<(u64, usize)>,
    /// When each stream begins.
    begins: Vec<u64>,
    position: usize,
    round_ns: u64,
    skipped: u64,
}

impl Schedule {
    /// A schedule for `count` streams.
    pub(crate) fn new(count: usize, pace: Pace) -> Self {
        let pace = Pace {
            interval_ns: pace.interval_ns.max(1),
            ..pace
        };
        let share = |whole: u64, index: usize| {
            let part = u128::from(whole) * widen(index) / widen(count.max(1));
            // Less than `whole`.
            u64::try_from(part).unwrap_or(whole)
        };
        let mut random = pace.jitter_seed.map(StdRng::seed_from_u64);
        let phase = |index| match &mut random {
            Some(random) => random.random_range(0..pace.interval_ns),
            None => share(pace.interval_ns, index),
        };
        let mut slots: Vec<(u64, usize)> = (0..count).map(phase).zip(0..).collect();
        slots.sort_unstable();
        Self {
            pace,
            slots,
            begins: (0..count).map(|it| share(pace.ramp_ns, it)).collect(),
            position: 0,
            round_ns: 0,
            skipped: 0,
        }
    }

    /// When the next packet is due. `None` at the end.
    pub(crate) fn poll_timeout(&mut self) -> Option<u64> {
        loop {
            let &(phase_ns, stream) = self.slots.get(self.position)?;
            let at_ns = self.round_ns.saturating_add(phase_ns);
            if at_ns >= self.pace.end_ns {
                return None;
            }
            if at_ns >= self.begins[stream] {
                return Some(at_ns);
            }
            self.advance();
        }
    }

    /// Takes the next packet that is due by now.
    pub(crate) fn poll_due(&mut self, now_ns: u64) -> Option<Due> {
        loop {
            let at_ns = self.poll_timeout().filter(|&at_ns| at_ns <= now_ns)?;
            let (_, stream) = self.slots[self.position];
            self.advance();
            if now_ns - at_ns <= BEHIND_MAX_NS {
                return Some(Due { stream, at_ns });
            }
            self.skipped += 1;
        }
    }

    /// Packets that were left out because the schedule was too far behind.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    fn advance(&mut self) {
        self.position += 1;
        if self.position == self.slots.len() {
            self.position = 0;
            self.round_ns = self.round_ns.saturating_add(self.pace.interval_ns);
        }
    }
}

fn widen(number: usize) -> u128 {
    // Lossless on every platform there is.
    number.try_into().unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACE: Pace = Pace {
        interval_ns: 20_000_000,
        ramp_ns: 0,
        end_ns: 1_000_000_000,
        jitter_seed: Some(1),
    };

    fn all(schedule: &mut Schedule) -> Vec<Due> {
        let next = || {
            let now_ns = schedule.poll_timeout()?;
            schedule.poll_due(now_ns)
        };
        std::iter::from_fn(next).collect()
    }

    proptest! {
        #[test]
        fn each_stream_keeps_its_interval(count in 1_usize..50, seed: Option<u64>) {
            let pace = Pace { jitter_seed: seed, ..PACE };
            let dues = all(&mut Schedule::new(count, pace));
            prop_assert_eq!(dues.len(), count * 50);
            prop_assert!(dues.is_sorted_by_key(|due| due.at_ns));
            for stream in 0..count {
                let times = dues.iter().filter(|it| it.stream == stream).map(|it| it.at_ns);
                let times: Vec<u64> = times.collect();
                prop_assert!(times.windows(2).all(|it| it[1] - it[0] == PACE.interval_ns));
            }
        }
    }

    #[test]
    fn streams_begin_one_after_the_other() {
        let ramp_ns = 500_000_000;
        let mut schedule = Schedule::new(5, Pace { ramp_ns, ..PACE });
        let dues = all(&mut schedule);
        for stream in 0..5 {
            let first = dues.iter().find(|it| it.stream == stream).unwrap().at_ns;
            let begin = ramp_ns / 5 * u64::try_from(stream).unwrap();
            assert!(
                (begin..begin + PACE.interval_ns).contains(&first),
                "{stream}"
            );
        }
    }

    #[test]
    fn nothing_is_early() {
        let mut schedule = Schedule::new(3, PACE);
        let at_ns = schedule.poll_timeout().unwrap();
        assert_eq!(schedule.poll_due(at_ns - 1), None);
        assert_eq!(schedule.poll_due(at_ns).unwrap().at_ns, at_ns);
    }

    #[test]
    fn a_little_behind_is_made_good_and_much_is_counted() {
        let mut schedule = Schedule::new(
            1,
            Pace {
                jitter_seed: None,
                ..PACE
            },
        );
        // Due at 0 and 20 ms.
        let count = std::iter::from_fn(|| schedule.poll_due(20_000_000)).count();
        assert_eq!((count, schedule.skipped()), (2, 0));
        // Due at 40, 60, … 500 ms, of which those before 480 ms are given up.
        let count = std::iter::from_fn(|| schedule.poll_due(500_000_000)).count();
        assert_eq!((count, schedule.skipped()), (2, 22));
    }

    #[test]
    fn no_streams_send_nothing() {
        assert_eq!(Schedule::new(0, PACE).poll_timeout(), None);
    }
}
