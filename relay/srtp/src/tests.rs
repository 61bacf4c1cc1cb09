//! Packets from end to end, and the known answers of the RFCs.

mod hostile;
mod vectors;

use proptest::prelude::*;
use relay_wire::{Crypto, CryptoSuite, Refusal, Secret};

use crate::{GROWTH_MAX, ProtectError, Receiver, SOURCES_MAX, Sender, UnprotectError};

pub(crate) fn crypto(suite: CryptoSuite) -> Crypto {
    let bytes = (1_u8..).take(suite.key_and_salt_len()).collect();
    Crypto::new(suite, Secret::new(bytes))
}

pub(crate) fn pair(crypto: &Crypto) -> (Sender, Receiver) {
    (Sender::new(crypto).unwrap(), Receiver::new(crypto).unwrap())
}

/// RTP of a source, with 20 bytes of payload.
pub(crate) fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 160]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0xd5; 20]);
    packet
}

pub(crate) fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x81, 202, 0, 1, 1, 2, 3, 4]);
    packet
}

pub(crate) fn protect(sender: &mut Sender, packet: &[u8]) -> Result<Vec<u8>, ProtectError> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + GROWTH_MAX, 0);
    let len = match packet[1] {
        192..=223 => sender.protect_rtcp(&mut buffer, packet.len()),
        _ => sender.protect_rtp(&mut buffer, packet.len()),
    }?;
    buffer.truncate(len);
    Ok(buffer)
}

pub(crate) fn unprotect(receiver: &mut Receiver, packet: &[u8]) -> Result<Vec<u8>, UnprotectError> {
    let mut bytes = packet.to_vec();
    let result = match packet[1] {
        192..=223 => receiver.unprotect_rtcp(&mut bytes),
        _ => receiver.unprotect_rtp(&mut bytes),
    };
    match result {
        Ok(len) => bytes.truncate(len),
        Err(_) => assert_eq!(bytes, packet, "nothing has changed"),
    }
    result.map(|_| bytes)
}

#[test]
fn every_suite_is_read_again_with_its_own_keys_alone() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = pair(&crypto(suite));
        let mut other = crypto(suite);
        other.key_and_salt = Secret::new(vec![0; suite.key_and_salt_len()]);
        let mut stranger = Receiver::new(&other).unwrap();
        for packet in [rtp(7, 1), rtp(7, 2), rtcp(7), rtcp(8)] {
            let protected = protect(&mut sender, &packet).unwrap();
            let is_null = suite.name().starts_with("NULL");
            assert_eq!(protected[12..16] == packet[12..16], is_null, "{suite:?}");
            let refused = unprotect(&mut stranger, &protected);
            assert_eq!(refused, Err(UnprotectError::Unauthentic), "{suite:?}");
            assert_eq!(
                unprotect(&mut receiver, &protected),
                Ok(packet),
                "{suite:?}"
            );
        }
    }
}

#[test]
fn tags_are_as_long_as_the_suite_says() {
    for (suite, rtp_tag, rtcp_tag) in [
        (CryptoSuite::AesCm128HmacSha1_80, 10, 10),
        (CryptoSuite::AesCm256HmacSha1_32, 4, 10),
        (CryptoSuite::NullHmacSha1_32, 4, 10),
        (CryptoSuite::AeadAes128Gcm, 16, 16),
    ] {
        let mut sender = Sender::new(&crypto(suite)).unwrap();
        let len = protect(&mut sender, &rtp(1, 1)).unwrap().len();
        assert_eq!(len, 32 + rtp_tag);
        assert_eq!(sender.rtp_growth(), rtp_tag);
        let len = protect(&mut sender, &rtcp(1)).unwrap().len();
        assert_eq!(len, 16 + 4 + rtcp_tag);
    }
}

