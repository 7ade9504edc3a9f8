//! Statements as ISO 20022 camt.053 (BankToCustomerStatement), of any version: elements are found by their
//! names, whatever the namespace says.
//!
//! Only what is booked counts (`Sts` is `BOOK`), and only what moves money. An entry that sums up several
//! transactions is as many lines, if each has an amount of its own. A statement speaks of the days of its
//! `FrToDt`, else from its first line's to its last; a file with several statements, of all of theirs.

use std::collections::BTreeSet;

use api_kit::fields::FieldCode;
use ledger_core::reconciliation::statement::{Direction, Line, Statement};
use ledger_core::time::Day;
use ledger_core::{Currency, Money};

use super::xml::{self, Element};
use super::{Errors, REFERENCE_MAX, Wrong, day, minor_units, reference};

/// What payers write who have no reference (ISO 20022).
const NOT_PROVIDED: &str = "NOTPROVIDED";

pub(super) fn read(text: &str, errors: &mut Errors) -> Option<Statement> {
    let file = match xml::parse(text) {
        Ok(file) => file,
        Err(xml::Malformed { line, detail }) => {
            errors.note_explained(format!("/lines/{line}"), FieldCode::InvalidFormat, detail);
            return None;
        }
    };
    let Some(message) = file.find(&["Document", "BkToCstmrStmt"]).filter(|of| of.find(&["Stmt"]).is_some())
    else {
        let detail = "This is no camt.053; it has Document, in it BkToCstmrStmt, and in that Stmt.";
        errors.note_explained("/Document/BkToCstmrStmt/Stmt".to_owned(), FieldCode::Required, detail);
        return None;
    };
    let mut found = Found::default();
    for (statement, number) in message.all("Stmt").zip(1_usize..) {
        found.take_statement(statement, number, errors)?;
    }
    found.finish(errors)
}

/// What was read of a file so far.
#[derive(Default)]
struct Found {
    lines: Vec<Line>,
    /// The days that the statements name, or that their lines are of.
    days: Vec<Day>,
    currencies: BTreeSet<Currency>,
    /// How many entries there were, booked or not.
    entries: usize,
}

impl Found {
    /// Takes a statement; `None` once there is no room for more lines.
    fn take_statement(&mut self, statement: &Element, number: usize, errors: &mut Errors) -> Option<()> {
        let named = period(statement, number, errors);
        let account = statement.text_at(&["Acct", "Ccy"]);
        self.currencies.extend(account.and_then(|code| code.parse::<Currency>().ok()));
        let before = self.lines.len();
        for entry in statement.all("Ntry") {
            self.entries += 1;
            let place = Place { entry: self.entries };
            if let Some(booked) = Booked::of(entry, place, errors) {
                self.currencies.insert(booked.amount.currency);
                self.take_entry(&booked, errors)?;
            }
        }
        match named {
            Some((from, to)) => self.days.extend([from, to]),
            None => self.days.extend(self.lines[before..].iter().map(|line| line.date)),
        }
        Some(())
    }

    /// Takes the lines of an entry: its transactions, if they make up the whole of it, else itself.
    fn take_entry(&mut self, booked: &Booked<'_>, errors: &mut Errors) -> Option<()> {
        let transactions: Vec<&Element> =
            booked.entry.all("NtryDtls").flat_map(|details| details.all("TxDtls")).collect();
        match transactions.as_slice() {
            [] => self.push(booked, None, errors)?,
            [only] => self.push(booked, Some(only), errors)?,
            several => {
                let parts: Option<Vec<_>> = several.iter().map(|of| booked.part(of, errors)).collect();
                let Some(parts) = parts.filter(|parts| booked.is_made_up_of(parts)) else {
                    return self.push(booked, None, errors);
                };
                for (part, transaction) in parts.iter().zip(several) {
                    self.push(part, Some(transaction), errors)?;
                }
            }
        }
        Some(())
    }

