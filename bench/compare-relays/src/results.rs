//! What was measured.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Serialize;
use tandem_load::rtp::Report;
use tandem_load::{Machine, Percentiles};

use crate::asked::Asked;
use crate::beside::Beside;
use crate::crowd::Crowd;
use crate::pace::Pace;

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// When it began, in UTC.
    pub(crate) date: String,
    /// How fast the relay's core was: at the start, and after each part.
    pub(crate) paces: Vec<Pace>,
    /// Versions of the contestants, by name.
    pub(crate) contestants: Vec<(String, String)>,
    pub(crate) costs: Vec<Cost>,
    pub(crate) capacities: Vec<Capacity>,
    pub(crate) latencies: Vec<Latency>,
    pub(crate) endurances: Vec<Endurance>,
    pub(crate) set_ups: Vec<SetUp>,
    pub(crate) idles: Vec<Idle>,
    pub(crate) sips: Vec<SipCost>,
    pub(crate) transcodings: Vec<Transcoded>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) besides: Vec<Beside>,
    pub(crate) crowds: Vec<Crowd>,
    /// What could not be measured, or only in part.
    pub(crate) skipped: Vec<String>,
    pub(crate) is_stopped: bool,
}

/// Cost of one packet at one point, in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) relay: String,
    pub(crate) round: u32,
    pub(crate) streams: u32,
    pub(crate) packets_per_second: u64,
    /// CPU of the relay's process for each packet that reached the sink.
    pub(crate) process_us: f64,
    /// The whole core, interrupts and the hypervisor's share included.
    pub(crate) core_us: f64,
    pub(crate) core_busy: f64,
    pub(crate) steal: f64,
    pub(crate) lost: u64,
    pub(crate) sent: u64,
    pub(crate) generator_limits: Vec<String>,
}

/// The highest rate without loss between two hosts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Capacity {
    pub(crate) relay: String,
    pub(crate) is_peer: bool,
    pub(crate) packets_per_second: u64,
    /// For which nothing was lost.
    pub(crate) seconds: f64,
    /// Why it may be higher: the generator could not do more.
    pub(crate) generator_limit: Option<String>,
}

/// Latency between two hosts, in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) relay: String,
    pub(crate) round: u32,
    pub(crate) packets_per_second: u64,
    pub(crate) us: Percentiles,
    pub(crate) lost: u64,
    pub(crate) core_us: f64,
    pub(crate) curve: Vec<(f64, f64)>,
}

/// Cost of one call, in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SetUp {
    pub(crate) relay: String,
    pub(crate) is_peer: bool,
    pub(crate) round: u32,
    pub(crate) calls: usize,
    /// Of all processes, for offer, answer and delete.
    pub(crate) cpu_us_per_call: f64,
    pub(crate) memory_bytes_per_call: u64,
    pub(crate) seconds: f64,
}

/// Streams from one codec to another, in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Transcoded {
    pub(crate) relay: String,
    pub(crate) round: u32,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Milliseconds of CPU of the relay's process for a second of one stream.
    pub(crate) cpu_ms_per_second: f64,
    /// Packets that left, as a part of those that speech of that length is.
    pub(crate) left: f64,
}

/// Very many streams for a long time, each packet of which must arrive.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Endurance {
    pub(crate) relay: String,
    pub(crate) streams: usize,
    pub(crate) packets_per_second: u64,
    pub(crate) seconds: f64,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    /// Corrupted, duplicated, reordered or delivered to somebody else.
    pub(crate) odd: u64,
    /// Counted by the interface, not checked one by one.
    pub(crate) is_only_counted: bool,
    pub(crate) generator_limits: Vec<String>,
}

/// What a SIP server does.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) enum SipWork {
    /// INVITE with digest, answered, acknowledged, ended; the server stays on the path.
    Call,
    /// The same, and its media goes through a relay.
    CallWithMedia,
    /// With digest.
    Register,
}

/// Cost of one piece of work, in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SipCost {
    pub(crate) server: &'static str,
    pub(crate) is_ours: bool,
    pub(crate) work: SipWork,
    pub(crate) round: u32,
    pub(crate) begun: u64,
    pub(crate) done: u64,
    /// Of all processes, relays included.
    pub(crate) cpu_us: f64,
    pub(crate) anchored: u64,
}

/// Memory of processes that do nothing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) relay: String,
    pub(crate) resident_kib: BTreeMap<String, u64>,
}

impl Cost {
    pub(crate) fn new(
        relay: &str,
        round: u32,
        streams: u32,
        packets_per_second: u64,
        report: &Report,
    ) -> Self {
        let process = report.processes.first();
        let core = report.cores.first();
        Self {
            relay: relay.to_owned(),
            round,
            streams,
            packets_per_second,
            process_us: process.and_then(|it| it.per_packet_us).unwrap_or(f64::NAN),
            core_us: core.and_then(|it| it.per_packet_us).unwrap_or(f64::NAN),
            core_busy: core.map_or(f64::NAN, |it| it.busy),
            steal: core.map_or(f64::NAN, |it| it.steal),
            lost: report.packets.lost.unwrap_or(0),
            sent: report.packets.sent,
            generator_limits: report.generator.limits.clone(),
        }
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "cost     {:<16} {:>6} streams {:>7}/s  {:>5.2} µs a packet (core {:>5.2}, {:>3.0} % busy)  lost {}",
            self.relay,
            self.streams,
            self.packets_per_second,
            self.process_us,
            self.core_us,
            self.core_busy * 100.0,
            self.lost
        )
    }
}

