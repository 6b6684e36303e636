// SPDX-License-Identifier: Apache-2.0
//! `state`.

use std::process::ExitCode;

use husk_runtime::container::{Condition, Record};
use husk_spec::oci::ContainerId;
use serde_json::{Value, json};

use super::state_root;
use crate::command_line::Globals;
use crate::failure::Failure;
use crate::output;

pub(crate) fn state(globals: &Globals, id: &ContainerId) -> Result<ExitCode, Failure> {
    let entry = state_root(globals).open(id)?;
    let record = entry.record()?;
    let condition = entry.condition(record.as_ref());
    let Some(record) = record else {
        return Err(Failure::new(format!("container does not exist: {id} is being made, or never was")));
    };
    let text = serde_json::to_string_pretty(&as_json(&record, condition)).unwrap_or_default();
    output::product(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The state as runc prints it.
pub(crate) fn as_json(record: &Record, condition: Condition) -> Value {
    let mut state = json!({
        "ociVersion": record.oci_version,
        "id": record.id,
        "pid": condition.pid.unwrap_or(0),
        "status": condition.status.name(),
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
        "owner": "",
    });
    if !record.annotations.is_empty() {
        state["annotations"] = json!(record.annotations);
    }
    state
}
