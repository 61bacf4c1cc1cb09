//! What a run found out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::options::{Mode, Options};
use super::tally::Tally;
use crate::histogram::curve;
use crate::plot::Curve;
use crate::watch::{CoreUse, ProcessUse, float};
use crate::{Machine, Percentiles};

/// What is begun later than this at the 99th percentile does not keep the pace.
const LATENESS_MAX_US: f64 = 50_000.0;

/// What a run found out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked for.
    pub asked: Asked,
    /// What it ran on.
    pub machine: Machine,
    /// Registrations, or calls, that were begun.
    pub begun: u64,
    /// Of these, done without a failure.
    pub done: u64,
    /// Done per second.
    pub done_per_second: f64,
    /// Failures by status; 0 is no answer.
    pub failures: BTreeMap<u16, u64>,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls whose media somebody took in between.
    pub anchored: u64,
    /// Digest challenges.
    pub challenges: u64,
    /// Messages that we sent again.
    pub retransmissions_sent: u64,
    /// Messages that we got again.
    pub retransmissions_received: u64,
    /// Provisional responses after final ones.
    pub out_of_order: u64,
    /// Datagrams that are no SIP.
    pub malformed: u64,
    /// Times in microseconds, by what was timed.
    pub times_us: BTreeMap<&'static str, Percentiles>,
    /// The CPU of processes; each call or registration is one "packet".
    pub processes: Vec<ProcessUse>,
    /// The use of cores.
    pub cores: Vec<CoreUse>,
    /// Microseconds from being due to being begun.
    pub lateness_us: Percentiles,
    /// Why the generator was the bottleneck; empty if it was not.
    pub limits: Vec<String>,
    /// Whether it was stopped before its time.
    pub is_stopped: bool,
    /// Curves of times by rarity.
    #[serde(skip)]
    pub curves: Vec<Curve>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// Where SIP was sent.
    pub server: String,
    /// `calls` or `registrations`.
    pub mode: &'static str,
    /// Per second.
    pub rate: u32,
    /// For how long.
    pub duration_s: f64,
    /// Among how many accounts.
    pub users: u32,
    /// How long calls last.
    pub hold_s: f64,
}

/// What the report is made of, besides the tally.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) machine: Machine,
    pub(super) elapsed_s: f64,
    pub(super) processes: Vec<ProcessUse>,
    pub(super) cores: Vec<CoreUse>,
    pub(super) is_stopped: bool,
}

impl Report {
    pub(super) fn new(options: &Options, tally: &Tally, findings: Findings) -> Self {
        let (begun, done) = match options.mode {
            Mode::Calls => (tally.calls_begun, tally.calls_done),
            Mode::Registrations => (tally.registrations_begun, tally.registrations_done),
        };
        let timed = [
            ("register", &tally.register_ns),
            ("ring", &tally.ring_ns),
            ("answer", &tally.answer_ns),
            ("bye", &tally.bye_ns),
        ];
        let timed = || timed.into_iter().filter(|(_, times)| !times.is_empty());
        let (mut processes, mut cores) = (findings.processes, findings.cores);
        processes.iter_mut().for_each(|it| it.divide(done));
        let elapsed_s = findings.elapsed_s;
        cores.iter_mut().for_each(|it| it.divide(elapsed_s, done));
        let lateness_us = Percentiles::new(&tally.lateness_ns);
        Self {
            asked: Asked::new(options),
            machine: findings.machine,
            begun,
            done,
            done_per_second: float(done) / elapsed_s.max(1e-9),
            failures: tally.failures.clone(),
            answered: tally.calls_answered,
            anchored: tally.calls_anchored,
            challenges: tally.challenges,
            retransmissions_sent: tally.retransmissions_sent,
            retransmissions_received: tally.retransmissions_received,
            out_of_order: tally.out_of_order,
            malformed: tally.malformed,
            times_us: timed()
                .map(|(name, times)| (name, Percentiles::new(times)))
                .collect(),
            processes,
            cores,
            limits: limits(tally, &lateness_us),
            lateness_us,
            is_stopped: findings.is_stopped,
            curves: timed()
                .map(|(name, times)| (name.to_owned(), curve(times)))
                .collect(),
        }
    }

    /// Whether all that was begun was done.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.done == self.begun
    }
}

impl Asked {
    fn new(options: &Options) -> Self {
        Self {
            server: options.server.to_string(),
            mode: match options.mode {
                Mode::Calls => "calls",
                Mode::Registrations => "registrations",
            },
            rate: options.rate,
            duration_s: options.duration.as_secs_f64(),
            users: options.users,
            hold_s: options.hold.as_secs_f64(),
        }
    }
}

fn limits(tally: &Tally, lateness_us: &Percentiles) -> Vec<String> {
    let mut limits = Vec::new();
    if lateness_us.p99 > LATENESS_MAX_US {
        let late_ms = lateness_us.p99 / 1e3;
        limits.push(format!("1 % were begun {late_ms:.0} ms late or later"));
    }
    let counts = [
        (
            tally.calls_left_out,
            "calls were left out: too many at a time",
        ),
        (tally.sends_failed, "datagrams could not be sent"),
        (tally.dropped_here, "datagrams found our receive queue full"),
    ];
    let reached = counts.iter().filter(|(count, _)| *count > 0);
    limits.extend(reached.map(|(count, what)| format!("{count} {what}")));
    limits
}
