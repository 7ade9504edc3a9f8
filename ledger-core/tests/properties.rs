//! What must hold after any commands in any order, checked on random ones.
//!
//! First of all the ledger does what the reference [`model`] says. Steps are the model's; [`command`] gives
//! them ids, so that the same plan can be run again, and in other batches. The other properties are named by
//! the invariant of the design that they check (I2, I3, I4, I11), or by the rule of the contract.
//!
//! A failing case prints its seed and shrinks, and is kept beside this file, to be tried first ever after.
//! `cargo xtask properties --cases N` runs N cases of each.
#![expect(clippy::unwrap_used, reason = "in a test a surprise has to stop")]

mod model;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ledger_core::api_key::Role;
use ledger_core::balance::Unsettled;
use ledger_core::card_number::{Brand, Expiry, Fingerprint};
use ledger_core::command::{
    ApproveCorrection, Authorize, Capture, ChangeCard, ChangeMerchant, ChangePayout, ChangeSettings,
    CloseClient, Context, CreateKey, DepositToMerchant, DisputeOf, Increment, IssueCard, MoveCash,
    OpenClient, OpenDispute, OpenMerchant, PayoutNews, Refund, ReopenDispute, RequestCorrection,
    RequestPayout, SetFxRate, Settle, SubmitEvidence, Void, WriteOff,
};
use ledger_core::event::{CaptureMode, DeclineCode, PaymentCard, PaymentDetails, Settings};
use ledger_core::fee::{FeeSchedule, RefundFee};
use ledger_core::ids::{
    CardId, ClientId, CorrectionId, DisputeId, EventId, KeyId, MerchantId, PaymentId, PayoutId, RefundId,
    SettlementId, StreamId,
};
use ledger_core::journal::{Leg, Move, Side};
use ledger_core::money::BALANCE_MAX;
use ledger_core::personal::Sealed;
use ledger_core::rejection::Conflict;
use ledger_core::state::{Key, Record};
use ledger_core::{
    Account, Command, Currency, Draft, Envelope, Event, JournalEntry, Money, Rejection, State, Timestamp,
};
use model::Model;
use model::plan::{all, setup};
use model::words::{self, Act, CURRENCIES, Cash, DAY, Flag, Mistake, News, Step, Thing, written};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use serde_json::Value;
use uuid::Uuid;

/// As many cases as `PROPTEST_CASES` says, 256 otherwise.
fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::WithSource("regressions");
    ProptestConfig { failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

// From the model's numbers to the ledger's names.

fn uuid(n: usize) -> Uuid {
    Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 | n as u128)
}

/// The number in an id.
fn number(id: impl std::fmt::Display) -> u8 {
    let text = id.to_string();
    u8::from_str_radix(&text[text.len() - 2..], 16).unwrap()
}

macro_rules! numbered {
    ($($name:ident -> $id:ident;)+) => {$(
        fn $name(n: u8) -> $id {
            $id::new(uuid(n.into()))
        }
    )+};
}

numbered! {
    client -> ClientId;
    merchant -> MerchantId;
    card -> CardId;
    payment -> PaymentId;
    dispute -> DisputeId;
    payout -> PayoutId;
    key -> KeyId;
    correction -> CorrectionId;
}

fn currency(code: &str) -> Currency {
    code.parse().unwrap()
}

fn money((amount, code): words::Money) -> Money {
    Money::new(amount.try_into().unwrap(), currency(code))
}

fn moment(micros: i128) -> Timestamp {
    "1970-01-01T00:00:00Z".parse::<Timestamp>().unwrap().plus_micros(micros.try_into().unwrap())
}

fn expiry() -> Expiry {
    Expiry::new(11, 2099).unwrap()
}

fn sealed() -> Sealed {
    Sealed { subject: StreamId::Client(client(0)), boxed: "c2VhbGVk".to_owned() }
}

fn settings_of(settings: words::Settings) -> Settings {
    let words::Settings { percent, fixed, delay, keeps_fee, limit } = settings;
    let percent = written((percent, 4)).parse().unwrap();
    let list = |list: &[words::Money]| list.iter().copied().map(money).collect();
    Settings {
        fee: FeeSchedule { percent, fixed: list(fixed) },
        fee_version: 1,
        settlement_delay_days: delay.try_into().unwrap(),
        refund_fee: if keeps_fee { RefundFee::Kept } else { RefundFee::Returned },
        negative_limit: list(limit),
    }
}

