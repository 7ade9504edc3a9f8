//! The fold on a log that `ledger-core` wrote: every type of event holds, and a copy in which one event
//! breaks a rule is told by that event.

mod anything;
mod corrections;
mod reconciliation;

use std::collections::BTreeSet;

use ledger_core::api_key::Role;
use ledger_core::card_number::{Brand, Expiry, Fingerprint};
use ledger_core::command::*;
use ledger_core::event::{CaptureMode, PaymentCard, PaymentDetails, Settings};
use ledger_core::fee::{FeeSchedule, RefundFee};
use ledger_core::ids::*;
use ledger_core::personal::Sealed;
use ledger_core::state::{Key, Record};
use ledger_core::{Command, Currency, Envelope, Money, State, Timestamp};
use serde_json::{Value, json};
use sqlx::types::Uuid;

use super::{assert_first, audit, master, outcomes, row, subject_key, wrong_tables_of};
use crate::audit::log::LogRow;
use crate::audit::model::WRITE_SIDE;
use crate::audit::report::Report;
use crate::audit::subject::Vault;

const DAY: i64 = 86_400_000_000;

/// Every type but those of corrections, each of which [`life`] holds.
const TYPES: [&str; 36] = [
    "api_key.created",
    "api_key.revoked",
    "card.blocked",
    "card.issued",
    "card.unblocked",
    "client.closed",
    "client.deposited",
    "client.opened",
    "client.withdrawn",
    "fx.rate_set",
    "merchant.balance_written_off",
    "merchant.deposited",
    "merchant.opened",
    "merchant.reinstated",
    "merchant.settings_changed",
    "merchant.suspended",
    "payment.authorization_expiring",
    "payment.authorization_incremented",
    "payment.authorized",
    "payment.captured",
    "payment.declined",
    "payment.dispute_evidence_submitted",
    "payment.dispute_lost",
    "payment.dispute_reopened",
    "payment.dispute_won",
    "payment.disputed",
    "payment.expired",
    "payment.refunded",
    "payment.voided",
    "payout.failed",
    "payout.paid",
    "payout.requested",
    "payout.returned",
    "reconciliation.items",
    "reconciliation.run",
    "settlement.closed",
];

/// Who asks.
#[derive(Clone, Copy)]
enum Who {
    Operator,
    /// Another operator.
    Second,
    Merchant,
    System,
}

use Who::{Merchant, Operator, Second, System};

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 + n)
}

fn currency(code: &str) -> Currency {
    code.parse().unwrap()
}

fn money(amount: i64, code: &str) -> Money {
    Money::new(amount, currency(code))
}

/// A ledger at work.
#[derive(Default)]
struct Life {
    state: State,
    events: Vec<Value>,
    commands: u128,
    micros: i64,
}

impl Life {
    fn now(&self) -> Timestamp {
        let begin: Timestamp = "2026-11-24T08:00:00.000000Z".parse().unwrap();
        begin.plus_micros(self.micros)
    }

    fn event_id(&self) -> EventId {
        EventId::new(uuid(0x1_0000 + self.commands * 0x100))
    }

    /// Seals a field of the next command's first event.
    fn seal(&self, subject: impl Into<StreamId>, field: &str) -> Sealed {
        let text = json!("words of a person");
        Sealed::seal(&subject_key(), subject.into(), self.event_id(), field, [7; 12], &text)
    }

    fn seal_for_client(&self, field: &str) -> Sealed {
        self.seal(StreamId::Client(client(1)), field)
    }

    fn days_later(&mut self, days: i64) {
        self.micros += days * DAY;
    }

    /// Carries a command out that must append so many events.
    #[track_caller]
    fn run(&mut self, who: Who, count: usize, command: Command) {
        let before = self.events.len();
        let asked = format!("{command:?}");
        self.attempt(who, command);
        assert_eq!(self.events.len() - before, count, "{asked}");
    }

    /// Decides a command, and appends what comes out if it is not refused.
    fn attempt(&mut self, who: Who, command: Command) {
        loop {
            let needs = self.state.needs(&command);
            if needs.is_empty() {
                break;
            }
            needs.into_iter().for_each(|key| self.state.learn(key, None));
        }
        let context = Context { now: self.now(), event_id: self.event_id() };
        let Ok(drafts) = self.state.decide(&command, &context) else { return };
        self.commands += 1;
        self.micros += 1;
        for draft in drafts {
            let envelope = Envelope {
                position: self.events.len() as u64 + 1,
                version: self.state.stream_version(draft.stream_id) + 1,
                recorded_at: context.now,
                actor: match who {
                    Operator => key(1).to_string(),
                    Second => key(4).to_string(),
                    Merchant => key(2).to_string(),
                    System => "system:test".to_owned(),
                },
                request_id: match who {
                    Operator | Second | Merchant => Some(format!("request-{}", self.commands)),
                    System => None,
                },
                draft,
            };
            self.state.evolve(&envelope);
            self.events.push(serde_json::from_str(&envelope.canonical().unwrap()).unwrap());
        }
    }

    fn pay(&mut self, n: u128, amount: Money, edit: impl FnOnce(&mut Authorize)) {
        let mut authorize = Authorize {
            id: payment(n),
            details: PaymentDetails {
                merchant_id: merchant(1),
                amount,
                card: PaymentCard {
                    id: Some(card(1)),
                    brand: Some(Brand::Visa),
                    last4: "4242".to_owned(),
                    expiry: Expiry::new(11, 2029).unwrap(),
                },
                capture: CaptureMode::Automatic,
                reference: Some(format!("order {n}")),
                description: Some(self.seal_for_client("description")),
                metadata: None,
            },
            number_valid: true,
            cvc_matches: true,
            valid_days: 7,
        };
        edit(&mut authorize);
        let captures = authorize.details.capture == CaptureMode::Automatic && authorize.cvc_matches;
        self.run(Merchant, 1 + usize::from(captures), Command::Authorize(Box::new(authorize)));
    }

    fn hold(&mut self, n: u128, amount: Money) {
        self.pay(n, amount, |pay| pay.details.capture = CaptureMode::Manual);
    }

    fn capture(&mut self, n: u128, amount: Money, is_final: bool) {
        let (payment_id, merchant_id) = (payment(n), merchant(1));
        let capture = Capture { payment_id, merchant_id, amount: Some(amount), is_final };
        self.run(Merchant, 1, Command::Capture(capture));
    }

    fn refund(&mut self, id: u128, n: u128, amount: Money) {
        let reason = Some(self.seal_for_client("reason"));
        let (payment_id, merchant_id) = (payment(n), merchant(1));
        let refund =
            Refund { id: RefundId::new(uuid(id)), payment_id, merchant_id, amount: Some(amount), reason };
        self.run(Merchant, 1, Command::Refund(refund));
    }

