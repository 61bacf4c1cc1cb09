//! Phones behind each of the four types of NAT (RFC 3489 §5), which say in SDP where they are at
//! home: the relay finds out where they are in the Internet, and talks to them there.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use tandem_tests::{
    Anchored, Namespace, Nat, NatKind, Party, RtpEndpoint, Stage, converse, meet, public_ip,
};

/// How long two talk.
const TALK: Duration = Duration::from_millis(300);

/// How far the NATs of cone types move a port.
const CONE_SHIFT: u16 = 41_000;

#[test]
fn each_type_of_nat_reaches_a_public_phone() {
    Stage::play(
        |_| {},
        |stage| {
            let probers = probers(stage);
            let public = stage.internet.host(2);
            for (number, kind) in (11..).zip(NatKind::ALL) {
                let nat = probed_nat(stage, &probers, number, kind);
                let phones = [
                    Phone::behind(stage, &nat),
                    Phone::in_the_open(&public, public_ip(2)),
                ];
                talk(stage, &format!("{kind:?} to public"), phones);
            }
        },
    );
}

#[test]
fn a_symmetric_nat_reaches_each_type_of_nat() {
    Stage::play(
        |_| {},
        |stage| {
            let probers = probers(stage);
            for (number, kind) in (0..).zip(NatKind::ALL) {
                let symmetric = probed_nat(stage, &probers, 11 + number, NatKind::Symmetric);
                let other = probed_nat(stage, &probers, 21 + number, kind);
                let phones = [&symmetric, &other].map(|nat| Phone::behind(stage, nat));
                talk(stage, &format!("symmetric to {kind:?}"), phones);
            }
        },
    );
}

/// A phone, and what is to be known of where it is.
struct Phone<'a> {
    end: RtpEndpoint,
    /// What SDP says.
    signalled: SocketAddr,
    nat: Option<&'a Nat>,
    /// Who has its private address, near the relay.
    namesake: Option<RtpEndpoint>,
}

impl<'a> Phone<'a> {
    fn behind(stage: &Stage<'_>, nat: &'a Nat) -> Self {
        let end = nat.inside.within(|| RtpEndpoint::new(nat.inner));
        Self {
            signalled: end.address(),
            end,
            nat: Some(nat),
            namesake: Some(stage.namesake(nat)),
        }
    }

    fn in_the_open(host: &Namespace, ip: std::net::IpAddr) -> Self {
        let end = host.within(|| RtpEndpoint::new(ip));
        Self {
            signalled: end.address(),
            end,
            nat: None,
            namesake: None,
        }
    }

    /// Checks that it is found where its NAT has put it.
    #[track_caller]
    fn assert_found(&self, remote: SocketAddr) {
        let port = self.signalled.port();
        match self.nat {
            None => assert_eq!(remote, self.signalled),
            Some(nat) if nat.kind == NatKind::Symmetric => {
                assert_eq!(remote.ip(), nat.outer);
                assert_ne!(remote.port(), port);
            }
            Some(nat) => assert_eq!(remote, SocketAddr::new(nat.outer, port + CONE_SHIFT)),
        }
    }
}

/// A call in which nothing is lost once the two have found one another, and of which nothing goes
/// to their private addresses any more.
#[track_caller]
fn talk(stage: &Stage<'_>, id: &str, phones: [Phone<'_>; 2]) {
    println!("{id}");
    let parties = phones.each_ref().map(|phone| Party::at(phone.signalled));
    let call = Anchored::new(stage.client, id, parties.each_ref());
    meet(phones.each_ref().map(|phone| &phone.end), call.relay, 0);
    for (number, phone) in phones.iter().enumerate() {
        let (remote, is_learnt) = call.remote(number);
        assert!(is_learnt);
        phone.assert_found(remote);
        phone.namesake.iter().for_each(RtpEndpoint::clear);
    }
    let [one, other] = phones;
    let namesakes = [one.namesake, other.namesake];
    let (_, reports) = converse([one.end, other.end], call.relay, || sleep(TALK));
    assert!(reports[0].sent > 0 && reports[1].sent > 0);
    reports[0].assert_heard_all_of(&reports[1], call.relay[0]);
    reports[1].assert_heard_all_of(&reports[0], call.relay[1]);
    for namesake in namesakes.into_iter().flatten() {
        assert_eq!(namesake.receive(Duration::ZERO), None);
        assert_eq!(namesake.receive_rtcp(Duration::ZERO), None);
    }
    call.end();
}

/// Two hosts that ask NATs what they do.
fn probers(stage: &Stage<'_>) -> [Namespace; 2] {
    [4, 5].map(|number| stage.internet.host(number))
}

/// A NAT that was seen to be of its type.
#[track_caller]
fn probed_nat(stage: &Stage<'_>, probers: &[Namespace; 2], number: u8, kind: NatKind) -> Nat {
    let nat = stage.internet.nat(number, kind);
    let [one, other] = probers;
    let probed = nat.probe([(one, public_ip(4)), (other, public_ip(5))]);
    assert_eq!(probed, kind);
    nat
}
