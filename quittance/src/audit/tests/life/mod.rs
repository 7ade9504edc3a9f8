//! The fold on a log that `ledger-core` wrote: every type of event holds, and a copy in which one event
//! breaks a rule is told by that event.

mod anything;
mod clients;
mod corrections;
mod disputes;
mod forms;
mod merchants;
mod payments;
mod reconciliation;
mod requests;
mod story;
mod tables;

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

use super::{assert_first, audit, master, model, outcomes, row, subject_key, wrong_tables_of};
use crate::audit::log::LogRow;
use crate::audit::model::WRITE_SIDE;
use crate::audit::report::Report;
use crate::audit::subject::Vault;
use tables::*;

const DAY: i64 = 86_400_000_000;

/// A log in which everything happens.
fn life() -> Life {
    let mut life = Life::default();
    life.open();
    life.first_day();
    life.later_days();
    life
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

fn audit_life(life: &Life) -> Report {
    let rows = rows(&life.events);
    audit(&rows, &outcomes(&rows), vault(&life.events))
}

/// Finds the `n`th event of a type.
fn position(events: &[Value], kind: &str, n: usize) -> usize {
    let mut of_type = events.iter().enumerate().filter(|(_, event)| event["type"] == kind);
    of_type.nth(n).unwrap_or_else(|| panic!("no {kind} {n}")).0 + 1
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
}

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

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 + n)
}

fn currency(code: &str) -> Currency {
    code.parse().unwrap()
}

fn money(amount: i64, code: &str) -> Money {
    Money::new(amount, currency(code))
}

fn usd(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

fn eur(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
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