impl Capacity {
    pub(crate) fn line(&self) -> String {
        let (relay, rate) = (&self.relay, self.packets_per_second);
        match &self.generator_limit {
            Some(limit) => format!("capacity {relay:<16} {rate}/s at least (generator: {limit})"),
            None => format!("capacity {relay:<16} {rate}/s"),
        }
    }
}

impl Latency {
    pub(crate) fn new(relay: &str, round: u32, rate: u64, report: &Report) -> Self {
        let core = report.cores.first();
        Self {
            relay: relay.to_owned(),
            round,
            packets_per_second: rate,
            us: report.latency_us.clone().unwrap_or_default(),
            lost: report.packets.lost.unwrap_or(0),
            core_us: core.and_then(|it| it.per_packet_us).unwrap_or(f64::NAN),
            curve: report.curve.clone(),
        }
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "latency  {:<16} at {}/s: half {:.0} µs, 99 % {:.0} µs, 99.9 % {:.0} µs; core {:.2} µs a packet; lost {}",
            self.relay,
            self.packets_per_second,
            self.us.p50,
            self.us.p99,
            self.us.p999,
            self.core_us,
            self.lost
        )
    }
}

impl SetUp {
    pub(crate) fn line(&self) -> String {
        format!(
            "set-up   {:<16} {:.0} µs of CPU, {} bytes a call ({} calls in {:.1} s)",
            self.relay, self.cpu_us_per_call, self.memory_bytes_per_call, self.calls, self.seconds
        )
    }
}

impl Endurance {
    pub(crate) fn new(relay: &str, rate: u64, is_only_counted: bool, report: &Report) -> Self {
        let packets = &report.packets;
        Self {
            relay: relay.to_owned(),
            streams: report.asked.streams,
            packets_per_second: rate,
            seconds: report.asked.duration_s,
            sent: packets.sent,
            lost: packets.lost.unwrap_or(0),
            odd: packets.corrupted
                + packets.duplicated
                + packets.reordered
                + packets.late
                + packets.misdelivered,
            is_only_counted,
            generator_limits: report.generator.limits.clone(),
        }
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "endured  {:<16} {} streams, {}/s for {:.0} s: {} sent, {} lost, {} odd{}",
            self.relay,
            self.streams,
            self.packets_per_second,
            self.seconds,
            self.sent,
            self.lost,
            self.odd,
            match self.generator_limits.first() {
                Some(limit) => format!(" (generator: {limit})"),
                None => String::new(),
            }
        )
    }
}

impl SipWork {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Call => "SIP call without media",
            Self::CallWithMedia => "SIP call with relayed media, all processes",
            Self::Register => "REGISTER",
        }
    }
}

impl SipCost {
    pub(crate) fn new(
        server: &'static str,
        is_ours: bool,
        work: SipWork,
        round: u32,
        report: &tandem_load::sip::Report,
    ) -> Self {
        let each = report.processes.iter().filter_map(|it| it.per_packet_us);
        Self {
            server,
            is_ours,
            work,
            round,
            begun: report.begun,
            done: report.done,
            cpu_us: each.sum(),
            anchored: report.anchored,
        }
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "sip      {:<20} {:<42} {:>6.1} µs  ({} of {} done, {} anchored)",
            self.server,
            self.work.name(),
            self.cpu_us,
            self.done,
            self.begun,
            self.anchored
        )
    }
}

impl Idle {
    pub(crate) fn all_kib(&self) -> u64 {
        self.resident_kib.values().sum()
    }

    pub(crate) fn line(&self) -> String {
        let each = self.resident_kib.iter();
        let each: Vec<String> = each.map(|(name, kib)| format!("{name} {kib}")).collect();
        format!(
            "idle     {:<16} {} KiB ({})",
            self.relay,
            self.all_kib(),
            each.join(", ")
        )
    }
}

impl Transcoded {
    /// Whether it was transcoded: what has no such codec lets packets pass as they are, or drops
    /// them, and costs less.
    pub(crate) fn is_done(&self) -> bool {
        (0.95..1.05).contains(&self.left)
    }

    pub(crate) fn line(&self) -> String {
        let Self {
            relay, from, to, ..
        } = self;
        format!(
            "codecs   {relay:<16} {from:<5} to {to:<5} {:.3} ms of CPU a second; {:.1} % of what is \
             due left{}",
            self.cpu_ms_per_second,
            self.left * 100.0,
            if self.is_done() {
                ""
            } else {
                ": not transcoded"
            }
        )
    }
}

