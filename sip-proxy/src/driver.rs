//! The loop around the core: what comes in goes to the core, what the core asks for is done.
//!
//! ```text
//! UDP ─┐                                  ┌─► UDP, TCP
//! TCP ─┤                                  ├─► control (ng)
//! ng ──┼─► turn ─► Proxy ─► poll_output ──┼─► resolver
//! DNS ─┤     one thread, one clock read   ├─► store (a thread of its own)
//! timers, accounts, admin                 └─► admin
//! ```
//!
//! Waking up costs as much as a message, so there is no more of it than messages need: sockets
//! are watched for what can be read only, and timers that are due within [`TIMER_GRAIN`] are one.
//!
//! One thread, and nothing in it waits: order within a call is kept by construction. A turn takes
//! a bounded number of messages from each source, so that no source starves another.

mod output;
mod report;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use sip_proxy_core::{
    Account, ConnectionId, Destination, Listener, ListenerId, MediaError, Now, Proxy, Source, Token,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::admin::Question;
use crate::clock;
use crate::listen::{Bound, BoundSocket};
use crate::media::{MediaClient, MediaEvent};
use crate::resolve::{Resolved, Resolver};
use crate::store::StoreWriter;
use crate::transport::tcp::{Connections, Event};
use crate::transport::udp::{READ_BATCH_MAX, Read, UdpListener, watched};

/// Bytes of the longest datagram.
const DATAGRAM_LEN_MAX: usize = 65_535;

/// Rounds of one turn: after these, other tasks get their chance.
const ROUNDS_MAX: usize = 8;

/// Things taken from one queue in a round.
const BATCH_MAX: usize = 64;

/// How long the stop may wait for control.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// Pause after an accept failed, usually because there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a message's first line that are logged.
const LINE_LEN_MAX: usize = 200;

/// How late timers may be. Each transaction has some that are to find that all went well.
const TIMER_GRAIN: Duration = Duration::from_millis(10);

/// The timer, when nothing is due.
const FOREVER: Duration = Duration::from_secs(86_400);

/// Everything that the loop needs.
#[derive(Debug)]
pub(crate) struct Driver {
    proxy: Proxy,
    listeners: Vec<Listener>,
    sockets: Vec<Socket>,
    connections: Connections,
    media: Option<MediaLink>,
    resolver: Resolver,
    store: StoreWriter,
    inputs: Inputs,
    /// What outputs led to at once, for the next round: keeps the core from being called while
    /// it is being drained.
    echoes: Vec<Echo>,
    accept_after: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
    buffer: Vec<u8>,
    started: Instant,
    accounts: usize,
}

/// Queues that others fill.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub tcp: mpsc::Receiver<Event>,
    pub resolved: mpsc::Receiver<Resolved>,
    pub accounts: mpsc::Receiver<Vec<Account>>,
    pub questions: mpsc::Receiver<Question>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Udp(UdpListener),
}

/// The ng client and its socket, connected to control.
#[derive(Debug)]
struct MediaLink {
    client: MediaClient,
    socket: AsyncFd<UdpSocket>,
}

/// Something that is already known when the core asks for it.
#[derive(Debug)]
enum Echo {
    ConnectionClosed(ConnectionId),
    NoMedia(Token),
    NotResolved(Token),
    NotSent(Destination),
}

impl Driver {
    /// Puts the parts together. Must be called within the runtime.
    pub(crate) fn new(
        proxy: Proxy,
        bound: Vec<Bound>,
        connections: Connections,
        resolver: Resolver,
        store: StoreWriter,
        inputs: Inputs,
    ) -> io::Result<Self> {
        let listeners = bound.iter().map(|bound| bound.listener.clone()).collect();
        let sockets: io::Result<Vec<Socket>> = bound
            .into_iter()
            .map(|bound| match bound.socket {
                BoundSocket::Tcp(socket) => TcpListener::from_std(socket).map(Socket::Tcp),
                BoundSocket::Udp(socket) => UdpListener::new(socket).map(Socket::Udp),
            })
            .collect();
        Ok(Self {
            proxy,
            listeners,
            sockets: sockets?,
            connections,
            media: None,
            resolver,
            store,
            inputs,
            echoes: Vec::new(),
            accept_after: None,
            sleep: Box::pin(tokio::time::sleep(FOREVER)),
            buffer: vec![0; DATAGRAM_LEN_MAX],
            started: Instant::now(),
            accounts: 0,
        })
    }

