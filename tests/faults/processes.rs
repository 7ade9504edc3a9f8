//! Several processes of each kind on one log: each may be killed or stalled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use event_store::broker::chunk::Header;
use event_store::entropy;
use ledger_tests::broker::{Vhost, vhost};
use ledger_tests::services::{Deployment, Launch, Programs, Service};
use ledger_tests::{Answer, Load, Proxy, Sent};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::broker::QUEUES;

pub(crate) const PROGRAMS: Programs = Programs {
    quittance: env!("CARGO_BIN_EXE_quittance-under-test"),
    command_api: env!("CARGO_BIN_EXE_command-api-under-test"),
    projectors: env!("CARGO_BIN_EXE_projectors-under-test"),
    query_api: env!("CARGO_BIN_EXE_query-api-under-test"),
};

/// How long anything may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// A deployment with its running services.
pub(crate) struct Cast {
    pub(crate) deployment: Deployment,
    pub(crate) command_apis: Vec<Service>,
    pub(crate) projectors: Vec<Service>,
    pub(crate) query_api: Service,
    pub(crate) operator: String,
    http: reqwest::Client,
}

impl Cast {
    pub(crate) async fn start(
        deployment: Deployment,
        amqp_url: Option<&str>,
        command_apis: usize,
        projectors: usize,
    ) -> Self {
        Self::start_logging("info", deployment, amqp_url, command_apis, projectors).await
    }

    /// Starts services that log what `RUST_LOG` would ask for.
    pub(crate) async fn start_logging(
        what: &str,
        deployment: Deployment,
        amqp_url: Option<&str>,
        command_apis: usize,
        projectors: usize,
    ) -> Self {
        let on_broker = |launch: Launch| match amqp_url {
            Some(url) => launch.logging(what).with("--amqp-url", url),
            None => launch.logging(what),
        };
        let mut cast = Self {
            operator: deployment.operator(),
            query_api: deployment.query_api().logging(what).start().await,
            deployment,
            command_apis: Vec::new(),
            projectors: Vec::new(),
            http: reqwest::Client::new(),
        };
        for _ in 0..command_apis {
            cast.command_apis.push(on_broker(cast.deployment.command_api()).start().await);
        }
        for _ in 0..projectors {
            cast.projectors.push(on_broker(cast.deployment.projectors()).start().await);
        }
        for service in cast.command_apis.iter().chain(&cast.projectors).chain([&cast.query_api]) {
            service.ready().await;
        }
        cast
    }

