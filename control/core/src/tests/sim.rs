//! Control and a relay that is a table, with a clock that is set by hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use control_ng::{Command as Ng, Delete, Message, Negotiation, Reply as NgReply};
use relay_wire::{
    Answer, CallKey, CallRecord, CallStats, Command, CommandError, Crypto, Dtls, EndpointStats,
    Event, Failure, Filter, Hello, Ice, Interface, InterfaceId, Learning, OnRtcp, PROTOCOL_VERSION,
    Play, Port, PortPartition, Refusal, Reply, Request, Sink, SourceRules, SourceStats,
    Transcoding, WorkerId, WorkerStats,
};

use super::{client, start};
use crate::{
    Client, Config, Control, KeyReport, Load, Notice, Now, Output, QualityReport, Transcode,
};

/// One endpoint of the simulated relay.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct SimEndpoint {
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) learning: Learning,
    pub(crate) rules: SourceRules,
    pub(crate) rtp: Option<Port>,
    pub(crate) rtcp: Option<Port>,
    pub(crate) packets: u64,
    /// Packets that were lost; without a word as many as came.
    pub(crate) lost: Option<u64>,
    pub(crate) round_trip_us: Option<u32>,
    pub(crate) idle_ms: Option<u64>,
    pub(crate) tos: Option<u8>,
    pub(crate) transcoding: Option<Transcoding>,
    pub(crate) filter: Option<Filter>,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) on_rtcp: OnRtcp,
    pub(crate) playing: Option<Play>,
    /// Those of who is there, and those that it was told.
    pub(crate) keys: (Option<Crypto>, Option<Crypto>),
    pub(crate) dtls: Option<Dtls>,
    pub(crate) ice: Option<Ice>,
}

/// One call of the simulated relay.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct SimCall {
    pub(crate) worker: u8,
    pub(crate) record: Vec<u8>,
    pub(crate) media_timeout_ms: u32,
    pub(crate) first_packet_timeout_ms: u32,
    pub(crate) endpoints: BTreeMap<Port, SimEndpoint>,
}

/// Does what the messages of `relay-wire` say, in a table.
#[derive(Debug)]
pub(crate) struct SimRelay {
    pub(crate) hello: Hello,
    pub(crate) calls: BTreeMap<CallKey, SimCall>,
    /// Ports that someone else on the host uses.
    pub(crate) foreign: BTreeSet<u16>,
    /// Calls of which nobody else may hear.
    pub(crate) private: BTreeSet<CallKey>,
    /// Its codecs have too much to do.
    pub(crate) is_overloaded: bool,
    /// Workers whose table is full.
    pub(crate) full: BTreeSet<u8>,
    /// Calls in one page of a list.
    page: usize,
    pub(crate) tells_reports: bool,
    /// Packets that each worker has forwarded, if it says so: half of them are the kernel's.
    pub(crate) forwarded: Option<u64>,
}

impl SimRelay {
    pub(crate) fn new(workers: u8) -> Self {
        let interface = |name: &str, address: &str, advertised: Option<&str>| Interface {
            name: name.to_owned(),
            address: address.parse().unwrap(),
            advertised: advertised.map(|address| address.parse().unwrap()),
            ports: None,
        };
        let interfaces = vec![
            interface("inside", "10.0.0.1", None),
            interface("outside", "10.0.1.1", Some("203.0.113.1")),
            interface("outside", "2001:db8::1", None),
        ];
        Self {
            hello: Hello {
                version: PROTOCOL_VERSION,
                instance: 1,
                interfaces,
                partition: PortPartition::new(30_000, 30_399, workers).unwrap(),
                idle_per_worker_max: 0,
                fingerprints: Vec::new(),
            },
            calls: BTreeMap::new(),
            foreign: BTreeSet::new(),
            private: BTreeSet::new(),
            is_overloaded: false,
            forwarded: None,
            full: BTreeSet::new(),
            page: 2,
            tells_reports: false,
        }
    }

