//! The budgets of the design for the socket path, and how the results stand to them.

use serde::Serialize;

use crate::contestants::{OURS, OURS_IN_KERNEL, OURS_PATIENT};
use crate::crowd::{Crowd, FEW};
use crate::plan::RATE_OF_STREAMS;
use crate::results::{ByRound, Results, SipWork, median};
use crate::transcoding;

/// Packets per second that the cost of a packet is compared at.
const RATE: u64 = 100_000;

/// One figure against its budget.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) what: String,
    pub(crate) relay: String,
    /// Whom it is compared with; `None`: nobody.
    pub(crate) peer: Option<String>,
    pub(crate) measured: f64,
    /// `×`, or of what.
    pub(crate) unit: &'static str,
    /// `None` for those that nothing is promised of.
    pub(crate) budget: Option<Budget>,
    /// The measured one is a lower bound: the generator could do no more.
    pub(crate) is_bound: bool,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) enum Budget {
    AtLeast(f64),
    AtMost(f64),
}

impl Budget {
    fn is_met(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(budget) => measured >= budget,
            Self::AtMost(budget) => measured <= budget,
        }
    }
}

impl Ratio {
    /// What the budget says.
    pub(crate) fn promise(&self) -> String {
        match self.budget {
            Some(Budget::AtLeast(it)) => format!("≥ {it} {}", self.unit),
            Some(Budget::AtMost(it)) => format!("≤ {it} {}", self.unit),
            None => "–".to_owned(),
        }
    }

    /// Whether it holds, and by how much it does not.
    pub(crate) fn verdict(&self) -> String {
        let Some(budget) = self.budget else {
            return "–".to_owned();
        };
        let (Budget::AtLeast(wanted) | Budget::AtMost(wanted)) = budget;
        match budget.is_met(self.measured) {
            true => "met".to_owned(),
            false if self.is_bound => "open: the generator could do no more".to_owned(),
            false if wanted > 0.0 => {
                let percent = (self.measured / wanted - 1.0).abs() * 100.0;
                format!("missed by {percent:.0} %")
            }
            false => "missed".to_owned(),
        }
    }

    /// The figure as one reads it.
    pub(crate) fn figure(&self) -> String {
        let bound = if self.is_bound { "≥ " } else { "" };
        let digits = if self.unit == "packets" { 0 } else { 2 };
        format!("{bound}{:.digits$} {}", self.measured, self.unit)
    }
}

/// All that can be said of ours against a peer.
pub(crate) fn ratios(results: &Results, ours: &[&str], peer: &str) -> Vec<Ratio> {
    let mut all = Vec::new();
    for ours in ours {
        against(results, ours, peer, &mut all);
    }
    if ours.contains(&OURS) {
        alone(results, OURS, &mut all);
    }
    if ours.contains(&OURS_IN_KERNEL) {
        in_kernel(results, peer, &mut all);
    }
    all
}

/// What is promised of the SIP proxy.
pub(crate) fn sip_ratios(results: &Results) -> Vec<Ratio> {
    let of = |(work, peer, budget): (SipWork, &str, f64)| {
        let cost = |is_ours| results.sip_us(is_ours, work);
        Some(Ratio {
            what: work.name().to_owned(),
            relay: "tandem".to_owned(),
            peer: Some(peer.to_owned()),
            measured: quotient(&cost(true), &cost(false))?,
            unit: "×",
            budget: Some(Budget::AtMost(budget)),
            is_bound: false,
        })
    };
    let works = [
        (SipWork::Call, "kamailio", 0.5),
        (SipWork::Register, "kamailio", 0.5),
        (SipWork::CallWithMedia, "kamailio + rtpengine", 0.3),
    ];
    works.into_iter().filter_map(of).collect()
}

