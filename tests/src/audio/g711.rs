//! µ-law (ITU-T G.711), written from the recommendation and not shared with the codecs under test.

/// Added before the segment is found, so that segments are powers of two.
const BIAS: u16 = 132;

/// Loudest magnitude that has a code.
const CLIP: u16 = 32_635;

/// Compands one sample.
#[must_use]
pub fn ulaw_encode(sample: i16) -> u8 {
    let magnitude = sample.unsigned_abs().min(CLIP) + BIAS;
    let segment = 8 - magnitude.leading_zeros();
    let step = (magnitude >> (segment + 3)) & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let [_, low] = step.to_be_bytes();
    let [_, _, _, segment] = segment.to_be_bytes();
    !(sign | (segment << 4) | low)
}

/// Expands one code.
#[must_use]
pub fn ulaw_decode(code: u8) -> i16 {
    let code = !code;
    let step = i16::from(code & 0x0f);
    let magnitude = (((step << 3) + 132) << ((code >> 4) & 0x07)) - 132;
    if code & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// What a sample is after a perfect way through µ-law.
#[must_use]
pub fn ulaw_round_trip(sample: i16) -> i16 {
    ulaw_decode(ulaw_encode(sample))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_a_round_trip() {
        for code in 0..=u8::MAX {
            let again = ulaw_encode(ulaw_decode(code));
            // Both zeros decode to 0; the positive one comes back.
            assert!(again == code || (code, again) == (0x7f, 0xff));
        }
    }

    #[test]
    fn samples_move_by_half_a_step_at_most() {
        for sample in i16::MIN..=i16::MAX {
            let error = i32::from(ulaw_round_trip(sample)) - i32::from(sample);
            let clipped = i32::from(sample.unsigned_abs().min(CLIP));
            let half_step = 4 << (clipped + 132).ilog2().saturating_sub(7);
            assert!(error.abs() <= half_step + 132, "{sample} moved by {error}");
        }
    }
}
