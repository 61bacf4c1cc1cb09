//! What the relay is being asked to do, call by call.
//!
//! A call has one job at a time; requests that arrive meanwhile wait in its queue. So each request
//! sees the call as the one before left it, and each client gets its reply when the relay has done
//! what the reply says.

use std::collections::VecDeque;
use std::time::Instant;

use control_ng::Message;
use relay_wire::{
    Answer, COMMANDS_MAX, CallKey, CallStats, Command, CommandError, Failure, Port, Refusal,
    WorkerId,
};

use crate::call::CallState;
use crate::negotiation::ports_added;
use crate::output::{EndReason, Notice};
use crate::plan::Plan;
use crate::quality::History as Quality;
use crate::record;
use crate::trace::{History, What};

use super::connecting::Step;
use super::deletion::Scope;
use super::link::Purpose;
use super::playing::{Playing, position};
use super::{Control, Held, Now};

/// How often a request is tried with other ports or another worker.
pub(super) const ATTEMPTS_MAX: u8 = 16;

/// `EADDRINUSE` of Linux: the port belongs to someone else on this host.
const ADDRESS_IN_USE: i32 = 98;

/// A call, and what is being done about it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) worker: WorkerId,
    /// As agreed with the relay. Without legs: nothing is, yet.
    pub(super) state: CallState,
    /// What the relay does, if it is not what the state says.
    pub(super) installed: Option<Box<Plan>>,
    pub(super) job: Option<Box<Job>>,
    /// What waits until it has time.
    pub(super) later: Option<Box<Later>>,
    /// It must be installed again before anything else.
    pub(super) must_restore: bool,
    /// It ended by itself: the relay knows it no more, but its counts may still be asked for.
    pub(super) ended: Option<Box<Ended>>,
    /// The relay said that it is silent while something else was being done.
    pub(super) silence: Option<Silence>,
    /// It is to end as soon as it can.
    pub(super) is_doomed: bool,
    /// Another call of its group has changed while it had no time.
    pub(super) is_stale: bool,
    /// A party may be being played something.
    pub(super) may_play: bool,
    /// When it is next looked at.
    pub(super) timer: Option<Instant>,
    /// What happened to it.
    pub(super) history: History,
    /// How it sounded, as far as that was looked at.
    pub(super) quality: Option<Box<Quality>>,
}

/// What waits until a call has time.
#[derive(Debug, Default)]
pub(super) struct Later {
    /// Requests.
    pub(super) queue: VecDeque<Held>,
    /// What is to be undone.
    pub(super) taken_back: Vec<Step>,
}

/// What the relay says of a call that it does not hear.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Silence {
    /// It was never heard.
    FromTheFirst,
    /// It was not heard for long.
    ForLong,
}

/// What is left of a call that ended by itself.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) stats: Option<CallStats>,
    pub(super) ended_unix_ms: u64,
}

/// One thing that the relay is asked to do.
#[derive(Debug)]
pub(super) struct Job {
    /// Who waits for it.
    pub(super) held: Option<Held>,
    pub(super) kind: Kind,
    /// What the relay does as far as it has answered.
    stands: Plan,
    /// Under way, without the records in them.
    sent: Vec<Command>,
    /// To be sent after that.
    rest: Vec<Command>,
    /// What it counted, if it was asked.
    stats: Option<CallStats>,
    /// How far something was played that it has ended.
    pub(super) played: Option<u64>,
}

/// What is done when the relay has done its part.
#[derive(Debug)]
pub(super) enum Kind {
    /// The call becomes this.
    Change { next: Box<CallState>, then: Then },
    /// Reply with what was counted.
    Query(Scope),
    /// The call is over; reply with what was counted.
    Remove {
        reason: Option<EndReason>,
        is_fast: bool,
    },
    /// Something is played, or not any more.
    Play(Playing),
    /// The relay does again what the state says.
    Restore,
}

/// The reply to a change.
#[derive(Debug)]
pub(super) enum Then {
    /// This one.
    Reply(Vec<u8>),
    /// What was counted before the change.
    Report { is_fast: bool },
    /// None yet: there is more to do for the request.
    Again,
    /// Nobody asked.
    Nothing,
}

impl Call {
    pub(super) fn new(worker: WorkerId, state: CallState) -> Self {
        Self {
            worker,
            // What another control has begun goes on.
            may_play: !state.legs.is_empty(),
            state,
            installed: None,
            job: None,
            later: None,
            must_restore: false,
            ended: None,
            silence: None,
            is_doomed: false,
            is_stale: false,
            timer: None,
            history: History::default(),
            quality: None,
        }
    }

