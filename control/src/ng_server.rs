//! ng over UDP: datagrams in, datagrams out.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use control_core::{Carrier, Client};
use tracing::{debug, info, warn};

use crate::error::StartError;
use crate::ng_socket::NgSocket;

/// Bytes of the longest UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// All sockets that ng is received on.
#[derive(Debug)]
pub(crate) struct NgServer {
    sockets: Vec<NgSocket>,
    buffer: Vec<u8>,
}

impl NgServer {
    /// Binds all addresses.
    pub(crate) fn bind(listen: &[SocketAddr]) -> Result<Self, StartError> {
        let mut sockets = Vec::with_capacity(listen.len());
        for &address in listen {
            let socket = NgSocket::bind(address);
            let socket = socket.map_err(|source| StartError::Listen { address, source })?;
            if !address.ip().is_loopback() {
                warn!(
                    %address,
                    "whoever can send to this address directs media: let only the proxies reach it"
                );
            }
            info!(address = %socket.local(), "listening for ng");
            sockets.push(socket);
        }
        Ok(Self {
            sockets,
            buffer: vec![0; DATAGRAM_BYTES_MAX],
        })
    }

    /// The sockets to wait for.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Reads a datagram from one of them, if there is one. Its bytes are those of
    /// [`Self::datagram`].
    pub(crate) fn receive(&mut self, index: usize) -> Option<(Client, usize)> {
        let socket = self.sockets.get(index)?;
        match socket.receive(&mut self.buffer) {
            Ok(received) => {
                let client = Client::new(Carrier::Datagram, received.remote, received.local);
                Some((client, received.len))
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    debug!(%error, "a datagram could not be read");
                }
                None
            }
        }
    }

    /// The bytes of the datagram received last.
    pub(crate) fn datagram(&self, len: usize) -> &[u8] {
        &self.buffer[..len]
    }

    /// Sends a datagram.
    pub(crate) fn send(&self, client: Client, datagram: &[u8]) {
        let mut sockets = self.sockets.iter();
        let Some(socket) = sockets.find(|socket| socket.serves(client.local)) else {
            debug!(local = %client.local, "no longer listening there");
            return;
        };
        match socket.send(client.local, client.remote, datagram) {
            Ok(()) => {}
            // As if lost on the way: the client asks again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => warn!(to = %client.remote, %error, "a reply could not be sent"),
        }
    }
}
