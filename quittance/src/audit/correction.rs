//! Corrections: one operator asks for an event to be mirrored, another approves, and it is; once per event.

use chrono::NaiveDate;
use ledger_core::ids::{CorrectionId, DisputeId, EventId, StreamId};

use super::account::{self, Holder, Move, Purpose};
use super::dispute;
use super::event::Event;
use super::fields::{Fields, Malformed};
use super::ledger::{Desk, Duty, Ledger};
use super::money::Money;
use super::payout;
use super::subject::{Form, Opened};

/// The types that are corrected, each with the members of its data that its corrections repeat.
const TYPES: [(&str, &[&str]); 5] = [
    ("client.deposited", &["amount"]),
    ("client.withdrawn", &["amount"]),
    ("merchant.deposited", &["amount"]),
    ("payment.dispute_lost", &["amount", "client_id", "dispute_id", "merchant_id"]),
    ("payout.paid", &["amount", "merchant_id"]),
];

/// A correction.
#[derive(Clone, Debug)]
pub(super) struct Correction {
    /// The event that is corrected.
    pub(super) reverses: EventId,
    pub(super) effective_date: NaiveDate,
    pub(super) reason: Opened,
    pub(super) requested_by: String,
    /// Who approved it, once that is done.
    pub(super) approved_by: Option<String>,
}

/// Tells whether events of the type are corrected.
pub(super) fn is_correctable(kind: &str) -> bool {
    TYPES.iter().any(|(known, _)| *known == kind)
}

impl Ledger {
    pub(super) fn correction_requested(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = correction_id(event)?;
        let reversed = self.reversed(event)?;
        let own = &["reverses", "reverses_position", "reverses_stream", "reverses_type", "effective_date"];
        let data = event.data_of(&[own, &["reason"], repeated(&reversed)])?;
        check_repeated(&reversed, data, desk);
        desk.check.same("reverses_position", reversed.position, data.number("reverses_position")?);
        desk.check.same("reverses_stream", reversed.stream, data.id("reverses_stream")?);
        let effective_date = data.day("effective_date")?;
        let days = reversed.at.day()..=event.at.day();
        let wanted = format!("{} to {}", days.start(), days.end());
        desk.check.holds(days.contains(&effective_date), "effective_date", wanted, effective_date);
        data.object("reason")?;
        // What is written about a client is sealed with the client's key.
        let subject = match reversed.stream {
            StreamId::Client(_) => reversed.stream,
            StreamId::Payment(_) => StreamId::Client(reversed.data().id("client_id")?),
            _ => event.stream,
        };
        let reason = desk.open(event, data, ("reason", Form::Text), subject)?;
        self.check_correctable(&reversed, desk)?;
        let (reverses, requested_by) = (reversed.id, event.actor.clone());
        let correction = Correction { reverses, effective_date, reason, requested_by, approved_by: None };
        self.corrections.insert(id, correction);
        Ok(Vec::new())
    }

    pub(super) fn correction_approved(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        event.data_of(&[])?;
        let id = correction_id(event)?;
        let correction = self.corrections.get_mut(&id);
        let correction = correction.ok_or(Malformed::new("stream_id", "a correction that was requested"))?;
        let is_new = correction.approved_by.is_none();
        desk.check.holds(is_new, "correction", "one that was not approved", "one that was");
        let is_other = correction.requested_by != event.actor;
        desk.check.holds(is_other, "actor", "another key than the one that asked", "the same");
        correction.approved_by = Some(event.actor.clone());
        if let Some(reversed) = self.correctable.get(&correction.reverses) {
            self.duty = Some(Duty::Correct(id, reversed.stream));
        }
        Ok(Vec::new())
    }

    pub(super) fn journal_corrected(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let reversed = self.reversed(event)?;
        let own = &["correction_id", "dispute", "effective_date", "reverses", "reverses_type"];
        let data = event.data_of(&[own, repeated(&reversed)])?;
        check_repeated(&reversed, data, desk);
        let id: CorrectionId = data.id("correction_id")?;
        desk.check.same("stream_id", reversed.stream, event.stream);
        let approved = desk.due == Some(Duty::Correct(id, event.stream));
        desk.check.holds(approved, "correction_id", "a correction that was approved just before", id);
        let correction = self.corrections.get(&id);
        let correction =
            correction.ok_or(Malformed::new("correction_id", "a correction that was requested"))?;
        desk.check.same("reverses", correction.reverses, reversed.id);
        desk.check.same("effective_date", correction.effective_date, data.day("effective_date")?);
        self.check_correctable(&reversed, desk)?;
        self.corrected.insert(reversed.id, id);
        let amount = reversed.data().money("amount")?;
        match reversed.stream {
            StreamId::Payout(_) => self.request_payout_again(event, amount)?,
            StreamId::Payment(_) => self.open_dispute_again(event, &reversed, data, desk)?,
            StreamId::Merchant(merchant) => {
                let available = self.balance(Holder::Merchant(merchant), amount.currency, Purpose::Available);
                let fits = amount.minor <= available;
                desk.check.holds(fits, "amount", format!("{available} at most"), amount);
            }
            _ => {}
        }
        let is_dispute = matches!(reversed.stream, StreamId::Payment(_));
        desk.check.holds(
            is_dispute == data.has("dispute"),
            "dispute",
            "the one that is open again",
            "another",
        );
        Ok(account::undone(&reversed.postings))
    }

