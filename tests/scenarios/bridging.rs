//! Between an IPv4 and an IPv6 network, each behind a one-to-one NAT of the relay's: audio, its
//! reports wherever they are wanted, other media, and packets as large as the network allows.

use std::net::{IpAddr, SocketAddr};
use std::thread::sleep;
use std::time::Duration;

use tandem_settings::Driver;
use tandem_tests::{
    Anchored, Party, RtpEndpoint, Stage, Value, converse, meet, public_ip, public_ip6,
    random_datagrams,
};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(5);

/// Addresses of the relay as others see them.
const ADVERTISED: [&str; 2] = ["198.51.100.1", "2001:db8:a::1"];

/// Bytes of a payload for which an ordinary packet has no room.
const JUMBO: usize = 8_900;

/// A phone in each of the two networks, and others on their hosts.
struct Scene<'a> {
    stage: &'a Stage<'a>,
    ends: [RtpEndpoint; 2],
    spare: [RtpEndpoint; 2],
}

/// A relay with an interface in both networks.
fn play(driver: Driver, play: impl FnOnce(Scene<'_>) + Send) {
    Stage::play(
        |file| {
            let [four, six] = ADVERTISED;
            let own = Stage::relay_ips();
            file.relay.interfaces = vec![
                format!("four={}!{four}", own[0]),
                format!("six=[{}]!{six}", own[1]),
            ];
            file.relay.driver = driver;
        },
        |stage| {
            let hosts = [2, 3].map(|number| stage.internet.host(number));
            for (host, (own, advertised)) in
                hosts.iter().zip(Stage::relay_ips().iter().zip(ADVERTISED))
            {
                host.ip(&format!("route add {advertised} via {own}"));
            }
            stage.host.nft(&one_to_one());
            let ips = [public_ip(2), public_ip6(3)];
            let end = |side: usize| hosts[side].within(|| RtpEndpoint::new(ips[side]));
            play(Scene {
                stage,
                ends: [end(0), end(1)],
                spare: [end(0), end(1)],
            });
        },
    );
}

fn one_to_one() -> String {
    let tables = ["ip", "ip6"].iter().zip(Stage::relay_ips()).zip(ADVERTISED);
    let table = |((family, own), advertised): ((&&str, IpAddr), &str)| {
        format!(
            "table {family} one_to_one {{
                chain inward {{
                    type nat hook prerouting priority dstnat;
                    {family} daddr {advertised} dnat to {own}
                }}
                chain outward {{
                    type nat hook postrouting priority srcnat;
                    {family} saddr {own} meta l4proto udp snat to {advertised}
                }}
            }}\n"
        )
    };
    tables.map(table).collect()
}

impl<'a> Scene<'a> {
    /// The IPv4 phone offers, the IPv6 phone answers.
    #[track_caller]
    fn call(&self, id: &str, parties: [Party; 2]) -> Anchored<'a> {
        let [caller, callee] = parties;
        let caller = caller.with("direction", Value::list(&["four", "six"]));
        let call = Anchored::new(self.stage.client, id, [&caller, &callee]);
        for ((relay, advertised), sdp) in call.relay.iter().zip(ADVERTISED).zip(&call.sdp) {
            assert_eq!(relay.ip().to_string(), advertised);
            for own in Stage::relay_ips().map(|ip| format!(" {ip}\r\n")) {
                assert!(!sdp.contains(&own), "{sdp}");
            }
        }
        call
    }

    /// Sends datagrams from each end to the other, and checks that they arrive untouched.
    #[track_caller]
    fn assert_passes(&self, call: &Anchored<'_>, datagrams: &[Vec<u8>]) {
        for [from, to] in [[0, 1], [1, 0]] {
            for datagram in datagrams {
                self.ends[from].send_raw(call.relay[from], datagram);
                let arrived = self.ends[to].receive_raw(LIMIT);
                let expected = Some((datagram.clone(), call.relay[to]));
                assert!(arrived == expected, "{} bytes", datagram.len());
            }
        }
    }
}

#[test]
fn audio_and_its_reports_go_between_ipv4_and_ipv6() {
    play(Driver::default(), |scene| {
        let parties = scene.ends.each_ref().map(|end| Party::at(end.address()));
        let call = scene.call("audio", parties);
        meet(scene.ends.each_ref(), call.relay, 0);
        for (side, end) in scene.ends.iter().enumerate() {
            assert_eq!(call.remote(side), (end.address(), true));
        }
        let (_, reports) = converse(scene.ends, call.relay, || sleep(Duration::from_millis(600)));
        assert!(reports[0].sent > 0 && reports[0].rtcp_sent > 0);
        reports[0].assert_heard_all_of(&reports[1], call.relay[0]);
        reports[1].assert_heard_all_of(&reports[0], call.relay[1]);
    });
}

