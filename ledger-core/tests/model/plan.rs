//! What comes next, drawn from what the model knows.
//!
//! So steps meet: the amounts are the edges of what is left (1, all, all + 1, the limit), the waits end at
//! deadlines, a moment before and after them. Numbers of new things count up; what was refused gives its
//! number to the next.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use proptest_state_machine::ReferenceStateMachine;

use super::words::Account::{Available, ClientAvailable, ClientHeld};
use super::words::Part::{Capturable, Refundable, Released};
use super::words::{
    Act, CURRENCIES, Cash, Currency, DAY, Flag, LIMIT, Mistake, Money, News, Settings, Step, Thing, fraction,
};
use super::{Model, Payment};

/// 2026-11-24T08:00:00Z
pub const BEGIN: i128 = 1_795_507_200_000_000;

/// What every run begins with: two clients with money and cards, two merchants, rates, payments.
pub fn setup(settings: Settings) -> Vec<Step> {
    let standard =
        Settings { percent: 14_000, fixed: &[(25, "EUR")], delay: 2, keeps_fee: false, limit: &[] };
    let rate = |from, to, rate, days: i128| Step::SetRate { from, to, rate, valid_until: BEGIN + days * DAY };
    let pay = |id, number, money, automatic| Step::Pay {
        id,
        merchant: id % 2,
        number,
        money,
        automatic,
        mistake: Mistake::None,
        days: 7,
    };
    vec![
        Step::OpenClient(0),
        Step::OpenClient(1),
        Step::Move(Cash::Deposit, 0, (100_000, "EUR")),
        Step::Move(Cash::Deposit, 0, (20_000, "JPY")),
        Step::Move(Cash::Deposit, 1, (30_000, "EUR")),
        Step::Move(Cash::Deposit, 1, (100_000, "KWD")),
        Step::Move(Cash::Deposit, 1, (40_000, "CLF")),
        Step::IssueCard { client: 0, number: 0 },
        Step::IssueCard { client: 1, number: 1 },
        Step::OpenMerchant(0, standard),
        Step::OpenMerchant(1, settings),
        Step::Move(Cash::MerchantDeposit, 0, (5_000, "EUR")),
        rate("EUR", "USD", (10_850, 4), 30),
        rate("CLF", "JPY", (62_315, 1), 10),
        rate("KWD", "EUR", (29_875, 4), 20),
        pay(0, 0, (9_000, "EUR"), true),
        pay(1, 0, (8_000, "EUR"), false),
        pay(2, 1, (5_000, "USD"), false),
        pay(3, 1, (500, "JPY"), true),
        pay(4, 1, (7_000, "EUR"), false),
    ]
}

/// A model that has taken the setup.
pub fn begun(settings: Settings) -> Model {
    let mut model = Model { now: BEGIN, ..Model::default() };
    setup(settings).iter().for_each(|step| model.apply(1, step));
    model
}

pub fn any_settings() -> impl Strategy<Value = Settings> {
    let fixed: [&[Money]; 3] = [&[], &[(25, "EUR")], &[(100, "KWD"), (1, "EUR"), (40, "JPY")]];
    let limit: [&[Money]; 3] =
        [&[], &[(50, "EUR")], &[(1_000, "JPY"), (20_000, "EUR"), (999_999_999_999, "KWD")]];
    (
        select(vec![0, 1, 14_000, 29_000, 500_000, 1_000_000]),
        select(fixed.to_vec()),
        select(vec![0, 1, 2, 7, 30]),
        any::<bool>(),
        select(limit.to_vec()),
    )
        .prop_map(|(percent, fixed, delay, keeps_fee, limit)| Settings {
            percent,
            fixed,
            delay,
            keeps_fee,
            limit,
        })
}

impl ReferenceStateMachine for Model {
    type State = Self;
    /// How long to wait, in microseconds, and what then to do.
    type Transition = (i128, Step);

    fn init_state() -> BoxedStrategy<Self> {
        any_settings().prop_map(begun).boxed()
    }

    fn transitions(model: &Self) -> BoxedStrategy<(i128, Step)> {
        (any_wait(model, 1), any_step(model)).boxed()
    }

    fn preconditions(model: &Self, (_, step): &(i128, Step)) -> bool {
        is_new(model, step)
    }

    fn apply(mut model: Self, (wait, step): &(i128, Step)) -> Self {
        model.apply(*wait, step);
        model
    }
}

