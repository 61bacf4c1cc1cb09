//! Our settings, as rtpengine's would have them.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What rtpengine does when it is told nothing, where ours would do otherwise.
const DELETE_DELAY_S: u32 = 30;
const OFFER_TIMEOUT_S: u32 = 3_600;

/// How rtpengine encodes Opus if the proxy says nothing.
const OPUS: &str = "opus_complexity = 10\nopus_bitrate = 32000\nopus_loss_percent = 0\n\
    opus_stereo = true";

/// What that costs.
const OPUS_COST: &str = "Opus as rtpengine encodes it: without the next four lines it takes a \
    quarter of the time.";

/// What is lost by doing as rtpengine does.
pub(super) const OTHER_SOURCES_COST: &str = "rtpengine forwards what anybody sends to a port of a \
    call, unless asked for \"strict source\": write \"drop\" if your phones do not need that.";

/// The keys of `tandem.toml` that are set.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Settings {
    interfaces: Vec<String>,
    aliases: Vec<String>,
    listen: Vec<SocketAddr>,
    listen_tcp: Vec<SocketAddr>,
    listen_http: Vec<SocketAddr>,
    listen_https: Vec<SocketAddr>,
    tls_certificate: Option<String>,
    tls_key: Option<String>,
    idle_timeout_s: Option<u32>,
    ports: [Option<u16>; 2],
    dscp: Option<u8>,
    workers: Option<u8>,
    log_level: Option<&'static str>,
    endpoint_learning: Option<String>,
    media_timeout_s: Option<u32>,
    silent_timeout_s: Option<u32>,
    final_timeout_s: Option<u32>,
    offer_timeout_s: Option<u32>,
    delete_delay_s: Option<u32>,
    calls_max: Option<u32>,
    load_max: Option<f64>,
    cpu_percent_max: Option<u32>,
    bandwidth_mbit_max: Option<u32>,
    hep: Option<SocketAddr>,
    hep_agent_id: Option<u32>,
    dtmf_log: Option<SocketAddr>,
    dtmf_log_ng_tcp: bool,
    codec_preferences: Vec<String>,
}

impl Settings {
    /// The file.
    pub(super) fn to_toml(&self) -> String {
        let mut out = String::from("# Made by `tandem migrate`.\n");
        let mut line = |text: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{text}");
        };
        if let Some(level) = self.log_level {
            line(format!("\n[log]\nlevel = \"{level}\""));
        }
        line("\n[relay]".to_owned());
        if !self.interfaces.is_empty() {
            line(format!("interfaces = {:?}", self.interfaces));
        }
        line(format!("ports = {:?}", self.ports()));
        let numbers = [
            ("dscp", self.dscp.map(u32::from)),
            ("workers", self.workers.map(u32::from)),
        ];
        for (key, value) in numbers {
            if let Some(value) = value {
                line(format!("{key} = {value}"));
            }
        }
        line("\n[control]".to_owned());
        let listeners = [
            ("listen", &self.listen),
            ("listen_tcp", &self.listen_tcp),
            ("listen_http", &self.listen_http),
            ("listen_https", &self.listen_https),
        ];
        for (key, addresses) in listeners {
            if !addresses.is_empty() {
                let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
                line(format!("{key} = {addresses:?}"));
            }
        }
        let files = [
            ("tls_certificate", &self.tls_certificate),
            ("tls_key", &self.tls_key),
        ];
        for (key, path) in files {
            if let Some(path) = path {
                line(format!("{key} = {path:?}"));
            }
        }
        if !self.aliases.is_empty() {
            line(format!("interface_aliases = {:?}", self.aliases));
        }
        if let Some(learning) = &self.endpoint_learning {
            line(format!("endpoint_learning = \"{learning}\""));
        }
        line(format!(
            "# {OTHER_SOURCES_COST}\nother_sources = \"forward\""
        ));
        // It offers no codecs of its own accord.
        line("transcode = \"directives\"".to_owned());
        if !self.codec_preferences.is_empty() {
            line(format!("codec_preferences = {:?}", self.codec_preferences));
        }
        line(format!("# {OPUS_COST}\n{OPUS}"));
        let numbers = [
            ("media_timeout_s", self.media_timeout_s),
            ("silent_timeout_s", self.silent_timeout_s),
            ("final_timeout_s", self.final_timeout_s),
            (
                "offer_timeout_s",
                self.offer_timeout_s.or(Some(OFFER_TIMEOUT_S)),
            ),
            (
                "delete_delay_s",
                self.delete_delay_s.or(Some(DELETE_DELAY_S)),
            ),
            ("calls_max", self.calls_max),
            ("cpu_percent_max", self.cpu_percent_max),
            ("bandwidth_mbit_max", self.bandwidth_mbit_max),
            ("hep_agent_id", self.hep_agent_id),
            ("idle_timeout_s", self.idle_timeout_s),
        ];
        for (key, value) in numbers {
            if let Some(value) = value {
                line(format!("{key} = {value}"));
            }
        }
        if let Some(load) = self.load_max {
            line(format!("load_max = {load:?}"));
        }
        if let Some(hep) = self.hep {
            line(format!("hep = \"{hep}\""));
        }
        if self.dtmf_log_ng_tcp {
            line("dtmf_log_ng_tcp = true".to_owned());
        }
        if let Some(dtmf_log) = self.dtmf_log {
            line(format!("dtmf_log = \"{dtmf_log}\""));
        }
        out
    }

    /// Ports go in pairs, of which the first is even.
    fn ports(&self) -> [u16; 2] {
        let first = self.ports[0].unwrap_or(30_000);
        let last = self.ports[1].unwrap_or(40_000);
        let last = if last.is_multiple_of(2) {
            last.saturating_sub(1)
        } else {
            last
        };
        [first.next_multiple_of(2), last]
    }
}

