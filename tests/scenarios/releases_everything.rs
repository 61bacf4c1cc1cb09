//! A thousand calls later, nothing of them is left.

use std::time::Duration;

use tandem_tests::{
    Daemon, NgClient, RtpEndpoint, Site, Tandem, TwoPhones, Value, offer_sdp, sdp_endpoint, until,
};

/// Calls that stand at the same time.
const BATCH: usize = 100;

/// Batches over ng.
const BATCHES: usize = 9;

/// Calls over SIP.
const SIP_CALLS: usize = 100;

/// Packets from each end of each call.
const PACKETS: u16 = 3;

/// The same in the first batch: enough that every receive buffer of the relay (4,096 of each
/// worker, a little more than 8,000 in all) was in use once, so that none of them counts as growth.
const PACKETS_FIRST: u16 = 60;

/// Time that a packet may take.
const PACKET_LIMIT: Duration = Duration::from_secs(5);

/// KiB that a daemon may have grown by: what its caches of finished business may hold, and far
/// less than a thousand calls in progress would take.
const GROWTH_KIB_MAX: u64 = 6 * 1_024;

#[test]
fn a_thousand_finished_calls_leave_no_port_descriptor_or_flow() {
    expect_all_released(0);
}

#[test]
fn a_thousand_finished_calls_leave_as_many_idle_ports_as_may_be() {
    expect_all_released(IDLE_PORTS);
}

/// What a batch leaves is more than this, of each worker.
const IDLE_PORTS: usize = 200;

fn expect_all_released(idle_ports: usize) {
    let site = Site::new();
    let tandem = Tandem::start_with(&site, |file| {
        file.relay.idle_sockets_max = u32::try_from(idle_ports).expect("they are few");
    });
    let mut phones = TwoPhones::new(&site, &tandem);
    let client = NgClient::new(tandem.ng());
    let ends: Vec<[RtpEndpoint; 2]> = (0..BATCH)
        .map(|_| [20, 21].map(|host| RtpEndpoint::new(site.ip(host))))
        .collect();

    // The first of everything: tables and pools take their size.
    run_batch(&tandem, &client, &ends, 0, PACKETS_FIRST);
    call_over_sip(&mut phones, 5);
    assert_released(&tandem, idle_ports);
    let before = usage(&tandem);

    for batch in 1..=BATCHES {
        run_batch(&tandem, &client, &ends, batch, PACKETS);
    }
    call_over_sip(&mut phones, SIP_CALLS);
    assert_released(&tandem, idle_ports);
    for (daemon, [descriptors, rss_kib]) in daemons(&tandem).into_iter().zip(before) {
        let process = daemon.process();
        // A connection of the command line may take a moment to be closed.
        until("descriptors are closed", Duration::from_secs(5), || {
            process.fd_count() as u64 <= descriptors
        });
        let growth = process.rss_kib().saturating_sub(rss_kib);
        assert!(growth <= GROWTH_KIB_MAX, "grew by {growth} KiB");
    }
    tandem.await_records(SIP_CALLS + 5);
    tandem.stop();
}

/// Ports that are open though they belong to no call.
const PORTS_IDLE: &str = "/relay/report/counters/ports_idle";

/// A hundred calls at once: each is set up, carries packets both ways, and is deleted.
fn run_batch(
    tandem: &Tandem,
    client: &NgClient,
    ends: &[[RtpEndpoint; 2]],
    batch: usize,
    packets: u16,
) {
    let ids: Vec<String> = (0..ends.len())
        .map(|call| format!("{batch}-{call}"))
        .collect();
    let calls = ends.iter().zip(&ids);
    let relay: Vec<_> = calls.map(|(ends, id)| set_up(client, id, ends)).collect();
    assert_eq!(tandem.call_count(), ends.len());
    let in_use = tandem.media_ports().len() as u64 - tandem.count(PORTS_IDLE);
    assert_eq!(in_use, 4 * ends.len() as u64);
    for sequence in 0..packets {
        for (ends, relay) in ends.iter().zip(&relay) {
            ends[0].send(relay[0], sequence);
            ends[1].send(relay[1], sequence);
        }
        for end in ends.iter().flatten() {
            let packet = end.receive(PACKET_LIMIT);
            assert_eq!(packet.map(|packet| packet.sequence), Some(sequence));
        }
    }
    for id in &ids {
        let reply = client.request("delete", &[("call-id", id), ("delete-delay", "0")]);
        assert_ok(&reply);
        let counted = reply.integer(&["totals", "RTP", "packets"]);
        assert_eq!(counted, Some(2 * i64::from(packets)), "{reply:?}");
    }
}

/// Offer and answer. Gives where each end is to send to.
fn set_up(client: &NgClient, id: &str, ends: &[RtpEndpoint; 2]) -> [std::net::SocketAddr; 2] {
    let [offer, answer] = ends.each_ref().map(|end| offer_sdp(end, 1, "sendrecv"));
    let call = [("call-id", id), ("from-tag", "a")];
    let offered = client.request("offer", &[&call[..], &[("sdp", &offer)]].concat());
    assert_ok(&offered);
    let answer = [("to-tag", "b"), ("sdp", answer.as_str())];
    let answered = client.request("answer", &[&call[..], &answer].concat());
    assert_ok(&answered);
    [answered, offered].map(|reply| sdp_endpoint(reply.text("sdp")))
}

#[track_caller]
fn assert_ok(reply: &Value) {
    assert_eq!(reply.text("result"), "ok", "{reply:?}");
}

fn call_over_sip(phones: &mut TwoPhones, count: usize) {
    for _ in 0..count {
        let mut call = phones.connect();
        for sequence in 0..PACKETS {
            call.ends[0].send(call.relay[0], sequence);
            call.ends[1].send(call.relay[1], sequence);
        }
        for end in &call.ends {
            assert!((0..PACKETS).all(|_| end.receive(PACKET_LIMIT).is_some()));
        }
        phones.hang_up(&mut call);
    }
}

/// By the kernel's account and by the daemons' own.
fn assert_released(tandem: &Tandem, idle_ports: usize) {
    until("everything is released", Duration::from_secs(10), || {
        let of_kernel = tandem.media_ports().len() == idle_ports;
        let of_control = tandem.call_count() == 0;
        of_kernel && of_control
    });
    for gauge in ["calls", "endpoints", "counters/buffers_leased"] {
        let path = format!("/relay/report/{gauge}");
        assert_eq!(tandem.count(&path), 0, "{gauge} of the relay");
    }
    assert_eq!(tandem.count(PORTS_IDLE), idle_ports as u64);
    assert_eq!(tandem.count("/sip-proxy/report/now/calls"), 0);
}

/// Descriptors and memory of each daemon.
fn usage(tandem: &Tandem) -> [[u64; 2]; 3] {
    daemons(tandem).map(|daemon| {
        let process = daemon.process();
        [process.fd_count() as u64, process.rss_kib()]
    })
}

fn daemons(tandem: &Tandem) -> [&Daemon; 3] {
    [tandem.relay(), tandem.control(), tandem.sip_proxy()]
}
