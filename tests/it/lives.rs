//! A thousand random lives, from deposit to payout, through every branch: the books balance all along, and
//! each merchant's money adds up.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;
use ledger_tests::{Answer, Client, Merchant, TestLedger};
use reqwest::Method;
use serde_json::{Value, json};

const LIVES: u64 = 1_000;

/// The clock jumps after so many lives.
const LIVES_A_ROUND: u64 = 100;

/// So many lives are lived at once.
const AT_ONCE: usize = 24;

/// Currencies with 0, 2, 3 and 4 decimals.
const CURRENCIES: [&str; 8] = ["BHD", "CHF", "CLF", "EUR", "GBP", "JPY", "KWD", "USD"];

const DAY: i64 = 86_400;

/// Random numbers that a seed determines (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn amount(&mut self, max: i64) -> i64 {
        1 + i64::try_from(self.next() % max.unsigned_abs().max(1)).unwrap()
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[usize::try_from(self.next()).unwrap() % list.len()]
    }
}

#[tokio::test]
async fn a_thousand_random_lives_add_up() {
    let ledger = TestLedger::start().await.unwrap();
    let shops = shops(&ledger).await;
    set_rates(&ledger).await;
    let second =
        ledger.post(&ledger.operator, "/v1/api-keys", json!({ "role": "operator" })).await.expect(201);
    let second = second.text_of("secret");
    let mut days = 0;
    for round in 0..LIVES / LIVES_A_ROUND {
        let lives = (0..LIVES_A_ROUND)
            .map(|n| live(&ledger, &shops, &second, Random(1_000_003 * (round * LIVES_A_ROUND + n))));
        stream::iter(lives).buffer_unordered(AT_ONCE).collect::<()>().await;
        // Days, weeks and months: over every deadline.
        days += [6, 3, 8, 15, 40][usize::try_from(round % 5).unwrap()];
        ledger.set_clock_ahead(days * DAY);
        if round % 5 == 0 {
            // Nobody is warned any more whose time is over before the scheduler looks.
            ledger.let_scheduler_act().await;
        }
    }
    let events = events(&ledger).await;
    let types: std::collections::BTreeSet<_> =
        events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    for seen in [
        "card.blocked",
        "client.closed",
        "client.withdrawn",
        "correction.approved",
        "merchant.deposited",
        "merchant.balance_written_off",
        "merchant.suspended",
        "merchant.reinstated",
        "payment.authorization_expiring",
        "payment.declined",
        "payment.captured",
        "payment.voided",
        "payment.authorization_incremented",
        "payment.expired",
        "payment.refunded",
        "payment.disputed",
        "payment.dispute_won",
        "payment.dispute_lost",
        "payment.dispute_reopened",
        "settlement.closed",
        "payout.requested",
        "payout.paid",
        "payout.failed",
        "payout.returned",
        "fx.rate_set",
    ] {
        assert!(types.contains(seen), "no {seen} in {} events", events.len());
    }
    let has = |kind: &str, name: &str, is: fn(&Value) -> bool| {
        events.iter().any(|event| event["type"] == kind && is(&event["data"][name]))
    };
    assert!(has("payment.authorized", "funding", Value::is_object), "nobody has paid from another currency");
    assert!(
        has("payment.dispute_lost", "reason", |reason| reason == "no_response"),
        "every dispute was answered"
    );
    trial_balance(&ledger, &shops, &events).await;
    for shop in &shops {
        adds_up(&ledger, shop, &events).await;
    }
    ledger.finish().await;
}

async fn shops(ledger: &TestLedger) -> Vec<Merchant> {
    let mut shops = Vec::new();
    for n in 0..10 {
        let fixed = [json!({ "amount": 25, "currency": "EUR" }), json!({ "amount": 40, "currency": "JPY" })];
        let settings = json!({
            "fee": { "percent": format!("{}.{}", n % 4, n), "fixed": fixed },
            "settlement_delay_days": n % 4,
            "refund_fee": if n % 2 == 0 { "returned" } else { "kept" },
            "negative_limit": if n % 3 == 0 { json!([{ "amount": 5_000, "currency": "EUR" }]) } else { json!([]) },
        });
        shops.push(ledger.merchant(settings).await);
    }
    shops
}

