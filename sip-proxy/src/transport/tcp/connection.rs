//! The task of one connection: opens it if need be, cuts messages off, writes what is queued.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sip_proxy_core::{ConnectionId, Destination, ListenerId};
use sip_proxy_message::{Frame, FrameError, Framer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::Limits;

/// How long a connection may take to open. Shorter than timer B, so that another address can be
/// tried.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// How long the peer may take nothing of what is sent to it.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// When the system asks a silent peer whether it is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Bytes read at once.
const READ_LEN: usize = 16 * 1024;

/// The answer to a ping (RFC 5626 §3.5.1).
const PONG: &[u8] = b"\r\n";

/// What a task tells the driver.
#[derive(Debug)]
pub(crate) enum Event {
    /// It is over. The last event of a connection.
    Closed(Closed),
    /// A message came.
    Message {
        /// By which connection.
        id: ConnectionId,
        /// Our end.
        listener: ListenerId,
        /// The other end.
        peer: SocketAddr,
        /// The message.
        bytes: Vec<u8>,
    },
}

/// The end of a connection.
#[derive(Debug)]
pub(crate) struct Closed {
    pub id: ConnectionId,
    /// Whom messages were for that were not written.
    pub unsent: Vec<Destination>,
}

/// A message to write.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub destination: Destination,
    pub bytes: Vec<u8>,
}

/// How a connection begins.
#[derive(Debug)]
pub(super) enum Origin {
    /// The peer opened it.
    Accepted(TcpStream),
    /// We open it, from this address.
    Connecting(IpAddr),
}

/// Everything that the task of a connection needs.
#[derive(Debug)]
pub(super) struct Task {
    pub id: ConnectionId,
    pub listener: ListenerId,
    pub peer: SocketAddr,
    pub limits: Limits,
    pub events: mpsc::Sender<Event>,
    pub outgoing: mpsc::Receiver<Outgoing>,
    pub queued_bytes: Arc<AtomicUsize>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed by the peer")]
    Eof,
    #[error("silent for too long")]
    Idle,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a message was not finished in time")]
    Slow,
    #[error("the proxy stops, or has no more use for it")]
    Stopped,
    #[error("{0}")]
    Stream(#[from] FrameError),
    #[error("the peer does not take what is sent")]
    Unwritable,
}

impl Task {
    pub(super) async fn run(mut self, origin: Origin) {
        let mut unsent = Vec::new();
        let end = match open(origin, self.peer).await {
            Ok(mut stream) => self.serve(&mut stream, &mut unsent).await,
            Err(error) => End::Io(error),
        };
        tracing::debug!(peer = %self.peer, %end, "connection closed");
        self.outgoing.close();
        while let Ok(outgoing) = self.outgoing.try_recv() {
            unsent.push(outgoing.destination);
        }
        let closed = Closed {
            id: self.id,
            unsent,
        };
        // The driver is gone only when the proxy stops.
        let _ = self.events.send(Event::Closed(closed)).await;
    }

