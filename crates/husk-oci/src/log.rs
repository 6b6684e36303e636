// SPDX-License-Identifier: Apache-2.0
//! The log that engines read: one line for a failure, none for a success; more with --debug alone, since some engines read
//! the file as one object.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::OnceLock;

use husk_plan::in_words;
use serde::Serialize;

use crate::command_line::{Globals, LogFormat};
use crate::failure::Failure;
use crate::output;

/// The log, opened before anything else is done: its path may mean something else once a mount namespace was joined.
static FILE: OnceLock<File> = OnceLock::new();

/// Opens the log, if there is to be one.
///
/// # Errors
/// A place where no file can be.
pub(crate) fn open(globals: &Globals) -> Result<(), Failure> {
    let Some(path) = &globals.log else { return Ok(()) };
    let file = OpenOptions::new().append(true).create(true).open(path);
    let file = file.map_err(|error| {
        Failure::new(format!("cannot open the log {}: {}", path.display(), in_words(error).to_lowercase()))
    })?;
    let _ = FILE.set(file);
    Ok(())
}

/// Appends why the call failed to the log, if there is one. A log that cannot be written must not hide the reason, which goes to
/// standard error as well.
pub(crate) fn error(globals: &Globals, failure: &Failure) {
    append(&line(globals.log_format, "error", &failure.message));
}

/// Something odd that was carried out all the same. Only with --debug.
pub(crate) fn warning(globals: &Globals, message: &str) {
    detail(globals, "warning", message);
}

/// What is done. Only with --debug.
pub(crate) fn debug(globals: &Globals, message: &str) {
    detail(globals, "debug", message);
}

fn detail(globals: &Globals, level: &str, message: &str) {
    if !globals.debug {
        return;
    }
    let line = line(globals.log_format, level, message);
    match globals.log {
        Some(_) => append(&line),
        None => output::note(&line),
    }
}

/// What engines read.
#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    msg: &'a str,
    time: &'a str,
}

fn line(format: LogFormat, level: &str, message: &str) -> String {
    let time = husk_runtime::container::timestamp();
    match format {
        LogFormat::Json => output::json_line(&Line { level, msg: message, time: &time }).unwrap_or_default(),
        LogFormat::Text => format!("time={time:?} level={level} msg={message:?}\n"),
    }
}

/// All calls on a container write to one file: a line goes out in one write.
fn append(line: &str) {
    if let Some(mut file) = FILE.get() {
        let _ = file.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
