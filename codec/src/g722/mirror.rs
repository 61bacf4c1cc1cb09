//! The quadrature mirror filters: one band of 8 kHz to two of 4 kHz, and back.
//!
//! A filter of 24 taps is symmetric, so that its even taps are its odd ones backwards. Both bands
//! come from the same two sums over the even and the odd samples: one is their sum, the other
//! their difference (G.722 §5.2.1, §5.2.2).

use std::array::from_fn;

use wide::i16x8;

use super::{BLOCK, saturate};

const TAPS: usize = 24;

/// Samples before a block that its first output depends on.
const PAST: usize = TAPS - 2;

/// Half of the filter: what even samples are weighted by, from the oldest to the newest. Odd ones
/// have the same, backwards.
const HALF: [i16; TAPS / 2] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

/// Weights that give the sum of both halves (lower band) and their difference (upper band).
static ANALYSIS: [[i16; TAPS]; 2] = [weights(1), weights(-1)];

const fn weights(even_sign: i16) -> [i16; TAPS] {
    let mut weights = [0; TAPS];
    let mut index = 0;
    while index < HALF.len() {
        weights[2 * index] = even_sign * HALF[index];
        weights[2 * index + 1] = HALF[HALF.len() - 1 - index];
        index += 1;
    }
    weights
}

/// Weights for the two outputs of the synthesis: one sums up even entries, the other odd ones.
static SYNTHESIS: [[i16; TAPS]; 2] = [alternate(1), alternate(0)];

const fn alternate(parity: usize) -> [i16; TAPS] {
    let mut weights = [0; TAPS];
    let mut index = 0;
    while index < HALF.len() {
        weights[2 * index + parity] = if parity == 0 {
            HALF[index]
        } else {
            HALF[HALF.len() - 1 - index]
        };
        index += 1;
    }
    weights
}

/// Both weighted sums of each window of 24 entries, one window for every second entry.
fn filter(entries: &[i16], weights: &[[i16; TAPS]; 2], sums: &mut [[i32; 2]; BLOCK]) {
    let weights = weights.map(|it| lanes(&it));
    let windows = entries.windows(TAPS).step_by(2);
    for (window, sums) in windows.zip(sums) {
        let Some(window) = window.first_chunk() else {
            return;
        };
        let window = lanes(window);
        *sums = weights.map(|weights| {
            let [a, b, c] = from_fn(|at| window[at].dot(weights[at]));
            (a + b + c).reduce_add()
        });
    }
}

fn lanes(entries: &[i16; TAPS]) -> [i16x8; TAPS / 8] {
    let chunks = entries.as_chunks().0;
    from_fn(|at| i16x8::new(chunks[at]))
}

/// Samples to bands.
#[derive(Clone, Debug, Default)]
pub(super) struct Analysis {
    past: [i16; PAST],
}

impl Analysis {
    /// Splits a block of pairs; as many pairs of lower and upper band come out.
    pub(super) fn split(&mut self, pairs: &[[i16; 2]], bands: &mut [(i16, i16); BLOCK]) {
        let mut entries = [0; PAST + 2 * BLOCK];
        let entries = &mut entries[..PAST + 2 * pairs.len()];
        entries[..PAST].copy_from_slice(&self.past);
        entries[PAST..].copy_from_slice(pairs.as_flattened());
        let mut sums = [[0; 2]; BLOCK];
        filter(entries, &ANALYSIS, &mut sums);
        for (band, [lower, upper]) in bands.iter_mut().zip(sums) {
            *band = (saturate(lower >> 14), saturate(upper >> 14));
        }
        self.past.copy_from_slice(&entries[entries.len() - PAST..]);
    }
}

/// Bands to samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Synthesis {
    past: [i16; PAST],
}

impl Synthesis {
    /// Joins bands of 15 bits; as many pairs of samples come out.
    pub(super) fn join(&mut self, bands: &[(i16, i16)], pairs: &mut [[i16; 2]]) {
        let mut entries = [0; PAST + 2 * BLOCK];
        let entries = &mut entries[..PAST + 2 * bands.len().min(BLOCK)];
        entries[..PAST].copy_from_slice(&self.past);
        let pairs_in = entries[PAST..].as_chunks_mut::<2>().0;
        for (entry, (lower, upper)) in pairs_in.iter_mut().zip(bands) {
            *entry = [lower.saturating_add(*upper), lower.saturating_sub(*upper)];
        }
        let mut sums = [[0; 2]; BLOCK];
        filter(entries, &SYNTHESIS, &mut sums);
        for (pair, sums) in pairs.iter_mut().zip(sums) {
            *pair = sums.map(|sum| saturate(sum >> 11));
        }
        self.past.copy_from_slice(&entries[entries.len() - PAST..]);
    }
}
