//! A proxy in a thread, phones that speak SIP by hand, and a control daemon that can fall silent.

pub(crate) mod control;
pub(crate) mod phone;
pub(crate) mod sip;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sip_proxy::{Limits, ListenAddress, Server, Settings};
use sip_proxy_core::Transport;
use sip_proxy_store::Store;
use tempfile::TempDir;
use tokio::sync::oneshot;

pub(crate) const REALM: &str = "example.org";

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A proxy with the accounts alice and bob, whose passwords are their names.
pub(crate) struct Proxy {
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) settings: Settings,
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn start(control: Option<SocketAddr>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&database(folder.path())).unwrap();
        for user in ["alice", "bob"] {
            store.add_account(user, REALM, user).unwrap();
        }
        drop(store);
        Self::start_in(folder, control)
    }

    fn start_in(folder: TempDir, control: Option<SocketAddr>) -> Self {
        let settings = settings(folder.path(), control);
        let (stop, stopped) = oneshot::channel();
        let (ready, listeners) = std::sync::mpsc::channel();
        let in_thread = settings.clone();
        let thread = std::thread::spawn(move || {
            let runtime = sip_proxy::runtime().unwrap();
            let _within = runtime.enter();
            let server = Server::start(&in_thread).unwrap();
            ready.send(server.listeners().to_vec()).unwrap();
            server.run(async {
                let _ = stopped.await;
            });
        });
        let listeners = listeners.recv_timeout(PATIENCE).unwrap();
        Self {
            udp: listeners[0].address,
            tcp: listeners[1].address,
            settings,
            folder,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Stops and starts again, with other ports and the same database.
    pub(crate) fn restart(mut self) -> Self {
        let control = self.settings.control;
        self.stop();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::start_in(folder, control)
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.settings.database).unwrap()
    }

    /// Asks over the admin socket.
    pub(crate) fn ask(&self, line: &str) -> serde_json::Value {
        use std::io::{BufRead as _, Write as _};
        let mut stream =
            std::os::unix::net::UnixStream::connect(&self.settings.admin_socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut reply = String::new();
        std::io::BufReader::new(stream)
            .read_line(&mut reply)
            .unwrap();
        serde_json::from_str(&reply).unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn database(folder: &Path) -> PathBuf {
    folder.join("tandem.sqlite3")
}

pub(crate) fn settings(folder: &Path, control: Option<SocketAddr>) -> Settings {
    let listen = [Transport::Udp, Transport::Tcp].map(|transport| ListenAddress {
        transport,
        address: "127.0.0.1:0".parse().unwrap(),
    });
    Settings {
        listen: listen.to_vec(),
        advertise: None,
        domains: vec![REALM.to_owned()],
        control,
        control_timeout: Duration::from_secs(2),
        limits: Limits {
            expires_min_s: 1,
            expires_max_s: 3_600,
            contacts_max: 10,
            ring_timeout_s: 180,
            call_duration_max_s: 0,
            requests_per_second_max: 0,
            calls_max: 100,
        },
        connections_max: 100,
        database: database(folder),
        admin_socket: folder.join("sip-proxy.sock"),
    }
}

/// Waits until something is there.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}
