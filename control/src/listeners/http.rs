//! ng over HTTP, and what is asked by HTTP alone.
//!
//! ```text
//! POST /ng         a message, cookie and all      ─► the same back
//! POST /ng-plain   a document                     ─► a document
//! POST /cli        a line of the command line     ─► text        (GET /cli/line/of/words, too)
//! GET  /metrics    numbers for Prometheus
//! GET  /ping       pong
//! ```
//!
//! Pages of other sites are refused (`origin.rs`), and what changes something over `GET` if a browser
//! may have been made to ask for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use control_core::Client;
use control_ng::{Dictionary, Message, Reply};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::patience::Patient;
use super::{Link, Peer, Place, REPLY_TIME, REQUEST_BYTES_MAX, Waiting, origin, websocket};
use crate::ng_gate::{Access, Counts};

/// How long the head of a request may take to come, or the next request after a reply.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 16 * 1_024;

/// Headers of a request.
const HEADERS_MAX: usize = 64;

const TYPE_NG: &str = "application/x-rtpengine-ng";
const TYPE_JSON: &str = "application/json";
const TYPE_TEXT: &str = "text/plain; charset=utf-8";

/// A response.
pub(super) type Answer = Response<Full<Bytes>>;

/// What the requests of one connection share.
pub(super) struct Asker {
    pub(super) client: Client,
    pub(super) link: Arc<Link>,
    peer: Mutex<Peer>,
    access: Access,
    is_secure: bool,
    _place: Place,
}

/// Makes cookies for documents that come without.
static COOKIES: AtomicU64 = AtomicU64::new(0);

