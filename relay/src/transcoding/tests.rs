//! A codec thread's work without the thread: packets in, rounds, packets out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use codec::Codec;
use relay_core::SocketId;
use relay_rtp::{Kind, PayloadType};
use relay_transcode::{Plan, Side};

use super::courier::Label;
use super::direction::Opening;
use super::engine::{Engine, Order};
use super::load::Level;
use super::shared::{FlowKey, FlowState, Outlet};
use super::thread::{Inlet, Taking, round};
use crate::wake::Wake;

/// A codec thread that goes round when it is told to.
struct Bench {
    inlet: Inlet,
    engine: Engine,
    outlet: Arc<Outlet>,
    now: Instant,
}

fn key(flow: u32) -> FlowKey {
    FlowKey {
        worker: 0,
        flow: SocketId::new(flow),
        generation: 1,
    }
}

fn plans(from: Codec, to: Codec) -> Box<[Plan]> {
    let side = |codec, number| Side::new(codec, PayloadType::new(number).unwrap(), 20);
    Box::new([Plan::new(side(from, 8), side(to, 96))])
}

fn rtp(at: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(at.to_be_bytes());
    packet.extend((u32::from(at) * 160).to_be_bytes());
    packet.extend([0, 0, 0, 9]);
    packet.extend([0xd5; 160]);
    packet
}

impl Bench {
    fn new(flows_max: usize) -> Self {
        let outlet = Arc::new(Outlet::new(Arc::new(Wake::new().unwrap())));
        Self {
            inlet: Inlet::new(flows_max, Wake::new().unwrap()),
            engine: Engine::new(vec![Arc::clone(&outlet)]),
            outlet,
            now: Instant::now(),
        }
    }

    fn open(&self, flow: u32, to: Codec) -> Arc<FlowState> {
        assert!(self.inlet.reserve());
        let state = Arc::new(FlowState::default());
        let opening = Opening {
            key: key(flow),
            plans: plans(Codec::Pcma, to),
            has_rtcp: true,
            state: Arc::clone(&state),
        };
        self.inlet.order(Order::Open(Box::new(opening)));
        state
    }

    fn send(&self, flow: u32, state: &FlowState, packet: &[u8]) {
        assert!(state.begin_waiting());
        let label = Label {
            key: key(flow),
            kind: Kind::of(packet),
            // Each leaves where the other arrives.
            leaves: Some(SocketId::new(flow ^ 1)),
            at: self.now,
        };
        assert!(self.inlet.courier.send(label, packet));
    }

    /// Goes round each millisecond; what has left: flow, kind, bytes.
    fn pass(&mut self, milliseconds: u32) -> Vec<(u32, Kind, Vec<u8>)> {
        let mut left = vec![];
        for _ in 0..milliseconds {
            self.now += Duration::from_millis(1);
            round(&self.inlet, &mut self.engine, self.now);
            while let Some(parcel) = self.outlet.courier.take() {
                let bytes = parcel.bytes().to_vec();
                left.push((parcel.flow().slot(), parcel.kind(), bytes));
                self.outlet.courier.give_back(parcel);
            }
        }
        left
    }
}

#[test]
fn flows_come_and_go_and_leave_nothing_behind() {
    let mut bench = Bench::new(2);
    let states = [0, 1].map(|flow| bench.open(flow, Codec::Gsm));
    assert!(!bench.inlet.reserve(), "there are two at most");
    let mut left = vec![];
    for at in 0..50 {
        for flow in [0, 1] {
            bench.send(flow, &states[flow as usize], &rtp(at));
        }
        left.extend(bench.pass(20));
    }
    for flow in [0, 1] {
        let of_flow = left.iter().filter(|it| it.0 == flow);
        assert!((49..=50).contains(&of_flow.count()));
        let stats = states[flow as usize].stats();
        assert_eq!((stats.packets_in, stats.dropped, stats.lost), (50, 0, 0));
    }
    let totals: Vec<_> = bench.outlet.totals.all().collect();
    assert_eq!(totals[0], ("transcode_packets_in", 100));
    for flow in [0, 1] {
        bench.inlet.order(Order::Close(key(flow)));
    }
    bench.send(0, &states[0], &rtp(60));
    assert_eq!(bench.pass(100), []);
    assert_eq!((bench.engine.len(), bench.inlet.flows()), (0, 0));
    assert_eq!(bench.engine.poll_timeout(), None);
    assert!(bench.inlet.reserve());
}

