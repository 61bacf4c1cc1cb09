//! The demo accounts are made once, kept, and never take over somebody's own.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn site(settings: &str) -> (tempfile::TempDir, Loaded) {
    let folder = tempfile::tempdir().unwrap();
    let loaded = Loaded::parse(&folder.path().join("tandem.toml"), settings).unwrap();
    (folder, loaded)
}

fn passwords(accounts: &[DemoAccount]) -> Vec<&str> {
    accounts
        .iter()
        .map(|account| account.password.as_deref().unwrap_or("-"))
        .collect()
}

#[test]
fn accounts_are_made_once_and_found_again() {
    let (_folder, loaded) = site("");
    let first = prepare(&loaded).unwrap();
    assert_eq!(prepare(&loaded).unwrap(), first);
    let path = path_of(&loaded);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let store = Store::open(&loaded.database_path()).unwrap();
    for (account, password) in first.iter().zip(passwords(&first)) {
        let hashed = hash_password(account.user, "tandem", password);
        assert!(
            store
                .accounts()
                .unwrap()
                .iter()
                .any(|it| it.account == hashed)
        );
    }
}

#[test]
fn an_account_of_the_operators_is_left_alone() {
    let (_folder, loaded) = site("");
    loaded.create_data_dir().unwrap();
    let mut store = Store::open(&loaded.database_path()).unwrap();
    store.add_account("alice", "tandem", "hers").unwrap();
    let accounts = prepare(&loaded).unwrap();
    assert_eq!(passwords(&accounts)[0], "-");
    assert_ne!(passwords(&accounts)[1], "-");
    let hers = hash_password("alice", "tandem", "hers");
    assert!(
        store
            .accounts()
            .unwrap()
            .iter()
            .any(|it| it.account == hers)
    );
    assert!(welcome(&loaded, &accounts).contains("as you set it"));
}

#[test]
fn a_password_that_the_operator_changed_is_not_shown_as_known() {
    let (_folder, loaded) = site("");
    prepare(&loaded).unwrap();
    let mut store = Store::open(&loaded.database_path()).unwrap();
    store.change_password("bob", "tandem", "his").unwrap();
    let accounts = prepare(&loaded).unwrap();
    assert_eq!(passwords(&accounts)[1], "-");
    assert!(
        !fs::read_to_string(path_of(&loaded))
            .unwrap()
            .contains("bob")
    );
}

#[test]
fn a_new_realm_keeps_the_passwords() {
    let (folder, loaded) = site("");
    let before = prepare(&loaded).unwrap();
    let settings = "[sip_proxy]\ndomains = [\"example.org\"]\n";
    let loaded = Loaded::parse(&folder.path().join("tandem.toml"), settings).unwrap();
    assert_eq!(prepare(&loaded).unwrap(), before);
    let store = Store::open(&loaded.database_path()).unwrap();
    assert!(store.check_realm("example.org").is_ok());
}

#[test]
fn the_box_has_what_a_phone_asks_for() {
    let settings = "[sip_proxy]\nlisten = [\"udp:127.0.0.1:5070\", \"tcp:127.0.0.1:5070\"]\n";
    let (_folder, loaded) = site(settings);
    let accounts = vec![
        DemoAccount {
            user: "alice",
            password: Some("first".to_owned()),
        },
        DemoAccount {
            user: "bob",
            password: Some("second".to_owned()),
        },
    ];
    let text = welcome(&loaded, &accounts);
    for part in [
        "Server     127.0.0.1",
        "Port       5070   (UDP or TCP)",
        "User       alice",
        "Password   first",
        "User       bob",
        "Password   second",
        "dial bob",
        "tandem.toml",
        "demo-accounts",
        "Ctrl-C",
    ] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    let widths: Vec<usize> = text
        .trim()
        .lines()
        .map(|line| line.chars().count())
        .collect();
    assert!(
        widths.iter().all(|width| *width == widths[0]),
        "the box is even:\n{text}"
    );
}

#[test]
fn an_advertised_address_is_what_phones_use() {
    let settings = "[sip_proxy]\nadvertise = \"203.0.113.7\"\ndomains = [\"example.org\"]\n";
    let (_folder, loaded) = site(settings);
    let lines = addresses(&loaded).join("\n");
    assert!(lines.contains("203.0.113.7"), "{lines}");
    assert!(lines.contains("Domain     example.org"), "{lines}");
}
