//! The node's management API, as far as we need it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use event_store::server_url::escaped;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::json;

use super::home::USER;

/// How long an answer may take; making a virtual host is the slowest.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client of one node's management API.
pub(super) struct Management {
    /// Where it is, without a slash at the end.
    pub(super) url: String,
    password: String,
    http: Client,
}

impl Management {
    pub(super) fn new(port: u16, password: &str) -> Result<Management> {
        // A proxy is for elsewhere. A connection lives on the runtime that opened it, which may be gone at
        // the next request: none is kept.
        let http = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build()?;
        Ok(Management { url: format!("http://127.0.0.1:{port}"), password: password.to_owned(), http })
    }

    /// Checks that the node takes messages: it listens on its port, and is not so short of memory or disk
    /// that it holds publishers up.
    pub(super) async fn check(&self, amqp_port: u16) -> Result<()> {
        // The API answers a moment before the node listens for anything else.
        for check in [format!("port-listener/{amqp_port}"), "alarms".to_owned()] {
            done(self.send(self.http.get(format!("{}/api/health/checks/{check}", self.url))).await?).await?;
        }
        Ok(())
    }

    /// Makes a virtual host that our user may do everything in. One that exists stays as it is.
    pub(super) async fn create_vhost(&self, name: &str) -> Result<()> {
        let vhost = escaped(name);
        let make = self.http.put(format!("{}/api/vhosts/{vhost}", self.url));
        let grant = self
            .http
            .put(format!("{}/api/permissions/{vhost}/{USER}", self.url))
            .json(&json!({ "configure": ".*", "write": ".*", "read": ".*" }));
        for request in [make, grant] {
            done(self.send(request).await?)
                .await
                .with_context(|| format!("cannot make the virtual host {name}"))?;
        }
        Ok(())
    }

    /// Removes a virtual host with all that is in it, and ends its connections. It may be gone already.
    pub(super) async fn delete_vhost(&self, name: &str) -> Result<()> {
        let vhost = escaped(name);
        let response = self.send(self.http.delete(format!("{}/api/vhosts/{vhost}", self.url))).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        done(response).await.with_context(|| format!("cannot remove the virtual host {name}"))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let sent = request.basic_auth(USER, Some(&self.password)).send().await;
        sent.context("cannot reach RabbitMQ's management API")
    }
}

async fn done(response: Response) -> Result<()> {
    let status = response.status();
    if !status.is_success() {
        bail!("RabbitMQ's management API answers {status}: {}", response.text().await.unwrap_or_default());
    }
    Ok(())
}
