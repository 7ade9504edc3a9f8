//! What must be looked up before a command can be decided.

use super::{Key, Record, State};
use crate::command::{Authorize, Command};
use crate::envelope::Envelope;
use crate::ids::{PaymentId, StreamId};
use crate::journal::Owner;

impl State {
    /// Names what must be looked up before the command can be decided; empty when nothing is missing.
    ///
    /// What is found can lead to more (a payment to its merchant and client): ask again after each look-up.
    pub fn needs(&self, command: &Command) -> Vec<Key> {
        let mut keys = Vec::new();
        match command {
            Command::OpenClient(_) | Command::OpenMerchant(_) => {}
            Command::Deposit(cash) | Command::Withdraw(cash) => {
                keys.push(Key::Client(cash.client_id));
                keys.push(Key::ClientBalance(cash.client_id, cash.amount.currency));
            }
            Command::CloseClient(close) => {
                keys.push(Key::Client(close.id));
                let currencies = self.client(close.id).map(|client| &client.currencies);
                let balances = currencies.into_iter().flatten();
                keys.extend(balances.map(|currency| Key::ClientBalance(close.id, *currency)));
            }
            Command::IssueCard(issue) => {
                keys.extend([Key::Client(issue.client_id), Key::CardOf(issue.fingerprint)]);
            }
            Command::BlockCard(change) | Command::UnblockCard(change) => keys.push(Key::Card(change.id)),
            Command::ChangeSettings(change) => keys.push(Key::Merchant(change.id)),
            Command::SuspendMerchant(change) | Command::ReinstateMerchant(change) => {
                keys.push(Key::Merchant(change.id));
            }
            Command::DepositToMerchant(deposit) => {
                keys.push(Key::Merchant(deposit.id));
                keys.push(Key::MerchantBalance(deposit.id, deposit.amount.currency));
            }
            Command::WriteOff(write_off) => {
                keys.push(Key::Merchant(write_off.id));
                keys.push(Key::MerchantBalance(write_off.id, write_off.amount.currency));
            }
            Command::CreateKey(create) => keys.extend(create.merchant_id.map(Key::Merchant)),
            Command::RevokeKey(id) => keys.push(Key::ApiKey(*id)),
            Command::Authorize(authorize) => self.authorize_needs(authorize, &mut keys),
            Command::Increment(increment) => self.payment_needs(increment.payment_id, &mut keys),
            Command::Capture(capture) => self.payment_needs(capture.payment_id, &mut keys),
            Command::Void(void) => self.payment_needs(void.payment_id, &mut keys),
            Command::Refund(refund) => self.payment_needs(refund.payment_id, &mut keys),
            Command::WarnOfExpiry(id) | Command::Expire(id) => self.payment_needs(*id, &mut keys),
            Command::OpenDispute(open) => self.payment_needs(open.payment_id, &mut keys),
            Command::SubmitEvidence(submit) => self.payment_needs(submit.dispute.payment_id, &mut keys),
            Command::WinDispute(of) | Command::LoseDispute(of) | Command::LoseUnanswered(of) => {
                self.payment_needs(of.payment_id, &mut keys);
            }
            Command::ReopenDispute(reopen) => self.payment_needs(reopen.dispute.payment_id, &mut keys),
            Command::Settle(settle) => {
                keys.extend(settle.merchant.map(Key::Merchant));
                let candidates = settle.candidates.iter();
                keys.extend(
                    candidates.map(|(merchant, currency)| Key::MerchantBalance(*merchant, *currency)),
                );
            }
            Command::RequestPayout(request) => {
                keys.push(Key::Merchant(request.merchant_id));
                keys.push(Key::MerchantBalance(request.merchant_id, request.amount.currency));
            }
            Command::ChangePayout(change) => {
                keys.push(Key::Payout(change.id));
                keys.extend(self.payout(change.id).map(|payout| {
                    let requested = &payout.requested;
                    Key::MerchantBalance(requested.merchant_id, requested.amount.currency)
                }));
            }
            Command::RequestCorrection(request) => self.reversed_needs(&request.reversed, &mut keys),
            Command::ApproveCorrection(approve) => {
                keys.push(Key::Correction(approve.id));
                self.reversed_needs(&approve.reversed, &mut keys);
            }
            Command::SetFxRate(set) => keys.push(Key::FxRate(set.from, set.to)),
            Command::RunReconciliation(run) => {
                let file = Key::ReconciliationOf(run.file_hash);
                keys.push(file);
                if let Some(Record::ReconciliationOf(id)) = self.get(&file) {
                    keys.push(Key::Reconciliation(*id));
                }
            }
        }
        keys.retain(|key| !self.records.contains_key(key));
        keys
    }

    fn authorize_needs(&self, authorize: &Authorize, keys: &mut Vec<Key>) {
        let amount = authorize.details.amount;
        let merchant_id = authorize.details.merchant_id;
        keys.extend([Key::Merchant(merchant_id), Key::MerchantBalance(merchant_id, amount.currency)]);
        let Some(card_id) = authorize.details.card.id else { return };
        keys.push(Key::Card(card_id));
        let Some(card) = self.card(card_id) else { return };
        let client_id = card.issued.client_id;
        keys.extend([Key::Client(client_id), Key::ClientBalance(client_id, amount.currency)]);
        // Other currencies matter only where the payment's own does not cover it.
        if let Some(client) = self.client(client_id)
            && self.client_balance(client_id, amount.currency).available < amount.amount
        {
            for from in client.currencies.iter().filter(|from| **from != amount.currency) {
                keys.push(Key::ClientBalance(client_id, *from));
                keys.push(Key::FxRate(*from, amount.currency));
            }
        }
    }

    fn payment_needs(&self, id: PaymentId, keys: &mut Vec<Key>) {
        keys.push(Key::Payment(id));
        if let Some(payment) = self.payment(id) {
            let (merchant_id, currency) = (payment.details.merchant_id, payment.currency());
            keys.extend([Key::Merchant(merchant_id), Key::MerchantBalance(merchant_id, currency)]);
            keys.extend(payment.purse().map(|purse| Key::ClientBalance(purse.client_id, purse.pays_in())));
        }
    }

    /// Needs what an event has changed, as it stands now, and whether the event was corrected.
    fn reversed_needs(&self, reversed: &Envelope, keys: &mut Vec<Key>) {
        keys.push(Key::CorrectionOf(reversed.draft.event_id));
        match reversed.stream_id() {
            StreamId::Client(id) => keys.push(Key::Client(id)),
            StreamId::Merchant(id) => keys.push(Key::Merchant(id)),
            StreamId::Payout(id) => keys.push(Key::Payout(id)),
            StreamId::Payment(id) => keys.push(Key::Payment(id)),
            // Nothing that can be corrected.
            StreamId::Card(_)
            | StreamId::Key(_)
            | StreamId::Settlement(_)
            | StreamId::Correction(_)
            | StreamId::Reconciliation(_)
            | StreamId::FxPair(..) => return,
        }
        let balances = reversed.draft.postings.postings().iter().filter_map(|posting| {
            let currency = posting.money().currency;
            Some(match posting.account.owner()? {
                Owner::Client(id) => Key::ClientBalance(id, currency),
                Owner::Merchant(id) => Key::MerchantBalance(id, currency),
            })
        });
        keys.extend(balances);
    }
}
