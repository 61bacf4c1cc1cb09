//! Which codecs each party is told of, and what the relay does when they share none.
//!
//! ```text
//!  offer ── strip, mask, order ── + what the relay has ──► to the answerer
//!                                                               │
//!  to the offerer ◄── only what will work ◄── routes? ◄─── answer
//! ```
//!
//! If the answer begins with a codec that the offerer has, packets pass as they are. If not, the
//! relay gets a route for each payload type that either party may send.
//!
//! So it is where the relay chooses by itself. What a proxy directs is carried out by [`directed`].

mod answer;
mod capability;
mod creation;
mod directed;
mod exchange;
mod format;
mod listing;
mod offer;
mod opus;
mod payloads;
mod preference;
mod routes;
mod wishes;

use std::sync::Arc;

use answer::{Routes, onward as answer};
pub(crate) use creation::{formats_again, formats_of};
pub(crate) use exchange::{Exchange, Passage};
pub(crate) use format::Format;
use offer::onward as offer;
pub use opus::OpusPolicy;
pub(crate) use payloads::{Payload, routes_between};
pub use preference::Preference;
pub(crate) use wishes::Wishes;

/// When media is transcoded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Transcode {
    /// When a proxy asks for it.
    Directives,
    /// Never.
    Never,
    /// When a proxy asks for it, and when the parties share no codec.
    #[default]
    WhenNeeded,
}

/// What the settings say of codecs.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodecPolicy {
    /// Which codec is made of which, where the proxy directs.
    pub(crate) preferences: Arc<[Preference]>,
    pub(crate) opus: OpusPolicy,
}

/// What the payload types of each section are said to be.
pub(crate) fn formats_of_sections(sdp: &[u8]) -> Vec<Vec<Format>> {
    let sections = listing::sections(sdp).into_iter();
    sections
        .map(|section| section.map_or_else(Vec::new, |it| it.formats))
        .collect()
}

/// The body of a fuzz target: an offer, `--`, and its answer.
pub(crate) fn fuzz(data: &[u8]) {
    let at = data.windows(2).position(|it| it == b"--");
    let (sdp, rest) = data.split_at(at.unwrap_or(data.len()));
    directed::fuzz(sdp, rest);
    let wishes = Wishes::default();
    let mut offers = Vec::new();
    let mut listings = Vec::new();
    let sections = listing::sections(sdp);
    for section in &sections {
        let onward = section.as_ref().map(|it| offer(true, &wishes, it, None));
        let (listing, offered) = onward.unwrap_or_default();
        listings.push(listing);
        offers.push(offered);
    }
    let once = listing::relist(sdp, &listings);
    let again = listing::sections(&once);
    assert_eq!(again.len(), sections.len(), "no section comes or goes");
    for (section, listing) in again.iter().zip(&listings) {
        if let (Some(section), Some(listing)) = (section, listing) {
            let numbers = section.formats.iter().map(|it| it.payload_type);
            let listed = listing.formats.iter().map(listing::Listed::payload_type);
            assert!(numbers.eq(listed), "what is listed can be read");
        }
    }
    for (section, offered) in listing::sections(rest).iter().zip(&offers) {
        if let Some(section) = section {
            let (_, routes) = answer(&wishes, section, offered.as_ref(), false);
            let (one, other) = (&routes.from_offerer, &routes.from_answerer);
            assert_eq!(one.is_empty(), other.is_empty(), "both ways or none");
            assert!(one.len().max(other.len()) <= relay_wire::ROUTES_MAX);
        }
    }
}

#[cfg(test)]
mod tests;
