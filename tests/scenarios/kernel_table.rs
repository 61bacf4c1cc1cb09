//! Plain calls that the kernel forwards by itself: all that holds for others holds for them.

mod interfaces;

use std::net::{IpAddr, SocketAddr};
use std::thread::sleep;
use std::time::Duration;

use relay_xdp::testing::{pass_everything, why_not};
use rustix::net::netdevice::name_to_index;
use tandem_settings::{File, KernelTable, Xdp};
use tandem_tests::{
    Anchored, Internet, MediaReport, Namespace, NgClient, Party, RtpEndpoint, Site, Stage, Tandem,
    Value, converse, meet, public_ip, skip, tool, until,
};

/// Time that something has that must happen.
const LIMIT: Duration = Duration::from_secs(30);

/// Where the cable to the relay's host ends, which is plugged in first.
const RELAYS_PORT: &str = "port0";

/// The first number of a stream: it wraps soon.
const FIRST: u16 = 65_500;

/// Whether the kernel can do it here; if not, that is said.
fn is_possible() -> bool {
    if !Namespace::are_possible() {
        return false;
    }
    let why_not = Namespace::new().within(|| why_not().map(|it| it.to_string()));
    if let Some(reason) = &why_not {
        skip(&format!(
            "the kernel does not forward by itself here: {reason}"
        ));
    }
    why_not.is_none()
}

fn switch_on(file: &mut File) {
    file.relay.kernel_table = KernelTable::On;
    file.relay.kernel_table_xdp = Xdp::Native;
}

/// Has the other end of the relay's cable take what programs send.
fn prepare(internet: &Internet) {
    internet.within_switch(|| take_what_programs_send(RELAYS_PORT));
}

/// Has a cable's end of this namespace run a program.
fn take_what_programs_send(device: &str) {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a namespace has sockets");
    let index = name_to_index(&socket, device).expect("the cable is there");
    let link = pass_everything(index).expect("root may run programs");
    // It stays until the namespace is gone.
    std::mem::forget(link);
}

/// Two phones in the open that have met.
struct Scene<'a> {
    phones: [RtpEndpoint; 2],
    call: Anchored<'a>,
}

/// What the relay says of both directions of the first call.
struct Counted {
    packets: [i64; 2],
    by_kernel: i64,
    flows: i64,
}

impl<'a> Scene<'a> {
    fn new(internet: &Internet, client: &'a NgClient) -> Self {
        Self::on(internet, client, |_| ())
    }

    /// The same, after something was done to each host.
    fn on(internet: &Internet, client: &'a NgClient, settle: impl Fn(&Namespace)) -> Self {
        let phones = [2, 3].map(|number| {
            let host = internet.host(number);
            settle(&host);
            phone(&host, public_ip(number))
        });
        let parties = phones.each_ref().map(|it| Party::at(it.address()));
        Self::between(phones, parties.each_ref(), client)
    }

    fn between(phones: [RtpEndpoint; 2], parties: [&Party; 2], client: &'a NgClient) -> Self {
        let call = Anchored::new(client, "kernel", parties);
        let sent = meet(phones.each_ref(), call.relay, FIRST).wrapping_sub(FIRST);
        until("all of that is counted", LIMIT, || {
            count(client).packets == [i64::from(sent); 2]
        });
        Self { phones, call }
    }

    /// Both talk until the kernel has forwarded so many packets more.
    fn talk(self, client: &NgClient, packets: i64) -> (Self, [MediaReport; 2]) {
        self.talk_on(client, packets, || {})
    }

    /// The same, and then for as long as `during` runs.
    fn talk_on(
        self,
        client: &NgClient,
        packets: i64,
        during: impl FnOnce(),
    ) -> (Self, [MediaReport; 2]) {
        let Self { phones, call } = self;
        let before = count(client).by_kernel;
        let (phones, reports) = converse(phones, call.relay, || {
            until("the kernel forwards", LIMIT, || {
                count(client).by_kernel >= before + packets
            });
            during();
        });
        for (heard, sent) in [(0, 1), (1, 0)] {
            assert_all_came(&reports[heard], &reports[sent], call.relay[heard]);
        }
        (Self { phones, call }, reports)
    }
}

fn phone(host: &Namespace, ip: IpAddr) -> RtpEndpoint {
    host.within(|| RtpEndpoint::new(ip))
}

