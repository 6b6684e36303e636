// SPDX-License-Identifier: Apache-2.0
//! Properties of the unit that a configuration names itself: annotations `org.systemd.property.NAME` with a value in GVariant's text
//! format, as runc and crun take them. Pure.

use super::SystemdError;
use super::wire::Value;

/// A second, in microseconds.
const SECOND: u64 = 1_000_000;

/// The property that the annotation `org.systemd.property.NAME` asks for. One that `systemd.unit(5)` calls `…Sec`, a number of
/// seconds, is `…USec` on the bus, in microseconds.
///
/// # Errors
/// A name that no property can have, a value that is none of the types below.
pub(super) fn property(name: &str, text: &str) -> Result<(String, Value), SystemdError> {
    let wrong = || SystemdError::Annotation { name: name.to_owned(), value: text.to_owned() };
    let is_name = name.len() > 2
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_name {
        return Err(wrong());
    }
    let value = value(text.trim()).ok_or_else(wrong)?;
    match name.strip_suffix("Sec").filter(|stem| stem.ends_with(|last: char| last.is_ascii_lowercase())) {
        Some(stem) => {
            let microseconds =
                seconds(&value).and_then(|seconds| seconds.checked_mul(SECOND)).ok_or_else(wrong)?;
            Ok((format!("{stem}USec"), Value::Number(microseconds)))
        }
        None => Ok((name.to_owned(), value)),
    }
}

fn seconds(value: &Value) -> Option<u64> {
    match *value {
        Value::Number(number) => Some(number),
        Value::Signed(number) => number.try_into().ok(),
        Value::Number32(number) => Some(number.into()),
        Value::Signed32(number) => number.try_into().ok(),
        _ => None,
    }
}

/// A word for the type, then the value; without the word a number is an `int32`.
fn value(text: &str) -> Option<Value> {
    let (kind, rest) = text.split_once(' ').map_or(("", text), |(kind, rest)| (kind, rest.trim_start()));
    Some(match kind {
        "uint64" => Value::Number(rest.parse().ok()?),
        "int64" => Value::Signed(rest.parse().ok()?),
        "uint32" => Value::Number32(rest.parse().ok()?),
        "int32" => Value::Signed32(rest.parse().ok()?),
        "boolean" => Value::Bool(rest.parse().ok()?),
        "string" => Value::Text(quoted(rest).filter(|(_, rest)| rest.is_empty())?.0),
        "@as" => Value::Texts(texts(rest)?),
        _ => match text.as_bytes().first()? {
            b'\'' | b'"' => Value::Text(quoted(text).filter(|(_, rest)| rest.is_empty())?.0),
            b'[' => Value::Texts(texts(text).filter(|texts| !texts.is_empty())?),
            b't' | b'f' => Value::Bool(text.parse().ok()?),
            _ => Value::Signed32(text.parse().ok()?),
        },
    })
}

/// A text in quotes of either kind, and what comes behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut characters = text.char_indices();
    let (_, quote) = characters.next().filter(|(_, first)| matches!(first, '\'' | '"'))?;
    let mut content = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next()?.1 {
                'n' => content.push('\n'),
                't' => content.push('\t'),
                escaped @ ('\'' | '"' | '\\') => content.push(escaped),
                _ => return None,
            },
            end if end == quote => return Some((content, text[at + 1..].trim_start())),
            other => content.push(other),
        }
    }
    None
}

/// `['one', 'two']`
fn texts(text: &str) -> Option<Vec<String>> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (text, behind) = quoted(rest)?;
        all.push(text);
        rest = match behind.strip_prefix(',') {
            Some(more) => Some(more.trim_start()).filter(|more| !more.is_empty())?,
            None => Some(behind).filter(|behind| behind.is_empty())?,
        };
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn values_are_read_as_gvariant_writes_them() {
        let read = |value: &str| property("Some", value).map(|(_, value)| value);
        for (written, expected) in [
            ("uint64 123456789", Value::Number(123_456_789)),
            ("int64 -1", Value::Signed(-1)),
            ("uint32 7", Value::Number32(7)),
            ("int32 7", Value::Signed32(7)),
            (" -7 ", Value::Signed32(-7)),
            ("true", Value::Bool(true)),
            ("boolean false", Value::Bool(false)),
            ("'inactive-or-failed'", text("inactive-or-failed")),
            ("\"it's\"", text("it's")),
            (r"'it\'s \\ so'", text(r"it's \ so")),
            ("string 'a'", text("a")),
            ("['a', \"b\"]", Value::Texts(vec!["a".to_owned(), "b".to_owned()])),
            ("@as []", Value::Texts(Vec::new())),
        ] {
            assert_eq!(read(written).expect(written), expected, "{written}");
        }
        for wrong in [
            "",
            "word",
            "uint64",
            "uint64 -1",
            "2147483648",
            "'open",
            "'a' b",
            "[]",
            "['a',]",
            "['a' 'b']",
            "[1]",
            r"'\x'",
            "yes",
            "float 1",
        ] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(error.starts_with("annotations[\"org.systemd.property.Some\"]: "), "{error}");
        }
    }

    #[test]
    fn seconds_are_microseconds_on_the_bus() {
        let read = |name: &str, value: &str| property(name, value);
        let micro = ("TimeoutStopUSec".to_owned(), Value::Number(3_000_000));
        assert_eq!(read("TimeoutStopSec", "3").expect("a property"), micro);
        assert_eq!(read("TimeoutStopSec", "uint64 3").expect("a property"), micro);
        assert_eq!(read("TimeoutStopUSec", "uint64 3000000").expect("a property"), micro);
        for wrong in ["-3", "'3'", "uint64 18446744073709551615"] {
            read("TimeoutStopSec", wrong).expect_err(wrong);
        }
    }

    #[test]
    fn a_name_is_a_propertys() {
        for wrong in ["", "Ab", "lower", "With Space", "With-Hyphen"] {
            property(wrong, "true").expect_err(wrong);
        }
    }
}
