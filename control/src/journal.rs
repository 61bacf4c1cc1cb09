//! What the core finds worth telling, as lines of the log. Their number is limited per kind.

use control_core::{EndReason, Notice};
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
        Notice::RequestRefused { client, reason } => {
            warn!(client = %client.remote, reason, "request refused");
        }
        Notice::Unheeded { client, names } => {
            debug!(client = %client.remote, names, "not acted on");
        }
        _ => info!(?notice, "noted"),
    }
}
