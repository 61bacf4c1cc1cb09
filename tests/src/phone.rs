//! A phone in a few hundred lines: registers, calls, is called, and takes nothing out of order.

use std::net::SocketAddr;
use std::time::Duration;

use crate::digest::credentials;
use crate::line::{Line, MESSAGE_LIMIT};
use crate::sip::{parameter, request_uri, token};
use crate::{Account, Dialog, HashKind, Invitation, Message};

/// A user agent on one UDP socket.
#[derive(Debug)]
pub struct Phone {
    line: Line,
    account: Account,
    hash: HashKind,
    /// What its tags begin with, so that two phones of one account have different ones.
    name: String,
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
        Self {
            line: Line::new(local, proxy),
            account,
            hash: HashKind::Md5,
            name: token(),
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
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.line.address()
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
        self.line.send(&request);
        let challenge = self.line.await_response(&request);
        assert_eq!(challenge.status(), Some(407), "{challenge:?}");
        self.acknowledge_refusal(&request, &challenge);
        let request = self.with_credentials(&request, &challenge);
        self.line.send(&request);
        Invitation { request }
    }

    /// The next response to an INVITE, in the order of arrival.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn response(&mut self, invitation: &Invitation) -> Message {
        self.line.await_response(&invitation.request)
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
        self.line.send(&acknowledgement);
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
        self.line.send(&request);
        let response = self.line.await_response(&request);
        assert_eq!(response.status(), Some(200), "{response:?}");
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
        self.line.send(&request);
        answer(&request);
        let response = self.line.await_final(&request);
        assert_eq!(response.status(), Some(200), "{response:?}");
        let acknowledgement = self
            .within_dialog(dialog, "ACK")
            .with("CSeq", format!("{} ACK", dialog.cseq));
        self.line.send(&acknowledgement);
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
        self.line.send(&request);
        let bye = other.expect_request("BYE");
        other.reply(&bye, 200, "OK", None);
        let response = self.line.await_final(&request);
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
        let request = self.line.next(limit);
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
                    format!("{value};tag={}-{}", self.name, request.expect("Call-ID"))
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
        self.line.send(&response);
        response
    }

    /// Ends a call that rang here, since `cancel` says so (RFC 3261 §9.2).
    #[track_caller]
    pub fn give_way(&mut self, invite: &Message, cancel: &Message) {
        self.reply(cancel, 200, "OK", None);
        self.reply(invite, 487, "Request Terminated", None);
        self.expect_request("ACK");
    }

    /// Whether nothing more arrives for a while. Retransmissions do not count.
    pub fn is_quiet(&mut self, limit: Duration) -> bool {
        self.line.next(limit).is_none()
    }

    /// Sends a request, answers a challenge once, and gives the request that was answered and the
    /// final response to it.
    #[track_caller]
    pub fn transact(&mut self, request: Message) -> (Message, Message) {
        self.line.send(&request);
        let response = self.line.await_final(&request);
        if !matches!(response.status(), Some(401 | 407)) {
            return (request, response);
        }
        let request = self.with_credentials(&request, &response);
        self.line.send(&request);
        let response = self.line.await_final(&request);
        (request, response)
    }

    /// Sends a request and gives its final response, whatever it is.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[track_caller]
    pub fn send_and_await(&mut self, request: &Message) -> Message {
        self.line.send(request);
        self.line.await_final(request)
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
        self.line.send(&acknowledgement);
    }

    /// The same request once more, in a new transaction and with an answer to the challenge.
    #[track_caller]
    fn with_credentials(&self, request: &Message, challenge: &Message) -> Message {
        let (asked, answered) = match challenge.status() {
            Some(401) => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let offered: Vec<&str> = challenge.headers(asked).collect();
        let (number, method) = request.cseq();
        let target = request_uri(request);
        let credentials = credentials(&self.account, self.hash, &offered, method, target);
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
}
