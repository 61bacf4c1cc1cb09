//! Known answers, typed from the RFCs.

use relay_wire::{Crypto, CryptoSuite, Secret};
use zeroize::Zeroizing;

use super::{protect, unprotect};
use crate::cipher::{Aes, F8};
use crate::derive::{Derivation, Purpose};
use crate::transform::{Aead, Place};
use crate::{Receiver, Sender};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |it: u8| char::from(it).to_digit(16).unwrap();
    digits
        .chunks(2)
        .map(|it| u8::try_from(digit(it[0]) << 4 | digit(it[1])).unwrap())
        .collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

/// RFC 3711 B.2; RFC 6188 §7.1, §7.2.
#[test]
fn counter_mode_makes_the_streams_of_the_rfcs() {
    let start = array("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000");
    for (key, stream) in [
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab
             41e95b3bb0a2e8dd477901e4fca894c0",
        ),
        (
            "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
            "92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac
             63c4868b7096d88421b563b8c94c9a31",
        ),
    ] {
        let mut bytes = [0; 48];
        let aes = Aes::new(&hex(key)).unwrap();
        aes.apply_counter(start, &mut bytes);
        assert_eq!(bytes[..], hex(stream));
        // In one piece as block by block.
        let mut long = [0; 500];
        aes.apply_counter(start, &mut long);
        let mut later = [0; 500 - 256];
        let start = u128::from_be_bytes(start) + 16;
        aes.apply_counter(start.to_be_bytes(), &mut later);
        assert_eq!(long[256..], later);
    }
}

/// RFC 3711 B.1.
#[test]
fn f8_makes_the_packet_of_the_rfc() {
    let f8 = F8::new(&hex("234829008467be186c3de14aae72d62c"), &hex("32f2870d")).unwrap();
    let mut payload = *b"pseudorandomness is the next best thing";
    f8.apply(array("006e5cba50681de55c621599d462564a"), &mut payload);
    let expected = "019ce7a26e7854014a6366aa95d4eefd 1ad4172a14f9faf455b7f1d4b62bd08f
                    562c0eef7c4802";
    assert_eq!(payload[..], hex(expected));
}

/// RFC 3711 B.3; RFC 6188 §7.3, §7.4.
#[test]
fn session_keys_are_those_of_the_rfcs() {
    for (key, salt, cipher, session_salt, tag) in [
        (
            "e1f97a0d3e018be0d64fa32c06de4139",
            "0ec675ad498afeebb6960b3aabe6",
            "c61e7a93744f39ee10734afe3ff7a087",
            "30cbbc08863d8c85d49db34a9ae1",
            "cebe321f6ff7716b6fd4ab49af256a156d38baa4",
        ),
        (
            "73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1",
            "c8522f3acd4ce86d5add78edbb11",
            "31874736a8f1143870c26e4857d8a5b2c4a354407faadabb",
            "2372b82d639b6d8503a47adc0a6c",
            "355b10973cd95b9eacf4061c7e1a7151e7cfbfcb",
        ),
        (
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
            "3b04803de51ee7c96423ab5b78d2",
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
            "fa31791685ca444a9e07c6c64e93",
            "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
        ),
    ] {
        let derivation = Derivation::new(&hex(key), &hex(salt)).unwrap();
        let derived = |purpose, len| derivation.derive(purpose, len).to_vec();
        assert_eq!(derived(Purpose::RtpCipher, hex(key).len()), hex(cipher));
        assert_eq!(derived(Purpose::RtpSalt, 14), hex(session_salt));
        assert_eq!(derived(Purpose::RtpTag, 20), hex(tag));
        let purposes = [Purpose::RtcpCipher, Purpose::RtcpTag, Purpose::RtcpSalt];
        let rtcp = purposes.map(|it| derived(it, 14));
        assert!(rtcp[0] != rtcp[1] && rtcp[1] != rtcp[2] && rtcp[0] != hex(cipher)[..14]);
    }
}

/// RFC 7714 §16.1.1, §16.2.1, §17.1, §17.3: session keys, number 0 of RTP and 0x5d4 of RTCP.
#[test]
fn galois_mode_makes_the_packets_of_the_rfc() {
    let salt = "5175696420 70726f2071756f";
    let rtp = "8040f17b8041f8d35501a0b2
               47616c6c696120657374206f6d6e6973206469766973 6120696e207061727465732074726573";
    let rtcp = "81c8000d4d617273
                4e5450314e545032525450200000042a 0000e9304c756e61deadbeefdeadbeef
                deadbeefdeadbeefdeadbeef";
    let long = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    for (key, rtp_end, rtcp_end) in [
        (
            &long[..32],
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833
             899d7f27beb16a9152cf765ee4390cce",
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b46
             86303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade",
        ),
        (
            long,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b
             7aa3db36dfffd6b0f9bb7878d7a76c13",
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658
             c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be",
        ),
    ] {
        let mut padded = Zeroizing::new([0; 16]);
        padded[..12].copy_from_slice(&hex(salt));
        let aead = Aead::new(&hex(key), padded).unwrap();
        let mut packet = hex(rtp);
        let place = Place {
            ssrc: 0x5501_a0b2,
            number: 0xf17b,
            is_rtcp: false,
        };
        let (header, payload) = packet.split_at_mut(12);
        let tag = aead.encrypt(place, header, payload).unwrap();
        assert_eq!([&payload[..], &tag].concat(), hex(rtp_end));
        assert!(aead.decrypt(place, header, payload, tag));
        assert_eq!(packet, hex(rtp));

        let mut packet = hex(rtcp);
        let place = Place {
            ssrc: 0x4d61_7273,
            number: 0x5d4,
            is_rtcp: true,
        };
        let (header, payload) = packet.split_at_mut(8);
        let clear = [&header[..], &hex("800005d4")].concat();
        let tag = aead.encrypt(place, &clear, payload).unwrap();
        assert_eq!([&payload[..], &tag].concat(), hex(rtcp_end));
        assert!(aead.decrypt(place, &clear, payload, tag));
        assert_eq!(packet, hex(rtcp));
    }
}

/// The packets that libsrtp checks itself with: the master key of RFC 3711 B.3.
#[test]
fn whole_packets_are_those_of_libsrtp() {
    let key = "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6";
    let crypto = Crypto::new(CryptoSuite::AesCm128HmacSha1_80, Secret::new(hex(key)));
    let mut sender = Sender::new(&crypto).unwrap();
    let mut receiver = Receiver::new(&crypto).unwrap();
    let clear = hex("800f1234decafbadcafebabe abababababababababababababababab");
    let protected = protect(&mut sender, &clear).unwrap();
    let expected = "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402
                    b78d6acc99ea179b8dbb";
    assert_eq!(protected, hex(expected));
    assert_eq!(unprotect(&mut receiver, &protected), Ok(clear));

    // Its first RTCP has number 1.
    let clear = hex("81c8000bcafebabe abababababababababababababababab");
    protect(&mut sender, &clear).unwrap();
    let protected = protect(&mut sender, &clear).unwrap();
    let expected = "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001
                    993e08cd54d6c1230798";
    assert_eq!(protected, hex(expected));
    assert_eq!(unprotect(&mut receiver, &protected), Ok(clear));
}