/// Whether what a step makes has a number of its own, also when other steps have been left out.
pub fn is_new(model: &Model, step: &Step) -> bool {
    match step {
        Step::OpenClient(_)
        | Step::OpenMerchant(..)
        | Step::CreateKey(..)
        | Step::Pay { .. }
        | Step::Act { act: Act::Dispute(..), .. }
        | Step::RequestPayout { .. }
        | Step::RequestCorrection { .. } => {
            step.change().is_none_or(|(thing, _)| !model.status.contains_key(&thing))
        }
        _ => true,
    }
}

/// Whether a dispute is not decided.
pub fn is_open(model: &Model, dispute: u8) -> bool {
    matches!(model.status[&Thing::Dispute(dispute)], "needs_response" | "under_review")
}

/// When something ends or can be done that is open now.
pub fn deadlines(model: &Model) -> Vec<i128> {
    let payments = model.payments.values().filter(|p| p.parts[Capturable] > 0);
    let ends = payments.flat_map(|p| [p.expires_at, p.expires_at - DAY]);
    let open = model.disputes.iter().filter(|(id, _)| is_open(model, **id));
    let responses = open.map(|(_, (_, _, respond_by, _))| *respond_by);
    let rates = model.rates.values().map(|(_, until)| *until);
    let days = unsettled(model).into_iter().map(|(_, _, day)| day * DAY);
    ends.chain(responses).chain(rates).chain(days).collect()
}

/// The days of which captures are not settled, by merchant and currency.
fn unsettled(model: &Model) -> BTreeSet<(u8, Currency, i128)> {
    let captured = model.unsettled.iter().flat_map(|(of, captures)| captures.iter().map(move |it| (of, it)));
    captured.map(|((merchant, currency), (day, ..))| (*merchant, *currency, *day)).collect()
}

/// Mostly moments; often up to a deadline, and so much less or more; sometimes hours and days.
pub fn any_wait(model: &Model, about: i128) -> BoxedStrategy<i128> {
    prop_oneof![
        30 => 1..=1_000_000_i128,
        4 => to_a_deadline(model, about),
        2 => (1..=40_i128).prop_map(|hours| hours * DAY / 24),
        1 => (1..=20_i128).prop_map(|days| days * DAY),
    ]
    .boxed()
}

/// Up to a deadline, or so much less or more.
pub fn to_a_deadline(model: &Model, about: i128) -> BoxedStrategy<i128> {
    let waits = deadlines(model).into_iter().flat_map(|at| [at - about, at, at + about]);
    let waits: Vec<_> = waits.map(|at| at - model.now).filter(|wait| *wait > 0).chain([1]).collect();
    select(waits).boxed()
}

/// The edges of what there is of something: one, a part, all but one, all, one more, the limit.
fn edges(all: i128) -> impl Iterator<Item = i128> {
    [1, all / 3, all - 1, all, all + 1, LIMIT].into_iter().filter(|amount| (1..=LIMIT).contains(amount))
}

fn next<T>(map: &BTreeMap<u8, T>) -> u8 {
    map.keys().next_back().map_or(0, |last| last + 1)
}

/// All things of a kind, and where they stand.
pub fn all(model: &Model, kind: impl Fn(u8) -> Thing) -> BTreeMap<u8, &'static str> {
    let things = model.status.range(kind(0)..=kind(u8::MAX));
    things.map(|(thing, status)| (thing.number(), *status)).collect()
}

/// All that have a flag, or might.
fn owners(model: &Model, flag: Flag) -> BTreeMap<u8, bool> {
    all(model, |id| flag.of(id)).into_iter().map(|(id, status)| (id, status == flag.status(true))).collect()
}

/// The newest few numbers, and one that nothing has.
fn newest<T>(map: &BTreeMap<u8, T>, few: usize) -> Vec<u8> {
    map.keys().rev().take(few).copied().chain([next(map)]).collect()
}

