//! Deletes, queries and what ends by itself.

use std::time::Duration;

use control_ng::{
    Command, Delete, Event, Flag, Flags, Message, Negotiation, Query, Support, Value,
};

use crate::tests::{CONFIG, Sim, SimRelay, port, sdp};
use crate::{Config, EndReason, Notice};

const CALLER: &str = "192.0.2.10";
const CALLEE: &str = "198.51.100.20";

fn call(sim: &mut Sim) {
    sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
}

/// Two forks, of which none has answered.
fn forked(sim: &mut Sim) -> Vec<u16> {
    let sdp_in = sdp(CALLER, 4_000);
    let branches = [&b"z9hG4bK1"[..], b"z9hG4bK2"];
    let forks = branches.map(|branch| {
        let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
        port(&sim.negotiate(&Command::Offer(offer.via_branch(branch))), 0)
    });
    forks.to_vec()
}

fn delete() -> Delete<'static> {
    Delete {
        call_id: b"c1",
        ..Delete::default()
    }
}

fn codec_of(reply: &control_ng::Reply<'_>, tag: &str) -> Option<String> {
    let tags = reply.dictionary().get("tags")?.as_dictionary()?;
    let medias = tags.get(tag)?.as_dictionary()?.get("medias")?;
    let media = medias.as_list()?.first()?.as_dictionary()?;
    Some(media.get("codec")?.as_str()?.to_owned())
}

#[test]
fn a_delete_closes_everything_and_counts() {
    let mut sim = Sim::new();
    call(&mut sim);
    let caller = sim.reoffer("c1", "bob", "alice", &sdp(CALLEE, 5_000));
    sim.relay.at(port(&caller, 0)).packets = 50;
    let deletion = Delete {
        from_tag: Some(b"alice"),
        ..delete()
    };
    sim.ask(&Command::Delete(deletion), |reply| {
        assert!(reply.is_ok() && reply.warning().is_none());
        assert_eq!(reply.totals().unwrap().rtp.packets, 50);
        assert_eq!(reply.received_from(b"alice").unwrap().rtp.packets, 50);
        assert_eq!(reply.received_from(b"alice").unwrap().rtp.bytes, 50 * 172);
        assert_eq!(reply.received_from(b"bob").unwrap().rtp.packets, 0);
        let sources = reply.dictionary().get("SSRC").unwrap();
        let sources = sources.as_dictionary().unwrap();
        let (_, source) = sources.iter().next().unwrap();
        let source = source.as_dictionary().unwrap();
        for (key, count) in [
            ("packets", 50),
            ("cumulative loss", 50),
            ("last RTP timestamp", 160),
            ("last RTP seq", 65_600),
        ] {
            assert_eq!(source.get(key).unwrap().as_integer(), Some(count), "{key}");
        }
        let quality = source.get("average MOS").unwrap();
        let quality = quality.as_dictionary().unwrap();
        for (key, count) in [("jitter", 2), ("packet loss", 50)] {
            assert_eq!(quality.get(key).unwrap().as_integer(), Some(count), "{key}");
        }
        assert!(quality.get("MOS").is_some());
        assert_eq!(quality.get("samples").unwrap().as_integer(), Some(1));
        // Kamailio's `$avp`s of MOS are read from these, too.
        let progression = source.get("MOS progression").unwrap();
        let progression = progression.as_dictionary().unwrap();
        let entries = progression.get("entries").unwrap().as_list().unwrap();
        let (lowest, highest) = (source.get("lowest MOS"), source.get("highest MOS"));
        for sample in [lowest.unwrap(), highest.unwrap(), &entries[0]] {
            let sample = sample.as_dictionary().unwrap();
            for key in ["MOS", "jitter", "packet loss"] {
                assert_eq!(sample.get(key), quality.get(key), "{key}");
            }
            let at = sample.get("reported at").unwrap().as_integer();
            assert_eq!(at, Some(1_700_000_000));
        }
        assert_eq!(codec_of(reply, "alice").as_deref(), Some("PCMA/8000"));
        assert_eq!(codec_of(reply, "bob"), None);
        assert!(reply.dictionary().get("created").is_some());
        assert!(reply.dictionary().get("last signal").is_some());
    });
    assert!(sim.relay.calls.is_empty());
    assert_eq!(sim.control.call_count(), 0);
    sim.sleep(Duration::from_secs(6));
    sim.offer("c2", "alice", &sdp(CALLER, 4_000));
    assert_eq!(sim.port_usage().0, 2, "the old ports are free again");
}

