use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;

const RELAY: &str = "203.0.113.5";

fn rewrite_all(text: &str, sections: &[Section]) -> String {
    let sdp = Sdp::parse(text.as_bytes()).unwrap();
    let changes = Rewrite {
        address: RELAY.parse().unwrap(),
        sections,
        ..plain()
    };
    String::from_utf8(rewrite(&sdp, &changes)).unwrap()
}

/// A rewrite that changes nothing but where media goes.
fn plain() -> Rewrite<'static> {
    static UNCHANGED: OriginChange = OriginChange {
        user_name: None,
        session_id: None,
        version: None,
        address: None,
    };
    Rewrite {
        address: RELAY.parse().unwrap(),
        origin: &UNCHANGED,
        replace_zero: false,
        keeps_direction: false,
        strips_extensions: false,
        is_lite: false,
        key_style: KeyStyle::default(),
        rtcp_attribute: RtcpAttribute::Port,
        loop_mark: None,
        manipulation: Manipulation::default(),
        sections: &[],
    }
}

fn relay(port: u16) -> Section {
    Section::Relay {
        port,
        rtcp_port: port + 1,
        rtcp_mux: false,
        profile: None,
        keys: SectionKeys::AsWritten,
        mixes_extensions: false,
        ice: Vec::new(),
    }
}

