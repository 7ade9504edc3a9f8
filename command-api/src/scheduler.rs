//! The scheduler: what the clock brings about becomes commands like any other.
//!
//! A read model lists what is due (`deadlines`): a hint. Each command's idempotency key is made of kind,
//! subject and due time, and `decide` looks at the clock and the state again: so any number of schedulers
//! may run, crash and come late, and each thing happens once. A late scheduler allows nothing: from the
//! moment on that something is due, every other command is refused what the deadline forbids.
//!
//! What is refused (a lost dispute's money may have no room with its client) is tried again every hour, under a key of
//! that hour: a refusal is an outcome that its key keeps.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use event_store::database;
use event_store::error::{READ_LIMIT, StoreError, within};
use event_store::read_model::DEADLINES;
use futures_util::future::join_all;
use ledger_core::command::{DisputeOf, Settle};
use ledger_core::ids::{DisputeId, MerchantId, PaymentId, SettlementId};
use ledger_core::{Command, Currency, Timestamp};
use metrics::counter;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use sqlx::types::chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use crate::idempotency::Idempotency;
use crate::order::{Answered, Order, Refusal};
use crate::service::CommandApi;

/// How often it looks for what is due.
const PAUSE: Duration = Duration::from_secs(1);

/// How many commands it has under way at once: a fraction of a batch, so that requests are not held up.
const AT_ONCE: usize = 100;

/// What was refused is left alone until the next of these begins: an hour, in seconds.
const REFUSED_PAUSE: i64 = 3_600;

/// Connections to the read models.
const CONNECTIONS: u32 = 1;

/// Turns what is due into commands.
pub struct Scheduler {
    read: PgPool,
    gateway: Gateway,
    /// What was tried, but still stands in the read model.
    tried: HashMap<Due, Tried>,
}

/// What became of something that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tried {
    /// It is done: the read model will know.
    Done,
    /// It was refused in this hour since 1970.
    Refused(i64),
    /// It was not decided.
    Not,
}

/// Something that is due.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Due {
    what: What,
    at: Timestamp,
}

/// What is due, and of what.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum What {
    /// An authorization has a day left.
    Warning(PaymentId),
    /// An authorization's time is over.
    Expiry(PaymentId),
    /// Nobody responded to a dispute.
    Silence(DisputeId, PaymentId),
    /// A day of captures can be settled.
    Settlement(MerchantId, Currency),
}

impl Scheduler {
    /// Makes a scheduler for a command API; connects to the read models when it first looks.
    pub fn new(read: PgConnectOptions, api: &CommandApi) -> Self {
        Self { read: database::pool(read, CONNECTIONS), gateway: api.gateway(), tried: HashMap::new() }
    }

