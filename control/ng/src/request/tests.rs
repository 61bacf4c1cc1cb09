mod manual;
mod spellings;

use proptest::prelude::*;

use super::*;
use crate::{CodecDirective, Message, ParseError, SdesWord};

fn parse<T>(body: &[u8], check: impl FnOnce(Result<Request<'_>, RequestError>) -> T) -> T {
    let document = Value::parse(body).unwrap();
    check(Request::parse(&document))
}

/// What the server reads of what a client wrote.
pub(super) fn reread<T>(
    command: &Command<'_>,
    check: impl FnOnce(Result<Request<'_>, RequestError>) -> T,
) -> T {
    let datagram = command.encode(b"c1");
    let message = Message::split(&datagram).unwrap();
    parse(message.body, check)
}

/// As Kamailio 5.6 sends it, flags that mean nothing to us included.
const KAMAILIO_OFFER: &[u8] = b"d8:supportsl10:load limite3:sdp5:v=0\r\n3:ICE6:remove\
    5:flagsl13:trust-address9:symmetric5:forcee7:replacel6:origin18:session-connectione\
    9:directionl8:internal8:externale\
    7:call-id6:abc@h113:received-froml3:IP48:10.0.0.5e8:from-tag2:A17:command5:offere";

#[test]
fn understands_kamailios_offer() {
    parse(KAMAILIO_OFFER, |request| {
        let request = request.unwrap();
        let Command::Offer(offer) = request.command else {
            panic!("{:?}", request.command);
        };
        assert_eq!(
            (offer.call_id, offer.from_tag),
            (&b"abc@h1"[..], &b"A1"[..])
        );
        assert_eq!(offer.received_from, Some("10.0.0.5".parse().unwrap()));
        assert_eq!(offer.direction, Some([&b"internal"[..], b"external"]));
        assert_eq!(offer.ice, Some(Ice::Remove));
        assert!(offer.replace.has(Replace::Origin));
        assert!(offer.flags.has(Flag::TrustAddress));
        assert!(offer.supports.has(Support::LoadLimit));
        assert_eq!(request.unheeded.names, [b"force"]);
    });
}

#[test]
fn understands_opensips_verbatim_flags() {
    let body = b"d7:command5:offer7:call-id1:c8:from-tag1:a3:sdp5:v=0\r\n\
        5:flagsl12:SDES-off-pad14:rtcp-mux-demux14:replace-origin14:transcode-PCMUe\
        12:delete-delayi0e13:received-fromle14:address family3:IP6e";
    parse(body, |request| {
        let request = request.unwrap();
        let Command::Offer(offer) = request.command else {
            panic!("{:?}", request.command);
        };
        assert!(offer.rtcp_mux.has(RtcpMux::Demux));
        assert!(offer.replace.has(Replace::Origin));
        assert_eq!(offer.delete_delay_s, Some(0));
        assert_eq!(offer.address_family, Some(AddressFamily::Ip6));
        assert_eq!(offer.received_from, None);
        let transcode = offer.codecs.named(CodecDirective::Transcode);
        assert_eq!(transcode.collect::<Vec<_>>(), [b"PCMU"]);
        let unheeded = [&b"received-from"[..], b"SDES-off-pad"];
        let mut names = request.unheeded.names;
        names.sort_unstable();
        let mut expected = unheeded.to_vec();
        expected.sort_unstable();
        assert_eq!(names, expected);
    });
}

#[test]
fn understands_flags_that_the_proxy_left_unread() {
    let body = b"d7:command5:offer7:call-id1:c8:from-tag1:a3:sdp5:v=0\r\n\
        10:rtpp-flags79:replace-origin RTP/AVP ICE=remove  rtcp-mux-demux transcode=x ptime=30 colour=xe";
    parse(body, |request| {
        let request = request.unwrap();
        let Command::Offer(offer) = request.command else {
            panic!("{:?}", request.command);
        };
        assert_eq!(offer.transport_protocol, Some(&b"RTP/AVP"[..]));
        assert_eq!(offer.ice, Some(Ice::Remove));
        assert_eq!(offer.ptime_ms, Some(30));
        let transcode = offer.codecs.named(CodecDirective::Transcode);
        assert_eq!(transcode.collect::<Vec<_>>(), [b"x"]);
        assert_eq!(request.unheeded.names, [b"colour"]);
    });
}

#[test]
fn a_delete_may_name_only_the_call() {
    parse(b"d7:call-id1:c7:command6:deletee", |request| {
        let expected = Delete {
            call_id: b"c",
            ..Delete::default()
        };
        assert_eq!(request.unwrap().command, Command::Delete(expected));
    });
}

#[test]
fn numbers_may_be_strings() {
    let body = b"d7:call-id1:c7:command6:delete12:delete_delay2:15e";
    parse(body, |request| {
        let Ok(Command::Delete(delete)) = request.map(|request| request.command) else {
            panic!("no delete");
        };
        assert_eq!(delete.delay_s, Some(15));
    });
}

#[test]
fn says_what_is_missing_in_the_words_that_proxies_know() {
    let cases: [(&[u8], &str); 8] = [
        (b"d1:a1:be", "Dictionary contains no key \"command\""),
        (b"d7:command4:jumpe", "Unrecognized command"),
        (b"d7:commandi1ee", "Unrecognized command"),
        (b"le", "Could not decode bencode dictionary"),
        (b"d7:command5:offere", "No SDP body in message"),
        (b"d7:command5:offer3:sdp1:ve", "No call-id in message"),
        (
            b"d7:command5:offer3:sdp1:v7:call-id1:ce",
            "No from-tag in message",
        ),
        (
            b"d7:command6:answer3:sdp1:v7:call-id1:c8:from-tag1:a6:to-tag0:e",
            "No to-tag in message",
        ),
    ];
    for (body, reason) in cases {
        parse(body, |request| {
            assert_eq!(request.unwrap_err().to_string(), reason);
        });
    }
}

#[test]
fn a_reply_to_us_is_not_taken_for_a_request() {
    parse(b"d6:result5:errore", |request| {
        assert_eq!(request.unwrap().command, Command::Acknowledge);
    });
}

#[test]
fn names_of_unknown_keys_are_kept_up_to_a_limit() {
    let mut dictionary = Dictionary::new().with("command", "ping");
    for number in 0..100 {
        dictionary.push(format!("key {number}").into_bytes(), 1_i64);
    }
    let document = Value::from(dictionary);
    let unheeded = Request::parse(&document).unwrap().unheeded;
    assert_eq!(unheeded.count, 100);
    assert_eq!(unheeded.names.len(), UNHEEDED_NAMES_MAX);
}

fn any_words<T: Word>() -> impl Strategy<Value = Words<T>> {
    prop::collection::vec(prop::sample::select(T::ALL), 0..4).prop_map(|words| {
        let empty = Words::default();
        words.into_iter().fold(empty, Words::with)
    })
}

fn any_word<T: Word>() -> impl Strategy<Value = Option<T>> {
    prop::option::of(prop::sample::select(T::ALL))
}

const TAGS: [&[u8]; 4] = [b"a", b"1928301774", b"with space", b"\xff\x00"];

fn codecs(codec: Option<&'static [u8]>) -> Codecs<'static> {
    let mut codecs = Codecs::default();
    for directive in CodecDirective::ALL.iter().rev() {
        if let Some(codec) = codec {
            codecs.push(*directive, codec);
        }
    }
    codecs
}

fn suites(words: Words<SdesWord>, count: Option<u8>) -> Sdes<'static> {
    const NAMES: [&[u8]; 3] = [b"AEAD_AES_256_GCM", b"AES_CM_128_HMAC_SHA1_80", b"x"];
    let count = usize::from(count.unwrap_or(0) % 4);
    Sdes {
        words,
        only: NAMES[..count].to_vec(),
        no: NAMES[count..].to_vec(),
        order: NAMES[..count].to_vec(),
        offerer_order: NAMES[count..].to_vec(),
    }
}

fn any_negotiation() -> impl Strategy<Value = Negotiation<'static>> {
    let tag = || prop::sample::select(&TAGS[..]);
    let names = (
        tag(),
        tag(),
        prop::option::of(tag()),
        prop::option::of(tag()),
        tag(),
    );
    let sets = (
        any_words(),
        any_words(),
        any_words(),
        any_words(),
        any_words(),
        any_words(),
        any_words(),
        any_words(),
    );
    let one_of = (
        any_word(),
        any_word(),
        any_word(),
        any_word(),
        any_word(),
        any_word(),
        any_word(),
        any_word(),
    );
    let numbers = (any::<Option<u8>>(), any::<Option<u32>>());
    let addresses = (any::<Option<IpAddr>>(), any::<Option<IpAddr>>());
    (names, sets, one_of, numbers, addresses).prop_map(
        |(names, sets, one_of, numbers, addresses)| Negotiation {
            call_id: names.0,
            from_tag: names.1,
            to_tag: names.2,
            via_branch: names.3,
            sdp: names.4,
            received_from: addresses.0,
            direction: names.2.map(|_| [&b"inside"[..], b"outside"]),
            address_family: one_of.0,
            media_address: addresses.1,
            transport_protocol: names.3,
            ice: one_of.1,
            ice_lite: one_of.7,
            endpoint_learning: one_of.2,
            rtcp_mux: sets.0,
            replace: sets.1,
            flags: sets.2,
            supports: sets.3,
            tos: numbers.0,
            delete_delay_s: numbers.1,
            label: names.2,
            codecs: codecs(names.3),
            ptime_ms: numbers.0.map(|ptime| u16::from(ptime).clamp(1, 200)),
            ptime_reverse_ms: numbers.0.map(|_| 20),
            media_echo: one_of.3,
            media_removed: sets.4,
            alias_key: one_of.4,
            attribute_changes: Vec::new(),
            dtmf_security: one_of.5,
            digit: numbers.0.map(|digit| digit % 16),
            generate_rtcp: one_of.6,
            key_log: addresses.0.map(|address| (address, 9_999).into()),
            sdes: suites(sets.6, numbers.0),
            osrtp: sets.5,
            dtls: sets.7,
            dtls_fingerprint: names.2,
        },
    )
}

proptest! {
    #[test]
    fn the_server_understands_what_the_client_wrote(offer in any_negotiation()) {
        let command = Command::Offer(offer);
        reread(&command, |request| {
            let request = request.unwrap();
            prop_assert_eq!(&request.command, &command);
            prop_assert_eq!(request.unheeded.count, 0);
            Ok(())
        })?;
    }

    #[test]
    fn every_spelling_of_a_key_means_the_same(
        key in prop::sample::select(&["from-tag", "to-tag", "via-branch", "received-from",
            "address-family", "media-address", "transport-protocol", "delete-delay"][..]),
        divider in prop::sample::select(&["-", "_", " "][..]),
        capitals in any::<bool>(),
    ) {
        let value = match key {
            "received-from" | "media-address" => "192.0.2.1",
            "address-family" => "IP6",
            "delete-delay" => "7",
            _ => "x",
        };
        let spelt = key.replace('-', divider);
        let spelt = if capitals { spelt.to_uppercase() } else { spelt };
        let request = |key: &str| {
            let mut dictionary = Dictionary::new().with("command", "offer").with("sdp", "v");
            dictionary.push(&b"call-id"[..], "c");
            dictionary.push(key.as_bytes().to_vec(), value);
            dictionary.push(&b"from-tag"[..], "f");
            Value::from(dictionary)
        };
        let (plain, spelt) = (request(key), request(&spelt));
        let plain = Request::parse(&plain).unwrap();
        prop_assert_eq!(plain.unheeded.count, 0);
        prop_assert_eq!(Request::parse(&spelt).unwrap(), plain);
    }

    #[test]
    fn any_bytes_are_understood_or_refused(bytes in any::<Vec<u8>>()) {
        crate::fuzz::request(&[b"c ", &bytes[..]].concat());
    }
}

#[test]
fn bytes_that_are_no_document_are_no_request() {
    assert_eq!(Value::parse(b"[]"), Err(ParseError::Unexpected));
}
