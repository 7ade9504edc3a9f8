//! The running service does what the reference model says, whatever is asked of it and in whatever order.
//!
//! The model and its plans are those of the aggregates' properties. Over HTTP they are told in [`case`]; here is
//! what may be told: no two moments of the service are the same, so that its clock keeps its distance from
//! every deadline, and amounts are what a request may ask for.
//!
//! A case that fails shrinks, prints the few acts that are left, and is kept beside this file, to be tried
//! first ever after. `cargo xtask properties` runs many.

mod case;
#[path = "../../../ledger-core/tests/model/mod.rs"]
mod model;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use case::{Case, Service};
use model::Model;
use model::plan::{any_step, any_wait, deadlines, due, is_new, to_a_deadline};
use model::words::{Act, DAY, Step, Thing};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, TestError, TestRunner};
use proptest_state_machine::ReferenceStateMachine;
use tokio::runtime::Runtime;

/// So many cases unless `PROPTEST_CASES` says another number.
const CASES: u32 = 32;

/// So many acts in a case, at most.
const ACTS_MAX: usize = 60;

/// How far the clock keeps from deadlines, in microseconds: what a stay between two jumps of it takes less
/// than, on any machine.
const DISTANCE: i128 = 300_000_000;

/// The most that a request may ask for.
const ASKED_MAX: i128 = 999_999_999_999;

/// What is done next.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// A request.
    Ask(Step),
    /// An earlier request once more, this many before the last; and another one under its key.
    AskAgain(usize),
    /// The scheduler acts on all that is due.
    Schedule,
}

/// The model as it is asked over HTTP.
struct OverHttp;

impl ReferenceStateMachine for OverHttp {
    type State = Model;
    /// How long to wait, in microseconds, and what then to do.
    type Transition = (i128, Deed);

    fn init_state() -> BoxedStrategy<Model> {
        Model::init_state()
    }

    fn transitions(model: &Model) -> BoxedStrategy<(i128, Deed)> {
        let ask = (any_step(model), 0..=1_i128).prop_map(|(step, more)| Deed::Ask(writable(step, more)));
        prop_oneof![
            30 => (any_wait(model, DISTANCE), ask.clone()),
            6 => (to_a_deadline(model, DISTANCE), ask),
            2 => (0..40_usize).prop_map(|before| (0, Deed::AskAgain(before))),
            2 => (1..=16_i128).prop_map(|days| (days * DAY + DISTANCE, Deed::Schedule)),
        ]
        .boxed()
    }

    fn preconditions(model: &Model, (wait, deed): &(i128, Deed)) -> bool {
        let now = model.now + wait;
        let near = |at: &i128| (at - now).abs() < DISTANCE;
        // A capture's day is that of its moment.
        let midnight = (now.div_euclid(DAY) + 1) * DAY;
        !deadlines(model).iter().any(near) && midnight - now >= DISTANCE && can_be_done(model, now, deed)
    }

    fn apply(mut model: Model, (wait, deed): &(i128, Deed)) -> Model {
        model.now += wait;
        match deed {
            Deed::Ask(step) if amount(&mut step.clone()).is_some_and(|asked| *asked > ASKED_MAX) => {
                model.outcome = "out_of_range";
            }
            Deed::Ask(step) => model.apply(0, step),
            Deed::AskAgain(_) => {}
            Deed::Schedule => due(&model).iter().for_each(|step| model.apply(0, step)),
        }
        model
    }
}

/// The amount that a step asks for.
fn amount(step: &mut Step) -> Option<&mut i128> {
    match step {
        Step::Move(_, _, money) | Step::Pay { money, .. } | Step::RequestPayout { money, .. } => {
            Some(&mut money.0)
        }
        Step::Act { act, .. } => act.asked().map(|money| &mut money.0),
        _ => None,
    }
}

/// Asks at most for what a request may ask for, or for a little more than that; cards are good for a week.
fn writable(mut step: Step, more: i128) -> Step {
    if let Some(asked) = amount(&mut step) {
        *asked = (*asked).min(ASKED_MAX + more);
    }
    if let Step::Pay { days, .. } = &mut step {
        *days = 7;
    }
    step
}

/// Tells whether the act can be done from outside: merchants ask with their own keys, and not before they
/// have one; a dispute is found by its id alone; what is due is the scheduler's.
fn can_be_done(model: &Model, now: i128, deed: &Deed) -> bool {
    let is_there = |merchant| model.merchants.contains_key(&merchant);
    let is_of = |id, payment| model.disputes.get(&id).is_none_or(|(its_payment, ..)| *its_payment == payment);
    match *deed {
        // Captures of the same day are not due yet, though a request may settle them.
        Deed::Schedule => now.div_euclid(DAY) > model.now.div_euclid(DAY),
        Deed::AskAgain(_) => true,
        Deed::Ask(Step::Act { act: Act::Warn | Act::Expire | Act::LoseUnanswered(_), .. }) => false,
        Deed::Ask(Step::Act { id, act, .. }) if act.dispute().is_some_and(|dispute| !is_of(dispute, id)) => {
            false
        }
        Deed::Ask(
            Step::Pay { merchant, .. }
            | Step::Act { by: Some(merchant), .. }
            | Step::RequestPayout { merchant, .. },
        ) if !is_there(merchant) => false,
        // Events of the scheduler are named by no answer; of a payment the last is.
        Deed::Ask(Step::RequestCorrection { nth, .. })
            if model.past.get(&nth).is_some_and(|(_, step, ..)| is_scheduled(step)) =>
        {
            false
        }
        Deed::Ask(Step::SetRate { valid_until, .. }) => valid_until <= now || valid_until - now >= DISTANCE,
        Deed::Ask(step) => is_new(model, &step),
    }
}