    /// Adds a line, unless it moves nothing.
    fn push(
        &mut self,
        booked: &Booked<'_>,
        transaction: Option<&Element>,
        errors: &mut Errors,
    ) -> Option<()> {
        if booked.amount.amount == 0 {
            return Some(());
        }
        if !errors.has_room(&self.lines) {
            return None;
        }
        let (said, is_banks_own) = said(booked.entry, transaction);
        let reference = errors.check(reference(&said), || booked.place.of("reference"));
        self.lines.push(Line {
            number: self.lines.len() as u64 + 1,
            date: booked.date,
            direction: booked.direction,
            amount: booked.amount,
            reference: reference.flatten(),
            is_banks_own,
        });
        Some(())
    }

    fn finish(self, errors: &mut Errors) -> Option<Statement> {
        let Self { lines, days, currencies, .. } = self;
        let Some((from, to)) = days.iter().min().copied().zip(days.iter().max().copied()) else {
            let detail = "The statement has no FrToDt and no booked entry: it speaks of no day.";
            errors.note_explained("/statements/1/FrToDt".to_owned(), FieldCode::Required, detail);
            return None;
        };
        Some(Statement { from, to, currencies, lines })
    }
}

/// Where in a file an entry is.
#[derive(Clone, Copy)]
struct Place {
    entry: usize,
}

impl Place {
    fn of(self, name: &str) -> String {
        format!("/entries/{}/{name}", self.entry)
    }

    /// Reads an amount with its currency; what is wrong is noted.
    fn money(self, amount: &Element, errors: &mut Errors) -> Option<Money> {
        let unsupported = (FieldCode::UnsupportedCurrency, FieldCode::UnsupportedCurrency.detail());
        let currency = amount.currency.as_deref().unwrap_or_default().parse::<Currency>();
        let currency = errors.check(currency.map_err(|_| unsupported), || self.of("Amt/Ccy"))?;
        let minor_units = errors.check(minor_units::read(amount.text(), currency), || self.of("Amt"))?;
        Some(Money::new(minor_units, currency))
    }

    fn required<T>(self, found: Option<T>, name: &str, errors: &mut Errors) -> Option<T> {
        if found.is_none() {
            errors.note(self.of(name), FieldCode::Required);
        }
        found
    }
}

/// An entry that is booked, or a transaction in it.
#[derive(Clone, Copy)]
struct Booked<'a> {
    entry: &'a Element,
    place: Place,
    date: Day,
    direction: Direction,
    amount: Money,
}

impl<'a> Booked<'a> {
    /// Reads an entry; `None` if it is not booked, or if something is wrong with it, which is noted.
    fn of(entry: &'a Element, place: Place, errors: &mut Errors) -> Option<Self> {
        // Before version 8 the status is the text itself, from then on it has a code.
        let status = entry.text_at(&["Sts", "Cd"]).or_else(|| entry.text_at(&["Sts"]));
        if place.required(status, "Sts", errors)? != "BOOK" {
            return None;
        }
        let amount = place.required(entry.find(&["Amt"]), "Amt", errors);
        let amount = amount.and_then(|amount| place.money(amount, errors));
        let way = place.required(entry.text_at(&["CdtDbtInd"]), "CdtDbtInd", errors);
        let way = way.and_then(|way| {
            let wrong = (FieldCode::InvalidFormat, "This is neither CRDT nor DBIT.");
            errors.check(direction(way).ok_or(wrong), || place.of("CdtDbtInd"))
        });
        // Some banks name only the day from which the money counts.
        let date = place.required(date_at(entry, "BookgDt").or(date_at(entry, "ValDt")), "BookgDt", errors);
        let date = date.and_then(|date| errors.check(date, || place.of("BookgDt")));
        Some(Self { entry, place, date: date?, direction: way?, amount: amount? })
    }

