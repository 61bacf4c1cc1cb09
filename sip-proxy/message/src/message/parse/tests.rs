use super::*;
use crate::limits::{HEADER_COUNT_INLINE, HEADER_COUNT_MAX};

fn parse_text(text: &str) -> Result<Message<'_>, ParseError> {
    Message::parse(text.as_bytes())
}

fn with_fields(fields: &str) -> Result<usize, ParseError> {
    let text = format!("INFO sip:a SIP/2.0\r\n{fields}\r\n");
    parse_text(&text).map(|message| message.fields().count())
}

#[test]
fn reads_start_lines() {
    let message = parse_text("\r\n\r\nINFO sip:a@b sip/2.0\r\n\r\n").unwrap();
    assert_eq!(message.method(), Some(Method::Info));
    assert_eq!(message.request_uri(), Some(&b"sip:a@b"[..]));
    assert!(message.is_version_supported());
    let message = parse_text("SIP/2.0 200 All is well\r\n\r\n").unwrap();
    let expected = StartLine::Status {
        code: 200,
        reason: b"All is well",
    };
    assert_eq!(message.start_line(), expected);
    assert_eq!(
        parse_text("SIP/2.0 603\r\n\r\n").unwrap().status(),
        Some(603)
    );
    assert!(
        !parse_text("INFO sip:a SIP/3.1\r\n\r\n")
            .unwrap()
            .is_version_supported()
    );
}

#[test]
fn refuses_other_start_lines() {
    for line in [
        "INFO",
        "INFO sip:a",
        "INFO sip:a ",
        "INFO  sip:a SIP/2.0",
        " INFO sip:a SIP/2.0",
        "INFO sip:a SIP/2.0 ",
        "INFO\tsip:a\tSIP/2.0",
        "INFO sip:a\tb SIP/2.0",
        "IN(FO sip:a SIP/2.0",
        "INFO sip:a HTTP/1.1",
        "INFO sip:a SIP/2",
        "INFO sip:a SIP/.0",
        "INFO sip:a SIP/2.0.0",
        "SIP/2.0 20 OK",
        "SIP/2.0 2000 OK",
        "SIP/2.0 099 Low",
        "SIP/2.0 700 High",
        "SIP/2.0 +20 OK",
        "SIP/2.0",
        "SIP/x 200 OK",
        "GET / HTTP/1.1",
    ] {
        assert_eq!(
            parse_text(&format!("{line}\r\n\r\n")).err(),
            Some(ParseError::StartLine),
            "{line}"
        );
    }
    assert_eq!(parse_text("").err(), Some(ParseError::Empty));
    assert_eq!(parse_text("\r\n\r\n").err(), Some(ParseError::Empty));
    let long = format!(
        "INFO sip:{} SIP/2.0\r\n\r\n",
        "a".repeat(START_LINE_LEN_MAX)
    );
    assert_eq!(parse_text(&long).err(), Some(ParseError::TooLong));
}

#[test]
fn lines_end_with_crlf_and_nothing_else() {
    for fields in [
        "X: a\nY: b\r\n",
        "X: a\rY: b\r\n",
        "X: a\r\r\n",
        "X: a\n\r\n",
        "X\n: a\r\n",
        "X: a\r\n\rY: b\r\n",
    ] {
        assert_eq!(
            with_fields(fields),
            Err(ParseError::BareLineEnd),
            "{fields:?}"
        );
    }
    assert_eq!(
        parse_text("INFO sip:a SIP/2.0\nTo: x\n\n").err(),
        Some(ParseError::BareLineEnd)
    );
    for text in [
        "INFO sip:a SIP/2.0",
        "INFO sip:a SIP/2.0\r",
        "INFO sip:a SIP/2.0\r\n",
        "INFO sip:a SIP/2.0\r\nX: y\r\n",
        "INFO sip:a SIP/2.0\r\nX: y\r\n\r",
        "INFO sip:a SIP/2.0\r\nX",
    ] {
        assert_eq!(
            parse_text(text).err(),
            Some(ParseError::Incomplete),
            "{text:?}"
        );
    }
}

#[test]
fn nul_stands_only_where_a_quoted_string_escapes_it() {
    for fields in [
        "X: a\0b\r\n",
        "X\0: a\r\n",
        "X: \\\0\r\n",
        "X: \"a\0\"\r\n",
        "X: \"a\\\\\0\"\r\n",
        "X: \"a\"\\\0\r\n",
        "\0\r\n",
    ] {
        assert_eq!(with_fields(fields), Err(ParseError::Nul), "{fields:?}");
    }
    assert_eq!(with_fields("To: \"a\\\0b\\\\\\\0\" <sip:a>\r\n"), Ok(1));
}

#[test]
fn folds_are_part_of_the_value_and_never_empty() {
    let text = "INFO sip:a SIP/2.0\r\nX:\r\n a\r\n\t b \r\nY: c\r\n\r\n";
    let message = parse_text(text).unwrap();
    assert_eq!(message.header_named(b"x"), Some(&b"a\r\n\t b"[..]));
    assert_eq!(message.header_named(b"y"), Some(&b"c"[..]));
    assert_eq!(with_fields("X: a\r\n \r\n"), Err(ParseError::HeaderLine));
    assert_eq!(
        with_fields("X: a\r\n\t\t\r\n b\r\n"),
        Err(ParseError::HeaderLine)
    );
    assert_eq!(with_fields(" X: a\r\n"), Err(ParseError::HeaderLine));
}

