//! Calls, ports and SDP: what control decides. Performs no I/O and reads no clock.
//!
//! Requests of SIP proxies and messages of the relay go into [`Control`] by `handle_*`; what is to
//! be sent comes out by [`Control::poll_output`].
//!
//! ```text
//! 1 in             control::ng_server             a datagram
//! 2 meaning        control_ng::Request::parse     a command
//! 3 once only      replies.rs                     a repeated request gets the reply of the first
//! 4 which call     call.rs, placement.rs          legs by tags and branches
//! 5 decide         negotiation.rs, sdp/, ports.rs the call as it will be, and the SDP
//! 6 commands       plan.rs                        what the relay must change
//! 7 out            control/jobs.rs                Output::Relay, and when it is done, the reply
//! ```
//!
//! Nothing here is lost with the process: the state of each call lies in its record with the relay
//! (`record.rs`), which is changed in the same request as the call itself.

#![forbid(unsafe_code)]

mod associations;
mod base64;
mod call;
mod codecs;
mod control;
mod digits;
mod echo;
mod events;
mod exposition;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod ice;
mod lean;
mod limits;
mod links;
mod negotiation;
mod output;
mod placement;
mod plan;
mod playing;
mod ports;
mod profile;
mod quality;
mod record;
mod replies;
mod reporting;
mod sdp;
mod seals;
pub mod sound;
mod srtp;
mod statistics;
mod summary;
mod trace;
mod treatment;

pub use call::{Carrier, Client, Format};
pub use codecs::{OpusPolicy, Preference, Transcode};
pub use control::{Config, Control, Counters, Now, WatchedCall, is_order};
pub use exposition::{CONTENT_TYPE, Exposition, Kind, Labels, Number};
pub use limits::{HostLoad, Limits, Overload};
pub use output::{EndReason, KeyReport, Notice, Output, QualityReport};
pub use playing::{Load, Loaded, Source};
pub use sdp::MEDIA_MAX;
pub use summary::{CallSummary, Side};
pub use trace::{Trace, TraceEvent, What};

#[cfg(test)]
mod tests;
