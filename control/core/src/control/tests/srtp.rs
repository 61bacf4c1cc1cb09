//! Keys of SRTP in offers and answers (RFC 4568), and what the relay does with them.

use std::time::Duration;

use control_ng::{Command, Flag, Flags, Negotiation, Osrtp, Sdes, SdesWord, Words};
use relay_wire::{Crypto, CryptoSuite};

use crate::sdp::KeyLine;
use crate::tests::{CONFIG, Sim, SimRelay, port, sdp};
use crate::{Config, Transcode};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";

const ALICE: &str = "AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const BOB: &str = "AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";
const BOB_SHORT: &str = "AES_CM_128_HMAC_SHA1_32 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";

fn with_keys(sdp: &str, profile: &str, keys: &[String]) -> String {
    let lines = keys.iter().map(|it| format!("a=crypto:{it}\r\n"));
    sdp.replace("RTP/AVP", profile) + &lines.collect::<String>()
}

fn caller(profile: &str, keys: &[String]) -> String {
    with_keys(&sdp(CALLER, 4_000), profile, keys)
}

fn callee(profile: &str, keys: &[String]) -> String {
    with_keys(&sdp(CALLEE, 5_000), profile, keys)
}

fn one(tag: u32, key: &str) -> Vec<String> {
    vec![format!("{tag} {key}")]
}

fn offer<'a>(sdp: &'a str) -> Negotiation<'a> {
    Negotiation::new(b"c1", b"alice", sdp.as_bytes())
}

fn answer<'a>(sdp: &'a str) -> Negotiation<'a> {
    offer(sdp).to_tag(b"bob")
}

/// The lines of keys, as far as they can be read.
fn keys(sdp: &str) -> Vec<KeyLine> {
    let lines = sdp.lines().filter_map(|it| it.strip_prefix("a=crypto:"));
    lines
        .map(|it| KeyLine::parse(it.as_bytes()).expect(it))
        .collect()
}

fn key(text: &str) -> Crypto {
    KeyLine::parse(format!("1 {text}").as_bytes())
        .unwrap()
        .crypto
}

fn profile(sdp: &str) -> &str {
    let media = sdp.lines().find(|it| it.starts_with("m=")).unwrap();
    media.split(' ').nth(2).unwrap()
}

/// What an endpoint and that of its RTCP decrypt and encrypt with.
fn at(sim: &mut Sim, port: u16) -> (Option<Crypto>, Option<Crypto>) {
    let keys = sim.relay.at(port).keys.clone();
    assert_eq!(sim.relay.at(port + 1).keys, keys, "RTCP has the same");
    keys
}

#[test]
fn who_encrypts_talks_to_who_does_not() {
    let mut sim = Sim::new();
    let plain = caller("RTP/SAVP", &one(1, ALICE));
    let plain = Negotiation {
        transport_protocol: Some(b"RTP/AVP"),
        ..offer(&plain)
    };
    let to_callee = sim.negotiate(&Command::Offer(plain));
    assert_eq!(
        (profile(&to_callee), keys(&to_callee).len()),
        ("RTP/AVP", 0)
    );
    let to_caller = sim.answer("c1", "alice", "bob", &callee("RTP/AVP", &[]));
    assert_eq!(profile(&to_caller), "RTP/SAVP");
    let told = keys(&to_caller);
    assert_eq!((told.len(), told[0].tag), (1, 1));
    assert_eq!(told[0].crypto.suite, CryptoSuite::AesCm128HmacSha1_80);
    let expected = (Some(key(ALICE)), Some(told[0].crypto.clone()));
    assert_eq!(at(&mut sim, port(&to_caller, 0)), expected);
    assert_eq!(at(&mut sim, port(&to_callee, 0)), (None, None));
}

