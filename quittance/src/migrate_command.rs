//! `quittance migrate`

use event_store::migrate::{Roles, migrate};

use crate::data_dir::DataDir;
use crate::database_url::database_name;
use crate::place::Place;
use crate::secrets::Secrets;

/// Makes the databases what this version expects; passwords of new roles stand in the data folder.
pub async fn run(place: &Place, role_prefix: Option<String>) -> anyhow::Result<()> {
    let log_url = place.log_url()?;
    // A running system has migrated already, and holds its folder; then the secrets are there.
    let secrets = match place.secrets() {
        Ok(secrets) => secrets,
        Err(_) => Secrets::load_or_create(&DataDir::open(&place.data)?.secrets())?,
    };
    let prefix = role_prefix.map_or_else(|| database_name(&log_url), Ok)?;
    migrate(&log_url, &place.read_url()?, &Roles { prefix, passwords: secrets.passwords }).await?;
    Ok(())
}
