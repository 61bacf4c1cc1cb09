//! The side that asks: REGISTER, INVITE, ACK and BYE. Performs no I/O and reads no clock.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip_proxy_message::{HeaderId, Message, Method, Request, ack_for};

use super::digest::{self, Challenge};
use super::media_port;
use super::options::Options;
use super::tally::Tally;
use super::timers::Timers;
use super::transaction::{Due, Repetition};
use crate::describe;

/// How long what is over is remembered, for what comes late.
const LINGER: Duration = Duration::from_secs(2);

/// Seconds of a registration.
const EXPIRES_S: u32 = 300;

/// Beyond the time that callees ring.
const RING_SPARE: Duration = Duration::from_secs(32);

/// Hops that a dialog may have.
const ROUTES_MAX: usize = 8;

/// The side that asks.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    options: &'a Options,
    domain: String,
    /// Where we are.
    local: SocketAddr,
    run: u32,
    next: u64,
    exchanges: HashMap<u64, Exchange>,
    timers: Timers,
    /// Datagrams for the server.
    pub(super) out: Vec<Vec<u8>>,
    pub(super) tally: Tally,
}

/// A registration, or a call.
#[derive(Debug)]
struct Exchange {
    user: String,
    step: Step,
    /// What waits for a final response.
    pending: Option<Repetition>,
    cseq: u32,
    /// The address of record, or the callee.
    uri: String,
    /// To, with its tag once it is known.
    to: String,
    /// Where requests of the dialog go, and by whom.
    target: String,
    routes: Vec<String>,
    /// The ACK to the 2xx, to be sent again with it.
    ack: Vec<u8>,
    begun_at: Instant,
    wakes_at: Instant,
    has_rung: bool,
    has_credentials: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Registering { expires_s: u32 },
    Inviting,
    Up,
    Ending,
    Over,
}

/// A final response to what was asked.
struct Final<'m, 'a> {
    message: &'m Message<'a>,
    status: u16,
}

impl<'a> Caller<'a> {
    pub(super) fn new(options: &'a Options, run: u32, local: SocketAddr) -> Self {
        Self {
            domain: options.domain(),
            options,
            local,
            run,
            next: 0,
            exchanges: HashMap::new(),
            timers: Timers::default(),
            out: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Registers an account, or ends its registration.
    pub(super) fn register(&mut self, now: Instant, user: u32, is_end: bool) {
        let expires_s = if is_end { 0 } else { EXPIRES_S };
        let uri = format!("sip:{}", self.domain);
        let user = self.options.user(user);
        let to = format!("<sip:{user}@{}>", self.domain);
        self.tally.registrations_begun += 1;
        self.begin(now, user, uri, to, Step::Registering { expires_s });
    }

    /// Calls from one account to another. Left out if there are too many calls.
    pub(super) fn call(&mut self, now: Instant, from: u32, to: u32) {
        if self.exchanges.len() >= self.options.calls_at_a_time {
            self.tally.calls_left_out += 1;
            return;
        }
        let uri = format!("sip:{}@{}", self.options.user(to), self.domain);
        let to = format!("<{uri}>");
        self.tally.calls_begun += 1;
        self.begin(now, self.options.user(from), uri, to, Step::Inviting);
    }

    fn begin(&mut self, now: Instant, user: String, uri: String, to: String, step: Step) {
        let key = self.next;
        self.next += 1;
        let exchange = Exchange {
            user,
            step,
            pending: None,
            cseq: 0,
            target: uri.clone(),
            uri,
            to,
            routes: Vec::new(),
            ack: Vec::new(),
            begun_at: now,
            wakes_at: now,
            has_rung: false,
            has_credentials: false,
        };
        self.exchanges.insert(key, exchange);
        self.ask(now, key, None);
    }

    /// How many are not over.
    pub(super) fn busy(&self) -> usize {
        let is_busy = |it: &&Exchange| it.step != Step::Over;
        self.exchanges.values().filter(is_busy).count()
    }

    /// Ends all calls that are up, now.
    pub(super) fn hang_up(&mut self, now: Instant) {
        let up = self.exchanges.iter().filter(|(_, it)| it.step == Step::Up);
        let keys: Vec<u64> = up.map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.bye(now, key));
    }

    /// What has not become anything until now has failed.
    pub(super) fn give_up(&mut self) {
        let unfinished = self.busy();
        for _ in 0..unfinished {
            self.tally.fail(0);
        }
        self.exchanges.clear();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.timers.poll_due(now) {
            self.wake(now, key);
        }
    }

    fn wake(&mut self, now: Instant, key: u64) {
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let due = exchange.pending.as_mut().map(|it| it.poll_due(now));
        match (exchange.step, due) {
            (Step::Over, _) if now >= exchange.wakes_at => {
                self.exchanges.remove(&key);
            }
            (Step::Up, _) if now >= exchange.wakes_at => self.bye(now, key),
            (_, Some(Some(Due::GiveUp))) => self.fail(now, key, 0),
            (_, Some(Some(Due::Repeat))) => {
                if let Some(pending) = &exchange.pending {
                    self.out.push(pending.bytes.clone());
                    self.tally.retransmissions_sent += 1;
                }
                self.arm(key);
            }
            _ => self.arm(key),
        }
    }

    /// Sets the timer to when something is due.
    fn arm(&mut self, key: u64) {
        let Some(exchange) = self.exchanges.get(&key) else {
            return;
        };
        match (&exchange.pending, exchange.step) {
            (Some(pending), _) => self.timers.set(pending.poll_timeout(), key),
            (None, Step::Up | Step::Over) => self.timers.set(exchange.wakes_at, key),
            (None, _) => {}
        }
    }

    /// Hears one datagram from the server.
    pub(super) fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else {
            self.tally.malformed += 1;
            return;
        };
        let Some(status) = message.status() else {
            return;
        };
        let (Some(key), Ok(cseq)) = (self.key_of(&message), message.cseq()) else {
            self.tally.malformed += 1;
            return;
        };
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let is_invite = cseq.method == Method::Invite;
        if status < 200 {
            self.handle_provisional(now, key, status, is_invite);
        } else if cseq.number != exchange.cseq || exchange.pending.is_none() {
            self.handle_repeated(
                key,
                &Final {
                    message: &message,
                    status,
                },
                is_invite,
            );
        } else {
            self.handle_final(
                now,
                key,
                &Final {
                    message: &message,
                    status,
                },
                is_invite,
            );
        }
    }

