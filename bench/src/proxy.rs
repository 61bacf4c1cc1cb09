//! What registrations and calls cost the proxy's core.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use sip_proxy_core::{
    Account, Listener, ListenerId, Now, Output, Proxy, ProxyConfig, Source, Transport,
};
use sip_proxy_message::{HeaderId, Message, Response};

use crate::{Operation, operation};

pub(crate) const OPERATIONS: [Operation; 3] = [
    operation("sip-proxy-core/challenge a REGISTER", challenge),
    operation(
        "sip-proxy-core/challenge and store a REGISTER (with the phone's digest)",
        register,
    ),
    operation(
        "sip-proxy-core/SIP call with a challenge (with the phones' part)",
        call,
    ),
];

const REALM: &str = "pbx.example";

/// Ours, and those of the phones.
const HERE: ([u8; 4], u16) = ([192, 0, 2, 1], 5_060);
const ALICE: Phone = Phone {
    user: "alice",
    address: ([198, 51, 100, 23], 5_060),
};
const BOB: Phone = Phone {
    user: "bob",
    address: ([198, 51, 100, 24], 5_060),
};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.23\r\ns=-\r\nc=IN IP4 198.51.100.23\r\n\
                   t=0 0\r\nm=audio 16384 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n";

/// From one to the next: transactions linger for half a minute, so there are some thousands.
const STEP: Duration = Duration::from_millis(10);

fn challenge() -> Box<dyn FnMut()> {
    let mut world = World::new();
    Box::new(move || {
        world.step();
        let refused = world.send(ALICE, &world.register(ALICE, 1, ""));
        assert!(refused[0].starts_with("SIP/2.0 401"), "{refused:?}");
    })
}

fn register() -> Box<dyn FnMut()> {
    let mut world = World::new();
    Box::new(move || world.sign_in(ALICE))
}

/// INVITE with a challenge, 180, 200, ACK, BYE: eight messages each way, and a record.
fn call() -> Box<dyn FnMut()> {
    let mut world = World::new();
    world.sign_in(BOB);
    Box::new(move || {
        world.step();
        let refused = world.send(ALICE, &world.invite(1, ""));
        assert!(refused[0].starts_with("SIP/2.0 407"), "{refused:?}");
        let ack = world.follow_up("ACK", 1, &refused[0]);
        assert!(world.send(ALICE, &ack).is_empty());

        let credentials = answer(ALICE, "INVITE", &refused[0]);
        let invited = world.send(ALICE, &world.invite(2, &credentials));
        assert!(invited[0].starts_with("SIP/2.0 100"), "{invited:?}");
        let rung = world.send(BOB, &respond(&invited[1], 180));
        assert!(rung[0].starts_with("SIP/2.0 180"), "{rung:?}");
        let answered = world.send(BOB, &respond(&invited[1], 200));
        let ack = world.follow_up("ACK", 2, &answered[0]);
        assert_eq!(world.send(ALICE, &ack).len(), 1);

        let bye = world.follow_up("BYE", 3, &answered[0]);
        let bye = world.send(ALICE, &bye);
        let over = world.send(BOB, &respond(&bye[0], 200));
        assert!(over[0].starts_with("SIP/2.0 200"), "{over:?}");
        assert_eq!(world.proxy.counters().calls_now, 0);
    })
}

#[derive(Clone, Copy)]
struct Phone {
    user: &'static str,
    address: ([u8; 4], u16),
}

struct World {
    proxy: Proxy,
    now: Now,
    number: u64,
}

impl World {
    fn new() -> Self {
        let mut proxy = Proxy::new(ProxyConfig {
            listeners: vec![Listener {
                transport: Transport::Udp,
                address: SocketAddr::from(HERE),
                prefix_len: 24,
                advertised: None,
            }],
            domains: vec![REALM.to_owned()],
            secret: [9; 32],
            relays_media: false,
            expires_min_s: 60,
            expires_max_s: 86_400,
            contacts_max: 3,
            ring_timeout_s: 180,
            call_duration_max_s: 0,
            requests_per_second_max: 0,
            calls_max: 1_000,
        });
        let account = |phone: Phone| Account {
            user: phone.user.to_owned(),
            ha1_md5: password(phone),
            ha1_sha256: String::new(),
        };
        proxy.handle_accounts(vec![account(ALICE), account(BOB)]);
        Self {
            proxy,
            now: Now {
                instant: Instant::now(),
                unix_ms: 1_700_000_000_000,
            },
            number: 0,
        }
    }

    fn step(&mut self) {
        self.number += 1;
        self.now.instant += STEP;
        self.now.unix_ms += 10;
        self.proxy.handle_timeout(self.now);
        while self.proxy.poll_output().is_some() {}
    }

    fn sign_in(&mut self, phone: Phone) {
        self.step();
        let refused = self.send(phone, &self.register(phone, 1, ""));
        let credentials = answer(phone, "REGISTER", &refused[0]);
        let accepted = self.send(phone, &self.register(phone, 2, &credentials));
        assert!(accepted[0].starts_with("SIP/2.0 200"), "{accepted:?}");
    }

