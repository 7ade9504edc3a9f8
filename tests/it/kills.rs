//! `kill -9`, of everything and of PostgreSQL alone, under load: what was answered is in the log, once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event_store::entropy;
use ledger_tests::{Answer, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quittance::credentials::Credentials;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_quittance-under-test");
const WORKERS: usize = 16;
const ROUNDS: usize = 10;

/// What was answered with success: by idempotency key, the path, the body sent, and the answer.
type Answered = Arc<Mutex<HashMap<String, (String, String, Answer)>>>;

/// A program with its data folder.
pub(crate) struct Program {
    data: PathBuf,
    child: Child,
}

impl Program {
    /// Starts the program and waits until it says where it listens.
    pub(crate) async fn start(data: &Path) -> Self {
        let credentials = data.join("credentials.json");
        let before = std::fs::metadata(&credentials).and_then(|file| file.modified()).ok();
        let clock = data.with_extension("clock");
        let test_clock: &[&str] =
            if clock.exists() { &["--allow-test-clock", "--test-clock-offset-file"] } else { &[] };
        let child = Command::new(PROGRAM)
            .args(["up", "--command-addr", "127.0.0.1:0", "--query-addr", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(["--broker", &broker(data).await])
            .args(test_clock)
            .args(clock.exists().then_some(&clock))
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while std::fs::metadata(&credentials).and_then(|file| file.modified()).ok() == before {
            assert!(began.elapsed() < Duration::from_secs(60), "the program did not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { data: data.to_owned(), child }
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::load(&self.data).unwrap()
    }

    /// Finds PostgreSQL's main process.
    fn postmaster(&self) -> i32 {
        self.server().unwrap()
    }

    /// The same, where it may just be starting.
    fn server(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.data.join("postgres/pg/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Kills the program and PostgreSQL with all its processes.
    fn kill_everything(&mut self) {
        let postmaster = self.postmaster();
        let mut victims = children(postmaster);
        victims.extend([postmaster, i32::try_from(self.child.id()).unwrap()]);
        victims.into_iter().for_each(kill_nine);
        self.child.wait().unwrap();
    }

    /// Stops a program that is not needed any more.
    pub(crate) fn end(mut self) {
        self.stop();
    }

    /// Asks the program to stop, as Ctrl-C does.
    pub(crate) fn stop(&mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// Returns the broker of the run for a data folder: the same one at each start.
async fn broker(data: &Path) -> String {
    let noted = data.with_extension("broker");
    if let Ok(url) = std::fs::read_to_string(&noted) {
        return url;
    }
    let vhost = ledger_tests::broker::of_run().await.unwrap();
    let url = vhost.map_or_else(|| "embedded".to_owned(), |vhost| vhost.amqp_url);
    std::fs::write(noted, &url).unwrap();
    url
}

fn kill_nine(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// Lists the processes whose parent is the given one.
fn children(parent: i32) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
            after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str())
        })
        .collect()
}

/// Sends a command once; `None` if no answer came.
async fn post(
    http: &reqwest::Client,
    credentials: &Credentials,
    key: &str,
    path: &str,
    body: &str,
) -> Option<Answer> {
    let request = http
        .post(format!("{}{path}", credentials.command_url))
        .bearer_auth(&credentials.operator)
        .header("Idempotency-Key", key)
        .header("Request-Id", key)
        .header("Content-Type", "application/json")
        .body(body.to_owned());
    Answer::read(request.send().await.ok()?).await.ok()
}

/// Sends deposits from all workers until told to stop, and notes what was answered with success.
fn load(credentials: Credentials, clients: &[String], answered: &Answered) -> (Arc<AtomicBool>, JoinSet<()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (credentials, answered, stop) = (credentials.clone(), Arc::clone(answered), Arc::clone(&stop));
        let path = format!("/v1/clients/{}/deposits", clients[worker % clients.len()]);
        workers.spawn(async move {
            let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
            while !stop.load(Ordering::Relaxed) {
                let key = entropy::uuid().simple().to_string();
                let body =
                    json!({ "amount": { "amount": 7, "currency": "EUR" }, "reference": "load" }).to_string();
                match post(&http, &credentials, &key, &path, &body).await {
                    Some(answer) if answer.status == 200 => {
                        answered.lock().unwrap().insert(key, (path.clone(), body, answer));
                    }
                    Some(answer) => assert!(matches!(answer.status, 503 | 504), "{}", answer.text),
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
    }
    (stop, workers)
}

/// Checks that every answered command is in the log exactly once, and answers as it did.
async fn check(credentials: &Credentials, answered: &Answered, replays: usize) {
    // Taken before the log is read: what is answered meanwhile is for the next check.
    let answered = answered.lock().unwrap().clone();
    let mut database = PgConnection::connect(&credentials.database_url).await.unwrap();
    let counts: Vec<(String, i64)> = sqlx::query_as(
        "SELECT canonical::jsonb ->> 'request_id', count(*) FROM events WHERE type = 'client.deposited' GROUP BY 1",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    let counts: HashMap<String, i64> = counts.into_iter().collect();
    assert!(counts.values().all(|count| *count == 1), "a command ran twice");
    for key in answered.keys() {
        assert_eq!(counts.get(key), Some(&1), "an answered command is not in the log");
    }
    let http = reqwest::Client::new();
    for (key, (path, body, first)) in answered.iter().take(replays) {
        let again = post(&http, credentials, key, path, body).await.unwrap();
        assert_eq!((&again.text, again.position()), (&first.text, first.position()));
        assert_eq!(again.header("idempotent-replayed"), "true");
    }
}

/// Runs the program's own audit.
fn audit(data: &Path) {
    let output = Command::new(PROGRAM).args(["audit", "verify", "--data"]).arg(data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

async fn open_clients(credentials: &Credentials) -> Vec<String> {
    let http = reqwest::Client::new();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let key = entropy::uuid().to_string();
        let client = post(&http, credentials, &key, "/v1/clients", r#"{"name":"Ada"}"#).await.unwrap();
        clients.push(client.expect(201).text_of("id"));
    }
    clients
}

/// Waits until PostgreSQL and the read models are back at the log's head.
async fn wait_for_read_models(credentials: &Credentials) {
    let began = Instant::now();
    loop {
        if let Ok(mut database) = PgConnection::connect(&credentials.database_url).await {
            let behind: Result<(i64,), _> = sqlx::query_as(
                "SELECT count(*) FROM projections WHERE position < (SELECT max(position) FROM events)",
            )
            .fetch_one(&mut database)
            .await;
            if matches!(behind, Ok((0,))) {
                return;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the read models did not catch up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until another server than the killed one accepts connections, at the same address. Backends that
/// outlive it serve on for a moment, so answers alone do not show that.
async fn wait_for_another_server(program: &Program, killed: i32) {
    let url = program.credentials().database_url;
    let began = Instant::now();
    loop {
        let server = program.server();
        if server.is_some_and(|pid| pid != killed) && PgConnection::connect(&url).await.is_ok() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "PostgreSQL did not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_ten_times_it_keeps_every_answer() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    let answered = Answered::default();
    let mut program = Program::start(&data).await;
    let clients = open_clients(&program.credentials()).await;
    for round in 0..ROUNDS {
        let (stop, workers) = load(program.credentials(), &clients, &answered);
        tokio::time::sleep(Duration::from_millis(500 + 97 * round as u64)).await;
        program.kill_everything();
        stop.store(true, Ordering::Relaxed);
        workers.join_all().await;
        program = Program::start(&data).await;
        check(&program.credentials(), &answered, 20).await;
        wait_for_read_models(&program.credentials()).await;
        audit(&data);
    }
    assert!(answered.lock().unwrap().len() > ROUNDS * 10, "there was hardly any load");
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_killed_alone_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    let answered = Answered::default();
    let mut program = Program::start(&data).await;
    let credentials = program.credentials();
    let clients = open_clients(&credentials).await;
    let (stop, workers) = load(credentials.clone(), &clients, &answered);
    for round in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(400 + 61 * round as u64)).await;
        let killed = program.postmaster();
        kill_nine(killed);
        wait_for_another_server(&program, killed).await;
        // One answer per worker may be an orphaned backend's; one more was given by the new server.
        let back = answered.lock().unwrap().len();
        let began = Instant::now();
        while answered.lock().unwrap().len() <= back + WORKERS {
            assert!(began.elapsed() < Duration::from_secs(60), "no command is answered any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        check(&credentials, &answered, 10).await;
        audit(&data);
    }
    stop.store(true, Ordering::Relaxed);
    workers.join_all().await;
    check(&credentials, &answered, 50).await;
    wait_for_read_models(&credentials).await;
    audit(&data);
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_is_refused_and_a_later_one_carries_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    let mut program = Program::start(&data).await;
    let clients = open_clients(&program.credentials()).await;
    let second = Command::new(PROGRAM).args(["up", "--data"]).arg(&data).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.lines().count() == 1, "{said}");
    assert!(said.contains("another quittance is running"), "{said}");

    // Killed alone, the program leaves its server behind; the next start takes it over.
    let first = program.credentials();
    let server = program.postmaster();
    kill_nine(i32::try_from(program.child.id()).unwrap());
    program.child.wait().unwrap();
    program = Program::start(&data).await;
    assert_eq!(program.postmaster(), server);
    let credentials = program.credentials();
    assert_eq!(credentials.operator, first.operator);
    wait_for_read_models(&credentials).await;
    let path = format!("{}/v1/clients/{}", credentials.query_url, clients[0]);
    let shown = reqwest::Client::new().get(path).bearer_auth(&credentials.operator).send().await.unwrap();
    assert_eq!(shown.status(), 200);
    let began = Instant::now();
    program.stop();
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_expires_once_however_long_nobody_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    let set_clock =
        |days: i64| std::fs::write(data.with_extension("clock"), (days * 86_400).to_string()).unwrap();
    set_clock(0);
    let mut program = Program::start(&data).await;
    let http = reqwest::Client::new();
    let mut credentials = program.credentials();
    let send = async |credentials: &Credentials, key: &str, path: &str, body: serde_json::Value| {
        let credentials = Credentials { operator: key.to_owned(), ..credentials.clone() };
        let answer = post(&http, &credentials, &entropy::uuid().to_string(), path, &body.to_string()).await;
        answer.unwrap()
    };
    let operator = credentials.operator.clone();
    let new = json!({ "name": "Corner Shop", "fee": { "percent": "1" } });
    let merchant = send(&credentials, &operator, "/v1/merchants", new).await.expect(201).text_of("id");
    let new = json!({ "role": "merchant", "merchant_id": merchant });
    let merchant_key = send(&credentials, &operator, "/v1/api-keys", new).await.expect(201).text_of("secret");
    let client = open_clients(&credentials).await.remove(0);
    let euros = json!({ "amount": { "amount": 1_000, "currency": "EUR" } });
    send(&credentials, &operator, &format!("/v1/clients/{client}/deposits"), euros.clone()).await.expect(200);
    let card =
        send(&credentials, &operator, &format!("/v1/clients/{client}/cards"), json!({})).await.expect(201);
    let mut pay = euros;
    pay["capture"] = json!("manual");
    for name in ["number", "exp_month", "exp_year", "cvc"] {
        pay["card"][name] = card.body[name].clone();
    }
    let payment = send(&credentials, &merchant_key, "/v1/payments", pay).await.expect(201).text_of("id");

    let expiries = async |credentials: &Credentials| {
        let mut database = PgConnection::connect(&credentials.database_url).await.unwrap();
        let (count,): (i64,) =
            sqlx::query_as("SELECT count(*) FROM events WHERE type = 'payment.expired' AND stream_id = $1")
                .bind(&payment)
                .fetch_one(&mut database)
                .await
                .unwrap();
        count
    };
    for days in [8, 60] {
        program.kill_everything();
        set_clock(days);
        program = Program::start(&data).await;
        credentials = program.credentials();
        let path = format!("/v1/payments/{payment}/capture");
        let late = send(&credentials, &merchant_key, &path, json!({})).await;
        assert_eq!(late.status, 409, "{}", late.text);
        eventually(async || expiries(&credentials).await > 0).await;
        wait_for_read_models(&credentials).await;
        // Longer than the scheduler's pause: it does not do so again.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(expiries(&credentials).await, 1);
        audit(&data);
    }
    program.stop();
}
