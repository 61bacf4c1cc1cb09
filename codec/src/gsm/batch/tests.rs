use super::*;
use proptest::prelude::*;

/// A xorshift generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[2]
    }

    /// Noise, the loudest square wave there is, a tone, or what sends an encoder home.
    fn samples(&mut self) -> [i16; SAMPLES_PER_FRAME] {
        let kind = self.octet() % 5;
        let period = 2 + usize::from(self.octet());
        std::array::from_fn(|at| match kind {
            0 => i16::from_le_bytes([self.octet(), self.octet()]),
            1 if at % period < period / 2 => i16::MIN,
            1 => i16::MAX,
            2 => i16::from_le_bytes([self.octet(), 0]) - 128,
            3 => i16::try_from(at % period * 100).unwrap() - 9_000,
            _ => 8,
        })
    }

    /// Lost, of any bits, or of coded speech.
    fn frame(&mut self, encoder: &mut Encoder) -> Option<[u8; FRAME_LEN]> {
        match self.octet() % 6 {
            0 => None,
            1 | 2 => Some(std::array::from_fn(|_| self.octet())),
            _ => Some(encoder.encode_alone(&self.samples())),
        }
    }
}

fn encode_all(
    level: Level,
    encoders: &mut [Encoder],
    samples: &[[i16; SAMPLES_PER_FRAME]],
) -> Vec<[u8; FRAME_LEN]> {
    let mut frames = vec![[0; FRAME_LEN]; samples.len()];
    let jobs = encoders.iter_mut().zip(samples).zip(&mut frames);
    let mut jobs: Vec<_> = jobs
        .map(|((encoder, samples), frame)| Encoding {
            encoder,
            samples,
            frame,
        })
        .collect();
    encode_at(level, &mut jobs);
    frames
}

fn decode_all(
    level: Level,
    decoders: &mut [Decoder],
    frames: &[Option<[u8; FRAME_LEN]>],
) -> Vec<[i16; SAMPLES_PER_FRAME]> {
    let mut samples = vec![[0; SAMPLES_PER_FRAME]; frames.len()];
    let jobs = decoders.iter_mut().zip(frames).zip(&mut samples);
    let mut jobs: Vec<_> = jobs
        .map(|((decoder, frame), samples)| Decoding {
            decoder,
            frame: frame.as_ref(),
            samples,
        })
        .collect();
    decode_at(level, &mut jobs);
    samples
}

#[test]
fn every_level_encodes_the_same() {
    let mut random = Random(0x1234_5678);
    for level in Level::all() {
        let mut together = vec![Encoder::new(); 37];
        let mut alone = together.clone();
        for round in 0..60 {
            // Fewer streams than lanes, as many, and more.
            let count = 1 + round * 7 % together.len();
            let samples: Vec<_> = (0..count).map(|_| random.samples()).collect();
            let frames = encode_all(level, &mut together[..count], &samples);
            let expected = alone.iter_mut().zip(&samples);
            let expected: Vec<_> = expected
                .map(|(it, samples)| it.encode_alone(samples))
                .collect();
            assert_eq!(frames, expected, "{level:?}, round {round}");
        }
    }
}

#[test]
fn every_level_decodes_and_conceals_the_same() {
    let mut random = Random(0x8765_4321);
    for level in Level::all() {
        let mut encoder = Encoder::new();
        let mut together = vec![Decoder::new(); 37];
        let mut alone = together.clone();
        for round in 0..200 {
            let count = 1 + round * 7 % together.len();
            let frames: Vec<_> = (0..count).map(|_| random.frame(&mut encoder)).collect();
            let samples = decode_all(level, &mut together[..count], &frames);
            let expected = alone.iter_mut().zip(&frames);
            let expected: Vec<_> = expected
                .map(|(it, frame)| it.decode_alone(frame.as_ref()))
                .collect();
            assert_eq!(samples, expected, "{level:?}, round {round}");
        }
    }
}

#[test]
fn one_stream_does_not_hear_another() {
    let mut random = Random(99);
    let quiet = [0; SAMPLES_PER_FRAME];
    let mut encoders = vec![Encoder::new(); LANES];
    let mut lone = Encoder::new();
    for _ in 0..20 {
        let samples: Vec<_> = (0..LANES)
            .map(|lane| if lane == 5 { quiet } else { random.samples() })
            .collect();
        let frames = encode_all(Level::best(), &mut encoders, &samples);
        assert_eq!(frames[5], lone.encode(&quiet));
    }
}

#[test]
fn no_streams_are_no_work() {
    encode_batch(&mut []);
    decode_batch(&mut []);
}

proptest! {
    #[test]
    fn correlations_are_the_same_at_every_level(
        scaled in proptest::array::uniform(-512_i16..=511),
        history in proptest::array::uniform(any::<i16>()),
    ) {
        struct Correlate<'a>(&'a [i16; 40], &'a [i16; 120]);
        impl Work for Correlate<'_> {
            type Output = [i32; 81];
            #[inline(always)]
            fn run<S: Simd>(self, simd: S) -> [i32; 81] {
                simd.correlate(self.0, self.1)
            }
        }
        let expected = crate::gsm::long_term::correlate(&scaled, &history);
        for level in Level::all() {
            prop_assert_eq!(level.run(Correlate(&scaled, &history)), expected);
        }
    }
}
