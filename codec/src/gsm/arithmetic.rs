//! The arithmetic of EN 300 961 §5.1: 16 and 32 bits, saturating, products rounded or not.
//!
//! The standard doubles each long product and halves the sum at the end. Nothing is lost between,
//! so here products are plain.

#![expect(
    clippy::cast_possible_truncation,
    reason = "each cast is of a value that is shown to fit, or keeps the half that is wanted"
)]

/// −32768 has no opposite; its magnitude is 32767.
pub(super) const fn abs(value: i16) -> i16 {
    value.saturating_abs()
}

/// `a · b / 2^15`, rounded down. Never both are −32768: one of them is always a constant, a gain
/// or a magnitude.
pub(super) const fn mult(a: i16, b: i16) -> i16 {
    ((a as i32 * b as i32) >> 15) as i16
}

/// `a · b / 2^15`, rounded to the nearest. Never both are −32768, since one of them is a constant,
/// a gain or a reflection coefficient.
pub(super) const fn mult_r(a: i16, b: i16) -> i16 {
    ((a as i32 * b as i32 + 0x4000) >> 15) as i16
}

/// `numerator / denominator` in 15 bits, rounded down; neither is negative, and the numerator is
/// not the greater. Nothing is a nothing of anything, even of nothing: the energy that is left may
/// be 0 after a few stages.
pub(super) const fn div(numerator: i16, denominator: i16) -> i16 {
    debug_assert!(0 <= numerator && numerator <= denominator);
    if numerator == 0 {
        return 0;
    }
    let quotient = ((numerator as i32) << 15) / denominator as i32;
    if quotient > i16::MAX as i32 {
        i16::MAX
    } else {
        quotient as i16
    }
}

/// How far a long value can be shifted to the left before its sign changes. Not for 0.
pub(super) const fn norm(value: i32) -> u32 {
    let magnitude = if value < 0 { !value } else { value };
    magnitude.leading_zeros() - 1
}

/// The same for a short value.
pub(super) const fn norm_short(value: i16) -> u32 {
    norm((value as i32) << 16)
}

/// The upper half of a long value.
pub(super) const fn high(value: i32) -> i16 {
    (value >> 16) as i16
}

/// A value that fits in 16 bits.
pub(super) const fn short(value: i32) -> i16 {
    debug_assert!(value as i16 as i32 == value);
    value as i16
}

/// A value as near as 16 bits come to it.
pub(super) const fn saturate(value: i32) -> i16 {
    if value > i16::MAX as i32 {
        i16::MAX
    } else if value < i16::MIN as i32 {
        i16::MIN
    } else {
        value as i16
    }
}

/// What was cut off to fit a code of less than 8 bits.
pub(super) const fn code(value: i16) -> u8 {
    debug_assert!(0 <= value && value < 0x80);
    value.cast_unsigned() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Division as §5.1 writes it: bit after bit.
    fn div_by_bits(numerator: i16, denominator: i16) -> i16 {
        let (mut rest, mut quotient) = (i32::from(numerator), 0);
        for _ in 0..15 {
            rest <<= 1;
            quotient <<= 1;
            if rest >= i32::from(denominator) {
                rest -= i32::from(denominator);
                quotient += 1;
            }
        }
        quotient
    }

    #[test]
    fn division_is_that_of_the_standard() {
        for denominator in (1..=i16::MAX).step_by(61).chain([i16::MAX]) {
            for numerator in (0..=denominator).step_by(127).chain([denominator]) {
                let quotient = div(numerator, denominator);
                assert_eq!(quotient, div_by_bits(numerator, denominator));
            }
        }
    }

    #[test]
    fn nothing_is_no_part_of_nothing() {
        assert_eq!(div(0, 0), 0);
    }

    #[test]
    fn a_norm_is_the_room_above_a_value() {
        assert_eq!((norm(1), norm(-1), norm(i32::MAX)), (30, 31, 0));
        assert_eq!((norm_short(1), norm_short(0x4000)), (14, 0));
        assert_eq!((norm(i32::MIN), norm(-0x4000_0000)), (0, 1));
    }

    #[test]
    fn products_are_rounded_as_told() {
        assert_eq!((mult(-1, 1), mult_r(-1, 1)), (-1, 0));
        assert_eq!((mult(1, 0x4000), mult_r(1, 0x4000)), (0, 1));
        assert_eq!((abs(i16::MIN), saturate(40_000)), (i16::MAX, i16::MAX));
    }
}
