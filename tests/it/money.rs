//! Money from deposit to refund, as the query API, the events and the audit all say.

use ledger_tests::TestLedger;
use serde_json::{Value, json};

/// Finds a currency's row.
fn row<'a>(body: &'a Value, currency: &str) -> &'a Value {
    let rows = body["data"].as_array().unwrap();
    rows.iter().find(|row| row["currency"] == currency).unwrap_or(&Value::Null)
}

/// Finds a house account's balance.
fn house(body: &Value, account: &str) -> String {
    let rows = body["data"].as_array().unwrap();
    let found = rows.iter().find(|row| row["account"] == account && row["currency"] == "EUR");
    found.map_or("0", |row| row["balance"].as_str().unwrap()).to_owned()
}

#[tokio::test]
async fn a_payment_and_its_refund_balance_everywhere() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(50_000, "EUR").await;

    let paid = ledger.pay(&shop, &ada, 10_000, "automatic").await.expect(201);
    assert_eq!(paid.body["status"], "captured");
    assert_eq!(paid.amount_of("captured"), 10_000);
    assert_eq!(paid.amount_of("fee"), 165);
    let id = paid.text_of("id");

    let client = ledger.get(&ledger.operator, &format!("/v1/clients/{}/balances", ada.id)).await.expect(200);
    assert_eq!(row(&client.body, "EUR")["available"], 40_000);
    assert_eq!(row(&client.body, "EUR")["held"], 0);
    let merchant = ledger.get(&shop.key, &format!("/v1/merchants/{}/balances", shop.id)).await.expect(200);
    assert_eq!(row(&merchant.body, "EUR")["pending"], 9_835);
    let fees = ledger.get(&ledger.operator, "/v1/house/balances").await.expect(200);
    assert_eq!(house(&fees.body, "house:fees"), "165");

    let events = ledger.get(&ledger.auditor, &format!("/v1/payments/{id}/events")).await.expect(200);
    let types: Vec<_> =
        events.body["data"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["payment.authorized", "payment.captured"]);
    let postings = &events.body["data"][1]["postings"];
    assert_eq!(postings[0]["debit"]["amount"], 10_000);
    assert_eq!(postings[1]["credit"]["amount"], 9_835);
    assert_eq!(postings[2]["credit"]["amount"], 165);
    ledger.audit().await.unwrap();

    let refund = ledger.act(&shop, &id, "refunds", json!({ "reason": "returned" })).await.expect(201);
    assert_eq!((refund.amount_of("amount"), refund.text_of("reason")), (10_000, "returned".to_owned()));
    let client = ledger.get(&ledger.operator, &format!("/v1/clients/{}/balances", ada.id)).await;
    assert_eq!(row(&client.body, "EUR")["available"], 50_000);
    let merchant = ledger.get(&shop.key, &format!("/v1/merchants/{}/balances", shop.id)).await;
    assert_eq!(row(&merchant.body, "EUR")["pending"], 0);
    assert_eq!(row(&merchant.body, "EUR")["available"], 0);
    let fees = ledger.get(&ledger.operator, "/v1/house/balances").await;
    assert_eq!(house(&fees.body, "house:fees"), "0");
    let payment = ledger.get(&shop.key, &format!("/v1/payments/{id}")).await.expect(200);
    assert_eq!(payment.body["status"], "refunded");
    assert_eq!(payment.amount_of("fee"), 0);
    ledger.finish().await;
}

#[tokio::test]
async fn the_command_and_the_query_api_show_the_same_payment() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(50_000, "EUR").await;
    let body = json!({
        "amount": { "amount": 4_000, "currency": "EUR" }, "card": ada.card, "capture": "manual",
        "reference": "order 7", "description": "four chairs", "metadata": { "colour": "grün", "kind": "oak" },
    });
    let held = ledger.post(&shop.key, "/v1/payments", body).await.expect(201);
    let id = held.text_of("id");
    let shown = ledger.get(&shop.key, &format!("/v1/payments/{id}")).await.expect(200);
    assert_eq!(held.body, shown.body);
    assert_eq!(held.body["metadata"]["colour"], "grün");

    for (verb, body) in [
        ("capture", json!({ "amount": { "amount": 1_500, "currency": "EUR" }, "final": false })),
        ("capture", json!({ "amount": { "amount": 500, "currency": "EUR" } })),
    ] {
        let answered = ledger.act(&shop, &id, verb, body).await.expect(200);
        let shown = ledger.get(&shop.key, &format!("/v1/payments/{id}")).await;
        assert_eq!(answered.body, shown.body);
    }
    assert_eq!(ledger.get(&shop.key, &format!("/v1/payments/{id}")).await.amount_of("released"), 2_000);
    ledger.finish().await;
}