fn against(results: &Results, ours: &str, peer: &str, all: &mut Vec<Ratio>) {
    let mut add = |what: String, measured: Option<f64>, budget, is_bound| {
        all.extend(measured.map(|measured| Ratio {
            what,
            relay: ours.to_owned(),
            peer: Some(peer.to_owned()),
            measured,
            unit: "×",
            budget,
            is_bound,
        }));
    };
    let is_ours = ours == OURS;
    let if_ours = |budget| is_ours.then_some(budget);
    let if_between_hosts = |budget| (is_ours || ours == OURS_IN_KERNEL).then_some(budget);
    let cpu = match ours {
        OURS => Some(Budget::AtMost(0.6)),
        OURS_PATIENT => Some(Budget::AtMost(0.5)),
        _ => None,
    };
    for streams in [100, 1_000] {
        let cost = |relay| results.costs_at(relay, streams, RATE);
        let what = format!("CPU of a packet, {streams} calls, 100,000/s");
        add(what, quotient(&cost(ours), &cost(peer)), cpu, false);
    }
    let (our, their) = (results.capacity(ours), results.capacity(peer));
    add(
        "highest rate without loss".to_owned(),
        our.zip(their).map(|(our, their)| our.0 / their.0.max(1.0)),
        if_between_hosts(Budget::AtLeast(1.7)),
        our.is_some_and(|it| it.1),
    );
    add(
        "99 % latency at 60 % of the peer's highest rate".to_owned(),
        quotient(&results.p99s(ours), &results.p99s(peer)),
        if_between_hosts(Budget::AtMost(0.5)),
        false,
    );
    add(
        "CPU of offer + answer + delete".to_owned(),
        quotient(&results.set_up_us(ours), &results.set_up_us(peer)),
        if_ours(Budget::AtMost(0.3)),
        false,
    );
    for partner in transcoding::partners() {
        let cost = |relay| transcoding::call_ms(&results.transcodings, relay, partner);
        let what = format!("CPU of a call of PCMA and {partner}");
        add(what, quotient(&cost(ours), &cost(peer)), None, false);
    }
}

/// The kernel's table: its program against the peer's process, and many streams against few.
fn in_kernel(results: &Results, peer: &str, all: &mut Vec<Ratio>) {
    let program = |it: &Crowd| it.program_ns.map(|ns| ns / 1e3);
    let core = |it: &Crowd| Some(it.core_us);
    let process = |it: &Crowd| Some(it.process_us);
    let of = |relay, streams, pick| results.crowds_of(relay, streams, pick);
    let most = results.crowds.iter();
    let most = most.map(|it| it.streams).max().unwrap_or(0);
    let mut add = |what: String, relay: &str, peer: Option<&str>, measured: Option<f64>, budget| {
        all.extend(measured.map(|measured| Ratio {
            what,
            relay: relay.to_owned(),
            peer: peer.map(str::to_owned),
            measured,
            unit: "×",
            budget,
            is_bound: false,
        }));
    };
    for streams in [FEW, most] {
        let what = format!("program of the kernel's table for a packet, {streams} streams");
        let (ours, theirs) = (
            of(OURS_IN_KERNEL, streams, program),
            of(peer, streams, process),
        );
        let measured = quotient(&ours, &theirs);
        add(
            what,
            OURS_IN_KERNEL,
            Some(peer),
            measured,
            Some(Budget::AtMost(0.06)),
        );
        let what = format!("the relay's core for a packet, {streams} streams");
        let (ours, theirs) = (of(OURS_IN_KERNEL, streams, core), of(peer, streams, core));
        add(
            what,
            OURS_IN_KERNEL,
            Some(peer),
            quotient(&ours, &theirs),
            None,
        );
    }
    for (relay, budget) in [
        (OURS_IN_KERNEL, Some(Budget::AtMost(1.3))),
        (OURS, None),
        (peer, None),
    ] {
        let what = format!("the relay's core for a packet, {most} streams against {FEW}");
        let measured = quotient(&of(relay, most, core), &of(relay, FEW, core));
        add(what, relay, None, measured, budget);
    }
}

/// Forwarding while codec threads have more than they can do.
fn beside(results: &Results, relay: &str) -> Option<f64> {
    let of = results.besides.iter().filter(|it| it.relay == relay);
    median(of.map(|it| it.beside_us.p99 / it.quiet_us.p99))
}

