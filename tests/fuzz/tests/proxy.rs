//! The proxy as a whole: whatever comes in whatever order.

use tandem_fuzz::{seeds, target};

target!(
    proxy_datagrams,
    seeds::framed_messages(),
    4_000,
    sip_proxy_core::fuzz::datagrams
);
target!(
    proxy_events,
    seeds::scripts(),
    150,
    sip_proxy_core::fuzz::events
);
