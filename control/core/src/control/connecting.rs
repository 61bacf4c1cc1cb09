//! Parties that hear one another from now on, or do not any more, without having offered one
//! another anything: of one call, or of several.

use std::collections::BTreeSet;
use std::sync::Arc;

use control_ng::{Connect, Mesh, Party, Senders, reply};
use relay_wire::CallKey;

use crate::call::{CallState, LegId};
use crate::codecs::{Exchange, Transcode, routes_between};
use crate::links::{GROUP_MAX, Group, Member, Refusal, Translating, relinked};
use crate::output::EndReason;

use super::jobs::{Call, Then};
use super::treating::find;
use super::{Control, Held, Now};

/// The peer's words.
const UNKNOWN_CALLS: &str = "Unknown call-ID(s)";
const NOBODY: &str = "No medias found (no monologues matched)";
const NO_TAG: &str = "From-tag given, but no such tag exists";
const NO_SINK: &str = "To-tag not found";

/// A reason to refuse, as it is said.
type Reason = String;

/// What a request for several calls has made of one of them.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) key: CallKey,
    pub(super) before: Arc<CallState>,
    pub(super) after: Arc<CallState>,
}

impl Step {
    /// What a call was. If another request has changed it since then, only who hears whom is as it
    /// was.
    fn undone(&self, mut state: CallState) -> CallState {
        let mut like = state.clone();
        like.copy_links(&self.after);
        if like == *self.after {
            return CallState::clone(&self.before);
        }
        state.copy_links(&self.before);
        state
    }
}

impl Control {
    /// Carries `connect` out.
    pub(super) fn connect(&mut self, now: Now, held: Held, cookie: &[u8], connect: &Connect<'_>) {
        let to = connect.to_call_id.unwrap_or(connect.call_id);
        let calls = [connect.call_id, to];
        let Some((mut group, held)) = self.gather(now, held, cookie, &calls) else {
            return;
        };
        let translates = self.translates(&held);
        let result = join(&mut group, connect, translates);
        let result = result.map(|()| looked_over(group, translates));
        self.regroup(now, held, cookie, result);
    }

    /// Carries `mesh` out.
    pub(super) fn mesh(&mut self, now: Now, held: Held, cookie: &[u8], mesh: &Mesh<'_>) {
        let Some((mut group, held)) = self.gather(now, held, cookie, &mesh.call_ids) else {
            return;
        };
        let result = weave(&mut group, mesh);
        let translates = self.translates(&held);
        let result = result.map(|()| looked_over(group, translates));
        self.regroup(now, held, cookie, result);
    }

    /// Carries `unsubscribe` out.
    pub(super) fn unsubscribe(&mut self, now: Now, held: Held, cookie: &[u8], what: &Connect<'_>) {
        let calls = [what.call_id];
        let Some((mut group, held)) = self.gather(now, held, cookie, &calls) else {
            return;
        };
        let result = part(&mut group, what);
        let result = result.map(|only| {
            group.relink(Translating::AsBefore);
            if let Some(only) = only {
                // Others are looked over when that is done, and the request is carried out once.
                group.calls.retain(|(key, _)| *key == only);
            }
            group
        });
        self.regroup(now, held, cookie, result);
    }

    /// The calls of these names, and all that belong to them. If one of them has no time now, or
    /// there is none, the request waits or is answered.
    pub(super) fn gather(
        &mut self,
        now: Now,
        mut held: Held,
        cookie: &[u8],
        call_ids: &[&[u8]],
    ) -> Option<(Group, Held)> {
        let mut keys: Vec<CallKey> = Vec::new();
        for call_id in call_ids {
            let (key, again) = self.ready(now, held, cookie, (call_id, UNKNOWN_CALLS))?;
            held = again;
            keys.push(key);
        }
        let others = keys
            .iter()
            .flat_map(|key| self.calls[key].state.group.iter());
        keys.extend(others.copied().collect::<Vec<_>>());
        let mut group = Group::default();
        for key in keys {
            let is_new = !group.calls.iter().any(|(it, _)| *it == key);
            let call = self.calls.get(&key).filter(|it| it.ended.is_none());
            let Some(call) = call.filter(|_| is_new) else {
                continue;
            };
            if group.calls.len() == GROUP_MAX {
                let reason = Refusal::TooManyCalls.to_string();
                self.finish_refused(now, &held, cookie, &reason);
                return None;
            }
            let call_id = call.state.call_id.clone();
            let (_, again) = self.ready(now, held, cookie, (&call_id, UNKNOWN_CALLS))?;
            held = again;
            let state = self.calls[&key].state.clone();
            group.calls.push((key, state));
        }
        Some((group, held))
    }

