use proptest::prelude::*;
use relay_wire::{Codec, SampleRate};

use super::*;
use crate::codecs::listing::{relist, sections};
use crate::codecs::tests::{any_directives, any_formats, description, listed, shown, wishes};

/// A dialogue between two parties.
#[derive(Default)]
struct Talk {
    ledger: Ledger,
}

impl Talk {
    /// The first party offers; what the second is told.
    fn offer(&mut self, directives: &str, text: &str) -> String {
        let (elder, younger) = (&mut self.ledger.elder, &mut self.ledger.younger);
        offer((elder, younger), directives, text)
    }

    /// The second party offers; what the first is told.
    fn offer_back(&mut self, directives: &str, text: &str) -> String {
        let (elder, younger) = (&mut self.ledger.elder, &mut self.ledger.younger);
        offer((younger, elder), directives, text)
    }

    /// The second party answers: what the first is told, and what is done.
    fn answer(&mut self, directives: &str, text: &str) -> (String, Routes) {
        self.answer_to(directives, text, false)
    }

    /// The same to a relay that is to be spared, or is not.
    fn answer_to(&mut self, directives: &str, text: &str, spares: bool) -> (String, Routes) {
        let sdp = description(text);
        let section = sections(sdp.as_bytes()).remove(0).unwrap();
        let mut dialogue = Dialogue {
            sender: &mut self.ledger.younger,
            receiver: &mut self.ledger.elder,
        };
        let (listing, routes) = dialogue.answer(&wishes(directives), &section, spares);
        let back = relist(sdp.as_bytes(), &[listing]);
        (String::from_utf8(back).unwrap(), routes)
    }
}

fn offer((sender, receiver): (&mut Party, &mut Party), directives: &str, text: &str) -> String {
    let sdp = description(text);
    let section = sections(sdp.as_bytes()).remove(0).unwrap();
    let mut dialogue = Dialogue { sender, receiver };
    let listing = dialogue.offer(&wishes(directives), &section);
    String::from_utf8(relist(sdp.as_bytes(), &[listing])).unwrap()
}

fn offered(directives: &str, text: &str) -> String {
    listed(&Talk::default().offer(directives, text))
}

/// Directives, an offer, and what becomes of it.
fn assert_offers(cases: &[(&str, &str, &str)]) {
    for (directives, text, expected) in cases {
        assert_eq!(
            &offered(directives, text),
            expected,
            "{directives} of {text}"
        );
    }
}

const KEYS: &str = "101=telephone-event/8000;0-16";

#[test]
fn an_offer_is_what_the_directives_make_of_it() {
    let cases = [
        ("", "0 8", "0 PCMU, 8 PCMA"),
        ("strip=PCMU", "0 8", "8 PCMA"),
        ("strip=8", "0 8", "0 PCMU"),
        ("strip=opus/48000/2", "96=opus/48000/2 0", "0 PCMU"),
        ("strip=opus/48000", "96=opus/48000/2 0", "96 opus, 0 PCMU"),
        ("strip=all except=PCMA", "0 8 3", "8 PCMA"),
        ("strip=all offer=PCMA,PCMU", "0 8 3", "8 PCMA, 0 PCMU"),
        // What is there anyhow keeps its place.
        ("offer=GSM", "0 8 3", "0 PCMU, 8 PCMA, 3 GSM"),
        ("transcode=GSM", "0 8", "0 PCMU, 8 PCMA, 3 GSM"),
        ("transcode=PCMU", "0 8", "0 PCMU, 8 PCMA"),
        (
            "transcode=opus",
            "96=G726-32/8000 0",
            "96 G726-32, 0 PCMU, 97 opus",
        ),
        ("strip=PCMU transcode=PCMU", "0 8", "8 PCMA, 0 PCMU"),
        ("strip=full transcode=PCMU", "0 8", "0 PCMU"),
        ("mask=all transcode=GSM", "0 8", "3 GSM"),
        ("mask=full transcode=PCMA", "0 8", "8 PCMA"),
        ("consume=PCMU", "0 8", "8 PCMA"),
        ("accept=PCMU", "0 8", "0 PCMU, 8 PCMA"),
        ("transcode=speex", "0", "0 PCMU"),
        ("transcode=CN", "0", "0 PCMU, 13 CN"),
        // Rules that leave nothing do not hold.
        ("strip=all", "0 8", "0 PCMU, 8 PCMA"),
        ("strip=all offer=speex", "0 8", "0 PCMU, 8 PCMA"),
        ("ignore=PCMU", "0 8", "0 PCMU, 8 PCMA"),
    ];
    assert_offers(&cases);
}

