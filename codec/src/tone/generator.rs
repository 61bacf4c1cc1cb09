//! Keys, sung.

use std::f32::consts::TAU;

use super::{AMPLITUDE_0_DBM0, COLUMNS, ROWS, place};
use crate::Rate;

/// How much louder the upper tone is, in dB: lines carry it less well.
const TWIST_DB: f32 = 2.0;

/// How far the loudness comes with each sample at 8 kHz: all the way in 4 ms. An edge would click.
const RAMP: f32 = 1.0 / 32.0;

/// Makes the tones of a key, from [`Self::begin`] to [`Self::end`].
#[derive(Clone, Debug)]
pub struct Generator {
    rate: Rate,
    tones: [Sine; 2],
    loudness: f32,
    is_on: bool,
}

impl Generator {
    /// A silent one.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            tones: [Sine::default(); 2],
            loudness: 0.0,
            is_on: false,
        }
    }

    /// Sings an event of RFC 4733 from now on. `volume` is that of the packet: dB below 1 mW, for
    /// both tones together. Whether it is a key, and so can be sung.
    pub fn begin(&mut self, event: u8, volume: u8) -> bool {
        let Some((row, column)) = place(event) else {
            self.is_on = false;
            return false;
        };
        // Each has half of the power, less or more by half of the twist.
        let amplitude = |db: f32| AMPLITUDE_0_DBM0 * 10.0_f32.powf(db / 20.0);
        let each_db = -f32::from(volume.min(63)) - 3.01;
        self.tones = [
            Sine::new(self.rate, ROWS[row], amplitude(each_db - TWIST_DB / 2.0)),
            Sine::new(
                self.rate,
                COLUMNS[column],
                amplitude(each_db + TWIST_DB / 2.0),
            ),
        ];
        self.loudness = 0.0;
        self.is_on = true;
        true
    }

    /// Fades out.
    pub fn end(&mut self) {
        self.is_on = false;
    }

    /// Whether anything is to be heard.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.is_on || self.loudness > 0.0
    }

    /// Makes samples: the tones, or silence.
    pub fn generate(&mut self, samples: &mut [i16]) {
        if !self.is_active() {
            samples.fill(0);
            return;
        }
        let step = match (self.rate, self.is_on) {
            (Rate::Narrow, true) => RAMP,
            (Rate::Narrow, false) => -RAMP,
            (Rate::Wide, true) => RAMP / 2.0,
            (Rate::Wide, false) => -RAMP / 2.0,
        };
        for sample in samples {
            self.loudness = (self.loudness + step).clamp(0.0, 1.0);
            let sum = self.tones[0].next() + self.tones[1].next();
            *sample = to_sample(sum * self.loudness);
        }
    }
}

/// A sine, by turning a pointer.
#[derive(Clone, Copy, Debug, Default)]
struct Sine {
    turn: (f32, f32),
    pointer: (f32, f32),
}

impl Sine {
    fn new(rate: Rate, hz: f32, amplitude: f32) -> Self {
        Self {
            turn: (TAU * hz / f32::from(rate.hz())).sin_cos(),
            pointer: (0.0, amplitude),
        }
    }

    fn next(&mut self) -> f32 {
        let ((sin, cos), (y, x)) = (self.turn, self.pointer);
        self.pointer = (y * cos + x * sin, x * cos - y * sin);
        y
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "limited, as conversions of floats are"
)]
fn to_sample(value: f32) -> i16 {
    value.round() as i16
}
