//! What a packet costs that the kernel's table forwards, for few streams and for very many: the
//! relay's core between two hosts, and the program alone by the kernel's own clock.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tandem_load::rtp::Report;

use crate::hosts::{self, Load, Place};
use crate::plan::Plan;

/// Few.
pub(crate) const FEW: u32 = 10;

/// Packets a second of all streams together.
const RATE: u64 = 100_000;

/// Until the kernel forwards thousands of streams: it takes a stream over at its 25th packet.
const WARM_UP: Duration = Duration::from_secs(4);

/// In which each stream renews its lease once, by a packet that goes through the socket.
const MEASURE: Duration = Duration::from_secs(5);

/// Where the kernel is told to take the time of programs.
const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Of one relay with so many streams, in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Crowd {
    pub(crate) relay: String,
    pub(crate) round: u32,
    pub(crate) streams: u32,
    pub(crate) packets_per_second: u64,
    /// All that the relay's core did, for each packet.
    pub(crate) core_us: f64,
    /// Its process.
    pub(crate) process_us: f64,
    /// Each run of the program that forwards; none without the kernel's table.
    pub(crate) program_ns: Option<f64>,
    pub(crate) lost: u64,
}

/// Seconds that all of it is thought to take.
pub(crate) fn expected_s(plan: &Plan) -> f64 {
    let relays = f64::from(u32::try_from(who(plan).count()).unwrap_or(0));
    relays * 2.0 * f64::from(plan.rounds) * ((WARM_UP + MEASURE).as_secs_f64() + 3.0)
}

/// The kernel's table, ours through sockets, and the peer.
fn who(plan: &Plan) -> impl Iterator<Item = &crate::contestants::Contestant> {
    let contestants = plan.contestants.iter();
    contestants.filter(|it| it.is_main || it.has_kernel_table())
}

/// Measures each with few streams and with many, in turns.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, all: &mut Vec<Crowd>) -> Result<()> {
    if who(plan).all(|it| !it.has_kernel_table()) {
        return Ok(());
    }
    let _switch = Switch::on()?;
    let places = who(plan).map(|it| hosts::start(plan, it));
    let places = places.collect::<Result<Vec<_>>>()?;
    for round in 0..plan.rounds {
        for streams in [FEW, plan.endurance_calls] {
            for place in &places {
                if plan.is_stopped(stop) {
                    return Ok(());
                }
                let crowd = one(plan, place, round, streams, stop)?;
                plan.clock.tick((WARM_UP + MEASURE).as_secs_f64() + 3.0);
                plan.clock.tell(&crowd.line());
                all.push(crowd);
            }
        }
    }
    Ok(())
}

fn one(
    plan: &Plan,
    place: &Place<'_>,
    round: u32,
    streams: u32,
    stop: &AtomicBool,
) -> Result<Crowd> {
    let load = Load {
        calls: streams,
        rate: RATE,
        warm_up: WARM_UP,
        duration: MEASURE,
        is_only_counted: true,
    };
    let before = runs(place.relay.media_pid());
    let report = hosts::one(plan, place, &load, stop)?;
    let after = runs(place.relay.media_pid());
    Ok(Crowd::new(
        place,
        round,
        streams,
        &report,
        after.since(before),
    ))
}

impl Crowd {
    fn new(place: &Place<'_>, round: u32, streams: u32, report: &Report, runs: Runs) -> Self {
        let (process, core) = (report.processes.first(), report.cores.first());
        Self {
            relay: place.contestant.name.clone(),
            round,
            streams,
            packets_per_second: RATE,
            core_us: core.and_then(|it| it.per_packet_us).unwrap_or(f64::NAN),
            process_us: process.and_then(|it| it.per_packet_us).unwrap_or(f64::NAN),
            program_ns: runs.mean_ns(),
            lost: report.packets.lost.unwrap_or(0),
        }
    }

    fn line(&self) -> String {
        let program = self.program_ns.map(|it| format!(", program {it:.0} ns"));
        format!(
            "crowd    {:<16} {:>6} streams {:>7}/s  core {:.2} µs a packet, process {:.2} µs{}  lost {}",
            self.relay,
            self.streams,
            self.packets_per_second,
            self.core_us,
            self.process_us,
            program.unwrap_or_default(),
            self.lost
        )
    }
}

/// How often programs ran, and for how long in all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Runs {
    count: u64,
    ns: u64,
}

impl Runs {
    fn since(self, before: Self) -> Self {
        Self {
            count: self.count.saturating_sub(before.count),
            ns: self.ns.saturating_sub(before.ns),
        }
    }

    fn mean_ns(self) -> Option<f64> {
        let ns = Duration::from_nanos(self.ns).as_secs_f64() * 1e9;
        (self.count > 0).then(|| ns / f64::from(u32::try_from(self.count).unwrap_or(u32::MAX)))
    }
}

/// Of the programs of a process that are run where frames come in.
fn runs(pid: u32) -> Runs {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    let files = files.into_iter().flatten().flatten();
    let texts = files.filter_map(|it| fs::read_to_string(it.path()).ok());
    texts.fold(Runs::default(), |sum, text| {
        let runs = runs_in(&text).unwrap_or_default();
        Runs {
            count: sum.count + runs.count,
            ns: sum.ns + runs.ns,
        }
    })
}

/// `None`: it is not about such a program.
fn runs_in(text: &str) -> Option<Runs> {
    let number = |name: &str| {
        let line = text
            .lines()
            .find_map(|it| it.strip_prefix(name)?.strip_prefix(':'));
        line?.trim().parse::<u64>().ok()
    };
    /// `BPF_PROG_TYPE_XDP`.
    const XDP: u64 = 6;
    (number("prog_type")? == XDP).then_some(())?;
    Some(Runs {
        count: number("run_cnt")?,
        ns: number("run_time_ns")?,
    })
}

/// The kernel takes the time of programs until this goes.
struct Switch(String);

impl Switch {
    fn on() -> Result<Self> {
        let before = fs::read_to_string(SWITCH).with_context(|| format!("there is no {SWITCH}"))?;
        fs::write(SWITCH, "1").with_context(|| format!("cannot write {SWITCH}"))?;
        Ok(Self(before))
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = fs::write(SWITCH, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_where_frames_come_in_are_counted() {
        let text = |kind| {
            format!("pos:\t0\nprog_type:\t{kind}\nprog_jited:\t1\nrun_time_ns:\t900\nrun_cnt:\t9\n")
        };
        let runs = runs_in(&text(6)).unwrap();
        assert_eq!(runs, Runs { count: 9, ns: 900 });
        assert!((runs.mean_ns().unwrap() - 100.0).abs() < 1e-9);
        assert_eq!(runs_in(&text(3)), None);
        assert_eq!(runs_in("pos:\t0\nflags:\t02\n"), None);
        assert_eq!(runs.since(runs).mean_ns(), None);
    }
}
