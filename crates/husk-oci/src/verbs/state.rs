// SPDX-License-Identifier: Apache-2.0
//! `state`.

use std::collections::BTreeMap;
use std::path::Path;

use husk_runtime::container::{Condition, Record};
use husk_spec::oci::ContainerId;
use serde::Serialize;

use super::state_root;
use crate::command_line::Globals;
use crate::failure::Failure;
use crate::output;
use crate::{SUCCESS, Status};

pub(crate) fn state(globals: &Globals, id: &ContainerId) -> Result<Status, Failure> {
    let entry = state_root(globals).open(id)?;
    let record = entry.record()?;
    let condition = entry.condition(record.as_ref());
    let Some(record) = record else {
        return Err(Failure::new(format!("container does not exist: {id} is being made, or never was")));
    };
    let text = serde_json::to_string_pretty(&State::new(&record, condition, String::new()))
        .map_err(|error| Failure::new(format!("cannot write the state: {error}")))?;
    output::product(&(text + "\n"))?;
    Ok(SUCCESS)
}

/// The state as runc prints it, in its order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State<'r> {
    oci_version: &'r str,
    pub(crate) id: &'r str,
    pub(crate) pid: i32,
    pub(crate) status: &'static str,
    pub(crate) bundle: &'r Path,
    rootfs: &'r Path,
    pub(crate) created: &'r str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'r BTreeMap<String, String>,
    pub(crate) owner: String,
}

impl<'r> State<'r> {
    pub(crate) fn new(record: &'r Record, condition: Condition, owner: String) -> Self {
        Self {
            oci_version: &record.oci_version,
            id: &record.id,
            pid: condition.pid.unwrap_or(0),
            status: condition.status.name(),
            bundle: &record.bundle,
            rootfs: &record.rootfs,
            created: &record.created,
            annotations: &record.annotations,
            owner,
        }
    }
}
