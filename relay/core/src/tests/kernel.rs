//! Flows in the kernel's table: when they are there, and that nobody sees a difference.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use relay_rtp::ExtendedSequence;
use relay_wire::{Filter, Sink, SourceStats, Transcoding};

use super::*;
use crate::{KernelCounts, KernelFlow, KernelSlot, KernelTable};

/// Somebody else.
const SINK: Sink = Sink {
    call: CallKey(2),
    rtp: None,
    rtcp: None,
    is_remade: false,
    is_sealed: false,
};

/// A kernel that forwards what its program would.
#[derive(Clone, Debug, Default)]
struct Fake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    flows: Vec<Entry>,
    is_full: bool,
    now: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    flow: KernelFlow,
    is_in: bool,
    counts: KernelCounts,
    heard_at: Option<Instant>,
}

impl KernelTable for Fake {
    fn install(&mut self, _: Instant, flow: &KernelFlow) -> Option<KernelSlot> {
        let mut state = self.0.lock().unwrap();
        if state.is_full {
            return None;
        }
        let is_taken = |it: &Entry| {
            it.is_in && (it.flow.ingress == flow.ingress || it.flow.egress == flow.egress)
        };
        assert!(!state.flows.iter().any(is_taken), "one flow each way");
        state.flows.push(Entry {
            flow: *flow,
            is_in: true,
            counts: KernelCounts {
                highest: flow.highest,
                seen: flow.seen,
                jitter: flow.jitter,
                ..KernelCounts::default()
            },
            heard_at: None,
        });
        let slot = u32::try_from(state.flows.len() - 1).unwrap();
        Some(KernelSlot(slot))
    }

    fn take_out(&mut self, _: Instant, slot: KernelSlot) {
        let mut state = self.0.lock().unwrap();
        let entry = &mut state.flows[usize::try_from(slot.0).unwrap()];
        assert!(std::mem::take(&mut entry.is_in), "once only");
    }

    fn read(&self, slot: KernelSlot) -> KernelCounts {
        let state = self.0.lock().unwrap();
        let entry = &state.flows[usize::try_from(slot.0).unwrap()];
        let idle = entry.heard_at.map(|it| state.now.unwrap() - it);
        KernelCounts {
            idle,
            ..entry.counts
        }
    }
}

impl Fake {
    /// Whether it has forwarded this, and to whom.
    fn forwards(
        &self,
        now: Instant,
        ingress: Port,
        source: SocketAddr,
        packet: &[u8],
    ) -> Option<SocketAddr> {
        let mut state = self.0.lock().unwrap();
        state.now = Some(now);
        let header = relay_rtp::FixedHeader::read(packet)?;
        let entry = state.flows.iter_mut().find(|it| {
            it.is_in
                && it.flow.ingress == ingress
                && it.flow.peer == source
                && it.flow.ssrc == header.ssrc.value()
                && it.flow.payload_type == header.payload_type.value()
        })?;
        let highest = ExtendedSequence::from_value(entry.counts.highest);
        let number = highest.extend(header.sequence);
        if number <= highest {
            return None;
        }
        let step = u32::try_from(number.value() - highest.value()).unwrap();
        entry.counts.highest = number.value();
        entry.counts.seen = entry.counts.seen.checked_shl(step).unwrap_or(0) | 1;
        entry.counts.packets += 1;
        entry.counts.bytes += packet.len() as u64;
        entry.heard_at = Some(now);
        Some(entry.flow.to)
    }

    fn flows_in(&self) -> Vec<KernelFlow> {
        let state = self.0.lock().unwrap();
        let entries = state.flows.iter().filter(|it| it.is_in);
        entries.map(|it| it.flow).collect()
    }
}

/// The first call, and its kernel.
struct World {
    bench: Bench,
    fake: Fake,
    sequence: u16,
}

impl World {
    fn new(learning: Learning) -> Self {
        let mut bench = Bench::new();
        let fake = Fake::default();
        bench.relay.set_kernel_table(Box::new(fake.clone()));
        bench.call_between_alice_and_bob(learning);
        let sequence = 0;
        Self {
            bench,
            fake,
            sequence,
        }
    }

