//! Disputes: reserved, answered, won, lost, reopened.

use ledger_tests::{Client, Merchant, TestLedger, eventually};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

/// A shop whose payment of 100.00 EUR has been settled, without fees.
async fn settled_payment(ledger: &TestLedger) -> (Merchant, Client, String) {
    let shop = ledger.merchant(json!({ "fee": { "percent": "0" }, "settlement_delay_days": 0 })).await;
    let ada = ledger.client(10_000, "EUR").await;
    let id = ledger.pay(&shop, &ada, 10_000, "automatic").await.expect(201).text_of("id");
    ledger.post(&ledger.operator, "/v1/settlements", json!({ "merchant_id": shop.id })).await.expect(200);
    (shop, ada, id)
}

/// A merchant's pending, available and reserved.
async fn balance(ledger: &TestLedger, shop: &Merchant) -> [i64; 3] {
    let balances = ledger.get(&shop.key, &format!("/v1/merchants/{}/balances", shop.id)).await.expect(200);
    ["pending", "available", "reserved"].map(|name| balances.body["data"][0][name].as_i64().unwrap())
}

async fn dispute(ledger: &TestLedger, payment: &str, amount: Option<i64>) -> ledger_tests::Answer {
    let amount = amount.map(|amount| json!({ "amount": amount, "currency": "EUR" }));
    let body = json!({ "amount": amount, "reason": "never arrived" });
    ledger.post(&ledger.operator, &format!("/v1/payments/{payment}/disputes"), body).await
}

async fn decide(ledger: &TestLedger, dispute: &str, verb: &str) -> ledger_tests::Answer {
    ledger.post(&ledger.operator, &format!("/v1/disputes/{dispute}/{verb}"), json!({})).await
}

#[tokio::test]
async fn a_dispute_reserves_is_answered_and_won_once_more_and_lost() {
    let ledger = TestLedger::start().await.unwrap();
    let (shop, ada, payment) = settled_payment(&ledger).await;
    let opened = dispute(&ledger, &payment, Some(6_000)).await.expect(201);
    let id = opened.text_of("id");
    assert_eq!(
        (opened.text_of("status"), opened.text_of("reason")),
        ("needs_response".into(), "never arrived".into())
    );
    assert_eq!(balance(&ledger, &shop).await, [0, 4_000, 6_000]);
    let refund = json!({ "amount": { "amount": 4_001, "currency": "EUR" } });
    ledger.act(&shop, &payment, "refunds", refund).await.expect_code(409, "refund_exceeds_captured");
    dispute(&ledger, &payment, Some(4_001)).await.expect_code(409, "dispute_exceeds_refundable");

    let path = format!("/v1/disputes/{id}/evidence");
    let answered = ledger.post(&shop.key, &path, json!({ "text": "signed for" })).await.expect(200);
    assert_eq!(
        (answered.text_of("status"), answered.text_of("evidence")),
        ("under_review".into(), "signed for".into())
    );
    let shown = ledger.get(&shop.key, &format!("/v1/disputes/{id}")).await.expect(200);
    assert_eq!(shown.body, answered.body);
    let other = ledger.merchant(json!({})).await;
    ledger.post(&other.key, &path, json!({ "text": "?" })).await.expect_code(404, "not_found");
    ledger.get(&other.key, &format!("/v1/disputes/{id}")).await.expect_code(404, "not_found");

    decide(&ledger, &id, "won").await.expect(200);
    assert_eq!(balance(&ledger, &shop).await, [0, 10_000, 0]);
    decide(&ledger, &id, "won").await.expect_code(409, "dispute_closed");
    let reopened = decide(&ledger, &id, "reopen").await.expect(200);
    assert_eq!(
        (reopened.text_of("status"), &reopened.body["reopened"]),
        ("needs_response".into(), &Value::Bool(true))
    );
    decide(&ledger, &id, "lost").await.expect(200);
    assert_eq!(balance(&ledger, &shop).await, [0, 4_000, 0]);
    let paid = ledger.get(&shop.key, &format!("/v1/payments/{payment}")).await.expect(200);
    assert_eq!(
        (paid.text_of("status"), paid.amount_of("charged_back")),
        ("partially_refunded".into(), 6_000)
    );
    let client = ledger.get(&ledger.operator, &format!("/v1/clients/{}/balances", ada.id)).await.expect(200);
    assert_eq!(client.body["data"][0]["available"], 6_000);
    decide(&ledger, &id, "reopen").await.expect_code(409, "dispute_closed");
    ledger.finish().await;
}