/// Makes a step's command; `n` numbers the steps of a run. What is corrected is found later, by its id.
fn command(step: &Step, n: usize) -> Command {
    let reason = || n.is_multiple_of(2).then(sealed);
    match *step {
        Step::OpenClient(id) => {
            let (id, name, email) = (client(id), sealed(), None);
            Command::OpenClient(OpenClient { id, name, email, metadata: reason() })
        }
        Step::IssueCard { client: holder, number } => Command::IssueCard(IssueCard {
            id: card(number),
            client_id: client(holder),
            fingerprint: Fingerprint([number; 32]),
            brand: Brand::Visa,
            last4: format!("424{number}"),
            expiry: expiry(),
            registered: true,
            fingerprint_key: 1,
            cvc_key: 1,
        }),
        Step::OpenMerchant(id, settings) => Command::OpenMerchant(OpenMerchant {
            id: merchant(id),
            name: "Größe \u{1f600} \"42\"".to_owned(),
            metadata: None,
            settings: settings_of(settings),
        }),
        Step::ChangeSettings(id, settings) => {
            let Settings { fee, settlement_delay_days, refund_fee, negative_limit, .. } =
                settings_of(settings);
            Command::ChangeSettings(ChangeSettings {
                id: merchant(id),
                fee: Some(fee),
                settlement_delay_days: Some(settlement_delay_days),
                refund_fee: Some(refund_fee),
                negative_limit: Some(negative_limit),
            })
        }
        Step::CreateKey(id, of) => Command::CreateKey(CreateKey {
            id: key(id),
            role: if of.is_some() { Role::Merchant } else { Role::Auditor },
            merchant_id: of.map(merchant),
            secret_hash: [0; 32],
        }),
        Step::Set(flag, id, to) => set(flag, id, to, reason()),
        Step::Move(cash, id, amount) => moved(cash, id, money(amount), reason()),
        Step::Pay { id, merchant: asks, number, money: amount, automatic, mistake, days } => {
            let expiry = match mistake {
                Mistake::PastExpiry => Expiry { month: 10, year: 2026 },
                Mistake::Expiry => Expiry { month: 12, ..expiry() },
                Mistake::None | Mistake::Number | Mistake::Cvc | Mistake::UnknownCard => expiry(),
            };
            let known = !matches!(mistake, Mistake::UnknownCard | Mistake::Number);
            let details = PaymentDetails {
                merchant_id: merchant(asks),
                amount: money(amount),
                card: PaymentCard {
                    id: known.then(|| card(number)),
                    brand: known.then_some(Brand::Visa),
                    last4: format!("424{number}"),
                    expiry,
                },
                capture: if automatic { CaptureMode::Automatic } else { CaptureMode::Manual },
                reference: Some(format!("order {n}")),
                description: reason(),
                metadata: None,
            };
            Command::Authorize(Box::new(Authorize {
                id: payment(id),
                details,
                number_valid: mistake != Mistake::Number,
                cvc_matches: mistake != Mistake::Cvc,
                valid_days: days.try_into().unwrap(),
            }))
        }
        Step::Act { id, by, act } => acted(payment(id), merchant(by.unwrap_or_default()), act, n),
        Step::Settle { merchant: one, currency: code, as_of } => {
            let merchants = (0..6).filter(|n| one.is_none_or(|one| one == *n));
            let candidates = merchants.flat_map(|n| {
                let codes = CURRENCIES.into_iter().filter(|it| code.is_none_or(|code| code == *it));
                codes.map(move |code| (merchant(n), currency(code)))
            });
            Command::Settle(Settle {
                id: SettlementId::new(uuid(n << 16)),
                merchant: one.map(merchant),
                candidates: candidates.collect(),
                as_of: as_of.map(moment),
            })
        }
        Step::RequestPayout { id, merchant: asks, money: amount } => Command::RequestPayout(RequestPayout {
            id: payout(id),
            merchant_id: merchant(asks),
            amount: money(amount),
            reference: Some(format!("payout {n}")),
        }),
        Step::ChangePayout(id, news) => {
            let news = match news {
                News::Paid => PayoutNews::Paid,
                News::Failed => PayoutNews::Failed,
                News::Returned => PayoutNews::Returned,
            };
            Command::ChangePayout(ChangePayout { id: payout(id), news, reason: reason() })
        }
        Step::SetRate { from, to, rate, valid_until } => Command::SetFxRate(SetFxRate {
            from: currency(from),
            to: currency(to),
            rate: written(rate).parse().unwrap(),
            valid_until: moment(valid_until),
        }),
        Step::RequestCorrection { id, nth, day, .. } => Command::RequestCorrection(RequestCorrection {
            id: correction(id),
            reversed: Box::new(unknown(event_id(nth))),
            effective_date: moment(day * DAY).day(),
            reason: sealed(),
        }),
        Step::ApproveCorrection { id, by } => Command::ApproveCorrection(ApproveCorrection {
            id: correction(id),
            reversed: Box::new(unknown(event_id(0))),
            by: key(by),
        }),
    }
}

fn set(flag: Flag, id: u8, to: bool, reason: Option<Sealed>) -> Command {
    match (flag, to) {
        (Flag::Closed, _) => Command::CloseClient(CloseClient { id: client(id), reason }),
        (Flag::Blocked, true) => Command::BlockCard(ChangeCard { id: card(id), reason }),
        (Flag::Blocked, false) => Command::UnblockCard(ChangeCard { id: card(id), reason: None }),
        (Flag::Suspended, true) => Command::SuspendMerchant(ChangeMerchant { id: merchant(id), reason }),
        (Flag::Suspended, false) => {
            Command::ReinstateMerchant(ChangeMerchant { id: merchant(id), reason: None })
        }
        (Flag::Revoked, _) => Command::RevokeKey(key(id)),
    }
}

