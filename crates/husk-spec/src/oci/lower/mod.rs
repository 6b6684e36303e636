// SPDX-License-Identifier: Apache-2.0
//! What a `config.json` means: [`Spec`] to [`Config`].

mod mounts;
mod namespaces;
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::validate::dotted;

use super::{Hook, Linux, Process, RootfsPropagation, Spec};
use crate::{
    Cgroup, Config, EnterRoot, Given, Hooks, InvalidConfig, Lifetime, Namespace, NamespaceKind, NetDevice,
    Origin, Propagation, Recursive, ResourceGroup, Root, ScopeWanted, Sysctl, UserNamespace, Writes,
};

/// What a bundle's container is asked to be beside its `config.json`.
#[derive(Clone, Debug)]
pub struct Lowering<'a> {
    /// The container's id.
    pub id: &'a str,
    /// The bundle's directory. Absolute.
    pub bundle: &'a Path,
    /// How long the container lives.
    pub lifetime: Lifetime,
    /// Whether the root is entered by `chroot(2)`: on a root in an initramfs, `pivot_root(2)` does not work.
    pub no_pivot: bool,
    /// Whether the caller's session keyring stays.
    pub no_new_keyring: bool,
    /// Whether systemd is asked for the cgroups.
    pub systemd_cgroup: SystemdCgroup,
    /// The number of descriptors after the three standard ones that are passed on.
    pub preserved_descriptors: u32,
}

/// Whether systemd is asked for a container's cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SystemdCgroup {
    /// It is not: `linux.cgroupsPath` is a path.
    #[default]
    No,
    /// It is, or the container cannot be had.
    Yes,
    /// It is if `linux.cgroupsPath` has the form that engines give it for systemd, and it can be asked here.
    ByForm,
}

impl Spec {
    /// What the configuration means.
    ///
    /// # Errors
    /// A configuration that has no meaning; says which field.
    pub fn lower(&self, with: &Lowering<'_>) -> Result<Config, InvalidConfig> {
        let absent = Linux::default();
        let linux = self.linux.as_ref().unwrap_or(&absent);
        let namespaces = namespaces::lower(linux)?;
        let files = mounts::lower(self, linux, with)?;
        let process = self.process.as_ref().ok_or_else(|| invalid("process", "there is nothing to run"))?;
        let mut process = process::lower(process, "process")?;
        process::lower_linux(linux, &mut process)?;
        process.preserved_descriptors = with.preserved_descriptors;
        process.seccomp = seccomp(linux);
        if !with.no_new_keyring {
            process.keyring =
                Some(Given::default(format!("_ses.{}", with.id), "a session keyring of its own"));
        }
        let text = |value: &Option<String>, path: &str| {
            value.as_ref().filter(|text| !text.is_empty()).map(|text| Given::config(text.clone(), path))
        };
        let paths = |texts: &[String], path: &str| {
            Given::config(texts.iter().map(PathBuf::from).collect::<Vec<_>>(), path)
        };
        let (propagation, root_propagation) = propagation(linux.rootfs_propagation);
        Ok(Config {
            name: with.id.to_owned(),
            lifetime: with.lifetime,
            root: Some(root(self, with)?),
            enter_root: match with.no_pivot {
                true => Given::argument(EnterRoot::Chroot, "--no-pivot"),
                false => Given::default(EnterRoot::Pivot, "pivot_root"),
            },
            namespaces,
            hostname: text(&self.hostname, "hostname"),
            domainname: text(&self.domainname, "domainname"),
            propagation,
            root_propagation,
            mounts: files.mounts,
            devices: files.devices,
            links: files.links,
            resource_group: resource_group(linux, false),
            net_devices: net_devices(linux),
            sysctls: sysctls(linux),
            masked_paths: paths(&linux.masked_paths, "linux.maskedPaths"),
            readonly_paths: paths(&linux.readonly_paths, "linux.readonlyPaths"),
            cgroup: Some(cgroup(linux, &self.annotations, with)),
            mount_label: text(&linux.mount_label, "linux.mountLabel"),
            hooks: hooks(self)?,
            process,
        })
    }
}

