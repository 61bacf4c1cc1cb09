//! A relay is emptied before an upgrade: no new calls, those that are up go on, then it stops.

use std::thread;
use std::time::Duration;

use serde_json::Value as Json;
use tandem_tests::{
    DAEMONS, NgClient, RtpEndpoint, Site, Supervised, Tandem, Value, offer_sdp, until,
};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_relay_that_drains_keeps_its_calls_and_stops_after_the_last() {
    let site = Site::new();
    let mut tandem = Tandem::start_pair(&site, |_| {});
    let client = NgClient::new(tandem.ng());
    let sdp = offer_sdp(&RtpEndpoint::new(site.ip(2)), 1, "sendrecv");
    for call in ["one", "two"] {
        assert_eq!(offer(&client, call, &sdp).text("result"), "ok");
    }
    thread::scope(|scope| {
        let drain = scope.spawn(|| tandem.tandem(&["drain", "--json"]));
        until("it drains", LIMIT, || is_draining(&tandem));

        let refused = offer(&client, "three", &sdp);
        assert_eq!(
            refused.text("error-reason"),
            "Parallel session limit reached"
        );
        let supports = Value::list(&["load limit"]);
        let entries = [("call-id", "four"), ("from-tag", "a"), ("sdp", &sdp)];
        let entries = entries.map(|(key, value)| (key, Value::from(value)));
        let refused = client.ask("offer", entries.into_iter().chain([("supports", supports)]));
        assert_eq!(refused.text("result"), "load limit");
        assert_eq!(refused.text("message"), "Parallel session limit reached");

        let answer = [
            ("call-id", "one"),
            ("from-tag", "a"),
            ("to-tag", "b"),
            ("sdp", &sdp),
        ];
        assert_eq!(client.request("answer", &answer).text("result"), "ok");
        assert_eq!(tandem.call_count(), 2);
        assert!(!drain.is_finished(), "there are calls");
        for call in ["one", "two"] {
            delete(&client, call);
        }
        let report = drain.join().expect("it ends well");
        let report: Json = serde_json::from_str(&report).expect("it is JSON");
        assert_eq!(
            (&report["calls"], &report["has_stopped"]),
            (&0.into(), &true.into())
        );
    });
    let status = tandem.await_control_end(LIMIT);
    assert_eq!(
        status.code(),
        Some(5),
        "so that no supervisor starts it again"
    );
    assert!(tandem.media_ports().is_empty());
    tandem.stop();
}

#[test]
fn draining_can_be_given_up_and_limits_change_while_it_runs() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let client = NgClient::new(tandem.ng());
    let sdp = offer_sdp(&RtpEndpoint::new(site.ip(2)), 1, "sendrecv");
    tandem.tandem(&["limit", "set", "--calls", "1"]);
    assert_eq!(offer(&client, "one", &sdp).text("result"), "ok");
    let refused = offer(&client, "two", &sdp);
    assert_eq!(
        refused.text("error-reason"),
        "Parallel session limit reached"
    );
    let shown = tandem.tandem(&["limit", "set", "--calls", "2", "--json"]);
    let shown: Json = serde_json::from_str(&shown).expect("it is JSON");
    assert_eq!(shown["limits"]["calls_max"], 2);
    assert_eq!(shown["rejected"]["calls"], 1);
    assert_eq!(offer(&client, "two", &sdp).text("result"), "ok");

    // Not waited for: there are calls.
    let output = tandem.try_tandem(&["drain", "--timeout", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(is_draining(&tandem));
    tandem.tandem(&["drain", "--cancel"]);
    assert!(!is_draining(&tandem));

    // What was turned away, and what was not, can be told afterwards.
    let trace = tandem.tandem(&["trace", "two"]);
    let (refused, done) = (trace.find("refused"), trace.find("done: 2 parties"));
    assert!(refused.is_some() && refused < done, "{trace}");
    let unknown = tandem.try_tandem(&["trace", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    let top = tandem.tandem(&["top", "--once", "--json"]);
    let top: Json = serde_json::from_str(&top).expect("it is JSON");
    assert_eq!((&top["total"], &top["seen"]), (&2.into(), &2.into()));
    for call in ["one", "two"] {
        delete(&client, call);
    }
    tandem.stop();
}

#[test]
fn what_run_supervises_stops_as_a_whole() {
    let site = Site::new();
    let mut run = Supervised::start(&site);
    let children = DAEMONS.map(|name| run.process(name));
    run.tandem().tandem(&["drain"]);
    let status = run.wait(LIMIT);
    assert!(status.success(), "{status}");
    for child in children {
        assert!(!child.is_alive(), "{child:?} was left behind");
    }
}

fn offer(client: &NgClient, call: &str, sdp: &str) -> Value {
    let entries = [("call-id", call), ("from-tag", "a"), ("sdp", sdp)];
    client.request("offer", &entries)
}

fn delete(client: &NgClient, call: &str) {
    let reply = client.request("delete", &[("call-id", call), ("delete-delay", "0")]);
    assert_eq!((reply.text("result"), reply.text("warning")), ("ok", ""));
}

fn is_draining(tandem: &Tandem) -> bool {
    let shown = tandem.tandem(&["limit", "show", "--json"]);
    let shown: Json = serde_json::from_str(&shown).expect("it is JSON");
    shown["is_draining"] == true
}
