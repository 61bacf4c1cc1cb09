//! How long a period of the voice is.

/// The shortest period that is looked for: a voice of 200 Hz. Of higher voices it finds two or
/// more periods, which do as well.
const SHORTEST_MS: usize = 5;

/// The longest: a voice of 67 Hz.
const LONGEST_MS: usize = 15;

/// What is compared with itself.
const WINDOW_MS: usize = 20;

/// How little more alike a longer period must be to be preferred to a shorter one, of which it may
/// be a multiple.
const PREFERENCE: f32 = 1.05;

/// The lag at which the last milliseconds of sound are most like themselves: at first every quarter
/// of a millisecond, and then every one around the best.
pub(super) fn period(per_ms: usize, played: &[i16]) -> usize {
    let (shortest, longest) = (SHORTEST_MS * per_ms, LONGEST_MS * per_ms);
    let stride = per_ms / 4;
    let coarse = best(
        played,
        per_ms,
        (shortest..=longest).step_by(stride),
        PREFERENCE,
    );
    let around = (coarse - stride).max(shortest)..=(coarse + stride).min(longest);
    best(played, per_ms, around, 1.0)
}

/// The best of some lags that rise. A longer one must be so much more like than a shorter one.
fn best(
    played: &[i16],
    per_ms: usize,
    lags: impl Iterator<Item = usize>,
    preference: f32,
) -> usize {
    let mut best = (LONGEST_MS * per_ms, 0.0);
    for lag in lags {
        let likeness = likeness(played, lag, WINDOW_MS * per_ms);
        if likeness > preference * best.1 {
            best = (lag, likeness);
        }
    }
    best.0
}

/// The square of the correlation of the last `window` samples with those `lag` before, over the
/// energy of these; 0 if they are opposed rather than alike.
fn likeness(played: &[i16], lag: usize, window: usize) -> f32 {
    let now = &played[played.len() - window..];
    let before = &played[played.len() - window - lag..];
    let (mut product, mut energy) = (0.0, 1.0);
    for (now, before) in now.iter().zip(before) {
        let (now, before) = (f32::from(*now), f32::from(*before));
        product += now * before;
        energy += before * before;
    }
    if product <= 0.0 {
        return 0.0;
    }
    product * product / energy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal;

    #[test]
    fn a_period_is_found_at_either_rate() {
        for (per_ms, rate_hz) in [(8, 8_000), (16, 16_000)] {
            for hz in [70, 100, 133, 180] {
                // A pulse of a millisecond in each period.
                let is_pulse = |at: u32| at * hz % rate_hz < hz * rate_hz / 1_000;
                let pulses = (0..).map(|at| if is_pulse(at) { 8_000 } else { 0 });
                let noise = signal::noise(u64::from(hz), 300.0);
                let sound = pulses.zip(noise).map(|(pulse, noise)| pulse + noise);
                let played: Vec<i16> = sound.take(780).collect();
                let found = period(per_ms, &played);
                let expected = usize::try_from(rate_hz / hz).unwrap();
                assert!(found.abs_diff(expected) <= 1, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn silence_and_noise_have_some_period() {
        assert_eq!(period(8, &[0; 390]), 120);
        let noise: Vec<i16> = signal::noise(3, 30_000.0).take(780).collect();
        assert!((80..=240).contains(&period(16, &noise)));
        let loud: Vec<i16> = vec![i16::MIN; 390];
        assert!((40..=120).contains(&period(8, &loud)));
    }
}