/// All came once and untouched. Not always in order: while a flow goes into the kernel or renews its
/// lease, a packet that waits for the relay may be overtaken.
#[track_caller]
fn assert_all_came(report: &MediaReport, other: &MediaReport, relay: SocketAddr) {
    let mut report = report.clone();
    report.received.sort_by_key(|it| it.sequence);
    report.assert_heard_all_of(other, relay);
}

/// Asks for the call, so that what the kernel has counted is fetched, and for all counters.
fn count(client: &NgClient) -> Counted {
    let call = client.request("query", &[("call-id", "kernel")]);
    let packets = ["caller", "callee"].map(|tag| {
        let leg = call.find("tags").and_then(|it| it.find(tag));
        let stream = leg.and_then(|leg| {
            let media = leg.find("medias")?.entries().next()?;
            media.find("streams")?.entries().next()
        });
        let packets = stream.and_then(|it| it.integer(&["stats", "packets"]));
        packets.unwrap_or_else(|| panic!("no packets of {tag} in {call:?}"))
    });
    let reply = client.request("statistics", &[]);
    let counters = reply.find("statistics").unwrap_or(&reply);
    let counter = |name| counters.integer(&["relay", "counters", name]);
    Counted {
        packets,
        by_kernel: counter("kernel_packets").expect("the table is on"),
        flows: counter("kernel_flows").expect("the table is on"),
    }
}

#[test]
fn a_plain_call_is_forwarded_by_the_kernel_and_nobody_sees_a_difference() {
    if !is_possible() {
        return;
    }
    Stage::play(switch_on, |stage| {
        prepare(stage.internet);
        let permitted = stage.tandem.relay().process().permitted();
        assert!(permitted.iter().all(|it| *it == 0), "none is needed now");
        let scene = Scene::new(stage.internet, stage.client);
        let before = count(stage.client).packets;
        let (scene, reports) = scene.talk_on(stage.client, 300, || {
            until("there is one flow in each direction", LIMIT, || {
                count(stage.client).flows == 2
            });
        });
        let after = count(stage.client);
        for (side, report) in reports.iter().enumerate() {
            let counted = after.packets[side] - before[side];
            assert_eq!(counted, i64::from(report.sent), "all are counted, once");
        }
        let sent: i64 = reports.iter().map(|it| i64::from(it.sent)).sum();
        assert!(
            after.by_kernel < sent,
            "those that came first went another way"
        );

        // On hold nothing is forwarded, and nothing is in the table.
        let Scene { phones, mut call } = scene;
        let parties = phones.each_ref().map(|it| Party::at(it.address()));
        let nowhere = SocketAddr::new([0, 0, 0, 0].into(), phones[0].address().port());
        call.renew(0, [&Party::at(nowhere), &parties[1]]);
        assert_eq!(count(stage.client).flows, 0);
        // And back.
        call.renew(0, parties.each_ref());
        meet(phones.each_ref(), call.relay, 40_000);
        let (scene, _) = Scene { phones, call }.talk(stage.client, 100);
        scene.call.end();
        assert_eq!(stage.count("kernel_flows"), 0, "nothing stays behind");
    });
}

#[test]
fn a_phone_that_moves_is_followed_out_of_the_kernel() {
    if !is_possible() {
        return;
    }
    Stage::play(switch_on, |stage| {
        prepare(stage.internet);
        let scene = Scene::new(stage.internet, stage.client);
        let (scene, reports) = scene.talk(stage.client, 100);
        let Scene {
            phones: [old, other],
            call,
        } = scene;
        let host = stage.internet.host(4);
        let moved = host.within(|| RtpEndpoint::new(public_ip(4)));
        let moved = moved.with_ssrc(old.ssrc());
        let mut sequence = reports[0].sent;
        until("the phone is heard from elsewhere", LIMIT, || {
            moved.send(call.relay[0], sequence);
            sequence += 1;
            other.receive(Duration::from_millis(20)).is_some()
        });
        assert_eq!(call.remote(0).0, moved.address());
        other.clear();
        // What the other says goes there as well, though the kernel knew better.
        other.send(call.relay[1], reports[1].sent);
        assert!(moved.receive(LIMIT).is_some_and(|it| other.has_sent(&it)));
        assert_eq!(old.receive(Duration::ZERO), None);
        call.end();
        assert_eq!(stage.count("kernel_flows"), 0);
    });
}

/// As any interface can, whatever its driver; and nothing has to run at the other end of the cable.
#[test]
fn behind_the_driver_the_same_is_forwarded() {
    if !is_possible() || tool("ethtool").is_none() {
        return;
    }
    let switch_on = |file: &mut File| {
        file.relay.kernel_table = KernelTable::Auto;
        file.relay.kernel_table_xdp = Xdp::Auto;
    };
    Stage::play(switch_on, |stage| {
        let scene = Scene::on(stage.internet, stage.client, write_sums);
        let (scene, _) = scene.talk(stage.client, 300);
        scene.call.end();
        assert_eq!(stage.count("kernel_flows"), 0);
    });
}

