//! Reconciliations: a bank's statement beside the ledger.

use event_store::entropy;
use futures_util::future::join_all;
use ledger_tests::{Answer, Merchant, TestLedger};
use reqwest::Method;
use serde_json::{Value, json};

const CSV: &str = "text/csv";
const XML: &str = "application/xml";

async fn post(ledger: &TestLedger, key: &str, media_type: &str, file: impl Into<String>) -> Answer {
    let request = ledger
        .command(Method::POST, "/v1/reconciliations")
        .bearer_auth(&ledger.operator)
        .header("Idempotency-Key", key)
        .header("Content-Type", media_type)
        .body(file.into());
    Answer::read(request.send().await.unwrap()).await.unwrap()
}

/// Sends a file under a key of its own.
async fn run(ledger: &TestLedger, media_type: &str, file: impl Into<String>) -> Answer {
    post(ledger, &entropy::uuid().to_string(), media_type, file).await
}

/// Today, by the ledger's clock.
async fn today(ledger: &TestLedger) -> String {
    let (day,): (String,) =
        sqlx::query_as("SELECT to_char(max(recorded_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM events")
            .fetch_one(&ledger.owner)
            .await
            .unwrap();
    day
}

async fn cash(ledger: &TestLedger, path: &str, amount: i64, reference: Option<&str>) {
    let body = json!({ "amount": { "amount": amount, "currency": "EUR" }, "reference": reference });
    ledger.post(&ledger.operator, path, body).await.expect(200);
}

/// A ledger with one movement of each kind, and the payout's id.
async fn at_the_bank(ledger: &TestLedger) -> (Merchant, String) {
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(0, "EUR").await;
    cash(ledger, &format!("/v1/clients/{}/deposits", ada.id), 10_000, Some("salary November")).await;
    cash(ledger, &format!("/v1/clients/{}/withdrawals", ada.id), 2_100, Some("rent")).await;
    cash(ledger, &format!("/v1/merchants/{}/deposits", shop.id), 5_000, None).await;
    cash(ledger, &format!("/v1/clients/{}/deposits", ada.id), 900, Some("gift")).await;
    let request = json!({ "amount": { "amount": 3_000, "currency": "EUR" }, "reference": "week 48" });
    let payout = ledger.post(&shop.key, "/v1/payouts", request).await.expect(201).text_of("id");
    let paid = format!("/v1/payouts/{payout}/paid");
    ledger.post(&ledger.operator, &paid, json!({})).await.expect(200);
    (shop, payout)
}

fn entry(day: &str, way: &str, amount: &str, said: &str) -> String {
    format!(
        "<Ntry><Amt Ccy=\"EUR\">{amount}</Amt><CdtDbtInd>{way}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>\
         <BookgDt><Dt>{day}</Dt></BookgDt><AcctSvcrRef>B-{amount}</AcctSvcrRef>\
         <NtryDtls><TxDtls><Refs><EndToEndId>{said}</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>"
    )
}

fn camt053(day: &str, entries: &[String]) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt><Stmt><Id>S</Id>\
         <FrToDt><FrDtTm>{day}T00:00:00</FrDtTm><ToDtTm>{day}T23:59:59</ToDtTm></FrToDt>{}\
         </Stmt></BkToCstmrStmt></Document>",
        entries.concat()
    )
}

/// A statement with one of each difference.
fn one_of_each(day: &str, payout: &str) -> String {
    let entries = [
        entry(day, "CRDT", "100.00", "SALARY NOVEMBER"),
        entry(day, "CRDT", "100.00", "SALARY NOVEMBER"),
        entry(day, "DBIT", "20.00", "rent"),
        entry(day, "DBIT", "30.00", payout),
        entry(day, "CRDT", "50.00", "NOTPROVIDED"),
        entry(day, "CRDT", "7.00", "who knows"),
    ];
    camt053(day, &entries)
}

/// The same as a table.
fn the_same_as_csv(day: &str, payout: &str) -> String {
    format!(
        "date,reference,amount,currency\n{day},SALARY NOVEMBER,100.00,EUR\n{day},SALARY NOVEMBER,100.00,EUR\n\
         {day},rent,-20.00,EUR\n{day},{payout},-30.00,EUR\n{day},,50.00,EUR\n{day},who knows,7.00,EUR\n"
    )
}

