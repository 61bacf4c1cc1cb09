//! Checks of the peer (RFC 8445 §7.3).

use std::net::SocketAddr;
use std::time::Instant;

use super::pairs::Origin;
use super::{Agent, Candidate, PACE, Received, Role, SILENCE_MAX, SOFTWARE};
use crate::pair::State;
use crate::stun::{Class, Control, Message};
use crate::writer::Writer;

impl Agent {
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        place: (usize, SocketAddr),
        request: &Message<'_>,
        datagram: &[u8],
    ) -> Received {
        let (Some(user), true) = (request.user(), request.has_integrity()) else {
            self.reject(now, place, datagram, request, (400, "Bad Request"));
            return Received::Refused;
        };
        if !self.is_for_us(user) || !request.is_by(&self.settings.local.password) {
            self.reject(now, place, datagram, request, (401, "Unauthorized"));
            return Received::Refused;
        }
        if !request.unknown().is_empty() {
            let answer = Writer::new(Class::Error, request.id())
                .software(SOFTWARE)
                .error(420, "Unknown Attribute")
                .unknown(request.unknown());
            self.answer(place, answer);
            return Received::Refused;
        }
        if !self.settle_roles(request) {
            let answer = Writer::new(Class::Error, request.id())
                .software(SOFTWARE)
                .error(487, "Role Conflict");
            self.answer(place, answer);
            return Received::Taken;
        }
        let answer = Writer::new(Class::Success, request.id())
            .software(SOFTWARE)
            .mapped(place.1);
        self.answer(place, answer);
        self.counters.checks_answered += 1;
        self.note_check(now, place, request);
        Received::Taken
    }

    fn is_for_us(&self, user: &[u8]) -> bool {
        let rest = user.strip_prefix(self.settings.local.user.as_bytes());
        rest.is_some_and(|it| it.starts_with(b":"))
    }

    fn answer(&mut self, (base, source): (usize, SocketAddr), answer: Writer) {
        let bytes = answer.sign(&self.settings.local.password);
        self.send(base, source, bytes);
    }

    /// Says no to who need not be who it seems: seldom, and never with more than it has sent, so
    /// that nobody can make us flood others.
    fn reject(
        &mut self,
        now: Instant,
        (base, source): (usize, SocketAddr),
        datagram: &[u8],
        request: &Message<'_>,
        (code, reason): (u16, &str),
    ) {
        let answer = Writer::new(Class::Error, request.id()).error(code, reason);
        let bytes = answer.finish();
        if bytes.len() <= datagram.len() && self.strangers.take(now) {
            self.send(base, source, bytes);
        }
    }

    /// Sees to it that one side decides, and says whether the other need not be told to change
    /// (RFC 8445 §7.3.1.1).
    fn settle_roles(&mut self, request: &Message<'_>) -> bool {
        let own = self.settings.tie_breaker;
        match (self.role, request.control()) {
            (Role::Controlling, Some(Control::Controlling(other))) => {
                if own >= other {
                    return false;
                }
                self.change_role(Role::Controlled);
            }
            (Role::Controlled, Some(Control::Controlled(other))) if !self.settings.is_lite => {
                if own < other {
                    return false;
                }
                self.change_role(Role::Controlling);
            }
            _ => {}
        }
        true
    }

    /// Notes that the peer is where a check came from, and checks that too (RFC 8445 §7.3.1.4).
    fn note_check(
        &mut self,
        now: Instant,
        (base, source): (usize, SocketAddr),
        request: &Message<'_>,
    ) {
        let is_known = self.pairs.iter().any(|it| it.is(base, source));
        if !is_known {
            let priority = request.priority().unwrap_or_default();
            let candidate = Candidate {
                address: source,
                priority,
            };
            self.add_pair(now, base, candidate, Origin::Check);
            self.recount();
        }
        let may_check = self.remote.is_some() && !self.settings.is_lite;
        let may_want = self.role == Role::Controlled && request.is_nomination();
        let is_lite = self.settings.is_lite;
        let Some(pair) = self.pairs.iter_mut().find(|it| it.is(base, source)) else {
            return;
        };
        pair.heard_at = Some(now);
        pair.is_wanted |= may_want;
        let (is_valid, is_wanted) = (pair.is_valid || is_lite, may_want);
        match &mut pair.state {
            State::Waiting | State::Failed if may_check => {
                (pair.state, pair.is_triggered) = (State::Waiting, true);
            }
            // Before signalling says who the peer is.
            State::Waiting | State::Failed => pair.is_triggered = !is_lite,
            State::InProgress(check) => check.hurry(now, PACE),
            State::Succeeded => {}
        }
        if is_valid && is_wanted {
            self.follow(now, (base, source));
        }
        self.check_soon(now);
    }

    /// Uses a pair that the peer, who decides, wants. Some want all, and mean the best (aggressive
    /// nomination of RFC 5245); some leave a pair that works no more.
    pub(super) fn follow(&mut self, now: Instant, (base, remote): (usize, SocketAddr)) {
        let current = self.selected.filter(|it| it.is_nominated);
        let pair = |base, remote| self.pairs.iter().find(|it| it.is(base, remote));
        let current = current.and_then(|it| pair(it.base, it.remote));
        let is_better = current.is_none_or(|current| {
            let is_silent = current.heard_at.is_none_or(|it| now >= it + SILENCE_MAX);
            is_silent || pair(base, remote).is_some_and(|it| it.priority > current.priority)
        });
        if is_better {
            self.select(now, (base, remote), true);
        }
    }
}
