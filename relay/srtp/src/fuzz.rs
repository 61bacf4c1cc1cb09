//! Bodies of the fuzz targets: any bytes may come, nothing may panic, and nothing passes that was
//! not protected.

use relay_rtp::Kind;
use relay_wire::{Crypto, CryptoSuite, Secret};

use crate::{GROWTH_MAX, Receiver, Sender};

/// The first byte says which suite and which parameters, the rest is a packet: it is protected if
/// it can be, and then read again; and it is taken for a protected one, which it is not.
pub fn packet(data: &[u8]) {
    let Some((choice, packet)) = data.split_first() else {
        return;
    };
    let crypto = crypto(*choice);
    let (Ok(mut sender), Ok(mut receiver)) = (Sender::new(&crypto), Receiver::new(&crypto)) else {
        return;
    };
    let mut taken = packet.to_vec();
    let is_rtcp = Kind::of(packet) == Kind::Rtcp;
    let opened = match is_rtcp {
        true => receiver.unprotect_rtcp(&mut taken),
        false => receiver.unprotect_rtp(&mut taken),
    };
    if is_rtcp || !crypto.rtp_is_unauthenticated {
        assert!(opened.is_err(), "nobody protected it");
        assert_eq!(taken, packet, "nothing has changed");
    }
    check_round_trip((&mut sender, &mut receiver), packet, is_rtcp);
}

fn check_round_trip(
    (sender, receiver): (&mut Sender, &mut Receiver),
    packet: &[u8],
    is_rtcp: bool,
) {
    let len = packet.len();
    let mut buffer = packet.to_vec();
    buffer.resize(len + GROWTH_MAX, 0);
    let protected = match is_rtcp {
        true => sender.protect_rtcp(&mut buffer, len),
        false => sender.protect_rtp(&mut buffer, len),
    };
    let Ok(grown) = protected else {
        assert_eq!(buffer[..len], *packet, "nothing has changed");
        return;
    };
    assert!(grown <= len + GROWTH_MAX);
    let mut wire = buffer[..grown].to_vec();
    let opened = match is_rtcp {
        true => receiver.unprotect_rtcp(&mut wire),
        false => receiver.unprotect_rtp(&mut wire),
    };
    assert_eq!(opened, Ok(len));
    assert_eq!(wire[..len], *packet);
}

fn crypto(choice: u8) -> Crypto {
    let all = CryptoSuite::ALL;
    let suite = all[usize::from(choice & 0x0f) % all.len()];
    let mut crypto = Crypto::new(suite, Secret::new(vec![0x5a; suite.key_and_salt_len()]));
    if choice & 0x10 != 0 {
        crypto.identifier = vec![1, 2, 3, 4];
    }
    if !suite.is_aead() {
        crypto.rtp_is_clear = choice & 0x20 != 0;
        crypto.rtcp_is_clear = choice & 0x40 != 0;
        crypto.rtp_is_unauthenticated = choice & 0x80 != 0;
    }
    crypto
}
