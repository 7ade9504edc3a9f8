//! `payment`: one row a payment, one a refund, and one a dispute.

use ledger_core::ids::StreamId;

use super::Model;
use crate::audit::event::Event;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::payment::{Approved, Payment, Standing};
use crate::audit::refund::Refund;
use crate::audit::table::{Kind, ParkedBy, Shape, Table, maybe, of, text};

const PAYMENTS: usize = 0;
const REFUNDS: usize = 1;
const DISPUTES: usize = 2;

static SHAPES: [Shape; 3] = [
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
            ("disputed", Kind::Plain),
            ("charged_back", Kind::Plain),
            ("fee", Kind::Plain),
            ("funding_currency", Kind::Plain),
            ("funding_rate", Kind::Plain),
            ("funding_held", Kind::Plain),
            ("funding_captured", Kind::Plain),
            ("funding_refunded", Kind::Plain),
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
    Shape {
        name: "disputes",
        columns: &[
            ("id", Kind::Plain),
            ("payment_id", Kind::Plain),
            ("merchant_id", Kind::Plain),
            ("currency", Kind::Plain),
            ("amount", Kind::Plain),
            ("reason", Kind::Personal),
            ("status", Kind::Plain),
            ("respond_by", Kind::Moment),
            ("evidence", Kind::Personal),
            ("reopened", Kind::Plain),
            ("created_at", Kind::Moment),
            ("updated_at", Kind::Moment),
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
            let amount = |of: fn(&Approved) -> i128| approved.map_or(0, of);
            let funded = approved.and_then(|totals| Some((totals, totals.funding?)));
            let funding = |of: fn(&Approved) -> i128| funded.map(|(totals, _)| of(totals));
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
                of(amount(|totals| totals.disputed)),
                of(amount(|totals| totals.charged_back)),
                of(amount(|totals| totals.fee_taken - totals.fee_returned)),
                funded.and_then(|(_, by)| of(by.currency)),
                funded.and_then(|(_, by)| of(by.rate)),
                funding(|totals| totals.leg(totals.captured, totals.capturable()).minor).and_then(of),
                funding(|totals| totals.cost(totals.captured)).and_then(of),
                funding(|totals| totals.refunded_paying).and_then(of),
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
        for (id, dispute) in &ledger.disputes {
            let Some(payment) = ledger.payments.get(&dispute.payment) else { continue };
            tables[DISPUTES].expect(&[
                of(id),
                of(dispute.payment),
                of(payment.details.merchant),
                of(dispute.amount.currency),
                of(dispute.amount.minor),
                maybe(dispute.reason.as_deref()),
                text(dispute.status.name()),
                of(dispute.respond_by),
                maybe(dispute.evidence.as_deref()),
                of(dispute.reopened),
                of(dispute.created_at),
                of(dispute.updated_at),
                of(dispute.position),
            ]);
        }
    }
}
