//! The secrets file: keys and passwords that a ledger's programs work with, kept beside every backup of the
//! log and nowhere in it.
//!
//! A program's file may hold only what that program needs ([`Secrets::only`]). No error repeats what a file
//! holds.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use ledger_core::personal::SecretKey;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::entropy;
use crate::key_check::KeyCheck;
use crate::migrate::DatabaseRole;

/// What a key is for. Cards' fingerprints and CVCs have separate keys, so that one leak is not two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum KeyPurpose {
    /// Finds cards by their numbers.
    Fingerprint,
    /// Computes CVCs.
    Cvc,
    /// Wraps the keys of personal fields.
    Master,
    /// Hashes idempotency keys and requests.
    Idempotency,
}

impl KeyPurpose {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fingerprint, Self::Cvc, Self::Master, Self::Idempotency];

    /// Returns the name that files and the log use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fingerprint => "fingerprint",
            Self::Cvc => "cvc",
            Self::Master => "master",
            Self::Idempotency => "idempotency",
        }
    }
}

/// A key and the version that events and outcomes record of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct VersionedKey {
    /// The version.
    pub version: u32,
    /// The key.
    pub bytes: [u8; 32],
}

impl VersionedKey {
    /// Computes HMAC-SHA256 over parts, each behind its length.
    pub fn hmac(&self, parts: &[&[u8]]) -> [u8; 32] {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.bytes).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// Returns a one-way value of the key, for the comparison with the log's at a start.
    pub fn check(&self, purpose: KeyPurpose) -> KeyCheck {
        KeyCheck {
            purpose: purpose.name(),
            key_id: self.version.cast_signed(),
            check_value: self.hmac(&[b"key check", purpose.name().as_bytes()])[..16].to_vec(),
        }
    }

    /// Returns the key as one that seals.
    pub const fn secret_key(&self) -> SecretKey {
        SecretKey::new(self.bytes)
    }
}

/// What a secrets file holds.
#[derive(Clone)]
pub struct Secrets {
    /// Passwords of the database roles.
    pub passwords: BTreeMap<DatabaseRole, String>,
    /// The password of the broker's user.
    pub broker_password: Option<String>,
    keys: BTreeMap<KeyPurpose, VersionedKey>,
    /// The file, for errors.
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(default)]
    keys: BTreeMap<String, Key>,
    #[serde(default)]
    database_passwords: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    broker_password: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Key {
    version: u32,
    key: String,
}

impl Secrets {
    /// Reads a file. Names that this program does not know are left alone.
    ///
    /// # Errors
    ///
    /// It can't be read, or what it holds is no secrets file's.
    pub fn read(path: &Path) -> Result<Self, SecretsError> {
        let refused = |why| SecretsError { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|error| refused(Why::Unreadable(error)))?;
        let file: File = serde_json::from_str(&text)
            .map_err(|error| refused(Why::Malformed { line: error.line(), column: error.column() }))?;
        let mut keys = BTreeMap::new();
        for purpose in KeyPurpose::ALL {
            let Some(Key { version, key }) = file.keys.get(purpose.name()) else { continue };
            let mut bytes = [0; 32];
            hex::decode_to_slice(key, &mut bytes).map_err(|_| refused(Why::NotHex(purpose)))?;
            keys.insert(purpose, VersionedKey { version: *version, bytes });
        }
        let password = |role: DatabaseRole| Some((role, file.database_passwords.get(role.suffix())?.clone()));
        Ok(Self {
            passwords: DatabaseRole::ALL.into_iter().filter_map(password).collect(),
            broker_password: file.broker_password,
            keys,
            path: path.to_owned(),
        })
    }

    /// Draws the secrets of a new ledger, for a file at a path.
    pub fn draw(path: &Path) -> Self {
        Self {
            passwords: DatabaseRole::ALL.map(|role| (role, draw_password())).into(),
            broker_password: Some(draw_password()),
            keys: KeyPurpose::ALL
                .map(|purpose| (purpose, VersionedKey { version: 1, bytes: entropy::bytes() }))
                .into(),
            path: path.to_owned(),
        }
    }

