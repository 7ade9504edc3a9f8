//! Statements: what a bank says of an account of the house, whatever format it came in.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::money::{Currency, Money};
use crate::time::Day;

/// How many lines a statement may have: a run is appended in one transaction, and must not hold the log's
/// lock for long.
pub const LINES_MAX: usize = 5_000;

/// How a statement is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StatementFormat {
    /// A table with a header.
    #[serde(rename = "csv")]
    Csv,
    /// ISO 20022 camt.053, BankToCustomerStatement.
    #[serde(rename = "camt.053")]
    Camt053,
}

impl StatementFormat {
    /// Returns the name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Camt053 => "camt.053",
        }
    }
}

/// Which way money went, seen from the house.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It came to the house's account: the bank's credit.
    In,
    /// It left the house's account: the bank's debit.
    Out,
}

impl Direction {
    /// Returns the name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// A statement as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The first day that it speaks of.
    pub from: Day,
    /// The last day that it speaks of.
    pub to: Day,
    /// The currencies that it speaks of: what the ledger moved in others is not missing in it.
    pub currencies: BTreeSet<Currency>,
    /// Its lines, at most [`LINES_MAX`].
    pub lines: Vec<Line>,
}

/// One booking of a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Which one: the line of a CSV file, as editors count; in camt.053 the booked transactions, from 1.
    pub number: u64,
    /// The day on which the bank booked it.
    pub date: Day,
    /// Whether money came in or went out.
    pub direction: Direction,
    /// How much; above zero.
    pub amount: Money,
    /// What the bank says of it.
    pub reference: Option<String>,
    /// Whether that is only the bank's own number, which says nothing of who sent the money and why.
    pub is_banks_own: bool,
}

/// What a file is known by: the SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileHash([u8; 32]);

/// The text is no SHA-256 in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed file hash")]
pub struct MalformedFileHash;

impl FileHash {
    /// Hashes a file.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for FileHash {
    type Err = MalformedFileHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| MalformedFileHash)?;
        let hash = Self(bytes);
        if hash.to_string() == text { Ok(hash) } else { Err(MalformedFileHash) }
    }
}

impl TryFrom<String> for FileHash {
    type Error = MalformedFileHash;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FileHash> for String {
    fn from(hash: FileHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_hash_has_one_spelling() {
        let hash = FileHash::of(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        for other in [&text.to_uppercase(), &text[1..], "", "xyz"] {
            assert_eq!(other.parse::<FileHash>(), Err(MalformedFileHash), "{other}");
        }
    }
}
