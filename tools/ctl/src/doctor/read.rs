//! Reads the host: files below `/proc` and `/sys`, and nothing else.
//!
//! The root of both can be another folder (`TANDEM_TUNING_ROOT`), for tests, and to look at what
//! was copied from another host.

mod network;
mod processes;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tandem_settings::File;

use super::facts::{Cpu, Facts, Kernel, Memory, Settings};
use super::parse;

/// Bytes of one file that are read at most. `/proc/net/udp` has 128 bytes for each socket.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Where the kernel says which weaknesses it works around.
const VULNERABILITIES: &str = "sys/devices/system/cpu/vulnerabilities";

/// A host, seen through its files.
#[derive(Clone, Debug)]
pub(super) struct Host {
    root: PathBuf,
}

/// What the settings leave open, for the host to decide.
#[derive(Clone, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) file: &'a File,
    pub(super) relay_socket: PathBuf,
    pub(super) control_ports: Vec<u16>,
    pub(super) sip_ports: Vec<u16>,
}

impl Host {
    /// The host whose `/proc` and `/sys` are below `root`.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Reads everything.
    pub(super) fn read(&self, wanted: &Wanted<'_>) -> Facts {
        let daemons = self.daemons(&wanted.relay_socket);
        // A relay that runs knows best which cores are its own.
        let relay = daemons.relay.process.as_ref();
        let cores = relay.map_or_else(|| self.cores_of("self"), |it| it.cores.clone());
        let settings = settings(wanted.file, cores);
        Facts {
            kernel: self.kernel(),
            cpu: self.cpu(),
            network: self.network(wanted, &settings),
            memory: self.memory(),
            settings,
            daemons,
        }
    }

    fn kernel(&self) -> Kernel {
        let clocksource = "sys/devices/system/clocksource/clocksource0/current_clocksource";
        Kernel {
            release: self.word("proc/sys/kernel/osrelease"),
            io_uring_disabled: self.number("proc/sys/kernel/io_uring_disabled"),
            clocksource: self.word(clocksource),
            mitigations: self.mitigations(),
        }
    }

    fn mitigations(&self) -> BTreeMap<String, String> {
        let names = self.names(VULNERABILITIES);
        let worth_telling = |name: String| {
            let text = self.word(&format!("{VULNERABILITIES}/{name}"))?;
            text.starts_with("Mitigation").then_some((name, text))
        };
        names.into_iter().filter_map(worth_telling).collect()
    }

    fn cpu(&self) -> Cpu {
        let online = self.list("sys/devices/system/cpu/online");
        let cpu_file =
            |core: &usize, file: &str| format!("sys/devices/system/cpu/cpu{core}/{file}");
        let governor = |core: &usize| {
            let name = self.word(&cpu_file(core, "cpufreq/scaling_governor"))?;
            Some((*core, name))
        };
        let siblings_of =
            |core: &usize| self.list(&cpu_file(core, "topology/thread_siblings_list"));
        let mut siblings: Vec<Vec<usize>> = online.iter().map(siblings_of).collect();
        siblings.retain(|threads| threads.len() > 1);
        siblings.sort_unstable();
        siblings.dedup();
        let cpuinfo = self.text("proc/cpuinfo").unwrap_or_default();
        let mut flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
        Cpu {
            governors: online.iter().filter_map(governor).collect(),
            isolated: self.list("sys/devices/system/cpu/isolated"),
            siblings,
            is_virtual: flags.any(|line| line.split_whitespace().any(|it| it == "hypervisor")),
            steal_permille: self
                .text("proc/stat")
                .as_deref()
                .and_then(parse::steal_permille),
            online,
        }
    }

    fn memory(&self) -> Memory {
        let meminfo = self.text("proc/meminfo").unwrap_or_default();
        let kib = |name| parse::field_kib(&meminfo, name);
        let used = |total: u64| Some(total.saturating_sub(kib("SwapFree")?));
        Memory {
            total_kib: kib("MemTotal"),
            swap_used_kib: kib("SwapTotal").and_then(used),
        }
    }

    fn cores_of(&self, process: &str) -> Vec<usize> {
        let status = self.text(&format!("proc/{process}/status"));
        let status = status.unwrap_or_default();
        parse::list(parse::field(&status, "Cpus_allowed_list").unwrap_or_default())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn text(&self, path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let file = fs::File::open(self.path(path)).ok()?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A file's text without the spaces around it, unless it is empty.
    fn word(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.word(path)?.parse().ok()
    }

    fn list(&self, path: &str) -> Vec<usize> {
        parse::list(&self.text(path).unwrap_or_default())
    }

    /// What is in a folder, in order.
    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
        let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
        names.sort_unstable();
        names
    }

    /// The last part of where a link leads.
    fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(Path::new(&target).file_name()?.to_str()?.to_owned())
    }
}

fn settings(file: &File, allowed: Vec<usize>) -> Settings {
    let relay = &file.relay;
    let pool = if relay.cores.is_empty() {
        allowed
    } else {
        relay.cores.clone()
    };
    let workers = match relay.workers {
        0 => pool.len().max(1),
        workers => usize::from(workers),
    };
    Settings {
        ports: relay.ports,
        interfaces: u64::try_from(relay.interfaces.len().max(1)).unwrap_or(u64::MAX),
        has_ipv6: relay
            .interfaces
            .iter()
            .any(|it| address_of(it).is_some_and(|it| it.is_ipv6())),
        workers,
        // Endless, unless it is empty.
        cores: pool.iter().copied().cycle().take(workers).collect(),
        driver: relay.driver,
        batch_wait_us: relay.batch_wait_us,
    }
}

/// The address of `NAME=ADDRESS!ADVERTISED`, of which only the address must be there.
fn address_of(interface: &str) -> Option<IpAddr> {
    let address = interface.rsplit_once('=').map_or(interface, |(_, it)| it);
    let address = address.split('!').next()?.trim();
    address.trim_matches(['[', ']']).parse().ok()
}
