//! A program of another version: its tables are of no use to this one, which makes its own.

use ledger_tests::{TestLedger, eventually};
use projectors::runner::Runner;
use serde_json::json;
use sqlx::Executor;

use crate::rebuilds::{indexes, projector, runner_config};

/// Does what a projector does at its start; the one that runs goes on with what it finds.
async fn prepare(ledger: &TestLedger) {
    Runner::new(runner_config(ledger).await).prepare().await.unwrap();
}

#[tokio::test]
async fn tables_of_another_version_are_made_anew() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(100_000, "EUR").await;
    let id = ledger.pay(&shop, &ada, 700, "automatic").await.expect(201).text_of("id");
    ledger.caught_up().await.unwrap();
    // As if an earlier version had made the tables: it kept no shapes, and knew no disputes.
    ledger
        .owner
        .execute(
            "UPDATE projections SET shape = NULL WHERE name = 'payment';
             ALTER TABLE payment_1.payments DROP COLUMN disputed",
        )
        .await
        .unwrap();
    let path = format!("/v1/payments/{id}");
    ledger.get(&shop.key, &path).await.expect_code(503, "store_unavailable");
    let ready = ledger.query(reqwest::Method::GET, "/readyz").send().await.unwrap();
    assert!(ready.text().await.unwrap().contains("projection payment is of another version"));

    prepare(&ledger).await;
    ledger.get(&shop.key, &path).await.expect(200);
    let generations: Vec<(i32, bool)> =
        sqlx::query_as("SELECT generation, active FROM projections WHERE name = 'payment'")
            .fetch_all(&ledger.owner)
            .await
            .unwrap();
    assert_eq!(generations, [(2, true)]);
    ledger.finish().await;
}

async fn is_indexed(ledger: &TestLedger) -> bool {
    let (indexed,): (bool,) =
        sqlx::query_as("SELECT indexed FROM projections WHERE name = 'notification' AND active")
            .fetch_one(&ledger.owner)
            .await
            .unwrap();
    indexed
}

#[tokio::test]
async fn a_log_that_may_be_long_is_folded_before_its_indexes_are_made() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(100_000, "EUR").await;
    ledger.pay(&shop, &ada, 700, "automatic").await.expect(201);
    ledger.caught_up().await.unwrap();
    let list = async || ledger.get(&shop.key, "/v1/notifications").await.expect(200).body["data"].clone();
    let told = list().await;
    let indexes = async || indexes(&ledger).await.remove("notification").unwrap_or_default();
    let of_first = indexes().await;
    assert_eq!(
        (of_first.len(), is_indexed(&ledger).await),
        (3, true),
        "a short log's are made with its tables"
    );

    // How long a log is that can't be read is not known; nor can anybody fold it.
    let read_events = async |verb: &str| {
        let statement = format!("{verb} {}", projector());
        ledger.owner.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    };
    read_events("REVOKE SELECT ON events FROM").await;
    ledger.owner.execute("UPDATE projections SET shape = NULL WHERE name = 'notification'").await.unwrap();
    prepare(&ledger).await;
    assert_eq!((indexes().await, is_indexed(&ledger).await), (vec![], false));
    read_events("GRANT SELECT ON events TO").await;
    eventually(async || is_indexed(&ledger).await).await;
    assert_eq!(indexes().await, of_first);
    ledger.caught_up().await.unwrap();
    assert_eq!(list().await, told);
    ledger.finish().await;
}
