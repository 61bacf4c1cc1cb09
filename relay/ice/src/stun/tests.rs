use super::*;
use crate::writer::Writer;

/// RFC 5769 §2.
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
const ID: TransactionId = TransactionId([
    0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
]);

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|it| it.to_digit(16)).collect();
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// RFC 5769 §2.1.
fn request() -> Vec<u8> {
    bytes(
        "00 01 00 58 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
         80 22 00 10 53 54 55 4e 20 74 65 73 74 20 63 6c 69 65 6e 74
         00 24 00 04 6e 00 01 ff
         80 29 00 08 93 2f f9 b1 51 26 3b 36
         00 06 00 09 65 76 74 6a 3a 68 36 76 59 20 20 20
         00 08 00 14 9a ea a7 0c bf d8 cb 56 78 1e f2 b5 b2 d3 f2 49 c1 b5 71 a2
         80 28 00 04 e5 7a 3b cf",
    )
}

/// RFC 5769 §2.2.
fn answer() -> Vec<u8> {
    bytes(
        "01 01 00 3c 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
         80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
         00 20 00 08 00 01 a1 47 e1 12 a6 43
         00 08 00 14 2b 91 f5 99 fd 9e 90 c3 8c 74 89 f9 2a f9 ba 53 f0 6b e7 d7
         80 28 00 04 c0 7d 4c 96",
    )
}

/// RFC 5769 §2.3.
fn answer_v6() -> Vec<u8> {
    bytes(
        "01 01 00 48 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
         80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
         00 20 00 14 00 02 a1 47 01 13 a9 fa a5 d3 f1 79 bc 25 f4 b5 be d2 b9 d9
         00 08 00 14 a3 82 95 4e 4b e6 7b f1 17 84 c9 7c 82 92 c2 75 bf e3 ed 41
         80 28 00 04 c8 fb 0b 4c",
    )
}

#[test]
fn reads_the_request_of_rfc_5769() {
    let request = request();
    let message = Message::parse(&request).unwrap();
    assert_eq!((message.class(), message.id()), (Class::Request, ID));
    assert_eq!(message.user(), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    let control = Control::Controlled(0x932f_f9b1_5126_3b36);
    assert_eq!(message.control(), Some(control));
    assert!(!message.is_nomination() && message.unknown().is_empty());
    assert!(message.is_by(PASSWORD));
    assert!(!message.is_by("VOkJxbRl1RmTxUk/WvJxBT"));
}

#[test]
fn reads_the_answers_of_rfc_5769() {
    for (bytes, address) in [
        (answer(), "192.0.2.1:32853"),
        (answer_v6(), "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.id()), (Class::Success, ID));
        assert_eq!(message.mapped(), Some(address.parse().unwrap()));
        assert!(message.is_by(PASSWORD));
    }
}

#[test]
fn writes_the_answers_of_rfc_5769_but_for_what_fills_them_up() {
    for (bytes, address) in [
        (answer(), "192.0.2.1:32853"),
        (answer_v6(), "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let written = Writer::new(Class::Success, ID)
            .software("test vector")
            .mapped(address.parse().unwrap());
        let written = written.sign(PASSWORD);
        assert_eq!(written.len(), bytes.len());
        // It fills up with a space, we with zeros: so up to there, and the address behind.
        assert_eq!(written[..35], bytes[..35]);
        let end = bytes.len() - 32;
        assert_eq!(written[36..end], bytes[36..end]);
        let message = Message::parse(&written).unwrap();
        assert!(message.is_by(PASSWORD));
        assert_eq!(message.mapped(), Some(address.parse().unwrap()));
    }
}

#[test]
fn a_bit_that_is_changed_is_noticed() {
    let request = request();
    // But for the name of the fingerprint: without it, it is a message that has none.
    for at in (0..request.len()).filter(|it| !(100..102).contains(it)) {
        let mut changed = request.clone();
        changed[at] ^= 0x10;
        let message = Message::parse(&changed);
        assert!(message.is_err(), "the fingerprint covers byte {at}");
    }
}

#[test]
fn what_is_cut_short_or_goes_on_is_no_message() {
    let request = request();
    for len in 0..request.len() {
        assert!(Message::parse(&request[..len]).is_err(), "{len} bytes");
    }
    let longer = [&request[..], &[0; 4]].concat();
    assert_eq!(Message::parse(&longer).unwrap_err(), ParseError::Header);
    let much_longer = vec![0; 70_000];
    assert!(Message::parse(&much_longer).is_err());
}

#[test]
fn what_follows_integrity_is_not_read() {
    let written = Writer::new(Class::Request, ID).user("a:b").sign(PASSWORD);
    // Without the fingerprint, and with a nomination that nobody has signed.
    let mut forged = written[..written.len() - 8].to_vec();
    forged.extend_from_slice(&[0, 0x25, 0, 0]);
    let len = u16::try_from(forged.len() - HEADER_LEN).unwrap();
    forged[2..4].copy_from_slice(&len.to_be_bytes());
    let message = Message::parse(&forged).unwrap();
    assert!(message.is_by(PASSWORD));
    assert!(!message.is_nomination());
}

#[test]
fn attributes_that_must_be_understood_are_named() {
    let many: Vec<_> = (0..20_u16).map(|n| 0x7000 + n).collect();
    let mut bytes = Writer::new(Class::Request, ID).finish();
    bytes.truncate(HEADER_LEN);
    for kind in &many {
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
    }
    // An optional one.
    bytes.extend_from_slice(&[0x90, 0, 0, 0]);
    let len = u16::try_from(bytes.len() - HEADER_LEN).unwrap();
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.unknown(), &many[..UNKNOWN_MAX]);
}

#[test]
fn only_stun_is_taken_for_it() {
    assert!(is_stun(&request()));
    let mut rtp = request();
    rtp[0] = 0x80;
    assert!(!is_stun(&rtp));
    let mut old = request();
    old[4] = 0;
    assert!(!is_stun(&old), "RFC 3489 has no cookie");
    assert!(!is_stun(&[0; 4]));
}