    fn key_of(&self, message: &Message<'_>) -> Option<u64> {
        super::key_of(message.call_id().ok()?, self.run)
    }

    fn handle_provisional(&mut self, now: Instant, key: u64, status: u16, is_invite: bool) {
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        if is_invite && exchange.step != Step::Inviting {
            self.tally.out_of_order += 1;
            return;
        }
        if let Some(pending) = &mut exchange.pending {
            match is_invite {
                true => pending.pause(now, self.options.ring + RING_SPARE),
                false => pending.slow_down(),
            }
        }
        if is_invite && status > 100 && !exchange.has_rung {
            exchange.has_rung = true;
            record(&mut self.tally.ring_ns, now - exchange.begun_at);
        }
        self.arm(key);
    }

    /// A final response that came before: its ACK was lost, or our request came twice.
    fn handle_repeated(&mut self, key: u64, response: &Final<'_, '_>, is_invite: bool) {
        self.tally.retransmissions_received += 1;
        let Some(exchange) = self.exchanges.get(&key) else {
            return;
        };
        if is_invite && response.status < 300 && !exchange.ack.is_empty() {
            self.out.push(exchange.ack.clone());
        }
        // One for a refusal is made of an INVITE that is gone: the server repeats until it
        // gives up, which costs it little.
    }

    fn handle_final(&mut self, now: Instant, key: u64, response: &Final<'_, '_>, is_invite: bool) {
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        let request = exchange.pending.take();
        let status = response.status;
        if is_invite
            && status >= 300
            && let Some(request) = &request
            && let Ok(invite) = Message::parse(&request.bytes)
            && let Ok(ack) = ack_for(&invite, response.message)
        {
            self.out.push(ack.to_vec());
        }
        if matches!(status, 401 | 407) && !exchange.has_credentials {
            self.tally.challenges += 1;
            let challenge = challenge_of(response);
            match challenge {
                Some(challenge) => self.ask(now, key, Some(&challenge)),
                None => self.fail(now, key, status),
            }
            return;
        }
        match (exchange.step, status) {
            (_, 300..) => self.fail(now, key, status),
            (Step::Registering { .. }, _) => {
                record(&mut self.tally.register_ns, now - exchange.begun_at);
                self.tally.registrations_done += 1;
                self.finish(now, key);
            }
            (Step::Inviting, _) => self.answered(now, key, response.message),
            (Step::Ending, _) => {
                record(&mut self.tally.bye_ns, now - exchange.wakes_at);
                self.tally.calls_done += 1;
                self.finish(now, key);
            }
            (Step::Up | Step::Over, _) => {}
        }
    }

