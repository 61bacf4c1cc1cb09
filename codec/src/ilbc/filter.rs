//! Filters of the speech codec: whitening, synthesis, phase dispersion, high pass.

use super::spectrum::Predictor;
use super::vector::{add_filtered, resonate};
use super::{ORDER, SAMPLES_MAX};

/// Filters the samples after the first [`ORDER`] of `input` by A(z).
pub(super) fn all_zero(a: &Predictor, input: &[f32], output: &mut [f32]) {
    let mut taps = [1.0; ORDER + 1];
    for (tap, coefficient) in taps.iter_mut().zip(a.iter().rev()) {
        *tap = *coefficient;
    }
    output.fill(0.0);
    add_filtered(&taps, input, output);
}

/// Nothing for next to nothing: what a filter forgets must not become too small for fast arithmetic.
pub(super) fn flush(value: f32) -> f32 {
    if value.abs() < 1e-15 { 0.0 } else { value }
}

/// A high-pass filter of the second order (RFC 3951 §3.1, §4.8).
#[derive(Clone, Debug)]
pub(super) struct HighPass {
    zeros: [f32; 3],
    poles: [f32; 2],
    /// The last samples before and behind the filter, the latest first.
    inputs: [f32; 2],
    outputs: [f32; 2],
}

impl HighPass {
    /// For what comes from a microphone: 90 Hz (appendix A.28).
    pub(super) const fn input() -> Self {
        Self::new(
            [0.927_274_36, -1.854_494_1, 0.927_274_36],
            [-1.905_946_5, 0.911_402_4],
        )
    }

    /// For what goes to the ear: 65 Hz (appendix A.30).
    pub(super) const fn output() -> Self {
        Self::new(
            [0.939_805_8, -1.879_583_4, 0.939_805_8],
            [-1.933_073_5, 0.935_892],
        )
    }

    const fn new(zeros: [f32; 3], poles: [f32; 2]) -> Self {
        Self {
            zeros,
            poles,
            inputs: [0.0; 2],
            outputs: [0.0; 2],
        }
    }

    /// Filters samples in place, a frame at most.
    pub(super) fn apply(&mut self, samples: &mut [f32]) {
        let mut input = [0.0; 2 + SAMPLES_MAX];
        let input = &mut input[..2 + samples.len()];
        input[0] = self.inputs[1];
        input[1] = self.inputs[0];
        input[2..].copy_from_slice(samples);
        samples.fill(0.0);
        // They are the same in both directions.
        add_filtered(&self.zeros, input, samples);
        resonate(&self.poles, &mut self.outputs, samples);
        self.outputs = self.outputs.map(flush);
        self.inputs = [input[input.len() - 1], input[input.len() - 2]];
    }
}
