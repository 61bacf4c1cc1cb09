//! Deletes and queries.
//!
//! Deletes are frequent, repeated and often for calls that are not there: each of these is a
//! look-up and a reply.

use control_ng::{Delete, Flag, Message, Query, reply};
use relay_wire::{CallKey, CallStats, Command};

use crate::call::{CallState, Leg, LegId};
use crate::output::EndReason;
use crate::playing::all_over;
use crate::quality::History;
use crate::statistics::{Detail, Report};

use super::jobs::{Job, Kind, Then};
use super::{Control, DATAGRAM_BYTES_MAX, Held, Now};

/// The peer's words for a delete that finds nothing.
const NOT_FOUND: &str = "Call-ID not found or tags didn't match";

/// Which parties a reply tells of.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// All.
    All,
    /// None, and no counts either.
    None,
    /// Those with one of these tags.
    Tags(Vec<Vec<u8>>),
}

/// What a delete names.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Selection {
    /// The whole call.
    All,
    /// Some of its legs.
    Legs(Vec<LegId>),
    /// Nothing that is there.
    Nothing,
}

impl Control {
    /// Carries a delete out.
    pub(super) fn delete(&mut self, now: Now, held: Held, cookie: &[u8], delete: &Delete<'_>) {
        let is_fast = delete.flags.has(Flag::Fast);
        let key = self.keys.get(delete.call_id).copied();
        let Some((key, call)) = key.and_then(|key| Some((key, self.calls.get(&key)?))) else {
            return self.delete_nothing(now, &held, cookie, delete);
        };
        if call.is_busy() {
            return self.enqueue(now, key, held);
        }
        if let Some(ended) = &call.ended {
            let stats = ended.stats.clone();
            let scope = if is_fast { Scope::None } else { Scope::All };
            self.reply_report(now, key, Some(held), stats.as_ref(), scope);
            return self.forget(now, key);
        }
        if call.must_restore {
            self.enqueue(now, key, held);
            return self.restore(now, key);
        }
        let delay_s = delete.delay_s.unwrap_or(self.config.delete_delay_s);
        let mut next;
        let mut before = Vec::new();
        match select(&call.state, delete) {
            Selection::All if delay_s == 0 => {
                let reason = Some(EndReason::Deleted);
                return self.remove(key, Some(held), (reason, is_fast));
            }
            Selection::All => {
                let delay_ms = u64::from(delay_s) * 1_000;
                next = call.state.clone();
                next.delete_at_unix_ms = Some(now.unix_ms.saturating_add(delay_ms));
                // Media goes on until then, for what is under way; sounds need not.
                if call.may_play {
                    before = all_over(key, &call.state);
                }
            }
            Selection::Legs(gone) => {
                next = call.state.clone();
                next.remove_legs(&gone);
            }
            Selection::Nothing => return self.delete_nothing(now, &held, cookie, delete),
        }
        before.push(Command::QueryCall { call: key });
        let then = Then::Report { is_fast };
        // Less than before never comes to more than the relay takes.
        let result = self.change(key, held.clone(), (next, then), before);
        if let Err(error) = result {
            self.finish_refused(now, &held, cookie, &error.to_string());
        }
    }

    fn delete_nothing(&mut self, now: Now, held: &Held, cookie: &[u8], delete: &Delete<'_>) {
        if delete.flags.has(Flag::Fatal) {
            return self.finish_refused(now, held, cookie, NOT_FOUND);
        }
        let reply = reply::ok().with("warning", NOT_FOUND);
        self.finish(now, held, reply.encode(cookie));
    }

    /// Carries a query out.
    pub(super) fn query(&mut self, now: Now, held: Held, cookie: &[u8], query: &Query<'_>) {
        let key = self.keys.get(query.call_id).copied();
        let Some((key, call)) = key.and_then(|key| Some((key, self.calls.get(&key)?))) else {
            return self.finish_refused(now, &held, cookie, "Unknown call-id");
        };
        let tags = query.from_tag.into_iter().chain(query.to_tag);
        let tags: Vec<_> = tags.map(<[u8]>::to_vec).collect();
        let scope = if tags.is_empty() {
            Scope::All
        } else {
            Scope::Tags(tags)
        };
        if call.is_busy() {
            return self.enqueue(now, key, held);
        }
        if let Some(ended) = &call.ended {
            let stats = ended.stats.clone();
            return self.reply_report(now, key, Some(held), stats.as_ref(), scope);
        }
        let stands = self.installed(call);
        let commands = vec![Command::QueryCall { call: key }];
        let job = Job::new(Some(held), Kind::Query(scope), stands, commands);
        self.start(key, job);
    }

