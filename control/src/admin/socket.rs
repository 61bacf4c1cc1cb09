//! The socket and its clients. Nothing here waits: what cannot be read or written now is tried
//! when poll(2) says so.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use control_core::{Control, Now};
use rustix::event::PollFlags;

use super::{answer, limits_if_known};
use crate::kept_limits::KeptLimits;

/// Clients at once. Another one takes the place of the one that came first.
const CLIENTS_MAX: usize = 8;

/// Bytes of a request at most.
const LINE_LEN_MAX: usize = 4_096;

/// The socket. It is removed from the file system when this is dropped.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    /// What has come of the next request.
    incoming: Vec<u8>,
    /// What has not been read of the replies.
    outgoing: Vec<u8>,
    /// It is to be told what limits are, once it is known whether they are kept.
    is_waiting: bool,
    is_gone: bool,
}

impl AdminSocket {
    /// Makes the socket, in the place of one that a dead process left behind.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if a live process has it, or as the system says.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            return Err(ErrorKind::AddrInUse.into());
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Self {
            listener: UnixListener::bind(path)?,
            path: path.to_owned(),
            clients: Vec::new(),
        };
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        socket.listener.set_nonblocking(true)?;
        Ok(socket)
    }

    /// What to wait for.
    pub(crate) fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let clients = self.clients.iter().filter(|client| !client.is_waiting);
        let clients = clients.map(|client| {
            let flags = match client.outgoing.is_empty() {
                true => PollFlags::IN,
                false => PollFlags::OUT,
            };
            (client.stream.as_fd(), flags)
        });
        std::iter::once((self.listener.as_fd(), PollFlags::IN)).chain(clients)
    }

    /// Serves whoever is there; `true` if control is to stop.
    pub(crate) fn serve(&mut self, control: &mut Control, kept: &mut KeptLimits, now: Now) -> bool {
        let mut must_stop = false;
        for client in &mut self.clients {
            must_stop |= client.serve(control, kept, now);
        }
        self.clients.retain(|client| !client.is_gone);
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() == CLIENTS_MAX {
                self.clients.remove(0);
            }
            self.clients.push(Client {
                stream,
                incoming: Vec::new(),
                outgoing: Vec::new(),
                is_waiting: false,
                is_gone: false,
            });
        }
        must_stop
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Client {
    /// Answers what has come; `true` if control is to stop.
    fn serve(&mut self, control: &mut Control, kept: &mut KeptLimits, now: Now) -> bool {
        let mut must_stop = false;
        loop {
            if self.is_waiting {
                let Some(limits) = limits_if_known(control, kept) else {
                    return must_stop;
                };
                self.is_waiting = false;
                self.outgoing = format!("{limits}\n").into_bytes();
            }
            self.write();
            // One who does not read is not answered.
            if self.is_gone || !self.outgoing.is_empty() {
                return must_stop;
            }
            if let Some(end) = self.incoming.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.incoming.drain(..=end).collect();
                let answered = answer(control, kept, now, &line);
                must_stop |= answered.must_stop;
                match answered.reply {
                    Some(reply) => self.outgoing = format!("{reply}\n").into_bytes(),
                    None => self.is_waiting = true,
                }
            } else if self.incoming.len() >= LINE_LEN_MAX {
                self.is_gone = true;
            } else if !self.read() {
                return must_stop;
            }
        }
    }

    /// Reads what is there; `false` if there is nothing new.
    fn read(&mut self) -> bool {
        let mut buffer = [0; LINE_LEN_MAX];
        let room = LINE_LEN_MAX.saturating_sub(self.incoming.len());
        match self.stream.read(&mut buffer[..room]) {
            Ok(0) => {
                self.is_gone = true;
                false
            }
            Ok(len) => {
                self.incoming.extend_from_slice(&buffer[..len]);
                true
            }
            Err(error) => {
                self.note(&error);
                false
            }
        }
    }

    fn write(&mut self) {
        while !self.outgoing.is_empty() && !self.is_gone {
            match self.stream.write(&self.outgoing) {
                Ok(len) => drop(self.outgoing.drain(..len)),
                Err(error) => return self.note(&error),
            }
        }
    }

    fn note(&mut self, error: &io::Error) {
        let is_later = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
        self.is_gone |= !is_later;
    }
}
