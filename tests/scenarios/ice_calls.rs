//! A party that speaks ICE, and one that does not: media goes only where checks have been, and who
//! knows no password gets nothing.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use relay_ice::{
    Agent, Base, Candidate, Class, Credentials, Message, Role, Settings, TransactionId, Writer,
    is_stun,
};
use tandem_tests::{Handset, NgClient, Site, Tandem, sdp_endpoint, speech, until};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a turn waits for a datagram.
const TURN: Duration = Duration::from_millis(10);

const USER: &str = "browser1";
const PASSWORD: &str = "aPasswordOf22Characters";

/// One side of a call, which speaks ICE.
pub(crate) struct Browser {
    socket: UdpSocket,
    agent: Agent,
    /// What is no STUN, and where it came from.
    pub(crate) media: Vec<(SocketAddr, Vec<u8>)>,
}

impl Browser {
    pub(crate) fn new(site: &Site, host: u8) -> Self {
        let socket = UdpSocket::bind((site.ip(host), 0)).expect("loopback has free ports");
        socket.set_read_timeout(Some(TURN)).unwrap();
        let base = Base {
            address: socket.local_addr().unwrap(),
            priority: relay_ice::priority(relay_ice::Kind::Host, u16::MAX, 1),
        };
        let agent = Agent::new(Settings {
            local: Credentials::new(USER, PASSWORD),
            bases: vec![base],
            component: 1,
            tie_breaker: 5,
            is_lite: false,
        });
        Self {
            socket,
            agent,
            media: Vec::new(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// What it offers: its candidate is of a place where nobody is, so that it has to be found by
    /// its own checks.
    pub(crate) fn sdp(&self) -> String {
        let (ip, port) = (self.address().ip(), self.address().port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=call\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 8 101\r\na=rtcp-mux\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=ice-ufrag:{USER}\r\na=ice-pwd:{PASSWORD}\r\n\
             a=candidate:1 1 UDP 2130706431 {ip} 9 typ host\r\n"
        )
    }

    /// Learns who the relay is, and where.
    pub(crate) fn hear(&mut self, role: Role, sdp: &str) {
        let value = |name: &str| sdp.lines().find_map(|it| it.strip_prefix(name));
        let user = value("a=ice-ufrag:").expect("the relay speaks ICE");
        let password = value("a=ice-pwd:").expect("the relay speaks ICE");
        let candidates: Vec<_> = sdp.lines().filter_map(candidate).collect();
        assert!(!candidates.is_empty(), "{sdp}");
        let remote = Some(Credentials::new(user, password));
        let now = Instant::now();
        self.agent.update(now, role, remote, false, &candidates);
    }

    pub(crate) fn say(&self, to: SocketAddr, packet: &[u8]) {
        self.socket.send_to(packet, to).unwrap();
    }

    /// One turn of an event loop.
    fn turn(&mut self) {
        self.agent.handle_timeout(Instant::now());
        while let Some(sent) = self.agent.poll_transmit() {
            self.say(sent.destination, &sent.bytes);
        }
        let mut datagram = [0; 2_000];
        match self.socket.recv_from(&mut datagram) {
            Ok((len, from)) if is_stun(&datagram[..len]) => {
                let _ = self
                    .agent
                    .handle_packet(Instant::now(), 0, from, &datagram[..len]);
            }
            Ok((len, from)) => self.media.push((from, datagram[..len].to_vec())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Goes on until something holds.
    pub(crate) fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        until(what, LIMIT, || {
            self.turn();
            holds(self)
        });
    }

    pub(crate) fn connect(&mut self) -> SocketAddr {
        self.until("ICE has decided", |it| {
            it.agent.selected().is_some_and(|it| it.is_nominated)
        });
        self.agent.selected().map(|it| it.remote).unwrap()
    }
}

fn candidate(line: &str) -> Option<Candidate> {
    let words: Vec<_> = line.strip_prefix("a=candidate:")?.split(' ').collect();
    let [_, "1", "UDP", priority, ip, port, ..] = words[..] else {
        return None;
    };
    Some(Candidate {
        address: SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap()),
        priority: priority.parse().unwrap(),
    })
}

/// Packets that came from where no check did.
fn unchecked(client: &NgClient) -> i64 {
    let reply = client.request("statistics", &[]);
    let counters = reply.find("statistics").unwrap_or(&reply);
    let count = counters.integer(&["relay", "counters", "dropped_unchecked"]);
    count.unwrap_or_else(|| panic!("no count in {reply:?}"))
}

#[test]
fn media_flows_only_after_checks_and_goes_on_while_control_is_away() {
    let site = Site::new();
    let mut tandem = Tandem::start_pair(&site, |_| {});
    let client = NgClient::new(tandem.ng());
    let (mut browser, mut phone) = (Browser::new(&site, 2), Handset::new(&site, 3));
    let names = [("call-id", "c1"), ("from-tag", "a"), ("to-tag", "b")];
    let sdp = browser.sdp();
    let offer = [&names[..2], &[("sdp", &*sdp), ("ICE", "remove")]].concat();
    let offer = client.request("offer", &offer);
    let told = offer.text("sdp");
    assert!(
        !told.contains("a=ice-") && !told.contains("a=candidate"),
        "{told}"
    );
    phone.call(sdp_endpoint(told));
    let sdp = phone.sdp();
    let answer = client.request("answer", &[&names[..], &[("sdp", &*sdp)]].concat());
    let told = answer.text("sdp").to_owned();
    let relay = sdp_endpoint(&told);
    browser.hear(Role::Controlling, &told);

    // Nothing passes that nobody has checked, not even from where signalling says.
    let before = unchecked(&client);
    browser.say(relay, &speech(7, 1, 0x2a));
    let guess = Writer::new(Class::Request, TransactionId([1; 12]));
    let guess = guess.user("who:knows").sign("a guess that is wrong");
    browser.say(relay, &guess);
    until("both are dropped", LIMIT, || {
        unchecked(&client) >= before + 2
    });
    let mut datagram = [0; 500];
    until("the stranger is told so", LIMIT, || {
        let Ok(len) = browser.socket.recv(&mut datagram) else {
            return false;
        };
        let refusal = Message::parse(&datagram[..len]);
        refusal.is_ok_and(|it| it.error_code() == Some(401))
    });

    let selected = browser.connect();
    assert_eq!(selected, relay);
    browser.say(relay, &speech(7, 2, 0x2a));
    phone.hear(&speech(7, 2, 0x2a));
    let packet = phone.speak();
    browser.until("the browser hears the phone", |it| {
        it.media.pop() == Some((relay, packet.clone()))
    });

    // Control need not be there for any of it, and the answer to a check is the relay's.
    tandem.kill_control();
    browser.say(relay, &speech(7, 3, 0x2a));
    phone.hear(&speech(7, 3, 0x2a));
    let check = Writer::new(Class::Request, TransactionId([9; 12]))
        .user(&format!("{}:{USER}", told_value(&told, "a=ice-ufrag:")))
        .priority(1);
    let check = check.sign(told_value(&told, "a=ice-pwd:"));
    browser.say(relay, &check);
    until("the check is answered", LIMIT, || {
        let Ok(len) = browser.socket.recv(&mut datagram) else {
            return false;
        };
        let message = Message::parse(&datagram[..len]);
        message.is_ok_and(|it| it.class() == Class::Success && it.id().0 == [9; 12])
    });
    tandem.start_control();
    tandem.stop();
}

#[test]
fn a_party_that_is_offered_candidates_is_found_by_them() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let client = NgClient::new(tandem.ng());
    let (mut browser, mut phone) = (Browser::new(&site, 2), Handset::new(&site, 3));
    let names = [("call-id", "c1"), ("from-tag", "a"), ("to-tag", "b")];
    let sdp = phone.sdp();
    let offer = [
        &names[..2],
        &[("sdp", &*sdp), ("ICE", "force"), ("rtcp-mux", "require")],
    ];
    let offer = client.request("offer", &offer.concat());
    let told = offer.text("sdp").to_owned();
    let relay = sdp_endpoint(&told);
    let sdp = browser.sdp();
    let answer = client.request("answer", &[&names[..], &[("sdp", &*sdp)]].concat());
    let answer = answer.text("sdp");
    assert!(!answer.contains("a=ice-"), "{answer}");
    phone.call(sdp_endpoint(answer));
    browser.hear(Role::Controlled, &told);
    assert_eq!(browser.connect(), relay, "the relay has decided");
    browser.say(relay, &speech(7, 1, 0x2a));
    phone.hear(&speech(7, 1, 0x2a));
    let packet = phone.speak();
    browser.until("the browser hears the phone", |it| {
        it.media.pop() == Some((relay, packet.clone()))
    });
    tandem.stop();
}

fn told_value<'t>(sdp: &'t str, name: &str) -> &'t str {
    let value = sdp.lines().find_map(|it| it.strip_prefix(name));
    value.expect("the relay speaks ICE")
}
