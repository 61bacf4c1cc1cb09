//! A browser calls a phone: it finds the relay by ICE, shakes hands where that has decided to, and
//! encrypts with what comes of it. The phone does nothing of that.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_dtls::{Event, Handshakes, Identity, Keys};
use relay_ice::Role;
use relay_srtp::{GROWTH_MAX, Receiver, Sender};
use relay_wire::{Dtls, DtlsRole, Fingerprint, FingerprintHash};
use tandem_tests::{NgClient, RtpEndpoint, Site, Tandem, sdp_endpoint, speech};

use crate::ice_calls::Browser;

/// The handshakes of a browser.
struct Hands {
    table: Handshakes<u8>,
    fingerprint: Fingerprint,
}

impl Hands {
    fn new() -> Self {
        let identity = Identity::new().unwrap();
        let mut fingerprints = identity.fingerprints().into_iter();
        let fingerprint = fingerprints.find(|it| it.hash() == FingerprintHash::Sha256);
        Self {
            fingerprint: fingerprint.unwrap(),
            table: Handshakes::new(identity, 1),
        }
    }

    fn sdp(&self, plain: &str) -> String {
        let lines = format!("a=setup:actpass\r\na=fingerprint:{}\r\n", self.fingerprint);
        plain.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF") + &lines
    }

    /// Shakes hands with who was announced, where ICE has decided to.
    fn shake(&mut self, browser: &mut Browser, relay: SocketAddr, told: &str) -> Keys {
        let setup = line(told, "a=setup:");
        let role = match setup {
            "active" => DtlsRole::Passive,
            "passive" => DtlsRole::Active,
            _ => panic!("{told}"),
        };
        let dtls = Dtls {
            role,
            fingerprint: fingerprint(line(told, "a=fingerprint:")),
            association: 0,
        };
        assert!(self.table.begin(Instant::now(), 1, dtls));
        let mut keys = None;
        browser.until("hands are shaken", |browser| {
            let now = Instant::now();
            for (from, datagram) in std::mem::take(&mut browser.media) {
                let source = (from, from == relay);
                self.table.handle_datagram(now, 1, source, &datagram);
            }
            self.table.handle_timeout(now);
            while let Some(event) = self.table.poll_event() {
                match event {
                    Event::Transmit { to, bytes, .. } => browser.say(to.unwrap_or(relay), &bytes),
                    Event::Done { keys: new, .. } => keys = Some(new),
                    Event::Failed { failure, .. } => panic!("{failure}"),
                }
            }
            keys.is_some()
        });
        keys.unwrap()
    }
}

fn line<'s>(sdp: &'s str, start: &str) -> &'s str {
    let found = sdp.lines().find_map(|it| it.strip_prefix(start));
    found.unwrap_or_else(|| panic!("no {start} in {sdp}"))
}

fn fingerprint(text: &str) -> Fingerprint {
    let (hash, digest) = text.split_once(' ').unwrap();
    let byte = |it| u8::from_str_radix(it, 16).unwrap();
    let digest = digest.split(':').map(byte).collect();
    Fingerprint::new(FingerprintHash::from_name(hash).unwrap(), digest).unwrap()
}

#[test]
fn a_browser_and_a_phone_hear_each_other_whoever_begins() {
    for word in ["active", "passive"] {
        let site = Site::new();
        let tandem = Tandem::start_pair(&site, |_| {});
        let client = NgClient::new(tandem.ng());
        let (mut browser, mut hands) = (Browser::new(&site, 2), Hands::new());
        let phone = RtpEndpoint::new(site.ip(3));
        let names = [("call-id", "c1"), ("from-tag", "a"), ("to-tag", "b")];
        let sdp = hands.sdp(&browser.sdp());
        let wishes = [("ICE", "remove"), ("DTLS", word)];
        let to_phone = [
            ("sdp", &*sdp),
            ("transport-protocol", "RTP/AVP"),
            ("rtcp-mux", "demux"),
        ];
        let offer = client.request("offer", &[&names[..2], &wishes, &to_phone].concat());
        let offered = offer.text("sdp").to_owned();
        assert!(offered.contains(" RTP/AVP "), "{offered}");
        let (ip, port) = (phone.address().ip(), phone.address().port());
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=call\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 8\r\n"
        );
        let answer = client.request("answer", &[&names[..], &[("sdp", &*sdp)]].concat());
        let told = answer.text("sdp").to_owned();
        assert!(told.contains(" UDP/TLS/RTP/SAVPF "), "{told}");
        assert_eq!(line(&told, "a=setup:"), word);
        browser.hear(Role::Controlling, &told);
        let relay = browser.connect();
        assert_eq!(relay, sdp_endpoint(&told));
        let keys = hands.shake(&mut browser, relay, &told);

        let mut sender = Sender::new(&keys.send).unwrap();
        let mut receiver = Receiver::new(&keys.receive).unwrap();
        let mut sequence = 0;
        // The relay may have the keys a moment later: what came before is lost.
        browser.until("the phone hears the browser", |browser| {
            sequence += 1;
            let clear = speech(7, sequence, 0x2a);
            let mut sealed = clear.clone();
            sealed.resize(clear.len() + GROWTH_MAX, 0);
            let len = sender.protect_rtp(&mut sealed, clear.len()).unwrap();
            browser.say(relay, &sealed[..len]);
            let heard = phone.receive_raw(Duration::from_millis(200));
            heard.is_some_and(|(heard, _)| heard[12..] == clear[12..])
        });
        let clear = speech(8, 1, 0x2b);
        phone.send_raw(sdp_endpoint(&offered), &clear);
        browser.until("the browser hears the phone", |browser| {
            let mut all = std::mem::take(&mut browser.media).into_iter();
            all.any(|(_, mut packet)| {
                let opened = receiver.unprotect_rtp(&mut packet);
                opened.is_ok_and(|len| packet[..len] == clear)
            })
        });
    }
}
