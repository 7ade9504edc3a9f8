//! Two writers of one log: whoever waits for the lock decides on what is there when it gets it.

use std::time::{Duration, Instant};

use event_store::batch::{Batch, Outcome};
use event_store::clock::Clock;
use event_store::database;
use event_store::writer::LogWriter;
use ledger_core::ids::ClientId;
use ledger_core::state::{Key, Record};
use ledger_tests::TestLedger;
use uuid::Uuid;

/// Waits until so many sessions wait for the log's lock.
async fn wait_for_waiters(ledger: &TestLedger, expected: i64) {
    let began = Instant::now();
    loop {
        let (waiters,): (i64,) = sqlx::query_as(
            "SELECT count(*) FROM pg_locks WHERE relation = 'log_lock'::regclass AND NOT granted",
        )
        .fetch_one(&ledger.owner)
        .await
        .unwrap();
        if waiters >= expected {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{waiters} of {expected} wait");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_decision_is_made_on_a_snapshot_older_than_the_lock() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(1_000, "EUR").await;
    let id: ClientId = ada.id.parse().unwrap();
    let balance = Key::ClientBalance(id, "EUR".parse().unwrap());
    let options = || database::options(&ledger.database_url, "test").unwrap();
    let mut first = LogWriter::new(options(), Clock::system());
    let mut second = LogWriter::new(options(), Clock::system());
    for round in 0..20_u32 {
        let outcome = Outcome {
            key: Uuid::from_u128(u128::from(round) + 1),
            fingerprint: Uuid::nil(),
            status: 409,
            position: 1,
            answer: "{}".to_owned(),
        };
        let held = first.lock().await.unwrap();
        // The service is behind `held`, and `waiting` behind the service.
        let deposit = ledger.deposit(&ada.id, 7, "EUR");
        let waiting = async {
            wait_for_waiters(&ledger, 1).await;
            let mut locked = second.lock().await.unwrap();
            let seen = (locked.begin(&[outcome.key]).await.unwrap(), locked.load(&[balance]).await.unwrap());
            locked.roll_back().await;
            seen
        };
        let appending = async {
            wait_for_waiters(&ledger, 2).await;
            // Long enough for a snapshot that was taken while waiting to be old.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut batch = Batch::new(None);
            batch.outcomes.push(outcome.clone());
            held.commit(&batch).await.unwrap();
        };
        let (answer, (begun, loaded), ()) = tokio::join!(deposit, waiting, appending);
        let position = answer.expect(200).position();
        assert_eq!(begun.head.position, position, "the deposit was committed in front of us");
        assert!(begun.outcomes.contains_key(&outcome.key), "so was the other writer's outcome");
        let Some(Some(Record::ClientBalance(balance))) = loaded.get(&balance) else { panic!("{loaded:?}") };
        assert_eq!(balance.available, 1_000 + 7 * i64::from(round + 1));
    }
    // The outcomes of this test belong to no event: the ledger is not audited.
    ledger.abandon().await;
}
