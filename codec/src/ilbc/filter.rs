//! Filters of the speech codec: whitening, synthesis, phase dispersion, high pass.

use super::ORDER;
use super::spectrum::Predictor;

/// Filters the samples after the first [`ORDER`] of `buffer` by 1/A(z), in place; the first are
/// the filter's output so far.
pub(super) fn all_pole(a: &Predictor, buffer: &mut [f32]) {
    for at in ORDER..buffer.len() {
        let (past, rest) = buffer.split_at_mut(at);
        let past = &past[at - ORDER..];
        let mut sum = rest[0];
        // The latest output is used last, since it is there last.
        for (sample, coefficient) in past.iter().zip(a.iter().rev()) {
            sum -= sample * coefficient;
        }
        rest[0] = sum;
    }
}

/// Filters the samples after the first [`ORDER`] of `input` by A(z).
pub(super) fn all_zero(a: &Predictor, input: &[f32], output: &mut [f32]) {
    for (at, output) in output.iter_mut().enumerate() {
        let Some(window) = input.get(at..=at + ORDER) else {
            return;
        };
        let mut sum = window[ORDER];
        for (sample, coefficient) in window.iter().zip(a.iter().rev()) {
            sum += sample * coefficient;
        }
        *output = sum;
    }
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
    state: [f32; 2],
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
            state: [0.0; 2],
        }
    }

    pub(super) fn apply(&mut self, samples: &mut [f32]) {
        let [mut first, mut second] = self.state;
        for sample in samples {
            let input = *sample;
            let output = self.zeros[0] * input + first;
            first = self.zeros[1] * input - self.poles[0] * output + second;
            second = self.zeros[2] * input - self.poles[1] * output;
            *sample = output;
        }
        self.state = [flush(first), flush(second)];
    }
}
