//! Who begins, how often, and what becomes of him.

use super::*;
use crate::hello::Hello;

/// The same hello in so many parts, each a datagram.
fn split(hello: &[u8], parts: usize) -> Vec<Vec<u8>> {
    let (record, message) = hello.split_at(13);
    let (header, body) = message.split_at(12);
    let part = |(index, bytes): (usize, &[u8])| {
        let number = |it: usize| u32::try_from(it).unwrap().to_be_bytes();
        let offset = number(index * body.len().div_ceil(parts));
        let [len, message_len] = [bytes.len(), bytes.len() + 12].map(number);
        let sequence = [u8::try_from(index + 1).unwrap()];
        [&record[..10], &sequence, &message_len[2..]]
            .into_iter()
            .chain([&header[..6], &offset[1..], &len[1..], bytes])
            .flatten()
            .copied()
            .collect()
    };
    let chunks = body.chunks(body.len().div_ceil(parts));
    chunks.enumerate().map(part).collect()
}

#[test]
fn a_hello_that_is_repeated_gets_the_same_answer() {
    for parts in [1, 2, 3] {
        let (mut active, mut passive) = pair();
        let now = Instant::now();
        begin_both(&mut active, &mut passive, now);
        let hello = split(&active.turn(now)[0], parts);
        let mut answers = Vec::new();
        for ms in [0, 60, 150, 160] {
            let now = now + Duration::from_millis(ms);
            passive.take(now, active.address, &hello);
            answers.push(passive.turn(now));
        }
        assert_eq!(answers[0].len(), 1, "in {parts} parts");
        assert_eq!(answers[0], answers[1], "in {parts} parts");
        assert_eq!(answers[0], answers[2], "in {parts} parts");
        assert!(answers[3].is_empty(), "so soon");
        assert_eq!(passive.count("dtls_handshakes"), 1);
        let now = now + Duration::from_millis(200);
        active.take(now, passive.address, &answers[0]);
        talk([&mut active, &mut passive], now, 2, |_| false);
        let keys = (active.keys.len(), passive.keys.len());
        assert_eq!(keys, (1, 1), "in {parts} parts");
    }
}

#[test]
fn who_begins_anew_before_he_was_heard_is_heard_at_once() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    let hello = active.turn(now);
    passive.take(now, active.address, &hello);
    let answer = passive.turn(now);
    let known = passive.fingerprint.clone();
    active.begin(now, DtlsRole::Active, &known);
    let anew = active.turn(now);
    assert_ne!(Hello::of(&anew[0]), Hello::of(&hello[0]));
    passive.take(now, active.address, &anew);
    assert_ne!(passive.turn(now), answer);
    let now = now + Duration::from_secs(1);
    talk([&mut active, &mut passive], now, 2, |_| false);
    assert_eq!((active.keys.len(), passive.keys.len()), (1, 1));
}

#[test]
fn who_has_not_shown_that_he_hears_us_is_sent_no_more_than_he_sent() {
    let (mut active, mut passive) = pair();
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    let hello = active.turn(now).remove(0);
    let source = (stranger(1), false);
    passive.table.handle_datagram(now, 1, source, &hello);
    passive.turn(now);
    let answer = passive.to_strangers;
    assert!((1..=hello.len()).contains(&answer), "{answer}");
    let mut cookie = hello[..60].to_vec();
    cookie[18] = 1;
    let mut came = hello.len();
    for second in 1..6 {
        let now = now + Duration::from_secs(second);
        for bytes in [&[22; 14][..], &[23; 14], &cookie] {
            passive.table.handle_datagram(now, 1, source, bytes);
            came += bytes.len();
            passive.turn(now);
            assert!(passive.to_strangers <= came);
        }
    }
    assert_eq!(passive.count("dtls_strays"), 10);
}

/// Somebody who goes so far that he is believed to hear us, and no further.
fn prove(passive: &mut Side, now: Instant, source: SocketAddr, knows_it: bool) {
    let mut active = Side::new(HERE);
    let known = passive.fingerprint.clone();
    active.begin(now, DtlsRole::Active, &known);
    for _ in 0..2 {
        for bytes in active.turn(now) {
            let from = (source, knows_it);
            passive.table.handle_datagram(now, 1, from, &bytes);
        }
        while let Some(event) = passive.table.poll_event() {
            if let Event::Transmit { bytes, .. } = event {
                active.take(now, passive.address, &[bytes]);
            }
        }
    }
}

