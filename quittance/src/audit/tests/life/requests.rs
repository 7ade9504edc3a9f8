//! Who asks, and what the answer names.

use super::*;

#[test]
fn who_asks_may() {
    for (kind, actor) in [
        ("payment.disputed", key(2)),
        ("payment.dispute_won", key(2)),
        ("payout.paid", key(2)),
        ("payout.requested", key(1)),
        ("payment.dispute_evidence_submitted", key(1)),
        ("client.closed", key(2)),
        ("merchant.deposited", key(2)),
        ("fx.rate_set", key(2)),
    ] {
        forge(kind, 0, "actor", |event| event["actor"] = json!(actor));
    }
    for kind in ["payment.expired", "payment.authorization_expiring"] {
        forge(kind, 0, "actor", |event| {
            event["actor"] = json!(key(1));
            event["request_id"] = json!("a request");
        });
    }
    for kind in ["client.deposited", "payment.voided", "payout.paid", "payment.dispute_won"] {
        forge(kind, 0, "actor", |event| {
            event["actor"] = json!("system:expiry");
            event["request_id"] = json!(null);
        });
    }
}

#[test]
fn only_the_ledger_itself_is_answered_with_nothing() {
    let life = life();
    let rows = rows(&life.events);
    let answered = |position: usize| {
        let mut kept = outcomes(&rows);
        let row = kept.iter_mut().find(|outcome| outcome.position == position as i64).unwrap();
        row.answer = "null".to_owned();
        audit(&rows, &kept, vault(&life.events))
    };
    let report = answered(position(&life.events, "payment.expired", 0));
    assert!(report.holds(), "{report}");
    let refund = position(&life.events, "payment.refunded", 0);
    assert_first(&answered(refund), refund, "outcome of the request");
    let mut kept = outcomes(&rows);
    let expired = position(&life.events, "payment.expired", 0);
    kept.retain(|outcome| outcome.position != expired as i64);
    assert_first(&audit(&rows, &kept, vault(&life.events)), expired, "outcome of the request");
}

#[test]
fn answers_name_disputes_pairs_and_lists() {
    let life = life();
    let rows = rows(&life.events);
    let at = |kind: &str, n| position(&life.events, kind, n) as u64;
    let (disputed, settled, set) =
        (at("payment.disputed", 0), at("settlement.closed", 1), at("fx.rate_set", 0));
    let settlements = |second: u128| {
        json!({ "data": [
            { "id": SettlementId::new(uuid(0x100)), "position": settled - 1 },
            { "id": SettlementId::new(uuid(second)), "position": settled },
        ] })
    };
    let dispute =
        |n| json!({ "id": DisputeId::new(uuid(n)), "payment_id": payment(1), "position": disputed });
    let rate = |from| json!({ "from": from, "to": "USD", "position": set });
    for (position, right, wrong) in [
        (disputed, dispute(1), dispute(2)),
        (settled, settlements(0x101), settlements(0x102)),
        (set, rate("CHF"), rate("EUR")),
    ] {
        for (answer, holds) in [(right, true), (wrong, false)] {
            let mut kept = outcomes(&rows);
            let row = kept.iter_mut().find(|outcome| outcome.position.unsigned_abs() == position).unwrap();
            row.answer = answer.to_string();
            let report = audit(&rows, &kept, vault(&life.events));
            assert_eq!(report.holds(), holds, "{report}");
        }
    }
}
