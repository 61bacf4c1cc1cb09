//! Sixteen numbers at a time without naming an instruction: the compiler finds what the target has,
//! as NEON on ARM.

use super::{Block, LANES, Row, Simd};
use crate::gsm::arithmetic;
use crate::gsm::frame::SUBFRAME_LEN;
use crate::gsm::long_term::{self, HISTORY_LEN, LAG_COUNT};

/// Nothing special.
#[derive(Clone, Copy, Debug)]
pub(in crate::gsm) struct Portable;

#[inline(always)]
fn each(a: Row, b: Row, operation: impl Fn(i16, i16) -> i16) -> Row {
    let mut result = [0; LANES];
    for ((result, a), b) in result.iter_mut().zip(a).zip(b) {
        *result = operation(a, b);
    }
    result
}

impl Simd for Portable {
    type Vector = Row;

    #[inline(always)]
    fn load(self, row: &Row) -> Row {
        *row
    }

    #[inline(always)]
    fn store(self, vector: Row) -> Row {
        vector
    }

    #[inline(always)]
    fn splat(self, value: i16) -> Row {
        [value; LANES]
    }

    #[inline(always)]
    fn and(self, a: Row, b: Row) -> Row {
        each(a, b, |a, b| a & b)
    }

    #[inline(always)]
    fn wrapping_add(self, a: Row, b: Row) -> Row {
        each(a, b, i16::wrapping_add)
    }

    #[inline(always)]
    fn wrapping_sub(self, a: Row, b: Row) -> Row {
        each(a, b, i16::wrapping_sub)
    }

    #[inline(always)]
    fn saturating_add(self, a: Row, b: Row) -> Row {
        each(a, b, i16::saturating_add)
    }

    #[inline(always)]
    fn saturating_sub(self, a: Row, b: Row) -> Row {
        each(a, b, i16::saturating_sub)
    }

    #[inline(always)]
    fn shift_right<const BITS: i32>(self, a: Row) -> Row {
        each(a, a, |number, _| number >> BITS)
    }

    #[inline(always)]
    fn mul_low(self, a: Row, b: Row) -> Row {
        each(a, b, i16::wrapping_mul)
    }

    #[inline(always)]
    fn mul_high(self, a: Row, b: Row) -> Row {
        each(a, b, |a, b| arithmetic::high(i32::from(a) * i32::from(b)))
    }

    #[inline(always)]
    fn mul_r(self, a: Row, b: Row) -> Row {
        each(a, b, arithmetic::mult_r)
    }

    #[inline(always)]
    fn transpose(self, block: &Block) -> Block {
        std::array::from_fn(|column| std::array::from_fn(|row| block[row][column]))
    }

    #[inline(always)]
    fn correlate(
        self,
        scaled: &[i16; SUBFRAME_LEN],
        history: &[i16; HISTORY_LEN],
    ) -> [i32; LAG_COUNT] {
        long_term::correlate(scaled, history)
    }
}
