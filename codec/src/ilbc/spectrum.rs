//! Line spectral frequencies and the filters they stand for (RFC 3951 §3.2.4 to §3.2.6, §4.1).

use super::lsf_codebooks::{FIRST, LAST, MIDDLE};
use super::tables::MEAN_LSF;
use super::{Mode, ORDER};

/// Ten frequencies, in rad, in rising order.
pub(super) type Frequencies = [f32; ORDER];

/// Coefficients of A(z) = 1 + Σ a\[i\]·z^-(i+1).
pub(super) type Predictor = [f32; ORDER];

/// A predictor for each sub-block of a frame.
pub(super) type Predictors = [Predictor; 6];

/// The codebooks count in 2^-13 rad.
const STEP: f32 = 1.0 / 8_192.0;

/// What neighbours are moved apart by: 50 Hz (§3.2.5; the number is that of appendix A.40).
const APART: f32 = 0.039;

/// Bounds of a frequency: nearly 0 and nearly 4,000 Hz.
const LOWEST: f32 = 0.01;
#[expect(clippy::approx_constant, reason = "the format says 3.14")]
const HIGHEST: f32 = 3.14;

/// The frequencies that a frame's three indices stand for, safely apart. Indices count modulo the
/// length of their codebook.
pub(super) fn dequantize([first, middle, last]: [u8; 3]) -> Frequencies {
    let (first, middle, last) = (
        usize::from(first % 64),
        usize::from(middle % 128),
        usize::from(last % 128),
    );
    let mut lsf = [0.0; ORDER];
    for (value, column) in lsf[..3].iter_mut().zip(&FIRST) {
        *value = f32::from(column[first]) * STEP;
    }
    for (value, column) in lsf[3..6].iter_mut().zip(&MIDDLE) {
        *value = f32::from(column[middle]) * STEP;
    }
    for (value, column) in lsf[6..].iter_mut().zip(&LAST) {
        *value = f32::from(column[last]) * STEP;
    }
    keep_apart(&mut lsf);
    lsf
}

/// The indices of the codebooks' vectors that are nearest to `lsf`.
pub(super) fn quantize(lsf: &Frequencies) -> [u8; 3] {
    [
        nearest(&FIRST, &lsf[..3]),
        nearest(&MIDDLE, &lsf[3..6]),
        nearest(&LAST, &lsf[6..]),
    ]
}

fn nearest<const N: usize, const D: usize>(codebook: &[[u16; N]; D], target: &[f32]) -> u8 {
    let mut errors = [0.0; N];
    for (column, target) in codebook.iter().zip(target) {
        let target = target / STEP;
        for (error, value) in errors.iter_mut().zip(column) {
            let distance = f32::from(*value) - target;
            *error += distance * distance;
        }
    }
    let mut best = (0, f32::INFINITY);
    for (index, error) in (0..).zip(errors) {
        if error < best.1 {
            best = (index, error);
        }
    }
    best.0
}

/// Moves frequencies apart that are nearer than 50 Hz or in the wrong order (§3.2.5).
fn keep_apart(lsf: &mut Frequencies) {
    for _ in 0..2 {
        for at in 0..ORDER - 1 {
            let (low, high) = (lsf[at], lsf[at + 1]);
            if high - low < APART {
                lsf[at] = low.min(high) - APART / 2.0;
                lsf[at + 1] = low.max(high) + APART / 2.0;
            }
            lsf[at] = lsf[at].clamp(LOWEST, HIGHEST);
        }
    }
}

/// The filters of a frame's sub-blocks, from its frequencies and those of the frame before.
#[derive(Clone, Debug)]
pub(super) struct Interpolator {
    previous: Frequencies,
}

impl Interpolator {
    pub(super) const fn new() -> Self {
        Self { previous: MEAN_LSF }
    }

    /// The last frequencies of the frame before.
    pub(super) const fn previous(&self) -> &Frequencies {
        &self.previous
    }

    /// `lsf`: one or two sets, as the mode has.
    pub(super) fn next(&mut self, mode: Mode, lsf: &[Frequencies; 2]) -> Predictors {
        let [first, second] = lsf;
        let mut predictors = [[0.0; ORDER]; 6];
        match mode {
            Mode::Ms20 => {
                for (predictor, weight) in predictors.iter_mut().zip([0.75, 0.5, 0.25, 0.0]) {
                    *predictor = to_predictor(&mix(&self.previous, first, weight));
                }
                self.previous = *first;
            }
            Mode::Ms30 => {
                predictors[0] = to_predictor(&mix(&self.previous, first, 0.5));
                let weights = [1.0, 2.0 / 3.0, 1.0 / 3.0, 0.0];
                for (predictor, weight) in predictors[1..5].iter_mut().zip(weights) {
                    *predictor = to_predictor(&mix(first, second, weight));
                }
                predictors[5] = predictors[4];
                self.previous = *second;
            }
        }
        predictors
    }
}

/// `weight` of `a` and the rest of `b`.
fn mix(a: &Frequencies, b: &Frequencies, weight: f32) -> Frequencies {
    std::array::from_fn(|at| weight * a[at] + (1.0 - weight) * b[at])
}

/// The predictor whose line spectral frequencies these are.
///
/// A(z) is half the sum of a symmetric and an antisymmetric polynomial whose roots lie on the unit
/// circle, at every other frequency each.
fn to_predictor(lsf: &Frequencies) -> Predictor {
    let cosines: [f32; ORDER] = std::array::from_fn(|at| lsf[at].cos());
    let symmetric = from_roots(std::array::from_fn(|at| cosines[2 * at]));
    let antisymmetric = from_roots(std::array::from_fn(|at| cosines[2 * at + 1]));
    let mut predictor = [0.0; ORDER];
    for at in 0..ORDER / 2 {
        let sum = symmetric[at + 1] + symmetric[at];
        let difference = antisymmetric[at + 1] - antisymmetric[at];
        predictor[at] = 0.5 * (sum + difference);
        predictor[ORDER - 1 - at] = 0.5 * (sum - difference);
    }
    predictor
}

/// The first six coefficients of Π (1 - 2·cos·z^-1 + z^-2); the others mirror them.
fn from_roots(cosines: [f32; ORDER / 2]) -> [f32; ORDER / 2 + 1] {
    let mut product = [0.0; ORDER / 2 + 1];
    product[0] = 1.0;
    for (degree, cosine) in cosines.into_iter().enumerate() {
        let double = 2.0 * cosine;
        // What lies beyond the middle mirrors what lies before it.
        let before = if degree > 0 { product[degree - 1] } else { 0.0 };
        product[degree + 1] = 2.0 * before - double * product[degree];
        for at in (2..=degree).rev() {
            product[at] += product[at - 2] - double * product[at - 1];
        }
        if degree > 0 {
            product[1] -= double;
        }
    }
    product
}
