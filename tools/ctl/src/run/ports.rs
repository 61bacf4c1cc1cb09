//! The ports that the daemons receive on: those of ng are bound here, and who else has one of them
//! is found out.
//!
//! The daemons would find out by themselves; here the operator learns by whom, and which setting
//! to change, before anything is started.

use std::fs;
use std::io;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use tandem_settings::Loaded;

use super::demo::listener;
use crate::failure::Failure;

/// Binds the sockets that control receives ng on. Fails if a port of ng or SIP cannot be had.
pub(crate) fn claim(loaded: &Loaded) -> Result<Vec<UdpSocket>, Failure> {
    let addresses = loaded.file.control.listen.iter().enumerate();
    let sockets = addresses.map(|(index, &address)| {
        let key = format!("control.listen[{index}]");
        bind_ng(address).map_err(|error| explain(loaded, &key, "UDP", address, &error))
    });
    let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
    for (index, text) in loaded.file.sip_proxy.listen.iter().enumerate() {
        // What cannot be read is the daemon's to complain about.
        if let Some((transport, address)) = listener(text) {
            check_one(
                loaded,
                &format!("sip_proxy.listen[{index}]"),
                transport,
                address,
            )?;
        }
    }
    Ok(sockets)
}

/// As control would.
fn bind_ng(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and :: can both be listened to.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    Ok(UdpSocket::from(socket))
}

fn check_one(
    loaded: &Loaded,
    key: &str,
    transport: &str,
    address: SocketAddr,
) -> Result<(), Failure> {
    let bound = match transport {
        "TCP" => TcpListener::bind(address).map(drop),
        _ => UdpSocket::bind(address).map(drop),
    };
    bound.map_err(|error| explain(loaded, key, transport, address, &error))
}

fn explain(
    loaded: &Loaded,
    key: &str,
    transport: &str,
    address: SocketAddr,
    error: &io::Error,
) -> Failure {
    let (problem, cure) = match error.kind() {
        ErrorKind::AddrInUse => {
            let owner = owner_of(transport, address);
            let who = owner.unwrap_or_else(|| "another process (run as root to see which)".into());
            let problem = format!("{transport} port {} is in use by {who}", address.port());
            (problem, "stop that, or set another port here")
        }
        ErrorKind::AddrNotAvailable => {
            let problem = format!("this host has no address {}", address.ip());
            (problem, "set one that `ip address` shows, or 0.0.0.0")
        }
        ErrorKind::PermissionDenied => {
            let problem = format!("{transport} port {} is for root only", address.port());
            (problem, "set one above 1023, or run as root")
        }
        _ => (
            format!("cannot listen on {transport} {address}: {error}"),
            "",
        ),
    };
    Failure::failed(loaded.wrong(key, problem, cure).to_string())
}

/// Name and number of the process with a socket on the port, if this user may know.
fn owner_of(transport: &str, wanted: SocketAddr) -> Option<String> {
    let inodes = match transport {
        "TCP" => [
            inodes_in("/proc/net/tcp", wanted),
            inodes_in("/proc/net/tcp6", wanted),
        ],
        _ => [
            inodes_in("/proc/net/udp", wanted),
            inodes_in("/proc/net/udp6", wanted),
        ],
    };
    let links: Vec<String> = inodes
        .concat()
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    for process in fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        if !process.file_name().to_str().is_some_and(is_process) {
            continue;
        }
        let folder = process.path();
        let holds = fs::read_dir(folder.join("fd"))
            .into_iter()
            .flatten()
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .any(|link| links.iter().any(|it| link.as_os_str() == it.as_str()));
        if holds {
            let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
            let pid = process.file_name();
            return Some(format!("{} (process {})", name.trim(), pid.display()));
        }
    }
    None
}

/// Inodes of the sockets that are in the way of `wanted`: proc_net(5), columns `local_address`
/// and `inode`.
fn inodes_in(table: &str, wanted: SocketAddr) -> Vec<String> {
    let inode = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let address = parse_address(columns.get(1)?)?;
        is_in_the_way(address, wanted).then(|| columns.get(9).map(ToString::to_string))?
    };
    let text = fs::read_to_string(table).unwrap_or_default();
    text.lines().filter_map(inode).collect()
}

/// Reads `0100007F:13C4`: each four bytes of the address as a number of this machine.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words = address.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = match <[u8; 4]>::try_from(&*bytes) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(&*bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// One that is bound to all addresses is in the way of each, and each in the way of it.
fn is_in_the_way(bound: SocketAddr, wanted: SocketAddr) -> bool {
    let (one, other) = (bound.ip(), wanted.ip());
    let overlap = one == other || one.is_unspecified() || other.is_unspecified();
    bound.port() == wanted.port() && overlap
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn names_the_process_and_the_line_when_a_port_is_taken() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let text =
            format!("[control]\nlisten = [\"127.0.0.1:{port}\"]\n[sip_proxy]\nlisten = []\n");
        let loaded = Loaded::parse(Path::new("t.toml"), &text).unwrap();
        let complaint = claim(&loaded).unwrap_err().to_string();
        let expected = format!("t.toml:2:11: control.listen[0]: UDP port {port} is in use by ");
        assert!(complaint.starts_with(&expected), "{complaint}");
        let pid = format!("(process {})", std::process::id());
        assert!(complaint.contains(&pid), "{complaint}");
        drop(taken);
        assert_eq!(claim(&loaded).unwrap().len(), 1);
    }

    #[test]
    fn only_sockets_in_the_way_count() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(
            parse_address("0100007F:13C4"),
            Some(address("127.0.0.1:5060"))
        );
        assert_eq!(
            parse_address("00000000000000000000000001000000:13C4"),
            Some(address("[::1]:5060"))
        );
        assert_eq!(
            parse_address("0000000000000000FFFF00000100007F:13C4"),
            Some(address("127.0.0.1:5060"))
        );
        assert_eq!(parse_address("local_address"), None);
        let wanted = address("127.0.0.1:5060");
        assert!(is_in_the_way(address("0.0.0.0:5060"), wanted));
        assert!(is_in_the_way(wanted, address("0.0.0.0:5060")));
        assert!(!is_in_the_way(address("127.0.0.2:5060"), wanted));
        assert!(!is_in_the_way(address("127.0.0.1:5061"), wanted));
    }

    #[test]
    fn an_address_of_another_host_is_named() {
        let text = "[control]\nlisten = [\"192.0.2.1:2223\"]\n";
        let loaded = Loaded::parse(Path::new("t.toml"), text).unwrap();
        let complaint = claim(&loaded).unwrap_err().to_string();
        assert!(
            complaint.contains("this host has no address 192.0.2.1"),
            "{complaint}"
        );
    }
}
