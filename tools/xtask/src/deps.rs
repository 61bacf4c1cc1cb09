//! Who may import whom.
//!
//! ```text
//! relay-core ─►  relay-srtp      ─►  relay-wire, relay-rtp
//! relay      ─►  relay-core      ─►  relay-wire  ─►  relay-rtp        relay         ─►  relay-transcode  ─►  codec  ─►  codec-catalog
//! relay      ─►  relay-xdp
//! control    ─►  control-core    ─►  relay-wire                       control-core  ─►  control-ng, codec-catalog
//! sip-proxy  ─►  sip-proxy-core  ─►  sip-proxy-message                sip-proxy     ─►  control-ng, sip-proxy-store
//! driver         core (no I/O)       leaf (no I/O)
//! ```
//!
//! Relay and control meet in relay-wire only, sip-proxy and control in control-ng only, so that
//! each can be rewritten behind its crate.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, bail};

use crate::metadata::{Metadata, Package, Scope, closure};

/// Each package with all of ours that it may import. Who is not listed here may not exist.
const MAY_IMPORT: [(&str, &[&str]); 27] = [
    // Leaves: no I/O.
    ("codec-catalog", &[]),
    ("control-ng", &[]),
    ("relay-ice", &[]),
    ("relay-rtp", &[]),
    ("relay-wire", &["relay-rtp"]),
    ("relay-srtp", &["relay-rtp", "relay-wire"]),
    ("sip-proxy-message", &[]),
    // Cores: no I/O.
    ("codec", &["codec-catalog"]),
    (
        "control-core",
        &["codec-catalog", "control-ng", "relay-wire"],
    ),
    (
        "relay-core",
        &["relay-ice", "relay-rtp", "relay-srtp", "relay-wire"],
    ),
    ("relay-transcode", &["codec", "codec-catalog", "relay-rtp"]),
    // The kernel's side of the relay.
    ("relay-xdp", &[]),
    // Handshakes: no I/O of their own, but the system's randomness.
    ("relay-dtls", &["relay-wire"]),
    ("sip-proxy-core", &["sip-proxy-message"]),
    // Shared by binaries.
    ("sip-proxy-store", &["sip-proxy-core"]),
    ("tandem-load", &["control-ng", "sip-proxy-message"]),
    ("tandem-settings", &[]),
    // Drivers.
    (
        "control",
        &[
            "control-core",
            "control-ng",
            "relay-wire",
            "tandem-settings",
        ],
    ),
    (
        "relay",
        &[
            "codec",
            "codec-catalog",
            "relay-core",
            "relay-dtls",
            "relay-rtp",
            "relay-srtp",
            "relay-transcode",
            "relay-wire",
            "relay-xdp",
            "tandem-settings",
        ],
    ),
    (
        "sip-proxy",
        &[
            "control-ng",
            "sip-proxy-core",
            "sip-proxy-message",
            "sip-proxy-store",
            "tandem-settings",
        ],
    ),
    // Tools, tests, benches: cores and leaves; the binaries run as processes.
    ("bench", ANY_CORE_OR_LEAF),
    ("compare-relays", ANY_CORE_OR_LEAF),
    ("tandem-allocations", &[]),
    ("tandem-ctl", ANY_CORE_OR_LEAF),
    ("tandem-fuzz", ANY_CORE_OR_LEAF),
    ("tandem-tests", ANY_CORE_OR_LEAF),
    ("xtask", &["tandem-settings"]),
];

const ANY_CORE_OR_LEAF: &[&str] = &[
    "codec",
    "codec-catalog",
    "control-core",
    "control-ng",
    "relay-core",
    "relay-dtls",
    "relay-ice",
    "relay-rtp",
    "relay-srtp",
    "relay-transcode",
    "relay-wire",
    "relay-xdp",
    "sip-proxy-core",
    "sip-proxy-message",
    "sip-proxy-store",
    "tandem-load",
    "tandem-settings",
];

/// Cores and leaves that perform no I/O: `forbid(unsafe_code)`, a `clippy.toml` beside them, and
/// none of [`IO_CRATES`] below them.
const SANS_IO: [&str; 12] = [
    "codec",
    "codec-catalog",
    "control-core",
    "control-ng",
    "relay-core",
    "relay-ice",
    "relay-rtp",
    "relay-srtp",
    "relay-transcode",
    "relay-wire",
    "sip-proxy-core",
    "sip-proxy-message",
];