#[test]
fn who_does_not_encrypt_talks_to_who_does() {
    let mut sim = Sim::new();
    let plain = caller("RTP/AVP", &[]);
    let secret = Negotiation {
        transport_protocol: Some(b"RTP/SAVP"),
        ..offer(&plain)
    };
    let to_callee = sim.negotiate(&Command::Offer(secret));
    let told = keys(&to_callee);
    let suites: Vec<_> = told.iter().map(|it| it.crypto.suite).collect();
    assert_eq!(suites, CryptoSuite::ALL);
    // Nothing leaves in clear for who is to encrypt, and the other way round.
    let callee_port = port(&to_callee, 0);
    assert_eq!(sim.relay.at(callee_port).rtp, None);
    let to_caller = sim.answer("c1", "alice", "bob", &callee("RTP/SAVP", &one(7, BOB)));
    assert_eq!(
        (profile(&to_caller), keys(&to_caller).len()),
        ("RTP/AVP", 0)
    );
    let expected = (Some(key(BOB)), Some(told[6].crypto.clone()));
    assert_eq!(at(&mut sim, callee_port), expected);
    assert_eq!(at(&mut sim, port(&to_caller, 0)), (None, None));
    assert!(sim.relay.at(callee_port).rtp.is_some());
}

#[test]
fn who_have_each_others_keys_are_left_alone() {
    for recrypts in [false, true] {
        let flags = if recrypts {
            Flags::default().with(Flag::Recrypt)
        } else {
            Flags::default()
        };
        let mut sim = Sim::new();
        let sdp_in = caller("RTP/SAVP", &one(1, ALICE));
        let offered = Negotiation {
            flags,
            ..offer(&sdp_in)
        };
        let to_callee = sim.negotiate(&Command::Offer(offered));
        let told = keys(&to_callee);
        assert_eq!((told.len(), &told[0].crypto), (12, &key(ALICE)));
        let tags: Vec<_> = told.iter().map(|it| it.tag).collect();
        assert_eq!(tags, (1..=12).collect::<Vec<_>>());
        let to_caller = sim.answer("c1", "alice", "bob", &callee("RTP/SAVP", &one(1, BOB)));
        assert_eq!(keys(&to_caller)[0].crypto, key(BOB));
        let both = |one, other| recrypts.then(|| (key(one), key(other))).unzip();
        assert_eq!(at(&mut sim, port(&to_caller, 0)), both(ALICE, BOB));
        assert_eq!(at(&mut sim, port(&to_callee, 0)), both(BOB, ALICE));
    }
}

#[test]
fn a_new_key_is_told_to_the_other() {
    let new = BOB.replace("PS1u", "QS1u");
    for (is_static, told) in [(false, &new[..]), (true, BOB)] {
        let mut sim = Sim::new();
        let sdp_in = caller("RTP/SAVP", &one(1, ALICE));
        sim.offer("c1", "alice", &sdp_in);
        sim.answer("c1", "alice", "bob", &callee("RTP/SAVP", &one(1, BOB)));
        sim.reoffer("c1", "alice", "bob", &sdp_in);
        let said = callee("RTP/SAVP", &one(1, &new));
        let mut said = answer(&said);
        if is_static {
            said.sdes.words = Words::default().with(SdesWord::Static);
        }
        let to_caller = sim.negotiate(&Command::Answer(said));
        assert_eq!(keys(&to_caller)[0].crypto, key(told));
        let passes = (None, None);
        let both = (Some(key(ALICE)), Some(key(BOB)));
        let expected = if is_static { both } else { passes };
        assert_eq!(at(&mut sim, port(&to_caller, 0)), expected);
    }
}

/// Keys of the relay's own towards one party stay, whatever the other comes to.
#[test]
fn a_new_key_of_another_suite_is_told_to_nobody() {
    let mut sim = Sim::new();
    let sdp_in = caller("RTP/SAVP", &one(1, ALICE));
    let short = keys(&sim.offer("c1", "alice", &sdp_in)).swap_remove(7);
    let said = callee("RTP/SAVP", &one(short.tag, BOB_SHORT));
    let before = keys(&sim.answer("c1", "alice", "bob", &said));
    sim.reoffer("c1", "alice", "bob", &sdp_in);
    let again = said.replace("PS1u", "QS1u");
    let to_caller = sim.answer("c1", "alice", "bob", &again);
    assert_eq!(keys(&to_caller), before);
    let expected = (Some(key(ALICE)), Some(before[0].crypto.clone()));
    assert_eq!(at(&mut sim, port(&to_caller, 0)), expected);
}