#[test]
fn a_codec_is_spelt_as_the_proxy_spells_it() {
    let offer = Talk::default().offer("transcode=gsm,opus/48000", "0");
    assert!(offer.contains("a=rtpmap:3 gsm/8000\r\n"), "{offer}");
    assert!(offer.contains("a=rtpmap:96 opus/48000\r\n"), "{offer}");
    let none = Talk::default().offer("transcode=opus/48000/2////complexity=5", "0");
    assert!(!none.contains("a=fmtp"), "none are named: {none}");
}

#[test]
fn keys_follow_the_clocks_of_what_was_put_in_or_taken_out() {
    let cases = [
        (
            "transcode=opus",
            "0 101=telephone-event/8000",
            "0 PCMU, 96 opus, 97 telephone-event/48, 101 telephone-event",
        ),
        (
            "strip=PCMU",
            "0 96=opus/48000/2 98=telephone-event/48000 101=telephone-event/8000",
            "96 opus, 98 telephone-event/48",
        ),
        // Nobody asked for anything to be done about these.
        (
            "",
            "0 96=opus/48000/2 101=telephone-event/8000",
            "0 PCMU, 96 opus, 101 telephone-event",
        ),
        (
            "transcode=telephone-event",
            "0 96=opus/48000/2",
            "0 PCMU, 96 opus, 98 telephone-event/48, 97 telephone-event",
        ),
    ];
    assert_offers(&cases);
}

#[test]
fn what_nobody_offered_cannot_be_answered() {
    let mut talk = Talk::default();
    talk.offer("", &format!("0 8 {KEYS}"));
    let (back, routes) = talk.answer("", &format!("8 9 {KEYS}"));
    assert_eq!(listed(&back), "8 PCMA, 101 telephone-event");
    assert_eq!(routes, Routes::default());
}

#[test]
fn what_was_added_is_transcoded_if_it_is_answered() {
    let mut talk = Talk::default();
    talk.offer("transcode=GSM", "8 0");
    let (back, routes) = talk.answer("", "3");
    assert_eq!(listed(&back), "8 PCMA");
    assert_eq!(shown(&routes.from_answerer), ["3 GSM 20ms > 8 PCMA 20ms"]);
    assert_eq!(shown(&routes.from_offerer), ["8 PCMA 20ms > 3 GSM 20ms"]);
    // The same offer, and an answer that needs nothing.
    let (back, routes) = talk.answer("", "0 3");
    assert_eq!(listed(&back), "0 PCMU, 8 PCMA");
    assert_eq!(
        shown(&routes.from_offerer).len(),
        2,
        "GSM may come, so all goes one way"
    );
}

#[test]
fn an_overloaded_relay_is_spared_if_the_parties_share_a_codec() {
    let answered = |directives: &str, answer: &str, spares| {
        let mut talk = Talk::default();
        talk.offer(directives, &format!("0 8 {KEYS}"));
        let (back, routes) = talk.answer_to("", answer, spares);
        (listed(&back), routes == Routes::default())
    };
    let told = |told: &str, passes| (told.to_owned(), passes);
    let both = format!("9 0 {KEYS}");
    let keys = "101 telephone-event";
    assert!(!answered("transcode=G722", &both, false).1);
    let spared = answered("transcode=G722", &both, true);
    assert_eq!(spared, told(&format!("0 PCMU, {keys}"), true));
    // Nothing is shared, or the proxy wants it so.
    assert!(!answered("transcode=G722", "9", true).1);
    assert!(!answered("accept=PCMU", "8", true).1);
    // Keys alone are no codec.
    assert!(!answered("transcode=G722", &format!("9 {KEYS}"), true).1);
}

