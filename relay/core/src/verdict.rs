//! What goes in with a datagram, and what is decided about it.

use std::net::SocketAddr;

use relay_rtp::Kind;

use crate::crypto::Sealing;
use crate::dtls::Shaken;

/// One socket of a worker: the slot of its endpoint in the flow table, and of its file in the
/// ring.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SocketId(u32);

impl SocketId {
    /// Any number; one that the core has not given out names no endpoint.
    #[must_use]
    pub const fn new(slot: u32) -> Self {
        Self(slot)
    }

    /// The slot's number.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.0
    }

    /// The same, as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        // Widening on every platform that this runs on; `usize::try_from` is not const.
        self.0 as usize
    }
}

/// Where a datagram came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ingress {
    /// The socket that it arrived at.
    pub socket: SocketId,
    /// Who sent it.
    pub source: SocketAddr,
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Egress {
    /// The socket that it leaves through.
    pub socket: SocketId,
    /// Who gets it.
    pub destination: SocketAddr,
}

/// What the driver does with a datagram that it has just handed in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Verdict {
    /// Give the buffer back. It is counted already.
    Drop(DropReason),
    /// Send the buffer as it is now.
    Forward(Egress),
    /// Give the buffer back: nothing leaves but copies of it.
    Copied,
    /// Send the beginning of the buffer.
    ForwardPart {
        /// Where to.
        egress: Egress,
        /// How many bytes.
        len: u16,
    },
    /// Have it sealed by [`Relay::seal`](crate::Relay::seal), which says where it leaves.
    Seal(Sealing),
    /// It is for whoever shakes hands, and comes back as
    /// [`Relay::handle_shaken`](crate::Relay::handle_shaken), if it does.
    Shake(Shaken),
    /// It is for whoever changes the media of this flow. What is made of it is handed to
    /// [`Relay::handle_made`](crate::Relay::handle_made).
    Take(Taken),
}

/// A packet that is to be changed, or speaks of such.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Taken {
    /// The socket that the RTP arrives at which it is or speaks of: the name of the flow.
    pub flow: SocketId,
    /// RTP, or RTCP that speaks of it.
    pub kind: Kind,
    /// Where RTP leaves from, if it does not leave as copies alone.
    pub leaves: Option<SocketId>,
    /// Bytes of it, at the beginning of its buffer.
    pub len: u16,
}

/// Why a packet went no further. Each reason is one counter; none is a log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DropReason {
    /// It would have to leave over IPv4 to an IPv6 address, or the other way round.
    AddressFamily,
    /// It is RTCP that ends here, since the relay reports itself. That is no loss, and its endpoint
    /// does not count it as one.
    Answered,
    /// Control wants it kept from the other party.
    Filtered,
    /// It arrived at a port whose call is over and whose socket is kept for the next.
    IdlePort,
    /// It has come again and again, and so goes in a circle; or it would go to several, and more
    /// came than any stream brings.
    Loop,
    /// Control connected its endpoint to none: the call is on hold, or not answered yet.
    NotConnected,
    /// The peer's address is not known yet.
    NoRemote,
    /// It was sealed, and came before or is too late to say; or it would have to be sealed once more
    /// with a number that was used.
    Replayed,
    /// It came from another address than the peer's.
    SourceMismatch,
    /// It would have to be sealed with a key that as many sources have been sealed with as may come
    /// from one place.
    TooManySources,
    /// It is not what the peer has sealed: forged, changed, or of other keys.
    Unauthentic,
    /// It came from where ICE has not found the peer; or it is of a handshake, and more came than one
    /// takes.
    Unchecked,
    /// Nothing is open where it arrived, or not any more.
    UnknownFlow,
    /// It came from an address that signalling does not name, and that has not shown yet that
    /// it is the peer's.
    Unproven,
    /// It could not be sealed: it is no media, or too long, or keys are used up.
    Unsealed,
}

impl DropReason {
    /// Every reason, in the order of the counters that [`Self::name`] labels.
    pub const ALL: [Self; 15] = [
        Self::AddressFamily,
        Self::Answered,
        Self::Filtered,
        Self::IdlePort,
        Self::Loop,
        Self::NotConnected,
        Self::NoRemote,
        Self::Replayed,
        Self::SourceMismatch,
        Self::TooManySources,
        Self::Unauthentic,
        Self::Unchecked,
        Self::UnknownFlow,
        Self::Unproven,
        Self::Unsealed,
    ];

    /// The metrics label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AddressFamily => "dropped_address_family",
            Self::Answered => "dropped_answered",
            Self::Filtered => "dropped_filtered",
            Self::IdlePort => "dropped_idle_port",
            Self::Loop => "dropped_loop",
            Self::NotConnected => "dropped_not_connected",
            Self::NoRemote => "dropped_no_remote",
            Self::Replayed => "dropped_replayed",
            Self::SourceMismatch => "dropped_source_mismatch",
            Self::TooManySources => "dropped_too_many_sources",
            Self::Unauthentic => "dropped_unauthentic",
            Self::Unchecked => "dropped_unchecked",
            Self::UnknownFlow => "dropped_unknown_flow",
            Self::Unproven => "dropped_unproven",
            Self::Unsealed => "dropped_unsealed",
        }
    }

    /// Its place in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }

    #[test]
    fn what_passes_per_packet_is_small_and_may_move_between_threads() {
        fn is_send<T: Send>() {}
        is_send::<crate::Relay>();
        assert!(size_of::<Ingress>() <= 40);
        assert!(size_of::<Verdict>() <= 40);
    }
}
