//! What one direction of a stream is to become.

use codec::{Codec, Rate, ilbc, opus};
use relay_rtp::PayloadType;

/// Keys as events (RFC 4733).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Events {
    /// As SDP agreed.
    pub payload_type: PayloadType,
    /// That of the audio beside it, if the side heeds RFC 4733 §2.1; many send 8,000 beside Opus.
    pub clock_hz: u32,
}

/// What one side of the stream sends, or is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Side {
    /// The codec, and with what rate it works.
    pub codec: Codec,
    /// As SDP agreed.
    pub payload_type: PayloadType,
    /// Milliseconds of a packet. What arrives may differ, and may change.
    pub ptime_ms: u16,
    /// Keys as events. Without them they are tones.
    pub events: Option<Events>,
    /// Comfort noise (RFC 3389) in the clock of the codec.
    pub comfort_noise: Option<PayloadType>,
}

impl Side {
    /// A side with speech alone.
    #[must_use]
    pub const fn new(codec: Codec, payload_type: PayloadType, ptime_ms: u16) -> Self {
        Self {
            codec,
            payload_type,
            ptime_ms,
            events: None,
            comfort_noise: None,
        }
    }
}

/// What arrives, and what is to leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    /// What arrives.
    pub from: Side,
    /// What is to leave.
    pub to: Side,
    /// How Opus is encoded; `None` for what suits its rate.
    pub opus: Option<opus::Settings>,
    /// Says pauses by comfort noise and sends nothing else in them, if the far side has it.
    pub suppresses_silence: bool,
    /// Opus is decoded and encoded even where it could stay as it is, since who receives it wants
    /// it to be another: of fewer bits, or of one channel.
    pub is_coded_anew: bool,
}

/// How much is to be done with a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Work {
    /// Another header: the payloads stay as they are, one by one.
    Relabel,
    /// The frames stay as they are, and are put into other packets.
    Repacketise,
    /// Decoded and encoded.
    Transcode,
}

/// Octets of a payload at most: what fits into an Ethernet frame beside its headers.
pub(crate) const PAYLOAD_LEN_MAX: usize = 1_400;

/// Octets that an Opus packet may have at any bit rate: twice what 60 ms of speech take at the one of
/// our own choice.
const OPUS_LEN_MIN: usize = 640;

impl Plan {
    /// From one side to the other, and nothing special.
    #[must_use]
    pub const fn new(from: Side, to: Side) -> Self {
        Self {
            from,
            to,
            opus: None,
            suppresses_silence: false,
            is_coded_anew: false,
        }
    }

    /// The least that does it.
    #[must_use]
    pub fn work(&self) -> Work {
        let (from, to) = (&self.from, &self.to);
        let are_keys_alike = from.events.is_some() == to.events.is_some();
        let is_noise_understood = from.comfort_noise.is_none() || to.comfort_noise.is_some();
        if !are_keys_alike || !is_noise_understood || self.suppresses_silence {
            return Work::Transcode;
        }
        match (from.codec, to.codec) {
            // A packet of Opus cannot be cut.
            (Codec::Opus(_), Codec::Opus(_))
                if from.ptime_ms == to.ptime_ms && !self.is_coded_anew =>
            {
                Work::Relabel
            }
            (Codec::Opus(_), _) => Work::Transcode,
            (one, other) if one != other => Work::Transcode,
            _ if from.ptime_ms == to.ptime_ms => Work::Relabel,
            _ => Work::Repacketise,
        }
    }

    /// What the chain delays speech by at most, in microseconds, beside its way through the network
    /// and what it waits for packets out of order: filling a packet of the far side, and what
    /// codecs and resampling look ahead or remember.
    #[must_use]
    pub fn delay_us(&self) -> u32 {
        let packet_us =
            self.packet_samples() as u64 * 1_000_000 / u64::from(self.rate().per_second());
        let packet_us = u32::try_from(packet_us).unwrap_or(u32::MAX);
        let is_one_length = self.from.ptime_ms == self.to.ptime_ms;
        let fill_us = if is_one_length { 0 } else { packet_us };
        if self.work() != Work::Transcode {
            return fill_us;
        }
        let resampling_us = if self.from.codec.rate() == self.rate() {
            0
        } else {
            2_000
        };
        fill_us
            + decoder_delay_us(self.from.codec)
            + resampling_us
            + encoder_delay_us(self.to.codec)
    }

    /// Whether keys are listened for in what arrives.
    pub(crate) fn listens_for_keys(&self) -> bool {
        self.to.events.is_some() && self.from.events.is_none()
    }

    /// Samples of a packet that leaves, at [`Self::rate`].
    pub(crate) fn packet_samples(&self) -> usize {
        let codec = self.to.codec;
        let asked = codec.packet_samples(usize::from(self.to.ptime_ms));
        let frame = codec.frame_samples();
        let fits = |samples: &usize| codec.payload_len(*samples).unwrap_or(0) <= PAYLOAD_LEN_MAX;
        let shorter = (1..=asked / frame).rev().map(|frames| frames * frame);
        shorter.into_iter().find(fits).unwrap_or(frame)
    }

