//! An append that PostgreSQL refuses for one command of a batch.

use std::sync::Arc;
use std::time::Duration;

use ledger_tests::TestLedger;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinSet;

#[tokio::test]
async fn one_of_three_hundred_fails_alone() {
    let ledger = Arc::new(TestLedger::start().await.unwrap());
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(1_000_000, "EUR").await;
    ledger
        .owner
        .execute(
            "CREATE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no poison here'; END $$;
             CREATE TRIGGER refuse_poison BEFORE INSERT ON events FOR EACH ROW
                 WHEN (NEW.canonical LIKE '%\"reference\":\"poison\"%') EXECUTE FUNCTION refuse_poison()",
        )
        .await
        .unwrap();
    let head = ledger.head().await;

    // While we hold the log's lock, all of them gather: they are decided as one batch.
    let mut holder = PgConnection::connect(&ledger.database_url).await.unwrap();
    holder.execute("BEGIN; LOCK TABLE log_lock IN EXCLUSIVE MODE").await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..300 {
        let (ledger, key, card) = (Arc::clone(&ledger), shop.key.clone(), ada.card.clone());
        tasks.spawn(async move {
            let reference = if number == 150 { "poison" } else { "wholesome" };
            let body = json!({
                "amount": { "amount": 100, "currency": "EUR" }, "card": card,
                "capture": "manual", "reference": reference,
            });
            (number, ledger.post(&key, "/v1/payments", body).await)
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    holder.execute("COMMIT").await.unwrap();

    for (number, answer) in tasks.join_all().await {
        if number == 150 {
            answer.expect_code(500, "internal_error");
        } else {
            answer.expect(201);
        }
    }
    assert_eq!(ledger.head().await, head + 299);
    // One batch, halved around the one at fault: a commit for each half that was left over.
    let (commits,): (i64,) =
        sqlx::query_as("SELECT count(DISTINCT recorded_at) FROM events WHERE position > $1")
            .bind(head)
            .fetch_one(&ledger.owner)
            .await
            .unwrap();
    assert!((8..=9).contains(&commits), "{commits} commits: the 300 were not one batch");
    let balances = ledger.get(&ledger.operator, &format!("/v1/clients/{}/balances", ada.id)).await;
    assert_eq!(balances.body["data"][0]["held"], 29_900);
    assert_eq!(balances.body["data"][0]["available"], 1_000_000 - 29_900);
    Arc::into_inner(ledger).unwrap().finish().await;
}
