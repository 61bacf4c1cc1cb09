//! STUN messages (RFC 8489) and the ICE agent of one component (RFC 8445); performs no I/O.
//!
//! ```text
//! datagram ─► is_stun ─► Message::parse ─► Agent::handle_packet ─► poll_transmit, poll_selected
//!                                               ▲
//!                                time ─► handle_timeout
//! ```
//!
//! An [`Agent`] speaks for one component of one stream: for RTP, or for RTCP that has a port of its
//! own. It has some *bases*, which are the sockets that its host candidates name, and checks each
//! with each candidate of the peer. All is bounded: candidates, pairs, answers to strangers.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use relay_ice::{Agent, Base, Candidate, Credentials, Received, Role, Settings};
//!
//! let agent = |role, address: &str, [local, remote]: [&str; 2], peer: &str| {
//!     let credentials = |name: &str| Credentials::new(name, "a password of 22 bytes");
//!     let mut agent = Agent::new(Settings {
//!         local: credentials(local),
//!         bases: vec![Base { address: address.parse().unwrap(), priority: 1 }],
//!         component: 1,
//!         tie_breaker: 7,
//!         is_lite: false,
//!     });
//!     let candidate = Candidate { address: peer.parse().unwrap(), priority: 1 };
//!     agent.update(Instant::now(), role, Some(credentials(remote)), false, &[candidate]);
//!     agent
//! };
//! let (a, b) = ("192.0.2.1:4000", "192.0.2.2:5000");
//! let mut one = agent(Role::Controlling, a, ["one1", "two2"], b);
//! let mut two = agent(Role::Controlled, b, ["two2", "one1"], a);
//! let mut now = Instant::now();
//! while one.selected().is_none() || two.selected().is_none() {
//!     now += Duration::from_millis(10);
//!     one.handle_timeout(now);
//!     two.handle_timeout(now);
//!     while let Some(sent) = one.poll_transmit() {
//!         assert_eq!(two.handle_packet(now, 0, a.parse().unwrap(), &sent.bytes), Received::Taken);
//!     }
//!     while let Some(sent) = two.poll_transmit() {
//!         assert_eq!(one.handle_packet(now, 0, b.parse().unwrap(), &sent.bytes), Received::Taken);
//!     }
//! }
//! assert_eq!(one.selected().map(|it| it.remote), Some(b.parse().unwrap()));
//! ```

#![forbid(unsafe_code)]

mod agent;
mod allowance;
mod credentials;
#[doc(hidden)]
pub mod fuzz;
mod pair;
mod priority;
mod stun;
mod writer;

pub use agent::{
    Agent, Base, CANDIDATES_MAX, Candidate, Counters, PAIRS_MAX, Received, Role, Selected,
    Settings, Transmit,
};
pub use credentials::Credentials;
pub use priority::{Kind, priority};
pub use stun::{Class, Control, Message, ParseError, TransactionId, is_stun};
pub use writer::Writer;
