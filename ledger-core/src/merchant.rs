//! Merchants: opened once, their settings changed at will, suspended and reinstated, their debts paid or
//! written off.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::balance::MerchantBalance;
use crate::command::{ChangeMerchant, ChangeSettings, Context, DepositToMerchant, OpenMerchant, WriteOff};
use crate::envelope::{Draft, Envelope};
use crate::event::{BalanceWrittenOff, CashMoved, Event, MerchantOpened, Settings, StandingChanged};
use crate::ids::{EventId, MerchantId, StreamId};
use crate::journal::{Account, JournalEntry, Move};
use crate::money::{BALANCE_MAX, Money};
use crate::personal::Reason;
use crate::rejection::{Conflict, Rejection};
use crate::stamp::Stamp;
use crate::time::Timestamp;

/// The longest time from a capture to its settlement, in days.
pub const SETTLEMENT_DELAY_DAYS_MAX: u32 = 30;

/// A merchant, folded from its stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Merchant {
    /// The merchant.
    pub id: MerchantId,
    /// The name.
    pub name: String,
    /// What the operator noted.
    pub metadata: Option<Value>,
    /// Today's settings.
    #[serde(flatten)]
    pub settings: Settings,
    /// Whether it may take new payments and ask for payouts.
    #[serde(flatten)]
    pub status: MerchantStatus,
    /// Where the stream stands.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// Whether a merchant may take new payments, increments and payouts. All else goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "status")]
pub enum MerchantStatus {
    /// It may.
    Active,
    /// It may not.
    Suspended {
        /// Since when.
        suspended_at: Timestamp,
    },
}

impl Merchant {
    /// Begins a merchant with its first event.
    pub fn open(id: MerchantId, opened: &MerchantOpened, envelope: &Envelope) -> Self {
        let MerchantOpened { name, metadata, settings } = opened.clone();
        Self { id, name, metadata, settings, status: MerchantStatus::Active, stamp: Stamp::first(envelope) }
    }

    /// Folds a later event of the stream in.
    pub fn evolve(&mut self, envelope: &Envelope) {
        self.stamp.advance(envelope);
        match envelope.event() {
            Event::MerchantSettingsChanged(settings) => self.settings = settings.clone(),
            Event::MerchantSuspended(_) => {
                self.status = MerchantStatus::Suspended { suspended_at: envelope.recorded_at };
            }
            Event::MerchantReinstated(_) => self.status = MerchantStatus::Active,
            _ => {}
        }
    }

    /// Refuses what a suspended merchant may not do.
    pub fn check_active(&self) -> Result<(), Conflict> {
        match self.status {
            MerchantStatus::Active => Ok(()),
            MerchantStatus::Suspended { suspended_at } => Err(Conflict::MerchantSuspended { suspended_at }),
        }
    }
}

/// Opens a merchant.
pub fn open(command: &OpenMerchant, context: &Context) -> Vec<Draft> {
    let OpenMerchant { id, name, metadata, settings } = command.clone();
    vec![draft(id, context.event_id, Event::MerchantOpened(MerchantOpened { name, metadata, settings }))]
}

/// Changes settings; nothing happens if all is as it was.
pub fn change_settings(command: &ChangeSettings, merchant: &Merchant, context: &Context) -> Vec<Draft> {
    let ChangeSettings { id, fee, settlement_delay_days, refund_fee, negative_limit } = command.clone();
    let now = &merchant.settings;
    let settings = Settings {
        fee: fee.unwrap_or_else(|| now.fee.clone()),
        fee_version: now.fee_version,
        settlement_delay_days: settlement_delay_days.unwrap_or(now.settlement_delay_days),
        refund_fee: refund_fee.unwrap_or(now.refund_fee),
        negative_limit: negative_limit.unwrap_or_else(|| now.negative_limit.clone()),
    };
    if settings == *now {
        return Vec::new();
    }
    let settings = Settings { fee_version: now.fee_version.saturating_add(1), ..settings };
    vec![draft(id, context.event_id, Event::MerchantSettingsChanged(settings))]
}

