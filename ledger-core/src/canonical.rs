//! RFC 8785: the one text of a JSON value, written as it is serialized.
//!
//! The members of an object are put into their order when it ends, which costs nothing where they stand in it
//! already. No tree of the value is made, since every event of the log is written by this.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};

/// The largest whole number that a double keeps exactly: 2^53 − 1.
const SAFE_INTEGER_MAX: u64 = 9_007_199_254_740_991;

/// Writes a value's canonical text.
///
/// # Errors
///
/// It can't be written as JSON: a map has keys that are no strings, say.
pub fn to_string(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let text = Text(RefCell::new(Vec::with_capacity(512)));
    let sorter = Sorter { text: &text, objects: Vec::new(), members: Vec::new() };
    value.serialize(&mut Serializer::with_formatter(&text, sorter))?;
    String::from_utf8(text.0.into_inner()).map_err(serde::ser::Error::custom)
}

/// What is written so far: the serializer appends to it, the sorter moves what stands in it.
struct Text(RefCell<Vec<u8>>);

impl Text {
    fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

impl io::Write for &Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Sorter<'a> {
    text: &'a Text,
    /// Of each object that is open, how many of `members` are those of the objects around it.
    objects: Vec<usize>,
    /// The members of all objects that are open.
    members: Vec<Member>,
}

/// Where a member stands in the text: `"name":value`.
#[derive(Clone, Copy)]
struct Member {
    begin: usize,
    name_end: usize,
    end: usize,
}

impl Member {
    /// Returns the name as it is written between its quotes.
    fn name(self, text: &[u8]) -> &[u8] {
        &text[self.begin + 1..self.name_end - 1]
    }
}

/// Compares names as the RFC sorts them: by UTF-16 code units, which differs from the order of UTF-8 above U+FFFF.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let is_plain = |name: &[u8]| name.iter().all(|byte| byte.is_ascii() && *byte != b'\\');
    if is_plain(a) && is_plain(b) { a.cmp(b) } else { units(a).cmp(&units(b)) }
}

fn units(written: &[u8]) -> Vec<u16> {
    let quoted = [b"\"", written, b"\""].concat();
    let name: String = serde_json::from_slice(&quoted).unwrap_or_default();
    name.encode_utf16().collect()
}

/// Puts the members of an object, the last thing in the text, into their order.
fn sort(text: &mut Vec<u8>, members: &mut [Member]) {
    let in_order = |pair: &[Member]| compare(pair[0].name(text), pair[1].name(text)).is_le();
    if members.windows(2).all(in_order) {
        return;
    }
    let begin = members[0].begin;
    members.sort_by(|a, b| compare(a.name(text), b.name(text)));
    let sorted: Vec<&[u8]> = members.iter().map(|member| &text[member.begin..member.end]).collect();
    let sorted = sorted.join(&b',');
    text.truncate(begin);
    text.extend_from_slice(&sorted);
}

impl Formatter for Sorter<'_> {
    fn write_i64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        if value.unsigned_abs() > SAFE_INTEGER_MAX {
            return double(writer, &value);
        }
        CompactFormatter.write_i64(writer, value)
    }

    fn write_u64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if value > SAFE_INTEGER_MAX {
            return double(writer, &value);
        }
        CompactFormatter.write_u64(writer, value)
    }

    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        double(writer, &value)
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.objects.push(self.members.len());
        writer.write_all(b"{")
    }

    fn begin_object_key<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        let begin = self.text.len();
        self.members.push(Member { begin, name_end: begin, end: begin });
        Ok(())
    }

    fn end_object_key<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        if let Some(member) = self.members.last_mut() {
            member.name_end = self.text.len();
        }
        Ok(())
    }

    fn end_object_value<W: io::Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        if let Some(member) = self.members.last_mut() {
            member.end = self.text.len();
        }
        Ok(())
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        let first = self.objects.pop().unwrap_or_default();
        sort(&mut self.text.0.borrow_mut(), &mut self.members[first..]);
        self.members.truncate(first);
        writer.write_all(b"}")
    }
}

/// Writes what is no exact whole number, as the RFC has it: events hold none.
fn double<W: io::Write + ?Sized>(writer: &mut W, value: &impl Serialize) -> io::Result<()> {
    writer.write_all(&serde_json_canonicalizer::to_vec(value)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Serialize)]
    struct Shuffled {
        zeta: u64,
        alpha: &'static str,
        nested: Option<Box<Self>>,
        list: Vec<i64>,
    }

    #[test]
    fn members_are_put_into_their_order_at_every_depth() {
        let inner = Shuffled { zeta: 2, alpha: "\u{1}\"/é", nested: None, list: vec![] };
        let outer = Shuffled { zeta: 1, alpha: "", nested: Some(Box::new(inner)), list: vec![-1, 0] };
        assert_eq!(
            to_string(&outer).unwrap(),
            r#"{"alpha":"","list":[-1,0],"nested":{"alpha":"\u0001\"/é","list":[],"nested":null,"zeta":2},"zeta":1}"#
        );
    }

    #[test]
    fn names_are_sorted_by_their_utf16_units() {
        let value = json!({ "\u{10000}": 1, "\u{ffff}": 2, "\n": 3, "": {}, "0": [{}] });
        assert_eq!(
            to_string(&value).unwrap(),
            "{\"\":{},\"\\n\":3,\"0\":[{}],\"\u{10000}\":1,\"\u{ffff}\":2}"
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e20..1e20).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 32, 6, |inner| {
            let objects = proptest::collection::btree_map(any::<String>(), inner.clone(), 0..6);
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(Value::from),
                objects.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_what_another_implementation_writes(value in any_json()) {
            prop_assert_eq!(to_string(&value).unwrap(), serde_json_canonicalizer::to_string(&value).unwrap());
        }
    }
}
