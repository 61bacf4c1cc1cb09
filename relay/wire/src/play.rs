//! Sounds that are played to a peer.
//!
//! A sound comes in pieces and has a name. It is there until control says that it may be forgotten,
//! or another control takes over; what is being played then goes on.

use serde::{Deserialize, Serialize};

use crate::{Format, OpusSettings, Port, SampleRate};

/// A sound as control numbers it. Never used again while a connection lasts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct SoundKey(pub u64);

/// A part of a sound. The parts of one come one after another, without those of others between
/// them; what does not follow what was there is dropped, and so is a sound that is too long.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SoundPiece {
    /// Which sound.
    pub sound: SoundKey,
    /// Its samples a second.
    pub rate: SampleRate,
    /// Samples of the whole sound, at most [`SOUND_SAMPLES_MAX`](crate::SOUND_SAMPLES_MAX).
    pub len: u32,
    /// The place of the first sample of this piece.
    pub start: u32,
    /// Samples of 16 bits, the lower byte first; at most
    /// [`SOUND_PIECE_BYTES_MAX`](crate::SOUND_PIECE_BYTES_MAX).
    #[serde(with = "crate::bytes")]
    pub samples: Vec<u8>,
}

/// What is played, and how.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Play {
    /// Which sound. Its rate is that of the codec.
    pub sound: SoundKey,
    /// What the peer hears.
    pub to: Format,
    /// How Opus is encoded, if it is; `None` for what suits its rate.
    pub opus: Option<OpusSettings>,
    /// The sample that comes first, the first time; then it is played from its beginning.
    pub start: u32,
    /// How often it is played, once at least.
    pub times: u32,
    /// After so many milliseconds it does not begin once more; 0: however long it takes.
    pub duration_ms: u32,
    /// How many of what positions are told in there are in a second.
    pub unit_hz: u32,
    /// The peer is sent no other RTP while it lasts.
    pub is_alone: bool,
    /// Where reports on it leave from; `None`: there are none.
    pub rtcp: Option<Port>,
}

impl SampleRate {
    /// Samples a second of each channel.
    #[must_use]
    pub const fn hz(self) -> u32 {
        match self {
            Self::Narrow => 8_000,
            Self::Wide => 16_000,
            Self::Full | Self::Stereo => 48_000,
        }
    }
}

impl crate::Codec {
    /// Samples a second on the relay's side.
    #[must_use]
    pub const fn rate(self) -> SampleRate {
        match self {
            Self::G722 => SampleRate::Wide,
            Self::L16(rate) | Self::Opus(rate) => rate,
            Self::Pcmu | Self::Pcma | Self::Gsm | Self::Ilbc(_) => SampleRate::Narrow,
        }
    }
}
