// SPDX-License-Identifier: Apache-2.0
//! `list`.

use std::fmt::Write;
use std::process::ExitCode;

use serde_json::Value;

use super::state::as_json;
use super::state_root;
use crate::command_line::{Globals, List, ListFormat};
use crate::failure::Failure;
use crate::output;

const HEAD: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];

pub(crate) fn list(globals: &Globals, list: &List) -> Result<ExitCode, Failure> {
    let root = state_root(globals);
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut states = Vec::new();
    for id in root.ids()? {
        // A container may be deleted while the others are looked at, and one that is damaged hides none of them.
        let Ok(entry) = root.open(&id) else { continue };
        let Ok(Some(record)) = entry.record() else { continue };
        let mut state = as_json(&record, entry.condition(Some(&record)));
        state["owner"] = owner(&accounts, record.owner).into();
        states.push(state);
    }
    let text = match list.format {
        _ if list.quiet => states.iter().fold(String::new(), |all, state| all + word(state, "id") + "\n"),
        ListFormat::Json if states.is_empty() => "null\n".to_owned(),
        ListFormat::Json => Value::Array(states).to_string() + "\n",
        ListFormat::Table => table(&states),
    };
    output::product(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn word<'v>(state: &'v Value, field: &str) -> &'v str {
    state[field].as_str().unwrap_or_default()
}

/// The name of a user, its number if it has none.
fn owner(passwd: &str, uid: u32) -> String {
    let number = uid.to_string();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{number}"))
}

fn table(states: &[Value]) -> String {
    let cells = |state: &Value| {
        ["id", "pid", "status", "bundle", "created", "owner"].map(|field| match &state[field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    let rows: Vec<[String; 6]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(states.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0).max(12);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    rows.iter().fold(String::new(), |mut text, row| {
        let (last, cells) = row.split_last().expect("a row has cells");
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "{cell:width$}");
            text.push_str(if cell.len() >= *width { " " } else { "" });
        }
        let _ = writeln!(text, "{last}");
        text
    })
}
