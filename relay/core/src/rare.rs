//! What few endpoints have. All others pay a pointer for all of it.

use crate::SocketId;
use crate::crypto::Keys;
use crate::filter::Filtering;
use crate::ice::Membership;
use crate::kernel::Shortcut;
use crate::loops::Loops;
use crate::played::Played;
use crate::reports::TellingPace;
use crate::rtcp::Rtcp;
use crate::sinks::Sinks;

/// What is done at one endpoint besides sending packets on.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// What becomes of single packets.
    pub(crate) filtering: Option<Box<Filtering>>,
    /// Who gets copies of what arrives here.
    pub(crate) sinks: Option<Box<Sinks>>,
    /// Looks for packets that go in a circle.
    pub(crate) loops: Option<Box<Loops>>,
    /// Speaks ICE for this and other endpoints.
    pub(crate) ice: Option<Box<Membership>>,
    /// What protects packets on the way to the peer and back.
    pub(crate) crypto: Option<Box<Keys>>,
    /// What becomes of RTCP that arrives here.
    pub(crate) on_rtcp: Rtcp,
    /// RTCP that arrives here is about what arrives there, and is taken out.
    pub(crate) rtcp_of: Option<SocketId>,
    /// Where reports to this peer leave, if its RTP is taken out.
    pub(crate) reports: Option<SocketId>,
    /// How many of the peer's reports are told.
    pub(crate) telling: TellingPace,
    /// RTP that arrives here is not to be heard, since its hearer is played something there.
    pub(crate) muted_for: Option<SocketId>,
    /// What this peer was played.
    pub(crate) played: Option<Box<Played>>,
    /// What of this is in the kernel's table.
    pub(crate) shortcut: Shortcut,
}

const _: () = assert!(size_of::<Rare>() <= 2 * 64 + 16);

impl Rare {
    /// What most endpoints have.
    pub(crate) const NOTHING: &Self = &Self {
        filtering: None,
        sinks: None,
        loops: None,
        crypto: None,
        ice: None,
        on_rtcp: Rtcp::Pass,
        rtcp_of: None,
        reports: None,
        telling: TellingPace::FULL,
        muted_for: None,
        played: None,
        shortcut: Shortcut::NONE,
    };
}
