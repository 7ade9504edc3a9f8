//! Events that a read model could not apply: they wait with their keys, and everything else goes on.
//!
//! A parked key stands still at its first parked event; later events that touch it queue behind, with all
//! of their own keys, so that no row is ever changed out of order. Trying again is the same fold: the
//! waiting events are applied in order, and those that still fail keep their keys standing.
//!
//! The tables `parked_keys` and `parked_events` are only changed by who holds the generation's row of
//! `projections`, so whoever reads them there sees all that wait.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use event_store::reader::LogReader;
use sqlx::{Connection, Executor, PgConnection, PgPool};

use crate::checkpoint;
use crate::generation::{self, Generation};
use crate::personal::Vault;
use crate::projection::{ApplyError, Decoded, Projection};

/// How many parked events one transaction tries again: while it does, the live ones wait.
const RETRY_EVENTS: i64 = 100;

/// Tries a read model's parked events again, in order: all of them, or those that a key belongs together
/// with. Returns how many keys were freed; what still fails stays parked.
///
/// # Errors
///
/// When a database is away, or the log is not the one that was folded in. What was applied until then
/// is; nothing is applied twice.
pub async fn retry(
    read: &PgPool,
    log: &LogReader,
    vault: &Vault,
    projection: &dyn Projection,
    key: Option<&str>,
) -> anyhow::Result<usize> {
    let generations: Vec<(i32,)> =
        sqlx::query_as(
            "SELECT generation FROM projections WHERE name = $1 AND shape = $2
                 AND EXISTS (SELECT FROM parked_keys AS parked
                             WHERE parked.name = projections.name AND parked.generation = projections.generation)
             ORDER BY generation",
        )
        .bind(projection.name())
        .bind(projection.model().shape().as_slice())
        .fetch_all(read)
        .await?;
    let mut freed = 0;
    for (number,) in generations {
        let generation = Generation { name: projection.name(), number };
        let retry = Retry { read, log, vault, projection, generation };
        let others = match key {
            Some(key) => retry.unrelated(key).await?,
            None => BTreeMap::new(),
        };
        freed += retry.run(Queue::of(others)).await?;
    }
    Ok(freed)
}

/// Since when a key stands still, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Halt {
    position: i64,
    error: String,
}

/// What waits while events are applied in order.
#[derive(Default)]
pub(crate) struct Queue {
    halted: BTreeMap<String, Halt>,
    /// Keys that have come to stand still here.
    joined: BTreeSet<String>,
    /// Positions of events that have been passed over here.
    waiting: BTreeSet<i64>,
}

impl Queue {
    /// Begins behind keys that stand still already.
    pub(crate) fn of(halted: BTreeMap<String, Halt>) -> Self {
        Self { halted, ..Self::default() }
    }

