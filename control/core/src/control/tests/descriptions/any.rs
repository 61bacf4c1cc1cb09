//! Any description that a phone may send, through the whole of control: what comes out can be read,
//! says what it said, and goes through once more as it is.

use proptest::prelude::*;

use crate::tests::Sim;

/// Attributes that are nothing to a relay, wherever they stand.
const NOTHING_TO_US: [&str; 7] = [
    "a=X-vendor:something  odd",
    "a=x-flag",
    "a=label:main",
    "a=content:speaker",
    "a=quality:10",
    "a=sdplang:en",
    "a=framerate:29.97",
];

/// Lines of a session between `s=` and `t=`.
const OF_SESSION: [&str; 5] = [
    "i=a call",
    "u=http://example.com/",
    "e=alice@example.com",
    "p=+1 555 0100",
    "b=AS:128",
];

/// Attributes of a section that go through as they are.
const OF_SECTION: [&str; 6] = [
    "a=ptime:20",
    "a=maxptime:40",
    "a=mid:one",
    "a=fmtp:101 0-15",
    "a=rtpmap:101 telephone-event/8000",
    "a=rtpmap:96 opus/48000/2",
];

/// One section: the line, whether it has an address of its own, its attributes.
#[derive(Clone, Debug)]
struct Section {
    line: &'static str,
    port: u16,
    has_address: bool,
    attributes: Vec<&'static str>,
    direction: Option<&'static str>,
    has_rtcp: bool,
}

fn any_section() -> impl Strategy<Value = Section> {
    let line = prop::sample::select(
        &[
            "audio PORT RTP/AVP 0 8 96 101",
            "audio PORT RTP/AVP 96 101",
            "video PORT RTP/AVPF 96",
            "image PORT udptl t38",
            "application PORT RTP/AVP 96",
        ][..],
    );
    let port = prop_oneof![4 => (1_024..60_000_u16).prop_map(|port| port & !1), 1 => Just(0)];
    let all: Vec<_> = NOTHING_TO_US.iter().chain(&OF_SECTION).copied().collect();
    let attributes = prop::sample::subsequence(all, 0..=13).prop_shuffle();
    let direction = prop::sample::select(&["a=sendrecv", "a=sendonly", "a=recvonly"][..]);
    let direction = prop::option::of(direction);
    (
        line,
        port,
        any::<bool>(),
        attributes,
        direction,
        any::<bool>(),
    )
        .prop_map(
            |(line, port, has_address, attributes, direction, has_rtcp)| Section {
                line,
                port,
                has_address,
                attributes,
                direction,
                has_rtcp,
            },
        )
}

fn any_whole_description() -> impl Strategy<Value = String> {
    let session = prop::sample::subsequence(OF_SESSION.to_vec(), 0..=5);
    let attributes = prop::sample::subsequence(NOTHING_TO_US.to_vec(), 0..=7).prop_shuffle();
    let sections = prop::collection::vec(any_section(), 1..5);
    let end = prop::sample::select(&["\r\n", "\n"][..]);
    (session, attributes, sections, end).prop_map(|(session, attributes, sections, end)| {
        let mut lines = vec!["v=0".to_owned(), "o=alice 7 3 IN IP4 192.0.2.10".to_owned()];
        lines.push("s=  odd spacing ".to_owned());
        lines.extend(session.iter().map(ToString::to_string));
        let at = lines.iter().position(|line| line.starts_with("b="));
        // RFC 8866 §9: the address stands before the bandwidth.
        lines.insert(at.unwrap_or(lines.len()), "c=IN IP4 192.0.2.10".to_owned());
        lines.push("t=0 0".to_owned());
        lines.extend(attributes.iter().map(ToString::to_string));
        for section in &sections {
            let port = section.port.to_string();
            lines.push(format!("m={}", section.line.replace("PORT", &port)));
            if section.has_address {
                lines.push("c=IN IP4 192.0.2.99".to_owned());
            }
            lines.extend(section.attributes.iter().map(ToString::to_string));
            lines.extend(section.direction.map(str::to_owned));
            if section.has_rtcp {
                lines.push(format!("a=rtcp:{}", section.port + 1));
            }
        }
        lines.iter().map(|line| format!("{line}{end}")).collect()
    })
}

/// The session and the sections: the lines of each.
fn parts(text: &str) -> Vec<Vec<&str>> {
    let mut parts = vec![Vec::new()];
    for line in text.split_inclusive('\n') {
        if line.starts_with("m=") {
            parts.push(Vec::new());
        }
        parts.last_mut().unwrap().push(line);
    }
    parts
}

/// What no relay has a reason to touch.
fn kept<'a>(part: &[&'a str]) -> Vec<&'a str> {
    // `sendrecv` is what no direction means, and static types get their `rtpmap`.
    let touched = [
        "m=",
        "c=",
        "a=rtcp:",
        "a=sendrecv",
        "a=rtpmap:0 ",
        "a=rtpmap:8 ",
    ];
    let is_kept = |line: &&&str| !touched.iter().any(|start| line.starts_with(start));
    let mut kept: Vec<_> = part
        .iter()
        .filter(is_kept)
        .map(|line| line.trim_end_matches(['\r', '\n']))
        .collect();
    kept.sort_unstable();
    kept
}

/// The words of an `m=`; of the port only whether there is one.
fn media<'a>(part: &[&'a str]) -> (bool, Vec<&'a str>) {
    let words: Vec<_> = part[0].split_whitespace().collect();
    let others = words.iter().enumerate().filter(|(at, _)| *at != 1);
    (words[1] != "0", others.map(|(_, word)| *word).collect())
}

/// With ports that are all the same.
fn without_ports(text: &str) -> String {
    let line = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            [kind, port, ref rest @ ..] if kind.starts_with("m=") && port != "0" => {
                format!("{kind} PORT {}", rest.join(" "))
            }
            _ if line.starts_with("a=rtcp:") => "a=rtcp:PORT\n".to_owned(),
            _ => line.to_owned(),
        }
    };
    text.split_inclusive('\n').map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_description_keeps_what_is_nothing_to_us_and_goes_through_twice(
        text in any_whole_description(),
    ) {
        let mut sim = Sim::new();
        let out = sim.offer("one", "alice", &text);
        let (before, after) = (parts(&text), parts(&out));
        prop_assert_eq!(before.len(), after.len(), "{}", out);
        prop_assert_eq!(kept(&before[0]), kept(&after[0]), "{}", out);
        for (before, after) in before.iter().zip(&after).skip(1) {
            prop_assert_eq!(media(before), media(after), "{}", out);
            // Of a section that nobody uses little is said.
            if media(before).0 {
                prop_assert_eq!(kept(before), kept(after), "{}", out);
            }
        }
        let used = before[1..].iter().filter(|part| media(part).0).count();
        prop_assert!(!out.contains("192.0.2.99"), "{}", out);
        prop_assert_eq!(out.matches("c=IN IP4 10.0.0.1").count(), used, "{}", out);

        let again = sim.offer("two", "alice", &out);
        prop_assert_eq!(without_ports(&again), without_ports(&out));
        prop_assert_eq!(sim.pairs_open(), 4 * used);
    }
}
