//! From addresses as written to listeners: concrete, bound, with something to say in Via.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use if_addrs::{IfAddr, Interface};
use sip_proxy_core::{Listener, Transport};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::ListenAddress;

/// Listeners at most, once every unspecified address stands for each of the host's: what is
/// looked at in every turn.
const LISTENERS_MAX: usize = 256;

/// Bytes that the kernel keeps of datagrams not read yet: half a second of a burst of 10,000
/// messages a second. The kernel gives what `net.core.rmem_max` allows.
const RECEIVE_BUFFER_LEN: usize = 4 << 20;

/// Connections that the kernel keeps before they are accepted.
const BACKLOG: i32 = 512;

/// Why nothing can be received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The system says no.
    #[error("cannot listen on {}:{address}: {source}. {}", name(*transport), cure(source))]
    Bind {
        /// How.
        transport: Transport,
        /// Where.
        address: SocketAddr,
        /// The system's word for it.
        source: io::Error,
    },
    /// The addresses of this host cannot be read.
    #[error(
        "cannot read the addresses of this host: {0}. Name addresses in sip_proxy.listen instead of 0.0.0.0 or [::]"
    )]
    Interfaces(io::Error),
    /// An unspecified address stands for no address at all.
    #[error("sip_proxy.listen: this host has no address for {0}")]
    Nothing(SocketAddr),
    /// The host has more addresses than are served.
    #[error(
        "sip_proxy.listen: these are more than {LISTENERS_MAX} addresses. Name those that are wanted instead of 0.0.0.0 or [::]"
    )]
    TooMany,
}

/// A listener and its socket.
#[derive(Debug)]
pub(crate) struct Bound {
    pub listener: Listener,
    pub socket: BoundSocket,
}

#[derive(Debug)]
pub(crate) enum BoundSocket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// Opens a socket for each address.
pub(crate) fn bind(
    written: &[ListenAddress],
    advertise: Option<IpAddr>,
) -> Result<Vec<Bound>, ListenError> {
    let interfaces = if_addrs::get_if_addrs().map_err(ListenError::Interfaces)?;
    let mut listeners = expand(written, &interfaces)?;
    set_advertised(&mut listeners, advertise);
    listeners.into_iter().map(open).collect()
}

/// Replaces unspecified addresses by those of the host. Link-local ones are left out: what is
/// said in Via would mean another host on each link.
fn expand(
    written: &[ListenAddress],
    interfaces: &[Interface],
) -> Result<Vec<Listener>, ListenError> {
    let mut listeners: Vec<Listener> = Vec::new();
    for entry in written {
        let before = listeners.len();
        for address in concrete(entry.address, interfaces) {
            let is_new = |listener: &Listener| {
                (listener.transport, listener.address) != (entry.transport, address)
            };
            if address.port() == 0 || listeners.iter().all(is_new) {
                listeners.push(Listener {
                    transport: entry.transport,
                    address,
                    prefix_len: prefix_len(address.ip(), interfaces),
                    advertised: None,
                });
            }
        }
        let stands_for_nothing = listeners.len() == before && entry.address.ip().is_unspecified();
        if stands_for_nothing && !covers(&listeners, entry) {
            return Err(ListenError::Nothing(entry.address));
        }
    }
    if listeners.len() > LISTENERS_MAX {
        return Err(ListenError::TooMany);
    }
    Ok(listeners)
}

/// Whether each address of the entry was named by another one before.
fn covers(listeners: &[Listener], entry: &ListenAddress) -> bool {
    listeners.iter().any(|listener| {
        listener.transport == entry.transport
            && listener.address.is_ipv4() == entry.address.is_ipv4()
            && listener.address.port() == entry.address.port()
    })
}

