//! What control asks for, as plans.

use codec::{Rate, ilbc, opus};
use relay_rtp::PayloadType;
use relay_transcode::{Events, Plan, Side};
use relay_wire::{
    Codec, Events as WireEvents, Format, IlbcMode, OpusPurpose, OpusSettings, ROUTES_MAX, Refusal,
    Route, SampleRate, Transcoding,
};

use super::sounds::rate;

/// Milliseconds of a packet at most (RFC 3551 §4.2).
const PTIME_MS_MAX: u16 = 200;

/// Clocks of events.
const EVENT_CLOCKS_HZ: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// The plan of each route.
///
/// # Errors
///
/// When the routes cannot be.
pub(super) fn plans(transcoding: &Transcoding) -> Result<Box<[Plan]>, Refusal> {
    let routes = &transcoding.routes;
    if routes.is_empty() || routes.len() > ROUTES_MAX {
        return Err(Refusal::Unsupported);
    }
    let plans: Option<Box<[Plan]>> = routes.iter().map(plan).collect();
    let plans = plans.ok_or(Refusal::Unsupported)?;
    let type_of = |plan: &Plan| plan.from.payload_type;
    for (index, plan) in plans.iter().enumerate() {
        if plans[..index].iter().any(|it| type_of(it) == type_of(plan)) {
            return Err(Refusal::Unsupported);
        }
    }
    Ok(plans)
}

fn plan(route: &Route) -> Option<Plan> {
    let mut plan = Plan::new(side(&route.from)?, side(&route.to)?);
    plan.suppresses_silence = route.suppresses_silence;
    plan.is_coded_anew = route.is_coded_anew;
    let (one, other) = (plan.from.codec.rate(), plan.to.codec.rate());
    if one != other && (one.is_full() || other.is_full()) {
        return None;
    }
    if let (codec::Codec::Opus(rate), Some(settings)) = (plan.to.codec, route.opus) {
        plan.opus = Some(opus_settings(rate, settings)?);
    }
    Some(plan)
}

pub(super) fn side(format: &Format) -> Option<Side> {
    if !(1..=PTIME_MS_MAX).contains(&format.ptime_ms) {
        return None;
    }
    let mut side = Side::new(
        codec(format.codec)?,
        PayloadType::new(format.payload_type)?,
        format.ptime_ms,
    );
    if let Some(said) = format.events {
        side.events = Some(events(said)?);
    }
    if let Some(payload_type) = format.comfort_noise {
        side.comfort_noise = Some(PayloadType::new(payload_type)?);
    }
    let events = side.events.map(|it| it.payload_type);
    let speech = Some(side.payload_type);
    let are_apart = events != speech
        && side.comfort_noise != speech
        && (events.is_none() || events != side.comfort_noise);
    are_apart.then_some(side)
}

fn events(said: WireEvents) -> Option<Events> {
    let is_clock = EVENT_CLOCKS_HZ.contains(&said.clock_hz);
    Some(Events {
        payload_type: PayloadType::new(said.payload_type).filter(|_| is_clock)?,
        clock_hz: said.clock_hz,
    })
}

pub(super) fn opus_settings(rate: Rate, said: OpusSettings) -> Option<opus::Settings> {
    let is_possible = said.complexity <= 10
        && said.loss_percent <= 100
        && said
            .bitrate
            .is_none_or(|it| (6_000..=510_000).contains(&it));
    is_possible.then_some(opus::Settings {
        rate,
        complexity: said.complexity,
        bitrate: said.bitrate,
        loss_percent: said.loss_percent,
        purpose: match said.purpose {
            OpusPurpose::Speech => opus::Purpose::Speech,
            OpusPurpose::Audio => opus::Purpose::Audio,
            OpusPurpose::LowDelay => opus::Purpose::LowDelay,
        },
        is_stereo: said.is_stereo,
    })
}

