//! Identifiers: a prefix that tells the kind, then the 32 lower-case hex digits of a UUIDv7 (RFC 9562).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::money::Currency;
use crate::text;

/// The text is no id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed id")]
pub struct MalformedId;

/// Reads `prefix` and 32 lower-case hex digits, nothing else.
fn parse(prefix: &str, text: &str) -> Result<Uuid, MalformedId> {
    let digits = text.strip_prefix(prefix).ok_or(MalformedId)?;
    let lower_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != 32 || !lower_hex {
        return Err(MalformedId);
    }
    Uuid::try_parse(digits).map_err(|_| MalformedId)
}

/// The length of the longest id: `card_` and 32 digits.
const LENGTH_MAX: usize = 37;

/// Writes an id's text into a buffer: every event holds a dozen of them, so they are not formatted piece by piece.
fn written<'a>(prefix: &str, uuid: Uuid, buffer: &'a mut [u8; LENGTH_MAX]) -> &'a str {
    let (begin, digits) = buffer.split_at_mut(prefix.len());
    begin.copy_from_slice(prefix.as_bytes());
    uuid.simple().encode_lower(digits);
    std::str::from_utf8(&buffer[..prefix.len() + 32]).unwrap_or_default()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id of a fresh UUIDv7.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the `n`th id after this one: what one command makes many of is drawn once.
            #[must_use]
            pub const fn plus(self, n: u64) -> Self {
                Self(Uuid::from_u128(self.0.as_u128().wrapping_add(n as u128)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(written($prefix, self.0, &mut [0; LENGTH_MAX]))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(written($prefix, self.0, &mut [0; LENGTH_MAX]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse($prefix, text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text::deserialize(deserializer)
            }
        }
    )+};
}

ids! {
    /// A client: a holder of money and cards.
    ClientId = "cli_";
    /// A merchant: who is paid.
    MerchantId = "mer_";
    /// A card of a client.
    CardId = "card_";
    /// A payment, from its authorization to its last refund.
    PaymentId = "pay_";
    /// One refund of a payment.
    RefundId = "ref_";
    /// One dispute of a payment.
    DisputeId = "dsp_";
    /// A settlement: captures that became available to a merchant together.
    SettlementId = "set_";
    /// A payout to a merchant's bank account.
    PayoutId = "po_";
    /// A correction of one event.
    CorrectionId = "cor_";
    /// A reconciliation: one bank statement compared with the ledger.
    ReconciliationId = "rec_";
    /// One event of the log.
    EventId = "evt_";
    /// An API key; the id is public, the secret is not.
    KeyId = "key_";
}

/// A stream: the events of one aggregate, named by the aggregate's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StreamId {
    /// A client's own events.
    Client(ClientId),
    /// A merchant's own events.
    Merchant(MerchantId),
    /// A card's events.
    Card(CardId),
    /// A payment's events.
    Payment(PaymentId),
    /// An API key's events.
    Key(KeyId),
    /// A settlement's one event.
    Settlement(SettlementId),
    /// A payout's events.
    Payout(PayoutId),
    /// A correction's events.
    Correction(CorrectionId),
    /// A reconciliation's events.
    Reconciliation(ReconciliationId),
    /// The rates of a pair of currencies, from the first to the second: `fx_EURUSD`.
    FxPair(Currency, Currency),
}

/// What the stream of a pair of currencies begins with.
const FX_PREFIX: &str = "fx_";

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => id.fmt(f),
            Self::Merchant(id) => id.fmt(f),
            Self::Card(id) => id.fmt(f),
            Self::Payment(id) => id.fmt(f),
            Self::Key(id) => id.fmt(f),
            Self::Settlement(id) => id.fmt(f),
            Self::Payout(id) => id.fmt(f),
            Self::Correction(id) => id.fmt(f),
            Self::Reconciliation(id) => id.fmt(f),
            Self::FxPair(from, to) => write!(f, "{FX_PREFIX}{from}{to}"),
        }
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

impl FromStr for StreamId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let prefix_end = text.find('_').ok_or(MalformedId)? + 1;
        match text.get(..prefix_end) {
            Some(ClientId::PREFIX) => text.parse().map(Self::Client),
            Some(MerchantId::PREFIX) => text.parse().map(Self::Merchant),
            Some(CardId::PREFIX) => text.parse().map(Self::Card),
            Some(PaymentId::PREFIX) => text.parse().map(Self::Payment),
            Some(KeyId::PREFIX) => text.parse().map(Self::Key),
            Some(SettlementId::PREFIX) => text.parse().map(Self::Settlement),
            Some(PayoutId::PREFIX) => text.parse().map(Self::Payout),
            Some(CorrectionId::PREFIX) => text.parse().map(Self::Correction),
            Some(ReconciliationId::PREFIX) => text.parse().map(Self::Reconciliation),
            Some(FX_PREFIX) => {
                let currency = |range| text.get(range).and_then(|code: &str| code.to_owned().try_into().ok());
                let pair = currency(3..6).zip(currency(6..text.len()));
                pair.map(|(from, to)| Self::FxPair(from, to)).ok_or(MalformedId)
            }
            _ => Err(MalformedId),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = PaymentId::new(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_00ff));
        assert_eq!(id.to_string(), "pay_019700000000700080000000000000ff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().parse(), Ok(StreamId::Payment(id)));
    }

    #[test]
    fn a_stream_survives_its_text() {
        let uuid = Uuid::from_u128(1);
        for stream in [
            StreamId::Client(ClientId::new(uuid)),
            StreamId::Merchant(MerchantId::new(uuid)),
            StreamId::Card(CardId::new(uuid)),
            StreamId::Payment(PaymentId::new(uuid)),
            StreamId::Key(KeyId::new(uuid)),
            StreamId::Settlement(SettlementId::new(uuid)),
            StreamId::Payout(PayoutId::new(uuid)),
            StreamId::Correction(CorrectionId::new(uuid)),
            StreamId::Reconciliation(ReconciliationId::new(uuid)),
        ] {
            assert_eq!(stream.to_string().parse(), Ok(stream));
        }
    }

    #[test]
    fn a_pair_of_currencies_is_a_stream() {
        let pair = StreamId::FxPair("EUR".parse().unwrap(), "JPY".parse().unwrap());
        assert_eq!(pair.to_string(), "fx_EURJPY");
        assert_eq!("fx_EURJPY".parse(), Ok(pair));
        for text in ["fx_", "fx_EUR", "fx_EURJPYUSD", "fx_eurjpy", "fx_EURXXX", "fx_EUéJPY"] {
            assert_eq!(text.parse::<StreamId>(), Err(MalformedId), "{text}");
        }
    }

    #[test]
    fn ids_drawn_at_once_follow_each_other() {
        let first = EventId::new(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_00ff));
        assert_eq!(first.plus(0), first);
        assert_eq!(first.plus(1).to_string(), "evt_01970000000070008000000000000100");
        assert!(first < first.plus(1));
    }

    #[test]
    fn refuses_other_kinds_and_other_spellings() {
        let hex = "019700000000700080000000000000ff";
        for text in [
            format!("cli_{hex}"),
            format!("pay_{}", hex.to_uppercase()),
            format!("pay_{hex}0"),
            format!("pay_{}", &hex[1..]),
            "pay_01970000-0000-7000-8000-0000000000ff".to_owned(),
            hex.to_owned(),
            "pay_".to_owned(),
            "é_".to_owned(),
            String::new(),
        ] {
            assert_eq!(text.parse::<PaymentId>(), Err(MalformedId), "{text}");
        }
        assert_eq!("é_".parse::<StreamId>(), Err(MalformedId));
    }
}
