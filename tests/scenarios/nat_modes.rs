//! How the relay learns where a phone is, mode by mode and flag by flag, from real NATs.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use tandem_tests::{
    Anchored, Nat, NatKind, Party, RtpEndpoint, Stage, Value, converse, meet, public_ip, until,
    within,
};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(10);

/// Time between two packets.
const PACE: Duration = Duration::from_millis(20);

/// A call between a phone behind a symmetric NAT, which offers, and one in the open; and a
/// stranger.
struct Scene<'a> {
    nat: Nat,
    inside: RtpEndpoint,
    public: RtpEndpoint,
    stranger: RtpEndpoint,
    call: Anchored<'a>,
}

impl<'a> Scene<'a> {
    /// What the offer says besides the private address is for `wish` to add.
    fn new(stage: &'a Stage<'a>, wish: impl FnOnce(Party) -> Party) -> Self {
        let nat = stage.internet.nat(11, NatKind::Symmetric);
        let inside = nat.inside.within(|| RtpEndpoint::new(nat.inner));
        let [public, stranger] = [2, 66].map(|number| {
            let host = stage.internet.host(number);
            host.within(|| RtpEndpoint::new(public_ip(number)))
        });
        let parties = [
            wish(Party::at(inside.address())),
            Party::at(public.address()),
        ];
        let call = Anchored::new(stage.client, "scene", parties.each_ref());
        Self {
            nat,
            inside,
            public,
            stranger,
            call,
        }
    }

    /// The next number that the public phone hears.
    #[track_caller]
    fn heard_by_public(&self, of: &RtpEndpoint) -> u16 {
        heard(&self.public, of)
    }

    /// Whether what the public phone says comes to an end.
    fn public_reaches(&self, end: &RtpEndpoint) -> bool {
        self.public.send(self.call.relay[1], 7);
        let packet = end.receive(LIMIT);
        packet.is_some_and(|packet| self.public.has_sent(&packet))
    }
}

/// The number of the next packet that an end hears, which is from `of`.
#[track_caller]
fn heard(end: &RtpEndpoint, of: &RtpEndpoint) -> u16 {
    let packet = end.receive(LIMIT).expect("a packet arrives");
    assert!(of.has_sent(&packet), "another's: {packet:?}");
    packet.sequence
}

#[test]
fn heuristic_hears_a_phone_elsewhere_with_its_fourth_packet() {
    Stage::play(
        |_| {},
        |stage| {
            let scene = Scene::new(stage, |party| party);
            for sequence in 0..4 {
                scene.inside.send(scene.call.relay[0], sequence);
                sleep(PACE);
            }
            assert_eq!(scene.heard_by_public(&scene.inside), 3);
            assert_eq!(stage.count("dropped_unproven"), 3);
            assert!(scene.public_reaches(&scene.inside));
        },
    );
}

#[test]
fn heuristic_hears_a_phone_at_once_that_the_proxy_has_seen() {
    Stage::play(
        |_| {},
        |stage| {
            let scene = Scene::new(stage, |party| {
                let seen = Value::list(&["IP4", "203.0.113.11"]);
                let party = party.with("received-from", seen);
                party.flags(&["SIP source address"])
            });
            scene.inside.send(scene.call.relay[0], 0);
            assert_eq!(scene.heard_by_public(&scene.inside), 0);
            assert!(scene.public_reaches(&scene.inside));
            assert_eq!(stage.strangers(), 0);
        },
    );
}

#[test]
fn immediate_takes_the_first_and_nobody_else() {
    Stage::play(
        |_| {},
        |stage| {
            let scene = Scene::new(stage, |party| {
                party.with("endpoint-learning", "immediate".into())
            });
            scene.inside.send(scene.call.relay[0], 0);
            assert_eq!(scene.heard_by_public(&scene.inside), 0);
            for sequence in 0..20 {
                scene.stranger.send(scene.call.relay[0], sequence);
            }
            stage.await_strangers(0, 20);
            scene.inside.send(scene.call.relay[0], 1);
            assert_eq!(scene.heard_by_public(&scene.inside), 1);
            assert!(scene.public_reaches(&scene.inside));
            assert_eq!(scene.call.remote(0).0.ip(), scene.nat.outer);
        },
    );
}

#[test]
fn delayed_takes_whoever_is_last_within_its_time() {
    Stage::play(
        |_| {},
        |stage| {
            let scene = Scene::new(stage, |party| {
                party.with("endpoint-learning", "delayed".into())
            });
            // The two in turns: each packet moves the call, until one moves nothing.
            let turns = [&scene.stranger, &scene.inside];
            let mut number = 0;
            until("the time is over", LIMIT, || {
                let end = turns[usize::from(number % 2)];
                end.send(scene.call.relay[0], number);
                let is_heard = within(LIMIT, || match scene.public.receive(PACE) {
                    Some(packet) => Some(end.has_sent(&packet)),
                    None => (stage.strangers() > 0).then_some(false),
                });
                let moved = is_heard.expect("a packet is heard or counted");
                assert!(!moved || scene.public_reaches(end));
                number += u16::from(moved);
                !moved
            });
            assert!(number >= 2, "both were learnt");
            let last = turns[usize::from(1 - number % 2)];
            assert!(scene.public_reaches(last));
        },
    );
}