    /// Alice's next packet, and who gets it; whether the kernel did it.
    fn alice(&mut self) -> (Option<SocketAddr>, bool) {
        self.sequence = self.sequence.wrapping_add(1);
        self.arrive(0, ALICE, &rtp(8, 7, self.sequence))
    }

    fn arrive(&mut self, socket: u32, source: &str, packet: &[u8]) -> (Option<SocketAddr>, bool) {
        self.bench.now += Duration::from_millis(20);
        let ingress = port(if socket == 0 { 30_000 } else { 30_002 });
        let forwarded = self
            .fake
            .forwards(self.bench.now, ingress, address(source), packet);
        if let Some(to) = forwarded {
            return (Some(to), true);
        }
        match self.bench.packet(socket, source, packet) {
            Verdict::Forward(egress) => (Some(egress.destination), false),
            _ => (None, false),
        }
    }

    /// So many packets of Alice; says how many of them the kernel forwarded.
    fn stream(&mut self, packets: u32) -> u32 {
        let mut by_kernel = 0;
        for _ in 0..packets {
            let (to, is_kernel) = self.alice();
            assert_eq!(to, Some(address(BOB)), "all of them go to Bob");
            by_kernel += u32::from(is_kernel);
        }
        by_kernel
    }
}

fn rtp(payload_type: u8, ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xd5; 160]);
    packet
}

/// A call whose first flow is in the table.
fn installed() -> World {
    let mut world = World::new(Learning::Heuristic);
    assert_eq!(world.stream(25), 0);
    assert_eq!(world.stream(1), 1);
    world
}

#[test]
fn a_plain_flow_goes_into_the_table_once_it_is_locked() {
    let mut world = World::new(Learning::Heuristic);
    assert_eq!(world.stream(25), 0);
    let flows = world.fake.flows_in();
    let [flow] = flows.as_slice() else {
        panic!("{flows:?}");
    };
    assert_eq!(flow.peer, address(ALICE));
    assert_eq!(flow.to, address(BOB));
    assert_eq!((flow.ingress, flow.egress), (port(30_000), port(30_002)));
    assert_eq!((flow.ssrc, flow.payload_type), (7, 8));
    assert_eq!(world.stream(100), 100);

    // Delayed learning locks after three seconds.
    let mut world = World::new(Learning::Delayed);
    assert_eq!(world.stream(149), 0);
    assert!(world.stream(60) > 0);
}

/// Two endpoints of given interfaces, with peers that are where they were signalled.
fn call_between(interfaces: [u8; 2], peers: [&str; 2]) -> (Bench, Fake) {
    let mut bench = Bench::new();
    let fake = Fake::default();
    bench.relay.set_kernel_table(Box::new(fake.clone()));
    bench.create(1, 0);
    let end = |side: usize| Port {
        interface: InterfaceId(interfaces[side]),
        number: if side == 0 { 30_000 } else { 30_002 },
    };
    let call = CallKey(1);
    for (side, peer) in peers.into_iter().enumerate() {
        let (port, remote) = (end(side), Some(address(peer)));
        bench.done(Command::OpenEndpoint {
            call,
            port,
            tos: None,
        });
        bench.done(Command::SetRemote {
            call,
            port,
            remote,
            learning: Learning::Off,
        });
    }
    bench.done(Command::Connect {
        call,
        ingress: end(0),
        rtp: Some(end(1)),
        rtcp: None,
    });
    (bench, fake)
}

#[test]
fn flows_of_ipv6_go_in_and_what_changes_its_ip_stays_out() {
    let flows = |interfaces, peers: [&str; 2]| {
        let (mut bench, fake) = call_between(interfaces, peers);
        for sequence in 0..100 {
            bench.now += Duration::from_millis(20);
            let to = bench.packet(0, peers[0], &rtp(8, 7, sequence));
            let Verdict::Forward(egress) = to else {
                panic!("{to:?}");
            };
            assert_eq!(egress.destination, address(peers[1]));
        }
        fake.flows_in().len()
    };
    let (alice, bob) = ("[2001:db8:1::7]:4000", "[2001:db8:2::8]:5000");
    assert!(flows([1, 1], [alice, bob]) == 1);
    assert!(flows([0, 0], [ALICE, BOB]) == 1);
    assert!(flows([1, 0], [alice, BOB]) == 0);
    assert!(flows([0, 1], [ALICE, bob]) == 0);
    // Whose address means somebody else on another link.
    assert!(flows([1, 1], ["[fe80::7]:4000", bob]) == 0);
    assert!(flows([1, 1], [alice, "[fe80::8]:5000"]) == 0);
}

