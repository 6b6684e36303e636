// SPDX-License-Identifier: Apache-2.0
//! From JSON to the types, with errors that name the place.

use serde::de::{DeserializeOwned, IgnoredAny};

use super::objects::Objects;
use super::{Process, Resources, Spec, json_path};

/// The most bytes of JSON that are read: 16 MiB. Docker's configuration, most of it the
/// seccomp profile, has 13 kB.
pub const MAX_BYTES: usize = 16 << 20;

/// What stands for a path where the whole is meant.
const TOP: &str = "top level";

/// Bytes that are no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// More than [`MAX_BYTES`].
    #[error("{bytes} bytes are too many: at most {MAX_BYTES} are read")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// No JSON.
    #[error("no JSON: line {line}, column {column}: {problem}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// JSON, with a value that has no meaning at its place.
    #[error("{path}: {problem} (line {line}, column {column})")]
    Value {
        /// The place, as a JSON path: `process.rlimits[1].type`; `top level` for the whole.
        path: String,
        /// What is wrong there, and what would be right.
        problem: String,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
}

impl Spec {
    /// Reads a `config.json`. That it can be read does not make it valid: see [`super::validate`].
    ///
    /// # Errors
    /// More than [`MAX_BYTES`], no JSON, or a value of the wrong type or without meaning.
    pub fn from_json(json: &[u8]) -> Result<Self, ReadError> {
        read(json)
    }
}

impl Process {
    /// Reads the file of `exec --process`.
    ///
    /// # Errors
    /// As [`Spec::from_json`].
    pub fn from_json(json: &[u8]) -> Result<Self, ReadError> {
        read(json)
    }
}

impl Resources {
    /// Reads the file of `update --resources`.
    ///
    /// # Errors
    /// As [`Spec::from_json`].
    pub fn from_json(json: &[u8]) -> Result<Self, ReadError> {
        read(json)
    }
}

/// No value of the types contains itself and what is unknown is skipped in a loop, so that no nesting is too deep.
fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, ReadError> {
    if json.len() > MAX_BYTES {
        return Err(ReadError::TooLarge { bytes: json.len() });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = T::deserialize(Objects(&mut deserializer));
    let read = read.and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| described(json, &error))
}

fn described(json: &[u8], error: &serde_json::Error) -> ReadError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let position = format!(" at line {line} column {column}");
    let problem = text.strip_suffix(&position).unwrap_or(&text).to_owned();
    if !error.is_data() && serde_json::from_slice::<IgnoredAny>(json).is_err() {
        return ReadError::Syntax { line, column, problem };
    }
    // It reads a value before it refuses it, but for an object or array of which it knows all with the first byte.
    let read = json_path::offset(json, line, column);
    let is_unread =
        ["invalid type: map", "invalid type: sequence"].iter().any(|start| problem.starts_with(start))
            && matches!(json.get(read), Some(b'{' | b'['));
    let (at, column) = if is_unread { (read, column + 1) } else { (read.saturating_sub(1), column) };
    let path = json_path::path(json, at);
    let path = if path.is_empty() { TOP } else { &path };
    ReadError::Value { path: visible(path), problem: visible(&in_terms_of_json(problem)), line, column }
}

