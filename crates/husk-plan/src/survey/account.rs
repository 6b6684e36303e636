// SPDX-License-Identifier: Apache-2.0
//! Whose husk this is, and which ids it may map.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use husk_spec::IdMapping;
use rustix::process::{getegid, geteuid};

use super::Files;
use crate::host::{self, HELPER_DIRECTORIES, IdRange};

/// Whose husk this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Whether husk may mount and map ids in its own user namespace.
    pub privileged: bool,
    /// The id map of husk's own user namespace.
    pub uid_map: Vec<IdMapping>,
    /// The ranges of `/etc/subuid` that are this user's.
    pub subordinate_uids: Vec<IdRange>,
    /// The ranges of `/etc/subgid` that are this user's.
    pub subordinate_gids: Vec<IdRange>,
    /// `newuidmap(1)`, if it is installed.
    pub newuidmap: Option<Helper>,
    /// `newgidmap(1)`, if it is installed.
    pub newgidmap: Option<Helper>,
}

/// A program that maps subordinate ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is root's and set-user-id.
    pub set_user_id: bool,
    /// Whether it has file capabilities (`security.capability`).
    pub capabilities: bool,
}

impl Helper {
    /// Whether it has the right to map ids that are not the caller's.
    pub fn may_map(&self) -> bool {
        self.set_user_id || self.capabilities
    }

    fn find(files: Files<'_>, name: &str) -> Option<Self> {
        let path = HELPER_DIRECTORIES
            .iter()
            .map(|directory| PathBuf::from(directory).join(name))
            .find(|path| files.path(path).exists())?;
        let metadata = std::fs::metadata(files.path(&path)).ok()?;
        let capabilities = rustix::fs::getxattr(files.path(&path), c"security.capability", &mut [0u8; 64])
            .is_ok_and(|n| n > 0);
        let set_user_id = metadata.uid() == 0 && metadata.mode() & 0o4000 != 0;
        Some(Self { path, set_user_id, capabilities })
    }
}

impl Account {
    pub(super) fn read(files: Files<'_>) -> Self {
        let uid = geteuid().as_raw();
        let name = host::account_name(&files.text("etc/passwd").unwrap_or_default(), uid).map(str::to_owned);
        let id = uid.to_string();
        let ranges = |path| {
            let ours = |owner: &str| owner == id || Some(owner) == name.as_deref();
            host::subordinate_ids(&files.text(path).unwrap_or_default(), ours)
        };
        Self {
            uid,
            gid: getegid().as_raw(),
            privileged: host::is_privileged(),
            uid_map: host::id_map_in(&files.path("proc/self/uid_map")).unwrap_or_default(),
            subordinate_uids: ranges("etc/subuid"),
            subordinate_gids: ranges("etc/subgid"),
            newuidmap: Helper::find(files, "newuidmap"),
            newgidmap: Helper::find(files, "newgidmap"),
            name,
        }
    }

    /// The name, or the number where there is none.
    pub fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// Whether husk's user namespace has all ids.
    pub fn has_all_ids(&self) -> bool {
        matches!(*self.uid_map, [IdMapping { inside: 0, count: u32::MAX, .. }])
    }
}
