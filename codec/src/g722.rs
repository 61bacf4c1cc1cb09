//! G.722: wideband speech of 50 – 7,000 Hz in 64 kbit/s.
//!
//! ```text
//! 16 kHz ─► two mirror filters ─┬► lower band, 8 kHz ─► ADPCM, 6 bits ─┬► octet  hh llllll
//!                               └► upper band, 8 kHz ─► ADPCM, 2 bits ─┘
//! ```
//!
//! One octet stands for two samples. RTP counts its time at 8 kHz all the same, which is a mistake
//! that was kept (RFC 3551 §4.5.2). Bit-exact with ITU-T G.722 in its three modes of decoding; the
//! arithmetic is that of the recommendation's §6.2, and names in capitals are its names.
//!
//! ```
//! use codec::g722::{Decoder, Encoder};
//!
//! let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
//! let mut payload = [0; 160];
//! assert_eq!(encoder.encode(&[1_000; 320], &mut payload), 160);
//! let mut samples = [0; 320];
//! assert_eq!(decoder.decode(&payload, &mut samples), 320);
//! ```

mod mirror;
mod predictor;
mod quantizer;

use mirror::{Analysis, Synthesis};
use predictor::Predictor;
use quantizer::{Lower, Upper};

/// Octet pairs that are worked on at a time: 20 ms.
const BLOCK: usize = 160;

/// How many bits of an octet the decoder regards (G.722 §1.3); the others carry data.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// All eight: 64 kbit/s, as in RTP.
    #[default]
    One,
    /// Seven: 56 kbit/s.
    Two,
    /// Six: 48 kbit/s.
    Three,
}

/// Samples at 16 kHz to octets.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    bands: Analysis,
    lower: Lower,
    lower_predictor: Predictor,
    upper: Upper,
    upper_predictor: Predictor,
}

impl Encoder {
    /// An encoder that has heard silence so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Encodes pairs of samples, as far as both reach; the number of octets written.
    pub fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> usize {
        let pairs = samples.as_chunks::<2>().0;
        let len = pairs.len().min(payload.len());
        let pairs = pairs[..len].chunks(BLOCK);
        for (pairs, octets) in pairs.zip(payload[..len].chunks_mut(BLOCK)) {
            let mut bands = [(0, 0); BLOCK];
            self.bands.split(pairs, &mut bands);
            for ((lower, upper), octet) in bands.into_iter().zip(octets) {
                *octet = self.encode_lower(lower) | self.encode_upper(upper) << 6;
            }
        }
        len
    }

    fn encode_lower(&mut self, sample: i16) -> u8 {
        let difference = sample.saturating_sub(self.lower_predictor.prediction());
        let code = self.lower.quantize(difference);
        self.lower_predictor.adapt(self.lower.adapt(code));
        code
    }

    fn encode_upper(&mut self, sample: i16) -> u8 {
        let difference = sample.saturating_sub(self.upper_predictor.prediction());
        let code = self.upper.quantize(difference);
        self.upper_predictor.adapt(self.upper.adapt(code));
        code
    }
}

/// Octets to samples at 16 kHz.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    mode: Mode,
    lower: Lower,
    lower_predictor: Predictor,
    upper: Upper,
    upper_predictor: Predictor,
    bands: Synthesis,
}

impl Decoder {
    /// A decoder of all eight bits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder of some bits only.
    #[must_use]
    pub fn with_mode(mode: Mode) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    /// Decodes octets to two samples each, as far as both reach; the number of samples written.
    pub fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> usize {
        let pairs = samples.as_chunks_mut::<2>().0;
        let len = pairs.len().min(payload.len());
        let pairs = pairs[..len].chunks_mut(BLOCK);
        for (octets, pairs) in payload[..len].chunks(BLOCK).zip(pairs) {
            let mut bands = [(0, 0); BLOCK];
            for (octet, bands) in octets.iter().zip(&mut bands) {
                *bands = (
                    self.decode_lower(octet & 0x3f),
                    self.decode_upper(octet >> 6),
                );
            }
            self.bands.join(&bands[..octets.len()], pairs);
        }
        2 * len
    }

    fn decode_lower(&mut self, code: u8) -> i16 {
        let prediction = self.lower_predictor.prediction();
        let difference = self.lower.difference(code, self.mode);
        self.lower_predictor.adapt(self.lower.adapt(code));
        limit(prediction.saturating_add(difference))
    }

    fn decode_upper(&mut self, code: u8) -> i16 {
        let prediction = self.upper_predictor.prediction();
        let difference = self.upper.adapt(code);
        self.upper_predictor.adapt(difference);
        limit(prediction.saturating_add(difference))
    }
}

/// Bands are 15 bits wide, so that their sum and difference fit in 16 (LIMIT).
fn limit(sample: i16) -> i16 {
    sample.clamp(-0x4000, 0x3fff)
}

/// As much of a value as 16 bits hold.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what would be cut off was limited away"
)]
fn saturate(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests;
