//! Suspended merchants, closed clients, and what still goes on for them.

use ledger_tests::TestLedger;
use serde_json::json;

#[tokio::test]
async fn a_suspended_merchant_takes_nothing_new_and_all_else_goes_on() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({ "settlement_delay_days": 0 })).await;
    let ada = ledger.client(50_000, "EUR").await;
    let euro = |amount: i64| json!({ "amount": { "amount": amount, "currency": "EUR" } });
    let held = ledger.pay(&shop, &ada, 1_000, "manual").await.expect(201).text_of("id");
    let voided = ledger.pay(&shop, &ada, 1_000, "manual").await.expect(201).text_of("id");
    let change = async |verb: &str| {
        let path = format!("/v1/merchants/{}/{verb}", shop.id);
        ledger.post(&ledger.operator, &path, json!({ "reason": "checks" })).await.expect(200)
    };
    assert_eq!(change("suspend").await.text_of("status"), "suspended");
    let head = ledger.head().await;
    assert_eq!(change("suspend").await.text_of("status"), "suspended");
    assert_eq!(ledger.head().await, head, "nothing is appended for what is so already");

    ledger.pay(&shop, &ada, 1_000, "automatic").await.expect_code(409, "merchant_suspended");
    ledger.act(&shop, &held, "increment", euro(1)).await.expect_code(409, "merchant_suspended");
    ledger.post(&shop.key, "/v1/payouts", euro(1)).await.expect_code(409, "merchant_suspended");
    ledger.act(&shop, &held, "capture", json!({})).await.expect(200);
    ledger.act(&shop, &voided, "void", json!({})).await.expect(200);
    ledger.act(&shop, &held, "refunds", euro(100)).await.expect(201);
    let settled = ledger.post(&ledger.operator, "/v1/settlements", json!({})).await.expect(200);
    assert_eq!(settled.body["data"].as_array().unwrap().len(), 1);
    let shown = ledger.get(&shop.key, &format!("/v1/merchants/{}", shop.id)).await.expect(200);
    assert_eq!(shown.text_of("status"), "suspended");

    assert_eq!(change("reinstate").await.text_of("status"), "active");
    ledger.pay(&shop, &ada, 1_000, "automatic").await.expect(201);
    ledger.finish().await;
}

#[tokio::test]
async fn a_client_is_closed_when_nothing_is_left() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({ "fee": { "percent": "0" } })).await;
    let ada = ledger.client(1_000, "EUR").await;
    ledger.deposit(&ada.id, 7, "JPY").await.expect(200);
    let close = async || {
        ledger
            .post(&ledger.operator, &format!("/v1/clients/{}/close", ada.id), json!({ "reason": "moved" }))
            .await
    };
    let refused = close().await.expect_code(409, "client_not_empty");
    assert_eq!(refused.body["posted"][1]["amount"], 7);
    let paid = ledger.pay(&shop, &ada, 1_000, "automatic").await.expect(201).text_of("id");
    let path = format!("/v1/clients/{}/withdrawals", ada.id);
    let yen = json!({ "amount": { "amount": 7, "currency": "JPY" } });
    ledger.post(&ledger.operator, &path, yen).await.expect(200);
    assert_eq!(close().await.expect(200).text_of("status"), "closed");
    assert_eq!(close().await.expect(200).text_of("status"), "closed");

    ledger.deposit(&ada.id, 1, "EUR").await.expect_code(409, "client_closed");
    let cards = format!("/v1/clients/{}/cards", ada.id);
    ledger.post(&ledger.operator, &cards, json!({})).await.expect_code(409, "client_closed");
    let declined = ledger.pay(&shop, &ada, 1, "automatic").await.expect(201);
    assert_eq!(declined.body["decline_code"], "card_blocked");
    assert!(declined.body["decline"]["rule"].as_str().unwrap().contains("closed client"));
    ledger.act(&shop, &paid, "refunds", json!({})).await.expect(201);
    let euro = json!({ "amount": { "amount": 1_000, "currency": "EUR" } });
    ledger.post(&ledger.operator, &path, euro).await.expect(200);
    let shown = ledger.get(&ledger.operator, &format!("/v1/clients/{}", ada.id)).await.expect(200);
    assert_eq!(shown.text_of("status"), "closed");
    ledger.finish().await;
}

#[tokio::test]
async fn an_open_authorization_or_dispute_keeps_a_client_open() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({ "fee": { "percent": "0" } })).await;
    let ada = ledger.client(1_000, "EUR").await;
    let close =
        async || ledger.post(&ledger.operator, &format!("/v1/clients/{}/close", ada.id), json!({})).await;
    let id = ledger.pay(&shop, &ada, 1_000, "manual").await.expect(201).text_of("id");
    assert_eq!(close().await.expect_code(409, "client_not_empty").body["open"], 1);
    ledger.act(&shop, &id, "capture", json!({})).await.expect(200);
    let body = json!({ "reason": "never arrived" });
    let dispute =
        ledger.post(&ledger.operator, &format!("/v1/payments/{id}/disputes"), body).await.expect(201);
    let refused = close().await.expect_code(409, "client_not_empty");
    assert_eq!((&refused.body["posted"], &refused.body["open"]), (&json!([]), &json!(1)));
    let path = format!("/v1/disputes/{}/won", dispute.text_of("id"));
    ledger.post(&ledger.operator, &path, json!({})).await.expect(200);
    close().await.expect(200);
    ledger.finish().await;
}