    /// Lets media go through the relay that `control` directs.
    pub(crate) fn link_media(
        &mut self,
        control: SocketAddr,
        client: MediaClient,
    ) -> io::Result<()> {
        let any: IpAddr = match control {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        // Connected: nobody else's datagrams arrive.
        socket.connect(control)?;
        socket.set_nonblocking(true)?;
        let socket = watched(socket, Interest::READABLE)?;
        self.media = Some(MediaLink { client, socket });
        Ok(())
    }

    /// Replaces all accounts.
    pub(crate) fn set_accounts(&mut self, accounts: Vec<Account>) {
        self.accounts = accounts.len();
        self.proxy.handle_accounts(accounts);
    }

    /// The core, to fill it before the loop begins.
    pub(crate) const fn proxy_mut(&mut self) -> &mut Proxy {
        &mut self.proxy
    }

    /// Serves until `stop` is ready, and then for as long as calls that just ended wait for their
    /// counts, within bounds. Returns what is left to be written.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) -> StoreWriter {
        self.drain(clock::now());
        self.serve_until(stop, |_| true).await;
        let deadline = tokio::time::sleep(STOP_GRACE);
        self.serve_until(deadline, Self::awaits_media).await;
        self.store
    }

    /// Takes turns until `stop` is ready or `goes_on` says no.
    async fn serve_until(&mut self, stop: impl Future<Output = ()>, goes_on: fn(&Self) -> bool) {
        let mut stop = std::pin::pin!(stop);
        while goes_on(self) {
            let turn = poll_fn(|context| {
                if stop.as_mut().poll(context).is_ready() {
                    return Poll::Ready(true);
                }
                self.poll_turn(context).map(|()| false)
            });
            if turn.await {
                return;
            }
            // More may be waiting, but connections must be served, too.
            tokio::task::yield_now().await;
        }
    }

    fn awaits_media(&self) -> bool {
        let media = self.media.as_ref();
        media.is_some_and(|link| link.client.pending_len() > 0)
    }

