//! Finds a recording's place in its source and compares the two, sample by sample.

use super::g711::ulaw_round_trip;

/// Samples of the piece that is looked for.
const PROBE_LEN: usize = 2_000;

/// The least correlation of what passes for the same piece.
const LIKENESS_MIN: f64 = 0.9;

/// Largest difference that passes for the same sample where the perfect one is 0: some encoders
/// take a shortcut around zero and land on the next code, 2 away once decoded.
const TOLERANCE_AT_ZERO: i16 = 2;

/// How a recording differs from what was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Where the recording begins in the source; negative if something came before it.
    pub offset: isize,
    /// Samples of the source that were found in the recording.
    pub compared: usize,
    /// Those that are not what µ-law makes of the source.
    pub mismatches: usize,
    /// Samples missing at the start.
    pub missing_at_start: usize,
    /// Samples missing at the end.
    pub missing_at_end: usize,
    /// How much louder the recording is than the part of the source it shows.
    pub level_change_db: f64,
}

/// Compares a recording with its source, after a way through µ-law. `None` if the recording is
/// nothing of the source.
#[must_use]
pub fn compare(source: &[i16], recording: &[i16]) -> Option<Comparison> {
    let perfect: Vec<i16> = source.iter().copied().map(ulaw_round_trip).collect();
    let offset = align(recording, &perfect)?;
    let skipped = usize::try_from(-offset).unwrap_or(0);
    let first = usize::try_from(offset).unwrap_or(0);
    let heard = recording.get(skipped..)?;
    let sent = perfect.get(first..)?;
    let compared = heard.len().min(sent.len());
    let (heard, sent) = (&heard[..compared], &sent[..compared]);
    let pairs = heard.iter().zip(sent);
    Some(Comparison {
        offset,
        compared,
        mismatches: pairs
            .filter(|(heard, sent)| !is_same(**heard, **sent))
            .count(),
        missing_at_start: first,
        missing_at_end: perfect.len() - first - compared,
        level_change_db: level_db(heard) - level_db(sent),
    })
}

/// Finds where `recording` begins in `source`: the offset at which a lively piece of the recording
/// correlates best with the source. `None` if it correlates nowhere.
#[must_use]
pub fn align(recording: &[i16], source: &[i16]) -> Option<isize> {
    align_by(LIKENESS_MIN, recording, source)
}

/// As [`align`], with another least likeness.
pub(super) fn align_by(least: f64, recording: &[i16], source: &[i16]) -> Option<isize> {
    let start = liveliest(recording)?;
    let probe = &recording[start..start + PROBE_LEN];
    let probe_energy = energy(probe);
    let mut best = (0.0, 0);
    for (at, piece) in source.windows(PROBE_LEN).enumerate() {
        // Most places are ruled out by the first few samples; see `coarse`.
        if !is_plausible(probe, piece) {
            continue;
        }
        let likeness = correlation(probe, piece) / (probe_energy * energy(piece)).sqrt();
        if likeness > best.0 {
            best = (likeness, at);
        }
    }
    let offset = isize::try_from(best.1).ok()? - isize::try_from(start).ok()?;
    (best.0 > least).then_some(offset)
}

/// Root mean square in dB below full scale.
#[must_use]
pub fn level_db(samples: &[i16]) -> f64 {
    let count = u32::try_from(samples.len().max(1)).unwrap_or(u32::MAX);
    let mean = energy(samples) / f64::from(count);
    10.0 * (mean.max(1.0) / (32_768.0 * 32_768.0)).log10()
}

fn is_same(heard: i16, sent: i16) -> bool {
    heard == sent || (sent == 0 && heard.unsigned_abs() <= TOLERANCE_AT_ZERO.unsigned_abs())
}

/// Where the loudest piece of a recording begins.
fn liveliest(recording: &[i16]) -> Option<usize> {
    let pieces = recording.windows(PROBE_LEN).enumerate().step_by(PROBE_LEN);
    let loudest = pieces.max_by(|(_, left), (_, right)| energy(left).total_cmp(&energy(right)));
    loudest.map(|(at, _)| at)
}

/// Whether a twentieth of the samples correlates at all: saves the rest of the work.
fn is_plausible(probe: &[i16], piece: &[i16]) -> bool {
    let pairs = probe.iter().zip(piece).step_by(20);
    let (mut product, mut left, mut right) = (0_i64, 0_i64, 0_i64);
    for (probe, piece) in pairs {
        let (probe, piece) = (i64::from(*probe), i64::from(*piece));
        product += probe * piece;
        left += probe * probe;
        right += piece * piece;
    }
    // product ≥ 0.5 · √(left · right), without the root.
    product > 0
        && i128::from(product) * i128::from(product) * 4 >= i128::from(left) * i128::from(right)
}

pub(super) fn correlation(left: &[i16], right: &[i16]) -> f64 {
    let pairs = left.iter().zip(right);
    pairs
        .map(|(left, right)| f64::from(*left) * f64::from(*right))
        .sum()
}

pub(super) fn energy(samples: &[i16]) -> f64 {
    samples
        .iter()
        .map(|sample| f64::from(*sample).powi(2))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::speech;

    fn sent() -> (Vec<i16>, Vec<i16>) {
        let source = speech(7, 3_000);
        let heard = source.iter().copied().map(ulaw_round_trip).collect();
        (source, heard)
    }

    #[test]
    fn a_perfect_recording_is_perfect() {
        let (source, heard) = sent();
        let comparison = compare(&source, &heard).unwrap();
        assert_eq!(comparison.mismatches, 0);
        assert_eq!(comparison.compared, source.len());
        assert!(comparison.level_change_db.abs() < 0.001);
    }

    #[test]
    fn silence_before_and_a_lost_start_are_told_apart() {
        let (source, heard) = sent();
        let mut late = vec![0; 777];
        late.extend_from_slice(&heard);
        assert_eq!(compare(&source, &late).unwrap().offset, -777);
        let comparison = compare(&source, &heard[320..]).unwrap();
        assert_eq!((comparison.offset, comparison.missing_at_start), (320, 320));
        let comparison = compare(&source, &heard[..20_000]).unwrap();
        assert_eq!(comparison.missing_at_end, 4_000);
    }

    #[test]
    fn a_lost_packet_shows() {
        let (source, mut heard) = sent();
        heard.drain(12_000..12_160);
        assert!(compare(&source, &heard).unwrap().mismatches > 1_000);
    }

    #[test]
    fn a_wrong_sample_and_a_wrong_level_show() {
        let (source, mut heard) = sent();
        heard[5_000] ^= 0x100;
        assert_eq!(compare(&source, &heard).unwrap().mismatches, 1);
        let quiet: Vec<i16> = heard.iter().map(|sample| sample / 2).collect();
        let comparison = compare(&source, &quiet).unwrap();
        assert!((comparison.level_change_db + 6.0).abs() < 0.1);
    }

    #[test]
    fn other_speech_is_not_the_same() {
        let (source, _) = sent();
        let other: Vec<i16> = speech(8, 3_000);
        assert_eq!(compare(&source, &other), None);
        assert_eq!(compare(&source, &vec![0; 24_000]), None);
    }
}