    /// Has a message arrive, and returns those that leave.
    fn send(&mut self, from: Phone, message: &str) -> Vec<String> {
        let source = Source {
            listener: ListenerId(0),
            address: SocketAddr::from(from.address),
            connection: None,
        };
        self.proxy
            .handle_message(self.now, source, message.as_bytes());
        let mut sent = Vec::new();
        while let Some(output) = self.proxy.poll_output() {
            if let Output::Send { bytes, .. } = output {
                sent.push(String::from_utf8(bytes).expect("ours is ASCII"));
            }
        }
        sent
    }

    fn register(&self, phone: Phone, cseq: u32, credentials: &str) -> String {
        let Phone { user, address } = phone;
        let (head, contact) = (self.head("REGISTER", cseq), SocketAddr::from(address));
        format!(
            "REGISTER sip:{REALM} SIP/2.0\r\n{head}From: <sip:{user}@{REALM}>;tag=f2c0b7e1d5\r\n\
             To: <sip:{user}@{REALM}>\r\nContact: <sip:{user}@{contact}>\r\nExpires: 86400\r\n\
             {credentials}Content-Length: 0\r\n\r\n"
        )
    }

    fn invite(&self, cseq: u32, credentials: &str) -> String {
        let head = self.head("INVITE", cseq);
        let len = SDP.len();
        format!(
            "INVITE sip:bob@{REALM} SIP/2.0\r\n{head}From: <sip:alice@{REALM}>;tag=f2c0b7e1d5\r\n\
             To: <sip:bob@{REALM}>\r\nContact: <sip:alice@198.51.100.23:5060>\r\n{credentials}\
             Content-Type: application/sdp\r\nContent-Length: {len}\r\n\r\n{SDP}"
        )
    }

    /// ACK or BYE after a final response: inside the dialog if it made one.
    fn follow_up(&self, method: &str, cseq: u32, response: &str) -> String {
        let message = Message::parse(response.as_bytes()).expect("sound");
        let field = |id| str::from_utf8(message.header(id).expect("there")).expect("ASCII");
        let (uri, route) = match message.status() {
            Some(200) => (
                "sip:bob@198.51.100.24:5060",
                format!("Route: {}\r\n", field(HeaderId::RecordRoute)),
            ),
            _ => ("sip:bob@pbx.example", String::new()),
        };
        let (to, from) = (field(HeaderId::To), field(HeaderId::From));
        let method_of_branch = match message.status() {
            Some(200) => method,
            _ => "INVITE",
        };
        let head = self.head_of(method, method_of_branch, cseq);
        format!(
            "{method} {uri} SIP/2.0\r\n{head}{route}From: {from}\r\nTo: {to}\r\n\
             Content-Length: 0\r\n\r\n"
        )
    }

    fn head(&self, method: &str, cseq: u32) -> String {
        self.head_of(method, method, cseq)
    }

    fn head_of(&self, method: &str, method_of_branch: &str, cseq: u32) -> String {
        let number = self.number;
        format!(
            "Via: SIP/2.0/UDP 198.51.100.23:5060;branch=z9hG4bK{number}.{cseq}{method_of_branch};rport\r\n\
             Max-Forwards: 70\r\nCall-ID: {number}@198.51.100.23\r\nCSeq: {cseq} {method}\r\n"
        )
    }
}

/// What the callee says.
fn respond(request: &str, status: u16) -> String {
    let request = Message::parse(request.as_bytes()).expect("sound");
    let mut response = Response::new(&request, status);
    response
        .to_tag(b"b0b")
        .copy_record_route()
        .header(HeaderId::Contact, b"<sip:bob@198.51.100.24:5060>");
    if status == 200 && request.contains(HeaderId::ContentType) {
        response.body(b"application/sdp", SDP.as_bytes());
    }
    String::from_utf8(response.to_vec()).expect("ASCII")
}

/// What a phone makes of a challenge (RFC 7616 §3.4).
fn answer(phone: Phone, method: &str, refusal: &str) -> String {
    let (_, rest) = refusal.split_once("nonce=\"").expect("a challenge");
    let (nonce, _) = rest.split_once('"').expect("a quoted nonce");
    let uri = format!("sip:{REALM}");
    let (ha1, ha2) = (password(phone), hash(&format!("{method}:{uri}")));
    let response = hash(&format!("{ha1}:{nonce}:00000001:c:auth:{ha2}"));
    let name = match method {
        "REGISTER" => "Authorization",
        _ => "Proxy-Authorization",
    };
    format!(
        "{name}: Digest username=\"{}\", realm=\"{REALM}\", nonce=\"{nonce}\", \
         uri=\"{uri}\", response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, \
         cnonce=\"c\"\r\n",
        phone.user
    )
}

fn password(phone: Phone) -> String {
    hash(&format!("{}:{REALM}:secret", phone.user))
}

fn hash(text: &str) -> String {
    let digest = Md5::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
