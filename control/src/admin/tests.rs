//! What operators ask, and the socket that they ask over.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};

use super::*;

fn control() -> Control {
    Control::new(control_core::Config {
        media_timeout_s: 60,
        silent_timeout_s: 3_600,
        first_packet_timeout_s: 0,
        final_timeout_s: 0,
        delete_delay_s: 0,
        offer_timeout_s: 180,
        calls_max: 100,
        endpoint_learning: relay_wire::Learning::Heuristic,
        transcode: control_core::Transcode::WhenNeeded,
        tells_keys: false,
        tells_reports: false,
        quality_interval_s: 0,
        seed: [7; 32],
    })
}

fn now() -> Now {
    Now {
        instant: Instant::now(),
        unix_ms: 1_700_000_000_000,
    }
}

/// Limits that cannot be kept anywhere.
fn kept(control: &Control) -> KeptLimits {
    KeptLimits::open(Path::new("/proc/none/limits.json"), control.limits()).unwrap()
}

/// A line, and the answer, however long that takes.
fn say_with(control: &mut Control, kept: &mut KeptLimits, line: &[u8]) -> (Value, bool) {
    let answered = answer(control, kept, now(), line);
    let reply = answered.reply.unwrap_or_else(|| {
        while let Some(wake) = kept.interest() {
            poll(&mut [PollFd::from_borrowed_fd(wake, PollFlags::IN)], None).unwrap();
            kept.handle_written(Instant::now());
        }
        limits_if_known(control, kept).unwrap()
    });
    (reply, answered.must_stop)
}

fn say(control: &mut Control, line: &[u8]) -> (Value, bool) {
    let mut kept = kept(control);
    say_with(control, &mut kept, line)
}

fn ask(control: &mut Control, request: &Value) -> Value {
    say(control, request.to_string().as_bytes()).0
}

#[test]
fn limits_change_one_by_one_and_wrong_ones_change_nothing() {
    let mut control = control();
    let before = ask(&mut control, &json!({"command": "limits"}));
    assert_eq!(before["limits"]["calls_max"], 100);
    let change = json!({"command": "limits", "set": {"load_max": 2.5, "cpu_percent_max": 80}});
    let after = ask(&mut control, &change);
    let expected = json!({
        "calls_max": 100, "load_max": 2.5, "cpu_percent_max": 80, "bandwidth_mbit_max": 0,
    });
    assert_eq!(after["limits"], expected);
    for wrong in [
        json!({"cpu_percent_max": 101}),
        json!({"load_max": -1.0}),
        json!({"calls_max": -1}),
        json!({"calls": 7}),
    ] {
        let reply = ask(&mut control, &json!({"command": "limits", "set": wrong}));
        assert!(reply["error"].is_string(), "{reply}");
    }
    assert_eq!(
        ask(&mut control, &json!({"command": "limits"}))["limits"],
        expected
    );
}

