//! Calls: time-outs, records, limits.

use super::*;

fn timeout(call: u64) -> Event {
    Event::MediaTimeout {
        call: CallKey(call),
    }
}

fn set_record(call: u64, len: usize) -> Command {
    Command::SetRecord {
        call: CallKey(call),
        record: vec![1; len],
    }
}

fn open(call: u64, number: u16) -> Command {
    Command::OpenEndpoint {
        call: CallKey(call),
        port: port(number),
        tos: None,
    }
}

#[test]
fn silence_is_reported_once() {
    let mut bench = Bench::new();
    bench.create(1, 1_000);
    bench.create(2, 0);
    assert_eq!(bench.pass(60_000), [(1_000, timeout(1))]);
}

#[test]
fn media_puts_silence_off() {
    let mut bench = Bench::new();
    bench.create(1, 1_000);
    bench.done(open(1, 30_000));
    bench.done(signal(30_000, ALICE, Learning::Heuristic));
    for _ in 0..10 {
        bench.arrive(0, ALICE);
        assert_eq!(bench.pass(900), []);
    }
    assert_eq!(bench.pass(60_000), [(100, timeout(1))]);
}

#[test]
fn silence_is_reported_again_after_media_returned() {
    let mut bench = Bench::new();
    bench.create(1, 1_000);
    bench.done(open(1, 30_000));
    bench.done(signal(30_000, ALICE, Learning::Heuristic));
    assert_eq!(bench.pass(1_500), [(1_000, timeout(1))]);
    bench.arrive(0, ALICE);
    assert_eq!(bench.pass(60_000), [(1_000, timeout(1))]);
}

#[test]
fn packets_of_strangers_are_silence() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    bench.done(Command::SetMediaTimeout {
        call: CallKey(1),
        media_timeout_ms: 1_000,
    });
    bench.pass(900);
    bench.arrive(0, STRANGER);
    assert_eq!(bench.pass(1_000), [(100, timeout(1))]);
}

#[test]
fn setting_the_time_out_counts_anew() {
    let mut bench = Bench::new();
    bench.create(1, 1_000);
    let set = |bench: &mut Bench, media_timeout_ms| {
        bench.done(Command::SetMediaTimeout {
            call: CallKey(1),
            media_timeout_ms,
        });
    };
    assert_eq!(bench.pass(900), []);
    set(&mut bench, 500);
    assert_eq!(bench.pass(600), [(500, timeout(1))]);
    set(&mut bench, 500);
    assert_eq!(bench.pass(600), [(500, timeout(1))]);
    set(&mut bench, 0);
    assert_eq!(bench.pass(600_000), []);
    assert_eq!(bench.relay.poll_timeout(), None);
}

#[test]
fn closing_an_endpoint_is_no_silence() {
    let mut bench = Bench::new();
    bench.create(1, 1_000);
    bench.done(open(1, 30_000));
    bench.done(signal(30_000, ALICE, Learning::Heuristic));
    bench.pass(900);
    bench.arrive(0, ALICE);
    bench.done(Command::CloseEndpoint {
        call: CallKey(1),
        port: port(30_000),
    });
    assert_eq!(bench.pass(60_000), [(1_000, timeout(1))]);
}

fn set_first_packet(timeout_ms: u32) -> Command {
    Command::SetFirstPacketTimeout {
        call: CallKey(1),
        first_packet_timeout_ms: timeout_ms,
    }
}

/// A call of one endpoint, silent for too long after a minute, unheard after ten seconds.
fn unheard_call() -> Bench {
    let mut bench = Bench::new();
    bench.create(1, 60_000);
    bench.done(open(1, 30_000));
    bench.done(signal(30_000, ALICE, Learning::Heuristic));
    bench.done(set_first_packet(10_000));
    bench
}

