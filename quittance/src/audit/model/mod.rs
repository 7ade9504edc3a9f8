//! What the log must explain: the write side's rows and each read model's, as the contract describes
//! them. None of this calls the code that writes those rows.

mod client_account;
mod correction;
mod deadlines;
mod fx_rate;
mod house_account;
mod merchant_account;
mod notification;
mod payment;
mod payout;
mod reconciliation;
mod settlement;
mod write_side;

use super::event::Event;
use super::ledger::{Effect, Ledger};
use super::table::{Shape, Table, maybe, of, text};

/// A set of tables that is derived from the log.
pub(super) trait Model: Sync {
    /// The name: a projection's, or that of the write side.
    fn name(&self) -> &'static str;

    /// The tables, in the order in which they are handed to the other functions.
    fn shapes(&self) -> &'static [Shape];

    /// Expects the rows that one event adds for ever, after it was folded in.
    fn observe(&self, event: &Event, effects: &[Effect], ledger: &Ledger, tables: &mut [Table]);

    /// Expects the rows that show the state, at the position that the tables stand at.
    fn close(&self, ledger: &Ledger, tables: &mut [Table]);
}

/// The write side's rows.
pub(super) static WRITE_SIDE: &dyn Model = &write_side::WriteSide;

/// The read models.
pub(super) static READ_MODELS: [&dyn Model; 11] = [
    &client_account::ClientAccount,
    &merchant_account::MerchantAccount,
    &house_account::HouseAccount,
    &payment::Payments,
    &settlement::Settlements,
    &payout::Payouts,
    &correction::Corrections,
    &fx_rate::FxRates,
    &reconciliation::Reconciliations,
    &notification::Notifications,
    &deadlines::Deadlines,
];

/// Expects the entries of an event's postings; clients' and merchants' have the same columns.
fn expect_entries<'a>(event: &Event, effects: impl Iterator<Item = &'a Effect>, table: &mut Table) {
    let payment = event.payment_id();
    for effect in effects {
        table.expect(&[
            of(effect.holder),
            of(event.position),
            of(effect.ordinal),
            text(effect.purpose.name()),
            of(effect.currency),
            of(effect.amount),
            of(effect.after),
            text(event.kind.as_str()),
            maybe(payment.as_deref()),
            of(event.at),
        ]);
    }
}
