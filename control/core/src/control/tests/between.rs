//! Requests about parties of calls that were connected, whichever of the calls they name.

use control_ng::{
    Change, Command, Connect, Delete, Ice, Negotiation, Party, Query, Sink, Treat, Whose,
};
use relay_wire::{CallKey, OnMedia, WorkerId};

use crate::tests::{CONFIG, Sim, SimRelay, delete, port, sdp};
use crate::{Config, Transcode};

use super::connecting::{across, done, listeners, sim_of_two_workers, two_calls};
use super::ice::with_ice;

/// Two calls that belong together, and of which each goes on as it did.
fn joined(sim: &mut Sim, texts: [&str; 4]) -> [u16; 4] {
    let ports = two_calls(sim, texts);
    join(sim);
    ports
}

fn join(sim: &mut Sim) {
    let copy = Connect {
        is_directional: true,
        ..across("d", "b")
    };
    done(sim, &Command::Connect(copy.clone()));
    done(sim, &Command::Unsubscribe(copy));
}

fn key_of(sim: &Sim, n: usize) -> CallKey {
    *sim.relay.calls.keys().nth(n).unwrap()
}

#[test]
fn an_offer_to_a_party_of_the_other_call_names_its_ports() {
    for (named, other) in [("c1", "c2"), ("c2", "c1")] {
        let mut sim = sim_of_two_workers();
        let text = sdp("192.0.2.10", 4_000);
        let ports = joined(&mut sim, [&text; 4]);
        let [a, b, c, d] = ports;
        let apart = listeners(&mut sim, ports);
        let told = sim.reoffer(named, "a", "c", &text);
        assert_eq!(port(&told, 0), c);
        assert_eq!(listeners(&mut sim, ports), apart, "until it is answered");
        let told = sim.answer(named, "a", "c", &text);
        assert_eq!(port(&told, 0), a);
        let together = [vec![c], vec![], vec![a], vec![]];
        assert_eq!(listeners(&mut sim, ports), together);
        // It goes on in the other direction, by the other name, in another control.
        sim.restart_control();
        assert_eq!(port(&sim.reoffer(other, "c", "a", &text), 0), a);
        assert_eq!(port(&sim.answer(other, "c", "a", &text), 0), c);
        assert_eq!(listeners(&mut sim, ports), together);
        // Each call has its own end, and its own parties offer and answer as before.
        assert_eq!(port(&sim.reoffer("c2", "d", "c", &text), 0), c);
        assert_eq!(port(&sim.answer("c2", "d", "c", &text), 0), d);
        let back = [vec![c], vec![], vec![d], vec![c]];
        assert_eq!(listeners(&mut sim, ports), back);
        done(&mut sim, &delete(b"c2"));
        assert_eq!(port(&sim.reoffer("c1", "b", "a", &text), 0), a);
        assert_eq!(port(&sim.answer("c1", "b", "a", &text), 0), b);
        assert_eq!(sim.relay.at(a).rtp.map(|it| it.number), Some(b));
        done(&mut sim, &delete(b"c1"));
        assert_eq!((sim.pairs_open(), sim.relay.calls.len()), (0, 0));
    }
}

#[test]
fn who_moves_gets_its_peer_told_of_another_port_of_its_own_call() {
    let mut sim = sim_of_two_workers();
    let text = sdp("192.0.2.10", 4_000);
    let ports = joined(&mut sim, [&text; 4]);
    let c = ports[2];
    let moved = sdp("192.0.2.66", 6_600);
    let told = sim.reoffer("c1", "a", "c", &moved);
    let new = port(&told, 0);
    assert_ne!(new, c);
    let owner = key_of(&sim, 1);
    let is_there = |call: &crate::tests::SimCall| call.endpoints.keys().any(|it| it.number == new);
    assert!(is_there(&sim.relay.calls[&owner]));
    sim.answer("c1", "a", "c", &text);
    assert_eq!(
        sim.relay.at(ports[0]).remote.unwrap().to_string(),
        "192.0.2.66:6600"
    );
    let now = listeners(&mut sim, [ports[0], ports[1], new, ports[3]]);
    assert_eq!(now, [vec![new], vec![], vec![ports[0]], vec![]]);
    // No pair of ports is forgotten.
    done(&mut sim, &delete(b"c1"));
    done(&mut sim, &delete(b"c2"));
    assert_eq!(sim.pairs_open(), 0);
    sim.sleep(std::time::Duration::from_secs(60));
    assert_eq!(sim.port_usage().0, 0);
}

