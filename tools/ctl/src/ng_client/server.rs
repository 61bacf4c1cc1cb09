//! An ng server by whichever way it listens.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use control_ng::{Dictionary, Framer, Message};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tungstenite::HandshakeError;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tungstenite::protocol::WebSocketConfig;
use ureq::Agent;

use super::trust::{self, Trust};
use super::{CURE, NgClient, Question};
use crate::failure::Failure;

/// Bytes of the longest reply over a stream: a list of many thousand calls.
const REPLY_BYTES_MAX: usize = 16 << 20;

/// The WebSocket subprotocol in which each message is one of ng.
const SUBPROTOCOL: &str = "ng.rtpengine.com";

/// Where an ng server is, and how it is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Server {
    /// `ADDRESS:PORT`
    Udp(SocketAddr),
    /// `tcp://ADDRESS:PORT`
    Tcp(SocketAddr),
    /// `http://HOST:PORT/ng`, or `https:`
    Http(String),
    /// `ws://HOST:PORT/`, or `wss:`
    WebSocket(String),
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("udp", text));
        let address = || rest.parse().map_err(|_| expected());
        match scheme {
            "udp" => Ok(Self::Udp(address()?)),
            "tcp" => Ok(Self::Tcp(address()?)),
            "http" | "https" if has_path(rest) => Ok(Self::Http(text.to_owned())),
            "http" | "https" => Ok(Self::Http(format!("{}/ng", text.trim_end_matches('/')))),
            "ws" | "wss" => Ok(Self::WebSocket(text.to_owned())),
            _ => Err(expected()),
        }
    }
}

fn expected() -> String {
    "expected ADDRESS:PORT (UDP), tcp://ADDRESS:PORT, http://HOST:PORT or ws://HOST:PORT (or https \
     and wss)"
        .to_owned()
}

fn has_path(authority_and_path: &str) -> bool {
    let path = authority_and_path.split_once('/');
    path.is_some_and(|(_, path)| !path.is_empty())
}

impl Server {
    /// Asks, and waits so long for the body of the reply. Over TLS, the server must have a
    /// certificate that `authorities` vouch for: a file, or else what the system trusts.
    pub(crate) fn ask(
        &self,
        request: &Dictionary<'_>,
        timeout: Duration,
        authorities: Option<&Path>,
    ) -> Result<Vec<u8>, Failure> {
        let question = Question::new(request)?;
        let trust = self.is_secure().then(|| Trust::read(authorities));
        let trust = trust.transpose()?;
        let trust = trust.as_ref();
        let asked = match self {
            Self::Udp(server) => return NgClient::new(*server, timeout)?.exchange(&question),
            Self::Tcp(server) => ask_over_tcp(*server, &question, timeout),
            Self::Http(url) => ask_over_http(url, &question, timeout, trust),
            Self::WebSocket(url) => ask_over_websocket(url, &question, timeout, trust),
        };
        asked.map_err(|error| self.explain(&error, timeout))
    }

    fn is_secure(&self) -> bool {
        match self {
            Self::Udp(_) | Self::Tcp(_) => false,
            Self::Http(url) | Self::WebSocket(url) => {
                url.starts_with("https:") || url.starts_with("wss:")
            }
        }
    }

    fn explain(&self, error: &io::Error, timeout: Duration) -> Failure {
        let server = match self {
            Self::Udp(server) => server.to_string(),
            Self::Tcp(server) => format!("tcp://{server}"),
            Self::Http(url) | Self::WebSocket(url) => url.clone(),
        };
        if let Some(cure) = trust::cure(error) {
            return Failure::unreachable(format!("cannot trust the ng server at {server}: {cure}"));
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                Failure::unreachable(format!("nothing listens for ng at {server}; {CURE}"))
            }
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                let waited = timeout.as_millis();
                Failure::unreachable(format!(
                    "no answer from the ng server at {server} within {waited} ms; {CURE}"
                ))
            }
            _ => Failure::unreachable(format!("cannot ask the ng server at {server}: {error}")),
        }
    }
}

