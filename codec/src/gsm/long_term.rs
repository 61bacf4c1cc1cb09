//! Long-term prediction: what the residual of some milliseconds ago says of this one
//! (EN 300 961 §5.2.11, §5.2.12).

use super::arithmetic::{abs, high, mult, mult_r, norm, norm_short};
use super::frame::SUBFRAME_LEN;

/// Samples of the past that are kept: the longest lag.
pub(super) const HISTORY_LEN: usize = 120;

/// The shortest lag: one sub-frame, so that no sample is predicted from another of its own.
pub(super) const LAG_MIN: usize = 40;

/// Lags there are.
pub(super) const LAG_COUNT: usize = HISTORY_LEN - LAG_MIN + 1;

/// Gains, by code (`QLB`).
pub(super) const GAINS: [i16; 4] = [3_277, 11_469, 21_299, 32_767];

/// Up to which ratio of correlation to power each gain but the last is best (`DLB`).
const GAIN_LIMITS: [i16; 3] = [6_554, 16_384, 26_214];

/// What to predict a sub-frame from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Prediction {
    pub(super) lag: u8,
    /// Coded.
    pub(super) gain: u8,
}

/// A function that does what [`correlate`] does.
pub(super) trait Correlate:
    Copy + Fn(&[i16; SUBFRAME_LEN], &[i16; HISTORY_LEN]) -> [i32; LAG_COUNT]
{
}

impl<F> Correlate for F where
    F: Copy + Fn(&[i16; SUBFRAME_LEN], &[i16; HISTORY_LEN]) -> [i32; LAG_COUNT]
{
}

/// Finds the best prediction of a residual from the reconstructed one before it.
#[inline(always)]
pub(super) fn search(
    residual: &[i16; SUBFRAME_LEN],
    history: &[i16; HISTORY_LEN],
    correlate: impl Correlate,
) -> Prediction {
    let (scaled, shift) = scale(residual);
    let (lag, correlation) = greatest(&correlate(&scaled, history));
    let past = past(history, lag);
    Prediction {
        lag: lag.to_le_bytes()[0],
        gain: gain_of((correlation << 1) >> (6 - shift), past),
    }
}

/// The forty samples that lie `lag` samples before the end of the history.
#[inline(always)]
pub(super) fn past(history: &[i16; HISTORY_LEN], lag: usize) -> &[i16; SUBFRAME_LEN] {
    let (past, _) = history[HISTORY_LEN - lag..]
        .split_first_chunk()
        .expect("a lag is 40 at least");
    past
}

/// Takes magnitudes down to nine bits, so that products add up in 32; by how many bits.
#[inline(always)]
fn scale(residual: &[i16; SUBFRAME_LEN]) -> ([i16; SUBFRAME_LEN], u32) {
    let greatest = residual.iter().fold(0, |max, sample| abs(*sample).max(max));
    let shift = match greatest {
        0 => 6,
        _ => 6_u32.saturating_sub(norm_short(greatest)),
    };
    (residual.map(|sample| sample >> shift), shift)
}

/// Correlations of a scaled residual with the history: the first is that of the longest lag.
#[inline(always)]
pub(super) fn correlate(
    scaled: &[i16; SUBFRAME_LEN],
    history: &[i16; HISTORY_LEN],
) -> [i32; LAG_COUNT] {
    std::array::from_fn(|place| {
        let pairs = scaled.iter().zip(&history[place..place + SUBFRAME_LEN]);
        pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
    })
}

/// The lag with the greatest correlation, the shortest of equal ones; the shortest of all, and 0,
/// if none is positive.
#[inline(always)]
fn greatest(correlations: &[i32; LAG_COUNT]) -> (usize, i32) {
    let greatest = correlations.iter().fold(0, |max, it| max.max(*it));
    if greatest == 0 {
        return (LAG_MIN, 0);
    }
    let place = correlations.iter().rposition(|it| *it == greatest);
    (HISTORY_LEN - place.unwrap_or(LAG_COUNT - 1), greatest)
}

/// The coded gain, given the correlation and the samples predicted from.
#[inline(always)]
fn gain_of(correlation: i32, past: &[i16; SUBFRAME_LEN]) -> u8 {
    if correlation <= 0 {
        return 0;
    }
    let squares = past.map(|sample| {
        let scaled = i32::from(sample >> 3);
        scaled * scaled
    });
    let power = squares.iter().sum::<i32>() << 1;
    if correlation >= power {
        return 3;
    }
    let shift = norm(power);
    let (correlation, power) = (high(correlation << shift), high(power << shift));
    let is_above = |limit: &i16| correlation > mult(power, *limit);
    // The limits rise, so that those below the ratio are the first ones.
    GAIN_LIMITS
        .iter()
        .map(|limit| u8::from(is_above(limit)))
        .sum()
}

/// What the prediction says that the residual is.
#[inline(always)]
pub(super) fn predict(past: &[i16; SUBFRAME_LEN], gain: u8) -> [i16; SUBFRAME_LEN] {
    let gain = GAINS[usize::from(gain & 3)];
    past.map(|sample| mult_r(gain, sample))
}