    /// Reads one of several transactions in it; `None` if that has no amount of its own, or a wrong one.
    fn part(&self, transaction: &Element, errors: &mut Errors) -> Option<Self> {
        let amount = self.place.money(own_amount(transaction)?, errors)?;
        let direction = transaction.text_at(&["CdtDbtInd"]).and_then(direction);
        Some(Self { amount, direction: direction.unwrap_or(self.direction), ..*self })
    }

    /// Tells whether parts come to the same: banks also net charges, or name what was paid in other currencies.
    fn is_made_up_of(&self, parts: &[Self]) -> bool {
        let sum: i128 = parts.iter().map(Self::signed).sum();
        sum == self.signed() && parts.iter().all(|part| part.amount.currency == self.amount.currency)
    }

    fn signed(&self) -> i128 {
        match self.direction {
            Direction::In => self.amount.amount.into(),
            Direction::Out => -i128::from(self.amount.amount),
        }
    }
}

fn direction(indicator: &str) -> Option<Direction> {
    match indicator {
        "CRDT" => Some(Direction::In),
        "DBIT" => Some(Direction::Out),
        _ => None,
    }
}

/// Finds a day that is written as a day or as a moment.
fn date_at(element: &Element, name: &str) -> Option<Result<Day, Wrong>> {
    let text = element.text_at(&[name, "Dt"]).or_else(|| element.text_at(&[name, "DtTm"]))?;
    Some(written_day(text))
}

/// Reads the day that is written in a day or a moment; an offset changes nothing: it is the bank's own day.
fn written_day(text: &str) -> Result<Day, Wrong> {
    let (written, rest) = text.split_at_checked(10).unwrap_or((text, ""));
    let written = if rest.is_empty() || rest.starts_with(['T', 'Z', '+', '-']) { written } else { text };
    day(written)
}

/// Reads the days of a statement; `None` if it names none. A moment at midnight ends the day before.
fn period(statement: &Element, number: usize, errors: &mut Errors) -> Option<(Day, Day)> {
    let place = |name: &str| format!("/statements/{number}/FrToDt/{name}");
    let days = statement.find(&["FrToDt"])?;
    let begin = days.text_at(&["FrDtTm"]).or_else(|| days.text_at(&["FrDt"]))?;
    let end = days.text_at(&["ToDtTm"]).or_else(|| days.text_at(&["ToDt"]))?;
    let from = errors.check(written_day(begin), || place("FrDtTm"))?;
    let to = errors.check(written_day(end), || place("ToDtTm"))?;
    if to < from {
        errors.note_explained(place("ToDtTm"), FieldCode::OutOfRange, "This is before FrDtTm.");
        return None;
    }
    let is_midnight = end.get(10..19) == Some("T00:00:00");
    Some((from, if is_midnight && to > from { to.minus(1) } else { to }))
}

/// Finds the amount that a transaction of several has by itself.
fn own_amount(transaction: &Element) -> Option<&Element> {
    transaction.find(&["Amt"]).or_else(|| transaction.find(&["AmtDtls", "TxAmt", "Amt"]))
}

/// Finds what is said of a booking, and whether only the bank's own number is: what the payer gave the
/// payment to be known by, the creditor's reference, the text; else what the bank calls it.
fn said(entry: &Element, transaction: Option<&Element>) -> (String, bool) {
    let provided = |text: &&str| *text != NOT_PROVIDED;
    let payers = transaction.and_then(|of| {
        let named = of.text_at(&["Refs", "EndToEndId"]).filter(provided);
        let structured = || of.text_at(&["RmtInf", "Strd", "CdtrRefInf", "Ref"]).filter(provided);
        let text = || remittance(of).filter(|text| text != NOT_PROVIDED);
        named.or_else(structured).map(shortened).or_else(text)
    });
    if let Some(payers) = payers {
        return (payers, false);
    }
    let banks =
        ["NtryRef", "AcctSvcrRef"].into_iter().find_map(|name| entry.text_at(&[name]).filter(provided));
    let banks = banks.or_else(|| transaction?.text_at(&["Refs", "AcctSvcrRef"]).filter(provided));
    let is_banks_own = banks.is_some();
    (banks.map(shortened).unwrap_or_default(), is_banks_own)
}