    /// Returns the events that can be applied now. Those that touch a key that stands still must wait, and
    /// their other keys with them.
    pub(crate) fn admit<'a>(
        &mut self,
        projection: &dyn Projection,
        events: impl IntoIterator<Item = &'a Decoded>,
    ) -> Vec<&'a Decoded> {
        let mut admitted = Vec::new();
        for event in events {
            let keys = projection.keys(&event.envelope);
            match keys.iter().find_map(|key| self.halted.get(key)) {
                Some(halt) => {
                    let error = halt.error.clone();
                    self.halt(event, keys, &error);
                }
                None if keys.is_empty() => {}
                None => admitted.push(event),
            }
        }
        admitted
    }

    /// Lets an event wait that can't be applied, with its keys.
    fn park(&mut self, projection: &dyn Projection, event: &Decoded, error: &ApplyError) {
        self.halt(event, projection.keys(&event.envelope), &error.describe());
    }

    fn halt(&mut self, event: &Decoded, keys: Vec<String>, error: &str) {
        self.waiting.insert(event.position());
        for key in keys {
            if !self.halted.contains_key(&key) {
                self.joined.insert(key.clone());
                self.halted.insert(key, Halt { position: event.position(), error: error.to_owned() });
            }
        }
    }

    /// Applies events in halves where they fail, until the events at fault are named and parked. Returns
    /// an error only if it passes by itself: then nothing is known, and the transaction is to be dropped.
    pub(crate) async fn apply_in_halves<'a>(
        &mut self,
        work: &mut PgConnection,
        projection: &dyn Projection,
        events: impl IntoIterator<Item = &'a Decoded>,
    ) -> Result<(), ApplyError> {
        let mut parts = vec![events.into_iter().collect::<Vec<_>>()];
        while let Some(part) = parts.pop() {
            let part = self.admit(projection, part);
            if part.is_empty() {
                continue;
            }
            match attempt(work, projection, &part).await {
                Ok(()) => {}
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => match part.as_slice() {
                    [poison] => self.park(projection, poison, &error),
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second.to_vec(), first.to_vec()]);
                    }
                },
            }
        }
        Ok(())
    }

    /// Tells whether any event has been passed over here.
    pub(crate) fn has_grown(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes down which events wait now, and which keys stand still.
    pub(crate) async fn save(
        &self,
        work: &mut PgConnection,
        generation: Generation,
    ) -> Result<(), sqlx::Error> {
        if let Some(halt) = self.joined.first().and_then(|key| self.halted.get(key)) {
            tracing::error!(
                projection = generation.name,
                event.position = halt.position,
                keys = self.joined.len(),
                error = halt.error,
                "events can't be applied, their keys stand still"
            );
        }
        self.save_keys(work, generation).await?;
        sqlx::query(
            "INSERT INTO parked_events (name, generation, position) SELECT $1, $2, * FROM unnest($3::bigint[])",
        )
        .bind(generation.name)
        .bind(generation.number)
        .bind(self.waiting.iter().copied().collect::<Vec<_>>())
        .execute(work)
        .await?;
        Ok(())
    }

    async fn save_keys(&self, work: &mut PgConnection, generation: Generation) -> Result<(), sqlx::Error> {
        let joined: Vec<(&String, &Halt)> =
            self.joined.iter().filter_map(|key| Some((key, self.halted.get(key)?))).collect();
        sqlx::query(
            "INSERT INTO parked_keys (name, generation, key, position, error)
             SELECT $1, $2, * FROM unnest($3::text[], $4::bigint[], $5::text[])
             ON CONFLICT (name, generation, key) DO UPDATE
             SET position = excluded.position, error = excluded.error
             WHERE (parked_keys.position, parked_keys.error) IS DISTINCT FROM (excluded.position, excluded.error)",
        )
        .bind(generation.name)
        .bind(generation.number)
        .bind(joined.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
        .bind(joined.iter().map(|(_, halt)| halt.position).collect::<Vec<_>>())
        .bind(joined.iter().map(|(_, halt)| halt.error.as_str()).collect::<Vec<_>>())
        .execute(work)
        .await?;
        Ok(())
    }
}

/// Applies events behind a savepoint, so that a failure leaves the transaction as it was.
async fn attempt(
    work: &mut PgConnection,
    projection: &dyn Projection,
    events: &[&Decoded],
) -> Result<(), ApplyError> {
    let mut savepoint = work.begin().await?;
    match projection.apply(&mut savepoint, events).await {
        // What a table checks at the end of a transaction would otherwise fail all of it, and name nobody.
        Ok(()) => match savepoint.execute("SET CONSTRAINTS ALL IMMEDIATE").await {
            Ok(_) => Ok(savepoint.commit().await?),
            Err(error) => {
                savepoint.rollback().await?;
                Err(error.into())
            }
        },
        Err(error) => {
            savepoint.rollback().await?;
            Err(error)
        }
    }
}

/// Counts the keys that stand still, by read model.
pub(crate) async fn counts(read: &PgPool) -> Result<BTreeMap<String, u64>, sqlx::Error> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT name, count(*) FROM parked_keys GROUP BY name").fetch_all(read).await?;
    Ok(rows.into_iter().map(|(name, keys)| (name, keys.unsigned_abs())).collect())
}

