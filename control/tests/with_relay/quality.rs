//! How a call sounds that gets worse: from packets that are lost to what a proxy is told.

use std::time::{Duration, Instant};

use control_ng::{Command, Dictionary, Query};

use crate::daemons::Daemons;
use crate::{Call, delete};

/// Enough for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// The scores of a stream, and how many entries its progression has.
#[derive(Clone, Copy, Debug, Default)]
struct Scores {
    lowest: i64,
    average: i64,
    highest: i64,
    samples: i64,
    entries: usize,
}

fn scores(daemons: &mut Daemons, ssrc: u16) -> Scores {
    let query = Query {
        call_id: b"c1",
        ..Query::default()
    };
    daemons.ask(&Command::Query(query), |reply| {
        let sources = reply.dictionary().get("SSRC").unwrap();
        let sources = sources.as_dictionary().unwrap();
        let source = sources.get(ssrc.to_string().as_str());
        source.map_or_else(Scores::default, |it| read(it.as_dictionary().unwrap()))
    })
}

fn read(source: &Dictionary<'_>) -> Scores {
    let block = |name| source.get(name).unwrap().as_dictionary().unwrap();
    let number = |name, key| block(name).get(key).unwrap().as_integer().unwrap();
    let entries = block("MOS progression").get("entries").unwrap();
    let scores = Scores {
        lowest: number("lowest MOS", "MOS"),
        average: number("average MOS", "MOS"),
        highest: number("highest MOS", "MOS"),
        samples: number("average MOS", "samples"),
        entries: entries.as_list().unwrap().len(),
    };
    assert!(scores.lowest <= scores.average && scores.average <= scores.highest);
    scores
}

#[test]
fn loss_that_begins_in_the_middle_of_a_call_is_told_apart() {
    let Some(mut daemons) = Daemons::start_with("quality_interval_s = 1\n") else {
        return;
    };
    let mut call = Call::begin(&mut daemons, "c1");
    let ssrc = call.caller.port();
    let begun = Instant::now();
    let mut seen = Scores::default();
    while seen.samples < 3 {
        call.talk(10);
        seen = scores(&mut daemons, ssrc);
        assert!(begun.elapsed() < PATIENCE, "{seen:?}");
    }
    let good = seen.lowest;
    while seen.lowest + 5 > good {
        for _ in 0..10 {
            // Each second one is lost on the way.
            call.caller.sequence = call.caller.sequence.wrapping_add(1);
            call.talk(1);
        }
        seen = scores(&mut daemons, ssrc);
        assert!(begun.elapsed() < PATIENCE, "{seen:?}");
    }
    assert!(seen.highest >= good && seen.entries >= 2, "{seen:?}");
    assert!(delete(&mut daemons, "c1").is_some());
    daemons.stop();
}
