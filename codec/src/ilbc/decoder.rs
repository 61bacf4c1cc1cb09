//! From frames to samples (RFC 3951 §4).

use super::bitstream::Parameters;
use super::concealment::Concealment;
use super::enhancer::Enhancer;
use super::excitation::{self, Start};
use super::filter::{HighPass, flush};
use super::spectrum::{Interpolator, Predictor, Predictors, dequantize};
use super::vector::all_pole;
use super::{Mode, ORDER, SAMPLES_MAX, SUBBLOCK};

/// Louder excitation or speech comes from random bits and filters that go astray: two bits more
/// than the highest peak of a start state, and eight more than a sample.
const EXCITATION_MAX: f32 = 65_536.0;
const SPEECH_MAX: f32 = 8_388_608.0;

/// Decodes a stream of frames.
#[derive(Clone, Debug)]
pub struct Decoder {
    mode: Mode,
    interpolator: Interpolator,
    concealment: Concealment,
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
            concealment: Concealment::new(),
            enhancer: Enhancer::new(),
            late: [[0.0; ORDER]; 2],
            speech: [0.0; ORDER],
            high_pass: HighPass::output(),
        }
    }

    /// Decodes a frame into the first [`Mode::samples`] of `samples`; how many, or 0 if they do not
    /// suffice. A frame that cannot be one, or stands for a lost one (RFC 3952 §4.1), is concealed.
    pub fn decode(&mut self, frame: &[u8], samples: &mut [i16]) -> usize {
        let mode = self.mode;
        let parameters = Parameters::unpack(mode, frame).filter(|parameters| !parameters.empty);
        let start = parameters.and_then(|parameters| Start::of(mode, &parameters));
        let (Some(parameters), Some(start)) = (parameters, start) else {
            return self.conceal(samples);
        };
        let predictors = self
            .interpolator
            .next(mode, &parameters.lsf.map(dequantize));
        let excitation = excitation::decode(mode, start, &parameters, &predictors);
        if !is_sound(&excitation, EXCITATION_MAX) {
            return self.conceal(samples);
        }
        self.concealment
            .resume(mode, &mut self.enhancer.memory, &excitation);
        self.finish(&excitation, &predictors, samples)
    }

    /// Makes up for a lost frame: samples as [`Self::decode`] gives, silent after 98 ms.
    pub fn conceal(&mut self, samples: &mut [i16]) -> usize {
        let predictors = [self.late[1]; 6];
        let excitation = self.concealment.conceal(self.mode, &self.enhancer.memory);
        self.finish(&excitation, &predictors, samples)
    }

    /// Forgets everything, as if new.
    pub const fn reset(&mut self) {
        *self = Self::new(self.mode);
    }

    /// The length of the frames.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    fn finish(
        &mut self,
        excitation: &[f32; SAMPLES_MAX],
        predictors: &Predictors,
        samples: &mut [i16],
    ) -> usize {
        let enhanced = self.enhancer.next(self.mode, excitation);
        let mut speech = self.synthesize(&enhanced, predictors);
        let Some(samples) = samples.get_mut(..self.mode.samples()) else {
            return 0;
        };
        let speech = &mut speech[ORDER..ORDER + samples.len()];
        self.high_pass.apply(speech);
        for (sample, speech) in samples.iter_mut().zip(speech) {
            *sample = to_sample(*speech);
        }
        samples.len()
    }

    /// Speech from excitation, after the [`ORDER`] samples before it (§4.7).
    fn synthesize(
        &mut self,
        excitation: &[f32; SAMPLES_MAX],
        predictors: &Predictors,
    ) -> [f32; ORDER + SAMPLES_MAX] {
        let (subblocks, len) = (self.mode.subblocks(), self.mode.samples());
        let mut speech = [0.0; ORDER + SAMPLES_MAX];
        speech[..ORDER].copy_from_slice(&self.speech);
        speech[ORDER..].copy_from_slice(excitation);
        let late = &self.late[2 - self.mode.enhancer_delay()..];
        let filters = late.iter().chain(predictors).take(subblocks);
        for (predictor, from) in filters.zip((0..).step_by(SUBBLOCK)) {
            all_pole(predictor, &mut speech[from..from + ORDER + SUBBLOCK]);
        }
        self.late
            .copy_from_slice(&predictors[subblocks - 2..subblocks]);
        if !is_sound(&speech, SPEECH_MAX) {
            speech = [0.0; ORDER + SAMPLES_MAX];
        }
        self.speech = std::array::from_fn(|at| flush(speech[len + at]));
        speech
    }
}

/// Whether all samples are numbers, and none is louder than encoders make them.
fn is_sound(samples: &[f32], max: f32) -> bool {
    samples.iter().all(|sample| sample.abs() < max)
}

/// The nearest sample; one beyond the scale is clipped.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what does not fit is clipped"
)]
fn to_sample(speech: f32) -> i16 {
    (speech + 0.5_f32.copysign(speech)) as i16
}
