//! Settings, checked.

use std::net::SocketAddr;
use std::path::PathBuf;

use control_core::{Limits, OpusPolicy, Preference, Transcode};
use tandem_settings::{EndpointLearning, Loaded, OtherSources, SettingsError};

use crate::ng_config::NgConfig;

/// Addresses that ng is received on at most.
const LISTEN_MAX: usize = 16;

/// Longest time-out, in seconds: a week. Longer ones are slips of the pen.
const SECONDS_MAX: u32 = 604_800;

/// Longest time between two looks at a call, in seconds: what is to be looked at stays in a queue
/// for as long, over or not.
const QUALITY_INTERVAL_S_MAX: u32 = 3_600;

/// Settings that cannot be wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// Where ng is received over UDP.
    pub listen: Vec<SocketAddr>,
    /// The other transports of ng, and who may ask.
    pub ng: NgConfig,
    /// The relay's socket.
    pub relay_socket: PathBuf,
    /// Seconds without media after which a call ends; 0 is never.
    pub media_timeout_s: u32,
    /// The same while all media are on hold.
    pub silent_timeout_s: u32,
    /// Seconds after the answer without any media at all; 0 is never.
    pub first_packet_timeout_s: u32,
    /// Seconds after which a call ends in any case; 0 is never.
    pub final_timeout_s: u32,
    /// Seconds that a deleted call lives on.
    pub delete_delay_s: u32,
    /// Seconds that an offer waits for an answer.
    pub offer_timeout_s: u32,
    /// `control.quality_interval_s`
    pub quality_interval_s: u32,
    /// What may be reached before new calls are turned away.
    pub limits: Limits,
    /// Where limits are kept that are set at run time.
    pub limits_path: PathBuf,
    /// Whether each call that is over is told in the log.
    pub call_records: bool,
    /// The socket that control is asked over by its operator.
    pub admin_socket: PathBuf,
    /// Where Homer is, and by which number it knows us.
    pub hep: Option<(SocketAddr, u32)>,
    /// Who is told of keys.
    pub dtmf_log: Option<SocketAddr>,
    /// Clients of ng over TCP are told of keys.
    pub dtmf_log_ng_tcp: bool,
    /// Where files are that may be played.
    pub media_folder: Option<PathBuf>,
    /// How addresses are learnt, unless a request says otherwise.
    pub endpoint_learning: EndpointLearning,
    /// What becomes of media from another source than the one that was learnt.
    pub other_sources: OtherSources,
    /// Other names of interfaces, each with the name that it stands for.
    pub interface_aliases: Vec<(String, String)>,
    /// When media is transcoded.
    pub transcode: Transcode,
    /// Which codec is made of which.
    pub codec_preferences: Vec<Preference>,
    /// How Opus is encoded.
    pub opus: OpusPolicy,
}

impl Config {
    /// Checks what the file says.
    ///
    /// # Errors
    ///
    /// When a value cannot be used; the error names it, its line and the cure.
    pub fn check(loaded: &Loaded) -> Result<Self, SettingsError> {
        let file = &loaded.file.control;
        let config = Self {
            listen: file.listen.clone(),
            ng: NgConfig::check(loaded)?,
            relay_socket: loaded.relay_socket(),
            media_timeout_s: file.media_timeout_s,
            silent_timeout_s: file.silent_timeout_s,
            first_packet_timeout_s: file.first_packet_timeout_s,
            final_timeout_s: file.final_timeout_s,
            delete_delay_s: file.delete_delay_s,
            offer_timeout_s: file.offer_timeout_s,
            quality_interval_s: file.quality_interval_s,
            limits: limits(file),
            limits_path: loaded.limits_path(),
            call_records: file.call_records,
            admin_socket: loaded.control_socket(),
            hep: file.hep.map(|address| (address, file.hep_agent_id)),
            dtmf_log: file.dtmf_log,
            dtmf_log_ng_tcp: file.dtmf_log_ng_tcp,
            media_folder: loaded.media_folder(),
            endpoint_learning: file.endpoint_learning,
            other_sources: file.other_sources,
            interface_aliases: aliases(loaded)?,
            transcode: match file.transcode {
                tandem_settings::Transcode::Directives => Transcode::Directives,
                tandem_settings::Transcode::Never => Transcode::Never,
                tandem_settings::Transcode::WhenNeeded => Transcode::WhenNeeded,
            },
            codec_preferences: codec_preferences(loaded)?,
            opus: opus(loaded)?,
        };
        config.check_listen(loaded)?;
        config.check_numbers(loaded)?;
        config.check_limits(loaded)?;
        Ok(config)
    }