async fn set_rates(ledger: &TestLedger) {
    for (from, to, rate) in [
        ("EUR", "JPY", "160.55"),
        ("EUR", "CLF", "0.0271"),
        ("USD", "EUR", "0.9217"),
        ("GBP", "KWD", "0.3921"),
        ("JPY", "USD", "0.00671"),
        ("KWD", "CHF", "2.91"),
        ("CLF", "BHD", "15.6"),
        ("CHF", "GBP", "0.8839"),
    ] {
        let body = json!({ "from": from, "to": to, "rate": rate, "valid_until": "2999-01-01T00:00:00Z" });
        ledger.post(&ledger.operator, "/v1/fx-rates", body).await.expect(201);
    }
}

/// Lives one life. Whatever is refused is refused for a reason; nothing else may happen.
async fn live(ledger: &TestLedger, shops: &[Merchant], second: &str, mut random: Random) {
    let home = *random.one_of(&CURRENCIES);
    let client = ledger.client(random.amount(2_000_000), home).await;
    for _ in 0..random.below(3) {
        let currency = *random.one_of(&CURRENCIES);
        ledger.deposit(&client.id, random.amount(2_000_000), currency).await.expect(200);
    }
    for _ in 0..1 + random.below(3) {
        pay(ledger, random.one_of(shops).clone(), &client, &mut random).await;
    }
    if random.below(2) == 0 {
        let body = json!({ "amount": { "amount": random.amount(100_000), "currency": home } });
        done(ledger.post(&ledger.operator, &format!("/v1/clients/{}/withdrawals", client.id), body).await);
    }
    match random.below(16) {
        0..4 => leave(ledger, &client).await,
        4 => drop(done(
            ledger.post(&ledger.operator, &format!("/v1/cards/{}/block", client.card_id), json!({})).await,
        )),
        5 => correct_a_deposit(ledger, second, &client, home, &mut random).await,
        _ => {}
    }
}

/// Takes what is available, and goes. Who has money held, or gets some back meanwhile, stays; so does who is not told
/// in time what there is.
async fn leave(ledger: &TestLedger, client: &Client) {
    let path = |verb: &str| format!("/v1/clients/{}/{verb}", client.id);
    let balances = ledger.get(&ledger.operator, &path("balances")).await;
    if balances.status == 504 {
        return;
    }
    for row in balances.expect(200).body["data"].as_array().unwrap() {
        let body = json!({ "amount": { "amount": row["available"], "currency": row["currency"] } });
        if row["available"].as_i64().unwrap() > 0 {
            done(ledger.post(&ledger.operator, &path("withdrawals"), body).await);
        }
    }
    done(ledger.post(&ledger.operator, &path("close"), json!({})).await);
}

/// Deposits, and takes that back.
async fn correct_a_deposit(
    ledger: &TestLedger,
    second: &str,
    client: &Client,
    currency: &str,
    random: &mut Random,
) {
    let deposit = ledger.deposit(&client.id, random.amount(2_000), currency).await.expect(200);
    let path = format!("/v1/events?limit=1&after={}", deposit.position() - 1);
    let event = ledger.get(&ledger.auditor, &path).await.expect(200).body["data"][0].clone();
    let day = &event["recorded_at"].as_str().unwrap()[..10];
    let body = json!({ "reverses": event["event_id"], "effective_date": day, "reason": "typed twice" });
    let asked = done(ledger.post(&ledger.operator, "/v1/corrections", body).await);
    if asked.status == 201 {
        let path = format!("/v1/corrections/{}/approve", asked.text_of("id"));
        done(ledger.post(second, &path, json!({})).await);
    }
}

async fn pay(ledger: &TestLedger, shop: Merchant, client: &Client, random: &mut Random) {
    let currency = *random.one_of(&CURRENCIES);
    let money = |amount: i64| json!({ "amount": amount, "currency": currency });
    let amount = random.amount(150_000);
    let capture = if random.below(3) == 0 { "automatic" } else { "manual" };
    let body = json!({ "amount": money(amount), "card": client.card, "capture": capture });
    let payment = done(ledger.post(&shop.key, "/v1/payments", body).await);
    // The merchant may just be suspended.
    if payment.status == 409 || payment.body["status"] == "declined" {
        return;
    }
    let id = payment.text_of("id");
    let mut disputes: Vec<String> = Vec::new();
    for _ in 0..random.below(9) {
        match random.below(10) {
            0 => drop(done(
                ledger.act(&shop, &id, "increment", json!({ "amount": money(random.amount(amount)) })).await,
            )),
            1 | 2 => {
                let part = json!({ "amount": money(random.amount(amount)), "final": random.below(3) == 0 });
                done(ledger.act(&shop, &id, "capture", part).await);
            }
            3 => drop(done(ledger.act(&shop, &id, "capture", json!({})).await)),
            4 => drop(done(ledger.act(&shop, &id, "void", json!({})).await)),
            5 | 6 => {
                let part = if random.below(2) == 0 {
                    json!({})
                } else {
                    json!({ "amount": money(random.amount(amount)) })
                };
                done(ledger.act(&shop, &id, "refunds", part).await);
            }
            7 => {
                let body = json!({ "amount": money(random.amount(amount)), "reason": "not as described" });
                let path = format!("/v1/payments/{id}/disputes");
                let opened = done(ledger.post(&ledger.operator, &path, body).await);
                disputes
                    .extend(opened.body["id"].as_str().filter(|_| opened.status == 201).map(str::to_owned));
            }
            8 => {
                if let Some(dispute) = disputes.last() {
                    argue(ledger, &shop, dispute, random).await;
                }
            }
            _ => take_money(ledger, &shop, currency, random).await,
        }
    }
}

