//! Disputes: opened, answered with evidence, won or lost, opened once more.

use ledger_core::ids::{DisputeId, PaymentId, StreamId};

use super::account::{Move, Purpose};
use super::event::Event;
use super::fields::{Fields, Malformed};
use super::ledger::{Desk, Ledger};
use super::moment::Moment;
use super::money::Money;
use super::payment::{Found, minor};
use super::subject::{Form, Opened};

/// How long a merchant has to respond, in days.
const RESPONSE_DAYS: i64 = 14;

/// The machine's reason for losing a dispute that nobody responded to.
const NO_RESPONSE: &str = "no_response";

/// A dispute of a payment.
#[derive(Clone, Debug)]
pub(super) struct Dispute {
    pub(super) payment: PaymentId,
    pub(super) amount: Money,
    pub(super) reason: Opened,
    pub(super) status: Status,
    /// Until then evidence is taken; without any the dispute is lost.
    pub(super) respond_by: Moment,
    /// What the merchant said last.
    pub(super) evidence: Opened,
    /// Whether the merchant has said something since it was opened the last time.
    pub(super) answered: bool,
    pub(super) reopened: bool,
    pub(super) created_at: Moment,
    pub(super) updated_at: Moment,
    pub(super) position: u64,
}

/// Where a dispute stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    NeedsResponse,
    UnderReview,
    Won,
    Lost,
}

impl Status {
    /// The name in the read model.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NeedsResponse => "needs_response",
            Self::UnderReview => "under_review",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }

    const fn is_open(self) -> bool {
        matches!(self, Self::NeedsResponse | Self::UnderReview)
    }
}

impl Dispute {
    /// Tells whether the merchant's time to respond ran out in silence.
    fn is_unanswered(&self, at: Moment) -> bool {
        self.status == Status::NeedsResponse && at >= self.respond_by
    }
}

impl Ledger {
    pub(super) fn payment_disputed(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event
            .data_of(&[&["merchant_id", "client_id", "dispute_id", "amount"], &["reason", "respond_by"]])?;
        let found = self.approved(event, data, desk)?;
        let id: DisputeId = data.id("dispute_id")?;
        let amount = minor(data, "amount", found.currency)?;
        data.object("reason")?;
        let reason = desk.open(event, data, ("reason", Form::Text), StreamId::Client(found.totals.client))?;
        let refundable = found.totals.refundable();
        let check = &mut desk.check;
        check.holds((1..=refundable).contains(&amount), "amount", format!("1 to {refundable}"), amount);
        check.holds(!self.disputes.contains_key(&id), "dispute_id", "an id of its own", id);
        let dispute = Dispute {
            payment: found.id,
            amount: found.money(amount),
            reason,
            status: Status::NeedsResponse,
            respond_by: respond_by(event, data, desk)?,
            evidence: None,
            answered: false,
            reopened: false,
            created_at: event.at,
            updated_at: event.at,
            position: event.position,
        };
        self.disputes.insert(id, dispute);
        Ok(self.reserve(&found, amount, event))
    }

