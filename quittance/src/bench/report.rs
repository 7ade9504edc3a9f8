//! What is said at the end: for people, or as JSON.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::books::Books;
use super::conditions::Conditions;

/// What a measure has found: the text and the JSON of it.
pub(super) struct Findings {
    text: String,
    json: Value,
}

impl Findings {
    pub(super) fn of<T: Serialize + fmt::Display>(found: &T) -> anyhow::Result<Self> {
        Ok(Self { text: found.to_string(), json: serde_json::to_value(found)? })
    }

    /// Puts more before it, under a name.
    pub(super) fn with<T: Serialize + fmt::Display>(
        mut self,
        name: &str,
        more: Option<&T>,
    ) -> anyhow::Result<Self> {
        if let Some(more) = more {
            self.text = format!("{more}\n{}", self.text);
            self.json[name] = serde_json::to_value(more)?;
        }
        Ok(self)
    }
}

/// A report: there is none without books that balance.
pub(super) struct Report {
    pub(super) conditions: Conditions,
    pub(super) findings: Findings,
    pub(super) books: Books,
}

impl Report {
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        let Self { conditions, findings, books } = self;
        Ok(serde_json::json!({
            "conditions": conditions,
            "result": findings.json,
            "books": books,
        }))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conditions, findings, books } = self;
        writeln!(f, "{conditions}\n\n{}\n", findings.text)?;
        write!(f, "the books balance: audit verify holds over {} events", books.events)
    }
}
