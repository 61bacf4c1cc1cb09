//! ng over streams: TCP, HTTP and WebSocket, on a thread of their own.
//!
//! ```text
//! connections ─► tcp.rs, http.rs, websocket.rs ─► Link ─bounded channel, eventfd─► the loop
//!                                                  ◄── a bounded queue for each connection
//! ```
//!
//! The thread reads bytes and finds messages; what they mean is the core's business, on the thread
//! of the loop, which sees one more descriptor and nothing else (decision 6). Without a listener
//! there is no thread.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use control_core::{Carrier, Client};
use rustc_hash::FxHashMap;
use rustix::event::{EventfdFlags, eventfd};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use crate::error::StartError;
use crate::ng_config::NgConfig;
use crate::ng_gate::{Access, Counts, Gate};

mod http;
mod tcp;
#[cfg(test)]
mod tests;
mod websocket;

/// Bytes of the longest request, cookie and all: as much as a datagram holds.
pub(crate) const REQUEST_BYTES_MAX: usize = 65_535;

/// Requests that wait for the loop; who has more waits with them.
const REQUESTS_MAX: usize = 256;

/// Requests of one connection that are not answered yet; beyond that it is not read.
const IN_FLIGHT_MAX: usize = 64;

/// Replies and events that wait to be written to one connection.
const REPLIES_MAX: usize = 2 * IN_FLIGHT_MAX;

/// Longer than the core takes for any reply: what is not there by then will not come.
const REPLY_TIME: Duration = Duration::from_secs(5);

/// How long a message may take from its first byte to its last one, or a reply to be read.
const MESSAGE_TIME: Duration = Duration::from_secs(10);

/// How long the kernel tries to deliver to a peer that is gone.
const GONE_TIME: Duration = Duration::from_secs(30);

/// How old numbers may be: they take the loop a while.
const METRICS_AGE: Duration = Duration::from_millis(500);

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 128;

/// After this time one more is accepted, when that failed for want of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the loop is asked.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// All numbers, as text.
    Metrics(oneshot::Sender<String>),
    /// A message of ng.
    Request { client: Client, message: Vec<u8> },
}

/// The loop's end.
#[derive(Debug)]
pub(crate) struct Streams {
    requests: mpsc::Receiver<Inbound>,
    link: Arc<Link>,
    /// Where it listens: TCP, then HTTP.
    #[cfg(test)]
    addresses: Vec<SocketAddr>,
}

/// What all connections share with the loop.
#[derive(Debug)]
struct Link {
    requests: mpsc::Sender<Inbound>,
    wake: OwnedFd,
    gate: Arc<Gate>,
    peers: Mutex<Peers>,
    metrics: tokio::sync::Mutex<Option<(Instant, String)>>,
    open: AtomicUsize,
    connections_max: usize,
    idle_timeout: Option<Duration>,
}

/// Where replies to each connection go, by its two addresses.
type Peers = FxHashMap<(SocketAddr, SocketAddr), Inlet>;

/// Where replies to a connection go.
#[derive(Debug)]
struct Inlet {
    replies: mpsc::Sender<Outbound>,
    spoken: Spoken,
}

/// What is to be written to a connection.
#[derive(Debug)]
struct Outbound {
    message: Vec<u8>,
    /// It was asked for, or may have been.
    is_reply: bool,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Spoken {
    Http,
    Tcp,
}

impl Streams {
    /// Binds all addresses and begins to listen; `None` if there are none.
    pub(crate) fn start(config: &NgConfig, gate: &Arc<Gate>) -> Result<Option<Self>, StartError> {
        let mut listeners = Vec::new();
        for (addresses, protocol, setting) in [
            (&config.listen_tcp, Spoken::Tcp, "listen_tcp"),
            (&config.listen_http, Spoken::Http, "listen_http"),
        ] {
            for &address in addresses {
                let listener = bind(address).map_err(|source| StartError::ListenStream {
                    setting,
                    address,
                    source,
                })?;
                info!(%address, ?protocol, "listening for ng");
                listeners.push((listener, protocol));
            }
        }
        if listeners.is_empty() {
            return Ok(None);
        }
        Self::serve(listeners, config, gate)
            .map(Some)
            .map_err(StartError::system("begin to listen"))
    }

