//! What can be asked: lists, filters, histories, notifications, the log; and by whom.

use ledger_tests::TestLedger;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn rows(body: &Value) -> &Vec<Value> {
    body["data"].as_array().unwrap()
}

#[tokio::test]
async fn payments_are_found_by_every_filter() {
    let ledger = TestLedger::start().await.unwrap();
    let (shop, other) = (ledger.merchant(json!({})).await, ledger.merchant(json!({})).await);
    let (ada, bob) = (ledger.client(100_000, "EUR").await, ledger.client(100_000, "EUR").await);
    ledger.deposit(&ada.id, 50_000, "JPY").await.expect(200);
    let mut ids = Vec::new();
    for (client, amount, currency, capture, reference) in [
        (&ada, 100, "EUR", "automatic", "first"),
        (&ada, 200, "JPY", "automatic", "second"),
        (&bob, 300, "EUR", "manual", "third"),
        (&bob, 400, "USD", "automatic", "fourth"),
    ] {
        let body = json!({
            "amount": { "amount": amount, "currency": currency }, "card": client.card,
            "capture": capture, "reference": reference,
        });
        ids.push(ledger.post(&shop.key, "/v1/payments", body).await.expect(201).text_of("id"));
    }
    let third = ledger.get(&shop.key, &format!("/v1/payments/{}", ids[2])).await.expect(200);
    let created = third.text_of("created_at");
    for (filter, expected) in [
        (String::new(), vec![3, 2, 1, 0]),
        ("status=captured".to_owned(), vec![1, 0]),
        ("status=authorized".to_owned(), vec![2]),
        ("status=declined".to_owned(), vec![3]),
        (format!("client_id={}", bob.id), vec![3, 2]),
        (format!("merchant_id={}", shop.id), vec![3, 2, 1, 0]),
        (format!("merchant_id={}", other.id), vec![]),
        ("currency=JPY".to_owned(), vec![1]),
        ("reference=second".to_owned(), vec![1]),
        ("amount_min=200&amount_max=300".to_owned(), vec![2, 1]),
        (format!("created_from={created}"), vec![3, 2]),
        (format!("created_to={created}"), vec![1, 0]),
        (format!("status=captured&client_id={}&amount_min=150", ada.id), vec![1]),
    ] {
        let found = ledger.get(&ledger.operator, &format!("/v1/payments?{filter}")).await.expect(200);
        let found: Vec<_> =
            rows(&found.body).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<_> = expected.into_iter().map(|index: usize| ids[index].clone()).collect();
        assert_eq!(found, expected, "{filter}");
    }
    let theirs = ledger.get(&other.key, "/v1/payments").await.expect(200);
    assert_eq!(rows(&theirs.body).len(), 0);
    for filter in [
        "status=lost",
        "currency=eur",
        "client_id=x",
        "amount_min=x",
        "created_from=now",
        "limit=0",
        "limit=1001",
        "cursor=%21",
        "colour=red",
    ] {
        ledger.get(&shop.key, &format!("/v1/payments?{filter}")).await.expect_code(422, "invalid_request");
    }
    ledger.finish().await;
}

