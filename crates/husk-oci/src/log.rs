// SPDX-License-Identifier: Apache-2.0
//! The log that engines read: one line for a failure, none for a success.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::command_line::{Globals, LogFormat};
use crate::failure::Failure;

/// Appends why the call failed to the log, if there is one. A log that cannot be written must not hide the reason, which goes to
/// standard error as well.
pub(crate) fn error(globals: &Globals, failure: &Failure) {
    if let Some(path) = &globals.log {
        let _ = append(path, &line(globals.log_format, "error", &failure.message));
    }
}

/// Appends what somebody may want to know who has asked for more than failures, and has a log.
pub(crate) fn debug(globals: &Globals, message: &str) {
    if let (true, Some(path)) = (globals.debug, &globals.log) {
        let _ = append(path, &line(globals.log_format, "debug", message));
    }
}

fn line(format: LogFormat, level: &str, message: &str) -> String {
    let time = husk_runtime::container::timestamp();
    match format {
        LogFormat::Json => json!({ "level": level, "msg": message, "time": time }).to_string() + "\n",
        LogFormat::Text => format!("time={time:?} level={level} msg={message:?}\n"),
    }
}

/// All calls on a container write to one file: a line goes out in one write.
fn append(path: &Path, line: &str) -> std::io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_with_what_engines_read() {
        let line = line(LogFormat::Json, "error", "no \"such\"\nthing");
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&object["level"], &object["msg"]), (&json!("error"), &json!("no \"such\"\nthing")));
        assert!(object["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    }
}
