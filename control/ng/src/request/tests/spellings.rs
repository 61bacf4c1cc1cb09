//! However a word is written, it means the same: whatever the manual says is there.

use proptest::prelude::*;
use proptest::sample::Index;

use super::manual::{is_there, name, table, whole};
use crate::{Dictionary, EndpointLearning, Ice, Replace, Request, RtcpMux, Value, Word};

/// How one word is written: which letters are capitals, and what divides its parts.
#[derive(Clone, Debug)]
struct Spelling {
    capitals: Vec<bool>,
    dividers: Vec<u8>,
}

impl Spelling {
    fn any() -> impl Strategy<Value = Self> {
        let capitals = prop::collection::vec(any::<bool>(), 40);
        let divider = prop::sample::select(&b"-_ "[..]);
        let dividers = prop::collection::vec(divider, 40);
        (capitals, dividers).prop_map(|(capitals, dividers)| Self { capitals, dividers })
    }

    fn write(&self, word: &str) -> Vec<u8> {
        let letters = word.bytes().zip(&self.capitals).zip(&self.dividers);
        let letter = |((letter, is_capital), divider): ((u8, &bool), &u8)| match letter {
            b' ' | b'-' | b'_' => *divider,
            letter if *is_capital => letter.to_ascii_uppercase(),
            letter => letter.to_ascii_lowercase(),
        };
        letters.map(letter).collect()
    }
}

/// What a document comes to, displayed; it says nothing that is not acted on.
#[track_caller]
fn understood(dictionary: Dictionary<'_>) -> String {
    let document = Value::from(dictionary);
    let request = Request::parse(&document).unwrap();
    assert_eq!(request.unheeded.count, 0, "{:?}", request.unheeded);
    format!("{:?}", request.command)
}

/// Names and examples of the rows that are there.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let rows = table(heading).into_iter();
    rows.filter(|row| is_there(row[1])).collect()
}

/// Rows of what is done, and not the case anyhow.
fn doing(heading: &str) -> Vec<Vec<&'static str>> {
    let rows = rows(heading).into_iter();
    rows.filter(|row| !row.last().unwrap().starts_with("nothing to do"))
        .collect()
}

/// What may stand behind a key, as the manual has it in a row.
fn example(row: &[&'static str]) -> Value<'static> {
    let (key, example) = (name(row[0]), row[2]);
    match (key, example) {
        // Unlike what each request has.
        ("sdp", _) => Value::from("v=1"),
        ("codec", _) => Dictionary::new().with("strip", "x").into(),
        ("sdp-attr", _) => {
            let audio = Dictionary::new().with("remove", vec![Value::from("x")]);
            Dictionary::new().with("audio", audio).into()
        }
        (_, "list") => {
            let row = Dictionary::new().with("from", "x").with("type", "x");
            vec![Value::from(row)].into()
        }
        (_, "dictionary") => Dictionary::new().into(),
        (_, text) => Value::from(name(text)),
    }
}

/// With any command that is there, so that a key is met by whoever reads it.
fn with_key(command: &'static str, key: Vec<u8>, value: Value<'static>) -> Dictionary<'static> {
    let mut dictionary = whole(command);
    dictionary.push(key, value);
    dictionary
}

fn commands() -> Vec<&'static str> {
    rows("Commands").iter().map(|row| name(row[0])).collect()
}

#[test]
fn each_key_that_is_there_makes_a_difference() {
    for row in doing("Keys") {
        let key = name(row[0]);
        let differs = |command: &'static str| {
            let mut with = with_key(command, key.into(), example(&row));
            // One interface has no meaning without the other.
            match key {
                "from-interface" => with.push(&b"to-interface"[..], "z"),
                "to-interface" => with.push(&b"from-interface"[..], "z"),
                _ => {}
            }
            understood(with) != understood(whole(command))
        };
        assert!(commands().into_iter().any(differs), "{key}");
    }
}

#[test]
fn each_flag_that_is_there_makes_a_difference() {
    for row in doing("Flags") {
        let flag = name(row[0]);
        let flagged = whole("offer").with("flags", vec![Value::from(flag)]);
        assert_ne!(understood(flagged), understood(whole("offer")), "{flag}");
    }
}

#[test]
fn other_names_of_a_word_mean_the_same() {
    let key = |key: &'static str| match key {
        "codec" | "codecs" => whole("offer").with(key, Dictionary::new().with("strip", "x")),
        _ => whole("offer").with(key, "30"),
    };
    for (other, usual) in [
        ("codecs", "codec"),
        ("from-label", "label"),
        ("reverse-ptime", "ptime-reverse"),
    ] {
        assert_eq!(understood(key(other)), understood(key(usual)), "{other}");
        assert_ne!(
            understood(key(other)),
            understood(whole("offer")),
            "{other}"
        );
    }
    let flag = |flag| understood(whole("offer").with("flags", vec![Value::from(flag)]));
    for (other, usual) in [
        ("allow-asymmetric-codec", "allow asymmetric codecs"),
        ("allow empty codec media", "allow no codec media"),
        ("allow-empty-codec-medias", "allow no codec media"),
        ("allow no codec medias", "allow no codec media"),
        ("static-codec", "static codecs"),
    ] {
        assert_eq!(flag(other), flag(usual), "{other}");
    }
}