#[test]
fn each_who_answers_takes_what_it_likes() {
    let mut sim = Sim::new();
    let to_callee = sim.offer("c1", "alice", &caller("RTP/SAVP", &one(1, ALICE)));
    let short = keys(&to_callee).swap_remove(7);
    let number = port(&to_callee, 0);
    sim.answer("c1", "alice", "bob", &callee("RTP/SAVP", &one(1, BOB)));
    assert_eq!(at(&mut sim, number), (None, None));
    sim.restart_control();
    let said = callee("RTP/SAVP", &one(short.tag, BOB_SHORT));
    sim.answer("c1", "alice", "bob", &said);
    let expected = (Some(key(BOB_SHORT)), Some(short.crypto));
    assert_eq!(at(&mut sim, number), expected);
    assert!(sim.relay.at(number).rtp.is_some());
    sim.answer("c1", "alice", "bob", &callee("RTP/SAVP", &one(1, BOB)));
    assert_eq!(at(&mut sim, number), (None, None));
}

#[test]
fn keys_that_nobody_has_taken_go_when_nobody_answers_any_more() {
    let mut sim = Sim::new();
    let to_callee = sim.offer("c1", "alice", &caller("RTP/SAVP", &one(1, ALICE)));
    let told = keys(&to_callee);
    let number = port(&to_callee, 0);
    let kept = |sim: &Sim| {
        let record = &sim.relay.calls.values().next().unwrap().record;
        let is_kept = |it: &&KeyLine| {
            let key = it.crypto.key_and_salt.as_bytes();
            record.windows(key.len()).any(|at| at == key)
        };
        told.iter().filter(is_kept).count()
    };
    let (first, second) = (one(1, BOB), one(told[7].tag, BOB_SHORT));
    sim.answer("c1", "alice", "bob", &callee("RTP/SAVP", &first));
    sim.sleep(Duration::from_secs(299));
    assert_eq!((told.len(), kept(&sim)), (12, 12));
    sim.answer("c1", "alice", "bob", &callee("RTP/SAVP", &second));
    let agreed = (Some(key(BOB_SHORT)), Some(told[7].crypto.clone()));
    assert_eq!(at(&mut sim, number), agreed);
    sim.sleep(Duration::from_secs(299));
    assert_eq!(kept(&sim), 12);
    sim.sleep(Duration::from_secs(1));
    assert_eq!(kept(&sim), 2, "the caller's, and the one that was taken");
    assert_eq!(at(&mut sim, number), agreed);
    sim.restart_control();
    sim.restart_relay();
    assert_eq!(kept(&sim), 2);
    assert_eq!(at(&mut sim, number), agreed);
    sim.reoffer("c1", "alice", "bob", &caller("RTP/SAVP", &one(1, ALICE)));
    sim.answer("c1", "alice", "bob", &callee("RTP/SAVP", &second));
    assert_eq!(at(&mut sim, number), agreed);
}

/// The relay goes on with what it has counted with them then.
#[test]
fn keys_come_back_when_a_change_is_taken_back() {
    let config = Config {
        transcode: Transcode::WhenNeeded,
        ..CONFIG
    };
    let mut sim = Sim::with_relay(config, SimRelay::new(1));
    let plain = caller("RTP/AVP", &[]);
    let offered = Negotiation {
        transport_protocol: Some(b"RTP/SAVP"),
        ..offer(&plain)
    };
    let to_callee = sim.negotiate(&Command::Offer(offered));
    let short = keys(&to_callee).swap_remove(7);
    let number = port(&to_callee, 0);
    sim.answer("c1", "alice", "bob", &callee("RTP/SAVP", &one(7, BOB)));
    let before = at(&mut sim, number);
    sim.relay.is_overloaded = true;
    let said = callee("RTP/SAVP", &one(short.tag, BOB_SHORT));
    let said = said.replace("RTP/SAVP 0 8 101", "RTP/SAVP 9");
    let reason = sim.refusal(&Command::Answer(answer(&said)));
    assert_eq!(reason, "Ran out of ports");
    assert_eq!(at(&mut sim, number), before);
    sim.relay.is_overloaded = false;
    sim.negotiate(&Command::Answer(answer(&said)));
    let expected = (Some(key(BOB_SHORT)), Some(short.crypto));
    assert_eq!(at(&mut sim, number), expected);
    assert!(sim.relay.at(number).transcoding.is_some());
}

