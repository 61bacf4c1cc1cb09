//! Between two hosts: the highest rate without loss, and latency below it.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use tandem_load::rtp::{self, Options, Report, Target};

use crate::plan::Plan;
use crate::relay::{Contestant, Running};
use crate::results::{Capacity, Latency, Results};
use crate::world::TwoHosts;

/// Calls of the runs: each is two streams.
const CALLS: u32 = 500;

/// Where the search for capacity begins.
const RATE_FIRST: u64 = 40_000;

/// The search is done when what is known to be too much is so little more than what is not.
const PRECISION: f64 = 1.05;

/// Tries of one rate before it counts as too much: other work on the machine costs packets, too.
const TRIES: u32 = 2;

/// A relay on its own pair of hosts.
struct Place<'a> {
    contestant: &'a Contestant,
    // Before the hosts, which cannot go while somebody is in them.
    relay: Running,
    hosts: TwoHosts,
}

/// Searches the capacity of each relay, then measures latency at equal rates, in turns.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, results: &mut Results) -> Result<()> {
    let start = |contestant| start(plan, contestant);
    let places: Vec<Place<'_>> = plan
        .contestants
        .iter()
        .map(start)
        .collect::<Result<Vec<_>>>()?;
    for place in &places {
        if plan.is_stopped(stop) {
            return Ok(());
        }
        let capacity = search(plan, place, stop)?;
        plan.tell(&capacity.line());
        results.capacities.push(capacity);
    }
    let Some(rate) = common_rate(&results.capacities) else {
        return Ok(());
    };
    for round in 0..plan.rounds {
        for place in &places {
            if plan.is_stopped(stop) {
                return Ok(());
            }
            let report = one(plan, place, rate, plan.measure, stop)?;
            let latency = Latency::new(&place.contestant.name, round, rate, &report);
            plan.tell(&latency.line());
            results.latencies.push(latency);
        }
    }
    Ok(())
}

/// 60 % of what the peer carries; without a peer, of the least that anybody carries.
fn common_rate(capacities: &[Capacity]) -> Option<u64> {
    let peers = capacities.iter().filter(|it| it.is_peer);
    let least = peers.map(|it| it.packets_per_second).min();
    let least = least.or_else(|| capacities.iter().map(|it| it.packets_per_second).min());
    least.map(|rate| rate * 6 / 10).filter(|rate| *rate > 0)
}

fn start<'a>(plan: &Plan, contestant: &'a Contestant) -> Result<Place<'a>> {
    let hosts = TwoHosts::new(&contestant.name, plan.cores)?;
    let others = [TwoHosts::LOAD];
    let core = plan.cores.relay;
    let relay = contestant.start(&hosts.relay, TwoHosts::RELAY, &others, core)?;
    Ok(Place {
        contestant,
        relay,
        hosts,
    })
}

/// What became of one rate.
enum Probe {
    Carried,
    Lost,
    /// The generator could not send it, or not receive it.
    Unknown(String),
}

/// Doubles until packets are lost, then halves the distance.
fn search(plan: &Plan, place: &Place<'_>, stop: &AtomicBool) -> Result<Capacity> {
    let (mut good, mut bad): (u64, Option<u64>) = (0, None);
    let mut limit = None;
    let mut rate = RATE_FIRST;
    while !plan.is_stopped(stop) {
        match probe(plan, place, rate, stop)? {
            Probe::Carried => good = rate,
            Probe::Lost => bad = Some(rate),
            Probe::Unknown(reason) => {
                limit = Some(reason);
                bad = Some(rate);
            }
        }
        rate = match bad {
            None => rate * 3 / 2,
            Some(bad) if ratio(bad, good) > PRECISION => u64::midpoint(good, bad),
            Some(_) => break,
        };
        if rate < 1_000 {
            break;
        }
    }
    Ok(Capacity {
        relay: place.contestant.name.clone(),
        is_peer: !place.contestant.is_ours(),
        packets_per_second: good,
        seconds: plan.capacity.as_secs_f64(),
        generator_limit: limit,
    })
}

fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 {
        return f64::INFINITY;
    }
    // Rates are far below 2^53.
    let parts_per_million = u128::from(a) * 1_000_000 / u128::from(b);
    f64::from(u32::try_from(parts_per_million).unwrap_or(u32::MAX)) / 1e6
}

fn probe(plan: &Plan, place: &Place<'_>, rate: u64, stop: &AtomicBool) -> Result<Probe> {
    let mut last = Probe::Lost;
    for _ in 0..TRIES {
        let report = one(plan, place, rate, plan.capacity, stop)?;
        let lost = report.packets.lost.unwrap_or(0);
        let generator = &report.generator;
        plan.tell(&format!(
            "  {:<14} {rate:>9}/s  lost {lost}{}",
            place.contestant.name,
            if generator.is_limit() {
                "  (generator)"
            } else {
                ""
            }
        ));
        if lost == 0 && generator.skipped == 0 {
            return Ok(Probe::Carried);
        }
        last = match generator.limits.first() {
            Some(reason) if is_generators(&report) => Probe::Unknown(reason.clone()),
            _ => Probe::Lost,
        };
    }
    Ok(last)
}

/// Whether what is missing may be the generator's fault: it left out a fiftieth of the packets or
/// more, or dropped a tenth of the lost ones or more itself.
fn is_generators(report: &Report) -> bool {
    let (generator, packets) = (&report.generator, &report.packets);
    let lost = packets.lost.unwrap_or(0);
    lost == 0 || generator.skipped * 50 > packets.sent || generator.dropped_here * 10 > lost
}

fn one(
    plan: &Plan,
    place: &Place<'_>,
    rate: u64,
    duration: Duration,
    stop: &AtomicBool,
) -> Result<Report> {
    let relay = &place.relay;
    let options = Options {
        calls: CALLS,
        rate: Some(rate),
        duration: plan.warm_up + duration,
        warm_up: plan.warm_up,
        cores: vec![plan.cores.load],
        watch: vec![tandem_load::watch::Which::Pid(relay.media_pid())],
        watch_cores: vec![plan.cores.relay],
        timeout: Duration::from_secs(10),
        ..Options::new(Target::Ng(relay.server), relay.permission.clone())
    };
    let run = || Ok(rtp::run(&options, stop, |_| ())?);
    place.hosts.load.within(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(packets_per_second: u64, is_peer: bool) -> Capacity {
        Capacity {
            relay: String::new(),
            is_peer,
            packets_per_second,
            seconds: 1.0,
            generator_limit: None,
        }
    }

    #[test]
    fn latency_is_compared_at_what_the_peer_can_carry() {
        let both = [capacity(500_000, false), capacity(200_000, true)];
        assert_eq!(common_rate(&both), Some(120_000));
        assert_eq!(common_rate(&both[..1]), Some(300_000));
        assert_eq!(common_rate(&[]), None);
    }

    #[test]
    fn the_search_ends_when_the_bounds_are_near() {
        assert!(ratio(105_000, 100_000) <= PRECISION);
        assert!(ratio(106_000, 100_000) > PRECISION);
        assert!(ratio(1, 0).is_infinite());
    }
}
