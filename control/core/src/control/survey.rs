//! Statistics of the whole: what control counts itself, and what each worker of the relay says.
//!
//! Names are the peer's as far as it has any; what the relay counts stands under `relay`.

use std::collections::BTreeMap;

use control_ng::{Dictionary, Value, reply};
use relay_wire::{Answer, Command, InterfaceId, WorkerId, WorkerStats};

use crate::call::Client;

use super::link::Purpose;
use super::metrics::InterfaceCounts;
use super::proxies::COMMANDS;
use super::{Control, Now};

/// Clients that wait for the relay's counts; others get the reply without them.
const ASKERS_MAX: usize = 64;

/// Names of counters of the relay that are passed on.
const COUNTERS_MAX: usize = 256;

/// Commands that control counts as they come.
const COUNTED: [&str; 7] = [
    "answer",
    "delete",
    "list",
    "offer",
    "ping",
    "query",
    "statistics",
];

/// The question that is put to all workers, for whoever asks meanwhile.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Who asked, with the cookie.
    askers: Vec<(Client, Vec<u8>)>,
    answers_due: usize,
    relay: RelayCounts,
}

/// The sum over all workers.
#[derive(Debug, Default)]
struct RelayCounts {
    workers: u64,
    calls: u64,
    endpoints: u64,
    packets_in: u64,
    packets_out: u64,
    counters: BTreeMap<String, u64>,
}

impl Control {
    /// `statistics`
    pub(super) fn survey(&mut self, now: Now, client: Client, cookie: &[u8]) {
        self.counters.statistics += 1;
        let is_full = self.survey.askers.len() >= ASKERS_MAX;
        if !self.link.is_up() || is_full {
            return self.send_statistics(now, client, cookie, None);
        }
        self.survey.askers.push((client, cookie.to_vec()));
        if self.survey.answers_due == 0 {
            let workers = self.link.workers();
            self.survey.answers_due = usize::from(workers);
            self.survey.relay = RelayCounts::default();
            for worker in (0..workers).map(WorkerId) {
                self.ask(worker, vec![Command::QueryWorker], Purpose::Survey);
            }
        }
    }

    /// One worker has answered.
    pub(super) fn handle_worker_stats(&mut self, now: Now, answers: Vec<Answer>) {
        for answer in answers {
            if let Answer::Worker(stats) = answer {
                self.survey.relay.add(stats);
            }
        }
        self.survey.answers_due = self.survey.answers_due.saturating_sub(1);
        if self.survey.answers_due == 0 {
            self.end_survey(now, true);
        }
    }

    /// Replies to all who asked.
    pub(super) fn end_survey(&mut self, now: Now, is_complete: bool) {
        let survey = std::mem::take(&mut self.survey);
        let relay = Some(&survey.relay).filter(|_| is_complete);
        for (client, cookie) in &survey.askers {
            self.send_statistics(now, *client, cookie, relay);
        }
    }

    fn send_statistics(
        &mut self,
        now: Now,
        client: Client,
        cookie: &[u8],
        relay: Option<&RelayCounts>,
    ) {
        self.note_call_count(now);
        let ports = self.port_counts(now);
        let mut statistics = Dictionary::new()
            .with("currentstatistics", self.current_counts(now, relay))
            .with("totalstatistics", self.total_counts(now, relay))
            .with("intervalstatistics", self.proxies.interval())
            .with("mos", self.score_counts())
            .with("voip_metrics", self.stream_counts())
            .with("controlstatistics", self.command_counts())
            .with("interfaces", self.interface_counts(now))
            .with("ports", ports);
        if let Some(relay) = relay {
            statistics.push(&b"relay"[..], relay.to_dictionary());
        }
        let datagram = reply::ok().with("statistics", statistics).encode(cookie);
        self.send(client, datagram);
    }

