//! Events that a read model could not apply: they wait with their keys, and everything else goes on.
//!
//! A parked key stands still at its first parked event; later events that touch it queue behind, with all
//! of their own keys, so that no row is ever changed out of order. Keys that share a waiting event belong
//! together, and are tried again together.

use std::collections::{BTreeMap, BTreeSet};

use event_store::reader::LogReader;
use sqlx::{Connection, PgConnection, PgPool};

use crate::generation::Generation;
use crate::personal::Vault;
use crate::projection::{Decoded, Projection};

/// Returns the keys of a generation that stand still.
pub(crate) async fn keys(
    work: &mut PgConnection,
    generation: Generation,
) -> Result<BTreeSet<String>, sqlx::Error> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT key FROM parked_keys WHERE name = $1 AND generation = $2")
            .bind(generation.name)
            .bind(generation.number)
            .fetch_all(work)
            .await?;
    Ok(rows.into_iter().map(|(key,)| key).collect())
}

/// Lets an event wait, with its keys.
pub(crate) async fn park(
    work: &mut PgConnection,
    generation: Generation,
    keys: &[String],
    position: i64,
    error: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO parked_keys (name, generation, key, position, error)
         SELECT $1, $2, key, $4, $5 FROM unnest($3::text[]) AS new (key)
         ON CONFLICT (name, generation, key) DO NOTHING",
    )
    .bind(generation.name)
    .bind(generation.number)
    .bind(keys)
    .bind(position)
    .bind(error)
    .execute(&mut *work)
    .await?;
    sqlx::query("INSERT INTO parked_events (name, generation, position) VALUES ($1, $2, $3)")
        .bind(generation.name)
        .bind(generation.number)
        .bind(position)
        .execute(work)
        .await?;
    Ok(())
}

/// Lets those of the events wait that touch a key which stands still; returns their positions.
pub(crate) async fn queue_behind(
    work: &mut PgConnection,
    generation: Generation,
    projection: &dyn Projection,
    mut parked: BTreeSet<String>,
    events: &[Decoded],
) -> Result<BTreeSet<u64>, sqlx::Error> {
    let mut waiting = BTreeSet::new();
    for event in events {
        let keys = projection.keys(&event.envelope);
        if keys.iter().any(|key| parked.contains(key)) {
            park(work, generation, &keys, event.position(), "waits behind an earlier event").await?;
            parked.extend(keys);
            waiting.insert(event.envelope.position);
        }
    }
    Ok(waiting)
}

/// Tries a read model's parked events again, in order, those of one key or all of them; returns how many
/// keys were freed. Each group of keys that belong together is applied in one transaction, or stays.
pub async fn retry(
    read: &PgPool,
    log: &LogReader,
    vault: &Vault,
    projection: &dyn Projection,
    key: Option<&str>,
) -> anyhow::Result<usize> {
    let live: Option<(i32,)> = sqlx::query_as(
        "SELECT generation FROM projections WHERE name = $1 AND active
         AND EXISTS (SELECT FROM parked_events WHERE parked_events.name = $1)",
    )
    .bind(projection.name())
    .fetch_optional(read)
    .await?;
    let Some((number,)) = live else { return Ok(0) };
    let generation = Generation { name: projection.name(), number };
    let mut connection = read.acquire().await?;
    let mut work = connection.begin().await?;
    // The checkpoint's row is what whoever applies events holds: nothing joins the queue meanwhile.
    sqlx::query("SELECT FROM projections WHERE name = $1 AND generation = $2 FOR UPDATE")
        .bind(generation.name)
        .bind(generation.number)
        .execute(&mut *work)
        .await?;
    let positions: Vec<(i64,)> = sqlx::query_as(
        "SELECT position FROM parked_events WHERE name = $1 AND generation = $2 ORDER BY position",
    )
    .bind(generation.name)
    .bind(generation.number)
    .fetch_all(&mut *work)
    .await?;
    let positions: Vec<i64> = positions.into_iter().map(|(position,)| position).collect();
    let events = vault.decode(log.at(&positions).await?).await?;
    let mut freed = 0;
    for (keys, events) in groups(projection, events) {
        if key.is_some_and(|key| !keys.contains(key)) {
            continue;
        }
        let mut attempt = work.begin().await?;
        let applied = apply(&mut attempt, generation, projection, &keys, &events).await;
        match applied {
            Ok(()) => {
                attempt.commit().await?;
                freed += keys.len();
            }
            Err(error) => {
                attempt.rollback().await?;
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    projection = generation.name,
                    "still parked"
                );
            }
        }
    }
    work.commit().await?;
    Ok(freed)
}

/// Puts events together that share keys, directly or through others.
fn groups(projection: &dyn Projection, events: Vec<Decoded>) -> Vec<(BTreeSet<String>, Vec<Decoded>)> {
    let mut groups: Vec<(BTreeSet<String>, BTreeMap<u64, Decoded>)> = Vec::new();
    for event in events {
        let keys: BTreeSet<String> = projection.keys(&event.envelope).into_iter().collect();
        let (joined, mut rest): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(of, _)| !of.is_disjoint(&keys));
        let mut group = (keys, BTreeMap::from([(event.envelope.position, event)]));
        for (keys, events) in joined {
            group.0.extend(keys);
            group.1.extend(events);
        }
        rest.push(group);
        groups = rest;
    }
    groups.into_iter().map(|(keys, events)| (keys, events.into_values().collect())).collect()
}

/// Applies a group's events, and frees its keys.
async fn apply(
    work: &mut PgConnection,
    generation: Generation,
    projection: &dyn Projection,
    keys: &BTreeSet<String>,
    events: &[Decoded],
) -> Result<(), sqlx::Error> {
    generation.enter(work).await?;
    projection.apply(work, events).await?;
    sqlx::query("SELECT set_config('search_path', 'public', true)").execute(&mut *work).await?;
    sqlx::query("DELETE FROM parked_events WHERE name = $1 AND generation = $2 AND position = ANY ($3)")
        .bind(generation.name)
        .bind(generation.number)
        .bind(events.iter().map(Decoded::position).collect::<Vec<_>>())
        .execute(&mut *work)
        .await?;
    sqlx::query("DELETE FROM parked_keys WHERE name = $1 AND generation = $2 AND key = ANY ($3)")
        .bind(generation.name)
        .bind(generation.number)
        .bind(keys.iter().map(String::as_str).collect::<Vec<_>>())
        .execute(work)
        .await?;
    Ok(())
}
