//! Descriptions of the relay's own.

use control_ng::{
    AddressFamily, CodecDirective, Codecs, Command, Connect, Create, Delete, Medium, Negotiation,
    Party, Query, RtcpMux, Sdes, SdesWord, Senders, Words,
};
use proptest::prelude::*;
use relay_wire::Codec;

use crate::tests::{CONFIG, Sim, SimRelay, on, port, sdp};
use crate::{Config, Transcode};

const ALICE: &str = "192.0.2.10";
const BOB: &str = "198.51.100.20";

/// For a party of the call `c1`.
fn create(tag: &str) -> Create<'_> {
    Create {
        party: Negotiation::new(b"c1", tag.as_bytes(), b""),
        ..Create::default()
    }
}

fn created(sim: &mut Sim, create: Create<'_>) -> String {
    sim.negotiate(&Command::Create(create))
}

fn answer(sim: &mut Sim, tag: &str, text: &str) {
    let answer = Negotiation::new(b"c1", tag.as_bytes(), text.as_bytes());
    sim.ask(&Command::CreateAnswer(answer), |reply| {
        assert!(reply.is_ok(), "{:?}", reply.error_reason());
        assert_eq!(reply.sdp(), None, "there is nobody to pass it on to");
    });
}

fn codecs(named: &[(CodecDirective, &'static str)]) -> Codecs<'static> {
    let mut codecs = Codecs::default();
    for (directive, name) in named {
        assert!(codecs.push(*directive, name.as_bytes()));
    }
    codecs
}

/// Without the line `o=` and numbers of ports.
fn shape(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with("o="));
    let lines = lines.map(|line| {
        let is_port = |word: &&str| word.len() == 5 && word.starts_with("30");
        let words = line.split(' ');
        let words = words.map(|word| if is_port(&word) { "PORT" } else { word });
        let line = words.collect::<Vec<_>>().join(" ");
        if line.starts_with("a=rtcp:") {
            "a=rtcp:PORT".to_owned()
        } else {
            line
        }
    });
    lines.collect()
}

fn line<'t>(text: &'t str, beginning: &str) -> &'t str {
    let line = text.lines().find(|line| line.starts_with(beginning));
    line.unwrap_or_default()
}

#[test]
fn a_party_that_nobody_called_is_offered_audio() {
    let mut sim = Sim::new();
    let text = created(&mut sim, create("a"));
    let name = format!("s=rtpengine-tandem-{}", env!("CARGO_PKG_VERSION"));
    let expected = [
        "v=0",
        &name,
        "t=0 0",
        "m=audio PORT RTP/AVP 0 8",
        "c=IN IP4 10.0.0.1",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=sendrecv",
        "a=rtcp:PORT",
    ];
    assert_eq!(shape(&text), expected);
    assert!(line(&text, "o=").ends_with(" IN IP4 10.0.0.1"), "{text}");
    assert_eq!(sim.pairs_open(), 1);
    let number = port(&text, 0);
    assert_eq!(line(&text, "a=rtcp:"), format!("a=rtcp:{}", number + 1));
    answer(&mut sim, "a", &sdp(ALICE, 4_000));
    let remote = Some(format!("{ALICE}:4000").parse().unwrap());
    assert_eq!(sim.relay.at(number).remote, remote);
    assert_eq!(created(&mut sim, create("a")), {
        let said = "0 8 101\r\nc=IN IP4 10.0.0.1\r\na=rtpmap:0 PCMU/8000\r\n\
            a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";
        let offered = "0 8\r\nc=IN IP4 10.0.0.1\r\na=rtpmap:0 PCMU/8000\r\n\
            a=rtpmap:8 PCMA/8000\r\n";
        text.replace(offered, said)
    });
}