    fn current_counts(&self, now: Now, relay: Option<&RelayCounts>) -> Dictionary<'static> {
        let calls = count(self.call_count());
        let mut current = Dictionary::new()
            .with("sessionsown", calls)
            .with("sessionsforeign", 0_u64)
            .with("sessionstotal", calls);
        let rates = self.watch.pace.per_second(now.instant);
        let Some(rates) = rates.filter(|_| relay.is_some()) else {
            return current;
        };
        let user_packets = rates.packets.saturating_sub(rates.kernel_packets);
        let user_bytes = rates.bytes.saturating_sub(rates.kernel_bytes);
        for (name, rate) in [
            ("packetrate_user", user_packets),
            ("byterate_user", user_bytes),
            // The kernel drops nothing: what it does not forward comes to the socket.
            ("errorrate_user", rates.errors),
            ("packetrate_kernel", rates.kernel_packets),
            ("byterate_kernel", rates.kernel_bytes),
            ("errorrate_kernel", 0),
            ("packetrate", rates.packets),
            ("byterate", rates.bytes),
            ("errorrate", rates.errors),
        ] {
            current.push(name.as_bytes(), rate);
        }
        current
    }

    fn total_counts(&self, now: Now, relay: Option<&RelayCounts>) -> Dictionary<'static> {
        let counters = &self.counters;
        let started = self.started_unix_ms.unwrap_or(now.unix_ms);
        let uptime_s = now.unix_ms.saturating_sub(started) / 1_000;
        let silent = counters.media_timeouts + counters.first_packet_timeouts;
        let held = counters.silent_timeouts;
        let timed_out = silent + held + counters.final_timeouts + counters.offer_timeouts;
        let forced = counters.terminated;
        let seconds = self.tally.durations();
        let errors = self.tally.of_interfaces().dropped;
        let mut total = Dictionary::new()
            .with("uptime", uptime_s.to_string())
            .with("managedsessions", counters.calls_ended)
            .with("rejectedsessions", counters.refused)
            .with("timeoutsessions", silent)
            .with("offertimeoutsessions", counters.offer_timeouts)
            .with(
                "regularterminatedsessions",
                counters.calls_ended.saturating_sub(timed_out + forced),
            )
            .with("forcedterminatedsessions", forced)
            .with("zerowaystreams", self.ways.none)
            .with("onewaystreams", self.ways.one)
            .with("avgcallduration", fraction(seconds.average()))
            .with("totalcallsduration", fraction(seconds.sum))
            .with("totalcallsduration2", fraction(seconds.squared))
            .with("totalcallsduration_stddev", fraction(seconds.deviation()))
            .with("silenttimeoutsessions", counters.silent_timeouts)
            .with("mediatimeoutsessions", counters.media_timeouts)
            .with("firstpackettimeoutsessions", counters.first_packet_timeouts)
            .with("finaltimeoutsessions", counters.final_timeouts)
            .with("relayedpackets", counters.relayed_packets)
            .with("relayedbytes", counters.relayed_bytes)
            .with("relayedpacketerrors", errors)
            .with("lostsessions", counters.calls_lost)
            .with("repeatedrequests", counters.repeated)
            .with("malformedrequests", counters.malformed)
            .with("droppedrequests", counters.dropped)
            .with("unheededwords", counters.unheeded)
            .with("portstaken", counters.ports_taken)
            .with("relayrefusals", counters.relay_refusals)
            .with("replycacheoverflows", self.replies.overflows)
            .with("eventsgivenup", self.events.given_up);
        // Of a call that is over it is not known what the kernel had a part in, if it has any.
        if relay.is_some_and(|it| !it.counters.contains_key("kernel_packets")) {
            for (name, by_process) in [
                ("relayedpackets", counters.relayed_packets),
                ("relayedpacketerrors", errors),
                ("relayedbytes", counters.relayed_bytes),
            ] {
                total.push(format!("{name}_user").into_bytes(), by_process);
                total.push(format!("{name}_kernel").into_bytes(), 0_u64);
            }
        }
        total
    }

    fn command_counts(&self) -> Dictionary<'static> {
        let counters = &self.counters;
        let counted = Dictionary::new()
            .with("proxies", self.proxies.to_list())
            .with("uncountedrequests", self.proxies.uncounted())
            .with("totalpingcount", counters.pings)
            .with("totaloffercount", counters.offers)
            .with("totalanswercount", counters.answers)
            .with("totaldeletecount", counters.deletes)
            .with("totalquerycount", counters.queries)
            .with("totallistcount", counters.lists)
            .with("totalstatscount", counters.statistics);
        let mut others = COMMANDS.iter();
        let mut counted = counted;
        for (command, name) in others.by_ref().filter(|(it, _)| !COUNTED.contains(it)) {
            let name = format!("total{name}count");
            counted.push(name.into_bytes(), self.proxies.answered(command));
        }
        counted
    }

    /// How calls that are over sounded.
    fn score_counts(&self) -> Dictionary<'static> {
        let scores = self.tally.scores();
        Dictionary::new()
            .with("mos_total", fraction(scores.sum))
            .with("mos2_total", fraction(scores.squared))
            .with("mos_samples_total", scores.count)
            .with("mos_average", fraction(scores.average()))
            .with("mos_stddev", fraction(scores.deviation()))
    }

    /// How their packets arrived.
    fn stream_counts(&self) -> Dictionary<'static> {
        let counts = self.tally.of_interfaces();
        Dictionary::new()
            .with("packets_lost", counts.lost)
            .with("rtp_duplicates", counts.duplicates)
            .with("rtp_reordered", counts.reordered)
    }

    fn interface_counts(&mut self, now: Now) -> Vec<Value<'static>> {
        let interfaces = (0..).map(InterfaceId).zip(&self.link.interfaces);
        let (ports, tally) = (&mut self.ports, &self.tally);
        let rows = interfaces.map(|(id, interface)| {
            let mut row = Dictionary::new()
                .with("name", interface.name.clone())
                .with("address", interface.address.to_string());
            if let Some(usage) = ports.usage_of(now.instant, id) {
                let [used, all] = [usage.used, usage.all].map(|pairs| 2 * count(pairs));
                let percent = used * 10_000 / all.max(1);
                let ports = Dictionary::new()
                    .with("min", u64::from(usage.first))
                    .with("max", u64::from(usage.last))
                    .with("used", used)
                    .with(
                        "used_pct",
                        format!("{}.{:02}", percent / 100, percent % 100),
                    )
                    .with("free", all - used)
                    .with("totals", all);
                row.push(&b"ports"[..], ports);
            }
            let counts = tally.of_interface(usize::from(id.0));
            row.push(&b"ingress"[..], ingress(counts));
            row.push(&b"egress"[..], egress(counts));
            row.into()
        });
        rows.collect()
    }

    fn port_counts(&mut self, now: Now) -> Dictionary<'static> {
        let (used, all) = self.port_usage(now);
        Dictionary::new()
            .with("used", count(used) * 2)
            .with("free", count(all - used) * 2)
            .with("totals", count(all) * 2)
    }
}

