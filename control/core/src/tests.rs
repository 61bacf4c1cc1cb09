//! What the tests of this crate share: a clock that is set by hand, clients, a simulated relay.

mod sim;

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;

use crate::{Carrier, Client};

pub(crate) use sim::{CONFIG, Sim, SimCall, SimRelay, delete, on, port, sdp};

/// An instant to count from.
#[expect(
    clippy::disallowed_methods,
    reason = "somewhere to count from; nothing is measured"
)]
pub(crate) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// A client, by number.
pub(crate) fn client(number: u16) -> Client {
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    Client::new(Carrier::Datagram, address(20_000 + number), address(2_223))
}
