//! Past moments: each is a position of the log.

use api_kit::fields::{FieldCode, FieldError};
use api_kit::problem::ApiError;
use api_kit::query_string::Parameters;
use ledger_core::Timestamp;
use serde_json::{Value, json};

use crate::QueryApi;

/// What a caller asks for: now, or a past moment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// What the read model has.
    Now,
    /// After the last event that was recorded at or before this.
    AsOf(Timestamp),
    /// After the event at this position.
    At(u64),
}

/// A moment as a position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// `None`: now.
    pub(crate) position: Option<u64>,
    /// Whether nothing can come at or before it any more.
    is_final: bool,
}

impl Wanted {
    /// Reads `as_of` or `at_position`, not both.
    pub(crate) fn read(parameters: &mut Parameters) -> Self {
        let as_of = parameters.timestamp("as_of");
        let at_position = parameters.integer("at_position", 0, i64::MAX);
        match (as_of, at_position) {
            (Some(_), Some(_)) => {
                parameters.refuse("at_position", FieldCode::InvalidFormat);
                Self::Now
            }
            (Some(moment), None) => Self::AsOf(moment),
            (None, Some(position)) => Self::At(position.unsigned_abs()),
            (None, None) => Self::Now,
        }
    }
}

impl QueryApi {
    /// Finds the position of a moment.
    ///
    /// # Errors
    ///
    /// 422 for what is still to come, by PostgreSQL's clock and the log's head.
    pub(crate) async fn moment(&self, wanted: Wanted) -> Result<Moment, ApiError> {
        let out_of_range = |name| Err(ApiError::field(FieldError::new(name, FieldCode::OutOfRange)));
        match wanted {
            Wanted::Now => Ok(Moment::NOW),
            Wanted::At(position) if position > self.log.head().await?.position => {
                out_of_range("/at_position")
            }
            Wanted::At(position) => Ok(Moment { position: Some(position), is_final: true }),
            Wanted::AsOf(moment) => {
                if moment > self.clock.moved(self.log.database_time().await?) {
                    return out_of_range("/as_of");
                }
                let position = self.log.position_at(moment).await?;
                let is_final = self.log.head().await?.recorded_at.is_some_and(|last| last > moment);
                Ok(Moment { position: Some(position), is_final })
            }
        }
    }
}

impl Moment {
    /// Now.
    pub(crate) const NOW: Self = Self { position: None, is_final: false };

    /// Returns the position that a read model must have reached.
    pub(crate) fn at_least(&self) -> u64 {
        self.position.unwrap_or(0)
    }

    /// Returns the last position that counts, as the database keeps it.
    pub(crate) const fn last(&self) -> i64 {
        match self.position {
            Some(position) => position.cast_signed(),
            None => i64::MAX,
        }
    }

    /// Adds to an answer what it says of its moment.
    pub(crate) fn stamp(&self, mut body: Value, reading: u64) -> Value {
        body["position"] = json!(self.position.unwrap_or(reading));
        if self.position.is_some() {
            body["final"] = json!(self.is_final);
        }
        body
    }
}
