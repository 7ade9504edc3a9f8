//! The fold on hand-written logs: a right one holds, and a copy with one thing changed gives a finding
//! that names its place.

mod life;

use std::collections::BTreeSet;

use ledger_core::ids::{EventId, StreamId};
use ledger_core::personal::{Sealed, SecretKey};
use serde_json::{Value, json};
use sqlx::types::Uuid;
use sqlx::types::chrono::{DateTime, Utc};

use crate::audit::canonical;
use crate::audit::fold::Fold;
use crate::audit::log::{LogRow, leaf_hash};
use crate::audit::model::{Model, READ_MODELS, WRITE_SIDE};
use crate::audit::outcome::OutcomeRow;
use crate::audit::report::{Place, Report};
use crate::audit::snapshot::Snapshot;
use crate::audit::subject::Vault;

const DAY: i64 = 86_400_000_000;

fn id(prefix: &str, n: u128) -> String {
    format!("{prefix}_{:032x}", 0x0197_0000_0000_7000_8000_0000_0000_0000_u128 + n)
}

fn eur(minor: i64) -> Value {
    json!({ "amount": minor, "currency": "EUR" })
}

fn debit(account: &str, minor: i64) -> Value {
    json!({ "account": account, "debit": eur(minor) })
}

fn credit(account: &str, minor: i64) -> Value {
    json!({ "account": account, "credit": eur(minor) })
}

/// A log while it is written: each event is one batch of its own unless it goes with the one before.
struct Script {
    events: Vec<Value>,
    now: i64,
    requests: u32,
}

impl Script {
    /// Begins with an operator's key, a client with 200.00 EUR and a card, and a merchant with a key.
    fn new() -> Self {
        let mut script = Self { events: Vec::new(), now: 1_790_000_000_000_000, requests: 0 };
        script.system(&id("key", 1), "api_key.created", json!({ "role": "operator", "merchant_id": null }));
        script.operator(
            &id("cli", 1),
            "client.opened",
            json!({ "name": script.sealed("name"), "email": null, "metadata": null }),
            json!([]),
        );
        script.operator(
            &id("cli", 1),
            "client.deposited",
            json!({ "amount": eur(20_000), "reference": null }),
            json!([debit("house:bank", 20_000), credit(&available(), 20_000)]),
        );
        script.operator(
            &id("card", 1),
            "card.issued",
            json!({
                "client_id": id("cli", 1), "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030,
                "registered": true, "fingerprint_key": 1, "cvc_key": 1,
            }),
            json!([]),
        );
        script.operator(
            &id("mer", 1),
            "merchant.opened",
            json!({
                "name": "Corner shop", "metadata": null, "fee": { "percent": "1.40", "fixed": [eur(25)] },
                "fee_version": 1, "settlement_delay_days": 2, "refund_fee": "returned", "negative_limit": [],
            }),
            json!([]),
        );
        script.operator(
            &id("key", 2),
            "api_key.created",
            json!({ "role": "merchant", "merchant_id": id("mer", 1) }),
            json!([]),
        );
        script
    }

    /// Seals a name for the client, in the event that comes next.
    fn sealed(&self, field: &str) -> Value {
        let (subject, event): (StreamId, EventId) =
            (id("cli", 1).parse().unwrap(), self.event_id().parse().unwrap());
        json!(Sealed::seal(&subject_key(), subject, event, field, [7; 12], &json!("Ada Lovelace")))
    }

    fn event_id(&self) -> String {
        id("evt", self.events.len() as u128 + 1)
    }

    fn system(&mut self, stream: &str, kind: &str, data: Value) {
        self.append("system:cli", None, stream, kind, data, json!([]));
    }

    fn operator(&mut self, stream: &str, kind: &str, data: Value, postings: Value) {
        self.requests += 1;
        let request = format!("request-{}", self.requests);
        self.append(&id("key", 1), Some(&request), stream, kind, data, postings);
    }

