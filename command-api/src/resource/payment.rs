//! A payment, written without a tree: most answers are one.

use ledger_core::card_number::Brand;
use ledger_core::event::{CaptureMode, DeclineCode, Funding, PaymentCard, PaymentDetails};
use ledger_core::fx::Rate;
use ledger_core::ids::{CardId, ClientId, EventId, MerchantId, PaymentId, StreamId};
use ledger_core::payment::{Amounts, Outcome, Payment};
use ledger_core::personal::Sealed;
use ledger_core::{Currency, Money, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// Renders an answer that is a payment.
pub(super) fn render(status: u16, payment: &Payment) -> Option<(u16, String)> {
    Some((status, serde_json::to_string(&shown(payment)).ok()?))
}

/// The resource; its members in the order in which all resources are written.
#[derive(Serialize)]
struct Shown<'a> {
    amount: Money,
    authorized: Money,
    capturable: Money,
    capture: CaptureMode,
    captured: Money,
    card: ShownCard<'a>,
    charged_back: Money,
    client_id: Option<ClientId>,
    created_at: Timestamp,
    decline: Option<Value>,
    decline_code: Option<DeclineCode>,
    description: Option<Place<'a>>,
    disputed: Money,
    expires_at: Option<Timestamp>,
    fee: Money,
    funding: Option<Funded>,
    id: PaymentId,
    merchant_id: MerchantId,
    metadata: Option<Place<'a>>,
    position: u64,
    reference: Option<&'a str>,
    refundable: Money,
    refunded: Money,
    released: Money,
    status: &'static str,
    updated_at: Timestamp,
}

/// The card that paid, as the request told of it.
#[derive(Serialize)]
struct ShownCard<'a> {
    brand: Option<Brand>,
    exp_month: u8,
    exp_year: u16,
    id: Option<CardId>,
    last4: &'a str,
}

/// A place for a personal field.
#[derive(Serialize)]
struct Place<'a> {
    sealed: Field<'a>,
}

/// What the field is opened from.
#[derive(Serialize)]
struct Field<'a> {
    r#box: &'a str,
    event_id: EventId,
    field: &'static str,
    subject: StreamId,
}

/// What a payment costs in the currency that pays.
#[derive(Serialize)]
struct Funded {
    captured: i64,
    currency: Currency,
    held: i64,
    rate: Rate,
    refunded: i64,
}

fn shown(payment: &Payment) -> Shown<'_> {
    let PaymentDetails { merchant_id, amount, card, capture, reference, description, metadata } =
        &payment.details;
    let nothing = Money::new(0, amount.currency);
    let known = Shown {
        amount: *amount,
        authorized: nothing,
        capturable: nothing,
        capture: *capture,
        captured: nothing,
        card: shown_card(card),
        charged_back: nothing,
        client_id: payment.client_id(),
        created_at: payment.stamp.created_at,
        decline: None,
        decline_code: None,
        description: place("description", description.as_ref(), payment.origin),
        disputed: nothing,
        expires_at: None,
        fee: nothing,
        funding: None,
        id: payment.id,
        merchant_id: *merchant_id,
        metadata: place("metadata", metadata.as_ref(), payment.origin),
        position: payment.stamp.position,
        reference: reference.as_deref(),
        refundable: nothing,
        refunded: nothing,
        released: nothing,
        status: payment.status().name(),
        updated_at: payment.stamp.updated_at,
    };
    let amounts = match &payment.outcome {
        Outcome::Declined { code, .. } => {
            let decline = Some(code.explanation(*amount, card.expiry));
            return Shown { decline, decline_code: Some(*code), ..known };
        }
        Outcome::Approved(amounts) => amounts,
    };
    let money = |amount| Money::new(amount, payment.currency());
    Shown {
        authorized: money(amounts.authorized),
        capturable: money(amounts.capturable()),
        captured: money(amounts.captured),
        charged_back: money(amounts.charged_back),
        disputed: money(amounts.disputed()),
        expires_at: Some(amounts.expires_at),
        fee: money(amounts.fee_taken - amounts.fee_returned),
        funding: amounts.purse.funding.map(|funding| funded(amounts, funding)),
        refundable: money(amounts.refundable()),
        refunded: money(amounts.refunded),
        released: money(amounts.released),
        ..known
    }
}

fn shown_card(card: &PaymentCard) -> ShownCard<'_> {
    let PaymentCard { id, brand, last4, expiry } = card;
    ShownCard { brand: *brand, exp_month: expiry.month, exp_year: expiry.year, id: *id, last4 }
}

fn place<'a>(field: &'static str, sealed: Option<&'a Sealed>, event_id: EventId) -> Option<Place<'a>> {
    let Sealed { subject, boxed } = sealed?;
    Some(Place { sealed: Field { r#box: boxed, event_id, field, subject: *subject } })
}

fn funded(amounts: &Amounts, funding: Funding) -> Funded {
    let (captured, capturable) = (amounts.captured, amounts.capturable());
    Funded {
        captured: amounts.purse.leg(0, captured).amount,
        currency: funding.currency,
        held: amounts.purse.leg(captured, capturable).amount,
        rate: funding.rate,
        refunded: amounts.refunded_to_purse,
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::card_number::Expiry;
    use ledger_core::payment::Purse;
    use ledger_core::stamp::Stamp;
    use sqlx::types::Uuid;

    use super::*;

    fn payment(outcome: Outcome) -> Payment {
        let (id, at) = (Uuid::from_u128(1), "2026-12-01T00:00:00.000000Z".parse().unwrap());
        let sealed = Sealed { subject: StreamId::Client(ClientId::new(id)), boxed: "c2VhbGVk".to_owned() };
        Payment {
            id: PaymentId::new(id),
            origin: EventId::new(id),
            details: PaymentDetails {
                merchant_id: MerchantId::new(id),
                amount: Money::new(100, "EUR".parse().unwrap()),
                card: PaymentCard {
                    id: Some(CardId::new(id)),
                    brand: Some(Brand::Visa),
                    last4: "4242".to_owned(),
                    expiry: Expiry { year: 2030, month: 12 },
                },
                capture: CaptureMode::Manual,
                reference: Some("\"1\"".to_owned()),
                description: Some(sealed.clone()),
                metadata: Some(sealed),
            },
            outcome,
            stamp: Stamp { version: 1, position: 7, created_at: at, updated_at: at },
        }
    }

    /// Answers with secrets go through a tree: they must read the same.
    #[test]
    fn members_stand_in_the_order_of_all_resources() {
        let client_id = ClientId::new(Uuid::from_u128(1));
        let funding = Funding { currency: "USD".parse().unwrap(), rate: "0.9".parse().unwrap() };
        let approved = |funding| {
            Outcome::Approved(Amounts {
                purse: Purse { client_id, currency: "EUR".parse().unwrap(), funding },
                expires_at: "2026-12-08T00:00:00.000000Z".parse().unwrap(),
                warned: false,
                expired: false,
                authorized: 100,
                captured: 60,
                released: 0,
                refunded: 0,
                charged_back: 0,
                fee_taken: 1,
                fee_returned: 0,
                refunded_to_purse: 0,
                given_back_to_purse: 0,
                disputes: Vec::new(),
            })
        };
        let declined = Outcome::Declined { client_id: Some(client_id), code: DeclineCode::ExpiredCard };
        for outcome in [declined, approved(None), approved(Some(funding))] {
            let (_, text) = render(201, &payment(outcome)).unwrap();
            let tree: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(text, serde_json::to_string(&tree).unwrap());
        }
    }
}
