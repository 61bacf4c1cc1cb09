//! A phone that is elsewhere in mid-call: the relay follows the phone, and nobody else.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use tandem_tests::{
    Anchored, Nat, NatKind, Party, RtpEndpoint, Stage, converse, meet, public_ip, until, within,
};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(10);

/// Time between two packets.
const PACE: Duration = Duration::from_millis(20);

/// Packets that a stranger sends: at this pace, for much longer than a phone must be silent.
const STRANGERS: u16 = 40;

/// A call between a phone at home, behind a NAT, and one in the open, which hear one another; and
/// another NAT.
struct Scene<'a> {
    wifi: RtpEndpoint,
    /// Where its NAT has put it, which it has found out: so it is locked at once.
    signalled: SocketAddr,
    public: RtpEndpoint,
    /// What the phone at home is behind.
    _home: Nat,
    mobile: Nat,
    call: Anchored<'a>,
    /// The next number in the phone's stream.
    sequence: u16,
}

impl<'a> Scene<'a> {
    fn new(stage: &'a Stage<'a>, flags: &[&str]) -> Self {
        let home = stage.internet.nat(11, NatKind::PortRestrictedCone);
        let wifi = home.inside.within(|| RtpEndpoint::new(home.inner));
        let public = stage.internet.host(2);
        let public = public.within(|| RtpEndpoint::new(public_ip(2)));
        let signalled = SocketAddr::new(home.outer, 51_000);
        let parties = [
            Party::at(signalled).flags(flags),
            Party::at(public.address()),
        ];
        let call = Anchored::new(stage.client, "scene", parties.each_ref());
        let sequence = meet([&wifi, &public], call.relay, 65_500);
        assert_eq!(call.remote(0), (signalled, true));
        Self {
            wifi,
            signalled,
            public,
            _home: home,
            mobile: stage.internet.nat(12, NatKind::Symmetric),
            call,
            sequence,
        }
    }

    /// An end in the mobile network.
    fn on_mobile(&self) -> RtpEndpoint {
        let Nat { inside, inner, .. } = &self.mobile;
        inside.within(|| RtpEndpoint::new(*inner))
    }

    /// Sends a stream from elsewhere, and checks that it changes nothing.
    #[track_caller]
    fn assert_ignored(&self, stage: &Stage<'_>, end: &RtpEndpoint, first: u16) {
        let (before, remote) = (stage.strangers(), self.call.remote(0));
        for number in 0..STRANGERS {
            end.send(self.call.relay[0], first.wrapping_add(number));
            sleep(PACE);
        }
        stage.await_strangers(before, STRANGERS.into());
        assert_eq!(self.public.receive(Duration::ZERO), None);
        assert_eq!(self.call.remote(0), remote);
        assert!(self.public_reaches(&self.wifi));
        assert_eq!(end.receive(Duration::ZERO), None);
    }

    /// Sends a stream from elsewhere until it is heard, and checks that it is answered.
    #[track_caller]
    fn assert_followed(&self, end: &RtpEndpoint, first: u16) {
        let mut number = first;
        let heard = within(LIMIT, || {
            end.send(self.call.relay[0], number);
            number = number.wrapping_add(1);
            self.public.receive(PACE)
        });
        let heard = heard.expect("the phone is heard again");
        assert!(end.has_sent(&heard));
        self.public.clear();
        assert!(self.public_reaches(end));
        assert_eq!(self.call.remote(0).0.ip(), self.mobile.outer);
    }

    /// Whether what the public phone says comes to an end.
    fn public_reaches(&self, end: &RtpEndpoint) -> bool {
        self.public.send(self.call.relay[1], 7);
        let packet = end.receive(LIMIT);
        packet.is_some_and(|packet| self.public.has_sent(&packet))
    }

    /// Checks that nothing is lost between the public phone and an end.
    #[track_caller]
    fn assert_lossless(self, end: RtpEndpoint) {
        let relay = self.call.relay;
        meet([&end, &self.public], relay, 1_000);
        let (_, reports) = converse([end, self.public], relay, || sleep(PACE * 15));
        assert!(reports[0].sent > 0 && reports[1].sent > 0);
        reports[0].assert_heard_all_of(&reports[1], relay[0]);
        reports[1].assert_heard_all_of(&reports[0], relay[1]);
        self.call.end();
    }
}

/// Wi-Fi to mobile, and nobody was told.
#[test]
fn a_stream_that_goes_on_elsewhere_is_followed() {
    Stage::play(
        |_| {},
        |stage| {
            let scene = Scene::new(stage, &[]);
            let mobile = scene.on_mobile().with_ssrc(scene.wifi.ssrc());
            scene.assert_followed(&mobile, scene.sequence);
            // Whoever is where the phone was is a stranger now.
            let before = stage.strangers();
            scene.wifi.send(scene.call.relay[0], scene.sequence);
            stage.await_strangers(before, 1);
            scene.assert_lossless(mobile);
        },
    );
}

/// In the first seconds, when the relay still waits for somebody who fits better.
#[test]
fn a_stream_that_goes_on_elsewhere_is_followed_at_once() {
    Stage::play(
        |_| {},
        |stage| {
            let mut scene = Scene::new(stage, &[]);
            let mobile = scene.on_mobile().with_ssrc(scene.wifi.ssrc());
            let parties = [&scene.wifi, &scene.public].map(|end| Party::at(end.address()));
            scene.call.renew(0, parties.each_ref());
            let sequence = meet([&scene.wifi, &scene.public], scene.call.relay, 100);
            let before = stage.strangers();
            scene.assert_followed(&mobile, sequence);
            // Those of a quarter of a second, and not of three seconds.
            assert!(stage.strangers() - before < 40);
        },
    );
}

