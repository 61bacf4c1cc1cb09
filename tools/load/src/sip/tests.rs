//! Both sides around a server that is made for them, with a clock of its own.

use super::*;
use crate::Permission;
use sip_proxy_message::{Credentials, Edits, HeaderId, Message, Method, Response};

/// What the server does besides its duty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mischief {
    None,
    /// Every third datagram does not arrive.
    Lose,
    /// Media goes through the server.
    Anchor,
    /// Every call is refused.
    Refuse,
    /// What the callee says arrives the other way round.
    Reverse,
    /// Nothing arrives.
    Silence,
}

const PHONES: &str = "127.0.0.1:6000";
const SERVER: &str = "127.0.0.1:5060";

struct World<'a> {
    now: Instant,
    caller: Caller<'a>,
    answerer: Answerer,
    mischief: Mischief,
    datagrams: u64,
}

fn options(mode: Mode) -> Options {
    Options {
        password: "secret".to_owned(),
        ring: Duration::from_secs(3),
        ..Options::new(SERVER.parse().unwrap(), mode, Permission::new(Vec::new()))
    }
}

impl<'a> World<'a> {
    fn new(options: &'a Options, mischief: Mischief) -> Self {
        let phones = PHONES.parse().unwrap();
        Self {
            now: Instant::now(),
            caller: Caller::new(options, 7, phones),
            answerer: Answerer::new(7, phones, options.ring),
            mischief,
            datagrams: 0,
        }
    }

    /// Until nothing is to be done; says how long that took.
    fn settle(&mut self) -> Duration {
        let start = self.now;
        while self.caller.busy() > 0 {
            self.deliver();
            let next = [self.caller.poll_timeout(), self.answerer.poll_timeout()];
            if let Some(next) = next.into_iter().flatten().min() {
                self.now = self.now.max(next);
            }
            self.caller.handle_timeout(self.now);
            self.answerer
                .handle_timeout(self.now, &mut self.caller.tally);
            assert!(self.now - start < Duration::from_secs(200), "it never ends");
        }
        self.now - start
    }

    fn deliver(&mut self) {
        while !self.caller.out.is_empty() || !self.answerer.out.is_empty() {
            for bytes in std::mem::take(&mut self.caller.out) {
                if !self.is_lost() {
                    self.serve(&bytes);
                }
            }
            let mut responses = std::mem::take(&mut self.answerer.out);
            if self.mischief == Mischief::Reverse {
                responses.reverse();
            }
            for (to, bytes) in responses {
                assert_eq!(to, SERVER.parse().unwrap());
                assert!(is_response(&bytes));
                if !self.is_lost() {
                    self.caller.handle_datagram(self.now, &bytes);
                }
            }
        }
    }

    fn is_lost(&mut self) -> bool {
        self.datagrams += 1;
        match self.mischief {
            Mischief::Silence => true,
            Mischief::Lose => self.datagrams.is_multiple_of(3),
            _ => false,
        }
    }

    /// What a registrar and proxy does with a request.
    fn serve(&mut self, bytes: &[u8]) {
        assert!(!is_response(bytes));
        let message = Message::parse(bytes).unwrap();
        sip_proxy_message::validate_request(&message).unwrap();
        let method = message.method().unwrap();
        let wanted = match method {
            Method::Register => (401, HeaderId::WwwAuthenticate, HeaderId::Authorization),
            Method::Invite => (
                407,
                HeaderId::ProxyAuthenticate,
                HeaderId::ProxyAuthorization,
            ),
            _ => return self.forward(bytes),
        };
        let (status, challenge, credentials) = wanted;
        let value = message.header(credentials).unwrap_or_default();
        let mut response = match Credentials::parse(credentials, value) {
            Ok(Some(it)) if *it.nonce == b"n"[..] && *it.username == b"load1"[..] => {
                match (method, self.mischief) {
                    (Method::Register, _) => Response::new(&message, 200),
                    (_, Mischief::Refuse) => Response::new(&message, 486),
                    _ => return self.forward(bytes),
                }
            }
            _ => {
                let mut response = Response::new(&message, status);
                response.header(challenge, b"Digest realm=\"r\", nonce=\"n\", qop=\"auth\"");
                response
            }
        };
        let bytes = response.to_tag(b"server").to_vec();
        self.caller.handle_datagram(self.now, &bytes);
    }

