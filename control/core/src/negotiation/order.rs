//! Parties that have their media in another order.
//!
//! Within a call media are known by their places. Two parties that were connected without an offer
//! may have them in another order, and then offer: from then on those of who offers stand where the
//! other party has them, and what either is told is in its own order.
//!
//! A party may also have put one medium into two sections, with keys and without: within a call it
//! is one.

use std::borrow::Cow;

use control_ng::{Negotiation, Osrtp};

use crate::call::{CallState, LegId};
use crate::lean::Rare;
use crate::sdp::{self, Sdp, inverse, is_usual, parted, reordered};

/// An offer in the order that its receiver has, if it has the same media in another one. `None`: as
/// it is.
pub(super) fn aligned(
    state: &mut CallState,
    (sender, receiver): (LegId, LegId),
    sdp: &[u8],
) -> Option<Vec<u8>> {
    let text = told_by(state, sender, sdp);
    let Some(order) = order_of(state, (sender, receiver), &text) else {
        return match text {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text),
        };
    };
    if let Some(leg) = state.leg_mut(sender) {
        let mut streams: Vec<_> = leg.streams.drain(..).map(Some).collect();
        let moved = order.iter().filter_map(|place| {
            let stream = streams.get_mut(usize::from(*place));
            stream.and_then(Option::take)
        });
        leg.streams = moved.collect();
        let before = |place: &u8| *leg.order.get(usize::from(*place)).unwrap_or(place);
        let places: Vec<_> = order.iter().map(before).collect();
        leg.order = Some(places)
            .filter(|it| !is_usual(it))
            .unwrap_or_default()
            .into();
    }
    Some(reordered(&text, &order).into_owned())
}

/// What a party says, with one section for each medium. If it has not put one into two before, the
/// request must say so (`OSRTP: accept`).
pub(super) fn joined<'a>(
    state: &mut CallState,
    sender: LegId,
    negotiation: &Negotiation<'a>,
) -> Cow<'a, [u8]> {
    let text = negotiation.sdp;
    let osrtp = negotiation.osrtp;
    let accepts = osrtp.has(Osrtp::Accept) || osrtp.has(Osrtp::AcceptLegacy);
    let Some(leg) = state.leg_mut(sender) else {
        return Cow::Borrowed(text);
    };
    if !accepts && leg.pairs.is_empty() {
        return Cow::Borrowed(text);
    }
    let Some((text, pairs)) = sdp::joined(text) else {
        leg.pairs = Rare::default();
        return Cow::Borrowed(text);
    };
    leg.pairs = pairs.into();
    Cow::Owned(text)
}

/// What a party says, in the order of the call.
pub(super) fn told_by<'a>(state: &CallState, sender: LegId, sdp: &'a [u8]) -> Cow<'a, [u8]> {
    let leg = state.leg(sender);
    reordered(sdp, leg.map_or(&[], |leg| &leg.order[..]))
}

/// What a party is told, in its own order and with its own sections.
pub(super) fn told_to(state: &CallState, receiver: LegId, sdp: Vec<u8>) -> Vec<u8> {
    let Some(leg) = state.leg(receiver) else {
        return sdp;
    };
    let sdp = match inverse(&leg.order) {
        Some(order) if !order.is_empty() => reordered(&sdp, &order).into_owned(),
        _ => sdp,
    };
    match parted(&sdp, &leg.pairs) {
        Cow::Borrowed(_) => sdp,
        Cow::Owned(parted) => parted,
    }
}

/// The order in which the sections of an offer have the kinds that the receiver's media have. `None`
/// if they have already, or cannot have, or if the sender itself has changed them.
fn order_of(state: &CallState, (sender, receiver): (LegId, LegId), text: &[u8]) -> Option<Vec<u8>> {
    let kinds = |leg: LegId| {
        let streams = state.leg(leg).into_iter().flat_map(|leg| &leg.streams);
        streams.map(|it| &it.kind[..])
    };
    if kinds(sender).count() != kinds(receiver).count() || kinds(sender).eq(kinds(receiver)) {
        return None;
    }
    let sdp = Sdp::parse(text).ok()?;
    let offered: Vec<_> = sdp.media().iter().map(|it| sdp.text(&it.kind)).collect();
    if !kinds(sender).eq(offered.iter().copied()) {
        return None;
    }
    let wanted: Vec<_> = kinds(receiver).collect();
    let mut taken = vec![false; offered.len()];
    let order = wanted.iter().map(|kind| {
        let is_it = |n: &usize| !taken[*n] && offered[*n] == *kind;
        let place = (0..offered.len()).find(is_it)?;
        taken[place] = true;
        u8::try_from(place).ok()
    });
    order.collect()
}