#[test]
fn a_peer_whom_nobody_knows_yet_gets_through_among_strangers_who_stay() {
    let (mut active, mut passive) = pair();
    passive.knows_peer = false;
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    for number in (1..).take(TRIALS_MAX) {
        prove(&mut passive, now, stranger(number), false);
    }
    assert_eq!(passive.count("dtls_handshakes"), TRIALS_MAX as u64);
    talk([&mut active, &mut passive], now, 15, |_| false);
    assert_eq!((active.keys.len(), passive.keys.len()), (1, 1));
}

#[test]
fn one_stranger_has_one_place_however_many_ports_he_has() {
    let (mut active, mut passive) = pair();
    passive.knows_peer = false;
    let now = Instant::now();
    begin_both(&mut active, &mut passive, now);
    for port in 1..=8 {
        let source = SocketAddr::new(STRANGER, port);
        prove(&mut passive, now, source, false);
    }
    assert_eq!(passive.count("dtls_handshakes"), 1);
    talk([&mut active, &mut passive], now, 2, |_| false);
    assert_eq!((active.keys.len(), passive.keys.len()), (1, 1));
}

#[test]
fn one_stranger_uses_up_his_share_and_not_that_of_others() {
    let identity = Identity::new().unwrap();
    let dtls = Dtls {
        role: DtlsRole::Passive,
        fingerprint: identity.fingerprints().remove(2),
        association: 0,
    };
    let (mut table, now) = (Handshakes::new(identity, 200), Instant::now());
    let hello = crate::fuzz::hello();
    for endpoint in 0..200 {
        assert!(table.begin(now, endpoint, dtls.clone()));
        for port in 1..=2 {
            let source = SocketAddr::new(STRANGER, port);
            table.handle_datagram(now, endpoint, (source, false), &hello);
        }
    }
    let before = table.counters();
    assert!(before[4] > 300, "{before:?}");
    for number in 2..102 {
        let source = (stranger(number), false);
        table.handle_datagram(now, number, source, &hello);
    }
    // Few have the same share.
    let after = table.counters();
    assert!(after[4] - before[4] < 50, "{after:?}");
}

#[test]
fn a_peer_that_goes_elsewhere_in_the_middle_is_followed() {
    const ELSEWHERE: &str = "192.0.2.1:4001";
    for after in [1, 2] {
        let (mut active, mut passive) = pair();
        let now = Instant::now();
        begin_both(&mut active, &mut passive, now);
        for _ in 0..after {
            let sent = active.turn(now);
            passive.take(now, active.address, &sent);
            let sent = passive.turn(now);
            active.take(now, passive.address, &sent);
        }
        assert!(passive.keys.is_empty());
        active.address = ELSEWHERE.parse().unwrap();
        talk([&mut active, &mut passive], now, 2, |_| false);
        assert_eq!((active.keys.len(), passive.keys.len()), (1, 1));
        assert_eq!(passive.sent_to, Some(active.address));
        assert_eq!(passive.count("dtls_strays"), 0);
    }
}

#[test]
fn failures_of_strangers_are_none_of_the_peer() {
    let (mut wrong, mut passive) = pair();
    passive.knows_peer = false;
    let now = Instant::now();
    let known = passive.fingerprint.clone();
    wrong.begin(now, DtlsRole::Active, &known);
    passive.begin(now, DtlsRole::Passive, &Side::new(HERE).fingerprint);
    talk([&mut wrong, &mut passive], now, 2, |_| false);
    assert!(passive.strange_failures > 0);
    assert_eq!(passive.failures, 0);
    passive.knows_peer = true;
    let now = now + Duration::from_secs(10);
    wrong.begin(now, DtlsRole::Active, &known);
    talk([&mut wrong, &mut passive], now, 2, |_| false);
    assert!(passive.failures > 0);
}
