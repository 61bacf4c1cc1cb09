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
//! One thread decides, and waits for nothing but messages: see `driver.rs`. Connections, lookups and
//! the admin socket are tasks on another one.

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
pub use server::{Server, StartError, run, runtime};
