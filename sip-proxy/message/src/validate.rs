//! What must hold before a request or a response is processed (RFC 3261 §8.2, §16.3, §18.1.2).

use crate::header::HeaderId;
use crate::message::{Message, ParseError};

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Answer with this status, made by [`Response`](crate::Response).
    Answer {
        /// 400, 416, 420, 483, 505 …
        status: u16,
        /// The phrase says what is wrong.
        reason: &'static str,
        /// For 420: the header whose option tags we do not know; put those that are not in the
        /// list given to [`validate_request`] into Unsupported.
        unsupported: Option<HeaderId>,
    },
    /// No answer is possible: an ACK, a response, or nobody to send it to.
    Drop {
        /// For a counter.
        reason: &'static str,
    },
}

/// Checks a request. `options` are the option tags of Proxy-Require that are supported.
///
/// # Errors
/// If it is to be answered or dropped at once.
pub fn validate_request(_message: &Message<'_>, _options: &[&[u8]]) -> Result<(), Refusal> {
    todo!()
}

/// Checks a response: what is needed to find its transaction and to pass it on.
///
/// # Errors
/// If it is to be dropped.
pub fn validate_response(_message: &Message<'_>) -> Result<(), Refusal> {
    todo!()
}

/// Reads what [`Message::parse`] refused as far as that can be done, to answer it: 400 if this
/// returns a request. Lines that are broken are passed over, of duplicates the first is taken. The
/// result is for [`Response`](crate::Response) only, and must never be passed on. `None` if no
/// answer is possible.
#[must_use]
pub fn salvage(_bytes: &[u8], _error: ParseError) -> Option<Message<'_>> {
    todo!()
}
