//! Two tables that shake hands with each other, through a network that is not kind.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use relay_wire::{Crypto, CryptoSuite, Dtls, DtlsRole, Fingerprint};

use crate::{Event, Handshakes, Identity, Keys, TRIALS_MAX, guard};

const HERE: &str = "192.0.2.1:4000";
const THERE: &str = "192.0.2.2:5000";
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

mod beginnings;

/// The n-th stranger. Each has an address of his own.
fn stranger(number: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, number], 9))
}

fn is_strange(address: SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V4(it) if it.octets()[..3] == [198, 51, 100])
}

/// One side: a table with one endpoint.
struct Side {
    table: Handshakes<u8>,
    fingerprint: Fingerprint,
    address: SocketAddr,
    keys: Vec<Keys>,
    failures: usize,
    /// Failures of strangers.
    strange_failures: usize,
    /// Bytes.
    to_strangers: usize,
    /// Where what was sent last has gone.
    sent_to: Option<SocketAddr>,
    /// Whether the other side is where media goes, as far as this one knows.
    knows_peer: bool,
}

impl Side {
    fn new(address: &str) -> Self {
        let identity = Identity::new().unwrap();
        Self {
            fingerprint: identity.fingerprints().remove(2),
            table: Handshakes::new(identity, 4),
            address: address.parse().unwrap(),
            keys: Vec::new(),
            failures: 0,
            strange_failures: 0,
            to_strangers: 0,
            sent_to: None,
            knows_peer: true,
        }
    }

    fn begin(&mut self, now: Instant, role: DtlsRole, fingerprint: &Fingerprint) {
        let dtls = Dtls {
            role,
            fingerprint: fingerprint.clone(),
            association: 0,
        };
        assert!(self.table.begin(now, 1, dtls));
    }

    /// What it sends.
    fn turn(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.table.handle_timeout(now);
        let mut sent = Vec::new();
        while let Some(event) = self.table.poll_event() {
            match event {
                Event::Transmit { bytes, to, .. } => {
                    assert!((20..=63).contains(&bytes[0]));
                    if to.is_some_and(is_strange) {
                        self.to_strangers += bytes.len();
                    } else {
                        self.sent_to = to;
                        sent.push(bytes);
                    }
                }
                Event::Done { keys, .. } => self.keys.push(keys),
                Event::Failed { is_peer: true, .. } => self.failures += 1,
                Event::Failed { is_peer: false, .. } => self.strange_failures += 1,
            }
        }
        sent
    }

    fn take(&mut self, now: Instant, from: SocketAddr, datagrams: &[Vec<u8>]) {
        for bytes in datagrams {
            let source = (from, self.knows_peer);
            self.table.handle_datagram(now, 1, source, bytes);
        }
    }

    fn count(&self, name: &str) -> u64 {
        let mut names = Handshakes::<u8>::COUNTERS.into_iter();
        let index = names.position(|it| it == name).unwrap();
        self.table.counters()[index]
    }
}

/// Has both sides talk for so many seconds. `loses` says of the n-th datagram whether it is lost.
fn talk(sides: [&mut Side; 2], start: Instant, seconds: u64, mut loses: impl FnMut(u32) -> bool) {
    let [a, b] = sides;
    let mut number = 0;
    let mut pass = |datagrams: Vec<Vec<u8>>| {
        let arrives = |_: &Vec<u8>| {
            number += 1;
            !loses(number)
        };
        datagrams.into_iter().filter(arrives).collect::<Vec<_>>()
    };
    for turn in 0..seconds * 50 {
        let now = start + Duration::from_millis(20 * turn);
        let sent = pass(a.turn(now));
        b.take(now, a.address, &sent);
        let sent = pass(b.turn(now));
        a.take(now, b.address, &sent);
    }
}

fn pair() -> (Side, Side) {
    (Side::new(HERE), Side::new(THERE))
}

