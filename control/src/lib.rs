//! The control daemon: ng on one side, the relay on the other, decisions in between.
//!
//! ```text
//! proxies ◄─ng─► ng_server ─► ┌──────────────────────┐ ─► relay_link ◄─SOCK_SEQPACKET─► relay
//!                             │ control_core::Control │
//!                clock ─────► └──────────────────────┘ ─► journal ─► log
//! ```
//!
//! One thread does it all: `service.rs` waits for whatever comes, hands it to the core and does what
//! the core says. Only TCP, HTTP and WebSocket are read by another one (`listeners.rs`), if there are
//! any, which hands whole messages over; files that are to be played (`sounds.rs`); and limits that
//! were set are written by one that ends when they are (`kept_limits.rs`).

#![forbid(unsafe_code)]

mod admin;
mod config;
mod error;
mod hep;
mod host_load;
mod inherited;
mod journal;
mod kept_limits;
mod key_log;
mod listeners;
mod metrics;
mod ng_config;
mod ng_gate;
mod ng_server;
mod ng_socket;
mod outlet;
mod relay_link;
mod service;
mod sounds;
mod tls;

pub use config::Config;
pub use error::StartError;
pub use inherited::Inherited;
pub use ng_config::NgConfig;
pub use service::{Ending, run};
pub use tls::{TlsError, TlsFiles};
