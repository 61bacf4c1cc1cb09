//! Sounds, which leave like what a party says; and which it hears alone, if that is wanted.

use relay_wire::{Codec, Format, Play, Sink, SoundKey};

use super::*;

fn play(port: Port, is_alone: bool) -> Command {
    Command::Play {
        call: CallKey(1),
        port,
        play: Play {
            sound: SoundKey(1),
            to: Format::new(Codec::Pcma, 8, 20),
            opus: None,
            start: 0,
            times: 1,
            duration_ms: 0,
            unit_hz: 8_000,
            is_alone,
        },
    }
}

/// A call whose parties are heard.
fn talk() -> Bench {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Immediate);
    bench.arrive(0, ALICE);
    bench.arrive(1, BOB);
    bench
}

#[test]
fn a_sound_leaves_where_the_other_party_is_heard_and_is_counted() {
    let mut bench = talk();
    let command = play(port(30_000), false);
    let outcome = bench.relay.handle_command(bench.now, command, ROOM);
    let Ok(Outcome::Play { socket, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    let before = bench.stats().endpoints[0].packets_out;
    assert_eq!(bench.relay.handle_played(socket, RTP), forward(0, ALICE));
    assert_eq!(bench.stats().endpoints[0].packets_out, before + 1);
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, ALICE), "beside it");
}

#[test]
fn nothing_is_played_where_nothing_is() {
    let mut bench = talk();
    bench.refused(play(port(30_004), false), Refusal::UnknownPort);
    let nowhere = bench.relay.handle_played(SocketId::new(9), RTP);
    assert_eq!(nowhere, Verdict::Drop(DropReason::UnknownFlow));
    bench.done(signal(30_000, "[2001:db8::5]:4000", Learning::Off));
    let unheard = bench.relay.handle_played(SocketId::new(0), RTP);
    assert_eq!(unheard, Verdict::Drop(DropReason::AddressFamily));
}

#[test]
fn who_hears_it_alone_hears_no_speech_until_it_is_over() {
    let mut bench = talk();
    let (call, alice) = (CallKey(1), SocketId::new(0));
    bench.relay.handle_playing(call, alice, true);
    for _ in 0..3 {
        let kept = Verdict::Drop(DropReason::Filtered);
        assert_eq!(bench.packet(1, BOB, RTP), kept);
    }
    assert_eq!(
        bench.packet(1, BOB, RTCP),
        forward(0, ALICE),
        "reports go on"
    );
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB), "so does she");
    assert_eq!(bench.relay.handle_played(alice, RTP), forward(0, ALICE));
    // What is played to the other one is nothing to it.
    bench.relay.handle_playing(call, SocketId::new(1), true);
    bench.relay.handle_playing(call, SocketId::new(1), false);
    assert_eq!(bench.counter("dropped_filtered"), 3);
    assert_eq!(
        bench.packet(1, BOB, RTP),
        Verdict::Drop(DropReason::Filtered)
    );
    bench.relay.handle_playing(call, alice, false);
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, ALICE));
}

#[test]
fn who_is_connected_elsewhere_or_heard_by_others_is_not_silenced() {
    let mut bench = talk();
    let (call, alice) = (CallKey(1), SocketId::new(0));
    bench.done(Command::SetSinks {
        call,
        ingress: port(30_002),
        sinks: vec![Sink {
            call,
            rtp: Some(port(30_002)),
            rtcp: None,
            is_remade: false,
        }],
    });
    bench.relay.handle_playing(call, alice, true);
    assert_eq!(bench.packet(1, BOB, RTP), Verdict::Copied);
    assert!(bench.relay.poll_copy().is_some());
    assert_eq!(bench.relay.poll_copy(), None);
    bench.done(Command::SetSinks {
        call,
        ingress: port(30_002),
        sinks: vec![],
    });
    bench.done(connect(30_002, Some(30_002)));
    assert_eq!(bench.packet(1, BOB, RTP), forward(1, BOB));
    // The port that it was played at is gone, and the one that has its socket is another.
    bench.done(Command::CloseEndpoint {
        call,
        port: port(30_000),
    });
    assert_eq!(bench.packet(1, BOB, RTP), forward(1, BOB));
}
