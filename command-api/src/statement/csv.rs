//! Statements as CSV (RFC 4180): a header that names `date`, `reference`, `amount` and `currency`, in any
//! order, and a line for each booking. What came in is positive, what went out is negative. The statement
//! speaks of the days from its first line's to its last.

use std::collections::BTreeSet;

use api_kit::fields::FieldCode;
use csv::{ReaderBuilder, StringRecord, Trim};
use ledger_core::reconciliation::statement::{Direction, Line, Statement};
use ledger_core::{Currency, Money};

use super::{Errors, Wrong, day, minor_units, reference};

/// The columns, all of which must be there.
const COLUMNS: [&str; 4] = ["date", "reference", "amount", "currency"];

/// How many columns of a header are looked at: of five, one is wrong.
const HEADER_MAX: usize = 20;

pub(super) fn read(text: &str, errors: &mut Errors) -> Option<Statement> {
    let mut reader =
        ReaderBuilder::new().flexible(true).has_headers(false).trim(Trim::All).from_reader(text.as_bytes());
    let mut records = reader.records();
    let header = match records.next() {
        Some(Ok(header)) => header,
        Some(Err(_)) | None => StringRecord::new(),
    };
    let places = columns(&header, errors)?;
    let (mut lines, mut place) = (Vec::new(), Place::begin(text));
    for record in records {
        // The text is UTF-8, and records may have any length: nothing else can be wrong with one.
        let record = record.ok()?;
        if !errors.has_room(&lines) {
            break;
        }
        let number = place.line_of(&record);
        if record.len() != header.len() {
            let detail = "This line has another number of columns than the header.";
            errors.note_explained(format!("/lines/{number}"), FieldCode::InvalidFormat, detail);
            continue;
        }
        lines.extend(line(number, places.map(|place| &record[place]), errors));
    }
    let Some((from, to)) =
        lines.iter().map(|line| line.date).min().zip(lines.iter().map(|line| line.date).max())
    else {
        if errors.0.is_empty() {
            errors.note_explained(
                "/lines".to_owned(),
                FieldCode::Required,
                "There is no line behind the header.",
            );
        }
        return None;
    };
    let currencies: BTreeSet<Currency> = lines.iter().map(|line| line.amount.currency).collect();
    Some(Statement { from, to, currencies, lines })
}

/// How far the lines of a file were counted.
struct Place<'a> {
    rest: std::iter::Enumerate<std::str::Bytes<'a>>,
    line: u64,
}

impl<'a> Place<'a> {
    fn begin(text: &'a str) -> Self {
        Self { rest: text.bytes().enumerate(), line: 1 }
    }

    /// Counts on to a record; returns the line in which it begins, as editors count. The reader places it at
    /// the end of the record before it, and what ends that one, and empty lines, lie in between.
    fn line_of(&mut self, record: &StringRecord) -> u64 {
        let end_before = record.position().map_or(0, csv::Position::byte);
        for (at, byte) in self.rest.by_ref() {
            if byte == b'\n' {
                self.line += 1;
            } else if at as u64 >= end_before && byte != b'\r' {
                break;
            }
        }
        self.line
    }
}

/// Finds each column's place in the header.
fn columns(header: &StringRecord, errors: &mut Errors) -> Option<[usize; 4]> {
    let before = errors.0.len();
    for (place, name) in header.iter().enumerate().take(HEADER_MAX) {
        let pointer = || format!("/header/{}", place + 1);
        if !COLUMNS.contains(&name) {
            let detail =
                "There is no such column; the header is date,reference,amount,currency in any order.";
            errors.note_explained(pointer(), FieldCode::Unknown, detail);
        } else if header.iter().take(place).any(|other| other == name) {
            errors.note_explained(pointer(), FieldCode::InvalidFormat, "This column is there twice.");
        }
    }
    let places = COLUMNS.map(|name| header.iter().position(|other| other == name));
    for (name, _) in COLUMNS.iter().zip(places).filter(|(_, place)| place.is_none()) {
        let detail = "This column is missing; the first line is date,reference,amount,currency in any order.";
        errors.note_explained(format!("/header/{name}"), FieldCode::Required, detail);
    }
    let [date, reference, amount, currency] = places;
    let places = [date?, reference?, amount?, currency?];
    (errors.0.len() == before).then_some(places)
}

/// Reads a line; all that is wrong with it is noted.
fn line(number: u64, values: [&str; 4], errors: &mut Errors) -> Option<Line> {
    let place = |column| move || format!("/lines/{number}/{column}");
    let [date, said, amount, code] = values;
    let date = errors.check(day(date), place("date"));
    let said = errors.check(reference(said), place("reference"));
    let currency: Result<Currency, Wrong> =
        code.parse().map_err(|_| (FieldCode::UnsupportedCurrency, FieldCode::UnsupportedCurrency.detail()));
    let currency = errors.check(currency, place("currency"))?;
    let (direction, amount) = errors.check(signed(amount, currency), place("amount"))?;
    let amount = Money::new(amount, currency);
    Some(Line { number, date: date?, direction, amount, reference: said?, is_banks_own: false })
}

/// Reads an amount with its sign.
fn signed(text: &str, currency: Currency) -> Result<(Direction, i64), Wrong> {
    let (direction, digits) = match text.strip_prefix('-') {
        Some(digits) => (Direction::Out, digits),
        None => (Direction::In, text.strip_prefix('+').unwrap_or(text)),
    };
    match minor_units::read(digits, currency)? {
        0 => Err((FieldCode::OutOfRange, "This moves no money; leave the line out.")),
        amount => Ok((direction, amount)),
    }
}

