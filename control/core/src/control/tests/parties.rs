//! Parties that are told of different things: profiles, echoes, header extensions, forks that
//! answer differently.

use control_ng::{AliasKey, Command, Flag, MediaEcho, Negotiation, Query, RtcpMux, Words};

use crate::tests::{Sim, on, port, sdp};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";

fn offer(sdp: &str) -> Negotiation<'_> {
    Negotiation::new(b"c1", b"alice", sdp.as_bytes())
}

fn answer(sdp: &str) -> Negotiation<'_> {
    offer(sdp).to_tag(b"bob")
}

/// A description with another profile.
fn profiled(address: &str, number: u16, profile: &str) -> String {
    sdp(address, number).replace("RTP/AVP", profile)
}

/// The profile of the first medium.
fn profile(sdp: &str) -> &str {
    let line = sdp.lines().find(|line| line.starts_with("m=")).unwrap();
    line.split(' ').nth(2).unwrap()
}

#[test]
fn each_party_is_told_of_the_profile_that_it_speaks() {
    let mut sim = Sim::new();
    let sdp_in = profiled(CALLER, 4_000, "RTP/AVPF");
    let plain = Negotiation {
        transport_protocol: Some(b"RTP/AVP"),
        ..offer(&sdp_in)
    };
    let out = sim.negotiate(&Command::Offer(plain));
    assert_eq!(profile(&out), "RTP/AVP");
    let out = sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    assert_eq!(profile(&out), "RTP/AVPF", "that of the offer");
    // Again without a word of it, from either side.
    let out = sim.reoffer("c1", "alice", "bob", &sdp_in);
    assert_eq!(profile(&out), "RTP/AVP");
    let out = sim.reoffer("c1", "bob", "alice", &sdp(CALLEE, 5_000));
    assert_eq!(profile(&out), "RTP/AVPF");
    let out = sim.reoffer("c1", "alice", "bob", &sdp(CALLER, 4_000));
    assert_eq!(profile(&out), "RTP/AVP", "the caller has another now");
}

#[test]
fn the_profile_of_an_answer_is_passed_on_if_that_is_wanted() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &profiled(CALLER, 4_000, "RTP/AVPF"));
    let sdp_in = sdp(CALLEE, 5_000);
    let accept = Negotiation {
        transport_protocol: Some(b"accept"),
        ..answer(&sdp_in)
    };
    assert_eq!(profile(&sim.negotiate(&Command::Answer(accept))), "RTP/AVP");
    let other = Negotiation {
        transport_protocol: Some(b"RTP/AVPF"),
        ..answer(&sdp_in)
    };
    assert_eq!(profile(&sim.negotiate(&Command::Answer(other))), "RTP/AVPF");
}

#[test]
fn keys_are_neither_put_in_nor_taken_out_by_a_profile() {
    let mut sim = Sim::new();
    let sdp_in = profiled(CALLER, 4_000, "RTP/SAVP");
    let plain = Negotiation {
        transport_protocol: Some(b"RTP/AVP"),
        ..offer(&sdp_in)
    };
    let out = sim.negotiate(&Command::Offer(plain));
    assert_eq!(profile(&out), "RTP/SAVP");
}

#[test]
fn media_comes_back_to_who_sent_it_if_that_is_wanted() {
    for (wish, caller_hears, callee_hears) in [
        (MediaEcho::Forward, None, Some("callee")),
        (MediaEcho::Backward, Some("caller"), None),
        (MediaEcho::Both, Some("caller"), Some("callee")),
        (MediaEcho::Blackhole, None, None),
    ] {
        let mut sim = Sim::new();
        let sdp_in = sdp(CALLER, 4_000);
        let echo = Negotiation {
            media_echo: Some(wish),
            ..offer(&sdp_in)
        };
        let callee = port(&sim.negotiate(&Command::Offer(echo)), 0);
        let caller = port(&sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000)), 0);
        let mut hears = |port: u16, name| {
            let flow = sim.relay.at(port);
            assert_eq!(flow.rtcp, None, "{wish:?}");
            assert!(flow.rtp.is_none_or(|it| it == on(0, port)), "{wish:?}");
            flow.rtp.map(|_| name)
        };
        assert_eq!(hears(caller, "caller"), caller_hears, "{wish:?}");
        assert_eq!(hears(callee, "callee"), callee_hears, "{wish:?}");
    }
}

