//! What a run is asked to do, and within which bounds.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::watch::Which;
use crate::{LoadError, Permission};

use super::stamp::STAMP_LEN;

/// Calls at most.
pub const CALLS_MAX: u32 = 20_000;
/// Packets per second at most.
pub const RATE_MAX: u64 = 4_000_000;
/// Bytes of payload at most: a jumbo frame.
pub const PAYLOAD_MAX: usize = 8_900;
/// Seconds that a run may last.
pub const DURATION_MAX_S: u64 = 3_600;
/// Threads at most.
pub const THREADS_MAX: usize = 64;

/// Where calls are.
#[derive(Clone, Debug)]
pub enum Target {
    /// An ng server sets them up.
    Ng(SocketAddr),
    /// Each address is one stream, and sends back what it gets.
    Echoes(Vec<SocketAddr>),
}

/// The packets of a codec, as far as a relay sees them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Codec {
    /// As one names it.
    pub name: &'static str,
    /// Number in the RTP header.
    pub payload_type: u8,
    /// Value of `a=rtpmap`.
    pub encoding: &'static str,
    /// Ticks of the RTP clock in a millisecond.
    pub ticks_per_ms: u32,
    /// Bytes of 20 ms.
    pub bytes_in_20_ms: usize,
}

/// The codecs that can be named.
pub const CODECS: [Codec; 6] = [
    codec("pcmu", 0, "PCMU/8000", 8, 160),
    codec("pcma", 8, "PCMA/8000", 8, 160),
    codec("g722", 9, "G722/8000", 8, 160),
    codec("gsm", 3, "GSM/8000", 8, 33),
    codec("ilbc", 97, "iLBC/8000", 8, 38),
    codec("opus", 96, "opus/48000/2", 48, 80),
];

const fn codec(
    name: &'static str,
    payload_type: u8,
    encoding: &'static str,
    ticks_per_ms: u32,
    bytes_in_20_ms: usize,
) -> Codec {
    Codec {
        name,
        payload_type,
        encoding,
        ticks_per_ms,
        bytes_in_20_ms,
    }
}

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the calls are.
    pub target: Target,
    /// How many; not with [`Target::Echoes`], which says so itself.
    pub calls: u32,
    /// Only from the caller to the callee.
    pub is_one_way: bool,
    /// What the packets are.
    pub codec: Codec,
    /// Number in the RTP header, if not the codec's.
    pub payload_type: Option<u8>,
    /// Bytes of a payload, if not the codec's.
    pub payload_len: Option<usize>,
    /// From one packet of a stream to the next, as its RTP clock says.
    pub ptime: Duration,
    /// Packets per second of all streams together, if not one each ptime.
    pub rate: Option<u64>,
    /// How long to send.
    pub duration: Duration,
    /// Time at the beginning that is not measured; losses are counted in it, too.
    pub warm_up: Duration,
    /// The last stream begins this long after the first.
    pub ramp: Duration,
    /// How long to wait for packets after the last one was sent.
    pub drain: Duration,
    /// Whether streams send at random points of the interval instead of evenly.
    pub is_jittered: bool,
    /// Packets that are due within this time leave together at its end, as a NIC hands over what
    /// arrived between two interrupts; zero: each when it is due.
    pub gather: Duration,
    /// Address that the callees are said to be at and where nobody receives. Implies one way.
    pub sink: Option<IpAddr>,
    /// Interface that counts what reaches the sink, and nothing else.
    pub sink_device: Option<String>,
    /// Address of our own ports; `None`: the one that the target is reached from.
    pub local: Option<IpAddr>,
    /// Interface on which whole frames are sent and received, past the stack of this host. Then
    /// `local` may be an address that no host has.
    pub link: Option<String>,
    /// Cores of the threads, one each. Empty: one thread that is not pinned.
    pub cores: Vec<usize>,
    /// Processes whose CPU is watched.
    pub watch: Vec<Which>,
    /// Cores that are watched.
    pub watch_cores: Vec<usize>,
    /// Where load may be sent.
    pub permission: Permission,
    /// How long the ng server may take for a reply.
    pub timeout: Duration,
}

impl Options {
    /// Ten seconds of ten calls with PCMU.
    #[must_use]
    pub fn new(target: Target, permission: Permission) -> Self {
        Self {
            target,
            calls: 10,
            is_one_way: false,
            codec: CODECS[0],
            payload_type: None,
            payload_len: None,
            ptime: Duration::from_millis(20),
            rate: None,
            duration: Duration::from_secs(10),
            warm_up: Duration::from_secs(1),
            ramp: Duration::ZERO,
            drain: Duration::from_millis(500),
            is_jittered: true,
            gather: Duration::ZERO,
            sink: None,
            sink_device: None,
            local: None,
            link: None,
            cores: Vec::new(),
            watch: Vec::new(),
            watch_cores: Vec::new(),
            permission,
            timeout: Duration::from_secs(3),
        }
    }

    /// How many streams that makes.
    #[must_use]
    pub fn streams(&self) -> usize {
        let calls = usize::try_from(self.calls).unwrap_or(usize::MAX);
        match &self.target {
            Target::Echoes(addresses) => addresses.len(),
            Target::Ng(_) if self.is_one_way || self.sink.is_some() => calls,
            Target::Ng(_) => calls.saturating_mul(2),
        }
    }

    /// From one packet of a stream to the next, as it is sent.
    #[must_use]
    pub fn interval(&self) -> Duration {
        match self.rate {
            Some(rate) => {
                let streams = u64::try_from(self.streams()).unwrap_or(u64::MAX);
                let ns = u128::from(streams) * 1_000_000_000 / u128::from(rate.max(1));
                Duration::from_nanos(ns.try_into().unwrap_or(u64::MAX))
            }
            None => self.ptime,
        }
    }

