//! `notification`: what clients and merchants are told: facts, not sentences, and nothing personal.

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::Envelope;
use ledger_core::event::{Event, JournalCorrected, Reversed};
use ledger_core::ids::{ClientId, MerchantId, StreamId};
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
        let Told { client, merchant } = told(event);
        client.map(|id| id.to_string()).into_iter().chain(merchant.map(|id| id.to_string())).collect()
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        let told: Vec<Told> = events.iter().map(|event| told(&event.envelope)).collect();
        sqlx::query(
            "INSERT INTO notifications (position, kind, client_id, merchant_id, payment_id, data, created_at)
             SELECT unnest($1::bigint[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]),
                    unnest($5::text[]), unnest($6::text[]), unnest($7::timestamptz[])",
        )
        .bind(events.iter().map(|event| event.position()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.envelope.event().type_name()).collect::<Vec<_>>())
        .bind(told.iter().map(|told| told.client.map(|id| id.to_string())).collect::<Vec<_>>())
        .bind(told.iter().map(|told| told.merchant.map(|id| id.to_string())).collect::<Vec<_>>())
        .bind(events.iter().map(|event| payment_id(event)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| json_text(&facts(&event.envelope))).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.recorded_at()).collect::<Vec<_>>())
        .execute(tables)
        .await?;
        Ok(())
    }
}

/// Whom an event concerns.
#[derive(Clone, Copy, Default)]
struct Told {
    client: Option<ClientId>,
    merchant: Option<MerchantId>,
}

impl Told {
    const fn client(id: ClientId) -> Self {
        Self { client: Some(id), merchant: None }
    }

    const fn merchant(id: MerchantId) -> Self {
        Self { client: None, merchant: Some(id) }
    }

    const fn both(client: ClientId, merchant: MerchantId) -> Self {
        Self { client: Some(client), merchant: Some(merchant) }
    }
}

/// Returns whom an event concerns: its client and its merchant. API keys, rates and corrections that are only asked
/// for concern nobody.
fn told(event: &Envelope) -> Told {
    match (event.stream_id(), event.event()) {
        (StreamId::Client(id), _) => Told::client(id),
        (StreamId::Merchant(id), _) => Told::merchant(id),
        (_, Event::CardIssued(issued)) => Told::client(issued.client_id),
        (_, Event::CardBlocked(because) | Event::CardUnblocked(because)) => Told::client(because.client_id),
        (_, Event::PaymentAuthorized(payment)) => Told::both(payment.client_id, payment.details.merchant_id),
        (_, Event::PaymentDeclined(payment)) => match payment.client_id {
            Some(client) => Told::both(client, payment.details.merchant_id),
            None => Told::merchant(payment.details.merchant_id),
        },
        (_, Event::PaymentAuthorizationIncremented(of)) => Told::both(of.client_id, of.merchant_id),
        (_, Event::PaymentAuthorizationExpiring(of)) => Told::both(of.client_id, of.merchant_id),
        (_, Event::PaymentCaptured(capture)) => Told::both(capture.client_id, capture.merchant_id),
        (_, Event::PaymentVoided(void)) => Told::both(void.client_id, void.merchant_id),
        (_, Event::PaymentExpired(of)) => Told::both(of.client_id, of.merchant_id),
        (_, Event::PaymentRefunded(refund)) => Told::both(refund.client_id, refund.merchant_id),
        (_, Event::PaymentDisputed(dispute)) => Told::both(dispute.client_id, dispute.merchant_id),
        (_, Event::PaymentDisputeEvidenceSubmitted(of)) => Told::both(of.client_id, of.merchant_id),
        (_, Event::PaymentDisputeWon(of) | Event::PaymentDisputeLost(of)) => {
            Told::both(of.client_id, of.merchant_id)
        }
        (_, Event::PaymentDisputeReopened(of)) => Told::both(of.client_id, of.merchant_id),
        (_, Event::SettlementClosed(settlement)) => Told::merchant(settlement.merchant_id),
        (_, Event::PayoutRequested(payout)) => Told::merchant(payout.merchant_id),
        (_, Event::PayoutPaid(of) | Event::PayoutFailed(of) | Event::PayoutReturned(of)) => {
            Told::merchant(of.merchant_id)
        }
        (_, Event::JournalCorrected(of)) => match of.reversed {
            Reversed::PayoutPaid { merchant_id, .. } => Told::merchant(merchant_id),
            Reversed::DisputeLost { client_id, merchant_id, .. } => Told::both(client_id, merchant_id),
            // In the streams of clients and merchants.
            Reversed::ClientDeposited { .. }
            | Reversed::ClientWithdrawn { .. }
            | Reversed::MerchantDeposited { .. } => Told::default(),
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
        ) => Told::default(),
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
