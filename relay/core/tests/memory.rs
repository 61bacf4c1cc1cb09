//! What a call costs in memory: counted by the allocator itself.

use std::time::Instant;

use relay_core::{Limits, Outcome, Relay};
use relay_wire::{
    CallKey, Command, InterfaceId, Learning, Port, PortPartition, SourceRules, WorkerId,
};
use tandem_allocations::{Counting, bytes_of_thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CALLS: u32 = 2_000;

/// RTP and RTCP of two parties.
const ENDPOINTS_PER_CALL: u32 = 4;

/// Of a call, without its record, which is control's.
const BYTES_PER_CALL_MAX: i64 = 1_900;

fn port(number: u32) -> Port {
    Port {
        interface: InterfaceId(0),
        number: u16::try_from(number).unwrap(),
    }
}

fn worker(calls: u32) -> Relay {
    Relay::new(Limits {
        worker: WorkerId(0),
        partition: PortPartition::new(30_000, 39_999, 1).unwrap(),
        interfaces: vec!["192.0.2.9".parse().unwrap()],
        calls_max: usize::try_from(calls).unwrap(),
        endpoints_max: calls * ENDPOINTS_PER_CALL,
        idle_max: 0,
    })
}

/// What control asks for when a call is offered and answered.
fn call(number: u32) -> Vec<Command> {
    let call = CallKey(u64::from(number) + 1);
    let first = 30_000 + number * ENDPOINTS_PER_CALL;
    let mut commands = vec![Command::CreateCall {
        call,
        media_timeout_ms: 60_000,
        record: Vec::new(),
    }];
    for number in first..first + ENDPOINTS_PER_CALL {
        let port = port(number);
        let tos = None;
        commands.push(Command::OpenEndpoint { call, port, tos });
        commands.push(Command::SetRemote {
            call,
            port,
            remote: Some(([192, 0, 2, 1], 4_000).into()),
            learning: Learning::Heuristic,
        });
        commands.push(Command::SetSourceRules {
            call,
            port,
            rules: SourceRules::default(),
        });
    }
    for [ingress, egress] in [[0, 2], [2, 0]] {
        for (above, is_rtp) in [(0, true), (1, false)] {
            let egress = port(first + egress + above);
            commands.push(Command::Connect {
                call,
                ingress: port(first + ingress + above),
                rtp: Some(egress).filter(|_| is_rtp),
                rtcp: Some(egress),
            });
        }
    }
    commands
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "std makes an Instant in no other way"
)]
fn a_call_takes_little_memory() {
    let now = Instant::now();
    let before = bytes_of_thread();
    let idle = worker(0);
    let of_idle = bytes_of_thread() - before;
    drop(idle);
    let before = bytes_of_thread();
    let mut relay = worker(CALLS);
    for number in 0..CALLS {
        for command in call(number) {
            match relay.handle_command(now, command, 1_000).unwrap() {
                Outcome::Bind { socket, .. } => drop(relay.handle_bound(socket, Ok(())).unwrap()),
                Outcome::Done(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    let taken = bytes_of_thread() - before;
    drop(relay);
    assert_eq!(bytes_of_thread(), before, "it is given back");
    let bytes = (taken - of_idle) / i64::from(CALLS);
    println!("{bytes} bytes for each call");
    assert!(bytes <= BYTES_PER_CALL_MAX, "{bytes}");
}
