//! `notification`: what clients and merchants are told.

use std::collections::BTreeSet;

use ledger_core::ids::StreamId;

use super::Model;
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::table::{FACTS, Kind, Shape, Table, maybe, of, text};

static SHAPES: [Shape; 1] = [Shape {
    name: "notifications",
    columns: &[
        ("recipient", Kind::Plain),
        ("position", Kind::Plain),
        ("kind", Kind::Plain),
        ("payment_id", Kind::Plain),
        ("data", Kind::Facts),
        ("created_at", Kind::Moment),
    ],
    key: 2,
    owner: 0,
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
        let payment = event.payment_id();
        for recipient in recipients(event) {
            tables[0].expect(&[
                text(recipient),
                of(event.position),
                text(event.kind.as_str()),
                maybe(payment.as_deref()),
                text(FACTS),
                of(event.at),
            ]);
        }
    }

    fn close(&self, _: &Ledger, _: &mut [Table]) {}
}

/// Names the client and the merchant that an event concerns; API keys concern nobody.
fn recipients(event: &Event) -> BTreeSet<String> {
    match event.stream {
        StreamId::Key(_) => BTreeSet::new(),
        StreamId::Client(_) | StreamId::Merchant(_) => [event.stream.to_string()].into(),
        StreamId::Card(_) | StreamId::Payment(_) => ["client_id", "merchant_id"]
            .into_iter()
            .filter_map(|name| event.data().text(name).ok().map(str::to_owned))
            .collect(),
    }
}
