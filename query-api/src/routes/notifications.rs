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
    // A row tells its client and its merchant.
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT recipient, position, kind, payment_id, data, created_at FROM notifications
         CROSS JOIN LATERAL (VALUES (client_id), (merchant_id)) AS told (recipient) WHERE recipient IS NOT NULL",
    );
    for recipient in [own, recipient].into_iter().flatten() {
        query.push(" AND recipient = ").push_bind(recipient.to_string());
    }
    let (order, before) = if after.is_some() { (" ASC", " > ") } else { (" DESC", " < ") };
    let from = after.map_or(0, |after| after.saturating_add(1));
    let mut positions = from..=i64::MAX;
    if let Some(Place { position, recipient }) = &page.after {
        positions = if after.is_some() { from.max(*position)..=i64::MAX } else { 0..=*position };
        query.push(" AND (position, recipient)").push(before).push("(").push_bind(*position);
        query.push(", ").push_bind(recipient.to_string()).push(")");
    }
    snapshot.push_not_parked(&mut query, "recipient");
    let of = own.or(recipient).map(|owner| match owner {
        Owner::Client(id) => ("client_id", id.to_string()),
        Owner::Merchant(id) => ("merchant_id", id.to_string()),
    });
    if let Some((column, id)) = &of {
        // A range in the order of the recipient's index, so that no other will do: one by positions alone would be
        // read through for a recipient who is seldom told anything.
        query
            .push(" AND ")
            .push(column)
            .push(" IS NOT NULL AND (")
            .push(column)
            .push(", position) BETWEEN (");
        query.push_bind(id.clone()).push(", ").push_bind(*positions.start()).push(") AND (");
        query.push_bind(id.clone()).push(", ").push_bind(*positions.end()).push(")");
        query.push(" ORDER BY ").push(column).push(order).push(", position").push(order);
    } else {
        query.push(" AND position BETWEEN ").push_bind(*positions.start());
        query.push(" AND ").push_bind(*positions.end()).push(" ORDER BY position").push(order);
    }
    query.push(", recipient").push(order);
    query.push(" LIMIT ").push_bind(page.rows());
    let rows: Vec<NotificationRow> = query.build_query_as().fetch_all(&mut *snapshot.transaction).await?;
    let notifications = rows.into_iter().map(Notification::of).collect::<Result<Vec<_>, _>>()?;
    asked.answer(snapshot.position, &List::of(notifications, &page, |notification| notification.id.clone()))
}
