//! Phones that share no keys, over real sockets: one is sealed for, the other hears it clear.

use std::time::Duration;

use relay_srtp::{GROWTH_MAX, Receiver, Sender};
use relay_wire::{
    CallKey, Codec, Command, Crypto, CryptoSuite, EndpointCrypto, Format, OnRtcp, Route, Secret,
    Sink, Transcoding,
};

use crate::control::{Control, port};
use crate::harness::{Options, TestRelay, on_each_driver};
use crate::phone::{Phone, rtcp, rtp};

fn keys(suite: CryptoSuite, seed: u8) -> Crypto {
    let mut crypto = Crypto::new(suite, Secret::new(vec![seed; suite.key_and_salt_len()]));
    if suite == CryptoSuite::AesCm256HmacSha1_80 {
        crypto.identifier = vec![1; 8];
    }
    crypto
}

/// A phone with keys.
struct Sealed {
    phone: Phone,
    sender: Sender,
    receiver: Receiver,
}

impl Sealed {
    fn seal(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut bytes = packet.to_vec();
        bytes.resize(packet.len() + GROWTH_MAX, 0);
        let len = match packet[1] {
            200..=204 => self.sender.protect_rtcp(&mut bytes, packet.len()),
            _ => self.sender.protect_rtp(&mut bytes, packet.len()),
        };
        bytes.truncate(len.unwrap());
        bytes
    }

    fn send(&mut self, packet: &[u8], to: u16) {
        let bytes = self.seal(packet);
        self.phone.send(&bytes, to);
    }

    /// What it hears next: it must be sealed.
    fn hear(&mut self, from: u16) -> Vec<u8> {
        let (mut bytes, source) = self.phone.receive();
        assert_eq!(source, from);
        let len = match bytes[1] {
            200..=204 => self.receiver.unprotect_rtcp(&mut bytes),
            _ => self.receiver.unprotect_rtp(&mut bytes),
        };
        bytes.truncate(len.unwrap());
        bytes
    }
}

/// A call of Alice, who has no keys, and Bob, who has.
struct Call {
    control: Control,
    ports: [u16; 2],
    alice: Phone,
    bob: Sealed,
}

impl Call {
    fn new(relay: &TestRelay, suite: CryptoSuite) -> Self {
        let mut control = relay.connect();
        let first = control.first_port();
        let (alice, phone) = (Phone::new(), Phone::new());
        let remotes = [&alice, &phone].map(|it| Some(it.address()));
        control.set_up(1, [port(first), port(first + 2)], remotes);
        let set = Command::SetCrypto {
            call: CallKey(1),
            endpoints: vec![EndpointCrypto {
                port: port(first + 2),
                receive: Some(keys(suite, 1)),
                send: Some(keys(suite, 2)),
            }],
        };
        control.apply(0, vec![set]);
        let bob = Sealed {
            phone,
            sender: Sender::new(&keys(suite, 1)).unwrap(),
            receiver: Receiver::new(&keys(suite, 2)).unwrap(),
        };
        Self {
            control,
            ports: [first, first + 2],
            alice,
            bob,
        }
    }
}

#[test]
fn a_phone_with_keys_and_one_without_hear_each_other() {
    on_each_driver(Options::default(), |relay| {
        for suite in CryptoSuite::ALL {
            let mut call = Call::new(relay, suite);
            let [to_alice, to_bob] = call.ports;
            for sequence in 65_500..65_535 {
                call.alice.send(&rtp(1, sequence), to_alice);
                assert_eq!(call.bob.hear(to_bob), rtp(1, sequence), "{suite:?}");
                call.bob.send(&rtp(2, sequence), to_bob);
                call.alice.expect(&rtp(2, sequence), to_alice);
            }
            call.alice.send(&rtcp(1), to_alice);
            assert_eq!(call.bob.hear(to_bob), rtcp(1));
            call.bob.send(&rtcp(2), to_bob);
            call.alice.expect(&rtcp(2), to_alice);
            let stats = call.control.call(1);
            assert!(stats.endpoints.iter().all(|it| it.dropped == 0));
            call.control.apply(0, vec![crate::control::remove(1)]);
        }
        let mut control = relay.connect();
        assert_eq!(control.counter("packets_opened"), 12 * 36);
        assert_eq!(control.counter("packets_sealed"), 12 * 36);
    });
}

/// Packets as long as a frame lets them be grow, too.
#[test]
fn the_longest_packets_have_room_to_grow() {
    on_each_driver(Options::default(), |relay| {
        let mut call = Call::new(relay, CryptoSuite::AesCm256HmacSha1_80);
        let [to_alice, to_bob] = call.ports;
        let mut long = rtp(1, 1);
        long.resize(8_972, 7);
        call.alice.send(&long, to_alice);
        assert_eq!(call.bob.hear(to_bob), long);
        // One that has no room is lost, and counted.
        long.resize(9_210, 7);
        long[3] = 2;
        call.alice.send(&long, to_alice);
        call.alice.send(&rtp(1, 3), to_alice);
        assert_eq!(call.bob.hear(to_bob), rtp(1, 3));
        assert_eq!(call.control.counter("dropped_unsealed"), 1);
    });
}

