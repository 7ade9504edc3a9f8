//! Corrections: one operator asks, another approves, and the event is mirrored once.

use ledger_tests::{Answer, Client, Merchant, TestLedger, eventually};
use reqwest::Method;
use serde_json::{Value, json};

const DAY: i64 = 86_400;

fn euro(amount: i64) -> Value {
    json!({ "amount": { "amount": amount, "currency": "EUR" } })
}

/// Makes another operator's key: its id and its secret.
async fn second_operator(ledger: &TestLedger) -> (String, String) {
    let key = ledger.post(&ledger.operator, "/v1/api-keys", json!({ "role": "operator" })).await.expect(201);
    (key.text_of("id"), key.text_of("secret"))
}

/// Finds the last event of a type.
async fn last_event(ledger: &TestLedger, kind: &str) -> Value {
    let events = ledger.get(&ledger.auditor, "/v1/events?limit=1000").await.expect(200);
    let events = events.body["data"].as_array().unwrap().clone();
    events.into_iter().rfind(|event| event["type"] == kind).unwrap()
}

fn day_of(event: &Value) -> String {
    event["recorded_at"].as_str().unwrap()[..10].to_owned()
}

async fn request(ledger: &TestLedger, event: &Value) -> Answer {
    let body = json!({
        "reverses": event["event_id"], "effective_date": day_of(event), "reason": "typed twice",
    });
    ledger.post(&ledger.operator, "/v1/corrections", body).await
}

async fn approve(ledger: &TestLedger, key: &str, correction: &str) -> Answer {
    ledger.post(key, &format!("/v1/corrections/{correction}/approve"), json!({})).await
}

/// Corrects the last event of a type.
async fn correct(ledger: &TestLedger, second: &str, kind: &str) -> Answer {
    let correction = request(ledger, &last_event(ledger, kind).await).await.expect(201).text_of("id");
    approve(ledger, second, &correction).await
}

async fn available(ledger: &TestLedger, client: &Client, currency: &str) -> i64 {
    let path = format!("/v1/clients/{}/balances", client.id);
    let balances = ledger.get(&ledger.operator, &path).await.expect(200);
    let rows = balances.body["data"].as_array().unwrap().clone();
    rows.into_iter().find(|row| row["currency"] == currency).unwrap()["available"].as_i64().unwrap()
}

/// A merchant's balances in EUR, by these names.
async fn balance<const N: usize>(ledger: &TestLedger, shop: &Merchant, names: [&str; N]) -> [i64; N] {
    let balances = ledger.get(&shop.key, &format!("/v1/merchants/{}/balances", shop.id)).await.expect(200);
    names.map(|name| balances.body["data"][0][name].as_i64().unwrap())
}

#[tokio::test]
async fn a_deposit_is_corrected_by_two_keys_once() {
    let ledger = TestLedger::start().await.unwrap();
    let (second_id, second) = second_operator(&ledger).await;
    let ada = ledger.client(10_000, "EUR").await;
    let deposited = last_event(&ledger, "client.deposited").await;
    let asked = request(&ledger, &deposited).await.expect(201);
    let id = asked.text_of("id");
    assert!(id.starts_with("cor_"));
    assert_eq!(asked.text_of("status"), "requested");
    assert_eq!(
        (asked.text_of("reason"), asked.text_of("effective_date")),
        ("typed twice".into(), day_of(&deposited))
    );
    assert_eq!(
        (&asked.body["reverses"], &asked.body["reverses_type"]),
        (&deposited["event_id"], &json!("client.deposited"))
    );
    assert_eq!(asked.amount_of("amount"), 10_000);
    assert_eq!(available(&ledger, &ada, "EUR").await, 10_000, "nothing has moved");
    let path = format!("/v1/corrections/{id}");
    assert_eq!(ledger.get(&second, &path).await.expect(200).body, asked.body);

    let alone =
        approve(&ledger, &ledger.operator, &id).await.expect_code(409, "correction_needs_another_key");
    assert_eq!(alone.body["requested_by"], asked.body["requested_by"]);
    let key = "approval";
    let approval = format!("{path}/approve");
    let approved = ledger.post_keyed(&second, key, &approval, json!({})).await.expect(200);
    assert_eq!((approved.text_of("status"), approved.text_of("approved_by")), ("approved".into(), second_id));
    assert_eq!(available(&ledger, &ada, "EUR").await, 0);
    // By the same key, by the first one, and the same request again: nothing more.
    let head = ledger.head().await;
    for key in [&second, &ledger.operator] {
        assert_eq!(approve(&ledger, key, &id).await.expect(200).body, approved.body);
    }
    let replayed = ledger.post_keyed(&second, key, &approval, json!({})).await.expect(200);
    assert_eq!((replayed.header("idempotent-replayed"), &replayed.text), ("true", &approved.text));
    assert_eq!(ledger.head().await, head);
    request(&ledger, &deposited).await.expect_code(409, "event_already_corrected");

    let mirror = last_event(&ledger, "journal.corrected").await;
    assert_eq!((&mirror["stream_id"], &mirror["data"]["reverses"]), (&json!(ada.id), &deposited["event_id"]));
    let sides = |event: &Value, side: &str| {
        event["postings"].as_array().unwrap().iter().find(|of| of.get(side).is_some()).unwrap()["account"]
            .clone()
    };
    assert_eq!(sides(&mirror, "debit"), sides(&deposited, "credit"));
    assert_eq!(sides(&mirror, "credit"), sides(&deposited, "debit"));
    let history = ledger.get(&ledger.operator, &format!("/v1/clients/{}/history", ada.id)).await.expect(200);
    let entry = &history.body["data"][0];
    assert_eq!(
        (&entry["type"], &entry["amount"], &entry["balance_after"]),
        (&json!("journal.corrected"), &json!(-10_000), &json!(0))
    );
    ledger.finish().await;
}