/// Serves a connection until it ends, or is a WebSocket. It is over TLS if it `is_secure`.
pub(super) async fn serve<S>(place: Place, peer: Peer, stream: S, access: Access, is_secure: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let idle = peer.link.idle_timeout.unwrap_or(HEAD_TIME);
    let stream = Patient::new(stream, peer.link.message_time());
    let asker = Arc::new(Asker {
        client: peer.client,
        link: Arc::clone(&peer.link),
        peer: Mutex::new(peer),
        access,
        is_secure,
        _place: place,
    });
    let service = service_fn(|request| {
        let asker = Arc::clone(&asker);
        async move { Ok::<_, Infallible>(asker.serve(request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle.min(HEAD_TIME))
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        let counts = &asker.link.gate.counts;
        if error.is_timeout() || is_unread(&error) {
            Counts::add(&counts.idle);
        } else if error.is_parse() {
            // Who has just left, in the middle of a request or not, said nothing wrong.
            Counts::add(&counts.malformed);
        }
        debug!(remote = %asker.client.remote, %error, "connection over");
    }
}

/// Whether a connection is over because nobody reads what we write.
fn is_unread(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|it| it.downcast_ref::<std::io::Error>());
    source.is_some_and(|it| it.kind() == std::io::ErrorKind::TimedOut)
}

impl Asker {
    async fn serve(self: Arc<Self>, mut request: Request<Incoming>) -> Answer {
        if !origin::is_ours(&request, self.is_secure) {
            return refusal(StatusCode::FORBIDDEN, "not for pages of other sites\n");
        }
        let path = request.uri().path().to_owned();
        let method = request.method().clone();
        match (&method, path.as_str()) {
            (&Method::GET, "/ping") => return text("pong\n"),
            (&Method::GET, "/metrics") => return self.metrics().await,
            _ if self.access != Access::All => {
                return refusal(StatusCode::FORBIDDEN, "only /metrics and /ping\n");
            }
            (&Method::GET, _) if request.headers().contains_key(UPGRADE) => {
                return websocket::accept(self, &mut request);
            }
            (&Method::GET, path) if path.starts_with("/cli/") => {
                let line = command_line(&path["/cli/".len()..]);
                if control_core::is_order(&line) && !origin::is_no_browser(&request) {
                    return refusal(StatusCode::METHOD_NOT_ALLOWED, "send this by POST /cli\n");
                }
                return self.cli(&line).await;
            }
            (&Method::POST, "/ng" | "/ng-plain" | "/cli") => {}
            (_, "/ping" | "/metrics" | "/ng" | "/ng-plain" | "/cli") => {
                return refusal(StatusCode::METHOD_NOT_ALLOWED, "not this method\n");
            }
            _ => return refusal(StatusCode::NOT_FOUND, "not found\n"),
        }
        let body = match read(request.into_body(), self.link.message_time()).await {
            Ok(body) => body,
            Err(status) => {
                Counts::add(&self.link.gate.counts.malformed);
                return refusal(status, "cannot be read\n");
            }
        };
        match path.as_str() {
            "/ng" => self.ng(&body).await,
            "/ng-plain" => self.ng_plain(&body).await,
            _ => self.cli(&body).await,
        }
    }

    async fn metrics(&self) -> Answer {
        match self.link.metrics().await {
            Some(text) => response(StatusCode::OK, control_core::CONTENT_TYPE, text),
            None => refusal(StatusCode::SERVICE_UNAVAILABLE, "no answer\n"),
        }
    }

    async fn ng(&self, message: &[u8]) -> Answer {
        let Some(parts) = Message::split(message) else {
            Counts::add(&self.link.gate.counts.malformed);
            return refusal(StatusCode::BAD_REQUEST, "error\n");
        };
        match self.ask(parts.cookie, message.to_vec()).await {
            Some(reply) => response(StatusCode::OK, TYPE_NG, Bytes::from_owner(reply)),
            None => refusal(StatusCode::GATEWAY_TIMEOUT, "no answer\n"),
        }
    }

    async fn ng_plain(&self, document: &[u8]) -> Answer {
        match self.ask_plain(document).await {
            Some(reply) => {
                let is_json = reply.bytes().first() == Some(&b'{');
                let kind = if is_json { TYPE_JSON } else { TYPE_NG };
                response(StatusCode::OK, kind, Bytes::from_owner(reply))
            }
            None => refusal(StatusCode::GATEWAY_TIMEOUT, "no answer\n"),
        }
    }

    async fn cli(&self, line: &[u8]) -> Answer {
        match self.ask_cli(line).await {
            Some(Ok(answer)) => response(StatusCode::OK, TYPE_TEXT, Bytes::from_owner(answer)),
            Some(Err(reason)) => refusal(StatusCode::NOT_IMPLEMENTED, &format!("{reason}\n")),
            None => refusal(StatusCode::GATEWAY_TIMEOUT, "no answer\n"),
        }
    }

    /// Asks what comes without a cookie, and gives the reply without one.
    pub(super) async fn ask_plain(&self, document: &[u8]) -> Option<Waiting> {
        let cookie = format!("plain-{}", COOKIES.fetch_add(1, Ordering::Relaxed));
        let cookie = cookie.as_bytes();
        let message = Message {
            cookie,
            body: document,
        };
        let mut reply = self.ask(cookie, message.join()).await?;
        reply.message.drain(..=cookie.len());
        Some(reply)
    }

    /// What a line of the command line says, or why it says nothing.
    pub(super) async fn ask_cli(&self, line: &[u8]) -> Option<Result<Waiting, String>> {
        let mut document = Vec::new();
        let line = line.trim_ascii();
        let request = Dictionary::new().with("command", "cli");
        request.with("body", line).encode(&mut document);
        let mut waiting = self.ask_plain(&document).await?;
        let reply = Reply::parse(waiting.bytes()).ok()?;
        if let Some(reason) = reply.error_reason() {
            return Some(Err(reason.into_owned()));
        }
        let answer = reply.dictionary().get("response");
        let answer = answer.and_then(|it| it.as_bytes());
        waiting.message = answer.unwrap_or_default().to_vec();
        Some(Ok(waiting))
    }

    /// Asks, and waits for the reply with this cookie.
    async fn ask(&self, cookie: &[u8], message: Vec<u8>) -> Option<Waiting> {
        // Requests of a connection come one after the other.
        let mut peer = self.peer.lock().await;
        // What came too late for the request before.
        while peer.replies.try_recv().is_ok() {}
        self.link.ask(self.client, message).await;
        let deadline = Instant::now() + REPLY_TIME;
        while let Ok(Some(reply)) = timeout_at(deadline, peer.replies.recv()).await {
            if Message::split(reply.bytes()).is_some_and(|it| it.cookie == cookie) {
                return Some(reply);
            }
        }
        None
    }

    /// The next message for this connection.
    pub(super) async fn reply(&self) -> Option<Waiting> {
        let mut peer = self.peer.lock().await;
        peer.replies.recv().await
    }
}

async fn read(body: Incoming, within: Duration) -> Result<Vec<u8>, StatusCode> {
    let announced = usize::try_from(body.size_hint().lower());
    if announced.is_ok_and(|len| len > REQUEST_BYTES_MAX) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut body = Limited::new(body, REQUEST_BYTES_MAX);
    let mut bytes = Vec::new();
    let all = async {
        // Put together at once: a chunk of one byte holds on to all that was read with it.
        while let Some(frame) = body.frame().await {
            bytes.extend_from_slice(&frame?.into_data().unwrap_or_default());
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    match timeout(within, all).await {
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Ok(Ok(())) => Ok(bytes),
    }
}

/// The line that a path stands for: words divided by slashes, plus signs or `%20`.
pub(super) fn command_line(path: &str) -> Vec<u8> {
    let mut line = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'/' | b'+' => line.push(b' '),
            b'%' => match after.get(..2).and_then(hex) {
                Some(byte) => {
                    line.push(byte);
                    rest = &after[2..];
                }
                None => line.push(b'%'),
            },
            byte => line.push(*byte),
        }
    }
    line
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let &[high, low] = digits else { return None };
    u8::try_from(16 * digit(&high)? + digit(&low)?).ok()
}

fn text(text: &'static str) -> Answer {
    response(StatusCode::OK, TYPE_TEXT, text)
}

pub(super) fn refusal(status: StatusCode, text: &str) -> Answer {
    response(status, TYPE_TEXT, text.to_owned())
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
