//! Opus (RFC 6716, RFC 7587), by libopus.
//!
//! Its RTP clock is 48 kHz whatever is encoded, but encoder and decoder take and give samples at
//! 8 or 16 kHz too, which is a fraction of the work: 8 kHz beside a narrowband peer. There stereo
//! that comes in is mixed down. 48 kHz, in one channel or in two, are for what is Opus on the other
//! side, too.
//!
//! The state of an encoder or decoder is allocated when it is made, and nothing after that. Of
//! `audiopus` only these types are used, and nothing of it is handed on: its way to send any
//! request to libopus is said to be safe but is not.

mod decoder;
mod encoder;

use audiopus::{Channels, Error as LibraryError, SampleRate};

use crate::Rate;

pub use decoder::Decoder;
pub use encoder::{Encoder, Purpose, Settings};

/// Ticks a second of the RTP clock (RFC 7587 §4.1).
pub const RTP_CLOCK_HZ: u32 = 48_000;

/// The longest packet, in milliseconds (RFC 6716 §3.2.5).
pub const PACKET_MS_MAX: usize = 120;

/// Octets of the longest frame that is written: nothing that speech needs comes near
/// (RFC 6716 §3.2.1).
pub const PAYLOAD_LEN_MAX: usize = 1_275;

/// Why Opus could not be encoded or decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not an Opus packet.
    #[error("this is no Opus packet")]
    Packet,
    /// Samples or octets do not fit into the buffer, or are not 2.5, 5, 10, 20, 40 or 60 ms.
    #[error("the buffer has not the length that Opus needs")]
    Length,
    /// libopus would not do it.
    #[error("libopus failed: {0}")]
    Library(#[source] LibraryError),
}

impl From<LibraryError> for Error {
    fn from(error: LibraryError) -> Self {
        use audiopus::ErrorCode::{BadArgument, BufferTooSmall, InvalidPacket};
        match error {
            LibraryError::Opus(InvalidPacket) | LibraryError::EmptyPacket => Self::Packet,
            LibraryError::Opus(BadArgument | BufferTooSmall) => Self::Length,
            other => Self::Library(other),
        }
    }
}

/// How many samples a packet stands for. `None` if it is none.
#[must_use]
pub fn duration(payload: &[u8], rate: Rate) -> Option<usize> {
    let len = audiopus::packet::nb_samples(payload, sample_rate(rate)).ok()?;
    // What is none may also be told by a number that is out of all bounds.
    let len = len.checked_mul(rate.channels().into())?;
    Some(len).filter(|len| (1..=rate.samples(PACKET_MS_MAX)).contains(len))
}

fn channels(rate: Rate) -> Channels {
    match rate.channels() {
        1 => Channels::Mono,
        _ => Channels::Stereo,
    }
}

fn sample_rate(rate: Rate) -> SampleRate {
    match rate {
        Rate::Narrow => SampleRate::Hz8000,
        Rate::Wide => SampleRate::Hz16000,
        Rate::Full | Rate::Stereo => SampleRate::Hz48000,
    }
}

#[cfg(test)]
mod tests;