fn begin_both(active: &mut Side, passive: &mut Side, now: Instant) {
    let (ours, theirs) = (active.fingerprint.clone(), passive.fingerprint.clone());
    active.begin(now, DtlsRole::Active, &theirs);
    passive.begin(now, DtlsRole::Passive, &ours);
}

#[test]
fn both_have_the_same_keys() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    talk([&mut active, &mut passive], now, 2, |_| false);
    let ([ours], [theirs]) = (&active.keys[..], &passive.keys[..]) else {
        panic!("{} {}", active.keys.len(), passive.keys.len());
    };
    assert_eq!(ours.send, theirs.receive);
    assert_eq!(ours.receive, theirs.send);
    assert_ne!(ours.send, ours.receive);
    assert_eq!(ours.send.suite, CryptoSuite::AeadAes256Gcm);
    assert_eq!([&ours.send, &ours.receive].map(Crypto::check), [Ok(()); 2]);
    assert_eq!((active.failures, passive.failures), (0, 0));
    assert_eq!(passive.count("dtls_handshakes"), 0);
}

#[test]
fn what_is_lost_is_sent_again() {
    for lost in [3, 4, 7] {
        let (mut active, mut passive) = pair();
        let now = Instant::now();
        begin_both(&mut active, &mut passive, now);
        // Which ones looks random, and is the same each time.
        let loses = |number: u32| (number.wrapping_mul(2_654_435_761) >> 16).is_multiple_of(lost);
        talk([&mut active, &mut passive], now, 60, loses);
        assert!(!active.keys.is_empty(), "one in {lost}");
        assert!(!passive.keys.is_empty(), "one in {lost}");
        assert_eq!(active.keys[0].send, passive.keys[0].receive);
    }
}

#[test]
fn the_first_answer_may_be_lost() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    talk([&mut active, &mut passive], now, 3, |number| number == 2);
    assert_eq!((active.keys.len(), passive.keys.len()), (1, 1));
}

#[test]
fn what_is_no_answer_to_the_first_hello_ends_nothing() {
    const ALERT: [u8; 15] = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    // One that has overtaken the hello of the server.
    const CERTIFICATE: [u8; 28] = [
        22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 15, 11, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0,
    ];
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    let hello = active.turn(now);
    let others = [
        ALERT.to_vec(),
        CERTIFICATE.to_vec(),
        crate::fuzz::hello(),
        vec![22; 5],
    ];
    for _ in 0..200 {
        active.take(now, passive.address, &others);
    }
    assert_eq!(active.count("dtls_strays"), 800);
    passive.take(now, active.address, &hello);
    talk([&mut active, &mut passive], now, 2, |_| false);
    assert_eq!((active.keys.len(), passive.keys.len()), (1, 1));
    assert_eq!(active.failures, 0);
}

#[test]
fn who_has_another_certificate_gets_no_keys() {
    for is_active_wrong in [true, false] {
        let (mut active, mut passive) = pair();
        let wrong = Side::new(HERE).fingerprint;
        let now = Instant::now();
        begin_both(&mut active, &mut passive, now);
        if is_active_wrong {
            active.begin(now, DtlsRole::Active, &wrong);
        } else {
            passive.begin(now, DtlsRole::Passive, &wrong);
        }
        talk([&mut active, &mut passive], now, 60, |_| false);
        let who = if is_active_wrong { &active } else { &passive };
        assert!(who.keys.is_empty());
        assert!(who.count("dtls_wrong_fingerprint") > 0);
        assert_eq!(who.count("dtls_done"), 0);
    }
}

#[test]
fn a_peer_that_begins_again_gets_new_keys() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    talk([&mut active, &mut passive], now, 2, |_| false);
    let (later, known) = (now + Duration::from_secs(10), passive.fingerprint.clone());
    active.begin(later, DtlsRole::Active, &known);
    talk([&mut active, &mut passive], later, 2, |_| false);
    assert_eq!((active.keys.len(), passive.keys.len()), (2, 2));
    assert_eq!(active.keys[1].send, passive.keys[1].receive);
    assert_ne!(active.keys[0].send, active.keys[1].send);
}

