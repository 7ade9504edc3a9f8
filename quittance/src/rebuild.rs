//! `quittance rebuild`: folds read models anew.

use std::sync::Arc;

use anyhow::Context;
use event_store::broker::EmbeddedBroker;
use event_store::database;
use event_store::migrate::{DatabaseRole, Roles};
use event_store::reader::LogReader;
use event_store::secrets::KeyPurpose;
use event_store::server_url::{database_name, with_user};
use indicatif::{ProgressBar, ProgressStyle};
use projectors::projections;
use projectors::rebuild::{Comparison, Progress, Rebuilt, rebuild};
use projectors::runner::RunnerConfig;
use sqlx::{Connection, PgConnection};

use crate::place::{Databases, Place};

/// What to rebuild.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// The read model.
    #[arg(required_unless_present = "all")]
    projection: Option<String>,
    /// All of them; and relays that were stopped by a restored log go on from its head.
    #[arg(long, conflicts_with = "projection")]
    all: bool,
    /// What the roles' names begin with; the database's name by default.
    #[arg(long)]
    role_prefix: Option<String>,
}

/// Rebuilds it, with no downtime, and says what the comparison with the old rows has found.
pub async fn run(place: &Place, which: Which) -> anyhow::Result<()> {
    let databases = place.open().await?;
    let done = run_on(place, &databases, which).await;
    databases.close().await?;
    done
}

async fn run_on(place: &Place, databases: &Databases, which: Which) -> anyhow::Result<()> {
    let secrets = place.secrets()?;
    let master_key = secrets.key(KeyPurpose::Master)?.secret_key();
    let prefix = which.role_prefix.map_or_else(|| database_name(&databases.log_url), Ok)?;
    let roles = Roles { prefix, passwords: secrets.passwords };
    let password = roles.passwords.get(&DatabaseRole::Projector).map_or("", String::as_str);
    let pool = |url: &str, connections_max| {
        let url = with_user(url, &roles.name(DatabaseRole::Projector), password)?;
        anyhow::Ok(database::pool(database::options(&url, "quittance rebuild")?, connections_max))
    };
    let names = match which.projection {
        Some(name) => vec![name],
        None => projections::all().iter().map(|projection| projection.name().to_owned()).collect(),
    };
    let config = RunnerConfig {
        log: pool(&databases.log_url, 4)?,
        read: pool(&databases.read_url, 8)?,
        master_key,
        // The log has everything; what carries events to the others is not asked.
        broker: Arc::new(EmbeddedBroker),
    };
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} events, {eta}")?);
    let show = |Progress { position, head }| {
        bar.set_length(head);
        bar.set_position(position);
    };
    let rebuilt = rebuild(config, &names, show, |rebuilt| bar.suspend(|| say(&rebuilt))).await;
    bar.finish_and_clear();
    rebuilt?;
    if which.all {
        reset_relays(&databases.log_url).await.context("can't reset the relay's cursor")?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result is what the program is asked for")]
fn say(rebuilt: &Rebuilt) {
    let Rebuilt { name, generation, position, comparison } = rebuilt;
    let found = match comparison {
        Comparison::Equal { rows } => format!("equal to the old one in all {rows} rows"),
        Comparison::Different(tables) => format!("the old one was wrong in {}", tables.join(", ")),
        Comparison::Impossible => "the old one was of another history".to_owned(),
    };
    println!("{name}: generation {generation} is live at {position}; {found}");
}

/// Tells relays that the log as it is now is the one to be relayed: from its head on, since the read
/// models have the rest.
async fn reset_relays(log_url: &str) -> anyhow::Result<()> {
    let mut owner = PgConnection::connect(log_url).await?;
    let head =
        LogReader::new(database::pool(database::options(log_url, "quittance rebuild")?, 1)).head().await?;
    sqlx::query("UPDATE relay_cursor SET position = $1, leaf_hash = $2, resets = resets + 1")
        .bind(head.position.cast_signed())
        .bind(head.leaf_hash.0.as_slice())
        .execute(&mut owner)
        .await?;
    Ok(owner.close().await?)
}
