//! What arrives at one endpoint and goes to several.

use relay_rtp::Kind;
use relay_wire::{Port, SINKS_MAX, Sink, Transcoding};

use super::*;
use crate::Copy;

fn sink(call: u64, number: u16) -> Sink {
    Sink {
        call: CallKey(call),
        rtp: Some(port(number)),
        rtcp: None,
        is_remade: false,
        is_sealed: false,
    }
}

fn set(sinks: Vec<Sink>) -> Command {
    Command::SetSinks {
        call: CallKey(1),
        ingress: port(30_000),
        sinks,
    }
}

fn copy(worker: u8, call: u64, number: u16) -> Copy {
    Copy {
        worker: WorkerId(worker),
        call: CallKey(call),
        port: port(number),
        from: port(30_000),
        len: u16::try_from(RTP.len()).unwrap(),
        is_sealed: false,
    }
}

fn copies(bench: &mut Bench) -> Vec<Copy> {
    std::iter::from_fn(|| bench.relay.poll_copy()).collect()
}

#[test]
fn a_packet_goes_to_several_whoever_serves_them() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.more_calls(2..=2);
    bench.done(set(vec![sink(2, 30_004), sink(9, 30_500)]));

    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
    let both = [copy(0, 2, 30_004), copy(1, 9, 30_500)];
    assert_eq!(copies(&mut bench), both);
    let verdict = bench.relay.handle_copy(&both[0], RTP);
    assert_eq!(verdict, forward(2, "192.0.2.200:30004"));

    // Nobody else is copied, nor RTCP that has no way.
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, ALICE));
    assert_eq!(copies(&mut bench), []);
    assert_eq!(bench.packet(0, ALICE, RTCP), forward(1, BOB));
    assert_eq!(copies(&mut bench), []);
    assert_eq!(
        bench.packet(0, STRANGER, RTP),
        Verdict::Drop(DropReason::SourceMismatch)
    );
    assert_eq!(copies(&mut bench), []);

    bench.done(set(vec![]));
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
    assert_eq!(copies(&mut bench), []);
    assert_eq!(bench.counter("copies_sent"), 1);
}

#[test]
fn who_is_connected_to_nobody_is_copied_all_the_same() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(connect(30_000, None));
    bench.done(set(vec![sink(1, 30_002)]));
    assert_eq!(bench.packet(0, ALICE, RTP), Verdict::Copied);
    assert_eq!(copies(&mut bench), [copy(0, 1, 30_002)]);
    assert_eq!(bench.counter("packets_copied_only"), 1);
    assert_eq!(bench.counter("dropped_not_connected"), 0);
}

/// Copies that go in a circle become more with each round.
#[test]
fn who_brings_more_than_a_stream_is_not_copied() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(set(vec![sink(2, 30_004)]));
    let burst = |bench: &mut Bench| {
        let came = (0..1_000).map(|_| bench.packet(0, ALICE, RTP));
        let left = came.filter(|it| *it == forward(1, BOB)).count();
        (left, bench.counter("dropped_loop"))
    };
    assert_eq!(burst(&mut bench), (500, 500));
    bench.pass(20);
    assert_eq!(burst(&mut bench), (20, 1_480));
    // Who is copied to nobody brings what he likes.
    bench.done(set(vec![]));
    assert_eq!(burst(&mut bench).0, 1_000);
}

#[test]
fn a_copy_for_a_port_that_is_anothers_by_now_goes_nowhere() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    for (call, number) in [(2, 30_002), (1, 30_004)] {
        let verdict = bench.relay.handle_copy(&copy(0, call, number), RTP);
        assert_eq!(verdict, Verdict::Drop(DropReason::UnknownFlow));
    }
    assert_eq!(bench.counter("copies_lost"), 2);
}

#[test]
fn what_was_remade_is_for_those_who_want_that() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(connect(30_000, None));
    bench.done(Command::SetTranscoding {
        call: CallKey(1),
        ingress: port(30_000),
        transcoding: Some(Transcoding {
            routes: vec![],
            rtcp: Some(port(30_000)),
        }),
    });
    let remade = Sink {
        is_remade: true,
        ..sink(2, 30_004)
    };
    bench.done(set(vec![remade, sink(3, 30_006)]));
    let verdict = bench.packet(0, ALICE, RTP);
    assert!(matches!(verdict, Verdict::Take(_)), "{verdict:?}");
    assert_eq!(copies(&mut bench), [copy(0, 3, 30_006)]);
    let flow = SocketId::new(0);
    let verdict = bench.relay.handle_made(flow, Kind::Rtp, RTP);
    assert_eq!(verdict, Verdict::Copied);
    assert_eq!(copies(&mut bench), [copy(0, 2, 30_004)]);
}

#[test]
fn there_is_an_end_to_copies() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(set(vec![sink(2, 30_004); SINKS_MAX]));
    bench.refused(set(vec![sink(2, 30_004); SINKS_MAX + 1]), Refusal::TooLong);
    bench.arrive(0, ALICE);
    assert_eq!(copies(&mut bench).len(), SINKS_MAX);
    let nobodys = Port {
        number: 9,
        ..port(0)
    };
    bench.done(set(vec![Sink {
        rtp: Some(nobodys),
        ..sink(2, 0)
    }]));
    bench.arrive(0, ALICE);
    assert_eq!(copies(&mut bench), []);
}
