//! Synthetic speech: nothing to license, the same on every machine, and like no tone or noise.

#![expect(
    clippy::cast_possible_truncation,
    reason = "amplitudes are bounded by the soft limit at the end"
)]

use std::f64::consts::TAU;

use super::SAMPLE_RATE_HZ;

/// Formants of five vowels: frequencies in Hz.
const VOWELS: [[f64; 3]; 5] = [
    [730.0, 1_090.0, 2_440.0],
    [530.0, 1_840.0, 2_480.0],
    [270.0, 2_290.0, 3_010.0],
    [570.0, 840.0, 2_410.0],
    [300.0, 870.0, 2_240.0],
];

/// Bandwidths of the three formants in Hz.
const BANDWIDTHS: [f64; 3] = [80.0, 110.0, 160.0];

/// Speaks for a while: syllables of a hiss and a vowel with a moving pitch, and pauses between
/// words. Each seed is another utterance. No stretch of it is like another, so an alignment is
/// unique.
#[must_use]
pub fn speech(seed: u32, duration_ms: u32) -> Vec<i16> {
    let count = duration_ms as usize * SAMPLE_RATE_HZ as usize / 1_000;
    let mut voice = Voice::new(seed);
    let mut samples = Vec::with_capacity(count);
    while samples.len() < count {
        voice.syllable(&mut samples);
    }
    samples.truncate(count);
    samples
}

struct Voice {
    random: u32,
    phase: f64,
    resonators: [Resonator; 3],
    syllables: u32,
}

impl Voice {
    fn new(seed: u32) -> Self {
        Self {
            random: seed.wrapping_mul(2_654_435_761) | 1,
            phase: 0.0,
            resonators: [Resonator::default(); 3],
            syllables: 0,
        }
    }

    fn syllable(&mut self, samples: &mut Vec<i16>) {
        let vowel = VOWELS[self.below(5) as usize];
        let pitch_hz = 95.0 + f64::from(self.below(70));
        let hiss = 200 + self.below(500);
        let voiced = 900 + self.below(1_200);
        self.syllables += 1;
        for index in 0..hiss {
            let swell = envelope(index, hiss);
            samples.push(limit(self.noise() * 900.0 * swell));
        }
        for index in 0..voiced {
            let glide = 1.0 + 0.2 * (TAU * f64::from(index) / 2_900.0).sin();
            let sample = self.voiced(vowel, pitch_hz * glide);
            samples.push(limit(sample * 5_200.0 * envelope(index, voiced)));
        }
        if self.syllables.is_multiple_of(4) {
            let pause = 400 + self.below(900);
            for _ in 0..pause {
                samples.push(limit(self.noise() * 25.0));
            }
        }
    }

    /// A pulse train through three resonators, with a little breath.
    fn voiced(&mut self, vowel: [f64; 3], pitch_hz: f64) -> f64 {
        self.phase += pitch_hz / f64::from(SAMPLE_RATE_HZ);
        let mut pulse = 0.02 * self.noise();
        if self.phase >= 1.0 {
            self.phase -= 1.0;
            pulse += 1.0;
        }
        let formants = self.resonators.iter_mut().zip(vowel).zip(BANDWIDTHS);
        formants
            .map(|((resonator, frequency), bandwidth)| resonator.ring(pulse, frequency, bandwidth))
            .sum()
    }

    fn noise(&mut self) -> f64 {
        f64::from(self.next()) / f64::from(u32::MAX) * 2.0 - 1.0
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.next() % limit
    }

    /// xorshift32 (Marsaglia).
    fn next(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}

/// A two-pole resonator.
#[derive(Clone, Copy, Default)]
struct Resonator {
    last: f64,
    before: f64,
}

impl Resonator {
    fn ring(&mut self, input: f64, frequency_hz: f64, bandwidth_hz: f64) -> f64 {
        let rate = f64::from(SAMPLE_RATE_HZ);
        let radius = (-TAU / 2.0 * bandwidth_hz / rate).exp();
        let turn = 2.0 * radius * (TAU * frequency_hz / rate).cos();
        let output = input + turn * self.last - radius * radius * self.before;
        self.before = self.last;
        self.last = output;
        output
    }
}

/// Swells and fades.
fn envelope(index: u32, length: u32) -> f64 {
    (TAU / 2.0 * f64::from(index) / f64::from(length)).sin()
}

fn limit(sample: f64) -> i16 {
    (30_000.0 * (sample / 30_000.0).tanh()) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{align, level_db};

    #[test]
    fn is_loud_and_lively() {
        let samples = speech(1, 4_000);
        assert_eq!(samples.len(), 32_000);
        let level = level_db(&samples);
        assert!((-30.0..-10.0).contains(&level), "{level} dB");
        assert_ne!(samples, speech(2, 4_000));
    }

    #[test]
    fn does_not_repeat_itself() {
        let samples = speech(1, 4_000);
        for start in (0..28_000).step_by(4_000) {
            let piece = &samples[start..start + 4_000];
            assert_eq!(
                align(piece, &samples),
                Some(isize::try_from(start).unwrap())
            );
        }
    }
}
