//! SRTP and SRTCP (RFC 3711): packets that nobody else reads, forges or repeats.
//!
//! ```text
//!  clear packet  ─► Sender::protect_rtp    ─► header | encrypted payload | MKI | tag
//!  packet, tag   ─► Receiver::unprotect_rtp ─► clear packet, if it is the peer's and new
//! ```
//!
//! A [`Sender`] and a [`Receiver`] hold what RFC 3711 §3.2 calls cryptographic contexts: one set of
//! keys, and for each source how far its numbers have come. Both work where the packet lies.
//! Randomness, time and key agreement are others' business; the keys come as a [`Crypto`].
//!
//! ```
//! use relay_srtp::{Receiver, Sender};
//! use relay_wire::{Crypto, CryptoSuite, Secret};
//!
//! let suite = CryptoSuite::AesCm128HmacSha1_80;
//! let crypto = Crypto::new(suite, Secret::new(vec![7; suite.key_and_salt_len()]));
//! let mut sender = Sender::new(&crypto).unwrap();
//! let mut receiver = Receiver::new(&crypto).unwrap();
//!
//! let clear = [0x80, 8, 0, 1, 0, 0, 0, 160, 0, 0, 0, 1, 0xd5, 0xd5];
//! let mut buffer = [0; 100];
//! buffer[..clear.len()].copy_from_slice(&clear);
//! let len = sender.protect_rtp(&mut buffer, clear.len()).unwrap();
//! assert_eq!(len, clear.len() + 10);
//! let clear_len = receiver.unprotect_rtp(&mut buffer[..len]).unwrap();
//! assert_eq!(buffer[..clear_len], clear);
//! // Nobody plays it twice.
//! assert!(receiver.unprotect_rtp(&mut buffer[..len]).is_err());
//! ```

#![forbid(unsafe_code)]

mod cipher;
mod derive;
#[doc(hidden)]
pub mod fuzz;
mod keys;
mod layout;
mod receiver;
mod sender;
mod sources;
mod transform;
mod window;

#[cfg(test)]
mod tests;

pub use receiver::{Receiver, UnprotectError};
pub use sender::{ProtectError, Sender};
pub use sources::SOURCES_MAX;

use relay_wire::CRYPTO_IDENTIFIER_BYTES_MAX;
#[expect(unused_imports, reason = "the documentation names it")]
use relay_wire::Crypto;

/// Bytes by which a packet grows at most: the longest tag, the number of SRTCP, the longest
/// identifier.
pub const GROWTH_MAX: usize = transform::TAG_LEN_MAX + 4 + CRYPTO_IDENTIFIER_BYTES_MAX;