    /// Nothing was ever agreed on.
    pub(super) fn is_new(&self) -> bool {
        self.state.legs.is_empty()
    }

    /// A request must wait for the one before it.
    pub(super) fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// Takes the request that has waited the longest.
    pub(super) fn next_queued(&mut self) -> Option<Held> {
        let later = self.later.as_mut()?;
        let held = later.queue.pop_front();
        if later.queue.is_empty() && later.taken_back.is_empty() {
            self.later = None;
        }
        held
    }

    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(&self.state.call_id).into_owned()
    }
}

impl Job {
    pub(super) fn new(
        held: Option<Held>,
        kind: Kind,
        stands: Plan,
        commands: Vec<Command>,
    ) -> Self {
        Self {
            held,
            kind,
            stands,
            sent: Vec::new(),
            rest: commands,
            stats: None,
            played: None,
        }
    }
}

/// A command as it is remembered: a record is long, and nothing follows from it.
fn without_record(command: &Command) -> Command {
    match *command {
        Command::CreateCall {
            call,
            media_timeout_ms,
            ..
        } => Command::CreateCall {
            call,
            media_timeout_ms,
            record: Vec::new(),
        },
        Command::SetRecord { call, .. } => Command::SetRecord {
            call,
            record: Vec::new(),
        },
        ref other => other.clone(),
    }
}

impl Control {
    /// What the relay does for a call now.
    pub(super) fn installed(&self, call: &Call) -> Plan {
        match &call.installed {
            Some(plan) => Plan::clone(plan),
            None if call.is_new() => Plan::default(),
            None => Plan::of(&call.state, self.terms()),
        }
    }

    /// Has the relay make a call what `next` says. `before` comes first.
    pub(super) fn change(
        &mut self,
        key: CallKey,
        held: impl Into<Option<Held>>,
        (next, then): (CallState, Then),
        before: Vec<Command>,
    ) -> Result<(), CommandError> {
        let (record, plan) = self.wanted(&next)?;
        let Some(call) = self.calls.get(&key) else {
            return Err(CommandError::Refused(Refusal::UnknownCall));
        };
        let stands = self.installed(call);
        let mut commands = stands.commands_to(&plan, key, record);
        if !before.is_empty() {
            commands.splice(..0, before);
        }
        let kind = Kind::Change {
            next: Box::new(next),
            then,
        };
        self.start(key, Job::new(held.into(), kind, stands, commands));
        Ok(())
    }

    /// What a call comes to for the relay, if that takes it at all.
    pub(super) fn wanted(&self, next: &CallState) -> Result<(Vec<u8>, Plan), CommandError> {
        let too_long = CommandError::Refused(Refusal::TooLong);
        let record = record::encode(next).map_err(|_| too_long)?;
        let plan = Plan::of(next, self.terms());
        if plan.endpoints.len() > relay_wire::ENDPOINTS_PER_CALL_MAX {
            return Err(CommandError::Refused(Refusal::TableFull));
        }
        Ok((record, plan))
    }

    /// Has the relay end a call.
    pub(super) fn remove(
        &mut self,
        key: CallKey,
        held: Option<Held>,
        (reason, is_fast): (Option<EndReason>, bool),
    ) {
        let commands = vec![Command::RemoveCall { call: key }];
        let kind = Kind::Remove { reason, is_fast };
        // Whether it can be done or not, the call is over then.
        self.start(key, Job::new(held, kind, Plan::default(), commands));
    }

    /// Has the relay do again what the state of a call says.
    pub(super) fn restore(&mut self, now: Now, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        call.must_restore = false;
        let Ok(record) = record::encode(&call.state) else {
            return self.lose(now, key, "its record is too long");
        };
        let call = &self.calls[&key];
        let stands = self.installed(call);
        let plan = Plan::of(&call.state, self.terms());
        let commands = stands.commands_to(&plan, key, record);
        self.start(key, Job::new(None, Kind::Restore, stands, commands));
    }

    pub(super) fn start(&mut self, key: CallKey, job: Job) {
        if let Some(call) = self.calls.get_mut(&key) {
            debug_assert!(call.job.is_none(), "one job at a time");
            call.job = Some(Box::new(job));
            self.send_commands(key);
        }
    }

