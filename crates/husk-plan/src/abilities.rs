// SPDX-License-Identifier: Apache-2.0
//! What is carried out of the fields that some runtimes only read. It is not written down, but looked up in plans for a
//! configuration that asks for all of it, on hosts that have it all. Those are made up: the real one does not matter here
//! (specification, `features.md`).

use std::ffi::CStr;
use std::path::Path;

use husk_cgroup::Hierarchies;
use husk_init::Step;
use husk_spec::oci::{Lowering, Spec, SystemdCgroup};
use husk_spec::{IdMapping, Lifetime};

use crate::plan::{Action, HostStep, Plan, TreeMaps};
use crate::{Arena, Found, Host, compile};

/// What is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Cgroups of version 1.
    pub cgroup_v1: bool,
    /// Cgroups of version 2.
    pub cgroup_v2: bool,
    /// Cgroups by the machine's systemd.
    pub systemd: bool,
    /// Cgroups by a user's systemd.
    pub systemd_user: bool,
    /// `linux.resources.rdma`, on both versions.
    pub rdma: bool,
    /// `linux.seccomp`
    pub seccomp: bool,
    /// `process.apparmorProfile`
    pub apparmor: bool,
    /// `process.selinuxLabel`
    pub selinux: bool,
    /// `linux.intelRdt`
    pub intel_rdt: bool,
    /// `linux.intelRdt.schemata`
    pub rdt_schemata: bool,
    /// `linux.intelRdt.enableMonitoring`
    pub rdt_monitoring: bool,
    /// `mounts[].uidMappings`, `gidMappings`
    pub idmapped_mounts: bool,
    /// `linux.netDevices`
    pub net_devices: bool,
}

impl Abilities {
    /// Those of this husk.
    pub fn of_husk() -> Self {
        let none = Self::default();
        let plans = [(V1, false, ALL), (V2, false, ALL), (V2, true, ALL), (V2, true, 1)];
        let [v1, v2, systemd, systemd_user] = plans.map(|(mounts, by_systemd, ids)| {
            let arena = Arena::new();
            planned(mounts, by_systemd, ids, &arena).map_or(none, |plan| Self::in_plan(&plan))
        });
        Self {
            cgroup_v1: v1.cgroup_v1,
            systemd: systemd.systemd,
            systemd_user: systemd_user.systemd_user,
            rdma: v1.rdma && v2.rdma,
            ..v2
        }
    }

    fn in_plan(plan: &Plan<'_>) -> Self {
        let mut found = Self::default();
        let is_v1 = |path: &CStr| path.to_bytes().starts_with(b"/sys/fs/cgroup/rdma/");
        for step in &plan.steps {
            match step.action {
                Action::Host(HostStep::MakeCgroup { path, .. }) if is_v1(path) => found.cgroup_v1 = true,
                Action::Host(HostStep::MakeCgroup { .. }) => found.cgroup_v2 = true,
                Action::Host(HostStep::StartScope { user: false, .. }) => found.systemd = true,
                Action::Host(HostStep::StartScope { user: true, .. }) => found.systemd_user = true,
                Action::Host(HostStep::LimitCgroup { limits }) => {
                    found.rdma = limits.to_bytes().windows(8).any(|file| file == b"rdma.max");
                }
                Action::Host(HostStep::PrepareResourceGroup(group)) => {
                    found.rdt_schemata = group.schemata.is_some();
                    found.rdt_monitoring = group.monitor.is_some();
                }
                Action::Host(HostStep::JoinResourceGroup) => found.intel_rdt = true,
                Action::Host(HostStep::MapTree { through: TreeMaps::Own { .. }, .. }) => {
                    found.idmapped_mounts = true;
                }
                Action::Host(HostStep::MoveDevice { .. }) => found.net_devices = true,
                Action::Child(Step::Seccomp(..)) => found.seccomp = true,
                Action::Child(Step::ApparmorProfile { .. }) => found.apparmor = true,
                Action::Child(Step::SelinuxLabel(_)) => found.selinux = true,
                _ => {}
            }
        }
        found
    }
}

