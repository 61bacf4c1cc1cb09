//! Ports whose call is over and whose sockets are kept.

use super::*;

fn with_idle(idle_max: u32) -> Bench {
    Bench::with_limits(|limits| limits.idle_max = idle_max)
}

fn end(bench: &mut Bench, call: u64) {
    let call = CallKey(call);
    bench.apply(Command::RemoveCall { call }).unwrap();
}

#[test]
fn what_comes_to_an_idle_port_goes_nowhere_and_is_counted() {
    let mut bench = with_idle(10);
    bench.call_between_alice_and_bob(Learning::Heuristic);
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
    end(&mut bench, 1);
    let idle = Verdict::Drop(DropReason::IdlePort);
    assert_eq!(bench.packet(0, ALICE, RTP), idle);
    assert_eq!(bench.packet(1, STRANGER, RTCP), idle);
    bench.relay.handle_discarded(3);
    assert_eq!(bench.counter("dropped_idle_port"), 5);
    assert_eq!(bench.counter("dropped_unknown_flow"), 0);
    assert_eq!(bench.counter("ports_idle"), 2);
    assert_eq!(bench.relay.poll_close(), None);
}

#[test]
fn the_next_call_at_a_port_knows_nothing_of_the_one_before() {
    let mut bench = with_idle(10);
    bench.call_between_alice_and_bob(Learning::Immediate);
    bench.arrive(0, STRANGER);
    bench.arrive(1, BOB);
    assert!(bench.stats().endpoints[0].learnt);
    end(&mut bench, 1);
    bench.call_between_alice_and_bob(Learning::Immediate);
    for endpoint in bench.stats().endpoints {
        assert!(!endpoint.learnt);
        let counts = [endpoint.rtp_packets_in, endpoint.packets_out];
        assert_eq!((counts, endpoint.dropped), ([0, 0], 0));
        assert_eq!((endpoint.ssrc, endpoint.idle_ms), (None, None));
    }
    assert_eq!(
        bench.packet(1, BOB, RTP),
        forward(0, ALICE),
        "not whom the other had learnt"
    );
    assert_eq!(bench.counter("ports_reused"), 2);
}

#[test]
fn a_port_that_a_call_gives_up_is_idle_while_the_call_goes_on() {
    let mut bench = with_idle(10);
    bench.call_between_alice_and_bob(Learning::Heuristic);
    bench.done(Command::CloseEndpoint {
        call: CallKey(1),
        port: port(30_002),
    });
    let nowhere = Verdict::Drop(DropReason::NotConnected);
    assert_eq!(bench.packet(0, ALICE, RTP), nowhere);
    bench.create(2, 0);
    bench.done(Command::OpenEndpoint {
        call: CallKey(2),
        port: port(30_002),
        tos: None,
    });
    assert_eq!(
        bench.packet(0, ALICE, RTP),
        nowhere,
        "another call's by now"
    );
    assert!(matches!(bench.packet(1, BOB, RTP), Verdict::Drop(_)));
    assert_eq!(bench.counter("ports_reused"), 1);
}

#[test]
fn without_room_for_idle_sockets_each_is_closed_with_its_call() {
    let mut bench = with_idle(0);
    bench.call_between_alice_and_bob(Learning::Heuristic);
    end(&mut bench, 1);
    let closed: Vec<_> = std::iter::from_fn(|| bench.relay.poll_close()).collect();
    assert_eq!(closed, [0, 1].map(SocketId::new));
    assert_eq!(bench.counter("ports_idle"), 0);
}
