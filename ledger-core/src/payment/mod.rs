//! Payments: authorized or declined, captured, voided or expired, refunded, disputed.
//!
//! ```text
//!             ┌─ declined
//! authorize ──┤              ┌─ increment …
//!             └─ authorized ─┼─ capture (all or part, once or often) ──┬─ refund (all or part) …
//!                            └─ void or expire (what is not captured)  └─ dispute ─┬─ won ── reopened …
//!                                                                                  └─ lost
//! ```
//!
//! The state is amounts; the status is a function of them. Always 0 ≤ captured + released ≤ authorized
//! and refunded + disputed + charged back ≤ captured.

mod authorize;
mod capture;
mod dispute;
mod purse;
mod refund;
mod release;

pub use authorize::{Payer, authorize, increment};
pub use capture::capture;
pub use dispute::{
    Dispute, DisputeStatus, lose, lose_unanswered, open_dispute, reopen, submit_evidence, win,
};
pub use purse::Purse;
pub use refund::refund;
pub use release::{expire, void, warn_of_expiry};

use crate::balance::add;
use crate::envelope::Envelope;
use crate::event::{DeclineCode, Event, PaymentAuthorized, PaymentDeclined, PaymentDetails, Reversed};
use crate::ids::{ClientId, EventId, MerchantId, PaymentId, StreamId};
use crate::money::{Currency, Money};
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;
use crate::time::Timestamp;

/// How long an authorization can be captured, in days, unless its card's brand has another time.
pub const AUTHORIZATION_DAYS: u32 = 7;

/// How long before its end it is told that an authorization expires, in days.
pub const WARNING_DAYS: u32 = 1;

/// How long a merchant has to respond to a dispute, in days.
pub const RESPONSE_DAYS: u32 = 14;

/// A payment, folded from its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    /// The payment.
    pub id: PaymentId,
    /// The event that began it: its personal fields are bound to it.
    pub origin: EventId,
    /// What was asked.
    pub details: PaymentDetails,
    /// What became of it.
    pub outcome: Outcome,
    /// Where the stream stands.
    pub stamp: Stamp,
}

/// What became of a payment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing was held, nothing will.
    Declined {
        /// The holder, if the card is known.
        client_id: Option<ClientId>,
        /// Why.
        code: DeclineCode,
    },
    /// The amount was held; the rest follows from the amounts.
    Approved(Amounts),
}

/// The running totals of an approved payment, in minor units of its currency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Amounts {
    /// Whose money it is, and in which currency.
    pub purse: Purse,
    /// From then on nothing more can be captured.
    pub expires_at: Timestamp,
    /// Whether it was told that the end is near.
    pub warned: bool,
    /// Whether the rest was released because its time was over.
    pub expired: bool,
    /// Held in all.
    pub authorized: i64,
    /// Captured in all.
    pub captured: i64,
    /// Given back without capture.
    pub released: i64,
    /// Refunded in all.
    pub refunded: i64,
    /// Lost in disputes.
    pub charged_back: i64,
    /// Fees taken.
    pub fee_taken: i64,
    /// Fees given back.
    pub fee_returned: i64,
    /// What refunds have brought back in the currency that pays.
    pub refunded_to_purse: i64,
    /// What has gone back to the client in the currency that pays, by refunds and lost disputes.
    pub given_back_to_purse: i64,
    /// Every dispute, the oldest first.
    pub disputes: Vec<Dispute>,
}

impl Amounts {
    fn authorized(purse: Purse, expires_at: Timestamp, authorized: i64) -> Self {
        Self {
            purse,
            expires_at,
            warned: false,
            expired: false,
            authorized,
            captured: 0,
            released: 0,
            refunded: 0,
            charged_back: 0,
            fee_taken: 0,
            fee_returned: 0,
            refunded_to_purse: 0,
            given_back_to_purse: 0,
            disputes: Vec::new(),
        }
    }

    /// Returns what can still be captured, expiry aside.
    pub const fn capturable(&self) -> i64 {
        self.authorized.saturating_sub(self.captured).saturating_sub(self.released)
    }

    /// Returns what open disputes hold.
    pub fn disputed(&self) -> i64 {
        let open = self.disputes.iter().filter(|dispute| dispute.status.is_open());
        open.fold(0, |sum, dispute| sum.saturating_add(dispute.amount))
    }

    /// Returns what can still be refunded or disputed.
    pub fn refundable(&self) -> i64 {
        self.captured.saturating_sub(self.given_back()).saturating_sub(self.disputed())
    }

    /// Returns what has gone back to the client, by refunds and lost disputes.
    pub const fn given_back(&self) -> i64 {
        self.refunded.saturating_add(self.charged_back)
    }

