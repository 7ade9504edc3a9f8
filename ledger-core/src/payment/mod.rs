//! Payments: authorized or declined, captured, voided, refunded.
//!
//! ```text
//!             ┌─ declined
//! authorize ──┤
//!             └─ authorized ──┬─ capture (all or part, once or often) ── refund (all or part) …
//!                             └─ void (what is not captured)
//! ```
//!
//! The state is amounts; the status is a function of them. Always 0 ≤ captured + released ≤ authorized
//! and refunded ≤ captured.

use crate::balance::{ClientBalance, MerchantBalance, add};
use crate::card::{Card, CardStatus, is_wrong_attempt};
use crate::command::{Authorize, Capture, Context, Refund, Void};
use crate::envelope::{Draft, Envelope};
use crate::event::{
    CaptureMode, DeclineCode, Event, PaymentAuthorized, PaymentCaptured, PaymentDeclined, PaymentDetails,
    PaymentRefunded, PaymentVoided,
};
use crate::fee::{RefundFee, amount_in, given_back};
use crate::ids::{ClientId, EventId, MerchantId, PaymentId, StreamId};
use crate::journal::{Account, JournalEntry, Move};
use crate::merchant::Merchant;
use crate::money::{BALANCE_MAX, Currency, Money};
use crate::personal::Reason;
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;
use crate::time::{Day, Timestamp};

/// How long an authorization can be captured, in days.
pub const AUTHORIZATION_DAYS: u32 = 7;

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
    /// Whose money it is.
    pub client_id: ClientId,
    /// From then on nothing more can be captured.
    pub expires_at: Timestamp,
    /// Held in all.
    pub authorized: i64,
    /// Captured in all.
    pub captured: i64,
    /// Given back without capture.
    pub released: i64,
    /// Refunded in all.
    pub refunded: i64,
    /// Fees taken.
    pub fee_taken: i64,
    /// Fees given back.
    pub fee_returned: i64,
}

impl Amounts {
    /// Returns what can still be captured, expiry aside.
    pub const fn capturable(&self) -> i64 {
        self.authorized.saturating_sub(self.captured).saturating_sub(self.released)
    }

    /// Returns what can still be refunded.
    pub const fn refundable(&self) -> i64 {
        self.captured.saturating_sub(self.refunded)
    }
}

impl Amounts {
    /// Tells where an approved payment stands: the first status that holds.
    pub const fn status(&self) -> Status {
        match (self.captured > 0, self.capturable() > 0) {
            (true, false) if self.refundable() == 0 => Status::Refunded,
            _ if self.refunded > 0 => Status::PartiallyRefunded,
            (true, false) => Status::Captured,
            (true, true) => Status::PartiallyCaptured,
            (false, false) => Status::Voided,
            (false, true) => Status::Authorized,
        }
    }
}

/// The one word for where a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nothing was held.
    Declined,
    /// All that was captured went back, and no more can be captured.
    Refunded,
    /// Some of what was captured went back.
    PartiallyRefunded,
    /// Captured; no more can be.
    Captured,
    /// Captured in part; more can be.
    PartiallyCaptured,
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
            Self::Refunded => "refunded",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Captured => "captured",
            Self::PartiallyCaptured => "partially_captured",
            Self::Voided => "voided",
            Self::Authorized => "authorized",
        }
    }
}