/// How each item came out: its line's amount and reference, its movement's type, amount and reference.
fn told(items: &Value) -> Vec<Value> {
    let told = |item: &Value| {
        let (line, movement) = (&item["line"], &item["movement"]);
        let of = |part: &Value| json!([part["amount"]["amount"], part["reference"]]);
        json!([item["result"], of(line), movement["type"], of(movement)])
    };
    items.as_array().unwrap().iter().map(told).collect()
}

fn counts(counts: [u64; 5]) -> Value {
    let [matched, missing_here, missing_there, amount_differs, duplicate] = counts;
    json!({
        "matched": matched, "missing_here": missing_here, "missing_there": missing_there,
        "amount_differs": amount_differs, "duplicate": duplicate,
    })
}

#[tokio::test]
async fn each_difference_is_named_whatever_the_format() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, payout) = at_the_bank(&ledger).await;
    let (day, head) = (today(&ledger).await, ledger.head().await);
    let camt = run(&ledger, XML, one_of_each(&day, &payout)).await.expect(201);
    assert_eq!(
        told(&camt.body["items"]),
        [
            json!(["missing_here", [700, "who knows"], null, [null, null]]),
            json!(["missing_there", [null, null], "client.deposited", [900, "gift"]]),
            json!(["amount_differs", [2_000, "rent"], "client.withdrawn", [2_100, "rent"]]),
            json!(["duplicate", [10_000, "SALARY NOVEMBER"], null, [null, null]]),
            json!(["matched", [10_000, "SALARY NOVEMBER"], "client.deposited", [10_000, "salary November"]]),
            json!(["matched", [3_000, payout], "payout.paid", [3_000, "week 48"]]),
            json!(["matched", [5_000, "B-50.00"], "merchant.deposited", [5_000, null]]),
        ],
        "{}",
        camt.text
    );
    assert_eq!(camt.body["counts"], counts([3, 1, 1, 1, 1]));
    assert_eq!((&camt.body["format"], &camt.body["lines"]), (&json!("camt.053"), &json!(6)));
    assert_eq!((&camt.body["from"], &camt.body["to"]), (&json!(day), &json!(day)));
    assert_eq!((&camt.body["currencies"], &camt.body["through_position"]), (&json!(["EUR"]), &json!(head)));
    let items = camt.body["items"].as_array().unwrap();
    let paid = &items[5]["movement"];
    assert_eq!(
        (&paid["payout_id"], &paid["client_id"], &paid["merchant_id"]),
        (&json!(payout), &Value::Null, &Value::Null)
    );
    assert_eq!((&items[5]["line"]["direction"], &items[5]["line"]["number"]), (&json!("out"), &json!(4)));

    let csv = run(&ledger, CSV, the_same_as_csv(&day, &payout)).await.expect(201);
    assert_eq!((&csv.body["counts"], &csv.body["format"]), (&camt.body["counts"], &json!("csv")));
    let without_banks_own = |items: &[Value]| {
        items.iter().map(|item| item.to_string().replace("\"B-50.00\"", "null")).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&csv.body["items"]).iter().map(ToString::to_string).collect::<Vec<_>>(),
        without_banks_own(&told(&camt.body["items"]))
    );

    // What the query API shows is what the command answered.
    let path = format!("/v1/reconciliations/{}", camt.text_of("id"));
    for key in [&ledger.operator, &ledger.auditor] {
        let shown = ledger.get(key, &path).await.expect(200);
        assert_eq!(shown.body, camt.body);
    }
    let analyst = ledger.get(&ledger.analyst, &path).await.expect(200);
    assert!(!analyst.text.contains("rent") && !analyst.text.contains("reference"), "{}", analyst.text);
    assert_eq!(analyst.body["items"][2]["movement"]["amount"]["amount_decimal"], "21.00");
    let list = ledger.get(&ledger.operator, "/v1/reconciliations?limit=1").await.expect(200);
    assert_eq!(list.body["data"][0]["id"], csv.body["id"]);
    let next = format!("/v1/reconciliations?cursor={}", list.text_of("next_cursor"));
    let next = ledger.get(&ledger.operator, &next).await.expect(200);
    assert_eq!((&next.body["data"][0]["id"], &next.body["next_cursor"]), (&camt.body["id"], &Value::Null));
    ledger.finish().await;
}

