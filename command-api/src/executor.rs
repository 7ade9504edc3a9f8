//! The executor: takes what waits, decides it under the log's lock, commits it at once.
//!
//! One transaction carries a whole batch (design §3). Commands are decided one after another on a state
//! that sees the effects of those before; a rejected one appends nothing and disturbs no neighbour. There
//! are no conflicts to retry, no timer and no artificial delay: while one batch commits, the next gathers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use event_store::StoreError;
use event_store::batch::{Batch, Change, Outcome, StoredEvent};
use event_store::clock::Clock;
use event_store::reader::Head;
use event_store::writer::{Locked, LogWriter};
use ledger_core::command::{Context, SETTLEMENTS_MAX};
use ledger_core::event::DecodeError;
use ledger_core::ids::EventId;
use ledger_core::state::{Key, Record};
use ledger_core::{Command, Draft, Envelope, LeafHash, Rejection, State, Timestamp};
use metrics::{counter, histogram};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use uuid::Uuid;

use crate::idempotency::Idempotency;
use crate::memo::Memo;
use crate::order::{Answered, Order, Refusal};
use crate::queue::{Queue, Ticket};
use crate::resource;

/// How long a batch waits before it is tried again after a passing failure.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Renders the body of a 409, with the request's id.
pub type ConflictBody = fn(&ledger_core::rejection::Conflict, &str) -> serde_json::Value;

/// Whether the executor's thread runs.
#[derive(Clone, Debug)]
pub struct Alive(watch::Receiver<()>);

