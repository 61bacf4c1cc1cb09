//! What is ours: addresses, domains, and how we name ourselves in headers.

use std::net::IpAddr;

use sip_proxy_message::{Host, Uri};

use crate::interface::{Listener, ListenerId, Transport};

/// The listeners and the domains.
#[derive(Debug)]
pub(crate) struct Home {
    listeners: Vec<Listener>,
    /// Of each listener, written once.
    names: Vec<Names>,
    domains: Vec<String>,
    realm: String,
}

/// How a listener is named in headers.
#[derive(Debug)]
struct Names {
    /// What stands before the branch in Via.
    via: String,
    /// What stands after the token in Record-Route.
    record_route: String,
}

impl Home {
    pub(crate) fn new(listeners: Vec<Listener>, domains: Vec<String>) -> Self {
        let realm = domains.first().map_or("tandem", String::as_str).to_owned();
        Self {
            names: listeners.iter().map(Names::new).collect(),
            listeners,
            domains,
            realm,
        }
    }

    /// Of digest authentication.
    pub(crate) fn realm(&self) -> &str {
        &self.realm
    }

    pub(crate) fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(usize::from(id.0))
    }

    /// How messages travel to and from this listener.
    pub(crate) fn transport(&self, id: ListenerId) -> Transport {
        self.listener(id)
            .map_or(Transport::Udp, |listener| listener.transport)
    }

    /// The listener to send from: in the destination's network, or else any of its family.
    pub(crate) fn listener_for(&self, transport: Transport, to: IpAddr) -> Option<ListenerId> {
        let is_suitable = |listener: &Listener| {
            listener.transport == transport && listener.address.is_ipv4() == to.is_ipv4()
        };
        let suitable = || {
            let numbered = self.listeners.iter().enumerate();
            numbered.filter(|(_, listener)| is_suitable(listener))
        };
        let (best, _) = suitable()
            .filter(|(_, listener)| is_in_network(listener, to))
            .max_by_key(|(_, listener)| listener.prefix_len)
            .or_else(|| suitable().next())?;
        u16::try_from(best).ok().map(ListenerId)
    }

    /// Whether a request for this URI ends here: a domain of ours, or an address of ours with a
    /// port that we listen on. A URI without a port leaves it to us.
    pub(crate) fn is_ours(&self, uri: &Uri<'_>) -> bool {
        uri.host.is_some_and(|host| match uri.port {
            Some(port) => self.has_host(host, |listener| listener.address.port() == port),
            None => self.has_host(host, |_| true),
        })
    }

    /// Whether the host is ours, on whatever port: addresses of record often leave it out.
    pub(crate) fn is_our_host(&self, host: Host<'_>) -> bool {
        self.has_host(host, |_| true)
    }

    /// Whether a Via or Route names one of our listeners.
    pub(crate) fn is_our_hop(&self, host: Host<'_>, port: Option<u16>) -> bool {
        let port = port.unwrap_or(5060);
        self.has_host(host, |listener| listener.address.port() == port)
    }

    /// A value of Via.
    pub(crate) fn via(&self, id: ListenerId, branch: &str) -> String {
        [self.before_branch(id), branch].concat()
    }

    /// What stands before the branch in Via.
    pub(crate) fn before_branch(&self, id: ListenerId) -> &str {
        let names = self.names.get(usize::from(id.0));
        names.map_or("", |names| names.via.as_str())
    }

    /// What stands after the token in Record-Route, which begins with `<sip:`.
    pub(crate) fn after_token(&self, id: ListenerId) -> &str {
        let names = self.names.get(usize::from(id.0));
        names.map_or("", |names| names.record_route.as_str())
    }

    fn has_host(&self, host: Host<'_>, is_port: impl Fn(&Listener) -> bool) -> bool {
        match host {
            Host::Address(address) => self.listeners.iter().any(|listener| {
                let is_address =
                    listener.address.ip() == address || listener.advertised == Some(address);
                is_address && is_port(listener)
            }),
            Host::Name(name) => {
                let name = name.strip_suffix(b".").unwrap_or(name);
                let is_domain = self
                    .domains
                    .iter()
                    .any(|domain| domain.as_bytes().eq_ignore_ascii_case(name));
                is_domain && self.listeners.iter().any(is_port)
            }
        }
    }
}