#[test]
fn strangers_do_not_keep_the_peer_out() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    let hello = active.turn(now).remove(0);
    for port in 1..100 {
        let stranger = SocketAddr::new(STRANGER, port);
        let source = (stranger, false);
        passive.table.handle_datagram(now, 1, source, &hello);
    }
    assert!(passive.count("dtls_handshakes") <= TRIALS_MAX as u64);
    assert!(passive.count("dtls_refused") >= 90);
    talk([&mut active, &mut passive], now, 60, |_| false);
    // Nothing is sent again to who has not shown that he hears us.
    assert!(passive.to_strangers < 8 * hello.len() / 4);
    assert_eq!(passive.count("dtls_handshakes"), 0);
    assert_eq!((active.keys.len(), passive.keys.len()), (1, 1));
}

#[test]
fn who_answers_from_elsewhere_is_not_heard_where_we_begin() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    let hello = active.turn(now);
    passive.take(now, active.address, &hello);
    let answer = passive.turn(now);
    let strays = active.count("dtls_strays");
    for bytes in &answer {
        let stranger = (passive.address, false);
        active.table.handle_datagram(now, 1, stranger, bytes);
    }
    assert!(active.turn(now).is_empty());
    assert_eq!(active.count("dtls_strays"), strays + answer.len() as u64);
}

#[test]
fn who_is_where_media_goes_begins_whatever_strangers_do() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    let hello = active.turn(now).remove(0);
    let flood = |passive: &mut Side, now| {
        for port in 1..20 {
            let source = (SocketAddr::new(STRANGER, port), false);
            passive.table.handle_datagram(now, 1, source, &hello);
        }
    };
    for turn in 0..100 {
        let now = now + Duration::from_millis(20 * turn);
        flood(&mut passive, now);
        let sent = active.turn(now);
        passive.take(now, active.address, &sent);
        flood(&mut passive, now);
        let sent = passive.turn(now);
        active.take(now, passive.address, &sent);
    }
    assert_eq!((active.keys.len(), passive.keys.len()), (1, 1));
    assert!(passive.count("dtls_refused") > 0);
}

#[test]
fn who_is_where_media_goes_takes_the_place_of_a_stranger() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    let hello = active.turn(now).remove(0);
    for number in (1..).take(TRIALS_MAX) {
        let source = (stranger(number), false);
        passive.table.handle_datagram(now, 1, source, &hello);
    }
    assert_eq!(passive.count("dtls_handshakes"), TRIALS_MAX as u64);
    assert_eq!(passive.count("dtls_refused"), 0);
    passive.take(now, active.address, &[hello]);
    assert_eq!(passive.count("dtls_refused"), 0);
    assert_eq!(passive.count("dtls_handshakes"), TRIALS_MAX as u64);
    assert!(!passive.turn(now).is_empty(), "the peer is answered");
}

#[test]
fn strangers_who_do_not_hear_us_are_forgotten_soon_and_are_no_failures() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    let hello = active.turn(now).remove(0);
    let source = (SocketAddr::new(STRANGER, 1), false);
    passive.table.handle_datagram(now, 1, source, &hello);
    passive.turn(now);
    assert_eq!(passive.count("dtls_handshakes"), 1);
    passive.turn(now + Duration::from_secs(7));
    assert_eq!(passive.count("dtls_handshakes"), 0);
    assert_eq!(passive.count("dtls_timed_out"), 1);
    assert_eq!(passive.failures, 0);
}

#[test]
fn strangers_begin_so_often_and_no_more_at_all_endpoints_together() {
    let identity = Identity::new().unwrap();
    let dtls = Dtls {
        role: DtlsRole::Passive,
        fingerprint: identity.fingerprints().remove(2),
        association: 0,
    };
    let (mut table, now) = (Handshakes::new(identity, 100), Instant::now());
    let hello = crate::fuzz::hello();
    for endpoint in 0..100 {
        assert!(table.begin(now, endpoint, dtls.clone()));
        for number in 0..4 {
            let source = SocketAddr::from(([10, 0, endpoint, number], 9));
            table.handle_datagram(now, endpoint, (source, false), &hello);
        }
    }
    let [_, handshakes, _, _, refused, ..] = table.counters();
    assert_eq!((handshakes, refused), (256, 144));
}