#[test]
fn who_takes_another_suite_is_encrypted_for_anew() {
    let mut sim = Sim::new();
    let to_callee = sim.offer("c1", "alice", &caller("RTP/SAVP", &one(1, ALICE)));
    let told = keys(&to_callee).swap_remove(7);
    let sdp_in = callee("RTP/SAVP", &one(told.tag, BOB_SHORT));
    let to_caller = sim.answer("c1", "alice", "bob", &sdp_in);
    let own = keys(&to_caller).swap_remove(0);
    assert_eq!((own.tag, own.crypto.suite), (1, key(ALICE).suite));
    assert_ne!(own.crypto.key_and_salt, key(BOB).key_and_salt);
    let expected = (Some(key(BOB_SHORT)), Some(told.crypto));
    assert_eq!(at(&mut sim, port(&to_callee, 0)), expected);
    let expected = (Some(key(ALICE)), Some(own.crypto));
    assert_eq!(at(&mut sim, port(&to_caller, 0)), expected);
}

#[test]
fn keys_stay_when_the_same_is_offered_again_and_until_something_else_is_agreed_on() {
    let mut sim = Sim::new();
    let plain = caller("RTP/AVP", &[]);
    let offered = || Negotiation {
        transport_protocol: Some(b"RTP/SAVP"),
        ..offer(&plain)
    };
    let to_callee = sim.negotiate(&Command::Offer(offered()));
    let said = callee("RTP/SAVP", &one(7, BOB));
    sim.answer("c1", "alice", "bob", &said);
    let number = port(&to_callee, 0);
    let before = at(&mut sim, number);
    let again = sim.negotiate(&Command::Offer(offered().to_tag(b"bob")));
    assert_eq!(at(&mut sim, number), before, "an offer changes nothing yet");
    assert_eq!(Some(keys(&again)[0].crypto.clone()), before.1);
    sim.answer("c1", "alice", "bob", &said);
    assert_eq!(at(&mut sim, number), before);
    // The other way round, too: it is told what it was told.
    let to_caller = sim.reoffer("c1", "bob", "alice", &said);
    assert_eq!(
        (profile(&to_caller), keys(&to_caller).len()),
        ("RTP/AVP", 0)
    );
    let to_callee = sim.answer("c1", "bob", "alice", &plain);
    assert_eq!(profile(&to_callee), "RTP/SAVP");
    assert_eq!(Some(keys(&to_callee)[0].crypto.clone()), before.1);
    assert_eq!(at(&mut sim, number), before);
    let declined = sim.negotiate(&Command::Offer(offered().to_tag(b"bob")));
    sim.answer("c1", "alice", "bob", &callee("RTP/AVP", &[]));
    assert_eq!(at(&mut sim, port(&declined, 0)), (None, None));
}

#[test]
fn keys_outlive_control() {
    let mut sim = Sim::new();
    let sdp_in = caller("RTP/SAVP", &one(1, ALICE));
    let plain = Negotiation {
        transport_protocol: Some(b"RTP/AVP"),
        ..offer(&sdp_in)
    };
    sim.negotiate(&Command::Offer(plain.clone()));
    let to_caller = sim.answer("c1", "alice", "bob", &callee("RTP/AVP", &[]));
    let number = port(&to_caller, 0);
    let before = at(&mut sim, number);
    sim.restart_control();
    assert_eq!(at(&mut sim, number), before);
    sim.negotiate(&Command::Offer(plain.clone().to_tag(b"bob")));
    let again = sim.answer("c1", "alice", "bob", &callee("RTP/AVP", &[]));
    assert_eq!(keys(&again), keys(&to_caller));
    assert_eq!(at(&mut sim, number), before);
    sim.restart_relay();
    assert_eq!(
        at(&mut sim, number),
        before,
        "in a relay that knows nothing"
    );
}