/// Keeps a merchant from new payments, increments and payouts; nothing happens if it is suspended.
pub fn suspend(command: &ChangeMerchant, merchant: &Merchant, context: &Context) -> Vec<Draft> {
    match merchant.status {
        MerchantStatus::Suspended { .. } => Vec::new(),
        MerchantStatus::Active => {
            vec![draft(merchant.id, context.event_id, Event::MerchantSuspended(standing(command)))]
        }
    }
}

/// Ends a merchant's suspension; nothing happens if there is none.
pub fn reinstate(command: &ChangeMerchant, merchant: &Merchant, context: &Context) -> Vec<Draft> {
    match merchant.status {
        MerchantStatus::Active => Vec::new(),
        MerchantStatus::Suspended { .. } => {
            vec![draft(merchant.id, context.event_id, Event::MerchantReinstated(standing(command)))]
        }
    }
}

/// Moves money from the bank to a merchant.
pub fn deposit(
    command: &DepositToMerchant,
    balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let DepositToMerchant { id, amount, reference } = command.clone();
    if amount.amount <= 0 || !balance.can_rise_by(amount.amount) {
        return Err(Conflict::BalanceLimitExceeded { limit: Money::new(BALANCE_MAX, amount.currency) }.into());
    }
    let event = Event::MerchantDeposited(CashMoved { amount, reference });
    let to_merchant = Move::new(Account::HouseBank, Account::MerchantAvailable(id), amount);
    Ok(vec![Draft { postings: JournalEntry::of([to_merchant]), ..draft(id, context.event_id, event) }])
}

/// Ends a merchant's debt, or a part of it, at the house's expense.
pub fn write_off(
    command: &WriteOff,
    balance: &MerchantBalance,
    context: &Context,
) -> Result<Vec<Draft>, Rejection> {
    let WriteOff { id, amount, reason } = command.clone();
    let debt = balance.available.min(0).saturating_neg();
    if !(1..=debt).contains(&amount.amount) {
        let debt = Money::new(debt, amount.currency);
        return Err(Conflict::WriteOffExceedsDebt { debt, requested: amount }.into());
    }
    // What is pending or reserved may become available on top of a debt that is gone.
    if !balance.can_rise_by(amount.amount) {
        return Err(Conflict::BalanceLimitExceeded { limit: Money::new(BALANCE_MAX, amount.currency) }.into());
    }
    let event =
        Event::MerchantBalanceWrittenOff(BalanceWrittenOff { amount, reason: Reason::Person(reason) });
    let to_merchant = Move::new(Account::HouseLosses, Account::MerchantAvailable(id), amount);
    Ok(vec![Draft { postings: JournalEntry::of([to_merchant]), ..draft(id, context.event_id, event) }])
}

fn standing(command: &ChangeMerchant) -> StandingChanged {
    StandingChanged { reason: command.reason.clone().map(Reason::Person) }
}