pub fn any_step(model: &Model) -> Union<BoxedStrategy<Step>> {
    let one_of = |weight: u32, steps: Vec<Step>| (weight, select(steps).boxed());
    let mut choices = vec![
        (16, any_pay(model)),
        one_of(5, pays_at_the_edges(model)),
        one_of(2, cards(model)),
        one_of(4, clients_and_keys(model)),
        one_of(4, cash(model)),
        one_of(4, debts(model)),
        one_of(3, standing(model)),
        (2, (0..3_u8, any_settings()).prop_map(|(id, settings)| Step::ChangeSettings(id, settings)).boxed()),
        one_of(14, captures(model)),
        one_of(2, voids(model)),
        one_of(4, increments(model)),
        one_of(6, due(model)),
        one_of(12, refunds(model)),
        one_of(9, disputes(model)),
        one_of(6, settlements(model)),
        one_of(6, payouts(model)),
        (4, any_rate(model)),
        one_of(6, corrections(model)),
    ];
    if !model.disputes.is_empty() {
        choices.push(one_of(14, decisions(model)));
    }
    let overdue = overdue(model);
    if !overdue.is_empty() {
        choices.push(one_of(24, overdue));
    }
    if owners(model, Flag::Closed).values().any(|is_closed| *is_closed) {
        choices.push(one_of(10, closed_clients(model)));
    }
    if !all(model, Thing::Payout).is_empty() {
        choices.push(one_of(5, news(model)));
    }
    if next(&model.merchants) < 4 {
        let id = next(&model.merchants);
        choices.push((1, any_settings().prop_map(move |settings| Step::OpenMerchant(id, settings)).boxed()));
    }
    Union::new_weighted(choices)
}

fn any_pay(model: &Model) -> BoxedStrategy<Step> {
    let id = next(&model.payments);
    let mistake = prop_oneof![
        20 => Just(Mistake::None),
        1 => Just(Mistake::Number),
        1 => Just(Mistake::PastExpiry),
        1 => Just(Mistake::UnknownCard),
        4 => Just(Mistake::Expiry),
        7 => Just(Mistake::Cvc),
    ];
    let currency = select(vec!["EUR", "EUR", "EUR", "JPY", "USD", "KWD", "CLF"]);
    let merchant = prop_oneof![12 => 0..2_u8, 1 => 2..5_u8];
    let number = prop_oneof![8 => 0..2_u8, 1 => 2..5_u8];
    (merchant, number, 1..=30_000_i128, currency, any::<bool>(), mistake, select(vec![1, 7, 30]))
        .prop_map(move |(merchant, number, amount, currency, automatic, mistake, days)| Step::Pay {
            id,
            merchant,
            number,
            money: (amount, currency),
            automatic,
            mistake,
            days,
        })
        .boxed()
}

/// Payments of one, of all that is there or that another currency buys, and of one more.
fn pays_at_the_edges(model: &Model) -> Vec<Step> {
    let id = next(&model.payments);
    let mut steps = Vec::new();
    for (number, client) in model.card_holders.iter().take(3) {
        let mut pay = |amount: i128, currency| {
            // No request asks for more than can be written down.
            if amount > LIMIT {
                return;
            }
            for (merchant, automatic) in [(0, false), (1, true)] {
                let (money, number) = ((amount, currency), *number);
                steps.push(Step::Pay {
                    id,
                    merchant,
                    number,
                    money,
                    automatic,
                    mistake: Mistake::None,
                    days: 7,
                });
            }
        };
        let has = |currency| model.accounts[(ClientAvailable(*client), currency)];
        for currency in CURRENCIES.into_iter().filter(|currency| has(currency) > 0) {
            edges(has(currency)).for_each(|amount| pay(amount, currency));
        }
        for ((from, to), (rate, _)) in &model.rates {
            let (numerator, denominator) = fraction(*rate, from, to);
            let all = has(from) * numerator / denominator;
            [all, all + 1].into_iter().filter(|amount| *amount > 0).for_each(|amount| pay(amount, to));
        }
    }
    if steps.is_empty() { vec![Step::OpenClient(next(&owners(model, Flag::Closed)))] } else { steps }
}

fn cards(model: &Model) -> Vec<Step> {
    let mut steps: Vec<_> =
        (0..4).flat_map(|number| [true, false].map(|to| Step::Set(Flag::Blocked, number, to))).collect();
    let clients = newest(&owners(model, Flag::Closed), 3).into_iter();
    steps.extend(clients.flat_map(|client| (0..4).map(move |number| Step::IssueCard { client, number })));
    steps
}

