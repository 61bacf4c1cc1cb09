//! What parties send, stopped or made something else, and keys that are told of.

use control_ng::{
    Change, Command, DtmfSecurity, Flag, KeyPolicy, Negotiation, Party, Sink, Treat, Whose,
};
use relay_wire::{CallKey, Event, Filter, InterfaceId, Key, OnEvents, OnMedia, Port, Silence};

use crate::tests::{CONFIG, Sim, SimRelay, port, sdp};
use crate::{Config, KeyReport};

/// A call, and the ports that face caller and callee.
fn call(sim: &mut Sim) -> [u16; 2] {
    let to_callee = sim.offer("c1", "alice", &sdp("192.0.2.10", 4_000));
    let to_caller = sim.answer("c1", "alice", "bob", &sdp("198.51.100.20", 5_000));
    [port(&to_caller, 0), port(&to_callee, 0)]
}

fn treat(whose: Whose<'_>, change: Change) -> Command<'_> {
    let call_id = b"c1";
    Command::Treat(Treat {
        call_id,
        whose,
        change,
    })
}

fn keys(security: DtmfSecurity) -> Change {
    Change::Keys(KeyPolicy::Block {
        security,
        digit: Some(7),
        has_trigger: false,
    })
}

const ALICE: Whose<'_> = Whose::Party(Party::Tag(b"alice"));

fn done(sim: &mut Sim, whose: Whose<'_>, change: Change) {
    let request = treat(whose, change);
    assert!(sim.ask(&request, |reply| reply.is_ok()), "{request:?}");
}

fn filters(sim: &mut Sim, ports: [u16; 2]) -> [Option<Filter>; 2] {
    ports.map(|port| sim.relay.at(port).filter.clone())
}

/// Whether media of either side stops.
fn blocked(sim: &mut Sim, ports: [u16; 2]) -> [bool; 2] {
    filters(sim, ports).map(|it| it.is_some_and(|it| it.on_media == OnMedia::Drop))
}

#[test]
fn media_of_all_or_of_one_party_stops_and_goes_on() {
    let mut sim = Sim::new();
    let ports = call(&mut sim);
    assert_eq!(filters(&mut sim, ports), [None, None]);
    let bob = Party::Address("198.51.100.20".parse().unwrap());
    let cases = [
        (Whose::Call, [true, true]),
        (ALICE, [true, false]),
        (Whose::Party(bob), [false, true]),
        (
            Whose::Flow(Party::Tag(b"alice"), Sink::Tag(b"bob")),
            [true, false],
        ),
        (Whose::Flow(Party::Tag(b"bob"), Sink::Anyone), [false, true]),
    ];
    for (whose, expected) in cases {
        done(&mut sim, whose.clone(), Change::Block(true));
        assert_eq!(blocked(&mut sim, ports), expected, "{whose:?}");
        done(&mut sim, whose, Change::Block(false));
        assert_eq!(filters(&mut sim, ports), [None, None]);
    }
}

#[test]
fn who_is_stopped_by_name_goes_on_by_name_or_when_all_do() {
    let mut sim = Sim::new();
    let ports = call(&mut sim);
    done(&mut sim, ALICE, Change::Block(true));
    done(&mut sim, Whose::Call, Change::Block(true));
    done(&mut sim, Whose::Call, Change::Block(false));
    assert_eq!(blocked(&mut sim, ports), [true, false]);
    done(&mut sim, Whose::Everybody, Change::Block(false));
    assert_eq!(blocked(&mut sim, ports), [false, false]);
}

#[test]
fn keys_pass_where_media_is_stopped() {
    let mut sim = Sim::new();
    let ports = call(&mut sim);
    done(&mut sim, Whose::Call, Change::Block(true));
    for filter in filters(&mut sim, ports) {
        let filter = filter.unwrap();
        assert_eq!(filter.events[0].payload_type, 101);
        assert_eq!(filter.on_events, OnEvents::Pass);
    }
}

#[test]
fn speech_becomes_the_silence_of_its_codec() {
    let mut sim = Sim::new();
    let ports = call(&mut sim);
    done(&mut sim, ALICE, Change::Silence(true));
    let [alice, bob] = filters(&mut sim, ports);
    let silences = [(0, 0xff), (8, 0xd5)].map(|(payload_type, octet)| Silence {
        payload_type,
        octet,
    });
    let silence = OnMedia::Silence(silences.to_vec());
    assert_eq!(alice.map(|it| it.on_media), Some(silence));
    assert_eq!(bob, None);
    done(&mut sim, ALICE, Change::Silence(false));
    assert_eq!(filters(&mut sim, ports), [None, None]);
}

#[test]
fn what_is_encrypted_is_kept_back_rather_than_written_over() {
    let mut sim = Sim::new();
    let secure = |text: &str| text.replace("RTP/AVP", "RTP/SAVP");
    let to_callee = sim.offer("c1", "alice", &secure(&sdp("192.0.2.10", 4_000)));
    let answer = secure(&sdp("198.51.100.20", 5_000));
    let to_caller = sim.answer("c1", "alice", "bob", &answer);
    let ports = [port(&to_caller, 0), port(&to_callee, 0)];
    done(&mut sim, ALICE, Change::Silence(true));
    done(&mut sim, ALICE, keys(DtmfSecurity::Zero));
    let filter = filters(&mut sim, ports)[0].clone().unwrap();
    assert_eq!(filter.on_media, OnMedia::Drop);
    assert_eq!(filter.on_events, OnEvents::Drop);
}

#[test]
fn pictures_are_not_made_silent() {
    let mut sim = Sim::new();
    let video = |address, port| {
        let text = sdp(address, port).replace("m=audio", "m=video");
        text.replace("0 8 101", "96")
    };
    let to_callee = sim.offer("c1", "alice", &video("192.0.2.10", 4_000));
    let to_caller = sim.answer("c1", "alice", "bob", &video("198.51.100.20", 5_000));
    let ports = [port(&to_caller, 0), port(&to_callee, 0)];
    done(&mut sim, Whose::Call, Change::Silence(true));
    assert_eq!(filters(&mut sim, ports), [None, None]);
    done(&mut sim, Whose::Call, Change::Block(true));
    assert_eq!(blocked(&mut sim, ports), [true, true]);
}

#[test]
fn keys_go_no_further_or_become_others() {
    let mut sim = Sim::new();
    let ports = call(&mut sim);
    let cases = [
        (DtmfSecurity::Drop, OnEvents::Drop),
        (DtmfSecurity::Zero, OnEvents::Replace(0)),
        (DtmfSecurity::Dtmf, OnEvents::Replace(7)),
    ];
    for (security, expected) in cases {
        done(&mut sim, ALICE, keys(security));
        let [alice, bob] = filters(&mut sim, ports);
        assert_eq!(alice.map(|it| it.on_events), Some(expected));
        assert_eq!(bob, None);
    }
    done(&mut sim, ALICE, keys(DtmfSecurity::Random));
    let [first, _] = filters(&mut sim, ports);
    done(&mut sim, ALICE, keys(DtmfSecurity::Random));
    let [second, _] = filters(&mut sim, ports);
    assert_ne!(first, second, "nobody can know which they become");
    done(&mut sim, ALICE, keys(DtmfSecurity::Off));
    assert_eq!(filters(&mut sim, ports), [None, None]);
    done(&mut sim, Whose::Call, keys(DtmfSecurity::Drop));
    done(&mut sim, Whose::Everybody, Change::Keys(KeyPolicy::Pass));
    assert_eq!(filters(&mut sim, ports), [None, None]);
}

#[test]
fn what_would_have_to_be_played_is_not_there() {
    let mut sim = Sim::new();
    let ports = call(&mut sim);
    let waits = Change::Keys(KeyPolicy::Block {
        security: DtmfSecurity::Drop,
        digit: None,
        has_trigger: true,
    });
    for change in [keys(DtmfSecurity::Silence), keys(DtmfSecurity::Tone), waits] {
        assert_eq!(sim.refusal(&treat(Whose::Call, change)), "unsupported");
    }
    assert_eq!(filters(&mut sim, ports), [None, None]);
    // Keys in speech cannot be replaced, but there are none to be dropped.
    let tones = |address, port| sdp(address, port).replace(" 101", "");
    sim.offer("c2", "alice", &tones("192.0.2.10", 4_000));
    for (security, is_ok) in [(DtmfSecurity::Zero, false), (DtmfSecurity::Drop, true)] {
        let request = Command::Treat(Treat {
            call_id: b"c2",
            whose: Whose::Call,
            change: keys(security),
        });
        assert_eq!(sim.ask(&request, |reply| reply.is_ok()), is_ok);
    }
}

#[test]
fn an_offer_may_say_that_its_senders_keys_go_no_further() {
    let mut sim = Sim::new();
    let text = sdp("192.0.2.10", 4_000);
    let offer = Negotiation {
        dtmf_security: Some(DtmfSecurity::Zero),
        ..Negotiation::new(b"c1", b"alice", text.as_bytes()).flag(Flag::BlockDtmf)
    };
    let to_callee = sim.negotiate(&Command::Offer(offer));
    let to_caller = sim.answer("c1", "alice", "bob", &sdp("198.51.100.20", 5_000));
    let [alice, bob] = filters(&mut sim, [port(&to_caller, 0), port(&to_callee, 0)]);
    assert_eq!(alice.map(|it| it.on_events), Some(OnEvents::Replace(0)));
    assert_eq!(bob, None);
}

#[test]
fn nobody_is_stopped_who_is_not_there() {
    let mut sim = Sim::new();
    let block = |whose| treat(whose, Change::Block(true));
    assert_eq!(sim.refusal(&block(Whose::Call)), "Unknown call-ID");
    call(&mut sim);
    let address = "203.0.113.200".parse().unwrap();
    let alice = || Party::Tag(b"alice");
    let cases = [
        (
            Whose::Party(Party::Tag(b"carol")),
            "From-tag given, but no such tag exists",
        ),
        (
            Whose::Party(Party::Label(b"1")),
            "No monologue matching the given label",
        ),
        (
            Whose::Party(Party::Address(address)),
            "Failed to match address to any tag",
        ),
        (
            Whose::Flow(alice(), Sink::Tag(b"carol")),
            "Media flow not found (to-tag not found)",
        ),
        (
            Whose::Flow(alice(), Sink::Label(b"1")),
            "Media flow not found (to-label not found)",
        ),
        (
            Whose::Flow(alice(), Sink::Tag(b"alice")),
            "Media flow not found (to-tag not subscribed)",
        ),
        (
            Whose::Flow(alice(), Sink::Other),
            "No eligible media subscriptions found",
        ),
    ];
    for (whose, reason) in cases {
        assert_eq!(sim.refusal(&block(whose)), reason);
    }
}

#[test]
fn forwarding_is_answered_as_where_nobody_records() {
    let mut sim = Sim::new();
    let ports = call(&mut sim);
    done(&mut sim, Whose::Call, Change::Forward(true));
    done(&mut sim, ALICE, Change::Forward(false));
    assert_eq!(filters(&mut sim, ports), [None, None]);
    let carol = Whose::Party(Party::Tag(b"carol"));
    let reason = sim.refusal(&treat(carol, Change::Forward(true)));
    assert_eq!(reason, "From-tag given, but no such tag exists");
}

#[test]
fn a_new_control_and_a_new_relay_know_what_was_stopped() {
    let mut sim = Sim::new();
    let ports = call(&mut sim);
    done(&mut sim, ALICE, Change::Silence(true));
    done(&mut sim, Whose::Call, keys(DtmfSecurity::Drop));
    let before = filters(&mut sim, ports);
    assert!(before.iter().all(Option::is_some));
    sim.restart_control();
    sim.restart_relay();
    assert_eq!(filters(&mut sim, ports), before);
    done(&mut sim, ALICE, Change::Silence(false));
    done(&mut sim, Whose::Call, Change::Keys(KeyPolicy::Pass));
    assert_eq!(filters(&mut sim, ports), [None, None]);
}

fn told(change: impl FnOnce(&mut Config)) -> Sim {
    let mut config = Config {
        tells_keys: true,
        ..CONFIG
    };
    change(&mut config);
    Sim::with_relay(config, SimRelay::new(1))
}

fn press(sim: &mut Sim, number: u16) {
    let key = Key {
        code: 11,
        volume: 10,
        duration_ms: 120,
        source: "192.0.2.10".parse().unwrap(),
    };
    let ingress = Port {
        interface: InterfaceId(0),
        number,
    };
    sim.relay_event(|call| Event::Key { call, ingress, key });
}

#[test]
fn keys_are_told_with_who_pressed_them() {
    let mut sim = told(|_| {});
    let ports = call(&mut sim);
    for filter in filters(&mut sim, ports) {
        assert!(filter.unwrap().tells_keys);
    }
    press(&mut sim, ports[0]);
    let expected = KeyReport {
        call_id: b"c1".to_vec(),
        source_tag: b"alice".to_vec(),
        source_label: None,
        tags: vec![b"alice".to_vec(), b"bob".to_vec()],
        unix_s: 1_700_000_000,
        source: "192.0.2.10".parse().unwrap(),
        code: 11,
        duration_ms: 120,
        volume: 10,
        destination: None,
    };
    assert_eq!(sim.keys, [expected]);
    let text = String::from_utf8(sim.keys[0].json()).unwrap();
    let json = r#"{"callid":"c1","source_tag":"alice","source_label":"","tags":["alice","bob"],"type":"DTMF","timestamp":1700000000,"source_ip":"192.0.2.10","event":11,"duration":120,"volume":10}"#;
    assert_eq!(text, json);
    // Of a port, or a call, that is not there any more.
    press(&mut sim, 1);
    let key = Event::Key {
        call: CallKey(0),
        ingress: Port {
            interface: InterfaceId(0),
            number: ports[0],
        },
        key: Key {
            code: 1,
            volume: 0,
            duration_ms: 0,
            source: "192.0.2.10".parse().unwrap(),
        },
    };
    sim.control.handle_relay_event(sim.now(), key);
    sim.pump();
    assert_eq!(sim.keys.len(), 1);
}

#[test]
fn keys_that_cannot_be_told_apart_are_not_looked_for() {
    let mut sim = told(|_| {});
    let plain = |address, port| sdp(address, port).replace(" 101", "");
    let to_callee = sim.offer("c1", "alice", &plain("192.0.2.10", 4_000));
    let to_caller = sim.answer("c1", "alice", "bob", &plain("198.51.100.20", 5_000));
    let ports = [port(&to_caller, 0), port(&to_callee, 0)];
    assert_eq!(filters(&mut sim, ports), [None, None]);
}

#[test]
fn a_call_may_say_where_its_keys_are_told_though_nobody_else_hears_of_keys() {
    let mut sim = Sim::new();
    let ports = call(&mut sim);
    assert_eq!(filters(&mut sim, ports), [None, None]);
    let description = sdp("192.0.2.10", 4_000);
    let there = "192.0.2.99:9999".parse().ok();
    let offer = Negotiation {
        call_id: b"c1",
        from_tag: b"alice",
        to_tag: Some(b"bob"),
        sdp: description.as_bytes(),
        key_log: there,
        ..Negotiation::default()
    };
    sim.negotiate(&Command::Offer(offer));
    sim.restart_control();
    for filter in filters(&mut sim, ports) {
        assert!(filter.unwrap().tells_keys);
    }
    press(&mut sim, ports[0]);
    assert_eq!(sim.keys[0].destination, there);
}

#[test]
fn keys_are_looked_for_within_redundant_data() {
    let mut sim = Sim::new();
    let with_red = |address, port| {
        let text = sdp(address, port).replace(" 101", " 101 121");
        text + "a=rtpmap:121 red/8000\r\na=fmtp:121 101/101\r\n"
    };
    let to_callee = sim.offer("c1", "alice", &with_red("192.0.2.10", 4_000));
    let to_caller = sim.answer("c1", "alice", "bob", &with_red("198.51.100.20", 5_000));
    let ports = [port(&to_caller, 0), port(&to_callee, 0)];
    done(&mut sim, Whose::Call, keys(DtmfSecurity::Drop));
    for filter in filters(&mut sim, ports) {
        assert_eq!(filter.unwrap().redundant, [121]);
    }
    // What is encrypted cannot be divided.
    let secure = |address, port| with_red(address, port).replace("RTP/AVP", "RTP/SAVP");
    let to_callee = sim.offer("c1", "alice", &secure("192.0.2.10", 4_000));
    let to_caller = sim.answer("c1", "alice", "bob", &secure("198.51.100.20", 5_000));
    let ports = [port(&to_caller, 0), port(&to_callee, 0)];
    for filter in filters(&mut sim, ports) {
        assert_eq!(filter.unwrap().redundant, [0; 0]);
    }
}