#[test]
fn the_laws_of_g711_are_changed_one_way_alone() {
    let mut talk = Talk::default();
    talk.offer("transcode=PCMA", "0");
    let (back, routes) = talk.answer("", "0 8");
    assert_eq!(listed(&back), "0 PCMU");
    assert_eq!(shown(&routes.from_offerer), Vec::<String>::new());
    let up = ["0 PCMU 20ms > 0 PCMU 20ms", "8 PCMA 20ms > 0 PCMU 20ms"];
    assert_eq!(shown(&routes.from_answerer), up);
}

#[test]
fn masked_and_accepted_codecs_are_heard_whatever_is_answered() {
    let cases = [
        (
            "mask=opus transcode=PCMA",
            "96=opus/48000/2",
            "8",
            "96 opus",
        ),
        ("consume=PCMU", "0 8", "8", "0 PCMU"),
        ("accept=PCMU", "0 8", "8", "0 PCMU"),
        ("always-transcode", "0 8 3", "3", "0 PCMU"),
    ];
    for (directives, text, answer, expected) in cases {
        let mut talk = Talk::default();
        talk.offer(directives, text);
        let (back, routes) = talk.answer("", answer);
        assert_eq!(listed(&back), expected, "{directives}");
        assert!(!routes.from_answerer.is_empty(), "{directives}");
    }
}

#[test]
fn what_is_ignored_was_never_offered() {
    let mut talk = Talk::default();
    assert_eq!(listed(&talk.offer("ignore=PCMA", "8 9")), "8 PCMA, 9 G722");
    // It cannot be sent to who offered it, so it is transcoded.
    let (back, routes) = talk.answer("", "8");
    assert_eq!(listed(&back), "9 G722");
    assert_eq!(shown(&routes.from_answerer), ["8 PCMA 20ms > 9 G722 20ms"]);
    let everything = offered("ignore=all", "8 9");
    assert_eq!(everything, "8 PCMA, 9 G722", "a mistake");
}

#[test]
fn codecs_are_reused_by_place_and_meaning() {
    let mut talk = Talk::default();
    talk.offer("", "8 0 9");
    talk.answer("", "0 8");
    // The order of before holds, and what is new comes last.
    let again = talk.offer("reuse-codecs", "3 9 0 8");
    assert_eq!(listed(&again), "0 PCMU, 8 PCMA, 3 GSM, 9 G722");
    assert_eq!(listed(&talk.offer("no-codec-renegotiation", "8")), "8 PCMA");
    assert_eq!(
        listed(&talk.offer("", "3 9 0 8")),
        "3 GSM, 9 G722, 0 PCMU, 8 PCMA"
    );
}

#[test]
fn static_codecs_are_offered_whatever_is_offered() {
    let mut talk = Talk::default();
    talk.offer("", "8 0");
    talk.answer("", "8");
    assert_eq!(listed(&talk.offer("static-codecs", "9 3")), "8 PCMA");
    assert_eq!(
        offered("static-codecs", "9 3"),
        "9 G722, 3 GSM",
        "there are none yet"
    );
}

#[test]
fn a_stream_of_no_codecs_is_refused_if_that_is_allowed() {
    let offer = Talk::default().offer("strip=all except=GSM allow-no-codec-media", "8 0");
    assert!(offer.contains("m=audio 0 RTP/AVP 8 0\r\n"), "{offer}");
    assert_eq!(offered("strip=all except=GSM", "8 0"), "8 PCMA, 0 PCMU");
}

#[test]
fn who_offers_next_finds_the_numbers_that_stood_before() {
    let mut talk = Talk::default();
    talk.offer("transcode=opus", &format!("8 {KEYS}"));
    talk.answer("", "96=opus/48000/2 97=telephone-event/48000");
    let back = talk.offer_back("transcode=PCMA", "96=opus/48000/2 97=telephone-event/48000");
    let expected = "96 opus, 8 PCMA, 101 telephone-event, 97 telephone-event/48";
    assert_eq!(listed(&back), expected);
}

