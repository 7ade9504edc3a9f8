//! Parsed JSON that names no member twice, and whose contents no error or log repeats.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::problem::ApiError;

/// A JSON value.
///
/// Not [`serde_json::Value`]: that takes the last of two members of one name, and prints itself.
#[derive(Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number written as an integer that an `i64` holds.
    Integer(i64),
    /// Any other number: with a fraction or an exponent, or too large.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Parses a whole text, which must be UTF-8. The error says nothing of it.
    pub fn parse(text: &[u8]) -> Result<Self, ApiError> {
        serde_json::from_slice(text).map_err(|_| ApiError::MalformedJson)
    }

    /// Tells whether a number is out of an `i64`'s range, however it is written.
    pub(crate) fn is_beyond_integers(number: f64) -> bool {
        // 2^63, exactly.
        number.abs() >= 9_223_372_036_854_775_808.0
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(members) => serializer.collect_map(members),
        }
    }
}

/// Shows the kind only: a body may hold what no log may.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Integer(_) | Self::Number(_) => "number",
            Self::Text(_) => "text",
            Self::List(_) => "list",
            Self::Object(_) => "object",
        })
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        #[expect(clippy::cast_precision_loss, reason = "only that it is too large matters")]
        let beyond = value as f64;
        Ok(i64::try_from(value).map_or(Json::Number(beyond), Json::Integer))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((name, value)) = members.next_entry()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member name twice"));
            }
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_what_kind_they_are() {
        let parsed = |text: &str| Json::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed("1234"), Json::Integer(1234));
        assert_eq!(parsed("-9223372036854775808"), Json::Integer(i64::MIN));
        for fraction in ["1.0", "1e3", "0.5", "-0"] {
            assert!(
                matches!(parsed(fraction), Json::Number(n) if !Json::is_beyond_integers(n)),
                "{fraction}"
            );
        }
        for large in ["9223372036854775808", "18446744073709551616", "-9223372036854775809"] {
            assert!(matches!(parsed(large), Json::Number(n) if Json::is_beyond_integers(n)), "{large}");
        }
    }

    #[test]
    fn refuses_what_is_no_json() {
        for text in [
            &b"{\"a\":1,\"a\":1}"[..],
            b"{\"b\":[{\"a\":1,\"\\u0061\":2}]}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\\ud800\"}",
            b"{} {}",
            b"{\"a\":01}",
            b"{'a':1}",
            b"NaN",
            b"\xef\xbb\xbf{}",
            b"",
        ] {
            assert!(Json::parse(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
        let deep = "[".repeat(1000);
        assert!(Json::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn debug_shows_no_content() {
        let json = Json::parse(br#"{"number":"4242424242424242"}"#).unwrap();
        assert_eq!(format!("{json:?}"), "object");
    }

    #[test]
    fn a_value_comes_back_whole() {
        let text = r#"{"a":[1,true,null,"x",0.5],"b":{"c":-5}}"#;
        assert_eq!(serde_json::to_string(&Json::parse(text.as_bytes()).unwrap()).unwrap(), text);
    }
}
