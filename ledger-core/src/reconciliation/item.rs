//! Items: what became of each line of a statement and of each movement of the ledger.

use serde::{Deserialize, Serialize};

use super::movement::Movement;
use super::statement::Direction;
use crate::money::Money;
use crate::personal::Sealed;
use crate::time::Day;

/// How many items one run may have: as many lines as a statement may, and as many movements without one.
pub const ITEMS_MAX: usize = 10_000;

/// How a line or a movement came out; in the order in which a run lists them, the differences first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchResult {
    /// The bank has it, the ledger does not.
    MissingHere,
    /// The ledger has it, the bank does not.
    MissingThere,
    /// Both have it by its reference, with different amounts.
    AmountDiffers,
    /// The bank has it twice, the ledger once.
    Duplicate,
    /// Both have it.
    Matched,
}

impl MatchResult {
    /// Returns the name that the API uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingHere => "missing_here",
            Self::MissingThere => "missing_there",
            Self::AmountDiffers => "amount_differs",
            Self::Duplicate => "duplicate",
            Self::Matched => "matched",
        }
    }
}

/// How many items came out how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MatchCounts {
    /// Both have it.
    pub matched: u64,
    /// The bank has it, the ledger does not.
    pub missing_here: u64,
    /// The ledger has it, the bank does not.
    pub missing_there: u64,
    /// Both have it, with different amounts.
    pub amount_differs: u64,
    /// The bank has it twice, the ledger once.
    pub duplicate: u64,
}

impl MatchCounts {
    /// Counts results.
    pub fn of(results: impl IntoIterator<Item = MatchResult>) -> Self {
        let mut counts = Self::default();
        for result in results {
            let count = match result {
                MatchResult::Matched => &mut counts.matched,
                MatchResult::MissingHere => &mut counts.missing_here,
                MatchResult::MissingThere => &mut counts.missing_there,
                MatchResult::AmountDiffers => &mut counts.amount_differs,
                MatchResult::Duplicate => &mut counts.duplicate,
            };
            *count += 1;
        }
        counts
    }
}

/// A line of a statement as a run keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ItemLine {
    /// Which one: see [`super::statement::Line::number`].
    pub number: u64,
    /// The day on which the bank booked it.
    pub date: Day,
    /// Whether money came in or went out.
    pub direction: Direction,
    /// How much; above zero.
    pub amount: Money,
    /// Personal: what the bank says of it, sealed as the field [`reference_field`] of the run's event.
    pub reference: Option<Sealed>,
}

/// Names the field that a line's reference is sealed as: an event holds several.
pub fn reference_field(number: u64) -> String {
    format!("reference/{number}")
}

/// One item: at least one of the two is there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// How it came out.
    pub result: MatchResult,
    /// What the bank says.
    pub line: Option<ItemLine>,
    /// What the ledger says.
    pub movement: Option<Movement>,
}