impl Names {
    fn new(listener: &Listener) -> Self {
        let mut address = listener.address;
        if let Some(advertised) = listener.advertised {
            address.set_ip(advertised);
        }
        let (transport, param) = match listener.transport {
            Transport::Tcp => ("TCP", ";transport=tcp"),
            Transport::Udp => ("UDP", ""),
        };
        Self {
            via: format!("SIP/2.0/{transport} {address};branch="),
            record_route: format!("@{address}{param};lr>"),
        }
    }
}

fn is_in_network(listener: &Listener, address: IpAddr) -> bool {
    match (listener.address.ip(), address) {
        (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
            let host_bits = 32_u32.saturating_sub(u32::from(listener.prefix_len));
            let differs = ours.to_bits() ^ theirs.to_bits();
            differs.checked_shr(host_bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
            let host_bits = 128_u32.saturating_sub(u32::from(listener.prefix_len));
            let differs = ours.to_bits() ^ theirs.to_bits();
            differs.checked_shr(host_bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(transport: Transport, address: &str, prefix_len: u8) -> Listener {
        Listener {
            transport,
            address: address.parse().unwrap(),
            prefix_len,
            advertised: None,
        }
    }

    fn home() -> Home {
        let mut public = listener(Transport::Udp, "192.0.2.1:5060", 24);
        public.advertised = Some("203.0.113.9".parse().unwrap());
        let listeners = vec![
            public,
            listener(Transport::Udp, "10.1.0.1:5070", 16),
            listener(Transport::Tcp, "10.1.0.1:5070", 16),
            listener(Transport::Udp, "[2001:db8::1]:5060", 64),
        ];
        Home::new(listeners, vec!["Example.com".to_owned()])
    }

    #[test]
    fn knows_its_addresses_and_domains() {
        let home = home();
        for (uri, is_ours) in [
            ("sip:bob@example.COM", true),
            ("sip:bob@example.com.", true),
            ("sip:bob@example.com:5070", true),
            ("sip:bob@example.com:9", false),
            ("sip:bob@192.0.2.1", true),
            ("sip:bob@203.0.113.9:5060", true),
            ("sip:bob@10.1.0.1:5060", false),
            ("sip:bob@[2001:db8::1]", true),
            ("sip:bob@example.net", false),
            ("tel:+15551234", false),
        ] {
            let uri = Uri::parse(uri.as_bytes()).unwrap();
            assert_eq!(home.is_ours(&uri), is_ours, "{uri:?}");
        }
    }

    #[test]
    fn sends_from_the_network_of_the_destination() {
        let home = home();
        let choose = |transport, to: &str| home.listener_for(transport, to.parse().unwrap());
        assert_eq!(choose(Transport::Udp, "10.1.9.9"), Some(ListenerId(1)));
        assert_eq!(choose(Transport::Udp, "8.8.8.8"), Some(ListenerId(0)));
        assert_eq!(choose(Transport::Tcp, "8.8.8.8"), Some(ListenerId(2)));
        assert_eq!(choose(Transport::Udp, "2001:db9::1"), Some(ListenerId(3)));
        assert_eq!(choose(Transport::Tcp, "2001:db8::2"), None);
    }

    #[test]
    fn names_itself_by_the_advertised_address() {
        let home = home();
        assert_eq!(
            home.via(ListenerId(0), "z9hG4bKx"),
            "SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKx"
        );
        assert_eq!(
            home.after_token(ListenerId(2)),
            "@10.1.0.1:5070;transport=tcp;lr>"
        );
        assert_eq!(
            home.via(ListenerId(3), "x"),
            "SIP/2.0/UDP [2001:db8::1]:5060;branch=x"
        );
    }
}