#[test]
fn off_believes_signalling_alone() {
    Stage::play(
        |_| {},
        |stage| {
            let wish = |party: Party| party.with("endpoint-learning", "off".into());
            let mut scene = Scene::new(stage, wish);
            let namesake = stage.namesake(&scene.nat);
            for sequence in 0..20 {
                scene.inside.send(scene.call.relay[0], sequence);
                sleep(Duration::from_millis(5));
            }
            stage.await_strangers(0, 20);
            assert_eq!(scene.public.receive(Duration::ZERO), None);
            assert!(scene.public_reaches(&namesake));
            assert_eq!(scene.inside.receive(Duration::ZERO), None);

            // A phone that knows where its NAT has put it can say so.
            let cone = stage.internet.nat(12, NatKind::FullCone);
            let end = cone.inside.within(|| RtpEndpoint::new(cone.inner));
            let mapped = SocketAddr::new(cone.outer, 51_000);
            let public = Party::at(scene.public.address());
            scene.call.renew(0, [&wish(Party::at(mapped)), &public]);
            end.send(scene.call.relay[0], 0);
            assert_eq!(scene.heard_by_public(&end), 0);
            assert!(scene.public_reaches(&end));
        },
    );
}

#[test]
fn nat_wait_sends_nothing_before_the_phone_is_heard() {
    Stage::play(
        |_| {},
        |stage| {
            let scene = Scene::new(stage, |party| party.flags(&["NAT wait"]));
            let namesake = stage.namesake(&scene.nat);
            for sequence in 0..10 {
                scene.public.send(scene.call.relay[1], sequence);
            }
            until("all have come to nothing", LIMIT, || {
                stage.count("dropped_no_remote") == 10
            });
            let (ends, relay) = ([&scene.inside, &scene.public], scene.call.relay);
            meet(ends, relay, 0);
            assert_eq!(namesake.receive(Duration::ZERO), None);
            let (_, reports) = converse([scene.inside, scene.public], relay, || sleep(PACE * 10));
            reports[0].assert_heard_all_of(&reports[1], relay[0]);
            reports[1].assert_heard_all_of(&reports[0], relay[1]);
        },
    );
}

/// Without `NAT wait`, the private address is where media goes at first: what the test above
/// would not hear if it could not hear at all.
#[test]
fn without_nat_wait_the_signalled_address_is_sent_to() {
    Stage::play(
        |_| {},
        |stage| {
            let scene = Scene::new(stage, |party| party);
            let namesake = stage.namesake(&scene.nat);
            assert!(scene.public_reaches(&namesake));
        },
    );
}

/// The relay itself is behind something that lets in only what was sent to.
#[test]
fn pierce_nat_opens_the_relays_own_firewall() {
    Stage::play(
        |_| {},
        |stage| {
            stage.host.nft(
                "table ip wall {
                    chain input {
                        type filter hook input priority filter;
                        iifname net udp dport 30000-39999 ct state new counter drop
                    }
                }",
            );
            let hosts = [2, 3].map(|number| (stage.internet.host(number), public_ip(number)));
            let ends = hosts.map(|(host, ip)| host.within(|| RtpEndpoint::new(ip)));
            let party = |end: &RtpEndpoint| Party::at(end.address());

            let parties = ends.each_ref().map(party);
            let call = Anchored::new(stage.client, "closed", parties.each_ref());
            for sequence in 0..20 {
                for (end, relay) in ends.iter().zip(call.relay) {
                    end.send(relay, sequence);
                }
            }
            until("the wall has seen them", LIMIT, || {
                let rules = stage.host.ask_nft("list table ip wall");
                rules.contains("counter packets 40 ")
            });
            assert!(ends.iter().all(|end| end.receive(PACE).is_none()));
            call.end();

            let parties = ends.each_ref().map(|end| party(end).flags(&["pierce NAT"]));
            let call = Anchored::new(stage.client, "pierced", parties.each_ref());
            meet(ends.each_ref(), call.relay, 0);
            assert!(
                stage.count("piercings_sent") >= 4,
                "RTP and RTCP, both sides"
            );
            let (_, reports) = converse(ends, call.relay, || sleep(PACE * 10));
            reports[0].assert_heard_all_of(&reports[1], call.relay[0]);
            reports[1].assert_heard_all_of(&reports[0], call.relay[1]);
        },
    );
}