/// `NAME/ADDRESS!ADVERTISED`, `NAME=OTHER`
pub(super) fn interface(settings: &mut Settings, value: &str) -> Result<String, String> {
    let name_of = |name: &str| name.split(':').next().unwrap_or(name).to_owned();
    if let Some((alias, name)) = value.split_once('=').filter(|_| !value.contains(";ports=")) {
        settings
            .aliases
            .push(format!("{}={}", name_of(alias), name_of(name)));
        return Ok("control.interface_aliases".to_owned());
    }
    let (name, address) = match value.split_once('/') {
        Some((name, address)) => (name_of(name), address),
        None => ("default".to_owned(), value),
    };
    let (bare, _) = address.split_once(['!', ';']).unwrap_or((address, ""));
    let bare = bare.trim_matches(['[', ']']);
    if bare.parse::<IpAddr>().is_err() {
        return Err(format!(
            "{bare:?} is no address; write the address of the interface"
        ));
    }
    settings.interfaces.push(format!("{name}={address}"));
    Ok("relay.interfaces".to_owned())
}

pub(super) fn listen_ng(settings: &mut Settings, value: &str) -> Result<String, String> {
    listener(&mut settings.listen, value, "control.listen")
}

pub(super) fn listen_tcp(settings: &mut Settings, value: &str) -> Result<String, String> {
    listener(&mut settings.listen_tcp, value, "control.listen_tcp")
}

pub(super) fn listen_http(settings: &mut Settings, value: &str) -> Result<String, String> {
    listener(&mut settings.listen_http, value, "control.listen_http")
}

pub(super) fn listen_https(settings: &mut Settings, value: &str) -> Result<String, String> {
    listener(&mut settings.listen_https, value, "control.listen_https")
}

pub(super) fn certificate(settings: &mut Settings, value: &str) -> Result<String, String> {
    settings.tls_certificate = Some(value.to_owned());
    Ok("control.tls_certificate: read again on SIGHUP".to_owned())
}

pub(super) fn key(settings: &mut Settings, value: &str) -> Result<String, String> {
    settings.tls_key = Some(value.to_owned());
    Ok(
        "control.tls_key: it must be readable for control's user, and have no passphrase"
            .to_owned(),
    )
}

/// `ADDRESS:PORT`, `PORT`
fn listener(listen: &mut Vec<SocketAddr>, value: &str, key: &str) -> Result<String, String> {
    let value = value.replace("localhost:", "127.0.0.1:");
    let port = value.parse::<u16>();
    let is_port = port.is_ok();
    let address = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let address = address.or_else(|_| value.parse::<SocketAddr>());
    let address = address.map_err(|_| format!("{value:?} is no address and port"))?;
    listen.push(address);
    if is_port {
        return Ok(format!(
            "{key}, on 127.0.0.1 only: name the address if proxies of other hosts are to reach it"
        ));
    }
    Ok(format!(
        "{key}: name proxies of other hosts in control.ng_allow"
    ))
}

pub(super) fn idle(settings: &mut Settings, value: &str) -> Result<String, String> {
    seconds(
        &mut settings.idle_timeout_s,
        value,
        "control.idle_timeout_s",
    )
}

pub(super) fn timeout(settings: &mut Settings, value: &str) -> Result<String, String> {
    seconds(
        &mut settings.media_timeout_s,
        value,
        "control.media_timeout_s",
    )
}

pub(super) fn silent(settings: &mut Settings, value: &str) -> Result<String, String> {
    seconds(
        &mut settings.silent_timeout_s,
        value,
        "control.silent_timeout_s",
    )
}

pub(super) fn final_(settings: &mut Settings, value: &str) -> Result<String, String> {
    seconds(
        &mut settings.final_timeout_s,
        value,
        "control.final_timeout_s",
    )
}

pub(super) fn offer(settings: &mut Settings, value: &str) -> Result<String, String> {
    seconds(
        &mut settings.offer_timeout_s,
        value,
        "control.offer_timeout_s",
    )
}

pub(super) fn delete_delay(settings: &mut Settings, value: &str) -> Result<String, String> {
    seconds(
        &mut settings.delete_delay_s,
        value,
        "control.delete_delay_s",
    )
}

