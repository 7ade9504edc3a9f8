//! How queries find their rows: by an index, whatever is asked for, so that a long history costs what a short one
//! does.

use ledger_tests::{Answer, Client, Merchant, TestLedger, eventually};
use serde_json::{Value, json};

/// How many payments there are: enough for the planner to leave the scan of a whole table alone.
const PAYMENTS: i64 = 8_000;

/// How many rows one page of 50 may read: far fewer than there are, however they are sorted.
const ROWS_MAX: i64 = 1_100;

/// Makes payments of rising amounts, each with a reference of its own.
async fn pay(ledger: &TestLedger, shop: &Merchant, clients: &[Client]) -> Answer {
    let mut last = None;
    for thousand in 0..PAYMENTS / 1_000 {
        let client = &clients[usize::try_from(thousand).unwrap() % clients.len()];
        let payment = |n: i64| {
            let number = thousand * 1_000 + n;
            json!({
                "idempotency_key": format!("p{number}"), "path": "/v1/payments",
                "body": {
                    "amount": { "amount": 100 + number, "currency": "EUR" },
                    "card": client.card, "reference": format!("order {number}"),
                },
            })
        };
        let commands: Vec<Value> = (0..1_000).map(payment).collect();
        let body = json!({ "commands": commands }).to_string();
        last = Some(ledger.post_once(&shop.key, "unused", "/v1/bulk", body).await.unwrap().expect(200));
    }
    last.unwrap()
}

/// What PostgreSQL counts of the tables of that many rows.
#[derive(sqlx::FromRow, Debug)]
struct Scans {
    whole_tables: i64,
    by_index: i64,
    rows_by_index: i64,
    inserted: i64,
}

async fn scans(ledger: &TestLedger) -> Scans {
    sqlx::query_as(
        "SELECT sum(seq_scan)::bigint AS whole_tables, sum(idx_scan)::bigint AS by_index,
                sum(idx_tup_fetch)::bigint AS rows_by_index, sum(n_tup_ins)::bigint AS inserted
         FROM pg_stat_user_tables
         WHERE relname IN ('payments', 'client_entries', 'merchant_entries', 'notifications', 'captures')",
    )
    .fetch_one(&ledger.owner)
    .await
    .unwrap()
}

/// Ends the query API's sessions: a session tells what it has counted when it ends, else up to ten seconds later.
async fn end_sessions_of_queries(ledger: &TestLedger) {
    let sessions = "FROM pg_stat_activity WHERE datname = current_database() AND usename LIKE '%query'";
    let end = sqlx::AssertSqlSafe(format!("SELECT pg_terminate_backend(pid) {sessions}"));
    sqlx::query(end).execute(&ledger.owner).await.unwrap();
    let left = format!("SELECT count(*) {sessions}");
    eventually(async || {
        let left = sqlx::query_as(sqlx::AssertSqlSafe(left.clone()));
        let (left,): (i64,) = left.fetch_one(&ledger.owner).await.unwrap();
        left == 0
    })
    .await;
}

#[tokio::test]
async fn no_list_and_no_past_moment_takes_a_scan_of_a_whole_table() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let (ada, bob) = (ledger.client(100_000_000, "EUR").await, ledger.client(100_000_000, "EUR").await);
    let rare = ledger.client(1_000, "ISK").await;
    let body =
        json!({ "amount": { "amount": 5, "currency": "ISK" }, "card": rare.card, "capture": "manual" });
    let first = ledger.post(&shop.key, "/v1/payments", body).await.expect(201);
    let last = pay(&ledger, &shop, &[ada.clone(), bob]).await;
    ledger.caught_up().await.unwrap();
    sqlx::query("ANALYZE").execute(&ledger.owner).await.unwrap();
    // 8,000 payments, three entries of the client and one of the merchant, two notifications and a capture each.
    eventually(async || scans(&ledger).await.inserted >= 8 * PAYMENTS).await;
    let (merchant, client, position) = (&shop.id, &ada.id, last.position() - 5_000);
    let of_last = &last.body["outcomes"][999]["body"];
    let born = |payment: &Value| payment["created_at"].as_str().unwrap().to_owned();
    let paths = [
        "/v1/payments".to_owned(),
        "/v1/payments?status=authorized".to_owned(),
        format!("/v1/payments?merchant_id={merchant}"),
        format!("/v1/payments?client_id={}", rare.id),
        "/v1/payments?currency=ISK".to_owned(),
        "/v1/payments?reference=order+77".to_owned(),
        format!("/v1/payments?created_from={}", born(of_last)),
        format!("/v1/payments?created_to={}", born(&last.body["outcomes"][0]["body"])),
        format!("/v1/payments?created_to={}", last_moment_of(&first)),
        "/v1/payments?amount_min=8050".to_owned(),
        "/v1/payments?amount_max=99".to_owned(),
        "/v1/payments?amount_min=4000&amount_max=4010".to_owned(),
        "/v1/payments?amount_min=999999999".to_owned(),
        format!("/v1/clients/{client}/balances?at_position={position}"),
        format!("/v1/merchants/{merchant}/balances?at_position={position}"),
        format!("/v1/clients/{client}/history"),
        format!("/v1/merchants/{merchant}/history?currency=EUR"),
        format!("/v1/notifications?recipient={client}"),
        "/v1/notifications".to_owned(),
        format!("/v1/notifications?after={position}"),
    ];
    let mut before = scans(&ledger).await;
    let mut wrong = Vec::new();
    for path in paths {
        ledger.get(&ledger.operator, &path).await.expect(200);
        end_sessions_of_queries(&ledger).await;
        let after = scans(&ledger).await;
        let (whole_tables, rows) =
            (after.whole_tables - before.whole_tables, after.rows_by_index - before.rows_by_index);
        if whole_tables > 0 || rows > ROWS_MAX {
            wrong.push(format!("{path}: {whole_tables} whole tables, {rows} rows by an index"));
        }
        before = after;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(before.by_index > 0, "nothing was counted");
    ledger.finish().await;
}

/// Returns a moment behind a payment's, and before the next one's.
fn last_moment_of(payment: &Answer) -> String {
    let moment: ledger_core::Timestamp = payment.text_of("created_at").parse().unwrap();
    moment.plus_micros(1).to_string()
}