#[test]
fn packets_have_the_length_that_the_proxy_wants() {
    let mut talk = Talk::default();
    let onward = talk.offer("ptime=30 ptime-reverse=60", "3 ptime=20");
    assert!(
        onward.contains("a=ptime:30\r\n") && !onward.contains("ptime:20"),
        "{onward}"
    );
    let (back, routes) = talk.answer("", "3 ptime=20");
    assert!(back.contains("a=ptime:60\r\n"), "{back}");
    assert_eq!(
        shown(&routes.from_offerer),
        ["3 GSM 60ms > 3 GSM 20ms"],
        "whole frames"
    );
    let onward = Talk::default().offer("ptime=30", "18 ptime=20");
    assert!(
        onward.contains("a=ptime:20\r\n"),
        "nobody could do it: {onward}"
    );
}

#[test]
fn options_reach_the_encoder() {
    let mut talk = Talk::default();
    talk.offer("transcode=opus/48000/2/20000/40//complexity=7", "8");
    let (_, routes) = talk.answer("", "96=opus/48000/2;maxaveragebitrate=18000");
    let opus = routes.from_offerer[0].opus.unwrap();
    assert_eq!((opus.complexity, opus.bitrate), (7, Some(18_000)));
    let mut talk = Talk::default();
    talk.offer("transcode=PCMA set=opus/48000/2/16000", "96=opus/48000/2");
    let (_, routes) = talk.answer("", "8");
    assert_eq!(routes.from_answerer[0].opus.unwrap().bitrate, Some(16_000));
}

#[test]
fn an_answer_with_a_single_codec_keeps_what_goes_beside_it() {
    let mut talk = Talk::default();
    talk.offer("", &format!("8 0 9 {KEYS}"));
    let (back, _) = talk.answer("single-codec", &format!("0 8 {KEYS}"));
    assert_eq!(listed(&back), "0 PCMU, 101 telephone-event");
}

#[test]
fn a_codec_by_another_number_is_the_same_if_asymmetry_is_allowed() {
    let answer = "97=iLBC/8000;mode=20";
    for (directives, expected) in [("", None), ("allow-asymmetric-codecs", Some("97 iLBC"))] {
        let mut talk = Talk::default();
        talk.offer(directives, "96=iLBC/8000;mode=20 0");
        let (back, routes) = talk.answer(directives, answer);
        if let Some(expected) = expected {
            assert_eq!(
                (listed(&back).as_str(), routes),
                (expected, Routes::default())
            );
        }
    }
}

#[test]
fn what_is_encrypted_or_no_audio_is_not_transcoded() {
    for line in ["m=video 4000 RTP/AVP 0", "m=audio 4000 RTP/SAVP 0"] {
        let sdp = format!("v=0\r\n{line}\r\n");
        let section = sections(sdp.as_bytes()).remove(0).unwrap();
        let (mut sender, mut receiver) = (Party::default(), Party::default());
        let mut dialogue = Dialogue {
            sender: &mut sender,
            receiver: &mut receiver,
        };
        let listing = dialogue.offer(&wishes("transcode=GSM ptime=40"), &section);
        assert_eq!(relist(sdp.as_bytes(), &[listing]), sdp.as_bytes(), "{line}");
    }
}

#[test]
fn a_section_of_port_0_says_nothing() {
    let sdp = "v=0\r\nm=audio 0 RTP/AVP 0\r\n";
    let section = sections(sdp.as_bytes()).remove(0).unwrap();
    let mut talk = Talk::default();
    talk.offer("", "8");
    let before = talk.ledger.clone();
    let mut dialogue = Dialogue {
        sender: &mut talk.ledger.elder,
        receiver: &mut talk.ledger.younger,
    };
    assert_eq!(dialogue.offer(&wishes("transcode=GSM"), &section), None);
    let onward = dialogue.answer(&wishes(""), &section, false);
    assert_eq!(onward, (None, Routes::default()));
    assert_eq!(talk.ledger, before);
}

#[test]
fn what_is_said_of_numbers_that_are_not_listed_stays() {
    let sdp = "v=0\r\nm=audio 4000 RTP/AVP 0 8\r\na=rtpmap:101 telephone-event/8000\r\n";
    let section = sections(sdp.as_bytes()).remove(0).unwrap();
    let (mut sender, mut receiver) = (Party::default(), Party::default());
    let mut dialogue = Dialogue {
        sender: &mut sender,
        receiver: &mut receiver,
    };
    let listing = dialogue.offer(&wishes("strip=PCMA"), &section);
    let onward = String::from_utf8(relist(sdp.as_bytes(), &[listing])).unwrap();
    assert_eq!(onward, sdp.replace("0 8\r\n", "0\r\n"));
}