async fn argue(ledger: &TestLedger, shop: &Merchant, dispute: &str, random: &mut Random) {
    let path = |verb: &str| format!("/v1/disputes/{dispute}/{verb}");
    match random.below(4) {
        0 => drop(done(ledger.post(&shop.key, &path("evidence"), json!({ "text": "signed for" })).await)),
        1 => {
            done(ledger.post(&ledger.operator, &path("won"), json!({})).await);
            done(ledger.post(&ledger.operator, &path("reopen"), json!({})).await);
        }
        2 => drop(done(ledger.post(&ledger.operator, &path("won"), json!({})).await)),
        _ => drop(done(ledger.post(&ledger.operator, &path("lost"), json!({})).await)),
    }
}

/// Settles, pays out, pays a debt or writes it off.
async fn take_money(ledger: &TestLedger, shop: &Merchant, currency: &str, random: &mut Random) {
    let money = json!({ "amount": random.amount(20_000), "currency": currency });
    match random.below(6) {
        5 => {
            let path = |verb: &str| format!("/v1/merchants/{}/{verb}", shop.id);
            done(ledger.post(&ledger.operator, &path("suspend"), json!({})).await);
            done(ledger.post(&ledger.operator, &path("reinstate"), json!({})).await);
        }
        0 => drop(done(
            ledger.post(&ledger.operator, "/v1/settlements", json!({ "merchant_id": shop.id })).await,
        )),
        1 => {
            let body = json!({ "amount": money });
            done(ledger.post(&ledger.operator, &format!("/v1/merchants/{}/deposits", shop.id), body).await);
        }
        2 => {
            let amount = json!({ "amount": random.amount(50), "currency": currency });
            let body = json!({ "amount": amount, "reason": "not worth a letter" });
            done(ledger.post(&ledger.operator, &format!("/v1/merchants/{}/write-off", shop.id), body).await);
        }
        _ => {
            let payout = done(ledger.post(&shop.key, "/v1/payouts", json!({ "amount": money })).await);
            let Some(id) = payout.body["id"].as_str().filter(|_| payout.status == 201) else { return };
            for news in random.one_of(&[&["paid"][..], &["failed"], &["paid", "returned"], &[]]).iter() {
                done(ledger.post(&ledger.operator, &format!("/v1/payouts/{id}/{news}"), json!({})).await);
            }
        }
    }
}

/// A command is carried out, or refused by a rule.
#[track_caller]
fn done(answer: Answer) -> Answer {
    assert!(matches!(answer.status, 200 | 201 | 409), "{}", answer.text);
    assert!(answer.status != 409 || answer.body["rule"].is_string(), "{}", answer.text);
    answer
}

