//! The resources of the API as commands answer them, personal fields still sealed.
//!
//! What is rendered here is stored as the request's outcome. A sealed field is an object
//! `{"sealed": {subject, box, event_id, field}}`, which [`crate::sealing`] opens on the way out; nothing
//! that a caller sends can look like it, since metadata holds strings only.

mod payment;

use ledger_core::api_key::ApiKey;
use ledger_core::card::{Card, CardStatus};
use ledger_core::client::{Client, ClientStatus};
use ledger_core::command::{Command, DisputeOf, MoveCash, Refund};
use ledger_core::correction::Correction;
use ledger_core::event::{Event, FxRateSet, PayoutRequested};
use ledger_core::fx::FxRate;
use ledger_core::ids::{DisputeId, EventId, MerchantId, StreamId};
use ledger_core::merchant::{Merchant, MerchantStatus};
use ledger_core::payment::Payment;
use ledger_core::payout::Payout;
use ledger_core::personal::{Reason, Reference, Sealed};
use ledger_core::reconciliation::Reconciliation;
use ledger_core::reconciliation::item::{Item, reference_field};
use ledger_core::reconciliation::movement::Movement;
use ledger_core::settlement::Settlement;
use ledger_core::stamp::Stamp;
use ledger_core::{Envelope, Money, State};
use serde_json::{Value, json};

/// Renders what a command answers: the HTTP status and the resource's text. `envelopes` are its events, none
/// if all was so already.
pub fn render(command: &Command, state: &State, envelopes: &[Envelope]) -> Option<(u16, String)> {
    let (status, resource) = match command {
        Command::OpenClient(open) => (201, client(state.client(open.id)?)),
        Command::Deposit(cash) | Command::Withdraw(cash) => {
            (200, cash_moved(cash, state, envelopes.first()?))
        }
        Command::CloseClient(close) => (200, client(state.client(close.id)?)),
        Command::IssueCard(issue) => (201, issued_card(state.card(issue.id)?)),
        Command::BlockCard(change) | Command::UnblockCard(change) => (200, card(state.card(change.id)?)),
        Command::OpenMerchant(open) => (201, merchant(state.merchant(open.id)?)),
        Command::ChangeSettings(change) => (200, merchant(state.merchant(change.id)?)),
        Command::SuspendMerchant(change) | Command::ReinstateMerchant(change) => {
            (200, merchant(state.merchant(change.id)?))
        }
        Command::DepositToMerchant(deposit) => {
            let reference = ("reference", deposit.reference.as_ref());
            (200, merchant_cash(deposit.id, deposit.amount, reference, state, envelopes.first()?))
        }
        Command::WriteOff(write_off) => {
            let reason = ("reason", Some(&write_off.reason));
            (200, merchant_cash(write_off.id, write_off.amount, reason, state, envelopes.first()?))
        }
        Command::CreateKey(create) => (201, created_key(state.api_key(create.id)?)),
        Command::RevokeKey(id) => (200, api_key(state.api_key(*id)?)),
        Command::Authorize(authorize) => return payment::render(201, state.payment(authorize.id)?),
        Command::Increment(increment) => return payment::render(200, state.payment(increment.payment_id)?),
        Command::Capture(capture) => return payment::render(200, state.payment(capture.payment_id)?),
        Command::Void(void) => return payment::render(200, state.payment(void.payment_id)?),
        Command::Refund(command) => (201, refund(command, envelopes.first()?)?),
        // Nobody waits for what the scheduler does.
        Command::WarnOfExpiry(_) | Command::Expire(_) | Command::LoseUnanswered(_) => (200, Value::Null),
        Command::OpenDispute(open) => (201, dispute(state.payment(open.payment_id)?, open.id)?),
        Command::SubmitEvidence(submit) => (200, dispute_of(&submit.dispute, state)?),
        Command::WinDispute(of) | Command::LoseDispute(of) => (200, dispute_of(of, state)?),
        Command::ReopenDispute(reopen) => (200, dispute_of(&reopen.dispute, state)?),
        Command::Settle(_) => {
            let settlements = envelopes.iter().filter_map(Settlement::of);
            (200, json!({ "data": settlements.map(|closed| settlement(&closed)).collect::<Vec<_>>() }))
        }
        Command::RequestPayout(request) => (201, payout(state.payout(request.id)?)),
        Command::ChangePayout(change) => (200, payout(state.payout(change.id)?)),
        Command::RequestCorrection(request) => (201, correction(state.correction(request.id)?)),
        Command::ApproveCorrection(approve) => (200, correction(state.correction(approve.id)?)),
        Command::SetFxRate(set) => (201, fx_rate(state.fx_rate(set.from, set.to)?)),
        Command::RunReconciliation(run) => {
            let status = if envelopes.is_empty() { 200 } else { 201 };
            (status, reconciliation(state.reconciliation_of(run.file_hash)?))
        }
    };
    Some((status, resource.to_string()))
}

