//! GSM against libgsm, bit by bit: a million frames of everything. Skipped aloud where Debian's
//! libgsm1-dev is not installed.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use codec::gsm::{
    Decoder, Decoding, Encoder, Encoding, FRAME_LEN, SAMPLES_PER_FRAME, SIGNATURE, decode_batch,
    encode_batch,
};

#[path = "libgsm/oracle.rs"]
mod oracle;

use oracle::{Frames, Random, STREAMS};

/// Frames in each direction, a whole number of rounds through all streams.
const FRAME_COUNT: usize = 37_500 * STREAMS;

const SEED: u64 = 0x6510;

type Samples = [i16; SAMPLES_PER_FRAME];
type Octets = [u8; FRAME_LEN];

/// Feeds the oracle from a thread of its own, and gives what it answers to `check`.
fn ask(
    mode: &str,
    feed: impl FnOnce(&mut ChildStdin) -> io::Result<()> + Send,
    check: impl FnOnce(&mut ChildStdout),
) {
    let Some(program) = oracle::build(Path::new(env!("CARGO_TARGET_TMPDIR")), mode) else {
        return;
    };
    let mut child = Command::new(program)
        .arg(mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it was just built");
    let mut input = child.stdin.take().expect("it was piped");
    let output = child.stdout.take().expect("it was piped");
    let is_fed = thread::scope(move |scope| {
        let feeder = scope.spawn(move || feed(&mut input));
        // Moved, so that a check that fails ends the oracle, and with it the feeder.
        let mut output = output;
        check(&mut output);
        assert_eq!(
            output.read(&mut [0]).expect("a pipe"),
            0,
            "answers left over"
        );
        feeder.join().expect("it does not panic")
    });
    is_fed.expect("the oracle took everything");
    assert!(child.wait().expect("it was started").success());
}

/// Groups of one frame for each stream.
fn speech() -> impl Iterator<Item = [Samples; STREAMS]> {
    let mut streams: [Frames; STREAMS] =
        std::array::from_fn(|stream| Frames::new(SEED + 977 * stream as u64));
    let group = move || {
        streams
            .each_mut()
            .map(|it| it.next().expect("it has no end"))
    };
    std::iter::repeat_with(group).take(FRAME_COUNT / STREAMS)
}

/// Coded speech in half of the streams, any bits in the others, and now and then all alike.
fn octets() -> impl Iterator<Item = [Octets; STREAMS]> {
    let mut encoders: [Encoder; STREAMS] = std::array::from_fn(|_| Encoder::new());
    let mut random = Random::new(SEED);
    speech().map(move |samples| {
        let mut group = [[0; FRAME_LEN]; STREAMS];
        encode(&mut encoders, &samples, &mut group);
        for (stream, octets) in group.iter_mut().enumerate() {
            if stream % 2 == 1 {
                disturb(&mut random, octets);
            }
            octets[0] = SIGNATURE << 4 | octets[0] & 0xf;
        }
        group
    })
}

/// Makes a frame one that no encoder would.
fn disturb(random: &mut Random, octets: &mut Octets) {
    match random.below(8) {
        0 => *octets = [0; FRAME_LEN],
        1 => *octets = [0xff; FRAME_LEN],
        2 => {
            let place = random.below(8 * FRAME_LEN as u64);
            octets[usize::try_from(place / 8).expect("a place")] ^= 1 << (place % 8);
        }
        _ => *octets = std::array::from_fn(|_| random.next().to_le_bytes()[3]),
    }
}

fn encode(
    encoders: &mut [Encoder; STREAMS],
    samples: &[Samples; STREAMS],
    octets: &mut [Octets; STREAMS],
) {
    let jobs = encoders.iter_mut().zip(samples).zip(octets);
    let jobs = jobs.map(|((encoder, samples), frame)| Encoding {
        encoder,
        samples,
        frame,
    });
    encode_batch(&mut jobs.collect::<Vec<_>>());
}

fn decode(
    decoders: &mut [Decoder; STREAMS],
    octets: &[Octets; STREAMS],
    samples: &mut [Samples; STREAMS],
) {
    let jobs = decoders.iter_mut().zip(octets).zip(samples);
    let jobs = jobs.map(|((decoder, frame), samples)| Decoding {
        decoder,
        frame: Some(frame),
        samples,
    });
    decode_batch(&mut jobs.collect::<Vec<_>>());
}

#[test]
fn encodes_as_libgsm_does() {
    let feed = |input: &mut ChildStdin| {
        for group in speech() {
            let words = group.as_flattened().iter();
            let bytes: Vec<u8> = words.flat_map(|sample| sample.to_ne_bytes()).collect();
            input.write_all(&bytes)?;
        }
        Ok(())
    };
    ask("encode", feed, |output| {
        let mut encoders = std::array::from_fn(|_| Encoder::new());
        for (round, samples) in speech().enumerate() {
            let (mut ours, mut theirs) = ([[0; FRAME_LEN]; STREAMS], [[0; FRAME_LEN]; STREAMS]);
            encode(&mut encoders, &samples, &mut ours);
            output
                .read_exact(theirs.as_flattened_mut())
                .expect("the oracle answers");
            assert_eq!(ours, theirs, "round {round}");
        }
    });
}

#[test]
fn decodes_as_libgsm_does() {
    let feed = |input: &mut ChildStdin| {
        for group in octets() {
            input.write_all(group.as_flattened())?;
        }
        Ok(())
    };
    ask("decode", feed, |output| {
        let mut decoders = std::array::from_fn(|_| Decoder::new());
        let mut bytes = vec![0; 2 * SAMPLES_PER_FRAME * STREAMS];
        for (round, octets) in octets().enumerate() {
            let mut ours = [[0; SAMPLES_PER_FRAME]; STREAMS];
            decode(&mut decoders, &octets, &mut ours);
            output.read_exact(&mut bytes).expect("the oracle answers");
            let words = bytes.as_chunks::<2>().0.iter();
            let theirs: Vec<i16> = words.map(|word| i16::from_ne_bytes(*word)).collect();
            assert_eq!(ours.as_flattened(), theirs, "round {round}");
        }
    });
}
