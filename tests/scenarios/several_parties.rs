//! A proxy lets parties of several calls hear one another, on both of the relay's drivers and across
//! its workers.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_settings::Driver;
use tandem_tests::{Handset, NgClient, Site, Tandem, Value, dial, until};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// Each of the parties says something, and these and no others hear it.
#[track_caller]
fn converse(lines: &mut [Handset], heard_by: [&[usize]; 4]) {
    for (speaker, listeners) in heard_by.into_iter().enumerate() {
        let packet = lines[speaker].speak();
        for listener in listeners {
            lines[*listener].hear(&packet);
        }
    }
}

#[track_caller]
fn done(client: &NgClient, command: &str, entries: Vec<(&str, Value)>) {
    let reply = client.ask(command, entries);
    assert_eq!(reply.text("result"), "ok", "{command}: {reply:?}");
}

/// All parties but one hear each other.
fn mesh_of_three(flag: &str) -> Vec<(&'static str, Value)> {
    let row = |(from, to): (&str, &[&str])| {
        let entries = [("from", from.into()), ("to", Value::list(to))];
        let entries = entries.map(|(key, value)| (key.to_owned(), value));
        Value::Dictionary(BTreeMap::from(entries))
    };
    let all: [(&str, &[&str]); 3] = [("a", &["b", "c"]), ("b", &["c"]), ("d", &[])];
    vec![
        ("calls", Value::list(&["c1", "c2"])),
        ("tags", Value::List(all.map(row).to_vec())),
        ("flags", Value::list(&["bidirectional", flag])),
    ]
}

/// Two calls on a relay of two workers, each of which has one.
fn two_calls(site: &Site, driver: Driver) -> (Tandem, NgClient, [Handset; 4]) {
    let tandem = Tandem::start_pair(site, |file| file.relay.driver = driver);
    let client = NgClient::new(tandem.ng());
    let mut lines = [2, 3, 4, 5].map(|host| Handset::new(site, host));
    let [a, b, c, d] = &mut lines;
    dial(&client, "c1", [a, b], ["a", "b"], &[]);
    dial(&client, "c2", [c, d], ["c", "d"], &[]);
    (tandem, client, lines)
}

#[test]
fn two_parties_of_two_calls_talk_until_one_of_these_ends() {
    for driver in [Driver::Auto, Driver::Poll] {
        let site = Site::new();
        let (_tandem, client, mut lines) = two_calls(&site, driver);
        converse(&mut lines, [&[1], &[0], &[3], &[2]]);
        let connect = [
            ("call-id", "c2"),
            ("from-tag", "c"),
            ("to-call-id", "c1"),
            ("to-tag", "a"),
        ];
        let connect = connect.map(|(key, value)| (key, value.into()));
        done(&client, "connect", connect.to_vec());
        converse(&mut lines, [&[2], &[], &[0], &[]]);
        converse(&mut lines, [&[2], &[], &[0], &[]]);
        done(&client, "mesh", mesh_of_three("unsubscribe"));
        done(&client, "delete", vec![("call-id", "c2".into())]);
        converse(&mut lines, [&[1], &[0], &[], &[]]);
    }
}

#[test]
fn three_parties_hear_one_another_and_a_fourth_nobody() {
    for driver in [Driver::Auto, Driver::Poll] {
        let site = Site::new();
        let (_tandem, client, mut lines) = two_calls(&site, driver);
        converse(&mut lines, [&[1], &[0], &[3], &[2]]);
        done(&client, "mesh", mesh_of_three("unsubscribe"));
        for _ in 0..20 {
            converse(&mut lines, [&[1, 2], &[0, 2], &[0, 1], &[]]);
        }
    }
}

#[test]
fn who_hears_whom_outlives_control_and_relay() {
    let site = Site::new();
    let (mut tandem, client, mut lines) = two_calls(&site, Driver::Auto);
    let heard_by: [&[usize]; 4] = [&[1, 2], &[0, 2], &[0, 1], &[]];
    done(&client, "mesh", mesh_of_three("unsubscribe"));
    converse(&mut lines, heard_by);
    tandem.kill_control();
    converse(&mut lines, heard_by);
    tandem.start_control();
    tandem.kill_relay();
    tandem.start_relay();
    // What changes nothing is answered when all calls are there again.
    until("the calls are there again", LIMIT, || {
        let reply = client.ask("mesh", mesh_of_three("unsubscribe"));
        reply.text("result") == "ok"
    });
    converse(&mut lines, heard_by);
}