pub(super) fn sessions(settings: &mut Settings, value: &str) -> Result<String, String> {
    if value == "-1" {
        return Ok("control.calls_max stays at its default: there is always a limit".to_owned());
    }
    seconds(&mut settings.calls_max, value, "control.calls_max")
}

pub(super) fn load(settings: &mut Settings, value: &str) -> Result<String, String> {
    number(&mut settings.load_max, value, "control.load_max")
}

pub(super) fn cpu(settings: &mut Settings, value: &str) -> Result<String, String> {
    let mut percent: Option<f64> = None;
    number(&mut percent, value, "")?;
    let percent = percent.filter(|it| (0.0..=100.0).contains(it));
    let percent = percent.ok_or_else(|| format!("{value:?} is no share of all processors"))?;
    // Whole percents are near enough.
    let whole = format!("{percent:.0}");
    number(
        &mut settings.cpu_percent_max,
        &whole,
        "control.cpu_percent_max",
    )
}

/// rtpengine counts bytes in a second.
pub(super) fn bandwidth(settings: &mut Settings, value: &str) -> Result<String, String> {
    let mut bytes: Option<u64> = None;
    number(&mut bytes, value, "")?;
    let mbit = bytes.map(|bytes| bytes.saturating_mul(8).div_ceil(1_000_000));
    settings.bandwidth_mbit_max = mbit.and_then(|mbit| mbit.try_into().ok());
    Ok("control.bandwidth_mbit_max, in whole Mbit/s".to_owned())
}

pub(super) fn homer(settings: &mut Settings, value: &str) -> Result<String, String> {
    let address = value.replace("localhost:", "127.0.0.1:").parse();
    settings.hep = Some(address.map_err(|_| format!("{value:?} is no address and port"))?);
    Ok("control.hep: ng, not RTCP".to_owned())
}

pub(super) fn dtmf(settings: &mut Settings, value: &str) -> Result<String, String> {
    let address = value.replace("localhost:", "127.0.0.1:").parse();
    settings.dtmf_log = Some(address.map_err(|_| format!("{value:?} is no address and port"))?);
    Ok("control.dtmf_log: keys that are events, not those in speech".to_owned())
}

/// A section of `transcode-config`, as our own setting.
/// A switch; in a file it may be said to be off.
pub(super) fn dtmf_ng_tcp(settings: &mut Settings, value: &str) -> Result<String, String> {
    settings.dtmf_log_ng_tcp = !matches!(value, "0" | "false" | "no" | "off");
    Ok("control.dtmf_log_ng_tcp".to_owned())
}

pub(super) fn codec_preference(settings: &mut Settings, value: &str) -> Result<String, String> {
    settings.codec_preferences.push(value.to_owned());
    Ok("control.codec_preferences".to_owned())
}

pub(super) fn homer_id(settings: &mut Settings, value: &str) -> Result<String, String> {
    number(&mut settings.hep_agent_id, value, "control.hep_agent_id")
}

pub(super) fn port_min(settings: &mut Settings, value: &str) -> Result<String, String> {
    number(&mut settings.ports[0], value, "relay.ports")
}

pub(super) fn port_max(settings: &mut Settings, value: &str) -> Result<String, String> {
    number(&mut settings.ports[1], value, "relay.ports")
}

/// The code point is the upper six bits of the type of service.
pub(super) fn tos(settings: &mut Settings, value: &str) -> Result<String, String> {
    let mut tos = None;
    number::<u8>(&mut tos, value, "")?;
    settings.dscp = tos.map(|tos| tos >> 2);
    Ok("relay.dscp".to_owned())
}

pub(super) fn threads(settings: &mut Settings, value: &str) -> Result<String, String> {
    number(&mut settings.workers, value, "relay.workers")
}

pub(super) fn log_level(settings: &mut Settings, value: &str) -> Result<String, String> {
    let mut level: Option<i8> = None;
    number(&mut level, value, "")?;
    settings.log_level = Some(match level {
        Some(..=3) => "error",
        Some(4) => "warn",
        Some(5 | 6) => "info",
        _ => "debug",
    });
    Ok("log.level".to_owned())
}

pub(super) fn learning(settings: &mut Settings, value: &str) -> Result<String, String> {
    let word = value.to_ascii_lowercase();
    match word.as_str() {
        "delayed" | "heuristic" | "immediate" | "off" => {}
        _ => return Err(format!("{value:?} is no way to learn an address")),
    }
    settings.endpoint_learning = Some(word);
    Ok("control.endpoint_learning".to_owned())
}

fn seconds(slot: &mut Option<u32>, value: &str, key: &str) -> Result<String, String> {
    number(slot, value, key)
}

fn number<T: std::str::FromStr>(
    slot: &mut Option<T>,
    value: &str,
    key: &str,
) -> Result<String, String> {
    let number = value.trim().parse();
    *slot = Some(number.map_err(|_| format!("{value:?} is no number that can be used here"))?);
    Ok(key.to_owned())
}
