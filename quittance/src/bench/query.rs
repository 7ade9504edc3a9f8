//! Questions to the query API.

use anyhow::ensure;
use chrono::{DateTime, SecondsFormat, Utc};
use hyper::StatusCode;
use hyper::header::HeaderValue;

use super::connection::{Sent, authorization};
use super::load::{Session, Traffic};
use super::target::Target;
use super::zipf::{Draw, mix};

/// How many clients and moments are asked about.
const SAMPLE: i64 = 1000;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Question {
    /// A client's balances now.
    Balances,
    /// A client's balances at a past moment.
    AsOf,
    /// A client's history.
    History,
    /// The newest payments of a client.
    Payments,
}

/// Questions about clients of the log, each kind in its turn.
pub(super) struct Queries {
    questions: Vec<Question>,
    clients: Vec<String>,
    moments: Vec<String>,
    draw: Draw,
    operator: HeaderValue,
}

impl Queries {
    /// Draws clients and moments from the log.
    ///
    /// # Errors
    ///
    /// There are no clients in it.
    pub(super) async fn of(
        target: &Target,
        questions: Vec<Question>,
        zipf: Option<f64>,
    ) -> anyhow::Result<Self> {
        let head = target.head().await?.cast_signed();
        // Those who paid last: they have a history.
        let clients: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT canonical::json #>> '{data,client_id}' FROM events
             WHERE position > $1 - 20 * $2 AND type = 'payment.authorized'
               AND canonical::json #>> '{data,client_id}' IS NOT NULL LIMIT $2",
        )
        .bind(head)
        .bind(SAMPLE)
        .fetch_all(&target.log)
        .await?;
        ensure!(
            !clients.is_empty(),
            "nobody has paid lately; try --private, or `quittance bench payments` before"
        );
        let moments: Vec<DateTime<Utc>> = sqlx::query_scalar(
            "SELECT recorded_at FROM events WHERE position IN
                 (SELECT 1 + floor(place * $1 / $2)::bigint FROM generate_series(0, $2 - 1) AS place)",
        )
        .bind(head)
        .bind(SAMPLE)
        .fetch_all(&target.log)
        .await?;
        let moments =
            moments.iter().map(|moment| moment.to_rfc3339_opts(SecondsFormat::Micros, true)).collect();
        let draw = Draw::new(clients.len(), zipf);
        let operator = authorization(&target.credentials.operator)?;
        Ok(Self { questions, clients, moments, draw, operator })
    }

    fn question(&self, number: u64) -> (&'static str, String) {
        let kinds = self.questions.len() as u64;
        let question = self.questions[usize::try_from(number % kinds).unwrap_or(0)];
        let client = &self.clients[self.draw.nth(number / kinds, 0)];
        match question {
            Question::Balances => ("balances", format!("/v1/clients/{client}/balances")),
            Question::AsOf => {
                let moment = mix(number) % self.moments.len() as u64;
                let moment = &self.moments[usize::try_from(moment).unwrap_or(0)];
                ("balances as of", format!("/v1/clients/{client}/balances?as_of={moment}"))
            }
            Question::History => ("history", format!("/v1/clients/{client}/history")),
            Question::Payments => ("payments", format!("/v1/payments?client_id={client}")),
        }
    }
}

impl Traffic for Queries {
    async fn step(&self, number: u64, session: &mut Session<'_>) -> anyhow::Result<()> {
        let (kind, path) = self.question(number);
        let sent = Sent { path, authorization: self.operator.clone(), command: None };
        session.send(kind, 0, &sent, StatusCode::OK).await?;
        Ok(())
    }
}
