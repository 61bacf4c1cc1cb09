//! Who the parties of an offer or an answer are.

use control_ng::{AddressFamily, Negotiation};
use relay_wire::{Interface, InterfaceId};

use super::{Negotiator, Refusal, alias};
use crate::call::{ALIASES_MAX, CallState, LEGS_MAX, LegId};
use crate::lean::Name;
use crate::sdp::Sdp;

impl Negotiator<'_> {
    /// The leg of who made the offer.
    pub(super) fn offerer(
        &self,
        state: &mut CallState,
        offer: &Negotiation<'_>,
        sdp: &Sdp<'_>,
    ) -> Result<LegId, Refusal> {
        if let Some(leg) = state.leg_by_tag(offer.from_tag) {
            return Ok(leg.id);
        }
        if let Some(id) = alias::back(state, alias::key(offer, sdp), offer.from_tag) {
            return Ok(id);
        }
        // A callee that has not answered in SDP yet, and now offers (RFC 3311).
        let known = offer.to_tag.and_then(|tag| state.leg_by_tag(tag));
        let silent = known.and_then(|leg| {
            let mut callees = state.legs_towards(leg.id);
            callees.find(|callee| callee.tags.is_empty())
        });
        let id = match silent.map(|leg| leg.id) {
            Some(id) => id,
            None => {
                let family = sdp_family(sdp);
                let name = offer.direction.map(|[from, _]| from);
                self.add_leg(state, name, family)?
            }
        };
        let leg = state.leg_mut(id).ok_or(Refusal::Dialogue)?;
        leg.add_tag(offer.from_tag);
        if let Some(label) = offer.label {
            leg.label = Some(label.into());
        }
        Ok(id)
    }

    /// The leg that the offer is for.
    pub(super) fn receiver(
        &self,
        state: &mut CallState,
        offer: &Negotiation<'_>,
        sdp: &Sdp<'_>,
        offerer: LegId,
    ) -> Result<LegId, Refusal> {
        let known = receiver(state, offer, offerer);
        if known == Some(offerer) {
            return Err(Refusal::Dialogue);
        }
        let id = match known {
            Some(id) => id,
            None => {
                let name = offer.direction.map(|[_, to]| to);
                let family = match offer.address_family {
                    Some(family) => Some(family == AddressFamily::Ip6),
                    None => sdp_family(sdp),
                };
                self.add_leg(state, name, family)?
            }
        };
        let leg = state.leg_mut(id).ok_or(Refusal::Dialogue)?;
        leg.peer = Some(offerer);
        if let Some(tag) = offer.to_tag
            && leg.tags.is_empty()
        {
            leg.add_tag(tag);
        }
        if leg.via_branch.is_none() && leg.tags.is_empty() {
            leg.via_branch = offer.via_branch.map(Name::from);
        }
        let offerer = state.leg_mut(offerer).ok_or(Refusal::Dialogue)?;
        // A further fork must not cut off the one that has answered, before it answers itself.
        if !offerer.is_settled || offerer.peer.is_none() || offer.to_tag.is_some() {
            offerer.peer = Some(id);
        }
        Ok(id)
    }

    pub(super) fn add_leg(
        &self,
        state: &mut CallState,
        name: Option<&[u8]>,
        is_ip6: Option<bool>,
    ) -> Result<LegId, Refusal> {
        if state.legs.len() >= LEGS_MAX {
            return Err(Refusal::TooManyLegs);
        }
        let interface = self.interface(name, is_ip6).ok_or(Refusal::OutOfPorts)?;
        Ok(state.add_leg(interface, self.now.unix_ms))
    }

    /// The first interface of the name and family wanted; else the first of the name; else the
    /// first of the family; else the first.
    fn interface(&self, name: Option<&[u8]>, is_ip6: Option<bool>) -> Option<InterfaceId> {
        let name = name.map(|name| self.policy.interface_name(name));
        let is_ip6 = name.and_then(|name| self.family_by_name(name)).or(is_ip6);
        let has_name =
            |interface: &Interface| name.is_some_and(|name| interface.name.as_bytes() == name);
        let has_family = |interface: &Interface| {
            is_ip6.is_none_or(|is_ip6| interface.address.is_ipv6() == is_ip6)
        };
        let rank = |interface: &Interface| match (has_name(interface), has_family(interface)) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        let ranked = self.interfaces.iter().enumerate();
        let (index, _) = ranked.min_by_key(|(_, interface)| rank(interface))?;
        u8::try_from(index).ok().map(InterfaceId)
    }

    /// Names that stand for families where no interface has them, as rtpengine knows them from
    /// its own past.
    fn family_by_name(&self, name: &[u8]) -> Option<bool> {
        let mut interfaces = self.interfaces.iter();
        let is_known = interfaces.any(|it| it.name.as_bytes() == name);
        match name {
            b"external" if !is_known => Some(true),
            b"internal" if !is_known => Some(false),
            _ => None,
        }
    }
}

