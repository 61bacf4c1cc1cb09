//! The store as its two users see it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use proptest::prelude::*;
use sip_proxy_core::{CdrCause, ListenerId, MediaCounts, Transport};
use tempfile::TempDir;

use super::*;

const REALM: &str = "example.org";

fn scratch() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/tandem.sqlite3");
    (folder, path)
}

fn listener(transport: Transport, address: &str) -> Listener {
    Listener {
        transport,
        address: address.parse().unwrap(),
        prefix_len: 24,
        advertised: None,
    }
}

fn listeners() -> Vec<Listener> {
    vec![
        listener(Transport::Udp, "192.0.2.1:5060"),
        listener(Transport::Tcp, "192.0.2.1:5060"),
        listener(Transport::Udp, "192.0.2.2:5060"),
    ]
}

fn binding(user: &str, listener: u16) -> Binding {
    Binding {
        uri: format!("sip:{user}@198.51.100.7:5060;transport=udp"),
        q: 700,
        expires_unix_ms: 5_000,
        call_id: "reg-1".to_owned(),
        cseq: u32::MAX,
        received: "198.51.100.7:40000".parse().unwrap(),
        transport: Transport::Udp,
        listener: ListenerId(listener),
        connection: None,
        path: vec![
            "<sip:edge.example;lr>".to_owned(),
            "\"odd, name\" <sip:b;lr>".to_owned(),
        ],
        user_agent: Some("Téléphone \"7\" '; DROP TABLE bindings; --".to_owned()),
    }
}

fn cdr(call_id: &str) -> Cdr {
    Cdr {
        call_id: call_id.to_owned(),
        caller: "alice@example.org".to_owned(),
        callee: "bob@example.org".to_owned(),
        caller_address: "192.0.2.9:5060".parse().unwrap(),
        callee_address: Some("[2001:db8::1]:5060".parse().unwrap()),
        start_unix_ms: 1_700_000_000_123,
        ring_unix_ms: Some(1_700_000_000_500),
        answer_unix_ms: Some(1_700_000_002_000),
        end_unix_ms: 1_700_000_062_250,
        status: 200,
        cause: CdrCause::CalleeBye,
        media: Some(MediaCounts {
            caller_packets: 3_000,
            caller_bytes: 516_000,
            callee_packets: 2_999,
            callee_bytes: 515_828,
        }),
    }
}

#[test]
fn hashes_as_rfc_7616_does() {
    // RFC 7616 §3.9.1: A1 of Mufasa; the hashes were made with coreutils.
    let account = hash_password("Mufasa", "http-auth@example.org", "Circle of Life");
    assert_eq!(account.ha1_md5, "3d78807defe7de2157e2b0b6573a855f");
    assert_eq!(
        account.ha1_sha256,
        "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"
    );
}

#[test]
fn never_stores_the_password() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    store.add_account("alice", REALM, "opensesame-77").unwrap();
    store
        .connection
        .pragma_update(None, "wal_checkpoint", "TRUNCATE")
        .unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(contains(b"alice"), "the checkpoint did not reach the file");
    assert!(!contains(b"opensesame-77"));
}

#[test]
fn accounts_live_from_add_to_delete() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    store.add_account("bob", REALM, "one").unwrap();
    store.add_account("alice", REALM, "two").unwrap();
    assert!(matches!(
        store.add_account("bob", REALM, "three"),
        Err(Error::UserExists { .. })
    ));
    let records = store.accounts().unwrap();
    let users: Vec<&str> = records
        .iter()
        .map(|record| record.account.user.as_str())
        .collect();
    assert_eq!(users, ["alice", "bob"]);
    assert_eq!(records[1].account, hash_password("bob", REALM, "one"));

    store.change_password("bob", REALM, "four").unwrap();
    assert_eq!(
        store.accounts().unwrap()[1].account,
        hash_password("bob", REALM, "four")
    );
    assert!(store.account_exists("bob").unwrap());

    store.delete_account("bob").unwrap();
    assert!(!store.account_exists("bob").unwrap());
    for result in [
        store.delete_account("bob"),
        store.change_password("bob", REALM, "x"),
    ] {
        assert!(matches!(result, Err(Error::UserUnknown { .. })));
    }
}

#[test]
fn deleting_an_account_forgets_its_contacts() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    store.add_account("bob", REALM, "one").unwrap();
    store
        .replace_bindings("bob", &[binding("bob", 0)], &listeners())
        .unwrap();
    store.delete_account("bob").unwrap();
    assert!(store.bindings(0, &listeners()).unwrap().is_empty());
}

