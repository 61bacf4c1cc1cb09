//! What packets notice of questions. Ten thousand calls are up, some of them talk; meanwhile all are
//! listed, one is queried, everything is counted, again and again.
//!
//! A port is an open file, and a host may allow fewer of them than so many calls need: 20,000 are
//! enough for 4,968 calls. The others have had their stream refused (a port of 0): they are known,
//! listed, queried and counted like any call, and have no ports. rtpengine opens four for whatever
//! else a call may be, with or without `rtcp-mux`.
//!
//! Everything of a relay runs on one core, so that who answers questions takes time from who
//! forwards, unless it gives way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use control_ng::{Command, Query};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Serialize;
use tandem_load::rtp::{self, Report};
use tandem_load::{NgClient, Percentiles};

use crate::contestants::Contestant;
use crate::files;
use crate::hosts::{self, Load, Place, TALKING};
use crate::plan::Plan;
use crate::relay::Running;
use crate::set_up;

/// Calls that are there.
const CALLS: u32 = 10_000;

/// Calls that a list is to name: rtpengine says nothing at all if they fit in no datagram.
const LISTED: u32 = 4_000;

/// From one answer to the next question.
const PAUSE: Duration = Duration::from_millis(10);

/// Seconds that the calls take to be made.
const MAKE_S: f64 = 8.0;

/// How long packets took, in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Asked {
    relay: String,
    round: u32,
    calls: u32,
    /// Those of them that have ports.
    with_ports: u32,
    quiet_us: Percentiles,
    asked_us: Percentiles,
    lost: u64,
    /// Questions that were answered, and how long that took.
    questions: u32,
    list_ms: f64,
    query_ms: f64,
    statistics_ms: f64,
}

/// Seconds that all of it is thought to take.
pub(crate) fn expected_s(plan: &Plan) -> f64 {
    let relays = f64::from(u32::try_from(plan.main().count()).unwrap_or(0));
    relays * (MAKE_S + f64::from(plan.rounds) * 2.0 * plan.latency_s())
}

/// Measures each relay with and without questions, in turns.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, all: &mut Vec<Asked>) -> Result<()> {
    let start = |contestant| Asking::start(plan, contestant);
    let places = plan.main().map(start).collect::<Result<Vec<_>>>()?;
    for round in 0..plan.rounds {
        for place in &places {
            if plan.is_stopped(stop) {
                return Ok(());
            }
            let asked = place.measure(plan, round, stop)?;
            plan.clock.tick(2.0 * plan.latency_s());
            plan.clock.tell(&asked.line());
            all.push(asked);
        }
    }
    Ok(())
}

/// A relay with its calls.
struct Asking<'a> {
    place: Place<'a>,
    /// Calls that do not talk, and those of them that have ports.
    idle: u32,
    with_ports: u32,
}

impl<'a> Asking<'a> {
    fn start(plan: &Plan, contestant: &'a Contestant) -> Result<Self> {
        let place = hosts::start(plan, contestant)?;
        // A port is an open file; some are for those who talk.
        let idle = CALLS - TALKING;
        let with_ports = idle.min(files::calls_possible().saturating_sub(TALKING));
        let (count, opened) = (usize::try_from(idle)?, usize::try_from(with_ports)?);
        let make = || {
            let mut client = client(&place.relay)?;
            set_up::make_some_open(&mut client, &place.relay, count, opened)
        };
        place.hosts.load.within(make)?;
        plan.clock.tick(MAKE_S);
        Ok(Self {
            place,
            idle,
            with_ports,
        })
    }

    fn measure(&self, plan: &Plan, round: u32, stop: &AtomicBool) -> Result<Asked> {
        let Place {
            contestant, hosts, ..
        } = &self.place;
        let options = hosts::options(plan, &self.place, &Load::of_some_talk(plan));
        let talk = || Ok(rtp::run(&options, stop, |_| ())?);
        let quiet = hosts.load.within(talk)?;
        let core = plan.cores.load;
        let talk_and_ask = || self.talk_and_ask(talk, core);
        let (asked, answers) = hosts.load.within(talk_and_ask)?;
        let us = |report: &Report| report.latency_us.clone().unwrap_or_default();
        let lost = |report: &Report| report.packets.lost.unwrap_or(0);
        let [list_ms, query_ms, statistics_ms] = answers.mean_ms();
        Ok(Asked {
            relay: contestant.name.clone(),
            round,
            calls: self.idle + TALKING,
            with_ports: self.with_ports + TALKING,
            quiet_us: us(&quiet),
            asked_us: us(&asked),
            lost: lost(&quiet) + lost(&asked),
            questions: answers.count(),
            list_ms,
            query_ms,
            statistics_ms,
        })
    }

    fn talk_and_ask(
        &self,
        talk: impl FnOnce() -> Result<Report>,
        core: usize,
    ) -> Result<(Report, Answers)> {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let asker = scope.spawn(|| self.ask(core, &is_over));
            let report = talk();
            is_over.store(true, Ordering::Relaxed);
            let answers = asker.join().expect("the asker does not panic")?;
            Ok((report?, answers))
        })
    }

    fn ask(&self, core: usize, is_over: &AtomicBool) -> Result<Answers> {
        // Away from the relay's core.
        let mut cores = CpuSet::new();
        cores.set(core);
        sched_setaffinity(None, &cores).context("cannot choose a core")?;
        let mut client = client(&self.place.relay)?;
        let mut answers = Answers::default();
        while !is_over.load(Ordering::Relaxed) {
            answers.ask(&mut client, self.idle)?;
        }
        Ok(answers)
    }
}

fn client(relay: &Running) -> Result<NgClient> {
    let patience = Duration::from_secs(10);
    Ok(NgClient::new(relay.server, patience, &relay.permission)?)
}

/// How long answers took, by question.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    rounds: u32,
    took: [Duration; 3],
}

impl Answers {
    /// Puts each question once, of as many calls.
    fn ask(&mut self, client: &mut NgClient, calls: u32) -> Result<()> {
        let id = format!("set-up-{}", self.rounds % calls.max(1));
        let query = Query {
            call_id: id.as_bytes(),
            ..Query::default()
        };
        let questions = [
            Command::List { limit: LISTED },
            Command::Query(query),
            Command::Statistics,
        ];
        for (question, took) in questions.iter().zip(&mut self.took) {
            let asked = Instant::now();
            client.ask(question, |_| ())?;
            *took += asked.elapsed();
            thread::sleep(PAUSE);
        }
        self.rounds += 1;
        Ok(())
    }

    fn count(&self) -> u32 {
        3 * self.rounds
    }

    fn mean_ms(&self) -> [f64; 3] {
        let rounds = self.rounds.max(1);
        self.took.map(|took| (took / rounds).as_secs_f64() * 1e3)
    }
}

impl Asked {
    fn line(&self) -> String {
        format!(
            "asked    {:<16} {} calls, {} with ports: 99 % within {:.0} µs, with {} questions {:.0} µs ({:.2} ×), \
             99.9 % {:.0} and {:.0} µs; list {:.2} ms, query {:.2} ms, statistics {:.2} ms; lost {}",
            self.relay,
            self.calls,
            self.with_ports,
            self.quiet_us.p99,
            self.questions,
            self.asked_us.p99,
            self.asked_us.p99 / self.quiet_us.p99,
            self.quiet_us.p999,
            self.asked_us.p999,
            self.list_ms,
            self.query_ms,
            self.statistics_ms,
            self.lost,
        )
    }
}
