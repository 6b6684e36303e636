// SPDX-License-Identifier: Apache-2.0
//! `ps`.

use std::ffi::OsString;
use std::process::Command;

use husk_plan::in_words;
use husk_runtime::container;

use super::state_root;
use crate::command_line::{Globals, ListFormat, Ps};
use crate::failure::Failure;
use crate::output;
use crate::{SUCCESS, Status};

pub(crate) fn ps(globals: &Globals, ps: &Ps) -> Result<Status, Failure> {
    let pids = container::processes(&state_root(globals), &ps.id)?;
    let text = match ps.format {
        ListFormat::Json => output::json_line(&pids)?,
        ListFormat::Table => table(&pids, &ps.options)?,
    };
    output::product(&text)?;
    Ok(SUCCESS)
}

/// What the host's `ps` says of these processes, by its column PID.
fn table(pids: &[i32], options: &[OsString]) -> Result<String, Failure> {
    let usual = [OsString::from("-ef")];
    let options = if options.is_empty() { &usual[..] } else { options };
    let said = Command::new("ps").args(options).output();
    let said = said.map_err(|error| Failure::new(format!("cannot execute ps: {}", in_words(error))))?;
    if !said.status.success() {
        let words = String::from_utf8_lossy(&said.stderr);
        return Err(Failure::new(format!("ps failed ({}): {}", said.status, words.trim())));
    }
    let text = String::from_utf8_lossy(&said.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|title| title == "PID");
    let column =
        column.ok_or_else(|| Failure::new("ps: its output has no column PID to know the processes by"))?;
    let is_ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    Ok(lines.filter(is_ours).fold(format!("{head}\n"), |all, line| all + line + "\n"))
}
