//! Endpoints that agree on keys with their peer.

use relay_wire::{Crypto, CryptoSuite, Dtls, DtlsRole, Fingerprint, FingerprintHash, Secret};

use super::*;
use crate::{Shaken, Shaking};

const SUITE: CryptoSuite = CryptoSuite::AesCm128HmacSha1_80;

fn keys(seed: u8) -> Crypto {
    Crypto::new(SUITE, Secret::new(vec![seed; SUITE.key_and_salt_len()]))
}

fn dtls(association: u32) -> Dtls {
    let digest = vec![7; FingerprintHash::Sha256.digest_len()];
    Dtls {
        role: DtlsRole::Passive,
        fingerprint: Fingerprint::new(FingerprintHash::Sha256, digest).unwrap(),
        association,
    }
}

fn set(dtls: Option<Dtls>) -> Command {
    Command::SetDtls {
        call: CallKey(1),
        port: port(30_002),
        dtls,
    }
}

/// The first bytes of a handshake.
const HELLO: [u8; 14] = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];

/// A call in which Bob, at the second socket, shakes hands; and by which name.
fn shaking() -> (Bench, u32) {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Immediate);
    bench.done(set(Some(dtls(1))));
    let generation = begun(&mut bench);
    (bench, generation)
}

fn begun(bench: &mut Bench) -> u32 {
    match bench.relay.poll_shaking() {
        Some(Shaking::Begin { generation, .. }) => generation,
        other => panic!("{other:?}"),
    }
}

fn drops(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Drop(_))
}

#[test]
fn nothing_passes_before_there_are_keys() {
    let (mut bench, generation) = shaking();
    assert!(drops(bench.packet(1, BOB, RTP)));
    let from_alice = bench.packet(0, ALICE, RTP);
    let Verdict::Seal(sealing) = from_alice else {
        panic!("{from_alice:?}");
    };
    let mut buffer = [0; 400];
    buffer[..RTP.len()].copy_from_slice(RTP);
    assert!(drops(bench.relay.seal(sealing, &mut buffer)));
    assert_eq!(buffer[..RTP.len()], *RTP);
    let socket = SocketId::new(1);
    // Those of a handshake that nobody knows are none.
    bench
        .relay
        .handle_shaken(socket, generation + 1, keys(1), keys(2));
    assert!(drops(bench.packet(1, BOB, RTP)));
    assert_eq!(bench.counter("dtls_keyed"), 0);
    bench
        .relay
        .handle_shaken(socket, generation, keys(1), keys(2));
    assert_eq!(bench.counter("dtls_keyed"), 1);
    let Verdict::Seal(sealing) = bench.packet(0, ALICE, RTP) else {
        panic!("it is to be sealed");
    };
    buffer[..RTP.len()].copy_from_slice(RTP);
    let sealed = bench.relay.seal(sealing, &mut buffer);
    assert!(matches!(sealed, Verdict::ForwardPart { .. }), "{sealed:?}");
}

#[test]
fn datagrams_of_handshakes_are_handed_out_where_there_are_some() {
    let (mut bench, generation) = shaking();
    let shaken = |is_peer| {
        Verdict::Shake(Shaken {
            socket: SocketId::new(1),
            generation,
            is_peer,
        })
    };
    assert_eq!(bench.packet(1, BOB, &HELLO), shaken(true));
    assert_eq!(bench.packet(1, "198.51.100.9:9", &HELLO), shaken(false));
    assert_ne!(bench.packet(0, ALICE, &HELLO), shaken(true));
    assert_eq!(bench.counter("dtls_taken"), 2);
    let taken = (0..1_000).filter(|_| bench.packet(1, BOB, &HELLO) == shaken(true));
    assert!(
        taken.count() < 100,
        "nobody may ask for more than a handshake takes"
    );
}

#[test]
fn strangers_do_not_take_what_the_peer_may_send() {
    let (mut bench, _) = shaking();
    let shakes = |it: &Verdict| matches!(it, Verdict::Shake(_));
    let mut taken = 0;
    for port in 1..1_000 {
        let verdict = bench.packet(1, &format!("198.51.100.9:{port}"), &HELLO);
        taken += u64::from(shakes(&verdict));
    }
    assert!((1..100).contains(&taken), "{taken}");
    assert_eq!(bench.counter("dtls_paced"), 999 - taken);
    assert_eq!(bench.counter("dropped_unchecked"), 999 - taken);
    assert_eq!(bench.counter("dropped_loop"), 0);
    assert!(shakes(&bench.packet(1, BOB, &HELLO)));
    // Nor what other strangers may, one of whom may be the peer: few have the same share.
    let others = (1..=100).filter(|it| {
        let verdict = bench.packet(1, &format!("203.0.113.{it}:9"), &HELLO);
        shakes(&verdict)
    });
    assert!(others.count() > 50);
}

