//! Where one scenario takes place: a folder, a network and a turn.

use std::fs::{self, File, OpenOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FlockOperation, Mode, flock};
use tempfile::TempDir;

/// A scenario's folder, its part of the loopback network, and the right to load this machine.
///
/// All of 127.0.0.0/8 is this host, so a /24 drawn from it has every port free, whatever else runs
/// here; and a socket's address alone says which site it belongs to.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    network: [u8; 3],
    /// Held to the end: closing the file gives the turn to the next.
    _turn: File,
}

impl Site {
    /// Waits for this scenario's turn, then takes a new folder and network.
    ///
    /// # Panics
    ///
    /// When the folder cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let turn = take_turn();
        let folder = tempfile::Builder::new()
            .prefix("tandem-test-")
            .tempdir()
            .expect("the temporary folder takes files");
        Self {
            folder,
            network: draw_network(),
            _turn: turn,
        }
    }

    /// The scenario's folder; removed at the end.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the scenario's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a folder in the scenario's folder.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn subfolder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("the scenario's folder takes folders");
        path
    }

    /// An address of the scenario's network.
    #[must_use]
    pub fn ip(&self, host: u8) -> IpAddr {
        let [a, b, c] = self.network;
        IpAddr::V4(Ipv4Addr::new(a, b, c, host))
    }

    /// An address and port of the scenario's network.
    #[must_use]
    pub fn address(&self, host: u8, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(host), port)
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// Load scenarios disturb one another, and plain `cargo test` runs tests at once: a lock on a file
/// that all test processes of this machine know lets one through at a time.
fn take_turn() -> File {
    let path = std::env::temp_dir().join("tandem-tests.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .open(&path)
        .or_else(|_| File::open(&path))
        .expect("the temporary folder takes a lock file");
    // Another user's tests must be able to lock it too; only its owner may change the mode.
    let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(0o666));
    flock(&file, FlockOperation::LockExclusive).expect("a file can be locked");
    file
}

/// Draws 127.B.C: B from 16 to 239, so that nothing of the system's own (127.0.0.1, 127.0.0.53,
/// 127.0.1.1) is in it.
fn draw_network() -> [u8; 3] {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    let turn = DRAWN.fetch_add(1, Ordering::Relaxed);
    let number = std::process::id()
        .wrapping_mul(2_654_435_761)
        .wrapping_add(turn.wrapping_mul(40_503));
    let [_, _, high, low] = number.to_be_bytes();
    [127, 16 + high % 224, low]
}