/// One side has RTCP on the port of RTP, the other has it somewhere else altogether.
#[test]
fn reports_find_their_port_on_either_side() {
    play(Driver::default(), |scene| {
        let [caller, callee] = &scene.ends;
        let elsewhere = &scene.spare[1];
        let rtcp = format!("rtcp:{}", elsewhere.address().port());
        let parties = [
            Party::with_media(caller.address(), "audio", "RTP/AVP 0", &["rtcp-mux"])
                .with("rtcp-mux", Value::list(&["demux"])),
            Party::with_media(callee.address(), "audio", "RTP/AVP 0", &[&rtcp]),
        ];
        let call = scene.call("mux", parties);
        assert!(call.sdp[0].contains("a=rtcp-mux"), "{}", call.sdp[0]);
        assert!(!call.sdp[1].contains("a=rtcp-mux"), "{}", call.sdp[1]);

        caller.send(call.relay[0], 1);
        let heard = callee.receive(LIMIT).expect("audio there");
        assert!(caller.has_sent(&heard));
        callee.send(call.relay[1], 2);
        let heard = caller.receive(LIMIT).expect("audio back");
        assert!(callee.has_sent(&heard));

        let next = |relay: SocketAddr| SocketAddr::new(relay.ip(), relay.port() + 1);
        let report = [0x80, 201, 0, 1, 0, 0, 0, 7];
        caller.send_raw(call.relay[0], &report);
        let arrived = elsewhere.receive_raw(LIMIT).expect("a report there");
        assert_eq!(arrived, (report.to_vec(), next(call.relay[1])));
        elsewhere.send_raw(next(call.relay[1]), &report);
        let arrived = caller.receive_raw(LIMIT).expect("a report back");
        assert_eq!(arrived, (report.to_vec(), call.relay[0]));
        for end in &scene.ends {
            assert_eq!(end.receive_rtcp(Duration::ZERO), None);
            assert_eq!(end.receive_raw(Duration::ZERO), None);
        }
    });
}

#[test]
fn media_of_any_kind_passes_untouched() {
    play(Driver::default(), |scene| {
        for (kind, formats) in [
            ("video", "RTP/AVPF 96"),
            ("image", "udptl t38"),
            ("application", "RTP/AVP 97"),
        ] {
            let party = |end: &RtpEndpoint| Party::with_media(end.address(), kind, formats, &[]);
            let call = scene.call(kind, scene.ends.each_ref().map(party));
            for sdp in &call.sdp {
                let line = sdp
                    .lines()
                    .find(|line| line.starts_with("m="))
                    .unwrap_or_default();
                assert!(line.starts_with(&format!("m={kind} ")), "{sdp}");
                assert!(line.ends_with(formats), "{sdp}");
            }
            scene.assert_passes(&call, &payloads(kind == "image"));
            call.end();
        }
    });
}

#[test]
fn jumbo_frames_pass_io_uring() {
    jumbo_frames_pass(Driver::Uring);
}

#[test]
fn jumbo_frames_pass_recvmmsg() {
    jumbo_frames_pass(Driver::Poll);
}

fn jumbo_frames_pass(driver: Driver) {
    play(driver, |scene| {
        let party =
            |end: &RtpEndpoint| Party::with_media(end.address(), "video", "RTP/AVP 96", &[]);
        let call = scene.call("jumbo", scene.ends.each_ref().map(party));
        let jumbo = |number: u8| rtp(number, &vec![number; JUMBO - 12]);
        scene.assert_passes(&call, &[1, 2, 3, 4, 5].map(jumbo));
    });
}

/// Payloads of all lengths that an ordinary packet has room for, as RTP or as something that is
/// not.
fn payloads(is_raw: bool) -> Vec<Vec<u8>> {
    let mut random = random_datagrams(11, 40);
    random.retain(|it| it.len() <= 1_400);
    assert!(random.len() > 10);
    random.push(Vec::from_iter(
        (0..1_400).map(|it: u16| it.to_be_bytes()[1]),
    ));
    let wrap = |(number, payload): (u8, Vec<u8>)| match is_raw {
        // UDPTL begins with a sequence number (T.38 §9.1), which is below any of RTP's.
        true => [&[0, number][..], &payload].concat(),
        false => rtp(number, &payload),
    };
    (0..).zip(random).map(wrap).collect()
}

fn rtp(number: u8, payload: &[u8]) -> Vec<u8> {
    let header = [0x80, 96, 0, number, 0, 0, 0, number, 0, 0, 0, 7];
    [&header[..], payload].concat()
}
