//! A host that is well, and one in files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tandem_settings::File;

use super::facts::{Cpu, Daemon, Device, Interrupt, Kernel, Network, Process, Softnet, UdpCounts};
use super::*;

/// Two workers on cores 1 and 2 of three, each with a queue of its own.
pub(super) fn healthy() -> Facts {
    let process = Process {
        pid: 7,
        files_max: Some(65_536),
        locked_bytes_max: Some(8 << 20),
        rings: Some(2),
        cores: vec![1, 2],
        ..Process::default()
    };
    let up = Daemon {
        state: State::Up,
        process: None,
    };
    let interrupt = |queue: u32| Interrupt {
        number: 25 + queue,
        name: format!("eth0-TxRx-{queue}"),
        cores: vec![1 + usize::try_from(queue).unwrap()],
    };
    let mut facts = Facts {
        kernel: Kernel {
            release: Some("6.12.4".to_owned()),
            io_uring_disabled: Some(0),
            clocksource: Some("tsc".to_owned()),
            ..Kernel::default()
        },
        cpu: Cpu {
            online: vec![0, 1, 2],
            governors: [(1, "performance".to_owned()), (2, "performance".to_owned())].into(),
            steal_permille: Some(0),
            ..Cpu::default()
        },
        network: Network {
            receive_buffer_max: Some(4 << 20),
            ephemeral_ports: Some([32_768, 60_999]),
            reserved_ports: vec![[30_000, 39_999]],
            udp: Some(UdpCounts::default()),
            softnet: vec![Softnet::default()],
            devices: vec![Device {
                name: "eth0".to_owned(),
                driver: Some("ixgbe".to_owned()),
                receive_queues: 2,
                rps_cores: Vec::new(),
                interrupts: vec![interrupt(0), interrupt(1)],
            }],
            ..Network::default()
        },
        ..Facts::default()
    };
    facts.settings.workers = 2;
    facts.settings.cores = vec![1, 2];
    facts.daemons.relay = up.clone();
    facts.daemons.relay.process = Some(process);
    facts.daemons.control = up.clone();
    facts.daemons.sip_proxy = up;
    facts
}

/// Writes files below a folder, and the folders that they need.
fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A host of four cores with one device, on which a relay runs.
fn host(root: &Path) {
    write(
        root,
        &[
            ("proc/sys/kernel/osrelease", "6.1.0-40-amd64\n"),
            ("proc/sys/kernel/io_uring_disabled", "2\n"),
            ("proc/sys/net/core/rmem_max", "212992\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            (
                "proc/sys/net/ipv4/ip_local_reserved_ports",
                "5060,30000-35000\n",
            ),
            ("proc/sys/net/netfilter/nf_conntrack_count", "12\n"),
            ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
            (
                "proc/net/snmp",
                "Udp: InDatagrams RcvbufErrors\nUdp: 1000 5\n",
            ),
            ("proc/net/softnet_stat", "0a 01 00\n0b 00 00\n"),
            (
                "proc/net/udp",
                "head\n 1: 0100007F:7530 0:0 07 0:0 0:0 0 0 0 1 2 0 9\n 2: 0100007F:08AF 0:0 07 0:0 0:0 0 0 0 1 2 0 3\n",
            ),
            (
                "proc/net/route",
                "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\n\
                 eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\n\
                 eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\n",
            ),
            (
                "proc/net/unix",
                "Num RefCount\n0: 2 0 10000 5 01 4242 FOLDER/data/run/relay.sock\n",
            ),
            (
                "proc/interrupts",
                " CPU0\n 30: 1 PCI eth1-TxRx-0\n 31: 1 PCI eth1-TxRx-1\n 32: 1 PCI eth1\n",
            ),
            ("proc/irq/30/smp_affinity_list", "0-3\n"),
            ("proc/irq/31/smp_affinity_list", "2\n"),
            ("proc/stat", "cpu  50 0 40 0 0 0 0 10 0 0\n"),
            ("proc/cpuinfo", "flags\t\t: fpu hypervisor\n"),
            (
                "proc/meminfo",
                "MemTotal: 4000 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\n",
            ),
            ("proc/self/status", "Cpus_allowed_list:\t0-3\n"),
            ("proc/41/comm", "tandem-relay\n"),
            ("proc/42/comm", "tandem-relay\n"),
            (
                "proc/42/status",
                "Cpus_allowed_list:\t2-3\nCapEff:\t0000000000000000\nVmSwap:\t 8 kB\n",
            ),
            (
                "proc/42/limits",
                "Max open files            1024  4096  files\nMax locked memory  65536  65536  bytes\n",
            ),
            ("proc/43/comm", "irqbalance\n"),
            ("sys/devices/system/cpu/online", "0-3\n"),
            ("sys/devices/system/cpu/isolated", "\n"),
            (
                "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
                "powersave\n",
            ),
            (
                "sys/devices/system/cpu/cpu2/topology/thread_siblings_list",
                "2-3\n",
            ),
            (
                "sys/devices/system/cpu/cpu3/topology/thread_siblings_list",
                "2-3\n",
            ),
            (
                "sys/devices/system/cpu/vulnerabilities/meltdown",
                "Mitigation: PTI\n",
            ),
            (
                "sys/devices/system/cpu/vulnerabilities/mds",
                "Not affected\n",
            ),
            (
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "hpet\n",
            ),
            (
                "sys/class/net/eth1/queues/rx-0/rps_cpus",
                "00000000,00000000\n",
            ),
            (
                "sys/class/net/eth1/queues/rx-1/rps_cpus",
                "00000000,0000000c\n",
            ),
            ("sys/class/net/eth1/queues/tx-0/xps_cpus", "1\n"),
            (
                "usr/lib/systemd/system/tandem-relay.service",
                "[Service]\nLimitNOFILE=262144\nLimitMEMLOCK=256M\n",
            ),
            (
                "etc/systemd/system/tandem-relay.service.d/override.conf",
                "[Service]\nLimitNOFILE=2048\n",
            ),
        ],
    );
    fs::create_dir_all(root.join("proc/42/fd")).unwrap();
    symlink("socket:[4242]", root.join("proc/42/fd/3")).unwrap();
    symlink("anon_inode:[io_uring]", root.join("proc/42/fd/4")).unwrap();
    fs::create_dir_all(root.join("sys/bus/pci/drivers/ixgbe")).unwrap();
    fs::create_dir_all(root.join("sys/class/net/eth1/device")).unwrap();
    symlink(
        "../../../../bus/pci/drivers/ixgbe",
        root.join("sys/class/net/eth1/device/driver"),
    )
    .unwrap();
}

