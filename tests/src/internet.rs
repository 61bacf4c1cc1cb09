//! An Internet in a box: hosts at one switch, and NATs with phones behind them.
//!
//! ```text
//!   relay .1   phone .2   attacker .66        NAT .N (203.0.113.N)
//!      └──────────┴──────────┴─────────────────┘  └── phone 10.0.N.2
//!        203.0.113.0/24 and 2001:db8::/64
//! ```

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::Namespace;

/// Bytes that a packet may have, link by link: jumbo frames.
const MTU: u32 = 9_000;

/// Time that a packet has that is expected to arrive.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(5);

/// What a packet is made of that asks a NAT what it does.
const PROBE: &[u8] = b"probe";

/// A switch that hosts are plugged into.
#[derive(Debug)]
pub struct Internet {
    switch: Namespace,
    plugs: AtomicU32,
}

impl Internet {
    /// An Internet without anybody; `None`, and that is said, where it is not possible.
    #[must_use]
    #[track_caller]
    pub fn new() -> Option<Self> {
        if !Namespace::are_possible() {
            return None;
        }
        let switch = Namespace::new();
        switch.ip("link add name switch type bridge");
        switch.set("net/ipv6/conf/switch/disable_ipv6", "1");
        switch.ip("link set switch up");
        Some(Self {
            switch,
            plugs: AtomicU32::new(0),
        })
    }

    /// A host at [`public_ip`] and [`public_ip6`].
    #[must_use]
    #[track_caller]
    pub fn host(&self, number: u8) -> Namespace {
        let host = Namespace::new();
        self.plug(&host);
        let (ip, ip6) = (public_ip(number), public_ip6(number));
        host.ip(&format!(
            "addr add {ip}/24 dev net\naddr add {ip6}/64 dev net nodad"
        ));
        host
    }

    /// Does something in the namespace of the switch, where the cable to the nth host ends in
    /// `portN`; the first is 0.
    pub fn within_switch<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.switch.within(work)
    }

    /// A NAT at [`public_ip`], and a host behind it.
    #[must_use]
    #[track_caller]
    pub fn nat(&self, number: u8, kind: NatKind) -> Nat {
        let (router, inside) = (self.host(number), Namespace::new());
        let (gateway, phone) = (private_ip(number, 1), private_ip(number, 2));
        connect(&router, "lan", &inside, "net");
        router.ip(&format!("addr add {gateway}/24 dev lan"));
        inside.ip(&format!(
            "addr add {phone}/24 dev net\nroute add default via {gateway}"
        ));
        router.set("net/ipv4/ip_forward", "1");
        router.nft(&kind.rules(public_ip(number), phone));
        Nat {
            number,
            router,
            inside,
            kind,
            outer: public_ip(number),
            inner: phone,
        }
    }

    fn plug(&self, host: &Namespace) {
        let number = self.plugs.fetch_add(1, Ordering::Relaxed);
        let port = format!("port{number}");
        connect(&self.switch, &port, host, "net");
        self.switch.ip(&format!("link set {port} master switch"));
    }
}

/// The address of a host of the Internet.
#[must_use]
pub fn public_ip(number: u8) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, number).into()
}

/// Its other address.
#[must_use]
pub fn public_ip6(number: u8) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()).into()
}

fn private_ip(nat: u8, host: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, nat, host).into()
}

/// Lays a cable.
#[track_caller]
fn connect(one: &Namespace, device: &str, other: &Namespace, other_device: &str) {
    let there = other.path();
    one.ip(&format!(
        "link add {device} mtu {MTU} type veth peer name {other_device} mtu {MTU} netns {there}"
    ));
    for (namespace, device) in [(one, device), (other, other_device)] {
        for scope in ["all", device] {
            namespace.set(&format!("net/ipv4/conf/{scope}/rp_filter"), "0");
        }
        namespace.ip(&format!("link set {device} up"));
    }
}

/// What a NAT does, by the names that RFC 3489 §5 gave them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NatKind {
    /// Lets anybody in at a port that the phone has sent from.
    FullCone,
    /// Lets those hosts in that the phone has sent to.
    RestrictedCone,
    /// Lets those ports of hosts in that the phone has sent to.
    PortRestrictedCone,
    /// The same, and each destination sees the phone at another port.
    Symmetric,
}

/// Ports of a phone that a NAT has a place for, and where cones put them.
const CONE_PORTS: [(u16, u16); 4] = [
    (10_000, 51_000),
    (10_001, 51_001),
    (PROBE_PORT, 51_002),
    (10_003, 51_003),
];

/// The port behind a NAT from which is asked what it does.
const PROBE_PORT: u16 = 10_002;