#[tokio::test]
async fn corrections_are_shown_to_those_who_audit() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, second) = second_operator(&ledger).await;
    let shop = ledger.merchant(json!({})).await;
    ledger.client(100, "EUR").await;
    let first = request(&ledger, &last_event(&ledger, "client.deposited").await).await.expect(201);
    ledger.client(200, "EUR").await;
    let other = correct(&ledger, &second, "client.deposited").await.expect(200);
    let ids = |answer: &Answer| {
        answer.body["data"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    let all = ledger.get(&ledger.auditor, "/v1/corrections").await.expect(200);
    assert_eq!(ids(&all), [other.body["id"].clone(), first.body["id"].clone()]);
    assert_eq!(all.body["data"][0], other.body);
    for (filter, expected) in [
        ("status=requested".to_owned(), &first),
        ("status=approved".to_owned(), &other),
        (format!("reverses={}", other.text_of("reverses")), &other),
    ] {
        let found = ledger.get(&ledger.operator, &format!("/v1/corrections?{filter}")).await.expect(200);
        assert_eq!(ids(&found), [expected.body["id"].clone()], "{filter}");
    }
    let page = ledger.get(&ledger.operator, "/v1/corrections?limit=1").await.expect(200);
    let next = format!("/v1/corrections?limit=1&cursor={}", page.text_of("next_cursor"));
    assert_eq!(ids(&ledger.get(&ledger.operator, &next).await.expect(200)), [first.body["id"].clone()]);
    let path = format!("/v1/corrections/{}", first.text_of("id"));
    let told = ledger.get(&ledger.analyst, &path).await.expect(200);
    assert!(
        told.body.get("reason").is_none() && told.body["amount"]["amount_decimal"] == "1.00",
        "{}",
        told.text
    );
    ledger.get(&shop.key, &path).await.expect_code(403, "forbidden");
    ledger.get(&shop.key, "/v1/corrections").await.expect_code(403, "forbidden");
    for id in ["cor_00000000000070008000000000000000", "x"] {
        ledger.get(&ledger.auditor, &format!("/v1/corrections/{id}")).await.expect_code(404, "not_found");
        approve(&ledger, &second, id).await.expect_code(404, "not_found");
    }
    // The reason stands nowhere in plain but in what is shown.
    let events = ledger.get(&ledger.auditor, "/v1/events?limit=1000").await.expect(200);
    assert!(!events.text.contains("typed twice"));
    ledger.finish().await;
}

#[tokio::test]
async fn only_what_can_be_corrected_is_asked_for() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, second) = second_operator(&ledger).await;
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    ledger.pay(&shop, &ada, 1_000, "automatic").await.expect(201);
    for kind in ["client.opened", "card.issued", "merchant.opened", "payment.authorized", "payment.captured"]
    {
        let event = last_event(&ledger, kind).await;
        let refused = request(&ledger, &event).await.expect_code(409, "event_not_correctable");
        assert_eq!(refused.body["event_type"], kind);
    }
    correct(&ledger, &second, "client.deposited").await.expect_code(409, "insufficient_available_balance");
    ledger.deposit(&ada.id, 5, "EUR").await.expect(200);
    correct(&ledger, &second, "client.deposited").await.expect(200);
    for kind in ["journal.corrected", "correction.requested", "correction.approved"] {
        let event = last_event(&ledger, kind).await;
        request(&ledger, &event).await.expect_code(409, "event_not_correctable");
    }
    let deposited = last_event(&ledger, "client.deposited").await;
    let ask = async |body: Value| ledger.post(&ledger.operator, "/v1/corrections", body).await;
    let today = day_of(&deposited);
    for reverses in ["evt_00000000000070008000000000000000", "evt_x", "x", &ada.id] {
        ask(json!({ "reverses": reverses, "effective_date": today, "reason": "?" }))
            .await
            .expect_code(404, "not_found");
    }
    for (date, code) in [
        ("2000-01-01", "out_of_range"),
        ("2999-01-01", "out_of_range"),
        ("2026-02-30", "invalid_format"),
        ("2026-1-1", "invalid_format"),
        ("yesterday", "invalid_format"),
        ("", "invalid_format"),
    ] {
        let body = json!({ "reverses": deposited["event_id"], "effective_date": date, "reason": "?" });
        let refused = ask(body).await.expect_code(422, "invalid_request");
        assert_eq!(
            refused.body["errors"],
            json!([
                { "pointer": "/effective_date", "code": code, "detail": refused.body["errors"][0]["detail"] },
            ])
        );
    }
    let refused = ask(json!({ "amount": 1 })).await.expect_code(422, "invalid_request");
    let pointers: Vec<_> =
        refused.body["errors"].as_array().unwrap().iter().map(|of| of["pointer"].clone()).collect();
    for pointer in ["/reverses", "/effective_date", "/reason", "/amount"] {
        assert!(pointers.contains(&json!(pointer)), "{pointer}");
    }
    ledger.finish().await;
}

