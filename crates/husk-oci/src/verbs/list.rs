// SPDX-License-Identifier: Apache-2.0
//! `list`.

use std::fmt::Write;

use husk_runtime::container::{Condition, Error, Record, StateRoot};
use husk_spec::oci::ContainerId;

use super::state::State;
use super::state_root;
use crate::command_line::{Globals, List, ListFormat};
use crate::failure::Failure;
use crate::output;
use crate::{SUCCESS, Status};

const HEAD: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];

pub(crate) fn list(globals: &Globals, list: &List) -> Result<Status, Failure> {
    let root = state_root(globals);
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut found = Vec::new();
    for id in root.ids()? {
        // One that is damaged hides none of the others.
        match look(&root, &id) {
            Ok(entry) => found.extend(entry),
            Err(error) => output::note(&format!("husk-oci: {error}\n")),
        }
    }
    let states: Vec<_> = found
        .iter()
        .map(|(record, condition)| State::new(record, *condition, owner(&accounts, record.owner)))
        .collect();
    let text = match list.format {
        _ if list.quiet => states.iter().fold(String::new(), |all, state| all + state.id + "\n"),
        ListFormat::Json if states.is_empty() => "null\n".to_owned(),
        ListFormat::Json => {
            serde_json::to_string(&states)
                .map_err(|error| Failure::new(format!("cannot write the list: {error}")))?
                + "\n"
        }
        ListFormat::Table => table(&states),
    };
    output::product(&text)?;
    Ok(SUCCESS)
}

/// What is written down of a container; `None` if it is being made, or has been deleted while the others were looked at.
fn look(root: &StateRoot, id: &ContainerId) -> Result<Option<(Record, Condition)>, Error> {
    let entry = match root.open(id) {
        Err(Error::NoSuchContainer { .. }) => return Ok(None),
        entry => entry?,
    };
    let record = entry.record()?;
    let condition = entry.condition(record.as_ref());
    Ok(record.map(|record| (record, condition)))
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

fn table(states: &[State<'_>]) -> String {
    let cells = |state: &State<'_>| {
        [
            state.id.to_owned(),
            state.pid.to_string(),
            state.status.to_owned(),
            state.bundle.display().to_string(),
            state.created.to_owned(),
            state.owner.clone(),
        ]
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
