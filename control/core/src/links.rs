//! Who hears a party besides, or instead of, the one that it came to by offer and answer: `connect`
//! of two calls, `mesh`.
//!
//! Calls never become one: each keeps its worker, its ports and its end. What is said of several is
//! said of a [`Group`] of them, and what of that concerns one call stands in its own state: who its
//! parties are heard by, at which ports of the relay, and which other calls belong to the group.
//! Ports of other calls are copied there, so that what the relay must do follows from one state as
//! ever; when a call changes, those of its group are looked over ([`Group::relink`]).

use control_ng::Party;
use relay_wire::{CallKey, Port, Route, SINKS_MAX, Sink, Transcoding};
use serde::{Deserialize, Serialize};

use crate::call::{CallState, Leg, LegId, Stream};
use crate::codecs::routes_between;
use crate::sdp::Transport;

/// Calls of one group.
pub(crate) const GROUP_MAX: usize = 16;

/// Who hears a party besides its peer, or instead of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Links {
    /// Its peer does not.
    pub(crate) is_diverted: bool,
    pub(crate) to: Vec<Link>,
    /// Its peer, if that hears it besides the others.
    pub(crate) peer: Option<Link>,
}

/// Somebody who hears a party.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Link {
    call: CallKey,
    leg: LegId,
    media: Vec<Medium>,
}

/// One stream of a party, and where it leaves.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Medium {
    /// Its place among the party's.
    index: usize,
    rtp: Port,
    rtcp: Option<Port>,
    /// What must become of it. None: it is understood as it is.
    routes: Vec<Route>,
    /// It leaves encrypted, or not at all.
    is_sealed: bool,
}

/// Why parties cannot be joined.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("Too many parties hear one")]
    TooManyLinks,
    #[error("Too many calls")]
    TooManyCalls,
}

/// Whether those who share no codec are translated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Translating {
    /// All of them, or none.
    Anew(bool),
    /// Those who were: nobody waits for a reply, so that nothing may be begun that the relay could
    /// have too much to do for.
    AsBefore,
}

/// Who somebody is among the parties of a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Member {
    /// The place of the call in the group.
    call: usize,
    leg: LegId,
}

/// Calls whose parties hear one another, as they are to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) calls: Vec<(CallKey, CallState)>,
}

impl Leg {
    /// Its peer does not hear the party.
    pub(crate) fn is_diverted(&self) -> bool {
        self.links.as_ref().is_some_and(|it| it.is_diverted)
    }

    /// Somebody hears the party besides its peer, or instead of it.
    pub(crate) fn is_linked(&self) -> bool {
        self.links.as_ref().is_some_and(|it| !it.to.is_empty())
    }

    /// Those who hear the party besides its peer, or instead of it.
    pub(crate) fn hearers(&self) -> impl Iterator<Item = (CallKey, LegId)> {
        self.links().iter().map(|link| (link.call, link.leg))
    }

    /// Whether one of these is this party of that call.
    pub(crate) fn is_linked_to(&self, call: CallKey, leg: LegId) -> bool {
        self.hearers().any(|it| it == (call, leg))
    }

    fn links(&self) -> &[Link] {
        self.links.as_ref().map_or(&[], |it| &it.to)
    }

    fn change_links(&mut self, change: impl FnOnce(&mut Links)) {
        let mut links = self.links.take().unwrap_or_default();
        change(&mut links);
        self.links = Some(links).filter(|it| **it != Links::default());
    }

    /// Offer and answer say anew who hears the party.
    pub(crate) fn settle(&mut self) {
        if self.is_diverted() {
            self.links = None;
        }
    }

    fn media(&self, index: usize) -> impl Iterator<Item = (CallKey, &Medium)> {
        let links = self.links().iter();
        links.flat_map(move |link| link.media(index))
    }

    /// What becomes of a stream for the first of those who need that something does.
    pub(crate) fn routes(&self, index: usize) -> &[Route] {
        let routes = self.media(index).map(|(_, medium)| &medium.routes[..]);
        routes
            .into_iter()
            .find(|it| !it.is_empty())
            .unwrap_or_default()
    }

