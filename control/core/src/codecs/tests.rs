use control_ng::{CodecDirective, Codecs, Flag, Negotiation};
use proptest::prelude::*;
use relay_wire::{Codec, IlbcMode, SampleRate};

use super::listing::{relist, sections};
use super::offer::Offered;
use super::*;

/// `0 8 96=opus/48000/2;useinbandfec=1 ptime=30` as a description.
pub(super) fn description(formats: &str) -> String {
    let words: Vec<_> = formats.split_whitespace().collect();
    let numbers = words.iter().filter(|it| !it.starts_with("ptime="));
    let numbers: Vec<_> = numbers.map(|it| it.split('=').next().unwrap()).collect();
    let mut text = format!("v=0\r\nm=audio 4000 RTP/AVP {}\r\n", numbers.join(" "));
    for word in words {
        let Some((number, rest)) = word.split_once('=') else {
            continue;
        };
        if number == "ptime" {
            text += &format!("a=ptime:{rest}\r\n");
            continue;
        }
        let (rtpmap, parameters) = rest.split_once(';').unwrap_or((rest, ""));
        text += &format!("a=rtpmap:{number} {rtpmap}\r\n");
        if !parameters.is_empty() {
            text += &format!("a=fmtp:{number} {parameters}\r\n");
        }
    }
    text
}

