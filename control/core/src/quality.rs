//! How a call sounds, from how its packets arrive: the E-model (ITU-T G.107), narrowed to what a
//! relay can know.
//!
//! ```text
//! R = 93.2 - Id - Ie-eff                              G.107 (7-1), with all defaults
//! Id = 0.024 d + 0.11 (d - 177.3) if that is above 0  d: ms one way (Cole and Rosenbluth, 2001)
//! Ie-eff = Ie + (95 - Ie) loss / (loss + Bpl)         G.107 (7-29), loss at random, in percent
//! MOS = 1 + 0.035 R + R (R - 60) (100 - R) 7e-6       G.107 Annex B
//! ```
//!
//! Worked out when somebody asks or looks, never for a packet.

use relay_wire::SourceStats;

mod history;

pub(crate) use self::history::{History, Look, Sample, Stream};

/// What a codec costs, and how it stands loss (ITU-T G.113, Appendix I).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Codec {
    /// Equipment impairment Ie.
    impairment: f64,
    /// Packet-loss robustness Bpl.
    robustness: f64,
}

/// G.711 with concealment of loss: what is assumed of types that are not known.
const G711: Codec = Codec {
    impairment: 0.0,
    robustness: 25.1,
};

const G729: Codec = Codec {
    impairment: 11.0,
    robustness: 19.0,
};

const GSM: Codec = Codec {
    impairment: 26.0,
    robustness: 43.0,
};

/// R of a line with nothing wrong (G.107, Table 2).
const R_DEFAULT: f64 = 93.2;

/// A jitter buffer holds packets back for some times the jitter.
const BUFFER_JITTERS: f64 = 2.0;

/// Milliseconds that packets and codecs take at both ends.
const ENDS_MS: f64 = 40.0;

/// What a score is made of.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    payload_type: u8,
    /// Packets that were to arrive, and those of them that did not.
    expected: u64,
    lost: u64,
    jitter_us: Option<u32>,
    /// The way between the sender and whoever hears it and back, as far as it is known.
    round_trip_us: Option<u32>,
}

/// The mean opinion score of a source, 1.0 to 4.5, in tenths. `round_trip_us` is the way between
/// its sender and whoever hears it and back, as far as it is known. `None`: nothing was heard.
pub(crate) fn mos_tenths(source: &SourceStats, round_trip_us: Option<u32>) -> Option<u64> {
    let expected = expected(source);
    (expected > 0).then(|| {
        let score = score(Arrival {
            payload_type: source.payload_type,
            expected,
            lost: source.lost,
            jitter_us: source.jitter_us,
            round_trip_us,
        });
        rounded(score, 10.0)
    })
}

/// Packets that were to arrive.
fn expected(source: &SourceStats) -> u64 {
    source.packets - source.duplicates.min(source.packets) + source.lost
}

/// The mean opinion score. Something was to arrive.
fn score(arrival: Arrival) -> f64 {
    let loss_percent = 100.0 * lossy(arrival.lost) / lossy(arrival.expected);
    let one_way_ms = f64::from(arrival.round_trip_us.unwrap_or(0)) / 2_000.0;
    let jitter_ms = f64::from(arrival.jitter_us.unwrap_or(0)) / 1_000.0;
    let delay_ms = one_way_ms + BUFFER_JITTERS * jitter_ms + ENDS_MS;
    mos(rating(codec(arrival.payload_type), loss_percent, delay_ms))
}

/// Static payload types (RFC 3551 §6).
fn codec(payload_type: u8) -> Codec {
    match payload_type {
        3 => GSM,
        18 => G729,
        _ => G711,
    }
}

/// R, from 0 to 100.
fn rating(codec: Codec, loss_percent: f64, delay_ms: f64) -> f64 {
    let loss = (95.0 - codec.impairment) * loss_percent / (loss_percent + codec.robustness);
    let late = if delay_ms > 177.3 {
        0.11 * (delay_ms - 177.3)
    } else {
        0.0
    };
    let r = R_DEFAULT - (0.024 * delay_ms + late) - codec.impairment - loss;
    r.clamp(0.0, 100.0)
}

/// G.107, Annex B.
fn mos(r: f64) -> f64 {
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^53 packets do not occur, and a share need not be exact"
)]
fn lossy(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is from 1.0 to 4.5"
)]
fn rounded(mos: f64, parts: f64) -> u64 {
    (mos * parts).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(payload_type: u8, packets: u64, lost: u64, jitter_us: u32) -> SourceStats {
        SourceStats {
            ssrc: 7,
            payload_type,
            packets,
            bytes: 0,
            lost,
            reordered: 0,
            duplicates: 0,
            jitter_us: Some(jitter_us),
            last_sequence: 0,
            last_timestamp: 0,
        }
    }

    #[test]
    fn agrees_with_the_recommendation() {
        // G.107 Annex B: R 93.2 is 4.41, 80 is 4.02, 70 is 3.60, 60 is 3.10, 50 is 2.58.
        for (r, expected) in [(93.2, 44), (80.0, 40), (70.0, 36), (60.0, 31), (50.0, 26)] {
            assert_eq!(rounded(mos(r), 10.0), expected, "{r}");
        }
        for r in [0.0, 100.0] {
            assert!((1.0..=4.5).contains(&mos(r)));
        }
    }

    #[test]
    fn loss_delay_jitter_and_codec_each_make_it_worse() {
        let good = mos_tenths(&source(8, 1_000, 0, 0), None).unwrap();
        assert_eq!(good, 44);
        let worse = [
            mos_tenths(&source(8, 950, 50, 0), None),
            mos_tenths(&source(8, 1_000, 0, 150_000), None),
            mos_tenths(&source(8, 1_000, 0, 0), Some(800_000)),
            mos_tenths(&source(18, 1_000, 0, 0), None),
            mos_tenths(&source(3, 1_000, 0, 0), None),
        ];
        for mos in worse {
            assert!((10..good).contains(&mos.unwrap()), "{mos:?}");
        }
        // The formula is for loss at random: with nearly all gone it still leaves R 17.
        assert_eq!(mos_tenths(&source(8, 1, 1_000_000, 0), None), Some(12));
        assert_eq!(mos_tenths(&source(8, 0, 0, 0), None), None);
    }
}