#[test]
fn a_codec_that_leads_nowhere_does_not_keep_from_passing_what_the_relay_does_not_have() {
    let mut talk = Talk::default();
    let offer = "18 3 13 103=CN/16000";
    let onward = talk.offer("strip=all consume=GSM", offer);
    assert!(onward.contains("AVP 18 3 13 103\r\n"), "{onward}");
    // The offerer is told of G.729 alone, which the relay cannot make of GSM.
    let (back, routes) = talk.answer("single-codec", "103=CN/16000 18 3");
    assert!(back.contains("AVP 13 103 18\r\n"), "{back}");
    assert_eq!(routes, Routes::default());
}

/// An answer of some of what was offered, by the numbers of the offer.
fn picked(onward: &str, picks: &[prop::sample::Index]) -> (Vec<u8>, String) {
    let formats = sections(onward.as_bytes()).remove(0).unwrap().formats;
    let mut numbers: Vec<u8> = Vec::new();
    for pick in picks {
        let number = pick.get(&formats).payload_type;
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    let words: Vec<_> = numbers.iter().map(u8::to_string).collect();
    let lines = onward.lines().map(|line| match line.starts_with("m=") {
        true => format!("m=audio 4000 RTP/AVP {}\r\n", words.join(" ")),
        false => format!("{line}\r\n"),
    });
    (numbers, lines.collect())
}

fn flags() -> impl Strategy<Value = String> {
    let flags = [
        "reuse-codecs",
        "static-codecs",
        "allow-asymmetric-codecs",
        "single-codec",
        "always-transcode",
        "ignore=PCMU",
    ];
    prop::sample::subsequence(flags.to_vec(), 0..3).prop_map(|it| it.join(" "))
}

#[test]
fn opus_is_encoded_for_who_offered_it_as_it_has_said() {
    let mut talk = Talk::default();
    talk.offer(
        "mask=opus transcode=PCMA",
        "96=opus/48000/2;maxaveragebitrate=12000",
    );
    let (told, routes) = talk.answer("", "8");
    assert!(!told.contains("maxaveragebitrate"), "{told}");
    let opus = routes.from_answerer[0].opus.unwrap();
    assert_eq!((opus.bitrate, opus.loss_percent), (Some(12_000), 0));
}

#[test]
fn opus_for_opus_keeps_what_one_sends_and_the_other_wants() {
    let mut talk = Talk::default();
    talk.offer(
        "ptime=40",
        "96=opus/48000/2;sprop-stereo=1;stereo=1 ptime=20",
    );
    let (_, routes) = talk.answer(
        "",
        "96=opus/48000/2;stereo=1;maxaveragebitrate=20000 ptime=40",
    );
    let (down, up) = (routes.from_offerer[0], routes.from_answerer[0]);
    let opus = Codec::Opus(SampleRate::Stereo);
    assert_eq!((down.from.codec, down.to.codec), (opus, opus));
    assert_eq!(down.opus.unwrap().bitrate, Some(20_000));
    assert!(down.is_coded_anew, "its sender does not know");
    // Who answers does not say that it sends two channels.
    let opus = Codec::Opus(SampleRate::Full);
    assert_eq!((up.from.codec, up.to.codec), (opus, opus));
    assert!(!up.is_coded_anew);
}

#[test]
fn keys_of_another_clock_are_for_codecs_of_that_clock() {
    let events = "113=telephone-event/48000";
    let answers = [
        (format!("119=opus/48000/2 8 {KEYS}"), None),
        (format!("119=opus/48000/2 {KEYS}"), Some(101)),
    ];
    for (answer, expected) in answers {
        let mut talk = Talk::default();
        let offer = format!("119=opus/48000/2 {events} {KEYS}");
        talk.offer("accept=all transcode=PCMA", &offer);
        let (_, routes) = talk.answer("", &answer);
        let down = routes
            .from_offerer
            .iter()
            .find(|it| it.from.payload_type == 119);
        let to = down.unwrap().to;
        assert!(matches!(to.codec, Codec::Opus(_)), "{answer}");
        assert_eq!(to.events.map(|it| it.payload_type), expected, "{answer}");
    }
}

/// As many cases as the environment asks for (`PROPTEST_CASES`), and no fewer than these.
fn many_cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases.max(2_000),
        ..usual
    }
}

