//! What a call and a registration cost, beside Kamailio and rtpengine.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tandem_load::Permission;
use tandem_load::sip::{self, Mode, Options};
use tandem_load::watch::Which;
use tempfile::TempDir;

use crate::contestants::{Contestant, Kind, OURS, PEER};
use crate::plan::Plan;
use crate::process::Children;
use crate::relay::{Running, SETTINGS, tandem};
use crate::results::{SipCost, SipWork};
use crate::world::SinkWorld;

/// The peer.
const KAMAILIO: &str = "/usr/sbin/kamailio";

/// With the allocator that is three times as fast as the usual one, and room enough.
const KAMAILIO_OPTIONS: [&str; 8] = ["-x", "fm", "-X", "fm", "-m", "512", "-M", "32"];

/// What both listen at.
const SIP_PORT: u16 = 5_060;

/// Accounts, and the password of all of them.
const USERS: u32 = 10;
const PASSWORD: &str = "secret";
const REALM: &str = "tandem";

/// Calls and registrations per second: what Kamailio and rtpengine can do on one core, and still
/// enough that nobody idles much.
const CALLS_PER_SECOND: u32 = 300;
const REGISTRATIONS_PER_SECOND: u32 = 1_500;

/// Until whoever was started listens and has read its accounts.
const SETTLE: Duration = Duration::from_millis(1_500);

const WORKS: [SipWork; 3] = [SipWork::Call, SipWork::Register, SipWork::CallWithMedia];

/// A server, and its relay if media goes through one.
struct Server {
    // In this order: the proxy would report the loss of its relay.
    children: Children,
    relay: Option<Running>,
    folder: TempDir,
    world: SinkWorld,
}

/// Measures each of ours and of the peers, in turns.
pub(crate) fn measure(plan: &Plan, stop: &AtomicBool, costs: &mut Vec<SipCost>) -> Result<()> {
    let find = |name: &str| plan.contestants.iter().find(|it| it.name == name);
    let ours = find(OURS).context("ours does not take part")?;
    if !Path::new(KAMAILIO).exists() {
        bail!("there is no {KAMAILIO}");
    }
    for round in 0..plan.rounds {
        for work in WORKS {
            for is_ours in [true, false] {
                if plan.is_stopped(stop) {
                    return Ok(());
                }
                let server = match is_ours {
                    true => start_ours(plan, ours, work)?,
                    false => start_peer(plan, find(PEER), work)?,
                };
                let cost = one(plan, &server, work, is_ours, round, stop)?;
                plan.clock.tick(plan.sip_s());
                plan.clock.tell(&cost.line());
                costs.push(cost);
            }
        }
    }
    Ok(())
}

/// Seconds that all of it is thought to take.
pub(crate) fn expected_s(plan: &Plan) -> f64 {
    6.0 * f64::from(plan.rounds) * plan.sip_s()
}

impl Server {
    fn pids(&self) -> Vec<u32> {
        let relay = self.relay.iter().flat_map(Running::pids);
        self.children
            .pids_of_all()
            .into_iter()
            .chain(relay)
            .collect()
    }
}

fn start_ours(plan: &Plan, ours: &Contestant, work: SipWork) -> Result<Server> {
    let Kind::Tandem { folder: bin, .. } = &ours.kind else {
        bail!("ours is somebody else");
    };
    let world = SinkWorld::new("ours-sip")?;
    let core = plan.cores.relay;
    let mut children = Children::default();
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let relay = match work {
        SipWork::CallWithMedia => {
            let relay = Running::start_all(ours, &world.namespace, SinkWorld::RELAY, core)?;
            add_accounts(bin, &relay.folder().join(SETTINGS))?;
            Some(relay)
        }
        SipWork::Call | SipWork::Register => {
            let file = folder.path().join(SETTINGS);
            fs::write(&file, settings(SinkWorld::RELAY))?;
            add_accounts(bin, &file)?;
            let words = tandem(&bin.join("tandem-sip-proxy"), &file);
            let log = folder.path().join("log");
            world
                .namespace
                .within(|| children.spawn(&words, core, &log))?;
            None
        }
    };
    settled(Server {
        children,
        relay,
        folder,
        world,
    })
}

