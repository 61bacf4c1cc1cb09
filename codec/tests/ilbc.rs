//! iLBC against the test vectors of RFC 3951 and, if ffmpeg is there, against its decoder.
//!
//! The vectors are read from the folder that `TANDEM_VECTORS` names; without it these tests say so
//! and pass. Floating point is not the same to the bit everywhere, so closeness is what counts.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use codec::ilbc::{Decoder, Encoder, Mode};

fn bytes(name: &str) -> Option<Vec<u8>> {
    let Some(folder) = env::var_os("TANDEM_VECTORS") else {
        eprintln!("SKIPPED: TANDEM_VECTORS does not say where the test vectors are");
        return None;
    };
    let path = PathBuf::from(folder).join("ilbc").join(name);
    Some(fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn to_samples(bytes: &[u8]) -> Vec<i16> {
    let words = bytes.as_chunks::<2>().0.iter();
    words.map(|word| i16::from_le_bytes(*word)).collect()
}

/// The output of the RFC's decoder and ours, from the RFC's bits.
fn vectors(mode: Mode, suffix: &str) -> Option<(Vec<u8>, Vec<i16>)> {
    let name = format!("iLBC_{}ms", mode.milliseconds());
    let frames = bytes(&format!("{name}.BIT"))?;
    Some((frames, to_samples(&bytes(&format!("{name}_{suffix}.OUT"))?)))
}

/// `is_lost` by number of the frame.
fn decode(mode: Mode, frames: &[u8], is_lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let mut decoder = Decoder::new(mode);
    let mut output = Vec::new();
    for (number, frame) in frames.chunks_exact(mode.frame_len()).enumerate() {
        let mut samples = vec![0; mode.samples()];
        let len = if is_lost(number) {
            decoder.conceal(&mut samples)
        } else {
            decoder.decode(frame, &mut samples)
        };
        assert_eq!(len, mode.samples());
        output.extend(samples);
    }
    output
}

fn encode(mode: Mode, input: &[i16]) -> Vec<u8> {
    let mut encoder = Encoder::new(mode);
    let mut output = Vec::new();
    for samples in input.chunks_exact(mode.samples()) {
        let mut frame = vec![0; mode.frame_len()];
        assert_eq!(encoder.encode(samples, &mut frame), mode.frame_len());
        output.extend(frame);
    }
    output
}

/// Energies of a signal and of what another one differs by.
fn energies(reference: &[i16], other: &[i16]) -> (f64, f64) {
    let pairs = reference.iter().zip(other);
    pairs.fold((0.0, 0.0), |(signal, noise), (a, b)| {
        let (a, b) = (f64::from(*a), f64::from(*b));
        (signal + a * a, noise + (a - b) * (a - b))
    })
}

/// dB by which `other` is closer to `reference` than silence is.
fn snr(reference: &[i16], other: &[i16]) -> f64 {
    assert_eq!(reference.len(), other.len());
    let (signal, noise) = energies(reference, other);
    10.0 * (signal / noise.max(1.0)).log10()
}

/// The mean over the blocks of 20 ms in which somebody speaks.
fn segmental_snr(reference: &[i16], other: &[i16]) -> f64 {
    const SPEECH: f64 = 160.0 * 100.0 * 100.0;
    let blocks = reference.chunks_exact(160).zip(other.chunks_exact(160));
    let loud: Vec<f64> = blocks
        .map(|(reference, other)| energies(reference, other))
        .filter(|(signal, _)| *signal > SPEECH)
        .map(|(signal, noise)| 10.0 * (signal / noise.max(1.0)).log10())
        .collect();
    assert!(loud.len() > 100, "the vectors are speech");
    loud.iter().sum::<f64>() / loud.len() as f64
}

/// What the filters of encoder and decoder leave of the input: the speech to compare with.
#[expect(
    clippy::cast_possible_truncation,
    reason = "filtered speech is no louder"
)]
fn filtered(input: &[i16]) -> Vec<i16> {
    let input: Vec<f64> = input.iter().map(|sample| f64::from(*sample)).collect();
    let once = high_pass(&input, 0.92727436, [-1.9059465, 0.9114024]);
    let twice = high_pass(&once, 0.9398058, [-1.9330735, 0.935892]);
    twice
        .into_iter()
        .map(|sample| sample.round() as i16)
        .collect()
}

