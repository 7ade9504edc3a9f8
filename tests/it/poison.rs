//! An event that a read model can't apply: its keys stand still, all others go on.

use std::time::{Duration, Instant};

use ledger_tests::{Answer, TestLedger};
use serde_json::json;
use sqlx::Executor;

/// Asks without waiting for a position: a parked key has none to wait for.
async fn ask(ledger: &TestLedger, key: &str, path: &str) -> Answer {
    let response = ledger.query(reqwest::Method::GET, path).bearer_auth(key).send().await.unwrap();
    Answer::read(response).await.unwrap()
}

/// Makes `payment` choke on whatever has this reference.
async fn poison(ledger: &TestLedger, reference: &str) {
    let choke = format!(
        "CREATE FUNCTION choke() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'choked'; END $$;
         CREATE TRIGGER choke BEFORE INSERT OR UPDATE ON payment_1.payments FOR EACH ROW
             WHEN (NEW.reference = '{reference}') EXECUTE FUNCTION choke()"
    );
    ledger.owner.execute(sqlx::AssertSqlSafe(choke)).await.unwrap();
}

/// Takes the poison away, and waits until a payment that was parked is shown as it is.
async fn cure(ledger: &TestLedger, key: &str, payment: &str) -> Answer {
    ledger.owner.execute("DROP TRIGGER choke ON payment_1.payments").await.unwrap();
    let path = format!("/v1/payments/{payment}");
    let began = Instant::now();
    while ask(ledger, key, &path).await.status == 503 {
        assert!(began.elapsed() < Duration::from_secs(60), "the parked payment was not retried");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ask(ledger, key, &path).await.expect(200)
}

/// Returns how many keys are parked in a read model.
async fn parked(ledger: &TestLedger, model: &str) -> u64 {
    let projections = ledger.get(&ledger.operator, "/v1/projections").await.expect(200);
    let rows = projections.body["data"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == model).unwrap()["parked"].as_u64().unwrap()
}

#[tokio::test]
async fn a_poisoned_payment_parks_alone_and_comes_right() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(100_000, "EUR").await;
    ledger.caught_up().await.unwrap();
    poison(&ledger, "poison").await;
    let pay = |reference: &str| {
        json!({
            "amount": { "amount": 700, "currency": "EUR" }, "card": ada.card,
            "capture": "manual", "reference": reference,
        })
    };
    let poisoned = ledger.post(&shop.key, "/v1/payments", pay("poison")).await.expect(201).text_of("id");
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(ledger.post(&shop.key, "/v1/payments", pay("fine")).await.expect(201).text_of("id"));
    }
    // A later event of the parked payment waits behind the first.
    ledger.act(&shop, &poisoned, "capture", json!({})).await.expect(200);
    ledger.caught_up().await.unwrap();

    let path = format!("/v1/payments/{poisoned}");
    ask(&ledger, &shop.key, &path).await.expect_code(503, "projection_parked");
    for id in &others {
        let shown = ledger.get(&shop.key, &format!("/v1/payments/{id}")).await.expect(200);
        assert_eq!(shown.body["status"], "authorized");
    }
    assert_eq!((parked(&ledger, "payment").await, parked(&ledger, "client-account").await), (1, 0));
    let balances = ledger.get(&shop.key, &format!("/v1/merchants/{}/balances", shop.id)).await.expect(200);
    assert_eq!(balances.body["data"][0]["pending"], 700 - 35);

    let shown = cure(&ledger, &shop.key, &poisoned).await;
    assert_eq!(shown.body["status"], "captured");
    ledger.finish().await;
}

#[tokio::test]
async fn a_poisoned_payment_among_many_parks_alone_too() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(100_000, "EUR").await;
    ledger.caught_up().await.unwrap();
    poison(&ledger, "p77").await;
    // Committed in a batch or two, these are so many events that read models fold them in two transactions side by side.
    let pay = |n: usize| {
        let body = json!({
            "amount": { "amount": 100, "currency": "EUR" }, "card": ada.card,
            "capture": "manual", "reference": format!("p{n}"),
        });
        json!({ "idempotency_key": format!("p{n}"), "path": "/v1/payments", "body": body })
    };
    let commands = json!({ "commands": (0..200).map(pay).collect::<Vec<_>>() });
    let answer = ledger.post_once(&shop.key, "unused", "/v1/bulk", commands.to_string()).await.unwrap();
    let outcomes = answer.expect(200).body["outcomes"].as_array().unwrap().clone();
    let id = |n: usize| outcomes[n]["body"]["id"].as_str().unwrap();
    ledger.caught_up().await.unwrap();

    ask(&ledger, &shop.key, &format!("/v1/payments/{}", id(77))).await.expect_code(503, "projection_parked");
    for n in [0, 76, 78, 199] {
        let shown = ledger.get(&shop.key, &format!("/v1/payments/{}", id(n))).await.expect(200);
        assert_eq!(shown.body["status"], "authorized");
    }
    assert_eq!((parked(&ledger, "payment").await, parked(&ledger, "client-account").await), (1, 0));
    let shown = ledger.get(&ledger.operator, &format!("/v1/clients/{}/balances", ada.id)).await.expect(200);
    assert_eq!(shown.body["data"][0]["held"], 200 * 100);
    assert_eq!(cure(&ledger, &shop.key, id(77)).await.body["status"], "authorized");
    ledger.finish().await;
}

#[tokio::test]
async fn a_read_model_of_another_history_stops_and_says_so() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(1_000, "EUR").await;
    ledger.caught_up().await.unwrap();
    // As if the log had been restored to other events than those that were applied.
    let forged = "UPDATE projections SET leaf_hash = sha256('another history') WHERE name = 'payment'";
    ledger.owner.execute(forged).await.unwrap();
    ledger.deposit(&ada.id, 5, "EUR").await.expect(200);
    let began = Instant::now();
    let projection = loop {
        let response =
            ledger.query(reqwest::Method::GET, "/v1/projections").bearer_auth(&ledger.operator).send();
        let body: serde_json::Value = response.await.unwrap().json().await.unwrap();
        let rows = body["data"].as_array().unwrap().clone();
        let payment = rows.into_iter().find(|row| row["name"] == "payment").unwrap();
        if payment["status"] == "stopped" {
            break payment;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{payment}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(projection["last_error"].as_str().unwrap().contains("history_mismatch"), "{projection}");
    let ready = ledger.query(reqwest::Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("history_mismatch"));
    // The others go on.
    let shown = ledger.get(&ledger.operator, &format!("/v1/clients/{}/balances", ada.id)).await.expect(200);
    assert_eq!(shown.body["data"][0]["available"], 1_005);
    ledger.abandon().await;
}
