//! Comfort noise (RFC 3389): what stands for silence while nothing is sent.
//!
//! A packet says how loud the noise is and, if it says more, what colour it has: the reflection
//! coefficients of an all-pole filter, of which each further one refines those before.
//!
//! ```text
//! samples ─► Analyzer ─► Description ─► payload ─► Description ─► Generator ─► samples
//! ```
//!
//! The sign of the coefficients is that of G.711 Appendix II: the first is the negative of the
//! correlation of neighbouring samples.

mod analyzer;
mod generator;

pub use analyzer::Analyzer;
pub use generator::Generator;

/// Coefficients that are kept of a payload. Senders use ten at most (G.711 Appendix II), and
/// leaving the last out makes the filter simpler, not wrong.
pub const ORDER_MAX: usize = 12;

/// Octets of the longest payload that is written.
pub const PAYLOAD_LEN_MAX: usize = 1 + ORDER_MAX;

/// The faintest level that can be said, in dB below overload.
const LEVEL_MAX: u8 = 127;

/// Noise: its level and its colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Description {
    /// dB below the overload point, which is a square wave of full scale: 0 to 127.
    level: u8,
    order: usize,
    /// Coefficients as they are sent: 127 is none, 0 and 254 are −1 and 1, all but a little.
    coefficients: [u8; ORDER_MAX],
}

impl Description {
    /// White noise of a level in dB below overload.
    #[must_use]
    pub fn white(level: u8) -> Self {
        Self {
            level: level.min(LEVEL_MAX),
            order: 0,
            coefficients: [ZERO; ORDER_MAX],
        }
    }

    /// Reads a payload. `None` if it is empty.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (level, coefficients) = payload.split_first()?;
        // The highest bit "is always set to 0", but means nothing else if it is not.
        let mut description = Self::white(level & LEVEL_MAX);
        description.order = coefficients.len().min(ORDER_MAX);
        for (ours, theirs) in description.coefficients.iter_mut().zip(coefficients) {
            *ours = (*theirs).min(2 * ZERO);
        }
        Some(description)
    }

    /// Writes it as a payload, as far as there is room; the number of octets written.
    pub fn emit(&self, payload: &mut [u8]) -> usize {
        let coefficients = &self.coefficients[..self.order];
        let octets = [self.level].into_iter().chain(coefficients.iter().copied());
        let mut len = 0;
        for (place, octet) in payload.iter_mut().zip(octets) {
            *place = octet;
            len += 1;
        }
        len
    }

    /// dB below overload.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// The reflection coefficients, each between −1 and 1.
    pub fn reflections(&self) -> impl Iterator<Item = f32> {
        let sent = self.coefficients[..self.order].iter();
        // RFC 3389 §3.2: k = 258 (N − 127) / 32768.
        sent.map(|it| f32::from(i16::from(*it) - i16::from(ZERO)) * (258.0 / 32_768.0))
    }

    /// The same noise, described by these coefficients.
    #[must_use]
    fn with_reflections(mut self, reflections: &[f32]) -> Self {
        self.order = reflections.len().min(ORDER_MAX);
        for (sent, reflection) in self.coefficients.iter_mut().zip(reflections) {
            *sent = quantized(*reflection);
        }
        self
    }
}

/// How no reflection is sent.
const ZERO: u8 = 127;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limited to what is sent"
)]
fn quantized(reflection: f32) -> u8 {
    (reflection * (32_768.0 / 258.0) + f32::from(ZERO))
        .round()
        .clamp(0.0, 254.0) as u8
}

#[cfg(test)]
mod tests;
