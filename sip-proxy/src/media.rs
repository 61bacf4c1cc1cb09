//! The ng client: asks control about media and keeps time. No sockets here; the driver carries
//! datagrams.
//!
//! ```text
//! handle_request ─► poll_datagram ─► control
//! control ─► handle_datagram ─► poll_event: the reply, or the media of a call timed out
//! handle_timeout ─► retransmission, or `Unreachable`
//! ```
//!
//! Control is a process that may die and come back, so a request is sent again after 0.5 s and
//! then each second, with the same cookie, and given up at its deadline. Whatever happens, each
//! request gets exactly one answer.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use control_ng::{
    Command, Delete, Event, Flag, Ice, Message, Negotiation, Outcome, Reply, Support, Value,
};
use sip_proxy_core::{MediaCounts, MediaError, MediaReply, MediaRequest, MediaSdp, Token};

/// Requests that wait for an answer at most. At the default deadline of 2 s this is 4,000 a
/// second; beyond that control is not keeping up, and callers should hear so at once.
const PENDING_MAX: usize = 8_192;

/// When a request is first sent again.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// When it is sent again after that.
const NEXT_RETRY: Duration = Duration::from_secs(1);

/// Characters of a reason that are passed on.
const REASON_LEN_MAX: usize = 200;

/// Asks control, and hears from it.
#[derive(Debug)]
pub(crate) struct MediaClient {
    timeout: Duration,
    /// Tells this run's cookies from the last one's: control remembers cookies.
    prefix: String,
    next: u64,
    pending: HashMap<u64, Pending>,
    deadlines: BTreeSet<(Instant, u64)>,
    datagrams: VecDeque<Vec<u8>>,
    events: VecDeque<MediaEvent>,
    counters: MediaCounters,
}

/// What has become of requests.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct MediaCounters {
    pub requests: u64,
    pub retransmissions: u64,
    pub refused: u64,
    pub overloaded: u64,
    pub unreachable: u64,
    pub events: u64,
    pub datagrams_unknown: u64,
}

/// What the client has to tell.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum MediaEvent {
    /// The answer to a request.
    Reply(Token, Result<MediaReply, MediaError>),
    /// Control has ended a call because no media came.
    Timeout {
        /// Which.
        call_id: String,
    },
}

#[derive(Debug)]
struct Pending {
    token: Token,
    kind: Kind,
    datagram: Vec<u8>,
    deadline: Instant,
    /// What stands in `deadlines` for this request.
    due: Instant,
}

#[derive(Debug)]
enum Kind {
    /// The tag whose packets are the caller's.
    Delete {
        caller_tag: String,
    },
    Sdp,
}

impl MediaClient {
    pub(crate) fn new(timeout: Duration, seed: u64) -> Self {
        Self {
            timeout,
            prefix: format!("{seed:016x}"),
            next: 0,
            pending: HashMap::new(),
            deadlines: BTreeSet::new(),
            datagrams: VecDeque::new(),
            events: VecDeque::new(),
            counters: MediaCounters::default(),
        }
    }

    /// Asks. The answer comes by [`Self::poll_event`], at the deadline at the latest.
    pub(crate) fn handle_request(&mut self, now: Instant, token: Token, request: &MediaRequest) {
        self.counters.requests += 1;
        if self.pending.len() >= PENDING_MAX {
            self.counters.overloaded += 1;
            let reason = "too many requests wait for it".to_owned();
            let reply = Err(MediaError::Overloaded(reason));
            self.events.push_back(MediaEvent::Reply(token, reply));
            return;
        }
        let id = self.next;
        self.next += 1;
        let cookie = format!("{}_{id}", self.prefix);
        let datagram = encode(request, cookie.as_bytes());
        let deadline = now + self.timeout;
        let due = deadline.min(now + FIRST_RETRY);
        self.deadlines.insert((due, id));
        self.datagrams.push_back(datagram.clone());
        let kind = Kind::of(request);
        self.pending.insert(
            id,
            Pending {
                token,
                kind,
                datagram,
                deadline,
                due,
            },
        );
    }

    /// Takes a datagram from control. What is none of ours is counted and forgotten.
    pub(crate) fn handle_datagram(&mut self, datagram: &[u8]) {
        if self.understand(datagram).is_none() {
            self.counters.datagrams_unknown += 1;
        }
    }