/// A stream to `server` on which nothing waits for longer than `timeout`.
fn connect(server: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    // A time of zero is refused by the system.
    let timeout = timeout.max(Duration::from_millis(1));
    let stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn ask_over_tcp(server: SocketAddr, question: &Question, timeout: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + timeout;
    let mut stream = connect(server, timeout)?;
    stream.write_all(&question.message)?;
    let mut framer = Framer::new(REPLY_BYTES_MAX);
    let mut buffer = vec![0; 65_536];
    while Instant::now() < deadline {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => framer.push(&buffer[..len]),
        }
        while let Some(message) = framer.next_message().map_err(io::Error::other)? {
            if let Some(body) = question.body_of(message) {
                return Ok(body);
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn ask_over_http(
    url: &str,
    question: &Question,
    timeout: Duration,
    trust: Option<&Trust>,
) -> io::Result<Vec<u8>> {
    let config = Agent::config_builder().timeout_global(Some(timeout));
    // What the environment says is meant for the web.
    let config = config.proxy(None);
    let config = match trust {
        Some(trust) => config.tls_config(trust.tls_config()),
        None => config,
    };
    let agent: Agent = config.build().into();
    let reply = agent.post(url).send(&question.message[..]);
    let mut reply = reply.map_err(ureq::Error::into_io)?;
    let body = reply.body_mut().with_config();
    let body = body.limit(REPLY_BYTES_MAX as u64).read_to_vec();
    let body = body.map_err(ureq::Error::into_io)?;
    question.body_of(&body).ok_or_else(not_ng)
}

fn ask_over_websocket(
    url: &str,
    question: &Question,
    timeout: Duration,
    trust: Option<&Trust>,
) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + timeout;
    let mut request = url.into_client_request().map_err(io::Error::other)?;
    let subprotocol = HeaderValue::from_static(SUBPROTOCOL);
    request
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    let server = address_of(request.uri())?;
    let stream = Stream::new(connect(server, timeout)?, request.uri(), trust)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(REPLY_BYTES_MAX))
        .max_frame_size(Some(REPLY_BYTES_MAX));
    let (mut socket, _) = tungstenite::client::client_with_config(request, stream, Some(config))
        .map_err(|error| match error {
            HandshakeError::Failure(error) => to_io(error),
            HandshakeError::Interrupted(_) => io::ErrorKind::TimedOut.into(),
        })?;
    let message = question.message.clone();
    socket
        .send(tungstenite::Message::binary(message))
        .map_err(to_io)?;
    while Instant::now() < deadline {
        let message = socket.read().map_err(to_io)?;
        if let Some(body) = question.body_of(&message.into_data()) {
            return Ok(body);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn address_of(uri: &tungstenite::http::Uri) -> io::Result<SocketAddr> {
    use std::net::ToSocketAddrs as _;
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = match uri.scheme_str() {
        Some("wss") => 443,
        _ => 80,
    };
    let mut addresses = (host, uri.port_u16().unwrap_or(port)).to_socket_addrs()?;
    addresses
        .next()
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// What a WebSocket is spoken on.
enum Stream {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn new(
        mut stream: TcpStream,
        uri: &tungstenite::http::Uri,
        trust: Option<&Trust>,
    ) -> io::Result<Self> {
        let Some(trust) = trust else {
            return Ok(Self::Plain(stream));
        };
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(trust.client_config()?, name);
        let mut connection = connection.map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Self::Secure(Box::new(StreamOwned::new(connection, stream))))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Secure(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}

fn to_io(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

fn not_ng() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came is not a reply of ng")
}

impl Question {
    /// The body, if this is the reply.
    fn body_of(&self, message: &[u8]) -> Option<Vec<u8>> {
        let reply = Message::split(message)?;
        (reply.cookie == self.cookie.as_bytes()).then(|| reply.body.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_address_or_url() {
        let address = "192.0.2.7:2223".parse().unwrap();
        for (text, server) in [
            ("192.0.2.7:2223", Server::Udp(address)),
            ("udp://192.0.2.7:2223", Server::Udp(address)),
            ("tcp://192.0.2.7:2223", Server::Tcp(address)),
            ("http://pbx:80", Server::Http("http://pbx:80/ng".to_owned())),
            (
                "http://pbx:80/",
                Server::Http("http://pbx:80/ng".to_owned()),
            ),
            ("http://pbx/x", Server::Http("http://pbx/x".to_owned())),
            ("ws://pbx:80", Server::WebSocket("ws://pbx:80".to_owned())),
            ("https://pbx", Server::Http("https://pbx/ng".to_owned())),
            ("wss://pbx", Server::WebSocket("wss://pbx".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(server), "{text}");
        }
        for wrong in ["", "pbx", "tcp://pbx", "://", "sip://192.0.2.7:5060"] {
            assert!(wrong.parse::<Server>().is_err(), "{wrong}");
        }
    }
}
