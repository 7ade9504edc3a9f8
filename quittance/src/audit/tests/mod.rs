//! The fold on hand-written logs: a right one holds, and a copy with one thing changed gives a finding
//! that names its place.

mod beside_the_log;
mod life;
mod payments;
mod script;
mod stored;
mod tables;

use std::collections::BTreeSet;

use ledger_core::ids::StreamId;
use ledger_core::personal::SecretKey;
use serde_json::{Value, json};
use sqlx::types::Uuid;

use crate::audit::canonical;
use crate::audit::fold::Fold;
use crate::audit::log::{Leaf, LogRow, leaf_hash};
use crate::audit::model::{Model, READ_MODELS, WRITE_SIDE};
use crate::audit::moment::Moment;
use crate::audit::outcome::OutcomeRow;
use crate::audit::report::{Place, Report};
use crate::audit::snapshot::Snapshot;
use crate::audit::subject::Vault;
use script::*;

#[test]
fn a_right_log_holds() {
    let rows = Script::new().with_payments().rows();
    for key in [Some(master()), None] {
        let report = audit(&rows, &outcomes(&rows), vault(key));
        assert!(report.holds(), "{report}");
        assert_eq!((report.events, report.head), (rows.len() as u64, rows.len() as u64));
        assert_eq!(report.streams, 15);
    }
}

#[test]
fn an_empty_log_holds() {
    assert!(audit(&[], &[], Vault::new(None)).holds());
}

fn audit(rows: &[LogRow], outcomes: &[OutcomeRow], vault: Vault) -> Report {
    let head = rows.last().map_or(0, |row| row.position.unsigned_abs());
    let mut fold = Fold::new(vault);
    outcomes.iter().for_each(|row| fold.outcomes.keep(row, head));
    fold.outcomes.sort();
    fold.begin();
    rows.iter().cloned().map(Leaf::of).for_each(|leaf| fold.take(leaf));
    let mut report = fold.finish(head);
    report.add(fold.findings);
    report.add(fold.outcomes.findings);
    report
}

fn audit_rows(rows: &[LogRow]) -> Report {
    audit(rows, &outcomes(rows), vault(Some(master())))
}

/// Changes one event and stores it as the writer would, so that only its meaning is wrong.
fn with_event(position: usize, edit: impl FnOnce(&mut Value)) -> Report {
    let mut script = Script::new().with_payments();
    edit(&mut script.events[position - 1]);
    let kept = outcomes(&Script::new().with_payments().rows());
    audit(&script.rows(), &kept, vault(Some(master())))
}

/// Changes one row as it stands in the table.
fn with_row(position: usize, edit: impl FnOnce(&mut LogRow)) -> Report {
    let mut rows = Script::new().with_payments().rows();
    edit(&mut rows[position - 1]);
    let kept = outcomes(&Script::new().with_payments().rows());
    audit(&rows, &kept, vault(Some(master())))
}

/// The positions at which events of a type stand in [`Script::with_payments`].
fn positions(kind: &str) -> Vec<usize> {
    let script = Script::new().with_payments();
    let at = script.events.iter().enumerate().filter(|(_, event)| event["type"] == kind);
    at.map(|(index, _)| index + 1).collect()
}

#[track_caller]
fn assert_first(report: &Report, position: usize, what: &str) {
    let first = report.findings.first().unwrap_or_else(|| panic!("no finding: {report}"));
    assert_eq!((&first.place, first.what.as_str()), (&Place::Event(position as u64), what), "{report}");
    assert!(!report.holds());
}

/// Compares rows of a model with a log up to a position, and names the tables that do not hold.
fn wrong_tables_of(
    log: &[LogRow],
    vault: Vault,
    model: &'static dyn Model,
    position: usize,
    rows: &[(&str, Vec<Option<String>>)],
) -> Vec<&'static str> {
    let checkpoint = (position as u64, log[position - 1].leaf_hash.clone());
    let mut snapshot = Snapshot::new(model, None, checkpoint, BTreeSet::new(), true);
    for (table, cells) in rows {
        let cells: Vec<_> = cells.iter().map(Option::as_deref).collect();
        snapshot.keep(table, &cells);
    }
    let mut fold = Fold::new(vault);
    outcomes(log).iter().for_each(|row| fold.outcomes.keep(row, log.len() as u64));
    fold.outcomes.sort();
    fold.snapshots.push(snapshot);
    fold.begin();
    log.iter().cloned().map(Leaf::of).for_each(|leaf| fold.take(leaf));
    let head = log.len() as u64;
    assert!(fold.finish(head).models.iter().all(|model| model.position == position as u64));
    assert_eq!(fold.findings.told, []);
    fold.snapshots[0].wrong().map(|table| table.shape.name).collect()
}

fn model(name: &str) -> &'static dyn Model {
    READ_MODELS.into_iter().find(|model| model.name() == name).unwrap()
}

/// Stores an event as the writer would.
fn row(event: &Value) -> LogRow {
    let canonical = canonical::text(event).unwrap();
    LogRow {
        position: event["position"].as_i64().unwrap(),
        stream_id: event["stream_id"].as_str().unwrap().to_owned(),
        version: event["version"].as_i64().unwrap(),
        kind: event["type"].as_str().unwrap().to_owned(),
        recorded_at: Moment::parse(event["recorded_at"].as_str().unwrap()).unwrap(),
        leaf_hash: leaf_hash(&canonical).to_vec(),
        canonical,
    }
}

/// Gives every request of the rows the outcome that it should have.
fn outcomes(rows: &[LogRow]) -> Vec<OutcomeRow> {
    let request = |row: &LogRow| {
        let event = serde_json::from_str::<Value>(&row.canonical).ok()?;
        Some(["recorded_at", "actor", "request_id"].map(|name| event[name].clone()))
    };
    let is_last = |at: usize| rows.get(at + 1).and_then(request) != request(&rows[at]);
    (0..rows.len())
        .filter(|at| is_last(*at))
        .map(|at| OutcomeRow {
            key: Uuid::from_u128(at as u128),
            status: 200,
            position: rows[at].position,
            answer: json!({ "id": rows[at].stream_id, "position": rows[at].position }).to_string(),
        })
        .collect()
}

fn vault(master_key: Option<SecretKey>) -> Vault {
    let subject: StreamId = id("cli", 1).parse().unwrap();
    let wrapped = master().wrap(&subject_key(), subject, [3; 12]);
    Vault { wrapped: [(subject, wrapped)].into(), ..Vault::new(master_key) }
}

fn master() -> SecretKey {
    SecretKey::new([1; 32])
}

fn subject_key() -> SecretKey {
    SecretKey::new([2; 32])
}
