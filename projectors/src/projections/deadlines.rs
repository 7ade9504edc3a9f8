//! `deadlines`: what is due, and when: a hint for the schedulers, whose commands are decided again.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::event::{
    DisputeResumed, Event, JournalCorrected, PaymentAuthorized, PaymentCaptured, ResumedStatus, Reversed,
};
use ledger_core::ids::{ClientId, DisputeId, MerchantId, PaymentId, StreamId};
use ledger_core::payment::WARNING_DAYS;
use ledger_core::time::Day;
use ledger_core::{Currency, Envelope, Timestamp};
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

use crate::projection::{ApplyError, Decoded, Projection, expect_rows};

/// It is to be told that an authorization has a day left.
const AUTHORIZATION_EXPIRING: &str = "authorization_expiring";
/// An authorization is over.
const AUTHORIZATION_EXPIRY: &str = "authorization_expiry";
/// The time to respond to a dispute is over.
const DISPUTE_RESPONSE: &str = "dispute_response";
/// A day's captures can be settled.
const SETTLEMENT: &str = "settlement";

/// The projection.
pub(super) struct Deadlines;

#[async_trait]
impl Projection for Deadlines {
    fn model(&self) -> ReadModel {
        read_model::DEADLINES
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        match (event.stream_id(), event.event()) {
            (_, Event::PaymentDeclined(_) | Event::PaymentRefunded(_)) => Vec::new(),
            (StreamId::Payment(id), Event::PaymentCaptured(capture)) => {
                vec![id.to_string(), capture.merchant_id.to_string()]
            }
            (StreamId::Payment(id), _) => vec![id.to_string()],
            (_, Event::SettlementClosed(settlement)) => vec![settlement.merchant_id.to_string()],
            _ => Vec::new(),
        }
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        let mut changes = Changes::of(events);
        if !changes.left.is_empty() {
            changes.end(take_from(tables, &changes.left).await?);
        }
        if !changes.gone.is_empty() {
            delete(tables, &changes.gone).await?;
        }
        if !changes.settled.is_empty() {
            delete_settled(tables, &changes.settled).await?;
        }
        if !changes.made.is_empty() {
            insert(tables, &changes.made).await?;
        }
        Ok(())
    }
}

