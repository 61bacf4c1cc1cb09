//! What is counted for Prometheus beyond [`Counters`](super::Counters), and how it is told.

use std::time::Duration;

use control_ng::Command;
use relay_wire::{CallStats, EndpointStats, Interface, InterfaceId};

use crate::exposition::{Exposition, Histogram, Kind};
use crate::limits::Overload;
use crate::quality::{self, mos_tenths};

use super::{Control, Now};

/// Seconds from a request to its reply.
const LATENCIES: [f64; 12] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
];

/// Mean opinion scores.
const SCORES: [f64; 8] = [1.5, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2];

/// Seconds of jitter.
const JITTERS: [f64; 8] = [0.001, 0.002_5, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25];

/// Shares of packets that were lost.
const LOSSES: [f64; 8] = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/// Seconds of calls.
const DURATIONS: [f64; 9] = [
    1.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1_800.0, 3_600.0, 14_400.0,
];

/// Counters of a worker that go up and down, or say how it is set.
const STATES: [&str; 4] = [
    "driver_poll",
    "driver_uring",
    "endpoints_closing",
    "ports_idle",
];

/// The counter of bytes that left, which has a name of its own in metrics.
pub(super) const BYTES_OUT: &str = "bytes_out";

/// Drops by reason begin like this in a worker's counters.
pub(super) const DROPPED: &str = "dropped_";

/// What is counted.
#[derive(Debug)]
pub(super) struct Tally {
    latencies: Vec<(&'static str, Histogram<12>)>,
    /// By the interface's number.
    interfaces: Vec<InterfaceTally>,
    durations: Histogram<9>,
    /// Sum of their squares.
    durations_squared: f64,
}

/// What went through an interface, in calls that are over.
#[derive(Debug)]
struct InterfaceTally {
    counts: InterfaceCounts,
    jitter: Histogram<8>,
    mos: Histogram<8>,
    /// Sum of their squares.
    mos_squared: f64,
    /// Of samples of calls, be they over or not.
    sampled: Sampled,
}

/// How streams sounded each time that they were looked at.
#[derive(Debug)]
struct Sampled {
    jitter: Histogram<8>,
    loss: Histogram<8>,
    mos: Histogram<8>,
}

/// A quantity that was measured time and again.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Sum of the squares.
    pub(super) squared: f64,
}

type Count = fn(&InterfaceCounts) -> u64;

/// What is counted of an interface: its name, what it means, and where it stands.
const INTERFACE_COUNTS: [(&str, &str, Count); 8] = [
    (
        "tandem_interface_packets_received_total",
        "Packets from the parties of calls that are over, RTCP included.",
        |it| it.packets_in,
    ),
    (
        "tandem_interface_bytes_received_total",
        "UDP payload bytes of these packets.",
        |it| it.bytes_in,
    ),
    (
        "tandem_interface_packets_sent_total",
        "Packets to the parties of calls that are over.",
        |it| it.packets_out,
    ),
    (
        "tandem_interface_bytes_sent_total",
        "UDP payload bytes of these packets.",
        |it| it.bytes_out,
    ),
    (
        "tandem_interface_packets_lost_total",
        "RTP packets that never arrived, of calls that are over.",
        |it| it.lost,
    ),
    (
        "tandem_interface_packets_reordered_total",
        "RTP packets that arrived late, of calls that are over.",
        |it| it.reordered,
    ),
    (
        "tandem_interface_packets_duplicated_total",
        "RTP packets that arrived twice, of calls that are over.",
        |it| it.duplicates,
    ),
    (
        "tandem_interface_packets_dropped_total",
        "Packets that went no further, of calls that are over.",
        |it| it.dropped,
    ),
];

impl Default for Tally {
    fn default() -> Self {
        Self {
            latencies: Vec::new(),
            interfaces: Vec::new(),
            durations: Histogram::new(&DURATIONS),
            durations_squared: 0.0,
        }
    }
}

impl Default for InterfaceTally {
    fn default() -> Self {
        Self {
            counts: InterfaceCounts::default(),
            jitter: Histogram::new(&JITTERS),
            mos: Histogram::new(&SCORES),
            mos_squared: 0.0,
            sampled: Sampled {
                jitter: Histogram::new(&JITTERS),
                loss: Histogram::new(&LOSSES),
                mos: Histogram::new(&SCORES),
            },
        }
    }
}

