// SPDX-License-Identifier: Apache-2.0
//! `features`: from the tables and the plans that the code itself uses, so that it lists what is carried out and nothing else.

use std::collections::BTreeMap;

use husk_plan::Abilities;
use husk_spec::oci::{
    self, CgroupFeatures, Enabled, Features, IntelRdtFeatures, LinuxFeatures, MemoryPolicyFeatures,
    MemoryPolicyFlag, MemoryPolicyMode, MountExtensions, SeccompFeatures,
};
use husk_spec::{Capability, MountOptions, NamespaceKind};
use serde::Serialize;

use crate::failure::Failure;
use crate::output;
use crate::{SUCCESS, Status};
use husk_oci::definition::Verb;

/// The lowest version of the specification whose configurations are understood.
const OCI_VERSION_MIN: &str = "1.0.0";

/// By this callers see whether a container can be checkpointed.
const CHECKPOINT: &str = "org.opencontainers.runc.checkpoint.enabled";

pub(crate) fn features() -> Result<Status, Failure> {
    let text = serde_json::to_string_pretty(&supported())
        .map_err(|error| Failure::new(format!("cannot write the features: {error}")))?;
    output::product(&(text + "\n"))?;
    Ok(SUCCESS)
}

fn supported() -> Features {
    Features {
        oci_version_min: OCI_VERSION_MIN.to_owned(),
        oci_version_max: oci::VERSION.to_owned(),
        hooks: Some(oci::Hooks::KINDS.map(str::to_owned).into()),
        mount_options: Some(MountOptions::names().into_iter().map(str::to_owned).collect()),
        linux: Some(linux()),
        annotations: Some(BTreeMap::from([(
            CHECKPOINT.to_owned(),
            Verb::named("checkpoint").is_some().to_string(),
        )])),
        potentially_unsafe_config_annotations: Some(vec![oci::UNIT_PROPERTY.to_owned()]),
    }
}

fn linux() -> LinuxFeatures {
    let can = Abilities::of_husk();
    let enabled = |enabled| Some(Enabled { enabled: Some(enabled) });
    let mut namespaces: Vec<_> =
        NamespaceKind::ALL.map(|kind| oci::NamespaceKind::from(kind).name().to_owned()).into();
    namespaces.sort_unstable();
    LinuxFeatures {
        namespaces: Some(namespaces),
        capabilities: Some(Capability::all().map(Capability::name).collect()),
        cgroup: Some(CgroupFeatures {
            v1: Some(can.cgroup_v1),
            v2: Some(can.cgroup_v2),
            systemd: Some(can.systemd),
            systemd_user: Some(can.systemd_user),
            rdma: Some(can.rdma),
        }),
        seccomp: Some(seccomp(can.seccomp)),
        apparmor: enabled(can.apparmor),
        selinux: enabled(can.selinux),
        intel_rdt: Some(IntelRdtFeatures {
            enabled: Some(can.intel_rdt),
            schemata: Some(can.rdt_schemata),
            monitoring: Some(can.rdt_monitoring),
        }),
        memory_policy: Some(MemoryPolicyFeatures {
            modes: Some(names(&MemoryPolicyMode::ALL)),
            flags: Some(names(&MemoryPolicyFlag::ALL)),
        }),
        mount_extensions: Some(MountExtensions { idmap: enabled(can.idmapped_mounts) }),
        net_devices: enabled(can.net_devices),
    }
}

fn seccomp(is_carried_out: bool) -> SeccompFeatures {
    if !is_carried_out {
        return SeccompFeatures { enabled: Some(false), ..SeccompFeatures::default() };
    }
    let known = husk_plan::SECCOMP;
    SeccompFeatures {
        enabled: Some(true),
        actions: Some(names(known.actions).into_iter().chain([oci::Action::KILL.to_owned()]).collect()),
        operators: Some(names(known.operators)),
        archs: Some(names(known.archs)),
        known_flags: Some(names(known.flags)),
        supported_flags: Some(names(known.flags)),
    }
}

