//! Looks at workers and calls for whoever watches.
//!
//! ```text
//! refresh      ─► QueryWorker, one for each worker            ─► rates, metrics
//! watch_calls  ─► QueryCall, a few at a time, round and round ─► the newest numbers of each call
//! ```
//!
//! A worker is asked for a few calls in one message, and for the next ones when it has answered
//! and had a pause: ten thousand calls are seen within seconds, and no packet waits for it. Nobody
//! watches: nothing is asked.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use relay_wire::{Answer, CallKey, Command, CommandError, Failure, Refusal, WorkerId, WorkerStats};
use rustc_hash::FxHashMap;

use crate::summary::CallSummary;

use super::link::Purpose;
use super::traffic::{Pace, Traffic};
use super::{Control, Now, metrics};

/// Calls that a worker is asked for in one message: some microseconds of its time.
const CALLS_PER_TURN: usize = 16;

/// Pause of a worker between two such messages.
const PAUSE: Duration = Duration::from_millis(5);

/// From the beginning of one round to that of the next, at least.
const ROUND: Duration = Duration::from_secs(1);

/// Who watches says so again before this is over.
const WATCHED_FOR: Duration = Duration::from_secs(10);

/// What is known by looking.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) workers: Vec<Watched>,
    /// What all of them forward.
    pub(super) pace: Pace,
    until: Option<Instant>,
    samples: FxHashMap<CallKey, WatchedCall>,
}

/// One worker.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) stats: Option<WorkerStats>,
    is_asked: bool,
    /// Calls that are still to be looked at.
    round: VecDeque<CallKey>,
    round_began: Option<Instant>,
    /// Calls that it is being asked for.
    sent: Vec<CallKey>,
    due: Option<Instant>,
}

/// The newest that is known of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WatchedCall {
    /// When it was looked at: milliseconds since 1970.
    pub unix_ms: u64,
    /// What was seen.
    pub summary: CallSummary,
}

impl Watch {
    /// The relay is another one, or the same after a while.
    pub(super) fn reset(&mut self, workers: u8) {
        self.workers.clear();
        self.pace = Pace::default();
        let workers = usize::from(workers);
        self.workers.resize_with(workers, Watched::default);
        self.samples.clear();
        self.until = None;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.workers.iter().filter_map(|worker| worker.due).min()
    }

    /// The sum of a counter over all workers; `None` unless all have told it.
    pub(super) fn sum(&self, counter: &str) -> Option<u64> {
        let of = |worker: &Watched| {
            let counters = &worker.stats.as_ref()?.counters;
            counters
                .iter()
                .find_map(|(name, count)| (name == counter).then_some(*count))
        };
        let counts = self.workers.iter().map(of);
        counts
            .sum::<Option<u64>>()
            .filter(|_| !self.workers.is_empty())
    }
}

impl Control {
    /// Asks each worker for its counts. To be called every few seconds; what comes shows in
    /// [`Self::exposition`], and bandwidth is limited by it.
    pub fn refresh(&mut self) {
        if !self.link.is_up() {
            return;
        }
        for number in 0..self.link.workers() {
            let Some(worker) = self.watch.workers.get_mut(usize::from(number)) else {
                return;
            };
            if !std::mem::replace(&mut worker.is_asked, true) {
                let worker = WorkerId(number);
                self.ask(worker, vec![Command::QueryWorker], Purpose::Watch(worker));
            }
        }
    }

    /// A worker told its counts.
    pub(super) fn handle_watched(&mut self, now: Now, worker: WorkerId, answers: Vec<Answer>) {
        let Some(watched) = self.watch.workers.get_mut(usize::from(worker.0)) else {
            return;
        };
        watched.is_asked = false;
        let stats = answers.into_iter().find_map(|answer| match answer {
            Answer::Worker(stats) => Some(stats),
            _ => None,
        });
        if stats.is_some() {
            watched.stats = stats;
        }
        let is_last = self.watch.workers.iter().all(|worker| !worker.is_asked);
        if is_last && let Some(bytes) = self.watch.sum(metrics::BYTES_OUT) {
            self.admission.note_bytes(now.instant, bytes);
            let mut traffic = Traffic::default();
            for stats in self.watch.workers.iter().filter_map(|it| it.stats.as_ref()) {
                traffic.add(stats);
            }
            self.watch.pace.note(now.instant, traffic);
        }
    }

