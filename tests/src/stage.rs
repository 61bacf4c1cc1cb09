//! A relay in an Internet of its own.

use std::net::IpAddr;
use std::time::Duration;

use tandem_settings::File;

use crate::{
    Internet, Namespace, Nat, NgClient, RtpEndpoint, Site, Tandem, public_ip, public_ip6, until,
};

/// Number of the relay's host.
const RELAY: u8 = 1;

/// What is added to the number of a NAT for that of the host with the phone's private address.
const NAMESAKES: u8 = 100;

/// Time that something counted has to show.
const COUNT_LIMIT: Duration = Duration::from_secs(10);

/// Where a scenario with hosts, NATs and attackers takes place.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The scenario's folder and turn, and the loopback network of the relay's host.
    pub site: &'a Site,
    /// Who is there.
    pub internet: &'a Internet,
    /// The relay's host.
    pub host: &'a Namespace,
    /// Relay and control.
    pub tandem: &'a Tandem,
    /// The proxy.
    pub client: &'a NgClient,
}

impl Stage<'_> {
    /// Starts relay and control on a host of a new Internet, plays, and stops them. Does nothing,
    /// and says so, where that is not possible.
    ///
    /// # Panics
    ///
    /// When the play does, or a daemon does not end in order.
    pub fn play(edit: impl FnOnce(&mut File) + Send, play: impl FnOnce(&Stage<'_>) + Send) {
        let Some(internet) = Internet::new() else {
            return;
        };
        let host = internet.host(RELAY);
        host.within(|| {
            let site = Site::new();
            let tandem = Tandem::start_pair(&site, |file| {
                file.relay.interfaces = vec![Self::relay_ip().to_string()];
                edit(file);
            });
            let client = NgClient::new(tandem.ng());
            play(&Stage {
                site: &site,
                internet: &internet,
                host: &host,
                tandem: &tandem,
                client: &client,
            });
            tandem.stop();
        });
    }

    /// The address of the relay's only interface.
    #[must_use]
    pub fn relay_ip() -> IpAddr {
        public_ip(RELAY)
    }

    /// Addresses of the relay's host.
    #[must_use]
    pub fn relay_ips() -> [IpAddr; 2] {
        [public_ip(RELAY), public_ip6(RELAY)]
    }

    /// An end at the private address of the phone behind a NAT, but in the relay's own network:
    /// it gets what is sent to where that phone's SDP says.
    ///
    /// # Panics
    ///
    /// When the NAT has one already.
    #[must_use]
    #[track_caller]
    pub fn namesake(&self, nat: &Nat) -> RtpEndpoint {
        let number = nat.number + NAMESAKES;
        let (ip, gateway) = (nat.inner, public_ip(number));
        let host = self.internet.host(number);
        host.ip(&format!("addr add {ip}/32 dev lo"));
        self.host.ip(&format!("route add {ip}/32 via {gateway}"));
        host.within(|| RtpEndpoint::new(ip))
    }

    /// What the relay has counted.
    #[must_use]
    #[track_caller]
    pub fn count(&self, counter: &str) -> i64 {
        let reply = self.client.request("statistics", &[]);
        let counters = reply.find("statistics").unwrap_or(&reply);
        let count = counters.integer(&["relay", "counters", counter]);
        count.unwrap_or_else(|| panic!("no {counter} in {reply:?}"))
    }

    /// Packets from strangers that the relay has dropped.
    #[must_use]
    #[track_caller]
    pub fn strangers(&self) -> i64 {
        ["dropped_source_mismatch", "dropped_unproven"]
            .map(|counter| self.count(counter))
            .iter()
            .sum()
    }

    /// Waits until so many packets from strangers have been dropped since there were `before`:
    /// what was sent before has been decided about then.
    ///
    /// # Panics
    ///
    /// When there are fewer for too long.
    #[track_caller]
    pub fn await_strangers(&self, before: i64, count: i64) {
        until("strangers are counted", COUNT_LIMIT, || {
            self.strangers() >= before + count
        });
    }
}