fn read(root: &Path, settings: &str) -> Facts {
    let file: File = Loaded::parse(Path::new("tandem.toml"), settings)
        .unwrap()
        .file;
    let wanted = Wanted {
        file: &file,
        relay_socket: PathBuf::from("FOLDER/data/run/relay.sock"),
        control_ports: vec![2223],
        sip_ports: vec![5060],
    };
    Host::new(root.to_owned()).read(&wanted)
}

#[test]
fn a_host_is_read_from_its_files() {
    let folder = tempfile::tempdir().unwrap();
    host(folder.path());
    let facts = read(
        folder.path(),
        "[relay]\ninterfaces = [\"lan=10.0.0.5!192.0.2.1\"]\n",
    );

    let relay = facts.daemons.relay.process.as_ref().unwrap();
    assert_eq!(
        (relay.pid, relay.rings),
        (42, Some(1)),
        "the one that holds the socket"
    );
    assert_eq!(
        (relay.files_max, relay.locked_bytes_max),
        (Some(1024), Some(65_536))
    );
    assert_eq!((relay.swapped_kib, relay.is_privileged), (8, false));
    let unit = facts.daemons.relay_unit.as_ref().unwrap();
    assert_eq!(
        (unit.files_max, unit.locked_bytes_max),
        (Some(2048), Some(256 << 20))
    );

    assert_eq!(facts.settings.cores, [2, 3], "those of the running relay");
    assert_eq!(facts.settings.workers, 2);
    assert_eq!(facts.cpu.online, [0, 1, 2, 3]);
    assert_eq!(facts.cpu.siblings, [[2, 3]]);
    assert_eq!(facts.cpu.steal_permille, Some(100));
    assert!(facts.cpu.is_virtual);
    assert_eq!(facts.kernel.mitigations.len(), 1);
    assert_eq!(facts.memory.swap_used_kib, Some(60));

    let network = &facts.network;
    assert_eq!(network.ephemeral_ports, Some([32_768, 60_999]));
    assert_eq!(network.reserved_ports, [[5_060, 5_060], [30_000, 35_000]]);
    assert_eq!(network.socket_drops["media"], 9);
    assert_eq!(network.socket_drops["ng"], 3);
    assert_eq!(network.conntrack.unwrap().count, 12);
    assert!(network.has_irqbalance);
    let device = &network.devices[0];
    assert_eq!(
        (device.name.as_str(), device.driver.as_deref()),
        ("eth1", Some("ixgbe"))
    );
    assert_eq!(
        (device.receive_queues, &device.rps_cores[..]),
        (2, &[2, 3][..])
    );
    let interrupts: Vec<_> = device
        .interrupts
        .iter()
        .map(|it| (it.number, it.cores.len()))
        .collect();
    assert_eq!(interrupts, [(30, 4), (31, 1)]);
}

#[test]
fn what_is_wrong_with_such_a_host_is_found() {
    let folder = tempfile::tempdir().unwrap();
    host(folder.path());
    let facts = read(folder.path(), "[relay]\ninterfaces = [\"10.0.0.5\"]\n");
    let found: Vec<_> = diagnose(&facts).into_iter().map(|it| it.rule).collect();
    for rule in [
        "open-files",
        "io-uring",
        "kernel",
        "locked-memory",
        "driver",
        "udp-drops",
        "backlog-drops",
        "conntrack",
        "interrupts",
        "steal",
        "governor",
        "siblings",
        "clocksource",
        "swap",
        "receive-buffers",
        "port-range",
        "virtual",
        "mitigations",
    ] {
        assert!(found.contains(&rule), "{rule} is not among {found:?}");
    }
}

#[test]
fn an_empty_folder_is_a_host_that_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let facts = read(folder.path(), "");
    let found: Vec<_> = diagnose(&facts).into_iter().map(|it| it.rule).collect();
    assert_eq!(found, ["daemons"]);
}

#[test]
fn the_scripts_are_told_device_cores_and_ports() {
    let folder = tempfile::tempdir().unwrap();
    host(folder.path());
    let facts = read(
        folder.path(),
        "[relay]\nworkers = 3\nports = [32768, 49151]\n",
    );
    let arguments = tuning_arguments(&facts);
    let arguments: Vec<&str> = arguments.lines().collect();
    let expected = [
        "--device",
        "eth0",
        "--ports",
        "32768-49151",
        "--workers",
        "3",
        "--cores",
        "2,3,2",
    ];
    assert_eq!(arguments, expected, "the device of the default route");
    let facts = read(
        folder.path(),
        "[relay]\ninterfaces = [\"10.0.0.5\", \"six=[2001:db8::1]!2001:db8::2\"]\n",
    );
    assert!(tuning_arguments(&facts).ends_with("\n--ipv6"));
}
