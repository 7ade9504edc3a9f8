//! A program of another version: its tables are of no use to this one, which makes its own.

use std::sync::Arc;

use event_store::broker::EmbeddedBroker;
use event_store::database;
use event_store::migrate::DatabaseRole;
use event_store::secrets::KeyPurpose;
use event_store::server_url::with_user;
use ledger_tests::{TestLedger, cluster};
use projectors::runner::{Runner, RunnerConfig};
use serde_json::json;
use sqlx::Executor;

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

    // What a projector does at its start; the one that runs goes on with what it finds.
    let cluster = cluster::cluster().await.unwrap();
    let secrets = cluster.secrets().unwrap();
    let role = format!("{}_{}", cluster::ROLE_PREFIX, DatabaseRole::Projector.suffix());
    let url = with_user(&ledger.database_url, &role, &secrets.passwords[&DatabaseRole::Projector]).unwrap();
    let pool = || database::pool(database::options(&url, "test").unwrap(), 2);
    let master_key = secrets.key(KeyPurpose::Master).unwrap().secret_key();
    let config = RunnerConfig { log: pool(), read: pool(), master_key, broker: Arc::new(EmbeddedBroker) };
    Runner::new(config).prepare().await.unwrap();
    ledger.get(&shop.key, &path).await.expect(200);
    let generations: Vec<(i32, bool)> =
        sqlx::query_as("SELECT generation, active FROM projections WHERE name = 'payment'")
            .fetch_all(&ledger.owner)
            .await
            .unwrap();
    assert_eq!(generations, [(2, true)]);
    ledger.finish().await;
}
