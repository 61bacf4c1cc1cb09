//! Who may ask, and how often: the same for all transports.
//!
//! A stranger gets no answer at all, so that nobody can have one sent to someone else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use control_core::{Exposition, Kind};
use ipnet::IpNet;
use rustc_hash::FxHashMap;
use tracing::warn;

use crate::ng_config::NgConfig;

/// Addresses whose rates are known.
const RATES_MAX: usize = 4_096;

/// What may come at once, in seconds of the rate.
const BURST: Duration = Duration::from_secs(1);

/// From one line about strangers to the next.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// What an address may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    All,
    /// Read `/metrics` and `/ping`.
    Metrics,
    Nothing,
}

/// What was refused, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Datagrams and connections of strangers.
    pub(crate) strangers: AtomicU64,
    /// Datagrams beyond the rate, and requests that had to wait for it.
    pub(crate) over_rate: AtomicU64,
    pub(crate) connections: AtomicU64,
    /// Connections beyond the limit.
    pub(crate) connections_refused: AtomicU64,
    /// Connections closed because nothing came, or too slowly.
    pub(crate) idle: AtomicU64,
    /// Requests that are none, or too long.
    pub(crate) malformed: AtomicU64,
    /// Connections on which no TLS could be agreed on.
    pub(crate) tls_failed: AtomicU64,
    /// Replies and events that found no connection, or one that is not read.
    pub(crate) undelivered: AtomicU64,
}

impl Counts {
    pub(crate) fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets requests in.
#[derive(Debug)]
pub(crate) struct Gate {
    allow: Vec<IpNet>,
    metrics_allow: Vec<IpNet>,
    rates: Option<Mutex<Rates>>,
    warned: Mutex<Option<Instant>>,
    pub(crate) counts: Counts,
}

impl Gate {
    pub(crate) fn new(config: &NgConfig) -> Self {
        let rate = config.requests_per_second_max;
        let nanos = 1_000_000_000_u64.checked_div(rate.into());
        let rates = nanos.map(|nanos| Mutex::new(Rates::new(Duration::from_nanos(nanos))));
        Self {
            allow: config.allow.clone(),
            metrics_allow: config.metrics_allow.clone(),
            rates,
            warned: Mutex::new(None),
            counts: Counts::default(),
        }
    }

    /// What an address may do. One that asks itself is this host, as loopback is: the kernel takes
    /// no datagram from elsewhere that says so, though only of IPv4.
    pub(crate) fn access(&self, remote: IpAddr, local: IpAddr) -> Access {
        let address = remote.to_canonical();
        let is_own = address.is_ipv4() && address == local.to_canonical();
        let own = is_own.then(|| Ipv4Addr::LOCALHOST.into());
        let is_in = |networks: &[IpNet]| {
            let mut names = [Some(address), own].into_iter().flatten();
            names.any(|name| networks.iter().any(|it| it.contains(&name)))
        };
        match () {
            () if is_in(&self.allow) => Access::All,
            () if is_in(&self.metrics_allow) => Access::Metrics,
            () => Access::Nothing,
        }
    }

    /// Whether a datagram is read at all.
    pub(crate) fn admits(&self, from: SocketAddr, to: SocketAddr) -> bool {
        if self.access(from.ip(), to.ip()) != Access::All {
            self.note_stranger(from);
            return false;
        }
        if self.take(from.ip()).is_err() {
            Counts::add(&self.counts.over_rate);
            return false;
        }
        true
    }

    /// Takes one request off an address's rate.
    ///
    /// # Errors
    ///
    /// How long to wait until there is one.
    pub(crate) fn take(&self, address: IpAddr) -> Result<(), Duration> {
        let Some(rates) = &self.rates else {
            return Ok(());
        };
        let mut rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(Instant::now(), address)
    }

    /// Counts one who may not ask. One line a minute, so that a proxy that was forgotten is found.
    pub(crate) fn note_stranger(&self, from: SocketAddr) {
        Counts::add(&self.counts.strangers);
        let now = Instant::now();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|last| now.duration_since(last) >= WARN_INTERVAL) {
            *warned = Some(now);
            let so_far = self.counts.strangers.load(Ordering::Relaxed);
            warn!(%from, so_far, "not in control.ng_allow: gets no answer");
        }
    }

