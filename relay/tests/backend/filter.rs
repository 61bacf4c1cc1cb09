//! Keys that are told of and kept back, and media that becomes silent, over real sockets.

use relay_wire::{
    CallKey, Command, Event, Events, Filter, Key, OnEvents, OnMedia, Silence, WorkerId,
};

use crate::control::port;
use crate::harness::{Options, TestRelay, on_each_driver};
use crate::phone::{Phone, rtcp, rtp};

/// A call of two phones, of which one's packets are filtered.
fn call(relay: &TestRelay, filter: Filter) -> (crate::control::Control, u16, [Phone; 2]) {
    let mut control = relay.connect();
    let first = control.first_port();
    let phones = [Phone::new(), Phone::new()];
    let remotes = phones.each_ref().map(|phone| Some(phone.address()));
    control.set_up(1, [port(first), port(first + 2)], remotes);
    let set = Command::SetFilter {
        call: CallKey(1),
        ingress: port(first),
        filter: Some(filter),
    };
    control.apply(0, vec![set]);
    (control, first, phones)
}

fn events() -> Vec<Events> {
    vec![Events {
        payload_type: 101,
        clock_hz: 8_000,
    }]
}

/// A report of a key, with as many packets as are sent of its end.
fn report(code: u8, sequence: u16, is_end: bool) -> Vec<u8> {
    let mut packet = rtp(1, sequence);
    packet[1] = 101;
    packet[4..8].copy_from_slice(&[0, 0, 1, 0]);
    packet.truncate(12);
    packet.extend([code, if is_end { 0x8a } else { 10 }, 3, 0x20]);
    packet
}

#[test]
fn keys_are_told_once_and_go_no_further_while_speech_does() {
    on_each_driver(Options::default(), |relay| {
        let filter = Filter {
            events: events(),
            on_events: OnEvents::Drop,
            tells_keys: true,
            ..Filter::default()
        };
        let (mut control, first, [alice, bob]) = call(relay, filter);
        alice.send(&rtp(1, 1), first);
        bob.expect(&rtp(1, 1), first + 2);
        for (sequence, is_end) in [(2, false), (3, true), (4, true), (5, true)] {
            alice.send(&report(7, sequence, is_end), first);
        }
        alice.send(&rtp(1, 6), first);
        bob.expect(&rtp(1, 6), first + 2);
        let key = Key {
            code: 7,
            volume: 10,
            duration_ms: 100,
            source: alice.address().ip(),
        };
        let told = Event::Key {
            call: CallKey(1),
            ingress: port(first),
            key,
        };
        assert_eq!(control.event(), (WorkerId(0), told));
        assert_eq!(control.counter("keys_told"), 1);
        assert_eq!(control.counter("dropped_filtered"), 4);
        bob.send(&report(7, 1, true), first + 2);
        alice.expect(&report(7, 1, true), first);
    });
}

#[test]
fn speech_becomes_silence_and_keys_another_where_they_lie() {
    on_each_driver(Options::default(), |relay| {
        let filter = Filter {
            events: events(),
            redundant: vec![],
            on_events: OnEvents::Replace(0),
            on_media: OnMedia::Silence(vec![Silence {
                payload_type: 8,
                octet: 0xd5,
            }]),
            tells_keys: false,
        };
        let (_control, first, [alice, bob]) = call(relay, filter);
        for sequence in 1..50 {
            let mut speech = rtp(1, sequence);
            speech[12..].fill(0x2a);
            alice.send(&speech, first);
            bob.expect(&rtp(1, sequence), first + 2);
        }
        alice.send(&report(7, 50, true), first);
        bob.expect(&report(0, 50, true), first + 2);
        alice.send(&rtcp(1), first);
        bob.expect(&rtcp(1), first + 2);
    });
}
