//! The rows of read models and of the write side.

use super::*;
use crate::audit::table::Table;

/// Compares rows of a model with the log of [`Script::with_payments`] up to a position, and names the
/// tables that do not hold.
fn wrong_tables(model: &'static dyn Model, position: usize, rows: &[(&str, &[&str])]) -> Vec<&'static str> {
    let log = Script::new().with_payments().rows();
    let cell = |cell: &&str| (*cell != "null").then(|| (*cell).to_owned());
    let rows: Vec<_> = rows.iter().map(|(table, cells)| (*table, cells.iter().map(cell).collect())).collect();
    wrong_tables_of(&log, vault(Some(master())), model, position, &rows)
}

/// When the event at a position of [`Script::with_payments`] was recorded.
fn row_time(position: usize) -> i64 {
    Script::new().with_payments().rows()[position - 1].recorded_at.micros()
}

#[test]
fn the_house_has_taken_its_fees() {
    let rows: [(&str, &[&str]); 8] = [
        ("house_balances", &["bank", "EUR", "20000", "0", "3"]),
        ("house_balances", &["fees", "EUR", "165", "232", "13"]),
        ("house_entries", &["bank", "EUR", "3", "20000", "0", "20000", "0"]),
        ("house_entries", &["fees", "EUR", "8", "0", "165", "0", "165"]),
        ("house_entries", &["fees", "EUR", "9", "66", "0", "66", "165"]),
        ("house_entries", &["fees", "EUR", "10", "99", "0", "165", "165"]),
        ("house_entries", &["fees", "EUR", "12", "0", "53", "165", "218"]),
        ("house_entries", &["fees", "EUR", "13", "0", "14", "165", "232"]),
    ];
    assert_eq!(wrong_tables(model("house-account"), 23, &rows), Vec::<&str>::new());
    assert_eq!(wrong_tables(model("house-account"), 23, &rows[1..]), ["house_balances"]);
    assert_eq!(wrong_tables(model("house-account"), 12, &rows[2..]), ["house_balances", "house_entries"]);
    let before = rows[2..4].to_vec();
    let then: [(&str, &[&str]); 2] = [
        ("house_balances", &["bank", "EUR", "20000", "0", "3"]),
        ("house_balances", &["fees", "EUR", "0", "165", "8"]),
    ];
    assert_eq!(wrong_tables(model("house-account"), 8, &[&then[..], &before].concat()), Vec::<&str>::new());
}

#[test]
fn the_write_side_has_its_balances() {
    let (client, merchant) = (id("cli", 1), id("mer", 1));
    let unsettled = r#"{"2026-09-23":{"count":3,"fees":232,"gross":13000}}"#;
    let rows: [(&str, &[&str]); 2] = [
        ("balances", &[&client, "EUR", "17000", "0", "0", "0", "0", "0", "0", "{}", "10", "15"]),
        ("balances", &[&merchant, "EUR", "0", "0", "0", "2933", "0", "0", "9835", unsettled, "5", "13"]),
    ];
    assert_eq!(wrong_tables(WRITE_SIDE, 23, &rows), ["owners", "cards", "api_keys"]);
    assert_eq!(wrong_tables(WRITE_SIDE, 22, &rows), ["owners", "cards", "api_keys"]);
    assert_eq!(wrong_tables(WRITE_SIDE, 14, &rows), ["balances", "owners", "cards", "api_keys"]);
}

#[test]
fn a_card_row_counts_attempts_and_its_own_events() {
    let at = |position: usize| spelled(row_time(position));
    let state = json!({
        "id": id("card", 1), "client_id": id("cli", 1), "brand": "visa", "last4": "4242", "exp_month": 12,
        "exp_year": 2030, "registered": true, "fingerprint_key": 1, "cvc_key": 1, "status": "blocked",
        "version": 2, "position": 22, "created_at": at(4), "updated_at": at(22),
    });
    let state = canonical::text(&state).unwrap();
    let rows: [(&str, &[&str]); 1] = [("cards", &[&id("card", 1), &state, "7", "22"])];
    assert_eq!(wrong_tables(WRITE_SIDE, 23, &rows), ["balances", "owners", "api_keys"]);
}

#[test]
fn a_client_is_shown_in_plain_with_its_entries() {
    let (client, card) = (id("cli", 1), id("card", 1));
    let at = |position: usize| spelled(row_time(position));
    let (opened, deposited, issued) = (at(2), at(3), at(4));
    let rows: [(&str, &[&str]); 4] = [
        ("clients", &[&client, "Ada Lovelace", "null", "null", "open", &opened, &deposited, "3"]),
        ("client_cards", &[&card, &client, "visa", "4242", "12", "2030", "active", &issued, &issued, "4"]),
        ("client_balances", &[&client, "EUR", "20000", "0", "3"]),
        (
            "client_entries",
            &[
                &client,
                "3",
                "1",
                "available",
                "EUR",
                "20000",
                "20000",
                "client.deposited",
                "null",
                &deposited,
            ],
        ),
    ];
    assert_eq!(wrong_tables(model("client-account"), 6, &rows), Vec::<&str>::new());
}

#[test]
fn payments_show_their_totals() {
    let (first, last) = (spelled(row_time(7)), spelled(row_time(10)));
    let expires = spelled(row_time(7) + 7 * DAY);
    let refunds = [(9, "4000"), (10, "6000")].map(|(position, amount)| {
        let refund = id("ref", position - 1);
        (refund, amount, spelled(row_time(position as usize)), position.to_string())
    });
    let (pay, merchant, client, card) = (id("pay", 1), id("mer", 1), id("cli", 1), id("card", 1));
    let payment: &[&str] = &[
        &pay,
        &merchant,
        &client,
        "refunded",
        "EUR",
        "10000",
        "10000",
        "10000",
        "0",
        "10000",
        "0",
        "0",
        "0",
        "null",
        "null",
        "null",
        "null",
        "null",
        &card,
        "visa",
        "4242",
        "12",
        "2030",
        "automatic",
        "null",
        "null",
        "null",
        "null",
        &expires,
        &first,
        &last,
        "10",
    ];
    let [a, b] = refunds
        .each_ref()
        .map(|(refund, amount, at, position)| [refund.as_str(), &pay, "EUR", amount, "null", at, position]);
    let rows: [(&str, &[&str]); 3] = [("payments", payment), ("refunds", &a), ("refunds", &b)];
    assert_eq!(wrong_tables(model("payment"), 10, &rows), Vec::<&str>::new());
}

#[test]
fn both_sides_are_notified() {
    let (client, merchant, pay) = (id("cli", 1), id("mer", 1), id("pay", 1));
    let at = |position: usize| spelled(row_time(position));
    let (opened, deposited, issued, began, authorized) = (at(2), at(3), at(4), at(5), at(7));
    let fact = |value: Value| canonical::text(&value).unwrap();
    let (amount, card, version) = (
        fact(json!({ "amount": eur(20_000) })),
        fact(json!({ "brand": "visa", "last4": "4242" })),
        fact(json!({ "fee_version": 1 })),
    );
    let asked = fact(json!({
        "amount": eur(10_000), "reference": null, "brand": "visa", "last4": "4242",
        "expires_at": spelled(row_time(7) + 7 * DAY),
    }));
    let rows: [(&str, &[&str]); 5] = [
        ("notifications", &["2", "client.opened", &client, "null", "null", "{}", &opened]),
        ("notifications", &["3", "client.deposited", &client, "null", "null", &amount, &deposited]),
        ("notifications", &["4", "card.issued", &client, "null", "null", &card, &issued]),
        ("notifications", &["5", "merchant.opened", "null", &merchant, "null", &version, &began]),
        ("notifications", &["7", "payment.authorized", &client, &merchant, &pay, &asked, &authorized]),
    ];
    assert_eq!(wrong_tables(model("notification"), 7, &rows), Vec::<&str>::new());
    assert_eq!(wrong_tables(model("notification"), 7, &rows[1..]), ["notifications"]);
}

/// A waiting event parks its client and its merchant: what either of them alone was told before is still compared.
#[test]
fn a_row_of_two_is_left_out_only_if_both_are_parked() {
    let is_compared = |client: Option<&'static str>, merchant: Option<&'static str>| {
        let parked = ["cli_1", "mer_1"].map(str::to_owned).into();
        let mut table = Table::new(&model("notification").shapes()[0], &parked, true);
        let row = [Some("7"), Some("payment.authorized"), client, merchant, None, Some("{}"), Some("0")];
        table.expect(&row.map(|cell| cell.map(Into::into)));
        // There is none: it is missed.
        !table.holds()
    };
    assert!(!is_compared(Some("cli_1"), Some("mer_1")));
    assert!(!is_compared(Some("cli_1"), None) && !is_compared(None, Some("mer_1")));
    assert!(is_compared(Some("cli_1"), Some("mer_2")) && is_compared(Some("cli_2"), Some("mer_1")));
}