    /// The relay's sinks for a stream of which `transcoding` makes another; with the peer, if that
    /// is to have it as it comes. Who would need one that is made otherwise hears nothing of it:
    /// there is one translator for each stream.
    pub(crate) fn sinks(
        &self,
        index: usize,
        transcoding: Option<&Transcoding>,
        has_peer: bool,
    ) -> Vec<Sink> {
        let made = transcoding.map_or(&[][..], |it| &it.routes);
        let peer = self.links.as_ref().and_then(|it| it.peer.as_ref());
        let peer = peer.filter(|_| has_peer).into_iter();
        let media = peer.flat_map(|it| it.media(index)).chain(self.media(index));
        let understood = media.filter(|(_, it)| it.routes.is_empty() || it.routes == made);
        let sinks = understood.map(|(call, medium)| Sink {
            call,
            rtp: Some(medium.rtp),
            rtcp: medium.rtcp,
            is_remade: !medium.routes.is_empty(),
            is_sealed: medium.is_sealed,
        });
        sinks.take(SINKS_MAX).collect()
    }
}

impl Link {
    fn media(&self, index: usize) -> impl Iterator<Item = (CallKey, &Medium)> {
        let media = self.media.iter().filter(move |it| it.index == index);
        media.map(|it| (self.call, it))
    }

    fn is_translated(&self) -> bool {
        self.media.iter().any(|it| !it.routes.is_empty())
    }
}

impl CallState {
    /// Whether the same parties hear the same ones as in another state of the call, at whatever
    /// ports.
    pub(crate) fn has_links_of(&self, other: &Self) -> bool {
        let ends = |state: &Self| {
            let legs = state.legs.iter();
            let ends = legs.map(|it| (it.id, it.is_diverted(), it.hearers().collect::<Vec<_>>()));
            ends.collect::<Vec<_>>()
        };
        self.group == other.group && ends(self) == ends(other)
    }

    /// What others do concerns the call, or its parties hear one another in other ways than by
    /// offer and answer.
    pub(crate) fn is_joined(&self) -> bool {
        !self.group.is_empty() || self.legs.iter().any(|leg| leg.links.is_some())
    }

    /// Makes the same parties hear the same ones as in another state of the call.
    pub(crate) fn copy_links(&mut self, other: &Self) {
        self.group.clone_from(&other.group);
        for leg in &mut self.legs {
            let like = other.leg(leg.id);
            leg.links = like.and_then(|like| like.links.clone());
        }
    }

    /// Who hears a party by offer and answer, unless it is diverted. A fork that lost is not heard
    /// any more.
    pub(crate) fn listener(&self, leg: &Leg) -> Option<&Leg> {
        let peer = self.leg(leg.peer?)?;
        (peer.peer == Some(leg.id) || !peer.is_settled).then_some(peer)
    }
}

impl Group {
    /// Each of the calls knows of all others from now on.
    pub(crate) fn merge(&mut self) -> Result<(), Refusal> {
        let keys: Vec<_> = self.calls.iter().map(|(key, _)| *key).collect();
        if keys.len() > GROUP_MAX {
            return Err(Refusal::TooManyCalls);
        }
        for (key, state) in &mut self.calls {
            let others = keys.iter().copied().filter(|it| it != key);
            state.group = others.collect::<Vec<_>>().into();
        }
        Ok(())
    }