fn codec(codec: Codec) -> Option<codec::Codec> {
    Some(match codec {
        Codec::Pcmu => codec::Codec::Pcmu,
        Codec::Pcma => codec::Codec::Pcma,
        Codec::Gsm => codec::Codec::Gsm,
        Codec::Ilbc(IlbcMode::Ms20) => codec::Codec::Ilbc(ilbc::Mode::Ms20),
        Codec::Ilbc(IlbcMode::Ms30) => codec::Codec::Ilbc(ilbc::Mode::Ms30),
        Codec::G722 => codec::Codec::G722,
        Codec::L16(SampleRate::Full | SampleRate::Stereo) => return None,
        Codec::L16(samples) => codec::Codec::L16(rate(samples)),
        Codec::Opus(samples) => codec::Codec::Opus(rate(samples)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(codec: Codec, payload_type: u8) -> Format {
        Format::new(codec, payload_type, 20)
    }

    fn transcoding() -> Transcoding {
        let opus = Codec::Opus(SampleRate::Narrow);
        Transcoding {
            routes: vec![Route {
                from: format(Codec::Ilbc(IlbcMode::Ms20), 97),
                to: format(opus, 111),
                opus: Some(OpusSettings {
                    complexity: 3,
                    bitrate: Some(20_000),
                    loss_percent: 5,
                    purpose: OpusPurpose::Audio,
                    is_stereo: true,
                }),
                suppresses_silence: true,
                is_coded_anew: true,
            }],
            rtcp: None,
        }
    }

    #[test]
    fn a_route_is_a_plan() {
        let mut said = transcoding();
        said.routes[0].from.events = Some(WireEvents {
            payload_type: 101,
            clock_hz: 8_000,
        });
        said.routes[0].to.comfort_noise = Some(13);
        let plans = plans(&said).unwrap();
        let plan = plans[0];
        assert_eq!(plan.from.codec, codec::Codec::Ilbc(ilbc::Mode::Ms20));
        assert_eq!(plan.from.events.unwrap().payload_type.value(), 101);
        assert_eq!(plan.to.codec, codec::Codec::Opus(Rate::Narrow));
        assert_eq!(plan.to.comfort_noise.unwrap().value(), 13);
        let opus = plan.opus.unwrap();
        assert_eq!(
            (opus.complexity, opus.bitrate, opus.loss_percent),
            (3, Some(20_000), 5)
        );
        assert_eq!((opus.purpose, opus.is_stereo), (opus::Purpose::Audio, true));
        assert!(plan.suppresses_silence && plan.is_coded_anew);
    }

    #[test]
    fn refuses_what_cannot_be() {
        type Mistake = fn(&mut Transcoding);
        let mistakes: [Mistake; 14] = [
            |it| it.routes[0].to.codec = Codec::Opus(SampleRate::Full),
            |it| it.routes[0].from.codec = Codec::Opus(SampleRate::Stereo),
            |it| it.routes[0].from.codec = Codec::L16(SampleRate::Full),
            |it| it.routes.clear(),
            |it| it.routes.push(it.routes[0]),
            |it| {
                let route = it.routes[0];
                it.routes = (0..9)
                    .map(|number| {
                        let mut route = route;
                        route.from.payload_type = number;
                        route
                    })
                    .collect();
            },
            |it| it.routes[0].from.payload_type = 128,
            |it| it.routes[0].from.comfort_noise = Some(200),
            |it| it.routes[0].from.comfort_noise = Some(97),
            |it| it.routes[0].to.ptime_ms = 0,
            |it| it.routes[0].from.ptime_ms = 201,
            |it| it.routes[0].opus.as_mut().unwrap().complexity = 11,
            |it| it.routes[0].opus.as_mut().unwrap().bitrate = Some(1),
            |it| {
                it.routes[0].to.events = Some(WireEvents {
                    payload_type: 101,
                    clock_hz: 0,
                });
            },
        ];
        assert!(plans(&transcoding()).is_ok());
        for mistake in mistakes {
            let mut said = transcoding();
            mistake(&mut said);
            assert_eq!(plans(&said), Err(Refusal::Unsupported), "{said:?}");
        }
    }
}
