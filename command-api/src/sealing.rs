//! Personal fields on their way in and out: sealed before the queue, opened in the answer.

use std::collections::{BTreeSet, HashMap};

use event_store::StoreError;
use event_store::lookup;
use ledger_core::ids::{EventId, StreamId};
use ledger_core::personal::{Sealed, SecretKey};
use serde::Deserialize;
use serde_json::Value;
use sqlx::PgPool;

/// Seals and opens, with the subjects' keys from the database and the master key that unwraps them.
#[derive(Clone)]
pub struct Sealer {
    pool: PgPool,
    master: SecretKey,
}

/// A subject and its key: what fields are sealed with.
pub struct Subject {
    id: StreamId,
    key: SecretKey,
}

/// A subject's key as it is stored: wrapped by the master key.
pub type SubjectKey = (StreamId, Vec<u8>);

/// The place of a personal field in a stored answer.
#[derive(Deserialize)]
struct Place {
    #[serde(flatten)]
    sealed: Sealed,
    event_id: EventId,
    field: String,
}

impl Sealer {
    /// Makes a sealer.
    pub const fn new(pool: PgPool, master: SecretKey) -> Self {
        Self { pool, master }
    }

    /// Draws a key for a new subject; the wrapped key goes into the batch.
    pub fn new_subject(&self, id: StreamId) -> (Subject, SubjectKey) {
        let key = SecretKey::new(event_store::entropy::bytes());
        let wrapped = self.master.wrap(&key, id, event_store::entropy::bytes());
        (Subject { id, key }, (id, wrapped))
    }

    /// Finds a subject's key; `None` if there is no such subject, or it was erased.
    pub async fn subject(&self, id: StreamId) -> Result<Option<Subject>, StoreError> {
        Ok(self.keys(&[id.to_string()]).await?.remove(&id).map(|key| Subject { id, key }))
    }

    async fn keys(&self, subjects: &[String]) -> Result<HashMap<StreamId, SecretKey>, StoreError> {
        let wrapped = lookup::subject_keys(&self.pool, subjects).await?;
        Ok(wrapped
            .into_iter()
            .filter_map(|(id, wrapped)| Some((id, self.master.unwrap_key(&wrapped, id)?)))
            .collect())
    }

    /// Opens a text of each of many events; `None` where its subject was erased.
    pub async fn open_texts(
        &self,
        sealed: &[(EventId, &Sealed)],
        field: &str,
    ) -> Result<Vec<Option<String>>, StoreError> {
        let subjects: BTreeSet<String> = sealed.iter().map(|(_, of)| of.subject.to_string()).collect();
        let keys = self.keys(&subjects.into_iter().collect::<Vec<_>>()).await?;
        let open = |(event, of): &(EventId, &Sealed)| {
            of.open(keys.get(&of.subject)?, *event, field)?.as_str().map(str::to_owned)
        };
        Ok(sealed.iter().map(open).collect())
    }

    /// Tells whether a stored answer may have personal fields; most have none, and need not be read again.
    pub fn may_be_sealed(stored: &str) -> bool {
        stored.contains(r#"{"sealed":"#)
    }

    /// Opens all personal fields of a stored answer; those of an erased subject become null.
    pub async fn open(&self, stored: &str) -> Result<Value, StoreError> {
        let mut answer: Value = serde_json::from_str(stored).map_err(|source| StoreError::Corrupt {
            what: "a stored answer".to_owned(),
            source: source.into(),
        })?;
        let mut subjects = Vec::new();
        each_place(&mut answer, &mut |place| {
            subjects.push(place.sealed.subject.to_string());
            None
        });
        if subjects.is_empty() {
            return Ok(answer);
        }
        let keys = self.keys(&subjects).await?;
        each_place(&mut answer, &mut |place| {
            let key = keys.get(&place.sealed.subject);
            Some(key.and_then(|key| place.sealed.open(key, place.event_id, &place.field)).unwrap_or_default())
        });
        Ok(answer)
    }
}

impl Subject {
    /// Seals a field of an event.
    pub fn seal(&self, event: EventId, field: &str, plain: &Value) -> Sealed {
        Sealed::seal(&self.key, self.id, event, field, event_store::entropy::bytes(), plain)
    }
}

/// Visits the sealed members of an answer, wherever they stand; what `visit` returns takes their place.
fn each_place(answer: &mut Value, visit: &mut dyn FnMut(Place) -> Option<Value>) {
    let place = answer.get("sealed").and_then(|sealed| Place::deserialize(sealed).ok());
    if let Some(place) = place {
        if let Some(filled) = visit(place) {
            *answer = filled;
        }
        return;
    }
    match answer {
        Value::Object(members) => members.values_mut().for_each(|member| each_place(member, visit)),
        Value::Array(items) => items.iter_mut().for_each(|item| each_place(item, visit)),
        _ => {}
    }
}
