//! iLBC against the test vectors of RFC 3951 and, if ffmpeg is there, against its decoder.
//!
//! The vectors are read from the folder that `TANDEM_VECTORS` names; without it these tests say so
//! and pass. Floating point is not the same to the bit everywhere, so closeness is what counts.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};

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
    let name = format!("{}-{mode:?}.lbc", process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut file = format!("#!iLBC{}\n", mode.milliseconds()).into_bytes();
    file.extend(frames);
    fs::write(&path, file).expect("the folder is for this");
    let output = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-f", "ilbc", "-i"])
        .arg(&path)
        .args(["-f", "s16le", "pipe:1"])
        .stdin(Stdio::null())
        .output();
    fs::remove_file(&path).expect("it was just written");
    let output = output.ok().filter(|output| output.status.success())?;
    (!output.stdout.is_empty()).then(|| to_samples(&output.stdout))
}

#[test]
fn conceals_losses_as_well_as_the_reference() {
    for mode in Mode::ALL {
        let Some((frames, reference)) = vectors(mode, "tlm05") else {
            return;
        };
        let (_, clean) = vectors(mode, "clean").expect("as the other vectors");
        let pattern = bytes("tlm05.chn").expect("as the other vectors");
        let is_lost = |number: usize| pattern[2 * number] == 0;
        let ours = decode(mode, &frames, is_lost);
        let (theirs, quality) = (snr(&clean, &reference), snr(&clean, &ours));
        println!("{mode:?}: {theirs:.1} dB, ours {quality:.1} dB");
        assert!(
            quality > theirs - 1.0,
            "{mode:?}: {quality:.1} dB, not {theirs:.1} dB"
        );
        let (usual, sharpest) = (sharpest(&clean), sharpest(&ours));
        assert!(
            sharpest <= usual,
            "{mode:?}: a click of {sharpest} where speech has {usual}"
        );
    }
}

/// The greatest deviation of a sample from the middle of its neighbours.
fn sharpest(samples: &[i16]) -> i32 {
    let bends = samples.windows(3).map(|it| {
        let [before, sample, after] = [it[0], it[1], it[2]].map(i32::from);
        (2 * sample - before - after).abs()
    });
    bends.max().expect("there are samples")
}

#[test]
fn nothing_clicks_at_the_start() {
    for mode in Mode::ALL {
        for input in [0, 8, -8] {
            let frames = encode(mode, &vec![input; 20 * mode.samples()]);
            let heard = decode(mode, &frames, |_| false);
            let peak = heard.iter().map(|sample| sample.abs()).max();
            assert!(peak < Some(70), "{mode:?}: {peak:?}");
        }
        let lost = decode(mode, &vec![0; 10 * mode.frame_len()], |_| true);
        assert!(lost.iter().all(|sample| *sample == 0), "{mode:?}");
    }
}

#[test]
fn the_reference_begins_as_quietly() {
    for mode in Mode::ALL {
        let Some((frames, reference)) = vectors(mode, "clean") else {
            return;
        };
        let ours = decode(mode, &frames, |_| false);
        let pairs = reference.iter().zip(&ours).take(10 * mode.samples());
        let worst = pairs
            .map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs())
            .max();
        assert!(worst <= Some(2), "{mode:?}: {worst:?}");
    }
}

#[test]
fn speech_after_garbage_is_speech() {
    let mut random = 7_u64;
    let mut octet = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_le_bytes()[3]
    };
    for mode in Mode::ALL {
        let speech: Vec<i16> = tone(mode.samples() * 40);
        let frames = encode(mode, &speech);
        let clean = decode(mode, &frames, |_| false);
        let mut decoder = Decoder::new(mode);
        let mut samples = vec![0; mode.samples()];
        for _ in 0..20 {
            for _ in 0..500 {
                let mut frame: Vec<u8> = (0..mode.frame_len()).map(|_| octet()).collect();
                frame[mode.frame_len() - 1] &= 0xfe;
                assert_eq!(decoder.decode(&frame, &mut samples), mode.samples());
            }
            let mut heard = Vec::new();
            for frame in frames.chunks_exact(mode.frame_len()) {
                decoder.decode(frame, &mut samples);
                heard.extend_from_slice(&samples);
            }
            let from = 20 * mode.samples();
            let snr = snr(&clean[from..], &heard[from..]);
            assert!(snr > 30.0, "{mode:?}: {snr:.1} dB");
        }
    }
}

