//! Calls between parties that share no codec.

use control_ng::{CodecDirective, Codecs, Command, Negotiation, Query, Reply};
use relay_wire::{Codec, Transcoding};

use crate::tests::{CONFIG, Sim, SimRelay, port};
use crate::{Config, Transcode};

const WHEN_NEEDED: Config = Config {
    transcode: Transcode::WhenNeeded,
    ..CONFIG
};

const GSM: &str = "RTP/AVP 3";
const G722: &str = "RTP/AVP 9";
const PCMU: &str = "RTP/AVP 0";

fn sdp(number: u16, formats: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio {number} {formats}\r\n"
    )
}

fn sim() -> Sim {
    Sim::with_relay(WHEN_NEEDED, SimRelay::new(1))
}

/// The payload types of the first m-line.
fn formats(sdp: &str) -> &str {
    let line = sdp.lines().find(|line| line.starts_with("m=")).unwrap();
    line.split_once("RTP/AVP ").unwrap().1
}

/// The codecs that a route of a port leads from and to; `None` if packets pass as they are.
fn route(sim: &mut Sim, number: u16) -> Option<(Codec, Codec)> {
    let transcoding = sim.relay.at(number).transcoding.clone()?;
    let route = transcoding.routes.first().expect("one at least");
    Some((route.from.codec, route.to.codec))
}

/// A caller with GSM and a callee with G.722: the ports that face the callee and the caller.
fn call(sim: &mut Sim) -> (u16, u16) {
    let to_callee = sim.offer("c1", "alice", &sdp(4_000, GSM));
    assert_eq!(formats(&to_callee), "3 0 8 9 96 97");
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(5_000, G722));
    assert_eq!(formats(&to_caller), "3");
    (port(&to_callee, 0), port(&to_caller, 0))
}

fn assert_translated(sim: &mut Sim, (callee, caller): (u16, u16)) {
    assert_eq!(route(sim, caller), Some((Codec::Gsm, Codec::G722)));
    assert_eq!(route(sim, callee), Some((Codec::G722, Codec::Gsm)));
}

#[test]
fn parties_that_share_no_codec_are_translated() {
    let mut sim = sim();
    let (callee, caller) = call(&mut sim);
    assert_translated(&mut sim, (callee, caller));
    let reports = |transcoding: Option<Transcoding>| transcoding.unwrap().rtcp.unwrap().number;
    assert_eq!(
        reports(sim.relay.at(caller).transcoding.clone()),
        caller + 1
    );
    assert_eq!(sim.relay.at(caller + 1).transcoding, None);
}

#[test]
fn parties_that_share_one_are_not() {
    let mut sim = sim();
    let to_callee = sim.offer("c1", "alice", &sdp(4_000, PCMU));
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(5_000, "RTP/AVP 0 9"));
    assert_eq!(formats(&to_caller), "0");
    assert_eq!(route(&mut sim, port(&to_callee, 0)), None);
    assert_eq!(route(&mut sim, port(&to_caller, 0)), None);
}

#[test]
fn who_may_not_transcode_offers_nothing() {
    for (transcode, directive) in [
        (Transcode::Directives, None),
        (Transcode::Never, Some(&b"PCMA"[..])),
    ] {
        let config = Config {
            transcode,
            ..CONFIG
        };
        let mut sim = Sim::with_relay(config, SimRelay::new(1));
        let sdp = sdp(4_000, GSM);
        let mut offer = Negotiation::new(b"c1", b"alice", sdp.as_bytes());
        if let Some(codec) = directive {
            offer.codecs.push(CodecDirective::Transcode, codec);
        }
        let to_callee = sim.negotiate(&Command::Offer(offer));
        assert_eq!(formats(&to_callee), "3");
    }
}

#[test]
fn a_proxy_may_say_what_is_to_be_transcoded() {
    let mut sim = Sim::new();
    let sdp_offered = sdp(4_000, GSM);
    let mut codecs = Codecs::default();
    codecs.push(CodecDirective::Mask, b"all");
    codecs.push(CodecDirective::Transcode, b"G722");
    let offer = Negotiation {
        codecs,
        ..Negotiation::new(b"c1", b"alice", sdp_offered.as_bytes())
    };
    let to_callee = sim.negotiate(&Command::Offer(offer));
    assert_eq!(formats(&to_callee), "9");
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(5_000, G722));
    assert_translated(&mut sim, (port(&to_callee, 0), port(&to_caller, 0)));
}

