//! Past moments: `as_of` a time, `at_position` of the log. Both name one state, since times and positions
//! rise together.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use api_kit::fields::{FieldCode, FieldError};
use api_kit::problem::ApiError;
use api_kit::query_string::Parameters;
use api_kit::together::Together;
use event_store::reader::{LogReader, Place, Sought};
use ledger_core::Timestamp;
use utoipa::IntoParams;

use crate::service::QueryApi;

/// How many moments are remembered: some megabytes.
const FOUND_MAX: usize = 65_536;

/// Which past moment is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// After the last event that was recorded at or before a time.
    AsOf(Timestamp),
    /// After the event at a position.
    At(u64),
}

/// The parameters, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Moment::read` takes")]
pub(crate) struct MomentParameters {
    /// The state after the last event recorded at or before this time (RFC 3339).
    as_of: Option<String>,
    /// The state after the event at this position.
    at_position: Option<u64>,
}

/// A past moment in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Past {
    /// The position of the last event that counts.
    pub(crate) position: u64,
    /// Whether no event can come any more that would count.
    pub(crate) is_final: bool,
}

impl Moment {
    /// Takes `as_of` or `at_position`.
    pub(crate) fn read(parameters: &mut Parameters) -> Option<Self> {
        let as_of = parameters.timestamp("as_of").map(Self::AsOf);
        let at = parameters.integer("at_position", 0, i64::MAX).map(|at| Self::At(at.unsigned_abs()));
        if as_of.is_some() && at.is_some() {
            // One moment at a time.
            parameters.refuse("at_position", FieldCode::InvalidFormat);
        }
        as_of.or(at)
    }
}

/// Where past moments are in the log: asked together, and found sooner beside those that were found before.
#[derive(Default)]
pub(crate) struct Moments {
    asked: Together<Timestamp, Place>,
    /// Places that were found, of moments before which nothing can come any more.
    found: Mutex<BTreeMap<Timestamp, u64>>,
}

impl Moments {
    async fn find(&self, log: &LogReader, moment: Timestamp) -> Result<Place, ApiError> {
        self.asked.ask(moment, |moments| self.find_all(log, moments)).await
    }

    async fn find_all(&self, log: &LogReader, moments: Vec<Timestamp>) -> Result<Vec<Place>, ApiError> {
        let sought: Vec<Sought> = moments.iter().map(|moment| self.seek(*moment)).collect();
        let places = log.places_of(&sought).await?;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.extend(
            moments
                .into_iter()
                .zip(&places)
                .filter_map(|(moment, place)| place.is_past.then_some((moment, place.position))),
        );
        while found.len() > FOUND_MAX {
            found.pop_first();
        }
        Ok(places)
    }

    /// Looks between the moments next to this one. The log confirms it: it may be another since, restored to an
    /// older copy (I14).
    fn seek(&self, moment: Timestamp) -> Sought {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = found.range(..=moment).next_back().map_or(0, |(_, position)| *position);
        let later = found.range(moment..).next().map_or(0, |(_, position)| position + 1);
        Sought { moment, from: earlier, before: later }
    }
}

impl QueryApi {
    /// Finds a moment's place in the log.
    ///
    /// # Errors
    ///
    /// 422 if the moment is in the future.
    pub(crate) async fn past(&self, moment: Option<Moment>) -> Result<Option<Past>, ApiError> {
        let past = match moment {
            None => return Ok(None),
            Some(Moment::AsOf(time)) => {
                let place = self.moments.find(&self.log, time).await?;
                if time > self.clock.moved(place.now) {
                    return Err(ApiError::field(FieldError::new("/as_of", FieldCode::OutOfRange)));
                }
                Past { position: place.position, is_final: place.is_past }
            }
            Some(Moment::At(position)) => {
                if position > self.log.head().await?.position {
                    return Err(ApiError::field(FieldError::new("/at_position", FieldCode::OutOfRange)));
                }
                Past { position, is_final: true }
            }
        };
        Ok(Some(past))
    }
}

#[cfg(test)]
mod tests {
    use api_kit::query_string;

    use super::*;

    fn read(query: &str) -> Result<Option<Moment>, ApiError> {
        query_string::read(Some(query), Moment::read)
    }

    #[test]
    fn takes_one_moment() {
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("at_position=0").unwrap(), Some(Moment::At(0)));
        let noon = "2026-11-24T12:00:00.000000Z";
        assert_eq!(read(&format!("as_of={noon}")).unwrap(), Some(Moment::AsOf(noon.parse().unwrap())));
        let both = "at_position=1&as_of=2026-11-24T12:00:00Z";
        for query in ["as_of=noon", "at_position=-1", "at_position=9e9", both] {
            assert!(read(query).is_err(), "{query}");
        }
    }
}
