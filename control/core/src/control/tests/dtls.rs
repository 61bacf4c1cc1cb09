//! Handshakes in offers and answers (RFC 5763), and what the relay is told of them.

use control_ng::{Command, Create, Dtls as Word, Flag, Negotiation, Sdes, SdesWord, Switch, Words};
use relay_wire::{Dtls, DtlsRole, Fingerprint, FingerprintHash, OnRtcp};

use crate::tests::{CONFIG, Sim, SimRelay, port, sdp};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";
const BROWSER: &str = "UDP/TLS/RTP/SAVPF";

fn fingerprint(byte: u8) -> Fingerprint {
    Fingerprint::new(FingerprintHash::Sha256, vec![byte; 32]).unwrap()
}

/// With a relay that shakes hands.
fn sim() -> Sim {
    let mut relay = SimRelay::new(1);
    relay.hello.fingerprints = fingerprints(0xee);
    Sim::with_relay(CONFIG, relay)
}

/// Of one certificate.
fn fingerprints(byte: u8) -> Vec<Fingerprint> {
    let of = |hash: FingerprintHash| Fingerprint::new(hash, vec![byte; hash.digest_len()]);
    FingerprintHash::ALL.into_iter().filter_map(of).collect()
}

fn secure(sdp: &str, setup: &str, byte: u8) -> String {
    let print = fingerprint(byte);
    let lines = format!("a=setup:{setup}\r\na=fingerprint:{print}\r\n");
    sdp.replace("RTP/AVP", BROWSER) + &lines
}

fn caller() -> String {
    sdp(CALLER, 4_000)
}

fn callee() -> String {
    sdp(CALLEE, 5_000)
}

fn offer<'a>(sdp: &'a str, profile: &'a str) -> Negotiation<'a> {
    Negotiation {
        transport_protocol: Some(profile.as_bytes()),
        ..Negotiation::new(b"c1", b"alice", sdp.as_bytes())
    }
}

fn line<'s>(sdp: &'s str, start: &str) -> Option<&'s str> {
    sdp.lines().find_map(|it| it.strip_prefix(start))
}

fn profile(sdp: &str) -> &str {
    line(sdp, "m=audio ").unwrap().split(' ').nth(1).unwrap()
}

/// What the relay is to do at an endpoint, and at that of its RTCP.
fn at(sim: &mut Sim, port: u16) -> Option<Dtls> {
    let dtls = sim.relay.at(port).dtls.clone();
    assert_eq!(sim.relay.at(port + 1).dtls, dtls, "RTCP has one of its own");
    dtls
}

fn dtls(role: DtlsRole, byte: u8) -> Option<Dtls> {
    Some(Dtls {
        role,
        fingerprint: fingerprint(byte),
        association: 0,
    })
}

#[test]
fn who_shakes_hands_calls_who_speaks_in_clear() {
    for (setup, words, role, told) in [
        ("actpass", &[][..], DtlsRole::Active, "active"),
        ("actpass", &[Word::Passive], DtlsRole::Passive, "passive"),
        ("active", &[], DtlsRole::Passive, "passive"),
        ("passive", &[], DtlsRole::Active, "active"),
    ] {
        let mut sim = sim();
        let browser = secure(&caller(), setup, 1);
        let mut offer = offer(&browser, "RTP/AVP");
        for word in words {
            offer.dtls.insert(*word);
        }
        let to_callee = sim.negotiate(&Command::Offer(offer));
        assert_eq!(profile(&to_callee), "RTP/AVP");
        for start in ["a=setup:", "a=fingerprint:", "a=tls-id:", "a=crypto:"] {
            assert_eq!(line(&to_callee, start), None);
        }
        for number in sim.relay.open_ports() {
            let dtls = &sim.relay.at(number).dtls;
            assert_eq!(*dtls, None, "the caller does not know of us");
        }
        let to_caller = sim.answer("c1", "alice", "bob", &callee());
        assert_eq!(profile(&to_caller), BROWSER);
        assert_eq!(line(&to_caller, "a=setup:"), Some(told));
        let ours = line(&to_caller, "a=fingerprint:").unwrap();
        assert!(ours.starts_with("sha-256 EE:EE:"), "{ours}");
        assert_eq!(line(&to_caller, "a=crypto:"), None);
        let (caller_port, callee_port) = (port(&to_caller, 0), port(&to_callee, 0));
        assert_eq!(at(&mut sim, caller_port), dtls(role, 1));
        assert_eq!(at(&mut sim, callee_port), None);
        let leaves = sim.relay.at(callee_port).rtp;
        assert_eq!(leaves.map(|it| it.number), Some(caller_port));
    }
}