#[cfg(test)]
mod tests {
    use ledger_core::reconciliation::statement::{LINES_MAX, StatementFormat};
    use serde_json::Value;

    use crate::statement::{ERRORS_MAX, read};
    use ledger_core::reconciliation::statement::{Direction, Line, Statement};

    fn statement(text: &str) -> Statement {
        read(StatementFormat::Csv, text.as_bytes()).unwrap()
    }

    fn shown(line: &Line) -> (u64, String, Direction, String, Option<&str>) {
        let amount = format!("{:?}", line.amount);
        (line.number, line.date.to_string(), line.direction, amount, line.reference.as_deref())
    }

    /// Each error's pointer and code.
    fn errors(file: impl AsRef<[u8]>) -> Vec<(String, String)> {
        let error = read(StatementFormat::Csv, file.as_ref()).unwrap_err();
        let body = error.body("req_1");
        let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
        let errors = body["errors"].as_array().unwrap();
        errors.iter().map(|error| (text(error, "pointer"), text(error, "code"))).collect()
    }

    #[track_caller]
    fn check<const N: usize>(file: impl AsRef<[u8]>, expected: [(&str, &str); N]) {
        assert_eq!(errors(file), expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
    }

    #[test]
    fn lines_are_read_whatever_the_order_of_columns() {
        let read = statement(
            "\u{feff}amount,currency,date,reference\r\n-12.34,EUR,2026-11-24,\"rent, November\"\r\n\r\n\
             +500,JPY,2026-11-20,\r\n0.5,KWD,2026-11-30,\" a \"\"b\"\" \"",
        );
        let lines: Vec<_> = read.lines.iter().map(shown).collect();
        assert_eq!(
            lines,
            [
                (2, "2026-11-24".to_owned(), Direction::Out, "12.34 EUR".to_owned(), Some("rent, November")),
                (4, "2026-11-20".to_owned(), Direction::In, "500 JPY".to_owned(), None),
                (5, "2026-11-30".to_owned(), Direction::In, "0.500 KWD".to_owned(), Some("a \"b\"")),
            ]
        );
        assert_eq!((read.from.to_string(), read.to.to_string()), ("2026-11-20".into(), "2026-11-30".into()));
        let currencies: Vec<_> = read.currencies.iter().map(ToString::to_string).collect();
        assert_eq!(currencies, ["EUR", "JPY", "KWD"]);
    }

    #[test]
    fn a_wrong_header_is_told_before_any_line() {
        let missing = ["date", "reference", "amount", "currency"].map(|name| format!("/header/{name}"));
        assert_eq!(errors(""), missing.clone().map(|pointer| (pointer, "required".to_owned())));
        check(
            "date;reference;amount;currency\n",
            [
                ("/header/1", "unknown"),
                ("/header/date", "required"),
                ("/header/reference", "required"),
                ("/header/amount", "required"),
                ("/header/currency", "required"),
            ],
        );
        check(
            "date,reference,amount,currency,amount,Note\nx",
            [("/header/5", "invalid_format"), ("/header/6", "unknown")],
        );
        check("date,reference,amount,currency\n", [("/lines", "required")]);
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_line() {
        check(
            "date,reference,amount,currency\n\
             24.11.2026,a,1.00,EUR\n\
             2026-11-24,a,1.00,XXX\n\
             2026-11-24,a,\"1,00\",EUR\n\
             2026-11-24,a,0,EUR\n\
             2026-11-24,a,1.00\n\
             2026-02-30,4242 4242 4242 4242,99999999999999999999,EUR\n\
             2026-11-24,a\0b,1,EUR\n\
             2026-11-24,a,1.001,EUR\n",
            [
                ("/lines/2/date", "invalid_format"),
                ("/lines/3/currency", "unsupported_currency"),
                ("/lines/4/amount", "invalid_format"),
                ("/lines/5/amount", "out_of_range"),
                ("/lines/6", "invalid_format"),
                ("/lines/7/date", "invalid_format"),
                ("/lines/7/reference", "sensitive_data"),
                ("/lines/7/amount", "out_of_range"),
                ("/lines/8/reference", "invalid_format"),
                ("/lines/9/amount", "invalid_format"),
            ],
        );
        let long = format!("date,reference,amount,currency\n2026-11-24,{},1,EUR", "x".repeat(256));
        check(long, [("/lines/2/reference", "too_long")]);
        check(b"date,reference,amount,currency\n2026-11-24,caf\xe9,1,EUR", [("", "invalid_format")]);
        // A quote that never ends swallows the rest.
        check(
            "date,reference,amount,currency\n2026-11-24,\"a,1,EUR\n2026-11-24,b,1,EUR",
            [("/lines/2", "invalid_format")],
        );
    }

    #[test]
    fn a_file_has_so_many_lines_and_an_answer_so_many_errors() {
        let file =
            |lines: usize, line: &str| format!("date,reference,amount,currency\n{}", line.repeat(lines));
        let good = "2026-11-24,a,1,EUR\n";
        assert_eq!(statement(&file(LINES_MAX, good)).lines.len(), LINES_MAX);
        check(file(LINES_MAX + 1, good), [("", "too_long")]);
        assert_eq!(errors(file(ERRORS_MAX + 1, "x,a,1,EUR\n")).len(), ERRORS_MAX);
    }
}
