//! What parties send, stopped or made something else for a while: a caller put away without SIP, a
//! card number that an agent is not to hear.

use control_ng::{Change, DtmfSecurity, KeyPolicy, Party, Sink, Treat, Whose, reply};
use rand::RngExt;
use relay_wire::{CallKey, OnEvents};

use crate::call::{CallState, Leg, LegId};
use crate::codecs::Payload;
use crate::treatment::Treatment;

use super::jobs::Then;
use super::{Control, Held, Notice, Now};

/// The peer's words.
const UNKNOWN_CALL: &str = "Unknown call-ID";
const NO_LABEL: &str = "No monologue matching the given label";
const NO_ADDRESS: &str = "Failed to match address to any tag";
const NO_TAG: &str = "From-tag given, but no such tag exists";
const NO_SINK_TAG: &str = "Media flow not found (to-tag not found)";
const NO_SINK_LABEL: &str = "Media flow not found (to-label not found)";
const NO_FLOW: &str = "Media flow not found (to-tag not subscribed)";
const NO_SINKS: &str = "No eligible media subscriptions found";
pub(super) const UNSUPPORTED: &str = "unsupported";

impl Control {
    /// Carries out what is to become of what some parties send.
    pub(super) fn treat(&mut self, now: Now, held: Held, cookie: &[u8], treat: &Treat<'_>) {
        let Some((key, held)) = self.ready(now, held, cookie, (treat.call_id, UNKNOWN_CALL)) else {
            return;
        };
        let mut next = self.calls[&key].state.clone();
        let seed = self.rng.random();
        if let Err(reason) = apply(&mut next, treat, seed) {
            return self.finish_refused(now, &held, cookie, reason);
        }
        if let Change::Forward(true) = treat.change {
            // As the peer answers where no recorder is set up: nobody gets a copy.
            self.counters.unheeded += 1;
            self.notice(Notice::Unheeded {
                client: held.client,
                names: "start forwarding".to_owned(),
            });
        }
        let then = Then::Reply(reply::ok().encode(cookie));
        if let Err(error) = self.change(key, held.clone(), (next, then), Vec::new()) {
            self.finish_refused(now, &held, cookie, &error.to_string());
        }
    }

    /// The call that a request is about, if that can be changed now. If not, the request waits or
    /// is answered.
    pub(super) fn ready(
        &mut self,
        now: Now,
        held: Held,
        cookie: &[u8],
        (call_id, unknown): (&[u8], &str),
    ) -> Option<(CallKey, Held)> {
        let key = self.keys.get(call_id).copied();
        let call = key.and_then(|key| Some((key, self.calls.get(&key)?)));
        let Some((key, call)) = call.filter(|(_, call)| call.ended.is_none()) else {
            self.finish_refused(now, &held, cookie, unknown);
            return None;
        };
        if call.is_busy() {
            self.enqueue(now, key, held);
            return None;
        }
        if call.must_restore {
            self.enqueue(now, key, held);
            self.restore(now, key);
            return None;
        }
        Some((key, held))
    }
}

/// Changes what a call says of what its parties send.
fn apply(state: &mut CallState, treat: &Treat<'_>, seed: u64) -> Result<(), &'static str> {
    let change = treat.change;
    match &treat.whose {
        Whose::Call => {
            check(state, None, change)?;
            state.treatment.change(|it| set(it, change, seed))
        }
        Whose::Everybody => {
            check(state, None, change)?;
            state.treatment.change(|it| set(it, change, seed))?;
            // To stop the call is enough; it goes on only where nothing else stops it.
            if goes_on(change) {
                for leg in &mut state.legs {
                    leg.treatment.change(|it| set(it, change, seed))?;
                }
                state.flows.change(|flows| {
                    let mut flows = flows.iter_mut();
                    flows.try_for_each(|flow| set(&mut flow.treatment, change, seed))
                })?;
            }
            Ok(())
        }
        Whose::Party(party) => {
            let id = find(state, party)?;
            check(state, Some(id), change)?;
            let leg = state.leg_mut(id).ok_or(NO_TAG)?;
            leg.treatment.change(|it| set(it, change, seed))
        }
        Whose::Flow(party, sink) => {
            let from = find(state, party)?;
            let to = sink_of(state, from, *sink)?;
            state.change_flow((from, to), |it| set(it, change, seed))
        }
    }
}

fn goes_on(change: Change) -> bool {
    matches!(
        change,
        Change::Block(false) | Change::Silence(false) | Change::Keys(KeyPolicy::Pass)
    )
}

fn set(treatment: &mut Treatment, change: Change, seed: u64) -> Result<(), &'static str> {
    match change {
        Change::Block(is_blocked) => treatment.is_blocked = is_blocked,
        Change::Silence(is_silenced) => treatment.is_silenced = is_silenced,
        Change::Keys(policy) => treatment.keys = policy_of_keys(policy, seed).ok_or(UNSUPPORTED)?,
        Change::Forward(_) => {}
    }
    Ok(())
}

