//! The hub: takes requests and the relay's messages, and says what is to be sent.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use control_ng::{Command, Message, Request, RequestError, Value, reply};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use relay_wire::{CallKey, Learning};
use rustc_hash::FxHashMap;

use crate::call::{Carrier, Client, Format};
use crate::codecs::{OpusPolicy, Preference, Transcode};
use crate::events::Events;
use crate::limits::{Admission, HostLoad, Limits, Overload};
use crate::negotiation::{Policy, Turn, not_done};
use crate::output::{Notice, Output};
use crate::placement::Placement;
use crate::plan::Terms;
use crate::ports::Ports;
use crate::replies::{Entry, Key, Replies};
use crate::trace::Traces;

use self::between::{Half, Place};
use self::connecting::Step;
use self::jobs::Call;
use self::link::Link;
use self::metrics::Tally;
use self::playing::Loading;
use self::proxies::Proxies;
use self::sampling::Sampling;
use self::survey::Survey;
use self::watch::Watch;
use self::ways::Ways;

pub use self::command_line::is_order;
pub(crate) use self::treating::policy_of_keys;
pub use self::watch::WatchedCall;

mod between;
mod command_line;
mod connecting;
mod deletion;
mod jobs;
mod lifetime;
mod link;
mod metrics;
mod playing;
mod proxies;
mod requests;
mod sampling;
mod survey;
mod tracing;
mod traffic;
mod treating;
mod watch;
mod ways;

/// Bytes of the longest reply: what a UDP datagram over IPv4 holds.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Requests that wait for the relay.
const WAITING_MAX: usize = 4_096;

/// How long a request waits for the relay: long enough for one that is started again, and less than
/// the two seconds that our proxy waits for us (others wait five). An error in time lets it try
/// another relay; a reply too late is worth nothing.
const WAIT: Duration = Duration::from_millis(1_500);

/// The time of one turn of the driver, read once.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For timers.
    pub instant: Instant,
    /// For what outlives the process: milliseconds since 1970 (UTC).
    pub unix_ms: u64,
}

impl Now {
    /// The instant that a point of calendar time is at; now, if it is past.
    pub(crate) fn at(self, unix_ms: u64) -> Instant {
        self.instant + Duration::from_millis(unix_ms.saturating_sub(self.unix_ms))
    }
}

/// How control is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Config {
    /// Seconds without any media after which a call is ended; 0 is never.
    pub media_timeout_s: u32,
    /// The same of a call whose media are all on hold.
    pub silent_timeout_s: u32,
    /// Seconds after the answer without any media at all; 0 is never.
    pub first_packet_timeout_s: u32,
    /// Seconds after which a call is ended in any case; 0 is never.
    pub final_timeout_s: u32,
    /// Seconds that a deleted call lives on, unless the request says otherwise.
    pub delete_delay_s: u32,
    /// Seconds that an offer waits for an answer before its ports are given back.
    pub offer_timeout_s: u32,
    /// Calls at most.
    pub calls_max: u32,
    /// How addresses are learnt, unless a request says otherwise.
    pub endpoint_learning: Learning,
    /// When media is transcoded.
    pub transcode: Transcode,
    /// Each key that a party presses is told as [`Output::Key`].
    pub tells_keys: bool,
    /// Each report of a party by RTCP is told as [`Output::Report`].
    pub tells_reports: bool,
    /// Seconds from one look at how a call sounds to the next; 0 is never.
    pub quality_interval_s: u32,
    /// From the system's source of randomness: makes ports hard to guess.
    pub seed: [u8; 32],
}

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Offers, repeated ones not counted; so with the other commands.
    pub offers: u64,
    /// Answers.
    pub answers: u64,
    /// Deletes.
    pub deletes: u64,
    /// Queries.
    pub queries: u64,
    /// Pings.
    pub pings: u64,
    /// Lists.
    pub lists: u64,
    /// Requests for statistics.
    pub statistics: u64,
    /// Requests answered with an error.
    pub refused: u64,
    /// Requests that came again.
    pub repeated: u64,
    /// Datagrams without a cookie or a document.
    pub malformed: u64,
    /// Requests that found a queue full and were dropped.
    pub dropped: u64,
    /// Keys and flags that are not acted on.
    pub unheeded: u64,
    /// Calls begun.
    pub calls_started: u64,
    /// Calls over.
    pub calls_ended: u64,
    /// Calls over because no media came.
    pub media_timeouts: u64,
    /// Calls over because no media came while they were on hold.
    pub silent_timeouts: u64,
    /// Calls over because no media ever came.
    pub first_packet_timeouts: u64,
    /// Calls over because they were there for too long.
    pub final_timeouts: u64,
    /// Calls over because no answer came.
    pub offer_timeouts: u64,
    /// Calls over because the operator said so.
    pub terminated: u64,
    /// Calls that could not be kept when the relay came back.
    pub calls_lost: u64,
    /// Records that could not be read.
    pub records_unreadable: u64,
    /// Ports that turned out to be taken by someone else.
    pub ports_taken: u64,
    /// Requests that the relay refused for other reasons.
    pub relay_refusals: u64,
    /// Keys that were told of.
    pub keys: u64,
    /// Reports by RTCP that were told of.
    pub reports: u64,
    /// Packets that went through calls that are over.
    pub relayed_packets: u64,
    /// Bytes that went through calls that are over.
    pub relayed_bytes: u64,
}

