use super::*;

const INVITE: &[u8] = b"INVITE sip:bob@pbx.example SIP/2.0\r\n\
    v: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKa\r\n\
    Via: SIP/2.0/UDP 192.0.2.2\r\n\
    Record-Route: <sip:one;lr>\r\n\
    Record-Route: <sip:two;lr>\r\n\
    f: <sip:a@pbx.example>;tag=1\r\n\
    To :\r\n \"Bob\" <sip:bob@pbx.example>\r\n\
    Call-ID: c\r\n\
    CSeq: 7 INVITE\r\n\
    Timestamp: 54\r\n\
    Content-Length: 0\r\n\r\n";

fn response(status: u16, set: impl FnOnce(&mut Response<'_, '_>)) -> String {
    let request = Message::parse(INVITE).unwrap();
    let mut response = Response::new(&request, status);
    set(&mut response);
    String::from_utf8(response.to_vec()).unwrap()
}

#[test]
fn copies_what_the_rfc_says_and_adds_the_tag() {
    let text = response(486, |response| {
        response.to_tag(b"t9").header(HeaderId::Server, b"tandem");
    });
    assert_eq!(
        text,
        "SIP/2.0 486 Busy Here\r\n\
         v: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKa\r\n\
         Via: SIP/2.0/UDP 192.0.2.2\r\n\
         f: <sip:a@pbx.example>;tag=1\r\n\
         To :\r\n \"Bob\" <sip:bob@pbx.example>;tag=t9\r\n\
         Call-ID: c\r\n\
         CSeq: 7 INVITE\r\n\
         Server: tandem\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn trying_copies_the_timestamp() {
    let text = response(100, |_| {});
    assert!(text.starts_with("SIP/2.0 100 Trying\r\n"));
    assert!(text.contains("\r\nTimestamp: 54\r\n"));
    assert!(!response(180, |_| {}).contains("Timestamp"));
}

#[test]
fn a_dialog_needs_record_route_and_a_body_its_length() {
    let text = response(200, |response| {
        response
            .copy_record_route()
            .body(b"application/sdp", b"v=0\r\n");
    });
    assert!(text.contains("\r\nRecord-Route: <sip:one;lr>\r\nRecord-Route: <sip:two;lr>\r\n"));
    assert!(
        text.ends_with("\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n")
    );
}

#[test]
fn via_says_where_the_request_came_from() {
    let text = response(401, |response| {
        response.received([198, 51, 100, 7].into(), Some(999));
    });
    let message = Message::parse(text.as_bytes()).unwrap();
    let via = message.via().unwrap();
    assert_eq!(via.response_target().1, Some(999));
    assert_eq!(via.received, Some([198, 51, 100, 7].into()));
    let second = message.vias().nth(1).unwrap().unwrap();
    assert_eq!(second.received, None);
}

#[test]
fn a_tag_that_is_there_stays() {
    let bytes = String::from_utf8(INVITE.to_vec()).unwrap();
    let bytes = bytes.replace("<sip:bob@pbx.example>", "<sip:bob@pbx.example>;tag=old");
    let request = Message::parse(bytes.as_bytes()).unwrap();
    let response = Response::new(&request, 200).to_tag(b"new").to_vec();
    let response = Message::parse(&response).unwrap();
    assert_eq!(response.to().unwrap().tag, Some(&b"old"[..]));
}

#[test]
fn no_text_adds_a_line() {
    let text = response(400, |response| {
        response.reason("Bad\r\nVia: x").to_tag(b"a\r\nb");
        response.header_named(b"X\r\nY", b"1\r\n\r\n2");
    });
    let message = Message::parse(text.as_bytes()).unwrap();
    assert_eq!(message.vias().count(), 2);
    assert_eq!(message.fields().count(), 8);
}

#[test]
fn every_status_that_we_use_has_a_phrase() {
    for status in [
        100, 180, 200, 400, 401, 403, 404, 407, 408, 416, 420, 423, 480, 481, 482, 483, 487, 488,
        500, 503, 505,
    ] {
        assert_ne!(reason_phrase(status), "Unknown", "{status}");
    }
    assert_eq!(reason_phrase(299), "Unknown");
}
