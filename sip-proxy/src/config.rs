//! The settings, checked: a value of [`Settings`] cannot be wrong.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sip_proxy_core::{Listener, ProxyConfig, Transport};
use tandem_settings::{Loaded, SettingsError, SipProxy};

/// Addresses to listen on, as written, at most.
const LISTEN_MAX: usize = 64;

/// Bytes of a domain name at most (RFC 1035 §2.3.4).
const DOMAIN_LEN_MAX: usize = 255;

/// What the daemon is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where SIP is received, in the order written.
    pub listen: Vec<ListenAddress>,
    /// What Via and Record-Route say instead of an address of this host.
    pub advertise: Option<IpAddr>,
    /// Ours; the first is the realm.
    pub domains: Vec<String>,
    /// Control's ng address; `None`: media is not relayed.
    pub control: Option<SocketAddr>,
    /// How long an ng request may take.
    pub control_timeout: Duration,
    /// Bounds of the core.
    pub limits: Limits,
    /// Connections over TCP at most.
    pub connections_max: usize,
    /// The database.
    pub database: PathBuf,
    /// The admin socket.
    pub admin_socket: PathBuf,
}

/// Bounds of the core; see [`ProxyConfig`].
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "named and described in ProxyConfig")]
pub struct Limits {
    pub expires_min_s: u32,
    pub expires_max_s: u32,
    pub contacts_max: usize,
    pub ring_timeout_s: u32,
    pub call_duration_max_s: u32,
    pub requests_per_second_max: u32,
    pub calls_max: usize,
}

/// One entry of `sip_proxy.listen`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenAddress {
    /// How.
    pub transport: Transport,
    /// Where; may be unspecified, which stands for each address of the host.
    pub address: SocketAddr,
}

impl Settings {
    /// Checks what the file says about this daemon.
    ///
    /// # Errors
    /// The first mistake, with its place in the file and the cure.
    pub fn check(loaded: &Loaded) -> Result<Self, SettingsError> {
        let file = &loaded.file.sip_proxy;
        Ok(Self {
            listen: listen(loaded)?,
            advertise: advertise(loaded)?,
            domains: domains(loaded)?,
            control: control(loaded)?,
            control_timeout: Duration::from_millis(u64::from(in_range(
                loaded,
                "control_timeout_ms",
                file.control_timeout_ms,
                100,
                30_000,
            )?)),
            limits: limits(loaded, file)?,
            connections_max: size(in_range(
                loaded,
                "connections_max",
                file.connections_max,
                1,
                1_000_000,
            )?),
            database: loaded.database_path(),
            admin_socket: loaded.sip_proxy_socket(),
        })
    }

    /// What the core is told.
    #[must_use]
    pub fn proxy_config(&self, listeners: Vec<Listener>, secret: [u8; 32]) -> ProxyConfig {
        ProxyConfig {
            listeners,
            domains: self.domains.clone(),
            secret,
            relays_media: self.control.is_some(),
            expires_min_s: self.limits.expires_min_s,
            expires_max_s: self.limits.expires_max_s,
            contacts_max: self.limits.contacts_max,
            ring_timeout_s: self.limits.ring_timeout_s,
            call_duration_max_s: self.limits.call_duration_max_s,
            requests_per_second_max: self.limits.requests_per_second_max,
            calls_max: self.limits.calls_max,
        }
    }

    /// The realm of digest authentication.
    #[must_use]
    pub fn realm(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }
}

fn limits(loaded: &Loaded, file: &SipProxy) -> Result<Limits, SettingsError> {
    let day = 86_400;
    let expires_max_s = in_range(loaded, "expires_max_s", file.expires_max_s, 1, 30 * day)?;
    if file.expires_min_s > expires_max_s {
        return Err(loaded.wrong(
            "sip_proxy.expires_min_s",
            format!(
                "{} is more than expires_max_s ({expires_max_s})",
                file.expires_min_s
            ),
            "make it the smaller of the two",
        ));
    }
    Ok(Limits {
        expires_min_s: in_range(loaded, "expires_min_s", file.expires_min_s, 1, day)?,
        expires_max_s,
        contacts_max: size(in_range(loaded, "contacts_max", file.contacts_max, 1, 100)?),
        ring_timeout_s: in_range(loaded, "ring_timeout_s", file.ring_timeout_s, 5, day)?,
        call_duration_max_s: file.call_duration_max_s,
        requests_per_second_max: file.requests_per_second_max,
        calls_max: size(in_range(
            loaded,
            "calls_max",
            file.calls_max,
            1,
            10_000_000,
        )?),
    })
}

fn in_range(
    loaded: &Loaded,
    key: &str,
    value: u32,
    min: u32,
    max: u32,
) -> Result<u32, SettingsError> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(loaded.wrong(
        &format!("sip_proxy.{key}"),
        format!("{value} is out of range"),
        &format!("use {min} to {max}"),
    ))
}

fn size(value: u32) -> usize {
    usize::try_from(value).expect("pointers have at least 32 bits here")
}

