//! Clients: who they are, their cards, what they have.

use std::collections::BTreeMap;
use std::slice;

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::extract::{Path, State};
use axum::response::Response;
use ledger_core::Timestamp;
use ledger_core::api_key::Role;
use ledger_core::ids::ClientId;
use serde::Serialize;
use serde_json::Value;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::ToSchema;

use super::cards::Card;
use super::{PageParameters, READERS};
use crate::accounts::CLIENTS;
use crate::answer::{json, moment};
use crate::asked::{Asked, id};
use crate::balances::{Balances, Totals, total};
use crate::moment::{Moment, MomentParameters};
use crate::read_model::{Model, Snapshot};
use crate::service::QueryApi;

/// Who may see clients.
const ROLES: &[Role] = &[Role::Operator, Role::Analyst];

/// A client.
#[derive(Serialize, ToSchema)]
struct Client {
    id: String,
    /// Not for analysts.
    #[serde(flatten)]
    person: Option<Person>,
    /// open, closed or erased.
    status: String,
    cards: Vec<Card>,
    balances: Vec<ClientBalance>,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
    position: u64,
}

/// Who a client is; null once erased.
#[derive(Serialize, ToSchema)]
struct Person {
    name: Option<String>,
    email: Option<String>,
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Value,
}

/// A client's money in one currency, in minor units.
#[derive(Serialize, ToSchema)]
struct ClientBalance {
    currency: String,
    /// What is available and held.
    posted: i64,
    /// What authorizations hold.
    held: i64,
    /// What can be spent.
    available: i64,
}

impl ClientBalance {
    fn of((currency, totals): (String, Totals)) -> Self {
        let (held, available) = (total(&totals, "held"), total(&totals, "available"));
        Self { currency, posted: available.saturating_add(held), held, available }
    }
}

type ClientRow =
    (String, Option<String>, Option<String>, Option<String>, String, DateTime<Utc>, DateTime<Utc>, i64);

impl Client {
    fn of(row: ClientRow, asked: &Asked) -> Result<Self, ApiError> {
        let (id, name, email, metadata, status, created_at, updated_at, position) = row;
        let metadata = json(metadata.as_deref())?;
        let with_person = asked.principal.role == Role::Operator;
        Ok(Self {
            id,
            person: with_person.then_some(Person { name, email, metadata }),
            status,
            cards: Vec::new(),
            balances: Vec::new(),
            created_at: moment(created_at),
            updated_at: moment(updated_at),
            position: position.unsigned_abs(),
        })
    }
}

/// Lists clients, newest first.
#[utoipa::path(
    get, path = "/v1/clients", params(PageParameters),
    responses((status = 200, description = "Clients with their cards and balances", body = List<Client>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let (page, wanted) = asked.read(ROLES, Page::<ClientId>::read)?;
    let mut snapshot = api.snapshot(Model::ClientAccount, &[], wanted).await?;
    let mut clients = snapshot.page(select(), &page, "id", |row| Client::of(row, &asked)).await?;
    add_cards_and_balances(&mut snapshot, &mut clients).await?;
    asked.answer(snapshot.position, &List::of(clients, &page, |client| client.id.clone()))
}

/// Shows a client.
#[utoipa::path(
    get, path = "/v1/clients/{id}", params(("id" = String, Path)),
    responses((status = 200, description = "The client with its cards and balances", body = Client), Problems)
)]
pub(crate) async fn show(
    State(api): State<QueryApi>,
    Path(client): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let ((), wanted) = asked.read(ROLES, |_| ())?;
    let client = id::<ClientId>(&client)?.to_string();
    let mut snapshot = api.snapshot(Model::ClientAccount, &[&client], wanted).await?;
    let mut client = snapshot.find(select(), &client, |row| Client::of(row, &asked)).await?;
    add_cards_and_balances(&mut snapshot, slice::from_mut(&mut client)).await?;
    asked.answer(snapshot.position, &client)
}

/// Shows what a client has, now or at a past moment.
#[utoipa::path(
    get, path = "/v1/clients/{id}/balances", params(("id" = String, Path), MomentParameters),
    responses((status = 200, description = "One row per currency", body = Balances<ClientBalance>), Problems)
)]
pub(crate) async fn balances(
    State(api): State<QueryApi>,
    Path(client): Path<String>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let (moment, wanted) = asked.read(READERS, Moment::read)?;
    let past = api.past(moment).await?;
    let client = id::<ClientId>(&client)?.to_string();
    let (position, balances) = api.balances(&CLIENTS, &api.clients, client, past, wanted).await?;
    let balances = balances.into_iter().map(ClientBalance::of).collect();
    asked.answer(position, &Balances::of(balances, past))
}

fn select() -> QueryBuilder<Postgres> {
    QueryBuilder::new(
        "SELECT id, name, email, metadata, status, created_at, updated_at, position FROM clients WHERE true",
    )
}

/// Reads the cards and balances of clients that are to be shown.
async fn add_cards_and_balances(snapshot: &mut Snapshot, clients: &mut [Client]) -> Result<(), ApiError> {
    let ids: Vec<String> = clients.iter().map(|client| client.id.clone()).collect();

    let mut cards: BTreeMap<String, Vec<Card>> = BTreeMap::new();
    for card in Card::of_clients(snapshot, &ids).await? {
        cards.entry(card.client_id.clone()).or_default().push(card);
    }
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT client_id, currency, held, available FROM client_balances WHERE client_id = ANY ($1)
         ORDER BY client_id, currency",
    )
    .bind(&ids)
    .fetch_all(&mut *snapshot.transaction)
    .await?;
    let mut balances: BTreeMap<String, Vec<ClientBalance>> = BTreeMap::new();
    for (client, currency, held, available) in rows {
        let posted = available.saturating_add(held);
        balances.entry(client).or_default().push(ClientBalance { currency, posted, held, available });
    }
    for client in clients {
        client.cards = cards.remove(&client.id).unwrap_or_default();
        client.balances = balances.remove(&client.id).unwrap_or_default();
    }
    Ok(())
}
