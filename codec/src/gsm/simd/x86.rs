//! The instructions of x86: SSSE3, AVX2 and AVX-512.
//!
//! The only unsafe code of the codecs. JUSTIFICATION: which instructions there are is known at run
//! time only, and the filters take a seventh of the time with them. It is of three kinds, and
//! nothing here takes an address:
//!
//! 1. calling an instruction (`std::arch`), which is unsafe only where the processor may lack it.
//!    The types below have no public constructor but `detect`, which asks the processor, so that
//!    whoever has `self` may use its instructions;
//! 2. calling a function that is compiled for such instructions, for the same reason;
//! 3. regarding a register as an array of numbers and the reverse (`transmute`): both have the
//!    same size, which the compiler checks, and any bits are a value of either.

#![expect(
    unsafe_code,
    reason = "the compiler cannot know which processor it will be; the types below do"
)]

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::*;
use std::mem::transmute;

use super::{Block, LANES, Row, Simd, Work};
use crate::gsm::frame::SUBFRAME_LEN;
use crate::gsm::long_term::{HISTORY_LEN, LAG_COUNT};

/// Eight numbers at a time.
#[derive(Clone, Copy, Debug)]
pub(in crate::gsm) struct Ssse3(());

/// Sixteen numbers at a time.
#[derive(Clone, Copy, Debug)]
pub(in crate::gsm) struct Avx2(());

/// Thirty-two numbers at a time where that helps, and twice the registers.
#[derive(Clone, Copy, Debug)]
pub(in crate::gsm) struct Avx512(());

/// Lags that are looked at in one go; more than there are, so that no vector is cut short.
const LAGS: usize = 96;

/// Registers that sums are kept in at a time.
const REGISTERS: usize = 6;

const _: () = assert!(LAGS >= LAG_COUNT && LAGS.is_multiple_of(REGISTERS * 16));

/// Pairs of neighbours in a history: those that lie beyond it are only ever multiplied for lags
/// that do not exist.
type Pairs = [[i16; 2]; LAGS + SUBFRAME_LEN];

#[inline(always)]
fn pairs_of(history: &[i16; HISTORY_LEN]) -> Pairs {
    let mut pairs = [[0; 2]; LAGS + SUBFRAME_LEN];
    for (pair, neighbours) in pairs.iter_mut().zip(history.windows(2)) {
        *pair = [neighbours[0], neighbours[1]];
    }
    pairs
}

/// Makes a function that finds the correlations of all lags, several registers of them at a time:
/// the pairs of a sub-frame one after the other, each with the pairs of the past that lie as far
/// back as one of the lags.
macro_rules! correlate {
    (
        $name:ident, $features:literal, $register:ty, $lanes:literal,
        $splat:ident, $mul_pairs:ident, $add:ident
    ) => {
        #[target_feature(enable = $features)]
        #[inline]
        fn $name(scaled: &[i16; SUBFRAME_LEN], history: &[i16; HISTORY_LEN]) -> [i32; LAG_COUNT] {
            let pairs = pairs_of(history);
            let mut sums = [0; LAGS];
            for (group, sums) in sums.chunks_exact_mut(REGISTERS * $lanes).enumerate() {
                let mut totals = [$splat(0); REGISTERS];
                for (at, pair) in (0..).step_by(2).zip(scaled.as_chunks::<2>().0) {
                    let factor = $splat(i32::from(pair[0]) & 0xffff | i32::from(pair[1]) << 16);
                    for (register, total) in totals.iter_mut().enumerate() {
                        let place = $lanes * (REGISTERS * group + register) + at;
                        let chunk: &[[i16; 2]; $lanes] = pairs[place..]
                            .first_chunk()
                            .expect("there are LAGS and a sub-frame");
                        // SAFETY: both have the size of the register, and any bits are numbers.
                        let past = unsafe { transmute::<[[i16; 2]; $lanes], $register>(*chunk) };
                        *total = $add(*total, $mul_pairs(past, factor));
                    }
                }
                for (sums, total) in sums.chunks_exact_mut($lanes).zip(totals) {
                    // SAFETY: both have the size of the register, and any bits are numbers.
                    sums.copy_from_slice(&unsafe { transmute::<$register, [i32; $lanes]>(total) });
                }
            }
            *sums.first_chunk().expect("there are fewer lags than LAGS")
        }
    };
}

