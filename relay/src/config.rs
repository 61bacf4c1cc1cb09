//! The relay's settings: what the file says, checked.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use relay_wire::{Interface, PartitionError, PortPartition, WorkerId};
use tandem_settings::{Driver, KernelTable, Loaded, SettingsError, Xdp};

use crate::affinity;
use crate::io::UringSize;
use crate::transcoding::PoolLimits;

/// The settings, checked: a value of this type cannot be wrong, but for what only the system can
/// say (an address that is not ours, a port that is taken).
#[derive(Clone, Debug)]
pub struct Config {
    /// The socket that control connects to.
    pub socket_path: PathBuf,
    /// Where media is received: one at least.
    pub interfaces: Vec<Interface>,
    /// Type of service of what leaves each of them (RFC 2474 §3).
    pub tos: Vec<u8>,
    /// Which worker has which ports, and so how many workers there are.
    pub partition: PortPartition,
    /// The core of each worker, as the system numbers them. Empty: they are not pinned.
    pub cores: Vec<usize>,
    /// How sockets are read and written.
    pub driver: Driver,
    /// Whether the kernel forwards by itself.
    pub kernel_table: KernelTable,
    /// Which interfaces do. Empty: those of the addresses.
    pub kernel_table_interfaces: Vec<String>,
    /// Where in the kernel that happens.
    pub kernel_table_xdp: Xdp,
    /// How large the ring of each worker is.
    pub uring_size: UringSize,
    /// Calls that one worker takes at most.
    pub calls_per_worker_max: usize,
    /// Packets a second that one port may bring; 0 is no limit.
    pub packets_per_port_max: u32,
    /// Sockets that each worker keeps when their calls are over.
    pub idle_per_worker_max: u32,
    /// Threads that transcode.
    pub codecs: PoolLimits,
}

/// Interfaces at most: each has all the ports, and sockets are counted by both.
const INTERFACES_MAX: usize = 16;

/// The name of an interface that has none.
const NAME_DEFAULT: &str = "default";

/// Somewhere far away (RFC 5737), to ask which of our addresses leads there. Nothing is sent.
const FAR_AWAY: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

impl Config {
    /// Checks what the file says.
    ///
    /// # Errors
    ///
    /// Names the key, its line and the cure.
    pub fn check(loaded: &Loaded) -> Result<Self, SettingsError> {
        let file = &loaded.file.relay;
        let cores = cores(loaded)?;
        check_dscp(loaded)?;
        let workers = match file.workers {
            // More cores than a partition can number are not all used.
            0 => u8::try_from(cores.len().max(1)).unwrap_or(u8::MAX),
            workers => workers,
        };
        if file.calls_per_worker_max == 0 {
            return Err(loaded.wrong(
                "relay.calls_per_worker_max",
                "no call could be made",
                "the default is 10000",
            ));
        }
        let partition = partition(loaded, workers)?;
        let (interfaces, tos) = interfaces(loaded, partition)?.into_iter().unzip();
        Ok(Self {
            socket_path: loaded.relay_socket(),
            interfaces,
            tos,
            partition,
            cores,
            driver: file.driver,
            kernel_table: file.kernel_table,
            kernel_table_interfaces: file.kernel_table_interfaces.clone(),
            kernel_table_xdp: file.kernel_table_xdp,
            uring_size: UringSize::default().with_batch_wait(batch_wait(loaded)?),
            packets_per_port_max: file.packets_per_port_max,
            idle_per_worker_max: file.idle_sockets_max / u32::from(partition.workers()),
            codecs: PoolLimits {
                threads: codec_threads(file.codec_threads, partition.workers()),
                flows_max: CODEC_FLOWS_MAX,
                refuses_when_busy: true,
            },
            calls_per_worker_max: usize::try_from(file.calls_per_worker_max).unwrap_or(usize::MAX),
        })
    }
}

/// Flows of one codec thread: ten times what it has time for, if they are Opus.
const CODEC_FLOWS_MAX: usize = 4_096;

