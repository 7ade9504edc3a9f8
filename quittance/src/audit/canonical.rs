//! RFC 8785, written again: the one text of a JSON value.
//!
//! Events hold no numbers but whole ones, so the part of the RFC that prints floats is not here: such a
//! number is a finding by itself.

use std::fmt::Write;

use serde_json::Value;

/// The largest whole number that every JSON reader keeps exactly: 2^53 − 1.
const SAFE_INTEGER_MAX: u64 = 9_007_199_254_740_991;

/// The value holds a number that is not whole, or too large to be exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inexact;

/// Writes a value's canonical text.
pub(super) fn text(value: &Value) -> Result<String, Inexact> {
    let mut out = String::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), Inexact> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            let size = number.as_i64().map(i64::unsigned_abs).or(number.as_u64()).ok_or(Inexact)?;
            if size > SAFE_INTEGER_MAX {
                return Err(Inexact);
            }
            let _ = write!(out, "{number}");
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            // The RFC sorts by UTF-16 code units, which differs from the order of UTF-8 above U+FFFF.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (place, (name, member)) in members.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_string(name, out);
                out.push(':');
                write(member, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            8 => out.push_str("\\b"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            12 => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            control => {
                let _ = write!(out, "\\u{control:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> Result<String, Inexact> {
        text(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn sorts_members_and_drops_space() {
        assert_eq!(canonical(r#"{ "b": [1, true], "a": null }"#), Ok(r#"{"a":null,"b":[1,true]}"#.into()));
    }

    #[test]
    fn sorts_by_utf16_as_the_rfc_does() {
        // U+1F600 is D83D DE00 in UTF-16, before U+FB33; in UTF-8 it is the other way round.
        assert_eq!(
            canonical("{\"\u{fb33}\":1,\"\u{1f600}\":2}"),
            Ok("{\"\u{1f600}\":2,\"\u{fb33}\":1}".into())
        );
    }

    #[test]
    fn escapes_what_the_rfc_escapes() {
        let json = r#""\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\/""#;
        assert_eq!(canonical(json), Ok(r#""€$\u000f\nA'B\"\\\\\"/""#.into()));
    }

    #[test]
    fn refuses_numbers_that_are_not_exact() {
        for json in ["1.5", "1e3", "-0", "9007199254740992", "[18446744073709551615]"] {
            assert_eq!(canonical(json), Err(Inexact), "{json}");
        }
        assert_eq!(canonical("-9007199254740991"), Ok("-9007199254740991".into()));
    }
}
