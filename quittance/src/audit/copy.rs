//! Rows as `COPY … TO STDOUT (FORMAT binary)` sends them: what an audit reads most of its rows by, since it asks
//! nothing of a driver for each of their fields.

use anyhow::{Context, bail};
use futures_util::TryStreamExt;
use sqlx::PgConnection;

use super::moment::Moment;

/// What a binary COPY begins with, before its flags and the length of its extension.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// What stands where a row would begin, behind the last one: it has −1 fields.
const END: &[u8] = &[0xff, 0xff];

/// Microseconds from 1970-01-01, where moments begin, to 2000-01-01, where PostgreSQL's do.
const EPOCH: i64 = 946_684_800_000_000;

/// A row: its fields that were not taken yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a>(&'a [u8]);

/// Runs a query, and hands its rows to `each`, in the transaction that the connection is in.
pub(super) async fn rows(
    connection: &mut PgConnection,
    query: &str,
    mut each: impl FnMut(Row<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let copy = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
    let mut arriving = connection.copy_out_raw(&copy).await?;
    let (mut bytes, mut begun) = (Vec::new(), false);
    while let Some(more) = arriving.try_next().await? {
        bytes.extend_from_slice(&more);
        let mut rest = bytes.as_slice();
        if !begun {
            let Some(after) = header(rest)? else { continue };
            (rest, begun) = (after, true);
        }
        while let Some((row, after)) = row(rest)? {
            each(row)?;
            rest = after;
        }
        let taken = bytes.len() - rest.len();
        bytes.drain(..taken);
    }
    if bytes != END {
        bail!("COPY ended in the middle of its rows");
    }
    Ok(())
}

/// Reads the header; `None` if not all of it is there yet.
fn header(bytes: &[u8]) -> anyhow::Result<Option<&[u8]>> {
    let Some((signature, rest)) = bytes.split_at_checked(SIGNATURE.len()) else { return Ok(None) };
    if signature != SIGNATURE {
        bail!("COPY sent something else than rows in binary");
    }
    let extension = rest.get(4..8).map(|length| number(length).unsigned_abs() as usize);
    Ok(extension.and_then(|length| rest.get(8 + length..)))
}

/// Finds the next row, and what comes after it; `None` at the end, or if not all of it is there yet.
fn row(bytes: &[u8]) -> anyhow::Result<Option<(Row<'_>, &[u8])>> {
    let Some((count, fields)) = bytes.split_at_checked(2) else { return Ok(None) };
    let Ok(count) = u16::try_from(number(count)) else { return Ok(None) };
    let mut rest = fields;
    for _ in 0..count {
        let Some((length, after)) = rest.split_at_checked(4) else { return Ok(None) };
        // NULL is −1 bytes long.
        let length = usize::try_from(number(length)).unwrap_or(0);
        let Some(after) = after.get(length..) else { return Ok(None) };
        rest = after;
    }
    Ok(Some((Row(&fields[..fields.len() - rest.len()]), rest)))
}

/// Reads a whole number of two, four or eight bytes.
fn number(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    bytes.iter().fold(if negative { -1 } else { 0 }, |number, byte| number << 8 | i64::from(*byte))
}

impl<'a> Row<'a> {
    /// Takes the next field; `None` is NULL.
    pub(super) fn field(&mut self) -> anyhow::Result<Option<&'a [u8]>> {
        let (length, rest) =
            self.0.split_at_checked(4).context("a row has fewer fields than were asked for")?;
        let Ok(length) = usize::try_from(number(length)) else {
            self.0 = rest;
            return Ok(None);
        };
        let (field, rest) = rest.split_at_checked(length).context("a row ends within a field")?;
        self.0 = rest;
        Ok(Some(field))
    }

    /// Takes the next field, which is not NULL.
    pub(super) fn bytes(&mut self) -> anyhow::Result<&'a [u8]> {
        self.field()?.context("a field is NULL that may not be")
    }

    /// Takes a text.
    pub(super) fn text(&mut self) -> anyhow::Result<&'a str> {
        Ok(std::str::from_utf8(self.bytes()?)?)
    }

    /// Takes a `smallint`, `integer` or `bigint`.
    pub(super) fn number(&mut self) -> anyhow::Result<i64> {
        self.bytes().map(number)
    }

    /// Takes a `timestamptz`.
    pub(super) fn moment(&mut self) -> anyhow::Result<Moment> {
        self.bytes().map(moment)
    }
}

/// Reads a `timestamptz`.
pub(super) fn moment(bytes: &[u8]) -> Moment {
    Moment::of_micros(number(bytes).saturating_add(EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_at_their_fields() {
        let sent =
            [&[0, 2, 0, 0, 0, 2, b'a', b'b', 255, 255, 255, 255, 0, 1, 0, 0, 0, 2, 255, 254], &[255; 2][..]];
        let sent = sent.concat();
        let (mut first, rest) = row(&sent).unwrap().unwrap();
        assert_eq!((first.text().unwrap(), first.field().unwrap()), ("ab", None));
        assert!(first.field().is_err());
        let (mut second, end) = row(rest).unwrap().unwrap();
        assert_eq!(second.number().unwrap(), -2);
        assert!(row(end).unwrap().is_none());
        for length in 0..12 {
            assert!(row(&sent[..length]).unwrap().is_none(), "{length} bytes are not a row");
        }
    }

    #[test]
    fn the_header_may_have_an_extension() {
        let sent = [SIGNATURE, &[0, 0, 0, 0, 0, 0, 0, 1, 7, 42]].concat();
        assert_eq!(header(&sent).unwrap(), Some(&[42][..]));
        assert_eq!(header(&sent[..19]).unwrap(), None);
        assert!(header(b"PGCOPX\n\xff\r\n\0").is_err());
    }

    #[test]
    fn moments_begin_in_2000() {
        assert_eq!(moment(&1_i64.to_be_bytes()).to_string(), "2000-01-01T00:00:00.000001Z");
        assert_eq!(moment(&(-EPOCH).to_be_bytes()).to_string(), "1970-01-01T00:00:00.000000Z");
    }
}
