//! An interface, and the hosts that it reaches.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;

use super::frame::Hardware;
use crate::LoadError;

/// An interface of this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) index: i32,
    pub(crate) hardware: Hardware,
}

impl Interface {
    /// The interface of a name, in the namespace of this thread.
    pub(crate) fn find(name: &str) -> Result<Self, LoadError> {
        let found = getifaddrs().map_err(|error| {
            LoadError::system("list the interfaces")(io::Error::from_raw_os_error(error as i32))
        })?;
        let mut found = found.filter_map(|it| {
            let address = it.address.filter(|_| it.interface_name == name)?;
            let link = address.as_link_addr()?;
            Some((i32::try_from(link.ifindex()).ok()?, link.addr()?))
        });
        let (index, hardware) = found
            .next()
            .ok_or_else(|| LoadError::Option(format!("there is no Ethernet interface {name}")))?;
        Ok(Self {
            name: name.to_owned(),
            index,
            hardware,
        })
    }

    /// The hardware address of a host on the same link, as the kernel knows it.
    pub(crate) fn neighbour(&self, ip: Ipv4Addr) -> Result<Hardware, LoadError> {
        let path = "/proc/thread-self/net/arp";
        let text = fs::read_to_string(path).map_err(LoadError::system(format!("read {path}")))?;
        neighbour(&text, ip, &self.name).ok_or_else(|| {
            let name = &self.name;
            LoadError::Option(format!(
                "{ip} is not known as a neighbour on {name}: whole frames reach hosts on the same \
                 link only (to make it known: ip neigh replace {ip} lladdr … dev {name})"
            ))
        })
    }
}

/// What `/proc/net/arp` says of a host: address, type, flags, hardware address, mask, interface.
fn neighbour(text: &str, ip: Ipv4Addr, interface: &str) -> Option<Hardware> {
    text.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[address, _, flags, hardware, _, name] = words.as_slice() else {
            return None;
        };
        let is_it = address.parse() == Ok(ip) && name == interface;
        // Of one that does not answer the kernel says 0x0.
        hardware_address(hardware).filter(|_| is_it && flags != "0x0")
    })
}

fn hardware_address(text: &str) -> Option<Hardware> {
    let mut hardware = Hardware::default();
    let mut parts = text.split(':');
    for byte in &mut hardware {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(hardware)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARP: &str = "\
IP address       HW type     Flags       HW address            Mask     Device
10.99.0.2        0x1         0x6         02:00:0a:63:00:02     *        v0
10.99.0.3        0x1         0x0         00:00:00:00:00:00     *        v0
10.99.0.4        0x1         0x2         02:00:0a:63:00:ff     *        v1
";

    #[test]
    fn neighbours_are_those_of_the_interface_that_answer() {
        let on_v0 = |last| neighbour(ARP, Ipv4Addr::new(10, 99, 0, last), "v0");
        assert_eq!(on_v0(2), Some([2, 0, 10, 99, 0, 2]));
        assert_eq!([on_v0(3), on_v0(4), on_v0(5)], [None; 3]);
        let on_v1 = neighbour(ARP, Ipv4Addr::new(10, 99, 0, 4), "v1");
        assert_eq!(on_v1, Some([2, 0, 10, 99, 0, 255]));
    }

    #[test]
    fn hardware_addresses_have_six_bytes() {
        assert_eq!(
            hardware_address("00:01:02:03:04:ff"),
            Some([0, 1, 2, 3, 4, 255])
        );
        for wrong in [
            "",
            "00:01:02:03:04",
            "00:01:02:03:04:05:06",
            "00:01:02:03:04:x5",
        ] {
            assert_eq!(hardware_address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_that_is_not_there_is_told() {
        let error = Interface::find("no-such-if0").unwrap_err();
        assert!(error.to_string().contains("no-such-if0"), "{error}");
    }
}
