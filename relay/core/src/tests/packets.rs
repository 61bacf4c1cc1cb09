//! What becomes of packets.

use super::*;

#[test]
fn forwards_both_ways_from_the_right_port_to_the_right_address() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    for packet in [RTP, RTCP, T38, &[]] {
        assert_eq!(bench.packet(0, ALICE, packet), forward(1, BOB));
        assert_eq!(bench.packet(1, BOB, packet), forward(0, ALICE));
    }
    let stats = bench.stats();
    for endpoint in stats.endpoints {
        assert_eq!(endpoint.rtp_packets_in, 3);
        assert_eq!(endpoint.rtp_bytes_in, 14 + 5);
        assert_eq!(endpoint.rtcp_packets_in, 1);
        assert_eq!(endpoint.rtcp_bytes_in, 8);
        assert_eq!((endpoint.packets_out, endpoint.bytes_out), (4, 27));
        assert_eq!((endpoint.ssrc, endpoint.payload_type), (Some(7), Some(8)));
    }
}

#[test]
fn follows_the_address_that_was_learnt() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, ALICE), "as signalled");
    assert_eq!(bench.packet(0, "192.0.2.1:4444", RTP), forward(1, BOB));
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, "192.0.2.1:4444"));
    assert!(bench.stats().endpoints[0].learnt);
}

#[test]
fn drops_and_counts_who_is_not_the_peer() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    let mismatch = Verdict::Drop(DropReason::SourceMismatch);
    assert_eq!(bench.packet(0, STRANGER, RTP), mismatch);
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
    assert_eq!(bench.counter("dropped_source_mismatch"), 1);
    let stats = bench.stats();
    assert_eq!(
        (
            stats.endpoints[0].dropped,
            stats.endpoints[0].rtp_packets_in
        ),
        (1, 1)
    );
}

#[test]
fn tells_the_reasons_apart() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    let drop = Verdict::Drop;
    assert_eq!(bench.packet(9, ALICE, RTP), drop(DropReason::UnknownFlow));
    bench.done(connect(30_000, None));
    assert_eq!(bench.packet(0, ALICE, RTP), drop(DropReason::NotConnected));
    bench.done(connect(30_000, Some(30_002)));
    for (remote, reason) in [
        (None, DropReason::NoRemote),
        (Some("[2001:db8::9]:4000"), DropReason::AddressFamily),
        (Some("0.0.0.0:4000"), DropReason::NoRemote),
    ] {
        bench.done(Command::SetRemote {
            call: CallKey(1),
            port: port(30_002),
            remote: remote.map(address),
            learning: Learning::Heuristic,
        });
        assert_eq!(bench.packet(0, ALICE, RTP), drop(reason));
    }
    let unproven = drop(DropReason::Unproven);
    bench.done(signal(30_000, "192.0.2.77:4000", Learning::Heuristic));
    assert_eq!(bench.packet(0, STRANGER, RTP), unproven);
    for reason in DropReason::ALL {
        let expected = match reason {
            DropReason::NoRemote => 2,
            DropReason::Answered
            | DropReason::Filtered
            | DropReason::IdlePort
            | DropReason::Loop
            | DropReason::Replayed
            | DropReason::SourceMismatch
            | DropReason::TooManySources
            | DropReason::Unauthentic
            | DropReason::Unchecked
            | DropReason::Unsealed => 0,
            _ => 1,
        };
        assert_eq!(bench.counter(reason.name()), expected, "{reason:?}");
    }
    assert_eq!(bench.stats().endpoints[0].dropped, 5, "all but the unknown");
}

#[test]
fn what_goes_round_and_round_is_stopped_where_that_is_looked_for() {
    for checks_loops in [false, true] {
        let mut bench = Bench::new();
        bench.call_between_alice_and_bob(Learning::Off);
        bench.done(Command::SetSourceRules {
            call: CallKey(1),
            port: port(30_000),
            rules: SourceRules {
                checks_loops,
                ..SourceRules::default()
            },
        });
        let verdicts: Vec<_> = (0..40).map(|_| bench.packet(0, ALICE, RTP)).collect();
        let stopped = Verdict::Drop(DropReason::Loop);
        let stopped = verdicts.iter().filter(|it| **it == stopped);
        assert_eq!(stopped.count(), if checks_loops { 9 } else { 0 });
    }
}

#[test]
fn hold_stops_one_way_and_leaves_the_other() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    bench.done(connect(30_000, None));
    assert!(matches!(bench.packet(0, ALICE, RTP), Verdict::Drop(_)));
    assert_eq!(bench.packet(1, BOB, RTP), forward(0, ALICE));
    bench.done(connect(30_000, Some(30_002)));
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
}

#[test]
fn rtcp_goes_its_own_way() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    let call = CallKey(1);
    bench.done(Command::OpenEndpoint {
        call,
        port: port(30_003),
        tos: None,
    });
    bench.done(Command::SetRemote {
        call,
        port: port(30_003),
        remote: Some(address("192.0.2.2:5001")),
        learning: Learning::Heuristic,
    });
    bench.done(Command::Connect {
        call,
        ingress: port(30_000),
        rtp: Some(port(30_002)),
        rtcp: Some(port(30_003)),
    });
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
    assert_eq!(bench.packet(0, ALICE, RTCP), forward(2, "192.0.2.2:5001"));
    assert_eq!(bench.packet(0, ALICE, T38), forward(1, BOB));
}

#[test]
fn flows_to_a_closed_endpoint_end_even_if_its_slot_is_used_again() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    bench.done(Command::CloseEndpoint {
        call: CallKey(1),
        port: port(30_002),
    });
    let unknown = Verdict::Drop(DropReason::UnknownFlow);
    assert_eq!(bench.packet(1, BOB, RTP), unknown, "it is being closed");
    assert_eq!(bench.relay.poll_close(), Some(SocketId::new(1)));
    bench.relay.handle_closed(SocketId::new(1));
    bench.create(2, 0);
    let command = Command::OpenEndpoint {
        call: CallKey(2),
        port: port(30_100),
        tos: None,
    };
    let outcome = bench.relay.handle_command(bench.now, command, ROOM);
    let Ok(Outcome::Bind { socket, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(socket, SocketId::new(1));
    assert_eq!(bench.packet(1, BOB, RTP), unknown, "it is not bound yet");
    bench.relay.handle_bound(socket, Ok(())).unwrap();
    let unconnected = Verdict::Drop(DropReason::NotConnected);
    assert_eq!(bench.packet(0, ALICE, RTP), unconnected);
}

#[test]
fn a_removed_call_leaves_no_flow() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Heuristic);
    bench.arrive(0, ALICE);
    let answer = bench.apply(Command::RemoveCall { call: CallKey(1) });
    let Ok(Answer::Call(stats)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(stats.endpoints[1].packets_out, 1, "the final counts");
    for socket in 0..2 {
        let unknown = Verdict::Drop(DropReason::UnknownFlow);
        assert_eq!(bench.packet(socket, ALICE, RTP), unknown);
        assert_eq!(bench.relay.poll_close(), Some(SocketId::new(socket)));
    }
    assert_eq!(bench.relay.poll_close(), None);
}
