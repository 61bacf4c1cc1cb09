//! The SIP proxy daemon: transports, storage, the ng client.
//!
//! What a SIP message goes through:
//!
//! ```text
//! 1 in        transport/udp.rs `read`, transport/tcp/connection.rs `Reader`
//! 2 decide    sip-proxy/core `Proxy::handle_message`
//! 3 ask       media.rs (control), resolve.rs (DNS); answers come back by `handle_*`
//! 4 out       driver/output.rs `execute` → transport/*
//! 5 keep      store.rs: contacts and call records, by a thread of its own
//! ```
//!
//! All but the last happen in one thread, and nothing in it waits: see `driver.rs`.

#![forbid(unsafe_code)]

mod admin;
mod clock;
mod config;
mod driver;
mod listen;
mod media;
mod resolve;
mod server;
mod store;
mod transport;

pub use config::{Limits, ListenAddress, Settings};
pub use listen::ListenError;
pub use server::{Server, StartError, run};