/// One thread for each core that has no worker, and for half of the cores at least: workers leave
/// much of the time of their cores, and go first.
fn codec_threads(wanted: Option<u8>, workers: u8) -> usize {
    let cores = affinity::cores().len().max(1);
    let free = cores.saturating_sub(workers.into());
    wanted.map_or_else(|| free.max(cores.div_ceil(2)), usize::from)
}

/// Longer than this, a wait is heard rather than saved.
const BATCH_WAIT_US_MAX: u32 = 5_000;

fn batch_wait(loaded: &Loaded) -> Result<Duration, SettingsError> {
    let wait_us = loaded.file.relay.batch_wait_us;
    if wait_us > BATCH_WAIT_US_MAX {
        let problem = format!("{wait_us} is over {BATCH_WAIT_US_MAX}");
        let cure = "a few hundred are enough; the default is 300";
        return Err(loaded.wrong("relay.batch_wait_us", problem, cure));
    }
    Ok(Duration::from_micros(wait_us.into()))
}

/// The cores that the workers are pinned to.
fn cores(loaded: &Loaded) -> Result<Vec<usize>, SettingsError> {
    let ours = affinity::cores();
    let wanted = &loaded.file.relay.cores;
    if wanted.is_empty() {
        return Ok(ours);
    }
    for (index, core) in wanted.iter().enumerate() {
        if !ours.contains(core) {
            return Err(loaded.wrong(
                &format!("relay.cores[{index}]"),
                format!("core {core} is not one that this process may use"),
                &format!("it may use {ours:?}"),
            ));
        }
    }
    Ok(wanted.clone())
}

fn partition(loaded: &Loaded, workers: u8) -> Result<PortPartition, SettingsError> {
    let [first, last] = loaded.file.relay.ports;
    PortPartition::new(first, last, workers).map_err(|error| {
        let cure = match error {
            PartitionError::First(_) => "for example [30000, 39999]",
            PartitionError::TooFew { .. } => {
                "a call takes four ports or more; the default is [30000, 39999]"
            }
        };
        loaded.wrong("relay.ports", error.to_string(), cure)
    })
}

/// The largest code point: six bits.
const DSCP_MAX: u8 = 63;

/// A code point as it stands in the type of service: above the two bits of ECN.
const fn tos_of(dscp: u8) -> u8 {
    dscp << 2
}

fn check_dscp(loaded: &Loaded) -> Result<(), SettingsError> {
    let dscp = loaded.file.relay.dscp;
    if dscp > DSCP_MAX {
        let problem = format!("{dscp} is over {DSCP_MAX}");
        let cure = "46 is for voice (RFC 4594); a TOS of 184 is 46 here";
        return Err(loaded.wrong("relay.dscp", problem, cure));
    }
    Ok(())
}

/// The interfaces, each with its type of service.
fn interfaces(
    loaded: &Loaded,
    partition: PortPartition,
) -> Result<Vec<(Interface, u8)>, SettingsError> {
    let texts = &loaded.file.relay.interfaces;
    let tos = tos_of(loaded.file.relay.dscp);
    if texts.is_empty() {
        let interface = Interface {
            name: NAME_DEFAULT.to_owned(),
            address: address_of_default_route(),
            advertised: None,
            ports: None,
        };
        return Ok(vec![(interface, tos)]);
    }
    if texts.len() > INTERFACES_MAX {
        let problem = format!("at most {INTERFACES_MAX} are possible");
        return Err(loaded.wrong("relay.interfaces", problem, ""));
    }
    let mut interfaces: Vec<(Interface, u8)> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let wrong = |problem: String, cure| {
            loaded.wrong(&format!("relay.interfaces[{index}]"), problem, cure)
        };
        let (interface, dscp) = parse_interface(text).map_err(|problem| {
            wrong(
                problem,
                "write it as NAME=ADDRESS or NAME=ADDRESS!ADVERTISED; \
                 ;dscp=46 and ;ports=30000-34999 may follow",
            )
        })?;
        check_ports(&interface, partition).map_err(|problem| {
            wrong(
                problem,
                "each worker has a part of relay.ports, and needs two ports of the interface in it",
            )
        })?;
        let mut others = interfaces.iter().map(|(it, _)| it);
        if let Some(problem) = others.find_map(|it| clash(it, &interface)) {
            let cure = "one address may have several names, which share its ports or divide them";
            return Err(wrong(problem, cure));
        }
        interfaces.push((interface, dscp.map_or(tos, tos_of)));
    }
    Ok(interfaces)
}

