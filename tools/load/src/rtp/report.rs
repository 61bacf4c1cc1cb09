//! What a run found out.

use serde::Serialize;

use super::options::{Options, Target};
use super::tally::Tally;
use crate::histogram::curve;
use crate::plot::Curve;
use crate::watch::{CoreUse, ProcessUse, float};
use crate::{Machine, Percentiles};

/// A generator whose packets are later than this at the 99th percentile does not keep its pace.
const LATENESS_MAX_US: f64 = 5_000.0;

/// What a run found out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked for.
    pub asked: Asked,
    /// What it ran on.
    pub machine: Machine,
    /// How the calls came about; `None` without an ng server.
    pub set_up: Option<SetUp>,
    /// What became of the packets.
    pub packets: Packets,
    /// Microseconds from sending to arrival, after the warm-up; `None` if nothing is received.
    pub latency_us: Option<Percentiles>,
    /// The CPU of processes, after the warm-up.
    pub processes: Vec<ProcessUse>,
    /// The use of cores, after the warm-up.
    pub cores: Vec<CoreUse>,
    /// How well the generator did.
    pub generator: Generator,
    /// Whether it was stopped before its time.
    pub is_stopped: bool,
    /// Latency of all but one in so many packets: (packets, microseconds).
    #[serde(skip)]
    pub curve: Vec<(f64, f64)>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// Who was to relay.
    pub target: String,
    /// Calls, or addresses.
    pub calls: u32,
    /// Directions of calls in which packets are sent.
    pub streams: usize,
    /// Name of the codec.
    pub codec: &'static str,
    /// Bytes of payload; 12 of RTP, 8 of UDP and the IP header come on top.
    pub payload_bytes: usize,
    /// From one packet of a stream to the next.
    pub interval_us: f64,
    /// Packets per second of all streams.
    pub packets_per_second: f64,
    /// How long to send.
    pub duration_s: f64,
    /// Of which not measured.
    pub warm_up_s: f64,
    /// Whether nobody receives.
    pub is_sink: bool,
}

/// How the calls came about.
#[derive(Clone, Debug, Serialize)]
pub struct SetUp {
    /// For offers and answers of all calls, some at a time.
    pub seconds: f64,
    /// Calls per second.
    pub calls_per_second: f64,
}

/// What became of the packets.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Packets {
    /// Sent in all.
    pub sent: u64,
    /// Per second of sending, as it turned out.
    pub sent_per_second: f64,
    /// Arrived where they should, each once; at a sink, counted by its interface. `None` at a
    /// sink that does not count.
    pub received: Option<u64>,
    /// Sent and not received.
    pub lost: Option<u64>,
    /// Part of those sent.
    pub lost_share: Option<f64>,
    /// Arrived after one that was sent later.
    pub reordered: u64,
    /// Arrived again.
    pub duplicated: u64,
    /// Arrived too late to be told from repetitions; counted as lost.
    pub late: u64,
    /// Changed on the way.
    pub corrupted: u64,
    /// Arrived at another socket, or from another one, than they should.
    pub misdelivered: u64,
    /// Of other runs.
    pub foreign: u64,
    /// Sent after the warm-up: what costs are divided by.
    pub sent_measured: u64,
}

/// How well the generator did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Generator {
    /// Microseconds from being due to being sent.
    pub lateness_us: Percentiles,
    /// Packets that were never sent because the schedule was too far behind.
    pub skipped: u64,
    /// Sends that failed because a queue of this host was full.
    pub sends_full: u64,
    /// Frames that the link, or who is at its other end, had no room for; these count as sent.
    pub link_full: u64,
    /// Sends that failed for other reasons.
    pub sends_refused: u64,
    /// Packets that found our own receive queue full.
    pub dropped_here: u64,
    /// Packets that found the system's queue for one of our cores full.
    pub backlog_full: u64,
    /// Why it was the bottleneck, the worst first; empty if it was not.
    pub limits: Vec<String>,
}

/// What the report is made of, besides the tally.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) machine: Machine,
    pub(super) set_up_s: Option<f64>,
    pub(super) sending_s: f64,
    pub(super) measured_s: f64,
    pub(super) processes: Vec<ProcessUse>,
    pub(super) cores: Vec<CoreUse>,
    /// What the sink's interface counted: in all, and after the warm-up.
    pub(super) sunk: Option<(u64, u64)>,
    pub(super) is_stopped: bool,
}

