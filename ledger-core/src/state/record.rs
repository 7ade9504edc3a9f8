//! What a state knows: records, each by its key.

use crate::api_key::ApiKey;
use crate::balance::{ClientBalance, MerchantBalance, RowVersion};
use crate::card::Card;
use crate::card_number::Fingerprint;
use crate::client::Client;
use crate::correction::Correction;
use crate::fx::FxRate;
use crate::ids::{
    CardId, ClientId, CorrectionId, EventId, KeyId, MerchantId, PaymentId, PayoutId, ReconciliationId,
    SettlementId,
};
use crate::merchant::Merchant;
use crate::money::Currency;
use crate::payment::Payment;
use crate::payout::Payout;
use crate::reconciliation::Reconciliation;
use crate::reconciliation::statement::FileHash;
use crate::settlement::Settlement;
use crate::stamp::Stamp;

/// Names one record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// A client.
    Client(ClientId),
    /// A merchant.
    Merchant(MerchantId),
    /// A card.
    Card(CardId),
    /// The card of a number.
    CardOf(Fingerprint),
    /// A payment.
    Payment(PaymentId),
    /// An API key.
    ApiKey(KeyId),
    /// A client's balance in a currency.
    ClientBalance(ClientId, Currency),
    /// A merchant's balance in a currency.
    MerchantBalance(MerchantId, Currency),
    /// A settlement.
    Settlement(SettlementId),
    /// A payout.
    Payout(PayoutId),
    /// A correction.
    Correction(CorrectionId),
    /// The correction that has reversed an event.
    CorrectionOf(EventId),
    /// The rate from one currency to another.
    FxRate(Currency, Currency),
    /// A reconciliation.
    Reconciliation(ReconciliationId),
    /// The reconciliation of a file.
    ReconciliationOf(FileHash),
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A client.
    Client(Client),
    /// A merchant.
    Merchant(Merchant),
    /// A card.
    Card(Card),
    /// The card of a number.
    CardOf(CardId),
    /// A payment.
    Payment(Box<Payment>),
    /// An API key.
    ApiKey(ApiKey),
    /// A client's balance.
    ClientBalance(ClientBalance),
    /// A merchant's balance.
    MerchantBalance(MerchantBalance),
    /// A settlement.
    Settlement(Settlement),
    /// A payout.
    Payout(Payout),
    /// A correction.
    Correction(Box<Correction>),
    /// The correction that has reversed an event.
    CorrectionOf(CorrectionId),
    /// A rate.
    FxRate(FxRate),
    /// A reconciliation.
    Reconciliation(Box<Reconciliation>),
    /// The reconciliation of a file.
    ReconciliationOf(ReconciliationId),
}

impl Record {
    /// Returns the version of the write side's row that keeps the record: how many events changed it, and
    /// the last one's position. `None` for what has no row of its own.
    pub fn row(&self) -> Option<RowVersion> {
        let of = |stamp: &Stamp| RowVersion { version: stamp.version, position: stamp.position };
        match self {
            Self::Client(client) => Some(of(&client.stamp)),
            Self::Merchant(merchant) => Some(of(&merchant.stamp)),
            Self::ApiKey(key) => Some(of(&key.stamp)),
            Self::Card(card) => Some(card.row),
            Self::ClientBalance(balance) => Some(balance.row),
            Self::MerchantBalance(balance) => Some(balance.row),
            Self::CardOf(_)
            | Self::Payment(_)
            | Self::Settlement(_)
            | Self::Payout(_)
            | Self::Correction(_)
            | Self::CorrectionOf(_)
            | Self::FxRate(_)
            | Self::Reconciliation(_)
            | Self::ReconciliationOf(_) => None,
        }
    }
}