#[test]
fn names_that_are_not_given_are_made_up() {
    let mut sim = Sim::new();
    let mut names = Vec::new();
    for _ in 0..2 {
        sim.ask(&Command::Create(Create::default()), |reply| {
            assert!(reply.is_ok(), "{:?}", reply.error_reason());
            for key in ["call-id", "from-tag"] {
                let name = reply.dictionary().get(key).unwrap().as_bytes().unwrap();
                names.push(String::from_utf8(name.to_vec()).unwrap());
            }
        });
    }
    assert!(names.iter().all(|name| name.len() == 32), "{names:?}");
    let text = sdp(ALICE, 4_000);
    let answer = |name: usize| {
        let [call_id, tag] = [&names[0], &names[name]].map(String::as_bytes);
        Negotiation::new(call_id, tag, text.as_bytes())
    };
    sim.ask(&Command::CreateAnswer(answer(1)), |reply| {
        assert!(reply.is_ok(), "{:?}", reply.error_reason());
    });
    let reason = sim.refusal(&Command::CreateAnswer(answer(3)));
    assert_eq!(reason, "from-tag not found", "it is of the other call");
    assert_eq!(sim.control.call_count(), 2);
}

#[test]
fn made_up_names_stay_the_same_where_a_port_is_taken() {
    let mut sim = Sim::new();
    sim.relay.foreign = (30_000..30_200).collect();
    for _ in 0..10 {
        sim.ask(&Command::Create(Create::default()), |reply| {
            assert!(reply.is_ok(), "{:?}", reply.error_reason());
        });
    }
    assert!(sim.control.counters().ports_taken > 0, "it was tried again");
    assert_eq!((sim.control.call_count(), sim.relay.calls.len()), (10, 10));
}

#[test]
fn media_codecs_interface_and_family_may_be_named() {
    let mut sim = Sim::new();
    let medium = |kind, codecs: &[&'static [u8]]| Medium {
        kind,
        codecs: codecs.to_vec(),
    };
    let text = created(
        &mut sim,
        Create {
            party: Negotiation {
                // Holds for audio for which none are named.
                codecs: codecs(&[(CodecDirective::Offer, "opus")]),
                address_family: Some(AddressFamily::Ip6),
                rtcp_mux: Words::default().with(RtcpMux::Offer),
                ..create("a").party
            },
            media: vec![
                medium(b"video", &[b"VP8", b"VP9/90000"]),
                medium(b"audio", &[b"PCMA", b"G722"]),
                medium(b"audio", &[]),
                medium(b"video", &[]),
            ],
            interface: Some(b"outside"),
        },
    );
    let expected = "\
m=video PORT RTP/AVP 96 97
c=IN IP6 2001:db8::1
a=rtpmap:96 VP8/90000
a=rtpmap:97 VP9/90000
a=sendrecv
a=rtcp:PORT
a=rtcp-mux
m=audio PORT RTP/AVP 8 9
c=IN IP6 2001:db8::1
a=rtpmap:8 PCMA/8000
a=rtpmap:9 G722/8000
a=sendrecv
a=rtcp:PORT
a=rtcp-mux
m=audio PORT RTP/AVP 96
c=IN IP6 2001:db8::1
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=sendrecv
a=rtcp:PORT
a=rtcp-mux
m=video PORT RTP/AVP 0
c=IN IP6 2001:db8::1
a=sendrecv
a=rtcp:PORT
a=rtcp-mux";
    assert_eq!(shape(&text)[3..].join("\n"), expected);
    assert!(line(&text, "o=").ends_with(" IN IP6 2001:db8::1"), "{text}");
    assert_eq!(created(&mut sim, create("a")), text, "once more");
    assert_eq!(sim.pairs_open(), 4);
    let advertised = created(
        &mut sim,
        Create {
            interface: Some(b"outside"),
            ..create("b")
        },
    );
    assert_eq!(line(&advertised, "c="), "c=IN IP4 203.0.113.1");
    assert_eq!(sim.relay.calls.len(), 1, "another party of the same call");
}

