//! Many commands in one request.

use ledger_tests::TestLedger;
use serde_json::{Value, json};

async fn bulk(ledger: &TestLedger, key: &str, commands: Value) -> ledger_tests::Answer {
    ledger.post_once(key, "unused", "/v1/bulk", json!({ "commands": commands }).to_string()).await.unwrap()
}

#[tokio::test]
async fn each_command_sees_those_before_it_and_has_its_own_outcome() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(1_000, "EUR").await;
    let deposits = format!("/v1/clients/{}/deposits", ada.id);
    let withdrawals = format!("/v1/clients/{}/withdrawals", ada.id);
    let euro = |amount: i64| json!({ "amount": { "amount": amount, "currency": "EUR" } });
    let commands = json!([
        { "idempotency_key": "a", "path": withdrawals, "body": euro(1_500) },
        { "idempotency_key": "b", "path": deposits, "body": euro(500) },
        { "idempotency_key": "c", "path": withdrawals, "body": euro(1_500) },
        { "idempotency_key": "d", "path": deposits, "body": euro(0) },
        { "idempotency_key": "e", "path": "/v1/nowhere", "body": {} },
        { "idempotency_key": "f", "path": "/v1/payments", "body": {} },
        { "idempotency_key": "b", "path": deposits, "body": euro(500) },
        { "idempotency_key": "b", "path": deposits, "body": euro(501) },
        { "idempotency_key": "g", "path": "/v1/api-keys", "body": { "role": "operator" } },
        { "idempotency_key": "h", "path": format!("/v1/merchants/{}/suspend", shop.id) },
        { "idempotency_key": "i h", "path": deposits, "body": euro(1) },
    ]);
    let answer = bulk(&ledger, &ledger.operator, commands.clone()).await.expect(200);
    let outcomes = answer.body["outcomes"].as_array().unwrap();
    let statuses: Vec<_> = outcomes.iter().map(|outcome| outcome["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [409, 200, 200, 422, 404, 403, 200, 422, 404, 200, 400], "{}", answer.text);
    assert_eq!(outcomes[2]["body"]["balances"][0]["available"], 0);
    assert_eq!(outcomes[6]["body"], outcomes[1]["body"]);
    assert_eq!((&outcomes[1]["replayed"], &outcomes[6]["replayed"]), (&json!(false), &json!(true)));
    assert_eq!(outcomes[7]["body"]["code"], "idempotency_key_reused");
    assert_eq!(outcomes[3]["body"]["request_id"], answer.header("request-id"));
    assert_eq!(outcomes[2]["position"], outcomes[1]["position"].as_u64().unwrap() + 1);
    assert_eq!(outcomes[9]["body"]["status"], "suspended");

    let again = bulk(&ledger, &ledger.operator, commands).await.expect(200);
    for index in [0, 1, 2, 9] {
        let (first, second) = (&outcomes[index], &again.body["outcomes"][index]);
        assert_eq!((&first["body"], &second["replayed"]), (&second["body"], &json!(true)));
    }
    let single = ledger.post_once(&ledger.operator, "b", &deposits, euro(500).to_string()).await.unwrap();
    assert_eq!((single.header("idempotent-replayed"), &single.body), ("true", &outcomes[1]["body"]));
    ledger.finish().await;
}

#[tokio::test]
async fn a_thousand_payments_in_one_request() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(1_000_000, "EUR").await;
    let pay = |n: i64| {
        json!({
            "idempotency_key": format!("p{n}"), "path": "/v1/payments",
            "body": { "amount": { "amount": 100 + n, "currency": "EUR" }, "card": ada.card },
        })
    };
    let answer = bulk(&ledger, &shop.key, (0..1_000).map(pay).collect()).await.expect(200);
    let outcomes = answer.body["outcomes"].as_array().unwrap();
    assert_eq!(outcomes.len(), 1_000);
    let mut last = 0;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome["status"], 201);
        assert_eq!(outcome["body"]["amount"]["amount"], 100 + n);
        let position = outcome["position"].as_u64().unwrap();
        assert!(position > last, "in order");
        last = position;
    }
    assert_eq!(answer.position(), last);
    ledger.finish().await;
}

#[tokio::test]
async fn a_malformed_list_runs_nothing() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(0, "EUR").await;
    let head = ledger.head().await;
    let good = json!({
        "idempotency_key": "a", "path": format!("/v1/clients/{}/deposits", ada.id),
        "body": { "amount": { "amount": 1, "currency": "EUR" } },
    });
    let many = vec![good.clone(); 1_001];
    for (commands, pointer) in [
        (json!([]), "/commands"),
        (json!({}), "/commands"),
        (json!(many), "/commands"),
        (json!([good, { "path": "/v1/clients" }]), "/commands/1/idempotency_key"),
        (json!([good, { "idempotency_key": "b" }]), "/commands/1/path"),
        (json!([good, { "idempotency_key": 1, "path": "/v1/clients" }]), "/commands/1/idempotency_key"),
        (json!([good, { "idempotency_key": "b", "path": "/v1/clients", "more": 1 }]), "/commands/1/more"),
    ] {
        let refused = bulk(&ledger, &ledger.operator, commands).await.expect_code(422, "invalid_request");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
    }
    assert_eq!(ledger.head().await, head);
    bulk(&ledger, &ledger.auditor, json!([good])).await.expect_code(403, "forbidden");
    ledger.finish().await;
}

/// Its key was live before, so it is let in, and refused under the lock.
#[tokio::test]
async fn a_key_that_is_revoked_carries_nothing_out() {
    let ledger = TestLedger::start().await.unwrap();
    let key = ledger.post(&ledger.operator, "/v1/api-keys", json!({ "role": "operator" })).await.expect(201);
    let secret = key.text_of("secret");
    let open = |key: &str| {
        json!([
            { "idempotency_key": key, "path": "/v1/clients", "body": { "name": "Ada Lovelace" } },
            { "idempotency_key": format!("{key}-again"), "path": "/v1/clients", "body": { "name": "" } },
        ])
    };
    let opened = bulk(&ledger, &secret, open("first")).await.expect(200);
    assert_eq!(opened.body["outcomes"][0]["status"], 201);
    let revoke = format!("/v1/api-keys/{}/revoke", key.text_of("id"));
    ledger.post(&ledger.operator, &revoke, json!({})).await.expect(200);
    let head = ledger.head().await;
    for commands in [open("first"), open("second")] {
        bulk(&ledger, &secret, commands).await.expect_code(401, "unauthenticated");
    }
    ledger.post(&secret, "/v1/clients", json!({ "name": "Ada" })).await.expect_code(401, "unauthenticated");
    assert_eq!(ledger.head().await, head);
    ledger.finish().await;
}
