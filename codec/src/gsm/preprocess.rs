//! What is done to samples before anything else: scaled down, freed of their direct current, and
//! their high frequencies raised (EN 300 961 §5.2.1 to §5.2.3).

use super::SAMPLES_PER_FRAME;
use super::arithmetic::{mult_r, short};
use super::ratios::Stages;

/// Of a pole at 1 − 33 / 2^15, the 33.
pub(super) const LEAK: i16 = 33;

/// How much of the sample before is taken from each.
pub(super) const EMPHASIS: i16 = -28_180;

/// What is kept from frame to frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Preprocess {
    /// The last sample, scaled.
    last_input: i16,
    /// The output of the first filter, with 15 bits behind the point.
    level: i32,
    /// The same, rounded.
    last_output: i16,
}

impl Preprocess {
    /// The level's upper half and its lower 15 bits, then the rest: as `lanes::preprocess` has it.
    #[inline(always)]
    pub(super) fn to_lane(&self) -> Stages {
        let (upper, lower) = (short(self.level >> 15), short(self.level & 0x7fff));
        [upper, lower, self.last_input, self.last_output, 0, 0, 0, 0]
    }

    /// The reverse.
    #[inline(always)]
    pub(super) fn set_from_lane(&mut self, lane: &Stages) {
        let [upper, lower, last_input, last_output, ..] = *lane;
        *self = Self {
            last_input,
            level: i32::from(upper) << 15 | i32::from(lower),
            last_output,
        };
    }

    /// Filters the samples of a frame.
    pub(super) fn run(&mut self, samples: &[i16; SAMPLES_PER_FRAME]) -> [i16; SAMPLES_PER_FRAME] {
        samples.map(|sample| {
            let input = scale(sample);
            self.level = leak(self.level) + (i32::from(input - self.last_input) << 15);
            self.last_input = input;
            let output = short((self.level + 0x4000) >> 15);
            let emphasised = output.saturating_add(mult_r(self.last_output, EMPHASIS));
            self.last_output = output;
            emphasised
        })
    }
}

/// Half of a sample, and no more than 13 bits of it.
#[inline(always)]
fn scale(sample: i16) -> i16 {
    (sample >> 3) << 2
}

/// `level · 32735 / 2^15`. The standard multiplies the upper half and the lower 15 bits apart and
/// rounds the lower product; since 32735 is 2^15 − 33, both are the level but for 33 times a half.
///
/// Nothing overflows: the filter at most doubles its input of 14 bits and a sign, so that a level
/// fits in 31 bits and a sign.
#[inline(always)]
fn leak(level: i32) -> i32 {
    let upper = level >> 15;
    let lower = level & 0x7fff;
    let leak = i32::from(LEAK);
    level - leak * upper + ((0x4000 - leak * lower) >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// §5.2.2 to the letter.
    fn leak_by_halves(level: i32) -> i32 {
        let upper = level >> 15;
        let lower = level - (upper << 15);
        ((lower * 32_735 + 0x4000) >> 15) + upper * 32_735
    }

    #[test]
    fn the_leak_is_that_of_the_standard() {
        for level in (-(1 << 30)..=1 << 30).step_by(10_007) {
            assert_eq!(leak(level), leak_by_halves(level), "{level}");
        }
    }

    #[test]
    fn direct_current_goes_away_and_the_loudest_square_overflows_nothing() {
        let mut state = Preprocess::default();
        let mut last = 0;
        for round in 0..200 {
            let sample = if round / 50 % 2 == 0 {
                i16::MIN
            } else {
                i16::MAX
            };
            last = state.run(&[sample; SAMPLES_PER_FRAME])[159];
        }
        assert!(last.abs() <= 1, "{last}");
        for round in 0..20_000 {
            let sample = if round % 2 == 0 { i16::MIN } else { i16::MAX };
            state.run(&[sample; SAMPLES_PER_FRAME]);
        }
    }
}