#[tokio::test]
async fn nobody_responds_and_it_is_lost() {
    let ledger = TestLedger::start().await.unwrap();
    let (shop, _, payment) = settled_payment(&ledger).await;
    let id = dispute(&ledger, &payment, None).await.expect(201).text_of("id");
    let status =
        async || ledger.get(&shop.key, &format!("/v1/disputes/{id}")).await.expect(200).text_of("status");
    ledger.set_clock_ahead(14 * DAY - 60);
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(status().await, "needs_response");
    ledger.set_clock_ahead(14 * DAY + 60);
    let late =
        ledger.post(&shop.key, &format!("/v1/disputes/{id}/evidence"), json!({ "text": "late" })).await;
    late.expect_code(409, "dispute_closed");
    eventually(async || status().await == "lost").await;
    let events = ledger.get(&ledger.auditor, &format!("/v1/payments/{payment}/events")).await.expect(200);
    let last = events.body["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["type"], &last["data"]["reason"]),
        (&json!("payment.dispute_lost"), &json!("no_response"))
    );
    assert_eq!(last["actor"], "system:disputes");
    ledger.finish().await;
}

#[tokio::test]
async fn a_debt_is_paid_or_written_off() {
    let ledger = TestLedger::start().await.unwrap();
    let (shop, _, payment) = settled_payment(&ledger).await;
    let euro = |amount: i64| json!({ "amount": { "amount": amount, "currency": "EUR" } });
    ledger.post(&shop.key, "/v1/payouts", euro(10_000)).await.expect(201);
    let id = dispute(&ledger, &payment, None).await.expect(201).text_of("id");
    decide(&ledger, &id, "lost").await.expect(200);
    assert_eq!(balance(&ledger, &shop).await, [0, -10_000, 0]);
    let deposited =
        ledger.post(&ledger.operator, &format!("/v1/merchants/{}/deposits", shop.id), euro(4_000)).await;
    assert_eq!(deposited.expect(200).body["balances"][0]["available"], -6_000);
    let loss = |amount: i64| json!({ "amount": { "amount": amount, "currency": "EUR" }, "reason": "gone" });
    let path = format!("/v1/merchants/{}/write-off", shop.id);
    let refused =
        ledger.post(&ledger.operator, &path, loss(6_001)).await.expect_code(409, "write_off_exceeds_debt");
    assert_eq!(refused.amount_of("debt"), 6_000);
    let done = ledger.post(&ledger.operator, &path, loss(6_000)).await.expect(200);
    assert_eq!(
        (done.body["balances"][0]["available"].as_i64(), done.text_of("reason")),
        (Some(0), "gone".into())
    );
    let house = ledger.get(&ledger.operator, "/v1/house/balances").await.expect(200);
    let losses =
        house.body["data"].as_array().unwrap().iter().find(|row| row["account"] == "house:losses").cloned();
    assert_eq!(losses.unwrap()["balance"], "6000");
    ledger.finish().await;
}

#[tokio::test]
async fn what_the_scheduler_was_refused_is_tried_again() {
    let ledger = TestLedger::start().await.unwrap();
    let (shop, ada, payment) = settled_payment(&ledger).await;
    let id = dispute(&ledger, &payment, None).await.expect(201).text_of("id");
    // No room is left with the client for what a lost dispute gives back: 2^53 - 1 is the most that anyone has.
    let room = 9_007_199_254_740_991_i64;
    let most = 999_999_999_999;
    let deposits = format!("/v1/clients/{}/deposits", ada.id);
    let amounts = std::iter::repeat_n(most, usize::try_from(room / most).unwrap()).chain([room % most]);
    let deposit = |(n, amount): (usize, i64)| {
        let body = json!({ "amount": { "amount": amount, "currency": "EUR" } });
        json!({ "idempotency_key": format!("d{n}"), "path": deposits, "body": body })
    };
    let commands: Vec<Value> = amounts.enumerate().map(deposit).collect();
    for commands in commands.chunks(1_000) {
        let bulk = json!({ "commands": commands });
        let done = ledger.post(&ledger.operator, "/v1/bulk", bulk).await.expect(200);
        let outcomes = done.body["outcomes"].as_array().unwrap();
        assert!(outcomes.iter().all(|outcome| outcome["status"] == 200), "{}", outcomes[0]);
    }
    ledger.caught_up().await.unwrap();
    let refused = async || {
        let statement = "SELECT count(*) FROM outcomes WHERE status = 409";
        sqlx::query_scalar::<_, i64>(statement).fetch_one(&ledger.owner).await.unwrap()
    };
    ledger.set_clock_ahead(15 * DAY);
    eventually(async || refused().await > 0).await;
    let shown = ledger.get(&shop.key, &format!("/v1/disputes/{id}")).await.expect(200);
    assert_eq!(shown.text_of("status"), "needs_response");
    let before = refused().await;
    ledger.set_clock_ahead(15 * DAY + 3_600);
    eventually(async || refused().await > before).await;

    let body = json!({ "amount": { "amount": 10_000, "currency": "EUR" } });
    ledger.post(&ledger.operator, &format!("/v1/clients/{}/withdrawals", ada.id), body).await.expect(200);
    ledger.set_clock_ahead(15 * DAY + 2 * 3_600);
    let status =
        async || ledger.get(&shop.key, &format!("/v1/disputes/{id}")).await.expect(200).text_of("status");
    eventually(async || status().await == "lost").await;
    assert_eq!(balance(&ledger, &shop).await, [0, 0, 0]);
    ledger.finish().await;
}