#[test]
fn a_delete_of_nothing_is_fine_unless_it_is_fatal() {
    let mut sim = Sim::new();
    let text = "Call-ID not found or tags didn't match";
    sim.ask(&Command::Delete(delete()), |reply| {
        assert!(reply.is_ok());
        assert_eq!(reply.warning().unwrap(), text);
    });
    let fatal = Delete {
        flags: Flags::default().with(Flag::Fatal),
        ..delete()
    };
    assert_eq!(sim.refusal(&Command::Delete(fatal)), text);
    call(&mut sim);
    let stranger = Delete {
        from_tag: Some(b"carol"),
        ..delete()
    };
    sim.ask(&Command::Delete(stranger), |reply| {
        assert!(reply.warning().is_some());
    });
    assert_eq!(sim.control.call_count(), 1);
}

#[test]
fn the_callees_bye_ends_the_call_too() {
    let mut sim = Sim::new();
    call(&mut sim);
    let bye = Delete {
        from_tag: Some(b"bob"),
        to_tag: Some(b"alice"),
        ..delete()
    };
    sim.ask(&Command::Delete(bye), |reply| {
        assert!(reply.warning().is_none())
    });
    assert!(sim.relay.calls.is_empty());
}

#[test]
fn a_fast_delete_says_only_ok() {
    let mut sim = Sim::new();
    call(&mut sim);
    let fast = Delete {
        flags: Flags::default().with(Flag::Fast),
        ..delete()
    };
    sim.ask(&Command::Delete(fast), |reply| {
        assert!(reply.is_ok());
        assert_eq!(reply.dictionary().len(), 1);
    });
}

#[test]
fn deleting_one_fork_leaves_the_other_and_deleting_the_last_ends_the_call() {
    let mut sim = Sim::new();
    let forks = forked(&mut sim);
    let branch = |name: &'static [u8]| {
        Command::Delete(Delete {
            from_tag: Some(b"alice"),
            via_branch: Some(name),
            ..delete()
        })
    };
    sim.ask(&branch(b"z9hG4bK1"), |reply| {
        assert!(reply.totals().is_some())
    });
    assert_eq!(sim.pairs_open(), 2);
    assert!(!sim.relay.open_ports().contains(&forks[0]));
    // Said again, it must not hit the fork that rings.
    sim.ask(&branch(b"z9hG4bK1"), |reply| {
        assert!(reply.warning().is_some())
    });
    assert_eq!(sim.pairs_open(), 2);
    let answer = Negotiation::new(
        b"c1",
        b"alice",
        b"v=0\r\nc=IN IP4 198.51.100.20\r\nm=audio 5000 RTP/AVP 0\r\n",
    );
    let answer = answer.to_tag(b"bob").via_branch(b"z9hG4bK2");
    let caller = port(&sim.negotiate(&Command::Answer(answer)), 0);
    assert_eq!(sim.relay.at(caller).rtp.unwrap().number, forks[1]);
    sim.ask(&branch(b"z9hG4bK2"), |reply| assert!(reply.is_ok()));
    assert!(sim.relay.calls.is_empty());
}

#[test]
fn a_hangup_of_a_forked_call_takes_the_forks_along() {
    let mut sim = Sim::new();
    forked(&mut sim);
    let answer = sdp(CALLEE, 5_000);
    let answer = Negotiation::new(b"c1", b"alice", answer.as_bytes());
    let answer = answer.to_tag(b"bob").via_branch(b"z9hG4bK1");
    sim.negotiate(&Command::Answer(answer));
    let bye = Delete {
        from_tag: Some(b"bob"),
        ..delete()
    };
    sim.ask(&Command::Delete(bye), |reply| assert!(reply.is_ok()));
    assert!(sim.relay.calls.is_empty());
}

#[test]
fn with_the_flag_the_to_tag_names_the_party() {
    let mut sim = Sim::new();
    let forks = forked(&mut sim);
    for (branch, tag) in [(&b"z9hG4bK1"[..], &b"bob1"[..]), (b"z9hG4bK2", b"bob2")] {
        let answer = sdp(CALLEE, 5_000);
        let answer = Negotiation::new(b"c1", b"alice", answer.as_bytes());
        sim.negotiate(&Command::Answer(answer.to_tag(tag).via_branch(branch)));
    }
    let one = Delete {
        from_tag: Some(b"alice"),
        to_tag: Some(b"bob2"),
        flags: Flags::default().with(Flag::ToTag),
        ..delete()
    };
    sim.ask(&Command::Delete(one), |reply| assert!(reply.is_ok()));
    assert_eq!(sim.pairs_open(), 2);
    let caller = sim
        .relay
        .at(forks[0])
        .rtp
        .expect("the other is heard again");
    assert_eq!(sim.relay.at(caller.number).rtp.unwrap().number, forks[0]);
}