/// What becomes of keys; `None` if that takes more than there is.
pub(crate) fn policy_of_keys(policy: KeyPolicy, seed: u64) -> Option<OnEvents> {
    let KeyPolicy::Block {
        security,
        digit,
        has_trigger: false,
    } = policy
    else {
        return (policy == KeyPolicy::Pass).then_some(OnEvents::Pass);
    };
    match security {
        DtmfSecurity::Drop => Some(OnEvents::Drop),
        DtmfSecurity::Dtmf => Some(OnEvents::Replace(digit.unwrap_or_default())),
        DtmfSecurity::Off => Some(OnEvents::Pass),
        DtmfSecurity::Random => Some(OnEvents::Scramble { seed }),
        DtmfSecurity::Zero => Some(OnEvents::Replace(0)),
        // These are played, and what would be played is longer than what came.
        _ => None,
    }
}

/// Keys become others only where they are events: those in speech would be heard.
fn check(state: &CallState, whose: Option<LegId>, change: Change) -> Result<(), &'static str> {
    let Change::Keys(KeyPolicy::Block { security, .. }) = change else {
        return Ok(());
    };
    let replaces = matches!(
        security,
        DtmfSecurity::Dtmf | DtmfSecurity::Random | DtmfSecurity::Zero
    );
    let has_events = |leg: &Leg| {
        let mut streams = leg.streams.iter();
        streams.any(|stream| !Payload::events(&stream.payloads).is_empty())
    };
    let mut meant = state
        .legs
        .iter()
        .filter(|leg| whose.is_none_or(|whose| whose == leg.id));
    let can = meant.any(|leg| {
        has_events(leg)
            || leg
                .peer
                .and_then(|it| state.leg(it))
                .is_some_and(has_events)
    });
    if replaces && !can {
        return Err(UNSUPPORTED);
    }
    Ok(())
}

/// The leg of a party.
pub(super) fn find(state: &CallState, party: &Party<'_>) -> Result<LegId, &'static str> {
    let (found, missing) = match party {
        Party::Address(address) => {
            let is_there = |leg: &&Leg| {
                let mut remotes = leg.streams.iter().filter_map(|stream| stream.remote);
                remotes.any(|remote| remote.ip() == *address)
            };
            (state.legs.iter().find(is_there), NO_ADDRESS)
        }
        Party::Label(label) => (state.leg_by_label(label), NO_LABEL),
        Party::Tag(tag) => (state.leg_by_tag(tag), NO_TAG),
        _ => (None, NO_TAG),
    };
    found.map(|leg| leg.id).ok_or(missing)
}

/// The leg that gets what another sends.
fn sink_of(state: &CallState, from: LegId, sink: Sink<'_>) -> Result<LegId, &'static str> {
    let peer = state.leg(from).and_then(|leg| leg.peer);
    let (named, missing) = match sink {
        // All that goes from one to another was agreed on by offer and answer.
        Sink::Anyone | Sink::Peer => return peer.ok_or(NO_SINKS),
        Sink::Other => return Err(NO_SINKS),
        Sink::Label(label) => (state.leg_by_label(label), NO_SINK_LABEL),
        Sink::Tag(tag) => (state.leg_by_tag(tag), NO_SINK_TAG),
    };
    let named = named.ok_or(missing)?.id;
    // Of several forks, whoever does not hear the party now may do so soon.
    let is_peer = peer == Some(named) || state.leg(named).and_then(|leg| leg.peer) == Some(from);
    is_peer.then_some(named).ok_or(NO_FLOW)
}
