//! Floods do not shut out a way that works.

use super::*;
use crate::pair::State;

/// Where somebody is who has overheard a check, or from where it seems to come.
fn elsewhere(n: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], 1_024 + n))
}

fn overhear(agent: &mut Agent, now: Instant, sources: std::ops::Range<u16>) {
    let check = check_of_peer(true).sign(PASSWORDS[0]);
    for n in sources {
        agent.handle_packet(now, 0, elsewhere(n), &check);
        while agent.poll_transmit().is_some() {}
    }
}

fn trickle(agent: &mut Agent, now: Instant, candidates: &[(SocketAddr, u32)]) {
    let candidates = candidates
        .iter()
        .map(|(address, priority)| Candidate {
            address: *address,
            priority: *priority,
        })
        .collect::<Vec<_>>();
    agent.update(
        now,
        Role::Controlled,
        Some(credentials(1)),
        false,
        &candidates,
    );
}

/// What is due, answered if the one who is asked is there. Says who else was asked.
fn turn(agent: &mut Agent, now: Instant, peer: SocketAddr) -> Vec<SocketAddr> {
    agent.handle_timeout(now);
    let mut asked = Vec::new();
    while let Some(sent) = agent.poll_transmit() {
        let request = Message::parse(&sent.bytes).unwrap();
        if request.class() != Class::Request {
            continue;
        }
        if sent.destination == peer {
            let answer = Writer::new(Class::Success, request.id()).mapped(address(ONE));
            agent.handle_packet(now, 0, peer, &answer.sign(PASSWORDS[1]));
        } else {
            asked.push(sent.destination);
        }
    }
    asked
}

fn has(agent: &Agent, remote: SocketAddr) -> bool {
    agent.pairs.iter().any(|it| it.remote == remote)
}

#[test]
fn checks_from_everywhere_do_not_shut_out_what_signalling_names() {
    let mut agent = agent(0, &[ONE], Role::Controlled, &[]);
    let (mut now, two) = (Instant::now(), address(TWO));
    let mut asked = 0;
    for n in 0..600 {
        now += Duration::from_millis(10);
        overhear(&mut agent, now, n * 20..n * 20 + 20);
        if n == 300 {
            assert_eq!(agent.pairs.len(), STRAYS_MAX);
            trickle(&mut agent, now, &[(two, 1)]);
            assert!(has(&agent, two));
        }
        asked += turn(&mut agent, now, two).len();
        if n == 320 {
            let selected = agent.selected().map(|it| it.remote);
            assert_eq!(selected, Some(two), "its turn comes at once");
        }
    }
    assert!(asked <= 6_000 / 50, "and nobody is flooded for it: {asked}");
    let seen = agent.counters();
    let (there, gone) = (agent.pairs.len() as u64 - 1, seen.pairs_evicted);
    assert_eq!(
        there + gone + seen.pairs_refused,
        600 * 20,
        "each is counted"
    );
    assert!(gone > 0 && seen.pairs_refused > 0);
    assert!(agent.knows(0, two));
}

/// Those of low priority are relayed ones, which are often the only ones that work.
#[test]
fn checks_from_everywhere_do_not_take_the_room_of_what_signalling_has_named() {
    let mut agent = agent(0, &[ONE, "192.0.2.9:4000"], Role::Controlled, &[]);
    let now = Instant::now();
    let named: Vec<_> = (0..32).map(|n| (elsewhere(n), u32::from(n) + 1)).collect();
    for some in named.chunks(16) {
        trickle(&mut agent, now, some);
    }
    assert_eq!(agent.pairs.len(), 64);
    overhear(&mut agent, now, 1_000..1_200);
    let named = agent.pairs.iter().filter(|it| it.is_signalled);
    assert_eq!(named.count(), 64);
    assert_eq!(agent.pairs.len(), PAIRS_MAX);
    // Signalling names some of these, too: there are no more for it.
    let some: Vec<_> = agent.pairs.iter().filter(|it| it.is_stray()).collect();
    let some: Vec<_> = some.iter().map(|it| (it.remote, 9)).collect();
    trickle(&mut agent, now, &some);
    overhear(&mut agent, now, 2_000..2_200);
    assert!(agent.pairs.len() <= PAIRS_MAX);
    let strays = agent.pairs.iter().filter(|it| it.is_stray());
    assert!(strays.count() <= STRAYS_MAX);
}

