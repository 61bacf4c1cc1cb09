//! What `/proc` says of a process, which no daemon can get wrong about itself.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process of this machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
}

impl Process {
    /// Its open file descriptors, as a count.
    ///
    /// # Panics
    ///
    /// When there is no such process.
    #[must_use]
    #[track_caller]
    pub fn fd_count(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid))
            .unwrap_or_else(|error| panic!("process {}: {error}", self.pid))
            .count()
    }

    /// Memory that it occupies, in KiB.
    ///
    /// # Panics
    ///
    /// When there is no such process.
    #[must_use]
    #[track_caller]
    pub fn rss_kib(self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))
            .unwrap_or_else(|error| panic!("process {}: {error}", self.pid));
        let field = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = field.and_then(|text| text.trim().strip_suffix("kB"));
        number
            .and_then(|text| text.trim().parse().ok())
            .expect("a living process has a resident set")
    }

    /// Whether it exists and is not a zombie.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self.stat()
            .is_some_and(|(state, _)| state != 'Z' && state != 'X')
    }

    /// Kills it without warning (SIGKILL).
    ///
    /// # Panics
    ///
    /// When there is no such process.
    #[track_caller]
    pub fn kill(self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let killed = kill_process(pid.expect("process ids are positive"), Signal::KILL);
        killed.unwrap_or_else(|error| panic!("process {}: {error}", self.pid));
    }

    /// Processes that it started and that still exist.
    #[must_use]
    pub fn children(self) -> Vec<Self> {
        all_processes()
            .filter(|process| process.stat().is_some_and(|(_, parent)| parent == self.pid))
            .collect()
    }

    /// File name of its executable; empty once it is gone.
    #[must_use]
    pub fn executable(self) -> String {
        let link = fs::read_link(format!("/proc/{}/exe", self.pid)).unwrap_or_default();
        let name = link.file_name().unwrap_or_default().to_string_lossy();
        // The kernel marks a file that was replaced by a newer build.
        name.trim_end_matches(" (deleted)").to_owned()
    }

    /// Real user id that it runs as.
    #[must_use]
    pub fn uid(self) -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let field = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        field.split_whitespace().next()?.parse().ok()
    }

    /// Its effective capabilities, as bits.
    #[must_use]
    pub fn capabilities(self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let field = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(field.trim(), 16).ok()
    }

    /// The capabilities that each of its threads could use, as bits.
    #[must_use]
    pub fn permitted(self) -> Vec<u64> {
        self.of_each_thread("CapPrm:")
            .iter()
            .filter_map(|it| u64::from_str_radix(it, 16).ok())
            .collect()
    }

    /// Whether none of its threads gets more privileges by executing something.
    #[must_use]
    pub fn gains_none(self) -> bool {
        let each = self.of_each_thread("NoNewPrivs:");
        !each.is_empty() && each.iter().all(|it| it == "1")
    }

    /// A field of the status of each thread.
    fn of_each_thread(self, field: &str) -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid));
        let threads = threads.into_iter().flatten().flatten();
        let status = threads.filter_map(|it| fs::read_to_string(it.path().join("status")).ok());
        status
            .filter_map(|status| {
                let value = status.lines().find_map(|line| line.strip_prefix(field))?;
                Some(value.trim().to_owned())
            })
            .collect()
    }

    /// State and parent.
    fn stat(self) -> Option<(char, u32)> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The name stands in parentheses and may contain any of them.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        Some((state, fields.next()?.parse().ok()?))
    }
}

fn all_processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(|pid| Process { pid })
}

/// Whether a process listens on a Unix socket; its file alone does not say so.
#[must_use]
pub fn is_listening(path: &Path) -> bool {
    let table =
        fs::read_to_string("/proc/thread-self/net/unix").expect("Linux has a table of sockets");
    let path = path.to_string_lossy();
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The fourth field is the flags; this one is __SO_ACCEPTCON.
        fields.get(3) == Some(&"00010000") && fields.last() == Some(&&*path)
    })
}

/// Local ports of the UDP sockets that are bound to an address, in order.
///
/// # Panics
///
/// When the address is not IPv4.
#[must_use]
#[track_caller]
pub fn udp_sockets_on(address: IpAddr) -> Vec<u16> {
    let IpAddr::V4(wanted) = address else {
        panic!("{address}: a site's network is IPv4");
    };
    let table =
        fs::read_to_string("/proc/thread-self/net/udp").expect("Linux has a table of sockets");
    let local = table.lines().skip(1).filter_map(local_address);
    let mut ports: Vec<u16> = local
        .filter(|(ip, _)| *ip == wanted)
        .map(|(_, port)| port)
        .collect();
    ports.sort_unstable();
    ports
}

/// The second column: address and port in hexadecimal, the address in the host's byte order.
fn local_address(line: &str) -> Option<(Ipv4Addr, u16)> {
    let (ip, port) = line.split_whitespace().nth(1)?.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((Ipv4Addr::from(ip.to_ne_bytes()), port))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn finds_a_socket_by_its_address() {
        let socket = UdpSocket::bind("127.9.8.7:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(udp_sockets_on("127.9.8.7".parse().unwrap()), [port]);
        drop(socket);
        assert!(udp_sockets_on("127.9.8.7".parse().unwrap()).is_empty());
    }

    #[test]
    fn a_socket_file_without_its_process_is_not_listening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_listening(&path));
        drop(listener);
        assert!(path.exists() && !is_listening(&path));
    }

    #[test]
    fn reads_its_own_process() {
        let me = Process {
            pid: std::process::id(),
        };
        assert!(me.is_alive());
        assert!(me.fd_count() > 2);
        assert!(me.rss_kib() > 100);
        assert!(!Process { pid: u32::MAX }.is_alive());
    }
}