#[tokio::test]
async fn items_are_a_list_of_their_own() {
    let ledger = TestLedger::start().await.unwrap();
    let (shop, payout) = at_the_bank(&ledger).await;
    let day = today(&ledger).await;
    let run = run(&ledger, XML, one_of_each(&day, &payout)).await.expect(201);
    let path = format!("/v1/reconciliations/{}/items", run.text_of("id"));
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ledger.get(&ledger.operator, &format!("{path}?limit=3{cursor}")).await.expect(200);
        items.extend(page.body["data"].as_array().unwrap().clone());
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(json!(items), run.body["items"]);
    let duplicates = ledger.get(&ledger.operator, &format!("{path}?result=duplicate")).await.expect(200);
    assert_eq!(duplicates.body["data"], json!([items[3]]));
    ledger.get(&ledger.operator, &format!("{path}?result=fine")).await.expect_code(422, "invalid_request");
    ledger.get(&ledger.operator, &format!("{path}?cursor=7")).await.expect_code(422, "invalid_request");
    for path in [&path, "/v1/reconciliations", &format!("/v1/reconciliations/{}", run.text_of("id"))] {
        ledger.get(&shop.key, path).await.expect_code(403, "forbidden");
    }
    for id in ["rec_0", "rec_019ab4f01c0070008000a00100a00a01", &payout] {
        ledger
            .get(&ledger.operator, &format!("/v1/reconciliations/{id}"))
            .await
            .expect_code(404, "not_found");
    }
    ledger.finish().await;
}