    /// Somebody watches calls, for the next seconds.
    pub fn watch_calls(&mut self, now: Now) {
        self.watch.until = Some(now.instant + WATCHED_FOR);
        if !self.link.is_up() {
            return;
        }
        for worker in &mut self.watch.workers {
            if worker.due.is_none() && worker.sent.is_empty() {
                worker.due = Some(now.instant);
            }
        }
    }

    /// What was seen of calls since somebody watches.
    pub fn watched_calls(&self) -> impl Iterator<Item = &WatchedCall> {
        self.watch.samples.values()
    }

    /// Looks at the next calls of the workers that are due.
    pub(super) fn watch_more(&mut self, now: Now) {
        let is_over = self.watch.until.is_none_or(|until| until <= now.instant);
        for number in 0..self.watch.workers.len() {
            let worker = &mut self.watch.workers[number];
            if worker.due.is_none_or(|due| due > now.instant) {
                continue;
            }
            worker.due = None;
            if is_over || !self.link.is_up() {
                worker.round.clear();
                worker.round_began = None;
            } else if let Ok(number) = u8::try_from(number) {
                self.watch_turn(now, WorkerId(number));
            }
        }
        if is_over && self.watch.due().is_none() {
            self.watch.samples = FxHashMap::default();
        }
    }

    fn watch_turn(&mut self, now: Now, id: WorkerId) {
        let worker = &mut self.watch.workers[usize::from(id.0)];
        if worker.round.is_empty() {
            let next = worker.round_began.map(|began| began + ROUND);
            if let Some(next) = next.filter(|next| *next > now.instant) {
                worker.due = Some(next);
                return;
            }
            worker.round_began = Some(now.instant);
            let calls = self.calls.iter();
            let calls = calls.filter(|(_, call)| call.worker == id && call.ended.is_none());
            worker.round.extend(calls.map(|(key, _)| *key));
            let (samples, calls) = (&mut self.watch.samples, &self.calls);
            samples.retain(|key, _| calls.contains_key(key));
        }
        let mut sent = Vec::with_capacity(CALLS_PER_TURN);
        while sent.len() < CALLS_PER_TURN
            && let Some(key) = worker.round.pop_front()
        {
            let call = self.calls.get(&key);
            if call.is_some_and(|call| !call.is_new() && call.ended.is_none()) {
                sent.push(key);
            }
        }
        if sent.is_empty() {
            // None at all: looked for again when the round is over.
            worker.due = Some(now.instant + PAUSE);
            return;
        }
        let commands = sent.iter().map(|call| Command::QueryCall { call: *call });
        let commands = commands.collect();
        worker.sent = sent;
        self.ask(id, commands, Purpose::Sample(id));
    }

