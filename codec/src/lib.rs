//! Payloads to samples and back.
//!
//! What SDP must know of the codecs is in `codec-catalog`; here are the codecs themselves.
//!
//! [`Decoder`] and [`Encoder`] are any of them; the modules have each by itself, and what goes with
//! speech: noise for pauses, keys, other sample rates. None allocates once it is set up, and none
//! reads a clock.
//!
//! ```
//! use codec::{Codec, Decoder, Encoder, SAMPLES_MAX};
//!
//! let mut decoder = Decoder::new(Codec::Pcma)?;
//! let mut encoder = Encoder::new(Codec::Gsm)?;
//! let mut samples = [0; SAMPLES_MAX];
//! let len = decoder.decode(&[0xd5; 160], &mut samples)?;
//! let mut payload = [0; 200];
//! assert_eq!(encoder.encode(&samples[..len], &mut payload)?, 33);
//! # Ok::<(), codec::Error>(())
//! ```

#![deny(unsafe_code)]

mod channels;
pub mod comfort_noise;
mod decoder;
mod encoder;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod g711;
pub mod g722;
pub mod gsm;
pub mod ilbc;
mod kind;
pub mod l16;
pub mod opus;
pub mod plc;
mod rate;
pub mod resample;
#[cfg(test)]
mod signal;
pub mod telephone_event;
pub mod tone;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::Error;
pub use kind::{Codec, PAYLOAD_LEN_MAX, SAMPLES_MAX};
pub use rate::Rate;
