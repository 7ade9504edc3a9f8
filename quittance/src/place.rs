//! Where a ledger is: a data folder, or the URLs of its databases.

use std::path::PathBuf;

use anyhow::bail;
use event_store::secrets::Secrets;

use crate::credentials::Credentials;
use crate::data_dir::{self, DataDir};
use crate::private_postgres::PrivatePostgres;
use crate::servers::DATABASE;

/// The place that the tools work on.
#[derive(Clone)]
pub struct Place {
    /// The data folder.
    pub data: PathBuf,
    /// The log's database, as its owner.
    pub database_url: Option<String>,
    /// The read models' database, as its owner.
    pub read_database_url: Option<String>,
    /// The secrets file; that of the data folder unless given.
    pub secrets: Option<PathBuf>,
}

/// The databases of a place, reachable until they are closed.
pub struct Databases {
    /// The log's, as its owner.
    pub log_url: String,
    /// The read models', as their owner.
    pub read_url: String,
    /// The private server, where no system was running and holding the folder.
    server: Option<(DataDir, PrivatePostgres)>,
}

impl Place {
    /// Makes the databases reachable: those of the given URLs, or of the running system, or else of the
    /// data folder, whose private server is started for the while.
    pub async fn open(&self) -> anyhow::Result<Databases> {
        let (log_url, server) = match &self.database_url {
            Some(url) => (url.clone(), None),
            None => self.open_folder().await?,
        };
        let read_url = self.read_database_url.clone().unwrap_or_else(|| log_url.clone());
        Ok(Databases { log_url, read_url, server })
    }

    async fn open_folder(&self) -> anyhow::Result<(String, Option<(DataDir, PrivatePostgres)>)> {
        let shown = self.data.display();
        let known = Credentials::load(&self.data)?;
        if !self.data.join(data_dir::SECRETS).exists() {
            bail!(
                "there is no ledger in {shown}; start one with `quittance up`, or name its folder with --data"
            );
        }
        match DataDir::open(&self.data) {
            Ok(folder) if folder.postgres().exists() => {
                let server = PrivatePostgres::start(&folder, None).await?;
                Ok((server.owner_url(DATABASE), Some((folder, server))))
            }
            // Its database is not in the folder, or a running system holds the folder.
            Ok(_) => Ok((known.database_url, None)),
            Err(error) if error.to_string().starts_with(data_dir::HELD) => Ok((known.database_url, None)),
            Err(error) => Err(error),
        }
    }

    /// Reads the secrets of the place.
    pub fn secrets(&self) -> anyhow::Result<Secrets> {
        if let Some(file) = &self.secrets {
            return Ok(Secrets::read(file)?);
        }
        let path = self.data.join(data_dir::SECRETS);
        if !path.exists() {
            bail!("there is no {}; name the folder of the system with --data", path.display());
        }
        Ok(Secrets::read(&path)?)
    }
}

impl Databases {
    /// Stops what was started for the while.
    pub async fn close(self) -> anyhow::Result<()> {
        match self.server {
            Some((_folder, server)) => server.stop().await,
            None => Ok(()),
        }
    }
}
