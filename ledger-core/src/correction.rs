//! Corrections: what was noted by mistake is undone by an event with the mirrored postings, and it takes two
//! operators.
//!
//! ```text
//! requested ── approved, by another key
//! ```
//!
//! The approval mirrors the event in the event's own stream, once and for ever: whatever it had decided is open
//! again, and can be decided anew by an event of its own. A correction moves money when it is approved; its
//! effective date only tells accountants which day it belongs to.

use crate::balance::{ClientBalance, MerchantBalance};
use crate::command::{ApproveCorrection, Context, RequestCorrection};
use crate::envelope::{Draft, Envelope};
use crate::event::{CorrectionApproved, CorrectionRequested, Event, JournalCorrected, Reversed};
use crate::ids::{CorrectionId, EventId, StreamId};
use crate::journal::{Account, JournalEntry, Leg};
use crate::money::{BALANCE_MAX, Money};
use crate::payment::Dispute;
use crate::payout::{Payout, PayoutStatus};
use crate::personal::Reason;
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;
use crate::time::Timestamp;

/// A correction, folded from its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Correction {
    /// The correction.
    pub id: CorrectionId,
    /// The event that asked for it: its reason is bound to it.
    pub origin: EventId,
    /// What was asked.
    pub requested: CorrectionRequested,
    /// Who asked.
    pub requested_by: String,
    /// Who approved it; `None` until then.
    pub approved_by: Option<String>,
    /// Where the stream stands.
    pub stamp: Stamp,
}

impl Correction {
    /// Begins a correction with its first event.
    pub fn request(id: CorrectionId, requested: &CorrectionRequested, envelope: &Envelope) -> Self {
        Self {
            id,
            origin: envelope.draft.event_id,
            requested: requested.clone(),
            requested_by: envelope.actor.clone(),
            approved_by: None,
            stamp: Stamp::first(envelope),
        }
    }

    /// Folds a whole stream; `None` unless it begins as corrections do.
    pub fn fold<'a>(stream: impl IntoIterator<Item = &'a Envelope>) -> Option<Self> {
        let mut stream = stream.into_iter();
        let first = stream.next()?;
        let (StreamId::Correction(id), Event::CorrectionRequested(requested)) =
            (first.stream_id(), first.event())
        else {
            return None;
        };
        let mut correction = Self::request(id, requested, first);
        stream.for_each(|later| correction.evolve(later));
        Some(correction)
    }

    /// Folds a later event of the stream in.
    pub fn evolve(&mut self, envelope: &Envelope) {
        self.stamp.advance(envelope);
        if let Event::CorrectionApproved(_) = envelope.event() {
            self.approved_by = Some(envelope.actor.clone());
        }
    }

    /// Returns the name of the status that the API uses.
    pub const fn status(&self) -> &'static str {
        if self.approved_by.is_some() { "approved" } else { "requested" }
    }
}

/// What an event has decided, as it stands now.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    /// Nothing but that money came or went.
    Cash,
    /// That a payout was paid.
    Payout(&'a Payout),
    /// That a dispute was lost.
    Dispute(&'a Dispute),
}

impl Standing<'_> {
    /// Refuses what has moved on since: returned payouts.
    fn check(self, now: Timestamp) -> Result<(), Conflict> {
        match self {
            Self::Cash | Self::Payout(Payout { status: PayoutStatus::Paid, .. }) => Ok(()),
            Self::Payout(payout) => Err(Conflict::PayoutClosed { payout_status: payout.status.name() }),
            Self::Dispute(dispute) => dispute.resume(now).map(|_| ()),
        }
    }
}

/// The balances that an event has changed, as they are now.
#[derive(Clone, Debug, Default)]
pub struct Means {
    /// The client's.
    pub client: ClientBalance,
    /// The merchant's.
    pub merchant: MerchantBalance,
}