    /// Sends a command to one of the command APIs until it is known what became of it.
    pub(crate) async fn post(&self, server: usize, path: &str, body: Value) -> Answer {
        let key = entropy::uuid().to_string();
        let began = Instant::now();
        loop {
            let request = self
                .http
                .post(format!("{}{path}", self.command_apis[server].url))
                .bearer_auth(&self.operator)
                .header("Idempotency-Key", &key)
                .json(&body);
            let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
            if !matches!(answer.status, 503 | 504) || began.elapsed() > PATIENCE {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Opens a client with money; returns its id.
    pub(crate) async fn client(&self, amount: i64) -> String {
        let client = self.post(0, "/v1/clients", json!({ "name": "Ada Lovelace" })).await.expect(201);
        let id = client.text_of("id");
        self.deposit(&id, amount).await.expect(200);
        id
    }

    pub(crate) async fn deposit(&self, client: &str, amount: i64) -> Answer {
        let body = json!({ "amount": { "amount": amount, "currency": "EUR" } });
        self.post(0, &format!("/v1/clients/{client}/deposits"), body).await
    }

    /// Asks for a client's balances, as of the log's head.
    pub(crate) async fn balances(&self, client: &str) -> Answer {
        let path = format!("{}/v1/clients/{client}/balances", self.query_api.url);
        let head = self.head().await.to_string();
        let request = self.http.get(path).bearer_auth(&self.operator).header("Ledger-Min-Position", head);
        Answer::read(request.send().await.unwrap()).await.unwrap().expect(200)
    }

    pub(crate) async fn head(&self) -> i64 {
        self.number("SELECT coalesce(max(position), 0) FROM events").await
    }

    /// Returns how far the relays are.
    pub(crate) async fn relayed(&self) -> i64 {
        self.number("SELECT position FROM relay_cursor").await
    }

    /// Asks the database for a number, as its owner.
    async fn number(&self, statement: &'static str) -> i64 {
        let mut owner = PgConnection::connect(&self.deployment.database_url).await.unwrap();
        let (number,): (i64,) = sqlx::query_as(statement).fetch_one(&mut owner).await.unwrap();
        number
    }

    /// Waits until every read model is at the log's head.
    pub(crate) async fn caught_up(&self) {
        let began = Instant::now();
        let head = self.head().await;
        while self.number("SELECT min(position) FROM projections WHERE active").await < head {
            assert!(began.elapsed() < PATIENCE, "the read models do not catch up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs the program's own audit.
    pub(crate) fn audit(&self) {
        let output = self.deployment.quittance(&["audit", "verify"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// Rebuilds all read models; returns what the program says.
    pub(crate) fn rebuild_all(&self) -> String {
        let arguments = ["rebuild", "--all", "--role-prefix", ledger_tests::cluster::ROLE_PREFIX];
        let output = self.deployment.quittance(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Stops everything, politely.
    pub(crate) async fn stop(self) {
        for service in self.command_apis.into_iter().chain(self.projectors).chain([self.query_api]) {
            assert!(service.stop().await.success());
        }
    }
}

/// Waits until there is one queue for each read model, of this generation.
async fn only_queues_of_generation(number: u32, vhost: &Vhost) {
    let (began, end) = (Instant::now(), format!(".v{number}"));
    loop {
        let queues = vhost.queues().await;
        let names: Vec<&str> = queues.iter().filter_map(|queue| queue["name"].as_str()).collect();
        if names.len() == READ_MODELS && names.iter().all(|name| name.ends_with(&end)) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{names:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns a number out of a service's metrics, summed over its labels; 0 where it was never counted.
pub(crate) async fn metric(service: &Service, name: &str) -> u64 {
    let text = reqwest::get(format!("{}/metrics", service.url)).await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
    });
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// Waits until a service waits inside of a batch, with the log's lock.
async fn wait_inside_batch(cast: &Cast) {
    let began = Instant::now();
    let inside = "SELECT count(*) FROM pg_locks AS held JOIN pg_locks AS waiting USING (pid)
                  WHERE held.relation = 'log_lock'::regclass AND held.granted AND NOT waiting.granted";
    while cast.number(inside).await == 0 {
        assert!(began.elapsed() < PATIENCE, "no batch waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_command_apis_share_a_log_and_one_may_be_killed() {
    let mut cast = Cast::start(Deployment::new(PROGRAMS).await, None, 2, 1).await;
    let ada = cast.client(1_000).await;
    let load = |server: usize| {
        let sent = Sent::deposit(&cast.command_apis[server].url, &cast.operator, &ada);
        Load::start(vec![sent; 6], Duration::ZERO, true)
    };
    let (first, second) = (load(0), load(1));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(first.answered() > 100 && second.answered() > 100, "only one of them works");
    cast.command_apis.remove(1).kill();
    let (before, killed) = (first.answered(), second.stop().await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(first.answered() > before + 50, "the other one has stopped, too");
    let answered = first.stop().await + killed;

    let statement = "SELECT count(*) FROM events WHERE type = 'client.deposited'";
    let deposits = cast.number(statement).await - 1;
    // What was under way when it was killed may have been committed, but not answered.
    assert!((0..=6).contains(&(deposits - answered.cast_signed())), "{deposits} of {answered}");
    let shown = cast.balances(&ada).await;
    assert_eq!(shown.body["data"][0]["available"], 1_000 + 7 * deposits);
    let gaps = "SELECT max(position) - count(*) FROM events";
    assert_eq!(cast.number(gaps).await, 0);
    cast.audit();
    cast.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stalled_inside_a_batch_holds_nobody_up_and_appends_nothing_of_it() {
    let cast = Cast::start(Deployment::new(PROGRAMS).await, None, 2, 1).await;
    let (ada, bob) = (cast.client(1_000).await, cast.client(1_000).await);

    // Ada's row is held, so that the batch stands still with the log's lock; then the process does.
    let mut owner = PgConnection::connect(&cast.deployment.database_url).await.unwrap();
    let mut held = owner.begin().await.unwrap();
    sqlx::query("SELECT FROM balances WHERE owner = $1 FOR UPDATE")
        .bind(&ada)
        .execute(&mut *held)
        .await
        .unwrap();
    let http = reqwest::Client::new();
    let stalled = http
        .post(format!("{}/v1/clients/{ada}/deposits", cast.command_apis[0].url))
        .bearer_auth(&cast.operator)
        .header("Idempotency-Key", "stalled")
        .json(&json!({ "amount": { "amount": 555, "currency": "EUR" } }))
        .send();
    let stalled = tokio::spawn(stalled);
    wait_inside_batch(&cast).await;
    cast.command_apis[0].pause();
    held.rollback().await.unwrap();

    let began = Instant::now();
    let body = json!({ "amount": { "amount": 7, "currency": "EUR" } });
    cast.post(1, &format!("/v1/clients/{bob}/deposits"), body.clone()).await.expect(200);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    // The other one goes on, also with what the stalled one has decided on.
    cast.post(1, &format!("/v1/clients/{ada}/deposits"), body).await.expect(200);
    let head = cast.head().await;
    // Longer than a command may wait undecided.
    tokio::time::sleep(Duration::from_secs(11).saturating_sub(began.elapsed())).await;
    cast.command_apis[0].resume();
    let answer = Answer::read(stalled.await.unwrap().unwrap()).await.unwrap();
    assert!(matches!(answer.status, 503 | 504), "{}", answer.text);
    cast.command_apis[0].ready().await;
    assert_eq!(cast.head().await, head, "something of the stalled batch was appended");
    assert_eq!(cast.balances(&ada).await.body["data"][0]["available"], 1_007);
    // It works as before.
    cast.deposit(&ada, 3).await.expect(200);
    assert_eq!(cast.balances(&ada).await.body["data"][0]["available"], 1_010);
    cast.audit();
    cast.stop().await;
}

/// How many read models there are.
const READ_MODELS: usize = QUEUES.len();

/// Returns how many events a projectors process has applied, by read model.
async fn applied(service: &Service) -> BTreeMap<String, u64> {
    let text = reqwest::get(format!("{}/metrics", service.url)).await.unwrap().text().await.unwrap();
    let lines = text.lines().filter_map(|line| {
        let (model, count) =
            line.strip_prefix("quittance_projection_events_total{projection=\"")?.split_once("\"} ")?;
        Some((model.to_owned(), count.parse().ok()?))
    });
    lines.collect()
}

#[expect(clippy::print_stdout, reason = "for whoever runs the test with --nocapture")]
fn say_takeover(took: Duration) {
    println!("the other process has applied new events after {} ms", took.as_millis());
}

/// Two projector processes for the same read models, with or without a broker.
async fn one_of_two_projectors_works(amqp_url: Option<&str>) {
    let mut cast = Cast::start(Deployment::new(PROGRAMS).await, amqp_url, 1, 2).await;
    let ada = cast.client(1_000).await;
    cast.caught_up().await;
    let sent = Sent::deposit(&cast.command_apis[0].url, &cast.operator, &ada);
    let load = Load::start(vec![sent; 4], Duration::from_millis(2), false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    cast.caught_up().await;

    // Each read model is one process's, though not all of them need be the same one's. Whoever stalls for a
    // moment is stood in for; then that one is at work, and the first one idle.
    let began = Instant::now();
    let active = loop {
        let before = [applied(&cast.projectors[0]).await, applied(&cast.projectors[1]).await];
        tokio::time::sleep(Duration::from_millis(500)).await;
        let after = [applied(&cast.projectors[0]).await, applied(&cast.projectors[1]).await];
        let moved = |process: usize, model: &str| after[process].get(model) > before[process].get(model);
        let models: BTreeSet<&String> = after[0].keys().chain(after[1].keys()).collect();
        let at_work: Vec<[bool; 2]> = models.iter().map(|model| [moved(0, model), moved(1, model)]).collect();
        if models.len() == READ_MODELS && at_work.iter().all(|[one, other]| one != other) {
            break usize::from(moved(1, "payment"));
        }
        assert!(began.elapsed() < PATIENCE, "two are at work on a read model, or none: {at_work:?}");
    };

    // Killed in the middle of its work, it is followed.
    let killed = Instant::now();
    cast.projectors.remove(active).kill();
    let head = cast.head().await;
    while cast.number("SELECT min(position) FROM projections WHERE active").await <= head {
        assert!(killed.elapsed() < PATIENCE, "nobody has taken over");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    say_takeover(killed.elapsed());
    load.stop().await;
    cast.caught_up().await;
    cast.audit();
    cast.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_projectors_works_on_the_log_alone() {
    one_of_two_projectors_works(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_projectors_works_on_rabbitmq() {
    one_of_two_projectors_works(Some(&vhost().await.unwrap().amqp_url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_is_rebuilt_under_load_and_put_right() {
    let vhost = vhost().await.unwrap();
    let cast = Cast::start(Deployment::new(PROGRAMS).await, Some(&vhost.amqp_url), 1, 2).await;
    let ada = cast.client(1_000).await;
    let sent = Sent::deposit(&cast.command_apis[0].url, &cast.operator, &ada);
    let load = Load::start(vec![sent; 4], Duration::from_millis(2), false);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let said = cast.rebuild_all();
    assert_eq!(said.matches("equal to the old one in all").count(), READ_MODELS, "{said}");

    let mut owner = PgConnection::connect(&cast.deployment.database_url).await.unwrap();
    // Between two of the projector's transactions: one under way would write over it what it has read before.
    let tamper = "BEGIN; SELECT FROM projections WHERE name = 'client-account' FOR UPDATE;
                  UPDATE client_account_2.client_balances SET available = available + 1; COMMIT";
    owner.execute(tamper).await.unwrap();
    let said = cast.rebuild_all();
    assert!(said.contains("client-account: generation 3"), "{said}");
    assert!(said.contains("the old one was wrong in client_balances"), "{said}");
    assert_eq!(said.matches("equal to the old one in all").count(), READ_MODELS - 1, "{said}");
    load.stop().await;
    cast.caught_up().await;
    cast.audit();
    // The queues of the old generations go with them.
    only_queues_of_generation(3, &vhost).await;
    cast.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_of_old_generations_go_though_rabbitmq_was_away_meanwhile() {
    let vhost = vhost().await.unwrap();
    let proxy = Proxy::start(vhost.address()).await;
    let amqp_url = vhost.through(proxy.address);
    let cast = Cast::start(Deployment::new(PROGRAMS).await, Some(&amqp_url), 1, 1).await;
    cast.client(1_000).await;
    only_queues_of_generation(1, &vhost).await;
    proxy.close(true);
    let said = cast.rebuild_all();
    assert_eq!(said.matches("equal to the old one in all").count(), READ_MODELS, "{said}");
    cast.caught_up().await;
    proxy.close(false);
    only_queues_of_generation(2, &vhost).await;
    cast.audit();
    cast.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_carry_the_log_once_and_either_may_be_lost() {
    let vhost = vhost().await.unwrap();
    let spy = vhost.spy().await;
    let mut cast = Cast::start(Deployment::new(PROGRAMS).await, Some(&vhost.amqp_url), 2, 1).await;
    let ada = cast.client(1_000).await;
    let sent = Sent::deposit(&cast.command_apis[0].url, &cast.operator, &ada);
    let load = Load::start(vec![sent; 4], Duration::from_millis(2), false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let connections = async |cast: &Cast| {
        let mut connections = Vec::new();
        for service in &cast.command_apis {
            connections.push(metric(service, "quittance_relay_connections_total").await);
        }
        connections
    };
    assert_eq!(connections(&cast).await.iter().sum::<u64>(), 1, "one of them relays");

    // The session that holds the lock is ended: another one takes it, and the first one stops.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks
               WHERE locktype = 'advisory' AND granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (classid::bigint << 32 | objid::bigint) = 8243113858875880051";
    assert_eq!(cast.number(end).await, 1, "nobody holds the relay's lock");
    let began = Instant::now();
    while connections(&cast).await.iter().sum::<u64>() < 2 {
        assert!(began.elapsed() < PATIENCE, "nobody relays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.stop().await;

    // The one that relays now is stalled, then killed.
    let relaying = usize::from(connections(&cast).await[1] > 0 && connections(&cast).await[0] < 2);
    cast.command_apis[relaying].pause();
    let other = Sent::deposit(&cast.command_apis[1 - relaying].url, &cast.operator, &ada);
    let load = Load::start(vec![other; 4], Duration::from_millis(2), false);
    let began = Instant::now();
    let before = cast.relayed().await;
    while cast.relayed().await <= before {
        assert!(began.elapsed() < PATIENCE, "nobody stands in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cast.command_apis.remove(relaying).kill();
    let before = cast.relayed().await;
    while cast.relayed().await <= before + 100 {
        assert!(began.elapsed() < PATIENCE, "nobody follows");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.stop().await;
    cast.caught_up().await;

    // Nothing was left out: every position was published, some of them twice.
    let head = cast.head().await.unsigned_abs();
    let began = Instant::now();
    loop {
        let chunks = spy.seen().into_iter().filter_map(|message| Some(Header::read(&message).ok()?.0));
        let published: BTreeSet<u64> = chunks.flat_map(|header| header.from..=header.to).collect();
        let missing: Vec<u64> = (1..=head).filter(|position| !published.contains(position)).take(5).collect();
        if missing.is_empty() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{missing:?} … of {head} were not published");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cast.audit();
    cast.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_far_behind_leaves_it_to_the_log() {
    const FAR: i64 = 20_000;
    let vhost = vhost().await.unwrap();
    let proxy = Proxy::start(vhost.address()).await;
    proxy.close(true);
    let cast = Cast::start(Deployment::new(PROGRAMS).await, Some(&vhost.through(proxy.address)), 1, 1).await;
    let ada = cast.client(1_000).await;
    let sent = Sent::deposit(&cast.command_apis[0].url, &cast.operator, &ada);
    let load = Load::start(vec![sent; 96], Duration::ZERO, false);
    let began = Instant::now();
    while cast.head().await < FAR + 500 {
        assert!(began.elapsed() < 4 * PATIENCE, "the load is too slow");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.stop().await;
    proxy.close(false);
    let began = Instant::now();
    while cast.relayed().await < cast.head().await {
        assert!(began.elapsed() < PATIENCE, "the relay does not reach the head");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(metric(&cast.command_apis[0], "quittance_relay_jumps_total").await, 1);
    cast.caught_up().await;
    cast.audit();
    cast.stop().await;
}