const V1: &str = "31 20 0:26 / /sys/fs/cgroup/rdma rw - cgroup cgroup rw,rdma\n";
const V2: &str = "31 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

/// A configuration that asks for it all.
const CONFIG: &str = r#"{
    "ociVersion": "1.3.0",
    "root": { "path": "/r" },
    "process": { "args": ["/c"], "cwd": "/", "apparmorProfile": "p", "selinuxLabel": "l" },
    "mounts": [{
        "destination": "/m", "type": "bind", "source": "/m", "options": ["bind"],
        "uidMappings": [{ "containerID": 0, "hostID": 1, "size": 1 }],
        "gidMappings": [{ "containerID": 0, "hostID": 1, "size": 1 }]
    }],
    "linux": {
        "namespaces": [{ "type": "mount" }, { "type": "network" }],
        "resources": { "rdma": { "d": { "hcaHandles": 1 } } },
        "seccomp": { "defaultAction": "SCMP_ACT_ERRNO" },
        "intelRdt": { "schemata": ["L3:0=1"], "enableMonitoring": true },
        "netDevices": { "d": {} }
    }
}"#;

/// How many ids root of the machine has. Root of a user namespace, with fewer, has the systemd of its user.
const ALL: u32 = u32::MAX;

/// A plan for it, by root with so many ids, on a host with all that it takes.
fn planned<'a>(mounts: &str, by_systemd: bool, ids: u32, arena: &'a Arena) -> Option<Plan<'a>> {
    let with = Lowering {
        id: "c",
        bundle: Path::new("/"),
        lifetime: Lifetime::Created,
        no_pivot: false,
        no_new_keyring: true,
        systemd_cgroup: if by_systemd { SystemdCgroup::Yes } else { SystemdCgroup::No },
        preserved_descriptors: 0,
    };
    let config = Spec::from_json(CONFIG.as_bytes()).ok()?.lower(&with).ok()?;
    let map = vec![IdMapping { inside: 0, outside: 0, count: ids }];
    let device = Found::Device { mode: 0o20666, device: 0x103 };
    let devices = config.devices.iter().map(|device| device.value.source.clone());
    let host = Host {
        privileged: true,
        uid_map: map.clone(),
        gid_map: map,
        kernel: (6, 18),
        root_mode: 0o755,
        resctrl: Some("/sys/fs/resctrl".into()),
        cgroups: Hierarchies::parse(mounts, "0::/\n1:rdma:/\n"),
        may_make_cgroups: true,
        systemd: true,
        apparmor: Some(c"self/attr/exec"),
        selinux: true,
        sources: devices.map(|path| (path, device)).chain([("/m".into(), Found::Directory)]).collect(),
        ..Host::default()
    };
    compile::plan(&config, &host, arena).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_can_be_asked_for_is_carried_out() {
        let all = Abilities {
            cgroup_v1: true,
            cgroup_v2: true,
            systemd: true,
            systemd_user: true,
            rdma: true,
            seccomp: true,
            apparmor: true,
            selinux: true,
            intel_rdt: true,
            rdt_schemata: true,
            rdt_monitoring: true,
            idmapped_mounts: true,
            net_devices: true,
        };
        assert_eq!(Abilities::of_husk(), all);
    }

    /// What is not in the plan is not claimed.
    #[test]
    fn a_plan_without_the_steps_has_none_of_it() {
        let arena = Arena::new();
        let mut plan = planned(V2, false, ALL, &arena).expect("a plan");
        assert!(Abilities::in_plan(&plan).apparmor);
        plan.steps.retain(|step| !matches!(step.action, Action::Child(Step::ApparmorProfile { .. })));
        let found = Abilities::in_plan(&plan);
        assert!(!found.apparmor && found.selinux, "{found:?}");
        plan.steps.clear();
        assert_eq!(Abilities::in_plan(&plan), Abilities::default());
    }
}