/// Joins the lines of a remittance text.
fn remittance(transaction: &Element) -> Option<String> {
    let lines: Vec<&str> = transaction.find(&["RmtInf"])?.all("Ustrd").map(Element::text).collect();
    let text = shortened(&lines.join(" "));
    (!text.is_empty()).then_some(text)
}

/// Cuts a text where references end.
fn shortened(text: &str) -> String {
    text.trim().chars().take(REFERENCE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use api_kit::problem::ApiError;
    use ledger_core::reconciliation::statement::{LINES_MAX, StatementFormat};
    use serde_json::Value;

    use super::*;

    fn document(statements: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt>\
             <GrpHdr><MsgId>M-1</MsgId></GrpHdr>{statements}</BkToCstmrStmt></Document>"
        )
    }

    /// One statement of November with an account in EUR.
    fn november(entries: &str) -> String {
        document(&format!(
            "<Stmt><Id>S-1</Id>\
             <FrToDt><FrDtTm>2026-11-01T00:00:00</FrDtTm><ToDtTm>2026-11-30T23:59:59</ToDtTm></FrToDt>\
             <Acct><Ccy>EUR</Ccy></Acct>\
             <Bal><Amt Ccy=\"EUR\">99.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>{entries}</Stmt>"
        ))
    }

    /// A booked entry of 12.34 EUR that came in on 24 November, with more in it.
    fn entry(more: &str) -> String {
        entry_of("<Amt Ccy=\"EUR\">12.34</Amt>", more)
    }

    fn entry_of(amount: &str, more: &str) -> String {
        format!(
            "<Ntry>{amount}<CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>\
             <BookgDt><Dt>2026-11-24</Dt></BookgDt>{more}</Ntry>"
        )
    }

    fn details(transactions: &str) -> String {
        format!("<NtryDtls>{transactions}</NtryDtls>")
    }

    fn read(file: &str) -> Result<Statement, ApiError> {
        crate::statement::read(StatementFormat::Camt053, file.as_bytes())
    }

    /// The direction, the amount and the reference of each line; a reference that is the bank's in brackets.
    fn lines(entries: &str) -> Vec<String> {
        let statement = read(&november(entries)).unwrap();
        let numbers: Vec<_> = statement.lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let shown = |line: Line| {
            let said = line.reference.unwrap_or_default();
            let said = if line.is_banks_own { format!("[{said}]") } else { said };
            format!("{} {} {:?} {said}", line.date, line.direction.name(), line.amount).trim_end().to_owned()
        };
        statement.lines.into_iter().map(shown).collect()
    }

    /// Each error's pointer and code.
    fn errors(file: &str) -> Vec<String> {
        let body = read(file).unwrap_err().body("req_1");
        let told = |error: &Value| {
            format!("{} {}", error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap())
        };
        body["errors"].as_array().unwrap().iter().map(told).collect()
    }

    #[test]
    fn a_booking_is_a_line() {
        assert_eq!(lines(&entry("")), ["2026-11-24 in 12.34 EUR"]);
        let other = "<x:Ntry xmlns:x='y'><x:Amt Ccy='JPY'>500</x:Amt><x:CdtDbtInd>DBIT</x:CdtDbtInd><x:Sts>BOOK\
                     </x:Sts><x:BookgDt><x:DtTm>2026-11-25T23:30:00-05:00</x:DtTm></x:BookgDt></x:Ntry>";
        assert_eq!(lines(other), ["2026-11-25 out 500 JPY"]);
        let undated = entry("").replace("BookgDt", "ValDt");
        assert_eq!(lines(&undated), ["2026-11-24 in 12.34 EUR"]);
    }

    #[test]
    fn only_what_is_booked_and_moves_money_counts() {
        let status = |status: &str| entry("").replace("<Cd>BOOK</Cd>", status);
        let entries = [
            status("<Cd>PDNG</Cd>"),
            status("INFO"),
            status("<Cd>FUTR</Cd>"),
            entry_of("<Amt Ccy='EUR'>0.00</Amt>", ""),
            status("BOOK"),
        ];
        assert_eq!(lines(&entries.concat()), ["2026-11-24 in 12.34 EUR"]);
    }

    #[test]
    fn what_the_payer_says_comes_before_what_the_bank_says() {
        let banks = "<NtryRef>N-1</NtryRef><AcctSvcrRef>A-1</AcctSvcrRef>";
        let transaction =
            |inside: &str| entry(&format!("{banks}{}", details(&format!("<TxDtls>{inside}</TxDtls>"))));
        let named = "<Refs><EndToEndId>E-1</EndToEndId></Refs>";
        let unnamed = "<Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>";
        let structured =
            "<RmtInf><Strd><CdtrRefInf><Ref>RF18</Ref></CdtrRefInf></Strd><Ustrd>x</Ustrd></RmtInf>";
        let text = "<RmtInf><Ustrd>salary</Ustrd><Ustrd> November </Ustrd></RmtInf>";
        for (inside, said) in [
            (format!("{named}{text}"), "E-1"),
            (format!("{unnamed}{structured}"), "RF18"),
            (format!("{unnamed}{text}"), "salary November"),
            (unnamed.to_owned(), "[N-1]"),
        ] {
            assert_eq!(lines(&transaction(&inside)), [format!("2026-11-24 in 12.34 EUR {said}")]);
        }
        assert_eq!(lines(&entry("<AcctSvcrRef>A-1</AcctSvcrRef>")), ["2026-11-24 in 12.34 EUR [A-1]"]);
        let long = transaction(&format!("<RmtInf><Ustrd>{}</Ustrd></RmtInf>", "é".repeat(300)));
        assert_eq!(lines(&long), [format!("2026-11-24 in 12.34 EUR {}", "é".repeat(255))]);
    }

    #[test]
    fn an_entry_of_several_transactions_is_as_many_lines() {
        let part = |amount: &str, more: &str| format!("<TxDtls>{amount}{more}</TxDtls>");
        let batch = details(
            &[
                part("<Amt Ccy='EUR'>10.00</Amt>", "<Refs><EndToEndId>a</EndToEndId></Refs>"),
                part("<AmtDtls><TxAmt><Amt Ccy='EUR'>2.84</Amt></TxAmt></AmtDtls>", ""),
                part("<Amt Ccy='EUR'>0.50</Amt>", "<CdtDbtInd>DBIT</CdtDbtInd>"),
            ]
            .concat(),
        );
        assert_eq!(
            lines(&entry(&batch)),
            ["2026-11-24 in 10.00 EUR a", "2026-11-24 in 2.84 EUR", "2026-11-24 out 0.50 EUR"]
        );
        // Nothing is made up where one has no amount of its own.
        let unknown = details(&[part("<Amt Ccy='EUR'>10.00</Amt>", ""), part("", "")].concat());
        assert_eq!(lines(&entry(&unknown)), ["2026-11-24 in 12.34 EUR"]);
        // Nor where a charge was netted, or the parts are in other currencies.
        let netted = [part("<Amt Ccy='EUR'>10.00</Amt>", ""), part("<Amt Ccy='EUR'>2.00</Amt>", "")];
        let abroad = [part("<Amt Ccy='USD'>10.00</Amt>", ""), part("<Amt Ccy='USD'>2.34</Amt>", "")];
        for parts in [netted, abroad] {
            assert_eq!(lines(&entry(&details(&parts.concat()))), ["2026-11-24 in 12.34 EUR"]);
        }
        // The amount of the only one may be what the payer was asked for, in another currency.
        let single = details(&part("<AmtDtls><TxAmt><Amt Ccy='USD'>13.00</Amt></TxAmt></AmtDtls>", ""));
        assert_eq!(lines(&entry(&single)), ["2026-11-24 in 12.34 EUR"]);
    }

    #[test]
    fn the_days_are_those_that_the_statement_names() {
        let days = |file: &str| {
            let Statement { from, to, currencies, .. } = read(file).unwrap();
            let currencies: Vec<_> = currencies.iter().map(ToString::to_string).collect();
            format!("{from} {to} {}", currencies.join(","))
        };
        assert_eq!(days(&november("")), "2026-11-01 2026-11-30 EUR");
        let until_midnight = november("").replace("2026-11-30T23:59:59", "2026-12-01T00:00:00Z");
        assert_eq!(days(&until_midnight), "2026-11-01 2026-11-30 EUR");
        let unnamed = |entries: &str| format!("<Stmt>{entries}</Stmt>");
        let later = entry_of("<Amt Ccy='CHF'>1</Amt>", "").replace("2026-11-24", "2026-11-27");
        assert_eq!(
            days(&document(&unnamed(&format!("{}{later}", entry(""))))),
            "2026-11-24 2026-11-27 CHF,EUR"
        );
        let two = format!("{}{}", unnamed(&entry("")), unnamed(&later));
        assert_eq!(days(&document(&two)), "2026-11-24 2026-11-27 CHF,EUR");
    }

    #[test]
    fn all_that_is_wrong_is_told_with_its_entry() {
        let wrong = [
            entry_of("<Amt Ccy='EUR'>1,00</Amt>", ""),
            entry_of("<Amt>1.00</Amt>", ""),
            entry_of("", ""),
            entry("").replace("CRDT", "PLUS"),
            entry("").replace("2026-11-24", "24.11.2026"),
            "<Ntry/>".to_owned(),
            "<Ntry><Sts>BOOK</Sts></Ntry>".to_owned(),
            entry(&details("<TxDtls><Refs><EndToEndId>4242424242424242</EndToEndId></Refs></TxDtls>")),
        ];
        assert_eq!(
            errors(&november(&wrong.concat())),
            [
                "/entries/1/Amt invalid_format",
                "/entries/2/Amt/Ccy unsupported_currency",
                "/entries/3/Amt required",
                "/entries/4/CdtDbtInd invalid_format",
                "/entries/5/BookgDt invalid_format",
                "/entries/6/Sts required",
                "/entries/7/Amt required",
                "/entries/7/CdtDbtInd required",
                "/entries/7/BookgDt required",
                "/entries/8/reference sensitive_data",
            ]
        );
        let backwards = november("").replace("2026-11-01", "2026-12-01");
        assert_eq!(errors(&backwards)[0], "/statements/1/FrToDt/ToDtTm out_of_range");
    }

    #[test]
    fn what_is_no_camt_053_is_told() {
        for file in ["<Document/>", "<Document><BkToCstmrAcctRpt/></Document>", "<html></html>"] {
            assert_eq!(errors(file), ["/Document/BkToCstmrStmt/Stmt required"], "{file}");
        }
        assert_eq!(errors(""), ["/Document/BkToCstmrStmt/Stmt required"]);
        assert_eq!(errors("date,reference,amount,currency\n"), ["/Document/BkToCstmrStmt/Stmt required"]);
        assert_eq!(errors(&document("<Stmt></Stmt>")), ["/statements/1/FrToDt required"]);
        assert_eq!(errors("<Document>\n<oops"), ["/lines/2 invalid_format"]);
        assert_eq!(errors("<!DOCTYPE x><Document/>"), ["/lines/1 invalid_format"]);
    }

    #[test]
    fn a_file_has_so_many_lines() {
        let file = |entries: usize| november(&entry("").repeat(entries));
        assert_eq!(read(&file(LINES_MAX)).unwrap().lines.len(), LINES_MAX);
        assert_eq!(errors(&file(LINES_MAX + 1)), [" too_long"]);
    }
}
