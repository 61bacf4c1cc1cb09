//! OpenSIPS asks in its own way: keys in the order of its code, flags as the script has them, no list
//! of what it supports, and deletes that name the call and nothing else.

use std::cell::Cell;
use std::fmt::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tandem_tests::{
    NgClient, RtpEndpoint, Site, Tandem, Value, converse, offer_sdp, sdp_endpoint, until,
};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(30);

/// From one sending of a request to the next (`rtpengine_tout`).
const RESEND: Duration = Duration::from_secs(1);

/// What a script may well ask for: some of it is done, some obsolete, some not there.
const FLAGS: &str = "l13:trust-address9:symmetric14:rtcp-mux-demux15:codec-mask-G7228:SDES-off\
                     14:replace-origin5:forcee";

/// One process of the proxy.
struct OpenSips<'a> {
    client: &'a NgClient,
    requests: Cell<u32>,
}

impl OpenSips<'_> {
    fn new(client: &NgClient) -> OpenSips<'_> {
        let requests = Cell::new(0);
        OpenSips { client, requests }
    }

    /// Sends entries as they are given, until there is an answer: the same bytes again and again.
    #[track_caller]
    fn ask(&self, entries: &[(&str, &str)]) -> Value {
        self.requests.set(self.requests.get() + 1);
        let cookie = format!("4711_1804_{} ", self.requests.get());
        let mut datagram = format!("{cookie}d");
        for (key, value) in entries {
            let _ = write!(datagram, "{}:{key}{value}", key.len());
        }
        datagram.push('e');
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            let _ = self.client.send_raw(datagram.as_bytes());
            let reply = self.client.receive_raw(RESEND).unwrap_or_default();
            if let Some(document) = reply.strip_prefix(cookie.as_bytes()) {
                return Value::decode(document).expect("a reply can be read");
            }
        }
        panic!("no reply to {datagram}");
    }

    #[track_caller]
    fn offer(&self, call: &str, branch: &str, sdp: &str) -> Value {
        self.ask(&[
            ("sdp", &text(sdp)),
            ("flags", FLAGS),
            ("replace", "l6:origin18:session-connectione"),
            ("ICE", "6:remove"),
            ("transport-protocol", "7:RTP/AVP"),
            ("address family", "3:IP4"),
            ("delete-delay", "i0e"),
            ("call-id", &text(call)),
            ("via-branch", &text(branch)),
            ("received-from", "l3:IP48:10.0.0.5e"),
            ("from-tag", "2:ft"),
            ("command", "5:offer"),
        ])
    }

    #[track_caller]
    fn answer(&self, call: &str, branch: &str, sdp: &str) -> Value {
        self.ask(&[
            ("sdp", &text(sdp)),
            ("flags", FLAGS),
            ("call-id", &text(call)),
            ("via-branch", &text(branch)),
            // It has no message to take an address from.
            ("received-from", "le"),
            ("from-tag", "2:ft"),
            ("to-tag", "2:tt"),
            ("command", "6:answer"),
        ])
    }

    /// As since 3.5: of the call, whoever hung up.
    #[track_caller]
    fn delete(&self, call: &str) -> Value {
        self.ask(&[
            ("call-id", &text(call)),
            ("received-from", "l3:IP48:10.0.0.5e"),
            ("command", "6:delete"),
        ])
    }
}

fn text(text: &str) -> String {
    format!("{}:{text}", text.len())
}

