//! An ng client of our own: what a proxy is to control, and a second opinion on the encoding.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Time that control has for a reply.
const REPLY_LIMIT: Duration = Duration::from_secs(5);

/// A value of bencode. Strings are shown as text, lossily.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    /// `d…e`
    Dictionary(BTreeMap<String, Self>),
    /// `i…e`
    Integer(i64),
    /// `l…e`
    List(Vec<Self>),
    /// `N:…`
    Text(String),
}

impl Value {
    /// An entry of a dictionary.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dictionary(entries) => entries.get(key),
            _ => None,
        }
    }

    /// A text among the entries of a dictionary; empty if there is none.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        match self.find(key) {
            Some(Self::Text(text)) => text,
            _ => "",
        }
    }

    /// A number at the end of a path of keys.
    #[must_use]
    pub fn integer(&self, path: &[&str]) -> Option<i64> {
        let found = path.iter().try_fold(self, |value, key| value.find(key));
        match found {
            Some(Self::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// The entries of a dictionary or list, without their keys.
    pub fn entries(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match self {
            Self::Dictionary(entries) => Box::new(entries.values()),
            Self::List(entries) => Box::new(entries.iter()),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// A list of texts.
    #[must_use]
    pub fn list(texts: &[&str]) -> Self {
        Self::List(texts.iter().map(|text| (*text).into()).collect())
    }

    /// As it is sent.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Dictionary(entries) => {
                let entry = |(key, value): (&String, &Self)| {
                    format!("{}:{key}{}", key.len(), value.encode())
                };
                format!("d{}e", entries.iter().map(entry).collect::<String>())
            }
            Self::Integer(number) => format!("i{number}e"),
            Self::List(entries) => {
                format!("l{}e", entries.iter().map(Self::encode).collect::<String>())
            }
            Self::Text(text) => format!("{}:{text}", text.len()),
        }
    }

    /// Reads one value that fills the bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (value, rest) = decode_value(bytes, 0)?;
        rest.is_empty().then_some(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Sends requests from one socket.
#[derive(Debug)]
pub struct NgClient {
    socket: UdpSocket,
}

impl NgClient {
    /// A client of a server on loopback, at an address near it: on the server's own, its port
    /// might pass for one of the media.
    ///
    /// # Panics
    ///
    /// When the system has no sockets left.
    #[must_use]
    pub fn new(server: SocketAddr) -> Self {
        let IpAddr::V4(ip) = server.ip() else {
            panic!("{server}: a site's network is IPv4");
        };
        let local = Ipv4Addr::from_bits(ip.to_bits() + 100);
        let socket = UdpSocket::bind((local, 0)).expect("loopback has free ports");
        socket.connect(server).expect("loopback is connected");
        Self { socket }
    }

    /// Asks and waits for the answer, sending again each second as proxies do.
    ///
    /// # Panics
    ///
    /// When no answer comes.
    #[track_caller]
    pub fn request(&self, command: &str, entries: &[(&str, &str)]) -> Value {
        let entries = entries.iter().map(|(key, value)| (*key, (*value).into()));
        self.ask(command, entries)
    }

    /// As [`Self::request`], with values of any kind.
    ///
    /// # Panics
    ///
    /// When no answer comes.
    #[track_caller]
    pub fn ask<'a>(
        &self,
        command: &str,
        entries: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Value {
        let mut request = BTreeMap::from([("command".to_owned(), command.into())]);
        let entries = entries.into_iter();
        request.extend(entries.map(|(key, value)| (key.to_owned(), value)));
        let payload = Value::Dictionary(request).encode();
        let reply = self.exchange(payload.as_bytes(), REPLY_LIMIT);
        let reply = reply.unwrap_or_else(|| panic!("no reply to {command}"));
        Value::decode(&reply).unwrap_or_else(|| {
            let reply = String::from_utf8_lossy(&reply);
            panic!("not a reply to {command}: {reply}")
        })
    }

    /// Sends a payload under a cookie of its own and waits for the reply's payload.
    pub fn exchange(&self, payload: &[u8], limit: Duration) -> Option<Vec<u8>> {
        let cookie = format!("{}_{} ", std::process::id(), next_cookie());
        let mut message = cookie.clone().into_bytes();
        message.extend_from_slice(payload);
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            // A server that is not there yet refuses; it may be there in a second.
            let _ = self.socket.send(&message);
            let again = deadline.min(Instant::now() + Duration::from_secs(1));
            if let Some(reply) = self.receive(cookie.as_bytes(), again) {
                return Some(reply);
            }
        }
        None
    }

    /// Sends a datagram as it is.
    ///
    /// # Errors
    ///
    /// When the server's port was found closed.
    pub fn send_raw(&self, datagram: &[u8]) -> io::Result<usize> {
        self.socket.send(datagram)
    }

    /// The next datagram that comes, whatever it answers; `None` if none comes in time, or the
    /// server's port was found closed.
    pub fn receive_raw(&self, limit: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(limit)).ok()?;
        let mut buffer = vec![0; 65_536];
        let len = self.socket.recv(&mut buffer).ok()?;
        buffer.truncate(len);
        Some(buffer)
    }

    /// Whether the server answers a ping in time.
    pub fn is_alive(&self, limit: Duration) -> bool {
        self.exchange(b"d7:command4:pinge", limit)
            .is_some_and(|reply| reply == b"d6:result4:ponge")
    }

    fn receive(&self, cookie: &[u8], deadline: Instant) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            let left = left.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).ok()?;
            match self.socket.recv(&mut buffer) {
                Ok(len) => {
                    if let Some(payload) = buffer[..len].strip_prefix(cookie) {
                        return Some(payload.to_vec());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::thread::sleep(Duration::from_millis(20));
                    return None;
                }
                Err(_) => {}
            }
        }
    }
}

