//! The rules of payments, and what they are decided on: cards, fees, settings.

use super::*;

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