/// Reads which keys stand still, of several generations whose rows are held.
pub(crate) async fn halted(
    work: &mut PgConnection,
    generations: &[Generation],
) -> Result<BTreeMap<Generation, BTreeMap<String, Halt>>, sqlx::Error> {
    let (names, numbers) = checkpoint::columns(generations);
    let rows: Vec<(String, i32, String, i64, String)> = sqlx::query_as(
        "SELECT name, generation, key, position, error FROM parked_keys
         JOIN unnest($1::text[], $2::integer[]) AS group_of (name, generation) USING (name, generation)",
    )
    .bind(names)
    .bind(numbers)
    .fetch_all(work)
    .await?;
    let mut halted: BTreeMap<Generation, BTreeMap<String, Halt>> = BTreeMap::new();
    for (name, number, key, position, error) in rows {
        if let Some(generation) = generations.iter().find(|one| one.name == name && one.number == number) {
            halted.entry(*generation).or_default().insert(key, Halt { position, error });
        }
    }
    Ok(halted)
}

/// One pass over a generation's parked events.
struct Retry<'a> {
    read: &'a PgPool,
    log: &'a LogReader,
    vault: &'a Vault,
    projection: &'a dyn Projection,
    generation: Generation,
}

impl Retry<'_> {
    /// Applies what can be applied, some events a transaction, and frees the keys that nothing holds any
    /// more; returns how many. Keys stay parked until the end, so that what comes in meanwhile queues
    /// behind, and is reached.
    async fn run(&self, mut queue: Queue) -> anyhow::Result<usize> {
        let mut after = 0;
        loop {
            let mut work = checkpoint::begin(self.read).await?;
            let Some(held) = checkpoint::hold(&mut work, self.generation).await? else { return Ok(0) };
            if self.log.leaf_hash(held.position).await? != Some(held.leaf_hash) {
                bail!("history_mismatch at position {}: nothing is applied", held.position);
            }
            let positions = self.positions(&mut work, after).await?;
            let Some(last) = positions.last().copied() else {
                let freed = self.free(&mut work, &queue).await?;
                work.commit().await?;
                return Ok(freed);
            };
            let events = self.events(&positions).await?;
            self.generation.enter(&mut work).await?;
            queue.apply_in_halves(&mut work, self.projection, &events).await?;
            generation::leave(&mut work).await?;
            self.forget_applied(&mut work, &positions, &queue).await?;
            work.commit().await?;
            after = last;
        }
    }

    /// Finds the parked keys that don't belong together with a key: those that no chain of shared events
    /// leads to.
    async fn unrelated(&self, key: &str) -> anyhow::Result<BTreeMap<String, Halt>> {
        let mut work = checkpoint::begin(self.read).await?;
        checkpoint::hold(&mut work, self.generation).await?;
        let mut halted =
            halted(&mut work, &[self.generation]).await?.remove(&self.generation).unwrap_or_default();
        let mut events: Vec<Vec<String>> = Vec::new();
        let mut after = 0;
        loop {
            let positions = self.positions(&mut work, after).await?;
            let Some(last) = positions.last() else { break };
            let window = self.events(&positions).await?;
            events.extend(window.iter().map(|event| self.projection.keys(&event.envelope)));
            after = *last;
        }
        work.rollback().await?;
        let together = together(key, &events);
        halted.retain(|key, _| !together.contains(key));
        Ok(halted)
    }

    async fn positions(&self, work: &mut PgConnection, after: i64) -> Result<Vec<i64>, sqlx::Error> {
        let rows: Vec<(i64,)> = sqlx::query_as(
            "SELECT position FROM parked_events WHERE name = $1 AND generation = $2 AND position > $3
             ORDER BY position LIMIT $4",
        )
        .bind(self.generation.name)
        .bind(self.generation.number)
        .bind(after)
        .bind(RETRY_EVENTS)
        .fetch_all(work)
        .await?;
        Ok(rows.into_iter().map(|(position,)| position).collect())
    }

    async fn events(&self, positions: &[i64]) -> anyhow::Result<Vec<Decoded>> {
        let entries = self.log.at(positions).await?;
        let events = self.vault.decode(entries).await.context("a parked event can't be read")?;
        if events.len() != positions.len() {
            bail!("{} of {} parked events can be read", events.len(), positions.len());
        }
        Ok(events)
    }

    async fn forget_applied(
        &self,
        work: &mut PgConnection,
        positions: &[i64],
        queue: &Queue,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM parked_events WHERE name = $1 AND generation = $2 AND position = ANY ($3)")
            .bind(self.generation.name)
            .bind(self.generation.number)
            .bind(positions.iter().copied().filter(|at| !queue.waiting.contains(at)).collect::<Vec<_>>())
            .execute(work)
            .await?;
        Ok(())
    }

    /// Frees the keys that don't stand still any more, and says of the others why they do now.
    async fn free(&self, work: &mut PgConnection, queue: &Queue) -> Result<usize, sqlx::Error> {
        let freed =
            sqlx::query("DELETE FROM parked_keys WHERE name = $1 AND generation = $2 AND key <> ALL ($3)")
                .bind(self.generation.name)
                .bind(self.generation.number)
                .bind(queue.halted.keys().map(String::as_str).collect::<Vec<_>>())
                .execute(&mut *work)
                .await?;
        queue.save_keys(work, self.generation).await?;
        Ok(usize::try_from(freed.rows_affected()).unwrap_or(usize::MAX))
    }
}

