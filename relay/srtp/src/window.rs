//! Numbers of packets: how far they have come, and which of the last were there (RFC 3711 §3.3).

/// How many numbers back a packet may come late. RFC 3711 §3.3.2 wants 64 at least.
pub(crate) const WINDOW: u64 = 128;

/// The highest number there was, and which of those below it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Window {
    highest: u64,
    /// Bit n: the number n below the highest was there.
    seen: u128,
}

impl Window {
    /// One number was there.
    pub(crate) fn new(number: u64) -> Self {
        Self {
            highest: number,
            seen: 1,
        }
    }

    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether it is not known that the number was there.
    pub(crate) fn is_new(&self, number: u64) -> bool {
        match self.highest.checked_sub(number) {
            None => true,
            Some(back) if back < WINDOW => self.seen >> back & 1 == 0,
            Some(_) => false,
        }
    }

    pub(crate) fn note(&mut self, number: u64) {
        match self.highest.checked_sub(number) {
            Some(back) if back < WINDOW => self.seen |= 1 << back,
            Some(_) => {}
            None => {
                let ahead = number - self.highest;
                self.seen = if ahead < WINDOW {
                    self.seen << ahead | 1
                } else {
                    1
                };
                self.highest = number;
            }
        }
    }

    /// What was there for another is there for this one as well.
    pub(crate) fn join(&mut self, other: Self) {
        let (newer, older) = match self.highest >= other.highest {
            true => (*self, other),
            false => (other, *self),
        };
        let back = newer.highest - older.highest;
        let back = u32::try_from(back).unwrap_or(u32::MAX);
        self.highest = newer.highest;
        self.seen = newer.seen | older.seen.checked_shl(back).unwrap_or(0);
    }

    /// Goes on from a number, whatever was there before.
    pub(crate) fn restart(&mut self, number: u64) {
        *self = Self::new(number);
    }
}

/// The number of RTP of 16 bits, extended to 48 (RFC 3711 §3.3.1): the one that is nearest to the
/// highest so far.
pub(crate) fn extend(highest: Option<u64>, sequence: u16) -> u64 {
    let Some(highest) = highest else {
        return sequence.into();
    };
    let near = highest & !0xffff | u64::from(sequence);
    let half = 1 << 15;
    if near + half < highest {
        near + (1 << 16)
    } else if near > highest + half {
        near.checked_sub(1 << 16).unwrap_or(near)
    } else {
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_go_on_beyond_16_bits_and_back() {
        assert_eq!(extend(None, 65_535), 65_535);
        assert_eq!(extend(Some(65_535), 0), 65_536);
        assert_eq!(extend(Some(65_536), 65_535), 65_535);
        assert_eq!(extend(Some(65_540), 9), 65_545);
        // There is nothing before the first.
        assert_eq!(extend(Some(3), 65_535), 65_535);
        assert_eq!(extend(Some((7 << 16) + 60_000), 1_000), (8 << 16) + 1_000);
    }

    proptest! {
        #[test]
        fn a_number_is_new_once(numbers in prop::collection::vec(1_000_u64..1_400, 1..400)) {
            let mut window = Window::new(numbers[0]);
            let mut seen = BTreeSet::from([numbers[0]]);
            for number in &numbers[1..] {
                let highest = *seen.last().unwrap();
                let expected = !seen.contains(number) && number + WINDOW > highest;
                prop_assert_eq!(window.is_new(*number), expected);
                if expected {
                    window.note(*number);
                    seen.insert(*number);
                }
                prop_assert_eq!(window.highest(), *seen.last().unwrap());
            }
        }

        #[test]
        fn what_either_has_seen_both_have(
            one in prop::collection::vec(1_000_u64..1_400, 1..60),
            other in prop::collection::vec(1_000_u64..1_400, 1..60),
        ) {
            let [mut joined, right] = [&one, &other].map(|numbers| {
                let mut window = Window::new(numbers[0]);
                numbers.iter().for_each(|it| window.note(*it));
                window
            });
            joined.join(right);
            for number in one.iter().chain(&other) {
                prop_assert!(!joined.is_new(*number));
            }
            let highest = one.iter().chain(&other).max().unwrap();
            prop_assert_eq!(joined.highest(), *highest);
            for number in highest - (WINDOW - 1)..*highest {
                let was_there = one.contains(&number) || other.contains(&number);
                prop_assert_eq!(joined.is_new(number), !was_there);
            }
        }

        #[test]
        fn a_number_is_extended_to_the_nearest(highest in 100_000_u64..1 << 47, ahead in -32_000_i64..32_000) {
            let number = highest.checked_add_signed(ahead).unwrap();
            let [.., high, low] = number.to_be_bytes();
            prop_assert_eq!(extend(Some(highest), u16::from_be_bytes([high, low])), number);
        }
    }
}