/// Has the library break at each step of a handshake, on one side, until there are no more steps.
#[test]
fn a_library_that_breaks_ends_one_association_and_no_other() {
    let mut broken = 0;
    for steps in 0.. {
        let (mut active, mut passive) = pair();
        let (other, now) = (Side::new(HERE), Instant::now());
        begin_both(&mut active, &mut passive, now);
        let dtls = Dtls {
            role: DtlsRole::Passive,
            fingerprint: other.fingerprint.clone(),
            association: 0,
        };
        assert!(passive.table.begin(now, 2, dtls));
        guard::trap::set(steps);
        talk([&mut active, &mut passive], now, 4, |_| false);
        let has_broken = !guard::trap::is_set();
        // What broke is given up, whatever the other side still sends.
        talk(
            [&mut active, &mut passive],
            now + Duration::from_secs(4),
            60,
            |_| false,
        );
        let panics = active.count("dtls_panics") + passive.count("dtls_panics");
        assert_eq!(panics, u64::from(has_broken), "at step {steps}");
        assert_eq!(passive.table.endpoints(), 2);
        if !has_broken {
            break;
        }
        broken += 1;
        // The next association is as good as any.
        let later = now + Duration::from_secs(64);
        let before = [active.keys.len(), passive.keys.len()];
        begin_both(&mut active, &mut passive, later);
        talk([&mut active, &mut passive], later, 4, |_| false);
        let after = [active.keys.len(), passive.keys.len()];
        assert_eq!(after, before.map(|it| it + 1), "at step {steps}");
    }
    assert!(broken > 20, "{broken}");
}

#[test]
fn a_library_that_breaks_when_it_is_dropped_is_survived() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    let hello = active.turn(now).remove(0);
    passive.take(now, active.address, &[hello]);
    guard::trap::set(0);
    passive.table.end(now, 1);
    assert!(!guard::trap::is_set());
    assert_eq!(passive.count("dtls_panics"), 1);
}

#[test]
fn nobody_is_asked_often_and_who_is_there_late_is_heard() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    let mut sent = 0;
    for second in 0..3_600 {
        sent += active.turn(now + Duration::from_secs(second)).len();
    }
    assert!(active.failures > 5 && sent < 600, "{sent}");
    let later = now + Duration::from_secs(3_600);
    talk([&mut active, &mut passive], later, 61, |_| false);
    assert_eq!((active.keys.len(), passive.keys.len()), (1, 1));
    active.table.end(later, 1);
    assert_eq!(active.table.poll_timeout(), None);
}

#[test]
fn a_table_that_is_full_takes_no_more_and_what_ends_makes_room() {
    let mut side = Side::new(HERE);
    let now = Instant::now();
    let dtls = Dtls {
        role: DtlsRole::Passive,
        fingerprint: side.fingerprint.clone(),
        association: 0,
    };
    let taken: Vec<bool> = (0..7)
        .map(|it| side.table.begin(now, it, dtls.clone()))
        .collect();
    assert_eq!(taken, [true, true, true, true, false, false, false]);
    // The first that waits is gone, and the next is begun.
    side.table.end(now, 4);
    side.table.end(now, 2);
    assert_eq!(side.table.endpoints(), 4);
    let hello = crate::fuzz::hello();
    let source = (THERE.parse().unwrap(), true);
    for (endpoint, handshakes) in [(4, 0), (6, 0), (2, 0), (5, 1)] {
        side.table.handle_datagram(now, endpoint, source, &hello);
        assert_eq!(side.count("dtls_handshakes"), handshakes, "{endpoint}");
    }
    for endpoint in 0..7 {
        side.table.end(now, endpoint);
    }
    assert_eq!(side.table.endpoints(), 0);
    assert!(side.table.begin(now, 5, dtls));
}
