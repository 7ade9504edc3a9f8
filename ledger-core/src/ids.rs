//! Identifiers: a prefix that tells the kind, then the 32 lower-case hex digits of a UUIDv7 (RFC 9562).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id of a fresh UUIDv7.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
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

        impl TryFrom<String> for $name {
            type Error = MalformedId;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
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
    /// One event of the log.
    EventId = "evt_";
    /// An API key; the id is public, the secret is not.
    KeyId = "key_";
}

/// A stream: the events of one aggregate, named by the aggregate's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => id.fmt(f),
            Self::Merchant(id) => id.fmt(f),
            Self::Card(id) => id.fmt(f),
            Self::Payment(id) => id.fmt(f),
            Self::Key(id) => id.fmt(f),
        }
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
            _ => Err(MalformedId),
        }
    }
}

impl TryFrom<String> for StreamId {
    type Error = MalformedId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StreamId> for String {
    fn from(id: StreamId) -> Self {
        id.to_string()
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
