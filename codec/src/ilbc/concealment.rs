//! Makes up for lost frames (RFC 3951 §4.5).
//!
//! The last pitch period of the excitation is repeated, the less voiced the more mixed with noise,
//! and fades away. When frames come again, the end of what was made up, which the enhancer still
//! holds back, is led over to what comes.

use super::enhancer::MEMORY;
use super::vector::dot;
use super::{Mode, SAMPLES_MAX, SUBBLOCK};

/// Lags of the pitch: 400 to 54 Hz.
const LAGS: std::ops::Range<usize> = 20..148;

/// Samples that the pitch is found by before a loss: short, since the pitch moves.
const WINDOW_BEFORE: usize = 60;

/// The same after a loss.
const WINDOW_AFTER: usize = 80;

/// Correlations between which speech turns from noise into voice.
const NOISE: f32 = 0.2;
const VOICE: f32 = 0.6;

/// Samples before the fading begins, and those until there is silence: after 98 ms in all.
const HOLD: usize = 80;
const FADE: usize = 700;

/// Noise is picked from so many samples, which end so many before the present.
const NOISE_RANGE: usize = 70;
const NOISE_DISTANCE: usize = 4;

/// What is known of the speech before the loss.
#[derive(Clone, Debug)]
pub(super) struct Concealment {
    /// Samples made up since the last frame that came.
    lost: usize,
    period: usize,
    /// From 0, noise, to 1, voice.
    voicing: f32,
    random: u32,
}

impl Concealment {
    pub(super) const fn new() -> Self {
        Self {
            lost: 0,
            period: LAGS.start,
            voicing: 0.0,
            random: 1,
        }
    }

    /// The excitation of a lost frame, from that before it, made up or not.
    pub(super) fn conceal(&mut self, mode: Mode, memory: &[f32; MEMORY]) -> [f32; SAMPLES_MAX] {
        if self.lost == 0 {
            self.listen(memory);
        }
        let mut excitation = [0.0; SAMPLES_MAX];
        let cycle = memory[MEMORY - self.period..].iter().cycle();
        for (sample, periodic) in excitation[..mode.samples()].iter_mut().zip(cycle) {
            let mix = self.voicing * periodic + (1.0 - self.voicing) * self.noise(memory);
            *sample = self.gain() * mix;
            self.lost = self.lost.saturating_add(1);
        }
        excitation
    }

    /// Leads the end of what was made up over to `excitation`, that of the frame which came next.
    pub(super) fn resume(
        &mut self,
        mode: Mode,
        memory: &mut [f32; MEMORY],
        excitation: &[f32; SAMPLES_MAX],
    ) {
        if self.lost == 0 {
            return;
        }
        self.lost = 0;
        let lags = LAGS.start..mode.samples() - WINDOW_AFTER;
        let window = |lag: usize| &excitation[lag..lag + WINDOW_AFTER];
        let (period, likeness) = pitch(lags, window);
        if likeness < NOISE {
            return;
        }
        // As if the new frame had begun some periods earlier.
        let pending = mode.enhancer_delay() * SUBBLOCK;
        let begin = pending.div_ceil(period) * period - pending;
        let earlier = excitation[..period].iter().cycle().skip(begin);
        let made_up = &mut memory[MEMORY - pending..];
        for (at, (sample, earlier)) in made_up.iter_mut().zip(earlier).enumerate() {
            let weight = (at as f32 + 0.5) / pending as f32;
            *sample += weight * (earlier - *sample);
        }
    }

    /// Finds the pitch before the loss.
    fn listen(&mut self, memory: &[f32; MEMORY]) {
        let end = MEMORY - WINDOW_BEFORE;
        let window = |lag: usize| &memory[end - lag..MEMORY - lag];
        let (period, likeness) = pitch(LAGS, window);
        self.period = period;
        self.voicing = ((likeness - NOISE) / (VOICE - NOISE)).clamp(0.0, 1.0);
    }

    /// A sample from before the loss, at random.
    fn noise(&mut self, memory: &[f32; MEMORY]) -> f32 {
        self.random = self
            .random
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let pick = (self.random >> 16) as usize % NOISE_RANGE;
        memory[MEMORY - 1 - NOISE_DISTANCE - pick]
    }

    fn gain(&self) -> f32 {
        let faded = self.lost.saturating_sub(HOLD).min(FADE);
        1.0 - faded as f32 / FADE as f32
    }
}

/// The lag whose window is most like that of lag 0, and the correlation of both.
fn pitch<'a>(lags: std::ops::Range<usize>, window: impl Fn(usize) -> &'a [f32]) -> (usize, f32) {
    let target = window(0);
    let energy = dot(target, target).max(1.0);
    let mut best = (lags.start, 0.0_f32);
    for lag in lags {
        let other = window(lag);
        let common = dot(target, other).max(0.0);
        let likeness = common * common / (energy * dot(other, other).max(1.0));
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    (best.0, best.1.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_keeps_its_pitch_and_fades() {
        let memory = std::array::from_fn(|at| if at % 50 == 0 { 1_000.0 } else { 0.0 });
        let mut concealment = Concealment::new();
        let made_up = concealment.conceal(Mode::Ms20, &memory);
        let pulses = (0..160).filter(|at| made_up[*at] > 500.0);
        assert_eq!(pulses.collect::<Vec<_>>(), [10, 60, 110]);
        for _ in 0..5 {
            concealment.conceal(Mode::Ms20, &memory);
        }
        assert_eq!(concealment.conceal(Mode::Ms20, &memory), [0.0; SAMPLES_MAX]);
    }

    #[test]
    fn what_was_made_up_leads_over_to_the_next_frame() {
        for mode in Mode::ALL {
            let mut memory = [0.0; MEMORY];
            let frame = std::array::from_fn(|at| ((at + 20) as f32 * 0.157).sin() * 1_000.0);
            let mut concealment = Concealment::new();
            concealment.resume(mode, &mut memory, &frame);
            assert_eq!(memory, [0.0; MEMORY], "nothing was lost");
            concealment.conceal(mode, &memory);
            concealment.resume(mode, &mut memory, &frame);
            let step = memory[MEMORY - 1] - frame[0];
            assert!(step.abs() < 200.0, "{mode:?}: {step}");
        }
    }
}
