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

/// What a script asks of the relay, if nothing else is said.
const FLAGS: &str = "replace-origin";

/// Seconds for which a relay that did not answer is not asked again: the module's default.
const DISABLED_S: u32 = 60;

/// How a proxy uses its relays.
#[derive(Clone, Debug)]
pub struct KamailioSetup {
    nodes: Vec<SocketAddr>,
    flags: [String; 2],
    disabled_s: u32,
    more_listeners: Vec<SocketAddr>,
    defines: Vec<&'static str>,
}

impl KamailioSetup {
    /// A proxy with these relays, by where they speak ng.
    #[must_use]
    pub fn new(nodes: &[SocketAddr]) -> Self {
        Self {
            nodes: nodes.to_vec(),
            flags: [FLAGS; 2].map(str::to_owned),
            disabled_s: DISABLED_S,
            more_listeners: Vec::new(),
            defines: Vec::new(),
        }
    }

    /// What its script asks of the relay for offers, and for answers.
    #[must_use]
    pub fn flags(mut self, offer: &str, answer: &str) -> Self {
        self.flags = [offer, answer].map(str::to_owned);
        self
    }

    /// Seconds for which a relay that did not answer is not asked again.
    #[must_use]
    pub fn disabled_for(mut self, seconds: u32) -> Self {
        self.disabled_s = seconds;
        self
    }

    /// Takes SIP there, too.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.more_listeners.push(address);
        self
    }

    /// Passes on nothing that the relay has not seen: it is silent instead, and is asked again.
    #[must_use]
    pub fn insist(mut self) -> Self {
        self.defines.push("INSIST");
        self
    }

    /// Gives each branch of a forked call its own ports.
    #[must_use]
    pub fn fork(mut self) -> Self {
        self.defines.push("FORK");
        self
    }

    fn script(&self, sip: SocketAddr) -> String {
        let nodes = self.nodes.iter().map(|node| format!("udp:{node}"));
        let listeners = self.more_listeners.iter();
        let listeners: String = listeners
            .map(|address| format!("listen=udp:{address}\n"))
            .collect();
        include_str!("../kamailio/kamailio.cfg")
            .replace("@SIP@", &sip.to_string())
            .replace("@LISTENERS@", &listeners)
            .replace("@NG@", &nodes.collect::<Vec<_>>().join(" "))
            .replace("@DISABLED_S@", &self.disabled_s.to_string())
            .replace("@OFFER@", &self.flags[0])
            .replace("@ANSWER@", &self.flags[1])
    }
}

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
        let sip = Self::address(site);
        Self::start_with(site, sip, &KamailioSetup::new(&[ng]))
    }

    /// Starts it at an address. `None` if it is not installed.
    ///
    /// # Panics
    ///
    /// When it is not ready in time.
    #[must_use]
    #[track_caller]
    pub fn start_with(site: &Site, sip: SocketAddr, setup: &KamailioSetup) -> Option<Self> {
        let program = tool("kamailio")?;
        let folder = site.subfolder("kamailio");
        let config = folder.join("kamailio.cfg");
        fs::write(&config, setup.script(sip)).expect("the scenario's folder takes files");
        let defines = setup.defines.iter().flat_map(|name| ["-A", name]);
        let mut daemon = Launch::new("kamailio", &program, &folder)
            .arg("-f")
            .arg(&config)
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-Y"])
            .arg(&folder)
            .args(defines)
            .start();
        daemon.ready("SIP answers", START_LIMIT, || {
            answers_options(sip).then_some(())
        });
        Some(Self { daemon, sip })
    }

    /// Where it is in a site, if nothing else is said.
    #[must_use]
    pub fn address(site: &Site) -> SocketAddr {
        site.address(PROXY_HOST, 5_060)
    }

    /// Ends it, and checks that it ran until now. Told to stop, it does not always (5.6 says goodbye
    /// and stays), and its end is none of our business.
    #[track_caller]
    pub fn stop(self) {
        self.daemon.kill();
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
