//! Payouts: available money on its way to a merchant's bank account, arrived, or back again.

use ledger_core::ids::{MerchantId, PayoutId, StreamId};

use super::account::{Account, Holder, House, Move, Purpose};
use super::event::Event;
use super::fields::Malformed;
use super::ledger::{Desk, Ledger};
use super::money::{AMOUNT_MAX, Money};
use super::subject::{Form, Opened};

/// A payout.
#[derive(Clone, Debug)]
pub(super) struct Payout {
    pub(super) merchant: MerchantId,
    pub(super) amount: Money,
    pub(super) reference: Option<Box<str>>,
    pub(super) status: Status,
    /// What the bank's last news was explained by.
    pub(super) reason: Opened,
}

/// Where the money of a payout is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Requested,
    Paid,
    Failed,
    Returned,
}

impl Status {
    /// The name in the read model.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }
}

impl Ledger {
    pub(super) fn payout_requested(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = payout_id(event)?;
        let data = event.data_of(&[&["merchant_id", "amount", "reference"]])?;
        let (merchant, money): (MerchantId, Money) = (data.id("merchant_id")?, data.money("amount")?);
        let reference = data.maybe_text("reference")?.map(Into::into);
        self.check_active(merchant, desk);
        let available = self.balance(Holder::Merchant(merchant), money.currency, Purpose::Available);
        let most = available.min(AMOUNT_MAX);
        desk.check.holds((1..=most).contains(&money.minor), "amount", format!("1 to {most}"), money);
        let payout = Payout { merchant, amount: money, reference, status: Status::Requested, reason: None };
        self.payouts.insert(id, payout);
        let [debit, credit] =
            [Purpose::Available, Purpose::InTransit].map(|at| Account::merchant(merchant, at));
        Ok(vec![Move { debit, credit, money }])
    }

    pub(super) fn payout_paid(&mut self, event: &Event, desk: &mut Desk<'_>) -> Result<Vec<Move>, Malformed> {
        let (merchant, money) = self.change_payout(event, (Status::Requested, Status::Paid), desk)?;
        let debit = Account::merchant(merchant, Purpose::InTransit);
        Ok(vec![Move { debit, credit: Account::House(House::Bank), money }])
    }

    pub(super) fn payout_failed(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let (merchant, money) = self.change_payout(event, (Status::Requested, Status::Failed), desk)?;
        let [debit, credit] =
            [Purpose::InTransit, Purpose::Available].map(|at| Account::merchant(merchant, at));
        Ok(vec![Move { debit, credit, money }])
    }

    pub(super) fn payout_returned(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let (merchant, money) = self.change_payout(event, (Status::Paid, Status::Returned), desk)?;
        let credit = Account::merchant(merchant, Purpose::Available);
        Ok(vec![Move { debit: Account::House(House::Bank), credit, money }])
    }

    /// Takes a payout from one status to another: whose it is, and how much.
    fn change_payout(
        &mut self,
        event: &Event,
        (before, after): (Status, Status),
        desk: &mut Desk<'_>,
    ) -> Result<(MerchantId, Money), Malformed> {
        let data = event.data_of(&[&["merchant_id", "amount", "reason"]])?;
        let reason = desk.open(event, data, ("reason", Form::Text), event.stream)?;
        let payout = self.payouts.get_mut(&payout_id(event)?);
        let payout = payout.ok_or(Malformed::new("stream_id", "a payout that was requested"))?;
        let (merchant, money) = (payout.merchant, payout.amount);
        desk.check.same("merchant_id", merchant, data.id("merchant_id")?);
        desk.check.same("amount", money.to_string(), data.money("amount")?.to_string());
        desk.check.same("status before", before.name(), payout.status.name());
        payout.status = after;
        payout.reason = reason;
        if matches!(after, Status::Paid | Status::Returned) {
            let balance = self.change(Holder::Merchant(merchant), money.currency, event.position);
            balance.paid_out += if after == Status::Paid { money.minor } else { -money.minor };
        }
        Ok((merchant, money))
    }
}

fn payout_id(event: &Event) -> Result<PayoutId, Malformed> {
    match event.stream {
        StreamId::Payout(id) => Ok(id),
        _ => Err(Malformed::new("stream_id", "a payout's")),
    }
}
