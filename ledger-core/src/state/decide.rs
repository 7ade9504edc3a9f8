//! Which rule decides a command, and the records that it is given.

use super::State;
use crate::balance::ClientBalance;
use crate::command::{Authorize, Command, Context};
use crate::correction::{self, Means, Standing};
use crate::envelope::{Draft, Envelope};
use crate::event::{Event, Funding};
use crate::ids::{PaymentId, StreamId};
use crate::journal::Owner;
use crate::merchant::{self, Merchant};
use crate::money::Currency;
use crate::payment::{self, Payer, Payment};
use crate::rejection::Rejection;
use crate::time::Timestamp;
use crate::{api_key, card, client, fx, payout, reconciliation, settlement};

impl State {
    /// Decides a command: the events that carry it out (none if it is so already), or why not.
    ///
    /// Total: never panics, whatever the state and the command. What [`Self::needs`] names must be known.
    pub fn decide(&self, command: &Command, context: &Context) -> Result<Vec<Draft>, Rejection> {
        match command {
            Command::OpenClient(open) => Ok(client::open(open, context)),
            Command::Deposit(cash) => {
                let client = self.client(cash.client_id).ok_or(Rejection::NotFound)?;
                let balance = self.client_balance(cash.client_id, cash.amount.currency);
                client::deposit(cash, client, &balance, context)
            }
            Command::Withdraw(cash) => {
                self.client(cash.client_id).ok_or(Rejection::NotFound)?;
                client::withdraw(cash, &self.client_balance(cash.client_id, cash.amount.currency), context)
            }
            Command::CloseClient(close) => {
                let client = self.client(close.id).ok_or(Rejection::NotFound)?;
                let balance = |currency: &Currency| (*currency, self.client_balance(client.id, *currency));
                let balances: Vec<_> = client.currencies.iter().map(balance).collect();
                client::close(close, client, &balances, context)
            }
            Command::IssueCard(issue) => {
                let client = self.client(issue.client_id).ok_or(Rejection::NotFound)?;
                client.check_open()?;
                card::issue(issue, self.card_of(issue.fingerprint), context)
            }
            Command::BlockCard(change) => {
                self.card(change.id).map(|card| card::block(change, card, context)).ok_or(Rejection::NotFound)
            }
            Command::UnblockCard(change) => self
                .card(change.id)
                .map(|card| card::unblock(change, card, context))
                .ok_or(Rejection::NotFound),
            Command::OpenMerchant(open) => Ok(merchant::open(open, context)),
            Command::ChangeSettings(change) => {
                let merchant = self.merchant(change.id).ok_or(Rejection::NotFound)?;
                Ok(merchant::change_settings(change, merchant, context))
            }
            Command::SuspendMerchant(change) => {
                let merchant = self.merchant(change.id).ok_or(Rejection::NotFound)?;
                Ok(merchant::suspend(change, merchant, context))
            }
            Command::ReinstateMerchant(change) => {
                let merchant = self.merchant(change.id).ok_or(Rejection::NotFound)?;
                Ok(merchant::reinstate(change, merchant, context))
            }
            Command::DepositToMerchant(deposit) => {
                self.merchant(deposit.id).ok_or(Rejection::NotFound)?;
                let balance = self.merchant_balance(deposit.id, deposit.amount.currency);
                merchant::deposit(deposit, &balance, context)
            }
            Command::WriteOff(write_off) => {
                self.merchant(write_off.id).ok_or(Rejection::NotFound)?;
                let balance = self.merchant_balance(write_off.id, write_off.amount.currency);
                merchant::write_off(write_off, &balance, context)
            }
            Command::CreateKey(create) => match create.merchant_id {
                Some(id) if self.merchant(id).is_none() => Err(Rejection::NotFound),
                Some(_) | None => Ok(api_key::create(create, context)),
            },
            Command::RevokeKey(id) => {
                self.api_key(*id).map(|key| api_key::revoke(key, context)).ok_or(Rejection::NotFound)
            }
            Command::Authorize(authorize) => {
                let details = &authorize.details;
                let merchant = self.merchant(details.merchant_id).ok_or(Rejection::NotFound)?;
                let merchant_balance = self.merchant_balance(merchant.id, details.amount.currency);
                let payer = self.payer(authorize, context.now);
                payment::authorize(authorize, payer, merchant, &merchant_balance, context)
            }
            Command::Increment(increment) => {
                let (payment, merchant) = self.payment_and_merchant(increment.payment_id)?;
                payment::increment(increment, payment, merchant, &self.purse_balance(payment), context)
            }
            Command::Capture(capture) => {
                let (payment, merchant) = self.payment_and_merchant(capture.payment_id)?;
                let balance = self.merchant_balance(merchant.id, payment.currency());
                payment::capture(capture, payment, merchant, &balance, context)
            }
            Command::Void(void) => {
                let (payment, _) = self.payment_and_merchant(void.payment_id)?;
                payment::void(void, payment, context)
            }
            Command::Refund(refund) => {
                let (payment, merchant) = self.payment_and_merchant(refund.payment_id)?;
                let merchant_balance = self.merchant_balance(merchant.id, payment.currency());
                let client_balance = self.purse_balance(payment);
                payment::refund(refund, payment, merchant, &merchant_balance, &client_balance, context)
            }
            Command::WarnOfExpiry(id) => {
                let (payment, _) = self.payment_and_merchant(*id)?;
                payment::warn_of_expiry(payment, context)
            }
            Command::Expire(id) => {
                let (payment, _) = self.payment_and_merchant(*id)?;
                payment::expire(payment, context)
            }
            Command::OpenDispute(open) => {
                let (payment, merchant) = self.payment_and_merchant(open.payment_id)?;
                let balance = self.merchant_balance(merchant.id, payment.currency());
                payment::open_dispute(open, payment, &balance, context)
            }
            Command::SubmitEvidence(submit) => {
                let (payment, _) = self.payment_and_merchant(submit.dispute.payment_id)?;
                payment::submit_evidence(submit, payment, context)
            }
            Command::WinDispute(of) => {
                let (payment, _) = self.payment_and_merchant(of.payment_id)?;
                payment::win(of, payment, context)
            }
            Command::LoseDispute(of) => {
                let (payment, _) = self.payment_and_merchant(of.payment_id)?;
                payment::lose(of, payment, &self.purse_balance(payment), context)
            }
            Command::LoseUnanswered(of) => {
                let (payment, _) = self.payment_and_merchant(of.payment_id)?;
                payment::lose_unanswered(of, payment, &self.purse_balance(payment), context)
            }
            Command::ReopenDispute(reopen) => {
                let (payment, merchant) = self.payment_and_merchant(reopen.dispute.payment_id)?;
                let balance = self.merchant_balance(merchant.id, payment.currency());
                payment::reopen(reopen, payment, &balance, context)
            }
            Command::Settle(settle) => {
                if settle.merchant.is_some_and(|id| self.merchant(id).is_none()) {
                    return Err(Rejection::NotFound);
                }
                let balances: Vec<_> = settle
                    .candidates
                    .iter()
                    .map(|(merchant, currency)| {
                        (*merchant, *currency, self.merchant_balance(*merchant, *currency))
                    })
                    .collect();
                settlement::settle(settle, &balances, context)
            }
            Command::RequestPayout(request) => {
                let merchant = self.merchant(request.merchant_id).ok_or(Rejection::NotFound)?;
                let balance = self.merchant_balance(merchant.id, request.amount.currency);
                payout::request(request, merchant, &balance, context)
            }
            Command::ChangePayout(change) => {
                let payout = self.payout(change.id).ok_or(Rejection::NotFound)?;
                let requested = &payout.requested;
                let balance = self.merchant_balance(requested.merchant_id, requested.amount.currency);
                payout::change(change, payout, &balance, context)
            }
            Command::RequestCorrection(request) => {
                let reversed = &request.reversed;
                let corrected_by = self.correction_of(reversed.draft.event_id);
                correction::request(request, corrected_by, self.standing(reversed)?, context)
            }
            Command::ApproveCorrection(approve) => {
                let correction = self.correction(approve.id).ok_or(Rejection::NotFound)?;
                let reversed = &approve.reversed;
                let corrected_by = self.correction_of(reversed.draft.event_id);
                let (standing, has) = (self.standing(reversed)?, self.means(reversed));
                correction::approve(approve, correction, corrected_by, standing, &has, context)
            }
            Command::SetFxRate(set) => fx::set_rate(set, context),
            Command::RunReconciliation(run) => {
                Ok(reconciliation::run(run, self.reconciliation_of(run.file_hash), context))
            }
        }
    }