    fn merchant(&mut self, stream: &str, kind: &str, data: Value, postings: Value) {
        self.requests += 1;
        self.same_request(stream, kind, data, postings);
    }

    /// Appends an event for the same request as the one before, in the same batch.
    fn same_request(&mut self, stream: &str, kind: &str, data: Value, postings: Value) {
        let request = format!("request-{}", self.requests);
        if self.events.last().is_some_and(|last| last["request_id"] == request.as_str()) {
            self.now -= 1;
        }
        self.append(&id("key", 2), Some(&request), stream, kind, data, postings);
    }

    fn append(
        &mut self,
        actor: &str,
        request: Option<&str>,
        stream: &str,
        kind: &str,
        data: Value,
        postings: Value,
    ) {
        let version = 1 + self.events.iter().filter(|event| event["stream_id"] == stream).count();
        self.events.push(json!({
            "position": self.events.len() + 1, "event_id": self.event_id(), "stream_id": stream,
            "version": version, "type": kind, "schema_version": 1, "recorded_at": spelled(self.now),
            "actor": actor, "request_id": request, "postings": postings, "data": data,
        }));
        self.now += 1;
    }

    /// Authorizes payment `n`.
    fn authorize(&mut self, n: u128, minor: i64, capture: &str) {
        let mut data = details(minor, capture);
        data["client_id"] = json!(id("cli", 1));
        data["expires_at"] = json!(spelled(self.now + 7 * DAY));
        self.merchant(
            &id("pay", n),
            "payment.authorized",
            data,
            json!([debit(&available(), minor), credit(&held(), minor)]),
        );
    }

    fn capture(&mut self, n: u128, (amount, fee, released): (i64, i64, i64), is_final: bool) {
        let settles_on = DateTime::from_timestamp_micros(self.now + 2 * DAY).unwrap().date_naive();
        let mut postings = vec![
            debit(&held(), amount + released),
            credit(&pending(), amount - fee),
            credit("house:fees", fee),
        ];
        if released > 0 {
            postings.push(credit(&available(), released));
        }
        self.same_request(
            &id("pay", n),
            "payment.captured",
            json!({
                "merchant_id": id("mer", 1), "client_id": id("cli", 1), "amount": eur(amount), "fee": eur(fee),
                "fee_version": 1, "final": is_final, "released": eur(released), "settles_on": settles_on.to_string(),
            }),
            json!(postings),
        );
    }

    fn decline(&mut self, n: u128, code: &str, edit: impl FnOnce(&mut Value)) {
        let mut data = details(1_000, "automatic");
        data["client_id"] = json!(id("cli", 1));
        data["decline_code"] = json!(code);
        edit(&mut data);
        self.merchant(&id("pay", n), "payment.declined", data, json!([]));
    }

    /// Refunds from what is pending alone.
    fn refund(&mut self, n: u128, (amount, returned): (i64, i64)) {
        let mut postings = vec![debit(&pending(), amount - returned), credit(&available(), amount)];
        if returned > 0 {
            postings.insert(0, debit("house:fees", returned));
        }
        self.merchant(
            &id("pay", n),
            "payment.refunded",
            json!({
                "merchant_id": id("mer", 1), "client_id": id("cli", 1), "refund_id": id("ref", self.events.len() as u128),
                "amount": eur(amount), "fee_returned": eur(returned), "drawn": eur(amount - returned), "reason": null,
            }),
            json!(postings),
        );
    }

