//! Packets that are protected on the way to a peer and back.

use relay_rtp::Kind;
use relay_srtp::{Receiver, Sender};
use relay_wire::{Crypto, CryptoSuite, EndpointCrypto, OnRtcp, Secret, Sink, Transcoding};

use super::*;
use crate::crypto::first_rtcp;
use crate::{Copy, GROWTH_MAX, KernelCounts, KernelFlow, KernelSlot, KernelTable};

mod replaced;

const SUITE: CryptoSuite = CryptoSuite::AesCm128HmacSha1_80;

fn keys(seed: u8) -> Crypto {
    Crypto::new(SUITE, Secret::new(vec![seed; SUITE.key_and_salt_len()]))
}

fn set(number: u16, receive: Option<u8>, send: Option<u8>) -> Command {
    set_all([(number, receive.map(keys), send.map(keys))])
}

fn set_all<const N: usize>(endpoints: [(u16, Option<Crypto>, Option<Crypto>); N]) -> Command {
    let endpoints = endpoints.map(|(number, receive, send)| EndpointCrypto {
        port: port(number),
        receive,
        send,
    });
    Command::SetCrypto {
        call: CallKey(1),
        endpoints: endpoints.into(),
    }
}

fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = RTP.to_vec();
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet
}

/// As a peer with these keys sends it.
fn sealed(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    bytes.resize(packet.len() + GROWTH_MAX, 0);
    let len = match Kind::of(packet) {
        Kind::Rtcp => sender.protect_rtcp(&mut bytes, packet.len()),
        _ => sender.protect_rtp(&mut bytes, packet.len()),
    };
    bytes.truncate(len.unwrap());
    bytes
}

/// As a peer with these keys reads it.
fn opened(receiver: &mut Receiver, packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let len = match Kind::of(packet) {
        Kind::Rtcp => receiver.unprotect_rtcp(&mut bytes),
        _ => receiver.unprotect_rtp(&mut bytes),
    };
    bytes.truncate(len.unwrap());
    bytes
}

impl Bench {
    /// A call in which Bob has keys: what he sends is sealed with 1, what he gets with 2.
    fn call_with_keys(learning: Learning) -> (Self, Sender, Receiver) {
        let mut bench = Self::new();
        bench.call_between_alice_and_bob(learning);
        bench.done(set(30_002, Some(1), Some(2)));
        let peer = Sender::new(&keys(1)).unwrap();
        (bench, peer, Receiver::new(&keys(2)).unwrap())
    }

    /// A packet arrives; says what leaves, and where.
    fn through(
        &mut self,
        socket: u32,
        source: &str,
        packet: &[u8],
    ) -> Result<(Egress, Vec<u8>), Verdict> {
        let ingress = Ingress {
            socket: SocketId::new(socket),
            source: address(source),
        };
        let mut bytes = packet.to_vec();
        let verdict = self.relay.handle_packet(self.now, ingress, &mut bytes);
        self.leaves(verdict, bytes)
    }

    /// Does what a driver does with a verdict.
    fn leaves(
        &mut self,
        verdict: Verdict,
        mut bytes: Vec<u8>,
    ) -> Result<(Egress, Vec<u8>), Verdict> {
        match verdict {
            Verdict::Forward(egress) => Ok((egress, bytes)),
            Verdict::ForwardPart { egress, len } => {
                bytes.truncate(len.into());
                Ok((egress, bytes))
            }
            Verdict::Seal(sealing) => {
                bytes.truncate(sealing.len());
                bytes.resize(sealing.len() + GROWTH_MAX, 0);
                let verdict = self.relay.seal(sealing, &mut bytes);
                self.leaves(verdict, bytes)
            }
            other => Err(other),
        }
    }
}

