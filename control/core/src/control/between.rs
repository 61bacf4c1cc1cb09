//! Which of several calls that were connected a request is about: the one that is named may be
//! another than that of the party. And offers and answers between parties of two of them.

use std::sync::Arc;

use control_ng::{Command, Create, Delete, Listener, Negotiation, Play, Query, Stop, Treat, Whose};
use relay_wire::{CallKey, CommandError, Port, Refusal as RelayRefusal, WorkerId};

use crate::call::{CallState, LegId};
use crate::links::{Group, Member};
use crate::negotiation::{Agreed, Pair, Taken, Turn};
use crate::playing::endings;

use super::connecting::{Step, looked_over};
use super::deletion::has_what_goes;
use super::jobs::{ATTEMPTS_MAX, Then};
use super::requests::reply_to;
use super::treating::find;
use super::{Control, DATAGRAM_BYTES_MAX, Held, Now};

/// Where a request is carried out.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// On two calls: it comes from a party of the one and goes to a party of the other.
    Between(Between<'a>),
    /// On the call that it names.
    Named,
    /// On the call of this name, which that one is connected to.
    There(Arc<[u8]>),
}

/// An offer or an answer from a party of one call to a party of another, or back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Between<'a> {
    turn: Turn<'a>,
    /// The calls of the from-tag and the to-tag.
    calls: [CallKey; 2],
}

/// What is to be made of the second of two calls, once the first is what it is to be.
#[derive(Debug)]
pub(super) struct Half {
    key: CallKey,
    before: CallState,
    next: CallState,
    /// What was taken for it.
    ports: Taken,
    reply: Vec<u8>,
}

impl Control {
    /// Where a request is carried out.
    pub(super) fn place<'c>(&self, command: &'c Command<'c>) -> Place<'c> {
        let turn = match command {
            Command::Answer(answer) => Turn::Answer(answer),
            Command::Offer(offer) => Turn::Offer(offer),
            _ => return self.home(command).map_or(Place::Named, Place::There),
        };
        let said = turn.said();
        let Some(key) = self.joined(said.call_id) else {
            return Place::Named;
        };
        let has = |tag: &[u8]| {
            let tag = tag.to_vec();
            move |state: &CallState| state.leg_by_tag(&tag).is_some()
        };
        let from = self.whose(key, has(said.from_tag));
        let to = said.to_tag.and_then(|tag| {
            let is_there = from.is_some_and(|key| has(tag)(&self.calls[&key].state));
            from.filter(|_| is_there)
                .or_else(|| self.whose(key, has(tag)))
        });
        match (from, to) {
            (Some(from), Some(to)) if from != to => Place::Between(Between {
                turn,
                calls: [from, to],
            }),
            (from, to) => self.named_or(key, from.or(to)),
        }
    }

    /// The call of a request's parties, if that is not the one that it names.
    pub(super) fn home(&self, command: &Command<'_>) -> Option<Arc<[u8]>> {
        let call_id = match command {
            Command::CreateAnswer(Negotiation { call_id, .. })
            | Command::Delete(Delete { call_id, .. })
            | Command::Play(Play { call_id, .. })
            | Command::Query(Query { call_id, .. })
            | Command::Stop(Stop { call_id, .. })
            | Command::Treat(Treat { call_id, .. }) => call_id,
            Command::Create(create) => create.party.call_id,
            _ => return None,
        };
        let key = self.joined(call_id)?;
        let home = self.whose(key, |state| has_party(state, command));
        match self.named_or(key, home) {
            Place::There(call_id) => Some(call_id),
            _ => None,
        }
    }

    /// The call of this name, if it is connected to others.
    fn joined(&self, call_id: &[u8]) -> Option<CallKey> {
        let key = *self.keys.get(call_id)?;
        let call = self.calls.get(&key).filter(|it| it.ended.is_none())?;
        (!call.state.group.is_empty()).then_some(key)
    }

    /// This call, or one that it is connected to, of which this is true.
    fn whose(&self, key: CallKey, is_it: impl Fn(&CallState) -> bool) -> Option<CallKey> {
        let group = self.calls[&key].state.group.iter().copied();
        let mut keys = [key].into_iter().chain(group);
        keys.find(|key| {
            let call = self.calls.get(key).filter(|it| it.ended.is_none());
            call.is_some_and(|call| is_it(&call.state))
        })
    }

