//! Scenarios: requests in, replies and a simulated relay's tables out.

mod deletion;
mod negotiation;
mod recovery;
mod resilience;
