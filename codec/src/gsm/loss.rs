//! What stands in for lost frames: the last good one, softer each time, then silence
//! (GSM 06.11, EN 300 963, §6).

use super::frame::{Parameters, Subframe};

/// How much softer each frame after the first lost one is, in coded amplitude: 16 frames, or
/// 320 ms, take the loudest to silence.
const MUTING_STEP: u8 = 4;

/// The silence frame (table 1).
const SILENCE: Parameters = Parameters {
    ratios: [42, 39, 21, 10, 9, 4, 3, 2],
    subframes: [Subframe {
        lag: 40,
        gain: 0,
        grid: 1,
        amplitude: 0,
        pulses: [3, 4, 3, 4, 4, 3, 3, 3, 3, 4, 4, 3, 3],
    }; 4],
};

/// Remembers what a lost frame is replaced by.
#[derive(Clone, Debug)]
pub(super) struct Substitute {
    /// What was decoded last, good or not.
    last: Parameters,
    stage: Stage,
    /// Where the grids of muted frames come from; any number but 0.
    random: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The last frame was good.
    Repeat,
    /// It was not.
    Mute,
    /// Nothing of the last good frame is left.
    Silent,
}

impl Default for Substitute {
    fn default() -> Self {
        Self {
            last: SILENCE,
            stage: Stage::Silent,
            random: 0x6d2b_79f5,
        }
    }
}

impl Substitute {
    /// Takes note of a good frame.
    pub(super) fn note(&mut self, parameters: &Parameters) {
        self.last = *parameters;
        self.stage = Stage::Repeat;
    }

    /// The parameters to decode instead of a lost frame.
    pub(super) fn next(&mut self) -> Parameters {
        match self.stage {
            Stage::Repeat => self.stage = Stage::Mute,
            Stage::Mute if self.is_muted() => {
                self.stage = Stage::Silent;
                self.last = SILENCE;
            }
            Stage::Mute => self.mute(),
            Stage::Silent => {}
        }
        self.last
    }

    fn is_muted(&self) -> bool {
        self.last.subframes.iter().all(|it| it.amplitude == 0)
    }

    /// A softer frame. Its pulses stand elsewhere each time, or the repetition would be a tone.
    fn mute(&mut self) {
        for at in 0..4 {
            let grid = self.random_grid();
            let subframe = &mut self.last.subframes[at];
            subframe.amplitude = subframe.amplitude.saturating_sub(MUTING_STEP);
            subframe.grid = grid;
        }
    }

    /// Two bits of a xorshift generator: nobody is to guess them, they only must vary.
    fn random_grid(&mut self) -> u8 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random.to_le_bytes()[3] & 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lost_frame_is_the_last_good_one_and_the_loudest_is_silent_after_320_ms() {
        let mut good = SILENCE;
        for subframe in &mut good.subframes {
            subframe.amplitude = 63;
        }
        let mut substitute = Substitute::default();
        substitute.note(&good);
        assert_eq!(substitute.next(), good);
        for lost in 1..=16 {
            let frame = substitute.next();
            let amplitude = 63_u8.saturating_sub(4 * lost);
            assert!(frame.subframes.iter().all(|it| it.amplitude == amplitude));
            assert_eq!(frame.ratios, good.ratios);
        }
        assert_eq!(substitute.next(), SILENCE);
        assert_eq!(substitute.next(), SILENCE);
    }

    #[test]
    fn a_good_frame_ends_the_muting() {
        let good = Parameters::unpack(&[0xd7; 33]);
        let mut substitute = Substitute::default();
        substitute.note(&good);
        substitute.next();
        assert_ne!(substitute.next(), good);
        substitute.note(&good);
        assert_eq!(substitute.next(), good);
    }

    #[test]
    fn muted_frames_use_every_grid() {
        let mut good = SILENCE;
        good.subframes[0].amplitude = 63;
        let mut substitute = Substitute::default();
        substitute.note(&good);
        let mut is_seen = [false; 4];
        for _ in 0..16 {
            for subframe in substitute.next().subframes {
                is_seen[usize::from(subframe.grid)] = true;
            }
        }
        assert_eq!(is_seen, [true; 4]);
    }

    #[test]
    fn before_any_frame_there_is_silence() {
        assert_eq!(Substitute::default().next(), SILENCE);
    }
}
