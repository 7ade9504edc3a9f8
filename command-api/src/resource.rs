//! The resources of the API as commands answer them, personal fields still sealed.
//!
//! What is rendered here is stored as the request's outcome. A sealed field is an object
//! `{"sealed": {subject, box, event_id, field}}`, which [`crate::sealing`] opens on the way out; nothing
//! that a caller sends can look like it, since metadata holds strings only.

use ledger_core::api_key::ApiKey;
use ledger_core::card::{Card, CardStatus};
use ledger_core::client::Client;
use ledger_core::command::{Command, MoveCash, Refund};
use ledger_core::event::Event;
use ledger_core::ids::EventId;
use ledger_core::merchant::Merchant;
use ledger_core::payment::{Outcome, Payment};
use ledger_core::personal::{Reason, Sealed};
use ledger_core::stamp::Stamp;
use ledger_core::{Envelope, Money, State, Timestamp};
use serde_json::{Value, json};

/// Renders what a command answers: the HTTP status and the resource. `envelopes` are its events, none if
/// all was so already.
pub fn render(command: &Command, state: &State, envelopes: &[Envelope]) -> Option<(u16, Value)> {
    let answer = match command {
        Command::OpenClient(open) => (201, client(state.client(open.id)?)),
        Command::Deposit(cash) | Command::Withdraw(cash) => {
            (200, cash_moved(cash, state, envelopes.first()?))
        }
        Command::IssueCard(issue) => (201, issued_card(state.card(issue.id)?)),
        Command::BlockCard(change) | Command::UnblockCard(change) => (200, card(state.card(change.id)?)),
        Command::OpenMerchant(open) => (201, merchant(state.merchant(open.id)?)),
        Command::ChangeSettings(change) => (200, merchant(state.merchant(change.id)?)),
        Command::CreateKey(create) => (201, created_key(state.api_key(create.id)?)),
        Command::RevokeKey(id) => (200, api_key(state.api_key(*id)?)),
        Command::Authorize(authorize) => (201, payment(state.payment(authorize.id)?)),
        Command::Capture(capture) => (200, payment(state.payment(capture.payment_id)?)),
        Command::Void(void) => (200, payment(state.payment(void.payment_id)?)),
        Command::Refund(command) => (201, refund(command, envelopes.first()?)?),
    };
    Some(answer)
}

fn client(client: &Client) -> Value {
    let seal = |field, sealed: Option<&Sealed>| sealed_field(sealed, client.origin, field);
    stamped(
        &client.stamp,
        json!({
            "id": client.id,
            "name": seal("name", Some(&client.opened.name)),
            "email": seal("email", client.opened.email.as_ref()),
            "status": "open",
            "metadata": seal("metadata", client.opened.metadata.as_ref()),
        }),
    )
}

fn cash_moved(cash: &MoveCash, state: &State, envelope: &Envelope) -> Value {
    let balance = state.client_balance(cash.client_id, cash.amount.currency);
    of_event(
        envelope,
        json!({
            "client_id": cash.client_id,
            "amount": cash.amount,
            "reference": sealed_field(cash.reference.as_ref(), envelope.draft.event_id, "reference"),
            "balances": [{
                "currency": cash.amount.currency,
                "posted": balance.available + balance.held,
                "held": balance.held,
                "available": balance.available,
            }],
        }),
    )
}

fn card(card: &Card) -> Value {
    stamped(
        &card.stamp,
        json!({
            "id": card.id,
            "client_id": card.issued.client_id,
            "brand": card.issued.brand,
            "last4": card.issued.last4,
            "exp_month": card.issued.expiry.month,
            "exp_year": card.issued.expiry.year,
            "status": match card.status {
                CardStatus::Active { .. } => "active",
                CardStatus::Blocked => "blocked",
            },
        }),
    )
}

/// A new card has places for its secrets, which are filled in for the first answer only.
fn issued_card(issued: &Card) -> Value {
    with(card(issued), [("number", Value::Null), ("cvc", Value::Null)])
}

fn merchant(merchant: &Merchant) -> Value {
    let settings = &merchant.settings;
    stamped(
        &merchant.stamp,
        json!({
            "id": merchant.id,
            "name": merchant.name,
            "status": "active",
            "fee": settings.fee,
            "fee_version": settings.fee_version,
            "settlement_delay_days": settings.settlement_delay_days,
            "refund_fee": settings.refund_fee,
            "negative_limit": settings.negative_limit,
            "metadata": merchant.metadata,
        }),
    )
}