#[test]
fn a_delayed_delete_happens_later_unless_the_call_goes_on() {
    let mut sim = Sim::new();
    call(&mut sim);
    let later = Delete {
        delay_s: Some(30),
        ..delete()
    };
    sim.ask(&Command::Delete(later.clone()), |reply| {
        assert!(reply.totals().is_some());
    });
    sim.sleep(Duration::from_secs(29));
    assert_eq!(sim.relay.calls.len(), 1);
    sim.sleep(Duration::from_secs(2));
    assert!(sim.relay.calls.is_empty());
    assert_eq!(sim.control.call_count(), 0);

    call(&mut sim);
    sim.ask(&Command::Delete(later), |reply| assert!(reply.is_ok()));
    sim.sleep(Duration::from_secs(10));
    sim.reoffer("c1", "alice", "bob", &sdp(CALLER, 4_000));
    sim.sleep(Duration::from_secs(60));
    assert_eq!(sim.relay.calls.len(), 1, "the offer took the delete back");
}

#[test]
fn an_offer_that_nobody_answers_gives_its_ports_back() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    sim.sleep(Duration::from_secs(179));
    assert_eq!(sim.relay.calls.len(), 1);
    sim.sleep(Duration::from_secs(2));
    assert!(sim.relay.calls.is_empty());
    assert!(sim.notices.contains(&Notice::CallEnded {
        call_id: "c1".to_owned(),
        reason: EndReason::OfferTimeout
    }));
    call(&mut sim);
    sim.sleep(Duration::from_secs(600));
    assert_eq!(sim.relay.calls.len(), 1, "this one was answered");
}

#[test]
fn a_query_tells_of_parties_by_tag() {
    let mut sim = Sim::new();
    call(&mut sim);
    let query = |from_tag| {
        Command::Query(Query {
            call_id: b"c1",
            from_tag,
            to_tag: None,
        })
    };
    let tags = |reply: &control_ng::Reply<'_>| {
        let tags = reply.dictionary().get("tags").unwrap();
        let tags = tags.as_dictionary().unwrap();
        tags.iter().map(|(tag, _)| tag.to_vec()).collect::<Vec<_>>()
    };
    let all = sim.ask(&query(None), tags);
    assert_eq!(all, [b"alice".to_vec(), b"bob".to_vec()]);
    assert_eq!(sim.ask(&query(Some(b"bob")), tags), [b"bob".to_vec()]);
    let unknown = Query {
        call_id: b"c9",
        ..Query::default()
    };
    assert_eq!(sim.refusal(&Command::Query(unknown)), "Unknown call-id");
    assert_eq!(sim.relay.calls.len(), 1);
}

#[test]
fn silence_ends_the_call_tells_the_client_and_keeps_the_counts() {
    let mut sim = Sim::new();
    let sdp_in = sdp(CALLER, 4_000);
    let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
    let out = sim.negotiate(&Command::Offer(offer.supports(Support::Events)));
    sim.relay.at(port(&out, 0)).packets = 9;
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));

    sim.media_timeout();
    assert!(sim.relay.calls.is_empty());
    sim.sleep(Duration::from_millis(1));
    let (to, datagram) = sim.sent.pop_front().unwrap();
    assert_eq!(to, sim.client);
    let message = Message::split(&datagram).unwrap();
    let document = Value::parse(message.body).unwrap();
    let call_id = b"c1";
    assert_eq!(
        Event::parse(&document),
        Some(Event::MediaTimeout { call_id })
    );
    sim.sleep(Duration::from_millis(1_500));
    assert_eq!(sim.sent.pop_front().unwrap().1, datagram, "repeated");
    sim.send(&Event::acknowledge(message.cookie));
    sim.sleep(Duration::from_secs(5));
    assert!(sim.sent.is_empty());

    sim.ask(&Command::Delete(delete()), |reply| {
        assert!(reply.warning().is_none());
        assert_eq!(reply.totals().unwrap().rtp.packets, 9);
    });
    sim.ask(&Command::Delete(delete()), |reply| {
        assert!(reply.warning().is_some())
    });
}

