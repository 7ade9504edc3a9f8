//! A load with everything that is seen of it: by those who send, by the service, in the log, in the read
//! models.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::ages::{Age, Ages, Found};
use super::latency::{Latencies, millis};
use super::load::{Load, LoadOptions, Rate, Traffic};
use super::metrics::{Collected, Look};
use super::recorder::{Recorded, Recorder};
use super::schedule::Arrival;
use super::target::Target;

/// How long the read models may take to catch up.
pub(super) const CATCH_UP_LIMIT: Duration = Duration::from_secs(1800);
/// How often the read models are looked at: seldom where each look takes from what the load can get.
const LOOK_EVERY: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(2)];

/// What was measured.
#[derive(Serialize)]
pub(super) struct Measured {
    what: &'static str,
    /// `closed loop`, or `open loop at N/s`.
    mode: String,
    connections: u32,
    seconds: u64,
    warm_up_seconds: u64,
    /// Steps a second: a payment, whatever number of requests it takes.
    pub(super) steps_per_second: f64,
    requests_per_second: f64,
    pub(super) commands_per_second: f64,
    events_per_second: f64,
    postings_per_second: f64,
    /// How long the body of a request is, on average.
    body_bytes_mean: u64,
    /// Answers with 503, each sent again.
    unavailable: u64,
    /// By the kind of request: open loop, from when it was due.
    pub(super) latency: BTreeMap<&'static str, Latencies>,
    pub(super) service: Service,
    read_models: BTreeMap<String, Age>,
    /// How long the read models took to have everything once the load had ended.
    catch_up_seconds: f64,
    held_back: bool,
    pub(super) per_second: Vec<PerSecond>,
}

/// What the service has told of itself.
#[derive(Serialize)]
pub(super) struct Service {
    pub(super) batch_commands: Option<Collected>,
    queue_wait_seconds: Option<Collected>,
    /// Of a batch: all statements and the commit.
    pub(super) append_seconds: Option<Collected>,
    commit_seconds: Option<Collected>,
}

/// A second of it.
#[derive(Clone, Serialize)]
pub(super) struct PerSecond {
    pub(super) commands: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) lag_events: f64,
}

/// What is measured.
pub(super) struct Work<'a, T> {
    /// What it is called.
    pub(super) what: &'static str,
    /// The service that it is sent to.
    pub(super) url: &'a str,
    pub(super) traffic: Arc<T>,
    /// Whether the projectors are kept away meanwhile.
    pub(super) held_back: bool,
}

impl<T: Traffic> Work<'_, T> {
    /// Measures it, at the rate that the options have; for a share of the ceiling that is measured before.
    ///
    /// # Errors
    ///
    /// A request was not answered as it must be, or the read models do not catch up.
    pub(super) async fn measure(&self, target: &Target, options: &LoadOptions) -> anyhow::Result<Measured> {
        let arrival = match options.rate {
            None => Arrival::WhenAnswered,
            Some(Rate::PerSecond(rate)) => Arrival::AtRate(rate),
            Some(Rate::OfCeiling(share)) => {
                let ceiling = self.run(target, options, Arrival::WhenAnswered).await?.steps_per_second;
                Arrival::AtRate(rate_of(ceiling, share))
            }
        };
        self.run(target, options, arrival).await
    }

    async fn run(
        &self,
        target: &Target,
        options: &LoadOptions,
        arrival: Arrival,
    ) -> anyhow::Result<Measured> {
        target.caught_up(CATCH_UP_LIMIT).await?;
        let after = target.head().await?;
        if self.held_back {
            target.hold_projectors_back().await?;
        }
        let open = matches!(arrival, Arrival::AtRate(_));
        let ages = Ages::begin(target.read.clone(), LOOK_EVERY[usize::from(open)]);
        let mut load = Load::begin(self.url, options, arrival, &self.traffic).await?;
        let window = (load.begin, load.end);
        let recorder = Arc::clone(&load.recorder);
        let bar = bar(options)?;
        let done = tokio::select! {
            done = async { tokio::try_join!(looks(target, self.url, window), load.ended()) } => done,
            never = show(&bar, self.what, &recorder) => match never {},
        };
        bar.finish_and_clear();
        let (looks, ()) = done?;
        if self.held_back {
            target.let_projectors_go().await?;
        }
        let ended = Instant::now();
        target.caught_up(CATCH_UP_LIMIT).await?;
        let catch_up_seconds = ended.elapsed().as_secs_f64();
        let found = ages.end(&target.log, after, window).await?;
        let (events, postings) = in_log(target, &looks).await?;
        let seconds = Duration::from_secs(options.seconds).as_secs_f64();
        let recorded = recorder.recorded();
        #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
        let a_second = |count: u64| count as f64 / seconds;
        Ok(Measured {
            what: self.what,
            mode: match arrival {
                Arrival::WhenAnswered => "closed loop".to_owned(),
                Arrival::AtRate(rate) => format!("open loop at {rate}/s"),
            },
            connections: options.connections,
            seconds: options.seconds,
            warm_up_seconds: options.warm_up,
            steps_per_second: a_second(recorded.steps),
            requests_per_second: a_second(recorded.requests),
            commands_per_second: a_second(recorded.commands),
            events_per_second: a_second(events),
            postings_per_second: a_second(postings),
            body_bytes_mean: recorded.body_bytes / recorded.requests.max(1),
            unavailable: recorded.unavailable,
            service: looks.service(),
            per_second: per_second(&recorded, &found),
            latency: recorded.latencies,
            // Held back, they are as old as the load.
            read_models: if self.held_back { BTreeMap::new() } else { found.models },
            catch_up_seconds,
            held_back: self.held_back,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is small and not negative"
)]
fn rate_of(ceiling: f64, share: u32) -> u32 {
    ((ceiling * f64::from(share) / 100.0) as u32).max(1)
}

/// The system at both ends of a window.
struct Looks {
    metrics: [Look; 2],
    heads: [u64; 2],
}

async fn looks(target: &Target, url: &str, (begin, end): (Instant, Instant)) -> anyhow::Result<Looks> {
    let look = async |at: Instant| {
        tokio::time::sleep_until(at.into()).await;
        anyhow::Ok((target.head().await?, Look::at(&target.http, url).await?))
    };
    let (before, metrics_before) = look(begin).await?;
    let (after, metrics_after) = look(end).await?;
    Ok(Looks { metrics: [metrics_before, metrics_after], heads: [before, after] })
}

impl Looks {
    fn service(&self) -> Service {
        let [before, after] = &self.metrics;
        Service {
            batch_commands: after.collected_since(before, "quittance_batch_commands"),
            queue_wait_seconds: after.collected_since(before, "quittance_queue_wait_seconds"),
            append_seconds: after.collected_since(before, "quittance_append_seconds"),
            commit_seconds: after.collected_since(before, "quittance_commit_seconds"),
        }
    }
}

/// Counts the events and the postings of a window.
async fn in_log(target: &Target, looks: &Looks) -> anyhow::Result<(u64, u64)> {
    let (events, postings): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(json_array_length(canonical::json -> 'postings')), 0)::bigint
         FROM events WHERE position > $1 AND position <= $2",
    )
    .bind(looks.heads[0].cast_signed())
    .bind(looks.heads[1].cast_signed())
    .fetch_one(&target.log)
    .await?;
    Ok((events.unsigned_abs(), postings.unsigned_abs()))
}

