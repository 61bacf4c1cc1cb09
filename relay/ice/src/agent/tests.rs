use super::*;
use crate::stun::{Class, Message};
use crate::writer::Writer;

mod room;

const PASSWORDS: [&str; 2] = ["our password of 22 oct", "their password of 22 o"];
const USERS: [&str; 2] = ["us", "them"];

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn bases(addresses: &[&str]) -> Vec<Base> {
    let base = |(n, it): (usize, &&str)| Base {
        address: address(it),
        priority: 1_000 - u32::try_from(n).unwrap(),
    };
    addresses.iter().enumerate().map(base).collect()
}

fn credentials(side: usize) -> Credentials {
    Credentials::new(USERS[side], PASSWORDS[side])
}

/// An agent of one side, which knows the other's addresses.
fn agent(side: usize, own: &[&str], role: Role, peers: &[&str]) -> Agent {
    agent_with(side, own, role, peers, false)
}

fn agent_with(side: usize, own: &[&str], role: Role, peers: &[&str], is_lite: bool) -> Agent {
    let mut agent = Agent::new(Settings {
        local: credentials(side),
        bases: bases(own),
        component: 1,
        tie_breaker: 100 + side as u64,
        is_lite,
    });
    let candidates = bases(peers).into_iter().map(|it| Candidate {
        address: it.address,
        priority: it.priority,
    });
    let candidates: Vec<_> = candidates.collect();
    let remote = Some(credentials(1 - side));
    agent.update(Instant::now(), role, remote, false, &candidates);
    agent
}

/// Two agents and what is between them.
struct Net {
    now: Instant,
    agents: [Agent; 2],
    /// Whether nothing passes between two addresses.
    is_cut: fn(SocketAddr, SocketAddr) -> bool,
    sent: Vec<(SocketAddr, SocketAddr)>,
}

impl Net {
    fn new(agents: [Agent; 2]) -> Self {
        Self {
            now: Instant::now(),
            agents,
            is_cut: |_, _| false,
            sent: Vec::new(),
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(10);
            for side in 0..2 {
                self.agents[side].handle_timeout(self.now);
            }
            // An answer comes at once, and so does what it brings about.
            for _ in 0..4 {
                self.exchange();
            }
        }
    }

    fn exchange(&mut self) {
        for side in 0..2 {
            while let Some(sent) = self.agents[side].poll_transmit() {
                let from = self.agents[side].settings.bases[sent.base].address;
                self.sent.push((from, sent.destination));
                let other = &mut self.agents[1 - side];
                let mut bases = other.settings.bases.iter();
                let to = bases.position(|it| it.address == sent.destination);
                if let Some(to) = to.filter(|_| !(self.is_cut)(from, sent.destination)) {
                    other.handle_packet(self.now, to, from, &sent.bytes);
                }
            }
        }
    }

    fn selected(&self) -> [Option<(SocketAddr, SocketAddr)>; 2] {
        [0, 1].map(|side| {
            let agent = &self.agents[side];
            let selected = agent.selected().filter(|it| it.is_nominated)?;
            Some((agent.settings.bases[selected.base].address, selected.remote))
        })
    }
}

const ONE: &str = "192.0.2.1:4000";
const ONE_V6: &str = "[2001:db8::1]:4000";
const TWO: &str = "192.0.2.2:5000";
const TWO_V6: &str = "[2001:db8::2]:5000";

fn check_of_peer(nominates: bool) -> Writer {
    let writer = Writer::new(Class::Request, TransactionId([9; 12]))
        .user("us:them")
        .priority(7)
        .control(Control::Controlling(1));
    match nominates {
        true => writer.nomination(),
        false => writer,
    }
}

#[test]
fn two_agents_agree_on_the_best_way() {
    for roles in [
        [Role::Controlling, Role::Controlled],
        [Role::Controlled, Role::Controlling],
    ] {
        let mut net = Net::new([
            agent(0, &[ONE, ONE_V6], roles[0], &[TWO, TWO_V6]),
            agent(1, &[TWO, TWO_V6], roles[1], &[ONE, ONE_V6]),
        ]);
        net.run(Duration::from_secs(2));
        let (one, two) = (address(ONE), address(TWO));
        assert_eq!(net.selected(), [Some((one, two)), Some((two, one))]);
    }
}

