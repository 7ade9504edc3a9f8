//! Settlements and payouts: captured money on its way to the merchant's bank.

use std::collections::BTreeSet;

use ledger_tests::{Merchant, TestLedger, eventually};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

/// A merchant's pending, available and in transit.
async fn balance(ledger: &TestLedger, shop: &Merchant) -> [i64; 3] {
    let balances = ledger.get(&shop.key, &format!("/v1/merchants/{}/balances", shop.id)).await.expect(200);
    ["pending", "available", "in_transit"].map(|name| balances.body["data"][0][name].as_i64().unwrap())
}

fn euro(amount: i64) -> Value {
    json!({ "amount": { "amount": amount, "currency": "EUR" } })
}

#[tokio::test]
async fn each_capture_is_in_one_settlement_and_refunds_are_absorbed() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({ "settlement_delay_days": 0 })).await;
    let ada = ledger.client(100_000, "EUR").await;
    let first = ledger.pay(&shop, &ada, 10_000, "automatic").await.expect(201).text_of("id");
    ledger.pay(&shop, &ada, 5_000, "automatic").await.expect(201);
    ledger.act(&shop, &first, "refunds", euro(4_000)).await.expect(201);
    assert_eq!(balance(&ledger, &shop).await[1], 0);

    let settle = async || {
        let body = json!({ "merchant_id": shop.id, "currency": "EUR" });
        ledger.post(&ledger.operator, "/v1/settlements", body).await.expect(200)
    };
    let closed = settle().await;
    let [settlement] = closed.body["data"].as_array().unwrap().as_slice() else { panic!("{}", closed.text) };
    let amount = |name: &str| settlement[name]["amount"].as_i64().unwrap();
    // 1.40 % + 0.25 of 100.00 and of 50.00; the refund of 40.00 gives 0.66 of the fee back.
    assert_eq!(
        (amount("gross"), amount("fees"), amount("absorbed"), amount("amount")),
        (15_000, 260, 3_934, 10_806)
    );
    assert_eq!(settlement["count"], 2);
    assert_eq!(balance(&ledger, &shop).await, [0, 10_806, 0]);
    assert_eq!(settle().await.body["data"], json!([]));

    let third = ledger.pay(&shop, &ada, 1_000, "automatic").await.expect(201).text_of("id");
    assert_eq!(settle().await.body["data"][0]["count"], 1);
    let id = settlement["id"].as_str().unwrap();
    let shown = ledger.get(&shop.key, &format!("/v1/settlements/{id}")).await.expect(200);
    assert_eq!(&shown.body, settlement);
    let items = ledger.get(&shop.key, &format!("/v1/settlements/{id}/items")).await.expect(200);
    let payments: Vec<_> =
        items.body["data"].as_array().unwrap().iter().map(|item| &item["payment_id"]).collect();
    assert_eq!(payments.len(), 2);
    assert!(!payments.contains(&&json!(third)), "{}", items.text);
    let all = ledger.get(&shop.key, "/v1/settlements").await.expect(200);
    assert_eq!(all.body["data"].as_array().unwrap().len(), 2);
    let other = ledger.merchant(json!({})).await;
    ledger.get(&other.key, &format!("/v1/settlements/{id}")).await.expect_code(404, "not_found");
    ledger.finish().await;
}

