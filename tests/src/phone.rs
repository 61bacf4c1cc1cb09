//! A phone in a few hundred lines: registers, calls, is called, and takes nothing out of order.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::Message;
use crate::sip::{parameter, uri};

/// Time that any single message may take to arrive.
const MESSAGE_LIMIT: Duration = Duration::from_secs(5);

/// Time after which a request is sent again: T1 of RFC 3261, without the doubling.
const RETRANSMIT_INTERVAL: Duration = Duration::from_millis(500);

/// Messages that are remembered to tell a retransmission from a new one.
const SEEN_MAX: usize = 64;

/// Somebody's place at a registrar.
#[derive(Clone, Debug)]
pub struct Account {
    /// User part of the address.
    pub user: String,
    /// The secret.
    pub password: String,
    /// Host part of the address.
    pub domain: String,
}

impl Account {
    /// The address of record.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }
}

/// The digest algorithms of RFC 7616 that a phone may know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HashKind {
    /// As every phone has it.
    Md5,
    /// RFC 8760.
    Sha256,
}

impl HashKind {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hex(self, text: &str) -> String {
        let digest = match self {
            Self::Md5 => Md5::digest(text).to_vec(),
            Self::Sha256 => Sha256::digest(text).to_vec(),
        };
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A user agent on one UDP socket.
#[derive(Debug)]
pub struct Phone {
    socket: UdpSocket,
    proxy: SocketAddr,
    account: Account,
    hash: HashKind,
    inbox: VecDeque<Message>,
    seen: VecDeque<Vec<u8>>,
}

/// A call that was sent out and is not answered yet.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The INVITE as it was accepted: with credentials.
    pub request: Message,
}

/// A call that stands.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Its Call-ID.
    pub call_id: String,
    local: String,
    remote: String,
    target: String,
    routes: Vec<String>,
    cseq: u32,
}

impl Dialog {
    /// What the called side knows of a call, once it answered `request` with `response`.
    #[must_use]
    #[track_caller]
    pub fn of_callee(request: &Message, response: &Message) -> Self {
        Self {
            call_id: request.expect("Call-ID").to_owned(),
            local: response.expect("To").to_owned(),
            remote: request.expect("From").to_owned(),
            target: request.contact_uri().to_owned(),
            routes: request.record_routes().collect(),
            cseq: 100,
        }
    }

    /// What the calling side knows of a call that was answered.
    #[must_use]
    #[track_caller]
    pub fn of_caller(request: &Message, response: &Message) -> Self {
        Self {
            call_id: request.expect("Call-ID").to_owned(),
            local: request.expect("From").to_owned(),
            remote: response.expect("To").to_owned(),
            target: response.contact_uri().to_owned(),
            routes: response.record_routes().rev().collect(),
            cseq: request.cseq().0,
        }
    }
}

impl Phone {
    /// A phone at an address, behind a proxy.
    ///
    /// # Panics
    ///
    /// When the address is taken.
    #[must_use]
    #[track_caller]
    pub fn new(local: SocketAddr, proxy: SocketAddr, account: Account) -> Self {
        let socket = UdpSocket::bind(local).unwrap_or_else(|error| panic!("{local}: {error}"));
        Self {
            socket,
            proxy,
            account,
            hash: HashKind::Md5,
            inbox: VecDeque::new(),
            seen: VecDeque::new(),
        }
    }

    /// Chooses the digest algorithm.
    #[must_use]
    pub fn with_hash(mut self, hash: HashKind) -> Self {
        self.hash = hash;
        self
    }