    /// The party that is meant: of the first call that has one.
    pub(crate) fn find(
        &self,
        party: &Party<'_>,
        find: impl Fn(&CallState, &Party<'_>) -> Option<LegId>,
    ) -> Option<Member> {
        let mut calls = self.calls.iter().enumerate();
        calls.find_map(|(call, (_, state))| {
            let leg = find(state, party)?;
            Some(Member { call, leg })
        })
    }

    /// The parties of one of the calls.
    pub(crate) fn parties(&self, key: CallKey) -> Vec<Member> {
        let call = self.calls.iter().position(|(it, _)| *it == key);
        let legs = call.map(|call| {
            let legs = self.calls[call].1.legs.iter();
            legs.map(move |leg| Member { call, leg: leg.id })
        });
        legs.into_iter().flatten().collect()
    }

    /// A party of one of the calls.
    pub(crate) fn member(&self, key: CallKey, leg: LegId) -> Option<Member> {
        let call = self.calls.iter().position(|(it, _)| *it == key)?;
        Some(Member { call, leg })
    }

    /// The key of a member's call, and the leg.
    pub(crate) fn place(&self, member: Member) -> Option<(CallKey, LegId)> {
        let (key, _) = self.calls.get(member.call)?;
        Some((*key, member.leg))
    }

    pub(crate) fn state_mut(&mut self, member: Member) -> Option<&mut CallState> {
        self.calls.get_mut(member.call).map(|(_, state)| state)
    }

    fn leg_mut(&mut self, member: Member) -> Option<&mut Leg> {
        self.state_mut(member)?.leg_mut(member.leg)
    }

    /// Both are of one call, and the one is heard by the other unless it is diverted.
    fn is_natural(&self, from: Member, to: Member) -> bool {
        let (_, state) = &self.calls[from.call];
        let listener = state.leg(from.leg).and_then(|leg| state.listener(leg));
        from.call == to.call && listener.is_some_and(|it| it.id == to.leg)
    }

    /// The one is heard by the other from now on.
    pub(crate) fn join(&mut self, from: Member, to: Member) -> Result<(), Refusal> {
        let Some((call, leg)) = self.place(to) else {
            return Ok(());
        };
        let is_natural = self.is_natural(from, to);
        let Some(from) = self.leg_mut(from).filter(|_| from != to) else {
            return Ok(());
        };
        if is_natural {
            from.change_links(|links| links.is_diverted = false);
            return Ok(());
        }
        if from
            .links()
            .iter()
            .any(|it| (it.call, it.leg) == (call, leg))
        {
            return Ok(());
        }
        if from.links().len() == SINKS_MAX {
            return Err(Refusal::TooManyLinks);
        }
        let media = Vec::new();
        from.change_links(|links| links.to.push(Link { call, leg, media }));
        Ok(())
    }

    /// The one is heard by the other no more.
    pub(crate) fn part(&mut self, from: Member, to: Member) {
        let is_natural = self.is_natural(from, to);
        let place = self.place(to);
        if let Some(leg) = self.leg_mut(from) {
            leg.change_links(|links| {
                links.is_diverted |= is_natural;
                links.to.retain(|it| Some((it.call, it.leg)) != place);
            });
        }
    }

    /// Nobody hears a party any more.
    pub(crate) fn silence(&mut self, from: Member) {
        if let Some(leg) = self.leg_mut(from) {
            leg.links = Some(Box::new(Links {
                is_diverted: true,
                ..Links::default()
            }));
        }
    }

    /// A party hears nobody any more.
    pub(crate) fn deafen(&mut self, to: Member) {
        let keys: Vec<_> = self.calls.iter().map(|(key, _)| *key).collect();
        for from in keys
            .iter()
            .flat_map(|key| self.parties(*key))
            .collect::<Vec<_>>()
        {
            self.part(from, to);
        }
    }

    /// Two parties are heard by one another and by nobody else.
    pub(crate) fn transfer(&mut self, one: Member, other: Member) -> Result<(), Refusal> {
        for member in [one, other] {
            self.silence(member);
            self.deafen(member);
        }
        self.join(one, other)?;
        self.join(other, one)
    }

    /// The two of them, of two calls, have offered and answered: they are heard by one another, and
    /// those they talked to before are heard by them no more.
    pub(crate) fn settle(&mut self, one: Member, other: Member) -> Result<(), Refusal> {
        for (member, with) in [(one, other), (other, one)] {
            let (key, _) = self.calls[member.call];
            for speaker in self.parties(key) {
                if self.is_natural(speaker, member) {
                    self.part(speaker, member);
                }
            }
            if let Some(leg) = self.leg_mut(member) {
                leg.settle();
                leg.change_links(|links| links.is_diverted = true);
            }
            self.join(member, with)?;
        }
        Ok(())
    }

    /// The same of two parties of one call, whose media are in the same order: they are each
    /// other's peers from now on.
    pub(crate) fn pair(&mut self, one: Member, other: Member) {
        for (member, peer) in [(one, other), (other, one)] {
            let place = self.place(member);
            let legs = self.calls.iter_mut().flat_map(|(_, state)| &mut state.legs);
            for leg in legs {
                leg.change_links(|links| {
                    links.to.retain(|it| Some((it.call, it.leg)) != place);
                });
            }
            if let Some(leg) = self.leg_mut(member) {
                leg.links = None;
                leg.peer = Some(peer.leg);
                leg.is_settled = true;
            }
        }
    }

    /// Whether both are of one call, and each medium of the one has its like at the same place of
    /// the other.
    pub(crate) fn are_alike(&self, one: Member, other: Member) -> bool {
        let streams = |it: Member| {
            let leg = self.calls[it.call].1.leg(it.leg);
            leg.into_iter().flat_map(|leg| &leg.streams)
        };
        let mut pairs = streams(one).zip(streams(other));
        one.call == other.call
            && pairs.all(|(a, b)| a.kind == b.kind || !a.is_active || !b.is_active)
    }

    /// Brings up to date who is there, and at which ports.
    pub(crate) fn relink(&mut self, translating: Translating) {
        for call in 0..self.calls.len() {
            let (key, state) = &self.calls[call];
            if let Some(next) = relinked((*key, state), |key| self.state(key), translating) {
                self.calls[call].1 = next;
            }
        }
    }

    pub(crate) fn state(&self, key: CallKey) -> Option<&CallState> {
        let mut calls = self.calls.iter();
        calls.find(|(it, _)| *it == key).map(|(_, state)| state)
    }
}

/// What a call is to be, as far as it has to do with the calls of its group, each of which `find`
/// finds that is there. `None`: what it is.
pub(crate) fn relinked<'s>(
    (key, state): (CallKey, &'s CallState),
    find: impl Fn(CallKey) -> Option<&'s CallState>,
    translating: Translating,
) -> Option<CallState> {
    let mut next = state.clone();
    next.group
        .change(|group| group.retain(|key| find(*key).is_some()));
    for leg in &mut next.legs {
        let Some(links) = &leg.links else {
            continue;
        };
        let mut links = links.clone();
        links.to.retain_mut(|link| {
            let to = find(link.call).and_then(|state| state.leg(link.leg));
            let translates = match translating {
                Translating::Anew(translates) => translates,
                Translating::AsBefore => link.is_translated(),
            };
            link.media = to.map_or_else(Vec::new, |to| media(leg, to, translates));
            to.is_some()
        });
        let peer = state.leg(leg.id).and_then(|leg| state.listener(leg));
        let peer = peer.filter(|_| !links.is_diverted && !links.to.is_empty());
        links.peer = peer.map(|peer| Link {
            call: key,
            leg: peer.id,
            media: media(leg, peer, false),
        });
        leg.change_links(|it| *it = *links);
    }
    (next != *state).then_some(next)
}

/// What of one party's media goes where, if another is to hear it: the first audio to the first
/// audio, and so on.
fn media(from: &Leg, to: &Leg, translates: bool) -> Vec<Medium> {
    let mut media = Vec::new();
    for (index, stream) in from.streams.iter().enumerate() {
        let before = from.streams[..index].iter();
        let nth = before.filter(|it| it.kind == stream.kind).count();
        let like = to.streams.iter().enumerate();
        let mut like = like.filter(|(_, it)| it.kind == stream.kind);
        let Some((at, other)) = like.nth(nth) else {
            continue;
        };
        // What was decrypted must not leave in clear for who cannot be encrypted for. Whether the relay
        // has the keys of that call yet is its own to see to: it is told what must be encrypted.
        let is_understood = stream.is_opaque() == other.is_opaque();
        let are_active = stream.is_active && other.is_active;
        let fits = are_active && is_understood && stream.transport == other.transport;
        if let Some(rtp) = to.port(at).filter(|_| fits) {
            let rtcp = rtcp_of(other).map(|number| Port { number, ..rtp });
            let routes = if translates && !stream.is_opaque() {
                routes_between(&stream.payloads, &other.payloads)
            } else {
                Vec::new()
            };
            media.push(Medium {
                index,
                rtp,
                rtcp,
                routes,
                is_sealed: other.has_keys(),
            });
        }
    }
    media
}

/// Where RTCP leaves for a party. What is not RTP goes out by the one port there is, whatever its
/// bytes look like.
pub(crate) fn rtcp_of(to: &Stream) -> Option<u16> {
    match to.transport {
        Transport::Rtp => to.rtcp_port(),
        _ => to.port,
    }
}

#[cfg(test)]
mod tests;