#[test]
fn what_must_be_looked_at_stays_out() {
    let mut world = World::new(Learning::Heuristic);
    world.bench.done(Command::SetTranscoding {
        call: CallKey(1),
        ingress: port(30_000),
        transcoding: Some(Transcoding {
            routes: vec![],
            rtcp: None,
        }),
    });
    for _ in 0..100 {
        world.alice();
    }
    assert_eq!(world.fake.flows_in(), [], "transcoded");
    world.bench.done(Command::SetTranscoding {
        call: CallKey(1),
        ingress: port(30_000),
        transcoding: None,
    });
    world.bench.done(connect(30_000, None));
    for _ in 0..100 {
        world.alice();
    }
    assert_eq!(world.fake.flows_in(), [], "on hold");
    let mut world = World::new(Learning::Heuristic);
    world.bench.done(Command::SetSourceRules {
        call: CallKey(1),
        port: port(30_000),
        rules: SourceRules {
            checks_loops: true,
            ..SourceRules::default()
        },
    });
    assert_eq!(world.stream(100), 0, "looked at for loops");
    let mut world = World::new(Learning::Heuristic);
    world.bench.done(Command::SetFilter {
        call: CallKey(1),
        ingress: port(30_000),
        filter: Some(Filter::default()),
    });
    assert_eq!(world.stream(100), 0, "filtered");
    let mut world = World::new(Learning::Heuristic);
    world.bench.done(Command::SetSinks {
        call: CallKey(1),
        ingress: port(30_000),
        sinks: vec![SINK],
    });
    assert_eq!(world.stream(100), 0, "others hear it, too");
    world.bench.done(Command::SetSinks {
        call: CallKey(1),
        ingress: port(30_000),
        sinks: vec![],
    });
    assert!(world.stream(100) > 0, "they do no more");
    let mut world = World::new(Learning::Heuristic);
    for sequence in 0..100 {
        world.arrive(0, ALICE, &[T38, &[sequence]].concat());
        world.arrive(0, ALICE, RTCP);
    }
    assert_eq!(world.fake.flows_in(), [], "not RTP");
}

#[test]
fn every_command_that_could_matter_takes_the_call_out() {
    let (call, port) = (CallKey(1), port(30_002));
    let commands = [
        connect(30_000, None),
        connect(30_000, Some(30_002)),
        connect(30_002, None),
        signal(30_002, STRANGER, Learning::Heuristic),
        signal(30_000, ALICE, Learning::Off),
        Command::SetSourceRules {
            call,
            port,
            rules: SourceRules::default(),
        },
        Command::SetTranscoding {
            call,
            ingress: port,
            transcoding: None,
        },
        Command::CloseEndpoint { call, port },
        Command::SetFilter {
            call,
            ingress: port,
            filter: None,
        },
        Command::SetSinks {
            call,
            ingress: port,
            sinks: vec![],
        },
    ];
    for command in commands {
        let mut world = installed();
        world.bench.done(command.clone());
        assert_eq!(world.fake.flows_in(), [], "{command:?}");
        assert_eq!(world.bench.counter("kernel_flows"), 0);
        assert_eq!(world.bench.counter("kernel_packets"), 1);
        assert!(world.bench.counter("kernel_bytes") > 0);
    }
    let mut world = installed();
    let removed = world.bench.apply(Command::RemoveCall { call });
    assert_eq!(world.fake.flows_in(), []);
    let Ok(Answer::Call(stats)) = removed else {
        panic!("{removed:?}");
    };
    assert_eq!(stats.endpoints[0].rtp_packets_in, 26);
    assert_eq!(stats.endpoints[1].packets_out, 26);
}

