//! What an operator sees and does on the command line while people talk.

use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tandem_tests::{Account, Exchange, NgClient, Phone, Site, Tandem, TwoPhones, until};

#[test]
fn status_calls_and_records_show_a_call() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut phones = TwoPhones::new(&site, &tandem);
    for daemon in ["relay", "control", "sip-proxy"] {
        assert_eq!(json(&tandem, &["status"])[daemon]["up"], true, "{daemon}");
    }
    for phone in [&phones.caller, &phones.callee] {
        until("it is registered", Duration::from_secs(10), || {
            let registrations = json(&tandem, &["registrations"]).to_string();
            registrations.contains(&phone.address().to_string())
        });
    }
    assert_eq!(json(&tandem, &["calls"]), Value::Array(Vec::new()));

    let call = phones.connect();
    let call_id = call.dialogs[0].call_id.clone();
    let (mut call, _) = call.converse(|| {
        sleep(Duration::from_millis(300));
        let calls = json(&tandem, &["calls"]);
        assert_eq!(calls.as_array().map(Vec::len), Some(1), "{calls}");
        assert_eq!(calls[0]["call_id"], *call_id);
        let packets = &calls[0]["media"]["totals"]["RTP"]["packets"];
        assert!(
            packets.as_u64().is_some_and(|packets| packets > 10),
            "{calls}"
        );
        // The table for people shows the same.
        let table = tandem.tandem(&["calls"]);
        assert!(table.contains("alice") && table.contains("bob"), "{table}");
    });
    phones.hang_up(&mut call);
    tandem.await_records(1);
    let records = json(&tandem, &["cdr"]);
    assert_eq!(records[0]["call_id"], *call_id, "{records}");
    assert_eq!(records[0]["cause"], "caller-bye", "{records}");
    tandem.stop();
}

#[test]
fn ng_requests_can_be_made_by_hand() {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    assert_eq!(tandem.tandem(&["ng", "ping"]).trim(), "pong");
    let sdp = site.path("offer.sdp");
    let text = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n\
                m=audio 4000 RTP/AVP 0\n";
    std::fs::write(&sdp, text).expect("the scenario's folder takes files");
    let sdp = sdp.to_string_lossy();
    let call = ["--call-id", "by-hand", "--from-tag", "a"];
    let offered = tandem.tandem(&[&["ng", "offer"], &call[..], &["--sdp", &sdp]].concat());
    let media_ip = tandem.media_ip().to_string();
    assert!(offered.contains(&media_ip), "{offered}");
    let answer = [
        &["ng", "answer"],
        &call[..],
        &["--to-tag", "b", "--sdp", &sdp],
    ];
    assert!(tandem.tandem(&answer.concat()).contains(&media_ip));
    assert_eq!(json(&tandem, &["ng", "list"])["calls"][0], "by-hand");
    let query = json(&tandem, &["ng", "query", "--call-id", "by-hand"]);
    assert!(query["tags"]["b"].is_object(), "{query}");
    tandem.tandem(&["ng", "delete", "--call-id", "by-hand"]);
    assert_eq!(tandem.call_count(), 0);
    assert!(NgClient::new(tandem.ng()).is_alive(Duration::from_secs(1)));
    tandem.stop();
}

#[test]
fn accounts_come_and_go_while_the_proxy_runs() {
    let site = Site::new();
    let tandem = Tandem::start(&site);
    let mut account = Account {
        user: "erin".to_owned(),
        password: "first-s3cret".to_owned(),
        domain: tandem.domain(),
    };
    tandem.set_password("add", &account);
    await_status(&site, &tandem, &account, 200);
    let users = json(&tandem, &["user", "list"]).to_string();
    assert!(
        users.contains("erin") && !users.contains("s3cret"),
        "{users}"
    );

    let old = account.clone();
    account.password = "second-s3cret".to_owned();
    tandem.set_password("passwd", &account);
    await_status(&site, &tandem, &account, 200);
    assert_ne!(
        register(&site, &tandem, &old),
        Some(200),
        "the old password"
    );

    tandem.tandem(&["user", "del", "erin"]);
    until("erin is gone", Duration::from_secs(10), || {
        register(&site, &tandem, &account) != Some(200)
    });
    until("its registration is gone", Duration::from_secs(10), || {
        let registrations = json(&tandem, &["registrations"]).to_string();
        !registrations.contains("erin")
    });
    tandem.stop();
}

/// Runs a command for its JSON.
#[track_caller]
fn json(tandem: &Tandem, arguments: &[&str]) -> Value {
    let printed = tandem.tandem(&[arguments, &["--json"]].concat());
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

/// The proxy hears of changed accounts within a moment.
#[track_caller]
fn await_status(site: &Site, tandem: &Tandem, account: &Account, status: u16) {
    until("the account is known", Duration::from_secs(10), || {
        register(site, tandem, account) == Some(status)
    });
}

fn register(site: &Site, tandem: &Tandem, account: &Account) -> Option<u16> {
    let mut phone = Phone::new(site.address(9, 5_060), tandem.sip(), account.clone());
    phone.register(60).status()
}
