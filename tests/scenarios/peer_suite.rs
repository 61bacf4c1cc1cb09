//! rtpengine's own tests, block by block: those that pass may only become more.
//!
//! They are not ours to copy, so this runs where they are at hand: `TANDEM_PEER_SUITE` is the
//! folder of `run.sh` (default: `../shared/peer-suite`), `TANDEM_PEER_TREE` a checkout of the peer
//! with its `t/` and `perl/`. The blocks that must pass are listed in `tests/peer-suite/passing`,
//! as of the commit that is named there; with `TANDEM_PEER_SUITE_UPDATE=1` what passes is added,
//! and is no longer said to be out of scope.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tandem_tests::binary;

#[test]
fn blocks_of_the_peer_that_passed_before_pass_again() {
    let Some((suite, tree)) = suite_and_tree() else {
        // Said aloud, and no failure even where nothing may be skipped: the tests of others are at
        // hand in few places.
        let reason = "TANDEM_PEER_TREE names no checkout of rtpengine, or its suite is not there";
        let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
        return;
    };
    let lists = lists();
    assert!(!lists.is_empty(), "there is something that must pass");
    let logs = tempfile::tempdir().unwrap();
    run(&suite, &tree, &lists, logs.path());
    let mut failures = Vec::new();
    for list in &lists {
        let must = blocks(list);
        let name = list.file_stem().unwrap().to_string_lossy().into_owned();
        let does = blocks(&logs.path().join(format!("{name}.ok")));
        failures.extend(must.difference(&does).map(|it| format!("{name}: {it}")));
        let more: BTreeSet<_> = does.difference(&must).cloned().collect();
        println!("{name}: {} must pass, {} more do", must.len(), more.len());
        if env::var_os("TANDEM_PEER_SUITE_UPDATE").is_some_and(|it| it == "1") {
            let all: Vec<_> = must.union(&more).map(|it| it.clone() + "\n").collect();
            fs::write(list, all.concat()).unwrap();
            strike_out(&name, &does);
        }
    }
    assert!(failures.is_empty(), "no more: {}", failures.join("\n"));
}

fn suite_and_tree() -> Option<(PathBuf, PathBuf)> {
    let default = || repository().join("../shared/peer-suite");
    let suite = env::var_os("TANDEM_PEER_SUITE").map_or_else(default, PathBuf::from);
    let tree = PathBuf::from(env::var_os("TANDEM_PEER_TREE")?);
    let is_there = suite.join("run.sh").is_file() && tree.join("t").is_dir();
    is_there.then_some((suite, tree))
}

/// Has the suite run its files against our daemons.
fn run(suite: &Path, tree: &Path, lists: &[PathBuf], logs: &Path) {
    let daemon = repository().join("tests/peer-suite/daemon.sh");
    let names = lists.iter().map(|list| list.file_stem().unwrap());
    let tandem = binary("tandem");
    for needed in ["tandem-relay", "tandem-control"] {
        let _ = binary(needed);
    }
    // Its exit code says whether every block passed; which did stands in files.
    let status = Command::new(suite.join("run.sh"))
        .arg(tree)
        .arg(format!("exec {} \"$@\"", daemon.display()))
        .args(names)
        .env("TANDEM_BIN", tandem.parent().unwrap())
        .env("SUITE_LOGS", logs)
        .status();
    status.expect("the suite can be run");
}

/// The lists of blocks that must pass, one for each file of the suite.
fn lists() -> Vec<PathBuf> {
    let folder = repository().join("tests/peer-suite/passing");
    let entries = fs::read_dir(folder).expect("the lists are in the repository");
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut lists: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "txt"))
        .collect();
    lists.sort();
    lists
}

fn blocks(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Takes blocks that pass out of the list of those that need what is not there.
fn strike_out(name: &str, does: &BTreeSet<String>) {
    let path = repository().join(format!("tests/peer-suite/out-of-scope/{name}.txt"));
    let listed = blocks(&path);
    let passes = |line: &String| {
        let block = line.split_once(": ").map(|(_, block)| block);
        block.is_some_and(|block| does.contains(block))
    };
    let left: Vec<_> = listed.iter().filter(|it| !passes(it)).collect();
    if left.len() < listed.len() {
        let lines = left.into_iter().map(|it| it.clone() + "\n");
        fs::write(path, lines.collect::<String>()).unwrap();
    }
}

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("it lies in the repository").to_owned()
}
