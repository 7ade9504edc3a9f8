//! Cards: issued or registered, blocked by a person or by wrong guesses, unblocked.

use serde::{Deserialize, Serialize};

use crate::balance::RowVersion;
use crate::command::{ChangeCard, Context, IssueCard};
use crate::envelope::{Draft, Envelope};
use crate::event::{Because, CardIssued, DeclineCode, Event};
use crate::ids::{CardId, ClientId, EventId, StreamId};
use crate::journal::JournalEntry;
use crate::personal::Reason;
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;

/// So many wrong expiries or CVCs in a row block a card.
pub const WRONG_ATTEMPTS_MAX: u32 = 5;

/// The machine's reason for blocking a card after [`WRONG_ATTEMPTS_MAX`].
pub const TOO_MANY_ATTEMPTS: &str = "too_many_attempts";

/// Whether a card can pay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "status")]
pub enum CardStatus {
    /// It can.
    Active {
        /// How many wrong expiries or CVCs came in a row.
        wrong_attempts: u32,
    },
    /// It can't.
    Blocked,
}

/// A card, folded from its stream and from the attempts to pay with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Card {
    /// The card.
    pub id: CardId,
    /// What was issued.
    #[serde(flatten)]
    pub issued: CardIssued,
    /// Whether it can pay.
    #[serde(flatten)]
    pub status: CardStatus,
    /// Where the stream stands.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// How often the write side's row was changed.
    #[serde(skip)]
    pub row: RowVersion,
}

impl Card {
    /// Begins a card with its first event.
    pub fn issue(id: CardId, issued: &CardIssued, envelope: &Envelope) -> Self {
        let status = CardStatus::Active { wrong_attempts: 0 };
        let mut row = RowVersion::default();
        row.touch(envelope.position);
        Self { id, issued: issued.clone(), status, stamp: Stamp::first(envelope), row }
    }

    /// Sets the status that an event of the card's stream brings.
    pub fn change(&mut self, status: CardStatus, envelope: &Envelope) {
        self.status = status;
        self.stamp.advance(envelope);
        self.row.touch(envelope.position);
    }

    /// Counts an attempt to pay: a wrong one adds up, a right one begins anew; a blocked card counts no
    /// more. Tells whether anything changed.
    pub fn count_attempt(&mut self, decline: Option<DeclineCode>, position: u64) -> bool {
        let CardStatus::Active { wrong_attempts } = self.status else { return false };
        let counted =
            if decline.is_some_and(is_wrong_attempt) { wrong_attempts.saturating_add(1) } else { 0 };
        let changed = counted != wrong_attempts;
        if changed {
            self.status = CardStatus::Active { wrong_attempts: counted };
            self.row.touch(position);
        }
        changed
    }

    /// Tells whether one more wrong attempt blocks the card.
    pub const fn is_at_last_attempt(&self) -> bool {
        matches!(self.status, CardStatus::Active { wrong_attempts } if wrong_attempts + 1 >= WRONG_ATTEMPTS_MAX)
    }

    /// Makes the event that blocks the card for too many wrong attempts.
    pub fn block_by_attempts(&self, event_id: EventId) -> Draft {
        let reason = Some(Reason::Machine(TOO_MANY_ATTEMPTS.to_owned()));
        draft(self.id, event_id, Event::CardBlocked(Because { client_id: self.issued.client_id, reason }))
    }
}

/// Tells whether a decline says that expiry or CVC were wrong.
pub const fn is_wrong_attempt(code: DeclineCode) -> bool {
    matches!(code, DeclineCode::InvalidExpiry | DeclineCode::InvalidCvc)
}

/// Issues a card, unless its number is a card already.
pub fn issue(command: &IssueCard, known: Option<CardId>, context: &Context) -> Result<Vec<Draft>, Rejection> {
    if known.is_some() {
        return Err(Conflict::CardAlreadyRegistered.into());
    }
    let IssueCard { id, client_id, brand, expiry, registered, fingerprint_key, cvc_key, .. } = *command;
    let last4 = command.last4.clone();
    let issued = CardIssued { client_id, brand, last4, expiry, registered, fingerprint_key, cvc_key };
    Ok(vec![draft(id, context.event_ids[0], Event::CardIssued(issued))])
}

/// Blocks a card; nothing happens if it is blocked.
pub fn block(command: &ChangeCard, card: &Card, context: &Context) -> Vec<Draft> {
    match card.status {
        CardStatus::Blocked => Vec::new(),
        CardStatus::Active { .. } => {
            vec![draft(
                card.id,
                context.event_ids[0],
                Event::CardBlocked(because(command, card.issued.client_id)),
            )]
        }
    }
}

/// Unblocks a card; nothing happens if it is not blocked.
pub fn unblock(command: &ChangeCard, card: &Card, context: &Context) -> Vec<Draft> {
    match card.status {
        CardStatus::Active { .. } => Vec::new(),
        CardStatus::Blocked => {
            vec![draft(
                card.id,
                context.event_ids[0],
                Event::CardUnblocked(because(command, card.issued.client_id)),
            )]
        }
    }
}

fn because(command: &ChangeCard, client_id: ClientId) -> Because {
    Because { client_id, reason: command.reason.clone().map(Reason::Person) }
}

fn draft(id: CardId, event_id: EventId, event: Event) -> Draft {
    Draft { event_id, stream_id: StreamId::Card(id), event, postings: JournalEntry::none() }
}
