//! What the two sides of a call know of it (RFC 3261 §12).

use crate::Message;

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
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) cseq: u32,
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
