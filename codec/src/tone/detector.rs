//! Keys, heard: by the eight tones alone, in blocks of 12.75 ms.
//!
//! | | here | Q.24 |
//! | --- | --- | --- |
//! | loudness of each tone | −29 to 0 dBm0 | −24 … −29 to −3 … 0 |
//! | upper louder than lower by at most | 5 dB | 4 … 5 dB |
//! | lower louder than upper by at most | 9 dB | 5 … 9 dB |
//! | frequency | ±1.5 % | ±1.5 … 1.8 % |
//! | lasts | heard from 40 ms on, never up to 20 ms | 40; 20 … 24 ms |
//! | pause that is heard | from 40 ms on | 30 … 40 ms |
//!
//! Speech is told from keys by what else is in a block: almost all of the power must be in the two
//! tones, and each must stand out of its group.

use std::f32::consts::TAU;
use std::mem;

use super::{AMPLITUDE_0_DBM0, COLUMNS, EVENTS, ROWS};
use crate::Rate;
use crate::channels::mean;

/// Samples of a block at 8 kHz. Four blocks are 51 ms: two whole ones lie within any 40 ms.
const BLOCK: usize = 102;

/// Blocks with nothing that end a key: one alone may be a click.
const MISSES_MAX: u8 = 2;

/// The faintest tone, in dBm0.
const FAINTEST_DB: f32 = -29.5;

/// What the upper tone may be louder than the lower, as a ratio of powers; and the lower louder
/// than the upper. A dB and more beyond what is promised, for tones that lie beside their frequency.
const UPPER_LOUDER_MAX: f32 = 4.47;
const LOWER_LOUDER_MAX: f32 = 11.2;

/// What the strongest tone of a group is stronger than any other of it, as a ratio of powers.
const STANDS_OUT: f32 = 4.5;

/// The share of a block's power that lies in its two tones.
const SHARE: f32 = 0.74;

/// How even a block is: what its first and its last quarter have of the power that would be
/// theirs. Less, and the key only reaches into the block; two such blocks would be a key that is
/// too short.
const EVENNESS: f32 = 0.3;

/// A key that begins or ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Edge {
    /// It was heard long enough to be one.
    Began {
        /// The event of RFC 4733.
        event: u8,
        /// How loud both tones are together, in dB below 1 mW.
        volume: u8,
    },
    /// It is over.
    Ended {
        /// The event of RFC 4733.
        event: u8,
    },
}

/// Listens for keys.
#[derive(Clone, Debug)]
pub struct Detector {
    rate: Rate,
    rows: [Goertzel; 4],
    columns: [Goertzel; 4],
    /// The sum of all squares in the block, and in its first and last quarter.
    power: f32,
    power_edges: [f32; 2],
    heard: usize,
    /// What the last block sounded like.
    last: Option<u8>,
    /// The key that is held.
    held: Option<u8>,
    misses: u8,
}

