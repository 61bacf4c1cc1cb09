//! How calls sound, looked at time and again.

use std::time::Duration;

use control_ng::{Command, Dictionary, Negotiation, Query, Reply};
use relay_wire::{
    Command as Relay, CommandError, Failure, PortPartition, Refusal, Reply as RelayReply,
};

use crate::exposition::tests::read;
use crate::tests::{CONFIG, Sim, SimRelay, delete, port, sdp};
use crate::{Config, Control};

const SAMPLED: Config = Config {
    quality_interval_s: 10,
    calls_max: 1_000,
    ..CONFIG
};

/// Time for a look, and for what waits for others a little.
const INTERVAL: Duration = Duration::from_secs(10);

fn sim() -> Sim {
    let mut relay = SimRelay::new(1);
    relay.hello.partition = PortPartition::new(10_000, 59_999, 1).unwrap();
    Sim::with_relay(SAMPLED, relay)
}

/// A call that was answered; the port that the caller sends to.
fn call(sim: &mut Sim, name: &str) -> u16 {
    sim.offer(name, "alice", &sdp("192.0.2.10", 4_000));
    port(
        &sim.answer(name, "alice", "bob", &sdp("198.51.100.20", 5_000)),
        0,
    )
}

/// Lets a caller speak for some time, half of it before each look.
fn speak(sim: &mut Sim, number: u16, seconds: u64, lost_of_hundred: u64) {
    for _ in 0..seconds {
        let endpoint = sim.relay.at(number);
        endpoint.packets += (100 - lost_of_hundred) / 2;
        *endpoint.lost.get_or_insert(0) += lost_of_hundred / 2;
        sim.sleep(Duration::from_secs(1));
    }
}

fn query(name: &str) -> Command<'_> {
    Command::Query(Query {
        call_id: name.as_bytes(),
        ..Query::default()
    })
}

/// What is told of a source.
fn source<'a>(reply: &'a Reply<'_>, number: u16) -> &'a Dictionary<'a> {
    let sources = reply.dictionary().get("SSRC").unwrap();
    let sources = sources.as_dictionary().unwrap();
    let key = number.to_string();
    let source = sources.get(key.as_str()).expect("it was heard");
    source.as_dictionary().unwrap()
}

fn number(dictionary: &Dictionary<'_>, block: &str, key: &str) -> i64 {
    let block = dictionary.get(block).unwrap().as_dictionary().unwrap();
    block.get(key).unwrap().as_integer().unwrap()
}

fn entries(source: &Dictionary<'_>) -> Vec<[i64; 2]> {
    let progression = source.get("MOS progression").unwrap();
    let progression = progression.as_dictionary().unwrap();
    let entries = progression.get("entries").unwrap().as_list().unwrap();
    let entry = |it: &control_ng::Value<'_>| {
        let it = it.as_dictionary().unwrap();
        ["reported at", "MOS"].map(|key| it.get(key).unwrap().as_integer().unwrap())
    };
    entries.iter().map(entry).collect()
}

const CREATED_S: i64 = 1_700_000_000;

#[test]
fn loss_in_the_middle_of_a_call_is_told_with_its_time() {
    let mut sim = sim();
    let number_of = call(&mut sim, "c1");
    for lost in [0, 20, 0] {
        speak(&mut sim, number_of, 20, lost);
    }
    for command in [query("c1"), delete("c1")] {
        sim.ask(&command, |reply| {
            let source = source(reply, number_of);
            let at = |block| number(source, block, "reported at") - CREATED_S;
            let mos = |block| number(source, block, "MOS");
            assert_eq!(number(source, "average MOS", "samples"), 6);
            assert!(
                (20..=40).contains(&at("lowest MOS")),
                "{}",
                at("lowest MOS")
            );
            assert!(at("highest MOS") <= 20, "{}", at("highest MOS"));
            assert!(mos("lowest MOS") < 30 && mos("highest MOS") > 40);
            let average = mos("average MOS");
            assert!((mos("lowest MOS")..mos("highest MOS")).contains(&average));
            assert_eq!(number(source, "lowest MOS", "packet loss"), 20);
            let entries = entries(source);
            assert_eq!(entries.len(), 6, "{entries:?}");
            assert!(entries.is_sorted_by(|one, next| one[0] < next[0]));
            let progression = source.get("MOS progression").unwrap();
            let interval = progression.as_dictionary().unwrap().get("interval");
            assert_eq!(interval.unwrap().as_integer(), Some(10));
        });
    }
}

