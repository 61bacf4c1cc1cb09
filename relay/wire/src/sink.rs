//! Who else gets what arrives at an endpoint.

use serde::{Deserialize, Serialize};

use crate::{CallKey, Port};

/// Gets a copy of what arrives at an endpoint, whether or not that is connected. Where it leaves
/// from may be another call's, and another worker's; packets that come while that is not open go
/// nowhere.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Sink {
    /// Whose ports these are.
    pub call: CallKey,
    /// Where RTP (and anything that is not RTCP) leaves.
    pub rtp: Option<Port>,
    /// Where RTCP leaves.
    pub rtcp: Option<Port>,
    /// RTP is what [`Transcoding`](crate::Transcoding) makes of it. RTCP is not copied then: it
    /// speaks of another stream.
    pub is_remade: bool,
    /// It leaves sealed ([`SetCrypto`](crate::Command::SetCrypto)), or not at all: where it leaves
    /// has keys, or had, or is to have them. They come with another command, of another call mostly,
    /// so that neither waits for the other.
    pub is_sealed: bool,
}
