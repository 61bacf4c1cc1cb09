//! What the core finds worth telling, as lines of the log. Their number is limited per kind.

use std::fmt;

use control_core::{CallSummary, EndReason, Notice, Side};
use tracing::{debug, info, warn};

/// Writes one line.
pub(crate) fn write(notice: &Notice) {
    match notice {
        Notice::CallEnded { call_id, reason } => match reason {
            EndReason::Deleted => debug!(call_id, "call ended"),
            EndReason::FinalTimeout => info!(call_id, "call ended: it was too long"),
            EndReason::FirstPacketTimeout => info!(call_id, "call ended: there never were media"),
            EndReason::MediaTimeout => info!(call_id, "call ended: no media"),
            EndReason::SilentTimeout => info!(call_id, "call ended: on hold for too long"),
            EndReason::OfferTimeout => info!(call_id, "call ended: no answer"),
        },
        Notice::CallLost { call, reason } => {
            warn!(call, reason, "a call could not be kept; its media ends");
        }
        Notice::CallRecord { reason, summary } => write_record(summary, *reason),
        Notice::CallStarted { call_id } => debug!(call_id, "call began"),
        Notice::Recovered {
            adopted,
            restored,
            removed,
        } => info!(
            adopted,
            restored, removed, "calls agreed upon with the relay"
        ),
        Notice::RelayRefused { call_id, error } => {
            warn!(call_id, %error, "the relay could not do it");
        }
        Notice::Commanded { client, line } => {
            info!(client = %client.remote, ?line, "told by cli");
        }
        Notice::RequestRefused { client, reason } => {
            warn!(client = %client.remote, reason, "request refused");
        }
        Notice::Unheeded { client, names } => {
            debug!(client = %client.remote, names, "not acted on");
        }
        _ => info!(?notice, "noted"),
    }
}

/// One line for a call that is over. Lines of this target are not limited: there is one a call.
fn write_record(call: &CallSummary, reason: EndReason) {
    info!(
        target: "tandem::call_record",
        call_id = %call.call_id,
        reason = reason.text(),
        answered = call.is_answered,
        created_ms = call.created_unix_ms,
        duration_ms = call.duration_ms,
        worker = call.worker,
        packets = call.packets(),
        lost = call.lost(),
        mos = call.mos_tenths().map(tenths),
        sides = %Sides(&call.sides),
        "call record"
    );
}

fn tenths(mos: u64) -> f64 {
    f64::from(u32::try_from(mos).unwrap_or_default()) / 10.0
}

/// `tag,interface,address,codec,packets,bytes,lost,jitter ms,mos; …`
struct Sides<'a>(&'a [Side]);

impl fmt::Display for Sides<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, side) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let remote = side.remote.map(|it| it.to_string()).unwrap_or_default();
            let jitter_ms = side.jitter_us.map(|us| us / 1_000);
            write!(
                f,
                "{separator}{},{},{remote},{},{},{},{},{},{}",
                side.tag,
                side.interface,
                side.codec.unwrap_or_default(),
                side.packets,
                side.bytes,
                side.lost,
                jitter_ms.map(|it| it.to_string()).unwrap_or_default(),
                side.mos_tenths
                    .map(|it| tenths(it).to_string())
                    .unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}
