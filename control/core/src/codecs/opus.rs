//! How Opus is encoded.

use relay_wire::{OpusPurpose, OpusSettings, SampleRate};
use serde::{Deserialize, Serialize};

use super::format::Format;

/// Bits a second that Opus has where nobody says more or less. The relay may take some more to say
/// things twice, where nobody minds.
const fn bitrate_usual(rate: SampleRate) -> u32 {
    match rate {
        SampleRate::Narrow | SampleRate::Wide => 24_000,
        SampleRate::Full => 40_000,
        SampleRate::Stereo => 72_000,
    }
}

/// What bit rates are possible (RFC 6716 §2.1.1).
const BITRATES: std::ops::RangeInclusive<u32> = 6_000..=510_000;

/// How Opus is encoded where the proxy says nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpusPolicy {
    /// 0 to 10.
    pub complexity: u8,
    /// Bits a second; `None`: what suits the sample rate.
    pub bitrate: Option<u32>,
    /// Percent of packets that are taken for lost on the way to who wants things said twice.
    pub loss_percent: u8,
    /// Who prefers two channels gets them.
    pub allows_stereo: bool,
}

impl Default for OpusPolicy {
    fn default() -> Self {
        Self {
            complexity: 0,
            bitrate: None,
            loss_percent: 5,
            allows_stereo: false,
        }
    }
}

/// How a codec is encoded, as far as a proxy said.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Options {
    pub(super) bitrate: Option<u32>,
    pub(super) complexity: Option<u8>,
    pub(super) purpose: Option<OpusPurpose>,
}

impl Options {
    /// These, and what others say beyond them.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            bitrate: self.bitrate.or(others.bitrate),
            complexity: self.complexity.or(others.complexity),
            purpose: self.purpose.or(others.purpose),
        }
    }
}

impl OpusPolicy {
    /// What samples are like between two parties that both have Opus: no less than what one of them
    /// sends and the other wants to hear.
    pub(super) fn rate(self, sent: &Format, wanted: &Format) -> SampleRate {
        let rates = [
            wanted.parameter("maxplaybackrate"),
            sent.parameter("sprop-maxcapturerate"),
        ];
        // The rates that Opus has (RFC 7587 §6.1), of which the relay has these.
        match rates.into_iter().flatten().min() {
            Some(..12_000) => SampleRate::Narrow,
            Some(12_000..24_000) => SampleRate::Wide,
            _ if self.is_stereo(sent, wanted) => SampleRate::Stereo,
            _ => SampleRate::Full,
        }
    }

    /// One channel is usual (RFC 7587 §6.1). rtpengine takes two where nobody says anything.
    fn is_stereo(self, sent: &Format, wanted: &Format) -> bool {
        match (sent.parameter("sprop-stereo"), wanted.parameter("stereo")) {
            (Some(1), Some(1)) => true,
            (Some(0), _) | (_, Some(0)) => false,
            _ => self.allows_stereo,
        }
    }