#[tokio::test]
async fn cash_goes_back_only_while_it_is_there() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, second) = second_operator(&ledger).await;
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    let withdraw = async |amount: i64| {
        ledger.post(&ledger.operator, &format!("/v1/clients/{}/withdrawals", ada.id), euro(amount)).await
    };
    withdraw(10_000).await.expect(200);
    let close = format!("/v1/clients/{}/close", ada.id);
    ledger.post(&ledger.operator, &close, json!({})).await.expect(200);
    let refused = correct(&ledger, &second, "client.deposited").await;
    assert_eq!(refused.expect_code(409, "insufficient_available_balance").amount_of("available"), 0);
    // What is owed comes to a closed client too.
    correct(&ledger, &second, "client.withdrawn").await.expect(200);
    assert_eq!(available(&ledger, &ada, "EUR").await, 10_000);

    let deposit = format!("/v1/merchants/{}/deposits", shop.id);
    ledger.post(&ledger.operator, &deposit, euro(500)).await.expect(200);
    ledger.post(&shop.key, "/v1/payouts", euro(1)).await.expect(201);
    let refused = correct(&ledger, &second, "merchant.deposited").await;
    assert_eq!(refused.expect_code(409, "insufficient_available_balance").amount_of("available"), 499);
    ledger.post(&ledger.operator, &deposit, euro(1)).await.expect(200);
    correct(&ledger, &second, "merchant.deposited").await.expect(200);
    assert_eq!(balance(&ledger, &shop, ["available", "in_transit"]).await, [499, 1]);
    let told = ledger.get(&shop.key, "/v1/notifications").await.expect(200);
    let told =
        told.body["data"].as_array().unwrap().iter().find(|of| of["kind"] == "journal.corrected").cloned();
    let data = told.unwrap()["data"].clone();
    assert_eq!(
        (&data["reverses_type"], &data["amount"]["amount"]),
        (&json!("merchant.deposited"), &json!(1))
    );
    ledger.finish().await;
}

