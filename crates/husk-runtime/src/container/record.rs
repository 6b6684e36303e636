// SPDX-License-Identifier: Apache-2.0
//! What is written down of a container.

use std::collections::BTreeMap;
use std::path::PathBuf;

use husk_cgroup::Place;
use husk_cgroup::systemd::Scope;
use husk_spec::oci::{self, Status};
use serde::{Deserialize, Serialize};

use super::InitProcess;

/// What is written down of a container, in `state.json` of its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The version of the specification.
    pub oci_version: String,
    /// Its id.
    pub id: String,
    /// Its bundle. Absolute.
    pub bundle: PathBuf,
    /// Its root. Absolute.
    pub rootfs: PathBuf,
    /// When it was made (RFC 3339).
    pub created: String,
    /// The user id of whoever made it.
    pub owner: u32,
    /// Words of whoever made the configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its cgroups, if it has some of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Place>,
    /// What systemd was asked for, if it makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Whether it is still being made, or never was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub making: bool,
    /// The number of the step, in the first process's program, that waits for the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start_step: Option<u32>,
    /// Its first process; `None` while there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitProcess>,
}

/// The condition that a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Where it is in its life.
    pub status: Status,
    /// Its first process on the host, if that has not ended.
    pub pid: Option<i32>,
}

impl Record {
    /// Its cgroups, if what is there is its own. As long as nothing says which scope it has, or when that is gone, another may
    /// have one of the same name. A path becomes its own with its first process: it is written down before it is known whether
    /// another's processes are there.
    pub(crate) fn own_cgroup(&self) -> Option<&Place> {
        let is_known = |place: &&Place| match self.scope {
            Some(_) => place.is_of_known_scope(),
            None => self.init.is_some(),
        };
        self.cgroup.as_ref().filter(is_known).filter(|place| place.exists())
    }

    /// By what its scope is known again, if another has the name.
    pub(crate) fn scope_description(&self) -> String {
        format!("container {} of husk-oci, {}", self.id, self.created)
    }

    /// As hooks get to know it.
    pub(crate) fn for_hooks(&self, condition: Condition) -> oci::State {
        oci::State {
            oci_version: self.oci_version.clone(),
            id: self.id.clone(),
            status: condition.status,
            pid: condition.pid,
            bundle: self.bundle.to_string_lossy().into_owned(),
            annotations: self.annotations.clone(),
        }
    }
}