/// Finds all keys that belong together with a key, given the keys of each event.
fn together(key: &str, events: &[Vec<String>]) -> BTreeSet<String> {
    let mut found = BTreeSet::from([key.to_owned()]);
    loop {
        let known = found.len();
        for keys in events {
            if keys.iter().any(|key| found.contains(key)) {
                found.extend(keys.iter().cloned());
            }
        }
        if found.len() == known {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Named, named};

    fn positions(events: &[&Decoded]) -> Vec<u64> {
        events.iter().map(|event| event.envelope.position).collect()
    }

    fn halt(position: i64) -> Halt {
        Halt { position, error: "choked".to_owned() }
    }

    #[test]
    fn what_touches_a_parked_key_waits_with_its_other_keys() {
        let events = [named(1, &["b"]), named(2, &["a", "b"]), named(3, &["b", "c"]), named(4, &["d"])];
        let mut queue = Queue::of(BTreeMap::from([("a".to_owned(), halt(0))]));
        assert_eq!(positions(&queue.admit(&Named, &events)), [1, 4]);
        assert_eq!(queue.waiting, BTreeSet::from([2, 3]));
        let halted = [("a", halt(0)), ("b", halt(2)), ("c", halt(3))];
        assert_eq!(queue.halted, halted.map(|(key, halt)| (key.to_owned(), halt)).into());
        assert_eq!(queue.joined, ["b", "c"].map(str::to_owned).into());
    }

    #[test]
    fn an_event_of_no_row_is_neither_applied_nor_parked() {
        let mut queue = Queue::default();
        assert!(queue.admit(&Named, &[named(1, &[])]).is_empty());
        assert!(!queue.has_grown());
    }

    #[test]
    fn the_event_at_fault_halts_its_keys() {
        let mut queue = Queue::default();
        let error = ApplyError::Missing { table: "payments", expected: 1, changed: 0 };
        queue.park(&Named, &named(7, &["a"]), &error);
        assert!(queue.has_grown());
        assert_eq!(queue.halted["a"].error, "0 of 1 rows are there to change in payments");
        assert_eq!(positions(&queue.admit(&Named, &[named(8, &["a"]), named(9, &["b"])])), [9]);
    }

    #[test]
    fn keys_belong_together_through_shared_events() {
        let events = [vec!["a", "b"], vec!["c"], vec!["d", "e"], vec!["b", "d"]];
        let events = events.map(|keys| keys.into_iter().map(str::to_owned).collect());
        assert_eq!(together("e", &events), ["a", "b", "d", "e"].map(str::to_owned).into());
        assert_eq!(together("c", &events), ["c".to_owned()].into());
    }
}