correlate!(
    correlate_ssse3,
    "ssse3",
    __m128i,
    4,
    _mm_set1_epi32,
    _mm_madd_epi16,
    _mm_add_epi32
);
correlate!(
    correlate_avx2,
    "avx2",
    __m256i,
    8,
    _mm256_set1_epi32,
    _mm256_madd_epi16,
    _mm256_add_epi32
);
correlate!(
    correlate_avx512,
    "avx2,avx512bw,avx512vl",
    __m512i,
    16,
    _mm512_set1_epi32,
    _mm512_madd_epi16,
    _mm512_add_epi32
);

/// Says how to detect a set of instructions, and how to compile for it.
macro_rules! level {
    ($name:ident, $detect:expr, $features:literal) => {
        impl $name {
            /// The instructions, if the processor has them.
            pub(in crate::gsm) fn detect() -> Option<Self> {
                $detect.then_some(Self(()))
            }

            /// Does work with these instructions.
            pub(in crate::gsm) fn run<W: Work>(self, work: W) -> W::Output {
                #[target_feature(enable = $features)]
                fn compiled<W: Work>(simd: $name, work: W) -> W::Output {
                    work.run(simd)
                }
                // SAFETY: `self` was made by `detect`, which found the very features that
                // `compiled` is compiled for.
                unsafe { compiled(self, work) }
            }
        }
    };
}

level!(Ssse3, is_x86_feature_detected!("ssse3"), "ssse3");
level!(Avx2, is_x86_feature_detected!("avx2"), "avx2");
level!(
    Avx512,
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl"),
    "avx2,avx512bw,avx512vl"
);

/// Instructions on whole registers.
macro_rules! instructions {
    ($register:ty, $($name:ident: $instruction:ident,)*) => {
        $(
            #[inline(always)]
            fn $name(self, a: $register, b: $register) -> $register {
                // SAFETY: `self` proves that the processor has the instruction.
                unsafe { $instruction(a, b) }
            }
        )*
    };
}

/// Instructions on each half of sixteen numbers.
macro_rules! instructions_on_halves {
    ($($name:ident: $instruction:ident,)*) => {
        $(
            #[inline(always)]
            fn $name(self, a: [__m128i; 2], b: [__m128i; 2]) -> [__m128i; 2] {
                // SAFETY: `self` proves that the processor has the instruction.
                unsafe { [$instruction(a[0], b[0]), $instruction(a[1], b[1])] }
            }
        )*
    };
}

/// What differs between the levels in nothing but the function that finds correlations.
macro_rules! same_at_each_level {
    ($correlate:ident) => {
        #[inline(always)]
        fn load(self, row: &Row) -> Self::Vector {
            // SAFETY: 32 octets each, and any bits are sixteen numbers.
            unsafe { transmute::<Row, Self::Vector>(*row) }
        }

        #[inline(always)]
        fn store(self, vector: Self::Vector) -> Row {
            // SAFETY: 32 octets each, and any bits are sixteen numbers.
            unsafe { transmute::<Self::Vector, Row>(vector) }
        }

        #[inline(always)]
        fn splat(self, value: i16) -> Self::Vector {
            self.load(&[value; LANES])
        }

        #[inline(always)]
        fn transpose(self, block: &Block) -> Block {
            // SAFETY: 128 octets each, and any bits are 64 numbers. The instructions are of SSE2,
            // which all levels and all processors of this architecture have.
            unsafe { transmute(transpose(transmute::<Block, [__m128i; 8]>(*block))) }
        }

        #[inline(always)]
        fn correlate(
            self,
            scaled: &[i16; SUBFRAME_LEN],
            history: &[i16; HISTORY_LEN],
        ) -> [i32; LAG_COUNT] {
            // SAFETY: `self` was made by `detect`, which found the very features that the function
            // is compiled for.
            unsafe { $correlate(scaled, history) }
        }
    };
}

