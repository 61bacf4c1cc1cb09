//! What the scripts of proxies ask of the relay in a call: Kamailio puts it into ng, we do it, and
//! phones see it in SDP and hear it.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use tandem_settings::Transcode;
use tandem_tests::{
    Call, Dialog, Exchange, Kamailio, KamailioSetup, Message, Phone, RtpEndpoint, Site, Stage,
    Tandem, TwoPhones, converse, offer_sdp, public_ip, public_ip6, sdp_endpoint, until,
};

use crate::early_media;
use crate::kamailio_drop_in::assert_clean;

/// Time that people talk for.
const TALK: Duration = Duration::from_millis(400);

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// Relay and control behind a Kamailio with such a script.
fn play(offer: &str, answer: &str, play: impl FnOnce(&Site, &Tandem, &Kamailio)) {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |file| {
        // Nothing is added to what phones say.
        file.control.transcode = Transcode::Directives;
    });
    let setup = KamailioSetup::new(&[tandem.ng()]).flags(offer, answer);
    let Some(kamailio) = Kamailio::start_with(&site, Kamailio::address(&site), &setup) else {
        return;
    };
    play(&site, &tandem, &kamailio);
    assert_clean(&tandem, &kamailio);
    kamailio.stop();
    tandem.stop();
}

#[test]
fn the_callee_is_heard_before_it_answers_through_kamailio() {
    play("replace-origin", "replace-origin", |site, _, kamailio| {
        early_media::announce(site, kamailio);
    });
}

#[test]
fn replace_origin_shows_the_relay_alone() {
    play(
        "replace-origin",
        "replace-origin",
        |site, tandem, kamailio| {
            let relay = tandem.media_ip().to_string();
            let mut phones = TwoPhones::new(site, kamailio);
            let ends = [2, 3].map(|host| RtpEndpoint::new(site.ip(host)));
            let sdp = ends.each_ref().map(|end| offer_sdp(end, 1, "sendrecv"));
            let (call, [answered, offered]) = phones.connect_with(ends, [&sdp[0], &sdp[1]]);
            for (own, seen) in sdp.iter().zip([&offered, &answered]) {
                let expected = origin(own).replace(address_of(own), &relay);
                assert_eq!(origin(&seen.body), expected, "{}", seen.body);
                assert!(!seen.body.contains(address_of(own)), "{}", seen.body);
            }

            // The second offer of a call is the next version of the same session (RFC 3264 §8).
            let (mut call, reports) = call.converse(|| sleep(TALK));
            call.assert_nothing_lost(&reports);
            let again = call
                .ends
                .each_ref()
                .map(|end| offer_sdp(end, 2, "sendrecv"));
            let seen = phones.reinvite(&mut call, &again[0], &again[1]);
            for (before, now) in [&offered, &answered].into_iter().zip(&seen) {
                let expected = origin(&before.body).replace(" 1 IN ", " 2 IN ");
                assert_eq!(origin(&now.body), expected);
            }
            phones.hang_up(&mut call);
        },
    );
}

#[test]
fn the_origin_stays_without_replace_origin() {
    play("trust-address", "trust-address", |site, _, kamailio| {
        let mut phones = TwoPhones::new(site, kamailio);
        let ends = [2, 3].map(|host| RtpEndpoint::new(site.ip(host)));
        let sdp = ends.each_ref().map(|end| offer_sdp(end, 1, "sendrecv"));
        let (mut call, [answered, offered]) = phones.connect_with(ends, [&sdp[0], &sdp[1]]);
        for (own, seen) in sdp.iter().zip([&offered, &answered]) {
            assert_eq!(origin(&seen.body), origin(own));
        }
        phones.hang_up(&mut call);
    });
}

#[test]
fn stripped_codecs_are_not_offered() {
    assert_codecs("codec-strip-PCMA codec-strip-G722", "0 101");
}

#[test]
fn masked_codecs_are_not_offered() {
    assert_codecs("codec-mask-PCMA", "0 9 101");
}

#[test]
fn codecs_that_are_offered_by_name_are_all_there_is_and_in_that_order() {
    assert_codecs("codec-strip-all codec-offer-G722 codec-offer-PCMU", "9 0");
}

#[test]
fn codecs_that_are_excepted_stay_where_they_were() {
    assert_codecs("codec-strip-all codec-except-G722 codec-except-PCMU", "0 9");
}

