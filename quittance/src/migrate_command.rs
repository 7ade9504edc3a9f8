//! `quittance migrate`

use anyhow::Context;
use event_store::migrate::{Roles, migrate};

use crate::data_dir::DataDir;
use crate::database_url::database_name;
use crate::place::Place;
use crate::secrets::Secrets;

/// Makes the databases what this version expects; passwords of new roles stand in the data folder.
pub async fn run(place: &Place, role_prefix: Option<String>) -> anyhow::Result<()> {
    let secrets = match place.secrets() {
        Ok(secrets) => secrets,
        Err(_) => Secrets::load_or_create(&DataDir::open(&place.data)?.secrets())?,
    };
    let databases = place.open().await?;
    let prefix = role_prefix.map_or_else(|| database_name(&databases.log_url), Ok)?;
    let roles = Roles { prefix, passwords: secrets.passwords };
    let migrated = migrate(&databases.log_url, &databases.read_url, &roles).await;
    databases.close().await?;
    migrated.context("can't migrate the database")
}