    /// Returns what giving `more` back brings the client in the currency that pays: what all of it costs, less
    /// what went back before. Without corrections that is the difference of f over the running total; after
    /// one it still lets no order of parts bring the client more than the whole.
    fn leg_back(&self, more: i64) -> Money {
        let total = self.purse.cost(self.given_back().saturating_add(more)).unwrap_or(i64::MAX);
        Money::new(total.saturating_sub(self.given_back_to_purse).max(0), self.purse.pays_in())
    }

    /// Tells where an approved payment stands: the first status that holds.
    pub fn status(&self) -> Status {
        let given_back = self.given_back();
        match (self.captured > 0, self.capturable() > 0) {
            _ if self.disputed() > 0 => Status::Disputed,
            (true, false) if given_back >= self.captured => Status::Refunded,
            _ if given_back > 0 => Status::PartiallyRefunded,
            (true, false) => Status::Captured,
            (true, true) => Status::PartiallyCaptured,
            (false, false) if self.expired => Status::Expired,
            (false, false) => Status::Voided,
            (false, true) => Status::Authorized,
        }
    }

    /// Counts what keeps the client from being closed: an authorization that can be captured, open disputes.
    fn open(&self) -> usize {
        let disputes = self.disputes.iter().filter(|dispute| dispute.status.is_open()).count();
        disputes + usize::from(self.capturable() > 0)
    }

    /// Folds a later event of the payment's stream into the totals.
    fn evolve(&mut self, envelope: &Envelope) {
        match envelope.event() {
            Event::PaymentAuthorizationIncremented(event) => add(&mut self.authorized, event.amount.amount),
            Event::PaymentAuthorizationExpiring(_) => self.warned = true,
            Event::PaymentCaptured(event) => {
                add(&mut self.captured, event.amount.amount);
                add(&mut self.released, event.released.amount);
                add(&mut self.fee_taken, event.fee.amount);
            }
            Event::PaymentVoided(event) => add(&mut self.released, event.amount.amount),
            Event::PaymentExpired(event) => {
                add(&mut self.released, event.amount.amount);
                self.expired = true;
            }
            Event::PaymentRefunded(event) => {
                let to_purse = self.purse.brought_by(&envelope.draft.postings);
                add(&mut self.refunded_to_purse, to_purse);
                add(&mut self.given_back_to_purse, to_purse);
                add(&mut self.refunded, event.amount.amount);
                add(&mut self.fee_returned, event.fee_returned.amount);
            }
            Event::PaymentDisputed(event) => self.disputes.push(Dispute::open(event, envelope)),
            Event::PaymentDisputeLost(event) => {
                add(&mut self.charged_back, event.amount.amount);
                add(&mut self.given_back_to_purse, self.purse.brought_by(&envelope.draft.postings));
                self.evolve_dispute(event.dispute_id, envelope);
            }
            Event::JournalCorrected(event) => {
                if let Reversed::DisputeLost { dispute_id, amount, .. } = event.reversed {
                    self.charged_back = self.charged_back.saturating_sub(amount.amount);
                    add(&mut self.given_back_to_purse, self.purse.brought_by(&envelope.draft.postings));
                    self.evolve_dispute(dispute_id, envelope);
                }
            }
            Event::PaymentDisputeWon(event) => self.evolve_dispute(event.dispute_id, envelope),
            Event::PaymentDisputeReopened(event) => self.evolve_dispute(event.dispute_id, envelope),
            Event::PaymentDisputeEvidenceSubmitted(event) => self.evolve_dispute(event.dispute_id, envelope),
            _ => {}
        }
    }

    fn evolve_dispute(&mut self, id: crate::ids::DisputeId, envelope: &Envelope) {
        if let Some(dispute) = self.disputes.iter_mut().find(|dispute| dispute.id == id) {
            dispute.evolve(envelope);
        }
    }
}

/// The one word for where a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nothing was held.
    Declined,
    /// A dispute is open.
    Disputed,
    /// All that was captured went back, and no more can be captured.
    Refunded,
    /// Some of what was captured went back.
    PartiallyRefunded,
    /// Captured; no more can be.
    Captured,
    /// Captured in part; more can be.
    PartiallyCaptured,
    /// All was released uncaptured, because its time was over.
    Expired,
    /// All was released uncaptured.
    Voided,
    /// Held.
    Authorized,
}

impl Status {
    /// Returns the name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Disputed => "disputed",
            Self::Refunded => "refunded",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Captured => "captured",
            Self::PartiallyCaptured => "partially_captured",
            Self::Expired => "expired",
            Self::Voided => "voided",
            Self::Authorized => "authorized",
        }
    }
}