/// Unlike any other of this process: rtpengine takes requests with the same cookie for the same
/// request, whoever sends them.
fn next_cookie() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Nesting that no reply needs more of.
const DEPTH_MAX: u32 = 32;

fn decode_value(bytes: &[u8], depth: u32) -> Option<(Value, &[u8])> {
    if depth > DEPTH_MAX {
        return None;
    }
    match bytes.first()? {
        b'd' => {
            let mut rest = &bytes[1..];
            let mut entries = BTreeMap::new();
            while rest.first()? != &b'e' {
                let (key, after) = decode_text(rest)?;
                let (value, after) = decode_value(after, depth + 1)?;
                entries.insert(key, value);
                rest = after;
            }
            Some((Value::Dictionary(entries), &rest[1..]))
        }
        b'l' => {
            let mut rest = &bytes[1..];
            let mut entries = Vec::new();
            while rest.first()? != &b'e' {
                let (value, after) = decode_value(rest, depth + 1)?;
                entries.push(value);
                rest = after;
            }
            Some((Value::List(entries), &rest[1..]))
        }
        b'i' => {
            let (number, rest) = split_at_byte(&bytes[1..], b'e')?;
            Some((Value::Integer(number.parse().ok()?), rest))
        }
        _ => decode_text(bytes).map(|(text, rest)| (Value::Text(text), rest)),
    }
}

fn decode_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (len, rest) = split_at_byte(bytes, b':')?;
    let (text, rest) = rest.split_at_checked(len.parse().ok()?)?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}

fn split_at_byte(bytes: &[u8], end: u8) -> Option<(&str, &[u8])> {
    let at = bytes.iter().position(|byte| *byte == end)?;
    Some((str::from_utf8(&bytes[..at]).ok()?, &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_nested() {
        let value = Value::decode(b"d1:ad1:bi-7ee1:cl2:xy1:zee").unwrap();
        assert_eq!(value.integer(&["a", "b"]), Some(-7));
        assert_eq!(value.find("c").unwrap().entries().count(), 2);
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let value = Value::decode(b"d1:ad1:bi-7ee1:cl2:xy1:zee").unwrap();
        assert_eq!(Value::decode(value.encode().as_bytes()), Some(value));
    }

    #[test]
    fn refuses_what_is_cut_short_or_goes_on() {
        let whole = b"d1:ad1:bi-7ee1:cl2:xy1:zee";
        for len in 0..whole.len() {
            assert_eq!(Value::decode(&whole[..len]), None);
        }
        assert_eq!(Value::decode(b"i1ei2e"), None);
    }
}
