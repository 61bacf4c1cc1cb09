//! Forwards packets of many streams and nothing else: something to count instructions of.
//!
//! ```text
//! cargo build -p relay-core --release --example packets
//! valgrind --tool=callgrind target/release/examples/packets STREAMS PACKETS_EACH
//! ```
//!
//! What one packet costs is the difference of two runs, by the packets that they differ in.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_core::{Ingress, Limits, Outcome, Relay, SocketId, Verdict};
use relay_wire::{CallKey, Command, InterfaceId, Learning, Port, PortPartition, WorkerId};

/// Packets that one turn of a worker serves.
const TURN: usize = 64;

fn port(number: u16) -> Port {
    Port {
        interface: InterfaceId(0),
        number,
    }
}

fn peer(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], number))
}

/// Two endpoints of one call, connected to each other.
fn set_up(relay: &mut Relay, now: Instant, ports: [u16; 2]) -> [Ingress; 2] {
    let call = CallKey(ports[0].into());
    let mut apply = |command| match relay.handle_command(now, command, 1_024) {
        Ok(Outcome::Bind { socket, .. }) => {
            relay.handle_bound(socket, Ok(())).expect("it was reserved");
            socket
        }
        Ok(_) => SocketId::new(0),
        Err(error) => panic!("{error}"),
    };
    apply(Command::CreateCall {
        call,
        media_timeout_ms: 60_000,
        record: Vec::new(),
    });
    let ingresses = ports.map(|number| {
        let port = port(number);
        let socket = apply(Command::OpenEndpoint {
            call,
            port,
            tos: None,
        });
        apply(Command::SetRemote {
            call,
            port,
            remote: Some(peer(number)),
            learning: Learning::Heuristic,
        });
        Ingress {
            socket,
            source: peer(number),
        }
    });
    for (ingress, egress) in [(ports[0], ports[1]), (ports[1], ports[0])] {
        apply(Command::Connect {
            call,
            ingress: port(ingress),
            rtp: Some(port(egress)),
            rtcp: Some(port(egress)),
        });
    }
    ingresses
}

/// The next packet of a stream: 20 ms of G.711.
fn write(packet: &mut [u8], ssrc: u32, number: u32) {
    let sequence = number.to_be_bytes();
    packet[2..4].copy_from_slice(&sequence[2..]);
    packet[4..8].copy_from_slice(&number.wrapping_mul(160).to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
}

#[expect(
    clippy::disallowed_methods,
    reason = "std makes an Instant in no other way"
)]
fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|it| it.parse().expect("a number"));
    let streams: u16 = arguments.next().unwrap_or(2);
    let packets: u16 = arguments.next().unwrap_or(1_000);
    let mut now = Instant::now();
    let mut relay = Relay::new(Limits {
        worker: WorkerId(0),
        partition: PortPartition::new(10_000, 59_999, 1).expect("a valid range"),
        interfaces: vec![[192, 0, 2, 9].into()],
        calls_max: streams.into(),
        endpoints_max: streams.into(),
    });
    let calls = (0..streams / 2).map(|it| [10_000 + 4 * it, 10_002 + 4 * it]);
    let ingresses: Vec<_> = calls.flat_map(|it| set_up(&mut relay, now, it)).collect();
    let mut packet = [0x80; 172];
    packet[1] = 8;
    let mut forwarded = 0_usize;
    for number in 0..u32::from(packets) {
        for turn in ingresses.chunks(TURN) {
            now += Duration::from_micros(300);
            for ingress in turn {
                write(&mut packet, ingress.socket.slot(), number);
                let verdict = relay.handle_packet(now, *ingress, &mut packet);
                forwarded += usize::from(matches!(verdict, Verdict::Forward(_)));
            }
        }
    }
    println!("{forwarded} packets forwarded");
}