#[test]
fn another_connection_sees_that_accounts_changed() {
    let (_folder, path) = scratch();
    let proxy = Store::open(&path).unwrap();
    let mut operator = Store::open(&path).unwrap();
    let mut last = proxy.accounts_version().unwrap();
    let mut changed = || {
        let version = proxy.accounts_version().unwrap();
        std::mem::replace(&mut last, version) != version
    };
    assert!(!changed());
    operator.add_account("alice", REALM, "one").unwrap();
    assert!(changed());
    operator.change_password("alice", REALM, "two").unwrap();
    assert!(changed());
    operator.insert_cdr(&cdr("1")).unwrap();
    assert!(!changed(), "a call record is no change of accounts");
    operator.delete_account("alice").unwrap();
    assert!(changed());
}

#[test]
fn names_the_realm_that_passwords_were_made_for() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    store.add_account("alice", "old.example", "one").unwrap();
    store.add_account("bob", "new.example", "one").unwrap();
    let error = store.check_realm("new.example").unwrap_err().to_string();
    for part in [
        "alice",
        "old.example",
        "new.example",
        "sip_proxy.domains",
        "passwd",
    ] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    store
        .change_password("alice", "new.example", "one")
        .unwrap();
    store.check_realm("new.example").unwrap();
}

#[test]
fn refuses_user_names_that_cannot_be_dialled() {
    for user in [
        "",
        " alice",
        "alice ",
        "al ice",
        "alice@example.org",
        "a:b",
        "jörg",
        "アリス",
        "a\nb",
        "a\0b",
        "a\"b",
        "a<b",
        "a>b",
        "a%41",
        "a;b",
        "a?b",
        "a/b",
        "a,b",
        "\u{202e}alice",
    ] {
        assert!(check_user(user).is_err(), "{user:?} was taken");
    }
    assert_eq!(
        check_user(&"a".repeat(USER_LEN_MAX + 1)),
        Err(NameError::TooLong {
            len: USER_LEN_MAX + 1
        })
    );
    for user in [
        "a",
        "+4930123456",
        "1001",
        "alice.smith-2_x",
        "o'neil",
        "!~*()&=+$",
    ] {
        check_user(user).unwrap();
    }
    check_user(&"a".repeat(USER_LEN_MAX)).unwrap();
}

#[test]
fn refuses_passwords_that_cannot_be_typed() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    for password in ["", "a\nb", "a\0", &"x".repeat(257)] {
        assert!(matches!(
            store.add_account("alice", REALM, password),
            Err(Error::Password(_))
        ));
    }
    store
        .add_account("alice", REALM, "пароль: with spaces ✓")
        .unwrap();
}

#[test]
fn bindings_come_back_as_they_were() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    let written = vec![binding("bob", 2), binding("bob2", 0)];
    store
        .replace_bindings("bob", &written, &listeners())
        .unwrap();
    drop(store);
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.bindings(4_999, &listeners()).unwrap()["bob"], written);
    assert!(
        store.bindings(5_000, &listeners()).unwrap().is_empty(),
        "expired"
    );
    store.replace_bindings("bob", &[], &listeners()).unwrap();
    assert!(store.bindings(0, &listeners()).unwrap().is_empty());
}

#[test]
fn bindings_follow_their_listener_when_numbers_change() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    store
        .replace_bindings("bob", &[binding("bob", 2)], &listeners())
        .unwrap();

    let reordered = vec![
        listener(Transport::Udp, "192.0.2.9:5060"),
        listener(Transport::Udp, "192.0.2.2:5060"),
    ];
    assert_eq!(
        store.bindings(0, &reordered).unwrap()["bob"][0].listener,
        ListenerId(1)
    );

    let moved = vec![
        listener(Transport::Udp, "[2001:db8::1]:5060"),
        listener(Transport::Tcp, "192.0.2.2:5060"),
        listener(Transport::Udp, "192.0.2.3:5060"),
    ];
    assert_eq!(
        store.bindings(0, &moved).unwrap()["bob"][0].listener,
        ListenerId(2)
    );
    assert!(
        store.bindings(0, &moved[..2]).unwrap().is_empty(),
        "nobody could reach it"
    );
}

#[test]
fn call_records_come_back_as_they_were() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    let answered = cdr("1");
    let missed = Cdr {
        start_unix_ms: answered.start_unix_ms + 1,
        callee_address: None,
        ring_unix_ms: None,
        answer_unix_ms: None,
        status: 480,
        cause: CdrCause::NoAnswer,
        media: None,
        ..cdr("2")
    };
    let changes = [answered.clone(), missed.clone()].map(|cdr| Change::Cdr(Box::new(cdr)));
    store.apply(&changes, &listeners()).unwrap();

    let stored: Vec<Cdr> = store
        .cdrs(0, 10)
        .unwrap()
        .into_iter()
        .map(|stored| stored.cdr)
        .collect();
    assert_eq!(stored, [missed.clone(), answered]);
    assert_eq!(store.cdr_count().unwrap(), 2);
    assert_eq!(store.cdrs(0, 1).unwrap().len(), 1);
    assert_eq!(store.cdrs(missed.start_unix_ms, 10).unwrap().len(), 1);
}

