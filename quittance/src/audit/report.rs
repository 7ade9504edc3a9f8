//! What an audit says: what was checked, and what did not hold.

use std::fmt;

/// How many findings of the log are told one by one; the rest are counted. The first one matters.
const TOLD_MAX: usize = 100;

/// The result of an audit. Its text is for people.
#[derive(Debug, Default)]
pub struct Report {
    /// The position of the log's last event when the audit began.
    pub head: u64,
    /// How many events were read.
    pub events: u64,
    /// How many streams they make.
    pub streams: u64,
    /// How many postings they hold.
    pub postings: u64,
    /// How many outcomes were compared with their events.
    pub outcomes: u64,
    /// How many subjects have a key.
    pub subject_keys: u64,
    /// Whether personal fields were opened and compared; without the master key only their presence is.
    pub personal: bool,
    /// The tables that the log must explain: the write side's, then each read model's.
    pub models: Vec<Checked>,
    /// The first findings, those of the log before those of tables.
    pub findings: Vec<Finding>,
    /// How many findings there are in all.
    pub findings_total: u64,
}

/// The tables of the write side or of one read model, as they were compared.
#[derive(Debug)]
pub struct Checked {
    /// The model's name.
    pub name: String,
    /// The position at which its rows were compared with the log.
    pub position: u64,
    /// How many rows of each table were compared.
    pub tables: Vec<(&'static str, u64)>,
    /// Keys whose rows stand still until their event is retried: left out.
    pub parked: Vec<String>,
}

/// One thing that is not as the log and the contract say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What was looked at.
    pub what: String,
    /// What it should be.
    pub expected: String,
    /// What it is. Personal values and secrets are never shown.
    pub found: String,
}

/// Where a finding was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// At an event of the log.
    Event(u64),
    /// At a row, or at a table as a whole if the key is empty.
    Row {
        /// The table, behind its model's name.
        table: String,
        /// The row's key: its columns and their values.
        key: String,
    },
}

impl Report {
    /// Tells whether all that was checked holds.
    pub const fn holds(&self) -> bool {
        self.findings_total == 0
    }

    /// Takes over findings, and how many there are beyond those that are told.
    pub(super) fn add(&mut self, findings: Findings) {
        self.findings_total += findings.total;
        self.findings.extend(findings.told);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, events, streams, postings, outcomes, subject_keys, .. } = self;
        writeln!(f, "log: {events} events to position {head}, {streams} streams, {postings} postings")?;
        writeln!(f, "requests: {outcomes} outcomes; personal keys: {subject_keys}")?;
        for Checked { name, position, tables, parked } in &self.models {
            let rows: Vec<_> = tables.iter().map(|(table, rows)| format!("{table} {rows}")).collect();
            writeln!(f, "{name} at {position}: {}", rows.join(", "))?;
            if !parked.is_empty() {
                writeln!(f, "{name}: left out, because parked: {}", parked.join(", "))?;
            }
        }
        if !self.personal {
            writeln!(f, "without the master key personal fields were not opened, only seen to be there")?;
        }
        if self.holds() {
            return write!(f, "all of it holds");
        }
        write!(f, "findings: {}", self.findings_total)?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))?;
        match self.findings_total.saturating_sub(self.findings.len() as u64) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what, expected, found } = self;
        write!(f, "{place}: {what}: expected {expected}, found {found}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(position) => write!(f, "event {position}"),
            Self::Row { table, key } if key.is_empty() => write!(f, "{table}"),
            Self::Row { table, key } => write!(f, "{table} ({key})"),
        }
    }
}

/// Findings as they are made.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) told: Vec<Finding>,
    pub(super) total: u64,
}

impl Findings {
    /// Notes a finding.
    pub(super) fn note(
        &mut self,
        place: Place,
        what: &str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) {
        self.total += 1;
        if self.told.len() < TOLD_MAX {
            let (what, expected, found) = (what.to_owned(), expected.to_string(), found.to_string());
            self.told.push(Finding { place, what, expected, found });
        }
    }

    /// Takes over other findings.
    pub(super) fn append(&mut self, mut others: Self) {
        self.total += others.total;
        others.told.truncate(TOLD_MAX.saturating_sub(self.told.len()));
        self.told.append(&mut others.told);
    }

    /// Begins the checks of one event.
    pub(super) const fn at(&mut self, position: u64) -> Check<'_> {
        Check { findings: self, position }
    }
}

/// The checks of one event.
#[derive(Debug)]
pub(super) struct Check<'a> {
    findings: &'a mut Findings,
    position: u64,
}

impl Check<'_> {
    /// Notes that something is not as expected.
    pub(super) fn note(&mut self, what: &str, expected: impl fmt::Display, found: impl fmt::Display) {
        self.findings.note(Place::Event(self.position), what, expected, found);
    }

    /// Checks that two values are the same.
    pub(super) fn same<T: PartialEq + fmt::Display>(&mut self, what: &str, expected: T, found: T) {
        if expected != found {
            self.note(what, expected, found);
        }
    }

    /// Checks that something is so; `expected` tells what, `found` what is instead.
    pub(super) fn holds(
        &mut self,
        so: bool,
        what: &str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) {
        if !so {
            self.note(what, expected, found);
        }
    }
}
