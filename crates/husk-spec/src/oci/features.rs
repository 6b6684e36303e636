// SPDX-License-Identifier: Apache-2.0
//! What a runtime can do, as engines ask for it (specification, `features.md` and `features-linux.md`).
//!
//! An absent value means "unknown", an empty one "none": so whatever is known is `Some`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The features document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Features {
    /// The lowest `ociVersion` that a `config.json` may have.
    pub oci_version_min: String,
    /// The highest.
    pub oci_version_max: String,
    /// The kinds of hooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Vec<String>>,
    /// The mount options, without those of file systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_options: Option<Vec<String>>,
    /// What only Linux has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<LinuxFeatures>,
    /// Words of the runtime about itself: its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Annotations of a `config.json` that change what the runtime does, and which an untrusted one must not have. A
    /// value that ends in `.` is a prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub potentially_unsafe_config_annotations: Option<Vec<String>>,
}

/// What only Linux has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LinuxFeatures {
    /// The kinds of namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// The capabilities, with `CAP_`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// Cgroups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupFeatures>,
    /// Filters of system calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<SeccompFeatures>,
    /// AppArmor profiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<Enabled>,
    /// SELinux labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux: Option<Enabled>,
    /// Intel's resource director.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdtFeatures>,
    /// NUMA memory policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicyFeatures>,
    /// What mounts can do beside their options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_extensions: Option<MountExtensions>,
    /// Moving network devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net_devices: Option<Enabled>,
}

/// Whether there is such a thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Enabled {
    /// Whether it can be used, wherever the host has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CgroupFeatures {
    /// Version 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v1: Option<bool>,
    /// Version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v2: Option<bool>,
    /// Through the system's systemd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd: Option<bool>,
    /// Through a user's systemd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd_user: Option<bool>,
    /// Limits for remote direct memory access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rdma: Option<bool>,
}

/// Filters of system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SeccompFeatures {
    /// Whether there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// `SCMP_ACT_*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<String>>,
    /// `SCMP_CMP_*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operators: Option<Vec<String>>,
    /// `SCMP_ARCH_*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archs: Option<Vec<String>>,
    /// `SECCOMP_FILTER_FLAG_*` that are recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_flags: Option<Vec<String>>,
    /// Those of them that also have their effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supported_flags: Option<Vec<String>>,
}

/// Intel's resource director.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IntelRdtFeatures {
    /// Whether it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The field `schemata`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schemata: Option<bool>,
    /// The field `enableMonitoring`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<bool>,
}

/// NUMA memory policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryPolicyFeatures {
    /// `MPOL_*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modes: Option<Vec<String>>,
    /// `MPOL_F_*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<String>>,
}

/// What mounts can do beside their options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountExtensions {
    /// `uidMappings` and `gidMappings` of a mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idmap: Option<Enabled>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_document_of_the_specification_is_read_and_written() {
        let names = json!(["a", "b"]);
        let document = json!({
            "ociVersionMin": "1.0.0",
            "ociVersionMax": "1.3.0",
            "hooks": names,
            "mountOptions": names,
            "linux": {
                "namespaces": names,
                "capabilities": names,
                "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": false },
                "seccomp": {
                    "enabled": true, "actions": names, "operators": names, "archs": names,
                    "knownFlags": names, "supportedFlags": []
                },
                "apparmor": { "enabled": true },
                "selinux": { "enabled": false },
                "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
                "memoryPolicy": { "modes": names, "flags": names },
                "mountExtensions": { "idmap": { "enabled": true } },
                "netDevices": { "enabled": true }
            },
            "annotations": { "org.example.version": "1" },
            "potentiallyUnsafeConfigAnnotations": ["org.example."]
        });
        let features: Features = serde_json::from_value(document.clone()).expect("it is read");
        assert_eq!(serde_json::to_value(&features).expect("it is written"), document);
    }

    #[test]
    fn unknown_is_absent_and_none_is_empty() {
        let features = Features { hooks: Some(vec![]), ..Features::default() };
        let written = serde_json::to_value(&features).expect("it is written");
        assert_eq!(written, json!({ "ociVersionMin": "", "ociVersionMax": "", "hooks": [] }));
    }
}
