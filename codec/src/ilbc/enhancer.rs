//! The enhancer: voiced speech becomes more like itself a pitch period before and after
//! (RFC 3951 §4.6).

use super::tables::{HALF_BAND, SHIFTS};
use super::vector::{add_filtered, add_up, correlate, dot};
use super::{Mode, SAMPLES_MAX, SUBBLOCK};

/// Samples that are enhanced together.
const BLOCK: usize = 2 * SUBBLOCK;

/// Blocks of excitation that are kept.
const BLOCKS: usize = 8;

/// Samples of excitation that are kept.
pub(super) const MEMORY: usize = BLOCKS * BLOCK;

/// Sequences before and after a block that it is compared with.
const REACH: usize = 3;

/// Weights of the three sequences, the nearest first: 0.5·(1 - cos(2π·i/8)) (§4.6.3).
const WEIGHTS: [f32; REACH] = [0.853_553_4, 0.5, 0.146_446_6];

/// Places of sequences are in quarters of a sample.
const QUARTERS: usize = 4;

/// How far around its estimate a sequence is looked for.
const SLOP: usize = 2;

/// Samples that the interpolation needs on each side.
const MARGIN: usize = 3;

/// How much of a block's energy may change (§4.6.4).
const CHANGE_MAX: f32 = 0.05;

/// Lags of the pitch at half the rate.
const LAGS: std::ops::Range<usize> = 10..60;

/// The excitation of the last frames and its pitch.
#[derive(Clone, Debug)]
pub(super) struct Enhancer {
    pub(super) memory: [f32; MEMORY],
    /// Pitch of each block of the memory, in quarters of a sample.
    periods: [usize; BLOCKS],
}

impl Enhancer {
    pub(super) const fn new() -> Self {
        Self {
            memory: [0.0; MEMORY],
            periods: [40 * QUARTERS; BLOCKS],
        }
    }

    /// Takes a frame of excitation and gives one that is late by [`Mode::enhancer_delay`].
    pub(super) fn next(
        &mut self,
        mode: Mode,
        excitation: &[f32; SAMPLES_MAX],
    ) -> [f32; SAMPLES_MAX] {
        let len = mode.samples();
        self.memory.copy_within(len.., 0);
        self.memory[MEMORY - len..].copy_from_slice(&excitation[..len]);
        self.find_periods(mode);
        let mut enhanced = [0.0; SAMPLES_MAX];
        let first = MEMORY - len - mode.enhancer_delay() * SUBBLOCK;
        let blocks = enhanced[..len].chunks_exact_mut(BLOCK);
        for (block, at) in blocks.zip((first..).step_by(BLOCK)) {
            self.enhance(at, block);
        }
        enhanced
    }

    /// Estimates the pitch of the new blocks (§4.6.1).
    fn find_periods(&mut self, mode: Mode) {
        let new = mode.samples() / BLOCK;
        self.periods.copy_within(new.., 0);
        let mut halved = [0.0; LAGS.end + SAMPLES_MAX / 2];
        let from = MEMORY - mode.samples() - 2 * LAGS.end;
        let known = &mut halved[..LAGS.end + mode.samples() / 2];
        for (at, sample) in known.iter_mut().enumerate() {
            let newest = from + 2 * at + 3;
            *sample = (0..HALF_BAND.len())
                .map(|tap| HALF_BAND[tap] * self.memory.get(newest - tap).copied().unwrap_or(0.0))
                .sum();
        }
        let squares = halved.map(|sample| sample * sample);
        let energies = add_up(&squares, BLOCK / 2);
        for block in 0..new {
            let first = block * BLOCK / 2;
            let target = &halved[first + LAGS.end..first + LAGS.end + BLOCK / 2];
            let mut products = [0.0; 56];
            correlate(target, &halved[first..], &mut products);
            let mut best = (LAGS.start, 0.0);
            for lag in LAGS {
                let place = LAGS.end - lag;
                let product = products[place].max(0.0);
                let score = product * product / energies[first + place].max(f32::MIN_POSITIVE);
                if score > best.1 {
                    best = (lag, score);
                }
            }
            self.periods[BLOCKS - new + block] = 2 * QUARTERS * best.0;
        }
    }

    /// Enhances the block that begins at `at`.
    fn enhance(&self, at: usize, output: &mut [f32]) {
        let center: &[f32; BLOCK] = self.memory[at..]
            .first_chunk()
            .expect("the block lies in the memory");
        let mut sum = [0.0; BLOCK];
        self.add_earlier(at, center, &mut sum);
        self.add_later(at, center, &mut sum);
        output.copy_from_slice(&constrain(center, &sum));
    }

    /// Adds the sequences one, two and three periods before.
    fn add_earlier(&self, at: usize, center: &[f32; BLOCK], sum: &mut [f32; BLOCK]) {
        let mut position = QUARTERS * at;
        let mut period = self.period_at(position + QUARTERS * BLOCK / 2 - QUARTERS / 2);
        for weight in WEIGHTS {
            let Some(estimate) = position.checked_sub(period) else {
                return;
            };
            if estimate < QUARTERS * SLOP {
                return;
            }
            position = self.add_sequence(center, estimate, weight, sum);
            period = self.period_at((estimate + QUARTERS * BLOCK / 2).saturating_sub(period));
        }
    }

