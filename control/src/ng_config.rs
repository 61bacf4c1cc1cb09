//! Settings of the transports of ng, checked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use tandem_settings::{Loaded, SettingsError};

use crate::tls::{TlsError, TlsFiles};

/// Addresses that one transport of ng is received on at most.
const LISTEN_MAX: usize = 16;

/// Networks of a list at most.
const NETWORKS_MAX: usize = 256;

/// Connections that can be asked for.
const CONNECTIONS_MAX: u32 = 16_384;

/// How ng is received beyond UDP, and from whom.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NgConfig {
    /// Where, over TCP.
    pub listen_tcp: Vec<SocketAddr>,
    /// Where, over HTTP and WebSocket.
    pub listen_http: Vec<SocketAddr>,
    /// Where, over HTTPS and WebSocket over TLS.
    pub listen_https: Vec<SocketAddr>,
    /// What TLS is spoken with, if it is.
    pub tls: Option<TlsFiles>,
    /// Who may ask.
    pub allow: Vec<IpNet>,
    /// Who may read metrics, besides.
    pub metrics_allow: Vec<IpNet>,
    /// Requests per second of one address; 0 is no limit.
    pub requests_per_second_max: u32,
    /// Connections at most.
    pub connections_max: usize,
    /// How long a connection may be idle; `None` is for ever.
    pub idle_timeout: Option<Duration>,
}

impl NgConfig {
    /// Checks what the file says.
    pub(crate) fn check(loaded: &Loaded) -> Result<Self, SettingsError> {
        let file = &loaded.file.control;
        let connections_max = file.connections_max;
        if !(1..=CONNECTIONS_MAX).contains(&connections_max) {
            let problem = format!("{connections_max} is not within 1 and {CONNECTIONS_MAX}");
            return Err(loaded.wrong("control.connections_max", problem, "use 256"));
        }
        let idle_timeout = Duration::from_secs(file.idle_timeout_s.into());
        let config = Self {
            listen_tcp: addresses(loaded, "control.listen_tcp", &file.listen_tcp)?,
            listen_http: addresses(loaded, "control.listen_http", &file.listen_http)?,
            listen_https: addresses(loaded, "control.listen_https", &file.listen_https)?,
            tls: tls(loaded)?,
            allow: networks(loaded, "control.ng_allow", &file.ng_allow)?,
            metrics_allow: networks(loaded, "control.metrics_allow", &file.metrics_allow)?,
            requests_per_second_max: file.requests_per_second_max,
            connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
            idle_timeout: Some(idle_timeout).filter(|it| !it.is_zero()),
        };
        config.check_apart(loaded)?;
        Ok(config)
    }

    /// Checks that certificate and key, if TLS is spoken, can be read and belong together.
    ///
    /// A start does not ask this: files that are being renewed are no wrong setting, and a start
    /// that fails because of them is tried again.
    pub(crate) fn check_files(&self, loaded: &Loaded) -> Result<(), SettingsError> {
        let Some(files) = &self.tls else {
            return Ok(());
        };
        let key_of = |error: &TlsError| match error {
            TlsError::Read { path, .. } if *path == files.key => "control.tls_key",
            TlsError::Key { .. } => "control.tls_key",
            _ => "control.tls_certificate",
        };
        let wrong = |error: TlsError| loaded.wrong(key_of(&error), error.to_string(), "");
        files.read().map(|_| ()).map_err(wrong)
    }

    /// TCP, HTTP and HTTPS cannot share a port.
    fn check_apart(&self, loaded: &Loaded) -> Result<(), SettingsError> {
        let pairs = [
            (
                "listen_http",
                &self.listen_http,
                "listen_tcp",
                &self.listen_tcp,
            ),
            (
                "listen_https",
                &self.listen_https,
                "listen_tcp",
                &self.listen_tcp,
            ),
            (
                "listen_https",
                &self.listen_https,
                "listen_http",
                &self.listen_http,
            ),
        ];
        for (setting, addresses, other, others) in pairs {
            let mut addresses = addresses.iter().enumerate();
            if let Some((index, address)) = addresses.find(|(_, it)| others.contains(it)) {
                let key = format!("control.{setting}[{index}]");
                let problem = format!("{address} stands in {other}, too");
                return Err(loaded.wrong(&key, problem, "give one of them another port"));
            }
        }
        Ok(())
    }
}

/// The files of TLS if it is spoken anywhere.
fn tls(loaded: &Loaded) -> Result<Option<TlsFiles>, SettingsError> {
    if loaded.file.control.listen_https.is_empty() {
        return Ok(None);
    }
    let Some(certificate) = loaded.tls_certificate() else {
        let problem = "it needs a certificate";
        let cure = "name files in PEM with control.tls_certificate and control.tls_key";
        return Err(loaded.wrong("control.listen_https", problem, cure));
    };
    let key = loaded.tls_key().unwrap_or_else(|| certificate.clone());
    Ok(Some(TlsFiles { certificate, key }))
}

