//! Profiles of RTP with feedback (RFC 4585) and without: one party may speak the one, another the
//! other.
//!
//! Feedback is RTCP of more kinds and at other times, which a party without it may ignore (RFC 3550
//! §6). So to go from one to the other only the word in `m=` need be changed. Whether media is
//! encrypted is not changed.

use crate::sdp::Feedback;

/// Names without the `F` of feedback.
const PROFILES: [&[u8]; 3] = [b"RTP/AVP", b"RTP/SAVP", b"UDP/TLS/RTP/SAVP"];

/// Whether two profiles differ in nothing but feedback.
pub(crate) fn is_like(one: &[u8], other: &[u8]) -> bool {
    let base = |name| PROFILES.into_iter().find(|base| is_of(name, base));
    base(one).is_some() && base(one) == base(other)
}

/// How a profile is to be written, so that it is the one `wanted`.
pub(crate) fn written(profile: &[u8], wanted: Option<&[u8]>) -> Feedback {
    match wanted.filter(|wanted| is_like(wanted, profile)) {
        None => Feedback::AsWritten,
        Some(wanted) if has_feedback(wanted) => Feedback::With,
        Some(_) => Feedback::Without,
    }
}

/// The profile that becomes of one.
pub(crate) fn rewritten(profile: &[u8], feedback: Feedback) -> Vec<u8> {
    let mut text = profile.to_vec();
    match feedback {
        Feedback::With if !has_feedback(profile) => text.push(b'F'),
        Feedback::Without if has_feedback(profile) => text.truncate(profile.len() - 1),
        _ => {}
    }
    text
}

/// Whether a profile has feedback.
pub(crate) fn has_feedback(profile: &[u8]) -> bool {
    profile.last() == Some(&b'F')
}

fn is_of(name: &[u8], base: &[u8]) -> bool {
    matches!(name.strip_prefix(base), Some(b"" | b"F"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_feedback_comes_and_goes() {
        let avp = &b"RTP/AVP"[..];
        assert_eq!(written(avp, Some(b"RTP/AVPF")), Feedback::With);
        assert_eq!(written(b"RTP/AVPF", Some(avp)), Feedback::Without);
        for other in [
            &b"RTP/SAVP"[..],
            b"RTP/SAVPF",
            b"UDP/TLS/RTP/SAVPF",
            b"udptl",
            b"",
        ] {
            assert_eq!(written(avp, Some(other)), Feedback::AsWritten);
            assert_eq!(written(other, Some(avp)), Feedback::AsWritten);
        }
        assert_eq!(written(avp, None), Feedback::AsWritten);
        assert_eq!(rewritten(avp, Feedback::With), b"RTP/AVPF");
        assert_eq!(rewritten(b"RTP/SAVPF", Feedback::With), b"RTP/SAVPF");
        assert_eq!(rewritten(b"RTP/SAVPF", Feedback::Without), b"RTP/SAVP");
        assert_eq!(rewritten(avp, Feedback::Without), avp);
    }
}
