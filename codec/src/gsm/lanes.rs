//! Filters that cannot be done for several samples of one stream at a time, since each sample
//! needs the one before: done for one sample of sixteen streams.
//!
//! Every number is the same as from `preprocess` and `lattice`, which say what is done and why.
//! There are no closures here: unlike these functions they cannot be made to be inlined, and what is
//! not inlined is not compiled for the instructions that it uses.

use super::SAMPLES_PER_FRAME;
use super::lattice::DEEMPHASIS;
use super::preprocess::{EMPHASIS, LEAK};
use super::ratios::{PART_LENS, Stages};
use super::simd::{LANES, Row, Simd};

/// A frame of each stream.
pub(super) type Frames = [[i16; SAMPLES_PER_FRAME]; LANES];

/// The same, sample by sample.
pub(super) type Rows = [Row; SAMPLES_PER_FRAME];

/// Reflection coefficients of each stream, for each of the four parts of a frame.
pub(super) type Reflections = [[Stages; LANES]; 4];

/// Streams in a block.
const HALF: usize = LANES / 2;

/// Frames by sample.
#[inline(always)]
pub(super) fn to_rows<S: Simd>(simd: S, frames: &Frames) -> Rows {
    let mut rows = [[0; LANES]; SAMPLES_PER_FRAME];
    for (at, rows) in rows.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        for (half, frames) in frames.as_chunks::<HALF>().0.iter().enumerate() {
            let mut block = [[0; 8]; 8];
            for (samples, frame) in block.iter_mut().zip(frames) {
                *samples = part(frame, 8 * at);
            }
            for (row, samples) in rows.iter_mut().zip(simd.transpose(&block)) {
                row[HALF * half..][..HALF].copy_from_slice(&samples);
            }
        }
    }
    rows
}

/// Rows by stream.
#[inline(always)]
pub(super) fn to_frames<S: Simd>(simd: S, rows: &Rows) -> Frames {
    let mut frames = [[0; SAMPLES_PER_FRAME]; LANES];
    for (at, rows) in rows.as_chunks::<8>().0.iter().enumerate() {
        for (half, frames) in frames.as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
            let mut block = [[0; 8]; 8];
            for (samples, row) in block.iter_mut().zip(rows) {
                *samples = part(row, HALF * half);
            }
            for (frame, samples) in frames.iter_mut().zip(simd.transpose(&block)) {
                frame[8 * at..][..8].copy_from_slice(&samples);
            }
        }
    }
    frames
}

/// Eight numbers from `place` on.
#[inline(always)]
fn part(numbers: &[i16], place: usize) -> [i16; 8] {
    let part = numbers[place..].first_chunk();
    *part.expect("places are of whole blocks")
}

/// One vector for each of the eight numbers that a stream has.
#[inline(always)]
fn gather<S: Simd>(simd: S, numbers: &[Stages; LANES]) -> [S::Vector; 8] {
    let mut rows = [[0; LANES]; 8];
    for (half, streams) in numbers.as_chunks::<HALF>().0.iter().enumerate() {
        for (row, numbers) in rows.iter_mut().zip(simd.transpose(streams)) {
            row[HALF * half..][..HALF].copy_from_slice(&numbers);
        }
    }
    let mut vectors = [simd.splat(0); 8];
    for (vector, row) in vectors.iter_mut().zip(&rows) {
        *vector = simd.load(row);
    }
    vectors
}

/// The reverse: the eight numbers of each stream.
#[inline(always)]
fn scatter<S: Simd>(simd: S, vectors: &[S::Vector; 8]) -> [Stages; LANES] {
    let mut all = [[0; 8]; LANES];
    for (half, streams) in all.as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
        let mut block = [[0; 8]; 8];
        for (numbers, vector) in block.iter_mut().zip(vectors) {
            *numbers = part(&simd.store(*vector), HALF * half);
        }
        *streams = simd.transpose(&block);
    }
    all
}