/// Asks for an event to be corrected. Nothing moves until that is approved.
///
/// # Errors
///
/// The date is later than today or before the event's; the event's type is not corrected, the event was, or
/// what it decided has moved on.
pub fn request(
    command: &RequestCorrection,
    corrected_by: Option<CorrectionId>,
    standing: Standing<'_>,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let RequestCorrection { id, reversed, effective_date, reason } = command.clone();
    if !(reversed.recorded_at.day()..=context.now.day()).contains(&effective_date) {
        return Err(Rejection::DateOutOfRange);
    }
    let event = Event::CorrectionRequested(CorrectionRequested {
        reverses: reversed.draft.event_id,
        reverses_position: reversed.position,
        reverses_stream: reversed.stream_id(),
        reversed: check_open(&reversed, corrected_by, standing, context)?,
        effective_date,
        reason: Reason::Person(reason),
    });
    let (event_id, stream_id) = (context.event_id, StreamId::Correction(id));
    Ok(vec![Draft { event_id, stream_id, event, postings: JournalEntry::none() }])
}

/// Approves a correction, which corrects the event; nothing happens if it is approved.
///
/// # Errors
///
/// It was requested with the same key; the event was corrected meanwhile, or what it decided has moved on; a
/// balance does not cover what is taken back, or would pass its limit.
pub fn approve(
    command: &ApproveCorrection,
    correction: &Correction,
    corrected_by: Option<CorrectionId>,
    standing: Standing<'_>,
    has: &Means,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    if correction.approved_by.is_some() {
        return Ok(Vec::new());
    }
    let CorrectionRequested { reverses, effective_date, .. } = correction.requested;
    let reversed_event = &command.reversed;
    if reversed_event.draft.event_id != reverses {
        return Err(Rejection::NotFound);
    }
    if correction.requested_by == command.by.to_string() {
        let requested_by = correction.requested_by.clone();
        return Err(Conflict::CorrectionNeedsAnotherKey { requested_by }.into());
    }
    let reversed = check_open(reversed_event, corrected_by, standing, context)?;
    let mirror = reversed_event.draft.postings.mirrored();
    check_balances(&mirror, has)?;
    let dispute = match standing {
        Standing::Dispute(dispute) => Some(dispute.resume(context.now)?),
        Standing::Cash | Standing::Payout(_) => None,
    };
    let corrected =
        JournalCorrected { correction_id: correction.id, reverses, reversed, effective_date, dispute };
    Ok(vec![
        Draft {
            event_id: context.event_id,
            stream_id: StreamId::Correction(correction.id),
            event: Event::CorrectionApproved(CorrectionApproved {}),
            postings: JournalEntry::none(),
        },
        Draft {
            event_id: context.event_id.plus(1),
            stream_id: reversed_event.stream_id(),
            event: Event::JournalCorrected(corrected),
            postings: mirror,
        },
    ])
}

/// Refuses events that are not corrected, were corrected, or whose decision has moved on.
fn check_open(
    reversed: &Envelope,
    corrected_by: Option<CorrectionId>,
    standing: Standing<'_>,
    context: &Context,
) -> Result<Reversed, Conflict> {
    let event_type = reversed.event().type_name();
    let what = Reversed::of(reversed.event()).ok_or(Conflict::EventNotCorrectable { event_type })?;
    if let Some(correction_id) = corrected_by {
        return Err(Conflict::EventAlreadyCorrected { correction_id });
    }
    standing.check(context.now)?;
    Ok(what)
}