    fn named_or<'p>(&self, key: CallKey, other: Option<CallKey>) -> Place<'p> {
        let other = other.filter(|it| *it != key);
        let call = other.and_then(|it| self.calls.get(&it));
        call.map_or(Place::Named, |it| Place::There(it.state.call_id.clone()))
    }

    /// Carries an offer or an answer between parties of two calls out: first on the one call, then
    /// on the other.
    pub(super) fn negotiate_between(
        &mut self,
        now: Now,
        held: Held,
        cookie: &[u8],
        between: Between<'_>,
    ) {
        let Between { turn, calls } = between;
        if self.pass_loop(now, &held, cookie, turn) {
            return;
        }
        let names = calls.map(|key| self.calls[&key].state.call_id.clone());
        let names = [&names[0][..], &names[1][..]];
        let Some((group, mut held)) = self.gather(now, held, cookie, &names) else {
            return;
        };
        if let Some(half) = held.half.take() {
            return self.finish_half(now, held, cookie, &half);
        }
        let Some((mut group, parties, agreed)) = self.agree_between(now, &held, group, between)
        else {
            return self.finish_refused(now, &held, cookie, "Invalid dialogue association");
        };
        let Agreed { ports, sdp, .. } = agreed;
        let translates = self.translates(&held);
        let settled = match turn {
            Turn::Answer(_) => group.settle(parties[0], parties[1]),
            _ => Ok(()),
        };
        let result = sdp.map_err(|it| it.to_string());
        let result = result.and_then(|sdp| {
            settled.map_err(|it| it.to_string())?;
            let group = looked_over(group, translates);
            self.change_first(
                &held,
                (calls, group),
                (reply_to(cookie, turn, &sdp), &ports),
            )
        });
        if let Err(reason) = result {
            self.release_taken(&ports.concat());
            self.finish_refused(now, &held, cookie, &reason);
        }
    }

    /// What two parties come to, and the calls as they are then.
    fn agree_between(
        &mut self,
        now: Now,
        held: &Held,
        mut group: Group,
        Between { turn, calls }: Between<'_>,
    ) -> Option<(Group, [Member; 2], Agreed)> {
        let said = turn.said();
        let tags = [said.from_tag, said.to_tag?];
        let party = |n: usize| -> Option<(CallKey, LegId, Member)> {
            let key = calls[n];
            let leg = self.calls[&key].state.leg_by_tag(tags[n])?.id;
            Some((key, leg, group.member(key, leg)?))
        };
        let mut pair = [party(0)?, party(1)?];
        pair.sort_by_key(|(key, ..)| *key);
        let [(host, host_leg, one), (guest, guest_leg, other)] = pair;
        let [at_host, at_guest] = [host, guest].map(|key| self.calls[&key].state.clone());
        let guest_worker = self.calls[&guest].worker;
        let mut negotiator = self.negotiator(now, held, self.calls[&host].worker);
        let pair = Pair {
            host: (&at_host, host_leg),
            guest: (&at_guest, guest_leg),
            guest_worker,
            host_key: host,
        };
        let agreed = negotiator.carry_between(pair, turn)?;
        *group.state_mut(one)? = agreed.host.clone();
        *group.state_mut(other)? = agreed.guest.clone();
        Some((group, [one, other], agreed))
    }