#[test]
fn a_guest_has_its_further_ports_where_it_is_at_home() {
    // Either party is the guest of the other, so each is told once.
    for (from, to, owner) in [("a", "c", 1), ("c", "a", 0)] {
        let mut sim = sim_of_two_workers();
        let text = sdp("192.0.2.10", 4_000);
        let outside = |negotiation| Negotiation {
            direction: Some([b"outside", b"outside"]),
            ..negotiation
        };
        for (call, caller, callee) in [("c1", "a", "b"), ("c2", "c", "d")] {
            let offer = Negotiation::new(call.as_bytes(), caller.as_bytes(), text.as_bytes());
            sim.negotiate(&Command::Offer(outside(offer)));
            sim.answer(call, caller, callee, &text);
        }
        join(&mut sim);
        let before = sim.pairs_open();
        let offer = Negotiation::new(b"c1", from.as_bytes(), text.as_bytes());
        let offer = Negotiation {
            ice: Some(Ice::Force),
            ..outside(offer.to_tag(to.as_bytes()))
        };
        let told = sim.negotiate(&Command::Offer(offer));
        let speaks = with_ice("192.0.2.10", 4_000, "them");
        sim.answer("c1", from, to, &speaks);
        let key = key_of(&sim, owner);
        let ice = sim.relay.at(port(&told, 0)).ice.clone();
        let bases = ice.expect("the relay speaks ICE there").bases;
        assert_eq!(bases.len(), 2, "{told}");
        let call = &sim.relay.calls[&key];
        for base in bases {
            let home = sim.relay.hello.partition.owner(base.port.number);
            assert_eq!(home, Some(WorkerId(call.worker)), "{from} to {to}");
            assert!(call.endpoints.contains_key(&base.port), "{from} to {to}");
        }
        assert_eq!(sim.pairs_open(), before + 1);
        done(&mut sim, &delete(b"c1"));
        done(&mut sim, &delete(b"c2"));
        assert_eq!(sim.pairs_open(), 0, "no pair of ports is forgotten");
    }
}

#[test]
fn what_the_second_call_cannot_be_made_the_first_is_not_either() {
    for private in 0..2 {
        let mut sim = sim_of_two_workers();
        let text = sdp("192.0.2.10", 4_000);
        let ports = joined(&mut sim, [&text; 4]);
        let before = listeners(&mut sim, ports);
        sim.reoffer("c1", "a", "c", &text);
        let used = sim.port_usage();
        let key = key_of(&sim, private);
        sim.relay.private.insert(key);
        let moved = sdp("192.0.2.66", 6_600);
        let answer = Negotiation::new(b"c1", b"a", moved.as_bytes()).to_tag(b"c");
        let answer = Command::Answer(answer);
        assert_eq!(sim.refusal(&answer), "Ran out of ports");
        sim.restart_control();
        sim.restart_relay();
        assert_eq!(listeners(&mut sim, ports), before);
        let remotes = sim
            .relay
            .calls
            .values()
            .flat_map(|it| it.endpoints.values());
        let mut remotes = remotes.filter_map(|it| it.remote);
        assert!(!remotes.any(|it| it.port() == 6_600));
        assert_eq!(sim.port_usage(), used);
        sim.relay.private.clear();
        done(&mut sim, &answer);
        assert_eq!(listeners(&mut sim, ports)[0], [ports[2]]);
    }
}

#[test]
fn an_offer_between_calls_that_other_requests_overtake_sees_what_they_did() {
    let mut sim = sim_of_two_workers();
    let text = sdp("192.0.2.10", 4_000);
    let ports = joined(&mut sim, [&text; 4]);
    let open = sim.pairs_open();
    sim.is_slow = true;
    let moved = sdp("192.0.2.66", 6_600);
    let offer = Negotiation::new(b"c1", b"a", moved.as_bytes()).to_tag(b"c");
    sim.request(&Command::Offer(offer));
    // The first half is under way; the other call changes.
    let blocked = Treat {
        call_id: b"c1",
        whose: Whose::Party(Party::Tag(b"b")),
        change: Change::Block(true),
    };
    sim.request(&Command::Treat(blocked));
    sim.deliver_all();
    sim.is_slow = false;
    assert_eq!(sim.sent.len(), 2);
    let told: Vec<_> = (0..2)
        .filter_map(|_| sim.reply(|reply| reply.sdp().map(|it| it.to_vec())))
        .collect();
    let told = String::from_utf8(told[0].clone()).unwrap();
    assert_ne!(port(&told, 0), ports[2]);
    let filter = sim.relay.at(ports[1]).filter.clone();
    assert_eq!(filter.map(|it| it.on_media), Some(OnMedia::Drop));
    assert_eq!(sim.relay.at(ports[0]).remote.unwrap().port(), 6_600);
    // One pair more for who is told that the other has moved.
    assert_eq!(sim.pairs_open(), open + 1);
}