#[test]
fn a_flood_of_forged_packets_moves_nothing() {
    on_each_driver(Options::default(), |relay| {
        let mut call = Call::new(relay, CryptoSuite::AeadAes128Gcm);
        let [to_alice, to_bob] = call.ports;
        let (stranger, mut dropped) = (Phone::new(), 0);
        for sequence in 0..50_u16 {
            let good = call.bob.seal(&rtp(2, sequence));
            let mut changed = good.clone();
            changed[20] ^= 1;
            for forged in [
                &changed[..],
                &good[..good.len() - 1],
                &rtp(2, sequence),
                &[],
            ] {
                stranger.send(forged, to_bob);
                call.bob.phone.send(forged, to_bob);
                dropped += 2;
            }
            stranger.send(&rtp(u32::from(sequence) << 20, sequence), to_bob);
            call.bob.phone.send(&good, to_bob);
            call.alice.expect(&rtp(2, sequence), to_alice);
            // The same once more.
            call.bob.phone.send(&good, to_bob);
            dropped += 1;
        }
        call.bob.send(&rtp(2, 50), to_bob);
        call.alice.expect(&rtp(2, 50), to_alice);
        assert_eq!(call.control.counter("dropped_unauthentic"), dropped);
        assert_eq!(call.control.counter("dropped_replayed"), 50);
        let bob = call.control.call(1).endpoints.remove(1);
        assert_eq!(bob.remote, Some(call.bob.phone.address()));
        assert_eq!(bob.rtp_packets_in, 51);
        assert_eq!(bob.sources.len(), 1);
    });
}

/// What is changed where it lies has no tag behind it when it leaves clear, and one when it does not.
#[test]
fn what_is_translated_leaves_as_long_as_it_is() {
    on_each_driver(Options::default(), |relay| {
        let mut call = Call::new(relay, CryptoSuite::AesCm128HmacSha1_80);
        let [to_alice, to_bob] = call.ports;
        let formats = [(Codec::Pcma, 8), (Codec::Pcmu, 0)];
        let [pcma, pcmu] = formats.map(|(codec, number)| Format::new(codec, number, 20));
        let commands = vec![
            transcode(to_alice, pcma, pcmu),
            transcode(to_bob, pcmu, pcma),
        ];
        call.control.apply(0, commands);
        let packet = |payload_type, sample| {
            let mut packet = rtp(1, 7);
            packet[1] = payload_type;
            packet[12..].fill(sample);
            packet
        };
        // Silence (ITU-T G.711); A-law has no zero.
        call.bob.send(&packet(0, 0xff), to_bob);
        call.alice.expect(&packet(8, 0xd5), to_alice);
        call.alice.send(&packet(8, 0xd5), to_alice);
        assert_eq!(call.bob.hear(to_bob), packet(0, 0xfe));
    });
}

fn transcode(ingress: u16, from: Format, to: Format) -> Command {
    Command::SetTranscoding {
        call: CallKey(1),
        ingress: port(ingress),
        transcoding: Some(Transcoding {
            routes: vec![Route {
                from,
                to,
                is_coded_anew: false,
                opus: None,
                suppresses_silence: false,
            }],
            rtcp: None,
        }),
    }
}

/// What a codec thread makes leaves sealed, and what it gets is clear.
#[test]
fn a_phone_with_keys_is_transcoded() {
    on_each_driver(Options::default(), |relay| {
        let mut call = Call::new(relay, CryptoSuite::AesCm128HmacSha1_80);
        let [to_alice, to_bob] = call.ports;
        let (pcma, gsm) = (
            Format::new(Codec::Pcma, 8, 20),
            Format::new(Codec::Gsm, 3, 20),
        );
        let commands = vec![transcode(to_alice, pcma, gsm), transcode(to_bob, gsm, pcma)];
        call.control.apply(0, commands);
        let patience = Duration::from_millis(20);
        let (mut bob_heard, mut alice_heard) = (0, 0);
        for sequence in 0.. {
            assert!(sequence < 3_000, "{bob_heard} and {alice_heard} came");
            call.alice.send(&rtp(1, sequence), to_alice);
            let mut speech = rtp(2, sequence);
            speech[1] = 3;
            speech.truncate(12);
            speech.extend([0xd0; 33]);
            call.bob.send(&speech, to_bob);
            if let Some((mut bytes, _)) = call.bob.phone.receive_within(patience) {
                let len = call.bob.receiver.unprotect_rtp(&mut bytes).unwrap();
                assert_eq!((bytes[1] & 0x7f, len), (3, 12 + 33));
                bob_heard += 1;
            }
            if let Some((bytes, _)) = call.alice.receive_within(patience) {
                assert_eq!((bytes[1] & 0x7f, bytes.len()), (8, 172));
                alice_heard += 1;
            }
            if bob_heard >= 10 && alice_heard >= 10 {
                break;
            }
        }
    });
}

/// Copies leave sealed where their hearer has keys, and reports of the relay's own do.
#[test]
fn copies_and_reports_are_sealed() {
    on_each_driver(Options::default(), |relay| {
        let mut call = Call::new(relay, CryptoSuite::AesCm128HmacSha1_32);
        let [to_alice, to_bob] = call.ports;
        let sink = Sink {
            call: CallKey(1),
            rtp: Some(port(to_bob)),
            rtcp: None,
            is_remade: false,
            is_sealed: true,
        };
        let commands = vec![
            Command::Connect {
                call: CallKey(1),
                ingress: port(to_alice),
                rtp: None,
                rtcp: None,
            },
            Command::SetSinks {
                call: CallKey(1),
                ingress: port(to_alice),
                sinks: vec![sink],
            },
            Command::SetRtcp {
                call: CallKey(1),
                port: port(to_bob),
                rtcp: OnRtcp::Answer {
                    received: port(to_bob),
                    sent: None,
                },
            },
        ];
        call.control.apply(0, commands);
        for sequence in 0..20 {
            call.alice.send(&rtp(1, sequence), to_alice);
            assert_eq!(call.bob.hear(to_bob), rtp(1, sequence));
        }
        call.bob.send(&rtp(2, 0), to_bob);
        call.alice.expect(&rtp(2, 0), to_alice);
        assert_eq!(call.bob.hear(to_bob)[1], 201, "a report");
    });
}