/// Columns become rows: neighbours of one number, of two, of four.
#[target_feature(enable = "sse2")]
#[inline]
fn transpose(rows: [__m128i; 8]) -> [__m128i; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    let ones = [
        _mm_unpacklo_epi16(a, b),
        _mm_unpackhi_epi16(a, b),
        _mm_unpacklo_epi16(c, d),
        _mm_unpackhi_epi16(c, d),
        _mm_unpacklo_epi16(e, f),
        _mm_unpackhi_epi16(e, f),
        _mm_unpacklo_epi16(g, h),
        _mm_unpackhi_epi16(g, h),
    ];
    let twos = [
        _mm_unpacklo_epi32(ones[0], ones[2]),
        _mm_unpackhi_epi32(ones[0], ones[2]),
        _mm_unpacklo_epi32(ones[1], ones[3]),
        _mm_unpackhi_epi32(ones[1], ones[3]),
        _mm_unpacklo_epi32(ones[4], ones[6]),
        _mm_unpackhi_epi32(ones[4], ones[6]),
        _mm_unpacklo_epi32(ones[5], ones[7]),
        _mm_unpackhi_epi32(ones[5], ones[7]),
    ];
    [
        _mm_unpacklo_epi64(twos[0], twos[4]),
        _mm_unpackhi_epi64(twos[0], twos[4]),
        _mm_unpacklo_epi64(twos[1], twos[5]),
        _mm_unpackhi_epi64(twos[1], twos[5]),
        _mm_unpacklo_epi64(twos[2], twos[6]),
        _mm_unpackhi_epi64(twos[2], twos[6]),
        _mm_unpacklo_epi64(twos[3], twos[7]),
        _mm_unpackhi_epi64(twos[3], twos[7]),
    ]
}

impl Simd for Ssse3 {
    type Vector = [__m128i; 2];

    same_at_each_level!(correlate_ssse3);

    instructions_on_halves! {
        and: _mm_and_si128,
        wrapping_add: _mm_add_epi16,
        wrapping_sub: _mm_sub_epi16,
        saturating_add: _mm_adds_epi16,
        saturating_sub: _mm_subs_epi16,
        mul_low: _mm_mullo_epi16,
        mul_high: _mm_mulhi_epi16,
        mul_r: _mm_mulhrs_epi16,
    }

    #[inline(always)]
    fn shift_right<const BITS: i32>(self, a: [__m128i; 2]) -> [__m128i; 2] {
        // SAFETY: `self` proves that the processor has the instruction.
        unsafe { [_mm_srai_epi16::<BITS>(a[0]), _mm_srai_epi16::<BITS>(a[1])] }
    }
}

/// Both of the higher levels work on sixteen numbers in one register.
macro_rules! instructions_of_avx2 {
    () => {
        instructions! {
            __m256i,
            and: _mm256_and_si256,
            wrapping_add: _mm256_add_epi16,
            wrapping_sub: _mm256_sub_epi16,
            saturating_add: _mm256_adds_epi16,
            saturating_sub: _mm256_subs_epi16,
            mul_low: _mm256_mullo_epi16,
            mul_high: _mm256_mulhi_epi16,
            mul_r: _mm256_mulhrs_epi16,
        }

        #[inline(always)]
        fn shift_right<const BITS: i32>(self, a: __m256i) -> __m256i {
            // SAFETY: `self` proves that the processor has the instruction.
            unsafe { _mm256_srai_epi16::<BITS>(a) }
        }
    };
}

impl Simd for Avx2 {
    type Vector = __m256i;

    same_at_each_level!(correlate_avx2);
    instructions_of_avx2!();
}

impl Simd for Avx512 {
    type Vector = __m256i;

    same_at_each_level!(correlate_avx512);
    instructions_of_avx2!();
}
