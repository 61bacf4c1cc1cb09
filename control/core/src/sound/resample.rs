//! From any number of samples a second to any other, all at once: each sample is the weighted sum of
//! those around its place, by a sinc in a window.

use std::f64::consts::PI;

/// Zeros of the sinc on each side.
const ZEROS: f64 = 16.0;

/// Places between two samples that there are weights for.
const PHASES_MAX: u64 = 1_024;

/// Samples of `from_hz` as samples of `to_hz`.
pub(super) fn resample(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    if from_hz == to_hz {
        return samples.to_vec();
    }
    let divisor = gcd(from_hz.into(), to_hz.into());
    let (from, to) = (u64::from(from_hz) / divisor, u64::from(to_hz) / divisor);
    let weights = Weights::new(from, to);
    let len = samples.len() as u64 * to / from;
    let places = (0..len).map(|at| {
        let place = at * from;
        let phase = place % to * weights.phases / to;
        (usize::try_from(place / to).unwrap_or(0), phase)
    });
    places
        .map(|(at, phase)| weights.sum(samples, at, usize::try_from(phase).unwrap_or(0)))
        .collect()
}

/// Weights for each place between two samples.
struct Weights {
    phases: u64,
    /// Samples on each side of the place.
    reach: usize,
    /// Those of one phase after another.
    all: Vec<f32>,
}

impl Weights {
    fn new(from: u64, to: u64) -> Self {
        let narrowing = (to as f64 / from as f64).min(1.0);
        // A little below the half of the lower rate, for the filter is not steep without end.
        let cutoff = 0.94 * narrowing;
        let width = ZEROS / narrowing;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 16 times 192 kHz by 8 kHz"
        )]
        let reach = width.ceil() as usize;
        let phases = to.min(PHASES_MAX);
        let mut all = Vec::new();
        for phase in 0..phases {
            let offset = phase as f64 / phases as f64;
            let distances = (0..2 * reach).map(|tap| tap as f64 + 1.0 - reach as f64 - offset);
            let weights: Vec<_> = distances.map(|it| weight(it, cutoff, width)).collect();
            // Silence stays silence, and what stands still keeps its height.
            let sum: f64 = weights.iter().sum();
            #[expect(clippy::cast_possible_truncation, reason = "none is above 1")]
            all.extend(weights.iter().map(|it| (it / sum) as f32));
        }
        Self { phases, reach, all }
    }

    /// The sample a phase behind the one at `at`.
    fn sum(&self, samples: &[i16], at: usize, phase: usize) -> i16 {
        let taps = 2 * self.reach;
        let weights = self.all.iter().skip(phase * taps).take(taps);
        // The first weight is for the sample `reach - 1` before.
        let before = (self.reach - 1).saturating_sub(at);
        let first = (at + 1).saturating_sub(self.reach);
        let samples = samples.iter().skip(first);
        let products = weights.skip(before).zip(samples);
        let sum: f32 = products.map(|(weight, it)| weight * f32::from(*it)).sum();
        let sum = sum.round().clamp(f32::from(i16::MIN), f32::from(i16::MAX));
        #[expect(clippy::cast_possible_truncation, reason = "it is within bounds")]
        let sum = sum as i16;
        sum
    }
}

/// A sinc of this cutoff in a Hann window.
fn weight(distance: f64, cutoff: f64, width: f64) -> f64 {
    if distance.abs() >= width {
        return 0.0;
    }
    let x = PI * distance * cutoff;
    let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
    sinc * (PI * distance / width / 2.0).cos().powi(2)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
