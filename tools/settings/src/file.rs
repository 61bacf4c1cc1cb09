//! `tandem.toml`, as written: every key of the three daemons, with its default.
//!
//! Doc comments here are the reference manual: `docs/configuration.md` is made from them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole file. Each daemon reads it all, so that a mistake anywhere is found by any of them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// What the three daemons share.
    pub tandem: Tandem,
    /// How the daemons log.
    pub log: Log,
    /// The packet forwarder.
    pub relay: Relay,
    /// The daemon that speaks ng.
    pub control: Control,
    /// The registrar and proxy.
    pub sip_proxy: SipProxy,
}

/// What the three daemons share.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tandem {
    /// Folder of the database. Made if it is not there. Relative to the file's folder.
    pub data_dir: PathBuf,
    /// Folder of the sockets between the daemons. Made if it is not there; must be on a local
    /// disk. Defaults to `run` in the data folder.
    pub runtime_dir: Option<PathBuf>,
}

/// How the daemons log.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,control=debug`.
    pub level: String,
    /// `text` for people, `json` for collectors.
    pub format: LogFormat,
    /// Lines per second of one kind that are written; the rest are counted. 0 is no limit.
    pub lines_per_second_max: u32,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// The packet forwarder.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    /// Where media is received, as `name=address` or `name=address!advertised`; the name and
    /// the advertised address may be left out. `;dscp=N` and `;ports=FIRST-LAST` may follow: a
    /// code point of its own, and the part of `ports` that is used here, of which each worker
    /// must have some. One address may have several names, each with what it advertises; they share
    /// its ports. The first is the default of calls that name none. Empty: the address that this
    /// host's default route leaves from, else 127.0.0.1.
    pub interfaces: Vec<String>,
    /// First and last UDP port handed out; the first is even. The range is divided evenly
    /// between the workers.
    pub ports: [u16; 2],
    /// Differentiated services code point of media that leaves (RFC 2474), unless its interface
    /// or the call (`TOS` in ng) has another: 46 is expedited forwarding, for voice; 0 is none.
    pub dscp: u8,
    /// Threads that forward packets, each pinned to a core. 0: one for each core.
    pub workers: u8,
    /// Cores that the workers are pinned to, in order. Empty: the cores of this process. More
    /// workers than cores share them.
    pub cores: Vec<usize>,
    /// Threads that transcode: they do it for calls whose two sides share no codec. They give way
    /// to the workers. 0: such calls are refused. Unset: one for each core that has no worker, and
    /// one for every two cores at least.
    pub codec_threads: Option<u8>,
    /// `uring`, `poll`, or `auto`: io_uring where the kernel allows it, else poll.
    pub driver: Driver,
    /// Whether calls that are only forwarded leave the kernel where they come in (XDP), for a
    /// fraction of the cost: `off`, `auto`: where the system and the interface allow it, or `on`: or
    /// refuse to start. Kernel 6.6 or newer; needs CAP_BPF and CAP_NET_ADMIN at the start. Firewalls
    /// see such a call only every few seconds.
    pub kernel_table: KernelTable,
    /// The network interfaces that `kernel_table` uses: all by which calls come in and leave. Empty:
    /// those that have the addresses of `interfaces`.
    pub kernel_table_interfaces: Vec<String>,
    /// Where in the kernel that happens: `native`: in the driver of the interface, `generic`: behind
    /// it, as any interface can, or `auto`: in drivers that can, but for those of virtual cables.
    pub kernel_table_xdp: Xdp,
    /// Calls that one worker takes at most.
    pub calls_per_worker_max: u32,
    /// Microseconds that a packet may wait for others at most, so that a wake-up serves several
    /// of them. Only a worker with enough to do waits; one that is nearly idle forwards at once.
    /// 0: never wait. Takes effect with io_uring on kernel 6.12 or newer.
    pub batch_wait_us: u32,
    /// Packets per second that one port may bring. One that brings more is left alone for some
    /// milliseconds, so that the kernel drops the rest: a flood of one port costs other calls no
    /// packets in any case, but the worker's time up to this. What the flooded call itself sends
    /// shares the limit. 0: no limit.
    pub packets_per_port_max: u32,
    /// Sockets that are kept open when their calls are over, all workers together, for the next
    /// calls at the same ports: to open and to close them is most of what a call costs the relay.
    /// The kernel takes some kilobytes for each. What arrives there meanwhile is thrown away, and
    /// beyond this many the one is closed that was idle for the longest time. Ports that were used
    /// are preferred once they have rested, as long as there are hundreds to choose from.
    /// 0: a port is closed with its call.
    pub idle_sockets_max: u32,
}

