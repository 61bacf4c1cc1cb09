//! Noise that sounds as described.

use super::{Description, ORDER_MAX};

/// Overload: a square wave of full scale.
const OVERLOAD: f32 = 32_768.0;

/// How much nearer the level comes to a new one with each sample: some 20 ms at 8 kHz.
const APPROACH: f32 = 1.0 / 64.0;

/// Makes noise: white noise through an all-pole lattice.
#[derive(Clone, Debug)]
pub struct Generator {
    random: u32,
    reflections: [f32; ORDER_MAX],
    order: usize,
    /// The backward signal of each stage, one sample ago.
    backward: [f32; ORDER_MAX + 1],
    gain: f32,
    gain_next: f32,
}

impl Default for Generator {
    fn default() -> Self {
        Self {
            random: 0x2545_f491,
            reflections: [0.0; ORDER_MAX],
            order: 0,
            backward: [0.0; ORDER_MAX + 1],
            gain: 0.0,
            gain_next: 0.0,
        }
    }
}

impl Generator {
    /// A silent one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes level and colour. The level glides, so that no edge is heard.
    pub fn describe(&mut self, description: &Description) {
        self.reflections = [0.0; ORDER_MAX];
        self.order = 0;
        let mut left = 1.0;
        for (ours, theirs) in self.reflections.iter_mut().zip(description.reflections()) {
            *ours = theirs;
            self.order += 1;
            // What a stage amplifies by is taken back from its input.
            left *= 1.0 - theirs * theirs;
        }
        let level = 10.0_f32.powf(-f32::from(description.level()) / 20.0);
        self.gain_next = OVERLOAD * level * left.sqrt();
    }

    /// Makes noise.
    pub fn generate(&mut self, samples: &mut [i16]) {
        for sample in samples {
            self.gain += (self.gain_next - self.gain) * APPROACH;
            let excitation = self.white() * self.gain;
            *sample = to_sample(self.shape(excitation));
        }
    }

    fn shape(&mut self, excitation: f32) -> f32 {
        let mut forward = excitation;
        for stage in (0..self.order).rev() {
            forward -= self.reflections[stage] * self.backward[stage];
            self.backward[stage + 1] = self.backward[stage] + self.reflections[stage] * forward;
        }
        // Also keeps numbers out that are too small to be fast.
        self.backward[0] = if forward.abs() < 1e-6 { 0.0 } else { forward };
        forward
    }

    /// A number whose square is 1 on average: the sum of two that are evenly distributed.
    fn white(&mut self) -> f32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        let [a, b, c, d] = self.random.to_le_bytes();
        let sum = i32::from(i16::from_le_bytes([a, b])) + i32::from(i16::from_le_bytes([c, d]));
        #[expect(clippy::cast_precision_loss, reason = "17 bits")]
        let sum = sum as f32;
        // Each has a variance of 2^32 / 12.
        sum * (1.0 / 26_754.58)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "limited, as conversions of floats are"
)]
fn to_sample(value: f32) -> i16 {
    value.round() as i16
}