    fn dispute(&mut self, id: u128, n: u128, amount: Money) {
        let reason = self.seal_for_client("reason");
        let (id, payment_id) = (DisputeId::new(uuid(id)), payment(n));
        let open = OpenDispute { id, payment_id, amount: Some(amount), reason };
        self.run(Operator, 1, Command::OpenDispute(open));
    }

    fn evidence(&mut self, id: u128, n: u128) {
        let text = self.seal_for_client("text");
        let submit = SubmitEvidence { dispute: dispute_of(id, n), merchant_id: merchant(1), text };
        self.run(Merchant, 1, Command::SubmitEvidence(submit));
    }

    fn reopen(&mut self, id: u128, n: u128) {
        let reason = Some(self.seal_for_client("reason"));
        let reopen = ReopenDispute { dispute: dispute_of(id, n), reason };
        self.run(Operator, 1, Command::ReopenDispute(reopen));
    }

    fn settle(&mut self, who: Who, id: u128, count: usize) {
        let candidates: BTreeSet<_> =
            ["EUR", "JPY", "USD"].into_iter().map(|code| (merchant(1), currency(code))).collect();
        let settle = Settle { id: SettlementId::new(uuid(id)), merchant: None, candidates, as_of: None };
        self.run(who, count, Command::Settle(settle));
    }

    fn payout(&mut self, id: u128, amount: Money) {
        let (id, merchant_id) = (PayoutId::new(uuid(id)), merchant(1));
        let reference = Some("week 48".to_owned());
        let request = RequestPayout { id, merchant_id, amount, reference };
        self.run(Merchant, 1, Command::RequestPayout(request));
    }

    fn news(&mut self, id: u128, news: PayoutNews) {
        let id = PayoutId::new(uuid(id));
        let reason = Some(self.seal(StreamId::Payout(id), "reason"));
        self.run(Operator, 1, Command::ChangePayout(ChangePayout { id, news, reason }));
    }

    fn cash(&self, n: u128, amount: Money) -> MoveCash {
        let reference = Some(self.seal(StreamId::Client(client(n)), "reference"));
        MoveCash { client_id: client(n), amount, reference }
    }

    fn deposit(&mut self, n: u128, amount: Money) {
        let cash = self.cash(n, amount);
        self.run(Operator, 1, Command::Deposit(cash));
    }

    fn withdraw(&mut self, n: u128, amount: Money) {
        let cash = self.cash(n, amount);
        self.run(Operator, 1, Command::Withdraw(cash));
    }

    fn set_rate(&mut self, from: &str, to: &str, rate: &str, days: u32) {
        let (from, to) = (currency(from), currency(to));
        let valid_until = self.now().plus_days(days);
        let set = SetFxRate { from, to, rate: rate.parse().unwrap(), valid_until };
        self.run(Operator, 1, Command::SetFxRate(set));
    }

    fn issue(&mut self, n: u8, holder: u128) {
        let issue = IssueCard {
            id: card(n.into()),
            client_id: client(holder),
            fingerprint: Fingerprint([n; 32]),
            brand: Brand::Visa,
            last4: "4242".to_owned(),
            expiry: Expiry::new(11, 2029).unwrap(),
            registered: true,
            fingerprint_key: 1,
            cvc_key: 1,
        };
        self.run(Operator, 1, Command::IssueCard(issue));
    }

    fn open(&mut self) {
        let create = |n, role, merchant_id| {
            Command::CreateKey(CreateKey { id: key(n), role, merchant_id, secret_hash: [0; 32] })
        };
        self.run(System, 1, create(1, Role::Operator, None));
        for n in [1, 2] {
            let name = self.seal(StreamId::Client(client(n)), "name");
            let open = OpenClient { id: client(n), name, email: None, metadata: None };
            self.run(Operator, 1, Command::OpenClient(open));
        }
        let fixed = vec![money(25, "EUR"), money(30, "USD")];
        let settings = Settings {
            fee: FeeSchedule { percent: "1.40".parse().unwrap(), fixed },
            fee_version: 1,
            settlement_delay_days: 2,
            refund_fee: RefundFee::Returned,
            negative_limit: vec![money(5_000, "EUR")],
        };
        let name = "Corner shop".to_owned();
        let open = OpenMerchant { id: merchant(1), name, metadata: None, settings };
        self.run(Operator, 1, Command::OpenMerchant(open));
        self.run(Operator, 1, create(2, Role::Merchant, Some(merchant(1))));
        self.run(Operator, 1, create(3, Role::Auditor, None));
        self.run(System, 1, Command::RevokeKey(key(3)));
        self.issue(1, 1);
        self.deposit(1, money(50_000, "EUR"));
        self.deposit(1, money(100_000, "JPY"));
        // Cheap, but nothing of it is there.
        self.set_rate("CHF", "USD", "1.2500", 30);
        self.set_rate("EUR", "USD", "1.0850", 1);
        self.set_rate("EUR", "USD", "1.0937", 30);
        self.set_rate("JPY", "USD", "0.0066", 30);
    }

    fn first_day(&mut self) {
        self.pay(1, money(10_000, "EUR"), |_| {});
        self.hold(2, money(5_000, "USD"));
        let increment =
            Increment { payment_id: payment(2), merchant_id: merchant(1), amount: money(1_001, "USD") };
        self.run(Merchant, 1, Command::Increment(increment));
        self.capture(2, money(2_003, "USD"), false);
        self.capture(2, money(1_507, "USD"), true);
        self.refund(1, 2, money(777, "USD"));
        self.hold(3, money(2_000, "EUR"));
        self.hold(4, money(700, "EUR"));
        let reason = Some(self.seal_for_client("reason"));
        self.run(
            Merchant,
            1,
            Command::Void(Void { payment_id: payment(4), merchant_id: merchant(1), reason }),
        );
        self.dispute(1, 1, money(3_000, "EUR"));
        self.evidence(1, 1);
        self.run(Operator, 1, Command::WinDispute(dispute_of(1, 1)));
        self.reopen(1, 1);
        self.run(Operator, 1, Command::LoseDispute(dispute_of(1, 1)));
        self.dispute(2, 2, money(1_000, "USD"));
        let reason = self.seal(StreamId::Merchant(merchant(1)), "reason");
        let write_off = WriteOff { id: merchant(1), amount: money(500, "EUR"), reason };
        self.run(Operator, 1, Command::WriteOff(write_off));
        let reference = Some(self.seal(StreamId::Merchant(merchant(1)), "reference"));
        let deposit = DepositToMerchant { id: merchant(1), amount: money(400, "EUR"), reference };
        self.run(Operator, 1, Command::DepositToMerchant(deposit));
        for n in 10..14 {
            self.pay(n, money(100, "EUR"), |pay| pay.cvc_matches = false);
        }
        let change = |reason| Command::UnblockCard(ChangeCard { id: card(1), reason });
        let reason = Some(self.seal_for_client("reason"));
        self.run(Operator, 1, change(reason));
        let reason = Some(self.seal_for_client("reason"));
        self.run(Operator, 1, Command::BlockCard(ChangeCard { id: card(1), reason }));
        self.run(Operator, 1, change(None));
    }

