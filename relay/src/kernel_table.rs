//! The kernel's table of flows: on which interfaces it works, and what the core sees of it.
//!
//! The table itself, with the programs that use it, is [`relay_xdp`]'s.

mod cure;
mod watch;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use relay_core::{KernelCounts, KernelFlow, KernelSlot, KernelTable};
use relay_wire::{InterfaceId, Port, WorkerId};
use relay_xdp::{Flow, Interface, OpenError, Options, Place, Share, Slot, Table};
use rustix::net::netdevice::name_to_index;
use tandem_settings::{KernelTable as Mode, Xdp};
use tracing::{info, warn};

use crate::config::Config;
use cure::Host;
pub(crate) use watch::Watch;

/// Why the kernel does not forward.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelTableError {
    /// Nothing comes in from outside.
    #[error("none of relay.interfaces is an address that others reach")]
    NoAddress,
    /// No interface that it could work on.
    #[error("no network interface has the addresses of relay.interfaces, but for virtual ones")]
    NoInterface,
    /// An interface that is named in the settings is not there.
    #[error("relay.kernel_table_interfaces: {name}: {source}")]
    Interface {
        /// As configured.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Behind the driver a program does not see which VLAN a frame is of.
    #[error(
        "{0} is a VLAN or has some. Their calls are for sockets: leave it out of \
         relay.kernel_table_interfaces, or, if it is not one itself and its driver can, set \
         relay.kernel_table_xdp = \"native\""
    )]
    Vlan(String),
    /// The kernel refuses.
    #[error("{source}. {cure}")]
    Open {
        /// What it refuses.
        source: OpenError,
        /// What to do about it.
        cure: String,
    },
}

/// A network interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Nic {
    name: String,
    index: u32,
    /// A pair of ends within this machine. What a program in its driver sends arrives only if the
    /// other end runs one, too.
    is_virtual: bool,
    vlan: Vlan,
}

/// What an interface has to do with VLANs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Vlan {
    None,
    /// Others are VLANs on it.
    Below,
    /// It is one.
    Is,
}

impl Nic {
    fn interface(&self, wanted: Xdp) -> Result<Interface, KernelTableError> {
        let wanted = match wanted {
            Xdp::Native => Place::Native,
            Xdp::Generic => Place::Generic,
            Xdp::Auto if self.is_virtual => Place::Generic,
            Xdp::Auto => Place::Any,
        };
        let place = match (self.vlan, wanted) {
            (Vlan::None, wanted) => wanted,
            // The tag is beside the frame there, and would be on what is sent back.
            (Vlan::Below, Place::Any | Place::Native) => Place::Native,
            (Vlan::Below, Place::Generic) | (Vlan::Is, _) => {
                return Err(KernelTableError::Vlan(self.name.clone()));
            }
        };
        Ok(Interface {
            index: self.index,
            is_virtual: self.is_virtual,
            place,
        })
    }
}

/// What one worker's core sees of the table.
#[derive(Debug)]
pub(crate) struct KernelFlows {
    share: Share,
    /// By [`InterfaceId`].
    addresses: Vec<IpAddr>,
}

/// The table, and where it works.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) table: Arc<Table>,
    pub(crate) nics: Vec<Nic>,
}

/// Makes the table as the settings say; `None`: there is none.
pub(crate) fn open(config: &Config) -> Result<Option<Opened>, KernelTableError> {
    if config.kernel_table == Mode::Off {
        return Ok(None);
    }
    match try_open(config) {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if config.kernel_table == Mode::On => Err(error),
        Err(error) => {
            warn!(%error, "the kernel forwards nothing by itself: all media goes through sockets");
            Ok(None)
        }
    }
}

fn try_open(config: &Config) -> Result<Opened, KernelTableError> {
    let addresses: Vec<_> = addresses(config);
    if addresses.is_empty() {
        return Err(KernelTableError::NoAddress);
    }
    let nics = nics(config, &addresses)?;
    if nics.is_empty() {
        return Err(KernelTableError::NoInterface);
    }
    let partition = config.partition;
    let slice = |worker| partition.slice(WorkerId(worker));
    let (first, last) = (slice(0), slice(partition.workers().saturating_sub(1)));
    let ports = first
        .zip(last)
        .map(|(first, last)| *first.start()..=*last.end());
    let interfaces = nics.iter().map(|it| it.interface(config.kernel_table_xdp));
    let interfaces: Result<_, _> = interfaces.collect();
    let options = Options {
        addresses,
        ports: ports.ok_or(KernelTableError::NoAddress)?,
        interfaces: interfaces?,
        packets_max: config.packets_per_port_max,
    };
    let table = Table::open(&options).map_err(|source| KernelTableError::Open {
        cure: cure::cure(&source, &nics, &Host::here()),
        source,
    })?;
    let of = |is_generic: bool| {
        let is_one = |it: &&Nic| table.generic().any(|index| index == it.index) == is_generic;
        let nics = nics.iter().filter(is_one).map(|it| it.name.as_str());
        nics.collect::<Vec<_>>()
    };
    info!(native = ?of(false), generic = ?of(true), "the kernel forwards plain calls by itself");
    Ok(Opened { table, nics })
}

/// Addresses of ours that packets from elsewhere come to.
fn addresses(config: &Config) -> Vec<IpAddr> {
    let addresses = config.interfaces.iter().map(|it| it.address);
    addresses.filter(|it| !it.is_loopback()).collect()
}

