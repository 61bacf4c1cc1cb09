//! Asks an ng server many things at a time.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use control_ng::{Command, Message, Reply};

use crate::{LoadError, Permission};

/// A request is sent again after this time; a server tells repetitions by their cookie.
const RESEND_AFTER: Duration = Duration::from_millis(500);

/// Granularity of waiting.
const WAIT: Duration = Duration::from_millis(20);

/// Requests that wait for a reply at a time: enough to keep a server busy, and few enough for
/// its receive queue.
const WINDOW: usize = 16;

/// Bytes of the greatest UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// A socket to one server.
#[derive(Debug)]
pub struct NgClient {
    socket: UdpSocket,
    server: SocketAddr,
    timeout: Duration,
    /// Makes cookies differ from those of other runs.
    run: u32,
    cookies: u64,
}

/// A request on its way.
#[derive(Debug)]
struct Pending {
    index: usize,
    datagram: Vec<u8>,
    sent_at: Instant,
    give_up_at: Instant,
}

impl NgClient {
    /// Prepares to ask `server`; each request may take `timeout`. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When it may not be sent to, or the system has no socket.
    pub fn new(
        server: SocketAddr,
        timeout: Duration,
        permission: &Permission,
    ) -> Result<Self, LoadError> {
        permission.check(server.ip())?;
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).and_then(|socket| {
            // Connected, so that strangers' datagrams do not arrive and refusals do.
            socket.connect(server)?;
            socket.set_read_timeout(Some(WAIT))?;
            Ok(socket)
        });
        let run = getrandom::u32().map_err(|error| LoadError::Option(error.to_string()))?;
        Ok(Self {
            socket: socket.map_err(LoadError::system(format!("send to {server}")))?,
            server,
            timeout,
            run,
            cookies: 0,
        })
    }

    /// Asks `count` requests, some at a time. `request(i)` writes the i-th with a cookie, and
    /// `handle(i, reply)` gets the reply to it.
    ///
    /// # Errors
    ///
    /// The first error of `handle`; a request that is not answered in time.
    pub fn ask_all(
        &mut self,
        count: usize,
        mut request: impl FnMut(usize, &[u8]) -> Vec<u8>,
        mut handle: impl FnMut(usize, &Reply<'_>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let mut pending: HashMap<Vec<u8>, Pending> = HashMap::new();
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let mut next = 0;
        while next < count || !pending.is_empty() {
            while next < count && pending.len() < WINDOW {
                let cookie = self.cookie();
                let datagram = request(next, &cookie);
                pending.insert(cookie, self.begin(next, datagram)?);
                next += 1;
            }
            if let Some(message) = self.receive(&mut buffer)?
                && let Some(it) = pending.remove(message.cookie)
            {
                let reply = Reply::parse(message.body)
                    .map_err(|error| self.refusal(it.index, error.to_string()))?;
                handle(it.index, &reply)?;
            }
            self.repeat(&mut pending)?;
        }
        Ok(())
    }

    /// Asks one request.
    ///
    /// # Errors
    ///
    /// When it is refused or not answered in time.
    pub fn ask<T>(
        &mut self,
        command: &Command<'_>,
        read: impl FnOnce(&Reply<'_>) -> T,
    ) -> Result<T, LoadError> {
        let server = self.server;
        let (mut read, mut result) = (Some(read), None);
        self.ask_all(
            1,
            |_, cookie| command.encode(cookie),
            |_, reply| {
                accepted(server, "the request", reply)?;
                result = read.take().map(|read| read(reply));
                Ok(())
            },
        )?;
        result.ok_or_else(|| self.refusal(0, "no reply".to_owned()))
    }

    fn cookie(&mut self) -> Vec<u8> {
        self.cookies += 1;
        format!("load-{:08x}-{}", self.run, self.cookies).into_bytes()
    }

    fn begin(&self, index: usize, datagram: Vec<u8>) -> Result<Pending, LoadError> {
        self.send(&datagram)?;
        let now = Instant::now();
        Ok(Pending {
            index,
            datagram,
            sent_at: now,
            give_up_at: now + self.timeout,
        })
    }

    fn repeat(&self, pending: &mut HashMap<Vec<u8>, Pending>) -> Result<(), LoadError> {
        let now = Instant::now();
        for it in pending.values_mut() {
            if now >= it.give_up_at {
                return Err(LoadError::NoAnswer {
                    server: self.server,
                    waited_ms: self.timeout.as_millis(),
                });
            }
            if now >= it.sent_at + RESEND_AFTER {
                it.sent_at = now;
                self.send(&it.datagram)?;
            }
        }
        Ok(())
    }

    /// A refusal by a server that is about to start is no error yet: the time-out decides.
    fn send(&self, datagram: &[u8]) -> Result<(), LoadError> {
        match self.socket.send(datagram) {
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => {
                Err(LoadError::system(format!("send to {}", self.server))(error))
            }
            _ => Ok(()),
        }
    }

    fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<Option<Message<'a>>, LoadError> {
        match self.socket.recv(buffer) {
            Ok(len) => Ok(Message::split(&buffer[..len])),
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused => {
                    std::thread::sleep(WAIT);
                    Ok(None)
                }
                ErrorKind::Interrupted | ErrorKind::TimedOut | ErrorKind::WouldBlock => Ok(None),
                _ => Err(LoadError::system(format!("hear {}", self.server))(error)),
            },
        }
    }

    fn refusal(&self, index: usize, reason: String) -> LoadError {
        LoadError::Refused {
            server: self.server,
            what: format!("request {index}"),
            reason,
        }
    }
}

/// An error unless the server did what it was asked.
pub(crate) fn accepted(server: SocketAddr, what: &str, reply: &Reply<'_>) -> Result<(), LoadError> {
    if reply.is_ok() {
        return Ok(());
    }
    let reason = reply.error_reason().unwrap_or_default().into_owned();
    Err(LoadError::Refused {
        server,
        what: what.to_owned(),
        reason,
    })
}
