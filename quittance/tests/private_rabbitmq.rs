//! The private RabbitMQ through its life: each test starts a node of its own, to kill it as it likes.

#![expect(clippy::unwrap_used, reason = "a test says plainly what must be so")]

use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quittance::data_dir::DataDir;
use quittance::private_rabbitmq::PrivateRabbit;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a node may take to end with all that belongs to it.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn it_keeps_what_it_has_confirmed_when_it_is_killed() {
    let (_folder, data) = data_dir();
    let mut rabbit = start(&data).await;
    assert!(rabbit.amqp_url("/").ends_with("/%2F"), "the slash is the name, not an end");
    rabbit.create_vhost("a test").await.unwrap();
    let queue = json!({ "durable": true, "arguments": { "x-queue-type": "quorum" } });
    api(&rabbit, Method::PUT, "queues/a%20test/kept", queue).await;
    let message = json!({ "routing_key": "kept", "payload": "hello", "payload_encoding": "string",
                          "properties": { "delivery_mode": 2 } });
    let published = api(&rabbit, Method::POST, "exchanges/a%20test/amq.default/publish", message).await;
    assert_eq!(published["routed"], true);
    // RabbitMQ 3.10 writes down only half a second later which quorum queues it leads: one that it forgets
    // has no leader ever after.
    tokio::time::sleep(Duration::from_millis(1500)).await;

    kill(Pid::from_raw(rabbit.pid()), Signal::SIGKILL).unwrap();
    rabbit.ended().await;
    let again = start(&data).await;
    assert_eq!(again.amqp_url("a test"), rabbit.amqp_url("a test"));
    let get = json!({ "count": 1, "ackmode": "ack_requeue_false", "encoding": "auto" });
    let messages = api(&again, Method::POST, "queues/a%20test/kept/get", get).await;
    assert_eq!(messages[0]["payload"], "hello");

    again.delete_vhost("a test").await.unwrap();
    again.delete_vhost("a test").await.unwrap();
    let vhosts = api(&again, Method::GET, "vhosts", Value::Null).await;
    assert_eq!(vhosts.as_array().unwrap().len(), 1, "{vhosts}");
    again.stop().await.unwrap();
    all_end(&data).await;
}

#[tokio::test]
async fn it_adopts_the_node_that_a_killed_program_left_behind() {
    let (_folder, data) = data_dir();
    let left_behind = start(&data).await;
    let pid = left_behind.pid();
    for port in std::fs::read_to_string(data.rabbitmq().join("ports")).unwrap().split_whitespace() {
        let port = port.parse().unwrap();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        // As good as from elsewhere.
        TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).unwrap_err();
    }
    // What `kill -9` leaves: a node that nobody has told anything.
    std::mem::forget(left_behind);

    let adopted = start(&data).await;
    assert_eq!(adopted.pid(), pid);
    adopted.create_vhost("adopted").await.unwrap();
    drop(adopted);
    // Told to stop, and not waited for.
    all_end(&data).await;
}

#[tokio::test]
async fn it_says_why_a_node_does_not_start() {
    let (_folder, data) = data_dir();
    std::fs::create_dir(data.rabbitmq()).unwrap();
    // Where the configuration has its password from, and now a setting that RabbitMQ does not know.
    std::fs::write(data.rabbitmq().join("password"), "secret\nnonsense = 1").unwrap();
    let error = PrivateRabbit::start(&data, None).await.err().unwrap().to_string();
    assert!(error.contains("RabbitMQ did not start; it said: "), "{error}");
    assert!(error.contains("configuration"), "{error}");
    assert!(error.ends_with(&format!("(more in {})", data.rabbitmq().join("log").display())), "{error}");
    all_end(&data).await;
}

/// Makes a data folder that goes away with the test.
fn data_dir() -> (TempDir, DataDir) {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(&folder.path().join("data")).unwrap();
    (folder, data)
}

async fn start(data: &DataDir) -> PrivateRabbit {
    PrivateRabbit::start(data, None).await.unwrap()
}

/// Asks the management API, and takes no refusal.
async fn api(rabbit: &PrivateRabbit, method: Method, path: &str, body: Value) -> Value {
    let url = format!("{}/api/{path}", rabbit.management_url());
    let amqp_url = rabbit.amqp_url("/");
    let (user, rest) = amqp_url.strip_prefix("amqp://").unwrap().split_once(':').unwrap();
    let password = rest.split_once('@').unwrap().0;
    let request = Client::new().request(method, url).basic_auth(user, Some(password));
    let response = request.json(&body).send().await.unwrap().error_for_status().unwrap();
    let text = response.text().await.unwrap();
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
}

/// Waits until nothing runs that was started for the node of a data folder: Erlang's helpers end by themselves
/// a moment after their node, when they find its pipe closed.
async fn all_end(data: &DataDir) {
    let began = Instant::now();
    while !processes(data).is_empty() {
        assert!(began.elapsed() < PATIENCE, "these run on: {:?}", processes(data));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lists the processes that were started for the node of a data folder, as far as the system tells.
fn processes(data: &DataDir) -> Vec<i32> {
    let folder = data.rabbitmq();
    let home = [b"HOME=", folder.as_os_str().as_encoded_bytes()].concat();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let of_node = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == home)
    };
    pids.filter(of_node).collect()
}
