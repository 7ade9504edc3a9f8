//! The clock: the system's, or for tests the system's plus an offset that a file holds.

use std::path::PathBuf;
use std::sync::Arc;

use ledger_core::Timestamp;

/// Tells the time. Only the write side's own clock, PostgreSQL's under the lock, goes into events.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_file: Option<Arc<PathBuf>>,
}

impl Clock {
    /// Makes the system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// Makes a clock that tests can move: the file holds whole seconds to add, and is read each time.
    pub fn with_offset_file(path: PathBuf) -> Self {
        Self { offset_file: Some(Arc::new(path)) }
    }

    /// Tells the time, in whole microseconds.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn now(&self) -> Timestamp {
        self.moved(Timestamp::new(chrono::Utc::now()))
    }

    /// Adds the tests' offset to a moment that another clock told.
    pub fn moved(&self, moment: Timestamp) -> Timestamp {
        moment.plus_micros(self.offset_seconds().saturating_mul(1_000_000))
    }

    fn offset_seconds(&self) -> i64 {
        let Some(path) = &self.offset_file else { return 0 };
        let text = std::fs::read_to_string(path.as_path()).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}