impl Detector {
    /// One that has heard nothing.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            rows: ROWS.map(|hz| Goertzel::new(rate, hz)),
            columns: COLUMNS.map(|hz| Goertzel::new(rate, hz)),
            power: 0.0,
            power_edges: [0.0; 2],
            heard: 0,
            last: None,
            held: None,
            misses: 0,
        }
    }

    /// Listens to samples, and tells which keys begin and end in them, and how many of the samples
    /// were heard by then. A key is told within 39 ms of its beginning, and within 39 ms of its
    /// end.
    pub fn listen(&mut self, samples: &[i16], mut on_edge: impl FnMut(usize, Edge)) {
        if self.rate.channels() == 1 {
            return self.listen_to_one(samples, on_edge);
        }
        let (mut mixed, mut before) = ([0; BLOCK], 0);
        for pairs in samples.as_chunks::<2>().0.chunks(BLOCK) {
            for (sample, pair) in mixed.iter_mut().zip(pairs) {
                *sample = mean(*pair);
            }
            let on_edge = |heard, edge| on_edge(2 * (before + heard), edge);
            self.listen_to_one(&mixed[..pairs.len()], on_edge);
            before += pairs.len();
        }
    }

    /// Of one channel.
    fn listen_to_one(&mut self, samples: &[i16], mut on_edge: impl FnMut(usize, Edge)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.block_len() - self.heard));
            self.hear(now);
            rest = later;
            if self.heard == self.block_len() {
                let found = self.judge();
                let heard = samples.len() - rest.len();
                self.settle(found, &mut |edge| on_edge(heard, edge));
            }
        }
    }

    /// The key that is held now.
    #[must_use]
    pub fn held(&self) -> Option<u8> {
        self.held
    }

    fn block_len(&self) -> usize {
        match self.rate {
            Rate::Narrow => BLOCK,
            Rate::Wide => 2 * BLOCK,
            Rate::Full | Rate::Stereo => 6 * BLOCK,
        }
    }

    fn hear(&mut self, samples: &[i16]) {
        let quarter = self.block_len() / 4;
        let last = self.block_len() - quarter;
        for sample in samples {
            let sample = f32::from(*sample);
            let square = sample * sample;
            self.power += square;
            if self.heard < quarter {
                self.power_edges[0] += square;
            } else if self.heard >= last {
                self.power_edges[1] += square;
            }
            self.heard += 1;
            for tone in self.rows.iter_mut().chain(&mut self.columns) {
                tone.hear(sample);
            }
        }
    }

    /// Ends a block: the event that it sounds like, and its power.
    fn judge(&mut self) -> Option<(u8, f32)> {
        let rows = self.rows.each_mut().map(Goertzel::take_power);
        let columns = self.columns.each_mut().map(Goertzel::take_power);
        let total = mem::take(&mut self.power);
        let edges = mem::take(&mut self.power_edges);
        let len = f32::from(self.rate.hz()) / 8_000.0 * 102.0;
        self.heard = 0;

        let (row, lower) = strongest(&rows);
        let (column, upper) = strongest(&columns);
        // A sine of amplitude a makes (a len / 2)² here, and a² len / 2 in the total.
        let faintest = AMPLITUDE_0_DBM0 * 10.0_f32.powf(FAINTEST_DB / 20.0) * len / 2.0;
        let is_loud = lower.min(upper) >= faintest * faintest;
        let is_level = upper <= lower * UPPER_LOUDER_MAX && lower <= upper * LOWER_LOUDER_MAX;
        let is_alone = (lower + upper) * 2.0 / len >= total * SHARE;
        let does_stand_out = stands_out(&rows, row) && stands_out(&columns, column);
        let is_even = edges.iter().all(|it| *it >= total / 4.0 * EVENNESS);
        let is_key = is_loud && is_level && is_alone && does_stand_out && is_even;
        is_key.then_some((EVENTS[row][column], total / len))
    }

    fn settle(&mut self, found: Option<(u8, f32)>, on_edge: &mut impl FnMut(Edge)) {
        let event = found.map(|(event, _)| event);
        let is_sure = event.is_some() && event == self.last;
        self.last = event;
        if event.is_some() && event == self.held {
            self.misses = 0;
            return;
        }
        if let Some(held) = self.held {
            self.misses += 1;
            if self.misses < MISSES_MAX && !is_sure {
                return;
            }
            self.held = None;
            on_edge(Edge::Ended { event: held });
        }
        if let Some((event, power)) = found.filter(|_| is_sure) {
            self.held = Some(event);
            self.misses = 0;
            let volume = volume(power);
            on_edge(Edge::Began { event, volume });
        }
    }
}

fn strongest(powers: &[f32; 4]) -> (usize, f32) {
    let mut best = (0, powers[0]);
    for (at, power) in powers.iter().enumerate() {
        if *power > best.1 {
            best = (at, *power);
        }
    }
    best
}

fn stands_out(powers: &[f32; 4], strongest: usize) -> bool {
    let others = powers.iter().enumerate().filter(|(at, _)| *at != strongest);
    let bound = powers[strongest] / STANDS_OUT;
    others.into_iter().all(|(_, power)| *power <= bound)
}

/// The mean square of a block, in dB below 1 mW.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limited to what a packet says"
)]
fn volume(power: f32) -> u8 {
    let of_0_dbm0 = AMPLITUDE_0_DBM0 * AMPLITUDE_0_DBM0 / 2.0;
    let below_db = -10.0 * (power / of_0_dbm0).max(1e-9).log10();
    below_db.round().clamp(0.0, 63.0) as u8
}

/// How much of one frequency a block has.
#[derive(Clone, Copy, Debug)]
struct Goertzel {
    coefficient: f32,
    newest: f32,
    older: f32,
}

impl Goertzel {
    fn new(rate: Rate, hz: f32) -> Self {
        Self {
            coefficient: 2.0 * (TAU * hz / f32::from(rate.hz())).cos(),
            newest: 0.0,
            older: 0.0,
        }
    }

    fn hear(&mut self, sample: f32) {
        let next = sample + self.coefficient * self.newest - self.older;
        self.older = mem::replace(&mut self.newest, next);
    }

    /// The square of its amplitude times half the block's length.
    fn take_power(&mut self) -> f32 {
        let (a, b) = (self.newest, self.older);
        (self.newest, self.older) = (0.0, 0.0);
        (a * a + b * b - self.coefficient * a * b).max(0.0)
    }
}
