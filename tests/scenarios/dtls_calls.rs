//! A phone that agrees on keys with a handshake calls one that has none, and is called by it. On the
//! far side is OpenSSL.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use relay_srtp::{GROWTH_MAX, Receiver, Sender};
use relay_wire::{Crypto, CryptoSuite, Fingerprint, Secret};
use tandem_tests::{NgClient, RtpEndpoint, Site, Tandem, sdp_endpoint, speech};
use tempfile::TempDir;

use crate::openssl::{OpenSsl, certificate, exported};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(120);

const SUITE: CryptoSuite = CryptoSuite::AesCm128HmacSha1_80;

/// A phone that shakes hands: its media, and its certificate.
struct Secure {
    media: UdpSocket,
    folder: TempDir,
    fingerprint: Fingerprint,
}

impl Secure {
    fn new(site: &Site) -> Self {
        let media = UdpSocket::bind((site.ip(3), 0)).unwrap();
        media.set_read_timeout(Some(LIMIT)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let fingerprint = certificate(folder.path());
        Self {
            media,
            folder,
            fingerprint,
        }
    }

    fn sdp(&self, setup: &str, address: SocketAddr) -> String {
        let (ip, port) = (address.ip(), address.port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=call\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} UDP/TLS/RTP/SAVPF 8\r\na=rtcp-mux\r\na=setup:{setup}\r\n\
             a=fingerprint:{}\r\n",
            self.fingerprint
        )
    }

    /// Has OpenSSL shake hands.
    fn shake(&self, role: &[&str]) -> OpenSsl {
        let mut args = role.to_vec();
        args.extend(["-dtls1_2", "-cert", "certificate.pem", "-key", "key.pem"]);
        args.extend(["-use_srtp", "SRTP_AES128_CM_SHA1_80"]);
        args.extend(["-keymatexport", "EXTRACTOR-dtls_srtp"]);
        args.extend(["-keymatexportlen", "60"]);
        OpenSsl::run(self.folder.path(), &args)
    }

    /// Both hear each other.
    fn talk(&self, plain: &RtpEndpoint, keys: [Vec<u8>; 2], to: [SocketAddr; 2]) {
        let crypto = keys.map(|key| Crypto::new(SUITE, Secret::new(key)));
        let mut sender = Sender::new(&crypto[0]).unwrap();
        let mut receiver = Receiver::new(&crypto[1]).unwrap();
        let mut sequence = 0;
        // Keys are with the relay a moment later than with OpenSSL: what came before is lost.
        let mut say = |sequence| {
            let clear = speech(7, sequence, 0x2a);
            let mut sealed = clear.clone();
            sealed.resize(clear.len() + GROWTH_MAX, 0);
            let len = sender.protect_rtp(&mut sealed, clear.len()).unwrap();
            self.media.send_to(&sealed[..len], to[0]).unwrap();
        };
        let heard = loop {
            sequence += 1;
            assert!(sequence < 250, "nothing was heard");
            say(sequence);
            if let Some((heard, _)) = plain.receive_raw(Duration::from_millis(200)) {
                break heard;
            }
        };
        assert_eq!(heard[12..], speech(7, 1, 0x2a)[12..]);
        for number in 1..4 {
            plain.send_raw(to[1], &speech(8, number, 0x2b));
            let mut sealed = [0; 2_048];
            let (len, from) = self.media.recv_from(&mut sealed).unwrap();
            assert_eq!(from, to[0]);
            let len = receiver.unprotect_rtp(&mut sealed[..len]).unwrap();
            assert_eq!(sealed[..len], speech(8, number, 0x2b));
        }
    }
}

fn plain_sdp(plain: &RtpEndpoint) -> String {
    let (ip, port) = (plain.address().ip(), plain.address().port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=call\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8\r\n"
    )
}

#[test]
fn who_is_called_begins_a_handshake_and_both_hear_each_other() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let client = NgClient::new(tandem.ng());
    let (plain, secure) = (RtpEndpoint::new(site.ip(2)), Secure::new(&site));
    let offer = client.request(
        "offer",
        &[
            ("call-id", "c1"),
            ("from-tag", "a"),
            ("sdp", &plain_sdp(&plain)),
            ("transport-protocol", "UDP/TLS/RTP/SAVPF"),
            ("rtcp-mux", "require"),
        ],
    );
    let offered = offer.text("sdp");
    for line in ["a=setup:actpass\r\n", "a=fingerprint:sha-256 ", "a=tls-id:"] {
        assert!(offered.contains(line), "{offered}");
    }
    assert!(!offered.contains("a=crypto"), "{offered}");
    let relay = sdp_endpoint(offered);
    let answer = secure.sdp("active", secure.media.local_addr().unwrap());
    let names = [("call-id", "c1"), ("from-tag", "a"), ("to-tag", "b")];
    let answer = [&names[..], &[("sdp", &answer[..])]].concat();
    let answer = client.request("answer", &answer);
    let answered = answer.text("sdp");
    assert!(answered.contains(" RTP/AVP 8\r\n"), "{answered}");
    assert!(!answered.contains("a=fingerprint"), "{answered}");
    let connect = relay.to_string();
    let openssl = secure.shake(&["s_client", "-connect", &connect]);
    let keys = exported(&openssl.line("Keying material:"), SUITE);
    let to = [relay, sdp_endpoint(answered)];
    secure.talk(&plain, keys, to);
}

#[test]
fn who_calls_waits_for_a_handshake_and_both_hear_each_other() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let client = NgClient::new(tandem.ng());
    let (plain, secure) = (RtpEndpoint::new(site.ip(2)), Secure::new(&site));
    let place = UdpSocket::bind((site.ip(3), 0)).unwrap();
    let there = place.local_addr().unwrap();
    drop(place);
    let accept = there.to_string();
    let openssl = secure.shake(&["s_server", "-Verify", "1", "-accept", &accept]);
    openssl.line("ACCEPT");
    let offer = secure.sdp("actpass", there);
    let offer = client.request(
        "offer",
        &[
            ("call-id", "c1"),
            ("from-tag", "a"),
            ("sdp", &offer),
            ("transport-protocol", "RTP/AVP"),
            ("rtcp-mux", "demux"),
            ("endpoint-learning", "immediate"),
        ],
    );
    let offered = offer.text("sdp");
    assert!(offered.contains(" RTP/AVP 8\r\n"), "{offered}");
    assert!(!offered.contains("a=fingerprint"), "{offered}");
    let names = [("call-id", "c1"), ("from-tag", "a"), ("to-tag", "b")];
    let answer = plain_sdp(&plain);
    let answer = [&names[..], &[("sdp", &answer[..])]].concat();
    let answer = client.request("answer", &answer);
    let answered = answer.text("sdp");
    assert!(answered.contains(" UDP/TLS/RTP/SAVPF 8\r\n"), "{answered}");
    assert!(answered.contains("a=setup:active\r\n"), "{answered}");
    let [client_key, server_key] = exported(&openssl.line("Keying material:"), SUITE);
    let to = [sdp_endpoint(answered), sdp_endpoint(offered)];
    secure.talk(&plain, [server_key, client_key], to);
}
