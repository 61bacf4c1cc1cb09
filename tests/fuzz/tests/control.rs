//! Control: ng from proxies, session descriptions from phones, records that it left with the relay.

use tandem_fuzz::{seeds, target};

target!(
    ng_bencode,
    seeds::bencode(),
    60_000,
    control_ng::fuzz::bencode
);
target!(ng_json, seeds::json(), 60_000, control_ng::fuzz::json);
target!(
    ng_stream,
    seeds::ng_streams(),
    60_000,
    control_ng::fuzz::stream
);
target!(
    ng_request,
    seeds::ng_messages(),
    60_000,
    control_ng::fuzz::request
);
target!(
    sdp,
    seeds::session_descriptions(),
    12_000,
    control_core::fuzz::sdp
);
target!(
    sdp_codecs,
    seeds::session_descriptions(),
    12_000,
    control_core::fuzz::codecs
);
target!(
    call_record,
    seeds::scripts(),
    60_000,
    control_core::fuzz::record
);
target!(
    sdp_keys,
    seeds::key_lines(),
    60_000,
    control_core::fuzz::keys
);
target!(wav, seeds::sounds(), 20_000, control_core::fuzz::sound);
