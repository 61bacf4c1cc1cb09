//! Log-area ratios, what they are coded as, and the reflection coefficients that they stand for
//! (EN 300 961 §5.2.6 to §5.2.9).

use super::arithmetic::{abs, code, mult, mult_r, short};

/// Eight numbers, one of each stage of the lattice.
pub(super) type Stages = [i16; 8];

/// For each of the four parts of a frame the samples it has: the coefficients move in three steps
/// from those of the frame before to their own.
pub(super) const PART_LENS: [usize; 4] = [13, 14, 13, 120];

const A: Stages = [20_480, 20_480, 20_480, 20_480, 13_964, 15_360, 8_534, 9_036];
const B: Stages = [0, 0, 2_048, -2_560, 94, -1_792, -341, -1_144];
const MIN: Stages = [-32, -32, -16, -16, -8, -8, -4, -4];
const MAX: Stages = [31, 31, 15, 15, 7, 7, 3, 3];
/// `1 / A`.
const INVERSE_A: Stages = [
    13_107, 13_107, 13_107, 13_107, 19_223, 17_476, 31_454, 29_708,
];

/// Codes the log-area ratios of reflection coefficients (§5.2.6, §5.2.7).
#[inline(always)]
pub(super) fn encode(reflections: &Stages) -> [u8; 8] {
    let mut coded = [0; 8];
    for (stage, coded) in coded.iter_mut().enumerate() {
        let scaled = mult(A[stage], ratio_of(reflections[stage])).saturating_add(B[stage]);
        let rounded = scaled.saturating_add(256) >> 9;
        *coded = code(rounded.clamp(MIN[stage], MAX[stage]) - MIN[stage]);
    }
    coded
}

/// A log-area ratio, by the three straight lines that stand for the logarithm.
#[inline(always)]
fn ratio_of(reflection: i16) -> i16 {
    let magnitude = abs(reflection);
    let ratio = if magnitude < 22_118 {
        magnitude >> 1
    } else if magnitude < 31_130 {
        magnitude - 11_059
    } else {
        (magnitude - 26_112) << 2
    };
    if reflection < 0 { -ratio } else { ratio }
}

/// The log-area ratios of a frame before, which the next frame starts from.
#[derive(Clone, Debug, Default)]
pub(super) struct Previous(Stages);

impl Previous {
    /// Reflection coefficients of the four parts of a frame, given its coded log-area ratios
    /// (§5.2.8, §5.2.9).
    #[inline(always)]
    pub(super) fn reflections(&mut self, coded: &[u8; 8]) -> [Stages; 4] {
        let mut parts = [[0; 8]; 4];
        for (stage, coded) in coded.iter().enumerate() {
            let old = self.0[stage];
            let new = decode(stage, *coded);
            // A quarter and a half are taken before they are added up: rounding is part of the
            // standard.
            let steps = [
                (old >> 2).saturating_add(new >> 2).saturating_add(old >> 1),
                (old >> 1).saturating_add(new >> 1),
                (old >> 2).saturating_add(new >> 2).saturating_add(new >> 1),
                new,
            ];
            for (part, ratio) in parts.iter_mut().zip(steps) {
                part[stage] = reflection_of(ratio);
            }
            self.0[stage] = new;
        }
        parts
    }
}

#[inline(always)]
fn decode(stage: usize, coded: u8) -> i16 {
    let scaled = short((i32::from(coded) + i32::from(MIN[stage])) << 10);
    let shifted = scaled.saturating_sub(B[stage] << 1);
    let ratio = mult_r(INVERSE_A[stage], shifted);
    ratio.saturating_add(ratio)
}

#[inline(always)]
fn reflection_of(ratio: i16) -> i16 {
    let magnitude = abs(ratio);
    let reflection = if magnitude < 11_059 {
        magnitude << 1
    } else if magnitude < 20_070 {
        magnitude + 11_059
    } else {
        (magnitude >> 2).saturating_add(26_112)
    };
    if ratio < 0 { -reflection } else { reflection }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_as_itself() {
        for value in 0..64_u8 {
            let mut coded = [0; 8];
            for (stage, coded) in coded.iter_mut().enumerate() {
                *coded = value.min(code(MAX[stage] - MIN[stage]));
            }
            let [_, _, _, last] = Previous::default().reflections(&coded);
            let again = encode(&last);
            for (again, coded) in again.iter().zip(coded) {
                // Near ±1 the lines are so steep that coefficients lie closer than codes.
                assert!(again.abs_diff(coded) <= 1, "{again} for {coded}");
            }
        }
    }

    #[test]
    fn coefficients_are_never_the_number_without_an_opposite() {
        for ratio in i16::MIN..=i16::MAX {
            assert_ne!(reflection_of(ratio), i16::MIN);
        }
    }

    #[test]
    fn a_frame_like_the_one_before_has_the_same_coefficients_throughout() {
        let coded = [40, 20, 9, 22, 3, 12, 5, 1];
        let mut previous = Previous::default();
        let moved = previous.reflections(&coded);
        assert_ne!(moved[0], moved[3]);
        let settled = previous.reflections(&coded);
        for part in &settled[..3] {
            for (one, other) in part.iter().zip(&settled[3]) {
                // Quarters and halves are rounded one by one.
                assert!(one.abs_diff(*other) <= 6, "{one} {other}");
            }
        }
    }
}
