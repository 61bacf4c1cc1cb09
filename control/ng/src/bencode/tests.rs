use proptest::prelude::*;

use super::*;

fn encoded(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

#[test]
fn reads_what_a_proxy_sends() {
    let bytes = b"d8:supportsl10:load limite3:tosi184e7:command4:pinge";
    let value = Value::parse(bytes).unwrap();
    let dictionary = value.as_dictionary().unwrap();
    assert_eq!(dictionary.get("command"), Some(&"ping".into()));
    assert_eq!(dictionary.get("tos").unwrap().as_integer(), Some(184));
    let supports: Vec<_> = dictionary.get("supports").unwrap().words().collect();
    assert_eq!(supports, [b"load limit"]);
}

#[test]
fn writes_keys_in_the_order_of_insertion() {
    let value: Value<'_> = Dictionary::new()
        .with("z", 1_i64)
        .with("a", -2_i64)
        .with("l", vec![Value::from("x"), Value::from("")])
        .into();
    assert_eq!(encoded(&value), b"d1:zi1e1:ai-2e1:ll1:x0:ee");
}

#[test]
fn integers_reach_their_limits_and_not_beyond() {
    let least = format!("i{}e", i64::MIN);
    assert_eq!(Value::parse(least.as_bytes()), Ok(i64::MIN.into()));
    assert_eq!(
        Value::parse(b"i9223372036854775808e"),
        Err(ParseError::Number)
    );
    assert_eq!(Value::parse(b"ie"), Err(ParseError::Number));
    assert_eq!(Value::parse(b"i1.5e"), Err(ParseError::Number));
}

#[test]
fn numbers_of_any_length_are_written_in_full() {
    let numbers = [
        0,
        9,
        10,
        99,
        100,
        255,
        256,
        1_000,
        i64::MAX,
        -1,
        -10,
        i64::MIN,
    ];
    for number in numbers {
        assert_eq!(encoded(&number.into()), format!("i{number}e").as_bytes());
    }
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| [vec![b'l'; depth], vec![b'e'; depth]].concat();
    assert!(Value::parse(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(Value::parse(&nested(DEPTH_MAX + 1)), Err(ParseError::Deep));
}

#[test]
fn the_number_of_values_has_a_limit() {
    let list = |len: usize| [b"l".to_vec(), b"le".repeat(len), b"e".to_vec()].concat();
    assert!(Value::parse(&list(ITEMS_MAX - 1)).is_ok());
    assert_eq!(Value::parse(&list(ITEMS_MAX)), Err(ParseError::TooLarge));
}

#[test]
fn a_length_beyond_the_bytes_is_cut_short_not_a_panic() {
    assert_eq!(Value::parse(b"5:abc"), Err(ParseError::Truncated));
    assert_eq!(Value::parse(b"999999:abc"), Err(ParseError::TooLarge));
    assert_eq!(Value::parse(b"99999999999999:abc"), Err(ParseError::Number));
    assert_eq!(Value::parse(b""), Err(ParseError::Truncated));
}

#[test]
fn bytes_after_a_document_are_not_ignored() {
    assert_eq!(Value::parse(b"i1ei2e"), Err(ParseError::Trailing));
    assert_eq!(Value::parse_prefix(b"i1ei2e"), Ok((1_i64.into(), 3)));
}

#[test]
fn lists_may_be_written_as_one_string() {
    let value = Value::from("offer, require,,");
    let words: Vec<_> = value.words().collect();
    assert_eq!(words, [&b"offer"[..], b"require"]);
}

fn any_value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<Vec<u8>>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::vec((any::<Vec<u8>>(), inner), 0..8).prop_map(|entries| {
                let mut dictionary = Dictionary::new();
                for (key, value) in entries {
                    dictionary.push(key, value);
                }
                dictionary.into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn reads_back_what_it_wrote(value in any_value()) {
        let bytes = encoded(&value);
        prop_assert_eq!(Value::parse(&bytes), Ok(value));
    }

    #[test]
    fn a_document_cut_short_is_never_another_document(value in any_value()) {
        let bytes = encoded(&value);
        for len in 0..bytes.len() {
            prop_assert_eq!(Value::parse(&bytes[..len]), Err(ParseError::Truncated));
        }
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in any::<Vec<u8>>()) {
        crate::fuzz::bencode(&bytes);
    }
}