fn moved(cash: Cash, id: u8, amount: Money, reference: Option<Sealed>) -> Command {
    match cash {
        Cash::Deposit => Command::Deposit(MoveCash { client_id: client(id), amount, reference }),
        Cash::Withdrawal => Command::Withdraw(MoveCash { client_id: client(id), amount, reference }),
        Cash::MerchantDeposit => {
            Command::DepositToMerchant(DepositToMerchant { id: merchant(id), amount, reference })
        }
        Cash::WriteOff => Command::WriteOff(WriteOff { id: merchant(id), amount, reason: sealed() }),
    }
}

fn acted(payment_id: PaymentId, merchant_id: MerchantId, act: Act, n: usize) -> Command {
    let reason = n.is_multiple_of(2).then(sealed);
    let of = |id| DisputeOf { id: dispute(id), payment_id };
    match act {
        Act::Increment(amount) => {
            Command::Increment(Increment { payment_id, merchant_id, amount: money(amount) })
        }
        Act::Capture(asked, is_final) => {
            Command::Capture(Capture { payment_id, merchant_id, amount: asked.map(money), is_final })
        }
        Act::Void => Command::Void(Void { payment_id, merchant_id, reason }),
        Act::Refund(asked) => {
            // Each id twice: a refund is told by its event, whatever its id.
            let id = RefundId::new(uuid(n / 2));
            Command::Refund(Refund { id, payment_id, merchant_id, amount: asked.map(money), reason })
        }
        Act::Warn => Command::WarnOfExpiry(payment_id),
        Act::Expire => Command::Expire(payment_id),
        Act::Dispute(id, asked) => {
            let (id, amount, reason) = (dispute(id), asked.map(money), sealed());
            Command::OpenDispute(OpenDispute { id, payment_id, amount, reason })
        }
        Act::Submit(id) => {
            Command::SubmitEvidence(SubmitEvidence { dispute: of(id), merchant_id, text: sealed() })
        }
        Act::Win(id) => Command::WinDispute(of(id)),
        Act::Lose(id) => Command::LoseDispute(of(id)),
        Act::LoseUnanswered(id) => Command::LoseUnanswered(of(id)),
        Act::Reopen(id) => Command::ReopenDispute(ReopenDispute { dispute: of(id), reason }),
    }
}

/// The id of the first event of the nth step of a run, if it has one; steps count from 1.
fn event_id(nth: usize) -> EventId {
    EventId::new(uuid(nth << 16))
}

/// An event of which no more than the id is known.
fn unknown(event_id: EventId) -> Envelope {
    Envelope {
        position: 0,
        version: 0,
        recorded_at: moment(0),
        actor: String::new(),
        request_id: None,
        draft: Draft {
            event_id,
            stream_id: StreamId::Client(client(0)),
            event: Event::ApiKeyRevoked(ledger_core::event::ApiKeyRevoked {}),
            postings: JournalEntry::none(),
        },
    }
}

// Plans.

/// A command with its moment, the ids of its events, and who gave it.
#[derive(Clone, Debug)]
struct Planned {
    command: Command,
    context: Context,
    actor: String,
}

impl Planned {
    fn new(step: &Step, n: usize, now: i128) -> Self {
        let actor = match step {
            Step::RequestCorrection { by, .. } | Step::ApproveCorrection { by, .. } => key(*by).to_string(),
            _ => "system:test".to_owned(),
        };
        let context = Context { now: moment(now), event_id: event_id(n + 1) };
        Self { command: command(step, n), context, actor }
    }
}

/// What a model has taken so far, which is the setup.
fn plan_of_setup(model: &Model) -> Vec<Planned> {
    let steps = setup(model.merchants[&1]);
    let first = model.now - i128::try_from(steps.len()).unwrap() + 1;
    let now = |n: usize| first + i128::try_from(n).unwrap();
    steps.iter().enumerate().map(|(n, step)| Planned::new(step, n, now(n))).collect()
}

fn any_plan(steps: usize) -> impl Strategy<Value = Vec<Planned>> {
    Model::sequential_strategy(1..steps).prop_map(|(model, transitions, _)| {
        let (mut plan, mut now) = (plan_of_setup(&model), model.now);
        for (wait, step) in transitions {
            now += wait;
            plan.push(Planned::new(&step, plan.len(), now));
        }
        plan
    })
}

// Running plans.

/// What is stored between batches: rows, and the log that payments are folded from.
#[derive(Default)]
struct Store {
    rows: HashMap<Key, Record>,
    log: Vec<Envelope>,
}

