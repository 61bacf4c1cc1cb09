//! What a packet costs in each codec, encoded, decoded and made up for, and what goes with it.

use std::f64::consts::TAU;
use std::hint::black_box;

use codec::comfort_noise::{Description, Generator};
use codec::resample::{Down, Up};
use codec::tone::Detector;
use codec::{Codec, Decoder, Encoder, PAYLOAD_LEN_MAX, Rate, SAMPLES_MAX};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Packets that take turns, so that none is always the same: two seconds of 20 ms.
const PACKETS: usize = 100;

/// Something like speech: harmonics of a gliding pitch that come and go.
fn speech(rate: Rate, len: usize) -> Vec<i16> {
    let mut phase = 0.0;
    let sample = |at: u32| {
        let time = f64::from(at) / f64::from(rate.hz());
        phase += TAU * (140.0 + 40.0 * (TAU * 0.7 * time).sin()) / f64::from(rate.hz());
        let harmonics = (1..20).map(|n| (phase * f64::from(n)).sin() / f64::from(n));
        let loudness = 0.2 + (TAU * 2.0 * time).sin().abs();
        #[expect(clippy::cast_possible_truncation, reason = "less than 16 bits")]
        let sample = (harmonics.sum::<f64>() * loudness * 5_000.0) as i16;
        sample
    };
    (0..).take(len).map(sample).collect()
}

fn codecs(criterion: &mut Criterion) {
    for codec in Codec::ALL {
        let packet = codec.packet_samples(20);
        let speech = speech(codec.rate(), PACKETS * packet);
        let mut encoder = Encoder::new(codec).expect("there is memory");
        let mut payload = vec![0; PAYLOAD_LEN_MAX];
        let payloads: Vec<_> = speech
            .chunks_exact(packet)
            .map(|samples| {
                let len = encoder.encode(samples, &mut payload).expect("whole frames");
                payload[..len].to_vec()
            })
            .collect();

        let mut group = criterion.benchmark_group(format!("codec/{codec:?}"));
        group.throughput(Throughput::Elements(1));
        let mut packets = speech.chunks_exact(packet).cycle();
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                let samples = packets.next().expect("they take turns");
                encoder.encode(black_box(samples), &mut payload)
            });
        });
        let mut decoder = Decoder::new(codec).expect("there is memory");
        let mut samples = [0; SAMPLES_MAX];
        let mut packets = payloads.iter().cycle();
        group.bench_function("decode", |bencher| {
            bencher.iter(|| {
                let payload = packets.next().expect("they take turns");
                decoder.decode(black_box(payload), &mut samples)
            });
        });
        let mut packets = payloads.iter().cycle();
        group.bench_function("conceal and decode", |bencher| {
            bencher.iter(|| {
                let payload = packets.next().expect("they take turns");
                decoder.conceal(None, &mut samples[..packet]);
                decoder.decode(black_box(payload), &mut samples)
            });
        });
        group.finish();
    }
}

fn around_codecs(criterion: &mut Criterion) {
    let narrow = speech(Rate::Narrow, 160);
    let wide = speech(Rate::Wide, 320);
    let mut out = [0; 320];
    let mut up = Up::new();
    criterion.bench_function("resample/8 to 16 kHz", |bencher| {
        bencher.iter(|| up.resample(black_box(&narrow), &mut out));
    });
    let mut down = Down::new();
    criterion.bench_function("resample/16 to 8 kHz", |bencher| {
        bencher.iter(|| down.resample(black_box(&wide), &mut out));
    });
    let mut detector = Detector::new(Rate::Narrow);
    criterion.bench_function("tone/listen", |bencher| {
        bencher.iter(|| {
            detector.listen(black_box(&narrow), |_, edge| {
                black_box(edge);
            });
        });
    });
    let mut noise = Generator::new();
    noise.describe(&Description::parse(&[50, 100, 140, 120, 130]).expect("not empty"));
    criterion.bench_function("comfort noise/generate", |bencher| {
        bencher.iter(|| noise.generate(black_box(&mut out[..160])));
    });
}

criterion_group!(benches, codecs, around_codecs);
criterion_main!(benches);
