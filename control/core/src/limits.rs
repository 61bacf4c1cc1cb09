//! What is too much: when new calls are turned away, and what the proxy is told then.
//!
//! Calls that are up are never touched: their re-offers, answers and deletes are served whatever
//! the limits say. Whoever is turned away can try another relay, since proxies know the words.

use std::time::Instant;

/// Readings of the relay's byte counts further apart than this say nothing of the rate now.
const RATE_WINDOW_MAX_S: f64 = 60.0;

/// What may be reached. Beyond it, new calls are turned away.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// Calls at most. 0: none at all.
    pub calls_max: u32,
    /// Load average of the last minute, in hundredths; 0 is no limit.
    pub load_max_hundredths: u32,
    /// How busy the host's processors are, in percent of all of them; 0 is no limit.
    pub cpu_percent_max: u8,
    /// Media that leaves, in Mbit/s of UDP payload; 0 is no limit.
    pub bandwidth_mbit_max: u32,
}

/// How busy the host is, as far as it is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HostLoad {
    /// Load average of the last minute, in hundredths.
    pub load_hundredths: Option<u32>,
    /// In percent of all processors.
    pub cpu_percent: Option<u8>,
}

/// Why a new call is turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overload {
    /// No more calls are taken, so that the last of them can be waited for.
    Draining,
    /// There are as many as may be.
    Sessions,
    /// The processors are too busy.
    Cpu,
    /// The load average is too high.
    Load,
    /// Too much media leaves.
    Bandwidth,
}

impl Overload {
    /// All of them, in the order in which they are looked at.
    pub const ALL: [Self; 5] = [
        Self::Draining,
        Self::Sessions,
        Self::Cpu,
        Self::Load,
        Self::Bandwidth,
    ];

    /// The peer's words, which proxies match. One that drains says what a full one says: that is
    /// how the peer is drained, and what every proxy knows.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Draining | Self::Sessions => "Parallel session limit reached",
            Self::Cpu => "CPU usage limit exceeded",
            Self::Load => "Load limit exceeded",
            Self::Bandwidth => "Bandwidth limit exceeded",
        }
    }

    /// One word for it, as in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Sessions => "calls",
            Self::Cpu => "cpu",
            Self::Load => "load",
            Self::Bandwidth => "bandwidth",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Draining => 0,
            Self::Sessions => 1,
            Self::Cpu => 2,
            Self::Load => 3,
            Self::Bandwidth => 4,
        }
    }
}

/// Decides whether another call is taken.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    pub(crate) limits: Limits,
    pub(crate) is_draining: bool,
    pub(crate) host: HostLoad,
    rate: Rate,
    /// By [`Overload::index`].
    refused: [u64; Overload::ALL.len()],
}

/// Media that leaves, from counts that only grow.
#[derive(Debug, Default)]
struct Rate {
    newest: Option<(Instant, u64)>,
    bits_per_s: Option<u64>,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Why another call would be too much while there are this many; `None`: it would not.
    pub(crate) fn overload(&self, calls: usize) -> Option<Overload> {
        let limits = &self.limits;
        let is_full = calls >= usize::try_from(limits.calls_max).unwrap_or(usize::MAX);
        let is_over = |value: Option<u64>, max: u64| max > 0 && value.is_some_and(|it| it >= max);
        let host = &self.host;
        let bandwidth_max = u64::from(limits.bandwidth_mbit_max) * 1_000_000;
        let verdicts = [
            self.is_draining,
            is_full,
            is_over(
                host.cpu_percent.map(u64::from),
                limits.cpu_percent_max.into(),
            ),
            is_over(
                host.load_hundredths.map(u64::from),
                limits.load_max_hundredths.into(),
            ),
            is_over(self.rate.bits_per_s, bandwidth_max),
        ];
        let mut verdicts = Overload::ALL.into_iter().zip(verdicts);
        verdicts.find_map(|(overload, is_so)| is_so.then_some(overload))
    }

    /// As [`Self::overload`], and counts it.
    pub(crate) fn refuse(&mut self, calls: usize) -> Option<Overload> {
        let overload = self.overload(calls)?;
        self.refused[overload.index()] += 1;
        Some(overload)
    }

    /// How many calls were turned away for this.
    pub(crate) fn refused(&self, overload: Overload) -> u64 {
        self.refused[overload.index()]
    }