/// What the client is told beyond that there are no media.
fn reason_told(sim: &mut Sim) -> Option<Vec<u8>> {
    sim.sleep(Duration::from_millis(1));
    let (_, datagram) = sim.sent.pop_front().expect("it is told");
    let message = Message::split(&datagram).unwrap();
    let document = Value::parse(message.body).unwrap();
    let call_id = b"c1";
    let event = Event::MediaTimeout { call_id };
    assert_eq!(Event::parse(&document), Some(event));
    sim.send(&Event::acknowledge(message.cookie));
    let reason = document.as_dictionary().unwrap().get("reason")?;
    reason.as_bytes().map(<[u8]>::to_vec)
}

/// A call of a client that wants to be told, after its answer; with lines in both SDPs.
fn watched_call(sim: &mut Sim, attributes: &str) {
    let sdp_in = sdp(CALLER, 4_000) + attributes;
    let offer = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
    sim.negotiate(&Command::Offer(offer.supports(Support::Events)));
    sim.answer("c1", "alice", "bob", &(sdp(CALLEE, 5_000) + attributes));
}

#[test]
fn a_call_that_was_never_heard_or_was_held_for_too_long_ends_for_that_reason() {
    use relay_wire::Event as RelayEvent;
    let heard = |call| RelayEvent::MediaTimeout { call };
    let never_heard = |call| RelayEvent::FirstPacketTimeout { call };
    let mut sim = Sim::new();
    watched_call(&mut sim, "");
    sim.relay_event(never_heard);
    let reason = reason_told(&mut sim);
    assert_eq!(reason.as_deref(), Some(&b"first packet timeout"[..]));

    watched_call(&mut sim, "a=inactive\r\n");
    sim.relay_event(heard);
    let reason = reason_told(&mut sim);
    assert_eq!(reason.as_deref(), Some(&b"silent timeout"[..]));

    watched_call(&mut sim, "");
    sim.relay_event(heard);
    assert_eq!(reason_told(&mut sim), None, "the usual one needs no reason");
    assert!(sim.relay.calls.is_empty());
    let counters = sim.control.counters();
    let counts = [
        counters.first_packet_timeouts,
        counters.silent_timeouts,
        counters.media_timeouts,
    ];
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn the_wait_for_the_first_packet_begins_with_the_answer_and_rests_on_hold() {
    let mut sim = Sim::new();
    let wait = |sim: &Sim| {
        sim.relay
            .calls
            .values()
            .next()
            .unwrap()
            .first_packet_timeout_ms
    };
    sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    assert_eq!(wait(&sim), 0);
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    assert_eq!(wait(&sim), 15_000);
    let held = sdp(CALLER, 4_000) + "a=inactive\r\n";
    sim.reoffer("c1", "alice", "bob", &held);
    sim.answer(
        "c1",
        "alice",
        "bob",
        &(sdp(CALLEE, 5_000) + "a=inactive\r\n"),
    );
    assert_eq!(wait(&sim), 0);
}

#[test]
fn a_call_that_is_there_for_too_long_ends_and_the_client_is_told() {
    let config = Config {
        final_timeout_s: 7_200,
        ..CONFIG
    };
    let mut sim = Sim::with_relay(config, SimRelay::new(1));
    watched_call(&mut sim, "");
    sim.sleep(Duration::from_secs(7_199));
    assert_eq!(sim.relay.calls.len(), 1);
    sim.sleep(Duration::from_secs(1));
    assert!(sim.relay.calls.is_empty());
    let reason = reason_told(&mut sim);
    assert_eq!(reason.as_deref(), Some(&b"final timeout"[..]));
    assert_eq!(sim.control.counters().final_timeouts, 1);
}

#[test]
fn a_client_that_knows_no_events_is_not_told() {
    let mut sim = Sim::new();
    call(&mut sim);
    sim.media_timeout();
    sim.sleep(Duration::from_secs(10));
    assert!(sim.sent.is_empty());
    assert_eq!(sim.control.counters().media_timeouts, 1);
    assert_eq!(sim.control.call_count(), 0);
    let query = Query {
        call_id: b"c1",
        ..Query::default()
    };
    let query = Command::Query(query);
    sim.ask(&query, |reply| assert!(reply.totals().is_some()));
    sim.sleep(Duration::from_secs(60));
    assert_eq!(sim.refusal(&query), "Unknown call-id", "not for ever");
}

#[test]
fn an_ended_call_may_begin_anew() {
    let mut sim = Sim::new();
    call(&mut sim);
    sim.media_timeout();
    call(&mut sim);
    assert_eq!(sim.relay.calls.len(), 1);
    assert_eq!(sim.port_usage().0, 4, "those of the old one rest");
    sim.sleep(Duration::from_secs(100));
    assert_eq!(sim.relay.calls.len(), 1);
    assert_eq!(sim.port_usage().0, 2);
}

#[test]
fn ports_of_many_finished_calls_are_all_given_back() {
    let config = Config {
        calls_max: 1_000,
        ..CONFIG
    };
    let mut sim = Sim::with_relay(config, SimRelay::new(2));
    for n in 0..1_000 {
        let name = format!("call{n}");
        sim.offer(&name, "alice", &sdp(CALLER, 4_000));
        sim.answer(&name, "alice", "bob", &sdp(CALLEE, 5_000));
        let whole = Delete {
            call_id: name.as_bytes(),
            ..Delete::default()
        };
        sim.ask(&Command::Delete(whole), |reply| assert!(reply.is_ok()));
        sim.sleep(Duration::from_millis(500));
    }
    assert!(sim.relay.calls.is_empty());
    assert_eq!(sim.control.call_count(), 0);
    let (used, _) = sim.port_usage();
    assert!(used < 40, "only the last ones rest: {used}");
    assert_eq!(sim.control.counters().calls_ended, 1_000);
}

#[test]
fn a_party_is_counted_under_each_of_its_tags() {
    let mut sim = Sim::new();
    let out = sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    sim.answer("c1", "alice", "voicemail", &sdp(CALLEE, 5_000));
    sim.relay.at(port(&out, 0)).packets = 7;
    sim.ask(&Command::Delete(delete()), |reply| {
        for tag in [&b"bob"[..], b"voicemail"] {
            assert_eq!(reply.received_from(tag).unwrap().rtp.packets, 7);
        }
        assert!(reply.received_from(b"carol").is_none());
    });
}

#[test]
fn a_reply_that_no_datagram_holds_leaves_the_parties_out() {
    let mut sim = Sim::new();
    let media = "m=audio 4002 RTP/AVP 0\r\n".repeat(15);
    let sdp_in = sdp(CALLER, 4_000) + &media;
    let branches: Vec<_> = (0..7).map(|n| n.to_string().repeat(2_000)).collect();
    for branch in &branches[..2] {
        let fork = Negotiation::new(b"c1", b"alice", sdp_in.as_bytes());
        sim.negotiate(&Command::Offer(fork.via_branch(branch.as_bytes())));
    }
    let query = Query {
        call_id: b"c1",
        ..Query::default()
    };
    let tags = |reply: &control_ng::Reply<'_>| {
        assert!(reply.totals().is_some());
        reply
            .dictionary()
            .get("tags")
            .unwrap()
            .as_dictionary()
            .unwrap()
            .len()
    };
    assert_eq!(sim.ask(&Command::Query(query.clone()), tags), 3);
    let narrow = sdp(CALLER, 4_000);
    for branch in &branches[2..] {
        let long = branch.repeat(6);
        let fork = Negotiation::new(b"c1", b"alice", narrow.as_bytes());
        sim.ask(&Command::Offer(fork.via_branch(long.as_bytes())), |_| {});
    }
    assert_eq!(sim.ask(&Command::Query(query), tags), 0);
}

