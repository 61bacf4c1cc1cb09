//! What becomes of single packets of a stream that is otherwise forwarded: keys that are told of,
//! or kept from the other party, and media that is not to be heard.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Events;

/// What becomes of single packets that the peer of one endpoint sends, before anything else is made
/// of them. RTCP always passes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Filter {
    /// Payload types of keys as events (RFC 4733), at most
    /// [`EVENT_TYPES_MAX`](crate::EVENT_TYPES_MAX).
    pub events: Vec<Events>,
    /// Payload types of redundant data (RFC 2198), in which such keys may lie, at most
    /// [`REDUNDANT_TYPES_MAX`](crate::REDUNDANT_TYPES_MAX).
    pub redundant: Vec<u8>,
    /// What becomes of keys.
    pub on_events: OnEvents,
    /// What becomes of all else.
    pub on_media: OnMedia,
    /// Each key is told as [`Event::Key`](crate::Event), whatever becomes of its packets.
    pub tells_keys: bool,
}

/// What becomes of keys.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum OnEvents {
    /// They pass.
    #[default]
    Pass,
    /// They go no further.
    Drop,
    /// Each becomes this one (RFC 4733 §3.2), with its own length.
    Replace(u8),
    /// Each becomes one of the digits; the seed decides which.
    Scramble {
        /// Any number that nobody knows.
        seed: u64,
    },
}

/// What becomes of media.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum OnMedia {
    /// It passes.
    #[default]
    Pass,
    /// It goes no further.
    Drop,
    /// Each payload of these types becomes silence; numbers and timestamps go on. What is of no
    /// such type goes no further. What is no RTP passes.
    Silence(Vec<Silence>),
}

/// A payload type whose silence is one octet again and again.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Silence {
    /// 0 to 127.
    pub payload_type: u8,
    /// What each octet of the payload becomes.
    pub octet: u8,
}

/// A key that was pressed, and is no longer.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Key {
    /// RFC 4733 §3.2: 0 to 9, `*`, `#`, A to D, flash.
    pub code: u8,
    /// RFC 4733 §2.3.4: dBm0 without the sign, 0 to 63.
    pub volume: u8,
    /// How long it was pressed, as far as it is known.
    pub duration_ms: u32,
    /// Where its packets came from.
    pub source: IpAddr,
}
