//! Reconciliations: a run says of the log what the log says, and leaves nothing out.

use ledger_core::personal::Reference;
use ledger_core::reconciliation::event_of_item;
use ledger_core::reconciliation::item::{Item, ItemLine, reference_field};
use ledger_core::reconciliation::matching::reconcile;
use ledger_core::reconciliation::movement::{Expected, movements_of};
use ledger_core::reconciliation::statement::{Direction, FileHash, Line, Statement, StatementFormat};

use super::*;

/// What all persons say.
const WORDS: &str = "words of a person";

impl Life {
    /// Compares a statement with what has happened so far.
    fn compare(&self, id: u128, lines: Vec<Line>) -> Command {
        let [from, to] = ["2026-11-24".parse().unwrap(), self.now().day()];
        let statement = Statement { from, to, currencies: [currency("EUR")].into(), lines };
        let envelope =
            |event: &Value| (Envelope::parse(&event.to_string()).unwrap(), Some("week 48".to_owned()));
        let corrections = self.events.iter().filter(|event| event["type"] == "journal.corrected");
        let corrected: Vec<_> = corrections.map(|event| &event["data"]["reverses"]).collect();
        let stands = |event: &&Value| !corrected.contains(&&event["event_id"]);
        let standing = movements_of(self.events.iter().filter(stands).map(envelope));
        let expected = standing.into_iter().map(|movement| {
            let opened = match &movement.reference {
                // Only clients' words are told apart from what the bank says.
                Some(Reference::Person(sealed)) if matches!(sealed.subject, StreamId::Client(_)) => {
                    Some(WORDS.to_owned())
                }
                Some(Reference::Person(_)) => Some("of a merchant".to_owned()),
                Some(Reference::Clear(text)) => Some(text.clone()),
                None => None,
            };
            Expected::of(movement, opened)
        });
        let expected: Vec<_> = expected.collect();
        let id = ReconciliationId::new(uuid(id));
        let line = |index: usize, line: &Line| {
            let (event, field) = (event_of_item(self.event_id(), index), reference_field(line.number));
            let seal = |said: &String| {
                let subject = StreamId::Reconciliation(id);
                Sealed::seal(&subject_key(), subject, event, &field, [8; 12], &json!(said))
            };
            ItemLine {
                number: line.number,
                date: line.date,
                direction: line.direction,
                amount: line.amount,
                reference: line.reference.as_ref().map(seal),
            }
        };
        let items = reconcile(&statement, &expected).into_iter().enumerate().map(|(index, pairing)| Item {
            result: pairing.result,
            line: pairing.line.map(|of| line(index, &statement.lines[of])),
            movement: pairing.movement.map(|of| expected[of].movement.clone()),
        });
        Command::RunReconciliation(RunReconciliation {
            id,
            format: StatementFormat::Camt053,
            file_hash: FileHash::of(&self.commands.to_be_bytes()),
            from: statement.from,
            to: statement.to,
            currencies: statement.currencies.clone(),
            through_position: self.events.len() as u64,
            items: items.collect(),
        })
    }

    fn line(&self, number: u64, on: &str, amount: i64, said: Option<&str>) -> Line {
        let direction = if amount < 0 { Direction::Out } else { Direction::In };
        Line {
            number,
            date: on.parse().unwrap(),
            direction,
            amount: money(amount.abs(), "EUR"),
            reference: said.map(str::to_owned),
            is_banks_own: false,
        }
    }

    /// Compares the statement of a bank that has something of everything.
    pub(super) fn reconcile(&mut self) {
        let lines = vec![
            self.line(1, "2026-11-24", 50_000, Some(WORDS)),
            self.line(2, "2026-11-24", 50_000, Some(WORDS)),
            self.line(3, "2026-11-26", -2_500, Some("week 48")),
            self.line(4, "2026-11-25", 7, Some("who knows")),
            self.line(5, "2026-11-27", -3_000, None),
        ];
        let command = self.compare(1, lines);
        self.run(Operator, 2, command);
    }

    /// Compares a statement of a few lines that may be anything.
    pub(super) fn try_to_reconcile(&mut self, mut below: impl FnMut(u64) -> u64) {
        let lines = (0..below(6)).map(|number| {
            let said = [None, Some(WORDS), Some("week 48")][below(3) as usize];
            let amount = 100 * (1 + below(50) as i64);
            Line {
                date: self.now().day().minus(below(8) as u32),
                ..self.line(number + 1, "2026-11-24", if below(2) == 0 { amount } else { -amount }, said)
            }
        });
        let lines = lines.collect();
        let command = self.compare(self.commands * 0x10, lines);
        self.attempt(Operator, command);
    }
}

/// Changes the items of the run.
#[track_caller]
fn forge_items(what: &str, edit: impl FnOnce(&mut Vec<Value>)) {
    forge("reconciliation.items", 0, what, |event| edit(event["data"]["items"].as_array_mut().unwrap()));
}

