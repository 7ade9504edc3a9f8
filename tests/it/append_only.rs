//! What the database itself refuses: changes of events, and what a role has no business with.

use event_store::migrate::DatabaseRole;
use event_store::server_url::with_user;
use ledger_tests::TestLedger;
use ledger_tests::cluster::{ROLE_PREFIX, cluster};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

/// Runs a statement and returns the SQLSTATE that refused it; empty if nothing did.
async fn refused(connection: &mut PgConnection, statement: &'static str) -> String {
    match connection.execute(statement).await {
        Ok(_) => String::new(),
        Err(error) => error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .unwrap_or_default()
            .into_owned(),
    }
}

#[tokio::test]
async fn not_even_the_owner_changes_events() {
    let ledger = TestLedger::start().await.unwrap();
    ledger.client(100, "EUR").await;
    let mut owner = PgConnection::connect(&ledger.database_url).await.unwrap();
    for setting in ["SET session_replication_role = origin", "SET session_replication_role = replica"] {
        owner.execute(setting).await.unwrap();
        for statement in [
            "UPDATE events SET type = 'x'",
            "UPDATE events SET type = 'x' WHERE false",
            "DELETE FROM events WHERE position = 1",
            "TRUNCATE events",
        ] {
            assert_eq!(refused(&mut owner, statement).await, "23001", "{setting}: {statement}");
        }
    }
    ledger.finish().await;
}

#[tokio::test]
async fn each_role_does_only_what_it_is_for() {
    let ledger = TestLedger::start().await.unwrap();
    ledger.merchant(json!({})).await;
    ledger.client(100, "EUR").await;
    ledger.caught_up().await.unwrap();
    let passwords = cluster().await.unwrap().secrets().unwrap().passwords;
    for (role, allowed, forbidden) in [
        (
            DatabaseRole::Command,
            vec!["SELECT count(*) FROM events", "SELECT count(*) FROM subject_keys"],
            vec![
                "UPDATE events SET type = 'x' WHERE false",
                "DELETE FROM events WHERE false",
                "DELETE FROM outcomes WHERE false",
                "UPDATE outcomes SET answer = '' WHERE false",
                "SELECT count(*) FROM client_account_1.clients",
            ],
        ),
        (
            DatabaseRole::Projector,
            vec!["SELECT count(*) FROM events", "SELECT count(*) FROM client_account_1.clients"],
            vec![
                "INSERT INTO writer_sessions DEFAULT VALUES",
                "SELECT count(*) FROM outcomes",
                "SELECT count(*) FROM api_keys",
                "DELETE FROM events WHERE false",
            ],
        ),
        (
            DatabaseRole::Query,
            vec!["SELECT count(*) FROM events", "SELECT count(*) FROM client_account_1.clients"],
            vec![
                "SELECT count(*) FROM subject_keys",
                "SELECT count(*) FROM outcomes",
                "SELECT count(*) FROM cards",
                "SELECT count(*) FROM api_keys",
                "DELETE FROM client_account_1.clients",
                "UPDATE projections SET position = 0",
                "CREATE TABLE mine ()",
            ],
        ),
        (DatabaseRole::Analyst, vec!["SELECT 1"], vec!["SELECT count(*) FROM events"]),
    ] {
        let name = format!("{ROLE_PREFIX}_{}", role.suffix());
        let url = with_user(&ledger.database_url, &name, &passwords[&role]).unwrap();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        // A session may take this setting back; the grants are what holds.
        connection.execute("SET default_transaction_read_only = off").await.unwrap();
        for statement in allowed {
            assert_eq!(refused(&mut connection, statement).await, "", "{name}: {statement}");
        }
        for statement in forbidden {
            assert_eq!(refused(&mut connection, statement).await, "42501", "{name}: {statement}");
        }
    }
    ledger.finish().await;
}