impl Store {
    /// Finds a record as the write side does: rows from their JSON, the others from their stream's texts.
    fn find(&self, key: &Key) -> Option<Record> {
        let stream = match key {
            Key::Payment(id) => Some(StreamId::Payment(*id)),
            Key::Payout(id) => Some(StreamId::Payout(*id)),
            Key::FxRate(from, to) => Some(StreamId::FxPair(*from, *to)),
            Key::Correction(id) => Some(StreamId::Correction(*id)),
            _ => None,
        };
        if let Some(stream) = stream {
            let mut state = State::default();
            for envelope in self.log.iter().filter(|envelope| envelope.stream_id() == stream) {
                state.evolve(&Envelope::parse(&envelope.canonical().unwrap()).unwrap());
            }
            return state.get(key).cloned();
        }
        Some(match self.rows.get(key)? {
            Record::Client(client) => Record::Client(through_json(client)),
            Record::Merchant(merchant) => Record::Merchant(through_json(merchant)),
            Record::Card(card) => {
                let mut read = through_json(card);
                read.row = card.row;
                Record::Card(read)
            }
            row => row.clone(),
        })
    }
}

fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// One batch: a state that knows what its commands needed, and the events that they made.
#[derive(Default)]
struct Batch {
    state: State,
    log: Vec<Envelope>,
    /// The log's length before the batch.
    head: u64,
}

impl Batch {
    /// Looks up what a command needs, until it needs nothing more.
    fn look_up(&mut self, command: &Command, store: &Store) {
        for _ in 0..4 {
            for key in self.state.needs(command) {
                self.state.learn(key, store.find(&key));
            }
        }
        assert_eq!(self.state.needs(command), [], "four rounds of look-ups are enough");
    }

    /// Finds the event that a correction is about, as the write side does before it looks anything up.
    fn resolve(&self, planned: &Planned, store: &Store) -> Result<Planned, Rejection> {
        let mut log = store.log.iter().chain(&self.log);
        let mut planned = planned.clone();
        match &mut planned.command {
            Command::RequestCorrection(RequestCorrection { reversed, .. }) => {
                let id = reversed.draft.event_id;
                let found = log.find(|envelope| envelope.draft.event_id == id);
                **reversed = found.ok_or(Rejection::NotFound)?.clone();
            }
            Command::ApproveCorrection(ApproveCorrection { id, reversed, .. }) => {
                let requested = log.clone().find_map(|envelope| match envelope.event() {
                    Event::CorrectionRequested(it) if envelope.stream_id() == StreamId::Correction(*id) => {
                        Some(it.reverses)
                    }
                    _ => None,
                });
                let id = requested.ok_or(Rejection::NotFound)?;
                **reversed = log.find(|envelope| envelope.draft.event_id == id).unwrap().clone();
            }
            _ => {}
        }
        Ok(planned)
    }

    fn decide(&self, planned: &Planned) -> Result<Vec<Draft>, Rejection> {
        self.state.decide(&planned.command, &planned.context)
    }

    /// Looks up, decides and appends; returns the events.
    fn carry_out(&mut self, planned: &Planned, store: &Store) -> Result<Vec<Envelope>, Rejection> {
        let planned = self.resolve(planned, store)?;
        self.look_up(&planned.command, store);
        let drafts = self.decide(&planned)?;
        let (now, actor) = (planned.context.now, &planned.actor);
        let appended = drafts.into_iter().map(|draft| self.append(draft, now, actor)).collect();
        // A card's event does not hold its fingerprint, so the executor learns it from the command.
        if let Command::IssueCard(issue) = &planned.command {
            self.state.learn(Key::CardOf(issue.fingerprint), Some(Record::CardOf(issue.id)));
        }
        Ok(appended)
    }

    fn append(&mut self, draft: Draft, now: Timestamp, actor: &str) -> Envelope {
        let envelope = Envelope {
            position: self.head + self.log.len() as u64 + 1,
            version: self.state.stream_version(draft.stream_id) + 1,
            recorded_at: now,
            actor: actor.to_owned(),
            request_id: None,
            draft,
        };
        self.state.evolve(&envelope);
        self.log.push(envelope.clone());
        envelope
    }

    /// Stores what the batch has changed, and nothing else.
    fn commit(self, store: &mut Store) {
        let touched = self.state.touched().clone();
        for (key, record) in self.state.into_records() {
            if let Some(record) = record
                && (touched.contains(&key) || matches!(key, Key::CardOf(_)))
            {
                store.rows.insert(key, record);
            }
        }
        store.log.extend(self.log);
    }
}

/// Runs a plan in batches of a size.
fn run_in_batches(plan: &[Planned], size: usize) -> (Store, Vec<Result<usize, Rejection>>) {
    let mut store = Store::default();
    let mut outcomes = Vec::new();
    for commands in plan.chunks(size) {
        let mut batch = Batch { head: store.log.len() as u64, ..Batch::default() };
        for planned in commands {
            outcomes.push(batch.carry_out(planned, &store).map(|events| events.len()));
        }
        batch.commit(&mut store);
    }
    (store, outcomes)
}

/// Runs a plan as one batch and looks at the state after each command.
fn watch(
    plan: &[Planned],
    mut check: impl FnMut(&Batch, &Result<Vec<Envelope>, Rejection>) -> Result<(), TestCaseError>,
) -> Result<Batch, TestCaseError> {
    let (mut batch, nothing) = (Batch::default(), Store::default());
    for planned in plan {
        let outcome = batch.carry_out(planned, &nothing);
        check(&batch, &outcome)?;
    }
    Ok(batch)
}

