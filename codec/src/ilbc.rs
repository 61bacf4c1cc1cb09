//! iLBC (RFC 3951, RFC 3952): 20 or 30 ms of speech in 38 or 50 octets, in floating point.
//!
//! ```text
//! samples ─► analysis ─► spectrum ─► filter ─► state, search ─► bitstream            encoder
//! samples ◄─ filter ◄─ enhancer ◄─ excitation: state, codebook ◄─ bitstream          decoder
//!                          lost frames ─► concealment ─┘
//! ```
//!
//! A frame says how the voice colours sound (line spectral frequencies), samples of the loudest
//! 7 ms of the excitation one by one, and how the rest is made of these, forwards and backwards.
//! So a frame needs none of the frames before it, and a loss does not outlive the next frame.
//!
//! ```
//! use codec::ilbc::{Decoder, Encoder, Mode};
//!
//! let mode = Mode::Ms20;
//! let mut payload = [0; 2 * Mode::Ms20.frame_len()];
//! let mut encoder = Encoder::new(mode);
//! for frame in payload.chunks_exact_mut(mode.frame_len()) {
//!     assert_eq!(encoder.encode(&[0; 160], frame), 38);
//! }
//! let mut decoder = Decoder::new(mode);
//! let mut samples = [0; 160];
//! let (sent, frames) = mode.split(&payload)?;
//! assert_eq!(sent, mode, "the length fits what was negotiated");
//! for frame in frames {
//!     assert_eq!(decoder.decode(frame, &mut samples), 160);
//! }
//! assert_eq!(decoder.conceal(&mut samples), 160);
//! # Ok::<(), codec::ilbc::PayloadError>(())
//! ```
//!
//! The tables and the measures of appendix A are those of the format; bits and samples differ from
//! those of other implementations by rounding, as theirs do from each other.

mod analysis;
mod bitstream;
mod codebook;
mod concealment;
mod decoder;
mod encoder;
mod enhancer;
mod excitation;
mod filter;
mod lsf_codebooks;
mod mode;
mod search;
mod spectrum;
mod state;
mod tables;
#[cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "functions for what the processor has, after asking it"
    )
)]
mod vector;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use mode::{FRAMES_PER_PACKET_MAX, Mode, PayloadError};

/// Order of the linear prediction.
const ORDER: usize = 10;

/// Samples of a sub-block: 5 ms.
const SUBBLOCK: usize = 40;

/// Samples of a frame, at most.
const SAMPLES_MAX: usize = Mode::Ms30.samples();