    fn understand(&mut self, datagram: &[u8]) -> Option<()> {
        let message = Message::split(datagram)?;
        if let Some(id) = self.own_cookie(message.cookie) {
            let reply = Reply::parse(message.body).ok()?;
            let pending = self.pending.remove(&id)?;
            self.deadlines.remove(&(pending.due, id));
            let answer = pending.kind.read(&reply);
            self.count(&answer);
            self.events
                .push_back(MediaEvent::Reply(pending.token, answer));
            return Some(());
        }
        let document = Value::parse(message.body).ok()?;
        let Event::MediaTimeout { call_id } = Event::parse(&document)? else {
            return None;
        };
        self.counters.events += 1;
        self.datagrams.push_back(Event::acknowledge(message.cookie));
        let call_id = String::from_utf8(call_id.to_vec()).ok()?;
        self.events.push_back(MediaEvent::Timeout { call_id });
        Some(())
    }

    fn own_cookie(&self, cookie: &[u8]) -> Option<u64> {
        let rest = cookie.strip_prefix(self.prefix.as_bytes())?;
        std::str::from_utf8(rest.strip_prefix(b"_")?)
            .ok()?
            .parse()
            .ok()
    }

    fn count(&mut self, answer: &Result<MediaReply, MediaError>) {
        match answer {
            Ok(_) => {}
            Err(MediaError::Overloaded(_)) => self.counters.overloaded += 1,
            Err(MediaError::Refused(_)) => self.counters.refused += 1,
            Err(MediaError::Unreachable) => self.counters.unreachable += 1,
        }
    }

    /// Sends again what was not answered, and gives up what is too late.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, id)) = self.deadlines.first().filter(|(due, _)| *due <= now) {
            self.deadlines.remove(&(due, id));
            let Some(pending) = self.pending.get_mut(&id) else {
                continue;
            };
            if pending.deadline <= now {
                let token = pending.token;
                self.pending.remove(&id);
                self.counters.unreachable += 1;
                let reply = Err(MediaError::Unreachable);
                self.events.push_back(MediaEvent::Reply(token, reply));
                continue;
            }
            pending.due = pending.deadline.min(now + NEXT_RETRY);
            self.deadlines.insert((pending.due, id));
            self.datagrams.push_back(pending.datagram.clone());
            self.counters.retransmissions += 1;
        }
    }

    /// When [`Self::handle_timeout`] is next due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Takes the next datagram for control. One that cannot be sent need not be kept.
    pub(crate) fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.datagrams.pop_front()
    }

    /// Takes the next thing to tell the core.
    pub(crate) fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// Requests that wait for an answer.
    pub(crate) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) const fn counters(&self) -> MediaCounters {
        self.counters
    }
}

impl Kind {
    fn of(request: &MediaRequest) -> Self {
        match request {
            MediaRequest::Answer(_) | MediaRequest::Offer(_) => Self::Sdp,
            MediaRequest::Delete { from_tag, .. } => Self::Delete {
                caller_tag: from_tag.clone(),
            },
        }
    }

    fn read(&self, reply: &Reply<'_>) -> Result<MediaReply, MediaError> {
        match (self, reply.outcome()) {
            (_, Outcome::LoadLimit(reason)) => Err(MediaError::Overloaded(shortened(&reason))),
            (_, Outcome::Error(reason)) => Err(refusal(&reason)),
            (Self::Sdp, Outcome::Ok) => reply.sdp().map_or_else(
                || Err(MediaError::Refused("the reply has no SDP".to_owned())),
                |sdp| Ok(MediaReply::Sdp(sdp.to_vec())),
            ),
            (Self::Delete { caller_tag }, Outcome::Ok) => {
                Ok(MediaReply::Deleted(counts(reply, caller_tag)))
            }
            _ => Err(MediaError::Refused("the reply makes no sense".to_owned())),
        }
    }
}

/// Servers of this protocol that do not know `load limit` say so in words (facts that Kamailio
/// and OpenSIPS rely on, too).
fn refusal(reason: &str) -> MediaError {
    let is_overload = reason == "Ran out of ports"
        || reason.ends_with(" limit reached")
        || reason.ends_with(" limit exceeded");
    let reason = shortened(reason);
    if is_overload {
        MediaError::Overloaded(reason)
    } else {
        MediaError::Refused(reason)
    }
}

fn shortened(reason: &str) -> String {
    reason
        .chars()
        .filter(|character| !character.is_control())
        .take(REASON_LEN_MAX)
        .collect()
}