fn listen(loaded: &Loaded) -> Result<Vec<ListenAddress>, SettingsError> {
    let written = &loaded.file.sip_proxy.listen;
    if written.is_empty() || written.len() > LISTEN_MAX {
        return Err(loaded.wrong(
            "sip_proxy.listen",
            format!("{} addresses", written.len()),
            &format!("name 1 to {LISTEN_MAX}, such as \"udp:0.0.0.0:5060\""),
        ));
    }
    let mut listen = Vec::new();
    for (index, text) in written.iter().enumerate() {
        let key = format!("sip_proxy.listen[{index}]");
        let address = parse_listen(text).ok_or_else(|| {
            loaded.wrong(
                &key,
                format!("{text:?} is no address to listen on"),
                "write udp:ADDRESS:PORT or tcp:ADDRESS:PORT, such as \"udp:0.0.0.0:5060\" or \"tcp:[::1]:5060\"",
            )
        })?;
        if address.address.port() != 0 && listen.contains(&address) {
            return Err(loaded.wrong(&key, format!("{text:?} stands there twice"), "delete one"));
        }
        listen.push(address);
    }
    Ok(listen)
}

fn parse_listen(text: &str) -> Option<ListenAddress> {
    let (transport, address) = text.split_once(':')?;
    let transport = match transport {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return None,
    };
    let address: SocketAddr = address.parse().ok()?;
    (!address.ip().is_multicast()).then_some(ListenAddress { transport, address })
}

fn advertise(loaded: &Loaded) -> Result<Option<IpAddr>, SettingsError> {
    let advertise = loaded.file.sip_proxy.advertise;
    if advertise.is_some_and(|address| address.is_unspecified() || address.is_multicast()) {
        return Err(loaded.wrong(
            "sip_proxy.advertise",
            "nobody can send to this address",
            "write the public address, or leave the key out",
        ));
    }
    Ok(advertise)
}

fn domains(loaded: &Loaded) -> Result<Vec<String>, SettingsError> {
    let written = &loaded.file.sip_proxy.domains;
    for (index, domain) in written.iter().enumerate() {
        if !is_domain(domain) {
            return Err(loaded.wrong(
                &format!("sip_proxy.domains[{index}]"),
                format!("{domain:?} is no domain"),
                "write a host name without port, such as \"sip.example.org\"",
            ));
        }
    }
    if written.is_empty() {
        return Ok(vec![loaded.realm().to_owned()]);
    }
    Ok(written.clone())
}

/// A host name or an address (RFC 3261 §25.1, `host`).
fn is_domain(text: &str) -> bool {
    let is_name = text
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || "-.".contains(character));
    let is_address = text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    !text.is_empty() && text.len() <= DOMAIN_LEN_MAX && (is_name || is_address)
}

fn control(loaded: &Loaded) -> Result<Option<SocketAddr>, SettingsError> {
    let control = loaded.file.sip_proxy.control;
    if control.is_some_and(|address| address.port() == 0 || address.ip().is_unspecified()) {
        return Err(loaded.wrong(
            "sip_proxy.control",
            "nobody can be reached there",
            "write the address that control.listen names, such as \"127.0.0.1:2223\"",
        ));
    }
    Ok(control)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(text: &str) -> Result<Settings, String> {
        let loaded = Loaded::parse(Path::new("tandem.toml"), text).map_err(|e| e.to_string())?;
        Settings::check(&loaded).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_fine() {
        let settings = Settings::check(&Loaded::defaults()).unwrap();
        assert_eq!(settings.realm(), "tandem");
        assert_eq!(settings.listen.len(), 2);
        assert!(settings.proxy_config(Vec::new(), [0; 32]).relays_media);
    }

    #[test]
    fn the_first_domain_is_the_realm() {
        let settings = check("[sip_proxy]\ndomains = [\"a.example\", \"192.0.2.1\"]").unwrap();
        assert_eq!(settings.realm(), "a.example");
    }

    #[test]
    fn a_mistake_names_its_key_line_and_cure() {
        for (line, parts) in [
            (
                "listen = [\"udp:127.0.0.1:5060\", \"tls:1.2.3.4:5061\"]",
                ["listen[1]", "udp:ADDRESS:PORT"],
            ),
            (
                "listen = [\"udp:127.0.0.1\"]",
                ["listen[0]", "udp:ADDRESS:PORT"],
            ),
            (
                "listen = [\"udp:example.org:5060\"]",
                ["listen[0]", "udp:ADDRESS:PORT"],
            ),
            (
                "listen = [\"udp:239.0.0.1:5060\"]",
                ["listen[0]", "udp:ADDRESS:PORT"],
            ),
            (
                "listen = [\"tcp:[::1]:1\", \"tcp:[::1]:1\"]",
                ["listen[1]", "delete one"],
            ),
            ("listen = []", ["sip_proxy.listen", "udp:0.0.0.0:5060"]),
            (
                "advertise = \"0.0.0.0\"",
                ["sip_proxy.advertise", "public address"],
            ),
            ("domains = [\"a b\"]", ["domains[0]", "host name"]),
            ("domains = [\"a:5060\"]", ["domains[0]", "host name"]),
            (
                "control = \"0.0.0.0:2223\"",
                ["sip_proxy.control", "control.listen"],
            ),
            (
                "control_timeout_ms = 10",
                ["control_timeout_ms", "100 to 30000"],
            ),
            ("connections_max = 0", ["connections_max", "use 1 to"]),
            ("contacts_max = 0", ["contacts_max", "use 1 to"]),
            ("calls_max = 0", ["calls_max", "use 1 to"]),
            ("ring_timeout_s = 0", ["ring_timeout_s", "use 5 to"]),
            ("expires_min_s = 4000", ["expires_min_s", "smaller"]),
            ("expires_min_s = 0", ["expires_min_s", "use 1 to"]),
        ] {
            let error = check(&format!("[sip_proxy]\n{line}")).unwrap_err();
            assert!(error.contains("tandem.toml:2:"), "{line}: {error}");
            for part in parts {
                assert!(error.contains(part), "{line}: {error} lacks {part}");
            }
        }
    }
}
