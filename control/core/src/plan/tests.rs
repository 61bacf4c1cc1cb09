use relay_wire::{Crypto, CryptoSuite, InterfaceId, Secret};

use super::*;

const CALL: CallKey = CallKey(1);

fn port(number: u16) -> Port {
    Port {
        interface: InterfaceId(0),
        number,
    }
}

fn sink(number: u16) -> Sink {
    Sink {
        call: CallKey(2),
        rtp: Some(port(number)),
        rtcp: None,
        is_remade: false,
    }
}

fn transcoding() -> Transcoding {
    Transcoding {
        routes: vec![Route {
            from: relay_wire::Format::new(relay_wire::Codec::Pcmu, 0, 20),
            to: relay_wire::Format::new(relay_wire::Codec::Gsm, 3, 20),
            opus: None,
            suppresses_silence: false,
            is_coded_anew: false,
        }],
        rtcp: None,
    }
}

fn keys() -> Box<Agreed> {
    let suite = CryptoSuite::AeadAes128Gcm;
    let key = |byte| Secret::new(vec![byte; suite.key_and_salt_len()]);
    Box::new(Agreed {
        receive: Crypto::new(suite, key(1)),
        send: Crypto::new(suite, key(2)),
    })
}

/// A plan of endpoints `(port, where its RTP goes)`.
fn plan(endpoints: &[(u16, Option<u16>)], media_timeout_ms: u32) -> Plan {
    let endpoints = endpoints.iter().map(|&(number, egress)| Endpoint {
        port: port(number),
        remote: Some((
            Some(SocketAddr::from(([192, 0, 2, 1], number))),
            Learning::Heuristic,
        )),
        // Some have other rules than others.
        rules: SourceRules {
            is_asymmetric: egress.is_some_and(|number| number == 20),
            ..SourceRules::default()
        },
        rtcp: OnRtcp::Pass,
        tos: (number == 20).then_some(184),
        ice: None,
        egress: Egress {
            rtp: egress.map(port),
            rtcp: None,
        },
        transcoding: egress.filter(|number| *number == 20).map(|_| transcoding()),
        filter: egress
            .filter(|number| *number == 10)
            .map(|_| Filter::default()),
        keys: egress.filter(|number| *number == 20).map(|_| keys()),
        sinks: egress
            .filter(|number| *number == 10)
            .map(sink)
            .into_iter()
            .collect(),
    });
    Plan {
        exists: true,
        media_timeout_ms,
        first_packet_timeout_ms: media_timeout_ms / 2,
        endpoints: endpoints.collect(),
    }
}

/// Applying the commands that lead from one plan to another gives the other.
#[test]
fn the_commands_lead_where_they_should_from_anywhere() {
    let plans = [
        Plan::default(),
        plan(&[], 0),
        plan(&[(10, None)], 60),
        plan(&[(10, Some(20)), (20, Some(10))], 60),
        plan(&[(10, Some(30)), (20, None), (30, Some(10))], 0),
        plan(&[(5, Some(20)), (20, Some(5))], 60),
    ];
    for from in &plans {
        for to in plans.iter().filter(|to| to.exists) {
            let mut stands = from.clone();
            for command in from.commands_to(to, CALL, Vec::new()) {
                stands.apply(&command);
            }
            assert_eq!(&stands, to, "from {from:?}");
        }
    }
}

#[test]
fn after_half_of_the_commands_the_rest_is_found_anew() {
    let from = plan(&[(10, Some(20)), (20, Some(10))], 60);
    let to = plan(&[(20, Some(30)), (30, Some(20))], 0);
    let commands = from.commands_to(&to, CALL, Vec::new());
    for done in 0..commands.len() {
        let mut stands = from.clone();
        for command in &commands[..done] {
            stands.apply(command);
        }
        for command in stands.commands_to(&to, CALL, Vec::new()) {
            stands.apply(&command);
        }
        assert_eq!(stands, to);
    }
}

#[test]
fn nothing_but_the_record_is_sent_when_nothing_changed() {
    let plan = plan(&[(10, Some(20)), (20, Some(10))], 60);
    let commands = plan.commands_to(&plan, CALL, vec![1]);
    let record = vec![1];
    assert_eq!(commands, [Command::SetRecord { call: CALL, record }]);
}