    fn later_days(&mut self) {
        self.days_later(2);
        self.settle(System, 0x100, 2);
        self.payout(1, money(2_000, "EUR"));
        self.news(1, PayoutNews::Paid);
        self.news(1, PayoutNews::Returned);
        self.payout(2, money(1_000, "EUR"));
        self.news(2, PayoutNews::Failed);
        self.payout(3, money(3_000, "EUR"));
        self.news(3, PayoutNews::Paid);
        // From available, below zero.
        self.refund(2, 1, money(6_500, "EUR"));
        let change = |reason| ChangeMerchant { id: merchant(1), reason };
        let reason = Some(self.seal(StreamId::Merchant(merchant(1)), "reason"));
        self.run(Operator, 1, Command::SuspendMerchant(change(reason)));
        self.run(Operator, 1, Command::ReinstateMerchant(change(None)));
        let settings = ChangeSettings {
            id: merchant(1),
            fee: None,
            settlement_delay_days: Some(0),
            refund_fee: Some(RefundFee::Kept),
            negative_limit: None,
        };
        self.run(Operator, 1, Command::ChangeSettings(settings));
        self.pay(5, money(1_234, "USD"), |pay| pay.valid_days = 30);
        self.refund(3, 5, money(1_000, "USD"));
        self.days_later(4);
        self.run(System, 1, Command::WarnOfExpiry(payment(3)));
        self.days_later(1);
        self.run(System, 1, Command::Expire(payment(3)));
        self.days_later(7);
        self.run(System, 1, Command::LoseUnanswered(dispute_of(2, 2)));
        self.settle(Operator, 0x200, 1);
        self.deposit(2, money(100, "EUR"));
        self.withdraw(2, money(100, "EUR"));
        let reason = Some(self.seal(StreamId::Client(client(2)), "reason"));
        self.run(Operator, 1, Command::CloseClient(CloseClient { id: client(2), reason }));
        self.reconcile();
    }
}

fn client(n: u128) -> ClientId {
    ClientId::new(uuid(n))
}

fn merchant(n: u128) -> MerchantId {
    MerchantId::new(uuid(n))
}

fn card(n: u128) -> CardId {
    CardId::new(uuid(n))
}

fn payment(n: u128) -> PaymentId {
    PaymentId::new(uuid(n))
}

fn key(n: u128) -> KeyId {
    KeyId::new(uuid(n))
}

fn dispute_of(id: u128, n: u128) -> DisputeOf {
    DisputeOf { id: DisputeId::new(uuid(id)), payment_id: payment(n) }
}

/// A log in which everything happens.
fn life() -> Life {
    let mut life = Life::default();
    life.open();
    life.first_day();
    life.later_days();
    life
}

fn rows(events: &[Value]) -> Vec<LogRow> {
    events.iter().map(row).collect()
}

/// The keys of all that personal words are sealed for.
fn vault(events: &[Value]) -> Vault {
    let subjects = events.iter().filter_map(|event| event["stream_id"].as_str()?.parse().ok());
    let subjects = subjects.filter(|subject| {
        matches!(
            subject,
            StreamId::Client(_)
                | StreamId::Merchant(_)
                | StreamId::Payout(_)
                | StreamId::Correction(_)
                | StreamId::Reconciliation(_)
        )
    });
    let wrapped = subjects.map(|subject| (subject, master().wrap(&subject_key(), subject, [3; 12])));
    Vault { wrapped: wrapped.collect(), ..Vault::new(Some(master())) }
}

fn audit_life(life: &Life) -> Report {
    let rows = rows(&life.events);
    audit(&rows, &outcomes(&rows), vault(&life.events))
}

#[test]
fn every_type_of_event_holds() {
    let life = life();
    let report = audit_life(&life);
    assert!(report.holds(), "{report}");
    let types: BTreeSet<&str> = life.events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(types, TYPES.into());
}

/// A row of a table: its cells, of which `None` is NULL.
type Cells = (&'static str, Vec<Option<String>>);

/// Writes the row of a record as the write side keeps it; none for what has no row of its own.
fn kept(key: &Key, record: &Record) -> Option<Cells> {
    let json = |state: Value| crate::audit::canonical::text(&state).ok();
    let text = |number: &dyn ToString| Some(number.to_string());
    let row = record.row()?;
    let of = |owner: &dyn ToString, currency: &Currency, amounts: [i64; 7], unsettled: Value| {
        let amounts = amounts.map(|amount| Some(amount.to_string()));
        let row = [json(unsettled), text(&row.version), text(&row.position)];
        [text(owner), text(currency)].into_iter().chain(amounts).chain(row).collect()
    };
    let state = |id: &dyn ToString, state: Value| {
        vec![text(id), json(state), text(&row.version), text(&row.position)]
    };
    Some(match (key, record) {
        (Key::ClientBalance(id, currency), Record::ClientBalance(has)) => {
            let amounts = [has.available, has.held, has.open.into(), 0, 0, 0, 0];
            ("balances", of(id, currency, amounts, json!({})))
        }
        (Key::MerchantBalance(id, currency), Record::MerchantBalance(has)) => {
            let amounts = [has.available, 0, 0, has.pending, has.reserved, has.in_transit, has.drawn];
            ("balances", of(id, currency, amounts, json!(has.unsettled)))
        }
        (_, Record::Client(client)) => ("owners", state(&client.id, json!(client))),
        (_, Record::Merchant(merchant)) => ("owners", state(&merchant.id, json!(merchant))),
        (_, Record::Card(card)) => ("cards", state(&card.id, json!(card))),
        (_, Record::ApiKey(key)) => (
            "api_keys",
            vec![
                text(&key.id),
                text(&key.created.role.name()),
                key.created.merchant_id.map(|id| id.to_string()),
                text(&key.revoked),
                text(&key.stamp.created_at),
                text(&key.stamp.updated_at),
                text(&key.stamp.version),
                text(&key.stamp.position),
            ],
        ),
        _ => return None,
    })
}

/// Compares the write side's rows at the end of a life with its log, and names the tables that do not hold.
fn wrong_write_side(life: &Life, edit: impl FnOnce(&mut Vec<Cells>)) -> Vec<&'static str> {
    let touched = life.state.touched().iter();
    let mut cells = touched.filter_map(|key| kept(key, life.state.get(key)?)).collect();
    edit(&mut cells);
    wrong_tables_of(&rows(&life.events), vault(&life.events), WRITE_SIDE, life.events.len(), &cells)
}