#[tokio::test]
async fn pages_lead_through_a_whole_list_once() {
    let ledger = TestLedger::start().await.unwrap();
    let mut opened = Vec::new();
    for _ in 0..7 {
        opened
            .push(ledger.post(&ledger.operator, "/v1/clients", json!({ "name": "Ada" })).await.text_of("id"));
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ledger.get(&ledger.operator, &format!("/v1/clients?limit=3{cursor}")).await.expect(200);
        seen.extend(rows(&page.body).iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    opened.reverse();
    assert_eq!(seen, opened);
    ledger.finish().await;
}

#[tokio::test]
async fn a_history_adds_up_and_is_a_statement() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(5_000, "EUR").await;
    let id = ledger.pay(&shop, &ada, 2_000, "automatic").await.expect(201).text_of("id");
    ledger.act(&shop, &id, "refunds", json!({})).await.expect(201);
    let path = format!("/v1/clients/{}/history", ada.id);
    let history = ledger.get(&ledger.operator, &path).await.expect(200);
    let mut sums = std::collections::BTreeMap::new();
    for entry in rows(&history.body).iter().rev() {
        let sum = sums.entry(entry["account"].as_str().unwrap()).or_insert(0);
        *sum += entry["amount"].as_i64().unwrap();
        assert_eq!(entry["balance_after"], *sum);
    }
    assert_eq!(sums[format!("client:{}:available", ada.id).as_str()], 5_000);
    assert_eq!(rows(&history.body)[0]["payment_id"], id.as_str());
    let held = ledger.get(&ledger.operator, &format!("{path}?account=held")).await.expect(200);
    assert_eq!(rows(&held.body).len(), 2);

    let request = ledger.query(Method::GET, &path).bearer_auth(&ledger.operator).header("Accept", "text/csv");
    let statement = request.send().await.unwrap();
    assert!(statement.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    let statement = statement.text().await.unwrap();
    assert_eq!(statement.lines().count(), 1 + rows(&history.body).len(), "{statement}");
    assert!(statement.contains("50.00"), "{statement}");

    let path = format!("/v1/clients/{}/balances/explain?currency=EUR", ada.id);
    let explained = ledger.get(&ledger.operator, &path).await.expect(200);
    assert_eq!(rows(&explained.body).last().unwrap()["totals"]["available"], 5_000);
    let explained = ledger.get(&ledger.analyst, &path).await.expect(200);
    assert_eq!(rows(&explained.body).last().unwrap()["totals_decimal"]["available"], "50.00");
    ledger.finish().await;
}

#[tokio::test]
async fn whom_an_event_concerns_is_told() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(5_000, "EUR").await;
    let id = ledger.pay(&shop, &ada, 2_000, "automatic").await.expect(201).text_of("id");
    let told = ledger.get(&shop.key, "/v1/notifications").await.expect(200);
    let kinds: Vec<_> = rows(&told.body).iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["payment.captured", "payment.authorized", "merchant.opened"]);
    assert_eq!(rows(&told.body)[0]["payment_id"], id.as_str());
    assert!(rows(&told.body).iter().all(|row| row["recipient"] == shop.id.as_str()));
    let position = rows(&told.body)[1]["position"].as_u64().unwrap();
    let path = format!("/v1/notifications?recipient={}&after={position}", ada.id);
    let told = ledger.get(&ledger.operator, &path).await.expect(200);
    let kinds: Vec<_> = rows(&told.body).iter().map(|row| row["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["payment.captured"]);
    ledger.finish().await;
}

/// A page may end between the client and the merchant of one event.
#[tokio::test]
async fn notifications_are_told_once_however_small_the_pages() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(5_000, "EUR").await;
    for _ in 0..3 {
        ledger.pay(&shop, &ada, 100, "automatic").await.expect(201);
    }
    ledger.caught_up().await.unwrap();
    let own = format!("recipient={}&", shop.id);
    let everything =
        rows(&ledger.get(&ledger.operator, "/v1/notifications?limit=200").await.expect(200).body).clone();
    let of_shop = |row: &&Value| row["recipient"] == shop.id.as_str();
    assert_eq!((everything.len(), everything.iter().filter(of_shop).count()), (16, 7));
    for (of, after, size) in
        [("", "", 1), ("", "", 2), ("", "after=0&", 1), (&own, "", 1), (&own, "after=0&", 3)]
    {
        let mut expected: Vec<Value> =
            everything.iter().filter(|row| of.is_empty() || of_shop(row)).cloned().collect();
        if !after.is_empty() {
            expected.reverse();
        }
        let (mut told, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/notifications?{of}{after}limit={size}{cursor}");
            let page = ledger.get(&ledger.operator, &path).await.expect(200).body;
            told.extend(rows(&page).iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(told, expected, "{of}{after}{size}");
    }
    ledger.finish().await;
}

#[tokio::test]
async fn the_log_is_lines_that_anyone_can_hash() {
    let ledger = TestLedger::start().await.unwrap();
    let body = json!({ "name": "Ada Lovelace", "email": "ada@example.org", "metadata": { "note": "ünï" } });
    ledger.post(&ledger.operator, "/v1/clients", body).await.expect(201);
    let request = ledger.query(Method::GET, "/v1/events").bearer_auth(&ledger.auditor);
    let lines = request.header("Accept", "application/x-ndjson").send().await.unwrap().text().await.unwrap();
    let stored: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT canonical, leaf_hash FROM events ORDER BY position")
            .fetch_all(&ledger.owner)
            .await
            .unwrap();
    assert_eq!(lines.lines().count(), stored.len());
    for (line, (canonical, leaf_hash)) in lines.lines().zip(&stored) {
        let hash = Sha256::new().chain_update([0]).chain_update(line.as_bytes()).finalize();
        assert_eq!((line, hash.as_slice()), (canonical.as_str(), leaf_hash.as_slice()));
    }
    assert!(!lines.contains("Lovelace") && !lines.contains("example.org") && !lines.contains("ünï"));
    let page = ledger.get(&ledger.auditor, "/v1/events?after=1&limit=2").await.expect(200);
    let positions: Vec<_> =
        rows(&page.body).iter().map(|event| event["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [2, 3]);
    ledger.finish().await;
}

#[tokio::test]
async fn a_query_waits_for_a_position_or_says_how_far_it_is() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(100, "EUR").await;
    let path = format!("/v1/clients/{}", ada.id);
    let ask = |position: String| {
        ledger
            .query(Method::GET, &path)
            .bearer_auth(&ledger.operator)
            .header("Ledger-Min-Position", position)
            .send()
    };
    let paid = ledger.deposit(&ada.id, 50, "EUR").await.expect(200);
    let shown = ask(paid.position().to_string()).await.unwrap();
    let reflected: u64 = shown.headers()["ledger-position"].to_str().unwrap().parse().unwrap();
    assert!(reflected >= paid.position());
    let body: Value = shown.json().await.unwrap();
    assert_eq!(body["balances"][0]["available"], 150);
    for malformed in ["x", "-1", "1.5", ""] {
        assert_eq!(ask(malformed.to_owned()).await.unwrap().status(), 422, "{malformed}");
    }
    let behind: Value = ask("999999".to_owned()).await.unwrap().json().await.unwrap();
    assert_eq!((&behind["status"], &behind["code"]), (&json!(504), &json!("projection_behind")));
    assert!(behind["lag_events"].is_u64());
    ledger.finish().await;
}

#[tokio::test]
async fn each_route_is_for_its_roles_and_hides_what_is_not_the_callers() {
    let ledger = TestLedger::start().await.unwrap();
    let (shop, other) = (ledger.merchant(json!({})).await, ledger.merchant(json!({})).await);
    let ada = ledger.client(5_000, "EUR").await;
    let payment = ledger.pay(&shop, &ada, 2_000, "automatic").await.expect(201).text_of("id");
    ledger.caught_up().await.unwrap();
    let (client, merchant) = (format!("/v1/clients/{}", ada.id), format!("/v1/merchants/{}", shop.id));
    let paid = format!("/v1/payments/{payment}");
    // Operator, merchant, another merchant, auditor, analyst.
    for (path, statuses) in [
        ("/v1/clients".to_owned(), [200, 403, 403, 403, 200]),
        (client.clone(), [200, 403, 403, 403, 200]),
        (format!("{client}/balances"), [200, 403, 403, 200, 200]),
        (format!("{client}/history"), [200, 403, 403, 200, 200]),
        (format!("{client}/balances/explain?currency=EUR"), [200, 403, 403, 200, 200]),
        ("/v1/merchants".to_owned(), [200, 200, 200, 200, 200]),
        (merchant.clone(), [200, 200, 404, 200, 200]),
        (format!("{merchant}/balances"), [200, 200, 404, 200, 200]),
        (format!("{merchant}/history"), [200, 200, 404, 200, 200]),
        ("/v1/house/balances".to_owned(), [200, 403, 403, 200, 200]),
        ("/v1/payments".to_owned(), [200, 200, 200, 200, 200]),
        (paid.clone(), [200, 200, 404, 200, 200]),
        (format!("{paid}/events"), [200, 200, 404, 200, 200]),
        (format!("{paid}/refunds"), [200, 200, 404, 200, 200]),
        ("/v1/notifications".to_owned(), [200, 200, 200, 403, 403]),
        ("/v1/projections".to_owned(), [200, 403, 403, 200, 200]),
        ("/v1/events".to_owned(), [403, 403, 403, 200, 403]),
        ("/v1/api-keys".to_owned(), [200, 403, 403, 200, 403]),
    ] {
        let keys = [&ledger.operator, &shop.key, &other.key, &ledger.auditor, &ledger.analyst];
        for (key, status) in keys.into_iter().zip(statuses) {
            let answer = ledger.get(key, &path).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text);
            let code = match status {
                403 => "forbidden",
                404 => "not_found",
                _ => "",
            };
            assert_eq!(answer.code(), code, "{path}");
        }
        let answer = ledger.query(Method::GET, &path).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }
    for path in [
        "/v1/clients/x",
        "/v1/clients/x/balances",
        "/v1/clients/x/history",
        "/v1/merchants/x",
        "/v1/payments/x",
        "/v1/payments/x/events",
        "/v1/cards/x",
    ] {
        ledger.get(&ledger.operator, path).await.expect_code(404, "not_found");
        let unknown = path.replace("/x", &format!("/{}", "pay_00000000000070008000000000000000"));
        ledger.get(&ledger.operator, &unknown).await.expect_code(404, "not_found");
    }
    let seen = ledger.get(&ledger.analyst, &client).await.expect(200);
    assert!(seen.body.get("name").is_none() && !seen.text.contains("Lovelace"), "{}", seen.text);
    let seen = ledger.get(&ledger.analyst, &paid).await.expect(200);
    assert!(seen.text.contains("\"20.00\""), "{}", seen.text);
    ledger.finish().await;
}
