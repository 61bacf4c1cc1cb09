//! One end of a dialog, as seen from between the two (RFC 3261 §12).
//!
//! A proxy needs no dialogs to forward requests. These are kept to end calls by ourselves, and to
//! send requests where a phone's messages come from when its Contact says something else.

use sip_proxy_message::{HeaderId, Message, Method, NameAddr, Request};

use crate::home::Home;
use crate::interface::Destination;
use crate::route::{Way, written};

/// One participant of a call.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    /// Its tag.
    pub(crate) tag: Vec<u8>,
    /// Its From or To, tag included.
    address: Vec<u8>,
    /// Its Contact: the request URI of what is sent to it.
    contact: Vec<u8>,
    /// The hops between us and it, nearest first.
    routes: Vec<Vec<u8>>,
    /// Where its messages come from.
    pub(crate) flow: Destination,
    /// The number of its last request.
    pub(crate) cseq: u32,
    /// Names its fork to the relay.
    pub(crate) media_branch: Option<String>,
}

/// Hops of one leg.
const HOP_COUNT_MAX: usize = 16;

impl Leg {
    /// The caller, from its INVITE.
    pub(crate) fn of_caller(invite: &Message<'_>, flow: Destination) -> Option<Self> {
        let routes = invite.record_route().map_while(Result::ok);
        Some(Self {
            tag: invite.from().ok()?.tag.unwrap_or_default().to_vec(),
            address: invite.header(HeaderId::From)?.to_vec(),
            contact: contact(invite).unwrap_or_default(),
            routes: routes
                .take(HOP_COUNT_MAX)
                .map(|hop| written(&hop))
                .collect(),
            flow,
            cseq: invite.cseq().ok()?.number,
            media_branch: None,
        })
    }

    /// A callee, from its response. Its hops stand above ours in Record-Route, farthest first.
    pub(crate) fn of_callee(
        home: &Home,
        response: &Message<'_>,
        flow: Destination,
        media_branch: Option<String>,
    ) -> Option<Self> {
        let to = response.to().ok()?;
        let mut routes = Vec::new();
        let mut is_ours_seen = false;
        for hop in response.record_route().map_while(Result::ok) {
            is_ours_seen = hop.parse_uri().is_ok_and(|uri| home.is_ours(&uri));
            if is_ours_seen || routes.len() == HOP_COUNT_MAX {
                break;
            }
            routes.insert(0, written(&hop));
        }
        if !is_ours_seen {
            routes.clear();
        }
        Some(Self {
            tag: to.tag?.to_vec(),
            address: response.header(HeaderId::To)?.to_vec(),
            contact: contact(response).unwrap_or_default(),
            routes,
            flow,
            cseq: 0,
            media_branch,
        })
    }

    /// A message of this participant arrived: it may have moved (RFC 3261 §12.2).
    pub(crate) fn refresh(&mut self, message: &Message<'_>, from: Destination) {
        let is_target_refresh = matches!(message.method(), Some(Method::Invite | Method::Update))
            || message.status().is_some_and(|status| status < 300);
        if is_target_refresh && let Some(contact) = contact(message) {
            self.contact = contact;
        }
        // Another address only with a new target; another port is what NATs do.
        if is_target_refresh || from.address.ip() == self.flow.address.ip() {
            self.flow = from;
        }
        if message.method().is_some()
            && let Ok(cseq) = message.cseq()
        {
            self.cseq = self.cseq.max(cseq.number);
        }
    }

    /// A request of our own to this participant, as if `other` had sent it.
    pub(crate) fn request(
        &self,
        other: &Self,
        method: Method<'_>,
        call_id: &[u8],
        cseq: u32,
        via: &str,
    ) -> Vec<u8> {
        let way = Way {
            uri: self.contact.clone(),
            routes: self.routes.clone(),
            token: None,
        };
        let (uri, routes) = way.to_write();
        let mut request = Request::new(method, &uri);
        request.header(HeaderId::Via, via.as_bytes());
        request.header(HeaderId::MaxForwards, b"70");
        for route in routes.iter() {
            request.header(HeaderId::Route, route);
        }
        let cseq = [cseq.to_string().as_bytes(), b" ", method.name()].concat();
        request
            .header(HeaderId::From, &other.address)
            .header(HeaderId::To, &self.address)
            .header(HeaderId::CallId, call_id)
            .header(HeaderId::CSeq, &cseq);
        request.to_vec()
    }

    /// Another way to it than Record-Route said: that of a request inside the dialog.
    pub(crate) fn replace_routes(&mut self, routes: Vec<Vec<u8>>) {
        self.routes = routes;
    }

    /// Whether requests can be sent to it at all.
    pub(crate) const fn is_reachable(&self) -> bool {
        !self.contact.is_empty()
    }
}

/// The URI of the only Contact that a message of a dialog has. All contacts were checked when it
/// came, so that none but a REGISTER has `*`.
fn contact(message: &Message<'_>) -> Option<Vec<u8>> {
    let id = HeaderId::Contact;
    let contact = NameAddr::parse(id, message.headers(id).next()?);
    Some(contact.ok()?.uri.to_vec())
}
