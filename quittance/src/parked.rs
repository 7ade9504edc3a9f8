//! `quittance parked`: what a read model could not apply.

use clap::Subcommand;
use event_store::database;
use event_store::reader::LogReader;
use event_store::secrets::KeyPurpose;
use projectors::personal::Vault;
use projectors::projections;

use crate::place::{Databases, Place};

/// What to do with parked events.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Lists the keys that stand still, with the first event of each.
    List,
    /// Tries again; a running system does so by itself every few seconds.
    Retry {
        /// Only what belongs to this key.
        #[arg(long)]
        key: Option<String>,
    },
}

/// Does it.
pub async fn run(place: &Place, action: Action) -> anyhow::Result<()> {
    let databases = place.open().await?;
    let done = act(place, &databases, action).await;
    databases.close().await?;
    done
}

#[expect(clippy::print_stdout, reason = "the list is what the program is asked for")]
async fn act(place: &Place, databases: &Databases, action: Action) -> anyhow::Result<()> {
    let read = database::pool(database::options(&databases.read_url, "quittance parked")?, 2);
    match action {
        Action::List => {
            let rows: Vec<(String, String, i64, String)> = sqlx::query_as(
                "SELECT name, key, position, error FROM parked_keys ORDER BY name, position, key",
            )
            .fetch_all(&read)
            .await?;
            for (name, key, position, error) in rows {
                println!("{name}  {key}  since {position}: {error}");
            }
        }
        Action::Retry { key } => {
            let log = database::pool(database::options(&databases.log_url, "quittance parked")?, 2);
            let master = place.secrets()?.key(KeyPurpose::Master)?;
            let vault = Vault::new(log.clone(), master.secret_key());
            let log = LogReader::new(log);
            for projection in projections::all() {
                let freed =
                    projectors::parked::retry(&read, &log, &vault, projection.as_ref(), key.as_deref())
                        .await?;
                println!("{}  {freed} keys freed", projection.name());
            }
        }
    }
    Ok(())
}