#[test]
fn that_a_handshake_has_failed_is_said_once() {
    let (mut bench, generation) = shaking();
    let socket = SocketId::new(1);
    let mut unshaken = |generation, is_peer| {
        let of = bench.relay.handle_unshaken(socket, generation, is_peer);
        of.map(|(_, port)| port)
    };
    assert_eq!(unshaken(generation + 1, true), None);
    // What strangers do does not hide what the peer does.
    assert_eq!(unshaken(generation, false), Some(port(30_002)));
    assert_eq!(unshaken(generation, true), Some(port(30_002)));
    for is_peer in [false, true] {
        assert_eq!(unshaken(generation, is_peer), None);
    }
}

#[test]
fn what_we_begin_is_begun_when_there_is_a_way_to_the_peer() {
    let mut bench = ice::bench();
    let mut active = dtls(1);
    active.role = DtlsRole::Active;
    let set = |dtls| Command::SetDtls {
        call: CallKey(1),
        port: port(30_000),
        dtls,
    };
    bench.done(ice::set(Some(ice::ice("relay", false))));
    bench.done(set(Some(active.clone())));
    assert_eq!(bench.relay.poll_shaking(), None);
    // What was never begun need not end.
    bench.done(set(None));
    assert_eq!(bench.relay.poll_shaking(), None);
    bench.done(set(Some(active.clone())));
    // Without ICE it is where signalling says.
    bench.done(ice::set(None));
    begun(&mut bench);
    bench.done(ice::set(Some(ice::ice("relay", false))));
    active.association = 2;
    bench.done(set(Some(active)));
    assert!(matches!(
        bench.relay.poll_shaking(),
        Some(Shaking::End { .. })
    ));
    assert_eq!(bench.relay.poll_shaking(), None);
    let (own, relay) = ([ice::ALICE_V6], [ice::RELAY_V6]);
    let mut alice = ice::alice("relay", relay_ice::Role::Controlling, &own, &relay);
    bench.talk(&mut alice, 2_000);
    let generation = begun(&mut bench);
    let way = bench
        .relay
        .handle_shaking(SocketId::new(0), generation, None);
    assert_eq!(way.map(Verdict::Forward), Some(forward(2, ice::ALICE_V6)));
    assert_eq!(bench.relay.poll_shaking(), None, "once");
}

#[test]
fn without_ice_it_is_begun_when_signalling_has_said_where_the_peer_is() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Immediate);
    let place = |remote| Command::SetRemote {
        call: CallKey(1),
        port: port(30_002),
        remote,
        learning: Learning::Off,
    };
    bench.done(place(None));
    let mut active = dtls(1);
    active.role = DtlsRole::Active;
    bench.done(set(Some(active)));
    assert_eq!(bench.relay.poll_shaking(), None);
    for _ in 0..2 {
        bench.done(place(Some(address(BOB))));
    }
    begun(&mut bench);
    assert_eq!(bench.relay.poll_shaking(), None, "once");
}

/// Alice, at the first socket or the third, speaks ICE and shakes hands. Bob does neither.
fn set_alice() -> Command {
    Command::SetDtls {
        call: CallKey(1),
        port: port(30_000),
        dtls: Some(dtls(1)),
    }
}

/// Bob's packet is sealed, and leaves from the third socket.
fn seals_for_alice(bench: &mut Bench) -> bool {
    let Verdict::Seal(sealing) = bench.packet(1, BOB, RTP) else {
        panic!("it is to be sealed");
    };
    let mut buffer = [0; 400];
    buffer[..RTP.len()].copy_from_slice(RTP);
    match bench.relay.seal(sealing, &mut buffer) {
        Verdict::ForwardPart { egress, .. } => {
            assert_eq!(Verdict::Forward(egress), forward(2, ice::ALICE_V6));
            true
        }
        verdict => {
            assert!(drops(verdict));
            false
        }
    }
}

/// Whether what Alice seals is heard by Bob.
fn opens_from_alice(bench: &mut Bench) -> bool {
    let mut sealed = [0; 400];
    sealed[..RTP.len()].copy_from_slice(RTP);
    let mut sender = relay_srtp::Sender::new(&keys(1)).unwrap();
    let len = sender.protect_rtp(&mut sealed, RTP.len()).unwrap();
    match bench.packet(2, ice::ALICE_V6, &sealed[..len]) {
        Verdict::ForwardPart { egress, .. } => {
            assert_eq!(Verdict::Forward(egress), forward(1, BOB));
            true
        }
        verdict => {
            assert!(drops(verdict));
            false
        }
    }
}

