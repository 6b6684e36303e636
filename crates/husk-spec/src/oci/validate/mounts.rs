// SPDX-License-Identifier: Apache-2.0
//! `mounts`.

use super::super::{Mount, NamespaceKind, Spec};
use super::namespaces::{has, id_map};
use super::{Outcome, Warnings, inside, refuse, text, texts};
use crate::{Idmap, MountOptions};

pub(super) fn check(spec: &Spec, warnings: &mut Warnings) -> Outcome {
    let has_user = spec.linux.as_ref().is_some_and(|linux| has(linux, NamespaceKind::User));
    for (i, mount) in spec.mounts.iter().enumerate() {
        one(&format!("mounts[{i}]"), mount, has_user, warnings)?;
    }
    Ok(())
}

fn one(at: &str, mount: &Mount, has_user: bool, warnings: &mut Warnings) -> Outcome {
    inside(&format!("{at}.destination"), &mount.destination, warnings)?;
    for (name, value) in [("type", &mount.kind), ("source", &mount.source)] {
        value.as_ref().map_or(Ok(()), |value| text(&format!("{at}.{name}"), value))?;
    }
    texts(&format!("{at}.options"), &mount.options)?;
    let mut options = MountOptions::default();
    let own: Vec<usize> =
        (0..mount.options.len()).filter(|i| options.apply(&mount.options[*i]).is_err()).collect();
    if mount.is_bind() {
        if mount.source.is_none() {
            return refuse(format!("{at}.source"), "missing: what the bind mount is to show");
        }
        // Engines pass on what people type, and expect no error.
        for i in own {
            let problem = format!("{:?} is no option of a bind mount, and has no effect", mount.options[i]);
            warnings.push(format!("{at}.options[{i}]"), problem);
        }
    } else if mount.kind.is_none() && !options.remount {
        return refuse(format!("{at}.type"), "missing: a file system such as tmpfs, or the option bind");
    }
    idmap(at, mount, options.idmap, has_user)
}

fn idmap(at: &str, mount: &Mount, asked: Option<Idmap>, has_user: bool) -> Outcome {
    let maps = [("uidMappings", &mount.uid_mappings), ("gidMappings", &mount.gid_mappings)];
    let mapped = maps.iter().any(|(_, map)| !map.is_empty());
    if asked.is_none() && !mapped {
        return Ok(());
    }
    if !mount.is_bind() {
        return refuse(
            at,
            "only a bind mount can have id maps: add the option bind or rbind, or leave the maps out",
        );
    }
    if !mapped && !has_user {
        return refuse(
            at,
            "idmap has no maps to use: give uidMappings and gidMappings, or add a user namespace",
        );
    }
    for (name, map) in maps {
        let path = format!("{at}.{name}");
        if mapped && map.is_empty() {
            return refuse(path, "missing: uidMappings and gidMappings go together");
        }
        id_map(&path, map)?;
    }
    Ok(())
}
