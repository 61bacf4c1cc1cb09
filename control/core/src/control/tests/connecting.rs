//! Parties that are connected without an offer.

use control_ng::{
    Command, Connect, Delete, MediaEcho, Mesh, MeshFlow, Negotiation, Party, Senders,
};
use relay_wire::{CallKey, Codec, Sink};

use crate::tests::{CONFIG, Sim, SimRelay, delete, port, sdp};
use crate::{Config, Transcode};

fn connect<'a>(from: &'a str, to: &'a str) -> Connect<'a> {
    Connect {
        call_id: b"c1",
        from: Senders::Parties(vec![Party::Tag(from.as_bytes())]),
        to_tag: to.as_bytes(),
        to_call_id: None,
        is_directional: false,
        is_bidirectional: false,
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
        from: Senders::Parties(vec![]),
        ..connect("a", "c")
    };
    let none = "No medias found (no monologues matched)";
    assert_eq!(refusal(&mut sim, nobody), none);
    for (other, to, reason) in [
        ("c2", "z", "To-tag not found"),
        ("c3", "x", "Unknown call-ID(s)"),
    ] {
        let across = Connect {
            to_call_id: Some(other.as_bytes()),
            ..connect("a", to)
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

/// Two calls of two parties each, of two workers: the ports that face each of them.
pub(super) fn two_calls(sim: &mut Sim, texts: [&str; 4]) -> [u16; 4] {
    let [a, b, c, d] = texts;
    let to_b = sim.offer("c1", "a", a);
    let to_a = sim.answer("c1", "a", "b", b);
    let to_d = sim.offer("c2", "c", c);
    let to_c = sim.answer("c2", "c", "d", d);
    let workers: Vec<_> = sim.relay.calls.values().map(|it| it.worker).collect();
    assert_ne!(workers[0], workers[1]);
    [to_a, to_b, to_c, to_d].map(|text| port(&text, 0))
}

pub(super) fn sim_of_two_workers() -> Sim {
    Sim::with_relay(CONFIG, SimRelay::new(2))
}

/// Who hears what comes to each of the ports: their ports, in order.
pub(super) fn listeners(sim: &mut Sim, ports: [u16; 4]) -> [Vec<u16>; 4] {
    let owners: Vec<(CallKey, Vec<u16>)> = sim
        .relay
        .calls
        .iter()
        .map(|(key, call)| (*key, call.endpoints.keys().map(|it| it.number).collect()))
        .collect();
    ports.map(|ingress| {
        let endpoint = sim.relay.at(ingress).clone();
        for sink in &endpoint.sinks {
            let number = sink.rtp.unwrap().number;
            let is_open =
                |(key, ports): &(CallKey, Vec<u16>)| *key == sink.call && ports.contains(&number);
            assert!(owners.iter().any(is_open), "{sink:?}");
            // Reports come to the next port, and leave from the one after.
            let rtcp = &sim.relay.at(ingress + 1).sinks;
            let expected = Sink { rtp: None, ..*sink };
            assert!(rtcp.contains(&expected), "{rtcp:?}");
            assert_eq!(sink.rtcp.unwrap().number, number + 1);
        }
        let sinks = endpoint.sinks.iter().filter_map(|it| it.rtp);
        let all = endpoint.rtp.into_iter().chain(sinks);
        let mut all: Vec<_> = all.map(|it| it.number).collect();
        all.sort_unstable();
        all
    })
}

pub(super) fn sorted(mut ports: Vec<u16>) -> Vec<u16> {
    ports.sort_unstable();
    ports
}

pub(super) fn done(sim: &mut Sim, request: &Command<'_>) {
    assert!(sim.ask(request, |reply| reply.is_ok()), "{request:?}");
}

pub(super) fn across<'a>(from: &'a str, to: &'a str) -> Connect<'a> {
    Connect {
        call_id: b"c2",
        to_call_id: Some(b"c1"),
        ..connect(from, to)
    }
}

fn mesh<'a>(flows: &[(&'a str, &[&'a str])]) -> Mesh<'a> {
    let flows = flows.iter().map(|(from, to)| MeshFlow {
        from: from.as_bytes(),
        to: to.iter().map(|it| it.as_bytes()).collect(),
    });
    Mesh {
        call_ids: vec![b"c2", b"c1"],
        flows: flows.collect(),
        is_bidirectional: false,
        unsubscribes: false,
    }
}

const ALL: [(&str, &[&str]); 4] = [
    ("a", &["b", "c", "d"]),
    ("b", &["a", "c", "d"]),
    ("c", &["a", "b", "d"]),
    ("d", &["a", "b", "c"]),
];

#[test]
fn parties_of_two_calls_talk_and_each_call_has_its_own_end() {
    let mut sim = sim_of_two_workers();
    let text = sdp("192.0.2.10", 4_000);
    let ports = two_calls(&mut sim, [&text; 4]);
    let [a, b, c, d] = ports;
    done(&mut sim, &Command::Connect(across("c", "a")));
    let talking = [vec![c], vec![], vec![a], vec![]];
    assert_eq!(listeners(&mut sim, ports), talking);
    done(&mut sim, &Command::Connect(across("c", "a")));
    assert_eq!(listeners(&mut sim, ports), talking, "again");
    // All of it is in the records.
    sim.restart_control();
    assert_eq!(listeners(&mut sim, ports), talking);
    sim.restart_relay();
    assert_eq!(listeners(&mut sim, ports), talking);
    // Those who offer and answer are connected by that.
    sim.reoffer("c2", "c", "d", &text);
    sim.answer("c2", "c", "d", &text);
    let settled = [vec![c], vec![], vec![d], vec![c]];
    assert_eq!(listeners(&mut sim, ports), settled);
    done(&mut sim, &delete(b"c2"));
    assert_eq!(sim.relay.at(a).sinks, []);
    assert_eq!(sim.relay.at(a).rtp, None);
    sim.reoffer("c1", "a", "b", &text);
    sim.answer("c1", "a", "b", &text);
    assert_eq!(sim.relay.at(a).rtp.map(|it| it.number), Some(b));
}

/// As a party of SRTP describes itself; `key` is a letter of Base64.
fn secure(text: &str, key: &str) -> String {
    let key = key.repeat(40);
    let line = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n");
    text.replace("RTP/AVP", "RTP/SAVP") + &line
}

/// All who are copied to, and whether the relay has keys where that leaves.
fn copied_to(sim: &Sim) -> Vec<(Sink, bool)> {
    let endpoints = sim
        .relay
        .calls
        .values()
        .flat_map(|it| it.endpoints.values());
    let sinks = endpoints.flat_map(|it| &it.sinks);
    let has_keys = |sink: &Sink| {
        let endpoint = &sim.relay.calls[&sink.call].endpoints[&sink.rtp.or(sink.rtcp).unwrap()];
        endpoint.keys.1.is_some()
    };
    sinks.map(|it| (*it, has_keys(it))).collect()
}

/// Each call is changed by itself: one has its keys, and copies to the other, before that has its own.
#[test]
fn what_goes_between_calls_of_srtp_is_sealed_from_the_first_packet() {
    let requests = [
        Command::Connect(across("c", "a")),
        Command::Connect(across("a", "c")),
        Command::Mesh(mesh(&ALL)),
    ];
    for request in requests {
        let mut sim = sim_of_two_workers();
        let text = sdp("192.0.2.10", 4_000);
        let texts = ["a", "b", "c", "d"].map(|key| secure(&text, key));
        two_calls(&mut sim, [0, 1, 2, 3].map(|n| &texts[n][..]));
        let calls = sim.relay.calls.values();
        let mut endpoints = calls.flat_map(|it| it.endpoints.values());
        assert!(endpoints.all(|it| it.keys == (None, None)), "they pass");
        sim.is_slow = true;
        sim.request(&request);
        let mut is_early = false;
        while !sim.requests.is_empty() {
            sim.deliver();
            for (sink, has_keys) in copied_to(&sim) {
                assert!(sink.is_sealed, "{sink:?} of {request:?}");
                is_early |= !has_keys;
            }
        }
        assert!(is_early, "{request:?}: it was a test");
        let sinks = copied_to(&sim);
        assert!(!sinks.is_empty() && sinks.iter().all(|(_, has_keys)| *has_keys));
    }
}

#[test]
fn who_has_no_keys_hears_in_clear() {
    let mut sim = sim_of_two_workers();
    let text = sdp("192.0.2.10", 4_000);
    let (first, second) = (secure(&text, "a"), secure(&text, "b"));
    let [a, _, c, _] = two_calls(&mut sim, [&first, &second, &text, &text]);
    done(&mut sim, &Command::Connect(across("c", "a")));
    let is_sealed = |sim: &mut Sim, port| {
        let sinks = sim.relay.at(port).sinks.iter();
        sinks.map(|it| it.is_sealed).collect::<Vec<_>>()
    };
    assert_eq!(is_sealed(&mut sim, a), [false]);
    assert_eq!(is_sealed(&mut sim, c), [true]);
}

#[test]
fn what_cannot_be_made_of_one_call_is_made_of_none() {
    for private in 0..2 {
        let mut sim = sim_of_two_workers();
        let text = sdp("192.0.2.10", 4_000);
        let ports = two_calls(&mut sim, [&text; 4]);
        let before = listeners(&mut sim, ports);
        let key = *sim.relay.calls.keys().nth(private).unwrap();
        sim.relay.private.insert(key);
        let all = Command::Mesh(mesh(&ALL));
        assert_eq!(sim.refusal(&all), "Ran out of ports");
        assert_eq!(listeners(&mut sim, ports), before);
        sim.restart_control();
        sim.restart_relay();
        assert_eq!(listeners(&mut sim, ports), before, "nor in the records");
        sim.relay.private.clear();
        done(&mut sim, &all);
        assert_ne!(listeners(&mut sim, ports), before);
    }
}

#[test]
fn a_call_that_has_no_time_is_undone_later_and_keeps_what_was_agreed_on_meanwhile() {
    let mut sim = sim_of_two_workers();
    let text = sdp("192.0.2.10", 4_000);
    let ports = two_calls(&mut sim, [&text; 4]);
    let [a, ..] = ports;
    let before = listeners(&mut sim, ports);
    // The call that is named last is changed first.
    let mut keys = sim.relay.calls.keys().copied();
    let (first, second) = (keys.next().unwrap(), keys.next().unwrap());
    sim.relay.private.insert(second);
    sim.is_slow = true;
    sim.request(&Command::Mesh(mesh(&ALL)));
    sim.deliver();
    assert!(
        !sim.relay.at(a).sinks.is_empty(),
        "the first one is changed"
    );
    let moved = sdp("192.0.2.11", 6_000);
    let offer = Negotiation::new(b"c1", b"a", moved.as_bytes());
    sim.request(&Command::Offer(offer.to_tag(b"b")));
    sim.deliver_all();
    sim.is_slow = false;
    assert_eq!(sim.sent.len(), 2, "both are answered");
    let refused = (0..2).filter(|_| !sim.reply(|reply| reply.is_ok())).count();
    assert_eq!(refused, 1);
    let left = sim.relay.calls[&first].endpoints.values();
    assert!(left.clone().all(|it| it.sinks.is_empty()));
    let remotes = left.filter_map(|it| it.remote);
    assert!(
        remotes
            .clone()
            .any(|it| it.to_string() == "192.0.2.11:6000")
    );
    assert_eq!(listeners(&mut sim, ports)[2..], before[2..]);
}

#[test]
fn a_request_that_finds_a_queue_full_is_undone_and_done_when_it_comes_again() {
    let mut sim = sim_of_two_workers();
    let text = sdp("192.0.2.10", 4_000);
    let ports = two_calls(&mut sim, [&text; 4]);
    let before = listeners(&mut sim, ports);
    sim.is_slow = true;
    let all = Command::Mesh(mesh(&ALL));
    let datagram = sim.request(&all);
    // Meanwhile the call that is to be next gets more to do than is kept.
    let query = Command::Query(control_ng::Query {
        call_id: b"c2",
        ..control_ng::Query::default()
    });
    let mut asked = 0;
    while sim.control.counters().dropped == 0 {
        sim.request(&query);
        asked += 1;
    }
    sim.deliver();
    assert_eq!(
        sim.control.counters().dropped,
        2,
        "the mesh is dropped, too"
    );
    sim.deliver_all();
    assert_eq!(sim.sent.len(), asked - 1, "it is not answered");
    sim.sent.clear();
    assert_eq!(listeners(&mut sim, ports), before);
    sim.is_slow = false;
    sim.send(&datagram);
    assert!(sim.reply(|reply| reply.is_ok()));
    assert_ne!(listeners(&mut sim, ports), before);
}

#[test]
fn a_request_for_several_calls_that_the_relay_leaves_alone_is_done_or_undone() {
    for (is_back, is_done) in [(true, true), (false, false)] {
        let mut sim = sim_of_two_workers();
        let text = sdp("192.0.2.10", 4_000);
        let ports = two_calls(&mut sim, [&text; 4]);
        let before = listeners(&mut sim, ports);
        sim.is_slow = true;
        let all = Command::Mesh(mesh(&ALL));
        sim.request(&all);
        sim.deliver();
        sim.disconnect();
        sim.is_slow = false;
        if !is_back {
            sim.sleep(std::time::Duration::from_secs(5));
            assert!(!sim.reply(|reply| reply.is_ok()));
        }
        sim.connect();
        if is_back {
            assert!(sim.reply(|reply| reply.is_ok()));
        }
        assert_eq!(listeners(&mut sim, ports) != before, is_done);
        sim.restart_relay();
        assert_eq!(
            listeners(&mut sim, ports) != before,
            is_done,
            "nor in the records"
        );
        done(&mut sim, &all);
        assert_ne!(listeners(&mut sim, ports), before);
    }
}

#[test]
fn a_bye_ends_its_call_though_the_other_party_is_connected_to_another() {
    for (to_tag, is_gone) in [(Some(&b"b"[..]), true), (None, false)] {
        let mut sim = sim_of_two_workers();
        let text = sdp("192.0.2.10", 4_000);
        two_calls(&mut sim, [&text; 4]);
        done(&mut sim, &Command::Connect(across("c", "b")));
        done(
            &mut sim,
            &Command::Delete(Delete {
                call_id: b"c1",
                from_tag: Some(b"a"),
                to_tag,
                delay_s: Some(0),
                ..Delete::default()
            }),
        );
        assert_eq!(sim.relay.calls.len(), if is_gone { 1 } else { 2 });
    }
}

#[test]
fn a_copy_goes_to_another_call_and_all_else_stays() {
    let mut sim = sim_of_two_workers();
    let text = sdp("192.0.2.10", 4_000);
    let ports = two_calls(&mut sim, [&text; 4]);
    let [a, b, c, d] = ports;
    let copy = Connect {
        is_directional: true,
        ..across("c", "a")
    };
    done(&mut sim, &Command::Connect(copy.clone()));
    let one_way = [vec![b], vec![a], sorted(vec![d, a]), vec![c]];
    assert_eq!(listeners(&mut sim, ports), one_way);
    let all = Connect {
        from: Senders::All,
        is_bidirectional: true,
        ..copy.clone()
    };
    done(&mut sim, &Command::Connect(all.clone()));
    let both_ways = [
        sorted(vec![b, c, d]),
        vec![a],
        sorted(vec![d, a]),
        sorted(vec![c, a]),
    ];
    assert_eq!(listeners(&mut sim, ports), both_ways);
    // Nobody need say any more whose call it is.
    let undo = Connect {
        to_call_id: None,
        ..all
    };
    done(&mut sim, &Command::Unsubscribe(undo));
    let before = [vec![b], vec![a], vec![d], vec![c]];
    assert_eq!(listeners(&mut sim, ports), before);
    // A party goes, and its ports with it.
    done(&mut sim, &Command::Connect(copy));
    let gone = Connect {
        to_call_id: None,
        ..across("c", "a")
    };
    let request = Command::Unsubscribe(gone);
    done(&mut sim, &request);
    assert_eq!(sim.refusal(&request), "To-tag not found");
    assert!(!sim.relay.open_ports().contains(&a));
    let rest = [b, c, d, d];
    let left = [vec![], vec![d], vec![c], vec![c]];
    assert_eq!(listeners(&mut sim, rest), left);
}

#[test]
fn all_hear_all_and_then_only_those_they_are_told_to() {
    let mut sim = sim_of_two_workers();
    let text = sdp("192.0.2.10", 4_000);
    let ports = two_calls(&mut sim, [&text; 4]);
    let [a, b, c, d] = ports;
    let before = [vec![b], vec![a], vec![d], vec![c]];
    let others = |one: u16| sorted(ports.into_iter().filter(|it| *it != one).collect());
    for unsubscribes in [false, false, true] {
        let mesh = Mesh {
            unsubscribes,
            ..mesh(&ALL)
        };
        done(&mut sim, &Command::Mesh(mesh));
        assert_eq!(listeners(&mut sim, ports), ports.map(others));
    }
    let pairs: [(&str, &[&str]); 4] = [("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"])];
    done(&mut sim, &Command::Mesh(mesh(&pairs)));
    assert_eq!(listeners(&mut sim, ports), ports.map(others), "none less");
    let only_pairs = Mesh {
        unsubscribes: true,
        ..mesh(&pairs)
    };
    done(&mut sim, &Command::Mesh(only_pairs.clone()));
    assert_eq!(listeners(&mut sim, ports), before);
    assert!(sim.relay.at(a).sinks.is_empty(), "the short way again");
    let crossed: [(&str, &[&str]); 4] = [("a", &["c"]), ("b", &["d"]), ("c", &[]), ("d", &[])];
    let crossed = Mesh {
        unsubscribes: true,
        is_bidirectional: true,
        ..mesh(&crossed)
    };
    done(&mut sim, &Command::Mesh(crossed));
    let expected = [vec![c], vec![d], vec![a], vec![b]];
    assert_eq!(listeners(&mut sim, ports), expected);
    done(&mut sim, &Command::Mesh(only_pairs));
    assert_eq!(listeners(&mut sim, ports), before);
}

#[test]
fn those_who_hear_a_call_that_ends_or_moves_are_looked_after() {
    let mut sim = sim_of_two_workers();
    let text = sdp("192.0.2.10", 4_000);
    let ports = two_calls(&mut sim, [&text; 4]);
    let [a, b, c, d] = ports;
    done(&mut sim, &Command::Mesh(mesh(&ALL)));
    // Carol moves: David is told of another port.
    let moved = sim.reoffer("c2", "c", "d", &sdp("192.0.2.77", 4_700));
    sim.answer("c2", "c", "d", &text);
    let new_d = port(&moved, 0);
    assert_ne!(new_d, d);
    let heard = listeners(&mut sim, [a, b, c, new_d]);
    assert_eq!(heard[0], sorted(vec![b, c, new_d]));
    assert_eq!(heard[2], sorted(vec![a, b, new_d]));
    done(&mut sim, &delete(b"c2"));
    for (port, other) in [(a, b), (b, a)] {
        assert!(sim.relay.at(port).sinks.is_empty());
        assert_eq!(sim.relay.at(port).rtp.map(|it| it.number), Some(other));
    }
    // The same while the other call has no time for it.
    let [c, d] = {
        let to_d = sim.offer("c2", "c", &text);
        let to_c = sim.answer("c2", "c", "d", &text);
        [to_c, to_d].map(|text| port(&text, 0))
    };
    done(&mut sim, &Command::Mesh(mesh(&ALL)));
    assert_eq!(listeners(&mut sim, [a, b, c, d])[0], sorted(vec![b, c, d]));
    sim.is_slow = true;
    sim.request(&Command::Query(control_ng::Query {
        call_id: b"c1",
        ..control_ng::Query::default()
    }));
    sim.request(&delete(b"c2"));
    let late = sim.requests.remove(0).unwrap();
    sim.deliver_all();
    assert!(!sim.relay.at(a).sinks.is_empty(), "it is busy");
    sim.requests.push_back(late);
    sim.deliver_all();
    assert!(sim.relay.at(a).sinks.is_empty());
}

#[test]
fn who_needs_another_codec_gets_what_is_made_for_it() {
    let config = Config {
        transcode: Transcode::WhenNeeded,
        ..CONFIG
    };
    let mut sim = Sim::with_relay(config, SimRelay::new(2));
    let text = sdp("192.0.2.10", 4_000);
    let gsm = text.replace("0 8 101", "3 101");
    let [a, b, c, d] = two_calls(&mut sim, [&text, &text, &gsm, &gsm]);
    done(&mut sim, &Command::Mesh(mesh(&ALL)));
    for (port, peer, codecs) in [
        (a, b, [Codec::Pcmu, Codec::Gsm]),
        (d, c, [Codec::Gsm, Codec::Pcmu]),
    ] {
        let endpoint = sim.relay.at(port).clone();
        let routes = endpoint.transcoding.unwrap().routes;
        assert_eq!([routes[0].from.codec, routes[0].to.codec], codecs);
        // The peer gets it as it is, though it is not the first way then.
        assert_eq!(endpoint.rtp, None);
        let made: Vec<_> = endpoint.sinks.iter().map(|it| it.is_remade).collect();
        let own = endpoint.sinks.iter().find(|it| !it.is_remade).unwrap();
        assert_eq!(own.rtp.map(|it| it.number), Some(peer));
        assert_eq!(made.iter().filter(|it| **it).count(), 2);
    }
    // Who hears only itself hears itself as it is.
    let echo = Negotiation {
        media_echo: Some(MediaEcho::Backward),
        ..Negotiation::new(b"c1", b"a", text.as_bytes())
    };
    sim.negotiate(&Command::Offer(echo.to_tag(b"b")));
    let endpoint = sim.relay.at(a).clone();
    assert_eq!(endpoint.rtp.map(|it| it.number), Some(a));
    assert_eq!((endpoint.transcoding, endpoint.sinks), (None, vec![]));
}

#[test]
fn media_in_another_order_find_their_like() {
    let mut sim = Sim::new();
    let (audio, video) = ("m=audio 4000 RTP/AVP 0\r\n", "m=video 4002 RTP/AVP 96\r\n");
    let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n";
    let (one, other) = ([head, audio, video].concat(), [head, video, audio].concat());
    let to_b = sim.offer("c1", "a", &one);
    let to_a = sim.answer("c1", "a", "b", &one);
    sim.offer("c1", "c", &other);
    let to_c = sim.answer("c1", "c", "d", &other);
    let kinds = |text: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("m="));
        let kinds = lines.map(|line| line.split(' ').next().unwrap().to_owned());
        kinds.collect::<Vec<_>>()
    };
    let (a, c) = (
        [0, 1].map(|n| port(&to_a, n)),
        [0, 1].map(|n| port(&to_c, n)),
    );
    done(&mut sim, &Command::Connect(connect("a", "c")));
    for (from, to) in [(a, [c[1], c[0]]), (c, [a[1], a[0]])] {
        for (ingress, egress) in from.into_iter().zip(to) {
            let sinks = sim.relay.at(ingress).sinks.clone();
            assert_eq!(sinks[0].rtp.map(|it| it.number), Some(egress));
        }
    }
    // They offer and answer, each in its own order; ports stay.
    for _ in 0..2 {
        let told = sim.reoffer("c1", "a", "c", &one);
        assert_eq!(kinds(&told), ["video", "audio"]);
        assert_eq!([0, 1].map(|n| port(&told, n)), c);
        let told = sim.answer("c1", "a", "c", &other);
        assert_eq!(kinds(&told), ["audio", "video"]);
        assert_eq!([0, 1].map(|n| port(&told, n)), a);
        for (from, to) in [(a, [c[1], c[0]]), (c, [a[1], a[0]])] {
            for (ingress, egress) in from.into_iter().zip(to) {
                let endpoint = sim.relay.at(ingress).clone();
                assert_eq!(endpoint.rtp.map(|it| it.number), Some(egress));
                assert_eq!(endpoint.sinks, []);
            }
        }
        sim.restart_control();
    }
    let told = sim.reoffer("c1", "c", "a", &other);
    assert_eq!(kinds(&told), ["audio", "video"]);
    // And back to who had them so all along.
    let told = sim.reoffer("c1", "a", "b", &one);
    assert_eq!(kinds(&told), ["audio", "video"]);
    assert_eq!(
        [0, 1].map(|n| port(&told, n)),
        [0, 1].map(|n| port(&to_b, n))
    );
}