#[test]
fn candidates_without_end_do_not_shut_out_where_the_peer_is() {
    let (start, two) = (Instant::now(), address(TWO));
    for wait in [Duration::ZERO, Duration::from_secs(5)] {
        let mut agent = agent(0, &[ONE], Role::Controlled, &[]);
        let mut now = start;
        for n in 0..100 {
            let some: Vec<_> = (0..24).map(|k| (elsewhere(n * 24 + k), u32::MAX)).collect();
            trickle(&mut agent, now, &some);
        }
        assert_eq!(agent.pairs.len(), NAMED_MAX);
        let end = now + wait;
        while now < end {
            now += PACE;
            turn(&mut agent, now, two);
        }
        agent.handle_packet(now, 0, two, &check_of_peer(true).sign(PASSWORDS[0]));
        assert_eq!(agent.pairs.len(), NAMED_MAX + 1);
        for _ in 0..4 {
            now += PACE;
            turn(&mut agent, now, two);
        }
        assert_eq!(agent.selected().map(|it| it.remote), Some(two));
    }
}

#[test]
fn among_candidates_without_end_the_better_stay_and_the_dead_go() {
    let mut agent = agent(0, &[ONE], Role::Controlled, &[]);
    let (mut now, two) = (Instant::now(), address(TWO));
    for n in 0..10 {
        let some: Vec<_> = (0..24).map(|k| (elsewhere(n * 24 + k), 100)).collect();
        trickle(&mut agent, now, &some);
    }
    let refused = agent.counters().pairs_refused;
    assert_eq!(refused, 240 - NAMED_MAX as u64);
    let better = address("192.0.2.3:5000");
    trickle(&mut agent, now, &[(better, 101), (two, 99)]);
    assert!(has(&agent, better) && !has(&agent, two));
    assert_eq!(agent.counters().pairs_refused, refused + 1);
    // Nobody has answered for long.
    for _ in 0..100 {
        now += PACE;
        turn(&mut agent, now, two);
    }
    trickle(&mut agent, now, &[(two, 99)]);
    assert!(has(&agent, two));
}

#[test]
fn a_pair_that_works_is_never_given_up_for_another() {
    let (mut now, two) = (Instant::now(), address(TWO));
    for nominates in [false, true] {
        let mut agent = agent(0, &[ONE], Role::Controlled, &[TWO]);
        if nominates {
            agent.handle_packet(now, 0, two, &check_of_peer(true).sign(PASSWORDS[0]));
        }
        now += PACE;
        turn(&mut agent, now, two);
        let selected = agent.selected();
        assert_eq!(selected.map(|it| it.is_nominated), Some(nominates));
        for n in 0..200_u16 {
            now += Duration::from_millis(100);
            overhear(&mut agent, now, n * 100..n * 100 + 100);
            let some = (0..24).map(|k| (elsewhere(30_000 + n * 24 + k), u32::MAX));
            trickle(&mut agent, now, &some.collect::<Vec<_>>());
            turn(&mut agent, now, two);
            assert!(agent.pairs.len() <= PAIRS_MAX);
        }
        assert_eq!(agent.selected(), selected);
        assert!(agent.knows(0, two) && has(&agent, two));
    }
}

/// All of them were asked in one role before the first one has answered.
#[test]
fn who_answers_late_that_roles_are_to_change_wants_one_change() {
    let candidates: Vec<_> = (0..24).map(|n| (elsewhere(n), 100)).collect();
    let mut agent = agent(0, &[ONE], Role::Controlled, &[]);
    let mut now = Instant::now();
    trickle(&mut agent, now, &candidates);
    let mut answers = std::collections::BTreeMap::new();
    while answers.len() < candidates.len() {
        now += PACE;
        agent.handle_timeout(now);
        while let Some(sent) = agent.poll_transmit() {
            let request = Message::parse(&sent.bytes).unwrap();
            let answer = Writer::new(Class::Error, request.id()).error(487, "Role Conflict");
            answers.insert(sent.destination, answer.sign(PASSWORDS[1]));
        }
    }
    for (from, answer) in answers {
        assert_eq!(agent.handle_packet(now, 0, from, &answer), Received::Taken);
    }
    assert_eq!((agent.role, agent.conflicts), (Role::Controlling, 1));
    let waits = |it: &Pair| matches!(it.state, State::Waiting);
    assert!(agent.pairs.iter().all(waits), "{:?}", agent.pairs);
}

#[test]
fn who_always_wants_the_other_role_is_not_asked_for_ever() {
    let mut agent = agent(0, &[ONE], Role::Controlled, &[TWO]);
    let (mut now, two) = (Instant::now(), address(TWO));
    let mut asked = 0;
    for _ in 0..1_000 {
        now += PACE;
        agent.handle_timeout(now);
        while let Some(sent) = agent.poll_transmit() {
            asked += 1;
            let request = Message::parse(&sent.bytes).unwrap();
            let answer = Writer::new(Class::Error, request.id()).error(487, "Role Conflict");
            agent.handle_packet(now, 0, two, &answer.sign(PASSWORDS[1]));
        }
    }
    assert_eq!(asked, u32::from(CONFLICTS_MAX) + 1);
    assert_eq!(agent.poll_timeout(), None);
}