/// Why two interfaces cannot be there together. Those of one address share their ports, or have
/// none in common: whoever counts them knows no third way.
fn clash(one: &Interface, other: &Interface) -> Option<String> {
    if one.address != other.address {
        return None;
    }
    if one.name == other.name {
        return Some(format!("{} is there twice as {}", one.address, one.name));
    }
    let overlaps = match (one.ports, other.ports) {
        (Some([first, last]), Some([from, to])) => first <= to && from <= last,
        _ => true,
    };
    (one.ports != other.ports && overlaps).then(|| {
        let (name, address) = (&one.name, one.address);
        format!("{address} is {name}, too, which has some of these ports and others besides")
    })
}

/// The interface has ports of each worker.
fn check_ports(interface: &Interface, partition: PortPartition) -> Result<(), String> {
    let Some([first, last]) = interface.ports else {
        return Ok(());
    };
    for worker in 0..partition.workers() {
        let slice = partition.slice(WorkerId(worker));
        let slice = slice.ok_or("there is no such worker")?;
        let (from, to) = (first.max(*slice.start()), last.min(*slice.end()));
        if from >= to {
            return Err(format!(
                "{first}-{last} has no ports of worker {worker}, which are {}-{}",
                slice.start(),
                slice.end()
            ));
        }
    }
    Ok(())
}

/// Reads `NAME=ADDRESS!ADVERTISED;dscp=N;ports=FIRST-LAST`, of which only the address must be
/// there; with its code point.
fn parse_interface(text: &str) -> Result<(Interface, Option<u8>), String> {
    let mut parts = text.split(';');
    let text = parts.next().unwrap_or("");
    let (mut dscp, mut ports) = (None, None);
    for part in parts {
        match part
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
        {
            Some(("dscp", value)) => dscp = Some(parse_dscp(value)?),
            Some(("ports", value)) => ports = Some(parse_ports(value)?),
            _ => return Err(format!("{part:?} is neither dscp= nor ports=")),
        }
    }
    let interface = parse_addresses(text, ports)?;
    Ok((interface, dscp))
}

fn parse_dscp(text: &str) -> Result<u8, String> {
    let dscp = text.parse().ok().filter(|it| *it <= DSCP_MAX);
    dscp.ok_or_else(|| format!("{text:?} is no number from 0 to {DSCP_MAX}"))
}

fn parse_ports(text: &str) -> Result<[u16; 2], String> {
    let ports = text.split_once('-').and_then(|(first, last)| {
        let ports = [first.trim().parse().ok()?, last.trim().parse().ok()?];
        (ports[0] < ports[1] && ports[0] % 2 == 0).then_some(ports)
    });
    ports.ok_or_else(|| format!("{text:?} is no range of ports that begins with an even one"))
}

fn parse_addresses(text: &str, ports: Option<[u16; 2]>) -> Result<Interface, String> {
    let (name, addresses) = text.split_once('=').unwrap_or((NAME_DEFAULT, text));
    let (address, advertised) = match addresses.split_once('!') {
        Some((address, advertised)) => (address, Some(advertised)),
        None => (addresses, None),
    };
    let name = name.trim();
    if name.is_empty() {
        return Err(format!("{text:?} has an empty name"));
    }
    let address = parse_address(address)?;
    let advertised = advertised.map(parse_address).transpose()?;
    if advertised.is_some_and(|it| it.is_ipv4() != address.is_ipv4()) {
        return Err(format!("{text:?} advertises an address of another family"));
    }
    Ok(Interface {
        name: name.to_owned(),
        address,
        advertised,
        ports,
    })
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    let text = text.trim();
    let address: IpAddr = text
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .map_err(|_| format!("{text:?} is no IP address"))?;
    if address.is_unspecified() || address.is_multicast() {
        // Peers are told this address, and a packet must leave from where it is expected.
        return Err(format!("{address} is not one address of this host"));
    }
    Ok(address)
}