/// What the first section lists, as `0 PCMU, 96 opus`.
pub(super) fn listed(sdp: &str) -> String {
    let sections = sections(sdp.as_bytes());
    let formats = &sections[0].as_ref().unwrap().formats;
    let words = formats.iter().map(|it| match it.clock_hz {
        48_000 if it.is_events() => format!("{} {}/48", it.payload_type, it.name),
        _ => format!("{} {}", it.payload_type, it.name),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Directives as `strip=all offer=PCMA,PCMU ptime=30`, and flags.
pub(super) fn wishes(directives: &str) -> Wishes {
    let mut codecs = Codecs::default();
    let mut negotiation = Negotiation::default();
    for word in directives.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let find = <CodecDirective as control_ng::Word>::find(name.as_bytes());
        let flag = <Flag as control_ng::Word>::find(name.as_bytes());
        match (name, find, flag) {
            ("ptime", ..) => negotiation.ptime_ms = Some(value.parse().unwrap()),
            ("ptime-reverse", ..) => negotiation.ptime_reverse_ms = Some(value.parse().unwrap()),
            (_, Some(directive), _) => {
                for codec in value.split(',') {
                    assert!(codecs.push(directive, codec.as_bytes()));
                }
            }
            (_, _, Some(flag)) => negotiation.flags.insert(flag),
            _ => panic!("{word}"),
        }
    }
    negotiation.codecs = codecs;
    Wishes::new(&negotiation, &CodecPolicy::default())
}

/// One call to the answer.
struct Call {
    /// The offer as the answerer sees it.
    offer: String,
    /// The answer as the offerer sees it.
    answer: String,
    routes: Routes,
}

fn offered(mode: bool, directives: &str, offer_text: &str) -> (String, Option<Offered>) {
    let sdp = description(offer_text);
    let section = sections(sdp.as_bytes()).remove(0).unwrap();
    let (listing, offered) = offer(mode, &wishes(directives), &section, None);
    let onward = relist(sdp.as_bytes(), &[listing]);
    (String::from_utf8(onward).unwrap(), offered)
}

fn call(mode: bool, directives: &str, offer_text: &str, answer_text: &str) -> Call {
    let (onward, offered) = offered(mode, directives, offer_text);
    let sdp = description(answer_text);
    let section = sections(sdp.as_bytes()).remove(0).unwrap();
    let (listing, routes) = answer(&Wishes::default(), &section, offered.as_ref(), false);
    let back = String::from_utf8(relist(sdp.as_bytes(), &[listing])).unwrap();
    Call {
        offer: listed(&onward),
        answer: back,
        routes,
    }
}

fn side(format: relay_wire::Format) -> String {
    let codec = match format.codec {
        Codec::Ilbc(IlbcMode::Ms20) => "iLBC20".to_owned(),
        Codec::Ilbc(IlbcMode::Ms30) => "iLBC30".to_owned(),
        Codec::Opus(SampleRate::Narrow) => "opus8".to_owned(),
        Codec::Opus(SampleRate::Wide) => "opus16".to_owned(),
        Codec::Opus(SampleRate::Full) => "opus48".to_owned(),
        Codec::Opus(SampleRate::Stereo) => "opus48x2".to_owned(),
        codec => format!("{codec:?}").to_uppercase(),
    };
    let mut text = format!("{} {codec} {}ms", format.payload_type, format.ptime_ms);
    if let Some(events) = format.events {
        text += &format!(" e{}/{}", events.payload_type, events.clock_hz / 1_000);
    }
    if let Some(noise) = format.comfort_noise {
        text += &format!(" n{noise}");
    }
    text
}

pub(super) fn shown(routes: &[relay_wire::Route]) -> Vec<String> {
    let route = |it: &relay_wire::Route| format!("{} > {}", side(it.from), side(it.to));
    routes.iter().map(route).collect()
}

/// What the relay has is offered, too.
const WHEN_NEEDED: bool = true;
const NEVER: bool = false;

#[test]
fn offers_as_the_directives_want_them() {
    let keys = "101 telephone-event";
    let cases = [
        // (directives, offered, offered on)
        (
            "",
            "0 8 101=telephone-event/8000",
            format!("0 PCMU, 8 PCMA, {keys}"),
        ),
        ("strip=PCMU", "0 8", "8 PCMA".to_owned()),
        ("strip=pcmu", "0 8", "8 PCMA".to_owned()),
        ("strip=8", "0 8", "0 PCMU".to_owned()),
        (
            "strip=opus/48000/2",
            "96=opus/48000/2 0",
            "0 PCMU".to_owned(),
        ),
        (
            "strip=opus/48000",
            "96=opus/48000/2 0",
            "96 opus, 0 PCMU".to_owned(),
        ),
        ("strip=all except=PCMA", "0 8 3", "8 PCMA".to_owned()),
        (
            "strip=all offer=PCMA,PCMU",
            "0 8 3",
            "8 PCMA, 0 PCMU".to_owned(),
        ),
        ("offer=GSM", "0 8 3", "3 GSM, 0 PCMU, 8 PCMA".to_owned()),
        ("strip=all", "0 8", "0 PCMU, 8 PCMA".to_owned()),
        ("strip=all offer=speex", "0 8", "0 PCMU, 8 PCMA".to_owned()),
        ("mask=all", "0 8", "0 PCMU, 8 PCMA".to_owned()),
        ("mask=PCMU", "0 8", "8 PCMA".to_owned()),
        // What asks for codecs that are put in asks for nothing where none ever are.
        ("transcode=GSM", "0 8", "0 PCMU, 8 PCMA".to_owned()),
        ("strip=all transcode=PCMA", "0 8", "8 PCMA".to_owned()),
        ("consume=PCMU", "0 8", "8 PCMA".to_owned()),
        ("accept=PCMU", "0 8", "0 PCMU, 8 PCMA".to_owned()),
        ("always-transcode", "0", "0 PCMU".to_owned()),
        ("ptime=40", "0 ptime=20", "0 PCMU".to_owned()),
    ];
    for (directives, text, expected) in cases {
        let (onward, memory) = offered(NEVER, directives, text);
        assert_eq!(listed(&onward), expected, "{directives} of {text}");
        assert_eq!(memory, None, "{directives} of {text}");
        assert!(!onward.contains("ptime:40"), "{onward}");
    }
}

#[test]
fn what_the_relay_has_is_offered_behind_what_the_party_has() {
    let cases = [
        ("8", "8 PCMA, 0 PCMU, 9 G722, 96 opus, 97 iLBC, 3 GSM"),
        ("18", "18 G729"),
        (
            "96=speex/8000 97=iLBC/8000",
            "96 speex, 97 iLBC, 0 PCMU, 8 PCMA, 9 G722, 98 opus, 3 GSM",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(
            listed(&offered(WHEN_NEEDED, "", text).0),
            expected,
            "{text}"
        );
    }
    let directed = [
        ("strip=G722,iLBC", "8", "8 PCMA, 0 PCMU, 96 opus, 3 GSM"),
        ("strip=all offer=PCMA", "8 0", "8 PCMA"),
        (
            "offer=GSM",
            "8",
            "3 GSM, 8 PCMA, 0 PCMU, 9 G722, 96 opus, 97 iLBC",
        ),
    ];
    for (directives, text, expected) in directed {
        let (onward, _) = offered(WHEN_NEEDED, directives, text);
        assert_eq!(listed(&onward), expected, "{directives} of {text}");
    }
}

#[test]
fn opus_is_offered_for_as_much_as_there_is_to_hear() {
    let (narrow, _) = offered(WHEN_NEEDED, "", "0");
    let parameters = "maxplaybackrate=8000;sprop-maxcapturerate=8000;useinbandfec=1";
    assert!(
        narrow.contains(&format!("a=fmtp:96 {parameters}\r\n")),
        "{narrow}"
    );
    let (wide, _) = offered(WHEN_NEEDED, "", "9");
    assert!(wide.contains("a=fmtp:96 maxplaybackrate=16000;"), "{wide}");
}

#[test]
fn parties_that_share_a_codec_are_left_alone() {
    let cases = [
        // (offer, answer, the answer as the offerer sees it)
        ("0 8 101=telephone-event/8000", "0", "0 PCMU"),
        ("0 8", "8 0", "8 PCMA, 0 PCMU"),
        // RFC 4317 §2.1: one of several codecs.
        ("0 8 97=iLBC/8000", "97=iLBC/8000", "97 iLBC"),
        // By another number (RFC 3264 §6.1): end to end, this works.
        ("97=iLBC/8000", "98=iLBC/8000", "98 iLBC"),
        // What only the relay has offered goes no further.
        ("0", "0 9 3", "0 PCMU"),
        (
            "0 101=telephone-event/8000",
            "0 96=telephone-event/8000 9",
            "0 PCMU, 96 telephone-event",
        ),
        // A codec that only passes.
        ("18 0", "18", "18 G729"),
    ];
    for (offer, answer, expected) in cases {
        let call = call(WHEN_NEEDED, "", offer, answer);
        assert_eq!(listed(&call.answer), expected, "{offer}, {answer}");
        assert_eq!(call.routes, Routes::default(), "{offer}, {answer}");
    }
}

#[test]
fn every_two_codecs_find_each_other() {
    let codecs = [
        ("0", "PCMU"),
        ("8", "PCMA"),
        ("3", "GSM"),
        ("110=iLBC/8000;mode=20", "iLBC20"),
        ("110=iLBC/8000;mode=30", "iLBC30"),
        ("9", "G722"),
        ("111=opus/48000/2", "opus"),
    ];
    for (offer, name) in codecs {
        for (answer, other) in codecs {
            if name[..3] == other[..3] && (name == other || name.starts_with("iLBC")) {
                continue;
            }
            let call = call(WHEN_NEEDED, "", offer, answer);
            let up = shown(&call.routes.from_answerer);
            let down = shown(&call.routes.from_offerer);
            assert_eq!(down.len(), 1, "{name} {other}: {down:?}");
            assert!(
                down[0].contains(&format!(" {name}")),
                "{name} {other}: {down:?}"
            );
            // An iLBC that was offered as 20 ms and answered as 30 is 30.
            assert!(down[0].contains(&format!("> {} {other}", answer.split('=').next().unwrap())));
            assert!(
                up[0].contains(&format!(" {other}")),
                "{name} {other}: {up:?}"
            );
            let number = offer.split('=').next().unwrap();
            assert!(
                listed(&call.answer).starts_with(&format!("{number} ")),
                "{}",
                call.answer
            );
        }
    }
}

#[test]
fn the_laws_of_g711_are_changed_in_place() {
    let events = "101=telephone-event/8000";
    let call = call(
        WHEN_NEEDED,
        "",
        &format!("0 {events}"),
        &format!("8 {events} ptime=30"),
    );
    assert_eq!(listed(&call.answer), "0 PCMU, 101 telephone-event");
    let down = shown(&call.routes.from_offerer);
    assert_eq!(down, ["0 PCMU 30ms e101/8 > 8 PCMA 30ms e101/8"]);
    let up = shown(&call.routes.from_answerer);
    assert_eq!(up, ["8 PCMA 30ms e101/8 > 0 PCMU 30ms e101/8"]);
}

#[test]
fn keys_have_the_clock_of_the_codec_beside_them() {
    let offer = "0 101=telephone-event/8000;0-16 13";
    let answer = "96=opus/48000/2;useinbandfec=1 98=telephone-event/48000";
    let call = call(WHEN_NEEDED, "", offer, answer);
    assert!(
        call.offer.ends_with("98 telephone-event/48"),
        "{}",
        call.offer
    );
    let down = shown(&call.routes.from_offerer);
    assert_eq!(down, ["0 PCMU 20ms e101/8 n13 > 96 opus8 20ms e98/48"]);
    let up = shown(&call.routes.from_answerer);
    assert_eq!(up, ["96 opus8 20ms e98/48 > 0 PCMU 20ms e101/8 n13"]);
    assert_eq!(listed(&call.answer), "0 PCMU, 101 telephone-event");
    assert!(
        call.answer.contains("a=fmtp:101 0-16\r\n"),
        "{}",
        call.answer
    );
    let opus = call.routes.from_offerer[0].opus.unwrap();
    assert_eq!((opus.loss_percent, opus.bitrate), (5, None));
}

#[test]
fn a_party_without_events_hears_tones() {
    let call = call(WHEN_NEEDED, "", "0 101=telephone-event/8000", "3");
    assert_eq!(listed(&call.answer), "0 PCMU, 101 telephone-event");
    let down = shown(&call.routes.from_offerer);
    assert_eq!(down, ["0 PCMU 20ms e101/8 > 3 GSM 20ms"]);
}

#[test]
fn numbers_of_either_side_stay_on_that_side() {
    let offer = "120=opus/48000/2 121=telephone-event/48000";
    let call = call(WHEN_NEEDED, "", offer, "0 96=telephone-event/8000");
    let down = shown(&call.routes.from_offerer);
    assert_eq!(down, ["120 opus8 20ms e121/48 > 0 PCMU 20ms e96/8"]);
    let up = shown(&call.routes.from_answerer);
    assert_eq!(up, ["0 PCMU 20ms e96/8 > 120 opus8 20ms e121/48"]);
    assert_eq!(listed(&call.answer), "120 opus, 121 telephone-event/48");
}

#[test]
fn an_answerer_may_send_by_the_number_of_the_offer_or_by_its_own() {
    let call = call(WHEN_NEEDED, "", "0", "105=iLBC/8000;mode=20");
    let down = shown(&call.routes.from_offerer);
    assert_eq!(down, ["0 PCMU 20ms > 105 iLBC20 20ms"]);
    let up = shown(&call.routes.from_answerer);
    let expected = [
        "97 iLBC20 20ms > 0 PCMU 20ms",
        "105 iLBC20 20ms > 0 PCMU 20ms",
    ];
    assert_eq!(up, expected);
}

#[test]
fn an_answer_that_prefers_what_only_the_relay_has_is_transcoded_one_way() {
    let call = call(WHEN_NEEDED, "", "0 8", "9 0");
    assert_eq!(listed(&call.answer), "0 PCMU");
    assert_eq!(
        shown(&call.routes.from_offerer),
        ["0 PCMU 20ms > 0 PCMU 20ms"]
    );
    let up = shown(&call.routes.from_answerer);
    assert_eq!(
        up,
        ["9 G722 20ms > 0 PCMU 20ms", "0 PCMU 20ms > 0 PCMU 20ms"]
    );
}

#[test]
fn an_overloaded_relay_is_spared_if_the_parties_share_a_codec() {
    let (_, offered) = offered(WHEN_NEEDED, "", "0 8");
    let spared = |text: &str| {
        let sdp = description(text);
        let section = sections(sdp.as_bytes()).remove(0).unwrap();
        let (listing, routes) = answer(&Wishes::default(), &section, offered.as_ref(), true);
        let sdp = String::from_utf8(relist(sdp.as_bytes(), &[listing])).unwrap();
        (listed(&sdp), routes == Routes::default())
    };
    assert_eq!(spared("9 0"), ("0 PCMU".to_owned(), true));
    assert_eq!(spared("9"), ("0 PCMU, 8 PCMA".to_owned(), false));
}

#[test]
fn masked_codecs_are_taken_from_the_offerer() {
    let call = call(WHEN_NEEDED, "mask=opus", "96=opus/48000/2", "8");
    assert_eq!(call.offer, "0 PCMU, 8 PCMA, 9 G722, 97 iLBC, 3 GSM");
    assert_eq!(listed(&call.answer), "96 opus");
    let down = shown(&call.routes.from_offerer);
    assert_eq!(down, ["96 opus8 20ms > 8 PCMA 20ms"]);
}

#[test]
fn packets_are_put_together_as_the_proxy_wants() {
    let call = call(
        WHEN_NEEDED,
        "ptime=30 ptime-reverse=60",
        "3 ptime=20",
        "3 ptime=20",
    );
    let down = shown(&call.routes.from_offerer);
    assert_eq!(down, ["3 GSM 60ms > 3 GSM 30ms"]);
    assert!(call.answer.contains("a=ptime:60\r\n"), "{}", call.answer);
    assert_eq!(call.answer.matches("ptime").count(), 1);
    let (onward, _) = offered(WHEN_NEEDED, "ptime=30", "0 ptime=20");
    assert!(
        onward.contains("a=ptime:30\r\n") && !onward.contains("ptime:20"),
        "{onward}"
    );
    let (onward, _) = offered(WHEN_NEEDED, "ptime=30", "18 ptime=20");
    assert!(
        onward.contains("a=ptime:20\r\n"),
        "nobody could do it: {onward}"
    );
    // What is so already needs nobody.
    let alike = self::call(WHEN_NEEDED, "ptime=20", "0 ptime=20", "0");
    assert_eq!(alike.routes, Routes::default());
}

#[test]
fn options_of_opus_reach_the_encoder() {
    let directive = "set=opus/48000/2/20000/40//complexity=7";
    let call = call(
        WHEN_NEEDED,
        directive,
        "8",
        "96=opus/48000/2;maxaveragebitrate=18000",
    );
    let route = call.routes.from_offerer[0];
    assert_eq!(route.to.ptime_ms, 40);
    let opus = route.opus.unwrap();
    assert_eq!(
        (opus.complexity, opus.bitrate, opus.loss_percent),
        (7, Some(18_000), 0)
    );
}

#[test]
fn an_answer_with_a_single_codec() {
    let single = |text: &str, offered: Option<&Offered>| {
        let sdp = description(text);
        let section = sections(sdp.as_bytes()).remove(0).unwrap();
        let (listing, routes) = answer(&wishes("single-codec"), &section, offered, false);
        let sdp = relist(sdp.as_bytes(), &[listing]);
        (listed(std::str::from_utf8(&sdp).unwrap()), routes)
    };
    let text = "8 0 101=telephone-event/8000 102=telephone-event/16000";
    assert_eq!(single(text, None).0, "8 PCMA, 101 telephone-event");
    let (_, offered) = offered(WHEN_NEEDED, "", "0 8");
    let (listed, routes) = single("3", offered.as_ref());
    assert_eq!(listed, "0 PCMU");
    assert_eq!(shown(&routes.from_offerer).len(), 1);
}

#[test]
fn a_number_that_once_stood_for_a_codec_stands_for_it_again() {
    let (_, first) = offered(WHEN_NEEDED, "", "0 96=speex/8000");
    // The other party now offers, and has iLBC by the number that it was offered by.
    let sdp = description("98=iLBC/8000;mode=20");
    let section = sections(sdp.as_bytes()).remove(0).unwrap();
    let (listing, _) = offer(WHEN_NEEDED, &Wishes::default(), &section, first.as_ref());
    let onward = String::from_utf8(relist(sdp.as_bytes(), &[listing])).unwrap();
    let expected = "98 iLBC, 0 PCMU, 8 PCMA, 9 G722, 97 opus, 3 GSM";
    assert_eq!(listed(&onward), expected);
}

#[test]
fn other_media_and_what_is_encrypted_is_not_transcoded() {
    for line in [
        "m=video 4000 RTP/AVP 0",
        "m=audio 4000 RTP/SAVP 0",
        "m=audio 0 RTP/AVP 0",
    ] {
        let sdp = format!("v=0\r\n{line}\r\n");
        let section = sections(sdp.as_bytes()).remove(0).unwrap();
        let onward = offer(WHEN_NEEDED, &Wishes::default(), &section, None);
        assert_eq!(onward, (None, None), "{line}");
    }
    assert_eq!(sections(b"v=0\r\nm=image 4000 udptl t38\r\n"), [None]);
    assert_eq!(sections(b"v=0\r\nm=audio 4000 RTP/AVP 0 x\r\n"), [None]);
}

#[test]
fn lines_of_what_is_taken_out_go_with_it() {
    let sdp = "v=0\nm=audio 4000 RTP/AVP 0 96\na=rtpmap:96 opus/48000/2\na=fmtp:96 x=1\n\
        a=rtcp-fb:96 nack\na=rtcp-fb:* ccm fir\na=sendrecv\n\n";
    let section = sections(sdp.as_bytes()).remove(0).unwrap();
    let (listing, _) = offer(
        WHEN_NEEDED,
        &wishes("strip=opus,PCMA,G722,iLBC"),
        &section,
        None,
    );
    let onward = String::from_utf8(relist(sdp.as_bytes(), &[listing])).unwrap();
    let expected = "v=0\nm=audio 4000 RTP/AVP 0 3\na=rtcp-fb:* ccm fir\na=sendrecv\n\
        a=rtpmap:3 GSM/8000\n\n";
    assert_eq!(onward, expected);
}

pub(super) fn any_formats() -> impl Strategy<Value = String> {
    let formats = prop::sample::subsequence(
        &[
            "0",
            "3",
            "8",
            "9",
            "18",
            "13",
            "96=opus/48000/2;useinbandfec=1",
            "111=opus/48000/2",
            "97=iLBC/8000;mode=20",
            "98=iLBC/8000",
            "99=speex/16000",
            "100=L16/16000",
            "101=telephone-event/8000;0-16",
            "102=telephone-event/48000",
            "103=CN/16000",
            "120",
        ][..],
        1..8,
    );
    let ptime = prop::sample::select(&["", " ptime=20", " ptime=30", " ptime=60"][..]);
    (formats.prop_shuffle(), ptime).prop_map(|(formats, ptime)| formats.join(" ") + ptime)
}

pub(super) fn any_directives() -> impl Strategy<Value = String> {
    let directives = prop::sample::subsequence(
        &[
            "strip=all",
            "strip=opus,PCMU",
            "mask=all",
            "mask=full",
            "mask=PCMA",
            "consume=GSM",
            "except=iLBC",
            "offer=G722,telephone-event",
            "accept=all",
            "transcode=PCMU,opus/48000/2",
            "transcode=telephone-event,L16/16000",
            "set=opus/48000/2/20000",
            "ptime=40",
            "ptime-reverse=30",
        ][..],
        0..5,
    );
    directives.prop_map(|it| it.join(" "))
}

/// Those that leave it to the relay to choose.
fn any_limits() -> impl Strategy<Value = String> {
    let is_limit = |word: &&str| {
        let directs = ["transcode=", "consume=", "accept="];
        !directs.iter().any(|name| word.starts_with(name))
    };
    any_directives().prop_map(move |directives| {
        let words: Vec<_> = directives.split(' ').filter(is_limit).collect();
        words.join(" ")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_offer_that_comes_by_twice_is_not_changed_again(
        mode in any::<bool>(), directives in any_limits(), text in any_formats(),
    ) {
        // Masked codecs are gone then.
        let directives: Vec<_> = directives.split(' ').filter(|it| !it.starts_with("mask")).collect();
        let wishes = wishes(&directives.join(" "));
        let pass = |sdp: &[u8]| {
            let section = sections(sdp).remove(0).unwrap();
            relist(sdp, &[offer(mode, &wishes, &section, None).0])
        };
        let once = pass(description(&text).as_bytes());
        let again = pass(&once);
        prop_assert_eq!(String::from_utf8(again), String::from_utf8(once));
    }

    /// Whatever the answer is, the offerer is told only of what it offered, and there is a way for
    /// all of it.
    #[test]
    fn what_is_answered_was_offered_and_works(
        mode in any::<bool>(), directives in any_limits(),
        text in any_formats(), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let (onward, offered) = offered(mode, &directives, &text);
        let numbers = sections(onward.as_bytes()).remove(0).unwrap().formats;
        // An answerer that picks some of what it was offered, by the numbers of the offer.
        let mut picked: Vec<u8> = Vec::new();
        for pick in picks {
            let number = pick.get(&numbers).payload_type;
            if !picked.contains(&number) {
                picked.push(number);
            }
        }
        let kept: Vec<_> = onward.lines().filter(|line| !line.starts_with("m=")).collect();
        let words: Vec<_> = picked.iter().map(u8::to_string).collect();
        let sdp = format!("{}\r\nm=audio 4000 RTP/AVP {}\r\n{}\r\n",
            kept[0], words.join(" "), kept[1..].join("\r\n"));
        let section = sections(sdp.as_bytes()).remove(0).unwrap();
        let (listing, routes) = answer(&Wishes::default(), &section, offered.as_ref(), false);
        let back = relist(sdp.as_bytes(), &[listing]);
        let told = sections(&back).remove(0).unwrap();
        let had = sections(description(&text).as_bytes()).remove(0).unwrap();
        let is_audio = |it: &&Format| !it.is_companion();
        let is_any_audio = section.formats.iter().any(|it| is_audio(&it));
        for format in &told.formats {
            let was_offered = had.formats.iter().any(|it| it.payload_type == format.payload_type
                && (it.name.is_empty() || it.is_same_codec(format)));
            prop_assert!(was_offered || !is_any_audio, "{format:?} of {text}, {sdp}");
        }
        let is_changed = !routes.from_offerer.is_empty();
        prop_assert_eq!(is_changed, !routes.from_answerer.is_empty(), "both ways or none");
        if is_changed {
            for format in told.formats.iter().filter(is_audio) {
                let number = format.payload_type;
                prop_assert!(routes.from_offerer.iter().any(|it| it.from.payload_type == number));
            }
            for route in routes.from_offerer.iter().chain(&routes.from_answerer) {
                prop_assert!((1..=200).contains(&route.to.ptime_ms));
            }
            for route in &routes.from_answerer {
                let number = route.to.payload_type;
                prop_assert!(told.formats.iter().any(|it| it.payload_type == number), "{back:?}");
            }
            for route in &routes.from_offerer {
                prop_assert!(picked.contains(&route.to.payload_type));
            }
        }
        for list in [&routes.from_offerer, &routes.from_answerer] {
            let mut numbers: Vec<_> = list.iter().map(|it| it.from.payload_type).collect();
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), list.len());
            prop_assert!(list.len() <= relay_wire::ROUTES_MAX);
        }
    }

    #[test]
    fn any_offer_and_any_answer_can_be_read(
        offer in any_formats(), answer in any_formats(), bytes in any::<Vec<u8>>(),
    ) {
        let both = description(&offer) + "--" + &description(&answer);
        crate::fuzz::codecs(both.as_bytes());
        crate::fuzz::codecs(&[both.as_bytes(), &bytes[..], b"\na=rtpmap:0 x/1"].concat());
        crate::fuzz::codecs(&[b"m=audio 1 RTP/AVP 0 ", &bytes[..], b"\n"].concat());
    }
}