#[test]
fn tags_of_senders_may_be_flags() {
    let listed = whole("connect").with("from-tags", vec![Value::from("x"), Value::from("Y-z")]);
    let flags = ["from-tags-x", "From_Tags-Y-z"].map(Value::from).to_vec();
    assert_eq!(
        understood(whole("connect").with("flags", flags)),
        understood(listed.clone())
    );
    let script = whole("connect").with("rtpp-flags", "from-tags-x from-tags-Y-z");
    assert_eq!(understood(script), understood(listed));
}

#[test]
fn what_newer_kamailios_say_with_each_request_is_nothing_to_report() {
    for kind in ["sip_request", "sip_reply"] {
        let with = whole("offer")
            .with("sip-message-type", kind)
            .with("SIP code", 200_i64);
        assert_eq!(understood(with), understood(whole("offer")));
    }
}

/// A word of a list, in all the ways that clients put it.
fn ways(key: &'static str, word: &str) -> Vec<String> {
    let hyphened = word.replace(' ', "-");
    let flag = format!("{key}-{hyphened}");
    let scripts = [format!("{key}={hyphened}"), flag.clone()];
    let mut ways = vec![
        understood(whole("offer").with(key, vec![Value::from(word)])),
        understood(whole("offer").with(key, word)),
        understood(whole("offer").with("flags", vec![Value::from(&flag[..])])),
        understood(whole("offer").with("flags", &flag[..])),
    ];
    ways.extend(scripts.map(|script| understood(whole("offer").with("rtpp-flags", &script[..]))));
    ways
}

fn assert_all_ways_are_one<T: Word>(key: &'static str) {
    for word in T::ALL {
        let ways = ways(key, word.name());
        assert_ne!(ways[0], understood(whole("offer")), "{word:?}");
        for way in &ways {
            assert_eq!(*way, ways[0], "{word:?}");
        }
    }
}

#[test]
fn a_list_a_string_a_prefixed_flag_and_a_script_say_the_same() {
    assert_all_ways_are_one::<Replace>("replace");
    assert_all_ways_are_one::<RtcpMux>("rtcp-mux");
    assert_all_ways_are_one::<EndpointLearning>("endpoint-learning");
    assert_all_ways_are_one::<Ice>("ICE");
}

#[test]
fn several_words_may_be_one_string() {
    let list = ["origin", "username"].map(Value::from).to_vec();
    let listed = understood(whole("offer").with("replace", list));
    let joined = understood(whole("offer").with("replace", "origin,username"));
    assert_eq!(listed, joined);
}

proptest! {
    #[test]
    fn a_key_means_the_same_in_every_spelling(at in any::<Index>(), spelling in Spelling::any()) {
        let rows = rows("Keys");
        let row = at.get(&rows);
        let key = name(row[0]);
        for command in commands() {
            let plain = understood(with_key(command, key.into(), example(row)));
            let spelt = with_key(command, spelling.write(key), example(row));
            prop_assert_eq!(understood(spelt), plain, "{}", key);
        }
    }

    #[test]
    fn a_flag_means_the_same_in_every_spelling(at in any::<Index>(), spelling in Spelling::any()) {
        let rows = rows("Flags");
        let flag = name(at.get(&rows)[0]);
        let flagged = |flag: Vec<u8>| {
            understood(whole("offer").with("flags", vec![Value::from(flag)]))
        };
        prop_assert_eq!(flagged(spelling.write(flag)), flagged(flag.into()));
    }

    #[test]
    fn a_command_means_the_same_in_every_spelling(
        at in any::<Index>(),
        spelling in Spelling::any(),
    ) {
        let commands = commands();
        let command = *at.get(&commands);
        let plain = whole(command);
        let mut spelt = Dictionary::new().with("command", spelling.write(command));
        for (key, value) in plain.iter().filter(|(key, _)| *key != b"command") {
            spelt.push(key.to_vec(), value.clone());
        }
        prop_assert_eq!(understood(spelt), understood(plain));
    }

    #[test]
    fn a_number_may_be_a_string(number in 1..=200_u8) {
        let text = number.to_string();
        for (command, key) in [
            ("offer", "TOS"), ("offer", "ptime"), ("offer", "ptime-reverse"),
            ("delete", "delete delay"), ("list", "limit"),
        ] {
            let written = understood(whole(command).with(key, i64::from(number)));
            prop_assert_eq!(&written, &understood(whole(command).with(key, &text[..])));
            prop_assert!(written.contains(&text), "{}", written);
        }
    }
}
