//! Parties that are connected without an offer.

use control_ng::{Command, Connect, Party};
use relay_wire::Codec;

use crate::tests::{CONFIG, Sim, SimRelay, port, sdp};
use crate::{Config, Transcode};

fn connect<'a>(from: &'a str, to: &'a str) -> Connect<'a> {
    Connect {
        call_id: b"c1",
        from: Some(Party::Tag(from.as_bytes())),
        to_tag: to.as_bytes(),
        to_call_id: None,
        is_directional: false,
    }
}

/// Two pairs of parties in one call: the ports that face each of them.
fn call(sim: &mut Sim, texts: [&str; 4]) -> [u16; 4] {
    let [a, b, c, d] = texts;
    let to_b = sim.offer("c1", "a", a);
    let to_a = sim.answer("c1", "a", "b", b);
    let to_d = sim.offer("c1", "c", c);
    let to_c = sim.answer("c1", "c", "d", d);
    [to_a, to_b, to_c, to_d].map(|text| port(&text, 0))
}

/// Where what each of the ports receives leaves.
fn ways(sim: &mut Sim, ports: [u16; 4]) -> [Option<u16>; 4] {
    ports.map(|it| sim.relay.at(it).rtp.map(|it| it.number))
}

#[test]
fn two_parties_talk_and_those_they_talked_to_are_not_heard() {
    let mut sim = Sim::new();
    let text = sdp("192.0.2.10", 4_000);
    let ports = call(&mut sim, [&text; 4]);
    let [a, b, c, d] = ports;
    assert_eq!(ways(&mut sim, ports), [Some(b), Some(a), Some(d), Some(c)]);
    let request = Command::Connect(connect("a", "c"));
    assert!(sim.ask(&request, |reply| reply.is_ok()));
    assert_eq!(ways(&mut sim, ports), [Some(c), None, Some(a), None]);
    assert_eq!(sim.relay.at(a).transcoding, None, "they share a codec");
    assert!(sim.ask(&request, |reply| reply.is_ok()), "again");
    // The way back.
    for (one, other) in [("a", "b"), ("c", "d")] {
        let request = Command::Connect(connect(one, other));
        assert!(sim.ask(&request, |reply| reply.is_ok()));
    }
    assert_eq!(ways(&mut sim, ports), [Some(b), Some(a), Some(d), Some(c)]);
}

#[test]
fn parties_that_share_no_codec_are_translated() {
    for (transcode, is_translated) in [(Transcode::WhenNeeded, true), (Transcode::Never, false)] {
        let config = Config {
            transcode,
            ..CONFIG
        };
        let mut sim = Sim::with_relay(config, SimRelay::new(1));
        let text = sdp("192.0.2.10", 4_000);
        let gsm = text.replace("0 8 101", "3 101");
        let [a, _, c, _] = call(&mut sim, [&text, &text, &gsm, &gsm]);
        let request = Command::Connect(connect("a", "c"));
        assert!(sim.ask(&request, |reply| reply.is_ok()));
        let routes = |sim: &mut Sim, port| {
            let transcoding = sim.relay.at(port).transcoding.clone();
            let routes = transcoding.map_or(vec![], |it| it.routes);
            let codecs = routes.iter().map(|it| (it.from.codec, it.to.codec));
            codecs.collect::<Vec<_>>()
        };
        let [there, back] = [routes(&mut sim, a), routes(&mut sim, c)];
        if is_translated {
            let expected = [(Codec::Pcmu, Codec::Gsm), (Codec::Pcma, Codec::Gsm)];
            assert_eq!(there, expected);
            assert_eq!(back, [(Codec::Gsm, Codec::Pcmu)]);
        } else {
            assert_eq!((there, back), (vec![], vec![]));
        }
    }
}

#[test]
fn who_cannot_be_connected_is_told_why() {
    let mut sim = Sim::new();
    let refusal = |sim: &mut Sim, connect: Connect<'_>| sim.refusal(&Command::Connect(connect));
    assert_eq!(refusal(&mut sim, connect("a", "c")), "Unknown call-ID(s)");
    let text = sdp("192.0.2.10", 4_000);
    call(&mut sim, [&text; 4]);
    sim.offer("c2", "x", &text);
    let missing = "From-tag given, but no such tag exists";
    assert_eq!(refusal(&mut sim, connect("nobody", "c")), missing);
    for to in ["nobody", "a"] {
        assert_eq!(refusal(&mut sim, connect("a", to)), "To-tag not found");
    }
    let nobody = Connect {
        from: None,
        ..connect("a", "c")
    };
    let none = "No medias found (no monologues matched)";
    assert_eq!(refusal(&mut sim, nobody), none);
    let copy = Connect {
        is_directional: true,
        ..connect("a", "c")
    };
    assert_eq!(refusal(&mut sim, copy), "unsupported");
    let pictures = text.replace("m=audio", "m=video");
    sim.offer("c1", "p", &pictures);
    sim.answer("c1", "p", "q", &pictures);
    assert_eq!(refusal(&mut sim, connect("a", "p")), "unsupported");
    for (other, reason) in [("c2", "unsupported"), ("c3", "Unknown call-ID(s)")] {
        let across = Connect {
            to_call_id: Some(other.as_bytes()),
            ..connect("a", "x")
        };
        assert_eq!(refusal(&mut sim, across), reason);
    }
}

#[test]
fn a_new_control_and_a_new_relay_know_who_talks_to_whom() {
    let mut sim = Sim::new();
    let text = sdp("192.0.2.10", 4_000);
    let ports = call(&mut sim, [&text; 4]);
    let request = Command::Connect(connect("a", "c"));
    assert!(sim.ask(&request, |reply| reply.is_ok()));
    let before = ways(&mut sim, ports);
    sim.restart_control();
    sim.restart_relay();
    assert_eq!(ways(&mut sim, ports), before);
}