    /// Returns the secrets of one program: the given keys, its role's password, and the broker's if it
    /// speaks to it.
    #[must_use]
    pub fn only(&self, keys: &[KeyPurpose], role: DatabaseRole, with_broker: bool) -> Self {
        let mut part = self.clone();
        part.keys.retain(|purpose, _| keys.contains(purpose));
        part.passwords.retain(|known, _| *known == role);
        part.broker_password = part.broker_password.filter(|_| with_broker);
        part
    }

    /// Returns the key of a purpose.
    ///
    /// # Errors
    ///
    /// The file has none.
    pub fn key(&self, purpose: KeyPurpose) -> Result<VersionedKey, SecretsError> {
        let missing = || SecretsError { path: self.path.clone(), why: Why::Missing(purpose) };
        self.keys.get(&purpose).cloned().ok_or_else(missing)
    }

    /// Returns what a file of these secrets holds.
    pub fn to_text(&self) -> String {
        let key = |(purpose, key): (&KeyPurpose, &VersionedKey)| {
            (purpose.name().to_owned(), Key { version: key.version, key: hex::encode(key.bytes) })
        };
        let password =
            |(role, password): (&DatabaseRole, &String)| (role.suffix().to_owned(), password.clone());
        let file = File {
            keys: self.keys.iter().map(key).collect(),
            database_passwords: self.passwords.iter().map(password).collect(),
            broker_password: self.broker_password.clone(),
        };
        #[expect(clippy::expect_used, reason = "maps of text have a form in JSON")]
        let text = serde_json::to_string_pretty(&file).expect("maps of text have a form in JSON");
        text + "\n"
    }
}

/// Draws a password that needs no escaping anywhere.
pub fn draw_password() -> String {
    hex::encode(entropy::bytes::<16>())
}

/// A secrets file that can't be used.
#[derive(Debug)]
pub struct SecretsError {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Unreadable(std::io::Error),
    Malformed { line: usize, column: usize },
    NotHex(KeyPurpose),
    Missing(KeyPurpose),
}

impl std::error::Error for SecretsError {}

impl fmt::Display for SecretsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Why::Unreadable(error) => write!(f, "can't read the secrets in {path}: {error}"),
            Why::Malformed { line, column } => {
                write!(f, "{path} is not a secrets file (line {line}, column {column}); restore it")
            }
            Why::NotHex(purpose) => write!(f, "the key `{}` in {path} is not 64 hex digits", purpose.name()),
            Why::Missing(purpose) => {
                write!(
                    f,
                    "{path} has no key `{}`; restore the file that was made with this log",
                    purpose.name()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Secrets, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Secrets::read(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_drawn_is_read_again() {
        let drawn = Secrets::draw(Path::new("secrets.json"));
        let known = read(&drawn.to_text()).unwrap();
        assert_eq!(known.to_text(), drawn.to_text());
        assert_eq!(known.passwords.len(), DatabaseRole::ALL.len());
        for purpose in KeyPurpose::ALL {
            assert!(known.key(purpose).unwrap().bytes != [0; 32]);
        }
    }

    #[test]
    fn a_part_holds_no_more_than_its_program_needs() {
        let all = Secrets::draw(Path::new("secrets.json"));
        let part = read(&all.only(&[KeyPurpose::Master], DatabaseRole::Projector, false).to_text()).unwrap();
        assert!(part.key(KeyPurpose::Master).is_ok());
        assert_eq!(part.passwords.keys().copied().collect::<Vec<_>>(), [DatabaseRole::Projector]);
        assert_eq!(part.broker_password, None);
        let missing = part.key(KeyPurpose::Cvc).err().unwrap().to_string();
        assert!(missing.contains("has no key `cvc`"), "{missing}");
    }

    #[test]
    fn no_error_repeats_what_a_file_holds() {
        for text in [
            "hunter2",
            r#"{"keys": {"master": {"version": "hunter2", "key": "00"}}}"#,
            r#"{"keys": {"master": {"version": 1, "key": "hunter2"}}}"#,
            r#"{"database_passwords": "hunter2"}"#,
        ] {
            let said = read(text).err().unwrap();
            assert!(!said.contains("hunter2") && said.lines().count() == 1, "{said}");
        }
    }
}