#[test]
fn suites_are_left_out_and_put_in_order() {
    let mut sim = Sim::new();
    let sdp_in = caller("RTP/SAVP", &one(1, ALICE));
    let offered = |sdes: Sdes<'static>| Negotiation {
        sdes,
        ..offer(&sdp_in)
    };
    let only = Sdes {
        only: vec![b"AEAD_AES_256_GCM", b"nonsense"],
        no: vec![b"AEAD_AES_256_GCM"],
        ..Sdes::default()
    };
    let told = keys(&sim.negotiate(&Command::Offer(offered(only))));
    assert_eq!(
        (told.len(), told[0].crypto.suite),
        (1, CryptoSuite::AeadAes256Gcm)
    );
    let mut sim = Sim::new();
    let order = Sdes {
        no: vec![b"NULL_HMAC_SHA1_80", b"NULL_HMAC_SHA1_32"],
        order: vec![b"AES_CM_128_HMAC_SHA1_32", b"AES_CM_128_HMAC_SHA1_80"],
        words: Words::default().with(SdesWord::Lifetime),
        ..Sdes::default()
    };
    let to_callee = sim.negotiate(&Command::Offer(offered(order)));
    let told = keys(&to_callee);
    assert_eq!(told.len(), 10);
    assert_eq!(told[0].crypto.suite, CryptoSuite::AesCm128HmacSha1_32);
    assert_eq!(told[1].crypto, key(ALICE));
    assert_eq!(to_callee.matches("|2^31").count(), 10);
    let mut sim = Sim::new();
    let no_new = Sdes {
        words: Words::default().with(SdesWord::NoNew),
        ..Sdes::default()
    };
    let told = keys(&sim.negotiate(&Command::Offer(offered(no_new))));
    assert_eq!(told.len(), 1);
}

/// What an operator asks for who wants no key on both sides.
#[test]
fn parties_that_are_given_different_suites_have_no_key_in_common() {
    let mut sim = Sim::new();
    let sdp_in = caller("RTP/SAVP", &one(1, ALICE));
    let mut offered = offer(&sdp_in).flag(Flag::Recrypt);
    offered.sdes.no = vec![b"AES_CM_128_HMAC_SHA1_80"];
    let to_callee = sim.negotiate(&Command::Offer(offered));
    let short = keys(&to_callee);
    let short = short
        .iter()
        .find(|it| it.crypto.suite == key(BOB_SHORT).suite);
    let short = short.unwrap().clone();
    let said = callee("RTP/SAVP", &one(short.tag, BOB_SHORT));
    let to_caller = sim.answer("c1", "alice", "bob", &said);
    let ours = keys(&to_caller).swap_remove(0).crypto;
    let at_caller = (Some(key(ALICE)), Some(ours.clone()));
    assert_eq!(at(&mut sim, port(&to_caller, 0)), at_caller);
    let at_callee = (Some(key(BOB_SHORT)), Some(short.crypto.clone()));
    assert_eq!(at(&mut sim, port(&to_callee, 0)), at_callee);
    let all = [key(ALICE), ours, key(BOB_SHORT), short.crypto];
    for (at, one) in all.iter().enumerate() {
        let same = all
            .iter()
            .position(|it| it.key_and_salt == one.key_and_salt);
        assert_eq!(same, Some(at));
    }
}

#[test]
fn parameters_are_asked_for_in_offers() {
    let mut sim = Sim::new();
    let plain = caller("RTP/AVP", &[]);
    let offered = Negotiation {
        transport_protocol: Some(b"RTP/SAVP"),
        sdes: Sdes {
            words: Words::default().with(SdesWord::UnencryptedSrtcp),
            ..Sdes::default()
        },
        ..offer(&plain)
    };
    for line in keys(&sim.negotiate(&Command::Offer(offered))) {
        let crypto = line.crypto;
        assert_eq!(crypto.rtcp_is_clear, !crypto.suite.is_aead());
        assert!(!crypto.rtp_is_clear && !crypto.rtp_is_unauthenticated);
    }
}

