//! Handshakes with an implementation that is not ours: that of OpenSSL, as a program of its own.

mod program;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use relay_dtls::{Event, Handshakes, Identity, Keys};
use relay_wire::{CryptoSuite, Dtls, DtlsRole};

use program::{OpenSsl, PATIENCE, certificate, exported};

/// Shakes hands over a socket until there are keys.
fn shake(socket: &UdpSocket, peer: Option<SocketAddr>, dtls: Dtls) -> Keys {
    let mut table = Handshakes::new(Identity::new().unwrap(), 1);
    table.begin(Instant::now(), (), dtls);
    let start = Instant::now();
    let wait = Some(Duration::from_millis(20));
    socket.set_read_timeout(wait).unwrap();
    let mut buffer = [0; 2_048];
    while start.elapsed() < PATIENCE {
        if let Ok((len, source)) = socket.recv_from(&mut buffer) {
            let source = (source, peer == Some(source));
            table.handle_datagram(Instant::now(), (), source, &buffer[..len]);
        }
        table.handle_timeout(Instant::now());
        while let Some(event) = table.poll_event() {
            match event {
                Event::Transmit { to, bytes, .. } => {
                    let to = to.or(peer).unwrap();
                    // Nobody may be there yet.
                    let _ = socket.send_to(&bytes, to);
                }
                Event::Done { keys, .. } => {
                    // The other side may still want our last flight.
                    while let Some(event) = table.poll_event() {
                        if let Event::Transmit { to, bytes, .. } = event {
                            let _ = socket.send_to(&bytes, to.or(peer).unwrap());
                        }
                    }
                    return keys;
                }
                Event::Failed { .. } => {}
            }
        }
    }
    panic!("no keys");
}

const SUITES: [(&str, CryptoSuite); 3] = [
    ("SRTP_AES128_CM_SHA1_80", CryptoSuite::AesCm128HmacSha1_80),
    ("SRTP_AEAD_AES_128_GCM", CryptoSuite::AeadAes128Gcm),
    ("SRTP_AEAD_AES_256_GCM", CryptoSuite::AeadAes256Gcm),
];

#[test]
fn openssl_waits_for_us() {
    for (profile, suite) in SUITES {
        let folder = tempfile::tempdir().unwrap();
        let fingerprint = certificate(folder.path());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = UdpSocket::bind("127.0.0.1:0").unwrap();
        let there = place.local_addr().unwrap();
        drop(place);
        let len = (2 * suite.key_and_salt_len()).to_string();
        let accept = there.to_string();
        let args = [
            "s_server",
            "-dtls1_2",
            "-accept",
            &accept,
            "-cert",
            "certificate.pem",
            "-key",
            "key.pem",
            "-Verify",
            "1",
            "-use_srtp",
            profile,
            "-keymatexport",
            "EXTRACTOR-dtls_srtp",
            "-keymatexportlen",
            &len,
        ];
        let openssl = OpenSsl::run(folder.path(), &args);
        let dtls = Dtls {
            role: DtlsRole::Active,
            fingerprint,
            association: 0,
        };
        let keys = shake(&socket, Some(there), dtls);
        let [client, server] = exported(&openssl.line("Keying material:"), suite);
        assert_eq!((keys.send.suite, keys.receive.suite), (suite, suite));
        assert_eq!(keys.send.key_and_salt.as_bytes(), client);
        assert_eq!(keys.receive.key_and_salt.as_bytes(), server);
    }
}

#[test]
fn openssl_begins() {
    for (profile, suite) in SUITES {
        let folder = tempfile::tempdir().unwrap();
        let fingerprint = certificate(folder.path());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let len = (2 * suite.key_and_salt_len()).to_string();
        let connect = socket.local_addr().unwrap().to_string();
        let args = [
            "s_client",
            "-dtls1_2",
            "-connect",
            &connect,
            "-cert",
            "certificate.pem",
            "-key",
            "key.pem",
            "-use_srtp",
            profile,
            "-keymatexport",
            "EXTRACTOR-dtls_srtp",
            "-keymatexportlen",
            &len,
        ];
        let openssl = OpenSsl::run(folder.path(), &args);
        let dtls = Dtls {
            role: DtlsRole::Passive,
            fingerprint,
            association: 0,
        };
        let keys = shake(&socket, None, dtls);
        let [client, server] = exported(&openssl.line("Keying material:"), suite);
        assert_eq!(keys.send.suite, suite);
        assert_eq!(keys.receive.key_and_salt.as_bytes(), client);
        assert_eq!(keys.send.key_and_salt.as_bytes(), server);
    }
}
