//! `fx-rate`: every rate that was ever set; the last one of a pair of currencies is the one in use.

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::Envelope;
use ledger_core::event::{Event, FxRateSet};
use sqlx::PgConnection;

use crate::projection::{ApplyError, Decoded, Projection};

/// The projection.
pub(super) struct FxRates;

#[async_trait]
impl Projection for FxRates {
    fn model(&self) -> ReadModel {
        read_model::FX_RATE
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        match event.event() {
            Event::FxRateSet(_) => vec![event.stream_id().to_string()],
            _ => Vec::new(),
        }
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        let set: Vec<(&Decoded, &FxRateSet)> = events
            .iter()
            .filter_map(|event| match event.envelope.event() {
                Event::FxRateSet(set) => Some((*event, set)),
                _ => None,
            })
            .collect();
        sqlx::query(
            "INSERT INTO fx_rates (position, pair, from_currency, to_currency, rate, valid_until, created_at)
             SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
                                  $7::timestamptz[])",
        )
        .bind(set.iter().map(|(event, _)| event.position()).collect::<Vec<_>>())
        .bind(set.iter().map(|(event, _)| event.envelope.stream_id().to_string()).collect::<Vec<_>>())
        .bind(set.iter().map(|(_, set)| set.from.to_string()).collect::<Vec<_>>())
        .bind(set.iter().map(|(_, set)| set.to.to_string()).collect::<Vec<_>>())
        .bind(set.iter().map(|(_, set)| set.rate.to_string()).collect::<Vec<_>>())
        .bind(set.iter().map(|(_, set)| set.valid_until.get()).collect::<Vec<_>>())
        .bind(set.iter().map(|(event, _)| event.recorded_at()).collect::<Vec<_>>())
        .execute(tables)
        .await?;
        Ok(())
    }
}
