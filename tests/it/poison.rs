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

#[tokio::test]
async fn a_poisoned_payment_parks_alone_and_comes_right() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(100_000, "EUR").await;
    ledger.caught_up().await.unwrap();
    ledger
        .owner
        .execute(
            "CREATE FUNCTION choke() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'choked'; END $$;
             CREATE TRIGGER choke BEFORE INSERT OR UPDATE ON payment_1.payments FOR EACH ROW
                 WHEN (NEW.reference = 'poison') EXECUTE FUNCTION choke()",
        )
        .await
        .unwrap();
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
    let projections = ledger.get(&ledger.operator, "/v1/projections").await.expect(200);
    let rows = projections.body["data"].as_array().unwrap();
    let parked = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap()["parked"].clone();
    assert_eq!((parked("payment"), parked("client-account")), (json!(1), json!(0)));
    let balances = ledger.get(&shop.key, &format!("/v1/merchants/{}/balances", shop.id)).await.expect(200);
    assert_eq!(balances.body["data"][0]["pending"], 700 - 35);

    ledger.owner.execute("DROP TRIGGER choke ON payment_1.payments").await.unwrap();
    let began = Instant::now();
    while ask(&ledger, &shop.key, &path).await.status == 503 {
        assert!(began.elapsed() < Duration::from_secs(60), "the parked payment was not retried");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let shown = ask(&ledger, &shop.key, &path).await.expect(200);
    assert_eq!(shown.body["status"], "captured");
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