#[test]
fn the_write_side_is_refolded() {
    assert_eq!(wrong_write_side(&life(), |_| {}), Vec::<&str>::new());
    // While authorizations and a dispute are open, and nothing is settled.
    let mut first_day = Life::default();
    first_day.open();
    first_day.first_day();
    assert_eq!(wrong_write_side(&first_day, |_| {}), Vec::<&str>::new());
    for at in 0..12 {
        let spoil = |rows: &mut Vec<Cells>| {
            let (_, cells) = rows.iter_mut().find(|(table, _)| *table == "balances").unwrap();
            cells[at] = Some("0.5".to_owned());
        };
        assert_eq!(wrong_write_side(&first_day, spoil), ["balances"]);
    }
}

#[test]
fn a_capture_that_is_all_fee_counts_in_its_merchants_row() {
    let mut life = Life::default();
    life.open();
    life.pay(1, money(10, "EUR"), |_| {});
    life.refund(1, 1, money(10, "EUR"));
    let balance = life.state.merchant_balance(merchant(1), currency("EUR"));
    assert_eq!((balance.pending, balance.row.version), (0, 2));
    assert_eq!(wrong_write_side(&life, |_| {}), Vec::<&str>::new());
    life.days_later(2);
    life.settle(System, 0x100, 1);
    assert_eq!(wrong_write_side(&life, |_| {}), Vec::<&str>::new());
    assert!(audit_life(&life).holds());
}

/// When the `n`th event of a type was recorded.
fn moment(events: &[Value], kind: &str, n: usize) -> String {
    events[position(events, kind, n) - 1]["recorded_at"].as_str().unwrap().to_owned()
}

