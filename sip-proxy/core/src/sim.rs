//! A simulated world for tests: phones, a relay and a network around one proxy, with a clock that
//! jumps and a seed that decides what is lost.

mod phone;
mod world;

mod basic;

use std::time::Instant;

pub(crate) use phone::{Phone, Reaction};
pub(crate) use world::{Network, World};

/// Where the clock of a test begins.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made up; tests only add to it"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
