//! Bodies of fuzz targets.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use relay_wire::{Dtls, DtlsRole};

use crate::{Event, Handshakes, Identity, TRIALS_MAX};

/// Making a certificate takes longer than all the rest.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::new().expect("randomness"));

/// Datagrams of anybody arrive where we wait for a handshake, and where we have begun one: nobody
/// gets keys by bytes that were made up, and whatever comes, there is an end to it.
///
/// The input is a row of datagrams: a byte that says who sends it, a byte that says how many bytes,
/// and these.
///
/// # Panics
///
/// When something is wrong.
pub fn datagrams(mut data: &[u8]) {
    let mut now = Instant::now();
    let mut table = Handshakes::new(IDENTITY.clone(), 2);
    for (endpoint, role) in [(0, DtlsRole::Active), (1, DtlsRole::Passive)] {
        let fingerprint = IDENTITY.fingerprints().remove(0);
        let dtls = Dtls {
            role,
            fingerprint,
            association: 0,
        };
        assert!(table.begin(now, endpoint, dtls));
    }
    while let [who, len, rest @ ..] = data {
        let (bytes, rest) = rest.split_at(rest.len().min(8 * usize::from(*len)));
        data = rest;
        let source = SocketAddr::from(([192, 0, 2, who >> 4], 4_000));
        table.handle_datagram(now, who & 1, (source, who & 2 != 0), bytes);
        now += Duration::from_millis(if who & 4 != 0 { 5_000 } else { 0 });
        table.handle_timeout(now);
        check(&mut table);
    }
    for _ in 0..100 {
        now += Duration::from_secs(10);
        table.handle_timeout(now);
        check(&mut table);
    }
    // Ours goes on.
    let [_, handshakes, ..] = table.counters();
    assert!(handshakes <= 1);
    table.end(now, 0);
    assert_eq!(table.poll_timeout(), None);
}

/// What begins a handshake, to begin with.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn hello() -> Vec<u8> {
    let now = Instant::now();
    let mut table = Handshakes::new(IDENTITY.clone(), 1);
    let fingerprint = IDENTITY.fingerprints().remove(0);
    let dtls = Dtls {
        role: DtlsRole::Active,
        fingerprint,
        association: 0,
    };
    table.begin(now, 0, dtls);
    table.handle_timeout(now);
    match table.poll_event() {
        Some(Event::Transmit { bytes, .. }) => bytes,
        other => panic!("{other:?}"),
    }
}

fn check(table: &mut Handshakes<u8>) {
    while let Some(event) = table.poll_event() {
        assert!(!matches!(event, Event::Done { .. }), "nobody is the peer");
    }
    let [endpoints, handshakes, ..] = table.counters();
    assert!(endpoints == 2 && handshakes <= 2 * TRIALS_MAX as u64);
}

#[cfg(test)]
mod tests {
    #[test]
    fn rubbish_is_survived() {
        let mut seed = 1_u32;
        for len in 0..40_usize {
            let next = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_be_bytes()[0]
            };
            let data: Vec<u8> = std::iter::repeat_with(next).take(len * 40).collect();
            super::datagrams(&data);
        }
    }
}
