//! From samples to frames (RFC 3951 §3).

use super::analysis::{SPEECH_MAX, analyse, expand};
use super::bitstream::Parameters;
use super::excitation::Start;
use super::filter::{HighPass, all_zero};
use super::search::search;
use super::spectrum::{Interpolator, Predictors, dequantize, quantize};
use super::{Mode, ORDER, SAMPLES_MAX, SUBBLOCK, state};

/// How much of the spectrum's shape the coding noise may have (§3.4).
const WEIGHT: f32 = 0.4222;

/// Weights of the samples at both ends of the start state's sub-blocks (§3.5.1).
const EDGE: [f32; 5] = [1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0, 4.0 / 6.0, 5.0 / 6.0];

/// Encodes a stream of samples.
#[derive(Clone, Debug)]
pub struct Encoder {
    mode: Mode,
    high_pass: HighPass,
    /// The frame before and the frame, the latest sample last.
    speech: [f32; SPEECH_MAX],
    /// The filters as they are.
    exact: Interpolator,
    /// The filters as the decoder will know them.
    quantised: Interpolator,
}

impl Encoder {
    /// One that has heard nothing yet.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self {
            mode,
            high_pass: HighPass::input(),
            speech: [0.0; SPEECH_MAX],
            exact: Interpolator::new(),
            quantised: Interpolator::new(),
        }
    }

    /// Encodes [`Mode::samples`] samples into the first [`Mode::frame_len`] octets of `frame`;
    /// how many, or 0 if either does not suffice. Samples beyond those are not regarded.
    pub fn encode(&mut self, samples: &[i16], frame: &mut [u8]) -> usize {
        let mode = self.mode;
        let (Some(samples), Some(frame)) = (
            samples.get(..mode.samples()),
            frame.get_mut(..mode.frame_len()),
        ) else {
            return 0;
        };
        self.hear(samples);
        let mut parameters = Parameters::default();
        let (predictors, weights) = self.encode_spectrum(&mut parameters);
        let residual = self.residual(&predictors);
        encode_residual(mode, &predictors, &weights, &residual, &mut parameters);
        parameters.pack(mode, frame);
        frame.len()
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

    fn hear(&mut self, samples: &[i16]) {
        let len = samples.len();
        self.speech.copy_within(len.., 0);
        let new = &mut self.speech[SPEECH_MAX - len..];
        for (speech, sample) in new.iter_mut().zip(samples) {
            *speech = f32::from(*sample);
        }
        self.high_pass.apply(new);
    }

    /// The sub-blocks' prediction filters and weighting filters (§3.2, §3.4).
    fn encode_spectrum(&mut self, parameters: &mut Parameters) -> (Predictors, Predictors) {
        let lsf = analyse(self.mode, &self.speech, self.exact.previous());
        parameters.lsf = lsf.map(|lsf| quantize(&lsf));
        let predictors = self
            .quantised
            .next(self.mode, &parameters.lsf.map(dequantize));
        let weights = self
            .exact
            .next(self.mode, &lsf)
            .map(|predictor| expand(&predictor, WEIGHT));
        (predictors, weights)
    }

    /// What the filters do not predict (§3.3).
    fn residual(&self, predictors: &Predictors) -> [f32; SAMPLES_MAX] {
        let mut residual = [0.0; SAMPLES_MAX];
        let first = SPEECH_MAX - self.mode.samples();
        let blocks = residual[..self.mode.samples()].chunks_exact_mut(SUBBLOCK);
        for ((block, predictor), at) in blocks.zip(predictors).zip((first..).step_by(SUBBLOCK)) {
            all_zero(predictor, &self.speech[at - ORDER..at + SUBBLOCK], block);
        }
        residual
    }
}

fn encode_residual(
    mode: Mode,
    predictors: &Predictors,
    weights: &Predictors,
    residual: &[f32; SAMPLES_MAX],
    parameters: &mut Parameters,
) {
    let start = find_start(mode, residual);
    parameters.start = start.to_parameter();
    parameters.state_first = start.state_first;
    let mut excitation = [0.0; SAMPLES_MAX];
    let (from, len) = (start.state(mode), mode.state_len());
    let boundary = (start.subblock + 1) * SUBBLOCK - from;
    let indices = &mut parameters.state[..len];
    parameters.peak = state::encode(
        &predictors[start.subblock],
        [&weights[start.subblock], &weights[start.subblock + 1]],
        boundary,
        &residual[from..from + len],
        indices,
    );
    state::decode(
        &predictors[start.subblock],
        parameters.peak,
        indices,
        &mut excitation[from..from + len],
    );
    let stages = std::iter::once(&mut parameters.rest).chain(&mut parameters.blocks);
    for (target, stages) in start.targets(mode).zip(stages) {
        *stages = search(&target, &weights[target.subblock()], &excitation, residual);
        let block = target.construct(&excitation, *stages);
        target.put(&mut excitation, &block);
    }
}

/// The loudest two sub-blocks, with a preference for the middle, and their louder part (§3.5.1).
fn find_start(mode: Mode, residual: &[f32; SAMPLES_MAX]) -> Start {
    let preference: &[f32] = match mode {
        Mode::Ms20 => &[0.9, 1.0, 0.9],
        Mode::Ms30 => &[0.8, 0.9, 1.0, 0.9, 0.8],
    };
    let mut best = (0, -1.0);
    for (subblock, preference) in preference.iter().enumerate() {
        let score =
            preference * windowed_energy(&residual[subblock * SUBBLOCK..(subblock + 2) * SUBBLOCK]);
        if score > best.1 {
            best = (subblock, score);
        }
    }
    let from = best.0 * SUBBLOCK;
    let rest = 2 * SUBBLOCK - mode.state_len();
    let head = energy(&residual[from..from + rest]);
    let tail = energy(&residual[from + mode.state_len()..from + 2 * SUBBLOCK]);
    Start {
        subblock: best.0,
        state_first: head >= tail,
    }
}

fn windowed_energy(samples: &[f32]) -> f32 {
    let edges = samples
        .iter()
        .zip(EDGE)
        .chain(samples.iter().rev().zip(EDGE));
    let inner = &samples[EDGE.len()..samples.len() - EDGE.len()];
    energy(inner)
        + edges
            .map(|(sample, weight)| weight * sample * sample)
            .sum::<f32>()
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum()
}
