//! The way of a packet: device, queue, interrupt, backlog, socket.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::super::facts::{Conntrack, Device, Interrupt, Network, Settings};
use super::super::parse;
use super::{Host, Wanted, address_of};

/// What a firewall that follows connections says of itself.
const NETFILTER: &str = "proc/sys/net/netfilter";

impl Host {
    /// Everything between the wire and the daemons' sockets.
    pub(super) fn network(&self, wanted: &Wanted<'_>, settings: &Settings) -> Network {
        let ports = |path: &str| -> Vec<[u16; 2]> {
            let text = self.text(path).unwrap_or_default();
            let port = |it: usize| u16::try_from(it).ok();
            let ranges = parse::ranges(&text.trim().replace('\t', "-"));
            let range = |[first, last]: [usize; 2]| Some([port(first)?, port(last)?]);
            ranges.into_iter().filter_map(range).collect()
        };
        Network {
            receive_buffer_max: self.number("proc/sys/net/core/rmem_max"),
            ephemeral_ports: ports("proc/sys/net/ipv4/ip_local_port_range")
                .first()
                .copied(),
            reserved_ports: ports("proc/sys/net/ipv4/ip_local_reserved_ports"),
            udp: self
                .text("proc/net/snmp")
                .as_deref()
                .and_then(parse::udp_counts),
            socket_drops: self.socket_drops(wanted, settings),
            softnet: parse::softnet(&self.text("proc/net/softnet_stat").unwrap_or_default()),
            conntrack: self.conntrack(),
            devices: self.media_devices(wanted),
            has_irqbalance: self.runs("irqbalance"),
        }
    }

    fn socket_drops(&self, wanted: &Wanted<'_>, settings: &Settings) -> BTreeMap<String, u64> {
        let [first, last] = settings.ports;
        let mut drops = BTreeMap::new();
        for file in ["proc/net/udp", "proc/net/udp6"] {
            let text = self.text(file).unwrap_or_default();
            for (port, count) in parse::udp_sockets(&text).filter(|(_, count)| *count > 0) {
                let owner = if (first..=last).contains(&port) {
                    "media"
                } else if wanted.control_ports.contains(&port) {
                    "ng"
                } else if wanted.sip_ports.contains(&port) {
                    "SIP"
                } else {
                    continue;
                };
                *drops.entry(owner.to_owned()).or_insert(0) += count;
            }
        }
        drops
    }

    fn conntrack(&self) -> Option<Conntrack> {
        Some(Conntrack {
            count: self.number(&format!("{NETFILTER}/nf_conntrack_count"))?,
            max: self.number(&format!("{NETFILTER}/nf_conntrack_max"))?,
        })
    }

