//! The codecs there are, and what is fixed about each.

use codec_catalog::Descriptor;

use crate::{Error, Rate, gsm, ilbc, opus};

/// Samples of the longest packet that is decoded: 120 ms of Opus, in two channels. A longer one is
/// refused, so that a buffer of this length is enough for any.
pub const SAMPLES_MAX: usize = Rate::Stereo.samples(opus::PACKET_MS_MAX);

/// Octets that the encoded samples of a packet never exceed.
pub const PAYLOAD_LEN_MAX: usize = 2 * SAMPLES_MAX;

/// Frame lengths that Opus is written in, in milliseconds.
const OPUS_FRAMES_MS: [usize; 4] = [60, 40, 20, 10];

/// A codec, with what must be known to set it up.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Codec {
    /// G.711, µ-law.
    Pcmu,
    /// G.711, A-law.
    Pcma,
    /// GSM 06.10 full rate.
    Gsm,
    /// iLBC, in the mode that was negotiated.
    Ilbc(ilbc::Mode),
    /// G.722 with 64 kbit/s.
    G722,
    /// Samples as they are, of 8 or 16 kHz.
    L16(Rate),
    /// Opus, with samples of this rate on our side. The packets are the same for all.
    Opus(Rate),
}

impl Codec {
    /// Those of 48 kHz, each of which becomes nothing but itself.
    pub const FULL: [Self; 2] = [Self::Opus(Rate::Full), Self::Opus(Rate::Stereo)];

    /// Every other one, in an order for people. Each becomes each.
    pub const ALL: [Self; 10] = [
        Self::Pcmu,
        Self::Pcma,
        Self::Gsm,
        Self::Ilbc(ilbc::Mode::Ms20),
        Self::Ilbc(ilbc::Mode::Ms30),
        Self::G722,
        Self::Opus(Rate::Narrow),
        Self::Opus(Rate::Wide),
        Self::L16(Rate::Narrow),
        Self::L16(Rate::Wide),
    ];

    /// The encoding name of `a=rtpmap`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::Gsm => "GSM",
            Self::Ilbc(_) => "iLBC",
            Self::G722 => "G722",
            Self::L16(_) => "L16",
            Self::Opus(_) => "opus",
        }
    }

    /// Samples a second on our side.
    #[must_use]
    pub const fn rate(self) -> Rate {
        match self {
            Self::Pcmu | Self::Pcma | Self::Gsm | Self::Ilbc(_) => Rate::Narrow,
            Self::G722 => Rate::Wide,
            Self::L16(rate) | Self::Opus(rate) => rate,
        }
    }

    /// What RTP timestamps count in. Not always [`Self::rate`].
    #[must_use]
    pub const fn rtp_clock_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::Gsm | Self::Ilbc(_) | Self::G722 => 8_000,
            Self::L16(rate) => rate.hz() as u32,
            Self::Opus(_) => opus::RTP_CLOCK_HZ,
        }
    }

    /// What SDP knows of it.
    #[must_use]
    pub fn descriptor(self) -> &'static Descriptor {
        let channels = match self {
            // RFC 7587 §7: always two in SDP, whatever is sent.
            Self::Opus(_) => 2,
            _ => 1,
        };
        let found = Descriptor::of_rtpmap(self.name(), self.rtp_clock_hz(), channels);
        found.expect("the catalog lists every codec, as a test holds")
    }

    /// RTP timestamps that so many samples take.
    #[must_use]
    pub const fn ticks(self, samples: usize) -> u32 {
        let ticks = samples as u64 * self.rtp_clock_hz() as u64 / self.rate().per_second() as u64;
        #[expect(clippy::cast_possible_truncation, reason = "timestamps wrap around")]
        let ticks = ticks as u32;
        ticks
    }

    /// The fewest samples that can be encoded: packets hold a multiple of it.
    #[must_use]
    pub const fn frame_samples(self) -> usize {
        match self {
            Self::Pcmu | Self::Pcma | Self::L16(_) => 1,
            // One octet.
            Self::G722 => 2,
            Self::Gsm => gsm::SAMPLES_PER_FRAME,
            Self::Ilbc(mode) => mode.samples(),
            Self::Opus(rate) => rate.samples(10),
        }
    }

    /// Samples of a packet that is to hold so many milliseconds: as many whole frames as fit, and
    /// one at least. Encoders take this many at a time.
    #[must_use]
    pub fn packet_samples(self, ptime_ms: usize) -> usize {
        let asked = self.rate().samples(ptime_ms.clamp(1, 200));
        match self {
            Self::Opus(rate) => {
                let frame_ms = OPUS_FRAMES_MS.into_iter().find(|it| *it <= ptime_ms);
                rate.samples(frame_ms.unwrap_or(10))
            }
            _ => (asked / self.frame_samples()).max(1) * self.frame_samples(),
        }
    }

    /// How many samples a payload stands for.
    ///
    /// # Errors
    ///
    /// If it is no payload of this codec, or one of more than [`SAMPLES_MAX`].
    pub fn samples_in(self, payload: &[u8]) -> Result<usize, Error> {
        let samples = match self {
            Self::Pcmu | Self::Pcma => payload.len(),
            Self::G722 => 2 * payload.len(),
            Self::L16(_) if payload.len().is_multiple_of(2) => payload.len() / 2,
            Self::L16(_) => return Err(Error::Payload),
            Self::Gsm => gsm::split(payload)?.len() * gsm::SAMPLES_PER_FRAME,
            Self::Ilbc(mode) => {
                let (mode, frames) = mode.split(payload)?;
                frames.count() * mode.samples()
            }
            Self::Opus(rate) => opus::duration(payload, rate).ok_or(Error::Payload)?,
        };
        match samples {
            1..=SAMPLES_MAX => Ok(samples),
            _ => Err(Error::Payload),
        }
    }

    /// How many octets so many samples become: whole frames. `None` for Opus, where that depends
    /// on the sound.
    #[must_use]
    pub const fn payload_len(self, samples: usize) -> Option<usize> {
        Some(match self {
            Self::Pcmu | Self::Pcma => samples,
            Self::G722 => samples / 2,
            Self::L16(_) => 2 * samples,
            Self::Gsm => samples / gsm::SAMPLES_PER_FRAME * gsm::FRAME_LEN,
            Self::Ilbc(mode) => samples / mode.samples() * mode.frame_len(),
            Self::Opus(_) => return None,
        })
    }
}
