//! Payouts: available money on its way to a merchant's bank account.
//!
//! ```text
//! requested ──┬─ paid ── returned
//!             └─ failed
//! ```
//!
//! A payout that was noted as paid by mistake is requested again once that event is corrected.

use crate::balance::MerchantBalance;
use crate::command::{ChangePayout, Context, PayoutNews, RequestPayout};
use crate::envelope::{Draft, Envelope};
use crate::event::{Event, PayoutChanged, PayoutRequested};
use crate::ids::{EventId, PayoutId, StreamId};
use crate::journal::{Account, JournalEntry, Move};
use crate::merchant::Merchant;
use crate::money::{BALANCE_MAX, Money};
use crate::personal::Reason;
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;

/// A payout, folded from its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payout {
    /// The payout.
    pub id: PayoutId,
    /// What was asked.
    pub requested: PayoutRequested,
    /// Where the money is.
    pub status: PayoutStatus,
    /// What the bank's last news was explained by, and the event that it is bound to.
    pub reason: Option<(EventId, Reason)>,
    /// Where the stream stands.
    pub stamp: Stamp,
}

/// Where the money of a payout is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayoutStatus {
    /// On its way.
    Requested,
    /// At the merchant's bank.
    Paid,
    /// With the merchant here again: it never left.
    Failed,
    /// With the merchant here again: it left and came back.
    Returned,
}

impl PayoutStatus {
    /// Returns the name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }
}

impl Payout {
    /// Begins a payout with its first event.
    pub fn request(id: PayoutId, requested: &PayoutRequested, envelope: &Envelope) -> Self {
        let requested = requested.clone();
        Self { id, requested, status: PayoutStatus::Requested, reason: None, stamp: Stamp::first(envelope) }
    }

    /// Folds a whole stream; `None` unless it begins as payouts do.
    pub fn fold<'a>(stream: impl IntoIterator<Item = &'a Envelope>) -> Option<Self> {
        let mut stream = stream.into_iter();
        let first = stream.next()?;
        let (StreamId::Payout(id), Event::PayoutRequested(requested)) = (first.stream_id(), first.event())
        else {
            return None;
        };
        let mut payout = Self::request(id, requested, first);
        stream.for_each(|later| payout.evolve(later));
        Some(payout)
    }

    /// Folds a later event of the stream in.
    pub fn evolve(&mut self, envelope: &Envelope) {
        self.stamp.advance(envelope);
        let (status, changed) = match envelope.event() {
            Event::PayoutPaid(changed) => (PayoutStatus::Paid, changed),
            Event::PayoutFailed(changed) => (PayoutStatus::Failed, changed),
            Event::PayoutReturned(changed) => (PayoutStatus::Returned, changed),
            Event::JournalCorrected(_) => {
                // As before the bank's news, which was none.
                (self.status, self.reason) = (PayoutStatus::Requested, None);
                return;
            }
            _ => return,
        };
        self.status = status;
        self.reason = changed.reason.clone().map(|reason| (envelope.draft.event_id, reason));
    }
}

/// Sends available money on its way; never more than there is.
pub fn request(
    command: &RequestPayout,
    merchant: &Merchant,
    balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    merchant.check_active()?;
    let RequestPayout { id, merchant_id, amount, reference } = command.clone();
    if !(1..=balance.available).contains(&amount.amount) {
        let available = Money::new(balance.available, amount.currency);
        return Err(Conflict::InsufficientAvailableBalance { available, requested: amount }.into());
    }
    let on_its_way =
        Move::new(Account::MerchantAvailable(merchant_id), Account::MerchantInTransit(merchant_id), amount);
    Ok(vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Payout(id),
        event: Event::PayoutRequested(PayoutRequested { merchant_id, amount, reference }),
        postings: JournalEntry::of([on_its_way]),
    }])
}

/// Notes what the bank said of a payout.
pub fn change(
    command: &ChangePayout,
    payout: &Payout,
    balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let PayoutRequested { merchant_id, amount, .. } = payout.requested;
    let reason = command.reason.clone().map(Reason::Person);
    let changed = PayoutChanged { merchant_id, amount, reason };
    let (available, in_transit) =
        (Account::MerchantAvailable(merchant_id), Account::MerchantInTransit(merchant_id));
    let (event, debit, credit) = match (payout.status, command.news) {
        (PayoutStatus::Requested, PayoutNews::Paid) => {
            (Event::PayoutPaid(changed), in_transit, Account::HouseBank)
        }
        (PayoutStatus::Requested, PayoutNews::Failed) => {
            (Event::PayoutFailed(changed), in_transit, available)
        }
        (PayoutStatus::Paid, PayoutNews::Returned) => {
            if !balance.can_rise_by(amount.amount) {
                let limit = Money::new(BALANCE_MAX, amount.currency);
                return Err(Conflict::BalanceLimitExceeded { limit }.into());
            }
            (Event::PayoutReturned(changed), Account::HouseBank, available)
        }
        (status, PayoutNews::Paid | PayoutNews::Failed | PayoutNews::Returned) => {
            return Err(Conflict::PayoutClosed { payout_status: status.name() }.into());
        }
    };
    Ok(vec![Draft {
        event_id: context.event_id,
        stream_id: StreamId::Payout(payout.id),
        event,
        postings: JournalEntry::of([Move::new(debit, credit, amount)]),
    }])
}

