//! All endpoints of a relay that shake hands.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt::Debug;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dimpl::Config;
use relay_wire::Dtls;

use crate::association::{Common, Failure, OUTPUT_BYTES_MAX};
use crate::endpoint::{Endpoint, Failed, Outcome, Trials};
use crate::identity::Identity;
use crate::pace::Strangers;
use crate::trial::Sender;
use crate::{DATAGRAM_BYTES_MAX, DATAGRAMS_MAX, Keys, STRANGERS_MAX};

/// The first repetition of what was not answered; each takes twice as long as the one before. A
/// peer that finds its address by ICE cannot answer at once.
const REPEAT_AFTER: Duration = Duration::from_millis(400);

/// Repetitions of what was not answered.
const REPEATS_MAX: usize = 6;

/// A handshake takes so long at most.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);

/// Something that is to be done, or has happened.
#[derive(Debug)]
pub enum Event<K> {
    /// A datagram is to be sent.
    Transmit {
        /// From which endpoint.
        from: K,
        /// `None`: where media goes.
        to: Option<SocketAddr>,
        /// What.
        bytes: Vec<u8>,
    },
    /// The peer of an endpoint has shown to be the one that was announced.
    Done {
        /// Which endpoint.
        endpoint: K,
        /// What packets are protected with from now on.
        keys: Keys,
    },
    /// A handshake has failed with somebody who has shown to hear us. Another may succeed.
    Failed {
        /// Of which endpoint.
        endpoint: K,
        /// Why.
        failure: Failure,
        /// It was with who is where media goes. Others are none of the call, mostly.
        is_peer: bool,
    },
}

/// The table. `K` is the name of an endpoint.
#[derive(Debug)]
pub struct Handshakes<K> {
    common: Common,
    endpoints: HashMap<K, (Endpoint, Option<Instant>)>,
    endpoints_max: usize,
    /// Those that there is no room for yet, the oldest first, and which one each is.
    waiting: BTreeMap<u64, (K, Dtls)>,
    waits: HashMap<K, u64>,
    last_to_wait: u64,
    /// When endpoints want to be told the time.
    due: BTreeSet<(Instant, K)>,
    events: VecDeque<Event<K>>,
    trials: Trials,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    done: u64,
    strays: u64,
    refused: u64,
    wrong_fingerprint: u64,
    timeout: u64,
    protocol: u64,
    no_profile: u64,
    closed: u64,
}

impl<K> Handshakes<K> {
    /// What is counted: endpoints that shake hands or have, handshakes that are not done, and then
    /// what has happened.
    pub const COUNTERS: [&str; 11] = [
        "dtls_endpoints",
        "dtls_handshakes",
        "dtls_done",
        "dtls_strays",
        "dtls_refused",
        "dtls_wrong_fingerprint",
        "dtls_timed_out",
        "dtls_protocol_errors",
        "dtls_no_profile",
        "dtls_closed",
        "dtls_panics",
    ];
}

impl<K: Copy + Debug + Eq + Hash + Ord> Handshakes<K> {
    /// A table of so many endpoints at most, who all are the same.
    ///
    /// # Panics
    ///
    /// When the library of DTLS finds that its own cryptography does not work.
    #[must_use]
    pub fn new(identity: Identity, endpoints_max: usize) -> Self {
        let config = Config::builder()
            .max_queue_rx(DATAGRAMS_MAX)
            .flight_start_rto(REPEAT_AFTER)
            .flight_retries(REPEATS_MAX)
            .handshake_timeout(HANDSHAKE_MAX)
            .require_client_certificate(true)
            .use_server_cookie(true)
            .build();
        let config = config.expect("the settings are constant");
        Self {
            common: Common {
                config: Arc::new(config),
                identity,
                scratch: vec![0; OUTPUT_BYTES_MAX],
                panics: Arc::default(),
                strangers: Strangers::default(),
                is_full: false,
            },
            endpoints: HashMap::new(),
            endpoints_max,
            waiting: BTreeMap::new(),
            waits: HashMap::new(),
            last_to_wait: 0,
            due: BTreeSet::new(),
            events: VecDeque::new(),
            trials: Trials::default(),
            counters: Counters::default(),
        }
    }

    /// Has an endpoint shake hands, in place of what it did before. Says whether there is room; else
    /// it waits until others have ended. There are no more of those than the relay has endpoints.
    pub fn begin(&mut self, now: Instant, endpoint: K, dtls: Dtls) -> bool {
        self.remove(endpoint);
        let has_room = self.endpoints.len() < self.endpoints_max;
        if has_room {
            self.insert(now, endpoint, dtls);
        } else {
            self.counters.refused += 1;
            self.last_to_wait += 1;
            self.waiting.insert(self.last_to_wait, (endpoint, dtls));
            self.waits.insert(endpoint, self.last_to_wait);
        }
        has_room
    }

