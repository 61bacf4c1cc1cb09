//! Another plan for a stream that goes on.

use std::time::Instant;

use codec::Error;

use super::Stream;
use super::keys::Keys;
use super::pause::Pause;
use crate::far::Far;
use crate::near::Near;
use crate::pacer::MS;
use crate::plan::{Plan, Work};
use crate::reception::Reception;
use crate::timeline::Timeline;

impl Stream {
    /// Goes on by another plan: the other side has changed to another codec, or control has changed
    /// its mind. What leaves is still one stream: source and numbers go on, and timestamps by the
    /// clock. If only what arrives is another, the encoder goes on, too.
    ///
    /// Allocates. What waits to leave is lost if what leaves is another.
    ///
    /// # Errors
    ///
    /// If libopus has no memory, or is not given what it can do. The old plan holds then.
    pub fn set_plan(&mut self, now: Instant, plan: Plan) -> Result<(), Error> {
        if plan == self.plan {
            return Ok(());
        }
        let now = self.read(now);
        self.finish_speech();
        let is_decoded = plan.work() == Work::Transcode;
        let near = is_decoded.then(|| Near::new(plan.from.codec, plan.to.codec));
        let near = near.transpose()?;
        let is_far_kept = is_decoded
            && self.near.is_some()
            && (plan.to, plan.opus) == (self.plan.to, self.plan.opus);
        let far = (!is_far_kept).then(|| Far::new(&plan, 0)).transpose()?;
        self.finish_source(now);
        if let Some(mut far) = far {
            let clock_hz = self.plan.to.codec.rtp_clock_hz();
            far.set_base(self.far.timestamp(self.far.end(), clock_hz));
            self.far = far;
            self.pause = Pause::new();
        }
        let clock_hz = plan.from.codec.rtp_clock_hz();
        if clock_hz != self.plan.from.codec.rtp_clock_hz() {
            self.reception = Reception::new(clock_hz);
        }
        self.timeline = Timeline::new(clock_hz, plan.rate().per_second());
        self.keys = Keys::new(&plan);
        self.near = near;
        self.hold = u64::from(plan.from.ptime_ms.clamp(10, 60)) * MS;
        self.plan = plan;
        Ok(())
    }

    /// Brings to its end what is known by the plan that is over.
    fn finish_source(&mut self, now: u64) {
        while let Some(held) = self.sequencer.take_first() {
            self.handle_held(now, held);
        }
        self.finish_speech();
        self.missing = 0;
        self.end_event(now);
        self.skip_to(now);
        self.far.begin_source();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use codec::{Codec, Rate};
    use relay_rtp::{Packet, PayloadType, Ssrc};

    use super::*;
    use crate::plan::Side;
    use crate::stream::Identity;

    const PCMU: u8 = 0;
    const PCMA: u8 = 8;

    fn plan(from: Codec, payload_type: u8, to: Codec) -> Plan {
        let number = |it| PayloadType::new(it).unwrap();
        Plan::new(
            Side::new(from, number(payload_type), 20),
            Side::new(to, number(96), 20),
        )
    }

    fn packet(payload_type: u8, at: u16, timestamp: u32) -> Vec<u8> {
        let mut packet = vec![0x80, payload_type];
        packet.extend(at.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend([0, 0, 0, 9]);
        packet.extend([0xd5; 160]);
        packet
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "std makes an Instant in no other way"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    /// Numbers and timestamps of what leaves when plans change every ten packets.
    fn heads_of(plans: &[Plan]) -> Vec<(u16, u32, u32)> {
        let (start, mut heads) = (start(), vec![]);
        let ours = Identity {
            ssrc: Ssrc::new(7),
            sequence: 65_530,
            timestamp: u32::MAX - 1_000,
        };
        let mut stream = Stream::new(start, plans[0], ours).unwrap();
        for at in 0..10 * u16::try_from(plans.len()).unwrap() {
            let now = start + Duration::from_millis(20) * at.into();
            let plan = plans[usize::from(at / 10)];
            stream.set_plan(now, plan).unwrap();
            let payload_type = plan.from.payload_type.value();
            // Each codec counts from somewhere else.
            let base = u32::from(payload_type) * 1_000_000;
            stream.handle_packet(now, &packet(payload_type, at, base + u32::from(at) * 160));
            stream.handle_timeout(now);
            while let Some(sent) = stream.poll_packet(now) {
                let sent = Packet::parse(sent).unwrap();
                heads.push((
                    sent.sequence().value(),
                    sent.timestamp(),
                    sent.ssrc().value(),
                ));
            }
        }
        heads
    }

    #[test]
    fn checklist_3_one_stream_leaves_whatever_codec_comes() {
        for to in [Codec::Gsm, Codec::Opus(Rate::Narrow), Codec::G722] {
            let plans = [
                plan(Codec::Pcmu, PCMU, to),
                plan(Codec::Pcma, PCMA, to),
                plan(Codec::Pcmu, PCMU, to),
            ];
            let heads = heads_of(&plans);
            assert!((28..=30).contains(&heads.len()), "{}", heads.len());
            let step = to.rtp_clock_hz() / 50;
            for pair in heads.windows(2) {
                assert_eq!(pair[1].0, pair[0].0.wrapping_add(1));
                let passed = pair[1].1.wrapping_sub(pair[0].1);
                assert!(passed == step || passed == 2 * step, "{to:?} {passed}");
                assert_eq!(pair[1].2, 7);
            }
        }
    }

    #[test]
    fn checklist_3_another_codec_on_our_side_goes_on_with_the_numbers() {
        let plans = [
            plan(Codec::Pcmu, PCMU, Codec::Gsm),
            plan(Codec::Pcmu, PCMU, Codec::Pcmu),
            plan(Codec::Pcmu, PCMU, Codec::Pcma),
        ];
        let heads = heads_of(&plans);
        assert!((25..=30).contains(&heads.len()), "{}", heads.len());
        for pair in heads.windows(2) {
            assert_eq!(pair[1].0, pair[0].0.wrapping_add(1));
            let passed = pair[1].1.wrapping_sub(pair[0].1);
            assert!((160..=640).contains(&passed), "{passed}");
        }
    }
}
