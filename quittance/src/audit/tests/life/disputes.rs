//! Disputes, from the first word to the last.

use super::*;

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
    append(super::life(), "payment.dispute_evidence_submitted", 0, "status before", |_| {});
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
