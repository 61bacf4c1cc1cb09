use proptest::prelude::*;

use super::*;
use crate::{Command, Request};

#[test]
fn a_request_means_the_same_in_both_forms() {
    let bencode =
        b"d7:command5:offer7:call-id2:c18:from-tag1:a3:sdp7:v=0\r\n\xc3\xa97:replacel6:origine\
        13:received-froml3:IP49:192.0.2.1e3:TOSi46ee";
    let json = r#" {"command":"offer","call-id":"c1","from-tag":"a","sdp":"v=0\r\n\u00e9",
        "replace":["origin"],"received-from":["IP4","192.0.2.1"],"TOS":46} "#
        .trim_start();
    let (bencode, json) = (Value::parse(bencode).unwrap(), json.as_bytes());
    let json = Value::parse(json).unwrap();
    assert_eq!(json, bencode);
    let request = Request::parse(&json).unwrap();
    assert!(matches!(request.command, Command::Offer(_)));
}

#[test]
fn what_ng_has_not_becomes_the_nearest_that_it_has() {
    let json = br#"{"yes":true,"no":false,"none":null,"half":0.5,"great":18446744073709551615,"l":[null,-3]}"#;
    let values = Dictionary::new()
        .with("yes", 1_i64)
        .with("no", 0_i64)
        .with("half", "0.5")
        .with("great", "18446744073709551615")
        .with("l", vec![Value::Integer(-3)]);
    assert_eq!(Value::parse(json), Ok(values.into()));
}

#[test]
fn of_equal_keys_the_first_one_counts_as_in_bencode() {
    let value = Value::parse(br#"{"a":1,"a":2}"#).unwrap();
    let first = value.as_dictionary().and_then(|it| it.get("a"));
    assert_eq!(first, Some(&Value::Integer(1)));
}

#[test]
fn what_is_not_json_is_refused() {
    for (bytes, error) in [
        (&b"{"[..], ParseError::Truncated),
        (b"{\"a\":", ParseError::Truncated),
        (b"{\"a\":\"\xff\"}", ParseError::Json),
        (b"{\"a\":\"\\ud800\"}", ParseError::Json),
        (b"{a:1}", ParseError::Json),
        (b"{} {}", ParseError::Json),
        (b"{},", ParseError::Json),
    ] {
        assert_eq!(Value::parse(bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn limits_hold() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(Value::parse(nested(DEPTH_MAX - 1).as_bytes()).is_ok());
    assert_eq!(
        Value::parse(nested(DEPTH_MAX).as_bytes()),
        Err(ParseError::Deep)
    );
    assert_eq!(
        Value::parse(nested(100_000).as_bytes()),
        Err(ParseError::Deep)
    );
    let many = format!("{{\"a\":[{}0]}}", "0,".repeat(ITEMS_MAX));
    assert_eq!(Value::parse(many.as_bytes()), Err(ParseError::TooLarge));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(DOCUMENT_BYTES_MAX));
    assert_eq!(Value::parse(long.as_bytes()), Err(ParseError::TooLarge));
}

#[test]
fn a_reply_is_turned_into_json_however_many_items_it_has() {
    let calls: Vec<_> = (0..2 * ITEMS_MAX).map(|_| Value::from("c")).collect();
    let datagram = crate::reply::ok().with("calls", calls).encode(b"k 1");
    let message = Message {
        cookie: b"k",
        body: &datagram[b"k 1 ".len()..],
    };
    let json = message.join_as_json();
    assert!(json.starts_with(b"k {\"calls\":[\"c\",\"c\","));
    assert!(json.ends_with(b"],\"result\":\"ok\"}"));
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let value = Value::from(&b"a\xff\"\n"[..]);
    let mut out = Vec::new();
    value.encode_json(&mut out);
    assert_eq!(out, "\"a\u{fffd}\\\"\\n\"".as_bytes());
}

/// Values that JSON can hold as they are.
fn values() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            entries(inner).prop_map(Value::from),
        ]
    })
}

fn entries(
    value: impl Strategy<Value = Value<'static>>,
) -> impl Strategy<Value = Dictionary<'static>> {
    proptest::collection::vec((any::<String>(), value), 0..8).prop_map(|entries| {
        let mut dictionary = Dictionary::new();
        for (key, value) in entries {
            dictionary.push(key.into_bytes(), value);
        }
        dictionary
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(dictionary in entries(values())) {
        let value = Value::from(dictionary);
        let mut json = Vec::new();
        value.encode_json(&mut json);
        prop_assert_eq!(Value::parse(&json), Ok(value));
    }
}
