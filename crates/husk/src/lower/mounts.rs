// SPDX-License-Identifier: Apache-2.0
//! All that is mounted and made in the container's file tree: the defaults, and what was asked for in their place.

use std::ffi::OsStr;
use std::path::PathBuf;

use husk_spec::{Device, Given, Mount, Namespace, Namespaces};

use super::namespaces::owns_user_namespace;
use super::{Problem, Refused, defaults, device, tmpfs, volume};
use crate::caller::Caller;
use crate::cli::RunOptions;

/// The parts of a configuration that make up the file tree after the root.
#[derive(Default)]
pub(super) struct Files {
    pub(super) mounts: Vec<Given<Mount>>,
    pub(super) devices: Vec<Given<Device>>,
    pub(super) links: Vec<Given<(PathBuf, PathBuf)>>,
}

pub(super) fn lower(
    options: &RunOptions,
    caller: &Caller,
    namespaces: &Namespaces,
    notes: &mut Vec<String>,
) -> Result<Files, Refused> {
    check_proc(options, namespaces)?;
    let mut mounts = defaults::mounts(namespaces, options.hardened, notes);
    for asked in asked_for(options, caller, owns_user_namespace(namespaces))? {
        put(&mut mounts, asked);
    }
    // A `/dev` of the host's has its nodes and links already, and they are not husk's to change.
    let (mut devices, links) = match defaults::makes_dev(&mounts) {
        true => (defaults::devices(), defaults::links()),
        false => (Vec::new(), Vec::new()),
    };
    for word in &options.device {
        let asked = device::parse(word).map_err(|problem| problem.of("--device", word))?;
        if !defaults::makes_dev(&mounts) {
            return Err(Problem::new("/dev is a mount that was asked for, and husk makes nothing in it")
                .hint("leave one of the two out")
                .of("--device", word));
        }
        devices.retain(|device| device.value.target != asked.target);
        devices.push(Given::argument(asked, "--device"));
    }
    Ok(Files { mounts, devices, links })
}

/// A `/proc` has to be had at all: only the user namespace that owns a pid namespace may mount one of it.
fn check_proc(options: &RunOptions, namespaces: &Namespaces) -> Result<(), Refused> {
    let pid = &namespaces.pid;
    match pid.value {
        Namespace::Join(_) if owns_user_namespace(namespaces) => {
            Err(Problem::new("a /proc of another's processes needs the user namespace that they belong to")
                .hint("join it as well (--join user=PID), or as root use --userns=host")
                .of(&pid.origin.to_string(), ""))
        }
        Namespace::Host if options.hardened => Err(Problem::new(
            "the host's /proc shows more than processes, and that cannot be changed from here",
        )
        .hint("leave one of the two out")
        .of_both("--hardened", &pid.origin.to_string())),
        _ => Ok(()),
    }
}

/// What `--volume`, `--mount` and `--tmpfs` ask for, parents first; between two that do not lie in one another the order
/// makes no difference.
fn asked_for(options: &RunOptions, caller: &Caller, idmap: bool) -> Result<Vec<Given<Mount>>, Refused> {
    type Parse<'a> = &'a dyn Fn(&OsStr) -> Result<Mount, Problem>;
    let volume: Parse<'_> = &|word| volume::parse_volume(word, caller, idmap);
    let mount: Parse<'_> = &|word| volume::parse_mount(word, caller, idmap);
    let tmpfs: Parse<'_> = &|word| tmpfs::parse(word);
    let mut mounts: Vec<Given<Mount>> = Vec::new();
    for (option, words, parse) in [
        ("--volume", &options.volume, volume),
        ("--mount", &options.mount, mount),
        ("--tmpfs", &options.tmpfs, tmpfs),
    ] {
        for word in words {
            let asked = parse(word).map_err(|problem| problem.of(option, word))?;
            if let Some(earlier) = mounts.iter().find(|earlier| earlier.value.target() == asked.target()) {
                let why = format!("{} is mounted already, by {}", asked.target().display(), earlier.origin);
                return Err(Problem::new(why).hint("leave one of the two out").of(option, word));
            }
            mounts.push(Given::argument(asked, option));
        }
    }
    mounts.sort_by_key(|mount| mount.value.target().components().count());
    Ok(mounts)
}

/// Puts `asked` in the place of a default on the same target, or behind all. A directory of the host's brings what it has
/// in it, so the defaults below it go too.
fn put(mounts: &mut Vec<Given<Mount>>, asked: Given<Mount>) {
    let place = asked.value.target().to_owned();
    let is_default_below = |mount: &Given<Mount>| {
        let below = *mount.value.target() != place && mount.value.target().starts_with(&place);
        below && !matches!(mount.origin, husk_spec::Origin::Argument(_))
    };
    if matches!(asked.value, Mount::Bind(_)) {
        mounts.retain(|mount| !is_default_below(mount));
    }
    match mounts.iter_mut().find(|mount| *mount.value.target() == place) {
        Some(default) => *default = asked,
        None => mounts.push(asked),
    }
}
