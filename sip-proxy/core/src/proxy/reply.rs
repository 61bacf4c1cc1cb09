//! Responses of our own.

use sip_proxy_message::{HeaderId, Message, Response, Rport};

use crate::Proxy;
use crate::interface::{Destination, Source, Transport};
use crate::secret::hex;

/// A response to be made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) reason: Option<&'static str>,
    pub(crate) headers: Vec<(HeaderId, String)>,
}

/// Seconds after which somebody who was refused for lack of room may try again.
const RETRY_AFTER_S: &str = "5";

impl Reply {
    pub(crate) const fn new(status: u16) -> Self {
        Self {
            status,
            reason: None,
            headers: Vec::new(),
        }
    }

    pub(crate) const fn because(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            reason: Some(reason),
            headers: Vec::new(),
        }
    }

    /// There is no room.
    pub(crate) fn overloaded() -> Self {
        Self::new(503).with(HeaderId::RetryAfter, RETRY_AFTER_S.to_owned())
    }

    pub(crate) fn with(mut self, id: HeaderId, value: String) -> Self {
        self.headers.push((id, value));
        self
    }
}

impl Proxy {
    /// The bytes of a response.
    pub(crate) fn emit_reply(&self, request: &Message<'_>, reply: &Reply) -> Vec<u8> {
        let mut response = Response::new(request, reply.status);
        if reply.status > 100 {
            response.to_tag(self.local_tag(request).as_bytes());
        }
        if let Some(reason) = reply.reason {
            response.reason(reason);
        }
        for (id, value) in &reply.headers {
            response.header(*id, value.as_bytes());
        }
        response.to_vec()
    }

    /// Answers without a transaction: retransmissions get the same answer by the same way.
    pub(crate) fn reply(&mut self, source: Source, request: &Message<'_>, reply: &Reply) {
        let bytes = self.emit_reply(request, reply);
        let destination = self.reply_destination(source, request);
        self.out.send(destination, bytes);
    }

    /// Where responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4), and requests to its sender
    /// as well. Over UDP that is where it came from, if it asks for that or is behind a NAT, else
    /// the port that it names. Over TCP it is the connection; the port is for when that is gone.
    pub(crate) fn reply_destination(&self, source: Source, request: &Message<'_>) -> Destination {
        let mut destination = Destination {
            listener: source.listener,
            address: source.address,
            connection: source.connection,
        };
        let is_tcp = self.home.transport(source.listener) == Transport::Tcp;
        if let Ok(via) = request.via()
            && (is_tcp || via.rport == Rport::Absent)
            && via.host.address() == Some(source.address.ip().to_canonical())
        {
            destination.address.set_port(via.port.unwrap_or(5060));
        }
        destination
    }

    /// A To tag that is the same for retransmissions and that nobody can guess.
    pub(crate) fn local_tag(&self, request: &Message<'_>) -> String {
        let call_id = request.call_id().unwrap_or_default();
        let from_tag = request.from().ok().and_then(|from| from.tag);
        let cseq = request.cseq().map_or(0, |cseq| cseq.number).to_be_bytes();
        let parts = [call_id, from_tag.unwrap_or_default(), &cseq];
        hex(&self.secret.code("tag", &parts))
    }
}
