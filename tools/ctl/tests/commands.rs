//! What each command prints, and how it fails.

mod harness;

use std::fs;
use std::io::Read;
use std::process::Stdio;

use harness::{Place, assert_snapshot};
use serde_json::Value;
use sip_proxy_core::{Binding, Cdr, CdrCause, Listener, ListenerId, MediaCounts, Transport};
use sip_proxy_store::{Store, hash_password};

const COMMANDS: [&str; 15] = [
    "run",
    "status",
    "calls",
    "top",
    "trace",
    "limit",
    "drain",
    "registrations",
    "cdr",
    "user",
    "config",
    "doctor",
    "ng",
    "load",
    "codec",
];

/// A place whose database is open.
fn with_store(settings: &str) -> (Place, Store) {
    let place = Place::new(settings);
    let store = Store::open(&place.path("data/tandem.sqlite3")).unwrap();
    (place, store)
}

/// A port on loopback that nobody listens on.
fn nobody() -> String {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

#[test]
fn help_tells_what_each_command_is_for() {
    let place = Place::new("");
    let mut text = place.run(&["--help"]).ok();
    for command in COMMANDS {
        assert!(
            text.contains(&format!("\n  {command} ")),
            "{command} is not in the list"
        );
        let help = place.run(&[command, "--help"]).ok();
        assert!(
            help.contains("Examples:\n  "),
            "{command} has no examples:\n{help}"
        );
        assert_eq!(place.run(&["help", command]).ok(), help);
        text.push_str(&format!("\n===== tandem {command} --help\n{help}"));
    }
    assert!(!text.contains("--bin-dir"), "what is for tests is hidden");
    assert_snapshot("help", &text);
}

#[test]
fn wrong_arguments_are_told_from_failures() {
    let place = Place::new("");
    place
        .run(&["stauts"])
        .failed(2, "a similar subcommand exists: 'status'");
    place.run(&["ng", "offer"]).failed(2, "--call-id");
    place
        .run(&["user", "add", "carol", "--stdin", "--generate"])
        .failed(2, "cannot be used with");
    place
        .run(&["--config", "absent.toml", "cdr"])
        .failed(2, "absent.toml (named by --config)");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new("");
    for arguments in [
        &["config", "default"][..],
        &["--help"],
        &["config", "explain"],
    ] {
        let mut child = place
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut errors = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        let status = child.wait().unwrap();
        assert_eq!(
            (status.code(), errors.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn the_settings_are_checked_with_line_and_cure() {
    let place = Place::new("[relay]\nprots = [1, 2]\n");
    place.run(&["config", "check"]).failed(
        2,
        "tandem.toml:2:1: relay.prots: unknown key; did you mean ports?",
    );
    let place = Place::new("[relay]\nworkers = 2\n");
    assert_eq!(place.run(&["config", "check"]).ok(), "tandem.toml: fine\n");
    let json: Value =
        serde_json::from_str(&place.run(&["config", "check", "--json"]).ok()).unwrap();
    assert_eq!(json["result"], "ok");
}

#[test]
fn the_settings_are_explained() {
    let place = Place::new("");
    assert_snapshot(
        "config-explain",
        &place.run(&["config", "explain", "relay.ports"]).ok(),
    );
    let log = place.run(&["config", "explain", "log"]).ok();
    assert!(
        log.contains("log.level") && log.contains("log.format"),
        "{log}"
    );
    place
        .run(&["config", "explain", "relay.prots"])
        .failed(2, "did you mean relay.ports?");
    let all = place.run(&["config", "explain", "--json"]).ok();
    assert!(
        serde_json::from_str::<Value>(&all)
            .unwrap()
            .as_array()
            .unwrap()
            .len()
            > 20
    );
}

#[test]
fn the_default_file_is_right() {
    let place = Place::new("");
    let file = place.run(&["config", "default"]).ok();
    fs::write(place.path("tandem.toml"), file).unwrap();
    assert_eq!(place.run(&["config", "check"]).ok(), "tandem.toml: fine\n");
}

#[test]
fn accounts_are_kept_without_their_passwords() {
    let place = Place::new("[sip_proxy]\ndomains = [\"example.org\"]\n");
    assert_eq!(
        place.run(&["user", "list"]).ok(),
        "no accounts; `tandem user add NAME` makes one\n"
    );
    let added = place.run_with_input(&["user", "add", "carol", "--stdin"], "s3cret\n");
    assert_eq!(added.ok(), "carol: added\n");
    let store = Store::open(&place.path("data/tandem.sqlite3")).unwrap();
    let stored = || store.accounts().unwrap().remove(0).account;
    assert_eq!(stored(), hash_password("carol", "example.org", "s3cret"));

    let list = place.run(&["user", "list", "--json"]).ok();
    assert!(
        !list.contains(&stored().ha1_md5) && !list.contains(&stored().ha1_sha256),
        "{list}"
    );
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (&list[0]["user"], &list[0]["realm"]),
        (&"carol".into(), &"example.org".into())
    );
    let table = place.run(&["user", "list"]).ok();
    assert!(table.starts_with("USER   REALM"), "{table}");

    let password = place.run(&["user", "passwd", "carol", "--generate"]).ok();
    assert_eq!(
        stored(),
        hash_password("carol", "example.org", password.trim())
    );
    assert_eq!(
        place.run(&["user", "del", "carol"]).ok(),
        "carol: deleted\n"
    );
    assert!(store.accounts().unwrap().is_empty());
}

#[test]
fn mistakes_with_accounts_name_the_cure() {
    let place = Place::new("");
    place
        .run(&["user", "add", "a b", "--generate"])
        .failed(2, "the user name \"a b\" has ' ' in it");
    place
        .run(&["user", "passwd", "dave", "--generate"])
        .failed(1, "`tandem user list` shows");
    place
        .run(&["user", "del", "dave"])
        .failed(1, "there is no account \"dave\"");
    place.run(&["user", "add", "carol", "--generate"]).ok();
    place
        .run(&["user", "add", "carol", "--generate"])
        .failed(1, "`tandem user passwd carol`");
    // No terminal to ask on, and nothing said about where the password is.
    place
        .run(&["user", "passwd", "carol"])
        .failed(2, "use --stdin or --generate");
    place
        .run_with_input(&["user", "passwd", "carol", "--stdin"], "\n")
        .failed(2, "no password");
}

fn cdr(status: u16, cause: CdrCause, answer_unix_ms: Option<u64>) -> Cdr {
    Cdr {
        call_id: format!("{status}@phone"),
        caller: "alice@example.org".to_owned(),
        callee: "bob@example.org".to_owned(),
        caller_address: "192.0.2.1:5060".parse().unwrap(),
        callee_address: None,
        start_unix_ms: 1_795_219_200_000 + u64::from(status),
        ring_unix_ms: Some(1_795_219_201_000),
        answer_unix_ms,
        end_unix_ms: 1_795_219_273_000,
        status,
        cause,
        media: answer_unix_ms.map(|_| MediaCounts {
            caller_packets: 3_400,
            caller_bytes: 584_800,
            callee_packets: 3_399,
            callee_bytes: 584_628,
        }),
    }
}

#[test]
fn finished_calls_are_listed() {
    let (place, mut store) = with_store("");
    assert_eq!(place.run(&["cdr"]).ok(), "no call has ended yet\n");
    store
        .insert_cdr(&cdr(200, CdrCause::CallerBye, Some(1_795_219_205_000)))
        .unwrap();
    store.insert_cdr(&cdr(486, CdrCause::Failed, None)).unwrap();
    assert_snapshot("cdr", &place.run(&["cdr"]).ok());
    assert_snapshot(
        "cdr-json",
        &place.run(&["cdr", "--json", "--limit", "1"]).ok(),
    );
}

#[test]
fn a_peer_cannot_steer_the_terminal_by_its_name() {
    let (place, mut store) = with_store("");
    let mut record = cdr(486, CdrCause::Failed, None);
    record.caller = "\u{1b}[2Jalice\r\n@x".to_owned();
    store.insert_cdr(&record).unwrap();
    let table = place.run(&["cdr"]).ok();
    assert!(table.contains("·[2Jalice··@x"), "{table:?}");
}

#[test]
fn registered_phones_are_listed() {
    let (place, mut store) = with_store("");
    assert_eq!(
        place.run(&["registrations"]).ok(),
        "no phone is registered\n"
    );
    store.add_account("alice", "tandem", "secret").unwrap();
    let listener = Listener {
        transport: Transport::Tcp,
        address: "192.0.2.9:5060".parse().unwrap(),
        prefix_len: 24,
        advertised: None,
    };
    let binding = Binding {
        uri: "sip:alice@192.0.2.1:5061".to_owned(),
        q: 1_000,
        expires_unix_ms: u64::from(u32::MAX) * 1_000,
        call_id: "r1".to_owned(),
        cseq: 1,
        received: "192.0.2.1:40000".parse().unwrap(),
        transport: Transport::Tcp,
        listener: ListenerId(0),
        connection: None,
        path: Vec::new(),
        user_agent: Some("A phone".to_owned()),
    };
    store
        .replace_bindings("alice", &[binding], &[listener])
        .unwrap();
    let table = place.run(&["registrations"]).ok();
    for part in [
        "alice",
        "sip:alice@192.0.2.1:5061",
        "192.0.2.1:40000",
        "tcp",
        "A phone",
    ] {
        assert!(table.contains(part), "{part} is missing: {table}");
    }
    assert_snapshot(
        "registrations-json",
        &place.run(&["registrations", "--json"]).ok(),
    );
}

#[test]
fn daemons_that_do_not_run_are_named_with_the_cure() {
    let ng = nobody();
    let place = Place::new(&format!("[control]\nlisten = [\"{ng}\"]\n"));
    let status = place.run(&["status"]);
    assert_eq!(status.code, 3, "{status:?}");
    assert_snapshot("status-down", &status.out.replace(&ng, "NG"));
    assert!(
        status
            .err
            .contains("no answer from relay, control, sip-proxy"),
        "{status:?}"
    );
    place
        .run(&["calls"])
        .failed(3, "start it with `tandem run`");
    place
        .run(&["ng", "ping"])
        .failed(3, &format!("nothing listens for ng at {ng}"));
}

#[test]
fn manual_pages_are_made_from_the_help() {
    let place = Place::new("");
    place.run(&["man", "man"]).ok();
    for page in ["tandem.1", "tandem-run.1", "tandem-ng-offer.1"] {
        let text = fs::read_to_string(place.path("man").join(page)).unwrap();
        assert!(text.contains(".TH "), "{page}");
    }
}
