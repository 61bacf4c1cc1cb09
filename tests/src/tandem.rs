//! The system under test: three daemons, one configuration file.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use serde_json::Value;
use tandem_settings::File;

use crate::daemon::SETPRIV;
use crate::{
    Account, CallRecord, Daemon, Launch, NgClient, Phone, Site, binary, call_records, is_listening,
    is_root, udp_sockets_on, within,
};

/// Host number of the daemons in their site.
const HOST: u8 = 1;

/// Host number of another relay and control.
const SECOND_HOST: u8 = 12;

/// Accounts of every site.
const ACCOUNTS: [&str; 5] = ["alice", "bob", "carol", "dave", "mallory"];

/// Time that a daemon has to be ready. Generous: the machine may be busy with a build.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Bytes of log that a daemon may write in a scenario that expects nothing special.
const LOG_BYTES_MAX: u64 = 256 * 1024;

/// A phone system, ours or another, as phones see it.
pub trait Exchange {
    /// Where SIP goes.
    fn sip(&self) -> SocketAddr;

    /// The host part of addresses.
    fn domain(&self) -> String;

    /// Makes an account.
    fn account(&self, user: &str) -> Account;

    /// Makes a phone with an account.
    fn phone(&self, user: &str, local: SocketAddr) -> Phone {
        Phone::new(local, self.sip(), self.account(user))
    }
}

/// Relay, control and sip-proxy, started in their order and stopped in the other.
#[derive(Debug)]
pub struct Tandem {
    config: PathBuf,
    folder: PathBuf,
    file: File,
    /// Whose processes they become, if not ours.
    uid: Option<u32>,
    /// Each is taken out while it is down; dropped, and so killed, in this order.
    sip_proxy: Option<Daemon>,
    control: Option<Daemon>,
    relay: Option<Daemon>,
}

impl Tandem {
    /// Starts all three with the defaults of a site.
    #[must_use]
    #[track_caller]
    pub fn start(site: &Site) -> Self {
        Self::start_with(site, |_| {})
    }

    /// Starts all three; `edit` changes the configuration first.
    #[must_use]
    #[track_caller]
    pub fn start_with(site: &Site, edit: impl FnOnce(&mut File)) -> Self {
        let mut tandem = Self::prepare(site, edit);
        tandem.add_accounts();
        tandem.start_relay();
        tandem.start_control();
        tandem.start_sip_proxy();
        tandem
    }

    /// Starts relay and control alone.
    #[must_use]
    #[track_caller]
    pub fn start_pair(site: &Site, edit: impl FnOnce(&mut File)) -> Self {
        let mut tandem = Self::prepare(site, edit);
        tandem.start_relay();
        tandem.start_control();
        tandem
    }

    /// Starts another relay and control in the same site.
    #[must_use]
    #[track_caller]
    pub fn start_second_pair(site: &Site, edit: impl FnOnce(&mut File)) -> Self {
        let mut tandem = Self::prepare_in(site, &site.subfolder("second"), SECOND_HOST, edit);
        tandem.start_relay();
        tandem.start_control();
        tandem
    }

    /// Writes the configuration and starts nothing.
    ///
    /// # Panics
    ///
    /// When the folder takes no file.
    #[must_use]
    pub fn prepare(site: &Site, edit: impl FnOnce(&mut File)) -> Self {
        Self::prepare_in(site, site.folder(), HOST, edit)
    }

    fn prepare_in(site: &Site, folder: &Path, host: u8, edit: impl FnOnce(&mut File)) -> Self {
        let mut file = site_defaults(site, host);
        edit(&mut file);
        let config = folder.join("tandem.toml");
        let text = toml::to_string(&file).expect("settings can be written");
        fs::write(&config, text).expect("the scenario's folder takes files");
        Self {
            config,
            folder: folder.to_owned(),
            file,
            uid: None,
            relay: None,
            control: None,
            sip_proxy: None,
        }
    }

    /// Makes the accounts of [`Exchange::account`].
    #[track_caller]
    pub fn add_accounts(&self) {
        for user in ACCOUNTS {
            self.set_password("add", &self.account(user));
        }
    }

    /// Makes an account (`add`) or changes its password (`passwd`).
    ///
    /// # Panics
    ///
    /// When it is refused.
    #[track_caller]
    pub fn set_password(&self, command: &str, account: &Account) {
        let mut tandem = self.command();
        tandem.args(["user", command, &account.user, "--stdin"]);
        feed(tandem, &account.password);
    }

    /// Whether this machine has what [`Self::run_as`] needs.
    #[must_use]
    pub fn can_drop_privileges() -> bool {
        is_root() && Path::new(SETPRIV).is_file()
    }

