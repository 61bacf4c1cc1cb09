//! The two frame lengths, and how frames share a packet (RFC 3952).

use super::{ORDER, SUBBLOCK};

/// Length of a frame. A stream keeps to one; which one, is negotiated.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Mode {
    /// 20 ms in 38 octets: 15.2 kbit/s.
    Ms20,
    /// 30 ms in 50 octets: 13.33 kbit/s.
    #[default]
    Ms30,
}

/// Frames of a packet that are taken, at most: as many as an Ethernet frame holds.
pub const FRAMES_PER_PACKET_MAX: usize = 38;

/// Why a payload is not one of iLBC.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// No frame, or part of one.
    #[error("{0} octets are not frames of 38 or of 50 octets")]
    Length(usize),
    /// More frames than [`FRAMES_PER_PACKET_MAX`].
    #[error("{0} frames are more than a packet has")]
    TooMany(usize),
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ms20, Self::Ms30];

    /// The mode that `mode=` of an `fmtp` attribute names: 30 ms if it is absent (RFC 3952 §5).
    ///
    /// Values that are neither 20 nor 30 are as good as absent.
    #[must_use]
    pub const fn from_fmtp(mode: Option<u32>) -> Self {
        match mode {
            Some(20) => Self::Ms20,
            _ => Self::Ms30,
        }
    }

    /// The mode of both directions: «the lower of the bandwidth modes in the offer and answer»
    /// (RFC 3952 §5), which is the longer frame.
    #[must_use]
    pub const fn negotiate(offer: Self, answer: Self) -> Self {
        match (offer, answer) {
            (Self::Ms20, Self::Ms20) => Self::Ms20,
            _ => Self::Ms30,
        }
    }

    /// The mode of a payload: the one negotiated, or the other one if only that fits the length,
    /// since some senders do not heed what was negotiated.
    #[must_use]
    pub const fn of_payload(len: usize, negotiated: Self) -> Option<Self> {
        let other = match negotiated {
            Self::Ms20 => Self::Ms30,
            Self::Ms30 => Self::Ms20,
        };
        if len == 0 {
            None
        } else if len.is_multiple_of(negotiated.frame_len()) {
            Some(negotiated)
        } else if len.is_multiple_of(other.frame_len()) {
            Some(other)
        } else {
            None
        }
    }

    /// The frames of a payload, and their mode.
    ///
    /// # Errors
    /// If the length is not that of frames of one mode, or the frames are too many.
    pub fn split(
        self,
        payload: &[u8],
    ) -> Result<(Self, impl Iterator<Item = &[u8]>), PayloadError> {
        let mode =
            Self::of_payload(payload.len(), self).ok_or(PayloadError::Length(payload.len()))?;
        let count = payload.len() / mode.frame_len();
        if count > FRAMES_PER_PACKET_MAX {
            return Err(PayloadError::TooMany(count));
        }
        Ok((mode, payload.chunks_exact(mode.frame_len())))
    }

    /// Milliseconds of a frame.
    #[must_use]
    pub const fn milliseconds(self) -> u32 {
        match self {
            Self::Ms20 => 20,
            Self::Ms30 => 30,
        }
    }

    /// Samples of a frame, at 8 kHz.
    #[must_use]
    pub const fn samples(self) -> usize {
        self.subblocks() * SUBBLOCK
    }

    /// Octets of a frame.
    #[must_use]
    pub const fn frame_len(self) -> usize {
        match self {
            Self::Ms20 => 38,
            Self::Ms30 => 50,
        }
    }

    /// Sub-blocks of a frame.
    pub(super) const fn subblocks(self) -> usize {
        match self {
            Self::Ms20 => 4,
            Self::Ms30 => 6,
        }
    }

    /// Sets of line spectral frequencies in a frame.
    pub(super) const fn spectra(self) -> usize {
        match self {
            Self::Ms20 => 1,
            Self::Ms30 => 2,
        }
    }

    /// Samples of the start state that are quantised one by one (§3.5.1).
    pub(super) const fn state_len(self) -> usize {
        match self {
            Self::Ms20 => 57,
            Self::Ms30 => 58,
        }
    }

    /// Sub-blocks that the enhancer is late (§4.6).
    pub(super) const fn enhancer_delay(self) -> usize {
        match self {
            Self::Ms20 => 1,
            Self::Ms30 => 2,
        }
    }
}

const _: () = assert!(Mode::Ms30.samples() > ORDER);
