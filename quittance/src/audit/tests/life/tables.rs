//! The rows that a life leaves in the tables of the write side and of read models.

use super::*;

/// A row of a table: its cells, of which `None` is NULL.
pub(super) type Cells = (&'static str, Vec<Option<String>>);

/// Writes the row of a record as the write side keeps it; none for what has no row of its own.
fn kept(key: &Key, record: &Record) -> Option<Cells> {
    let json = |state: Value| crate::audit::canonical::text(&state).ok();
    let text = |number: &dyn ToString| Some(number.to_string());
    let row = record.row()?;
    let of = |owner: &dyn ToString, currency: &Currency, amounts: [i64; 7], unsettled: Value| {
        let amounts = amounts.map(|amount| Some(amount.to_string()));
        let row = [json(unsettled), text(&row.version), text(&row.position)];
        [text(owner), text(currency)].into_iter().chain(amounts).chain(row).collect()
    };
    let state = |id: &dyn ToString, state: Value| {
        vec![text(id), json(state), text(&row.version), text(&row.position)]
    };
    Some(match (key, record) {
        (Key::ClientBalance(id, currency), Record::ClientBalance(has)) => {
            let amounts = [has.available, has.held, has.open.into(), 0, 0, 0, 0];
            ("balances", of(id, currency, amounts, json!({})))
        }
        (Key::MerchantBalance(id, currency), Record::MerchantBalance(has)) => {
            let amounts = [has.available, 0, 0, has.pending, has.reserved, has.in_transit, has.drawn];
            ("balances", of(id, currency, amounts, json!(has.unsettled)))
        }
        (_, Record::Client(client)) => ("owners", state(&client.id, json!(client))),
        (_, Record::Merchant(merchant)) => ("owners", state(&merchant.id, json!(merchant))),
        (_, Record::Card(card)) => ("cards", state(&card.id, json!(card))),
        (_, Record::ApiKey(key)) => (
            "api_keys",
            vec![
                text(&key.id),
                text(&key.created.role.name()),
                key.created.merchant_id.map(|id| id.to_string()),
                text(&key.revoked),
                text(&key.stamp.created_at),
                text(&key.stamp.updated_at),
                text(&key.stamp.version),
                text(&key.stamp.position),
            ],
        ),
        _ => return None,
    })
}

/// Compares the write side's rows at the end of a life with its log, and names the tables that do not hold.
pub(super) fn wrong_write_side(life: &Life, edit: impl FnOnce(&mut Vec<Cells>)) -> Vec<&'static str> {
    let touched = life.state.touched().iter();
    let mut cells = touched.filter_map(|key| kept(key, life.state.get(key)?)).collect();
    edit(&mut cells);
    wrong_tables_of(&rows(&life.events), vault(&life.events), WRITE_SIDE, life.events.len(), &cells)
}

/// Compares rows of a read model at the end of a life with its log, and names the tables that do not hold.
pub(super) fn wrong_read_model(
    life: &Life,
    name: &str,
    table: &'static str,
    found: &[Vec<&str>],
) -> Vec<&'static str> {
    let cell = |cell: &&str| (*cell != "null").then(|| (*cell).to_owned());
    let cells: Vec<Cells> = found.iter().map(|cells| (table, cells.iter().map(cell).collect())).collect();
    let end = life.events.len();
    wrong_tables_of(&rows(&life.events), vault(&life.events), model(name), end, &cells)
}

/// When the `n`th event of a type was recorded.
pub(super) fn moment(events: &[Value], kind: &str, n: usize) -> String {
    events[position(events, kind, n) - 1]["recorded_at"].as_str().unwrap().to_owned()
}

#[test]
fn the_write_side_is_refolded() {
    assert_eq!(wrong_write_side(&life(), |_| {}), Vec::<&str>::new());
    // While authorizations and a dispute are open, and nothing is settled.
    let mut first_day = Life::default();
    first_day.open();
    first_day.first_day();
    assert_eq!(wrong_write_side(&first_day, |_| {}), Vec::<&str>::new());
    for at in 0..12 {
        let spoil = |rows: &mut Vec<Cells>| {
            let (_, cells) = rows.iter_mut().find(|(table, _)| *table == "balances").unwrap();
            cells[at] = Some("0.5".to_owned());
        };
        assert_eq!(wrong_write_side(&first_day, spoil), ["balances"]);
    }
}

#[test]
fn a_capture_that_is_all_fee_counts_in_its_merchants_row() {
    let mut life = Life::default();
    life.open();
    life.pay(1, money(10, "EUR"), |_| {});
    life.refund(1, 1, money(10, "EUR"));
    let balance = life.state.merchant_balance(merchant(1), currency("EUR"));
    assert_eq!((balance.pending, balance.row.version), (0, 2));
    assert_eq!(wrong_write_side(&life, |_| {}), Vec::<&str>::new());
    life.days_later(2);
    life.settle(System, 0x100, 1);
    assert_eq!(wrong_write_side(&life, |_| {}), Vec::<&str>::new());
    assert!(audit_life(&life).holds());
}