    /// The counts, as text for Prometheus.
    pub(crate) fn exposition(&self, open: usize) -> String {
        let counts = &self.counts;
        let mut text = Exposition::default();
        text.single(
            Kind::Gauge,
            "tandem_ng_connections",
            "Connections of ng, HTTP and WebSocket now.",
            open,
        );
        for (name, help, count) in [
            (
                "tandem_ng_connections_total",
                "Connections that were let in.",
                &counts.connections,
            ),
            (
                "tandem_ng_connections_refused_total",
                "Connections beyond the limit.",
                &counts.connections_refused,
            ),
            (
                "tandem_ng_connections_idle_total",
                "Connections closed for being idle or slow.",
                &counts.idle,
            ),
            (
                "tandem_ng_strangers_total",
                "Datagrams and connections of who may not ask.",
                &counts.strangers,
            ),
            (
                "tandem_ng_over_rate_total",
                "Requests beyond the rate of their address.",
                &counts.over_rate,
            ),
            (
                "tandem_ng_unframed_total",
                "Streams that cannot be read.",
                &counts.malformed,
            ),
            (
                "tandem_ng_tls_failed_total",
                "Connections on which no TLS could be agreed on.",
                &counts.tls_failed,
            ),
            (
                "tandem_ng_undelivered_total",
                "Replies that no connection took.",
                &counts.undelivered,
            ),
        ] {
            text.single(Kind::Counter, name, help, count.load(Ordering::Relaxed));
        }
        text.finish()
    }
}

/// When each address is next on time, if it came at its rate.
#[derive(Debug)]
struct Rates {
    interval: Duration,
    due: FxHashMap<IpAddr, Instant>,
}

impl Rates {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            due: FxHashMap::default(),
        }
    }

    fn take(&mut self, now: Instant, address: IpAddr) -> Result<(), Duration> {
        if self.due.len() >= RATES_MAX && !self.due.contains_key(&address) {
            self.due.retain(|_, due| *due > now);
            if self.due.len() >= RATES_MAX {
                self.due.clear();
            }
        }
        let due = self.due.entry(address).or_insert(now);
        let ahead = due.saturating_duration_since(now);
        if ahead > BURST {
            return Err(ahead - BURST);
        }
        *due = (*due).max(now) + self.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        Gate::new(&NgConfig {
            allow: vec![
                "127.0.0.0/8".parse().unwrap(),
                "2001:db8::/32".parse().unwrap(),
            ],
            metrics_allow: vec!["192.0.2.0/24".parse().unwrap()],
            ..NgConfig::default()
        })
    }

    #[test]
    fn addresses_are_told_apart_by_their_networks() {
        let gate = gate();
        for (address, access) in [
            ("127.3.4.5", Access::All),
            ("::ffff:127.0.0.1", Access::All),
            ("2001:db8:1::1", Access::All),
            ("192.0.2.200", Access::Metrics),
            ("192.0.3.1", Access::Nothing),
            ("::1", Access::Nothing),
        ] {
            let local = "198.51.100.1".parse().unwrap();
            assert_eq!(
                gate.access(address.parse().unwrap(), local),
                access,
                "{address}"
            );
        }
        let local = "198.51.100.1:2223".parse().unwrap();
        assert!(gate.admits("127.0.0.1:9".parse().unwrap(), local));
        assert!(gate.admits("198.51.100.1:9".parse().unwrap(), local));
        assert!(!gate.admits("192.0.2.1:9".parse().unwrap(), local));
        let own = IpAddr::from([192, 0, 2, 7]);
        assert_eq!(gate.access(own, own), Access::All);
        let only = Gate::new(&NgConfig {
            allow: vec!["192.0.2.7".parse::<IpAddr>().unwrap().into()],
            ..NgConfig::default()
        });
        assert_eq!(only.access(own, own), Access::All, "by its name, too");
        assert_eq!(gate.counts.strangers.load(Ordering::Relaxed), 1);
        assert!(gate.exposition(3).contains("tandem_ng_strangers_total 1\n"));
    }

    #[test]
    fn an_address_beyond_its_rate_waits_and_others_do_not() {
        let mut rates = Rates::new(Duration::from_millis(100));
        let now = Instant::now();
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse::<IpAddr>().unwrap());
        let burst = (0..100).take_while(|_| rates.take(now, a).is_ok()).count();
        assert_eq!(burst, 11);
        assert_eq!(rates.take(now, a), Err(Duration::from_millis(100)));
        assert!(rates.take(now, b).is_ok());
        assert!(rates.take(now + Duration::from_millis(100), a).is_ok());
        assert!(rates.take(now + Duration::from_millis(100), a).is_err());
    }

    #[test]
    fn a_crowd_of_addresses_takes_no_more_memory() {
        let mut rates = Rates::new(Duration::from_millis(100));
        let now = Instant::now();
        for number in 0..3 * u32::try_from(RATES_MAX).unwrap() {
            assert!(rates.take(now, Ipv4Addr::from_bits(number).into()).is_ok());
        }
        assert!(rates.due.len() <= RATES_MAX);
    }
}