    pub(crate) fn handle(&mut self, request: &Request) -> Reply {
        let mut answers = Vec::new();
        let mut failure = None;
        for (index, command) in request.commands.iter().enumerate() {
            match self.command(request.worker, command) {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    let index = u16::try_from(index).unwrap();
                    failure = Some(Failure { index, error });
                    break;
                }
            }
        }
        Reply {
            id: request.id,
            answers,
            failure,
        }
    }

    fn command(&mut self, worker: WorkerId, command: &Command) -> Result<Answer, CommandError> {
        let refused = |refusal| Err(CommandError::Refused(refusal));
        match command.clone() {
            Command::CreateCall {
                call,
                media_timeout_ms,
                record,
            } => {
                if self.full.contains(&worker.0) {
                    return refused(Refusal::TableFull);
                }
                let new = SimCall {
                    worker: worker.0,
                    record,
                    media_timeout_ms,
                    first_packet_timeout_ms: 0,
                    endpoints: BTreeMap::new(),
                };
                if self.calls.insert(call, new).is_some() {
                    return refused(Refusal::CallExists);
                }
            }
            Command::RemoveCall { call } => {
                let stats = self.stats(call)?;
                self.calls.remove(&call);
                return Ok(Answer::Call(stats));
            }
            Command::SetRecord { call, record } => self.call(call)?.record = record,
            Command::SetMediaTimeout {
                call,
                media_timeout_ms,
            } => self.call(call)?.media_timeout_ms = media_timeout_ms,
            Command::SetFirstPacketTimeout {
                call,
                first_packet_timeout_ms,
            } => self.call(call)?.first_packet_timeout_ms = first_packet_timeout_ms,
            Command::OpenEndpoint { call, port, tos } => {
                self.open(worker, call, port)?;
                self.endpoint(call, port)?.tos = tos;
            }
            Command::CloseEndpoint { call, port } => {
                let call = self.call(call)?;
                call.endpoints.remove(&port).ok_or(UNKNOWN_PORT)?;
                for endpoint in call.endpoints.values_mut() {
                    endpoint.rtp = endpoint.rtp.filter(|other| *other != port);
                    endpoint.rtcp = endpoint.rtcp.filter(|other| *other != port);
                }
            }
            Command::SetRemote {
                call,
                port,
                remote,
                learning,
            } => {
                let endpoint = self.endpoint(call, port)?;
                endpoint.remote = remote;
                endpoint.learning = learning;
            }
            Command::SetSourceRules { call, port, rules } => {
                self.endpoint(call, port)?.rules = rules;
            }
            Command::SetTranscoding {
                call,
                ingress,
                transcoding,
            } => {
                if self.is_overloaded && transcoding.is_some() {
                    return Err(CommandError::Refused(Refusal::Overload));
                }
                self.endpoint(call, ingress)?.transcoding = transcoding;
            }
            Command::SetFilter {
                call,
                ingress,
                filter,
            } => self.endpoint(call, ingress)?.filter = filter,
            Command::SetRtcp { call, port, rtcp } => {
                self.endpoint(call, port)?.on_rtcp = rtcp;
            }
            Command::SetSinks {
                call,
                ingress,
                sinks,
            } => {
                if self.private.contains(&call) && !sinks.is_empty() {
                    return refused(Refusal::TableFull);
                }
                self.endpoint(call, ingress)?.sinks = sinks;
            }
            Command::Connect {
                call,
                ingress,
                rtp,
                rtcp,
            } => {
                for port in rtp.into_iter().chain(rtcp) {
                    self.endpoint(call, port)?;
                }
                let endpoint = self.endpoint(call, ingress)?;
                endpoint.rtp = rtp;
                endpoint.rtcp = rtcp;
            }
            Command::QueryCall { call } => return self.stats(call).map(Answer::Call),
            Command::ListCalls { after } => return Ok(self.list(worker, after)),
            Command::QueryWorker => return Ok(Answer::Worker(self.worker_stats(worker))),
            Command::TellReports { enabled } => self.tells_reports = enabled,
            Command::SetCrypto { call, endpoints } => {
                for it in &endpoints {
                    for crypto in it.receive.iter().chain(&it.send) {
                        crypto.check().map_err(CommandError::Refused)?;
                    }
                }
                for it in endpoints {
                    self.endpoint(call, it.port)?.keys = (it.receive, it.send);
                }
            }
            Command::SetDtls { call, port, dtls } => {
                self.endpoint(call, port)?.dtls = dtls;
            }
            Command::SetIce { call, port, ice } => {
                for base in ice.iter().flat_map(|it| &it.bases) {
                    self.endpoint(call, base.port)?;
                    let others = self.calls.get(&call).into_iter();
                    let mut others = others.flat_map(|it| &it.endpoints);
                    let is_taken = others.any(|(other, it)| {
                        let ice = it.ice.iter().filter(|_| *other != port);
                        ice.flat_map(|it| &it.bases).any(|it| it.port == base.port)
                    });
                    if is_taken {
                        return refused(Refusal::PortOpen);
                    }
                }
                self.endpoint(call, port)?.ice = ice;
            }
            Command::Play { call, port, play } => {
                if self.is_overloaded {
                    return refused(Refusal::Overload);
                }
                self.endpoint(call, port)?.playing = Some(play);
            }
            Command::StopPlaying { call, port } => {
                let ended = self.endpoint(call, port)?.playing.take();
                return Ok(Answer::Played(ended.map(|it| u64::from(it.unit_hz))));
            }
        }
        Ok(Answer::Done)
    }

    fn open(&mut self, worker: WorkerId, call: CallKey, port: Port) -> Result<(), CommandError> {
        if self.hello.partition.owner(port.number) != Some(worker) {
            return Err(CommandError::Refused(Refusal::WrongWorker));
        }
        if self.foreign.contains(&port.number) {
            return Err(CommandError::System(98));
        }
        let mut calls = self.calls.values();
        if calls.any(|call| call.endpoints.contains_key(&port)) {
            return Err(CommandError::Refused(Refusal::PortOpen));
        }
        let call = self.call(call)?;
        assert_eq!(call.worker, worker.0);
        call.endpoints.insert(port, SimEndpoint::default());
        Ok(())
    }

    fn list(&self, worker: WorkerId, after: Option<CallKey>) -> Answer {
        let calls = self
            .calls
            .iter()
            .filter(|(_, call)| call.worker == worker.0);
        let mut rest = calls.filter(|(key, _)| after.is_none_or(|after| **key > after));
        let page = rest.by_ref().take(self.page);
        let calls = page.map(|(key, call)| CallRecord {
            call: *key,
            record: call.record.clone(),
        });
        Answer::Calls {
            calls: calls.collect(),
            more: rest.next().is_some(),
        }
    }

    fn worker_stats(&self, worker: WorkerId) -> WorkerStats {
        let calls = self.calls.values().filter(|call| call.worker == worker.0);
        let endpoints: usize = calls.clone().map(|call| call.endpoints.len()).sum();
        let mut counters = vec![("turns".to_owned(), 5)];
        if let Some(packets) = self.forwarded {
            let forwarded = [
                ("bytes_out", packets * 100),
                ("dropped_stranger", packets / 100),
                ("kernel_packets", packets / 2),
                ("kernel_bytes", packets * 50),
            ];
            counters.extend(forwarded.map(|(name, count)| (name.to_owned(), count)));
        }
        WorkerStats {
            calls: u64::try_from(calls.count()).unwrap(),
            endpoints: u64::try_from(endpoints).unwrap(),
            packets_in: 0,
            packets_out: self.forwarded.unwrap_or(0),
            counters,
        }
    }

    fn stats(&mut self, key: CallKey) -> Result<CallStats, CommandError> {
        let endpoints = self.call(key)?.endpoints.iter();
        let endpoints = endpoints.map(|(port, endpoint)| EndpointStats {
            port: *port,
            remote: endpoint.remote,
            learnt: false,
            ssrc: (endpoint.packets > 0).then_some(u32::from(port.number)),
            payload_type: (endpoint.packets > 0).then_some(8),
            idle_ms: endpoint.idle_ms,
            rtp_packets_in: endpoint.packets,
            rtp_bytes_in: endpoint.packets * 172,
            rtcp_packets_in: 0,
            rtcp_bytes_in: 0,
            packets_out: 0,
            bytes_out: 0,
            sources: (endpoint.packets > 0)
                .then(|| SourceStats {
                    ssrc: port.number.into(),
                    payload_type: 8,
                    packets: endpoint.packets,
                    bytes: endpoint.packets * 172,
                    lost: endpoint.lost.unwrap_or(endpoint.packets),
                    reordered: 0,
                    duplicates: 0,
                    jitter_us: Some(2_500),
                    last_sequence: 65_600,
                    last_timestamp: 160,
                })
                .into_iter()
                .collect(),
            round_trip_us: endpoint.round_trip_us,
            transcoding: None,
            dropped: 0,
        });
        Ok(CallStats {
            call: key,
            endpoints: endpoints.collect(),
        })
    }

    fn call(&mut self, key: CallKey) -> Result<&mut SimCall, CommandError> {
        self.calls
            .get_mut(&key)
            .ok_or(CommandError::Refused(Refusal::UnknownCall))
    }

    fn endpoint(&mut self, key: CallKey, port: Port) -> Result<&mut SimEndpoint, CommandError> {
        self.call(key)?.endpoints.get_mut(&port).ok_or(UNKNOWN_PORT)
    }

    /// The endpoint with this port number, of whatever call.
    pub(crate) fn at(&mut self, number: u16) -> &mut SimEndpoint {
        let mut endpoints = self.calls.values_mut().flat_map(|call| &mut call.endpoints);
        let (_, endpoint) = endpoints
            .find(|(port, _)| port.number == number)
            .expect("the port is open");
        endpoint
    }

    /// Port numbers of all endpoints.
    pub(crate) fn open_ports(&self) -> Vec<u16> {
        let endpoints = self.calls.values().flat_map(|call| call.endpoints.keys());
        endpoints.map(|port| port.number).collect()
    }
}