#[test]
fn what_cannot_be_said_is_refused() {
    let mut sim = Sim::new();
    let secret = |protocol| Create {
        party: Negotiation {
            transport_protocol: Some(protocol),
            ..create("a").party
        },
        ..Create::default()
    };
    let of_kind = |kind| Create {
        media: vec![Medium {
            kind,
            codecs: Vec::new(),
        }],
        ..create("a")
    };
    let without_keys = Sdes {
        words: Words::default().with(SdesWord::Off),
        ..Sdes::default()
    };
    let mut without = secret(b"RTP/SAVP");
    without.party.sdes = without_keys;
    for create in [
        without,
        secret(b"UDP/TLS/RTP/SAVPF"),
        of_kind(b"a b"),
        of_kind(b"x\r\na=y"),
        of_kind(&[b'x'; 33]),
    ] {
        assert_eq!(sim.refusal(&Command::Create(create)), "unsupported");
    }
    assert_eq!((sim.pairs_open(), sim.control.call_count()), (0, 0));
    let accept = created(&mut sim, secret(b"accept"));
    assert!(line(&accept, "m=").contains(" RTP/AVP "), "{accept}");
    let text = sdp(ALICE, 4_000);
    let answer = Negotiation::new(b"c2", b"a", text.as_bytes());
    let reason = sim.refusal(&Command::CreateAnswer(answer));
    assert_eq!(reason, "Unknown call-id");
    // Keys that nobody here knows are not kept.
    let secure = text.replace("RTP/AVP", "RTP/SAVP");
    sim.offer("c3", "a", &secure);
    sim.answer("c3", "a", "b", &secure);
    let again = Create {
        party: Negotiation::new(b"c3", b"b", b""),
        ..Create::default()
    };
    assert_eq!(sim.refusal(&Command::Create(again)), "unsupported");
}

/// A call of two parties; what each was told.
fn call(sim: &mut Sim, [a, b]: [&str; 2]) -> [String; 2] {
    let to_b = sim.offer("c1", "a", a);
    let to_a = sim.answer("c1", "a", "b", b);
    [to_a, to_b]
}

#[test]
fn who_is_there_is_told_again_what_it_was_told() {
    let mut sim = Sim::new();
    let video = "m=video 4002 RTP/AVPF 31 97\r\na=rtpmap:97 H264/90000\r\n\
        a=fmtp:97 packetization-mode=1\r\na=sendonly\r\n";
    let a = sdp(ALICE, 4_000) + video;
    let b = sdp(BOB, 5_000).replace("s=-", "s=bob")
        + &video
            .replace("4002", "5002")
            .replace("sendonly", "recvonly");
    let [to_a, to_b] = call(&mut sim, [&a, &b]);
    let ways = sim.relay.calls.clone();
    // The parameters of keys are not kept.
    let with_keys = |text: &str| {
        let rtpmap = "a=rtpmap:101 telephone-event/8000\r\n";
        text.replace(rtpmap, &format!("{rtpmap}a=fmtp:101 0-15\r\n"))
    };
    assert_eq!(created(&mut sim, create("a")), with_keys(&to_a));
    assert_eq!(created(&mut sim, create("b")), with_keys(&to_b));
    sim.restart_control();
    assert_eq!(created(&mut sim, create("b")), with_keys(&to_b));
    for (tag, text) in [("a", &a), ("b", &b)] {
        answer(&mut sim, tag, text);
        let endpoints = |calls: &std::collections::BTreeMap<_, crate::tests::SimCall>| {
            let calls = calls.values().cloned();
            calls.map(|it| it.endpoints).collect::<Vec<_>>()
        };
        assert_eq!(
            endpoints(&sim.relay.calls),
            endpoints(&ways),
            "nothing moves"
        );
    }
}

#[test]
fn only_codecs_that_were_agreed_on_come_again() {
    let mut sim = Sim::new();
    let answered = sdp(BOB, 5_000).replace("0 8 101", "8 101");
    call(&mut sim, [&sdp(ALICE, 4_000), &answered]);
    for tag in ["a", "b"] {
        let text = created(&mut sim, create(tag));
        assert!(line(&text, "m=").ends_with(" 8 101"), "{tag}: {text}");
    }
}

