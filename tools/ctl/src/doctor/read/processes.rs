//! The daemons as `/proc` and their unit files show them.

use std::path::Path;

use super::super::facts::{Daemon, Daemons, Process, Unit};
use super::super::parse;
use super::Host;

/// Names of the daemons as the kernel keeps them: 15 characters.
const COMMS: [&str; 3] = ["tandem-relay", "tandem-control", "tandem-sip-prox"];

/// Where units are looked for; the first that is there wins, as with systemd.
const UNIT_FOLDERS: [&str; 4] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
];

/// Descriptors of a process that are looked at: all of a relay with every port in use.
const DESCRIPTORS_MAX: usize = 1 << 20;

/// What makes root's limits not count for a process (`CAP_SYS_RESOURCE`, `CAP_IPC_LOCK`).
const CAPABILITIES: u64 = 1 << 24 | 1 << 14;

impl Host {
    /// The processes; whether they answer is for others to find out.
    pub(super) fn daemons(&self, relay_socket: &Path) -> Daemons {
        let mut pids: [Vec<u32>; 3] = Default::default();
        for pid in self.names("proc").iter().filter_map(|it| it.parse().ok()) {
            let comm = self.word(&format!("proc/{pid}/comm"));
            if let Some(which) = COMMS.iter().position(|it| Some(*it) == comm.as_deref()) {
                pids[which].push(pid);
            }
        }
        let [relays, controls, sip_proxies] = pids;
        // Several relays may run on a host: ours is the one that holds the socket.
        let socket = self.unix_socket(relay_socket);
        let holds = |pid: &&u32| {
            socket
                .as_ref()
                .is_some_and(|it| self.has_descriptor(**pid, it))
        };
        let relay = relays.iter().find(holds).or_else(|| only(&relays)).copied();
        let daemon = |pid: Option<u32>| Daemon {
            process: pid.and_then(|pid| self.process(pid)),
            ..Daemon::default()
        };
        Daemons {
            relay: daemon(relay),
            control: daemon(only(&controls).copied()),
            sip_proxy: daemon(only(&sip_proxies).copied()),
            relay_unit: self.unit("tandem-relay.service"),
        }
    }

    fn process(&self, pid: u32) -> Option<Process> {
        let status = self.text(&format!("proc/{pid}/status"))?;
        let limits = self.text(&format!("proc/{pid}/limits")).unwrap_or_default();
        let capabilities = parse::field(&status, "CapEff");
        let capabilities = capabilities.and_then(|it| u64::from_str_radix(it, 16).ok());
        Some(Process {
            pid,
            files_max: parse::soft_limit(&limits, "Max open files"),
            locked_bytes_max: parse::soft_limit(&limits, "Max locked memory"),
            is_privileged: capabilities.is_some_and(|it| it & CAPABILITIES == CAPABILITIES),
            swapped_kib: parse::field_kib(&status, "VmSwap").unwrap_or(0),
            rings: self.rings(pid),
            cores: self.cores_of(&pid.to_string()),
        })
    }

    fn rings(&self, pid: u32) -> Option<usize> {
        let descriptors = self.descriptors(pid);
        let is_ring = |it: &String| it == "anon_inode:[io_uring]";
        (!descriptors.is_empty()).then(|| descriptors.iter().filter(|it| is_ring(it)).count())
    }

    fn has_descriptor(&self, pid: u32, target: &str) -> bool {
        self.descriptors(pid).iter().any(|it| it == target)
    }

    /// What the descriptors of a process are; empty if they may not be looked at.
    fn descriptors(&self, pid: u32) -> Vec<String> {
        let folder = format!("proc/{pid}/fd");
        let names = self.names(&folder);
        let links = names.iter().take(DESCRIPTORS_MAX);
        links
            .filter_map(|name| self.link(&format!("{folder}/{name}")))
            .collect()
    }

    /// What a descriptor of a bound socket is called.
    fn unix_socket(&self, path: &Path) -> Option<String> {
        let sockets = self.text("proc/net/unix")?;
        let path = path.to_str()?;
        let line = sockets.lines().find(|line| line.ends_with(path))?;
        let inode = line.split_whitespace().nth(6)?;
        Some(format!("socket:[{inode}]"))
    }

    fn unit(&self, name: &str) -> Option<Unit> {
        let found = UNIT_FOLDERS.iter().find_map(|folder| {
            let path = format!("{folder}/{name}");
            Some((self.text(&path)?, path))
        });
        let (mut text, path) = found?;
        for folder in UNIT_FOLDERS.iter().rev() {
            let folder = format!("{folder}/{name}.d");
            for drop_in in self.names(&folder) {
                text.push('\n');
                text.push_str(
                    &self
                        .text(&format!("{folder}/{drop_in}"))
                        .unwrap_or_default(),
                );
            }
        }
        // What is set last holds.
        let value = |key: &str| {
            let after = |line: &str| parse::unit_size(line.strip_prefix(key)?.strip_prefix('=')?);
            text.lines().filter_map(after).next_back()
        };
        Some(Unit {
            path: format!("/{path}"),
            files_max: value("LimitNOFILE"),
            locked_bytes_max: value("LimitMEMLOCK"),
        })
    }
}

/// The only one there is; of several nobody knows which is meant.
fn only(pids: &[u32]) -> Option<&u32> {
    match pids {
        [pid] => Some(pid),
        _ => None,
    }
}