#[tokio::test]
async fn a_payout_that_was_not_paid_after_all_goes_on() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, second) = second_operator(&ledger).await;
    let shop = ledger.merchant(json!({})).await;
    ledger
        .post(&ledger.operator, &format!("/v1/merchants/{}/deposits", shop.id), euro(1_000))
        .await
        .expect(200);
    let id = ledger.post(&shop.key, "/v1/payouts", euro(400)).await.expect(201).text_of("id");
    let news = async |news: &str| {
        ledger.post(&ledger.operator, &format!("/v1/payouts/{id}/{news}"), json!({ "reason": "bank" })).await
    };
    let names = ["available", "in_transit", "paid_out"];
    news("paid").await.expect(200);
    assert_eq!(balance(&ledger, &shop, names).await, [600, 0, 400]);
    let first = request(&ledger, &last_event(&ledger, "payout.paid").await).await.expect(201).text_of("id");
    correct(&ledger, &second, "payout.paid").await.expect(200);
    assert_eq!(balance(&ledger, &shop, names).await, [600, 400, 0]);
    approve(&ledger, &second, &first).await.expect_code(409, "event_already_corrected");
    let shown = ledger.get(&shop.key, &format!("/v1/payouts/{id}")).await.expect(200);
    assert_eq!((shown.text_of("status"), &shown.body["reason"]), ("requested".into(), &Value::Null));
    // Paid again is another event; once that has come back, it was paid.
    news("paid").await.expect(200);
    let second_time =
        request(&ledger, &last_event(&ledger, "payout.paid").await).await.expect(201).text_of("id");
    news("returned").await.expect(200);
    let closed = approve(&ledger, &second, &second_time).await.expect_code(409, "payout_closed");
    assert_eq!(closed.body["payout_status"], "returned");
    request(&ledger, &last_event(&ledger, "payout.paid").await).await.expect_code(409, "payout_closed");
    assert_eq!(balance(&ledger, &shop, names).await, [1_000, 0, 0]);
    ledger.finish().await;
}

#[tokio::test]
async fn a_dispute_that_was_lost_by_mistake_is_open_again() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, second) = second_operator(&ledger).await;
    let shop = ledger.merchant(json!({ "fee": { "percent": "0" } })).await;
    let ada = ledger.client(10_000, "EUR").await;
    let payment = ledger.pay(&shop, &ada, 10_000, "automatic").await.expect(201).text_of("id");
    let body = json!({ "amount": { "amount": 4_000, "currency": "EUR" }, "reason": "never arrived" });
    let opened =
        ledger.post(&ledger.operator, &format!("/v1/payments/{payment}/disputes"), body).await.expect(201);
    let id = opened.text_of("id");
    let decide = async |verb: &str| {
        ledger.post(&ledger.operator, &format!("/v1/disputes/{id}/{verb}"), json!({})).await
    };
    let shown = async || ledger.get(&shop.key, &format!("/v1/disputes/{id}")).await.expect(200);
    decide("lost").await.expect(200);
    assert_eq!(available(&ledger, &ada, "EUR").await, 4_000);
    correct(&ledger, &second, "payment.dispute_lost").await.expect(200);
    let names = ["pending", "available", "reserved"];
    assert_eq!(available(&ledger, &ada, "EUR").await, 0);
    assert_eq!(balance(&ledger, &shop, names).await, [10_000, -4_000, 4_000]);
    let again = shown().await;
    assert_eq!(
        (again.text_of("status"), &again.body["respond_by"]),
        ("needs_response".into(), &opened.body["respond_by"])
    );
    let paid = ledger.get(&shop.key, &format!("/v1/payments/{payment}")).await.expect(200);
    assert_eq!(paid.text_of("status"), "disputed");
    let amounts = ["disputed", "charged_back", "refundable"].map(|name| paid.amount_of(name));
    assert_eq!(amounts, [4_000, 0, 6_000]);
    // The scheduler still waits for the merchant, and loses it in silence; that is another event.
    ledger.set_clock_ahead(14 * DAY + 60);
    eventually(async || shown().await.text_of("status") == "lost").await;
    correct(&ledger, &second, "payment.dispute_lost").await.expect(200);
    assert_eq!(shown().await.text_of("status"), "under_review");
    // Now only an operator ends it.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(shown().await.text_of("status"), "under_review");
    decide("won").await.expect(200);
    assert_eq!(balance(&ledger, &shop, ["reserved"]).await, [0]);
    let events = ledger.get(&shop.key, &format!("/v1/payments/{payment}/events")).await.expect(200);
    let corrected =
        events.body["data"].as_array().unwrap().iter().filter(|of| of["type"] == "journal.corrected");
    assert_eq!(corrected.count(), 2);
    ledger.finish().await;
}

