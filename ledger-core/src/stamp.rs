//! Where a stream stands: its version and the moments of its first and last events.

use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;
use crate::time::Timestamp;

/// The place of a stream's last event, and when its first and last were recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stamp {
    /// The stream's version: the number of its events.
    pub version: u64,
    /// The position of its last event.
    pub position: u64,
    /// When its first event was recorded.
    pub created_at: Timestamp,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
}

impl Stamp {
    /// Takes the stamp of a stream's first event.
    pub const fn first(envelope: &Envelope) -> Self {
        let (at, position) = (envelope.recorded_at, envelope.position);
        Self { version: envelope.version, position, created_at: at, updated_at: at }
    }

    /// Moves on to the stream's next event.
    pub const fn advance(&mut self, envelope: &Envelope) {
        self.version = envelope.version;
        self.position = envelope.position;
        self.updated_at = envelope.recorded_at;
    }
}