/// A tone of 200 Hz with harmonics that becomes louder and softer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "louder than nothing, softer than all"
)]
fn tone(len: usize) -> Vec<i16> {
    let sample = |at: usize| {
        let phase = at as f64 * std::f64::consts::TAU * 200.0 / 8_000.0;
        let voice: f64 = (1..8)
            .map(|harmonic| (phase * f64::from(harmonic)).cos())
            .sum();
        let loudness = 600.0 * (1.2 + (at as f64 / 3_000.0).sin());
        (voice * loudness) as i16
    };
    (0..len).map(sample).collect()
}

#[test]
fn any_input_can_be_encoded() {
    let inputs: [fn(usize) -> i16; 6] = [
        |_| 0,
        |_| i16::MAX,
        |_| i16::MIN,
        |at| if at % 2 == 0 { i16::MIN } else { i16::MAX },
        |at| if at % 80 < 40 { i16::MIN } else { i16::MAX },
        |at| if at % 997 == 0 { i16::MAX } else { 0 },
    ];
    for mode in Mode::ALL {
        for (number, input) in inputs.iter().enumerate() {
            let input: Vec<i16> = (0..30 * mode.samples()).map(input).collect();
            let heard = decode(mode, &encode(mode, &input), |number| number % 5 == 4);
            let (loud, _) = energies(&heard, &heard);
            let (louder, _) = energies(&input, &input);
            let quiet = 70.0 * 70.0 * heard.len() as f64;
            assert!(
                loud < 4.0 * louder + quiet,
                "{mode:?} {number}: {loud} {louder}"
            );
        }
    }
}

#[test]
fn what_does_not_suffice_is_not_used() {
    for mode in Mode::ALL {
        let (mut samples, mut frame) = (vec![0; mode.samples()], vec![0; mode.frame_len()]);
        let mut encoder = Encoder::new(mode);
        assert_eq!(encoder.encode(&samples[1..], &mut frame), 0);
        assert_eq!(encoder.encode(&samples, &mut frame[1..]), 0);
        let mut decoder = Decoder::new(mode);
        assert_eq!(decoder.decode(&frame, &mut samples[1..]), 0);
        assert_eq!(decoder.decode(&frame[1..], &mut samples), mode.samples());
        assert!(
            samples.iter().all(|sample| *sample == 0),
            "a wrong frame is a lost one"
        );
    }
}

#[test]
fn packets_have_frames_of_one_mode() {
    let frames = |mode: Mode, len| {
        let payload = vec![0; len];
        let (mode, frames) = mode.split(&payload).ok()?;
        Some((mode, frames.count()))
    };
    assert_eq!(frames(Mode::Ms20, 38), Some((Mode::Ms20, 1)));
    assert_eq!(frames(Mode::Ms30, 150), Some((Mode::Ms30, 3)));
    assert_eq!(
        frames(Mode::Ms30, 76),
        Some((Mode::Ms20, 2)),
        "not as negotiated"
    );
    assert_eq!(
        frames(Mode::Ms20, 950),
        Some((Mode::Ms20, 25)),
        "both would do"
    );
    assert_eq!(frames(Mode::Ms30, 950), Some((Mode::Ms30, 19)));
    for len in [0, 37, 39, 49, 88, 1_900 + 38] {
        assert_eq!(frames(Mode::Ms20, len), None, "{len}");
    }
    assert_eq!(Mode::from_fmtp(None), Mode::Ms30);
    assert_eq!(Mode::negotiate(Mode::Ms20, Mode::Ms30), Mode::Ms30);
    assert_eq!(Mode::negotiate(Mode::Ms20, Mode::Ms20), Mode::Ms20);
}