impl RelayCounts {
    fn add(&mut self, stats: WorkerStats) {
        self.workers += 1;
        self.calls += stats.calls;
        self.endpoints += stats.endpoints;
        self.packets_in += stats.packets_in;
        self.packets_out += stats.packets_out;
        for (name, number) in stats.counters {
            if self.counters.len() < COUNTERS_MAX || self.counters.contains_key(&name) {
                *self.counters.entry(name).or_default() += number;
            }
        }
    }

    fn to_dictionary(&self) -> Dictionary<'_> {
        let mut counters = Dictionary::new();
        for (name, number) in &self.counters {
            counters.push(name.as_bytes(), *number);
        }
        Dictionary::new()
            .with("workers", self.workers)
            .with("calls", self.calls)
            .with("endpoints", self.endpoints)
            .with("packets_in", self.packets_in)
            .with("packets_out", self.packets_out)
            .with("counters", counters)
    }
}

fn ingress(counts: InterfaceCounts) -> Dictionary<'static> {
    Dictionary::new()
        .with("packets", counts.packets_in)
        .with("bytes", counts.bytes_in)
        .with("errors", counts.dropped)
}

fn egress(counts: InterfaceCounts) -> Dictionary<'static> {
    Dictionary::new()
        .with("packets", counts.packets_out)
        .with("bytes", counts.bytes_out)
}

/// As the peer writes what is no whole number.
pub(super) fn fraction(number: f64) -> String {
    format!("{number:.6}")
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