fn nics(config: &Config, addresses: &[IpAddr]) -> Result<Vec<Nic>, KernelTableError> {
    let names = &config.kernel_table_interfaces;
    if !names.is_empty() {
        return names.iter().map(|it| nic(it)).collect();
    }
    let mut nics: Vec<Nic> = Vec::new();
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        let is_ours = addresses.contains(&interface.ip());
        if is_ours && nics.iter().all(|it| it.name != interface.name) {
            nics.push(nic(&interface.name)?);
        }
    }
    let is_daring = config.kernel_table == Mode::On || config.kernel_table_xdp != Xdp::Native;
    nics.retain(|it| is_daring || !it.is_virtual);
    Ok(nics)
}

fn nic(name: &str) -> Result<Nic, KernelTableError> {
    let failed = |source| KernelTableError::Interface {
        name: name.to_owned(),
        source,
    };
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let index = name_to_index(&socket, name).map_err(|errno| failed(errno.into()))?;
    // What has no driver is no hardware either; the kernel says what it thinks of it.
    let driver = relay_xdp::driver_of(name).unwrap_or_default();
    Ok(Nic {
        name: name.to_owned(),
        index,
        is_virtual: driver == "veth",
        vlan: match () {
            () if driver == VLAN_DRIVER => Vlan::Is,
            () if has_vlans(Path::new("/sys/class/net"), name) => Vlan::Below,
            () => Vlan::None,
        },
    })
}

/// How the kernel names it.
const VLAN_DRIVER: &str = "802.1Q VLAN Support";

/// Whether others are VLANs on an interface, by what the kernel shows of interfaces.
fn has_vlans(interfaces: &Path, name: &str) -> bool {
    let entries = fs::read_dir(interfaces.join(name));
    let mut entries = entries.into_iter().flatten().flatten();
    entries.any(|entry| {
        let above = entry.file_name();
        let above = above.to_str().and_then(|it| it.strip_prefix("upper_"));
        above.is_some_and(|it| {
            let text = fs::read_to_string(interfaces.join(it).join("uevent"));
            text.is_ok_and(|it| it.lines().any(|line| line == "DEVTYPE=vlan"))
        })
    })
}

impl KernelFlows {
    /// The part of one worker.
    pub(crate) fn new(table: &Arc<Table>, config: &Config, worker: u8) -> Self {
        Self {
            share: table.share(worker, config.partition.workers()),
            addresses: config.interfaces.iter().map(|it| it.address).collect(),
        }
    }

    fn end(&self, port: Port) -> Option<SocketAddr> {
        let InterfaceId(interface) = port.interface;
        let address = self.addresses.get(usize::from(interface))?;
        Some(SocketAddr::new(*address, port.number))
    }
}

impl KernelTable for KernelFlows {
    fn install(&mut self, now: Instant, flow: &KernelFlow) -> Option<KernelSlot> {
        let flow = Flow {
            peer: flow.peer,
            arrives_at: self.end(flow.ingress)?,
            leaves_from: self.end(flow.egress)?,
            to: flow.to,
            ssrc: flow.ssrc,
            payload_type: flow.payload_type,
            tick: flow.tick,
            highest: flow.highest,
            seen: flow.seen,
            jitter: flow.jitter,
        };
        let Slot(slot) = self.share.install(now, &flow)?;
        Some(KernelSlot(slot))
    }

    fn take_out(&mut self, now: Instant, KernelSlot(slot): KernelSlot) {
        self.share.take_out(now, Slot(slot));
    }

    fn read(&self, KernelSlot(slot): KernelSlot) -> KernelCounts {
        let counts = self.share.read(Slot(slot));
        KernelCounts {
            packets: counts.packets,
            bytes: counts.bytes,
            idle: counts.idle,
            highest: counts.highest,
            seen: counts.seen,
            jitter: counts.jitter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(is_virtual: bool, vlan: Vlan) -> Nic {
        Nic {
            name: "eth0".to_owned(),
            index: 2,
            is_virtual,
            vlan,
        }
    }

    #[test]
    fn behind_the_driver_nothing_runs_where_frames_have_tags() {
        let place = |nic: Nic, wanted| nic.interface(wanted).map(|it| it.place).ok();
        for (is_virtual, wanted, alone, with_vlans) in [
            (false, Xdp::Auto, Place::Any, Some(Place::Native)),
            (false, Xdp::Native, Place::Native, Some(Place::Native)),
            (false, Xdp::Generic, Place::Generic, None),
            (true, Xdp::Auto, Place::Generic, None),
            (true, Xdp::Native, Place::Native, Some(Place::Native)),
        ] {
            assert_eq!(place(nic(is_virtual, Vlan::None), wanted), Some(alone));
            assert_eq!(place(nic(is_virtual, Vlan::Below), wanted), with_vlans);
            assert_eq!(place(nic(is_virtual, Vlan::Is), wanted), None);
        }
    }

    #[test]
    fn vlans_are_seen_by_what_is_above() {
        let folder = tempfile::tempdir().unwrap();
        let has = |name: &str| has_vlans(folder.path(), name);
        for (above, kind) in [("eth0.10", "vlan"), ("br0", "bridge")] {
            fs::create_dir(folder.path().join(above)).unwrap();
            let text = format!("DEVTYPE={kind}\nINTERFACE={above}\n");
            fs::write(folder.path().join(above).join("uevent"), text).unwrap();
        }
        fs::create_dir_all(folder.path().join("eth0/upper_br0")).unwrap();
        assert!(!has("eth0") && !has("eth1"));
        fs::create_dir(folder.path().join("eth0/upper_eth0.10")).unwrap();
        assert!(has("eth0"));
    }
}