/// How the relay reads and writes its sockets.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// io_uring if it works here, else poll.
    #[default]
    Auto,
    /// recvmmsg and sendmmsg.
    Poll,
    /// io_uring, or refuse to start.
    Uring,
}

/// Whether the kernel forwards by itself.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelTable {
    /// Where it can.
    Auto,
    /// It does not.
    #[default]
    Off,
    /// It does, or refuse to start.
    On,
}

/// Where the kernel runs our programs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Xdp {
    /// In the driver where it can, but for veth, and behind it elsewhere.
    #[default]
    Auto,
    /// Behind the driver, once the kernel has made a packet of the frame.
    Generic,
    /// In the driver.
    Native,
}

/// The daemon that speaks ng.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Where ng requests are received over UDP. Whoever may send here may direct media: keep it on
    /// addresses that only the proxies reach, and see `ng_allow`.
    pub listen: Vec<SocketAddr>,
    /// Where ng is received over TCP, as `cookie document` one after the other. Empty: nowhere.
    pub listen_tcp: Vec<SocketAddr>,
    /// Where ng is received over HTTP (`POST /ng`, `POST /ng-plain`) and WebSocket
    /// (`ng.rtpengine.com`), and where `GET /metrics` is for Prometheus. Empty: nowhere.
    pub listen_http: Vec<SocketAddr>,
    /// The same over TLS (`https://`, `wss://`). It keeps what is said from who listens; who may
    /// ask is still `ng_allow`. Empty: nowhere.
    pub listen_https: Vec<SocketAddr>,
    /// File with the certificate of `listen_https` in PEM, followed by those that lead to its
    /// authority. Relative to the file's folder. Read again on SIGHUP (`systemctl reload
    /// tandem-control`).
    pub tls_certificate: PathBuf,
    /// File with its private key in PEM, without a passphrase. Empty: in the same file.
    pub tls_key: PathBuf,
    /// Who may use ng, on any transport: addresses or networks, such as `192.0.2.0/24`. Others get
    /// no answer and are counted. Name your proxies here if they are not on this host, whose own
    /// IPv4 addresses are what `127.0.0.1` is.
    pub ng_allow: Vec<String>,
    /// Who may read `/metrics` and `/ping` besides those of `ng_allow`, and nothing else: the same
    /// form.
    pub metrics_allow: Vec<String>,
    /// Requests per second of one address; 0 is no limit. Beyond it datagrams are dropped and
    /// connections are read later.
    pub requests_per_second_max: u32,
    /// Connections over TCP, HTTP and WebSocket at most, all together.
    pub connections_max: u32,
    /// Seconds after which a connection is closed over which nothing came; 0 is never. HTTP is
    /// closed after half a minute in any case.
    pub idle_timeout_s: u32,
    /// Seconds without any media after which a call is ended; 0 is never.
    pub media_timeout_s: u32,
    /// Seconds without any media after which a call is ended whose media are all on hold; 0 is
    /// never.
    pub silent_timeout_s: u32,
    /// Seconds after the answer in which something must be heard of a call, or else it is ended;
    /// 0 leaves that to `media_timeout_s`.
    pub first_packet_timeout_s: u32,
    /// Seconds after which a call is ended however lively it is; 0 is never.
    pub final_timeout_s: u32,
    /// Seconds that a deleted call lives on, unless the request says otherwise.
    pub delete_delay_s: u32,
    /// Seconds that an offer waits for an answer before its ports are given back.
    pub offer_timeout_s: u32,
    /// Seconds from one look at how a call sounds to the next, each of which is a sample for the
    /// lowest and highest MOS and its progression in replies of ng, and for `/metrics`; 0 is never,
    /// then there is one sample, the call so far. 3600 at most.
    pub quality_interval_s: u32,
    /// Calls at most; further offers are answered with `load limit`.
    pub calls_max: u32,
    /// Load average of the last minute from which on new calls are turned away; 0 is no limit.
    /// This and the other limits are changed without a restart by `tandem limit set`.
    pub load_max: f64,
    /// How busy the host's processors may be before new calls are turned away, in percent of all
    /// of them; 0 is no limit.
    pub cpu_percent_max: u8,
    /// Media that leaves the relay, in Mbit/s of UDP payload, from which on new calls are turned
    /// away; 0 is no limit.
    pub bandwidth_mbit_max: u32,
    /// One line of the log for each call that is over: who, how long, what was lost, how it
    /// sounded. These lines are not limited by `log.lines_per_second_max`.
    pub call_records: bool,
    /// Where HEPv3 is sent for Homer, as `ADDRESS:PORT` over UDP: each ng request and reply, and what
    /// parties report by RTCP.
    /// Empty (`""`): nowhere.
    #[serde(with = "empty_is_none")]
    #[schemars(with = "String")]
    pub hep: Option<SocketAddr>,
    /// By which number Homer knows this host.
    pub hep_agent_id: u32,
    /// Where the keys that parties press as events (RFC 4733) are told, as `ADDRESS:PORT`: a JSON
    /// document over UDP for each, as rtpengine's `dtmf-log-dest` has it (Kamailio:
    /// `dtmf_events_sock`). Whoever reads them reads PINs. Empty (`""`): nowhere.
    #[serde(with = "empty_is_none")]
    #[schemars(with = "String")]
    pub dtmf_log: Option<SocketAddr>,
    /// Tell each key to all clients of ng over TCP (`listen_tcp`), too, as rtpengine does with
    /// `dtmf-log-ng-tcp`.
    pub dtmf_log_ng_tcp: bool,
    /// Folder of the files that `play media` in ng may play: those in it and below it, and no others.
    /// Relative to this file's folder. Empty: none, only what comes with a request.
    pub media_folder: PathBuf,
    /// How the address of a party is learnt, unless the request says otherwise: `heuristic`,
    /// `delayed`, `immediate` or `off` ([learning](learning.md)).
    pub endpoint_learning: EndpointLearning,
    /// What becomes of media from another source than the one that was learnt: `drop`, or
    /// `forward` it all the same, as rtpengine does without `strict source`; then whoever sends to
    /// a port of a call is heard ([learning](learning.md)).
    pub other_sources: OtherSources,
    /// Other names of the relay's interfaces, as `other=name`.
    pub interface_aliases: Vec<String>,
    /// When the relay decodes media and encodes it anew: `when-needed`, which offers to the callee,
    /// behind the caller's codecs, those that the relay has, and translates if the two share none;
    /// `directives`, only if a proxy asks for it (`transcode` in ng); `never`.
    pub transcode: Transcode,
    /// Where a proxy directs what becomes of codecs and leaves a choice: how much better (above 0)
    /// or worse it is to make one codec of another than to make a third one, as
    /// `ARRIVES>LEAVES=POINTS`, such as `PCMU>opus=-5`. The first that fits two codecs holds.
    pub codec_preferences: Vec<String>,
    /// How much work is made of Opus, 0 to 10, unless the proxy says (`codec-set` in ng): 0 takes a
    /// quarter of the time of 10. Less is made of it while there is too much to do.
    pub opus_complexity: u8,
    /// Bits a second of Opus, 6000 to 510000, unless the proxy says or the party wants less. 0:
    /// what suits the sample rate (16000 beside codecs of 8 kHz).
    pub opus_bitrate: u32,
    /// Percent of packets that Opus takes for lost on the way to who wants things said twice
    /// (`useinbandfec=1`). 0: nothing is said twice.
    pub opus_loss_percent: u8,
    /// Whether a party that prefers two channels of Opus (`stereo=1`) gets them, as with rtpengine:
    /// both say the same, each at half the power, for half as many bits again. Between two parties
    /// that both have Opus, two channels stay two if who sends says so (`sprop-stereo=1`), whatever
    /// stands here; if this is set, also if neither says anything.
    pub opus_stereo: bool,
}

