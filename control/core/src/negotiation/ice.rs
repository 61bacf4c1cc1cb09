//! Whether a party is told of candidates of the relay, and of which.
//!
//! | `ICE=` | an offer names candidates | an answer does |
//! | --- | --- | --- |
//! | nothing, `default`, `force-relay` | to who was told before and did not decline; first, if the offer came with some | if the offer came with some |
//! | `force`, `optional` | always | the same |
//! | `remove` | never | never |
//!
//! They are the only ones that the party gets: those of the other party lead around the relay.

use control_ng::{Flag, Ice as Wish, IceLite, Negotiation};
use relay_wire::{ICE_BASES_MAX, InterfaceId, Port, WorkerId};

use super::{Negotiator, Refusal};
use crate::call::{CallState, LegId, Stream};
use crate::ice::{Ice, Own, Peer, Words};
use crate::sdp::{Section, Transport};

/// Notes what a party says of ICE. A party that was told of candidates and says nothing has
/// declined.
pub(super) fn hear(stream: &mut Stream, said: Option<Peer>, is_answer: bool) {
    if said.is_none() && *stream.ice == Ice::default() {
        return;
    }
    stream.ice.change(|it| {
        if said.is_none() {
            it.is_declined |= is_answer && it.is_on;
        } else {
            // Of several who were told the same one may have declined before another takes it.
            it.is_on |= is_answer && it.is_declined && it.own.is_some();
            it.is_declined = false;
        }
        it.hear(said);
    });
    if stream.ice.peer.is_none() && is_answer {
        end(stream);
    }
}

/// No ICE is spoken with the party, and further ports are not needed.
fn end(stream: &mut Stream) {
    if *stream.ice == Ice::default() {
        return;
    }
    stream.ice.change(|it| {
        it.is_on = false;
        if let Some(own) = &mut it.own {
            own.others.clear();
        }
    });
}

impl Negotiator<'_> {
    /// What an offer says to its receiver. `components` is 2 if RTCP may get a port of its own.
    pub(super) fn offer_ice(
        &mut self,
        state: &mut CallState,
        offer: &Negotiation<'_>,
        (sender, receiver, index): (LegId, LegId, usize),
        (is_new, components): (bool, u8),
    ) -> Result<Vec<Vec<u8>>, Refusal> {
        let [to_sender, to_receiver] = lite(offer);
        for (leg, is_lite) in [(sender, to_sender), (receiver, to_receiver)] {
            let stream = state.leg_mut(leg).map(|it| it.stream_mut(index));
            if let (Some(stream), Some(is_lite)) = (stream, is_lite) {
                stream.ice.change(|it| it.is_lite = is_lite);
            }
        }
        let came_with = speaks(state, sender, index);
        let before = state.leg(receiver).and_then(|it| it.streams.get(index));
        let was_told = before.is_some_and(|it| it.ice.is_on);
        let is_wanted = match offer.ice {
            Some(Wish::Remove) => false,
            Some(Wish::Force | Wish::Optional) => true,
            _ => was_told || (came_with && is_new),
        };
        self.tell(state, offer, (receiver, index), (is_wanted, components))
    }

    /// What an answer says to who made the offer.
    pub(super) fn answer_ice(
        &mut self,
        state: &mut CallState,
        answer: &Negotiation<'_>,
        (receiver, index): (LegId, usize),
        components: u8,
    ) -> Result<Vec<Vec<u8>>, Refusal> {
        let is_declined = answer.ice == Some(Wish::Remove) || answer.flags.has(Flag::RejectIce);
        let is_wanted = !is_declined && speaks(state, receiver, index);
        self.tell(state, answer, (receiver, index), (is_wanted, components))
    }

    /// What a description of the relay's own says.
    pub(super) fn create_ice(
        &mut self,
        state: &mut CallState,
        said: &Negotiation<'_>,
        (leg, index): (LegId, usize),
        section: &mut Section,
    ) -> Result<(), Refusal> {
        let Section::Relay {
            port,
            rtcp_port,
            ice,
            ..
        } = section
        else {
            return Ok(());
        };
        let stream = state.leg(leg).and_then(|it| it.streams.get(index));
        let was_told = stream.is_some_and(|it| it.ice.is_on);
        let is_wanted = match said.ice {
            Some(Wish::Remove) => false,
            Some(Wish::Force | Wish::Optional) => true,
            _ => was_told,
        };
        let components = if port == rtcp_port { 1 } else { 2 };
        *ice = self.tell(state, said, (leg, index), (is_wanted, components))?;
        Ok(())
    }

    /// Candidates for a party, or none any more.
    fn tell(
        &mut self,
        state: &mut CallState,
        said: &Negotiation<'_>,
        (leg, index): (LegId, usize),
        (is_wanted, components): (bool, u8),
    ) -> Result<Vec<Vec<u8>>, Refusal> {
        let worker = self.worker_of(leg);
        let leg = state.leg_mut(leg).ok_or(Refusal::Dialogue)?;
        let first = leg.port(index);
        let stream = leg.stream_mut(index);
        let first = first.filter(|_| is_wanted && stream.transport == Transport::Rtp);
        let Some(first) = first else {
            end(stream);
            return Ok(Vec::new());
        };
        let others = self.further_ports(worker, first, stream.ice.others());
        let rng = &mut *self.rng;
        let own = stream.ice.change(|it| {
            let mut own = match it.own.take() {
                Some(own) if !it.is_stale => own,
                Some(own) => own.renewed(rng),
                None => Own::new(rng),
            };
            (it.is_on, it.is_stale) = (true, false);
            own.others = others;
            it.own.insert(own).clone()
        });
        // What the party has said itself it understands.
        let peer = stream.ice.peer.as_ref().map(|it| it.words);
        let peer = peer.unwrap_or_default();
        let words = Words {
            trickles: said.flags.has(Flag::TrickleIce) || peer.trickles,
            is_ice2: peer.is_ice2,
        };
        Ok(own.lines(first, components, self.interfaces, words))
    }

    /// Ports on the other addresses of an interface, which has several if several have its name.
    fn further_ports(&mut self, worker: WorkerId, first: Port, before: &[Port]) -> Vec<Port> {
        let InterfaceId(own) = first.interface;
        let name = self.interfaces.get(usize::from(own)).map(|it| &*it.name);
        let mut ports = Vec::new();
        for (other, interface) in (0..=u8::MAX).zip(self.interfaces) {
            let is_further = other != own && Some(&*interface.name) == name;
            if !is_further || ports.len() + 1 >= ICE_BASES_MAX {
                continue;
            }
            let interface = InterfaceId(other);
            let known = before.iter().find(|it| it.interface == interface).copied();
            let now = self.now.instant;
            let taken = known.or_else(|| {
                let number = self.ports.take(now, worker, interface, self.rng)?;
                Some(Port { interface, number })
            });
            // Where none is left, there is one way less.
            ports.extend(taken);
        }
        ports
    }
}

/// Whether the relay is to make no checks of the sender, and of the receiver. `None`: as before.
fn lite(offer: &Negotiation<'_>) -> [Option<bool>; 2] {
    let both = |lite: IceLite| {
        let is_both = lite == IceLite::Both;
        [
            lite == IceLite::Backward || is_both,
            lite == IceLite::Forward || is_both,
        ]
    };
    offer.ice_lite.map_or([None; 2], |it| both(it).map(Some))
}

/// Whether the newest word of a party was one of ICE.
fn speaks(state: &CallState, leg: LegId, index: usize) -> bool {
    let stream = state.leg(leg).and_then(|it| it.streams.get(index));
    stream.is_some_and(|it| it.ice.peer.is_some())
}
