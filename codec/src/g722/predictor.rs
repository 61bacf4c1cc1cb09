//! The predictor of a band: two poles and six zeros that follow the signal (G.722 §6.2.1.4).
//!
//! Coefficients have 14 bits behind the point.

use wide::i16x8;

use super::saturate;

/// Lanes that count: there are six zeros.
const ZEROS: i16x8 = i16x8::new([1, 1, 1, 1, 1, 1, 0, 0]);

/// What a band has heard and makes of it.
#[derive(Clone, Debug)]
pub(super) struct Predictor {
    /// A1 and A2: the poles.
    poles: [i16; 2],
    /// B1 to B6: the zeros.
    zeros: i16x8,
    /// DLT: twice the newest differences, the newest first.
    differences: i16x8,
    /// PLT: the signs of the newest partly reconstructed signals; −1 and 0.
    signs: [i16; 2],
    /// RLT: the newest reconstructed signal.
    reconstructed: i16,
    /// SZ: what the zeros predict.
    of_zeros: i16,
    /// S: what all predict.
    prediction: i16,
}

impl Default for Predictor {
    fn default() -> Self {
        Self {
            poles: [0; 2],
            zeros: i16x8::ZERO,
            differences: i16x8::ZERO,
            signs: [0; 2],
            reconstructed: 0,
            of_zeros: 0,
            prediction: 0,
        }
    }
}

impl Predictor {
    /// What the next sample is expected to be.
    pub(super) fn prediction(&self) -> i16 {
        self.prediction
    }

    /// Learns how far the sample was from what was expected (block 4 of the standard).
    #[inline]
    pub(super) fn adapt(&mut self, difference: i16) {
        let reconstructed = self.prediction.saturating_add(difference);
        let sign = self.of_zeros.saturating_add(difference) >> 15;
        let of_poles = self.adapt_poles(sign, reconstructed);
        self.of_zeros = self.adapt_zeros(difference);
        self.prediction = of_poles.saturating_add(self.of_zeros);
    }

    /// UPPOL2, UPPOL1 and FILTEP.
    #[inline]
    fn adapt_poles(&mut self, sign: i16, reconstructed: i16) -> i16 {
        let [first, second] = self.poles.map(i32::from);
        // −1 where the sign is another one, else 0. What depends on signs is guessed wrong every
        // second time, so nothing here branches.
        let [is_first_other, is_second_other] = self.signs.map(|it| i32::from(it ^ sign));
        self.signs = [sign, self.signs[0]];

        let turn = negate_where(!is_first_other, i32::from(saturate(4 * first)));
        let nudge = negate_where(is_second_other, 128);
        let second = (turn.min(32_767) >> 7) + nudge + ((second * 32_512) >> 15);
        let second = second.clamp(-12_288, 12_288);

        let nudge = negate_where(is_first_other, 192);
        let first = nudge + ((first * 32_640) >> 15);
        // Poles outside of the circle of one would not come to rest.
        let bound = 15_360 - second;
        let first = first.clamp(-bound, bound);

        let older = std::mem::replace(&mut self.reconstructed, reconstructed);
        self.poles = [saturate(first), saturate(second)];
        saturate(weigh(reconstructed, first) + weigh(older, second))
    }

    /// UPZERO and FILTEZ.
    #[inline]
    fn adapt_zeros(&mut self, difference: i16) -> i16 {
        let nudge = if difference == 0 { 0 } else { 128 };
        let is_other: i16x8 = (self.differences ^ i16x8::splat(difference)) >> 15;
        let nudge = (i16x8::splat(nudge) ^ is_other) - is_other;
        self.zeros = leak(self.zeros).saturating_add(nudge);
        let [a, b, c, d, e, f, g, _] = self.differences.to_array();
        self.differences = i16x8::new([difference.saturating_mul(2), a, b, c, d, e, f, g]);
        saturate(
            weigh_all(self.differences, self.zeros)
                .dot(ZEROS)
                .reduce_add(),
        )
    }
}

/// The negative of a number where the mask is −1; itself where it is 0.
fn negate_where(mask: i32, number: i32) -> i32 {
    (number ^ mask) - mask
}

/// 255/256 of each, rounded down.
fn leak(coefficients: i16x8) -> i16x8 {
    let rounding = (coefficients & i16x8::splat(0xff)).min(i16x8::splat(1));
    coefficients - (coefficients >> 8) - rounding
}

/// The products of numbers with 15 bits behind the point, rounded down.
fn weigh_all(signals: i16x8, coefficients: i16x8) -> i16x8 {
    let upper = signals.mul_keep_high(coefficients);
    let lower = ((signals * coefficients) >> 15) & i16x8::splat(1);
    // −1 times −1 is too great, by the least there is.
    let is_one = upper.simd_eq(i16x8::splat(0x4000));
    (upper << 1 | lower) + is_one
}

/// Twice a signal, weighted by a coefficient.
fn weigh(signal: i16, coefficient: i32) -> i32 {
    (i32::from(signal.saturating_mul(2)) * coefficient) >> 15
}
