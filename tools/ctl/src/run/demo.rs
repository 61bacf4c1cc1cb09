//! Two accounts to try it out with, and what a person needs to point two phones at them.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{Read, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sip_proxy_store::{Store, hash_password};
use tandem_settings::{Loaded, LogFormat};

use crate::failure::Failure;
use crate::{password, user};

/// The accounts that `--demo` makes.
const USERS: [&str; 2] = ["alice", "bob"];

/// Bytes of the file with their passwords; it has two lines.
const FILE_BYTES_MAX: u64 = 4_096;

/// One account to try.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DemoAccount {
    user: &'static str,
    /// `None` if the operator made an account of this name.
    password: Option<String>,
}

/// Makes the two accounts, or finds them again.
pub(crate) fn prepare(loaded: &Loaded) -> Result<Vec<DemoAccount>, Failure> {
    let mut store = user::open(loaded)?;
    let path = path_of(loaded);
    let known = read_passwords(&path)?;
    let mut accounts = Vec::new();
    for user in USERS {
        let password = known.iter().find(|(name, _)| name == user);
        let password = password.map(|(_, password)| password.clone());
        accounts.push(settle(&mut store, loaded.realm(), user, password)?);
    }
    write_passwords(&path, &accounts)?;
    Ok(accounts)
}

/// Where the passwords are kept.
pub(crate) fn path_of(loaded: &Loaded) -> PathBuf {
    loaded.data_dir().join("demo-accounts")
}

/// Brings one account and the password that we know of it together.
fn settle(
    store: &mut Store,
    realm: &str,
    user: &'static str,
    known: Option<String>,
) -> Result<DemoAccount, Failure> {
    let record = store
        .accounts()?
        .into_iter()
        .find(|it| it.account.user == user);
    let password = match (record, known) {
        (None, known) => {
            let password = match known {
                Some(password) => password,
                None => password::generate()?,
            };
            store.add_account(user, realm, &password)?;
            Some(password)
        }
        // Not ours to change: somebody may use it.
        (Some(_), None) => None,
        (Some(record), Some(known)) => {
            let is_for_realm = record.realm == realm;
            if record.account == hash_password(user, &record.realm, &known) {
                if !is_for_realm {
                    store.change_password(user, realm, &known)?;
                }
                Some(known)
            } else {
                None
            }
        }
    };
    Ok(DemoAccount { user, password })
}

fn read_passwords(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut text = String::new();
    match OpenOptions::new().read(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| explain("read", path, &error))?,
    };
    let pair = |line: &str| {
        let (user, password) = line.split_once(' ')?;
        Some((user.to_owned(), password.to_owned()))
    };
    Ok(text.lines().filter_map(pair).collect())
}

fn write_passwords(path: &Path, accounts: &[DemoAccount]) -> Result<(), Failure> {
    let mut text = String::new();
    for account in accounts {
        if let Some(password) = &account.password {
            let _ = writeln!(text, "{} {password}", account.user);
        }
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| explain("write", path, &error))
}

fn explain(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "cannot {doing} the demo passwords in {}: {error}",
        path.display()
    ))
}

/// What to tell the person who started it.
pub(crate) fn welcome(loaded: &Loaded, accounts: &[DemoAccount]) -> String {
    let mut lines = vec!["Tandem is running.".to_owned(), String::new()];
    if accounts.is_empty() {
        lines.extend(addresses(loaded));
    } else {
        lines.push("Point two phones (any SIP soft phone) at it:".to_owned());
        lines.push(String::new());
        lines.extend(addresses(loaded));
        for account in accounts {
            lines.push(String::new());
            let password = account.password.as_deref();
            lines.push(format!("  User       {}", account.user));
            lines.push(format!(
                "  Password   {}",
                password.unwrap_or("as you set it")
            ));
        }
        lines.push(String::new());
        lines.push(format!(
            "Then dial {} on the phone of {}.",
            USERS[1], USERS[0]
        ));
    }
    lines.push(String::new());
    lines.extend(whereabouts(loaded, accounts));
    boxed(&lines)
}

fn addresses(loaded: &Loaded) -> Vec<String> {
    let mut lines = Vec::new();
    let mut listeners: Vec<(&str, SocketAddr)> = loaded
        .file
        .sip_proxy
        .listen
        .iter()
        .filter_map(|it| listener(it))
        .collect();
    listeners.sort_by_key(|(transport, address)| (*address, *transport != "udp"));
    listeners.dedup_by(|next, first| {
        let same = next.1 == first.1;
        if same {
            first.0 = "UDP or TCP";
        }
        same
    });
    for (transport, address) in listeners {
        let server = reachable(address.ip(), loaded.file.sip_proxy.advertise);
        lines.push(format!("  Server     {server}"));
        lines.push(format!("  Port       {}   ({transport})", address.port()));
    }
    if let Some(domain) = loaded.file.sip_proxy.domains.first() {
        lines.push(format!("  Domain     {domain}"));
    }
    lines
}

/// Takes `udp:0.0.0.0:5060` apart.
pub(crate) fn listener(text: &str) -> Option<(&'static str, SocketAddr)> {
    let (transport, address) = text.split_once(':')?;
    let transport = match transport {
        "tcp" => "TCP",
        "udp" => "UDP",
        _ => return None,
    };
    Some((transport, address.parse().ok()?))
}

/// The address that a phone would use for a listener's.
fn reachable(listening: IpAddr, advertised: Option<IpAddr>) -> IpAddr {
    let own = || outward_address().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    match advertised {
        Some(advertised) => advertised,
        None if listening.is_unspecified() => own(),
        None => listening,
    }
}

/// The address that packets to elsewhere leave from. Connecting a UDP socket looks the route up
/// and sends nothing; the address is one that is never used (RFC 5737).
fn outward_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn whereabouts(loaded: &Loaded, accounts: &[DemoAccount]) -> Vec<String> {
    let settings = match loaded.path() {
        Some(path) => absolute(path).display().to_string(),
        None => "the defaults; `tandem config default > tandem.toml` to change them".to_owned(),
    };
    let log = match loaded.file.log.format {
        LogFormat::Json => "standard error, as JSON",
        LogFormat::Text => "standard error, as you see it here",
    };
    let mut lines = vec![
        format!("Settings   {settings}"),
        format!(
            "Data       {}   (`tandem cdr` shows the calls)",
            absolute(&loaded.data_dir()).display()
        ),
        format!("Log        {log}"),
    ];
    if !accounts.is_empty() {
        lines.push(format!(
            "Passwords  also in {}",
            absolute(&path_of(loaded)).display()
        ));
    }
    lines.push("Look       `tandem status`, `tandem calls`, `tandem registrations`".to_owned());
    lines.push("Stop       Ctrl-C".to_owned());
    lines
}

/// The path as it reads from any folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn boxed(lines: &[String]) -> String {
    let width = lines
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0);
    let rule = "─".repeat(width + 2);
    let mut text = format!("\n┌{rule}┐\n");
    for line in lines {
        let _ = writeln!(text, "│ {line:<width$} │");
    }
    let _ = writeln!(text, "└{rule}┘");
    text
}

#[cfg(test)]
mod tests;
