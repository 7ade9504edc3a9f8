//! Payments in one currency, paid from another.

use ledger_tests::TestLedger;
use serde_json::{Value, json};

async fn set_rate(ledger: &TestLedger, from: &str, to: &str, rate: &str) -> ledger_tests::Answer {
    let body = json!({ "from": from, "to": to, "rate": rate, "valid_until": "2999-01-01T00:00:00Z" });
    ledger.post(&ledger.operator, "/v1/fx-rates", body).await
}

#[tokio::test]
async fn a_payment_is_funded_from_another_currency_and_comes_back() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({ "fee": { "percent": "0" } })).await;
    let ada = ledger.client(100_000, "EUR").await;
    let rate = set_rate(&ledger, "EUR", "JPY", "160.5").await.expect(201);
    assert_eq!(rate.text_of("rate"), "160.5");
    let pay =
        json!({ "amount": { "amount": 10_000, "currency": "JPY" }, "card": ada.card, "capture": "manual" });
    let held = ledger.post(&shop.key, "/v1/payments", pay).await.expect(201);
    // 10 000 JPY ÷ 160.5 are 62.3052… EUR, rounded up.
    let funding = |held: i64, captured: i64, refunded: i64| {
        json!({
            "currency": "EUR", "rate": "160.5", "held": held, "captured": captured, "refunded": refunded,
        })
    };
    assert_eq!(held.body["funding"], funding(6_231, 0, 0));
    let id = held.text_of("id");
    let yen = |amount: i64, is_final: bool| json!({ "amount": { "amount": amount, "currency": "JPY" }, "final": is_final });
    let part = ledger.act(&shop, &id, "capture", yen(3_333, false)).await.expect(200);
    assert_eq!(part.body["funding"], funding(6_231 - 2_077, 2_077, 0));
    let rest = ledger.act(&shop, &id, "capture", yen(6_000, true)).await.expect(200);
    // 9 333 JPY cost 58.1495…: what is left of 62.31 is released.
    assert_eq!(rest.body["funding"], funding(0, 5_815, 0));
    let shown = ledger.get(&shop.key, &format!("/v1/payments/{id}")).await.expect(200);
    assert_eq!(shown.body, rest.body);
    ledger
        .act(&shop, &id, "refunds", json!({ "amount": { "amount": 1, "currency": "JPY" } }))
        .await
        .expect(201);
    ledger.act(&shop, &id, "refunds", json!({})).await.expect(201);
    let shown = ledger.get(&shop.key, &format!("/v1/payments/{id}")).await.expect(200);
    assert_eq!(shown.body["funding"], funding(0, 5_815, 5_815));
    let client = ledger.get(&ledger.operator, &format!("/v1/clients/{}/balances", ada.id)).await.expect(200);
    assert_eq!(
        client.body["data"],
        client.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["currency"] == "EUR")
            .cloned()
            .collect::<Value>()
    );
    assert_eq!(client.body["data"][0]["available"], 100_000);
    ledger.finish().await;
}

#[tokio::test]
async fn the_first_currency_that_covers_it_pays() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({ "fee": { "percent": "0" } })).await;
    let ada = ledger.client(100, "USD").await;
    for (amount, currency) in [(100, "CHF"), (100_000, "GBP"), (100_000, "KWD")] {
        ledger.deposit(&ada.id, amount, currency).await.expect(200);
    }
    for currency in ["CHF", "GBP", "KWD"] {
        set_rate(&ledger, currency, "USD", "1.25").await.expect(201);
    }
    let pay = async |amount: i64| {
        let body = json!({ "amount": { "amount": amount, "currency": "USD" }, "card": ada.card });
        ledger.post(&shop.key, "/v1/payments", body).await.expect(201).body["funding"]["currency"].clone()
    };
    assert_eq!(pay(100).await, Value::Null, "its own currency first");
    assert_eq!(pay(125).await, "CHF");
    assert_eq!(pay(125).await, "GBP", "what does not cover it is passed over");
    assert_eq!(pay(124_875).await, "GBP", "all that is left");
    assert_eq!(pay(125).await, "KWD");
    ledger.finish().await;
}

#[tokio::test]
async fn a_rate_is_for_its_time_and_kept_for_the_payments_life() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({ "fee": { "percent": "0" } })).await;
    let ada = ledger.client(100_000, "EUR").await;
    let past = json!({ "from": "EUR", "to": "USD", "rate": "1.1", "valid_until": "2020-01-01T00:00:00Z" });
    ledger.post(&ledger.operator, "/v1/fx-rates", past).await.expect_code(409, "fx_rate_expired");
    for wrong in
        [json!({ "to": "EUR" }), json!({ "rate": "0" }), json!({ "rate": "1e3" }), json!({ "to": "XXX" })]
    {
        let mut body =
            json!({ "from": "EUR", "to": "USD", "rate": "1.1", "valid_until": "2999-01-01T00:00:00Z" });
        wrong.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        ledger.post(&ledger.operator, "/v1/fx-rates", body).await.expect_code(422, "invalid_request");
    }
    set_rate(&ledger, "EUR", "USD", "1.1").await.expect(201);
    let body =
        json!({ "amount": { "amount": 1_100, "currency": "USD" }, "card": ada.card, "capture": "manual" });
    let id = ledger.post(&shop.key, "/v1/payments", body).await.expect(201).text_of("id");
    set_rate(&ledger, "EUR", "USD", "2").await.expect(201);
    let captured = ledger.act(&shop, &id, "capture", json!({})).await.expect(200);
    assert_eq!(captured.body["funding"]["captured"], 1_000);
    let rates = ledger.get(&shop.key, "/v1/fx-rates?from=EUR&to=USD").await.expect(200);
    assert_eq!(rates.body["data"][0]["rate"], "2");
    ledger.finish().await;
}