    async fn serve(&mut self, stream: &mut TcpStream, unsent: &mut Vec<Destination>) -> End {
        let (read_half, write_half) = stream.split();
        // One is enough: pings that come faster than they are answered need no answer each.
        let (ping, pings) = mpsc::channel(1);
        let reader = Reader {
            id: self.id,
            listener: self.listener,
            peer: self.peer,
            limits: self.limits,
            events: &self.events,
            ping,
        };
        let writer = Writer {
            outgoing: &mut self.outgoing,
            pings,
            queued_bytes: &self.queued_bytes,
            unsent,
        };
        let result = tokio::select! {
            result = reader.run(read_half) => result,
            result = writer.run(write_half) => result,
        };
        match result {
            Err(end) => end,
        }
    }
}

async fn open(origin: Origin, peer: SocketAddr) -> io::Result<TcpStream> {
    let stream = match origin {
        Origin::Accepted(stream) => stream,
        Origin::Connecting(local) => timeout(CONNECT_DEADLINE, connect(local, peer)).await??,
    };
    // SIP messages are written whole; waiting for more would only delay them.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

async fn connect(local: IpAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = match peer {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.bind(SocketAddr::new(local, 0))?;
    socket.connect(peer).await
}

struct Reader<'a> {
    id: ConnectionId,
    listener: ListenerId,
    peer: SocketAddr,
    limits: Limits,
    events: &'a mpsc::Sender<Event>,
    ping: mpsc::Sender<()>,
}

impl Reader<'_> {
    async fn run(self, mut half: ReadHalf<'_>) -> Result<Infallible, End> {
        let mut framer = Framer::new();
        let mut buffer = vec![0; READ_LEN];
        // Until the first message the peer is nobody, and gets little time.
        let mut deadline = Instant::now() + self.limits.message_deadline;
        let mut is_known = false;
        loop {
            let is_idle = is_known && framer.pending_len() == 0;
            let read = timeout_at(deadline, half.read(&mut buffer)).await;
            let late = if is_idle { End::Idle } else { End::Slow };
            let len = read.map_err(|_elapsed| late)??;
            if len == 0 {
                return Err(End::Eof);
            }
            // A phone with Nagle's algorithm holds its 200 back until its 180 is acknowledged. If the
            // system will not hurry, nothing is lost but that time.
            let _ = SockRef::from(half.as_ref()).set_tcp_quickack(true);
            framer.push(&buffer[..len])?;
            let found = self.forward(&mut framer).await?;
            is_known |= found;
            if is_known && framer.pending_len() == 0 {
                deadline = Instant::now() + self.limits.idle_timeout;
            } else if found || is_idle {
                // A message has begun; what it was begun with does not prolong it.
                deadline = Instant::now() + self.limits.message_deadline;
            }
        }
    }

    /// Passes on what is complete. Whether there was a message.
    async fn forward(&self, framer: &mut Framer) -> Result<bool, End> {
        let mut found = false;
        while let Some(frame) = framer.poll_frame()? {
            let bytes = match frame {
                Frame::Message(bytes) => bytes.to_vec(),
                Frame::Ping => {
                    let _ = self.ping.try_send(());
                    continue;
                }
                Frame::Pong => continue,
            };
            found = true;
            let event = Event::Message {
                id: self.id,
                listener: self.listener,
                peer: self.peer,
                bytes,
            };
            let sent = self.events.send(event).await;
            sent.map_err(|_gone| End::Stopped)?;
        }
        Ok(found)
    }
}

struct Writer<'a> {
    outgoing: &'a mut mpsc::Receiver<Outgoing>,
    pings: mpsc::Receiver<()>,
    queued_bytes: &'a AtomicUsize,
    unsent: &'a mut Vec<Destination>,
}

impl Writer<'_> {
    async fn run(mut self, mut half: WriteHalf<'_>) -> Result<Infallible, End> {
        loop {
            tokio::select! {
                outgoing = self.outgoing.recv() => {
                    let outgoing = outgoing.ok_or(End::Stopped)?;
                    self.write(&mut half, outgoing).await?;
                }
                Some(()) = self.pings.recv() => write_all(&mut half, PONG).await?,
            }
        }
    }

    async fn write(&mut self, half: &mut WriteHalf<'_>, outgoing: Outgoing) -> Result<(), End> {
        // Not sent until it is: this future may be dropped in the middle.
        self.unsent.push(outgoing.destination);
        write_all(half, &outgoing.bytes).await?;
        self.unsent.clear();
        self.queued_bytes
            .fetch_sub(outgoing.bytes.len(), Ordering::Relaxed);
        Ok(())
    }
}

async fn write_all(half: &mut WriteHalf<'_>, mut bytes: &[u8]) -> Result<(), End> {
    while !bytes.is_empty() {
        let written = timeout(WRITE_DEADLINE, half.write(bytes)).await;
        let len = written.map_err(|_elapsed| End::Unwritable)??;
        if len == 0 {
            return Err(End::Eof);
        }
        bytes = &bytes[len..];
    }
    Ok(())
}