/// The address that packets to far away leave from, or else loopback.
fn address_of_default_route() -> IpAddr {
    let local = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect(FAR_AWAY).map(|()| socket))
        .and_then(|socket| socket.local_addr());
    match local {
        Ok(local) if !local.ip().is_unspecified() => local.ip(),
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn check(relay: &str) -> Result<Config, String> {
        let text = format!("[relay]\n{relay}\n");
        let loaded = Loaded::parse(Path::new("/etc/tandem.toml"), &text).unwrap();
        Config::check(&loaded).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_fine() {
        let config = check("").unwrap();
        assert_eq!(config.interfaces.len(), 1);
        assert_eq!(usize::from(config.partition.workers()), config.cores.len());
    }

    #[test]
    fn reads_interfaces_in_every_form() {
        let config = check(
            r#"interfaces = ["127.0.0.1", "lan=10.0.0.1", "wan = 10.0.0.2!203.0.113.9;dscp=34",
            "six=[2001:db8::1] ; ports = 30000-39998; dscp=0"]"#,
        )
        .unwrap();
        let names: Vec<_> = config
            .interfaces
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        assert_eq!(names, ["default", "lan", "wan", "six"]);
        let advertised = "203.0.113.9".parse().unwrap();
        assert_eq!(config.interfaces[2].advertised, Some(advertised));
        assert!(config.interfaces[3].address.is_ipv6());
        let ports: Vec<_> = config.interfaces.iter().map(|it| it.ports).collect();
        assert_eq!(ports, [None, None, None, Some([30_000, 39_998])]);
        assert_eq!(config.tos, [184, 184, 136, 0]);
    }

    #[test]
    fn one_address_may_have_several_names() {
        let config = check(r#"interfaces = ["lan=10.0.0.1", "wan=10.0.0.1!203.0.113.9"]"#);
        assert_eq!(config.unwrap().interfaces.len(), 2);
        let apart = r#"
            workers = 1
            interfaces = ["a=10.0.0.1;ports=30000-30999", "b=10.0.0.1;ports=31000-31999"]"#;
        assert_eq!(check(apart).unwrap().interfaces.len(), 2);
    }

    #[test]
    fn names_key_and_line_of_a_mistake() {
        let mistakes = [
            (r#"interfaces = ["lan=nowhere"]"#, "relay.interfaces[0]"),
            (r#"interfaces = ["0.0.0.0"]"#, "relay.interfaces[0]"),
            (
                r#"interfaces = ["10.0.0.1!2001:db8::1"]"#,
                "relay.interfaces[0]",
            ),
            (
                r#"interfaces = ["a=10.0.0.1", "a=10.0.0.1!203.0.113.9"]"#,
                "relay.interfaces[1]",
            ),
            (
                r#"interfaces = ["10.0.0.1", "a=10.0.0.1;ports=30000-34999"]"#,
                "relay.interfaces[1]",
            ),
            (
                r#"interfaces = ["10.0.0.1;dscp=64"]"#,
                "relay.interfaces[0]",
            ),
            (r#"interfaces = ["10.0.0.1;mtu=9"]"#, "relay.interfaces[0]"),
            (
                r#"interfaces = ["10.0.0.1;ports=30001-30999"]"#,
                "relay.interfaces[0]",
            ),
            (
                r#"interfaces = ["10.0.0.1;ports=50000-50999"]"#,
                "relay.interfaces[0]",
            ),
            ("dscp = 184", "relay.dscp"),
            ("ports = [30001, 30999]", "relay.ports"),
            ("ports = [30000, 30001]\nworkers = 2", "relay.ports"),
            ("cores = [9999]", "relay.cores[0]"),
            ("calls_per_worker_max = 0", "relay.calls_per_worker_max"),
            ("batch_wait_us = 5001", "relay.batch_wait_us"),
        ];
        for (text, key) in mistakes {
            let error = check(text).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
            assert!(error.contains("tandem.toml:2"), "{text}: {error}");
        }
    }
}