#[test]
fn srtp_that_may_be_declined_is() {
    for (osrtp, told) in [
        (Words::default(), 0),
        (Words::default().with(Osrtp::Accept), 1),
    ] {
        let mut sim = Sim::new();
        let to_callee = sim.offer("c1", "alice", &caller("RTP/AVP", &one(1, ALICE)));
        assert_eq!(
            (profile(&to_callee), keys(&to_callee).len()),
            ("RTP/AVP", 12)
        );
        let declined = callee("RTP/AVP", &[]);
        let declined = Negotiation {
            osrtp,
            ..answer(&declined)
        };
        let to_caller = sim.negotiate(&Command::Answer(declined));
        assert_eq!(
            (profile(&to_caller), keys(&to_caller).len()),
            ("RTP/AVP", told)
        );
        let number = port(&to_caller, 0);
        assert_eq!(at(&mut sim, number).0, (told == 1).then(|| key(ALICE)));
        assert!(sim.relay.at(number).rtp.is_some());
        assert_eq!(at(&mut sim, port(&to_callee, 0)), (None, None));
    }
}

#[test]
fn srtp_that_may_be_declined_is_offered_and_taken() {
    let mut sim = Sim::new();
    let plain = caller("RTP/AVP", &[]);
    let offered = Negotiation {
        osrtp: Words::default().with(Osrtp::Offer),
        ..offer(&plain)
    };
    let to_callee = sim.negotiate(&Command::Offer(offered));
    assert_eq!(
        (profile(&to_callee), keys(&to_callee).len()),
        ("RTP/AVP", 12)
    );
    let to_caller = sim.answer("c1", "alice", "bob", &callee("RTP/AVP", &one(7, BOB)));
    assert_eq!(
        (profile(&to_caller), keys(&to_caller).len()),
        ("RTP/AVP", 0)
    );
    let expected = (Some(key(BOB)), Some(keys(&to_callee)[6].crypto.clone()));
    assert_eq!(at(&mut sim, port(&to_callee, 0)), expected);
    assert_eq!(at(&mut sim, port(&to_caller, 0)), (None, None));
}

#[test]
fn keys_that_nobody_asked_for_are_not_taken() {
    let mut sim = Sim::new();
    let to_callee = sim.offer("c1", "alice", &caller("RTP/AVP", &[]));
    let to_caller = sim.answer("c1", "alice", "bob", &callee("RTP/AVP", &one(1, BOB)));
    assert_eq!(
        (profile(&to_caller), keys(&to_caller).len()),
        ("RTP/AVP", 0)
    );
    assert_eq!(at(&mut sim, port(&to_callee, 0)), (None, None));
    assert!(sim.relay.at(port(&to_callee, 0)).rtp.is_some());
}

#[test]
fn what_cannot_be_read_passes_as_it_is() {
    let unknown = "a=crypto:1 AES_CM_512_HMAC_SHA1_80 inline:abc";
    let handshake = "a=setup:actpass\r\na=fingerprint:sha-256 AA";
    for (profile_in, secret) in [("RTP/SAVP", unknown), ("UDP/TLS/RTP/SAVPF", handshake)] {
        let mut sim = Sim::new();
        let sdp_in = caller(profile_in, &[]) + secret + "\r\n";
        let plain = Negotiation {
            transport_protocol: Some(b"RTP/AVP"),
            ..offer(&sdp_in)
        };
        let to_callee = sim.negotiate(&Command::Offer(plain));
        assert_eq!(profile(&to_callee), profile_in);
        assert!(to_callee.contains(secret), "{to_callee}");
        let said = callee(profile_in, &[]) + secret + "\r\n";
        let to_caller = sim.answer("c1", "alice", "bob", &said);
        assert!(to_caller.contains(secret), "{to_caller}");
        let number = port(&to_caller, 0);
        assert_eq!(at(&mut sim, number), (None, None));
        assert!(sim.relay.at(number).rtp.is_some());
    }
}