/// Tells whether the scheduler may have done it.
fn is_scheduled(step: &Step) -> bool {
    match step {
        Step::Act { act, .. } => matches!(act, Act::Warn | Act::Expire | Act::LoseUnanswered(_)),
        Step::Settle { .. } => true,
        _ => false,
    }
}

fn config() -> ProptestConfig {
    let with_default = ProptestConfig { cases: CASES, ..ProptestConfig::default() };
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        source_file: Some(file!()),
        max_shrink_iters: 2_000,
        max_local_rejects: u32::MAX,
        ..proptest::test_runner::contextualize_config(with_default)
    }
}

#[test]
fn the_service_does_what_the_model_says() {
    let runtime = Runtime::new().unwrap();
    let service = runtime.block_on(Service::start());
    let mut runner = TestRunner::new(config());
    let plans = OverHttp::sequential_strategy(1..ACTS_MAX);
    let outcome = runner.run(&plans, |(mut model, acts, seen)| {
        runtime.block_on(async {
            let mut case = Case::begin(&service, &model).await;
            for (wait, act) in acts {
                // Acts that were not seen are what shrinking drops first.
                if let Some(seen) = &seen {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
                model = OverHttp::apply(model, &(wait, act));
                case.take(&model, act).await;
            }
            case.end(model).await;
        });
        Ok(())
    });
    match outcome {
        Ok(()) => runtime.block_on(service.finish()),
        Err(TestError::Fail(why, (model, acts, _))) => {
            let acts: Vec<_> =
                acts.iter().map(|(wait, act)| format!("  after {wait} µs {act:?}\n")).collect();
            panic!("{why}\nafter the setup with {:?}\n{}\n{runner}", model.merchants[&1], acts.concat());
        }
        Err(TestError::Abort(why)) => panic!("{why}\n{runner}"),
    }
}

/// The property is worth what its cases reach.
#[test]
fn cases_reach_every_outcome_of_a_request() {
    let (mut runner, mut reached) = (TestRunner::deterministic(), BTreeSet::new());
    for _ in 0..600 {
        let plans = OverHttp::sequential_strategy(1..ACTS_MAX);
        let (mut model, acts, _) = plans.new_tree(&mut runner).unwrap().current();
        for act in acts {
            model = OverHttp::apply(model, &act);
            reached.insert(model.outcome);
            reached.extend(model.payments.keys().map(|id| model.stands(*id)));
            reached.extend(model.disputes.keys().map(|id| model.status[&Thing::Dispute(*id)]));
        }
    }
    assert_eq!(reached.iter().filter(|outcome| outcome.contains('.')).count(), EVENTS, "{reached:?}");
    for outcome in REFUSALS.iter().chain(&STATUSES) {
        assert!(reached.contains(outcome), "no {outcome} in {reached:?}");
    }
}

/// All that a request can bring about.
const EVENTS: usize = 33;

/// All that a request can be refused for, or a payment declined, within a few dozen acts.
const REFUSALS: [&str; 33] = [
    "authorization_expired",
    "capture_exceeds_authorization",
    "card_already_registered",
    "card_blocked",
    "card_not_recognised",
    "client_closed",
    "client_not_empty",
    "correction_needs_another_key",
    "currency_mismatch",
    "date_out_of_range",
    "dispute_closed",
    "dispute_exceeds_refundable",
    "event_already_corrected",
    "event_not_correctable",
    "expired_card",
    "fx_rate_expired",
    "insufficient_available_balance",
    "insufficient_funds",
    "invalid_cvc",
    "invalid_expiry",
    "invalid_number",
    "merchant_suspended",
    "not_found",
    "nothing",
    "out_of_range",
    "payment_not_capturable",
    "payment_not_disputable",
    "payment_not_incrementable",
    "payment_not_refundable",
    "payment_not_voidable",
    "payout_closed",
    "refund_exceeds_captured",
    "write_off_exceeds_debt",
];

/// All that payments and disputes can be.
const STATUSES: [&str; 13] = [
    "authorized",
    "captured",
    "declined",
    "disputed",
    "expired",
    "lost",
    "needs_response",
    "partially_captured",
    "partially_refunded",
    "refunded",
    "under_review",
    "voided",
    "won",
];
