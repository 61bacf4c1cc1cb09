//! The date as people write it (UTC), without a calendar library.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, as in `2026-11-21 03:14 UTC`.
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    text(since.map_or(0, |it| it.as_secs()))
}

/// Counts in years from March to February, so that leap days come last.
fn text(unix_s: u64) -> String {
    let (days, minutes) = (unix_s / 86_400, unix_s / 60 % 1_440);
    // Days since 1 March of year 0; 146,097 days are 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month < 3);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02} UTC",
        minutes / 60,
        minutes % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(text(0), "1970-01-01 00:00 UTC");
        assert_eq!(text(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(text(951_868_799), "2000-02-29 23:59 UTC");
        assert_eq!(text(1_704_067_199), "2023-12-31 23:59 UTC");
        assert_eq!(text(1_709_251_200), "2024-03-01 00:00 UTC");
        assert_eq!(text(1_795_230_840), "2026-11-21 03:14 UTC");
    }
}
