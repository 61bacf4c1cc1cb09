//! Fills gaps in sampled sound: packet loss concealment for codecs that have none of their own.
//!
//! After the idea of G.711 Appendix I, in our own way: the last period of the voice goes on, after
//! 10 ms the last two and after 20 ms the last three, so that it does not buzz; from 10 ms on it
//! fades, and after 60 ms there is silence. When sound comes back, the two are blended. Unlike the
//! appendix this delays nothing: where the repetition begins, the step is levelled out after it
//! instead of before.
//!
//! ```text
//! played          │ made up
//! … ─ P ──┬─ P ───┼─ P ─┬─ P ──┬─ P ─ …
//!   hist  │ one   │ one │ two, then three periods, fainter and fainter
//! ```
//!
//! ```
//! use codec::Rate;
//! use codec::plc::Concealment;
//!
//! let mut concealment = Concealment::new(Rate::Narrow);
//! let mut heard = [1_000; 160];
//! concealment.receive(&mut heard);
//! let mut lost = [0; 160];
//! concealment.conceal(&mut lost);
//! assert_eq!(lost[..80], [1_000; 80]);
//! ```

mod pitch;

use std::fmt;

use crate::Rate;

/// Samples of a millisecond at the highest rate: those of 48 kHz are Opus, which fills gaps itself.
const PER_MS_MAX: usize = 16;

/// What is remembered, in eighths of a millisecond: three of the longest periods, and a quarter of
/// one more to blend them with.
const HISTORY_EIGHTHS_MS: usize = 390;

/// Samples that are remembered at the highest rate.
const HISTORY_MAX: usize = HISTORY_EIGHTHS_MS * PER_MS_MAX / 8;

/// For how long the voice goes on as loud as it was.
const STEADY_MS: usize = 10;

/// After how long nothing is left of it.
const SILENT_MS: usize = 60;

/// Periods that are repeated at most.
const PERIODS_MAX: usize = 3;

/// The longest blend when sound comes back.
const BLEND_MAX_MS: usize = 10;

/// 1 as a gain.
const UNITY: usize = 1 << 15;

/// Fills the gaps of one stream.
#[derive(Clone)]
pub struct Concealment {
    /// Samples of a millisecond.
    per_ms: usize,
    /// What was played last, made up or not.
    history: [i16; HISTORY_MAX],
    gap: Option<Gap>,
}

impl fmt::Debug for Concealment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What somebody said is nobody's business.
        let mut debug = formatter.debug_struct("Concealment");
        debug.field("per_ms", &self.per_ms).finish_non_exhaustive()
    }
}

impl Concealment {
    /// One that has heard nothing but silence.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            per_ms: rate.samples(1).min(PER_MS_MAX),
            history: [0; HISTORY_MAX],
            gap: None,
        }
    }

    /// Takes note of sound that is there, and blends its beginning with what was made up before.
    pub fn receive(&mut self, samples: &mut [i16]) {
        if let Some(mut gap) = self.gap.take() {
            gap.blend(samples);
        }
        self.remember(samples);
    }

    /// Fills in for sound that is missing.
    pub fn conceal(&mut self, samples: &mut [i16]) {
        let played = &self.history[..self.history_len()];
        let per_ms = self.per_ms;
        let gap = self.gap.get_or_insert_with(|| Gap::new(per_ms, played));
        for sample in samples.iter_mut() {
            *sample = gap.next();
        }
        self.remember(samples);
    }

    fn history_len(&self) -> usize {
        HISTORY_EIGHTHS_MS * self.per_ms / 8
    }

    fn remember(&mut self, samples: &[i16]) {
        let len = self.history_len();
        let history = &mut self.history[..len];
        let new = &samples[samples.len().saturating_sub(len)..];
        history.copy_within(new.len().., 0);
        history[len - new.len()..].copy_from_slice(new);
    }
}

