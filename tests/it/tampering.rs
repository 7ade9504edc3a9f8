//! Whoever changes the ledger behind its back is found: the audit names the first event or row.

use ledger_tests::TestLedger;
use serde_json::json;
use sqlx::Executor;

/// Changes the ledger as a superuser can, and returns what the audit says of it.
async fn tampered(statements: &'static str) -> String {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(50_000, "EUR").await;
    let paid = ledger.pay(&shop, &ada, 10_000, "automatic").await.expect(201).text_of("id");
    ledger.act(&shop, &paid, "refunds", json!({})).await.expect(201);
    ledger.audit().await.unwrap();
    ledger.owner.execute(statements).await.unwrap();
    let said = ledger.audit().await.unwrap_err().to_string();
    ledger.abandon().await;
    said
}

/// Lets a statement through that the trigger would refuse.
macro_rules! on_events {
    ($statement:literal) => {
        concat!(
            "ALTER TABLE events DISABLE TRIGGER events_are_immutable; ",
            $statement,
            "; ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_immutable"
        )
    };
}

#[tokio::test]
async fn a_changed_event_is_named() {
    let said = tampered(on_events!(
        "UPDATE events SET canonical = replace(canonical, '10000', '10001') WHERE type = 'payment.authorized'"
    ))
    .await;
    assert!(said.contains("payment.authorized") || said.contains("event"), "{said}");
    assert!(said.contains("leaf"), "{said}");
}

#[tokio::test]
async fn a_missing_event_is_named() {
    let said = tampered(on_events!("DELETE FROM events WHERE type = 'client.deposited'")).await;
    assert!(said.contains("position"), "{said}");
}

#[tokio::test]
async fn a_changed_balance_is_named() {
    let said = tampered("UPDATE balances SET available = available + 1 WHERE owner LIKE 'cli%'").await;
    assert!(said.contains("balances"), "{said}");
}

#[tokio::test]
async fn a_changed_row_of_a_read_model_is_named() {
    let said = tampered("UPDATE payment_1.payments SET refunded = refunded - 1").await;
    assert!(said.contains("payments"), "{said}");
    let said = tampered("DELETE FROM notification_1.notifications WHERE position = (SELECT max(position) FROM notification_1.notifications)").await;
    assert!(said.contains("notifications"), "{said}");
}

#[tokio::test]
async fn a_lost_outcome_is_named() {
    let said = tampered("DELETE FROM outcomes WHERE status = 201").await;
    assert!(said.contains("outcome"), "{said}");
}