    /// One turn: rounds until nothing is left to do. `Ready` if there may be more.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = clock::now();
        for _ in 0..ROUNDS_MAX {
            let mut is_busy = self.poll_sockets(context, now);
            is_busy |= self.poll_tcp(context, now);
            is_busy |= self.poll_resolved(context, now);
            is_busy |= self.poll_operator(context, now);
            is_busy |= self.poll_echoes(now);
            is_busy |= self.poll_media(context, now);
            is_busy |= self.poll_timer(context, now);
            is_busy |= self.must_wait_for_room();
            if !is_busy {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Whether messages began to wait for room in a socket in this round.
    fn must_wait_for_room(&self) -> bool {
        self.sockets
            .iter()
            .any(|socket| matches!(socket, Socket::Udp(udp) if udp.must_wait_for_room()))
    }

    fn poll_sockets(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        let mut is_busy = false;
        for index in 0..self.sockets.len() {
            let id = ListenerId(u16::try_from(index).unwrap_or(u16::MAX));
            is_busy |= match &self.sockets[index] {
                Socket::Tcp(_) => self.poll_accept(context, now, index, id),
                Socket::Udp(_) => self.poll_udp(context, now, index, id),
            };
        }
        is_busy
    }

    fn poll_udp(
        &mut self,
        context: &mut Context<'_>,
        now: Now,
        index: usize,
        id: ListenerId,
    ) -> bool {
        let Socket::Udp(listener) = &mut self.sockets[index] else {
            return false;
        };
        while let Some(destination) = listener.poll_flush(context) {
            self.echoes.push(Echo::NotSent(destination));
        }
        for _ in 0..READ_BATCH_MAX {
            let Socket::Udp(listener) = &mut self.sockets[index] else {
                return false;
            };
            match listener.poll_read(context, &mut self.buffer) {
                // Whoever sends next wakes the loop.
                Poll::Pending => return false,
                Poll::Ready(Read::Message(len, address)) => {
                    let source = Source {
                        listener: id,
                        address,
                        connection: None,
                    };
                    trace_message("received", address, &self.buffer[..len]);
                    self.proxy.handle_message(now, source, &self.buffer[..len]);
                    self.drain(now);
                }
                Poll::Ready(Read::Nothing) => {}
            }
        }
        true
    }

    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
        now: Now,
        index: usize,
        id: ListenerId,
    ) -> bool {
        let Socket::Tcp(listener) = &self.sockets[index] else {
            return false;
        };
        if self.accept_after.is_some_and(|after| now.instant < after) {
            return false;
        }
        self.accept_after = None;
        for taken in 0..BATCH_MAX {
            match listener.poll_accept(context) {
                Poll::Pending => return taken > 0,
                Poll::Ready(Ok((stream, peer))) => self.connections.accept(id, stream, peer),
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, "cannot accept connections now");
                    self.accept_after = Some(now.instant + ACCEPT_PAUSE);
                    return true;
                }
            }
        }
        true
    }

    fn poll_tcp(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        for _ in 0..BATCH_MAX {
            let Poll::Ready(Some(event)) = self.inputs.tcp.poll_recv(context) else {
                return false;
            };
            match event {
                Event::Closed(closed) => {
                    if self.connections.remove(closed.id) {
                        self.echoes.push(Echo::ConnectionClosed(closed.id));
                    }
                    let unsent = closed.unsent.into_iter().map(Echo::NotSent);
                    self.echoes.extend(unsent);
                }
                Event::Message {
                    id,
                    listener,
                    peer,
                    bytes,
                } => {
                    self.connections.counters.received += 1;
                    let source = Source {
                        listener,
                        address: peer,
                        connection: self.connections.has(id).then_some(id),
                    };
                    trace_message("received", peer, &bytes);
                    self.proxy.handle_message(now, source, &bytes);
                    self.drain(now);
                }
            }
        }
        true
    }

    fn poll_media(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        let Some(link) = &mut self.media else {
            return false;
        };
        let mut is_busy = link.poll_read(context, &mut self.buffer);
        let is_due = |due: Instant| due <= now.instant;
        if link.client.poll_timeout().is_some_and(is_due) {
            link.client.handle_timeout(now.instant);
        }
        link.write();
        while let Some(event) = self
            .media
            .as_mut()
            .and_then(|link| link.client.poll_event())
        {
            is_busy = true;
            match event {
                MediaEvent::Reply(token, reply) => {
                    if let Err(error) = &reply {
                        tracing::warn!(%error, "control did not do what a call needs");
                    }
                    self.proxy.handle_media_reply(now, token, reply);
                }
                MediaEvent::Timeout { call_id } => {
                    tracing::info!(call_id, "no media any more: the call is ended");
                    self.proxy.handle_media_timeout(now, &call_id);
                }
            }
            self.drain(now);
        }
        is_busy
    }

    fn poll_resolved(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        for _ in 0..BATCH_MAX {
            let Poll::Ready(Some(answer)) = self.inputs.resolved.poll_recv(context) else {
                return false;
            };
            self.proxy
                .handle_resolved(now, answer.token, &answer.addresses);
            self.drain(now);
        }
        true
    }

    /// What the operator does: changes accounts, asks questions.
    fn poll_operator(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        let mut is_busy = false;
        while let Poll::Ready(Some(accounts)) = self.inputs.accounts.poll_recv(context) {
            tracing::info!(accounts = accounts.len(), "accounts changed");
            self.set_accounts(accounts);
            self.drain(now);
            is_busy = true;
        }
        while let Poll::Ready(Some(question)) = self.inputs.questions.poll_recv(context) {
            let answer = self.report(&question.request);
            // Whoever asked may have gone.
            let _ = question.reply.send(answer);
            is_busy = true;
        }
        is_busy
    }

    fn poll_echoes(&mut self, now: Now) -> bool {
        let echoes = std::mem::take(&mut self.echoes);
        let is_busy = !echoes.is_empty();
        for echo in echoes {
            match echo {
                Echo::ConnectionClosed(id) => self.proxy.handle_connection_closed(now, id),
                Echo::NoMedia(token) => {
                    let refusal = MediaError::Refused("no relay is set".to_owned());
                    self.proxy.handle_media_reply(now, token, Err(refusal));
                }
                Echo::NotResolved(token) => self.proxy.handle_resolved(now, token, &[]),
                Echo::NotSent(destination) => self.proxy.handle_transport_error(now, destination),
            }
            self.drain(now);
        }
        is_busy
    }

    fn poll_timer(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        if self
            .proxy
            .poll_timeout()
            .is_some_and(|due| due <= now.instant)
        {
            self.proxy.handle_timeout(now);
            self.drain(now);
            return true;
        }
        let media = self
            .media
            .as_ref()
            .and_then(|link| link.client.poll_timeout());
        let due = [self.proxy.poll_timeout(), media, self.accept_after];
        let due = due.into_iter().flatten().min();
        let due = due.map_or_else(|| now.instant + FOREVER, |due| self.grain_after(due));
        if self.sleep.deadline().into_std() != due {
            self.sleep.as_mut().reset(due.into());
        }
        self.sleep.as_mut().poll(context).is_ready()
    }

    /// When timers that are due at `due` are looked at: of all moments that are a whole number of
    /// grains after the start, the next.
    fn grain_after(&self, due: Instant) -> Instant {
        let grain_us = TIMER_GRAIN.as_micros();
        let grains = due.duration_since(self.started).as_micros() / grain_us + 1;
        let after_us = u64::try_from(grains * grain_us).unwrap_or(u64::MAX);
        self.started + Duration::from_micros(after_us)
    }
}