#[test]
fn rates_are_all_kept() {
    let life = life();
    let at: Vec<String> = (0..4).map(|n| position(&life.events, "fx.rate_set", n).to_string()).collect();
    let set: Vec<String> = (0..4).map(|n| moment(&life.events, "fx.rate_set", n)).collect();
    let until = |n: usize| {
        let event = &life.events[position(&life.events, "fx.rate_set", n) - 1];
        event["data"]["valid_until"].as_str().unwrap()
    };
    let row = |n: usize, from, pair, rate| vec![at[n].as_str(), pair, from, "USD", rate, until(n), &set[n]];
    let rows = [
        row(0, "CHF", "fx_CHFUSD", "1.2500"),
        row(1, "EUR", "fx_EURUSD", "1.0850"),
        row(2, "EUR", "fx_EURUSD", "1.0937"),
        row(3, "JPY", "fx_JPYUSD", "0.0066"),
    ];
    assert_eq!(wrong_read_model(&life, "fx-rate", "fx_rates", &rows), Vec::<&str>::new());
    assert_eq!(wrong_read_model(&life, "fx-rate", "fx_rates", &rows[1..]), ["fx_rates"]);
}

#[test]
fn payouts_show_the_banks_last_news() {
    let life = life();
    let of = merchant(1).to_string();
    let ids: Vec<String> = (1..4).map(|n| PayoutId::new(uuid(n)).to_string()).collect();
    let asked: Vec<String> = (0..3).map(|n| moment(&life.events, "payout.requested", n)).collect();
    let last = [("payout.returned", 0), ("payout.failed", 0), ("payout.paid", 1)];
    let last =
        last.map(|(kind, n)| (moment(&life.events, kind, n), position(&life.events, kind, n).to_string()));
    let row = |n: usize, amount, status| {
        let (at, position) = &last[n];
        let reason = "words of a person";
        vec![ids[n].as_str(), &of, "EUR", amount, status, "week 48", reason, &asked[n], at, position]
    };
    let rows = [row(0, "2000", "returned"), row(1, "1000", "failed"), row(2, "3000", "paid")];
    assert_eq!(wrong_read_model(&life, "payout", "payouts", &rows), Vec::<&str>::new());
    let at = |kind, n| position(&life.events, kind, n).to_string();
    let paid = [at("payout.paid", 0), at("payout.returned", 0), at("payout.paid", 1)];
    let rows: Vec<Vec<&str>> = paid
        .iter()
        .zip(["2000", "0", "3000"])
        .map(|(position, after)| vec![of.as_str(), "EUR", position, after])
        .collect();
    let wrong = wrong_read_model(&life, "merchant-account", "merchant_paid_out", &rows);
    assert_eq!(wrong, ["merchants", "merchant_balances", "merchant_entries"]);
}

#[test]
fn disputes_show_where_they_stand() {
    let life = life();
    let ids = [1, 2].map(|n| (DisputeId::new(uuid(n)).to_string(), payment(n).to_string()));
    let of = merchant(1).to_string();
    let (reopened, lost) = (moment(&life.events, "payment.dispute_reopened", 0), [0, 1]);
    let opened = lost.map(|n| moment(&life.events, "payment.disputed", n));
    let ended = lost.map(|n| moment(&life.events, "payment.dispute_lost", n));
    let position = lost.map(|n| position(&life.events, "payment.dispute_lost", n).to_string());
    let due = [&reopened, &opened[1]].map(|at| at.parse::<Timestamp>().unwrap().plus_days(14).to_string());
    let row = |n: usize, currency, amount, evidence, again| {
        let (id, payment) = &ids[n];
        let head: [&str; 8] =
            [id, payment, of.as_str(), currency, amount, "words of a person", "lost", &due[n]];
        let tail: [&str; 5] = [evidence, again, &opened[n], &ended[n], &position[n]];
        head.into_iter().chain(tail).collect::<Vec<&str>>()
    };
    let rows = [row(0, "EUR", "3000", "words of a person", "true"), row(1, "USD", "1000", "null", "false")];
    assert_eq!(wrong_read_model(&life, "payment", "disputes", &rows), ["payments", "refunds"]);
    let rows = [row(0, "EUR", "3000", "null", "true"), row(1, "USD", "1000", "null", "false")];
    let wrong = wrong_read_model(&life, "payment", "disputes", &rows);
    assert_eq!(wrong, ["payments", "refunds", "disputes"]);
}