async fn events(ledger: &TestLedger) -> Vec<Value> {
    let request = ledger.query(Method::GET, "/v1/events").bearer_auth(&ledger.auditor);
    let lines = request.header("Accept", "application/x-ndjson").send().await.unwrap().text().await.unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The balances of all accounts, credits less debits, by account and currency.
type Accounts = BTreeMap<(String, String), i128>;

/// Debits equal credits, per currency, at every hundredth position, where the query API tells of the house and of
/// merchants what the log folds to; and no client's account and no pending, reserved or travelling money is ever below
/// zero.
async fn trial_balance(ledger: &TestLedger, shops: &[Merchant], events: &[Value]) {
    let mut accounts = Accounts::new();
    for (index, event) in events.iter().enumerate() {
        for posting in event["postings"].as_array().unwrap() {
            let (side, sign) = if posting["debit"].is_null() { ("credit", 1) } else { ("debit", -1) };
            let (amount, currency) = (posting[side]["amount"].as_i64().unwrap(), &posting[side]["currency"]);
            let account =
                (posting["account"].as_str().unwrap().to_owned(), currency.as_str().unwrap().to_owned());
            *accounts.entry(account).or_default() += sign * i128::from(amount);
        }
        if (index + 1) % 100 == 0 || index + 1 == events.len() {
            let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
            for ((account, currency), balance) in &accounts {
                *sums.entry(currency).or_default() += balance;
                let may_sink = account.starts_with("house:")
                    || account.ends_with(":available") && account.starts_with("merchant:");
                assert!(*balance >= 0 || may_sink, "{account} {currency} is {balance} at {}", index + 1);
            }
            assert!(sums.values().all(|sum| *sum == 0), "at {}: {sums:?}", index + 1);
            let mut told = house(ledger, index + 1).await;
            let merchants = shops.iter().map(|shop| merchant(ledger, shop, index + 1));
            told.extend(futures_util::future::join_all(merchants).await.into_iter().flatten());
            let is_told = |((account, _), balance): &(&(String, String), &i128)| {
                !account.starts_with("client:") && **balance != 0
            };
            let expected: Accounts = accounts
                .iter()
                .filter(is_told)
                .map(|(account, balance)| (account.clone(), *balance))
                .collect();
            told.retain(|_, balance| *balance != 0);
            assert_eq!(told, expected, "at {}", index + 1);
        }
    }
}

/// What the query API tells of the house at a position.
async fn house(ledger: &TestLedger, position: usize) -> Accounts {
    let path = format!("/v1/house/balances?at_position={position}");
    let told = ledger.get(&ledger.auditor, &path).await.expect(200);
    let total = |row: &Value, side: &str| row[side].as_str().unwrap().parse::<i128>().unwrap();
    let account = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = told.body["data"].as_array().unwrap().iter();
    rows.map(|row| {
        let balance = total(row, "credits") - total(row, "debits");
        ((account(row, "account"), account(row, "currency")), balance)
    })
    .collect()
}

/// What it tells of a merchant.
async fn merchant(ledger: &TestLedger, shop: &Merchant, position: usize) -> Accounts {
    let path = format!("/v1/merchants/{}/balances?at_position={position}", shop.id);
    let told = ledger.get(&ledger.auditor, &path).await;
    if told.status == 404 {
        return Accounts::new();
    }
    let told = told.expect(200);
    let mut accounts = Accounts::new();
    for row in told.body["data"].as_array().unwrap() {
        for name in ["pending", "available", "reserved", "in_transit"] {
            let account = format!("merchant:{}:{name}", shop.id);
            let currency = row["currency"].as_str().unwrap().to_owned();
            accounts.insert((account, currency), row[name].as_i64().unwrap().into());
        }
    }
    accounts
}

/// Σ captured + deposits + write-offs = Σ paid out + balances + fees kept + refunds + lost disputes.
async fn adds_up(ledger: &TestLedger, shop: &Merchant, events: &[Value]) {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    let mut add = |money: &Value, sign: i64| {
        let currency = money["currency"].as_str().unwrap().to_owned();
        *sums.entry(currency).or_default() += sign * money["amount"].as_i64().unwrap();
    };
    let own = |event: &&Value| {
        event["data"]["merchant_id"] == shop.id.as_str() || event["stream_id"] == shop.id.as_str()
    };
    for event in events.iter().filter(own) {
        let data = &event["data"];
        match event["type"].as_str().unwrap() {
            "payment.captured" => {
                add(&data["amount"], 1);
                add(&data["fee"], -1);
            }
            "payment.refunded" => {
                add(&data["amount"], -1);
                add(&data["fee_returned"], 1);
            }
            "payment.dispute_lost" | "payout.paid" => add(&data["amount"], -1),
            "payout.returned" | "merchant.deposited" | "merchant.balance_written_off" => {
                add(&data["amount"], 1);
            }
            _ => {}
        }
    }
    // The scheduler may go on meanwhile.
    let path = format!("/v1/merchants/{}/balances?at_position={}", shop.id, events.len());
    let balances = ledger.get(&shop.key, &path).await.expect(200);
    for row in balances.body["data"].as_array().unwrap() {
        let parts =
            ["pending", "available", "reserved", "in_transit"].map(|part| row[part].as_i64().unwrap());
        let expected = sums.remove(row["currency"].as_str().unwrap()).unwrap_or_default();
        assert_eq!(parts.iter().sum::<i64>(), expected, "{row}");
    }
    assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
}
