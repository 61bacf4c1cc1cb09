//! From frames to samples.

use std::fmt;

use super::SAMPLES_PER_FRAME;
use super::arithmetic::mult_r;
use super::batch::{Decoding, decode_batch};
use super::frame::{FRAME_LEN, Parameters, SUBFRAME_LEN, Subframe};
use super::homing::{self, Extent};
use super::lattice;
use super::long_term::{GAINS, HISTORY_LEN, LAG_MIN};
use super::loss::Substitute;
use super::pulses::Excitation;
use super::ratios::{Previous, Stages};

/// Makes samples of one stream's frames. Some 400 octets, without allocation.
#[derive(Clone)]
pub struct Decoder {
    pub(super) previous: Previous,
    pub(super) lattice: Stages,
    /// The sample before, with its high frequencies lowered.
    pub(super) last_output: i16,
    /// The last lag that was one.
    lag: u8,
    /// The residual of the last [`HISTORY_LEN`] samples.
    history: [i16; HISTORY_LEN],
    /// Whether nothing was decoded since the home state.
    is_home: bool,
    substitute: Substitute,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            previous: Previous::default(),
            lattice: Stages::default(),
            last_output: 0,
            lag: 40,
            history: [0; HISTORY_LEN],
            is_home: true,
            substitute: Substitute::default(),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What somebody said is nobody's business.
        formatter.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Course {
    /// It is decoded.
    Decode,
    /// It is decoded, and the decoder goes home.
    DecodeAndGoHome,
    /// The decoder is at home and stays there, saying what sends an encoder home.
    StayHome,
}

impl Decoder {
    /// A decoder in its home state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes back to the home state, as for another call.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Decodes a frame into 20 ms. The signature is not looked at; [`split`](super::split) did so.
    #[must_use]
    pub fn decode(&mut self, frame: &[u8; FRAME_LEN]) -> [i16; SAMPLES_PER_FRAME] {
        self.next(Some(frame))
    }

    /// Makes 20 ms in place of a frame that did not come: like the last frame at first, silent
    /// after 320 ms.
    #[must_use]
    pub fn conceal(&mut self) -> [i16; SAMPLES_PER_FRAME] {
        self.next(None)
    }

    fn next(&mut self, frame: Option<&[u8; FRAME_LEN]>) -> [i16; SAMPLES_PER_FRAME] {
        let mut samples = [0; SAMPLES_PER_FRAME];
        decode_batch(&mut [Decoding {
            decoder: self,
            frame,
            samples: &mut samples,
        }]);
        samples
    }

    /// What to decode for a frame, or for a lost one, and what to do with it.
    #[inline(always)]
    pub(super) fn begin(&mut self, frame: Option<&[u8; FRAME_LEN]>) -> (Parameters, Course) {
        let Some(frame) = frame else {
            return (self.substitute.next(), Course::Decode);
        };
        let parameters = Parameters::unpack(frame);
        self.substitute.note(&parameters);
        (parameters, self.course_of(&parameters))
    }

    fn course_of(&self, parameters: &Parameters) -> Course {
        if self.is_home {
            if homing::sends_decoder_home(parameters, Extent::FirstSubframe) {
                return Course::StayHome;
            }
        } else if homing::sends_decoder_home(parameters, Extent::Frame) {
            return Course::DecodeAndGoHome;
        }
        Course::Decode
    }

    /// Decodes without any special instructions.
    pub(super) fn decode_alone(
        &mut self,
        frame: Option<&[u8; FRAME_LEN]>,
    ) -> [i16; SAMPLES_PER_FRAME] {
        let (parameters, course) = self.begin(frame);
        if course == Course::StayHome {
            return homing::SAMPLES;
        }
        let mut samples = self.residual(&parameters.subframes);
        let reflections = self.previous.reflections(&parameters.ratios);
        lattice::synthesise(&mut self.lattice, &reflections, &mut samples);
        lattice::deemphasise(&mut self.last_output, &mut samples);
        self.end(course);
        samples
    }

