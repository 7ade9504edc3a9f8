//! How an event changes the records.

use super::{Key, Record, State};
use crate::api_key::ApiKey;
use crate::balance::{ClientBalance, MerchantBalance};
use crate::card::{Card, CardStatus};
use crate::client::Client;
use crate::correction::Correction;
use crate::envelope::Envelope;
use crate::event::{DeclineCode, Event};
use crate::fx::FxRate;
use crate::ids::{CardId, ClientId, MerchantId, PaymentId, StreamId};
use crate::journal::Owner;
use crate::merchant::Merchant;
use crate::money::Currency;
use crate::payment::Payment;
use crate::payout::Payout;
use crate::reconciliation::Reconciliation;
use crate::settlement::Settlement;

impl State {
    /// Folds an event in: its stream's record, then the balances that it changes.
    pub fn evolve(&mut self, envelope: &Envelope) {
        let open_before = self.open(envelope.stream_id());
        self.evolve_stream(envelope);
        if let Event::JournalCorrected(of) = envelope.event() {
            self.put(Key::CorrectionOf(of.reverses), Record::CorrectionOf(of.correction_id));
        }
        self.post(envelope);
        self.count_open(open_before, envelope);
    }

    fn evolve_stream(&mut self, envelope: &Envelope) {
        match (envelope.stream_id(), envelope.event()) {
            (StreamId::Client(id), Event::ClientOpened(opened)) => {
                self.put(Key::Client(id), Record::Client(Client::open(id, opened, envelope)));
            }
            (StreamId::Client(id), _) => {
                if let Some(Record::Client(client)) = self.touch(Key::Client(id)) {
                    client.evolve(envelope);
                }
            }
            (StreamId::Merchant(id), Event::MerchantOpened(opened)) => {
                self.put(Key::Merchant(id), Record::Merchant(Merchant::open(id, opened, envelope)));
            }
            (StreamId::Merchant(id), _) => {
                if let Some(Record::Merchant(merchant)) = self.touch(Key::Merchant(id)) {
                    merchant.evolve(envelope);
                }
            }
            (StreamId::Card(id), event) => self.evolve_card(id, event, envelope),
            (StreamId::Key(id), Event::ApiKeyCreated(created)) => {
                self.put(Key::ApiKey(id), Record::ApiKey(ApiKey::create(id, created, envelope)));
            }
            (StreamId::Key(id), _) => {
                if let Some(Record::ApiKey(key)) = self.touch(Key::ApiKey(id)) {
                    key.revoke(envelope);
                }
            }
            (StreamId::Payment(id), event) => self.evolve_payment(id, event, envelope),
            (StreamId::Settlement(id), _) => {
                if let Some(settlement) = Settlement::of(envelope) {
                    self.put(Key::Settlement(id), Record::Settlement(settlement));
                }
            }
            (StreamId::Payout(id), Event::PayoutRequested(requested)) => {
                let payout = Payout::request(id, requested, envelope);
                self.put(Key::Payout(id), Record::Payout(payout));
            }
            (StreamId::Payout(id), _) => {
                if let Some(Record::Payout(payout)) = self.touch(Key::Payout(id)) {
                    payout.evolve(envelope);
                }
            }
            (StreamId::Correction(id), Event::CorrectionRequested(requested)) => {
                let correction = Correction::request(id, requested, envelope);
                self.put(Key::Correction(id), Record::Correction(Box::new(correction)));
            }
            (StreamId::Correction(id), _) => {
                if let Some(Record::Correction(correction)) = self.touch(Key::Correction(id)) {
                    correction.evolve(envelope);
                }
            }
            (StreamId::Reconciliation(id), Event::ReconciliationRun(run)) => {
                self.put(Key::ReconciliationOf(run.file_hash), Record::ReconciliationOf(id));
                let begun = Reconciliation::begin(id, run, envelope);
                self.put(Key::Reconciliation(id), Record::Reconciliation(Box::new(begun)));
            }
            (StreamId::Reconciliation(id), _) => {
                if let Some(Record::Reconciliation(run)) = self.touch(Key::Reconciliation(id)) {
                    run.evolve(envelope);
                }
            }
            (StreamId::FxPair(from, to), _) => {
                if let Some(rate) = FxRate::of(envelope) {
                    self.put(Key::FxRate(from, to), Record::FxRate(rate));
                }
            }
        }
    }

    fn evolve_card(&mut self, id: CardId, event: &Event, envelope: &Envelope) {
        if let Event::CardIssued(issued) = event {
            self.put(Key::Card(id), Record::Card(Card::issue(id, issued, envelope)));
            return;
        }
        let blocked = matches!(event, Event::CardBlocked(_));
        let status = if blocked { CardStatus::Blocked } else { CardStatus::Active { wrong_attempts: 0 } };
        if let Some(Record::Card(card)) = self.touch(Key::Card(id)) {
            card.change(status, envelope);
        }
    }

