//! The lattice filters: analysis takes the short-term prediction out of samples, synthesis puts it
//! back (EN 300 961 §5.2.10, §5.3.2).

use super::SAMPLES_PER_FRAME;
use super::arithmetic::mult_r;
use super::ratios::{PART_LENS, Stages};

/// How much of the sample before is added to each when the emphasis is taken back.
pub(super) const DEEMPHASIS: i16 = 28_180;

/// Calls `body` with each part of a frame and its coefficients.
fn for_each_part(
    samples: &mut [i16; SAMPLES_PER_FRAME],
    reflections: &[Stages; 4],
    mut body: impl FnMut(&Stages, &mut [i16]),
) {
    let mut rest = samples.as_mut_slice();
    for (len, reflections) in PART_LENS.into_iter().zip(reflections) {
        let (part, after) = rest.split_at_mut(len);
        body(reflections, part);
        rest = after;
    }
}

/// Replaces samples by what is left of them when the prediction is taken out.
pub(super) fn analyse(
    state: &mut Stages,
    reflections: &[Stages; 4],
    samples: &mut [i16; SAMPLES_PER_FRAME],
) {
    for_each_part(samples, reflections, |reflections, part| {
        for sample in part {
            let (mut forward, mut backward) = (*sample, *sample);
            for (delayed, reflection) in state.iter_mut().zip(reflections) {
                let u = std::mem::replace(delayed, backward);
                backward = u.saturating_add(mult_r(*reflection, forward));
                forward = forward.saturating_add(mult_r(*reflection, u));
            }
            *sample = forward;
        }
    });
}

/// The reverse of [`analyse`].
pub(super) fn synthesise(
    state: &mut Stages,
    reflections: &[Stages; 4],
    samples: &mut [i16; SAMPLES_PER_FRAME],
) {
    for_each_part(samples, reflections, |reflections, part| {
        for sample in part {
            let mut forward = *sample;
            for stage in (0..8).rev() {
                let v = state[stage];
                forward = forward.saturating_sub(mult_r(reflections[stage], v));
                if let Some(next) = state.get_mut(stage + 1) {
                    *next = v.saturating_add(mult_r(reflections[stage], forward));
                }
            }
            state[0] = forward;
            *sample = forward;
        }
    });
}

/// Lowers the high frequencies again, doubles, and keeps 13 bits (§5.3.3 to §5.3.5). `last` is the
/// sample before.
pub(super) fn deemphasise(last: &mut i16, samples: &mut [i16; SAMPLES_PER_FRAME]) {
    for sample in samples {
        *last = sample.saturating_add(mult_r(*last, DEEMPHASIS));
        *sample = last.saturating_add(*last) & !7;
    }
}