#[test]
fn sections_that_nobody_uses_stay_unused() {
    let mut sim = Sim::new();
    let more = |port| format!("m=text {port} RTP/AVP 98\r\na=rtpmap:98 t140/1000\r\n");
    let fax = "m=image 4004 udptl t38\r\na=T38FaxVersion:0\r\n";
    let a = sdp(ALICE, 4_000) + &more(4_002) + fax;
    let b = sdp(BOB, 5_000) + &more(0) + &fax.replace("4004", "5004");
    let [_, to_b] = call(&mut sim, [&a, &b]);
    let text = created(&mut sim, create("b"));
    assert_eq!((port(&text, 0), port(&text, 1)), (port(&to_b, 0), 0));
    assert_eq!(line(&text, "m=text"), "m=text 0 RTP/AVP 0");
    let fax = format!("m=image {} udptl t38", port(&to_b, 2));
    assert_eq!(line(&text, "m=image"), fax);
}

#[test]
fn who_answers_with_other_codecs_is_translated() {
    for (transcode, is_translated) in [(Transcode::Directives, true), (Transcode::Never, false)] {
        let config = Config {
            transcode,
            ..CONFIG
        };
        let mut sim = Sim::with_relay(config, SimRelay::new(1));
        let pcmu = |address, port| sdp(address, port).replace("0 8 101", "0");
        let told = call(&mut sim, [&pcmu(ALICE, 4_000), &pcmu(BOB, 5_000)]);
        let [to_a, to_b] = told.map(|text| port(&text, 0));
        let more = Create {
            party: Negotiation {
                codecs: codecs(&[(CodecDirective::Offer, "PCMA")]),
                ..create("a").party
            },
            ..Create::default()
        };
        let text = created(&mut sim, more);
        assert_eq!(line(&text, "m="), format!("m=audio {to_a} RTP/AVP 0 8"));
        answer(&mut sim, "a", &pcmu(ALICE, 4_000).replace("AVP 0", "AVP 8"));
        let routes = |sim: &mut Sim, port| {
            let transcoding = sim.relay.at(port).transcoding.clone();
            let routes = transcoding.map_or(vec![], |it| it.routes);
            let codecs = routes.iter().map(|it| (it.from.codec, it.to.codec));
            codecs.collect::<Vec<_>>()
        };
        let expected = |from, to| {
            if is_translated {
                vec![(from, to)]
            } else {
                vec![]
            }
        };
        let (pcmu_codec, pcma_codec) = (Codec::Pcmu, Codec::Pcma);
        assert_eq!(routes(&mut sim, to_a), expected(pcma_codec, pcmu_codec));
        assert_eq!(routes(&mut sim, to_b), expected(pcmu_codec, pcma_codec));
        // And back.
        created(&mut sim, create("a"));
        answer(&mut sim, "a", &pcmu(ALICE, 4_000));
        assert_eq!(routes(&mut sim, to_a), []);
    }
}

#[test]
fn parties_that_were_offered_something_by_us_can_be_connected() {
    let mut sim = Sim::new();
    let mut ports = Vec::new();
    for (tag, address) in [("a", ALICE), ("b", BOB)] {
        ports.push(port(&created(&mut sim, create(tag)), 0));
        answer(&mut sim, tag, &sdp(address, 4_000));
    }
    let connect = Connect {
        call_id: b"c1",
        from: Senders::Parties(vec![Party::Tag(b"a")]),
        to_tag: b"b",
        to_call_id: None,
        is_directional: false,
        is_bidirectional: false,
    };
    assert!(sim.ask(&Command::Connect(connect), |reply| reply.is_ok()));
    assert_eq!(sim.relay.at(ports[0]).rtp, Some(on(0, ports[1])));
    assert_eq!(sim.relay.at(ports[1]).rtp, Some(on(0, ports[0])));
}

#[test]
fn who_waits_to_be_connected_stays_when_another_party_goes() {
    let mut sim = Sim::new();
    for tag in ["a", "b"] {
        created(&mut sim, create(tag));
    }
    for (tag, left) in [("a", 1), ("b", 0)] {
        let delete = Delete {
            call_id: b"c1",
            from_tag: Some(tag.as_bytes()),
            delay_s: Some(0),
            ..Delete::default()
        };
        assert!(sim.ask(&Command::Delete(delete), |reply| reply.is_ok()));
        assert_eq!(sim.pairs_open(), left, "{tag}");
    }
    let query = Query {
        call_id: b"c1",
        ..Query::default()
    };
    assert_eq!(sim.refusal(&Command::Query(query)), "Unknown call-id");
}