#[test]
fn what_arrives_is_opened_and_what_leaves_is_sealed() {
    let (mut bench, mut peer, mut ear) = Bench::call_with_keys(Learning::Off);
    for sequence in 1..5 {
        let packet = rtp(sequence);
        let (egress, bytes) = bench.through(0, ALICE, &packet).unwrap();
        assert_eq!(Verdict::Forward(egress), forward(1, BOB));
        assert_eq!(bytes.len(), packet.len() + 10);
        assert_eq!(opened(&mut ear, &bytes), packet);

        let bytes = sealed(&mut peer, &packet);
        let (egress, bytes) = bench.through(1, BOB, &bytes).unwrap();
        assert_eq!(Verdict::Forward(egress), forward(0, ALICE));
        assert_eq!(bytes, packet);
    }
    let (_, bytes) = bench.through(0, ALICE, RTCP).unwrap();
    assert_eq!(opened(&mut ear, &bytes), RTCP);
    let bytes = sealed(&mut peer, RTCP);
    assert_eq!(bench.through(1, BOB, &bytes).unwrap().1, RTCP);

    let stats = bench.stats();
    assert_eq!(stats.endpoints[1].packets_out, 5);
    let sent = 4 * (RTP.len() + 10) + RTCP.len() + 14;
    assert_eq!(stats.endpoints[1].bytes_out, sent as u64);
    assert_eq!(stats.endpoints[1].rtp_packets_in, 4);
    let arrived = 4 * (RTP.len() + 10);
    assert_eq!(stats.endpoints[1].rtp_bytes_in, arrived as u64);
    assert_eq!(bench.counter("packets_opened"), 5);
    assert_eq!(bench.counter("packets_sealed"), 5);
}

#[test]
fn both_sides_may_have_keys_of_their_own() {
    let (mut bench, mut bob, mut ear) = Bench::call_with_keys(Learning::Off);
    bench.done(set(30_000, Some(3), Some(4)));
    let mut alice = Sender::new(&keys(3)).unwrap();
    let bytes = sealed(&mut alice, &rtp(1));
    let (_, bytes) = bench.through(0, ALICE, &bytes).unwrap();
    assert_eq!(opened(&mut ear, &bytes), rtp(1));
    let bytes = sealed(&mut bob, &rtp(1));
    let (_, bytes) = bench.through(1, BOB, &bytes).unwrap();
    assert_eq!(
        opened(&mut Receiver::new(&keys(4)).unwrap(), &bytes),
        rtp(1)
    );
}

/// Forged, clear, replayed, cut short, and no media at all.
#[test]
fn what_the_peer_has_not_sealed_goes_no_further() {
    let (mut bench, mut peer, _) = Bench::call_with_keys(Learning::Off);
    let forged = Err(Verdict::Drop(DropReason::Unauthentic));
    let good = sealed(&mut peer, &rtp(7));
    let mut changed = good.clone();
    changed[13] ^= 1;
    for packet in [
        &changed[..],
        &good[..good.len() - 1],
        &good[..14],
        RTP,
        RTCP,
        T38,
        &[],
    ] {
        assert_eq!(bench.through(1, BOB, packet), forged);
    }
    let stranger = sealed(&mut Sender::new(&keys(9)).unwrap(), &rtp(7));
    assert_eq!(bench.through(1, BOB, &stranger), forged);
    assert_eq!(bench.through(1, BOB, &good).unwrap().1, rtp(7));
    let replayed = Err(Verdict::Drop(DropReason::Replayed));
    assert_eq!(bench.through(1, BOB, &good), replayed);
    assert_eq!(bench.counter("dropped_unauthentic"), 8);
    assert_eq!(bench.counter("dropped_replayed"), 1);
    assert_eq!(bench.stats().endpoints[1].dropped, 9);
    assert_eq!(bench.stats().endpoints[1].rtp_packets_in, 1);
}

/// Who has no keys moves nothing: not the peer's address, not what is counted of its stream.
#[test]
fn an_address_is_learnt_from_what_is_authentic_alone() {
    let (mut bench, mut peer, _) = Bench::call_with_keys(Learning::Immediate);
    for sequence in 0..20 {
        let forged = bench.through(1, STRANGER, &rtp(sequence));
        assert_eq!(forged, Err(Verdict::Drop(DropReason::Unauthentic)));
    }
    assert!(!bench.stats().endpoints[1].learnt);
    assert_eq!(bench.stats().endpoints[1].sources, []);
    let elsewhere = "198.51.100.7:7000";
    let bytes = sealed(&mut peer, &rtp(1));
    assert!(bench.through(1, elsewhere, &bytes).is_ok());
    assert_eq!(bench.stats().endpoints[1].remote, Some(address(elsewhere)));
}

