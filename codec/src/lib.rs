//! Payloads to samples and back.
//!
//! What SDP must know of the codecs is in `codec-catalog`; here are the codecs themselves.

#![forbid(unsafe_code)]

pub mod g711;
pub mod gsm;