/// Crates that reach the system, or set logging up.
const IO_CRATES: [&str; 10] = [
    "crossbeam",
    "getrandom",
    "io-uring",
    "mio",
    "rusqlite",
    "rustix",
    "signal-hook",
    "socket2",
    "tokio",
    "tracing-subscriber",
];

/// The one that may be imported by a test or bench of another package, and by whom.
const TEST_EXCEPTIONS: [(&str, &str); 1] = [("bench", "relay")];

/// Compares the packages with the table.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::load()?;
    let mut faults = Vec::new();
    for (name, package) in metadata.ours() {
        match MAY_IMPORT.iter().find(|(it, _)| *it == name) {
            None => faults.push(format!(
                "{name} is not in the table of tools/xtask/src/deps.rs"
            )),
            Some((_, allowed)) => {
                faults.extend(imports_beyond(&metadata, package, allowed));
            }
        }
        let closure = closure(package)?;
        faults.extend(runtime_faults(name, &closure));
        if SANS_IO.contains(&name) {
            faults.extend(io_faults(package, &closure));
        }
    }
    if !faults.is_empty() {
        bail!("layering:\n  {}", faults.join("\n  "));
    }
    println!(
        "layering: {} packages import what they may",
        metadata.ours().len()
    );
    Ok(())
}

fn imports_beyond(metadata: &Metadata, package: &Package, allowed: &[&str]) -> Vec<String> {
    let name = package.name.as_str();
    let beyond = |scope: Scope| {
        let imports = metadata.imports(package, scope).into_iter();
        imports
            .filter(|import| metadata.is_ours(import))
            .map(|import| import.name.as_str())
            .filter(|import| *import != name && !allowed.contains(import))
            .filter(move |import| {
                // Tests may look further, but never at a driver.
                scope == Scope::Use
                    || is_driver(import) && !TEST_EXCEPTIONS.contains(&(name, import))
            })
            .map(move |import| match scope {
                Scope::Tests => format!("{name} must not import {import}, not even in tests"),
                Scope::Use => format!("{name} must not import {import}"),
            })
    };
    beyond(Scope::Use).chain(beyond(Scope::Tests)).collect()
}

fn is_driver(name: &str) -> bool {
    matches!(name, "control" | "relay" | "sip-proxy")
}

/// No tokio under the relay, no io-uring outside it and the floor that it is measured beside.
fn runtime_faults(name: &str, closure: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    if name.starts_with("relay") && closure.contains("tokio") {
        faults.push(format!("{name} is built on tokio"));
    }
    let may_use_rings = matches!(name, "relay" | "compare-relays");
    if !may_use_rings && closure.contains("io-uring") && !closure.contains("relay") {
        faults.push(format!(
            "{name} is built on io-uring, which is the relay's alone"
        ));
    }
    faults
}

fn io_faults(package: &Package, closure: &BTreeSet<String>) -> Vec<String> {
    let name = package.name.as_str();
    let mut faults: Vec<String> = IO_CRATES
        .iter()
        .filter(|import| closure.contains(**import))
        .map(|import| format!("{name} performs no I/O, but is built on {import}"))
        .collect();
    let Some(folder) = package.manifest_path.parent() else {
        return faults;
    };
    if !folder.join("clippy.toml").is_file() {
        faults.push(format!("{name} has no clippy.toml that forbids I/O"));
    }
    let lib = fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
    // The codecs may one day call a C library, behind one `expect`.
    let is_safe = lib.contains("#![forbid(unsafe_code)]")
        || name == "codec" && lib.contains("#![deny(unsafe_code)]");
    if !is_safe {
        faults.push(format!("{name} does not forbid unsafe code"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_out() {
        for (name, allowed) in MAY_IMPORT {
            for import in allowed {
                let is_known = MAY_IMPORT.iter().any(|(it, _)| it == import);
                assert!(is_known, "{name} may import {import}, which does not exist");
                assert!(
                    !is_driver(import),
                    "nothing imports a driver, but {name} does"
                );
            }
        }
        for name in SANS_IO {
            let (_, allowed) = MAY_IMPORT.iter().find(|(it, _)| *it == name).unwrap();
            assert!(
                allowed.iter().all(|import| SANS_IO.contains(import)),
                "{name}"
            );
        }
    }
}