/// Without tags there is nothing to go by but the address that was learnt.
#[test]
fn without_tags_a_stranger_moves_no_number_of_a_peer_that_is_known() {
    let (mut bench, ..) = Bench::call_with_keys(Learning::Immediate);
    let mut untagged = keys(1);
    untagged.rtp_is_unauthenticated = true;
    bench.done(set_all([(30_002, Some(untagged.clone()), None)]));
    let mut peer = Sender::new(&untagged).unwrap();
    let first = sealed(&mut peer, &rtp(30_000));
    assert_eq!(bench.through(1, BOB, &first).unwrap().1, rtp(30_000));
    for sequence in [60_000, 20_000, 50_000, 10_000] {
        let strange = bench.through(1, STRANGER, &rtp(sequence));
        assert_eq!(strange, Err(Verdict::Drop(DropReason::SourceMismatch)));
    }
    let next = sealed(&mut peer, &rtp(30_001));
    assert_eq!(bench.through(1, BOB, &next).unwrap().1, rtp(30_001));
}

#[test]
fn what_is_no_media_does_not_leave_where_there_are_keys() {
    let (mut bench, ..) = Bench::call_with_keys(Learning::Off);
    let unsealed = Err(Verdict::Drop(DropReason::Unsealed));
    assert_eq!(bench.through(0, ALICE, T38), unsealed);
    assert!(bench.through(0, ALICE, &rtp(1)).is_ok());
    // The same number with other content would let others read both.
    let mut other = rtp(1);
    other[13] ^= 1;
    let repeated = Err(Verdict::Drop(DropReason::Replayed));
    assert_eq!(bench.through(0, ALICE, &other), repeated);
    assert_eq!(bench.stats().endpoints[1].dropped, 2);
}

#[test]
fn keys_that_do_not_fit_are_refused_and_change_nothing() {
    let (mut bench, _, mut ear) = Bench::call_with_keys(Learning::Off);
    let mut short = keys(5);
    short.key_and_salt = Secret::new(vec![5; 29]);
    let good = (30_000, Some(keys(3)), Some(keys(4)));
    let command = set_all([good.clone(), (30_002, None, Some(short))]);
    bench.refused(command, Refusal::WrongKey);
    let command = set_all([good, (30_004, None, None)]);
    bench.refused(command, Refusal::UnknownPort);
    let many = [(); ENDPOINTS_PER_CALL_MAX + 1];
    let command = set_all(many.map(|()| (30_000, None, None)));
    bench.refused(command, Refusal::TooLong);
    let (_, bytes) = bench.through(0, ALICE, RTP).unwrap();
    assert_eq!(opened(&mut ear, &bytes), RTP);
    let forged = bench.through(1, BOB, RTP);
    assert_eq!(forged, Err(Verdict::Drop(DropReason::Unauthentic)));
    bench.refused(set(30_004, None, None), Refusal::UnknownPort);
}

#[test]
fn the_same_keys_again_change_nothing_even_if_there_were_none_between() {
    let (mut bench, mut peer, mut ear) = Bench::call_with_keys(Learning::Off);
    let first = sealed(&mut peer, &rtp(65_535));
    bench.through(1, BOB, &first).unwrap();
    for sequence in [65_535, 0] {
        let (_, bytes) = bench.through(0, ALICE, &rtp(sequence)).unwrap();
        assert_eq!(opened(&mut ear, &bytes), rtp(sequence));
    }
    for is_between in [false, true] {
        if is_between {
            bench.done(set(30_002, None, None));
            assert_eq!(bench.through(0, ALICE, RTP).unwrap().1, RTP);
        }
        bench.done(set(30_002, Some(1), Some(2)));
        let replayed = Err(Verdict::Drop(DropReason::Replayed));
        assert_eq!(bench.through(1, BOB, &first), replayed);
        let sequence = 1 + u16::from(is_between);
        let (_, bytes) = bench.through(0, ALICE, &rtp(sequence)).unwrap();
        assert_eq!(opened(&mut ear, &bytes), rtp(sequence), "rolled over once");
    }
}

