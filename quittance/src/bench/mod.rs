//! `quittance bench`: measures a running system, and audits its books afterwards.
//!
//! Requests are sent when they are due, however slow the answers are, and each is timed from then on, so
//! that a system which stalls can't slow the measuring down with it.

mod ages;
mod quantiles;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use event_store::database;
use event_store::reader::LogReader;
use event_store::secrets::KeyPurpose;
use indicatif::ProgressBar;
use projectors::checkpoint;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::ages::Ages;
use self::quantiles::Quantiles;
use crate::audit::{VerifyOptions, verify};
use crate::caller::{Caller, text};
use crate::credentials::Credentials;
use crate::place::Place;

/// How long the read models may take to catch up after the run.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(120);

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub enum Measure {
    /// Payments, authorized and captured at once, at a steady rate: their latency, and how old every read
    /// model is meanwhile.
    Payments {
        /// Payments a second.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        payments: u32,
        /// How many clients pay, each with a card.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        clients: u32,
    },
}

/// Measures a running system.
///
/// # Errors
///
/// It can't be reached, a payment was not answered with success, or the books do not balance afterwards:
/// then there is no result.
pub async fn run(place: &Place, measure: Measure) -> anyhow::Result<()> {
    let Measure::Payments { rate, payments, clients } = measure;
    let credentials = Credentials::load(&place.data)?;
    let read_url = place.read_database_url.clone().unwrap_or_else(|| credentials.database_url.clone());
    let caller = Caller::new(&credentials);
    let log = database::pool(database::options(&credentials.database_url, "quittance bench")?, 2);
    let read = database::pool(database::options(&read_url, "quittance bench")?, 2);
    let reader = LogReader::new(log.clone());

    let shop = Arc::new(Shop::open(&caller, clients, payments).await?);
    let before = reader.head().await?.position;
    ensure!(checkpoint::wait_until(&read, before, CATCH_UP_LIMIT).await?, "the read models do not catch up");
    let ages = Ages::begin(read.clone());
    let began = Instant::now();
    let latencies = pay(&caller, &shop, rate, payments).await?;
    let took = began.elapsed();
    let head = reader.head().await?.position;
    let caught_up = checkpoint::wait_until(&read, head, CATCH_UP_LIMIT).await?;
    let models = ages.end(&reader, before).await?;
    ensure!(caught_up, "the read models do not catch up");
    let report = verify(VerifyOptions {
        log_url: credentials.database_url.clone(),
        read_url,
        master_key: Some(place.secrets()?.key(KeyPurpose::Master)?.secret_key()),
        progress: true,
    })
    .await?;
    if !report.holds() {
        bail!("the books do not balance, so there is no result:\n{report}");
    }
    say(&format!("{payments} payments at {rate}/s, {clients} clients, broker: {}", broker(&credentials)));
    say(&format!("answered in {:.1} s, events: {}", took.as_secs_f32(), head - before));
    say(&format!("{:<40}{}", "", Quantiles::HEADER));
    say(&format!("{:<40}{latencies}", "answer, from when it was due"));
    for (name, model) in models {
        say(&format!("{:<40}{}", format!("{name}: age when looked at"), model.age));
        say(&format!("{:<40}{}", format!("{name}: event to row"), model.delay));
    }
    say("the books balance: audit verify holds");
    Ok(())
}

const fn broker(credentials: &Credentials) -> &'static str {
    if credentials.amqp_url.is_some() { "RabbitMQ" } else { "embedded" }
}

#[expect(clippy::print_stdout, reason = "the result is what the program is asked for")]
fn say(line: &str) {
    println!("{line}");
}

/// A merchant, and clients with cards and enough money.
struct Shop {
    merchant: String,
    cards: Vec<Value>,
}

impl Shop {
    async fn open(caller: &Caller, clients: u32, payments: u32) -> anyhow::Result<Self> {
        let fee = json!({ "percent": "1.40", "fixed": [{ "amount": 25, "currency": "EUR" }] });
        let merchant = caller.create("/v1/merchants", json!({ "name": "Bench Shop", "fee": fee })).await?;
        let body = json!({ "role": "merchant", "merchant_id": merchant["id"] });
        let key = caller.create("/v1/api-keys", body).await?;
        let mut cards = Vec::new();
        for _ in 0..clients {
            let client = caller.create("/v1/clients", json!({ "name": "Bench Client" })).await?;
            let id = text(&client["id"])?;
            let body = json!({ "amount": { "amount": 100 * (u64::from(payments) + 1), "currency": "EUR" } });
            caller.create(&format!("/v1/clients/{id}/deposits"), body).await?;
            let card = caller.create(&format!("/v1/clients/{id}/cards"), json!({})).await?;
            cards.push(json!({
                "number": card["number"], "cvc": card["cvc"],
                "exp_month": card["exp_month"], "exp_year": card["exp_year"],
            }));
        }
        Ok(Self { merchant: text(&key["secret"])?, cards })
    }

    /// Pays once; returns how long that took since it was due.
    async fn pay(&self, caller: &Caller, number: u32, due: Instant) -> anyhow::Result<Duration> {
        let card = &self.cards[number as usize % self.cards.len()];
        let body = json!({ "amount": { "amount": 100, "currency": "EUR" }, "card": card });
        let (status, answer) = caller.post(&self.merchant, "/v1/payments", &body).await?;
        if status != 201 || answer["status"] != "captured" {
            bail!("a payment was answered with {status} {} {}", answer["code"], answer["status"]);
        }
        Ok(due.elapsed())
    }
}

/// Sends payments when they are due.
async fn pay(caller: &Caller, shop: &Arc<Shop>, rate: u32, payments: u32) -> anyhow::Result<Quantiles> {
    let bar = ProgressBar::new(payments.into());
    let began = Instant::now();
    let mut under_way = JoinSet::new();
    let mut latencies = Vec::new();
    for number in 0..payments {
        let due = began + Duration::from_secs(1) * number / rate;
        tokio::time::sleep_until(due.into()).await;
        let (caller, shop) = (caller.clone(), Arc::clone(shop));
        under_way.spawn(async move { shop.pay(&caller, number, due).await });
        while let Some(done) = under_way.try_join_next() {
            latencies.push(done??);
            bar.inc(1);
        }
    }
    while let Some(done) = under_way.join_next().await {
        latencies.push(done.context("a payment broke")??);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Quantiles::of(latencies))
}