    /// Checks the files that the settings name, as far as a start would read them.
    ///
    /// # Errors
    ///
    /// When one cannot be used; the error names it, its line and the cure.
    pub fn check_files(&self, loaded: &Loaded) -> Result<(), SettingsError> {
        if let Some(folder) = self.media_folder.as_ref().filter(|it| !it.is_dir()) {
            let problem = format!("{} is no folder", folder.display());
            let cure = "name the folder of the files that may be played, or \"\" for none";
            return Err(loaded.wrong("control.media_folder", problem, cure));
        }
        self.ng.check_files(loaded)
    }

    fn check_listen(&self, loaded: &Loaded) -> Result<(), SettingsError> {
        let wrong = |index: usize, problem: String| {
            let key = format!("control.listen[{index}]");
            let cure =
                "write the address and port that the proxies send to, such as 127.0.0.1:2223";
            Err(loaded.wrong(&key, problem, cure))
        };
        if self.listen.is_empty() || self.listen.len() > LISTEN_MAX {
            let problem = format!(
                "{} addresses; 1 to {LISTEN_MAX} can be used",
                self.listen.len()
            );
            let cure = "use [\"127.0.0.1:2223\"]";
            return Err(loaded.wrong("control.listen", problem, cure));
        }
        for (index, address) in self.listen.iter().enumerate() {
            if address.port() == 0 {
                return wrong(index, format!("{address} has no port"));
            }
            if address.ip().is_multicast() {
                return wrong(index, format!("{} is a group, not a host", address.ip()));
            }
            if self.listen[..index].contains(address) {
                return wrong(index, format!("{address} stands there twice"));
            }
        }
        Ok(())
    }

    fn check_limits(&self, loaded: &Loaded) -> Result<(), SettingsError> {
        let file = &loaded.file.control;
        if hundredths(file.load_max).is_none() {
            let problem = format!("{} is no load average", file.load_max);
            return Err(loaded.wrong("control.load_max", problem, "use 0 for no limit"));
        }
        if self.limits.cpu_percent_max > 100 {
            let problem = format!("{} is more than all of them", file.cpu_percent_max);
            let cure = "100 is all processors together; use 0 for no limit";
            return Err(loaded.wrong("control.cpu_percent_max", problem, cure));
        }
        if let Some((address, _)) = self.hep.filter(|(address, _)| address.port() == 0) {
            let problem = format!("{address} has no port");
            return Err(loaded.wrong("control.hep", problem, "Homer listens on 9060"));
        }
        if let Some(address) = self.dtmf_log.filter(|address| address.port() == 0) {
            let problem = format!("{address} has no port");
            let cure = "write what the proxy's dtmf_events_sock says";
            return Err(loaded.wrong("control.dtmf_log", problem, cure));
        }
        Ok(())
    }

    fn check_numbers(&self, loaded: &Loaded) -> Result<(), SettingsError> {
        let wrong = |key: &str, problem: String, cure: &str| Err(loaded.wrong(key, problem, cure));
        if self.limits.calls_max == 0 {
            let cure = "use 20000, or stop control instead";
            return wrong(
                "control.calls_max",
                "no call could be made".to_owned(),
                cure,
            );
        }
        if self.offer_timeout_s == 0 {
            let cure = "use 180: longer than any phone rings";
            let problem = "every call would end before it is answered".to_owned();
            return wrong("control.offer_timeout_s", problem, cure);
        }
        let times = [
            ("control.media_timeout_s", self.media_timeout_s),
            ("control.silent_timeout_s", self.silent_timeout_s),
            (
                "control.first_packet_timeout_s",
                self.first_packet_timeout_s,
            ),
            ("control.final_timeout_s", self.final_timeout_s),
            ("control.delete_delay_s", self.delete_delay_s),
            ("control.offer_timeout_s", self.offer_timeout_s),
        ];
        for (key, seconds) in times {
            if seconds > SECONDS_MAX {
                let problem = format!("{seconds} s is more than a week");
                return wrong(key, problem, "the value is in seconds");
            }
        }
        if self.quality_interval_s > QUALITY_INTERVAL_S_MAX {
            let problem = format!("{} s is more than an hour", self.quality_interval_s);
            let cure = "use 10, or 0 for no looks at all";
            return wrong("control.quality_interval_s", problem, cure);
        }
        Ok(())
    }
}

/// The greatest load average that is taken for one.
const LOAD_MAX: f64 = 100_000.0;

fn limits(file: &tandem_settings::Control) -> Limits {
    Limits {
        calls_max: file.calls_max,
        load_max_hundredths: hundredths(file.load_max).unwrap_or_default(),
        cpu_percent_max: file.cpu_percent_max,
        bandwidth_mbit_max: file.bandwidth_mbit_max,
    }
}

/// A load average as it is counted; `None` if it is none.
pub(crate) fn hundredths(load: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within 0 and 10,000,000"
    )]
    (0.0..=LOAD_MAX)
        .contains(&load)
        .then(|| (load * 100.0).round() as u32)
}