proptest! {
    #![proptest_config(many_cases())]

    /// Whatever is directed, the offerer is told only of what it offered, and there is a way for
    /// all of it that the relay can hear.
    #[test]
    fn what_is_answered_was_offered_and_works(
        directives in any_directives(), flags in flags(), text in any_formats(),
        spares in any::<bool>(), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let mut talk = Talk::default();
        let directives = format!("{directives} {flags}");
        let onward = talk.offer(&directives, &text);
        let (numbers, sdp) = picked(&onward, &picks);
        let section = sections(sdp.as_bytes()).remove(0).unwrap();
        let mut dialogue = Dialogue {
            sender: &mut talk.ledger.younger,
            receiver: &mut talk.ledger.elder,
        };
        let (listing, routes) = dialogue.answer(&wishes(&flags), &section, spares);
        let back = relist(sdp.as_bytes(), &[listing]);
        let told = sections(&back).remove(0).unwrap().formats;
        let had = sections(description(&text).as_bytes()).remove(0).unwrap().formats;
        // Whoever answers nothing but keys is not understood anyhow.
        let is_no_audio = section.formats.iter().all(Format::is_companion);
        for format in &told {
            let is_it = |it: &Format| it.payload_type == format.payload_type
                && (it.name.is_empty() || it.is_same_codec(format));
            let was_offered = had.iter().any(is_it) || is_no_audio;
            prop_assert!(was_offered, "{format:?} of {text}: {onward} {sdp}");
        }
        let is_changed = !routes.from_offerer.is_empty();
        for format in told.iter().filter(|it| is_changed && list::is_heard(it)) {
            let number = format.payload_type;
            prop_assert!(routes.from_offerer.iter().any(|it| it.from.payload_type == number));
        }
        // With asymmetric codecs, who is sent one need not have said so.
        let is_symmetric = !flags.contains("asymmetric");
        for route in routes.from_offerer.iter().filter(|_| is_symmetric) {
            prop_assert!(numbers.contains(&route.to.payload_type), "{route:?} {sdp}");
        }
        for route in routes.from_answerer.iter().filter(|_| is_symmetric) {
            let number = route.to.payload_type;
            prop_assert!(told.iter().any(|it| it.payload_type == number), "{route:?} {back:?}");
        }
        for list in [&routes.from_offerer, &routes.from_answerer] {
            let mut numbers: Vec<_> = list.iter().map(|it| it.from.payload_type).collect();
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), list.len());
            prop_assert!(list.len() <= relay_wire::ROUTES_MAX);
            for route in list {
                prop_assert!((1..=200).contains(&route.to.ptime_ms));
            }
        }
    }

    /// Offers and answers in any order leave lists in which each number stands for one codec.
    #[test]
    fn a_long_dialogue_stays_in_order(
        turns in prop::collection::vec((any_directives(), flags(), any_formats(), 0..3), 1..8),
    ) {
        let mut talk = Talk::default();
        for (directives, flags, text, kind) in turns {
            let directives = format!("{directives} {flags}");
            let said = match kind {
                0 => talk.offer(&directives, &text),
                1 => talk.offer_back(&directives, &text),
                _ => talk.answer(&flags, &text).0,
            };
            prop_assert!(sections(said.as_bytes()).remove(0).is_some(), "{said}");
            for party in [&talk.ledger.elder, &talk.ledger.younger] {
                let mut numbers: Vec<_> = party.codecs.entries.iter().map(Entry::number).collect();
                prop_assert!(numbers.iter().all(|it| *it < 128));
                let len = numbers.len();
                numbers.sort_unstable();
                numbers.dedup();
                prop_assert_eq!(numbers.len(), len, "{:?}", party);
            }
        }
    }
}
