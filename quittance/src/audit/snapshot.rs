//! The rows of a model as they stood at one position, read in one short transaction.

use std::collections::BTreeSet;

use anyhow::Context;
use sqlx::PgConnection;

use super::event::Event;
use super::ledger::{Effect, Ledger};
use super::model::Model;
use super::report::{Checked, Findings, Place};
use super::table::Table;

/// A model's tables while the fold comes up to their position.
pub(super) struct Snapshot {
    pub(super) model: &'static dyn Model,
    /// The schema of the model's generation; `None` for the write side.
    pub(super) schema: Option<String>,
    pub(super) position: u64,
    leaf_hash: Vec<u8>,
    parked: BTreeSet<String>,
    tables: Vec<Table>,
    reached: bool,
}

impl Snapshot {
    /// Begins a snapshot without rows.
    pub(super) fn new(
        model: &'static dyn Model,
        schema: Option<String>,
        (position, leaf_hash): (u64, Vec<u8>),
        parked: BTreeSet<String>,
        personal: bool,
    ) -> Self {
        let tables = model.shapes().iter().map(|shape| Table::new(shape, &parked, personal)).collect();
        Self { model, schema, position, leaf_hash, parked, tables, reached: false }
    }

    /// Reads the write side, at the head.
    pub(super) async fn of_write_side(
        connection: &mut PgConnection,
        model: &'static dyn Model,
        head: (u64, Vec<u8>),
        personal: bool,
    ) -> anyhow::Result<Self> {
        let mut snapshot = Self::new(model, None, head, BTreeSet::new(), personal);
        snapshot.load(connection).await?;
        Ok(snapshot)
    }

    /// Reads the active generation of a read model, at its checkpoint; `None` if there is none that this
    /// version of the program knows.
    pub(super) async fn of_read_model(
        connection: &mut PgConnection,
        model: &'static dyn Model,
        personal: bool,
    ) -> anyhow::Result<Option<Self>> {
        begin(connection).await?;
        let active: Option<(i32, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT generation, position, leaf_hash FROM projections WHERE name = $1 AND active",
        )
        .bind(model.name())
        .fetch_optional(&mut *connection)
        .await
        .context("projections can't be read")?;
        let mut found = None;
        if let Some((generation, position, leaf_hash)) = active {
            let parked: Vec<(String,)> =
                sqlx::query_as("SELECT key FROM parked_keys WHERE name = $1 AND generation = $2")
                    .bind(model.name())
                    .bind(generation)
                    .fetch_all(&mut *connection)
                    .await
                    .context("parked_keys can't be read")?;
            let schema = format!("{}_{generation}", model.name().replace('-', "_"));
            let checkpoint = (position.unsigned_abs(), leaf_hash);
            let parked = parked.into_iter().map(|(key,)| key).collect();
            let mut snapshot = Self::new(model, Some(schema), checkpoint, parked, personal);
            match snapshot.load(connection).await {
                Ok(()) => found = Some(snapshot),
                Err(error) if is_of_another_version(&error) => {}
                Err(error) => return Err(error),
            }
        }
        // After an error this rolls back.
        end(connection).await?;
        Ok(found)
    }

    async fn load(&mut self, connection: &mut PgConnection) -> anyhow::Result<()> {
        for table in &mut self.tables {
            table.load(connection, self.schema.as_deref()).await.with_context(|| self.model.name())?;
        }
        Ok(())
    }

    /// Keeps a row of one of the model's tables, as if it had been read.
    #[cfg(test)]
    pub(super) fn keep(&mut self, table: &str, cells: &[Option<&str>]) {
        let cells: Vec<_> = cells.iter().map(|cell| super::table::maybe(*cell)).collect();
        let table = self.tables.iter_mut().find(|known| known.shape.name == table);
        table.expect("a table of the model").keep(&cells);
    }

    /// Expects the rows that an event adds, unless it is beyond the snapshot.
    pub(super) fn observe(&mut self, event: &Event, effects: &[Effect], ledger: &Ledger) {
        if event.position <= self.position {
            self.model.observe(event, effects, ledger, &mut self.tables);
        }
    }

    /// Compares the checkpoint and the rows that show the state, once the fold is at its position.
    pub(super) fn reach(
        &mut self,
        position: u64,
        leaf_hash: &[u8],
        ledger: &Ledger,
        findings: &mut Findings,
    ) {
        if position == self.position && !self.reached {
            self.reached = true;
            if self.leaf_hash != leaf_hash {
                let [expected, found] = [leaf_hash, &self.leaf_hash].map(hex::encode);
                findings.note(self.place(), "leaf_hash of the checkpoint", expected, found);
            }
            self.model.close(ledger, &mut self.tables);
        }
    }

    /// Ends the comparison, and says what was compared.
    pub(super) fn finish(&self, findings: &mut Findings) -> Checked {
        if !self.reached {
            findings.note(self.place(), "checkpoint", "a position of the log", self.position);
        }
        Checked {
            name: self.model.name().to_owned(),
            position: self.position,
            tables: self.tables.iter().map(|table| (table.shape.name, table.expected)).collect(),
            parked: self.parked.iter().cloned().collect(),
        }
    }

    /// Returns the tables that did not hold.
    pub(super) fn wrong(&self) -> impl Iterator<Item = &Table> {
        let reached = self.reached;
        self.tables.iter().filter(move |table| reached && !table.holds())
    }

    fn place(&self) -> Place {
        Place::Row { table: self.model.name().to_owned(), key: String::new() }
    }
}

/// Tells whether tables or columns are not there: a generation that another version of the program made.
fn is_of_another_version(error: &anyhow::Error) -> bool {
    let failed = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    let code = failed.and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(code.as_ref(), "42703" | "42P01"))
}

/// Begins a transaction that sees one state of the database, and is not cut off while it is read.
pub(super) async fn begin(connection: &mut PgConnection) -> anyhow::Result<()> {
    for statement in ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SET LOCAL statement_timeout = 0"] {
        sqlx::query(statement).execute(&mut *connection).await.context("a snapshot can't be begun")?;
    }
    Ok(())
}

/// Ends it.
pub(super) async fn end(connection: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::query("COMMIT").execute(connection).await.context("a snapshot can't be ended")?;
    Ok(())
}