#[test]
fn keys_do_not_outlive_a_change_to_a_handshake() {
    let mut sim = Sim::new();
    let sdp_in = caller("RTP/SAVP", &one(1, ALICE));
    sim.negotiate(&Command::Offer(offer(&sdp_in).flag(Flag::Recrypt)));
    let to_caller = sim.answer("c1", "alice", "bob", &callee("RTP/SAVP", &one(1, BOB)));
    let number = port(&to_caller, 0);
    assert!(at(&mut sim, number).0.is_some());
    let handshake = "a=setup:active\r\na=fingerprint:sha-256 AA\r\n";
    let both = sdp_in + handshake;
    let to_callee = sim.reoffer("c1", "alice", "bob", &both);
    let said = callee("RTP/SAVP", &[]) + handshake;
    sim.answer("c1", "alice", "bob", &said);
    assert_eq!(at(&mut sim, number), (None, None));
    assert_eq!(at(&mut sim, port(&to_callee, 0)), (None, None));
}

#[test]
fn what_nobody_knows_is_left_out_of_what_is_known() {
    let mut sim = Sim::new();
    let both = [
        "1 AES_CM_512_HMAC_SHA1_80 inline:abc".to_owned(),
        format!("2 {ALICE}"),
        String::new(),
    ];
    let to_callee = sim.offer("c1", "alice", &caller("RTP/SAVP", &both));
    let told = keys(&to_callee);
    assert_eq!((told.len(), told[0].tag), (12, 2));
}

#[test]
fn who_is_to_hear_more_than_the_other_party_is_encrypted_for() {
    let mut sim = Sim::new();
    let to_callee = sim.offer("c1", "alice", &caller("RTP/SAVP", &one(1, ALICE)));
    let said = callee("RTP/SAVP", &one(1, BOB));
    let to_caller = sim.answer("c1", "alice", "bob", &said);
    assert_eq!(at(&mut sim, port(&to_caller, 0)), (None, None));
    let reports = caller("RTP/SAVP", &one(1, ALICE));
    let reports = offer(&reports).to_tag(b"bob").flag(Flag::GenerateRtcp);
    sim.negotiate(&Command::Offer(reports));
    sim.answer("c1", "alice", "bob", &said);
    let expected = (Some(key(ALICE)), Some(key(BOB)));
    assert_eq!(at(&mut sim, port(&to_caller, 0)), expected);
    let expected = (Some(key(BOB)), Some(key(ALICE)));
    assert_eq!(at(&mut sim, port(&to_callee, 0)), expected);
}

#[test]
fn who_has_two_sections_for_one_medium_is_told_of_two() {
    let mut sim = Sim::new();
    let secret = "m=audio 4002 RTP/SAVP 0 8\r\na=crypto:1 ".to_owned() + ALICE + "\r\n";
    let both = caller("RTP/AVP", &[]) + &secret;
    let offered = Negotiation {
        osrtp: Words::default().with(Osrtp::Accept),
        transport_protocol: Some(b"RTP/AVP"),
        ..offer(&both)
    };
    let media = |sdp: &str| {
        let lines = sdp.lines().filter(|it| it.starts_with("m="));
        lines
            .map(|it| it.split(' ').nth(2).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let to_callee = sim.negotiate(&Command::Offer(offered));
    assert_eq!(media(&to_callee), ["RTP/AVP"]);
    let to_caller = sim.answer("c1", "alice", "bob", &callee("RTP/AVP", &[]));
    assert_eq!(media(&to_caller), ["RTP/AVP", "RTP/SAVP"]);
    assert_eq!((port(&to_caller, 0), keys(&to_caller).len()), (0, 1));
    let number = port(&to_caller, 1);
    let remote = sim.relay.at(number).remote.unwrap();
    assert_eq!(remote.port(), 4_002);
    assert_eq!(at(&mut sim, number).0, Some(key(ALICE)));
    // Asked by the other one it says so again, whatever the request says.
    let again = sim.reoffer("c1", "bob", "alice", &callee("RTP/AVP", &[]));
    assert_eq!(media(&again), ["RTP/AVP", "RTP/SAVP"]);
    let refused = both.replace("m=audio 4000", "m=audio 0");
    let to_callee = sim.answer("c1", "bob", "alice", &refused);
    assert_eq!(media(&to_callee), ["RTP/AVP"]);
    assert_eq!(at(&mut sim, number).0, Some(key(ALICE)));
}
