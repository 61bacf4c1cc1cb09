//! What is measured, for how long, and where.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::relay::Contestant;
use crate::world::Cores;

/// What is measured, for how long, and where.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) cores: Cores,
    /// Streams and packets per second of the cost matrix.
    pub(crate) matrix: Vec<(u32, u64)>,
    pub(crate) rounds: u32,
    pub(crate) warm_up: Duration,
    /// Of one point, after the warm-up.
    pub(crate) measure: Duration,
    /// For which a rate must be carried without loss.
    pub(crate) capacity: Duration,
    pub(crate) set_up_calls: usize,
}

impl Plan {
    /// A few minutes: the points that budgets are stated for.
    pub(crate) fn quick(contestants: Vec<Contestant>, cores: Cores) -> Self {
        Self {
            contestants,
            cores,
            matrix: vec![
                (10, 50_000),
                (100, 100_000),
                (1_000, 50_000),
                (1_000, 100_000),
                (10_000, 50_000),
            ],
            rounds: 2,
            warm_up: Duration::from_secs(1),
            measure: Duration::from_secs(2),
            capacity: Duration::from_secs(3),
            set_up_calls: 2_000,
        }
    }

    /// Half an hour.
    pub(crate) fn full(contestants: Vec<Contestant>, cores: Cores) -> Self {
        let streams = [10, 100, 1_000, 10_000];
        let rates = [10_000, 50_000, 100_000, 150_000, 200_000];
        let matrix = streams
            .into_iter()
            .flat_map(|streams| rates.map(|rate| (streams, rate)));
        Self {
            matrix: matrix.collect(),
            rounds: 3,
            measure: Duration::from_secs(5),
            capacity: Duration::from_secs(10),
            set_up_calls: 5_000,
            ..Self::quick(contestants, cores)
        }
    }

    /// Leaves out what needs more calls than are possible; says so if there was any. The most
    /// that are possible are measured instead.
    pub(crate) fn fit(&mut self, calls_possible: u32) -> Option<String> {
        let (most, _) = *self.matrix.iter().max()?;
        self.set_up_calls = self.set_up_calls.min(usize::try_from(calls_possible).ok()?);
        if most <= calls_possible {
            return None;
        }
        // A round number, to be compared between machines.
        let fewer = calls_possible / 500 * 500;
        for (streams, _) in &mut self.matrix {
            *streams = (*streams).min(fewer);
        }
        Some(format!(
            "{most} streams: this process may open files for {calls_possible} calls only \
             (ulimit -n); {fewer} streams are measured instead"
        ))
    }

    pub(crate) fn is_stopped(&self, stop: &AtomicBool) -> bool {
        stop.load(Ordering::Relaxed)
    }

    /// A line for those who wait.
    pub(crate) fn tell(&self, line: &str) {
        let mut out = io::stdout();
        // Nobody has to read it: the results are in files.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

/// The points of the matrix, once a round.
#[derive(Debug)]
pub(crate) struct Rounds<'a> {
    plan: &'a Plan,
    next: usize,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Self {
        Self { plan, next: 0 }
    }
}

impl Iterator for Rounds<'_> {
    type Item = (u32, u32, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let count = self.plan.matrix.len().max(1);
        let round = u32::try_from(self.next / count).ok()?;
        let (streams, rate) = *self.plan.matrix.get(self.next % count)?;
        self.next += 1;
        (round < self.plan.rounds).then_some((round, streams, rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan::full(Vec::new(), Cores { load: 0, relay: 1 })
    }

    #[test]
    fn a_round_is_the_whole_matrix() {
        let plan = plan();
        let points: Vec<_> = Rounds::new(&plan).collect();
        assert_eq!(points.len(), plan.matrix.len() * 3);
        assert_eq!(points[0], (0, 10, 10_000));
        assert_eq!(points[plan.matrix.len()], (1, 10, 10_000));
    }

    #[test]
    fn what_does_not_fit_is_said_and_replaced() {
        let mut plan = plan();
        assert_eq!(plan.fit(10_000), None);
        let reason = plan.fit(4_880).unwrap();
        assert!(reason.contains("4500 streams"), "{reason}");
        assert_eq!(plan.matrix.iter().max(), Some(&(4_500, 200_000)));
    }
}
