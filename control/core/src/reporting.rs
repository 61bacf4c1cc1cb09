//! What becomes of RTCP: it passes, without feedback if the other party knows none, or the relay
//! makes it itself.

use relay_wire::{OnRtcp, Port};

use crate::call::{CallState, Leg, Stream};
use crate::plan::Endpoint;
use crate::profile;
use crate::sdp::Transport;

/// Says it of each endpoint where RTCP arrives and does not just pass. The endpoints are in order of
/// their ports.
pub(crate) fn decide(state: &CallState, endpoints: &mut [Endpoint]) {
    for leg in &state.legs {
        for (index, stream) in leg.streams.iter().enumerate() {
            let is_usual = !stream.makes_reports && !profile::has_feedback(&stream.protocol);
            if !is_usual && stream.transport == Transport::Rtp && !stream.is_opaque() {
                decide_stream((state, leg), (index, stream), endpoints);
            }
        }
    }
}

fn decide_stream(
    (state, leg): (&CallState, &Leg),
    (index, stream): (usize, &Stream),
    endpoints: &mut [Endpoint],
) {
    let place = |endpoints: &[Endpoint], port| {
        let found = endpoints.binary_search_by_key(&port, |it| it.port);
        found.ok()
    };
    let (Some(received), Some(number)) = (leg.port(index), stream.rtcp_port()) else {
        return;
    };
    let sent = place(endpoints, received).and_then(|it| endpoints[it].egress.rtp);
    let (Some(at), Some(sent)) = (place(endpoints, Port { number, ..received }), sent) else {
        return;
    };
    // Two parties that have each other's keys read it themselves.
    let has_keys = endpoints[at].keys.is_some() || stream.handshake.agreed().is_some();
    if stream.is_secure() && !has_keys {
        return;
    }
    // Where the party sent before it was told of another port, RTCP goes no further either.
    let (now, formerly) = if stream.makes_reports {
        let sent = Some(sent);
        (OnRtcp::Answer { received, sent }, OnRtcp::End)
    } else if hears_no_feedback(state, stream, (index, sent)) {
        (OnRtcp::PassReports, OnRtcp::PassReports)
    } else {
        (OnRtcp::Pass, OnRtcp::Pass)
    };
    endpoints[at].rtcp = now;
    let above = number.saturating_sub(received.number);
    for former in stream.former.iter() {
        let number = former.port.saturating_add(above);
        if let Some(at) = place(endpoints, Port { number, ..received }) {
            endpoints[at].rtcp = formerly;
        }
    }
}

/// Whether the party behind a port knows no feedback, which who sends to it does.
fn hears_no_feedback(state: &CallState, stream: &Stream, (index, port): (usize, Port)) -> bool {
    let mut legs = state.legs.iter();
    let hearer = legs.find(|leg| leg.port(index) == Some(port));
    let hearer = hearer.and_then(|leg| leg.streams.get(index));
    profile::has_feedback(&stream.protocol)
        && hearer.is_some_and(|it| !profile::has_feedback(&it.protocol) && !it.knows_feedback)
}