/// Now, as in `2026-11-21 03:14 UTC`; nothing if this host has no calendar.
fn date() -> String {
    let output = Command::new("date")
        .args(["-u", "+%Y-%m-%d %H:%M UTC"])
        .output();
    let text = output.map(|it| it.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

impl Results {
    /// Of nothing yet.
    pub(crate) fn new(contestants: Vec<(String, String)>, skipped: Vec<String>) -> Self {
        Self {
            machine: Machine::read(),
            date: date(),
            paces: Vec::new(),
            contestants,
            costs: Vec::new(),
            capacities: Vec::new(),
            latencies: Vec::new(),
            endurances: Vec::new(),
            set_ups: Vec::new(),
            idles: Vec::new(),
            sips: Vec::new(),
            transcodings: Vec::new(),
            asked: Vec::new(),
            besides: Vec::new(),
            crowds: Vec::new(),
            skipped,
            is_stopped: false,
        }
    }

    /// The cost of a relay at a point, by round.
    pub(crate) fn costs_at(&self, relay: &str, streams: u32, rate: u64) -> ByRound {
        let at = |it: &&Cost| {
            it.relay == relay && it.streams == streams && it.packets_per_second == rate
        };
        let costs = self.costs.iter().filter(at);
        costs.map(|it| (it.round, it.process_us)).collect()
    }

    /// The 99th percentile, by round.
    pub(crate) fn p99s(&self, relay: &str) -> ByRound {
        let of = self.latencies.iter().filter(|it| it.relay == relay);
        of.map(|it| (it.round, it.us.p99)).collect()
    }

    /// The CPU of a call, by round.
    pub(crate) fn set_up_us(&self, relay: &str) -> ByRound {
        let of = self.set_ups.iter().filter(|it| it.relay == relay);
        of.map(|it| (it.round, it.cpu_us_per_call)).collect()
    }

    /// The memory of a call in bytes, by round.
    pub(crate) fn set_up_bytes(&self, relay: &str) -> ByRound {
        // Below 2^32 bytes a call.
        let bytes =
            |it: &SetUp| f64::from(u32::try_from(it.memory_bytes_per_call).unwrap_or(u32::MAX));
        let of = self.set_ups.iter().filter(|it| it.relay == relay);
        of.map(|it| (it.round, bytes(it))).collect()
    }

    /// The cost of a piece of SIP work, by round; not of a run that failed at a tenth of it or
    /// more.
    pub(crate) fn sip_us(&self, is_ours: bool, work: SipWork) -> ByRound {
        let of = |it: &&SipCost| {
            it.is_ours == is_ours && it.work == work && it.done * 10 >= it.begun * 9
        };
        let costs = self.sips.iter().filter(of);
        costs.map(|it| (it.round, it.cpu_us)).collect()
    }

    /// What streams cost between two hosts, by round.
    pub(crate) fn crowds_of(
        &self,
        relay: &str,
        streams: u32,
        pick: fn(&Crowd) -> Option<f64>,
    ) -> ByRound {
        let is_one = |it: &&Crowd| it.relay == relay && it.streams == streams;
        let of = self.crowds.iter().filter(is_one);
        of.filter_map(|it| Some((it.round, pick(it)?))).collect()
    }

    /// The highest rate, and whether it is only a lower bound.
    pub(crate) fn capacity(&self, relay: &str) -> Option<(f64, bool)> {
        let it = self.capacities.iter().find(|it| it.relay == relay)?;
        // Rates are below 2^32.
        let rate = f64::from(u32::try_from(it.packets_per_second).unwrap_or(u32::MAX));
        Some((rate, it.generator_limit.is_some()))
    }
}

/// What was measured, by the number of the round.
pub(crate) type ByRound = BTreeMap<u32, f64>;

/// The middle one; `None` of none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|it| it.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values.get(middle).copied(),
        _ => Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a run may have found.
    pub(crate) fn example() -> Results {
        let cost = |round, relay: &str, streams, rate, us| Cost {
            relay: relay.to_owned(),
            round,
            streams,
            packets_per_second: rate,
            process_us: us,
            core_us: us,
            core_busy: 0.5,
            steal: 0.0,
            lost: 0,
            sent: 1,
            generator_limits: Vec::new(),
        };
        let capacity = |relay: &str, rate, limit: Option<&str>| Capacity {
            relay: relay.to_owned(),
            is_peer: relay == "rtpengine",
            packets_per_second: rate,
            seconds: 10.0,
            generator_limit: limit.map(str::to_owned),
        };
        let names = ["uring", "rtpengine"].map(|name| (name.to_owned(), "1".to_owned()));
        Results {
            costs: vec![
                cost(0, "uring", 100, 100_000, 2.0),
                cost(1, "uring", 100, 100_000, 2.4),
                cost(0, "rtpengine", 100, 100_000, 4.0),
                cost(1, "rtpengine", 100, 100_000, 4.8),
                cost(0, "uring", 10, 50_000, 2.0),
                cost(0, "uring", 10_000, 50_000, 3.0),
            ],
            capacities: vec![
                capacity("uring", 400_000, Some("x")),
                capacity("rtpengine", 200_000, None),
            ],
            ..Results::new(names.into(), Vec::new())
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median([f64::NAN].into_iter()), None);
    }
}