    /// Has the relay make the calls of a group what they are to be: one of them now. When that is
    /// done, the request is carried out anew, until there is nothing left to do.
    fn regroup(&mut self, now: Now, held: Held, cookie: &[u8], group: Result<Group, Reason>) {
        let group = match group {
            Ok(group) => group,
            Err(reason) => return self.finish_refused(now, &held, cookie, &reason),
        };
        let is_changed = |(key, next): &(CallKey, CallState)| {
            let call = self.calls.get(key);
            call.is_some_and(|call| call.state != *next)
        };
        let mut changed: Vec<_> = group.calls.into_iter().filter(is_changed).collect();
        // None is changed if another one cannot be.
        let mut refused = changed.iter().map(|(_, next)| self.wanted(next).err());
        if changed.len() > 1
            && let Some(error) = refused.find_map(|it| it)
        {
            return self.finish_refused(now, &held, cookie, &error.to_string());
        }
        let Some((key, mut next)) = changed.pop() else {
            return self.finish(now, &held, reply::ok().encode(cookie));
        };
        if next.legs.is_empty() {
            return self.remove(key, Some(held), (Some(EndReason::Deleted), true));
        }
        next.last_signal_unix_ms = now.unix_ms;
        let mut held = held;
        let then = if changed.is_empty() {
            Then::Reply(reply::ok().encode(cookie))
        } else {
            held.steps.push(Step {
                key,
                before: Arc::new(self.calls[&key].state.clone()),
                after: Arc::new(next.clone()),
            });
            Then::Again
        };
        if let Err(error) = self.change(key, held.clone(), (next, then), Vec::new()) {
            self.finish_refused(now, &held, cookie, &error.to_string());
        }
    }

    /// Undoes what a request has made of several calls.
    pub(super) fn take_back(&mut self, now: Now, steps: &[Step]) {
        let keys: BTreeSet<_> = steps.iter().map(|step| step.key).collect();
        for key in keys {
            let of_call = steps.iter().filter(|step| step.key == key);
            if let Some(call) = self.calls.get_mut(&key) {
                let later = call.later.get_or_insert_default();
                later.taken_back.extend(of_call.cloned());
                self.take_back_now(now, key);
            }
        }
    }

    /// Undoes what is to be undone of a call, as soon as it has time.
    pub(super) fn take_back_now(&mut self, now: Now, key: CallKey) {
        let is_up = self.link.is_up();
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        if call.is_busy() {
            return;
        }
        let Some(later) = &mut call.later else {
            return;
        };
        let steps = std::mem::take(&mut later.taken_back);
        let state = call.state.clone();
        let next = steps.iter().rev();
        let next = next.fold(state, |state, step| step.undone(state));
        if call.ended.is_some() || next == call.state {
            return;
        }
        if !is_up || call.must_restore {
            // It is installed anew when the relay is there.
            (call.state, call.must_restore) = (next, true);
        } else {
            // What was agreed on before is no more than the relay takes.
            let _ = self.change(key, None, (next, Then::Nothing), Vec::new());
            self.schedule(now, key);
        }
    }

    pub(super) fn translates(&self, held: &Held) -> bool {
        self.config.transcode != Transcode::Never && !held.spares_codecs
    }

    /// Looks over a call that has changed, and the others of its group.
    pub(super) fn relink_group(&mut self, now: Now, key: CallKey) {
        let call = self.calls.get(&key);
        let group = call.map_or_else(Vec::new, |call| call.state.group.to_vec());
        self.relink_all(now, group.into_iter().chain([key]));
    }

    /// Looks over calls of a group that one is gone from.
    pub(super) fn relink_all(&mut self, now: Now, keys: impl IntoIterator<Item = CallKey>) {
        for key in keys {
            self.relink(now, key);
        }
    }

    /// What a call is to be, as far as others have to do with it. `None`: what it is.
    fn relinked(&self, key: CallKey) -> Option<CallState> {
        let state = &self.calls.get(&key)?.state;
        let find = |other: CallKey| {
            let is_ours = other == key || state.group.contains(&other);
            let call = self.calls.get(&other).filter(|it| it.ended.is_none());
            call.filter(|_| is_ours).map(|call| &call.state)
        };
        relinked((key, state), find, Translating::AsBefore)
    }

    pub(super) fn relink(&mut self, now: Now, key: CallKey) {
        let is_there =
            |call: &&Call| call.state.is_joined() && call.ended.is_none() && !call.must_restore;
        let call = self.calls.get(&key).map(|call| &**call);
        let Some(call) = call.filter(is_there) else {
            return;
        };
        if call.is_busy() || !self.link.is_up() {
            return self.mark_stale(key);
        }
        let Some(next) = self.relinked(key) else {
            return;
        };
        // Without it the relay drops what goes to ports that are closed: no harm is done.
        let _ = self.change(key, None, (next, Then::Nothing), Vec::new());
        self.schedule(now, key);
    }

    /// A call is to be looked over when it has time for it.
    pub(super) fn mark_stale(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.is_stale = call.state.is_joined();
        }
    }

    /// Looks a call over that had no time for it.
    pub(super) fn relink_stale(&mut self, now: Now, key: CallKey) {
        let call = self.calls.get_mut(&key);
        if call.is_some_and(|call| std::mem::take(&mut call.is_stale)) {
            self.relink(now, key);
        }
    }
}