#[cfg(test)]
mod tests {
    use crate::command::{ChangePayout, Command, PayoutNews, RequestPayout};
    use crate::event::{Event, PayoutChanged, PayoutRequested};
    use crate::journal::{Account, Leg, Posting};
    use crate::money::BALANCE_MAX;
    use crate::payout::{Payout, PayoutStatus};
    use crate::personal::Reason;
    use crate::rejection::{Conflict, Rejection};
    use crate::testing::*;

    const NEWS: [PayoutNews; 3] = [PayoutNews::Paid, PayoutNews::Failed, PayoutNews::Returned];

    impl Ledger {
        fn payout(&self) -> &Payout {
            self.state.payout(payout(1)).unwrap()
        }

        fn then_payout(self, status: PayoutStatus) -> Self {
            assert_eq!(self.payout().status, status);
            self
        }

        /// The last event moved 40.00 EUR from one account to another.
        fn then_moved(self, debit: Account, credit: Account) -> Self {
            let posting = |account, leg| Posting { account, leg };
            assert_eq!(
                self.appended()[0].draft.postings.postings(),
                [posting(debit, Leg::Debit(eur(4_000))), posting(credit, Leg::Credit(eur(4_000)))]
            );
            self
        }
    }

    /// A merchant with 100.00 EUR.
    fn rich() -> Ledger {
        Ledger::shop().given(deposit_to_merchant(1, eur(10_000)))
    }

    /// The same, with payout 1 of 40.00 EUR.
    fn requested() -> Ledger {
        rich().given(request_payout(1, eur(4_000)))
    }

    fn told(news: PayoutNews) -> Command {
        change_payout(1, news)
    }

    fn closed(payout_status: &'static str) -> Conflict {
        Conflict::PayoutClosed { payout_status }
    }

    fn changed() -> PayoutChanged {
        PayoutChanged { merchant_id: merchant(1), amount: eur(4_000), reason: None }
    }

    fn available() -> Account {
        Account::MerchantAvailable(merchant(1))
    }

    #[test]
    fn a_payout_is_on_its_way_until_the_bank_says_more() {
        let requested = PayoutRequested {
            merchant_id: merchant(1),
            amount: eur(4_000),
            reference: Some("week 48".to_owned()),
        };
        let (id, merchant_id) = (payout(1), merchant(1));
        let in_transit = Account::MerchantInTransit(merchant(1));
        let command =
            RequestPayout { id, merchant_id, amount: eur(4_000), reference: Some("week 48".to_owned()) };
        rich()
            .when(Command::RequestPayout(command))
            .then([Event::PayoutRequested(requested.clone())])
            .then_moved(available(), in_transit)
            .then_in_transit(1, 6_000, 4_000)
            .then_payout(PayoutStatus::Requested)
            .when(told(PayoutNews::Paid))
            .then([Event::PayoutPaid(changed())])
            .then_moved(in_transit, Account::HouseBank)
            .then_in_transit(1, 6_000, 0)
            .then_payout(PayoutStatus::Paid)
            .when(told(PayoutNews::Returned))
            .then([Event::PayoutReturned(changed())])
            .then_moved(Account::HouseBank, available())
            .then_in_transit(1, 10_000, 0)
            .then_payout(PayoutStatus::Returned);
    }

    #[test]
    fn a_failed_payout_never_left() {
        requested()
            .when(told(PayoutNews::Failed))
            .then([Event::PayoutFailed(changed())])
            .then_moved(Account::MerchantInTransit(merchant(1)), available())
            .then_in_transit(1, 10_000, 0)
            .then_payout(PayoutStatus::Failed);
    }

    #[test]
    fn every_other_news_finds_it_closed() {
        let after =
            |news: &[PayoutNews]| news.iter().fold(requested(), |ledger, news| ledger.given(told(*news)));
        requested().when(told(PayoutNews::Returned)).then_rejected(closed("requested"));
        for news in [PayoutNews::Paid, PayoutNews::Failed] {
            after(&[PayoutNews::Paid]).when(told(news)).then_rejected(closed("paid"));
        }
        for news in NEWS {
            after(&[PayoutNews::Failed]).when(told(news)).then_rejected(closed("failed"));
            let returned = after(&[PayoutNews::Paid, PayoutNews::Returned]);
            returned.when(told(news)).then_rejected(closed("returned"));
        }
    }

