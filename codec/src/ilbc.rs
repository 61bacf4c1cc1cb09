//! iLBC (RFC 3951, RFC 3952): 20 or 30 ms of speech in 38 or 50 octets, in floating point.

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
