//! One event, read from its canonical text and nothing else.

use ledger_core::ids::{EventId, StreamId};
use serde_json::{Map, Value};

use super::account::Posting;
use super::fields::{Fields, Malformed};
use super::moment::Moment;

/// The envelope's members.
const MEMBERS: &[&str] = &[
    "actor",
    "data",
    "event_id",
    "position",
    "postings",
    "recorded_at",
    "request_id",
    "schema_version",
    "stream_id",
    "type",
    "version",
];

/// An event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) position: u64,
    pub(super) id: EventId,
    pub(super) stream: StreamId,
    pub(super) version: u64,
    pub(super) kind: String,
    pub(super) schema_version: u64,
    pub(super) at: Moment,
    pub(super) actor: String,
    pub(super) request: Option<String>,
    pub(super) postings: Vec<Posting>,
    data: Map<String, Value>,
}

impl Event {
    /// Reads the envelope object.
    pub(super) fn read(mut envelope: Value) -> Result<Self, Malformed> {
        let fields = Fields::of(&envelope, "envelope")?.exactly("envelope", &[MEMBERS])?;
        fields.object("data")?;
        let mut event = Self {
            position: fields.number("position")?,
            id: fields.id("event_id")?,
            stream: fields.id("stream_id")?,
            version: fields.number("version")?,
            kind: fields.text("type")?.to_owned(),
            schema_version: fields.number("schema_version")?,
            at: fields.moment("recorded_at")?,
            actor: fields.text("actor")?.to_owned(),
            request: fields.maybe_text("request_id")?.map(str::to_owned),
            postings: fields.postings("postings")?,
            data: Map::new(),
        };
        if let Some(Value::Object(data)) = envelope.get_mut("data").map(Value::take) {
            event.data = data;
        }
        Ok(event)
    }

    /// Returns the members of `data`.
    pub(super) const fn data(&self) -> Fields<'_> {
        Fields(&self.data)
    }

    /// Returns `data` with exactly these members, in groups for the reader's sake.
    pub(super) fn data_of(&self, names: &[&[&str]]) -> Result<Fields<'_>, Malformed> {
        self.data().exactly("data", names)
    }

    /// Returns the payment that the event belongs to, if it is one's.
    pub(super) fn payment_id(&self) -> Option<String> {
        matches!(self.stream, StreamId::Payment(_)).then(|| self.stream.to_string())
    }

    /// Tells whether another event was written for the same request, as far as the log can tell.
    pub(super) fn is_of_the_request_of(&self, other: &Self) -> bool {
        (self.at, &self.actor, &self.request) == (other.at, &other.actor, &other.request)
    }
}