    fn evolve_payment(&mut self, id: PaymentId, event: &Event, envelope: &Envelope) {
        let key = Key::Payment(id);
        match event {
            Event::PaymentAuthorized(authorized) => {
                let payment = Payment::authorize(id, authorized, envelope);
                self.put(key, Record::Payment(Box::new(payment)));
                self.count_attempt(authorized.details.card.id, None, envelope.position);
            }
            Event::PaymentDeclined(declined) => {
                let payment = Payment::decline(id, declined, envelope);
                self.put(key, Record::Payment(Box::new(payment)));
                let code = declined.decline_code;
                if !matches!(code, DeclineCode::InvalidNumber | DeclineCode::ExpiredCard) {
                    self.count_attempt(declined.details.card.id, Some(code), envelope.position);
                }
            }
            _ => {
                if let Some(Record::Payment(payment)) = self.touch(key) {
                    payment.evolve(envelope);
                }
            }
        }
    }

    /// Counts an attempt to pay with a card.
    fn count_attempt(&mut self, card: Option<CardId>, decline: Option<DeclineCode>, position: u64) {
        let Some(key) = card.map(Key::Card) else { return };
        if let Some(Some(Record::Card(card))) = self.records.get_mut(&key)
            && card.count_attempt(decline, position)
        {
            self.touched.insert(key);
        }
    }

    /// Moves the balances, and notes what later settlements need to know.
    fn post(&mut self, envelope: &Envelope) {
        for posting in envelope.draft.postings.postings() {
            let currency = posting.money().currency;
            match posting.account.owner() {
                Some(Owner::Client(id)) => {
                    self.change_client_balance(id, currency, envelope, |balance| balance.post(posting));
                }
                Some(Owner::Merchant(id)) => {
                    self.change_merchant_balance(id, currency, envelope, |balance| balance.post(posting));
                }
                None => {}
            }
        }
        let event = envelope.event();
        if let Some((merchant, currency)) = settles_for(event) {
            self.change_merchant_balance(merchant, currency, envelope, |balance| balance.note(event));
        }
    }

    /// Counts what the event opened or ended for the client: an authorization, a dispute.
    fn count_open(&mut self, before: usize, envelope: &Envelope) {
        let after = self.open(envelope.stream_id());
        if after == before {
            return;
        }
        let StreamId::Payment(id) = envelope.stream_id() else { return };
        let Some(purse) = self.payment(id).and_then(Payment::purse) else { return };
        self.change_client_balance(purse.client_id, purse.pays_in(), envelope, |balance| {
            let others = (balance.open as usize).saturating_sub(before);
            balance.open = u32::try_from(others.saturating_add(after)).unwrap_or(u32::MAX);
        });
    }

    /// Counts what a payment keeps open; nothing for other streams.
    fn open(&self, stream: StreamId) -> usize {
        match stream {
            StreamId::Payment(id) => self.payment(id).map_or(0, Payment::open),
            _ => 0,
        }
    }

    /// Changes a client's balance. Its row counts an event once, however often that changes it.
    fn change_client_balance(
        &mut self,
        id: ClientId,
        currency: Currency,
        envelope: &Envelope,
        change: impl FnOnce(&mut ClientBalance),
    ) {
        let mut balance = self.client_balance(id, currency);
        change(&mut balance);
        balance.row.touch_once(envelope.position);
        self.put(Key::ClientBalance(id, currency), Record::ClientBalance(balance));
    }

    /// Changes a merchant's balance. Its row counts an event once, however often that changes it.
    fn change_merchant_balance(
        &mut self,
        id: MerchantId,
        currency: Currency,
        envelope: &Envelope,
        change: impl FnOnce(&mut MerchantBalance),
    ) {
        let mut balance = self.merchant_balance(id, currency);
        change(&mut balance);
        balance.row.touch_once(envelope.position);
        self.put(Key::MerchantBalance(id, currency), Record::MerchantBalance(balance));
    }

    fn put(&mut self, key: Key, record: Record) {
        self.touched.insert(key);
        self.records.insert(key, Some(record));
    }

    fn touch(&mut self, key: Key) -> Option<&mut Record> {
        let record = self.records.get_mut(&key)?.as_mut()?;
        self.touched.insert(key);
        Some(record)
    }
}

/// Names the merchant's balance that an event concerns by more than its postings.
const fn settles_for(event: &Event) -> Option<(MerchantId, Currency)> {
    match event {
        Event::PaymentCaptured(capture) => Some((capture.merchant_id, capture.amount.currency)),
        Event::PaymentRefunded(refund) => Some((refund.merchant_id, refund.amount.currency)),
        Event::SettlementClosed(settlement) => Some((settlement.merchant_id, settlement.currency)),
        _ => None,
    }
}
