//! Times and durations for people. Always UTC, so that logs and records of several hosts compare.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, now.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// `2026-11-21 09:05:00`, of milliseconds since 1970.
pub(crate) fn date_and_time(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// `2 d 3 h`, `3 h 20 min`, `4 min 5 s`, `5 s`: the two greatest units.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// `1:02:03` or `2:03`, as telephones show a call's length.
pub(crate) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Gregorian).
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, leap days come last in a year and a cycle of 400 years is whole.
    let days = days + 719_468;
    let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524
        - day_of_cycle / 146_096)
        / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = cycle * 400 + year_of_cycle + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date_and_time(0), "1970-01-01 00:00:00");
        assert_eq!(date_and_time(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(date_and_time(951_868_799_999), "2000-02-29 23:59:59");
        assert_eq!(date_and_time(1_704_067_199_000), "2023-12-31 23:59:59");
        assert_eq!(date_and_time(1_709_251_200_000), "2024-03-01 00:00:00");
        assert_eq!(date_and_time(1_795_219_204_000), "2026-11-21 00:00:04");
        assert_eq!(date_and_time(4_107_542_400_000), "2100-03-01 00:00:00");
    }

    #[test]
    fn every_day_of_a_cycle_follows_the_one_before() {
        let mut previous = civil(0);
        for day in 1..146_097 {
            let next = civil(day);
            assert!(next > previous, "{next:?} after {previous:?}");
            assert!((1..=12).contains(&next.1) && (1..=31).contains(&next.2));
            previous = next;
        }
        assert_eq!(civil(146_097), (2370, 1, 1));
    }

    #[test]
    fn spans_show_two_units() {
        assert_eq!(span(Duration::from_secs(59)), "59 s");
        assert_eq!(span(Duration::from_secs(3_599)), "59 min 59 s");
        assert_eq!(span(Duration::from_secs(90_000)), "1 d 1 h");
        assert_eq!(clock(Duration::from_secs(59)), "0:59");
        assert_eq!(clock(Duration::from_secs(3_723)), "1:02:03");
    }
}