fn alone(results: &Results, ours: &str, all: &mut Vec<Ratio>) {
    let mut add = |what: String, measured: Option<f64>, unit, budget| {
        all.extend(measured.map(|measured| Ratio {
            what,
            relay: ours.to_owned(),
            peer: None,
            measured,
            unit,
            budget: Some(Budget::AtMost(budget)),
            is_bound: false,
        }));
    };
    let bytes = median(results.set_up_bytes(ours).into_values());
    let kilobytes = bytes.map(|it| it / 1_000.0);
    add("memory of a call".to_owned(), kilobytes, "kB", 8.0);
    let of_streams = results.costs.iter();
    let of_streams = of_streams.filter(|it| it.packets_per_second == RATE_OF_STREAMS);
    let most = of_streams.map(|it| it.streams).max().unwrap_or(0);
    if most > 1_000 {
        let cost = |streams| results.costs_at(ours, streams, RATE_OF_STREAMS);
        let what = format!("CPU of a packet, {most} streams against 10");
        add(what, quotient(&cost(most), &cost(10)), "×", 1.3);
    }
    let what = "99 % latency beside codec threads that are full".to_owned();
    add(what, beside(results, ours), "×", 1.5);
    let idle = results.idles.iter().find(|it| it.relay == ours);
    // Memory is below 2^32 KiB.
    let idle_kib = idle.map(|it| f64::from(u32::try_from(it.all_kib()).unwrap_or(u32::MAX)));
    let count = idle.map_or(0, |it| it.resident_kib.len());
    let what = format!("idle memory of {count} processes");
    add(what, idle_kib.map(|it| it * 1_024.0 / 1e6), "MB", 40.0);
    for it in results.endurances.iter().filter(|it| it.relay == ours) {
        let what = format!(
            "lost of {} streams, {}/s for {:.0} s",
            it.streams, it.packets_per_second, it.seconds
        );
        let lost = f64::from(u32::try_from(it.lost + it.odd).unwrap_or(u32::MAX));
        add(what, Some(lost), "packets", 0.0);
    }
}

/// The median of the rounds' quotients: what happened to the machine in one round happened to both.
fn quotient(a: &ByRound, b: &ByRound) -> Option<f64> {
    let pairs = a.iter().filter_map(|(round, a)| Some((a, b.get(round)?)));
    median(pairs.map(|(a, b)| a / b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::SipCost;
    use crate::results::tests::example;

    #[test]
    fn ratios_are_only_of_what_was_measured() {
        let ratios = ratios(&example(), &[OURS], "rtpengine");
        let texts: Vec<String> = ratios
            .iter()
            .map(|it| {
                format!(
                    "{}: {} {} {}",
                    it.what,
                    it.figure(),
                    it.promise(),
                    it.verdict()
                )
            })
            .collect();
        assert_eq!(
            texts,
            [
                "CPU of a packet, 100 calls, 100,000/s: 0.50 × ≤ 0.6 × met",
                "highest rate without loss: ≥ 2.00 × ≥ 1.7 × met",
                "CPU of a packet, 10000 streams against 10: 1.50 × ≤ 1.3 × missed by 15 %",
            ]
        );
        let nobody = super::ratios(&example(), &[OURS], "nobody");
        assert_eq!(nobody.len(), 1);
    }

    #[test]
    fn a_round_is_compared_with_itself() {
        let ours = ByRound::from([(0, 1.0), (1, 10.0), (2, 5.0)]);
        // The machine was ten times as slow in the second round; the third one is missing.
        let peer = ByRound::from([(0, 2.0), (1, 20.0)]);
        let quotient = quotient(&ours, &peer).unwrap();
        assert!((quotient - 0.5).abs() < 1e-9);
        assert!(super::quotient(&ours, &ByRound::new()).is_none());
    }

    #[test]
    fn a_bound_that_is_too_low_leaves_the_question_open() {
        let mut results = example();
        results.capacities[0].packets_per_second = 300_000;
        let ratios = ratios(&results, &[OURS], "rtpengine");
        assert!(ratios[1].verdict().starts_with("open"));
        results.capacities[0].generator_limit = None;
        let ratios = super::ratios(&results, &[OURS], "rtpengine");
        assert_eq!(ratios[1].verdict(), "missed by 12 %");
    }

    #[test]
    fn sip_is_compared_only_where_both_did_the_work() {
        let mut results = example();
        let cost = |is_ours, work, cpu_us, done| SipCost {
            server: "x",
            is_ours,
            work,
            round: 0,
            begun: 100,
            done,
            cpu_us,
            anchored: 0,
        };
        results.sips = vec![
            cost(true, SipWork::Call, 40.0, 100),
            cost(false, SipWork::Call, 100.0, 100),
            cost(true, SipWork::Register, 10.0, 100),
            // It did next to nothing: that is cheap.
            cost(false, SipWork::Register, 1.0, 3),
        ];
        let ratios = sip_ratios(&results);
        assert_eq!(ratios.len(), 1);
        assert_eq!(
            (ratios[0].figure(), ratios[0].verdict()),
            ("0.40 ×".into(), "met".into())
        );
    }

    #[test]
    fn nothing_is_promised_of_variants() {
        let mut results = example();
        results.costs[0].relay = "poll".to_owned();
        let ratios = ratios(&results, &["poll"], "rtpengine");
        assert_eq!(ratios.len(), 1);
        assert_eq!(ratios[0].verdict(), "–");
    }
}
