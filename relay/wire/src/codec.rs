//! Messages to bytes and back.

use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

use crate::MESSAGE_BYTES_MAX;

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Over [`MESSAGE_BYTES_MAX`].
    #[error("a message of {0} bytes is over the limit")]
    TooLong(usize),
    /// Not a message of this version, or cut short.
    #[error("not a message of this version")]
    Malformed,
    /// A message, and then more.
    #[error("{0} bytes after the message")]
    Trailing(usize),
}

/// Writes a message into `out`, which is cleared first.
pub fn encode<M: Serialize>(message: &M, out: &mut Vec<u8>) {
    out.clear();
    append(message, out);
}

/// Writes whatever has no maps of unknown length behind what is in `out`.
pub fn append<M: Serialize>(message: &M, out: &mut Vec<u8>) {
    postcard::serialize_with_flavor(message, Appended(out))
        .expect("messages have no maps of unknown length, and a Vec takes any number of bytes");
}

/// Where bytes are written. The crate's own way into a `Vec` extends it by one byte at a time.
struct Appended<'a>(&'a mut Vec<u8>);

impl Flavor for Appended<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Reads the first of the messages of a packet. Returns it and the bytes of the others.
///
/// # Errors
///
/// When the packet is too long, or does not begin with a message.
pub fn decode_first<M: DeserializeOwned>(bytes: &[u8]) -> Result<(M, &[u8]), DecodeError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    postcard::take_from_bytes(bytes).map_err(|_| DecodeError::Malformed)
}

