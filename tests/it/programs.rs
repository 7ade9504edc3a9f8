//! The services as programs of their own: what they say of themselves, what they refuse to work on, and a
//! payment through all of them.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use event_store::entropy;
use event_store::migrate::DatabaseRole;
use event_store::secrets::Secrets;
use ledger_tests::Answer;
use ledger_tests::services::{Deployment, Programs, Service};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::task::JoinHandle;

const PROGRAMS: Programs = Programs {
    quittance: env!("CARGO_BIN_EXE_quittance-under-test"),
    command_api: env!("CARGO_BIN_EXE_command-api-under-test"),
    projectors: env!("CARGO_BIN_EXE_projectors-under-test"),
    query_api: env!("CARGO_BIN_EXE_query-api-under-test"),
};

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env_clear().output().unwrap()
}

async fn as_owner(deployment: &Deployment, statement: &str) {
    let mut owner = PgConnection::connect(&deployment.database_url).await.unwrap();
    owner.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
}

#[test]
fn help_names_every_option_with_its_default() {
    let common = ["--database-url", "DATABASE_URL", "--secrets", "QUITTANCE_SECRETS", "--log-format", "text"];
    let clock = ["--test-clock-offset-file", "QUITTANCE_TEST_CLOCK_OFFSET_FILE", "--allow-test-clock"];
    let broker = ["--amqp-url", "AMQP_URL"];
    let read = ["--read-database-url", "READ_DATABASE_URL"];
    let queue = ["QUITTANCE_COMMAND_ADDR", "127.0.0.1:8080", "--queue-wait-ms", "[default: 250]"];
    for (program, options) in [
        (PROGRAMS.command_api, [&queue[..], &clock, &broker].concat()),
        (
            PROGRAMS.projectors,
            [&["QUITTANCE_PROJECTORS_ADDR", "127.0.0.1:8082"][..], &broker, &read].concat(),
        ),
        (PROGRAMS.query_api, [&["QUITTANCE_QUERY_ADDR", "127.0.0.1:8081"][..], &clock, &read].concat()),
    ] {
        let help = run(program, &["--help"]);
        let said = String::from_utf8(help.stdout).unwrap();
        assert!(help.status.success());
        for option in common.into_iter().chain(options) {
            assert!(said.contains(option), "{option} is missing in {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_value_stops_the_start_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let not_secrets = folder.path().join("not-secrets.json");
    std::fs::write(&not_secrets, "hunter2").unwrap();
    let not_secrets = not_secrets.to_str().unwrap();
    let deployment = Deployment::new(PROGRAMS).await;
    let command_api = || deployment.command_api();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (launch, code, named) in [
        (command_api().without("--database-url"), 2, "--database-url"),
        (command_api().with("--addr", "nonsense"), 2, "--addr"),
        (command_api().with("--queue-wait-ms", "0"), 2, "--queue-wait-ms"),
        (command_api().with("--test-clock-offset-file", "x"), 2, "--allow-test-clock"),
        (deployment.query_api().with("--log-format", "xml"), 2, "--log-format"),
        (command_api().with("--addr", taken), 1, "--addr"),
        (command_api().with("--database-url", "mysql://u:hunter2@h/db"), 1, "--database-url"),
        (command_api().with("--database-url", "postgres://u:hunter2@h:port/db"), 1, "--database-url"),
        (command_api().with("--amqp-url", "http://u:hunter2@h"), 1, "--amqp-url"),
        (deployment.projectors().with("--read-database-url", "u:hunter2@h"), 1, "--read-database-url"),
        (command_api().with("--secrets", "/nowhere"), 1, "/nowhere"),
        (command_api().with("--secrets", not_secrets), 1, "not-secrets.json"),
        (deployment.projectors().with("--secrets", query_secrets(&deployment)), 1, "no key `master`"),
    ] {
        let (ended, said) = launch.refused().await;
        assert_eq!(ended, code, "{said}");
        assert!(said.contains(named) && !said.contains("hunter2"), "{said}");
    }
}

fn query_secrets(deployment: &Deployment) -> String {
    deployment.secrets().join("query-api.json").to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_can_not_work_on_is_refused() {
    let deployment = Deployment::new(PROGRAMS).await;
    let all = || [deployment.command_api(), deployment.projectors(), deployment.query_api()];
    let roles = [DatabaseRole::Command, DatabaseRole::Projector, DatabaseRole::Query];

    let name = deployment.database_url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    for (launch, role) in all().into_iter().zip(roles) {
        let no_ledger = deployment.url_as(role).replacen(&format!("/{name}"), "/postgres", 1);
        let (_, said) = launch.with("--database-url", no_ledger).refused().await;
        assert!(said.contains("quittance migrate"), "{said}");
    }

    for launch in all() {
        let (_, said) = launch.with("--database-url", &deployment.database_url).refused().await;
        assert!(said.contains("the role `postgres` may ") && said.contains("must not"), "{said}");
    }
    let all_secrets = deployment.secrets().join("secrets.json");
    let passwords = Secrets::read(&all_secrets).unwrap().passwords;
    let url_as = |role| deployment.url_as(role).replacen('@', &format!(":{}@", passwords[&role]), 1);
    let [writer, _, reader] = roles;
    for (launch, role, why) in [
        (deployment.query_api(), writer, "_command` may SELECT ON cards, which this program must not"),
        (deployment.query_api(), DatabaseRole::Auditor, "_auditor` may SELECT ON cards"),
        (deployment.projectors(), writer, "_command` may INSERT ON events, which this program must not"),
        (deployment.command_api(), reader, "_query` may not INSERT ON"),
    ] {
        let (_, said) = launch.with("--database-url", url_as(role)).refused().await;
        assert!(said.contains(why) && !said.contains(&passwords[&role]), "{said}");
    }

    let wrong_password = deployment.url_as(DatabaseRole::Query).replacen('@', ":hunter2@", 1);
    let (_, said) = deployment.query_api().with("--database-url", wrong_password).refused().await;
    assert!(said.contains("password") && !said.contains("hunter2"), "{said}");

    let others = deployment.secrets().join("others.json");
    let mut secrets = Secrets::draw(&others);
    secrets.passwords = passwords;
    std::fs::write(&others, secrets.to_text()).unwrap();
    let others = others.to_str().unwrap();
    let (_, said) = deployment.command_api().with("--secrets", others).refused().await;
    assert!(said.contains("(wrong: fingerprint, cvc, master, idempotency); restore"), "{said}");
    let (_, said) = deployment.projectors().with("--secrets", others).refused().await;
    assert!(said.contains("(wrong: master); restore"), "{said}");

    as_owner(&deployment, "UPDATE log_identity SET min_writer_version = 99").await;
    for launch in [deployment.command_api(), deployment.projectors()] {
        let (code, said) = launch.refused().await;
        assert!(code == 1 && said.contains("writes version 99 or later"), "{said}");
    }
    let query_api = deployment.query_api().start().await;
    assert!(query_api.stop().await.success());
}

/// Sends a command, and returns what was made.
async fn post(service: &Service, api_key: &str, path: &str, body: Value) -> Answer {
    let request = reqwest::Client::new()
        .post(format!("{}{path}", service.url))
        .bearer_auth(api_key)
        .header("Idempotency-Key", entropy::uuid().to_string())
        .json(&body);
    Answer::read(request.send().await.unwrap()).await.unwrap()
}

/// Sends a payment through two command APIs; returns the client and the position of the payment.
async fn pay(services: [&Service; 2], operator: &str) -> (String, u64) {
    let fee = json!({ "percent": "1.40", "fixed": [{ "amount": 25, "currency": "EUR" }] });
    let merchant = post(services[0], operator, "/v1/merchants", json!({ "name": "Corner Shop", "fee": fee }));
    let merchant = merchant.await.expect(201).text_of("id");
    let key = json!({ "role": "merchant", "merchant_id": merchant });
    let key = post(services[1], operator, "/v1/api-keys", key).await.expect(201).text_of("secret");
    let client = post(services[0], operator, "/v1/clients", json!({ "name": "Ada" })).await.expect(201);
    let client = client.text_of("id");
    let amount = json!({ "amount": { "amount": 50_000, "currency": "EUR" } });
    post(services[1], operator, &format!("/v1/clients/{client}/deposits"), amount).await.expect(200);
    let path = format!("/v1/clients/{client}/cards");
    let card = post(services[0], operator, &path, json!({})).await.expect(201).body;
    let card = json!({
        "number": card["number"], "exp_month": card["exp_month"], "exp_year": card["exp_year"], "cvc": card["cvc"],
    });
    let payment = json!({ "amount": { "amount": 10_000, "currency": "EUR" }, "card": card });
    let paid = post(services[1], &key, "/v1/payments", payment).await.expect(201);
    (client, paid.position())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_passes_through_four_processes() {
    let deployment = Deployment::new(PROGRAMS).await;
    let operator = deployment.operator();
    // All at once, as containers do.
    let (first, second, projectors, query_api) = tokio::join!(
        deployment.command_api().start(),
        deployment.command_api().with("--log-format", "json").start(),
        deployment.projectors().start(),
        deployment.query_api().start(),
    );
    tokio::join!(first.ready(), second.ready(), projectors.ready(), query_api.ready());
    let (client, position) = pay([&first, &second], &operator).await;
    let balances = reqwest::Client::new()
        .get(format!("{}/v1/clients/{client}/balances", query_api.url))
        .bearer_auth(&operator)
        .header("Ledger-Min-Position", position.to_string());
    let balances = Answer::read(balances.send().await.unwrap()).await.unwrap().expect(200);
    assert!(balances.text.contains("40000"), "{}", balances.text);
    let metrics = reqwest::get(format!("{}/metrics", projectors.url)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("quittance_projection_position"), "{metrics}");

    for service in [first, second, projectors, query_api] {
        let (url, began) = (service.url.clone(), Instant::now());
        assert_eq!(service.stop().await.code(), Some(0), "{url}");
        assert!(began.elapsed() < Duration::from_secs(5), "{url} took its time to stop");
    }

    // A checkpoint of another history stops its read model, and /readyz says so.
    as_owner(
        &deployment,
        "UPDATE projections SET leaf_hash = sha256('another history') WHERE name = 'payment'",
    )
    .await;
    let projectors = deployment.projectors().start().await;
    let mismatch = format!("projection payment is stopped: history_mismatch at position {position}");
    let began = Instant::now();
    while !projectors.not_ready().await.contains(&mismatch) {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", projectors.not_ready().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(projectors.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_waits_for_its_database() {
    let deployment = Deployment::new(PROGRAMS).await;
    for launch in [deployment.command_api(), deployment.projectors(), deployment.query_api()] {
        let away = "postgres://nobody:hunter2@127.0.0.1:1/nothing";
        let service = launch.with("--database-url", away).with("--log-format", "json").start().await;
        let health = reqwest::get(format!("{}/healthz", service.url)).await.unwrap();
        assert_eq!(health.status(), 200);
        let began = Instant::now();
        while service.not_ready().await != ["the log is unavailable"] {
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", service.not_ready().await);
        }
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let logged = service.logged();
        let line: Value = serde_json::from_str(&logged).unwrap_or_else(|_| panic!("not one line: {logged}"));
        assert_eq!((&line["level"], &line["fields"]["message"]), (&json!("WARN"), &json!("the start waits")));
        assert!(!logged.contains("hunter2"), "{logged}");
        assert!(service.stop().await.success());
    }
}

/// Starts a command API, and a command that waits in it for the log's lock, which the connection holds.
async fn with_a_waiting_command(
    deployment: &Deployment,
) -> (Service, PgConnection, JoinHandle<reqwest::Result<reqwest::Response>>) {
    let operator = deployment.operator();
    let service = deployment.command_api().start().await;
    service.ready().await;
    let mut holder = PgConnection::connect(&deployment.database_url).await.unwrap();
    holder.execute("BEGIN; LOCK TABLE log_lock IN EXCLUSIVE MODE").await.unwrap();
    let request = reqwest::Client::new().post(format!("{}/v1/clients", service.url)).bearer_auth(operator);
    let request = request.header("Idempotency-Key", "one").json(&json!({ "name": "Ada" }));
    let waiting = tokio::spawn(request.send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    (service, holder, waiting)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_carries_out_what_waits() {
    let deployment = Deployment::new(PROGRAMS).await;
    let (mut service, mut holder, waiting) = with_a_waiting_command(&deployment).await;
    service.signal(Signal::SIGTERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(reqwest::get(format!("{}/healthz", service.url)).await.is_err(), "it still takes requests");
    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 201);
    assert_eq!(service.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_service_at_once() {
    let deployment = Deployment::new(PROGRAMS).await;
    let (mut service, _holder, waiting) = with_a_waiting_command(&deployment).await;
    service.signal(Signal::SIGTERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    service.signal(Signal::SIGTERM);
    assert_eq!(service.ended().await.code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(waiting.await.unwrap().is_err());
}

#[test]
fn secrets_are_made_for_a_deployment_once() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    let made = run(PROGRAMS.quittance, &["secrets", secrets.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut files: Vec<_> = std::fs::read_dir(&secrets)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let expected = [
        "command-api.json",
        "postgres_password",
        "projectors.json",
        "query-api.json",
        "rabbitmq.conf",
        "secrets.json",
    ];
    assert_eq!(files, expected);
    let again = run(PROGRAMS.quittance, &["secrets", secrets.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(1) && said.lines().count() == 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owners_password_can_stand_in_a_file() {
    let deployment = Deployment::new(PROGRAMS).await;
    let (start, place) = deployment.database_url.rsplit_once('@').unwrap();
    let (user, password) = start.rsplit_once(':').unwrap();
    let file = deployment.secrets().join("postgres_password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    let url = format!("{user}@{place}");
    let with = |file: &str| {
        let arguments = ["api-keys", "list", "--database-url", &url, "--database-password-file", file];
        run(PROGRAMS.quittance, &arguments)
    };
    let listed = with(file.to_str().unwrap());
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let missing = with("/nowhere");
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(said.lines().count() == 1 && said.contains("--database-password-file"), "{said}");
}
