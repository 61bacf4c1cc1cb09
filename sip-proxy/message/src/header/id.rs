//! The names of header fields, in any case and in compact form (RFC 3261 §7.3.3).

use std::fmt;

/// Which header a field is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum HeaderId {
    /// `Accept`.
    Accept,
    /// `Accept-Contact` or `a`.
    AcceptContact,
    /// `Accept-Encoding`.
    AcceptEncoding,
    /// `Accept-Language`.
    AcceptLanguage,
    /// `Alert-Info`.
    AlertInfo,
    /// `Allow`.
    Allow,
    /// `Allow-Events` or `u`.
    AllowEvents,
    /// `Authentication-Info`.
    AuthenticationInfo,
    /// `Authorization`.
    Authorization,
    /// `Call-ID` or `i`.
    CallId,
    /// `Call-Info`.
    CallInfo,
    /// `Contact` or `m`.
    Contact,
    /// `Content-Disposition`.
    ContentDisposition,
    /// `Content-Encoding` or `e`.
    ContentEncoding,
    /// `Content-Language`.
    ContentLanguage,
    /// `Content-Length` or `l`.
    ContentLength,
    /// `Content-Type` or `c`.
    ContentType,
    /// `CSeq`.
    CSeq,
    /// `Date`.
    Date,
    /// `Diversion`.
    Diversion,
    /// `Error-Info`.
    ErrorInfo,
    /// `Event` or `o`.
    Event,
    /// `Expires`.
    Expires,
    /// `Flow-Timer`.
    FlowTimer,
    /// `From` or `f`.
    From,
    /// `History-Info`.
    HistoryInfo,
    /// `Identity` or `y`.
    Identity,
    /// `Identity-Info` or `n`.
    IdentityInfo,
    /// `In-Reply-To`.
    InReplyTo,
    /// `Max-Breadth`.
    MaxBreadth,
    /// `Max-Forwards`.
    MaxForwards,
    /// `MIME-Version`.
    MimeVersion,
    /// `Min-Expires`.
    MinExpires,
    /// `Min-SE`.
    MinSe,
    /// `Organization`.
    Organization,
    /// `P-Asserted-Identity`.
    PAssertedIdentity,
    /// `P-Preferred-Identity`.
    PPreferredIdentity,
    /// `Path`.
    Path,
    /// `Priority`.
    Priority,
    /// `Privacy`.
    Privacy,
    /// `Proxy-Authenticate`.
    ProxyAuthenticate,
    /// `Proxy-Authorization`.
    ProxyAuthorization,
    /// `Proxy-Require`.
    ProxyRequire,
    /// `RAck`.
    RAck,
    /// `Reason`.
    Reason,
    /// `Record-Route`.
    RecordRoute,
    /// `Referred-By` or `b`.
    ReferredBy,
    /// `Refer-To` or `r`.
    ReferTo,
    /// `Reject-Contact` or `j`.
    RejectContact,
    /// `Remote-Party-ID`.
    RemotePartyId,
    /// `Replaces`.
    Replaces,
    /// `Reply-To`.
    ReplyTo,
    /// `Request-Disposition` or `d`.
    RequestDisposition,
    /// `Require`.
    Require,
    /// `Retry-After`.
    RetryAfter,
    /// `Route`.
    Route,
    /// `RSeq`.
    RSeq,
    /// `Server`.
    Server,
    /// `Service-Route`.
    ServiceRoute,
    /// `Session-Expires` or `x`.
    SessionExpires,
    /// `SIP-ETag`.
    SipEtag,
    /// `SIP-If-Match`.
    SipIfMatch,
    /// `Subject` or `s`.
    Subject,
    /// `Subscription-State`.
    SubscriptionState,
    /// `Supported` or `k`.
    Supported,
    /// `Timestamp`.
    Timestamp,
    /// `To` or `t`.
    To,
    /// `Unsupported`.
    Unsupported,
    /// `User-Agent`.
    UserAgent,
    /// `Via` or `v`.
    Via,
    /// `Warning`.
    Warning,
    /// `WWW-Authenticate`.
    WwwAuthenticate,
    /// Any other; see [`Field::name`](crate::Field).
    Other,
}