/// Finds the leg that an offer is for, if there is one.
fn receiver(state: &CallState, offer: &Negotiation<'_>, offerer: LegId) -> Option<LegId> {
    if let Some(leg) = offer.to_tag.and_then(|tag| state.leg_by_tag(tag)) {
        return Some(leg.id);
    }
    let peers = || state.legs_towards(offerer);
    if let Some(branch) = offer.via_branch {
        // A new branch is a new fork, unless the dialogue is there already.
        let mut branches = peers();
        let leg = branches.find(|leg| leg.via_branch.as_deref() == Some(branch));
        if leg.is_some() || offer.to_tag.is_none() {
            return leg.map(|leg| leg.id);
        }
    }
    let silent = peers().find(|leg| leg.tags.is_empty());
    if let (Some(leg), Some(_)) = (silent, offer.to_tag) {
        return Some(leg.id);
    }
    // Another party on another branch, though it has a tag already; and if parties may be known by
    // other things, one that is not is another one.
    let is_told_apart = offer.via_branch.is_some() || offer.alias_key.is_some();
    if is_told_apart && offer.to_tag.is_some() {
        return None;
    }
    state.leg(offerer)?.peer
}

/// Finds the leg that an answer is from, and notes its tag.
pub(super) fn answerer(
    state: &mut CallState,
    answer: &Negotiation<'_>,
    offerer: LegId,
) -> Option<LegId> {
    let tag = answer.to_tag?;
    let known = state.leg_by_tag(tag).map(|leg| leg.id);
    let by_branch = || {
        let branch = answer.via_branch?;
        let mut peers = state.legs_towards(offerer);
        peers.find(|leg| leg.via_branch.as_deref() == Some(branch))
    };
    let silent = || {
        let peers = state.legs_towards(offerer);
        peers.filter(|leg| leg.tags.is_empty()).last()
    };
    // From a tag never seen: the party that the SDP went to, under another name. It was given
    // one set of ports, whoever uses them.
    let alias = || state.leg(state.leg(offerer)?.peer?);
    let id = match known {
        Some(id) => id,
        None => by_branch().or_else(silent).or_else(alias)?.id,
    };
    if id == offerer {
        return None;
    }
    let leg = state.leg_mut(id)?;
    if !leg.has_tag(tag) && leg.tags.len() < ALIASES_MAX {
        // Who it is now need not have moved.
        for stream in &mut leg.streams {
            stream.chosen_for = None;
        }
        // The newest is the party's name; the others are still known.
        leg.tags.put_first(tag);
    }
    Some(id)
}

/// From now on these two talk to one another.
pub(super) fn associate(state: &mut CallState, offerer: LegId, answerer: LegId) {
    if let Some(leg) = state.leg_mut(offerer) {
        leg.peer = Some(answerer);
        leg.is_settled = true;
        leg.settle();
    }
    if let Some(leg) = state.leg_mut(answerer) {
        leg.peer = Some(offerer);
        leg.settle();
    }
}

/// Whether the addresses in an SDP are IPv6; `None` if it names none.
fn sdp_family(sdp: &Sdp<'_>) -> Option<bool> {
    let mut addresses = sdp.media().iter().filter_map(|media| sdp.address(media));
    addresses.next().map(|address| address.is_ipv6())
}
