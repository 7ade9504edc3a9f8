//! Where a ledger is: a data folder, or the URLs of its databases.

use std::path::PathBuf;

use anyhow::bail;

use crate::credentials::Credentials;
use crate::data_dir;
use crate::secrets::Secrets;

/// The place that the tools work on.
#[derive(Clone, Debug)]
pub struct Place {
    /// The data folder.
    pub data: PathBuf,
    /// The log's database, as its owner.
    pub database_url: Option<String>,
    /// The read models' database, as its owner.
    pub read_database_url: Option<String>,
}

impl Place {
    /// Returns the URL of the log's database: the given one, or the running system's.
    pub fn log_url(&self) -> anyhow::Result<String> {
        match &self.database_url {
            Some(url) => Ok(url.clone()),
            None => Ok(Credentials::load(&self.data)?.database_url),
        }
    }

    /// Returns the URL of the read models' database.
    pub fn read_url(&self) -> anyhow::Result<String> {
        self.read_database_url.clone().map_or_else(|| self.log_url(), Ok)
    }

    /// Reads the secrets of the data folder.
    pub fn secrets(&self) -> anyhow::Result<Secrets> {
        let path = self.data.join(data_dir::SECRETS);
        if !path.exists() {
            bail!("there is no {}; name the folder of the system with --data", path.display());
        }
        Secrets::load(&path)
    }
}
