//! Whoever has no keys, and whoever has them and means ill.

use relay_wire::CryptoSuite;

use super::{crypto, pair, protect, rtcp, rtp, unprotect};
use crate::{SOURCES_MAX, UnprotectError};

#[test]
fn every_changed_bit_is_noticed() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = pair(&crypto(suite));
        for packet in [rtp(1, 1), rtcp(1)] {
            let protected = protect(&mut sender, &packet).unwrap();
            for bit in 0..protected.len() * 8 {
                let mut changed = protected.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let is_other_kind = (192..=223).contains(&changed[1]) != (packet[1] == 201);
                if !is_other_kind {
                    assert!(unprotect(&mut receiver, &changed).is_err(), "bit {bit}");
                }
            }
            assert_eq!(
                unprotect(&mut receiver, &protected),
                Ok(packet),
                "{suite:?}"
            );
        }
    }
}

#[test]
fn what_is_cut_short_is_no_packet() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = pair(&crypto(suite));
        for packet in [rtp(1, 1), rtcp(1)] {
            let protected = protect(&mut sender, &packet).unwrap();
            for len in 2..protected.len() {
                assert!(unprotect(&mut receiver, &protected[..len]).is_err());
            }
            let mut long = protected.clone();
            long.push(0);
            assert!(unprotect(&mut receiver, &long).is_err());
            assert_eq!(unprotect(&mut receiver, &protected), Ok(packet));
        }
    }
}

#[test]
fn nothing_is_heard_twice() {
    for suite in CryptoSuite::ALL {
        let (mut sender, mut receiver) = pair(&crypto(suite));
        let packets: Vec<_> = (0..50)
            .flat_map(|it| [rtp(1, 65_500_u16.wrapping_add(it)), rtcp(1)])
            .map(|it| protect(&mut sender, &it).unwrap())
            .collect();
        for packet in &packets {
            assert!(unprotect(&mut receiver, packet).is_ok());
        }
        for packet in &packets {
            let again = unprotect(&mut receiver, packet);
            assert_eq!(again, Err(UnprotectError::Replayed), "{suite:?}");
        }
        // Nor when that is long ago.
        for ahead in (0..60_000).step_by(1_000) {
            let packet = protect(&mut sender, &rtp(1, 100_u16.wrapping_add(ahead))).unwrap();
            unprotect(&mut receiver, &packet).unwrap();
        }
        for packet in packets.iter().filter(|it| it[1] == 8) {
            assert!(unprotect(&mut receiver, packet).is_err());
        }
    }
}

/// Forged packets, each of another source or number, leave no trace.
#[test]
fn a_flood_of_forged_packets_changes_nothing() {
    let (mut sender, mut receiver) = pair(&crypto(CryptoSuite::AesCm128HmacSha1_32));
    let mut forged = 0_u32;
    for sequence in 65_000..65_100 {
        for _ in 0..20 {
            forged = forged.wrapping_mul(747_796_405).wrapping_add(1);
            let [a, b, ..] = forged.to_be_bytes();
            let mut packet = rtp(forged, u16::from_be_bytes([a, b]));
            packet.extend([a; 4]);
            assert!(unprotect(&mut receiver, &packet).is_err());
            // Of the very source, and far ahead.
            let mut packet = rtp(1, sequence + 400);
            packet.extend([b; 4]);
            assert!(unprotect(&mut receiver, &packet).is_err());
        }
        let protected = protect(&mut sender, &rtp(1, sequence)).unwrap();
        assert!(unprotect(&mut receiver, &protected).is_ok());
    }
    assert_eq!(receiver.sources(), [1, 0]);
}

/// A peer that has the keys and a new source each time takes no more room than is its own.
#[test]
fn a_flood_of_true_sources_takes_no_more_room_than_there_is() {
    let keys = crypto(CryptoSuite::AesCm128HmacSha1_80);
    let (_, mut receiver) = pair(&keys);
    for ssrc in 0..u32::try_from(SOURCES_MAX).unwrap() * 3 {
        let (mut sender, _) = pair(&keys);
        for packet in [rtp(ssrc, 1), rtcp(ssrc)] {
            let protected = protect(&mut sender, &packet).unwrap();
            assert!(unprotect(&mut receiver, &protected).is_ok());
        }
    }
    assert_eq!(receiver.sources(), [SOURCES_MAX; 2]);
}

/// Packets of a roll-over ago are not taken for those of a sender that has begun anew.
#[test]
fn an_old_roll_over_is_not_heard_again() {
    let (mut sender, mut receiver) = pair(&crypto(CryptoSuite::AesCm128HmacSha1_80));
    let old = protect(&mut sender, &rtp(1, 30_000)).unwrap();
    unprotect(&mut receiver, &old).unwrap();
    for sequence in [60_000, 20_000, 29_990] {
        let packet = protect(&mut sender, &rtp(1, sequence)).unwrap();
        unprotect(&mut receiver, &packet).unwrap();
    }
    for _ in 0..40 {
        assert!(unprotect(&mut receiver, &old).is_err());
    }
}
