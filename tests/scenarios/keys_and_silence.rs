//! A proxy has speech made silent, keys kept back, and parties put together; and hears of keys.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use tandem_tests::{NgClient, Site, Tandem, sdp_endpoint};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// A phone that sends what it is told to.
struct Line {
    socket: UdpSocket,
    /// Where the relay wants its media.
    relay: SocketAddr,
}

impl Line {
    fn new(site: &Site, host: u8) -> Self {
        let socket = UdpSocket::bind((site.ip(host), 0)).expect("the site has free ports");
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let relay = socket.local_addr().unwrap();
        Self { socket, relay }
    }

    fn sdp(&self) -> String {
        let address = self.socket.local_addr().unwrap();
        let (ip, port) = (address.ip(), address.port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=call\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        )
    }

    #[track_caller]
    fn say(&self, packet: &[u8]) {
        self.socket.send_to(packet, self.relay).unwrap();
    }

    /// The next packet that comes is this one.
    #[track_caller]
    fn hear(&self, packet: &[u8]) {
        let mut heard = [0; 2_048];
        let len = self.socket.recv(&mut heard).expect("a packet comes");
        assert_eq!(heard[..len], *packet);
    }
}

/// 20 ms of A-law.
fn speech(sequence: u8, sample: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 8, 0, sequence, 0, 0, sequence, 0, 0, 0, 0, 7];
    packet.resize(172, sample);
    packet
}

/// A report of a key.
fn key(sequence: u8, code: u8, is_end: bool) -> Vec<u8> {
    let end = if is_end { 0x80 } else { 0 };
    vec![
        0x80,
        101,
        0,
        sequence,
        0,
        0,
        200 + code,
        0,
        0,
        0,
        0,
        7,
        code,
        end | 10,
        3,
        0x20,
    ]
}

/// A pair of phones that talk, as a dialogue of the call.
fn dial(client: &NgClient, lines: &mut [Line], tags: [&str; 2]) {
    let [from, to] = tags;
    let names = [("call-id", "c1"), ("from-tag", from), ("to-tag", to)];
    let sdp = lines[0].sdp();
    let offer = client.request("offer", &[names[0], names[1], ("sdp", &sdp)]);
    lines[1].relay = sdp_endpoint(offer.text("sdp"));
    let sdp = lines[1].sdp();
    let answer = client.request("answer", &[names[0], names[1], names[2], ("sdp", &sdp)]);
    lines[0].relay = sdp_endpoint(answer.text("sdp"));
}

fn done(client: &NgClient, command: &str, entries: &[(&str, &str)]) {
    let all = [&[("call-id", "c1")], entries].concat();
    let reply = client.request(command, &all);
    assert_eq!(reply.text("result"), "ok", "{command}: {reply:?}");
}

#[test]
fn a_proxy_silences_keeps_keys_back_hears_of_them_and_connects() {
    let site = Site::new();
    let proxy = UdpSocket::bind((site.ip(9), 0)).unwrap();
    proxy.set_read_timeout(Some(LIMIT)).unwrap();
    let tandem = Tandem::start_pair(&site, |file| {
        file.control.dtmf_log = proxy.local_addr().ok();
    });
    let client = NgClient::new(tandem.ng());
    let mut lines = [2, 3, 4, 5].map(|host| Line::new(&site, host));
    dial(&client, &mut lines[..2], ["a", "b"]);
    dial(&client, &mut lines[2..], ["c", "d"]);
    let [a, b, c, d] = &lines;

    a.say(&speech(1, 0x2a));
    b.hear(&speech(1, 0x2a));
    done(&client, "silence media", &[("from-tag", "a")]);
    a.say(&speech(2, 0x2a));
    b.hear(&speech(2, 0xd5));
    b.say(&speech(1, 0x2a));
    a.hear(&speech(1, 0x2a));
    done(&client, "unsilence media", &[("from-tag", "a")]);

    // Told of, and heard by the other party.
    for (sequence, is_end) in [(3, false), (4, true), (5, true), (6, true)] {
        a.say(&key(sequence, 5, is_end));
        b.hear(&key(sequence, 5, is_end));
    }
    hear_key(&proxy, "5", "a");
    // Told of all the same.
    done(
        &client,
        "block DTMF",
        &[("from-tag", "a"), ("flags", "directional")],
    );
    a.say(&key(7, 6, false));
    a.say(&key(8, 6, true));
    a.say(&speech(9, 0x2a));
    b.hear(&speech(9, 0x2a));
    hear_key(&proxy, "6", "a");
    done(&client, "block DTMF", &[("DTMF-security", "zero")]);
    b.say(&key(2, 7, true));
    a.hear(&{
        let mut zero = key(2, 7, true);
        zero[12] = 0;
        zero
    });
    hear_key(&proxy, "7", "b");
    done(&client, "unblock DTMF", &[("all", "all")]);
    a.say(&key(10, 8, true));
    b.hear(&key(10, 8, true));
    hear_key(&proxy, "8", "a");

    done(&client, "connect", &[("from-tag", "a"), ("to-tag", "c")]);
    a.say(&speech(11, 0x2a));
    c.hear(&speech(11, 0x2a));
    c.say(&speech(1, 0x2b));
    a.hear(&speech(1, 0x2b));
    // Who was left is not heard: what comes next is of the other.
    b.say(&speech(3, 0x2c));
    d.say(&speech(1, 0x2c));
    c.say(&speech(2, 0x2b));
    a.hear(&speech(2, 0x2b));
    let count = client.request("cli", &[("body", "list numsessions")]);
    let count = count.text("response");
    assert!(count.contains("Current sessions total: 1\n"), "{count}");
}

/// The next key that the proxy is told of.
#[track_caller]
fn hear_key(proxy: &UdpSocket, code: &str, tag: &str) {
    let mut buffer = [0; 2_048];
    let len = proxy.recv(&mut buffer).expect("a key is told of");
    let text = String::from_utf8_lossy(&buffer[..len]);
    for part in [
        r#""callid":"c1""#,
        &format!(r#""source_tag":"{tag}""#),
        &format!(r#""event":{code},"duration":100,"volume":10}}"#),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
