//! Outcomes: every request that left events has one at its last event, and every answer speaks of an
//! event that is there. What the ledger does by itself has outcomes too, so that it is done once; nobody
//! waits for their answers, which may be null.

use anyhow::Context;
use ledger_core::ids::StreamId;
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Uuid;

use super::copy::{self, Row};
use super::event::Event;
use super::report::{Findings, Place};

/// The outcomes, as compactly as they can be compared.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) count: u64,
    /// What was found in their own rows.
    pub(super) findings: Findings,
    /// The positions of those that are no conflicts, in order.
    done: Vec<u64>,
    /// The positions of those that answer nothing, in order.
    silent: Vec<u64>,
    /// What answers say of events, in order.
    claims: Vec<Claim>,
}

/// An answer shows a resource as the event at a position left it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Claim {
    position: u64,
    /// What the resource is known by: see [`digits`] and [`pair`].
    resource: u128,
    key: Uuid,
}

/// A row of `outcomes`.
#[derive(Clone, Debug)]
pub(super) struct OutcomeRow {
    pub(super) key: Uuid,
    pub(super) status: i64,
    pub(super) position: i64,
    pub(super) answer: String,
}

impl OutcomeRow {
    /// Takes a row's columns.
    fn of(mut row: Row<'_>) -> anyhow::Result<Self> {
        Ok(Self {
            key: Uuid::from_slice(row.bytes()?)?,
            status: row.number()?,
            position: row.number()?,
            answer: row.text()?.to_owned(),
        })
    }
}

/// What an audit looks at in an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    id: Value,
    client_id: Value,
    merchant_id: Value,
    from: Value,
    to: Value,
    position: Value,
    /// The resources of an answer that lists them.
    data: Vec<Resource>,
    code: Value,
    number: Value,
    cvc: Value,
    secret: Value,
}

/// What an audit looks at in a listed resource.
#[derive(Debug, Deserialize)]
struct Resource {
    id: Value,
    position: Value,
}

impl Answer {
    /// Tells what the resource is known by.
    fn resource(&self) -> Option<u128> {
        let ids = [&self.id, &self.client_id, &self.merchant_id];
        let named = ids.into_iter().find_map(|id| digits(id.as_str()?));
        named.or_else(|| pair(self.from.as_str()?, self.to.as_str()?))
    }
}

impl Outcomes {
    /// Reads all outcomes, in the transaction that the connection is in.
    pub(super) async fn load(connection: &mut PgConnection, head: u64) -> anyhow::Result<Self> {
        let unreadable = "outcomes can't be read";
        let mut outcomes = Self::default();
        let reading = copy::rows(connection, "SELECT key, status, position, answer FROM outcomes", |row| {
            outcomes.keep(&OutcomeRow::of(row)?, head);
            Ok(())
        });
        reading.await.context(unreadable)?;
        outcomes.sort();
        Ok(outcomes)
    }

    /// Checks a row by itself, and keeps what must be compared with events.
    pub(super) fn keep(&mut self, row: &OutcomeRow, head: u64) {
        self.count += 1;
        let mut note = |what, expected: &str, found: String| {
            self.findings.note(place(row.key), what, expected, found);
        };
        let position = row.position.unsigned_abs();
        if row.position < 0 || position > head {
            note("position", "one of the log", row.position.to_string());
        }
        let is_conflict = row.status == 409;
        if !is_conflict && !matches!(row.status, 200 | 201) {
            note("status", "200, 201 or 409", row.status.to_string());
        }
        if row.answer == "null" && row.status == 200 {
            self.silent.push(position);
            return;
        }
        // A list would be read as an object's members in order.
        let answer = serde_json::from_str::<Answer>(&row.answer).ok();
        let Some(answer) = answer.filter(|_| row.answer.starts_with('{')) else {
            note("answer", "a JSON object", "something else".to_owned());
            return;
        };
        if ![&answer.number, &answer.cvc, &answer.secret].into_iter().all(Value::is_null) {
            note("secrets in the answer", "null", "something else, not shown".to_owned());
        }
        if is_conflict {
            if !answer.code.is_string() {
                note("answer", "a problem with a code", "something else".to_owned());
            }
            return;
        }
        self.done.push(position);
        if let (Some(resource), Some(shown)) = (answer.resource(), answer.position.as_u64()) {
            // The answer shows the last event of the command, or the first of two.
            let is_new = row.status == 201;
            if shown > position || (is_new && shown + 1 < position) {
                note("position in the answer", "that of the outcome", shown.to_string());
            }
            self.claims.push(Claim { position: shown, resource, key: row.key });
        }
        for listed in answer.data {
            let claim = listed.id.as_str().and_then(digits).zip(listed.position.as_u64());
            match claim.filter(|(_, shown)| *shown <= position) {
                Some((resource, shown)) => {
                    self.claims.push(Claim { position: shown, resource, key: row.key });
                }
                None => note("answer", "resources at their events", "something else".to_owned()),
            }
        }
    }

    /// Puts what was kept in the order of the log.
    pub(super) fn sort(&mut self) {
        self.done.sort_unstable();
        self.silent.sort_unstable();
        self.claims.sort_unstable();
    }

    /// Compares an event with the answers that speak of it. `previous` is the event before.
    pub(super) fn follow(&mut self, previous: Option<&Event>, event: &Event, findings: &mut Findings) {
        if let Some(previous) = previous
            && !event.is_of_the_request_of(previous)
        {
            self.end_request(previous, findings);
        }
        let from = self.claims.partition_point(|claim| claim.position < event.position);
        let claims = self.claims[from..].iter().take_while(|claim| claim.position == event.position);
        let part = |name| event.data().text(name).ok().and_then(digits);
        let stream = match event.stream {
            StreamId::FxPair(from, to) => pair(from.code(), to.code()),
            stream => digits(&stream.to_string()),
        };
        let resources = [stream, part("refund_id"), part("dispute_id")];
        for claim in claims.filter(|claim| !resources.contains(&Some(claim.resource))) {
            let found = format!("event {}, of {}", event.position, event.stream);
            self.findings.note(place(claim.key), "answer", "an event of the resource that it shows", found);
        }
    }

    /// Checks that a request, whose last event this is, has an outcome at it. Only what no request asked for
    /// may be answered with nothing.
    pub(super) fn end_request(&self, last: &Event, findings: &mut Findings) {
        let is_at = |positions: &[u64]| positions.binary_search(&last.position).is_ok();
        let is_answered = is_at(&self.done) || (last.request.is_none() && is_at(&self.silent));
        if !is_answered {
            findings.at(last.position).note("outcome of the request", "one at its last event", "none");
        }
    }
}

fn place(key: Uuid) -> Place {
    Place::Row { table: "outcomes".to_owned(), key: format!("key {key}") }
}

/// Reads a pair of currencies as a number.
fn pair(from: &str, to: &str) -> Option<u128> {
    let letters: Option<[u8; 6]> = format!("{from}{to}").into_bytes().try_into().ok();
    letters.map(|letters| letters.into_iter().fold(0, |number, letter| number << 8 | u128::from(letter)))
}

/// Reads the digits of an id, whatever its kind.
fn digits(id: &str) -> Option<u128> {
    let (_, digits) = id.split_once('_')?;
    (digits.len() == 32).then(|| u128::from_str_radix(digits, 16).ok())?
}
