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
    Ok(vec![draft(id, context.event_id, Event::CardIssued(issued))])
}

/// Blocks a card; nothing happens if it is blocked.
pub fn block(command: &ChangeCard, card: &Card, context: &Context) -> Vec<Draft> {
    match card.status {
        CardStatus::Blocked => Vec::new(),
        CardStatus::Active { .. } => {
            vec![draft(
                card.id,
                context.event_id,
                Event::CardBlocked(because(command, card.issued.client_id)),
            )]
        }
    }
}

/// Unblocks a card, and forgets its wrong attempts; nothing happens if it has neither.
pub fn unblock(command: &ChangeCard, card: &Card, context: &Context) -> Vec<Draft> {
    match card.status {
        CardStatus::Active { wrong_attempts: 0 } => Vec::new(),
        CardStatus::Active { .. } | CardStatus::Blocked => {
            vec![draft(
                card.id,
                context.event_id,
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

#[cfg(test)]
mod tests {
    use crate::card::{CardStatus, TOO_MANY_ATTEMPTS};
    use crate::card_number::{Brand, Expiry, Fingerprint};
    use crate::command::{ChangeCard, Command};
    use crate::event::{Because, CardIssued, DeclineCode, Event};
    use crate::personal::Reason;
    use crate::rejection::{Conflict, Rejection};
    use crate::state::Key;
    use crate::testing::*;

    const DECLINED: [&str; 1] = ["payment.declined"];
    const DECLINED_AND_BLOCKED: [&str; 2] = ["payment.declined", "card.blocked"];

    fn wrong_cvc(n: u8) -> Command {
        pay_with(n, eur(1), |pay| pay.cvc_matches = false)
    }

    fn wrong_expiry(n: u8) -> Command {
        pay_with(n, eur(1), |pay| pay.details.card.expiry = Expiry { month: 12, ..expiry() })
    }

    impl Ledger {
        fn then_card(self, status: CardStatus) -> Self {
            assert_eq!(self.state.card(card(1)).unwrap().status, status);
            self
        }

        fn then_wrong_attempts(self, wrong_attempts: u32) -> Self {
            self.then_card(CardStatus::Active { wrong_attempts })
        }

        /// Tries wrong CVCs; none of them may block.
        fn wrong(self, payments: std::ops::Range<u8>) -> Self {
            payments.fold(self, |ledger, n| ledger.when(wrong_cvc(n)).then_types(DECLINED))
        }

        fn four_times_wrong(self) -> Self {
            self.wrong(10..14).then_wrong_attempts(4)
        }
    }

    #[test]
    fn a_card_is_issued_to_a_client() {
        let issued = CardIssued {
            client_id: client(1),
            brand: Brand::Visa,
            last4: "4242".to_owned(),
            expiry: expiry(),
            registered: true,
            fingerprint_key: 1,
            cvc_key: 1,
        };
        let ledger = Ledger::new().given(open_client(1)).when(issue_card(1, 1));
        assert_eq!(ledger.state.card(card(1)).unwrap().row.version, 1);
        assert_eq!(ledger.state.card_of(Fingerprint([1; 32])), Some(card(1)));
        ledger.then([Event::CardIssued(issued)]).then_wrong_attempts(0);
    }

    #[test]
    fn nobody_gets_no_card() {
        Ledger::new().when(issue_card(1, 1)).then_rejected(Rejection::NotFound);
    }

    #[test]
    fn one_number_is_one_card_for_ever() {
        Ledger::shop()
            .given(open_client(2))
            .when(issue_card_of(2, 1, 1))
            .then_rejected(Conflict::CardAlreadyRegistered)
            .when(issue_card_of(2, 2, 1))
            .then_rejected(Conflict::CardAlreadyRegistered)
            .given(block_card(1))
            .when(issue_card_of(2, 2, 1))
            .then_rejected(Conflict::CardAlreadyRegistered)
            .when(issue_card_of(2, 2, 2))
            .then_types(["card.issued"]);
    }

    #[test]
    fn a_client_may_have_several_cards() {
        Ledger::shop().given(issue_card(2, 1)).when(issue_card(3, 1)).then_types(["card.issued"]);
    }

    #[test]
    fn a_person_blocks_and_unblocks_with_a_reason() {
        let change = ChangeCard { id: card(1), reason: Some(sealed("lost")) };
        let because = Because { client_id: client(1), reason: Some(Reason::Person(sealed("lost"))) };
        Ledger::shop()
            .when(Command::BlockCard(change.clone()))
            .then([Event::CardBlocked(because.clone())])
            .then_card(CardStatus::Blocked)
            .when(Command::UnblockCard(change))
            .then([Event::CardUnblocked(because)])
            .then_wrong_attempts(0);
    }

    #[test]
    fn what_is_so_already_is_done_by_nothing() {
        Ledger::shop()
            .when(unblock_card(1))
            .then_nothing()
            .given(block_card(1))
            .when(block_card(1))
            .then_nothing()
            .then_card(CardStatus::Blocked);
    }

    #[test]
    fn an_unknown_card_is_not_found() {
        Ledger::shop()
            .when(block_card(2))
            .then_rejected(Rejection::NotFound)
            .when(unblock_card(2))
            .then_rejected(Rejection::NotFound);
    }

    #[test]
    fn the_fifth_wrong_cvc_blocks_the_card_with_its_decline() {
        let ledger = Ledger::shop().four_times_wrong().when(wrong_cvc(1)).then_types(DECLINED_AND_BLOCKED);
        let [declined, blocked] = ledger.appended() else { panic!() };
        assert_eq!((declined.position, blocked.position), (9, 10));
        assert_eq!((declined.version, blocked.version), (1, 2));
        assert_ne!(declined.draft.event_id, blocked.draft.event_id);
        let reason = Some(Reason::Machine(TOO_MANY_ATTEMPTS.to_owned()));
        assert_eq!(blocked.event(), &Event::CardBlocked(Because { client_id: client(1), reason }));
        assert_eq!(TOO_MANY_ATTEMPTS, "too_many_attempts");
        ledger.then_card(CardStatus::Blocked);
    }

    #[test]
    fn wrong_expiries_and_cvcs_count_together() {
        Ledger::shop()
            .given(wrong_expiry(1))
            .given(wrong_cvc(2))
            .given(wrong_expiry(3))
            .given(wrong_cvc(4))
            .then_wrong_attempts(4)
            .when(wrong_expiry(5))
            .then_types(DECLINED_AND_BLOCKED);
    }

    #[test]
    fn a_right_pair_begins_anew() {
        Ledger::shop()
            .four_times_wrong()
            .given(pay(1, eur(1)))
            .then_wrong_attempts(0)
            .when(wrong_cvc(2))
            .then_types(DECLINED)
            .then_wrong_attempts(1);
    }

    #[test]
    fn a_right_pair_without_the_money_begins_anew_too() {
        Ledger::shop()
            .four_times_wrong()
            .when(pay(1, eur(10_001)))
            .then_types(DECLINED)
            .then_wrong_attempts(0);
    }

    #[test]
    fn what_does_not_reach_the_card_neither_counts_nor_begins_anew() {
        Ledger::shop()
            .four_times_wrong()
            .when(pay_with(1, eur(1), |pay| pay.number_valid = false))
            .then_types(DECLINED)
            .when(pay_with(2, eur(1), |pay| pay.details.card.expiry = Expiry { month: 10, year: 2026 }))
            .then_types(DECLINED)
            .when(pay_with(3, eur(1), |pay| pay.details.card.id = None))
            .then_types(DECLINED)
            .then_wrong_attempts(4);
    }

    #[test]
    fn each_card_counts_for_itself() {
        Ledger::shop()
            .given(issue_card(2, 1))
            .four_times_wrong()
            .when(pay_with(1, eur(1), |pay| {
                pay.details.card.id = Some(card(2));
                pay.cvc_matches = false;
            }))
            .then_types(DECLINED)
            .then_wrong_attempts(4);
    }

    #[test]
    fn a_blocked_card_counts_no_more() {
        Ledger::shop()
            .four_times_wrong()
            .given(wrong_cvc(1))
            .then_card(CardStatus::Blocked)
            .wrong(20..26)
            .when(pay(2, eur(1)))
            .then_types(DECLINED)
            .then_card(CardStatus::Blocked)
            .given(unblock_card(1))
            .wrong(30..34)
            .when(wrong_cvc(3))
            .then_types(DECLINED_AND_BLOCKED);
    }

    #[test]
    fn an_unblock_begins_anew() {
        Ledger::shop()
            .four_times_wrong()
            .given(block_card(1))
            .given(unblock_card(1))
            .then_wrong_attempts(0)
            .when(wrong_cvc(1))
            .then_types(DECLINED);
    }

    #[test]
    fn an_unblock_forgets_the_wrong_attempts_of_an_active_card() {
        Ledger::shop()
            .four_times_wrong()
            .given(unblock_card(1))
            .then_wrong_attempts(0)
            .when(wrong_cvc(1))
            .then_types(DECLINED)
            .then_wrong_attempts(1);
    }

    #[test]
    fn the_reason_of_a_wrong_attempt_is_told_even_when_it_blocks() {
        let ledger = Ledger::shop().four_times_wrong().when(wrong_cvc(1));
        let Event::PaymentDeclined(declined) = ledger.appended()[0].event() else { panic!() };
        assert_eq!(declined.decline_code, DeclineCode::InvalidCvc);
        assert_eq!(declined.client_id, Some(client(1)));
    }

    #[test]
    fn the_row_changes_with_the_count_and_the_stream_does_not() {
        let ledger = Ledger::shop().given(wrong_cvc(1));
        let found = ledger.state.card(card(1)).unwrap();
        assert_eq!((found.stamp.version, found.row.version, found.row.position), (1, 2, 5));
        assert!(ledger.state.touched().contains(&Key::Card(card(1))));
        // A right pair with nothing to set back leaves the row alone.
        let ledger = Ledger::shop().given(pay(1, eur(1)));
        assert_eq!(ledger.state.card(card(1)).unwrap().row.version, 1);
    }
}
