//! GSM 06.10 full rate (EN 300 961): 20 ms of speech in 33 octets, exact to the bit.
//!
//! ```text
//! samples ─► preprocess ─► prediction ─► lattice ─► long_term ─► pulses ─► frame     encoder
//! samples ◄────────────── lattice ◄──────────────── long_term ◄─ pulses ◄─ frame     decoder
//!                                                        lost frames ─► loss ─┘
//! ```
//!
//! A frame says how the voice colours sound (the log-area ratios of `ratios`), and for each 5 ms
//! how the sound of before is repeated and which pulses are added to it.
//!
//! ```
//! use codec::gsm::{Decoder, Encoder, SAMPLES_PER_FRAME, split};
//!
//! let payload = Encoder::new().encode(&[0; SAMPLES_PER_FRAME]);
//! for frame in split(&payload)? {
//!     let samples = Decoder::new().decode(frame);
//!     assert!(samples.iter().all(|sample| sample.abs() < 64));
//! }
//! # Ok::<(), codec::gsm::PayloadError>(())
//! ```

mod arithmetic;
mod batch;
mod decoder;
mod encoder;
mod frame;
mod homing;
mod lanes;
mod lattice;
mod long_term;
mod loss;
mod prediction;
mod preprocess;
mod pulses;
mod ratios;
mod simd;

pub use batch::{Decoding, Encoding, decode_batch, encode_batch};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use frame::{FRAME_LEN, FRAMES_PER_PACKET_MAX, PayloadError, SIGNATURE, split};

/// Samples of a frame: 20 ms at 8 kHz.
pub const SAMPLES_PER_FRAME: usize = 160;
