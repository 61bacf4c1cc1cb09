//! The socket that control connects to.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, chmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};

use crate::error::StartError;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 16;

/// The socket that control connects to. Removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Listens. A socket that a dead relay left behind is removed.
    ///
    /// # Errors
    ///
    /// When a relay is alive on it, or the system says no.
    pub(crate) fn bind(path: &Path) -> Result<Self, StartError> {
        let failed = |source: io::Error| StartError::Link {
            path: path.to_owned(),
            source,
        };
        let address = SocketAddrUnix::new(path).map_err(|it| failed(it.into()))?;
        if is_answered(&address).map_err(failed)? {
            let path = path.to_owned();
            return Err(StartError::Running { path });
        }
        remove_stale(path).map_err(failed)?;
        let socket = listen_on(&address, path).map_err(|it| failed(it.into()))?;
        Ok(Self {
            socket,
            path: path.to_owned(),
        })
    }

    /// Takes a connection, if there is one.
    pub(crate) fn accept(&self) -> io::Result<Option<OwnedFd>> {
        match accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => Ok(Some(socket)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

fn listen_on(address: &SocketAddrUnix, path: &Path) -> Result<OwnedFd, Errno> {
    let socket = new_socket()?;
    bind(&socket, address)?;
    // Before anybody can connect: until `listen`, connecting is refused.
    chmod(path, Mode::RUSR | Mode::WUSR)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Looks whether anybody listens.
fn is_answered(address: &SocketAddrUnix) -> io::Result<bool> {
    match connect(&new_socket()?, address) {
        // A full backlog is somebody who listens, too.
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes what a dead relay left behind, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something that is no socket is in its place; move it away",
        ));
    }
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn refuses_a_living_relays_place_and_takes_a_dead_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        let listener = Listener::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = Listener::bind(&path).unwrap_err();
        assert!(matches!(error, StartError::Running { .. }), "{error}");

        // What is left of a relay that was killed: the file, and nobody behind it.
        let dead = new_socket().unwrap();
        drop(listener);
        bind(&dead, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        drop(dead);
        assert!(path.exists());
        let listener = Listener::bind(&path).unwrap();
        drop(listener);
        assert!(!path.exists(), "it cleans up");
    }

    #[test]
    fn leaves_what_is_no_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
