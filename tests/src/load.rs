//! Traffic for as long as a test wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use event_store::entropy;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::answer::Answer;

/// Clients that send commands one after another. A 503 did not run, and is sent again.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    senders: JoinSet<()>,
}

/// A command that is sent again and again, each time under a key of its own.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The API key.
    pub api_key: String,
    /// The whole URL.
    pub url: String,
    /// The body.
    pub body: Value,
}

impl Sent {
    /// Brings 7 minor units to a client.
    pub fn deposit(command_url: &str, operator: &str, client: &str) -> Self {
        Self {
            api_key: operator.to_owned(),
            url: format!("{command_url}/v1/clients/{client}/deposits"),
            body: json!({ "amount": { "amount": 7, "currency": "EUR" } }),
        }
    }
}

impl Load {
    /// Starts one sender for each command, with a pause behind each answer. Any answer but success, 503 and
    /// 504 fails the test when the load ends, and so does no answer, unless servers are to be killed.
    pub fn start(commands: Vec<Sent>, pause: Duration, servers_die: bool) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut senders = JoinSet::new();
        for sent in commands {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            senders.spawn(async move {
                let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
                while !stop.load(Ordering::Relaxed) {
                    answered.fetch_add(send(&http, &sent, servers_die).await, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                }
            });
        }
        Self { stop, answered, senders }
    }

    /// Returns how many commands were answered with success.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops it; returns how many commands were answered with success.
    pub async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.senders.join_all().await;
        self.answered.load(Ordering::Relaxed)
    }
}

/// Sends a command under one key until it is known what became of it, or the server is gone; returns how
/// often it was done.
async fn send(http: &reqwest::Client, sent: &Sent, servers_die: bool) -> u64 {
    let key = entropy::uuid().to_string();
    loop {
        let request = http
            .post(&sent.url)
            .bearer_auth(&sent.api_key)
            .header("Idempotency-Key", &key)
            .header("Content-Type", "application/json")
            .body(sent.body.to_string());
        let answer = match request.send().await {
            Ok(response) => Answer::read(response).await,
            Err(error) => Err(error.into()),
        };
        match answer {
            Ok(answer) if matches!(answer.status, 200 | 201) => return 1,
            Ok(answer) => assert!(matches!(answer.status, 503 | 504), "{}", answer.text),
            Err(_) if servers_die => return 0,
            Err(error) => panic!("{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
