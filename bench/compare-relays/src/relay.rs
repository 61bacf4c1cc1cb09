//! A relay that runs: started on its core, and ended again whatever happens.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use control_ng::Command;
use tandem_load::{NgClient, Permission};
use tempfile::TempDir;

use crate::contestants::{Contestant, Kind};
use crate::namespace::Namespace;
use crate::process::{Children, PATIENCE};

/// Where each listens for ng.
const NG_PORT: u16 = 2_223;

/// Ports for media: four of each call.
const PORTS: (u16, u16) = (10_000, 59_999);

/// Where they log, in their folder.
const LOG: &str = "log";

/// One that runs. It is ended when this goes.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) server: SocketAddr,
    pub(crate) permission: Permission,
    children: Children,
    folder: TempDir,
}

/// A process to start: its program, and all its words.
type Words = Vec<String>;

/// The settings' file, in the folder.
pub(crate) const SETTINGS: &str = "tandem.toml";

impl Running {
    /// Starts a relay in a namespace, at an address, on a core, and waits until it answers.
    pub(crate) fn start(
        contestant: &Contestant,
        namespace: &Namespace,
        ip: IpAddr,
        others: &[IpAddr],
        core: usize,
    ) -> Result<Self> {
        let programs = ["tandem-relay", "tandem-control"];
        Self::start_these(contestant, &programs, namespace, ip, others, core)
    }

    /// The same, and with ours the SIP proxy.
    pub(crate) fn start_all(
        contestant: &Contestant,
        namespace: &Namespace,
        ip: IpAddr,
        core: usize,
    ) -> Result<Self> {
        let programs = ["tandem-relay", "tandem-control", "tandem-sip-proxy"];
        Self::start_these(contestant, &programs, namespace, ip, &[], core)
    }

    fn start_these(
        contestant: &Contestant,
        programs: &[&str],
        namespace: &Namespace,
        ip: IpAddr,
        others: &[IpAddr],
        core: usize,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let server = SocketAddr::new(ip, NG_PORT);
        let words: Vec<Words> = match &contestant.kind {
            Kind::Tandem {
                folder: bin,
                settings,
            } => {
                let file = folder.path().join(SETTINGS);
                fs::write(&file, tandem_settings(ip, server, core, settings))?;
                let words = |name: &&str| tandem(&bin.join(name), &file);
                programs.iter().map(words).collect()
            }
            Kind::Rtpengine { program } => vec![rtpengine(program, ip, server)],
            Kind::Floor { program, options } => vec![floor(program, options, server)],
        };
        let named = [&[ip], others].concat();
        let log = folder.path().join(LOG);
        namespace.within(|| {
            let mut running = Self {
                server,
                permission: Permission::new(named),
                children: Children::default(),
                folder,
            };
            for words in words {
                running.children.spawn(&words, core, &log)?;
            }
            running.wait(&contestant.name)?;
            Ok(running)
        })
    }

    /// Its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.children.pids()
    }

    /// Where its settings are, and what it logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The processes, with their names.
    pub(crate) fn processes(&self) -> impl Iterator<Item = (String, u32)> {
        let named = |pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            (name.trim_end().to_owned(), pid)
        };
        self.pids().into_iter().map(named)
    }

    /// Those that touch media: of ours, the relay.
    pub(crate) fn media_pid(&self) -> u32 {
        self.pids().first().copied().unwrap_or(0)
    }

    fn wait(&mut self, name: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.children.ended()? {
                bail!("{name} does not start: {status}\n{}", self.last_words());
            }
            let wait = Duration::from_millis(300);
            let mut client = NgClient::new(self.server, wait, &self.permission)?;
            // Control answers before its relay is there; statistics tell.
            if client.ask(&Command::Ping, |_| ()).is_ok() && self.is_complete(&mut client) {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("{name} does not answer at {}", self.server);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The end of what it logged.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Whether a call can be made.
    fn is_complete(&self, client: &mut NgClient) -> bool {
        let sdp = tandem_load::describe(SocketAddr::new(self.server.ip(), 9), 0, "", 20);
        let offer = control_ng::Negotiation::new(b"is-it-there", b"a", sdp.as_bytes());
        let is_made = client.ask(&Command::Offer(offer), |_| ()).is_ok();
        let delete = control_ng::Delete {
            call_id: b"is-it-there",
            from_tag: Some(b"a"),
            delay_s: Some(0),
            ..control_ng::Delete::default()
        };
        is_made && client.ask(&Command::Delete(delete), |_| ()).is_ok()
    }
}

fn tandem_settings(ip: IpAddr, server: SocketAddr, core: usize, settings: &str) -> String {
    let (first, last) = PORTS;
    format!(
        "[tandem]\ndata_dir = \".\"\n[log]\nlevel = \"warn\"\n\
         [control]\nlisten = [\"{server}\"]\ncalls_max = 20000\nmedia_timeout_s = 3600\n\
         ng_allow = [\"0.0.0.0/0\"]\nrequests_per_second_max = 0\n\
         [relay]\ninterfaces = [\"{ip}\"]\nports = [{first}, {last}]\nworkers = 1\n\
         cores = [{core}]\ncalls_per_worker_max = 20000\n{settings}\n\
         [sip_proxy]\nlisten = [\"udp:{ip}:5060\"]\ncontrol = \"{server}\"\n\
         requests_per_second_max = 0\n"
    )
}

pub(crate) fn tandem(program: &Path, file: &Path) -> Words {
    let words = [program.as_os_str(), "--config".as_ref(), file.as_os_str()];
    let text = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
    words.into_iter().map(text).collect()
}

fn floor(program: &Path, options: &[String], server: SocketAddr) -> Words {
    let program = program.to_string_lossy().into_owned();
    let words = [program, format!("--listen={server}")];
    words.into_iter().chain(options.iter().cloned()).collect()
}

fn rtpengine(program: &Path, ip: IpAddr, server: SocketAddr) -> Words {
    let (first, last) = PORTS;
    vec![
        program.to_string_lossy().into_owned(),
        "--config-file=none".to_owned(),
        "--foreground".to_owned(),
        "--log-stderr".to_owned(),
        "--log-level=3".to_owned(),
        "--table=-1".to_owned(),
        "--num-threads=1".to_owned(),
        format!("--interface={ip}"),
        format!("--listen-ng={server}"),
        format!("--port-min={first}"),
        format!("--port-max={last}"),
        "--delete-delay=0".to_owned(),
        "--timeout=3600".to_owned(),
    ]
}