#[test]
fn checklist_12_each_peer_gets_reports_of_what_it_sends_and_is_sent() {
    let mut bench = Bench::new(2);
    let states = [0, 1].map(|flow| bench.open(flow, Codec::Gsm));
    let (mut reports, mut sources) = (vec![], [0; 2]);
    let source_of = |flow: u32| 9 + u8::try_from(flow).unwrap();
    for at in 0..300 {
        for flow in [0, 1] {
            let mut packet = rtp(at);
            packet[11] = source_of(flow);
            bench.send(flow, &states[flow as usize], &packet);
        }
        for (flow, kind, bytes) in bench.pass(20) {
            match kind {
                Kind::Rtcp => reports.push((flow, bytes)),
                _ => sources[flow as usize] = u32::from_be_bytes(bytes[8..12].try_into().unwrap()),
            }
        }
    }
    assert_eq!(reports.len(), 2);
    for (flow, report) in &reports {
        // A sender report of what the other flow has become, with a block about what came.
        assert_eq!((report[0], report[1]), (0x81, 200));
        let source = u32::from_be_bytes(report[4..8].try_into().unwrap());
        assert_eq!(source, sources[(flow ^ 1) as usize]);
        assert_eq!(report[28..32], [0, 0, 0, source_of(*flow)]);
    }
    assert_eq!(sources, [0, 1].map(|flow| u32::from(source_of(flow))));
    // One of them answers: a block about what it is sent, with the middle of our time.
    let (flow, report) = reports.last().unwrap();
    let mut answer = vec![0x81, 201, 0, 7, 0, 0, 0, source_of(*flow)];
    answer.extend(&report[4..8]);
    answer.resize(24, 0);
    answer.extend(&report[10..14]);
    answer.extend([0; 4]);
    bench.send(*flow, &states[*flow as usize], &answer);
    bench.pass(1);
    assert!(states[*flow as usize].round_trip_us().is_some());
    assert_eq!(states[(flow ^ 1) as usize].round_trip_us(), None);
}

#[test]
fn other_plans_hold_from_the_next_packet_on() {
    let mut bench = Bench::new(2);
    let state = bench.open(0, Codec::Gsm);
    let mut lens = vec![];
    for at in 0..20 {
        if at == 10 {
            bench.inlet.order(Order::Change {
                key: key(0),
                plans: plans(Codec::Pcma, Codec::G722),
                has_rtcp: false,
            });
        }
        bench.send(0, &state, &rtp(at));
        let left = bench.pass(20).into_iter();
        lens.extend(left.map(|(_, _, bytes)| bytes.len()));
    }
    assert_eq!(lens.first(), Some(&(12 + 33)));
    assert_eq!(lens.last(), Some(&(12 + 160)));
}

/// What each of so many flows of GSM becomes if all their packets come in one round, of which some
/// are two of one flow.
fn payloads_of(flows: std::ops::Range<u32>) -> Vec<Vec<Vec<u8>>> {
    let mut bench = Bench::new(64);
    let states: Vec<_> = flows
        .clone()
        .map(|flow| bench.open(flow, Codec::Gsm))
        .collect();
    let mut payloads = vec![vec![]; states.len()];
    for step in 0..20 {
        let ats = match step % 4 {
            0 => 0..0,
            1 => step - 1..step + 1,
            _ => step..step + 1,
        };
        for at in ats {
            for (flow, state) in flows.clone().zip(&states) {
                let mut packet = rtp(at);
                let pitch = 5 + usize::try_from(flow).unwrap();
                for place in (12..172).step_by(pitch) {
                    packet[place] = 0xaa;
                }
                bench.send(flow, state, &packet);
            }
        }
        for (flow, kind, bytes) in bench.pass(20) {
            if kind == Kind::Rtp {
                payloads[(flow - flows.start) as usize].push(bytes[12..].to_vec());
            }
        }
    }
    payloads
}

#[test]
fn flows_that_are_coded_together_do_not_hear_each_other() {
    let together = payloads_of(0..37);
    for (flow, payloads) in (0..).zip(&together) {
        assert!(payloads.len() >= 18, "{}", payloads.len());
        assert_eq!(*payloads, payloads_of(flow..flow + 1)[0]);
    }
    assert_ne!(together[0], together[1]);
}

#[test]
fn a_thread_that_is_full_takes_no_more_but_calls_that_it_had_before() {
    let bench = Bench::new(2);
    let takes = |kind| bench.inlet.takes_more(kind);
    for level in [Level::Easy, Level::Pressed] {
        bench.inlet.set_level(level);
        assert_eq!(takes(Taking::New), Some(0));
    }
    bench.inlet.set_level(Level::Full);
    assert_eq!(takes(Taking::New), None);
    assert_eq!(takes(Taking::Restored), Some(0));
    (0..2).for_each(|_| assert!(bench.inlet.reserve()));
    assert_eq!(takes(Taking::Restored), None, "there are two at most");
}

#[test]
fn all_calls_of_a_thread_are_restored_at_once() {
    const FLOWS: u32 = 2_000;
    let mut bench = Bench::new(FLOWS as usize);
    for flow in 0..FLOWS {
        assert!(bench.inlet.takes_more(Taking::Restored).is_some());
        bench.open(flow, Codec::Pcmu);
    }
    assert_eq!(bench.inlet.takes_more(Taking::New), None, "it is busy");
    // They may even end before it has looked.
    for flow in 0..FLOWS {
        bench.inlet.order(Order::Close(key(flow)));
    }
    bench.pass(1);
    assert_eq!((bench.engine.len(), bench.inlet.flows()), (0, 0));
    assert_eq!(bench.inlet.takes_more(Taking::New), Some(0));
}
