//! What is asked about an SDP, and what becomes of a message when the answer comes.

use sip_proxy_message::{Edits, Message};

use crate::fork::{Branch, Final, Fork, Kind, MediaParties, Passing, SdpRole};
use crate::interface::{MediaError, MediaRequest, MediaSdp, Source};

/// What to ask before a branch is sent.
pub(super) fn request_question(fork: &Fork, branch: &Branch) -> Option<MediaRequest> {
    let parties = fork.media.as_ref()?;
    if parties.request_sdp == SdpRole::None {
        return None;
    }
    let message = Message::parse(&fork.request).ok()?;
    let sdp = |from_tag: String, to_tag: Option<String>| MediaSdp {
        call_id: parties.call_id.clone(),
        from_tag,
        to_tag,
        via_branch: media_branch(fork, branch, parties),
        received_from: fork.source.address.ip(),
        sdp: message.body().to_vec(),
    };
    let sender = parties.sender_tag.clone();
    let other = parties.other_tag.clone();
    match parties.request_sdp {
        SdpRole::None => None,
        SdpRole::Offer => Some(MediaRequest::Offer(sdp(sender, other))),
        SdpRole::Answer => Some(MediaRequest::Answer(sdp(
            other.unwrap_or_default(),
            Some(sender),
        ))),
    }
}

/// What to ask before a response with SDP is passed on.
pub(super) fn response_question(
    fork: &Fork,
    branch: &Branch,
    parties: &MediaParties,
    source: Source,
    passing: &Passing,
    message: &Message<'_>,
) -> Option<MediaRequest> {
    let responder = text(&passing.to_tag);
    let sender = parties.sender_tag.clone();
    let sdp = |from_tag: String, to_tag: String| MediaSdp {
        call_id: parties.call_id.clone(),
        from_tag,
        to_tag: Some(to_tag),
        via_branch: media_branch(fork, branch, parties),
        received_from: source.address.ip(),
        sdp: message.body().to_vec(),
    };
    match parties.request_sdp {
        SdpRole::Answer => None,
        SdpRole::None => Some(MediaRequest::Offer(sdp(responder, sender))),
        SdpRole::Offer => Some(MediaRequest::Answer(sdp(sender, responder))),
    }
}

/// Names the fork to the relay: the branch of the first INVITE, for the whole dialog.
pub(super) fn media_branch(fork: &Fork, branch: &Branch, parties: &MediaParties) -> Option<String> {
    match fork.kind {
        Kind::First => Some(branch.key.emit()),
        Kind::InDialog => parties.branch.clone(),
    }
}

/// The response for a branch or a call whose media cannot be had.
pub(super) const fn final_for(error: &MediaError) -> Final {
    let status = match error {
        MediaError::Overloaded(_) => 503,
        MediaError::Refused(_) => 488,
        MediaError::Unreachable => 500,
    };
    Final::Local {
        status,
        is_overload: status == 503,
    }
}

/// Whether the body is an SDP.
pub(crate) fn is_sdp(message: &Message<'_>) -> bool {
    !message.body().is_empty()
        && message
            .content_type()
            .is_some_and(|content_type| content_type.eq_ignore_ascii_case(b"application/sdp"))
}

/// Tags and Call-IDs as text: those that are none were refused before, or name nothing.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn with_sdp(bytes: &[u8], sdp: &[u8]) -> Vec<u8> {
    Message::parse(bytes).map_or_else(
        |_| bytes.to_vec(),
        |message| {
            let mut edits = Edits::new(&message);
            edits.replace_body(None, sdp);
            edits.to_vec()
        },
    )
}
