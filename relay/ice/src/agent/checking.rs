//! Checks of ours (RFC 8445 §7.2), and which pair they lead to (§8).

use std::net::SocketAddr;
use std::time::Instant;

use super::{Agent, CONFLICTS_MAX, KEEPALIVE, NOMINATION_WAIT, PACE, Received, Role, SOFTWARE};
use crate::pair::{Check, Pair, State};
use crate::stun::{Class, Control, Message, TransactionId};
use crate::writer::Writer;

/// The type preference of what the peer would learn from a check (RFC 8445 §7.1.1).
const REFLEXIVE: u32 = 110 << 24;

/// What is sent to a pair.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Begin,
    Nominate,
    Repeat,
}

impl Agent {
    /// Sends what is due. Does nothing before [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.keepalive_at.is_some_and(|at| now >= at) {
            self.keep_alive(now);
        }
        if self.next_check.is_some_and(|at| now >= at) {
            self.next_check = None;
            let has_sent = self.step(now);
            self.next_check = match has_sent {
                true => Some(now + PACE),
                false => self.next_due(now),
            };
        }
    }

    /// When [`Self::handle_timeout`] is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.next_check, self.keepalive_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// There may be something to check.
    pub(super) fn check_soon(&mut self, now: Instant) {
        if !self.settings.is_lite && self.remote.is_some() {
            let at = self.next_check.unwrap_or(now);
            // What waits for an answer waits longer than the pace.
            self.next_check = Some(at.min(now + PACE));
        }
    }

    fn keep_alive(&mut self, now: Instant) {
        self.keepalive_at = Some(now + KEEPALIVE);
        let id = self.next_id();
        if let Some(selected) = self.selected {
            let bytes = Writer::new(Class::Indication, id).finish();
            self.send(selected.base, selected.remote, bytes);
        }
    }

    /// Sends one check. Says whether there was one. Where checks come from without end, those that are
    /// made for them take every other turn.
    fn step(&mut self, now: Instant) -> bool {
        self.give_up(now);
        let found = match self.has_asked_stray {
            true => self.next_check(now, |it| !it.is_stray()),
            false => None,
        };
        let Some((at, turn)) = found.or_else(|| self.next_check(now, |_| true)) else {
            return false;
        };
        self.has_asked_stray = self.pairs[at].is_stray();
        match turn {
            Turn::Begin => self.begin(now, at, false),
            Turn::Nominate => self.begin(now, at, true),
            Turn::Repeat => self.repeat(now, at),
        }
    }

    /// The check that comes first, of those that are asked for.
    fn next_check(&self, now: Instant, is_meant: fn(&Pair) -> bool) -> Option<(usize, Turn)> {
        let find = |is_it: &dyn Fn(&Pair) -> bool| {
            let mut pairs = self.pairs.iter();
            pairs.position(|it| is_meant(it) && is_it(it))
        };
        if let Some(at) = find(&Pair::is_urgent) {
            return Some((at, Turn::Begin));
        }
        if let Some(at) = self.to_nominate(now) {
            return Some((at, Turn::Nominate));
        }
        let is_due = |it: &Pair| it.check().is_some_and(|it| now >= it.next_at);
        if let Some(at) = find(&is_due) {
            return Some((at, Turn::Repeat));
        }
        let is_frozen = self.frozen_until.is_some_and(|until| now < until);
        if is_frozen || self.is_over() {
            return None;
        }
        let at = find(&|it| matches!(it.state, State::Waiting))?;
        Some((at, Turn::Begin))
    }

    /// When there is something to send next, if nothing comes.
    fn next_due(&self, now: Instant) -> Option<Instant> {
        let checks = self.pairs.iter().filter_map(|it| Some(it.check()?.next_at));
        let may_nominate = self.role == Role::Controlling && !self.is_over();
        let nomination = self.valid_since.filter(|_| may_nominate);
        let has_valid = self.pairs.iter().any(|it| it.is_valid);
        let nomination = nomination.filter(|_| has_valid && !self.is_nominating());
        let is_waiting = |it: &Pair| matches!(it.state, State::Waiting);
        let has_waiting = !self.is_over() && self.pairs.iter().any(is_waiting);
        let thaw = self.frozen_until.filter(|it| *it > now && has_waiting);
        checks
            .chain(nomination.map(|it| it + NOMINATION_WAIT))
            .chain(thaw)
            .min()
    }

    /// Ends checks that nobody answered; once it is decided, none is waited for long.
    fn give_up(&mut self, now: Instant) {
        let is_over = self.is_over();
        let mut has_lost = false;
        for pair in &mut self.pairs {
            let State::InProgress(check) = &mut pair.state else {
                continue;
            };
            if now < check.next_at {
                continue;
            }
            // Whether it is sent again is asked again when it is.
            let is_last = !{ *check }.try_again(now) || (is_over && !pair.is_wanted);
            if is_last {
                has_lost |= pair.is_valid;
                (pair.state, pair.is_valid) = (State::Failed, false);
            }
        }
        if has_lost {
            self.select_best(now);
        }
    }

    fn begin(&mut self, now: Instant, at: usize, is_nomination: bool) -> bool {
        let (id, control) = (self.next_id(), self.control());
        let pair = &mut self.pairs[at];
        pair.is_triggered = false;
        pair.state = State::InProgress(Check::new(now, id, control, is_nomination));
        self.send_check(at, id, control, is_nomination);
        true
    }

    fn repeat(&mut self, now: Instant, at: usize) -> bool {
        let State::InProgress(check) = &mut self.pairs[at].state else {
            return false;
        };
        check.try_again(now);
        let Check {
            id,
            control,
            is_nomination,
            ..
        } = *check;
        self.send_check(at, id, control, is_nomination);
        true
    }

    fn send_check(&mut self, at: usize, id: TransactionId, control: Control, is_nomination: bool) {
        let Some(remote) = &self.remote else {
            return;
        };
        let Pair {
            base, remote: to, ..
        } = self.pairs[at];
        let priority = self.settings.bases[base].priority & 0x00ff_ffff;
        let user = format!("{}:{}", remote.user, self.settings.local.user);
        let request = Writer::new(Class::Request, id)
            .software(SOFTWARE)
            .user(&user)
            .control(control)
            .priority(REFLEXIVE + priority);
        let request = match is_nomination {
            true => request.nomination(),
            false => request,
        };
        let bytes = request.sign(&remote.password);
        self.counters.checks_sent += 1;
        self.send(base, to, bytes);
    }

    /// The best pair that works, once nothing better is to be hoped for.
    fn to_nominate(&self, now: Instant) -> Option<usize> {
        if self.role != Role::Controlling || self.is_over() || self.is_nominating() {
            return None;
        }
        let best = self.pairs.iter().position(|it| it.is_valid)?;
        let is_late = self
            .valid_since
            .is_some_and(|it| now >= it + NOMINATION_WAIT);
        let may_improve = self.pairs[..best].iter().any(Pair::is_open);
        (is_late || !may_improve).then_some(best)
    }

    fn is_nominating(&self) -> bool {
        let mut checks = self.pairs.iter().filter_map(Pair::check);
        checks.any(|it| it.is_nomination)
    }

    /// What became of a check of ours.
    pub(super) fn handle_answer(
        &mut self,
        now: Instant,
        (base, source): (usize, SocketAddr),
        answer: &Message<'_>,
    ) -> Received {
        let is_of = |it: &Pair| it.check().is_some_and(|it| it.id == answer.id());
        let remote = self.remote.as_ref();
        let (Some(at), Some(remote)) = (self.pairs.iter().position(is_of), remote) else {
            return Received::Refused;
        };
        // From where it was not sent to anybody may have it (RFC 8445 §7.2.5.2.1).
        if !answer.is_by(&remote.password) || !self.pairs[at].is(base, source) {
            return Received::Refused;
        }
        let Some(check) = self.pairs[at].check().copied() else {
            return Received::Refused;
        };
        match (answer.class(), answer.error_code()) {
            (Class::Success, _) => self.succeed(now, at, check),
            (_, Some(487)) => self.change_sides(now, at, check),
            _ => self.fail(now, at),
        }
        self.check_soon(now);
        Received::Taken
    }

    fn succeed(&mut self, now: Instant, at: usize, check: Check) {
        let pair = &mut self.pairs[at];
        (pair.state, pair.is_valid) = (State::Succeeded, true);
        let place = (pair.base, pair.remote);
        let is_wanted = pair.is_wanted;
        self.valid_since.get_or_insert(now);
        match self.role {
            Role::Controlling if check.is_nomination => self.select(now, place, true),
            Role::Controlled if is_wanted => self.follow(now, place),
            _ => self.select_best(now),
        }
    }

    fn fail(&mut self, now: Instant, at: usize) {
        let pair = &mut self.pairs[at];
        (pair.state, pair.is_valid) = (State::Failed, false);
        self.select_best(now);
    }

    /// The peer decides, or wants us to (RFC 8445 §7.2.5.1).
    fn change_sides(&mut self, now: Instant, at: usize, check: Check) {
        let role = match check.control {
            Control::Controlled(_) => Role::Controlling,
            Control::Controlling(_) => Role::Controlled,
        };
        // Not if this one was asked before another has answered the same.
        let is_change = self.role != role;
        if is_change && self.conflicts == CONFLICTS_MAX {
            return self.fail(now, at);
        }
        let pair = &mut self.pairs[at];
        (pair.state, pair.is_triggered) = (State::Waiting, true);
        if is_change {
            self.conflicts += 1;
            self.change_role(role);
        }
    }

    /// Until it is decided, the best pair that works is used (RFC 8445 §12.1).
    fn select_best(&mut self, now: Instant) {
        if self.is_over() {
            return;
        }
        let best = self.pairs.iter().find(|it| it.is_valid);
        if let Some(place) = best.map(|it| (it.base, it.remote)) {
            self.select(now, place, false);
        }
    }
}

impl Pair {
    fn is_urgent(&self) -> bool {
        self.is_triggered && matches!(self.state, State::Waiting)
    }
}
