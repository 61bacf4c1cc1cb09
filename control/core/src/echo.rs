//! What a proxy wants of media besides forwarding it (`media echo`).

use control_ng::MediaEcho;
use serde::{Deserialize, Serialize};

/// Where what a party sends goes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Reflection {
    /// To the other party.
    #[default]
    None,
    /// Back to who sent it. RTCP is not: it would tell a party of its own source as if it were
    /// another's.
    Echo,
    /// Nowhere.
    Blackhole,
}

impl Reflection {
    /// What is wanted of the sender's media and of the receiver's.
    pub(crate) fn both(wish: MediaEcho) -> [Self; 2] {
        match wish {
            MediaEcho::Backward => [Self::Echo, Self::Blackhole],
            MediaEcho::Blackhole => [Self::Blackhole, Self::Blackhole],
            MediaEcho::Both => [Self::Echo, Self::Echo],
            // To who gets the offer: it hears itself.
            _ => [Self::Blackhole, Self::Echo],
        }
    }
}
