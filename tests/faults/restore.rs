//! The log and the read models are restored to older copies under running processes and a full broker (I14).

use std::time::{Duration, Instant};

use ledger_tests::broker::{Vhost, vhost};
use ledger_tests::cluster::ROLE_PREFIX;
use ledger_tests::services::Deployment;
use ledger_tests::{Answer, Load, Sent};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::broker::QUEUES;
use crate::processes::{Cast, PROGRAMS, metric};

/// How long anything may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many events are lost at least: more than are appended in their place.
const LOST: i64 = 20;

/// Copies the database as it is, while its services go on.
async fn copy(cast: &Cast, name: &str) {
    let database = database_of(cast);
    let dump = format!("CREATE DATABASE {name} TEMPLATE {database}");
    // A template must have no other sessions: the services come back by themselves.
    alone(cast, &[&dump]).await;
}

/// Puts a copy in the place of the database, under the running services.
async fn restore(cast: &Cast, copy: &str) {
    let database = database_of(cast);
    let drop = format!("DROP DATABASE {database}");
    let make = format!("CREATE DATABASE {database} TEMPLATE {copy}");
    alone(cast, &[&drop, &make]).await;
    // What may be done with a database is not part of it: a restore ends with this (docs/operations.md).
    let migrated = cast.deployment.quittance(&["migrate", "--role-prefix", ROLE_PREFIX]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
}

/// Runs statements while nobody is connected to the database.
async fn alone(cast: &Cast, statements: &[&str]) {
    let database = database_of(cast);
    let mut server = PgConnection::connect(&server_url(cast)).await.unwrap();
    let close = format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false");
    server.execute(AssertSqlSafe(close)).await.unwrap();
    let began = Instant::now();
    for statement in statements {
        loop {
            let kick = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
            );
            server.execute(AssertSqlSafe(kick)).await.unwrap();
            match server.execute(AssertSqlSafe((*statement).to_owned())).await {
                Ok(_) => break,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let open = format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true");
    server.execute(AssertSqlSafe(open)).await.unwrap();
}

fn database_of(cast: &Cast) -> String {
    let url = &cast.deployment.database_url;
    url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned()
}

fn server_url(cast: &Cast) -> String {
    cast.deployment.database_url.replace(&format!("/{}", database_of(cast)), "/postgres")
}

/// Returns how far the furthest read model is beyond a position.
async fn beyond(cast: &Cast, position: i64) -> i64 {
    let mut owner = PgConnection::connect(&cast.deployment.database_url).await.unwrap();
    let (furthest,): (i64,) =
        sqlx::query_as("SELECT max(position) FROM projections").fetch_one(&mut owner).await.unwrap();
    furthest - position
}

/// Waits until each queue has its consumer, and as many messages that wait for it as they should.
async fn queues_have(vhost: &Vhost, waiting: impl Fn(u32) -> bool) {
    let began = Instant::now();
    loop {
        let queues = vhost.ready_and_consumers(&QUEUES).await;
        if queues.iter().all(|(ready, consumers)| waiting(*ready) && *consumers == 1) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "(messages, consumers) {queues:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_restored_to_one_moment_go_on_and_no_ghost_gets_in() {
    let vhost = vhost().await.unwrap();
    let cast = Cast::start(Deployment::new(PROGRAMS).await, Some(&vhost.amqp_url), 1, 1).await;
    let ada = cast.client(1_000).await;
    cast.caught_up().await;
    copy(&cast, "restored_together").await;
    cast.caught_up().await;
    queues_have(&vhost, |_| true).await;

    // History that is going to be lost: some of it is out to the projectors, more is in the queues.
    let kept = cast.head().await;
    cast.projectors[0].pause();
    let load = Load::start(
        vec![Sent::deposit(&cast.command_apis[0].url, &cast.operator, &ada); 4],
        Duration::from_millis(2),
        true,
    );
    let began = Instant::now();
    while cast.relayed().await < kept + LOST {
        assert!(began.elapsed() < PATIENCE, "nothing is relayed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    queues_have(&vhost, |ready| ready > 0).await;
    load.stop().await;
    restore(&cast, "restored_together").await;
    assert_eq!(cast.head().await, kept);
    cast.projectors[0].resume();

    // Another history in the place of the lost one.
    for _ in 0..LOST / 2 {
        cast.deposit(&ada, 5).await.expect(200);
    }
    cast.caught_up().await;
    // If the projectors stood still for so long that RabbitMQ gave them up, it brings the lost history again
    // when they come back.
    let began = Instant::now();
    while metric(&cast.projectors[0], "quittance_broker_ghosts_total").await == 0 {
        assert!(began.elapsed() < PATIENCE, "no ghost was met");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    queues_have(&vhost, |ready| ready == 0).await;
    let shown = cast.balances(&ada).await;
    assert_eq!(shown.body["data"][0]["available"], 1_000 + 5 * LOST / 2, "{}", shown.text);
    cast.audit();
    // The relay is the one that had told of the lost history; it says so, until it is told to go on.
    let began = Instant::now();
    loop {
        let reasons = cast.command_apis[0].not_ready().await;
        if reasons.iter().any(|reason| reason.contains("history_mismatch at position")) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{reasons:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cast.rebuild_all();
    cast.command_apis[0].ready().await;
    cast.deposit(&ada, 5).await.expect(200);
    cast.caught_up().await;
    cast.audit();
    cast.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_older_than_the_read_models_stops_them_until_they_are_rebuilt() {
    let vhost = vhost().await.unwrap();
    let cast = Cast::start(Deployment::new(PROGRAMS).await, Some(&vhost.amqp_url), 1, 2).await;
    let ada = cast.client(1_000).await;
    cast.caught_up().await;
    copy(&cast, "log_restored").await;
    for _ in 0..30 {
        cast.deposit(&ada, 7).await.expect(200);
    }
    cast.caught_up().await;
    let lost = cast.head().await;
    // Read models as they are, and a log of before: as if they stood on two servers.
    let keep = keep_read_models(&cast).await;
    restore(&cast, "log_restored").await;
    put_back_read_models(&cast, &keep).await;
    assert!(cast.head().await < lost);

    let began = Instant::now();
    let mismatch = format!("history_mismatch at position {lost}");
    for service in [&cast.query_api, &cast.projectors[0], &cast.projectors[1]] {
        loop {
            let reasons = service.not_ready().await;
            if reasons.iter().any(|reason| reason.contains(&mismatch)) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{}: {reasons:?}", service.url);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // New history up to and beyond the lost positions is not applied on top of the old.
    for _ in 0..60 {
        cast.deposit(&ada, 1).await.expect(200);
    }
    assert!(cast.head().await > lost);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(beyond(&cast, lost).await, 0, "a stopped read model has moved");

    let said = cast.rebuild_all();
    assert!(said.contains("payment: generation 2 is live") && said.contains("another history"), "{said}");
    for service in [&cast.query_api, &cast.projectors[0], &cast.projectors[1], &cast.command_apis[0]] {
        service.ready().await;
    }
    cast.caught_up().await;
    let shown: Answer = cast.balances(&ada).await;
    assert_eq!(shown.body["data"][0]["available"], 1_060, "{}", shown.text);
    cast.audit();
    cast.stop().await;
}

/// Keeps the checkpoints as they are; returns them as one JSON text.
async fn keep_read_models(cast: &Cast) -> String {
    let mut owner = PgConnection::connect(&cast.deployment.database_url).await.unwrap();
    let (kept,): (String,) = sqlx::query_as("SELECT json_agg(projections)::text FROM projections")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    kept
}

async fn put_back_read_models(cast: &Cast, kept: &str) {
    let mut owner = PgConnection::connect(&cast.deployment.database_url).await.unwrap();
    sqlx::query(
        "UPDATE projections SET position = kept.position, leaf_hash = kept.leaf_hash
         FROM json_populate_recordset(NULL::projections, $1::json) AS kept
         WHERE projections.name = kept.name AND projections.generation = kept.generation",
    )
    .bind(kept)
    .execute(&mut owner)
    .await
    .unwrap();
}
