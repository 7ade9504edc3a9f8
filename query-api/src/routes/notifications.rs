//! Notifications: what clients and merchants are told.

use std::fmt;
use std::str::FromStr;

use api_kit::page::{List, Page};
use api_kit::problem::{ApiError, Problems};
use axum::extract::State;
use axum::response::Response;
use ledger_core::api_key::Role;
use ledger_core::ids::MalformedId;
use ledger_core::{Owner, Timestamp};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use super::PageParameters;
use crate::answer::{json, moment};
use crate::asked::Asked;
use crate::read_model::Model;
use crate::service::QueryApi;

/// Something that a client or merchant is told.
#[derive(Serialize, ToSchema)]
struct Notification {
    /// The position and the recipient.
    id: String,
    /// A client or a merchant.
    recipient: String,
    /// The event's type.
    kind: String,
    /// The event's position.
    position: u64,
    #[schema(value_type = String)]
    created_at: Timestamp,
    payment_id: Option<String>,
    /// The facts, by the event's type.
    data: Value,
}

type NotificationRow = (String, i64, String, Option<String>, String, DateTime<Utc>);

impl Notification {
    fn of(
        (recipient, position, kind, payment_id, data, created_at): NotificationRow,
    ) -> Result<Self, ApiError> {
        let (data, position) = (json(Some(&data))?, position.unsigned_abs());
        let id = format!("{position}-{recipient}");
        Ok(Self { id, recipient, kind, position, created_at: moment(created_at), payment_id, data })
    }
}

/// A notification's place.
struct Place {
    position: i64,
    recipient: Owner,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.position, self.recipient)
    }
}

impl FromStr for Place {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (position, recipient) = text.split_once('-').ok_or(MalformedId)?;
        Ok(Self { position: position.parse().map_err(|_| MalformedId)?, recipient: recipient.parse()? })
    }
}

/// The parameters, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes")]
struct FilterParameters {
    /// A client's or merchant's id.
    recipient: Option<String>,
    /// Only what comes after this position, oldest first.
    after: Option<u64>,
}

/// Lists notifications, newest first; with `after`, what came since, oldest first. A merchant sees its own.
#[utoipa::path(
    get, path = "/v1/notifications", params(FilterParameters, PageParameters),
    responses((status = 200, description = "Notifications", body = List<Notification>), Problems)
)]
pub(crate) async fn list(State(api): State<QueryApi>, asked: Asked) -> Result<Response, ApiError> {
    let ((recipient, after, page), wanted) = asked.read(&[Role::Operator, Role::Merchant], |parameters| {
        let recipient: Option<Owner> = parameters.value("recipient");
        (recipient, parameters.integer("after", 0, i64::MAX), Page::<Place>::read(parameters))
    })?;
    let own = asked.merchant().map(Owner::Merchant);
    let keys: Vec<String> = own.or(recipient).iter().map(Owner::to_string).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut snapshot = api.snapshot(Model::Notification, &keys, wanted).await?;
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT recipient, position, kind, payment_id, data, created_at FROM notifications WHERE true",
    );
    for recipient in [own, recipient].into_iter().flatten() {
        query.push(" AND recipient = ").push_bind(recipient.to_string());
    }
    if let Some(after) = after {
        query.push(" AND position > ").push_bind(after);
    }
    if let Some(Place { position, recipient }) = &page.after {
        let before = if after.is_some() { ">" } else { "<" };
        query.push(" AND (position, recipient) ").push(before).push(" (").push_bind(*position);
        query.push(", ").push_bind(recipient.to_string()).push(")");
    }
    snapshot.push_not_parked(&mut query, "recipient");
    let order = if after.is_some() { "ASC" } else { "DESC" };
    query.push(" ORDER BY position ").push(order).push(", recipient ").push(order);
    query.push(" LIMIT ").push_bind(page.rows());
    let rows: Vec<NotificationRow> = query.build_query_as().fetch_all(&mut *snapshot.transaction).await?;
    let notifications = rows.into_iter().map(Notification::of).collect::<Result<Vec<_>, _>>()?;
    asked.answer(snapshot.position, &List::of(notifications, &page, |notification| notification.id.clone()))
}
