//! The test vectors of ITU-T G.191 (STL) for G.722.
//!
//! They are read from the folder that `TANDEM_VECTORS` names; without it these tests say so and
//! pass.

use std::env;
use std::fs;
use std::path::PathBuf;

use codec::g722::{Decoder, Encoder, Mode};

/// 16-bit words, least significant octet first.
fn words(name: &str) -> Option<Vec<i16>> {
    let Some(folder) = env::var_os("TANDEM_VECTORS") else {
        eprintln!("SKIPPED: TANDEM_VECTORS does not say where the test vectors are");
        return None;
    };
    let path = PathBuf::from(folder).join("g722").join(name);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let words = bytes.as_chunks::<2>().0.iter();
    Some(words.map(|word| i16::from_le_bytes(*word)).collect())
}

/// One octet a word.
fn octets(name: &str) -> Option<Vec<u8>> {
    let octet = |word: i16| word.to_le_bytes()[0];
    Some(words(name)?.into_iter().map(octet).collect())
}

#[track_caller]
fn assert_same<T: Copy + Eq + std::fmt::Debug>(ours: &[T], expected: &[T]) {
    assert_eq!(ours.len(), expected.len());
    let differs = (0..ours.len()).find(|at| ours[*at] != expected[*at]);
    assert_eq!(differs, None, "the first entry that differs");
}

#[test]
fn encoding_is_exact() {
    let (Some(samples), Some(expected)) = (words("inpsp.bin"), octets("codspw.cod")) else {
        return;
    };
    assert_eq!(expected.len(), 48_768, "the whole sequence");
    let mut payload = vec![0; samples.len() / 2];
    assert_eq!(Encoder::new().encode(&samples, &mut payload), payload.len());
    assert_same(&payload, &expected);
}

#[test]
fn decoding_is_exact_in_every_mode() {
    let Some(payload) = octets("codspw.cod") else {
        return;
    };
    for (mode, name) in [
        (Mode::One, "outsp1.bin"),
        (Mode::Two, "outsp2.bin"),
        (Mode::Three, "outsp3.bin"),
    ] {
        let expected = words(name).expect("beside the other one");
        let mut samples = vec![0; 2 * payload.len()];
        let len = Decoder::with_mode(mode).decode(&payload, &mut samples);
        assert_eq!(len, expected.len());
        assert_same(&samples, &expected);
    }
}
