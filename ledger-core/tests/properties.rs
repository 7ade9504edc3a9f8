//! What must hold after any commands in any order, checked on random ones.
//!
//! A [`Step`] is a command in small numbers; [`plan`] gives it ids and a moment, so that the same plan can
//! be run again, and in other batches. Clients, cards and merchants are few, so that commands meet: other
//! merchants ask for a payment, numbers are registered twice, wrong CVCs come in a row. A property is
//! named by the invariant of the design that it checks (I2, I3, I4, I11), or by the rule of the contract.
#![expect(clippy::unwrap_used, reason = "in a test a surprise has to stop")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ledger_core::api_key::Role;
use ledger_core::balance::Unsettled;
use ledger_core::card::{CardStatus, WRONG_ATTEMPTS_MAX};
use ledger_core::card_number::{Brand, Expiry, Fingerprint};
use ledger_core::command::{
    Authorize, Capture, ChangeCard, ChangeSettings, Context, CreateKey, IssueCard, MoveCash, OpenClient,
    OpenMerchant, Refund, Void,
};
use ledger_core::event::{
    CaptureMode, CashMoved, PaymentCaptured, PaymentCard, PaymentDetails, PaymentRefunded, Settings,
};
use ledger_core::fee::{FeeSchedule, RefundFee, amount_in};
use ledger_core::ids::{CardId, ClientId, EventId, KeyId, MerchantId, PaymentId, RefundId, StreamId};
use ledger_core::journal::{Leg, Move, Side};
use ledger_core::money::{AMOUNT_MAX, BALANCE_MAX};
use ledger_core::payment::{AUTHORIZATION_DAYS, Outcome, Payment};
use ledger_core::personal::Sealed;
use ledger_core::state::{Key, Record};
use ledger_core::{
    Account, Command, Currency, Draft, Envelope, Event, JournalEntry, Money, Owner, Rejection, State,
    Timestamp,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

const HOUR: i64 = 3_600_000_000;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// Steps.

#[derive(Clone, Debug)]
enum Step {
    OpenClient,
    Deposit { client: u8, amount: Money },
    Withdraw { client: u8, amount: Money },
    IssueCard { client: u8, number: u8 },
    ChangeCard { number: u8, block: bool },
    OpenMerchant(Settings),
    ChangeSettings { merchant: u8, change: Change },
    CreateKey { merchant: Option<u8> },
    RevokeKey { key: u8 },
    Pay(Pay),
    Capture { target: Target, part: Part, is_final: bool },
    Void { target: Target },
    Refund { target: Target, part: Part },
}

/// New settings; what is `None` stays.
#[derive(Clone, Debug)]
struct Change {
    fee: Option<FeeSchedule>,
    settlement_delay_days: Option<u32>,
    refund_fee: Option<RefundFee>,
    negative_limit: Option<Vec<Money>>,
}

#[derive(Clone, Debug)]
struct Pay {
    merchant: u8,
    number: u8,
    amount: Money,
    manual: bool,
    mistake: Mistake,
}

/// What the payer got wrong.
#[derive(Clone, Copy, Debug)]
enum Mistake {
    None,
    Number,
    PastExpiry,
    Expiry,
    Cvc,
    UnknownCard,
}

/// Which payment, counted back from the newest one, and whether its own merchant asks.
#[derive(Clone, Debug)]
struct Target {
    back: usize,
    own_merchant: bool,
}

/// How much of a payment.
#[derive(Clone, Debug)]
enum Part {
    All,
    Percent(i64),
    Amount(Money),
}

fn currency(code: &str) -> Currency {
    code.parse().unwrap()
}

fn money(code: &str, amount: i64) -> Money {
    Money::new(amount, currency(code))
}

fn any_currency() -> impl Strategy<Value = Currency> {
    prop_oneof![6 => Just("EUR"), 2 => Just("JPY"), 1 => Just("KWD")].prop_map(currency)
}

/// Amounts as requests have them, with the edges, and a few that no request has.
fn any_amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        24 => 1..=30_000_i64,
        4 => 1..=3_i64,
        2 => Just(AMOUNT_MAX),
        1 => Just(BALANCE_MAX),
        1 => -1..=0_i64,
    ]
}

fn any_money() -> impl Strategy<Value = Money> {
    (any_amount(), any_currency()).prop_map(|(amount, currency)| Money::new(amount, currency))
}

fn any_fee() -> impl Strategy<Value = FeeSchedule> {
    let percent = prop::sample::select(vec!["0", "0.0001", "1.40", "2.9", "50", "100"]);
    let fixed = prop::sample::select(vec![
        vec![],
        vec![money("EUR", 25)],
        vec![money("KWD", 100), money("EUR", 1), money("JPY", 40)],
    ]);
    (percent, fixed).prop_map(|(percent, fixed)| FeeSchedule { percent: percent.parse().unwrap(), fixed })
}