#[test]
fn a_call_that_was_never_heard_is_reported_as_that_and_once() {
    let unheard = Event::FirstPacketTimeout { call: CallKey(1) };
    let mut bench = unheard_call();
    assert_eq!(bench.pass(200_000), [(10_000, unheard)]);
    bench.apply(Command::ListCalls { after: None }).unwrap();
    assert_eq!(bench.pass(1_000), [(0, unheard)], "who missed it hears it");
    bench.arrive(0, ALICE);
    assert_eq!(bench.pass(200_000), [(60_000, timeout(1))]);
}

#[test]
fn one_packet_ends_the_wait_for_the_first_for_ever() {
    let mut bench = unheard_call();
    bench.pass(5_000);
    bench.arrive(0, ALICE);
    assert_eq!(bench.pass(20_000), []);
    // A hold, and its end: what was heard before counts, even at an endpoint that is gone.
    bench.done(set_first_packet(0));
    bench.done(Command::CloseEndpoint {
        call: CallKey(1),
        port: port(30_000),
    });
    bench.done(set_first_packet(10_000));
    assert_eq!(bench.pass(200_000), [(40_000, timeout(1))]);
}

#[test]
fn the_wait_for_the_first_packet_needs_no_other_time_out_and_can_be_ended() {
    let unheard = Event::FirstPacketTimeout { call: CallKey(1) };
    let mut bench = Bench::new();
    bench.create(1, 0);
    bench.done(set_first_packet(10_000));
    bench.pass(9_000);
    bench.done(set_first_packet(10_000));
    assert_eq!(bench.pass(200_000), [(10_000, unheard)], "counted anew");
    bench.done(set_first_packet(0));
    assert_eq!(bench.pass(200_000), []);
    assert_eq!(bench.relay.poll_timeout(), None);
    let unknown = Command::SetFirstPacketTimeout {
        call: CallKey(9),
        first_packet_timeout_ms: 1,
    };
    bench.refused(unknown, Refusal::UnknownCall);
}

#[test]
fn a_removed_call_is_not_reported() {
    let mut bench = Bench::new();
    bench.create(1, 1_000);
    bench
        .apply(Command::RemoveCall { call: CallKey(1) })
        .unwrap();
    assert_eq!(bench.relay.poll_timeout(), None);
    assert_eq!(bench.pass(60_000), []);
}

#[test]
fn who_lists_the_calls_hears_of_silence_again() {
    let mut bench = Bench::new();
    bench.create(1, 1_000);
    bench.create(2, 60_000);
    assert_eq!(bench.pass(2_000), [(1_000, timeout(1))]);
    bench.apply(Command::ListCalls { after: None }).unwrap();
    assert_eq!(bench.pass(10_000), [(0, timeout(1))]);
}

#[test]
fn pages_fit_the_room_and_make_progress() {
    let mut bench = Bench::new();
    for call in 0..10 {
        bench.create(call, 0);
        bench.done(set_record(call, 100 * usize::try_from(call).unwrap()));
    }
    for room in [950, 1_000, 2_000, ROOM] {
        let (mut after, mut keys) = (None, Vec::new());
        loop {
            let command = Command::ListCalls { after };
            let outcome = bench.relay.handle_command(bench.now, command, room);
            let Ok(Outcome::Done(answer)) = outcome else {
                panic!("{outcome:?}");
            };
            assert!(answer.encoded_len_max() <= room);
            let Answer::Calls { calls, more } = answer else {
                panic!("{answer:?}");
            };
            keys.extend(calls.iter().map(|it| it.call.0));
            after = calls.last().map(|it| it.call);
            if !more {
                break;
            }
            assert!(after.is_some(), "an empty page");
        }
        assert_eq!(keys, (0..10).collect::<Vec<_>>(), "room for {room}");
    }
    let too_little = bench.relay.handle_command(
        bench.now,
        Command::ListCalls {
            after: Some(CallKey(8)),
        },
        100,
    );
    assert_eq!(too_little, Err(CommandError::Refused(Refusal::TooLong)));
}

