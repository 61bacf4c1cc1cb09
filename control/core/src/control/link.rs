//! The relay: what it is asked, what it says, and how control and relay agree again after one of
//! them was away.
//!
//! Each time the relay says hello, all its calls are listed and compared with ours:
//!
//! | in the relay | here | |
//! | --- | --- | --- |
//! | yes | no, and control has just begun | the record is read, the call is ours |
//! | yes | no | it ended meanwhile: removed |
//! | yes | yes, and nothing was under way | left alone |
//! | yes | yes, but something was under way | removed and installed again |
//! | no | yes | installed again |

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use relay_wire::{
    Answer, CallKey, Command, Event, Fingerprint, Hello, Interface, InterfaceId, Key, Port, Reply,
    Report, Request, WorkerId,
};
use rustc_hash::FxHashMap;

use crate::call::{CallState, LEGS_MAX};
use crate::output::{EndReason, Notice, Output, QualityReport};
use crate::placement::Placement;
use crate::ports::Ports;
use crate::record;
use crate::trace::What;

use super::jobs::{Call, Kind, Silence};
use super::{Control, Now, WAITING_MAX};

/// Calls that are installed again at the same time.
const RESTORES_MAX: usize = 256;

/// Silent calls remembered while calls are listed. The relay tells of them once for each list.
const SILENT_MAX: usize = 65_536;

/// What is known of the relay.
#[derive(Debug, Default)]
pub(super) struct Link {
    state: State,
    pub(super) interfaces: Vec<Interface>,
    hello: Option<Hello>,
    requests: FxHashMap<u32, Purpose>,
    next_request: u32,
    /// The records of an earlier control were read.
    has_adopted: bool,
    listed: FxHashMap<CallKey, (WorkerId, Vec<u8>)>,
    lists_open: usize,
    restores: VecDeque<CallKey>,
    restores_open: usize,
    /// Calls reported silent before it was known whose they are.
    silent: Vec<(CallKey, Silence)>,
    /// Call-IDs whose delete came before their records could be read.
    pub(super) doomed: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// It is not there.
    #[default]
    Down,
    /// It is there, and is being asked what calls it has.
    Listing,
    /// All is known.
    Up,
}

/// What a request was for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    /// The job of a call.
    Call(CallKey),
    /// Nobody waits for it.
    Cleanup,
    /// The calls of a worker.
    List(WorkerId),
    /// How some calls sound.
    Quality(WorkerId),
    /// Some calls that are watched.
    Sample(WorkerId),
    /// The counts of a worker.
    Survey,
    /// The counts of a worker, to be kept.
    Watch(WorkerId),
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    pub(super) fn workers(&self) -> u8 {
        self.hello
            .as_ref()
            .map_or(0, |hello| hello.partition.workers())
    }

    /// How the relay's certificate is known.
    pub(super) fn fingerprints(&self) -> &[Fingerprint] {
        let hello = self.hello.as_ref();
        hello.map_or(&[], |hello| &hello.fingerprints)
    }

    /// Whether it is known which calls an earlier control left.
    pub(super) fn has_adopted(&self) -> bool {
        self.has_adopted
    }
}

impl Control {
    /// The relay is there.
    pub fn handle_relay_hello(&mut self, now: Now, hello: Hello) {
        self.started_unix_ms.get_or_insert(now.unix_ms);
        if self.link.state != State::Down {
            self.handle_relay_lost(now);
        }
        // Keys must not come again in the life of a relay, even if control forgot those of calls
        // that are over.
        self.next_key = self.next_key.max((now.unix_ms / 1_000) << 20);
        self.ports = Ports::new(
            &hello.partition,
            &hello.interfaces,
            hello.idle_per_worker_max,
        );
        self.placement = Placement::new(hello.partition.workers());
        self.watch.reset(hello.partition.workers());
        self.sampling.reset(hello.partition.workers());
        self.admission.forget_bytes();
        self.link.interfaces.clone_from(&hello.interfaces);
        let workers = hello.partition.workers();
        self.link.hello = Some(hello);
        self.claim_ports(now);
        self.link.state = State::Listing;
        self.link.listed.clear();
        self.link.lists_open = usize::from(workers);
        for worker in (0..workers).map(WorkerId) {
            let enabled = self.config.tells_reports;
            let commands = vec![
                Command::ListCalls { after: None },
                Command::TellReports { enabled },
            ];
            self.ask(worker, commands, Purpose::List(worker));
        }
    }

