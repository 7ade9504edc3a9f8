//! The program's own commands, beside a running system and without one.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use sqlx::Connection;

use crate::kills::{PROGRAM, Program};

fn run(data: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).arg("--data").arg(data).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_traffic_and_proof() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    let mut program = Program::start(&data).await;
    let query_url = program.credentials().query_url;

    let created = run(&data, &["api-keys", "create", "--role", "auditor"]);
    assert!(created.status.success(), "{}", said(&created));
    let line = said(&created);
    let (id, secret) = line.trim().split_once("  ").unwrap();
    let ask = async || {
        let events = reqwest::Client::new().get(format!("{query_url}/v1/events")).bearer_auth(secret);
        events.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask().await, 200);
    assert!(said(&run(&data, &["api-keys", "list"])).contains(id));
    assert!(run(&data, &["api-keys", "revoke", id]).status.success());
    assert_eq!(ask().await, 401);
    assert!(!run(&data, &["api-keys", "create", "--role", "merchant"]).status.success());
    assert!(!run(&data, &["api-keys", "create", "--role", "god"]).status.success());

    let traffic = run(&data, &["demo", "--rate", "40", "--seconds", "2"]);
    assert!(traffic.status.success() && said(&traffic).contains("paid 201"), "{}", said(&traffic));
    assert!(run(&data, &["parked", "list"]).status.success());
    assert!(run(&data, &["migrate"]).status.success());
    assert!(said(&run(&data, &["audit", "verify"])).contains("all of it holds"));

    program.stop();
    // Nothing runs now: the tools start the database for the while.
    assert!(said(&run(&data, &["audit", "verify"])).contains("all of it holds"));
    let nowhere = run(&folder.path().join("nowhere"), &["audit", "verify"]);
    assert!(!nowhere.status.success() && said(&nowhere).lines().count() == 1, "{}", said(&nowhere));
}

/// No speed is asserted: what a benchmark says, and that it says nothing of books that do not balance.
#[tokio::test(flavor = "multi_thread")]
async fn a_benchmark_reports_and_audits() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    let mut program = Program::start(&data).await;
    let plot = folder.path().join("plot.svg");
    let small = ["--connections", "4", "--clients", "5", "--merchants", "2", "--warm-up", "0"];

    let closed = ["bench", "payments", "--json", "--seconds", "1", "--plot", plot.to_str().unwrap()];
    let measured = run(&data, &[&closed[..], &small].concat());
    assert!(measured.status.success(), "{}", said(&measured));
    let report: Value = serde_json::from_slice(&measured.stdout).unwrap();
    let result = &report["result"];
    let figure = |name: &str| result[name].as_f64().unwrap();
    assert!(report["books"]["balance"] == true && figure("steps_per_second") >= 1.0, "{report}");
    // A payment is two events: authorized, of two postings, and captured, of three.
    let postings = 2.5 * figure("events_per_second");
    assert!((figure("postings_per_second") - postings).abs() < 5.0, "{report}");
    let payments = result["latency"]["payment"]["count"].as_u64().unwrap();
    assert!(payments >= 1 && result["read_models"]["payment"]["age"]["count"].as_u64() > Some(0), "{report}");
    assert!(result["service"]["batch_commands"]["mean"].as_f64().unwrap() >= 1.0, "{report}");
    assert_eq!(report["conditions"]["postgres"]["fsync"], "on");
    assert_eq!(result["per_second"].as_array().unwrap().len(), 1);
    assert!(std::fs::read_to_string(plot).unwrap().contains("<polyline"));

    let open = ["bench", "payments", "--rate", "20", "--payments", "20"];
    let measured = said(&run(&data, &[&open[..], &small].concat()));
    for line in ["open loop at 20/s", "payment: answer", "client-account: age", "the books balance"] {
        assert!(measured.contains(line), "{line} is missing in {measured}");
    }

    // A balance that no event accounts for: there is no result then.
    let mut owner = sqlx::PgConnection::connect(&program.credentials().database_url).await.unwrap();
    sqlx::query("UPDATE balances SET available = available + 1").execute(&mut owner).await.unwrap();
    let refused = run(&data, &[&open[..], &small].concat());
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{}", said(&refused));
    assert!(said(&refused).contains("do not balance"), "{}", said(&refused));
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_start_says_why_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("ledger");
    let mut program = Program::start(&data).await;
    let taken = program.credentials().command_url.replace("http://", "");
    program.stop();

    let holder = std::net::TcpListener::bind(&taken).unwrap();
    let refused = run(&data, &["up", "--query-addr", "127.0.0.1:0", "--command-addr", &taken]);
    assert!(!refused.status.success() && said(&refused).contains("--command-addr"), "{}", said(&refused));
    drop(holder);

    // Without the log's keys a start must not make others in their place.
    std::fs::rename(data.join("secrets.json"), data.join("aside.json")).unwrap();
    let refused = run(&data, &["up", "--command-addr", "127.0.0.1:0", "--query-addr", "127.0.0.1:0"]);
    assert!(!refused.status.success() && said(&refused).contains("secrets"), "{}", said(&refused));
    assert!(!data.join("secrets.json").exists());
    std::fs::rename(data.join("aside.json"), data.join("secrets.json")).unwrap();
    Program::start(&data).await.stop();
    for wrong in [
        vec!["up", "--command-addr", "nonsense"],
        vec!["up", "--test-clock-offset-file", "x"],
        vec!["up", "--queue-wait-ms", "0"],
        vec!["nonsense"],
    ] {
        let refused = run(&data, &wrong);
        assert!(!refused.status.success() && said(&refused).lines().count() == 1, "{}", said(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_other_keys_leaves_a_running_ledger_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("ledger"), folder.path().join("other"));
    let mut program = Program::start(&data).await;
    let stranger = Program::start(&other).await;
    let url = program.credentials().database_url;
    stranger.end();
    for arguments in [vec!["up", "--database-url", &url], vec!["migrate", "--database-url", &url]] {
        let refused = run(&other, &arguments);
        assert!(!refused.status.success() && said(&refused).contains("secrets"), "{}", said(&refused));
        let nowhere = run(&folder.path().join("nowhere"), &arguments);
        assert!(!nowhere.status.success() && said(&nowhere).contains("secrets"), "{}", said(&nowhere));
    }
    // New connections of the running ledger still get in.
    let mut owner = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'quittance\\_%'")
        .execute(&mut owner)
        .await
        .unwrap();
    let ready = format!("{}/readyz", program.credentials().command_url);
    let began = std::time::Instant::now();
    while reqwest::get(&ready).await.unwrap().status() != 200 {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "the running ledger is locked out");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    // A database that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://x:y@{}/z", silent.local_addr().unwrap());
    let mut starting = Command::new(PROGRAM)
        .args(["up", "--database-url", &url, "--data"])
        .arg(folder.path().join("a"))
        .spawn()
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let began = std::time::Instant::now();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(starting.id().cast_signed()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    starting.wait().unwrap();
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
}
