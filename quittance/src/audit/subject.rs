//! Personal data: every sealed field belongs to the right subject, has a key, and opens.

use std::collections::HashMap;

use anyhow::Context;
use ledger_core::ids::{EventId, StreamId};
use ledger_core::personal::{Sealed, SecretKey};
use serde_json::Value;
use sqlx::PgConnection;

use super::canonical;
use super::event::Event;
use super::fields::{Fields, Malformed};
use super::report::Check;

/// What stands for a personal value where there is no key to open it with.
pub(super) const SEALED: &str = "(sealed)";

/// A personal field as read models show it; `None` if there is none, or none that opens.
pub(super) type Opened = Option<Box<str>>;

/// What the plain text of a personal field must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// A string.
    Text,
    /// An object of strings; read models show its RFC 8785 text.
    Metadata,
}

/// The subjects' keys, as the write side keeps them.
#[derive(Default)]
pub(super) struct Vault {
    /// Opens the keys; without it, fields are only seen to be there.
    pub(super) master: Option<SecretKey>,
    /// Each subject's key, wrapped.
    pub(super) wrapped: HashMap<StreamId, Vec<u8>>,
}

impl Vault {
    /// Begins a vault without subjects.
    pub(super) fn new(master: Option<SecretKey>) -> Self {
        Self { master, wrapped: HashMap::new() }
    }

    /// Reads all subjects' keys, in the transaction that the connection is in.
    pub(super) async fn load(&mut self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as("SELECT subject, wrapped FROM subject_keys")
            .fetch_all(connection)
            .await
            .context("subject_keys can't be read")?;
        for (subject, wrapped) in rows {
            self.wrapped.insert(subject.parse().context("a subject is no id")?, wrapped);
        }
        Ok(())
    }

    /// Reads a personal field of an event's data.
    pub(super) fn open(
        &self,
        event: &Event,
        data: Fields<'_>,
        (name, form): (&'static str, Form),
        subject: StreamId,
        check: &mut Check<'_>,
    ) -> Result<Opened, Malformed> {
        let Some(sealed) = data.sealed(name)? else { return Ok(None) };
        Ok(self.open_box(&sealed, (event.id, name), form, subject, check))
    }

    /// Opens a box that was sealed as a field of an event.
    pub(super) fn open_box(
        &self,
        sealed: &Sealed,
        (event, name): (EventId, &str),
        form: Form,
        subject: StreamId,
        check: &mut Check<'_>,
    ) -> Opened {
        check.same(&format!("subject of {name}"), subject, sealed.subject);
        let Some(wrapped) = self.wrapped.get(&sealed.subject) else {
            check.note(&format!("subject_keys row for {name}"), sealed.subject, "none");
            return None;
        };
        let Some(master) = &self.master else { return Some(SEALED.into()) };
        let key = master.unwrap_key(wrapped, sealed.subject);
        let plain = key.and_then(|key| sealed.open(&key, event, name));
        let shown = plain.and_then(|plain| shown(plain, form));
        if shown.is_none() {
            check.note(&format!("box of {name}"), "one that opens to the right form", "another");
        }
        shown
    }
}

fn shown(plain: Value, form: Form) -> Opened {
    match (form, plain) {
        (Form::Text, Value::String(text)) => Some(text.into()),
        (Form::Metadata, plain) if is_metadata(&plain) => canonical::text(&plain).ok().map(Into::into),
        (Form::Text | Form::Metadata, _) => None,
    }
}

/// Tells whether a value is an object of strings.
pub(super) fn is_metadata(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.values().all(Value::is_string))
}
