//! A seed that its parser refuses leads nowhere: mutations of it would test the refusal only.

use tandem_fuzz::{Input, seeds};

/// Counts the seeds that are accepted, so that a list of duds is noticed.
fn accepted(seeds: &[Input], accepts: impl Fn(&[u8]) -> bool) -> usize {
    seeds.iter().filter(|seed| accepts(seed)).count()
}

#[test]
fn seeds_of_sip_parse() {
    use sip_proxy_message::{Credentials, HeaderId, Message, Uri};
    let messages = seeds::messages();
    assert!(accepted(&messages, |seed| Message::parse(seed).is_ok()) > 35);
    let first_line = |seed: &[u8]| {
        Uri::parse(seed.split(|byte| *byte == b'\n').next().unwrap_or_default()).is_ok()
    };
    assert_eq!(accepted(&seeds::uris(), first_line), seeds::uris().len());
    let is_digest = |seed: &[u8]| {
        matches!(
            Credentials::parse(HeaderId::Authorization, seed),
            Ok(Some(_))
        )
    };
    assert_eq!(
        accepted(&seeds::credentials(), is_digest),
        seeds::credentials().len() - 1
    );
}

#[test]
fn seeds_of_media_parse() {
    use relay_rtp::{Packet, rtcp::Compound};
    let packets = seeds::rtp_packets();
    assert_eq!(
        accepted(&packets, |seed| Packet::parse(seed).is_ok()),
        packets.len()
    );
    let compounds = seeds::rtcp_packets();
    assert_eq!(
        accepted(&compounds, |seed| Compound::parse(seed).is_ok()),
        compounds.len()
    );
}

#[test]
fn seeds_of_control_parse() {
    use control_ng::{Message, Value};
    let bencode = seeds::bencode();
    assert_eq!(
        accepted(&bencode, |seed| Value::parse(seed).is_ok()),
        bencode.len()
    );
    let ng = seeds::ng_messages();
    assert_eq!(
        accepted(&ng, |seed| Message::split(seed).is_some()),
        ng.len()
    );
}

#[test]
fn seeds_of_settings_parse() {
    let parses = |seed: &[u8]| {
        let text = std::str::from_utf8(seed).unwrap_or_default();
        tandem_settings::Loaded::parse("tandem.toml".as_ref(), text).is_ok()
    };
    assert_eq!(
        accepted(&seeds::settings(), parses),
        seeds::settings().len()
    );
}