/// Decides about calls.
///
/// Performs no I/O and reads no clock: datagrams, the relay's messages and the time come in
/// through `handle_*`, and what is to be done comes out of [`Self::poll_output`], which the driver
/// empties after each call.
#[derive(Debug)]
pub struct Control {
    config: Config,
    rng: StdRng,
    /// Each by itself, since a table is half empty.
    calls: FxHashMap<CallKey, Box<Call>>,
    /// Clients choose the Call-ID, so its hash must not be one that they can steer.
    keys: HashMap<Arc<[u8]>, CallKey>,
    next_key: u64,
    ended_count: usize,
    link: Link,
    survey: Survey,
    ports: Ports,
    placement: Placement,
    policy: Policy,
    replies: Replies,
    events: Events,
    waiting: VecDeque<Held>,
    loading: Loading,
    timers: BinaryHeap<Reverse<(Instant, CallKey)>>,
    outputs: VecDeque<Output>,
    counters: Counters,
    started_unix_ms: Option<u64>,
    admission: Admission,
    tally: Tally,
    proxies: Proxies,
    ways: Ways,
    traces: Traces,
    watch: Watch,
    sampling: Sampling,
    wants_records: bool,
}

/// Whether the relay has no part in a request, or none that others do not have, too.
fn is_answered_at_once(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Cli(_) | Command::List { .. } | Command::Ping | Command::Statistics
    )
}

/// A request that is kept until it is answered.
#[derive(Clone, Debug)]
struct Held {
    client: Client,
    datagram: Arc<[u8]>,
    key: Key,
    /// What it asks for.
    command: &'static str,
    deadline: Instant,
    /// How often it was tried.
    attempts: u8,
    /// The relay had too much to do for its codecs.
    spares_codecs: bool,
    /// What it has changed already, of several calls: all of it is undone if the rest cannot be.
    steps: Vec<Step>,
    /// What is to be made of the other of two calls, too.
    half: Option<Arc<Half>>,
    /// A Call-ID and a tag that it did not name.
    names: Option<Arc<[String; 2]>>,
}

impl Held {
    /// How long ago it came.
    fn waited(&self, now: Instant) -> Duration {
        // It was given this time when it came.
        let began = self.deadline.checked_sub(WAIT).unwrap_or(now);
        now.saturating_duration_since(began)
    }
}

