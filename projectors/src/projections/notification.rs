//! `notification`: what clients and merchants are told: facts, not sentences, and nothing personal.

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::event::{Event, JournalCorrected, Reversed};
use ledger_core::ids::StreamId;
use ledger_core::{Envelope, Owner};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::accounts::payment_id;
use crate::projection::{ApplyError, Decoded, Projection, json_text};

/// The projection.
pub(super) struct Notifications;

#[async_trait]
impl Projection for Notifications {
    fn model(&self) -> ReadModel {
        read_model::NOTIFICATION
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        recipients(event).iter().map(Owner::to_string).collect()
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        let told: Vec<(&Decoded, String)> =
            events.iter().map(|event| (*event, json_text(&facts(&event.envelope)))).collect();
        let mut rows: Vec<(Owner, &Decoded, &str)> = told
            .iter()
            .flat_map(|(event, data)| {
                recipients(&event.envelope).into_iter().map(|of| (of, *event, data.as_str()))
            })
            .collect();
        // A recipient's rows are next to each other in the index.
        rows.sort_by_key(|(recipient, ..)| *recipient);
        sqlx::query(
            "INSERT INTO notifications (recipient, position, kind, payment_id, data, created_at)
             SELECT unnest($1::text[]), unnest($2::bigint[]), unnest($3::text[]), unnest($4::text[]),
                    unnest($5::text[]), unnest($6::timestamptz[])",
        )
        .bind(rows.iter().map(|(recipient, ..)| recipient.to_string()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, event, _)| event.position()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, event, _)| event.envelope.event().type_name()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, event, _)| payment_id(event)).collect::<Vec<_>>())
        .bind(rows.iter().map(|(.., data)| *data).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, event, _)| event.recorded_at()).collect::<Vec<_>>())
        .execute(tables)
        .await?;
        Ok(())
    }
}

/// Returns whom an event concerns: its client and its merchant. API keys, rates and corrections that are only asked
/// for concern nobody.
fn recipients(event: &Envelope) -> Vec<Owner> {
    let both = |client, merchant| vec![Owner::Client(client), Owner::Merchant(merchant)];
    match (event.stream_id(), event.event()) {
        (StreamId::Client(id), _) => vec![Owner::Client(id)],
        (StreamId::Merchant(id), _) => vec![Owner::Merchant(id)],
        (_, Event::CardIssued(issued)) => vec![Owner::Client(issued.client_id)],
        (_, Event::CardBlocked(because) | Event::CardUnblocked(because)) => {
            vec![Owner::Client(because.client_id)]
        }
        (_, Event::PaymentAuthorized(payment)) => both(payment.client_id, payment.details.merchant_id),
        (_, Event::PaymentDeclined(payment)) => match payment.client_id {
            Some(client) => both(client, payment.details.merchant_id),
            None => vec![Owner::Merchant(payment.details.merchant_id)],
        },
        (_, Event::PaymentAuthorizationIncremented(of)) => both(of.client_id, of.merchant_id),
        (_, Event::PaymentAuthorizationExpiring(of)) => both(of.client_id, of.merchant_id),
        (_, Event::PaymentCaptured(capture)) => both(capture.client_id, capture.merchant_id),
        (_, Event::PaymentVoided(void)) => both(void.client_id, void.merchant_id),
        (_, Event::PaymentExpired(of)) => both(of.client_id, of.merchant_id),
        (_, Event::PaymentRefunded(refund)) => both(refund.client_id, refund.merchant_id),
        (_, Event::PaymentDisputed(dispute)) => both(dispute.client_id, dispute.merchant_id),
        (_, Event::PaymentDisputeEvidenceSubmitted(of)) => both(of.client_id, of.merchant_id),
        (_, Event::PaymentDisputeWon(of) | Event::PaymentDisputeLost(of)) => {
            both(of.client_id, of.merchant_id)
        }
        (_, Event::PaymentDisputeReopened(of)) => both(of.client_id, of.merchant_id),
        (_, Event::SettlementClosed(settlement)) => vec![Owner::Merchant(settlement.merchant_id)],
        (_, Event::PayoutRequested(payout)) => vec![Owner::Merchant(payout.merchant_id)],
        (_, Event::PayoutPaid(of) | Event::PayoutFailed(of) | Event::PayoutReturned(of)) => {
            vec![Owner::Merchant(of.merchant_id)]
        }
        (_, Event::JournalCorrected(of)) => match of.reversed {
            Reversed::PayoutPaid { merchant_id, .. } => vec![Owner::Merchant(merchant_id)],
            Reversed::DisputeLost { client_id, merchant_id, .. } => both(client_id, merchant_id),
            // In the streams of clients and merchants.
            Reversed::ClientDeposited { .. }
            | Reversed::ClientWithdrawn { .. }
            | Reversed::MerchantDeposited { .. } => Vec::new(),
        },
        (
            _,
            Event::ClientOpened(_)
            | Event::ClientDeposited(_)
            | Event::ClientWithdrawn(_)
            | Event::ClientClosed(_)
            | Event::MerchantOpened(_)
            | Event::MerchantSettingsChanged(_)
            | Event::MerchantSuspended(_)
            | Event::MerchantReinstated(_)
            | Event::MerchantDeposited(_)
            | Event::MerchantBalanceWrittenOff(_)
            | Event::ApiKeyCreated(_)
            | Event::ApiKeyRevoked(_)
            | Event::CorrectionRequested(_)
            | Event::CorrectionApproved(_)
            | Event::FxRateSet(_)
            | Event::ReconciliationRun(_)
            | Event::ReconciliationItems(_),
        ) => Vec::new(),
    }
}

