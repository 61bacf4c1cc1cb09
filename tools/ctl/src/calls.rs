//! `tandem calls`: the calls in progress.
//!
//! Control knows the calls with media, the SIP proxy who is talking. Either is enough: control
//! may serve another proxy, and a call may have no media yet.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use control_ng::Dictionary;
use serde_json::{Value, json};
use tandem_settings::load;

use crate::failure::Failure;
use crate::ng::call_ids;
use crate::ng_client::{NgClient, accepted, dictionary_to_json, server_of};
use crate::output::{Grid, or_dash, print_json, remark};
use crate::time::{clock, unix_ms};
use crate::{Context, admin, examples};

/// `tandem calls`
#[derive(Args, Debug)]
#[command(after_help = examples!(
    "tandem calls" => "who speaks with whom, since when, and whether packets flow",
    "tandem calls --json" => "the same, with everything that is counted"
))]
pub(crate) struct CallsArgs {
    /// How many calls at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
}

/// Time that control may take for one reply.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What is known of one call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Call {
    /// Control's reply to `query`.
    media: Option<Value>,
    /// The SIP proxy's entry.
    sip: Option<Value>,
}

/// Prints the calls.
pub(crate) fn run(context: &Context, args: &CallsArgs) -> Result<(), Failure> {
    let loaded = load(context.config.as_deref())?;
    let mut calls: BTreeMap<String, Call> = BTreeMap::new();
    let control = server_of(&loaded).and_then(|server| NgClient::new(server, TIMEOUT));
    let media = control.and_then(|client| add_media(&client, args.limit, &mut calls));
    let proxy = admin::ask(&loaded.sip_proxy_socket(), "calls");
    match (media, proxy) {
        (Ok(()), Ok(reply)) => add_sip(&reply, &mut calls),
        // Control beside somebody else's proxy.
        (Ok(()), Err(failure)) if failure.is_unreachable() => {}
        (Err(failure), Ok(reply)) if failure.is_unreachable() => {
            remark(&format!("only what the SIP proxy knows: {failure}"));
            add_sip(&reply, &mut calls);
        }
        (Err(failure), _) | (_, Err(failure)) => return Err(failure),
    }
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    print(context, calls.into_iter().take(limit))
}

fn add_media(
    client: &NgClient,
    limit: u32,
    calls: &mut BTreeMap<String, Call>,
) -> Result<(), Failure> {
    let body = client.ask(
        &Dictionary::new()
            .with("command", "list")
            .with("limit", limit),
    )?;
    for call_id in call_ids(&accepted(&body)?) {
        let query = Dictionary::new()
            .with("command", "query")
            .with("call-id", call_id.as_str());
        let body = client.ask(&query)?;
        // It may have ended since it was listed.
        if let Ok(reply) = accepted(&body) {
            let media = dictionary_to_json(reply.dictionary());
            calls.entry(call_id).or_default().media = Some(media);
        }
    }
    Ok(())
}

fn add_sip(reply: &Value, calls: &mut BTreeMap<String, Call>) {
    for entry in reply["calls"].as_array().into_iter().flatten() {
        if let Some(call_id) = entry["call_id"].as_str() {
            calls.entry(call_id.to_owned()).or_default().sip = Some(entry.clone());
        }
    }
}

fn print(context: &Context, calls: impl Iterator<Item = (String, Call)>) -> Result<(), Failure> {
    if context.json {
        let to_json = |(call_id, call): (String, Call)| json!({"call_id": call_id, "sip": call.sip, "media": call.media});
        return print_json(&calls.map(to_json).collect());
    }
    let mut grid = Grid::new(&[
        "CALLER", "CALLEE", "STATE", ">TIME", ">PACKETS", ">SILENT", "CALL-ID",
    ]);
    let now = unix_ms();
    for (call_id, call) in calls {
        grid.row([
            or_dash(call.sip_text("caller")),
            or_dash(call.sip_text("callee")),
            or_dash(call.state().map(ToOwned::to_owned)),
            or_dash(call.age(now).map(clock)),
            or_dash(call.packets()),
            or_dash(call.silence(now).map(clock)),
            call_id,
        ]);
    }
    grid.print("no calls")
}

impl Call {
    fn sip_text(&self, key: &str) -> Option<String> {
        self.sip.as_ref()?[key].as_str().map(ToOwned::to_owned)
    }

