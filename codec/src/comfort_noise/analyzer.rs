//! What noise sounds like.

use super::{Description, LEVEL_MAX, ORDER_MAX};

/// Overload: a square wave of full scale.
const OVERLOAD: f32 = 32_768.0;

/// How much of what was heard before each frame still counts after it: some five frames.
const MEMORY: f32 = 0.8;

/// Listens to silence, frame by frame, and describes it.
#[derive(Clone, Debug, Default)]
pub struct Analyzer {
    /// Products of samples with those so many before, averaged over frames.
    correlations: [f32; ORDER_MAX + 1],
    /// How many samples they are the sums of, averaged likewise.
    len: f32,
}

impl Analyzer {
    /// One that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to a frame.
    pub fn listen(&mut self, samples: &[i16]) {
        for (lag, correlation) in self.correlations.iter_mut().enumerate() {
            let later = samples.get(lag..).unwrap_or_default();
            let products = later.iter().zip(samples);
            let sum: f32 = products.map(|(a, b)| f32::from(*a) * f32::from(*b)).sum();
            *correlation = *correlation * MEMORY + sum;
        }
        self.len = self.len * MEMORY + as_f32(samples.len());
    }

    /// Describes what was heard by so many coefficients, at most [`ORDER_MAX`].
    #[must_use]
    pub fn describe(&self, order: usize) -> Description {
        let power = self.correlations[0] / self.len.max(1.0);
        let description = Description::white(level(power));
        if description.level() == LEVEL_MAX {
            return description;
        }
        let (reflections, order) = (self.reflections(), order.min(ORDER_MAX));
        description.with_reflections(&reflections[..order])
    }

    /// The recursion of Levinson and Durbin.
    fn reflections(&self) -> [f32; ORDER_MAX] {
        let mut reflections = [0.0; ORDER_MAX];
        let mut filter = [0.0; ORDER_MAX + 1];
        // A floor of white noise, 40 dB down, keeps a pure tone from making a filter that rings.
        let mut error = self.correlations[0] * 1.0001;
        for order in 0..ORDER_MAX {
            let predicted: f32 = (0..order)
                .map(|at| filter[at] * self.correlations[order - at])
                .sum();
            let reflection = -(self.correlations[order + 1] + predicted) / error;
            if reflection.is_nan() || reflection.abs() >= 1.0 {
                break;
            }
            let older = filter;
            for at in 0..order {
                filter[at] = older[at] + reflection * older[order - 1 - at];
            }
            filter[order] = reflection;
            error *= 1.0 - reflection * reflection;
            reflections[order] = reflection;
        }
        reflections
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limited to what can be said"
)]
fn level(power: f32) -> u8 {
    let below_db = -10.0 * (power / (OVERLOAD * OVERLOAD)).max(1e-13).log10();
    below_db.round().clamp(0.0, f32::from(LEVEL_MAX)) as u8
}

#[expect(clippy::cast_precision_loss, reason = "frames are short")]
fn as_f32(len: usize) -> f32 {
    len as f32
}
