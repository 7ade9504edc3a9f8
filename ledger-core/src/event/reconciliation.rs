//! What happens to reconciliations.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::money::Currency;
use crate::reconciliation::item::{Item, MatchCounts};
use crate::reconciliation::statement::{FileHash, StatementFormat};
use crate::time::Day;

/// `reconciliation.run`. Its items follow in `reconciliation.items`, as many as are counted here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReconciliationRun {
    /// How the statement is written.
    pub format: StatementFormat,
    /// What the file is known by.
    pub file_hash: FileHash,
    /// The first day that the statement speaks of.
    pub from: Day,
    /// The last day that it speaks of.
    pub to: Day,
    /// The currencies that it speaks of.
    pub currencies: BTreeSet<Currency>,
    /// How many lines it has.
    pub lines: u64,
    /// The position up to which the log was read.
    pub through_position: u64,
    /// How its lines and the ledger's movements came out.
    pub counts: MatchCounts,
}

/// `reconciliation.items`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReconciliationItems {
    /// The next items, in their order: the differences first.
    pub items: Vec<Item>,
}