#[test]
fn the_way_that_works_is_taken_if_the_best_does_not() {
    let mut net = Net::new([
        agent(0, &[ONE, ONE_V6], Role::Controlling, &[TWO, TWO_V6]),
        agent(1, &[TWO, TWO_V6], Role::Controlled, &[ONE, ONE_V6]),
    ]);
    net.is_cut = |from, _| from.is_ipv4();
    net.run(Duration::from_secs(3));
    let (one, two) = (address(ONE_V6), address(TWO_V6));
    assert_eq!(net.selected(), [Some((one, two)), Some((two, one))]);
}

#[test]
fn who_both_decide_or_both_do_not_agree_on_one() {
    for role in [Role::Controlling, Role::Controlled] {
        let mut net = Net::new([
            agent(0, &[ONE], role, &[TWO]),
            agent(1, &[TWO], role, &[ONE]),
        ]);
        net.run(Duration::from_secs(3));
        assert!(net.selected().iter().all(Option::is_some), "{role:?}");
        assert_ne!(net.agents[0].role, net.agents[1].role);
    }
}

#[test]
fn a_peer_behind_a_nat_is_found_by_its_checks() {
    // Nobody told the one where the other is.
    let mut net = Net::new([
        agent(0, &[ONE], Role::Controlled, &[]),
        agent(1, &[TWO], Role::Controlling, &[ONE]),
    ]);
    net.run(Duration::from_secs(2));
    let (one, two) = (address(ONE), address(TWO));
    assert_eq!(net.selected(), [Some((one, two)), Some((two, one))]);
}

#[test]
fn a_lite_agent_answers_and_does_not_ask() {
    let mut lite = agent_with(0, &[ONE], Role::Controlled, &[TWO], true);
    lite.remote_is_lite = false;
    let mut full = agent(1, &[TWO], Role::Controlled, &[ONE]);
    let remote = Some(credentials(0));
    full.remote = None;
    full.update(Instant::now(), Role::Controlled, remote, true, &[]);
    let mut net = Net::new([lite, full]);
    net.run(Duration::from_secs(2));
    assert!(net.selected().iter().all(Option::is_some));
    assert_eq!(net.agents[0].counters().checks_sent, 0);
    assert_eq!(net.agents[1].role, Role::Controlling, "RFC 8445 §6.1.1");
}

#[test]
fn checks_come_one_at_a_time_and_end() {
    let peers: Vec<_> = (1..=8).map(|n| format!("192.0.2.{n}:9000")).collect();
    let peers: Vec<_> = peers.iter().map(String::as_str).collect();
    let mut alone = agent(0, &[ONE], Role::Controlling, &peers);
    let mut now = Instant::now();
    let mut times = Vec::new();
    while let Some(at) = alone.poll_timeout() {
        now = now.max(at);
        alone.handle_timeout(now);
        while alone.poll_transmit().is_some() {
            times.push(now);
        }
        assert!(times.len() <= 8 * 7, "it never ends");
    }
    assert_eq!(times.len(), 8 * 7);
    let gaps = times.windows(2).map(|it| it[1] - it[0]);
    assert!(gaps.into_iter().all(|it| it >= PACE));
    assert_eq!(alone.selected(), None);
}

#[test]
fn who_waits_asks_nobody_until_it_may_or_is_asked() {
    let start = Instant::now();
    let until = start + Duration::from_secs(5);
    let waiting = || {
        let mut agent = agent(0, &[ONE], Role::Controlled, &[TWO]);
        agent.wait(until);
        let at = agent.poll_timeout().unwrap();
        agent.handle_timeout(at);
        assert_eq!(agent.poll_transmit(), None);
        assert_eq!(agent.poll_timeout(), Some(until));
        agent
    };
    let sent = |agent: &mut Agent| {
        let at = agent.poll_timeout().unwrap();
        agent.handle_timeout(at);
        (at, agent.poll_transmit().map(|it| it.destination))
    };
    assert_eq!(sent(&mut waiting()), (until, Some(address(TWO))));
    let mut told = waiting();
    told.go_on(start);
    let (at, destination) = sent(&mut told);
    assert!(at < until);
    assert_eq!(destination, Some(address(TWO)));
    let mut asked = waiting();
    let check = check_of_peer(false).sign(PASSWORDS[0]);
    asked.handle_packet(start, 0, address(TWO), &check);
    assert!(asked.poll_transmit().is_some(), "the answer");
    let (at, destination) = sent(&mut asked);
    assert!(at < until);
    assert_eq!(destination, Some(address(TWO)));
}

