//! Scenarios: requests in, replies and a simulated relay's tables out.

mod associations;
mod between;
mod connecting;
mod creation;
mod deletion;
mod descriptions;
mod dtls;
mod formats;
mod hidden;
mod ice;
mod moves;
mod negotiation;
mod parties;
mod playing;
mod quality;
mod recovery;
mod reporting;
mod reports;
mod resilience;
mod srtp;
mod statistics;
mod transcoding;
mod treating;
