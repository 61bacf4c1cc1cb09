//! Speech to send, and what to make of the recording at the far end.

mod alignment;
mod g711;
mod likeness;
mod speech;
mod wav;

pub use alignment::{Comparison, align, compare, level_db};
pub use g711::{ulaw_decode, ulaw_encode, ulaw_round_trip};
pub use likeness::{Likeness, likeness};
pub use speech::speech;
pub use wav::{Wav, read_wav, write_wav};

/// Samples per second of everything here.
pub const SAMPLE_RATE_HZ: u32 = 8_000;
