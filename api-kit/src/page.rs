//! Pages of lists: `limit`, an opaque `cursor`, `{"data", "next_cursor"}`.
//!
//! A cursor is the key of the last row that was shown, so a page costs the same wherever it is, and rows
//! that come in meanwhile shift nothing.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::fields::FieldCode;
use crate::query_string::Parameters;

/// How many rows a page has unless told otherwise.
const LIMIT_DEFAULT: i64 = 50;
/// How many it may have.
const LIMIT_MAX: i64 = 1000;

/// Which page is wanted; `K` is the key that the list is ordered by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page<K> {
    /// How many rows, at most.
    pub limit: i64,
    /// The key of the last row before the page.
    pub after: Option<K>,
}

impl<K: FromStr> Page<K> {
    /// Takes `limit` and `cursor`.
    pub fn read(parameters: &mut Parameters) -> Self {
        let limit = parameters.integer("limit", 1, LIMIT_MAX).unwrap_or(LIMIT_DEFAULT);
        let after = parameters.parsed("cursor", |text| decode(text).ok_or(FieldCode::InvalidFormat));
        Self { limit, after }
    }

    /// Returns how many rows to read: one more than is shown tells whether there is a next page.
    pub const fn rows(&self) -> i64 {
        self.limit.saturating_add(1)
    }
}

fn decode<K: FromStr>(cursor: &str) -> Option<K> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    std::str::from_utf8(&bytes).ok()?.parse().ok()
}

/// One page of a list.
#[derive(Serialize, ToSchema, Debug)]
pub struct List<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// Makes a page of [`Page::rows`] rows. `key` writes a row's key as `K` reads it.
    pub fn of<K, D: Display>(mut rows: Vec<T>, page: &Page<K>, key: impl Fn(&T) -> D) -> Self {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|row| URL_SAFE_NO_PAD.encode(key(row).to_string()));
        Self { data: rows, next_cursor }
    }

    /// Makes a list that has one page.
    pub const fn whole(data: Vec<T>) -> Self {
        Self { data, next_cursor: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::ApiError;
    use crate::query_string;

    fn page(query: &str) -> Result<Page<u64>, ApiError> {
        query_string::read(Some(query), Page::read)
    }

    #[test]
    fn a_cursor_leads_to_the_next_page() {
        let first = page("limit=2").unwrap();
        assert_eq!((first.limit, first.rows(), first.after), (2, 3, None));
        let list = List::of(vec![9_u64, 7, 5], &first, |key| *key);
        assert_eq!(list.data, [9, 7]);
        let second = page(&format!("limit=2&cursor={}", list.next_cursor.unwrap())).unwrap();
        assert_eq!(second.after, Some(7));
        assert_eq!(List::of(vec![5_u64], &second, |key| *key).next_cursor, None);
        assert_eq!(List::of(vec![5_u64, 3], &second, |key| *key).next_cursor, None);
    }

    #[test]
    fn refuses_what_no_page_has() {
        assert_eq!(page("").unwrap().limit, 50);
        for query in ["limit=0", "limit=1001", "limit=x", "cursor=7", "cursor=%20", "cursor=", "offset=3"] {
            assert_eq!(page(query).unwrap_err().code(), "invalid_request", "{query}");
        }
    }
}