    /// Adds payments of every kind that a log can have so far.
    fn with_payments(mut self) -> Self {
        self.authorize(1, 10_000, "automatic");
        self.capture(1, (10_000, 165, 0), true);
        self.refund(1, (4_000, 66));
        self.refund(1, (6_000, 99));
        self.authorize(2, 5_000, "manual");
        self.requests += 1;
        self.capture(2, (2_000, 53, 0), false);
        self.requests += 1;
        self.capture(2, (1_000, 14, 2_000), true);
        self.authorize(3, 700, "manual");
        self.merchant(
            &id("pay", 3),
            "payment.voided",
            json!({ "merchant_id": id("mer", 1), "client_id": id("cli", 1), "amount": eur(700), "reason": null }),
            json!([debit(&held(), 700), credit(&available(), 700)]),
        );
        self.decline(4, "insufficient_funds", |data| data["amount"] = eur(1_000_000));
        for n in 5..10 {
            self.decline(n, "invalid_cvc", |_| {});
        }
        let data = json!({ "client_id": id("cli", 1), "reason": "too_many_attempts" });
        self.same_request(&id("card", 1), "card.blocked", data, json!([]));
        self.decline(10, "card_blocked", |_| {});
        self
    }

    fn rows(&self) -> Vec<LogRow> {
        self.events.iter().map(row).collect()
    }
}

