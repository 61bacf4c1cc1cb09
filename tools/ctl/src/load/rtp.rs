//! `tandem load rtp`

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use tandem_load::rtp::{CODECS, Codec, Options, Packets, Progress, Report, Target};
use tandem_settings::load;

use super::{
    CommonArgs, add_uses, draw, explain, millis, progress_bar, seconds, stop_flag, tell_limits,
    thousands, times,
};
use crate::failure::Failure;
use crate::ng_client::server_of;
use crate::output::{Grid, print_as_json};
use crate::{Context, examples};

/// `tandem load rtp`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem load rtp --calls 100 --seconds 60" => "100 calls through our own relay, for a minute",
    "tandem load rtp --server 127.0.0.1:22222 --calls 1000 --rate 100000 --watch rtpengine" => "the same through another ng server, at 100,000 packets/s, with what it costs",
    "tandem load rtp --to 127.0.0.1:7 --one-way" => "to an address that sends back what it gets",
    "tandem load rtp --calls 500 --codec opus --ptime 60 --plot latency.svg --json" => "figures for programs, and a picture"
))]
pub(super) struct RtpArgs {
    /// The ng server. Without it: the first of control.listen in the settings
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "to")]
    server: Option<SocketAddr>,

    /// Send to this address instead, which must send back what it gets; may be given many times
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: Vec<SocketAddr>,

    /// Calls
    #[arg(long, value_name = "N", default_value_t = 10)]
    calls: u32,

    /// Seconds to send
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,

    /// Packets per second of all streams together. Without it: each stream sends one every ptime
    #[arg(long, value_name = "N")]
    rate: Option<u64>,

    /// Codec that the packets are said to be of
    #[arg(long, default_value = "pcmu", value_parser = codec_parser())]
    codec: Codec,

    /// Number of the codec in the RTP header, if another
    #[arg(long, value_name = "N")]
    payload_type: Option<u8>,

    /// Bytes of a payload. Without it: as many as the codec makes in a ptime
    #[arg(long, value_name = "BYTES")]
    payload: Option<usize>,

    /// Milliseconds of sound in a packet
    #[arg(long, value_name = "MS", default_value_t = 20)]
    ptime: u64,

    /// Send only from the callers to the callees
    #[arg(long)]
    one_way: bool,

    /// Streams send at even distances, instead of at random points of the interval
    #[arg(long)]
    even: bool,

    /// Seconds over which the streams begin
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    ramp: f64,

    /// Seconds at the beginning in which times and CPU are not measured
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    warm_up: f64,

    /// Milliseconds to wait for packets after the last one was sent
    #[arg(long, value_name = "MS", default_value_t = 500)]
    drain: u64,

    /// Say that the callees are at this address, where nobody receives: then the relay's core
    /// pays for the relay alone
    #[arg(long, value_name = "ADDRESS")]
    sink: Option<IpAddr>,

    /// Interface that what is sent to the sink arrives at, and nothing else, such as one of type
    /// ifb: what it counts is what was received
    #[arg(long, value_name = "NAME", requires = "sink")]
    sink_device: Option<String>,

    /// Address of this program's own sockets. Without it: the one that the server is reached from
    #[arg(long, value_name = "ADDRESS")]
    local: Option<IpAddr>,

    /// Send whole frames on this interface and take them from it, past this host's network stack:
    /// for more packets/s than a UDP socket takes. Only to IPv4 hosts on the same link, and only
    /// root may. With it --local may be an address that no host has, if the other side knows a
    /// hardware address for it: then what comes back costs this host least
    #[arg(long, value_name = "INTERFACE")]
    link: Option<String>,

    /// Send what is due within so many microseconds at once, as a network card hands over what
    /// arrived between two interrupts
    #[arg(long, value_name = "US", default_value_t = 0)]
    gather: u64,

    /// Cores to send from, one thread each, as in 0,2,3. Without it: one thread, on any core
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    cores: Vec<usize>,

    /// Milliseconds that the server may take for a reply
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    timeout: u64,

    #[command(flatten)]
    common: CommonArgs,
}

fn codec_parser() -> impl TypedValueParser<Value = Codec> {
    let names = CODECS.map(|codec| codec.name);
    PossibleValuesParser::new(names).map(|name| {
        let found = CODECS.into_iter().find(|codec| codec.name == name);
        found.unwrap_or(CODECS[0])
    })
}