#[test]
fn a_call_that_comes_from_hold_goes_in_again() {
    let mut world = installed();
    world.bench.done(connect(30_000, None));
    assert_eq!(world.alice(), (None, false));
    world.bench.done(connect(30_000, Some(30_002)));
    assert_eq!(world.stream(25), 0);
    assert_eq!(world.stream(10), 10);
    assert_eq!(world.bench.stats().endpoints[0].rtp_packets_in, 26 + 1 + 35);
}

#[test]
fn packets_in_the_kernel_are_no_silence() {
    let mut world = World::new(Learning::Heuristic);
    world.bench.done(Command::SetMediaTimeout {
        call: CallKey(1),
        media_timeout_ms: 2_000,
    });
    world.stream(25);
    for _ in 0..500 {
        assert_eq!(world.stream(1), 1);
        let now = world.bench.now;
        world.bench.relay.handle_timeout(now);
        assert_eq!(world.bench.relay.poll_event(), None);
    }
    let mut silent_ms = 0;
    let event = loop {
        let now = world.bench.now + Duration::from_millis(10);
        world.fake.0.lock().unwrap().now = Some(now);
        silent_ms += 10;
        if let Some((_, event)) = world.bench.pass(10).pop() {
            break event;
        }
        assert!(silent_ms < 10_000, "it is never noticed");
    };
    assert_eq!(event, Event::MediaTimeout { call: CallKey(1) });
    assert!((1_980..=2_020).contains(&silent_ms), "{silent_ms}");
    assert_eq!(world.bench.stats().endpoints[0].rtp_packets_in, 525);
}

#[test]
fn a_peer_that_moves_takes_its_flows_with_it() {
    let mut world = installed();
    world.stream(10);
    // Bob speaks too, and his flow goes in.
    for sequence in 0..30 {
        world.arrive(1, BOB, &rtp(8, 9, sequence));
    }
    assert_eq!(world.fake.flows_in().len(), 2);
    world.stream(1);
    // Somebody else, while Alice speaks: nothing.
    let next = rtp(8, 7, world.sequence + 1);
    assert_eq!(world.arrive(0, STRANGER, &next), (None, false));
    assert_eq!(world.fake.flows_in().len(), 2);
    // Alice elsewhere, after a pause: she goes on where the kernel had seen her last.
    world.bench.now += Duration::from_millis(300);
    assert_eq!(
        world.arrive(0, STRANGER, &next),
        (Some(address(BOB)), false)
    );
    assert_eq!(world.fake.flows_in(), [], "neither from her, nor to her");
    let sequence = 30;
    let (to, _) = world.arrive(1, BOB, &rtp(8, 9, sequence));
    assert_eq!(to, Some(address(STRANGER)));
}

#[test]
fn another_source_takes_the_place_of_the_one_in_the_table() {
    let mut world = installed();
    world.stream(10);
    for sequence in 0..25 {
        let (to, is_kernel) = world.arrive(0, ALICE, &rtp(8, 99, sequence));
        assert_eq!((to, is_kernel), (Some(address(BOB)), false));
    }
    assert!(world.arrive(0, ALICE, &rtp(8, 99, 25)).1);
    let stats = world.bench.stats().endpoints.remove(0);
    let packets: Vec<_> = stats
        .sources
        .iter()
        .map(|it| (it.ssrc, it.packets))
        .collect();
    assert_eq!(packets, [(7, 36), (99, 26)]);
}

#[test]
fn another_type_now_and_then_changes_nothing_and_for_good_it_does() {
    let mut world = installed();
    for _ in 0..10 {
        world.sequence += 1;
        let event = rtp(101, 7, world.sequence);
        assert_eq!(world.arrive(0, ALICE, &event), (Some(address(BOB)), false));
        assert_eq!(world.stream(5), 5);
    }
    let stats = world.bench.stats().endpoints.remove(0);
    assert_eq!((stats.payload_type, stats.sources[0].lost), (Some(8), 0));
    assert_eq!(world.bench.counter("kernel_flows_installed"), 1);
    let mut by_kernel = 0;
    for _ in 0..100 {
        world.sequence += 1;
        by_kernel += u32::from(world.arrive(0, ALICE, &rtp(0, 7, world.sequence)).1);
    }
    assert_eq!(by_kernel, 75);
}