#[test]
fn another_stream_is_not_followed() {
    Stage::play(
        |_| {},
        |stage| {
            let scene = Scene::new(stage, &[]);
            let stranger = scene.on_mobile();
            assert_ne!(stranger.ssrc() + 1, scene.wifi.ssrc());
            let stranger = stranger.with_ssrc(scene.wifi.ssrc() + 1);
            scene.assert_ignored(stage, &stranger, scene.sequence);
            // The right source, but a number that does not follow.
            let stranger = stranger.with_ssrc(scene.wifi.ssrc());
            let far = scene.sequence.wrapping_add(20_000);
            scene.assert_ignored(stage, &stranger, far);
        },
    );
}

#[test]
fn media_handover_follows_any_stream() {
    Stage::play(
        |_| {},
        |stage| {
            let scene = Scene::new(stage, &["media handover"]);
            let mobile = scene.on_mobile().with_ssrc(0x0bad_cafe);
            scene.assert_followed(&mobile, 30_000);
            scene.assert_lossless(mobile);
        },
    );
}

#[test]
fn strict_source_follows_nobody() {
    Stage::play(
        |_| {},
        |stage| {
            let mut scene = Scene::new(stage, &["strict source"]);
            let mobile = scene.on_mobile().with_ssrc(scene.wifi.ssrc());
            scene.assert_ignored(stage, &mobile, scene.sequence);
            // Unless it says so.
            let parties = [
                Party::at(mobile.address()).flags(&["strict source"]),
                Party::at(scene.public.address()),
            ];
            scene.call.renew(0, parties.each_ref());
            scene.assert_followed(&mobile, scene.sequence);
        },
    );
}

/// A re-INVITE names another address: media goes there before anything comes from there.
#[test]
fn a_new_offer_moves_media_at_once() {
    for flags in [&[][..], &["port latching"], &["no port latching"]] {
        Stage::play(
            |_| {},
            |stage| {
                let mut scene = Scene::new(stage, flags);
                let host = stage.internet.host(3);
                let elsewhere = host.within(|| RtpEndpoint::new(public_ip(3)));
                let (ports, public) = (scene.call.relay, scene.public.address());
                let parties = [
                    Party::at(elsewhere.address()).flags(flags),
                    Party::at(public),
                ];
                scene.call.renew(0, parties.each_ref());
                // Who has moved sends to where it did, its peer is told of another port: as rtpengine
                // does, unless it is told not to.
                let is_same = |index: usize| scene.call.relay[index] == ports[index];
                let stays = flags.contains(&"port latching");
                assert_eq!([0, 1].map(is_same), [true, stays]);
                assert!(scene.public_reaches(&elsewhere));
                assert_eq!(scene.call.remote(0), (elsewhere.address(), false));
                elsewhere.send(scene.call.relay[0], 9);
                let heard = scene.public.receive(LIMIT).expect("at once");
                assert!(elsewhere.has_sent(&heard));
                // Even the old stream is a stranger now.
                let before = stage.strangers();
                scene.wifi.send(scene.call.relay[0], scene.sequence);
                stage.await_strangers(before, 1);
                assert_eq!(scene.public.receive(Duration::ZERO), None);
                scene.assert_lossless(elsewhere);
            },
        );
    }
}

/// The same offer again (a hold, a session timer) learns nothing anew.
#[test]
fn the_same_offer_again_lets_nobody_in() {
    Stage::play(
        |_| {},
        |stage| {
            let mut scene = Scene::new(stage, &[]);
            let parties = [scene.signalled, scene.public.address()].map(Party::at);
            scene.call.renew(0, parties.each_ref());
            scene.call.renew(1, parties.each_ref());
            let stranger = scene.on_mobile().with_ssrc(0x0bad_cafe);
            scene.assert_ignored(stage, &stranger, 1);
            let Scene { wifi, .. } = &scene;
            let before = stage.strangers();
            wifi.send(scene.call.relay[0], scene.sequence);
            let heard = scene.public.receive(LIMIT).expect("the lock is as it was");
            assert!(wifi.has_sent(&heard));
            assert_eq!(stage.strangers(), before);
        },
    );
}

/// A phone that sends from one port and listens at another.
#[test]
fn asymmetric_hears_here_and_sends_there() {
    Stage::play(
        |_| {},
        |stage| {
            let host = stage.internet.host(2);
            let [listens, sends] = [(); 2].map(|()| host.within(|| RtpEndpoint::new(public_ip(2))));
            let host = stage.internet.host(3);
            let public = host.within(|| RtpEndpoint::new(public_ip(3)));
            for (flags, is_asymmetric) in [(&["asymmetric"][..], true), (&[], false)] {
                let parties = [
                    Party::at(listens.address()).flags(flags),
                    Party::at(public.address()),
                ];
                let call = Anchored::new(stage.client, "asymmetric", parties.each_ref());
                sends.send(call.relay[0], 1);
                let heard = public.receive(LIMIT).expect("the signalled host is heard");
                assert!(sends.has_sent(&heard));
                public.send(call.relay[1], 2);
                let [gets, gets_not] = match is_asymmetric {
                    true => [&listens, &sends],
                    false => [&sends, &listens],
                };
                let heard = gets.receive(LIMIT).expect("somebody is sent to");
                assert!(public.has_sent(&heard));
                assert_eq!(gets_not.receive(Duration::ZERO), None);
                call.end();
                until("the call is gone", LIMIT, || stage.tandem.call_count() == 0);
            }
        },
    );
}
