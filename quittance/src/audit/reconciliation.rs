//! Reconciliations: what a bank's statement says of what the ledger has moved at the bank. Each line and each
//! movement of the statement's days is in one item; what a run cites is what the log says.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::NaiveDate;
use ledger_core::Currency;
use ledger_core::ids::{EventId, ReconciliationId, StreamId};
use serde_json::Value;

use super::account::Move;
use super::canonical;
use super::event::Event;
use super::fields::{Fields, Malformed};
use super::ledger::{Desk, Duty, Ledger};
use super::money::Money;
use super::subject::{Form, Opened};

/// The events that move money at the bank, and which way it goes, seen from the house.
const MOVEMENTS: [(&str, &str); 5] = [
    ("client.deposited", "in"),
    ("client.withdrawn", "out"),
    ("merchant.deposited", "in"),
    ("payout.paid", "out"),
    ("payout.returned", "in"),
];

/// How an item can come out, in the order in which a run lists them.
const RESULTS: [&str; 5] = ["missing_here", "missing_there", "amount_differs", "duplicate", "matched"];

/// How many days a line and its movement may be apart.
const DAYS_APART: u64 = 5;

/// The place of what came out well among them.
const MATCHED: usize = 4;

/// What an event moved at the bank.
#[derive(Clone, Debug)]
pub(super) struct Movement {
    id: EventId,
    kind: &'static str,
    direction: &'static str,
    stream: StreamId,
    day: NaiveDate,
    money: Money,
    /// The reference as the log has it, a box or a text, in canonical form.
    reference: Box<str>,
    /// The position of the event that has corrected it.
    corrected_at: Option<u64>,
}

impl Movement {
    /// Tells whether it stood when a run read the log, up to a position.
    fn stood_at(&self, position: u64) -> bool {
        self.corrected_at.is_none_or(|corrected_at| corrected_at > position)
    }
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) format: &'static str,
    pub(super) file: Box<str>,
    pub(super) from: NaiveDate,
    pub(super) to: NaiveDate,
    pub(super) currencies: BTreeSet<Currency>,
    pub(super) lines: u64,
    pub(super) through: u64,
    /// How many items came out how, in the order of [`RESULTS`].
    pub(super) counts: [u64; 5],
    /// How many of them are still to come.
    left: [u64; 5],
    /// The numbers of the lines so far.
    numbers: HashSet<u64>,
    /// The positions of the movements so far.
    cited: HashSet<u64>,
}

/// The references of an item of the event at hand, opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) line: Opened,
    pub(super) movement: Opened,
}

/// What runs are checked with.
#[derive(Default)]
pub(super) struct Bank {
    pub(super) runs: HashMap<ReconciliationId, Run>,
    /// The references of the items of the last event, in their order.
    pub(super) said: Vec<Said>,
    files: HashSet<Box<str>>,
    /// By position.
    movements: BTreeMap<u64, Movement>,
}

impl Ledger {
    pub(super) fn reconciliation_run(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = run_id(event)?;
        let data = event.data_of(&[
            &["format", "file_hash", "from", "to", "currencies"],
            &["lines", "through_position", "counts"],
        ])?;
        let format = data.text("format")?;
        let format = ["csv", "camt.053"].into_iter().find(|known| *known == format);
        let format = format.ok_or(Malformed::new("format", "csv or camt.053"))?;
        let file = data.text("file_hash")?;
        let is_hash = file.len() == 64 && file.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_new = self.bank.files.insert(file.into());
        let (from, to, through) = (data.day("from")?, data.day("to")?, data.number("through_position")?);
        let currencies = currencies(data)?;
        let told = data.object("counts")?.exactly("counts", &[&RESULTS])?;
        let mut counts = [0; 5];
        for (count, name) in counts.iter_mut().zip(RESULTS) {
            *count = told.number(name)?;
        }
        let lines = data.number("lines")?;
        let check = &mut desk.check;
        check.holds(is_hash, "file_hash", "a SHA-256 in lower-case hex", "something else");
        check.holds(is_new, "file_hash", "a file that was not compared before", "one that was");
        check.holds(from <= to, "to", format!("no day before {from}"), to);
        check.holds(through < event.position, "through_position", "one before the run", through);
        let all: u128 = counts.into_iter().map(u128::from).sum();
        check.same("lines", all - u128::from(counts[1]), lines.into());
        let run = Run {
            format,
            file: file.into(),
            from,
            to,
            currencies,
            lines,
            through,
            counts,
            left: counts,
            numbers: HashSet::new(),
            cited: HashSet::new(),
        };
        self.bank.runs.insert(id, run);
        self.end_or_go_on(id, desk);
        Ok(Vec::new())
    }