impl Payment {
    /// Begins a payment that was authorized.
    pub fn authorize(id: PaymentId, event: &PaymentAuthorized, envelope: &Envelope) -> Self {
        let outcome = Outcome::Approved(Amounts {
            client_id: event.client_id,
            expires_at: event.expires_at,
            authorized: event.details.amount.amount,
            captured: 0,
            released: 0,
            refunded: 0,
            fee_taken: 0,
            fee_returned: 0,
        });
        Self::begin(id, &event.details, outcome, envelope)
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

    /// Folds a later event of the stream into the totals.
    pub fn evolve(&mut self, envelope: &Envelope) {
        self.stamp.advance(envelope);
        let Outcome::Approved(amounts) = &mut self.outcome else { return };
        match envelope.event() {
            Event::PaymentCaptured(event) => {
                add(&mut amounts.captured, event.amount.amount);
                add(&mut amounts.released, event.released.amount);
                add(&mut amounts.fee_taken, event.fee.amount);
            }
            Event::PaymentVoided(event) => add(&mut amounts.released, event.amount.amount),
            Event::PaymentRefunded(event) => {
                add(&mut amounts.refunded, event.amount.amount);
                add(&mut amounts.fee_returned, event.fee_returned.amount);
            }
            Event::ClientOpened(_)
            | Event::ClientDeposited(_)
            | Event::ClientWithdrawn(_)
            | Event::CardIssued(_)
            | Event::CardBlocked(_)
            | Event::CardUnblocked(_)
            | Event::MerchantOpened(_)
            | Event::MerchantSettingsChanged(_)
            | Event::ApiKeyCreated(_)
            | Event::ApiKeyRevoked(_)
            | Event::PaymentAuthorized(_)
            | Event::PaymentDeclined(_) => {}
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
            Outcome::Approved(amounts) => Some(amounts.client_id),
        }
    }

    /// Tells where the payment stands.
    pub const fn status(&self) -> Status {
        match &self.outcome {
            Outcome::Declined { .. } => Status::Declined,
            Outcome::Approved(amounts) => amounts.status(),
        }
    }

    /// Finds the totals of an approved payment of this merchant.
    ///
    /// An amount in another currency is refused before the state is looked at: 404, 422, then 409.
    fn amounts(
        &self,
        merchant: MerchantId,
        asked: Option<Money>,
        none_left: Conflict,
    ) -> Result<&Amounts, Rejection> {
        if self.details.merchant_id != merchant {
            return Err(Rejection::NotFound);
        }
        if asked.is_some_and(|amount| amount.currency != self.currency()) {
            return Err(Rejection::CurrencyMismatch);
        }
        match &self.outcome {
            Outcome::Approved(amounts) => Ok(amounts),
            Outcome::Declined { .. } => Err(none_left.into()),
        }
    }

    fn money(&self, amount: i64) -> Money {
        Money::new(amount, self.currency())
    }
}

/// The card that a payment is made with, and its holder's balance in the payment's currency.
#[derive(Clone, Copy, Debug)]
pub struct Payer<'a> {
    /// The card.
    pub card: &'a Card,
    /// The holder's balance.
    pub balance: &'a ClientBalance,
}

/// Authorizes or declines a payment; captures it at once if the merchant wants.
pub fn authorize(
    command: &Authorize,
    payer: Option<Payer<'_>>,
    merchant: &Merchant,
    merchant_balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let stream_id = StreamId::Payment(command.id);
    let [first, second] = context.event_ids;
    let payer = match (decline_code(command, payer.as_ref(), context.now.day()), payer) {
        (None, Some(payer)) => payer,
        (code, payer) => {
            let code = code.unwrap_or(DeclineCode::CardNotRecognised);
            return Ok(decline(command, code, payer.map(|payer| payer.card), context));
        }
    };
    let client_id = payer.card.issued.client_id;
    let amount = command.details.amount;
    let authorized = PaymentAuthorized {
        client_id,
        expires_at: context.now.plus_days(AUTHORIZATION_DAYS),
        details: command.details.clone(),
    };
    let mut drafts = vec![Draft {
        event_id: first,
        stream_id,
        event: Event::PaymentAuthorized(authorized),
        postings: JournalEntry::of([Move::new(
            Account::ClientAvailable(client_id),
            Account::ClientHeld(client_id),
            amount,
        )]),
    }];
    if command.details.capture == CaptureMode::Automatic {
        let part =
            Part { client_id, amount, released: Money::new(0, amount.currency), is_final: true, first: true };
        let (event, postings) = captured(&part, merchant, merchant_balance, context.now)?;
        drafts.push(Draft { event_id: second, stream_id, event, postings });
    }
    Ok(drafts)
}