fn client(client: &Client) -> Value {
    let seal = |field, sealed: Option<&Sealed>| sealed_field(sealed, client.origin, field);
    stamped(
        &client.stamp,
        json!({
            "id": client.id,
            "name": seal("name", Some(&client.opened.name)),
            "email": seal("email", client.opened.email.as_ref()),
            "status": match client.status {
                ClientStatus::Open => "open",
                ClientStatus::Closed { .. } => "closed",
            },
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
            "status": match merchant.status {
                MerchantStatus::Active => "active",
                MerchantStatus::Suspended { .. } => "suspended",
            },
            "fee": settings.fee,
            "fee_version": settings.fee_version,
            "settlement_delay_days": settings.settlement_delay_days,
            "refund_fee": settings.refund_fee,
            "negative_limit": settings.negative_limit,
            "metadata": merchant.metadata,
        }),
    )
}

/// What moved to a merchant, and what was written about it.
fn merchant_cash(
    id: MerchantId,
    amount: Money,
    (field, written): (&'static str, Option<&Sealed>),
    state: &State,
    envelope: &Envelope,
) -> Value {
    let balance = state.merchant_balance(id, amount.currency);
    let moved = json!({
        "merchant_id": id,
        "amount": amount,
        "balances": [{
            "currency": amount.currency,
            "pending": balance.pending,
            "available": balance.available,
            "reserved": balance.reserved,
            "in_transit": balance.in_transit,
        }],
    });
    let written = sealed_field(written, envelope.draft.event_id, field);
    of_event(envelope, with(moved, [(field, written)]))
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

fn refund(command: &Refund, envelope: &Envelope) -> Option<Value> {
    let Event::PaymentRefunded(refunded) = envelope.event() else { return None };
    Some(of_event(
        envelope,
        json!({
            "id": command.id,
            "payment_id": command.payment_id,
            "amount": refunded.amount,
            "reason": reason(refunded.reason.as_ref(), envelope.draft.event_id),
        }),
    ))
}

fn dispute_of(of: &DisputeOf, state: &State) -> Option<Value> {
    dispute(state.payment(of.payment_id)?, of.id)
}

fn dispute(payment: &Payment, id: DisputeId) -> Option<Value> {
    let (_, dispute) = payment.dispute(id)?;
    let evidence = dispute.evidence.as_ref();
    Some(stamped(
        &dispute.stamp,
        json!({
            "id": dispute.id,
            "payment_id": payment.id,
            "merchant_id": payment.details.merchant_id,
            "amount": Money::new(dispute.amount, payment.currency()),
            "reason": reason(Some(&dispute.reason), dispute.origin),
            "status": dispute.status.name(),
            "respond_by": dispute.respond_by,
            "evidence": evidence.map(|(event_id, text)| sealed_field(Some(text), *event_id, "text")),
            "reopened": dispute.reopened,
        }),
    ))
}

fn settlement(settlement: &Settlement) -> Value {
    let closed = &settlement.closed;
    stamped(
        &settlement.stamp,
        json!({
            "id": settlement.id,
            "merchant_id": closed.merchant_id,
            "currency": closed.currency,
            "through_day": closed.through_day,
            "count": closed.count,
            "gross": closed.gross,
            "fees": closed.fees,
            "absorbed": closed.absorbed,
            "amount": closed.amount,
        }),
    )
}

fn payout(payout: &Payout) -> Value {
    let PayoutRequested { merchant_id, amount, reference } = &payout.requested;
    let why = payout.reason.as_ref().map_or(Value::Null, |(event_id, why)| reason(Some(why), *event_id));
    stamped(
        &payout.stamp,
        json!({
            "id": payout.id,
            "merchant_id": merchant_id,
            "amount": amount,
            "status": payout.status.name(),
            "reference": reference,
            "reason": why,
        }),
    )
}

fn correction(correction: &Correction) -> Value {
    let requested = &correction.requested;
    stamped(
        &correction.stamp,
        json!({
            "id": correction.id,
            "status": correction.status(),
            "reverses": requested.reverses,
            "reverses_type": requested.reversed.type_name(),
            "reverses_position": requested.reverses_position,
            "reverses_stream": requested.reverses_stream,
            "amount": requested.reversed.amount(),
            "effective_date": requested.effective_date,
            "reason": reason(Some(&requested.reason), correction.origin),
            "requested_by": correction.requested_by,
            "approved_by": correction.approved_by,
        }),
    )
}

fn fx_rate(rate: &FxRate) -> Value {
    let FxRateSet { from, to, rate: price, valid_until } = &rate.set;
    // A rate is one event; the pair's version is its stream's.
    stamped(&rate.stamp, json!({ "from": from, "to": to, "rate": price, "valid_until": valid_until }))
}

fn reconciliation(reconciliation: &Reconciliation) -> Value {
    let run = &reconciliation.run;
    let items: Vec<_> = reconciliation.shown.iter().map(|(event_id, of)| item(*event_id, of)).collect();
    stamped(
        &reconciliation.stamp,
        json!({
            "id": reconciliation.id,
            "format": run.format,
            "file_hash": run.file_hash,
            "from": run.from,
            "to": run.to,
            "currencies": run.currencies,
            "lines": run.lines,
            "through_position": run.through_position,
            "counts": run.counts,
            "items": items,
        }),
    )
}

fn item(event_id: EventId, item: &Item) -> Value {
    let line = item.line.as_ref().map(|line| {
        let field = reference_field(line.number);
        json!({
            "number": line.number,
            "date": line.date,
            "direction": line.direction,
            "amount": line.amount,
            "reference": sealed_field(line.reference.as_ref(), event_id, &field),
        })
    });
    json!({ "result": item.result, "line": line, "movement": item.movement.as_ref().map(movement) })
}

fn movement(movement: &Movement) -> Value {
    let reference = match &movement.reference {
        Some(Reference::Person(sealed)) => sealed_field(Some(sealed), movement.event_id, "reference"),
        Some(Reference::Clear(text)) => json!(text),
        None => Value::Null,
    };
    let mut shown = json!({
        "event_id": movement.event_id,
        "position": movement.position,
        "type": movement.kind,
        "client_id": null,
        "merchant_id": null,
        "payout_id": null,
        "date": movement.date,
        "amount": movement.amount,
        "reference": reference,
    });
    let owner = match movement.stream_id {
        StreamId::Client(_) => "client_id",
        StreamId::Merchant(_) => "merchant_id",
        _ => "payout_id",
    };
    shown[owner] = json!(movement.stream_id);
    shown
}

/// A person's words, still sealed, or a machine's code.
fn reason(reason: Option<&Reason>, event_id: EventId) -> Value {
    match reason {
        Some(Reason::Person(sealed)) => sealed_field(Some(sealed), event_id, "reason"),
        Some(Reason::Machine(code)) => json!(code),
        None => Value::Null,
    }
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

fn with(mut resource: Value, members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    for (name, value) in members {
        resource[name] = value;
    }
    resource
}
