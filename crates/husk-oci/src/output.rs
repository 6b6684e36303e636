// SPDX-License-Identifier: Apache-2.0
//! The only place that prints: on standard output what the caller asked for and nothing else, on standard error why it failed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where husk-oci prints")]

use std::io::Write;

use husk_plan::in_words;
use serde::Serialize;

use crate::failure::Failure;

/// What the caller asked for.
///
/// # Errors
/// A reader that is gone or a file system that is full.
pub(crate) fn product(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| {
        Failure::new(format!("cannot write to standard output: {}", in_words(error).to_lowercase()))
    })
}

/// One line of JSON.
///
/// # Errors
/// None that the types used here can have.
pub(crate) fn json_line(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value);
    text.map(|text| text + "\n").map_err(|error| Failure::new(format!("cannot write JSON: {error}")))
}

/// Why the call failed.
pub(crate) fn error(failure: &Failure) {
    let _ = writeln!(std::io::stderr().lock(), "husk-oci: {}", failure.message);
}

/// A line for whoever looks, which nobody waits for.
pub(crate) fn note(line: &str) {
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