    /// A worker told of some calls.
    pub(super) fn handle_samples(
        &mut self,
        now: Now,
        id: WorkerId,
        answers: Vec<Answer>,
        failure: Option<Failure>,
    ) {
        let Some(worker) = self.watch.workers.get_mut(usize::from(id.0)) else {
            return;
        };
        let mut left = std::mem::take(&mut worker.sent);
        if let Some(failure) = failure {
            let failed = usize::from(failure.index).min(left.len());
            let mut untried = left.split_off(failed);
            let is_full = failure.error == CommandError::Refused(Refusal::TooLong);
            // One that is gone is left out; one that only found no room comes next.
            if !(is_full && failed > 0) {
                untried.drain(..1.min(untried.len()));
            }
            untried
                .into_iter()
                .rev()
                .for_each(|key| worker.round.push_front(key));
        }
        worker.due = Some(now.instant + PAUSE);
        for answer in answers {
            if let Answer::Call(stats) = answer
                && let Some(call) = self.calls.get(&stats.call)
            {
                let interfaces = &self.link.interfaces;
                let about = (&call.state, call.worker.0);
                let summary = CallSummary::of(about, Some(&stats), interfaces, now.unix_ms);
                let unix_ms = now.unix_ms;
                let seen = WatchedCall { unix_ms, summary };
                self.watch.samples.insert(stats.call, seen);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use control_ng::{Command as Ng, Message, Negotiation, Query, Reply as NgReply};
    use relay_wire::{CallStats, PortPartition, Reply, Request};

    use super::*;
    use crate::output::Output;
    use crate::tests::{CONFIG, Sim, SimRelay, client, sdp, start};

    const CALLS: usize = 10_000;

    /// Control with very many calls, and a relay that says yes when it is asked to.
    struct Crowd {
        control: Control,
        elapsed: Duration,
        requests: VecDeque<Request>,
        replies: Vec<Vec<u8>>,
    }

    impl Crowd {
        fn new(workers: u8) -> Self {
            let mut hello = SimRelay::new(workers).hello;
            hello.partition = PortPartition::new(10_000, 59_999, workers).unwrap();
            let mut crowd = Self {
                control: Control::new(crate::Config {
                    calls_max: 20_000,
                    ..CONFIG
                }),
                elapsed: Duration::ZERO,
                requests: VecDeque::new(),
                replies: Vec::new(),
            };
            crowd.control.handle_relay_hello(crowd.now(), hello);
            crowd.deliver_all();
            let sdp = sdp("192.0.2.1", 4000);
            for n in 0..CALLS {
                let call_id = format!("call-{n}");
                let offer = Negotiation::new(call_id.as_bytes(), b"a", sdp.as_bytes());
                crowd.send(&Ng::Offer(offer));
                crowd.deliver_all();
            }
            assert_eq!(crowd.control.call_count(), CALLS);
            crowd.replies.clear();
            crowd
        }

        fn now(&self) -> Now {
            Now {
                instant: start() + self.elapsed,
                unix_ms: 1_700_000_000_000,
            }
        }

        fn send(&mut self, command: &Ng<'_>) {
            let datagram = command.encode(b"c");
            let now = self.now();
            self.control.handle_request(now, client(1), &datagram);
            self.pump();
        }

        fn pump(&mut self) {
            while let Some(output) = self.control.poll_output() {
                match output {
                    Output::Relay(request) => self.requests.push_back(request),
                    Output::Send { datagram, .. } => self.replies.push(datagram),
                    Output::Key(_) | Output::Load(_) => {}
                    Output::Notice(_) | Output::Report(_) => {}
                }
            }
        }

        fn deliver_all(&mut self) {
            self.pump();
            while let Some(request) = self.requests.pop_front() {
                let answers = request.commands.iter().map(|command| match command {
                    Command::QueryCall { call } | Command::RemoveCall { call } => {
                        let (call, endpoints) = (*call, Vec::new());
                        Answer::Call(CallStats { call, endpoints })
                    }
                    Command::ListCalls { .. } => Answer::Calls {
                        calls: Vec::new(),
                        more: false,
                    },
                    _ => Answer::Done,
                });
                let reply = Reply {
                    id: request.id,
                    answers: answers.collect(),
                    failure: None,
                };
                self.control.handle_relay_reply(self.now(), reply);
                self.pump();
            }
        }

        /// Lets a pause pass.
        fn pause(&mut self) {
            self.elapsed += PAUSE;
            self.control.handle_timeout(self.now());
            self.pump();
        }
    }

    #[test]
    fn ten_thousand_calls_are_looked_at_in_small_pieces() {
        let mut crowd = Crowd::new(2);
        let mut turns = 0;
        while crowd.control.watched_calls().count() < CALLS {
            crowd.control.watch_calls(crowd.now());
            crowd.pause();
            let asked = crowd.requests.len();
            assert!(asked <= 2, "one question for each worker at a time");
            for request in &crowd.requests {
                assert!(request.commands.len() <= CALLS_PER_TURN);
            }
            crowd.pause();
            assert_eq!(crowd.requests.len(), asked, "no other before the answer");
            crowd.deliver_all();
            turns += 1;
            assert!(turns <= CALLS, "it makes progress");
        }
        assert!(turns >= CALLS / CALLS_PER_TURN / 2);
    }

    #[test]
    fn requests_about_calls_are_served_between_the_pieces() {
        let mut crowd = Crowd::new(1);
        crowd.control.watch_calls(crowd.now());
        crowd.pause();
        assert_eq!(crowd.requests.len(), 1);
        crowd.send(&Ng::Query(Query {
            call_id: b"call-77",
            ..Query::default()
        }));
        assert_eq!(crowd.requests.len(), 2, "it waits for one piece at most");
        assert!(crowd.requests[0].commands.len() <= CALLS_PER_TURN);
        crowd.deliver_all();
        assert_eq!(crowd.replies.len(), 1);
    }

    #[test]
    fn a_list_of_ten_thousand_calls_asks_the_relay_for_nothing() {
        let mut crowd = Crowd::new(1);
        crowd.send(&Ng::List { limit: u32::MAX });
        assert!(crowd.requests.is_empty());
        let message = Message::split(&crowd.replies[0]).unwrap();
        let reply = NgReply::parse(message.body).unwrap();
        let calls = reply.dictionary().get("calls").and_then(|it| it.as_list());
        let count = calls.map(<[_]>::len).unwrap();
        assert!(
            (1_000..=CALLS).contains(&count),
            "as many as a datagram holds: {count}"
        );
    }

    #[test]
    fn it_stops_when_nobody_watches_any_more() {
        let mut sim = Sim::new();
        sim.offer("c1", "a", &sdp("192.0.2.1", 4000));
        sim.control.watch_calls(sim.now());
        sim.sleep(Duration::from_secs(5));
        assert_eq!(sim.control.watched_calls().count(), 1);
        sim.sleep(Duration::from_secs(10));
        assert_eq!(sim.control.watched_calls().count(), 0);
        assert_eq!(sim.control.watch.due(), None);
    }

    #[test]
    fn a_relay_that_goes_away_is_not_waited_for() {
        let mut sim = Sim::new();
        sim.offer("c1", "a", &sdp("192.0.2.1", 4000));
        sim.is_slow = true;
        sim.control.watch_calls(sim.now());
        sim.control.refresh();
        sim.sleep(PAUSE);
        assert_eq!(sim.requests.len(), 2, "it was asked, and says nothing");
        sim.disconnect();
        sim.is_slow = false;
        sim.restart_relay();
        sim.control.watch_calls(sim.now());
        sim.control.refresh();
        sim.pump();
        sim.sleep(Duration::from_secs(2));
        assert_eq!(sim.control.watched_calls().count(), 1);
        assert!(sim.control.watch.workers[0].stats.is_some());
    }

    /// A call that went away between question and answer, and a reply that was full.
    #[test]
    fn a_call_that_is_gone_and_a_full_reply_lose_no_other() {
        let mut sim = Sim::new();
        for n in 0..4 {
            sim.offer(&format!("c{n}"), "a", &sdp("192.0.2.1", 4000));
        }
        sim.is_slow = true;
        sim.control.watch_calls(sim.now());
        sim.sleep(PAUSE);
        let request = sim.requests.pop_front().unwrap();
        let error = CommandError::Refused(Refusal::TooLong);
        let reply = Reply {
            id: request.id,
            answers: Vec::new(),
            failure: Some(Failure { index: 2, error }),
        };
        sim.control.handle_relay_reply(sim.now(), reply);
        sim.sleep(PAUSE);
        assert_eq!(sim.requests[0].commands, request.commands[2..]);
        let id = sim.requests.pop_front().unwrap().id;
        let error = CommandError::Refused(Refusal::UnknownCall);
        let reply = Reply {
            id,
            answers: Vec::new(),
            failure: Some(Failure { index: 0, error }),
        };
        sim.control.handle_relay_reply(sim.now(), reply);
        sim.sleep(PAUSE);
        assert_eq!(sim.requests[0].commands, request.commands[3..]);
    }
}
