// SPDX-License-Identifier: Apache-2.0
//! The path of a value in JSON text, from where the parser stopped.
//!
//! The parser says line and column alone. Asking it for the path as well would mean every type's code a second time.

use std::fmt::Write;

/// Where in the document the walk is, one for each object and array that is open.
enum Level {
    /// The text of the last key, with its quotation marks; none before the first.
    Object(Option<(usize, usize)>),
    /// The number of the element.
    Array(usize),
}

/// The offset of a line, from 1, and a column in bytes, from 1: of the byte after it. At most the length of `text`.
pub(super) fn offset(text: &[u8], line: usize, column: usize) -> usize {
    let mut ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let start = match line.checked_sub(2) {
        None => 0,
        Some(before) => ends.nth(before).unwrap_or(text.len()),
    };
    start.saturating_add(column).min(text.len())
}

/// The path of the innermost value that the byte at `offset` belongs to: `process.rlimits[1].type`, and the empty string for the
/// whole. A key belongs to its object. Of text that is no JSON it says something that leads to the place, or near it.
pub(super) fn path(text: &[u8], offset: usize) -> String {
    let mut levels = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at).filter(|_| at <= offset) {
        let end = if byte == b'"' { end_of_string(text, at) } else { at + 1 };
        let reached = offset < end;
        match (byte, levels.last_mut()) {
            (b'{', _) if !reached => levels.push(Level::Object(None)),
            (b'[', _) if !reached => levels.push(Level::Array(0)),
            (b'}' | b']', _) => drop(levels.pop()),
            (b',', Some(Level::Array(number))) => *number += 1,
            (b',', Some(Level::Object(key))) => *key = None,
            (b'"', Some(Level::Object(key @ None))) if !reached => *key = Some((at, end)),
            _ => {}
        }
        at = end;
    }
    written(text, &levels)
}

/// Behind the closing quotation mark of the string that begins at `start`.
fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match text.get(at) {
            None => return text.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

fn written(text: &[u8], levels: &[Level]) -> String {
    let mut path = String::new();
    for level in levels {
        match *level {
            Level::Object(None) => {}
            Level::Object(Some((start, end))) => {
                if !path.is_empty() {
                    path.push('.');
                }
                let key = &text[start..end];
                let plain = || String::from_utf8_lossy(key).trim_matches('"').to_owned();
                path += &serde_json::from_slice::<String>(key).unwrap_or_else(|_| plain());
            }
            Level::Array(number) => {
                let _ = write!(path, "[{number}]");
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const MARK: &str = "the value that is looked for";

    /// Any JSON, in which brackets, commas and quotation marks stand in strings and keys as well.
    fn any_json() -> impl Strategy<Value = Value> {
        let text = r#"[a-z{}\[\],:"\\ é\n]{0,6}"#;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(text, inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Puts the mark somewhere beneath `value`, as `choices` say, and returns its path after `path`.
    fn mark(value: &mut Value, choices: &[prop::sample::Index], path: String) -> String {
        match (value, choices) {
            (Value::Array(elements), [choice, rest @ ..]) if !elements.is_empty() => {
                let number = choice.index(elements.len());
                mark(&mut elements[number], rest, format!("{path}[{number}]"))
            }
            (Value::Object(members), [choice, rest @ ..]) if !members.is_empty() => {
                let number = choice.index(members.len());
                let (key, member) = members.iter_mut().nth(number).expect("a member");
                let dot = if path.is_empty() { "" } else { "." };
                mark(member, rest, format!("{path}{dot}{key}"))
            }
            (value, _) => {
                *value = Value::from(MARK);
                path
            }
        }
    }

    proptest! {
        #[test]
        fn every_value_is_found_by_each_of_its_bytes(
            mut value in any_json(),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            pretty: bool,
        ) {
            let expected = mark(&mut value, &choices, String::new());
            let write = if pretty { serde_json::to_vec_pretty } else { serde_json::to_vec };
            let text = write(&value).expect("JSON");
            let marked = format!("\"{MARK}\"");
            let start = text.windows(marked.len()).position(|window| window == marked.as_bytes()).expect("the mark");
            for at in [start, start + 1, start + marked.len() - 1] {
                prop_assert_eq!(&path(&text, at), &expected, "{}", String::from_utf8_lossy(&text));
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in r#"[\[\]{}",:\\a\n ]{0,40}"#, at in 0..50_usize, line in 0..9_usize) {
            let text = text.as_bytes();
            let _ = path(text, at);
            prop_assert!(offset(text, line, at) <= text.len());
        }
    }

    #[test]
    fn a_bracket_belongs_to_its_own_value_and_a_key_to_its_object() {
        let text = br#"{"a":[{"b":1}]}"#;
        let at = |byte: &str| path(text, std::str::from_utf8(text).unwrap().find(byte).expect(byte));
        assert_eq!(at("[").as_str(), "a");
        assert_eq!(at("{\"b").as_str(), "a[0]");
        assert_eq!(at("b").as_str(), "a[0]");
        assert_eq!(at("1").as_str(), "a[0].b");
        assert_eq!(at("}]").as_str(), "a[0]");
        assert_eq!(at("]").as_str(), "a");
        assert_eq!(path(text, 0), "");
        assert_eq!(path(text, text.len() - 1), "");
        assert_eq!(path(br#"{"\u00e9":{"x\"y":7}}"#, 18), "é.x\"y");
    }

    #[test]
    fn lines_and_columns_are_offsets() {
        let text = b"ab\n\ncd\n";
        let offsets = [(1, 0), (1, 2), (2, 0), (3, 1), (3, 2), (4, 0), (9, 1), (0, 0), (1, usize::MAX)];
        assert_eq!(offsets.map(|(line, column)| offset(text, line, column)), [0, 2, 3, 5, 6, 7, 7, 0, 7]);
    }

    #[test]
    fn no_nesting_is_too_deep() {
        let deep = "[".repeat(200_000);
        assert_eq!(path(deep.as_bytes(), deep.len() - 1), "[0]".repeat(deep.len() - 1));
    }
}
