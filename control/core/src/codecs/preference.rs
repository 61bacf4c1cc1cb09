//! Which codec is made of which, where there is a choice.

use std::str::FromStr;

use super::format::Format;
use super::wishes::Spec;

/// How much better or worse it is to make one codec of another than to make a third one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Preference {
    from: Spec,
    to: Spec,
    /// Above 0: better.
    points: i32,
}

impl FromStr for Preference {
    type Err = &'static str;

    /// `PCMU>opus=-5`: what arrives, what leaves, and how good that is. Either may be named in full
    /// (`opus/48000/2`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (codecs, points) = text.rsplit_once('=').ok_or("it has no =")?;
        let (from, to) = codecs.split_once('>').ok_or("it has no >")?;
        let [from, to] = [from, to].map(|name| Spec::new(name.as_bytes()));
        if from.is_nameless() || to.is_nameless() {
            return Err("it names no codec");
        }
        let points = points.trim().parse();
        Ok(Self {
            from,
            to,
            points: points.map_err(|_| "what follows = is no whole number")?,
        })
    }
}

/// How good it is to make one codec of another: what is said first of the two, or 0.
pub(super) fn points(preferences: &[Preference], from: &Format, to: &Format) -> i32 {
    let mut preferences = preferences.iter();
    let found = preferences.find(|it| it.from.means(from) && it.to.means(to));
    found.map_or(0, |it| it.points)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(rtpmap: &str) -> Format {
        let mut format = Format::of_payload_type(96);
        format.read_rtpmap(rtpmap);
        format
    }

    #[test]
    fn the_first_that_is_said_of_two_codecs_holds_and_in_one_direction() {
        let said = ["PCMU > opus/48000/2 = -5", "pcmu>opus=7", "opus>G722=5"];
        let said = said.map(|it| it.parse().unwrap());
        let (pcmu, opus) = (format("PCMU/8000"), format("opus/48000/2"));
        assert_eq!(points(&said, &pcmu, &opus), -5);
        assert_eq!(points(&said, &opus, &pcmu), 0);
        assert_eq!(points(&said, &opus, &format("G722/8000")), 5);
    }

    #[test]
    fn what_is_no_preference_is_refused() {
        for text in [
            "",
            "PCMU>opus",
            "PCMU=5",
            ">opus=5",
            "PCMU>=5",
            "PCMU>opus=much",
        ] {
            assert!(text.parse::<Preference>().is_err(), "{text}");
        }
    }
}