    /// Adds those after: the period of a block is what leads to it.
    fn add_later(&self, at: usize, center: &[f32; BLOCK], sum: &mut [f32; BLOCK]) {
        let mut position = QUARTERS * at;
        for weight in WEIGHTS {
            let here = position + QUARTERS * BLOCK / 2;
            let distance = |block: usize| middle(block).abs_diff(here + self.periods[block]);
            let next = (0..BLOCKS).min_by_key(|block| distance(*block));
            let estimate = position + next.map_or(0, |block| self.periods[block]);
            if estimate + QUARTERS * (BLOCK + SLOP) >= QUARTERS * MEMORY {
                return;
            }
            position = self.add_sequence(center, estimate, weight, sum);
        }
    }

    /// The period of the block in the middle of which `position` is, or nearly.
    fn period_at(&self, position: usize) -> usize {
        let block = (0..BLOCKS).min_by_key(|block| middle(*block).abs_diff(position));
        block.map_or(0, |block| self.periods[block])
    }

    /// Finds the sequence most like `center` around `estimate` (§4.6.2), adds it, and says where it
    /// was found.
    ///
    /// Places that are found are counted from 1, as in appendix A.16, and estimates rounded down
    /// after half a sample is taken off: the search leans to the past.
    fn add_sequence(
        &self,
        center: &[f32; BLOCK],
        estimate: usize,
        weight: f32,
        sum: &mut [f32; BLOCK],
    ) -> usize {
        let rounded = (estimate - QUARTERS / 2) / QUARTERS;
        let from = rounded.saturating_sub(SLOP);
        let to = (rounded + SLOP).min(MEMORY - BLOCK - 1);
        let mut correlations = [0.0; 2 * SLOP + 1 + 2 * SLOP];
        for (correlation, offset) in correlations[SLOP..].iter_mut().zip(from..=to) {
            *correlation = dot(center, &self.memory[offset..offset + BLOCK]);
        }
        let found = greatest(&correlations, to + 1 - from);
        // The sample after the place, and how many quarters before it the place is.
        let after = found.div_ceil(QUARTERS);
        let window = self.window(from + after);
        let filter = &SHIFTS[QUARTERS * after - found];
        let filter = filter.map(|tap| weight * tap);
        add_filtered(&filter, &window, sum);
        QUARTERS * from + found + QUARTERS
    }

    /// The block that begins at `at` and what interpolation needs on both sides; silence beyond
    /// the memory.
    fn window(&self, at: usize) -> [f32; BLOCK + 2 * MARGIN] {
        let mut window = [0.0; BLOCK + 2 * MARGIN];
        let missing = MARGIN.saturating_sub(at);
        let known = &self.memory[at.saturating_sub(MARGIN)..];
        for (place, sample) in window[missing..].iter_mut().zip(known) {
            *place = *sample;
        }
        window
    }
}

/// Which quarter of a sample after the first of `count` correlations, which follow [`SLOP`] zeros,
/// is the greatest.
fn greatest(correlations: &[f32; 4 * SLOP + 1], count: usize) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for offset in 0..count {
        let window = &correlations[offset..offset + 2 * SLOP + 1];
        for (quarter, filter) in SHIFTS.iter().enumerate() {
            // There are no more correlations than the middle taps need.
            let taps = filter[1..].iter().zip(window.iter().rev());
            let score = taps.map(|(tap, correlation)| tap * correlation).sum();
            if score > best.1 {
                best = (QUARTERS * offset + quarter, score);
            }
        }
    }
    best.0
}

/// The middle of a block of the memory, in quarters of a sample.
const fn middle(block: usize) -> usize {
    QUARTERS * (block * BLOCK + BLOCK / 2)
}

/// Puts `sum`, made as loud as `center`, in its place as far as the change stays within
/// [`CHANGE_MAX`] (§4.6.3 to §4.6.5).
fn constrain(center: &[f32; BLOCK], sum: &[f32; BLOCK]) -> [f32; BLOCK] {
    let energy = dot(center, center);
    let (of_sum, common) = (dot(sum, sum).max(1.0), dot(sum, center));
    let scale = (energy / of_sum).sqrt();
    let error: f32 = center
        .iter()
        .zip(sum)
        .map(|(center, sum)| (center - scale * sum) * (center - scale * sum))
        .sum();
    if error <= CHANGE_MAX * energy {
        return sum.map(|sum| scale * sum);
    }
    let energy = energy.max(1.0);
    let spread = (of_sum * energy - common * common) / (energy * energy);
    if spread <= 0.0001 {
        return *center;
    }
    let a = ((CHANGE_MAX - CHANGE_MAX * CHANGE_MAX / 4.0) / spread).sqrt();
    let b = 1.0 - CHANGE_MAX / 2.0 - a * common / energy;
    std::array::from_fn(|at| a * sum[at] + b * center[at])
}
