//! Sends commands to a running system: for what makes traffic.

use std::time::Duration;

use anyhow::{Context, bail};
use event_store::entropy;
use serde_json::Value;

use crate::credentials::Credentials;

/// Sends commands.
#[derive(Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    command_url: String,
    pub(crate) operator: String,
}

impl Caller {
    pub(crate) fn new(credentials: &Credentials) -> Self {
        Self {
            http: reqwest::Client::new(),
            command_url: credentials.command_url.clone(),
            operator: credentials.operator.clone(),
        }
    }

    /// Sends one command; a 503 says that it did not run, so it is sent again.
    pub(crate) async fn post(&self, key: &str, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let idempotency_key = entropy::uuid().to_string();
        loop {
            let sent = self
                .http
                .post(format!("{}{path}", self.command_url))
                .bearer_auth(key)
                .header("Idempotency-Key", &idempotency_key)
                .json(body)
                .send()
                .await?;
            let status = sent.status().as_u16();
            let answer = sent.json().await?;
            if status != 503 {
                return Ok((status, answer));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) async fn create(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let (status, answer) = self
            .post(&self.operator, path, &body)
            .await
            .with_context(|| format!("POST {path} got no answer"))?;
        if !(200..300).contains(&status) {
            bail!("POST {path} was refused with {status} {}", answer["code"]);
        }
        Ok(answer)
    }
}

/// Takes the text of an answer's member.
pub(crate) fn text(value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).context("an answer lacks what it should have")
}
