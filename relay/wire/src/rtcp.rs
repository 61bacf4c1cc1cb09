//! What becomes of RTCP, where it is not only forwarded.

use serde::{Deserialize, Serialize};

use crate::Port;

/// What becomes of the RTCP that arrives at one endpoint, unless its stream is
/// [remade](crate::Transcoding).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum OnRtcp {
    /// It passes.
    #[default]
    Pass,
    /// It passes without feedback (RFC 4585 §6), which the other party does not know.
    PassReports,
    /// It ends here, and the relay sends the peer reports of its own from here: of what the peer
    /// sends, and of what it is sent. They come every five to six seconds.
    Answer {
        /// Where the RTP of the peer arrives: here, if it shares a port with RTCP (RFC 5761).
        received: Port,
        /// Where that arrives which the peer is sent.
        sent: Option<Port>,
    },
    /// It ends here, where its sender was answered before it was told of another port: reports
    /// come from there.
    End,
}