/// Finds the first reason to decline.
fn decline_code(command: &Authorize, payer: Option<&Payer<'_>>, today: Day) -> Option<DeclineCode> {
    let details = &command.details;
    if !command.number_valid {
        return Some(DeclineCode::InvalidNumber);
    }
    if details.card.expiry.is_past(today) {
        return Some(DeclineCode::ExpiredCard);
    }
    let Some(Payer { card, balance }) = payer else { return Some(DeclineCode::CardNotRecognised) };
    if card.issued.expiry != details.card.expiry {
        return Some(DeclineCode::InvalidExpiry);
    }
    if !command.cvc_matches {
        return Some(DeclineCode::InvalidCvc);
    }
    if card.status == CardStatus::Blocked {
        return Some(DeclineCode::CardBlocked);
    }
    // No request holds less than one.
    let covered = (1..=balance.available).contains(&details.amount.amount);
    (!covered).then_some(DeclineCode::InsufficientFunds)
}

/// Declines a payment, and blocks its card if that was one wrong attempt too many.
fn decline(command: &Authorize, code: DeclineCode, card: Option<&Card>, context: &Context) -> Vec<Draft> {
    let [first, second] = context.event_ids;
    let client_id = card.map(|card| card.issued.client_id);
    let details = command.details.clone();
    let mut drafts = vec![Draft {
        event_id: first,
        stream_id: StreamId::Payment(command.id),
        event: Event::PaymentDeclined(PaymentDeclined { client_id, decline_code: code, details }),
        postings: JournalEntry::none(),
    }];
    if let Some(card) = card
        && is_wrong_attempt(code)
        && card.is_at_last_attempt()
    {
        drafts.push(card.block_by_attempts(second));
    }
    drafts
}

/// Captures all or a part of what is held, and releases the rest if the capture is final.
pub fn capture(
    command: &Capture,
    payment: &Payment,
    merchant: &Merchant,
    merchant_balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let amounts = payment.amounts(command.merchant_id, command.amount, Conflict::PaymentNotCapturable)?;
    let capturable = payment.money(amounts.capturable());
    if capturable.amount <= 0 {
        return Err(Conflict::PaymentNotCapturable.into());
    }
    if context.now >= amounts.expires_at {
        return Err(Conflict::AuthorizationExpired { expires_at: amounts.expires_at }.into());
    }
    let amount = command.amount.unwrap_or(capturable);
    if !(1..=capturable.amount).contains(&amount.amount) {
        return Err(Conflict::CaptureExceedsAuthorization { capturable, requested: amount }.into());
    }
    let rest = capturable.amount - amount.amount;
    let released = payment.money(if command.is_final { rest } else { 0 });
    let first = amounts.captured == 0;
    let client_id = amounts.client_id;
    let part = Part { client_id, amount, released, is_final: command.is_final, first };
    let (event, postings) = captured(&part, merchant, merchant_balance, context.now)?;
    Ok(vec![Draft {
        event_id: context.event_ids[0],
        stream_id: StreamId::Payment(payment.id),
        event,
        postings,
    }])
}

/// What one capture takes and releases.
struct Part {
    client_id: ClientId,
    amount: Money,
    released: Money,
    is_final: bool,
    /// Whether it is the payment's first: only that one bears the fixed fee.
    first: bool,
}

/// Makes a capture's event and postings.
fn captured(
    part: &Part,
    merchant: &Merchant,
    balance: &MerchantBalance,
    now: Timestamp,
) -> Result<(Event, JournalEntry), Rejection> {
    let Part { client_id, amount, released, is_final, first } = *part;
    let currency = amount.currency;
    let fee = Money::new(merchant.settings.fee.on_capture(amount, first), currency);
    let net = Money::new(amount.amount - fee.amount, currency);
    if !balance.has_room_for(net.amount) {
        return Err(Conflict::BalanceLimitExceeded { limit: Money::new(BALANCE_MAX, currency) }.into());
    }
    let held = Account::ClientHeld(client_id);
    let postings = JournalEntry::of([
        Move::new(held, Account::MerchantPending(merchant.id), net),
        Move::new(held, Account::HouseFees, fee),
        Move::new(held, Account::ClientAvailable(client_id), released),
    ]);
    let event = Event::PaymentCaptured(PaymentCaptured {
        merchant_id: merchant.id,
        client_id,
        amount,
        fee,
        fee_version: merchant.settings.fee_version,
        is_final,
        released,
        settles_on: now.day().plus(merchant.settings.settlement_delay_days),
    });
    Ok((event, postings))
}

