//! The secret keys and database passwords of a data folder: made once, kept in `secrets.json` (0600).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use command_api::keys::{LedgerKeys, VersionedKey};
use event_store::entropy;
use event_store::migrate::DatabaseRole;
use serde::{Deserialize, Serialize};

use crate::data_dir;

/// What must be kept beside every backup of the log, and nowhere in it.
pub struct Secrets {
    /// Keys of cards, personal fields and idempotency.
    pub keys: LedgerKeys,
    /// Passwords of the database roles.
    pub passwords: BTreeMap<DatabaseRole, String>,
}

#[derive(Serialize, Deserialize)]
struct File {
    keys: BTreeMap<String, Key>,
    database_passwords: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Key {
    version: u32,
    key: String,
}

const PURPOSES: [&str; 4] = ["fingerprint", "cvc", "master", "idempotency"];

impl Secrets {
    /// Reads a secrets file, or makes it if there is none: only for a log that is new, or it would stand
    /// in the place of the file that has to be restored.
    pub fn load_or_create(path: &Path, log_is_new: bool) -> anyhow::Result<Self> {
        if !path.exists() {
            let shown = path.display();
            ensure!(log_is_new, "{shown} is missing; restore the secrets.json that was made with this log");
            let text = serde_json::to_string_pretty(&File::draw())?;
            data_dir::write_private(path, text.as_bytes())?;
        }
        Self::load(path)
    }

    /// Reads a secrets file.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("can't read the secrets in {shown}"))?;
        let file: File = serde_json::from_str(&text)
            .with_context(|| format!("{shown} is not a secrets file; restore it"))?;
        let key = |purpose: &str| {
            let Some(Key { version, key }) = file.keys.get(purpose) else {
                bail!("{shown} has no key `{purpose}`; restore the file that was made with this log")
            };
            let mut bytes = [0; 32];
            hex::decode_to_slice(key, &mut bytes)
                .with_context(|| format!("the key `{purpose}` in {shown} is not 64 hex digits"))?;
            Ok(VersionedKey { version: *version, bytes })
        };
        let [fingerprint, cvc, master, idempotency] = PURPOSES.map(key);
        let keys =
            LedgerKeys { fingerprint: fingerprint?, cvc: cvc?, master: master?, idempotency: idempotency? };
        let password = |role: DatabaseRole| Some((role, file.database_passwords.get(role.suffix())?.clone()));
        Ok(Self { keys, passwords: DatabaseRole::ALL.into_iter().filter_map(password).collect() })
    }
}

impl File {
    fn draw() -> Self {
        let key = |purpose: &str| {
            (purpose.to_owned(), Key { version: 1, key: hex::encode(entropy::bytes::<32>()) })
        };
        let password = |role: DatabaseRole| (role.suffix().to_owned(), hex::encode(entropy::bytes::<16>()));
        Self {
            keys: PURPOSES.into_iter().map(key).collect(),
            database_passwords: DatabaseRole::ALL.into_iter().map(password).collect(),
        }
    }
}
