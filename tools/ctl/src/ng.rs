//! `tandem ng`: any request to any ng server, by hand.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use control_ng::{Dictionary, Reply, Value};
use tandem_settings::load;

use crate::failure::Failure;
use crate::ng_client::{Server, accepted, dictionary_to_json, server_of};
use crate::output::{outline, print, print_bytes, print_json, remark};
use crate::{Context, examples};

/// Bytes of SDP that are read; more does not fit a datagram.
const SDP_BYTES_MAX: u64 = 60_000;

/// `tandem ng`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem ng ping" => "is control there?",
    "tandem ng offer --call-id c1 --from-tag a --sdp offer.sdp --flag trust-address --set ICE=remove" => "the rewritten SDP goes to standard output",
    "tandem ng answer --call-id c1 --from-tag a --to-tag b < answer.sdp" => "the answer to it",
    "tandem ng delete --call-id c1 --json" => "ends the call, prints its counts",
    "tandem ng list --server 192.0.2.7:22222" => "asks another server, such as an rtpengine",
    "tandem ng ping --server https://relay1.example:2226" => "over TLS",
    "tandem ng request 'block media' --call-id c1 --from-tag a" => "any other command, with any keys"
))]
pub(crate) struct NgArgs {
    #[command(flatten)]
    server: ServerArgs,

    #[command(subcommand)]
    command: NgCommand,
}

#[derive(Args, Debug)]
struct ServerArgs {
    /// The ng server: ADDRESS:PORT (UDP), `tcp://ADDRESS:PORT`, `http://HOST:PORT`,
    /// `ws://HOST:PORT`, or `https:` and `wss:`. Without it: the first of control.listen in the
    /// settings
    #[arg(long, global = true, value_name = "ADDRESS")]
    server: Option<Server>,

    /// Milliseconds to wait for the reply; over UDP the request is repeated twice a second until then
    #[arg(long, global = true, value_name = "MS", default_value_t = 3_000)]
    timeout: u64,

    /// File with the authority of the server's certificate in PEM, or with the certificate if it
    /// signed itself. Without it: what this host trusts
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum NgCommand {
    /// Ask whether the server is there
    Ping,
    /// Give an SDP offer and print what to send on instead
    Offer(SdpArgs),
    /// Give an SDP answer and print what to send on instead
    Answer(SdpArgs),
    /// Ask for the state and the counts of a call
    Query(CallArgs),
    /// End a call and print its counts
    Delete(CallArgs),
    /// Name the calls there are
    List {
        /// How many at most
        #[arg(long, default_value_t = 32)]
        limit: u32,
    },
    /// Print the counts of the whole server
    Statistics,
    /// Send any other command, such as 'block media', and print the whole reply
    Request(RequestArgs),
}

#[derive(Args, Debug)]
struct RequestArgs {
    /// The command, as ng spells it
    command: String,

    /// Call-ID
    #[arg(long, value_name = "ID")]
    call_id: Option<String>,

    #[command(flatten)]
    more: KeyArgs,

    /// File with an SDP; `-` is standard input
    #[arg(long, value_name = "FILE")]
    sdp: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct SdpArgs {
    #[command(flatten)]
    call: CallArgs,

    /// File with the SDP; `-` is standard input. Bare line feeds become CRLF
    #[arg(long, value_name = "FILE", default_value = "-")]
    sdp: PathBuf,
}

#[derive(Args, Debug)]
struct CallArgs {
    /// Call-ID
    #[arg(long, value_name = "ID")]
    call_id: String,

    #[command(flatten)]
    more: KeyArgs,
}

#[derive(Args, Debug)]
struct KeyArgs {
    /// Tag of the party that made the offer
    #[arg(long, value_name = "TAG")]
    from_tag: Option<String>,

    /// Tag of the other party
    #[arg(long, value_name = "TAG")]
    to_tag: Option<String>,

    /// A word for the list of flags; may be given many times
    #[arg(long = "flag", value_name = "WORD")]
    flags: Vec<String>,

    /// Any other key; `KEY=[A,B]` makes a list. May be given many times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, Setting)>,
}

/// The value of `--set`.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Setting {
    List(Vec<String>),
    Text(String),
}

fn parse_setting(text: &str) -> Result<(String, Setting), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or("not of the form KEY=VALUE")?;
    let list = value.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let value = match list {
        Some(list) => Setting::List(list.split(',').map(|it| it.trim().to_owned()).collect()),
        None => Setting::Text(value.to_owned()),
    };
    Ok((key.to_owned(), value))
}

/// Sends the request and prints the reply.
pub(crate) fn run(context: &Context, args: &NgArgs) -> Result<(), Failure> {
    let server = match &args.server.server {
        Some(server) => server.clone(),
        None => Server::Udp(server_of(&load(context.config.as_deref())?)?),
    };
    let sdp = args.command.read_sdp()?;
    let timeout = Duration::from_millis(args.server.timeout);
    let request = args.command.request(sdp.as_deref());
    let body = server.ask(&request, timeout, args.server.ca.as_deref())?;
    let reply = accepted(&body)?;
    if let Some(warning) = reply.warning() {
        remark(&format!("warning of the server: {warning}"));
    }
    if context.json {
        return print_json(&dictionary_to_json(reply.dictionary()));
    }
    args.command.print(&reply)
}

