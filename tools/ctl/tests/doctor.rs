//! What `tandem doctor` prints of a host that is a folder, and what it exits with.

mod harness;

use std::fs;

use harness::{Place, Ran, assert_snapshot};
use serde_json::Value;

/// Nobody listens anywhere, and ports are chosen so that no daemon of this machine is met.
const SETTINGS: &str = "[relay]\nports = [32768, 49151]\nworkers = 2\n\
     [control]\nlisten = [\"127.0.0.1:1\"]\n[sip_proxy]\ncontrol = \"127.0.0.1:1\"\n";

/// Two cores and one device with one queue.
const HOST: [(&str, &str); 7] = [
    ("proc/self/status", "Cpus_allowed_list:\t0-1\n"),
    ("proc/sys/kernel/osrelease", "6.12.1\n"),
    ("proc/sys/net/core/rmem_max", "4194304\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    (
        "proc/net/snmp",
        "Udp: InDatagrams RcvbufErrors\nUdp: 1000 0\n",
    ),
    ("sys/devices/system/cpu/online", "0-2\n"),
    (
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
        "powersave\n",
    ),
];

fn place() -> Place {
    let place = Place::new(SETTINGS);
    for (path, text) in HOST {
        let path = place.path("host").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    place
}

fn doctor(place: &Place, arguments: &[&str]) -> Ran {
    let root = place.path("host");
    place.run_with(&[&["doctor"], arguments].concat(), |command| {
        command.env("TANDEM_TUNING_ROOT", &root);
    })
}

#[test]
fn findings_are_printed_and_counted_in_the_exit_code() {
    let place = place();
    let ran = doctor(&place, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.err, "");
    assert_snapshot("doctor", &ran.out);
}

#[test]
fn notes_alone_are_no_failure() {
    let place = place();
    let root = place.path("host");
    fs::write(
        root.join("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor"),
        "performance\n",
    )
    .unwrap();
    fs::write(
        root.join("proc/sys/net/ipv4/ip_local_reserved_ports"),
        "32768-49151\n",
    )
    .unwrap();
    let out = doctor(&place, &[]).ok();
    assert!(
        out.ends_with("nothing holds media back (1 note)\n"),
        "{out}"
    );
}

#[test]
fn programs_get_findings_and_facts() {
    let ran = doctor(&place(), &["--json"]);
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let rules: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["rule"].as_str().unwrap())
        .collect();
    assert_eq!(rules, ["governor", "port-range", "daemons"]);
    assert_eq!(report["findings"][0]["severity"], "warning");
    assert_eq!(report["facts"]["settings"]["workers"], 2);
    assert_eq!(report["facts"]["cpu"]["governors"]["1"], "powersave");
}

#[test]
fn scripts_get_arguments_one_a_line() {
    let out = doctor(&place(), &["--tuning-arguments"]).ok();
    let expected = "--ports\n32768-49151\n--workers\n2\n--cores\n0,1\n";
    assert_eq!(out, expected);
}

#[test]
fn settings_that_are_wrong_are_said_first() {
    let place = Place::new("[relay]\nprots = []\n");
    place.run(&["doctor"]).failed(2, "did you mean ports?");
}