#[test]
fn a_run_has_one_of_each() {
    let life = life();
    let run = &life.events[position(&life.events, "reconciliation.run", 0) - 1]["data"];
    let counts = json!({
        "matched": 2, "missing_here": 1, "missing_there": 4, "amount_differs": 1, "duplicate": 1,
    });
    assert_eq!((&run["counts"], &run["lines"]), (&counts, &json!(5)));
    let items = &life.events[position(&life.events, "reconciliation.items", 0) - 1]["data"]["items"];
    let results: Vec<_> =
        items.as_array().unwrap().iter().map(|item| item["result"].as_str().unwrap()).collect();
    assert_eq!(results[..2], ["missing_here", "missing_there"]);
    assert_eq!(results[5..], ["amount_differs", "duplicate", "matched", "matched"]);
}

#[test]
fn a_run_counts_its_items_and_its_file_once() {
    let run = "reconciliation.run";
    forge_data(run, 0, "file_hash", "file_hash", json!("x".repeat(64)));
    forge_data(run, 0, "format", "format", json!("mt940"));
    forge_data(run, 0, "currencies", "currencies", json!(["USD", "EUR"]));
    forge_data(run, 0, "to", "to", json!("2026-11-23"));
    forge_data(run, 0, "lines", "lines", json!(6));
    let position_of_run = position(&life().events, run, 0);
    forge_data(run, 0, "through_position", "through_position", json!(position_of_run));
    forge(run, 0, "lines", |event| event["data"]["counts"]["matched"] = json!(u64::MAX >> 11));
    forge(run, 0, "postings", |event| {
        event["postings"] = json!([
            { "account": "house:bank", "debit": { "amount": 1, "currency": "EUR" } },
            { "account": "house:fees", "credit": { "amount": 1, "currency": "EUR" } },
        ]);
    });
    // The same file again, in another run.
    let mut again = life();
    let mut command = again.compare(2, Vec::new());
    let Command::RunReconciliation(run) = &mut command else { panic!() };
    run.items.clear();
    (run.from, run.to) = ("2026-01-01".parse().unwrap(), "2026-01-01".parse().unwrap());
    again.run(Operator, 1, command);
    assert!(audit_life(&again).holds());
    let (first, second) = (position(&again.events, "reconciliation.run", 0), again.events.len());
    again.events[second - 1]["data"]["file_hash"] = again.events[first - 1]["data"]["file_hash"].clone();
    assert_first(&audit_life(&again), second, "file_hash");
}

#[test]
fn items_follow_their_run_and_are_as_many_as_it_counts() {
    let mut life = life();
    let items = position(&life.events, "reconciliation.items", 0);
    assert_eq!(items, life.events.len(), "they end the life");
    life.events.pop();
    assert_first(&audit_life(&life), items - 1, "what follows");
    forge_items("what follows", |items| drop(items.pop()));
    forge_items("items", |items| items.push(items[8].clone()));
    forge_items("items", Vec::clear);
    forge_items("items", |items| items.swap(0, 8));
    // Counted as missing, but another's.
    forge_items("items", |items| items[0]["result"] = json!("duplicate"));
}

#[test]
fn a_line_and_a_movement_are_in_one_item_each() {
    forge_items("items", |items| items[8]["line"]["number"] = items[7]["line"]["number"].clone());
    forge_items("items", |items| items[1]["movement"] = items[2]["movement"].clone());
    forge_items("items", |items| items[7]["movement"] = Value::Null);
    forge_items("items", |items| items[0]["movement"] = items[1]["movement"].clone());
    forge_items("items", |items| items[7]["line"]["amount"]["amount"] = json!(1));
    forge_items("items", |items| items[7]["line"]["direction"] = json!("out"));
    forge_items("items", |items| {
        items[5]["line"]["amount"]["amount"] = items[5]["movement"]["amount"]["amount"].clone();
    });
    forge_items("amount of a line", |items| items[0]["line"]["amount"]["amount"] = json!(0));
    forge_items("direction", |items| items[0]["line"]["direction"] = json!("up"));
    forge_items("result", |items| items[0]["result"] = json!("fine"));
    forge_items("line", |items| items[0]["line"]["colour"] = json!("red"));
}

#[test]
fn a_movement_is_what_its_event_says() {
    let movement = |what: &str, member: &'static str, value: Value| {
        forge_items(what, |items| items[7]["movement"][member] = value);
    };
    movement("event_id of a movement", "event_id", json!(EventId::new(uuid(1))));
    movement("type of a movement", "type", json!("client.withdrawn"));
    movement("stream_id of a movement", "stream_id", json!(client(2)));
    movement("date of a movement", "date", json!("2026-11-25"));
    movement("reference of a movement", "reference", Value::Null);
    movement("reference of a movement", "reference", json!("in clear"));
    movement("movement", "position", json!(1));
    movement("movement", "position", json!(u64::MAX >> 11));
}

