//! Any past moment: what the query API says of it is what the log folds to.

use std::collections::BTreeMap;

use event_store::entropy;
use event_store::reader::{LogReader, Sought};
use ledger_core::Timestamp;
use ledger_tests::TestLedger;
use ledger_tests::people::{Client, Merchant};
use serde_json::{Value, json};
use sqlx::Executor;

fn below(limit: usize) -> usize {
    usize::from(u16::from_be_bytes(entropy::bytes())) % limit
}

/// Does so many random things.
async fn live(ledger: &TestLedger, shop: &Merchant, clients: &[Client], things: usize) {
    let mut payments: Vec<String> = Vec::new();
    for _ in 0..things {
        let client = &clients[below(clients.len())];
        let part = json!({ "amount": { "amount": 1 + below(300), "currency": "EUR" }, "final": false });
        match below(5) {
            0 => drop(ledger.deposit(&client.id, 1 + below(5_000) as i64, "EUR").await.expect(200)),
            1 | 2 => {
                let capture = if below(2) == 0 { "manual" } else { "automatic" };
                let paid = ledger.pay(shop, client, 1 + below(2_000) as i64, capture).await.expect(201);
                payments.push(paid.text_of("id"));
            }
            kind => {
                let Some(payment) = payments.get(below(payments.len().max(1))) else { continue };
                let verb = if kind == 3 { "capture" } else { "refunds" };
                let body = if kind == 3 { part } else { json!({ "amount": part["amount"] }) };
                let answer = ledger.act(shop, payment, verb, body).await;
                assert!(matches!(answer.status, 200 | 201 | 409), "{}", answer.text);
            }
        }
    }
}

/// Reads the whole log as auditors do.
async fn log(ledger: &TestLedger) -> Vec<Value> {
    let request = ledger.query(reqwest::Method::GET, "/v1/events").bearer_auth(&ledger.auditor);
    let text = request.header("Accept", "application/x-ndjson").send().await.unwrap().text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Adds up what an owner's accounts have after a position: plain arithmetic over the postings.
fn fold(log: &[Value], owner: &str, position: u64) -> BTreeMap<String, i64> {
    let mut accounts = BTreeMap::new();
    for event in log.iter().filter(|event| event["position"].as_u64().unwrap() <= position) {
        for posting in event["postings"].as_array().unwrap() {
            let (holder, account) = posting["account"].as_str().unwrap().rsplit_once(':').unwrap();
            if holder.ends_with(owner) {
                let (debit, credit) =
                    (posting["debit"]["amount"].as_i64(), posting["credit"]["amount"].as_i64());
                *accounts.entry(account.to_owned()).or_default() += credit.unwrap_or(0) - debit.unwrap_or(0);
            }
        }
    }
    accounts
}

fn shown(body: &Value, account: &str) -> i64 {
    let rows = body["data"].as_array().unwrap();
    rows.iter().find(|row| row["currency"] == "EUR").map_or(0, |row| row[account].as_i64().unwrap())
}

#[tokio::test]
async fn random_positions_equal_the_log_folded_to_them() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(ledger.client(20_000, "EUR").await);
    }
    live(&ledger, &shop, &clients, 150).await;
    ledger.caught_up().await.unwrap();
    let log = log(&ledger).await;
    assert_eq!(log.len() as i64, ledger.head().await);

    for _ in 0..100 {
        let position = 1 + below(log.len()) as u64;
        let client = &clients[below(clients.len())];
        let path = format!("/v1/clients/{}/balances?at_position={position}", client.id);
        let answer = ledger.get(&ledger.operator, &path).await.expect(200);
        assert_eq!(answer.body["position"], position);
        let expected = fold(&log, &client.id, position);
        let of = |account| expected.get(account).copied().unwrap_or(0);
        assert_eq!(shown(&answer.body, "available"), of("available"), "client at {position}");
        assert_eq!(shown(&answer.body, "held"), of("held"), "client at {position}");
        assert_eq!(shown(&answer.body, "posted"), of("available") + of("held"));

        let path = format!("/v1/merchants/{}/balances?at_position={position}", shop.id);
        let answer = ledger.get(&shop.key, &path).await.expect(200);
        let expected = fold(&log, &shop.id, position);
        for account in ["pending", "available", "reserved", "in_transit"] {
            assert_eq!(
                shown(&answer.body, account),
                expected.get(account).copied().unwrap_or(0),
                "{account} at {position}"
            );
        }
    }
    ledger.finish().await;
}

#[tokio::test]
async fn a_moment_is_the_position_of_its_last_event() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(1_000, "EUR").await;
    ledger.deposit(&ada.id, 500, "EUR").await.expect(200);
    ledger.caught_up().await.unwrap();
    let log = log(&ledger).await;
    for event in &log {
        let moment = event["recorded_at"].as_str().unwrap();
        let last = log.iter().filter(|other| other["recorded_at"].as_str().unwrap() <= moment).count();
        let path = format!("/v1/clients/{}/balances?as_of={moment}", ada.id);
        let answer = ledger.get(&ledger.operator, &path).await;
        if fold(&log, &ada.id, last as u64).is_empty() && answer.status == 404 {
            continue;
        }
        let answer = answer.expect(200);
        assert_eq!(answer.body["position"], last);
        assert_eq!(answer.body["final"], last < log.len());
        let available = fold(&log, &ada.id, last as u64).get("available").copied().unwrap_or(0);
        assert_eq!(shown(&answer.body, "available"), available);
    }
    let path = format!("/v1/clients/{}/balances", ada.id);
    for parameter in
        ["as_of=2999-01-01T00:00:00Z", "as_of=yesterday", "at_position=999999", "at_position=-1", "x=1"]
    {
        let answer = ledger.get(&ledger.operator, &format!("{path}?{parameter}")).await;
        answer.expect_code(422, "invalid_request");
    }
    ledger.finish().await;
}

