//! A simulated world for tests: phones, a relay and a network around one proxy, with a clock that
//! jumps and a seed that decides what is lost.

mod phone;
mod world;

mod basic;
mod calls;
mod forking;
mod junk;
mod lossy;
mod media;
mod routing;
mod security;
mod tcp;

use std::time::Instant;

pub(crate) use phone::Reaction;
pub(crate) use world::{Network, World, config};

/// Where the clock of a test begins.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made up; tests only add to it"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
