//! Homing: frames that bring a codec to its first state, so that two of them can be compared in
//! the midst of a call (EN 300 961 §4.5).
//!
//! The encoder goes home after a frame of nothing but the smallest positive sample, which is also
//! what silence in A-law decodes to. It codes that, from its first state, as [`HOME`], and the
//! decoder goes home after it.

use super::SAMPLES_PER_FRAME;
use super::frame::{PULSE_COUNT, Parameters, Subframe};

/// Each sample of the frame that sends an encoder home.
const SAMPLE: i16 = 8;

/// That frame.
pub(super) const SAMPLES: [i16; SAMPLES_PER_FRAME] = [SAMPLE; SAMPLES_PER_FRAME];

/// The frame that sends a decoder home.
const HOME: Parameters = Parameters {
    ratios: [9, 23, 15, 8, 7, 3, 3, 2],
    subframes: [
        STILL,
        STILL,
        STILL,
        Subframe {
            pulses: [4, 4, 4, 4, 3, 4, 4, 4, 4, 4, 4, 4, 4],
            ..STILL
        },
    ],
};

const STILL: Subframe = Subframe {
    lag: 40,
    gain: 0,
    grid: 0,
    amplitude: 0,
    pulses: [4; PULSE_COUNT],
};

/// Whether a frame sends an encoder home. Hardly any frame costs more than one comparison.
pub(super) fn sends_encoder_home(samples: &[i16; SAMPLES_PER_FRAME]) -> bool {
    samples[0] == SAMPLE && *samples == SAMPLES
}

/// How much of a frame is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extent {
    /// All of it.
    Frame,
    /// The ratios and the first sub-frame: what a decoder knows when it must begin to speak.
    FirstSubframe,
}

/// Whether a frame sends a decoder home.
pub(super) fn sends_decoder_home(parameters: &Parameters, extent: Extent) -> bool {
    parameters.ratios == HOME.ratios
        && match extent {
            Extent::Frame => parameters.subframes == HOME.subframes,
            Extent::FirstSubframe => parameters.subframes[0] == HOME.subframes[0],
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gsm::{Decoder, Encoder};

    #[test]
    fn an_encoder_at_home_says_what_sends_a_decoder_home() {
        let frame = Encoder::new().encode(&SAMPLES);
        assert_eq!(Parameters::unpack(&frame), HOME);
        assert_eq!(Decoder::new().decode(&frame), SAMPLES);
    }

    #[test]
    fn homing_forgets_what_was_before() {
        let speech = std::array::from_fn(|at| if at % 50 < 25 { 9_000 } else { -9_000 });
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let expected = encoder.encode(&speech);
        let first = decoder.decode(&expected);
        let _ = encoder.encode(&SAMPLES);
        let _ = decoder.decode(&HOME.pack());
        assert_eq!(encoder.encode(&speech), expected);
        assert_eq!(decoder.decode(&expected), first);
    }

    #[test]
    fn a_decoder_at_home_needs_the_first_sub_frame_only() {
        let mut parameters = HOME;
        parameters.subframes[3].amplitude = 60;
        let mut decoder = Decoder::new();
        assert_eq!(decoder.decode(&parameters.pack()), SAMPLES);
        assert_eq!(decoder.decode(&HOME.pack()), SAMPLES);
        // Away from home all of the frame counts.
        let _ = decoder.decode(&[0xd0; 33]);
        let _ = decoder.decode(&parameters.pack());
        assert_ne!(decoder.decode(&HOME.pack()), SAMPLES);
        assert_eq!(decoder.decode(&HOME.pack()), SAMPLES);
    }
}