#[test]
fn what_the_bank_says_is_sealed_for_its_place() {
    let swap = |items: &mut Vec<Value>| {
        let other = items[7]["line"]["reference"].clone();
        items[0]["line"]["reference"] = other;
    };
    forge_items("box of reference/4", swap);
    forge_items("subject of reference/4", |items| {
        items[0]["line"]["reference"]["subject"] = json!(client(1));
    });
}

#[test]
fn a_movement_of_the_statements_days_is_not_left_out() {
    let mut life = life();
    let at = position(&life.events, "reconciliation.run", 0);
    let counts = &mut life.events[at - 1]["data"]["counts"];
    counts["missing_there"] = json!(counts["missing_there"].as_u64().unwrap() - 1);
    life.events[at]["data"]["items"].as_array_mut().unwrap().remove(1);
    assert_first(&audit_life(&life), at + 1, "items");
}

#[test]
fn what_was_corrected_is_no_movement_any_more() {
    let mut life = Life::default();
    life.open();
    life.second_operator();
    life.deposit(2, money(700, "EUR"));
    let compare = |life: &Life, id| life.compare(id, vec![life.line(1, "2026-11-24", 7, None)]);
    let early = compare(&life, 1);
    life.correct(1, "client.deposited");
    let Command::RunReconciliation(mut stale) = early.clone() else { panic!() };
    stale.through_position = life.events.len() as u64;
    // The log was read before the correction, or behind it.
    life.run(Operator, 2, early);
    let late = compare(&life, 2);
    life.run(Operator, 2, late);
    let report = audit_life(&life);
    assert!(report.holds(), "{report}");

    let (id, file_hash) = (ReconciliationId::new(uuid(3)), FileHash::of(b"another file"));
    let stale = Command::RunReconciliation(RunReconciliation { id, file_hash, ..stale });
    life.run(Operator, 2, stale);
    assert_first(&audit_life(&life), life.events.len(), "movement");
}

#[test]
fn runs_and_items_are_rows() {
    let mut life = Life::default();
    life.open();
    let lines =
        vec![life.line(1, "2026-11-24", 50_000, Some("gift")), life.line(2, "2026-11-24", 7, Some("x"))];
    let command = life.compare(1, lines);
    life.run(Operator, 2, command);
    let events = &life.events;
    let id = ReconciliationId::new(uuid(1)).to_string();
    let [run, items] = [events.len() - 1, events.len()].map(|at| at.to_string());
    let deposit = position(events, "client.deposited", 0);
    let (through, moved) = ((events.len() - 2).to_string(), deposit.to_string());
    let event_id = events[deposit - 1]["event_id"].as_str().unwrap();
    let (at, of) = (moment(events, "reconciliation.run", 0), client(1).to_string());
    let file = events[events.len() - 2]["data"]["file_hash"].as_str().unwrap();
    let day = "2026-11-24";
    let row = vec![
        &*id,
        "camt.053",
        file,
        day,
        day,
        r#"["EUR"]"#,
        "2",
        &through,
        "2",
        "1",
        "0",
        "0",
        "0",
        &at,
        &at,
        &items,
    ];
    let none = ["null"; 8];
    let of_line = |ordinal, number, amount, said| {
        let line = [&*id, &*items, ordinal, "missing_here", number, day, "in", amount, "EUR", said];
        line.into_iter().chain(none).collect::<Vec<_>>()
    };
    let movement = [event_id, &moved, "client.deposited", &of, day, "50000", "EUR", WORDS];
    let missing = [&*id, &*items, "2", "missing_there"].into_iter().chain(["null"; 6]).chain(movement);
    let of_items = [of_line("0", "1", "50000", "gift"), of_line("1", "2", "7", "x"), missing.collect()];
    let wrong = |table, rows: &[Vec<&str>]| wrong_read_model(&life, "reconciliation", table, rows);
    assert_eq!(wrong("reconciliations", std::slice::from_ref(&row)), ["reconciliation_items"]);
    assert_eq!(wrong("reconciliation_items", &of_items), ["reconciliations"]);
    let all = ["reconciliations", "reconciliation_items"];
    for column in 0..row.len() {
        let mut spoilt = row.clone();
        spoilt[column] = if spoilt[column] == run { &items } else { &run };
        assert_eq!(wrong("reconciliations", &[spoilt]), all, "{column}");
    }
    for column in 0..of_items[0].len() {
        let mut spoilt = of_items.clone();
        let at = if column < 10 { 0 } else { 2 };
        spoilt[at][column] = "999";
        assert_eq!(wrong("reconciliation_items", &spoilt), all, "{column}");
    }
}
