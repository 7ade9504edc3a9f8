//! Authorizations over time: increments, several captures, expiry.

use ledger_tests::{TestLedger, eventually};
use serde_json::json;

const DAY: i64 = 86_400;

#[tokio::test]
async fn an_authorization_grows_and_is_captured_in_parts() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    let id = ledger.pay(&shop, &ada, 4_000, "manual").await.expect(201).text_of("id");
    let euro = |amount: i64| json!({ "amount": { "amount": amount, "currency": "EUR" } });

    let refused =
        ledger.act(&shop, &id, "increment", euro(6_001)).await.expect_code(409, "insufficient_funds");
    assert_eq!((refused.amount_of("available"), refused.amount_of("requested")), (6_000, 6_001));
    assert!(refused.text_of("rule").ends_with('.'));
    let grown = ledger.act(&shop, &id, "increment", euro(2_000)).await.expect(200);
    assert_eq!((grown.amount_of("amount"), grown.amount_of("authorized")), (4_000, 6_000));

    for (amount, left, status) in [(1_000, 5_000, "partially_captured"), (2_000, 3_000, "partially_captured")]
    {
        let part = json!({ "amount": { "amount": amount, "currency": "EUR" }, "final": false });
        let captured = ledger.act(&shop, &id, "capture", part).await.expect(200);
        assert_eq!((captured.amount_of("capturable"), captured.text_of("status")), (left, status.to_owned()));
    }
    let last = ledger.act(&shop, &id, "capture", euro(500)).await.expect(200);
    assert_eq!((last.amount_of("captured"), last.amount_of("released")), (3_500, 2_500));
    let closed =
        ledger.act(&shop, &id, "increment", euro(1)).await.expect_code(409, "payment_not_incrementable");
    assert_eq!(closed.text_of("payment_status"), "captured");
    let shown = ledger.get(&shop.key, &format!("/v1/payments/{id}")).await.expect(200);
    assert_eq!(shown.body, last.body);
    ledger.finish().await;
}

#[tokio::test]
async fn what_is_not_captured_in_time_is_told_of_and_released() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    let id = ledger.pay(&shop, &ada, 4_000, "manual").await.expect(201).text_of("id");
    let types = async || {
        let events = ledger.get(&ledger.auditor, &format!("/v1/payments/{id}/events")).await.expect(200);
        let events = events.body["data"].as_array().unwrap().clone();
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    ledger.set_clock_ahead(6 * DAY + 60);
    eventually(async || types().await.len() == 2).await;
    assert_eq!(types().await, ["payment.authorized", "payment.authorization_expiring"]);
    let told = ledger.get(&shop.key, &format!("/v1/notifications?recipient={}", shop.id)).await.expect(200);
    assert_eq!(told.body["data"][0]["kind"], "payment.authorization_expiring");

    ledger.set_clock_ahead(7 * DAY + 60);
    ledger.act(&shop, &id, "capture", json!({})).await;
    eventually(async || types().await.len() == 3).await;
    assert_eq!(types().await[2], "payment.expired");
    let shown = ledger.get(&shop.key, &format!("/v1/payments/{id}")).await.expect(200);
    assert_eq!((shown.text_of("status"), shown.amount_of("released")), ("expired".to_owned(), 4_000));
    let events = ledger.get(&ledger.auditor, &format!("/v1/payments/{id}/events")).await;
    assert_eq!(events.body["data"][2]["actor"], "system:expiry");
    assert!(events.body["data"][2]["request_id"].is_null());
    ledger.finish().await;
}

#[tokio::test]
async fn from_its_end_on_nothing_is_captured_whatever_the_scheduler_did() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    let ids = [
        ledger.pay(&shop, &ada, 4_000, "manual").await.expect(201).text_of("id"),
        ledger.pay(&shop, &ada, 4_000, "manual").await.expect(201).text_of("id"),
    ];
    ledger.set_clock_ahead(7 * DAY);
    for id in &ids {
        let late = ledger.act(&shop, id, "capture", json!({})).await;
        assert_eq!(late.status, 409, "{}", late.text);
        assert!(["authorization_expired", "payment_not_capturable"].contains(&late.code()), "{}", late.text);
    }
    ledger.finish().await;
}