fn lines(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

#[test]
fn lines_come_in_the_order_of_the_peer_and_the_unknown_ones_as_they_were() {
    let text = lines(&[
        "v=0",
        "o=alice 2890844526 2890844526 IN IP4 host.example.com",
        "s=  odd   spacing ",
        "c=IN IP4 192.0.2.10",
        "t=0 0",
        "x=unheard-of",
        "m=audio 49170/2 RTP/AVP 0 8",
        "i=A title",
        "b=AS:64",
        "a=rtpmap:0 PCMU/8000",
        "m=video 0 RTP/AVP 31",
    ]);
    let expected = lines(&[
        "v=0",
        "o=alice 2890844526 2890844526 IN IP4 host.example.com",
        "s=  odd   spacing ",
        "t=0 0",
        "x=unheard-of",
        "m=audio 30000 RTP/AVP 0 8",
        "i=A title",
        "c=IN IP4 203.0.113.5",
        "b=AS:64",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=sendrecv",
        "a=rtcp:30001",
        "m=video 0 RTP/AVP 31",
        "c=IN IP4 0.0.0.0",
    ]);
    assert_eq!(
        rewrite_all(&text, &[relay(30_000), Section::Refuse]),
        expected
    );
}

#[test]
fn all_lines_come_out_with_the_ends_of_the_rfc() {
    let bare = "v=0\nc=IN IP4 192.0.2.10\nm=audio 4000 RTP/AVP 0";
    let expected = lines(&[
        "v=0",
        "t=0 0",
        "m=audio 30000 RTP/AVP 0",
        "c=IN IP4 203.0.113.5",
        "a=rtpmap:0 PCMU/8000",
        "a=sendrecv",
        "a=rtcp:30001",
    ]);
    assert_eq!(rewrite_all(bare, &[relay(30_000)]), expected);
}

#[test]
fn who_trickles_candidates_is_not_on_hold() {
    let text = |port: u16| {
        let media = format!("m=audio {port} RTP/AVP 0");
        let trickle = "a=ice-options:rtp+ecn trickle";
        lines(&["v=0", "c=IN IP4 0.0.0.0", trickle, &media])
    };
    let out = rewrite_all(&text(9), &[relay(30_000)]);
    assert!(out.contains("c=IN IP4 203.0.113.5\r\n") && out.contains("a=sendrecv\r\n"));
    let out = rewrite_all(&text(4_000), &[relay(30_000)]);
    assert!(out.contains("c=IN IP4 0.0.0.0\r\n") && out.contains("a=sendonly\r\n"));
}

#[test]
fn nothing_after_a_blank_line_belongs_to_the_section_before() {
    let text = "v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\na=x\r\n\r\na=y\r\n\
                m=video 4002 RTP/AVP 96\r\na=z\r\n";
    let out = rewrite_all(text, &[relay(30_000), relay(30_002)]);
    assert!(out.contains("a=x\r\n") && out.contains("a=z\r\n") && !out.contains("a=y\r\n"));
}

#[test]
fn a_line_that_ends_in_many_returns_is_the_same_the_second_time() {
    let text = "v=0\nm=audio 4000 RTP/AVP 0\r\r\na=x\r\r\r\n";
    let once = rewrite_all(text, &[relay(30_000)]);
    assert!(
        once.contains("\r\na=x\r\n") && !once.contains("\r\r"),
        "{once:?}"
    );
    assert_eq!(rewrite_all(&once, &[relay(30_000)]), once);
}

#[test]
fn blank_lines_are_no_lines() {
    let text = "v=0\r\nc=IN IP4 192.0.2.10\r\n\r\nm=audio 4000 RTP/AVP 0\r\n\r\n";
    let out = rewrite_all(text, &[relay(30_000)]);
    assert!(
        !out.contains("\r\n\r\n") && out.ends_with("a=rtcp:30001\r\n"),
        "{out:?}"
    );
}

#[test]
fn what_is_said_of_payload_types_follows_their_order() {
    let text = lines(&[
        "v=0",
        "c=IN IP4 192.0.2.10",
        "m=audio 4000 RTP/AVP 8 101 0 96",
        "a=ptime:20",
        "a=fmtp:101 0-15",
        "a=rtcp-fb:96 nack",
        "a=rtcp-fb:* transport-cc",
        "a=x-vendor:1",
        "a=rtpmap:96 opus/48000/2",
        "a=mid:0",
        "a=rtpmap:101 telephone-event/8000",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
        "a=extmap:1 urn:x",
    ]);
    let expected = [
        "a=mid:0",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:96 opus/48000/2",
        "a=rtcp-fb:96 nack",
        "a=rtcp-fb:* transport-cc",
        "a=extmap:1 urn:x",
        "a=x-vendor:1",
        "a=sendrecv",
        "a=rtcp:30001",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
        "a=ptime:20",
    ];
    let out = rewrite_all(&text, &[relay(30_000)]);
    let attributes: Vec<_> = out.lines().filter(|line| line.starts_with("a=")).collect();
    assert_eq!(attributes, expected);
}

#[test]
fn what_fills_keys_up_is_left_out_unless_it_is_asked_for() {
    let suite = "a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:";
    let said = [
        format!("{suite}YQ==|2^20|1:4;inline:Yg=|2^20|2:4 KDR=1 UNENCRYPTED_SRTCP"),
        format!("{suite}YQ=="),
        "a=crypto:3 = =|=".to_owned(),
    ];
    let expected = [
        format!("{suite}YQ|2^20|1:4;inline:Yg|2^20|2:4 KDR=1 UNENCRYPTED_SRTCP"),
        format!("{suite}YQ"),
        "a=crypto:3 = =|=".to_owned(),
    ];
    let head = ["v=0", "s=-", "m=audio 4000 RTP/SAVP 0"].map(str::to_owned);
    let text: Vec<_> = head.iter().chain(&said).map(String::as_str).collect();
    let text = lines(&text);
    let sdp = Sdp::parse(text.as_bytes()).unwrap();
    for (is_padded, expected) in [(false, &expected), (true, &said)] {
        let changes = Rewrite {
            key_style: KeyStyle {
                is_padded,
                has_lifetime: false,
            },
            sections: &[relay(30_000)],
            ..plain()
        };
        let out = String::from_utf8(rewrite(&sdp, &changes)).unwrap();
        let keys = out.lines().filter(|it| it.starts_with("a=crypto:"));
        assert!(keys.eq(expected), "{out}");
    }
}

#[test]
fn a_static_number_stands_for_a_codec_of_its_kind_only() {
    let text = lines(&[
        "v=0",
        "m=video 4000 RTP/AVP 0 31",
        "m=audio 4002 RTP/AVP 0 31",
    ]);
    let out = rewrite_all(&text, &[relay(30_000), relay(30_002)]);
    let names = out.lines().filter(|it| it.starts_with("a=rtpmap:"));
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["a=rtpmap:31 H261/90000", "a=rtpmap:0 PCMU/8000"]);
}

