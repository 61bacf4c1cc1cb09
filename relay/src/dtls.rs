//! Handshakes with peers: a thread beside the workers.
//!
//! ```text
//!  worker ── Verdict::Shake ─► courier ─┐
//!     ▲  └── poll_shaking ───► orders ──┴─► thread: Handshakes ──┐
//!     └──── wake, serve_dtls ◄── datagrams, keys ────────────────┘
//! ```
//!
//! To sign and to agree on a key takes as long as to forward hundreds of packets, and anybody may
//! ask for it. So nobody waits for the thread: what a full queue does not take is dropped and
//! counted, as if the network had lost it. What control asked for waits in the core until there is
//! room.

mod shaker;
mod thread;

pub(crate) use shaker::Shaker;
pub(crate) use thread::DtlsThread;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use relay_core::SocketId;
use relay_dtls::{Failure, Identity, Keys};
use relay_wire::Dtls;

use crate::transcoding::Courier;
use crate::wake::Wake;

/// Datagrams that wait, each way. A handshake has about ten.
const DATAGRAMS_MAX: usize = 1_024;

/// Orders that wait.
const ORDERS_MAX: usize = 4_096;

/// What came of handshakes, and waits for one worker.
const RESULTS_MAX: usize = 1_024;

/// One association of one endpoint.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Name {
    worker: u8,
    socket: SocketId,
    generation: u32,
}

/// What is written on a datagram that has arrived.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    name: Name,
    source: SocketAddr,
    is_peer: bool,
}

/// What is written on a datagram that is to leave.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    name: Name,
    /// `None`: where media goes.
    to: Option<SocketAddr>,
}

/// What a worker asks.
#[derive(Debug)]
enum Order {
    Begin(Name, Dtls),
    End(Name),
}

/// What workers know of the thread.
#[derive(Debug)]
struct Inlet {
    courier: Courier<Arrived>,
    orders: ArrayQueue<Order>,
    is_stopping: AtomicBool,
    wake: Wake,
    /// Datagrams that there was no room for.
    lost: AtomicU64,
    /// What the thread counts.
    counts: [AtomicU64; COUNTS],
}

/// So many counters the table has.
const COUNTS: usize = 11;

/// A handshake that has failed.
#[derive(Clone, Copy, Debug)]
struct Failed {
    failure: Failure,
    /// It was with who is where media goes.
    is_peer: bool,
}

/// What came of a handshake.
type Outcome = (Name, Result<Keys, Failed>);

/// What the thread knows of one worker.
#[derive(Debug)]
struct Outlet {
    courier: Courier<Leaving>,
    results: ArrayQueue<Outcome>,
    wake: Arc<Wake>,
    /// Datagrams that there was no room for.
    lost: AtomicU64,
}

/// The thread, as the service and workers know it.
#[derive(Debug)]
pub(crate) struct Hall {
    inlet: Inlet,
    /// By worker.
    outlets: Vec<Outlet>,
}

impl Hall {
    /// A thread that is yet to run, for so many endpoints at most. Workers are woken by `wakes`, in
    /// their order.
    ///
    /// # Errors
    ///
    /// When the process has too many descriptors.
    pub(crate) fn new(
        identity: Identity,
        endpoints_max: usize,
        wakes: &[Arc<Wake>],
    ) -> io::Result<(Arc<Self>, DtlsThread)> {
        let outlets = wakes.iter().map(|wake| Outlet {
            courier: Courier::with_room(DATAGRAMS_MAX),
            results: ArrayQueue::new(RESULTS_MAX),
            wake: Arc::clone(wake),
            lost: AtomicU64::new(0),
        });
        let hall = Arc::new(Self {
            inlet: Inlet {
                courier: Courier::with_room(DATAGRAMS_MAX),
                orders: ArrayQueue::new(ORDERS_MAX),
                is_stopping: AtomicBool::new(false),
                wake: Wake::new()?,
                lost: AtomicU64::new(0),
                counts: [const { AtomicU64::new(0) }; COUNTS],
            },
            outlets: outlets.collect(),
        });
        let thread = DtlsThread::new(Arc::clone(&hall), identity, endpoints_max);
        Ok((hall, thread))
    }

    /// Tells the thread to end.
    pub(crate) fn stop(&self) {
        self.inlet.is_stopping.store(true, Ordering::Release);
        self.inlet.wake.wake();
    }
}
