//! The clock, the network and the relay.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::phone::Phone;
use crate::digest::tests::{REALM, account};
use crate::interface::{
    Binding, Cdr, ConnectionId, Destination, Listener, ListenerId, MediaCounts, MediaError,
    MediaReply, MediaRequest, Now, Output, Source, Token, Transport,
};
use crate::{Proxy, ProxyConfig};

/// What the network does to datagrams, in percent and milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) loss: u64,
    pub(crate) duplicates: u64,
    pub(crate) delay_ms: (u64, u64),
}

impl Network {
    pub(crate) const GOOD: Self = Self {
        loss: 0,
        duplicates: 0,
        delay_ms: (1, 1),
    };
}

/// One message that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) to: SocketAddr,
    pub(crate) text: String,
}

#[derive(Debug)]
enum Event {
    Media(Token, Result<MediaReply, MediaError>),
    ToPhone(SocketAddr, Vec<u8>),
    ToProxy(SocketAddr, ListenerId, Vec<u8>),
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) proxy: Proxy,
    pub(crate) network: Network,
    pub(crate) phones: BTreeMap<SocketAddr, Phone>,
    pub(crate) cdrs: Vec<Cdr>,
    pub(crate) media: Vec<MediaRequest>,
    pub(crate) stored: Vec<(String, Vec<Binding>)>,
    pub(crate) resolves: Vec<(Token, String)>,
    pub(crate) seen: Vec<Seen>,
    sent: Vec<(SocketAddr, String)>,
    /// The last message that left the proxy.
    pub(crate) last_to_phone: Option<(Destination, String)>,
    /// What the relay answers next, instead of an SDP.
    pub(crate) media_errors: VecDeque<MediaError>,
    pub(crate) media_delay_ms: (u64, u64),
    start: Instant,
    ms: u64,
    random: StdRng,
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    next_event: u64,
}

pub(crate) const PROXY: &str = "192.0.2.1:5060";
pub(crate) const PROXY_INSIDE: &str = "10.9.0.1:5060";

