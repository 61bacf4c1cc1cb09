//! Sockets that whoever started this process had bound for it: systemd's socket activation
//! (sd_listen_fds(3)), which `tandem run` follows, too.
//!
//! Such a socket outlives this process. What is sent to it meanwhile waits in its buffer and is
//! answered by the next control, where the kernel would refuse it and the proxy would take the
//! relay for dead.
//!
//! Descriptors from 3 on, as many as `LISTEN_FDS` says, if `LISTEN_PID` is this process or is not
//! there: who starts a process by other means than fork(2) cannot know its number.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};

use listenfd::ListenFd;
use socket2::SockRef;
use tracing::warn;

/// More descriptors than anybody passes on purpose.
const DESCRIPTORS_MAX: usize = 64;

/// What this process was started with.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<UdpSocket>,
    /// What was closed at once, to be told when there is a log.
    refused: Vec<String>,
}

impl Inherited {
    /// Takes what is there. To be called once, before anything opens a file or starts a thread:
    /// it takes descriptors by their numbers, and clears the variables that told of them, so that
    /// no child of this process takes them, too.
    #[must_use]
    pub fn from_environment() -> Self {
        let count = std::env::var("LISTEN_FDS").ok();
        let count = count.and_then(|count| count.parse::<usize>().ok());
        match count {
            Some(count @ 1..=DESCRIPTORS_MAX) => Self::take(ListenFd::from_env(), count),
            _ => Self::default(),
        }
    }

    fn take(mut passed: ListenFd, count: usize) -> Self {
        let mut inherited = Self::default();
        for index in 0..count.min(passed.len()) {
            match passed.take_udp_socket(index) {
                Ok(socket) => inherited.sockets.extend(socket),
                Err(error) => {
                    inherited.refused.push(error.to_string());
                    if let Ok(Some(descriptor)) = passed.take_raw_fd(index) {
                        // There may be none of this number.
                        let _ = nix::unistd::close(descriptor);
                    }
                }
            }
        }
        inherited
    }

    /// Keeps what can serve these addresses, says what cannot, and closes that.
    pub(crate) fn keep(&mut self, wanted: &[SocketAddr]) {
        for problem in self.refused.drain(..) {
            warn!(%problem, "closing what was passed to this process: it takes UDP sockets only");
        }
        let mut kept: Vec<UdpSocket> = Vec::new();
        for socket in self.sockets.drain(..) {
            match check(&socket, wanted, &kept) {
                Ok(()) => kept.push(socket),
                Err(problem) => {
                    let local = socket.local_addr().ok().map(tracing::field::display);
                    warn!(local, %problem, "closing a socket that was passed to this process");
                }
            }
        }
        self.sockets = kept;
    }

    /// The socket of this address, if one was passed.
    pub(crate) fn socket(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        let is_bound = |socket: &UdpSocket| is_bound_to(socket, address);
        let index = self.sockets.iter().position(is_bound)?;
        Some(self.sockets.swap_remove(index))
    }
}

/// Why a socket cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Unfit {
    Connected,
    DualStack,
    Superfluous,
    Unwanted,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "it is connected, so nobody else could ask",
            Self::DualStack => "it takes IPv4, too; a unit needs BindIPv6Only=ipv6-only",
            Self::Superfluous => "there is another one with its address",
            Self::Unwanted => "control.listen does not have its address",
        })
    }
}

fn check(socket: &UdpSocket, wanted: &[SocketAddr], kept: &[UdpSocket]) -> Result<(), Unfit> {
    let mut wanted = wanted.iter();
    let Some(&address) = wanted.find(|address| is_bound_to(socket, **address)) else {
        return Err(Unfit::Unwanted);
    };
    if kept.iter().any(|other| is_bound_to(other, address)) {
        return Err(Unfit::Superfluous);
    }
    if socket.peer_addr().is_ok() {
        return Err(Unfit::Connected);
    }
    // Proxies would have addresses that no network of the settings contains.
    let is_wildcard6 = address.is_ipv6() && address.ip().is_unspecified();
    if is_wildcard6 && !SockRef::from(socket).only_v6().unwrap_or(false) {
        return Err(Unfit::DualStack);
    }
    Ok(())
}

fn is_bound_to(socket: &UdpSocket, address: SocketAddr) -> bool {
    socket.local_addr().is_ok_and(|local| local == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(address: &str) -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn only_sockets_of_addresses_that_are_listened_to_are_kept() {
        let (wanted, address) = bind("127.0.0.1:0");
        let twin = wanted.try_clone().unwrap();
        let (unwanted, elsewhere) = bind("127.0.0.1:0");
        let mut inherited = Inherited {
            sockets: vec![unwanted, wanted, twin],
            refused: vec!["no socket".to_owned()],
        };
        inherited.keep(&[address]);
        assert_eq!(inherited.sockets.len(), 1);
        assert!(inherited.socket(elsewhere).is_none());
        let socket = inherited.socket(address).unwrap();
        assert_eq!(socket.local_addr().unwrap(), address);
        assert!(inherited.socket(address).is_none(), "taken once");
    }

    #[test]
    fn a_socket_that_others_could_not_be_heard_by_is_not_kept() {
        let (socket, address) = bind("127.0.0.1:0");
        assert_eq!(check(&socket, &[address], &[]), Ok(()));
        let (other, _) = bind("127.0.0.1:0");
        socket.connect(other.local_addr().unwrap()).unwrap();
        assert_eq!(check(&socket, &[address], &[]), Err(Unfit::Connected));
        if UdpSocket::bind("[::1]:0").is_err() {
            eprintln!("SKIPPED: this host has no IPv6");
            return;
        }
        let (socket, address) = bind("[::]:0");
        assert_eq!(check(&socket, &[address], &[]), Err(Unfit::DualStack));
        let (socket, address) = bind("[::1]:0");
        assert_eq!(check(&socket, &[address], &[]), Ok(()));
    }
}
