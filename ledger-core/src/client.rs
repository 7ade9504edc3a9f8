//! Clients: opened once, then money comes and goes, until they are closed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::balance::ClientBalance;
use crate::command::{CloseClient, Context, MoveCash, OpenClient};
use crate::envelope::{Draft, Envelope};
use crate::event::{CashMoved, ClientOpened, Closed, Event};
use crate::ids::{ClientId, EventId, StreamId};
use crate::journal::{Account, JournalEntry, Move};
use crate::money::{BALANCE_MAX, Currency, Money};
use crate::personal::Reason;
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;
use crate::time::Timestamp;

/// A client, folded from its stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Client {
    /// The client.
    pub id: ClientId,
    /// The event that opened it: its personal fields are bound to it.
    pub origin: EventId,
    /// The personal fields.
    #[serde(flatten)]
    pub opened: ClientOpened,
    /// Whether money may come in.
    #[serde(flatten)]
    pub status: ClientStatus,
    /// Every currency that money was ever deposited in. No other way brings a client a new one.
    pub currencies: BTreeSet<Currency>,
    /// Where the stream stands.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// Whether a client may get money and cards, and pay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "status")]
pub enum ClientStatus {
    /// It may.
    Open,
    /// It may not. What is owed still comes (refunds, lost disputes), and can be withdrawn.
    Closed {
        /// Since when.
        closed_at: Timestamp,
    },
}

impl Client {
    /// Begins a client with its first event.
    pub fn open(id: ClientId, opened: &ClientOpened, envelope: &Envelope) -> Self {
        Self {
            id,
            origin: envelope.draft.event_id,
            opened: opened.clone(),
            status: ClientStatus::Open,
            currencies: BTreeSet::new(),
            stamp: Stamp::first(envelope),
        }
    }

    /// Folds a later event of the stream in.
    pub fn evolve(&mut self, envelope: &Envelope) {
        self.stamp.advance(envelope);
        match envelope.event() {
            Event::ClientDeposited(cash) => {
                self.currencies.insert(cash.amount.currency);
            }
            Event::ClientClosed(_) => self.status = ClientStatus::Closed { closed_at: envelope.recorded_at },
            _ => {}
        }
    }

    /// Refuses what a closed client does not accept any more.
    pub fn check_open(&self) -> Result<(), Conflict> {
        match self.status {
            ClientStatus::Open => Ok(()),
            ClientStatus::Closed { closed_at } => Err(Conflict::ClientClosed { closed_at }),
        }
    }
}

/// Opens a client.
pub fn open(command: &OpenClient, context: &Context) -> Vec<Draft> {
    let OpenClient { id, name, email, metadata } = command.clone();
    vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Client(id),
        event: Event::ClientOpened(ClientOpened { name, email, metadata }),
        postings: JournalEntry::none(),
    }]
}

/// Moves money from the bank to a client.
pub fn deposit(
    command: &MoveCash,
    client: &Client,
    balance: &ClientBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    client.check_open()?;
    let MoveCash { client_id, amount, reference } = command.clone();
    // No request holds less than one; an event of it would tell of money that never moved.
    if amount.amount <= 0 || !balance.has_room_for(amount.amount) {
        return Err(Conflict::BalanceLimitExceeded { limit: Money::new(BALANCE_MAX, amount.currency) }.into());
    }
    let entry =
        JournalEntry::of([Move::new(Account::HouseBank, Account::ClientAvailable(client_id), amount)]);
    Ok(vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Client(client_id),
        event: Event::ClientDeposited(CashMoved { amount, reference }),
        postings: entry,
    }])
}

/// Moves money from a client to the bank; never more than is available.
pub fn withdraw(
    command: &MoveCash,
    balance: &ClientBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let MoveCash { client_id, amount, reference } = command.clone();
    if !(1..=balance.available).contains(&amount.amount) {
        let available = Money::new(balance.available, amount.currency);
        return Err(Conflict::InsufficientAvailableBalance { available, requested: amount }.into());
    }
    let entry =
        JournalEntry::of([Move::new(Account::ClientAvailable(client_id), Account::HouseBank, amount)]);
    Ok(vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Client(client_id),
        event: Event::ClientWithdrawn(CashMoved { amount, reference }),
        postings: entry,
    }])
}