    fn answered(&mut self, now: Instant, key: u64, response: &Message<'_>) {
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        record(&mut self.tally.answer_ns, now - exchange.begun_at);
        self.tally.calls_answered += 1;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        exchange.to = response.header(HeaderId::To).map_or_else(String::new, text);
        if let Ok(contacts) = response.contacts()
            && let Some(target) = super::first_contact(contacts)
        {
            exchange.target = text(target);
        }
        // The nearest hop is named last (RFC 3261 §12.1.2).
        exchange.routes = response
            .headers(HeaderId::RecordRoute)
            .take(ROUTES_MAX)
            .map(text)
            .collect();
        exchange.routes.reverse();
        exchange.step = Step::Up;
        exchange.wakes_at = now + self.options.hold;
        let ack = self.request(key, Method::Ack, None, 0).unwrap_or_default();
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.ack.clone_from(&ack);
        }
        self.out.push(ack);
        if self.options.hold.is_zero() {
            self.bye(now, key);
        } else {
            self.arm(key);
        }
    }

    fn bye(&mut self, now: Instant, key: u64) {
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.step = Step::Ending;
            exchange.wakes_at = now;
            exchange.has_credentials = false;
            self.ask(now, key, None);
        }
    }

    fn fail(&mut self, now: Instant, key: u64, status: u16) {
        self.tally.fail(status);
        self.finish(now, key);
    }

    fn finish(&mut self, now: Instant, key: u64) {
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.step = Step::Over;
            exchange.pending = None;
            exchange.wakes_at = now + LINGER;
        }
        self.arm(key);
    }

    /// Sends the request of the step that an exchange is in.
    fn ask(&mut self, now: Instant, key: u64, challenge: Option<&Challenge>) {
        let Some(exchange) = self.exchanges.get_mut(&key) else {
            return;
        };
        exchange.cseq += 1;
        exchange.has_credentials = challenge.is_some();
        let (method, expires_s) = match exchange.step {
            Step::Registering { expires_s } => (Method::Register, expires_s),
            Step::Inviting => (Method::Invite, 0),
            Step::Up | Step::Ending | Step::Over => (Method::Bye, 0),
        };
        let Some(bytes) = self.request(key, method, challenge, expires_s) else {
            return;
        };
        self.out.push(bytes.clone());
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            exchange.pending = Some(match method {
                Method::Invite => Repetition::invite(now, bytes),
                _ => Repetition::other(now, bytes),
            });
        }
        self.arm(key);
    }

    fn request(
        &self,
        key: u64,
        method: Method<'_>,
        challenge: Option<&Challenge>,
        expires_s: u32,
    ) -> Option<Vec<u8>> {
        let exchange = self.exchanges.get(&key)?;
        let (run, local, user) = (self.run, self.local, &exchange.user);
        let name = String::from_utf8_lossy(method.name());
        let is_in_dialog = matches!(method, Method::Ack | Method::Bye);
        let uri = if is_in_dialog {
            &exchange.target
        } else {
            &exchange.uri
        };
        let mut request = Request::new(method, uri.as_bytes());
        let mut field = |id, value: String| {
            request.header(id, value.as_bytes());
        };
        let cseq = exchange.cseq;
        field(
            HeaderId::Via,
            format!("SIP/2.0/UDP {local};branch=z9hG4bK{run:08x}{key}.{cseq}{name};rport"),
        );
        field(HeaderId::MaxForwards, "70".to_owned());
        for route in exchange.routes.iter().filter(|_| is_in_dialog) {
            field(HeaderId::Route, route.clone());
        }
        field(
            HeaderId::From,
            format!("<sip:{user}@{}>;tag=f{key}", self.domain),
        );
        field(HeaderId::To, exchange.to.clone());
        field(HeaderId::CallId, super::call_id(key, run));
        field(HeaderId::CSeq, format!("{cseq} {name}"));
        if let Some(challenge) = challenge {
            let answer = challenge.answer(&digest::Request {
                user,
                password: &self.options.password,
                method: &name,
                uri,
                cnonce: &format!("{run:08x}{key}"),
            });
            // Servers look at the one that they asked for.
            field(HeaderId::Authorization, answer.clone());
            field(HeaderId::ProxyAuthorization, answer);
        }
        match method {
            Method::Register => {
                field(HeaderId::Contact, format!("<sip:{user}@{local}>"));
                field(HeaderId::Expires, expires_s.to_string());
            }
            Method::Invite => {
                field(HeaderId::Contact, format!("<sip:{user}@{local}>"));
                let media = SocketAddr::new(local.ip(), media_port(key));
                let sdp = describe(media, 0, "PCMU/8000", 20);
                request.body(b"application/sdp", sdp.as_bytes());
            }
            _ => {}
        }
        Some(request.to_vec())
    }
}

fn challenge_of(response: &Final<'_, '_>) -> Option<Challenge> {
    let id = match response.status {
        401 => HeaderId::WwwAuthenticate,
        _ => HeaderId::ProxyAuthenticate,
    };
    // A server that knows several says the one that it likes best first (RFC 8760 §2.4).
    let mut fields = response.message.fields().filter(|field| field.id == id);
    fields.find_map(|field| Challenge::read(field.value))
}

fn record(times: &mut hdrhistogram::Histogram<u64>, time: Duration) {
    times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
}