#[test]
fn it_is_said_where_limits_are_from_and_whether_they_last() {
    let folder = tempfile::tempdir().unwrap();
    let mut control = control();
    let path = folder.path().join("limits.json");
    let mut kept = KeptLimits::open(&path, control.limits()).unwrap();
    let set = br#"{"command":"limits","set":{"calls_max":7}}"#;
    let (reply, _) = say_with(&mut control, &mut kept, set);
    let said = |reply: &Value| {
        let calls = |of: &str| reply[of]["calls_max"].as_u64();
        (
            calls("limits"),
            calls("limits_configured"),
            reply["limits_kept"].as_bool(),
        )
    };
    assert_eq!(said(&reply), (Some(7), Some(100), Some(true)));
    let (status, _) = say_with(&mut control, &mut kept, br#"{"command":"status"}"#);
    assert_eq!(said(&status), (Some(7), Some(100), Some(true)));
    let (reply, _) = say(
        &mut control,
        br#"{"command":"limits","set":{"calls_max":8}}"#,
    );
    assert_eq!(reply["limits_kept"], false, "there is nowhere to");
}

#[test]
fn it_stops_only_when_it_has_been_drained() {
    let mut control = control();
    let stop = br#"{"command":"stop"}"#;
    assert!(!say(&mut control, stop).1);
    let reply = ask(&mut control, &json!({"command": "drain", "on": true}));
    assert_eq!(reply["refuses"], "Parallel session limit reached");
    assert!(say(&mut control, stop).1);
    let reply = ask(&mut control, &json!({"command": "drain", "on": false}));
    assert_eq!(
        (&reply["is_draining"], &reply["refuses"]),
        (&json!(false), &json!(null))
    );
    assert!(!say(&mut control, stop).1);
}

#[test]
fn what_is_not_understood_is_answered_with_an_error() {
    let mut control = control();
    for line in [
        "",
        "{}",
        "[]",
        "drain",
        r#"{"command":"drain"}"#,
        r#"{"command":"calls","limit":-1}"#,
    ] {
        let (reply, must_stop) = say(&mut control, line.as_bytes());
        assert!(reply["error"].is_string() && !must_stop, "{line}");
    }
    let metrics = ask(&mut control, &json!({"command": "metrics"}));
    assert!(
        metrics["text"]
            .as_str()
            .is_some_and(|it| it.contains("\ntandem_calls 0\n"))
    );
    let calls = ask(&mut control, &json!({"command": "calls", "sort": "loss"}));
    assert_eq!(calls, json!({"total": 0, "seen": 0, "calls": []}));
    let trace = ask(&mut control, &json!({"command": "trace", "call_id": "x"}));
    assert_eq!(
        (&trace["is_here"], &trace["events"]),
        (&json!(false), &json!([]))
    );
}

fn call(created: u64, packets: u64, lost: u64, mos: Option<u64>) -> WatchedCall {
    let side = Side {
        packets,
        lost,
        mos_tenths: mos,
        ..Side::default()
    };
    WatchedCall {
        unix_ms: 0,
        summary: CallSummary {
            call_id: created.to_string(),
            created_unix_ms: created,
            duration_ms: 100 - created,
            is_answered: true,
            is_held: false,
            worker: 0,
            sides: vec![side],
        },
    }
}

#[test]
fn the_worst_call_comes_first() {
    let calls = [
        call(1, 10, 0, Some(44)),
        call(2, 5, 5, Some(20)),
        call(3, 20, 0, None),
    ];
    let order = |sort: Sort| {
        let mut order: Vec<_> = calls.iter().collect();
        order.sort_by_key(|call| sort.key(&call.summary));
        order
            .iter()
            .map(|call| call.summary.created_unix_ms)
            .collect::<Vec<_>>()
    };
    assert_eq!(order(Sort::Mos), [2, 1, 3], "what is not known is not bad");
    assert_eq!(order(Sort::Loss)[0], 2);
    assert_eq!(order(Sort::Packets), [3, 1, 2]);
    assert_eq!(order(Sort::Time), [1, 2, 3]);
}

/// Serves until the client has what it waits for.
fn exchange(socket: &mut AdminSocket, path: &Path, text: &str) -> Vec<String> {
    let mut control = control();
    let mut kept = kept(&control);
    let mut client = UnixStream::connect(path).unwrap();
    client.write_all(text.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // The first time it is let in, the second time served.
    for _ in 0..2 {
        assert!(!socket.serve(&mut control, &mut kept, now()));
    }
    // One that is thrown out while it still writes may find the connection reset.
    BufReader::new(client)
        .lines()
        .map_while(Result::ok)
        .collect()
}

#[test]
fn each_line_gets_a_line_and_too_long_ones_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let mut socket = AdminSocket::bind(&path).unwrap();
    let lines = exchange(&mut socket, &path, "{\"command\":\"status\"}\nnonsense\n");
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("\"calls\":0") && lines[1].contains("error"));
    assert_eq!(exchange(&mut socket, &path, &"x".repeat(5_000)), [""; 0]);
}

#[test]
fn who_sets_limits_is_answered_when_it_is_known_whether_they_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let mut socket = AdminSocket::bind(&path).unwrap();
    let mut control = control();
    let mut kept = KeptLimits::open(&folder.path().join("limits.json"), control.limits()).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    let lines = b"{\"command\":\"limits\",\"set\":{\"calls_max\":7}}\n{\"command\":\"status\"}\n";
    client.write_all(lines).unwrap();
    for _ in 0..2 {
        socket.serve(&mut control, &mut kept, now());
    }
    assert_eq!(control.limits().calls_max, 7);
    let wake = kept.interest().expect("it is being written");
    // The client is not waited for meanwhile.
    assert_eq!(socket.interests().count(), 1);
    poll(&mut [PollFd::from_borrowed_fd(wake, PollFlags::IN)], None).unwrap();
    kept.handle_written(Instant::now());
    socket.serve(&mut control, &mut kept, now());
    assert_eq!(socket.interests().count(), 2);
    let mut lines = BufReader::new(client).lines();
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        let reply: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(reply["limits_kept"], true, "{line}");
        assert_eq!(reply["limits"]["calls_max"], 7, "{line}");
    }
}

#[test]
fn takes_the_place_of_a_dead_process_but_not_of_a_live_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    let live = AdminSocket::bind(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = AdminSocket::bind(&path).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    drop(live);
    assert!(!path.exists());
}
