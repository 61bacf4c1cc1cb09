//! Keys, sung.

use std::f64::consts::TAU;

use super::{COLUMNS, ROWS, place};
use crate::Rate;
use crate::channels::spread;

/// The amplitude of each tone at 0 dBm0: half of full scale, so that both together just fit. That
/// is 0.13 dB more than they should have.
const AMPLITUDE_0_DBM0: f64 = 32_767.0 / 2.0;

/// Makes the tones of a key, from [`Self::begin`] to [`Self::end`].
///
/// Both are equally loud and begin at zero, so nothing clicks. They end as abruptly as the event
/// does, of which each sample is theirs.
#[derive(Clone, Debug)]
pub struct Generator {
    rate: Rate,
    tones: [Sine; 2],
    is_on: bool,
}

impl Generator {
    /// A silent one.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            tones: [Sine::default(); 2],
            is_on: false,
        }
    }

    /// Sings an event of RFC 4733 from now on. `volume` is that of the packet: dB below 1 mW, for
    /// both tones together. Whether it is a key, and so can be sung.
    pub fn begin(&mut self, event: u8, volume: u8) -> bool {
        let place = place(event);
        self.is_on = place.is_some();
        if let Some((row, column)) = place {
            let amplitude = AMPLITUDE_0_DBM0 * 10_f64.powf(-f64::from(volume.min(63)) / 20.0);
            self.tones =
                [ROWS[row], COLUMNS[column]].map(|hz| Sine::new(self.rate, hz.into(), amplitude));
        }
        self.is_on
    }

    /// Is silent from now on.
    pub fn end(&mut self) {
        self.is_on = false;
    }

    /// Whether anything is to be heard.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.is_on
    }

    /// Makes samples: the tones, or silence.
    pub fn generate(&mut self, samples: &mut [i16]) {
        if !self.is_on {
            return samples.fill(0);
        }
        if self.rate.channels() == 1 {
            return samples.fill_with(|| self.next());
        }
        for pair in samples.as_chunks_mut().0 {
            *pair = spread(self.next());
        }
    }

    fn next(&mut self) -> i16 {
        to_sample(self.tones[0].next() + self.tones[1].next())
    }
}

/// A sine, by turning a pointer. With 64 bits it is off by less than a thousandth of a step of 16
/// after a day.
#[derive(Clone, Copy, Debug, Default)]
struct Sine {
    turn: (f64, f64),
    pointer: (f64, f64),
}

impl Sine {
    fn new(rate: Rate, hz: f64, amplitude: f64) -> Self {
        Self {
            turn: (TAU * hz / f64::from(rate.hz())).sin_cos(),
            pointer: (0.0, amplitude),
        }
    }

    fn next(&mut self) -> f64 {
        let ((sin, cos), (y, x)) = (self.turn, self.pointer);
        self.pointer = (y * cos + x * sin, x * cos - y * sin);
        y
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "limited, as conversions of floats are"
)]
fn to_sample(value: f64) -> i16 {
    value as i16
}