fn addresses(
    loaded: &Loaded,
    key: &str,
    addresses: &[SocketAddr],
) -> Result<Vec<SocketAddr>, SettingsError> {
    if addresses.len() > LISTEN_MAX {
        let problem = format!("{} addresses; {LISTEN_MAX} can be used", addresses.len());
        return Err(loaded.wrong(key, problem, "one of 0.0.0.0 stands for many"));
    }
    for (index, address) in addresses.iter().enumerate() {
        let problem = match address {
            it if it.port() == 0 => format!("{it} has no port"),
            it if it.ip().is_multicast() => format!("{} is a group, not a host", it.ip()),
            it if addresses[..index].contains(it) => format!("{it} stands there twice"),
            _ => continue,
        };
        let cure = "write an address of this host and a port, such as 127.0.0.1:2224";
        return Err(loaded.wrong(&format!("{key}[{index}]"), problem, cure));
    }
    Ok(addresses.to_vec())
}

fn networks(loaded: &Loaded, key: &str, texts: &[String]) -> Result<Vec<IpNet>, SettingsError> {
    if texts.len() > NETWORKS_MAX {
        let problem = format!("{} networks; {NETWORKS_MAX} can be used", texts.len());
        return Err(loaded.wrong(key, problem, "join some of them"));
    }
    let network = |(index, text): (usize, &String)| {
        let text = text.trim();
        let network = text.parse().ok();
        let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
        network.or_else(host).ok_or_else(|| {
            let key = format!("{key}[{index}]");
            let problem = format!("{text:?} is neither an address nor a network");
            loaded.wrong(
                &key,
                problem,
                "write 192.0.2.7 or 192.0.2.0/24 or 2001:db8::/32",
            )
        })
    };
    texts.iter().enumerate().map(network).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(text: &str) -> Result<NgConfig, String> {
        let loaded = Loaded::parse(Path::new("/etc/tandem/tandem.toml"), text).unwrap();
        NgConfig::check(&loaded).map_err(|error| error.to_string())
    }

    #[test]
    fn only_this_host_may_ask_and_only_over_udp_unless_it_is_said() {
        let config = check("").unwrap();
        assert!(config.listen_tcp.is_empty() && config.listen_http.is_empty());
        let may = |address: &str| {
            let address: IpAddr = address.parse().unwrap();
            config
                .allow
                .iter()
                .any(|network| network.contains(&address))
        };
        assert!(may("127.0.0.1") && may("127.9.9.9") && may("::1"));
        assert!(!may("192.0.2.1") && !may("::2") && !may("10.0.0.1"));
        assert!(config.metrics_allow.is_empty());
    }

    #[test]
    fn addresses_and_networks_are_read() {
        let config = check("[control]\nng_allow = [\"192.0.2.7\", \"2001:db8::/32\"]\n").unwrap();
        let networks: Vec<_> = config.allow.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["192.0.2.7/32", "2001:db8::/32"]);
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_its_cure() {
        let cases = [
            ("listen_tcp = [\"127.0.0.1:0\"]", "no port"),
            ("listen_http = [\"[ff02::1]:80\"]", "a group"),
            ("listen_tcp = [\"[::1]:80\", \"[::1]:80\"]", "twice"),
            ("ng_allow = [\"proxy\"]", "neither an address"),
            ("metrics_allow = [\"10.0.0.0/33\"]", "neither an address"),
            ("connections_max = 0", "not within"),
            ("listen_https = [\"[::1]:0\"]", "no port"),
            ("listen_https = [\"[::1]:443\"]", "needs a certificate"),
            ("connections_max = 100000", "not within"),
        ];
        for (line, problem) in cases {
            let error = check(&format!("[control]\n{line}\n")).unwrap_err();
            assert!(error.contains(problem), "{error}");
            assert!(error.contains("tandem.toml:2"), "{error}");
        }
        let twice = "[control]\nlisten_tcp = [\"[::1]:80\"]\nlisten_http = [\"[::1]:80\"]\n";
        assert!(check(twice).unwrap_err().contains("listen_tcp, too"));
    }

    #[test]
    fn a_certificate_is_read_beside_the_file_and_found_wrong_by_a_check_but_not_by_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let (files, _) = crate::tls::tests::write(folder.path());
        let check = |more: &str| {
            let text = format!("[control]\nlisten_https = [\"[::1]:443\"]\n{more}");
            let path = folder.path().join("tandem.toml");
            let loaded = Loaded::parse(&path, &text).unwrap();
            let config = NgConfig::check(&loaded).expect("files are no setting");
            let checked = config.check_files(&loaded);
            checked.map(|()| config).map_err(|error| error.to_string())
        };
        let both = "tls_certificate = \"cert.pem\"\ntls_key = \"key.pem\"\n";
        assert_eq!(check(both).unwrap().tls, Some(files));
        let error = check("tls_certificate = \"cert.pem\"\n").unwrap_err();
        assert!(error.contains("no private key in PEM"), "{error}");
        let none = "tls_certificate = \"cert.pem\"\ntls_key = \"none.pem\"\n";
        let error = check(none).unwrap_err();
        assert!(error.contains("tandem.toml:4"), "{error}");
        assert!(
            error.contains("control.tls_key") && error.contains("none.pem"),
            "{error}"
        );
    }
}
