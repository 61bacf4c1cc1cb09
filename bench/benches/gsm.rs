//! What a frame of GSM costs in batches of sixteen streams, and how that compares with libgsm: both code
//! the same frames in turn, so that the ratio holds on a busy machine too.

use std::env;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use codec::gsm::{
    Decoder, Decoding, Encoder, Encoding, FRAME_LEN, SAMPLES_PER_FRAME, decode_batch, encode_batch,
};
use criterion::{Criterion, Throughput, criterion_group};

#[path = "../../codec/tests/libgsm/oracle.rs"]
mod oracle;

use oracle::{Frames, STREAMS};

/// Frames that are coded in one go: 20 seconds of each stream.
const FRAME_COUNT: usize = 1_000 * STREAMS;

/// How often ours and theirs take turns.
const ROUNDS: usize = 15;

type Samples = [i16; SAMPLES_PER_FRAME];
type Octets = [u8; FRAME_LEN];

/// What is coded, and by what.
struct Work {
    speech: Vec<Samples>,
    frames: Vec<Octets>,
    encoders: [Encoder; STREAMS],
    decoders: [Decoder; STREAMS],
}

impl Work {
    fn new() -> Self {
        let speech: Vec<_> = Frames::new(16).take(FRAME_COUNT).collect();
        let mut work = Self {
            frames: vec![[0; FRAME_LEN]; speech.len()],
            speech,
            encoders: std::array::from_fn(|_| Encoder::new()),
            decoders: std::array::from_fn(|_| Decoder::new()),
        };
        work.encode();
        work
    }

    fn encode(&mut self) {
        let groups = self.speech.chunks(STREAMS);
        for (speech, frames) in groups.zip(self.frames.chunks_mut(STREAMS)) {
            let mut rest = self.encoders.iter_mut().zip(speech).zip(frames);
            let mut jobs: [Encoding<'_>; STREAMS] = std::array::from_fn(|_| {
                let ((encoder, samples), frame) = rest.next().expect("groups are whole");
                Encoding {
                    encoder,
                    samples,
                    frame,
                }
            });
            encode_batch(&mut jobs);
        }
        black_box(&self.frames);
    }

    fn decode(&mut self) {
        let mut speech = [[0; SAMPLES_PER_FRAME]; STREAMS];
        for frames in self.frames.chunks(STREAMS) {
            let mut rest = self.decoders.iter_mut().zip(frames).zip(&mut speech);
            let mut jobs: [Decoding<'_>; STREAMS] = std::array::from_fn(|_| {
                let ((decoder, frame), samples) = rest.next().expect("groups are whole");
                Decoding {
                    decoder,
                    frame: Some(frame),
                    samples,
                }
            });
            decode_batch(&mut jobs);
            black_box(&speech);
        }
    }
}

/// libgsm, which says how long it took.
struct Theirs {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Theirs {
    fn start(program: &Path, mode: &str, frames: &[u8]) -> Self {
        let mut child = Command::new(program)
            .args([mode, &FRAME_COUNT.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was just built");
        let mut input = child.stdin.take().expect("it was piped");
        input.write_all(frames).expect("it takes its frames");
        let output = BufReader::new(child.stdout.take().expect("it was piped"));
        Self {
            child,
            input,
            output,
        }
    }

    /// Nanoseconds for each frame.
    fn time(&mut self) -> f64 {
        self.input.write_all(b"!").expect("it listens");
        self.input.flush().expect("it listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        let nanoseconds: f64 = line.trim().parse().expect("it answers with a number");
        nanoseconds / FRAME_COUNT as f64
    }

    fn stop(self) {
        let Self {
            mut child, input, ..
        } = self;
        drop(input);
        child.wait().expect("it ends with its input");
    }
}

/// Nanoseconds for each frame.
fn time(work: &mut Work, body: fn(&mut Work)) -> f64 {
    let start = Instant::now();
    body(work);
    start.elapsed().as_secs_f64() * 1e9 / FRAME_COUNT as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Both take turns, so that whatever else the machine does hits both.
fn compare(name: &str, work: &mut Work, body: fn(&mut Work), mut theirs: Theirs) {
    let pairs: Vec<_> = (0..ROUNDS)
        .map(|_| (time(work, body), theirs.time()))
        .collect();
    theirs.stop();
    let ratio = median(pairs.iter().map(|(ours, theirs)| ours / theirs).collect());
    let ours = median(pairs.iter().map(|(ours, _)| *ours).collect());
    let theirs = median(pairs.iter().map(|(_, theirs)| *theirs).collect());
    println!("gsm/{name}: {ours:.0} ns a frame, libgsm {theirs:.0} ns, ratio {ratio:.3}");
}

fn compare_both(work: &mut Work) {
    let Some(program) = oracle::build(Path::new(env!("CARGO_TARGET_TMPDIR")), "bench") else {
        return;
    };
    let samples = work.speech.as_flattened().iter();
    let samples: Vec<u8> = samples.flat_map(|sample| sample.to_ne_bytes()).collect();
    let theirs = Theirs::start(&program, "time-encode", &samples);
    compare("encode", work, Work::encode, theirs);
    let theirs = Theirs::start(&program, "time-decode", work.frames.as_flattened());
    compare("decode", work, Work::decode, theirs);
}

fn ours(criterion: &mut Criterion) {
    let mut work = Work::new();
    let mut group = criterion.benchmark_group("gsm, sixteen streams");
    group.throughput(Throughput::Elements(FRAME_COUNT as u64));
    group.sample_size(10);
    group.bench_function("encode", |bencher| bencher.iter(|| work.encode()));
    group.bench_function("decode", |bencher| bencher.iter(|| work.decode()));
    group.finish();
}

criterion_group!(benches, ours);

fn main() {
    // As a test each bench only has to run.
    if env::args().any(|argument| argument == "--bench") {
        compare_both(&mut Work::new());
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