    pub(super) fn reconciliation_items(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = run_id(event)?;
        let data = event.data_of(&[&["items"]])?;
        self.bank.said.clear();
        let items = data.list("items")?;
        desk.check.holds(!items.is_empty(), "items", "at least one", "none");
        for item in items {
            let item = Fields::of(item, "items")?.exactly("items", &[&["result", "line", "movement"]])?;
            let said = self.take_item(id, item, event, desk)?;
            self.bank.said.push(said);
        }
        self.end_or_go_on(id, desk);
        Ok(Vec::new())
    }

    /// Checks an item and counts it.
    fn take_item(
        &mut self,
        id: ReconciliationId,
        item: Fields<'_>,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Said, Malformed> {
        let Bank { runs, movements, .. } = &mut self.bank;
        let run = runs.get_mut(&id).ok_or(Malformed::new("stream_id", "a run that was begun"))?;
        let result = item.text("result")?;
        let place = RESULTS.iter().position(|known| *known == result);
        let place = place.ok_or(Malformed::new("result", "one of five"))?;
        let are_differences_first = place != MATCHED || run.left[..MATCHED].iter().all(|left| *left == 0);
        desk.check.holds(are_differences_first, "items", "the differences first", "what matched before them");
        desk.check.holds(run.left[place] > 0, "items", format!("as many {result} as are counted"), "more");
        run.left[place] = run.left[place].saturating_sub(1);

        let mut said = Said::default();
        let line = if item.has("line") { Some(read_line(item, event, &mut said, desk)?) } else { None };
        let movement = if item.has("movement") {
            Some(read_movement(item, movements, run, &mut said, desk)?)
        } else {
            None
        };
        if let Some(line) = &line {
            let is_new = run.numbers.insert(line.number);
            desk.check.holds(is_new, "items", "each line once", format!("line {} twice", line.number));
        }
        if let Some((position, _)) = &movement {
            let is_new = run.cited.insert(*position);
            desk.check.holds(is_new, "items", "each movement once", format!("event {position} twice"));
        }
        let fits = match (result, &line, &movement) {
            ("matched", Some(line), Some((_, moved))) => line.is_like(moved) && line.money == moved.money,
            ("amount_differs", Some(line), Some((_, moved))) => {
                line.is_like(moved) && line.money.minor != moved.money.minor
            }
            ("missing_here" | "duplicate", Some(_), None) => true,
            ("missing_there", None, Some((_, moved))) => run.speaks_of(moved),
            _ => false,
        };
        desk.check.holds(fits, "items", format!("a line and a movement that fit {result}"), "others");
        Ok(said)
    }

    /// Asks for the items that are still to come; once there are none, checks that no movement was left out.
    fn end_or_go_on(&mut self, id: ReconciliationId, desk: &mut Desk<'_>) {
        let Some(run) = self.bank.runs.get(&id) else { return };
        if run.left != [0; 5] {
            self.duty = Some(Duty::Items(id));
            return;
        }
        let so_far = self.bank.movements.range(..=run.through).rev();
        for (position, moved) in so_far.take_while(|(_, moved)| moved.day >= run.from) {
            let is_there =
                run.cited.contains(position) || !run.speaks_of(moved) || !moved.stood_at(run.through);
            desk.check.holds(is_there, "items", format!("one of event {position}"), "none");
        }
    }

    /// Keeps what an event has moved at the bank, or that it takes such a movement back.
    pub(super) fn note_movement(&mut self, event: &Event) {
        if event.kind == "journal.corrected" {
            let reversed = event.data().id("reverses").ok().and_then(|id| self.correctable.get(&id));
            let moved = reversed.and_then(|reversed| self.bank.movements.get_mut(&reversed.position));
            moved.into_iter().for_each(|moved| moved.corrected_at = Some(event.position));
            return;
        }
        let Some((kind, direction)) = MOVEMENTS.into_iter().find(|(kind, _)| *kind == event.kind) else {
            return;
        };
        // What can't be read was told as the event's finding.
        let Ok(money) = event.data().money("amount") else { return };
        let reference = match event.stream {
            StreamId::Payout(id) => {
                let payout = self.payouts.get(&id);
                payout.and_then(|payout| payout.reference.as_deref()).map_or(Value::Null, Value::from)
            }
            _ => event.data().0.get("reference").cloned().unwrap_or_default(),
        };
        let reference = canonical::text(&reference).unwrap_or_default().into();
        let (id, stream, day) = (event.id, event.stream, event.at.day());
        let movement = Movement { id, kind, direction, stream, day, money, reference, corrected_at: None };
        self.bank.movements.insert(event.position, movement);
    }
}