#[tokio::test]
async fn holds_are_released_by_voids_and_bounded_by_time() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    let first = ledger.pay(&shop, &ada, 6_000, "manual").await.expect(201).text_of("id");
    let declined = ledger.pay(&shop, &ada, 6_000, "manual").await.expect(201);
    assert_eq!(declined.body["decline_code"], "insufficient_funds");
    assert_eq!(declined.amount_of("authorized"), 0);
    let voided = ledger.act(&shop, &first, "void", json!({})).await.expect(200);
    assert_eq!(voided.body["status"], "voided");
    ledger.act(&shop, &first, "void", json!({})).await.expect_code(409, "payment_not_voidable");
    ledger.act(&shop, &first, "capture", json!({})).await.expect_code(409, "payment_not_capturable");
    ledger.act(&shop, &first, "refunds", json!({})).await.expect_code(409, "payment_not_refundable");

    let second = ledger.pay(&shop, &ada, 6_000, "manual").await.expect(201).text_of("id");
    let more = json!({ "amount": { "amount": 6_001, "currency": "EUR" } });
    ledger.act(&shop, &second, "capture", more).await.expect_code(409, "capture_exceeds_authorization");
    ledger.set_clock_ahead(7 * 86_400);
    ledger.act(&shop, &second, "capture", json!({})).await.expect_code(409, "authorization_expired");
    ledger.finish().await;
}

#[tokio::test]
async fn clients_can_take_out_what_is_available_and_no_more() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    ledger.pay(&shop, &ada, 3_000, "manual").await.expect(201);
    let path = format!("/v1/clients/{}/withdrawals", ada.id);
    let take =
        |amount: i64| json!({ "amount": { "amount": amount, "currency": "EUR" }, "reference": "cash" });
    let refused = ledger.post(&ledger.operator, &path, take(7_001)).await;
    let refused = refused.expect_code(409, "insufficient_available_balance");
    assert_eq!((refused.amount_of("available"), refused.amount_of("requested")), (7_000, 7_001));
    let taken = ledger.post(&ledger.operator, &path, take(7_000)).await.expect(200);
    assert_eq!(taken.text_of("reference"), "cash");
    assert_eq!(taken.body["balances"][0]["held"], 3_000);
    ledger.finish().await;
}

#[tokio::test]
async fn a_refund_that_the_merchant_cannot_cover_is_refused() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({ "refund_fee": "kept" })).await;
    let ada = ledger.client(10_000, "EUR").await;
    let id = ledger.pay(&shop, &ada, 10_000, "automatic").await.expect(201).text_of("id");
    let refused = ledger.act(&shop, &id, "refunds", json!({})).await;
    let refused = refused.expect_code(409, "insufficient_available_balance");
    assert_eq!(refused.amount_of("available"), 9_835);
    let limit = json!({ "negative_limit": [{ "amount": 165, "currency": "EUR" }] });
    let path = format!("/v1/merchants/{}/settings", shop.id);
    let changed = ledger.post(&ledger.operator, &path, limit).await.expect(200);
    assert_eq!(changed.body["fee_version"], 2);
    ledger.act(&shop, &id, "refunds", json!({})).await.expect(201);
    let merchant = ledger.get(&shop.key, &format!("/v1/merchants/{}/balances", shop.id)).await;
    assert_eq!(row(&merchant.body, "EUR")["available"], -165);
    ledger.finish().await;
}

#[tokio::test]
async fn currencies_do_not_mix() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    ledger.deposit(&ada.id, 500, "JPY").await.expect(200);
    let id = ledger.pay(&shop, &ada, 1_000, "manual").await.expect(201).text_of("id");
    let yen = json!({ "amount": { "amount": 100, "currency": "JPY" } });
    let refused = ledger.act(&shop, &id, "capture", yen).await.expect_code(422, "invalid_request");
    assert_eq!(refused.body["errors"][0]["code"], "currency_mismatch");
    assert_eq!(refused.body["errors"][0]["pointer"], "/amount/currency");
    let dollars = json!({ "amount": { "amount": 100, "currency": "USD" }, "card": ada.card });
    let declined = ledger.post(&shop.key, "/v1/payments", dollars).await.expect(201);
    assert_eq!(declined.body["decline_code"], "insufficient_funds");
    ledger.finish().await;
}
