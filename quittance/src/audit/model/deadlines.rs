//! `deadlines`: what is due, and when. A row is there until it has happened, or has nothing left to happen to.

use ledger_core::ids::PaymentId;

use super::Model;
use crate::audit::account::Holder;
use crate::audit::dispute::Status;
use crate::audit::event::Event;
use crate::audit::hold::WARNING_DAYS;
use crate::audit::ledger::{Effect, Ledger};
use crate::audit::payment::{Payment, Standing};
use crate::audit::table::{Kind, ParkedBy, Shape, Table, of, text};

static SHAPES: [Shape; 1] = [Shape {
    name: "deadlines",
    columns: &[
        ("kind", Kind::Plain),
        ("subject", Kind::Plain),
        ("due_at", Kind::Moment),
        ("payment_id", Kind::Plain),
        ("client_id", Kind::Plain),
        ("merchant_id", Kind::Plain),
        ("currency", Kind::Plain),
        ("settles_on", Kind::Plain),
        ("capturable", Kind::Plain),
    ],
    key: 2,
    parked_by: ParkedBy::FirstOf(3, 5),
}];

/// The model.
pub(super) struct Deadlines;

impl Model for Deadlines {
    fn name(&self) -> &'static str {
        "deadlines"
    }

    fn shapes(&self) -> &'static [Shape] {
        &SHAPES
    }

    fn observe(&self, _: &Event, _: &[Effect], _: &Ledger, _: &mut [Table]) {}

    fn close(&self, ledger: &Ledger, tables: &mut [Table]) {
        let table = &mut tables[0];
        ledger.payments.iter().for_each(|(id, payment)| expect_authorization(*id, payment, table));
        expect_disputes(ledger, table);
        expect_settlements(ledger, table);
    }
}

/// An authorization that something is left of is told of a day before its end, once, and then ends.
fn expect_authorization(id: PaymentId, payment: &Payment, table: &mut Table) {
    let Standing::Approved(totals) = &payment.standing else { return };
    if totals.capturable() <= 0 {
        return;
    }
    let (client, merchant) = (totals.client, payment.details.merchant);
    if !totals.warned {
        table.expect(&[
            text("authorization_expiring"),
            of(id),
            of(totals.expires_at.plus_days(-WARNING_DAYS)),
            of(id),
            of(client),
            of(merchant),
            None,
            None,
            None,
        ]);
    }
    table.expect(&[
        text("authorization_expiry"),
        of(id),
        of(totals.expires_at),
        of(id),
        of(client),
        of(merchant),
        None,
        None,
        of(totals.capturable()),
    ]);
}

/// A dispute that nobody has responded to is lost at the end of its time.
fn expect_disputes(ledger: &Ledger, table: &mut Table) {
    for (id, dispute) in ledger.disputes.iter().filter(|(_, of)| of.status == Status::NeedsResponse) {
        let Some(payment) = ledger.payments.get(&dispute.payment) else { continue };
        table.expect(&[
            text("dispute_response"),
            of(id),
            of(dispute.respond_by),
            of(dispute.payment),
            payment.client.and_then(of),
            of(payment.details.merchant),
            None,
            None,
            None,
        ]);
    }
}

/// A day's captures are settled once the day has begun, and that of the first of them is over.
fn expect_settlements(ledger: &Ledger, table: &mut Table) {
    for ((holder, currency), balance) in &ledger.balances {
        let Holder::Merchant(merchant) = holder else { continue };
        for (day, captured_on) in &balance.captured_on {
            let Some(next) = captured_on.succ_opt() else { continue };
            table.expect(&[
                text("settlement"),
                text(format!("{merchant}:{currency}:{day}")),
                text(format!("{}T00:00:00.000000Z", next.max(*day))),
                None,
                None,
                of(merchant),
                of(currency),
                of(day),
                None,
            ]);
        }
    }
}