/// Full name and compact form, in the order of [`HeaderId`].
const NAMES: [(HeaderId, &str, Option<u8>); 72] = [
    (HeaderId::Accept, "Accept", None),
    (HeaderId::AcceptContact, "Accept-Contact", Some(b'a')),
    (HeaderId::AcceptEncoding, "Accept-Encoding", None),
    (HeaderId::AcceptLanguage, "Accept-Language", None),
    (HeaderId::AlertInfo, "Alert-Info", None),
    (HeaderId::Allow, "Allow", None),
    (HeaderId::AllowEvents, "Allow-Events", Some(b'u')),
    (HeaderId::AuthenticationInfo, "Authentication-Info", None),
    (HeaderId::Authorization, "Authorization", None),
    (HeaderId::CallId, "Call-ID", Some(b'i')),
    (HeaderId::CallInfo, "Call-Info", None),
    (HeaderId::Contact, "Contact", Some(b'm')),
    (HeaderId::ContentDisposition, "Content-Disposition", None),
    (HeaderId::ContentEncoding, "Content-Encoding", Some(b'e')),
    (HeaderId::ContentLanguage, "Content-Language", None),
    (HeaderId::ContentLength, "Content-Length", Some(b'l')),
    (HeaderId::ContentType, "Content-Type", Some(b'c')),
    (HeaderId::CSeq, "CSeq", None),
    (HeaderId::Date, "Date", None),
    (HeaderId::Diversion, "Diversion", None),
    (HeaderId::ErrorInfo, "Error-Info", None),
    (HeaderId::Event, "Event", Some(b'o')),
    (HeaderId::Expires, "Expires", None),
    (HeaderId::FlowTimer, "Flow-Timer", None),
    (HeaderId::From, "From", Some(b'f')),
    (HeaderId::HistoryInfo, "History-Info", None),
    (HeaderId::Identity, "Identity", Some(b'y')),
    (HeaderId::IdentityInfo, "Identity-Info", Some(b'n')),
    (HeaderId::InReplyTo, "In-Reply-To", None),
    (HeaderId::MaxBreadth, "Max-Breadth", None),
    (HeaderId::MaxForwards, "Max-Forwards", None),
    (HeaderId::MimeVersion, "MIME-Version", None),
    (HeaderId::MinExpires, "Min-Expires", None),
    (HeaderId::MinSe, "Min-SE", None),
    (HeaderId::Organization, "Organization", None),
    (HeaderId::PAssertedIdentity, "P-Asserted-Identity", None),
    (HeaderId::PPreferredIdentity, "P-Preferred-Identity", None),
    (HeaderId::Path, "Path", None),
    (HeaderId::Priority, "Priority", None),
    (HeaderId::Privacy, "Privacy", None),
    (HeaderId::ProxyAuthenticate, "Proxy-Authenticate", None),
    (HeaderId::ProxyAuthorization, "Proxy-Authorization", None),
    (HeaderId::ProxyRequire, "Proxy-Require", None),
    (HeaderId::RAck, "RAck", None),
    (HeaderId::Reason, "Reason", None),
    (HeaderId::RecordRoute, "Record-Route", None),
    (HeaderId::ReferredBy, "Referred-By", Some(b'b')),
    (HeaderId::ReferTo, "Refer-To", Some(b'r')),
    (HeaderId::RejectContact, "Reject-Contact", Some(b'j')),
    (HeaderId::RemotePartyId, "Remote-Party-ID", None),
    (HeaderId::Replaces, "Replaces", None),
    (HeaderId::ReplyTo, "Reply-To", None),
    (
        HeaderId::RequestDisposition,
        "Request-Disposition",
        Some(b'd'),
    ),
    (HeaderId::Require, "Require", None),
    (HeaderId::RetryAfter, "Retry-After", None),
    (HeaderId::Route, "Route", None),
    (HeaderId::RSeq, "RSeq", None),
    (HeaderId::Server, "Server", None),
    (HeaderId::ServiceRoute, "Service-Route", None),
    (HeaderId::SessionExpires, "Session-Expires", Some(b'x')),
    (HeaderId::SipEtag, "SIP-ETag", None),
    (HeaderId::SipIfMatch, "SIP-If-Match", None),
    (HeaderId::Subject, "Subject", Some(b's')),
    (HeaderId::SubscriptionState, "Subscription-State", None),
    (HeaderId::Supported, "Supported", Some(b'k')),
    (HeaderId::Timestamp, "Timestamp", None),
    (HeaderId::To, "To", Some(b't')),
    (HeaderId::Unsupported, "Unsupported", None),
    (HeaderId::UserAgent, "User-Agent", None),
    (HeaderId::Via, "Via", Some(b'v')),
    (HeaderId::Warning, "Warning", None),
    (HeaderId::WwwAuthenticate, "WWW-Authenticate", None),
];

/// Slots of [`INDEX`]: a power of two.
const SLOT_COUNT: usize = 256;

