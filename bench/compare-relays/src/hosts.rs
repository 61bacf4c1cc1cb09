//! Between two hosts: the highest rate without loss, latency below it, and endurance.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use tandem_load::rtp::{self, Generator, Options, Report, Target};
use tandem_load::watch::Which;

use crate::contestants::{Contestant, OURS};
use crate::napi;
use crate::plan::{HOSTS_STREAMS, Plan};
use crate::relay::Running;
use crate::results::{Capacity, Endurance, Latency, Results};
use crate::search::{Outcome, Search, Try};
use crate::world::TwoHosts;

/// Of the capacity, for latency and for endurance: in percent.
const PART_PERCENT: u64 = 60;

/// Short tries of what the generator can check.
const PROBES: u32 = 2;

/// Calls that talk beside something else, and their packets each second.
pub(crate) const TALKING: u32 = 50;
const TALKING_RATE: u64 = 10_000;

/// A relay on its own pair of hosts.
pub(crate) struct Place<'a> {
    pub(crate) contestant: &'a Contestant,
    // Before the hosts, which cannot go while somebody is in them.
    pub(crate) relay: Running,
    /// At the other end of the cable, for the kernel's table.
    _program: Option<OwnedFd>,
    pub(crate) hosts: TwoHosts,
}

/// Load for one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) calls: u32,
    pub(crate) rate: u64,
    pub(crate) warm_up: Duration,
    /// After the warm-up.
    pub(crate) duration: Duration,
    /// What comes back is counted by the interface and read by nobody, so that the generator's
    /// core is spared; otherwise each packet is checked, in both directions.
    pub(crate) is_only_counted: bool,
}

impl Load {
    /// An ordinary one: some calls that talk, beside which something else goes on.
    pub(crate) fn of_some_talk(plan: &Plan) -> Self {
        Self {
            calls: TALKING,
            rate: TALKING_RATE,
            warm_up: plan.warm_up,
            duration: plan.measure,
            is_only_counted: false,
        }
    }
}

/// Searches the capacity of each relay, measures latency at equal rates, in turns, and then how
/// ours endures.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, results: &mut Results) -> Result<()> {
    capacities(plan, stop, results)?;
    let (mut peers, mut all) = (Vec::new(), Vec::new());
    for it in &results.capacities {
        all.push(it.packets_per_second);
        if it.is_peer {
            peers.push(it.packets_per_second);
        }
    }
    if let Some(rate) = common_rate(&peers, &all) {
        latencies(plan, stop, rate, results)?;
    }
    let is_ours = |it: &&Capacity| it.relay == OURS;
    let capacity = results.capacities.iter().find(is_ours);
    if let Some(rate) = capacity.map(|it| part(it.packets_per_second)) {
        endure(plan, stop, rate, results)?;
    }
    Ok(())
}

/// Seconds that all of it is thought to take.
pub(crate) fn expected_s(plan: &Plan) -> f64 {
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(0));
    let rounds = f64::from(plan.rounds);
    count(searched(plan).count()) * plan.capacity_s()
        + rounds * count(plan.contestants.len()) * plan.latency_s()
        + plan.endurance_s()
}

/// Seconds that tries of given rates are thought to take.
pub(crate) fn expected_at_s(plan: &Plan, rates: &[u64]) -> f64 {
    let tries = plan.contestants.len() * rates.len();
    let tries = f64::from(u32::try_from(tries).unwrap_or(0)) * f64::from(plan.rounds);
    tries * (plan.capacity.as_secs_f64() + 2.5)
}

/// What each loses at given rates, in turns: to judge a lever, for which a search, of one relay
/// after the other, is too much at the mercy of the machine.
pub(crate) fn measure_at(plan: &Plan, rates: &[u64], stop: &AtomicBool) -> Result<()> {
    let start = |contestant| start(plan, contestant);
    let places: Result<Vec<Place<'_>>> = plan.contestants.iter().map(start).collect();
    let places = places?;
    let rounds = (0..plan.rounds).flat_map(|_| rates);
    for (rate, place) in rounds.flat_map(|rate| places.iter().map(move |it| (*rate, it))) {
        if plan.is_stopped(stop) {
            break;
        }
        let load = Load {
            calls: plan.streams,
            rate,
            warm_up: plan.warm_up,
            duration: plan.capacity,
            is_only_counted: true,
        };
        let report = one(plan, place, &load, stop)?;
        plan.clock.tick(plan.capacity.as_secs_f64() + 2.5);
        plan.clock
            .tell(&at_line(&place.contestant.name, rate, &report));
    }
    Ok(())
}