/// A kind and a subject.
type Key = (&'static str, String);

/// A deadline to come.
#[derive(PartialEq, Eq, Debug)]
struct Row {
    due_at: DateTime<Utc>,
    merchant: MerchantId,
    of: Subject,
}

/// What a deadline is of.
#[derive(PartialEq, Eq, Debug)]
enum Subject {
    Authorization { payment: PaymentId, client: ClientId, capturable: Option<i64> },
    Dispute { payment: PaymentId, client: ClientId },
    Settlement { currency: Currency, day: Day },
}

impl Row {
    const fn payment(&self) -> Option<PaymentId> {
        match self.of {
            Subject::Authorization { payment, .. } | Subject::Dispute { payment, .. } => Some(payment),
            Subject::Settlement { .. } => None,
        }
    }

    const fn client(&self) -> Option<ClientId> {
        match self.of {
            Subject::Authorization { client, .. } | Subject::Dispute { client, .. } => Some(client),
            Subject::Settlement { .. } => None,
        }
    }

    const fn settles(&self) -> Option<(Currency, Day)> {
        match self.of {
            Subject::Settlement { currency, day } => Some((currency, day)),
            Subject::Authorization { .. } | Subject::Dispute { .. } => None,
        }
    }

    const fn capturable(&self) -> Option<i64> {
        match self.of {
            Subject::Authorization { capturable, .. } => capturable,
            Subject::Dispute { .. } | Subject::Settlement { .. } => None,
        }
    }
}

/// What a batch changes. Rows that are made and gone within it are never written.
#[derive(Default)]
struct Changes {
    made: BTreeMap<Key, Row>,
    /// Rows of earlier batches that go, if they are there; before those are made that were made.
    gone: BTreeSet<Key>,
    /// What has come to or gone from the capturable rest of earlier batches' payments.
    left: BTreeMap<PaymentId, i64>,
    /// Settled days of earlier batches, up to and with this one.
    settled: BTreeMap<(MerchantId, Currency), Day>,
}

impl Changes {
    fn of(events: &[&Decoded]) -> Self {
        let mut changes = Self::default();
        events.iter().for_each(|event| changes.note(event));
        changes
    }

    fn note(&mut self, event: &Decoded) {
        let StreamId::Payment(payment) = event.envelope.stream_id() else {
            if let Event::SettlementClosed(of) = event.envelope.event() {
                self.settle(of.merchant_id, of.currency, of.through_day);
            }
            return;
        };
        match event.envelope.event() {
            Event::PaymentAuthorized(of) => self.authorize(payment, of),
            Event::PaymentAuthorizationIncremented(of) => self.leave(payment, of.amount.amount),
            Event::PaymentAuthorizationExpiring(_) => {
                self.remove((AUTHORIZATION_EXPIRING, payment.to_string()));
            }
            Event::PaymentCaptured(of) => {
                self.leave(payment, -of.amount.amount - of.released.amount);
                self.await_settlement(of, event.envelope.recorded_at.day());
            }
            Event::PaymentVoided(of) => self.leave(payment, -of.amount.amount),
            Event::PaymentExpired(of) => self.leave(payment, -of.amount.amount),
            Event::PaymentDisputed(of) => {
                let row = dispute(payment, of.client_id, of.merchant_id, of.respond_by);
                self.made.insert(response_to(of.dispute_id), row);
            }
            Event::PaymentDisputeReopened(of) => {
                let row = dispute(payment, of.client_id, of.merchant_id, of.respond_by);
                self.made.insert(response_to(of.dispute_id), row);
            }
            Event::JournalCorrected(of) => self.resume(payment, of),
            Event::PaymentDisputeEvidenceSubmitted(of) => self.remove(response_to(of.dispute_id)),
            Event::PaymentDisputeWon(of) | Event::PaymentDisputeLost(of) => {
                self.remove(response_to(of.dispute_id));
            }
            _ => {}
        }
    }

    /// A dispute that was lost by mistake waits for its merchant again, unless only an operator ends it.
    fn resume(&mut self, payment: PaymentId, of: &JournalCorrected) {
        if let Reversed::DisputeLost { merchant_id, client_id, dispute_id, .. } = of.reversed
            && let Some(DisputeResumed { status: ResumedStatus::NeedsResponse, respond_by }) = of.dispute
        {
            self.made.insert(response_to(dispute_id), dispute(payment, client_id, merchant_id, respond_by));
        }
    }

    fn authorize(&mut self, payment: PaymentId, of: &PaymentAuthorized) {
        let row = |due_at: DateTime<Utc>, capturable| Row {
            due_at,
            merchant: of.details.merchant_id,
            of: Subject::Authorization { payment, client: of.client_id, capturable },
        };
        let [expiring, expiry] = authorization(payment);
        let warning = of.expires_at.plus_micros(-i64::from(WARNING_DAYS) * DAY_MICROS);
        self.made.insert(expiring, row(warning.get(), None));
        self.made.insert(expiry, row(of.expires_at.get(), Some(of.details.amount.amount)));
    }

    /// Leaves more or less to capture; where nothing is left, nothing expires.
    fn leave(&mut self, payment: PaymentId, more: i64) {
        let [expiring, expiry] = authorization(payment);
        let Some(Row { of: Subject::Authorization { capturable: Some(capturable), .. }, .. }) =
            self.made.get_mut(&expiry)
        else {
            let left = self.left.entry(payment).or_default();
            *left = left.saturating_add(more);
            return;
        };
        *capturable = capturable.saturating_add(more);
        if *capturable <= 0 {
            self.made.remove(&expiring);
            self.made.remove(&expiry);
        }
    }

    /// Removes the deadlines of earlier batches' payments that nothing is left of.
    fn end(&mut self, payments: Vec<PaymentId>) {
        self.gone.extend(payments.into_iter().flat_map(authorization));
    }

    /// A day's captures wait for the day, and for the end of their own: what a merchant gets on the same day is
    /// settled together.
    fn await_settlement(&mut self, capture: &PaymentCaptured, today: Day) {
        let (merchant, currency, day) = (capture.merchant_id, capture.amount.currency, capture.settles_on);
        let due_at = start_of(day.max(today.plus(1)));
        let row = self.made.entry((SETTLEMENT, format!("{merchant}:{currency}:{day}"))).or_insert(Row {
            due_at,
            merchant,
            of: Subject::Settlement { currency, day },
        });
        row.due_at = row.due_at.min(due_at);
    }

    fn settle(&mut self, merchant: MerchantId, currency: Currency, through: Day) {
        let is_settled = |row: &Row| {
            row.merchant == merchant
                && row.settles().is_some_and(|(of, day)| of == currency && day <= through)
        };
        self.made.retain(|_, row| !is_settled(row));
        let last = self.settled.entry((merchant, currency)).or_insert(through);
        *last = through.max(*last);
    }

    fn remove(&mut self, key: Key) {
        self.made.remove(&key);
        self.gone.insert(key);
    }
}

const DAY_MICROS: i64 = 86_400_000_000;

fn authorization(payment: PaymentId) -> [Key; 2] {
    [AUTHORIZATION_EXPIRING, AUTHORIZATION_EXPIRY].map(|kind| (kind, payment.to_string()))
}

fn response_to(dispute: DisputeId) -> Key {
    (DISPUTE_RESPONSE, dispute.to_string())
}

fn dispute(payment: PaymentId, client: ClientId, merchant: MerchantId, respond_by: Timestamp) -> Row {
    Row { due_at: respond_by.get(), merchant, of: Subject::Dispute { payment, client } }
}

/// Returns the first moment of a day.
fn start_of(day: Day) -> DateTime<Utc> {
    format!("{day}T00:00:00Z").parse().map_or(DateTime::<Utc>::MAX_UTC, Timestamp::get)
}

/// Adds to what is left of payments, and returns those that nothing is left of.
async fn take_from(
    tables: &mut PgConnection,
    left: &BTreeMap<PaymentId, i64>,
) -> Result<Vec<PaymentId>, ApplyError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "UPDATE deadlines SET capturable = capturable + new.more
         FROM unnest($2::text[], $3::bigint[]) AS new (subject, more)
         WHERE deadlines.kind = $1 AND deadlines.subject = new.subject
         RETURNING deadlines.subject, capturable",
    )
    .bind(AUTHORIZATION_EXPIRY)
    .bind(left.keys().map(PaymentId::to_string).collect::<Vec<_>>())
    .bind(left.values().copied().collect::<Vec<_>>())
    .fetch_all(tables)
    .await?;
    expect_rows("deadlines", left.len(), rows.len() as u64)?;
    let ended = rows.into_iter().filter(|(_, capturable)| *capturable <= 0);
    Ok(ended.filter_map(|(payment, _)| payment.parse().ok()).collect())
}