impl Payment {
    /// Begins a payment that was authorized.
    pub fn authorize(id: PaymentId, event: &PaymentAuthorized, envelope: &Envelope) -> Self {
        let amount = event.details.amount;
        let purse = Purse { client_id: event.client_id, currency: amount.currency, funding: event.funding };
        let amounts = Amounts::authorized(purse, event.expires_at, amount.amount);
        Self::begin(id, &event.details, Outcome::Approved(amounts), envelope)
    }

    /// Begins a payment that was declined.
    pub fn decline(id: PaymentId, event: &PaymentDeclined, envelope: &Envelope) -> Self {
        let outcome = Outcome::Declined { client_id: event.client_id, code: event.decline_code };
        Self::begin(id, &event.details, outcome, envelope)
    }

    fn begin(id: PaymentId, details: &PaymentDetails, outcome: Outcome, envelope: &Envelope) -> Self {
        let origin = envelope.draft.event_id;
        Self { id, origin, details: details.clone(), outcome, stamp: Stamp::first(envelope) }
    }

    /// Folds a whole stream; `None` unless it begins as payments do.
    pub fn fold<'a>(stream: impl IntoIterator<Item = &'a Envelope>) -> Option<Self> {
        let mut stream = stream.into_iter();
        let first = stream.next()?;
        let mut payment = match (first.stream_id(), first.event()) {
            (StreamId::Payment(id), Event::PaymentAuthorized(event)) => Self::authorize(id, event, first),
            (StreamId::Payment(id), Event::PaymentDeclined(event)) => Self::decline(id, event, first),
            _ => return None,
        };
        stream.for_each(|later| payment.evolve(later));
        Some(payment)
    }

    /// Folds a later event of the stream in.
    pub fn evolve(&mut self, envelope: &Envelope) {
        self.stamp.advance(envelope);
        if let Outcome::Approved(amounts) = &mut self.outcome {
            amounts.evolve(envelope);
        }
    }

    /// Returns the currency of all of the payment's amounts.
    pub const fn currency(&self) -> Currency {
        self.details.amount.currency
    }

    /// Returns the client whose money it is, if known.
    pub const fn client_id(&self) -> Option<ClientId> {
        match &self.outcome {
            Outcome::Declined { client_id, .. } => *client_id,
            Outcome::Approved(amounts) => Some(amounts.purse.client_id),
        }
    }

    /// Returns whose money pays, and in which currency; `None` where nothing was held.
    pub const fn purse(&self) -> Option<Purse> {
        match &self.outcome {
            Outcome::Declined { .. } => None,
            Outcome::Approved(amounts) => Some(amounts.purse),
        }
    }

    /// Tells where the payment stands.
    pub fn status(&self) -> Status {
        match &self.outcome {
            Outcome::Declined { .. } => Status::Declined,
            Outcome::Approved(amounts) => amounts.status(),
        }
    }

    /// Counts what keeps the client from being closed: an authorization that can be captured, open disputes.
    pub fn open(&self) -> usize {
        match &self.outcome {
            Outcome::Declined { .. } => 0,
            Outcome::Approved(amounts) => amounts.open(),
        }
    }

    /// Finds a dispute of the payment, and the totals around it.
    pub fn dispute(&self, id: crate::ids::DisputeId) -> Option<(&Amounts, &Dispute)> {
        let Outcome::Approved(amounts) = &self.outcome else { return None };
        let dispute = amounts.disputes.iter().find(|dispute| dispute.id == id)?;
        Some((amounts, dispute))
    }

    /// Finds the totals of an approved payment, for a command of its merchant or, without one, of the house.
    ///
    /// An amount in another currency is refused before the state is looked at: 404, 422, then 409.
    fn amounts(
        &self,
        merchant: Option<MerchantId>,
        asked: Option<Money>,
        none_left: fn(&'static str) -> Conflict,
    ) -> Result<&Amounts, Rejection> {
        if merchant.is_some_and(|merchant| merchant != self.details.merchant_id) {
            return Err(Rejection::NotFound);
        }
        if asked.is_some_and(|amount| amount.currency != self.currency()) {
            return Err(Rejection::CurrencyMismatch);
        }
        match &self.outcome {
            Outcome::Approved(amounts) => Ok(amounts),
            Outcome::Declined { .. } => Err(none_left(self.status().name()).into()),
        }
    }

    fn money(&self, amount: i64) -> Money {
        Money::new(amount, self.currency())
    }
}

#[cfg(test)]
mod tests;
