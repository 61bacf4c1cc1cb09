//! SIP: everything that a stranger can send to port 5060.

use tandem_fuzz::{seeds, target};

target!(
    sip_datagram,
    seeds::messages(),
    12_000,
    sip_proxy_message::fuzz::datagram
);
target!(
    sip_stream,
    seeds::streams(),
    8_000,
    sip_proxy_message::fuzz::stream
);
target!(
    sip_edits,
    seeds::prefixed_messages(8),
    12_000,
    sip_proxy_message::fuzz::edits
);
target!(
    sip_uri,
    seeds::uris(),
    150_000,
    sip_proxy_message::fuzz::uri
);
target!(
    sip_header_values,
    seeds::header_values(),
    150_000,
    sip_proxy_message::fuzz::header_values
);
target!(
    sip_authorization,
    seeds::credentials(),
    60_000,
    sip_proxy_message::fuzz::authorization
);
