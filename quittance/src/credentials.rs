//! `credentials.json`: how people and tools reach a running system.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::data_dir;

/// The addresses of a system and the API keys that `up` minted for it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// An operator's API key.
    pub operator: String,
    /// An auditor's.
    pub auditor: String,
    /// An analyst's.
    pub analyst: String,
    /// Where commands go.
    pub command_url: String,
    /// Where queries go.
    pub query_url: String,
    /// The log's database, as its owner: for psql.
    pub database_url: String,
    /// The broker, if there is one.
    pub amqp_url: Option<String>,
}

impl Credentials {
    /// Reads the file of a data folder.
    pub fn load(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(data_dir::CREDENTIALS);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "can't read {}; start a system with `quittance up`, or name its folder with --data",
                path.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a credentials file", path.display()))
    }

    /// Writes the file, readable by its owner only.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        data_dir::write_private(path, format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())
    }
}