fn concrete(address: SocketAddr, interfaces: &[Interface]) -> Vec<SocketAddr> {
    if !address.ip().is_unspecified() {
        return vec![address];
    }
    interfaces
        .iter()
        .map(Interface::ip)
        .filter(|ip| ip.is_ipv4() == address.is_ipv4() && !is_link_local(*ip))
        .map(|ip| SocketAddr::new(ip, address.port()))
        .collect()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Bits of the network around an address; of a host alone if no interface has it.
fn prefix_len(address: IpAddr, interfaces: &[Interface]) -> u8 {
    let host = if address.is_ipv4() { 32 } else { 128 };
    interfaces
        .iter()
        .find(|interface| interface.ip() == address || is_in_loopback(address, interface))
        .and_then(|interface| match &interface.addr {
            IfAddr::V4(v4) => u8::try_from(u32::from(v4.netmask).leading_ones()).ok(),
            IfAddr::V6(v6) => u8::try_from(ipv6_bits(v6.netmask).leading_ones()).ok(),
        })
        .unwrap_or(host)
}

fn ipv6_bits(mask: Ipv6Addr) -> u128 {
    u128::from(mask)
}

/// 127.0.0.2 is ours though no interface names it.
fn is_in_loopback(address: IpAddr, interface: &Interface) -> bool {
    address.is_loopback()
        && interface.is_loopback()
        && address.is_ipv4() == interface.ip().is_ipv4()
}

/// Loopback is not behind the NAT, unless there is nothing else (a test, or a port forwarded by
/// a local program).
fn set_advertised(listeners: &mut [Listener], advertise: Option<IpAddr>) {
    let Some(advertise) = advertise else { return };
    let same_family = |listener: &Listener| listener.address.is_ipv4() == advertise.is_ipv4();
    let only_loopback = listeners
        .iter()
        .filter(|listener| same_family(listener))
        .all(|listener| listener.address.ip().is_loopback());
    for listener in listeners {
        if same_family(listener) && (only_loopback || !listener.address.ip().is_loopback()) {
            listener.advertised = Some(advertise);
        }
    }
}

fn open(mut listener: Listener) -> Result<Bound, ListenError> {
    let opened = match listener.transport {
        Transport::Tcp => open_tcp(listener.address).map(BoundSocket::Tcp),
        Transport::Udp => open_udp(listener.address).map(BoundSocket::Udp),
    };
    let with_port = opened.and_then(|socket| {
        let address = match &socket {
            BoundSocket::Tcp(socket) => socket.local_addr(),
            BoundSocket::Udp(socket) => socket.local_addr(),
        }?;
        Ok((socket, address.port()))
    });
    let (socket, port) = with_port.map_err(|source| ListenError::Bind {
        transport: listener.transport,
        address: listener.address,
        source,
    })?;
    // Port 0 has become a real one.
    listener.address.set_port(port);
    Ok(Bound { listener, socket })
}

fn open_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    prepare(&socket, address)?;
    // A smaller buffer than wished for only means earlier loss.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN);
    let _ = socket.set_send_buffer_size(RECEIVE_BUFFER_LEN);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    prepare(&socket, address)?;
    // A restart must not wait for connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)
}

/// As `sip_proxy.listen` spells it.
pub(crate) const fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "Another program has this port: stop it (`ss -lntup` shows it), or choose another in sip_proxy.listen"
        }
        io::ErrorKind::AddrNotAvailable => {
            "This host does not have that address: `ip address` shows those it has"
        }
        io::ErrorKind::PermissionDenied => {
            "Ports below 1024 need the capability CAP_NET_BIND_SERVICE: choose a higher one in sip_proxy.listen"
        }
        _ => "Choose another address in sip_proxy.listen",
    }
}

#[cfg(test)]
mod tests {
    use if_addrs::{IfOperStatus, Ifv4Addr, Ifv6Addr};

    use super::*;

    fn v4(name: &str, ip: &str, netmask: &str) -> Interface {
        interface(
            name,
            IfAddr::V4(Ifv4Addr {
                ip: ip.parse().unwrap(),
                netmask: netmask.parse().unwrap(),
                prefixlen: 0,
                broadcast: None,
            }),
        )
    }