/// Has a host write the checksums of what it sends, as a phone's packets have them; on a cable within
/// one machine nobody would. Those without go through the sockets.
fn write_sums(host: &Namespace) {
    let words = ["-K", "net", "tx", "off"];
    let output = host.within(|| std::process::Command::new("ethtool").args(words).output());
    let output = output.expect("it is installed");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn silence_in_the_kernel_is_noticed_and_media_there_is_not_silence() {
    if !is_possible() {
        return;
    }
    Stage::play(
        |file| {
            switch_on(file);
            file.control.media_timeout_s = 3;
        },
        |stage| {
            prepare(stage.internet);
            let scene = Scene::new(stage.internet, stage.client);
            let (scene, reports) = scene.talk_on(stage.client, 50, || {
                // Longer than a time-out, and nobody asks meanwhile.
                sleep(Duration::from_secs(7));
                assert_eq!(stage.tandem.call_count(), 1, "they were heard");
            });
            let sent: i64 = reports.iter().map(|it| i64::from(it.sent)).sum();
            let by_kernel = count(stage.client).by_kernel;
            assert!(by_kernel > sent / 2, "{by_kernel} of {sent}");
            let Scene { phones, call } = scene;
            drop((phones, call));
            until("the call is over", LIMIT, || stage.tandem.call_count() == 0);
            assert_eq!(stage.count("kernel_flows"), 0);
        },
    );
}

#[test]
fn a_relay_that_is_killed_leaves_nothing_and_the_next_one_goes_on() {
    if !is_possible() {
        return;
    }
    let Some(internet) = Internet::new() else {
        return;
    };
    let host = internet.host(1);
    prepare(&internet);
    host.within(|| {
        let site = Site::new();
        let mut tandem = Tandem::start_pair(&site, |file| {
            file.relay.interfaces = vec![Stage::relay_ip().to_string()];
            switch_on(file);
        });
        assert!(runs_a_program(&host));
        let client = NgClient::new(tandem.ng());
        let scene = Scene::new(&internet, &client);
        let (scene, _) = scene.talk(&client, 100);
        tandem.kill_relay();
        assert!(!runs_a_program(&host), "it is gone with the process");
        tandem.start_relay();
        until("control has told it all", LIMIT, || {
            let calls = client.request("list", &[]);
            let reply = client.request("query", &[("call-id", "kernel")]);
            assert!(calls.find("calls").is_some());
            reply.text("result") == "ok" && tandem.media_ports().len() == 4
        });
        let Scene { phones, call } = scene;
        meet(phones.each_ref(), call.relay, 50_000);
        let (scene, _) = Scene { phones, call }.talk(&client, 100);
        scene.call.end();
        tandem.stop();
        assert!(!runs_a_program(&host));
    });
}

fn runs_a_program(host: &Namespace) -> bool {
    let text = host.ask_ip("-details link show net");
    assert!(text.contains("net"), "{text}");
    text.contains("prog/xdp")
}

/// What cannot be done by itself is said, and the call goes through.
#[test]
fn where_the_kernel_is_not_to_forward_calls_go_through_sockets() {
    if !is_possible() {
        return;
    }
    Stage::play(
        |file| {
            file.relay.kernel_table = KernelTable::Auto;
            file.relay.kernel_table_xdp = Xdp::Native;
        },
        |stage| {
            // It leaves the ends of cables within one machine alone.
            let log = stage.tandem.relay().log();
            assert!(
                log.contains("the kernel forwards nothing by itself"),
                "{log}"
            );
            let phones = [2, 3].map(|number| {
                let host = stage.internet.host(number);
                host.within(|| RtpEndpoint::new(public_ip(number)))
            });
            let parties = phones.each_ref().map(|it| Party::at(it.address()));
            let call = Anchored::new(stage.client, "kernel", parties.each_ref());
            meet(phones.each_ref(), call.relay, 0);
            let reply = stage.client.request("statistics", &[]);
            assert_eq!(find(&reply, "kernel_flows"), None);
            call.end();
        },
    );
}

fn find(reply: &Value, counter: &str) -> Option<i64> {
    let counters = reply.find("statistics").unwrap_or(reply);
    counters.integer(&["relay", "counters", counter])
}
