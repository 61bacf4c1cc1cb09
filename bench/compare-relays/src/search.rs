//! The search for the highest rate that a relay carries without loss. Performs no I/O.
//!
//! ```text
//! climb    short tries at growing rates, until packets are lost
//! halve    short tries between the last good and the first bad rate, until they are near
//! confirm  long tries: the rate counts if nothing is lost for all of one
//! ```

/// Where the search begins.
const RATE_FIRST: u64 = 40_000;

/// Below this there is nothing worth finding.
const RATE_MIN: u64 = 1_000;

/// What no machine does.
const RATE_MAX: u64 = 4_000_000;

/// Tries of one rate before it counts as too much: other work on the machine costs packets, too.
const TRIES: u32 = 2;

/// Rates that are confirmed at most: each is a little lower than the one before.
const CONFIRMATIONS: u32 = 6;

/// One try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Try {
    pub(crate) rate: u64,
    /// As long as a result takes, rather than as short as possible.
    pub(crate) is_long: bool,
}

/// What became of a try.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Carried,
    Lost,
    /// The generator could not do it, for this reason.
    Unknown(String),
}

/// How far the search is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Climb,
    Halve,
    Confirm,
    Done,
}

/// A search.
#[derive(Debug)]
pub(crate) struct Search {
    phase: Phase,
    rate: u64,
    tries: u32,
    confirmations: u32,
    good: u64,
    bad: u64,
    /// Why the generator could do no more, and the lowest rate for which that was so.
    limit: Option<(u64, String)>,
    confirmed: u64,
}

impl Search {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Climb,
            rate: RATE_FIRST,
            tries: 0,
            confirmations: 0,
            good: 0,
            bad: 0,
            limit: None,
            confirmed: 0,
        }
    }

    /// The next try; `None` at the end.
    pub(crate) fn poll_try(&self) -> Option<Try> {
        (self.phase != Phase::Done).then_some(Try {
            rate: self.rate,
            is_long: self.phase == Phase::Confirm,
        })
    }

    /// Takes note of what became of the try that was asked for.
    pub(crate) fn handle_outcome(&mut self, outcome: Outcome) {
        self.tries += 1;
        let is_carried = outcome == Outcome::Carried;
        if !is_carried && self.tries < TRIES {
            return;
        }
        self.tries = 0;
        if let Outcome::Unknown(reason) = outcome
            && self
                .limit
                .as_ref()
                .is_none_or(|(rate, _)| self.rate < *rate)
        {
            self.limit = Some((self.rate, reason));
        }
        match is_carried {
            true => self.good = self.rate,
            false => self.bad = self.rate,
        }
        match self.phase {
            Phase::Climb if is_carried && self.rate < RATE_MAX => {
                self.rate = (self.rate + self.rate * 2 / 5).min(RATE_MAX);
            }
            Phase::Climb | Phase::Halve => self.halve(),
            Phase::Confirm => self.confirm(is_carried),
            Phase::Done => {}
        }
    }

    /// The highest rate that was carried for the whole of a long try; 0 if there is none.
    pub(crate) fn found(&self) -> u64 {
        self.confirmed
    }

    /// Why the relay may carry more than was found: the generator was what ended the search.
    pub(crate) fn limit(&self) -> Option<&str> {
        let (rate, reason) = self.limit.as_ref()?;
        // If the relay lost packets at a rate that the generator managed, that is its limit.
        (*rate <= self.bad).then_some(reason.as_str())
    }

    fn halve(&mut self) {
        let is_near = self.good > 0 && self.bad <= self.good + self.good / 20;
        if is_near || self.bad == 0 {
            self.phase = Phase::Confirm;
            self.rate = self.good;
            return;
        }
        self.phase = Phase::Halve;
        self.rate = u64::midpoint(self.good, self.bad);
        if self.rate < RATE_MIN {
            self.phase = Phase::Done;
        }
    }

    fn confirm(&mut self, is_carried: bool) {
        self.confirmations += 1;
        if is_carried {
            self.confirmed = self.rate;
        }
        self.rate -= self.rate / 20;
        if is_carried || self.confirmations == CONFIRMATIONS || self.rate < RATE_MIN {
            self.phase = Phase::Done;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a relay of which only the capacity is known, with a generator of some capacity;
    /// long tries carry a little less. Says what was found, and how many tries it took.
    fn search(short: u64, long: u64, generator: u64) -> (u64, bool, u32) {
        let mut search = Search::new();
        let mut tries = 0;
        while let Some(next) = search.poll_try() {
            tries += 1;
            let capacity = if next.is_long { long } else { short };
            search.handle_outcome(if next.rate > generator {
                Outcome::Unknown("it is slow".to_owned())
            } else if next.rate > capacity {
                Outcome::Lost
            } else {
                Outcome::Carried
            });
            assert!(tries < 100, "it never ends");
        }
        (search.found(), search.limit().is_some(), tries)
    }

    #[test]
    fn what_is_found_is_near_and_never_above() {
        for capacity in [2_000, 39_999, 40_000, 123_456, 235_000, 3_000_000] {
            let (found, is_limited, tries) = search(capacity, capacity, u64::MAX);
            assert!(
                found <= capacity && found > capacity * 9 / 10,
                "{capacity}: {found}"
            );
            assert!(!is_limited && tries < 45, "{capacity}: {tries} tries");
        }
    }

    #[test]
    fn a_rate_counts_only_if_a_long_try_carries_it() {
        let (found, _, _) = search(200_000, 170_000, u64::MAX);
        assert!(found <= 170_000 && found > 150_000, "{found}");
        assert_eq!(search(200_000, 1_000, u64::MAX).0, 0);
    }

    #[test]
    fn the_generator_s_limit_is_said_only_if_it_ended_the_search() {
        let (found, is_limited, _) = search(500_000, 500_000, 300_000);
        assert!(is_limited && found <= 300_000 && found > 270_000, "{found}");
        let (_, is_limited, _) = search(200_000, 200_000, 300_000);
        assert!(!is_limited);
    }

    #[test]
    fn what_carries_nothing_is_found_out() {
        assert_eq!(search(0, 0, u64::MAX).0, 0);
    }

    #[test]
    fn one_bad_try_does_not_decide() {
        let mut search = Search::new();
        search.handle_outcome(Outcome::Lost);
        assert_eq!(search.poll_try().unwrap().rate, RATE_FIRST);
        search.handle_outcome(Outcome::Carried);
        assert!(search.poll_try().unwrap().rate > RATE_FIRST);
    }
}
