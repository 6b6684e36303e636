// SPDX-License-Identifier: Apache-2.0
//! What the words of `husk run` mean: from [`Run`] and [`Caller`] to a [`Config`]. Pure: it looks at nothing else.

pub(crate) mod bundle;
mod clock;
mod defaults;
mod device;
mod environment;
mod limits;
mod mounts;
mod namespaces;
mod privileges;
mod problem;
mod process;
mod sysctl;
#[cfg(test)]
mod tests;
mod tmpfs;
mod user;
mod volume;

use std::path::{Path, PathBuf};

use husk_spec::{Config, EnterRoot, Given, Grant, Hooks, Lifetime, Namespace, Propagation, Root, Writes};

use crate::caller::Caller;
use crate::cli::{Run, RunOptions};
use bundle::Bundle;
use mounts::Files;
use problem::{Problem, Refused};

/// What a command line means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lowered {
    /// The container.
    pub(crate) config: Config,
    /// What the person should know besides; nothing is wrong.
    pub(crate) notes: Vec<String>,
    /// The bundle that it comes from, if it comes from one.
    pub(crate) bundle: Option<Bundle>,
}

/// Lowers the words of `husk run`.
///
/// # Errors
/// An option whose value makes no sense, or that contradicts another one. The status is that of `husk run`.
pub(crate) fn lower(run: &Run, caller: &Caller) -> Result<Lowered, Refused> {
    let options = &run.options;
    let mut notes = Vec::new();
    let name = name(options, caller)?;
    if let Some(file) = &caller.bundle {
        bundle::refuse_others(run)?;
        return bundle::lower(file, name, bundle::systemd_cgroup(options), caller);
    }
    bundle::refuse_without(options)?;
    let namespaces = namespaces::lower(options, caller)?;
    let hostname = hostname(options, &name, &namespaces.uts)?;
    let sysctls = sysctl::lower(options, &namespaces)?;
    let terminal = process::terminal(options, caller);
    let process = process::lower(run, caller, &namespaces, hostname.as_ref(), terminal)?;
    let joined = matches!(namespaces.mount.value, Namespace::Join(_));
    let root = if joined { joined_root(run)? } else { Some(root(run, caller)?) };
    let files =
        if joined { Files::default() } else { mounts::lower(options, caller, &namespaces, &mut notes)? };
    let enter_root = match options.chroot {
        true => Given::argument(EnterRoot::Chroot, "--chroot"),
        false => Given::default(EnterRoot::Pivot, "pivot_root"),
    };
    if options.chroot
        && matches!(process.capabilities.value, Grant::Bounded(set)
            if set.iter().any(|capability| capability.name() == "CAP_SYS_CHROOT"))
    {
        notes.push("with --chroot and CAP_SYS_CHROOT the command can leave ROOTFS".to_owned());
    }
    let (masked_paths, readonly_paths) = if joined {
        (Vec::new(), Vec::new())
    } else {
        (defaults::masked_paths(), defaults::readonly_paths())
    };
    let Files { mounts, devices, links } = files;
    let cgroup = limits::lower(options, caller)?;
    let config = Config {
        name,
        lifetime: Lifetime::Attached,
        root,
        enter_root,
        namespaces,
        hostname,
        domainname: None,
        propagation: Given::default(Propagation::Private, "no mount travels between host and container"),
        root_propagation: None,
        mounts,
        devices,
        links,
        resource_group: None,
        net_devices: Vec::new(),
        sysctls,
        masked_paths: Given::default(masked_paths, "masked paths"),
        readonly_paths: Given::default(readonly_paths, "read-only paths"),
        cgroup,
        mount_label: None,
        hooks: Hooks::default(),
        process,
    };
    Ok(Lowered { config, notes, bundle: None })
}

fn name(options: &RunOptions, caller: &Caller) -> Result<String, Refused> {
    let Some(name) = &options.name else { return Ok(caller.name.clone()) };
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    // 64 is what the kernel keeps of a host name, which the name is by default.
    if first && rest && name.len() <= 64 {
        return Ok(name.clone());
    }
    let why = "a name is a letter or digit, then letters, digits, `_`, `.` and `-`; 64 at most";
    Err(Problem::new(why).of("--name", name))
}

fn hostname(
    options: &RunOptions,
    name: &str,
    uts: &Given<Namespace>,
) -> Result<Option<Given<String>>, Refused> {
    let Some(hostname) = &options.hostname else {
        let named = || Given::default(name.to_owned(), "host name: the container's name");
        return Ok((uts.value == Namespace::New).then(named));
    };
    if uts.value != Namespace::New {
        return Err(Problem::new(format!("{}: the host name would change there too", uts.origin))
            .hint("leave one of the two out")
            .of("--hostname", hostname));
    }
    let legal = hostname.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if hostname.is_empty() || hostname.len() > 64 || !legal || hostname.starts_with(['-', '.']) {
        let why = "a host name is made of letters, digits, `-`, `.` and `_`; 64 at most, no `-` or `.` first";
        return Err(Problem::new(why).of("--hostname", hostname));
    }
    Ok(Some(Given::argument(hostname.clone(), "--hostname")))
}

fn root(run: &Run, caller: &Caller) -> Result<Root, Refused> {
    let writes = match (run.options.read_only, run.options.ephemeral) {
        (true, true) => {
            return Err(Problem::new("nothing can be written, so there is nothing to throw away")
                .hint("--ephemeral allows writes and forgets them; --read-only refuses them")
                .of_both("--read-only", "--ephemeral"));
        }
        (true, false) => Given::argument(Writes::Refused, "--read-only"),
        (false, true) => Given::argument(Writes::Ephemeral, "--ephemeral"),
        (false, false) if run.rootfs.is_some() => Given::default(Writes::Through, "writes go to ROOTFS"),
        (false, false) => Given::default(Writes::Ephemeral, "writes to the default root are thrown away"),
    };
    let path = match &run.rootfs {
        None => Given::default(caller.default_root.clone(), "root"),
        Some(path) if path.is_empty() => {
            return Err(Problem::new("the word is empty")
                .hint("a variable that is not set? For the default root write -- in its place")
                .of("ROOTFS", ""));
        }
        Some(path) => Given::argument(absolute(Path::new(path), caller), "ROOTFS"),
    };
    Ok(Root { path, writes, idmap: true })
}

/// With the mount namespace of somebody else comes its root: whatever would change that is refused.
fn joined_root(run: &Run) -> Result<Option<Root>, Refused> {
    let options = &run.options;
    let set = [
        ("ROOTFS", run.rootfs.is_some()),
        ("--volume", !options.volume.is_empty()),
        ("--mount", !options.mount.is_empty()),
        ("--tmpfs", !options.tmpfs.is_empty()),
        ("--device", !options.device.is_empty()),
        ("--read-only", options.read_only),
        ("--ephemeral", options.ephemeral),
        ("--chroot", options.chroot),
        ("--hardened", options.hardened),
    ];
    match set.iter().find(|(_, is_set)| *is_set) {
        None => Ok(None),
        Some((option, _)) => {
            Err(Problem::new("a mount namespace that is joined has its root and its mounts already")
                .hint("leave one of the two out; the command follows --: husk run --join mnt=PID -- COMMAND")
                .of_both("--join mnt", option))
        }
    }
}

/// `path` as seen from the root of the host, without `.` and doubled slashes. `..` stays: what it means depends on links.
fn absolute(path: &Path, caller: &Caller) -> PathBuf {
    caller.directory.join(path).components().collect()
}
