//! What a registration costs the proxy's core.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use sip_proxy_core::{
    Account, Listener, ListenerId, Now, Output, Proxy, ProxyConfig, Source, Transport,
};

use crate::{Operation, operation};

pub(crate) const OPERATIONS: [Operation; 2] = [
    operation("sip-proxy-core/challenge a REGISTER", challenge),
    operation(
        "sip-proxy-core/challenge and store a REGISTER (with the phone's digest)",
        register,
    ),
];

const REALM: &str = "pbx.example";

/// From one to the next: transactions linger for half a minute, so there are some thousands.
const STEP: Duration = Duration::from_millis(10);

fn challenge() -> Box<dyn FnMut()> {
    let mut world = World::new();
    Box::new(move || {
        world.step();
        assert!(world.register("").starts_with("SIP/2.0 401"));
    })
}

fn register() -> Box<dyn FnMut()> {
    let mut world = World::new();
    Box::new(move || {
        world.step();
        let refusal = world.register("");
        let credentials = answer(&refusal);
        let response = world.register(&credentials);
        assert!(response.starts_with("SIP/2.0 200"), "{response}");
    })
}

struct World {
    proxy: Proxy,
    now: Now,
    number: u64,
    requests: u64,
}

impl World {
    fn new() -> Self {
        let mut proxy = Proxy::new(ProxyConfig {
            listeners: vec![Listener {
                transport: Transport::Udp,
                address: SocketAddr::from(([192, 0, 2, 1], 5_060)),
                prefix_len: 24,
                advertised: None,
            }],
            domains: vec![REALM.to_owned()],
            secret: [9; 32],
            relays_media: true,
            expires_min_s: 60,
            expires_max_s: 3_600,
            contacts_max: 3,
            ring_timeout_s: 180,
            call_duration_max_s: 0,
            requests_per_second_max: 0,
            calls_max: 1_000,
        });
        proxy.handle_accounts(vec![Account {
            user: "alice".to_owned(),
            ha1_md5: hash(&format!("alice:{REALM}:secret")),
            ha1_sha256: String::new(),
        }]);
        Self {
            proxy,
            now: Now {
                instant: Instant::now(),
                unix_ms: 1_700_000_000_000,
            },
            number: 0,
            requests: 0,
        }
    }

    fn step(&mut self) {
        self.number += 1;
        self.now.instant += STEP;
        self.now.unix_ms += 10;
        self.proxy.handle_timeout(self.now);
    }

    /// Registers, and returns the response.
    fn register(&mut self, credentials: &str) -> String {
        self.requests += 1;
        let (number, requests) = (self.number, self.requests);
        let request = format!(
            "REGISTER sip:{REALM} SIP/2.0\r\n\
             Via: SIP/2.0/UDP 198.51.100.23:5060;branch=z9hG4bK{requests};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:alice@{REALM}>;tag=f2c0b7e1d5\r\n\
             To: <sip:alice@{REALM}>\r\n\
             Call-ID: {number}@198.51.100.23\r\n\
             CSeq: {requests} REGISTER\r\n\
             Contact: <sip:alice@198.51.100.23:5060>\r\n\
             Expires: 300\r\n{credentials}Content-Length: 0\r\n\r\n"
        );
        let source = Source {
            listener: ListenerId(0),
            address: SocketAddr::from(([198, 51, 100, 23], 5_060)),
            connection: None,
        };
        self.proxy
            .handle_message(self.now, source, request.as_bytes());
        let mut response = String::new();
        while let Some(output) = self.proxy.poll_output() {
            if let Output::Send { bytes, .. } = output {
                response = String::from_utf8(bytes).expect("ours is ASCII");
            }
        }
        response
    }
}

/// What a phone makes of a challenge (RFC 7616 §3.4).
fn answer(refusal: &str) -> String {
    let (_, rest) = refusal.split_once("nonce=\"").expect("a challenge");
    let (nonce, _) = rest.split_once('"').expect("a quoted nonce");
    let uri = format!("sip:{REALM}");
    let ha1 = hash(&format!("alice:{REALM}:secret"));
    let ha2 = hash(&format!("REGISTER:{uri}"));
    let response = hash(&format!("{ha1}:{nonce}:00000001:c:auth:{ha2}"));
    format!(
        "Authorization: Digest username=\"alice\", realm=\"{REALM}\", nonce=\"{nonce}\", \
         uri=\"{uri}\", response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, \
         cnonce=\"c\"\r\n"
    )
}

fn hash(text: &str) -> String {
    let digest = Md5::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