fn any_refund_fee() -> impl Strategy<Value = RefundFee> {
    prop_oneof![Just(RefundFee::Returned), Just(RefundFee::Kept)]
}

fn any_negative_limit() -> impl Strategy<Value = Vec<Money>> {
    prop::sample::select(vec![
        vec![],
        vec![money("EUR", 50)],
        vec![money("JPY", 1_000), money("EUR", 20_000), money("KWD", AMOUNT_MAX)],
    ])
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (any_fee(), 0..=30_u32, any_refund_fee(), any_negative_limit()).prop_map(
        |(fee, settlement_delay_days, refund_fee, negative_limit)| Settings {
            fee,
            fee_version: 1,
            settlement_delay_days,
            refund_fee,
            negative_limit,
        },
    )
}

fn any_change() -> impl Strategy<Value = Change> {
    (
        prop::option::of(any_fee()),
        prop::option::of(0..=30_u32),
        prop::option::of(any_refund_fee()),
        prop::option::of(any_negative_limit()),
    )
        .prop_map(|(fee, settlement_delay_days, refund_fee, negative_limit)| Change {
            fee,
            settlement_delay_days,
            refund_fee,
            negative_limit,
        })
}

fn any_pay() -> impl Strategy<Value = Pay> {
    let mistake = prop_oneof![
        24 => Just(Mistake::None),
        1 => Just(Mistake::Number),
        1 => Just(Mistake::PastExpiry),
        5 => Just(Mistake::Expiry),
        9 => Just(Mistake::Cvc),
        1 => Just(Mistake::UnknownCard),
    ];
    let number = prop_oneof![8 => 0..2_u8, 2 => 2..5_u8];
    let merchant = prop_oneof![12 => 0..2_u8, 1 => 2..5_u8];
    (merchant, number, any_money(), any::<bool>(), mistake).prop_map(
        |(merchant, number, amount, manual, mistake)| Pay { merchant, number, amount, manual, mistake },
    )
}

fn any_target() -> impl Strategy<Value = Target> {
    let back = prop_oneof![8 => 0..4_usize, 2 => 4..40_usize];
    (back, prop::bool::weighted(0.95)).prop_map(|(back, own_merchant)| Target { back, own_merchant })
}

fn any_part() -> impl Strategy<Value = Part> {
    prop_oneof![
        6 => Just(Part::All),
        8 => (1..=110_i64).prop_map(Part::Percent),
        1 => any_money().prop_map(Part::Amount),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let (client, number, merchant) = (0..5_u8, 0..5_u8, 0..4_u8);
    prop_oneof![
        1 => Just(Step::OpenClient),
        3 => (client.clone(), any_money()).prop_map(|(client, amount)| Step::Deposit { client, amount }),
        2 => (client.clone(), any_money()).prop_map(|(client, amount)| Step::Withdraw { client, amount }),
        2 => (client, number.clone()).prop_map(|(client, number)| Step::IssueCard { client, number }),
        2 => (number, prop::bool::weighted(0.3)).prop_map(|(number, block)| Step::ChangeCard { number, block }),
        1 => any_settings().prop_map(Step::OpenMerchant),
        2 => (merchant.clone(), any_change())
            .prop_map(|(merchant, change)| Step::ChangeSettings { merchant, change }),
        1 => prop::option::of(merchant).prop_map(|merchant| Step::CreateKey { merchant }),
        1 => (0..4_u8).prop_map(|key| Step::RevokeKey { key }),
        20 => any_pay().prop_map(Step::Pay),
        12 => (any_target(), any_part(), any::<bool>())
            .prop_map(|(target, part, is_final)| Step::Capture { target, part, is_final }),
        3 => any_target().prop_map(|target| Step::Void { target }),
        10 => (any_target(), any_part()).prop_map(|(target, part)| Step::Refund { target, part }),
    ]
}

/// How long until the next command: mostly moments, sometimes hours or days.
fn any_wait() -> impl Strategy<Value = i64> {
    prop_oneof![16 => 1..=1_000_000_i64, 3 => HOUR..=20 * HOUR, 1 => (1..=9_i64).prop_map(|days| days * 24 * HOUR)]
}

// Plans.

/// A command with its moment and the ids of its events.
#[derive(Clone, Debug)]
struct Planned {
    command: Command,
    context: Context,
}

fn uuid(n: usize) -> Uuid {
    Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 | n as u128)
}

fn client(n: u8) -> ClientId {
    ClientId::new(uuid(n.into()))
}

fn merchant(n: u8) -> MerchantId {
    MerchantId::new(uuid(n.into()))
}

/// One number is one card, so a number registered again brings its id again.
fn card(number: u8) -> CardId {
    CardId::new(uuid(number.into()))
}

fn expiry() -> Expiry {
    Expiry::new(11, 2035).unwrap()
}

fn sealed(n: u8) -> Sealed {
    Sealed { subject: StreamId::Client(client(n)), boxed: "c2VhbGVk".to_owned() }
}