/// Counts of RTP by who sent it; `None` if control did not know the call.
fn counts(reply: &Reply<'_>, caller_tag: &str) -> Option<MediaCounts> {
    let tags = reply.dictionary().get("tags")?.as_dictionary()?;
    let mut counts = MediaCounts::default();
    for (tag, _) in tags.iter() {
        let rtp = reply.received_from(tag).unwrap_or_default().rtp;
        if tag == caller_tag.as_bytes() {
            counts.caller_packets += rtp.packets;
            counts.caller_bytes += rtp.bytes;
        } else {
            counts.callee_packets += rtp.packets;
            counts.callee_bytes += rtp.bytes;
        }
    }
    Some(counts)
}

fn encode(request: &MediaRequest, cookie: &[u8]) -> Vec<u8> {
    match request {
        MediaRequest::Answer(sdp) => Command::Answer(negotiation(sdp)).encode(cookie),
        MediaRequest::Offer(sdp) => Command::Offer(negotiation(sdp)).encode(cookie),
        MediaRequest::Delete {
            call_id,
            from_tag,
            via_branch,
        } => {
            let delete = Delete {
                call_id: call_id.as_bytes(),
                from_tag: Some(from_tag.as_bytes()),
                via_branch: via_branch.as_deref().map(str::as_bytes),
                ..Delete::default()
            };
            Command::Delete(delete).encode(cookie)
        }
    }
}

/// What a phone system asks for: `o=` must not give inner addresses away, and candidates that
/// bypass the relay must go.
fn negotiation(sdp: &MediaSdp) -> Negotiation<'_> {
    let negotiation = Negotiation {
        to_tag: sdp.to_tag.as_deref().map(str::as_bytes),
        via_branch: sdp.via_branch.as_deref().map(str::as_bytes),
        received_from: Some(sdp.received_from),
        ice: Some(Ice::Remove),
        ..Negotiation::new(sdp.call_id.as_bytes(), sdp.from_tag.as_bytes(), &sdp.sdp)
    }
    .replace_origin()
    .flag(Flag::PortLatching)
    .supports(Support::LoadLimit)
    .supports(Support::Events);
    if is_behind_nat(&sdp.sdp, sdp.received_from) {
        return negotiation.flag(Flag::SipSourceAddress);
    }
    negotiation
}

/// Whether the SDP's address is one that we cannot reach, while the message came from one that we
/// can: then media goes to the latter until the relay has learnt better. If either is otherwise,
/// the SDP is believed: media may well live on another host than signalling.
fn is_behind_nat(sdp: &[u8], received_from: IpAddr) -> bool {
    let Some(address) = connection_address(sdp) else {
        return false;
    };
    is_local(address) && !is_local(received_from)
}

/// The address of the first `c=` line (RFC 8866 §5.7).
fn connection_address(sdp: &[u8]) -> Option<IpAddr> {
    let line = sdp
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"c=IN IP"))?;
    let address = line.get(2..)?.split(|&byte| byte == b'/').next()?;
    std::str::from_utf8(address).ok()?.trim().parse().ok()
}