fn high_pass(input: &[f64], gain: f64, poles: [f64; 2]) -> Vec<f64> {
    let mut state = [0.0; 2];
    let step = |input: &f64| {
        let output = gain * input + state[0];
        state[0] = -2.0 * gain * input - poles[0] * output + state[1];
        state[1] = gain * input - poles[1] * output;
        output
    };
    input.iter().map(step).collect()
}

#[test]
fn decodes_as_the_reference_does() {
    for mode in Mode::ALL {
        let Some((frames, reference)) = vectors(mode, "clean") else {
            return;
        };
        let ours = decode(mode, &frames, |_| false);
        let snr = snr(&reference, &ours);
        println!("{mode:?}: {snr:.1} dB");
        assert!(snr >= 35.0, "{mode:?}: {snr:.1} dB");
    }
}

#[test]
fn encodes_as_well_as_the_reference() {
    for mode in Mode::ALL {
        let Some((frames, _)) = vectors(mode, "clean") else {
            return;
        };
        let input = to_samples(&bytes("iLBC.INP").expect("as the other vectors"));
        let delay = match mode {
            Mode::Ms20 => 40,
            Mode::Ms30 => 80,
        };
        let quality = |frames: &[u8]| {
            let speech = filtered(&input);
            segmental_snr(&speech, &decode(mode, frames, |_| false)[delay..])
        };
        let (theirs, ours) = (quality(&frames), quality(&encode(mode, &input)));
        println!("{mode:?}: {theirs:.2} dB, ours {ours:.2} dB");
        assert!(
            ours >= theirs - 0.1,
            "{mode:?}: {ours:.2} dB, not {theirs:.2} dB"
        );
    }
}

#[test]
fn another_decoder_hears_our_encoder_as_well_as_the_reference() {
    for mode in Mode::ALL {
        let Some((frames, _)) = vectors(mode, "clean") else {
            return;
        };
        let input = to_samples(&bytes("iLBC.INP").expect("as the other vectors"));
        let speech = filtered(&input);
        // ffmpeg's first frames are wrong (a burst of full scale), whatever they are.
        let skipped = 30 * mode.samples();
        let quality = |frames: &[u8]| {
            let heard = ffmpeg(mode, frames)?;
            Some(segmental_snr(&speech[skipped..], &heard[skipped..]))
        };
        let (Some(theirs), Some(ours)) = (quality(&frames), quality(&encode(mode, &input))) else {
            eprintln!("SKIPPED: there is no ffmpeg that decodes iLBC");
            return;
        };
        println!("{mode:?}: {theirs:.2} dB, ours {ours:.2} dB");
        assert!(
            ours >= theirs - 0.1,
            "{mode:?}: {ours:.2} dB, not {theirs:.2} dB"
        );
    }
}

/// What ffmpeg makes of frames, in the storage format of RFC 3952 §4.1.
fn ffmpeg(mode: Mode, frames: &[u8]) -> Option<Vec<i16>> {
    let options = [
        "-loglevel",
        "error",
        "-f",
        "ilbc",
        "-i",
        "pipe:0",
        "-f",
        "s16le",
        "pipe:1",
    ];
    let mut child = Command::new("ffmpeg")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut file = format!("#!iLBC{}\n", mode.milliseconds()).into_bytes();
    file.extend(frames);
    let mut stdin = child.stdin.take()?;
    let writer = std::thread::spawn(move || stdin.write_all(&file));
    let output = child.wait_with_output().ok()?;
    writer.join().ok()?.ok()?;
    (output.status.success() && !output.stdout.is_empty()).then(|| to_samples(&output.stdout))
}