impl Spec {
    /// What a further process of a container means, whose first process is `pid`: it joins all that the container has of its
    /// own.
    ///
    /// # Errors
    /// A process that has no meaning; says which field.
    pub fn lower_exec(
        &self,
        process: &Process,
        pid: i32,
        with: &Lowering<'_>,
    ) -> Result<Config, InvalidConfig> {
        let absent = Linux::default();
        let linux = self.linux.as_ref().unwrap_or(&absent);
        let process = match &self.process {
            Some(container) => &process.clone().completed_by(container),
            None => process,
        };
        let mut lowered = process::lower(process, "process")?;
        process::lower_linux(linux, &mut lowered)?;
        process::lower_affinity(process, &mut lowered)?;
        let mut process = lowered;
        process.make_working_directory = false;
        process.seccomp = seccomp(linux);
        process.preserved_descriptors = with.preserved_descriptors;
        Ok(Config {
            name: with.id.to_owned(),
            lifetime: with.lifetime,
            root: None,
            enter_root: match namespaces::has_own_mounts(linux) {
                true => Given::default(EnterRoot::Pivot, "the root of the container's mount namespace"),
                false => Given::default(EnterRoot::OfProcess(pid), "the container's root"),
            },
            namespaces: namespaces::join(linux, pid),
            hostname: None,
            domainname: None,
            propagation: Given::default(Propagation::Slave, "the container's mounts stay as they are"),
            root_propagation: None,
            mounts: Vec::new(),
            devices: Vec::new(),
            links: Vec::new(),
            resource_group: resource_group(linux, true),
            net_devices: Vec::new(),
            sysctls: Vec::new(),
            masked_paths: Given::default(Vec::new(), "hidden already"),
            readonly_paths: Given::default(Vec::new(), "read-only already"),
            cgroup: Some(Given::default(Cgroup::Existing, "the container's cgroups")),
            mount_label: None,
            hooks: Hooks::default(),
            process,
        })
    }
}

fn seccomp(linux: &Linux) -> Option<Given<super::Seccomp>> {
    linux.seccomp.clone().map(|profile| Given::config(profile, "linux.seccomp"))
}

/// An error that names the field.
fn invalid(path: impl Into<String>, problem: impl Into<String>) -> InvalidConfig {
    InvalidConfig { origin: Origin::Config(path.into()), problem: problem.into() }
}

fn cgroup(linux: &Linux, annotations: &BTreeMap<String, String>, with: &Lowering<'_>) -> Given<Cgroup> {
    let path = linux.cgroups_path.clone().filter(|path| !path.is_empty());
    let resources = Box::new(linux.resources.clone().unwrap_or_default());
    let origin = match (&path, &linux.resources) {
        (Some(_), _) => Origin::Config("linux.cgroupsPath".to_owned()),
        (None, Some(_)) => Origin::Config("linux.resources".to_owned()),
        (None, None) => Origin::Default("cgroups of its own"),
    };
    let by_form = match with.systemd_cgroup {
        SystemdCgroup::Yes => Some(false),
        SystemdCgroup::ByForm if path.as_deref().is_some_and(names_scope) => Some(true),
        SystemdCgroup::ByForm | SystemdCgroup::No => None,
    };
    let systemd = by_form.map(|by_form| ScopeWanted { properties: unit_properties(annotations), by_form });
    Given { value: Cgroup::New { path, resources, systemd }, origin }
}

/// Whether a path has the form `SLICE:PREFIX:NAME`, by which engines ask for a scope of systemd's.
fn names_scope(path: &str) -> bool {
    let parts: Vec<_> = path.split(':').collect();
    matches!(parts[..], [slice, _, name] if !path.contains('/') && !name.is_empty()
        && (slice.is_empty() || slice == "-" || slice.ends_with(".slice")))
}

/// What annotations begin with that say something of the unit which systemd makes, as runc and crun have them.
pub const UNIT_PROPERTY: &str = "org.systemd.property.";

fn unit_properties(annotations: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let property =
        |(key, value): (&String, &String)| Some((key.strip_prefix(UNIT_PROPERTY)?.to_owned(), value.clone()));
    annotations.iter().filter_map(property).collect()
}

