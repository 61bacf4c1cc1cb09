//! Calls to bytes and back: the record that is left with the relay.
//!
//! The first byte is the version of the form. A control that finds a version that it does not
//! know ends the call rather than guess.

use relay_wire::RECORD_BYTES_MAX;

use crate::call::CallState;

/// Version of the form. Raise it when [`CallState`] changes.
const VERSION: u8 = 2;

/// Bytes of most records; longer ones grow.
const RECORD_BYTES_USUAL: usize = 512;

/// Why a record is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Not the form of this version.
    #[error("malformed")]
    Malformed,
    /// Over [`RECORD_BYTES_MAX`].
    #[error("too long")]
    TooLong,
    /// Another version wrote it.
    #[error("another version of control wrote it (form {0}, not {VERSION})")]
    Version(u8),
}

/// The record of a call.
pub(crate) fn encode(state: &CallState) -> Result<Vec<u8>, RecordError> {
    let mut bytes = Vec::with_capacity(RECORD_BYTES_USUAL);
    bytes.push(VERSION);
    relay_wire::append(state, &mut bytes);
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(RecordError::TooLong);
    }
    Ok(bytes)
}

/// Reads a record.
pub(crate) fn decode(bytes: &[u8]) -> Result<CallState, RecordError> {
    let state = match bytes.split_first() {
        Some((&VERSION, state)) => state,
        Some((&version, _)) => return Err(RecordError::Version(version)),
        None => return Err(RecordError::Malformed),
    };
    match postcard::take_from_bytes(state) {
        Ok((state, [])) => Ok(state),
        _ => Err(RecordError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use relay_wire::{CallKey, Crypto, CryptoSuite, InterfaceId, Learning, Secret, SourceRules};

    use super::*;
    use crate::call::{Former, LegId, Mux, Stream};
    use crate::echo::Reflection;
    use crate::lean::{Address, Rare};
    use crate::links::Links;
    use crate::sdp::{Direction, KeyLine, Transport};
    use crate::srtp::{Agreed, Srtp};
    use crate::tests::client;

    fn address(text: &str) -> Address {
        text.parse::<SocketAddr>().unwrap().into()
    }

    fn srtp() -> Srtp {
        let crypto = |byte| Crypto::new(CryptoSuite::AeadAes128Gcm, Secret::new(vec![byte]));
        let mut srtp = Srtp::default();
        srtp.is_optional = true;
        srtp.said.push(KeyLine {
            tag: 1,
            crypto: crypto(7),
        });
        srtp.agreed = Some(Agreed {
            receive: crypto(7),
            send: crypto(8),
        });
        srtp
    }

    fn state() -> CallState {
        let mut state = CallState::new(&b"c1"[..], 1_000);
        state.subscriber = Some(Box::new(client(1)));
        state.group = vec![CallKey(9)].into();
        state.key_log = Some(Box::new("192.0.2.9:9999".parse().unwrap()));
        let id = state.add_leg(InterfaceId(1), 2_000);
        let leg = state.leg_mut(id).unwrap();
        leg.tags.push(b"alice");
        leg.via_branch = Some(b"z9"[..].into());
        leg.alias = Some(7);
        leg.peer = Some(LegId(7));
        leg.kept = b"s=x\r\n"[..].into();
        leg.links = Some(Box::new(Links {
            is_diverted: true,
            ..Links::default()
        }));
        let former = Former {
            of: address("192.0.2.2:4000"),
            port: 30_002,
        };
        *leg.stream_mut(0) = Stream {
            kind: b"audio"[..].into(),
            protocol: b"RTP/AVP"[..].into(),
            transport: Transport::Rtp,
            port: Some(30_000),
            former: vec![former].into(),
            chosen_for: None,
            tos: Some(136),
            remote: Some(address("192.0.2.1:4000")),
            remote_rtcp: None,
            learning: Learning::Immediate,
            source_rules: SourceRules {
                waits_for_peer: true,
                ..SourceRules::default()
            },
            rtcp_mux: Mux {
                is_offered: true,
                accept: false,
                is_on: true,
            },
            reflection: Reflection::Echo,
            was_offered: true,
            is_held: false,
            direction: Direction::SendOnly,
            is_active: true,
            hidden: None,
            makes_reports: true,
            knows_feedback: false,
            mixes_no_extensions: true,
            exchange: None,
            payloads: Box::default(),
            srtp: srtp().into(),
            ice: Rare::default(),
            handshake: Rare::default(),
        };
        state
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let record = encode(&state()).unwrap();
        assert_eq!(decode(&record), Ok(state()));
        assert_eq!(
            decode(&[&record[..], b"x"].concat()),
            Err(RecordError::Malformed)
        );
        for len in 1..record.len() {
            assert_eq!(decode(&record[..len]), Err(RecordError::Malformed));
        }
    }

    /// If this fails, the form of records has changed: raise `VERSION`.
    #[test]
    fn the_form_of_version_2_is_fixed() {
        assert_eq!(VERSION, 2);
        let golden = [
            2, 2, 99, 49, 232, 7, 232, 7, 1, 0, 1, 5, 97, 108, 105, 99, 101, 0, 1, 2, 122, 57, 0,
            1, 208, 15, 1, 7, 1, 7, 0, 1, 0, 1, 0, 7, 1, 1, 176, 234, 1, 1, 0, 192, 0, 2, 2, 160,
            31, 178, 234, 1, 0, 1, 136, 1, 0, 192, 0, 2, 1, 160, 31, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0,
            1, 1, 1, 0, 2, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 1, 10, 1, 7, 0, 0, 0, 0, 0, 0, 1, 10, 1,
            7, 0, 0, 0, 0, 10, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 115, 61,
            120, 13, 10, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 192, 0, 2, 9, 143, 78, 1, 0, 127, 0,
            0, 1, 161, 156, 1, 0, 127, 0, 0, 1, 175, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 9,
        ];
        assert_eq!(encode(&state()).unwrap(), golden);
    }

    #[test]
    fn another_version_is_not_guessed_at() {
        let mut record = encode(&state()).unwrap();
        for version in [VERSION - 1, VERSION + 1] {
            record[0] = version;
            assert_eq!(decode(&record), Err(RecordError::Version(version)));
        }
        assert_eq!(decode(&[]), Err(RecordError::Malformed));
    }

    #[test]
    fn a_call_of_many_words_is_refused_rather_than_cut() {
        let mut state = state();
        state.call_id = vec![b'x'; RECORD_BYTES_MAX].into();
        assert_eq!(encode(&state), Err(RecordError::TooLong));
    }
}
