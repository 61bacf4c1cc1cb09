//! Who hears whom, as `query` tells it.

use control_ng::{Command, Connect, Dictionary, Party, Query, Senders, Value};

use crate::tests::{CONFIG, Sim, SimRelay, sdp};

/// Two calls on two workers, of a and b, and of c and d.
fn two_calls() -> Sim {
    let mut sim = Sim::with_relay(CONFIG, SimRelay::new(2));
    let text = sdp("192.0.2.10", 4_000);
    for (call, from, to) in [("c1", "a", "b"), ("c2", "c", "d")] {
        sim.offer(call, from, &text);
        sim.answer(call, from, to, &text);
    }
    sim
}

/// From a party of the first call to one of the second.
fn connect(sim: &mut Sim, from: &str, to: &str, is_directional: bool) {
    let connect = Connect {
        call_id: b"c1",
        from: Senders::Parties(vec![Party::Tag(from.as_bytes())]),
        to_tag: to.as_bytes(),
        to_call_id: Some(b"c2"),
        is_directional,
        is_bidirectional: false,
    };
    assert!(sim.ask(&Command::Connect(connect), |reply| reply.is_ok()));
}

fn words(party: &Dictionary<'_>, key: &str) -> String {
    let list = party.get(key).and_then(Value::as_list).unwrap();
    let entries = list.iter().map(|entry| {
        let entry = entry.as_dictionary().unwrap();
        let word = |key| entry.get(key).and_then(Value::as_str).unwrap().to_owned();
        word("tag") + "=" + &word("type")
    });
    entries.collect::<Vec<_>>().join(" ")
}

/// Those whom a party hears, and those who hear it.
fn associations(sim: &mut Sim, call: &str, tag: &str) -> [String; 2] {
    let query = Query {
        call_id: call.as_bytes(),
        ..Query::default()
    };
    sim.ask(&Command::Query(query), |reply| {
        let tags = reply.dictionary().get("tags").unwrap();
        let party = tags.as_dictionary().unwrap().get(tag).unwrap();
        let party = party.as_dictionary().unwrap();
        ["subscriptions", "subscribers"].map(|key| words(party, key))
    })
}

#[test]
fn who_is_copied_to_another_call_is_told_beside_the_peer() {
    let mut sim = two_calls();
    connect(&mut sim, "a", "d", true);
    for (call, tag, expected) in [
        ("c1", "a", ["b=offer/answer", "b=offer/answer d=pub/sub"]),
        ("c1", "b", ["a=offer/answer", "a=offer/answer"]),
        ("c2", "c", ["d=offer/answer", "d=offer/answer"]),
        ("c2", "d", ["c=offer/answer a=pub/sub", "c=offer/answer"]),
    ] {
        assert_eq!(associations(&mut sim, call, tag), expected, "{tag}");
    }
}

#[test]
fn who_was_handed_over_is_told_with_its_new_peer() {
    let mut sim = two_calls();
    connect(&mut sim, "a", "d", false);
    for (call, tag, other) in [
        ("c1", "a", "d=offer/answer"),
        ("c1", "b", ""),
        ("c2", "c", ""),
        ("c2", "d", "a=offer/answer"),
    ] {
        assert_eq!(associations(&mut sim, call, tag), [other; 2], "{tag}");
    }
    sim.ask(&crate::tests::delete("c2"), |reply| assert!(reply.is_ok()));
    assert_eq!(associations(&mut sim, "c1", "a"), [""; 2], "nobody is left");
}