#[test]
fn a_phone_may_ring_without_media_after_a_provisional_answer() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    let early = sdp(CALLEE, 5_000);
    let early = Negotiation::new(b"c1", b"alice", early.as_bytes()).to_tag(b"bob");
    sim.negotiate(&Command::Answer(early.flag(Flag::Provisional)));
    let timeout = |sim: &Sim| sim.relay.calls.values().next().unwrap().media_timeout_ms;
    assert_eq!(timeout(&sim), 0);
    sim.sleep(Duration::from_secs(100));
    sim.answer("c1", "alice", "bob", &sdp(CALLEE, 5_000));
    assert_eq!(timeout(&sim), 60_000);
    sim.sleep(Duration::from_secs(300));
    assert_eq!(sim.control.call_count(), 1);
}

#[test]
fn an_offer_with_only_a_provisional_answer_still_times_out() {
    let mut sim = Sim::new();
    sim.offer("c1", "alice", &sdp(CALLER, 4_000));
    let early = sdp(CALLEE, 5_000);
    let early = Negotiation::new(b"c1", b"alice", early.as_bytes()).to_tag(b"bob");
    sim.negotiate(&Command::Answer(early.flag(Flag::Provisional)));
    sim.sleep(Duration::from_secs(181));
    assert!(sim.relay.calls.is_empty());
}