/// The sums of all postings, by account and currency.
#[derive(Default)]
struct Books(BTreeMap<(Account, Currency), i128>);

impl Books {
    fn post(&mut self, envelope: &Envelope) {
        for posting in envelope.draft.postings.postings() {
            let account = (posting.account, posting.money().currency);
            *self.0.entry(account).or_default() += i128::from(posting.effect());
        }
    }

    /// The balance as a credit: assets and expenses are negative.
    fn credit(account: Account, balance: i128) -> i128 {
        if account.normal_side() == Side::Credit { balance } else { -balance }
    }

    /// The sums of all accounts, by currency: zero, all of them (I3).
    fn sums(&self) -> BTreeMap<Currency, i128> {
        let mut sums = BTreeMap::<Currency, i128>::new();
        for (&(account, currency), &balance) in &self.0 {
            *sums.entry(currency).or_default() += Self::credit(account, balance);
        }
        sums
    }
}

/// Checks that an event's own postings balance (I3).
fn is_balanced(envelope: &Envelope) -> bool {
    let mut sums = BTreeMap::<Currency, i128>::new();
    for posting in envelope.draft.postings.postings() {
        let Money { amount, currency } = posting.money();
        let signed = match posting.leg {
            Leg::Debit(_) => -i128::from(amount),
            Leg::Credit(_) => i128::from(amount),
        };
        *sums.entry(currency).or_default() += signed;
    }
    let postings = envelope.draft.postings.postings().to_vec();
    sums.values().all(|sum| *sum == 0) && JournalEntry::try_from(postings).is_ok()
}

// The model.

/// The ledger beside the model: a batch that never ends, and its books.
struct Subject {
    batch: Batch,
    books: Books,
    steps: usize,
    outcome: Result<Vec<Envelope>, Rejection>,
}

impl Subject {
    fn run(&mut self, planned: &Planned) {
        self.outcome = self.batch.carry_out(planned, &Store::default());
        self.steps += 1;
        for envelope in self.outcome.as_deref().unwrap_or_default() {
            assert!(is_balanced(envelope), "{envelope:?}");
            self.books.post(envelope);
        }
    }

    /// The outcome in the model's words.
    fn outcome(&self) -> &'static str {
        match &self.outcome {
            Ok(events) => match events.first().map(Envelope::event) {
                None => "nothing",
                Some(Event::PaymentDeclined(declined)) => match declined.decline_code {
                    DeclineCode::InvalidNumber => "invalid_number",
                    DeclineCode::ExpiredCard => "expired_card",
                    DeclineCode::CardNotRecognised => "card_not_recognised",
                    DeclineCode::InvalidExpiry => "invalid_expiry",
                    DeclineCode::InvalidCvc => "invalid_cvc",
                    DeclineCode::CardBlocked => "card_blocked",
                    DeclineCode::InsufficientFunds => "insufficient_funds",
                },
                Some(event) => event.type_name(),
            },
            Err(Rejection::NotFound) => "not_found",
            Err(Rejection::CurrencyMismatch) => "currency_mismatch",
            Err(Rejection::DateOutOfRange) => "date_out_of_range",
            Err(Rejection::TooEarly) => "too_early",
            Err(Rejection::Conflict(conflict)) => conflict.code(),
        }
    }

    /// The last step's settlements in the model's form.
    fn settled(&self) -> Vec<(u8, String, [i128; 5])> {
        let events = self.outcome.as_deref().unwrap_or_default().iter();
        let closed = events.filter_map(|envelope| match envelope.event() {
            Event::SettlementClosed(closed) => Some(closed),
            _ => None,
        });
        let tell = |closed: &ledger_core::event::SettlementClosed| {
            let sums = [closed.gross, closed.fees, closed.absorbed, closed.amount].map(|it| it.amount.into());
            let [gross, fees, absorbed, amount] = sums;
            let numbers = [closed.count.into(), gross, fees, absorbed, amount];
            (number(closed.merchant_id), closed.currency.code().to_owned(), numbers)
        };
        closed.map(tell).collect()
    }

    /// Checks that every balance is the model's: by the postings, and as the state keeps it.
    fn check_balances(&self, model: &Model) {
        let told = |account: Account| match account {
            Account::ClientAvailable(id) => words::Account::ClientAvailable(number(id)),
            Account::ClientHeld(id) => words::Account::ClientHeld(number(id)),
            Account::MerchantPending(id) => words::Account::Pending(number(id)),
            Account::MerchantAvailable(id) => words::Account::Available(number(id)),
            Account::MerchantReserved(id) => words::Account::Reserved(number(id)),
            Account::MerchantInTransit(id) => words::Account::InTransit(number(id)),
            Account::HouseFees => words::Account::Fees,
            Account::HouseBank => words::Account::Bank,
            Account::HouseFx => words::Account::Fx,
            Account::HouseLosses => words::Account::Losses,
        };
        let posted = self.books.0.iter().filter(|(_, balance)| **balance != 0);
        let posted: BTreeMap<_, _> = posted
            .map(|((account, currency), balance)| {
                ((told(*account), currency.code()), Books::credit(*account, *balance))
            })
            .collect();
        let predicted = model.accounts.iter().filter(|(_, balance)| **balance != 0);
        let predicted: BTreeMap<_, _> = predicted.map(|(account, balance)| (*account, *balance)).collect();
        assert_eq!(posted, predicted);
        let state = &self.batch.state;
        for (&(account, currency), &balance) in &self.books.0 {
            let kept = match account {
                Account::ClientAvailable(id) => state.client_balance(id, currency).available,
                Account::ClientHeld(id) => state.client_balance(id, currency).held,
                Account::MerchantPending(id) => state.merchant_balance(id, currency).pending,
                Account::MerchantAvailable(id) => state.merchant_balance(id, currency).available,
                Account::MerchantReserved(id) => state.merchant_balance(id, currency).reserved,
                Account::MerchantInTransit(id) => state.merchant_balance(id, currency).in_transit,
                Account::HouseFees | Account::HouseBank | Account::HouseFx | Account::HouseLosses => continue,
            };
            assert_eq!(i128::from(kept), balance, "{account} {currency}");
            let may_owe = matches!(account, Account::MerchantAvailable(_));
            assert!(balance >= if may_owe { -i128::from(BALANCE_MAX) } else { 0 }, "{account} {currency}");
            assert!(balance <= i128::from(BALANCE_MAX), "{account} {currency}");
        }
    }

    /// Checks what settlements are made of, and where each payment, dispute and payout stands.
    fn check_records(&self, model: &Model) {
        let state = &self.batch.state;
        for id in model.merchants.keys() {
            for code in CURRENCIES {
                let balance = state.merchant_balance(merchant(*id), currency(code));
                let drawn = model.drawn[(*id, code)];
                assert_eq!(i128::from(balance.drawn), drawn, "drawn of {id} {code}");
                let net: i64 = balance.unsettled.values().map(Unsettled::net).sum();
                assert_eq!(balance.pending, net - balance.drawn, "pending = Σ net − drawn");
            }
        }
        for id in model.payments.keys() {
            let found = state.payment(payment(*id)).unwrap();
            assert_eq!(found.status().name(), model.stands(*id), "payment {id}");
        }
        for (id, (of, .., reopened)) in &model.disputes {
            let found = state.payment(payment(*of)).unwrap();
            let (_, found) = found.dispute(dispute(*id)).unwrap();
            let told = (model.status[&Thing::Dispute(*id)], *reopened);
            assert_eq!((found.status.name(), found.reopened), told, "dispute {id}");
        }
        for (id, status) in all(model, Thing::Payout) {
            assert_eq!(state.payout(payout(id)).unwrap().status.name(), status, "payout {id}");
        }
    }
}

