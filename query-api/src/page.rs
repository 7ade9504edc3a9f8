//! Pages of lists: a limit, and a cursor that says where the next page begins.

use api_kit::fields::FieldCode;
use api_kit::query_string::Parameters;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// What page a caller wants.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    limit: usize,
    /// The sort key of the last row of the page before.
    pub(crate) after: Option<String>,
}

impl Page {
    /// Reads `limit` and `cursor`.
    pub(crate) fn read(parameters: &mut Parameters) -> Self {
        let limit = parameters.integer("limit", 1, 1000).unwrap_or(50);
        let after = parameters.parsed("cursor", |text| {
            let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| FieldCode::InvalidFormat)?;
            String::from_utf8(bytes).map_err(|_| FieldCode::InvalidFormat)
        });
        Self { limit: usize::try_from(limit).unwrap_or(50), after }
    }

    /// Reads them where the sort key is one or two numbers, as `position` or `position.ordinal`.
    pub(crate) fn read_numbers(parameters: &mut Parameters) -> (Self, Option<(i64, i64)>) {
        let page = Self::read(parameters);
        let numbers = page.after.as_deref().map(|after| {
            let (first, second) = after.split_once('.').unwrap_or((after, "0"));
            first.parse().ok().zip(second.parse().ok())
        });
        match numbers {
            Some(None) => {
                parameters.refuse("cursor", FieldCode::InvalidFormat);
                (page, None)
            }
            Some(numbers) => (page, numbers),
            None => (page, None),
        }
    }

    /// Returns how many rows to fetch: one more than shown tells whether there is a next page.
    pub(crate) fn fetch(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(50) + 1
    }

    /// Makes the list's body of the fetched rows, each with its sort key.
    pub(crate) fn body(&self, mut rows: Vec<(String, Value)>) -> Value {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let last = rows.last().filter(|_| more).map(|(key, _)| URL_SAFE_NO_PAD.encode(key));
        let data: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
        json!({ "data": data, "next_cursor": last })
    }
}
