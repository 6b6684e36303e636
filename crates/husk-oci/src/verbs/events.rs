// SPDX-License-Identifier: Apache-2.0
//! `events`.

use husk_runtime::container::{self, Event, Stats};
use serde::Serialize;

use super::state_root;
use crate::command_line::{Events, Globals};
use crate::failure::Failure;
use crate::output;
use crate::{SUCCESS, Status};

/// One line of the output.
#[derive(Serialize)]
struct Line<'a> {
    r#type: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Stats>,
}

pub(crate) fn events(globals: &Globals, events: &Events) -> Result<Status, Failure> {
    let root = state_root(globals);
    let tell = |r#type: &str, data: Option<&Stats>| {
        let line = output::json_line(&Line { r#type, id: events.id.as_str(), data })?;
        output::product(&line)
    };
    if events.stats {
        tell("stats", Some(&container::statistics(&root, &events.id)?))?;
        return Ok(SUCCESS);
    }
    container::watch(&root, &events.id, events.interval, |event| match event {
        Event::Statistics(stats) => tell("stats", Some(&stats)),
        Event::OutOfMemory => tell("oom", None),
    })?;
    Ok(SUCCESS)
}
