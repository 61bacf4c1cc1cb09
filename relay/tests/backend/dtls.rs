//! A phone that shakes hands, and one that speaks in clear: over real sockets, with OpenSSL on the far
//! side.

use std::net::{SocketAddr, UdpSocket};

use relay_srtp::{GROWTH_MAX, Receiver, Sender};
use relay_wire::{
    CallKey, Command, Crypto, CryptoSuite, Dtls, DtlsRole, Fingerprint, Learning, Secret,
};
use tempfile::TempDir;

use crate::control::{Control, port};
use crate::harness::{Options, TestRelay, on_each_driver};
use crate::openssl::{OpenSsl, certificate, exported};
use crate::phone::{Phone, rtcp, rtp};

const SUITE: CryptoSuite = CryptoSuite::AesCm128HmacSha1_80;
const EXPORT: [&str; 6] = [
    "-use_srtp",
    "SRTP_AES128_CM_SHA1_80",
    "-keymatexport",
    "EXTRACTOR-dtls_srtp",
    "-keymatexportlen",
    "60",
];

/// A call of a phone that shakes hands, at the first port, and of one that does not.
struct Call {
    control: Control,
    first: u16,
    secure: Phone,
    plain: Phone,
}

impl Call {
    fn new(relay: &TestRelay, remote: Option<SocketAddr>, dtls: Dtls) -> Self {
        let mut control = relay.connect();
        let first = control.first_port();
        let (secure, plain) = (Phone::new(), Phone::new());
        let remote = remote.unwrap_or_else(|| secure.address());
        let remotes = [Some(remote), Some(plain.address())];
        control.set_up(1, [port(first), port(first + 2)], remotes);
        let call = CallKey(1);
        let learn = Command::SetRemote {
            call,
            port: port(first),
            remote: Some(remote),
            learning: Learning::Immediate,
        };
        let shake = Command::SetDtls {
            call,
            port: port(first),
            dtls: Some(dtls),
        };
        control.apply(0, vec![shake.clone(), learn]);
        // The same again changes nothing.
        control.apply(0, vec![shake]);
        Self {
            control,
            first,
            secure,
            plain,
        }
    }

    /// Before there are keys nothing passes, either way.
    fn is_silent(&mut self) {
        self.secure.send(&rtp(1, 1), self.first);
        self.plain.send(&rtp(2, 1), self.first + 2);
        self.plain.expect_nothing();
        self.secure.expect_nothing();
        assert_eq!(self.control.counter("dropped_unsealed"), 1);
        assert_eq!(self.control.counter("dropped_unauthentic"), 1);
    }

    /// Packets of who has the keys pass, and nobody else's.
    fn speaks(&mut self, [ours, theirs]: [Vec<u8>; 2]) {
        let crypto = |key| Crypto::new(SUITE, Secret::new(key));
        let mut sender = Sender::new(&crypto(ours)).unwrap();
        let mut receiver = Receiver::new(&crypto(theirs)).unwrap();
        for number in 2..6 {
            let clear = rtp(1, number);
            let mut sealed = clear.clone();
            sealed.resize(clear.len() + GROWTH_MAX, 0);
            let len = sender.protect_rtp(&mut sealed, clear.len()).unwrap();
            self.secure.send(&sealed[..len], self.first);
            self.plain.expect(&clear, self.first + 2);

            self.plain.send(&rtp(2, number), self.first + 2);
            let (mut sealed, _) = self.secure.receive();
            assert_ne!(sealed[12..22], rtp(2, number)[12..22]);
            let len = receiver.unprotect_rtp(&mut sealed).unwrap();
            assert_eq!(sealed[..len], rtp(2, number));
        }
        let mut sealed = rtcp(1);
        let len = sealed.len();
        sealed.resize(len + GROWTH_MAX, 0);
        let sealed_len = sender.protect_rtcp(&mut sealed, len).unwrap();
        self.secure.send(&sealed[..sealed_len], self.first);
        self.plain.expect(&rtcp(1), self.first + 2);
        self.secure.send(&rtp(1, 9), self.first);
        self.plain.expect_nothing();
        assert_eq!(self.control.counter("dtls_keyed"), 1);
        assert_eq!(self.control.counter("dtls_done"), 1);
    }
}

fn far() -> (TempDir, Fingerprint) {
    let folder = tempfile::tempdir().unwrap();
    let fingerprint = certificate(folder.path());
    (folder, fingerprint)
}

fn dtls(role: DtlsRole, fingerprint: Fingerprint) -> Dtls {
    Dtls {
        role,
        fingerprint,
        association: 1,
    }
}

#[test]
fn who_begins_a_handshake_is_bridged_to_who_speaks_in_clear() {
    on_each_driver(Options::default(), |relay| {
        let (folder, fingerprint) = far();
        let mut call = Call::new(relay, None, dtls(DtlsRole::Passive, fingerprint));
        call.is_silent();
        let connect = format!("127.0.0.1:{}", call.first);
        let mut args = vec!["s_client", "-dtls1_2", "-connect", &connect];
        args.extend(["-cert", "certificate.pem", "-key", "key.pem"]);
        args.extend(EXPORT);
        let openssl = OpenSsl::run(folder.path(), &args);
        let keys = exported(&openssl.line("Keying material:"), SUITE);
        call.control.wait_for("dtls_keyed", 1);
        call.speaks(keys);
    });
}

#[test]
fn who_waits_for_a_handshake_is_bridged_to_who_speaks_in_clear() {
    on_each_driver(Options::default(), |relay| {
        let (folder, fingerprint) = far();
        let place = UdpSocket::bind("127.0.0.1:0").unwrap();
        let there = place.local_addr().unwrap();
        drop(place);
        let accept = there.to_string();
        let mut args = vec!["s_server", "-dtls1_2", "-accept", &accept, "-Verify", "1"];
        args.extend(["-cert", "certificate.pem", "-key", "key.pem"]);
        args.extend(EXPORT);
        let openssl = OpenSsl::run(folder.path(), &args);
        openssl.line("ACCEPT");
        let dtls = dtls(DtlsRole::Active, fingerprint);
        let mut call = Call::new(relay, Some(there), dtls);
        let [client, server] = exported(&openssl.line("Keying material:"), SUITE);
        call.control.wait_for("dtls_keyed", 1);
        call.speaks([server, client]);
    });
}

#[test]
fn who_has_another_certificate_than_was_announced_is_not_heard() {
    on_each_driver(Options::default(), |relay| {
        let (folder, _) = far();
        let (_, other) = far();
        let mut call = Call::new(relay, None, dtls(DtlsRole::Passive, other));
        let connect = format!("127.0.0.1:{}", call.first);
        let mut args = vec!["s_client", "-dtls1_2", "-connect", &connect];
        args.extend(["-cert", "certificate.pem", "-key", "key.pem"]);
        args.extend(EXPORT);
        let _openssl = OpenSsl::run(folder.path(), &args);
        call.control.wait_for("dtls_wrong_fingerprint", 1);
        call.is_silent();
        assert_eq!(call.control.counter("dtls_keyed"), 0);
    });
}

#[test]
fn a_call_that_ends_leaves_nothing_of_its_handshakes() {
    on_each_driver(Options::default(), |relay| {
        let (_, fingerprint) = far();
        let mut call = Call::new(relay, None, dtls(DtlsRole::Active, fingerprint));
        call.control.wait_for("dtls_endpoints", 1);
        let remove = Command::RemoveCall { call: CallKey(1) };
        call.control.request(0, vec![remove]);
        call.control.wait_for("dtls_endpoints", 0);
    });
}
