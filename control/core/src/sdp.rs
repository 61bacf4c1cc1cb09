//! Session descriptions (RFC 8866), read and edited in place.
//!
//! A description is never written anew: [`Sdp`] remembers where in the bytes everything is that a
//! relay must change, and [`rewrite()`] replaces just that. All else goes out byte for byte.

mod edit;
mod parse;
mod rewrite;

pub use parse::MEDIA_MAX;
pub(crate) use parse::SdpError;
pub(crate) use parse::{Direction, Media, Sdp, Transport};
pub(crate) use rewrite::{Rewrite, RtcpAttribute, Section, rewrite};

#[cfg(test)]
pub(crate) mod tests;
