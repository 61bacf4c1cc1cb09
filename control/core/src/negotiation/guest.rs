//! Parties of two calls that offer and answer one another, having been connected.
//!
//! Calls never become one, so for as long as an offer or an answer takes, the party of the one call
//! is a guest in the other: a leg among others, whose name no leg of the call itself has. Then each
//! goes home with what was agreed on. Which of them is the guest does not depend on who offers, so
//! that what is remembered between them is found again.

use control_ng::Flag;
use relay_wire::{CallKey, Port, WorkerId};

use super::{Negotiator, Refusal, Turn, ports_added};
use crate::call::{CallState, LegId};

/// Guests are called by what they are called at home, and this.
const GUEST: u16 = 0x8000;

/// As many names there are for hosts. If two of one guest have the same by chance, what the guest
/// agreed on with the one is taken for what it agreed on with the other.
const NAMES: u64 = 0x8000;

/// Pairs of ports that were taken for a call.
pub(crate) type Taken = Vec<(WorkerId, Port)>;

/// The two calls, and the party of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'s> {
    pub(crate) host: (&'s CallState, LegId),
    pub(crate) guest: (&'s CallState, LegId),
    /// Where the ports of the guest are.
    pub(crate) guest_worker: WorkerId,
    /// By which the guest knows its host at home.
    pub(crate) host_key: CallKey,
}

/// What an offer or an answer has made of both calls.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    pub(crate) host: CallState,
    pub(crate) guest: CallState,
    /// What was taken for the one and for the other.
    pub(crate) ports: [Taken; 2],
    pub(crate) sdp: Result<Vec<u8>, Refusal>,
}

impl LegId {
    pub(crate) fn is_guest(self) -> bool {
        self.0 & GUEST != 0
    }

    fn as_guest(self) -> Self {
        Self(self.0 | GUEST)
    }
}

impl Negotiator<'_> {
    /// Carries an offer or an answer between two calls out. The worker is that of the host.
    pub(crate) fn carry_between(&mut self, pair: Pair<'_>, turn: Turn<'_>) -> Option<Agreed> {
        let mut state = pair.seated()?;
        self.guest_worker = Some(pair.guest_worker);
        let sdp = self.carry_out(&mut state, turn);
        let (host, guest) = pair.gone_home(state, turn)?;
        let taken = |worker, before, after| {
            let ports = ports_added(before, after).into_iter();
            ports.map(|port| (worker, port)).collect()
        };
        let at_host = taken(self.worker, pair.host.0, &host);
        let at_guest = taken(pair.guest_worker, pair.guest.0, &guest);
        Some(Agreed {
            ports: [at_host, at_guest],
            host,
            guest,
            sdp,
        })
    }

    /// Where the ports of a leg are.
    pub(super) fn worker_of(&self, leg: LegId) -> WorkerId {
        let elsewhere = self.guest_worker.filter(|_| leg.is_guest());
        elsewhere.unwrap_or(self.worker)
    }
}

impl Pair<'_> {
    /// What the host is called where the guest is at home.
    fn name_abroad(&self) -> LegId {
        let (_, LegId(leg)) = self.host;
        let CallKey(key) = self.host_key;
        let name = key.wrapping_mul(16).wrapping_add(leg.into()) % NAMES;
        LegId(u16::try_from(name).unwrap_or_default()).as_guest()
    }

    /// The host's call with the guest in it, who is the other's peer.
    fn seated(&self) -> Option<CallState> {
        let ((state, at), (home, leg)) = (self.host, self.guest);
        let (mut state, mut leg) = (state.clone(), home.leg(leg)?.clone());
        leg.id = leg.id.as_guest();
        leg.peer = Some(at);
        for stream in &mut leg.streams {
            let known = stream.exchange.take();
            stream.exchange = known.and_then(|it| it.renamed(self.name_abroad(), at));
        }
        state.leg_mut(at)?.peer = Some(leg.id);
        state.legs.push(leg);
        Some(state)
    }

    /// Both calls, each with its own. Who hears whom in either has not changed.
    fn gone_home(&self, mut state: CallState, turn: Turn<'_>) -> Option<(CallState, CallState)> {
        let ((before, at), (home, leg)) = (self.host, self.guest);
        let place = state.legs.iter().position(|it| it.id == leg.as_guest())?;
        let mut guest = state.legs.remove(place);
        let mut home = home.clone();
        let (own, other) = (home.leg_mut(leg)?, before.leg(at)?);
        (guest.id, guest.peer) = (leg, own.peer);
        (guest.is_settled, guest.links) = (own.is_settled, own.links.clone());
        for (index, stream) in guest.streams.iter_mut().enumerate() {
            let known = stream.exchange.take();
            let known = known.and_then(|it| it.renamed(at, self.name_abroad()));
            // What it agreed on with a party of its own call.
            let own = own.streams.get(index).and_then(|it| it.exchange.clone());
            stream.exchange = known.or_else(|| own.filter(|it| !it.is_with(self.name_abroad())));
        }
        *own = guest;
        let host = state.leg_mut(at)?;
        (host.peer, host.is_settled) = (other.peer, other.is_settled);
        host.links.clone_from(&other.links);
        home.last_signal_unix_ms = state.last_signal_unix_ms;
        home.delete_at_unix_ms = None;
        // What was said of the call was said of the one that was named.
        let said = turn.said();
        if *home.call_id == *said.call_id {
            home.key_log.clone_from(&state.key_log);
            home.subscriber.clone_from(&state.subscriber);
            state.key_log.clone_from(&before.key_log);
            state.subscriber.clone_from(&before.subscriber);
        }
        if matches!(turn, Turn::Answer(_)) && !said.flags.has(Flag::Provisional) {
            (home.is_confirmed, home.offer_deadline_unix_ms) = (true, None);
        }
        Some((state, home))
    }
}
