//! Speech of people is no key: the recordings of RFC 3951's and EN 300 961's test vectors.
//!
//! They are read from the folder that `TANDEM_VECTORS` names; without it these tests say so and
//! pass.

use std::env;
use std::fs;
use std::path::PathBuf;

use codec::Rate;
use codec::tone::{Detector, Edge};

/// Samples, least significant octet first.
fn samples(name: &str) -> Option<Vec<i16>> {
    let Some(folder) = env::var_os("TANDEM_VECTORS") else {
        eprintln!("SKIPPED: TANDEM_VECTORS does not say where the test vectors are");
        return None;
    };
    let path = PathBuf::from(folder).join(name);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let pairs = bytes.as_chunks().0.iter();
    Some(pairs.map(|pair| i16::from_le_bytes(*pair)).collect())
}

#[test]
fn speech_of_people_is_no_key() {
    for name in ["ilbc/iLBC.INP", "gsm/Seq01.inp", "gsm/Seq02.inp"] {
        let Some(samples) = samples(name) else {
            return;
        };
        assert!(
            samples.len() > 8_000,
            "{name} is long enough to say something"
        );
        // Louder and fainter, and from other points on, it is other blocks that are judged.
        for (shift, gain) in [(0, 1), (34, 1), (68, 1), (17, 2), (51, 4), (85, 8)] {
            let louder = samples[shift..].iter().map(|it| it.saturating_mul(gain));
            let louder: Vec<_> = louder.collect();
            let mut found: Vec<Edge> = Vec::new();
            Detector::new(Rate::Narrow).listen(&louder, |_, edge| found.push(edge));
            assert_eq!(found, [], "{name}, from {shift} on, {gain} times as loud");
        }
    }
}