fn clients_and_keys(model: &Model) -> Vec<Step> {
    let key = next(&owners(model, Flag::Revoked));
    let keys = [
        Step::CreateKey(key, None),
        Step::CreateKey(key, Some(key)),
        Step::Set(Flag::Revoked, key.max(1) - 1, true),
    ];
    let clients = owners(model, Flag::Closed);
    let opens = [Step::OpenClient(next(&clients))];
    let closes = newest(&clients, 3).into_iter().map(|id| Step::Set(Flag::Closed, id, true));
    // On the way out a client takes all that it has.
    let emptied = model.accounts.iter().filter_map(|((account, currency), has)| match account {
        ClientAvailable(id) if *has > 0 => Some(Step::Move(Cash::Withdrawal, *id, (*has, currency))),
        _ => None,
    });
    let empty = |id: u8| {
        !model
            .accounts
            .iter()
            .any(|((it, _), has)| matches!(it, ClientAvailable(it) | ClientHeld(it) if *it == id) && *has > 0)
    };
    let likely =
        clients.keys().filter(|id| empty(**id)).flat_map(|id| [Step::Set(Flag::Closed, *id, true); 4]);
    opens.into_iter().chain(closes).chain(keys).chain(emptied).chain(likely).collect()
}

fn closed_clients(model: &Model) -> Vec<Step> {
    let closed = owners(model, Flag::Closed).into_iter().filter(|(_, is_closed)| *is_closed);
    closed
        .flat_map(|(id, _)| {
            let card = Step::IssueCard { client: id, number: 3 };
            [
                Step::Move(Cash::Deposit, id, (1, "EUR")),
                card,
                Step::Move(Cash::Withdrawal, id, (1, "EUR")),
                Step::Set(Flag::Closed, id, true),
            ]
        })
        .collect()
}

fn cash(model: &Model) -> Vec<Step> {
    let mut steps = Vec::new();
    for client in newest(&owners(model, Flag::Closed), 3) {
        for currency in CURRENCIES {
            let [available, held] = [ClientAvailable(client), ClientHeld(client)]
                .map(|account| model.accounts[(account, currency)]);
            steps.extend(
                edges(available).map(|amount| Step::Move(Cash::Withdrawal, client, (amount, currency))),
            );
            let room = LIMIT - available - held;
            let amounts = [1, 20_000, room, room + 1].into_iter().filter(|amount| *amount > 0);
            steps.extend(amounts.map(|amount| Step::Move(Cash::Deposit, client, (amount, currency))));
        }
    }
    steps
}

fn debts(model: &Model) -> Vec<Step> {
    let mut steps = Vec::new();
    for id in newest(&model.merchants, 2) {
        for currency in ["EUR", "JPY"] {
            let debt = (-model.accounts[(Available(id), currency)]).max(0);
            steps.extend(edges(debt).map(|amount| Step::Move(Cash::WriteOff, id, (amount, currency))));
            steps.extend(
                [1, debt + 1, LIMIT].map(|amount| Step::Move(Cash::MerchantDeposit, id, (amount, currency))),
            );
        }
    }
    steps
}

/// Most suspensions are short.
fn standing(model: &Model) -> Vec<Step> {
    let suspended = owners(model, Flag::Suspended).into_iter().filter(|(_, is_suspended)| *is_suspended);
    let reinstated = suspended.flat_map(|(id, _)| [Step::Set(Flag::Suspended, id, false); 12]);
    let suspends = newest(&model.merchants, 2)
        .into_iter()
        .flat_map(|id| [true, false].map(|to| Step::Set(Flag::Suspended, id, to)));
    suspends.chain(reinstated).collect()
}

fn payouts(model: &Model) -> Vec<Step> {
    let id = next(&all(model, Thing::Payout));
    let request =
        |merchant, amount, currency| Step::RequestPayout { id, merchant, money: (amount, currency) };
    let all = model.accounts.iter().filter_map(|((account, currency), has)| match account {
        Available(id) if *has > 0 => Some((*id, *has, *currency)),
        _ => None,
    });
    let likely =
        all.flat_map(|(id, has, currency)| edges(has).map(move |amount| request(id, amount, currency)));
    likely.chain(newest(&model.merchants, 2).into_iter().map(|id| request(id, 1, "USD"))).collect()
}

/// What the bank may say next, and sometimes what it may not.
fn news(model: &Model) -> Vec<Step> {
    let payouts = all(model, Thing::Payout);
    let any = newest(&payouts, 2)
        .into_iter()
        .flat_map(|id| [News::Paid, News::Failed, News::Returned].map(|news| Step::ChangePayout(id, news)));
    let likely = payouts.iter().flat_map(|(id, status)| match *status {
        "requested" => {
            [News::Paid, News::Paid, News::Failed].map(|news| Step::ChangePayout(*id, news)).to_vec()
        }
        "paid" => [Step::ChangePayout(*id, News::Returned); 4].to_vec(),
        _ => Vec::new(),
    });
    any.chain(likely).collect()
}