fn at_line(name: &str, rate: u64, report: &Report) -> String {
    let lost = report.packets.lost.unwrap_or(0);
    let core = report.cores.first().and_then(|it| it.per_packet_us);
    let process = report.processes.first().and_then(|it| it.per_packet_us);
    let limits = report.generator.limits.join("; ");
    format!(
        "at       {name:<16} {rate:>8}/s  lost {lost:>8}  core {:.2} µs, process {:.2} µs  {limits}",
        core.unwrap_or(0.0),
        process.unwrap_or(0.0)
    )
}

/// Those whose capacity is searched.
fn searched(plan: &Plan) -> impl Iterator<Item = &Contestant> {
    let is_asked = |it: &&Contestant| plan.of_capacity().any(|that| that.name == it.name);
    let all = plan.contestants.iter();
    all.filter(move |it| it.is_floor() || is_asked(it))
}

fn capacities(plan: &Plan, stop: &AtomicBool, results: &mut Results) -> Result<()> {
    for contestant in searched(plan) {
        if plan.is_stopped(stop) {
            break;
        }
        // Alone: others that are idle still have threads that wake up.
        let place = start(plan, contestant)?;
        let capacity = search(plan, &place, stop)?;
        plan.clock.tick(plan.capacity_s());
        // An interrupted search has found nothing.
        if !plan.is_stopped(stop) {
            plan.clock.tell(&capacity.line());
            results.capacities.push(capacity);
        }
    }
    Ok(())
}

fn latencies(plan: &Plan, stop: &AtomicBool, rate: u64, results: &mut Results) -> Result<()> {
    let start = |contestant| start(plan, contestant);
    let places: Result<Vec<Place<'_>>> = plan.contestants.iter().map(start).collect();
    let places = places?;
    for round in 0..plan.rounds {
        for place in &places {
            if plan.is_stopped(stop) {
                return Ok(());
            }
            let load = Load {
                calls: HOSTS_STREAMS / 2,
                rate,
                warm_up: plan.warm_up,
                duration: plan.measure,
                is_only_counted: false,
            };
            let report = one(plan, place, &load, stop)?;
            let latency = Latency::new(&place.contestant.name, round, rate, &report);
            plan.clock.tick(plan.latency_s());
            plan.clock.tell(&latency.line());
            results.latencies.push(latency);
        }
    }
    Ok(())
}

/// Every packet of very many streams, for a long time, at a rate that leaves room.
fn endure(plan: &Plan, stop: &AtomicBool, rate: u64, results: &mut Results) -> Result<()> {
    let ours = plan.contestants.iter().find(|it| it.name == OURS);
    let Some(contestant) = ours.filter(|_| !plan.is_stopped(stop)) else {
        return Ok(());
    };
    let place = start(plan, contestant)?;
    let mut load = Load {
        calls: plan.endurance_calls,
        rate,
        warm_up: plan.warm_up,
        duration: plan.endurance,
        is_only_counted: false,
    };
    // Where one core cannot both send and check as much, what comes back is counted.
    let probe = Load {
        duration: plan.probe,
        ..load
    };
    let mut is_too_much = true;
    for _ in 0..PROBES {
        // One that other work on the machine spoilt does not decide.
        is_too_much &= overwhelmed(&one(plan, &place, &probe, stop)?.generator);
    }
    load.is_only_counted = is_too_much;
    let report = one(plan, &place, &load, stop)?;
    let endurance = Endurance::new(&contestant.name, rate, load.is_only_counted, &report);
    plan.clock.tick(plan.endurance_s());
    plan.clock.tell(&endurance.line());
    results.endurances.push(endurance);
    Ok(())
}

/// Of what the peer carries; without a peer, of the least that anybody carries.
fn common_rate(peers: &[u64], all: &[u64]) -> Option<u64> {
    let least = peers.iter().min().or_else(|| all.iter().min())?;
    Some(part(*least)).filter(|rate| *rate > 0)
}

fn part(rate: u64) -> u64 {
    rate * PART_PERCENT / 100
}

pub(crate) fn start<'a>(plan: &Plan, contestant: &'a Contestant) -> Result<Place<'a>> {
    let hosts = TwoHosts::new(&contestant.name, plan.cores)?;
    let others = [TwoHosts::LOAD, TwoHosts::NOBODY, TwoHosts::PHONES];
    let core = plan.cores.relay;
    let relay = Running::start(contestant, &hosts.relay, TwoHosts::RELAY, &others, core)?;
    let program = match contestant.has_native_kernel_table() {
        true => Some(napi::prepare(&hosts, plan.cores)?),
        false => None,
    };
    Ok(Place {
        contestant,
        relay,
        _program: program,
        hosts,
    })
}

