//! Whether a daemon is at work, found out without disturbing it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use control_ng::Dictionary;
use rustix::io::Errno;
use tandem_settings::Loaded;

use super::role::Role;
use crate::failure::Failure;
use crate::ng_client::{NgClient, accepted, server_of};

/// Control answers a ping from memory.
const PING_TIMEOUT: Duration = Duration::from_millis(200);

/// Where the daemons can be found.
#[derive(Debug)]
pub(crate) struct Probes {
    relay: PathBuf,
    control: SocketAddr,
    sip_proxy: PathBuf,
}

impl Probes {
    /// As the settings say.
    pub(crate) fn new(loaded: &Loaded) -> Result<Self, Failure> {
        Ok(Self {
            relay: loaded.relay_socket(),
            control: server_of(loaded)?,
            sip_proxy: loaded.sip_proxy_socket(),
        })
    }

    /// Whether the daemon is at work.
    pub(crate) fn is_ready(&self, role: Role) -> bool {
        match role {
            Role::Control => answers_ping(self.control),
            Role::Relay => find_holder(&self.relay).is_ok(),
            Role::SipProxy => UnixStream::connect(&self.sip_proxy).is_ok(),
        }
    }
}

fn answers_ping(server: SocketAddr) -> bool {
    let ping = Dictionary::new().with("command", "ping");
    NgClient::new(server, PING_TIMEOUT)
        .and_then(|client| client.ask(&ping))
        .is_ok_and(|body| accepted(&body).is_ok())
}

/// Succeeds if a process holds the relay's socket.
///
/// The relay takes one connection, control's, and a new one replaces it, so a probe must not get
/// through. It asks for a byte stream, which the relay's socket is not: unix(7) has `EPROTOTYPE`
/// for that, and `ECONNREFUSED` for a file that no process holds any more.
pub(crate) fn find_holder(socket: &Path) -> io::Result<()> {
    match UnixStream::connect(socket) {
        Err(error) if error.raw_os_error() != Some(Errno::PROTOTYPE.raw_os_error()) => Err(error),
        Err(_) | Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

    #[test]
    fn the_relays_socket_is_seen_but_never_connected_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        assert!(find_holder(&path).is_err(), "no file");
        let relay = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        bind(&relay, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&relay, 1).unwrap();
        assert!(find_holder(&path).is_ok());
        rustix::io::ioctl_fionbio(&relay, true).unwrap();
        let connection = rustix::net::accept(&relay);
        assert_eq!(connection.unwrap_err(), Errno::AGAIN, "nobody connected");
        drop(relay);
        assert!(find_holder(&path).is_err(), "a file left behind");
    }
}
