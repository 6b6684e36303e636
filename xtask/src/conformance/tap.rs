// SPDX-License-Identifier: Apache-2.0

//! The Test Anything Protocol, as the validation programs write it.

use std::collections::HashMap;

use serde_json::{Value, json};

/// What a program says about itself as a whole, beside its assertions.
pub(super) const WHOLE: &str = "the program ends well";

/// How one assertion came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// One assertion of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assertion {
    /// What it asserts; the second time that a program says the same, ` (2)` is added, and so on.
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// What was said about it: lines, without the marks of the protocol.
    pub(super) remark: String,
}

/// The assertions in what a program printed and, as the last one, whether it ended well: a status of 0, and no error
/// that belongs to no assertion. Some programs say in that way alone that they failed.
pub(super) fn parse(stdout: &str, stderr: &str, end: Result<(), String>) -> Vec<Assertion> {
    let mut assertions: Vec<Assertion> = Vec::new();
    let mut whole = String::new();
    let mut seen = HashMap::new();
    // Remarks are attached to the assertion in front of them, if nothing else stands between.
    let (mut attached, mut block) = (false, None);
    for line in stdout.lines() {
        if let Some(text) = &mut block {
            if line.trim() != "..." {
                *text = format!("{text}{}\n", line.trim_start());
                continue;
            }
            let text = block.take().unwrap_or_default();
            match assertions.last_mut() {
                Some(assertion) if attached => assertion.remark.push_str(&text),
                _ if text.contains("\"error\"") => whole.push_str(&error(&text)),
                _ => {}
            }
            attached = false;
        } else if line.trim() == "---" {
            block = Some(String::new());
        } else if let Some((outcome, name)) = assertion(line) {
            let count: &mut u32 = seen.entry(name.to_owned()).or_default();
            *count += 1;
            let name = if *count == 1 { name.to_owned() } else { format!("{name} ({count})") };
            assertions.push(Assertion { name, outcome, remark: String::new() });
            attached = true;
        } else if let (Some(remark), Some(assertion)) = (line.strip_prefix("# "), assertions.last_mut()) {
            assertion.remark.push_str(&format!("{remark}\n"));
        }
    }
    if let Err(how) = end {
        whole.push_str(&format!("{how}\n{stderr}"));
    }
    let outcome = if whole.is_empty() { Outcome::Passed } else { Outcome::Failed };
    assertions.push(Assertion { name: WHOLE.into(), outcome, remark: whole });
    assertions
}

/// `ok 3 - name`, `not ok 3 - name`, `ok 3 # SKIP name`, `not ok 3 # TODO name`.
fn assertion(line: &str) -> Option<(Outcome, &str)> {
    let (failed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("ok ")?),
    };
    let (number, rest) = rest.split_once(' ')?;
    number.parse::<u32>().ok()?;
    if let Some(name) = rest.strip_prefix("# SKIP ").or_else(|| rest.strip_prefix("# TODO ")) {
        return Some((Outcome::Skipped, name));
    }
    Some((if failed { Outcome::Failed } else { Outcome::Passed }, rest.strip_prefix("- ")?))
}

/// The member `error` of a block of JSON, or all of it.
fn error(block: &str) -> String {
    let value: Value = serde_json::from_str(block).unwrap_or_default();
    value["error"].as_str().map_or_else(|| block.to_owned(), |error| format!("{error}\n"))
}

/// As it is kept in a file.
pub(super) fn to_json(assertions: &[Assertion]) -> Value {
    let row = |a: &Assertion| json!([a.name, format!("{:?}", a.outcome), a.remark]);
    assertions.iter().map(row).collect()
}

/// From a file; nothing if it is not of this form.
pub(super) fn from_json(value: &Value) -> Option<Vec<Assertion>> {
    let row = |row: &Value| {
        let outcome = match row[1].as_str()? {
            "Passed" => Outcome::Passed,
            "Failed" => Outcome::Failed,
            "Skipped" => Outcome::Skipped,
            _ => return None,
        };
        Some(Assertion { name: row[0].as_str()?.into(), outcome, remark: row[2].as_str()?.into() })
    };
    value.as_array()?.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(assertions: &[Assertion]) -> Vec<(&str, Outcome, &str)> {
        assertions.iter().map(|a| (a.name.as_str(), a.outcome, a.remark.as_str())).collect()
    }

    #[test]
    fn each_kind_of_line_is_read() {
        let text = "TAP version 13\nok 1 - a\n  ---\n  {\"error\": \"expected\"}\n  ...\nnot ok 2 - b\n# expect: 1\n\
                    ok 3 # SKIP c\nnot ok 4 # TODO d\nok 5 - a\n1..5\n";
        let assertions = parse(text, "", Ok(()));
        let expected = [
            ("a", Outcome::Passed, "{\"error\": \"expected\"}\n"),
            ("b", Outcome::Failed, "expect: 1\n"),
            ("c", Outcome::Skipped, ""),
            ("d", Outcome::Skipped, ""),
            ("a (2)", Outcome::Passed, ""),
            (WHOLE, Outcome::Passed, ""),
        ];
        assert_eq!(rows(&assertions), expected);
        assert_eq!(from_json(&to_json(&assertions)), Some(assertions));
    }

    #[test]
    fn an_error_of_no_assertion_is_the_programs() {
        let text = "TAP version 13\n  ---\n  {\"error\": \"hooks ran late\"}\n  ...\n1..0\n";
        assert_eq!(rows(&parse(text, "", Ok(()))), [(WHOLE, Outcome::Failed, "hooks ran late\n")]);
        let ended = parse("TAP version 13\n", "why\n", Err("exit status: 1".into()));
        assert_eq!(rows(&ended), [(WHOLE, Outcome::Failed, "exit status: 1\nwhy\n")]);
    }
}