impl StateMachineTest for Subject {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(model: &Model) -> Self {
        let nothing = Ok(Vec::new());
        let mut subject =
            Self { batch: Batch::default(), books: Books::default(), steps: 0, outcome: nothing };
        for planned in plan_of_setup(model) {
            subject.run(&planned);
            assert!(subject.outcome.is_ok(), "{planned:?}");
        }
        subject
    }

    fn apply(mut subject: Self, model: &Model, (_, step): (i128, Step)) -> Self {
        subject.run(&Planned::new(&step, subject.steps, model.now));
        assert_eq!(subject.outcome(), model.outcome, "{step:?}: {:?}", subject.outcome);
        let settled = model.settled.iter().map(|(id, code, sums)| (*id, (*code).to_owned(), *sums));
        assert_eq!(subject.settled(), settled.collect::<Vec<_>>());
        subject
    }

    fn check_invariants(subject: &Self, model: &Model) {
        subject.check_balances(model);
        subject.check_records(model);
        assert!(subject.books.sums().values().all(|sum| *sum == 0), "Σ of all accounts (I3)");
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_ledger_does_what_the_model_says(sequential 1..60 => Subject);
}

// Invariants.

proptest! {
    #![proptest_config(config())]

    #[test]
    fn i2_positions_and_versions_count_without_a_gap(plan in any_plan(40)) {
        let batch = watch(&plan, |_, _| Ok(()))?;
        let mut versions = BTreeMap::<StreamId, u64>::new();
        for (before, envelope) in batch.log.iter().enumerate() {
            prop_assert_eq!(envelope.position, before as u64 + 1);
            let version = versions.entry(envelope.stream_id()).or_default();
            *version += 1;
            prop_assert_eq!(envelope.version, *version);
        }
        let ids: BTreeSet<_> = batch.log.iter().map(|envelope| envelope.draft.event_id).collect();
        prop_assert_eq!(ids.len(), batch.log.len());
    }

    #[test]
    fn i3_each_event_balances_and_so_do_the_books(plan in any_plan(40)) {
        let mut books = Books::default();
        watch(&plan, |_, outcome| {
            for envelope in outcome.as_deref().unwrap_or_default() {
                prop_assert!(is_balanced(envelope), "{:?}", envelope);
                books.post(envelope);
            }
            prop_assert!(books.sums().values().all(|sum| *sum == 0), "{:?}", books.sums());
            Ok(())
        })?;
    }

    #[test]
    fn i4_deciding_twice_gives_the_same_drafts(plan in any_plan(40)) {
        let (mut batch, nothing) = (Batch::default(), Store::default());
        for planned in &plan {
            let Ok(planned) = &batch.resolve(planned, &nothing) else { continue };
            batch.look_up(&planned.command, &nothing);
            let copy = Batch { state: batch.state.clone(), ..Batch::default() };
            let first = batch.decide(planned);
            prop_assert_eq!(&batch.decide(planned), &first);
            prop_assert_eq!(&copy.decide(planned), &first);
            let _ = batch.carry_out(planned, &nothing);
        }
    }

    #[test]
    fn i4_folding_the_log_gives_the_state_again(plan in any_plan(40)) {
        let batch = watch(&plan, |_, _| Ok(()))?;
        let mut folded = State::default();
        for envelope in &batch.log {
            folded.evolve(envelope);
        }
        prop_assert_eq!(folded.touched(), batch.state.touched());
        for key in folded.touched() {
            prop_assert_eq!(folded.get(key), batch.state.get(key), "{:?}", key);
        }
    }

    #[test]
    fn i4_same_commands_in_any_batching_give_the_same_events(plan in any_plan(40), size in 2..20_usize) {
        let (one_by_one, outcomes) = run_in_batches(&plan, 1);
        for size in [size, plan.len()] {
            let (batched, batched_outcomes) = run_in_batches(&plan, size);
            prop_assert_eq!(&batched_outcomes, &outcomes);
            prop_assert_eq!(&batched.log, &one_by_one.log);
            prop_assert_eq!(&batched.rows, &one_by_one.rows);
        }
    }

    #[test]
    fn i11_events_survive_their_stored_form(plan in any_plan(40)) {
        let batch = watch(&plan, |_, _| Ok(()))?;
        for envelope in &batch.log {
            let text = envelope.canonical().unwrap();
            let read = Envelope::parse(&text).unwrap();
            prop_assert_eq!(&read, envelope);
            prop_assert_eq!(&read.canonical().unwrap(), &text);
            let value: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), text);
        }
    }

    #[test]
    fn a_rejected_command_changes_nothing(plan in any_plan(40)) {
        let (mut batch, nothing) = (Batch::default(), Store::default());
        for planned in &plan {
            let Ok(planned) = &batch.resolve(planned, &nothing) else { continue };
            batch.look_up(&planned.command, &nothing);
            let (before, length) = (batch.state.clone(), batch.log.len());
            match batch.carry_out(planned, &nothing) {
                Ok(events) if !events.is_empty() => prop_assert_eq!(batch.log.len(), length + events.len()),
                Ok(_) | Err(_) => {
                    prop_assert!(batch.state == before);
                    prop_assert_eq!(batch.log.len(), length);
                }
            }
        }
    }
}