#[test]
fn an_offer_again_keeps_the_translation_until_it_is_answered() {
    let mut sim = sim();
    let ports = call(&mut sim);
    let again = sim.reoffer("c1", "alice", "bob", &sdp(4_000, GSM));
    assert_eq!(formats(&again), "3 0 8 9 96 97", "the same numbers");
    assert_translated(&mut sim, ports);
    sim.answer("c1", "alice", "bob", &sdp(5_000, G722));
    assert_translated(&mut sim, ports);
    // Then they agree on something else.
    sim.reoffer("c1", "alice", "bob", &sdp(4_000, PCMU));
    sim.answer("c1", "alice", "bob", &sdp(5_000, PCMU));
    assert_eq!(
        (route(&mut sim, ports.0), route(&mut sim, ports.1)),
        (None, None)
    );
}

#[test]
fn the_callee_may_offer_and_the_caller_is_told_of_what_works() {
    let mut sim = sim();
    let ports = call(&mut sim);
    let to_caller = sim.reoffer("c1", "bob", "alice", &sdp(5_000, G722));
    assert!(formats(&to_caller).starts_with("9 "), "{to_caller}");
    let to_callee = sim.answer("c1", "bob", "alice", &sdp(4_000, GSM));
    assert_eq!(formats(&to_callee), "9");
    assert_translated(&mut sim, ports);
}

#[test]
fn hold_and_resume_change_nothing_about_codecs() {
    let mut sim = sim();
    let ports = call(&mut sim);
    for direction in ["sendonly", "sendrecv"] {
        let held = sdp(4_000, GSM) + &format!("a={direction}\r\n");
        sim.reoffer("c1", "alice", "bob", &held);
        sim.answer("c1", "alice", "bob", &sdp(5_000, G722));
        assert_translated(&mut sim, ports);
    }
}

#[test]
fn each_fork_has_its_own_codec() {
    let mut sim = sim();
    let sdp_offered = sdp(4_000, GSM);
    let offer = |branch| {
        let offer = Negotiation::new(b"c1", b"alice", sdp_offered.as_bytes());
        Command::Offer(offer.via_branch(branch))
    };
    let answer = |branch, tag, sdp| {
        let answer = Negotiation::new(b"c1", b"alice", sdp);
        Command::Answer(answer.to_tag(tag).via_branch(branch))
    };
    let one = port(&sim.negotiate(&offer(b"z1")), 0);
    let other = port(&sim.negotiate(&offer(b"z2")), 0);
    let wide = sdp(5_000, G722);
    let to_caller = sim.negotiate(&answer(b"z1", b"bob", wide.as_bytes()));
    let caller = port(&to_caller, 0);
    assert_translated(&mut sim, (one, caller));
    // The second answers with what the caller has.
    let plain = sdp(6_000, GSM);
    sim.negotiate(&answer(b"z2", b"bill", plain.as_bytes()));
    assert_eq!(
        route(&mut sim, caller),
        None,
        "what it sends goes to the second now"
    );
    assert_eq!(route(&mut sim, other), None);
    // The first again.
    sim.negotiate(&answer(b"z1", b"bob", wide.as_bytes()));
    assert_translated(&mut sim, (one, caller));
}

#[test]
fn an_overloaded_relay_gets_by_without_codecs_if_it_can() {
    let mut sim = sim();
    sim.relay.is_overloaded = true;
    sim.offer("c1", "alice", &sdp(4_000, PCMU));
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(5_000, "RTP/AVP 9 0"));
    assert_eq!(formats(&to_caller), "0");
    assert_eq!(route(&mut sim, port(&to_caller, 0)), None);
}

#[test]
fn an_overloaded_relay_gets_by_without_codecs_that_the_proxy_has_named() {
    let mut sim = sim();
    sim.relay.is_overloaded = true;
    let sdp_offered = sdp(4_000, PCMU);
    let mut offer = Negotiation::new(b"c1", b"alice", sdp_offered.as_bytes());
    assert!(offer.codecs.push(CodecDirective::Transcode, b"G722"));
    let to_callee = sim.negotiate(&Command::Offer(offer));
    assert_eq!(formats(&to_callee), "0 9");
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(5_000, "RTP/AVP 9 0"));
    assert_eq!(formats(&to_caller), "0");
    assert_eq!(route(&mut sim, port(&to_caller, 0)), None);
}