/// Takes nothing back that is not there any more, a merchant's debt included, and brings nothing that has no
/// room.
fn check_balances(mirror: &JournalEntry, has: &Means) -> Result<(), Conflict> {
    for posting in mirror.postings() {
        let money = posting.money();
        let (available, fits) = match (posting.account, posting.leg) {
            (Account::ClientAvailable(_), Leg::Debit(_)) => (Some(has.client.available), true),
            (Account::MerchantAvailable(_), Leg::Debit(_)) => (Some(has.merchant.available), true),
            (Account::ClientAvailable(_), Leg::Credit(_)) => (None, has.client.has_room_for(money.amount)),
            (Account::MerchantReserved(_), Leg::Credit(_)) => {
                (None, has.merchant.can_reserve_more(money.amount))
            }
            (Account::MerchantInTransit(_), Leg::Credit(_)) => {
                (None, has.merchant.can_send_more(money.amount))
            }
            _ => (None, true),
        };
        if let Some(available) = available.filter(|available| *available < money.amount) {
            let available = Money::new(available, money.currency);
            return Err(Conflict::InsufficientAvailableBalance { available, requested: money });
        }
        if !fits {
            return Err(Conflict::BalanceLimitExceeded { limit: Money::new(BALANCE_MAX, money.currency) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::{Command, PayoutNews};
    use crate::correction::Correction;
    use crate::event::{
        CorrectionApproved, CorrectionRequested, DisputeResumed, Event, JournalCorrected, ResumedStatus,
        Reversed,
    };
    use crate::ids::StreamId;
    use crate::journal::Account;
    use crate::money::{BALANCE_MAX, Money};
    use crate::payment::{DisputeStatus, Status};
    use crate::payout::PayoutStatus;
    use crate::personal::Reason;
    use crate::rejection::{Conflict, Rejection};
    use crate::testing::*;
    use crate::time::{Day, Timestamp};

    fn today() -> Day {
        BEGIN.parse::<Timestamp>().unwrap().day()
    }

    /// Asks for a correction of the last event of a type, on a day.
    fn asked_for(ledger: &Ledger, type_name: &str, effective_date: &str) -> Command {
        match request_correction(1, &ledger.last(type_name)) {
            Command::RequestCorrection(mut request) => {
                request.effective_date = effective_date.parse().unwrap();
                Command::RequestCorrection(request)
            }
            _ => panic!(),
        }
    }

    /// Approves correction `n` of the last event of a type.
    fn approval(ledger: &Ledger, n: u8, type_name: &str) -> Command {
        approve_correction(n, &ledger.last(type_name), 2)
    }

    impl Ledger {
        /// Tries to correct the last event of a type: the approval is refused or not.
        fn when_corrected(self, n: u8, type_name: &str) -> Self {
            let reversed = self.last(type_name);
            self.given(request_correction(n, &reversed)).when(approve_correction(n, &reversed, 2))
        }

        fn then_dispute_stands(self, status: DisputeStatus) -> Self {
            let payment = self.state.payment(payment(1)).unwrap();
            assert_eq!(payment.dispute(dispute(1)).unwrap().1.status, status);
            self
        }
    }

    fn needs_another_key() -> Conflict {
        Conflict::CorrectionNeedsAnotherKey { requested_by: key(1).to_string() }
    }

    fn corrected_by(n: u8) -> Conflict {
        Conflict::EventAlreadyCorrected { correction_id: correction(n) }
    }

    // Two keys, once.

    #[test]
    fn a_correction_is_requested_and_approved_by_another_key() {
        let ledger = Ledger::shop();
        let deposited = ledger.last("client.deposited");
        let reversed = Reversed::ClientDeposited { amount: eur(10_000) };
        let requested = CorrectionRequested {
            reverses: deposited.draft.event_id,
            reverses_position: 2,
            reverses_stream: StreamId::Client(client(1)),
            reversed,
            effective_date: today(),
            reason: Reason::Person(sealed("typed twice")),
        };
        let corrected = JournalCorrected {
            correction_id: correction(1),
            reverses: deposited.draft.event_id,
            reversed,
            effective_date: today(),
            dispute: None,
        };
        let ledger = ledger
            .when(request_correction(1, &deposited))
            .then([Event::CorrectionRequested(requested.clone())])
            .then_client(1, 10_000, 0)
            .when(approve_correction(1, &deposited, 1))
            .then_rejected(needs_another_key())
            .when(approve_correction(1, &deposited, 2))
            .then([Event::CorrectionApproved(CorrectionApproved {}), Event::JournalCorrected(corrected)])
            .then_client(1, 0, 0)
            .then_account(Account::HouseBank, eur(0));
        let [approved, mirror] = ledger.appended() else { panic!() };
        assert_eq!(mirror.draft.event_id, approved.draft.event_id.plus(1));
        assert_eq!(mirror.stream_id(), StreamId::Client(client(1)));
        assert_eq!(mirror.draft.postings, deposited.draft.postings.mirrored());
        let found = ledger.state.correction(correction(1)).unwrap();
        assert_eq!((&found.requested, found.status()), (&requested, "approved"));
        assert_eq!(
            (&found.requested_by, &found.approved_by),
            (&key(1).to_string(), &Some(key(2).to_string()))
        );
        // By whomever.
        for by in [1, 2, 3] {
            let again = approve_correction(1, &deposited, by);
            assert!(ledger.state.decide(&again, &context()).unwrap().is_empty());
        }
    }

    fn context() -> crate::command::Context {
        crate::command::Context { now: BEGIN.parse().unwrap(), event_id: crate::ids::EventId::new(uuid(1)) }
    }

    #[test]
    fn an_event_is_corrected_once() {
        let ledger = Ledger::shop().given(deposit(1, eur(10_000)));
        let deposited = ledger.last("client.deposited");
        let ledger = ledger
            .given(request_correction(1, &deposited))
            .given(request_correction(2, &deposited))
            .given(approve_correction(2, &deposited, 2))
            .then_client(1, 10_000, 0)
            .when(approve_correction(1, &deposited, 2))
            .then_rejected(corrected_by(2))
            .when(request_correction(3, &deposited))
            .then_rejected(corrected_by(2));
        assert_eq!(ledger.state.correction(correction(1)).unwrap().status(), "requested");
        // The other deposit is another event.
        let first = Ledger::shop().last("client.deposited");
        ledger
            .given(request_correction(3, &first))
            .given(approve_correction(3, &first, 2))
            .then_client(1, 0, 0);
    }

    #[test]
    fn only_some_types_are_corrected() {
        let ledger = Ledger::shop()
            .given(pay(1, eur(100)))
            .given(refund_part(1, eur(10)))
            .given(block_card(1))
            .given(deposit_to_merchant(1, eur(500)))
            .given(request_payout(1, eur(100)))
            .settled(1)
            .given(change_settings(1, |change| change.settlement_delay_days = Some(9)))
            .given(deposit_to_merchant(1, eur(1)))
            .corrected(1, "merchant.deposited");
        for type_name in [
            "client.opened",
            "card.issued",
            "card.blocked",
            "merchant.opened",
            "merchant.settings_changed",
            "payment.authorized",
            "payment.captured",
            "payment.refunded",
            "settlement.closed",
            "payout.requested",
            "correction.requested",
            "correction.approved",
            "journal.corrected",
        ] {
            let event_type = ledger.last(type_name).event().type_name();
            let command =
                asked_for(&ledger, type_name, &ledger.last(type_name).recorded_at.day().to_string());
            let decided = ledger.state.decide(&command, &later_context(3));
            assert_eq!(decided, Err(Conflict::EventNotCorrectable { event_type }.into()), "{type_name}");
        }
    }

    fn later_context(days: u32) -> crate::command::Context {
        let context = context();
        crate::command::Context { now: context.now.plus_days(days), ..context }
    }

    #[test]
    fn the_effective_date_lies_between_the_event_and_today() {
        let ledger = Ledger::shop().days_later(3);
        for (date, fits) in
            [("2026-11-23", false), ("2026-11-24", true), ("2026-11-27", true), ("2026-11-28", false)]
        {
            let decided =
                ledger.state.decide(&asked_for(&ledger, "client.deposited", date), &later_context(3));
            assert_eq!(decided == Err(Rejection::DateOutOfRange), !fits, "{date}");
        }
        // Before what the state forbids.
        let decided =
            ledger.state.decide(&asked_for(&ledger, "client.opened", "2026-11-23"), &later_context(3));
        assert_eq!(decided, Err(Rejection::DateOutOfRange));
    }

    #[test]
    fn what_was_not_asked_for_is_not_approved() {
        let ledger = Ledger::shop().given(deposit(1, eur(1)));
        let approve = approval(&ledger, 1, "client.deposited");
        let other = Ledger::shop().last("client.deposited");
        let asked = request_correction(1, &ledger.last("client.deposited"));
        ledger
            .when(approve)
            .then_rejected(Rejection::NotFound)
            .given(asked)
            .when(approve_correction(1, &other, 2))
            .then_rejected(Rejection::NotFound);
    }

    #[test]
    fn a_correction_is_folded_from_its_stream() {
        let ledger = Ledger::shop();
        let deposited = ledger.last("client.deposited");
        let ledger = ledger.given(request_correction(1, &deposited));
        let first = ledger.appended().to_vec();
        assert_eq!(Correction::fold(&first).as_ref(), ledger.state.correction(correction(1)));
        let ledger = ledger.given(approve_correction(1, &deposited, 2));
        let stream = [first, vec![ledger.appended()[0].clone()]].concat();
        assert_eq!(Correction::fold(&stream).as_ref(), ledger.state.correction(correction(1)));
        assert_eq!(Correction::fold(&stream[1..]), None);
        assert_eq!(Correction::fold(&[]), None);
    }

    // Cash.

    #[test]
    fn a_deposit_goes_back_only_while_it_is_there() {
        Ledger::shop()
            .given(hold(1, eur(1)))
            .when_corrected(1, "client.deposited")
            .then_rejected(not_covered(9_999, 10_000))
            .given(void(1))
            .when_corrected(2, "client.deposited")
            .then_client(1, 0, 0);
        let owner = Ledger::shop().given(withdraw(1, eur(10_000))).given(close_client(1));
        owner.when_corrected(1, "client.deposited").then_rejected(not_covered(0, 10_000));
    }

    #[test]
    fn a_withdrawal_comes_back_to_a_closed_client_too() {
        Ledger::shop()
            .given(withdraw(1, eur(10_000)))
            .given(close_client(1))
            .when_corrected(1, "client.withdrawn")
            .then_client(1, 10_000, 0)
            .given(withdraw(1, eur(10_000)));
        Ledger::shop()
            .given(withdraw(1, eur(2)))
            .given(deposit(1, eur(BALANCE_MAX - 9_999)))
            .when_corrected(1, "client.withdrawn")
            .then_rejected(past_the_limit())
            .given(withdraw(1, eur(1)))
            .when_corrected(2, "client.withdrawn")
            .then_types(["correction.approved", "journal.corrected"]);
    }

    #[test]
    fn a_merchants_deposit_goes_back_only_while_it_is_there() {
        let rich = || Ledger::shop().given(deposit_to_merchant(1, eur(100)));
        rich().when_corrected(1, "merchant.deposited").then_merchant(1, 0, 0);
        rich()
            .given(request_payout(1, eur(1)))
            .when_corrected(1, "merchant.deposited")
            .then_rejected(not_covered(99, 100));
        // A debt that it has paid does not come back, whatever refunds may do.
        let limit =
            |change: &mut crate::command::ChangeSettings| change.negative_limit = Some(vec![eur(500)]);
        Ledger::shop()
            .given(pay(1, eur(5_000)))
            .given(open_dispute(1, 1))
            .given(lose(1, 1))
            .given(change_settings(1, limit))
            .given(deposit_to_merchant(1, eur(5_000)))
            .when_corrected(1, "merchant.deposited")
            .then_rejected(not_covered(0, 5_000));
    }

    // Payouts.

    /// A merchant with 60.00 EUR, and payout 1 of 40.00 EUR that was paid.
    fn paid_out() -> Ledger {
        Ledger::shop()
            .given(deposit_to_merchant(1, eur(10_000)))
            .given(request_payout(1, eur(4_000)))
            .given(change_payout(1, PayoutNews::Paid))
    }

    #[test]
    fn a_payout_that_was_not_paid_after_all_is_on_its_way_again() {
        let status = |ledger: &Ledger| ledger.state.payout(payout(1)).unwrap().status;
        let ledger = paid_out().corrected(1, "payout.paid").then_in_transit(1, 6_000, 4_000);
        assert_eq!(status(&ledger), PayoutStatus::Requested);
        assert_eq!(ledger.appended()[1].stream_id(), StreamId::Payout(payout(1)));
        let reversed = Reversed::PayoutPaid { merchant_id: merchant(1), amount: eur(4_000) };
        let Event::JournalCorrected(of) = ledger.appended()[1].event() else { panic!() };
        assert_eq!((of.reversed, of.dispute), (reversed, None));
        let ledger = ledger.given(change_payout(1, PayoutNews::Paid)).then_in_transit(1, 6_000, 0);
        // That is another event.
        let ledger = ledger.corrected(2, "payout.paid").given(change_payout(1, PayoutNews::Failed));
        assert_eq!(status(&ledger.then_in_transit(1, 10_000, 0)), PayoutStatus::Failed);
    }

    #[test]
    fn a_payout_that_came_back_was_paid() {
        let returned = paid_out().given(change_payout(1, PayoutNews::Returned));
        let closed = Conflict::PayoutClosed { payout_status: "returned" };
        let asked = request_correction(1, &returned.last("payout.paid"));
        returned.when(asked).then_rejected(closed.clone());
        let ledger = paid_out();
        let asked = request_correction(1, &ledger.last("payout.paid"));
        let approved = approval(&ledger, 1, "payout.paid");
        ledger
            .given(asked)
            .given(change_payout(1, PayoutNews::Returned))
            .when(approved)
            .then_rejected(closed)
            .then_in_transit(1, 10_000, 0);
    }

    #[test]
    fn what_is_on_its_way_again_has_its_limit() {
        paid_out()
            .given(deposit_to_merchant(1, eur(BALANCE_MAX - 9_999)))
            .when_corrected(1, "payout.paid")
            .then_rejected(past_the_limit())
            .given(request_payout(2, eur(1)))
            .given(change_payout(2, PayoutNews::Paid));
    }

    // Disputes.

    /// A payment of 100.00 EUR, whose dispute is open.
    fn disputed() -> Ledger {
        Ledger::shop().given(pay(1, eur(10_000))).given(open_dispute_part(1, 1, eur(4_000)))
    }

    fn resumed(ledger: &Ledger) -> DisputeResumed {
        match ledger.appended()[1].event() {
            Event::JournalCorrected(of) => of.dispute.unwrap(),
            _ => panic!(),
        }
    }

    #[test]
    fn a_dispute_that_was_lost_by_mistake_is_open_again() {
        let ledger =
            disputed().given(lose(1, 1)).then_client(1, 4_000, 0).then_status(1, Status::PartiallyRefunded);
        let ledger = ledger
            .corrected(1, "payment.dispute_lost")
            .then_client(1, 0, 0)
            .then_reserved(1, -4_000, 4_000)
            .then_status(1, Status::Disputed)
            .then_dispute_stands(DisputeStatus::NeedsResponse);
        let (amounts, balance) = (ledger.amounts(1), ledger.state.client_balance(client(1), euro()));
        assert_eq!((amounts.charged_back, amounts.refundable(), balance.open), (0, 6_000, 1));
        assert_eq!(resumed(&ledger).respond_by.to_string(), "2026-12-08T08:00:00.000000Z");
        // The time goes on: silence loses it again, which is another event.
        let ledger = ledger.days_later(14).given(lose_unanswered(1, 1)).then_client(1, 4_000, 0);
        let ledger =
            ledger.corrected(2, "payment.dispute_lost").then_dispute_stands(DisputeStatus::UnderReview);
        assert_eq!(resumed(&ledger).status, ResumedStatus::UnderReview);
        ledger
            .days_later(100)
            .when(lose_unanswered(1, 1))
            .then_nothing()
            .given(win(1, 1))
            .then_status(1, Status::Captured)
            .then_reserved(1, 0, 0);
    }

    #[test]
    fn a_dispute_resumes_where_it_stood() {
        let answered = || disputed().given(submit(1, 1, "signed for"));
        answered()
            .given(lose(1, 1))
            .corrected(1, "payment.dispute_lost")
            .then_dispute_stands(DisputeStatus::UnderReview)
            .given(submit(1, 1, "a photo"));
        // What was said before it was reopened counts no more.
        answered()
            .given(win(1, 1))
            .given(reopen(1, 1))
            .given(lose(1, 1))
            .corrected(1, "payment.dispute_lost")
            .then_dispute_stands(DisputeStatus::NeedsResponse);
        disputed()
            .days_later(14)
            .given(lose(1, 1))
            .corrected(1, "payment.dispute_lost")
            .then_dispute_stands(DisputeStatus::UnderReview);
    }

    #[test]
    fn a_charge_back_is_taken_back_only_while_it_is_there() {
        disputed()
            .given(lose(1, 1))
            .given(withdraw(1, eur(1)))
            .when_corrected(1, "payment.dispute_lost")
            .then_rejected(not_covered(3_999, 4_000))
            .then_dispute_stands(DisputeStatus::Lost)
            .given(deposit(1, eur(1)))
            .when_corrected(2, "payment.dispute_lost")
            .then_client(1, 0, 0);
    }

    #[test]
    fn what_is_reserved_again_has_its_limit() {
        disputed()
            .given(lose(1, 1))
            .given(deposit_to_merchant(1, eur(BALANCE_MAX - 8_000)))
            .when_corrected(1, "payment.dispute_lost")
            .then_rejected(past_the_limit())
            .given(request_payout(1, eur(8_000)))
            .given(change_payout(1, PayoutNews::Paid))
            .when_corrected(2, "payment.dispute_lost")
            .then_dispute_stands(DisputeStatus::NeedsResponse);
    }

    #[test]
    fn a_charge_back_in_another_currency_is_mirrored() {
        let ledger = Ledger::shop()
            .given(deposit(1, eur(90_000)))
            .given(set_rate("EUR", "JPY", "160.05", 30))
            .given(pay(1, jpy(16_004)))
            .given(open_dispute(1, 1));
        let before: Vec<_> = [eur(0), jpy(0)].map(|of| fx(&ledger, of)).into();
        let ledger = ledger.given(lose(1, 1)).corrected(1, "payment.dispute_lost");
        assert_eq!([eur(0), jpy(0)].map(|of| fx(&ledger, of)).to_vec(), before);
        let amounts = ledger.amounts(1);
        assert_eq!((amounts.given_back_to_purse, amounts.refunded_to_purse, amounts.charged_back), (0, 0, 0));
        let ledger = ledger.given(win(1, 1)).given(refund(1)).then_account(Account::HouseFx, eur(0));
        assert_eq!(ledger.state.client_balance(client(1), euro()).available, 100_000);
    }

    fn fx(ledger: &Ledger, of: Money) -> i128 {
        ledger.account_in(Account::HouseFx, of.currency)
    }

    #[test]
    fn no_order_of_corrections_brings_the_client_more_than_the_whole() {
        // f: 1, 2, 2, 3, 4, 4 at 1.6 yen to the cent.
        for corrected in 1..=5_u8 {
            let mut ledger = Ledger::shop().given(set_rate("EUR", "JPY", "160", 30)).given(pay(1, jpy(6)));
            for n in 1..=5 {
                ledger = ledger.given(open_dispute_part(n, 1, jpy(1))).given(lose(n, 1));
                if n == corrected {
                    // Two more go back, then this one is corrected.
                    let lost = ledger.last("payment.dispute_lost");
                    ledger = ledger.given(refund_part(1, jpy(1)));
                    ledger =
                        ledger.given(request_correction(1, &lost)).given(approve_correction(1, &lost, 2));
                    break;
                }
            }
            let ledger =
                ledger.given(win(corrected, 1)).given(refund(1)).then_account(Account::HouseFx, eur(0));
            assert_eq!(ledger.state.client_balance(client(1), euro()).available, 10_000, "{corrected}");
            assert_eq!(ledger.amounts(1).given_back_to_purse, 4);
        }
    }
}