    /// The devices that lead to the interfaces of the settings, each once.
    fn media_devices(&self, wanted: &Wanted<'_>) -> Vec<Device> {
        let routes = self.routes();
        let interfaces = &wanted.file.relay.interfaces;
        let mut names: Vec<String> = match interfaces.is_empty() {
            true => self
                .device_of(&routes, Ipv4Addr::UNSPECIFIED)
                .into_iter()
                .collect(),
            false => interfaces
                .iter()
                .filter_map(|it| self.device_of_interface(&routes, it))
                .collect(),
        };
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| self.device(name)).collect()
    }

    fn device_of_interface(&self, routes: &[Route], interface: &str) -> Option<String> {
        match address_of(interface)? {
            IpAddr::V4(address) if address.is_loopback() => Some("lo".to_owned()),
            IpAddr::V4(address) => self.device_of(routes, address),
            IpAddr::V6(address) => {
                let wanted = format!("{:032x}", u128::from(address));
                let text = self.text("proc/net/if_inet6")?;
                let line = text.lines().find(|line| line.starts_with(&wanted))?;
                Some(line.split_whitespace().next_back()?.to_owned())
            }
        }
    }

    /// The device of the narrowest route that an address is in.
    fn device_of(&self, routes: &[Route], address: Ipv4Addr) -> Option<String> {
        let address = u32::from(address);
        let fits = routes
            .iter()
            .filter(|route| address & route.mask == route.network);
        fits.max_by_key(|route| route.mask)
            .map(|route| route.device.clone())
    }

    fn routes(&self) -> Vec<Route> {
        let text = self.text("proc/net/route").unwrap_or_default();
        let route = |line: &str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            // Addresses stand there as the machine keeps them in memory.
            let hex = |at: usize| {
                u32::from_str_radix(columns.get(at)?, 16)
                    .ok()
                    .map(u32::from_be)
            };
            Some(Route {
                device: (*columns.first()?).to_owned(),
                network: hex(1)?,
                mask: hex(7)?,
            })
        };
        text.lines().skip(1).filter_map(route).collect()
    }

    fn device(&self, name: String) -> Device {
        let folder = format!("sys/class/net/{name}");
        let queues = self.names(&format!("{folder}/queues"));
        let queues: Vec<&String> = queues.iter().filter(|it| it.starts_with("rx-")).collect();
        let rps = queues.iter().flat_map(|queue| {
            let mask = self.text(&format!("{folder}/queues/{queue}/rps_cpus"));
            parse::mask(&mask.unwrap_or_default())
        });
        let mut rps_cores: Vec<usize> = rps.collect();
        rps_cores.sort_unstable();
        rps_cores.dedup();
        Device {
            driver: self.link(&format!("{folder}/device/driver")),
            receive_queues: queues.len(),
            rps_cores,
            interrupts: self.interrupts(&name),
            name,
        }
    }

    /// The interrupts of a device's receive queues.
    fn interrupts(&self, device: &str) -> Vec<Interrupt> {
        // virtio names them after its own device, mlx5 after the slot of the bus.
        let link = self.link(&format!("sys/class/net/{device}/device"));
        let text = self.text("proc/interrupts").unwrap_or_default();
        let ours =
            parse::interrupts(&text).filter(|(_, name)| is_receive(name, device, link.as_deref()));
        let interrupt = |(number, name): (u32, &str)| Interrupt {
            number,
            name: name.to_owned(),
            cores: self.list(&format!("proc/irq/{number}/smp_affinity_list")),
        };
        ours.map(interrupt).collect()
    }

    fn runs(&self, comm: &str) -> bool {
        let names = self.names("proc");
        let mut pids = names.iter().filter(|it| it.parse::<u32>().is_ok());
        pids.any(|pid| self.word(&format!("proc/{pid}/comm")).as_deref() == Some(comm))
    }
}

/// A line of `/proc/net/route`.
#[derive(Debug)]
struct Route {
    device: String,
    network: u32,
    mask: u32,
}

/// Whether an interrupt's name is that of a receive queue of the device: `eth0-TxRx-3`,
/// `virtio2-input.0`, `mlx5_comp4@pci:0000:03:00.0`. Queues have numbers; other interrupts of a
/// device have none, or are called so.
fn is_receive(name: &str, device: &str, link: Option<&str>) -> bool {
    let after = |owner: &str| {
        // i40e puts its own name before.
        let own = name.split_once('-').map_or("", |(_, rest)| rest);
        let rest = name
            .strip_prefix(owner)
            .or_else(|| own.strip_prefix(owner))?;
        rest.starts_with(['-', '.']).then_some(rest)
    };
    let is_of = |owner: &str| {
        after(owner).is_some_and(|rest| {
            let lower = rest.to_ascii_lowercase();
            let is_other = ["output", "config", "-tx-"]
                .iter()
                .any(|it| lower.contains(it));
            lower.ends_with(|it: char| it.is_ascii_digit()) && !is_other
        })
    };
    let is_at = |slot: &str| name.contains("_comp") && name.ends_with(&format!("@pci:{slot}"));
    is_of(device) || link.is_some_and(|link| is_of(link) || is_at(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_told_from_other_interrupts() {
        for (name, link) in [
            ("eth0-TxRx-3", None),
            ("eth0-rx-0", None),
            ("i40e-eth0-TxRx-0", None),
            ("virtio2-input.0", Some("virtio2")),
            ("mlx5_comp4@pci:0000:03:00.0", Some("0000:03:00.0")),
        ] {
            assert!(is_receive(name, "eth0", link), "{name}");
        }
        for name in [
            "eth0",
            "eth01-TxRx-0",
            "eth0-tx-0",
            "virtio2-output.0",
            "virtio2-config",
            "virtio1-input.0",
        ] {
            assert!(!is_receive(name, "eth0", Some("virtio2")), "{name}");
        }
    }
}