    pub(super) fn payment_dispute_evidence_submitted(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[&["merchant_id", "client_id", "dispute_id", "text"]])?;
        let found = self.approved(event, data, desk)?;
        data.object("text")?;
        let text = desk.open(event, data, ("text", Form::Text), StreamId::Client(found.totals.client))?;
        let dispute = self.dispute(data, &found, event)?;
        check_open(dispute.status, desk);
        let in_time = event.at < dispute.respond_by;
        desk.check.holds(in_time, "recorded_at", format!("before {}", dispute.respond_by), event.at);
        dispute.evidence = text;
        dispute.answered = true;
        dispute.status = Status::UnderReview;
        Ok(Vec::new())
    }

    pub(super) fn payment_dispute_won(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let (found, before) = self.decide_dispute(event, Status::Won, desk)?;
        let data = event.data();
        desk.check.holds(!data.has("reason"), "reason", "null", "something else");
        let silent = before.is_unanswered(event.at);
        desk.check.holds(!silent, "dispute", "one with an answer, or time for it", "one lost in silence");
        let amount = before.amount.minor;
        self.close_dispute(&found, amount, event, 0);
        let [debit, credit] = [Purpose::Reserved, Purpose::Available].map(|at| found.account(at));
        Ok(vec![Move { debit, credit, money: found.money(amount) }])
    }

    pub(super) fn payment_dispute_lost(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let (found, before) = self.decide_dispute(event, Status::Lost, desk)?;
        let reason = event.data().maybe_text("reason")?;
        let fits = reason.is_none_or(|reason| reason == NO_RESPONSE && before.is_unanswered(event.at));
        desk.check.holds(fits, "reason", "null, or no_response once that is so", "otherwise");
        let amount = before.amount.minor;
        let (credit, exchanged) = found.totals.pay_back(amount);
        self.close_dispute(&found, amount, event, amount);
        let paid = Move { debit: found.account(Purpose::Reserved), credit, money: found.money(amount) };
        Ok([paid].into_iter().chain(exchanged).collect())
    }

    pub(super) fn payment_dispute_reopened(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event
            .data_of(&[&["merchant_id", "client_id", "dispute_id", "amount"], &["reason", "respond_by"]])?;
        let found = self.approved(event, data, desk)?;
        desk.open(event, data, ("reason", Form::Text), StreamId::Client(found.totals.client))?;
        let respond_by = respond_by(event, data, desk)?;
        let amount = minor(data, "amount", found.currency)?;
        let refundable = found.totals.refundable();
        let dispute = self.dispute(data, &found, event)?;
        let check = &mut desk.check;
        check.same("status before", Status::Won.name(), dispute.status.name());
        check.holds(!dispute.reopened, "dispute", "one that was not opened again before", "one that was");
        check.same("amount", dispute.amount.minor, amount);
        check.holds(amount <= refundable, "amount", format!("{refundable} at most"), amount);
        dispute.status = Status::NeedsResponse;
        dispute.answered = false;
        dispute.reopened = true;
        dispute.respond_by = respond_by;
        Ok(self.reserve(&found, amount, event))
    }

    /// Reserves a disputed amount of what is available to the merchant, below zero if need be.
    fn reserve(&mut self, found: &Found, amount: i128, event: &Event) -> Vec<Move> {
        self.totals(found.id, event.position, |totals| {
            totals.disputed += amount;
            totals.disputes_open += 1;
        });
        let [debit, credit] = [Purpose::Available, Purpose::Reserved].map(|at| found.account(at));
        vec![Move { debit, credit, money: found.money(amount) }]
    }

    /// Sets a decision about an open dispute: its payment, and the dispute as it was before.
    fn decide_dispute(
        &mut self,
        event: &Event,
        status: Status,
        desk: &mut Desk<'_>,
    ) -> Result<(Found, Dispute), Malformed> {
        let data = event.data_of(&[&["merchant_id", "client_id", "dispute_id", "amount", "reason"]])?;
        let found = self.approved(event, data, desk)?;
        let amount = minor(data, "amount", found.currency)?;
        let dispute = self.dispute(data, &found, event)?;
        check_open(dispute.status, desk);
        desk.check.same("amount", dispute.amount.minor, amount);
        let before = dispute.clone();
        dispute.status = status;
        Ok((found, before))
    }

    /// Ends a dispute in its payment's totals.
    fn close_dispute(&mut self, found: &Found, amount: i128, event: &Event, charged_back: i128) {
        self.totals(found.id, event.position, |totals| {
            if charged_back > 0 {
                totals.given_back_paying += totals.leg_back(charged_back).minor;
            }
            totals.disputed -= amount;
            totals.disputes_open -= 1;
            totals.charged_back += charged_back;
        });
    }

    /// Finds the dispute of an event, and counts the event in it.
    pub(super) fn dispute(
        &mut self,
        data: Fields<'_>,
        found: &Found,
        event: &Event,
    ) -> Result<&mut Dispute, Malformed> {
        let dispute = self.disputes.get_mut(&data.id("dispute_id")?);
        let dispute = dispute.filter(|dispute| dispute.payment == found.id);
        let dispute = dispute.ok_or(Malformed::new("dispute_id", "a dispute of the payment"))?;
        (dispute.updated_at, dispute.position) = (event.at, event.position);
        Ok(dispute)
    }
}

fn check_open(status: Status, desk: &mut Desk<'_>) {
    desk.check.holds(status.is_open(), "status before", "needs_response or under_review", status.name());
}

/// Reads until when evidence is taken, and checks how long that is.
fn respond_by(event: &Event, data: Fields<'_>, desk: &mut Desk<'_>) -> Result<Moment, Malformed> {
    let respond_by = data.moment("respond_by")?;
    desk.check.same("respond_by", event.at.plus_days(RESPONSE_DAYS), respond_by);
    Ok(respond_by)
}