#[test]
fn nothing_is_checked_before_the_peer_is_known() {
    let mut early = Agent::new(Settings {
        local: credentials(0),
        bases: bases(&[ONE]),
        component: 1,
        tie_breaker: 1,
        is_lite: false,
    });
    let (now, two) = (Instant::now(), address(TWO));
    let check = check_of_peer(true).sign(PASSWORDS[0]);
    assert_eq!(early.handle_packet(now, 0, two, &check), Received::Taken);
    let answer = early.poll_transmit().unwrap();
    let answer = Message::parse(&answer.bytes).unwrap().class();
    assert_eq!(answer, Class::Success);
    assert!(early.knows(0, two));
    assert_eq!((early.poll_timeout(), early.selected()), (None, None));
    // The answer of signalling comes later: the peer is checked where it came from.
    early.update(now, Role::Controlled, Some(credentials(1)), false, &[]);
    early.handle_timeout(now);
    let asked = early.poll_transmit().unwrap();
    assert_eq!(asked.destination, two);
    let request = Message::parse(&asked.bytes).unwrap();
    assert_eq!(request.user(), Some(&b"them:us"[..]));
    let answer = Writer::new(Class::Success, request.id()).mapped(address(ONE));
    let answer = answer.sign(PASSWORDS[1]);
    assert_eq!(early.handle_packet(now, 0, two, &answer), Received::Taken);
    assert!(early.poll_selected().is_some_and(|it| it.is_nominated));
    assert_eq!(early.poll_selected(), None, "told once");
}

#[test]
fn who_does_not_know_the_password_learns_and_changes_nothing() {
    let mut agent = agent(0, &[ONE], Role::Controlled, &[]);
    let (now, stranger) = (Instant::now(), address("203.0.113.9:9"));
    let no_integrity = check_of_peer(true).finish();
    let no_user = Writer::new(Class::Request, TransactionId([1; 12])).sign(PASSWORDS[0]);
    let wrong_user = Writer::new(Class::Request, TransactionId([1; 12]))
        .user("usurper:them")
        .software("a long name of a program that asks")
        .sign(PASSWORDS[0]);
    let wrong_password = check_of_peer(true).sign("a guess");
    for (request, code) in [
        (no_integrity, 400),
        (no_user, 400),
        (wrong_user, 401),
        (wrong_password, 401),
    ] {
        let received = agent.handle_packet(now, 0, stranger, &request);
        assert_eq!(received, Received::Refused);
        let answer = agent.poll_transmit().unwrap();
        assert!(answer.bytes.len() <= request.len(), "no more than was sent");
        let answer = Message::parse(&answer.bytes).unwrap();
        assert_eq!(
            (answer.class(), answer.error_code()),
            (Class::Error, Some(code))
        );
        assert!(!answer.has_integrity());
    }
    assert!(!agent.knows(0, stranger));
    assert_eq!((agent.selected(), agent.pairs.len()), (None, 0));
    assert_eq!(agent.counters().refused, 4);
}

#[test]
fn strangers_get_few_answers_and_never_long_ones() {
    let mut agent = agent(0, &[ONE], Role::Controlled, &[]);
    let (now, stranger) = (Instant::now(), address("203.0.113.9:9"));
    let wrong = check_of_peer(true).sign("a guess");
    for _ in 0..1_000 {
        agent.handle_packet(now, 0, stranger, &wrong);
    }
    assert!(std::iter::from_fn(|| agent.poll_transmit()).count() <= 8);
    let mut fresh = agent_with(0, &[ONE], Role::Controlled, &[], false);
    let short = Writer::new(Class::Request, TransactionId([1; 12])).finish();
    fresh.handle_packet(now, 0, stranger, &short);
    assert_eq!(fresh.poll_transmit(), None, "the answer would be longer");
}