impl Control {
    /// Control without calls and without a relay.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut rng = StdRng::from_seed(config.seed);
        let nonce = rng.random();
        let replies = Replies::new(rng.random());
        let policy = Policy::new(config.endpoint_learning, rng.random());
        Self {
            config,
            rng,
            calls: FxHashMap::default(),
            keys: HashMap::new(),
            next_key: 0,
            ended_count: 0,
            link: Link::default(),
            survey: Survey::default(),
            ports: Ports::default(),
            placement: Placement::default(),
            policy,
            replies,
            events: Events::new(nonce),
            waiting: VecDeque::new(),
            loading: Loading::default(),
            timers: BinaryHeap::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            started_unix_ms: None,
            admission: Admission::new(Limits {
                calls_max: config.calls_max,
                ..Limits::default()
            }),
            tally: Tally::default(),
            proxies: Proxies::default(),
            ways: Ways::default(),
            traces: Traces::default(),
            watch: Watch::default(),
            sampling: Sampling::default(),
            wants_records: false,
        }
    }

    /// Has media go on wherever it comes from, unless a request says `strict source`.
    pub fn forward_other_sources(&mut self) {
        self.policy.forward_others();
    }

    /// Gives an interface of the relay another name, by which requests may call it.
    pub fn name_interface(&mut self, alias: &str, name: &str) {
        self.policy.add_alias(alias, name);
    }

    /// Says which codec is made of which where the proxy directs what becomes of codecs and leaves
    /// a choice.
    pub fn prefer_codecs(&mut self, preferences: Vec<Preference>) {
        self.policy.codecs.preferences = preferences.into();
    }

    /// Says how Opus is encoded where the proxy does not.
    pub fn set_opus(&mut self, opus: OpusPolicy) {
        self.policy.codecs.opus = opus;
    }

    /// Takes a datagram of a client.
    pub fn handle_request(&mut self, now: Now, client: Client, datagram: &[u8]) {
        self.started_unix_ms.get_or_insert(now.unix_ms);
        let Some(message) = Message::split(datagram) else {
            self.counters.malformed += 1;
            return;
        };
        let format = match message.body.first() {
            Some(b'{') => Format::Json,
            _ => Format::Bencode,
        };
        let client = Client { format, ..client };
        let Ok(document) = Value::parse(message.body) else {
            self.counters.malformed += 1;
            let reason = match message.body.first() {
                None => "Invalid data (no payload)",
                Some(b'd') => "Could not decode bencode dictionary",
                Some(b'{') => "Failed to parse JSON document",
                Some(_) => "Invalid NG data format",
            };
            return self.refuse(client, message.cookie, reason);
        };
        match Request::parse(&document) {
            Ok(request) => {
                self.note_unheeded(client, &request);
                self.dispatch(now, client, message.cookie, &request.command, datagram);
            }
            Err(error) => self.refuse_request(client, message.cookie, error),
        }
    }

    /// Does what is due. Does nothing before [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((client, datagram)) = self.events.poll(now.instant) {
            self.send(client, datagram);
        }
        let is_late = |held: &Held| held.deadline <= now.instant;
        while self.waiting.front().is_some_and(is_late)
            && let Some(held) = self.waiting.pop_front()
        {
            self.give_up_waiting(now, held);
        }
        while let Some(Reverse((due, key))) = self.timers.peek().copied() {
            if due > now.instant {
                break;
            }
            self.timers.pop();
            self.handle_call_timeout(now, key);
        }
        self.watch_more(now);
        self.sample_more(now);
    }

    /// When [`Self::handle_timeout`] is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((due, _))| *due);
        let waiting = self.waiting.front().map(|held| held.deadline);
        let (watch, sampling) = (self.watch.due(), self.sampling.due());
        [timer, waiting, self.events.due(), watch, sampling]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes the next thing that the driver is to do.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What was done since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many calls there are now, without those that ended by themselves and of which only the
    /// counts are kept.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.keys.len().saturating_sub(self.ended_count)
    }

    /// Whether the relay is there and everything is known that it does.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.link.is_up()
    }

    /// Pairs of ports in use or resting, and all.
    #[must_use]
    pub fn port_usage(&mut self, now: Now) -> (usize, usize) {
        self.ports.usage(now.instant)
    }

    /// What may be reached before new calls are turned away.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.admission.limits
    }

    /// Holds for offers that come from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.admission.limits = limits;
    }

    /// How busy the host is now.
    pub fn handle_host_load(&mut self, load: HostLoad) {
        self.admission.host = load;
    }

    /// How busy the host was said to be.
    #[must_use]
    pub fn host_load(&self) -> HostLoad {
        self.admission.host
    }

    /// Media that leaves, in bits a second of UDP payload, while it is known.
    #[must_use]
    pub fn bits_per_s(&self) -> Option<u64> {
        self.admission.bits_per_s()
    }

    /// Takes no new calls, or takes them again. Those that are up go on.
    pub fn drain(&mut self, is_on: bool) {
        self.admission.is_draining = is_on;
    }

    /// Whether no new calls are taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.admission.is_draining
    }

    /// Why a new call would be turned away now, if it would be.
    #[must_use]
    pub fn overload(&self) -> Option<Overload> {
        self.admission.overload(self.keys.len())
    }

    /// How many new calls were turned away for this.
    #[must_use]
    pub fn rejected(&self, overload: Overload) -> u64 {
        self.admission.refused(overload)
    }

    /// Whether each call that is over is told as [`Notice::CallRecord`].
    pub fn want_call_records(&mut self, wants: bool) {
        self.wants_records = wants;
    }

    fn dispatch(
        &mut self,
        now: Now,
        client: Client,
        cookie: &[u8],
        command: &Command<'_>,
        datagram: &[u8],
    ) {
        if is_answered_at_once(command) {
            self.note_answered(now, client, metrics::name(command), Duration::ZERO);
        }
        match command {
            Command::Acknowledge => self.events.acknowledge(client, cookie),
            Command::Cli(line) => self.command_line(now, client, cookie, line),
            Command::List { limit } => self.list(client, cookie, *limit),
            Command::Ping => {
                self.counters.pings += 1;
                self.send(client, reply::pong().encode(cookie));
            }
            Command::Statistics => self.survey(now, client, cookie),
            _ => self.handle_once(now, client, cookie, command, datagram),
        }
    }

    /// Carries a request out, unless it was before.
    fn handle_once(
        &mut self,
        now: Now,
        client: Client,
        cookie: &[u8],
        command: &Command<'_>,
        datagram: &[u8],
    ) {
        let key = self.replies.key(client, datagram);
        match self.replies.begin(now.instant, key) {
            Some(Entry::InWork) => {
                self.counters.repeated += 1;
                return self.trace_repeated(now, command);
            }
            Some(Entry::Sent(reply)) => {
                self.counters.repeated += 1;
                let datagram = reply.to_vec();
                self.trace_repeated(now, command);
                return self.send(client, datagram);
            }
            None => {}
        }
        self.trace_asked(now, client, command);
        let held = Held {
            client,
            datagram: datagram.into(),
            key,
            command: metrics::name(command),
            deadline: now.instant + WAIT,
            attempts: 0,
            spares_codecs: false,
            steps: Vec::new(),
            half: None,
            names: None,
        };
        self.count(command);
        if self.link.is_up() {
            self.execute(now, held, cookie, command);
        } else if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(held);
        } else {
            self.drop_request(now, held);
        }
    }

    /// Carries a request out that had to wait.
    fn resume(&mut self, now: Now, held: Held) {
        let datagram = Arc::clone(&held.datagram);
        let message = Message::split(&datagram).expect("it was divided before");
        let document = Value::parse(message.body).expect("it was parsed before");
        let request = Request::parse(&document).expect("it was understood before");
        self.execute(now, held, message.cookie, &request.command);
    }

    /// Carries a request out on the call that its parties belong to.
    fn execute(&mut self, now: Now, mut held: Held, cookie: &[u8], command: &Command<'_>) {
        let place = self.place(command);
        if let Place::Between(between) = place {
            return self.negotiate_between(now, held, cookie, between);
        }
        if held.half.is_some() {
            self.let_go(now, &mut held);
        }
        match place {
            Place::There(call_id) => {
                let command = between::moved(command, &call_id);
                self.execute_there(now, held, cookie, &command);
            }
            _ => self.execute_there(now, held, cookie, command),
        }
    }

    fn execute_there(&mut self, now: Now, held: Held, cookie: &[u8], command: &Command<'_>) {
        match command {
            Command::Answer(answer) => self.negotiate(now, held, cookie, Turn::Answer(answer)),
            Command::Connect(connect) => self.connect(now, held, cookie, connect),
            Command::Create(create) => self.create(now, held, cookie, create),
            Command::CreateAnswer(answer) => {
                self.negotiate(now, held, cookie, Turn::CreateAnswer(answer));
            }
            Command::Delete(delete) => self.delete(now, held, cookie, delete),
            Command::Mesh(mesh) => self.mesh(now, held, cookie, mesh),
            Command::Offer(offer) => self.negotiate(now, held, cookie, Turn::Offer(offer)),
            Command::Play(play) => self.play(now, held, cookie, play),
            Command::Query(query) => self.query(now, held, cookie, query),
            Command::Stop(stop) => self.stop(now, held, cookie, stop),
            Command::Treat(treat) => self.treat(now, held, cookie, treat),
            Command::Unsubscribe(what) => self.unsubscribe(now, held, cookie, what),
            _ => self.replies.forget(held.key),
        }
    }

    /// Answers a request and keeps the answer.
    fn finish(&mut self, now: Now, held: &Held, reply: Vec<u8>) {
        self.replies.finish(now.instant, held.key, &reply);
        let delay = held.waited(now.instant);
        self.tally.note_reply(held.command, delay);
        self.note_answered(now, held.client, held.command, delay);
        self.send(held.client, reply);
    }

    fn note_answered(&mut self, now: Now, client: Client, command: &'static str, delay: Duration) {
        self.note_call_count(now);
        self.proxies.note(client.remote.ip(), command, delay);
    }

    fn note_call_count(&mut self, now: Now) {
        let calls = u64::try_from(self.call_count()).unwrap_or(u64::MAX);
        self.proxies.note_calls(now.instant, calls);
    }

    /// Answers a request with an error and keeps that.
    fn finish_refused(&mut self, now: Now, held: &Held, cookie: &[u8], reason: &str) {
        self.count_refused(held.client, reason);
        self.trace_refused(now, held, reason);
        self.finish(now, held, reply::error(reason).encode(cookie));
        self.let_go(now, &mut held.clone());
    }

    fn send(&mut self, client: Client, mut datagram: Vec<u8>) {
        if client.format == Format::Json
            && let Some(message) = Message::split(&datagram)
        {
            let json = message.join_as_json();
            let is_too_long = json.len() > DATAGRAM_BYTES_MAX;
            datagram = match client.carrier {
                Carrier::Datagram if is_too_long => {
                    reply::error("Reply too long").encode_json(message.cookie)
                }
                _ => json,
            };
        }
        self.outputs.push_back(Output::Send { client, datagram });
    }

    fn refuse_request(&mut self, client: Client, cookie: &[u8], error: RequestError) {
        self.refuse(client, cookie, &error.to_string());
    }

    fn refuse(&mut self, client: Client, cookie: &[u8], reason: &str) {
        self.count_refused(client, reason);
        self.send(client, reply::error(reason).encode(cookie));
    }

    fn count_refused(&mut self, client: Client, reason: &str) {
        self.counters.refused += 1;
        self.proxies.note_error(client.remote.ip());
        self.notice(Notice::RequestRefused {
            client,
            reason: reason.to_owned(),
        });
    }

    /// A queue was full: the client repeats its request, and may have better luck then.
    fn drop_request(&mut self, now: Now, mut held: Held) {
        self.counters.dropped += 1;
        self.replies.forget(held.key);
        self.let_go(now, &mut held);
    }

    fn notice(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notice(notice));
    }

    /// Notes what a request says that is not understood, or not done.
    fn note_unheeded(&mut self, client: Client, request: &Request<'_>) {
        let shakes = !self.link.fingerprints().is_empty();
        let not_done = match &request.command {
            Command::Answer(negotiation)
            | Command::CreateAnswer(negotiation)
            | Command::Offer(negotiation) => not_done(negotiation, shakes),
            Command::Create(create) => not_done(&create.party, shakes),
            _ => Vec::new(),
        };
        let unheeded = &request.unheeded;
        if unheeded.count == 0 && not_done.is_empty() {
            return;
        }
        let count = u64::from(unheeded.count) + u64::try_from(not_done.len()).unwrap_or_default();
        self.counters.unheeded += count;
        let names = unheeded.names.iter().copied();
        let names: Vec<_> = names
            .chain(not_done.iter().map(|name| name.as_bytes()))
            .collect();
        let names = String::from_utf8_lossy(&names.join(&b", "[..])).into_owned();
        self.notice(Notice::Unheeded { client, names });
    }

    fn count(&mut self, command: &Command<'_>) {
        match command {
            Command::Answer(_) => self.counters.answers += 1,
            Command::Delete(_) => self.counters.deletes += 1,
            Command::Offer(_) => self.counters.offers += 1,
            Command::Query(_) => self.counters.queries += 1,
            _ => {}
        }
    }

    fn terms(&self) -> Terms {
        Terms {
            media_ms: self.config.media_timeout_s.saturating_mul(1_000),
            held_ms: self.config.silent_timeout_s.saturating_mul(1_000),
            first_packet_ms: self.config.first_packet_timeout_s.saturating_mul(1_000),
            tells_keys: self.config.tells_keys,
        }
    }

    fn final_timeout_ms(&self) -> u64 {
        u64::from(self.config.final_timeout_s) * 1_000
    }
}

#[cfg(test)]
mod tests;
