//! The private servers of a running system: PostgreSQL where no URL was given, RabbitMQ where it was asked
//! for. Each is started again whenever it dies.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use event_store::broker::rabbitmq::RabbitBroker;
use sqlx::{Connection, PgConnection};

use crate::data_dir::DataDir;
use crate::private_postgres::PrivatePostgres;
use crate::private_rabbitmq::PrivateRabbit;

/// The name of the database in a private server.
pub const DATABASE: &str = "quittance";

/// How long to wait before a RabbitMQ is tried again that does not come back: all goes on without it.
const RABBIT_PAUSE: Duration = Duration::from_secs(5);

/// What carries events to the read models.
#[derive(Clone)]
pub enum BrokerChoice {
    /// Nothing: they follow the log alone.
    Embedded,
    /// A private RabbitMQ.
    Private,
    /// A RabbitMQ that runs, at a URL.
    At(String),
}

impl BrokerChoice {
    /// Reads what a user has asked for.
    ///
    /// # Errors
    ///
    /// It is none of the three; what is said does not repeat it, since a URL may hold a password.
    pub fn read(asked: &str) -> anyhow::Result<Self> {
        match asked {
            "embedded" => Ok(Self::Embedded),
            "rabbitmq" => Ok(Self::Private),
            url => {
                RabbitBroker::new(url).context("--broker must be embedded, rabbitmq or a URL")?;
                Ok(Self::At(url.to_owned()))
            }
        }
    }
}

/// The private servers of a data folder.
pub struct Servers {
    data: DataDir,
    pg_bin: Option<PathBuf>,
    rabbitmq_bin: Option<PathBuf>,
    postgres: Option<PrivatePostgres>,
    rabbit: Option<PrivateRabbit>,
}

impl Servers {
    /// Begins with none.
    pub const fn new(data: DataDir, pg_bin: Option<PathBuf>, rabbitmq_bin: Option<PathBuf>) -> Self {
        Self { data, pg_bin, rabbitmq_bin, postgres: None, rabbit: None }
    }

    /// Returns the folder.
    pub const fn data(&self) -> &DataDir {
        &self.data
    }

    /// Starts PostgreSQL and makes the database; returns its URL, as its owner.
    pub async fn start_postgres(&mut self) -> anyhow::Result<String> {
        let server = PrivatePostgres::start(&self.data, self.pg_bin.as_deref()).await?;
        let server = self.postgres.insert(server);
        create_database(&server.owner_url("postgres")).await?;
        Ok(server.owner_url(DATABASE))
    }

    /// Starts RabbitMQ; returns its URL.
    pub async fn start_rabbit(&mut self) -> anyhow::Result<String> {
        let node = PrivateRabbit::start(&self.data, self.rabbitmq_bin.as_deref()).await?;
        Ok(self.rabbit.insert(node).amqp_url("/"))
    }

    /// Starts a server again whenever it dies; returns only if PostgreSQL does not come back.
    ///
    /// Cancelled at any await, each server is the one that runs, or the one that has died.
    pub async fn keep_running(&mut self) -> anyhow::Error {
        let Self { data, pg_bin, rabbitmq_bin, postgres, rabbit } = self;
        let keep_postgres = async {
            let Some(running) = postgres else { return std::future::pending().await };
            loop {
                running.ended().await;
                tracing::warn!("PostgreSQL died; it is started again");
                match PrivatePostgres::start(data, pg_bin.as_deref()).await {
                    Ok(started) => *running = started,
                    Err(error) => return error,
                }
            }
        };
        let keep_rabbit = async {
            let Some(running) = rabbit else { return std::future::pending().await };
            loop {
                running.ended().await;
                tracing::warn!("RabbitMQ died; it is started again");
                let known = running.amqp_url("/");
                match PrivateRabbit::start(data, rabbitmq_bin.as_deref()).await {
                    Ok(started) => {
                        *running = started;
                        if running.amqp_url("/") != known {
                            tracing::error!(
                                "RabbitMQ had to take another port; it is used from the next start on"
                            );
                        }
                    }
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), "RabbitMQ does not come back");
                        tokio::time::sleep(RABBIT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            error = keep_postgres => error,
            error = keep_rabbit => error,
        }
    }

    /// Stops them.
    pub async fn stop(self) -> anyhow::Result<()> {
        let rabbit = async {
            match self.rabbit {
                Some(rabbit) => rabbit.stop().await,
                None => Ok(()),
            }
        };
        let postgres = async {
            match self.postgres {
                Some(postgres) => postgres.stop().await,
                None => Ok(()),
            }
        };
        let (rabbit, postgres) = tokio::join!(rabbit, postgres);
        postgres.and(rabbit)
    }
}

/// Creates the database in a fresh private server.
async fn create_database(server_url: &str) -> anyhow::Result<()> {
    let mut connection =
        PgConnection::connect(server_url).await.context("can't reach the private PostgreSQL")?;
    let known: Option<(i32,)> = sqlx::query_as("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(DATABASE)
        .fetch_optional(&mut connection)
        .await?;
    if known.is_none() {
        sqlx::query("CREATE DATABASE quittance").execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_one_of_three() {
        assert!(matches!(BrokerChoice::read("embedded"), Ok(BrokerChoice::Embedded)));
        assert!(matches!(BrokerChoice::read("rabbitmq"), Ok(BrokerChoice::Private)));
        let url = "amqps://ada:secret@broker.example/ledger";
        assert!(matches!(BrokerChoice::read(url), Ok(BrokerChoice::At(same)) if same == url));
        for wrong in ["", "kafka", "http://ada:secret@broker.example"] {
            let Err(refusal) = BrokerChoice::read(wrong) else { panic!("{wrong} is taken") };
            let said = format!("{refusal:#}");
            assert!(said.contains("amqp://") && !said.contains("secret@broker.example"), "{said}");
        }
    }
}