    /// Daemons that are started from now on run as this user.
    pub fn run_as(&mut self, uid: u32) {
        self.uid = Some(uid);
    }

    /// Starts the relay and waits for its socket.
    #[track_caller]
    pub fn start_relay(&mut self) {
        let socket = self.runtime_dir().join("relay.sock");
        let mut relay = self.launch("tandem-relay").start();
        relay.ready("relay.sock", START_LIMIT, || {
            is_listening(&socket).then_some(())
        });
        self.relay = Some(relay);
    }

    /// Starts control and waits until it takes calls: until it has found its relay.
    #[track_caller]
    pub fn start_control(&mut self) {
        let client = NgClient::new(self.ng());
        let mut control = self.launch("tandem-control").start();
        control.ready("ng answers pings", START_LIMIT, || {
            let alive = client.is_alive(Duration::from_millis(200));
            alive.then_some(())
        });
        self.control = Some(control);
        self.await_placement();
    }

    /// Starts the proxy and waits until it answers.
    #[track_caller]
    pub fn start_sip_proxy(&mut self) {
        let socket = self.runtime_dir().join("sip-proxy.sock");
        let mut proxy = self.launch("tandem-sip-proxy").start();
        proxy.ready("sip-proxy.sock", START_LIMIT, || {
            is_listening(&socket).then_some(())
        });
        self.sip_proxy = Some(proxy);
    }

    /// The running relay.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn relay(&self) -> &Daemon {
        self.relay.as_ref().expect("the relay runs")
    }

    /// The running control daemon.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn control(&self) -> &Daemon {
        self.control.as_ref().expect("control runs")
    }

    /// The running proxy.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn sip_proxy(&self) -> &Daemon {
        self.sip_proxy.as_ref().expect("the proxy runs")
    }

    /// Kills control without warning.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn kill_control(&mut self) {
        self.control.take().expect("control runs").kill();
    }

    /// Kills the relay without warning.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn kill_relay(&mut self) {
        self.relay.take().expect("the relay runs").kill();
    }

    /// Kills the proxy without warning.
    ///
    /// # Panics
    ///
    /// When it is not running.
    #[track_caller]
    pub fn kill_sip_proxy(&mut self) {
        self.sip_proxy.take().expect("the proxy runs").kill();
    }

    /// Where ng goes.
    #[must_use]
    pub fn ng(&self) -> SocketAddr {
        self.file.control.listen[0]
    }

    /// Where media goes.
    ///
    /// # Panics
    ///
    /// Never: a site's configuration has one interface.
    #[must_use]
    pub fn media_ip(&self) -> std::net::IpAddr {
        let interface = self.file.relay.interfaces[0].parse();
        interface.expect("a site's interface is an address")
    }

    /// Ports of the relay's range that are bound now.
    #[must_use]
    pub fn media_ports(&self) -> Vec<u16> {
        let [first, last] = self.file.relay.ports;
        let mut ports = udp_sockets_on(self.media_ip());
        ports.retain(|port| (first..=last).contains(port));
        ports
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The database's folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join(&self.file.tandem.data_dir)
    }

    /// The sockets' folder.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.data_dir().join("run")
    }

    /// Runs the operator's command line and gives what it printed.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn tandem(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output();
        let output = output.expect("tandem can be started");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tandem {arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs the operator's command line, which may fail.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn try_tandem(&self, arguments: &[&str]) -> Output {
        let output = self.command().args(arguments).output();
        output.expect("tandem can be started")
    }

    /// Waits for control to end by itself.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn await_control_end(&mut self, limit: Duration) -> ExitStatus {
        let mut control = self.control.take().expect("control was started");
        control.wait(limit)
    }

    /// Waits until there are this many call records, and gives all there are.
    ///
    /// # Panics
    ///
    /// When there are fewer, or more.
    #[track_caller]
    pub fn await_records(&self, count: usize) -> Vec<CallRecord> {
        let data_dir = self.data_dir();
        let enough = || Some(call_records(&data_dir)).filter(|records| records.len() >= count);
        let records = within(Duration::from_secs(10), enough);
        let records = records.unwrap_or_else(|| call_records(&data_dir));
        assert_eq!(records.len(), count, "call records: {records:#?}");
        records
    }

    /// Calls that control knows.
    #[track_caller]
    pub fn call_count(&self) -> usize {
        let reply = NgClient::new(self.ng()).request("list", &[("limit", "20000")]);
        let Some(calls) = reply.find("calls") else {
            panic!("no calls: {reply:?}");
        };
        calls.entries().count()
    }

    /// A number among what the daemons count: a path into `tandem status --json`.
    ///
    /// # Panics
    ///
    /// When there is no such number.
    #[must_use]
    #[track_caller]
    pub fn count(&self, path: &str) -> u64 {
        let status = self.tandem(&["status", "--json"]);
        let status: Value = serde_json::from_str(&status).expect("the status is JSON");
        let count = status.pointer(path).and_then(Value::as_u64);
        count.unwrap_or_else(|| panic!("no number at {path} in {status:#}"))
    }

    /// Stops all that run, the proxy first, and checks that each ended in order and wrote no flood
    /// of log.
    ///
    /// # Panics
    ///
    /// When one did not.
    #[track_caller]
    pub fn stop(self) {
        self.stop_with_log_limit(LOG_BYTES_MAX);
    }

    /// As [`Self::stop`], with another limit of log for each.
    ///
    /// # Panics
    ///
    /// When one daemon wrote more, or did not end in order.
    #[track_caller]
    pub fn stop_with_log_limit(self, bytes_max: u64) {
        for daemon in [self.sip_proxy, self.control, self.relay]
            .into_iter()
            .flatten()
        {
            let written = daemon.log_len();
            assert!(written <= bytes_max, "{written} bytes of log");
            daemon.stop();
        }
    }

    /// The operator's command line, run by whoever runs the daemons.
    fn command(&self) -> Command {
        let mut command = Command::new(binary("tandem"));
        command.arg("--config").arg(&self.config);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    fn launch(&self, name: &str) -> Launch {
        let launch = Launch::new(name, &binary(name), &self.folder);
        let launch = match self.uid {
            Some(uid) => launch.run_as(uid),
            None => launch,
        };
        launch.arg("--config").arg(&self.config)
    }

    /// Waits until an offer gets ports.
    #[track_caller]
    fn await_placement(&mut self) {
        let mut control = self.control.take().expect("control was just started");
        control.ready("an offer gets ports", START_LIMIT, || {
            self.places_calls().then_some(())
        });
        self.control = Some(control);
    }

    /// Whether an offer gets ports now.
    #[must_use]
    pub fn places_calls(&self) -> bool {
        let client = NgClient::new(self.ng());
        if !client.is_alive(Duration::from_millis(200)) {
            return false;
        }
        let call = [("call-id", "is-anybody-there"), ("from-tag", "probe")];
        let reply = client.request("offer", &[&call[..], &[("sdp", PROBE_SDP)]].concat());
        client.request("delete", &[&call[..1], &[("delete-delay", "0")]].concat());
        reply.text("result") == "ok"
    }
}