#[test]
fn session_parameters_leave_out_what_they_say() {
    let mut crypto = crypto(CryptoSuite::AesCm128HmacSha1_80);
    crypto.rtp_is_clear = true;
    crypto.rtcp_is_clear = true;
    let (mut sender, mut receiver) = pair(&crypto);
    for packet in [rtp(1, 1), rtcp(1)] {
        let protected = protect(&mut sender, &packet).unwrap();
        assert_eq!(protected[..packet.len()], packet);
        assert!(protected.len() >= packet.len() + 10);
        assert_eq!(unprotect(&mut receiver, &protected), Ok(packet));
    }
    crypto.rtp_is_clear = false;
    crypto.rtp_is_unauthenticated = true;
    let (mut sender, mut receiver) = pair(&crypto);
    let protected = protect(&mut sender, &rtp(1, 1)).unwrap();
    assert_eq!(protected.len(), rtp(1, 1).len());
    assert_ne!(protected[12..], rtp(1, 1)[12..]);
    assert_eq!(unprotect(&mut receiver, &protected), Ok(rtp(1, 1)));
}

/// Each RTCP packet says whether it is encrypted, whatever was agreed.
#[test]
fn rtcp_that_is_encrypted_though_it_need_not_be_is_read() {
    let secret = crypto(CryptoSuite::AesCm128HmacSha1_80);
    let mut open = secret.clone();
    open.rtcp_is_clear = true;
    for (sends, receives) in [(&secret, &open), (&open, &secret)] {
        let mut sender = Sender::new(sends).unwrap();
        let mut receiver = Receiver::new(receives).unwrap();
        let protected = protect(&mut sender, &rtcp(1)).unwrap();
        assert_eq!(unprotect(&mut receiver, &protected), Ok(rtcp(1)));
    }
}

#[test]
fn the_identifier_stands_where_the_rfcs_have_it() {
    for suite in [CryptoSuite::AesCm128HmacSha1_80, CryptoSuite::AeadAes256Gcm] {
        let mut crypto = crypto(suite);
        crypto.identifier = vec![0xca, 0xfe];
        let (mut sender, mut receiver) = pair(&crypto);
        for packet in [rtp(1, 1), rtcp(1)] {
            let protected = protect(&mut sender, &packet).unwrap();
            // RFC 3711 §3.1 and §3.4: before the tag; RFC 7714 §8.3: the tag is of the payload.
            let at = match suite.is_aead() {
                true => protected.len() - 2,
                false => protected.len() - 12,
            };
            assert_eq!(protected[at..at + 2], [0xca, 0xfe]);
            let mut changed = protected.clone();
            changed[at] ^= 1;
            let refused = unprotect(&mut receiver, &changed);
            assert_eq!(refused, Err(UnprotectError::Unauthentic));
            assert_eq!(unprotect(&mut receiver, &protected), Ok(packet));
        }
    }
}

#[test]
fn a_key_of_another_length_makes_nothing() {
    let suite = CryptoSuite::AeadAes256Gcm;
    let short = Crypto::new(suite, Secret::new(vec![0; 30]));
    assert_eq!(Sender::new(&short).err(), Some(Refusal::WrongKey));
    assert_eq!(Receiver::new(&short).err(), Some(Refusal::WrongKey));
}

#[test]
fn nothing_shows_a_key() {
    for suite in CryptoSuite::ALL {
        let (sender, receiver) = pair(&crypto(suite));
        let shown = format!("{sender:?} {receiver:?}");
        // The master key begins with 1, 2, 3; session keys would show as lists of numbers.
        assert!(!shown.contains("1, 2, 3"), "{shown}");
        let lists = shown.matches(", ").count();
        assert!(lists < 60, "{shown}");
    }
}

