//! L16: samples as they are, most significant octet first (RFC 3551 §4.5.11).
//!
//! ```
//! use codec::l16;
//!
//! let mut payload = [0; 4];
//! assert_eq!(l16::encode(&[1, -2], &mut payload), 4);
//! assert_eq!(payload, [0, 1, 0xff, 0xfe]);
//! ```

/// Decodes pairs of octets, as far as both reach; the number of samples written.
pub fn decode(payload: &[u8], samples: &mut [i16]) -> usize {
    let pairs = payload.as_chunks::<2>().0;
    for (sample, pair) in samples.iter_mut().zip(pairs) {
        *sample = i16::from_be_bytes(*pair);
    }
    pairs.len().min(samples.len())
}

/// Encodes samples, as far as both reach; the number of octets written.
pub fn encode(samples: &[i16], payload: &mut [u8]) -> usize {
    let pairs = payload.as_chunks_mut::<2>().0;
    let len = 2 * pairs.len().min(samples.len());
    for (pair, sample) in pairs.iter_mut().zip(samples) {
        *pair = sample.to_be_bytes();
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_come_back(samples in proptest::collection::vec(any::<i16>(), 0..200)) {
            let mut payload = vec![0; 2 * samples.len()];
            prop_assert_eq!(encode(&samples, &mut payload), payload.len());
            let mut decoded = vec![0; samples.len()];
            prop_assert_eq!(decode(&payload, &mut decoded), samples.len());
            prop_assert_eq!(decoded, samples);
        }
    }

    #[test]
    fn half_a_sample_is_left_out() {
        let mut samples = [7; 3];
        assert_eq!(decode(&[0x80, 0, 1], &mut samples), 1);
        assert_eq!(samples, [i16::MIN, 7, 7]);
        let mut payload = [9; 3];
        assert_eq!(encode(&[0x0102, 0x0304], &mut payload), 2);
        assert_eq!(payload, [1, 2, 9]);
    }
}