#[test]
fn hands_are_shaken_where_ice_has_decided_to_and_the_keys_are_for_there() {
    let mut bench = ice::bench();
    bench.done(ice::set(Some(ice::ice("relay", false))));
    bench.done(set_alice());
    let generation = begun(&mut bench);
    let unchecked = Verdict::Drop(DropReason::Unchecked);
    assert_eq!(bench.packet(0, ALICE, &HELLO), unchecked);
    let (own, relay) = ([ice::ALICE_V6], [ice::RELAY_V6]);
    let mut alice = ice::alice("relay", relay_ice::Role::Controlling, &own, &relay);
    bench.talk(&mut alice, 2_000);
    let shaken = Verdict::Shake(Shaken {
        socket: SocketId::new(0),
        generation,
        is_peer: true,
    });
    assert_eq!(bench.packet(2, ice::ALICE_V6, &HELLO), shaken);
    assert_eq!(bench.packet(2, STRANGER, &HELLO), unchecked);
    let socket = SocketId::new(0);
    for to in [None, Some(address(ice::ALICE_V6))] {
        let egress = bench.relay.handle_shaking(socket, generation, to);
        assert_eq!(
            egress.map(Verdict::Forward),
            Some(forward(2, ice::ALICE_V6))
        );
    }
    assert!(!seals_for_alice(&mut bench) && !opens_from_alice(&mut bench));
    bench
        .relay
        .handle_shaken(socket, generation, keys(1), keys(2));
    assert!(seals_for_alice(&mut bench) && opens_from_alice(&mut bench));
}

#[test]
fn where_ice_comes_later_its_endpoints_have_the_keys_too() {
    for is_late in [false, true] {
        let mut bench = ice::bench();
        bench.done(set_alice());
        let generation = begun(&mut bench);
        let shake = |bench: &mut Bench| {
            let socket = SocketId::new(0);
            bench
                .relay
                .handle_shaken(socket, generation, keys(1), keys(2));
        };
        if !is_late {
            shake(&mut bench);
        }
        bench.done(ice::set(Some(ice::ice("relay", false))));
        let (own, relay) = ([ice::ALICE_V6], [ice::RELAY_V6]);
        let mut alice = ice::alice("relay", relay_ice::Role::Controlling, &own, &relay);
        bench.talk(&mut alice, 2_000);
        if is_late {
            assert!(!seals_for_alice(&mut bench) && !opens_from_alice(&mut bench));
            shake(&mut bench);
        }
        assert!(seals_for_alice(&mut bench) && opens_from_alice(&mut bench));
    }
}

#[test]
fn what_is_sent_of_a_handshake_goes_where_media_does_or_to_who_asked() {
    let (mut bench, generation) = shaking();
    let mut to = |socket, generation, to| {
        let socket = SocketId::new(socket);
        let egress = bench.relay.handle_shaking(socket, generation, to);
        egress.map(|it| it.destination)
    };
    assert_eq!(to(1, generation, None), Some(address(BOB)));
    let stranger = address("198.51.100.9:9");
    assert_eq!(to(1, generation, Some(stranger)), Some(stranger));
    assert_eq!(to(1, generation, Some(address("[2001:db8::1]:9"))), None);
    assert_eq!(to(1, generation + 1, None), None);
    assert_eq!(to(0, generation, None), None);
}

#[test]
fn the_same_again_begins_nothing_and_another_association_does() {
    let (mut bench, generation) = shaking();
    let socket = SocketId::new(1);
    bench
        .relay
        .handle_shaken(socket, generation, keys(1), keys(2));
    bench.done(set(Some(dtls(1))));
    assert_eq!(bench.relay.poll_shaking(), None);
    bench.done(set(Some(dtls(2))));
    let end = Shaking::End { socket, generation };
    assert_eq!(bench.relay.poll_shaking(), Some(end));
    assert_ne!(begun(&mut bench), generation);
    // Keys of the one before hold until there are others.
    let verdict = bench.packet(0, ALICE, RTP);
    assert!(matches!(verdict, Verdict::Seal(_)), "{verdict:?}");
    bench.done(set(None));
    assert!(matches!(
        bench.relay.poll_shaking(),
        Some(Shaking::End { .. })
    ));
    let verdict = bench.packet(0, ALICE, RTP);
    assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
}

#[test]
fn a_call_that_ends_ends_its_handshakes() {
    let (mut bench, generation) = shaking();
    bench.done(set(Some(dtls(2))));
    bench
        .apply(Command::RemoveCall { call: CallKey(1) })
        .unwrap();
    let end = Shaking::End {
        socket: SocketId::new(1),
        generation,
    };
    assert_eq!(bench.relay.poll_shaking(), Some(end));
    // What was never begun need not end.
    assert_eq!(bench.relay.poll_shaking(), None);
}

#[test]
fn a_fingerprint_of_another_length_is_refused() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Immediate);
    let mut bytes = Vec::new();
    relay_wire::encode(&set(Some(dtls(1))), &mut bytes);
    let at = bytes.iter().position(|it| *it == 32).unwrap();
    bytes[at] = 31;
    bytes.remove(at + 1);
    let short: Command = relay_wire::decode(&bytes).unwrap();
    bench.refused(short, Refusal::WrongKey);
}
