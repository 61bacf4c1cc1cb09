//! rtpengine's options, and what becomes of each.

use super::write::{self, Settings};

/// Takes the value of an option over; says in words how, or what is wrong with it.
type Apply = fn(&mut Settings, &str) -> Result<String, String>;

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It is taken over.
    Kept(Apply),
    /// It is not needed, because …
    NotNeeded(&'static str),
    /// It cannot be had, because …
    NotSupported(&'static str),
}

/// What becomes of the option of a long name; `None`: there is no such option.
pub(super) fn fate(name: &str) -> Option<Fate> {
    if let Some((_, apply)) = KEPT.iter().find(|(it, _)| *it == name) {
        return Some(Fate::Kept(*apply));
    }
    if name.starts_with("log-level-") {
        return Some(Fate::NotNeeded(LEVELS));
    }
    let reason = |table: &[(&'static str, &[&str])]| {
        let mut rows = table.iter();
        rows.find(|(_, names)| names.contains(&name)).map(|it| it.0)
    };
    let not_needed = reason(NOT_NEEDED).map(Fate::NotNeeded);
    not_needed.or_else(|| reason(NOT_SUPPORTED).map(Fate::NotSupported))
}

/// The long name of a letter.
pub(super) fn long_name(letter: char) -> Option<&'static str> {
    let mut letters = LETTERS.iter();
    letters.find(|(it, _)| *it == letter).map(|it| it.1)
}

/// Whether an option has no value.
pub(super) fn is_switch(name: &str) -> bool {
    SWITCHES.contains(&name)
}

/// Whether an option may be given several times.
pub(super) fn is_list(name: &str) -> bool {
    LISTS.contains(&name)
}

/// With the sections that it names, in words of ours: what preference two codecs have.
pub(super) const TRANSCODE_CONFIG: &str = "transcode-config";

/// A section of it that says something else.
pub(super) const TRANSFORM: &str = "transform";

const LEVELS: &str = "write a filter such as info,control=debug in log.level";

const KEPT: &[(&str, Apply)] = &[
    ("interface", write::interface),
    ("listen-ng", write::listen_ng),
    ("listen-tcp-ng", write::listen_tcp),
    ("listen-http", write::listen_http),
    ("listen-https", write::listen_https),
    ("https-cert", write::certificate),
    ("https-key", write::key),
    ("http-idle-timeout", write::idle),
    ("timeout", write::timeout),
    ("silent-timeout", write::silent),
    ("final-timeout", write::final_),
    ("offer-timeout", write::offer),
    ("delete-delay", write::delete_delay),
    ("port-min", write::port_min),
    ("port-max", write::port_max),
    ("tos", write::tos),
    ("num-threads", write::threads),
    ("max-sessions", write::sessions),
    ("log-level", write::log_level),
    ("endpoint-learning", write::learning),
    ("max-load", write::load),
    ("max-cpu", write::cpu),
    ("max-bandwidth", write::bandwidth),
    ("dtmf-log-dest", write::dtmf),
    ("dtmf-log-ng-tcp", write::dtmf_ng_tcp),
    ("homer", write::homer),
    ("homer-id", write::homer_id),
    (TRANSCODE_CONFIG, write::codec_preference),
];

const NOT_NEEDED: &[(&str, &[&str])] = &[
    (
        "packets are forwarded without a kernel module",
        &[
            "table",
            "no-fallback",
            "kernel-slots",
            "kernel-num-threads",
            "kernel-player",
            "kernel-player-media",
        ],
    ),
    (
        "no firewall rules are written: open the ports of relay.ports yourself",
        &[
            "nftables-chain",
            "nftables-base-chain",
            "nftables-append",
            "nftables-family",
            "xtables",
            "nftables-start",
            "nftables-stop",
            "nftables-status",
            "iptables-chain",
        ],
    ),
    (
        "there is one process for each task, and a supervisor starts it (systemd, or tandem run)",
        &[
            "pidfile",
            "foreground",
            "scheduling",
            "priority",
            "idle-scheduling",
            "idle-priority",
            "thread-stack",
        ],
    ),
    (
        "workers of the relay share nothing, so that there is nothing to choose",
        &[
            "poller-per-thread",
            "poller-size",
            "media-num-threads",
            "max-recv-iters",
            "timer-accuracy",
            "socket-cpu-affinity",
            "io-uring-buffers",
            "http-threads",
            "http-buf-size",
            "codec-num-threads",
        ],
    ),
    (
        "io_uring is used wherever the kernel allows it (relay.driver)",
        &["io-uring"],
    ),
    (
        "calls outlive a restart of control without a database: their records lie with the relay (decision 2)",
        &[
            "redis",
            "redis-write",
            "redis-num-threads",
            "redis-expires",
            "no-redis-required",
            "redis-allowed-errors",
            "redis-disable-time",
            "redis-cmd-timeout",
            "redis-connect-timeout",
            "redis-resolve-on-reconnect",
            "redis-format",
            "redis-tcp-keepalive-time",
            "redis-tcp-keepalive-intvl",
            "redis-tcp-keepalive-probes",
            "redis-delete-async",
            "redis-delete-async-interval",
        ],
    ),
    (
        "the log goes to standard error, for journald or any collector",
        &[
            "log-stderr",
            "log-facility",
            "log-facility-cdr",
            "log-facility-rtcp",
            "log-facility-dtmf",
            "split-logs",
            "max-log-line-length",
            "no-log-timestamps",
            "log-name",
            "log-mark-prefix",
            "log-mark-suffix",
            "log-srtp-keys",
            "debug-srtp",
        ],
    ),
    (
        "every SDP that cannot be relayed is refused",
        &["reject-invalid-sdp"],
    ),
    (
        "streams are always measured",
        &["measure-rtp", "mos", "ssrc-reporting"],
    ),
    (
        "every port that a call takes is on the interface that it needs",
        &["save-interface-ports"],
    ),
    (
        "name the section with tandem migrate --section",
        &["config-file", "config-section"],
    ),
    (
        "interfaces are all in relay.interfaces",
        &["interfaces-config"],
    ),
    (
        "tandem --help, tandem --version and tandem codec say it",
        &["help", "version", "codecs"],
    ),
    ("the kernel does as it thinks right", &["control-pmtu"]),
];

const NOT_SUPPORTED: &[(&str, &[&str])] = &[
    (
        "calls are not passed to another host",
        &["redis-subscribe", "subscribe-keyspace", "active-switchover"],
    ),
    ("write the flags in the script of the proxy", &["templates"]),
    (
        "the older protocols are not spoken: configure the proxy for ng",
        &["listen-tcp", "listen-udp"],
    ),
    (
        "use tandem status, tandem calls and tandem ng",
        &["listen-cli"],
    ),
    (
        "statistics are not sent to Graphite",
        &[
            "graphite",
            "graphite-interval",
            "graphite-prefix",
            "graphite-timeout",
        ],
    ),
    (
        "only media has a type of service (relay.dscp)",
        &["control-tos"],
    ),
    (
        "keys are told as they come, and only those that are events",
        &[
            "dtmf-no-suppress",
            "dtmf-digit-delay",
            "dtmf-no-log-injects",
        ],
    ),
    ("log.format knows text and json", &["log-format"]),
    (
        "nobody is told by XML-RPC that media ended",
        &["b2b-url", "xmlrpc-format"],
    ),
    (
        "ask for the flag \"SIP source address\" in the script of the proxy",
        &["sip-source"],
    ),
    (
        "SRTP is passed through as it is; DTLS is not ended here",
        &[
            "dtls-passive",
            "dtls-rsa-key-size",
            "dtls-cert-cipher",
            "dtls-mtu",
            "dtls-ciphers",
            "dtls-signature",
        ],
    ),
    (
        "Homer is told of ng over UDP, and of nothing else",
        &[
            "homer-protocol",
            "homer-disable-rtcp-stats",
            "homer-enable-ng",
            "homer-ng-capture-proto",
        ],
    ),
    (
        "calls are not recorded",
        &[
            "recording-dir",
            "recording-method",
            "recording-format",
            "record-egress",
            "record-both",
            "vsc-start-rec",
            "vsc-stop-rec",
            "vsc-start-stop-rec",
            "vsc-pause-rec",
            "vsc-pause-resume-rec",
            "vsc-start-pause-resume-rec",
        ],
    ),
    (
        "media is not played",
        &[
            "mysql-host",
            "mysql-port",
            "mysql-user",
            "mysql-pass",
            "mysql-query",
            "player-cache",
            "preload-media-files",
            "media-files-reload",
            "media-files-expire",
            "expiry-timer",
            "preload-db-media",
            "db-media-reload",
            "db-media-expire",
            "db-media-cache",
            "preload-db-cache",
            "db-cache-reload",
            "cache-media-reload",
            "db-cache-expire",
            "audio-buffer-length",
            "audio-buffer-delay",
            "audio-player",
            "moh-max-duration",
            "moh-max-repeats",
            "moh-attr-name",
            "moh-prevent-double-hold",
        ],
    ),
    (
        "media is passed on as it comes, without a jitter buffer",
        &[
            "jitter-buffer",
            "jb-clock-drift",
            "jb-adaptive",
            "jb-adaptive-min",
            "jb-adaptive-max",
        ],
    ),
    ("Janus is not spoken", &["janus-secret"]),
    ("descriptions carry no name of ours", &["software-id"]),
    (
        "settings of codecs are not there",
        &[
            "dtx-delay",
            "max-dtx",
            "dtx-buffer",
            "dtx-lag",
            "dtx-shift",
            "dtx-cn-params",
            "amr-dtx",
            "evs-dtx",
            "evs-lib-path",
            "silence-detect",
            "cn-payload",
        ],
    ),
    (
        "statistics are not published by MQTT",
        &[
            "mqtt-host",
            "mqtt-port",
            "mqtt-tls-alpn",
            "mqtt-id",
            "mqtt-keepalive",
            "mqtt-user",
            "mqtt-pass",
            "mqtt-cafile",
            "mqtt-capath",
            "mqtt-certfile",
            "mqtt-keyfile",
            "mqtt-publish-qos",
            "mqtt-publish-topic",
            "mqtt-publish-interval",
            "mqtt-publish-scope",
        ],
    ),
    (
        "the interval of RTCP of our own (`generate RTCP`) is fixed",
        &["rtcp-interval"],
    ),
    (
        "codecs are translated here, and not by another host",
        &[TRANSFORM],
    ),
    (
        "requests to other servers are not made",
        &["ng-client-timeout", "ng-client-retries"],
    ),
];

const LETTERS: &[(char, &str)] = &[
    ('t', "table"),
    ('F', "no-fallback"),
    ('S', "save-interface-ports"),
    ('i', "interface"),
    ('l', "listen-tcp"),
    ('u', "listen-udp"),
    ('n', "listen-ng"),
    ('N', "listen-tcp-ng"),
    ('c', "listen-cli"),
    ('g', "graphite"),
    ('G', "graphite-interval"),
    ('T', "tos"),
    ('o', "timeout"),
    ('s', "silent-timeout"),
    ('a', "final-timeout"),
    ('p', "pidfile"),
    ('f', "foreground"),
    ('m', "port-min"),
    ('M', "port-max"),
    ('L', "log-level"),
    ('E', "log-stderr"),
    ('d', "delete-delay"),
    ('r', "redis"),
    ('w', "redis-write"),
    ('k', "subscribe-keyspace"),
    ('q', "no-redis-required"),
    ('y', "redis-delete-async"),
    ('b', "b2b-url"),
    ('x', "xmlrpc-format"),
    ('h', "help"),
    ('v', "version"),
];

const SWITCHES: &[&str] = &[
    "no-fallback",
    "nftables-append",
    "xtables",
    "nftables-start",
    "nftables-stop",
    "nftables-status",
    "save-interface-ports",
    "no-redis-required",
    "redis-resolve-on-reconnect",
    "active-switchover",
    "dtmf-log-ng-tcp",
    "dtmf-no-suppress",
    "dtmf-no-log-injects",
    "sip-source",
    "dtls-passive",
    "homer-disable-rtcp-stats",
    "homer-enable-ng",
    "record-egress",
    "record-both",
    "codecs",
    "log-srtp-keys",
    "jb-clock-drift",
    "jb-adaptive",
    "debug-srtp",
    "reject-invalid-sdp",
    "poller-per-thread",
    "io-uring",
    "player-cache",
    "measure-rtp",
    "foreground",
    "log-stderr",
    "split-logs",
    "no-log-timestamps",
    "help",
    "version",
    "moh-prevent-double-hold",
];

const LISTS: &[&str] = &[
    "interface",
    "listen-ng",
    "listen-tcp-ng",
    "listen-cli",
    "listen-tcp",
    "listen-udp",
    "listen-http",
    "listen-https",
    "subscribe-keyspace",
    "mos",
    "cn-payload",
    "dtx-cn-params",
    "preload-media-files",
    "preload-db-media",
    "preload-db-cache",
];
