//! What a frame of iLBC costs, of both lengths: encoded, decoded, and made up for.

use std::f64::consts::TAU;
use std::hint::black_box;

use codec::ilbc::{Decoder, Encoder, Mode};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Frames that take turns.
const FRAMES: usize = 200;

/// Something like speech: harmonics of a gliding pitch that come and go.
fn speech(len: usize) -> Vec<i16> {
    let mut phase = 0.0;
    let sample = |at: u32| {
        let time = f64::from(at) / 8_000.0;
        phase += TAU * (140.0 + 40.0 * (TAU * 0.7 * time).sin()) / 8_000.0;
        let harmonics = (1..20).map(|n| (phase * f64::from(n)).sin() / f64::from(n));
        let loudness = 0.2 + (TAU * 2.0 * time).sin().abs();
        #[expect(clippy::cast_possible_truncation, reason = "less than 16 bits")]
        let sample = (harmonics.sum::<f64>() * loudness * 5_000.0) as i16;
        sample
    };
    (0..).take(len).map(sample).collect()
}

fn ilbc(criterion: &mut Criterion) {
    for mode in Mode::ALL {
        let speech = speech(FRAMES * mode.samples());
        let mut frames = vec![0; FRAMES * mode.frame_len()];
        let mut encoder = Encoder::new(mode);
        let both = speech.chunks_exact(mode.samples());
        for (samples, frame) in both.zip(frames.chunks_exact_mut(mode.frame_len())) {
            encoder.encode(samples, frame);
        }

        let mut group = criterion.benchmark_group(format!("ilbc/{} ms", mode.milliseconds()));
        group.throughput(Throughput::Elements(1));
        let mut turns = speech.chunks_exact(mode.samples()).cycle();
        let mut frame = vec![0; mode.frame_len()];
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                let samples = turns.next().expect("they take turns");
                encoder.encode(black_box(samples), &mut frame)
            });
        });
        let mut decoder = Decoder::new(mode);
        let mut turns = frames.chunks_exact(mode.frame_len()).cycle();
        let mut samples = vec![0; mode.samples()];
        group.bench_function("decode", |bencher| {
            bencher.iter(|| {
                let frame = turns.next().expect("they take turns");
                decoder.decode(black_box(frame), &mut samples)
            });
        });
        let mut turns = frames.chunks_exact(mode.frame_len()).cycle();
        group.bench_function("conceal and decode", |bencher| {
            bencher.iter(|| {
                let frame = turns.next().expect("they take turns");
                decoder.conceal(&mut samples);
                decoder.decode(black_box(frame), &mut samples)
            });
        });
        group.finish();
    }
}

criterion_group!(benches, ilbc);
criterion_main!(benches);
