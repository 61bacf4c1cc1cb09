//! Handshakes of DTLS 1.2 and 1.3 that give keys of SRTP (RFC 5763, RFC 5764).
//!
//! ```text
//!  begin(endpoint, role, fingerprint) ─┐
//!  datagrams of anybody ───────────────┴─► Handshakes ─► datagrams to send
//!                                                     └► keys, once the peer has shown to be
//!                                                        the one that was announced
//! ```
//!
//! [`Handshakes`] is the table of all endpoints of a relay that shake hands. The protocol itself is
//! dimpl's, and what it does wrong ends one association at most. Where we wait for the peer to begin,
//! anybody may: so many try at once at most, and begin in a second; each must show that it hears us before
//! anything costs more than a hash (RFC 6347 §4.2.1), and the first that has the announced certificate is
//! the peer. Who is where media goes has a place of its own, so that no stranger takes it; strangers have
//! shares by where they come from, so that none takes all. Where we begin, datagrams go where media goes
//! and are taken from there only.
//!
//! Time, and the bytes of datagrams, are arguments. Randomness is the system's.
//!
//! What there is not: DTLS 1.0, certificates and key exchange by RSA, profiles with tags of 32 bits.

#![forbid(unsafe_code)]

mod association;
mod endpoint;
#[doc(hidden)]
pub mod fuzz;
mod guard;
mod handshakes;
mod hello;
mod identity;
mod pace;
mod trial;

#[cfg(test)]
mod tests;

pub use association::Failure;
pub use guard::catches_panics;
pub use handshakes::{Event, Handshakes};
pub use identity::{Identity, IdentityError};

use relay_wire::Crypto;

/// Bytes of the longest datagram that is taken.
pub const DATAGRAM_BYTES_MAX: usize = 2_048;

/// Datagrams of one association that are kept until they can be understood.
const DATAGRAMS_MAX: usize = 24;

/// Who tries at once to be the peer of an endpoint.
pub const TRIALS_MAX: usize = 4;

/// Who tries at once to be the peer of any endpoint, where we wait for it.
pub const STRANGERS_MAX: usize = 2_048;

/// What a handshake gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keys {
    /// Those of the peer.
    pub receive: Crypto,
    /// Ours.
    pub send: Crypto,
}
