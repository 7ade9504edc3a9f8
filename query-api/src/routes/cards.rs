//! Cards, as far as they may be shown.

use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::Timestamp;
use ledger_core::ids::CardId;
use serde::Serialize;
use sqlx::types::chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::READERS;
use crate::answer::moment;
use crate::asked::{Asked, id};
use crate::read_model::{Model, Snapshot};
use crate::service::QueryApi;

/// A card.
#[derive(Serialize, ToSchema)]
pub(crate) struct Card {
    id: String,
    /// The holder.
    pub(crate) client_id: String,
    brand: String,
    last4: String,
    exp_month: i16,
    exp_year: i16,
    /// active or blocked.
    status: String,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

type CardRow = (String, String, String, String, i16, i16, String, DateTime<Utc>, DateTime<Utc>, i64);

impl From<CardRow> for Card {
    fn from(row: CardRow) -> Self {
        let (id, client_id, brand, last4, exp_month, exp_year, status, created_at, updated_at, position) =
            row;
        let (created_at, updated_at) = (moment(created_at), moment(updated_at));
        let position = position.unsigned_abs();
        Self { id, client_id, brand, last4, exp_month, exp_year, status, created_at, updated_at, position }
    }
}

impl Card {
    /// Reads the cards of clients, oldest first.
    pub(crate) async fn of_clients(
        snapshot: &mut Snapshot,
        clients: &[String],
    ) -> Result<Vec<Self>, ApiError> {
        let rows: Vec<CardRow> = sqlx::query_as(
            "SELECT id, client_id, brand, last4, exp_month, exp_year, status, created_at, updated_at, position
             FROM client_cards WHERE client_id = ANY ($1) ORDER BY client_id, id",
        )
        .bind(clients)
        .fetch_all(&mut *snapshot.transaction)
        .await?;
        Ok(rows.into_iter().map(Self::from).collect())
    }
}

/// Shows a card. Its number is nowhere to be seen.
#[utoipa::path(
    get, path = "/v1/cards/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The card", body = Card), Problems)
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(card): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let ((), wanted) = asked.read(READERS, |_| ())?;
    let card: CardId = id(&card)?;
    let mut snapshot = api.snapshot(Model::ClientAccount, &[], wanted).await?;
    let row: Option<CardRow> = sqlx::query_as(
        "SELECT id, client_id, brand, last4, exp_month, exp_year, status, created_at, updated_at, position
         FROM client_cards WHERE id = $1",
    )
    .bind(card.to_string())
    .fetch_optional(&mut *snapshot.transaction)
    .await?;
    let card = Card::from(row.ok_or(ApiError::NotFound)?);
    // A card stands still with its holder.
    snapshot.refuse_parked(&card.client_id).await?;
    asked.answer(snapshot.position, &card)
}
