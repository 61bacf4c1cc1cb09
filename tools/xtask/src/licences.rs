//! Licences of all dependencies against `deny.toml`.
//!
//! The same file serves cargo-deny, which is not everywhere; the licences need nothing but cargo,
//! so they are checked here. Advisories need a database from the network: `cargo deny check
//! advisories` where there is one.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::metadata::{Metadata, Package};
use crate::{spdx, tree};

#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

/// Checks the licences, and advisories if cargo-deny and its database are here.
pub(crate) fn run() -> Result<()> {
    let deny = fs::read_to_string(tree::root().join("deny.toml")).context("deny.toml")?;
    let deny: Deny = toml::from_str(&deny).context("deny.toml")?;
    let metadata = Metadata::load()?;
    let foreign: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|it| !metadata.is_ours(it))
        .collect();
    let faults: Vec<String> = foreign
        .iter()
        .filter_map(|it| fault(it, &deny.licenses.allow))
        .collect();
    if !faults.is_empty() {
        bail!(
            "licences that deny.toml does not allow:\n  {}",
            faults.join("\n  ")
        );
    }
    println!(
        "licences: {} dependencies, all allowed by deny.toml",
        foreign.len()
    );
    report_duplicates(&foreign);
    advisories()
}

fn fault(package: &Package, allowed: &[String]) -> Option<String> {
    let Package { name, version, .. } = package;
    match (&package.license, &package.license_file) {
        (Some(licence), _) if spdx::is_met(licence, allowed) => None,
        (Some(licence), _) => Some(format!("{name} {version}: {licence}")),
        (None, Some(file)) => Some(format!("{name} {version}: only a file, {}", file.display())),
        (None, None) => Some(format!("{name} {version}: none given")),
    }
}

/// Two versions of one crate cost build time and size, but are not ours to change: told, not
/// refused.
fn report_duplicates(packages: &[&Package]) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    for (name, versions) in versions {
        println!(
            "note: {name} is there in several versions: {}",
            versions.join(", ")
        );
    }
}

/// Known vulnerabilities, where cargo-deny is installed and has its database.
fn advisories() -> Result<()> {
    let has_deny = Command::new("cargo-deny")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_deny {
        println!("advisories: SKIPPED, cargo-deny is not installed");
        return Ok(());
    }
    let status = tree::cargo()
        .args(["deny", "--offline", "check", "advisories"])
        .status()
        .context("cargo deny")?;
    if !status.success() {
        bail!("cargo deny check advisories: {status}");
    }
    Ok(())
}