/// The caller offers all that it has, the callee sees those formats, and what it answers with comes
/// back as it is.
#[track_caller]
fn assert_codecs(flags: &str, expected: &str) {
    play(flags, "", |site, _, kamailio| {
        let mut phones = TwoPhones::new(site, kamailio);
        let ends = [2, 3].map(|host| RtpEndpoint::new(site.ip(host)));
        let all = "RTP/AVP 0 8 9 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
                   a=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15";
        let offer = with_formats(&offer_sdp(&ends[0], 1, "sendrecv"), all);
        let answer = with_formats(
            &offer_sdp(&ends[1], 1, "sendrecv"),
            "RTP/AVP 0\r\na=rtpmap:0 PCMU/8000",
        );
        let (call, [answered, offered]) = phones.connect_with(ends, [&offer, &answer]);
        assert_eq!(formats(&offered), expected, "{}", offered.body);
        let described: Vec<&str> = ["rtpmap", "fmtp"]
            .iter()
            .flat_map(|name| attributes(&offered, name))
            .collect();
        for format in described {
            assert!(
                expected.split(' ').any(|it| it == format),
                "{}",
                offered.body
            );
        }
        assert_eq!(formats(&answered), "0", "{}", answered.body);

        let (mut call, reports) = call.converse(|| sleep(TALK));
        call.assert_nothing_lost(&reports);
        phones.hang_up(&mut call);
    });
}

/// A phone of the IPv4 network calls one of the IPv6 network, and is called back.
#[test]
fn an_ipv4_phone_and_an_ipv6_phone_talk_through_kamailio() {
    let sip = Stage::relay_ips().map(|ip| SocketAddr::new(ip, 5_060));
    Stage::play(
        |file| {
            let [four, six] = Stage::relay_ips();
            file.relay.interfaces = vec![format!("four={four}"), format!("six=[{six}]")];
        },
        |stage| {
            let hosts = [2, 3].map(|number| stage.internet.host(number));
            let ips = [public_ip(2), public_ip6(3)];
            for caller in [0, 1] {
                let setup = bridging_from(caller, stage.tandem.ng()).listen(sip[1]);
                let Some(kamailio) = Kamailio::start_with(stage.site, sip[0], &setup) else {
                    return;
                };
                let order = [caller, 1 - caller];
                let users = ["alice", "bob"].into_iter();
                let phones = order.iter().zip(users).map(|(side, user)| {
                    let local = SocketAddr::new(ips[*side], 5_060);
                    let account = kamailio.account(user);
                    hosts[*side].within(|| Phone::new(local, sip[*side], account))
                });
                let phones: Vec<Phone> = phones.collect();
                let phones: [Phone; 2] = phones.try_into().expect("there are two");
                let ends = order.map(|side| hosts[side].within(|| RtpEndpoint::new(ips[side])));
                bridged_call(&mut TwoPhones::of(phones), ends);
                until("the call is released", LIMIT, || {
                    stage.tandem.call_count() == 0
                });
                let log = kamailio.log();
                assert!(!log.contains("ERROR"), "{log}");
                kamailio.stop();
            }
        },
    );
}

/// The script for calls from the IPv4 (0) or the IPv6 network (1).
fn bridging_from(side: usize, ng: SocketAddr) -> KamailioSetup {
    let names = [("four", "IP4"), ("six", "IP6")];
    let ((from, back), (to, there)) = (names[side], names[1 - side]);
    let offer = format!("replace-origin direction={from} direction={to} address-family={there}");
    let answer = format!("replace-origin address-family={back}");
    KamailioSetup::new(&[ng]).flags(&offer, &answer)
}

fn bridged_call(phones: &mut TwoPhones, ends: [RtpEndpoint; 2]) {
    let sdp = ends.each_ref().map(|end| {
        let sdp = offer_sdp(end, 1, "sendrecv");
        match end.address() {
            SocketAddr::V4(_) => sdp,
            SocketAddr::V6(_) => sdp.replace("IN IP4 ", "IN IP6 "),
        }
    });
    let (call, seen) = phones.connect_with(ends, [&sdp[0], &sdp[1]]);
    for ((end, relay), message) in call.ends.iter().zip(call.relay).zip(seen) {
        let is_v4 = end.address().is_ipv4();
        assert_eq!(relay.is_ipv4(), is_v4, "{}", message.body);
        let other = if is_v4 { "IP6" } else { "IP4" };
        assert!(!message.body.contains(other), "{}", message.body);
    }
    let (mut call, reports) = call.converse(|| sleep(TALK));
    call.assert_nothing_lost(&reports);
    phones.hang_up_by_callee(&mut call);
}

/// With an offer for each branch, as a script makes it that says `via-branch`.
#[test]
fn both_answers_to_a_forked_call_are_heard() {
    fork(KamailioSetup::fork, true);
}

/// With one offer for all branches: the second answer takes the ports of the first.
#[test]
fn both_answers_to_a_forked_call_are_heard_at_one_port() {
    fork(|setup| setup, false);
}