/// Compares rows of a read model at the end of a life with its log, and names the tables that do not hold.
fn wrong_read_model(life: &Life, name: &str, table: &'static str, found: &[Vec<&str>]) -> Vec<&'static str> {
    let cell = |cell: &&str| (*cell != "null").then(|| (*cell).to_owned());
    let cells: Vec<Cells> = found.iter().map(|cells| (table, cells.iter().map(cell).collect())).collect();
    let end = life.events.len();
    wrong_tables_of(&rows(&life.events), vault(&life.events), super::model(name), end, &cells)
}

#[test]
fn rates_are_all_kept() {
    let life = life();
    let at: Vec<String> = (0..4).map(|n| position(&life.events, "fx.rate_set", n).to_string()).collect();
    let set: Vec<String> = (0..4).map(|n| moment(&life.events, "fx.rate_set", n)).collect();
    let until = |n: usize| {
        let event = &life.events[position(&life.events, "fx.rate_set", n) - 1];
        event["data"]["valid_until"].as_str().unwrap()
    };
    let row = |n: usize, from, pair, rate| vec![at[n].as_str(), pair, from, "USD", rate, until(n), &set[n]];
    let rows = [
        row(0, "CHF", "fx_CHFUSD", "1.2500"),
        row(1, "EUR", "fx_EURUSD", "1.0850"),
        row(2, "EUR", "fx_EURUSD", "1.0937"),
        row(3, "JPY", "fx_JPYUSD", "0.0066"),
    ];
    assert_eq!(wrong_read_model(&life, "fx-rate", "fx_rates", &rows), Vec::<&str>::new());
    assert_eq!(wrong_read_model(&life, "fx-rate", "fx_rates", &rows[1..]), ["fx_rates"]);
}

#[test]
fn payouts_show_the_banks_last_news() {
    let life = life();
    let of = merchant(1).to_string();
    let ids: Vec<String> = (1..4).map(|n| PayoutId::new(uuid(n)).to_string()).collect();
    let asked: Vec<String> = (0..3).map(|n| moment(&life.events, "payout.requested", n)).collect();
    let last = [("payout.returned", 0), ("payout.failed", 0), ("payout.paid", 1)];
    let last =
        last.map(|(kind, n)| (moment(&life.events, kind, n), position(&life.events, kind, n).to_string()));
    let row = |n: usize, amount, status| {
        let (at, position) = &last[n];
        let reason = "words of a person";
        vec![ids[n].as_str(), &of, "EUR", amount, status, "week 48", reason, &asked[n], at, position]
    };
    let rows = [row(0, "2000", "returned"), row(1, "1000", "failed"), row(2, "3000", "paid")];
    assert_eq!(wrong_read_model(&life, "payout", "payouts", &rows), Vec::<&str>::new());
    let at = |kind, n| position(&life.events, kind, n).to_string();
    let paid = [at("payout.paid", 0), at("payout.returned", 0), at("payout.paid", 1)];
    let rows: Vec<Vec<&str>> = paid
        .iter()
        .zip(["2000", "0", "3000"])
        .map(|(position, after)| vec![of.as_str(), "EUR", position, after])
        .collect();
    let wrong = wrong_read_model(&life, "merchant-account", "merchant_paid_out", &rows);
    assert_eq!(wrong, ["merchants", "merchant_balances", "merchant_entries"]);
}

#[test]
fn disputes_show_where_they_stand() {
    let life = life();
    let ids = [1, 2].map(|n| (DisputeId::new(uuid(n)).to_string(), payment(n).to_string()));
    let of = merchant(1).to_string();
    let (reopened, lost) = (moment(&life.events, "payment.dispute_reopened", 0), [0, 1]);
    let opened = lost.map(|n| moment(&life.events, "payment.disputed", n));
    let ended = lost.map(|n| moment(&life.events, "payment.dispute_lost", n));
    let position = lost.map(|n| position(&life.events, "payment.dispute_lost", n).to_string());
    let due = [&reopened, &opened[1]].map(|at| at.parse::<Timestamp>().unwrap().plus_days(14).to_string());
    let row = |n: usize, currency, amount, evidence, again| {
        let (id, payment) = &ids[n];
        let head: [&str; 8] =
            [id, payment, of.as_str(), currency, amount, "words of a person", "lost", &due[n]];
        let tail: [&str; 5] = [evidence, again, &opened[n], &ended[n], &position[n]];
        head.into_iter().chain(tail).collect::<Vec<&str>>()
    };
    let rows = [row(0, "EUR", "3000", "words of a person", "true"), row(1, "USD", "1000", "null", "false")];
    assert_eq!(wrong_read_model(&life, "payment", "disputes", &rows), ["payments", "refunds"]);
    let rows = [row(0, "EUR", "3000", "null", "true"), row(1, "USD", "1000", "null", "false")];
    let wrong = wrong_read_model(&life, "payment", "disputes", &rows);
    assert_eq!(wrong, ["payments", "refunds", "disputes"]);
}

#[test]
fn what_another_currency_pays_is_shown_with_its_payment() {
    let mut life = Life::default();
    life.open();
    life.pay(1, money(2_003, "USD"), |pay| {
        pay.details.capture = CaptureMode::Manual;
        pay.details.description = None;
    });
    life.capture(1, money(1_000, "USD"), false);
    life.refund(1, 1, money(250, "USD"));
    let at = |kind| moment(&life.events, kind, 0);
    let (begun, refunded) = (at("payment.authorized"), at("payment.refunded"));
    let position = life.events.len().to_string();
    let expires_at = begun.parse::<Timestamp>().unwrap().plus_days(7).to_string();
    let (id, of, by, with) =
        (payment(1).to_string(), merchant(1).to_string(), client(1).to_string(), card(1).to_string());
    // 14.00 USD and 30 ct of fee in 10.00, of which a quarter went back.
    let amounts = ["2003", "2003", "1000", "0", "250", "0", "0", "33"];
    // ⌈2003 ÷ 1.0937⌉ = 1832, ⌈1000 ÷ 1.0937⌉ = 915, ⌈250 ÷ 1.0937⌉ = 229.
    let funding = ["EUR", "1.0937", "917", "915", "229"];
    let row = [&id, &of, &by, "partially_refunded", "USD"].into_iter().chain(amounts).chain(funding).chain([
        &*with,
        "visa",
        "4242",
        "11",
        "2029",
        "manual",
        "order 1",
        "null",
        "null",
        "null",
        &expires_at,
        &begun,
        &refunded,
        &position,
    ]);
    let wrong = wrong_read_model(&life, "payment", "payments", &[row.collect()]);
    assert_eq!(wrong, ["refunds"]);
}

#[test]
fn settlements_and_captures_are_rows_as_their_events_have_them() {
    let mut life = Life::default();
    life.open();
    life.pay(1, money(10_000, "EUR"), |_| {});
    life.days_later(2);
    life.settle(System, 0x100, 1);
    let (of, id, payment) =
        (merchant(1).to_string(), SettlementId::new(uuid(0x100)).to_string(), payment(1).to_string());
    let at = |kind| (moment(&life.events, kind, 0), position(&life.events, kind, 0).to_string());
    let ((closed, end), (captured, begin)) = (at("settlement.closed"), at("payment.captured"));
    let settlement = vec![&*id, &of, "EUR", "2026-11-26", "1", "10000", "165", "0", "9835", &closed, &end];
    let capture = vec![&*of, "EUR", "2026-11-26", &begin, &payment, "10000", "165", &captured];
    assert_eq!(wrong_read_model(&life, "settlement", "settlements", &[settlement]), ["captures"]);
    assert_eq!(wrong_read_model(&life, "settlement", "captures", &[capture]), ["settlements"]);
}

#[test]
fn deadlines_are_there_until_they_have_happened() {
    let mut life = Life::default();
    life.open();
    life.hold(1, money(2_000, "EUR"));
    life.hold(2, money(1_000, "EUR"));
    life.capture(2, money(400, "EUR"), false);
    life.dispute(1, 2, money(100, "EUR"));
    let of_payment = |n: u128| payment(n).to_string();
    let (a, b, of, by) = (of_payment(1), of_payment(2), merchant(1).to_string(), client(1).to_string());
    let begun = |n| moment(&life.events, "payment.authorized", n).parse::<Timestamp>().unwrap();
    let [ends_a, ends_b] = [0, 1].map(|n| begun(n).plus_days(7).to_string());
    let [warns_a, warns_b] = [0, 1].map(|n| begun(n).plus_days(6).to_string());
    let disputed = moment(&life.events, "payment.disputed", 0).parse::<Timestamp>().unwrap();
    let respond_by = disputed.plus_days(14).to_string();
    let dispute = DisputeId::new(uuid(1)).to_string();
    let day = format!("{of}:EUR:2026-11-26");
    let none = "null";
    let mut rows = vec![
        vec!["authorization_expiring", &a, &warns_a, &a, &by, &of, none, none, none],
        vec!["authorization_expiry", &a, &ends_a, &a, &by, &of, none, none, "2000"],
        vec!["authorization_expiring", &b, &warns_b, &b, &by, &of, none, none, none],
        vec!["authorization_expiry", &b, &ends_b, &b, &by, &of, none, none, "600"],
        vec!["dispute_response", &dispute, &respond_by, &b, &by, &of, none, none, none],
        vec!["settlement", &day, "2026-11-26T00:00:00.000000Z", none, none, &of, "EUR", "2026-11-26", none],
    ];
    let wrong = |life: &Life, rows: &[Vec<&str>]| wrong_read_model(life, "deadlines", "deadlines", rows);
    assert_eq!(wrong(&life, &rows), Vec::<&str>::new());
    life.evidence(1, 2);
    life.days_later(6);
    life.run(System, 1, Command::WarnOfExpiry(payment(1)));
    life.settle(System, 0x100, 1);
    rows.remove(5);
    rows.remove(4);
    rows.remove(0);
    assert_eq!(wrong(&life, &rows), Vec::<&str>::new());
    life.days_later(1);
    life.run(System, 1, Command::Expire(payment(1)));
    assert_eq!(wrong(&life, &rows[1..]), Vec::<&str>::new());
    assert_eq!(wrong(&life, &rows), ["deadlines"]);
}

/// Finds the `n`th event of a type.
fn position(events: &[Value], kind: &str, n: usize) -> usize {
    let mut of_type = events.iter().enumerate().filter(|(_, event)| event["type"] == kind);
    of_type.nth(n).unwrap_or_else(|| panic!("no {kind} {n}")).0 + 1
}

/// Changes the `n`th event of a type, which must then be the first that is told, for this.
#[track_caller]
fn forge(kind: &str, n: usize, what: &str, edit: impl FnOnce(&mut Value)) {
    forge_in(life(), kind, n, what, edit);
}

/// The same in another life.
#[track_caller]
fn forge_in(mut life: Life, kind: &str, n: usize, what: &str, edit: impl FnOnce(&mut Value)) {
    let kept = outcomes(&rows(&life.events));
    let position = position(&life.events, kind, n);
    edit(&mut life.events[position - 1]);
    assert_first(&audit(&rows(&life.events), &kept, vault(&life.events)), position, what);
}

/// Changes a member of the `n`th event's data.
#[track_caller]
fn forge_data(kind: &str, n: usize, what: &str, member: &str, value: Value) {
    forge(kind, n, what, |event| event["data"][member] = value);
}

/// Appends an event to the log, which must then be told for this.
#[track_caller]
fn append(life: Life, kind: &str, n: usize, what: &str, edit: impl FnOnce(&mut Value)) {
    let mut life = life;
    let mut event = life.events[position(&life.events, kind, n) - 1].clone();
    let at = life.events.len() + 1;
    let id = EventId::new(uuid(0xffff_0000));
    event["position"] = json!(at);
    event["event_id"] = json!(id);
    event["recorded_at"] = json!(life.now());
    for (name, value) in event["data"].as_object_mut().unwrap() {
        if let Ok(Sealed { subject, .. }) = serde_json::from_value(value.clone()) {
            *value = json!(Sealed::seal(&subject_key(), subject, id, name, [7; 12], &json!("words")));
        }
    }
    if !event["request_id"].is_null() {
        event["request_id"] = json!("another");
    }
    let stream = event["stream_id"].clone();
    let version = life.events.iter().filter(|other| other["stream_id"] == stream).count() + 1;
    event["version"] = json!(version);
    edit(&mut event);
    life.events.push(event);
    assert_first(&audit_life(&life), at, what);
}

fn usd(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

fn eur(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

#[test]
fn data_has_exactly_its_members() {
    for kind in TYPES {
        forge(kind, 0, "data", |event| event["data"]["note"] = json!(null));
    }
}

#[test]
fn schema_versions_are_those_of_the_type() {
    forge("payment.authorized", 0, "type", |event| event["schema_version"] = json!(3));
    forge("payment.authorized", 0, "data", |event| event["schema_version"] = json!(1));
    forge("payout.requested", 0, "type", |event| event["schema_version"] = json!(2));
}

#[test]
fn every_entry_is_that_of_the_table() {
    let moving = life().events;
    let kinds: BTreeSet<&str> = moving
        .iter()
        .filter(|event| event["postings"] != json!([]))
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(kinds.len(), 19);
    for kind in kinds {
        forge(kind, 0, "postings", |event| {
            let posting = event["postings"][0].as_object_mut().unwrap();
            let account = if posting["account"] == "house:bank" { "house:fx" } else { "house:bank" };
            posting.insert("account".to_owned(), json!(account));
        });
    }
}

#[test]
fn legs_in_the_currency_that_pays_are_differences_of_f() {
    // One minor unit more or less on both sides of the exchange balances, and is wrong all the same.
    for (kind, n) in [
        ("payment.authorized", 1),
        ("payment.authorization_incremented", 0),
        ("payment.captured", 1),
        ("payment.captured", 2),
        ("payment.refunded", 0),
        ("payment.dispute_lost", 1),
    ] {
        for by in [-1, 1] {
            forge(kind, n, "postings", |event| {
                let postings = event["postings"].as_array_mut().unwrap();
                let mut changed = BTreeSet::new();
                for posting in postings {
                    for side in ["debit", "credit"] {
                        if posting[side]["currency"] == "EUR" && changed.insert(side) {
                            posting[side]["amount"] = json!(posting[side]["amount"].as_i64().unwrap() + by);
                        }
                    }
                }
                assert_eq!(changed.len(), 2, "{kind}");
            });
        }
    }
}

#[test]
fn the_rate_is_the_one_in_force() {
    let funding = |currency: &str, rate: &str| json!({ "currency": currency, "rate": rate });
    for wrong in [funding("EUR", "1.0850"), funding("JPY", "0.0066"), funding("CHF", "1.2500"), json!(null)] {
        forge_data("payment.authorized", 1, "funding", "funding", wrong);
    }
    forge_data("payment.authorized", 0, "funding", "funding", funding("USD", "1.1"));
    forge_data("payment.authorized", 1, "rate", "funding", funding("EUR", "1.09370000000001"));
    // Expired at the moment of the authorization.
    let mut life = life();
    let authorized = position(&life.events, "payment.authorized", 1);
    let set = position(&life.events, "fx.rate_set", 2);
    life.events[set - 1]["data"]["valid_until"] = life.events[authorized - 1]["recorded_at"].clone();
    assert_first(&audit_life(&life), authorized, "funding");
}

#[test]
fn rates_are_for_their_pair_and_for_later() {
    forge_data("fx.rate_set", 0, "from", "from", json!("GBP"));
    forge_data("fx.rate_set", 0, "to", "to", json!("GBP"));
    forge_data("fx.rate_set", 0, "rate", "rate", json!("0"));
    forge("fx.rate_set", 0, "valid_until", |event| {
        event["data"]["valid_until"] = event["recorded_at"].clone();
    });
}

#[test]
fn authorizations_last_whole_days() {
    forge("payment.authorized", 0, "expires_at", |event| {
        event["data"]["expires_at"] = event["recorded_at"].clone();
    });
    forge_data("payment.authorized", 0, "expires_at", "expires_at", json!("2026-12-01T08:00:00.000000Z"));
}

#[test]
fn increments_come_in_time_and_to_what_is_open() {
    append(life(), "payment.authorization_incremented", 0, "recorded_at", |_| {});
    let mut voided = Life::default();
    voided.open();
    voided.first_day();
    append(voided, "payment.authorization_incremented", 0, "authorization", |_| {});
    forge_data("payment.authorization_incremented", 0, "amount", "amount", usd(0));
}

#[test]
fn a_warning_comes_once_within_a_day_of_the_end() {
    let early = |event: &mut Value| event["recorded_at"] = json!("2026-11-28T08:00:00.000000Z");
    let position_of = |life: &Life| position(&life.events, "payment.authorization_expiring", 0);
    let life_then = life();
    let warned = position_of(&life_then);
    // As if it had been told three days before.
    let mut forged = life();
    early(&mut forged.events[warned - 1]);
    assert_first(&audit_life(&forged), warned, "recorded_at");
    let expires_at = json!("2026-12-09T08:00:00.000000Z");
    forge_data("payment.authorization_expiring", 0, "expires_at", "expires_at", expires_at);
    forge_data("payment.authorization_expiring", 0, "capturable", "capturable", eur(1));
    let mut again = life();
    let mut second = again.events[warned - 1].clone();
    second["version"] = json!(second["version"].as_u64().unwrap() + 1);
    second["event_id"] = json!(EventId::new(uuid(0xffff_0000)));
    again.events.truncate(warned);
    second["position"] = json!(warned + 1);
    again.events.push(second);
    assert_first(&audit_life(&again), warned + 1, "warning");
}

#[test]
fn an_authorization_expires_once_its_time_is_over() {
    forge("payment.expired", 0, "recorded_at", |event| {
        event["recorded_at"] = json!("2026-12-01T08:00:00.000000Z");
    });
    forge_data("payment.expired", 0, "amount", "amount", eur(1_999));
    append(life(), "payment.expired", 0, "amount", |_| {});
    append(life(), "payment.voided", 0, "recorded_at", |_| {});
}

#[test]
fn disputes_are_about_what_did_not_go_back() {
    forge_data("payment.disputed", 0, "amount", "amount", eur(10_001));
    forge_data("payment.disputed", 1, "amount", "amount", usd(3_510 - 777 + 1));
    forge_data("payment.disputed", 1, "dispute_id", "dispute_id", json!(DisputeId::new(uuid(1))));
    forge_data("payment.disputed", 0, "reason", "reason", json!(null));
    forge_data("payment.disputed", 0, "respond_by", "respond_by", json!("2026-12-08T08:00:00.000000Z"));
}

#[test]
fn evidence_comes_in_time() {
    let mut life = life();
    let opened = position(&life.events, "payment.disputed", 0);
    let evidence = position(&life.events, "payment.dispute_evidence_submitted", 0);
    let at = life.events[evidence - 1]["recorded_at"].clone();
    life.events[opened - 1]["data"]["respond_by"] = at;
    let report = audit_life(&life);
    let told = report.findings.iter().find(|finding| finding.what == "recorded_at").unwrap();
    assert_eq!(told.place, crate::audit::report::Place::Event(evidence as u64), "{report}");
    append(super::life::life(), "payment.dispute_evidence_submitted", 0, "status before", |_| {});
    forge_data("payment.dispute_evidence_submitted", 0, "text", "text", json!(null));
    let other = json!(DisputeId::new(uuid(2)));
    forge_data("payment.dispute_evidence_submitted", 0, "dispute_id", "dispute_id", other);
}

#[test]
fn disputes_are_decided_once_and_for_their_amount() {
    forge_data("payment.dispute_won", 0, "amount", "amount", eur(2_999));
    append(life(), "payment.dispute_won", 0, "status before", |_| {});
    append(life(), "payment.dispute_lost", 1, "status before", |_| {});
    forge_data("payment.dispute_lost", 0, "actor", "reason", json!("no_response"));
    let mut life = life();
    let lost = position(&life.events, "payment.dispute_lost", 1);
    life.events[lost - 1]["recorded_at"] = json!("2026-12-08T07:00:00.000000Z");
    // By the operator, as only a person decides while there is time.
    assert_first(&audit_life(&life), lost, "reason");
    forge("payment.dispute_won", 0, "reason", |event| event["data"]["reason"] = json!("no_response"));
}

#[test]
fn silence_loses_a_dispute_and_nothing_wins_it() {
    let mut life = life();
    let lost = position(&life.events, "payment.dispute_lost", 1);
    let won = position(&life.events, "payment.dispute_won", 0);
    let (actor, request) = (life.events[won - 1]["actor"].clone(), json!("another"));
    let event = &mut life.events[lost - 1];
    event["type"] = json!("payment.dispute_won");
    event["data"]["reason"] = json!(null);
    event["actor"] = actor;
    event["request_id"] = request;
    assert_first(&audit_life(&life), lost, "dispute");
}

#[test]
fn a_dispute_is_opened_again_once() {
    let life_now = life();
    let respond_by = json!(life_now.now().plus_days(14));
    append(life_now, "payment.dispute_reopened", 0, "status before", |event| {
        event["data"]["respond_by"] = respond_by;
    });
    forge_data("payment.dispute_reopened", 0, "amount", "amount", eur(2_999));
    let mut twice = Life::default();
    twice.open();
    twice.pay(1, money(10_000, "EUR"), |_| {});
    twice.dispute(1, 1, money(3_000, "EUR"));
    twice.run(Operator, 1, Command::WinDispute(dispute_of(1, 1)));
    twice.reopen(1, 1);
    twice.run(Operator, 1, Command::WinDispute(dispute_of(1, 1)));
    let respond_by = json!(twice.now().plus_days(14));
    append(twice, "payment.dispute_reopened", 0, "dispute", |event| {
        event["data"]["respond_by"] = respond_by;
    });
}

#[test]
fn a_settlement_sums_up_the_captures_that_are_due() {
    for (member, value) in [
        ("count", json!(2)),
        ("gross", eur(10_001)),
        ("fees", eur(166)),
        ("absorbed", eur(1)),
        ("amount", eur(9_834)),
        ("through_day", json!("2026-11-27")),
    ] {
        forge_data("settlement.closed", 0, member, member, value);
    }
    forge_data("settlement.closed", 1, "absorbed", "absorbed", usd(0));
    // A day before that of the captures, and a second time.
    forge_data("settlement.closed", 0, "captures that are due", "through_day", json!("2026-11-25"));
    append(life(), "settlement.closed", 2, "captures that are due", |event| {
        event["stream_id"] = json!(SettlementId::new(uuid(0x300)));
        event["version"] = json!(1);
    });
}

#[test]
fn a_settlement_is_one_event() {
    append(life(), "settlement.closed", 0, "settlement.closed", |_| {});
}

#[test]
fn payouts_stay_within_what_is_available() {
    forge_data("payout.requested", 0, "amount", "amount", eur(100_000));
    forge_data("payout.requested", 0, "amount", "amount", eur(0));
}

#[test]
fn payouts_go_their_way() {
    append(life(), "payout.paid", 0, "status before", |_| {});
    append(life(), "payout.failed", 0, "status before", |_| {});
    append(life(), "payout.returned", 0, "status before", |_| {});
    forge_data("payout.paid", 0, "amount", "amount", eur(1));
    let early = |event: &mut Value| event["type"] = json!("payout.returned");
    forge("payout.paid", 0, "status before", early);
}

#[test]
fn nothing_new_comes_from_a_suspended_merchant() {
    let mut life = life();
    let reinstated = position(&life.events, "merchant.reinstated", 0);
    // Without its reinstatement the merchant is suspended when it is paid again.
    life.events[reinstated - 1]["type"] = json!("merchant.suspended");
    assert_first(&audit_life(&life), reinstated, "status before");
    for kind in ["payment.authorized", "payment.declined", "payout.requested"] {
        let mut life = super::life::life();
        let first = position(&life.events, kind, 0);
        let mut suspended = life.events[position(&life.events, "merchant.suspended", 0) - 1].clone();
        life.events.truncate(first - 1);
        let at = life.events.len();
        suspended["position"] = json!(at + 1);
        suspended["version"] = json!(
            life.events.iter().filter(|event| event["stream_id"] == suspended["stream_id"]).count() + 1
        );
        suspended["recorded_at"] = life.events[at - 1]["recorded_at"].clone();
        suspended["data"]["reason"] = json!(null);
        let mut event = super::life::life().events[first - 1].clone();
        event["position"] = json!(at + 2);
        life.events.extend([suspended, event]);
        assert_first(&audit_life(&life), at + 2, "merchant_id");
    }
    append(super::life::life(), "merchant.reinstated", 0, "status before", |_| {});
}

#[test]
fn only_debts_are_written_off() {
    forge_data("merchant.balance_written_off", 0, "amount", "amount", eur(3_001));
    forge_data("merchant.balance_written_off", 0, "reason", "reason", json!(null));
    forge_data("merchant.deposited", 0, "amount", "amount", eur(0));
}

#[test]
fn a_refund_goes_no_lower_than_the_limit() {
    let mut life = life();
    let opened = position(&life.events, "merchant.opened", 0);
    life.events[opened - 1]["data"]["negative_limit"] = json!([]);
    let refund = position(&life.events, "payment.refunded", 1);
    assert_first(&audit_life(&life), refund, "merchant's available balance");
    forge_data("payment.refunded", 0, "drawn", "drawn", usd(1));
    // The fee is kept by then.
    forge_data("payment.refunded", 2, "fee_returned", "fee_returned", usd(1));
}

#[test]
fn a_client_is_closed_with_nothing_left() {
    let mut life = life();
    let withdrawn = position(&life.events, "client.withdrawn", 0);
    let closed = position(&life.events, "client.closed", 0);
    let event = &mut life.events[withdrawn - 1];
    event["data"]["amount"] = eur(99);
    event["postings"][0]["debit"] = eur(99);
    event["postings"][1]["credit"] = eur(99);
    assert_first(&audit_life(&life), closed, "balances of the client");
    append(super::life::life(), "client.closed", 0, "client", |_| {});
    append(super::life::life(), "client.deposited", 2, "client", |_| {});
}

#[test]
fn a_client_is_not_closed_with_an_open_authorization_or_dispute() {
    let mut open = Life::default();
    open.open();
    open.pay(1, money(50_000, "EUR"), |_| {});
    open.withdraw(1, money(100_000, "JPY"));
    open.dispute(1, 1, money(1, "EUR"));
    let close = |life: &Life| {
        let mut event = super::life::life().events;
        let mut closed = event.swap_remove(position(&event, "client.closed", 0) - 1);
        closed["stream_id"] = json!(client(1));
        closed["data"]["reason"] = json!(null);
        let stream = closed["stream_id"].clone();
        let version = life.events.iter().filter(|event| event["stream_id"] == stream).count() + 1;
        closed["version"] = json!(version);
        closed["position"] = json!(life.events.len() + 1);
        closed["recorded_at"] = json!(life.now());
        closed
    };
    let closed = close(&open);
    open.events.push(closed);
    let at = open.events.len();
    assert_first(&audit_life(&open), at, "authorizations and disputes of the client");
}

#[test]
fn a_closed_client_is_paid_back_but_pays_no_more() {
    let mut life = Life::default();
    life.open();
    life.pay(1, money(10_000, "EUR"), |_| {});
    life.withdraw(1, money(40_000, "EUR"));
    life.withdraw(1, money(100_000, "JPY"));
    life.run(Operator, 1, Command::CloseClient(CloseClient { id: client(1), reason: None }));
    life.dispute(1, 1, money(4_000, "EUR"));
    life.run(Operator, 1, Command::LoseDispute(dispute_of(1, 1)));
    life.refund(1, 1, money(6_000, "EUR"));
    life.withdraw(1, money(10_000, "EUR"));
    life.hold_declined(2);
    let report = audit_life(&life);
    assert!(report.holds(), "{report}");
    let declined = position(&life.events, "payment.declined", 0);
    life.events[declined - 1]["data"]["decline_code"] = json!("insufficient_funds");
    assert_first(&audit_life(&life), declined, "attempt to pay");
}

impl Life {
    /// Tries to pay with what can't be used.
    fn hold_declined(&mut self, n: u128) {
        self.pay(n, money(1, "EUR"), |pay| pay.details.capture = CaptureMode::Manual);
    }
}

#[test]
fn who_asks_may() {
    for (kind, actor) in [
        ("payment.disputed", key(2)),
        ("payment.dispute_won", key(2)),
        ("payout.paid", key(2)),
        ("payout.requested", key(1)),
        ("payment.dispute_evidence_submitted", key(1)),
        ("client.closed", key(2)),
        ("merchant.deposited", key(2)),
        ("fx.rate_set", key(2)),
    ] {
        forge(kind, 0, "actor", |event| event["actor"] = json!(actor));
    }
    for kind in ["payment.expired", "payment.authorization_expiring"] {
        forge(kind, 0, "actor", |event| {
            event["actor"] = json!(key(1));
            event["request_id"] = json!("a request");
        });
    }
    for kind in ["client.deposited", "payment.voided", "payout.paid", "payment.dispute_won"] {
        forge(kind, 0, "actor", |event| {
            event["actor"] = json!("system:expiry");
            event["request_id"] = json!(null);
        });
    }
}

#[test]
fn only_the_ledger_itself_is_answered_with_nothing() {
    let life = life();
    let rows = rows(&life.events);
    let answered = |position: usize| {
        let mut kept = outcomes(&rows);
        let row = kept.iter_mut().find(|outcome| outcome.position == position as i64).unwrap();
        row.answer = "null".to_owned();
        audit(&rows, &kept, vault(&life.events))
    };
    let report = answered(position(&life.events, "payment.expired", 0));
    assert!(report.holds(), "{report}");
    let refund = position(&life.events, "payment.refunded", 0);
    assert_first(&answered(refund), refund, "outcome of the request");
    let mut kept = outcomes(&rows);
    let expired = position(&life.events, "payment.expired", 0);
    kept.retain(|outcome| outcome.position != expired as i64);
    assert_first(&audit(&rows, &kept, vault(&life.events)), expired, "outcome of the request");
}

#[test]
fn answers_name_disputes_pairs_and_lists() {
    let life = life();
    let rows = rows(&life.events);
    let at = |kind: &str, n| position(&life.events, kind, n) as u64;
    let (disputed, settled, set) =
        (at("payment.disputed", 0), at("settlement.closed", 1), at("fx.rate_set", 0));
    let settlements = |second: u128| {
        json!({ "data": [
            { "id": SettlementId::new(uuid(0x100)), "position": settled - 1 },
            { "id": SettlementId::new(uuid(second)), "position": settled },
        ] })
    };
    let dispute =
        |n| json!({ "id": DisputeId::new(uuid(n)), "payment_id": payment(1), "position": disputed });
    let rate = |from| json!({ "from": from, "to": "USD", "position": set });
    for (position, right, wrong) in [
        (disputed, dispute(1), dispute(2)),
        (settled, settlements(0x101), settlements(0x102)),
        (set, rate("CHF"), rate("EUR")),
    ] {
        for (answer, holds) in [(right, true), (wrong, false)] {
            let mut kept = outcomes(&rows);
            let row = kept.iter_mut().find(|outcome| outcome.position.unsigned_abs() == position).unwrap();
            row.answer = answer.to_string();
            let report = audit(&rows, &kept, vault(&life.events));
            assert_eq!(report.holds(), holds, "{report}");
        }
    }
}
