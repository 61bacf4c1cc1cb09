//! Messages that get somewhere: with credentials, tags and branches that fit.

use md5::{Digest, Md5};
use sip_proxy_message::{HeaderId, Message, Response};

use crate::secret::hex;

pub(super) const REALM: &str = "example.com";

/// The last challenge that the proxy sent.
#[derive(Clone, Debug)]
pub(super) struct Challenge {
    nonce: String,
}

impl Challenge {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let message = Message::parse(bytes).ok()?;
        let value = message
            .header(HeaderId::WwwAuthenticate)
            .or_else(|| message.header(HeaderId::ProxyAuthenticate))?;
        let text = str::from_utf8(value).ok()?;
        let nonce = text.split("nonce=\"").nth(1)?.split('"').next()?;
        Some(Self {
            nonce: nonce.to_owned(),
        })
    }
}

/// HA1 of a demo account, whose password is its name.
pub(super) fn ha1(user: &str) -> String {
    md5_hex(&format!("{user}:{REALM}:{user}"))
}

fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

/// Somebody who sends requests outside dialogs.
#[derive(Debug)]
pub(super) struct Actor<'a> {
    user: &'static str,
    number: u32,
    challenge: Option<&'a Challenge>,
}

impl<'a> Actor<'a> {
    pub(super) const fn new(choice: u8, number: u32, challenge: Option<&'a Challenge>) -> Self {
        Self {
            user: if choice.is_multiple_of(2) {
                "alice"
            } else {
                "bob"
            },
            number,
            challenge,
        }
    }

    /// A request of a kind that `choice` says.
    pub(super) fn request(&self, choice: u8) -> Vec<u8> {
        let (user, number) = (self.user, self.number);
        let (method, uri) = match choice % 8 {
            0..=2 => ("REGISTER", format!("sip:{REALM}")),
            3..=5 => ("INVITE", format!("sip:{}@{REALM}", self.other())),
            6 => ("INVITE", "sip:dave@example.net".to_owned()),
            _ => ("MESSAGE", format!("sip:{}@{REALM}", self.other())),
        };
        let credentials = self.credentials(method, &uri);
        let more = match method {
            "REGISTER" if choice >= 240 => "Contact: *\r\nExpires: 0\r\n".to_owned(),
            "REGISTER" => format!("Contact: <sip:{user}@198.51.100.1:{number}>;q=0.{choice}\r\n"),
            _ => format!("Contact: <sip:{user}@198.51.100.1>\r\nContent-Type: application/sdp\r\n"),
        };
        let to = if method == "REGISTER" {
            format!("sip:{user}@{REALM}")
        } else {
            uri.clone()
        };
        let body = if method == "INVITE" && choice < 200 {
            "v=0\r\n"
        } else {
            ""
        };
        // Some requests come again under the same branch, some calls with the same Call-ID.
        let branch = if choice >= 220 { 1 } else { number };
        let call_id = number / u32::from(choice % 3 + 1);
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKf{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{REALM}>;tag={user}{call_id}\r\nTo: <{to}>\r\n\
             Call-ID: c{call_id}\r\nCSeq: {number} {method}\r\n{credentials}{more}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    const fn other(&self) -> &'static str {
        match self.user.as_bytes() {
            b"alice" => "bob",
            _ => "alice",
        }
    }

    fn credentials(&self, method: &str, uri: &str) -> String {
        let Some(Challenge { nonce }) = self.challenge else {
            return String::new();
        };
        let user = self.user;
        let count = format!("{:08x}", self.number);
        let ha2 = md5_hex(&format!("{method}:{uri}"));
        let ha1 = ha1(user);
        let response = md5_hex(&format!("{ha1}:{nonce}:{count}:c:auth:{ha2}"));
        let header = match method {
            "REGISTER" => "Authorization",
            _ => "Proxy-Authorization",
        };
        format!(
            "{header}: Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", \
             uri=\"{uri}\", response=\"{response}\", cnonce=\"c\", nc={count}, qop=auth\r\n"
        )
    }
}

/// A response to a request that the proxy sent.
pub(super) fn response(request: &[u8], choice: u8) -> Option<Vec<u8>> {
    const STATUSES: [u16; 12] = [100, 180, 183, 200, 200, 302, 401, 486, 487, 503, 603, 699];
    let request = Message::parse(request).ok()?;
    request.method()?;
    let status = STATUSES[usize::from(choice) % STATUSES.len()];
    let mut response = Response::new(&request, status);
    response.to_tag(if choice < 128 { b"x" } else { b"y" });
    response.copy_record_route();
    response.header(HeaderId::Contact, b"<sip:bob@198.51.100.3>");
    if choice.is_multiple_of(2) {
        response.body(b"application/sdp", b"v=0 answer\r\n");
    }
    Some(response.to_vec())
}

/// A request that follows a message of the proxy: inside the dialog of a response, or the CANCEL
/// or ACK of its transaction.
pub(super) fn follow(message: &[u8], choice: u8, number: u32) -> Option<Vec<u8>> {
    let message = Message::parse(message).ok()?;
    let value = |id| message.header(id).map(String::from_utf8_lossy);
    let (from, to) = (value(HeaderId::From)?, value(HeaderId::To)?);
    let is_request = message.method().is_some();
    let method = match choice % 8 {
        0 | 1 => "ACK",
        2 => "BYE",
        3 => "INVITE",
        4 => "UPDATE",
        5 => "PRACK",
        _ => "CANCEL",
    };
    let via = match (method, is_request) {
        ("CANCEL" | "ACK", false) => value(HeaderId::Via)?.into_owned(),
        _ => format!("SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKd{number}"),
    };
    let cseq = if matches!(method, "CANCEL" | "ACK") {
        message.cseq().ok()?.number
    } else {
        number
    };
    let (from, to) = if is_request { (to, from) } else { (from, to) };
    let mut routes = String::new();
    for route in message.headers(HeaderId::RecordRoute) {
        routes += &format!("Route: {}\r\n", String::from_utf8_lossy(route));
    }
    let call_id = value(HeaderId::CallId)?;
    let body = if choice < 128 { "v=0 again\r\n" } else { "" };
    let text = format!(
        "{method} sip:x@198.51.100.3 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\n{routes}\
         From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:x@198.51.100.2>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Some(text.into_bytes())
}