/// Turns steps into commands: the newest client, merchant, key and payment get the next number each.
#[derive(Default)]
struct Planner {
    clients: u8,
    merchants: u8,
    keys: u8,
    refunds: usize,
    payments: Vec<PaymentDetails>,
}

impl Planner {
    fn command(&mut self, step: Step) -> Command {
        match step {
            Step::OpenClient => {
                let n = next(&mut self.clients);
                Command::OpenClient(OpenClient {
                    id: client(n),
                    name: sealed(n),
                    email: None,
                    metadata: Some(sealed(n)),
                })
            }
            Step::Deposit { client: n, amount } => {
                Command::Deposit(MoveCash { client_id: client(n), amount, reference: None })
            }
            Step::Withdraw { client: n, amount } => {
                Command::Withdraw(MoveCash { client_id: client(n), amount, reference: Some(sealed(n)) })
            }
            Step::IssueCard { client: n, number } => Command::IssueCard(IssueCard {
                id: card(number),
                client_id: client(n),
                fingerprint: Fingerprint([number; 32]),
                brand: Brand::Visa,
                last4: format!("424{number}"),
                expiry: expiry(),
                registered: true,
                fingerprint_key: 1,
                cvc_key: 1,
            }),
            Step::ChangeCard { number, block } => {
                let change = ChangeCard { id: card(number), reason: None };
                if block { Command::BlockCard(change) } else { Command::UnblockCard(change) }
            }
            Step::OpenMerchant(settings) => Command::OpenMerchant(OpenMerchant {
                id: merchant(next(&mut self.merchants)),
                name: "Größe \u{1f600} \"42\"".to_owned(),
                metadata: None,
                settings,
            }),
            Step::ChangeSettings { merchant: n, change } => Command::ChangeSettings(ChangeSettings {
                id: merchant(n),
                fee: change.fee,
                settlement_delay_days: change.settlement_delay_days,
                refund_fee: change.refund_fee,
                negative_limit: change.negative_limit,
            }),
            Step::CreateKey { merchant: n } => Command::CreateKey(CreateKey {
                id: KeyId::new(uuid(next(&mut self.keys).into())),
                role: if n.is_some() { Role::Merchant } else { Role::Auditor },
                merchant_id: n.map(merchant),
                secret_hash: [0; 32],
            }),
            Step::RevokeKey { key } => Command::RevokeKey(KeyId::new(uuid(key.into()))),
            Step::Pay(pay) => self.pay(&pay),
            Step::Capture { target, part, is_final } => {
                let (payment_id, merchant_id) = self.target(&target);
                let amount = self.amount(&target, &part);
                Command::Capture(Capture { payment_id, merchant_id, amount, is_final })
            }
            Step::Void { target } => {
                let (payment_id, merchant_id) = self.target(&target);
                Command::Void(Void { payment_id, merchant_id, reason: None })
            }
            Step::Refund { target, part } => {
                let (payment_id, merchant_id) = self.target(&target);
                let amount = self.amount(&target, &part);
                // Each id twice: a refund is told by its event, whatever its id.
                self.refunds += 1;
                let id = RefundId::new(uuid(self.refunds / 2));
                Command::Refund(Refund { id, payment_id, merchant_id, amount, reason: None })
            }
        }
    }

    fn pay(&mut self, pay: &Pay) -> Command {
        let expiry = match pay.mistake {
            Mistake::PastExpiry => Expiry { month: 10, year: 2026 },
            Mistake::Expiry => Expiry { month: 12, ..expiry() },
            Mistake::None | Mistake::Number | Mistake::Cvc | Mistake::UnknownCard => expiry(),
        };
        let is_known = !matches!(pay.mistake, Mistake::UnknownCard | Mistake::Number);
        let details = PaymentDetails {
            merchant_id: merchant(pay.merchant),
            amount: pay.amount,
            card: PaymentCard {
                id: is_known.then(|| card(pay.number)),
                brand: is_known.then_some(Brand::Visa),
                last4: format!("424{}", pay.number),
                expiry,
            },
            capture: if pay.manual { CaptureMode::Manual } else { CaptureMode::Automatic },
            reference: Some(format!("order {}", self.payments.len())),
            description: None,
            metadata: None,
        };
        self.payments.push(details.clone());
        Command::Authorize(Box::new(Authorize {
            id: PaymentId::new(uuid(self.payments.len())),
            details,
            number_valid: !matches!(pay.mistake, Mistake::Number),
            cvc_matches: !matches!(pay.mistake, Mistake::Cvc),
            valid_days: AUTHORIZATION_DAYS,
        }))
    }

    /// A payment (perhaps one that never was), and who asks for it.
    fn target(&self, target: &Target) -> (PaymentId, MerchantId) {
        let number = self.payments.len().saturating_sub(target.back);
        let owner = self.payments.get(number.wrapping_sub(1)).map(|details| details.merchant_id);
        let asks = if target.own_merchant { owner.unwrap_or(merchant(0)) } else { merchant(99) };
        (PaymentId::new(uuid(number)), asks)
    }