    /// How far it is, if the SIP proxy knows it.
    fn state(&self) -> Option<&'static str> {
        let sip = self.sip.as_ref()?;
        Some(if sip["is_ending"] == true {
            "ending"
        } else if sip["answer_unix_ms"].is_u64() {
            "talking"
        } else if sip["ring_unix_ms"].is_u64() {
            "ringing"
        } else {
            "calling"
        })
    }

    /// Since the answer if it is known, else since the beginning.
    fn age(&self, now_unix_ms: u64) -> Option<Duration> {
        let sip = self.sip.as_ref();
        let of_sip = |key: &str| sip.and_then(|sip| sip[key].as_u64());
        let created = || {
            let seconds = self.media.as_ref()?["created"].as_u64()?;
            Some(seconds * 1_000)
        };
        let since = of_sip("answer_unix_ms")
            .or_else(|| of_sip("start_unix_ms"))
            .or_else(created)?;
        Some(Duration::from_millis(now_unix_ms.saturating_sub(since)))
    }

    /// RTP packets that each party sent: `1500/1498`.
    fn packets(&self) -> Option<String> {
        let tags = self.media.as_ref()?["tags"].as_object()?;
        let counts = tags.values().map(|tag| {
            let counts = streams(tag).filter(|stream| has_flag(stream, "RTP"));
            let sum: u64 = counts
                .filter_map(|it| it["stats"]["packets"].as_u64())
                .sum();
            sum.to_string()
        });
        Some(counts.collect::<Vec<_>>().join("/"))
    }

    /// Since the newest packet of anybody.
    fn silence(&self, now_unix_ms: u64) -> Option<Duration> {
        let tags = self.media.as_ref()?["tags"].as_object()?;
        let newest = tags
            .values()
            .flat_map(streams)
            .filter_map(|stream| stream["last packet"].as_u64())
            .max()?;
        // The server tells whole seconds.
        Some(Duration::from_secs(
            (now_unix_ms / 1_000).saturating_sub(newest),
        ))
    }
}

fn streams(tag: &Value) -> impl Iterator<Item = &Value> {
    let medias = tag["medias"].as_array().into_iter().flatten();
    medias.flat_map(|media| media["streams"].as_array().into_iter().flatten())
}

fn has_flag(stream: &Value, flag: &str) -> bool {
    let flags = stream["flags"].as_array().into_iter().flatten();
    flags.into_iter().any(|it| it.as_str() == Some(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(flag: &str, packets: u64, last: u64) -> Value {
        json!({"flags": [flag], "stats": {"packets": packets}, "last packet": last})
    }

    #[test]
    fn packets_are_those_of_each_party_and_silence_that_of_all() {
        let call = Call {
            media: Some(json!({"created": 100, "tags": {
                "a": {"medias": [{"streams": [stream("RTP", 50, 101), stream("RTCP", 1, 100)]}]},
                "b": {"medias": [{"streams": [stream("RTP", 48, 104)]}]},
            }})),
            sip: None,
        };
        assert_eq!(call.packets().unwrap(), "50/48");
        assert_eq!(call.silence(109_500), Some(Duration::from_secs(5)));
        assert_eq!(call.age(109_500), Some(Duration::from_millis(9_500)));
        assert_eq!(call.sip_text("caller"), None);
    }

    #[test]
    fn a_call_is_as_old_as_its_answer() {
        let sip = json!({"start_unix_ms": 1_000, "answer_unix_ms": 4_000, "caller": "a@b"});
        let call = Call {
            media: None,
            sip: Some(sip),
        };
        assert_eq!(call.age(10_000), Some(Duration::from_secs(6)));
        assert_eq!(call.sip_text("caller").unwrap(), "a@b");
        assert_eq!((call.packets(), call.silence(0)), (None, None));
    }

    #[test]
    fn the_state_follows_from_what_has_happened() {
        let state = |sip: Value| {
            let call = Call {
                media: None,
                sip: Some(sip),
            };
            call.state()
        };
        assert_eq!(state(json!({"ring_unix_ms": null})), Some("calling"));
        assert_eq!(state(json!({"ring_unix_ms": 1})), Some("ringing"));
        let mut sip = json!({"ring_unix_ms": 1, "answer_unix_ms": 2, "is_ending": false});
        assert_eq!(state(sip.clone()), Some("talking"));
        sip["is_ending"] = true.into();
        assert_eq!(state(sip), Some("ending"));
        assert_eq!(Call::default().state(), None, "control alone does not know");
    }
}