    /// An endpoint shakes no hands any more: there may be room for one that waits.
    pub fn end(&mut self, now: Instant, endpoint: K) {
        self.remove(endpoint);
        if self.endpoints.len() < self.endpoints_max
            && let Some((_, (endpoint, dtls))) = self.waiting.pop_first()
        {
            self.waits.remove(&endpoint);
            self.insert(now, endpoint, dtls);
        }
    }

    fn insert(&mut self, now: Instant, endpoint: K, dtls: Dtls) {
        let new = (Endpoint::new(now, dtls), None);
        self.endpoints.insert(endpoint, new);
        self.settle(endpoint, Outcome::default(), Trials::default());
    }

    fn remove(&mut self, endpoint: K) {
        if let Some(number) = self.waits.remove(&endpoint) {
            self.waiting.remove(&number);
        }
        if let Some((ended, due)) = self.endpoints.remove(&endpoint) {
            self.trials = self.trials.changed(ended.trials(), Trials::default());
            if let Some(due) = due {
                self.due.remove(&(due, endpoint));
            }
        }
    }

    /// A datagram has arrived. `is_peer`: it came from where media of the endpoint goes.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        endpoint: K,
        (source, is_peer): (SocketAddr, bool),
        bytes: &[u8],
    ) {
        let found = self.endpoints.get_mut(&endpoint);
        let Some((found, _)) = found.filter(|_| bytes.len() <= DATAGRAM_BYTES_MAX) else {
            self.counters.strays += 1;
            return;
        };
        let before = found.trials();
        self.common.is_full = self.trials.strangers >= STRANGERS_MAX;
        let sender = Sender { source, is_peer };
        let mut outcome = found.handle_datagram(now, &mut self.common, sender, bytes);
        if !outcome.failures.is_empty() {
            found.plan_retry(now);
        }
        self.counters.strays += u64::from(std::mem::take(&mut outcome.is_stray));
        self.counters.refused += u64::from(std::mem::take(&mut outcome.is_refused));
        self.settle(endpoint, outcome, before);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Who wants to be told the time again at once is told it the next time.
        for _ in 0..self.due.len() {
            let Some(&(due, endpoint)) = self.due.first().filter(|(due, _)| *due <= now) else {
                return;
            };
            self.due.remove(&(due, endpoint));
            if let Some((found, due)) = self.endpoints.get_mut(&endpoint) {
                *due = None;
                let before = found.trials();
                let outcome = found.handle_timeout(now, &mut self.common);
                self.settle(endpoint, outcome, before);
            }
        }
    }

    /// When something is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// What is to be done, or has happened.
    pub fn poll_event(&mut self) -> Option<Event<K>> {
        self.events.pop_front()
    }

    /// Endpoints that shake hands, or have.
    #[must_use]
    pub fn endpoints(&self) -> usize {
        self.endpoints.len()
    }

    /// Counts, and gauges, as [`Self::COUNTERS`] names them.
    #[must_use]
    pub fn counters(&self) -> [u64; 11] {
        let Counters {
            done,
            strays,
            refused,
            wrong_fingerprint,
            timeout,
            protocol,
            no_profile,
            closed,
        } = self.counters;
        [
            self.endpoints.len() as u64,
            self.trials.all as u64,
            done,
            strays,
            refused,
            wrong_fingerprint,
            timeout,
            protocol,
            no_profile,
            closed,
            self.common.panics.load(Ordering::Relaxed),
        ]
    }

    /// `before`: handshakes of this endpoint that were not done before.
    fn settle(&mut self, endpoint: K, outcome: Outcome, before: Trials) {
        for (to, bytes) in outcome.datagrams {
            let from = endpoint;
            self.events.push_back(Event::Transmit { from, to, bytes });
        }
        for failed in outcome.failures {
            let Failed {
                failure,
                is_proven,
                is_peer,
            } = failed;
            self.count(failure);
            if is_proven {
                self.events.push_back(Event::Failed {
                    endpoint,
                    failure,
                    is_peer,
                });
            }
        }
        if let Some(keys) = outcome.keys {
            self.counters.done += 1;
            self.events.push_back(Event::Done { endpoint, keys });
        }
        let Some((found, due)) = self.endpoints.get_mut(&endpoint) else {
            return;
        };
        self.trials = self.trials.changed(before, found.trials());
        let new = found.due();
        if *due != new {
            if let Some(old) = std::mem::replace(due, new) {
                self.due.remove(&(old, endpoint));
            }
            self.due.extend(new.map(|it| (it, endpoint)));
        }
    }

    fn count(&mut self, failure: Failure) {
        let counters = &mut self.counters;
        *match failure {
            Failure::WrongFingerprint => &mut counters.wrong_fingerprint,
            Failure::Timeout => &mut counters.timeout,
            Failure::Protocol => &mut counters.protocol,
            Failure::NoProfile => &mut counters.no_profile,
            Failure::Closed => &mut counters.closed,
            // Each panic is counted where it is caught.
            Failure::Broken => return,
        } += 1;
    }
}