    /// Whose phone it is.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Where it receives.
    ///
    /// # Panics
    ///
    /// Never: the socket is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("the socket is bound")
    }

    /// Registers for a while (0: ends the registration) and gives the final response.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn register(&mut self, expires_s: u32) -> Message {
        let domain = self.account.domain.clone();
        let aor = self.account.uri();
        let contact = format!("<sip:{}@{}>", self.account.user, self.address());
        let request = self
            .request("REGISTER", &format!("sip:{domain}"))
            .with("From", format!("<{aor}>;tag={}", token()))
            .with("To", format!("<{aor}>"))
            .with("Call-ID", token())
            .with("CSeq", "1 REGISTER")
            .with("Contact", contact)
            .with("Expires", expires_s.to_string());
        self.transact(request).1
    }

    /// Calls an address of record of the own domain: sends the INVITE, answers the challenge.
    ///
    /// # Panics
    ///
    /// When the proxy refuses before it tries.
    #[track_caller]
    pub fn invite(&mut self, callee: &str, sdp: &str) -> Invitation {
        let invitation = self.begin_invite(callee, sdp);
        let status = self.response(&invitation).status();
        assert_eq!(status, Some(100), "the proxy tries");
        invitation
    }

    /// As [`Self::invite`] (an empty SDP: without one), but leaves every response after the challenge to be read.
    ///
    /// # Panics
    ///
    /// When there is no challenge.
    #[track_caller]
    pub fn begin_invite(&mut self, callee: &str, sdp: &str) -> Invitation {
        let target = format!("sip:{callee}@{}", self.account.domain);
        let aor = self.account.uri();
        let contact = format!("<sip:{}@{}>", self.account.user, self.address());
        let request = self
            .request("INVITE", &target)
            .with("From", format!("<{aor}>;tag={}", token()))
            .with("To", format!("<{target}>"))
            .with("Call-ID", token())
            .with("CSeq", "1 INVITE")
            .with("Contact", contact)
            .with("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE");
        let request = if sdp.is_empty() {
            request
        } else {
            request.with_sdp(sdp)
        };
        self.send(&request);
        let challenge = self.await_response(&request);
        assert_eq!(challenge.status(), Some(407), "{challenge:?}");
        self.acknowledge_refusal(&request, &challenge);
        let request = self.with_credentials(&request, &challenge);
        self.send(&request);
        Invitation { request }
    }

    /// The next response to an INVITE, in the order of arrival.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn response(&mut self, invitation: &Invitation) -> Message {
        self.await_response(&invitation.request)
    }

    /// The next response to an INVITE must have this status. A refusal is acknowledged.
    ///
    /// # Panics
    ///
    /// When it has another.
    #[track_caller]
    pub fn expect_response(&mut self, invitation: &Invitation, status: u16) -> Message {
        let response = self.response(invitation);
        assert_eq!(response.status(), Some(status), "{response:?}");
        if status >= 300 {
            self.acknowledge_refusal(&invitation.request, &response);
        }
        response
    }

    /// Acknowledges the answer to an INVITE: the call stands.
    #[track_caller]
    pub fn acknowledge(&mut self, invitation: &Invitation, answer: &Message) -> Dialog {
        self.acknowledge_with(invitation, answer, None)
    }

    /// As [`Self::acknowledge`], with the answer to an offer that came with the response.
    #[track_caller]
    pub fn acknowledge_with(
        &mut self,
        invitation: &Invitation,
        answer: &Message,
        sdp: Option<&str>,
    ) -> Dialog {
        let dialog = Dialog::of_caller(&invitation.request, answer);
        let cseq = format!("{} ACK", dialog.cseq);
        let mut acknowledgement = self.within_dialog(&dialog, "ACK").with("CSeq", cseq);
        if let Some(sdp) = sdp {
            acknowledgement = acknowledgement.with_sdp(sdp);
        }
        self.send(&acknowledgement);
        dialog
    }

    /// Gives up a call that rings, and waits for the 200 of the CANCEL.
    ///
    /// # Panics
    ///
    /// When the CANCEL is not accepted.
    #[track_caller]
    pub fn cancel(&mut self, invitation: &Invitation) {
        let invite = &invitation.request;
        let (number, _) = invite.cseq();
        let target = request_uri(invite).to_owned();
        let request = Message::new(format!("CANCEL {target} SIP/2.0"))
            .with("Via", invite.expect("Via"))
            .with("Max-Forwards", "70")
            .with("From", invite.expect("From"))
            .with("To", invite.expect("To"))
            .with("Call-ID", invite.expect("Call-ID"))
            .with("CSeq", format!("{number} CANCEL"));
        self.send(&request);
        let response = self.await_response(&request);
        assert_eq!(response.status(), Some(200), "{response:?}");
    }

    /// Sends a request within a call and waits for its final response.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn ask(&mut self, dialog: &mut Dialog, method: &str, sdp: Option<&str>) -> Message {
        dialog.cseq += 1;
        let contact = format!("<sip:{}@{}>", self.account.user, self.address());
        let mut request = self
            .within_dialog(dialog, method)
            .with("CSeq", format!("{} {method}", dialog.cseq));
        if let Some(sdp) = sdp {
            request = request.with("Contact", contact).with_sdp(sdp);
        }
        let (_, response) = self.transact(request);
        response
    }

    /// Sends a re-INVITE with an offer; `answer` is whoever answers it on the other side.
    ///
    /// # Panics
    ///
    /// When it is not accepted.
    #[track_caller]
    pub fn reinvite(
        &mut self,
        dialog: &mut Dialog,
        sdp: &str,
        answer: impl FnOnce(&Message),
    ) -> Message {
        dialog.cseq += 1;
        let contact = format!("<sip:{}@{}>", self.account.user, self.address());
        let request = self
            .within_dialog(dialog, "INVITE")
            .with("CSeq", format!("{} INVITE", dialog.cseq))
            .with("Contact", contact)
            .with_sdp(sdp);
        self.send(&request);
        answer(&request);
        let response = self.await_final(&request);
        assert_eq!(response.status(), Some(200), "{response:?}");
        let acknowledgement = self
            .within_dialog(dialog, "ACK")
            .with("CSeq", format!("{} ACK", dialog.cseq));
        self.send(&acknowledgement);
        response
    }

    /// Hangs up; `other` answers the BYE on the other side.
    ///
    /// # Panics
    ///
    /// When the BYE is not accepted.
    #[track_caller]
    pub fn hang_up(&mut self, dialog: &mut Dialog, other: &mut Self) {
        dialog.cseq += 1;
        let cseq = format!("{} BYE", dialog.cseq);
        let request = self.within_dialog(dialog, "BYE").with("CSeq", cseq);
        self.send(&request);
        let bye = other.expect_request("BYE");
        other.reply(&bye, 200, "OK", None);
        let response = self.await_final(&request);
        assert_eq!(response.status(), Some(200), "{response:?}");
    }

    /// The next request that arrives must be of this method.
    ///
    /// # Panics
    ///
    /// When it is of another, or none comes.
    #[track_caller]
    pub fn expect_request(&mut self, method: &str) -> Message {
        self.expect_request_within(method, MESSAGE_LIMIT)
    }

    /// As [`Self::expect_request`], with a limit of its own.
    ///
    /// # Panics
    ///
    /// When it is of another method, or none comes.
    #[track_caller]
    pub fn expect_request_within(&mut self, method: &str, limit: Duration) -> Message {
        let request = self.next(limit);
        let request = request.unwrap_or_else(|| panic!("no {method} for {}", self.account.user));
        assert_eq!(request.method(), Some(method), "{request:?}");
        request
    }

    /// Answers a request, with an SDP if there is one. Gives what was sent.
    #[track_caller]
    pub fn reply(
        &mut self,
        request: &Message,
        status: u16,
        reason: &str,
        sdp: Option<&str>,
    ) -> Message {
        let mut response = Message::new(format!("SIP/2.0 {status} {reason}"));
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.headers(name) {
                let needs_tag = name == "To" && status != 100 && parameter(value, "tag").is_none();
                let value = if needs_tag {
                    format!("{value};tag=callee-{}", request.expect("Call-ID"))
                } else {
                    value.to_owned()
                };
                response = response.with(name, value);
            }
        }
        let contact = format!("<sip:{}@{}>", self.account.user, self.address());
        response = response.with("Contact", contact);
        if let Some(sdp) = sdp {
            response = response.with_sdp(sdp);
        }
        self.send(&response);
        response
    }

    /// Whether nothing more arrives for a while. Retransmissions do not count.
    pub fn is_quiet(&mut self, limit: Duration) -> bool {
        self.next(limit).is_none()
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    ///
    /// When the system refuses them.
    #[track_caller]
    pub fn send_raw(&self, datagram: &[u8]) {
        let sent = self.socket.send_to(datagram, self.proxy);
        assert_eq!(sent.expect("loopback takes packets"), datagram.len());
    }

    /// Sends a request, answers a challenge once, and gives the request that was answered and the
    /// final response to it.
    #[track_caller]
    pub fn transact(&mut self, request: Message) -> (Message, Message) {
        self.send(&request);
        let response = self.await_final(&request);
        if !matches!(response.status(), Some(401 | 407)) {
            return (request, response);
        }
        let request = self.with_credentials(&request, &response);
        self.send(&request);
        let response = self.await_final(&request);
        (request, response)
    }

    /// Sends a request and gives its final response, whatever it is.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn send_and_await(&mut self, request: &Message) -> Message {
        self.send(request);
        self.await_final(request)
    }

    /// A request with what the transaction layer needs.
    #[must_use]
    pub fn request(&self, method: &str, target: &str) -> Message {
        let via = format!(
            "SIP/2.0/UDP {};branch=z9hG4bK{};rport",
            self.address(),
            token()
        );
        Message::new(format!("{method} {target} SIP/2.0"))
            .with("Via", via)
            .with("Max-Forwards", "70")
    }

    fn within_dialog(&self, dialog: &Dialog, method: &str) -> Message {
        let mut request = self.request(method, &dialog.target);
        for route in &dialog.routes {
            request = request.with("Route", route);
        }
        request
            .with("From", &dialog.local)
            .with("To", &dialog.remote)
            .with("Call-ID", &dialog.call_id)
    }

    /// The ACK of a refusal belongs to the INVITE's transaction (RFC 3261 §17.1.1.3).
    #[track_caller]
    fn acknowledge_refusal(&self, invite: &Message, response: &Message) {
        let (number, _) = invite.cseq();
        let acknowledgement = Message::new(format!("ACK {} SIP/2.0", request_uri(invite)))
            .with("Via", invite.expect("Via"))
            .with("Max-Forwards", "70")
            .with("From", invite.expect("From"))
            .with("To", response.expect("To"))
            .with("Call-ID", invite.expect("Call-ID"))
            .with("CSeq", format!("{number} ACK"));
        self.send(&acknowledgement);
    }

    /// The same request once more, in a new transaction and with an answer to the challenge.
    #[track_caller]
    fn with_credentials(&self, request: &Message, challenge: &Message) -> Message {
        let (asked, answered) = match challenge.status() {
            Some(401) => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let offered: Vec<&str> = challenge.headers(asked).collect();
        let chosen = offered.iter().find(|value| self.understands(value));
        let Some(chosen) = chosen else {
            panic!("no challenge with {}: {offered:?}", self.hash.name());
        };
        let (number, method) = request.cseq();
        let credentials = self.answer(chosen, method, request_uri(request));
        let mut again = Message::new(request.start.clone());
        for (name, value) in &request.headers {
            again = match name.as_str() {
                "Via" => again.with(name, self.request("", "").expect("Via")),
                "CSeq" => again.with(name, format!("{} {method}", number + 1)),
                _ => again.with(name, value),
            };
        }
        again.body.clone_from(&request.body);
        again.with(answered, credentials)
    }

    fn understands(&self, challenge: &str) -> bool {
        let algorithm = digest_parameter(challenge, "algorithm");
        algorithm.unwrap_or("MD5") == self.hash.name()
    }

    /// RFC 7616 §3.4.1, with `qop=auth`.
    #[track_caller]
    fn answer(&self, challenge: &str, method: &str, target: &str) -> String {
        let must = |name| {
            digest_parameter(challenge, name)
                .unwrap_or_else(|| panic!("no {name} in the challenge {challenge}"))
        };
        let (realm, nonce) = (must("realm"), must("nonce"));
        let (user, password) = (&self.account.user, &self.account.password);
        let (cnonce, count) = (token(), "00000001");
        let ha1 = self.hash.hex(&format!("{user}:{realm}:{password}"));
        let ha2 = self.hash.hex(&format!("{method}:{target}"));
        let response = self
            .hash
            .hex(&format!("{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}"));
        let opaque = digest_parameter(challenge, "opaque")
            .map_or_else(String::new, |opaque| format!(", opaque=\"{opaque}\""));
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{target}\", \
             response=\"{response}\", algorithm={}, cnonce=\"{cnonce}\", qop=auth, \
             nc={count}{opaque}",
            self.hash.name()
        )
    }

    #[track_caller]
    fn send(&self, message: &Message) {
        self.send_raw(&message.to_bytes());
    }

    #[track_caller]
    fn await_final(&mut self, request: &Message) -> Message {
        loop {
            let response = self.await_response(request);
            if response.status().is_some_and(|status| status >= 200) {
                return response;
            }
        }
    }

    /// The next response to a request. The request is sent again while there is none; requests
    /// that arrive meanwhile are kept.
    #[track_caller]
    fn await_response(&mut self, request: &Message) -> Message {
        let deadline = Instant::now() + MESSAGE_LIMIT;
        let mut kept = VecDeque::new();
        let mut found = None;
        while found.is_none() && Instant::now() < deadline {
            match self.next(RETRANSMIT_INTERVAL) {
                Some(message) if belongs_to(&message, request) => found = Some(message),
                Some(message) => kept.push_back(message),
                None => self.send(request),
            }
        }
        kept.append(&mut self.inbox);
        self.inbox = kept;
        found.unwrap_or_else(|| {
            let user = &self.account.user;
            panic!("{user}: no response to {}", request.start)
        })
    }

    /// The next message that is not a retransmission.
    #[track_caller]
    fn next(&mut self, limit: Duration) -> Option<Message> {
        if let Some(message) = self.inbox.pop_front() {
            return Some(message);
        }
        let deadline = Instant::now() + limit;
        let mut buffer = [0; 65_536];
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            let left = left.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).ok()?;
            match self.socket.recv_from(&mut buffer) {
                Ok((len, _)) if self.is_new(&buffer[..len]) => {
                    return Some(Message::parse(&buffer[..len]));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => return None,
            }
        }
    }

    /// Remembers a datagram. Blank ones are keep-alives (RFC 5626 §3.5.1).
    fn is_new(&mut self, datagram: &[u8]) -> bool {
        if datagram.iter().all(u8::is_ascii_whitespace)
            || self.seen.iter().any(|seen| seen == datagram)
        {
            return false;
        }
        if self.seen.len() == SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(datagram.to_vec());
        true
    }
}