impl Run {
    /// Tells whether the statement should have a movement.
    fn speaks_of(&self, moved: &Movement) -> bool {
        (self.from..=self.to).contains(&moved.day) && self.currencies.contains(&moved.money.currency)
    }
}

/// A line, as far as it is compared.
struct Line {
    number: u64,
    day: NaiveDate,
    direction: &'static str,
    money: Money,
}

impl Line {
    fn is_like(&self, moved: &Movement) -> bool {
        self.direction == moved.direction
            && self.money.currency == moved.money.currency
            && (self.day - moved.day).num_days().unsigned_abs() <= DAYS_APART
    }
}

fn read_line(
    item: Fields<'_>,
    event: &Event,
    said: &mut Said,
    desk: &mut Desk<'_>,
) -> Result<Line, Malformed> {
    let names: &[&str] = &["number", "date", "direction", "amount", "reference"];
    let line = item.object("line")?.exactly("line", &[names])?;
    let number = line.number("number")?;
    let day = line.day("date")?;
    let direction = line.text("direction")?;
    let direction = ["in", "out"].into_iter().find(|known| *known == direction);
    let direction = direction.ok_or(Malformed::new("direction", "in or out"))?;
    let money = line.money("amount")?;
    desk.check.holds(money.minor > 0, "amount of a line", "above zero", money);
    if let Some(sealed) = line.sealed("reference")? {
        let field = format!("reference/{number}");
        said.line =
            desk.vault.open_box(&sealed, (event.id, &field), Form::Text, event.stream, &mut desk.check);
    }
    Ok(Line { number, day, direction, money })
}

/// Reads a movement, and compares it with the log's; returns its position, and what the log says.
fn read_movement(
    item: Fields<'_>,
    movements: &BTreeMap<u64, Movement>,
    run: &Run,
    said: &mut Said,
    desk: &mut Desk<'_>,
) -> Result<(u64, Movement), Malformed> {
    let names: [&[&str]; 2] =
        [&["event_id", "position", "type", "stream_id"], &["date", "amount", "reference"]];
    let cited = item.object("movement")?.exactly("movement", &names)?;
    let position = cited.number("position")?;
    let moved =
        movements.get(&position).filter(|moved| position <= run.through && moved.stood_at(run.through));
    let moved = moved.ok_or(Malformed::new("movement", "one that stood at the run's position"))?.clone();
    let check = &mut desk.check;
    check.same("event_id of a movement", moved.id, cited.id("event_id")?);
    check.same("type of a movement", moved.kind, cited.text("type")?);
    check.same("stream_id of a movement", moved.stream, cited.id("stream_id")?);
    check.same("date of a movement", moved.day, cited.day("date")?);
    check.same("amount of a movement", moved.money.to_string(), cited.money("amount")?.to_string());
    let reference = cited.0.get("reference").unwrap_or(&Value::Null);
    let is_same = canonical::text(reference).is_ok_and(|reference| *reference == *moved.reference);
    check.holds(is_same, "reference of a movement", "that of its event", "another, not shown");
    said.movement = match reference {
        Value::String(text) => Some(text.as_str().into()),
        Value::Object(_) => {
            let sealed = cited.sealed("reference")?.ok_or(Malformed::new("reference", "a box"))?;
            desk.vault.open_box(&sealed, (moved.id, "reference"), Form::Text, moved.stream, check)
        }
        _ => None,
    };
    Ok((position, moved))
}

/// Reads the currencies of a statement, each once and in their order.
fn currencies(data: Fields<'_>) -> Result<BTreeSet<Currency>, Malformed> {
    let malformed = Malformed::new("currencies", "currencies in their order");
    let list = data.list("currencies")?;
    let codes: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    let codes = codes.filter(|codes| codes.windows(2).all(|pair| pair[0] < pair[1])).ok_or(malformed)?;
    codes.into_iter().map(|code| code.to_owned().try_into().map_err(|_| malformed)).collect()
}

fn run_id(event: &Event) -> Result<ReconciliationId, Malformed> {
    match event.stream {
        StreamId::Reconciliation(id) => Ok(id),
        _ => Err(Malformed::new("stream_id", "a reconciliation's")),
    }
}
