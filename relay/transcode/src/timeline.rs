//! From timestamps of the near side to places on the far side's timeline, without rounding that
//! adds up: every place is computed from the same origin.

/// Where timestamps lie on the far side.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    clock_hz: i64,
    /// Samples a second of the far side, of all channels.
    rate_hz: i64,
    /// The last timestamp, as it was and extended.
    last: Option<(u32, i64)>,
    /// An extended timestamp, and the place of it.
    origin: Option<(i64, u64)>,
}

impl Timeline {
    pub(crate) fn new(clock_hz: u32, rate_hz: u32) -> Self {
        Self {
            clock_hz: i64::from(clock_hz.max(1)),
            rate_hz: i64::from(rate_hz),
            last: None,
            origin: None,
        }
    }

    /// The timestamp with 64 bits: the one nearest to the last.
    pub(crate) fn extend(&mut self, timestamp: u32) -> i64 {
        let extended = match self.last {
            None => i64::from(timestamp),
            Some((last, extended)) => {
                extended + i64::from(timestamp.wrapping_sub(last).cast_signed())
            }
        };
        self.last = Some((timestamp, extended));
        extended
    }

    /// The place of an extended timestamp. It may lie before the beginning.
    pub(crate) fn place(&self, ticks: i64) -> Option<i64> {
        let (origin, place) = self.origin?;
        let distance = (ticks - origin).saturating_mul(self.rate_hz);
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        Some(place.saturating_add(distance.div_euclid(self.clock_hz)))
    }

    /// From now on this timestamp is there.
    pub(crate) fn set_origin(&mut self, ticks: i64, place: u64) {
        self.origin = Some((ticks, place));
    }

    /// Another source follows: its timestamps mean nothing yet.
    pub(crate) fn forget(&mut self) {
        (self.last, self.origin) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checklist_4_a_day_of_timestamps_lands_to_the_sample() {
        for (clock_hz, step) in [(8_000, 160), (48_000, 960), (16_000, 320), (44_100, 882)] {
            let mut timeline = Timeline::new(clock_hz, 8_000);
            let first = u32::MAX - 1_000;
            let ticks = timeline.extend(first);
            timeline.set_origin(ticks, 77);
            let (mut place, mut timestamp) = (0, first);
            for _ in 0..4_320_000 {
                timestamp = timestamp.wrapping_add(step);
                let ticks = timeline.extend(timestamp);
                place = timeline.place(ticks).unwrap();
            }
            assert_eq!(place, 77 + 4_320_000 * 160, "{clock_hz} Hz");
        }
    }
}
