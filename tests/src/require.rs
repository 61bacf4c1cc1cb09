//! What a scenario needs of the machine, and what happens when it is not there.

use std::env;
use std::io::Write;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::Process;

/// Bit of `CAP_NET_RAW` in the capability sets of `/proc/PID/status`.
const CAP_NET_RAW: u32 = 13;

/// Folders that hold daemons but are not on everybody's `PATH`.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Whether a missing tool is a failure rather than a reason to skip.
#[must_use]
pub fn require_all() -> bool {
    env::var_os("TANDEM_TESTS_REQUIRE_ALL").is_some_and(|value| value == "1")
}

/// Says that a scenario (or a part of it) is left out. Written past libtest's capture, so that a
/// passing run shows it.
///
/// # Panics
///
/// When `TANDEM_TESTS_REQUIRE_ALL=1`.
#[track_caller]
pub fn skip(reason: &str) {
    assert!(!require_all(), "must not be skipped here: {reason}");
    // Nobody is left to be told if stderr is closed.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// Finds a tool of the system; says so and gives `None` when it is missing.
#[must_use]
#[track_caller]
pub fn tool(name: &str) -> Option<PathBuf> {
    let found = search_path()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// Finds one of our own binaries, beside this test's `deps` folder or in `TANDEM_BIN_DIR`.
///
/// # Panics
///
/// When it has not been built: tests do not build, since they may run in a sandbox.
#[must_use]
#[track_caller]
pub fn binary(name: &str) -> PathBuf {
    let folder = env::var_os("TANDEM_BIN_DIR").map_or_else(profile_folder, PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing; build the daemons first: cargo build --workspace --bins",
        path.display()
    );
    path
}

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this process may open raw sockets, as SIPp needs to replay a capture.
#[must_use]
pub fn has_raw_sockets() -> bool {
    let me = Process {
        pid: std::process::id(),
    };
    me.capabilities()
        .is_some_and(|set| set & (1 << CAP_NET_RAW) != 0)
}

/// Lets this process open as many files as the system allows it: crowds have many sockets.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Whoever needs more than there are finds out.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.into_iter().chain(SYSTEM_FOLDERS.map(PathBuf::from))
}

/// `target/debug` for a test in `target/debug/deps`.
fn profile_folder() -> PathBuf {
    let executable = env::current_exe().expect("a running test has a file");
    let profile = executable.ancestors().nth(2);
    profile
        .expect("a test lies in target/PROFILE/deps")
        .to_owned()
}