#[test]
fn new_keys_take_the_place_of_old_ones_in_one_direction() {
    let (mut bench, mut peer, _) = Bench::call_with_keys(Learning::Off);
    bench.done(set(30_002, Some(1), Some(6)));
    let (_, bytes) = bench.through(0, ALICE, RTP).unwrap();
    assert_eq!(opened(&mut Receiver::new(&keys(6)).unwrap(), &bytes), RTP);
    let bytes = sealed(&mut peer, &rtp(1));
    assert!(bench.through(1, BOB, &bytes).is_ok());
    bench.done(set(30_002, None, None));
    assert_eq!(bench.through(1, BOB, RTP).unwrap().1, RTP);
    assert_eq!(bench.packet(0, ALICE, RTP), forward(1, BOB));
}

/// The same key with another identifier is the same key.
#[test]
fn numbers_are_counted_for_the_key_alone() {
    let (mut bench, mut peer, mut ear) = Bench::call_with_keys(Learning::Off);
    bench.through(0, ALICE, &rtp(9)).unwrap();
    let (_, report) = bench.through(0, ALICE, RTCP).unwrap();
    opened(&mut ear, &report);
    let arrived = sealed(&mut peer, &rtp(9));
    bench.through(1, BOB, &arrived).unwrap();
    let [mut receive, mut send] = [keys(1), keys(2)];
    send.identifier = vec![7];
    receive.rtcp_is_clear = true;
    bench.done(set_all([(30_002, Some(receive), Some(send.clone()))]));
    let replayed = Err(Verdict::Drop(DropReason::Replayed));
    assert_eq!(bench.through(0, ALICE, &rtp(9)), replayed);
    assert_eq!(bench.through(1, BOB, &arrived), replayed);
    let number = |report: &[u8], behind: usize| {
        let bytes = report[report.len() - behind - 4..].first_chunk().unwrap();
        u32::from_be_bytes(*bytes)
    };
    let (_, next) = bench.through(0, ALICE, RTCP).unwrap();
    assert_eq!(number(&next, 11), number(&report, 10) + 1);
    assert!(number(&report, 10) & 0x7fff_ffff >= 1 << 29, "as of nobody");
    // Others, with which RTP begins anew and RTCP does not.
    bench.done(set(30_002, Some(1), Some(6)));
    let (_, next) = bench.through(0, ALICE, RTCP).unwrap();
    assert_eq!(number(&next, 10), number(&report, 10) + 2);
    assert!(bench.through(0, ALICE, &rtp(9)).is_ok());
}

#[test]
fn a_relay_that_was_restarted_begins_rtcp_above_what_it_was() {
    let numbers = [0_u64, 1, 3_000_000_000, u32::MAX.into()].map(|it| first_rtcp(it << 32));
    assert!(numbers.iter().all(|it| (1 << 29..3 << 29).contains(it)));
    assert_eq!(first_rtcp(3_000_000_001 << 32), numbers[2] + 16);
}

