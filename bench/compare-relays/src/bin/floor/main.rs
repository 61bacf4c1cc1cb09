//! The floor: a forwarder that does nothing but forward, to know what the kernel allows.
//!
//! No learning, no tables, no statistics, no check of anything: each socket has one partner and
//! one destination. What it costs and carries no relay with sockets can beat, and what a relay
//! costs beyond is its own. It speaks as much ng as the generator does, so that `compare-relays`
//! runs it like a relay: `--variant floor:…`.
//!
//! ```text
//!  generator ──ng──► Server ──Order──► driver ◄──RTP──► sockets
//! ```

mod mmsg;
mod server;
mod uring;

use std::net::{SocketAddrV4, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{ArgAction, Parser, ValueEnum};

/// A forwarder that does nothing but forward, to know what the kernel allows.
#[derive(Clone, Debug, Parser)]
#[command(name = "floor", version)]
struct Arguments {
    /// Where it hears offers and answers, and binds media
    #[arg(long)]
    listen: SocketAddrV4,

    /// How sockets are read and written
    #[arg(long, value_enum, default_value = "uring")]
    driver: Driver,

    /// Connect each socket to its party, so that no send looks up a route
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    connected: bool,

    /// Buffers that the kernel may fill: a power of two
    #[arg(long, default_value_t = 4_096)]
    buffers: u16,

    /// How long a packet may wait for others; 0 is not at all
    #[arg(long, default_value_t = 300)]
    wait_us: u32,

    /// Sends that are submitted together within a turn; 0 is all of the turn
    #[arg(long, default_value_t = 0)]
    submit_every: usize,

    /// Size of the receive queues in bytes
    #[arg(long, default_value_t = 128 * 1_024)]
    queue_bytes: usize,
}

/// How sockets are read and written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Driver {
    /// Multishot receives, provided buffers, sends without completions.
    Uring,
    /// epoll, recvmmsg and sendmmsg.
    Mmsg,
}

/// What the driver is told.
#[derive(Debug)]
enum Order {
    Open(Link),
    /// The socket in this slot.
    Close(u32),
}

/// A socket, and where what it receives goes.
#[derive(Debug)]
struct Link {
    slot: u32,
    socket: UdpSocket,
    /// Through the socket of this slot,
    partner: u32,
    /// to this address.
    destination: SocketAddrV4,
}

/// Sockets at a time: all that a process may open, as a rule.
const SLOTS: u32 = 19_900;

/// Bytes of a packet at most.
const PACKET_BYTES_MAX: u32 = 2_048;

/// How long a driver may sleep before it looks for orders.
const ORDERS_AFTER: Duration = Duration::from_millis(20);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let socket = UdpSocket::bind(arguments.listen)
        .with_context(|| format!("cannot bind {}", arguments.listen))?;
    let (orders, inbox) = mpsc::channel();
    let server = server::Server::new(&arguments, socket, orders);
    thread::spawn(move || server.run());
    match arguments.driver {
        Driver::Uring => uring::run(&arguments, &inbox),
        Driver::Mmsg => mmsg::run(&arguments, &inbox),
    }
}

/// Where what a socket receives goes, as the kernel wants it.
fn address_of(link: &Link) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: FAMILY,
        sin_port: link.destination.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(link.destination.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

/// `sa_family_t` is 16 bits wide, the constant of libc is not.
const FAMILY: libc::sa_family_t = 2;
const ADDRESS_LEN: u32 = 16;
const _: () = assert!(FAMILY as i32 == libc::AF_INET && size_of::<libc::sockaddr_in>() == 16);