/// Closes a client that has nothing and waits for nothing. `balances` are those of all its currencies.
/// Nothing happens if it is closed.
pub fn close(
    command: &CloseClient,
    client: &Client,
    balances: &[(Currency, ClientBalance)],
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    if client.check_open().is_err() {
        return Ok(Vec::new());
    }
    let posted = |(currency, balance): &(Currency, ClientBalance)| {
        Money::new(balance.available.saturating_add(balance.held), *currency)
    };
    let posted: Vec<_> = balances.iter().map(posted).filter(|money| money.amount != 0).collect();
    let open = balances.iter().map(|(_, balance)| balance.open).fold(0, u32::saturating_add);
    if !posted.is_empty() || open > 0 {
        return Err(Conflict::ClientNotEmpty { posted, open }.into());
    }
    let reason = command.reason.clone().map(Reason::Person);
    Ok(vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Client(client.id),
        event: Event::ClientClosed(Closed { reason }),
        postings: JournalEntry::none(),
    }])
}

#[cfg(test)]
mod tests {
    use crate::client::ClientStatus;
    use crate::command::{CloseClient, Command, MoveCash, OpenClient};
    use crate::event::{CashMoved, ClientOpened, Closed, DeclineCode, Event};
    use crate::journal::{Account, JournalEntry, Leg, Posting};
    use crate::money::{BALANCE_MAX, Currency};
    use crate::personal::Reason;
    use crate::rejection::{Conflict, Rejection};
    use crate::testing::*;

    #[test]
    fn a_client_is_opened_with_its_sealed_fields() {
        let opened = ClientOpened {
            name: sealed("name"),
            email: Some(sealed("email")),
            metadata: Some(sealed("note")),
        };
        let ClientOpened { name, email, metadata } = opened.clone();
        let ledger =
            Ledger::new().when(Command::OpenClient(OpenClient { id: client(1), name, email, metadata }));
        let [envelope] = ledger.appended() else { panic!() };
        assert_eq!(envelope.event(), &Event::ClientOpened(opened.clone()));
        assert_eq!(envelope.draft.postings, JournalEntry::none());
        let found = ledger.state.client(client(1)).unwrap();
        assert_eq!((found.id, found.origin, &found.opened), (client(1), envelope.draft.event_id, &opened));
    }

    #[test]
    fn a_deposit_comes_from_the_bank() {
        let ledger = Ledger::new().given(open_client(1)).when(deposit(1, eur(500)));
        let postings = ledger.appended()[0].draft.postings.postings().to_vec();
        let posting = |account, leg| Posting { account, leg };
        assert_eq!(
            postings,
            [
                posting(Account::HouseBank, Leg::Debit(eur(500))),
                posting(Account::ClientAvailable(client(1)), Leg::Credit(eur(500))),
            ]
        );
        let moved = CashMoved { amount: eur(500), reference: None };
        ledger.then([Event::ClientDeposited(moved)]).then_client(1, 500, 0);
    }

    #[test]
    fn a_withdrawal_goes_to_the_bank() {
        let ledger = Ledger::shop().when(withdraw(1, eur(3_000))).then_client(1, 7_000, 0);
        assert_eq!(ledger.account(Account::HouseBank), 7_000);
        ledger.then([Event::ClientWithdrawn(CashMoved { amount: eur(3_000), reference: None })]);
    }

    #[test]
    fn a_reference_is_kept_sealed() {
        let cash = MoveCash { client_id: client(1), amount: eur(1), reference: Some(sealed("salary")) };
        let moved = CashMoved { amount: eur(1), reference: Some(sealed("salary")) };
        Ledger::shop()
            .when(Command::Deposit(cash.clone()))
            .then([Event::ClientDeposited(moved.clone())])
            .when(Command::Withdraw(cash))
            .then([Event::ClientWithdrawn(moved)]);
    }

    #[test]
    fn nobody_has_no_money() {
        Ledger::new()
            .when(deposit(1, eur(1)))
            .then_rejected(Rejection::NotFound)
            .when(withdraw(1, eur(1)))
            .then_rejected(Rejection::NotFound);
    }

    #[test]
    fn all_can_be_withdrawn_and_not_a_cent_more() {
        Ledger::shop()
            .when(withdraw(1, eur(10_001)))
            .then_rejected(not_covered(10_000, 10_001))
            .when(withdraw(1, eur(10_000)))
            .then_types(["client.withdrawn"])
            .then_client(1, 0, 0)
            .when(withdraw(1, eur(1)))
            .then_rejected(not_covered(0, 1));
    }

