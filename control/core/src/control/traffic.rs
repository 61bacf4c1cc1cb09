//! What all workers forward in a second.

use std::time::{Duration, Instant};

use relay_wire::WorkerStats;

use super::metrics::{BYTES_OUT, DROPPED};

/// Longer ago than this, the counts before say nothing of now.
const WINDOW_MAX: Duration = Duration::from_secs(60);

/// Counts of all workers, or what they are in a second.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Traffic {
    /// Packets that left.
    pub(super) packets: u64,
    /// Their UDP payload bytes.
    pub(super) bytes: u64,
    /// Packets that arrived and went no further.
    pub(super) errors: u64,
    /// Packets that the kernel forwarded by itself, which are among the others.
    pub(super) kernel_packets: u64,
    /// Their bytes.
    pub(super) kernel_bytes: u64,
}

/// The newest counts, and how fast they grew.
#[derive(Debug, Default)]
pub(super) struct Pace {
    newest: Option<(Instant, Traffic)>,
    per_second: Option<Traffic>,
}

impl Traffic {
    /// Adds what a worker has counted.
    pub(super) fn add(&mut self, stats: &WorkerStats) {
        self.packets += stats.packets_out;
        for (name, count) in &stats.counters {
            match name.as_str() {
                BYTES_OUT => self.bytes += count,
                "kernel_bytes" => self.kernel_bytes += count,
                "kernel_packets" => self.kernel_packets += count,
                name if name.starts_with(DROPPED) => self.errors += count,
                _ => {}
            }
        }
    }

    /// What came since, in a second. `None`: a relay that was started again counts from 0.
    fn since(self, before: Self, elapsed: Duration) -> Option<Self> {
        let ms = u64::try_from(elapsed.as_millis()).ok()?;
        let rate = |of: fn(Self) -> u64| {
            let grown = of(self).checked_sub(of(before))?;
            grown.saturating_mul(1_000).checked_div(ms)
        };
        Some(Self {
            packets: rate(|it| it.packets)?,
            bytes: rate(|it| it.bytes)?,
            errors: rate(|it| it.errors)?,
            kernel_packets: rate(|it| it.kernel_packets)?,
            kernel_bytes: rate(|it| it.kernel_bytes)?,
        })
    }
}

impl Pace {
    /// Takes the sum over all workers.
    pub(super) fn note(&mut self, now: Instant, total: Traffic) {
        let before = self.newest.replace((now, total));
        self.per_second = before.and_then(|(then, before)| {
            let elapsed = now.saturating_duration_since(then);
            let elapsed = Some(elapsed).filter(|it| *it <= WINDOW_MAX)?;
            total.since(before, elapsed)
        });
    }

    /// As of the newest counts; `None`: there are none, or they are old.
    pub(super) fn per_second(&self, now: Instant) -> Option<Traffic> {
        let (then, _) = self.newest?;
        let age = now.saturating_duration_since(then);
        self.per_second.filter(|_| age <= WINDOW_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::start;

    fn counts(packets: u64) -> Traffic {
        let mut traffic = Traffic::default();
        traffic.add(&WorkerStats {
            packets_out: packets,
            counters: [
                (BYTES_OUT, packets * 172),
                ("dropped_stranger", packets / 10),
                ("dropped_loop", packets / 10),
                ("kernel_packets", packets / 2),
                ("kernel_bytes", packets * 86),
                ("turns", 7),
            ]
            .map(|(name, count)| (name.to_owned(), count))
            .to_vec(),
            ..WorkerStats::default()
        });
        traffic
    }

    #[test]
    fn rates_are_what_came_between_two_looks() {
        let mut pace = Pace::default();
        let at = |s| start() + Duration::from_secs(s);
        pace.note(at(0), counts(1_000));
        assert_eq!(pace.per_second(at(0)), None, "one look is none");
        pace.note(at(5), counts(2_000));
        let expected = Traffic {
            packets: 200,
            bytes: 34_400,
            errors: 40,
            kernel_packets: 100,
            kernel_bytes: 17_200,
        };
        assert_eq!(pace.per_second(at(6)), Some(expected));
        assert_eq!(pace.per_second(at(66)), None, "long ago");
        pace.note(at(10), counts(100));
        assert_eq!(pace.per_second(at(10)), None, "it was started again");
        pace.note(at(10), counts(100));
        assert_eq!(pace.per_second(at(10)), None, "no time has passed");
        pace.note(at(71), counts(200));
        assert_eq!(pace.per_second(at(71)), None, "too far apart");
    }
}
