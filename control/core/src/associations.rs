//! Who hears whom, as replies to `query` tell it: by offer and answer, or because it was asked for.

use control_ng::ListWriter;
use relay_wire::CallKey;

use crate::call::{CallState, Leg};

/// Calls whose parties may hear one another; the one that is asked about comes first.
pub(crate) type Calls<'a> = [(CallKey, &'a CallState)];

/// One party beside another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Association<'a> {
    other: &'a Leg,
    /// By offer and answer, or as if it were so.
    is_agreed: bool,
}

/// Those whom a party hears.
pub(crate) fn subscriptions<'a>(calls: &Calls<'a>, leg: &'a Leg) -> Vec<Association<'a>> {
    let Some(&(own, state)) = calls.first() else {
        return Vec::new();
    };
    let peer = leg.peer.and_then(|peer| state.leg(peer));
    let peer = peer.filter(|peer| !peer.is_diverted()).map(agreed);
    let others = calls.iter().flat_map(|(_, state)| &state.legs);
    let linked = others.filter(|other| other.is_linked_to(own, leg.id));
    let linked = linked.map(|other| Association {
        other,
        is_agreed: is_transfer(calls, leg, other),
    });
    peer.into_iter().chain(linked).collect()
}

/// Those who hear a party.
pub(crate) fn subscribers<'a>(calls: &Calls<'a>, leg: &'a Leg) -> Vec<Association<'a>> {
    let Some((_, state)) = calls.first() else {
        return Vec::new();
    };
    let peers = state.legs_towards(leg.id);
    let peers = peers.filter(|_| !leg.is_diverted()).map(agreed);
    let linked = leg.hearers().filter_map(|(call, id)| {
        let (_, state) = calls.iter().find(|(key, _)| *key == call)?;
        let other = state.leg(id)?;
        Some(Association {
            other,
            is_agreed: is_transfer(calls, leg, other),
        })
    });
    peers.chain(linked).collect()
}

/// Writes parties as the peer does.
pub(crate) fn write(associations: &[Association<'_>], out: &mut ListWriter<'_>) {
    for it in associations {
        let tag = it.other.tags.first().unwrap_or_default();
        out.dictionary(|out| {
            out.put("tag", tag);
            out.put(
                "type",
                if it.is_agreed {
                    "offer/answer"
                } else {
                    "pub/sub"
                },
            );
        });
    }
}

fn agreed(other: &Leg) -> Association<'_> {
    Association {
        other,
        is_agreed: true,
    }
}

/// Whether two parties hear one another instead of those they came to.
fn is_transfer(calls: &Calls<'_>, leg: &Leg, other: &Leg) -> bool {
    let place = |leg: &Leg| {
        let is_it = |state: &CallState| state.legs.iter().any(|it| std::ptr::eq(it, leg));
        calls
            .iter()
            .find(|(_, state)| is_it(state))
            .map(|(key, _)| *key)
    };
    let links = |from: &Leg, to: &Leg| {
        let is_linked = place(to).is_some_and(|key| from.is_linked_to(key, to.id));
        is_linked && from.is_diverted()
    };
    links(leg, other) && links(other, leg)
}