#[test]
fn header_extensions_are_not_spoken_of_if_that_is_wanted() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000) + "a=extmap:1 urn:x\r\na=extmap-allow-mixed\r\n";
    let out = sim.negotiate(&Command::Offer(offer(&sdp_in)));
    assert!(out.contains("a=extmap:1 urn:x\r\n"), "{out}");
    let stripped = offer(&sdp_in).flag(Flag::StripExtmap);
    let out = sim.negotiate(&Command::Offer(stripped));
    assert!(!out.contains("extmap"), "{out}");
}

#[test]
fn what_holds_for_the_offer_of_one_fork_holds_for_its_answer() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000) + "a=rtcp-mux\r\n";
    for (branch, wish) in [(&b"1"[..], RtcpMux::Demux), (b"2", RtcpMux::Offer)] {
        let fork = Negotiation {
            rtcp_mux: Words::default().with(wish),
            ..offer(&sdp_in).via_branch(branch)
        };
        let out = sim.negotiate(&Command::Offer(fork));
        assert_eq!(out.contains("a=rtcp-mux"), wish == RtcpMux::Offer, "{out}");
    }
    let sdp_in = sdp(CALLEE, 5_000);
    let first = answer(&sdp_in).via_branch(b"1");
    let out = sim.negotiate(&Command::Answer(first));
    assert!(out.contains("a=rtcp-mux\r\n"), "it was separated here");
    let second = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes()).to_tag(b"carol");
    let out = sim.negotiate(&Command::Answer(second.via_branch(b"2")));
    assert!(!out.contains("a=rtcp-mux\r\n"), "{out}");
}

#[test]
fn who_comes_back_under_another_tag_is_known_by_its_description_or_its_place() {
    let same = sdp(CALLER, 4_000);
    let changed = same.clone() + "a=x\r\n";
    let elsewhere = sdp(CALLER, 4_002);
    for (key, text, is_known) in [
        (Some(AliasKey::Sdp), &same, true),
        (Some(AliasKey::Sdp), &changed, false),
        (Some(AliasKey::Address), &changed, true),
        (Some(AliasKey::Address), &elsewhere, false),
        (Some(AliasKey::None), &same, false),
        (None, &same, false),
    ] {
        let mut sim = Sim::new();
        let offer = |tag, text| Negotiation {
            alias_key: key,
            ..Negotiation::new(b"c1", tag, text)
        };
        let first = offer(b"alice", same.as_bytes());
        let callee = port(&sim.negotiate(&Command::Offer(first)), 0);
        sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
        let again = offer(b"alice2", text.as_bytes());
        let again = port(&sim.negotiate(&Command::Offer(again)), 0);
        assert_eq!(again == callee, is_known, "{key:?}");
        assert_eq!(sim.pairs_open(), if is_known { 2 } else { 4 });
    }
}

#[test]
fn who_names_an_address_of_ours_is_watched_for_loops_until_it_names_another() {
    let mut sim = Sim::new();
    for (address, number, is_watched) in [
        ("10.0.0.1", 30_399, true),
        (CALLER, 30_000, false),
        ("203.0.113.1", 30_000, true),
        ("0.0.0.0", 30_000, false),
        ("10.0.0.1", 4_000, false),
    ] {
        let to_callee = sim.offer("c1", "alice", &sdp(address, number));
        let caller = sim.relay.at(port(&to_callee, 0)).rtp.unwrap().number;
        let watched = |sim: &mut Sim, port| sim.relay.at(port).rules.checks_loops;
        assert_eq!(watched(&mut sim, caller), is_watched, "{address}");
        assert!(!watched(&mut sim, port(&to_callee, 0)));
    }
}

#[test]
fn who_was_offered_a_stream_would_be_controlled() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    let query = |sim: &mut Sim, tag| {
        let query = Query {
            call_id: b"c1",
            from_tag: Some(tag),
            ..Query::default()
        };
        sim.request(&Command::Query(query));
        let (_, reply) = sim.sent.pop_front().unwrap();
        String::from_utf8_lossy(&reply).contains("ICE controlling")
    };
    for _ in 0..2 {
        assert!(query(&mut sim, b"bob") && !query(&mut sim, b"alice"));
        // Who offers later changes nothing.
        sim.reoffer("c1", "bob", "alice", &sdp(CALLEE, 5_000));
        sim.answer("c1", "bob", "alice", &sdp(CALLER, 4_000));
    }
}
