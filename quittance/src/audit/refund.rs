//! Refunds: captured money goes back to the client, out of what the merchant has.

use ledger_core::ids::{RefundId, StreamId};

use super::account::{Account, Holder, House, Move, Purpose};
use super::event::Event;
use super::fee;
use super::fields::Malformed;
use super::ledger::{Desk, Ledger};
use super::merchant::amount_in;
use super::money::Money;
use super::payment::{Found, minor};
use super::subject::{Form, Opened};

/// A refund.
#[derive(Clone, Debug)]
pub(super) struct Refund {
    pub(super) id: RefundId,
    pub(super) position: u64,
    pub(super) amount: Money,
    pub(super) reason: Opened,
}

impl Ledger {
    pub(super) fn payment_refunded(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[
            &["merchant_id", "client_id", "refund_id", "amount"],
            &["fee_returned", "drawn", "reason"],
        ])?;
        let found = self.approved(event, data, desk)?;
        let Found { id, merchant, currency, totals } = found;
        let refund_id: RefundId = data.id("refund_id")?;
        let [amount, returned, drawn] =
            ["amount", "fee_returned", "drawn"].map(|name| minor(data, name, currency));
        let (amount, returned, drawn) = (amount?, returned?, drawn?);
        let reason = desk.open(event, data, ("reason", Form::Text), StreamId::Client(totals.client))?;
        let (_, terms) = self.settings(merchant)?;
        let check = &mut desk.check;
        let refundable = totals.refundable();
        check.holds((1..=refundable).contains(&amount), "amount", format!("1 to {refundable}"), amount);
        let due = match terms.fee_returned {
            false => 0,
            true => {
                let refunded = totals.refunded + amount;
                fee::given_back(totals.fee_taken, totals.fee_returned, totals.captured, refunded, amount)
            }
        };
        check.same("fee_returned", due, returned);
        let limit = amount_in(&terms.negative_limit, currency);
        let from = |purpose| self.balance(Holder::Merchant(merchant), currency, purpose);
        let sources = Sources::of(amount - returned, from(Purpose::Available), from(Purpose::Pending));
        check.same("drawn", sources.pending, drawn);
        let lowest = from(Purpose::Available) - sources.available;
        let fits = sources.uncovered == 0 || lowest >= -limit;
        check.holds(fits, "merchant's available balance", format!("no less than {}", -limit), lowest);
        check.holds(self.refunds.insert(refund_id), "refund_id", "an id of its own", refund_id);

        let balance = self.change(Holder::Merchant(merchant), currency, event.position);
        balance.drawn += drawn;
        let (credit, exchanged) = totals.pay_back(amount);
        let position = event.position;
        self.totals(id, position, |totals| {
            let leg = totals.leg_back(amount).minor;
            totals.refunded_paying += leg;
            totals.given_back_paying += leg;
            totals.refunded += amount;
            totals.fee_returned += returned;
        });
        self.refund = Some(Refund { id: refund_id, position, amount: found.money(amount), reason });
        let from = |debit, minor| Move { debit, credit, money: found.money(minor) };
        let paid = [
            from(Account::House(House::Fees), returned),
            from(found.account(Purpose::Available), sources.available),
            from(found.account(Purpose::Pending), sources.pending),
        ];
        Ok(paid.into_iter().chain(exchanged).collect())
    }
}

/// Where a refund's money comes from.
struct Sources {
    available: i128,
    pending: i128,
    /// The part of `available` that was not there.
    uncovered: i128,
}

impl Sources {
    /// What is available first, then what is pending, then from available what neither covers.
    fn of(amount: i128, available: i128, pending: i128) -> Self {
        let first = available.max(0).min(amount);
        let pending = pending.max(0).min(amount - first);
        let uncovered = amount - first - pending;
        Self { available: first + uncovered, pending, uncovered }
    }
}