/// Finds a name by [`slot`], then linearly: number in [`NAMES`] plus one; 0 is an empty slot.
const INDEX: [u8; SLOT_COUNT] = index();

/// Finds a compact form by its small letter.
const COMPACT: [HeaderId; 256] = compact();

const _: () = assert!(NAMES.len() < 128 && NAMES.len() == HeaderId::Other as usize);

impl HeaderId {
    /// Ids that there are, [`Self::Other`] included.
    pub(crate) const COUNT: usize = NAMES.len() + 1;

    /// Knows a header by its name, whatever its case.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Self {
        let (Some(first), Some(last)) = (name.first(), name.last()) else {
            return Self::Other;
        };
        if name.len() == 1 {
            return COMPACT[usize::from(*first)];
        }
        let mut slot = slot(name.len(), *first, *last);
        while INDEX[slot] != 0 {
            let (id, full, _) = NAMES[usize::from(INDEX[slot]) - 1];
            // Nearly all write names as the RFCs do, and comparing bytes is quicker.
            if full.as_bytes() == name || full.as_bytes().eq_ignore_ascii_case(name) {
                return id;
            }
            slot = (slot + 1) % SLOT_COUNT;
        }
        Self::Other
    }

    /// The full name, as we write it; empty for [`Self::Other`].
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.get(self as usize).map_or("", |(_, name, _)| name)
    }

    /// Whether the field may stand once only, so that a second one makes a message ambiguous:
    /// the next hop may believe the other one.
    #[must_use]
    pub const fn is_singleton(self) -> bool {
        matches!(
            self,
            Self::CallId
                | Self::ContentDisposition
                | Self::ContentLength
                | Self::ContentType
                | Self::CSeq
                | Self::Event
                | Self::Expires
                | Self::From
                | Self::MaxForwards
                | Self::MinExpires
                | Self::RAck
                | Self::ReferTo
                | Self::Replaces
                | Self::RSeq
                | Self::SessionExpires
                | Self::To
        )
    }
}

impl fmt::Display for HeaderId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Other => "header",
            known => known.name(),
        })
    }
}

/// Where the search for a name begins. Bit 5 is what tells capitals from small letters. With these
/// factors, found by trying many, no more than two names of the table meet.
const fn slot(len: usize, first: u8, last: u8) -> usize {
    let first = (first | 0x20) as usize;
    let last = (last | 0x20) as usize;
    (len * 39 + first * 132 + last * 151) % SLOT_COUNT
}

const fn index() -> [u8; SLOT_COUNT] {
    let mut slots = [0; SLOT_COUNT];
    let mut number = 0;
    while number < NAMES.len() {
        let name = NAMES[number].1.as_bytes();
        let mut at = slot(name.len(), name[0], name[name.len() - 1]);
        while slots[at] != 0 {
            at = (at + 1) % SLOT_COUNT;
        }
        number += 1;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "fewer than 128 names, asserted"
        )]
        {
            slots[at] = number as u8;
        }
    }
    slots
}

const fn compact() -> [HeaderId; 256] {
    let mut letters = [HeaderId::Other; 256];
    let mut number = 0;
    while number < NAMES.len() {
        let (id, _, letter) = NAMES[number];
        if let Some(letter) = letter {
            letters[letter as usize] = id;
            letters[letter.to_ascii_uppercase() as usize] = id;
        }
        number += 1;
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_compact() {
        for (id, name, compact) in NAMES {
            assert_eq!(HeaderId::from_name(name.as_bytes()), id);
            assert_eq!(HeaderId::from_name(name.to_uppercase().as_bytes()), id);
            assert_eq!(HeaderId::from_name(name.to_lowercase().as_bytes()), id);
            assert_eq!(id.name(), name);
            if let Some(letter) = compact {
                assert_eq!(HeaderId::from_name(&[letter]), id);
                assert_eq!(HeaderId::from_name(&[letter.to_ascii_uppercase()]), id);
            }
        }
    }

    #[test]
    fn table_stands_in_the_order_of_the_ids() {
        for (number, (id, _, _)) in NAMES.iter().enumerate() {
            assert_eq!(*id as usize, number);
        }
    }

    #[test]
    fn strangers_and_near_misses_are_other() {
        for name in [
            &b""[..],
            b"q",
            b"z",
            b"Vi",
            b"Via ",
            b"X-Via",
            b"Call_ID",
            b"Callxid",
        ] {
            assert_eq!(HeaderId::from_name(name), HeaderId::Other, "{name:?}");
        }
    }
}