/// Releases all that is not captured.
pub fn void(command: &Void, payment: &Payment, context: &Context) -> Result<Vec<Draft>, Rejection> {
    let amounts = payment.amounts(command.merchant_id, None, Conflict::PaymentNotVoidable)?;
    let rest = payment.money(amounts.capturable());
    if rest.amount <= 0 {
        return Err(Conflict::PaymentNotVoidable.into());
    }
    if context.now >= amounts.expires_at {
        return Err(Conflict::AuthorizationExpired { expires_at: amounts.expires_at }.into());
    }
    let client_id = amounts.client_id;
    let event = Event::PaymentVoided(PaymentVoided {
        merchant_id: command.merchant_id,
        client_id,
        amount: rest,
        reason: command.reason.clone().map(Reason::Person),
    });
    let entry = JournalEntry::of([Move::new(
        Account::ClientHeld(client_id),
        Account::ClientAvailable(client_id),
        rest,
    )]);
    let stream_id = StreamId::Payment(payment.id);
    Ok(vec![Draft { event_id: context.event_ids[0], stream_id, event, postings: entry }])
}

/// Gives all or a part of what was captured back to the client.
pub fn refund(
    command: &Refund,
    payment: &Payment,
    merchant: &Merchant,
    merchant_balance: &MerchantBalance,
    client_balance: &ClientBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let amounts = payment.amounts(command.merchant_id, command.amount, Conflict::PaymentNotRefundable)?;
    let refundable = payment.money(amounts.refundable());
    if refundable.amount <= 0 {
        return Err(Conflict::PaymentNotRefundable.into());
    }
    let amount = command.amount.unwrap_or(refundable);
    if !(1..=refundable.amount).contains(&amount.amount) {
        return Err(Conflict::RefundExceedsCaptured { refundable, requested: amount }.into());
    }
    let fee_returned = payment.money(match merchant.settings.refund_fee {
        RefundFee::Kept => 0,
        RefundFee::Returned => {
            let refunded = amounts.refunded + amount.amount;
            given_back(amounts.fee_taken, amounts.fee_returned, amounts.captured, refunded, amount.amount)
        }
    });
    let from_merchant = payment.money(amount.amount - fee_returned.amount);
    let sources = draw(from_merchant, merchant_balance, merchant)?;
    if !client_balance.has_room_for(amount.amount) {
        return Err(Conflict::BalanceLimitExceeded { limit: payment.money(BALANCE_MAX) }.into());
    }
    let client = Account::ClientAvailable(amounts.client_id);
    let entry = JournalEntry::of([
        Move::new(Account::HouseFees, client, fee_returned),
        Move::new(Account::MerchantAvailable(merchant.id), client, sources.available),
        Move::new(Account::MerchantPending(merchant.id), client, sources.pending),
    ]);
    let event = Event::PaymentRefunded(PaymentRefunded {
        merchant_id: merchant.id,
        client_id: amounts.client_id,
        refund_id: command.id,
        amount,
        fee_returned,
        drawn: sources.pending,
        reason: command.reason.clone().map(Reason::Person),
    });
    let stream_id = StreamId::Payment(payment.id);
    Ok(vec![Draft { event_id: context.event_ids[0], stream_id, event, postings: entry }])
}

/// Where a refund's money comes from.
struct Sources {
    available: Money,
    pending: Money,
}

/// Takes money from a merchant: what is available first, then what is pending, then from available what
/// neither covers, down to the merchant's negative limit.
fn draw(amount: Money, balance: &MerchantBalance, merchant: &Merchant) -> Result<Sources, Rejection> {
    let currency = amount.currency;
    let available = balance.available.max(0).min(amount.amount);
    let pending = balance.pending.max(0).min(amount.amount - available);
    let uncovered = amount.amount - available - pending;
    let limit = amount_in(&merchant.settings.negative_limit, currency);
    let credit = limit.saturating_add(balance.available - available);
    if uncovered > 0 && uncovered > credit {
        let reach = credit.max(0).saturating_add(available + pending);
        return Err(Conflict::InsufficientAvailableBalance {
            available: Money::new(reach, currency),
            requested: amount,
        }
        .into());
    }
    Ok(Sources {
        available: Money::new(available + uncovered, currency),
        pending: Money::new(pending, currency),
    })
}

#[cfg(test)]
mod tests;
