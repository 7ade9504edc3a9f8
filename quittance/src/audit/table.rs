//! Tables that the log must explain: their rows are read once, kept as hashes, and crossed off as the
//! fold comes to expect them. What is left over, missing or different is named by reading again.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use std::str::Utf8Error;

use anyhow::Context;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::canonical;
use super::copy;
use super::report::{Findings, Place};
use super::subject::SEALED;

/// How many rows of one table are told one by one.
const TOLD_MAX: usize = 20;

/// How long a shown value may be.
const SHOWN_MAX: usize = 200;

/// What a table looks like.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// The columns, those of the key first.
    pub(super) columns: &'static [(&'static str, Kind)],
    /// How many columns the key has.
    pub(super) key: usize,
    /// By which key a read model parks the row.
    pub(super) parked_by: ParkedBy,
}

/// Where the key stands by which a read model parks a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ParkedBy {
    /// In a column of the row.
    Column(usize),
    /// In the first of two columns, or in the second where that is NULL.
    FirstOf(usize, usize),
    /// In two columns: who is parked is parked with the other one, so a row is missing only if both are.
    BothOf(usize, usize),
    /// One key parks all rows.
    Key(&'static str),
}

/// How the values of a column are compared and shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// As text.
    Plain,
    /// In the spelling of the log.
    Moment,
    /// As JSON, however it is written.
    Json,
    /// As text, but never shown; without the master key only whether it is there.
    Personal,
}

/// A value as text; `None` is NULL.
pub(super) type Cell<'a> = Option<Cow<'a, str>>;

/// Makes a cell of text.
pub(super) fn text<'a>(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
    Some(text.into())
}

/// Makes a cell of text that may be missing.
pub(super) fn maybe<'a, T: AsRef<str> + ?Sized>(text: Option<&'a T>) -> Cell<'a> {
    text.map(|text| Cow::Borrowed(text.as_ref()))
}

/// Makes a cell of a number, an id or a moment.
pub(super) fn of(value: impl Display) -> Cell<'static> {
    Some(Cow::Owned(value.to_string()))
}

/// Makes a cell of JSON in its one form.
pub(super) fn json(value: &Value) -> Cell<'static> {
    canonical::text(value).ok().map(Cow::Owned)
}

/// A table's rows as they stood, and what became of them.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) shape: &'static Shape,
    /// How many rows were expected.
    pub(super) expected: u64,
    /// Hashes of rows by those of their keys; an expected row leaves.
    rows: HashMap<u128, u128>,
    /// Keys that more than one row had.
    doubled: HashSet<u128>,
    /// The first expected rows that were not there as expected.
    wrong: Vec<Vec<Option<String>>>,
    wrong_total: u64,
    parked: BTreeSet<String>,
    personal: bool,
}

impl Table {
    /// Begins a table without rows. Those of parked keys are left out, of the log's and of the table's.
    pub(super) fn new(shape: &'static Shape, parked: &BTreeSet<String>, personal: bool) -> Self {
        Self {
            shape,
            expected: 0,
            rows: HashMap::new(),
            doubled: HashSet::new(),
            wrong: Vec::new(),
            wrong_total: 0,
            parked: parked.clone(),
            personal,
        }
    }

    /// Reads the rows of a table.
    pub(super) async fn load(
        &mut self,
        connection: &mut PgConnection,
        schema: Option<&str>,
    ) -> anyhow::Result<()> {
        let (shape, personal) = (self.shape, self.personal);
        scan(connection, schema, shape, personal, |cells| self.keep(cells)).await
    }

