//! Asks an ng server: over UDP, which is what daemons ask one another by, or as [`Server`] says.

mod server;
mod trust;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use control_ng::{Dictionary, Message, Reply, Value};
use serde_json::Value as Json;
use tandem_settings::Loaded;

use crate::failure::Failure;
pub(crate) use server::Server;

/// A request is sent again after this time; a server tells repetitions by their cookie.
const RESEND_AFTER: Duration = Duration::from_millis(500);

/// Bytes of the greatest UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// A socket to one server.
#[derive(Debug)]
pub(crate) struct NgClient {
    socket: UdpSocket,
    server: SocketAddr,
    timeout: Duration,
}

impl NgClient {
    /// Prepares to ask `server`. Nothing is sent yet.
    pub(crate) fn new(server: SocketAddr, timeout: Duration) -> Result<Self, Failure> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).and_then(|socket| {
            // Connected, so that strangers' datagrams do not arrive and refusals do.
            socket.connect(server)?;
            Ok(socket)
        });
        let socket =
            socket.map_err(|error| Failure::failed(format!("cannot send to {server}: {error}")))?;
        Ok(Self {
            socket,
            server,
            timeout,
        })
    }

    /// Asks, repeating the request until the reply comes or the time is over.
    pub(crate) fn ask(&self, request: &Dictionary<'_>) -> Result<Vec<u8>, Failure> {
        self.exchange(&Question::new(request)?)
    }

    fn exchange(&self, question: &Question) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + self.timeout;
        while Instant::now() < deadline {
            self.socket
                .send(&question.message)
                .map_err(|error| self.explain(&error))?;
            let resend_at = deadline.min(Instant::now() + RESEND_AFTER);
            if let Some(body) = self.receive(&question.cookie, resend_at)? {
                return Ok(body);
            }
        }
        let waited = self.timeout.as_millis();
        Err(Failure::unreachable(format!(
            "no answer from the ng server at {} within {waited} ms; {CURE}",
            self.server
        )))
    }

    /// The body of the reply with this cookie; `None` if there is none before `deadline`.
    fn receive(&self, cookie: &str, deadline: Instant) -> Result<Option<Vec<u8>>, Failure> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket
                .set_read_timeout(Some(left))
                .map_err(|error| self.explain(&error))?;
            match self.socket.recv(&mut buffer) {
                Ok(len) => {
                    let reply = Message::split(&buffer[..len]);
                    if let Some(reply) = reply.filter(|reply| reply.cookie == cookie.as_bytes()) {
                        return Ok(Some(reply.body.to_vec()));
                    }
                }
                Err(error) if is_timeout(error.kind()) => return Ok(None),
                Err(error) => return Err(self.explain(&error)),
            }
        }
    }

    fn explain(&self, error: &std::io::Error) -> Failure {
        let server = self.server;
        match error.kind() {
            ErrorKind::ConnectionRefused => {
                Failure::unreachable(format!("nothing listens for ng at {server}; {CURE}"))
            }
            _ => Failure::unreachable(format!("cannot reach the ng server at {server}: {error}")),
        }
    }
}

const CURE: &str =
    "start it with `tandem run`, or name the one you mean with `--server ADDRESS:PORT`";

/// A request with a cookie of its own.
#[derive(Debug)]
struct Question {
    cookie: String,
    /// As it is sent.
    message: Vec<u8>,
}

impl Question {
    fn new(request: &Dictionary<'_>) -> Result<Self, Failure> {
        let number = getrandom::u64().map_err(|error| {
            Failure::failed(format!("the system has no random numbers: {error}"))
        })?;
        let cookie = format!("tandem-{number:016x}");
        let mut body = Vec::new();
        request.encode(&mut body);
        let message = Message {
            cookie: cookie.as_bytes(),
            body: &body,
        };
        let message = message.join();
        Ok(Self { cookie, message })
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Interrupted | ErrorKind::TimedOut | ErrorKind::WouldBlock
    )
}

/// The reply, unless the server refused.
pub(crate) fn accepted(body: &[u8]) -> Result<Reply<'_>, Failure> {
    let reply = Reply::parse(body)
        .map_err(|error| Failure::failed(format!("the server's reply makes no sense: {error}")))?;
    match reply.error_reason() {
        Some(reason) => Err(Failure::failed(format!("the server refused: {reason}"))),
        None => Ok(reply),
    }
}

/// Where control listens, as a client reaches it.
pub(crate) fn server_of(loaded: &Loaded) -> Result<SocketAddr, Failure> {
    let Some(mut server) = loaded.file.control.listen.first().copied() else {
        let error = loaded.wrong(
            "control.listen",
            "is empty",
            "name an ng server with --server",
        );
        return Err(error.into());
    };
    match server.ip() {
        ip if !ip.is_unspecified() => {}
        IpAddr::V4(_) => server.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => server.set_ip(Ipv6Addr::LOCALHOST.into()),
    }
    Ok(server)
}

/// A document as JSON. Bytes that are not UTF-8 are replaced: this is for reading.
pub(crate) fn to_json(value: &Value<'_>) -> Json {
    match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
        Value::Dictionary(dictionary) => dictionary_to_json(dictionary),
        Value::Integer(number) => (*number).into(),
        Value::List(values) => values.iter().map(to_json).collect(),
    }
}

/// The same, of a whole reply.
pub(crate) fn dictionary_to_json(dictionary: &Dictionary<'_>) -> Json {
    let entry = |(key, value): (&[u8], &Value<'_>)| {
        (String::from_utf8_lossy(key).into_owned(), to_json(value))
    };
    Json::Object(dictionary.iter().map(entry).collect())
}