/// As Kamailio finds what `mos_A_label_pv` names: by the label of a party the sources that arrive
/// from it, and by these the scores.
#[test]
fn scores_are_found_by_the_label_of_a_party() {
    let mut sim = sim();
    let (offered, answered) = (sdp("192.0.2.10", 4_000), sdp("198.51.100.20", 5_000));
    let mut offer = Negotiation::new(b"c1", b"alice", offered.as_bytes());
    offer.label = Some(b"A");
    let to_bob = port(&sim.negotiate(&Command::Offer(offer)), 0);
    let mut answer = Negotiation::new(b"c1", b"alice", answered.as_bytes());
    answer.label = Some(b"B");
    let to_alice = port(&sim.negotiate(&Command::Answer(answer.to_tag(b"bob"))), 0);
    for (number, lost) in [(to_alice, 50), (to_bob, 0)] {
        sim.relay.at(number).packets = 500;
        sim.relay.at(number).lost = Some(lost);
        sim.relay.at(number).round_trip_us = Some(40_000);
    }
    sim.ask(&delete("c1"), |reply| {
        let tags = reply.dictionary().get("tags").unwrap();
        let tags = tags.as_dictionary().unwrap();
        for (label, expected) in [("A", to_alice), ("B", to_bob)] {
            let mut parties = tags.iter().map(|(_, it)| it.as_dictionary().unwrap());
            let party = parties.find(|it| it.get("label").unwrap().as_str() == Some(label));
            let medias = party.unwrap().get("medias").unwrap().as_list().unwrap();
            let media = medias[0].as_dictionary().unwrap();
            let stream = media.get("streams").unwrap().as_list().unwrap()[0].as_dictionary();
            let of_stream = stream.unwrap().get("SSRC").unwrap().as_integer();
            assert_eq!(of_stream, Some(expected.into()));
            let arriving = media.get("ingress SSRCs").unwrap().as_list().unwrap();
            let arriving = arriving[0].as_dictionary().unwrap();
            assert_eq!(arriving.get("SSRC").unwrap().as_integer(), of_stream);
            let listed = source(reply, expected);
            for block in ["average MOS", "lowest MOS", "highest MOS"] {
                assert_eq!(arriving.get(block), listed.get(block), "{block}");
                assert_eq!(number(listed, block, "round-trip time"), 80_000);
                assert_eq!(number(listed, block, "round-trip time leg"), 40_000);
            }
            let leaving = media.get("egress SSRCs").unwrap().as_list().unwrap();
            assert!(leaving[0].as_dictionary().unwrap().get("packets").is_some());
        }
        let mos = |party| number(source(reply, party), "average MOS", "MOS");
        assert!(mos(to_alice) < mos(to_bob));
    });
}

#[test]
fn nothing_is_asked_of_calls_that_nobody_answered_or_while_it_is_off() {
    let mut sim = sim();
    sim.offer("c1", "alice", &sdp("192.0.2.10", 4_000));
    sim.is_slow = true;
    sim.sleep(5 * INTERVAL);
    assert!(sim.requests.is_empty());
    let mut sim = Sim::new();
    let to_alice = call(&mut sim, "c1");
    sim.relay.at(to_alice).packets = 500;
    sim.is_slow = true;
    sim.sleep(3 * INTERVAL);
    assert!(sim.requests.is_empty());
    sim.is_slow = false;
    sim.ask(&query("c1"), |reply| {
        let source = source(reply, to_alice);
        assert_eq!(number(source, "average MOS", "samples"), 1);
    });
}