#[test]
fn a_call_that_nobody_answers_ends() {
    let mut sim = Sim::new();
    created(&mut sim, create("a"));
    sim.sleep(std::time::Duration::from_secs(181));
    assert_eq!((sim.pairs_open(), sim.control.call_count()), (0, 0));
}

fn any_create() -> impl Strategy<Value = (String, Vec<(String, Vec<String>)>)> {
    let word = "[ -~]{0,12}";
    let kind = prop_oneof![Just("audio".to_owned()), Just("video".to_owned()), word];
    let name = prop::sample::select(
        &[
            "PCMU",
            "opus",
            "AMR/8000",
            "telephone-event",
            "VP8",
            "L16/16000",
            "x/1",
            "0",
            "\r\n",
        ][..],
    );
    let name = prop_oneof![3 => name.prop_map(str::to_owned), 1 => word.prop_map(Into::into)];
    let medium = (kind, prop::collection::vec(name.clone(), 0..6));
    (name, prop::collection::vec(medium, 0..6))
}

proptest! {
    #[test]
    fn whatever_is_asked_for_comes_out_well_formed_and_twice_the_same(
        (offered, media) in any_create(),
    ) {
        let mut sim = Sim::new();
        let mut codecs = Codecs::default();
        codecs.push(CodecDirective::Offer, offered.as_bytes());
        let media = media.iter().map(|(kind, codecs)| Medium {
            kind: kind.as_bytes(),
            codecs: codecs.iter().map(String::as_bytes).collect(),
        });
        let create = Create {
            party: Negotiation { codecs, ..create("a").party },
            media: media.filter(|medium| !medium.kind.is_empty()).collect(),
            interface: None,
        };
        let count = create.media.len().max(1);
        let command = Command::Create(create);
        let text = sim.ask(&command, |reply| reply.sdp().map(<[u8]>::to_vec));
        let Some(text) = text else {
            prop_assert_eq!(sim.pairs_open(), 0);
            return Ok(());
        };
        let text = String::from_utf8(text).unwrap();
        for line in text.split_terminator("\r\n") {
            let letter = line.chars().next().unwrap_or_default();
            prop_assert!("vostmca".contains(letter), "{}", text);
            prop_assert_eq!(line.get(1..2), Some("="), "{}", text);
            prop_assert!(!line.contains(char::is_control), "{}", text);
        }
        prop_assert_eq!(sim.pairs_open(), count);
        sim.restart_control();
        let again = sim.negotiate(&Command::Create(self::create("a")));
        // Those that the request names come on top, and there are none now.
        prop_assert_eq!(again, text);
    }
}

#[test]
fn a_party_may_be_offered_keys() {
    let mut sim = Sim::new();
    let mut secret = create("a");
    secret.party.transport_protocol = Some(b"RTP/SAVP");
    let offered = created(&mut sim, secret.clone());
    assert!(line(&offered, "m=").contains(" RTP/SAVP "), "{offered}");
    assert_eq!(offered.matches("\r\na=crypto:").count(), 12, "{offered}");
    let key = "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let text = sdp(ALICE, 4_000).replace("RTP/AVP", "RTP/SAVP") + key + "\r\n";
    let answer = Negotiation::new(b"c1", b"a", text.as_bytes());
    sim.ask(&Command::CreateAnswer(answer), |reply| {
        assert!(reply.is_ok(), "{:?}", reply.error_reason());
    });
    let again = Create {
        party: Negotiation::new(b"c1", b"a", b""),
        ..Create::default()
    };
    let again = created(&mut sim, again);
    let told = line(&offered, "a=crypto:7 ");
    let told_again: Vec<_> = again.lines().filter(|it| it.contains("crypto:")).collect();
    assert_eq!(told_again, [told]);
}
