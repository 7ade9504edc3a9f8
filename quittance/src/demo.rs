//! Realistic traffic against a running system, with a live summary.
//!
//! A few clients with cards and a few merchants; then payments at a steady rate, some captured later, some
//! voided, refunded or declined. Every answer is counted under its status; nothing is retried but 503.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use event_store::entropy;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::caller::{Caller, text};
use crate::credentials::Credentials;

const CLIENTS: usize = 12;
const MERCHANTS: usize = 3;
const CURRENCIES: [&str; 3] = ["EUR", "USD", "JPY"];

/// So many requests may be under way at once; beyond, the rate is not reached, and the summary shows it.
const IN_FLIGHT_MAX: usize = 128;

/// Sends traffic until the time is over or the token is cancelled.
///
/// # Errors
///
/// The system can't be reached, or refuses to open the demo's clients and merchants.
pub async fn run(
    credentials: &Credentials,
    rate: u32,
    duration: Option<Duration>,
    summary: bool,
    token: CancellationToken,
) -> anyhow::Result<()> {
    if rate == 0 {
        bail!("--rate must be at least 1 request a second");
    }
    let caller = Caller::new(credentials);
    let shop = Arc::new(Shop::open(&caller).await?);
    let tally = Arc::new(Tally::default());
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut shown = Instant::now();
    let mut tasks = JoinSet::new();
    while duration.is_none_or(|limit| started.elapsed() < limit) {
        tokio::select! {
            () = token.cancelled() => break,
            _ = ticks.tick() => {}
        }
        while tasks.len() >= IN_FLIGHT_MAX {
            tasks.join_next().await;
        }
        while tasks.try_join_next().is_some() {}
        let (caller, shop, counts) = (caller.clone(), Arc::clone(&shop), Arc::clone(&tally));
        tasks.spawn(async move { shop.act(&caller, &counts).await });
        if summary && shown.elapsed() >= Duration::from_secs(1) {
            shown = Instant::now();
            eprint!("\r{}", tally.line(started.elapsed()));
        }
    }
    while tasks.join_next().await.is_some() {}
    if summary {
        eprintln!("\r{}", tally.line(started.elapsed()));
    }
    Ok(())
}

/// The demo's clients and merchants, and payments that something can still be done with.
struct Shop {
    cards: Vec<Value>,
    clients: Vec<String>,
    merchants: Vec<String>,
    open: Mutex<Vec<(String, String, bool)>>,
}

impl Shop {
    async fn open(caller: &Caller) -> anyhow::Result<Self> {
        let mut shop =
            Self { cards: Vec::new(), clients: Vec::new(), merchants: Vec::new(), open: Mutex::default() };
        for number in 1..=MERCHANTS {
            let fixed: Vec<_> =
                [("EUR", 25), ("USD", 30)].map(|(currency, amount)| money(amount, currency)).into();
            let body = json!({ "name": format!("Demo Shop {number}"), "fee": { "percent": "1.40", "fixed": fixed } });
            let merchant = caller.create("/v1/merchants", body).await?;
            let body = json!({ "role": "merchant", "merchant_id": merchant["id"] });
            let key = caller.create("/v1/api-keys", body).await?;
            shop.merchants.push(text(&key["secret"])?);
        }
        for number in 1..=CLIENTS {
            let client =
                caller.create("/v1/clients", json!({ "name": format!("Demo Client {number}") })).await?;
            let id = text(&client["id"])?;
            for currency in CURRENCIES {
                let body = json!({ "amount": money(1_000_000, currency), "reference": "demo" });
                caller.create(&format!("/v1/clients/{id}/deposits"), body).await?;
            }
            let card = caller.create(&format!("/v1/clients/{id}/cards"), json!({})).await?;
            shop.cards.push(json!({
                "number": card["number"], "cvc": card["cvc"],
                "exp_month": card["exp_month"], "exp_year": card["exp_year"],
            }));
            shop.clients.push(id);
        }
        Ok(shop)
    }

    /// Does one thing that a shop does.
    async fn act(&self, caller: &Caller, tally: &Tally) {
        let done = match below(100) {
            0..=59 => self.pay(caller, "automatic").await,
            60..=74 => self.pay(caller, "manual").await,
            75..=89 => self.follow_up(caller).await,
            _ => self.deposit(caller).await,
        };
        match done {
            Ok((what, status)) => tally.count(what, status),
            Err(_) => tally.count("no answer", 0),
        }
    }

    async fn pay(&self, caller: &Caller, capture: &str) -> anyhow::Result<(&'static str, u16)> {
        let key = &self.merchants[below(self.merchants.len())];
        let mut card = self.cards[below(self.cards.len())].clone();
        if below(50) == 0 {
            card["exp_year"] = json!(2020);
        }
        let amount = money(100 + below(9900), CURRENCIES[below(CURRENCIES.len())]);
        let body =
            json!({ "amount": amount, "card": card, "capture": capture, "description": "demo purchase" });
        let (status, payment) = caller.post(key, "/v1/payments", &body).await?;
        if status == 201 && payment["status"] != "declined" {
            self.lock().push((text(&payment["id"])?, key.clone(), capture == "manual"));
            return Ok(("paid", status));
        }
        Ok(("declined", status))
    }

    /// Captures or voids what is held, refunds some of what is captured.
    async fn follow_up(&self, caller: &Caller) -> anyhow::Result<(&'static str, u16)> {
        let chosen = {
            let mut open = self.lock();
            let place = below(open.len().max(1));
            (place < open.len()).then(|| open.swap_remove(place))
        };
        let Some((payment, key, is_held)) = chosen else { return self.deposit(caller).await };
        let (what, verb) = match (is_held, below(5)) {
            (true, 0) => ("voided", "void"),
            (true, _) => ("captured", "capture"),
            (false, _) => ("refunded", "refunds"),
        };
        let (status, _) = caller.post(&key, &format!("/v1/payments/{payment}/{verb}"), &json!({})).await?;
        if what == "captured" && status == 200 {
            self.lock().push((payment, key, false));
        }
        Ok((what, status))
    }

    async fn deposit(&self, caller: &Caller) -> anyhow::Result<(&'static str, u16)> {
        let client = &self.clients[below(self.clients.len())];
        let body = json!({ "amount": money(10_000 + below(90_000), CURRENCIES[below(CURRENCIES.len())]) });
        let (status, _) =
            caller.post(&caller.operator, &format!("/v1/clients/{client}/deposits"), &body).await?;
        Ok(("deposited", status))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(String, String, bool)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts what was done, by what it was and how it was answered.
#[derive(Default)]
struct Tally {
    all: AtomicU64,
    by_kind: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl Tally {
    fn count(&self, what: &'static str, status: u16) {
        self.all.fetch_add(1, Ordering::Relaxed);
        *self.by_kind.lock().unwrap_or_else(PoisonError::into_inner).entry((what, status)).or_default() += 1;
    }

    fn line(&self, elapsed: Duration) -> String {
        let all = self.all.load(Ordering::Relaxed);
        let per_second = u128::from(all) * 1000 / elapsed.as_millis().max(1);
        let kinds = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds: Vec<String> =
            kinds.iter().map(|((what, status), n)| format!("{what} {status}: {n}")).collect();
        format!("{:>4} s  {all} requests, {per_second}/s  {}", elapsed.as_secs(), kinds.join(", "))
    }
}

fn money(amount: usize, currency: &str) -> Value {
    json!({ "amount": amount, "currency": currency })
}

/// Draws a number below a limit.
fn below(limit: usize) -> usize {
    usize::from(u16::from_be_bytes(entropy::bytes())) % limit
}