#[tokio::test]
async fn a_charge_back_in_another_currency_is_undone_exactly() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, second) = second_operator(&ledger).await;
    let shop = ledger.merchant(json!({ "fee": { "percent": "0" } })).await;
    let ada = ledger.client(100_000, "EUR").await;
    let rate = json!({ "from": "EUR", "to": "JPY", "rate": "160", "valid_until": "2999-01-01T00:00:00Z" });
    ledger.post(&ledger.operator, "/v1/fx-rates", rate).await.expect(201);
    let yen = |amount: i64| json!({ "amount": { "amount": amount, "currency": "JPY" }, "reason": "?" });
    let body = json!({ "amount": { "amount": 6, "currency": "JPY" }, "card": ada.card });
    let payment = ledger.post(&shop.key, "/v1/payments", body).await.expect(201).text_of("id");
    // f is 1, 2, 2, 3, 4, 4 cents of so many yen.
    let dispute = async || {
        let path = format!("/v1/payments/{payment}/disputes");
        let id = ledger.post(&ledger.operator, &path, yen(1)).await.expect(201).text_of("id");
        ledger.post(&ledger.operator, &format!("/v1/disputes/{id}/lost"), json!({})).await.expect(200);
    };
    dispute().await;
    let lost = last_event(&ledger, "payment.dispute_lost").await;
    ledger.act(&shop, &payment, "refunds", yen(1)).await.expect(201);
    dispute().await;
    assert_eq!(available(&ledger, &ada, "EUR").await, 99_998);
    let correction = request(&ledger, &lost).await.expect(201).text_of("id");
    approve(&ledger, &second, &correction).await.expect(200);
    assert_eq!(available(&ledger, &ada, "EUR").await, 99_997);
    let disputes =
        ledger.get(&shop.key, &format!("/v1/disputes?payment_id={payment}&status=needs_response")).await;
    let id = disputes.expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
    ledger.post(&ledger.operator, &format!("/v1/disputes/{id}/won"), json!({})).await.expect(200);
    ledger.act(&shop, &payment, "refunds", json!({})).await.expect(201);
    assert_eq!(available(&ledger, &ada, "EUR").await, 100_000, "no more and no less than the whole");
    let shown = ledger.get(&shop.key, &format!("/v1/payments/{payment}")).await.expect(200);
    let funding = &shown.body["funding"];
    assert_eq!((&funding["held"], &funding["captured"]), (&json!(0), &json!(4)));
    ledger.finish().await;
}

#[tokio::test]
async fn approvals_in_one_request_see_each_other() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, second) = second_operator(&ledger).await;
    let ada = ledger.client(600, "EUR").await;
    let mut corrections = Vec::new();
    let first = last_event(&ledger, "client.deposited").await;
    ledger.deposit(&ada.id, 500, "EUR").await.expect(200);
    let other = last_event(&ledger, "client.deposited").await;
    ledger
        .post(&ledger.operator, &format!("/v1/clients/{}/withdrawals", ada.id), euro(200))
        .await
        .expect(200);
    for event in [&first, &first, &other] {
        corrections.push(request(&ledger, event).await.expect(201).text_of("id"));
    }
    let item = |(n, id): (usize, &String)| json!({ "idempotency_key": format!("approval-{n}"), "path": format!("/v1/corrections/{id}/approve") });
    let mut commands: Vec<Value> = corrections.iter().enumerate().map(item).collect();
    let deposited = json!({ "reverses": other["event_id"], "effective_date": day_of(&other), "reason": "?" });
    commands.push(json!({ "idempotency_key": "request", "path": "/v1/corrections", "body": deposited }));
    let done = ledger.post(&second, "/v1/bulk", json!({ "commands": commands })).await.expect(200);
    let outcomes: Vec<(i64, String)> = done.body["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| {
            let told = of["body"]["code"].as_str().or(of["body"]["status"].as_str());
            (of["status"].as_i64().unwrap(), told.unwrap().to_owned())
        })
        .collect();
    let expected = [
        (200, "approved"),
        (409, "event_already_corrected"),
        (409, "insufficient_available_balance"),
        (201, "requested"),
    ];
    assert_eq!(outcomes, expected.map(|(status, told)| (status, told.to_owned())));
    assert_eq!(available(&ledger, &ada, "EUR").await, 300);
    ledger.finish().await;
}

#[tokio::test]
async fn what_was_corrected_is_not_expected_at_the_bank() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, second) = second_operator(&ledger).await;
    ledger.client(10_000, "EUR").await;
    let day = day_of(&last_event(&ledger, "client.deposited").await);
    let compare = async |amount: &str| {
        let file = format!("date,reference,amount,currency\n{day},,{amount},EUR\n");
        let request = ledger
            .command(Method::POST, "/v1/reconciliations")
            .bearer_auth(&ledger.operator)
            .header("Idempotency-Key", amount)
            .header("Content-Type", "text/csv");
        let run = Answer::read(request.body(file).send().await.unwrap()).await.unwrap().expect(201);
        [&run.body["counts"]["missing_here"], &run.body["counts"]["missing_there"]].map(Value::as_u64)
    };
    assert_eq!(compare("0.07").await, [Some(1), Some(1)]);
    correct(&ledger, &second, "client.deposited").await.expect(200);
    assert_eq!(compare("0.08").await, [Some(1), Some(0)]);
    ledger.finish().await;
}
