//! What is measured, with whom, for how long, and where.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::contestants::Contestant;
use crate::world::Cores;

/// Streams of the runs between two hosts: few enough that no part of the time goes into cold
/// memory, and as many as a busy office has.
pub(crate) const HOSTS_STREAMS: u32 = 1_000;

/// Streams of the endurance run.
pub(crate) const ENDURANCE_STREAMS: u32 = 10_000;

/// A rate at which the number of streams is what counts.
pub(crate) const RATE_OF_STREAMS: u64 = 50_000;

/// How thorough.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effort {
    /// A few minutes: every ratio, roughly.
    Quick,
    /// Ten minutes or so: every ratio of the budgets.
    Usual,
    /// The whole matrix, for the curves: the better part of two hours.
    Full,
}

/// A point of the cost matrix.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Point {
    pub(crate) streams: u32,
    pub(crate) rate: u64,
    /// Only those that budgets are stated for.
    pub(crate) is_for_main: bool,
}

/// What is measured, for how long, and where.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) cores: Cores,
    /// Whether the generator sends whole frames between two hosts, past its host's stack.
    pub(crate) is_by_frames: bool,
    /// For how long it gathers packets.
    pub(crate) gather: Duration,
    /// One-way streams of tries at given rates.
    pub(crate) streams: u32,
    pub(crate) clock: Clock,
    pub(crate) matrix: Vec<Point>,
    pub(crate) rounds: u32,
    pub(crate) warm_up: Duration,
    /// Of one point, after the warm-up.
    pub(crate) measure: Duration,
    /// Of a try that only guides the search for capacity.
    pub(crate) probe: Duration,
    /// For which a rate must be carried without loss.
    pub(crate) capacity: Duration,
    /// Whether the capacity of the variants is searched, too.
    pub(crate) is_capacity_of_all: bool,
    pub(crate) endurance: Duration,
    /// Calls of the endurance run, with two streams each.
    pub(crate) endurance_calls: u32,
    pub(crate) set_up_calls: usize,
    /// Of one run of SIP work.
    pub(crate) sip: Duration,
}

impl Plan {
    pub(crate) fn new(effort: Effort, contestants: Vec<Contestant>, cores: Cores) -> Self {
        let usual = Self {
            contestants,
            cores,
            is_by_frames: true,
            gather: Duration::ZERO,
            streams: HOSTS_STREAMS,
            clock: Clock::new(),
            matrix: points_of_budgets(),
            rounds: 3,
            warm_up: Duration::from_secs(1),
            measure: Duration::from_secs(2),
            probe: Duration::from_secs(1),
            capacity: Duration::from_secs(10),
            is_capacity_of_all: false,
            endurance: Duration::from_secs(60),
            endurance_calls: ENDURANCE_STREAMS / 2,
            set_up_calls: 4_000,
            sip: Duration::from_secs(3),
        };
        match effort {
            Effort::Quick => Self {
                rounds: 1,
                capacity: Duration::from_secs(3),
                endurance: Duration::from_secs(10),
                set_up_calls: 2_000,
                sip: Duration::from_secs(2),
                ..usual
            },
            Effort::Usual => usual,
            Effort::Full => Self {
                matrix: all_points(),
                measure: Duration::from_secs(4),
                probe: Duration::from_secs(2),
                is_capacity_of_all: true,
                ..usual
            },
        }
    }

    /// Leaves out what needs more calls than are possible; says what. The most that are possible
    /// are measured instead.
    pub(crate) fn fit(&mut self, calls_possible: u32) -> Option<String> {
        let streams_max = self.matrix.iter().map(|it| it.streams).max().unwrap_or(0);
        let calls_max = streams_max.max(self.endurance_calls);
        self.set_up_calls = self.set_up_calls.min(usize::try_from(calls_possible).ok()?);
        if calls_max <= calls_possible {
            return None;
        }
        // A round number, to be compared between machines.
        let fewer = calls_possible / 20 * 20;
        for point in &mut self.matrix {
            point.streams = point.streams.min(fewer);
        }
        self.endurance_calls = self.endurance_calls.min(fewer);
        Some(format!(
            "{calls_max} calls: a process may open files for {calls_possible} only (ulimit -n); \
             the cost is measured with {} one-way streams at most, endurance with {} streams",
            streams_max.min(fewer),
            2 * self.endurance_calls
        ))
    }

