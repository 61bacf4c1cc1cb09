//! Payloads to samples and back.
//!
//! What SDP must know of the codecs is in `codec-catalog`; here are the codecs themselves.

#![forbid(unsafe_code)]

pub mod comfort_noise;
#[doc(hidden)]
pub mod fuzz;
pub mod g711;
pub mod g722;
pub mod gsm;
pub mod ilbc;
pub mod l16;
pub mod resample;
pub mod telephone_event;
pub mod tone;

#[cfg(test)]
mod signal;
