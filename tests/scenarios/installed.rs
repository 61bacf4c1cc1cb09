//! `make install`, and the units of systemd that it puts into place.
//!
//! No systemd runs where tests run, so the units are verified and rated by its tools, and what the
//! daemons ask of the kernel in real calls is compared with what the units let them ask.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tandem_tests::{DAEMONS, binary, skip, tool};
use tempfile::TempDir;

/// Exposure that `systemd-analyze security` may find at most, in tenths: 0 is none, 100 is all.
const EXPOSURE_TENTHS_MAX: u32 = 20;

/// System calls that only root makes: SQLite gives its files to the folder's owner then.
const ONLY_ROOT: [&str; 1] = ["fchown"];

/// Runs a command that must succeed, and gives both outputs.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it can be started");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// Installs what was built, with these variables of make.
fn install(variables: &[String]) {
    let built = binary("tandem")
        .parent()
        .expect("it is in a folder")
        .to_owned();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut make = Command::new("make");
    make.current_dir(root)
        .arg("install")
        .arg(format!("BUILT={}", built.display()))
        .args(variables);
    // Whoever runs the tests by make has its flags in the environment.
    run(make
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env_remove("DESTDIR")
        .env_remove("PREFIX"));
}

#[test]
fn make_install_puts_everything_where_the_system_looks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        format!("DESTDIR={}", folder.path().display()),
        "PREFIX=/usr".to_owned(),
    ];
    install(&variables);
    let mode = |path: &str| {
        let metadata = fs::metadata(folder.path().join(path));
        metadata
            .unwrap_or_else(|error| panic!("{path}: {error}"))
            .permissions()
            .mode()
            & 0o777
    };
    for daemon in DAEMONS {
        assert_eq!(mode(&format!("usr/bin/{daemon}")), 0o755);
        let unit = format!("usr/lib/systemd/system/{daemon}.service");
        assert_eq!(mode(&unit), 0o644);
        let unit = fs::read_to_string(folder.path().join(unit)).unwrap();
        let start = format!("ExecStart=/usr/bin/{daemon} --config /etc/tandem/tandem.toml\n");
        assert!(unit.contains(&start), "{unit}");
        assert!(
            !unit.contains("@BINDIR@") && !unit.contains("@SYSCONFDIR@"),
            "{unit}"
        );
    }
    assert_eq!(mode("usr/bin/tandem"), 0o755);
    assert_eq!(mode("usr/lib/systemd/system/tandem.target"), 0o644);
    assert_eq!(mode("usr/lib/sysusers.d/tandem.conf"), 0o644);
    assert_eq!(mode("usr/share/man/man1/tandem-doctor.1"), 0o644);
    assert_eq!(mode("usr/share/tandem/kernel-tuning/apply"), 0o755);
    assert_eq!(mode("usr/share/tandem/kernel-tuning/README.md"), 0o644);
    assert_eq!(mode("usr/share/doc/tandem/operations.md"), 0o644);

    let settings = folder.path().join("etc/tandem/tandem.toml");
    let mut check = Command::new(folder.path().join("usr/bin/tandem"));
    run(check.args(["config", "check", "--config"]).arg(&settings));
    run(Command::new(folder.path().join("usr/share/tandem/kernel-tuning/probe")).arg("--help"));

    // What the operator wrote stays.
    fs::write(&settings, "# mine\n").unwrap();
    install(&variables);
    assert_eq!(fs::read_to_string(&settings).unwrap(), "# mine\n");
}

/// Everything below a folder, so that units name programs that are there.
struct Installed {
    folder: TempDir,
}

impl Installed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        install(&[
            format!("PREFIX={path}/usr"),
            format!("SYSCONFDIR={path}/etc"),
        ]);
        Self { folder }
    }

    fn units(&self) -> PathBuf {
        self.folder.path().join("usr/lib/systemd/system")
    }

    fn unit(&self, daemon: &str) -> String {
        fs::read_to_string(self.units().join(format!("{daemon}.service"))).unwrap()
    }

    /// systemd-analyze, with our units beside the system's.
    fn analyze(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // The empty last entry stands for the usual folders.
        command.env("SYSTEMD_UNIT_PATH", format!("{}:", self.units().display()));
        command.env("SYSTEMD_COLORS", "0");
        command
    }
}