const UNKNOWN_PORT: CommandError = CommandError::Refused(Refusal::UnknownPort);

/// Control, a relay and a client.
#[derive(Debug)]
pub(crate) struct Sim {
    pub(crate) control: Control,
    pub(crate) relay: SimRelay,
    pub(crate) elapsed: Duration,
    pub(crate) client: Client,
    /// Requests to the relay wait in `requests` until [`Self::deliver`].
    pub(crate) is_slow: bool,
    pub(crate) requests: VecDeque<Request>,
    pub(crate) sent: VecDeque<(Client, Vec<u8>)>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) keys: Vec<KeyReport>,
    /// Sounds that are to be read.
    pub(crate) loads: VecDeque<Load>,
    pub(crate) reports: Vec<QualityReport>,
    cookies: u32,
}

pub(crate) const CONFIG: Config = Config {
    media_timeout_s: 60,
    silent_timeout_s: 3_600,
    first_packet_timeout_s: 15,
    final_timeout_s: 0,
    delete_delay_s: 0,
    offer_timeout_s: 180,
    calls_max: 50,
    endpoint_learning: Learning::Heuristic,
    transcode: Transcode::Directives,
    tells_keys: false,
    tells_reports: false,
    quality_interval_s: 0,
    seed: [7; 32],
};

