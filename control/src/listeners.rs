//! ng over streams: TCP, HTTP and WebSocket, on a thread of their own.
//!
//! ```text
//! connections (─► TLS) ─► tcp.rs, http.rs, websocket.rs ─► Link ─bounded channel, eventfd─► the loop
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
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use control_core::{Carrier, Client};
use hyper::body::Bytes;
use rustc_hash::FxHashMap;
use rustix::event::{EventfdFlags, eventfd};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::error::StartError;
use crate::ng_config::NgConfig;
use crate::ng_gate::{Access, Counts, Gate};
use crate::tls::{TlsError, TlsFiles};

mod http;
mod origin;
mod patience;
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

/// Bytes of all replies that wait for somebody to read them, on all connections together.
const WAITING_BYTES_MAX: usize = 32 * 1_024 * 1_024;

/// Of these, how many may be of long replies: who asks for lists and does not read them leaves room
/// for the answers that calls wait for.
const WAITING_LONG_BYTES_MAX: usize = WAITING_BYTES_MAX / 4 * 3;

/// Of all places, one of so many is for those who may only read numbers: they must not take the
/// place of proxies.
const READERS_SHARE: usize = 4;

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
    /// Where it listens: TCP, then HTTP, then HTTPS.
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
    metrics: tokio::sync::Mutex<Option<(Instant, Bytes)>>,
    /// Connections now, and those among them that may only read numbers.
    open: AtomicUsize,
    open_readers: AtomicUsize,
    connections_max: usize,
    /// Bytes of replies that wait.
    waiting: Arc<AtomicUsize>,
    tls: Option<Tls>,
    idle_timeout: Option<Duration>,
}

/// What TLS is spoken with, as it was read last.
struct Tls {
    files: TlsFiles,
    acceptor: RwLock<TlsAcceptor>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Tls {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let acceptor = RwLock::new(files.read()?.into());
        files.warn_of_readers();
        Ok(Self {
            files: files.clone(),
            acceptor,
        })
    }

