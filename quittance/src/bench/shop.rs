//! What a load acts on: merchants, and clients with cards and enough money, opened as quickly as the contract
//! lets it.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use event_store::entropy;
use futures_util::StreamExt;
use futures_util::stream;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde_json::{Value, json};

use super::connection::{Sent, authorization};
use super::target::Target;
use super::zipf::Draw;
use crate::caller::{Caller, text};

/// How many commands a bulk request has at most.
const BULK: usize = 1000;
/// How many of the requests that must be made one by one are under way at once.
const AT_ONCE: usize = 64;
/// What each client has, in minor units of EUR: enough for all payments of any run.
const FUNDS: u64 = 900_000_000_000;
/// What a payment is for.
pub(super) const AMOUNT: u64 = 100;

/// How large a shop is, and who comes how often.
#[derive(Clone, Debug, clap::Args)]
pub struct ShopOptions {
    /// How many clients pay, each with a card.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) clients: u32,
    /// How many merchants are paid.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) merchants: u32,
    /// Draws clients and merchants by Zipf's law with this exponent; without it, each in its turn.
    #[arg(long, value_parser = exponent)]
    pub(super) zipf: Option<f64>,
}

fn exponent(text: &str) -> Result<f64, &'static str> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|number| (0.0..=10.0).contains(number)).ok_or("an exponent is a number from 0 to 10")
}

/// A shop.
pub(super) struct Shop {
    pub(super) merchants: Vec<Merchant>,
    pub(super) clients: Vec<Client>,
    draw_merchant: Draw,
    draw_client: Draw,
    keys: Keys,
}

/// A merchant with the header of its API key.
pub(super) struct Merchant {
    pub(super) authorization: HeaderValue,
}

/// A client with what it sends.
pub(super) struct Client {
    pub(super) id: String,
    card: Value,
    automatic: Bytes,
    manual: Bytes,
}

/// Idempotency keys: the run's, and a number.
pub(super) struct Keys {
    run: String,
    next: AtomicU64,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { run: hex::encode(entropy::bytes::<8>()), next: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> String {
        format!("{}-{}", self.run, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl Shop {
    /// Opens a new one.
    pub(super) async fn open(target: &Target, options: &ShopOptions) -> anyhow::Result<Self> {
        let caller = Caller::new(&target.credentials);
        let (merchants, clients) = (options.merchants as usize, options.clients as usize);
        let draw_merchant = Draw::new(merchants, options.zipf);
        let draw_client = Draw::new(clients, options.zipf);
        let merchants = open_merchants(&caller, merchants).await.context("can't open merchants")?;
        let clients = open_clients(&caller, clients).await.context("can't open clients")?;
        Ok(Self { merchants, clients, draw_merchant, draw_client, keys: Keys::new() })
    }

    pub(super) fn merchant(&self, number: u64) -> &Merchant {
        &self.merchants[self.draw_merchant.nth(number, 1)]
    }

    pub(super) fn client(&self, number: u64) -> &Client {
        &self.clients[self.draw_client.nth(number, 2)]
    }

    /// Makes the n-th payment: captured at once, or only authorized.
    pub(super) fn payment(&self, number: u64, automatic: bool) -> Sent {
        let client = self.client(number);
        let body = if automatic { client.automatic.clone() } else { client.manual.clone() };
        self.command("/v1/payments".to_owned(), &self.merchant(number).authorization, body)
    }

    /// Makes a command.
    pub(super) fn command(&self, path: String, authorization: &HeaderValue, body: Bytes) -> Sent {
        Sent { path, authorization: authorization.clone(), command: Some((self.keys.next(), body)) }
    }

    /// Makes a bulk request of so many payments of one merchant.
    pub(super) fn bulk(&self, number: u64, count: u64) -> Sent {
        let commands: Vec<Value> = (number * count..(number + 1) * count)
            .map(|payment| {
                let body = json!({ "amount": euro(AMOUNT), "card": self.client(payment).card });
                json!({ "idempotency_key": self.keys.next(), "path": "/v1/payments", "body": body })
            })
            .collect();
        let body = Bytes::from(json!({ "commands": commands }).to_string());
        self.command("/v1/bulk".to_owned(), &self.merchant(number).authorization, body)
    }
}

fn euro(amount: u64) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

async fn open_merchants(caller: &Caller, count: usize) -> anyhow::Result<Vec<Merchant>> {
    let fee = json!({ "percent": "1.40", "fixed": [euro(25)] });
    let open = ("/v1/merchants".to_owned(), json!({ "name": "Bench Shop", "fee": fee }));
    let opened = bulk(caller, vec![open; count]).await?;
    at_once(opened, |merchant| async move {
        let body = json!({ "role": "merchant", "merchant_id": merchant["id"] });
        let key = caller.create("/v1/api-keys", body).await?;
        Ok(Merchant { authorization: authorization(&text(&key["secret"])?)? })
    })
    .await
}

/// Opens clients who have money, and returns their ids.
pub(super) async fn open_accounts(caller: &Caller, count: usize) -> anyhow::Result<Vec<String>> {
    let open = ("/v1/clients".to_owned(), json!({ "name": "Bench Client" }));
    let opened = bulk(caller, vec![open; count]).await?;
    let ids: Vec<String> = opened.iter().map(|client| text(&client["id"])).collect::<Result<_, _>>()?;
    let deposit = |id| (format!("/v1/clients/{id}/deposits"), json!({ "amount": euro(FUNDS) }));
    bulk(caller, ids.iter().map(deposit).collect()).await?;
    Ok(ids)
}

async fn open_clients(caller: &Caller, count: usize) -> anyhow::Result<Vec<Client>> {
    let ids = open_accounts(caller, count).await?;
    at_once(ids, |id| async move {
        let issued = caller.create(&format!("/v1/clients/{id}/cards"), json!({})).await?;
        let card = json!({
            "number": issued["number"], "cvc": issued["cvc"],
            "exp_month": issued["exp_month"], "exp_year": issued["exp_year"],
        });
        let body = |capture: &str| {
            let body = json!({ "amount": euro(AMOUNT), "capture": capture, "card": card });
            Bytes::from(body.to_string())
        };
        Ok(Client { id, automatic: body("automatic"), manual: body("manual"), card })
    })
    .await
}

/// Does something with each thing, many at once; the results are in the things' order.
async fn at_once<T, R, F>(things: Vec<T>, work: impl Fn(T) -> F) -> anyhow::Result<Vec<R>>
where
    F: Future<Output = anyhow::Result<R>>,
{
    let mut working = stream::iter(things).map(work).buffered(AT_ONCE);
    let mut results = Vec::new();
    while let Some(result) = working.next().await {
        results.push(result?);
    }
    Ok(results)
}

/// Sends commands as the operator, many in a request; returns the bodies of their outcomes.
async fn bulk(caller: &Caller, commands: Vec<(String, Value)>) -> anyhow::Result<Vec<Value>> {
    let keys = Keys::new();
    let mut bodies = Vec::new();
    for part in commands.chunks(BULK) {
        let commands: Vec<Value> = part
            .iter()
            .map(|(path, body)| json!({ "idempotency_key": keys.next(), "path": path, "body": body }))
            .collect();
        let mut answer = caller.create("/v1/bulk", json!({ "commands": commands })).await?;
        for outcome in answer["outcomes"].as_array_mut().context("an answer has no outcomes")? {
            let status = outcome["status"].as_u64().unwrap_or_default();
            ensure!((200..300).contains(&status), "a command was answered with {status}");
            bodies.push(outcome["body"].take());
        }
    }
    Ok(bodies)
}