    /// The relay answered a request.
    pub fn handle_relay_reply(&mut self, now: Now, reply: Reply) {
        match self.link.requests.remove(&reply.id) {
            Some(Purpose::Call(key)) => {
                self.handle_call_reply(now, key, reply.answers, reply.failure);
            }
            Some(Purpose::List(worker)) => self.handle_list(now, worker, reply.answers),
            Some(Purpose::Quality(worker)) => {
                self.handle_sampled(now, worker, reply.answers, reply.failure);
            }
            Some(Purpose::Sample(worker)) => {
                self.handle_samples(now, worker, reply.answers, reply.failure);
            }
            Some(Purpose::Survey) => self.handle_worker_stats(now, reply.answers),
            Some(Purpose::Watch(worker)) => self.handle_watched(now, worker, reply.answers),
            Some(Purpose::Cleanup) | None => {}
        }
    }

    /// The relay says that something happened.
    pub fn handle_relay_event(&mut self, now: Now, event: Event) {
        let (call, silence) = match event {
            Event::FirstPacketTimeout { call } => (call, Silence::FromTheFirst),
            Event::MediaTimeout { call } => (call, Silence::ForLong),
            Event::Key { call, ingress, key } => return self.tell_key(now, (call, ingress), key),
            Event::Report {
                call,
                ingress,
                report,
            } => return self.tell_report(now, (call, ingress), report),
        };
        if self.link.state != State::Listing {
            self.trace_silence(now, call, silence);
            self.handle_silent(call, silence);
        } else if self.link.silent.len() < SILENT_MAX {
            self.link.silent.push((call, silence));
        }
    }

    /// A party has pressed a key.
    fn tell_key(&mut self, now: Now, (call, ingress): (CallKey, Port), key: Key) {
        let state = self.calls.get(&call).map(|call| &call.state);
        let report = state.and_then(|state| state.key_report(ingress, key, now.unix_ms));
        if let Some(report) = report {
            self.counters.keys += 1;
            self.outputs.push_back(Output::Key(Box::new(report)));
        }
    }

    /// A party has reported.
    fn tell_report(&mut self, now: Now, (call, ingress): (CallKey, Port), report: Report) {
        let InterfaceId(interface) = ingress.interface;
        let interface = self.link.interfaces.get(usize::from(interface));
        let call = self.calls.get(&call).filter(|_| self.config.tells_reports);
        let (Some(interface), Some(call)) = (interface, call) else {
            return;
        };
        let report = QualityReport {
            call_id: call.state.call_id.to_vec(),
            unix_ms: now.unix_ms,
            destination: SocketAddr::new(interface.address, ingress.number),
            report,
        };
        self.counters.reports += 1;
        self.outputs.push_back(Output::Report(Box::new(report)));
    }