impl Sim {
    /// Control with a relay of one worker, connected.
    pub(crate) fn new() -> Self {
        Self::with_relay(CONFIG, SimRelay::new(1))
    }

    pub(crate) fn with_relay(config: Config, relay: SimRelay) -> Self {
        let mut sim = Self::disconnected(config, relay);
        sim.connect();
        sim
    }

    pub(crate) fn disconnected(config: Config, relay: SimRelay) -> Self {
        Self {
            control: Control::new(config),
            relay,
            elapsed: Duration::ZERO,
            client: client(1),
            is_slow: false,
            requests: VecDeque::new(),
            sent: VecDeque::new(),
            notices: Vec::new(),
            keys: Vec::new(),
            loads: VecDeque::new(),
            reports: Vec::new(),
            cookies: 0,
        }
    }

    /// The same relay, and a control that has just begun.
    pub(crate) fn restart_control(&mut self) {
        self.control = Control::new(Config {
            seed: [8; 32],
            ..CONFIG
        });
        self.requests.clear();
        self.connect();
    }

    /// A relay that has just begun.
    pub(crate) fn restart_relay(&mut self) {
        self.control.handle_relay_lost(self.now());
        self.relay.calls.clear();
        self.relay.hello.instance += 1;
        self.connect();
    }

    pub(crate) fn connect(&mut self) {
        let hello = self.relay.hello.clone();
        self.control.handle_relay_hello(self.now(), hello);
        self.pump();
    }

