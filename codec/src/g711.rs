//! G.711: A-law and µ-law, exact over all inputs.
//!
//! Samples are 16 bits wide, as elsewhere; A-law regards the upper 12 of them and µ-law the upper
//! 14. Everything is a table, made by the compiler from the arithmetic in `law.rs`.
//!
//! ```
//! use codec::g711::{ALAW, ULAW, alaw_to_ulaw};
//!
//! let octet = ALAW.encode(1_000);
//! assert_eq!(ALAW.decode(octet), 1_008);
//! assert_eq!(alaw_to_ulaw(octet), ULAW.encode(1_008));
//! ```

mod law;

use law::{alaw_compress, alaw_expand, ulaw_compress, ulaw_expand};

/// One of the two laws. `N` is the number of samples that it tells apart before it compresses.
#[derive(Debug)]
pub struct Law<const N: usize> {
    /// What is inverted on the line, the sign aside.
    mask: u8,
    /// By octet.
    samples: [i16; 256],
    /// By the regarded bits of a sample.
    octets: [u8; N],
}

/// A-law (`PCMA`), the law of most of the world.
pub static ALAW: Law<4_096> = Law {
    mask: 0x55,
    samples: alaw_samples(),
    octets: alaw_octets(),
};

/// µ-law (`PCMU`), the law of North America and Japan.
pub static ULAW: Law<16_384> = Law {
    mask: 0x7f,
    samples: ulaw_samples(),
    octets: ulaw_octets(),
};

impl<const N: usize> Law<N> {
    /// Bits of a sample that are not regarded.
    const SHIFT: u32 = u16::BITS - N.ilog2();

    /// The sample that an octet stands for.
    #[must_use]
    pub fn decode(&self, octet: u8) -> i16 {
        self.samples[usize::from(octet)]
    }

    /// The octet that stands for a sample.
    #[must_use]
    pub fn encode(&self, sample: i16) -> u8 {
        self.octets[usize::from(sample.cast_unsigned() >> Self::SHIFT)]
    }

    /// The sample that an octet stands for which is nearest to this one, as far as 14 bits tell; of
    /// two the louder. [`Self::encode`] decides as the standard does, which is a little below the
    /// middle where a segment ends; it gives the octet of what this gives.
    #[must_use]
    pub fn nearest(&self, sample: i16) -> i16 {
        let magnitude = i32::from(sample & !3).abs().min(i16::MAX.into());
        let step = self.encode(i16::try_from(magnitude).unwrap_or(i16::MAX)) ^ 0x80 ^ self.mask;
        let off = |step: u8| (magnitude - i32::from(self.decode(step ^ 0x80 ^ self.mask))).abs();
        let is_below_nearer = step > 0 && off(step - 1) < off(step);
        let sign = if sample < 0 { 0 } else { 0x80 };
        self.decode((step - u8::from(is_below_nearer)) ^ sign ^ self.mask)
    }

    /// Decodes a payload, as far as both reach; the number of samples written.
    pub fn decode_into(&self, payload: &[u8], samples: &mut [i16]) -> usize {
        let len = payload.len().min(samples.len());
        for (sample, octet) in samples.iter_mut().zip(payload) {
            *sample = self.decode(*octet);
        }
        len
    }

    /// Encodes samples, as far as both reach; the number of octets written.
    pub fn encode_into(&self, samples: &[i16], payload: &mut [u8]) -> usize {
        let len = samples.len().min(payload.len());
        for (octet, sample) in payload.iter_mut().zip(samples) {
            *octet = self.encode(*sample);
        }
        len
    }
}

/// The µ-law octet for an A-law one: what decoding and encoding would give.
#[must_use]
pub fn alaw_to_ulaw(octet: u8) -> u8 {
    ALAW_TO_ULAW[usize::from(octet)]
}

/// The A-law octet for a µ-law one, alike for both signs as G.711 has it (table 3): of two that are
/// equally near the louder. Decoding and encoding gives the softer one if it is negative.
#[must_use]
pub fn ulaw_to_alaw(octet: u8) -> u8 {
    ULAW_TO_ALAW[usize::from(octet)]
}

/// Turns an A-law payload into a µ-law one where it lies.
pub fn alaw_to_ulaw_in_place(payload: &mut [u8]) {
    translate(payload, &ALAW_TO_ULAW);
}

/// Turns a µ-law payload into an A-law one where it lies.
pub fn ulaw_to_alaw_in_place(payload: &mut [u8]) {
    translate(payload, &ULAW_TO_ALAW);
}

fn translate(payload: &mut [u8], table: &[u8; 256]) {
    for octet in payload {
        *octet = table[usize::from(*octet)];
    }
}

static ALAW_TO_ULAW: [u8; 256] = alaw_to_ulaw_octets();

static ULAW_TO_ALAW: [u8; 256] = ulaw_to_alaw_octets();

/// Defines a function that makes a table; the compiler cannot call closures in constants.
macro_rules! table {
    ($name:ident: [$entry:ty; $len:literal], |$index:ident: $integer:ty| $value:expr) => {
        const fn $name() -> [$entry; $len] {
            let mut table = [0; $len];
            let mut $index: $integer = 0;
            loop {
                table[$index as usize] = $value;
                if $index as usize == $len - 1 {
                    return table;
                }
                $index += 1;
            }
        }
    };
}

table!(alaw_samples: [i16; 256], |octet: u8| alaw_expand(octet));
table!(ulaw_samples: [i16; 256], |octet: u8| ulaw_expand(octet));
table!(alaw_octets: [u8; 4_096], |n: u16| alaw_compress((n << 4).cast_signed()));
table!(ulaw_octets: [u8; 16_384], |n: u16| ulaw_compress((n << 2).cast_signed()));
table!(alaw_to_ulaw_octets: [u8; 256], |octet: u8| ulaw_compress(alaw_expand(octet)));
table!(ulaw_to_alaw_octets: [u8; 256], |octet: u8| match ulaw_expand(octet) {
    sample @ ..0 => alaw_compress(-sample) ^ 0x80,
    sample => alaw_compress(sample),
});

#[cfg(test)]
mod tests;