    /// The relay is gone. What was under way is tried again when it is back.
    pub fn handle_relay_lost(&mut self, now: Now) {
        self.link.state = State::Down;
        self.link.requests.clear();
        self.link.restores.clear();
        self.link.restores_open = 0;
        self.link.silent.clear();
        self.watch.reset(0);
        self.sampling.reset(0);
        self.end_survey(now, false);
        let interrupted: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, call)| call.is_busy())
            .map(|(key, _)| *key)
            .collect();
        for key in interrupted {
            self.interrupt(now, key);
        }
        let waiting = self.waiting.make_contiguous();
        waiting.sort_by_key(|held| held.deadline);
    }

    /// Sends a request to the relay.
    pub(super) fn ask(&mut self, worker: WorkerId, commands: Vec<Command>, purpose: Purpose) {
        let id = self.link.next_request;
        self.link.next_request = id.wrapping_add(1);
        self.link.requests.insert(id, purpose);
        self.outputs.push_back(Output::Relay(Request {
            id,
            worker,
            commands,
        }));
    }

    /// Has the relay forget a call that is none of ours any more.
    pub(super) fn clean_up(&mut self, worker: WorkerId, call: CallKey) {
        let commands = vec![Command::RemoveCall { call }];
        self.ask(worker, commands, Purpose::Cleanup);
    }

    /// Takes the job of a call back.
    fn interrupt(&mut self, now: Now, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let Some(job) = call.job.take() else {
            return;
        };
        let later = call.later.as_mut();
        let queue = later.map(|later| std::mem::take(&mut later.queue));
        let queue = queue.unwrap_or_default();
        let mut is_over = call.is_new();
        let mut reason = None;
        match &job.kind {
            Kind::Change { next, .. } => {
                call.must_restore = true;
                self.release_added(now, key, next, None);
            }
            Kind::Play(_) | Kind::Query(_) => {}
            Kind::Remove { reason: why, .. } => {
                call.must_restore = true;
                is_over |= job.held.is_none();
                reason = *why;
            }
            Kind::Restore => call.must_restore = true,
        }
        if is_over {
            self.end(now, key, reason, None);
        }
        for mut held in job.held.into_iter().chain(queue) {
            // Whatever is there when the relay is, it is seen anew.
            self.release_half(&mut held);
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(held);
            } else {
                self.drop_request(now, held);
            }
        }
    }

    /// Marks the ports of our calls as used, and lets go of calls whose ports the relay has no
    /// more.
    fn claim_ports(&mut self, now: Now) {
        let mut misplaced = Vec::new();
        for (key, call) in &self.calls {
            if call.ended.is_some() {
                continue;
            }
            self.placement.add(call.worker);
            for port in call.state.ports() {
                if !self.ports.reserve(call.worker, port) {
                    misplaced.push(*key);
                }
            }
        }
        misplaced.dedup();
        for key in misplaced {
            if let Some(call) = self.calls.get_mut(&key) {
                call.installed = Some(Box::default());
            }
            self.lose(now, key, "the relay's ports are others now");
        }
    }

    fn handle_list(&mut self, now: Now, worker: WorkerId, answers: Vec<Answer>) {
        let mut next = None;
        if let Some(Answer::Calls { calls, more }) = answers.into_iter().next() {
            next = calls.last().map(|last| last.call).filter(|_| more);
            for call in calls {
                let listed = (worker, call.record);
                self.link.listed.insert(call.call, listed);
            }
        }
        if next.is_some() {
            let commands = vec![Command::ListCalls { after: next }];
            return self.ask(worker, commands, Purpose::List(worker));
        }
        self.link.lists_open -= 1;
        if self.link.lists_open == 0 {
            self.compare(now);
        }
    }

    /// All calls of the relay are known.
    fn compare(&mut self, now: Now) {
        let listed = std::mem::take(&mut self.link.listed);
        let greatest = listed.keys().map(|key| key.0).max().unwrap_or_default();
        self.next_key = self.next_key.max(greatest.saturating_add(1));
        let missing: Vec<_> = self
            .calls
            .iter()
            .filter(|(key, call)| !listed.contains_key(key) && call.ended.is_none())
            .map(|(key, _)| *key)
            .collect();
        let (mut adopted, mut removed) = (0, 0);
        for (key, (worker, record)) in listed {
            if self.calls.contains_key(&key) {
                self.compare_known(worker, key);
            } else if !self.link.has_adopted && self.adopt(now, key, worker, &record) {
                adopted += 1;
            } else {
                self.clean_up(worker, key);
                removed += 1;
            }
        }
        self.link.has_adopted = true;
        self.link.doomed.clear();
        for key in missing {
            self.must_restore(key);
        }
        let restored = self.link.restores.len();
        self.link.state = State::Up;
        self.notice(Notice::Recovered {
            adopted,
            restored,
            removed,
        });
        self.restore_more(now);
        self.go_on(now);
    }

    fn compare_known(&mut self, worker: WorkerId, key: CallKey) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let is_ended = call.ended.is_some();
        let is_uncertain = call.must_restore || call.worker != worker;
        if is_ended || is_uncertain {
            self.clean_up(worker, key);
        }
        if is_uncertain && !is_ended {
            self.must_restore(key);
        }
    }

    fn must_restore(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.must_restore = true;
            call.installed = Some(Box::default());
            call.is_stale = call.state.is_joined();
            self.link.restores.push_back(key);
        }
    }

    /// Installs further calls again, some at a time.
    pub(super) fn restore_more(&mut self, now: Now) {
        self.link.restores_open = self.link.restores_open.saturating_sub(1);
        while self.link.restores_open < RESTORES_MAX
            && let Some(key) = self.link.restores.pop_front()
        {
            // It may have been done already, for a request that wanted it.
            let call = self.calls.get(&key);
            if call.is_some_and(|call| call.must_restore && !call.is_busy()) {
                self.link.restores_open += 1;
                self.restore(now, key);
            }
        }
    }

    /// Takes up what had to wait.
    fn go_on(&mut self, now: Now) {
        self.sample_all(now);
        let keys: Vec<_> = self.calls.keys().copied().collect();
        for key in keys {
            self.schedule(now, key);
            self.relink(now, key);
        }
        for (key, silence) in std::mem::take(&mut self.link.silent) {
            self.handle_silent(key, silence);
        }
        for held in std::mem::take(&mut self.waiting) {
            self.resume(now, held);
        }
    }

    /// Makes the call of a record ours. `false` if that cannot be.
    fn adopt(&mut self, now: Now, key: CallKey, worker: WorkerId, record: &[u8]) -> bool {
        let state = match record::decode(record) {
            Ok(state) => state,
            Err(error) => {
                self.counters.records_unreadable += 1;
                self.note_lost(format!("{}", key.0), &error.to_string());
                return false;
            }
        };
        let name = String::from_utf8_lossy(&state.call_id).into_owned();
        if self.link.doomed.iter().any(|it| **it == *state.call_id) {
            let reason = EndReason::Deleted;
            self.notice(Notice::CallEnded {
                call_id: name,
                reason,
            });
            return false;
        }
        if self.keys.contains_key(&state.call_id) || !self.claim(now, worker, &state) {
            self.note_lost(
                name,
                "its record contradicts another's, or the relay's ports",
            );
            return false;
        }
        self.placement.add(worker);
        self.keys.insert(Arc::clone(&state.call_id), key);
        self.calls.insert(key, Box::new(Call::new(worker, state)));
        self.trace(now, key, What::Adopted);
        true
    }

    /// Takes all ports of a call, or none.
    fn claim(&mut self, now: Now, worker: WorkerId, state: &CallState) -> bool {
        if state.legs.is_empty() || state.legs.len() > LEGS_MAX {
            return false;
        }
        let mut claimed: Vec<Port> = Vec::new();
        for port in state.ports() {
            if !self.ports.reserve(worker, port) {
                for port in claimed {
                    self.ports.release(now.instant, worker, port);
                }
                return false;
            }
            claimed.push(port);
        }
        true
    }

    fn note_lost(&mut self, call: String, reason: &str) {
        self.counters.calls_lost += 1;
        let reason = reason.to_owned();
        self.notice(Notice::CallLost { call, reason });
    }
}
