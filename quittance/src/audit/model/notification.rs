//! `notification`: what clients and merchants are told.

use ledger_core::ids::StreamId;
use serde_json::Value;

use super::Model;
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::table::{Kind, ParkedBy, Shape, Table, json, maybe, of, text};

/// What of an event is told: members of its data or of its card; nothing personal is among them.
const FACTS: &[(&str, &[&str])] = &[
    ("card.issued", &["brand", "last4"]),
    ("client.deposited", &["amount"]),
    ("client.withdrawn", &["amount"]),
    (
        "journal.corrected",
        &["correction_id", "reverses_type", "amount", "effective_date", "dispute", "dispute_id"],
    ),
    ("merchant.balance_written_off", &["amount"]),
    ("merchant.deposited", &["amount"]),
    ("merchant.opened", &["fee_version"]),
    ("merchant.settings_changed", &["fee_version"]),
    ("payment.authorization_expiring", &["expires_at", "capturable"]),
    ("payment.authorization_incremented", &["amount"]),
    ("payment.authorized", &["amount", "reference", "brand", "last4", "expires_at"]),
    ("payment.captured", &["amount", "fee", "released", "settles_on"]),
    ("payment.declined", &["amount", "reference", "brand", "last4", "decline_code"]),
    ("payment.dispute_evidence_submitted", &["dispute_id"]),
    ("payment.dispute_lost", &["dispute_id", "amount"]),
    ("payment.dispute_reopened", &["dispute_id", "amount", "respond_by"]),
    ("payment.dispute_won", &["dispute_id", "amount"]),
    ("payment.disputed", &["dispute_id", "amount", "respond_by"]),
    ("payment.expired", &["amount"]),
    ("payment.refunded", &["refund_id", "amount", "fee_returned"]),
    ("payment.voided", &["amount"]),
    ("payout.failed", &["amount"]),
    ("payout.paid", &["amount"]),
    ("payout.requested", &["amount", "reference"]),
    ("payout.returned", &["amount"]),
    ("settlement.closed", &["through_day", "count", "gross", "fees", "absorbed", "amount"]),
];

static SHAPES: [Shape; 1] = [Shape {
    name: "notifications",
    columns: &[
        ("position", Kind::Plain),
        ("kind", Kind::Plain),
        ("client_id", Kind::Plain),
        ("merchant_id", Kind::Plain),
        ("payment_id", Kind::Plain),
        ("data", Kind::Json),
        ("created_at", Kind::Moment),
    ],
    key: 1,
    parked_by: ParkedBy::BothOf(2, 3),
}];

/// The model.
pub(super) struct Notifications;

impl Model for Notifications {
    fn name(&self) -> &'static str {
        "notification"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, event: &Event, _: &[Effect], _: &Ledger, tables: &mut [Table]) {
        let (client, merchant) = told(event);
        if client.is_none() && merchant.is_none() {
            return;
        }
        tables[0].expect(&[
            of(event.position),
            text(event.kind.as_str()),
            maybe(client.as_deref()),
            maybe(merchant.as_deref()),
            maybe(event.payment_id().as_deref()),
            json(&facts(event)),
            of(event.at),
        ]);
    }

    fn close(&self, _: &Ledger, _: &mut [Table]) {}
}

/// Names the client and the merchant that an event concerns; API keys, corrections that are only asked for,
/// bank statements and rates concern nobody.
fn told(event: &Event) -> (Option<String>, Option<String>) {
    let named = |name| event.data().text(name).ok().map(str::to_owned);
    match event.stream {
        StreamId::Key(_) | StreamId::Correction(_) | StreamId::Reconciliation(_) | StreamId::FxPair(..) => {
            (None, None)
        }
        StreamId::Client(id) => (Some(id.to_string()), None),
        StreamId::Merchant(id) => (None, Some(id.to_string())),
        StreamId::Card(_) | StreamId::Payment(_) | StreamId::Settlement(_) | StreamId::Payout(_) => {
            (named("client_id"), named("merchant_id"))
        }
    }
}

/// Picks what is told of an event.
fn facts(event: &Event) -> Value {
    let data = event.data().0;
    let card = data.get("card").and_then(Value::as_object);
    let names = FACTS.iter().find(|(kind, _)| *kind == event.kind).map_or(&[][..], |(_, names)| *names);
    let fact = |name: &&str| {
        let value = data.get(*name).or_else(|| card?.get(*name))?;
        Some(((*name).to_owned(), value.clone()))
    };
    // What has no other name in the event than its stream's.
    let own = match event.stream {
        StreamId::Settlement(_) => Some("settlement_id"),
        StreamId::Payout(_) => Some("payout_id"),
        _ => None,
    };
    let own = own.map(|name| (name.to_owned(), Value::from(event.stream.to_string())));
    Value::Object(names.iter().filter_map(fact).chain(own).collect())
}
