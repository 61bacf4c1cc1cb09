//! Searches the codebook for what is most like a block (RFC 3951 §3.6.2 to §3.7).

use super::bitstream::Stages;
use super::codebook::{
    AUGMENTED, Augmented, Codebook, MEMORY, Memory, NARROW, Section, augment, narrow,
};
use super::excitation::Target;
use super::spectrum::Predictor;
use super::tables::{GAINS_1, GAINS_2, GAINS_3};
use super::vector::{add_up, all_pole, correlate, dot};
use super::{ORDER, SAMPLES_MAX, SUBBLOCK, state};

/// No gain of a stage may be as large as this (§3.6.4.1).
const GAIN_MAX: f32 = 1.3;

/// Vectors of less energy are silence.
const ENERGY_MIN: f32 = 1e-3;

/// Later stages' gains are parts of the gain before, which counts as this at least.
const SCALE_MIN: f32 = 0.1;

/// Places of a section's vectors that are compared at a time: a few more than there are.
const PLACES: usize = 112;

/// Vectors of a section, by where they begin in the memory, then the augmented ones.
const HALF: usize = PLACES + 24;

/// A number for each vector of both sections. What is of no vector, is 0.
type ByVector = [f32; 2 * HALF];

/// A codebook and what is known of its vectors, whatever they are compared with.
struct Searcher {
    codebook: Codebook,
    section: Section,
    len: usize,
    /// Where the vector begins in the memory that has the greatest index of its section.
    first: usize,
    places: usize,
    /// Augmented vectors: those of the base codebook, then those of the expanded one.
    augmented: [Augmented; 2 * AUGMENTED],
    /// The reciprocals of the vectors' energies.
    inverse: ByVector,
    /// The same of the vectors that later stages may use.
    inverse_later: ByVector,
}

/// A vector's place in the codebook, and what it has in common with the target.
#[derive(Clone, Copy)]
struct Match {
    index: usize,
    gain: f32,
}

/// Codes a block of `excitation`'s residual: the indices and gains whose sum is most like
/// `residual`, as `weights` hears it.
pub(super) fn search(
    target: &Target,
    weights: &Predictor,
    excitation: &[f32; SAMPLES_MAX],
    residual: &[f32; SAMPLES_MAX],
) -> Stages {
    let mut block = [0.0; SUBBLOCK];
    target.take(residual, &mut block);
    let (memory, mut wanted) = weigh(target, weights, &target.memory(excitation), &block);
    let mut searcher = Searcher::new(&memory, target);
    searcher.augment();
    searcher.invert_energies(target.narrow);
    let energy = dot(&wanted, &wanted);
    let mut coded = [0.0; SUBBLOCK];
    let mut stages = Stages::default();
    let mut gain = 1.0;
    for stage in 0..3 {
        let best = searcher.best(&wanted, stage);
        let (index, quantised) = quantise(stage, best.gain, gain);
        gain = quantised;
        let vector = searcher.vector(best.index);
        for at in 0..target.len {
            wanted[at] -= gain * vector[at];
            coded[at] += gain * vector[at];
        }
        let index_coded = if target.narrow && stage > 0 {
            narrow(best.index)
        } else {
            best.index
        };
        stages.index[stage] = u8::try_from(index_coded).unwrap_or(0);
        stages.gain[stage] = index;
    }
    stages.gain[0] = amplify(stages.gain[0], energy, dot(&coded, &coded));
    stages
}

/// Memory and target as the weighting filter hears them, from silence (§3.6.2).
fn weigh(
    target: &Target,
    weights: &Predictor,
    memory: &Memory,
    block: &[f32; SUBBLOCK],
) -> (Memory, [f32; SUBBLOCK]) {
    let mut buffer = [0.0; ORDER + MEMORY + SUBBLOCK];
    let known = target.known_len().min(target.memory_len());
    let first = MEMORY - known;
    buffer[ORDER + first..ORDER + MEMORY].copy_from_slice(&memory[first..MEMORY]);
    buffer[ORDER + MEMORY..].copy_from_slice(block);
    all_pole(weights, &mut buffer[first..ORDER + MEMORY + target.len]);
    let (mut memory, mut wanted) = ([0.0; MEMORY + 80], [0.0; SUBBLOCK]);
    memory[..MEMORY].copy_from_slice(&buffer[ORDER..ORDER + MEMORY]);
    wanted.copy_from_slice(&buffer[ORDER + MEMORY..]);
    (memory, wanted)
}

/// The index of the gain nearest to `gain`, and that gain. `scale`: the gain of the stage before.
fn quantise(stage: usize, gain: f32, scale: f32) -> (u8, f32) {
    let table: &[f32] = match stage {
        0 => &GAINS_1,
        1 => &GAINS_2,
        _ => &GAINS_3,
    };
    let scale = if stage == 0 {
        1.0
    } else {
        scale.abs().max(SCALE_MIN)
    };
    let index = state::nearest(table, gain / scale);
    (index, scale * table[usize::from(index)])
}

/// Makes the first gain larger, at most twice, while what was coded is less loud than what was
/// wanted (§3.7).
fn amplify(index: u8, wanted: f32, coded: f32) -> u8 {
    let gain = GAINS_1[usize::from(index)];
    let mut best = index;
    for (candidate, other) in (index..).zip(&GAINS_1[usize::from(index)..]) {
        if coded * other * other < wanted * gain * gain && *other < 2.0 * gain {
            best = candidate;
        }
    }
    best
}