    /// Finds the event that a correction is of.
    fn reversed(&self, event: &Event) -> Result<Event, Malformed> {
        let reversed = self.correctable.get(&event.data().id("reverses")?).cloned();
        reversed.ok_or(Malformed::new("reverses", "an earlier event that can be corrected"))
    }

    /// Checks that an event was not corrected, and that what it decided still stands.
    fn check_correctable(&self, reversed: &Event, desk: &mut Desk<'_>) -> Result<(), Malformed> {
        if let Some(by) = self.corrected.get(&reversed.id) {
            desk.check.note("reverses", "an event that was not corrected", format!("one corrected by {by}"));
        }
        let (wanted, found) = match reversed.stream {
            StreamId::Payout(id) => {
                let payout = self.payouts.get(&id).ok_or(Malformed::new("reverses", "a payout's"))?;
                (payout::Status::Paid.name(), payout.status.name())
            }
            StreamId::Payment(_) => {
                let id: DisputeId = reversed.data().id("dispute_id")?;
                let dispute = self.disputes.get(&id).ok_or(Malformed::new("reverses", "a dispute's"))?;
                (dispute::Status::Lost.name(), dispute.status.name())
            }
            _ => return Ok(()),
        };
        desk.check.same("status before", wanted, found);
        Ok(())
    }

    /// A payout that was not paid after all is on its way again.
    fn request_payout_again(&mut self, event: &Event, amount: Money) -> Result<(), Malformed> {
        let StreamId::Payout(id) = event.stream else {
            return Err(Malformed::new("stream_id", "a payout's"));
        };
        let payout = self.payouts.get_mut(&id).ok_or(Malformed::new("stream_id", "a payout's"))?;
        (payout.status, payout.reason) = (payout::Status::Requested, None);
        let holder = Holder::Merchant(payout.merchant);
        self.change(holder, amount.currency, event.position).paid_out -= amount.minor;
        Ok(())
    }

    /// A dispute that was lost by mistake is open again: for its merchant, if it had said nothing and still has
    /// time to, else for an operator.
    fn open_dispute_again(
        &mut self,
        event: &Event,
        reversed: &Event,
        data: Fields<'_>,
        desk: &mut Desk<'_>,
    ) -> Result<(), Malformed> {
        let found = self.approved(event, data, desk)?;
        let resumed = data.object("dispute")?.exactly("dispute", &[&["status", "respond_by"]])?;
        let dispute = self.dispute(data, &found, event)?;
        let waits = !dispute.answered && event.at < dispute.respond_by;
        let status = if waits { dispute::Status::NeedsResponse } else { dispute::Status::UnderReview };
        desk.check.same("status", status.name(), resumed.text("status")?);
        desk.check.same("respond_by", dispute.respond_by, resumed.moment("respond_by")?);
        dispute.status = status;
        let amount = dispute.amount.minor;
        let own = found.totals.account(Purpose::Available);
        let brought = reversed.postings.iter().filter(|posting| posting.account == own);
        let brought: i128 = brought.map(account::Posting::raises).sum();
        self.totals(found.id, event.position, |totals| {
            totals.disputed += amount;
            totals.disputes_open += 1;
            totals.charged_back -= amount;
            totals.given_back_paying -= brought;
        });
        Ok(())
    }
}

/// Names the members of an event's data that its corrections repeat.
fn repeated(reversed: &Event) -> &'static [&'static str] {
    TYPES.iter().find(|(kind, _)| *kind == reversed.kind).map_or(&[][..], |(_, members)| *members)
}

/// Checks that a correction repeats what it is of.
fn check_repeated(reversed: &Event, data: Fields<'_>, desk: &mut Desk<'_>) {
    let found = data.text("reverses_type").unwrap_or_default();
    desk.check.same("reverses_type", reversed.kind.as_str(), found);
    for member in repeated(reversed) {
        let same = data.0.get(*member) == reversed.data().0.get(*member);
        desk.check.holds(same, member, "that of the event that is corrected", "another");
    }
}

fn correction_id(event: &Event) -> Result<CorrectionId, Malformed> {
    match event.stream {
        StreamId::Correction(id) => Ok(id),
        _ => Err(Malformed::new("stream_id", "a correction's")),
    }
}
