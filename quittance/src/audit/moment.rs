//! Moments: microseconds since 1970, with the one spelling that the log has.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

/// A day of 24 hours, in microseconds.
const DAY: i64 = 86_400_000_000;

/// The spelling: RFC 3339, UTC, six digits. A zero stands for any digit.
const SPELLING: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";

/// A moment in UTC, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Moment(i64);

impl Moment {
    /// Reads the log's spelling, and no other.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 27] = text.as_bytes().try_into().ok()?;
        let fits =
            |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
        if !bytes.iter().zip(SPELLING).all(fits) {
            return None;
        }
        let part = |from: usize, to: usize| {
            bytes[from..to].iter().fold(0, |number, digit| 10 * number + u32::from(digit - b'0'))
        };
        let day = NaiveDate::from_ymd_opt(part(0, 4).cast_signed(), part(5, 7), part(8, 10))?;
        let moment = day.and_hms_micro_opt(part(11, 13), part(14, 16), part(17, 19), part(20, 26))?;
        Some(Self(moment.and_utc().timestamp_micros()))
    }

    /// Takes a moment of the database, in microseconds since 1970.
    pub(super) const fn of_micros(micros: i64) -> Self {
        Self(micros)
    }

    #[cfg(test)]
    pub(super) const fn micros(self) -> i64 {
        self.0
    }

    #[cfg(test)]
    pub(super) const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0 + micros)
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
        let (date, time) = (self.date_time().date_naive(), self.date_time().time());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            date.year(),
            date.month(),
            date.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.nanosecond() / 1000
        )
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