#[test]
fn the_origin_is_changed_word_by_word() {
    let text = lines(&[
        "v=0",
        "o=alice 1 7 IN IP4 192.0.2.10",
        "s=-",
        "m=audio 4000 RTP/AVP 0",
    ]);
    let sdp = Sdp::parse(text.as_bytes()).unwrap();
    let origin = |change: OriginChange| {
        let changes = Rewrite {
            origin: &change,
            sections: &[relay(30_000)],
            ..plain()
        };
        let out = String::from_utf8(rewrite(&sdp, &changes)).unwrap();
        out.lines().nth(1).unwrap().to_owned()
    };
    let unchanged = OriginChange::default;
    assert_eq!(origin(unchanged()), "o=alice 1 7 IN IP4 192.0.2.10");
    let version = OriginChange {
        version: Some(8),
        ..unchanged()
    };
    assert_eq!(origin(version), "o=alice 1 8 IN IP4 192.0.2.10");
    let name = OriginChange {
        user_name: Some(b"bob".to_vec()),
        ..unchanged()
    };
    assert_eq!(origin(name), "o=bob 1 7 IN IP4 192.0.2.10");
    let address = OriginChange {
        address: "2001:db8::1".parse().ok(),
        ..unchanged()
    };
    assert_eq!(origin(address), "o=alice 1 7 IN IP6 2001:db8::1");
}

#[test]
fn attributes_are_taken_out_put_in_and_changed() {
    use control_ng::{AttributeChange, AttributeEdit};
    let change = |section: Option<&'static [u8]>, edit| AttributeChange { section, edit };
    let audio = Some(&b"audio"[..]);
    let changes = [
        change(audio, AttributeEdit::Remove(b"SENDRECV"[..].into())),
        change(audio, AttributeEdit::Remove(b"fmtp:101 0-15"[..].into())),
        change(audio, AttributeEdit::Remove(b"test"[..].into())),
        change(
            audio,
            AttributeEdit::Substitute(b"test1"[..].into(), b"x:2"[..].into()),
        ),
        change(audio, AttributeEdit::Add(b"y"[..].into())),
        change(None, AttributeEdit::Add(b"z"[..].into())),
    ];
    let text = lines(&[
        "v=0",
        "a=test",
        "m=audio 4000 RTP/AVP 101",
        "a=fmtp:101 0-15",
        "a=test",
        "a=test1:y",
        "a=test2",
    ]);
    let sdp = Sdp::parse(text.as_bytes()).unwrap();
    let manipulation = Manipulation::new(&changes);
    let changes = Rewrite {
        manipulation,
        sections: &[relay(30_000)],
        ..plain()
    };
    let out = String::from_utf8(rewrite(&sdp, &changes)).unwrap();
    let attributes: Vec<_> = out.lines().filter(|line| line.starts_with("a=")).collect();
    let expected = ["a=test", "a=z", "a=x:2", "a=test2", "a=rtcp:30001", "a=y"];
    assert_eq!(attributes, expected);
}

#[test]
fn an_address_of_zeros_stays_unless_it_is_to_be_replaced() {
    let text = lines(&["v=0", "c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0"]);
    assert!(rewrite_all(&text, &[relay(30_000)]).contains("c=IN IP4 0.0.0.0\r\n"));
    let sdp = Sdp::parse(text.as_bytes()).unwrap();
    let changes = Rewrite {
        address: "2001:db8::5".parse().unwrap(),
        replace_zero: true,
        rtcp_attribute: RtcpAttribute::Full,
        sections: &[relay(30_000)],
        ..plain()
    };
    let out = String::from_utf8(rewrite(&sdp, &changes)).unwrap();
    assert!(out.contains("c=IN IP6 2001:db8::5\r\n"), "{out}");
    assert!(out.contains("a=rtcp:30001 IN IP6 2001:db8::5\r\n"), "{out}");
}

#[test]
fn who_names_an_address_of_zeros_receives_nothing() {
    let direction = |line: &str| {
        let lines = ["v=0", "c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0", line];
        let text = lines.join("\n");
        let sdp = Sdp::parse(text.as_bytes()).unwrap();
        sdp.direction(&sdp.media()[0])
    };
    assert_eq!(direction("a=x"), Direction::SendOnly);
    assert_eq!(direction("a=sendonly"), Direction::SendOnly);
    assert_eq!(direction("a=recvonly"), Direction::Inactive);
    assert_eq!(direction("a=inactive"), Direction::Inactive);
}

#[test]
fn bandwidths_come_in_the_order_of_the_peer() {
    let text = lines(&[
        "v=0",
        "m=audio 4000 RTP/AVP 0",
        "b=TIAS:5",
        "b=RS:1",
        "b=X:1",
        "b=AS:6",
    ]);
    let out = rewrite_all(&text, &[relay(30_000)]);
    assert!(
        out.contains("b=AS:6\r\nb=RS:1\r\nb=TIAS:5\r\nb=X:1\r\n"),
        "{out}"
    );
}

