//! The description that a party gets.

use std::net::IpAddr;

use control_ng::{Flag, Negotiation, Replace, SdesWord, Words};
use relay_wire::InterfaceId;

use super::{Negotiator, Refusal, hash, keepsake};
use crate::call::{CallState, Leg, LegId, Origin};
use crate::sdp::{
    KeyStyle, Manipulation, OriginChange, Rewrite, RtcpAttribute, Sdp, Section, rewrite,
};

impl Negotiator<'_> {
    /// The SDP for the party of a leg.
    pub(super) fn write(
        &self,
        state: &mut CallState,
        negotiation: &Negotiation<'_>,
        sdp: &Sdp<'_>,
        to: LegId,
        sections: &[Section],
    ) -> Result<Vec<u8>, Refusal> {
        let leg = state.leg_mut(to).ok_or(Refusal::Dialogue)?;
        let address = self.advertised(leg.interface, negotiation.media_address);
        let flags = negotiation.flags;
        let rtcp_attribute = if flags.has(Flag::NoRtcpAttribute) {
            RtcpAttribute::None
        } else if flags.has(Flag::FullRtcpAttribute) {
            RtcpAttribute::Full
        } else {
            RtcpAttribute::Port
        };
        let replace = negotiation.replace;
        let address = address.ok_or(Refusal::OutOfPorts)?;
        let has_origin = replace.has(Replace::Origin) || replace.has(Replace::OriginFull);
        let origin = OriginChange {
            address: Some(address).filter(|_| has_origin),
            ..origin_kept(leg.origin.as_deref(), replace)
        };
        let changes = Rewrite {
            address,
            origin: &origin,
            replace_zero: replace.has(Replace::ZeroAddress),
            keeps_direction: flags.has(Flag::OriginalSendrecv),
            strips_extensions: flags.has(Flag::StripExtmap),
            key_style: KeyStyle {
                is_padded: flags.has(Flag::PadCrypto),
                has_lifetime: negotiation.sdes.words.has(SdesWord::Lifetime),
            },
            loop_mark: Some(&self.policy.loop_mark)
                .filter(|_| flags.has(Flag::LoopProtect))
                .map(String::as_str),
            is_lite: leg.streams.iter().any(|it| it.ice.is_on && it.ice.is_lite),
            manipulation: Manipulation::new(&negotiation.attribute_changes),
            rtcp_attribute,
            sections,
        };
        let out = rewrite(sdp, &changes);
        let out = keep_origin(leg, sdp, &changes, replace, out);
        keepsake::note_told(leg, &out);
        Ok(out)
    }

    fn advertised(&self, interface: InterfaceId, instead: Option<IpAddr>) -> Option<IpAddr> {
        let interface = self.interfaces.get(usize::from(interface.0))?;
        Some(
            instead
                .or(interface.advertised)
                .unwrap_or(interface.address),
        )
    }
}

/// What `o=` is to say that it said before.
fn origin_kept(before: Option<&Origin>, replace: Words<Replace>) -> OriginChange {
    let Some(before) = before else {
        return OriginChange::default();
    };
    let is_full = replace.has(Replace::OriginFull);
    let keeps_version = is_full || replace.has(Replace::SdpVersion);
    let version = if replace.has(Replace::ForceIncrementSdpVersion) {
        Some(before.version.saturating_add(1))
    } else {
        Some(before.version).filter(|_| keeps_version)
    };
    let keeps_name = is_full || replace.has(Replace::Username);
    OriginChange {
        user_name: Some(before.user_name.clone()).filter(|_| keeps_name),
        session_id: Some(before.session_id.clone()).filter(|_| is_full),
        version,
        address: None,
    }
}

/// Notes what `o=` says, if it is asked to stay so, and counts its version up if the description
/// is another one than before.
fn keep_origin(
    leg: &mut Leg,
    sdp: &Sdp<'_>,
    changes: &Rewrite<'_>,
    replace: Words<Replace>,
    out: Vec<u8>,
) -> Vec<u8> {
    let counts = replace.has(Replace::SdpVersion) || replace.has(Replace::OriginFull);
    let is_kept =
        counts || replace.has(Replace::Username) || replace.has(Replace::ForceIncrementSdpVersion);
    let Some([user_name, session_id, version, ..]) = sdp.origin().filter(|_| is_kept) else {
        return out;
    };
    let written = std::str::from_utf8(version)
        .ok()
        .and_then(|it| it.parse().ok());
    let version = changes.origin.version.or(written).unwrap_or_default();
    let kept = changes.origin;
    let mut origin = Origin {
        user_name: kept.user_name.as_deref().unwrap_or(user_name).to_vec(),
        session_id: kept.session_id.as_deref().unwrap_or(session_id).to_vec(),
        version,
        hash: hash(&out),
    };
    let before = leg.origin.as_ref().map(|before| before.hash);
    let mut out = out;
    if counts && before.is_some_and(|before| before != origin.hash) {
        origin.version = version.saturating_add(1);
        let change = OriginChange {
            version: Some(origin.version),
            ..kept.clone()
        };
        out = rewrite(
            sdp,
            &Rewrite {
                origin: &change,
                ..*changes
            },
        );
        origin.hash = hash(&out);
    }
    leg.origin = Some(Box::new(origin));
    out
}
