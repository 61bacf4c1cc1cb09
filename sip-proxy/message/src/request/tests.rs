use super::*;

const INVITE: &[u8] = b"INVITE sip:bob@192.0.2.7;x SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKours, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
    Via: SIP/2.0/UDP 192.0.2.2\r\n\
    Route: <sip:one;lr>, <sip:two;lr>\r\n\
    From: \"A\"\r\n <sip:a@pbx.example>;tag=1\r\n\
    To: <sip:bob@pbx.example>\r\n\
    Call-ID: c@d\r\n\
    CSeq: 7 INVITE\r\n\
    Contact: <sip:a@192.0.2.1>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 4\r\n\r\nbody";

fn text(request: &Request) -> String {
    String::from_utf8(request.to_vec()).unwrap()
}

#[test]
fn ack_is_of_the_invites_transaction_and_has_the_responses_to() {
    let invite = Message::parse(INVITE).unwrap();
    let response = b"SIP/2.0 486 Busy Here\r\nTo: <sip:bob@pbx.example>;tag=9\r\nl: 0\r\n\r\n";
    let response = Message::parse(response).unwrap();
    assert_eq!(
        text(&ack_for(&invite, &response).unwrap()),
        "ACK sip:bob@192.0.2.7;x SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKours\r\n\
         Route: <sip:one;lr>\r\n\
         Route: <sip:two;lr>\r\n\
         Max-Forwards: 70\r\n\
         From: \"A\"   <sip:a@pbx.example>;tag=1\r\n\
         To: <sip:bob@pbx.example>;tag=9\r\n\
         Call-ID: c@d\r\n\
         CSeq: 7 ACK\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn cancel_is_of_the_same_transaction_and_has_no_tag_of_its_own() {
    let invite = Message::parse(INVITE).unwrap();
    let mut cancel = cancel_for(&invite).unwrap();
    cancel.header(HeaderId::Reason, b"SIP;cause=200");
    let bytes = cancel.to_vec();
    let cancel = Message::parse(&bytes).unwrap();
    assert_eq!(cancel.method(), Some(Method::Cancel));
    assert_eq!(cancel.request_uri(), invite.request_uri());
    assert_eq!(cancel.via().unwrap().branch, invite.via().unwrap().branch);
    assert_eq!(cancel.vias().count(), 1);
    assert_eq!(cancel.route().count(), 2);
    assert_eq!(cancel.to().unwrap().tag, None);
    assert_eq!(cancel.cseq().unwrap().number, 7);
    assert_eq!(cancel.cseq().unwrap().method, Method::Cancel);
    assert!(!cancel.contains(HeaderId::Contact) && cancel.body().is_empty());
    assert!(crate::validate_request(&cancel).is_ok());
}

#[test]
fn what_is_missing_is_named() {
    let invite = Message::parse(INVITE).unwrap();
    let bare = Message::parse(b"SIP/2.0 486 Busy\r\nl: 0\r\n\r\n").unwrap();
    assert_eq!(
        ack_for(&invite, &bare).unwrap_err(),
        HeaderError::Missing(HeaderId::To)
    );
    assert!(ack_for(&bare, &bare).is_err());
    assert!(cancel_for(&bare).is_err());
    let without_via = b"INVITE sip:a SIP/2.0\r\nTo: <sip:a>\r\nl: 0\r\n\r\n";
    let without_via = Message::parse(without_via).unwrap();
    assert_eq!(
        cancel_for(&without_via).unwrap_err(),
        HeaderError::Missing(HeaderId::Via)
    );
}

#[test]
fn a_request_of_our_own_holds_what_was_set() {
    let mut bye = Request::new(Method::Bye, b"sip:a@192.0.2.1");
    bye.header(HeaderId::Via, b"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKb")
        .header_named(b"X-Why", b"no media\r\nfor long")
        .body(b"text/plain", b"why");
    assert_eq!(
        text(&bye),
        "BYE sip:a@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKb\r\n\
         X-Why: no media  for long\r\n\
         Content-Type: text/plain\r\n\
         Content-Length: 3\r\n\r\nwhy"
    );
}
