//! Between one channel and two.

/// One sample of one channel as those of two: both the same, each at half the power, so that both
/// together are as loud.
#[must_use]
pub(crate) fn spread(sample: i16) -> [i16; 2] {
    // 23,170 is 2¹⁵ divided by the root of 2.
    let sample = (i32::from(sample) * 23_170 + 0x4000) >> 15;
    [i16::try_from(sample).unwrap_or(0); 2]
}

/// What both channels have in common.
#[must_use]
pub(crate) fn mean(pair: [i16; 2]) -> i16 {
    let sum = i32::from(pair[0]) + i32::from(pair[1]);
    i16::try_from(sum >> 1).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_channels_are_as_loud_as_the_one_was() {
        for sample in [i16::MIN, -20_000, -1, 0, 1, 300, i16::MAX] {
            let power = |it: i16| f64::from(it).powi(2);
            let both: f64 = spread(sample).map(power).iter().sum();
            assert!((both.sqrt() - power(sample).sqrt()).abs() < 1.5, "{sample}");
        }
    }

    #[test]
    fn the_mean_of_the_loudest_is_no_louder() {
        assert_eq!(mean([i16::MIN; 2]), i16::MIN);
        assert_eq!(mean([i16::MAX; 2]), i16::MAX);
        assert_eq!(mean([100, -50]), 25);
    }
}
