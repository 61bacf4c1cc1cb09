//! What a flood of log lines looks like on standard error.
//!
//! Alone in its file, since a process has one subscriber: the test starts itself again as the
//! process that logs.

use std::env;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tandem_settings::{Log, LogFormat, logging};

const ROLE: &str = "TANDEM_TEST_LOG_FORMAT";
const LINES: u32 = 100;

/// Logs a flood with one field from a hostile peer, then waits for the summary.
fn log_a_flood(format: LogFormat) {
    let log = Log {
        level: "info,quiet=off".to_owned(),
        format,
        lines_per_second_max: 10,
    };
    logging::init(&log).unwrap();
    assert!(logging::init(&log).is_err(), "a second set-up is refused");
    for number in 0..LINES {
        tracing::warn!(number, from = %"a\r\nb\u{1b}[2J", "refused");
        tracing::error!(target: "quiet", "must not show");
        tracing::info!(target: "tandem::call_record", "a call");
    }
    tracing::info!("another place");
    // Real time: this process stands for a daemon, whose summaries come by the wall clock.
    thread::sleep(Duration::from_millis(1_800));
}

fn run_as(format: &str) -> Vec<String> {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_flood_is_summed_up", "--nocapture"])
        .env(ROLE, format)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}

fn count(lines: &[String], part: &str) -> usize {
    lines.iter().filter(|line| line.contains(part)).count()
}

#[test]
fn a_flood_is_summed_up() {
    match env::var(ROLE).as_deref() {
        Ok("text") => return log_a_flood(LogFormat::Text),
        Ok("json") => return log_a_flood(LogFormat::Json),
        _ => {}
    }
    for format in ["text", "json"] {
        let lines = run_as(format);
        assert_eq!(count(&lines, "refused"), 10, "{format}: {lines:#?}");
        assert_eq!(count(&lines, "a call"), 100, "no record is left out");
        assert_eq!(
            count(&lines, "… 90 more like this"),
            1,
            "{format}: {lines:#?}"
        );
        assert_eq!(count(&lines, "another place"), 1, "{format}: {lines:#?}");
        assert_eq!(
            lines.len(),
            112,
            "one line each, nothing forged: {lines:#?}"
        );
        assert_eq!(count(&lines, "\u{1b}"), 0, "{format}: {lines:#?}");
    }
}