    #[test]
    fn held_money_cannot_be_withdrawn() {
        Ledger::shop()
            .given(hold(1, eur(4_000)))
            .when(withdraw(1, eur(6_001)))
            .then_rejected(not_covered(6_000, 6_001))
            .when(withdraw(1, eur(6_000)))
            .then_client(1, 0, 4_000);
    }

    #[test]
    fn each_currency_has_its_own_balance() {
        let ledger = Ledger::shop().given(deposit(1, jpy(7))).when(withdraw(1, jpy(8)));
        let conflict = Conflict::InsufficientAvailableBalance { available: jpy(7), requested: jpy(8) };
        ledger.then_rejected(conflict).when(withdraw(1, jpy(7))).then_client(1, 10_000, 0);
    }

    #[test]
    fn a_balance_may_reach_its_limit_and_not_pass_it() {
        Ledger::new()
            .given(open_client(1))
            .given(deposit(1, eur(BALANCE_MAX - 1)))
            .when(deposit(1, eur(2)))
            .then_rejected(past_the_limit())
            .when(deposit(1, eur(1)))
            .then_client(1, BALANCE_MAX, 0)
            .when(deposit(1, eur(1)))
            .then_rejected(past_the_limit())
            .when(deposit(1, jpy(BALANCE_MAX)))
            .then_types(["client.deposited"]);
    }

    #[test]
    fn held_money_counts_towards_the_limit() {
        Ledger::shop()
            .given(hold(1, eur(10_000)))
            .when(deposit(1, eur(BALANCE_MAX - 9_999)))
            .then_rejected(past_the_limit())
            .when(deposit(1, eur(BALANCE_MAX - 10_000)))
            .then_client(1, BALANCE_MAX - 10_000, 10_000);
    }

    #[test]
    fn amounts_that_no_request_has_move_nothing() {
        for amount in [0, -1, i64::MIN] {
            Ledger::shop().when(deposit(1, eur(amount))).then_rejected(past_the_limit());
        }
        Ledger::shop().when(deposit(1, eur(i64::MAX))).then_rejected(past_the_limit());
        for amount in [0, -1, i64::MIN, i64::MAX] {
            Ledger::shop().when(withdraw(1, eur(amount))).then_rejected(not_covered(10_000, amount));
        }
    }

    #[test]
    fn every_movement_counts_in_the_stream() {
        let ledger = Ledger::shop().later(5).given(withdraw(1, eur(1)));
        let stamp = ledger.state.client(client(1)).unwrap().stamp;
        assert_eq!((stamp.version, stamp.position), (3, 5));
        assert_eq!(stamp.created_at, BEGIN.parse().unwrap());
        assert_eq!(stamp.updated_at, stamp.created_at.plus_micros(5));
    }

    // Closing.

    fn not_empty(posted: &[crate::money::Money], open: u32) -> Conflict {
        Conflict::ClientNotEmpty { posted: posted.to_vec(), open }
    }

    fn closed() -> Conflict {
        Conflict::ClientClosed { closed_at: BEGIN.parse().unwrap() }
    }

    #[test]
    fn a_client_that_has_nothing_is_closed() {
        let reason = Some(sealed("moved abroad"));
        let command = CloseClient { id: client(1), reason: reason.clone() };
        let ledger = Ledger::new()
            .given(open_client(1))
            .when(Command::CloseClient(command))
            .then([Event::ClientClosed(Closed { reason: reason.map(Reason::Person) })]);
        let status = ledger.state.client(client(1)).unwrap().status;
        assert_eq!(status, ClientStatus::Closed { closed_at: BEGIN.parse().unwrap() });
        let ledger = ledger.later(5).when(close_client(1)).then_nothing();
        assert_eq!(ledger.state.client(client(1)).unwrap().status, status);
    }

    #[test]
    fn a_client_is_closed_with_zero_in_every_currency() {
        Ledger::shop()
            .given(deposit(1, jpy(7)))
            .given(hold(1, eur(4_000)))
            .when(close_client(1))
            .then_rejected(not_empty(&[eur(10_000), jpy(7)], 1))
            .given(void(1))
            .given(withdraw(1, eur(10_000)))
            .when(close_client(1))
            .then_rejected(not_empty(&[jpy(7)], 0))
            .given(withdraw(1, jpy(7)))
            .when(close_client(1))
            .then_types(["client.closed"]);
    }