    /// How Opus is encoded for a party: as the proxy wants, and no better than the party wants.
    /// `None`: nobody wants anything special.
    pub(super) fn settings(
        self,
        asked: Options,
        format: &Format,
        rate: SampleRate,
    ) -> Option<OpusSettings> {
        let bitrate_max = format.parameter("maxaveragebitrate");
        let bitrate = asked.bitrate.or(self.bitrate);
        let bitrate = match (bitrate, bitrate_max) {
            (Some(wanted), Some(max)) => Some(wanted.min(max)),
            (wanted, max) => wanted.or_else(|| max.filter(|max| *max < bitrate_usual(rate))),
        };
        let wants_repetition = format.parameter("useinbandfec") == Some(1);
        let settings = OpusSettings {
            complexity: asked.complexity.unwrap_or(self.complexity),
            bitrate: bitrate.map(|it| it.clamp(*BITRATES.start(), *BITRATES.end())),
            loss_percent: if wants_repetition {
                self.loss_percent
            } else {
                0
            },
            purpose: asked.purpose.unwrap_or_default(),
            is_stereo: self.allows_stereo && format.parameter("stereo") == Some(1),
        };
        let usual = OpusSettings {
            complexity: 0,
            bitrate: None,
            loss_percent: 0,
            purpose: OpusPurpose::Speech,
            is_stereo: false,
        };
        (settings != usual).then_some(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opus(parameters: &str) -> Format {
        let mut format = Format::of_payload_type(96);
        format.read_rtpmap("opus/48000/2");
        format.read_fmtp(parameters);
        format
    }

    #[test]
    fn the_proxy_has_precedence_over_the_settings_and_the_party_has_the_last_word() {
        let policy = OpusPolicy {
            complexity: 10,
            bitrate: Some(32_000),
            loss_percent: 0,
            allows_stereo: true,
        };
        let asked = Options {
            bitrate: Some(48_000),
            complexity: Some(2),
            purpose: Some(OpusPurpose::Audio),
        };
        let cases = [
            (Options::default(), "useinbandfec=1", (10, 32_000)),
            (Options::default(), "maxaveragebitrate=16000", (10, 16_000)),
            (asked, "maxaveragebitrate=40000", (2, 40_000)),
            (asked, "maxaveragebitrate=1", (2, 6_000)),
        ];
        for (asked, parameters, expected) in cases {
            let settings = policy
                .settings(asked, &opus(parameters), SampleRate::Wide)
                .unwrap();
            let found = (settings.complexity, settings.bitrate.unwrap());
            assert_eq!(found, expected, "{parameters}");
            assert_eq!(settings.loss_percent, 0);
            assert!(!settings.is_stereo);
        }
        let settings = policy
            .settings(asked, &opus("stereo=1"), SampleRate::Wide)
            .unwrap();
        assert_eq!(
            (settings.purpose, settings.is_stereo),
            (OpusPurpose::Audio, true)
        );
    }

    #[test]
    fn where_nobody_says_anything_the_relay_chooses() {
        let policy = OpusPolicy::default();
        let rate = SampleRate::Wide;
        let settings = |parameters| policy.settings(Options::default(), &opus(parameters), rate);
        assert_eq!(settings(""), None);
        assert_eq!(settings("maxaveragebitrate=40000"), None);
        assert_eq!(settings("useinbandfec=1").unwrap().loss_percent, 5);
        assert_eq!(
            settings("maxaveragebitrate=12000").unwrap().bitrate,
            Some(12_000)
        );
    }
    #[test]
    fn between_two_parties_with_opus_nothing_is_taken_away_that_one_sends_and_the_other_wants() {
        use SampleRate::{Full, Narrow, Stereo, Wide};
        let cases = [
            ("", "", Full, Stereo),
            ("sprop-stereo=1", "stereo=1", Stereo, Stereo),
            ("sprop-stereo=1", "stereo=0", Full, Full),
            ("sprop-stereo=0", "stereo=1", Full, Full),
            ("", "stereo=1", Full, Stereo),
            ("stereo=1", "sprop-stereo=1", Full, Stereo),
            (
                "sprop-stereo=1",
                "stereo=1;maxplaybackrate=8000",
                Narrow,
                Narrow,
            ),
            (
                "sprop-maxcapturerate=16000",
                "maxplaybackrate=48000",
                Wide,
                Wide,
            ),
            ("sprop-maxcapturerate=24000", "stereo=0", Full, Full),
        ];
        for (sent, wanted, usual, generous) in cases {
            let rate = |allows_stereo| {
                let policy = OpusPolicy {
                    allows_stereo,
                    ..OpusPolicy::default()
                };
                policy.rate(&opus(sent), &opus(wanted))
            };
            assert_eq!(
                (rate(false), rate(true)),
                (usual, generous),
                "{sent} {wanted}"
            );
        }
    }
}
