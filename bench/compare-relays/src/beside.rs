//! What packets that are only forwarded notice of codecs. Some calls talk; meanwhile so many others
//! have their speech translated that the codec threads have no time left.
//!
//! Everything of a relay runs on one core, so that who translates takes time from who forwards,
//! unless it gives way.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use codec::{Codec, Rate};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Serialize;
use tandem_load::rtp::{self, Report};
use tandem_load::{NgClient, Percentiles};

use crate::hosts::{self, Load, Place};
use crate::plan::Plan;
use crate::relay::Running;
use crate::speech::{self, Ends, Speech, Stream};
use crate::world::TwoHosts;

/// Streams that are translated: more than one core has time for.
const STREAMS: usize = 400;

/// The dearest pair.
const PAIR: (Codec, Codec) = (Codec::G722, Codec::Opus(Rate::Wide));

/// Streams whose packets are due within so long are served at one go, to spare the generator's core.
const GRAIN: Duration = Duration::from_millis(1);

/// Until the codec threads are behind.
const RAMP: Duration = Duration::from_millis(500);

/// Before each round: a relay that was full refuses such calls for some seconds more.
const REST: Duration = Duration::from_secs(6);

/// How long packets took, in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Beside {
    pub(crate) relay: String,
    pub(crate) round: u32,
    pub(crate) quiet_us: Percentiles,
    pub(crate) beside_us: Percentiles,
    pub(crate) lost: u64,
    /// How much of the core the relay's codec threads had; those of the peer have no such name.
    codec_busy: f64,
    /// The whole core.
    core_busy: f64,
}

/// Seconds that all of it is thought to take.
pub(crate) fn expected_s(plan: &Plan) -> f64 {
    let relays = f64::from(u32::try_from(plan.main().count()).unwrap_or(0));
    relays * f64::from(plan.rounds) * (2.0 * plan.latency_s() + 3.0 + REST.as_secs_f64())
}

/// Measures each relay with and without codecs at work, in turns.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, all: &mut Vec<Beside>) -> Result<()> {
    let start = |contestant| hosts::start(plan, contestant);
    let places = plan.main().map(start).collect::<Result<Vec<_>>>()?;
    for round in 0..plan.rounds {
        for place in &places {
            if plan.is_stopped(stop) {
                return Ok(());
            }
            let beside = measure_one(plan, place, round, stop)?;
            plan.clock
                .tick(2.0 * plan.latency_s() + 3.0 + REST.as_secs_f64());
            plan.clock.tell(&beside.line());
            all.push(beside);
        }
    }
    Ok(())
}

fn measure_one(plan: &Plan, place: &Place<'_>, round: u32, stop: &AtomicBool) -> Result<Beside> {
    thread::sleep(REST);
    let options = hosts::options(plan, place, &Load::of_some_talk(plan));
    let talk = || Ok(rtp::run(&options, stop, |_| ())?);
    let quiet = place.hosts.load.within(talk)?;
    let core = plan.cores.load;
    let both = || talk_beside(&place.relay, core, talk);
    let (report, codec_busy) = place.hosts.load.within(both)?;
    let us = |report: &Report| report.latency_us.clone().unwrap_or_default();
    let lost = |report: &Report| report.packets.lost.unwrap_or(0);
    Ok(Beside {
        relay: place.contestant.name.clone(),
        round,
        quiet_us: us(&quiet),
        beside_us: us(&report),
        lost: lost(&quiet) + lost(&report),
        codec_busy,
        core_busy: report.cores.first().map_or(f64::NAN, |it| it.busy),
    })
}

fn talk_beside(
    relay: &Running,
    core: usize,
    talk: impl FnOnce() -> Result<Report>,
) -> Result<(Report, f64)> {
    let patience = Duration::from_secs(10);
    let mut client = NgClient::new(relay.server, patience, &relay.permission)?;
    let ends = Ends {
        caller: TwoHosts::LOAD,
        callee: TwoHosts::NOBODY,
    };
    // While nobody speaks: a relay that is busy would refuse.
    let streams = speech::begin(&mut client, STREAMS, ends, PAIR)?;
    let is_over = AtomicBool::new(false);
    let measured = thread::scope(|scope| {
        let speakers = scope.spawn(|| speak(&streams, core, &is_over));
        thread::sleep(RAMP);
        let (began, before) = (Instant::now(), codec_ns(relay.media_pid()));
        let report = talk();
        let worked = codec_ns(relay.media_pid()).saturating_sub(before);
        let worked_s = Duration::from_nanos(worked).as_secs_f64();
        let busy = worked_s / began.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        speakers.join().expect("speakers do not panic")?;
        Ok((report?, busy))
    });
    speech::end(&mut client, STREAMS)?;
    measured
}

/// All streams, again and again.
fn speak(streams: &[Stream], core: usize, is_over: &AtomicBool) -> Result<()> {
    // Away from the relay's core.
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).context("cannot choose a core")?;
    let step = Duration::from_millis(100);
    let length = Duration::from_secs(60);
    let speech = Speech::new(PAIR.0, length);
    let mut at = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) && at < length {
        speech.play(streams, at, step, GRAIN)?;
        at += step;
    }
    Ok(())
}

/// Time that the codec threads of a relay have had.
fn codec_ns(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let of = |folder: std::path::PathBuf| {
        let name = fs::read_to_string(folder.join("comm")).ok()?;
        let text = fs::read_to_string(folder.join("schedstat")).ok()?;
        let is_one = name.starts_with("codec");
        is_one.then(|| text.split(' ').next()?.parse::<u64>().ok())?
    };
    threads.filter_map(|it| of(it.path())).sum()
}

impl Beside {
    pub(crate) fn line(&self) -> String {
        format!(
            "beside   {:<16} 99 % within {:.0} µs, beside codecs {:.0} µs ({:.2} ×), 99.9 % {:.0} and \
             {:.0} µs; codec threads had {:.0} % of the core, all {:.0} %; lost {}",
            self.relay,
            self.quiet_us.p99,
            self.beside_us.p99,
            self.beside_us.p99 / self.quiet_us.p99,
            self.quiet_us.p999,
            self.beside_us.p999,
            self.codec_busy * 100.0,
            self.core_busy * 100.0,
            self.lost,
        )
    }
}