#[test]
fn ways_around_the_relay_are_taken_out() {
    let text = lines(&[
        "v=0",
        "c=IN IP4 192.0.2.10",
        "a=ice-lite",
        "a=group:BUNDLE 0 1",
        "m=audio 4000 RTP/AVP 0",
        "a=rtcp:4005 IN IP4 192.0.2.11",
        "a=candidate:1 1 UDP 2130706431 192.0.2.10 4000 typ host",
        "a=ice-ufrag:8hhY",
        "a=ice-pwd:asd88fgpdd777uzjYhagZg",
        "a=mid:0",
        "a=end-of-candidates",
        "m=video 4002 RTP/AVP 96",
        "a=mid:1",
    ]);
    let expected = lines(&[
        "v=0",
        "t=0 0",
        "m=audio 30000 RTP/AVP 0",
        "c=IN IP4 203.0.113.5",
        "a=mid:0",
        "a=rtpmap:0 PCMU/8000",
        "a=sendrecv",
        "a=rtcp:30001",
        "m=video 30002 RTP/AVP 96",
        "c=IN IP4 203.0.113.5",
        "a=mid:1",
        "a=sendrecv",
        "a=rtcp:30003",
    ]);
    assert_eq!(
        rewrite_all(&text, &[relay(30_000), relay(30_002)]),
        expected
    );
}

#[test]
fn mux_is_added_or_taken_out_as_agreed() {
    let text = lines(&["v=0", "c=IN IP4 192.0.2.10", "m=audio 4000 RTP/AVP 0"]);
    let muxed = Section::Relay {
        profile: None,
        keys: SectionKeys::AsWritten,
        mixes_extensions: false,
        ice: Vec::new(),
        port: 30_000,
        rtcp_port: 30_000,
        rtcp_mux: true,
    };
    let with = rewrite_all(&text, std::slice::from_ref(&muxed));
    assert!(with.ends_with("a=rtcp:30000\r\na=rtcp-mux\r\n"), "{with}");
    assert_eq!(rewrite_all(&with, &[muxed]), with);
    let without = rewrite_all(&with, &[relay(30_000)]);
    assert!(
        !without.contains("mux") && without.contains("a=rtcp:30001\r\n"),
        "{without}"
    );
}

#[test]
fn media_over_tcp_keeps_its_own_address() {
    let text = lines(&[
        "v=0",
        "c=IN IP4 192.0.2.10",
        "m=audio 4000 RTP/AVP 0",
        "m=message 7654 TCP/MSRP *",
        "a=path:msrp://192.0.2.10:7654/x;tcp",
    ]);
    let out = rewrite_all(&text, &[relay(30_000), Section::Keep]);
    let kept = "m=message 7654 TCP/MSRP *\r\nc=IN IP4 192.0.2.10\r\na=path";
    assert!(out.contains(kept), "{out}");
    assert_eq!(rewrite_all(&out, &[relay(30_000), Section::Keep]), out);
}

#[test]
fn a_section_without_an_address_gets_one() {
    let text = lines(&["v=0", "m=audio 4000 RTP/AVP 0", "i=title", "a=sendrecv"]);
    let out = rewrite_all(&text, &[relay(30_000)]);
    assert!(
        out.contains("i=title\r\nc=IN IP4 203.0.113.5\r\na=rtpmap"),
        "{out}"
    );
}

#[test]
fn reads_where_media_and_rtcp_are_wanted() {
    let text = lines(&[
        "v=0",
        "c=IN IP4 192.0.2.10",
        "m=audio 4000 RTP/AVP 0",
        "m=audio 4002 RTP/AVP 0",
        "c=IN IP4 192.0.2.11/127",
        "a=rtcp:4999 IN IP4 192.0.2.12",
        "m=audio 4004 RTP/AVP 0",
        "c=IN IP4 host.example.com",
        "m=audio 4006 RTP/AVP 0",
        "c=IN IP4 224.2.1.1/127",
        "m=audio 65535 RTP/AVP 0",
    ]);
    let sdp = Sdp::parse(text.as_bytes()).unwrap();
    let remote = |n: usize, source: Option<&str>| {
        let source = source.map(|address| address.parse::<IpAddr>().unwrap());
        let remote = sdp.remote(&sdp.media()[n], source);
        let text = |address: Option<SocketAddr>| address.map(|a| a.to_string());
        (text(remote.rtp), text(remote.rtcp))
    };
    let both = |rtp: &str, rtcp: &str| (Some(rtp.to_owned()), Some(rtcp.to_owned()));
    assert_eq!(remote(0, None), both("192.0.2.10:4000", "192.0.2.10:4001"));
    assert_eq!(remote(1, None), both("192.0.2.11:4002", "192.0.2.12:4999"));
    assert_eq!(
        remote(1, Some("10.9.8.7")),
        both("10.9.8.7:4002", "10.9.8.7:4999")
    );
    assert_eq!(remote(2, None), (None, None), "a host name");
    assert_eq!(remote(3, None), (None, None), "multicast");
    assert_eq!(remote(4, None), (Some("192.0.2.10:65535".to_owned()), None));
}

