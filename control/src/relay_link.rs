//! The connection to the relay: made, kept, and made again when it breaks.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use relay_wire::{
    Event, FromRelay, Hello, MESSAGE_BYTES_MAX, PROTOCOL_VERSION, Reply, Request, ToRelay, decode,
    encode,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with, sockopt,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep, sleep};
use tracing::{error, info, warn};

/// How soon a broken connection is made again; the wait doubles with each failure.
const RETRY_MIN: Duration = Duration::from_millis(50);

/// How long it waits at most: a relay that is back should not be kept waiting.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long the relay may take to answer the greeting.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// What the relay said, or that it is gone.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// Something happened.
    Event(Event),
    /// It is there.
    Hello(Hello),
    /// It is gone.
    Lost,
    /// It answered.
    Reply(Reply),
}

/// The connection, or the attempt at it.
#[derive(Debug)]
pub(crate) struct RelayLink {
    path: PathBuf,
    connection: Option<Connection>,
    /// When there is no connection: the next attempt. When the greeting is not answered yet: the
    /// end of patience.
    timer: Pin<Box<Sleep>>,
    retry: Duration,
    /// It was said already what is wrong; said again only after it was right.
    has_complained: bool,
}

#[derive(Debug)]
struct Connection {
    /// Not a stream but `SOCK_SEQPACKET`: only its readiness is used, never its `read`.
    socket: UnixStream,
    is_greeted: bool,
    /// Messages that the relay has no room for yet.
    outgoing: VecDeque<Vec<u8>>,
    incoming: Vec<u8>,
}

impl RelayLink {
    /// A link that will be made when it is first polled.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            connection: None,
            timer: Box::pin(sleep(Duration::ZERO)),
            retry: RETRY_MIN,
            has_complained: false,
        }
    }

    /// Sends a request. Without a connection it is lost, and so is its answer.
    pub(crate) fn send(&mut self, request: Request) {
        if let Some(connection) = &mut self.connection {
            connection.send(&ToRelay::Request(request));
        }
    }

    /// Waits for what the relay says, connecting as often as need be.
    pub(crate) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<LinkEvent> {
        loop {
            let Some(connection) = &mut self.connection else {
                ready!(self.timer.as_mut().poll(context));
                self.connect();
                continue;
            };
            let is_greeted = connection.is_greeted;
            if !is_greeted && self.timer.as_mut().poll(context).is_ready() {
                if self.may_complain() {
                    warn!("the relay does not answer the greeting; trying again");
                }
                self.disconnect();
                continue;
            }
            let message = match connection.poll_message(context) {
                Poll::Ready(message) => message,
                Poll::Pending => return Poll::Pending,
            };
            if let Some(event) = self.handle_message(message) {
                return Poll::Ready(event);
            }
        }
    }

    fn connect(&mut self) {
        let connection = Connection::open(&self.path);
        match connection {
            Ok(connection) => {
                self.connection = Some(connection);
                self.wait(HELLO_TIMEOUT);
            }
            Err(error) => {
                if self.may_complain() {
                    let path = self.path.display();
                    warn!(%path, %error, "the relay is not there yet; waiting for it");
                }
                self.disconnect();
            }
        }
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.wait(self.retry);
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    fn wait(&mut self, duration: Duration) {
        self.timer.as_mut().reset(Instant::now() + duration);
    }

    /// What a message means; `None` if it is nothing to the core.
    fn handle_message(&mut self, message: io::Result<FromRelay>) -> Option<LinkEvent> {
        let connection = self.connection.as_mut()?;
        match message {
            Ok(FromRelay::Hello(hello))
                if !connection.is_greeted && hello.version == PROTOCOL_VERSION =>
            {
                connection.is_greeted = true;
                self.has_complained = false;
                self.retry = RETRY_MIN;
                let instance = hello.instance;
                info!(
                    instance,
                    workers = hello.partition.workers(),
                    "connected to the relay"
                );
                Some(LinkEvent::Hello(hello))
            }
            Ok(FromRelay::Reply(reply)) if connection.is_greeted => Some(LinkEvent::Reply(reply)),
            Ok(FromRelay::Event { event, .. }) if connection.is_greeted => {
                Some(LinkEvent::Event(event))
            }
            Ok(FromRelay::VersionMismatch { version }) => {
                if self.may_complain() {
                    error!(
                        relay = version,
                        control = PROTOCOL_VERSION,
                        "the relay speaks another version; run both of the same release"
                    );
                }
                self.retry = RETRY_MAX;
                self.lost()
            }
            Ok(_) => {
                if self.may_complain() {
                    error!("the relay said what it must not say now");
                }
                self.lost()
            }
            Err(error) => {
                if connection.is_greeted && self.may_complain() {
                    warn!(%error, "the connection to the relay broke; trying again");
                }
                self.lost()
            }
        }
    }

    /// Whether to say what is wrong: once, however often it is tried.
    fn may_complain(&mut self) -> bool {
        !std::mem::replace(&mut self.has_complained, true)
    }

    fn lost(&mut self) -> Option<LinkEvent> {
        let was_greeted = self.connection.as_ref().is_some_and(|it| it.is_greeted);
        self.disconnect();
        was_greeted.then_some(LinkEvent::Lost)
    }
}

impl Connection {
    /// Connects and greets.
    fn open(path: &Path) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        // Room for more than the longest message; what Linux gives by default is enough.
        let _ = sockopt::set_socket_send_buffer_size(&socket, 4 * MESSAGE_BYTES_MAX);
        let mut connection = Self {
            socket: UnixStream::from_std(StdUnixStream::from(socket))?,
            is_greeted: false,
            outgoing: VecDeque::new(),
            incoming: vec![0; MESSAGE_BYTES_MAX + 1],
        };
        let version = PROTOCOL_VERSION;
        connection.send(&ToRelay::Hello { version });
        Ok(connection)
    }

    fn send(&mut self, message: &ToRelay) {
        let mut bytes = Vec::new();
        encode(message, &mut bytes);
        self.outgoing.push_back(bytes);
        // What does not go now goes when there is room; an error shows when reading.
        let _ = self.flush();
    }

    /// Sends what there is room for.
    fn flush(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.outgoing.front() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let sent = self
                .socket
                .try_io(Interest::WRITABLE, || Ok(send(&self.socket, bytes, flags)?));
            match sent {
                // A message goes whole or not at all.
                Ok(_) => drop(self.outgoing.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<io::Result<FromRelay>> {
        self.poll_flush(context)?;
        loop {
            ready!(self.socket.poll_read_ready(context))?;
            let buffer = &mut self.incoming[..];
            let received = self.socket.try_io(Interest::READABLE, || {
                Ok(recv(&self.socket, buffer, RecvFlags::DONTWAIT)?)
            });
            match received {
                Ok((0, _)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok((len, _)) => {
                    let message = decode(&self.incoming[..len]).map_err(io::Error::other);
                    return Poll::Ready(message);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends what waits, and arranges to be woken when there is room for the rest.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        loop {
            match self.flush() {
                Err(error) if is_passing(&error) => {
                    if self.socket.poll_write_ready(context)?.is_pending() {
                        return Ok(());
                    }
                }
                result => return result,
            }
        }
    }
}

/// Whether it may go better at once, or when the socket is ready.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}

#[cfg(test)]
mod tests;