#[test]
fn very_many_calls_are_looked_at_in_small_pieces() {
    const CALLS: usize = 300;
    let mut sim = sim();
    let ports: Vec<_> = (0..CALLS)
        .map(|n| call(&mut sim, &format!("c{n}")))
        .collect();
    for port in &ports {
        sim.relay.at(*port).packets = 500;
    }
    sim.is_slow = true;
    let (mut asked, mut messages) = (0, 0);
    while asked < 2 * CALLS {
        let pause = Duration::from_millis(5);
        sim.sleep(pause);
        assert!(sim.requests.len() <= 1, "one question at a time");
        let Some(request) = sim.requests.front() else {
            continue;
        };
        assert!(request.commands.len() <= 16);
        assert!(matches!(request.commands[0], Relay::QueryCall { .. }));
        asked += request.commands.len();
        messages += 1;
        sim.sleep(10 * pause);
        assert_eq!(sim.requests.len(), 1, "no other before the answer");
        sim.deliver();
        assert!(sim.elapsed < 4 * INTERVAL, "it makes progress");
    }
    assert!(messages <= 2 * CALLS / 16 + 4, "most are full: {messages}");
    sim.is_slow = false;
    let now = sim.now();
    let families = read(&sim.control.exposition(now)).unwrap();
    let counts = families["tandem_sample_mos"].iter();
    let counts = counts.filter(|it| it.name.ends_with("_count"));
    let sampled: f64 = counts.map(|it| it.value).sum();
    assert!(
        (sampled - 300.0).abs() < 1e-9,
        "new packets came once: {sampled}"
    );
}

#[test]
fn a_control_that_was_started_again_has_what_was_before_as_one_sample() {
    let mut sim = sim();
    let number_of = call(&mut sim, "c1");
    speak(&mut sim, number_of, 40, 10);
    sim.control = Control::new(Config {
        seed: [8; 32],
        ..SAMPLED
    });
    sim.connect();
    speak(&mut sim, number_of, 41, 0);
    sim.ask(&query("c1"), |reply| {
        let source = source(reply, number_of);
        assert_eq!(number(source, "average MOS", "samples"), 4);
        let mos = entries(source);
        assert!(mos[0][1] < mos[1][1] && mos[1][1] == mos[3][1], "{mos:?}");
    });
}

#[test]
fn samples_go_on_when_the_relay_was_started_again() {
    let mut sim = sim();
    let number_of = call(&mut sim, "c1");
    speak(&mut sim, number_of, 21, 0);
    sim.restart_relay();
    speak(&mut sim, number_of, 21, 10);
    sim.ask(&delete("c1"), |reply| {
        let source = source(reply, number_of);
        assert_eq!(number(source, "average MOS", "samples"), 4);
        assert_eq!(number(source, "lowest MOS", "packet loss"), 10);
        assert_eq!(number(source, "highest MOS", "packet loss"), 0);
    });
}

/// The proxy asks when a call has ended by itself: what came last is as long ago then as it is.
#[test]
fn a_call_that_fell_silent_sounded_as_it_did() {
    let mut sim = sim();
    let number_of = call(&mut sim, "c1");
    speak(&mut sim, number_of, 16, 10);
    sim.media_timeout();
    sim.sleep(3 * INTERVAL);
    sim.ask(&delete("c1"), |reply| {
        let source = source(reply, number_of);
        assert_eq!(number(source, "average MOS", "samples"), 2);
        let at = entries(source).last().unwrap()[0] - CREATED_S;
        assert!(at <= 16, "{at}");
    });
}

/// Nothing comes after the end, however late it is asked for.
#[test]
fn what_is_told_of_a_call_that_ended_is_as_of_its_end() {
    let mut sim = sim();
    let number_of = call(&mut sim, "c1");
    speak(&mut sim, number_of, 12, 10);
    sim.sleep(Duration::from_secs(4));
    sim.relay.at(number_of).idle_ms = Some(4_000);
    sim.media_timeout();
    let mut tell = |command: &Command<'_>| {
        sim.sleep(3 * INTERVAL / 2);
        sim.ask(command, |reply| {
            let source = source(reply, number_of);
            let samples = number(source, "average MOS", "samples");
            assert_eq!(samples, 1, "2 s are no half of an interval");
            format!("{:?}", reply.dictionary())
        })
    };
    let told = tell(&query("c1"));
    let last_packet = format!("{}", CREATED_S + 12);
    assert!(told.contains(&last_packet), "{told}");
    assert_eq!(tell(&query("c1")), told);
    assert_eq!(tell(&delete("c1")), told);
}

