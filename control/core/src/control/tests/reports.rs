//! Reports of parties, told to whoever wants them.

use relay_wire::{Event, InterfaceId, Port, Report};

use crate::tests::{CONFIG, Sim, SimRelay, port, sdp};
use crate::{Config, QualityReport};

const REPORT: Event = Event::Report {
    call: relay_wire::CallKey(0),
    ingress: Port {
        interface: InterfaceId(0),
        number: 1,
    },
    report: Report {
        source: std::net::SocketAddr::new(
            std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10)),
            4_001,
        ),
        ssrc: 7,
        sender: None,
        reception: None,
    },
};

fn sim(tells_reports: bool) -> Sim {
    let config = Config {
        tells_reports,
        ..CONFIG
    };
    Sim::with_relay(config, SimRelay::new(1))
}

#[test]
fn a_report_is_told_with_its_call_and_where_it_came_to() {
    let mut sim = sim(true);
    assert!(sim.relay.tells_reports, "the relay is asked for them");
    let to_callee = sim.offer("c1", "alice", &sdp("192.0.2.10", 4_000));
    let number = port(&to_callee, 0);
    let ingress = Port {
        interface: InterfaceId(0),
        number,
    };
    let Event::Report { report, .. } = REPORT else {
        unreachable!();
    };
    sim.relay_event(|call| Event::Report {
        call,
        ingress,
        report,
    });
    let interface = sim.relay.hello.interfaces[0].address;
    let expected = QualityReport {
        call_id: b"c1".to_vec(),
        unix_ms: sim.now().unix_ms,
        destination: (interface, number).into(),
        report,
    };
    assert_eq!(sim.reports, [expected]);
    assert_eq!(sim.control.counters().reports, 1);
}

#[test]
fn nothing_is_told_of_calls_that_are_over_or_if_nobody_asked() {
    for tells_reports in [true, false] {
        let mut sim = sim(tells_reports);
        sim.control.handle_relay_event(sim.now(), REPORT);
        sim.pump();
        assert_eq!(sim.reports, []);
    }
    let mut sim = sim(false);
    assert!(!sim.relay.tells_reports);
    sim.offer("c1", "alice", &sdp("192.0.2.10", 4_000));
    let Event::Report {
        ingress, report, ..
    } = REPORT
    else {
        unreachable!();
    };
    // Still under way from a relay that an earlier control had asked.
    sim.relay_event(|call| Event::Report {
        call,
        ingress,
        report,
    });
    assert_eq!(sim.reports, []);
}