#[test]
fn every_cause_comes_back() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    for cause in cdr::CAUSES {
        store.insert_cdr(&Cdr { cause, ..cdr("1") }).unwrap();
        assert_eq!(store.cdrs(0, 100).unwrap()[0].cdr.cause, cause);
    }
}

#[test]
fn people_read_times_in_the_view() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    store.insert_cdr(&cdr("1")).unwrap();
    let row: (String, String, f64) = store
        .connection
        .query_row("SELECT start, answer, duration_s FROM calls", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(row.0, "2023-11-14T22:13:20.123Z");
    assert_eq!(row.1, "2023-11-14T22:13:22.000Z");
    assert!((row.2 - 60.25).abs() < 1e-9);
}

#[test]
fn only_the_owner_may_read_the_file() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    store.add_account("alice", REALM, "one").unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("sqlite3-wal")), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);

    drop(store);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    Store::open(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn keeps_its_secret_across_starts() {
    let (_folder, path) = scratch();
    let first = Store::open(&path).unwrap().secret().unwrap();
    assert_ne!(first, [0; 32]);
    assert_eq!(Store::open(&path).unwrap().secret().unwrap(), first);
}

#[test]
fn an_empty_file_becomes_a_database() {
    let (_folder, path) = scratch();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, b"").unwrap();
    let store = Store::open(&path).unwrap();
    assert!(store.accounts().unwrap().is_empty());
    let version: i64 = store
        .connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, SCHEMA_VERSION);
}

#[test]
fn many_may_open_a_new_database_at_once() {
    let (_folder, path) = scratch();
    let secrets: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let open = || Store::open(&path).unwrap().secret().unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
}

#[test]
fn refuses_a_newer_schema_and_foreign_files() {
    let (folder, path) = scratch();
    let store = Store::open(&path).unwrap();
    store
        .connection
        .pragma_update(None, "user_version", SCHEMA_VERSION + 1)
        .unwrap();
    drop(store);
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, Error::NewerSchema { found, known, .. } if found == known + 1));

    let foreign = folder.path().join("foreign.sqlite3");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE cdr (id INTEGER)")
        .unwrap();
    assert!(matches!(Store::open(&foreign), Err(Error::NotOurs { .. })));

    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "dear diary, ".repeat(100)).unwrap();
    assert!(matches!(Store::open(&text), Err(Error::NotOurs { .. })));
}

#[test]
fn says_that_it_cannot_write() {
    let (folder, _) = scratch();
    // A folder where the file should be: refused to root, too.
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, Error::NotWritable { .. }), "{error}");
    assert!(Store::open(std::path::Path::new("/proc/tandem.sqlite3")).is_err());
}

#[test]
fn gives_up_on_a_locked_database_in_time_and_works_afterwards() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    store.set_busy_timeout(Duration::from_millis(50)).unwrap();
    let other = Store::open(&path).unwrap();
    other.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.insert_cdr(&cdr("1")).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }) && error.is_transient());
    assert!(store.accounts().is_ok(), "readers do not wait");
    other.connection.execute_batch("ROLLBACK").unwrap();
    store.insert_cdr(&cdr("1")).unwrap();
    assert_eq!(store.cdr_count().unwrap(), 1);
}

#[test]
fn a_batch_is_written_whole_or_not_at_all() {
    let (_folder, path) = scratch();
    let mut store = Store::open(&path).unwrap();
    store
        .connection
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON cdr WHEN NEW.call_id = 'bad' \
             BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    let changes = ["good", "bad"].map(|id| Change::Cdr(Box::new(cdr(id))));
    assert!(matches!(
        store.apply(&changes, &[]),
        Err(Error::Sqlite { .. })
    ));
    assert_eq!(store.cdr_count().unwrap(), 0);
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_call_record_comes_back(
        call_id in ".{0,60}", caller in ".{0,60}", callee in ".{0,60}",
        address in any_address(), callee_address in proptest::option::of(any_address()),
        times in any::<[u32; 2]>(), status in 100_u16..700, bytes in 0_u64..(1 << 62),
    ) {
        let (_folder, path) = scratch();
        let mut store = Store::open(&path).unwrap();
        let written = Cdr {
            call_id, caller, callee, callee_address, status,
            caller_address: address,
            start_unix_ms: times[0].into(),
            end_unix_ms: times[1].into(),
            media: Some(MediaCounts { callee_bytes: bytes, ..MediaCounts::default() }),
            ..cdr("")
        };
        store.insert_cdr(&written).unwrap();
        prop_assert_eq!(&store.cdrs(0, 1).unwrap()[0].cdr, &written);
    }

    #[test]
    fn any_name_that_is_taken_can_be_found(user in ".{1,70}") {
        let (_folder, path) = scratch();
        let mut store = Store::open(&path).unwrap();
        let added = store.add_account(&user, REALM, "one");
        prop_assert_eq!(added.is_ok(), check_user(&user).is_ok());
        prop_assert_eq!(store.account_exists(&user).unwrap(), added.is_ok());
    }
}