/// Sends, prints the report, and says whether nothing was lost.
pub(super) fn run(context: &Context, args: &RtpArgs) -> Result<bool, Failure> {
    let options = options(context, args)?;
    let stop = stop_flag()?;
    let bar = progress_bar(options.duration);
    let result = tandem_load::rtp::run(&options, &stop, |progress: Progress| {
        bar.set_position(millis(progress.elapsed));
        bar.set_message(format!(
            "{} sent, {} received",
            thousands(progress.sent),
            thousands(progress.received)
        ));
    });
    bar.finish_and_clear();
    let report = result.map_err(explain)?;
    if let Some(path) = &args.common.plot {
        let curves = [report.latency_curve(&report.asked.target)];
        draw(path, "Latency", "one packet in … takes longer", &curves)?;
    }
    if context.json {
        print_as_json(&report)?;
    } else {
        print_report(&report)?;
    }
    tell_limits(
        &report.generator.limits,
        "use more or other cores, or less load",
    );
    Ok(report.is_clean())
}

fn options(context: &Context, args: &RtpArgs) -> Result<Options, Failure> {
    let target = match (args.server, args.to.is_empty()) {
        (Some(server), _) => Target::Ng(server),
        (None, false) => Target::Echoes(args.to.clone()),
        (None, true) => Target::Ng(server_of(&load(context.config.as_deref())?)?),
    };
    let common = &args.common;
    Ok(Options {
        calls: args.calls,
        is_one_way: args.one_way,
        codec: args.codec,
        payload_type: args.payload_type,
        payload_len: args.payload,
        ptime: Duration::from_millis(args.ptime),
        rate: args.rate,
        duration: seconds("--seconds", args.seconds)?,
        warm_up: seconds("--warm-up", args.warm_up)?,
        ramp: seconds("--ramp", args.ramp)?,
        drain: Duration::from_millis(args.drain),
        is_jittered: !args.even,
        sink: args.sink,
        sink_device: args.sink_device.clone(),
        local: args.local,
        link: args.link.clone(),
        gather: Duration::from_micros(args.gather),
        cores: args.cores.clone(),
        watch: common.watch.iter().map(|it| it.as_str().into()).collect(),
        watch_cores: common.watch_core.clone(),
        timeout: Duration::from_millis(args.timeout),
        ..Options::new(target, common.permission())
    })
}

fn print_report(report: &Report) -> Result<(), Failure> {
    let asked = &report.asked;
    let mut grid = Grid::new(&["WHAT", "HOW MUCH"]);
    let mut row = |what: &str, how_much: String| grid.row([what.to_owned(), how_much]);
    row(
        "asked",
        format!(
            "{} streams through {}, {:.0} packets/s, {} bytes of {}",
            asked.streams, asked.target, asked.packets_per_second, asked.payload_bytes, asked.codec
        ),
    );
    if report.is_stopped {
        row("stopped", "before its time".to_owned());
    }
    if let Some(set_up) = &report.set_up {
        let (seconds, rate) = (set_up.seconds, set_up.calls_per_second);
        row("set up", format!("{seconds:.2} s, {rate:.0} calls/s"));
    }
    for (what, how_much) in packet_rows(&report.packets) {
        row(what, how_much);
    }
    if let Some(latency) = &report.latency_us {
        row("latency", times(latency));
    }
    row("sent late by", times(&report.generator.lateness_us));
    if report.generator.link_full > 0 {
        let full = thousands(report.generator.link_full);
        row("no room on the link", format!("{full} packets"));
    }
    if report.generator.sends_refused > 0 {
        let refused = thousands(report.generator.sends_refused);
        row("refused", format!("{refused} sends"));
    }
    add_uses(&mut grid, "packet", &report.processes, &report.cores);
    grid.print("")
}

fn packet_rows(packets: &Packets) -> Vec<(&'static str, String)> {
    let rate = packets.sent_per_second;
    let mut rows = vec![(
        "sent",
        format!("{} packets, {rate:.0} a second", thousands(packets.sent)),
    )];
    match (packets.received, packets.lost, packets.lost_share) {
        (Some(received), Some(lost), Some(share)) => {
            rows.push(("received", thousands(received)));
            let percent = share * 100.0;
            rows.push(("lost", format!("{} ({percent:.4} %)", thousands(lost))));
        }
        _ => rows.push(("received", "nobody counts".to_owned())),
    }
    let oddities = [
        ("reordered", packets.reordered),
        ("duplicated", packets.duplicated),
        ("too late", packets.late),
        ("corrupted", packets.corrupted),
        ("misdelivered", packets.misdelivered),
        ("of other runs", packets.foreign),
    ];
    let odd = oddities.into_iter().filter(|(_, count)| *count > 0);
    rows.extend(odd.map(|(what, count)| (what, thousands(count))));
    rows
}