    /// Sends the next commands of a call's job.
    fn send_commands(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let worker = call.worker;
        if let Some(job) = &mut call.job {
            let later = job.rest.split_off(job.rest.len().min(COMMANDS_MAX));
            let commands = std::mem::replace(&mut job.rest, later);
            job.sent = commands.iter().map(without_record).collect();
            self.ask(worker, commands, Purpose::Call(key));
        }
    }

    /// The relay answered a request about a call.
    pub(super) fn handle_call_reply(
        &mut self,
        now: Now,
        key: CallKey,
        answers: Vec<Answer>,
        failure: Option<Failure>,
    ) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let Some(job) = &mut call.job else {
            return;
        };
        let done = failure.as_ref().map(|failure| usize::from(failure.index));
        let done = done.unwrap_or(job.sent.len()).min(job.sent.len());
        // After the last one of a job that went well nobody asks what the relay does.
        if failure.is_some() || !job.rest.is_empty() {
            for command in &job.sent[..done] {
                job.stands.apply(command);
            }
        }
        job.played = job.played.or_else(|| position(&answers));
        let stats = answers.into_iter().find_map(|answer| match answer {
            Answer::Call(stats) => Some(stats),
            _ => None,
        });
        job.stats = job.stats.take().or(stats);
        if failure.is_none() && !job.rest.is_empty() {
            return self.send_commands(key);
        }
        let Some(job) = call.job.take() else {
            return;
        };
        let is_change = matches!(job.kind, Kind::Change { .. });
        match failure {
            None => self.complete(now, key, *job),
            Some(failure) => self.fail(now, key, *job, failure),
        }
        self.handle_silence(now, key, is_change);
        self.take_back_now(now, key);
        self.relink_stale(now, key);
        self.schedule(now, key);
        self.handle_queue(now, key);
    }

    fn complete(&mut self, now: Now, key: CallKey, job: Job) {
        match job.kind {
            Kind::Change { next, then } => {
                self.commit(now, key, job.held, (*next, then), job.stats);
            }
            Kind::Play(playing) => self.finish_playing(now, job.held, playing, job.played),
            Kind::Query(scope) => {
                self.reply_report(now, key, job.held, job.stats.as_ref(), scope);
            }
            Kind::Remove { reason, is_fast } => {
                let scope = if is_fast { Scope::None } else { Scope::All };
                self.count_relayed(job.stats.as_ref());
                self.reply_report(now, key, job.held, job.stats.as_ref(), scope);
                self.end(now, key, reason, job.stats);
            }
            Kind::Restore => {
                if let Some(call) = self.calls.get_mut(&key) {
                    call.installed = None;
                }
                self.trace(now, key, What::Restored);
                self.schedule(now, key);
                self.restore_more(now);
            }
        }
    }

    /// The relay has made the call what it is to be.
    fn commit(
        &mut self,
        now: Now,
        key: CallKey,
        held: Option<Held>,
        (next, then): (CallState, Then),
        stats: Option<CallStats>,
    ) {
        if let Then::Report { is_fast } = then {
            let scope = if is_fast { Scope::None } else { Scope::All };
            self.reply_report(now, key, held.clone(), stats.as_ref(), scope);
        }
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let is_new = call.is_new();
        let before = std::mem::replace(&mut call.state, next);
        call.installed = None;
        let (worker, name) = (call.worker, call.name());
        let gone = ports_added(&call.state, &before);
        for port in gone {
            self.ports.release(now.instant, worker, port);
        }
        if is_new {
            self.counters.calls_started += 1;
            self.notice(Notice::CallStarted { call_id: name });
            self.sample(now, key, worker);
        }
        self.trace_agreed(now, key);
        self.schedule(now, key);
        self.relink_group(now, key);
        match (then, held) {
            (Then::Reply(reply), Some(held)) => self.finish(now, &held, reply),
            (Then::Again, Some(held)) => self.resume(now, held),
            _ => {}
        }
    }

    fn fail(&mut self, now: Now, key: CallKey, job: Job, failure: Failure) {
        let command = job.sent.get(usize::from(failure.index)).cloned();
        let error = failure.error;
        if let Some(call) = self.calls.get_mut(&key) {
            call.installed = Some(Box::new(job.stands.clone()));
            // What the relay does not know does not stand there, whatever we thought.
            if error == CommandError::Refused(Refusal::UnknownCall) {
                call.installed = Some(Box::default());
            }
        }
        match job.kind {
            Kind::Change { next, .. } => {
                self.fail_change(now, key, job.held, &next, (command, error));
            }
            Kind::Play(playing) => self.fail_playing(now, key, job.held, playing, error),
            Kind::Query(scope) => self.reply_report(now, key, job.held, None, scope),
            // There is nothing left to end.
            Kind::Remove { reason, .. } => {
                self.reply_report(now, key, job.held, None, Scope::None);
                self.end(now, key, reason, None);
            }
            Kind::Restore => {
                self.lose(now, key, &error.to_string());
                self.restore_more(now);
            }
        }
    }

    /// The relay could not do all of a change. Tries again with other ports if that may help;
    /// else undoes what was done.
    fn fail_change(
        &mut self,
        now: Now,
        key: CallKey,
        held: Option<Held>,
        next: &CallState,
        (command, error): (Option<Command>, CommandError),
    ) {
        let foreign = match (command, error) {
            (
                Some(Command::OpenEndpoint { port, .. }),
                CommandError::System(ADDRESS_IN_USE) | CommandError::Refused(Refusal::PortOpen),
            ) => Some(port),
            _ => None,
        };
        self.release_added(now, key, next, foreign);
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let is_full = error == CommandError::Refused(Refusal::TableFull);
        let is_elsewhere = is_full && call.is_new();
        let is_forgotten = error == CommandError::Refused(Refusal::UnknownCall);
        let Some(mut held) = held else {
            return self.undo(now, key);
        };
        held.attempts += 1;
        if foreign.is_some() {
            self.counters.ports_taken += 1;
        }
        // Without codecs it may yet go, if the parties share one.
        let overloaded = [Refusal::Overload, Refusal::Unsupported].map(CommandError::Refused);
        let is_sparing = overloaded.contains(&error) && !held.spares_codecs;
        held.spares_codecs |= is_sparing;
        let may_help = foreign.is_some() || is_elsewhere || is_forgotten || is_sparing;
        if may_help && held.attempts < ATTEMPTS_MAX {
            // From the start, so that nothing is done twice.
            self.let_go(now, &mut held);
            if is_elsewhere {
                self.abandon(now, key);
            }
            return self.resume(now, held);
        }
        self.counters.relay_refusals += 1;
        let call_id = self.calls.get(&key).map(|it| it.name()).unwrap_or_default();
        self.trace(now, key, What::relay_refused(&error.to_string()));
        self.notice(Notice::RelayRefused { call_id, error });
        self.refuse_overloaded(now, &held);
        self.undo(now, key);
    }

    fn refuse_overloaded(&mut self, now: Now, held: &Held) {
        if let Some(message) = Message::split(&held.datagram) {
            // Proxies know this text, and try another relay.
            self.finish_refused(now, held, message.cookie, "Ran out of ports");
        }
    }

    /// The ports that a change takes.
    pub(super) fn ports_added(&self, key: CallKey, next: &CallState) -> Vec<Port> {
        let call = self.calls.get(&key);
        call.map_or_else(Vec::new, |call| ports_added(&call.state, next))
    }

    /// Gives ports back that no packet can have reached.
    pub(super) fn release_unused(&mut self, key: CallKey, ports: &[Port]) {
        if let Some(call) = self.calls.get(&key) {
            for port in ports {
                self.ports.release_unused(call.worker, *port);
            }
        }
    }

    /// Gives the ports back that a change took and that came to nothing.
    pub(super) fn release_added(
        &mut self,
        now: Now,
        key: CallKey,
        next: &CallState,
        foreign: Option<Port>,
    ) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        let worker = call.worker;
        for port in ports_added(&call.state, next) {
            // Either of a pair may be the one that is taken.
            let is_foreign = foreign.is_some_and(|taken| {
                taken.interface == port.interface && taken.number & !1 == port.number
            });
            if is_foreign {
                self.ports.release_foreign(now.instant, worker, port);
            } else {
                self.ports.release_unused(worker, port);
            }
        }
    }

    /// Has the relay go back to what the state of a call says, or forget it if there is nothing.
    fn undo(&mut self, now: Now, key: CallKey) {
        if self.calls.get(&key).is_some_and(|it| it.is_new()) {
            self.abandon(now, key);
        } else {
            self.restore(now, key);
        }
    }

    /// Forgets a call, and has the relay forget what it knows of it.
    pub(super) fn abandon(&mut self, now: Now, key: CallKey) {
        let Some(call) = self.calls.get(&key) else {
            return;
        };
        if self.installed(call).exists {
            self.clean_up(call.worker, key);
        }
        self.forget(now, key);
    }
}
