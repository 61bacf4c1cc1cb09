use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;

const RELAY: &str = "203.0.113.5";

fn rewrite_all(text: &str, sections: &[Section]) -> String {
    let sdp = Sdp::parse(text.as_bytes()).unwrap();
    let changes = Rewrite {
        address: RELAY.parse().unwrap(),
        replace_origin: false,
        replace_zero: false,
        rtcp_attribute: RtcpAttribute::Port,
        sections,
    };
    String::from_utf8(rewrite(&sdp, &changes)).unwrap()
}

fn relay(port: u16) -> Section {
    Section::Relay {
        port,
        rtcp_port: port + 1,
        rtcp_mux: false,
    }
}

fn lines(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

#[test]
fn replaces_address_and_port_and_nothing_else() {
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
        "c=IN IP4 203.0.113.5",
        "t=0 0",
        "x=unheard-of",
        "m=audio 30000 RTP/AVP 0 8",
        "i=A title",
        "b=AS:64",
        "a=rtpmap:0 PCMU/8000",
        "a=rtcp:30001",
        "m=video 0 RTP/AVP 31",
    ]);
    assert_eq!(
        rewrite_all(&text, &[relay(30_000), Section::Refuse]),
        expected
    );
}

#[test]
fn line_ends_stay_as_they_are() {
    let bare = "v=0\nc=IN IP4 192.0.2.10\nm=audio 4000 RTP/AVP 0";
    let expected = "v=0\nc=IN IP4 203.0.113.5\nm=audio 30000 RTP/AVP 0\na=rtcp:30001";
    assert_eq!(rewrite_all(bare, &[relay(30_000)]), expected);
}

#[test]
fn what_is_added_comes_before_blank_lines_at_the_end() {
    let text = "v=0\r\nc=IN IP4 192.0.2.10\r\nm=audio 4000 RTP/AVP 0\r\n\r\n";
    let out = rewrite_all(text, &[relay(30_000)]);
    assert!(
        out.ends_with("m=audio 30000 RTP/AVP 0\r\na=rtcp:30001\r\n\r\n"),
        "{out:?}"
    );
}

#[test]
fn an_address_of_zeros_stays_unless_it_is_to_be_replaced() {
    let text = lines(&["v=0", "c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0"]);
    assert!(rewrite_all(&text, &[relay(30_000)]).contains("c=IN IP4 0.0.0.0\r\nm=audio 30000"));
    let sdp = Sdp::parse(text.as_bytes()).unwrap();
    let changes = Rewrite {
        address: "2001:db8::5".parse().unwrap(),
        replace_origin: true,
        replace_zero: true,
        rtcp_attribute: RtcpAttribute::Full,
        sections: &[relay(30_000)],
    };
    let out = String::from_utf8(rewrite(&sdp, &changes)).unwrap();
    assert!(out.contains("c=IN IP6 2001:db8::5\r\n"), "{out}");
    assert!(out.contains("a=rtcp:30001 IN IP6 2001:db8::5\r\n"), "{out}");
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
        "c=IN IP4 203.0.113.5",
        "m=audio 30000 RTP/AVP 0",
        "a=rtcp:30001",
        "a=mid:0",
        "m=video 30002 RTP/AVP 96",
        "a=mid:1",
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
        port: 30_000,
        rtcp_port: 30_000,
        rtcp_mux: true,
    };
    let with = rewrite_all(&text, &[muxed]);
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
        out.contains("i=title\r\nc=IN IP4 203.0.113.5\r\na=sendrecv"),
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

    /// Lines that say nothing about where media goes come out as they went in, in their order.
    #[test]
    fn lines_that_are_nothing_to_a_relay_are_kept(text in any_description()) {
        let Ok(sdp) = Sdp::parse(text.as_bytes()) else { return Ok(()) };
        let sections: Vec<_> = sdp.media().iter().map(|media| match media.transport {
            Transport::Other => Section::Keep,
            _ if media.port == 0 => Section::Refuse,
            _ => relay(30_000),
        }).collect();
        let out = rewrite_all(&text, &sections);
        let untouched = |text: &str| -> Vec<String> {
            let concerns = ["c=", "m=", "a=rtcp", "a=ice-", "a=candidate", "a=group:BUNDLE",
                "a=end-of", "a=remote-cand"];
            let is_kept = |line: &&str| !concerns.iter().any(|c| line.starts_with(c));
            text.split_inclusive('\n').filter(is_kept).map(|l| l.trim_end().to_owned()).collect()
        };
        prop_assert_eq!(untouched(&out), untouched(&text));
        let media = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
        prop_assert_eq!(media(&out), media(&text));
    }
}
