//! Session descriptions (RFC 8866), read and written anew line by line.
//!
//! [`Sdp`] remembers where in the bytes each line is and what it is about. [`rewrite()`] puts the
//! lines in the order that proxies know from the peer, and writes those itself that say where media
//! goes. All others go out byte for byte.

mod dtls;
mod hidden;
mod ice;
mod keys;
mod manipulate;
mod order;
mod pairs;
mod parse;
mod rewrite;
mod says;

pub(crate) use dtls::{HandshakeLines, HandshakeSaid, Setup};
pub(crate) use hidden::completed;
pub(crate) use keys::{KeyLine, KeyStyle};
pub(crate) use manipulate::Manipulation;
pub(crate) use order::{inverse, is_usual, reordered};
pub(crate) use pairs::{Pair, joined, parted};
pub use parse::MEDIA_MAX;
pub(crate) use parse::SdpError;
pub(crate) use parse::{Direction, Media, Sdp, Transport};
pub(crate) use rewrite::{OriginChange, Rewrite, RtcpAttribute, Section, SectionKeys, rewrite};

#[cfg(test)]
pub(crate) use keys::tests as keys_tests;

#[cfg(test)]
pub(crate) mod tests;
