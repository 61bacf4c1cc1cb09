//! Time as a number: what is subtracted for each packet is converted once a turn.

use std::time::Instant;

/// Nanoseconds since the first turn. All packets of a turn have the same time, so the conversion
/// of an [`Instant`] is for the first of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    turn: Option<Now>,
}

/// The time of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) at: Instant,
    /// The same in nanoseconds since the first turn.
    pub(crate) ns: u64,
}

impl Clock {
    /// Adds the number of a time. One that lies before the newest counts as that.
    #[inline]
    pub(crate) fn read(&mut self, now: Instant) -> Now {
        match self.turn {
            Some(turn) if turn.at == now => turn,
            _ => self.begin_turn(now),
        }
    }

    #[cold]
    fn begin_turn(&mut self, now: Instant) -> Now {
        let turn = match self.turn {
            None => Now { at: now, ns: 0 },
            Some(Now { at, ns }) => {
                let elapsed = now.saturating_duration_since(at).as_nanos();
                let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
                Now {
                    at: at.max(now),
                    ns: ns.saturating_add(elapsed),
                }
            }
        };
        self.turn = Some(turn);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::start;
    use std::time::Duration;

    #[test]
    fn counts_from_the_first_turn_and_never_back() {
        let (mut clock, start) = (Clock::default(), start());
        let at = |ms| start + Duration::from_millis(ms);
        let numbers = [5, 5, 7, 6, 7, 9].map(|it| clock.read(at(it)).ns / 1_000_000);
        assert_eq!(numbers, [0, 0, 2, 2, 2, 4]);
    }
}
