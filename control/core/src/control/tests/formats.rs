//! A reply is in the form of its request.

use control_ng::{Message, Value};

use crate::tests::{Sim, client, sdp};
use crate::{Format, Output};

/// The document that the last datagram holds, and whether it is JSON.
fn last(sim: &mut Sim) -> (Vec<u8>, Format) {
    let (client, datagram) = sim.sent.pop_back().unwrap();
    let message = Message::split(&datagram).unwrap();
    assert_eq!(message.cookie, b"k");
    let is_json = message.body.starts_with(b"{");
    assert_eq!(client.format == Format::Json, is_json);
    (message.body.to_vec(), client.format)
}

fn json(sim: &mut Sim, document: &str) -> String {
    sim.send(&[b"k ", document.as_bytes()].concat());
    let (body, format) = last(sim);
    assert_eq!(format, Format::Json);
    String::from_utf8(body).unwrap()
}

#[test]
fn the_same_request_has_the_same_reply_in_both_forms() {
    let mut sim = Sim::new();
    sim.offer("c1", "a", &sdp("192.0.2.1", 4000));
    for (bencode, json) in [
        ("d7:command4:pinge", r#"{"command":"ping"}"#),
        ("d7:command4:liste", r#"{"command":"list"}"#),
        (
            "d7:command5:query7:call-id2:c1e",
            r#"{"command":"query","call-id":"c1"}"#,
        ),
        (
            "d7:command5:query7:call-id2:c2e",
            r#"{"command":"query","call-id":"c2"}"#,
        ),
        ("d7:command4:janee", r#"{"command":"jane"}"#),
        ("de", "{}"),
    ] {
        sim.send(&[b"k ", bencode.as_bytes()].concat());
        let (in_bencode, format) = last(&mut sim);
        assert_eq!(format, Format::Bencode);
        let in_json = self::json(&mut sim, json);
        let values = Value::parse(in_json.as_bytes()).unwrap();
        assert_eq!(values, Value::parse(&in_bencode).unwrap(), "{json}");
    }
}

#[test]
fn an_offer_in_json_is_answered_in_json_and_so_is_its_repetition() {
    let mut sim = Sim::new();
    let sdp = sdp("192.0.2.1", 4000)
        .replace('\r', "\\r")
        .replace('\n', "\\n");
    let offer =
        format!(r#"{{"command":"offer","call-id":"c1","from-tag":"a","sdp":"{sdp}","x":null}}"#);
    let reply = json(&mut sim, &offer);
    assert!(reply.starts_with(r#"{"sdp":"v=0\r\n"#), "{reply}");
    assert!(reply.ends_with(r#","result":"ok"}"#), "{reply}");
    assert_eq!(json(&mut sim, &offer), reply);
    assert_eq!(sim.control.counters().repeated, 1);
    assert_eq!(sim.control.counters().offers, 1);
}

#[test]
fn what_is_no_json_is_refused_in_json() {
    let mut sim = Sim::new();
    let reply = json(&mut sim, "{nonsense}");
    assert_eq!(
        reply,
        r#"{"error-reason":"Failed to parse JSON document","result":"error"}"#
    );
}

#[test]
fn a_client_that_asked_in_json_is_told_in_json() {
    let mut sim = Sim::new();
    let sdp = "v=0\\r\\no=- 1 1 IN IP4 192.0.2.1\\r\\ns=-\\r\\nc=IN IP4 192.0.2.1\\r\\nt=0 0\\r\\n\
        m=audio 4000 RTP/AVP 0\\r\\n";
    json(
        &mut sim,
        &format!(
            r#"{{"command":"offer","call-id":"c1","from-tag":"a","sdp":"{sdp}","supports":["events"]}}"#
        ),
    );
    json(
        &mut sim,
        &format!(
            r#"{{"command":"answer","call-id":"c1","from-tag":"a","to-tag":"b","sdp":"{sdp}"}}"#
        ),
    );
    sim.media_timeout();
    sim.sleep(std::time::Duration::from_millis(1));
    let (_, event) = sim.sent.pop_back().unwrap();
    let event = Message::split(&event).unwrap();
    assert_eq!(
        event.body,
        br#"{"call-id":"c1","event":"media timeout"}"#,
        "{}",
        event.body.escape_ascii()
    );
    let heard = [event.cookie, b" {\"result\":\"ok\"}"].concat();
    sim.send(&heard);
    sim.sleep(std::time::Duration::from_secs(10));
    assert!(sim.sent.is_empty(), "it heard");
}

#[test]
fn a_reply_that_fits_no_datagram_in_json_is_refused() {
    let mut sim = Sim::new();
    // As bencode each byte is one byte, in JSON six.
    for number in 0..8 {
        let call_id = format!("{number}-{}", "\u{1}".repeat(1_500));
        sim.offer(&call_id, "a", &sdp("192.0.2.1", 4000));
    }
    let list = b"k {\"command\":\"list\",\"limit\":100}";
    sim.send(list);
    let (reply, _) = last(&mut sim);
    assert_eq!(
        reply,
        br#"{"error-reason":"Reply too long","result":"error"}"#
    );
    // A stream has no such limit.
    let client = crate::Client {
        carrier: crate::Carrier::Stream,
        ..client(1)
    };
    sim.control.handle_request(sim.now(), client, list);
    let Some(Output::Send { datagram, .. }) = sim.control.poll_output() else {
        panic!("no reply")
    };
    assert!(datagram.len() > 65_507);
}