/// A payment to do something with: its number, merchant and currency, and how much is left for it.
type Target = (u8, u8, Currency, i128);

/// The newest payments that something is left of, then one of which nothing may be, and one that never was.
fn targets(model: &Model, left: impl Fn(u8, &Payment) -> i128) -> Vec<Target> {
    let target = |(id, p): (&u8, &Payment)| (*id, p.merchant, p.currency, left(*id, p));
    let likely = model.payments.iter().rev().map(target).filter(|target| target.3 > 0).take(5);
    let newest = model.payments.iter().next_back().map(target);
    likely.chain(newest).chain([(next(&model.payments), 0, "EUR", 0)]).collect()
}

/// Every command of a kind: all that is left and the edges of it, then by another merchant and in another
/// currency.
fn asked(targets: Vec<Target>, make: impl Fn(u8, u8, Option<Money>) -> Step) -> Vec<Step> {
    let mut steps = Vec::new();
    for (id, merchant, currency, left) in &targets {
        steps.push(make(*id, *merchant, None));
        if *left > 0 {
            steps.extend(edges(*left).map(|amount| make(*id, *merchant, Some((amount, currency)))));
        }
    }
    if let Some((id, merchant, currency, _)) = targets.first() {
        steps.push(make(*id, merchant + 1, None));
        steps.push(make(*id, *merchant, Some((1, if *currency == "USD" { "EUR" } else { "USD" }))));
    }
    steps
}

fn acted(id: u8, by: u8, act: Act) -> Step {
    Step::Act { id, by: Some(by), act }
}

/// A dispute goes on, by the house; by a merchant there is only evidence.
fn ruled(payment: u8, act: Act) -> Step {
    Step::Act { id: payment, by: None, act }
}

fn captures(model: &Model) -> Vec<Step> {
    let capture = |is_final| move |id, by, asked| acted(id, by, Act::Capture(asked, is_final));
    // What has expired counts as a cent: it is asked for, and not often.
    let targets =
        targets(model, |_, p| p.parts[Capturable].min(if model.now < p.expires_at { LIMIT } else { 1 }));
    [false, true].into_iter().flat_map(|is_final| asked(targets.clone(), capture(is_final))).collect()
}

fn refunds(model: &Model) -> Vec<Step> {
    let targets = targets(model, |_, p| p.parts[Refundable]);
    asked(targets, |id, by, asked| acted(id, by, Act::Refund(asked)))
}

fn disputes(model: &Model) -> Vec<Step> {
    let id = next(&model.disputes);
    let targets = targets(model, |_, p| p.parts[Refundable]);
    asked(targets, |payment, _, asked| Step::Act { id: payment, by: None, act: Act::Dispute(id, asked) })
}

fn voids(model: &Model) -> Vec<Step> {
    asked(targets(model, |_, p| p.parts[Capturable].min(1)), |id, by, _| acted(id, by, Act::Void))
}

fn increments(model: &Model) -> Vec<Step> {
    // What the purse could still pay for, about.
    let funds = |_, p: &Payment| {
        let available = model.accounts[(ClientAvailable(p.client), p.funding.0)];
        let (numerator, denominator) = fraction(p.funding.1, p.funding.0, p.currency);
        let all = if p.parts.since(Released) == 0 { 0 } else { available * numerator / denominator };
        if p.parts[Capturable] > 0 { all.max(1) } else { 0 }
    };
    let increment = |asked: Option<Money>| Act::Increment(asked.unwrap_or((2, "EUR")));
    asked(targets(model, funds), |id, by, asked| acted(id, by, increment(asked)))
}

/// What comes too late, while the scheduler has not acted yet.
fn overdue(model: &Model) -> Vec<Step> {
    let expired = model.payments.iter().filter(|(_, p)| p.parts[Capturable] > 0 && model.now >= p.expires_at);
    let late = expired.flat_map(|(id, p)| {
        [Act::Capture(None, true), Act::Void, Act::Increment((1, p.currency))]
            .map(|act| acted(*id, p.merchant, act))
    });
    let open = model.disputes.iter().filter(|(id, it)| is_open(model, **id) && model.now >= it.2);
    let silent = open.flat_map(|(id, (payment, ..))| {
        let evidence = acted(*payment, model.payments[payment].merchant, Act::Submit(*id));
        [evidence, ruled(*payment, Act::Win(*id)), ruled(*payment, Act::Lose(*id))]
    });
    late.chain(silent).collect()
}