    /// Finds what an event has decided, as it stands now.
    fn standing(&self, reversed: &Envelope) -> Result<Standing<'_>, Rejection> {
        Ok(match (reversed.stream_id(), reversed.event()) {
            (StreamId::Payout(id), Event::PayoutPaid(_)) => {
                Standing::Payout(self.payout(id).ok_or(Rejection::NotFound)?)
            }
            (StreamId::Payment(id), Event::PaymentDisputeLost(lost)) => {
                let payment = self.payment(id).ok_or(Rejection::NotFound)?;
                let (_, dispute) = payment.dispute(lost.dispute_id).ok_or(Rejection::NotFound)?;
                Standing::Dispute(dispute)
            }
            _ => Standing::Cash,
        })
    }

    /// Finds the balances that an event has changed; zero for whom it does not concern.
    fn means(&self, reversed: &Envelope) -> Means {
        let mut means = Means::default();
        for posting in reversed.draft.postings.postings() {
            let currency = posting.money().currency;
            match posting.account.owner() {
                Some(Owner::Client(id)) => means.client = self.client_balance(id, currency),
                Some(Owner::Merchant(id)) => means.merchant = self.merchant_balance(id, currency),
                None => {}
            }
        }
        means
    }

    /// Finds who pays, and with what: the payment's own currency first, then others with a rate to it.
    fn payer(&self, authorize: &Authorize, now: Timestamp) -> Option<Payer<'_>> {
        let currency = authorize.details.amount.currency;
        let card = self.card(authorize.details.card.id?)?;
        let client = self.client(card.issued.client_id)?;
        let available = |currency| self.client_balance(client.id, currency).available;
        let exchanged = client.currencies.iter().filter(|from| **from != currency).filter_map(|from| {
            let rate = self.fx_rate(*from, currency)?.at(now)?;
            Some((Some(Funding { currency: *from, rate }), available(*from)))
        });
        let means = [(None, available(currency))].into_iter().chain(exchanged).collect();
        Some(Payer { card, client, means })
    }

    /// Returns the balance that pays for a payment; zero where nothing was held.
    fn purse_balance(&self, payment: &Payment) -> ClientBalance {
        let purse = payment.purse();
        purse.map(|purse| self.client_balance(purse.client_id, purse.pays_in())).unwrap_or_default()
    }

    fn payment_and_merchant(&self, id: PaymentId) -> Result<(&Payment, &Merchant), Rejection> {
        let payment = self.payment(id).ok_or(Rejection::NotFound)?;
        let merchant = self.merchant(payment.details.merchant_id).ok_or(Rejection::NotFound)?;
        Ok((payment, merchant))
    }
}