/// A port that changes, or a base that ICE elects.
#[test]
fn one_key_of_two_endpoints_is_counted_for_both() {
    let (mut bench, _, mut ear) = Bench::call_with_keys(Learning::Off);
    for sequence in [65_535, 0] {
        let (_, bytes) = bench.through(0, ALICE, &rtp(sequence)).unwrap();
        opened(&mut ear, &bytes);
    }
    let (call, new) = (CallKey(1), port(30_004));
    bench.done(Command::OpenEndpoint {
        call,
        port: new,
        tos: None,
    });
    bench.done(signal(30_004, BOB, Learning::Off));
    bench.done(set(30_004, Some(1), Some(2)));
    // It goes on where it was for a while.
    let (_, bytes) = bench.through(0, ALICE, &rtp(1)).unwrap();
    opened(&mut ear, &bytes);
    bench.done(Command::Connect {
        call,
        ingress: port(30_000),
        rtp: Some(new),
        rtcp: Some(new),
    });
    for used in [0, 1] {
        let replayed = Err(Verdict::Drop(DropReason::Replayed));
        assert_eq!(bench.through(0, ALICE, &rtp(used)), replayed);
    }
    let (egress, bytes) = bench.through(0, ALICE, &rtp(2)).unwrap();
    assert_eq!(Verdict::Forward(egress), forward(2, BOB));
    assert_eq!(opened(&mut ear, &bytes), rtp(2), "rolled over once");
    // One that goes leaves behind what it has counted.
    bench.done(Command::CloseEndpoint { call, port: new });
    bench.done(connect(30_000, Some(30_002)));
    let replayed = Err(Verdict::Drop(DropReason::Replayed));
    assert_eq!(bench.through(0, ALICE, &rtp(2)), replayed);
    let (egress, bytes) = bench.through(0, ALICE, &rtp(3)).unwrap();
    assert_eq!(Verdict::Forward(egress), forward(1, BOB));
    assert_eq!(opened(&mut ear, &bytes), rtp(3));
}

/// A call that passed as it was, long before: what leaves is what would have passed.
#[test]
fn a_roll_over_counter_goes_on_when_keys_are_told_late() {
    let (mut bench, ..) = Bench::call_with_keys(Learning::Off);
    bench.done(set(30_000, Some(2), None));
    let ssrc = u32::from_be_bytes(*RTP[8..].first_chunk().unwrap());
    let mut alice = Sender::new(&keys(2)).unwrap();
    alice.expect(ssrc, 3);
    let mut passed = 0;
    for sequence in 1..100 {
        let bytes = sealed(&mut alice, &rtp(sequence));
        if let Ok((_, left)) = bench.through(0, ALICE, &bytes) {
            assert_eq!(left, bytes);
            passed += 1;
        }
    }
    assert_eq!(passed, 99 - 2 * 16);
}

/// Where parties have each other's keys, the relay's keys come and go without a packet that somebody
/// else could read, whatever is on its way: opened but not sealed, or encrypted twice with one key,
/// which is clear again.
#[test]
fn keys_of_two_parties_come_and_go_at_once() {
    let mut bench = Bench::new();
    bench.call_between_alice_and_bob(Learning::Off);
    let [mut alice, mut bob] = [3, 1].map(|it| Sender::new(&keys(it)).unwrap());
    let [mut of_alice, mut of_bob] = [3, 1].map(|it| Receiver::new(&keys(it)).unwrap());
    let both = |one, other| {
        let [one, other]: [Option<Crypto>; 2] = [one, other];
        set_all([(30_000, one.clone(), other.clone()), (30_002, other, one)])
    };
    let mut sequence = 0;
    for (command, opened_so_far) in [
        (None, 0),
        (Some(both(Some(keys(3)), Some(keys(1)))), 4),
        (Some(both(None, None)), 4),
        (Some(both(Some(keys(3)), Some(keys(1)))), 8),
    ] {
        if let Some(command) = command {
            bench.done(command);
        }
        for _ in 0..2 {
            sequence += 1;
            let packet = rtp(sequence);
            let sent = sealed(&mut alice, &packet);
            let (_, left) = bench.through(0, ALICE, &sent).unwrap();
            assert_eq!(left, sent);
            assert_eq!(opened(&mut of_alice, &left), packet);
            let sent = sealed(&mut bob, &packet);
            let (_, left) = bench.through(1, BOB, &sent).unwrap();
            assert_eq!(left, sent);
            assert_eq!(opened(&mut of_bob, &left), packet);
        }
        assert_eq!(bench.counter("packets_opened"), opened_so_far);
        assert_eq!(bench.counter("packets_sealed"), opened_so_far);
    }
}