    /// Reads certificate and key again, for connections that come from now on.
    fn reload(&self) -> Result<(), TlsError> {
        let acceptor = self.files.read()?.into();
        self.files.warn_of_readers();
        *self
            .acceptor
            .write()
            .unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let acceptor = self.acceptor.read();
        acceptor.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where replies to each connection go, by its two addresses.
type Peers = FxHashMap<(SocketAddr, SocketAddr), Inlet>;

/// Where replies to a connection go.
#[derive(Debug)]
struct Inlet {
    replies: mpsc::Sender<Waiting>,
    spoken: Spoken,
}

/// What waits to be written to a connection, and counts as long as it does.
#[derive(Debug)]
struct Waiting {
    message: Vec<u8>,
    /// It was asked for, or may have been.
    is_reply: bool,
    len: usize,
    all: Arc<AtomicUsize>,
}

impl Waiting {
    /// `None` if too much waits already.
    fn new(message: Vec<u8>, is_reply: bool, all: &Arc<AtomicUsize>) -> Option<Self> {
        let len = message.len();
        let bytes_max = match len {
            0..=REQUEST_BYTES_MAX => WAITING_BYTES_MAX,
            _ => WAITING_LONG_BYTES_MAX,
        };
        // The loop alone adds to it.
        if all.load(Ordering::Relaxed).saturating_add(len) > bytes_max {
            return None;
        }
        all.fetch_add(len, Ordering::Relaxed);
        let all = Arc::clone(all);
        Some(Self {
            message,
            is_reply,
            len,
            all,
        })
    }

    fn bytes(&self) -> &[u8] {
        &self.message
    }

    /// The bytes, which go on counting until this is dropped.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.message)
    }
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.message
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.all.fetch_sub(self.len, Ordering::Relaxed);
    }
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Spoken {
    Http,
    Https,
    Tcp,
}

impl Streams {
    /// Binds all addresses and begins to listen; `None` if there are none.
    pub(crate) fn start(config: &NgConfig, gate: &Arc<Gate>) -> Result<Option<Self>, StartError> {
        let mut listeners = Vec::new();
        for (addresses, protocol, setting) in [
            (&config.listen_tcp, Spoken::Tcp, "listen_tcp"),
            (&config.listen_http, Spoken::Http, "listen_http"),
            (&config.listen_https, Spoken::Https, "listen_https"),
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
        let tls = config.tls.as_ref().map(Tls::read).transpose()?;
        Self::serve(listeners, config, gate, tls)
            .map(Some)
            .map_err(StartError::system("begin to listen"))
    }

    fn serve(
        listeners: Vec<(TcpListener, Spoken)>,
        config: &NgConfig,
        gate: &Arc<Gate>,
        tls: Option<Tls>,
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
            open_readers: AtomicUsize::new(0),
            connections_max: config.connections_max,
            waiting: Arc::default(),
            tls,
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

    /// Reads certificate and key again.
    pub(crate) fn reload(&self) {
        let Some(tls) = &self.link.tls else {
            return info!("told to read the certificate again, but there is none");
        };
        match tls.reload() {
            Ok(()) => info!("certificate and key were read again"),
            Err(error) => warn!(%error, "the certificate that was read before goes on"),
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
        while let Err(due) = self.take(client) {
            sleep_until(due).await;
        }
        self.hand_in(client, message).await;
    }

    /// Takes one message off its sender's rate, or says when to try again.
    fn take(&self, client: Client) -> Result<(), tokio::time::Instant> {
        self.gate.take(client.remote.ip()).map_err(|wait| {
            Counts::add(&self.gate.counts.over_rate);
            tokio::time::Instant::now() + wait
        })
    }

    /// Hands a message of ng to the loop.
    async fn hand_in(&self, client: Client, message: Vec<u8>) {
        self.request(Inbound::Request { client, message }).await;
    }

    /// All numbers, as text. Whoever asks again and again gets the same for a while.
    async fn metrics(&self) -> Option<Bytes> {
        let mut metrics = self.metrics.lock().await;
        if let Some((since, text)) = metrics.as_ref()
            && since.elapsed() < METRICS_AGE
        {
            return Some(text.clone());
        }
        let (sender, text) = oneshot::channel();
        self.request(Inbound::Metrics(sender)).await;
        // However many read it, there is one.
        let text = Bytes::from(timeout(REPLY_TIME, text).await.ok()?.ok()?);
        *metrics = Some((Instant::now(), text.clone()));
        Some(text)
    }

    fn hand_out(&self, client: Client, message: Vec<u8>) -> bool {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = peers.get(&(client.remote, client.local));
        let is_reply = true;
        let reply = Waiting::new(message, is_reply, &self.waiting);
        let peer = peer.zip(reply);
        peer.is_some_and(|(peer, reply)| peer.replies.try_send(reply).is_ok())
    }

    /// Hands a message to all connections over TCP but those that do not read: replies have half of
    /// the room for themselves. Says how many these are.
    fn announce(&self, message: &[u8]) -> usize {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let peers = peers.values().filter(|it| it.spoken == Spoken::Tcp);
        let is_lost = |peer: &&Inlet| {
            let is_reply = false;
            let announcement = Waiting::new(message.to_vec(), is_reply, &self.waiting);
            peer.replies.capacity() <= IN_FLIGHT_MAX
                || announcement.is_none_or(|it| peer.replies.try_send(it).is_err())
        };
        peers.filter(is_lost).count()
    }

    /// Makes a connection known, as long as what is returned lives.
    fn join(self: &Arc<Self>, client: Client, spoken: Spoken) -> Peer {
        let (inlet, replies) = mpsc::channel(REPLIES_MAX);
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let replies_to = Inlet {
            replies: inlet.clone(),
            spoken,
        };
        peers.insert((client.remote, client.local), replies_to);
        Peer {
            link: Arc::clone(self),
            client,
            inlet,
            replies,
        }
    }
}

/// A connection that replies can be handed to.
#[derive(Debug)]
struct Peer {
    link: Arc<Link>,
    client: Client,
    inlet: mpsc::Sender<Waiting>,
    replies: mpsc::Receiver<Waiting>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut peers = self
            .link
            .peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // One that the other end broke off may be found to be over after the next one of the same
        // two addresses has begun.
        let names = (self.client.remote, self.client.local);
        let is_own = |it: &Inlet| it.replies.same_channel(&self.inlet);
        if peers.get(&names).is_some_and(is_own) {
            peers.remove(&names);
        }
    }
}

/// One of the connections that there may be.
#[derive(Debug)]
struct Place {
    link: Arc<Link>,
    is_reader: bool,
}

impl Place {
    fn take(link: &Arc<Link>, access: Access) -> Option<Self> {
        let is_reader = access != Access::All;
        let readers_max = link.connections_max.div_ceil(READERS_SHARE);
        // One thread alone takes places.
        let is_full = link.open.load(Ordering::Relaxed) >= link.connections_max;
        let readers = link.open_readers.load(Ordering::Relaxed);
        if is_full || (is_reader && readers >= readers_max) {
            return None;
        }
        link.open.fetch_add(1, Ordering::Relaxed);
        link.open_readers
            .fetch_add(usize::from(is_reader), Ordering::Relaxed);
        let link = Arc::clone(link);
        Some(Self { link, is_reader })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.link.open.fetch_sub(1, Ordering::Relaxed);
        let readers = usize::from(self.is_reader);
        self.link.open_readers.fetch_sub(readers, Ordering::Relaxed);
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
        Spoken::Http | Spoken::Https => access != Access::Nothing,
        Spoken::Tcp => access == Access::All,
    };
    if !is_welcome {
        link.gate.note_stranger(remote);
        return Ok(());
    }
    let Some(place) = Place::take(link, access) else {
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
        Spoken::Http => drop(tokio::spawn(http::serve(
            place, peer, stream, access, false,
        ))),
        Spoken::Https => drop(tokio::spawn(shake_hands(place, peer, stream, access))),
        Spoken::Tcp => drop(tokio::spawn(tcp::serve(place, peer, stream))),
    }
    Ok(())
}

/// Agrees on TLS with a client, and serves it.
async fn shake_hands(place: Place, peer: Peer, stream: tokio::net::TcpStream, access: Access) {
    let link = Arc::clone(&peer.link);
    let Some(tls) = &link.tls else { return };
    let hands = tls.acceptor().accept(stream);
    match timeout(link.message_time(), hands).await {
        Ok(Ok(stream)) => http::serve(place, peer, stream, access, true).await,
        Ok(Err(error)) => {
            Counts::add(&link.gate.counts.tls_failed);
            debug!(remote = %peer.client.remote, %error, "no TLS could be agreed on");
        }
        Err(_) => Counts::add(&link.gate.counts.idle),
    }
}