#[test]
fn names_are_tokens_with_a_colon() {
    for fields in [
        "X\r\n",
        "X Y: a\r\n",
        ": a\r\n",
        "(X): a\r\n",
        "X\u{e9}: a\r\n",
        "X;: a\r\n",
        "X \r\n: a\r\n",
    ] {
        assert_eq!(
            with_fields(fields),
            Err(ParseError::HeaderLine),
            "{fields:?}"
        );
    }
    for fields in ["X:\r\n", "X :\r\n", "X\t \t: a\r\n", "x!%*_+`'~.-9: a\r\n"] {
        assert_eq!(with_fields(fields), Ok(1), "{fields:?}");
    }
    let long = format!("{}: a\r\n", "X".repeat(HEADER_NAME_LEN_MAX + 1));
    assert_eq!(with_fields(&long), Err(ParseError::HeaderLine));
}

#[test]
fn blanks_before_the_colon_hide_no_header() {
    let text = "INFO sip:a SIP/2.0\r\ncOntact \t: <sip:a>\r\nVIA : x\r\n\r\n";
    let message = parse_text(text).unwrap();
    assert!(message.contains(HeaderId::Contact) && message.contains(HeaderId::Via));
    assert_eq!(
        with_fields("To : <sip:a>\r\nt: <sip:b>\r\n"),
        Err(ParseError::Duplicate(HeaderId::To))
    );
}

#[test]
fn singletons_stand_once_in_any_spelling() {
    for (one, other, id) in [
        ("From", "f", HeaderId::From),
        ("To", "TO ", HeaderId::To),
        ("Call-ID", "i", HeaderId::CallId),
        ("CSeq", "cseq", HeaderId::CSeq),
        ("Max-Forwards", "max-forwards\t", HeaderId::MaxForwards),
        ("Content-Type", "c", HeaderId::ContentType),
        ("Expires", "Expires", HeaderId::Expires),
    ] {
        let fields = format!("{one}: 1\r\nX: y\r\n{other}: 1\r\n");
        assert_eq!(with_fields(&fields), Err(ParseError::Duplicate(id)));
    }
    assert_eq!(
        with_fields("l: 0\r\nContent-Length: 0\r\n"),
        Err(ParseError::Duplicate(HeaderId::ContentLength))
    );
    assert_eq!(
        with_fields("v: a\r\nVia: b\r\nm: c\r\nContact: d\r\nZ: e\r\nZ: f\r\n"),
        Ok(6)
    );
}

#[test]
fn body_is_what_content_length_says() {
    let body = |field: &str| {
        let text = format!("INFO sip:a SIP/2.0\r\n{field}\r\nbody\r\n\r\nmore");
        parse_text(&text).map(|message| {
            assert_eq!(message.content_length().is_some(), !field.is_empty());
            message.body().to_vec()
        })
    };
    assert_eq!(body("l: 4\r\n").unwrap(), b"body");
    assert_eq!(body("l: 0\r\n").unwrap(), b"");
    assert_eq!(body("l: 12\r\n").unwrap(), b"body\r\n\r\nmore");
    assert_eq!(body("").unwrap(), b"body\r\n\r\nmore");
    for field in [
        "l: 13\r\n",
        "l: -1\r\n",
        "l:\r\n",
        "l: 4 4\r\n",
        "l: 0x4\r\n",
        "l: 4;a\r\n",
        "l: 99999999999\r\n",
        "l: 18446744073709551620\r\n",
    ] {
        assert_eq!(body(field), Err(ParseError::ContentLength), "{field}");
    }
}

#[test]
fn spilled_fields_are_found_like_any_other() {
    let many = |count: usize| {
        let mut fields: String = (0..count - 1)
            .map(|number| format!("X-{number}: {number}\r\n"))
            .collect();
        fields.push_str("Via: SIP/2.0/UDP last\r\n");
        format!("INFO sip:a SIP/2.0\r\n{fields}\r\n")
    };
    for count in [
        HEADER_COUNT_INLINE,
        HEADER_COUNT_INLINE + 1,
        HEADER_COUNT_MAX,
    ] {
        let text = many(count);
        let message = parse_text(&text).unwrap();
        assert_eq!(message.fields().count(), count);
        assert_eq!(message.vias().count(), 1);
        assert_eq!(message.fields().next_back().unwrap().id, HeaderId::Via);
    }
    assert_eq!(
        parse_text(&many(HEADER_COUNT_MAX + 1)).err(),
        Some(ParseError::TooManyHeaders)
    );
}

#[test]
fn nothing_longer_than_an_offset_is_read() {
    let text = format!("INFO sip:a SIP/2.0\r\n\r\n{}", "x".repeat(MESSAGE_LEN_MAX));
    assert_eq!(
        parse_text(&text[..MESSAGE_LEN_MAX]).unwrap().bytes().len(),
        MESSAGE_LEN_MAX
    );
    assert_eq!(
        parse_text(&text[..MESSAGE_LEN_MAX + 1]).err(),
        Some(ParseError::TooLong)
    );
}

#[test]
fn every_error_has_its_counter() {
    let errors = [
        ParseError::BareLineEnd,
        ParseError::ContentLength,
        ParseError::Duplicate(HeaderId::To),
        ParseError::Empty,
        ParseError::HeaderLine,
        ParseError::Incomplete,
        ParseError::Nul,
        ParseError::StartLine,
        ParseError::TooLong,
        ParseError::TooManyHeaders,
    ];
    assert_eq!(errors.map(ParseError::name), ParseError::NAMES);
}