impl Searcher {
    /// One that knows nothing of its vectors yet.
    #[inline(always)]
    fn new(memory: &Memory, target: &Target) -> Self {
        let section = target.section();
        Self {
            codebook: Codebook::new(memory),
            section,
            len: target.len,
            first: MEMORY - target.len - (section.plain - 1),
            places: if section.plain > 64 { PLACES } else { 64 },
            augmented: [[0.0; 60]; 2 * AUGMENTED],
            inverse: [0.0; 2 * HALF],
            inverse_later: [0.0; 2 * HALF],
        }
    }

    /// Makes the augmented vectors.
    fn augment(&mut self) {
        if self.section.all > self.section.plain {
            let memories = [&self.codebook.base, &self.codebook.expanded];
            for (memory, vectors) in memories
                .into_iter()
                .zip(self.augmented.chunks_mut(AUGMENTED))
            {
                for (vector, lag) in vectors.iter_mut().zip(AUGMENTED..) {
                    augment(memory, lag, vector);
                }
            }
        }
    }

    fn vector(&self, index: usize) -> [f32; SUBBLOCK] {
        self.codebook.vector(self.section, index, self.len)
    }

    /// The two sections: their memories and their augmented vectors.
    fn halves(&self) -> impl Iterator<Item = (&Memory, &[Augmented])> {
        let memories = [&self.codebook.base, &self.codebook.expanded];
        memories.into_iter().zip(self.augmented.chunks(AUGMENTED))
    }

    fn invert_energies(&mut self, narrow: bool) {
        let plain = self.section.plain;
        let mut inverse = [0.0; 2 * HALF];
        let halves = inverse.chunks_exact_mut(HALF).zip(self.halves());
        for (inverse, (memory, augmented)) in halves {
            let energies = add_up(&memory.map(|sample| sample * sample), self.len);
            inverse[..plain].copy_from_slice(&energies[self.first..self.first + plain]);
            for (energy, vector) in inverse[PLACES..].iter_mut().zip(augmented) {
                *energy = dot(&vector[..SUBBLOCK], &vector[..SUBBLOCK]);
            }
        }
        self.inverse = inverse.map(|energy| {
            if energy < ENERGY_MIN {
                0.0
            } else {
                1.0 / energy
            }
        });
        self.inverse_later = self.inverse;
        if narrow {
            for half in self.inverse_later.chunks_exact_mut(HALF) {
                half[..plain - NARROW].fill(0.0);
            }
        }
    }

    /// What each vector has in common with `wanted`.
    fn correlations(&self, wanted: &[f32; SUBBLOCK]) -> ByVector {
        let mut correlations = [0.0; 2 * HALF];
        let halves = correlations.chunks_exact_mut(HALF).zip(self.halves());
        for (correlations, (memory, augmented)) in halves {
            let places = &mut correlations[..self.places];
            correlate(&wanted[..self.len], &memory[self.first..], places);
            if self.section.all > self.section.plain {
                for (product, vector) in correlations[PLACES..].iter_mut().zip(augmented) {
                    *product = dot(wanted, &vector[..SUBBLOCK]);
                }
            }
        }
        correlations
    }

    /// The vector that leaves least of `wanted` (§3.6.4.1).
    fn best(&self, wanted: &[f32; SUBBLOCK], stage: usize) -> Match {
        let correlations = self.correlations(wanted);
        let (inverse, gain_min) = match stage {
            0 => (&self.inverse, 0.0),
            _ => (&self.inverse_later, -GAIN_MAX),
        };
        let at = greatest(&correlations, inverse, gain_min).unwrap_or(self.section.plain - 1);
        let gain = correlations[at] * inverse[at];
        Match {
            index: self.index(at),
            gain,
        }
    }

    fn index(&self, at: usize) -> usize {
        let Section { plain, all } = self.section;
        let (half, place) = (at / HALF, at % HALF);
        let index = match place.checked_sub(PLACES) {
            None => plain - 1 - place,
            Some(augmented) => plain + augmented,
        };
        half * all + index
    }
}

/// Where the product of correlation and gain is greatest, among gains that are allowed; `None` if
/// it is nowhere positive.
fn greatest(correlations: &ByVector, inverse: &ByVector, gain_min: f32) -> Option<usize> {
    const LANES: usize = 8;
    let mut scores = [0.0_f32; 2 * HALF];
    for ((score, correlation), inverse) in scores.iter_mut().zip(correlations).zip(inverse) {
        let gain = correlation * inverse;
        let is_allowed = (gain > gain_min) & (gain < GAIN_MAX);
        *score = if is_allowed { correlation * gain } else { 0.0 };
    }
    let mut lanes = [0.0_f32; LANES];
    for scores in scores.as_chunks::<LANES>().0 {
        for (lane, score) in lanes.iter_mut().zip(scores) {
            *lane = if *score > *lane { *score } else { *lane };
        }
    }
    let best = lanes.into_iter().fold(0.0, f32::max);
    scores
        .iter()
        .position(|score| *score == best)
        .filter(|_| best > 0.0)
}