#[test]
fn who_speaks_in_clear_calls_who_shakes_hands() {
    for (setup, role) in [("active", DtlsRole::Passive), ("passive", DtlsRole::Active)] {
        let mut sim = sim();
        let (plain, browser) = (caller(), secure(&callee(), setup, 2));
        let to_callee = sim.negotiate(&Command::Offer(offer(&plain, BROWSER)));
        assert_eq!(profile(&to_callee), BROWSER);
        assert_eq!(line(&to_callee, "a=setup:"), Some("actpass"));
        assert_eq!(line(&to_callee, "a=crypto:"), None);
        let callee_port = port(&to_callee, 0);
        assert_eq!(at(&mut sim, callee_port), None);
        assert_eq!(
            sim.relay.at(callee_port).rtp,
            None,
            "not before there is an answer"
        );
        let to_caller = sim.answer("c1", "alice", "bob", &browser);
        assert_eq!(profile(&to_caller), "RTP/AVP");
        assert_eq!(line(&to_caller, "a=fingerprint:"), None);
        assert_eq!(at(&mut sim, callee_port), dtls(role, 2));
        assert_eq!(at(&mut sim, port(&to_caller, 0)), None);
    }
}

#[test]
fn the_answer_chooses_between_keys_and_a_handshake() {
    for takes_keys in [true, false] {
        let mut sim = sim();
        let plain = caller();
        let to_callee = sim.negotiate(&Command::Offer(offer(&plain, "RTP/SAVP")));
        let key = line(&to_callee, "a=crypto:1 ").expect("keys are offered");
        assert_eq!(line(&to_callee, "a=setup:"), Some("actpass"));
        let answer = if takes_keys {
            callee().replace("RTP/AVP", "RTP/SAVP") + &format!("a=crypto:1 {key}\r\n")
        } else {
            secure(&callee(), "active", 2).replace(BROWSER, "RTP/SAVP")
        };
        sim.answer("c1", "alice", "bob", &answer);
        let callee_port = port(&to_callee, 0);
        let expected = dtls(DtlsRole::Passive, 2).filter(|_| !takes_keys);
        assert_eq!(at(&mut sim, callee_port), expected);
        assert_eq!(sim.relay.at(callee_port).keys.0.is_some(), takes_keys);
        // What was chosen is offered again, and nothing else.
        let again = sim.reoffer("c1", "alice", "bob", &plain);
        assert_eq!(line(&again, "a=crypto:").is_some(), takes_keys);
        assert_eq!(line(&again, "a=setup:").is_some(), !takes_keys);
        assert_eq!(at(&mut sim, callee_port), expected);
    }
}

#[test]
fn an_association_goes_on_until_another_is_meant() {
    let mut sim = sim();
    let (plain, browser) = (caller(), secure(&callee(), "active", 2));
    let first = sim.negotiate(&Command::Offer(offer(&plain, BROWSER)));
    sim.answer("c1", "alice", "bob", &browser);
    let callee_port = port(&first, 0);
    let before = at(&mut sim, callee_port);
    let again = sim.reoffer("c1", "alice", "bob", &plain);
    assert_eq!(line(&again, "a=tls-id:"), line(&first, "a=tls-id:"));
    sim.answer("c1", "alice", "bob", &browser);
    assert_eq!(at(&mut sim, callee_port), before);
    sim.reoffer("c1", "alice", "bob", &plain);
    sim.answer("c1", "alice", "bob", &secure(&callee(), "active", 3));
    let other = at(&mut sim, callee_port).unwrap();
    assert_eq!((other.fingerprint, other.association), (fingerprint(3), 1));
    sim.restart_relay();
    assert_eq!(at(&mut sim, callee_port).unwrap().association, 1);
}

