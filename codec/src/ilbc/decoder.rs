//! From frames to samples (RFC 3951 §4).

use super::bitstream::Parameters;
use super::enhancer::Enhancer;
use super::excitation::{self, Start};
use super::filter::{HighPass, all_pole};
use super::spectrum::{Interpolator, Predictor, Predictors, dequantize};
use super::{Mode, ORDER, SAMPLES_MAX, SUBBLOCK};

/// Decodes a stream of frames.
#[derive(Clone, Debug)]
pub struct Decoder {
    mode: Mode,
    interpolator: Interpolator,
    enhancer: Enhancer,
    /// The filters of the last sub-blocks, which the enhancer still has to give out.
    late: [Predictor; 2],
    /// The last samples of speech.
    speech: [f32; ORDER],
    high_pass: HighPass,
}

impl Decoder {
    /// One that has heard nothing yet.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self {
            mode,
            interpolator: Interpolator::new(),
            enhancer: Enhancer::new(),
            late: [[0.0; ORDER]; 2],
            speech: [0.0; ORDER],
            high_pass: HighPass::output(),
        }
    }

    /// Decodes a frame into the first samples of `samples`; how many, or 0 if they do not suffice.
    pub fn decode(&mut self, frame: &[u8], samples: &mut [i16]) -> usize {
        let parameters =
            Parameters::unpack(self.mode, frame).filter(|parameters| !parameters.empty);
        let Some(parameters) = parameters else {
            return self.conceal(samples);
        };
        let Some(start) = Start::of(self.mode, &parameters) else {
            return self.conceal(samples);
        };
        let predictors = self
            .interpolator
            .next(self.mode, &parameters.lsf.map(dequantize));
        let excitation = excitation::decode(self.mode, start, &parameters, &predictors);
        self.finish(&excitation, &predictors, samples)
    }

    /// Makes up for a lost frame.
    pub fn conceal(&mut self, samples: &mut [i16]) -> usize {
        let predictors = [self.late[1]; 6];
        self.finish(&[0.0; SAMPLES_MAX], &predictors, samples)
    }

    fn finish(
        &mut self,
        excitation: &[f32; SAMPLES_MAX],
        predictors: &Predictors,
        samples: &mut [i16],
    ) -> usize {
        let mode = self.mode;
        let (len, delay) = (mode.samples(), mode.enhancer_delay());
        let enhanced = self.enhancer.next(mode, excitation);
        let mut speech = [0.0; ORDER + SAMPLES_MAX];
        speech[..ORDER].copy_from_slice(&self.speech);
        speech[ORDER..].copy_from_slice(&enhanced);
        let filters = self.late[2 - delay..].iter().chain(predictors);
        for (subblock, predictor) in filters.take(mode.subblocks()).enumerate() {
            let from = subblock * SUBBLOCK;
            all_pole(predictor, &mut speech[from..from + ORDER + SUBBLOCK]);
        }
        self.late
            .copy_from_slice(&predictors[mode.subblocks() - 2..mode.subblocks()]);
        self.speech.copy_from_slice(&speech[len..len + ORDER]);
        let speech = &mut speech[ORDER..ORDER + len];
        self.high_pass.apply(speech);
        let Some(samples) = samples.get_mut(..len) else {
            return 0;
        };
        for (sample, speech) in samples.iter_mut().zip(speech) {
            *sample = to_sample(*speech);
        }
        len
    }
}

/// The nearest sample; one beyond the scale is clipped.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what does not fit is clipped"
)]
fn to_sample(speech: f32) -> i16 {
    (speech + 0.5_f32.copysign(speech)) as i16
}