fn details(minor: i64, capture: &str) -> Value {
    json!({
        "merchant_id": id("mer", 1), "amount": eur(minor), "capture": capture, "reference": null,
        "description": null, "metadata": null,
        "card": { "id": id("card", 1), "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030 },
    })
}

fn available() -> String {
    format!("client:{}:available", id("cli", 1))
}

fn held() -> String {
    format!("client:{}:held", id("cli", 1))
}

fn pending() -> String {
    format!("merchant:{}:pending", id("mer", 1))
}

fn spelled(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).unwrap().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Stores an event as the writer would.
fn row(event: &Value) -> LogRow {
    let canonical = canonical::text(event).unwrap();
    LogRow {
        position: event["position"].as_i64().unwrap(),
        stream_id: event["stream_id"].as_str().unwrap().to_owned(),
        version: event["version"].as_i64().unwrap(),
        kind: event["type"].as_str().unwrap().to_owned(),
        recorded_at: event["recorded_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap(),
        leaf_hash: leaf_hash(&canonical).to_vec(),
        canonical,
    }
}

fn master() -> SecretKey {
    SecretKey::new([1; 32])
}

fn subject_key() -> SecretKey {
    SecretKey::new([2; 32])
}

fn vault(master_key: Option<SecretKey>) -> Vault {
    let subject: StreamId = id("cli", 1).parse().unwrap();
    let wrapped = master().wrap(&subject_key(), subject, [3; 12]);
    Vault { wrapped: [(subject, wrapped)].into(), ..Vault::new(master_key) }
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

fn audit(rows: &[LogRow], outcomes: &[OutcomeRow], vault: Vault) -> Report {
    let head = rows.last().map_or(0, |row| row.position.unsigned_abs());
    let mut fold = Fold::new(vault);
    outcomes.iter().for_each(|row| fold.outcomes.keep(row, head));
    fold.outcomes.sort();
    fold.begin();
    rows.iter().for_each(|row| fold.take(row));
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

#[test]
fn a_changed_text_is_named() {
    let report = with_row(8, |row| row.canonical = row.canonical.replace("165", "164"));
    assert_first(&report, 8, "leaf_hash");
}

#[test]
fn a_text_that_is_not_canonical_is_named() {
    let report = with_row(3, |row| {
        row.canonical.insert(1, ' ');
        row.leaf_hash = leaf_hash(&row.canonical).to_vec();
    });
    assert_first(&report, 3, "canonical text");
}

#[test]
fn a_member_name_twice_is_named() {
    let report = with_row(3, |row| {
        row.canonical.insert_str(1, r#""actor":"system:x","#);
        row.leaf_hash = leaf_hash(&row.canonical).to_vec();
    });
    assert_first(&report, 3, "canonical text");
}

#[test]
fn columns_are_those_of_the_text() {
    assert_first(&with_row(3, |row| row.kind = "client.withdrawn".into()), 3, "type");
    assert_first(&with_row(3, |row| row.stream_id = id("cli", 2)), 3, "stream_id");
    assert_first(&with_row(3, |row| row.version = 3), 3, "version");
    assert_first(&with_row(3, |row| row.recorded_at += chrono::Duration::microseconds(1)), 3, "recorded_at");
}

#[test]
fn a_gap_is_named() {
    let mut rows = Script::new().with_payments().rows();
    rows.remove(6);
    assert_first(&audit_rows(&rows), 8, "position");
}

#[test]
fn time_never_goes_back() {
    let report = with_event(9, |event| event["recorded_at"] = json!(spelled(1)));
    assert_first(&report, 9, "recorded_at");
}

#[test]
fn envelopes_have_exactly_their_members() {
    assert_first(&with_event(3, |event| event["causation_id"] = json!(null)), 3, "envelope");
    assert_first(&with_event(3, |event| event["data"]["note"] = json!("x")), 3, "data");
    assert_first(&with_event(3, |event| event["schema_version"] = json!(2)), 3, "type");
    assert_first(&with_event(3, |event| event["version"] = json!(3)), 3, "version in the stream");
    assert_first(&with_event(3, |event| event["event_id"] = json!(id("evt", 2))), 3, "event_id");
}

#[test]
fn postings_are_those_of_the_table_and_balance() {
    assert_first(&with_event(3, |event| event["postings"][0] = debit("house:bank", 19_999)), 3, "postings");
    assert_first(&with_event(3, |event| event["postings"][0] = debit("house:fx", 20_000)), 3, "postings");
    assert_first(&with_event(3, |event| event["postings"] = json!([])), 3, "postings");
    assert_first(&with_event(3, |event| event["postings"][0] = debit("house:bank", 0)), 3, "postings");
}

#[test]
fn a_known_actor_of_the_right_role_is_there() {
    let capture = positions("payment.captured")[0];
    assert_first(&with_event(3, |event| event["actor"] = json!(id("key", 9))), 3, "actor");
    assert_first(&with_event(3, |event| event["actor"] = json!("")), 3, "actor");
    assert_first(&with_event(3, |event| event["actor"] = json!(id("key", 2))), 3, "actor");
    let by_operator = with_event(capture, |event| event["actor"] = json!(id("key", 1)));
    assert!(by_operator.findings.iter().any(|finding| finding.what == "actor"), "{by_operator}");
}

#[test]
fn streams_begin_once_and_with_an_opening_event() {
    let report = with_event(7, |event| event["stream_id"] = json!(id("pay", 77)));
    assert!(!report.holds());
    let refund = positions("payment.refunded")[0];
    let report = with_event(refund, |event| {
        event["stream_id"] = json!(id("pay", 77));
        event["version"] = json!(1);
    });
    assert_first(&report, refund, "payment.refunded");
}

#[test]
fn fees_are_computed_again() {
    let capture = positions("payment.captured")[0];
    let report = with_event(capture, |event| {
        event["data"]["fee"] = eur(164);
        event["postings"][1] = credit(&pending(), 9_836);
        event["postings"][2] = credit("house:fees", 164);
    });
    assert_first(&report, capture, "fee");
    assert_first(
        &with_event(capture, |event| event["data"]["fee_version"] = json!(2)),
        capture,
        "fee_version",
    );
    assert_first(
        &with_event(capture, |event| event["data"]["settles_on"] = json!("2026-01-01")),
        capture,
        "settles_on",
    );
    let refund = positions("payment.refunded")[0];
    let report = with_event(refund, |event| event["data"]["fee_returned"] = eur(65));
    assert_first(&report, refund, "fee_returned");
}

#[test]
fn captures_stay_within_what_is_held() {
    let capture = positions("payment.captured")[2];
    let report = with_event(capture, |event| event["data"]["amount"] = eur(3_001));
    assert_first(&report, capture, "amount");
    let report = with_event(capture, |event| event["data"]["released"] = eur(1_999));
    assert_first(&report, capture, "released");
}

#[test]
fn nothing_is_captured_once_the_authorization_has_expired() {
    let mut script = Script::new();
    script.authorize(1, 1_000, "manual");
    script.now += 7 * DAY;
    script.requests += 1;
    script.capture(1, (1_000, 39, 0), true);
    assert_first(&audit_rows(&script.rows()), 8, "recorded_at");
}

#[test]
fn refunds_come_from_the_right_balances() {
    let refund = positions("payment.refunded")[0];
    let report = with_event(refund, |event| {
        event["data"]["drawn"] = eur(0);
        event["postings"][1] = debit(&format!("merchant:{}:available", id("mer", 1)), 3_934);
    });
    assert_first(&report, refund, "drawn");
    let report = with_event(refund, |event| event["data"]["amount"] = eur(10_001));
    assert_first(&report, refund, "amount");
}

#[test]
fn nothing_follows_a_decline() {
    let mut script = Script::new();
    script.decline(1, "insufficient_funds", |data| data["amount"] = eur(1_000_000));
    script.capture(1, (1_000, 39, 0), true);
    assert_first(&audit_rows(&script.rows()), 8, "stream_id");
}

#[test]
fn declines_fit_the_moment() {
    let mut script = Script::new();
    script.decline(1, "insufficient_funds", |_| {});
    assert_first(&audit_rows(&script.rows()), 7, "attempt to pay");
    for (code, edit) in [
        ("expired_card", json!({ "exp_year": 2031 })),
        ("invalid_expiry", json!({})),
        ("invalid_cvc", json!({ "exp_year": 2031 })),
        ("card_blocked", json!({})),
        ("card_not_recognised", json!({})),
        ("invalid_number", json!({})),
    ] {
        let mut script = Script::new();
        script.decline(1, code, |data| {
            for (name, value) in edit.as_object().unwrap() {
                data["card"][name] = value.clone();
            }
        });
        assert_first(&audit_rows(&script.rows()), 7, "attempt to pay");
    }
}

#[test]
fn declines_of_unknown_cards_know_no_client() {
    let unknown = |data: &mut Value| {
        data["client_id"] = json!(null);
        data["card"]["id"] = json!(null);
    };
    let mut script = Script::new();
    script.decline(1, "card_not_recognised", unknown);
    script.decline(2, "invalid_number", |data| {
        unknown(data);
        data["card"]["brand"] = json!(null);
    });
    script.decline(3, "expired_card", |data| {
        unknown(data);
        data["card"]["exp_year"] = json!(2020);
    });
    let report = audit_rows(&script.rows());
    assert!(report.holds(), "{report}");
}

#[test]
fn five_wrong_attempts_block_the_card_at_once() {
    let blocked = positions("card.blocked")[0];
    let mut rows = Script::new().with_payments().rows();
    rows.truncate(blocked - 1);
    assert_first(&audit_rows(&rows), blocked - 1, "what follows");
    let report = with_event(blocked, |event| event["data"]["reason"] = json!("stolen"));
    assert_first(&report, blocked, "reason");
}

#[test]
fn an_automatic_payment_is_captured_at_once() {
    let mut script = Script::new();
    script.authorize(1, 1_000, "automatic");
    script.authorize(2, 1_000, "manual");
    assert_first(&audit_rows(&script.rows()), 8, "what follows the event before");
}

#[test]
fn no_more_is_held_than_there_is() {
    let mut script = Script::new();
    script.authorize(1, 20_001, "manual");
    assert_first(&audit_rows(&script.rows()), 7, "attempt to pay");
}

#[test]
fn settings_are_counted_and_change() {
    let mut script = Script::new();
    let mut data = script.events[4]["data"].clone();
    data.as_object_mut().unwrap().retain(|name, _| name != "name" && name != "metadata");
    data["fee_version"] = json!(2);
    data["fee"]["percent"] = json!("1.4");
    script.operator(&id("mer", 1), "merchant.settings_changed", data, json!([]));
    assert_first(&audit_rows(&script.rows()), 7, "settings");
}

#[test]
fn sealed_fields_open_for_their_subject() {
    let report = with_event(2, |event| event["data"]["name"]["box"] = json!("AAAA"));
    assert_first(&report, 2, "box of name");
    let report = with_event(2, |event| event["data"]["name"]["subject"] = json!(id("cli", 2)));
    assert_first(&report, 2, "subject of name");
    let rows = Script::new().rows();
    let report = audit(&rows, &outcomes(&rows), Vault::new(Some(master())));
    assert_first(&report, 2, "subject_keys row for name");
    assert!(!report.to_string().contains("Ada"), "{report}");
}

#[test]
fn every_request_has_its_outcome() {
    let rows = Script::new().with_payments().rows();
    let capture = positions("payment.captured")[0];
    let without = |position: usize| {
        let mut kept = outcomes(&rows);
        kept.retain(|outcome| outcome.position != position as i64);
        audit(&rows, &kept, vault(None))
    };
    assert_first(&without(capture), capture, "outcome of the request");
    assert_first(&without(rows.len()), rows.len(), "outcome of the request");
}

#[test]
fn outcomes_fit_the_log() {
    let rows = Script::new().with_payments().rows();
    for (edit, what) in [
        ((|outcome: &mut OutcomeRow| outcome.status = 500) as fn(&mut OutcomeRow), "status"),
        (|outcome| outcome.position = 1_000, "position"),
        (|outcome| outcome.answer = "[]".into(), "answer"),
        (
            |outcome| {
                outcome.answer = json!({ "id": id("pay", 99), "position": outcome.position }).to_string();
            },
            "answer",
        ),
        (|outcome| outcome.answer = json!({ "id": null, "cvc": "123" }).to_string(), "secrets in the answer"),
    ] {
        let mut kept = outcomes(&rows);
        edit(&mut kept[3]);
        let report = audit(&rows, &kept, vault(None));
        let place = Place::Row { table: "outcomes".into(), key: format!("key {}", kept[3].key) };
        assert!(
            report.findings.iter().any(|finding| finding.place == place && finding.what == what),
            "{report}"
        );
        assert!(!report.to_string().contains("123\""), "{report}");
    }
}

#[test]
fn keys_of_subjects_that_the_log_does_not_know_are_named() {
    let mut vault = vault(None);
    let stranger = id("cli", 9).parse().unwrap();
    vault.wrapped.insert(stranger, Vec::new());
    let rows = Script::new().rows();
    let report = audit(&rows, &outcomes(&rows), vault);
    let place = Place::Row { table: "subject_keys".into(), key: format!("subject {stranger}") };
    assert_eq!(report.findings.iter().map(|finding| &finding.place).collect::<Vec<_>>(), [&place]);
}

#[test]
fn forged_amounts_do_not_stop_the_audit() {
    let deposit = |event: &mut Value| {
        event["data"]["amount"] = eur(i64::MAX);
        event["postings"] = json!([debit("house:bank", i64::MAX), credit(&available(), i64::MAX)]);
    };
    // Beyond what JSON keeps exactly, so not even canonical.
    let mut script = Script::new();
    deposit(&mut script.events[2]);
    let mut rows = Script::new().rows();
    rows[2].canonical = script.events[2].to_string();
    rows[2].leaf_hash = leaf_hash(&rows[2].canonical).to_vec();
    assert_first(&audit_rows(&rows), 3, "canonical text");
    let told: BTreeSet<_> = audit_rows(&rows).findings.into_iter().map(|finding| finding.what).collect();
    assert!(told.contains("amount"));
}

/// Compares rows of a model with the log of [`Script::with_payments`] up to a position, and names the
/// tables that do not hold.
fn wrong_tables(model: &'static dyn Model, position: usize, rows: &[(&str, &[&str])]) -> Vec<&'static str> {
    let log = Script::new().with_payments().rows();
    let cell = |cell: &&str| (*cell != "null").then(|| (*cell).to_owned());
    let rows: Vec<_> = rows.iter().map(|(table, cells)| (*table, cells.iter().map(cell).collect())).collect();
    wrong_tables_of(&log, vault(Some(master())), model, position, &rows)
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
    log.iter().for_each(|row| fold.take(row));
    let head = log.len() as u64;
    assert!(fold.finish(head).models.iter().all(|model| model.position == position as u64));
    assert_eq!(fold.findings.told, []);
    fold.snapshots[0].wrong().map(|table| table.shape.name).collect()
}

fn model(name: &str) -> &'static dyn Model {
    READ_MODELS.into_iter().find(|model| model.name() == name).unwrap()
}

#[test]
fn the_house_has_taken_its_fees() {
    let rows: [(&str, &[&str]); 8] = [
        ("house_balances", &["bank", "EUR", "20000", "0", "3"]),
        ("house_balances", &["fees", "EUR", "165", "232", "13"]),
        ("house_entries", &["bank", "EUR", "3", "20000", "0", "20000", "0"]),
        ("house_entries", &["fees", "EUR", "8", "0", "165", "0", "165"]),
        ("house_entries", &["fees", "EUR", "9", "66", "0", "66", "165"]),
        ("house_entries", &["fees", "EUR", "10", "99", "0", "165", "165"]),
        ("house_entries", &["fees", "EUR", "12", "0", "53", "165", "218"]),
        ("house_entries", &["fees", "EUR", "13", "0", "14", "165", "232"]),
    ];
    assert_eq!(wrong_tables(model("house-account"), 23, &rows), Vec::<&str>::new());
    assert_eq!(wrong_tables(model("house-account"), 23, &rows[1..]), ["house_balances"]);
    assert_eq!(wrong_tables(model("house-account"), 12, &rows[2..]), ["house_balances", "house_entries"]);
    let before = rows[2..4].to_vec();
    let then: [(&str, &[&str]); 2] = [
        ("house_balances", &["bank", "EUR", "20000", "0", "3"]),
        ("house_balances", &["fees", "EUR", "0", "165", "8"]),
    ];
    assert_eq!(wrong_tables(model("house-account"), 8, &[&then[..], &before].concat()), Vec::<&str>::new());
}

#[test]
fn the_write_side_has_its_balances() {
    let (client, merchant) = (id("cli", 1), id("mer", 1));
    let unsettled = r#"{"2026-09-23":{"count":3,"fees":232,"gross":13000}}"#;
    let rows: [(&str, &[&str]); 2] = [
        ("balances", &[&client, "EUR", "17000", "0", "0", "0", "0", "0", "0", "{}", "10", "15"]),
        ("balances", &[&merchant, "EUR", "0", "0", "0", "2933", "0", "0", "9835", unsettled, "5", "13"]),
    ];
    assert_eq!(wrong_tables(WRITE_SIDE, 23, &rows), ["owners", "cards", "api_keys"]);
    assert_eq!(wrong_tables(WRITE_SIDE, 22, &rows), ["owners", "cards", "api_keys"]);
    assert_eq!(wrong_tables(WRITE_SIDE, 14, &rows), ["balances", "owners", "cards", "api_keys"]);
}

#[test]
fn a_card_row_counts_attempts_and_its_own_events() {
    let at = |position: usize| spelled(row_time(position));
    let state = json!({
        "id": id("card", 1), "client_id": id("cli", 1), "brand": "visa", "last4": "4242", "exp_month": 12,
        "exp_year": 2030, "registered": true, "fingerprint_key": 1, "cvc_key": 1, "status": "blocked",
        "version": 2, "position": 22, "created_at": at(4), "updated_at": at(22),
    });
    let state = canonical::text(&state).unwrap();
    let rows: [(&str, &[&str]); 1] = [("cards", &[&id("card", 1), &state, "7", "22"])];
    assert_eq!(wrong_tables(WRITE_SIDE, 23, &rows), ["balances", "owners", "api_keys"]);
}

#[test]
fn a_client_is_shown_in_plain_with_its_entries() {
    let (client, card) = (id("cli", 1), id("card", 1));
    let at = |position: usize| spelled(row_time(position));
    let (opened, deposited, issued) = (at(2), at(3), at(4));
    let rows: [(&str, &[&str]); 4] = [
        ("clients", &[&client, "Ada Lovelace", "null", "null", "open", &opened, &deposited, "3"]),
        ("client_cards", &[&card, &client, "visa", "4242", "12", "2030", "active", &issued, &issued, "4"]),
        ("client_balances", &[&client, "EUR", "20000", "0", "3"]),
        (
            "client_entries",
            &[
                &client,
                "3",
                "1",
                "available",
                "EUR",
                "20000",
                "20000",
                "client.deposited",
                "null",
                &deposited,
            ],
        ),
    ];
    assert_eq!(wrong_tables(model("client-account"), 6, &rows), Vec::<&str>::new());
}

#[test]
fn payments_show_their_totals() {
    let (first, last) = (spelled(row_time(7)), spelled(row_time(10)));
    let expires = spelled(row_time(7) + 7 * DAY);
    let refunds = [(9, "4000"), (10, "6000")].map(|(position, amount)| {
        let refund = id("ref", position - 1);
        (refund, amount, spelled(row_time(position as usize)), position.to_string())
    });
    let (pay, merchant, client, card) = (id("pay", 1), id("mer", 1), id("cli", 1), id("card", 1));
    let payment: &[&str] = &[
        &pay,
        &merchant,
        &client,
        "refunded",
        "EUR",
        "10000",
        "10000",
        "10000",
        "0",
        "10000",
        "0",
        "0",
        "0",
        "null",
        "null",
        "null",
        "null",
        "null",
        &card,
        "visa",
        "4242",
        "12",
        "2030",
        "automatic",
        "null",
        "null",
        "null",
        "null",
        &expires,
        &first,
        &last,
        "10",
    ];
    let [a, b] = refunds
        .each_ref()
        .map(|(refund, amount, at, position)| [refund.as_str(), &pay, "EUR", amount, "null", at, position]);
    let rows: [(&str, &[&str]); 3] = [("payments", payment), ("refunds", &a), ("refunds", &b)];
    assert_eq!(wrong_tables(model("payment"), 10, &rows), Vec::<&str>::new());
}

#[test]
fn both_sides_are_notified() {
    let (client, merchant, pay) = (id("cli", 1), id("mer", 1), id("pay", 1));
    let at = |position: usize| spelled(row_time(position));
    let (opened, deposited, issued, began, authorized) = (at(2), at(3), at(4), at(5), at(7));
    let fact = |value: Value| canonical::text(&value).unwrap();
    let (amount, card, version) = (
        fact(json!({ "amount": eur(20_000) })),
        fact(json!({ "brand": "visa", "last4": "4242" })),
        fact(json!({ "fee_version": 1 })),
    );
    let asked = fact(json!({
        "amount": eur(10_000), "reference": null, "brand": "visa", "last4": "4242",
        "expires_at": spelled(row_time(7) + 7 * DAY),
    }));
    let rows: [(&str, &[&str]); 6] = [
        ("notifications", &[&client, "2", "client.opened", "null", "{}", &opened]),
        ("notifications", &[&client, "3", "client.deposited", "null", &amount, &deposited]),
        ("notifications", &[&client, "4", "card.issued", "null", &card, &issued]),
        ("notifications", &[&merchant, "5", "merchant.opened", "null", &version, &began]),
        ("notifications", &[&client, "7", "payment.authorized", &pay, &asked, &authorized]),
        ("notifications", &[&merchant, "7", "payment.authorized", &pay, &asked, &authorized]),
    ];
    assert_eq!(wrong_tables(model("notification"), 7, &rows), Vec::<&str>::new());
    assert_eq!(wrong_tables(model("notification"), 7, &rows[1..]), ["notifications"]);
}

/// When the event at a position of [`Script::with_payments`] was recorded.
fn row_time(position: usize) -> i64 {
    Script::new().with_payments().rows()[position - 1].recorded_at.timestamp_micros()
}