    fn amount(&self, target: &Target, part: &Part) -> Option<Money> {
        let number = self.payments.len().saturating_sub(target.back);
        let asked = self.payments.get(number.wrapping_sub(1)).map(|details| details.amount);
        match part {
            Part::All => None,
            Part::Percent(percent) => {
                asked.map(|asked| Money::new(asked.amount.saturating_mul(*percent) / 100, asked.currency))
            }
            Part::Amount(amount) => Some(*amount),
        }
    }
}

/// Counts up from what the counter stands at.
fn next(counter: &mut u8) -> u8 {
    *counter += 1;
    *counter - 1
}

/// What every plan begins with: two clients with money and cards, and two merchants.
fn setup(settings: Settings) -> Vec<Step> {
    let deposit = |client, amount| Step::Deposit { client, amount };
    let standard = Settings {
        fee: FeeSchedule { percent: "1.40".parse().unwrap(), fixed: vec![money("EUR", 25)] },
        fee_version: 1,
        settlement_delay_days: 2,
        refund_fee: RefundFee::Returned,
        negative_limit: Vec::new(),
    };
    vec![
        Step::OpenClient,
        Step::OpenClient,
        deposit(0, money("EUR", 100_000)),
        deposit(0, money("JPY", 100_000)),
        deposit(1, money("EUR", 30_000)),
        deposit(1, money("KWD", 100_000)),
        Step::IssueCard { client: 0, number: 0 },
        Step::IssueCard { client: 1, number: 1 },
        Step::OpenMerchant(standard),
        Step::OpenMerchant(settings),
    ]
}

fn plan(steps: impl IntoIterator<Item = (Step, i64)>) -> Vec<Planned> {
    let mut planner = Planner::default();
    let mut now: Timestamp = "2026-11-24T08:00:00Z".parse().unwrap();
    let mut plan = Vec::new();
    for (number, (step, wait)) in steps.into_iter().enumerate() {
        now = now.plus_micros(wait);
        let event_id = EventId::new(uuid(2 * number + 1));
        plan.push(Planned { command: planner.command(step), context: Context { now, event_id } });
    }
    plan
}

fn any_plan(steps: usize) -> impl Strategy<Value = Vec<Planned>> {
    (any_settings(), prop::collection::vec((any_step(), any_wait()), 0..steps))
        .prop_map(|(settings, steps)| plan(setup(settings).into_iter().map(|step| (step, 1)).chain(steps)))
}

// Running plans.

/// What is stored between batches: rows, and the log that payments are folded from.
#[derive(Default)]
struct Store {
    rows: HashMap<Key, Record>,
    log: Vec<Envelope>,
}

