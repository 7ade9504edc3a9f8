//! No card number and no CVC at rest, on a wire of ours, in a log or in an error (I12).

use std::sync::Arc;
use std::time::Duration;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use event_store::entropy;
use ledger_tests::Answer;
use ledger_tests::broker::vhost;
use ledger_tests::services::Deployment;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;

use crate::processes::{Cast, PROGRAMS};

const CARDS: usize = 1_000;
const CLIENTS: usize = 20;
/// How many cards are issued and used at once.
const WORKERS: usize = 8;

/// A card as its owner knows it.
#[derive(Clone)]
struct Card {
    number: String,
    cvc: String,
    shown: Value,
}

/// Sends requests, and keeps every answer that must show no card.
struct Caller {
    http: reqwest::Client,
    url: String,
    operator: String,
    merchant: String,
}

impl Caller {
    /// Sends a request; again while the queue is full.
    async fn send(&self, api_key: &str, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let key = entropy::uuid().to_string();
        loop {
            let mut request = self
                .http
                .post(format!("{}{path}", self.url))
                .bearer_auth(api_key)
                .header("Content-Type", "application/json")
                .body(body.clone());
            if !headers.iter().any(|(name, _)| *name == "Idempotency-Key") {
                request = request.header("Idempotency-Key", &key);
            }
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
            if answer.status != 503 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn issue(&self, client: &str) -> Card {
        let path = format!("/v1/clients/{client}/cards");
        let brand = ["visa", "mastercard", "amex", "discover"][usize::from(entropy::bytes::<1>()[0] % 4)];
        let body = json!({ "brand": brand }).to_string();
        let shown = self.send(&self.operator, &path, &[], body).await.expect(201);
        Card { number: shown.text_of("number"), cvc: shown.text_of("cvc"), shown: shown.body }
    }

    /// Uses a card in every way that is right or wrong; returns what was answered.
    async fn use_up(&self, card: &Card, client: &str) -> Vec<Answer> {
        let Card { number, cvc, shown } = card;
        let spaced = in_groups(number, " ");
        let paying = |change: &dyn Fn(&mut Value)| {
            let mut body = json!({
                "amount": { "amount": 130, "currency": "EUR" },
                "card": {
                    "number": number, "cvc": cvc,
                    "exp_month": shown["exp_month"], "exp_year": shown["exp_year"],
                },
            });
            change(&mut body);
            body.to_string()
        };
        let wrong_cvc: String =
            cvc.chars().rev().map(|digit| if digit == '0' { '1' } else { digit }).collect();
        let bodies = [
            paying(&|_| {}),
            paying(&|body| body["card"]["number"] = json!(spaced)),
            paying(&|body| body["card"]["cvc"] = json!(wrong_cvc)),
            paying(&|body| body["card"]["exp_year"] = json!(2020)),
            paying(&|body| body["card"]["number"] = json!(number.parse::<u64>().unwrap())),
            paying(&|body| body["card"]["number"] = json!(format!("{number}0000"))),
            paying(&|body| body["card"]["cvc"] = json!(format!("{cvc}99"))),
            paying(&|body| body["card"]["cvc"] = json!(cvc.parse::<u64>().unwrap())),
            paying(&|body| body["card"][number] = json!(1)),
            paying(&|body| body["description"] = json!(format!("card {number}, cvc {cvc}"))),
            paying(&|body| body["reference"] = json!(in_groups(number, "-"))),
            paying(&|body| body["metadata"] = json!({ number.clone(): cvc })),
            paying(&|body| body["amount"]["currency"] = json!(number)),
            // Malformed: cut off behind the number, a member twice, no JSON at all.
            paying(&|_| {}).split_once("\"cvc\"").map(|(cut, _)| format!("{cut}\"{number}")).unwrap(),
            format!("{{\"card\":\"{number}\",\"card\":\"{number}\"}}"),
            format!("number={number}&cvc={cvc}"),
        ];
        let mut answers = Vec::new();
        for body in bodies {
            answers.push(self.send(&self.merchant, "/v1/payments", &[], body).await);
        }
        let good = paying(&|_| {});
        for (path, headers) in [
            ("/v1/payments".to_owned(), vec![("Idempotency-Key", number.as_str()), ("Request-Id", number)]),
            (format!("/v1/payments?card={number}&cvc={cvc}"), vec![]),
            (format!("/v1/payments/{number}/capture"), vec![]),
            (format!("/v1/{number}"), vec![]),
        ] {
            answers.push(self.send(&self.merchant, &path, &headers, good.clone()).await);
        }
        let again = json!({ "number": number }).to_string();
        answers.push(self.send(&self.operator, &format!("/v1/clients/{client}/cards"), &[], again).await);
        let bearer = self.http.post(format!("{}/v1/payments", self.url)).bearer_auth(number).body(good);
        answers.push(Answer::read(bearer.send().await.unwrap()).await.unwrap());
        answers
    }
}

/// Writes a number as it stands on cards.
fn in_groups(number: &str, between: &str) -> String {
    let groups: &[usize] = if number.len() == 15 { &[4, 6, 5] } else { &[4, 4, 4, 4] };
    let mut rest = number;
    let mut parts = Vec::new();
    for length in groups {
        let (part, more) = rest.split_at(*length);
        parts.push(part);
        rest = more;
    }
    parts.join(between)
}

/// Lists the forms that a number could be found in.
fn forms_of_number(number: &str) -> Vec<String> {
    let reversed: String = number.chars().rev().collect();
    let mut forms = vec![number.to_owned(), reversed, in_groups(number, " "), in_groups(number, "-")];
    forms.push(hex::encode(number));
    forms.extend(in_base64(number));
    forms
}

/// Lists the forms that a CVC could be found in where three digits alone mean nothing.
fn forms_of_cvc(cvc: &str) -> Vec<String> {
    let reversed: String = cvc.chars().rev().collect();
    let mut forms = Vec::new();
    for cvc in [cvc, &reversed] {
        // Four digits in quotes are what `last4` is.
        if cvc.len() == 3 {
            let quoted = format!("\"{cvc}\"");
            forms.extend([hex::encode(&quoted), quoted]);
        }
        for name in ["cvc\":", "cvc\": ", "cvc=", "cvc: ", "cvc "] {
            forms.push(format!("{name}{cvc}"));
        }
    }
    forms
}

/// Returns what is the same in base64 wherever in a longer text the number stands.
fn in_base64(text: &str) -> Vec<String> {
    let at = |offset: usize| {
        let encoded = STANDARD_NO_PAD.encode(format!("{}{text}", "x".repeat(offset)));
        // The first and the last characters mix with what is around.
        let first = [0, 2, 3][offset];
        encoded[first..encoded.len() - 2].to_owned()
    };
    (0..3).map(at).collect()
}

/// Returns an answer with its headers, as it came.
fn whole(answer: &Answer) -> String {
    let headers = answer.headers.iter().map(|(name, value)| format!("{name}: {value:?}\n").replace('"', ""));
    format!("{}\n{}", headers.collect::<String>(), answer.text)
}

/// Returns every row of every table, as text.
async fn dump(database_url: &str) -> Vec<(String, String)> {
    let mut owner = PgConnection::connect(database_url).await.unwrap();
    let tables: Vec<(String,)> = sqlx::query_as(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let mut found = Vec::new();
    for (table,) in tables {
        let statement = AssertSqlSafe(format!("SELECT rows::text FROM {table} AS rows"));
        let rows: Vec<(String,)> = sqlx::query_as(statement).fetch_all(&mut owner).await.unwrap();
        let text: Vec<String> = rows.into_iter().map(|(row,)| row).collect();
        found.push((table, text.join("\n")));
    }
    found
}

#[test]
fn what_is_looked_for_would_be_found() {
    let number = "4111111111111111";
    let forms = AhoCorasick::new(forms_of_number(number)).unwrap();
    for around in ["", "a", "ab"] {
        let text = STANDARD_NO_PAD.encode(format!("{around}{{\"number\":\"{number}\"}}"));
        assert!(forms.is_match(&text), "{text}");
    }
    for text in [
        "x4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "1111111111111114",
        "\\x34313131313131313131313131313131",
    ] {
        assert!(forms.is_match(text), "{text}");
    }
    assert!(!forms.is_match("411111111111111 1"));
    let forms = AhoCorasick::new(forms_of_cvc("123")).unwrap();
    for text in ["{\"cvc\":\"123\"}", "{\"cvc\":123}", "cvc=321", "223132332222"] {
        assert!(forms.is_match(text), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_card_number_or_cvc_is_left_anywhere() {
    let vhost = vhost().await.unwrap();
    let spy = vhost.spy().await;
    let cast = Cast::start_logging(
        "trace,lapin=trace",
        Deployment::new(PROGRAMS).await,
        Some(&vhost.amqp_url),
        1,
        1,
    )
    .await;
    let fee = json!({ "percent": "1.40", "fixed": [] });
    let merchant =
        cast.post(0, "/v1/merchants", json!({ "name": "Corner Shop", "fee": fee })).await.expect(201);
    let role = json!({ "role": "merchant", "merchant_id": merchant.text_of("id") });
    let key = cast.post(0, "/v1/api-keys", role).await.expect(201).text_of("secret");
    let caller = Arc::new(Caller {
        http: reqwest::Client::new(),
        url: cast.command_apis[0].url.clone(),
        operator: cast.operator.clone(),
        merchant: key,
    });
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(cast.client(1_000_000).await);
    }
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (caller, clients) = (Arc::clone(&caller), clients.clone());
        workers.spawn(async move {
            let (mut cards, mut answers) = (Vec::new(), Vec::new());
            for n in (worker..CARDS).step_by(WORKERS) {
                let client = &clients[n % CLIENTS];
                let card = caller.issue(client).await;
                answers.extend(caller.use_up(&card, client).await);
                cards.push(card);
            }
            (cards, answers)
        });
    }
    let (mut cards, mut answers) = (Vec::new(), Vec::new());
    for (of_worker, said) in workers.join_all().await {
        cards.extend(of_worker);
        answers.extend(said);
    }
    cast.caught_up().await;
    assert_eq!(cards.len(), CARDS);
    let statuses = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert!(statuses(201) >= 4 * CARDS, "{} payments", statuses(201));
    assert!(statuses(400) >= 3 * CARDS && statuses(422) >= 8 * CARDS && statuses(409) >= CARDS);

    let said: Vec<String> = answers.iter().map(whole).collect();
    let seen: Vec<String> =
        spy.seen().iter().map(|message| String::from_utf8_lossy(message).into_owned()).collect();
    assert!(!seen.is_empty());
    let mut places = dump(&cast.deployment.database_url).await;
    places.push(("answers".to_owned(), said.join("\n")));
    places.push(("messages".to_owned(), seen.join("\n")));
    for service in [&cast.command_apis[0], &cast.projectors[0], &cast.query_api] {
        places.push((format!("the log of {}", service.url), service.logged()));
    }
    // At this level RabbitMQ's client alone tells of every message.
    assert!(places.iter().any(|(place, text)| place.starts_with("the log") && text.len() > 1_000_000));
    let forms: Vec<String> = cards
        .iter()
        .flat_map(|card| [forms_of_number(&card.number), forms_of_cvc(&card.cvc)].concat())
        .collect();
    let forms = AhoCorasick::new(forms).unwrap();
    for (place, text) in places {
        if let Some(found) = forms.find(&text) {
            let around = text.get(found.start().saturating_sub(80)..(found.end() + 40).min(text.len()));
            panic!("a card is in {place}: {around:?}");
        }
    }
    cast.audit();
    cast.stop().await;
}
