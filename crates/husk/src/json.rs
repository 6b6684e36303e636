// SPDX-License-Identifier: Apache-2.0
//! JSON as husk writes it (RFC 8259): values that are put together by hand, and one printer.

use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Self>),
    /// Members in the order in which they are written.
    Object(Vec<(&'static str, Self)>),
}

impl Json {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A text, or null.
    pub(crate) fn maybe(text: Option<&String>) -> Self {
        text.map_or(Self::Null, Self::text)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self, 0)
    }
}

/// A member or element has a line of its own, two spaces deeper than what it is in.
fn write(f: &mut fmt::Formatter<'_>, value: &Json, depth: usize) -> fmt::Result {
    let line = |f: &mut fmt::Formatter<'_>, first: bool, depth: usize| {
        write!(f, "{}\n{:indent$}", if first { "" } else { "," }, "", indent = 2 * depth)
    };
    match value {
        Json::Null => f.write_str("null"),
        Json::Bool(value) => write!(f, "{value}"),
        Json::Number(number) => write!(f, "{number}"),
        Json::Text(text) => string(f, text),
        Json::List(list) if list.is_empty() => f.write_str("[]"),
        Json::Object(members) if members.is_empty() => f.write_str("{}"),
        Json::List(list) => {
            f.write_str("[")?;
            for (number, value) in list.iter().enumerate() {
                line(f, number == 0, depth + 1)?;
                write(f, value, depth + 1)?;
            }
            line(f, true, depth)?;
            f.write_str("]")
        }
        Json::Object(members) => {
            f.write_str("{")?;
            for (number, (name, value)) in members.iter().enumerate() {
                line(f, number == 0, depth + 1)?;
                string(f, name)?;
                f.write_str(": ")?;
                write(f, value, depth + 1)?;
            }
            line(f, true, depth)?;
            f.write_str("}")
        }
    }
}

fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_rfc_8259_has_them() {
        let value = Json::Object(vec![
            ("a", Json::List(vec![Json::Number(-1), Json::Bool(true), Json::Null])),
            ("b", Json::text("\"\\\n\u{1b}é")),
            ("c", Json::List(vec![])),
        ]);
        let expected = "{\n  \"a\": [\n    -1,\n    true,\n    null\n  ],\n  \"b\": \"\\\"\\\\\\n\\u001bé\",\n  \"c\": []\n}";
        assert_eq!(value.to_string(), expected);
    }
}