#[test]
fn refuses_what_it_could_not_relay() {
    let many = "v=0\r\n".to_owned() + &"m=audio 4000 RTP/AVP 0\r\n".repeat(MEDIA_MAX + 1);
    let cases = [
        ("", SdpError::Version),
        ("hello", SdpError::Version),
        ("v=0\r\nm=audio\r\n", SdpError::MediaLine),
        ("v=0\r\nm=audio 70000 RTP/AVP 0\r\n", SdpError::MediaLine),
        ("v=0\r\nm=audio -1 RTP/AVP 0\r\n", SdpError::MediaLine),
        ("v=0\r\nc=IN\r\n", SdpError::Connection),
        (&many, SdpError::TooManyMedia),
    ];
    for (text, error) in cases {
        assert_eq!(Sdp::parse(text.as_bytes()).unwrap_err(), error, "{text}");
    }
}

#[test]
fn tells_what_protocols_run_on() {
    let transport = |protocol: &str| {
        let text = format!("v=0\r\nm=x 4000 {protocol} 0\r\n");
        Sdp::parse(text.as_bytes()).unwrap().media()[0].transport
    };
    for rtp in ["RTP/AVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"] {
        assert_eq!(transport(rtp), Transport::Rtp);
    }
    for udp in ["udptl", "UDP/BFCP", "UDP/DTLS/SCTP", "DTLS/SCTP"] {
        assert_eq!(transport(udp), Transport::Udp);
    }
    for other in ["TCP/MSRP", "TCP/TLS/RTP/SAVP", "DCCP/RTP/AVP"] {
        assert_eq!(transport(other), Transport::Other);
    }
}

/// Lines as they come in the wild, and some that do not.
fn any_line() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(
        &[
            "o=- 1 1 IN IP4 192.0.2.1",
            "s=-",
            "i=title",
            "c=IN IP4 192.0.2.1",
            "c=IN IP4 0.0.0.0",
            "c=IN IP6 2001:db8::1",
            "c=IN IP4 host.example.com",
            "t=0 0",
            "m=audio 4000 RTP/AVP 0 8",
            "m=audio 0 RTP/AVP 0",
            "m=video 4002/2 RTP/SAVPF 96",
            "m=image 4004 udptl t38",
            "m=message 2855 TCP/MSRP *",
            "a=sendrecv",
            "a=inactive",
            "a=rtcp:5000",
            "a=rtcp:5000 IN IP4 192.0.2.9",
            "a=rtcp-mux",
            "a=candidate:1 1 udp 1 192.0.2.1 4000 typ host",
            "a=ice-ufrag:abcd",
            "a=group:BUNDLE 0 1",
            "a=rtpmap:0 PCMU/8000",
            "",
            "garbage",
        ][..],
    );
    prop_oneof![4 => fixed.prop_map(str::to_owned), 1 => "[ -~]{0,30}"]
}

pub(crate) fn any_description() -> impl Strategy<Value = String> {
    let ends = prop::sample::select(&["\r\n", "\n"][..]);
    let lines = prop::collection::vec(any_line(), 0..24);
    (lines, ends, any::<bool>()).prop_map(|(lines, end, last)| {
        let mut text = "v=0".to_owned() + end + &lines.join(end);
        if last {
            text += end;
        }
        text
    })
}