#[test]
fn numbers_go_on_when_16_bits_are_over() {
    for suite in [CryptoSuite::AesCm128HmacSha1_80, CryptoSuite::AeadAes128Gcm] {
        let (mut sender, mut receiver) = pair(&crypto(suite));
        for number in 65_000..200_000_u32 {
            if number % 5_000 > 3 && number % 65_536 > 3 {
                continue;
            }
            let [_, _, high, low] = number.to_be_bytes();
            let packet = rtp(1, u16::from_be_bytes([high, low]));
            let protected = protect(&mut sender, &packet).unwrap();
            assert_eq!(unprotect(&mut receiver, &protected), Ok(packet), "{number}");
        }
    }
}

/// A phone began before its peer was there to hear it, so its counter has rolled over already.
#[test]
fn a_source_that_is_heard_late_is_found() {
    let (mut sender, mut receiver) = pair(&crypto(CryptoSuite::AesCm128HmacSha1_80));
    protect(&mut sender, &rtp(1, 65_000)).unwrap();
    protect(&mut sender, &rtp(1, 10)).unwrap();
    for sequence in 20..30 {
        let packet = rtp(1, sequence);
        let protected = protect(&mut sender, &packet).unwrap();
        assert_eq!(unprotect(&mut receiver, &protected), Ok(packet));
    }
}

/// It has rolled over several times: some packets are lost until that is known.
#[test]
fn a_source_that_is_heard_very_late_is_found() {
    let (mut sender, mut receiver) = pair(&crypto(CryptoSuite::AesCm128HmacSha1_80));
    sender.expect(1, 40);
    let mut opened = 0;
    for sequence in 0..1_000 {
        let protected = protect(&mut sender, &rtp(1, sequence)).unwrap();
        opened += u32::from(unprotect(&mut receiver, &protected).is_ok());
    }
    assert_eq!(opened, 1_000 - 39 * 16);
    assert_eq!(receiver.roll_over(1), Some(40));
}

/// Two endpoints of one key: where one goes on for the other, nothing comes twice.
#[test]
fn who_joins_another_goes_on_where_that_was() {
    let crypto = crypto(CryptoSuite::AeadAes128Gcm);
    let (mut first, mut receiver) = pair(&crypto);
    for sequence in [65_000, 10] {
        let protected = protect(&mut first, &rtp(1, sequence)).unwrap();
        unprotect(&mut receiver, &protected).unwrap();
    }
    let report = protect(&mut first, &rtcp(1)).unwrap();
    unprotect(&mut receiver, &report).unwrap();

    let (mut second, mut other) = pair(&crypto);
    second.join(&first);
    other.join(&receiver);
    let repeated = protect(&mut second, &rtp(1, 10));
    assert_eq!(repeated, Err(ProtectError::Repeated));
    let protected = protect(&mut second, &rtp(1, 11)).unwrap();
    assert_eq!(unprotect(&mut other, &protected), Ok(rtp(1, 11)));
    assert_eq!(
        unprotect(&mut other, &report),
        Err(UnprotectError::Replayed)
    );
    let report = protect(&mut second, &rtcp(1)).unwrap();
    assert_eq!(unprotect(&mut other, &report), Ok(rtcp(1)));
    assert_eq!(
        unprotect(&mut receiver, &report),
        Ok(rtcp(1)),
        "not the first number"
    );
}

/// With new keys some count on, and most begin anew.
#[test]
fn new_keys_are_followed_by_those_who_count_on_and_those_who_begin_anew() {
    let old = crypto(CryptoSuite::AesCm128HmacSha1_80);
    let mut new = old.clone();
    new.key_and_salt = Secret::new(vec![9; 30]);
    let (mut sender, mut receiver) = pair(&old);
    for sequence in [60_000, 65_000, 5_000, 30_000, 50_000, 3_000] {
        let protected = protect(&mut sender, &rtp(1, sequence)).unwrap();
        unprotect(&mut receiver, &protected).unwrap();
    }
    for counts_on in [true, false] {
        let mut after = Receiver::new(&new).unwrap();
        after.follow(&receiver);
        let mut sender = Sender::new(&new).unwrap();
        if counts_on {
            for sequence in [60_000, 65_000, 5_000, 30_000, 50_000, 3_000] {
                protect(&mut sender, &rtp(1, sequence)).unwrap();
            }
        }
        for sequence in 3_001..3_010 {
            let protected = protect(&mut sender, &rtp(1, sequence)).unwrap();
            assert_eq!(unprotect(&mut after, &protected), Ok(rtp(1, sequence)));
        }
    }
}