/// What is made up.
#[derive(Clone)]
struct Gap {
    per_ms: usize,
    /// What was played before.
    source: [i16; HISTORY_MAX],
    /// How many samples of it there are.
    source_len: usize,
    /// Samples of a period.
    period: usize,
    /// Periods that are repeated.
    periods: usize,
    /// Where in them the next sample is.
    place: usize,
    /// How far the first sample lies from where the repetition begins.
    step: i32,
    /// Samples made up so far.
    made: usize,
}

impl Gap {
    fn new(per_ms: usize, played: &[i16]) -> Self {
        let mut source = [0; HISTORY_MAX];
        let source_len = played.len();
        source[..source_len].copy_from_slice(played);
        let period = pitch::period(per_ms, played);
        let before = |lag: usize| i32::from(played[source_len - lag]);
        Self {
            per_ms,
            source,
            source_len,
            period,
            periods: 1,
            place: 0,
            step: before(1) - before(period + 1),
            made: 0,
        }
    }

    /// A quarter of a period: how long joints are.
    fn joint(&self) -> usize {
        self.period / 4
    }

    fn next(&mut self) -> i16 {
        let gain = self.gain();
        let made = self.made;
        self.made = made.saturating_add(1);
        if gain == 0 {
            return 0;
        }
        let repeated = i32::from(self.repeat());
        let step = scaled(self.step, self.joint().saturating_sub(made), self.joint());
        mix(0, saturate(repeated + step), gain)
    }

    fn gain(&self) -> usize {
        let (steady, silent) = (STEADY_MS * self.per_ms, SILENT_MS * self.per_ms);
        UNITY * silent.saturating_sub(self.made).min(silent - steady) / (silent - steady)
    }

    /// The next sample of the periods that are repeated.
    fn repeat(&mut self) -> i16 {
        let len = self.periods * self.period;
        let sample = self.at(len - self.place);
        // The last quarter becomes what lies before the first sample.
        let joint = self.joint();
        let into_joint = (self.place + joint + 1).saturating_sub(len);
        let joined = match into_joint {
            0 => sample,
            _ => mix(
                sample,
                self.at(2 * len - self.place),
                UNITY * into_joint / joint,
            ),
        };
        self.place += 1;
        if self.place == len {
            self.begin_again();
        }
        joined
    }

    /// Goes back to the first period, or to the one before it if that is due. What was played just
    /// now fits the beginning of the former, so that is where it goes on.
    fn begin_again(&mut self) {
        self.place = 0;
        let is_due = self.made >= self.periods * STEADY_MS * self.per_ms;
        if is_due && self.periods < PERIODS_MAX {
            self.periods += 1;
            self.place = self.period;
        }
    }

    /// The sample that was played `lag` samples before the gap.
    fn at(&self, lag: usize) -> i16 {
        self.source[self.source_len - lag]
    }

    /// Goes on under the beginning of what is heard again, fading out. The longer the gap was, the
    /// less the two have in common, and the longer they are blended.
    fn blend(&mut self, samples: &mut [i16]) {
        let len = self.joint() + self.made * 2 / 5;
        let len = len.min(BLEND_MAX_MS * self.per_ms).min(samples.len());
        for (at, sample) in samples[..len].iter_mut().enumerate() {
            *sample = mix(self.next(), *sample, UNITY * (at + 1) / (len + 1));
        }
    }
}

/// `from` at a weight of 0, `to` at one of [`UNITY`].
fn mix(from: i16, to: i16, weight: usize) -> i16 {
    saturate(i32::from(from) + scaled(i32::from(to) - i32::from(from), weight, UNITY))
}

/// `value · numerator / denominator`, of which the numerator is not the greater.
fn scaled(value: i32, numerator: usize, denominator: usize) -> i32 {
    let ratio = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let scaled = i64::from(value) * ratio(numerator) / ratio(denominator);
    i32::try_from(scaled).unwrap_or(value)
}

fn saturate(value: i32) -> i16 {
    let limited = value.clamp(i16::MIN.into(), i16::MAX.into());
    i16::try_from(limited).unwrap_or(0)
}

#[cfg(test)]
mod tests;
