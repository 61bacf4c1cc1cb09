//! The test sequences of EN 300 961: samples → encoder → parameters → decoder → samples.
//!
//! They are read from the folder that `TANDEM_VECTORS` names; without it these tests say so and
//! pass.

use std::env;
use std::fs;
use std::path::PathBuf;

use codec::gsm::{Decoder, Encoder, FRAME_LEN, SAMPLES_PER_FRAME};

/// Bits of the parameters of a sub-frame after those of the log-area ratios.
const RATIO_BITS: [u32; 8] = [6, 6, 5, 5, 4, 4, 3, 3];
const SUBFRAME_BITS: [u32; 17] = [7, 2, 2, 6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3];
const WORDS_PER_FRAME: usize = 76;

/// 16-bit words, least significant octet first.
fn words(name: &str) -> Option<Vec<u16>> {
    let Some(folder) = env::var_os("TANDEM_VECTORS") else {
        eprintln!("SKIPPED: TANDEM_VECTORS does not say where the test vectors are");
        return None;
    };
    let path = PathBuf::from(folder).join("gsm").join(name);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let words = bytes.as_chunks::<2>().0.iter();
    Some(words.map(|word| u16::from_le_bytes(*word)).collect())
}

/// Frames of samples.
fn speech(name: &str) -> Option<Vec<[i16; SAMPLES_PER_FRAME]>> {
    let samples: Vec<i16> = words(name)?.into_iter().map(u16::cast_signed).collect();
    let (frames, rest) = samples.as_chunks();
    assert!(rest.is_empty() && !frames.is_empty(), "{name}");
    Some(frames.to_vec())
}

/// Frames of one parameter a word.
fn frames(name: &str) -> Option<Vec<[u8; FRAME_LEN]>> {
    let words = words(name)?;
    let (frames, rest) = words.as_chunks::<WORDS_PER_FRAME>();
    assert!(rest.is_empty() && !frames.is_empty(), "{name}");
    Some(frames.iter().map(pack).collect())
}

/// RFC 3551 §4.5.8.1, bit after bit.
fn pack(words: &[u16; WORDS_PER_FRAME]) -> [u8; FRAME_LEN] {
    let bits = RATIO_BITS.into_iter().chain(SUBFRAME_BITS.repeat(4));
    let mut frame = [0; FRAME_LEN];
    let mut place = 0;
    for (value, len) in [(0xd, 4)]
        .into_iter()
        .chain(words.iter().copied().zip(bits))
    {
        for bit in (0..len).rev() {
            frame[place / 8] |= u8::from(value >> bit & 1 == 1) << (7 - place % 8);
            place += 1;
        }
    }
    assert_eq!(place, 8 * FRAME_LEN);
    frame
}

fn check_encoder(name: &str) {
    let (Some(speech), Some(frames)) = (
        speech(&format!("{name}.inp")),
        frames(&format!("{name}.cod")),
    ) else {
        return;
    };
    assert_eq!(speech.len(), frames.len());
    let mut encoder = Encoder::new();
    for (place, (samples, frame)) in speech.iter().zip(&frames).enumerate() {
        assert_eq!(encoder.encode(samples), *frame, "{name}, frame {place}");
    }
}

fn check_decoder(name: &str) {
    let (Some(frames), Some(speech)) = (
        frames(&format!("{name}.cod")),
        speech(&format!("{name}.out")),
    ) else {
        return;
    };
    assert_eq!(speech.len(), frames.len());
    let mut decoder = Decoder::new();
    for (place, (frame, samples)) in frames.iter().zip(&speech).enumerate() {
        assert_eq!(decoder.decode(frame), *samples, "{name}, frame {place}");
    }
}

#[test]
fn the_encoder_is_exact() {
    for name in ["Seq01", "Seq02", "Seq03", "Seq04"] {
        check_encoder(name);
    }
}

#[test]
fn the_encoder_is_exact_after_homing() {
    for name in ["Seq01h", "Seq02h", "Seq03h", "Seq04h", "Seq06h"] {
        check_encoder(name);
    }
}

#[test]
fn the_decoder_is_exact() {
    for name in ["Seq01", "Seq02", "Seq03", "Seq04", "Seq05"] {
        check_decoder(name);
    }
}

#[test]
fn the_decoder_is_exact_after_homing() {
    for name in ["Seq01h", "Seq02h", "Seq03h", "Seq04h", "Seq05h", "Homing01"] {
        check_decoder(name);
    }
}