#[track_caller]
fn belongs_to(message: &Message, request: &Message) -> bool {
    message.status().is_some()
        && message.branch() == request.branch()
        && message.cseq().1 == request.cseq().1
}

fn request_uri(request: &Message) -> &str {
    uri(request.start.split(' ').nth(1).unwrap_or_default())
}

/// A parameter of a challenge, without its quotes.
fn digest_parameter<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let parameters = challenge.strip_prefix("Digest ")?.split(',');
    let mut pairs = parameters.filter_map(|parameter| parameter.trim().split_once('='));
    pairs
        .find(|(other, _)| *other == name)
        .map(|(_, value)| value.trim_matches('"'))
}

/// A word that was not used before: for tags, branches, Call-IDs.
fn token() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}x{count:x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 §3.9.1.
    #[test]
    fn answers_a_challenge_as_the_rfc_does() {
        for (hash, expected) in [
            (HashKind::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                HashKind::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let ha1 = hash.hex("Mufasa:http-auth@example.org:Circle of Life");
            let ha2 = hash.hex("GET:/dir/index.html");
            let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let response = hash.hex(&format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"));
            assert_eq!(response, expected);
        }
    }

    #[test]
    fn finds_the_parameters_of_a_challenge() {
        let challenge = "Digest realm=\"a b\", algorithm=MD5, qop=\"auth\",nonce=\"x=y\"";
        assert_eq!(digest_parameter(challenge, "realm"), Some("a b"));
        assert_eq!(digest_parameter(challenge, "nonce"), Some("x=y"));
        assert_eq!(digest_parameter(challenge, "opaque"), None);
    }
}
