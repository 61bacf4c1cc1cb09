//! ng on all transports: messages in, messages out.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use control_core::{Carrier, Client, KeyReport};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::error::StartError;
use crate::inherited::Inherited;
use crate::listeners::{Inbound, REQUEST_BYTES_MAX, Streams};
use crate::ng_gate::Gate;
use crate::ng_socket::{NgSocket, Received};

/// Datagrams of strangers that are passed over in one turn.
const STRANGERS_MAX: u32 = 64;

/// Who waits for numbers at once.
const ASKERS_MAX: usize = 64;

/// All that ng is received on: sockets for datagrams, and what other transports hand over.
#[derive(Debug)]
pub(crate) struct NgServer {
    sockets: Vec<NgSocket>,
    streams: Option<Streams>,
    gate: Arc<Gate>,
    buffer: Vec<u8>,
    metrics_askers: Vec<oneshot::Sender<String>>,
}

impl NgServer {
    /// Binds all addresses that no socket was passed for.
    pub(crate) fn bind(config: &Config, inherited: Inherited) -> Result<Self, StartError> {
        let gate = Arc::new(Gate::new(&config.ng));
        Ok(Self {
            sockets: Self::bind_datagrams(&config.listen, inherited)?,
            streams: Streams::start(&config.ng, &gate)?,
            gate,
            buffer: vec![0; REQUEST_BYTES_MAX],
            metrics_askers: Vec::new(),
        })
    }

    fn bind_datagrams(
        listen: &[SocketAddr],
        mut inherited: Inherited,
    ) -> Result<Vec<NgSocket>, StartError> {
        inherited.keep(listen);
        let mut sockets = Vec::with_capacity(listen.len());
        for &address in listen {
            let passed = inherited.socket(address);
            let is_inherited = passed.is_some();
            let socket = match passed {
                Some(socket) => NgSocket::adopt(socket),
                None => NgSocket::bind(address),
            };
            let socket = socket.map_err(|source| StartError::Listen { address, source })?;
            if !address.ip().is_loopback() {
                warn!(
                    %address,
                    "whoever can send to this address directs media: let only the proxies reach it"
                );
            }
            info!(address = %socket.local(), is_inherited, "listening for ng");
            sockets.push(socket);
        }
        Ok(sockets)
    }

    /// The sockets to wait for.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let streams = self.streams.iter().map(AsFd::as_fd);
        self.sockets.iter().map(AsFd::as_fd).chain(streams)
    }

    /// Reads a datagram from one of them, if there is one, or what came over a stream. Its bytes
    /// are those of [`Self::datagram`].
    pub(crate) fn receive(&mut self, index: usize) -> Option<(Client, usize)> {
        if index >= self.sockets.len() {
            return self.receive_message();
        }
        for _ in 0..STRANGERS_MAX {
            let received = self.receive_datagram(index)?;
            if self.gate.admits(received.remote, received.local) {
                let client = Client::new(Carrier::Datagram, received.remote, received.local);
                return Some((client, received.len));
            }
        }
        None
    }

    fn receive_datagram(&mut self, index: usize) -> Option<Received> {
        let received = self.sockets.get(index)?.receive(&mut self.buffer);
        if let Err(error) = &received
            && error.kind() != io::ErrorKind::WouldBlock
        {
            debug!(%error, "a datagram could not be read");
        }
        received.ok()
    }

    fn receive_message(&mut self) -> Option<(Client, usize)> {
        loop {
            match self.streams.as_mut()?.receive()? {
                Inbound::Metrics(asker) => {
                    if self.metrics_askers.len() < ASKERS_MAX {
                        self.metrics_askers.push(asker);
                    }
                }
                Inbound::Request { client, message } => {
                    let len = message.len().min(self.buffer.len());
                    self.buffer[..len].copy_from_slice(&message[..len]);
                    return Some((client, len));
                }
            }
        }
    }

    /// Reads the certificate of `control.listen_https` again.
    pub(crate) fn reload(&self) {
        match &self.streams {
            Some(streams) => streams.reload(),
            None => info!("told to read the certificate again, but there is none"),
        }
    }

    /// Answers who asked for numbers, if anybody did.
    pub(crate) fn answer_metrics(&mut self, numbers: impl FnOnce() -> String) {
        if self.metrics_askers.is_empty() {
            return;
        }
        let open = self.streams.as_ref().map_or(0, Streams::open);
        let text = numbers() + &self.gate.exposition(open);
        for asker in self.metrics_askers.drain(..) {
            // Who has left meanwhile needs no answer.
            let _ = asker.send(text.clone());
        }
    }

    /// The bytes of the datagram received last.
    pub(crate) fn datagram(&self, len: usize) -> &[u8] {
        &self.buffer[..len]
    }

    /// Tells all clients over TCP of a key.
    pub(crate) fn announce(&self, report: &KeyReport) {
        let Some(streams) = &self.streams else {
            return;
        };
        let mut random = [0; 8];
        // A cookie that nobody else has; which one it is means nothing.
        let _ = getrandom::fill(&mut random);
        let cookie = format!("{:016x}", u64::from_be_bytes(random));
        streams.announce(&report.notification(cookie.as_bytes()));
    }

    /// Sends a datagram, or what is to leave over a stream.
    pub(crate) fn send(&self, client: Client, datagram: &[u8]) {
        if client.carrier == Carrier::Stream {
            return match &self.streams {
                Some(streams) => streams.send(client, datagram.to_vec()),
                None => debug!(to = %client.remote, "no longer listening for streams"),
            };
        }
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