#[test]
fn a_relay_with_another_certificate_has_other_associations_from_the_next_answer_on() {
    let mut sim = sim();
    let browser = secure(&caller(), "actpass", 1);
    let to_callee = sim.negotiate(&Command::Offer(offer(&browser, "RTP/AVP")));
    let to_caller = sim.answer("c1", "alice", "bob", &callee());
    let number = port(&to_caller, 0);
    let first = at(&mut sim, number);
    assert_eq!(first, dtls(DtlsRole::Active, 1));
    sim.relay.hello.fingerprints = fingerprints(0xdd);
    sim.restart_relay();
    assert_eq!(at(&mut sim, number), first);
    let again = sim.reoffer("c1", "alice", "bob", &browser);
    assert_eq!(port(&again, 0), port(&to_callee, 0));
    assert_eq!(at(&mut sim, number), first, "the caller knows nothing yet");
    let again = sim.answer("c1", "alice", "bob", &callee());
    let ours = line(&again, "a=fingerprint:").unwrap();
    assert!(ours.starts_with("sha-256 DD:DD:"), "{ours}");
    assert_ne!(line(&again, "a=tls-id:"), line(&to_caller, "a=tls-id:"));
    let second = at(&mut sim, number);
    assert_eq!(second.as_ref().map(|it| it.association), Some(1));
    // And the same where it is told of the new one by an offer.
    sim.relay.hello.fingerprints = fingerprints(0xcc);
    sim.restart_relay();
    let to_caller = sim.reoffer("c1", "bob", "alice", &callee());
    assert_ne!(line(&again, "a=tls-id:"), line(&to_caller, "a=tls-id:"));
    assert_eq!(at(&mut sim, number), second);
    sim.answer("c1", "bob", "alice", &secure(&caller(), "passive", 1));
    let third = at(&mut sim, number);
    assert_eq!(third.map(|it| it.association), Some(2));
    // With the same one nothing begins.
    let before = at(&mut sim, number);
    sim.restart_relay();
    sim.reoffer("c1", "bob", "alice", &callee());
    sim.answer("c1", "bob", "alice", &secure(&caller(), "passive", 1));
    assert_eq!(at(&mut sim, number), before);
}

#[test]
fn an_offer_changes_nothing_before_it_is_answered() {
    let mut sim = sim();
    let browser = secure(&caller(), "actpass", 1);
    sim.negotiate(&Command::Offer(offer(&browser, "RTP/AVP")));
    let to_caller = sim.answer("c1", "alice", "bob", &callee());
    let number = port(&to_caller, 0);
    for other in [
        secure(&caller(), "actpass", 2),
        caller().replace("RTP/AVP", "RTP/SAVP"),
        caller(),
    ] {
        let again = offer(&other, "RTP/AVP").to_tag(b"bob");
        sim.negotiate(&Command::Offer(again));
        assert_eq!(at(&mut sim, number), dtls(DtlsRole::Active, 1));
    }
    let to_caller = sim.answer("c1", "alice", "bob", &callee());
    assert_eq!(profile(&to_caller), "RTP/AVP");
    assert_eq!(at(&mut sim, number), None);
}

#[test]
fn who_holds_handshakes_that_begin_goes_on_with_what_stands() {
    let mut sim = sim();
    let browser = secure(&caller(), "actpass", 1);
    let to_callee = sim.negotiate(&Command::Offer(offer(&browser, "RTP/AVP")));
    let to_caller = sim.answer("c1", "alice", "bob", &callee());
    let ports = [port(&to_caller, 0), port(&to_callee, 0)];
    sim.reoffer("c1", "alice", "bob", &secure(&caller(), "holdconn", 1));
    let again = sim.answer("c1", "alice", "bob", &callee());
    assert_eq!(line(&again, "a=setup:"), Some("holdconn"));
    assert_eq!(line(&again, "a=tls-id:"), line(&to_caller, "a=tls-id:"));
    assert_eq!(at(&mut sim, ports[0]), dtls(DtlsRole::Active, 1));
    let leaves = sim.relay.at(ports[1]).rtp;
    assert_eq!(leaves.map(|it| it.number), Some(ports[0]));
}

/// Says what the one branch answers.
fn answer_of(sim: &mut Sim, branch: &str) -> String {
    let text = match branch {
        "phone" => callee(),
        _ => secure(&callee(), "active", 2),
    };
    let answer = Negotiation::new(b"c1", b"alice", text.as_bytes());
    sim.negotiate(&Command::Answer(Negotiation {
        via_branch: Some(branch.as_bytes()),
        ..answer.to_tag(branch.as_bytes())
    }))
}

