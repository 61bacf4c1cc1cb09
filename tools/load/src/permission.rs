//! Where load may be sent: to this host, and to whom the operator named.

use std::net::IpAddr;

use crate::LoadError;

/// The addresses that load may be sent to.
#[derive(Clone, Debug)]
pub struct Permission {
    /// Addresses of this host, as its network namespace has them.
    local: Vec<IpAddr>,
    /// Addresses that somebody confirmed.
    named: Vec<IpAddr>,
}

impl Permission {
    /// This host, and `named` besides.
    #[must_use]
    pub fn new(named: Vec<IpAddr>) -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let local = interfaces.iter().map(if_addrs::Interface::ip).collect();
        Self { local, named }
    }

    /// Whether load may be sent to an address.
    ///
    /// # Errors
    ///
    /// When it is not this host's and was not named; always for groups of receivers.
    pub fn check(&self, address: IpAddr) -> Result<(), LoadError> {
        let address = address.to_canonical();
        let is_everybody = match address {
            IpAddr::V4(it) => it.is_broadcast() || it.is_multicast() || it.is_unspecified(),
            IpAddr::V6(it) => it.is_multicast() || it.is_unspecified(),
        };
        let is_mine = address.is_loopback() || self.local.contains(&address);
        if !is_everybody && (is_mine || self.named.contains(&address)) {
            Ok(())
        } else {
            Err(LoadError::NotPermitted(address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_permitted(named: &[&str], address: &str) -> bool {
        let named = named.iter().map(|it| it.parse().unwrap()).collect();
        let address = address.parse().unwrap();
        Permission::new(named).check(address).is_ok()
    }

    #[test]
    fn strangers_get_nothing_unless_named() {
        assert!(is_permitted(&[], "127.0.0.1"));
        assert!(is_permitted(&[], "::1"));
        assert!(!is_permitted(&[], "192.0.2.1"));
        assert!(!is_permitted(&["192.0.2.2"], "192.0.2.1"));
        assert!(is_permitted(&["192.0.2.1"], "192.0.2.1"));
        assert!(is_permitted(&["192.0.2.1"], "::ffff:192.0.2.1"));
    }

    #[test]
    fn groups_get_nothing_even_if_named() {
        for group in ["255.255.255.255", "224.0.0.1", "ff02::1", "0.0.0.0", "::"] {
            assert!(!is_permitted(&[group], group), "{group}");
        }
    }
}