// Amounts that no request has.

/// Any amount at all, with the edges of its type.
fn wild() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        1..=i64::MAX,
        prop::sample::select(vec![
            i64::MIN,
            i64::MIN + 1,
            -1,
            0,
            1,
            BALANCE_MAX,
            BALANCE_MAX + 1,
            i64::MAX - 1,
            i64::MAX
        ]),
    ]
}

/// Asks for a wild amount instead of the command's own.
fn go_wild(command: &mut Command, wild: i64) {
    let set = |amount: &mut Money| amount.amount = wild;
    match command {
        Command::Deposit(cash) | Command::Withdraw(cash) => set(&mut cash.amount),
        Command::OpenMerchant(open) => {
            let Settings { fee, fee_version, settlement_delay_days, negative_limit, .. } = &mut open.settings;
            fee.fixed.iter_mut().chain(negative_limit).for_each(set);
            (*fee_version, *settlement_delay_days) = (u32::MAX, wild as u32);
        }
        Command::ChangeSettings(change) => {
            let fixed = change.fee.iter_mut().flat_map(|fee| &mut fee.fixed);
            fixed.chain(change.negative_limit.iter_mut().flatten()).for_each(set);
            change.settlement_delay_days = Some(wild as u32);
        }
        Command::DepositToMerchant(deposit) => set(&mut deposit.amount),
        Command::WriteOff(write_off) => set(&mut write_off.amount),
        Command::Authorize(authorize) => set(&mut authorize.details.amount),
        Command::Increment(increment) => set(&mut increment.amount),
        Command::Capture(capture) => capture.amount.iter_mut().for_each(set),
        Command::Refund(refund) => refund.amount.iter_mut().for_each(set),
        Command::OpenDispute(open) => open.amount.iter_mut().for_each(set),
        Command::RequestPayout(request) => set(&mut request.amount),
        _ => {}
    }
}

/// Replaces every amount in an event's JSON.
fn forge(data: &mut Value, amounts: &mut impl Iterator<Item = i64>) {
    match data {
        Value::Object(members) if members.len() == 2 && members.contains_key("currency") => {
            members.insert("amount".to_owned(), amounts.next().into());
        }
        Value::Object(members) => members.values_mut().for_each(|member| forge(member, amounts)),
        Value::Array(list) => list.iter_mut().for_each(|member| forge(member, amounts)),
        _ => {}
    }
}

