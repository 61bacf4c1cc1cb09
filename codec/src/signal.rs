//! Signals that tests listen to.

use std::f64::consts::TAU;

/// A tone of this amplitude, for ever.
pub(crate) fn tone(rate_hz: u32, hz: f64, amplitude: f64) -> impl Iterator<Item = i16> {
    let step = TAU * hz / f64::from(rate_hz);
    (0..).map(move |at| to_sample((f64::from(at) * step).sin() * amplitude))
}

/// White noise between plus and minus this amplitude, always the same for a seed.
pub(crate) fn noise(seed: u64, amplitude: f64) -> impl Iterator<Item = i16> {
    uniform(seed).map(move |it| to_sample(it * amplitude))
}

/// Numbers from −1 to 1 (xorshift64*).
pub(crate) fn uniform(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let upper = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        f64::from(u32::try_from(upper).unwrap()) / f64::from(u32::MAX) * 2.0 - 1.0
    })
}

/// Something like voiced speech: harmonics of a gliding pitch that grow fainter, with pauses.
pub(crate) fn speech(rate_hz: u32, len: usize) -> Vec<i16> {
    let mut phase = 0.0;
    let mut out = Vec::with_capacity(len);
    for at in 0..len {
        let time = at as f64 / f64::from(rate_hz);
        phase += TAU * (120.0 + 30.0 * (TAU * 0.7 * time).sin()) / f64::from(rate_hz);
        let harmonics = (1..20).map(|n| (phase * f64::from(n)).sin() / f64::from(n));
        let syllable = (TAU * 2.0 * time).sin().max(0.0);
        out.push(to_sample(harmonics.sum::<f64>() * syllable * 6_000.0));
    }
    out
}

/// Signal over difference in dB, where `delayed` comes `delay` samples later than `original`.
pub(crate) fn snr_db(original: &[i16], delayed: &[i16], delay: usize) -> f64 {
    let pairs = original.iter().zip(&delayed[delay..]);
    let (mut signal, mut error) = (0.0, 0.0);
    for (original, delayed) in pairs {
        let (original, delayed) = (f64::from(*original), f64::from(*delayed));
        signal += original * original;
        error += (original - delayed) * (original - delayed);
    }
    10.0 * (signal / error.max(1.0)).log10()
}

/// The level in dB below a square wave of full scale, as positive as it is faint (dBov).
pub(crate) fn level_db(samples: &[i16]) -> f64 {
    let energy: f64 = samples.iter().map(|it| f64::from(*it).powi(2)).sum();
    10.0 * (energy / samples.len() as f64 / 32_768.0_f64.powi(2)).log10()
}

#[expect(clippy::cast_possible_truncation, reason = "limited")]
fn to_sample(value: f64) -> i16 {
    value.round().clamp(-32_768.0, 32_767.0) as i16
}