#[test]
fn a_call_is_set_up_counted_and_ended_by_its_name_alone() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let client = NgClient::new(tandem.ng());
    let proxy = OpenSips::new(&client);
    assert_eq!(proxy.ask(&[("command", "4:ping")]).text("result"), "pong");

    let ends = [2, 3].map(|host| RtpEndpoint::new(site.ip(host)).with_ssrc(host.into()));
    let [caller, callee] = ends.each_ref().map(|end| offer_sdp(end, 1, "sendrecv"));
    let offered = proxy.offer("one", "br0", &caller);
    let answered = proxy.answer("one", "br0", &callee);
    for reply in [&offered, &answered] {
        assert_eq!(reply.text("result"), "ok", "{reply:?}");
        let origin = format!(" 1 IN IP4 {}\r\n", tandem.media_ip());
        assert!(reply.text("sdp").contains(&origin), "{reply:?}");
    }
    let relay = [&answered, &offered].map(|reply| sdp_endpoint(reply.text("sdp")));
    let (ends, reports) = converse(ends, relay, || sleep(Duration::from_millis(400)));
    reports[0].assert_heard_all_of(&reports[1], relay[0]);
    reports[1].assert_heard_all_of(&reports[0], relay[1]);

    assert_counts(&proxy, &ends);
    let query = proxy.delete("one");
    let packets = query.integer(&["totals", "RTP", "packets"]);
    let sent = reports.iter().map(|report| i64::from(report.sent)).sum();
    assert_eq!((query.text("result"), packets), ("ok", Some(sent)));
    assert_eq!(query.text("warning"), "", "{query:?}");
    until("the ports are released", LIMIT, || {
        tandem.media_ports().is_empty() && tandem.call_count() == 0
    });

    // Failure routes delete what was never there, or is not any more.
    for call in ["one", "never-there"] {
        let reply = proxy.delete(call);
        assert_eq!(reply.text("result"), "ok", "{reply:?}");
        let warning = "Call-ID not found or tags didn't match";
        assert_eq!(reply.text("warning"), warning);
    }
    tandem.stop();
}

/// What `$rtpstat` and its relatives read.
#[track_caller]
fn assert_counts(proxy: &OpenSips<'_>, ends: &[RtpEndpoint; 2]) {
    let query = proxy.ask(&[("call-id", "3:one"), ("command", "5:query")]);
    assert!(query.integer(&["created"]).is_some(), "{query:?}");
    for (tag, end) in ["ft", "tt"].into_iter().zip(ends) {
        let party = query.find("tags").and_then(|tags| tags.find(tag));
        let stream = party.and_then(|party| {
            let media = party.find("medias")?.entries().next()?;
            media.find("streams")?.entries().next()
        });
        let ssrc = stream.and_then(|stream| stream.integer(&["SSRC"]));
        assert_eq!(ssrc, Some(end.ssrc().into()), "{query:?}");
        let ssrc = end.ssrc().to_string();
        let packets = query.integer(&["SSRC", &ssrc, "packets"]);
        assert!(packets.is_some_and(|count| count > 0), "{query:?}");
    }
}

/// The branch that it may name, too, is no reason to keep the others: without a from-tag it is the
/// whole call, as with rtpengine.
#[test]
fn a_delete_by_name_ends_all_forks() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let client = NgClient::new(tandem.ng());
    let proxy = OpenSips::new(&client);
    let sdp = offer_sdp(&RtpEndpoint::new(site.ip(2)), 1, "sendrecv");
    for more in [&[][..], &[("via-branch", "3:br0")]] {
        let forks = ["br0", "br1"].map(|branch| proxy.offer("one", branch, &sdp));
        let ports = forks.map(|reply| sdp_endpoint(reply.text("sdp")));
        assert_ne!(ports[0], ports[1]);
        assert_eq!(tandem.media_ports().len(), 6);
        let delete = [("call-id", "3:one"), ("command", "6:delete")];
        let reply = proxy.ask(&[&delete, more].concat());
        assert_eq!((reply.text("result"), reply.text("warning")), ("ok", ""));
        until("the ports are released", LIMIT, || {
            tandem.media_ports().is_empty() && tandem.call_count() == 0
        });
    }
    tandem.stop();
}

/// It says nothing of `load limit`, and goes to another relay on words that it knows.
#[test]
fn a_full_relay_is_refused_in_words_that_it_knows() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    tandem.tandem(&["limit", "set", "--calls", "1"]);
    let client = NgClient::new(tandem.ng());
    let proxy = OpenSips::new(&client);
    let sdp = offer_sdp(&RtpEndpoint::new(site.ip(2)), 1, "sendrecv");
    assert_eq!(proxy.offer("one", "br0", &sdp).text("result"), "ok");
    let refused = proxy.offer("two", "br0", &sdp);
    assert_eq!(refused.text("result"), "error");
    let reason = refused.text("error-reason");
    assert_eq!(reason, "Parallel session limit reached");
    assert_eq!(proxy.delete("one").text("result"), "ok");
    assert_eq!(proxy.offer("two", "br0", &sdp).text("result"), "ok");
    assert_eq!(proxy.delete("two").text("result"), "ok");
    tandem.stop();
}