fn root(spec: &Spec, with: &Lowering<'_>) -> Result<Root, InvalidConfig> {
    let root = spec.root.as_ref().filter(|root| !root.path.is_empty());
    let root = root.ok_or_else(|| invalid("root.path", "there is no root file system"))?;
    let writes = match root.readonly {
        true => Given::config(Writes::Refused, "root.readonly"),
        false => Given::config(Writes::Through, "root"),
    };
    let path = Given::config(with.bundle.join(&root.path), "root.path");
    Ok(Root { path, writes, idmap: false })
}

/// How the host's mounts relate to the container's, and what the root becomes in the end. What is mounted on the host later shows
/// in the container, unless the configuration says otherwise.
fn propagation(
    asked: Option<RootfsPropagation>,
) -> (Given<Propagation>, Option<Given<(Propagation, Recursive)>>) {
    let path = "linux.rootfsPropagation";
    let Some(asked) = asked else {
        return (Given::default(Propagation::Slave, "nothing mounted inside reaches the host"), None);
    };
    let end = match asked {
        RootfsPropagation::Shared => (Propagation::Shared, false),
        RootfsPropagation::Rshared => (Propagation::Shared, true),
        RootfsPropagation::Slave => (Propagation::Slave, false),
        RootfsPropagation::Rslave => (Propagation::Slave, true),
        RootfsPropagation::Private => (Propagation::Private, false),
        RootfsPropagation::Rprivate => (Propagation::Private, true),
        RootfsPropagation::Unbindable => (Propagation::Unbindable, false),
        RootfsPropagation::Runbindable => (Propagation::Unbindable, true),
    };
    let begin = match end.0 {
        Propagation::Shared | Propagation::Slave => Propagation::Slave,
        Propagation::Private | Propagation::Unbindable => Propagation::Private,
    };
    (Given::config(begin, path), Some(Given::config(end, path)))
}

fn resource_group(linux: &Linux, exists: bool) -> Option<Given<ResourceGroup>> {
    let asked = linux.intel_rdt.as_ref()?;
    let schemata = asked.lines();
    let (name, monitoring) = (asked.class().map(str::to_owned), asked.enable_monitoring);
    Some(Given::config(ResourceGroup { name, schemata, monitoring, exists }, "linux.intelRdt"))
}

fn net_devices(linux: &Linux) -> Vec<Given<NetDevice>> {
    let net_device = |(device, its): (&String, &super::NetDevice)| {
        let name = its.name.as_ref().unwrap_or(device).clone();
        Given::config(NetDevice { device: device.clone(), name }, format!("linux.netDevices[{device}]"))
    };
    linux.net_devices.iter().map(net_device).collect()
}

fn sysctls(linux: &Linux) -> Vec<Given<Sysctl>> {
    let sysctl = |(name, value): (&String, &String)| {
        let name = dotted(name);
        let origin = format!("linux.sysctl[{name}]");
        Given::config(Sysctl { name, value: value.clone() }, origin)
    };
    linux.sysctl.iter().map(sysctl).collect()
}

fn hooks(spec: &Spec) -> Result<Hooks, InvalidConfig> {
    let Some(hooks) = &spec.hooks else { return Ok(Hooks::default()) };
    let outside = match (hooks.prestart.is_empty(), hooks.create_runtime.is_empty()) {
        (true, true) => None,
        (false, _) => Some(Given::config((), "hooks.prestart")),
        (true, false) => Some(Given::config((), "hooks.createRuntime")),
    };
    Ok(Hooks {
        outside,
        create_container: inside(&hooks.create_container, "hooks.createContainer")?,
        start_container: inside(&hooks.start_container, "hooks.startContainer")?,
    })
}

fn inside(hooks: &[Hook], path: &str) -> Result<Vec<Given<crate::Hook>>, InvalidConfig> {
    let lower = |(index, hook): (usize, &Hook)| {
        let path = format!("{path}[{index}]");
        if hook.timeout.is_some_and(|seconds| seconds <= 0) {
            return Err(invalid(format!("{path}.timeout"), "a time-out is some seconds, at least 1"));
        }
        // Nobody waits for the end of a century.
        let timeout = hook.timeout.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
        let hook = crate::Hook {
            path: PathBuf::from(&hook.path),
            args: hook.args.iter().map(Into::into).collect(),
            environment: hook.env.iter().map(Into::into).collect(),
            timeout,
        };
        Ok(Given::config(hook, path))
    };
    hooks.iter().enumerate().map(lower).collect()
}