impl NgCommand {
    fn read_sdp(&self) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Offer(args) | Self::Answer(args) => read_sdp(&args.sdp).map(Some),
            Self::Request(args) => args.sdp.as_deref().map(read_sdp).transpose(),
            _ => Ok(None),
        }
    }

    fn request<'a>(&'a self, sdp: Option<&'a [u8]>) -> Dictionary<'a> {
        let request = Dictionary::new().with("command", self.name());
        match self {
            Self::Ping | Self::Statistics => request,
            Self::List { limit } => request.with("limit", *limit),
            Self::Query(call) | Self::Delete(call) => call.add_to(request),
            Self::Offer(args) | Self::Answer(args) => args
                .call
                .add_to(request)
                .with("sdp", sdp.unwrap_or_default()),
            Self::Request(args) => args.add_to(request, sdp),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Answer(_) => "answer",
            Self::Delete(_) => "delete",
            Self::List { .. } => "list",
            Self::Offer(_) => "offer",
            Self::Ping => "ping",
            Self::Query(_) => "query",
            Self::Request(args) => &args.command,
            Self::Statistics => "statistics",
        }
    }

    fn print(&self, reply: &Reply<'_>) -> Result<(), Failure> {
        match self {
            Self::Ping => print("pong"),
            Self::Offer(_) | Self::Answer(_) => match reply.sdp() {
                Some(sdp) => print_bytes(sdp),
                None => Err(Failure::failed("the server's reply has no SDP")),
            },
            Self::List { .. } => print_calls(reply),
            Self::Delete(_) | Self::Query(_) | Self::Request(_) | Self::Statistics => {
                print(&outline(&dictionary_to_json(reply.dictionary())))
            }
        }
    }
}

fn print_calls(reply: &Reply<'_>) -> Result<(), Failure> {
    let calls = call_ids(reply);
    match calls.is_empty() {
        true => print("no calls"),
        false => print(&calls.join("\n")),
    }
}

/// The Call-IDs in the reply to `list`.
pub(crate) fn call_ids(reply: &Reply<'_>) -> Vec<String> {
    let calls = reply.dictionary().get("calls").and_then(Value::as_list);
    let ids = calls.unwrap_or_default().iter().filter_map(Value::as_bytes);
    ids.map(|id| String::from_utf8_lossy(id).into_owned())
        .collect()
}

impl CallArgs {
    fn add_to<'a>(&'a self, request: Dictionary<'a>) -> Dictionary<'a> {
        let request = request.with("call-id", self.call_id.as_str());
        self.more.add_to(request)
    }
}

impl RequestArgs {
    fn add_to<'a>(&'a self, mut request: Dictionary<'a>, sdp: Option<&'a [u8]>) -> Dictionary<'a> {
        if let Some(call_id) = &self.call_id {
            request = request.with("call-id", call_id.as_str());
        }
        request = self.more.add_to(request);
        match sdp {
            Some(sdp) => request.with("sdp", sdp),
            None => request,
        }
    }
}

impl KeyArgs {
    fn add_to<'a>(&'a self, mut request: Dictionary<'a>) -> Dictionary<'a> {
        for (key, tag) in [("from-tag", &self.from_tag), ("to-tag", &self.to_tag)] {
            if let Some(tag) = tag {
                request = request.with(key, tag.as_str());
            }
        }
        if !self.flags.is_empty() {
            request = request.with("flags", list(&self.flags));
        }
        for (key, setting) in &self.settings {
            request = match setting {
                Setting::List(words) => request.with(key, list(words)),
                Setting::Text(text) => request.with(key, text.as_str()),
            };
        }
        request
    }
}

fn list(words: &[String]) -> Vec<Value<'_>> {
    words
        .iter()
        .map(|word| Value::from(word.as_str()))
        .collect()
}

fn read_sdp(path: &Path) -> Result<Vec<u8>, Failure> {
    let explain = |error: io::Error| {
        Failure::usage(format!(
            "cannot read the SDP from {}: {error}",
            path.display()
        ))
    };
    let mut sdp = Vec::new();
    if path.as_os_str() == "-" {
        let stdin = io::stdin().lock();
        stdin
            .take(SDP_BYTES_MAX)
            .read_to_end(&mut sdp)
            .map_err(explain)?;
    } else {
        let file = fs::File::open(path).map_err(explain)?;
        file.take(SDP_BYTES_MAX)
            .read_to_end(&mut sdp)
            .map_err(explain)?;
    }
    if sdp.is_empty() {
        return Err(Failure::usage(format!(
            "the SDP in {} is empty",
            path.display()
        )));
    }
    Ok(with_crlf(&sdp))
}

/// Ends each line as SDP wants it (RFC 8866 §5), so that a file from an editor will do.
fn with_crlf(sdp: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sdp.len() + 32);
    for line in sdp.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_texts_or_lists() {
        let text = Setting::Text("remove".to_owned());
        assert_eq!(parse_setting("ICE=remove"), Ok(("ICE".to_owned(), text)));
        let list = Setting::List(vec!["origin".to_owned(), "session name".to_owned()]);
        assert_eq!(
            parse_setting("replace=[origin, session name]"),
            Ok(("replace".to_owned(), list))
        );
        assert!(parse_setting("ICE").is_err());
        assert!(parse_setting("=x").is_err());
    }

    #[test]
    fn lines_end_as_sdp_wants_them_however_the_file_ends_them() {
        assert_eq!(with_crlf(b"v=0\ns=-"), b"v=0\r\ns=-\r\n");
        assert_eq!(with_crlf(b"v=0\r\ns=-\r\n"), b"v=0\r\ns=-\r\n");
    }
}
