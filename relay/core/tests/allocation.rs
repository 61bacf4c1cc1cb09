//! The packet path allocates nothing, but for what an endpoint takes once when there is more than a
//! peer that sends one stream: counted by the allocator itself.
//!
//! Each thread counts its own, since those of the test harness allocate when they like.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_core::{Ingress, Limits, Outcome, Relay, SocketId, Verdict};
use relay_wire::{
    CallKey, Command, Events, Filter, InterfaceId, Learning, OnEvents, Port, PortPartition, Sink,
    WorkerId,
};
use tandem_allocations::{Counting, of_thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn port(number: u16) -> Port {
    Port {
        interface: InterfaceId(0),
        number,
    }
}

/// A call between the first two ports of a new worker, with every kind of learning in between.
fn relay(now: Instant, learning: Learning, alice: SocketAddr, bob: SocketAddr) -> Relay {
    let mut relay = Relay::new(Limits {
        worker: WorkerId(0),
        partition: PortPartition::new(30_000, 30_999, 1).unwrap(),
        interfaces: vec!["127.0.0.1".parse().unwrap()],
        calls_max: 10,
        endpoints_max: 10,
        idle_max: 0,
    });
    let call = CallKey(1);
    let mut commands = vec![Command::CreateCall {
        call,
        media_timeout_ms: 60_000,
        record: vec![],
    }];
    for (number, remote) in [(30_000, alice), (30_002, bob)] {
        let port = port(number);
        commands.push(Command::OpenEndpoint {
            call,
            port,
            tos: None,
        });
        commands.push(Command::SetRemote {
            call,
            port,
            remote: Some(remote),
            learning,
        });
    }
    for (ingress, egress) in [(30_000, 30_002), (30_002, 30_000)] {
        commands.push(Command::Connect {
            call,
            ingress: port(ingress),
            rtp: Some(port(egress)),
            rtcp: Some(port(egress)),
        });
    }
    // Keys that pass, and are not told of, so that nothing piles up.
    commands.push(Command::SetFilter {
        call,
        ingress: port(30_000),
        filter: Some(Filter {
            events: vec![Events {
                payload_type: 111,
                clock_hz: 8_000,
            }],
            on_events: OnEvents::Scramble { seed: 1 },
            ..Filter::default()
        }),
    });
    // Alice hears herself, besides what Bob hears; and somebody who is not there would.
    let sink = |call, number| Sink {
        call: CallKey(call),
        rtp: Some(port(number)),
        rtcp: Some(port(number)),
        is_remade: false,
        is_sealed: false,
    };
    commands.push(Command::SetSinks {
        call,
        ingress: port(30_000),
        sinks: vec![sink(1, 30_000), sink(2, 30_004)],
    });
    for command in commands {
        match relay.handle_command(now, command, 1_000).unwrap() {
            Outcome::Bind { socket, .. } => drop(relay.handle_bound(socket, Ok(())).unwrap()),
            Outcome::Done(_) => {}
            Outcome::Later(_) | Outcome::Play { .. } | Outcome::Treat { .. } => {
                unreachable!("nothing of that is asked")
            }
        }
    }
    relay
}

/// Every kind of packet in turn: streams that go on, are late, change their source (of more than
/// are remembered) or their type (of a clock that is yet to be told); RTCP; and neither.
fn write(packet: &mut [u8; 172], step: u32) {
    packet[..2].copy_from_slice(&[0x80, if step.is_multiple_of(100) { 111 } else { 8 }]);
    let sequence = if step.is_multiple_of(7) {
        step / 2
    } else {
        step
    };
    packet[2..4].copy_from_slice(&sequence.to_be_bytes()[2..]);
    packet[4..8].copy_from_slice(&(step * 40).to_be_bytes());
    packet[8..12].copy_from_slice(&(step / 50 % 9).to_be_bytes());
    match step % 31 {
        // An empty report of a receiver.
        0 => packet[..4].copy_from_slice(&[0x80, 201, 0, 42]),
        1 => packet[0] = 0x55,
        _ => {}
    }
}

/// Packets after which all that can come has come.
const FIRST: u32 = 1_000;

/// Allocations for the first packets: of two endpoints, strangers and sources.
const AT_FIRST_MAX: u64 = 8;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "std makes an Instant in no other way"
)]
fn no_packet_allocates() {
    let (alice, bob) = ("192.0.2.1:4000", "192.0.2.2:5000");
    let [alice, bob, stranger]: [SocketAddr; 3] =
        [alice, bob, "198.51.100.1:6000"].map(|it| it.parse().unwrap());
    let now = Instant::now();
    let mut packet = [0x55; 172];
    for learning in [
        Learning::Heuristic,
        Learning::Immediate,
        Learning::Delayed,
        Learning::Off,
    ] {
        let mut relay = relay(now, learning, alice, bob);
        let mut before = of_thread();
        let (mut forwarded, mut copied) = (0, 0);
        for step in 0..12_000 + FIRST {
            if step == FIRST {
                let at_first = of_thread() - before;
                assert!(at_first <= AT_FIRST_MAX, "{learning:?}: {at_first}");
                before = of_thread();
            }
            let now = now + Duration::from_millis(step.into());
            // Strangers come to the port of a call, and to one where nothing is.
            let (socket, source) =
                [(0, alice), (1, bob), (0, stranger), (9, stranger)][step as usize % 4];
            let socket = SocketId::new(socket);
            write(&mut packet, step);
            let verdict = relay.handle_packet(now, Ingress { socket, source }, &mut packet);
            forwarded += u32::from(matches!(verdict, Verdict::Forward(_)));
            while let Some(copy) = relay.poll_copy() {
                let verdict = relay.handle_copy(&copy, &packet);
                copied += u32::from(matches!(verdict, Verdict::Forward(_)));
            }
            relay.handle_timeout(now);
            assert!(relay.poll_event().is_none());
        }
        let allocations = of_thread() - before;
        assert_eq!(allocations, 0, "{learning:?}");
        assert!(forwarded > 5_000, "{learning:?}: it was a test");
        assert!(copied > 2_500, "{learning:?}: of copies, too");
    }
}
