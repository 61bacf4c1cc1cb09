//! The test vectors of ITU-T G.191 (STL): every sample there is, through both laws.
//!
//! They are read from the folder that `TANDEM_VECTORS` names; without it these tests say so and
//! pass.

use std::env;
use std::fs;
use std::path::PathBuf;

use codec::g711::{ALAW, Law, ULAW};

/// 16-bit words, least significant octet first.
fn words(name: &str) -> Option<Vec<u16>> {
    let Some(folder) = env::var_os("TANDEM_VECTORS") else {
        eprintln!("SKIPPED: TANDEM_VECTORS does not say where the test vectors are");
        return None;
    };
    let path = PathBuf::from(folder).join("g711").join(name);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let words = bytes.as_chunks::<2>().0.iter();
    Some(words.map(|word| u16::from_le_bytes(*word)).collect())
}

fn check<const N: usize>(law: &Law<N>, compressed: &str, expanded: &str) {
    let (Some(source), Some(octets), Some(samples)) =
        (words("sweep.src"), words(compressed), words(expanded))
    else {
        return;
    };
    assert_eq!(source.len(), 65_536, "all samples there are");
    for ((source, octet), sample) in source.into_iter().zip(octets).zip(samples) {
        let encoded = law.encode(source.cast_signed());
        assert_eq!(u16::from(encoded), octet, "{source:#06x}");
        assert_eq!(law.decode(encoded), sample.cast_signed(), "{octet:#04x}");
    }
}

#[test]
fn alaw_is_exact() {
    check(&ALAW, "sweep-r.a", "sweep-r.a-a");
    check(&ALAW, "sweep-r.a", "sweep-r.rea");
}

#[test]
fn ulaw_is_exact() {
    check(&ULAW, "sweep-r.u", "sweep-r.u-u");
    check(&ULAW, "sweep-r.u", "sweep-r.reu");
}