impl Store {
    /// Finds a record as the write side does: rows from their JSON, payments from their stream's texts.
    fn find(&self, key: &Key) -> Option<Record> {
        if let Key::Payment(id) = key {
            let mut state = State::default();
            for envelope in self.log.iter().filter(|envelope| envelope.stream_id() == StreamId::Payment(*id))
            {
                state.evolve(&Envelope::parse(&envelope.canonical().unwrap()).unwrap());
            }
            return state.get(key).cloned();
        }
        let row = self.rows.get(key)?;
        Some(match row {
            Record::Client(client) => Record::Client(through_json(client)),
            Record::Merchant(merchant) => Record::Merchant(through_json(merchant)),
            Record::Card(card) => {
                let mut read = through_json(card);
                read.row = card.row;
                Record::Card(read)
            }
            Record::CardOf(_)
            | Record::Payment(_)
            | Record::ApiKey(_)
            | Record::ClientBalance(_)
            | Record::MerchantBalance(_)
            | Record::Settlement(_)
            | Record::Payout(_)
            | Record::FxRate(_) => row.clone(),
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
        for _ in 0..3 {
            for key in self.state.needs(command) {
                self.state.learn(key, store.find(&key));
            }
        }
        assert_eq!(self.state.needs(command), [], "three rounds of look-ups are enough");
    }

    fn decide(&self, planned: &Planned) -> Result<Vec<Draft>, Rejection> {
        self.state.decide(&planned.command, &planned.context)
    }

    /// Looks up, decides and appends; returns the events.
    fn carry_out(&mut self, planned: &Planned, store: &Store) -> Result<Vec<Envelope>, Rejection> {
        self.look_up(&planned.command, store);
        let drafts = self.decide(planned)?;
        let appended = drafts.into_iter().map(|draft| self.append(draft, planned.context.now)).collect();
        // A card's event does not hold its fingerprint, so the executor learns it from the command.
        if let Command::IssueCard(issue) = &planned.command {
            self.state.learn(Key::CardOf(issue.fingerprint), Some(Record::CardOf(issue.id)));
        }
        Ok(appended)
    }

    fn append(&mut self, draft: Draft, now: Timestamp) -> Envelope {
        let envelope = Envelope {
            position: self.head + self.log.len() as u64 + 1,
            version: self.state.stream_version(draft.stream_id) + 1,
            recorded_at: now,
            actor: "system:test".to_owned(),
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
    mut check: impl FnMut(&Batch, &Planned, &Result<Vec<Envelope>, Rejection>) -> Result<(), TestCaseError>,
) -> Result<Batch, TestCaseError> {
    let (mut batch, nothing) = (Batch::default(), Store::default());
    for planned in plan {
        let outcome = batch.carry_out(planned, &nothing);
        check(&batch, planned, &outcome)?;
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

    fn of(&self, account: Account, currency: Currency) -> i128 {
        self.0.get(&(account, currency)).copied().unwrap_or_default()
    }
}

/// The payments that were made, as the state has them.
fn payments(batch: &Batch) -> Vec<Payment> {
    let ids: BTreeSet<_> = batch
        .log
        .iter()
        .filter_map(|envelope| match envelope.stream_id() {
            StreamId::Payment(id) => Some(id),
            _ => None,
        })
        .collect();
    ids.into_iter().map(|id| batch.state.payment(id).unwrap().clone()).collect()
}

proptest! {
    #![proptest_config(config(160))]

    #[test]
    fn i2_positions_and_versions_count_without_a_gap(plan in any_plan(60)) {
        let batch = watch(&plan, |_, _, _| Ok(()))?;
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
    fn i3_each_event_balances_and_so_do_the_books(plan in any_plan(60)) {
        let mut books = Books::default();
        watch(&plan, |_, _, outcome| {
            for envelope in outcome.as_deref().unwrap_or_default() {
                let mut sums = BTreeMap::<Currency, i128>::new();
                for posting in envelope.draft.postings.postings() {
                    let Money { amount, currency } = posting.money();
                    prop_assert!(amount > 0);
                    let sum = sums.entry(currency).or_default();
                    match posting.leg {
                        Leg::Debit(_) => *sum -= i128::from(amount),
                        Leg::Credit(_) => *sum += i128::from(amount),
                    }
                }
                prop_assert!(sums.values().all(|sum| *sum == 0), "{:?}", envelope);
                let postings = envelope.draft.postings.postings().to_vec();
                prop_assert!(JournalEntry::try_from(postings).is_ok());
                books.post(envelope);
            }
            let mut sums = BTreeMap::<Currency, i128>::new();
            for (&(account, currency), &balance) in &books.0 {
                let credit = if account.normal_side() == Side::Credit { balance } else { -balance };
                *sums.entry(currency).or_default() += credit;
            }
            prop_assert!(sums.values().all(|sum| *sum == 0), "{:?}", sums);
            Ok(())
        })?;
    }

    #[test]
    fn i4_deciding_twice_gives_the_same_drafts(plan in any_plan(60)) {
        let (mut batch, nothing) = (Batch::default(), Store::default());
        for planned in &plan {
            batch.look_up(&planned.command, &nothing);
            let copy = Batch { state: batch.state.clone(), ..Batch::default() };
            let first = batch.decide(planned);
            prop_assert_eq!(&batch.decide(planned), &first);
            prop_assert_eq!(&copy.decide(planned), &first);
            let _ = batch.carry_out(planned, &nothing);
        }
    }

    #[test]
    fn i4_folding_the_log_gives_the_state_again(plan in any_plan(60)) {
        let batch = watch(&plan, |_, _, _| Ok(()))?;
        let mut folded = State::default();
        for planned in &plan {
            // All that was looked up and found empty is known to be absent here too.
            for key in folded.needs(&planned.command) {
                folded.learn(key, None);
            }
        }
        for envelope in &batch.log {
            folded.evolve(envelope);
        }
        prop_assert_eq!(folded.touched(), batch.state.touched());
        for key in folded.touched() {
            prop_assert_eq!(folded.get(key), batch.state.get(key), "{:?}", key);
        }
    }

    #[test]
    fn i4_same_commands_in_any_batching_give_the_same_events(plan in any_plan(60), size in 2..20_usize) {
        let (one_by_one, outcomes) = run_in_batches(&plan, 1);
        for size in [size, plan.len()] {
            let (batched, batched_outcomes) = run_in_batches(&plan, size);
            prop_assert_eq!(&batched_outcomes, &outcomes);
            prop_assert_eq!(&batched.log, &one_by_one.log);
            prop_assert_eq!(&batched.rows, &one_by_one.rows);
        }
    }

    #[test]
    fn i11_events_survive_their_stored_form(plan in any_plan(60)) {
        let batch = watch(&plan, |_, _, _| Ok(()))?;
        for envelope in &batch.log {
            let text = envelope.canonical().unwrap();
            let read = Envelope::parse(&text).unwrap();
            prop_assert_eq!(&read, envelope);
            prop_assert_eq!(&read.canonical().unwrap(), &text);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), text);
        }
    }

    #[test]
    fn a_rejected_command_changes_nothing(plan in any_plan(60)) {
        let (mut batch, nothing) = (Batch::default(), Store::default());
        for planned in &plan {
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

    #[test]
    fn no_more_is_captured_than_authorized_nor_refunded_than_captured(plan in any_plan(60)) {
        let mut seen = HashMap::<PaymentId, (i64, i64, i64)>::new();
        watch(&plan, |batch, _, outcome| {
            for envelope in outcome.as_deref().unwrap_or_default() {
                let StreamId::Payment(id) = envelope.stream_id() else { continue };
                let Outcome::Approved(amounts) = &batch.state.payment(id).unwrap().outcome else { continue };
                prop_assert!(amounts.captured >= 0 && amounts.released >= 0 && amounts.refunded >= 0);
                prop_assert!(amounts.captured + amounts.released <= amounts.authorized);
                prop_assert!(amounts.refunded <= amounts.captured);
                prop_assert!(amounts.fee_taken <= amounts.captured);
                prop_assert!(0 <= amounts.fee_returned && amounts.fee_returned <= amounts.fee_taken);
                let totals = (amounts.captured, amounts.released, amounts.refunded);
                let before = seen.insert(id, totals).unwrap_or_default();
                prop_assert!(before.0 <= totals.0 && before.1 <= totals.1 && before.2 <= totals.2);
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_balance_is_below_its_floor_or_past_the_limit(plan in any_plan(60)) {
        // Limits may be lowered, so a debt is held to the limit of the refund that last deepened it.
        let mut allowed = HashMap::<(MerchantId, Currency), i64>::new();
        watch(&plan, |batch, _, outcome| {
            for envelope in outcome.as_deref().unwrap_or_default() {
                for posting in envelope.draft.postings.postings() {
                    let currency = posting.money().currency;
                    match posting.account.owner() {
                        Some(Owner::Client(id)) => {
                            let balance = batch.state.client_balance(id, currency);
                            prop_assert!(balance.available >= 0 && balance.held >= 0);
                            prop_assert!(balance.available + balance.held <= BALANCE_MAX);
                        }
                        Some(Owner::Merchant(id)) => {
                            let balance = batch.state.merchant_balance(id, currency);
                            if matches!(posting.account, Account::MerchantAvailable(_)) && posting.effect() < 0 {
                                let settings = &batch.state.merchant(id).unwrap().settings;
                                allowed.insert((id, currency), amount_in(&settings.negative_limit, currency));
                            }
                            let limit = allowed.get(&(id, currency)).copied().unwrap_or_default();
                            prop_assert!(balance.pending >= 0 && balance.available >= -limit);
                            prop_assert!(balance.reserved == 0 && balance.in_transit == 0);
                            prop_assert!(balance.pending + balance.available.max(0) <= BALANCE_MAX);
                        }
                        None => {}
                    }
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn balances_are_the_sums_of_the_postings_and_what_payments_say(plan in any_plan(60)) {
        let batch = watch(&plan, |_, _, _| Ok(()))?;
        let mut books = Books::default();
        batch.log.iter().for_each(|envelope| books.post(envelope));
        let mut held = BTreeMap::<(ClientId, Currency), i128>::new();
        let mut earned = BTreeMap::<(MerchantId, Currency), i128>::new();
        let mut fees = BTreeMap::<Currency, i128>::new();
        for payment in payments(&batch) {
            let Outcome::Approved(amounts) = &payment.outcome else { continue };
            let fee = i128::from(amounts.fee_taken - amounts.fee_returned);
            let kept = i128::from(amounts.captured - amounts.refunded);
            *held.entry((amounts.purse.client_id, payment.currency())).or_default() += i128::from(amounts.capturable());
            *earned.entry((payment.details.merchant_id, payment.currency())).or_default() += kept - fee;
            *fees.entry(payment.currency()).or_default() += fee;
        }
        for (&(id, currency), &held) in &held {
            let balance = batch.state.client_balance(id, currency);
            prop_assert_eq!(i128::from(balance.held), held);
            prop_assert_eq!(books.of(Account::ClientHeld(id), currency), held);
            prop_assert_eq!(books.of(Account::ClientAvailable(id), currency), i128::from(balance.available));
        }
        for (&(id, currency), &earned) in &earned {
            let balance = batch.state.merchant_balance(id, currency);
            prop_assert_eq!(i128::from(balance.pending) + i128::from(balance.available), earned);
            prop_assert_eq!(books.of(Account::MerchantPending(id), currency), i128::from(balance.pending));
            prop_assert_eq!(books.of(Account::MerchantAvailable(id), currency), i128::from(balance.available));
        }
        for (&currency, &fees) in &fees {
            prop_assert_eq!(books.of(Account::HouseFees, currency), fees);
        }
    }

    #[test]
    fn pending_is_what_is_unsettled_less_what_was_drawn(plan in any_plan(60)) {
        watch(&plan, |batch, planned, outcome| {
            for envelope in outcome.as_deref().unwrap_or_default() {
                for posting in envelope.draft.postings.postings() {
                    let Some(Owner::Merchant(id)) = posting.account.owner() else { continue };
                    let balance = batch.state.merchant_balance(id, posting.money().currency);
                    let unsettled: i64 = balance.unsettled.values().map(Unsettled::net).sum();
                    prop_assert_eq!(balance.pending, unsettled - balance.drawn);
                    prop_assert!(balance.drawn >= 0 && balance.unsettled.values().all(|sum| sum.net() >= 0));
                    let longest = planned.context.now.day().plus(30);
                    prop_assert!(balance.unsettled.keys().all(|day| *day <= longest));
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_card_is_blocked_by_its_fifth_wrong_attempt_in_a_row(plan in any_plan(60)) {
        // Told again from declines alone, as the contract tells it.
        let mut wrong = HashMap::<CardId, u32>::new();
        let mut blocked = BTreeSet::new();
        watch(&plan, |batch, _, outcome| {
            let events = outcome.as_deref().unwrap_or_default();
            for envelope in events {
                match (envelope.event(), envelope.stream_id()) {
                    (Event::PaymentDeclined(declined), _) => {
                        let Some(id) = declined.details.card.id else { continue };
                        let code = serde_json::to_value(declined.decline_code).unwrap();
                        let count = wrong.entry(id).or_default();
                        match code.as_str().unwrap() {
                            "invalid_expiry" | "invalid_cvc" if !blocked.contains(&id) => *count += 1,
                            "insufficient_funds" => *count = 0,
                            _ => {}
                        }
                        let last = *count == WRONG_ATTEMPTS_MAX;
                        prop_assert_eq!(events.len(), if last { 2 } else { 1 });
                    }
                    (Event::PaymentAuthorized(authorized), _) => {
                        wrong.insert(authorized.details.card.id.unwrap(), 0);
                    }
                    (Event::CardBlocked(_), StreamId::Card(id)) => {
                        blocked.insert(id);
                        wrong.insert(id, 0);
                    }
                    (Event::CardUnblocked(_), StreamId::Card(id)) => {
                        blocked.remove(&id);
                        wrong.insert(id, 0);
                    }
                    _ => {}
                }
            }
            for number in 0..5 {
                let Some(found) = batch.state.card(card(number)) else { continue };
                let count = wrong.get(&found.id).copied().unwrap_or_default();
                let expected = if blocked.contains(&found.id) {
                    CardStatus::Blocked
                } else {
                    CardStatus::Active { wrong_attempts: count }
                };
                prop_assert_eq!(found.status, expected);
            }
            Ok(())
        })?;
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

fn wild_money() -> impl Strategy<Value = Money> {
    (wild(), any_currency()).prop_map(|(amount, currency)| Money::new(amount, currency))
}

fn wild_fee() -> impl Strategy<Value = FeeSchedule> {
    (any_fee(), prop::collection::vec(wild_money(), 0..3))
        .prop_map(|(fee, fixed)| FeeSchedule { fixed, ..fee })
}

fn wild_settings() -> impl Strategy<Value = Settings> {
    (any_settings(), wild_fee(), any::<u32>(), any::<u32>(), prop::collection::vec(wild_money(), 0..3))
        .prop_map(|(settings, fee, fee_version, settlement_delay_days, negative_limit)| Settings {
            fee,
            fee_version,
            settlement_delay_days,
            negative_limit,
            ..settings
        })
}

fn wild_step() -> impl Strategy<Value = Step> {
    let client = 0..2_u8;
    let part = || prop_oneof![1 => any_part(), 1 => wild_money().prop_map(Part::Amount)];
    prop_oneof![
        3 => (client.clone(), wild_money()).prop_map(|(client, amount)| Step::Deposit { client, amount }),
        2 => (client, wild_money()).prop_map(|(client, amount)| Step::Withdraw { client, amount }),
        1 => wild_settings().prop_map(Step::OpenMerchant),
        3 => (0..4_u8, wild_settings()).prop_map(|(merchant, settings)| Step::ChangeSettings {
            merchant,
            change: Change {
                fee: Some(settings.fee),
                settlement_delay_days: Some(settings.settlement_delay_days),
                refund_fee: Some(settings.refund_fee),
                negative_limit: Some(settings.negative_limit),
            },
        }),
        6 => (any_pay(), wild_money()).prop_map(|(pay, amount)| Step::Pay(Pay { amount, ..pay })),
        6 => any_pay().prop_map(Step::Pay),
        6 => (any_target(), part(), any::<bool>())
            .prop_map(|(target, part, is_final)| Step::Capture { target, part, is_final }),
        2 => any_target().prop_map(|target| Step::Void { target }),
        6 => (any_target(), part()).prop_map(|(target, part)| Step::Refund { target, part }),
    ]
}

/// Jumps to far ends of time, too.
fn wild_wait() -> impl Strategy<Value = i64> {
    prop_oneof![16 => any_wait(), 1 => Just(i64::MAX / 4)]
}

/// Events of any amounts, which nothing would ever decide, but which a forged log might hold.
fn wild_event() -> impl Strategy<Value = (Event, JournalEntry)> {
    let (client, merchant) = (client(0), merchant(0));
    let euro = |amount| money("EUR", amount);
    let moves = prop::collection::vec((0..5_usize, 0..5_usize, wild()), 0..4).prop_map(move |moves| {
        let accounts = [
            Account::ClientAvailable(client),
            Account::ClientHeld(client),
            Account::MerchantPending(merchant),
            Account::MerchantAvailable(merchant),
            Account::HouseBank,
        ];
        JournalEntry::of(
            moves
                .into_iter()
                .map(|(debit, credit, amount)| Move::new(accounts[debit], accounts[credit], euro(amount))),
        )
    });
    let day = "2026-11-24T08:00:00Z".parse::<Timestamp>().unwrap().day();
    let event =
        (0..4_u8, wild(), wild(), wild(), 0..40_u32).prop_map(move |(kind, a, b, c, days)| match kind {
            0 => Event::ClientDeposited(CashMoved { amount: euro(a), reference: None }),
            1 | 2 => Event::PaymentCaptured(PaymentCaptured {
                merchant_id: merchant,
                client_id: client,
                amount: euro(a),
                fee: euro(b),
                fee_version: 1,
                is_final: false,
                released: euro(c),
                settles_on: day.plus(days),
            }),
            _ => Event::PaymentRefunded(PaymentRefunded {
                merchant_id: merchant,
                client_id: client,
                refund_id: RefundId::new(uuid(1)),
                amount: euro(a),
                fee_returned: euro(b),
                drawn: euro(c),
                reason: None,
            }),
        });
    (event, moves)
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn decide_never_panics_whatever_the_amounts(
        settings in wild_settings(),
        steps in prop::collection::vec((wild_step(), wild_wait()), 0..60),
    ) {
        let steps = setup(settings).into_iter().map(|step| (step, 1)).chain(steps);
        let mut books = Books::default();
        let batch = watch(&plan(steps), |_, _, _| Ok(()))?;
        batch.log.iter().for_each(|envelope| books.post(envelope));
        for (&(account, _), &balance) in &books.0 {
            let may_owe = matches!(account, Account::MerchantAvailable(_));
            prop_assert!(balance >= 0 || may_owe, "{} {}", account, balance);
        }
    }

    #[test]
    fn i4_evolve_never_fails_whatever_the_log(events in prop::collection::vec(wild_event(), 0..80)) {
        let steps = setup_and_payment();
        let mut batch = watch(&plan(steps), |_, _, _| Ok(()))?;
        let now = "2026-11-24T08:00:00Z".parse().unwrap();
        for (number, (event, postings)) in events.into_iter().enumerate() {
            let stream_id = match event {
                Event::ClientDeposited(_) => StreamId::Client(client(0)),
                _ => StreamId::Payment(PaymentId::new(uuid(1))),
            };
            batch.append(Draft { event_id: EventId::new(uuid(1_000 + number)), stream_id, event, postings }, now);
            let payment = batch.state.payment(PaymentId::new(uuid(1))).unwrap();
            let _ = payment.status();
        }
    }
}

/// A held payment, as the first of all.
fn setup_and_payment() -> Vec<(Step, i64)> {
    let settings = Settings {
        fee: FeeSchedule { percent: "1".parse().unwrap(), fixed: Vec::new() },
        fee_version: 1,
        settlement_delay_days: 0,
        refund_fee: RefundFee::Returned,
        negative_limit: Vec::new(),
    };
    let pay = Pay { merchant: 0, number: 0, amount: money("EUR", 100), manual: true, mistake: Mistake::None };
    setup(settings).into_iter().chain([Step::Pay(pay)]).map(|step| (step, 1)).collect()
}

/// The properties are worth what the plans reach: every type, every decline, every conflict.
#[test]
fn random_plans_reach_every_event_and_every_refusal() {
    let mut runner = TestRunner::deterministic();
    let (mut types, mut declines, mut refusals) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..150 {
        let plan = any_plan(60).new_tree(&mut runner).unwrap().current();
        watch(&plan, |_, _, outcome| {
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
                Err(Rejection::Conflict(conflict)) => drop(refusals.insert(conflict.code())),
                Err(Rejection::TooEarly) => drop(refusals.insert("too early")),
            }
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(types.len(), 15, "{types:?}");
    assert_eq!(declines.len(), 7, "{declines:?}");
    assert_eq!(refusals.len(), 12, "{refusals:?}");
}