    fn forward(&mut self, bytes: &[u8]) {
        let message = Message::parse(bytes).unwrap();
        let mut edits = Edits::new(&message);
        if self.mischief == Mischief::Anchor && !message.body().is_empty() {
            let sdp = crate::describe("127.0.0.1:30000".parse().unwrap(), 0, "", 20);
            edits.replace_body(Some(b"application/sdp"), sdp.as_bytes());
        }
        let server = SERVER.parse().unwrap();
        let tally = &mut self.caller.tally;
        self.answerer
            .handle_datagram(self.now, server, &edits.to_vec(), tally);
    }
}

fn one_call(mischief: Mischief) -> (Tally, Duration) {
    let options = options(Mode::Calls);
    let mut world = World::new(&options, mischief);
    world.caller.call(world.now, 1, 2);
    let time = world.settle();
    (world.caller.tally, time)
}

#[test]
fn a_call_is_made_and_ended() {
    let (tally, time) = one_call(Mischief::None);
    assert_eq!(tally.calls_done, 1, "{tally:?}");
    assert_eq!((tally.calls_answered, tally.challenges), (1, 1));
    assert_eq!(tally.calls_anchored + tally.out_of_order, 0);
    assert_eq!(tally.retransmissions_sent, 0);
    assert!(tally.failures.is_empty());
    // Three seconds of ringing, one of talk.
    assert_eq!(time.as_secs(), 4);
    assert_eq!(tally.answer_ns.len(), 1);
}

#[test]
fn an_account_is_registered() {
    let options = options(Mode::Registrations);
    let mut world = World::new(&options, Mischief::None);
    world.caller.register(world.now, 1, false);
    world.settle();
    let tally = &world.caller.tally;
    assert_eq!((tally.registrations_done, tally.challenges), (1, 1));
    assert!(tally.failures.is_empty());
}

#[test]
fn what_is_lost_is_sent_again_until_the_call_is_done() {
    let (tally, _) = one_call(Mischief::Lose);
    assert_eq!(tally.calls_done, 1, "{tally:?}");
    assert!(tally.retransmissions_sent > 0);
    assert!(tally.failures.is_empty());
}

#[test]
fn media_in_between_is_noticed() {
    assert_eq!(one_call(Mischief::Anchor).0.calls_anchored, 1);
}

#[test]
fn a_refusal_is_a_failure_of_that_status() {
    let (tally, _) = one_call(Mischief::Refuse);
    assert_eq!(tally.failures.into_iter().collect::<Vec<_>>(), [(486, 1)]);
    assert_eq!(tally.calls_done + tally.calls_answered, 0);
}

#[test]
fn a_wrong_password_is_challenged_once_and_fails() {
    let options = options(Mode::Registrations);
    let mut world = World::new(&options, Mischief::None);
    // The server knows load1 only.
    world.caller.register(world.now, 2, false);
    world.settle();
    let tally = &world.caller.tally;
    assert_eq!(tally.challenges, 1);
    assert_eq!(tally.failures.get(&401), Some(&1));
}

#[test]
fn responses_in_the_wrong_order_are_noticed() {
    let mut options = options(Mode::Calls);
    options.ring = Duration::ZERO;
    let mut world = World::new(&options, Mischief::Reverse);
    world.caller.call(world.now, 1, 2);
    world.settle();
    assert_eq!(world.caller.tally.out_of_order, 1);
    assert_eq!(world.caller.tally.calls_done, 1);
}

#[test]
fn a_server_that_says_nothing_is_given_up_when_the_rfc_says() {
    let (tally, time) = one_call(Mischief::Silence);
    assert_eq!(tally.failures.get(&0), Some(&1));
    assert_eq!(tally.retransmissions_sent, 6);
    assert_eq!(time.as_secs(), 32);
}

#[test]
fn more_calls_than_allowed_are_left_out() {
    let mut options = options(Mode::Calls);
    options.calls_at_a_time = 2;
    let mut world = World::new(&options, Mischief::None);
    (0..3).for_each(|_| world.caller.call(world.now, 1, 2));
    assert_eq!(
        (
            world.caller.tally.calls_begun,
            world.caller.tally.calls_left_out
        ),
        (2, 1)
    );
}

#[test]
fn a_call_id_names_its_exchange_and_only_in_its_run() {
    assert_eq!(key_of(call_id(12, 7).as_bytes(), 7), Some(12));
    assert_eq!(key_of(call_id(12, 7).as_bytes(), 8), None);
    for junk in [&b""[..], b"x", b"1-2", b"-@load", b"\xff"] {
        assert_eq!(key_of(junk, 7), None);
    }
}