impl Tally {
    /// A request was answered.
    pub(super) fn note_reply(&mut self, command: &'static str, latency: Duration) {
        let mut latencies = self.latencies.iter_mut();
        let known = latencies.find(|(name, _)| *name == command);
        match known {
            Some((_, histogram)) => histogram.observe_time(latency),
            None => {
                let mut histogram = Histogram::new(&LATENCIES);
                histogram.observe_time(latency);
                self.latencies.push((command, histogram));
            }
        }
    }

    /// How many requests of a command were answered, of those that the relay has a part in.
    pub(super) fn answered(&self, command: &str) -> u64 {
        let mut known = self.latencies.iter();
        let known = known.find(|(name, _)| *name == command);
        known.map_or(0, |(_, histogram)| histogram.count())
    }

    /// Seconds that calls lasted which are over.
    pub(super) fn durations(&self) -> Sample {
        Sample {
            count: self.durations.count(),
            sum: self.durations.sum(),
            squared: self.durations_squared,
        }
    }

    /// Mean opinion scores of the streams of these.
    pub(super) fn scores(&self) -> Sample {
        let scores = self.interfaces.iter();
        scores.fold(Sample::default(), |all, it| Sample {
            count: all.count + it.mos.count(),
            sum: all.sum + it.mos.sum(),
            squared: all.squared + it.mos_squared,
        })
    }

    /// What went through an interface, by its number, in calls that are over.
    pub(super) fn of_interface(&self, index: usize) -> InterfaceCounts {
        let tally = self.interfaces.get(index);
        tally.map_or_else(InterfaceCounts::default, |it| it.counts)
    }

    /// The sum over all interfaces.
    pub(super) fn of_interfaces(&self) -> InterfaceCounts {
        let all = self.interfaces.iter();
        all.fold(InterfaceCounts::default(), |sum, it| sum.plus(it.counts))
    }

    /// A call is over.
    pub(super) fn note_end(&mut self, duration: Duration) {
        self.durations.observe_time(duration);
        self.durations_squared += duration.as_secs_f64().powi(2);
    }

    /// What a call that is over counted.
    pub(super) fn note_stats(&mut self, stats: &CallStats) {
        for endpoint in &stats.endpoints {
            self.interface(endpoint.port.interface).add(endpoint);
        }
    }

    /// How a stream sounded that arrives at an interface.
    pub(super) fn note_sample(&mut self, interface: InterfaceId, sample: quality::Sample) {
        let sampled = &mut self.interface(interface).sampled;
        sampled.mos.observe(sample.mos());
        sampled.loss.observe(sample.loss());
        if let Some(us) = sample.jitter_us() {
            sampled.jitter.observe(f64::from(us) / 1e6);
        }
    }

    fn interface(&mut self, InterfaceId(number): InterfaceId) -> &mut InterfaceTally {
        let index = usize::from(number);
        if self.interfaces.len() <= index {
            self.interfaces
                .resize_with(index + 1, InterfaceTally::default);
        }
        &mut self.interfaces[index]
    }
}

impl Sample {
    pub(super) fn average(&self) -> f64 {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        self.sum / f64::from(count.max(1))
    }

    /// The standard deviation.
    pub(super) fn deviation(&self) -> f64 {
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        let mean_square = self.squared / f64::from(count.max(1));
        // Rounding may make it less than nothing.
        (mean_square - self.average().powi(2)).max(0.0).sqrt()
    }
}

/// What went through an interface.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InterfaceCounts {
    pub(super) packets_in: u64,
    pub(super) bytes_in: u64,
    pub(super) packets_out: u64,
    pub(super) bytes_out: u64,
    pub(super) lost: u64,
    pub(super) reordered: u64,
    pub(super) duplicates: u64,
    pub(super) dropped: u64,
}

