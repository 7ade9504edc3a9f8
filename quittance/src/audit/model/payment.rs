//! `payment`: one row a payment, and one a refund.

use ledger_core::ids::StreamId;

use super::Model;
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::payment::{Payment, Standing};
use crate::audit::refund::Refund;
use crate::audit::table::{Kind, ParkedBy, Shape, Table, maybe, of, text};

const PAYMENTS: usize = 0;
const REFUNDS: usize = 1;

static SHAPES: [Shape; 2] = [
    Shape {
        name: "payments",
        columns: &[
            ("id", Kind::Plain),
            ("merchant_id", Kind::Plain),
            ("client_id", Kind::Plain),
            ("status", Kind::Plain),
            ("currency", Kind::Plain),
            ("amount", Kind::Plain),
            ("authorized", Kind::Plain),
            ("captured", Kind::Plain),
            ("released", Kind::Plain),
            ("refunded", Kind::Plain),
            ("fee", Kind::Plain),
            ("card_id", Kind::Plain),
            ("card_brand", Kind::Plain),
            ("card_last4", Kind::Plain),
            ("exp_month", Kind::Plain),
            ("exp_year", Kind::Plain),
            ("capture", Kind::Plain),
            ("reference", Kind::Plain),
            ("description", Kind::Personal),
            ("metadata", Kind::Personal),
            ("decline_code", Kind::Plain),
            ("expires_at", Kind::Moment),
            ("created_at", Kind::Moment),
            ("updated_at", Kind::Moment),
            ("position", Kind::Plain),
        ],
        key: 1,
        parked_by: ParkedBy::Column(0),
    },
    Shape {
        name: "refunds",
        columns: &[
            ("id", Kind::Plain),
            ("payment_id", Kind::Plain),
            ("currency", Kind::Plain),
            ("amount", Kind::Plain),
            ("reason", Kind::Personal),
            ("created_at", Kind::Moment),
            ("position", Kind::Plain),
        ],
        key: 1,
        parked_by: ParkedBy::Column(1),
    },
];

/// The model.
pub(super) struct Payments;

impl Model for Payments {
    fn name(&self) -> &'static str {
        "payment"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, event: &Event, _: &[Effect], ledger: &Ledger, tables: &mut [Table]) {
        if let Some(Refund { id, position, amount, reason }) = &ledger.refund
            && *position == event.position
        {
            tables[REFUNDS].expect(&[
                of(id),
                of(event.stream),
                of(amount.currency),
                of(amount.minor),
                maybe(reason.as_deref()),
                of(event.at),
                of(position),
            ]);
        }
    }

    fn close(&self, ledger: &Ledger, tables: &mut [Table]) {
        for (id, Payment { details, client, standing }) in &ledger.payments {
            let Some(stamp) = ledger.streams.get(&StreamId::Payment(*id)) else { continue };
            let payment = &ledger.payments[id];
            let (approved, decline_code) = match standing {
                Standing::Approved(approved) => (Some(&**approved), None),
                Standing::Declined(code) => (None, Some(*code)),
            };
            let amount = |of: fn(&crate::audit::payment::Approved) -> i128| approved.map_or(0, of);
            tables[PAYMENTS].expect(&[
                of(id),
                of(details.merchant),
                client.and_then(of),
                text(payment.status()),
                of(details.amount.currency),
                of(details.amount.minor),
                of(amount(|totals| totals.authorized)),
                of(amount(|totals| totals.captured)),
                of(amount(|totals| totals.released)),
                of(amount(|totals| totals.refunded)),
                of(amount(|totals| totals.fee_taken - totals.fee_returned)),
                details.card.and_then(of),
                maybe(details.face.brand),
                text(&*details.face.last4),
                of(details.face.exp_month),
                of(details.face.exp_year),
                text(if details.automatic { "automatic" } else { "manual" }),
                maybe(details.reference.as_deref()),
                maybe(details.description.as_deref()),
                maybe(details.metadata.as_deref()),
                maybe(decline_code),
                approved.and_then(|totals| of(totals.expires_at)),
                of(stamp.created_at),
                of(stamp.updated_at),
                of(stamp.position),
            ]);
        }
    }
}