#[test]
fn one_channel_is_not_said() {
    let text = lines(&[
        "v=0",
        "c=IN IP4 192.0.2.10",
        "m=audio 4000 RTP/AVP 97 96 98",
        "a=rtpmap:97 AMR/8000/1",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:98 odd/1",
    ]);
    let out = rewrite_all(&text, &[relay(30_000)]);
    let maps = out.lines().filter(|line| line.starts_with("a=rtpmap"));
    let expected = [
        "a=rtpmap:97 AMR/8000",
        "a=rtpmap:96 opus/48000/2",
        "a=rtpmap:98 odd/1",
    ];
    assert!(maps.eq(expected), "{out}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn going_through_twice_changes_nothing_more(text in any_description()) {
        crate::fuzz::sdp(text.as_bytes());
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in any::<Vec<u8>>()) {
        crate::fuzz::sdp(&bytes);
        crate::fuzz::sdp(&[b"v=0\n", &bytes[..]].concat());
        crate::fuzz::record(&bytes);
    }

    /// Lines that say nothing about where media goes come out as they went in.
    #[test]
    fn lines_that_are_nothing_to_a_relay_are_kept(text in any_description()) {
        let Ok(sdp) = Sdp::parse(text.as_bytes()) else { return Ok(()) };
        let sections: Vec<_> = sdp.media().iter().map(|media| match media.transport {
            Transport::Other => Section::Keep,
            _ if media.port == 0 => Section::Refuse,
            _ => relay(30_000),
        }).collect();
        let out = rewrite_all(&text, &sections);
        // Of sections that nobody uses little is said.
        let is_used = sections.iter().all(|section| *section != Section::Refuse);
        let untouched = |text: &str| -> Vec<String> {
            let mut is_part = true;
            let mut belongs = |line: &&str| {
                is_part = !line.trim().is_empty() && (is_part || line.starts_with("m="));
                is_part
            };
            let concerns = ["t=", "c=", "m=", "a=rtcp", "a=ice-", "a=candidate", "a=group:BUNDLE",
                "a=end-of", "a=remote-cand", "a=sendrecv", "a=inactive",
                "a=sendonly", "a=rtpmap:0",
                "a=rtpmap:8"];
            let is_kept = |line: &&str| {
                !line.trim().is_empty() && !concerns.iter().any(|c| line.starts_with(c))
            };
            let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
            let lines = lines.filter(&mut belongs);
            let mut lines: Vec<_> = lines.filter(is_kept).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        prop_assert!(!is_used || untouched(&out) == untouched(&text), "{text}\n-->\n{out}");
        let media = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
        prop_assert_eq!(media(&out), media(&text));
    }
}

#[test]
fn headers_of_extensions_may_be_of_both_kinds_where_nobody_minds() {
    let section = |mixes_extensions| match relay(30_000) {
        Section::Relay {
            port,
            rtcp_port,
            rtcp_mux,
            profile,
            keys,
            ..
        } => Section::Relay {
            port,
            rtcp_port,
            rtcp_mux,
            profile,
            keys,
            mixes_extensions,
            ice: Vec::new(),
        },
        other => other,
    };
    let describe = |session: &str, media: &str| {
        format!("v=0\r\ns=-\r\n{session}m=audio 4000 RTP/AVP 8\r\nc=IN IP4 192.0.2.10\r\n{media}")
    };
    let written = |text: &str, mixes| {
        let out = rewrite_all(text, &[section(mixes)]);
        let lines = out.lines().filter(|line| line.contains("extmap"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (allow, one) = ("a=extmap-allow-mixed", "a=extmap:1/sendonly urn:x");
    // Numbers that there are not name nothing.
    let media = lines(&[
        "a=extmap:0 urn:y",
        one,
        "a=extmap:15 urn:z",
        "a=extmap:256 urn:z",
    ]);
    let plain = describe("", &media);
    assert_eq!(written(&plain, true), [allow, one]);
    assert_eq!(written(&plain, false), [one]);
    let said = describe("", &lines(&[one, allow]));
    assert_eq!(written(&said, true), [allow, one], "once");
    assert_eq!(
        written(&said, false),
        [one],
        "not to who would not understand"
    );
    let of_session = describe(&lines(&[allow]), &lines(&[one]));
    assert_eq!(written(&of_session, true), [allow, one], "once");
    assert_eq!(written(&describe("", ""), true), [""; 0]);
    for (text, minds) in [(&plain, true), (&said, false), (&of_session, false)] {
        let sdp = Sdp::parse(text.as_bytes()).unwrap();
        assert_eq!(sdp.mixes_no_extensions(&sdp.media()[0]), minds, "{text}");
    }
}