/// What the scheduler would look at, whether it is time or not.
pub fn due(model: &Model) -> Vec<Step> {
    let held = model.payments.iter().filter(|(_, p)| p.parts[Capturable] > 0);
    let ends =
        held.flat_map(|(id, _)| [Act::Warn, Act::Expire].map(|act| Step::Act { id: *id, by: None, act }));
    let open = model.disputes.iter().filter(|(id, _)| is_open(model, **id));
    let silent = open.map(|(id, (payment, ..))| ruled(*payment, Act::LoseUnanswered(*id)));
    ends.chain(silent).chain([Step::Settle { merchant: None, currency: None, as_of: None }]).collect()
}

fn decisions(model: &Model) -> Vec<Step> {
    let mut steps = Vec::new();
    for (id, (payment, ..)) in model.disputes.iter().rev().take(4) {
        let evidence = acted(*payment, model.payments[payment].merchant, Act::Submit(*id));
        let [win, lose, silent, reopen] =
            [Act::Win, Act::Lose, Act::LoseUnanswered, Act::Reopen].map(|act| ruled(*payment, act(*id)));
        let any = [win, lose, evidence, silent, reopen];
        let (any, likely): (&[Step], &[Step]) = match model.status[&Thing::Dispute(*id)] {
            "won" => (&any, &[reopen; 5]),
            "lost" => (&any[..2], &[]),
            _ => (&any, &[win, win, evidence, evidence, lose]),
        };
        steps.extend(any.iter().chain(likely));
    }
    if let Some((id, (payment, ..))) = model.disputes.iter().next_back() {
        steps.push(acted(*payment, 9, Act::Submit(*id)));
        steps.extend([ruled(*payment, Act::Win(id + 1)), ruled(payment + 1, Act::Lose(*id))]);
    }
    steps
}

/// Corrections of what can be corrected, of anything else, on a day too early or late; and their approvals.
fn corrections(model: &Model) -> Vec<Step> {
    let (id, today) = (next(&model.corrections), model.now / DAY);
    let can_be = |step: &Step| match step {
        Step::Move(cash, ..) => *cash != Cash::WriteOff,
        Step::ChangePayout(_, news) => *news == News::Paid,
        Step::Act { act, .. } => matches!(act, Act::Lose(_) | Act::LoseUnanswered(_)),
        _ => false,
    };
    let ask = |nth: &usize, day| Step::RequestCorrection { id, nth: *nth, day, by: 0 };
    let likely: Vec<_> = model.past.iter().rev().filter(|(_, (_, step, ..))| can_be(step)).take(5).collect();
    let mut steps: Vec<_> = likely.iter().map(|(nth, _)| ask(nth, today)).collect();
    if let Some((nth, (day, ..))) = likely.first() {
        steps.extend([ask(nth, day - 1), ask(nth, *day), ask(nth, today + 1)]);
    }
    steps.extend(model.past.keys().next_back().map(|nth| ask(nth, today)));
    steps.push(ask(&(model.steps + 9), today));
    for id in newest(&model.corrections, 4) {
        steps.extend([0, 1, 1, 1].map(|by| Step::ApproveCorrection { id, by }));
    }
    steps
}

fn settlements(model: &Model) -> Vec<Step> {
    let all = |as_of| Step::Settle { merchant: None, currency: None, as_of };
    let mut steps = vec![all(None), all(None), all(Some(model.now - DAY)), all(Some(model.now + 2 * DAY))];
    for (merchant, currency, day) in unsettled(model).into_iter().take(4) {
        let (merchant, currency) = (Some(merchant), Some(currency));
        steps.push(Step::Settle { merchant, currency, as_of: None });
        let ends = [day * DAY - 1, day * DAY].map(Some);
        steps.extend(ends.map(|as_of| Step::Settle { merchant, currency, as_of }));
    }
    steps
}

fn any_rate(model: &Model) -> BoxedStrategy<Step> {
    let now = model.now;
    let until = select(vec![now, now + 5, now + 3 * DAY, now + 60 * DAY]);
    (0..5_usize, 1..5_usize, select(vec![(1, 0), (62, 4), (16_005, 2), (3, 0)]), until)
        .prop_map(|(from, on, rate, valid_until)| {
            let [from, to] = [from, from + on].map(|n| CURRENCIES[n % CURRENCIES.len()]);
            Step::SetRate { from, to, rate, valid_until }
        })
        .boxed()
}