#[tokio::test]
async fn a_file_is_compared_once() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, payout) = at_the_bank(&ledger).await;
    let day = today(&ledger).await;
    let file = one_of_each(&day, &payout);
    let first = post(&ledger, "first", XML, file.as_str()).await.expect(201);
    let head = ledger.head().await;
    // The same key: the same answer. Another key: the same run. Neither leaves anything.
    let replayed = post(&ledger, "first", XML, file.as_str()).await.expect(201);
    assert_eq!((replayed.header("idempotent-replayed"), &replayed.text), ("true", &first.text));
    let again = post(&ledger, "again", XML, file.as_str()).await.expect(200);
    assert_eq!((again.header("idempotent-replayed"), &again.body), ("", &first.body));
    assert_eq!(again.position(), head.unsigned_abs());
    assert_eq!(ledger.head().await, head);
    // The key belongs to the bytes.
    post(&ledger, "first", XML, format!("{file}\n")).await.expect_code(422, "idempotency_key_reused");
    let other = run(&ledger, XML, format!("{file}\n")).await.expect(201);
    assert_eq!(other.body["counts"], first.body["counts"]);
    assert_ne!(other.body["id"], first.body["id"]);
    // However many come at once, one of them is the first.
    let file = the_same_as_csv(&day, &payout);
    let answers = join_all((0..10).map(|_| run(&ledger, CSV, file.as_str()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(answers.iter().all(|answer| answer.body == answers[0].body), "{answers:?}");
    ledger.finish().await;
}

#[tokio::test]
async fn what_is_malformed_is_told_and_leaves_nothing() {
    let ledger = TestLedger::start().await.unwrap();
    let head = ledger.head().await;
    let header = "date,reference,amount,currency\n";
    let cases = [
        (CSV, String::new(), "/header/date", "required"),
        (CSV, "date;reference;amount;currency\n".to_owned(), "/header/1", "unknown"),
        (CSV, header.to_owned(), "/lines", "required"),
        (CSV, format!("{header}24.11.2026,a,1.00,EUR\n"), "/lines/2/date", "invalid_format"),
        (CSV, format!("{header}2026-11-24,a,\"1,00\",EUR\n"), "/lines/2/amount", "invalid_format"),
        (CSV, format!("{header}2026-11-24,a,1.00,XXX\n"), "/lines/2/currency", "unsupported_currency"),
        (
            CSV,
            format!("{header}2026-11-24,4242424242424242,1.00,EUR\n"),
            "/lines/2/reference",
            "sensitive_data",
        ),
        (CSV, format!("{header}{}", "2026-11-24,a,1.00,EUR\n".repeat(5_001)), "", "too_long"),
        (XML, String::new(), "/Document/BkToCstmrStmt/Stmt", "required"),
        (XML, "<Document>\n<oops".to_owned(), "/lines/2", "invalid_format"),
        (XML, "<!DOCTYPE x SYSTEM 'file:///etc/passwd'><Document/>".to_owned(), "/lines/1", "invalid_format"),
        (
            XML,
            camt053("2026-11-24", &[entry("2026-11-24", "CRDT", "1,00", "a")]),
            "/entries/1/Amt",
            "invalid_format",
        ),
        (
            XML,
            camt053("2026-11-24", &[entry("2026-11-24", "PLUS", "1", "a")]),
            "/entries/1/CdtDbtInd",
            "invalid_format",
        ),
        (XML, camt053("2026-13-24", &[]), "/statements/1/FrToDt/FrDtTm", "invalid_format"),
    ];
    for (media_type, file, pointer, code) in cases {
        let refused = run(&ledger, media_type, file.as_str()).await.expect_code(422, "invalid_request");
        let error = &refused.body["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!(pointer), &json!(code)), "{}", refused.text);
        assert!(error["detail"].as_str().unwrap().ends_with('.'), "{}", refused.text);
        assert!(!refused.text.contains("4242"), "{}", refused.text);
    }
    let not_utf8 = ledger
        .command(Method::POST, "/v1/reconciliations?dry=1")
        .bearer_auth(&ledger.operator)
        .header("Idempotency-Key", "k")
        .header("Content-Type", CSV)
        .body(b"date,reference,amount,currency\n2026-11-24,caf\xe9,1,EUR".to_vec());
    let refused =
        Answer::read(not_utf8.send().await.unwrap()).await.unwrap().expect_code(422, "invalid_request");
    assert_eq!(refused.body["errors"].as_array().unwrap().len(), 2, "the parameter too: {}", refused.text);
    assert_eq!(ledger.head().await, head);
    ledger.finish().await;
}

#[tokio::test]
async fn the_size_comes_before_the_type_and_the_key() {
    let ledger = TestLedger::start().await.unwrap();
    let send = async |media_type: &str, file: String, key: Option<&str>| {
        let request = ledger
            .command(Method::POST, "/v1/reconciliations")
            .bearer_auth(&ledger.operator)
            .header("Content-Type", media_type)
            .body(file);
        let request = match key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        Answer::read(request.send().await.unwrap()).await.unwrap()
    };
    const LIMIT: usize = 4 * 1024 * 1024;
    let large = send("image/png", "x".repeat(LIMIT + 1), None).await.expect_code(413, "payload_too_large");
    assert_eq!(large.body["limit"], LIMIT);
    for media_type in ["application/json", "text/xml", "text/csv; charset=iso-8859-1"] {
        send(media_type, "x".to_owned(), None).await.expect_code(415, "unsupported_media_type");
    }
    send(CSV, "x".to_owned(), None).await.expect_code(400, "idempotency_key_required");
    send("text/csv; charset=UTF-8", "x".repeat(LIMIT), Some("k")).await.expect_code(422, "invalid_request");
    // A bulk request holds JSON, and so no file.
    let commands = json!([{ "idempotency_key": "b", "path": "/v1/reconciliations", "body": {} }]);
    let bulk = ledger.post(&ledger.operator, "/v1/bulk", json!({ "commands": commands })).await.expect(200);
    assert_eq!(bulk.body["outcomes"][0]["status"], 415);
    ledger.finish().await;
}

#[tokio::test]
async fn the_largest_statement_is_one_run() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(0, "EUR").await;
    let deposits = (0..200).map(|n| {
        let (ledger, path) = (&ledger, format!("/v1/clients/{}/deposits", ada.id));
        async move { cash(ledger, &path, 1 + n, Some(&format!("deposit {n}"))).await }
    });
    join_all(deposits).await;
    let day = today(&ledger).await;
    let long = "é".repeat(240);
    let lines = (0..5_000)
        .map(|n| format!("{day},deposit {n} {},0.{:02},EUR\n", if n < 200 { "" } else { &long }, 1 + n % 99));
    let file = format!("date,reference,amount,currency\n{}", lines.collect::<String>());
    assert!(file.len() < 4 * 1024 * 1024, "{}", file.len());
    let whole = run(&ledger, CSV, file.as_str()).await.expect(201);
    assert_eq!(whole.body["lines"], 5_000);
    // 0.01 to 0.99 by two digits: the first 99 are of the amounts that were deposited, the others are not.
    assert_eq!(whole.body["counts"], counts([99, 4_800, 0, 101, 0]));
    assert_eq!(whole.body["items"].as_array().unwrap().len(), 50);
    assert!(whole.body["items"].as_array().unwrap().iter().all(|item| item["result"] == "missing_here"));
    let again = run(&ledger, CSV, file.as_str()).await.expect(200);
    assert_eq!(again.body, whole.body);
    let path = format!("/v1/reconciliations/{}/items?result=matched&limit=1000", whole.text_of("id"));
    let matched = ledger.get(&ledger.operator, &path).await.expect(200);
    assert_eq!(matched.body["data"].as_array().unwrap().len(), 99);
    ledger.finish().await;
}

#[tokio::test]
async fn books_and_bank_may_be_days_apart() {
    let ledger = TestLedger::start().await.unwrap();
    let ada = ledger.client(0, "EUR").await;
    let deposits = format!("/v1/clients/{}/deposits", ada.id);
    cash(&ledger, &deposits, 100, Some("a")).await;
    ledger.set_clock_ahead(5 * 86_400);
    cash(&ledger, &deposits, 200, Some("b")).await;
    let fifth = today(&ledger).await;
    ledger.set_clock_ahead(6 * 86_400);
    cash(&ledger, &deposits, 300, Some("c")).await;
    let sixth = today(&ledger).await;
    let file = |day: &str| format!("date,reference,amount,currency\n{day},a,1.00,EUR\n");
    // Five days after it was recorded the bank may book it; what else is of that day is missing there.
    let near = run(&ledger, CSV, file(&fifth)).await.expect(201);
    assert_eq!(near.body["counts"], counts([1, 0, 1, 0, 0]));
    // A day later it may not.
    let far = run(&ledger, CSV, file(&sixth)).await.expect(201);
    assert_eq!(far.body["counts"], counts([0, 1, 1, 0, 0]));
    // A statement in yen misses no euros, and one of a day on which nothing moved misses nothing.
    let yen =
        run(&ledger, CSV, format!("date,reference,amount,currency\n{sixth},a,1,JPY\n")).await.expect(201);
    assert_eq!(yen.body["counts"], counts([0, 1, 0, 0, 0]));
    let silent = run(&ledger, XML, camt053("2026-01-01", &[])).await.expect(201);
    assert_eq!((&silent.body["counts"], &silent.body["items"]), (&counts([0; 5]), &json!([])));
    ledger.finish().await;
}

#[tokio::test]
async fn what_the_bank_says_stands_nowhere_in_clear_in_the_log() {
    let ledger = TestLedger::start().await.unwrap();
    let (_, payout) = at_the_bank(&ledger).await;
    let day = today(&ledger).await;
    run(&ledger, XML, one_of_each(&day, &payout)).await.expect(201);
    for (table, column) in [("events", "canonical"), ("outcomes", "answer")] {
        for word in ["who knows", "SALARY", "salary", "gift"] {
            let statement = format!("SELECT count(*) FROM {table} WHERE {column} LIKE '%{word}%'");
            let (found,): (i64,) =
                sqlx::query_as(sqlx::AssertSqlSafe(statement)).fetch_one(&ledger.owner).await.unwrap();
            assert_eq!(found, 0, "{word} in {table}");
        }
    }
    ledger.finish().await;
}