    /// Replies with what is known of a call.
    pub(super) fn reply_report(
        &mut self,
        now: Now,
        key: CallKey,
        held: Option<Held>,
        stats: Option<&CallStats>,
        scope: Scope,
    ) {
        let (Some(held), Some(call)) = (held, self.calls.get(&key)) else {
            return;
        };
        let message = Message::split(&held.datagram).expect("it was divided before");
        let others = call.state.group.iter().filter_map(|key| {
            let call = self.calls.get(key).filter(|it| it.ended.is_none())?;
            Some((*key, &call.state))
        });
        let calls: Vec<_> = [(key, &call.state)].into_iter().chain(others).collect();
        let quality = match scope {
            Scope::None => History::default(),
            _ => self.quality_of(now, call, stats),
        };
        // Of a call that is over all is as of its end.
        let ended = call.ended.as_ref().map(|it| it.ended_unix_ms);
        let report = Report {
            unix_ms: ended.unwrap_or(now.unix_ms),
            state: &call.state,
            calls: &calls,
            stats,
            quality: &quality,
            interfaces: &self.link.interfaces,
        };
        let cookie = message.cookie;
        let is_wanted = |leg: &Leg| match &scope {
            Scope::All => true,
            Scope::None => false,
            Scope::Tags(tags) => tags.iter().any(|tag| leg.has_tag(tag)),
        };
        let mut reply = match scope {
            Scope::None => reply::ok().encode(cookie),
            _ => report.reply(cookie, Detail::Full, is_wanted),
        };
        if reply.len() > DATAGRAM_BYTES_MAX {
            reply = report.reply(cookie, Detail::Brief, is_wanted);
        }
        if reply.len() > DATAGRAM_BYTES_MAX {
            reply = report.reply(cookie, Detail::Brief, |_| false);
        }
        self.finish(now, &held, reply);
    }
}

/// Whether there is what a delete names.
pub(super) fn has_what_goes(state: &CallState, delete: &Delete<'_>) -> bool {
    select(state, delete) != Selection::Nothing
}

/// Finds what a delete names.
///
/// Without a from-tag it is the whole call. A via-branch names one fork. Otherwise the from-tag
/// names a dialogue, and its other party and forks go too, unless that party is connected to
/// others and the to-tag does not name it; with the flag `to tag`, only the party of the to-tag,
/// and whoever is left without anyone to talk to.
fn select(state: &CallState, delete: &Delete<'_>) -> Selection {
    let Some(from_tag) = delete.from_tag else {
        return Selection::All;
    };
    let to_tag = delete.to_tag.filter(|_| delete.flags.has(Flag::ToTag));
    if let Some(branch) = delete.via_branch
        && to_tag.is_none()
    {
        if let Some(leg) = state.leg_by_branch(branch) {
            return with_forlorn(state, vec![leg.id]);
        }
        if state.is_branch_deleted(branch) {
            return Selection::Nothing;
        }
    }
    let Some(leg) = state.leg_by_tag(to_tag.unwrap_or(from_tag)) else {
        return Selection::Nothing;
    };
    let mut gone = vec![leg.id];
    if to_tag.is_none() {
        let peer = leg.peer.and_then(|it| state.leg(it));
        let ends = |it: &&Leg| !it.is_linked() || delete.to_tag.is_some_and(|tag| it.has_tag(tag));
        gone.extend(peer.filter(ends).map(|it| it.id));
    }
    with_forlorn(state, gone)
}

/// Adds the legs that are left without anyone to talk to.
fn with_forlorn(state: &CallState, mut gone: Vec<LegId>) -> Selection {
    loop {
        let is_there = |leg: &&Leg| !gone.contains(&leg.id);
        let mut left = state.legs.iter().filter(is_there);
        let forlorn = left.find(|leg| {
            let mut others = state.legs.iter().filter(is_there);
            let has_other = others.any(|it| it.peer == Some(leg.id) || leg.peer == Some(it.id));
            // Who never had anyone waits for somebody to be connected to.
            let had_other = leg.peer.is_some() || state.legs_towards(leg.id).next().is_some();
            had_other && !has_other && !leg.is_linked()
        });
        match forlorn.map(|leg| leg.id) {
            Some(id) => gone.push(id),
            None => break,
        }
    }
    if gone.len() >= state.legs.len() {
        Selection::All
    } else {
        Selection::Legs(gone)
    }
}
