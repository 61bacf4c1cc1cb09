use proptest::prelude::*;
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
        is_sealed: false,
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
    keys_of(1, 2)
}

fn keys_of(receive: u8, send: u8) -> Box<Agreed> {
    let suite = CryptoSuite::AeadAes128Gcm;
    let key = |byte| Secret::new(vec![byte; suite.key_and_salt_len()]);
    Box::new(Agreed {
        receive: Crypto::new(suite, key(receive)),
        send: Crypto::new(suite, key(send)),
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
        dtls: None,
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

/// Two parties that have each other's keys, and the relay has them or not.
#[test]
fn keys_of_a_call_are_told_at_once() {
    let passes = plan(&[(10, Some(20)), (20, None)], 60);
    let mut passes = Plan {
        endpoints: passes.endpoints.into_iter().collect(),
        ..passes
    };
    for endpoint in &mut passes.endpoints {
        (endpoint.keys, endpoint.transcoding) = (None, None);
    }
    let mut seals = passes.clone();
    for (endpoint, (receive, send)) in seals.endpoints.iter_mut().zip([(1, 2), (2, 1)]) {
        endpoint.keys = Some(keys_of(receive, send));
    }
    for (from, to) in [(&passes, &seals), (&seals, &passes)] {
        let commands = from.commands_to(to, CALL, Vec::new());
        let [
            Command::SetRecord { .. },
            Command::SetCrypto { endpoints, .. },
        ] = &commands[..]
        else {
            panic!("{commands:?}");
        };
        assert_eq!(endpoints.len(), 2);
    }
}

fn shaking() -> Option<Box<Dtls>> {
    let hash = relay_wire::FingerprintHash::Sha256;
    let fingerprint = relay_wire::Fingerprint::new(hash, vec![1; hash.digest_len()]);
    Some(Box::new(Dtls {
        role: DtlsRole::Active,
        fingerprint: fingerprint.unwrap(),
        association: 0,
    }))
}

#[test]
fn nothing_is_in_clear_between_keys_and_a_handshake() {
    let mut keyed = plan(&[(10, Some(20)), (20, Some(10))], 60);
    let mut shakes = keyed.clone();
    for endpoint in &mut keyed.endpoints {
        endpoint.keys = Some(keys_of(1, 2));
    }
    for endpoint in &mut shakes.endpoints {
        (endpoint.keys, endpoint.dtls) = (None, shaking());
    }
    for (from, to) in [(&keyed, &shakes), (&shakes, &keyed)] {
        let mut stands = from.clone();
        for command in from.commands_to(to, CALL, Vec::new()) {
            stands.apply(&command);
            let are_secret = stands.endpoints.iter().all(Endpoint::is_secret);
            assert!(are_secret, "after {command:?}");
        }
        assert_eq!(&stands, to);
    }
}

#[test]
fn nothing_flows_to_who_has_shaken_hands_once_it_has_no_keys_nor_before_it_must() {
    let mut flows = plan(&[(10, Some(20)), (20, Some(10))], 60);
    flows.endpoints[0].keys = None;
    let mut shakes = flows.clone();
    shakes.endpoints[0].dtls = shaking();
    let mut cut = flows.clone();
    for endpoint in &mut cut.endpoints {
        endpoint.egress = Egress::default();
    }
    let mut moved = shakes.clone();
    moved.endpoints[0].remote = Some((None, Learning::Heuristic));
    for (from, to) in [(&shakes, &cut), (&cut, &shakes), (&flows, &moved)] {
        let mut stands = from.clone();
        for command in from.commands_to(to, CALL, Vec::new()) {
            stands.apply(&command);
            let is_secret = stands.endpoints[0].is_secret();
            let is_reached = stands.endpoints[1].egress.rtp.is_some();
            let is_old = stands.endpoints[0].remote == from.endpoints[0].remote;
            let may_be_reached = is_secret || (is_old && from == &flows);
            assert!(!is_reached || may_be_reached, "after {command:?}");
        }
        assert_eq!(&stands, to);
    }
}

const PORTS: [u16; 4] = [10, 20, 30, 40];

fn any_endpoint() -> impl Strategy<Value = Option<Endpoint>> {
    let one_of = || prop::option::of(prop::sample::select(&PORTS[..]));
    let sinks = prop::sample::subsequence(&PORTS[..], 0..3);
    let keys = prop::option::of((1_u8..4, 1_u8..4));
    let flags = any::<(bool, bool, bool)>();
    let some = (one_of(), one_of(), sinks, keys, flags, 0_u16..3);
    some.prop_map(|(rtp, rtcp, sinks, keys, flags, remote)| {
        let (is_remade, reports, is_there) = flags;
        let remote = SocketAddr::from(([192, 0, 2, 1], 4_000 + remote));
        is_there.then(|| Endpoint {
            remote: Some((Some(remote), Learning::Heuristic)),
            egress: Egress {
                rtp: rtp.map(port),
                rtcp: rtcp.map(port),
            },
            rtcp: match reports {
                true => OnRtcp::Answer {
                    received: port(10),
                    sent: None,
                },
                false => OnRtcp::Pass,
            },
            transcoding: is_remade.then(transcoding),
            sinks: sinks.into_iter().map(sink).collect(),
            keys: keys.map(|(receive, send)| keys_of(receive, send)),
            ..Endpoint::new(port(0), None)
        })
    })
}

/// Any plan whose flows go to ports that are open.
fn any_plan() -> impl Strategy<Value = Plan> {
    let endpoints = prop::collection::vec(any_endpoint(), PORTS.len());
    endpoints.prop_map(|endpoints| {
        let endpoints = PORTS.into_iter().zip(endpoints);
        let endpoints = endpoints.filter_map(|(number, it)| {
            Some(Endpoint {
                port: port(number),
                ..it?
            })
        });
        let mut endpoints: Vec<_> = endpoints.collect();
        let open: Vec<_> = endpoints.iter().map(|it| it.port).collect();
        for endpoint in &mut endpoints {
            let egress = &mut endpoint.egress;
            egress.rtp = egress.rtp.filter(|it| open.contains(it));
            egress.rtcp = egress.rtcp.filter(|it| open.contains(it));
        }
        Plan {
            exists: true,
            endpoints,
            ..Plan::default()
        }
    })
}

type Keys = Option<Box<Agreed>>;

/// Where it arrives, where it leaves, whether it is made of what arrives, and what it is opened and
/// sealed with.
type Flow = (Port, (Option<Port>, Option<Sink>), bool, [Keys; 2]);

/// What flows in a plan, and what it is opened and sealed with. Others' keys are not to be seen.
fn flows(plan: &Plan) -> Vec<Flow> {
    let keys = |port: Port| plan.endpoint(port).and_then(|it| it.keys.clone());
    let mut flows = Vec::new();
    for it in &plan.endpoints {
        let mut push = |to: Option<Port>, sink, is_made| {
            let sealed = to.and_then(keys);
            flows.push((it.port, (to, sink), is_made, [it.keys.clone(), sealed]));
        };
        for to in [it.egress.rtp, it.egress.rtcp].into_iter().flatten() {
            push(Some(to), None, false);
        }
        for sink in &it.sinks {
            push(None, Some(*sink), false);
        }
        if it.transcoding.is_some() || it.rtcp != OnRtcp::Pass {
            push(None, None, true);
        }
    }
    flows
}

proptest! {
    #[test]
    fn what_flows_between_has_the_keys_of_before_or_after(from in any_plan(), to in any_plan()) {
        let known = [flows(&from), flows(&to)].concat();
        let mut stands = from.clone();
        for command in from.commands_to(&to, CALL, Vec::new()) {
            stands.apply(&command);
            for flow in flows(&stands) {
                prop_assert!(known.contains(&flow), "{flow:?} after {command:?}");
            }
            for endpoint in &stands.endpoints {
                let is_known = |it: &Endpoint| {
                    (it.port, &it.remote, &it.keys) == (endpoint.port, &endpoint.remote, &endpoint.keys)
                };
                let has_remote = endpoint.remote.is_some_and(|it| it != Default::default());
                let is_new = from.endpoint(endpoint.port).is_none();
                if has_remote && is_new && to.endpoint(endpoint.port).is_some_and(|it| it.keys.is_some()) {
                    prop_assert!(to.endpoints.iter().any(is_known), "learnt before keys");
                }
            }
        }
        prop_assert_eq!(stands, to);
    }
}
