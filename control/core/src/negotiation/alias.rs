//! Parties that come back under a tag never seen (`alias-key`): known by the description they sent
//! last, or by where it says that they are.

use control_ng::{AliasKey, Negotiation};

use super::hash;
use crate::call::{ALIASES_MAX, CallState, LegId};
use crate::sdp::Sdp;

/// By what the sender may be known if it comes back. `None`: by its tag only.
pub(super) fn key(negotiation: &Negotiation<'_>, sdp: &Sdp<'_>) -> Option<u64> {
    match negotiation.alias_key? {
        AliasKey::Address => {
            let media = sdp.media().first().filter(|media| media.port != 0)?;
            Some(hash(sdp.signalled(media)?.to_string().as_bytes()))
        }
        AliasKey::Sdp => Some(hash(negotiation.sdp)),
        _ => None,
    }
}

/// Remembers by what a party may be known.
pub(super) fn note(state: &mut CallState, leg: LegId, key: Option<u64>) {
    if let (Some(leg), Some(_)) = (state.leg_mut(leg), key) {
        leg.alias = key;
    }
}

/// The party that is back under another tag, which is its name from now on.
pub(super) fn back(state: &mut CallState, key: Option<u64>, tag: &[u8]) -> Option<LegId> {
    let key = key?;
    let mut legs = state.legs.iter_mut();
    let leg = legs.find(|leg| leg.alias == Some(key) && leg.tags.len() < ALIASES_MAX)?;
    leg.tags.put_first(tag);
    Some(leg.id)
}
