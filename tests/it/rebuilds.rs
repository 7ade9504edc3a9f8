//! Read models that are folded anew, beside those that are asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use event_store::broker::EmbeddedBroker;
use event_store::database;
use event_store::migrate::DatabaseRole;
use event_store::secrets::KeyPurpose;
use event_store::server_url::with_user;
use ledger_tests::{TestLedger, cluster};
use projectors::rebuild::{Comparison, Rebuilt, rebuild};
use projectors::runner::RunnerConfig;
use serde_json::{Value, json};

/// Names the role of the projectors.
pub(crate) fn projector() -> String {
    format!("{}_{}", cluster::ROLE_PREFIX, DatabaseRole::Projector.suffix())
}

/// Returns what a runner beside that of a ledger is made of.
pub(crate) async fn runner_config(ledger: &TestLedger) -> RunnerConfig {
    let cluster = cluster::cluster().await.unwrap();
    let secrets = cluster.secrets().unwrap();
    let password = &secrets.passwords[&DatabaseRole::Projector];
    let url = with_user(&ledger.database_url, &projector(), password).unwrap();
    let pool = || database::pool(database::options(&url, "test").unwrap(), 4);
    let master_key = secrets.key(KeyPurpose::Master).unwrap().secret_key();
    RunnerConfig { log: pool(), read: pool(), master_key, broker: Arc::new(EmbeddedBroker) }
}

/// Returns the indexes of all live generations by their read model, each as its SQL without the generation.
pub(crate) async fn indexes(ledger: &TestLedger) -> BTreeMap<String, Vec<String>> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT name, schemaname::text, indexdef
         FROM projections JOIN pg_indexes ON schemaname = replace(name, '-', '_') || '_' || generation
         WHERE active ORDER BY name, indexname",
    )
    .fetch_all(&ledger.owner)
    .await
    .unwrap();
    let mut indexes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, schema, index) in rows {
        indexes.entry(name).or_default().push(index.replace(&schema, ""));
    }
    indexes
}

#[tokio::test]
async fn a_long_log_gives_the_same_rows_and_indexes_again() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(10_000_000, "EUR").await;
    let payment = |n: i64| {
        json!({
            "idempotency_key": format!("p{n}"), "path": "/v1/payments",
            "body": { "amount": { "amount": 100 + n, "currency": "EUR" }, "card": ada.card },
        })
    };
    // Two events each: more than a read model may be behind and still be called live.
    let commands: Vec<Value> = (0..1_000).map(payment).collect();
    let body = json!({ "commands": commands }).to_string();
    ledger.post_once(&shop.key, "unused", "/v1/bulk", body).await.unwrap().expect(200);
    ledger.caught_up().await.unwrap();
    let before = indexes(&ledger).await;

    let names: Vec<String> = before.keys().cloned().collect();
    let rebuilt: Mutex<Vec<Rebuilt>> = Mutex::default();
    let note = |one: Rebuilt| rebuilt.lock().unwrap().push(one);
    rebuild(runner_config(&ledger).await, &names, |_| (), note).await.unwrap();
    let rebuilt = rebuilt.into_inner().unwrap();
    assert_eq!((names.len(), rebuilt.len()), (11, 11));
    for one in rebuilt {
        assert!(matches!(one.comparison, Comparison::Equal { .. }), "{one:?}");
        assert_eq!(one.generation, 2);
    }
    assert_eq!(indexes(&ledger).await, before);
    ledger.finish().await;
}
