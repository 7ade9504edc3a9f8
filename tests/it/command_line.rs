//! The program's own commands, beside a running system and without one.

use std::path::Path;
use std::process::{Command, Output};

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

    // Other keys than the log's: a start must not make fingerprints that find nothing.
    std::fs::rename(data.join("secrets.json"), data.join("aside.json")).unwrap();
    let refused = run(&data, &["up", "--command-addr", "127.0.0.1:0", "--query-addr", "127.0.0.1:0"]);
    assert!(!refused.status.success() && said(&refused).contains("secrets"), "{}", said(&refused));
    std::fs::rename(data.join("aside.json"), data.join("secrets.json")).unwrap();
    Program::start(&data).await.stop();
    assert!(!run(&data, &["up", "--command-addr", "nonsense"]).status.success());
    assert!(!run(&data, &["up", "--test-clock-offset-file", "x"]).status.success());
}
