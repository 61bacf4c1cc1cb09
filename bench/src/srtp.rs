//! What it costs to seal a packet and to open it.

use std::hint::black_box;

use relay_srtp::{GROWTH_MAX, Receiver, Sender};
use relay_wire::{Crypto, CryptoSuite, Secret};

use crate::{Operation, operation};

pub(crate) const OPERATIONS: [Operation; 6] = [
    operation("relay-srtp/seal, AES_CM_128_HMAC_SHA1_80", || {
        seal(CryptoSuite::AesCm128HmacSha1_80)
    }),
    operation("relay-srtp/seal, AES_256_CM_HMAC_SHA1_80", || {
        seal(CryptoSuite::AesCm256HmacSha1_80)
    }),
    operation("relay-srtp/seal, AEAD_AES_128_GCM", || {
        seal(CryptoSuite::AeadAes128Gcm)
    }),
    operation("relay-srtp/seal and open, AES_CM_128_HMAC_SHA1_80", || {
        open(CryptoSuite::AesCm128HmacSha1_80)
    }),
    operation("relay-srtp/seal and open, AES_256_CM_HMAC_SHA1_80", || {
        open(CryptoSuite::AesCm256HmacSha1_80)
    }),
    operation("relay-srtp/seal and open, AEAD_AES_128_GCM", || {
        open(CryptoSuite::AeadAes128Gcm)
    }),
];

/// G.711, 20 ms: 12 bytes of header, 160 of payload.
const PACKET_LEN: usize = 172;

pub(crate) fn crypto(suite: CryptoSuite) -> Crypto {
    Crypto::new(suite, Secret::new(vec![7; suite.key_and_salt_len()]))
}

fn packet() -> [u8; PACKET_LEN + GROWTH_MAX] {
    let mut packet = [0xd5; PACKET_LEN + GROWTH_MAX];
    packet[..12].copy_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    packet
}

/// The next packet of a stream, sealed.
fn next(sender: &mut Sender, packet: &mut [u8], number: &mut u16) -> usize {
    *number = number.wrapping_add(1);
    packet[2..4].copy_from_slice(&number.to_be_bytes());
    let sealed = sender.protect_rtp(black_box(packet), PACKET_LEN);
    sealed.expect("its number is new")
}

fn seal(suite: CryptoSuite) -> Box<dyn FnMut()> {
    let mut sender = Sender::new(&crypto(suite)).expect("a key of its length");
    let (mut packet, mut number) = (packet(), 0);
    Box::new(move || {
        black_box(next(&mut sender, &mut packet, &mut number));
    })
}

fn open(suite: CryptoSuite) -> Box<dyn FnMut()> {
    let mut sender = Sender::new(&crypto(suite)).expect("a key of its length");
    let mut receiver = Receiver::new(&crypto(suite)).expect("a key of its length");
    let (mut packet, mut number) = (packet(), 0);
    Box::new(move || {
        let len = next(&mut sender, &mut packet, &mut number);
        let opened = receiver.unprotect_rtp(black_box(&mut packet[..len]));
        assert_eq!(opened, Ok(PACKET_LEN));
    })
}
