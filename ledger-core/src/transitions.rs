//! Every state and what each command does in it: the tables of ARCHITECTURE.md, made by trying.

use std::fs;
use std::path::PathBuf;

use crate::command::{ChangeSettings, Command, PayoutNews};
use crate::event::{CaptureMode, Event};
use crate::rejection::Rejection;
use crate::testing::*;

/// What stands around the tables in ARCHITECTURE.md.
const BEGIN_MARK: &str = "<!-- begin: made by ledger_core::transitions -->\n";
const END_MARK: &str = "<!-- end: made by ledger_core::transitions -->\n";

/// A state: what it is called, and how it comes about.
type Column = (&'static str, fn() -> Ledger);

/// A command: what it is called, and the command.
type Row = (&'static str, Command);

/// The outcome of a command in a state, in a few words.
fn outcome(state: fn() -> Ledger, command: Command) -> String {
    let ledger = state().when(command);
    match ledger.outcome() {
        Ok(events) if events.is_empty() => "nothing".to_owned(),
        Ok(events) => {
            let told: Vec<_> = events.iter().map(|envelope| tell(envelope.event())).collect();
            told.join(" + ")
        }
        Err(Rejection::NotFound) => "404".to_owned(),
        Err(Rejection::CurrencyMismatch) => "422".to_owned(),
        Err(Rejection::DateOutOfRange) => "422".to_owned(),
        Err(Rejection::TooEarly) => "too early".to_owned(),
        Err(Rejection::Conflict(conflict)) => format!("`{}`", conflict.code()),
    }
}

/// An event's type; a decline with its code.
fn tell(event: &Event) -> String {
    match event {
        Event::PaymentDeclined(declined) => {
            let code = serde_json::to_value(declined.decline_code).unwrap();
            format!("payment.declined ({})", code.as_str().unwrap())
        }
        _ => event.type_name().to_owned(),
    }
}

/// Tries each command in each state: a table with the states from left to right.
fn table(columns: &[Column], rows: &[Row]) -> String {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    let mut table = format!("| | {} |\n|{}\n", names.join(" | "), " --- |".repeat(columns.len() + 1));
    for (name, command) in rows {
        let cells: Vec<_> = columns.iter().map(|(_, state)| outcome(*state, command.clone())).collect();
        table += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    table
}

// Payments.

fn authorized() -> Ledger {
    Ledger::shop().given(hold(1, eur(5_000)))
}

fn captured() -> Ledger {
    Ledger::shop().given(pay(1, eur(5_000)))
}

fn partially_captured() -> Ledger {
    authorized().given(capture_part(1, eur(3_000), false))
}

fn disputed() -> Ledger {
    captured().given(open_dispute(1, 1))
}

const PAYMENTS: [Column; 16] = [
    ("declined", || Ledger::shop().given(pay(1, eur(10_001)))),
    ("authorized", authorized),
    ("authorized, its last day", || authorized().days_later(6)),
    ("authorized, past its end", || authorized().days_later(7)),
    ("expired", || authorized().days_later(7).given(expire(1))),
    ("voided", || authorized().given(void(1))),
    ("partially captured", partially_captured),
    ("partially captured, past its end", || partially_captured().days_later(7)),
    ("captured", captured),
    ("partially refunded", || captured().given(refund_part(1, eur(1_000)))),
    ("refunded", || captured().given(refund(1))),
    ("disputed in part", || captured().given(open_dispute_part(1, 1, eur(1_000)))),
    ("disputed", disputed),
    ("dispute won", || disputed().given(win(1, 1))),
    ("dispute lost", lost),
    ("dispute lost, corrected", || lost().corrected(1, "payment.dispute_lost")),
];

fn of_payments() -> [Row; 14] {
    [
        ("increment", increment(1, eur(100))),
        ("capture all that is left", capture(1)),
        ("capture a part, not final", capture_part(1, eur(100), false)),
        ("capture too much", capture_part(1, eur(5_001), true)),
        ("void", void(1)),
        ("warn of expiry (scheduler)", warn(1)),
        ("expire (scheduler)", expire(1)),
        ("refund all that is left", refund(1)),
        ("refund a part", refund_part(1, eur(100))),
        ("refund too much", refund_part(1, eur(5_001))),
        ("dispute all that is left", open_dispute(2, 1)),
        ("dispute a part", open_dispute_part(2, 1, eur(100))),
        ("dispute too much", open_dispute_part(2, 1, eur(5_001))),
        ("a command in another currency", refund_part(1, jpy(1))),
    ]
}

// Disputes.

fn lost() -> Ledger {
    disputed().given(lose(1, 1))
}

fn won() -> Ledger {
    disputed().given(submit(1, 1, "signed for")).given(win(1, 1))
}

const DISPUTES: [Column; 14] = [
    ("needs_response", disputed),
    ("needs_response, past respond_by", || disputed().days_later(14)),
    ("under_review", || disputed().given(submit(1, 1, "signed for"))),
    ("under_review, past respond_by", || disputed().given(submit(1, 1, "signed for")).days_later(14)),
    ("won", won),
    ("won, refunded since", || won().given(refund(1))),
    ("won, refunded in part since", || won().given(refund_part(1, eur(1_000)))),
    ("reopened", || won().given(reopen(1, 1))),
    ("reopened and won", || won().given(reopen(1, 1)).given(win(1, 1))),
    ("lost", lost),
    ("lost, corrected in time", || lost().corrected(1, "payment.dispute_lost")),
    ("lost with evidence, corrected in time", || {
        let answered = disputed().given(submit(1, 1, "signed for")).given(lose(1, 1));
        answered.corrected(1, "payment.dispute_lost")
    }),
    ("lost in silence, corrected", || {
        let silent = disputed().days_later(14).given(lose_unanswered(1, 1));
        silent.corrected(1, "payment.dispute_lost")
    }),
    ("lost, corrected, lost again", || lost().corrected(1, "payment.dispute_lost").given(lose(1, 1))),
];

fn of_disputes() -> [Row; 5] {
    [
        ("evidence", submit(1, 1, "a photo")),
        ("won", win(1, 1)),
        ("lost", lose(1, 1)),
        ("no response (scheduler)", lose_unanswered(1, 1)),
        ("reopen", reopen(1, 1)),
    ]
}

// Payouts.

fn requested() -> Ledger {
    Ledger::shop().given(deposit_to_merchant(1, eur(1_000))).given(request_payout(1, eur(400)))
}

fn paid() -> Ledger {
    requested().given(change_payout(1, PayoutNews::Paid))
}

fn returned() -> Ledger {
    paid().given(change_payout(1, PayoutNews::Returned))
}

const PAYOUTS: [Column; 6] = [
    ("requested", requested),
    ("paid", paid),
    ("paid, corrected", || paid().corrected(1, "payout.paid")),
    ("paid, corrected, paid again", || {
        paid().corrected(1, "payout.paid").given(change_payout(1, PayoutNews::Paid))
    }),
    ("failed", || requested().given(change_payout(1, PayoutNews::Failed))),
    ("returned", returned),
];

fn of_payouts() -> [Row; 3] {
    [
        ("paid", change_payout(1, PayoutNews::Paid)),
        ("failed", change_payout(1, PayoutNews::Failed)),
        ("returned", change_payout(1, PayoutNews::Returned)),
    ]
}

// Corrections.

/// A payout that was paid, and two corrections of that which key 1 asks for.
fn doubted() -> Ledger {
    let (ledger, of) = (paid(), paid().last("payout.paid"));
    ledger.given(request_correction(1, &of)).given(request_correction(2, &of))
}

const CORRECTIONS: [Column; 5] = [
    ("requested", doubted),
    ("the payout has come back since", || doubted().given(change_payout(1, PayoutNews::Returned))),
    ("approved", || doubted().given(approve_correction(1, &paid().last("payout.paid"), 2))),
    ("approved, paid again", || {
        let approved = doubted().given(approve_correction(1, &paid().last("payout.paid"), 2));
        approved.given(change_payout(1, PayoutNews::Paid))
    }),
    ("another was approved first", || doubted().given(approve_correction(2, &paid().last("payout.paid"), 2))),
];

fn of_corrections() -> [Row; 5] {
    let (of, opened) = (paid().last("payout.paid"), paid().last("merchant.opened"));
    [
        ("ask again for the same event", request_correction(3, &of)),
        ("ask for an event of another type", request_correction(3, &opened)),
        ("approve with the key that asked", approve_correction(1, &of, 1)),
        ("approve with another", approve_correction(1, &of, 2)),
        ("payout returned", change_payout(1, PayoutNews::Returned)),
    ]
}

// Merchants.

/// A merchant with something of everything: held, captured, disputed, available, on its way.
fn active() -> Ledger {
    requested()
        .given(hold(1, eur(1_000)))
        .given(pay(2, eur(2_000)))
        .given(open_dispute_part(1, 2, eur(100)))
        .given(open_merchant(2))
        .days_later(2)
}

fn in_debt() -> Ledger {
    active().given(open_dispute(2, 2)).given(lose(2, 2))
}

const MERCHANTS: [Column; 4] = [
    ("active", active),
    ("active, in debt", in_debt),
    ("suspended", || active().given(suspend(1))),
    ("suspended, in debt", || in_debt().given(suspend(1))),
];

fn of_merchants() -> [Row; 19] {
    let held = |n, amount| pay_with(n, amount, |pay| pay.details.capture = CaptureMode::Manual);
    let delay = |change: &mut ChangeSettings| change.settlement_delay_days = Some(9);
    [
        ("pay, automatic", pay(3, eur(100))),
        ("pay, manual", held(3, eur(100))),
        ("increment", increment(1, eur(100))),
        ("capture", capture(1)),
        ("void", void(1)),
        ("refund", refund_part(2, eur(1))),
        ("dispute", open_dispute_part(3, 2, eur(1))),
        ("evidence", submit(1, 2, "signed for")),
        ("dispute won", win(1, 2)),
        ("dispute lost", lose(1, 2)),
        ("settle", settle(1, [(1, euro())])),
        ("payout", request_payout(2, eur(1))),
        ("payout paid", change_payout(1, PayoutNews::Paid)),
        ("payout failed", change_payout(1, PayoutNews::Failed)),
        ("deposit", deposit_to_merchant(1, eur(1))),
        ("write-off", write_off(1, eur(1))),
        ("change settings", change_settings(1, delay)),
        ("suspend", suspend(1)),
        ("reinstate", reinstate(1)),
    ]
}

// Clients.

/// A client that has paid 40.00 EUR and taken the rest.
fn empty() -> Ledger {
    Ledger::shop().given(pay(1, eur(4_000))).given(withdraw(1, eur(6_000)))
}

const CLIENTS: [Column; 6] = [
    ("open, with money", || Ledger::shop().given(pay(1, eur(4_000)))),
    ("open, with an authorization", || empty().given(deposit(1, eur(500))).given(hold(2, eur(500)))),
    ("open, with a dispute", || empty().given(open_dispute_part(1, 1, eur(500)))),
    ("open, with nothing", empty),
    ("closed", || empty().given(close_client(1))),
    ("closed, refunded since", || empty().given(close_client(1)).given(refund_part(1, eur(1_000)))),
];

fn of_clients() -> [Row; 8] {
    [
        ("deposit", deposit(1, eur(100))),
        ("withdraw", withdraw(1, eur(100))),
        ("close", close_client(1)),
        ("issue a card", issue_card(2, 1)),
        ("register a known number", issue_card_of(2, 1, 1)),
        ("pay", pay(3, eur(100))),
        ("refund", refund_part(1, eur(100))),
        ("dispute", open_dispute_part(2, 1, eur(100))),
    ]
}

// Cards and keys.

/// A card with so many wrong attempts in a row.
fn wrong(attempts: u8) -> Ledger {
    let wrong = |n| pay_with(n, eur(1), |pay| pay.cvc_matches = false);
    (10..10 + attempts).fold(Ledger::shop(), |ledger, n| ledger.given(wrong(n)))
}

const CARDS: [Column; 4] = [
    ("active", Ledger::shop),
    ("active, four wrong attempts", || wrong(4)),
    ("blocked", || Ledger::shop().given(block_card(1))),
    ("blocked by attempts", || wrong(5)),
];

fn of_cards() -> [Row; 5] {
    [
        ("pay", hold(1, eur(100))),
        ("pay with another expiry", pay_with(1, eur(100), |pay| pay.details.card.expiry.month = 12)),
        ("pay with a wrong CVC", pay_with(1, eur(100), |pay| pay.cvc_matches = false)),
        ("block", block_card(1)),
        ("unblock", unblock_card(1)),
    ]
}

const KEYS: [Column; 2] = [
    ("active", || Ledger::new().given(create_key(1, crate::api_key::Role::Auditor, None))),
    ("revoked", || {
        let created = Ledger::new().given(create_key(1, crate::api_key::Role::Auditor, None));
        created.given(Command::RevokeKey(key(1)))
    }),
];

fn of_keys() -> [Row; 1] {
    [("revoke", Command::RevokeKey(key(1)))]
}

/// The whole section, from mark to mark.
fn section() -> String {
    let tables = [
        ("A payment (the merchant is new and has nothing else)", table(&PAYMENTS, &of_payments())),
        ("A dispute", table(&DISPUTES, &of_disputes())),
        ("A payout", table(&PAYOUTS, &of_payouts())),
        ("A correction of a payout that was paid", table(&CORRECTIONS, &of_corrections())),
        ("A merchant", table(&MERCHANTS, &of_merchants())),
        ("A client", table(&CLIENTS, &of_clients())),
        ("A card", table(&CARDS, &of_cards())),
        ("An API key", table(&KEYS, &of_keys())),
    ];
    let sections = tables.map(|(title, table)| format!("**{title}**\n\n{table}"));
    format!("{BEGIN_MARK}\n{}\n{END_MARK}", sections.join("\n"))
}

fn architecture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md")
}

/// The page before, in and behind the section.
fn parts(page: &str) -> (&str, &str, &str) {
    let begin = page.find(BEGIN_MARK).unwrap();
    let end = page.find(END_MARK).unwrap() + END_MARK.len();
    (&page[..begin], &page[begin..end], &page[end..])
}

#[test]
fn the_tables_of_states_and_commands_are_what_the_ledger_does() {
    let page = fs::read_to_string(architecture()).unwrap();
    let (_, found, _) = parts(&page);
    assert!(
        found == section(),
        "ARCHITECTURE.md tells of other outcomes; look at the difference after\n\
         cargo test -p ledger-core --lib -- --ignored writes_the_tables_of_states_and_commands"
    );
}

#[test]
#[ignore = "writes ARCHITECTURE.md"]
fn writes_the_tables_of_states_and_commands() {
    let page = fs::read_to_string(architecture()).unwrap();
    let (before, _, behind) = parts(&page);
    fs::write(architecture(), format!("{before}{}{behind}", section())).unwrap();
}

/// Every command of the vocabulary stands in a table, but for those that open something new.
#[test]
fn every_command_is_tried() {
    let rows = [
        of_payments().to_vec(),
        of_disputes().to_vec(),
        of_payouts().to_vec(),
        of_corrections().to_vec(),
        of_merchants().to_vec(),
        of_clients().to_vec(),
        of_cards().to_vec(),
        of_keys().to_vec(),
    ];
    let names: std::collections::BTreeSet<String> = rows
        .concat()
        .into_iter()
        .map(|(_, command)| format!("{command:?}").chars().take_while(|c| c.is_alphanumeric()).collect())
        .collect();
    let opened = ["OpenClient", "OpenMerchant", "CreateKey", "SetFxRate", "RunReconciliation"];
    assert_eq!(names.len() + opened.len(), 35, "{names:?}");
    assert!(opened.iter().all(|name| !names.contains(*name)));
}
