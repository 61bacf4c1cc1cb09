//! What SDP must know of a codec, and the payload types that are fixed (RFC 3551 §6).
//!
//! No samples here: control needs this, and must not link any codec.

#![forbid(unsafe_code)]

mod descriptor;

pub use descriptor::{DESCRIPTORS, Descriptor, Media};
