//! SIP messages as a test sees them: text, taken apart without mercy for the unusual.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::RtpEndpoint;

/// A request or response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Message {
    /// A message without headers.
    #[must_use]
    pub fn new(start: impl Into<String>) -> Self {
        Self {
            start: start.into(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds an SDP body.
    #[must_use]
    pub fn with_sdp(mut self, sdp: &str) -> Self {
        sdp.clone_into(&mut self.body);
        self.with("Content-Type", "application/sdp")
    }

    /// Reads a datagram.
    ///
    /// # Panics
    ///
    /// When it is no SIP message, or its Content-Length is not true: no daemon may send that.
    #[must_use]
    #[track_caller]
    pub fn parse(datagram: &[u8]) -> Self {
        let text = String::from_utf8_lossy(datagram);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            panic!("no end of the headers: {text}");
        };
        // Lines that go on, from requests that are echoed (RFC 3261 §7.3.1).
        let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let mut lines = head.split("\r\n");
        let mut message = Self::new(lines.next().unwrap_or_default());
        body.clone_into(&mut message.body);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                panic!("not a header: {line:?}");
            };
            message = message.with(name.trim_end(), value.trim());
        }
        if let Some(length) = message.header("Content-Length") {
            assert_eq!(length, body.len().to_string(), "Content-Length: {text}");
        }
        message
    }

    /// As it goes on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let headers = self.headers.iter();
        let headers: String = headers
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let length = self.body.len();
        format!(
            "{}\r\n{headers}Content-Length: {length}\r\n\r\n{}",
            self.start, self.body
        )
        .into_bytes()
    }

    /// The first header of a name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All headers of a name.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = move |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        let found = self.headers.iter().filter(named);
        found.map(|(_, value)| value.as_str())
    }

    /// A header that must be there.
    ///
    /// # Panics
    ///
    /// When it is not.
    #[must_use]
    #[track_caller]
    pub fn expect(&self, name: &str) -> &str {
        self.header(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The status, if it is a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let rest = self.start.strip_prefix("SIP/2.0 ")?;
        rest.get(..3)?.parse().ok()
    }

    /// The method, if it is a request.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        let (method, rest) = self.start.split_once(' ')?;
        rest.ends_with(" SIP/2.0").then_some(method)
    }

    /// Number and method of the CSeq.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn cseq(&self) -> (u32, &str) {
        let cseq = self.expect("CSeq");
        let (number, method) = cseq.split_once(' ').expect("CSeq has a method");
        (number.parse().expect("CSeq has a number"), method.trim())
    }

    /// The branch of the topmost Via.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn branch(&self) -> &str {
        parameter(self.expect("Via"), "branch").expect("Via has a branch")
    }

    /// The URI of the Contact.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn contact_uri(&self) -> &str {
        uri(self.expect("Contact"))
    }

    /// Routes back to whoever sent this: its Record-Routes, one a value.
    pub fn record_routes(&self) -> impl DoubleEndedIterator<Item = String> {
        let routes: Vec<String> = self
            .headers("Record-Route")
            .flat_map(|value| value.split(','))
            .map(|route| route.trim().to_owned())
            .collect();
        routes.into_iter()
    }
}

/// A parameter after the first semicolon.
#[must_use]
pub(crate) fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let after_uri = value.rsplit_once('>').map_or(value, |(_, after)| after);
    let parameters = after_uri.split([';', ',']).skip(1);
    let mut pairs = parameters.filter_map(|parameter| parameter.trim().split_once('='));
    pairs
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// A word that was not used before: for tags, branches, Call-IDs.
pub(crate) fn token() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}x{count:x}", std::process::id())
}

/// The target of a request.
pub(crate) fn request_uri(request: &Message) -> &str {
    uri(request.start.split(' ').nth(1).unwrap_or_default())
}

/// What is between the angle brackets.
#[must_use]
pub(crate) fn uri(value: &str) -> &str {
    let inner = value.split_once('<').map_or(value, |(_, rest)| rest);
    inner.split_once('>').map_or(inner, |(uri, _)| uri)
}

/// An SDP that offers (or answers) G.711 at an endpoint, with a direction such as `sendrecv`.
#[must_use]
pub fn offer_sdp(endpoint: &RtpEndpoint, version: u32, direction: &str) -> String {
    let (ip, port) = (endpoint.address().ip(), endpoint.address().port());
    let session = endpoint.ssrc();
    format!(
        "v=0\r\no=- {session} {version} IN IP4 {ip}\r\ns=call\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=ptime:20\r\na={direction}\r\n"
    )
}

/// Where the first stream of an SDP is to be sent to.
///
/// # Panics
///
/// When the SDP does not say.
#[must_use]
#[track_caller]
pub fn sdp_endpoint(sdp: &str) -> SocketAddr {
    let media = sdp.lines().find_map(|line| line.strip_prefix("m="));
    let port = media.and_then(|rest| rest.split(' ').nth(1));
    let port = port.and_then(|port| port.parse().ok());
    // The address of the medium, if any, stands after that of the session.
    let mut ip = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("c=IN IP"))
        .filter_map(|rest| rest.get(2..)?.parse().ok());
    let (Some(port), Some(ip)) = (port, ip.next_back()) else {
        panic!("no address in {sdp}");
    };
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_wrote() {
        let message = Message::new("INVITE sip:bob@example.com SIP/2.0")
            .with("Via", "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1;rport")
            .with("CSeq", "7 INVITE")
            .with("Contact", "<sip:alice@127.0.0.1:5060>;expires=5")
            .with_sdp("v=0\r\n");
        let again = Message::parse(&message.to_bytes());
        assert_eq!(again.method(), Some("INVITE"));
        assert_eq!(again.status(), None);
        assert_eq!(again.branch(), "z9hG4bK1");
        assert_eq!(again.cseq(), (7, "INVITE"));
        assert_eq!(again.contact_uri(), "sip:alice@127.0.0.1:5060");
        assert_eq!(again.body, "v=0\r\n");
    }

    #[test]
    #[should_panic(expected = "Content-Length")]
    fn refuses_a_length_that_is_not_true() {
        let _ = Message::parse(b"SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nv=0\r\n");
    }

    #[test]
    fn finds_the_address_of_a_medium() {
        let sdp = "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 30000 RTP/AVP 0\r\nc=IN IP4 127.0.0.2\r\n";
        assert_eq!(sdp_endpoint(sdp), "127.0.0.2:30000".parse().unwrap());
    }
}