    fn serve(
        listeners: Vec<(TcpListener, Spoken)>,
        config: &NgConfig,
        gate: &Arc<Gate>,
    ) -> io::Result<Self> {
        #[cfg(test)]
        let addresses = listeners
            .iter()
            .filter_map(|(it, _)| it.local_addr().ok())
            .collect();
        let flags = EventfdFlags::SEMAPHORE | EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let wake = eventfd(0, flags)?;
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let link = Arc::new(Link {
            requests: sender,
            wake,
            gate: Arc::clone(gate),
            peers: Mutex::default(),
            metrics: tokio::sync::Mutex::default(),
            open: AtomicUsize::new(0),
            connections_max: config.connections_max,
            idle_timeout: config.idle_timeout,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let of_thread = Arc::clone(&link);
        thread::Builder::new()
            .name("ng-streams".to_owned())
            .spawn(move || runtime.block_on(accept_all(&of_thread, listeners)))?;
        Ok(Self {
            requests,
            link,
            #[cfg(test)]
            addresses,
        })
    }

    /// What has come, if anything.
    pub(crate) fn receive(&mut self) -> Option<Inbound> {
        let mut one = [0; 8];
        // As many can be read as were put into the channel before.
        rustix::io::read(&self.link.wake, &mut one).ok()?;
        self.requests.try_recv().ok()
    }

    /// Hands a message to the connection that it is for.
    pub(crate) fn send(&self, client: Client, message: Vec<u8>) {
        if !self.link.hand_out(client, message) {
            Counts::add(&self.link.gate.counts.undelivered);
            debug!(to = %client.remote, "no connection takes this reply");
        }
    }

    /// Tells all clients over TCP something that none of them asked for.
    pub(crate) fn announce(&self, message: &[u8]) {
        let lost = self.link.announce(message);
        for _ in 0..lost {
            Counts::add(&self.link.gate.counts.undelivered);
        }
    }

    /// Connections now.
    pub(crate) fn open(&self) -> usize {
        self.link.open.load(Ordering::Relaxed)
    }
}

impl AsFd for Streams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.wake.as_fd()
    }
}

impl Link {
    /// Hands a request to the loop, as soon as there is room.
    async fn request(&self, inbound: Inbound) {
        // Without the loop the process is about to end.
        if self.requests.send(inbound).await.is_ok() {
            // It cannot be full: nobody makes 2^64 requests.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    /// How long a message may take to come or to be read.
    fn message_time(&self) -> Duration {
        self.idle_timeout
            .map_or(MESSAGE_TIME, |idle| idle.min(MESSAGE_TIME))
    }

    /// Hands a message of ng to the loop, when its sender may send one more.
    async fn ask(&self, client: Client, message: Vec<u8>) {
        while let Err(wait) = self.gate.take(client.remote.ip()) {
            Counts::add(&self.gate.counts.over_rate);
            tokio::time::sleep(wait).await;
        }
        self.request(Inbound::Request { client, message }).await;
    }

    /// All numbers, as text. Whoever asks again and again gets the same for a while.
    async fn metrics(&self) -> Option<String> {
        let mut metrics = self.metrics.lock().await;
        if let Some((since, text)) = metrics.as_ref()
            && since.elapsed() < METRICS_AGE
        {
            return Some(text.clone());
        }
        let (sender, text) = oneshot::channel();
        self.request(Inbound::Metrics(sender)).await;
        let text = tokio::time::timeout(REPLY_TIME, text).await.ok()?.ok()?;
        *metrics = Some((Instant::now(), text.clone()));
        Some(text)
    }

    fn hand_out(&self, client: Client, message: Vec<u8>) -> bool {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = peers.get(&(client.remote, client.local));
        let is_reply = true;
        let reply = Outbound { message, is_reply };
        peer.is_some_and(|peer| peer.replies.try_send(reply).is_ok())
    }

    /// Hands a message to all connections over TCP but those that do not read: replies have half of
    /// the room for themselves. Says how many these are.
    fn announce(&self, message: &[u8]) -> usize {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peers = peers.values().filter(|it| it.spoken == Spoken::Tcp);
        let is_lost = |peer: &&Inlet| {
            let announcement = Outbound {
                message: message.to_vec(),
                is_reply: false,
            };
            peer.replies.capacity() <= IN_FLIGHT_MAX || peer.replies.try_send(announcement).is_err()
        };
        peers.filter(is_lost).count()
    }

    /// Makes a connection known, as long as what is returned lives.
    fn join(self: &Arc<Self>, client: Client, spoken: Spoken) -> Peer {
        let (sender, replies) = mpsc::channel(REPLIES_MAX);
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let replies_to = Inlet {
            replies: sender,
            spoken,
        };
        peers.insert((client.remote, client.local), replies_to);
        Peer {
            link: Arc::clone(self),
            client,
            replies,
        }
    }
}

/// A connection that replies can be handed to.
#[derive(Debug)]
struct Peer {
    link: Arc<Link>,
    client: Client,
    replies: mpsc::Receiver<Outbound>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut peers = self
            .link
            .peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        peers.remove(&(self.client.remote, self.client.local));
    }
}

/// One of the connections that there may be.
#[derive(Debug)]
struct Place(Arc<Link>);

impl Place {
    fn take(link: &Arc<Link>) -> Option<Self> {
        // One thread alone takes places.
        if link.open.load(Ordering::Relaxed) >= link.connections_max {
            return None;
        }
        link.open.fetch_add(1, Ordering::Relaxed);
        Some(Self(Arc::clone(link)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and :: can both be listened to.
        socket.set_only_v6(true)?;
    }
    // So that a control that is started again need not wait for the connections of the last one.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

async fn accept_all(link: &Arc<Link>, listeners: Vec<(TcpListener, Spoken)>) {
    let mut tasks = tokio::task::JoinSet::new();
    for (listener, protocol) in listeners {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => drop(tasks.spawn(accept(Arc::clone(link), listener, protocol))),
            Err(error) => warn!(%error, "cannot listen"),
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn accept(link: Arc<Link>, listener: tokio::net::TcpListener, protocol: Spoken) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if let Err(error) = admit(&link, stream, remote, protocol) {
                    debug!(%remote, %error, "gone before it was served");
                }
            }
            Err(error) => {
                // Out of descriptors, or the peer is gone: neither is cured by haste.
                debug!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection, or closes it at once.
fn admit(
    link: &Arc<Link>,
    stream: tokio::net::TcpStream,
    remote: SocketAddr,
    protocol: Spoken,
) -> io::Result<()> {
    let counts = &link.gate.counts;
    let local = stream.local_addr()?;
    let access = link.gate.access(remote.ip(), local.ip());
    let is_welcome = match protocol {
        Spoken::Http => access != Access::Nothing,
        Spoken::Tcp => access == Access::All,
    };
    if !is_welcome {
        link.gate.note_stranger(remote);
        return Ok(());
    }
    let Some(place) = Place::take(link) else {
        Counts::add(&counts.connections_refused);
        return Ok(());
    };
    Counts::add(&counts.connections);
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_user_timeout(Some(GONE_TIME))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(2 * GONE_TIME))?;
    let client = Client::new(Carrier::Stream, remote, local);
    let peer = link.join(client, protocol);
    match protocol {
        Spoken::Http => drop(tokio::spawn(http::serve(place, peer, stream, access))),
        Spoken::Tcp => drop(tokio::spawn(tcp::serve(place, peer, stream))),
    }
    Ok(())
}