    #[test]
    fn an_open_authorization_keeps_a_client_open_up_to_its_last_cent() {
        Ledger::shop()
            .given(hold(1, eur(10_000)))
            .when(close_client(1))
            .then_rejected(not_empty(&[eur(10_000)], 1))
            .given(capture_part(1, eur(9_999), false))
            .when(close_client(1))
            .then_rejected(not_empty(&[eur(1)], 1))
            .given(capture(1))
            .when(close_client(1))
            .then_types(["client.closed"]);
        // Its time may be over: what is held is still to be released.
        Ledger::shop()
            .given(hold(1, eur(10_000)))
            .days_later(7)
            .when(close_client(1))
            .then_rejected(not_empty(&[eur(10_000)], 1))
            .given(expire(1))
            .when(close_client(1))
            .then_rejected(not_empty(&[eur(10_000)], 0));
    }

    #[test]
    fn open_disputes_keep_a_client_open() {
        Ledger::shop()
            .given(pay(1, eur(10_000)))
            .given(open_dispute_part(1, 1, eur(1_000)))
            .given(open_dispute_part(2, 1, eur(1_000)))
            .given(submit(2, 1, "signed for"))
            .when(close_client(1))
            .then_rejected(not_empty(&[], 2))
            .given(win(1, 1))
            .when(close_client(1))
            .then_rejected(not_empty(&[], 1))
            .given(reopen(1, 1))
            .when(close_client(1))
            .then_rejected(not_empty(&[], 2))
            .given(lose(1, 1))
            .given(win(2, 1))
            .when(close_client(1))
            .then_rejected(not_empty(&[eur(1_000)], 0))
            .given(withdraw(1, eur(1_000)))
            .when(close_client(1))
            .then_types(["client.closed"]);
    }

    #[test]
    fn a_payment_in_another_currency_counts_where_it_is_paid_from() {
        Ledger::shop()
            .given(set_rate("EUR", "JPY", "160", 1))
            .given(pay(1, jpy(16_000)))
            .given(open_dispute(1, 1))
            .when(close_client(1))
            .then_rejected(not_empty(&[], 1))
            .given(win(1, 1))
            .when(close_client(1))
            .then_types(["client.closed"]);
    }

    /// A closed client that had paid 100.00 EUR.
    fn closed_shop() -> Ledger {
        Ledger::shop().given(pay(1, eur(10_000))).given(close_client(1))
    }

    #[test]
    fn a_closed_client_gets_no_new_money_and_no_new_card_and_pays_no_more() {
        let ledger = closed_shop()
            .when(deposit(1, eur(1)))
            .then_rejected(closed())
            .when(issue_card(2, 1))
            .then_rejected(closed())
            // Closed comes before what the number says.
            .when(issue_card_of(2, 1, 1))
            .then_rejected(closed())
            .given(refund(1))
            .when(pay(2, eur(1)));
        let Event::PaymentDeclined(declined) = ledger.appended()[0].event() else { panic!() };
        assert_eq!(declined.decline_code, DeclineCode::CardBlocked);
        // And in the order of declines.
        let ledger = ledger.when(pay_with(3, eur(1), |pay| pay.cvc_matches = false));
        let Event::PaymentDeclined(declined) = ledger.appended()[0].event() else { panic!() };
        assert_eq!(declined.decline_code, DeclineCode::InvalidCvc);
    }

    #[test]
    fn a_closed_client_still_gets_what_it_is_owed() {
        closed_shop()
            .given(refund_part(1, eur(4_000)))
            .then_client(1, 4_000, 0)
            .when(withdraw(1, eur(4_001)))
            .then_rejected(not_covered(4_000, 4_001))
            .given(withdraw(1, eur(4_000)))
            .given(open_dispute(1, 1))
            .given(lose(1, 1))
            .then_client(1, 6_000, 0)
            .when(withdraw(1, eur(6_000)))
            .then_client(1, 0, 0)
            .when(close_client(1))
            .then_nothing()
            .given(block_card(1))
            .given(unblock_card(1));
    }

    #[test]
    fn currencies_are_those_of_the_deposits() {
        let ledger = Ledger::shop().given(deposit(1, jpy(1))).given(deposit(1, eur(1)));
        let found = &ledger.state.client(client(1)).unwrap().currencies;
        assert_eq!(found.iter().map(Currency::code).collect::<Vec<_>>(), ["EUR", "JPY"]);
    }
}
