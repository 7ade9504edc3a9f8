//! Moments and days: UTC, whole microseconds, one spelling.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, SubsecRound, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// A moment in UTC, in whole microseconds: what PostgreSQL keeps and what is hashed.
///
/// Its text is RFC 3339 with exactly six digits and `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(DateTime<Utc>);

/// The text is no RFC 3339 moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed timestamp")]
pub struct MalformedTimestamp;

impl Timestamp {
    /// Takes a moment, cut to whole microseconds.
    pub fn new(moment: DateTime<Utc>) -> Self {
        Self(moment.trunc_subsecs(6))
    }

    /// Returns the moment for calendar arithmetic and for the database.
    pub const fn get(self) -> DateTime<Utc> {
        self.0
    }

    /// Returns microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// Returns the moment `micros` microseconds later, or the last possible one.
    #[must_use]
    pub fn plus_micros(self, micros: i64) -> Self {
        let later = self.0.checked_add_signed(chrono::TimeDelta::microseconds(micros));
        Self(later.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    /// Returns the moment `days` times 24 hours later.
    #[must_use]
    pub fn plus_days(self, days: u32) -> Self {
        self.plus_micros(i64::from(days).saturating_mul(86_400_000_000))
    }

    /// Returns the UTC day of the moment.
    pub fn day(self) -> Day {
        Day(self.0.date_naive())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A pattern would be read again each time.
        let (day, time) = (self.0.date_naive(), self.0.time());
        let (hour, minute) = (time.hour(), time.minute());
        // A leap second is one that has more than 10^9 nanoseconds.
        let second = time.second() + time.nanosecond() / 1_000_000_000;
        let micros = time.nanosecond() % 1_000_000_000 / 1_000;
        write!(f, "{day}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

impl FromStr for Timestamp {
    type Err = MalformedTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = DateTime::parse_from_rfc3339(text).map_err(|_| MalformedTimestamp)?;
        Ok(Self::new(moment.to_utc()))
    }
}

/// A UTC day; its text is `2026-11-24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(NaiveDate);

/// The text is no day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed day")]
pub struct MalformedDay;

impl Day {
    /// Returns the day `days` later, or the last possible one.
    #[must_use]
    pub fn plus(self, days: u32) -> Self {
        Self(self.0.checked_add_days(Days::new(u64::from(days))).unwrap_or(NaiveDate::MAX))
    }

    /// Returns the day `days` earlier, or the first possible one.
    #[must_use]
    pub fn minus(self, days: u32) -> Self {
        Self(self.0.checked_sub_days(Days::new(u64::from(days))).unwrap_or(NaiveDate::MIN))
    }

    /// Returns the day's first moment, UTC.
    pub fn begins(self) -> Timestamp {
        Timestamp(self.0.and_time(NaiveTime::MIN).and_utc())
    }

    /// Returns the calendar year.
    pub fn year(self) -> i32 {
        self.0.year()
    }

    /// Returns the month, 1 to 12.
    pub fn month(self) -> u32 {
        self.0.month()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Day {
    type Err = MalformedDay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No missing zeros, no years of five digits, and not the year 0, which other calendars do not have.
        let is_plain = |day: &NaiveDate| text.len() == 10 && day.year() > 0 && day.to_string() == text;
        let day = text.parse().ok().filter(is_plain);
        day.map(Self).ok_or(MalformedDay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_with_six_digits() {
        for (sent, kept) in [
            ("2026-11-24T08:00:00Z", "2026-11-24T08:00:00.000000Z"),
            ("2026-11-24T09:00:00.1234567+01:00", "2026-11-24T08:00:00.123456Z"),
            ("2016-12-31T23:59:60.000500Z", "2016-12-31T23:59:60.000500Z"),
        ] {
            assert_eq!(sent.parse::<Timestamp>().unwrap().to_string(), kept);
        }
        assert_eq!("2026-11-24".parse::<Timestamp>(), Err(MalformedTimestamp));
    }

    #[test]
    fn a_day_has_one_spelling() {
        assert_eq!("2028-02-29".parse::<Day>().unwrap().to_string(), "2028-02-29");
        for text in [
            "2026-02-29",
            "2026-2-28",
            " 2026-02-28",
            "+2026-02-28",
            "20260228",
            "2026-02-28T00:00:00Z",
            "+12026-02-28",
            "0000-01-01",
            "",
        ] {
            assert_eq!(text.parse::<Day>(), Err(MalformedDay), "{text}");
        }
    }

    #[test]
    fn a_day_has_neighbours_and_a_first_moment() {
        let day: Day = "2026-03-01".parse().unwrap();
        assert_eq!(
            (day.to_string().as_str(), day.minus(1).to_string().as_str()),
            ("2026-03-01", "2026-02-28")
        );
        assert_eq!(day.begins().to_string(), "2026-03-01T00:00:00.000000Z");
        assert_eq!(day.begins().day(), day);
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        let end = Timestamp::new(DateTime::<Utc>::MAX_UTC);
        assert!(end.plus_days(u32::MAX) >= end);
        assert!(end.day().plus(30) >= end.day());
    }
}
