// SPDX-License-Identifier: Apache-2.0
//! From JSON to the types, with errors that name the place.

use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Process, Resources, Spec};

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
    // serde would take an array for an object, by position.
    if let Some((at, byte)) = json.iter().enumerate().find(|(_, byte)| !byte.is_ascii_whitespace())
        && matches!(byte, b'[' | b'"' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n')
    {
        let before = &json[..at];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        let problem = "a JSON object is expected: {…}".to_owned();
        return Err(ReadError::Value { path: TOP.to_owned(), problem, line, column });
    }
    // Keeping the path costs an allocation for each key, so it is done only for the one that is wrong.
    serde_json::from_slice(json)
        .map_err(|error| explained::<T>(json).unwrap_or_else(|| described(&error, None)))
}

fn explained<T: DeserializeOwned>(json: &[u8]) -> Option<ReadError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let error = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err()?;
    let is_json = error.inner().is_data() || serde_json::from_slice::<IgnoredAny>(json).is_ok();
    Some(described(error.inner(), is_json.then(|| error.path().to_string())))
}

fn described(error: &serde_json::Error, path: Option<String>) -> ReadError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let position = format!(" at line {line} column {column}");
    let problem = text.strip_suffix(&position).unwrap_or(&text).to_owned();
    let Some(path) = path else {
        return ReadError::Syntax { line, column, problem };
    };
    let path = if path == "." { TOP.to_owned() } else { path };
    // The parser says so where it looks for one of a few words and finds no string.
    let problem = if problem == "expected value" { "a string is expected".to_owned() } else { problem };
    ReadError::Value { path, problem, line, column }
}

#[cfg(test)]
mod tests {
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
             memlock as locks sigpending msgqueue nice rtprio rttime (line 1, column 82)"
        );
        assert_eq!(
            problem("{\"process\":{\n\"user\":{\"uid\":-1}}}"),
            "process.user.uid: invalid value: integer `-1`, expected u32 (line 2, column 16)"
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
    fn an_error_of_the_whole_is_one_of_the_top_level() {
        for json in ["[1]", "7", "-1", "null", "true", "false", "\"a\""] {
            assert_eq!(problem(json), "top level: a JSON object is expected: {…} (line 1, column 1)");
        }
        assert!(problem("\n\n  []").ends_with("(line 3, column 3)"));
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
            error.to_string().starts_with("memory.limit: invalid type: string \"1g\", expected i64"),
            "{error}"
        );
    }
}