/// What becomes of media from another source than the party's.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OtherSources {
    /// It goes no further.
    #[default]
    Drop,
    /// It goes on as if it were the party's.
    Forward,
}

/// How the address of a party is learnt.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointLearning {
    /// From the first packet that comes three seconds after the answer or later.
    Delayed,
    /// By the best match with what was signalled.
    #[default]
    Heuristic,
    /// From the first packet.
    Immediate,
    /// Not at all: media is taken from the signalled address only.
    Off,
}

/// When media is transcoded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transcode {
    /// If a proxy asks for it.
    Directives,
    /// Never.
    Never,
    /// If a proxy asks for it, and if caller and callee share no codec.
    #[default]
    WhenNeeded,
}

/// The registrar and proxy.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SipProxy {
    /// Where SIP is received, as `udp:ADDRESS:PORT` or `tcp:ADDRESS:PORT`. An unspecified
    /// address (0.0.0.0) stands for each IPv4 address of the host.
    pub listen: Vec<String>,
    /// Address that Via and Record-Route say instead, behind a one-to-one NAT.
    pub advertise: Option<IpAddr>,
    /// Domains that are ours besides the addresses listened on. The first is the realm of
    /// digest authentication.
    pub domains: Vec<String>,
    /// The control daemon's ng address. Empty (`""`): media is not relayed.
    #[serde(with = "empty_is_none")]
    #[schemars(with = "String")]
    pub control: Option<SocketAddr>,
    /// Milliseconds that an ng request may take, retransmissions included, before the call is
    /// refused.
    pub control_timeout_ms: u32,
    /// Shortest registration granted, in seconds.
    pub expires_min_s: u32,
    /// Longest registration granted, in seconds.
    pub expires_max_s: u32,
    /// Contacts of one account at most.
    pub contacts_max: u32,
    /// Seconds that a call may ring before it is cancelled (timer C).
    pub ring_timeout_s: u32,
    /// Seconds that a call may last; 0 is no limit.
    pub call_duration_max_s: u32,
    /// Requests per second that one source address may send before it is ignored; 0 is no
    /// limit. Registered phones' addresses may send ten times as many.
    pub requests_per_second_max: u32,
    /// Calls at most.
    pub calls_max: u32,
    /// Connections over TCP at most.
    pub connections_max: u32,
}