/// A port that is used again has the keys of nobody.
#[test]
fn keys_end_with_their_endpoint() {
    let (mut bench, ..) = Bench::call_with_keys(Learning::Off);
    let _ = bench.apply(Command::RemoveCall { call: CallKey(1) });
    while let Some(socket) = bench.relay.poll_close() {
        bench.relay.handle_closed(socket);
    }
    bench.call_between_alice_and_bob(Learning::Immediate);
    for socket in [0, 1] {
        let (_, bytes) = bench.through(socket, STRANGER, RTP).unwrap();
        assert_eq!(bytes, RTP);
    }
}

#[test]
fn copies_are_clear_until_they_leave() {
    let (mut bench, mut peer, mut ear) = Bench::call_with_keys(Learning::Off);
    bench.done(Command::SetSinks {
        call: CallKey(1),
        ingress: port(30_002),
        sinks: vec![Sink {
            call: CallKey(1),
            rtp: Some(port(30_002)),
            rtcp: None,
            is_remade: false,
            is_sealed: true,
        }],
    });
    let ingress = Ingress {
        socket: SocketId::new(1),
        source: address(BOB),
    };
    let mut bytes = sealed(&mut peer, &rtp(1));
    let verdict = bench.relay.handle_packet(bench.now, ingress, &mut bytes);
    let copy = bench.relay.poll_copy().unwrap();
    let copied = bytes[..copy.len.into()].to_vec();
    assert_eq!(copied, rtp(1));
    assert_eq!(bench.leaves(verdict, bytes).unwrap().1, rtp(1));
    // It goes back to Bob, say.
    let verdict = bench.relay.handle_copy(&copy, &copied);
    let (egress, bytes) = bench.leaves(verdict, copied).unwrap();
    assert_eq!(Verdict::Forward(egress), forward(1, BOB));
    assert_eq!(opened(&mut ear, &bytes), rtp(1));
    assert_eq!(bench.counter("copies_sent"), 1);
    let verdict = bench.relay.handle_copy(&copy, T38);
    assert!(bench.leaves(verdict, T38.to_vec()).is_err());
    assert_eq!(bench.counter("copies_lost"), 1);
}

/// The keys of two calls change one after the other, and copies may be on their way meanwhile.
#[test]
fn a_copy_that_is_to_be_sealed_leaves_in_no_other_way() {
    let (mut bench, _, mut ear) = Bench::call_with_keys(Learning::Off);
    let [to_alice, to_bob] = [30_000, 30_002].map(|number| Copy {
        worker: WorkerId(0),
        call: CallKey(1),
        port: port(number),
        from: port(40_000),
        len: 0,
        is_sealed: true,
    });
    let verdict = bench.relay.handle_copy(&to_bob, &rtp(1));
    let (_, bytes) = bench.leaves(verdict, rtp(1)).unwrap();
    assert_eq!(opened(&mut ear, &bytes), rtp(1));
    // Alice has no keys yet, and Bob's are taken away.
    bench.done(set(30_002, None, None));
    for (n, copy) in (1..).zip([to_alice, to_bob]) {
        let verdict = bench.relay.handle_copy(&copy, &rtp(2));
        assert_eq!(verdict, Verdict::Drop(DropReason::Unsealed));
        assert_eq!(bench.counter("copies_lost"), n);
        let is_sealed = false;
        let verdict = bench
            .relay
            .handle_copy(&Copy { is_sealed, ..copy }, &rtp(2));
        assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
    }
    assert_eq!(bench.counter("copies_sent"), 3);
}

/// One who speaks in a conference with ever new sources does not keep others from being heard.
#[test]
fn no_speaker_takes_all_the_room_of_a_listeners_keys() {
    let (mut bench, ..) = Bench::call_with_keys(Learning::Off);
    let copy = |bench: &mut Bench, from: u16, ssrc: u32| {
        let mut packet = rtp(1);
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        let copy = Copy {
            worker: WorkerId(0),
            call: CallKey(1),
            port: port(30_002),
            from: port(from),
            len: 0,
            is_sealed: true,
        };
        let verdict = bench.relay.handle_copy(&copy, &packet);
        bench.leaves(verdict, packet).map(|_| ())
    };
    for ssrc in 10_000..10_128 {
        assert_eq!(copy(&mut bench, 40_000, ssrc), Ok(()));
    }
    let crowded = Err(Verdict::Drop(DropReason::TooManySources));
    assert_eq!(copy(&mut bench, 40_000, 10_128), crowded);
    for ssrc in 20_000..20_064 {
        assert_eq!(copy(&mut bench, 40_002, ssrc), Ok(()));
    }
    assert_eq!(bench.counter("copies_of_too_many_sources"), 1);
    assert!(
        bench.through(0, ALICE, &rtp(1)).is_ok(),
        "nor the other party"
    );
}