    pub(crate) fn is_stopped(&self, stop: &AtomicBool) -> bool {
        stop.load(Ordering::Relaxed)
    }

    /// Those whom a budget is stated for.
    pub(crate) fn main(&self) -> impl Iterator<Item = &Contestant> {
        self.contestants.iter().filter(|it| it.is_main)
    }

    /// Those that are measured by the sink method.
    pub(crate) fn of_cost(&self) -> impl Iterator<Item = &Contestant> {
        self.contestants.iter().filter(|it| !it.has_kernel_table())
    }

    /// Those whose capacity is searched: without variants, unless all are asked for.
    pub(crate) fn of_capacity(&self) -> impl Iterator<Item = &Contestant> {
        let is_asked =
            |it: &&Contestant| self.is_capacity_of_all || it.is_main || it.has_kernel_table();
        self.contestants.iter().filter(is_asked)
    }

    /// Seconds that one point of the matrix is thought to take.
    pub(crate) fn cost_s(&self, point: &Point) -> f64 {
        let calls_s = f64::from(point.streams) * 0.000_4;
        (self.warm_up + self.measure).as_secs_f64() + 0.7 + calls_s
    }

    /// Seconds that the search for one capacity is thought to take.
    pub(crate) fn capacity_s(&self) -> f64 {
        10.0 * (self.probe.as_secs_f64() + 1.5) + 3.0 * (self.capacity.as_secs_f64() + 1.5)
    }

    pub(crate) fn latency_s(&self) -> f64 {
        (self.warm_up + self.measure).as_secs_f64() + 1.0
    }

    pub(crate) fn endurance_s(&self) -> f64 {
        self.endurance.as_secs_f64() + 12.0
    }

    pub(crate) fn sip_s(&self) -> f64 {
        self.sip.as_secs_f64() + 4.0
    }

    pub(crate) fn set_up_s(&self) -> f64 {
        // Of which most is rest.
        f64::from(u32::try_from(self.set_up_calls).unwrap_or(0)) * 0.001 + 15.7
    }
}

/// The points that budgets are stated for.
fn points_of_budgets() -> Vec<Point> {
    let point = |streams, rate, is_for_main| Point {
        streams,
        rate,
        is_for_main,
    };
    vec![
        point(100, 100_000, false),
        point(1_000, 100_000, false),
        point(10, RATE_OF_STREAMS, true),
        point(10_000, RATE_OF_STREAMS, true),
    ]
}

/// From almost nothing to more than a core can do; who is saturated is spared what is beyond.
fn all_points() -> Vec<Point> {
    let rates = [
        10_000, 50_000, 100_000, 150_000, 200_000, 250_000, 300_000, 400_000, 500_000,
    ];
    let of = |streams| {
        rates.map(|rate| Point {
            streams,
            rate,
            is_for_main: false,
        })
    };
    [10, 100, 1_000, 10_000].into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(effort: Effort) -> Plan {
        Plan::new(effort, Vec::new(), Cores { load: 0, relay: 1 })
    }

    #[test]
    fn every_effort_has_the_points_of_the_budgets() {
        for effort in [Effort::Quick, Effort::Usual, Effort::Full] {
            let matrix = plan(effort).matrix;
            let has = |streams, rate| {
                let is = |it: &Point| (it.streams, it.rate) == (streams, rate);
                matrix.iter().any(is)
            };
            assert!(has(100, 100_000) && has(1_000, 100_000));
            assert!(has(10, RATE_OF_STREAMS) && has(10_000, RATE_OF_STREAMS));
        }
    }

    #[test]
    fn what_does_not_fit_is_said_and_replaced() {
        let mut plan = plan(Effort::Usual);
        assert_eq!(plan.fit(10_000), None);
        let reason = plan.fit(4_880).unwrap();
        assert!(
            reason.contains("4880 one-way") && reason.contains("9760 streams"),
            "{reason}"
        );
        assert_eq!(plan.matrix.iter().map(|it| it.streams).max(), Some(4_880));
        assert_eq!(plan.endurance_calls, 4_880);
    }
}
