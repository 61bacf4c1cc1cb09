//! The packet path allocates nothing: counted by the allocator itself.
//!
//! Each thread counts its own, since those of the test harness allocate when they like.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_core::{Ingress, Limits, Outcome, Relay, SocketId, Verdict};
use relay_wire::{CallKey, Command, InterfaceId, Learning, Port, PortPartition, WorkerId};

/// Counts what passes through.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Allocations of this thread so far.
fn allocations() -> u64 {
    ALLOCATIONS.get()
}

// JUSTIFICATION: an allocator can be made in no other way.
// SAFETY: GlobalAlloc wants what System promises, and all calls go there unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

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
    for command in commands {
        match relay.handle_command(now, command, 1_000).unwrap() {
            Outcome::Bind { socket, .. } => drop(relay.handle_bound(socket, Ok(())).unwrap()),
            Outcome::Done(_) => {}
            Outcome::Later(_) => unreachable!("nothing is being closed"),
        }
    }
    relay
}

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
    let mut packets: [[u8; 172]; 3] = [[0x55; 172]; 3];
    packets[0][..2].copy_from_slice(&[0x80, 8]);
    packets[1][..2].copy_from_slice(&[0x80, 201]);
    for learning in [
        Learning::Heuristic,
        Learning::Immediate,
        Learning::Delayed,
        Learning::Off,
    ] {
        let mut relay = relay(now, learning, alice, bob);
        let before = allocations();
        let mut forwarded = 0;
        for step in 0..10_000_u32 {
            let now = now + Duration::from_millis(step.into());
            let source = [alice, bob, stranger][step as usize % 3];
            let ingress = Ingress {
                socket: SocketId::new(step % 3),
                source,
            };
            let packet = &mut packets[step as usize / 3 % 3];
            let verdict = relay.handle_packet(now, ingress, packet);
            forwarded += u32::from(matches!(verdict, Verdict::Forward(_)));
            relay.handle_timeout(now);
            assert!(relay.poll_event().is_none());
        }
        let allocations = allocations() - before;
        assert_eq!(allocations, 0, "{learning:?}");
        assert_eq!(forwarded, 6_667, "{learning:?}: it was a test");
    }
}