fn draft(id: MerchantId, event_id: EventId, event: Event) -> Draft {
    Draft { event_id, stream_id: StreamId::Merchant(id), event, postings: JournalEntry::none() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api_key::Role;
    use crate::command::{
        ChangeMerchant, ChangeSettings, Command, DepositToMerchant, OpenMerchant, PayoutNews,
    };
    use crate::event::{BalanceWrittenOff, CashMoved, Event, MerchantOpened, Settings, StandingChanged};
    use crate::fee::RefundFee;
    use crate::journal::{Account, Leg, Posting};
    use crate::merchant::MerchantStatus;
    use crate::money::BALANCE_MAX;
    use crate::personal::Reason;
    use crate::rejection::{Conflict, Rejection};
    use crate::testing::*;
    use crate::time::Timestamp;

    #[test]
    fn a_merchant_is_opened_with_its_settings() {
        let (name, metadata) = ("Corner shop".to_owned(), Some(json!({ "district": "north" })));
        let opened = MerchantOpened { name, metadata, settings: settings() };
        let MerchantOpened { name, metadata, settings } = opened.clone();
        let command = OpenMerchant { id: merchant(1), name, metadata, settings };
        let ledger = Ledger::new().when(Command::OpenMerchant(command));
        let found = ledger.state.merchant(merchant(1)).unwrap();
        assert_eq!(
            (&found.name, &found.metadata, &found.settings),
            (&opened.name, &opened.metadata, &opened.settings)
        );
        ledger.then([Event::MerchantOpened(opened)]);
    }

    /// Changes one setting of a merchant that has the standard ones.
    fn changes_to(edit: impl FnOnce(&mut ChangeSettings), expected: Settings) {
        let expected = Settings { fee_version: 2, ..expected };
        let ledger = Ledger::shop().when(change_settings(1, edit));
        assert_eq!(ledger.state.merchant(merchant(1)).unwrap().settings, expected);
        assert_eq!(ledger.state.merchant(merchant(1)).unwrap().stamp.version, 2);
        ledger.then([Event::MerchantSettingsChanged(expected)]);
    }

    #[test]
    fn what_is_not_said_stays() {
        let lower = fee("0.5", &[]);
        changes_to(|change| change.fee = Some(lower.clone()), Settings { fee: lower.clone(), ..settings() });
        changes_to(
            |change| change.settlement_delay_days = Some(30),
            Settings { settlement_delay_days: 30, ..settings() },
        );
        changes_to(
            |change| change.refund_fee = Some(RefundFee::Kept),
            Settings { refund_fee: RefundFee::Kept, ..settings() },
        );
        let limit = vec![eur(500), jpy(70)];
        changes_to(
            |change| change.negative_limit = Some(limit.clone()),
            Settings { negative_limit: limit.clone(), ..settings() },
        );
    }

    #[test]
    fn a_list_can_be_emptied() {
        let ledger = Ledger::shop()
            .given(change_settings(1, |change| change.negative_limit = Some(vec![eur(5)])))
            .given(change_settings(1, |change| change.negative_limit = Some(Vec::new())));
        let found = ledger.state.merchant(merchant(1)).unwrap();
        assert_eq!(found.settings, Settings { fee_version: 3, ..settings() });
    }

    #[test]
    fn settings_as_they_are_change_nothing() {
        Ledger::shop()
            .when(change_settings(1, |_| {}))
            .then_nothing()
            .when(change_settings(1, |change| {
                change.fee = Some(settings().fee);
                change.settlement_delay_days = Some(2);
                change.refund_fee = Some(RefundFee::Returned);
                change.negative_limit = Some(Vec::new());
            }))
            .then_nothing()
            .when(change_settings(1, |change| change.fee = Some(fee("1.4", &[eur(25)]))))
            .then_nothing();
    }

    #[test]
    fn nobody_has_no_settings() {
        Ledger::new().when(change_settings(1, |_| {})).then_rejected(Rejection::NotFound);
    }

    #[test]
    fn merchants_do_not_share_settings() {
        let ledger = Ledger::shop()
            .given(open_merchant(2))
            .given(change_settings(2, |change| change.settlement_delay_days = Some(0)));
        assert_eq!(ledger.state.merchant(merchant(1)).unwrap().settings, settings());
    }

    // Suspension.

    fn suspended(at: &str) -> Conflict {
        Conflict::MerchantSuspended { suspended_at: at.parse().unwrap() }
    }

    #[test]
    fn a_merchant_is_suspended_and_reinstated_with_a_reason() {
        let change = || ChangeMerchant { id: merchant(1), reason: Some(sealed("disputes")) };
        let changed = StandingChanged { reason: Some(Reason::Person(sealed("disputes"))) };
        let status = |ledger: &Ledger| ledger.state.merchant(merchant(1)).unwrap().status;
        let ledger = Ledger::shop()
            .when(reinstate(1))
            .then_nothing()
            .later(7)
            .when(Command::SuspendMerchant(change()))
            .then([Event::MerchantSuspended(changed.clone())]);
        let suspended_at = BEGIN.parse::<Timestamp>().unwrap().plus_micros(7);
        assert_eq!(status(&ledger), MerchantStatus::Suspended { suspended_at });
        let ledger = ledger.later(1).when(suspend(1)).then_nothing();
        assert_eq!(status(&ledger), MerchantStatus::Suspended { suspended_at });
        let ledger = ledger
            .when(Command::ReinstateMerchant(change()))
            .then([Event::MerchantReinstated(changed)])
            .when(reinstate(1))
            .then_nothing();
        assert_eq!(status(&ledger), MerchantStatus::Active);
        ledger.when(pay(1, eur(1))).then_types(["payment.authorized", "payment.captured"]);
    }

    #[test]
    fn a_suspended_merchant_takes_nothing_new() {
        let ledger = Ledger::shop()
            .given(deposit_to_merchant(1, eur(100)))
            .given(hold(1, eur(100)))
            .given(open_merchant(2))
            .given(suspend(1));
        ledger
            .when(pay(2, eur(1)))
            .then_rejected(suspended(BEGIN))
            // Whatever is wrong with the card: nothing is declined, no attempt counted.
            .when(pay_with(2, eur(1), |pay| pay.cvc_matches = false))
            .then_rejected(suspended(BEGIN))
            .when(increment(1, eur(1)))
            .then_rejected(suspended(BEGIN))
            .when(request_payout(1, eur(1)))
            .then_rejected(suspended(BEGIN))
            .when(pay_with(2, eur(1), |pay| pay.details.merchant_id = merchant(2)))
            .then_types(["payment.authorized", "payment.captured"]);
    }

    #[test]
    fn all_else_goes_on() {
        Ledger::shop()
            .given(hold(1, eur(3_000)))
            .given(hold(2, eur(3_000)))
            .given(pay(3, eur(3_000)))
            .given(open_dispute_part(1, 3, eur(1_000)))
            .given(suspend(1))
            .given(capture_part(1, eur(1_000), false))
            .given(void(2))
            .given(refund_part(3, eur(1_000)))
            .given(submit(1, 3, "signed for"))
            .given(win(1, 3))
            .given(reopen(1, 3))
            .given(lose(1, 3))
            .given(change_settings(1, |change| change.settlement_delay_days = Some(0)))
            .given(deposit_to_merchant(1, eur(1_000)))
            .given(create_key(1, Role::Merchant, Some(merchant(1))))
            .days_later(6)
            .given(warn(1))
            .days_later(1)
            .given(expire(1))
            .settled(1);
    }

    // Debts.

    /// A merchant that owes 100.00 EUR: a dispute was lost before anything was settled.
    fn in_debt() -> Ledger {
        Ledger::shop()
            .given(pay(1, eur(10_000)))
            .given(open_dispute(1, 1))
            .given(lose(1, 1))
            .then_merchant(1, 9_835, -10_000)
    }

    #[test]
    fn a_deposit_pays_a_debt() {
        let moved = CashMoved { amount: eur(10_500), reference: Some(sealed("december")) };
        let command =
            DepositToMerchant { id: merchant(1), amount: eur(10_500), reference: Some(sealed("december")) };
        let ledger = in_debt()
            .when(Command::DepositToMerchant(command))
            .then([Event::MerchantDeposited(moved)])
            .then_merchant(1, 9_835, 500)
            .then_account(Account::HouseBank, eur(20_500));
        let posting = |account, leg| Posting { account, leg };
        assert_eq!(
            ledger.appended()[0].draft.postings.postings(),
            [
                posting(Account::HouseBank, Leg::Debit(eur(10_500))),
                posting(Account::MerchantAvailable(merchant(1)), Leg::Credit(eur(10_500))),
            ]
        );
        assert_eq!(ledger.state.merchant(merchant(1)).unwrap().stamp.version, 2);
    }

    #[test]
    fn a_deposit_has_its_limit() {
        Ledger::shop()
            .when(deposit_to_merchant(1, eur(BALANCE_MAX)))
            .then_merchant(1, 0, BALANCE_MAX)
            .when(deposit_to_merchant(1, eur(1)))
            .then_rejected(past_the_limit())
            .when(deposit_to_merchant(1, jpy(1)))
            .then_types(["merchant.deposited"]);
        for amount in [0, -1, i64::MIN, i64::MAX] {
            Ledger::shop().when(deposit_to_merchant(1, eur(amount))).then_rejected(past_the_limit());
        }
    }

    fn owes(debt: i64, requested: i64) -> Conflict {
        Conflict::WriteOffExceedsDebt { debt: eur(debt), requested: eur(requested) }
    }

    #[test]
    fn a_debt_is_written_off_at_the_houses_expense() {
        let written_off = BalanceWrittenOff { amount: eur(1), reason: Reason::Person(sealed("gone")) };
        let ledger = in_debt()
            .when(write_off(1, eur(10_001)))
            .then_rejected(owes(10_000, 10_001))
            .when(write_off(1, eur(1)))
            .then([Event::MerchantBalanceWrittenOff(written_off)]);
        let posting = |account, leg| Posting { account, leg };
        assert_eq!(
            ledger.appended()[0].draft.postings.postings(),
            [
                posting(Account::HouseLosses, Leg::Debit(eur(1))),
                posting(Account::MerchantAvailable(merchant(1)), Leg::Credit(eur(1))),
            ]
        );
        ledger
            .when(write_off(1, eur(9_999)))
            .then_merchant(1, 9_835, 0)
            .then_account(Account::HouseLosses, eur(10_000))
            .when(write_off(1, eur(1)))
            .then_rejected(owes(0, 1));
    }

    #[test]
    fn who_owes_nothing_is_forgiven_nothing() {
        Ledger::shop()
            .when(write_off(1, eur(1)))
            .then_rejected(owes(0, 1))
            .given(deposit_to_merchant(1, eur(5)))
            .when(write_off(1, eur(5)))
            .then_rejected(owes(0, 5));
        for amount in [0, -1, i64::MIN, i64::MAX] {
            in_debt().when(write_off(1, eur(amount))).then_rejected(owes(10_000, amount));
        }
    }

    #[test]
    fn a_debt_can_be_paid_or_forgiven_whatever_is_pending() {
        let full = || {
            in_debt()
                .given(change_settings(1, |change| change.fee = Some(fee("0", &[]))))
                .given(deposit(1, eur(BALANCE_MAX - 10_000)))
                .settled(1)
                .then_merchant(1, 0, -165)
                .given(withdraw(1, eur(10_000)))
                .given(deposit(1, eur(10_000)))
                .given(pay(2, eur(BALANCE_MAX)))
                .then_merchant(1, BALANCE_MAX, -165)
        };
        full()
            .when(deposit_to_merchant(1, eur(166)))
            .then_rejected(past_the_limit())
            .when(deposit_to_merchant(1, eur(165)))
            .then_merchant(1, BALANCE_MAX, 0);
        full().when(write_off(1, eur(165))).then_merchant(1, BALANCE_MAX, 0).settled(1).then_merchant(
            1,
            0,
            BALANCE_MAX,
        );
    }

    #[test]
    fn a_debt_that_is_gone_leaves_room_for_what_is_to_come() {
        // All that may be pending is, and a cent of it is reserved on top of a debt.
        Ledger::shop()
            .given(change_settings(1, |change| change.fee = Some(fee("0", &[]))))
            .given(pay(1, eur(1)))
            .settled(1)
            .given(request_payout(1, eur(1)))
            .given(change_payout(1, PayoutNews::Paid))
            .given(deposit(1, eur(BALANCE_MAX - 9_999)))
            .given(pay(2, eur(BALANCE_MAX)))
            .given(open_dispute(1, 1))
            .then_merchant(1, BALANCE_MAX, -1)
            .when(write_off(1, eur(1)))
            .then_rejected(past_the_limit())
            .given(win(1, 1))
            .settled(1)
            .then_merchant(1, 0, BALANCE_MAX);
    }
}
