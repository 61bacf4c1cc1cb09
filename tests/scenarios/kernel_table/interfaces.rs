//! Interfaces of the relay's host: of IPv6, two of them, and what may become of one.

use std::net::Ipv4Addr;

use tandem_tests::{public_ip6, tool};

use super::*;

/// The relay's host in a network of its own, and the phone there.
const INSIDE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2)];

#[test]
fn calls_of_ipv6_are_forwarded_by_the_kernel() {
    if !is_possible() || tool("ethtool").is_none() {
        return;
    }
    Stage::play(
        |file| {
            switch_on(file);
            file.relay.interfaces = vec![format!("[{}]", public_ip6(1))];
        },
        |stage| {
            prepare(stage.internet);
            let phones = [2, 3].map(|number| {
                let host = stage.internet.host(number);
                // Else sums would be left to hardware that is not there, and IPv6 must have them.
                host.ethtool("-K net tx off");
                phone(&host, public_ip6(number))
            });
            let parties = phones.each_ref().map(|it| Party::at(it.address()));
            let scene = Scene::between(phones, parties.each_ref(), stage.client);
            let before = count(stage.client);
            let (scene, reports) = scene.talk_on(stage.client, 600, || {
                until("there is one flow in each direction", LIMIT, || {
                    count(stage.client).flows == 2
                });
            });
            assert_both_by_kernel(&before, stage.client, &reports);
            scene.call.end();
            assert_eq!(stage.count("kernel_flows"), 0, "nothing stays behind");
        },
    );
}

/// Most packets went by the kernel: more than those of one direction.
#[track_caller]
fn assert_both_by_kernel(before: &Counted, client: &NgClient, reports: &[MediaReport; 2]) {
    let after = count(client);
    for (side, report) in reports.iter().enumerate() {
        let counted = after.packets[side] - before.packets[side];
        assert_eq!(counted, i64::from(report.sent), "all are counted, once");
    }
    let sent: i64 = reports.iter().map(|it| i64::from(it.sent)).sum();
    let by_kernel = after.by_kernel - before.by_kernel;
    assert!(by_kernel > sent / 2, "{by_kernel} of {sent}");
}

#[test]
fn calls_between_two_networks_are_forwarded_by_the_kernel_until_one_is_gone() {
    if !is_possible() {
        return;
    }
    let Some(internet) = Internet::new() else {
        return;
    };
    let (host, inside) = (internet.host(1), Namespace::new());
    let [ours, theirs] = INSIDE;
    let there = inside.path();
    host.ip(&format!(
        "link add lan type veth peer name net netns {there}\naddr add {ours}/24 dev lan\n\
         link set lan up"
    ));
    inside.ip(&format!("addr add {theirs}/24 dev net\nlink set net up"));
    prepare(&internet);
    inside.within(|| take_what_programs_send("net"));
    host.within(|| {
        let site = Site::new();
        let tandem = Tandem::start_pair(&site, |file| {
            let outside = Stage::relay_ip();
            file.relay.interfaces = vec![format!("outside={outside}"), format!("inside={ours}")];
            switch_on(file);
        });
        let client = NgClient::new(tandem.ng());
        let outside = internet.host(2);
        let phones = [phone(&outside, public_ip(2)), phone(&inside, theirs.into())];
        let [caller, callee] = phones.each_ref().map(|it| Party::at(it.address()));
        let caller = caller.with("direction", Value::list(&["outside", "inside"]));
        let scene = Scene::between(phones, [&caller, &callee], &client);
        assert_eq!(scene.call.relay[1].ip(), IpAddr::from(ours));
        let before = count(&client);
        let (scene, reports) = scene.talk(&client, 600);
        assert_both_by_kernel(&before, &client, &reports);
        scene.call.end();

        host.ip("link del lan");
        until("that is noticed", LIMIT, || {
            let log = tandem.relay().log();
            log.contains("the program that forwards is not there any more")
        });
        let scene = Scene::new(&internet, &client);
        let (scene, _) = scene.talk(&client, 100);
        scene.call.end();
        tandem.stop();
    });
}

#[test]
fn a_link_that_goes_down_and_comes_back_is_used_again() {
    if !is_possible() {
        return;
    }
    Stage::play(switch_on, |stage| {
        prepare(stage.internet);
        let scene = Scene::new(stage.internet, stage.client);
        let (scene, _) = scene.talk(stage.client, 100);
        stage.host.ip("link set net down\nlink set net up");
        assert!(runs_a_program(stage.host), "it stays");
        let Scene { phones, call } = scene;
        meet(phones.each_ref(), call.relay, 40_000);
        let (scene, _) = Scene { phones, call }.talk(stage.client, 100);
        stage.host.ip("link set net mtu 1400");
        assert!(runs_a_program(stage.host), "it stays");
        let (scene, _) = scene.talk(stage.client, 100);
        scene.call.end();
    });
}

#[test]
fn where_another_program_runs_the_relay_says_so_and_calls_go_through_sockets() {
    if !is_possible() {
        return;
    }
    let Some(internet) = Internet::new() else {
        return;
    };
    let host = internet.host(1);
    host.within(|| {
        take_what_programs_send("net");
        let site = Site::new();
        let tandem = Tandem::start_pair(&site, |file| {
            file.relay.interfaces = vec![Stage::relay_ip().to_string()];
            file.relay.kernel_table = KernelTable::Auto;
            file.relay.kernel_table_interfaces = vec!["net".to_owned()];
        });
        let log = tandem.relay().log();
        assert!(log.contains("ip link set dev net xdp off"), "{log}");
        let client = NgClient::new(tandem.ng());
        let scene_phones = [2, 3].map(|number| phone(&internet.host(number), public_ip(number)));
        let parties = scene_phones.each_ref().map(|it| Party::at(it.address()));
        let call = Anchored::new(&client, "kernel", parties.each_ref());
        meet(scene_phones.each_ref(), call.relay, 0);
        call.end();
        tandem.stop();
    });
}