/// Postings of any amounts between the accounts of client 0 and merchant 0.
fn wild_entry() -> impl Strategy<Value = JournalEntry> {
    prop::collection::vec((0..8_usize, 0..8_usize, wild()), 0..4).prop_map(|moves| {
        let (client, merchant) = (client(0), merchant(0));
        let accounts = [
            Account::ClientAvailable(client),
            Account::ClientHeld(client),
            Account::MerchantPending(merchant),
            Account::MerchantAvailable(merchant),
            Account::MerchantReserved(merchant),
            Account::MerchantInTransit(merchant),
            Account::HouseBank,
            Account::HouseFx,
        ];
        let wild = |(debit, credit, amount): (usize, usize, i64)| {
            Move::new(accounts[debit], accounts[credit], Money::new(amount, currency("EUR")))
        };
        JournalEntry::of(moves.into_iter().map(wild))
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn decide_never_panics_whatever_the_amounts(
        mut plan in any_plan(40),
        wilds in prop::collection::vec(prop::option::weighted(0.3, wild()), 80),
        far in prop::option::weighted(0.1, 0..60_usize),
    ) {
        for (planned, wild) in plan.iter_mut().zip(wilds) {
            wild.into_iter().for_each(|wild| go_wild(&mut planned.command, wild));
        }
        if let Some(n) = far {
            plan.iter_mut().skip(n).for_each(|planned| planned.context.now = planned.context.now.plus_micros(i64::MAX / 4));
        }
        let mut books = Books::default();
        let batch = watch(&plan, |_, _| Ok(()))?;
        batch.log.iter().for_each(|envelope| books.post(envelope));
        for (&(account, _), &balance) in &books.0 {
            let may_owe = matches!(account, Account::MerchantAvailable(_) | Account::HouseFx);
            prop_assert!(balance >= 0 || may_owe || account == Account::HouseBank, "{} {}", account, balance);
        }
    }

    #[test]
    fn i4_evolve_never_fails_and_decide_neither_whatever_the_log(
        plan in any_plan(30),
        amounts in prop::collection::vec(wild(), 200),
        entries in prop::collection::vec(wild_entry(), 60),
    ) {
        let log = watch(&plan, |_, _| Ok(()))?.log;
        let (mut batch, mut amounts, nothing) = (Batch::default(), amounts.into_iter().cycle(), Store::default());
        for (envelope, postings) in log.into_iter().zip(entries) {
            let mut event = serde_json::to_value(envelope.event()).unwrap();
            forge(&mut event["data"], &mut amounts);
            let event = serde_json::from_value(event).unwrap();
            batch.append(Draft { event, postings, ..envelope.draft }, envelope.recorded_at, &envelope.actor);
            for planned in &plan {
                let Ok(planned) = &batch.resolve(planned, &nothing) else { continue };
                batch.look_up(&planned.command, &nothing);
                let _ = batch.decide(planned);
            }
        }
    }
}

/// The properties are worth what the plans reach: every type, every decline, every conflict.
#[test]
fn random_plans_reach_every_event_and_every_refusal() {
    let mut runner = TestRunner::deterministic();
    let (mut types, mut declines, mut refusals) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..600 {
        let plan = any_plan(60).new_tree(&mut runner).unwrap().current();
        watch(&plan, |_, outcome| {
            match outcome {
                Ok(events) => {
                    for envelope in events {
                        types.insert(envelope.event().type_name());
                        if let Event::PaymentDeclined(declined) = envelope.event() {
                            declines.insert(format!("{:?}", declined.decline_code));
                        }
                    }
                    if events.is_empty() {
                        refusals.insert("nothing to do");
                    }
                }
                Err(Rejection::NotFound) => drop(refusals.insert("not found")),
                Err(Rejection::CurrencyMismatch) => drop(refusals.insert("currency mismatch")),
                Err(Rejection::DateOutOfRange) => drop(refusals.insert("date out of range")),
                Err(Rejection::TooEarly) => drop(refusals.insert("too early")),
                Err(Rejection::Conflict(conflict)) => drop(refusals.insert(conflict.code())),
            }
            Ok(())
        })
        .unwrap();
    }
    let error = serde_json::from_value::<Event>(serde_json::json!({ "type": "?", "data": null }))
        .unwrap_err()
        .to_string();
    // Plans compare no bank statements: these move nothing, and decide nothing from what there is.
    let unplanned = |name: &&str| name.starts_with("reconciliation.");
    let all: BTreeSet<_> = error.split('`').skip(3).step_by(2).filter(|name| !unplanned(name)).collect();
    assert_eq!(types, all);
    assert_eq!(declines.len(), 7, "{declines:?}");
    let others = ["nothing to do", "not found", "currency mismatch", "date out of range", "too early"];
    let codes = Conflict::RULES.map(|rule| rule.code).into_iter().filter(|code| !unplanned(code));
    let expected: BTreeSet<_> = codes.chain(others).collect();
    assert_eq!(refusals, expected);
}
