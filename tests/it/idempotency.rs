//! One key, one outcome: at once, later, with another body, with secrets.

use ledger_tests::TestLedger;
use serde_json::json;
use std::sync::Arc;
use tokio::task::JoinSet;

#[tokio::test]
async fn fifty_at_once_are_one() {
    let ledger = Arc::new(TestLedger::start().await.unwrap());
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(50_000, "EUR").await;
    let body =
        json!({ "amount": { "amount": 100, "currency": "EUR" }, "card": ada.card, "description": "tea" });
    let head = ledger.head().await;
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (ledger, key, body) = (Arc::clone(&ledger), shop.key.clone(), body.clone());
        tasks.spawn(async move { ledger.post_keyed(&key, "one-of-fifty", "/v1/payments", body).await });
    }
    let answers = tasks.join_all().await;
    assert_eq!(ledger.head().await, head + 2, "one authorization, one capture");
    for answer in &answers {
        assert_eq!((answer.status, &answer.text), (201, &answers[0].text));
        assert_eq!(answer.position(), answers[0].position());
    }
    let replayed = answers.iter().filter(|answer| answer.header("idempotent-replayed") == "true").count();
    assert_eq!(replayed, 49);

    let mut other = body.clone();
    other["amount"]["amount"] = json!(101);
    let reused = ledger.post_keyed(&shop.key, "one-of-fifty", "/v1/payments", other).await;
    reused.expect_code(422, "idempotency_key_reused");
    let path = "/v1/payments/pay_nonsense/void";
    let reused = ledger.post_keyed(&shop.key, "one-of-fifty", path, json!({})).await;
    reused.expect_code(422, "idempotency_key_reused");
    assert_eq!(ledger.head().await, head + 2);
    Arc::into_inner(ledger).unwrap().finish().await;
}

#[tokio::test]
async fn another_cvc_is_the_same_request_and_another_merchant_another() {
    let ledger = TestLedger::start().await.unwrap();
    let (shop, other) = (ledger.merchant(json!({})).await, ledger.merchant(json!({})).await);
    let ada = ledger.client(50_000, "EUR").await;
    let mut body = json!({ "amount": { "amount": 100, "currency": "EUR" }, "card": ada.card });
    let first = ledger.post_keyed(&shop.key, "k", "/v1/payments", body.clone()).await.expect(201);
    body["card"]["cvc"] = json!("0000");
    let again = ledger.post_keyed(&shop.key, "k", "/v1/payments", body.clone()).await.expect(201);
    assert_eq!((again.header("idempotent-replayed"), &again.text), ("true", &first.text));
    let theirs = ledger.post_keyed(&other.key, "k", "/v1/payments", body).await.expect(201);
    assert_ne!(theirs.text_of("id"), first.text_of("id"));
    ledger.finish().await;
}

#[tokio::test]
async fn a_clock_that_is_behind_refuses_what_is_new_and_replays_what_is_known() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(0, "EUR").await;
    ledger.set_clock_ahead(1_000);
    let path = format!("/v1/clients/{}/deposits", ada.id);
    let body = json!({ "amount": { "amount": 100, "currency": "EUR" } });
    let first = ledger.post_keyed(&ledger.operator, "d", &path, body.clone()).await.expect(200);
    ledger.set_clock_ahead(0);
    let head = ledger.head().await;
    let again = ledger.post_keyed(&ledger.operator, "d", &path, body.clone()).await.expect(200);
    assert_eq!(again.text, first.text);
    let new = ledger.post_once(&ledger.operator, "new", &path, body.to_string()).await.unwrap();
    let new = new.expect_code(503, "clock_skew");
    assert!(!new.header("retry-after").is_empty());
    assert_eq!(ledger.head().await, head);
    let other = json!({ "amount": { "amount": 101, "currency": "EUR" } });
    let reused = ledger.post_once(&ledger.operator, "d", &path, other.to_string()).await.unwrap();
    reused.expect_code(422, "idempotency_key_reused");
    ledger.set_clock_ahead(1_001);
    ledger.finish().await;
}

#[tokio::test]
async fn secrets_are_shown_once() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(0, "EUR").await;
    let path = format!("/v1/clients/{}/cards", ada.id);
    let first = ledger.post_keyed(&ledger.operator, "card", &path, json!({})).await.expect(201);
    let again = ledger.post_keyed(&ledger.operator, "card", &path, json!({})).await.expect(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    let mut hidden = first.body.clone();
    assert!(hidden["number"].is_string() && hidden["cvc"].is_string());
    hidden["number"] = json!(null);
    hidden["cvc"] = json!(null);
    assert_eq!(again.body, hidden);
    let body = json!({ "role": "analyst" });
    let first = ledger.post_keyed(&ledger.operator, "key", "/v1/api-keys", body.clone()).await.expect(201);
    let again = ledger.post_keyed(&ledger.operator, "key", "/v1/api-keys", body).await.expect(201);
    assert!(first.text_of("secret").starts_with("qk_") && again.body["secret"].is_null());
    ledger.finish().await;
}

#[tokio::test]
async fn a_conflict_is_kept_and_a_refusal_is_not() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(100, "EUR").await;
    let path = format!("/v1/clients/{}/withdrawals", ada.id);
    let body = json!({ "amount": { "amount": 200, "currency": "EUR" } });
    let first = ledger.post_keyed(&ledger.operator, "w", &path, body.clone()).await;
    let first = first.expect_code(409, "insufficient_available_balance");
    ledger.deposit(&ada.id, 1_000, "EUR").await.expect(200);
    let again = ledger.post_keyed(&ledger.operator, "w", &path, body.clone()).await.expect(409);
    assert_eq!(
        (again.text, again.headers["ledger-position"].clone()),
        (first.text, first.headers["ledger-position"].clone())
    );
    assert_eq!(again.headers["idempotent-replayed"], "true");

    let nobody = "/v1/clients/cli_00000000000000000000000000000000/withdrawals";
    ledger.post_keyed(&ledger.operator, "free", nobody, body.clone()).await.expect_code(404, "not_found");
    ledger.post_keyed(&ledger.operator, "free", &path, body).await.expect(200);
    ledger.finish().await;
}