    /// Keeps a row as it stands.
    pub(super) fn keep(&mut self, cells: &[Cell<'_>]) {
        if !self.is_parked(cells) {
            let (key, row) = self.hashes(cells);
            if self.rows.insert(key, row).is_some() {
                self.doubled.insert(key);
            }
        }
    }

    /// Crosses off the row that the log explains.
    pub(super) fn expect(&mut self, cells: &[Cell<'_>]) {
        if self.is_parked(cells) {
            return;
        }
        self.expected += 1;
        let (key, row) = self.hashes(cells);
        if self.rows.remove(&key) != Some(row) {
            self.wrong_total += 1;
            if self.wrong.len() < TOLD_MAX {
                self.wrong.push(cells.iter().map(|cell| cell.as_deref().map(str::to_owned)).collect());
            }
        }
    }

    fn is_parked(&self, cells: &[Cell<'_>]) -> bool {
        let is_parked = |key: Option<&str>| key.is_some_and(|key| self.parked.contains(key));
        match self.shape.parked_by {
            ParkedBy::Column(at) => is_parked(cells[at].as_deref()),
            ParkedBy::FirstOf(at, other) => is_parked(cells[at].as_deref().or(cells[other].as_deref())),
            ParkedBy::BothOf(at, other) => {
                let mut keys = [at, other].into_iter().filter_map(|at| cells[at].as_deref());
                keys.all(|key| is_parked(Some(key)))
            }
            ParkedBy::Key(key) => is_parked(Some(key)),
        }
    }

    fn hashes(&self, cells: &[Cell<'_>]) -> (u128, u128) {
        (hash(&cells[..self.shape.key]), hash(&cells[self.shape.key..]))
    }

    /// Tells whether every row was as expected, and no other there.
    pub(super) fn holds(&self) -> bool {
        self.wrong_total == 0 && self.rows.is_empty() && self.doubled.is_empty()
    }

    /// Names the rows that did not hold, reading the table again to show what it has.
    ///
    /// A row may have moved on since it was compared; it is a finding all the same.
    pub(super) async fn explain(
        &self,
        connection: &mut PgConnection,
        schema: Option<&str>,
        model: &str,
    ) -> anyhow::Result<Findings> {
        let mut telling = Telling::of(self, model);
        scan(connection, schema, self.shape, self.personal, |cells| telling.see(cells)).await?;
        Ok(telling.finish())
    }
}

/// Reads all rows of a table as text, in the transaction that the connection is in.
async fn scan(
    connection: &mut PgConnection,
    schema: Option<&str>,
    shape: &Shape,
    personal: bool,
    mut each: impl FnMut(&[Cell<'_>]),
) -> anyhow::Result<()> {
    let columns: Vec<String> = shape.columns.iter().map(|(name, kind)| kind.select(name)).collect();
    let schema = schema.map(|name| format!("\"{}\".", name.replace('"', "\"\""))).unwrap_or_default();
    let query = format!("SELECT {} FROM {schema}\"{}\"", columns.join(", "), shape.name);
    let reading = copy::rows(connection, &query, |mut row| {
        let cells = shape.columns.iter().map(|(_, kind)| Ok(kind.read(row.field()?, personal)?));
        each(&cells.collect::<anyhow::Result<Vec<Cell<'_>>>>()?);
        Ok(())
    });
    reading.await.with_context(|| format!("table {} can't be read", shape.name))
}

impl Kind {
    /// Writes the expression that makes a column's value text, or leaves it a moment.
    fn select(self, column: &str) -> String {
        match self {
            Self::Moment => format!("\"{column}\""),
            Self::Plain | Self::Json | Self::Personal => format!("\"{column}\"::text"),
        }
    }

    /// Reads a value into the form in which it is compared.
    fn read(self, found: Option<&[u8]>, personal: bool) -> Result<Cell<'_>, Utf8Error> {
        let Some(found) = found else { return Ok(None) };
        if self == Self::Moment {
            return Ok(of(copy::moment(found)));
        }
        let found = std::str::from_utf8(found)?;
        Ok(Some(match self {
            Self::Personal if !personal => SEALED.into(),
            Self::Json => canonical_form(found).map_or(Cow::Borrowed(found), Cow::Owned),
            Self::Plain | Self::Moment | Self::Personal => found.into(),
        }))
    }
}

/// Writes any JSON text in its one form.
fn canonical_form(json: &str) -> Option<String> {
    canonical::text(&serde_json::from_str(json).ok()?).ok()
}

/// Tells whether a value holds a sealed box.
fn holds_box(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.contains_key("box") || members.values().any(holds_box),
        Value::Array(items) => items.iter().any(holds_box),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Hashes cells, each behind its length, to 128 bits of SHA-256: nobody can make two rows of one hash.
fn hash(cells: &[Cell<'_>]) -> u128 {
    let mut hash = Sha256::new();
    for cell in cells {
        match cell {
            None => hash.update([0]),
            Some(text) => {
                hash.update([1]);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
    }
    hash.finalize().iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

/// The rows that did not hold, while they are named.
struct Telling<'a> {
    table: &'a Table,
    name: String,
    /// Rows that were expected, by the hash of their key; those that are found leave.
    expected: HashMap<u128, &'a [Option<String>]>,
    extra: usize,
    findings: Findings,
}

impl<'a> Telling<'a> {
    fn of(table: &'a Table, model: &str) -> Self {
        let key = |cells: &[Option<String>]| {
            let key: Vec<Cell<'_>> =
                cells[..table.shape.key].iter().map(|cell| maybe(cell.as_deref())).collect();
            hash(&key)
        };
        Self {
            table,
            name: format!("{model}.{}", table.shape.name),
            expected: table.wrong.iter().map(|cells| (key(cells), cells.as_slice())).collect(),
            extra: 0,
            findings: Findings::default(),
        }
    }

    /// Looks at a row of the table.
    fn see(&mut self, cells: &[Cell<'_>]) {
        if self.table.is_parked(cells) {
            return;
        }
        let (key, _) = self.table.hashes(cells);
        if let Some(expected) = self.expected.remove(&key) {
            let (wanted, found) = self.differences(expected, cells);
            self.note(cells, "row", wanted, found);
        } else if self.table.rows.contains_key(&key) && self.extra < TOLD_MAX {
            self.extra += 1;
            self.note(cells, "row", "none".to_owned(), self.show(cells));
        } else if self.table.doubled.contains(&key) && self.extra < TOLD_MAX {
            self.extra += 1;
            self.note(cells, "row", "one".to_owned(), "several".to_owned());
        }
    }

    /// Names the rows that were expected and are not there, and counts those that are not told.
    fn finish(mut self) -> Findings {
        let mut missing: Vec<_> = std::mem::take(&mut self.expected).into_values().collect();
        missing.sort_unstable();
        for expected in missing {
            let cells: Vec<Cell<'_>> = expected.iter().map(|cell| maybe(cell.as_deref())).collect();
            self.note(&cells, "row", self.show(&cells), "none".to_owned());
        }
        let all = self.table.wrong_total + self.table.rows.len() as u64 + self.table.doubled.len() as u64;
        if self.findings.told.is_empty() {
            let place = Place::Row { table: self.name, key: String::new() };
            self.findings.note(place, "rows", "those that the log explains", "others, gone since");
        }
        self.findings.total = self.findings.total.max(all);
        self.findings
    }

    fn note(&mut self, cells: &[Cell<'_>], what: &str, expected: String, found: String) {
        let key: Vec<String> = (0..self.table.shape.key).map(|at| self.show_cell(at, &cells[at])).collect();
        let place = Place::Row { table: self.name.clone(), key: key.join(", ") };
        self.findings.note(place, what, expected, found);
    }

    /// Shows a row without its key.
    fn show(&self, cells: &[Cell<'_>]) -> String {
        let shown: Vec<String> =
            (self.table.shape.key..cells.len()).map(|at| self.show_cell(at, &cells[at])).collect();
        shown.join(", ")
    }

    /// Shows the columns in which two rows differ.
    fn differences(&self, expected: &[Option<String>], found: &[Cell<'_>]) -> (String, String) {
        let differ = |at: &usize| expected[*at].as_deref() != found[*at].as_deref();
        let columns: Vec<usize> = (0..found.len()).filter(differ).collect();
        if columns.is_empty() {
            return ("what it is by now".to_owned(), "another when it was compared".to_owned());
        }
        let (wanted, found): (Vec<_>, Vec<_>) = columns
            .into_iter()
            .map(|at| match (self.table.shape.columns[at], &expected[at], &found[at]) {
                ((name, Kind::Json), Some(expected), Some(found)) => json_differences(name, expected, found),
                (_, expected, found) => {
                    (self.show_cell(at, &maybe(expected.as_deref())), self.show_cell(at, found))
                }
            })
            .unzip();
        (wanted.join(", "), found.join(", "))
    }

    fn show_cell(&self, at: usize, cell: &Cell<'_>) -> String {
        let (name, kind) = self.table.shape.columns[at];
        match (kind, cell.as_deref()) {
            (_, None) => format!("{name} null"),
            (Kind::Personal, Some(_)) => format!("{name} (personal, not shown)"),
            (Kind::Json, Some(json)) => format!("{name} {}", show_json(&parse(json))),
            (Kind::Plain | Kind::Moment, Some(text)) => format!("{name} {}", shorten(text)),
        }
    }
}

/// Shows the members in which two JSON objects differ.
fn json_differences(name: &str, expected: &str, found: &str) -> (String, String) {
    let [expected, found] = [expected, found].map(parse);
    let (Value::Object(expected), Value::Object(found)) = (&expected, &found) else {
        return (format!("{name} {}", show_json(&expected)), format!("{name} {}", show_json(&found)));
    };
    let members: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let show = |object: &serde_json::Map<String, Value>, member: &str| {
        let value = object.get(member).map_or_else(|| "missing".to_owned(), show_json);
        format!("{name}.{member} {value}")
    };
    let (wanted, found): (Vec<_>, Vec<_>) = members
        .into_iter()
        .filter(|member| expected.get(*member) != found.get(*member))
        .map(|member| (show(expected, member), show(found, member)))
        .unzip();
    (wanted.join(", "), found.join(", "))
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| Value::from("no JSON"))
}

fn show_json(value: &Value) -> String {
    if holds_box(value) { SEALED.to_owned() } else { shorten(&value.to_string()) }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SHAPE: Shape = Shape {
        name: "people",
        columns: &[
            ("id", Kind::Plain),
            ("name", Kind::Personal),
            ("amount", Kind::Plain),
            ("state", Kind::Json),
        ],
        key: 1,
        parked_by: ParkedBy::Column(0),
    };

    fn row<'a>(id: &'a str, name: &'a str, amount: &'a str, state: &'a str) -> [Cell<'a>; 4] {
        [id, name, amount, state].map(text)
    }

    fn told(kept: &[[Cell<'_>; 4]], expected: &[[Cell<'_>; 4]], parked: &[&str]) -> Vec<String> {
        let parked = parked.iter().map(|key| (*key).to_owned()).collect();
        let mut table = Table::new(&SHAPE, &parked, true);
        kept.iter().for_each(|cells| table.keep(cells));
        expected.iter().for_each(|cells| table.expect(cells));
        if table.holds() {
            return Vec::new();
        }
        let mut telling = Telling::of(&table, "model");
        kept.iter().for_each(|cells| telling.see(cells));
        telling.finish().told.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rows_as_expected_hold_in_any_order() {
        let (a, b) = (row("a", "Ada", "1", "{}"), row("b", "Bob", "2", "{}"));
        assert_eq!(told(&[a.clone(), b.clone()], &[b, a], &[]), Vec::<String>::new());
    }

    #[test]
    fn what_differs_is_named_without_personal_values() {
        let kept = [row("a", "Ada", "1", r#"{"n":1,"s":{"box":"x"}}"#)];
        let expected = [row("a", "Eve", "2", r#"{"n":2,"s":{"box":"y"}}"#)];
        assert_eq!(
            told(&kept, &expected, &[]),
            [
                "model.people (id a): row: expected name (personal, not shown), amount 2, state.n 2, state.s (sealed), \
              found name (personal, not shown), amount 1, state.n 1, state.s (sealed)"
            ]
        );
    }

    #[test]
    fn missing_extra_and_double_rows_are_named() {
        let kept = [row("a", "Ada", "1", "{}"), row("c", "Cid", "3", "{}"), row("c", "Cid", "3", "{}")];
        let expected = [row("b", "Bob", "2", "{}"), row("c", "Cid", "3", "{}")];
        assert_eq!(
            told(&kept, &expected, &[]),
            [
                "model.people (id a): row: expected none, found name (personal, not shown), amount 1, state {}",
                "model.people (id c): row: expected one, found several",
                "model.people (id c): row: expected one, found several",
                "model.people (id b): row: expected name (personal, not shown), amount 2, state {}, found none",
            ]
        );
    }

    #[test]
    fn parked_rows_are_left_out() {
        assert_eq!(
            told(&[row("a", "Ada", "1", "{}")], &[row("a", "Ada", "2", "{}")], &["a"]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn null_is_not_empty() {
        assert_ne!(hash(&[None]), hash(&[text("")]));
        assert_ne!(hash(&[text("ab"), text("c")]), hash(&[text("a"), text("bc")]));
    }
}