#[test]
fn a_call_that_is_gone_and_a_full_reply_lose_no_other() {
    let mut sim = sim();
    for n in 0..4 {
        call(&mut sim, &format!("c{n}"));
    }
    sim.is_slow = true;
    sim.sleep(INTERVAL + Duration::from_secs(1));
    let request = sim.requests.pop_front().unwrap();
    assert_eq!(request.commands.len(), 4);
    let fail = |sim: &mut Sim, id, index, refusal| {
        let error = CommandError::Refused(refusal);
        let reply = RelayReply {
            id,
            answers: Vec::new(),
            failure: Some(Failure { index, error }),
        };
        sim.control.handle_relay_reply(sim.now(), reply);
        sim.sleep(Duration::from_secs(1));
    };
    fail(&mut sim, request.id, 2, Refusal::TooLong);
    assert_eq!(sim.requests[0].commands, request.commands[2..]);
    let id = sim.requests.pop_front().unwrap().id;
    fail(&mut sim, id, 0, Refusal::UnknownCall);
    assert_eq!(sim.requests[0].commands, request.commands[3..]);
    // A relay that goes away is not waited for.
    sim.disconnect();
    sim.is_slow = false;
    sim.connect();
    sim.is_slow = true;
    sim.sleep(INTERVAL + Duration::from_secs(1));
    assert!(!sim.requests.is_empty());
}

/// Bytes of what is told of a call of ten minutes: with 55 calls over in a second, replies are
/// remembered for as long as they are to be.
const REPLY_BYTES_MAX: usize = 7_168;

/// Proxies read progressions in the list of all sources, if at all.
#[test]
fn what_is_told_of_a_call_of_ten_minutes_is_short() {
    let mut sim = sim();
    let offered = sim.offer("c1", "alice", &sdp("192.0.2.10", 4_000));
    let answered = sim.answer("c1", "alice", "bob", &sdp("198.51.100.20", 5_000));
    let ports = [port(&offered, 0), port(&answered, 0)];
    for _ in 0..60 {
        for number in ports {
            let endpoint = sim.relay.at(number);
            endpoint.packets += 490;
            *endpoint.lost.get_or_insert(0) += 10;
            endpoint.round_trip_us = Some(40_000);
        }
        sim.sleep(INTERVAL);
    }
    sim.request(&delete("c1"));
    let bytes = sim.sent[0].1.len();
    sim.reply(|reply| {
        for number in ports {
            assert!((6..=12).contains(&entries(source(reply, number)).len()));
        }
        let tags = reply.dictionary().get("tags").unwrap();
        for (_, party) in tags.as_dictionary().unwrap().iter() {
            let medias = party.as_dictionary().unwrap().get("medias").unwrap();
            let media = medias.as_list().unwrap()[0].as_dictionary().unwrap();
            let arriving = media.get("ingress SSRCs").unwrap().as_list().unwrap();
            let arriving = arriving[0].as_dictionary().unwrap();
            assert!(arriving.get("lowest MOS").is_some());
            assert!(arriving.get("MOS progression").is_none());
        }
    });
    println!("{bytes} bytes are told of a call of ten minutes");
    assert!(bytes <= REPLY_BYTES_MAX, "{bytes}");
}

/// A reply must go into a datagram: the parties are told of as long as they do.
#[test]
fn a_call_with_very_many_sources_is_told_of_in_fewer_words() {
    const SECTIONS: usize = 16;
    let mut sim = sim();
    let many = |address: &str| {
        let section = "m=audio 4000 RTP/AVP 0 8\r\n".repeat(SECTIONS - 1);
        sdp(address, 4_000) + &section
    };
    let offered = sim.offer("c1", "alice", &many("192.0.2.10"));
    let answered = sim.answer("c1", "alice", "bob", &many("198.51.100.20"));
    for _ in 0..12 {
        for sdp in [&offered, &answered] {
            for section in 0..SECTIONS {
                sim.relay.at(port(sdp, section)).packets += 500;
            }
        }
        sim.sleep(INTERVAL);
    }
    sim.ask(&query("c1"), |reply| {
        let list = |key| {
            reply
                .dictionary()
                .get(key)
                .unwrap()
                .as_dictionary()
                .unwrap()
        };
        assert_eq!((list("SSRC").len(), list("tags").len()), (2 * SECTIONS, 2));
        for (_, source) in list("SSRC").iter() {
            let source = source.as_dictionary().unwrap();
            assert!(source.get("lowest MOS").is_some());
            assert!(source.get("MOS progression").is_none(), "it was too long");
        }
    });
}
