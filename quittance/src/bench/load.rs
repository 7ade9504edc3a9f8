//! The load generator: connections that send what a traffic consists of, as its schedule has it.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::task::JoinSet;

use super::connection::{Connection, Sent};
use super::recorder::Recorder;
use super::schedule::{Arrival, Schedule};

/// How long is waited before what was answered with 503 is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How a load is made.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadOptions {
    /// How many connections send requests.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) connections: u32,
    /// Requests a second, sent when they are due and timed from then (open loop), or a share of what a closed
    /// loop reaches just before, as `50%`; without it each connection sends when it is answered (closed loop).
    #[arg(long)]
    pub(super) rate: Option<Rate>,
    /// For how long is measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) seconds: u64,
    /// For how long requests are sent before, which does not count.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(super) warm_up: u64,
    /// Writes a picture (SVG) of throughput, latency and lag over time.
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
}

/// A rate of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rate {
    /// So many a second.
    PerSecond(u32),
    /// So many per cent of what a closed loop reaches.
    OfCeiling(u32),
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse().ok().filter(|number| (1..=1_000_000).contains(number));
        match text.strip_suffix('%') {
            Some(share) => number(share).filter(|share| *share <= 1000).map(Self::OfCeiling),
            None => number(text).map(Self::PerSecond),
        }
        .ok_or("a rate is a number of requests a second, or a share of the ceiling like 50%")
    }
}

/// What is sent, step by step: a step is one request, or several that follow from each other.
pub(super) trait Traffic: Send + Sync + 'static {
    /// Takes the n-th step.
    fn step(&self, number: u64, session: &mut Session<'_>)
    -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// A connection during a step, which times its requests: the first from when it was due, the others from when
/// they are sent.
pub(super) struct Session<'a> {
    connection: &'a mut Connection,
    recorder: &'a Recorder,
    since: Instant,
}

impl Session<'_> {
    /// Sends a request that carries so many commands; returns the answer of the status that it must have.
    ///
    /// A 503 says that nothing was done, so the request is sent again.
    ///
    /// # Errors
    ///
    /// There is no answer, or one of another status: what comes of the load would be no result.
    pub(super) async fn send(
        &mut self,
        kind: &'static str,
        commands: u64,
        sent: &Sent,
        expected: StatusCode,
    ) -> anyhow::Result<Bytes> {
        loop {
            let (status, body) =
                self.connection.send(sent).await.with_context(|| format!("a {kind} failed"))?;
            if status == expected {
                let now = Instant::now();
                self.recorder.note(kind, (commands, sent.body_bytes()), self.since, now);
                self.since = now;
                return Ok(body);
            }
            if status != StatusCode::SERVICE_UNAVAILABLE {
                let said = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
                bail!("a {kind} was answered with {status}: {said}");
            }
            self.recorder.note_unavailable();
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

/// A load under way.
pub(super) struct Load {
    pub(super) recorder: Arc<Recorder>,
    /// When what is sent begins to count.
    pub(super) begin: Instant,
    /// When it ends to.
    pub(super) end: Instant,
    senders: JoinSet<anyhow::Result<()>>,
}

impl Load {
    /// Connects, and begins to send.
    ///
    /// # Errors
    ///
    /// There is nobody to connect to.
    pub(super) async fn begin<T: Traffic>(
        url: &str,
        options: &LoadOptions,
        arrival: Arrival,
        traffic: &Arc<T>,
    ) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..options.connections {
            connections.push(Connection::open(url).await?);
        }
        let now = Instant::now();
        let begin = now + Duration::from_secs(options.warm_up);
        let end = begin + Duration::from_secs(options.seconds);
        let recorder = Arc::new(Recorder::new(begin, end));
        let schedule = Schedule::begin(arrival, now, end).context("can't keep time")?;
        let mut senders = JoinSet::new();
        for mut connection in connections {
            let (recorder, schedule, traffic) =
                (Arc::clone(&recorder), Arc::clone(&schedule), Arc::clone(traffic));
            senders.spawn(async move {
                while let Some((number, since)) = schedule.next().await {
                    let mut session = Session { connection: &mut connection, recorder: &recorder, since };
                    traffic.step(number, &mut session).await?;
                    recorder.note_step();
                }
                Ok(())
            });
        }
        Ok(Self { recorder, begin, end, senders })
    }

    /// Waits until all that was sent is answered. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Something went otherwise than it must.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.senders.join_next().await {
            ended.context("a sender broke")??;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_a_share() {
        assert_eq!("250".parse(), Ok(Rate::PerSecond(250)));
        assert_eq!("50%".parse(), Ok(Rate::OfCeiling(50)));
        for wrong in ["", "0", "0%", "-1", "1.5", "%", "1001%", "fast"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