/// Reads one message.
///
/// # Errors
///
/// When the bytes are anything but exactly one message.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, DecodeError> {
    let (message, rest) = decode_first(bytes)?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing(rest.len()));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CallKey, Codec, Command, Crypto, CryptoSuite, Dtls, DtlsRole, EndpointCrypto, Events,
        Filter, Fingerprint, FingerprintHash, Format, Handover, Ice, IceBase, IceCandidate,
        IceCredentials, IlbcMode, InterfaceId, Learning, OnEvents, OnMedia, OnRtcp, OpusPurpose,
        OpusSettings, Play, Port, Request, Route, SampleRate, Secret, Silence, Sink, SoundKey,
        SourceRules, ToRelay, Transcoding, WorkerId,
    };

    fn request() -> ToRelay {
        let port = Port {
            interface: InterfaceId(0),
            number: 30_000,
        };
        let call = CallKey(7);
        ToRelay::Request(Request {
            id: 1,
            worker: WorkerId(0),
            commands: vec![
                Command::CreateCall {
                    call,
                    media_timeout_ms: 60_000,
                    record: vec![1, 2, 3],
                },
                Command::OpenEndpoint {
                    call,
                    port,
                    tos: Some(184),
                },
                Command::SetFirstPacketTimeout {
                    call,
                    first_packet_timeout_ms: 5,
                },
                Command::SetRemote {
                    call,
                    port,
                    remote: Some("192.0.2.1:4000".parse().unwrap()),
                    learning: Learning::Heuristic,
                },
                Command::SetSourceRules {
                    call,
                    port,
                    rules: SourceRules {
                        is_asymmetric: true,
                        waits_for_peer: false,
                        pierces_nat: true,
                        handover: Handover::AnyStream,
                        forwards_others: true,
                        checks_loops: true,
                    },
                },
                Command::SetTranscoding {
                    call,
                    ingress: port,
                    transcoding: Some(Transcoding {
                        routes: vec![route()],
                        rtcp: Some(port),
                    }),
                },
                Command::SetFilter {
                    call,
                    ingress: port,
                    filter: Some(filter()),
                },
                Command::SetSinks {
                    call,
                    ingress: port,
                    sinks: vec![Sink {
                        call: CallKey(8),
                        rtp: Some(port),
                        rtcp: None,
                        is_remade: true,
                        is_sealed: true,
                    }],
                },
                Command::SetRtcp {
                    call,
                    port,
                    rtcp: OnRtcp::Answer {
                        received: port,
                        sent: Some(port),
                    },
                },
                Command::Play {
                    call,
                    port,
                    play: Play {
                        sound: SoundKey(9),
                        to: Format::new(Codec::Pcma, 8, 20),
                        opus: None,
                        start: 1,
                        times: 2,
                        duration_ms: 3,
                        unit_hz: 4,
                        is_alone: true,
                        rtcp: Some(port),
                    },
                },
                Command::StopPlaying { call, port },
                Command::SetCrypto {
                    call,
                    endpoints: vec![EndpointCrypto {
                        port,
                        receive: Some(crypto()),
                        send: None,
                    }],
                },
                Command::SetIce {
                    call,
                    port,
                    ice: Some(ice(port)),
                },
                Command::SetDtls {
                    call,
                    port,
                    dtls: Some(dtls()),
                },
            ],
        })
    }

    fn dtls() -> Dtls {
        let digest = vec![9; FingerprintHash::Sha1.digest_len()];
        Dtls {
            role: DtlsRole::Passive,
            fingerprint: Fingerprint::new(FingerprintHash::Sha1, digest).unwrap(),
            association: 3,
        }
    }

    fn ice(port: Port) -> Ice {
        let credentials = |user: &str| IceCredentials {
            user: user.to_owned(),
            password: "p".to_owned(),
        };
        Ice {
            local: credentials("u"),
            remote: Some(credentials("v")),
            bases: vec![IceBase { port, priority: 5 }],
            component: 1,
            tie_breaker: 6,
            is_controlling: true,
            is_lite: false,
            remote_is_lite: true,
            candidates: vec![IceCandidate {
                address: "192.0.2.1:4000".parse().unwrap(),
                priority: 7,
            }],
        }
    }

    fn crypto() -> Crypto {
        Crypto {
            suite: CryptoSuite::AesCm128HmacSha1_32,
            key_and_salt: Secret::new(vec![1, 2, 3]),
            identifier: vec![4, 5],
            rtp_is_clear: true,
            rtcp_is_clear: false,
            rtp_is_unauthenticated: true,
        }
    }

    fn filter() -> Filter {
        Filter {
            events: vec![Events {
                payload_type: 101,
                clock_hz: 8_000,
            }],
            redundant: vec![121],
            on_events: OnEvents::Scramble { seed: 1 << 40 },
            on_media: OnMedia::Silence(vec![Silence {
                payload_type: 8,
                octet: 0xd5,
            }]),
            tells_keys: true,
        }
    }

    fn route() -> Route {
        let ilbc = Format {
            codec: Codec::Ilbc(IlbcMode::Ms30),
            payload_type: 97,
            ptime_ms: 30,
            events: None,
            comfort_noise: Some(13),
        };
        let events = Events {
            payload_type: 101,
            clock_hz: 48_000,
        };
        Route {
            from: ilbc,
            to: Format {
                codec: Codec::Opus(SampleRate::Narrow),
                payload_type: 111,
                ptime_ms: 20,
                events: Some(events),
                comfort_noise: None,
            },
            opus: Some(OpusSettings {
                complexity: 5,
                bitrate: Some(24_000),
                loss_percent: 10,
                purpose: OpusPurpose::LowDelay,
                is_stereo: true,
            }),
            suppresses_silence: true,
            is_coded_anew: true,
        }
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let mut bytes = Vec::new();
        encode(&request(), &mut bytes);
        assert_eq!(decode(&bytes), Ok(request()));
    }

    /// If this fails, the form of the messages has changed: raise `PROTOCOL_VERSION`.
    #[test]
    fn the_form_of_version_2_is_fixed() {
        assert_eq!(crate::PROTOCOL_VERSION, 2);
        let mut bytes = Vec::new();
        encode(&request(), &mut bytes);
        let golden = [
            1, 1, 0, 14, 0, 7, 224, 212, 3, 3, 1, 2, 3, 4, 7, 0, 176, 234, 1, 1, 184, 11, 7, 5, 6,
            7, 0, 176, 234, 1, 1, 0, 192, 0, 2, 1, 160, 31, 0, 12, 7, 0, 176, 234, 1, 1, 0, 1, 2,
            1, 1, 13, 7, 0, 176, 234, 1, 1, 1, 3, 1, 97, 30, 0, 1, 13, 6, 0, 111, 20, 1, 101, 128,
            247, 2, 0, 1, 5, 1, 192, 187, 1, 10, 2, 1, 1, 1, 1, 0, 176, 234, 1, 14, 7, 0, 176, 234,
            1, 1, 1, 101, 192, 62, 1, 121, 3, 128, 128, 128, 128, 128, 32, 2, 1, 8, 213, 1, 16, 7,
            0, 176, 234, 1, 1, 8, 1, 0, 176, 234, 1, 0, 1, 1, 17, 7, 0, 176, 234, 1, 2, 0, 176,
            234, 1, 1, 0, 176, 234, 1, 18, 7, 0, 176, 234, 1, 9, 1, 8, 20, 0, 0, 0, 1, 2, 3, 4, 1,
            1, 0, 176, 234, 1, 19, 7, 0, 176, 234, 1, 20, 7, 1, 0, 176, 234, 1, 1, 1, 3, 1, 2, 3,
            2, 4, 5, 1, 0, 1, 0, 21, 7, 0, 176, 234, 1, 1, 1, 117, 1, 112, 1, 1, 118, 1, 112, 1, 0,
            176, 234, 1, 5, 1, 6, 1, 0, 1, 1, 0, 192, 0, 2, 1, 160, 31, 7, 22, 7, 0, 176, 234, 1,
            1, 1, 0, 20, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 3,
        ];
        assert_eq!(bytes, golden);
    }

    #[test]
    fn reads_the_messages_of_a_packet_one_after_another() {
        let mut packet = Vec::new();
        append(&request(), &mut packet);
        append(&ToRelay::Hello { version: 2 }, &mut packet);
        let (first, rest) = decode_first::<ToRelay>(&packet).unwrap();
        assert_eq!(first, request());
        let second = decode_first::<ToRelay>(rest);
        assert_eq!(second, Ok((ToRelay::Hello { version: 2 }, &[][..])));
        let nothing = decode_first::<ToRelay>(&[]);
        assert_eq!(nothing, Err(DecodeError::Malformed));
        let long = vec![0; MESSAGE_BYTES_MAX + 1];
        let too_long = DecodeError::TooLong(long.len());
        assert_eq!(decode_first::<ToRelay>(&long), Err(too_long));
    }

    #[test]
    fn refuses_what_is_cut_short_or_goes_on() {
        let mut bytes = Vec::new();
        encode(&request(), &mut bytes);
        for len in 0..bytes.len() {
            assert!(decode::<ToRelay>(&bytes[..len]).is_err());
        }
        bytes.push(0);
        assert_eq!(decode::<ToRelay>(&bytes), Err(DecodeError::Trailing(1)));
        let long = vec![0; MESSAGE_BYTES_MAX + 1];
        assert_eq!(
            decode::<ToRelay>(&long),
            Err(DecodeError::TooLong(long.len()))
        );
    }
}