pub(crate) fn config() -> ProxyConfig {
    let listener = |transport, address: &str| Listener {
        transport,
        address: address.parse().unwrap(),
        prefix_len: 24,
        advertised: None,
    };
    ProxyConfig {
        listeners: vec![
            listener(Transport::Udp, PROXY),
            listener(Transport::Tcp, PROXY),
            listener(Transport::Udp, PROXY_INSIDE),
        ],
        domains: vec![REALM.to_owned()],
        secret: [9; 32],
        relays_media: true,
        expires_min_s: 60,
        expires_max_s: 3_600,
        contacts_max: 3,
        ring_timeout_s: 180,
        call_duration_max_s: 0,
        requests_per_second_max: 0,
        calls_max: 1_000,
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_config(seed, config())
    }

    pub(crate) fn with_config(seed: u64, config: ProxyConfig) -> Self {
        let mut proxy = Proxy::new(config);
        proxy.handle_accounts(
            ["alice", "bob", "carol"]
                .map(|user| account(user, &format!("{user}-password")))
                .to_vec(),
        );
        Self {
            proxy,
            network: Network::GOOD,
            phones: BTreeMap::new(),
            cdrs: Vec::new(),
            media: Vec::new(),
            stored: Vec::new(),
            resolves: Vec::new(),
            seen: Vec::new(),
            sent: Vec::new(),
            last_to_phone: None,
            media_errors: VecDeque::new(),
            media_delay_ms: (1, 1),
            start: super::start(),
            ms: 0,
            random: StdRng::seed_from_u64(seed),
            agenda: BinaryHeap::new(),
            events: BTreeMap::new(),
            next_event: 0,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            instant: self.start + Duration::from_millis(self.ms),
            unix_ms: 1_700_000_000_000 + self.ms,
        }
    }

    /// Adds a phone and registers it.
    pub(crate) fn add(&mut self, user: &str, address: &str) -> SocketAddr {
        let address = self.add_unregistered(user, address);
        let now = self.now();
        self.phone(address).register(now);
        self.run_ms(100);
        assert!(self.phone(address).is_registered, "{user} registers");
        address
    }

    pub(crate) fn add_unregistered(&mut self, user: &str, address: &str) -> SocketAddr {
        let address: SocketAddr = address.parse().unwrap();
        let password = format!("{user}-password");
        self.phones
            .insert(address, Phone::new(user, &password, address));
        address
    }

    pub(crate) fn phone(&mut self, address: SocketAddr) -> &mut Phone {
        self.phones.get_mut(&address).unwrap()
    }

    /// Lets a phone do something now.
    pub(crate) fn with<T>(
        &mut self,
        address: SocketAddr,
        action: impl FnOnce(&mut Phone, Now) -> T,
    ) -> T {
        let now = self.now();
        let result = action(self.phone(address), now);
        self.collect();
        result
    }

    /// Sends bytes to the proxy as if from `from`, past the network's faults.
    pub(crate) fn inject(&mut self, from: &str, bytes: &[u8]) {
        let source = Source {
            listener: ListenerId(0),
            address: from.parse().unwrap(),
            connection: None,
        };
        self.inject_from(source, bytes);
    }

    pub(crate) fn inject_from(&mut self, source: Source, bytes: &[u8]) {
        let now = self.now();
        self.proxy.handle_message(now, source, bytes);
        self.collect();
    }

    /// The texts that arrived at an address.
    pub(crate) fn seen_at(&self, address: &str) -> Vec<&str> {
        let address: SocketAddr = address.parse().unwrap();
        let seen = self.seen.iter().filter(|seen| seen.to == address);
        seen.map(|seen| seen.text.as_str()).collect()
    }

    /// What an address sent with this method.
    pub(crate) fn sent_by(&self, address: &str, method: &str) -> Vec<String> {
        let address: SocketAddr = address.parse().unwrap();
        let sent = self.sent.iter().filter(|(from, _)| *from == address);
        let texts = sent.map(|(_, text)| text.clone());
        texts.filter(|text| text.starts_with(method)).collect()
    }

    /// What all phones sent that begins so, in order.
    pub(crate) fn sent_in_all(&self, start: &str) -> Vec<String> {
        let texts = self.sent.iter().map(|(_, text)| text.clone());
        texts.filter(|text| text.starts_with(start)).collect()
    }

    /// Lets time pass until nothing is due within `ms` milliseconds.
    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.collect();
        let until = self.ms + ms;
        while let Some(at) = self.next_ms().filter(|at| *at <= until) {
            self.ms = self.ms.max(at);
            self.turn();
        }
        self.ms = until;
    }

    fn next_ms(&self) -> Option<u64> {
        let of_phones = self.phones.values().filter_map(Phone::poll_timeout);
        let timers = of_phones.chain(self.proxy.poll_timeout());
        let timers = timers.map(|at| {
            let after = at.saturating_duration_since(self.start);
            u64::try_from(after.as_micros().div_ceil(1_000)).unwrap()
        });
        let agenda = self.agenda.peek().map(|Reverse((at, _))| *at);
        timers.chain(agenda).min()
    }

    fn turn(&mut self) {
        let now = self.now();
        while let Some(Reverse((at, number))) = self.agenda.peek().copied() {
            if at > self.ms {
                break;
            }
            self.agenda.pop();
            let event = self.events.remove(&number).unwrap();
            self.happen(now, event);
            self.collect();
        }
        if self
            .proxy
            .poll_timeout()
            .is_some_and(|at| at <= now.instant)
        {
            self.proxy.handle_timeout(now);
        }
        for phone in self.phones.values_mut() {
            phone.handle_timeout(now);
        }
        self.collect();
    }

    fn happen(&mut self, now: Now, event: Event) {
        match event {
            Event::Media(token, reply) => self.proxy.handle_media_reply(now, token, reply),
            Event::ToPhone(to, bytes) => {
                self.seen.push(Seen {
                    to,
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                });
                if let Some(phone) = self.phones.get_mut(&to) {
                    phone.handle_message(now, &bytes);
                }
            }
            Event::ToProxy(from, listener, bytes) => {
                let source = Source {
                    listener,
                    address: from,
                    connection: None,
                };
                self.proxy.handle_message(now, source, &bytes);
            }
        }
    }

    /// Carries out what the proxy and the phones want.
    fn collect(&mut self) {
        while let Some(output) = self.proxy.poll_output() {
            match output {
                Output::Cdr(cdr) => self.cdrs.push(*cdr),
                Output::Media { token, request } => self.relay(token, request),
                Output::Resolve { token, host, .. } => self.resolves.push((token, host)),
                Output::Send { destination, bytes } => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.last_to_phone = Some((destination, text));
                    self.travel(|| Event::ToPhone(destination.address, bytes.clone()));
                }
                Output::StoreBindings { user, bindings } => self.stored.push((user, bindings)),
            }
        }
        let addresses: Vec<_> = self.phones.keys().copied().collect();
        for from in addresses {
            while let Some(bytes) = self.phone(from).poll_send() {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.sent.push((from, text));
                let is_inside = from.ip().to_string().starts_with("10.9.");
                let listener = ListenerId(if is_inside { 2 } else { 0 });
                self.travel(|| Event::ToProxy(from, listener, bytes.clone()));
            }
        }
    }

    fn travel(&mut self, event: impl Fn() -> Event) {
        if self.percent() < self.network.loss {
            return;
        }
        let copies = if self.percent() < self.network.duplicates {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let delay = self.between(self.network.delay_ms);
            self.schedule(delay, event());
        }
    }

    /// A relay that marks what it touched.
    fn relay(&mut self, token: Token, request: MediaRequest) {
        let reply = match &request {
            MediaRequest::Delete { .. } => Ok(MediaReply::Deleted(Some(MediaCounts {
                caller_packets: 7,
                ..MediaCounts::default()
            }))),
            MediaRequest::Answer(sdp) | MediaRequest::Offer(sdp) => {
                match self.media_errors.pop_front() {
                    Some(error) => Err(error),
                    None => Ok(MediaReply::Sdp([b"relayed:", sdp.sdp.as_slice()].concat())),
                }
            }
        };
        self.media.push(request);
        let delay = self.between(self.media_delay_ms);
        self.schedule(delay, Event::Media(token, reply));
    }

    fn schedule(&mut self, delay_ms: u64, event: Event) {
        self.agenda
            .push(Reverse((self.ms + delay_ms, self.next_event)));
        self.events.insert(self.next_event, event);
        self.next_event += 1;
    }

    fn percent(&mut self) -> u64 {
        self.random.next_u64() % 100
    }

    fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        least + self.random.next_u64() % (most - least + 1)
    }

    /// Asserts that nothing is left of anything.
    pub(crate) fn assert_idle(&mut self) {
        self.run_ms(400_000);
        assert_eq!(self.proxy.transactions.len(), 0, "transactions");
        assert_eq!(self.proxy.forks.len(), 0, "forks: {:?}", self.proxy.forks);
        assert_eq!(self.proxy.calls.len(), 0, "calls");
        assert_eq!(self.proxy.waiters.len(), 0, "waiters");
        assert_eq!(self.proxy.resolving.len(), 0, "names");
    }

    /// Deletes of whole calls.
    pub(crate) fn call_deletes(&self) -> usize {
        let is_whole = |request: &&MediaRequest| {
            matches!(
                request,
                MediaRequest::Delete {
                    via_branch: None,
                    ..
                }
            )
        };
        self.media.iter().filter(is_whole).count()
    }
}

/// The other end of a connection.
pub(crate) fn tcp_source(from: &str, connection: u64) -> Source {
    Source {
        listener: ListenerId(1),
        address: from.parse().unwrap(),
        connection: Some(ConnectionId(connection)),
    }
}