#[test]
fn an_answer_counts_only_from_where_it_was_asked_and_by_whom() {
    let mut agent = agent(0, &[ONE], Role::Controlling, &[TWO]);
    let now = Instant::now() + PACE;
    agent.handle_timeout(now);
    let asked = agent.poll_transmit().unwrap();
    let id = Message::parse(&asked.bytes).unwrap().id();
    let answer = |password: &str| {
        Writer::new(Class::Success, id)
            .mapped(address(ONE))
            .sign(password)
    };
    let elsewhere = address("192.0.2.3:5000");
    let right = answer(PASSWORDS[1]);
    for (source, bytes) in [
        (address(TWO), answer("a guess")),
        (address(TWO), answer(PASSWORDS[0])),
        (elsewhere, right.clone()),
    ] {
        assert_eq!(
            agent.handle_packet(now, 0, source, &bytes),
            Received::Refused
        );
    }
    assert_eq!(agent.selected(), None);
    let received = agent.handle_packet(now, 0, address(TWO), &right);
    assert_eq!(received, Received::Taken);
    assert_eq!(agent.selected().map(|it| it.remote), Some(address(TWO)));
}

#[test]
fn of_several_that_are_named_the_best_is_used_and_a_dead_one_is_left() {
    let other = "192.0.2.3:5000";
    let mut agent = agent(0, &[ONE], Role::Controlled, &[TWO, other]);
    let mut now = Instant::now();
    // Both ways work.
    for _ in 0..20 {
        now += PACE;
        agent.handle_timeout(now);
        while let Some(asked) = agent.poll_transmit() {
            let request = Message::parse(&asked.bytes).unwrap();
            let answer = Writer::new(Class::Success, request.id()).mapped(address(ONE));
            let answer = answer.sign(PASSWORDS[1]);
            agent.handle_packet(now, 0, asked.destination, &answer);
        }
    }
    assert_eq!(
        agent.selected().map(|it| (it.remote, it.is_nominated)),
        Some((address(TWO), false))
    );
    let nominate = |agent: &mut Agent, now, from| {
        agent.handle_packet(
            now,
            0,
            address(from),
            &check_of_peer(true).sign(PASSWORDS[0]),
        );
        agent.selected().map(|it| it.remote)
    };
    assert_eq!(nominate(&mut agent, now, other), Some(address(other)));
    assert_eq!(
        nominate(&mut agent, now, TWO),
        Some(address(TWO)),
        "a better one"
    );
    assert_eq!(
        nominate(&mut agent, now, other),
        Some(address(TWO)),
        "a worse one"
    );
    let later = now + SILENCE_MAX;
    assert_eq!(
        nominate(&mut agent, later, other),
        Some(address(other)),
        "it is left"
    );
}

#[test]
fn candidates_and_pairs_are_bounded() {
    let mut agent = agent(0, &[ONE, "192.0.2.100:4000", ONE_V6], Role::Controlled, &[]);
    let now = Instant::now();
    for n in 0..2_000_u16 {
        let source = SocketAddr::from(([203, 0, 113, 1], 1_000 + n));
        agent.handle_packet(now, 0, source, &check_of_peer(false).sign(PASSWORDS[0]));
        while agent.poll_transmit().is_some() {}
    }
    assert_eq!(agent.pairs.len(), STRAYS_MAX);
    let many: Vec<_> = (0..1_000_u16)
        .map(|n| Candidate {
            address: SocketAddr::from(([203, 0, 113, 2], 1_000 + n)),
            priority: 1,
        })
        .collect();
    let mut other = agent_with(1, &[TWO], Role::Controlled, &[], false);
    other.update(now, Role::Controlled, None, false, &many);
    assert_eq!(other.pairs.len(), CANDIDATES_MAX);
    let nowhere = [
        "0.0.0.0:4000",
        "192.0.2.1:0",
        "224.0.0.1:4000",
        "[::1]:4000",
    ];
    let nowhere = agent_with(1, &[TWO], Role::Controlled, &nowhere, false);
    assert_eq!(nowhere.pairs.len(), 0);
}

#[test]
fn the_pair_in_use_is_kept_open() {
    let mut net = Net::new([
        agent(0, &[ONE], Role::Controlling, &[TWO]),
        agent(1, &[TWO], Role::Controlled, &[ONE]),
    ]);
    net.run(Duration::from_secs(2));
    assert!(net.selected().iter().all(Option::is_some));
    net.sent.clear();
    net.run(Duration::from_secs(30));
    let by_one = net.sent.iter().filter(|it| it.0 == address(ONE)).count();
    assert_eq!(by_one, 2, "one each 15 s");
    assert_eq!(net.agents[1].counters().refused, 0);
}