/// A progress line on standard error, where that is a terminal.
fn bar(options: &LoadOptions) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} s  {msg}")?;
    Ok(ProgressBar::new(options.warm_up + options.seconds).with_style(style))
}

/// Shows how it goes.
async fn show(bar: &ProgressBar, what: &str, recorder: &Recorder) -> Infallible {
    bar.set_message(format!("{what}: warm-up"));
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bar.inc(1);
        if let Some((commands, p99)) = recorder.last_second() {
            bar.set_message(format!("{what}: {commands}/s, p99 {:.1} ms", millis(p99)));
        }
    }
}

fn per_second(recorded: &Recorded, found: &Found) -> Vec<PerSecond> {
    let lags = found.lag_events.iter().copied().chain(std::iter::repeat(0));
    let seconds = recorded.seconds.iter().zip(lags);
    #[expect(clippy::cast_precision_loss, reason = "counts of a second are far below 2^53")]
    let seconds = seconds.map(|(second, lag)| PerSecond {
        commands: second.commands as f64,
        p50_ms: millis(second.latencies.permille(500)),
        p99_ms: millis(second.latencies.permille(990)),
        lag_events: lag as f64,
    });
    seconds.collect()
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, mode, connections, seconds, warm_up_seconds, .. } = self;
        write!(
            f,
            "{what}: {mode}, {connections} connections, {seconds} s after {warm_up_seconds} s of warm-up"
        )?;
        writeln!(f, "{}", if self.held_back { ", projectors held back" } else { "" })?;
        writeln!(f, "{:<34}{:>12.1}", "steps/s", self.steps_per_second)?;
        writeln!(f, "{:<34}{:>12.1}", "requests/s", self.requests_per_second)?;
        writeln!(f, "{:<34}{:>12.1}", "commands/s", self.commands_per_second)?;
        writeln!(f, "{:<34}{:>12.1}", "events/s", self.events_per_second)?;
        writeln!(f, "{:<34}{:>12.1}", "postings/s", self.postings_per_second)?;
        writeln!(f, "{:<34}{:>12}", "bytes a request, mean", self.body_bytes_mean)?;
        writeln!(f, "{:<34}{:>12}", "503, sent again", self.unavailable)?;
        let Service { batch_commands, queue_wait_seconds, append_seconds, commit_seconds } = &self.service;
        if let Some(batch) = batch_commands {
            writeln!(f, "{:<34}{:>12.1}", "commands a batch, mean", batch.mean)?;
        }
        for (name, collected) in
            [("queue wait", queue_wait_seconds), ("append", append_seconds), ("commit", commit_seconds)]
        {
            let Some(Collected { mean, p99_at_most, .. }) = collected else { continue };
            let bound = p99_at_most
                .map_or("beyond 10000 ms".to_owned(), |bound| format!("at most {:.1} ms", bound * 1e3));
            writeln!(f, "{name:<34}{:>10.2}ms mean, p99 {bound}", mean * 1e3)?;
        }
        writeln!(f, "{:<34}{}", "", Latencies::HEADER)?;
        for (kind, latencies) in &self.latency {
            writeln!(f, "{:<34}{latencies}", format!("{kind}: answer"))?;
        }
        for (name, Age { age, delay }) in &self.read_models {
            writeln!(f, "{:<34}{age}", format!("{name}: age"))?;
            writeln!(f, "{:<34}{delay}", format!("{name}: event to row"))?;
        }
        let lag = self.per_second.iter().map(|second| second.lag_events).fold(0.0, f64::max);
        writeln!(f, "{:<34}{lag:>12.0}", "lag of the read models, events")?;
        write!(f, "{:<34}{:>11.2}s", "then caught up in", self.catch_up_seconds)
    }
}