    fn v6(name: &str, ip: &str, netmask: &str) -> Interface {
        interface(
            name,
            IfAddr::V6(Ifv6Addr {
                ip: ip.parse().unwrap(),
                netmask: netmask.parse().unwrap(),
                prefixlen: 0,
                broadcast: None,
            }),
        )
    }

    fn interface(name: &str, addr: IfAddr) -> Interface {
        Interface {
            name: name.to_owned(),
            addr,
            index: Some(1),
            oper_status: IfOperStatus::Up,
            is_p2p: false,
        }
    }

    fn host() -> Vec<Interface> {
        vec![
            v4("lo", "127.0.0.1", "255.0.0.0"),
            v6("lo", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            v4("eth0", "192.0.2.7", "255.255.255.0"),
            v4("eth0", "169.254.3.4", "255.255.0.0"),
            v6("eth0", "2001:db8::7", "ffff:ffff:ffff:ffff::"),
            v6("eth0", "fe80::1", "ffff:ffff:ffff:ffff::"),
        ]
    }

    fn expanded(texts: &[&str]) -> Vec<String> {
        let written: Vec<ListenAddress> = texts
            .iter()
            .map(|text| ListenAddress {
                transport: Transport::Udp,
                address: text.parse().unwrap(),
            })
            .collect();
        expand(&written, &host())
            .unwrap()
            .iter()
            .map(|listener| format!("{}/{}", listener.address, listener.prefix_len))
            .collect()
    }

    #[test]
    fn an_unspecified_address_stands_for_each_that_others_can_use() {
        assert_eq!(
            expanded(&["0.0.0.0:5060", "[::]:5062"]),
            [
                "127.0.0.1:5060/8",
                "192.0.2.7:5060/24",
                "[::1]:5062/128",
                "[2001:db8::7]:5062/64"
            ]
        );
    }

    #[test]
    fn an_address_named_twice_is_bound_once() {
        assert_eq!(
            expanded(&["192.0.2.7:5060", "0.0.0.0:5060"]),
            ["192.0.2.7:5060/24", "127.0.0.1:5060/8"]
        );
        assert_eq!(expanded(&["0.0.0.0:5060", "0.0.0.0:5060"]).len(), 2);
    }

    #[test]
    fn a_host_without_such_addresses_is_an_error() {
        let entry = ListenAddress {
            transport: Transport::Tcp,
            address: "[::]:5060".parse().unwrap(),
        };
        let only_v4 = [v4("lo", "127.0.0.1", "255.0.0.0")];
        assert!(matches!(
            expand(&[entry], &only_v4),
            Err(ListenError::Nothing(_))
        ));
    }

    #[test]
    fn loopback_is_not_behind_the_nat() {
        let written = ["0.0.0.0:5060", "[::]:5060"].map(|text| ListenAddress {
            transport: Transport::Udp,
            address: text.parse().unwrap(),
        });
        let mut listeners = expand(&written, &host()).unwrap();
        let public: IpAddr = "203.0.113.5".parse().unwrap();
        set_advertised(&mut listeners, Some(public));
        let advertised: Vec<Option<IpAddr>> = listeners
            .iter()
            .map(|listener| listener.advertised)
            .collect();
        assert_eq!(advertised, [None, Some(public), None, None]);
    }

    #[test]
    fn a_port_in_use_is_explained() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let entry = ListenAddress {
            transport: Transport::Udp,
            address: taken.local_addr().unwrap(),
        };
        let error = bind(&[entry], None).unwrap_err().to_string();
        assert!(error.contains("Another program has this port"), "{error}");
    }

    #[test]
    fn port_zero_becomes_a_real_one() {
        let entry = ListenAddress {
            transport: Transport::Tcp,
            address: "127.0.0.1:0".parse().unwrap(),
        };
        let bound = bind(&[entry], None).unwrap();
        assert_ne!(bound[0].listener.address.port(), 0);
        assert_eq!(bound[0].listener.prefix_len, 8);
    }
}