#[test]
fn what_another_currency_pays_is_shown_with_its_payment() {
    let mut life = Life::default();
    life.open();
    life.pay(1, money(2_003, "USD"), |pay| {
        pay.details.capture = CaptureMode::Manual;
        pay.details.description = None;
    });
    life.capture(1, money(1_000, "USD"), false);
    life.refund(1, 1, money(250, "USD"));
    let at = |kind| moment(&life.events, kind, 0);
    let (begun, refunded) = (at("payment.authorized"), at("payment.refunded"));
    let position = life.events.len().to_string();
    let expires_at = begun.parse::<Timestamp>().unwrap().plus_days(7).to_string();
    let (id, of, by, with) =
        (payment(1).to_string(), merchant(1).to_string(), client(1).to_string(), card(1).to_string());
    // 14.00 USD and 30 ct of fee in 10.00, of which a quarter went back.
    let amounts = ["2003", "2003", "1000", "0", "250", "0", "0", "33"];
    // ⌈2003 ÷ 1.0937⌉ = 1832, ⌈1000 ÷ 1.0937⌉ = 915, ⌈250 ÷ 1.0937⌉ = 229.
    let funding = ["EUR", "1.0937", "917", "915", "229"];
    let row = [&id, &of, &by, "partially_refunded", "USD"].into_iter().chain(amounts).chain(funding).chain([
        &*with,
        "visa",
        "4242",
        "11",
        "2029",
        "manual",
        "order 1",
        "null",
        "null",
        "null",
        &expires_at,
        &begun,
        &refunded,
        &position,
    ]);
    let wrong = wrong_read_model(&life, "payment", "payments", &[row.collect()]);
    assert_eq!(wrong, ["refunds"]);
}

#[test]
fn settlements_and_captures_are_rows_as_their_events_have_them() {
    let mut life = Life::default();
    life.open();
    life.pay(1, money(10_000, "EUR"), |_| {});
    life.days_later(2);
    life.settle(System, 0x100, 1);
    let (of, id, payment) =
        (merchant(1).to_string(), SettlementId::new(uuid(0x100)).to_string(), payment(1).to_string());
    let at = |kind| (moment(&life.events, kind, 0), position(&life.events, kind, 0).to_string());
    let ((closed, end), (captured, begin)) = (at("settlement.closed"), at("payment.captured"));
    let settlement = vec![&*id, &of, "EUR", "2026-11-26", "1", "10000", "165", "0", "9835", &closed, &end];
    let capture = vec![&*of, "EUR", "2026-11-26", &begin, &payment, "10000", "165", &captured];
    assert_eq!(wrong_read_model(&life, "settlement", "settlements", &[settlement]), ["captures"]);
    assert_eq!(wrong_read_model(&life, "settlement", "captures", &[capture]), ["settlements"]);
}

#[test]
fn deadlines_are_there_until_they_have_happened() {
    let mut life = Life::default();
    life.open();
    life.hold(1, money(2_000, "EUR"));
    life.hold(2, money(1_000, "EUR"));
    life.capture(2, money(400, "EUR"), false);
    life.dispute(1, 2, money(100, "EUR"));
    let of_payment = |n: u128| payment(n).to_string();
    let (a, b, of, by) = (of_payment(1), of_payment(2), merchant(1).to_string(), client(1).to_string());
    let begun = |n| moment(&life.events, "payment.authorized", n).parse::<Timestamp>().unwrap();
    let [ends_a, ends_b] = [0, 1].map(|n| begun(n).plus_days(7).to_string());
    let [warns_a, warns_b] = [0, 1].map(|n| begun(n).plus_days(6).to_string());
    let disputed = moment(&life.events, "payment.disputed", 0).parse::<Timestamp>().unwrap();
    let respond_by = disputed.plus_days(14).to_string();
    let dispute = DisputeId::new(uuid(1)).to_string();
    let day = format!("{of}:EUR:2026-11-26");
    let none = "null";
    let mut rows = vec![
        vec!["authorization_expiring", &a, &warns_a, &a, &by, &of, none, none, none],
        vec!["authorization_expiry", &a, &ends_a, &a, &by, &of, none, none, "2000"],
        vec!["authorization_expiring", &b, &warns_b, &b, &by, &of, none, none, none],
        vec!["authorization_expiry", &b, &ends_b, &b, &by, &of, none, none, "600"],
        vec!["dispute_response", &dispute, &respond_by, &b, &by, &of, none, none, none],
        vec!["settlement", &day, "2026-11-26T00:00:00.000000Z", none, none, &of, "EUR", "2026-11-26", none],
    ];
    let wrong = |life: &Life, rows: &[Vec<&str>]| wrong_read_model(life, "deadlines", "deadlines", rows);
    assert_eq!(wrong(&life, &rows), Vec::<&str>::new());
    life.evidence(1, 2);
    life.days_later(6);
    life.run(System, 1, Command::WarnOfExpiry(payment(1)));
    life.settle(System, 0x100, 1);
    rows.remove(5);
    rows.remove(4);
    rows.remove(0);
    assert_eq!(wrong(&life, &rows), Vec::<&str>::new());
    life.days_later(1);
    life.run(System, 1, Command::Expire(payment(1)));
    assert_eq!(wrong(&life, &rows[1..]), Vec::<&str>::new());
    assert_eq!(wrong(&life, &rows), ["deadlines"]);
}
