//! The relay's settings: what the file says, checked.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use relay_wire::{Interface, PartitionError, PortPartition};
use tandem_settings::{Driver, Loaded, SettingsError};

use crate::affinity;
use crate::io::UringSize;

/// The settings, checked: a value of this type cannot be wrong, but for what only the system can
/// say (an address that is not ours, a port that is taken).
#[derive(Clone, Debug)]
pub struct Config {
    /// The socket that control connects to.
    pub socket_path: PathBuf,
    /// Where media is received: one at least.
    pub interfaces: Vec<Interface>,
    /// Which worker has which ports, and so how many workers there are.
    pub partition: PortPartition,
    /// The core of each worker, as the system numbers them. Empty: they are not pinned.
    pub cores: Vec<usize>,
    /// How sockets are read and written.
    pub driver: Driver,
    /// How large the ring of each worker is.
    pub uring_size: UringSize,
    /// Calls that one worker takes at most.
    pub calls_per_worker_max: usize,
    /// Packets a second that one port may bring; 0 is no limit.
    pub packets_per_port_max: u32,
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
        Ok(Self {
            socket_path: loaded.relay_socket(),
            interfaces: interfaces(loaded)?,
            partition: partition(loaded, workers)?,
            cores,
            driver: file.driver,
            uring_size: UringSize::default().with_batch_wait(batch_wait(loaded)?),
            packets_per_port_max: file.packets_per_port_max,
            calls_per_worker_max: usize::try_from(file.calls_per_worker_max).unwrap_or(usize::MAX),
        })
    }
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

fn interfaces(loaded: &Loaded) -> Result<Vec<Interface>, SettingsError> {
    let texts = &loaded.file.relay.interfaces;
    if texts.is_empty() {
        return Ok(vec![Interface {
            name: NAME_DEFAULT.to_owned(),
            address: address_of_default_route(),
            advertised: None,
        }]);
    }
    if texts.len() > INTERFACES_MAX {
        let problem = format!("at most {INTERFACES_MAX} are possible");
        return Err(loaded.wrong("relay.interfaces", problem, ""));
    }
    let mut interfaces: Vec<Interface> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let wrong = |problem: String, cure| {
            loaded.wrong(&format!("relay.interfaces[{index}]"), problem, cure)
        };
        let interface = parse_interface(text).map_err(|problem| {
            wrong(
                problem,
                "write it as NAME=ADDRESS or NAME=ADDRESS!ADVERTISED",
            )
        })?;
        if interfaces.iter().any(|it| it.address == interface.address) {
            let problem = format!("{} is there twice", interface.address);
            return Err(wrong(problem, "each address can be one interface"));
        }
        interfaces.push(interface);
    }
    Ok(interfaces)
}

/// Reads `NAME=ADDRESS!ADVERTISED`, of which only the address must be there.
fn parse_interface(text: &str) -> Result<Interface, String> {
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
            r#"interfaces = ["127.0.0.1", "lan=10.0.0.1", "wan = 10.0.0.2!203.0.113.9", "six=[2001:db8::1]"]"#,
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
                r#"interfaces = ["10.0.0.1", "a=10.0.0.1"]"#,
                "relay.interfaces[1]",
            ),
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