/// The words of the specification, as they are read from a configuration.
fn names<T: Serialize>(values: &[T]) -> Vec<String> {
    let name = |value: &T| serde_json::to_value(value).ok()?.as_str().map(str::to_owned);
    values.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use husk_spec::oci::Spec;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn names_are_those_that_a_configuration_has() {
        let linux = supported().linux.expect("linux");
        let modes = linux.memory_policy.and_then(|policy| policy.modes).expect("modes");
        assert_eq!(modes.first().map(String::as_str), Some("MPOL_DEFAULT"));
        let namespaces = linux.namespaces.expect("namespaces");
        assert!(namespaces.contains(&"user".to_owned()) && namespaces.contains(&"network".to_owned()));
        assert_eq!(names(husk_plan::SECCOMP.actions).len(), husk_plan::SECCOMP.actions.len());
    }

    /// A configuration with `linux` and `more`, as it is read; whatever is wrong with it fails the test.
    fn read(linux: Value, more: Value) -> Spec {
        let mut config = json!({
            "ociVersion": oci::VERSION, "root": {"path": "r"}, "process": {"args": ["x"], "cwd": "/"}, "linux": linux
        });
        config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let text = config.to_string();
        let spec = Spec::from_json(text.as_bytes()).unwrap_or_else(|error| panic!("{error} in {text}"));
        let warnings = oci::validate(&spec).unwrap_or_else(|error| panic!("{error} in {text}"));
        assert!(warnings.is_empty(), "{warnings:?} in {text}");
        spec
    }

    #[test]
    fn all_that_is_listed_is_understood_in_a_configuration() {
        let features = supported();
        for version in [&features.oci_version_min, &features.oci_version_max] {
            assert_eq!(read(json!({}), json!({ "ociVersion": version })).oci_version, *version);
        }
        for kind in features.hooks.expect("hooks") {
            let hooks =
                read(json!({}), json!({ "hooks": { &kind: [{ "path": "/x" }] } })).hooks.expect("hooks");
            let found = hooks.all().into_iter().find(|(its, _)| *its == kind).expect("the kind");
            assert_eq!(found.1.len(), 1, "{kind}");
        }
        for option in features.mount_options.expect("options") {
            MountOptions::default().apply(&option).unwrap_or_else(|_| panic!("{option}"));
        }
        let linux = features.linux.expect("linux");
        for kind in linux.namespaces.expect("namespaces") {
            let maps = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
            let maps = if kind == "user" { maps } else { json!([]) };
            read(
                json!({ "namespaces": [{ "type": kind }], "uidMappings": maps, "gidMappings": maps }),
                json!({}),
            );
        }
        for name in linux.capabilities.expect("capabilities") {
            assert!(name.parse::<Capability>().is_ok(), "{name}");
        }
        let policy = linux.memory_policy.expect("memory policies");
        let with_flag = |mode: &str, flags: &[&str]| {
            let nodes = if ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&mode) { "" } else { "0" };
            read(json!({ "memoryPolicy": { "mode": mode, "nodes": nodes, "flags": flags } }), json!({}))
        };
        policy.modes.expect("modes").iter().for_each(|mode| drop(with_flag(mode, &[])));
        policy.flags.expect("flags").iter().for_each(|flag| drop(with_flag("MPOL_BIND", &[flag])));
        let seccomp = linux.seccomp.expect("seccomp");
        let profile = |archs: Value, flags: Value, action: &str, op: &str| {
            let args = json!([{ "index": 0, "value": 1, "op": op }]);
            let calls = json!([{ "names": ["mkdir"], "action": action, "args": args }]);
            let listener = if action == "SCMP_ACT_NOTIFY" { json!("/x") } else { json!("") };
            let profile = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": archs, "flags": flags, "listenerPath": listener,
                "syscalls": calls
            });
            read(json!({ "seccomp": profile }), json!({}))
        };
        let (errno, equal) = ("SCMP_ACT_ERRNO", "SCMP_CMP_EQ");
        seccomp
            .actions
            .expect("actions")
            .iter()
            .for_each(|name| drop(profile(json!([]), json!([]), name, equal)));
        seccomp
            .operators
            .expect("operators")
            .iter()
            .for_each(|name| drop(profile(json!([]), json!([]), errno, name)));
        seccomp
            .archs
            .expect("archs")
            .iter()
            .for_each(|name| drop(profile(json!([name]), json!([]), errno, equal)));
        assert_eq!(seccomp.known_flags, seccomp.supported_flags);
        seccomp
            .known_flags
            .expect("flags")
            .iter()
            .for_each(|name| drop(profile(json!([]), json!([name]), errno, equal)));
    }
}