/// Not routed in the Internet. The unspecified address is none: it means "hold".
fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_carrier_nat = first == 100 && second & 0xc0 == 64;
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || is_carrier_nat
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use control_ng::reply;
    use proptest::prelude::*;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);
    const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 10.0.0.5\r\ns=-\r\nc=IN IP4 10.0.0.5\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

    fn client() -> (MediaClient, Instant) {
        (MediaClient::new(TIMEOUT, 7), Instant::now())
    }

    fn sdp(received_from: &str) -> MediaSdp {
        MediaSdp {
            call_id: "c1@h".to_owned(),
            from_tag: "ft".to_owned(),
            to_tag: None,
            via_branch: Some("z9hG4bK1".to_owned()),
            received_from: received_from.parse().unwrap(),
            sdp: SDP.to_vec(),
        }
    }

    fn offer() -> MediaRequest {
        MediaRequest::Offer(sdp("10.0.0.5"))
    }

    fn delete(via_branch: Option<&str>) -> MediaRequest {
        MediaRequest::Delete {
            call_id: "c1@h".to_owned(),
            from_tag: "ft".to_owned(),
            via_branch: via_branch.map(str::to_owned),
        }
    }

    /// Sends a request and answers it with what `reply` makes.
    fn answered(
        request: &MediaRequest,
        reply: reply::Writer<'_>,
    ) -> Result<MediaReply, MediaError> {
        let (mut client, now) = client();
        client.handle_request(now, Token(9), request);
        let datagram = client.poll_datagram().unwrap();
        let cookie = Message::split(&datagram).unwrap().cookie;
        client.handle_datagram(&reply.encode(cookie));
        assert_eq!(client.pending_len(), 0);
        assert_eq!(client.poll_timeout(), None);
        let Some(MediaEvent::Reply(Token(9), answer)) = client.poll_event() else {
            panic!("no reply to token 9");
        };
        assert_eq!(client.poll_event(), None);
        answer
    }

    /// What control makes of a request.
    fn understood<T>(request: &MediaRequest, check: impl FnOnce(Command<'_>) -> T) -> T {
        let datagram = encode(request, b"c");
        let document = Value::parse(Message::split(&datagram).unwrap().body).unwrap();
        let request = control_ng::Request::parse(&document).unwrap();
        assert_eq!(request.unheeded.count, 0);
        check(request.command)
    }

    #[test]
    fn asks_for_what_a_phone_system_needs() {
        understood(&offer(), |command| {
            let Command::Offer(offer) = command else {
                panic!("{command:?}")
            };
            assert_eq!(offer.call_id, b"c1@h");
            assert_eq!(offer.from_tag, b"ft");
            assert_eq!(offer.via_branch, Some(&b"z9hG4bK1"[..]));
            assert_eq!(offer.sdp, SDP);
            assert_eq!(offer.received_from, Some("10.0.0.5".parse().unwrap()));
            assert_eq!(offer.ice, Some(Ice::Remove));
            assert!(offer.replace.has(control_ng::Replace::Origin));
            assert!(offer.supports.has(Support::LoadLimit) && offer.supports.has(Support::Events));
            assert!(!offer.flags.has(Flag::SipSourceAddress));
        });
    }

    #[test]
    fn an_answer_names_both_parties() {
        let mut sdp = sdp("10.0.0.5");
        sdp.to_tag = Some("tt".to_owned());
        understood(&MediaRequest::Answer(sdp), |command| {
            let Command::Answer(answer) = command else {
                panic!("{command:?}")
            };
            assert_eq!(
                (answer.from_tag, answer.to_tag),
                (&b"ft"[..], Some(&b"tt"[..]))
            );
        });
    }

    #[test]
    fn believes_the_signalling_address_only_of_phones_behind_a_nat() {
        for (inside, outside, expected) in [
            ("10.0.0.5", "203.0.113.9", true),
            ("100.64.1.1", "203.0.113.9", true),
            ("10.0.0.5", "192.168.1.1", false),
            ("198.51.100.4", "203.0.113.9", false),
            ("198.51.100.4", "10.0.0.1", false),
            ("0.0.0.0", "203.0.113.9", false),
            ("host.example", "203.0.113.9", false),
        ] {
            let text = format!("v=0\r\nc=IN IP4 {inside}/127\r\n");
            let found = is_behind_nat(text.as_bytes(), outside.parse().unwrap());
            assert_eq!(found, expected, "{inside} {outside}");
        }
        assert!(is_behind_nat(
            b"c=IN IP6 fd00::1\n",
            "2001:db8::1".parse().unwrap()
        ));
        assert!(!is_behind_nat(b"v=0\r\n", "203.0.113.9".parse().unwrap()));
    }

    #[test]
    fn deleting_names_the_caller_and_only_the_fork_that_ended() {
        for via_branch in [None, Some("b")] {
            understood(&delete(via_branch), |command| {
                let Command::Delete(delete) = command else {
                    panic!("{command:?}")
                };
                assert_eq!(delete.from_tag, Some(&b"ft"[..]));
                assert_eq!(delete.via_branch, via_branch.map(str::as_bytes));
            });
        }
    }

    #[test]
    fn an_sdp_comes_back() {
        let reply = reply::ok().with("sdp", "v=0\r\nnew");
        assert_eq!(
            answered(&offer(), reply),
            Ok(MediaReply::Sdp(b"v=0\r\nnew".to_vec()))
        );
    }

    #[test]
    fn a_full_relay_is_told_from_a_refusal() {
        for reply in [
            reply::load_limit("Parallel session limit reached"),
            reply::error("Ran out of ports"),
            reply::error("Parallel session limit reached"),
            reply::error("CPU usage limit exceeded"),
        ] {
            assert!(matches!(
                answered(&offer(), reply),
                Err(MediaError::Overloaded(_))
            ));
        }
        for reply in [
            reply::error("Failed to parse SDP"),
            reply::ok(),
            reply::pong(),
        ] {
            assert!(matches!(
                answered(&offer(), reply),
                Err(MediaError::Refused(_))
            ));
        }
    }

    #[test]
    fn packets_are_counted_by_who_sent_them() {
        let party = |packets: u64| -> Value<'static> {
            let counts = control_ng::Counts {
                packets,
                bytes: packets * 172,
                errors: 0,
            };
            let stream: Value<'_> = control_ng::Dictionary::new()
                .with("flags", vec![Value::from("RTP")])
                .with("stats", counts)
                .into();
            let media: Value<'_> = control_ng::Dictionary::new()
                .with("streams", vec![stream])
                .into();
            control_ng::Dictionary::new()
                .with("medias", vec![media])
                .into()
        };
        let tags = control_ng::Dictionary::new()
            .with("ft", party(10))
            .with("tt", party(20))
            .with("other fork", party(1));
        assert_eq!(
            answered(&delete(None), reply::ok().with("tags", tags)),
            Ok(MediaReply::Deleted(Some(MediaCounts {
                caller_packets: 10,
                caller_bytes: 1_720,
                callee_packets: 21,
                callee_bytes: 3_612,
            })))
        );
        let unknown = reply::ok().with("warning", "Call-ID not found or tags didn't match");
        assert_eq!(
            answered(&delete(None), unknown),
            Ok(MediaReply::Deleted(None))
        );
    }

    #[test]
    fn sends_again_and_gives_up_at_the_deadline() {
        let (mut client, start) = client();
        client.handle_request(start, Token(1), &offer());
        let first = client.poll_datagram().unwrap();
        let mut sent_ms = Vec::new();
        while let Some(due) = client.poll_timeout() {
            client.handle_timeout(due);
            if let Some(again) = client.poll_datagram() {
                assert_eq!(again, first, "a retransmission is the same datagram");
                sent_ms.push((due - start).as_millis());
            }
        }
        assert_eq!(sent_ms, [500, 1_500]);
        let expected = MediaEvent::Reply(Token(1), Err(MediaError::Unreachable));
        assert_eq!(client.poll_event(), Some(expected));
        assert_eq!(client.pending_len(), 0);

        // The reply that comes too late is nobody's.
        let cookie = Message::split(&first).unwrap().cookie;
        client.handle_datagram(&reply::ok().with("sdp", "v=0").encode(cookie));
        assert_eq!(client.poll_event(), None);
        assert_eq!(client.counters().datagrams_unknown, 1);
    }

    #[test]
    fn refuses_at_once_when_control_does_not_keep_up() {
        let (mut client, now) = client();
        for token in 0..=PENDING_MAX as u64 {
            client.handle_request(now, Token(token), &offer());
        }
        let Some(MediaEvent::Reply(Token(token), Err(MediaError::Overloaded(_)))) =
            client.poll_event()
        else {
            panic!("nothing was refused");
        };
        assert_eq!(token, PENDING_MAX as u64);
        assert_eq!(client.pending_len(), PENDING_MAX);
    }

    #[test]
    fn a_media_timeout_is_acknowledged_each_time() {
        let (mut client, _) = client();
        for _ in 0..2 {
            client.handle_datagram(&Event::MediaTimeout { call_id: b"c1@h" }.encode(b"ev1"));
            assert_eq!(client.poll_datagram().unwrap(), b"ev1 d6:result2:oke");
            let call_id = "c1@h".to_owned();
            assert_eq!(client.poll_event(), Some(MediaEvent::Timeout { call_id }));
        }
    }

    proptest! {
        #[test]
        fn no_datagram_hurts(datagram in prop::collection::vec(any::<u8>(), 0..200), own: bool) {
            let (mut client, now) = client();
            client.handle_request(now, Token(1), &offer());
            let own_cookie = b"0000000000000007_0 ".to_vec();
            let datagram = if own { [own_cookie, datagram].concat() } else { datagram };
            client.handle_datagram(&datagram);
            client.handle_timeout(now + TIMEOUT);
            // Exactly one answer, whatever came.
            let mut answers = 0;
            while let Some(event) = client.poll_event() {
                answers += usize::from(matches!(event, MediaEvent::Reply(Token(1), _)));
            }
            prop_assert_eq!(answers, 1);
        }
    }
}