    pub(crate) fn disconnect(&mut self) {
        self.control.handle_relay_lost(self.now());
        self.pump();
        self.requests.clear();
    }

    pub(crate) fn now(&self) -> Now {
        let elapsed_ms = u64::try_from(self.elapsed.as_millis()).unwrap();
        Now {
            instant: start() + self.elapsed,
            unix_ms: 1_700_000_000_000 + elapsed_ms,
        }
    }

    /// Lets time pass, stopping wherever control wants to be woken.
    pub(crate) fn sleep(&mut self, duration: Duration) {
        let end = self.elapsed + duration;
        let mut turns = 0;
        while let Some(due) = self.control.poll_timeout() {
            let due = due.saturating_duration_since(start());
            if due > end {
                break;
            }
            self.elapsed = self.elapsed.max(due);
            self.control.handle_timeout(self.now());
            self.pump();
            turns += 1;
            assert!(turns < 10_000, "it wants to be woken again and again");
        }
        self.elapsed = end;
    }

    /// Does what control puts out.
    pub(crate) fn pump(&mut self) {
        while let Some(output) = self.control.poll_output() {
            match output {
                Output::Key(report) => self.keys.push(*report),
                Output::Load(load) => self.loads.push_back(*load),
                Output::Report(report) => self.reports.push(*report),
                Output::Notice(notice) => self.notices.push(notice),
                Output::Relay(request) => {
                    assert!(request.commands.len() <= relay_wire::COMMANDS_MAX);
                    self.requests.push_back(request);
                    if !self.is_slow {
                        self.deliver();
                    }
                }
                Output::Send { client, datagram } => self.sent.push_back((client, datagram)),
            }
        }
    }

    /// Has the relay do the oldest request.
    pub(crate) fn deliver(&mut self) {
        let request = self.requests.pop_front().expect("there is a request");
        let reply = self.relay.handle(&request);
        self.control.handle_relay_reply(self.now(), reply);
        if self.is_slow {
            self.pump();
        }
    }

    /// Has the relay do all requests, and those that come of them.
    pub(crate) fn deliver_all(&mut self) {
        while !self.requests.is_empty() {
            self.deliver();
        }
    }

    pub(crate) fn media_timeout(&mut self) {
        self.relay_event(|call| Event::MediaTimeout { call });
    }

    /// The relay says something of the one call.
    pub(crate) fn relay_event(&mut self, event: impl Fn(CallKey) -> Event) {
        let call = *self.relay.calls.keys().next().expect("there is a call");
        let event = event(call);
        self.control.handle_relay_event(self.now(), event);
        self.pump();
    }

