//! Forwards RTP: threads, rings, sockets.
//!
//! A media packet's path, station by station:
//!
//! | | where | what |
//! | --- | --- | --- |
//! | 1 in | `worker.rs` `run` → `io.rs` `wait` | one system call a turn |
//! | 2 bytes → meaning | `io/uring/receive.rs` `read_received` | address and payload in the buffer |
//! | 3 decide | `core/src/lib.rs` `Relay::handle_packet` | sans-IO |
//! | 4 whose? | `core/src/flow_table.rs` `open` → `latch.rs` `accept` | the socket is the slot |
//! | 5 where to? | `core/src/endpoint.rs` `receive`, `send` → `Verdict` | RTP or RTCP |
//! | 6 out | `io/uring/ring.rs` `send` | from the same buffer |
//! | 7 done | completion → `io/uring/buffers.rs` `release` | the buffer goes back |
//!
//! Control's path: `link.rs` reads a request, `mailbox.rs` carries it, `worker.rs`
//! `serve_mailbox` applies it between two batches of packets, and the reply goes back the same
//! way.
//!
//! ```text
//!  control ── link thread ──┬── mailbox ── worker 0 ── ring ── sockets
//!                           └── mailbox ── worker 1 ── ring ── sockets
//! ```
//!
//! This library exists for the binary, the tests and the benches; it promises nothing to anybody
//! else.

mod affinity;
mod config;
mod copier;
mod dtls;
mod error;
mod file_limit;
mod io;
mod kernel_table;
mod link;
mod mailbox;
mod ntp;
mod priority;
pub mod privileges;
mod service;
mod socket;
mod transcoding;
mod wake;
mod worker;

pub use config::Config;
pub use error::{RingStep, SetupError, StartError};
pub use io::UringSize;
pub use kernel_table::KernelTableError;
pub use relay_dtls::catches_panics;
pub use service::{Notice, Service};
pub use transcoding::PoolLimits;