#[test]
fn refuses_what_is_not_there_or_is_there_already() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    bench.create(2, 0);
    bench.done(open(2, 30_100));
    let create = Command::CreateCall {
        call: CallKey(1),
        media_timeout_ms: 0,
        record: vec![],
    };
    bench.refused(create, Refusal::CallExists);
    bench.refused(open(1, 30_000), Refusal::PortOpen);
    bench.refused(open(2, 30_000), Refusal::PortOpen);
    bench.refused(open(3, 30_004), Refusal::UnknownCall);
    bench.refused(open(1, 30_500), Refusal::WrongWorker);
    bench.refused(open(1, 29_998), Refusal::WrongWorker);
    let elsewhere = Port {
        interface: InterfaceId(2),
        number: 30_004,
    };
    let command = Command::OpenEndpoint {
        call: CallKey(1),
        port: elsewhere,
        tos: None,
    };
    bench.refused(command, Refusal::WrongWorker);
    bench.refused(connect(30_000, Some(30_100)), Refusal::UnknownPort);
    bench.refused(connect(30_100, Some(30_000)), Refusal::UnknownPort);
    bench.refused(connect(30_004, None), Refusal::UnknownPort);
    for call in [3, 4].map(CallKey) {
        bench.refused(Command::RemoveCall { call }, Refusal::UnknownCall);
        bench.refused(Command::QueryCall { call }, Refusal::UnknownCall);
        let port = port(30_000);
        bench.refused(Command::CloseEndpoint { call, port }, Refusal::UnknownCall);
    }
    bench.refused(set_record(3, 0), Refusal::UnknownCall);
    // Nothing of this has changed anything.
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
}

#[test]
fn every_table_has_a_limit() {
    let mut bench = Bench::with_limits(|limits| {
        limits.calls_max = 2;
        limits.endpoints_max = 200;
    });
    bench.create(1, 0);
    bench.create(2, 0);
    let create = Command::CreateCall {
        call: CallKey(3),
        media_timeout_ms: 0,
        record: vec![],
    };
    bench.refused(create, Refusal::TableFull);
    bench.refused(set_record(1, RECORD_BYTES_MAX + 1), Refusal::TooLong);

    let per_call = u16::try_from(ENDPOINTS_PER_CALL_MAX).unwrap();
    for number in 0..per_call {
        bench.done(open(1, 30_000 + number));
    }
    bench.refused(open(1, 30_000 + per_call), Refusal::TableFull);
    for number in per_call..200 {
        bench.done(open(2, 30_000 + number));
    }
    bench.refused(open(2, 30_200), Refusal::TableFull);
    // What is being closed makes room, a little later.
    bench
        .apply(Command::RemoveCall { call: CallKey(1) })
        .unwrap();
    bench.done(open(2, 30_200));
}

#[test]
fn records_have_a_limit_together() {
    let mut bench = Bench::with_limits(|limits| limits.calls_max = 6);
    for call in 0..6 {
        bench.create(call, 0);
    }
    // Six times 16 KiB: two of the longest.
    bench.done(set_record(0, RECORD_BYTES_MAX));
    bench.done(set_record(1, RECORD_BYTES_MAX));
    bench.refused(set_record(2, 1), Refusal::TableFull);
    bench.done(set_record(1, RECORD_BYTES_MAX - 1));
    bench.done(set_record(2, 1));
    bench
        .apply(Command::RemoveCall { call: CallKey(0) })
        .unwrap();
    bench.done(set_record(3, RECORD_BYTES_MAX));
}

#[test]
fn a_port_that_cannot_be_bound_changes_nothing() {
    let mut bench = Bench::new();
    bench.create(1, 0);
    let outcome = bench.relay.handle_command(bench.now, open(1, 30_000), ROOM);
    let Ok(Outcome::Bind { socket, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    let error = bench.relay.handle_bound(socket, Err(98));
    assert_eq!(error, Err(CommandError::System(98)));
    assert_eq!(bench.stats().endpoints, []);
    bench.done(open(1, 30_000));
    assert_eq!(bench.stats().endpoints.len(), 1);
}