    /// Bytes of a payload.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        let ptime_us = usize::try_from(self.ptime.as_micros()).unwrap_or(usize::MAX);
        self.payload_len.unwrap_or_else(|| {
            let len = self.codec.bytes_in_20_ms.saturating_mul(ptime_us) / 20_000;
            len.max(STAMP_LEN)
        })
    }

    /// Whether all is within bounds.
    ///
    /// # Errors
    ///
    /// The first that is not.
    pub fn check(&self) -> Result<(), LoadError> {
        let streams = self.streams();
        let interval = self.interval();
        let within = |what: &str, is_within: bool, bounds: String| match is_within {
            true => Ok(()),
            false => Err(LoadError::Option(format!("{what} must be {bounds}"))),
        };
        within(
            "the number of calls",
            self.calls > 0 && self.calls <= CALLS_MAX && streams > 0 && streams <= 40_000,
            format!("1 to {CALLS_MAX}"),
        )?;
        within(
            "the payload",
            (STAMP_LEN..=PAYLOAD_MAX).contains(&self.payload_bytes()),
            format!("{STAMP_LEN} to {PAYLOAD_MAX} bytes, of which {STAMP_LEN} are checked"),
        )?;
        within(
            "the payload type",
            self.payload_type.is_none_or(|it| it < 128),
            "0 to 127".to_owned(),
        )?;
        within(
            "the packet time",
            (1..=1_000).contains(&self.ptime.as_millis()),
            "1 to 1000 ms".to_owned(),
        )?;
        let streams = u128::try_from(streams).unwrap_or(u128::MAX);
        within(
            "the rate",
            !interval.is_zero()
                && streams * 1_000_000_000 <= u128::from(RATE_MAX) * (interval.as_nanos() + 1),
            format!("1 to {RATE_MAX} packets/s in all"),
        )?;
        within(
            "the duration",
            self.duration > self.warm_up && self.duration.as_secs() <= DURATION_MAX_S,
            format!("longer than the warm-up, and at most {DURATION_MAX_S} s"),
        )?;
        within(
            "the ramp",
            self.ramp < self.duration,
            "shorter than the duration".to_owned(),
        )?;
        within(
            "the time to drain",
            self.drain.as_secs() <= 60,
            "at most a minute".to_owned(),
        )?;
        within(
            "the time to gather packets",
            self.gather.as_millis() <= 10,
            "at most 10 ms".to_owned(),
        )?;
        within(
            "the number of cores",
            self.cores.len() <= THREADS_MAX,
            format!("{THREADS_MAX} at most"),
        )?;
        self.check_target()
    }

    fn check_target(&self) -> Result<(), LoadError> {
        if let Some(sink) = self.sink {
            self.permission.check(sink)?;
        }
        if self.link.is_some() && self.local.is_some_and(|it| it.is_ipv6()) {
            return Err(LoadError::Option(
                "whole frames are of IPv4 only".to_owned(),
            ));
        }
        match &self.target {
            Target::Ng(server) => self.permission.check(server.ip()),
            Target::Echoes(_) if self.sink.is_some() => Err(LoadError::Option(
                "a sink needs an ng server that is told of it".to_owned(),
            )),
            Target::Echoes(addresses) => addresses
                .iter()
                .try_for_each(|it| self.permission.check(it.ip())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        let target = Target::Ng("127.0.0.1:2223".parse().unwrap());
        Options::new(target, Permission::new(Vec::new()))
    }

    fn is_refused(change: impl FnOnce(&mut Options)) -> bool {
        let mut options = options();
        change(&mut options);
        options.check().is_err()
    }

    #[test]
    fn what_is_usual_is_within_bounds() {
        options().check().unwrap();
        for codec in CODECS {
            assert!(!is_refused(|it| it.codec = codec), "{codec:?}");
        }
        assert_eq!(options().payload_bytes(), 160);
        assert_eq!(options().streams(), 20);
    }

    #[test]
    fn everything_is_bounded() {
        assert!(is_refused(|it| it.calls = 0));
        assert!(is_refused(|it| it.calls = CALLS_MAX + 1));
        assert!(is_refused(|it| it.payload_len = Some(STAMP_LEN - 1)));
        assert!(is_refused(|it| it.payload_len = Some(PAYLOAD_MAX + 1)));
        assert!(is_refused(|it| it.payload_type = Some(128)));
        assert!(is_refused(|it| it.rate = Some(RATE_MAX * 2)));
        assert!(is_refused(|it| it.rate = Some(u64::MAX)));
        assert!(is_refused(|it| it.duration = Duration::from_secs(1)));
        assert!(is_refused(
            |it| it.duration = Duration::from_secs(DURATION_MAX_S + 1)
        ));
        assert!(is_refused(|it| it.ramp = Duration::from_secs(11)));
        assert!(is_refused(|it| it.ptime = Duration::ZERO));
        assert!(is_refused(|it| it.drain = Duration::from_secs(61)));
        assert!(is_refused(|it| it.gather = Duration::from_millis(11)));
    }

    #[test]
    fn strangers_are_not_loaded() {
        let stranger: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        assert!(is_refused(|it| it.target = Target::Ng(stranger)));
        assert!(is_refused(|it| it.target = Target::Echoes(vec![stranger])));
        assert!(is_refused(|it| it.sink = Some(stranger.ip())));
    }

    #[test]
    fn frames_are_of_ipv4() {
        assert!(is_refused(|it| {
            it.link = Some("v0".to_owned());
            it.local = "2001:db8::1".parse().ok();
        }));
    }

    #[test]
    fn a_rate_is_shared_by_the_streams() {
        let options = Options {
            rate: Some(100_000),
            ..options()
        };
        assert_eq!(options.interval(), Duration::from_micros(200));
    }
}
