//! Sixteen numbers of 16 bits at a time, with whatever instructions the processor has.
//!
//! A value of a type that is [`Simd`] is the proof that its instructions may be used: it is made
//! only after asking the processor. What is done with them is written once, as [`Work`], and
//! compiled once for each set of instructions.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::frame::SUBFRAME_LEN;
use super::long_term::{HISTORY_LEN, LAG_COUNT};
use portable::Portable;

/// Numbers that are worked on at a time.
pub(super) const LANES: usize = 16;

/// Fewer lanes than these are quicker one after the other, where no instruction is named. Measured
/// with SSE2: decoding pays from 3 lanes on, encoding from 6.
const PORTABLE_LANES_MIN: usize = 5;

/// One number for each lane.
pub(super) type Row = [i16; LANES];

/// Eight rows of eight numbers.
pub(super) type Block = [[i16; 8]; 8];

/// A set of instructions. All arithmetic is lane by lane, as that of [`arithmetic`]; products
/// and sums that saturate are so called.
///
/// [`arithmetic`]: super::arithmetic
pub(super) trait Simd: Copy {
    /// Sixteen numbers of 16 bits, or eight of 32, in registers.
    type Vector: Copy;

    fn load(self, row: &Row) -> Self::Vector;
    fn store(self, vector: Self::Vector) -> Row;
    fn splat(self, value: i16) -> Self::Vector;
    fn and(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn wrapping_add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn wrapping_sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn saturating_add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn saturating_sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn shift_right<const BITS: i32>(self, a: Self::Vector) -> Self::Vector;
    /// The lower 16 bits of products.
    fn mul_low(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The upper 16 bits of products.
    fn mul_high(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b / 2^15`, rounded to the nearest.
    fn mul_r(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Columns become rows.
    fn transpose(self, block: &Block) -> Block;
    /// As [`correlate`](super::long_term::correlate).
    fn correlate(
        self,
        scaled: &[i16; SUBFRAME_LEN],
        history: &[i16; HISTORY_LEN],
    ) -> [i32; LAG_COUNT];
}

/// Something to be compiled for each set of instructions.
pub(super) trait Work {
    type Output;

    /// Must be `#[inline(always)]`, as all that it calls for each number, to be compiled for the
    /// instructions of `S`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The instructions there are, from those that any processor has to many.
#[derive(Clone, Copy, Debug)]
pub(super) enum Level {
    /// Whatever the compiler may take for granted.
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Ssse3(x86::Ssse3),
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
}

const PORTABLE: Level = Level::Portable(Portable);

impl Level {
    /// Every level that this processor has, the best first and [`Level::Portable`] last.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let avx512 = x86::Avx512::detect().map(Self::Avx512);
        let avx2 = x86::Avx2::detect().map(Self::Avx2);
        let ssse3 = x86::Ssse3::detect().map(Self::Ssse3);
        [avx512, avx2, ssse3, Some(PORTABLE)].into_iter().flatten()
    }

    /// Every level that this processor has.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        std::iter::once(PORTABLE)
    }

    /// The best. What the processor has is asked for once and then remembered, by the library.
    pub(super) fn best() -> Self {
        Self::all().next().unwrap_or(PORTABLE)
    }

    /// Whether it pays to do something for all lanes if only so many of them are used.
    pub(super) fn pays_for(self, lane_count: usize) -> bool {
        lane_count >= PORTABLE_LANES_MIN || !matches!(self, Self::Portable(_))
    }

    /// Does `work` with these instructions.
    pub(super) fn run<W: Work>(self, work: W) -> W::Output {
        match self {
            Self::Portable(simd) => work.run(simd),
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3(simd) => simd.run(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.run(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.run(work),
        }
    }
}
