//! ng over WebSocket (RFC 6455), by the subprotocol that the client asks for.
//!
//! | subprotocol | a message is | many at once |
//! | --- | --- | --- |
//! | `ng.rtpengine.com`, or none | a message of ng, cookie and all | yes |
//! | `ng-plain.rtpengine.com` | a document | no |
//! | `cli.rtpengine.com` | a line of the command line | no |
//! | `echo.rtpengine.com` | anything; it comes back | no |
//!
//! Replies are binary, but text where they are JSON.

use std::sync::Arc;
use std::time::Duration;

use control_ng::Message as NgMessage;
use futures_util::{SinkExt, StreamExt};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tracing::debug;

use super::http::{Answer, Asker, refusal};
use super::{
    IN_FLIGHT_MAX, MESSAGE_TIME, REPLY_TIME, REQUEST_BYTES_MAX, WAITING_BYTES_MAX, Waiting,
};
use crate::ng_gate::Counts;

/// Bytes that are read at once.
const READ_BYTES: usize = 8 * 1_024;

/// Bytes that wait to be read: the longest reply, and what the library says by itself.
const WRITE_BYTES_MAX: usize = WAITING_BYTES_MAX;

/// When nothing came for so long, and no other time is set, the peer is asked whether it is there.
const IDLE: Duration = Duration::from_secs(3_600);

/// What is spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Speech {
    Cli,
    Echo,
    Ng,
    NgPlain,
}

const SPEECHES: [(&str, Speech); 4] = [
    ("ng.rtpengine.com", Speech::Ng),
    ("ng-plain.rtpengine.com", Speech::NgPlain),
    ("cli.rtpengine.com", Speech::Cli),
    ("echo.rtpengine.com", Speech::Echo),
];

