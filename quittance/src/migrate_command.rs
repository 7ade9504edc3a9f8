//! `quittance migrate`

use anyhow::Context;
use command_api::keys::LedgerKeys;
use event_store::key_check;
use event_store::migrate::{Roles, is_log, migrate};
use event_store::secrets::Secrets;
use event_store::server_url::database_name;

use crate::data_dir::{DataDir, SECRETS};
use crate::place::Place;
use crate::secrets::load_or_create;
use crate::system::check_keys;

/// Makes the databases what this version expects; passwords of new roles stand in the secrets file.
pub async fn run(place: &Place, role_prefix: Option<String>) -> anyhow::Result<()> {
    let databases = place.open().await?;
    let migrated = run_on(place, &databases.log_url, &databases.read_url, role_prefix).await;
    databases.close().await?;
    migrated
}

async fn run_on(
    place: &Place,
    log_url: &str,
    read_url: &str,
    role_prefix: Option<String>,
) -> anyhow::Result<()> {
    let log_is_new = !is_log(log_url).await.context("can't reach the database")?;
    let secrets = match &place.secrets {
        Some(file) => Secrets::read(file)?,
        None => {
            if log_is_new && !place.data.exists() {
                drop(DataDir::open(&place.data)?);
            }
            load_or_create(&place.data.join(SECRETS), log_is_new)?
        }
    };
    let keys = LedgerKeys::of(&secrets)?;
    check_keys(log_url, &keys).await?;
    let prefix = role_prefix.map_or_else(|| database_name(log_url), Ok)?;
    let roles = Roles { prefix, passwords: secrets.passwords };
    migrate(log_url, read_url, &roles).await.context("can't migrate the database")?;
    Ok(key_check::note(log_url, &keys.checks()).await?)
}
