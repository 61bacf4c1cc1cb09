//! From samples to frames.

use std::fmt;

use super::SAMPLES_PER_FRAME;
use super::batch::{Encoding, encode_batch};
use super::frame::{FRAME_LEN, Parameters, SUBFRAME_LEN, Subframe};
use super::homing;
use super::lattice;
use super::long_term::{self, Correlate, HISTORY_LEN};
use super::prediction;
use super::preprocess::Preprocess;
use super::pulses::Excitation;
use super::ratios::{self, Previous, Stages};

/// Makes frames of one stream's samples. Some 300 octets, without allocation.
#[derive(Clone)]
pub struct Encoder {
    pub(super) preprocess: Preprocess,
    pub(super) previous: Previous,
    pub(super) lattice: Stages,
    /// The residual as a decoder reconstructs it, of the last [`HISTORY_LEN`] samples.
    history: [i16; HISTORY_LEN],
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            preprocess: Preprocess::default(),
            previous: Previous::default(),
            lattice: Stages::default(),
            history: [0; HISTORY_LEN],
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What somebody said is nobody's business.
        formatter.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder in its home state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes back to the home state, as for another call.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Codes 20 ms. Of each sample the upper 13 bits are regarded.
    #[must_use]
    pub fn encode(&mut self, samples: &[i16; SAMPLES_PER_FRAME]) -> [u8; FRAME_LEN] {
        let mut frame = [0; FRAME_LEN];
        encode_batch(&mut [Encoding {
            encoder: self,
            samples,
            frame: &mut frame,
        }]);
        frame
    }

    /// The same without any special instructions.
    pub(super) fn encode_alone(&mut self, samples: &[i16; SAMPLES_PER_FRAME]) -> [u8; FRAME_LEN] {
        let mut filtered = self.preprocess.run(samples);
        let ratios = ratios::encode(&prediction::analyse(&mut filtered));
        let reflections = self.previous.reflections(&ratios);
        lattice::analyse(&mut self.lattice, &reflections, &mut filtered);
        let parameters = self.encode_residual(ratios, &filtered, long_term::correlate);
        if homing::sends_encoder_home(samples) {
            self.reset();
        }
        parameters.pack()
    }

    /// Codes what the short-term prediction left.
    #[inline(always)]
    pub(super) fn encode_residual(
        &mut self,
        ratios: [u8; 8],
        residual: &[i16; SAMPLES_PER_FRAME],
        correlate: impl Correlate,
    ) -> Parameters {
        let (parts, _) = residual.as_chunks::<SUBFRAME_LEN>();
        let mut subframes = [Subframe::default(); 4];
        for (subframe, part) in subframes.iter_mut().zip(parts) {
            *subframe = self.encode_subframe(part, correlate);
        }
        Parameters { ratios, subframes }
    }

    #[inline(always)]
    fn encode_subframe(
        &mut self,
        residual: &[i16; SUBFRAME_LEN],
        correlate: impl Correlate,
    ) -> Subframe {
        let prediction = long_term::search(residual, &self.history, correlate);
        let past = long_term::past(&self.history, usize::from(prediction.lag));
        let predicted = long_term::predict(past, prediction.gain);
        let rest = std::array::from_fn(|at| residual[at].saturating_sub(predicted[at]));
        let excitation = Excitation::encode(&rest);
        let decoded = excitation.decode();
        let reconstructed = std::array::from_fn(|at| decoded[at].saturating_add(predicted[at]));
        self.remember(&reconstructed);
        Subframe {
            lag: prediction.lag,
            gain: prediction.gain,
            grid: excitation.grid,
            amplitude: excitation.amplitude,
            pulses: excitation.pulses,
        }
    }

    #[inline(always)]
    fn remember(&mut self, reconstructed: &[i16; SUBFRAME_LEN]) {
        self.history.copy_within(SUBFRAME_LEN.., 0);
        self.history[HISTORY_LEN - SUBFRAME_LEN..].copy_from_slice(reconstructed);
    }
}