#[test]
fn the_units_are_right_and_expose_little() {
    let Some(program) = tool("systemd-analyze") else {
        return;
    };
    let installed = Installed::new();
    let mut verify = installed.analyze(&program);
    verify
        .args(["verify", "--man=no", "tandem.target"])
        .args(DAEMONS.map(|it| format!("{it}.service")));
    let complaints = run(&mut verify);
    // Of other people's units on this machine it may say what it likes.
    let ours: Vec<&str> = complaints
        .lines()
        .filter(|line| line.contains("tandem"))
        .collect();
    assert!(ours.is_empty(), "{ours:#?}");

    for daemon in DAEMONS {
        let mut security = installed.analyze(&program);
        let text = run(security
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("{daemon}.service")));
        let verdict = text
            .lines()
            .find(|line| line.contains("Overall exposure level"))
            .unwrap_or_default();
        let level = verdict
            .split(": ")
            .nth(1)
            .and_then(|it| it.split(' ').next())
            .unwrap_or_default();
        let tenths: u32 = level
            .replace('.', "")
            .parse()
            .unwrap_or_else(|_| panic!("{text}"));
        // Past libtest's capture: the score is worth seeing in a passing run.
        let _ = writeln!(std::io::stderr(), "exposure of {daemon}.service: {level}");
        assert!(tenths <= EXPOSURE_TENTHS_MAX, "{text}");
    }
}

/// The system calls that a unit lets through.
fn allowed(program: &Path, unit: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let filters = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="));
    for filter in filters {
        match filter.strip_prefix('~') {
            Some(filter) => {
                let taken = filter.split_whitespace().flat_map(|it| expand(program, it));
                let taken: BTreeSet<String> = taken.collect();
                names.retain(|it| !taken.contains(it));
            }
            None => names.extend(filter.split_whitespace().flat_map(|it| expand(program, it))),
        }
    }
    names
}

/// A name, or all names of a group and of the groups in it.
fn expand(program: &Path, name: &str) -> BTreeSet<String> {
    if !name.starts_with('@') {
        return [name.to_owned()].into();
    }
    let text = run(Command::new(program).args(["syscall-filter", "--no-pager", name]));
    let members = text.lines().skip(1).map(str::trim);
    members
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .flat_map(|member| expand(program, member))
        .collect()
}

/// The names of system calls in what strace wrote.
fn called(folder: &Path, daemon: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(daemon) {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
        let name = |line: &str| {
            let call = line.split_whitespace().nth(1)?.split_once('(')?.0;
            let is_name = call
                .chars()
                .all(|it| it.is_ascii_alphanumeric() || it == '_');
            is_name.then(|| call.to_owned())
        };
        names.extend(text.lines().filter_map(name));
    }
    names
}

#[test]
fn the_units_let_the_daemons_do_what_they_do_in_real_calls() {
    let (Some(analyze), Some(strace)) = (tool("systemd-analyze"), tool("strace")) else {
        return;
    };
    let can_trace = Command::new(&strace)
        .args(["-D", "-o", "/dev/null", "true"])
        .status();
    if !can_trace.is_ok_and(|status| status.success()) {
        return skip("processes may not be traced here");
    }
    let folder = tempfile::Builder::new()
        .prefix("tandem-test-")
        .tempdir()
        .unwrap();
    let world =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let traces = folder.path().join("traces");
    fs::create_dir(&traces).unwrap();
    // One of the scenarios runs the daemons as another user.
    world(folder.path(), 0o755);
    world(&traces, 0o777);
    for daemon in DAEMONS {
        // The daemon keeps the number of the process that was started: the tracer is its child.
        let script = format!(
            "#!/bin/sh\nexec {} -D -f -qq -e signal=none -o {}/{daemon}.$$ {} \"$@\"\n",
            strace.display(),
            traces.display(),
            binary(daemon).display()
        );
        let wrapper = folder.path().join(daemon);
        fs::write(&wrapper, script).unwrap();
        world(&wrapper, 0o755);
    }
    std::os::unix::fs::symlink(binary("tandem"), folder.path().join("tandem")).unwrap();

    // The same test programs, with wrapped daemons.
    let mut scenarios = Command::new(std::env::current_exe().unwrap());
    scenarios
        .env("TANDEM_BIN_DIR", folder.path())
        .args(["--exact", "--test-threads=1"])
        .args([
            "relay_drivers::a_call_goes_through_io_uring",
            "relay_drivers::a_call_goes_through_recvmmsg",
            "tcp_calls::calls_over_one_connection_reach_a_phone_on_udp",
            "unprivileged::a_call_goes_through_daemons_without_any_privilege",
        ]);
    let text = run(&mut scenarios);
    assert!(text.contains("test result: ok. 4 passed"), "{text}");

    let relay_called = called(&traces, "tandem-relay");
    assert!(relay_called.contains("io_uring_enter") || text.contains("SKIPPED: io_uring"));
    let installed = Installed::new();
    for daemon in DAEMONS {
        let allowed = allowed(&analyze, &installed.unit(daemon));
        assert!(
            allowed.contains("recvmsg") && !allowed.contains("mount"),
            "{allowed:?}"
        );
        let called = called(&traces, daemon);
        assert!(
            called.contains("socket") && called.len() > 20,
            "{daemon}: {called:?}"
        );
        let refused: Vec<&String> = called
            .difference(&allowed)
            .filter(|it| !ONLY_ROOT.contains(&it.as_str()))
            .collect();
        assert!(
            refused.is_empty(),
            "{daemon}.service would refuse {refused:?}"
        );
    }
}