/// The members that send.
fn senders(group: &Group, from: &Senders<'_>) -> Result<Vec<Member>, Reason> {
    let found = |party: &Party<'_>| {
        let member = group.find(party, |state, party| find(state, party).ok());
        member.ok_or_else(|| {
            let (_, state) = &group.calls[0];
            let reason = find(state, party).err().unwrap_or(NO_TAG);
            reason.to_owned()
        })
    };
    match from {
        Senders::All => Ok(group.parties(group.calls[0].0)),
        Senders::Parties(parties) if parties.is_empty() => Err(NOBODY.to_owned()),
        Senders::Parties(parties) => parties.iter().map(found).collect(),
    }
}

fn by_tag(group: &Group, tag: &[u8], missing: &str) -> Result<Member, Reason> {
    let party = Party::Tag(tag);
    let member = group.find(&party, |state, party| find(state, party).ok());
    member.ok_or_else(|| missing.to_owned())
}

fn join(group: &mut Group, connect: &Connect<'_>, translates: bool) -> Result<(), Reason> {
    let from = senders(group, &connect.from)?;
    let to = receiver(group, connect)?;
    let said = |refusal: Refusal| refusal.to_string();
    group.merge().map_err(said)?;
    if connect.is_directional {
        for from in from.into_iter().filter(|it| *it != to) {
            group.join(from, to).map_err(said)?;
            if connect.is_bidirectional {
                group.join(to, from).map_err(said)?;
            }
        }
        return Ok(());
    }
    let [from] = from[..] else {
        return Err(NOBODY.to_owned());
    };
    if from == to {
        return Err(NO_SINK.to_owned());
    }
    if !group.are_alike(from, to) {
        return group.transfer(from, to).map_err(said);
    }
    group.pair(from, to);
    let legs = [from, to].map(|it| group.place(it).map(|(_, leg)| leg));
    if let ([Some(one), Some(other)], Some(state)) = (legs, group.state_mut(from))
        && translates
    {
        translate(state, one, other);
    }
    Ok(())
}

/// Who is to hear: of the call that is named for it, or of any that belongs to it.
fn receiver(group: &Group, connect: &Connect<'_>) -> Result<Member, Reason> {
    let is_named = |state: &CallState| {
        let call_id = connect.to_call_id.unwrap_or(connect.call_id);
        *state.call_id == *call_id
    };
    let party = Party::Tag(connect.to_tag);
    let named = group.find(&party, |state, party| {
        find(state, party).ok().filter(|_| is_named(state))
    });
    named.map_or_else(|| by_tag(group, connect.to_tag, NO_SINK), Ok)
}

fn weave(group: &mut Group, mesh: &Mesh<'_>) -> Result<(), Reason> {
    let said = |refusal: Refusal| refusal.to_string();
    group.merge().map_err(said)?;
    let mut flows = Vec::new();
    for flow in &mesh.flows {
        let from = by_tag(group, flow.from, NO_TAG)?;
        let to = flow.to.iter().map(|tag| by_tag(group, tag, NO_SINK));
        flows.push((from, to.collect::<Result<Vec<_>, _>>()?));
    }
    for (from, _) in flows.iter().filter(|_| mesh.unsubscribes) {
        group.silence(*from);
        if mesh.is_bidirectional {
            group.deafen(*from);
        }
    }
    for (from, to) in flows {
        for to in to {
            group.join(from, to).map_err(said)?;
            if mesh.is_bidirectional {
                group.join(to, from).map_err(said)?;
            }
        }
    }
    Ok(())
}

/// Says which call alone is to change, if one is.
fn part(group: &mut Group, what: &Connect<'_>) -> Result<Option<CallKey>, Reason> {
    let to = receiver(group, what)?;
    if !what.is_directional {
        let place = group.place(to);
        if let (Some((_, leg)), Some(state)) = (place, group.state_mut(to)) {
            state.remove_legs(&[leg]);
        }
        return Ok(place.map(|(key, _)| key));
    }
    for from in senders(group, &what.from)? {
        group.part(from, to);
        if what.is_bidirectional {
            group.part(to, from);
        }
    }
    Ok(None)
}

pub(super) fn looked_over(mut group: Group, translates: bool) -> Group {
    group.relink(Translating::Anew(translates));
    group
}

/// Has the relay translate where two parties of one call share no codec.
fn translate(state: &mut CallState, one: LegId, other: LegId) {
    for index in 0..crate::MEDIA_MAX {
        let payloads = |leg: LegId| Some(&state.leg(leg)?.streams.get(index)?.payloads[..]);
        let (Some(of_one), Some(of_other)) = (payloads(one), payloads(other)) else {
            return;
        };
        let is_opaque = |leg: LegId| {
            let stream = state.leg(leg).and_then(|leg| leg.streams.get(index));
            stream.is_none_or(crate::call::Stream::is_opaque)
        };
        let routes = if is_opaque(one) || is_opaque(other) {
            [Vec::new(), Vec::new()]
        } else {
            [
                routes_between(of_one, of_other),
                routes_between(of_other, of_one),
            ]
        };
        Exchange::connect(state, index, (one, other), routes);
    }
}