#[tokio::test]
async fn each_capture_is_an_item_of_one_settlement() {
    let ledger = TestLedger::start().await.unwrap();
    ledger.hold_scheduler().await;
    let settings = json!({ "fee": { "percent": "0" }, "settlement_delay_days": 0 });
    let shops = [ledger.merchant(settings.clone()).await, ledger.merchant(settings).await];
    let ada = ledger.client(100_000, "EUR").await;
    ledger.deposit(&ada.id, 100_000, "JPY").await.expect(200);
    let mut open = BTreeSet::new();
    for round in 0..4 {
        for (n, shop) in shops.iter().enumerate() {
            for currency in ["EUR", "JPY"].into_iter().take(1 + round % 2) {
                for amount in 0..=round + n {
                    let amount = json!({ "amount": 100 + amount, "currency": currency });
                    let body = json!({ "amount": amount, "card": ada.card, "capture": "automatic" });
                    let payment = ledger.post(&shop.key, "/v1/payments", body).await.expect(201);
                    open.insert(payment.text_of("id"));
                }
            }
        }
        ledger.post(&ledger.operator, "/v1/settlements", json!({})).await.expect(200);
    }
    let settlements = ledger.get(&ledger.operator, "/v1/settlements?limit=100").await.expect(200);
    let settlements = settlements.body["data"].as_array().unwrap();
    assert_eq!(settlements.len(), 2 * (1 + 2 + 1 + 2));
    for settlement in settlements {
        let (mut count, mut gross, mut cursor) = (0, 0, String::new());
        loop {
            let path =
                format!("/v1/settlements/{}/items?limit=1{cursor}", settlement["id"].as_str().unwrap());
            let page = ledger.get(&ledger.operator, &path).await.expect(200);
            for item in page.body["data"].as_array().unwrap() {
                assert!(open.remove(item["payment_id"].as_str().unwrap()), "{item} was settled before");
                assert_eq!(item["amount"]["currency"], settlement["gross"]["currency"]);
                count += 1;
                gross += item["amount"]["amount"].as_i64().unwrap();
            }
            let Some(next) = page.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!((&json!(count), &json!(gross)), (&settlement["count"], &settlement["gross"]["amount"]));
    }
    assert!(open.is_empty(), "not settled: {open:?}");
    ledger.finish().await;
}

#[tokio::test]
async fn the_scheduler_settles_when_the_day_has_come() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(100_000, "EUR").await;
    ledger.pay(&shop, &ada, 10_000, "automatic").await.expect(201);
    let later = json!({ "as_of": "2999-01-01T00:00:00Z" });
    let refused =
        ledger.post(&ledger.operator, "/v1/settlements", later).await.expect_code(422, "invalid_request");
    assert_eq!(refused.body["errors"][0]["pointer"], "/as_of");
    let none = ledger.post(&ledger.operator, "/v1/settlements", json!({})).await.expect(200);
    assert_eq!(none.body["data"], json!([]));
    ledger.set_clock_ahead(2 * DAY);
    eventually(async || balance(&ledger, &shop).await == [0, 9_835, 0]).await;
    let list = ledger.get(&ledger.operator, "/v1/settlements").await.expect(200);
    assert_eq!(list.body["data"].as_array().unwrap().len(), 1);
    ledger.finish().await;
}

#[tokio::test]
async fn a_payout_is_paid_returned_or_fails() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({ "fee": { "percent": "0" }, "settlement_delay_days": 0 })).await;
    let ada = ledger.client(10_000, "EUR").await;
    ledger.pay(&shop, &ada, 10_000, "automatic").await.expect(201);
    ledger.post(&shop.key, "/v1/payouts", euro(1)).await.expect_code(409, "insufficient_available_balance");
    ledger.post(&ledger.operator, "/v1/settlements", json!({})).await.expect(200);
    let request = json!({ "amount": { "amount": 6_000, "currency": "EUR" }, "reference": "PO-1" });
    let payout = ledger.post(&shop.key, "/v1/payouts", request).await.expect(201);
    assert_eq!((payout.text_of("status"), payout.text_of("reference")), ("requested".into(), "PO-1".into()));
    assert_eq!(balance(&ledger, &shop).await, [0, 4_000, 6_000]);
    let change = async |id: &str, news: &str| {
        ledger
            .post(&ledger.operator, &format!("/v1/payouts/{id}/{news}"), json!({ "reason": "so it says" }))
            .await
    };
    let id = payout.text_of("id");
    change(&id, "returned").await.expect_code(409, "payout_closed");
    let paid = change(&id, "paid").await.expect(200);
    assert_eq!((paid.text_of("status"), paid.text_of("reason")), ("paid".into(), "so it says".into()));
    let balances = ledger.get(&shop.key, &format!("/v1/merchants/{}/balances", shop.id)).await.expect(200);
    assert_eq!(balances.body["data"][0]["paid_out"], 6_000);
    change(&id, "failed").await.expect_code(409, "payout_closed");
    change(&id, "returned").await.expect(200);
    assert_eq!(balance(&ledger, &shop).await, [0, 10_000, 0]);
    let shown = ledger.get(&shop.key, &format!("/v1/payouts/{id}")).await.expect(200);
    assert_eq!(shown.text_of("status"), "returned");

    let failing = ledger.post(&shop.key, "/v1/payouts", euro(10_000)).await.expect(201).text_of("id");
    change(&failing, "failed").await.expect(200);
    assert_eq!(balance(&ledger, &shop).await, [0, 10_000, 0]);
    ledger.finish().await;
}

#[tokio::test]
async fn a_thousand_payouts_at_once_share_what_is_there() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({ "fee": { "percent": "0" }, "settlement_delay_days": 0 })).await;
    let ada = ledger.client(10_500, "EUR").await;
    ledger.pay(&shop, &ada, 10_500, "automatic").await.expect(201);
    ledger.post(&ledger.operator, "/v1/settlements", json!({})).await.expect(200);
    let requests = (0..1_000).map(|_| ledger.post(&shop.key, "/v1/payouts", euro(1_000)));
    let answers = futures_util::future::join_all(requests).await;
    let granted = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(granted, 10);
    let refused = answers.iter().filter(|answer| answer.code() == "insufficient_available_balance").count();
    assert_eq!(refused, 990);
    assert_eq!(balance(&ledger, &shop).await, [0, 500, 10_000]);
    ledger.finish().await;
}
