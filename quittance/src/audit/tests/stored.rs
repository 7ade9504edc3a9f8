//! What the log stores: texts, hashes, columns, envelopes, postings, actors, streams.

use super::*;

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
    assert_first(&with_row(3, |row| row.recorded_at = row.recorded_at.plus_micros(1)), 3, "recorded_at");
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