/// What the parser says, which speaks of the types of Rust, for who writes JSON.
fn in_terms_of_json(problem: String) -> String {
    // It says so where it looks for one of a few words and finds no string.
    if problem == "expected value" {
        return "a string is expected".to_owned();
    }
    let words = problem.strip_prefix("invalid type: ").or_else(|| problem.strip_prefix("invalid value: "));
    // What was found may be a string with any words in it.
    let Some((found, expected)) = words.and_then(|words| words.rsplit_once(", expected ")) else {
        return problem;
    };
    let expected = match expected {
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        "u16" => "a number from 0 to 65535",
        "u32" => "a number from 0 to 4294967295",
        "i32" => "a number from -2147483648 to 2147483647",
        "u64" => "a number from 0 to 18446744073709551615",
        "i64" => "a number of 64 bits",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    let found = match found {
        "map" => "an object".to_owned(),
        "sequence" => "an array".to_owned(),
        _ => match found.split_once('`') {
            Some((_, value)) if !found.starts_with("string ") => value.trim_end_matches('`').to_owned(),
            _ => shortened(found),
        },
    };
    format!("{expected} is expected, not {found}")
}

/// A text in one line, and without what a terminal would obey: what is quoted may be anybody's.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// At most as much of a text as can be read at a glance.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problem(json: &str) -> String {
        Spec::from_json(json.as_bytes()).expect_err(json).to_string()
    }

    #[test]
    fn an_error_names_the_place_the_reason_and_the_way_out() {
        assert_eq!(
            problem(
                r#"{"process":{"rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":1},{"type":"RLIMIT_X"}]}}"#
            ),
            "process.rlimits[1].type: unknown resource \"RLIMIT_X\": one of cpu fsize data stack core rss nproc nofile \
             memlock as locks sigpending msgqueue nice rtprio rttime (line 1, column 81)"
        );
        assert_eq!(
            problem("{\"process\":{\n\"user\":{\"uid\":-1}}}"),
            "process.user.uid: a number from 0 to 4294967295 is expected, not -1 (line 2, column 16)"
        );
        assert!(
            problem(r#"{"linux":{"namespaces":[{"type":"net"}]}}"#).starts_with(
                "linux.namespaces[0].type: unknown variant `net`, expected one of `cgroup`, `ipc`"
            )
        );
        assert_eq!(
            problem(r#"{"linux":{"devices":[{"path":"/dev/x"}]}}"#),
            "linux.devices[0]: missing field `type` (line 1, column 38)"
        );
        assert_eq!(
            problem(r#"{"linux":{"devices":[{"path":"/dev/x","type":null}]}}"#),
            "linux.devices[0].type: a string is expected (line 1, column 46)"
        );
    }

    #[test]
    fn a_wrong_type_is_told_in_terms_of_json() {
        let cases = [
            (r#"{"process":{"args":{}}}"#, "process.args: an array is expected, not an object"),
            (r#"{"mounts":[{}, 7]}"#, "mounts[1]: an object is expected, not 7"),
            (r#"{"mounts":[null]}"#, "mounts[0]: an object is expected, not null"),
            (r#"{"annotations":[]}"#, "annotations: an object is expected, not an array"),
            (r#"{"root":{"readonly":1.5}}"#, "root.readonly: true or false is expected, not 1.5"),
            (r#"{"hostname":true}"#, "hostname: a string is expected, not true"),
            (
                r#"{"mounts":"7, expected `u8`"}"#,
                "mounts: an array is expected, not string \"7, expected `u8`\"",
            ),
            (
                r#"{"process":{"oomScoreAdj":9007199254740992}}"#,
                "process.oomScoreAdj: a number from -2147483648 to 2147483647 is expected, not 9007199254740992",
            ),
        ];
        for (json, expected) in cases {
            let problem = problem(json);
            assert!(problem.starts_with(&format!("{expected} (line 1")), "{problem}");
        }
        let quoted = problem(r#"{"linux":{"rootfsPropagation":"a\u001b[2J\n"}}"#);
        assert!(quoted.starts_with(r"linux.rootfsPropagation: unknown variant `a\u{1b}[2J\n`"), "{quoted}");
        let key = problem(r#"{"annotations":{"a\nb":7}}"#);
        assert!(key.starts_with(r"annotations.a\nb: a string is expected, not 7"), "{key}");
        let long = problem(&format!(r#"{{"process":"{}"}}"#, "ä".repeat(5000)));
        assert!(long.contains("äää… (line 1") && long.chars().count() < 160, "{long}");
    }

    /// Each place of a struct: as a JSON pointer, and as an error names it. Maps are none.
    fn structs(value: &Value, pointer: &str, path: &str) -> Vec<(String, String)> {
        const MAPS: [&str; 6] = ["annotations", "sysctl", "netDevices", "timeOffsets", "rdma", "unified"];
        let key = pointer.rsplit('/').next().unwrap_or_default();
        let own = (value.is_object() && !MAPS.contains(&key)).then(|| (pointer.to_owned(), path.to_owned()));
        own.into_iter()
            .chain(
                places(value, pointer, path)
                    .iter()
                    .flat_map(|(value, pointer, path)| structs(value, pointer, path)),
            )
            .collect()
    }

    #[test]
    fn an_array_is_no_object_wherever_it_stands() {
        let whole = whole();
        let structs = structs(&whole, "", "");
        for (pointer, path) in &structs {
            let mut changed = whole.clone();
            let object = changed.pointer_mut(pointer).expect(pointer);
            // By position, as serde's own code would have it.
            *object = object.as_object().expect(pointer).values().cloned().collect();
            let error = problem(&changed.to_string());
            let path = if path.is_empty() { TOP } else { path };
            let expected = format!("{path}: an object is expected, not an array (line 1");
            assert!(error.starts_with(&expected), "{path}: {error}");
        }
        assert!(structs.len() > 30, "{structs:?}");
    }

    #[test]
    fn null_is_absent() {
        let with_null = br#"{"ociVersion":null,"process":{"terminal":null,"cwd":null,"user":{"uid":null,"gid":null},
            "consoleSize":{"height":null,"width":null},"noNewPrivileges":null},"root":{"path":null,"readonly":null},
            "mounts":[{"destination":null,"options":null}],"hooks":{"poststop":[{"path":null,"timeout":null}]},
            "linux":{"resources":{"devices":[{"allow":null,"access":null}],"hugepageLimits":[{"limit":null}]}}}"#;
        let without =
            br#"{"process":{"user":{},"consoleSize":{}},"root":{},"mounts":[{}],"hooks":{"poststop":[{}]},
            "linux":{"resources":{"devices":[{}],"hugepageLimits":[{}]}}}"#;
        assert_eq!(Spec::from_json(with_null), Spec::from_json(without));
    }

    #[test]
    fn an_error_of_the_whole_is_one_of_the_top_level() {
        for (json, found) in [("[1]", "an array"), ("7", "7"), ("-1", "-1"), ("\"a\"", "string \"a\"")] {
            let expected = format!("top level: an object is expected, not {found} (line 1, column");
            assert!(problem(json).starts_with(&expected), "{}", problem(json));
        }
        for json in ["null", "true", "false"] {
            assert!(problem(json).starts_with("top level: an object is expected, not"), "{}", problem(json));
        }
        assert!(problem("\n\n  []").ends_with("(line 3, column 3)"));
    }

    /// A configuration with every field.
    fn whole() -> Value {
        serde_json::from_str(include_str!("../../tests/configs/every-field.json")).expect("JSON")
    }

    /// The values in `value`, each with its place as a JSON pointer, and as an error names it.
    fn places<'v>(value: &'v Value, pointer: &str, path: &str) -> Vec<(&'v Value, String, String)> {
        match value {
            Value::Object(members) => {
                let dot = if path.is_empty() { "" } else { "." };
                let of = |(key, member): (&String, &'v Value)| {
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    (member, format!("{pointer}/{escaped}"), format!("{path}{dot}{key}"))
                };
                members.iter().map(of).collect()
            }
            Value::Array(elements) => {
                let of = |(number, element): (usize, &'v Value)| {
                    (element, format!("{pointer}/{number}"), format!("{path}[{number}]"))
                };
                elements.iter().enumerate().map(of).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Each place that has no more beneath it.
    fn leaves(value: &Value, pointer: &str, path: &str) -> Vec<(String, String)> {
        let places = places(value, pointer, path);
        if places.is_empty() {
            return vec![(pointer.to_owned(), path.to_owned())];
        }
        places.iter().flat_map(|(value, pointer, path)| leaves(value, pointer, path)).collect()
    }

    #[test]
    fn whatever_is_wrong_is_found_in_a_configuration_with_every_field() {
        let whole = whole();
        let leaves = leaves(&whole, "", "");
        let mut refused = 0;
        for (pointer, expected) in &leaves {
            for wrong in
                [json!(-1.5), json!(true), json!({}), json!([]), json!({"a": 1}), json!([[]]), json!("?")]
            {
                let mut changed = whole.clone();
                *changed.pointer_mut(pointer).expect(pointer) = wrong.clone();
                for text in [serde_json::to_vec(&changed), serde_json::to_vec_pretty(&changed)] {
                    let Err(error) = Spec::from_json(&text.expect("JSON")) else { continue };
                    let ReadError::Value { path, problem, .. } = error else { panic!("{pointer}: {error}") };
                    // A list or an object may be right, and what is in it wrong.
                    let within = path.strip_prefix(expected.as_str());
                    let allowed =
                        if wrong.is_array() || wrong.is_object() { &["", "[0]", ".a"][..] } else { &[""] };
                    assert!(
                        within.is_some_and(|rest| allowed.contains(&rest)),
                        "{expected}: {wrong}: {path}: {problem}"
                    );
                    refused += 1;
                }
            }
        }
        assert!(refused > 5 * leaves.len(), "{refused} of {} places", leaves.len());
    }

    #[test]
    fn what_is_no_json_is_said_by_line() {
        assert_eq!(problem("{\n  \"root\" {}}"), "no JSON: line 2, column 10: expected `:`");
        assert_eq!(problem("{} {}"), "no JSON: line 1, column 4: trailing characters");
        assert_eq!(problem(""), "no JSON: line 1, column 0: EOF while parsing a value");
        let error = Spec::from_json(b"{\"hostname\":\"\xff\"}").expect_err("not UTF-8").to_string();
        assert!(error.starts_with("hostname: invalid unicode code point"), "{error}");
    }

    #[test]
    fn the_size_is_bounded() {
        let padded = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
        assert_eq!(Spec::from_json(padded(MAX_BYTES).as_bytes()), Ok(Spec::default()));
        assert_eq!(
            Spec::from_json(padded(MAX_BYTES + 1).as_bytes()),
            Err(ReadError::TooLarge { bytes: MAX_BYTES + 1 })
        );
    }

    #[test]
    fn nesting_does_no_harm() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        assert_eq!(Spec::from_json(format!(r#"{{"unknown":{deep}}}"#).as_bytes()), Ok(Spec::default()));
        assert!(matches!(
            Spec::from_json(format!(r#"{{"mounts":{deep}}}"#).as_bytes()),
            Err(ReadError::Value { path, .. }) if path.starts_with("mounts[0]")
        ));
        assert!(matches!(Spec::from_json("[".repeat(200_000).as_bytes()), Err(ReadError::Value { .. })));
    }

    #[test]
    fn processes_and_resources_are_read_alike() {
        let process = Process::from_json(br#"{"cwd":"/","args":["a"],"user":null}"#).expect("a process");
        assert_eq!((process.cwd.as_str(), process.user), ("/", super::super::User::default()));
        let error = Resources::from_json(br#"{"memory":{"limit":"1g"}}"#).expect_err("a string");
        assert!(
            error.to_string().starts_with("memory.limit: a number of 64 bits is expected, not string \"1g\""),
            "{error}"
        );
    }
}
