//! The part of the ledger's state that commands are decided on.
//!
//! A [`State`] holds records by [`Key`]; a key that was looked up and found empty is known to be absent.
//! [`State::needs`] names what a command still needs looked up, [`State::decide`] decides it, and
//! [`State::evolve`] folds the events back in, so that the next command sees them.

mod decide;
mod evolve;
mod needs;
mod record;

pub use record::{Key, Record};

use std::collections::{BTreeSet, HashMap};

use crate::api_key::ApiKey;
use crate::balance::{ClientBalance, MerchantBalance};
use crate::card::Card;
use crate::card_number::Fingerprint;
use crate::client::Client;
use crate::correction::Correction;
use crate::fx::FxRate;
use crate::ids::{
    CardId, ClientId, CorrectionId, EventId, KeyId, MerchantId, PaymentId, PayoutId, ReconciliationId,
    SettlementId, StreamId,
};
use crate::merchant::Merchant;
use crate::money::Currency;
use crate::payment::Payment;
use crate::payout::Payout;
use crate::reconciliation::Reconciliation;
use crate::reconciliation::statement::FileHash;
use crate::settlement::Settlement;

/// Records that were looked up, and what has become of them since.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    records: HashMap<Key, Option<Record>>,
    touched: BTreeSet<Key>,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),+) -> $record:ident;)+) => {$(
        $(#[$doc])*
        pub fn $name(&self, $($arg: $type),+) -> Option<&$record> {
            match self.get(&Key::$record($($arg),+)) {
                Some(Record::$record(record)) => Some(record),
                _ => None,
            }
        }
    )+};
}

impl State {
    getters! {
        /// Finds a client.
        client(id: ClientId) -> Client;
        /// Finds a merchant.
        merchant(id: MerchantId) -> Merchant;
        /// Finds a card.
        card(id: CardId) -> Card;
        /// Finds a payment.
        payment(id: PaymentId) -> Payment;
        /// Finds an API key.
        api_key(id: KeyId) -> ApiKey;
        /// Finds a settlement.
        settlement(id: SettlementId) -> Settlement;
        /// Finds a payout.
        payout(id: PayoutId) -> Payout;
        /// Finds a correction.
        correction(id: CorrectionId) -> Correction;
        /// Finds a reconciliation.
        reconciliation(id: ReconciliationId) -> Reconciliation;
    }

    /// Returns a client's balance; zero where there is none yet.
    pub fn client_balance(&self, id: ClientId, currency: Currency) -> ClientBalance {
        match self.get(&Key::ClientBalance(id, currency)) {
            Some(Record::ClientBalance(balance)) => balance.clone(),
            _ => ClientBalance::default(),
        }
    }

    /// Returns a merchant's balance; zero where there is none yet.
    pub fn merchant_balance(&self, id: MerchantId, currency: Currency) -> MerchantBalance {
        match self.get(&Key::MerchantBalance(id, currency)) {
            Some(Record::MerchantBalance(balance)) => balance.clone(),
            _ => MerchantBalance::default(),
        }
    }

    /// Finds the card of a number.
    pub fn card_of(&self, fingerprint: Fingerprint) -> Option<CardId> {
        match self.get(&Key::CardOf(fingerprint)) {
            Some(Record::CardOf(id)) => Some(*id),
            _ => None,
        }
    }

    /// Finds the correction that has reversed an event.
    pub fn correction_of(&self, event: EventId) -> Option<CorrectionId> {
        match self.get(&Key::CorrectionOf(event)) {
            Some(Record::CorrectionOf(id)) => Some(*id),
            _ => None,
        }
    }

    /// Finds the rate from one currency to another.
    pub fn fx_rate(&self, from: Currency, to: Currency) -> Option<&FxRate> {
        match self.get(&Key::FxRate(from, to)) {
            Some(Record::FxRate(rate)) => Some(rate),
            _ => None,
        }
    }

    /// Finds the reconciliation of a file.
    pub fn reconciliation_of(&self, file: FileHash) -> Option<&Reconciliation> {
        match self.get(&Key::ReconciliationOf(file)) {
            Some(Record::ReconciliationOf(id)) => self.reconciliation(*id),
            _ => None,
        }
    }

    /// Finds any record.
    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(key).and_then(Option::as_ref)
    }

    /// Takes in what a look-up found, or that it found nothing.
    pub fn learn(&mut self, key: Key, record: Option<Record>) {
        self.records.insert(key, record);
    }

    /// Returns the keys that events have changed, in order.
    pub const fn touched(&self) -> &BTreeSet<Key> {
        &self.touched
    }

    /// Returns all that is known, for the cache.
    pub fn into_records(self) -> HashMap<Key, Option<Record>> {
        self.records
    }

    /// Returns the version of a stream's last event; 0 where there is none.
    pub fn stream_version(&self, stream: StreamId) -> u64 {
        let stamp = match stream {
            StreamId::Client(id) => self.client(id).map(|client| client.stamp),
            StreamId::Merchant(id) => self.merchant(id).map(|merchant| merchant.stamp),
            StreamId::Card(id) => self.card(id).map(|card| card.stamp),
            StreamId::Payment(id) => self.payment(id).map(|payment| payment.stamp),
            StreamId::Key(id) => self.api_key(id).map(|key| key.stamp),
            StreamId::Settlement(id) => self.settlement(id).map(|settlement| settlement.stamp),
            StreamId::Payout(id) => self.payout(id).map(|payout| payout.stamp),
            StreamId::Correction(id) => self.correction(id).map(|correction| correction.stamp),
            StreamId::Reconciliation(id) => self.reconciliation(id).map(|run| run.stamp),
            StreamId::FxPair(from, to) => self.fx_rate(from, to).map(|rate| rate.stamp),
        };
        stamp.map_or(0, |stamp| stamp.version)
    }
}

#[cfg(test)]
mod tests;