#[test]
fn one_offer_may_go_to_who_shakes_hands_and_to_who_does_not() {
    let phone_first = [("phone", "RTP/AVP"), ("browser", BROWSER)];
    let browser_first = [("browser", BROWSER), ("phone", "RTP/AVP")];
    for (order, answers) in [
        (phone_first, ["phone", "browser"]),
        (phone_first, ["browser", "phone"]),
        (browser_first, ["phone", "browser"]),
        (browser_first, ["browser", "phone"]),
    ] {
        let mut sim = sim();
        let browser = secure(&caller(), "actpass", 1);
        let told = order.map(|(branch, its_profile)| {
            let told = sim.negotiate(&Command::Offer(Negotiation {
                via_branch: Some(branch.as_bytes()),
                ..offer(&browser, its_profile)
            }));
            assert_eq!(profile(&told), its_profile);
            (branch, port(&told, 0))
        });
        for branch in answers {
            let to_caller = answer_of(&mut sim, branch);
            let (_, its_port) = told.into_iter().find(|it| it.0 == branch).unwrap();
            let number = port(&to_caller, 0);
            assert_eq!(profile(&to_caller), BROWSER);
            let is_ours = branch == "phone";
            let known = if is_ours { 0xee } else { 2 };
            let known = fingerprint(known).to_string();
            assert_eq!(line(&to_caller, "a=fingerprint:"), Some(&known[..]));
            let expected = dtls(DtlsRole::Active, 1).filter(|_| is_ours);
            assert_eq!(at(&mut sim, number), expected);
            assert_eq!(at(&mut sim, its_port), None);
            let leaves = sim.relay.at(its_port).rtp;
            assert_eq!(leaves.map(|it| it.number), Some(number), "{branch}");
        }
    }
}

#[test]
fn two_who_both_would_shake_hands_with_one_another() {
    let mut sim = sim();
    let (alice, bob) = (
        secure(&caller(), "actpass", 1),
        secure(&callee(), "active", 2),
    );
    let to_callee = sim.offer("c1", "alice", &alice);
    let theirs = fingerprint(1).to_string();
    assert_eq!(line(&to_callee, "a=fingerprint:"), Some(&theirs[..]));
    let to_caller = sim.answer("c1", "alice", "bob", &bob);
    assert_eq!(line(&to_caller, "a=setup:"), Some("active"));
    assert_eq!(at(&mut sim, port(&to_caller, 0)), None);
    assert_eq!(at(&mut sim, port(&to_callee, 0)), None);
}

#[test]
fn there_are_no_handshakes_where_none_are_wanted_or_none_can_be() {
    let plain = caller();
    let mut off = offer(&plain, "RTP/SAVP");
    off.dtls.insert(Word::Off);
    let to_callee = sim().negotiate(&Command::Offer(off));
    assert_eq!(line(&to_callee, "a=fingerprint:"), None);
    assert!(line(&to_callee, "a=crypto:").is_some());
    let to_callee = Sim::new().negotiate(&Command::Offer(offer(&plain, "RTP/SAVP")));
    assert_eq!(line(&to_callee, "a=fingerprint:"), None);
}

#[test]
fn a_hash_function_may_be_asked_for_and_keys_left_out() {
    let plain = caller();
    let mut words = Words::default();
    words.insert(SdesWord::Off);
    let asked = Negotiation {
        dtls_fingerprint: Some(b"SHA-1"),
        sdes: Sdes {
            words,
            ..Sdes::default()
        },
        ..offer(&plain, "RTP/SAVP")
    };
    let to_callee = sim().negotiate(&Command::Offer(asked));
    assert_eq!(line(&to_callee, "a=crypto:"), None);
    let ours = line(&to_callee, "a=fingerprint:").unwrap();
    assert!(ours.starts_with("sha-1 EE:"), "{ours}");
}

#[test]
fn the_port_of_who_shakes_hands_stays_though_the_other_moves() {
    let mut sim = sim();
    let plain = caller();
    let to_callee = sim.negotiate(&Command::Offer(offer(&plain, BROWSER)));
    sim.answer("c1", "alice", "bob", &secure(&callee(), "passive", 2));
    let number = port(&to_callee, 0);
    let moved = sdp(CALLER, 4_444);
    for flag in [Flag::Asymmetric, Flag::NoPortLatching] {
        let again = offer(&moved, BROWSER).to_tag(b"bob").flag(flag);
        let again = sim.negotiate(&Command::Offer(again));
        assert_eq!(port(&again, 0), number);
        assert_eq!(line(&again, "a=tls-id:"), line(&to_callee, "a=tls-id:"));
        assert_eq!(at(&mut sim, number), dtls(DtlsRole::Active, 2));
    }
}