fn api_key(key: &ApiKey) -> Value {
    stamped(
        &key.stamp,
        json!({
            "id": key.id,
            "role": key.created.role,
            "merchant_id": key.created.merchant_id,
            "status": if key.revoked { "revoked" } else { "active" },
        }),
    )
}

fn created_key(key: &ApiKey) -> Value {
    with(api_key(key), [("secret", Value::Null)])
}

fn payment(payment: &Payment) -> Value {
    let details = &payment.details;
    let money = |amount| Money::new(amount, payment.currency());
    let seal = |field, sealed: Option<&Sealed>| sealed_field(sealed, payment.origin, field);
    let known = json!({
        "id": payment.id,
        "status": payment.status().name(),
        "merchant_id": details.merchant_id,
        "client_id": payment.client_id(),
        "amount": details.amount,
        "funding": null,
        "card": details.card,
        "capture": details.capture,
        "reference": details.reference,
        "description": seal("description", details.description.as_ref()),
        "metadata": seal("metadata", details.metadata.as_ref()),
        // Disputes come with their own events; until then nothing is disputed.
        "disputed": money(0),
        "charged_back": money(0),
    });
    let amounts = match &payment.outcome {
        Outcome::Declined { code, .. } => amounts(money, [0; 7], Some(json!(code)), None),
        Outcome::Approved(of) => amounts(
            money,
            [
                of.authorized,
                of.captured,
                of.released,
                of.refunded,
                of.capturable(),
                of.refundable(),
                of.fee_taken - of.fee_returned,
            ],
            None,
            Some(of.expires_at),
        ),
    };
    stamped(&payment.stamp, with(known, amounts))
}

fn amounts(
    money: impl Fn(i64) -> Money,
    [authorized, captured, released, refunded, capturable, refundable, fee]: [i64; 7],
    decline_code: Option<Value>,
    expires_at: Option<Timestamp>,
) -> [(&'static str, Value); 9] {
    [
        ("authorized", json!(money(authorized))),
        ("captured", json!(money(captured))),
        ("released", json!(money(released))),
        ("refunded", json!(money(refunded))),
        ("capturable", json!(money(capturable))),
        ("refundable", json!(money(refundable))),
        ("fee", json!(money(fee))),
        ("decline_code", decline_code.unwrap_or_default()),
        ("expires_at", json!(expires_at)),
    ]
}

fn refund(command: &Refund, envelope: &Envelope) -> Option<Value> {
    let Event::PaymentRefunded(refunded) = envelope.event() else { return None };
    let reason = match &refunded.reason {
        Some(Reason::Person(sealed)) => sealed_field(Some(sealed), envelope.draft.event_id, "reason"),
        Some(Reason::Machine(code)) => json!(code),
        None => Value::Null,
    };
    Some(of_event(
        envelope,
        json!({
            "id": command.id,
            "payment_id": command.payment_id,
            "amount": refunded.amount,
            "reason": reason,
        }),
    ))
}

/// Leaves a place for a personal field, or `null` where there is none.
fn sealed_field(sealed: Option<&Sealed>, event_id: EventId, field: &str) -> Value {
    sealed.map_or(Value::Null, |sealed| {
        json!({ "sealed": { "subject": sealed.subject, "box": sealed.boxed, "event_id": event_id, "field": field } })
    })
}

/// Adds what every resource has of its stream.
fn stamped(stamp: &Stamp, resource: Value) -> Value {
    with(
        resource,
        [
            ("created_at", json!(stamp.created_at)),
            ("updated_at", json!(stamp.updated_at)),
            ("position", json!(stamp.position)),
        ],
    )
}

/// Adds the same for a resource that is one event.
fn of_event(envelope: &Envelope, resource: Value) -> Value {
    let (at, position) = (envelope.recorded_at, envelope.position);
    with(resource, [("created_at", json!(at)), ("updated_at", json!(at)), ("position", json!(position))])
}

fn with<const N: usize>(mut resource: Value, members: [(&'static str, Value); N]) -> Value {
    for (name, value) in members {
        resource[name] = value;
    }
    resource
}
