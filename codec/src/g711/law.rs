//! The arithmetic of G.711: from a sample to sign, segment and step, and back.
//!
//! ```text
//! octet   s eee mmmm      s: positive; e: segment, m: step within it
//! ```
//!
//! On the line A-law octets have every second bit inverted, and µ-law octets all of them.

/// What µ-law adds to a magnitude of 14 bits, so that each segment is twice the one below.
const ULAW_BIAS: i32 = 33;

/// The greatest biased magnitude of µ-law.
const ULAW_MAX: i32 = 0x1fff;

/// The A-law octet for a sample.
pub(super) const fn alaw_compress(sample: i16) -> u8 {
    let magnitude = magnitude(sample) >> 4;
    // The two lowest segments have the same steps.
    let segment = match magnitude {
        0..16 => 0,
        _ => magnitude.ilog2() - 3,
    };
    let step = match segment {
        0 => magnitude,
        _ => (magnitude >> (segment - 1)) & 0xf,
    };
    octet(sample >= 0, segment, step) ^ 0x55
}

/// The sample for an A-law octet: the middle of its step.
pub(super) const fn alaw_expand(octet: u8) -> i16 {
    let octet = octet ^ 0x55;
    let (segment, step) = parts(octet);
    let middle = (step << 4) + 8;
    let magnitude = match segment {
        0 => middle,
        _ => (middle + 0x100) << (segment - 1),
    };
    signed(octet & 0x80 != 0, magnitude)
}

/// The µ-law octet for a sample.
pub(super) const fn ulaw_compress(sample: i16) -> u8 {
    let biased = (magnitude(sample) >> 2) + ULAW_BIAS;
    let biased = if biased > ULAW_MAX { ULAW_MAX } else { biased };
    // The bias makes 5 the lowest place of the highest bit.
    let segment = biased.ilog2() - 5;
    let step = (biased >> (segment + 1)) & 0xf;
    octet(sample >= 0, segment, step) ^ 0x7f
}

/// The sample for a µ-law octet: the middle of its step.
pub(super) const fn ulaw_expand(octet: u8) -> i16 {
    let (segment, step) = parts(octet ^ 0x7f);
    let biased = ((2 * step + ULAW_BIAS) << segment) - ULAW_BIAS;
    signed(octet & 0x80 != 0, biased << 2)
}

/// The magnitude of a sample; the negative ones count from −1 as 0, so that both signs have as
/// many (one's complement).
const fn magnitude(sample: i16) -> i32 {
    let sample = sample as i32;
    if sample < 0 { !sample } else { sample }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "segment and step have three and four bits"
)]
const fn octet(is_positive: bool, segment: u32, step: i32) -> u8 {
    let sign = if is_positive { 0x80 } else { 0 };
    sign | (segment as u8) << 4 | step as u8
}

const fn parts(octet: u8) -> (u32, i32) {
    ((octet as u32 >> 4) & 7, octet as i32 & 0xf)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the greatest magnitude of either law fits in 15 bits"
)]
const fn signed(is_positive: bool, magnitude: i32) -> i16 {
    if is_positive {
        magnitude as i16
    } else {
        -magnitude as i16
    }
}
