//! Whatever is said of who hears whom, the relay is told just that.

use std::collections::BTreeSet;

use proptest::prelude::*;
use relay_wire::{Command, InterfaceId};

use super::*;
use crate::plan::{Plan, Terms};

const TERMS: Terms = Terms {
    media_ms: 0,
    held_ms: 0,
    first_packet_ms: 0,
    tells_keys: false,
};

/// Calls, and parties of each.
const CALLS: usize = 3;
const PARTIES: usize = 4;

/// Who is heard by whom, by their numbers.
type Flows = BTreeSet<(usize, usize)>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Join,
    Part,
    Silence,
    Deafen,
    Transfer,
    Pair,
    End,
}

/// The call whose number it is, with pairs of parties that have offered and answered.
fn call(number: usize) -> (CallKey, CallState) {
    let mut state = CallState::new(&b"c"[..], 0);
    for party in 0..PARTIES {
        let id = state.add_leg(InterfaceId(0), 0);
        let leg = state.leg_mut(id).unwrap();
        let peer = u16::try_from(party ^ 1).unwrap();
        (leg.peer, leg.is_settled) = (Some(LegId(peer)), true);
        let port = 30_000 + 100 * number + 2 * party;
        *leg.stream_mut(0) = Stream {
            kind: b"audio"[..].into(),
            transport: Transport::Rtp,
            port: u16::try_from(port).ok(),
            is_active: true,
            ..Stream::default()
        };
    }
    (CallKey(number as u64), state)
}

fn member(number: usize) -> Member {
    Member {
        call: number / PARTIES,
        leg: LegId(u16::try_from(number % PARTIES).unwrap()),
    }
}

fn number(port: Port) -> usize {
    let number = usize::from(port.number - 30_000);
    number / 100 * PARTIES + number % 100 / 2
}

#[test]
fn nothing_leaves_in_clear_for_who_encrypts_by_itself() {
    let (_, mut state) = call(0);
    state.legs[1].stream_mut(0).protocol = b"UDP/TLS/RTP/SAVPF"[..].into();
    let [clear, opaque, other, ..] = &state.legs[..] else {
        panic!("there are parties");
    };
    assert!(media(clear, opaque, true).is_empty());
    assert!(media(opaque, clear, true).is_empty());
    assert_eq!(media(clear, other, true).len(), 1);
}

/// What the relay is told, read back.
fn told(group: &Group) -> Flows {
    let mut flows = Flows::new();
    for (key, state) in &group.calls {
        let plan = Plan::of(state, TERMS);
        for command in Plan::default().commands_to(&plan, *key, Vec::new()) {
            let (ingress, to) = match command {
                Command::Connect { ingress, rtp, .. } => (ingress, Vec::from_iter(rtp)),
                Command::SetSinks { ingress, sinks, .. } => {
                    for sink in &sinks {
                        let port = sink.rtp.or(sink.rtcp).unwrap();
                        let owner = number(port) / PARTIES;
                        assert_eq!(sink.call, CallKey(owner as u64), "of its own call");
                    }
                    (ingress, sinks.iter().filter_map(|it| it.rtp).collect())
                }
                _ => continue,
            };
            for to in to {
                assert!(flows.insert((number(ingress), number(to))), "once each");
            }
        }
    }
    flows
}

/// The same as it is meant.
fn expect(flows: &mut Flows, step: Step, one: usize, other: usize) {
    let both = [one, other];
    match step {
        Step::Join if one != other => drop(flows.insert((one, other))),
        Step::Join => {}
        Step::Part => drop(flows.remove(&(one, other))),
        Step::Silence => flows.retain(|it| it.0 != one),
        Step::Deafen => flows.retain(|it| it.1 != one),
        Step::Transfer | Step::Pair => {
            flows.retain(|it| !both.contains(&it.0) && !both.contains(&it.1));
            flows.extend([(one, other), (other, one)]);
        }
        Step::End => flows.retain(|it| it.0 / PARTIES != one && it.1 / PARTIES != one),
    }
}

fn apply(group: &mut Group, step: Step, one: usize, other: usize) {
    let (one, other) = (member(one), member(other));
    match step {
        Step::Join => group.join(one, other).unwrap(),
        Step::Part => group.part(one, other),
        Step::Silence => group.silence(one),
        Step::Deafen => group.deafen(one),
        Step::Transfer => group.transfer(one, other).unwrap(),
        Step::Pair => group.pair(one, other),
        Step::End => unreachable!("it comes last"),
    }
}

fn any_step() -> impl Strategy<Value = (Step, usize, usize)> {
    let steps = [
        Step::Join,
        Step::Join,
        Step::Part,
        Step::Silence,
        Step::Deafen,
        Step::Transfer,
        Step::Pair,
    ];
    let party = 0..CALLS * PARTIES;
    (prop::sample::select(steps.to_vec()), party.clone(), party)
}

proptest! {
    #[test]
    fn the_relay_is_told_who_hears_whom(
        steps in prop::collection::vec(any_step(), 0..30),
        ended in 0..CALLS,
    ) {
        let mut group = Group { calls: (0..CALLS).map(call).collect() };
        group.merge().unwrap();
        let mut flows: Flows = (0..CALLS * PARTIES).map(|it| (it, it ^ 1)).collect();
        for (step, one, other) in steps {
            let are_two = one != other;
            let step = match step {
                Step::Pair if one / PARTIES != other / PARTIES => Step::Transfer,
                step => step,
            };
            if are_two || !matches!(step, Step::Transfer | Step::Pair) {
                apply(&mut group, step, one, other);
                expect(&mut flows, step, one, other);
            }
            group.relink(Translating::Anew(true));
            prop_assert_eq!(&told(&group), &flows, "{:?} {} {}", step, one, other);
        }
        let before = group.calls.clone();
        group.relink(Translating::AsBefore);
        prop_assert_eq!(&group.calls, &before, "there is nothing more to do");
        // A call ends: nobody is heard there, or hears.
        group.calls.remove(ended);
        group.relink(Translating::AsBefore);
        expect(&mut flows, Step::End, ended, 0);
        prop_assert_eq!(told(&group), flows);
        for (_, state) in &group.calls {
            prop_assert_eq!(state.group.len(), CALLS - 2);
        }
    }
}

#[test]
fn groups_and_links_have_an_end() {
    let mut group = Group {
        calls: (0..=GROUP_MAX).map(call).collect(),
    };
    assert_eq!(group.merge(), Err(Refusal::TooManyCalls));
    group.calls.pop();
    assert_eq!(group.merge(), Ok(()));
    let mut joined = 0;
    let last = (PARTIES..).find(|number| {
        let result = group.join(member(0), member(*number));
        joined += usize::from(result.is_ok());
        result == Err(Refusal::TooManyLinks)
    });
    assert_eq!((last, joined), (Some(PARTIES + SINKS_MAX), SINKS_MAX));
}
