//! Short-term prediction: from the samples of a frame to the reflection coefficients that predict
//! them best (EN 300 961 §5.2.4, §5.2.5).

use super::SAMPLES_PER_FRAME;
use super::arithmetic::{abs, div, high, mult_r, norm, norm_short};
use super::ratios::Stages;

/// The magnitude bits that samples may have for their products to add up in 32 bits.
const SCALED_BITS: u32 = 4;

/// Finds reflection coefficients. Loud samples lose the bits that are too many for the sums, and
/// are left without them, as the standard does.
#[inline(always)]
pub(super) fn analyse(samples: &mut [i16; SAMPLES_PER_FRAME]) -> Stages {
    reflections(&autocorrelate(samples))
}

#[inline(always)]
fn autocorrelate(samples: &mut [i16; SAMPLES_PER_FRAME]) -> [i32; 9] {
    let greatest = samples.iter().fold(0, |max, sample| abs(*sample).max(max));
    let shift = match greatest {
        0 => 0,
        _ => SCALED_BITS.saturating_sub(norm_short(greatest)),
    };
    if shift > 0 {
        let factor = 1 << (15 - shift);
        for sample in samples.iter_mut() {
            *sample = mult_r(*sample, factor);
        }
    }
    let sums = std::array::from_fn(|lag| {
        let pairs = samples[lag..].iter().zip(samples.iter());
        pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
    });
    for sample in samples.iter_mut() {
        *sample <<= shift;
    }
    sums
}

/// The recursion of Schur, in 16 bits.
#[inline(always)]
fn reflections(sums: &[i32; 9]) -> Stages {
    let mut reflections = [0; 8];
    if sums[0] == 0 {
        return reflections;
    }
    // The standard normalises the double of the sums.
    let shift = norm(sums[0]);
    let mut p = sums.map(|sum| high(sum << shift));
    let mut k = p;
    for (stage, reflection) in reflections.iter_mut().enumerate() {
        let magnitude = abs(p[1]);
        if p[0] < magnitude {
            break;
        }
        let quotient = div(magnitude, p[0]);
        *reflection = if p[1] > 0 { -quotient } else { quotient };
        p[0] = p[0].saturating_add(mult_r(p[1], *reflection));
        for m in 1..8 - stage {
            let (next, opposite) = (p[m + 1], k[m]);
            p[m] = next.saturating_add(mult_r(opposite, *reflection));
            k[m] = opposite.saturating_add(mult_r(next, *reflection));
        }
    }
    reflections
}