proptest! {
    #[test]
    fn what_was_protected_is_read_again(
        suite in 0..CryptoSuite::ALL.len(),
        start in any::<u16>(),
        order in Just((0_u16..100).collect::<Vec<_>>()).prop_shuffle(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
        contributors in 0_u8..16,
    ) {
        let (mut sender, mut receiver) = pair(&crypto(CryptoSuite::ALL[suite]));
        // The first says where numbers begin, and the others come within the window.
        let first = [0].into_iter();
        for ahead in first.chain(order.into_iter().map(|it| it + 1)) {
            let mut packet = rtp(1, start.wrapping_add(200).wrapping_add(ahead));
            packet[0] |= contributors;
            packet.extend([0; 60]);
            packet.extend(&payload);
            let protected = protect(&mut sender, &packet);
            prop_assert!(protected.is_ok());
            let protected = protected.unwrap();
            prop_assert_eq!(unprotect(&mut receiver, &protected), Ok(packet));
        }
    }
}

#[test]
fn a_number_leaves_once() {
    let mut sender = Sender::new(&crypto(CryptoSuite::AesCm128HmacSha1_80)).unwrap();
    protect(&mut sender, &rtp(1, 5)).unwrap();
    let again = protect(&mut sender, &rtp(1, 5));
    assert_eq!(again, Err(ProtectError::Repeated));
    protect(&mut sender, &rtp(2, 5)).unwrap();
    protect(&mut sender, &rtp(1, 4)).unwrap();
    protect(&mut sender, &rtp(1, 1_000)).unwrap();
    let late = protect(&mut sender, &rtp(1, 6));
    assert_eq!(late, Err(ProtectError::Repeated), "nobody knows any more");
}

#[test]
fn nothing_leaves_that_has_no_room_or_is_no_media() {
    let mut sender = Sender::new(&crypto(CryptoSuite::AeadAes128Gcm)).unwrap();
    let packet = rtp(1, 1);
    let mut buffer = packet.clone();
    buffer.extend([0; 15]);
    let result = sender.protect_rtp(&mut buffer, packet.len());
    assert_eq!(result, Err(ProtectError::NoRoom));
    assert_eq!(buffer[..packet.len()], packet);
    buffer.push(0);
    assert!(sender.protect_rtp(&mut buffer, packet.len()).is_ok());
    let mut buffer = [0; 200];
    assert_eq!(
        sender.protect_rtp(&mut buffer, 20),
        Err(ProtectError::Malformed)
    );
    assert_eq!(
        sender.protect_rtcp(&mut buffer, 20),
        Err(ProtectError::Malformed)
    );
    assert_eq!(
        sender.protect_rtp(&mut buffer, 201),
        Err(ProtectError::NoRoom)
    );
}

#[test]
fn sources_that_leave_are_never_forgotten() {
    let mut sender = Sender::new(&crypto(CryptoSuite::AesCm128HmacSha1_80)).unwrap();
    let sources = u32::try_from(SOURCES_MAX).unwrap();
    for ssrc in 0..sources {
        protect(&mut sender, &rtp(ssrc, 1)).unwrap();
    }
    let more = protect(&mut sender, &rtp(sources, 1));
    assert_eq!(more, Err(ProtectError::TooManySources));
    assert_eq!(
        protect(&mut sender, &rtp(0, 1)),
        Err(ProtectError::Repeated)
    );
    protect(&mut sender, &rtp(0, 2)).unwrap();
}