    /// Runs until the token is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.look()).await.is_some() {
            if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
                break;
            }
        }
    }

    /// Carries out all that is due.
    async fn look(&mut self) {
        loop {
            let hour = self.gateway.clock.now().get().timestamp().div_euclid(REFUSED_PAUSE);
            match self.due().await {
                Ok(due) => {
                    let there: HashSet<&Due> = due.iter().collect();
                    self.tried.retain(|tried, _| there.contains(tried));
                    let mut open = self.open(due, hour);
                    open.truncate(AT_ONCE);
                    let tried = join_all(open.iter().map(|due| self.carry_out(due, hour))).await;
                    let are_all = open.len() < AT_ONCE || tried.iter().all(|tried| *tried == Tried::Not);
                    self.tried.extend(open.into_iter().zip(tried));
                    if are_all {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "can't see what is due");
                    return;
                }
            }
        }
    }

    /// Leaves out what is done, and what was refused in this hour. What was tried comes behind what was not.
    fn open(&self, due: Vec<Due>, hour: i64) -> Vec<Due> {
        let (again, mut open): (Vec<Due>, Vec<Due>) =
            due.into_iter().partition(|due| self.tried.contains_key(due));
        open.extend(again.into_iter().filter(|due| match self.tried.get(due) {
            Some(Tried::Done) => false,
            Some(Tried::Refused(tried)) => *tried < hour,
            Some(Tried::Not) | None => true,
        }));
        open
    }

    /// Lists what is due, the longest first; what was tried and stands there still keeps out nothing else.
    async fn due(&self) -> Result<Vec<Due>, StoreError> {
        let now = self.gateway.clock.now();
        let mut snapshot = within(READ_LIMIT, self.read.begin()).await?;
        if within(READ_LIMIT, DEADLINES.enter(&mut snapshot, &[])).await?.is_none() {
            return Ok(Vec::new());
        }
        let query = sqlx::query_as(
            "SELECT kind, subject, due_at, payment_id, merchant_id, currency FROM deadlines
             WHERE due_at <= $1 ORDER BY due_at, kind, subject LIMIT $2",
        )
        .bind(now.get())
        .bind(i64::try_from(AT_ONCE + self.tried.len()).unwrap_or(i64::MAX))
        .fetch_all(&mut *snapshot);
        let rows: Vec<Row> = within(READ_LIMIT, query).await?;
        Ok(rows.iter().filter_map(Due::of).collect())
    }

    /// Has something done, by this command or by another. If it was refused before, it is tried under a key of this
    /// hour.
    async fn carry_out(&self, due: &Due, hour: i64) -> Tried {
        let key = due.what.key();
        let mut answered = self.submit(due, &key).await;
        if matches!(answered, Some(Answer { is_refusal: true, replayed: true })) {
            answered = self.submit(due, &format!("{key} in hour {hour}")).await;
        }
        match answered {
            Some(Answer { is_refusal: true, .. }) => Tried::Refused(hour),
            Some(_) => Tried::Done,
            None => Tried::Not,
        }
    }

    /// Sends the command; returns what was decided, if it was.
    async fn submit(&self, due: &Due, key: &str) -> Option<Answer> {
        let order = Order {
            command: due.command(),
            idempotency: Idempotency::of_system(&self.gateway.keys.idempotency, key, due.at),
            event_id: Order::draw_event_id(),
            actor: format!("system:{}", due.what.kind()),
            api_key: None,
            request_id: None,
            subject_key: None,
            size: 256,
        };
        match self.gateway.queue.submit(order).await {
            Answered::Outcome { outcome, replayed } => {
                let is_refusal = outcome.status >= 300;
                if !replayed {
                    counter!("quittance_scheduled_total", "kind" => due.what.kind()).increment(1);
                }
                if !replayed && is_refusal {
                    tracing::error!(due = ?due, answer = outcome.answer, "what is due was refused");
                }
                Some(Answer { is_refusal, replayed })
            }
            // Our clock is ahead of the database's, or it is full or away: next time.
            Answered::Refused(Refusal::TooEarly | Refusal::QueueFull | Refusal::StoreUnavailable) => None,
            Answered::Refused(refusal) => {
                tracing::warn!(due = ?due, refusal = ?refusal, "what is due was not done");
                None
            }
        }
    }
}

/// What was decided about something that is due.
struct Answer {
    is_refusal: bool,
    /// Whether that was before.
    replayed: bool,
}

/// Kind, subject, due time, payment, merchant, currency.
type Row = (String, String, DateTime<Utc>, Option<String>, String, Option<String>);

impl Due {
    fn of((kind, subject, at, payment, merchant, currency): &Row) -> Option<Self> {
        let payment = || payment.as_ref()?.parse().ok();
        let what = match kind.as_str() {
            "authorization_expiring" => What::Warning(subject.parse().ok()?),
            "authorization_expiry" => What::Expiry(subject.parse().ok()?),
            "dispute_response" => What::Silence(subject.parse().ok()?, payment()?),
            "settlement" => What::Settlement(merchant.parse().ok()?, currency.as_ref()?.parse().ok()?),
            _ => return None,
        };
        Some(Self { what, at: Timestamp::new(*at) })
    }

    fn command(&self) -> Command {
        match self.what {
            What::Warning(payment) => Command::WarnOfExpiry(payment),
            What::Expiry(payment) => Command::Expire(payment),
            What::Silence(id, payment_id) => Command::LoseUnanswered(DisputeOf { id, payment_id }),
            What::Settlement(merchant, currency) => Command::Settle(Settle {
                id: SettlementId::new(event_store::entropy::uuid()),
                merchant: Some(merchant),
                candidates: [(merchant, currency)].into(),
                as_of: Some(self.at),
            }),
        }
    }
}

impl What {
    /// Names the part of the ledger that acts.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Warning(_) | Self::Expiry(_) => "expiry",
            Self::Silence(..) => "disputes",
            Self::Settlement(..) => "settlement",
        }
    }

    /// Writes what it is recognised by.
    fn key(&self) -> String {
        match self {
            Self::Warning(payment) => format!("authorization_expiring {payment}"),
            Self::Expiry(payment) => format!("authorization_expiry {payment}"),
            Self::Silence(dispute, _) => format!("dispute_response {dispute}"),
            Self::Settlement(merchant, currency) => format!("settlement {merchant} {currency}"),
        }
    }
}
