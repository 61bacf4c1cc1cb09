//! What `make run` starts: two accounts to try, three daemons that are kept running, a clean stop.

use std::time::Duration;

use tandem_tests::{DAEMONS, Exchange, Site, Supervised, TwoPhones, until};

#[test]
fn prints_what_a_person_needs_to_point_two_phones_at_it() {
    let site = Site::new();
    let run = Supervised::start(&site);
    let output = run.output();
    for user in ["alice", "bob"] {
        let account = run.account(user);
        assert!(account.password.len() >= 12, "a password to be proud of");
        assert!(output.contains(user), "{output}");
        assert!(output.contains(&account.password), "{output}");
    }
    let sip = run.sip();
    assert!(output.contains(&sip.ip().to_string()), "{output}");
    assert!(output.contains(&sip.port().to_string()), "{output}");
    let passwords = ["alice", "bob"].map(|user| run.account(user).password);
    assert_ne!(passwords[0], passwords[1]);

    // What is printed is true.
    TwoPhones::new(&site, &run).call_once();
    run.stop();
}

#[test]
fn a_daemon_that_dies_is_started_again_and_said_so() {
    let site = Site::new();
    let run = Supervised::start(&site);
    let mut phones = TwoPhones::new(&site, &run);
    for name in DAEMONS {
        let before = run.output().len();
        let first = run.process(name);
        first.kill();
        let second = run.await_successor(name, first);
        until("it is said", Duration::from_secs(20), || {
            let said = run.output()[before..].to_owned();
            said.contains(&second.pid.to_string()) && said.contains("signal: 9")
        });
        run.await_service();
        phones.call_once();
    }
    run.stop();
}

#[test]
fn stops_cleanly_in_mid_call_and_finds_its_accounts_again() {
    let site = Site::new();
    let run = Supervised::start(&site);
    let passwords = ["alice", "bob"].map(|user| run.account(user).password);
    let mut phones = TwoPhones::new(&site, &run);
    let _call = phones.connect();
    assert!(!run.tandem().media_ports().is_empty());
    run.stop();

    let run = Supervised::start(&site);
    assert!(run.tandem().media_ports().is_empty());
    assert_eq!(
        ["alice", "bob"].map(|user| run.account(user).password),
        passwords
    );
    // Registrations are in the database: the phones need not register again.
    phones.call_once();
    run.stop();
}
