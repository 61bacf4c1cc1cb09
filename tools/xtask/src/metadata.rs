//! What cargo knows of the packages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::tree;

/// `cargo metadata`, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) license_file: Option<PathBuf>,
    pub(crate) manifest_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// `None` for normal dependencies, else `dev` or `build`.
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo about Linux, without touching the lock file.
    pub(crate) fn load() -> Result<Self> {
        let output = tree::cargo()
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .output()
            .context("cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).context("cargo metadata")
    }

    /// Whether the package is ours.
    pub(crate) fn is_ours(&self, package: &Package) -> bool {
        self.workspace_members.contains(&package.id)
    }

    /// Our packages by name.
    pub(crate) fn ours(&self) -> BTreeMap<&str, &Package> {
        self.packages
            .iter()
            .filter(|package| self.is_ours(package))
            .map(|package| (package.name.as_str(), package))
            .collect()
    }

    /// What a package imports: for use, or only for its tests.
    pub(crate) fn imports(&self, package: &Package, scope: Scope) -> Vec<&Package> {
        let node = self.resolve.nodes.iter().find(|node| node.id == package.id);
        let wanted = |dependency: &&Dependency| {
            let is_dev = |kind: &Kind| kind.kind.as_deref() == Some("dev");
            match scope {
                Scope::Tests => dependency.dep_kinds.iter().any(is_dev),
                Scope::Use => !dependency.dep_kinds.iter().all(is_dev),
            }
        };
        node.into_iter()
            .flat_map(|node| &node.deps)
            .filter(wanted)
            .filter_map(|dependency| self.packages.iter().find(|it| it.id == dependency.pkg))
            .collect()
    }
}

/// Names of everything that a package is built from, itself included.
///
/// `cargo tree` rather than the metadata: those unite the features that all packages of the
/// workspace ask for, so that one would seem to be built on what only another switches on.
pub(crate) fn closure(package: &Package) -> Result<BTreeSet<String>> {
    let output = tree::cargo()
        .args([
            "tree",
            "--locked",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}", "--package", &package.name])
        .output()
        .context("cargo tree")?;
    ensure!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.split(' ').next());
    Ok(names.map(ToOwned::to_owned).collect())
}

/// What a dependency is there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    Tests,
    Use,
}