/// `other=name`
fn aliases(loaded: &Loaded) -> Result<Vec<(String, String)>, SettingsError> {
    let texts = loaded.file.control.interface_aliases.iter().enumerate();
    texts
        .map(|(index, text)| {
            let names = text.split_once('=');
            let names = names.map(|(alias, name)| (alias.trim(), name.trim()));
            let names = names.filter(|(alias, name)| !alias.is_empty() && !name.is_empty());
            let wrong = || {
                let key = format!("control.interface_aliases[{index}]");
                let cure = "write the new name, =, and a name of relay.interfaces";
                loaded.wrong(&key, format!("{text:?} is no alias"), cure)
            };
            let (alias, name) = names.ok_or_else(wrong)?;
            Ok((alias.to_owned(), name.to_owned()))
        })
        .collect()
}

/// Preferences at most: each of them is looked at for each pair of codecs.
const PREFERENCES_MAX: usize = 256;

fn codec_preferences(loaded: &Loaded) -> Result<Vec<Preference>, SettingsError> {
    let texts = &loaded.file.control.codec_preferences;
    if texts.len() > PREFERENCES_MAX {
        let problem = format!("at most {PREFERENCES_MAX} are possible");
        return Err(loaded.wrong("control.codec_preferences", problem, ""));
    }
    let preferences = texts.iter().enumerate().map(|(index, text)| {
        text.parse().map_err(|why| {
            let key = format!("control.codec_preferences[{index}]");
            let problem = format!("{text:?} is no preference: {why}");
            loaded.wrong(&key, problem, "write it as PCMU>opus=-5")
        })
    });
    preferences.collect()
}

fn opus(loaded: &Loaded) -> Result<OpusPolicy, SettingsError> {
    let file = &loaded.file.control;
    let wrong = |key: &str, value: u32, cure| {
        loaded.wrong(
            &format!("control.{key}"),
            format!("{value} is not possible"),
            cure,
        )
    };
    if file.opus_complexity > 10 {
        return Err(wrong(
            "opus_complexity",
            file.opus_complexity.into(),
            "0 to 10 are",
        ));
    }
    if !matches!(file.opus_bitrate, 0 | 6_000..=510_000) {
        return Err(wrong(
            "opus_bitrate",
            file.opus_bitrate,
            "0 and 6000 to 510000 are",
        ));
    }
    if file.opus_loss_percent > 100 {
        return Err(wrong(
            "opus_loss_percent",
            file.opus_loss_percent.into(),
            "0 to 100 are",
        ));
    }
    Ok(OpusPolicy {
        complexity: file.opus_complexity,
        bitrate: Some(file.opus_bitrate).filter(|it| *it > 0),
        loss_percent: file.opus_loss_percent,
        allows_stereo: file.opus_stereo,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(text: &str) -> Result<Config, String> {
        let loaded = Loaded::parse(Path::new("/etc/tandem/tandem.toml"), text).unwrap();
        Config::check(&loaded).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_fine() {
        let config = check("").unwrap();
        assert_eq!(config.listen, ["127.0.0.1:2223".parse().unwrap()]);
        assert!(config.relay_socket.ends_with("data/run/relay.sock"));
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_its_cure() {
        let cases = [
            ("listen = []", "0 addresses"),
            ("listen = [\"127.0.0.1:0\"]", "no port"),
            ("listen = [\"224.0.0.1:2223\"]", "a group"),
            ("listen = [\"127.0.0.1:2223\", \"127.0.0.1:2223\"]", "twice"),
            ("calls_max = 0", "no call"),
            ("offer_timeout_s = 0", "before it is answered"),
            ("media_timeout_s = 60000000", "more than a week"),
            ("quality_interval_s = 3601", "quality_interval_s"),
            ("quality_interval_s = 3601", "more than an hour"),
            ("load_max = -1.0", "no load average"),
            ("load_max = nan", "no load average"),
            ("cpu_percent_max = 101", "more than all"),
            ("hep = \"192.0.2.1:0\"", "no port"),
            ("dtmf_log = \"192.0.2.1:0\"", "no port"),
            ("interface_aliases = [\"a=b\", \"c\"]", "no alias"),
            (
                "codec_preferences = [\"PCMU>opus=1\", \"PCMU\"]",
                "codec_preferences[1]",
            ),
            ("opus_complexity = 11", "opus_complexity"),
            ("opus_bitrate = 5999", "opus_bitrate"),
            ("opus_loss_percent = 101", "opus_loss_percent"),
        ];
        for (line, problem) in cases {
            let error = check(&format!("[control]\n{line}\n")).unwrap_err();
            assert!(error.contains(problem), "{error}");
            assert!(error.contains("tandem.toml:2"), "{error}");
        }
    }
}