impl Alive {
    /// Tells whether it runs.
    pub fn is_running(&self) -> bool {
        self.0.has_changed().is_ok()
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

/// Decides and appends, on a thread and a connection of its own.
pub struct Executor {
    queue: Arc<Queue>,
    writer: LogWriter,
    memo: Memo,
    conflict_body: ConflictBody,
}

impl Executor {
    /// Starts the executor's thread; it ends when the queue is closed and empty. However it ends, by a panic
    /// too, [`Alive`] tells.
    pub fn start(
        queue: Arc<Queue>,
        options: PgConnectOptions,
        clock: Clock,
        conflict_body: ConflictBody,
    ) -> std::io::Result<Alive> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut executor =
            Self { queue, writer: LogWriter::new(options, clock), memo: Memo::new(), conflict_body };
        let (alive, seen) = watch::channel(());
        std::thread::Builder::new().name("executor".to_owned()).spawn(move || {
            // Dropped with the thread.
            let _alive = alive;
            runtime.block_on(executor.run());
        })?;
        Ok(Alive(seen))
    }

    async fn run(&mut self) {
        while self.queue.wait().await {
            // The lock first: what arrives while we wait for it is in the batch too.
            match self.writer.lock().await {
                Ok(locked) => {
                    let tickets = self.queue.take();
                    let attempt = attempt(locked, &mut self.memo, &tickets, self.conflict_body, false).await;
                    self.settle(tickets, attempt).await;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "commands wait");
                    counter!("quittance_lock_failures_total").increment(1);
                    self.queue.drop_given_up();
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Brings every ticket of a batch to its end: answered, or tried again, in halves where one of them
    /// must be at fault.
    async fn settle(&mut self, tickets: Vec<Ticket>, first: Result<Vec<Answered>, StoreError>) {
        let mut work =
            vec![Work { tickets, attempt: Some(first), may_have_committed: false, doubted: false }];
        while let Some(mut part) = work.pop() {
            let attempt = match part.attempt.take() {
                Some(attempt) => attempt,
                None => self.again(&part.tickets, part.may_have_committed).await,
            };
            let error = match attempt {
                Ok(answers) => {
                    part.tickets.into_iter().zip(answers).for_each(|(ticket, answer)| ticket.answer(answer));
                    continue;
                }
                Err(error) => error,
            };
            let passes = error.is_transient() || (error.is_worth_one_more_try() && !part.doubted);
            if passes {
                let commands = part.tickets.len();
                tracing::warn!(error = &error as &dyn std::error::Error, commands, "batch is tried again");
                counter!("quittance_batch_retries_total").increment(1);
                part.may_have_committed |= matches!(error, StoreError::CommitUnknown(_));
                if error.is_worth_one_more_try() {
                    self.memo.distrust();
                    part.doubted = true;
                }
                part.tickets = drop_late(part.tickets, part.may_have_committed);
                if !part.tickets.is_empty() {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    work.push(part);
                }
            } else if part.tickets.len() > 1 {
                counter!("quittance_batch_halvings_total").increment(1);
                let second = part.tickets.split_off(part.tickets.len() / 2);
                work.push(Work { tickets: second, attempt: None, ..part });
                work.push(part);
            } else {
                refuse_alone(part.tickets, &error);
            }
        }
    }

    async fn again(
        &mut self,
        tickets: &[Ticket],
        may_have_committed: bool,
    ) -> Result<Vec<Answered>, StoreError> {
        let locked = self.writer.lock().await?;
        attempt(locked, &mut self.memo, tickets, self.conflict_body, may_have_committed).await
    }
}

/// Some of a batch's tickets on their way to an end.
struct Work {
    tickets: Vec<Ticket>,
    attempt: Option<Result<Vec<Answered>, StoreError>>,
    /// Whether a commit of them may have happened that we did not hear of.
    may_have_committed: bool,
    /// Whether they have had the one more try that a doubtful failure gets.
    doubted: bool,
}

/// Drops what can't be tried again before its deadline.
fn drop_late(tickets: Vec<Ticket>, may_have_committed: bool) -> Vec<Ticket> {
    let refusal = if may_have_committed { Refusal::Unknown } else { Refusal::StoreUnavailable };
    let (late, rest): (Vec<_>, Vec<_>) = tickets.into_iter().partition(Ticket::is_late);
    late.into_iter().for_each(|ticket| ticket.answer(Answered::Refused(refusal)));
    rest
}

/// Answers the one command that PostgreSQL refuses whatever it is batched with.
fn refuse_alone(tickets: Vec<Ticket>, error: &StoreError) {
    for ticket in tickets {
        // Another request gave the same subject its key meanwhile: sealed anew, this one will pass.
        if error.violates("subject_keys_subject") {
            ticket.answer(Answered::Refused(Refusal::StoreUnavailable));
            continue;
        }
        counter!("quittance_commands_failed_total").increment(1);
        tracing::error!(
            error = error as &dyn std::error::Error,
            request.id = ticket.order.request_id,
            "command failed in the store"
        );
        ticket.answer(Answered::Refused(Refusal::Failed));
    }
}

/// Decides the tickets' orders under the lock and commits what comes of them.
async fn attempt(
    mut locked: Locked<'_>,
    memo: &mut Memo,
    tickets: &[Ticket],
    conflict_body: ConflictBody,
    may_have_committed: bool,
) -> Result<Vec<Answered>, StoreError> {
    if tickets.is_empty() {
        locked.roll_back().await;
        return Ok(Vec::new());
    }
    let waits = histogram!("quittance_queue_wait_seconds");
    tickets.iter().for_each(|ticket| waits.record(ticket.since.elapsed()));
    histogram!("quittance_batch_commands").record(u32::try_from(tickets.len()).unwrap_or(u32::MAX));
    let orders: Vec<&Order> = tickets.iter().map(|ticket| &ticket.order).collect();
    let keys: Vec<Uuid> = orders.iter().map(|order| order.idempotency.key).collect();
    let begun = locked.begin(&keys).await?;
    let recorded_at = begun.recorded_at();
    if let Err(skew) = &recorded_at {
        tracing::error!(error = skew as &dyn std::error::Error, "new commands are refused");
    }
    memo.check(begun.head);
    let mut deciding = Deciding::begin(begun.head, recorded_at.ok(), conflict_body);
    deciding.recall(&mut locked, begun.outcomes, may_have_committed).await?;
    deciding.look_up(&mut locked, memo, &orders).await?;
    let mut answers = Vec::with_capacity(orders.len());
    for order in orders {
        deciding.look_up(&mut locked, memo, &[order]).await?;
        answers.push(deciding.answer(order)?);
    }
    let (state, batch, head) = deciding.finish();
    if batch.outcomes.is_empty() {
        locked.roll_back().await;
        return Ok(answers);
    }
    let started = std::time::Instant::now();
    locked.commit(&batch).await?;
    histogram!("quittance_append_seconds").record(started.elapsed());
    counter!("quittance_events_total").increment(batch.events.len() as u64);
    memo.absorb(state, head);
    Ok(answers)
}

/// An earlier outcome, and the event at its position where that matters: after a commit that we did not
/// hear of, an outcome can be the order's own.
struct Known {
    outcome: Outcome,
    event_id: Option<String>,
}

impl Known {
    fn is_of(&self, order: &Order) -> bool {
        let Some(Ok(event_id)) = self.event_id.as_ref().map(|id| id.parse::<EventId>()) else { return false };
        (order.event_id..=order.event_id.plus(SETTLEMENTS_MAX as u64)).contains(&event_id)
    }
}

/// A batch while it is decided.
struct Deciding {
    state: State,
    batch: Batch,
    /// The moment of the batch; `None` where the clock is too far behind the log for new commands.
    now: Option<Timestamp>,
    /// The position and leaf hash of the last event, decided or stored.
    head: (u64, LeafHash),
    /// Outcomes by idempotency key, stored or decided before in this batch.
    known: HashMap<Uuid, Known>,
    /// The versions of the rows as they were looked up.
    versions: HashMap<Key, u64>,
    conflict_body: ConflictBody,
}

impl Deciding {
    fn begin(head: Head, now: Option<Timestamp>, conflict_body: ConflictBody) -> Self {
        Self {
            state: State::default(),
            batch: Batch::new(now),
            now,
            head: (head.position, head.leaf_hash),
            known: HashMap::new(),
            versions: HashMap::new(),
            conflict_body,
        }
    }

    /// Takes over the outcomes that earlier requests with the same keys have.
    async fn recall(
        &mut self,
        locked: &mut Locked<'_>,
        outcomes: HashMap<Uuid, Outcome>,
        may_have_committed: bool,
    ) -> Result<(), StoreError> {
        for (key, outcome) in outcomes {
            let event_id =
                if may_have_committed { locked.event_id_at(outcome.position).await? } else { None };
            self.known.insert(key, Known { outcome, event_id });
        }
        Ok(())
    }

    /// Tells whether an order can be answered without deciding anything.
    fn is_settled(&self, order: &Order) -> bool {
        self.now.is_none() || self.known.contains_key(&order.idempotency.key)
    }

    /// Tells which records are still to be learned for an order: of its API key, and of what its command needs.
    fn needs(&self, order: &Order) -> Vec<Key> {
        let mut needed = if self.is_settled(order) { Vec::new() } else { self.state.needs(&order.command) };
        let key = order.api_key.map(Key::ApiKey);
        needed.extend(key.filter(|key| !self.versions.contains_key(key) && self.state.get(key).is_none()));
        needed
    }

    /// Learns what the orders need: from the memo, else from the log. What is found can lead to more.
    async fn look_up(
        &mut self,
        locked: &mut Locked<'_>,
        memo: &mut Memo,
        orders: &[&Order],
    ) -> Result<(), StoreError> {
        loop {
            let mut missing = Vec::new();
            let mut needed: Vec<Key> = orders.iter().flat_map(|order| self.needs(order)).collect();
            needed.sort_unstable();
            needed.dedup();
            if needed.is_empty() {
                return Ok(());
            }
            for key in needed {
                match memo.find(&key) {
                    Some(record) => self.learn(key, record),
                    None => missing.push(key),
                }
            }
            if !missing.is_empty() {
                counter!("quittance_memo_misses_total").increment(missing.len() as u64);
                for (key, record) in locked.load(&missing).await? {
                    self.learn(key, record);
                }
            }
        }
    }

    fn learn(&mut self, key: Key, record: Option<Record>) {
        let version = record.as_ref().and_then(Record::row).map_or(0, |row| row.version);
        self.versions.insert(key, version);
        self.state.learn(key, record);
    }

    /// Answers one order: from an earlier outcome, or by deciding it.
    fn answer(&mut self, order: &Order) -> Result<Answered, StoreError> {
        let known = self.known.get(&order.idempotency.key);
        // A key may have revoked itself, by a commit that we did not hear of.
        let is_own = known.is_some_and(|known| known.is_of(order));
        let is_live = |id| self.state.api_key(id).is_some_and(|key| !key.revoked);
        if !is_own && !order.api_key.is_none_or(is_live) {
            return Ok(Answered::Refused(Refusal::KeyRevoked));
        }
        if let Some(known) = known {
            return Ok(if known.outcome.fingerprint == order.idempotency.fingerprint {
                Answered::Outcome { outcome: known.outcome.clone(), replayed: !is_own }
            } else {
                Answered::Refused(Refusal::KeyReused)
            });
        }
        let Some(now) = self.now else { return Ok(Answered::Refused(Refusal::ClockSkew)) };
        let context = Context { now, event_id: order.event_id };
        let (status, answer) = match self.state.decide(&order.command, &context) {
            Ok(drafts) => self.carry_out(order, drafts, now)?,
            Err(Rejection::NotFound) => return Ok(Answered::Refused(Refusal::NotFound)),
            Err(Rejection::CurrencyMismatch) => return Ok(Answered::Refused(Refusal::CurrencyMismatch)),
            Err(Rejection::DateOutOfRange) => return Ok(Answered::Refused(Refusal::DateOutOfRange)),
            Err(Rejection::TooEarly) => return Ok(Answered::Refused(Refusal::TooEarly)),
            Err(Rejection::Conflict(conflict)) => {
                let body = (self.conflict_body)(&conflict, order.request_id.as_deref().unwrap_or_default());
                (409, body.to_string())
            }
        };
        let Idempotency { key, fingerprint } = order.idempotency;
        let outcome = Outcome { key, fingerprint, status, position: self.head.0, answer };
        self.known.insert(key, Known { outcome: outcome.clone(), event_id: None });
        self.batch.outcomes.push(outcome.clone());
        Ok(Answered::Outcome { outcome, replayed: false })
    }

    /// Appends an order's events, and keeps what belongs to them but not into them.
    fn carry_out(
        &mut self,
        order: &Order,
        drafts: Vec<Draft>,
        now: Timestamp,
    ) -> Result<(u16, String), StoreError> {
        if !drafts.is_empty() {
            self.batch.subject_keys.extend(order.subject_key.clone());
            match &order.command {
                Command::IssueCard(issue) => {
                    self.batch.fingerprints.insert(issue.id, issue.fingerprint);
                    self.learn(Key::CardOf(issue.fingerprint), Some(Record::CardOf(issue.id)));
                }
                Command::CreateKey(create) => {
                    self.batch.secret_hashes.insert(create.id, create.secret_hash);
                }
                _ => {}
            }
        }
        let envelopes = drafts
            .into_iter()
            .map(|draft| self.append(order, draft, now))
            .collect::<Result<Vec<_>, StoreError>>()?;
        resource::render(&order.command, &self.state, &envelopes).ok_or_else(|| StoreError::Corrupt {
            what: "the state after a decision".to_owned(),
            source: DecodeError::Unknown,
        })
    }

    /// Gives an event its place, and folds it in for the commands behind it.
    fn append(&mut self, order: &Order, draft: Draft, now: Timestamp) -> Result<Envelope, StoreError> {
        let envelope = Envelope {
            position: self.head.0 + 1,
            version: self.state.stream_version(draft.stream_id) + 1,
            recorded_at: now,
            actor: order.actor.clone(),
            request_id: order.request_id.clone(),
            draft,
        };
        let canonical = envelope.canonical().map_err(|source| StoreError::Corrupt {
            what: "a new event".to_owned(),
            source: source.into(),
        })?;
        let leaf_hash = LeafHash::of(&canonical);
        self.state.evolve(&envelope);
        self.head = (envelope.position, leaf_hash);
        self.batch.events.push(StoredEvent {
            position: envelope.position,
            stream_id: envelope.stream_id().to_string(),
            version: envelope.version,
            type_name: envelope.event().type_name(),
            canonical,
            leaf_hash,
        });
        Ok(envelope)
    }

    /// Ends the deciding: what is known, what to commit, and the head that it makes.
    fn finish(mut self) -> (State, Batch, (u64, LeafHash)) {
        for key in self.state.touched() {
            if let Some(record) = self.state.get(key)
                && record.row().is_some()
            {
                let expected_version = self.versions.get(key).copied().unwrap_or(0);
                self.batch.changes.push(Change { key: *key, record: record.clone(), expected_version });
            }
        }
        (self.state, self.batch, self.head)
    }
}