    /// The relay has sent this many bytes since it began.
    pub(crate) fn note_bytes(&mut self, now: Instant, total: u64) {
        let before = self.rate.newest.replace((now, total));
        self.rate.bits_per_s = before.and_then(|(then, before)| {
            let elapsed_s = now.saturating_duration_since(then).as_secs_f64();
            // A relay that was started again counts from 0.
            let bytes = total.checked_sub(before)?;
            (elapsed_s > 0.0 && elapsed_s <= RATE_WINDOW_MAX_S).then(|| rate(bytes, elapsed_s))
        });
    }

    /// What the relay sends is not known any more.
    pub(crate) fn forget_bytes(&mut self) {
        self.rate = Rate::default();
    }

    /// Media that leaves, in bits a second of UDP payload.
    pub(crate) fn bits_per_s(&self) -> Option<u64> {
        self.rate.bits_per_s
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate need not be exact, and is not negative"
)]
fn rate(bytes: u64, elapsed_s: f64) -> u64 {
    (bytes as f64 * 8.0 / elapsed_s) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::tests::start;

    fn admission(limits: Limits) -> Admission {
        Admission::new(Limits {
            calls_max: 10,
            ..limits
        })
    }

    fn with_rate(limits: Limits, bytes: u64, seconds: u64) -> Admission {
        let mut admission = admission(limits);
        admission.note_bytes(start(), 1_000);
        let later = start() + Duration::from_secs(seconds);
        admission.note_bytes(later, 1_000 + bytes);
        admission
    }

    #[test]
    fn each_limit_turns_calls_away_with_the_peers_words() {
        let mut full = admission(Limits::default());
        assert_eq!(full.overload(9), None);
        assert_eq!(full.refuse(10), Some(Overload::Sessions));
        assert_eq!(full.refused(Overload::Sessions), 1);
        full.is_draining = true;
        assert_eq!(full.overload(0), Some(Overload::Draining));

        let mut cpu = admission(Limits {
            cpu_percent_max: 80,
            ..Limits::default()
        });
        assert_eq!(cpu.overload(0), None, "nothing was measured yet");
        cpu.host.cpu_percent = Some(80);
        assert_eq!(cpu.overload(0).unwrap().text(), "CPU usage limit exceeded");

        let mut load = admission(Limits {
            load_max_hundredths: 250,
            ..Limits::default()
        });
        load.host.load_hundredths = Some(249);
        assert_eq!(load.overload(0), None);
        load.host.load_hundredths = Some(250);
        assert_eq!(load.overload(0).unwrap().text(), "Load limit exceeded");

        let limits = Limits {
            bandwidth_mbit_max: 1,
            ..Limits::default()
        };
        assert_eq!(with_rate(limits, 124_999, 1).overload(0), None);
        let busy = with_rate(limits, 250_000, 2).overload(0).unwrap();
        assert_eq!(busy.text(), "Bandwidth limit exceeded");
    }

    #[test]
    fn a_rate_is_not_made_of_a_restart_or_a_long_silence() {
        let mut restarted = with_rate(Limits::default(), 1_000_000, 1);
        assert_eq!(restarted.bits_per_s(), Some(8_000_000));
        restarted.note_bytes(start() + Duration::from_secs(2), 5);
        assert_eq!(restarted.bits_per_s(), None);
        assert_eq!(with_rate(Limits::default(), 1_000, 61).bits_per_s(), None);
        assert_eq!(with_rate(Limits::default(), 1_000, 0).bits_per_s(), None);
    }

    proptest! {
        /// What is not measured, or has no limit, turns nobody away.
        #[test]
        fn only_what_is_limited_and_known_matters(
            cpu in proptest::option::of(any::<u8>()),
            load in proptest::option::of(any::<u32>()),
            cpu_max in any::<u8>(),
            load_max in any::<u32>(),
            calls in 0_usize..20,
        ) {
            let mut admission = admission(Limits {
                cpu_percent_max: cpu_max,
                load_max_hundredths: load_max,
                ..Limits::default()
            });
            admission.host = HostLoad { load_hundredths: load, cpu_percent: cpu };
            let is_taken = admission.overload(calls).is_none();
            let cpu_is_fine = cpu_max == 0 || cpu.is_none_or(|it| it < cpu_max);
            let load_is_fine = load_max == 0 || load.is_none_or(|it| it < load_max);
            prop_assert_eq!(is_taken, calls < 10 && cpu_is_fine && load_is_fine);
        }
    }

    #[test]
    fn every_reason_has_its_own_count() {
        for (index, overload) in Overload::ALL.into_iter().enumerate() {
            assert_eq!(overload.index(), index);
        }
    }
}
