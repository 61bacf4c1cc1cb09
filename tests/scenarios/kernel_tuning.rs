//! The scripts of `kernel-tuning`: what they change, that twice is once, and that undo restores.
//!
//! What belongs to the host is never touched: settings of the whole kernel are files of a folder,
//! a device with flow-director rules is a script, and real devices live in a network namespace.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use relay_wire::{PortPartition, WorkerId};
use serde_json::Value;
use tandem_tests::{is_root, skip, tool};
use tempfile::TempDir;

/// Acts `ethtool` for one device whose state is files in `$NIC`; like the real one, a bit of a
/// mask that is set does not matter. With `$NIC/no-masks` it refuses rules with masks.
const ETHTOOL: &str = r#"#!/usr/bin/env bash
set -euo pipefail
cd "$NIC"
case $1 in
-l) printf 'Channel parameters for %s:\nPre-set maximums:\nRX:\t\tn/a\nCombined:\t8\nCurrent hardware settings:\nRX:\t\tn/a\nCombined:\t%s\n' "$2" "$(cat channels)" ;;
-L) echo "$4" >channels ;;
-g) printf 'Ring parameters for %s:\nPre-set maximums:\nRX:\t\t8192\nTX:\t\t8192\nCurrent hardware settings:\nRX:\t\t%s\nTX:\t\t512\n' "$2" "$(cat ring)" ;;
-G) echo "$4" >ring ;;
-c) printf 'Coalesce parameters for %s:\nAdaptive RX: %s  TX: off\n' "$2" "$(cat adaptive)" ;;
-C) echo "$4" >adaptive ;;
-k) printf 'Features for %s:\nntuple-filters: %s\n' "$2" "$(cat ntuple)" ;;
-K) echo "$4" >ntuple ;;
-N) echo "$5" >"hash-$4" ;;
-n)
    if [ $# -gt 2 ]; then
        printf 'UDP over IPV4 flows use these fields for computing Hash flow key:\nIP SA\nIP DA\n'
        [ "$(cat "hash-$4")" = sd ] || printf 'L4 bytes 0 & 1 [TCP/UDP src port]\nL4 bytes 2 & 3 [TCP/UDP dst port]\n'
        exit
    fi
    printf '8 RX rings available\nTotal rules\n\n'
    while read -r id type port mask queue; do
        printf 'Filter: %s\n\tRule Type: UDP over IPv%s\n\tSrc port: 0 mask: 0xffff\n\tDest port: %s mask: %s\n\tAction: Direct to queue %s\n\n' \
            "$id" "${type#udp}" "$port" "$mask" "$queue"
    done <rules
    ;;
-U)
    if [ "$3" = delete ]; then
        grep -v "^$4 " rules >rest || true
        mv rest rules
    else
        [ ! -e no-masks ] || [ "$8" = 0x0 ] || exit 1
        echo "$((1000 + RANDOM)) $4 $6 $8 ${10}" >>rules
    fi
    ;;
*) exit 1 ;;
esac
"#;

/// A host of four cores and a device with two queues, as files.
const HOST: [(&str, &str); 19] = [
    (
        "proc/interrupts",
        "  CPU0\n 40: 1 PCI eth9-TxRx-1\n 41: 1 PCI eth9-TxRx-0\n 42: 1 PCI eth9\n 43: 1 PCI eth99-TxRx-0\n",
    ),
    ("proc/irq/40/smp_affinity_list", "0-3\n"),
    ("proc/irq/41/smp_affinity_list", "0-3\n"),
    ("proc/irq/43/smp_affinity_list", "0-3\n"),
    ("proc/77/comm", "irqbalance\n"),
    ("proc/sys/net/core/rmem_max", "212992\n"),
    ("proc/sys/net/core/wmem_max", "8388608\n"),
    ("proc/sys/net/core/netdev_max_backlog", "1000\n"),
    ("proc/sys/net/core/netdev_budget", "300\n"),
    ("proc/sys/net/core/busy_poll", "0\n"),
    ("proc/sys/net/core/busy_read", "0\n"),
    ("proc/sys/net/ipv4/udp_mem", "10\t20\t30\n"),
    (
        "proc/sys/net/ipv4/ip_local_reserved_ports",
        "5060,29990-30001\n",
    ),
    (
        "sys/class/net/eth9/queues/rx-0/rps_cpus",
        "00000000,00000000\n",
    ),
    (
        "sys/class/net/eth9/queues/rx-1/rps_cpus",
        "00000000,00000000\n",
    ),
    (
        "sys/class/net/eth9/queues/tx-0/xps_cpus",
        "00000000,00000000\n",
    ),
    (
        "sys/class/net/eth9/queues/tx-1/xps_cpus",
        "00000000,00000000\n",
    ),
    (
        "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
        "powersave\n",
    ),
    (
        "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
        "performance\n",
    ),
];

