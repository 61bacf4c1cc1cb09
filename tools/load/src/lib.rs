//! Load for media relays and SIP servers, and instruments that read what the load did.
//!
//! ```text
//! rtp::run ─► ng (sets the calls up) ─► a thread per core: schedule ─► stamp ─► io ─► the relay
//!                                                           check ◄─ stamp ◄─ io ◄───┘
//!                                       io: datagram (UDP sockets) or link (whole frames)
//! watch (CPU of processes and of cores) ─► report ─► table, JSON, plot
//! ```
//!
//! Nothing is sent to an address that is not this host's unless it was named: [`Permission`].
//! Every run is bounded in calls, packets and time, and can be stopped by a flag.

#![deny(unsafe_code)]

mod datagram;
mod error;
mod histogram;
mod link;
mod machine;
mod ng;
mod permission;
pub mod plot;
pub mod rtp;
mod sdp;
pub mod sip;
mod socket;
pub mod watch;

pub use error::LoadError;
pub use histogram::Percentiles;
pub use machine::Machine;
pub use ng::NgClient;
pub use permission::Permission;
pub use sdp::{describe, media_address};

/// The address of this host that `target` is reached from.
fn local_address_towards(target: std::net::SocketAddr) -> Result<std::net::IpAddr, LoadError> {
    socket::local_address_towards(target)
        .map_err(LoadError::system(format!("find a way to {target}")))
}
