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
//! It waits in poll(2) for datagrams, and for an alarm that the runtime's tasks ring: TCP, DNS and
//! the admin socket are futures on a thread of their own, which are looked at only when one of
//! them has rung. Waking up costs as much as a message, so there is no more of it than messages
//! need, and timers that are due within [`TIMER_GRAIN`] are one.
//!
//! One thread decides, and nothing in it waits for anything else: order within a call is kept by
//! construction. A turn takes a bounded number of messages from each source, so that no source
//! starves another.

mod output;
mod report;
mod wait;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use sip_proxy_core::{
    Account, ConnectionId, Destination, Listener, ListenerId, MediaError, Now, Proxy, Source, Token,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::admin::Question;
use crate::clock;
use crate::listen::{Bound, BoundSocket};
use crate::media::{MediaClient, MediaEvent};
use crate::resolve::{Resolved, Resolver};
use crate::store::StoreWriter;
use crate::transport::tcp::{Connections, Event};
use crate::transport::udp::{Read, UdpListener};
pub(crate) use wait::Reads;
use wait::{Alarm, Ready};

/// Bytes of the longest datagram.
const DATAGRAM_LEN_MAX: usize = 65_535;

/// Things taken from one queue in a turn.
const BATCH_MAX: usize = 64;

/// How long the stop may wait for control.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// Pause after the system refused something that it never refuses, usually because there are no
/// descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a message's first line that are logged.
const LINE_LEN_MAX: usize = 200;

/// How late timers may be. Each transaction has some that are to find that all went well.
const TIMER_GRAIN: Duration = Duration::from_millis(10);

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
    /// What outputs led to at once, for later: keeps the core from being called while it is being
    /// drained.
    echoes: Vec<Echo>,
    accept_after: Option<Instant>,
    alarm: Arc<Alarm>,
    /// Timers are not looked at before.
    timers_after: Instant,
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
    socket: UdpSocket,
    reads: Reads,
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
    /// Puts the parts together. Must be called within a runtime that has a thread of its own.
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
                BoundSocket::Udp(socket) => Ok(Socket::Udp(UdpListener::new(socket))),
            })
            .collect();
        let now = Instant::now();
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
            alarm: Arc::new(Alarm::new()?),
            timers_after: now,
            buffer: vec![0; DATAGRAM_LEN_MAX],
            started: now,
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
        self.media = Some(MediaLink {
            client,
            socket,
            reads: Reads::default(),
        });
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
    pub(crate) fn run(mut self, stop: impl Future<Output = ()>) -> StoreWriter {
        self.drain(clock::now());
        self.serve_until(stop, |_| true);
        let deadline = tokio::time::sleep(STOP_GRACE);
        self.serve_until(deadline, Self::awaits_media);
        self.store
    }

    /// Takes turns until `stop` is ready or `goes_on` says no.
    fn serve_until(&mut self, stop: impl Future<Output = ()>, goes_on: fn(&Self) -> bool) {
        let waker = Waker::from(Arc::clone(&self.alarm));
        let mut context = Context::from_waker(&waker);
        let mut stop = std::pin::pin!(stop);
        // Each task learns whom to wake when it is asked.
        self.alarm.ring();
        let mut ready = Ready::default();
        let mut now = clock::now();
        while goes_on(self) {
            self.wait(now.instant, &mut ready);
            if ready.alarm && stop.as_mut().poll(&mut context).is_ready() {
                return;
            }
            now = clock::now();
            self.turn(&mut context, now, &ready);
        }
    }

    fn awaits_media(&self) -> bool {
        let media = self.media.as_ref();
        media.is_some_and(|link| link.client.pending_len() > 0)
    }

    fn turn(&mut self, context: &mut Context<'_>, now: Now, ready: &Ready) {
        self.serve_udp(now, &ready.sockets);
        if ready.alarm && self.poll_tasks(context, now) {
            // There may be more.
            self.alarm.ring();
        }
        self.serve_echoes(now);
        if let Some(link) = &mut self.media
            && ready.media
        {
            link.read(&mut self.buffer);
        }
        self.serve_media(now);
        if self.is_due(now.instant) {
            self.serve_timers(now);
        }
    }

    fn serve_udp(&mut self, now: Now, ready: &[bool]) {
        let mut ready = ready.iter();
        for index in 0..self.sockets.len() {
            if let Socket::Udp(_) = &self.sockets[index]
                && ready.next() == Some(&true)
            {
                self.serve_listener(now, index);
            }
        }
    }

    fn serve_listener(&mut self, now: Now, index: usize) {
        let mut read = 0;
        loop {
            let Socket::Udp(listener) = &mut self.sockets[index] else {
                return;
            };
            if read == 0 {
                while let Some(destination) = listener.flush() {
                    self.echoes.push(Echo::NotSent(destination));
                }
            }
            if read == listener.reads.most() {
                return listener.reads.note(read);
            }
            match listener.read(&mut self.buffer) {
                Read::Empty => return listener.reads.note(read),
                Read::Message(len, address) => {
                    let source = Source {
                        listener: id(index),
                        address,
                        connection: None,
                    };
                    trace_message("received", address, &self.buffer[..len]);
                    self.proxy.handle_message(now, source, &self.buffer[..len]);
                    self.drain(now);
                }
                Read::Nothing => {}
            }
            read += 1;
        }
    }

    /// What tasks of the runtime have; whether there may be more.
    fn poll_tasks(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        let mut has_more = self.poll_listeners(context, now);
        has_more |= self.poll_tcp(context, now);
        has_more |= self.poll_resolved(context, now);
        self.poll_operator(context, now);
        has_more
    }

    fn poll_listeners(&mut self, context: &mut Context<'_>, now: Now) -> bool {
        let mut has_more = false;
        for index in 0..self.sockets.len() {
            has_more |= self.poll_accept(context, now, index);
        }
        has_more
    }

    fn poll_accept(&mut self, context: &mut Context<'_>, now: Now, index: usize) -> bool {
        let Socket::Tcp(listener) = &self.sockets[index] else {
            return false;
        };
        if self.accept_after.is_some_and(|after| now.instant < after) {
            return false;
        }
        self.accept_after = None;
        for _ in 0..BATCH_MAX {
            match listener.poll_accept(context) {
                Poll::Pending => return false,
                Poll::Ready(Ok((stream, peer))) => {
                    self.connections.accept(id(index), stream, peer);
                }
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, "cannot accept connections now");
                    self.accept_after = Some(now.instant + PAUSE);
                    return false;
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
                    // The peer took nothing, so that it was cut off: it is not to be called back.
                    if !self.connections.has(id) {
                        self.connections.counters.unheard += 1;
                        continue;
                    }
                    self.connections.counters.received += 1;
                    let source = Source {
                        listener,
                        address: peer,
                        connection: Some(id),
                    };
                    trace_message("received", peer, &bytes);
                    self.proxy.handle_message(now, source, &bytes);
                    self.drain(now);
                }
            }
        }
        true
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
    fn poll_operator(&mut self, context: &mut Context<'_>, now: Now) {
        while let Poll::Ready(Some(accounts)) = self.inputs.accounts.poll_recv(context) {
            tracing::info!(accounts = accounts.len(), "accounts changed");
            self.set_accounts(accounts);
            self.drain(now);
        }
        while let Poll::Ready(Some(question)) = self.inputs.questions.poll_recv(context) {
            let answer = self.report(&question.request);
            // Whoever asked may have gone.
            let _ = question.reply.send(answer);
        }
    }

    /// What came of outputs so far; what comes of this is for the next turn.
    fn serve_echoes(&mut self, now: Now) {
        for echo in std::mem::take(&mut self.echoes) {
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
    }

    /// What the ng client has to tell.
    fn serve_media(&mut self, now: Now) {
        while let Some(link) = &mut self.media
            && let Some(event) = link.client.poll_event()
        {
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
    }

    fn serve_timers(&mut self, now: Now) {
        self.proxy.handle_timeout(now);
        if let Some(link) = &mut self.media {
            link.client.handle_timeout(now.instant);
        }
        self.drain(now);
        self.serve_media(now);
        if self.accept_after.is_some_and(|after| after <= now.instant) {
            self.alarm.ring();
        }
    }
}

fn id(index: usize) -> ListenerId {
    ListenerId(u16::try_from(index).unwrap_or(u16::MAX))
}

impl MediaLink {
    /// Reads what there is, within bounds.
    fn read(&mut self, buffer: &mut [u8]) {
        let mut read = 0;
        while read < self.reads.most() {
            match self.socket.recv(buffer) {
                Ok(len) => self.client.handle_datagram(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody listens there at the moment. Requests are sent again until their
                // deadline, since control may be starting.
                Err(_) => {}
            }
            read += 1;
        }
        self.reads.note(read);
    }

    /// Sends what there is. A datagram that cannot be sent is as good as lost on the way.
    fn write(&mut self) {
        while let Some(datagram) = self.client.poll_datagram() {
            let _ = self.socket.send(&datagram);
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