/// What the device begins with.
const NIC: [(&str, &str); 7] = [
    ("channels", "1\n"),
    ("ring", "512\n"),
    ("adaptive", "off\n"),
    ("ntuple", "off\n"),
    ("hash-udp4", "sd\n"),
    ("hash-udp6", "sdfn\n"),
    ("rules", "7 udp4 5060 0x0 0\n"),
];

/// What a script did.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// A host that is a folder.
struct Host {
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder takes folders");
        for (below, files) in [("host", &HOST[..]), ("nic", &NIC[..])] {
            for (path, text) in files {
                let path = folder.path().join(below).join(path);
                fs::create_dir_all(path.parent().expect("it has a folder")).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        let ethtool = folder.path().join("ethtool");
        fs::write(&ethtool, ETHTOOL).unwrap();
        fs::set_permissions(&ethtool, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Every file of the host and its device, to the byte; rules without their numbers, which the
    /// device chooses.
    fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        for below in ["host", "nic"] {
            collect(&self.path(below), &mut files);
        }
        for (path, text) in &mut files {
            if path.ends_with("nic/rules") {
                let tail = |line: &str| line.split_once(' ').expect("a number").1.to_owned() + "\n";
                *text = text.lines().map(tail).collect();
            }
        }
        files
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Ran {
        let mut command = script_command(script);
        command
            .args(arguments)
            .env("TANDEM_TUNING_ROOT", self.path("host"))
            .env("TANDEM_TUNING_STATE", self.path("state"))
            .env("TANDEM_TUNING_ETHTOOL", self.path("ethtool"))
            .env("NIC", self.path("nic"));
        output(command)
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            files.insert(path, text);
        }
    }
}

/// One of the scripts, without the settings of whoever runs the tests.
fn script_command(script: &str) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel-tuning");
    let mut command = Command::new(folder.join(script));
    command.env("TANDEM", "/nonexistent/tandem");
    command
}

fn output(mut command: Command) -> Ran {
    let output = command.output().expect("the script can be started");
    Ran {
        code: output.status.code().expect("it ends by itself"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

const SYSTEM: [&str; 8] = [
    "--device",
    "eth9",
    "--ports",
    "32768-49151",
    "--workers",
    "2",
    "--cores",
    "2,3",
];

#[test]
fn apply_sets_all_that_differs_and_undo_restores_it_to_the_byte() {
    let host = Host::new();
    let before = host.snapshot();
    let ran = host.run("apply", &[&SYSTEM[..], &["--busy-poll", "50"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("irqbalance runs"), "{ran:?}");
    for change in [
        "channels eth9 combined: 1 -> 2",
        "ring eth9 rx: 512 -> 4096",
        "coalesce eth9 adaptive-rx: off -> on",
        "rxhash eth9 udp4: sd -> sdfn",
        "/proc/irq/41/smp_affinity_list: 0-3 -> 2",
        "/proc/irq/40/smp_affinity_list: 0-3 -> 3",
        "feature eth9 ntuple-filters: off -> on",
        "rule eth9 udp4 32768 0x1fff: none -> 0",
        "rule eth9 udp4 40960 0x1fff: none -> 1",
        "queues/tx-0/xps_cpus: 00000000,00000000 -> 00000004",
        "queues/tx-1/xps_cpus: 00000000,00000000 -> 00000008",
        "net.core.rmem_max: 212992 -> 4194304",
        "net.core.netdev_max_backlog: 1000 -> 10000",
        "net.core.netdev_budget: 300 -> 600",
        "net.core.busy_poll: 0 -> 50",
        "net.core.busy_read: 0 -> 50",
        "ip_local_reserved_ports: 5060,29990-30001 -> 5060,29990-30001,32768-49151",
        "cpu2/cpufreq/scaling_governor: powersave -> performance",
        "18 changed, 0 refused",
    ] {
        assert!(ran.out.contains(change), "{change} is missing: {}", ran.out);
    }
    assert_eq!(ran.out.lines().count(), 19, "and nothing else: {}", ran.out);
    assert_eq!(
        host.read("host/proc/sys/net/core/wmem_max"),
        "8388608\n",
        "never lowered"
    );
    assert_eq!(
        host.read("host/proc/irq/43/smp_affinity_list"),
        "0-3\n",
        "another device's"
    );

    let again = host.run("apply", &[&SYSTEM[..], &["--busy-poll", "50"]].concat());
    assert_eq!(again.ok(), "nothing to do\n");
    assert!(
        host.run("probe", &SYSTEM)
            .ok()
            .ends_with("everything is as it should be\n")
    );

    let undone = host.run("undo", &[]).ok();
    assert_eq!(undone.lines().count(), 18, "{undone}");
    let after = host.snapshot();
    assert_eq!(before, after);
    assert!(!host.path("state").exists());
    assert_eq!(host.run("undo", &[]).ok(), "nothing to undo\n");
}

#[test]
fn undo_restores_what_was_there_before_the_first_of_several_applies() {
    let host = Host::new();
    let before = host.snapshot();
    host.run("apply", &SYSTEM).ok();
    let other = [
        "--device",
        "eth9",
        "--ports",
        "40000-43999",
        "--workers",
        "1",
        "--cores",
        "3",
    ];
    host.run("apply", &other).ok();
    assert_eq!(host.read("host/proc/irq/41/smp_affinity_list"), "3\n");
    host.run("undo", &[]).ok();
    assert_eq!(before, host.snapshot());
}

#[test]
fn looking_changes_nothing() {
    let host = Host::new();
    let before = host.snapshot();
    let planned = host
        .run("apply", &[&SYSTEM[..], &["--dry-run"]].concat())
        .ok();
    assert!(
        planned.contains("would set ring eth9 rx: 512 -> 4096"),
        "{planned}"
    );
    let probed = host.run("probe", &SYSTEM);
    assert_eq!(probed.code, 1, "{probed:?}");
    assert_eq!(before, host.snapshot());
    assert!(!host.path("state").exists());
}

#[test]
fn probe_speaks_to_programs_too() {
    let host = Host::new();
    let ran = host.run("probe", &[&SYSTEM[..], &["--json"]].concat());
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).expect("it is JSON");
    let settings = report["settings"].as_array().unwrap();
    let find = |target: &str| settings.iter().find(|it| it["target"] == target).unwrap();
    let backlog = find("/proc/sys/net/core/netdev_max_backlog");
    assert_eq!(
        (&backlog["state"], &backlog["value"], &backlog["wanted"]),
        (&"differs".into(), &"1000".into(), &">= 10000".into())
    );
    assert_eq!(find("/proc/sys/net/ipv4/udp_mem")["value"], "10 20 30");
    assert_eq!(
        find("/proc/sys/net/ipv4/ip_local_port_range")["value"],
        Value::Null
    );
    let advice = report["advice"].as_array().unwrap();
    assert!(advice.iter().any(|it| it["group"] == "isolation"));
}

#[test]
fn a_device_that_refuses_masks_falls_back_aloud_and_keeps_no_half_of_the_rules() {
    let host = Host::new();
    let before = host.snapshot();
    fs::write(host.path("nic/no-masks"), "").unwrap();
    // A range whose first block is a single port, which the device takes.
    let system = [
        "--device",
        "eth9",
        "--ports",
        "30002-39999",
        "--workers",
        "2",
        "--cores",
        "2,3",
    ];
    let arguments = [&system[..], &["--only", "steering"]].concat();
    let ran = host.run("apply", &arguments);
    assert!(
        ran.err
            .contains("eth9 refuses rules with masks on the port; RPS"),
        "{ran:?}"
    );
    assert_eq!(host.read("nic/rules"), "7 udp4 5060 0x0 0\n");
    assert_eq!(host.read("nic/ntuple"), "off\n");
    assert_eq!(
        host.run("apply", &arguments).ok().lines().last(),
        Some("nothing to do")
    );
    host.run("undo", &[]).ok();
    fs::remove_file(host.path("nic/no-masks")).unwrap();
    assert_eq!(before, host.snapshot());
}

#[test]
fn with_fewer_queues_than_workers_software_spreads() {
    let host = Host::new();
    let system = [
        "--device",
        "eth9",
        "--ports",
        "30000-39999",
        "--workers",
        "3",
        "--cores",
        "1,2,33",
    ];
    let ran = host.run("apply", &[&system[..], &["--only", "steering"]].concat());
    assert!(
        ran.err.contains("eth9 has 2 queues for 3 workers; RPS"),
        "{ran:?}"
    );
    for queue in ["rx-0", "rx-1"] {
        let path = format!("host/sys/class/net/eth9/queues/{queue}/rps_cpus");
        assert_eq!(host.read(&path), "00000002,00000006\n");
    }
}

#[test]
fn rules_send_each_port_to_the_queue_of_the_worker_that_owns_it() {
    for (first, last, workers) in [
        (32_768, 49_151, 2),
        (30_000, 39_999, 2),
        (30_000, 39_999, 1),
        (1_024, 65_535, 2),
        (20_002, 20_099, 2),
    ] {
        let partition = PortPartition::new(first, last, workers).unwrap();
        let host = Host::new();
        let (ports, count) = (format!("{first}-{last}"), workers.to_string());
        let ran = host.run(
            "apply",
            &[
                "--device",
                "eth9",
                "--ports",
                &ports,
                "--workers",
                &count,
                "--cores",
                "0,1",
                "--only",
                "steering",
            ],
        );
        assert_eq!(ran.code, 0, "{ran:?}");
        let mut queues = BTreeMap::new();
        for rule in host
            .read("nic/rules")
            .lines()
            .filter(|it| !it.contains(" 5060 "))
        {
            let words: Vec<&str> = rule.split(' ').collect();
            let port: u16 = words[2].parse().unwrap();
            let mask = u16::from_str_radix(words[3].trim_start_matches("0x"), 16).unwrap();
            assert_eq!(port & mask, 0, "{rule}: bits that do not matter are zero");
            for port in port..=port | mask {
                assert_eq!(
                    queues.insert(port, words[4].parse().unwrap()),
                    None,
                    "{port} twice"
                );
            }
        }
        if workers == 1 {
            assert!(queues.is_empty(), "one worker needs no rules");
            continue;
        }
        for port in 1..=u16::MAX {
            let owner = partition.owner(port).map(|WorkerId(worker)| worker);
            assert_eq!(
                queues.get(&port).copied(),
                owner,
                "port {port} of {first}-{last}"
            );
        }
    }
}

#[test]
fn ipv6_gets_the_same_rules() {
    let host = Host::new();
    let arguments = [&SYSTEM[..], &["--ipv6", "--only", "steering"]].concat();
    host.run("apply", &arguments).ok();
    let rules = host.read("nic/rules");
    let of = |family: &str| {
        let mut rules: Vec<&str> = rules
            .lines()
            .filter_map(|rule| rule.split_once(family))
            .map(|(_, rest)| rest)
            .filter(|rest| !rest.contains("5060"))
            .collect();
        rules.sort_unstable();
        rules
    };
    assert_eq!(of(" udp6 "), ["32768 0x1fff 0", "40960 0x1fff 1"]);
    assert_eq!(of(" udp4 "), of(" udp6 "));
}

#[test]
fn what_the_system_refuses_is_said_and_not_noted() {
    let host = Host::new();
    // A folder cannot be written like a file.
    let governor = host.path("host/sys/devices/system/cpu/cpu2/cpufreq/scaling_governor");
    fs::remove_file(&governor).unwrap();
    symlink("/proc/self/cmdline", &governor).unwrap();
    let ran = host.run("apply", &[&SYSTEM[..], &["--only", "cpu"]].concat());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("refused by the system"), "{ran:?}");
    assert!(!host.path("state").exists());
}

#[test]
fn a_damaged_file_of_old_values_leads_nowhere_else() {
    let host = Host::new();
    let victim = host.path("host/etc/victim");
    fs::create_dir_all(victim.parent().unwrap()).unwrap();
    fs::write(&victim, "safe\n").unwrap();
    for line in [
        "file\t/etc/victim\tbad\n",
        "file\t/proc/sys/../../etc/victim\tbad\n",
        "shell\t/etc/victim\tbad\n",
    ] {
        fs::write(host.path("state"), line).unwrap();
        assert_ne!(host.run("undo", &[]).code, 0, "{line}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "safe\n");
    }
}

#[test]
fn wrong_arguments_are_told_from_refusals() {
    let host = Host::new();
    for (arguments, words) in [
        (&["--ports", "30001-39999"][..], "ports are written as"),
        (&["--cores", "2;reboot"], "cores are written as"),
        (&["--device", "../x"], "no name of a device"),
        (&["--only", "everything"], "there is no group everything"),
        (&["--workers"], "needs a value"),
        (&["--frobnicate"], "unknown argument"),
        (&["--device", "eth9"], "give --ports and --workers"),
        (
            &[
                "--device",
                "eth9",
                "--ports",
                "30000-30003",
                "--workers",
                "9",
            ],
            "too few",
        ),
    ] {
        let ran = host.run("probe", arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(words), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn device_cores_and_ports_come_from_the_settings() {
    let host = Host::new();
    let route = "Iface Dest Gw Flags R U M Mask\neth9 00000000 0 3 0 0 0 00000000\n";
    fs::create_dir_all(host.path("host/proc/net")).unwrap();
    fs::write(host.path("host/proc/net/route"), route).unwrap();
    let config = host.path("tandem.toml");
    fs::write(
        &config,
        "[relay]\nports = [32768, 49151]\nworkers = 2\ncores = [2, 3]\n",
    )
    .unwrap();
    let mut command = script_command("probe");
    command
        .args(["--config", &config.display().to_string(), "--json"])
        .env("TANDEM", tandem_tests::binary("tandem"))
        .env("TANDEM_TUNING_ROOT", host.path("host"))
        .env("TANDEM_TUNING_ETHTOOL", host.path("ethtool"))
        .env("NIC", host.path("nic"));
    let ran = output(command);
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let text = report["settings"].to_string();
    assert!(text.contains("eth9 udp4 40960 0x1fff"), "{text}");
    assert!(text.contains("cpu2/cpufreq"), "{text}");
}

/// A network namespace; its devices go with it.
struct Namespace {
    name: String,
}

impl Namespace {
    fn new(label: &str) -> Self {
        let name = format!("tandem-test-{}-{label}", std::process::id());
        let this = Self { name };
        ip(&["netns", "add", &this.name]);
        this
    }

    fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name], arguments].concat());
    }

    fn read(&self, path: &str) -> String {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "cat", path]);
        output(command).ok()
    }

    fn run(&self, script: &str, arguments: &[&str], state: &Path) -> Ran {
        let script = script_command(script);
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name])
            .arg(script.get_program());
        command
            .args(arguments)
            .env("TANDEM", "/nonexistent/tandem")
            .env("TANDEM_TUNING_STATE", state);
        output(command)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let mut command = Command::new("ip");
    command.args(arguments);
    output(command).ok();
}

/// Whether devices can be made here.
fn can_make_devices() -> bool {
    if !is_root() {
        skip("a network namespace needs root");
        return false;
    }
    tool("ip").is_some() && tool("ethtool").is_some()
}

#[test]
fn a_real_device_with_queues_is_tuned_and_restored() {
    if !can_make_devices() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let space = Namespace::new("queues");
    space.ip(&[
        "link",
        "add",
        "v0",
        "numtxqueues",
        "4",
        "numrxqueues",
        "4",
        "type",
        "veth",
        "peer",
        "name",
        "v1",
    ]);
    let files = [
        "/sys/class/net/v0/queues/tx-0/xps_cpus",
        "/sys/class/net/v0/queues/tx-1/xps_cpus",
        "/sys/class/net/v0/queues/rx-0/rps_cpus",
        "/proc/sys/net/ipv4/ip_local_reserved_ports",
    ];
    let before = files.map(|file| space.read(file));
    let arguments = [
        "--device",
        "v0",
        "--ports",
        "32768-49151",
        "--workers",
        "2",
        "--cores",
        "0,0",
        "--only",
        "queues,steering,ports",
    ];
    let probed = space.run("probe", &arguments, &state);
    assert_eq!(probed.code, 1, "{probed:?}");
    assert!(probed.out.contains("differs  channels v0 rx"), "{probed:?}");

    let applied = space.run("apply", &arguments, &state);
    assert!(
        applied
            .err
            .contains("v0 has no flow-director rules (ntuple)"),
        "{applied:?}"
    );
    let out = applied.ok();
    assert!(out.contains("channels v0 rx: 4 -> 2"), "{out}");
    assert!(out.contains("4 changed, 0 refused"), "{out}");
    assert_eq!(space.read(files[3]), "32768-49151\n");
    assert_eq!(
        space.run("apply", &arguments, &state).ok(),
        "nothing to do\n"
    );
    assert_eq!(space.run("probe", &arguments, &state).code, 0);

    space.run("undo", &[], &state).ok();
    assert_eq!(before, files.map(|file| space.read(file)));
    let queues = space.run("probe", &arguments, &state);
    assert!(
        queues.out.contains("differs  channels v0 rx"),
        "four again: {queues:?}"
    );
}

#[test]
fn a_real_device_with_one_queue_gets_software_steering() {
    if !can_make_devices() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let space = Namespace::new("rps");
    space.ip(&[
        "link",
        "add",
        "v0",
        "numtxqueues",
        "1",
        "numrxqueues",
        "1",
        "type",
        "veth",
        "peer",
        "name",
        "v1",
    ]);
    let file = "/sys/class/net/v0/queues/rx-0/rps_cpus";
    let before = space.read(file);
    let arguments = [
        "--device",
        "v0",
        "--ports",
        "30000-39999",
        "--workers",
        "2",
        "--cores",
        "0,1",
        "--only",
        "steering",
    ];
    let applied = space.run("apply", &arguments, &state);
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return skip("one core cannot be shared out");
    }
    assert!(
        applied.err.contains("v0 has 1 queues for 2 workers; RPS"),
        "{applied:?}"
    );
    applied.ok();
    assert_eq!(space.read(file).trim_start_matches(['0', ',']), "3\n");
    assert_eq!(
        space.run("apply", &arguments, &state).ok(),
        "nothing to do\n"
    );
    space.run("undo", &[], &state).ok();
    assert_eq!(space.read(file), before);
}