/// Answers the handshake, and serves the connection once it is done.
pub(super) fn accept(asker: Arc<Asker>, request: &mut Request<Incoming>) -> Answer {
    let header = |name: &HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    let says = |name, word: &[u8]| {
        let words = header(name).unwrap_or_default().split(|byte| *byte == b',');
        words
            .map(<[u8]>::trim_ascii)
            .any(|it| it.eq_ignore_ascii_case(word))
    };
    let is_websocket = says(&UPGRADE, b"websocket") && says(&CONNECTION, b"upgrade");
    let Some(key) = header(&SEC_WEBSOCKET_KEY).filter(|_| is_websocket) else {
        return refusal(StatusCode::BAD_REQUEST, "no WebSocket handshake\n");
    };
    if !says(&SEC_WEBSOCKET_VERSION, b"13") {
        let mut answer = refusal(StatusCode::UPGRADE_REQUIRED, "version 13 is spoken\n");
        let version = HeaderValue::from_static("13");
        answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, version);
        return answer;
    }
    let Some((name, speech)) = choose(request) else {
        return refusal(StatusCode::BAD_REQUEST, "none of these subprotocols\n");
    };
    let accept_key = derive_accept_key(key);
    let mut answer = refusal(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = answer.headers_mut();
    headers.clear();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(key) = HeaderValue::from_str(&accept_key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    if let Some(name) = name {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    tokio::spawn(serve(asker, hyper::upgrade::on(request), speech));
    answer
}

/// The first subprotocol that we know; ng, if the client names none. `None` if it names others.
fn choose(request: &Request<Incoming>) -> Option<(Option<&'static str>, Speech)> {
    let mut is_asked = false;
    for value in request.headers().get_all(SEC_WEBSOCKET_PROTOCOL) {
        for word in value.as_bytes().split(|byte| *byte == b',') {
            is_asked = true;
            let word = word.trim_ascii();
            let known = SPEECHES.iter().find(|(name, _)| name.as_bytes() == word);
            if let Some((name, speech)) = known {
                return Some((Some(*name), *speech));
            }
        }
    }
    (!is_asked).then_some((None, Speech::Ng))
}

async fn serve(asker: Arc<Asker>, upgrade: OnUpgrade, speech: Speech) {
    let Ok(Ok(upgraded)) = timeout(MESSAGE_TIME, upgrade).await else {
        return;
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .max_message_size(Some(REQUEST_BYTES_MAX))
        .max_frame_size(Some(REQUEST_BYTES_MAX));
    let upgraded = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await;
    let mut session = Session {
        idle: asker.link.idle_timeout.unwrap_or(IDLE),
        is_endless: asker.link.idle_timeout.is_none(),
        heard: Instant::now(),
        is_pinged: false,
        held: None,
        in_flight: 0,
        asker,
        socket,
        speech,
    };
    let ending = session.run().await;
    debug!(remote = %session.asker.client.remote, ?ending, "connection over");
    let _ = timeout(MESSAGE_TIME, session.socket.close(None)).await;
}

struct Session {
    asker: Arc<Asker>,
    socket: WebSocketStream<TokioIo<Upgraded>>,
    speech: Speech,
    idle: Duration,
    /// Whether a peer that says nothing is kept.
    is_endless: bool,
    /// When something came last.
    heard: Instant,
    is_pinged: bool,
    /// A request that came too early for its sender's rate, and when it is in time.
    held: Option<(Vec<u8>, Instant)>,
    /// Requests that were not answered yet.
    in_flight: usize,
}

/// The connection is over.
#[derive(Debug)]
struct Over;

impl Session {
    async fn run(&mut self) -> Over {
        loop {
            let may_read = self.in_flight < IN_FLIGHT_MAX && self.held.is_none();
            let due = self.due();
            let turn = tokio::select! {
                Some(reply) = self.asker.reply() => {
                    self.in_flight = self.in_flight.saturating_sub(1);
                    self.send(reply).await
                }
                message = self.socket.next(), if may_read => match message {
                    Some(Ok(message)) => self.handle(message).await,
                    Some(Err(error)) => self.note(&error),
                    None => Err(Over),
                },
                () = sleep_until(due) => self.handle_timeout().await,
            };
            if let Err(over) = turn {
                return over;
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Over> {
        self.heard = Instant::now();
        self.is_pinged = false;
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(ref text) if self.speech == Speech::Echo => {
                return self.write(Message::Text(text.clone())).await;
            }
            Message::Text(text) => text.into(),
            Message::Close(_) => return Err(Over),
            // The library answers it. One who does not read the answer is not heard any further.
            Message::Ping(_) => return self.flush().await,
            Message::Pong(_) | Message::Frame(_) => return Ok(()),
        };
        match self.speech {
            Speech::Cli => match self.asker.ask_cli(&bytes).await.ok_or(Over)? {
                Ok(mut answer) => self.write(Message::Binary(answer.take().into())).await,
                Err(reason) => self.write(Message::Text(reason.into())).await,
            },
            Speech::Echo => self.write(Message::Binary(bytes)).await,
            Speech::Ng => {
                if NgMessage::split(&bytes).is_none() {
                    // As over UDP: there is nobody to answer.
                    Counts::add(&self.asker.link.gate.counts.malformed);
                    return Ok(());
                }
                self.hand_on(bytes.to_vec()).await;
                Ok(())
            }
            Speech::NgPlain => {
                let reply = self.asker.ask_plain(&bytes).await.ok_or(Over)?;
                self.send(reply).await
            }
        }
    }

    /// Hands a message of ng to the loop, or keeps it until its sender may send one more.
    async fn hand_on(&mut self, message: Vec<u8>) {
        let Asker { link, client, .. } = &*self.asker;
        match link.take(*client) {
            Err(due) => self.held = Some((message, due)),
            Ok(()) => {
                link.hand_in(*client, message).await;
                self.in_flight += 1;
            }
        }
    }

    /// Sends a message of ng, or a document alone, which counts as long as it is not written.
    async fn send(&mut self, mut waiting: Waiting) -> Result<(), Over> {
        let reply = waiting.take();
        let document = match self.speech {
            Speech::Ng => NgMessage::split(&reply).map_or(&reply[..], |message| message.body),
            _ => &reply,
        };
        let is_json = document.first() == Some(&b'{');
        let message = match String::from_utf8(reply) {
            Ok(text) if is_json => Message::Text(text.into()),
            Ok(text) => Message::Binary(text.into_bytes().into()),
            Err(error) => Message::Binary(error.into_bytes().into()),
        };
        self.write(message).await
    }

    async fn write(&mut self, message: Message) -> Result<(), Over> {
        let patience = self.asker.link.message_time();
        let written = timeout(patience, self.socket.send(message)).await;
        written
            .map_err(|_| self.note_unread())?
            .or_else(|error| self.note(&error))
    }

    /// Waits until all is read.
    async fn flush(&mut self) -> Result<(), Over> {
        let patience = self.asker.link.message_time();
        let flushed = timeout(patience, self.socket.flush()).await;
        flushed
            .map_err(|_| self.note_unread())?
            .or_else(|error| self.note(&error))
    }

    fn note_unread(&self) -> Over {
        Counts::add(&self.asker.link.gate.counts.idle);
        Over
    }

    /// When [`Self::handle_timeout`] is next due.
    fn due(&self) -> Instant {
        if let Some((_, due)) = &self.held {
            return *due;
        }
        match (self.in_flight >= IN_FLIGHT_MAX, self.is_pinged) {
            (true, _) => self.heard + REPLY_TIME,
            (false, false) => self.heard + self.idle / 2,
            (false, true) => self.heard + self.idle,
        }
    }

    async fn handle_timeout(&mut self) -> Result<(), Over> {
        if let Some((message, _)) = self.held.take() {
            self.hand_on(message).await;
            // It was not heard meanwhile.
            self.heard = Instant::now();
            return Ok(());
        }
        if self.in_flight >= IN_FLIGHT_MAX {
            // What is not answered by now never will be.
            self.in_flight = 0;
            return Ok(());
        }
        if !self.is_pinged {
            self.is_pinged = true;
            return self.write(Message::Ping(Bytes::new())).await;
        }
        if self.is_endless {
            self.heard = Instant::now();
            self.is_pinged = false;
            return Ok(());
        }
        Counts::add(&self.asker.link.gate.counts.idle);
        Err(Over)
    }

    fn note(&self, error: &tokio_tungstenite::tungstenite::Error) -> Result<(), Over> {
        use tokio_tungstenite::tungstenite::Error::{
            Capacity, ConnectionClosed, Io, Protocol, Utf8,
        };
        let counts = &self.asker.link.gate.counts;
        if matches!(error, Capacity(_) | Protocol(_) | Utf8(_)) {
            Counts::add(&counts.malformed);
        }
        // The stream has less patience than we have, by a moment.
        if matches!(error, Io(error) if error.kind() == std::io::ErrorKind::TimedOut) {
            Counts::add(&counts.idle);
        }
        if !matches!(error, ConnectionClosed | Io(_)) {
            debug!(%error, "cannot be read");
        }
        Err(Over)
    }
}
