//! What was read of the host. A fact that could not be read is absent, and no rule guesses it.

use std::collections::BTreeMap;

use serde::Serialize;
use tandem_settings::Driver;

/// Everything that rules look at.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Facts {
    pub(crate) settings: Settings,
    pub(crate) kernel: Kernel,
    pub(crate) cpu: Cpu,
    pub(crate) network: Network,
    pub(crate) memory: Memory,
    pub(crate) daemons: Daemons,
}

/// What the settings ask of the host, defaults worked out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    /// First and last media port.
    pub(crate) ports: [u16; 2],
    pub(crate) interfaces: u64,
    pub(crate) has_ipv6: bool,
    pub(crate) workers: usize,
    /// The core of each worker, in order; several workers may share one.
    pub(crate) cores: Vec<usize>,
    #[serde(skip)]
    pub(crate) driver: Driver,
    pub(crate) batch_wait_us: u32,
}

/// What the kernel can do.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Kernel {
    pub(crate) release: Option<String>,
    /// 0: everybody may use io_uring, 1: a group may, 2: nobody.
    pub(crate) io_uring_disabled: Option<u64>,
    pub(crate) clocksource: Option<String>,
    /// Weaknesses of the processor that the kernel works around, and how.
    pub(crate) mitigations: BTreeMap<String, String>,
}

/// Processors, and who else uses them.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Cpu {
    pub(crate) online: Vec<usize>,
    pub(crate) isolated: Vec<usize>,
    /// Threads of one physical core, for each such core that has several.
    pub(crate) siblings: Vec<Vec<usize>>,
    pub(crate) governors: BTreeMap<usize, String>,
    pub(crate) is_virtual: bool,
    /// Thousandths of the time since boot that the hypervisor gave to others.
    pub(crate) steal_permille: Option<u64>,
}

/// The way of a packet through the kernel.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Network {
    pub(crate) receive_buffer_max: Option<u64>,
    /// First and last port that the kernel gives to outgoing sockets.
    pub(crate) ephemeral_ports: Option<[u16; 2]>,
    pub(crate) reserved_ports: Vec<[u16; 2]>,
    pub(crate) udp: Option<UdpCounts>,
    /// Datagrams that the sockets of each daemon have dropped, of those that are open now.
    pub(crate) socket_drops: BTreeMap<String, u64>,
    pub(crate) softnet: Vec<Softnet>,
    pub(crate) conntrack: Option<Conntrack>,
    /// The devices that media comes in by.
    pub(crate) devices: Vec<Device>,
    pub(crate) has_irqbalance: bool,
}

/// `/proc/net/snmp`, since boot.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct UdpCounts {
    pub(crate) received: u64,
    pub(crate) errors: u64,
    pub(crate) receive_buffer_errors: u64,
    pub(crate) memory_errors: u64,
}

/// A line of `/proc/net/softnet_stat`, since boot.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Softnet {
    pub(crate) cpu: usize,
    pub(crate) processed: u64,
    pub(crate) dropped: u64,
    pub(crate) squeezed: u64,
}

/// The table of connections that a firewall keeps.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Conntrack {
    pub(crate) count: u64,
    pub(crate) max: u64,
}

/// A network device.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Device {
    pub(crate) name: String,
    /// Absent for devices without hardware.
    pub(crate) driver: Option<String>,
    pub(crate) receive_queues: usize,
    /// Cores that some queue hands packets to in software (RPS).
    pub(crate) rps_cores: Vec<usize>,
    pub(crate) interrupts: Vec<Interrupt>,
}

/// An interrupt of a receive queue.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Interrupt {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// Cores that it may be served by.
    pub(crate) cores: Vec<usize>,
}

/// Memory, in KiB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Memory {
    pub(crate) total_kib: Option<u64>,
    pub(crate) swap_used_kib: Option<u64>,
}

/// The three, and how they are installed.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Daemons {
    pub(crate) relay: Daemon,
    pub(crate) control: Daemon,
    pub(crate) sip_proxy: Daemon,
    /// The relay's unit of systemd, if one is installed.
    pub(crate) relay_unit: Option<Unit>,
}

/// One daemon.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Daemon {
    pub(crate) state: State,
    pub(crate) process: Option<Process>,
}

/// Whether it serves.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It answers.
    Up,
    /// There is none.
    #[default]
    Down,
    /// Something is there but does not answer, or may not be asked; with the reason.
    Unreachable(String),
}

/// A running process.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Descriptors it may have at most.
    pub(crate) files_max: Option<u64>,
    /// Bytes it may lock at most.
    pub(crate) locked_bytes_max: Option<u64>,
    pub(crate) is_privileged: bool,
    pub(crate) swapped_kib: u64,
    /// Rings of io_uring, if its descriptors could be looked at.
    pub(crate) rings: Option<usize>,
    /// Cores that it may use.
    pub(crate) cores: Vec<usize>,
}

/// What a unit file and its drop-ins say.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Unit {
    pub(crate) path: String,
    pub(crate) files_max: Option<u64>,
    pub(crate) locked_bytes_max: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        let relay = tandem_settings::File::default().relay;
        Self {
            ports: relay.ports,
            interfaces: 1,
            has_ipv6: false,
            workers: 1,
            cores: Vec::new(),
            driver: relay.driver,
            batch_wait_us: relay.batch_wait_us,
        }
    }
}

impl Settings {
    /// Cores of workers, each once, in ascending order.
    pub(crate) fn worker_cores(&self) -> Vec<usize> {
        let mut cores: Vec<usize> = self.cores.iter().copied().take(self.workers).collect();
        cores.sort_unstable();
        cores.dedup();
        cores
    }

    /// Media ports on all interfaces.
    pub(crate) fn port_count(&self) -> u64 {
        let [first, last] = self.ports.map(u64::from);
        (last + 1).saturating_sub(first) * self.interfaces
    }
}