impl NatKind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::FullCone,
        Self::RestrictedCone,
        Self::PortRestrictedCone,
        Self::Symmetric,
    ];

    /// Rules of the packet filter. What is let in, the connection tracking knows by itself for
    /// ports of hosts; for the others a set remembers what the phone has sent.
    fn rules(self, outer: IpAddr, phone: IpAddr) -> String {
        let map = |swap: bool| {
            let pair = |(inner, outer): &(u16, u16)| match swap {
                false => format!("{inner} : {outer}"),
                true => format!("{outer} : {inner}"),
            };
            CONE_PORTS.each_ref().map(pair).join(", ")
        };
        let (outward, inward) = (map(false), map(true));
        let (key, of_sent, of_arriving) = match self {
            Self::FullCone => ("inet_service", "udp sport", "udp dport"),
            _ => (
                "ipv4_addr . inet_service",
                "ip daddr . udp sport",
                "ip saddr . udp dport",
            ),
        };
        let translate = match self {
            Self::Symmetric => "masquerade to :40000-49999 fully-random".to_owned(),
            _ => format!("snat to {outer} : udp sport map @outward"),
        };
        let admit = match self {
            Self::FullCone | Self::RestrictedCone => format!(
                "iifname net meta l4proto udp {of_arriving} @sent \
                 dnat to {phone} : udp dport map @inward"
            ),
            Self::PortRestrictedCone | Self::Symmetric => "".to_owned(),
        };
        format!(
            "table ip nat {{
                map outward {{ type inet_service : inet_service; elements = {{ {outward} }}; }}
                map inward {{ type inet_service : inet_service; elements = {{ {inward} }}; }}
                set sent {{ type {key}; flags dynamic,timeout; timeout 60s; size 1024; }}
                chain translate {{
                    type nat hook postrouting priority srcnat;
                    oifname net meta l4proto udp {translate}
                }}
                chain remember {{
                    type filter hook postrouting priority srcnat + 10;
                    oifname net meta l4proto udp update @sent {{ {of_sent} }}
                }}
                chain admit {{
                    type nat hook prerouting priority dstnat;
                    {admit}
                }}
                chain forward {{
                    type filter hook forward priority filter; policy drop;
                    iifname lan accept
                    ct state established,related accept
                    ct status dnat accept
                }}
                chain itself {{
                    type filter hook input priority filter; policy drop;
                }}
            }}"
        )
    }
}

/// A NAT, and the host behind it.
#[derive(Debug)]
pub struct Nat {
    /// Its number in the Internet.
    pub number: u8,
    /// The box itself.
    pub router: Namespace,
    /// Where a phone is.
    pub inside: Namespace,
    /// What it is meant to do.
    pub kind: NatKind,
    /// Its address in the Internet.
    pub outer: IpAddr,
    /// The phone's address.
    pub inner: IpAddr,
}

impl Nat {
    /// Finds out what it really does, with two hosts of the Internet (RFC 3489 §10.1, RFC 5780
    /// §4).
    ///
    /// # Panics
    ///
    /// When what must arrive does not, or it is none of the four.
    #[must_use]
    #[track_caller]
    pub fn probe(&self, hosts: [(&Namespace, IpAddr); 2]) -> NatKind {
        let inside = bind(&self.inside, SocketAddr::new(self.inner, PROBE_PORT));
        let [one, other] = hosts.map(|(host, ip)| bind(host, SocketAddr::new(ip, 0)));
        let (first_host, first_ip) = hosts[0];
        let one_more = bind(first_host, SocketAddr::new(first_ip, 0));
        let mapped = send_and_take(&inside, &one, local(&one));
        assert_eq!(mapped.ip(), self.outer, "who sends, as others see it");
        // Nobody but `one` was sent to. What arrives comes in order: so what has not arrived when
        // that of `one` does was not let in.
        for stranger in [&other, &one_more, &one] {
            let sent = stranger.send_to(PROBE, mapped);
            sent.expect("the Internet takes packets");
        }
        let mut let_in = HashSet::new();
        while !let_in.contains(&local(&one)) {
            let_in.insert(take(&inside));
        }
        let is_let_in = |socket| let_in.contains(&local(socket));
        let mapped_again = send_and_take(&inside, &other, local(&other));
        match (is_let_in(&other), is_let_in(&one_more)) {
            _ if mapped != mapped_again => {
                assert_eq!(let_in.len(), 1, "a mixture: {let_in:?}");
                NatKind::Symmetric
            }
            (true, true) => NatKind::FullCone,
            (false, true) => NatKind::RestrictedCone,
            (false, false) => NatKind::PortRestrictedCone,
            (true, false) => panic!("another host is let in, another port is not"),
        }
    }
}

#[track_caller]
fn bind(namespace: &Namespace, address: SocketAddr) -> UdpSocket {
    let socket = namespace.within(|| UdpSocket::bind(address));
    let socket = socket.unwrap_or_else(|error| panic!("{address}: {error}"));
    socket
        .set_read_timeout(Some(ARRIVAL_LIMIT))
        .expect("it is not zero");
    socket
}

fn local(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("the socket is bound")
}

/// Who a packet was from, as the receiver sees it.
#[track_caller]
fn send_and_take(from: &UdpSocket, receiver: &UdpSocket, to: SocketAddr) -> SocketAddr {
    let sent = from.send_to(PROBE, to);
    sent.expect("the Internet takes packets");
    take(receiver)
}

#[track_caller]
fn take(socket: &UdpSocket) -> SocketAddr {
    let (len, from) = socket.recv_from(&mut [0; 64]).expect("a probe arrives");
    assert_eq!(len, PROBE.len());
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nat_is_what_it_is_meant_to_be() {
        let Some(internet) = Internet::new() else {
            return;
        };
        let hosts = [2, 3].map(|number| (internet.host(number), public_ip(number)));
        for (number, kind) in (11..).zip(NatKind::ALL) {
            let nat = internet.nat(number, kind);
            let probed = nat.probe(hosts.each_ref().map(|(host, ip)| (host, *ip)));
            assert_eq!(probed, kind);
        }
    }
}