    /// Octets that the payload of such a packet needs at most.
    pub(crate) fn payload_len_max(&self) -> usize {
        let len = self.to.codec.payload_len(self.packet_samples());
        len.unwrap_or_else(|| self.opus_len_max())
    }

    /// Twice what a packet takes at its bit rate.
    fn opus_len_max(&self) -> usize {
        let usual = opus::Settings::new(self.rate());
        let bits_per_second = self.opus.unwrap_or(usual).bits_per_second();
        let packet_ms = self.packet_samples() / self.rate().samples(1);
        let twice = 2 * usize::try_from(bits_per_second).unwrap_or(0) * packet_ms / 8_000;
        twice.clamp(OPUS_LEN_MIN, opus::PAYLOAD_LEN_MAX)
    }

    /// What positions on the timeline count in: samples of the far side.
    pub(crate) fn rate(&self) -> Rate {
        self.to.codec.rate()
    }
}

/// The enhancer of iLBC waits for one block or two (RFC 3951 §4.6).
const fn decoder_delay_us(codec: Codec) -> u32 {
    match codec {
        Codec::Ilbc(ilbc::Mode::Ms20) => 5_000,
        Codec::Ilbc(ilbc::Mode::Ms30) => 10_000,
        _ => 0,
    }
}

/// What an encoder looks ahead by: Opus 6.5 ms (RFC 6716 §2), the mirror filters of G.722 1.5 ms
/// with the decoder's.
const fn encoder_delay_us(codec: Codec) -> u32 {
    match codec {
        Codec::Opus(_) => 6_500,
        Codec::G722 => 1_500,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::ilbc::Mode;

    fn side(codec: Codec, ptime_ms: u16) -> Side {
        Side::new(codec, PayloadType::new(96).unwrap(), ptime_ms)
    }

    #[test]
    fn checklist_14_what_need_not_be_decoded_is_not() {
        let work = |from, to| Plan::new(from, to).work();
        let (short, long) = (Codec::Ilbc(Mode::Ms20), Codec::Ilbc(Mode::Ms30));
        let opus = Codec::Opus(Rate::Narrow);
        assert_eq!(
            work(side(Codec::Gsm, 20), side(Codec::Gsm, 20)),
            Work::Relabel
        );
        assert_eq!(
            work(side(Codec::Gsm, 20), side(Codec::Gsm, 40)),
            Work::Repacketise
        );
        assert_eq!(work(side(short, 20), side(long, 30)), Work::Transcode);
        assert_eq!(
            work(side(opus, 20), side(Codec::Opus(Rate::Wide), 20)),
            Work::Relabel
        );
        assert_eq!(work(side(opus, 20), side(opus, 40)), Work::Transcode);
        let mut anew = Plan::new(side(opus, 20), side(opus, 20));
        anew.is_coded_anew = true;
        assert_eq!(anew.work(), Work::Transcode);
        let mut with_events = side(Codec::Pcma, 20);
        with_events.events = Some(Events {
            payload_type: PayloadType::new(101).unwrap(),
            clock_hz: 8_000,
        });
        assert_eq!(work(with_events, side(Codec::Pcma, 20)), Work::Transcode);
        assert_eq!(work(with_events, with_events), Work::Relabel);
    }

    #[test]
    fn checklist_17_the_delay_of_the_chain_is_told() {
        let delay = |from, to| Plan::new(from, to).delay_us();
        let (short, opus) = (Codec::Ilbc(Mode::Ms20), Codec::Opus(Rate::Narrow));
        assert_eq!(delay(side(Codec::Pcmu, 20), side(Codec::Gsm, 20)), 0);
        assert_eq!(delay(side(Codec::Gsm, 20), side(Codec::Gsm, 60)), 60_000);
        assert_eq!(delay(side(short, 20), side(opus, 20)), 11_500);
        let long = Codec::Ilbc(Mode::Ms30);
        assert_eq!(delay(side(Codec::G722, 20), side(long, 30)), 32_000);
        assert_eq!(delay(side(long, 30), side(Codec::G722, 20)), 33_500);
    }

    #[test]
    fn checklist_6_the_mode_of_ilbc_is_that_of_both() {
        let modes =
            |offer, answer| Mode::negotiate(Mode::from_fmtp(offer), Mode::from_fmtp(answer));
        assert_eq!(modes(Some(20), Some(20)), Mode::Ms20);
        assert_eq!(modes(Some(20), None), Mode::Ms30);
        assert_eq!(modes(Some(30), Some(20)), Mode::Ms30);
        // A packet that is asked for in between holds whole frames.
        let plan = Plan::new(side(Codec::Pcma, 20), side(Codec::Ilbc(Mode::Ms30), 50));
        assert_eq!(plan.packet_samples(), 240);
    }

    #[test]
    fn packets_fit_into_an_ethernet_frame() {
        for codec in Codec::ALL.into_iter().chain(Codec::FULL) {
            for ptime_ms in [0, 5, 20, 30, 60, 200, 65_535] {
                let plan = Plan::new(side(Codec::Pcmu, 20), side(codec, ptime_ms));
                assert!(plan.packet_samples() > 0 && plan.payload_len_max() <= PAYLOAD_LEN_MAX);
            }
        }
    }
}