#[test]
fn what_the_kernel_never_forwards_is_tried_less_and_less() {
    let mut world = World::new(Learning::Heuristic);
    world.fake.0.lock().unwrap().is_full = true;
    assert_eq!(world.stream(25 + 50 + 100), 0);
    assert_eq!(world.bench.counter("kernel_flows_refused"), 3);
    world.stream(10_000);
    assert!(world.bench.counter("kernel_flows_refused") < 12);
    world.fake.0.lock().unwrap().is_full = false;
    assert!(world.stream(30_000) > 0);
}

#[test]
fn who_changes_all_the_time_takes_few_places() {
    let mut world = World::new(Learning::Heuristic);
    let sources = 100;
    for ssrc in 0..sources {
        for sequence in 0..=25 {
            let (to, _) = world.arrive(0, ALICE, &rtp(8, ssrc, sequence));
            assert_eq!(to, Some(address(BOB)));
        }
    }
    // 52 seconds.
    let installed = world.bench.counter("kernel_flows_installed");
    assert!(
        (10..=4 * 11).contains(&installed),
        "{installed} of {sources}"
    );
}

/// What may happen to a packet of a stream.
#[derive(Clone, Copy, Debug)]
enum Step {
    Next,
    Lost(u16),
    Again(u16),
    Event,
    Rtcp,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => Just(Step::Next),
        1 => (1..200_u16).prop_map(Step::Lost),
        1 => (0..5_u16).prop_map(Step::Again),
        1 => Just(Step::Event),
        1 => Just(Step::Rtcp),
    ]
}

proptest! {
    /// With the table and without, all counts are the same. (But for what comes twice or late
    /// around a packet that came to the socket: the kernel does not know of that one.)
    #[test]
    fn nobody_sees_a_difference(first: u16, steps in prop::collection::vec(step(), 1..400)) {
        let mut with = World::new(Learning::Heuristic);
        let mut without = Bench::new();
        without.call_between_alice_and_bob(Learning::Heuristic);
        let mut sequence = first;
        for step in &steps {
            let packet = match *step {
                Step::Next => rtp(8, 7, sequence),
                Step::Lost(packets) => {
                    sequence = sequence.wrapping_add(packets);
                    rtp(8, 7, sequence)
                }
                Step::Again(back) => rtp(8, 7, sequence.wrapping_sub(back)),
                Step::Event => rtp(101, 7, sequence),
                Step::Rtcp => RTCP.to_vec(),
            };
            if matches!(step, Step::Next | Step::Lost(_) | Step::Event) {
                sequence = sequence.wrapping_add(1);
            }
            with.arrive(0, ALICE, &packet);
            without.now += Duration::from_millis(20);
            let _ = without.packet(0, ALICE, &packet);
        }
        let is_repeated = steps.iter().any(|it| matches!(it, Step::Again(_)));
        let (with, without) = (with.bench.stats(), without.stats());
        for (with, without) in with.endpoints.iter().zip(&without.endpoints) {
            prop_assert_eq!(with.rtp_packets_in, without.rtp_packets_in);
            prop_assert_eq!(with.rtp_bytes_in, without.rtp_bytes_in);
            prop_assert_eq!(with.rtcp_packets_in, without.rtcp_packets_in);
            prop_assert_eq!(with.packets_out, without.packets_out);
            prop_assert_eq!(with.bytes_out, without.bytes_out);
            prop_assert_eq!(with.ssrc, without.ssrc);
            let sums = |it: &relay_wire::EndpointStats| {
                let sum = |of: fn(&SourceStats) -> u64| it.sources.iter().map(of).sum::<u64>();
                [sum(|it| it.lost), sum(|it| it.reordered), sum(|it| it.duplicates)]
            };
            if !is_repeated {
                prop_assert_eq!(sums(with), sums(without));
            }
        }
    }
}
