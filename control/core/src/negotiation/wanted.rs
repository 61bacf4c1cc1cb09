//! What a request says of how media is to be carried.

use std::net::IpAddr;

use control_ng::{EndpointLearning, Flag, Flags, Negotiation, RtcpMux, Switch, Words};
use relay_wire::{Handover, Learning, SourceRules};

use crate::call;
use crate::echo::Reflection;
use crate::profile;
use crate::sdp::Sdp;

/// The address that stands in for those in the SDP, if the proxy knows better.
pub(super) fn source(negotiation: &Negotiation<'_>) -> Option<IpAddr> {
    let flags = negotiation.flags;
    let wanted = flags.has(Flag::SipSourceAddress) && !flags.has(Flag::TrustAddress);
    negotiation.received_from.filter(|_| wanted)
}

pub(super) fn learning(negotiation: &Negotiation<'_>, default: Learning) -> Learning {
    match negotiation.endpoint_learning {
        Some(EndpointLearning::Delayed) => Learning::Delayed,
        Some(EndpointLearning::Immediate) => Learning::Immediate,
        Some(EndpointLearning::Heuristic) => Learning::Heuristic,
        Some(EndpointLearning::Off) => Learning::Off,
        _ => default,
    }
}

/// Whether the relay is to report by itself; unless the request says so, it is as it was `before`.
pub(super) fn makes_reports(negotiation: &Negotiation<'_>, before: bool) -> bool {
    let is_flagged = negotiation.flags.has(Flag::GenerateRtcp);
    match negotiation.generate_rtcp {
        Some(Switch::On) => true,
        Some(Switch::Off) => is_flagged,
        _ => before || is_flagged,
    }
}

/// What the flags say of the source of media. Of two that exclude each other the stricter wins.
pub(super) fn source_rules(flags: Flags, forwards_others: bool) -> SourceRules {
    let handover = if flags.has(Flag::StrictSource) {
        Handover::Never
    } else if flags.has(Flag::MediaHandover) {
        Handover::AnyStream
    } else {
        Handover::SameStream
    };
    SourceRules {
        is_asymmetric: flags.has(Flag::Asymmetric),
        waits_for_peer: flags.has(Flag::NatWait),
        pierces_nat: flags.has(Flag::PierceNat),
        handover,
        forwards_others,
        checks_loops: false,
    }
}

/// What becomes of RTCP on the port of RTP in an offer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mux {
    pub(super) is_offered: bool,
    pub(super) accept: bool,
    pub(super) pass_on: bool,
    pub(super) is_required: bool,
}

impl Mux {
    pub(super) fn offer(is_offered: bool, wish: Words<RtcpMux>) -> Self {
        let demux = wish.has(RtcpMux::Demux);
        let reject = wish.has(RtcpMux::Reject);
        let is_required = wish.has(RtcpMux::Require);
        let is_added = is_required || wish.has(RtcpMux::Offer);
        Self {
            is_offered: is_offered && !reject,
            accept: is_offered && !reject && (demux || wish.has(RtcpMux::Accept)),
            pass_on: is_added || (is_offered && !demux && !reject),
            is_required,
        }
    }

    /// Whether the offerer is told that it is agreed on.
    pub(super) fn answer(offered: call::Mux, other_accepts: bool, wish: Words<RtcpMux>) -> bool {
        let accept = other_accepts || wish.has(RtcpMux::Accept) || wish.has(RtcpMux::Demux);
        offered.is_offered && accept && !wish.has(RtcpMux::Reject)
    }
}

/// The profile that the receiver is to be told of.
pub(super) fn profile_wanted<'n>(negotiation: &Negotiation<'n>) -> Option<&'n [u8]> {
    let wanted = negotiation.transport_protocol;
    wanted.filter(|_| !accepts_profile(negotiation))
}

/// Whether the profile of an answer is to be passed on, though it is not that of the offer.
pub(super) fn accepts_profile(negotiation: &Negotiation<'_>) -> bool {
    negotiation.transport_protocol == Some(b"accept")
}

/// Whether a profile is asked for that the SDP does not have and cannot be given.
pub(super) fn wants_other_profile(negotiation: &Negotiation<'_>, may_shake: bool) -> bool {
    let Some(wanted) = profile_wanted(negotiation) else {
        return false;
    };
    let Ok(sdp) = Sdp::parse(negotiation.sdp) else {
        return false;
    };
    !sdp.media().iter().all(|media| {
        let profile = sdp.text(&media.protocol);
        let can_be_read = !profile::is_secure(profile)
            || !sdp.keys(media).is_empty()
            || (may_shake && sdp.handshake(media).is_some());
        let written = profile::written(profile, Some(wanted), can_be_read, may_shake);
        profile == wanted || written.is_some()
    })
}

/// What becomes of what the sender sends, and of what the receiver does. `None`: as before.
pub(super) fn reflections(negotiation: &Negotiation<'_>) -> [Option<Reflection>; 2] {
    let wished = negotiation.media_echo.map(Reflection::both);
    wished.map_or([None; 2], |wished| wished.map(Some))
}