/// As `lattice::analyse`.
#[inline(always)]
pub(super) fn analyse<S: Simd>(
    simd: S,
    states: &mut [Stages; LANES],
    reflections: &Reflections,
    rows: &mut Rows,
) {
    let mut state = gather(simd, states);
    let mut rest = rows.as_mut_slice();
    for (reflections, len) in reflections.iter().zip(PART_LENS) {
        let reflections = gather(simd, reflections);
        let (rows, after) = rest.split_at_mut(len);
        rest = after;
        for row in rows {
            let mut forward = simd.load(row);
            let mut backward = forward;
            for (delayed, reflection) in state.iter_mut().zip(&reflections) {
                let u = *delayed;
                *delayed = backward;
                backward = simd.saturating_add(u, simd.mul_r(*reflection, forward));
                forward = simd.saturating_add(forward, simd.mul_r(*reflection, u));
            }
            *row = simd.store(forward);
        }
    }
    *states = scatter(simd, &state);
}

/// As `lattice::synthesise` and `lattice::deemphasise`.
#[inline(always)]
pub(super) fn synthesise<S: Simd>(
    simd: S,
    states: &mut [Stages; LANES],
    last_outputs: &mut Row,
    reflections: &Reflections,
    rows: &mut Rows,
) {
    let mut state = gather(simd, states);
    let mut last = simd.load(last_outputs);
    let (deemphasis, mask) = (simd.splat(DEEMPHASIS), simd.splat(!7));
    let mut rest = rows.as_mut_slice();
    for (reflections, len) in reflections.iter().zip(PART_LENS) {
        let reflections = gather(simd, reflections);
        let (rows, after) = rest.split_at_mut(len);
        rest = after;
        for row in rows {
            let mut forward = simd.load(row);
            for stage in (0..8).rev() {
                let v = state[stage];
                forward = simd.saturating_sub(forward, simd.mul_r(reflections[stage], v));
                if stage < 7 {
                    state[stage + 1] =
                        simd.saturating_add(v, simd.mul_r(reflections[stage], forward));
                }
            }
            state[0] = forward;
            last = simd.saturating_add(forward, simd.mul_r(last, deemphasis));
            *row = simd.store(simd.and(simd.saturating_add(last, last), mask));
        }
    }
    *states = scatter(simd, &state);
    *last_outputs = simd.store(last);
}

/// As `Preprocess::run`, for the encoders of all lanes.
///
/// A level has more than 16 bits, so its upper half and its lower 15 bits are kept apart, and so is
/// the product that is taken from it. What is borrowed from the upper half is −1 or 0.
#[inline(always)]
pub(super) fn preprocess<S: Simd>(simd: S, states: &mut [Stages; LANES], rows: &mut Rows) {
    let [mut upper, mut lower, mut last_input, mut last_output, ..] = gather(simd, states);
    let fifteen_bits = simd.splat(0x7fff);
    let input_bits = simd.splat(!3);
    let (leak, leak_twice, minus_leak) =
        (simd.splat(LEAK), simd.splat(2 * LEAK), simd.splat(-LEAK));
    let emphasis = simd.splat(EMPHASIS);
    for row in rows {
        let input = simd.and(simd.shift_right::<1>(simd.load(row)), input_bits);
        let step = simd.wrapping_sub(input, last_input);
        let lost_lower = simd.and(simd.mul_low(upper, leak), fifteen_bits);
        let lost_upper = simd.mul_high(upper, leak_twice);
        let rounded = simd.mul_r(lower, minus_leak);
        let once = simd.wrapping_sub(lower, lost_lower);
        let twice = simd.wrapping_add(simd.and(once, fifteen_bits), rounded);
        let borrowed =
            simd.wrapping_add(simd.shift_right::<15>(once), simd.shift_right::<15>(twice));
        lower = simd.and(twice, fifteen_bits);
        upper = simd.wrapping_add(
            simd.wrapping_sub(upper, lost_upper),
            simd.wrapping_add(borrowed, step),
        );
        last_input = input;
        let output = simd.wrapping_add(upper, simd.shift_right::<14>(lower));
        *row = simd.store(simd.saturating_add(output, simd.mul_r(last_output, emphasis)));
        last_output = output;
    }
    let zero = simd.splat(0);
    let state = [
        upper,
        lower,
        last_input,
        last_output,
        zero,
        zero,
        zero,
        zero,
    ];
    *states = scatter(simd, &state);
}