#[test]
fn ports_of_before_begin_no_handshakes() {
    let mut sim = sim();
    let to_callee = sim.offer("c1", "alice", &caller());
    sim.answer("c1", "alice", "bob", &callee());
    let moved = sdp(CALLER, 4_444);
    let again = offer(&moved, BROWSER).to_tag(b"bob");
    let again = sim.negotiate(&Command::Offer(again));
    sim.answer("c1", "alice", "bob", &secure(&callee(), "passive", 2));
    let [former, number] = [&to_callee, &again].map(|it| port(it, 0));
    assert_ne!(number, former);
    assert_eq!(at(&mut sim, number), dtls(DtlsRole::Active, 2));
    assert_eq!(at(&mut sim, former), dtls(DtlsRole::Passive, 2));
}

#[test]
fn rtcp_of_who_shakes_hands_is_read_like_that_of_others() {
    let browser = secure(&caller(), "actpass", 1) + "a=rtcp-fb:* nack\r\n";
    for makes_reports in [false, true] {
        let mut sim = sim();
        let mut asked = offer(&browser, "RTP/AVP");
        asked.generate_rtcp = makes_reports.then_some(Switch::On);
        let to_callee = sim.negotiate(&Command::Offer(asked));
        let plain = callee();
        let answered = Negotiation::new(b"c1", b"alice", plain.as_bytes());
        let mut answered = answered.to_tag(b"bob");
        answered.generate_rtcp = makes_reports.then_some(Switch::On);
        let to_caller = sim.negotiate(&Command::Answer(answered));
        let [caller, callee] = [&to_caller, &to_callee].map(|it| port(it, 0) + 1);
        let [caller, callee] = [caller, callee].map(|it| sim.relay.at(it).on_rtcp);
        if makes_reports {
            assert!(matches!(caller, OnRtcp::Answer { .. }), "{caller:?}");
            assert!(matches!(callee, OnRtcp::Answer { .. }), "{callee:?}");
        } else {
            assert_eq!([caller, callee], [OnRtcp::PassReports, OnRtcp::Pass]);
        }
    }
}

#[test]
fn who_shakes_hands_is_told_so_again() {
    let mut sim = sim();
    let browser = secure(&caller(), "actpass", 1);
    sim.negotiate(&Command::Offer(offer(&browser, "RTP/AVP")));
    let to_caller = sim.answer("c1", "alice", "bob", &callee());
    let number = port(&to_caller, 0);
    let create = |word: Option<Word>| {
        let mut party = Negotiation::new(b"c1", b"alice", b"");
        word.into_iter().for_each(|it| {
            party.dtls.insert(it);
        });
        Command::Create(Create {
            party,
            ..Create::default()
        })
    };
    let again = sim.negotiate(&create(None));
    assert_eq!((profile(&again), port(&again, 0)), (BROWSER, number));
    assert_eq!(line(&again, "a=setup:"), Some("actpass"));
    for start in ["a=fingerprint:", "a=tls-id:"] {
        assert_eq!(line(&again, start), line(&to_caller, start));
    }
    assert_eq!(at(&mut sim, number), dtls(DtlsRole::Active, 1));
    let other = secure(&caller(), "active", 3);
    let answer = Negotiation::new(b"c1", b"alice", other.as_bytes());
    sim.ask(&Command::CreateAnswer(answer), |reply| {
        assert!(reply.is_ok(), "{:?}", reply.error_reason());
    });
    let expected = dtls(DtlsRole::Passive, 3).map(|it| Dtls {
        association: 1,
        ..it
    });
    assert_eq!(at(&mut sim, number), expected);
    assert_eq!(sim.refusal(&create(Some(Word::Off))), "unsupported");
}

#[test]
fn a_section_that_was_refused_begins_anew() {
    let mut sim = sim();
    let plain = caller();
    let first = sim.negotiate(&Command::Offer(offer(&plain, BROWSER)));
    let answer = secure(&callee(), "active", 2);
    sim.answer("c1", "alice", "bob", &answer);
    let refused = |text: &str, port: &str| text.replace(port, "m=audio 0 ");
    sim.reoffer("c1", "alice", "bob", &refused(&plain, "m=audio 4000 "));
    sim.answer("c1", "alice", "bob", &refused(&answer, "m=audio 5000 "));
    assert!(sim.relay.open_ports().is_empty());
    let again = sim.negotiate(&Command::Offer(offer(&plain, BROWSER).to_tag(b"bob")));
    assert_ne!(line(&again, "a=tls-id:"), line(&first, "a=tls-id:"));
    sim.answer("c1", "alice", "bob", &answer);
    let number = port(&again, 0);
    assert_eq!(at(&mut sim, number), dtls(DtlsRole::Passive, 2));
}
