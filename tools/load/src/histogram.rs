//! Times, and what is said of them.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::watch::float;

/// A minute, in nanoseconds: what is slower is counted as that slow.
const TIME_MAX_NS: u64 = 60_000_000_000;

/// Decimal digits that histograms keep.
const DIGITS: u8 = 3;

/// Microseconds by share of those that took no longer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Percentiles {
    /// Half of them.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// All.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// How many.
    pub count: u64,
}

impl Percentiles {
    pub(crate) fn new(times_ns: &Histogram<u64>) -> Self {
        if times_ns.is_empty() {
            return Self::default();
        }
        let at = |quantile: f64| float(times_ns.value_at_quantile(quantile)) / 1e3;
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: float(times_ns.max()) / 1e3,
            mean: times_ns.mean() / 1e3,
            count: times_ns.len(),
        }
    }
}

/// One for times, with the bounds that all have, so that they can be added.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, TIME_MAX_NS, DIGITS)
        .expect("1 ns to a minute with three digits are bounds that a histogram can have")
}

/// Times by rarity, as far as there are enough to say: (one in so many, microseconds).
pub(crate) fn curve(times_ns: &Histogram<u64>) -> Vec<(f64, f64)> {
    let count = float(times_ns.len());
    let rarities = (0..40).map(|step| 10_f64.powf(f64::from(step) / 5.0));
    rarities
        .take_while(|rarity| *rarity <= count)
        .map(|rarity| {
            let quantile = 1.0 - 1.0 / rarity;
            let us = float(times_ns.value_at_quantile(quantile)) / 1e3;
            (rarity, us)
        })
        .collect()
}