fn search(plan: &Plan, place: &Place<'_>, stop: &AtomicBool) -> Result<Capacity> {
    let mut search = Search::new();
    let name = &place.contestant.name;
    while let Some(next) = search.poll_try() {
        if plan.is_stopped(stop) {
            break;
        }
        let report = attempt(plan, place, next, stop)?;
        let outcome = outcome(&report);
        let lost = report.packets.lost.unwrap_or(0);
        let rate = next.rate;
        plan.clock.tell(&match &outcome {
            Outcome::Unknown(reason) => format!("  {name:<16} {rate:>8}/s  {reason}"),
            _ => format!("  {name:<16} {rate:>8}/s  lost {lost}"),
        });
        search.handle_outcome(outcome);
    }
    Ok(Capacity {
        relay: name.clone(),
        is_peer: place.contestant.is_peer(),
        packets_per_second: search.found(),
        seconds: plan.capacity.as_secs_f64(),
        generator_limit: search.limit().map(str::to_owned),
    })
}

fn attempt(plan: &Plan, place: &Place<'_>, next: Try, stop: &AtomicBool) -> Result<Report> {
    let duration = match next.is_long {
        true => plan.capacity,
        false => plan.probe,
    };
    let load = Load {
        calls: HOSTS_STREAMS,
        rate: next.rate,
        warm_up: plan.warm_up,
        duration,
        is_only_counted: true,
    };
    one(plan, place, &load, stop)
}

/// Whether the generator sent or received less than there was. Being late alone is no harm.
fn overwhelmed(generator: &Generator) -> bool {
    let missed = [
        generator.skipped,
        generator.sends_full,
        generator.dropped_here,
        generator.backlog_full,
    ];
    missed.iter().any(|count| *count > 0)
}

/// What is missing is the relay's fault, unless the generator left packets out, or its host had no
/// room for them.
fn outcome(report: &Report) -> Outcome {
    let (generator, packets) = (&report.generator, &report.packets);
    let lost = packets.lost.unwrap_or(0);
    let dropped_here = generator.dropped_here + generator.backlog_full;
    let is_generators = generator.skipped > 0 || generator.sends_full > 0;
    match lost {
        0 if !is_generators => Outcome::Carried,
        // Losing is losing, even if it was not all that was asked for.
        _ if lost > 10 * dropped_here && lost > 0 => Outcome::Lost,
        _ => Outcome::Unknown(generator.limits.first().cloned().unwrap_or_default()),
    }
}

pub(crate) fn one(
    plan: &Plan,
    place: &Place<'_>,
    load: &Load,
    stop: &AtomicBool,
) -> Result<Report> {
    let options = options(plan, place, load);
    let run = || Ok(rtp::run(&options, stop, |_| ())?);
    place.hosts.load.within(run)
}

/// What the generator is told. It runs within the load's host.
pub(crate) fn options(plan: &Plan, place: &Place<'_>, load: &Load) -> Options {
    let relay = &place.relay;
    let sink = load.is_only_counted.then_some(TwoHosts::NOBODY);
    Options {
        calls: load.calls,
        rate: Some(load.rate),
        duration: load.warm_up + load.duration,
        warm_up: load.warm_up,
        drain: Duration::from_millis(300),
        sink,
        sink_device: sink.map(|_| TwoHosts::DEVICE.to_owned()),
        cores: vec![plan.cores.load],
        gather: plan.gather,
        link: plan.is_by_frames.then(|| TwoHosts::DEVICE.to_owned()),
        local: plan.is_by_frames.then_some(TwoHosts::PHONES),
        watch: vec![Which::Pid(relay.media_pid())],
        watch_cores: vec![plan.cores.relay],
        timeout: Duration::from_secs(10),
        ..Options::new(Target::Ng(relay.server), relay.permission.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_compared_at_what_the_peer_can_carry() {
        assert_eq!(common_rate(&[200_000], &[500_000, 200_000]), Some(120_000));
        assert_eq!(common_rate(&[], &[500_000]), Some(300_000));
        assert_eq!(common_rate(&[], &[]), None);
        assert_eq!(common_rate(&[0], &[0]), None);
    }
}