impl Default for Tandem {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            runtime_dir: None,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
            lines_per_second_max: 10,
        }
    }
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            ports: [30_000, 39_999],
            workers: 0,
            cores: Vec::new(),
            codec_threads: None,
            driver: Driver::Auto,
            kernel_table: KernelTable::Off,
            kernel_table_interfaces: Vec::new(),
            kernel_table_xdp: Xdp::Auto,
            calls_per_worker_max: 10_000,
            batch_wait_us: 300,
            packets_per_port_max: 200_000,
            idle_sockets_max: 16_384,
            dscp: 46,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 2223))],
            listen_tcp: Vec::new(),
            listen_http: Vec::new(),
            listen_https: Vec::new(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            ng_allow: vec!["127.0.0.0/8".to_owned(), "::1".to_owned()],
            metrics_allow: Vec::new(),
            requests_per_second_max: 50_000,
            connections_max: 256,
            idle_timeout_s: 600,
            media_timeout_s: 60,
            silent_timeout_s: 3_600,
            first_packet_timeout_s: 0,
            final_timeout_s: 0,
            delete_delay_s: 0,
            offer_timeout_s: 180,
            quality_interval_s: 10,
            calls_max: 20_000,
            load_max: 0.0,
            cpu_percent_max: 0,
            bandwidth_mbit_max: 0,
            call_records: true,
            hep: None,
            hep_agent_id: 2_001,
            dtmf_log: None,
            dtmf_log_ng_tcp: false,
            media_folder: PathBuf::new(),
            endpoint_learning: EndpointLearning::Heuristic,
            other_sources: OtherSources::Drop,
            interface_aliases: Vec::new(),
            transcode: Transcode::default(),
            codec_preferences: Vec::new(),
            opus_complexity: 0,
            opus_bitrate: 0,
            opus_loss_percent: 5,
            opus_stereo: false,
        }
    }
}

impl Default for SipProxy {
    fn default() -> Self {
        Self {
            listen: vec!["udp:0.0.0.0:5060".to_owned(), "tcp:0.0.0.0:5060".to_owned()],
            advertise: None,
            domains: Vec::new(),
            control: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 2223))),
            control_timeout_ms: 2_000,
            expires_min_s: 60,
            expires_max_s: 3_600,
            contacts_max: 10,
            ring_timeout_s: 180,
            call_duration_max_s: 14_400,
            requests_per_second_max: 100,
            calls_max: 20_000,
            connections_max: 4_000,
        }
    }
}

/// An address, or `""` where TOML has no way to say that there is none.
mod empty_is_none {
    use std::net::SocketAddr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "" => Ok(None),
            address => address.parse().map(Some).map_err(D::Error::custom),
        }
    }

    #[expect(
        clippy::ref_option,
        reason = "serde calls it with a reference to the field"
    )]
    pub(super) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(""),
        }
    }
}
