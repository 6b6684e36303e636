// SPDX-License-Identifier: Apache-2.0
//! `features`: from the tables that the code itself uses, so that it lists what is understood and nothing else.

use std::collections::BTreeMap;

use husk_spec::oci::{
    self, CgroupFeatures, Enabled, Features, IntelRdtFeatures, LinuxFeatures, MemoryPolicyFeatures,
    MemoryPolicyFlag, MemoryPolicyMode, MountExtensions, SeccompFeatures,
};
use husk_spec::{Capability, MountOptions, NamespaceKind};
use serde::Serialize;

use crate::failure::Failure;
use crate::output;
use crate::{SUCCESS, Status};

/// The lowest version of the specification whose configurations are understood.
const OCI_VERSION_MIN: &str = "1.0.0";

/// Which parts of a configuration are carried out, and not only understood.
mod carried_out {
    pub(super) const SECCOMP: bool = true;
    pub(super) const IDMAPPED_MOUNTS: bool = true;
    pub(super) const NET_DEVICES: bool = true;
    pub(super) const INTEL_RDT: bool = true;
    pub(super) const SYSTEMD_CGROUP: bool = false;
}

/// By this callers see whether a container can be checkpointed.
const CHECKPOINT: &str = "org.opencontainers.runc.checkpoint.enabled";

pub(crate) fn features() -> Result<Status, Failure> {
    let text = serde_json::to_string_pretty(&supported())
        .map_err(|error| Failure::new(format!("cannot write the features: {error}")))?;
    output::product(&(text + "\n"))?;
    Ok(SUCCESS)
}

fn supported() -> Features {
    let unsafe_annotations =
        carried_out::SYSTEMD_CGROUP.then(|| "org.systemd.property.".to_owned()).into_iter().collect();
    Features {
        oci_version_min: OCI_VERSION_MIN.to_owned(),
        oci_version_max: oci::VERSION.to_owned(),
        hooks: Some(oci::Hooks::KINDS.map(str::to_owned).into()),
        mount_options: Some(MountOptions::names().into_iter().map(str::to_owned).collect()),
        linux: Some(linux()),
        annotations: Some(BTreeMap::from([(CHECKPOINT.to_owned(), false.to_string())])),
        potentially_unsafe_config_annotations: Some(unsafe_annotations),
    }
}

fn linux() -> LinuxFeatures {
    let mut namespaces: Vec<_> =
        NamespaceKind::ALL.map(|kind| oci::NamespaceKind::from(kind).name().to_owned()).into();
    namespaces.sort_unstable();
    LinuxFeatures {
        namespaces: Some(namespaces),
        capabilities: Some(Capability::all().map(Capability::name).collect()),
        cgroup: Some(CgroupFeatures {
            v1: Some(true),
            v2: Some(true),
            systemd: Some(carried_out::SYSTEMD_CGROUP),
            systemd_user: Some(carried_out::SYSTEMD_CGROUP),
            rdma: Some(true),
        }),
        seccomp: Some(seccomp()),
        apparmor: Some(Enabled { enabled: Some(true) }),
        selinux: Some(Enabled { enabled: Some(true) }),
        intel_rdt: Some(IntelRdtFeatures {
            enabled: Some(carried_out::INTEL_RDT),
            schemata: Some(carried_out::INTEL_RDT),
            monitoring: Some(carried_out::INTEL_RDT),
        }),
        memory_policy: Some(MemoryPolicyFeatures {
            modes: Some(names(&MemoryPolicyMode::ALL)),
            flags: Some(names(&MemoryPolicyFlag::ALL)),
        }),
        mount_extensions: Some(MountExtensions {
            idmap: Some(Enabled { enabled: Some(carried_out::IDMAPPED_MOUNTS) }),
        }),
        net_devices: Some(Enabled { enabled: Some(carried_out::NET_DEVICES) }),
    }
}

fn seccomp() -> SeccompFeatures {
    if !carried_out::SECCOMP {
        return SeccompFeatures { enabled: Some(false), ..SeccompFeatures::default() };
    }
    let known = husk_plan::SECCOMP;
    SeccompFeatures {
        enabled: Some(true),
        actions: Some(names(known.actions)),
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
}