#[test]
fn the_codecs_of_an_offer_between_calls_are_remembered_until_the_answer() {
    let config = Config {
        transcode: Transcode::WhenNeeded,
        ..CONFIG
    };
    let mut sim = Sim::with_relay(config, SimRelay::new(2));
    let text = sdp("192.0.2.10", 4_000);
    let gsm = text.replace("0 8 101", "3 101");
    let [a, _, c, _] = joined(&mut sim, [&text, &text, &gsm, &gsm]);
    for _ in 0..2 {
        let told = sim.reoffer("c1", "a", "c", &text);
        let line = told.lines().find(|line| line.starts_with("m=audio"));
        let formats: Vec<_> = line.unwrap().split(' ').skip(3).collect();
        assert!(formats.contains(&"3"), "{told}");
        let told = sim.answer("c1", "a", "c", &gsm);
        let line = told.lines().find(|line| line.starts_with("m=audio"));
        assert!(!line.unwrap().contains(" 3 "), "{told}");
        assert!(line.unwrap().contains("RTP/AVP 0"), "{told}");
        for port in [a, c] {
            let transcoding = sim.relay.at(port).transcoding.clone();
            assert!(!transcoding.unwrap().routes.is_empty());
        }
    }
}

#[test]
fn a_party_is_found_whichever_of_its_calls_is_named() {
    let mut sim = sim_of_two_workers();
    let text = sdp("192.0.2.10", 4_000);
    let ports = joined(&mut sim, [&text; 4]);
    let is_stopped = |sim: &mut Sim, port: u16| {
        let filter = sim.relay.at(port).filter.clone();
        filter.is_some_and(|it| it.on_media == OnMedia::Drop)
    };
    for (whose, stopped) in [
        (Whose::Party(Party::Tag(b"c")), 2),
        (Whose::Flow(Party::Tag(b"d"), Sink::Tag(b"c")), 3),
    ] {
        let call_id = b"c1";
        for is_blocked in [true, false] {
            let whose = whose.clone();
            let change = Change::Block(is_blocked);
            let treat = Treat {
                call_id,
                whose,
                change,
            };
            done(&mut sim, &Command::Treat(treat));
            assert_eq!(is_stopped(&mut sim, ports[stopped]), is_blocked);
        }
    }
    // Offers of its own dialogue.
    assert_eq!(port(&sim.reoffer("c1", "c", "d", &text), 0), ports[3]);
    assert_eq!(port(&sim.answer("c1", "c", "d", &text), 0), ports[2]);
    assert_eq!(port(&sim.offer("c1", "d", &text), 0), ports[2]);
    let query = |call_id, from_tag| {
        let query = Query {
            call_id,
            from_tag,
            to_tag: None,
        };
        Command::Query(query)
    };
    let tags = |sim: &mut Sim, command: &Command<'_>| {
        sim.ask(command, |reply| {
            let tags = reply.dictionary().get("tags").unwrap();
            let tags = tags.as_dictionary().unwrap();
            let names = ["a", "b", "c", "d"].into_iter();
            names
                .filter(|it| tags.get(it).is_some())
                .collect::<String>()
        })
    };
    assert_eq!(tags(&mut sim, &query(b"c1", Some(b"c"))), "c");
    assert_eq!(tags(&mut sim, &query(b"c1", None)), "ab");
    let gone = Delete {
        call_id: b"c1",
        from_tag: Some(b"d"),
        delay_s: Some(0),
        ..Delete::default()
    };
    done(&mut sim, &Command::Delete(gone.clone()));
    assert!(!sim.relay.open_ports().contains(&ports[2]));
    assert!(sim.relay.open_ports().contains(&ports[0]));
    let warned = sim.ask(&Command::Delete(gone), |reply| reply.warning().is_some());
    assert!(warned, "it is gone from both");
}