impl InterfaceCounts {
    fn plus(self, more: Self) -> Self {
        Self {
            packets_in: self.packets_in + more.packets_in,
            bytes_in: self.bytes_in + more.bytes_in,
            packets_out: self.packets_out + more.packets_out,
            bytes_out: self.bytes_out + more.bytes_out,
            lost: self.lost + more.lost,
            reordered: self.reordered + more.reordered,
            duplicates: self.duplicates + more.duplicates,
            dropped: self.dropped + more.dropped,
        }
    }
}

impl InterfaceTally {
    fn add(&mut self, endpoint: &EndpointStats) {
        let of_sources = |count: fn(&relay_wire::SourceStats) -> u64| -> u64 {
            endpoint.sources.iter().map(count).sum()
        };
        self.counts = self.counts.plus(InterfaceCounts {
            packets_in: endpoint.rtp_packets_in + endpoint.rtcp_packets_in,
            bytes_in: endpoint.rtp_bytes_in + endpoint.rtcp_bytes_in,
            packets_out: endpoint.packets_out,
            bytes_out: endpoint.bytes_out,
            lost: of_sources(|source| source.lost),
            reordered: of_sources(|source| source.reordered),
            duplicates: of_sources(|source| source.duplicates),
            dropped: endpoint.dropped,
        });
        for source in &endpoint.sources {
            if let Some(jitter_us) = source.jitter_us {
                self.jitter.observe(f64::from(jitter_us) / 1e6);
            }
            let mos = mos_tenths(source, endpoint.round_trip_us);
            if let Some(tenths) = mos.and_then(|tenths| u32::try_from(tenths).ok()) {
                let mos = f64::from(tenths) / 10.0;
                self.mos.observe(mos);
                self.mos_squared += mos.powi(2);
            }
        }
    }
}