    /// Has the relay make the one call what it is to be, and keeps what is to become of the other.
    fn change_first(
        &mut self,
        held: &Held,
        (calls, group): ([CallKey; 2], Group),
        (reply, [at_host, at_guest]): (Vec<u8>, &[Taken; 2]),
    ) -> Result<(), String> {
        let said = |error: CommandError| error.to_string();
        if reply.len() > DATAGRAM_BYTES_MAX {
            return Err(said(CommandError::Refused(RelayRefusal::TooLong)));
        }
        let mut next = calls.map(|key| group.state(key).cloned());
        // Neither is changed if the other one cannot be.
        for next in next.iter().flatten() {
            self.wanted(next).map_err(said)?;
        }
        let [Some(second), Some(first)] = [next[0].take(), next[1].take()] else {
            return Err("Invalid dialogue association".to_owned());
        };
        let [key, other] = [calls[1], calls[0]];
        let before = self.calls[&key].state.clone();
        let over = endings(key, &before, &first);
        let mut held = held.clone();
        held.steps.push(Step {
            key,
            before: Arc::new(before),
            after: Arc::new(first.clone()),
        });
        held.half = Some(Arc::new(Half {
            key: other,
            before: self.calls[&other].state.clone(),
            next: second,
            ports: if other < key { at_host } else { at_guest }.clone(),
            reply,
        }));
        self.change(key, held, (first, Then::Again), over)
            .map_err(said)
    }

    /// Has the relay make the second call what it is to be, unless it has changed meanwhile.
    fn finish_half(&mut self, now: Now, mut held: Held, cookie: &[u8], half: &Arc<Half>) {
        let state = &self.calls[&half.key].state;
        let mut like = state.clone();
        like.copy_links(&half.before);
        if like == half.before && state.has_links_of(&half.before) {
            let over = endings(half.key, state, &half.next);
            let next = (half.next.clone(), Then::Reply(half.reply.clone()));
            if let Err(error) = self.change(half.key, held.clone(), next, over) {
                self.release_taken(&half.ports);
                self.finish_refused(now, &held, cookie, &error.to_string());
            }
            return;
        }
        self.release_taken(&half.ports);
        self.let_go(now, &mut held);
        held.attempts += 1;
        if held.attempts < ATTEMPTS_MAX {
            self.resume(now, held);
        } else {
            self.finish_refused(now, &held, cookie, "Invalid dialogue association");
        }
    }

    /// A request is not carried on: what it has changed of several calls is undone.
    pub(super) fn let_go(&mut self, now: Now, held: &mut Held) {
        self.release_half(held);
        let steps = std::mem::take(&mut held.steps);
        self.take_back(now, &steps);
    }

    /// Gives back what was taken for the second of two calls.
    pub(super) fn release_half(&mut self, held: &mut Held) {
        if let Some(half) = held.half.take() {
            self.release_taken(&half.ports);
        }
    }

    fn release_taken(&mut self, ports: &[(WorkerId, Port)]) {
        for (worker, port) in ports {
            self.ports.release_unused(*worker, *port);
        }
    }
}

/// The same request about the call of this name.
pub(super) fn moved<'c>(command: &Command<'c>, call_id: &'c [u8]) -> Command<'c> {
    let mut command = command.clone();
    match &mut command {
        Command::Answer(it) | Command::CreateAnswer(it) | Command::Offer(it) => {
            it.call_id = call_id
        }
        Command::Create(Create { party, .. }) => party.call_id = call_id,
        Command::Delete(it) => it.call_id = call_id,
        Command::Play(it) => it.call_id = call_id,
        Command::Query(it) => it.call_id = call_id,
        Command::Stop(it) => it.call_id = call_id,
        Command::Treat(it) => it.call_id = call_id,
        _ => {}
    }
    command
}

/// Whether the call has the party that a request names; if it names none, every call has it.
fn has_party(state: &CallState, command: &Command<'_>) -> bool {
    let has_tag = |tag: &[u8]| state.leg_by_tag(tag).is_some();
    match command {
        Command::Create(Create { party: said, .. }) | Command::CreateAnswer(said) => {
            has_tag(said.from_tag)
        }
        Command::Delete(delete) => has_what_goes(state, delete),
        Command::Play(Play { to, .. }) | Command::Stop(Stop { to, .. }) => match to {
            Listener::Party(party) => find(state, party).is_ok(),
            _ => true,
        },
        Command::Query(query) => {
            let tags = [query.from_tag, query.to_tag];
            let mut tags = tags.into_iter().flatten().peekable();
            tags.peek().is_none() || tags.any(has_tag)
        }
        Command::Treat(treat) => match &treat.whose {
            Whose::Flow(party, _) | Whose::Party(party) => find(state, party).is_ok(),
            Whose::Call | Whose::Everybody => true,
        },
        _ => true,
    }
}
