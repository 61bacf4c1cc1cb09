//! Searches the codebook for what is most like a block (RFC 3951 §3.6.2 to §3.7).

use super::bitstream::Stages;
use super::codebook::{AUGMENTED, Codebook, MEMORY, NARROW, Section, narrow};
use super::excitation::Target;
use super::filter::all_pole;
use super::spectrum::Predictor;
use super::tables::{GAINS_1, GAINS_2, GAINS_3};
use super::vector::dot;
use super::{ORDER, SAMPLES_MAX, SUBBLOCK, state};

/// No gain of a stage may be as large as this (§3.6.4.1).
const GAIN_MAX: f32 = 1.3;

/// Vectors of less energy are silence.
const ENERGY_MIN: f32 = 1e-3;

/// Later stages' gains are parts of the gain before, which counts as this at least.
const SCALE_MIN: f32 = 0.1;

/// A codebook and what is known of its vectors, whatever they are compared with.
struct Searcher {
    codebook: Codebook,
    section: Section,
    len: usize,
    /// Augmented vectors: those of the base codebook, then those of the expanded one.
    augmented: [[f32; SUBBLOCK]; 2 * AUGMENTED],
    /// The reciprocal of each vector's energy, by index.
    inverse: [f32; 256],
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
    let searcher = Searcher::new(memory, target);
    let energy = dot(&wanted, &wanted);
    let mut coded = [0.0; SUBBLOCK];
    let mut stages = Stages::default();
    let mut gain = 1.0;
    for stage in 0..3 {
        let best = searcher.best(&wanted, stage, target.narrow && stage > 0);
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
    memory: &[f32; MEMORY],
    block: &[f32; SUBBLOCK],
) -> ([f32; MEMORY], [f32; SUBBLOCK]) {
    let mut buffer = [0.0; ORDER + MEMORY + SUBBLOCK];
    let known = target.known_len().min(target.memory_len());
    let first = ORDER + MEMORY - known;
    let end = ORDER + MEMORY + target.len;
    buffer[first..ORDER + MEMORY].copy_from_slice(&memory[MEMORY - known..]);
    buffer[ORDER + MEMORY..end].copy_from_slice(&block[..target.len]);
    all_pole(weights, &mut buffer[first - ORDER..end]);
    let (mut memory, mut wanted) = ([0.0; MEMORY], [0.0; SUBBLOCK]);
    memory.copy_from_slice(&buffer[ORDER..ORDER + MEMORY]);
    wanted[..target.len].copy_from_slice(&buffer[ORDER + MEMORY..end]);
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
    fn new(memory: [f32; MEMORY], target: &Target) -> Self {
        let codebook = Codebook::new(memory);
        let section = target.section();
        let mut augmented = [[0.0; SUBBLOCK]; 2 * AUGMENTED];
        if section.all > section.plain {
            for (vector, number) in augmented.iter_mut().zip(0..) {
                let index = section.plain + number % AUGMENTED + number / AUGMENTED * section.all;
                codebook.vector(section, index, vector);
            }
        }
        let mut this = Self {
            codebook,
            section,
            len: target.len,
            augmented,
            inverse: [0.0; 256],
        };
        this.inverse = this.energies().map(|energy| {
            if energy < ENERGY_MIN {
                0.0
            } else {
                1.0 / energy
            }
        });
        this
    }

    fn vector(&self, index: usize) -> [f32; SUBBLOCK] {
        let mut vector = [0.0; SUBBLOCK];
        self.codebook
            .vector(self.section, index, &mut vector[..self.len]);
        vector
    }

    /// The energy of each vector, by index.
    fn energies(&self) -> [f32; 256] {
        let mut energies = [0.0; 256];
        for (memory, energies) in [&self.codebook.base, &self.codebook.expanded]
            .into_iter()
            .zip(energies.chunks_mut(self.section.all))
        {
            let squares = memory.map(|sample| sample * sample);
            let sums = slide(&squares, &[1.0; SUBBLOCK], self.len);
            reorder(&sums, self.len, &mut energies[..self.section.plain]);
        }
        self.with_augmented(&mut energies, |vector| dot(vector, vector));
        energies
    }

    /// What each vector has in common with `wanted`, by index.
    fn correlations(&self, wanted: &[f32; SUBBLOCK]) -> [f32; 256] {
        let mut correlations = [0.0; 256];
        for (memory, correlations) in [&self.codebook.base, &self.codebook.expanded]
            .into_iter()
            .zip(correlations.chunks_mut(self.section.all))
        {
            let sums = slide(memory, wanted, self.len);
            reorder(&sums, self.len, &mut correlations[..self.section.plain]);
        }
        self.with_augmented(&mut correlations, |vector| dot(vector, wanted));
        correlations
    }

    fn with_augmented(&self, values: &mut [f32; 256], of: impl Fn(&[f32; SUBBLOCK]) -> f32) {
        let Section { plain, all } = self.section;
        if all == plain {
            return;
        }
        for (vectors, values) in self.augmented.chunks(AUGMENTED).zip(values.chunks_mut(all)) {
            for (vector, value) in vectors.iter().zip(&mut values[plain..]) {
                *value = of(vector);
            }
        }
    }

    /// The vector that leaves least of `wanted` (§3.6.4.1).
    fn best(&self, wanted: &[f32; SUBBLOCK], stage: usize, narrow: bool) -> Match {
        let correlations = self.correlations(wanted);
        let Section { plain, all } = self.section;
        let allowed = |index: usize| {
            index < 2 * all && (!narrow || (index % all < NARROW || index % all >= plain))
        };
        let mut best = (
            Match {
                index: 0,
                gain: correlations[0] * self.inverse[0],
            },
            0.0,
        );
        for (index, (correlation, inverse)) in correlations.iter().zip(&self.inverse).enumerate() {
            let gain = correlation * inverse;
            let score = correlation * gain;
            if score > best.1
                && gain.abs() < GAIN_MAX
                && (stage > 0 || gain > 0.0)
                && allowed(index)
            {
                best = (Match { index, gain }, score);
            }
        }
        best.0
    }
}

/// What `wanted` has in common with each stretch of the memory, by where the stretch begins.
fn slide(memory: &[f32; MEMORY], wanted: &[f32; SUBBLOCK], len: usize) -> [f32; 160] {
    const LANES: usize = 32;
    let mut padded = [0.0; 160 + SUBBLOCK];
    padded[..MEMORY].copy_from_slice(memory);
    let mut sums = [0.0; 160];
    for (sums, at) in sums
        .as_chunks_mut::<LANES>()
        .0
        .iter_mut()
        .zip((0..).step_by(LANES))
    {
        for (sample, offset) in wanted[..len].iter().zip(at..) {
            let window: &[f32; LANES] = padded[offset..].first_chunk().expect("padded by a block");
            for lane in 0..LANES {
                sums[lane] += sample * window[lane];
            }
        }
    }
    sums
}

/// From the order of places to the order of indices.
fn reorder(sums: &[f32; 160], len: usize, values: &mut [f32]) {
    let latest = sums[..=MEMORY - len].iter().rev();
    for (value, sum) in values.iter_mut().zip(latest) {
        *value = *sum;
    }
}