/// What a command is called in metrics and traces.
pub(super) fn name(command: &Command<'_>) -> &'static str {
    command.name().unwrap_or("other")
}

impl Control {
    /// All numbers, as text for Prometheus ([`CONTENT_TYPE`](crate::CONTENT_TYPE)). What the
    /// workers count is as of the last [`Self::refresh`].
    #[must_use]
    pub fn exposition(&mut self, now: Now) -> String {
        let mut out = Exposition::default();
        self.tell_of_calls(now, &mut out);
        self.tell_of_limits(&mut out);
        self.tell_of_requests(&mut out);
        self.tell_of_relay(now, &mut out);
        self.tell_of_workers(&mut out);
        self.tell_of_interfaces(&mut out);
        out.finish()
    }

    fn tell_of_calls(&self, now: Now, out: &mut Exposition) {
        let counters = &self.counters;
        out.family(Kind::Gauge, "tandem_build_info", "Always 1.");
        out.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
        let started = self.started_unix_ms.unwrap_or(now.unix_ms);
        let help = "When control began, in seconds since 1970.";
        let started_s = started / 1_000;
        out.single(Kind::Gauge, "tandem_start_time_seconds", help, started_s);
        out.single(Kind::Gauge, "tandem_calls", "Calls now.", self.call_count());
        let calls = self.calls.values().filter(|call| call.ended.is_none());
        let legs: usize = calls.map(|call| call.state.legs.len()).sum();
        out.single(Kind::Gauge, "tandem_legs", "Parties of calls now.", legs);
        let help = "Calls that began.";
        out.single(
            Kind::Counter,
            "tandem_calls_started_total",
            help,
            counters.calls_started,
        );
        out.family(
            Kind::Counter,
            "tandem_calls_ended_total",
            "Calls that are over, by reason.",
        );
        let by_themselves = [
            ("media timeout", counters.media_timeouts),
            ("silent timeout", counters.silent_timeouts),
            ("first packet timeout", counters.first_packet_timeouts),
            ("final timeout", counters.final_timeouts),
            ("offer timeout", counters.offer_timeouts),
            ("terminated", counters.terminated),
        ];
        let sum: u64 = by_themselves.iter().map(|(_, count)| count).sum();
        let deleted = counters.calls_ended.saturating_sub(sum);
        for (reason, count) in by_themselves.into_iter().chain([("deleted", deleted)]) {
            out.sample(&[("reason", reason)], count);
        }
        let help = "Calls that could not be kept when relay or control came back.";
        out.single(
            Kind::Counter,
            "tandem_calls_lost_total",
            help,
            counters.calls_lost,
        );
        let help = "Records of calls that could not be read.";
        let unreadable = counters.records_unreadable;
        out.single(
            Kind::Counter,
            "tandem_records_unreadable_total",
            help,
            unreadable,
        );
        let help = "How long calls lasted that are over.";
        out.family(Kind::Histogram, "tandem_call_duration_seconds", help);
        out.histogram(&[], &self.tally.durations);
    }

    fn tell_of_limits(&self, out: &mut Exposition) {
        let admission = &self.admission;
        let help = "New calls that were turned away, by reason.";
        out.family(Kind::Counter, "tandem_calls_rejected_total", help);
        for overload in Overload::ALL {
            out.sample(&[("reason", overload.name())], admission.refused(overload));
        }
        let help = "1 while no new calls are taken.";
        out.single(Kind::Gauge, "tandem_draining", help, admission.is_draining);
        let limits = &admission.limits;
        let help = "Calls at most.";
        let calls_max = u64::from(limits.calls_max);
        out.single(Kind::Gauge, "tandem_calls_limit", help, calls_max);
        out.family(
            Kind::Gauge,
            "tandem_media_bytes_per_second",
            "UDP payload of media that leaves. Absent while it is not known.",
        );
        if let Some(bits) = admission.bits_per_s() {
            out.sample(&[], bits / 8);
        }
    }

    fn tell_of_requests(&self, out: &mut Exposition) {
        let counters = &self.counters;
        let help = "ng requests by command, repeated ones not counted.";
        out.family(Kind::Counter, "tandem_ng_requests_total", help);
        let counted = [
            ("answer", counters.answers),
            ("delete", counters.deletes),
            ("list", counters.lists),
            ("offer", counters.offers),
            ("ping", counters.pings),
            ("query", counters.queries),
            ("statistics", counters.statistics),
        ];
        let is_other = |name: &&str| counted.iter().all(|(known, _)| known != name);
        let others = self.tally.latencies.iter().map(|(name, _)| *name);
        let others = others.filter(is_other);
        let others = others.map(|name| (name, self.tally.answered(name)));
        for (command, count) in counted.into_iter().chain(others) {
            out.sample(&[("command", command)], count);
        }
        let help = "From a request to its reply, the relay's part included.";
        out.family(Kind::Histogram, "tandem_ng_request_duration_seconds", help);
        for (command, histogram) in &self.tally.latencies {
            out.histogram(&[("command", *command)], histogram);
        }
        for (name, help, count) in [
            (
                "tandem_ng_refused_total",
                "ng requests answered with an error.",
                counters.refused,
            ),
            (
                "tandem_ng_repeated_total",
                "ng requests that came again.",
                counters.repeated,
            ),
            (
                "tandem_ng_malformed_total",
                "Datagrams that are no ng request.",
                counters.malformed,
            ),
            (
                "tandem_ng_dropped_total",
                "ng requests that found a queue full.",
                counters.dropped,
            ),
            (
                "tandem_ng_unheeded_total",
                "Keys and flags of ng requests that are not acted on.",
                counters.unheeded,
            ),
            (
                "tandem_relay_refusals_total",
                "What the relay could not do.",
                counters.relay_refusals,
            ),
        ] {
            out.single(Kind::Counter, name, help, count);
        }
    }

    fn tell_of_relay(&mut self, now: Now, out: &mut Exposition) {
        let is_up = self.is_ready();
        let help = "1 if the relay is there and all is known that it does.";
        out.single(Kind::Gauge, "tandem_relay_up", help, is_up);
        let (used, all) = self.port_usage(now);
        out.family(
            Kind::Gauge,
            "tandem_ports",
            "Ports of the relay, by what they are.",
        );
        out.sample(&[("state", "used")], 2 * used);
        out.sample(&[("state", "free")], 2 * (all - used));
        let help = "Ports that somebody else on the host had.";
        out.single(
            Kind::Counter,
            "tandem_ports_taken_total",
            help,
            self.counters.ports_taken,
        );
    }

    fn tell_of_workers(&self, out: &mut Exposition) {
        let workers = self.watch.workers.iter().map(|it| it.stats.as_ref());
        let workers: Vec<_> = (0..)
            .zip(workers)
            .filter_map(|(number, stats): (u8, _)| Some((number.to_string(), stats?)))
            .collect();
        let mut each = |kind, name, help, number: fn(&relay_wire::WorkerStats) -> u64| {
            out.family(kind, name, help);
            for (worker, stats) in &workers {
                out.sample(&[("worker", worker.as_str())], number(stats));
            }
        };
        each(Kind::Gauge, "tandem_worker_calls", "Calls now.", |it| {
            it.calls
        });
        let help = "Sockets now.";
        each(Kind::Gauge, "tandem_worker_endpoints", help, |it| {
            it.endpoints
        });
        let help = "Packets that arrived.";
        let name = "tandem_worker_packets_received_total";
        each(Kind::Counter, name, help, |it| it.packets_in);
        let help = "Packets that were handed to the kernel.";
        let name = "tandem_worker_packets_sent_total";
        each(Kind::Counter, name, help, |it| it.packets_out);
        let help = "UDP payload bytes of these.";
        let name = "tandem_worker_bytes_sent_total";
        each(Kind::Counter, name, help, |it| {
            let mut counters = it.counters.iter();
            let bytes = counters.find(|(name, _)| name == BYTES_OUT);
            bytes.map_or(0, |(_, count)| *count)
        });
        let mut named = |kind, name, help, label, value: fn(&str) -> Option<&str>| {
            out.family(kind, name, help);
            for (worker, stats) in &workers {
                for (counter, count) in &stats.counters {
                    if let Some(value) = value(counter) {
                        out.sample(&[("worker", worker.as_str()), (label, value)], *count);
                    }
                }
            }
        };
        let help = "Packets that went no further, by reason.";
        let name = "tandem_worker_packets_dropped_total";
        named(Kind::Counter, name, help, "reason", |it| {
            it.strip_prefix(DROPPED)
        });
        let help = "What else workers count, by name.";
        let name = "tandem_worker_events_total";
        named(Kind::Counter, name, help, "event", |it| {
            let is_told = it.starts_with(DROPPED) || STATES.contains(&it) || it == BYTES_OUT;
            (!is_told).then_some(it)
        });
        let help = "How workers are set, and what goes up and down.";
        named(Kind::Gauge, "tandem_worker_state", help, "state", |it| {
            STATES.contains(&it).then_some(it)
        });
    }

    fn tell_of_interfaces(&self, out: &mut Exposition) {
        for (name, help, count) in INTERFACE_COUNTS {
            out.family(Kind::Counter, name, help);
            self.each_interface(|labels, tally| out.sample(labels, count(&tally.counts)));
        }
        let help = "Interarrival jitter of each stream of calls that are over.";
        out.family(Kind::Histogram, "tandem_stream_jitter_seconds", help);
        self.each_interface(|labels, tally| out.histogram(labels, &tally.jitter));
        let help = "Mean opinion score of each stream of calls that are over.";
        out.family(Kind::Histogram, "tandem_stream_mos", help);
        self.each_interface(|labels, tally| out.histogram(labels, &tally.mos));
        let help = "Interarrival jitter of streams, each time that a call was looked at.";
        out.family(Kind::Histogram, "tandem_sample_jitter_seconds", help);
        self.each_interface(|labels, tally| out.histogram(labels, &tally.sampled.jitter));
        let help = "Share of packets of streams that were lost between two looks at a call.";
        out.family(Kind::Histogram, "tandem_sample_loss_ratio", help);
        self.each_interface(|labels, tally| out.histogram(labels, &tally.sampled.loss));
        let help = "Mean opinion score of streams between two looks at a call.";
        out.family(Kind::Histogram, "tandem_sample_mos", help);
        self.each_interface(|labels, tally| out.histogram(labels, &tally.sampled.mos));
    }

    fn each_interface(&self, mut tell: impl FnMut(&[(&str, &str)], &InterfaceTally)) {
        let none = InterfaceTally::default();
        for (index, interface) in self.link.interfaces.iter().enumerate() {
            let Interface { name, address, .. } = interface;
            let number = index.to_string();
            let address = address.to_string();
            // Several may have one name, and even one address.
            let labels = [
                ("interface", name.as_str()),
                ("address", address.as_str()),
                ("number", number.as_str()),
            ];
            tell(&labels, self.tally.interfaces.get(index).unwrap_or(&none));
        }
    }
}

#[cfg(test)]
mod tests {
    use control_ng::{Command, Delete};

    use crate::exposition::tests::{Sample, read};
    use crate::tests::{CONFIG, Sim, SimRelay, port, sdp};

    fn value(samples: &[Sample], labels: &[(&str, &str)]) -> f64 {
        let is_it = |sample: &&Sample| {
            let mut wanted = labels.iter();
            wanted.all(|(name, value)| sample.labels.get(*name).is_some_and(|it| it == value))
        };
        let found: Vec<_> = samples.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{labels:?} in {samples:?}");
        found[0].value
    }

    #[test]
    fn all_that_is_told_is_valid_and_true() {
        let mut sim = Sim::with_relay(CONFIG, SimRelay::new(2));
        let to_bob = sim.offer("c1", "a", &sdp("192.0.2.1", 4000));
        sim.answer("c1", "a", "b", &sdp("192.0.2.2", 5000));
        sim.offer("c2", "a", &sdp("192.0.2.1", 4002));
        sim.relay.at(port(&to_bob, 0)).packets = 100;
        sim.request(&Command::Delete(Delete {
            call_id: b"c1",
            delay_s: Some(0),
            ..Delete::default()
        }));
        sim.control.refresh();
        sim.pump();
        let now = sim.now();
        let families = read(&sim.control.exposition(now)).unwrap();
        let is = |name: &str, labels: &[(&str, &str)], expected: f64| {
            let samples = families.get(name).unwrap_or_else(|| panic!("no {name}"));
            assert!(
                (value(samples, labels) - expected).abs() < 1e-9,
                "{samples:?}"
            );
        };
        is("tandem_calls", &[], 1.0);
        is("tandem_relay_up", &[], 1.0);
        is("tandem_calls_ended_total", &[("reason", "deleted")], 1.0);
        is("tandem_ng_requests_total", &[("command", "offer")], 2.0);
        is(
            "tandem_worker_events_total",
            &[("worker", "1"), ("event", "turns")],
            5.0,
        );
        let inside = [("interface", "inside")];
        is("tandem_interface_packets_received_total", &inside, 100.0);
        is("tandem_interface_packets_lost_total", &inside, 100.0);
        let calls = &families["tandem_worker_calls"];
        assert!((calls.iter().map(|it| it.value).sum::<f64>() - 1.0).abs() < 1e-9);
        let answered = families["tandem_ng_request_duration_seconds"].iter();
        let mut answered = answered.filter(|it| it.name.ends_with("_count"));
        assert!(answered.any(|it| it.labels["command"] == "offer" && it.value > 1.5));
    }

    /// The dashboard asks for nothing that is not told.
    #[test]
    fn the_dashboard_knows_only_what_is_told() {
        let dashboard = include_str!("../../../../docs/grafana/tandem.json");
        let mut sim = Sim::new();
        let now = sim.now();
        let families = read(&sim.control.exposition(now)).unwrap();
        let is_of_a_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
        let words = dashboard.split(|it| !is_of_a_name(it));
        let mut count = 0;
        for name in words.filter(|word| word.starts_with("tandem_")) {
            let family = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(families.contains_key(family), "nobody tells {name}");
            count += 1;
        }
        assert!(count > 30, "{count}");
        // What is told of calls that go on is to be seen, all of it.
        let sampled = families
            .keys()
            .filter(|it| it.starts_with("tandem_sample_"));
        for family in sampled {
            let bucket = format!("{family}_bucket");
            assert!(dashboard.contains(&bucket), "nobody sees {family}");
        }
        assert!(families.contains_key("tandem_sample_mos"));
    }

    #[test]
    fn without_a_relay_it_is_valid_too() {
        let mut sim = Sim::disconnected(CONFIG, SimRelay::new(1));
        let now = sim.now();
        let families = read(&sim.control.exposition(now)).unwrap();
        assert!(families["tandem_worker_calls"].is_empty());
        assert!((families["tandem_relay_up"][0].value).abs() < 1e-9);
    }
}