/// Two phones of one account answer with media of their own before one takes the call.
#[track_caller]
fn fork(edit: impl FnOnce(KamailioSetup) -> KamailioSetup, has_own_ports: bool) {
    let site = Site::new();
    let tandem = Tandem::start_pair(&site, |_| {});
    let setup = edit(KamailioSetup::new(&[tandem.ng()]));
    let Some(kamailio) = Kamailio::start_with(&site, Kamailio::address(&site), &setup) else {
        return;
    };
    let phone = |user, host| kamailio.phone(user, site.address(host, 5_060));
    let [mut caller, mut desk, mut kitchen] = [phone("alice", 2), phone("bob", 3), phone("bob", 4)];
    for phone in [&mut caller, &mut desk, &mut kitchen] {
        assert_eq!(phone.register(300).status(), Some(200));
    }
    let [end, desk_end, kitchen_end] =
        [2, 3, 4].map(|host| RtpEndpoint::new(site.ip(host)).with_ssrc(host.into()));
    let invitation = caller.invite("bob", &offer_sdp(&end, 1, "sendrecv"));
    let at_desk = desk.expect_request("INVITE");
    let at_kitchen = kitchen.expect_request("INVITE");
    let relays = [&at_desk, &at_kitchen].map(|request| sdp_endpoint(&request.body));
    assert_eq!(relays[0] != relays[1], has_own_ports, "{relays:?}");

    let answer = offer_sdp(&desk_end, 1, "sendrecv");
    desk.reply(&at_desk, 183, "Session Progress", Some(&answer));
    let early = caller.expect_response(&invitation, 183);
    let to_desk = [sdp_endpoint(&early.body), relays[0]];
    let ([end, desk_end], reports) = converse([end, desk_end], to_desk, || sleep(TALK));
    reports[0].assert_heard_all_of(&reports[1], to_desk[0]);
    reports[1].assert_heard_all_of(&reports[0], to_desk[1]);

    let answer = offer_sdp(&kitchen_end, 1, "sendrecv");
    kitchen.reply(&at_kitchen, 183, "Session Progress", Some(&answer));
    let early = caller.expect_response(&invitation, 183);
    let to_kitchen = [sdp_endpoint(&early.body), relays[1]];
    let ([end, kitchen_end], reports) = converse([end, kitchen_end], to_kitchen, || sleep(TALK));
    reports[0].assert_heard_all_of(&reports[1], to_kitchen[0]);
    reports[1].assert_heard_all_of(&reports[0], to_kitchen[1]);

    let response = kitchen.reply(&at_kitchen, 200, "OK", Some(&answer));
    let answered = caller.expect_response(&invitation, 200);
    assert_eq!(
        sdp_endpoint(&answered.body),
        to_kitchen[0],
        "the port stays"
    );
    let cancel = desk.expect_request("CANCEL");
    desk.give_way(&at_desk, &cancel);
    let dialog = caller.acknowledge(&invitation, &answered);
    kitchen.expect_request("ACK");
    let call = Call {
        dialogs: [dialog, Dialog::of_callee(&at_kitchen, &response)],
        ends: [end, kitchen_end],
        relay: to_kitchen,
    };
    let (mut call, reports) = call.converse(|| sleep(TALK));
    call.assert_nothing_lost(&reports);
    let stray = desk_end.receive(Duration::ZERO);
    assert_eq!(stray, None, "nobody talks to the desk any more");
    caller.hang_up(&mut call.dialogs[0], &mut kitchen);
    assert_clean(&tandem, &kamailio);
    kamailio.stop();
    tandem.stop();
}

fn origin(sdp: &str) -> String {
    let line = sdp.lines().find(|line| line.starts_with("o="));
    line.expect("a description has an origin").to_owned()
}

/// Where a description of ours says that it is from.
fn address_of(sdp: &str) -> &str {
    let line = sdp.lines().find_map(|line| line.strip_prefix("c=IN IP4 "));
    line.expect("a description has an address")
}

/// Puts other formats (and their attributes) in the place of those of [`offer_sdp`].
fn with_formats(sdp: &str, formats: &str) -> String {
    let (before, rest) = sdp.split_once("RTP/AVP ").expect("it has audio");
    let (_, after) = rest.split_once("a=ptime").expect("it has a ptime");
    format!("{before}{formats}\r\na=ptime{after}")
}

/// Formats of the only section.
fn formats(message: &Message) -> &str {
    let line = message.body.lines().find(|line| line.starts_with("m="));
    let line = line.and_then(|line| line.split_once(" RTP/AVP "));
    line.unwrap_or_else(|| panic!("{}", message.body)).1
}

/// Formats that have an attribute.
fn attributes<'a>(message: &'a Message, name: &str) -> impl Iterator<Item = &'a str> {
    let prefix = format!("a={name}:");
    let lines = message.body.lines();
    lines.filter_map(move |line| line.strip_prefix(&prefix)?.split(' ').next())
}
