// SPDX-License-Identifier: Apache-2.0
//! `events`.

use std::process::ExitCode;

use husk_runtime::container::{self, Event};
use serde_json::{Value, json};

use super::state_root;
use crate::command_line::{Events, Globals};
use crate::failure::Failure;
use crate::output;

pub(crate) fn events(globals: &Globals, events: &Events) -> Result<ExitCode, Failure> {
    let root = state_root(globals);
    let line = |kind: &str, data: Option<Value>| {
        let mut event = json!({ "type": kind, "id": events.id.as_str() });
        if let Some(data) = data {
            event["data"] = data;
        }
        event.to_string() + "\n"
    };
    if events.stats {
        let stats = container::statistics(&root, &events.id)?;
        output::product(&line("stats", Some(json!(stats))))?;
        return Ok(ExitCode::SUCCESS);
    }
    container::watch(&root, &events.id, events.interval, |event| {
        output::product(&match event {
            Event::Statistics(stats) => line("stats", Some(json!(stats))),
            Event::OutOfMemory => line("oom", None),
        })
    })?;
    Ok(ExitCode::SUCCESS)
}