impl MediaLink {
    /// Reads what there is; whether there may be more.
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> bool {
        for _ in 0..BATCH_MAX {
            let Poll::Ready(Ok(mut guard)) = self.socket.poll_read_ready(context) else {
                return false;
            };
            match guard.try_io(|socket| socket.get_ref().recv(buffer)) {
                Ok(Ok(len)) => self.client.handle_datagram(&buffer[..len]),
                // Nobody listens there at the moment. Requests are sent again until their
                // deadline, since control may be starting.
                Ok(Err(_)) => {}
                // Asked again, the runtime says when there is more.
                Err(_would_block) => {}
            }
        }
        true
    }

    /// Sends what there is. A datagram that cannot be sent is as good as lost on the way.
    fn write(&mut self) {
        while let Some(datagram) = self.client.poll_datagram() {
            let _ = self.socket.get_ref().send(&datagram);
        }
    }
}

/// The first line of a message, for those who look for a fault. The rest may hold secrets.
fn trace_message(what: &'static str, peer: SocketAddr, bytes: &[u8]) {
    if tracing::enabled!(tracing::Level::TRACE) {
        let line = bytes.split(|byte| b"\r\n".contains(byte)).next();
        let line = line.unwrap_or_default();
        let line = String::from_utf8_lossy(&line[..line.len().min(LINE_LEN_MAX)]);
        tracing::trace!(%peer, len = bytes.len(), %line, "{what}");
    }
}