#[test]
fn an_overloaded_relay_refuses_what_it_would_have_to_translate() {
    let mut sim = sim();
    sim.offer("c1", "alice", &sdp(4_000, GSM));
    let before = sim.relay.calls.clone();
    sim.relay.is_overloaded = true;
    let sdp = sdp(5_000, G722);
    let answer = Negotiation::new(b"c1", b"alice", sdp.as_bytes()).to_tag(b"bob");
    let reason = sim.refusal(&Command::Answer(answer.clone()));
    assert_eq!(reason, "Ran out of ports", "proxies try another relay then");
    let endpoints = |calls: &std::collections::BTreeMap<_, crate::tests::SimCall>| {
        let mut calls = calls.values();
        calls.next().unwrap().endpoints.clone()
    };
    assert_eq!(
        endpoints(&sim.relay.calls),
        endpoints(&before),
        "nothing is left half done"
    );
    sim.relay.is_overloaded = false;
    sim.negotiate(&Command::Answer(answer));
}

#[test]
fn a_new_control_and_a_new_relay_know_how_a_call_is_translated() {
    let mut sim = sim();
    let ports = call(&mut sim);
    sim.restart_control();
    assert_translated(&mut sim, ports);
    sim.restart_relay();
    assert_translated(&mut sim, ports);
    // An answer that comes again is understood by what was offered before.
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(5_000, G722));
    assert_eq!(formats(&to_caller), "3");
    assert_translated(&mut sim, ports);
}

#[test]
fn a_medium_that_is_refused_is_not_translated() {
    let mut sim = sim();
    sim.offer("c1", "alice", &sdp(4_000, GSM));
    let to_caller = sim.answer("c1", "alice", "bob", &sdp(0, G722));
    assert_eq!(port(&to_caller, 0), 0);
    let calls = sim.relay.calls.values();
    let endpoints: Vec<_> = calls.flat_map(|call| call.endpoints.values()).collect();
    assert!(endpoints.iter().all(|it| it.transcoding.is_none()));
}

/// The codec that a party sends, and whether it is said to be transcoded.
fn shown(reply: &Reply<'_>, tag: &str) -> Option<(String, bool)> {
    let tags = reply.dictionary().get("tags")?.as_dictionary()?;
    let medias = tags.get(tag)?.as_dictionary()?.get("medias")?;
    let media = medias.as_list()?.first()?.as_dictionary()?;
    let codec = media.get("codec")?.as_str()?.to_owned();
    let is_transcoded = media.get("flags")?.words().any(|it| it == b"transcoding");
    Some((codec, is_transcoded))
}

#[test]
fn a_query_names_the_codec_in_full_by_whatever_number_it_goes() {
    for transcode in [Transcode::WhenNeeded, Transcode::Directives] {
        for (answer, is_transcoded) in [
            ("RTP/AVP 0", true),
            ("RTP/AVP 8\r\na=rtpmap:8 opus/48000/2", false),
        ] {
            let config = Config {
                transcode,
                ..CONFIG
            };
            let mut sim = Sim::with_relay(config, SimRelay::new(1));
            let sdp_in = sdp(4_000, "RTP/AVP 8\r\na=rtpmap:8 opus/48000/2");
            let mut offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
            assert!(offer.codecs.push(CodecDirective::Transcode, b"PCMU"));
            sim.negotiate(&Command::Offer(offer));
            let to_caller = sim.answer("c1", "alice", "bob", &sdp(5_000, answer));
            sim.relay.at(port(&to_caller, 0)).packets = 5;
            let query = Query {
                call_id: b"c1",
                ..Query::default()
            };
            sim.ask(&Command::Query(query), |reply| {
                let expected = ("opus/48000/2".to_owned(), is_transcoded);
                assert_eq!(shown(reply, "alice"), Some(expected), "{transcode:?}");
                assert_eq!(shown(reply, "bob"), None, "nothing came from there");
            });
        }
    }
}
