//! TCP: the table of connections, and the task that serves each.
//!
//! ```text
//! accept / connect ─► task ─► frames ─► events ─► driver
//!             driver ─► bounded queue ─► task ─► peer
//! ```
//!
//! The driver never waits for a peer: one that does not take what is sent to it is dropped, and
//! so is one that does not finish a message, or says nothing at all for too long.

mod connection;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sip_proxy_core::{ConnectionId, Destination, ListenerId};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

pub(crate) use connection::Event;
use connection::{Origin, Outgoing, Task};

/// Messages that wait for one peer at most, and their bytes.
const QUEUE_LEN_MAX: usize = 256;
const QUEUE_BYTES_MAX: usize = 1 << 20;

/// Events that wait for the driver; tasks wait beyond that, and so do their peers.
const EVENTS_MAX: usize = 1_024;

/// The share of all connections that one source address may have, and the most that this comes
/// to. A site behind one address has a phone a connection.
const SOURCE_SHARE: usize = 4;
const SOURCE_MAX: usize = 512;

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at most.
    pub connections_max: usize,
    /// How long a message may take from its first byte to its last, and a new peer to its first
    /// message.
    pub message_deadline: Duration,
    /// Silence after which a connection is closed: longer than a registration, since a phone may
    /// say nothing else.
    pub idle_timeout: Duration,
}

/// What has become of connections.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct TcpCounters {
    pub accepted: u64,
    pub connected: u64,
    pub closed: u64,
    pub refused_full: u64,
    pub refused_source: u64,
    pub overflowed: u64,
    pub unheard: u64,
    pub received: u64,
    pub sent: u64,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: Limits,
    next: u64,
    by_id: HashMap<ConnectionId, Connection>,
    /// The newest connection to each peer, by our end.
    by_peer: HashMap<(ListenerId, SocketAddr), ConnectionId>,
    by_source: HashMap<IpAddr, usize>,
    events: mpsc::Sender<Event>,
    pub counters: TcpCounters,
}

#[derive(Debug)]
struct Connection {
    listener: ListenerId,
    peer: SocketAddr,
    queue: mpsc::Sender<Outgoing>,
    queued_bytes: Arc<AtomicUsize>,
    task: AbortHandle,
}

/// Why a message could not be handed to a connection.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum SendError {
    /// There are too many connections to open one.
    Full,
    /// The peer does not take what it is sent; the connection is closed.
    Overflow(ConnectionId),
}

impl Connections {
    pub(crate) fn new(limits: Limits) -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let connections = Self {
            limits,
            next: 0,
            by_id: HashMap::new(),
            by_peer: HashMap::new(),
            by_source: HashMap::new(),
            events,
            counters: TcpCounters::default(),
        };
        (connections, receiver)
    }

    /// Serves a connection that a peer opened, unless there are too many.
    pub(crate) fn accept(&mut self, listener: ListenerId, stream: TcpStream, peer: SocketAddr) {
        let of_source = self.by_source.get(&peer.ip()).copied().unwrap_or(0);
        if self.by_id.len() >= self.limits.connections_max {
            self.counters.refused_full += 1;
            tracing::warn!(%peer, "connection refused: there are sip_proxy.connections_max");
        } else if of_source >= self.source_max() {
            self.counters.refused_source += 1;
            tracing::warn!(%peer, "connection refused: this address has too many");
        } else {
            self.counters.accepted += 1;
            self.spawn(listener, peer, Origin::Accepted(stream));
        }
    }

    fn source_max(&self) -> usize {
        (self.limits.connections_max / SOURCE_SHARE).clamp(1, SOURCE_MAX)
    }

    /// Sends a message over the connection named, else over one to the address, else over a new
    /// one from `local`. Keeps the order of messages to one destination.
    pub(crate) fn send(
        &mut self,
        destination: Destination,
        local: IpAddr,
        bytes: Vec<u8>,
    ) -> Result<(), SendError> {
        let id = self
            .find(destination)
            .map_or_else(|| self.connect(destination, local), Ok)?;
        let Some(connection) = self.by_id.get(&id) else {
            return Err(SendError::Full);
        };
        let queued = connection
            .queued_bytes
            .fetch_add(bytes.len(), Ordering::Relaxed);
        let outgoing = Outgoing { destination, bytes };
        let fits = queued <= QUEUE_BYTES_MAX && connection.queue.try_send(outgoing).is_ok();
        if fits {
            self.counters.sent += 1;
            return Ok(());
        }
        connection.task.abort();
        self.counters.overflowed += 1;
        self.remove(id);
        Err(SendError::Overflow(id))
    }

    fn find(&self, destination: Destination) -> Option<ConnectionId> {
        destination
            .connection
            .filter(|id| self.by_id.contains_key(id))
            .or_else(|| {
                self.by_peer
                    .get(&(destination.listener, destination.address))
                    .copied()
            })
    }

    fn connect(
        &mut self,
        destination: Destination,
        local: IpAddr,
    ) -> Result<ConnectionId, SendError> {
        if self.by_id.len() >= self.limits.connections_max {
            self.counters.refused_full += 1;
            return Err(SendError::Full);
        }
        self.counters.connected += 1;
        Ok(self.spawn(
            destination.listener,
            destination.address,
            Origin::Connecting(local),
        ))
    }

    fn spawn(&mut self, listener: ListenerId, peer: SocketAddr, origin: Origin) -> ConnectionId {
        let id = ConnectionId(self.next);
        self.next += 1;
        let (queue, outgoing) = mpsc::channel(QUEUE_LEN_MAX);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let task = Task {
            id,
            listener,
            peer,
            limits: self.limits,
            events: self.events.clone(),
            outgoing,
            queued_bytes: Arc::clone(&queued_bytes),
        };
        let task = tokio::spawn(task.run(origin)).abort_handle();
        self.by_id.insert(
            id,
            Connection {
                listener,
                peer,
                queue,
                queued_bytes,
                task,
            },
        );
        self.by_peer.insert((listener, peer), id);
        *self.by_source.entry(peer.ip()).or_insert(0) += 1;
        id
    }

    /// Forgets a connection that is closed. `false` if it was forgotten before.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.by_id.remove(&id) else {
            return false;
        };
        self.counters.closed += 1;
        let peer = (connection.listener, connection.peer);
        if self.by_peer.get(&peer) == Some(&id) {
            self.by_peer.remove(&peer);
        }
        let source = connection.peer.ip();
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
        true
    }

    /// Whether this connection is still in use.
    pub(crate) fn has(&self, id: ConnectionId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Bytes that wait for peers.
    pub(crate) fn queued_bytes(&self) -> usize {
        let queued = |connection: &Connection| connection.queued_bytes.load(Ordering::Relaxed);
        self.by_id.values().map(queued).sum()
    }
}