impl Report {
    pub(super) fn new(options: &Options, tally: &Tally, findings: Findings) -> Self {
        let is_sink = options.sink.is_some();
        let set_up = findings.set_up_s.map(|seconds| SetUp {
            seconds,
            calls_per_second: f64::from(options.calls) / seconds.max(1e-9),
        });
        let mut report = Self {
            asked: Asked::new(options),
            machine: findings.machine,
            set_up,
            packets: Packets::new(tally, &findings.sunk, is_sink, findings.sending_s),
            latency_us: (!is_sink).then(|| Percentiles::new(&tally.latency_ns)),
            processes: findings.processes,
            cores: findings.cores,
            generator: Generator::new(tally),
            is_stopped: findings.is_stopped,
            curve: curve(&tally.latency_ns),
        };
        // What did not arrive cost, too; but what counts is the cost of what was done.
        let done = findings.sunk.map_or(tally.sent_measured, |(_, it)| it);
        report.processes.iter_mut().for_each(|it| it.divide(done));
        let measured_s = findings.measured_s;
        let cores = report.cores.iter_mut();
        cores.for_each(|it| it.divide(measured_s, done));
        report
    }

    /// Whether every packet arrived once, whole, and where it should.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let packets = &self.packets;
        packets.lost.unwrap_or(0) == 0 && packets.corrupted == 0 && packets.misdelivered == 0
    }

    /// The curve of latency, to be plotted.
    #[must_use]
    pub fn latency_curve(&self, name: &str) -> Curve {
        (name.to_owned(), self.curve.clone())
    }
}

impl Asked {
    fn new(options: &Options) -> Self {
        let interval_s = options.interval().as_secs_f64();
        let streams = options.streams();
        let calls = match &options.target {
            Target::Echoes(addresses) => u32::try_from(addresses.len()).unwrap_or(u32::MAX),
            Target::Ng(_) => options.calls,
        };
        Self {
            target: match &options.target {
                Target::Ng(server) => server.to_string(),
                Target::Echoes(_) => "addresses".to_owned(),
            },
            calls,
            streams,
            codec: options.codec.name,
            payload_bytes: options.payload_bytes(),
            interval_us: interval_s * 1e6,
            packets_per_second: float(u64::try_from(streams).unwrap_or(0)) / interval_s,
            duration_s: options.duration.as_secs_f64(),
            warm_up_s: options.warm_up.as_secs_f64(),
            is_sink: options.sink.is_some(),
        }
    }
}

impl Packets {
    fn new(tally: &Tally, sunk: &Option<(u64, u64)>, is_sink: bool, sending_s: f64) -> Self {
        let received = match (is_sink, sunk) {
            (false, _) => Some(tally.received),
            // Others may send to that interface, too.
            (true, Some((all, _))) => Some((*all).min(tally.sent)),
            (true, None) => None,
        };
        let lost = received.map(|received| tally.sent.saturating_sub(received));
        Self {
            sent: tally.sent,
            sent_per_second: float(tally.sent) / sending_s.max(1e-9),
            received,
            lost,
            lost_share: lost.map(|lost| float(lost) / float(tally.sent.max(1))),
            reordered: tally.reordered,
            duplicated: tally.duplicated,
            late: tally.late,
            corrupted: tally.corrupted,
            misdelivered: tally.misdelivered,
            foreign: tally.foreign,
            sent_measured: tally.sent_measured,
        }
    }
}

impl Generator {
    fn new(tally: &Tally) -> Self {
        let lateness_us = Percentiles::new(&tally.lateness_ns);
        let counts = [
            (tally.skipped, "packets were left out to catch up"),
            (tally.sends_full, "packets found a send queue full"),
            (
                tally.link_full,
                "frames found the link, or the queue at its other end, full",
            ),
            (tally.dropped_here, "packets found our receive queue full"),
            (
                tally.backlog_full,
                "packets found the queue of one of our cores full (net.core.netdev_max_backlog)",
            ),
        ];
        let reached = counts.iter().filter(|(count, _)| *count > 0);
        let texts = reached.map(|(count, what)| format!("{count} {what}"));
        let mut limits: Vec<String> = texts.collect();
        if lateness_us.p99 > LATENESS_MAX_US {
            limits.push(format!(
                "1 % of the packets were sent {:.1} ms late or later",
                lateness_us.p99 / 1e3
            ));
        }
        Self {
            lateness_us,
            skipped: tally.skipped,
            sends_full: tally.sends_full,
            link_full: tally.link_full,
            sends_refused: tally.sends_refused,
            dropped_here: tally.dropped_here,
            backlog_full: tally.backlog_full,
            limits,
        }
    }
}