/// Those who ask at once share questions to the database, but nobody gets another one's answer.
#[tokio::test]
async fn who_asks_with_others_is_told_the_same_as_alone() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let mut clients = Vec::new();
    for amount in [20_000, 30_000, 40_000] {
        clients.push(ledger.client(amount, "EUR").await);
    }
    let without = ledger.post(&ledger.operator, "/v1/clients", json!({ "name": "Nil" })).await.expect(201);
    live(&ledger, &shop, &clients, 60).await;
    ledger.caught_up().await.unwrap();
    let log = log(&ledger).await;

    let mut owners: Vec<String> = clients.iter().map(|client| format!("clients/{}", client.id)).collect();
    owners.push(format!("clients/{}", without.text_of("id")));
    owners.push(format!("merchants/{}", shop.id));
    owners.push(format!("clients/{}", ledger_core::ids::ClientId::new(entropy::uuid())));
    let mut paths = Vec::new();
    for _ in 0..120 {
        let event = &log[below(log.len())];
        let (position, moment) = (&event["position"], event["recorded_at"].as_str().unwrap());
        let path = format!("/v1/{}/balances", owners[below(owners.len())]);
        paths.push(match below(3) {
            0 => path,
            1 => format!("{path}?at_position={position}"),
            _ => format!("{path}?as_of={moment}"),
        });
    }
    let together =
        futures_util::future::join_all(paths.iter().map(|path| ledger.get(&ledger.operator, path))).await;
    let mut unknown = 0;
    for (path, told) in paths.iter().zip(together) {
        let alone = ledger.get(&ledger.operator, path).await;
        assert_eq!((told.status, &told.body["data"]), (alone.status, &alone.body["data"]), "{path}");
        unknown += usize::from(told.status == 404);
    }
    assert!((1..120).contains(&unknown), "some ask for nobody: {unknown}");
    ledger.finish().await;
}

/// Where a moment was found may be another place since the log was restored to an older copy.
#[tokio::test]
async fn where_a_moment_is_thought_to_be_does_not_change_where_it_is() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(json!({})).await;
    let clients = [ledger.client(20_000, "EUR").await];
    live(&ledger, &shop, &clients, 40).await;
    let log = log(&ledger).await;
    let moments: Vec<Timestamp> =
        log.iter().map(|event| event["recorded_at"].as_str().unwrap().parse().unwrap()).collect();
    let reader = LogReader::new(ledger.owner.clone());
    let mut sought = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..500 {
        let moment = moments[below(moments.len())].plus_micros(below(3) as i64 - 1);
        let (from, before) = (below(log.len() + 2) as u64, below(log.len() + 2) as u64);
        sought.push(Sought { moment, from, before });
        expected.push(moments.iter().filter(|other| **other <= moment).count() as u64);
    }
    let found = reader.places_of(&sought).await.unwrap();
    assert_eq!(found.iter().map(|place| place.position).collect::<Vec<_>>(), expected);
    let last = moments.last().unwrap();
    for (place, Sought { moment, .. }) in found.iter().zip(&sought) {
        assert_eq!(place.is_past, moment < last, "{moment}");
    }
    ledger.finish().await;
}

/// What was told of a moment is told again only if the log still says so.
#[tokio::test]
async fn a_moment_that_was_asked_for_before_is_where_the_log_has_it_now() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(1_000, "EUR").await;
    for _ in 0..3 {
        ledger.deposit(&ada.id, 100, "EUR").await.expect(200);
    }
    ledger.caught_up().await.unwrap();
    let log = log(&ledger).await;
    let second_last = &log[log.len() - 2];
    let moment = second_last["recorded_at"].as_str().unwrap();
    let path = format!("/v1/clients/{}/balances?as_of={moment}", ada.id);
    for _ in 0..3 {
        let answer = ledger.get(&ledger.operator, &path).await.expect(200);
        assert_eq!(
            (&answer.body["position"], shown(&answer.body, "available")),
            (&second_last["position"], 1_200)
        );
    }
    // As if another log had been put in the place of this one.
    let later = "ALTER TABLE events DISABLE TRIGGER events_are_immutable;
                 UPDATE events SET recorded_at = recorded_at + interval '1 ms'
                 WHERE position > (SELECT max(position) - 2 FROM events)";
    ledger.owner.execute(later).await.unwrap();
    for _ in 0..3 {
        let answer = ledger.get(&ledger.operator, &path).await.expect(200);
        assert_eq!(
            (answer.body["position"].as_i64().unwrap(), shown(&answer.body, "available")),
            (log.len() as i64 - 2, 1_100)
        );
    }
    ledger.abandon().await;
}