    /// To be called after a frame was decoded.
    pub(super) fn end(&mut self, course: Course) {
        match course {
            Course::DecodeAndGoHome => self.reset(),
            Course::Decode => self.is_home = false,
            Course::StayHome => {}
        }
    }

    /// The residual of a frame: its pulses, and what the long-term prediction makes of the
    /// residual before.
    #[inline(always)]
    pub(super) fn residual(&mut self, subframes: &[Subframe; 4]) -> [i16; SAMPLES_PER_FRAME] {
        let mut all = [0; HISTORY_LEN + SAMPLES_PER_FRAME];
        all[..HISTORY_LEN].copy_from_slice(&self.history);
        for (at, subframe) in (HISTORY_LEN..).step_by(SUBFRAME_LEN).zip(subframes) {
            if (LAG_MIN..=HISTORY_LEN).contains(&usize::from(subframe.lag)) {
                self.lag = subframe.lag;
            }
            let gain = GAINS[usize::from(subframe.gain & 3)];
            let pulses = Excitation::from(subframe).decode();
            let (before, now) = all.split_at_mut(at);
            let past = &before[at - usize::from(self.lag)..];
            for ((now, past), pulse) in now.iter_mut().zip(past).zip(pulses) {
                *now = pulse.saturating_add(mult_r(gain, *past));
            }
        }
        let (_, residual) = all.split_at(HISTORY_LEN);
        self.history
            .copy_from_slice(&residual[SAMPLES_PER_FRAME - HISTORY_LEN..]);
        *residual
            .first_chunk()
            .expect("a frame lies behind the history")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gsm::Encoder;
    use crate::signal;

    /// The loudest sample.
    fn peak(samples: &[i16]) -> u16 {
        samples.iter().map(|it| it.unsigned_abs()).max().unwrap()
    }

    #[test]
    fn lost_frames_sound_like_the_last_one_and_fade_away() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let speech: Vec<i16> = signal::tone(8_000, 150.0, 15_000.0).take(3_200).collect();
        let mut last = 0;
        for samples in speech.as_chunks().0 {
            last = peak(&decoder.decode(&encoder.encode(samples)));
        }
        let first_lost = peak(&decoder.conceal());
        assert!(first_lost > last / 2, "{first_lost} after {last}");
        for _ in 0..16 {
            let _ = decoder.conceal();
        }
        let silent = peak(&decoder.conceal());
        assert!(silent < 100, "{silent}");
    }

    #[test]
    fn what_comes_after_a_loss_is_heard_as_before() {
        let mut encoder = Encoder::new();
        let speech = signal::speech(8_000, 16_000);
        let frames = speech.as_chunks().0.iter().map(|it| encoder.encode(it));
        let (mut whole, mut broken) = (Decoder::new(), Decoder::new());
        let (mut expected, mut heard) = (Vec::new(), Vec::new());
        for (number, frame) in frames.enumerate() {
            expected.extend(whole.decode(&frame));
            heard.extend(match number {
                40..43 => broken.conceal(),
                _ => broken.decode(&frame),
            });
        }
        let after = 160 * 60..;
        let snr = signal::snr_db(&expected[after.clone()], &heard[after], 0);
        assert!(snr > 20.0, "{snr} dB");
    }

    #[test]
    fn before_the_first_frame_a_loss_is_silent() {
        assert!(peak(&Decoder::new().conceal()) < 100);
    }

    #[test]
    fn a_decoder_set_back_is_as_new() {
        let mut used = Decoder::new();
        let _ = used.decode(&[0xd9; FRAME_LEN]);
        let _ = used.conceal();
        used.reset();
        let frame = [0xd3; FRAME_LEN];
        assert_eq!(used.decode(&frame), Decoder::new().decode(&frame));
    }

    #[test]
    fn states_are_small() {
        fn is_send<T: Send>() {}
        is_send::<Decoder>();
        is_send::<Encoder>();
        // Thousands of calls fit in a cache.
        assert!(size_of::<Decoder>() <= 400, "{}", size_of::<Decoder>());
        assert!(size_of::<Encoder>() <= 300, "{}", size_of::<Encoder>());
    }
}