#[test]
fn what_is_remade_is_taken_clear_and_leaves_sealed() {
    let (mut bench, mut peer, mut ear) = Bench::call_with_keys(Learning::Off);
    for ingress in [30_000, 30_002] {
        bench.done(Command::SetTranscoding {
            call: CallKey(1),
            ingress: port(ingress),
            transcoding: Some(Transcoding {
                routes: vec![],
                rtcp: Some(port(ingress)),
            }),
        });
    }
    let bytes = sealed(&mut peer, &rtp(1));
    let verdict = bench.packet(1, BOB, &bytes);
    let Verdict::Take(taken) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(usize::from(taken.len), RTP.len());
    for (flow, kind, packet) in [(0, Kind::Rtp, rtp(9)), (1, Kind::Rtcp, RTCP.to_vec())] {
        let verdict = bench.relay.handle_made(SocketId::new(flow), kind, &packet);
        let (egress, bytes) = bench.leaves(verdict, packet.clone()).unwrap();
        assert_eq!(Verdict::Forward(egress), forward(1, BOB));
        assert_eq!(opened(&mut ear, &bytes), packet);
    }
    let played = rtp(500);
    let verdict = bench
        .relay
        .handle_played(bench.now, SocketId::new(1), &played);
    let (_, bytes) = bench.leaves(verdict, played.clone()).unwrap();
    assert_eq!(opened(&mut ear, &bytes), played);
}

#[test]
fn reports_of_the_relays_own_are_sealed() {
    let (mut bench, mut peer, mut ear) = Bench::call_with_keys(Learning::Off);
    bench.done(Command::SetRtcp {
        call: CallKey(1),
        port: port(30_002),
        rtcp: OnRtcp::Answer {
            received: port(30_002),
            sent: None,
        },
    });
    let bytes = sealed(&mut peer, &rtp(1));
    bench.through(1, BOB, &bytes).unwrap();
    bench.pass(7_000);
    let report = bench.relay.poll_report().unwrap();
    let clear = opened(&mut ear, report.bytes());
    let compound = relay_rtp::rtcp::Compound::parse(&clear).unwrap();
    assert!(compound.begins_with_report());
    assert_eq!(bench.counter("packets_sealed"), 1);
}

/// A table that takes whatever it is given.
#[derive(Debug)]
struct Taker;

impl KernelTable for Taker {
    fn install(&mut self, _: Instant, _: &KernelFlow) -> Option<KernelSlot> {
        Some(KernelSlot(1))
    }

    fn take_out(&mut self, _: Instant, _: KernelSlot) {}

    fn read(&self, _: KernelSlot) -> KernelCounts {
        KernelCounts::default()
    }
}

#[test]
fn the_kernel_forwards_nothing_that_is_sealed_on_either_side() {
    let (mut bench, mut peer, _) = Bench::call_with_keys(Learning::Off);
    bench.relay.set_kernel_table(Box::new(Taker));
    for sequence in 1..200 {
        bench.through(0, ALICE, &rtp(sequence)).unwrap();
        let bytes = sealed(&mut peer, &rtp(sequence));
        bench.through(1, BOB, &bytes).unwrap();
    }
    assert_eq!(bench.counter("kernel_flows_installed"), 0);
    // The same without keys would be.
    bench.done(set(30_002, None, None));
    for sequence in 200..400 {
        bench.through(0, ALICE, &rtp(sequence)).unwrap();
    }
    assert!(bench.counter("kernel_flows_installed") > 0);
    bench.done(set(30_002, None, Some(2)));
    assert_eq!(bench.counter("kernel_flows"), 0, "taken out again");
}
