//! Profiles of RTP: with feedback (RFC 4585) and without, with keys and without. One party may speak
//! the one, another the other.
//!
//! Feedback is RTCP of more kinds and at other times, which a party without it may ignore (RFC 3550
//! §6). So to go from one to the other only the word in `m=` need be changed. To go from clear to
//! encrypted the relay must have the keys, or shake hands for them.

/// Names without the `F` of feedback, and with it.
const PROFILES: [[&[u8]; 2]; 3] = [
    [b"RTP/AVP", b"RTP/AVPF"],
    [b"RTP/SAVP", b"RTP/SAVPF"],
    [b"UDP/TLS/RTP/SAVP", b"UDP/TLS/RTP/SAVPF"],
];

/// Whether two profiles differ in nothing but feedback.
pub(crate) fn is_like(one: &[u8], other: &[u8]) -> bool {
    let family = |name| PROFILES.iter().find(|family| family.contains(&name));
    family(one).is_some_and(|it| it.contains(&other))
}

/// The profile that one is to be written as, so that it is the one `wanted`; `None`: as it is. Who
/// can read what the sender sends, and the other way round, may change more than feedback; who may
/// shake hands, may do so with who gets it.
pub(crate) fn written(
    profile: &[u8],
    wanted: Option<&[u8]>,
    can_be_read: bool,
    may_shake: bool,
) -> Option<&'static [u8]> {
    let mut names = PROFILES.as_flattened().iter().copied();
    let wanted = names.find(|name| wanted == Some(name))?;
    let is_done = if (needs_handshake(wanted) && !may_shake) || !can_be_read {
        is_like(profile, wanted)
    } else {
        PROFILES.as_flattened().contains(&profile)
    };
    (is_done && wanted != profile).then_some(wanted)
}

/// Whether a profile has feedback.
pub(crate) fn has_feedback(profile: &[u8]) -> bool {
    profile.last() == Some(&b'F')
}

/// Whether what is sent by it is encrypted.
pub(crate) fn is_secure(profile: &[u8]) -> bool {
    let is_savp = |it: &[u8]| it.eq_ignore_ascii_case(b"SAVP") || it.eq_ignore_ascii_case(b"SAVPF");
    profile.split(|&b| b == b'/').any(is_savp)
}

/// The same without keys. `None`: it has none, or is none that is known.
pub(crate) fn clear(profile: &[u8]) -> Option<&'static [u8]> {
    let [clear, secret, handshake] = PROFILES;
    let has_keys = [secret, handshake].iter().any(|it| it.contains(&profile));
    has_keys.then_some(clear[usize::from(has_feedback(profile))])
}

/// Whether its keys come from a handshake.
pub(crate) fn needs_handshake(profile: &[u8]) -> bool {
    profile.starts_with(b"UDP/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AVP: &[u8] = b"RTP/AVP";

    #[test]
    fn only_feedback_comes_and_goes_where_nothing_can_be_read() {
        let same = |profile, wanted| written(profile, Some(wanted), false, true);
        assert_eq!(same(AVP, b"RTP/AVPF"), Some(&b"RTP/AVPF"[..]));
        assert_eq!(same(b"RTP/AVPF", AVP), Some(AVP));
        let dtls = &b"UDP/TLS/RTP/SAVP"[..];
        assert_eq!(same(b"UDP/TLS/RTP/SAVPF", dtls), Some(dtls));
        for other in [
            &b"RTP/SAVP"[..],
            b"RTP/SAVPF",
            b"UDP/TLS/RTP/SAVPF",
            b"udptl",
            b"",
            AVP,
        ] {
            assert_eq!(same(AVP, other), None);
            assert_eq!(same(other, AVP), None);
        }
        assert_eq!(written(AVP, None, true, true), None);
    }

    #[test]
    fn encryption_comes_and_goes_where_there_are_keys() {
        let with = |profile, wanted| written(profile, Some(wanted), true, false);
        assert_eq!(with(AVP, b"RTP/SAVPF"), Some(&b"RTP/SAVPF"[..]));
        assert_eq!(with(b"RTP/SAVP", AVP), Some(AVP));
        assert_eq!(with(b"UDP/TLS/RTP/SAVPF", AVP), Some(AVP));
        assert_eq!(with(AVP, b"UDP/TLS/RTP/SAVPF"), None, "no handshake");
        let dtls = &b"UDP/TLS/RTP/SAVPF"[..];
        assert_eq!(written(AVP, Some(dtls), true, true), Some(dtls));
        assert_eq!(with(b"udptl", AVP), None);
    }

    #[test]
    fn a_profile_says_whether_it_is_encrypted() {
        for (profile, expected) in [
            (AVP, false),
            (b"RTP/AVPF", false),
            (b"RTP/SAVP", true),
            (b"rtp/savpf", true),
            (b"UDP/TLS/RTP/SAVP", true),
            (b"udptl", false),
        ] {
            assert_eq!(is_secure(profile), expected);
        }
    }
}