    #[test]
    fn one_and_all_can_be_paid_out_and_not_a_cent_more() {
        rich()
            .when(request_payout(1, eur(10_001)))
            .then_rejected(not_covered(10_000, 10_001))
            .when(request_payout(1, eur(1)))
            .then_in_transit(1, 9_999, 1)
            .when(request_payout(2, eur(9_999)))
            .then_in_transit(1, 0, 10_000)
            .when(request_payout(3, eur(1)))
            .then_rejected(not_covered(0, 1));
        for amount in [0, -1, i64::MIN, i64::MAX] {
            rich().when(request_payout(1, eur(amount))).then_rejected(not_covered(10_000, amount));
        }
    }

    #[test]
    fn only_what_is_available_is_paid_out() {
        // 98.35 EUR pending, then reserved.
        Ledger::shop()
            .given(pay(1, eur(10_000)))
            .when(request_payout(1, eur(1)))
            .then_rejected(not_covered(0, 1))
            .settled(1)
            .given(open_dispute_part(1, 1, eur(9_000)))
            .when(request_payout(1, eur(836)))
            .then_rejected(not_covered(835, 836))
            .given(request_payout(1, eur(835)))
            .given(open_dispute(2, 1))
            .when(request_payout(2, eur(1)))
            .then_rejected(not_covered(-1_000, 1));
    }

    #[test]
    fn currencies_are_paid_out_apart() {
        let yen = Conflict::InsufficientAvailableBalance { available: jpy(0), requested: jpy(1) };
        rich().when(request_payout(1, jpy(1))).then_rejected(yen);
    }

    #[test]
    fn refusals_follow_their_order() {
        let suspended_at = BEGIN.parse().unwrap();
        Ledger::new()
            .when(request_payout(1, eur(1)))
            .then_rejected(Rejection::NotFound)
            .given(open_merchant(1))
            .given(suspend(1))
            .when(request_payout(1, eur(1)))
            .then_rejected(Conflict::MerchantSuspended { suspended_at })
            .given(reinstate(1))
            .when(request_payout(1, eur(1)))
            .then_rejected(not_covered(0, 1));
        for news in NEWS {
            rich().when(told(news)).then_rejected(Rejection::NotFound);
        }
    }

    #[test]
    fn a_suspended_merchants_payouts_go_their_way() {
        let suspended = || requested().given(suspend(1));
        suspended()
            .given(told(PayoutNews::Paid))
            .given(told(PayoutNews::Returned))
            .then_in_transit(1, 10_000, 0);
        suspended().given(told(PayoutNews::Failed)).then_in_transit(1, 10_000, 0);
    }

    #[test]
    fn the_banks_last_reason_is_kept() {
        let because = |news, reason: &str| {
            Command::ChangePayout(ChangePayout { id: payout(1), news, reason: Some(sealed(reason)) })
        };
        let ledger = requested().given(because(PayoutNews::Paid, "sent"));
        assert_eq!(ledger.payout().reason.as_ref().unwrap().1, Reason::Person(sealed("sent")));
        let ledger = ledger.given(because(PayoutNews::Returned, "unknown account"));
        let event_id = ledger.appended()[0].draft.event_id;
        assert_eq!(ledger.payout().reason, Some((event_id, Reason::Person(sealed("unknown account")))));
        assert_eq!(ledger.payout().stamp.version, 3);
        assert_eq!(requested().payout().reason, None);
    }

    #[test]
    fn a_payout_is_folded_from_its_stream() {
        let ledger = requested();
        let first = ledger.appended().to_vec();
        let ledger = ledger.given(told(PayoutNews::Paid));
        let stream = [first, ledger.appended().to_vec()].concat();
        assert_eq!(Payout::fold(&stream).as_ref(), Some(ledger.payout()));
        assert_eq!(Payout::fold(&stream[1..]), None);
        assert_eq!(Payout::fold(&[]), None);
    }

    #[test]
    fn what_comes_back_has_its_limit() {
        let ledger = requested()
            .given(told(PayoutNews::Paid))
            .given(deposit_to_merchant(1, eur(BALANCE_MAX - 9_999)))
            .when(told(PayoutNews::Returned))
            .then_rejected(past_the_limit())
            .then_payout(PayoutStatus::Paid);
        ledger
            .given(request_payout(2, eur(1)))
            .given(change_payout(2, PayoutNews::Paid))
            .when(told(PayoutNews::Returned))
            .then_in_transit(1, BALANCE_MAX, 0);
        // What never left needs no room.
        requested()
            .given(deposit_to_merchant(1, eur(BALANCE_MAX - 10_000)))
            .when(told(PayoutNews::Failed))
            .then_in_transit(1, BALANCE_MAX, 0);
    }
}
