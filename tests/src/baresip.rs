//! baresip: a real phone that plays a file and records what it hears.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::audio::{Wav, read_wav};
use crate::{Account, Daemon, Exchange, Launch, Site, skip, tool};

/// Where Debian puts the modules.
const MODULES: &str = "/usr/lib/baresip/modules";

/// Ports of one phone: SIP, TLS, media.
const PORTS_LEN: u16 = 22;

/// Seconds after which it gives up by itself, whatever happens.
const LIFETIME_S: u32 = 40;

/// The one codec that a phone knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PhoneCodec {
    /// G.711, µ-law.
    Pcmu,
    /// G.711, A-law.
    Pcma,
    /// G.722, 16 kHz.
    G722,
    /// GSM full rate.
    Gsm,
    /// Opus, 48 kHz and two channels.
    Opus,
}

impl PhoneCodec {
    /// As baresip writes it: name, clock of its samples (not of RTP), channels.
    fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU/8000/1",
            Self::Pcma => "PCMA/8000/1",
            Self::G722 => "G722/16000/1",
            Self::Gsm => "GSM/8000/1",
            Self::Opus => "opus/48000/2",
        }
    }

    /// The module that has it.
    fn module(self) -> &'static str {
        match self {
            Self::Pcmu | Self::Pcma => "g711.so",
            Self::G722 => "g722.so",
            Self::Gsm => "gsm.so",
            Self::Opus => "opus.so",
        }
    }

    /// Whether this machine's baresip has it; says so if not.
    #[must_use]
    #[track_caller]
    pub fn is_installed(self) -> bool {
        let is_there = Path::new(MODULES).join(self.module()).is_file();
        if !is_there {
            skip(&format!("baresip has no {self:?}"));
        }
        is_there
    }
}

/// What a phone says, and how.
#[derive(Clone, Copy, Debug)]
pub struct Speaker<'a> {
    /// A file of what it says, at 8 kHz.
    pub speech: &'a Path,
    /// How it says it, and all that it understands.
    pub codec: PhoneCodec,
    /// It speaks SRTP with keys from SDP, and nothing else.
    pub is_sealed: bool,
}

/// One phone: a configuration and a process.
#[derive(Debug)]
pub struct Baresip {
    user: String,
    folder: PathBuf,
    daemon: Daemon,
}

impl Baresip {
    /// Starts a phone that registers at once, answers every call, says what the speaker says, and
    /// hangs up at its end. `None` if it is not installed.
    ///
    /// # Panics
    ///
    /// When its configuration cannot be written.
    #[must_use]
    #[track_caller]
    pub fn start(
        site: &Site,
        exchange: &impl Exchange,
        account: &Account,
        speaker: Speaker<'_>,
        transport: &str,
        dial: Option<&str>,
    ) -> Option<Self> {
        let program = tool("baresip")?;
        let folder = site.subfolder(&format!("baresip-{}", account.user));
        let local = free_address();
        write_config(&folder, local, speaker);
        write_account(&folder, exchange.sip(), account, transport, speaker);
        let mut launch = Launch::new("baresip", &program, &folder)
            .arg("-f")
            .arg(&folder)
            .args(["-t", &LIFETIME_S.to_string()]);
        if let Some(callee) = dial {
            launch = launch.args(["-e", &format!("/dial sip:{callee}@{}", account.domain)]);
        }
        Some(Self {
            user: account.user.clone(),
            folder,
            daemon: launch.start(),
        })
    }

    /// Waits for something in what it prints.
    ///
    /// # Panics
    ///
    /// When it does not come in time.
    #[track_caller]
    pub fn await_output(&mut self, text: &str, limit: Duration) {
        let log = self.folder.join("baresip.log");
        let what = format!("{} prints {text:?}", self.user);
        self.daemon.ready(&what, limit, || {
            let bytes = fs::read(&log).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(text).then_some(())
        });
    }

    /// Everything it printed.
    #[must_use]
    pub fn output(&self) -> String {
        self.daemon.log()
    }

    /// Ends it and gives what it heard, as its codec gave it out: at the codec's rate.
    ///
    /// # Panics
    ///
    /// When there is not exactly one recording.
    #[track_caller]
    pub fn recording(self) -> Wav {
        let folder = self.folder.clone();
        self.daemon.stop();
        let entries = fs::read_dir(&folder).expect("the phone's folder can be read");
        let paths = entries.flatten().map(|entry| entry.path());
        let recordings: Vec<PathBuf> = paths
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        assert_eq!(recordings.len(), 1, "recordings: {recordings:?}");
        read_wav(&recordings[0])
    }
}

fn write_config(folder: &Path, local: SocketAddr, speaker: Speaker<'_>) {
    let media_port = local.port();
    let text = include_str!("../baresip/config")
        .replace("@SIP@", &local.to_string())
        .replace("@IP@", &local.ip().to_string())
        .replace("@FIRST@", &(media_port + 2).to_string())
        .replace("@LAST@", &(media_port + PORTS_LEN - 2).to_string())
        .replace("@MODULES@", MODULES)
        .replace("@FOLDER@", &folder.display().to_string())
        .replace("@CODEC@", speaker.codec.module())
        .replace("@SPEECH@", &speaker.speech.display().to_string());
    fs::write(folder.join("config"), text).expect("the phone's folder takes files");
    fs::write(folder.join("contacts"), "").expect("the phone's folder takes files");
}

fn write_account(
    folder: &Path,
    proxy: SocketAddr,
    account: &Account,
    transport: &str,
    speaker: Speaker<'_>,
) {
    let encryption = match speaker.is_sealed {
        true => "mediaenc=srtp-mand;",
        false => "",
    };
    let Account {
        user,
        password,
        domain,
    } = account;
    let text = format!(
        "<sip:{user}@{domain};transport={transport}>;auth_user={user};auth_pass={password};\
         outbound=\"sip:{proxy};transport={transport}\";answermode=auto;\
         {encryption}audio_codecs={};regint=60\n",
        speaker.codec.name()
    );
    fs::write(folder.join("accounts"), text).expect("the phone's folder takes files");
}

/// baresip must be told an address of a network interface, and of loopback only 127.0.0.1 passes
/// for one: here alone free ports must be looked for. They lie below those that the system itself
/// gives out, so that nobody takes one between this look and baresip's.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [.., low, lower] = std::process::id().to_be_bytes();
    let first = 10_000 + (u16::from_be_bytes([low, lower]) % 500) * PORTS_LEN;
    let candidates = (0..100).map(|_| first + NEXT.fetch_add(PORTS_LEN, Ordering::Relaxed));
    let port = candidates.into_iter().find(|port| are_free(*port));
    SocketAddr::from((Ipv4Addr::LOCALHOST, port.expect("loopback has free ports")))
}

/// Whether SIP (and TLS, on the next port) and media find their ports free.
fn are_free(first: u16) -> bool {
    let tcp = [first, first + 1].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    let udp = (first..first + PORTS_LEN).map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)));
    tcp.iter().all(Result::is_ok) && udp.into_iter().all(|socket| socket.is_ok())
}