/// Returns what may be told of an event.
fn facts(event: &Envelope) -> Value {
    match event.event() {
        Event::ClientOpened(_)
        | Event::ClientClosed(_)
        | Event::CardBlocked(_)
        | Event::CardUnblocked(_)
        | Event::MerchantSuspended(_)
        | Event::MerchantReinstated(_)
        | Event::ApiKeyCreated(_)
        | Event::ApiKeyRevoked(_)
        | Event::CorrectionRequested(_)
        | Event::CorrectionApproved(_)
        | Event::FxRateSet(_)
        | Event::ReconciliationRun(_)
        | Event::ReconciliationItems(_) => json!({}),
        Event::ClientDeposited(moved) | Event::ClientWithdrawn(moved) | Event::MerchantDeposited(moved) => {
            json!({ "amount": moved.amount })
        }
        Event::MerchantBalanceWrittenOff(of) => json!({ "amount": of.amount }),
        Event::CardIssued(issued) => json!({ "brand": issued.brand, "last4": issued.last4 }),
        Event::MerchantOpened(opened) => json!({ "fee_version": opened.settings.fee_version }),
        Event::MerchantSettingsChanged(settings) => json!({ "fee_version": settings.fee_version }),
        Event::PaymentAuthorized(of) => json!({
            "amount": of.details.amount, "reference": of.details.reference,
            "brand": of.details.card.brand, "last4": of.details.card.last4, "expires_at": of.expires_at,
        }),
        Event::PaymentDeclined(of) => json!({
            "amount": of.details.amount, "reference": of.details.reference,
            "brand": of.details.card.brand, "last4": of.details.card.last4, "decline_code": of.decline_code,
        }),
        Event::PaymentAuthorizationIncremented(of) => json!({ "amount": of.amount }),
        Event::PaymentAuthorizationExpiring(of) => {
            json!({ "expires_at": of.expires_at, "capturable": of.capturable })
        }
        Event::PaymentCaptured(of) => json!({
            "amount": of.amount, "fee": of.fee, "released": of.released, "settles_on": of.settles_on,
        }),
        Event::PaymentVoided(of) => json!({ "amount": of.amount }),
        Event::PaymentExpired(of) => json!({ "amount": of.amount }),
        Event::PaymentRefunded(of) => json!({
            "refund_id": of.refund_id, "amount": of.amount, "fee_returned": of.fee_returned,
        }),
        Event::PaymentDisputed(of) => json!({
            "dispute_id": of.dispute_id, "amount": of.amount, "respond_by": of.respond_by,
        }),
        Event::PaymentDisputeEvidenceSubmitted(of) => json!({ "dispute_id": of.dispute_id }),
        Event::PaymentDisputeWon(of) | Event::PaymentDisputeLost(of) => {
            json!({ "dispute_id": of.dispute_id, "amount": of.amount })
        }
        Event::PaymentDisputeReopened(of) => json!({
            "dispute_id": of.dispute_id, "amount": of.amount, "respond_by": of.respond_by,
        }),
        Event::SettlementClosed(of) => json!({
            "settlement_id": event.stream_id(), "through_day": of.through_day, "count": of.count,
            "gross": of.gross, "fees": of.fees, "absorbed": of.absorbed, "amount": of.amount,
        }),
        Event::PayoutRequested(of) => json!({
            "payout_id": event.stream_id(), "amount": of.amount, "reference": of.reference,
        }),
        Event::PayoutPaid(of) | Event::PayoutFailed(of) | Event::PayoutReturned(of) => {
            json!({ "payout_id": event.stream_id(), "amount": of.amount })
        }
        Event::JournalCorrected(of) => corrected(event.stream_id(), of),
    }
}

/// Returns what may be told of a correction: what it undoes, and which payout or dispute is open again.
fn corrected(stream: StreamId, of: &JournalCorrected) -> Value {
    let mut facts = json!({
        "correction_id": of.correction_id, "reverses_type": of.reversed.type_name(),
        "amount": of.reversed.amount(), "effective_date": of.effective_date, "dispute": of.dispute,
    });
    match of.reversed {
        Reversed::PayoutPaid { .. } => facts["payout_id"] = json!(stream),
        Reversed::DisputeLost { dispute_id, .. } => facts["dispute_id"] = json!(dispute_id),
        Reversed::ClientDeposited { .. }
        | Reversed::ClientWithdrawn { .. }
        | Reversed::MerchantDeposited { .. } => {}
    }
    facts
}
