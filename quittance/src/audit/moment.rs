//! Moments: microseconds since 1970, with the one spelling that the log has.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

/// A day of 24 hours, in microseconds.
const DAY: i64 = 86_400_000_000;

/// The spelling: RFC 3339, UTC, six digits.
const SPELLING: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";

/// A moment in UTC, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Moment(i64);

impl Moment {
    /// Reads the log's spelling, and no other.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let moment = NaiveDateTime::parse_from_str(text, SPELLING).ok()?;
        let moment = Self(moment.and_utc().timestamp_micros());
        (moment.to_string() == text).then_some(moment)
    }

    /// Takes a moment of the database, which keeps microseconds.
    pub(super) const fn of(moment: DateTime<Utc>) -> Self {
        Self(moment.timestamp_micros())
    }

    /// Returns the UTC day.
    pub(super) fn day(self) -> NaiveDate {
        self.date_time().date_naive()
    }

    /// Returns the moment so many days of 24 hours later.
    pub(super) const fn plus_days(self, days: i64) -> Self {
        Self(self.0.saturating_add(days.saturating_mul(DAY)))
    }

    /// Tells whether the moment is one or more whole days of 24 hours after another.
    pub(super) const fn is_days_after(self, other: Self) -> bool {
        let between = self.0.saturating_sub(other.0);
        between >= DAY && between % DAY == 0
    }

    fn date_time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date_time().format(SPELLING).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_spelling() {
        let text = "2026-11-24T08:00:00.000001Z";
        assert_eq!(Moment::parse(text).unwrap().to_string(), text);
        for other in
            ["2026-11-24T08:00:00Z", "2026-11-24T08:00:00.0000010Z", "2026-11-24T08:00:00.000001+00:00", ""]
        {
            assert_eq!(Moment::parse(other), None, "{other}");
        }
    }

    #[test]
    fn days_are_counted_in_hours() {
        let moment = |text| Moment::parse(text).unwrap();
        let begin = moment("2026-11-24T08:00:00.000001Z");
        assert_eq!(begin.plus_days(7), moment("2026-12-01T08:00:00.000001Z"));
        assert!(begin.plus_days(7).is_days_after(begin));
        assert!(!begin.is_days_after(begin));
        assert!(!moment("2026-11-25T08:00:00.000002Z").is_days_after(begin));
    }

    #[test]
    fn a_day_ends_at_midnight_utc() {
        let day = |text| Moment::parse(text).unwrap().day().to_string();
        assert_eq!(day("2026-11-24T23:59:59.999999Z"), "2026-11-24");
        assert_eq!(day("2026-11-25T00:00:00.000000Z"), "2026-11-25");
    }
}
