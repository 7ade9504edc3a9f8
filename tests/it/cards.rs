//! Cards: issued, registered, guessed at, blocked.

use ledger_tests::TestLedger;
use ledger_tests::people::{Client, Merchant};
use serde_json::{Value, json};

async fn pay_with(ledger: &TestLedger, shop: &Merchant, card: &Value) -> Value {
    let body = json!({ "amount": { "amount": 100, "currency": "EUR" }, "card": card });
    ledger.post(&shop.key, "/v1/payments", body).await.expect(201).body
}

fn with(card: &Value, name: &str, value: Value) -> Value {
    let mut changed = card.clone();
    changed[name] = value;
    changed
}

fn wrong_cvc(client: &Client) -> Value {
    let right: u32 = client.card["cvc"].as_str().unwrap().parse().unwrap();
    json!(format!("{:03}", (right + 1) % 1000))
}

#[tokio::test]
async fn every_decline_is_recorded_with_its_code() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    let month = ada.card["exp_month"].as_i64().unwrap();
    for (card, code) in [
        (with(&ada.card, "number", json!("4242424242424241")), "invalid_number"),
        (with(&ada.card, "number", json!("9999999999999995")), "invalid_number"),
        (with(&ada.card, "exp_year", json!(2020)), "expired_card"),
        (with(&ada.card, "number", json!("4242 4242-4242 4242")), "card_not_recognised"),
        (with(&ada.card, "exp_month", json!(month % 12 + 1)), "invalid_expiry"),
        (with(&ada.card, "cvc", wrong_cvc(&ada)), "invalid_cvc"),
        (with(&ada.card, "cvc", json!("0123")), "invalid_cvc"),
    ] {
        let payment = pay_with(&ledger, &shop, &card).await;
        assert_eq!((&payment["status"], &payment["decline_code"]), (&json!("declined"), &json!(code)));
        let number = card["number"].as_str().unwrap();
        assert_eq!(payment["card"]["last4"], number[number.len() - 4..]);
        assert_eq!(payment["captured"]["amount"], 0);
        let shown = ledger.get(&shop.key, &format!("/v1/payments/{}", payment["id"].as_str().unwrap())).await;
        assert_eq!(shown.body, payment);
    }
    let body = json!({ "amount": { "amount": 10_001, "currency": "EUR" }, "card": ada.card });
    let poor = ledger.post(&shop.key, "/v1/payments", body).await.expect(201);
    assert_eq!(poor.body["decline_code"], "insufficient_funds");
    ledger.finish().await;
}

#[tokio::test]
async fn five_wrong_guesses_in_a_row_block_a_card() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    let wrong = with(&ada.card, "cvc", wrong_cvc(&ada));
    for _ in 0..4 {
        assert_eq!(pay_with(&ledger, &shop, &wrong).await["decline_code"], "invalid_cvc");
    }
    assert_eq!(pay_with(&ledger, &shop, &ada.card).await["status"], "captured");
    for _ in 0..5 {
        assert_eq!(pay_with(&ledger, &shop, &wrong).await["decline_code"], "invalid_cvc");
    }
    assert_eq!(pay_with(&ledger, &shop, &ada.card).await["decline_code"], "card_blocked");
    let card = ledger.get(&ledger.operator, &format!("/v1/cards/{}", ada.card_id)).await.expect(200);
    assert_eq!(card.body["status"], "blocked");

    let path = format!("/v1/cards/{}/unblock", ada.card_id);
    let unblocked =
        ledger.post(&ledger.operator, &path, json!({ "reason": "was her cat" })).await.expect(200);
    assert_eq!(unblocked.body["status"], "active");
    assert_eq!(pay_with(&ledger, &shop, &ada.card).await["status"], "captured");
    ledger.finish().await;
}

#[tokio::test]
async fn an_unblock_forgets_wrong_guesses() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    let wrong = with(&ada.card, "cvc", wrong_cvc(&ada));
    for _ in 0..4 {
        pay_with(&ledger, &shop, &wrong).await;
    }
    let path = format!("/v1/cards/{}/unblock", ada.card_id);
    ledger.post(&ledger.operator, &path, json!({})).await.expect(200);
    assert_eq!(pay_with(&ledger, &shop, &wrong).await["decline_code"], "invalid_cvc");
    assert_eq!(pay_with(&ledger, &shop, &ada.card).await["status"], "captured");
    ledger.finish().await;
}

#[tokio::test]
async fn blocking_a_blocked_card_changes_nothing() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(0, "EUR").await;
    let path = format!("/v1/cards/{}/block", ada.card_id);
    let first = ledger.post(&ledger.operator, &path, json!({})).await.expect(200);
    let head = ledger.head().await;
    let second = ledger.post(&ledger.operator, &path, json!({ "reason": "stolen" })).await.expect(200);
    assert_eq!((first.body, ledger.head().await), (second.body.clone(), head));
    assert_eq!(second.position(), u64::try_from(head).unwrap());
    ledger.finish().await;
}

#[tokio::test]
async fn one_number_is_one_card_for_ever() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000, "EUR").await;
    let bob = ledger.client(10_000, "EUR").await;
    let body = json!({ "number": "5555 5555 5555 4444", "exp_month": 12, "exp_year": 2031 });
    let card = ledger
        .post(&ledger.operator, &format!("/v1/clients/{}/cards", ada.id), body.clone())
        .await
        .expect(201);
    assert_eq!(
        (card.text_of("brand"), card.text_of("number")),
        ("mastercard".into(), "5555555555554444".into())
    );
    for client in [&ada, &bob] {
        let again =
            ledger.post(&ledger.operator, &format!("/v1/clients/{}/cards", client.id), body.clone()).await;
        let again = again.expect_code(409, "card_already_registered");
        assert!(again.body.get("cvc").is_none() && again.body.get("number").is_none(), "{}", again.text);
    }
    let pays =
        json!({ "number": "5555555555554444", "exp_month": 12, "exp_year": 2031, "cvc": card.body["cvc"] });
    assert_eq!(pay_with(&ledger, &shop, &pays).await["client_id"], ada.id.as_str());
    ledger.finish().await;
}

#[tokio::test]
async fn cards_of_every_brand_can_be_issued_and_pay() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(100_000, "EUR").await;
    for brand in ["visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay", "maestro"] {
        let path = format!("/v1/clients/{}/cards", ada.id);
        let card = ledger.post(&ledger.operator, &path, json!({ "brand": brand })).await.expect(201).body;
        assert_eq!(card["cvc"].as_str().unwrap().len(), if brand == "amex" { 4 } else { 3 });
        let pays = json!({
            "number": card["number"], "cvc": card["cvc"], "exp_month": card["exp_month"], "exp_year": card["exp_year"],
        });
        assert_eq!(pay_with(&ledger, &shop, &pays).await["card"]["brand"], brand);
    }
    ledger.finish().await;
}
