//! `tandem codec bench`

use std::f64::consts::TAU;
use std::hint::black_box;
use std::time::{Duration, Instant};

use clap::Args;
use codec::{Codec, Decoder, Encoder, PAYLOAD_LEN_MAX, SAMPLES_MAX};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{codec_parser, explain, name_of};
use crate::Context;
use crate::failure::Failure;
use crate::output::{Grid, print_as_json};

/// Seconds of speech that go through a codec in one round.
const SPEECH_S: usize = 2;

/// Rounds of a measurement, at least.
const ROUNDS_MIN: usize = 3;

/// `tandem codec bench`
#[derive(Args, Debug)]
#[command(after_help = crate::examples!(
    "tandem codec bench" => "all codecs",
    "tandem codec bench --codec gsm --codec opus8 --seconds 3" => "two of them, for longer",
    "tandem codec bench --json | jq '.[] | {codec, encode_ns}'" => "figures for programs"
))]
pub(super) struct BenchArgs {
    /// Codec to measure; may be given many times. Without it: all
    #[arg(long, value_parser = codec_parser())]
    codec: Vec<Codec>,

    /// Seconds to measure encoding and decoding of each
    #[arg(long, value_name = "S", default_value_t = 0.5)]
    seconds: f64,
}

/// What a codec costs.
#[derive(Debug, Serialize)]
struct Cost {
    codec: &'static str,
    sample_rate_hz: u16,
    packet_ms: f64,
    payload_bytes: f64,
    encode_ns: f64,
    decode_ns: f64,
    conceal_ns: f64,
    /// How much faster than the clock.
    encode_realtime: f64,
    decode_realtime: f64,
    /// Calls to G.711 that one core could transcode both ways.
    calls_per_core: f64,
}

/// Measures each codec.
pub(super) fn run(context: &Context, args: &BenchArgs) -> Result<(), Failure> {
    let time = Duration::try_from_secs_f64(args.seconds)
        .map_err(|_| Failure::usage(format!("--seconds {} is no time", args.seconds)))?;
    let codecs = match &args.codec[..] {
        [] => &Codec::ALL[..],
        some => some,
    };
    let bar = progress_bar(codecs.len());
    let mut costs = Vec::new();
    for codec in codecs {
        bar.set_message(name_of(*codec));
        costs.push(cost_of(*codec, time)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if context.json {
        return print_as_json(&costs);
    }
    print_table(&costs)
}

fn print_table(costs: &[Cost]) -> Result<(), Failure> {
    let mut grid = Grid::new(&[
        "CODEC", ">MS", ">BYTES", ">ENCODE", ">DECODE", ">CONCEAL", ">ENC ×", ">DEC ×", ">CALLS",
    ]);
    for it in costs {
        let us = |ns: f64| format!("{:.2} µs", ns / 1_000.0);
        let times = |factor: f64| format!("{factor:.0}");
        grid.row([
            it.codec.to_owned(),
            format!("{:.0}", it.packet_ms),
            format!("{:.0}", it.payload_bytes),
            us(it.encode_ns),
            us(it.decode_ns),
            us(it.conceal_ns),
            times(it.encode_realtime),
            times(it.decode_realtime),
            format!("{:.0}", it.calls_per_core),
        ]);
    }
    grid.print("")
}

fn cost_of(codec: Codec, time: Duration) -> Result<Cost, Failure> {
    let packet = codec.packet_samples(20);
    let hz = codec.rate().hz();
    let speech = speech(hz);
    let mut encoder = Encoder::new(codec).map_err(explain)?;
    let mut payload = vec![0; PAYLOAD_LEN_MAX];
    let mut payloads = Vec::new();
    for samples in speech.chunks_exact(packet) {
        let len = encoder.encode(samples, &mut payload).map_err(explain)?;
        payloads.push(payload[..len].to_vec());
    }

    let encode_ns = median_ns(time, payloads.len(), || {
        for samples in speech.chunks_exact(packet) {
            black_box(encoder.encode(black_box(samples), &mut payload).is_ok());
        }
    });
    let mut decoder = Decoder::new(codec).map_err(explain)?;
    let mut samples = [0; SAMPLES_MAX];
    let decode_ns = median_ns(time, payloads.len(), || {
        for payload in &payloads {
            black_box(decoder.decode(black_box(payload), &mut samples).is_ok());
        }
    });
    // One packet in ten: a decoder that has long been silent has less to do.
    let lossy_ns = median_ns(time, payloads.len(), || {
        for (index, payload) in payloads.iter().enumerate() {
            if index % 10 == 9 {
                decoder.conceal(None, black_box(&mut samples[..packet]));
            } else {
                black_box(decoder.decode(black_box(payload), &mut samples).is_ok());
            }
        }
    });

    let packet_ms = as_f64(packet) * 1_000.0 / f64::from(hz);
    let bytes: usize = payloads.iter().map(Vec::len).sum();
    let packet_ns = packet_ms * 1e6;
    Ok(Cost {
        codec: name_of(codec),
        sample_rate_hz: hz,
        packet_ms,
        payload_bytes: as_f64(bytes) / as_f64(payloads.len()),
        encode_ns,
        decode_ns,
        conceal_ns: (10.0 * lossy_ns - 9.0 * decode_ns).max(0.0),
        encode_realtime: packet_ns / encode_ns,
        decode_realtime: packet_ns / decode_ns,
        calls_per_core: packet_ns / (encode_ns + decode_ns),
    })
}

/// The time of a packet in ns: the median over rounds.
fn median_ns(time: Duration, packets: usize, mut round: impl FnMut()) -> f64 {
    // Once for the caches.
    round();
    let start = Instant::now();
    let mut rounds = Vec::new();
    while rounds.len() < ROUNDS_MIN || start.elapsed() < time {
        let start = Instant::now();
        round();
        rounds.push(start.elapsed());
    }
    rounds.sort_unstable();
    rounds[rounds.len() / 2].as_secs_f64() * 1e9 / as_f64(packets)
}

/// Something like speech: harmonics of a gliding pitch that come and go, and some noise.
fn speech(hz: u16) -> Vec<i16> {
    let len = usize::from(hz) * SPEECH_S;
    let (mut phase, mut random) = (0.0, 1_u32);
    let sample = |at: usize| {
        let time = as_f64(at) / f64::from(hz);
        phase += TAU * (140.0 + 40.0 * (TAU * 0.7 * time).sin()) / f64::from(hz);
        let harmonics = (1..20).map(|n| (phase * f64::from(n)).sin() / f64::from(n));
        let loudness = 0.2 + (TAU * 2.0 * time).sin().abs();
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(random >> 16) / 65_536.0 - 0.5;
        #[expect(clippy::cast_possible_truncation, reason = "less than 16 bits")]
        let sample = (harmonics.sum::<f64>() * loudness * 5_000.0 + noise * 300.0) as i16;
        sample
    };
    (0..len).map(sample).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "these are counts of some thousands"
)]
fn as_f64(count: usize) -> f64 {
    count as f64
}

/// A bar on standard error; nothing if that is no terminal.
fn progress_bar(codecs: usize) -> ProgressBar {
    let bar = ProgressBar::new(codecs as u64);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {msg}") {
        bar.set_style(style);
    }
    bar
}
