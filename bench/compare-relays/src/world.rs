//! The two surroundings that relays are measured in.
//!
//! ```text
//! sink       generator ──lo──► relay ──ifb──► nobody       the relay's core pays for the relay alone
//! two hosts  generator ══veth══ relay                      each side's interrupts on its own core
//! ```

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use tandem_load::rtp;

use crate::namespace::Namespace;

/// The cores that the two sides stay on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) load: usize,
    pub(crate) relay: usize,
}

/// A namespace with an interface on which what is sent is counted and thrown away.
#[derive(Debug)]
pub(crate) struct SinkWorld {
    pub(crate) namespace: Namespace,
}

impl SinkWorld {
    pub(crate) const DEVICE: &'static str = "sink0";
    pub(crate) const RELAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 98, 0, 1));
    pub(crate) const SINK: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 98, 0, 2));

    pub(crate) fn new(label: &str) -> Result<Self> {
        let namespace = Namespace::new(&format!("{label}-sink"))?;
        let device = Self::DEVICE;
        namespace
            .ip(&["link", "add", device, "type", "ifb"])
            .context("no interface of type ifb (kernel module ifb)")?;
        // Its chatter would be counted as media.
        namespace.set(&format!("net/ipv6/conf/{device}/disable_ipv6"), "1")?;
        namespace.ip(&["link", "set", device, "arp", "off", "up"])?;
        let address = format!("{}/24", Self::RELAY);
        namespace.ip(&["addr", "add", &address, "dev", device])?;
        Ok(Self { namespace })
    }

    /// Packets that have left. Asked from within.
    pub(crate) fn left() -> Result<u64> {
        let text = fs::read_to_string("/proc/thread-self/net/dev")?;
        rtp::arrived_at(&text, Self::DEVICE).context("the sink is gone")
    }
}

/// Two namespaces that are joined by a cable.
#[derive(Debug)]
pub(crate) struct TwoHosts {
    pub(crate) load: Namespace,
    pub(crate) relay: Namespace,
}

impl TwoHosts {
    pub(crate) const LOAD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
    pub(crate) const RELAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 2));
    /// Beyond the cable, too, but nobody: what is sent there is counted by the cable's end at the
    /// load's host, and dropped for its address before it costs much.
    pub(crate) const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 3));
    /// Where the generator's phones are when it sends whole frames: no host has this address, so
    /// that its host's stack drops what comes to it after the generator has had a copy.
    pub(crate) const PHONES: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 4));
    pub(crate) const DEVICE: &'static str = "v0";

    pub(crate) fn new(label: &str, cores: Cores) -> Result<Self> {
        let load = Namespace::new(&format!("{label}-load"))?;
        let relay = Namespace::new(&format!("{label}-relay"))?;
        let device = Self::DEVICE;
        let cable = format!(
            "link add {device} type veth peer name {device} netns {}",
            relay.name()
        );
        load.ip(&cable.split(' ').collect::<Vec<_>>())?;
        for (namespace, ip, core) in [
            (&load, Self::LOAD, cores.load),
            (&relay, Self::RELAY, cores.relay),
        ] {
            // Nothing but media is to be counted: no chatter of IPv6, and no ARP.
            namespace.set(&format!("net/ipv6/conf/{device}/disable_ipv6"), "1")?;
            namespace.ip(&["link", "set", device, "address", hardware_address(ip)])?;
            namespace.ip(&["addr", "add", &format!("{ip}/24"), "dev", device])?;
            namespace.ip(&["link", "set", device, "up"])?;
            // As the queue of a NIC would: what arrives is worked off on the side's own core.
            let path = format!("/sys/class/net/{device}/queues/rx-0/rps_cpus");
            namespace.write(&path, &mask(core))?;
        }
        for (namespace, others) in [
            (&load, &[Self::RELAY][..]),
            (&relay, &[Self::LOAD, Self::NOBODY, Self::PHONES]),
        ] {
            for ip in others {
                let (text, hardware) = (ip.to_string(), hardware_address(*ip));
                namespace.ip(&[
                    "neigh",
                    "replace",
                    &text,
                    "lladdr",
                    hardware,
                    "dev",
                    device,
                    "nud",
                    "permanent",
                ])?;
            }
        }
        Ok(Self { load, relay })
    }
}

/// Locally administered, and different for each.
fn hardware_address(ip: IpAddr) -> &'static str {
    match ip {
        TwoHosts::LOAD => "02:00:0a:63:00:01",
        TwoHosts::RELAY => "02:00:0a:63:00:02",
        TwoHosts::PHONES => "02:00:0a:63:00:04",
        _ => "02:00:0a:63:00:03",
    }
}

/// A set of one core as the kernel writes it: groups of 32, the highest first.
fn mask(core: usize) -> String {
    let mut text = format!("{:x}", 1_u32 << (core % 32));
    for _ in 0..core / 32 {
        text.push_str(",00000000");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_cores_are_written_as_the_kernel_reads_them() {
        assert_eq!(mask(0), "1");
        assert_eq!(mask(5), "20");
        assert_eq!(mask(33), "2,00000000");
    }
}