/// An offer that nobody answers.
const PROBE_SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n\
                         t=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

impl Exchange for Tandem {
    fn sip(&self) -> SocketAddr {
        let listen = self.file.sip_proxy.listen[0].strip_prefix("udp:");
        let address = listen.and_then(|address| address.parse().ok());
        address.expect("a site's first listener is UDP")
    }

    fn domain(&self) -> String {
        self.file.sip_proxy.domains[0].clone()
    }

    fn account(&self, user: &str) -> Account {
        assert!(ACCOUNTS.contains(&user), "{user} has no account");
        Account {
            user: user.to_owned(),
            password: format!("{user}-s3cret-words"),
            domain: self.domain(),
        }
    }
}

/// Runs a command with a line on its standard input.
///
/// # Panics
///
/// When it fails.
#[track_caller]
fn feed(mut command: Command, line: &str) {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tandem can be started");
    let mut input = child.stdin.take().expect("the input is a pipe");
    // A child that does not read shows by its exit status.
    let _ = writeln!(input, "{line}");
    drop(input);
    let output = child.wait_with_output().expect("a child ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

fn site_defaults(site: &Site, host: u8) -> File {
    let mut file = File::default();
    file.tandem.data_dir = PathBuf::from("data");
    file.relay.interfaces = vec![site.ip(host).to_string()];
    // Two workers, so that placement is seen to keep the ends of a call together.
    file.relay.workers = 2;
    file.relay.ports = [30_000, 39_999];
    // A port is closed with its call, so that the kernel says what is in use.
    file.relay.idle_sockets_max = 0;
    file.control.listen = vec![site.address(host, 2_223)];
    // A line for each call would hide whether a daemon floods its log.
    file.control.call_records = false;
    // Proxies and clients are all over the site.
    file.control.ng_allow = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    let sip = site.address(host, 5_060);
    file.sip_proxy.listen = vec![format!("udp:{sip}"), format!("tcp:{sip}")];
    file.sip_proxy.domains = vec!["tandem.test".to_owned()];
    file.sip_proxy.control = Some(site.address(host, 2_223));
    // A scenario is a crowd of phones at one address.
    file.sip_proxy.requests_per_second_max = 0;
    file
}