    pub(crate) fn send(&mut self, datagram: &[u8]) {
        self.control
            .handle_request(self.now(), self.client, datagram);
        self.pump();
    }

    /// Sends a request with a new cookie; the datagram, to send it again.
    pub(crate) fn request(&mut self, command: &Ng<'_>) -> Vec<u8> {
        self.cookies += 1;
        let datagram = command.encode(format!("c{}", self.cookies).as_bytes());
        self.send(&datagram);
        datagram
    }

    /// Takes the oldest datagram to a client, and checks that it is whole.
    pub(crate) fn reply<T>(&mut self, read: impl FnOnce(&NgReply<'_>) -> T) -> T {
        let (to, datagram) = self.sent.pop_front().expect("there is a reply");
        assert_eq!(to, self.client);
        let message = Message::split(&datagram).unwrap();
        read(&NgReply::parse(message.body).unwrap())
    }

    /// Asks, and reads the only reply.
    pub(crate) fn ask<T>(&mut self, command: &Ng<'_>, read: impl FnOnce(&NgReply<'_>) -> T) -> T {
        self.request(command);
        assert_eq!(self.sent.len(), 1, "one reply");
        self.reply(read)
    }

    /// The SDP that an offer or an answer comes back as.
    pub(crate) fn negotiate(&mut self, command: &Ng<'_>) -> String {
        self.ask(command, |reply| {
            assert!(reply.is_ok(), "{:?}", reply.error_reason());
            String::from_utf8(reply.sdp().unwrap().to_vec()).unwrap()
        })
    }

    pub(crate) fn offer(&mut self, call: &str, from: &str, sdp: &str) -> String {
        let offer = Negotiation::new(call.as_bytes(), from.as_bytes(), sdp.as_bytes());
        self.negotiate(&Ng::Offer(offer))
    }

    pub(crate) fn reoffer(&mut self, call: &str, from: &str, to: &str, sdp: &str) -> String {
        let offer = Negotiation::new(call.as_bytes(), from.as_bytes(), sdp.as_bytes());
        self.negotiate(&Ng::Offer(offer.to_tag(to.as_bytes())))
    }

    pub(crate) fn answer(&mut self, call: &str, from: &str, to: &str, sdp: &str) -> String {
        let answer = Negotiation::new(call.as_bytes(), from.as_bytes(), sdp.as_bytes());
        self.negotiate(&Ng::Answer(answer.to_tag(to.as_bytes())))
    }

    /// The reason of the error that a request comes back as.
    pub(crate) fn refusal(&mut self, command: &Ng<'_>) -> String {
        self.ask(command, |reply| {
            assert!(!reply.is_ok());
            reply.error_reason().unwrap().into_owned()
        })
    }

    pub(crate) fn port_usage(&mut self) -> (usize, usize) {
        let now = self.now();
        self.control.port_usage(now)
    }

    /// Pairs of ports that are neither free nor resting.
    pub(crate) fn pairs_open(&self) -> usize {
        self.relay
            .open_ports()
            .iter()
            .filter(|port| **port % 2 == 0)
            .count()
    }
}

/// A description with one audio stream.
pub(crate) fn sdp(address: &str, port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
    )
}

/// Ends a call at once.
pub(crate) fn delete<T: AsRef<[u8]> + ?Sized>(call_id: &T) -> Ng<'_> {
    Ng::Delete(Delete {
        call_id: call_id.as_ref(),
        delay_s: Some(0),
        ..Delete::default()
    })
}

/// The port of the `n`th m-line.
pub(crate) fn port(sdp: &str, n: usize) -> u16 {
    let mut lines = sdp.lines().filter(|line| line.starts_with("m="));
    let line = lines.nth(n).expect("there is such a section");
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The interface of the simulated relay with this index.
pub(crate) fn on(interface: u8, number: u16) -> Port {
    Port {
        interface: InterfaceId(interface),
        number,
    }
}
