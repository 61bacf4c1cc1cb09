//! Kamailio and rtpengine, as Debian has them: a proxy for our relay and control, and together the
//! system that scenarios must pass against too, so that no scenario is bent to fit ours.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::{Account, Daemon, Exchange, Launch, NgClient, Site, tool};

/// Host number of the proxy in its site.
const PROXY_HOST: u8 = 10;

/// Host number of the relay in its site.
const RELAY_HOST: u8 = 11;

/// Time that a daemon has to be ready.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What every account of the reference has for a password; see `kamailio.cfg`.
const PASSWORD: &str = "secret";

/// A registrar and proxy with its stock `rtpengine` module.
#[derive(Debug)]
pub struct Kamailio {
    daemon: Daemon,
    sip: SocketAddr,
}

impl Kamailio {
    /// Starts it with media relayed by whoever speaks ng at `ng`. `None` if it is not installed.
    #[must_use]
    #[track_caller]
    pub fn start(site: &Site, ng: SocketAddr) -> Option<Self> {
        let program = tool("kamailio")?;
        let sip = site.address(PROXY_HOST, 5_060);
        let folder = site.subfolder("kamailio");
        let config = folder.join("kamailio.cfg");
        let text = include_str!("../kamailio/kamailio.cfg")
            .replace("@SIP@", &sip.to_string())
            .replace("@NG@", &ng.to_string());
        fs::write(&config, text).expect("the scenario's folder takes files");
        let mut daemon = Launch::new("kamailio", &program, &folder)
            .arg("-f")
            .arg(&config)
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"])
            .arg(&folder)
            .start();
        daemon.ready("SIP answers", START_LIMIT, || {
            answers_options(sip).then_some(())
        });
        Some(Self { daemon, sip })
    }

    /// Stops it and checks that it ended in order.
    #[track_caller]
    pub fn stop(self) {
        self.daemon.stop();
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
    }
}

impl Exchange for Kamailio {
    fn sip(&self) -> SocketAddr {
        self.sip
    }

    fn domain(&self) -> String {
        self.sip.to_string()
    }

    fn account(&self, user: &str) -> Account {
        Account {
            user: user.to_owned(),
            password: PASSWORD.to_owned(),
            domain: self.domain(),
        }
    }
}

/// The relay that ours stands in for.
#[derive(Debug)]
pub struct Rtpengine {
    _daemon: Daemon,
    ng: SocketAddr,
}

impl Rtpengine {
    /// Starts it in user space. `None` if it is not installed.
    #[must_use]
    #[track_caller]
    pub fn start(site: &Site) -> Option<Self> {
        let program = tool("rtpengine")?;
        let ng = site.address(RELAY_HOST, 2_223);
        let client = NgClient::new(ng);
        let mut daemon = Launch::new("rtpengine", &program, site.folder())
            .args([
                "--config-file=none",
                "--table=-1",
                "-f",
                "-E",
                "-L",
                "4",
                "--num-threads=2",
            ])
            .arg(format!("--interface={}", ng.ip()))
            .arg(format!("--listen-ng={ng}"))
            .args(["--port-min=30000", "--port-max=39999"])
            .start();
        daemon.ready("ng answers pings", START_LIMIT, || {
            let alive = client.is_alive(Duration::from_millis(200));
            alive.then_some(())
        });
        Some(Self {
            _daemon: daemon,
            ng,
        })
    }

    /// Where ng goes.
    #[must_use]
    pub fn ng(&self) -> SocketAddr {
        self.ng
    }
}

/// Both of them: a whole phone system that is not ours.
#[derive(Debug)]
pub struct Reference {
    /// The proxy. Stopped first.
    pub kamailio: Kamailio,
    /// The relay.
    pub rtpengine: Rtpengine,
}

impl Reference {
    /// Starts both. `None` if one of them is not installed.
    #[must_use]
    #[track_caller]
    pub fn start(site: &Site) -> Option<Self> {
        let rtpengine = Rtpengine::start(site)?;
        let kamailio = Kamailio::start(site, rtpengine.ng())?;
        Some(Self {
            kamailio,
            rtpengine,
        })
    }
}

/// Asks a proxy whether it is there.
pub(crate) fn answers_options(sip: SocketAddr) -> bool {
    ask_options(sip).unwrap_or(false)
}

fn ask_options(sip: SocketAddr) -> io::Result<bool> {
    let socket = UdpSocket::bind((sip.ip(), 0))?;
    let local = socket.local_addr()?;
    let port = local.port();
    let request = format!(
        "OPTIONS sip:{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKready{port};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:test@{local}>;tag=1\r\nTo: <sip:{sip}>\r\n\
         Call-ID: ready-{port}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(request.as_bytes(), sip)?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut buffer = [0; 2_048];
    let (len, _) = socket.recv_from(&mut buffer)?;
    Ok(buffer[..len].starts_with(b"SIP/2.0 "))
}