async fn delete(tables: &mut PgConnection, gone: &BTreeSet<Key>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM deadlines USING unnest($1::text[], $2::text[]) AS gone (kind, subject)
         WHERE deadlines.kind = gone.kind AND deadlines.subject = gone.subject",
    )
    .bind(gone.iter().map(|(kind, _)| *kind).collect::<Vec<_>>())
    .bind(gone.iter().map(|(_, subject)| subject.as_str()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn delete_settled(
    tables: &mut PgConnection,
    settled: &BTreeMap<(MerchantId, Currency), Day>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM deadlines USING unnest($1::text[], $2::text[], $3::text[]) AS settled (merchant_id, currency, day)
         WHERE deadlines.kind = 'settlement' AND deadlines.merchant_id = settled.merchant_id
               AND deadlines.currency = settled.currency AND deadlines.settles_on <= settled.day::date",
    )
    .bind(settled.keys().map(|(merchant, _)| merchant.to_string()).collect::<Vec<_>>())
    .bind(settled.keys().map(|(_, currency)| currency.to_string()).collect::<Vec<_>>())
    .bind(settled.values().map(Day::to_string).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

/// Only a settlement may be there already: it is due when its first capture is.
async fn insert(tables: &mut PgConnection, made: &BTreeMap<Key, Row>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO deadlines
             (kind, subject, due_at, payment_id, client_id, merchant_id, currency, settles_on, capturable)
         SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::timestamptz[]), unnest($4::text[]),
                unnest($5::text[]), unnest($6::text[]), unnest($7::text[]), unnest($8::text[])::date,
                unnest($9::bigint[])
         ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at
         WHERE deadlines.kind = 'settlement' AND excluded.due_at < deadlines.due_at",
    )
    .bind(made.keys().map(|(kind, _)| *kind).collect::<Vec<_>>())
    .bind(made.keys().map(|(_, subject)| subject.as_str()).collect::<Vec<_>>())
    .bind(made.values().map(|row| row.due_at).collect::<Vec<_>>())
    .bind(made.values().map(|row| row.payment().map(String::from)).collect::<Vec<_>>())
    .bind(made.values().map(|row| row.client().map(String::from)).collect::<Vec<_>>())
    .bind(made.values().map(|row| row.merchant.to_string()).collect::<Vec<_>>())
    .bind(made.values().map(|row| row.settles().map(|(of, _)| of.to_string())).collect::<Vec<_>>())
    .bind(made.values().map(|row| row.settles().map(|(_, day)| day.to_string())).collect::<Vec<_>>())
    .bind(made.values().map(Row::capturable).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ledger_core::Money;
    use ledger_core::card_number::Expiry;
    use ledger_core::event::{
        CaptureMode, DisputeDecided, EvidenceSubmitted, PaymentCard, PaymentDetails, PaymentDisputed,
        PaymentExpired, PaymentExpiring, PaymentIncremented, SettlementClosed,
    };
    use ledger_core::ids::{CorrectionId, EventId, SettlementId};
    use ledger_core::journal::JournalEntry;
    use ledger_core::personal::{Reason, Sealed};
    use sqlx::types::Uuid;

    use super::*;
    use crate::testing::{client, eur, event, merchant, payment};

    const NOW: &str = "2026-11-24T08:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn day(text: &str) -> Day {
        at(&format!("{text}T00:00:00Z")).day()
    }

    fn on(stream: StreamId, what: Event) -> Decoded {
        event(1, stream, what, JournalEntry::none())
    }

    fn authorized(n: u128, amount: i64) -> Decoded {
        let card = PaymentCard {
            id: None,
            brand: None,
            last4: "4242".to_owned(),
            expiry: Expiry { year: 2030, month: 1 },
        };
        let details = PaymentDetails {
            merchant_id: merchant(1),
            amount: eur(amount),
            card,
            capture: CaptureMode::Manual,
            reference: None,
            description: None,
            metadata: None,
        };
        let (client_id, expires_at) = (client(1), at(NOW).plus_days(7));
        on(
            payment(n),
            Event::PaymentAuthorized(PaymentAuthorized { client_id, expires_at, funding: None, details }),
        )
    }

    fn captured(n: u128, amount: i64, released: i64, settles_on: &str) -> Decoded {
        let capture = PaymentCaptured {
            merchant_id: merchant(1),
            client_id: client(1),
            amount: eur(amount),
            fee: eur(0),
            fee_version: 1,
            is_final: released > 0,
            released: eur(released),
            settles_on: day(settles_on),
        };
        on(payment(n), Event::PaymentCaptured(capture))
    }

    fn settled(through: &str) -> Decoded {
        let closed = SettlementClosed {
            merchant_id: merchant(1),
            currency: eur(0).currency,
            through_day: day(through),
            count: 1,
            gross: eur(1),
            fees: eur(0),
            absorbed: eur(0),
            amount: eur(1),
        };
        on(StreamId::Settlement(SettlementId::new(Uuid::from_u128(1))), Event::SettlementClosed(closed))
    }

    fn changes(events: &[Decoded]) -> Changes {
        Changes::of(&events.iter().collect::<Vec<_>>())
    }

    /// What is due, and when.
    fn due(changes: &Changes) -> Vec<(&'static str, String)> {
        let moment = |row: &Row| Timestamp::new(row.due_at).to_string();
        changes.made.iter().map(|((kind, _), row)| (*kind, moment(row))).collect()
    }

    #[test]
    fn an_authorization_is_told_of_a_day_before_its_end() {
        let changes = changes(&[authorized(1, 100)]);
        let expected = [
            (AUTHORIZATION_EXPIRING, "2026-11-30T08:00:00.000000Z".to_owned()),
            (AUTHORIZATION_EXPIRY, "2026-12-01T08:00:00.000000Z".to_owned()),
        ];
        assert_eq!(due(&changes), expected);
        assert!(changes.gone.is_empty() && changes.left.is_empty());
    }

    #[test]
    fn nothing_expires_that_nothing_is_left_of() {
        let kinds =
            |events: &[Decoded]| changes(events).made.into_keys().map(|(kind, _)| kind).collect::<Vec<_>>();
        let part = captured(1, 60, 0, "2026-11-26");
        assert_eq!(
            kinds(&[authorized(1, 100), part]),
            [AUTHORIZATION_EXPIRING, AUTHORIZATION_EXPIRY, SETTLEMENT]
        );
        assert_eq!(kinds(&[authorized(1, 100), captured(1, 60, 40, "2026-11-26")]), [SETTLEMENT]);
        let more = PaymentIncremented { merchant_id: merchant(1), client_id: client(1), amount: eur(5) };
        let events = [
            authorized(1, 100),
            on(payment(1), Event::PaymentAuthorizationIncremented(more)),
            captured(1, 100, 0, "2026-11-26"),
        ];
        assert_eq!(changes(&events).made[&authorization(payment_id(1))[1]].capturable(), Some(5));
    }

    fn payment_id(n: u128) -> PaymentId {
        PaymentId::new(Uuid::from_u128(n))
    }

    #[test]
    fn of_earlier_payments_the_difference_is_noted() {
        let warned = PaymentExpiring {
            merchant_id: merchant(1),
            client_id: client(1),
            expires_at: at(NOW),
            capturable: eur(40),
        };
        let expired = PaymentExpired { merchant_id: merchant(1), client_id: client(1), amount: eur(40) };
        let mut changes = changes(&[
            captured(1, 60, 0, "2026-11-26"),
            on(payment(1), Event::PaymentAuthorizationExpiring(warned)),
            on(payment(1), Event::PaymentExpired(expired)),
        ]);
        assert_eq!(changes.left, BTreeMap::from([(payment_id(1), -100)]));
        let [expiring, expiry] = authorization(payment_id(1));
        assert_eq!(changes.gone, BTreeSet::from([expiring.clone()]));
        changes.end(vec![payment_id(1)]);
        assert_eq!(changes.gone, BTreeSet::from([expiring, expiry]));
    }

    #[test]
    fn a_settlement_waits_for_its_day_and_for_the_end_of_the_captures_own() {
        let today = changes(&[captured(1, 1, 0, "2026-11-24")]);
        assert_eq!(due(&today), [(SETTLEMENT, "2026-11-25T00:00:00.000000Z".to_owned())]);
        let two = [captured(1, 1, 0, "2026-11-26"), captured(2, 1, 0, "2026-11-26")];
        assert_eq!(due(&changes(&two)), [(SETTLEMENT, "2026-11-26T00:00:00.000000Z".to_owned())]);
    }

    #[test]
    fn a_settlement_ends_the_days_that_it_reaches() {
        let events = [
            captured(1, 1, 0, "2026-11-24"),
            captured(2, 1, 0, "2026-11-26"),
            settled("2026-11-25"),
            captured(3, 1, 0, "2026-11-25"),
        ];
        let changes = changes(&events);
        assert_eq!(changes.settled.values().collect::<Vec<_>>(), [&day("2026-11-25")]);
        let days: Vec<String> =
            changes.made.keys().map(|(_, subject)| subject.rsplit(':').next().unwrap().to_owned()).collect();
        assert_eq!(days, ["2026-11-25", "2026-11-26"]);
    }

    #[test]
    fn a_dispute_waits_until_it_is_responded_to() {
        let id = DisputeId::new(Uuid::from_u128(1));
        let opened = PaymentDisputed {
            merchant_id: merchant(1),
            client_id: client(1),
            dispute_id: id,
            amount: Money::new(5, eur(0).currency),
            reason: Reason::Machine("fraud".to_owned()),
            respond_by: at(NOW).plus_days(14),
        };
        let opened = on(payment(1), Event::PaymentDisputed(opened));
        let text = Sealed { subject: payment(1), boxed: String::new() };
        let (merchant_id, client_id) = (merchant(1), client(1));
        let evidence = EvidenceSubmitted { merchant_id, client_id, dispute_id: id, text };
        let evidence = on(payment(1), Event::PaymentDisputeEvidenceSubmitted(evidence));
        let asked = changes(std::slice::from_ref(&opened));
        assert_eq!(due(&asked), [(DISPUTE_RESPONSE, "2026-12-08T08:00:00.000000Z".to_owned())]);
        let answered = changes(&[opened, evidence]);
        assert!(answered.made.is_empty());
        assert_eq!(answered.gone, BTreeSet::from([response_to(id)]));
    }

    #[test]
    fn a_dispute_that_was_lost_by_mistake_waits_again_while_there_is_time() {
        let (id, respond_by) = (DisputeId::new(Uuid::from_u128(1)), at(NOW).plus_days(14));
        let (merchant_id, client_id, amount) = (merchant(1), client(1), eur(5));
        let lost = DisputeDecided { merchant_id, client_id, dispute_id: id, amount, reason: None };
        let corrected = |status| {
            let of = JournalCorrected {
                correction_id: CorrectionId::new(Uuid::from_u128(1)),
                reverses: EventId::new(Uuid::from_u128(2)),
                reversed: Reversed::DisputeLost { merchant_id, client_id, dispute_id: id, amount },
                effective_date: day("2026-11-24"),
                dispute: Some(DisputeResumed { status, respond_by }),
            };
            on(payment(1), Event::JournalCorrected(of))
        };
        let lost = on(payment(1), Event::PaymentDisputeLost(lost));
        let in_time = changes(&[lost.clone(), corrected(ResumedStatus::NeedsResponse)]);
        assert_eq!(due(&in_time), [(DISPUTE_RESPONSE, "2026-12-08T08:00:00.000000Z".to_owned())]);
        assert_eq!(in_time.gone, BTreeSet::from([response_to(id)]));
        assert!(changes(&[lost, corrected(ResumedStatus::UnderReview)]).made.is_empty());
    }
}
