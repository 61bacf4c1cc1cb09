//! A proxy has files played to a party: whatever drives the relay, and whoever is control.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use codec::g711;
use tandem_settings::Driver;
use tandem_tests::{NgClient, Site, Tandem, Value, sdp_endpoint, skip, until};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// A phone.
struct Line {
    socket: UdpSocket,
    /// Where the relay wants its media.
    relay: SocketAddr,
}

/// What is heard.
#[derive(Debug)]
struct Heard {
    has_marker: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: Vec<u8>,
}

/// Whose packets those of [`Line::say`] are.
const SPEECH: u32 = 7;

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
             m=audio {port} RTP/AVP 8\r\n"
        )
    }

    fn say(&self, sequence: u8) {
        let mut packet = vec![0x80, 8, 0, sequence, 0, 0, sequence, 0, 0, 0, 0, 7];
        packet.resize(172, sequence);
        self.socket.send_to(&packet, self.relay).unwrap();
    }

    #[track_caller]
    fn hear(&self) -> Heard {
        let mut packet = [0; 2_048];
        let len = self.socket.recv(&mut packet).expect("a packet comes");
        let packet = &packet[..len];
        let word = |at: usize| u32::from_be_bytes(*packet[at..].first_chunk().unwrap());
        assert_eq!((packet[0], packet[1] & 0x7f), (0x80, 8));
        Heard {
            has_marker: packet[1] & 0x80 != 0,
            sequence: u16::from_be_bytes([packet[2], packet[3]]),
            timestamp: word(4),
            ssrc: word(8),
            payload: packet[12..].to_vec(),
        }
    }

    /// The next packet of a sound; what others say meanwhile is passed over.
    #[track_caller]
    fn hear_sound(&self) -> Heard {
        loop {
            let heard = self.hear();
            if heard.ssrc != SPEECH {
                return heard;
            }
        }
    }
}

/// A second of A-law that has another period than packets have.
fn octets() -> Vec<u8> {
    (0..8_000_u32)
        .map(|n| (n * 37 % 251).to_le_bytes()[0])
        .collect()
}

fn wav(samples: &[i16]) -> Vec<u8> {
    let mut file =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data"
            .to_vec();
    file.extend(u32::try_from(2 * samples.len()).unwrap().to_le_bytes());
    file.extend(samples.iter().flat_map(|it| it.to_le_bytes()));
    file
}

/// A request about what the first party hears, that is carried out.
#[track_caller]
fn done(client: &NgClient, command: &str, entries: &[(&str, &str)]) -> Value {
    let all = [&[("call-id", "c1"), ("from-tag", "a")], entries].concat();
    let reply = client.request(command, &all);
    assert_eq!(reply.text("result"), "ok", "{command}: {reply:?}");
    reply
}

#[test]
fn sounds_are_played_by_recvmmsg() {
    play_through(Driver::Poll);
}

#[test]
fn sounds_are_played_by_io_uring() {
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    if disabled.is_ok_and(|value| value.trim() != "0") {
        return skip("io_uring is switched off here (kernel.io_uring_disabled)");
    }
    play_through(Driver::Uring);
}

fn play_through(driver: Driver) {
    let site = Site::new();
    let media = site.folder().join("media");
    fs::create_dir(&media).unwrap();
    let all = octets();
    let samples: Vec<_> = all.iter().map(|it| g711::ALAW.decode(*it)).collect();
    fs::write(media.join("long.wav"), wav(&samples)).unwrap();
    fs::write(media.join("short.wav"), wav(&samples[..400])).unwrap();
    fs::write(site.folder().join("secret.wav"), wav(&samples)).unwrap();
    let mut tandem = Tandem::start_pair(&site, |file| {
        file.relay.driver = driver;
        file.control.media_folder = media;
    });
    let client = NgClient::new(tandem.ng());
    let [mut a, mut b] = [2, 3].map(|host| Line::new(&site, host));
    let names = [("call-id", "c1"), ("from-tag", "a"), ("to-tag", "b")];
    let sdp = a.sdp();
    let offer = client.request("offer", &[names[0], names[1], ("sdp", &sdp)]);
    b.relay = sdp_endpoint(offer.text("sdp"));
    let sdp = b.sdp();
    let answer = client.request("answer", &[names[0], names[1], names[2], ("sdp", &sdp)]);
    a.relay = sdp_endpoint(answer.text("sdp"));

    let refused = client.request(
        "play media",
        &[names[0], names[1], ("file", "../secret.wav")],
    );
    let reason = "Failed to start media playback from file";
    assert_eq!(refused.text("error-reason"), reason);
    let reply = done(
        &client,
        "play media",
        &[("file", "long.wav"), ("repeat-times", "1000")],
    );
    assert_eq!(reply.integer(&["duration"]), Some(1_000));
    let first = a.hear_sound();
    assert!(first.has_marker);
    // Over the end of the sound and into it again.
    let mut last = first;
    for at in 0..60 {
        let from = at * 160 % 8_000;
        assert_eq!(last.payload, all[from..from + 160], "packet {at}");
        let next = a.hear_sound();
        assert!(!next.has_marker);
        assert_eq!(next.ssrc, last.ssrc);
        assert_eq!(next.sequence, last.sequence.wrapping_add(1));
        assert_eq!(next.timestamp, last.timestamp.wrapping_add(160));
        last = next;
    }
    // What the other party says is heard, too.
    b.say(1);
    while a.hear().ssrc != SPEECH {}

    // It goes on without control, and the next one can end it.
    tandem.kill_control();
    last = a.hear_sound();
    tandem.start_control();
    let stopped = done(&client, "stop media", &[]);
    let position = stopped.integer(&["last-frame-pos"]);
    assert!(
        position.is_some_and(|it| (0..8_000).contains(&it)),
        "{position:?}"
    );
    b.say(2);
    // What was under way comes before.
    let ssrc = last.ssrc;
    loop {
        let heard = a.hear();
        if heard.ssrc == SPEECH {
            break;
        }
        last = heard;
    }
    b.say(3);
    assert_eq!(a.hear().ssrc, SPEECH, "nothing is played any more");

    // The next sound goes on with the same stream, to its end and no further.
    let reply = done(&client, "play media", &[("file", "short.wav")]);
    assert_eq!(reply.integer(&["duration"]), Some(50));
    for at in 0..3 {
        let next = a.hear();
        assert_eq!((next.has_marker, next.ssrc), (at == 0, ssrc));
        assert_eq!(next.sequence, last.sequence.wrapping_add(1));
        let silence = [0xd5; 80];
        let expected = match at {
            2 => [&all[320..400], &silence[..]].concat(),
            at => all[at * 160..][..160].to_vec(),
        };
        assert_eq!(next.payload, expected);
        last = next;
    }
    let ended = done(&client, "stop media", &[]);
    assert_eq!(ended.integer(&["last-frame-pos"]), Some(400), "the end");

    // A call that ends takes it along.
    done(&client, "play media", &[("file", "long.wav")]);
    a.hear_sound();
    done(&client, "delete", &[]);
    until("the ports are released", LIMIT, || {
        tandem.media_ports().is_empty()
    });
    tandem.stop();
}