fn start_peer(plan: &Plan, rtpengine: Option<&Contestant>, work: SipWork) -> Result<Server> {
    let world = SinkWorld::new("peer-sip")?;
    let core = plan.cores.relay;
    let relay = match work {
        SipWork::CallWithMedia => {
            let rtpengine = rtpengine.context("rtpengine does not take part")?;
            let (namespace, ip) = (&world.namespace, SinkWorld::RELAY);
            Some(Running::start(rtpengine, namespace, ip, &[], core)?)
        }
        SipWork::Call | SipWork::Register => None,
    };
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let file = folder.path().join("kamailio.cfg");
    let sip = SocketAddr::new(SinkWorld::RELAY, SIP_PORT);
    let text = include_str!("kamailio.cfg").replace("@SIP@", &sip.to_string());
    let ng = relay.as_ref().map(|it| it.server.to_string());
    fs::write(&file, text.replace("@NG@", &ng.unwrap_or_default()))?;
    let path = |it: &Path| it.to_string_lossy().into_owned();
    let mut words = vec![KAMAILIO.to_owned(), "-DD".to_owned(), "-E".to_owned()];
    words.extend(KAMAILIO_OPTIONS.map(str::to_owned));
    words.extend(["-f".to_owned(), path(&file)]);
    words.extend(["-Y".to_owned(), path(folder.path())]);
    words.extend(["-P".to_owned(), path(&folder.path().join("pid"))]);
    if relay.is_some() {
        words.extend(["-A".to_owned(), "MEDIA".to_owned()]);
    }
    let mut children = Children::default();
    let log = folder.path().join("log");
    world
        .namespace
        .within(|| children.spawn(&words, core, &log))?;
    settled(Server {
        children,
        relay,
        folder,
        world,
    })
}

fn settled(mut server: Server) -> Result<Server> {
    thread::sleep(SETTLE);
    if let Some(status) = server.children.ended()? {
        let log = fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
        bail!("the SIP server does not start: {status}\n{log}");
    }
    Ok(server)
}

/// A proxy without a relay.
fn settings(ip: IpAddr) -> String {
    format!(
        "[tandem]\ndata_dir = \".\"\n[log]\nlevel = \"warn\"\n\
         [sip_proxy]\nlisten = [\"udp:{ip}:{SIP_PORT}\"]\ncontrol = \"\"\n\
         requests_per_second_max = 0\n"
    )
}

/// With the operator's own command: the database is the proxy's business.
fn add_accounts(bin: &Path, file: &Path) -> Result<()> {
    let program: PathBuf = bin.join("tandem");
    for user in 0..USERS {
        let mut child = Command::new(&program)
            .arg("--config")
            .arg(file)
            .args(["user", "add", &format!("load{user}"), "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{PASSWORD}")?;
        }
        if !child.wait()?.success() {
            bail!("{} cannot add an account", program.display());
        }
    }
    Ok(())
}

fn one(
    plan: &Plan,
    server: &Server,
    work: SipWork,
    is_ours: bool,
    round: u32,
    stop: &AtomicBool,
) -> Result<SipCost> {
    let address = SocketAddr::new(SinkWorld::RELAY, SIP_PORT);
    let (mode, rate) = match work {
        SipWork::Register => (Mode::Registrations, REGISTRATIONS_PER_SECOND),
        SipWork::Call | SipWork::CallWithMedia => (Mode::Calls, CALLS_PER_SECOND),
    };
    let permission = Permission::new(vec![SinkWorld::RELAY]);
    let options = Options {
        domain: Some(REALM.to_owned()).filter(|_| is_ours),
        rate,
        duration: plan.sip,
        users: USERS,
        password: PASSWORD.to_owned(),
        hold: Duration::ZERO,
        drain: Duration::from_secs(1),
        core: Some(plan.cores.load),
        watch: server.pids().into_iter().map(Which::Pid).collect(),
        ..Options::new(address, mode, permission)
    };
    let namespace = &server.world.namespace;
    let report = namespace.within(|| Ok(sip::run(&options, stop, |_| ())?))?;
    let server = match (is_ours, work) {
        (true, _) => "tandem",
        (false, SipWork::CallWithMedia) => "kamailio + rtpengine",
        (false, _) => "kamailio",
    };
    Ok(SipCost::new(server, is_ours, work, round, &report))
}
