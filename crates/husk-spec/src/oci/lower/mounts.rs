// SPDX-License-Identifier: Apache-2.0
//! `mounts` and `linux.devices`.

use super::*;
use crate::oci::{self, DeviceKind};
use rustix::mount::MountAttrFlags as Attr;

use crate::{
    BindIdmap, BindMount, CgroupMount, Device, FilesystemMount, Idmap, Mount, MountFlags, MountOptions, Node,
    Remount, normalized,
};

/// The devices that every container has (specification, `config-linux.md`, default devices): path, major, minor.
const DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// The links that every container has.
const LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// The container's files beside its root.
pub(super) struct Files {
    pub(super) mounts: Vec<Given<Mount>>,
    pub(super) devices: Vec<Given<Device>>,
    pub(super) links: Vec<Given<(PathBuf, PathBuf)>>,
}

pub(super) fn lower(spec: &Spec, linux: &Linux, with: &Lowering<'_>) -> Result<Files, InvalidConfig> {
    let mounts = spec.mounts.iter().enumerate().map(|(index, mount)| {
        let path = format!("mounts[{index}]");
        Ok(Given::config(lower_mount(mount, &path, with)?, path))
    });
    let mut mounts = mounts.collect::<Result<Vec<_>, _>>()?;
    if is_shared(linux) {
        mounts.iter_mut().for_each(|mount| share(&mut mount.value));
    }
    let is_hosts = |mount: &Given<Mount>| match &mount.value {
        Mount::Bind(bind) => bind.target == Path::new("/dev"),
        _ => false,
    };
    // Somebody else's /dev has its own devices.
    if mounts.iter().any(is_hosts) {
        return Ok(Files { mounts, devices: Vec::new(), links: Vec::new() });
    }
    let link = |(path, to): (&str, &str)| {
        Given::default((PathBuf::from(path), PathBuf::from(to)), "links that every container has")
    };
    Ok(Files { mounts, devices: devices(linux)?, links: LINKS.map(link).into() })
}

/// Whether the container's mounts are the host's peers: it says so, and a user namespace of its own does not forbid it
/// (`mount_namespaces(7)`, "Restrictions on mount namespaces").
fn is_shared(linux: &Linux) -> bool {
    let shared = [Some(RootfsPropagation::Shared), Some(RootfsPropagation::Rshared)];
    shared.contains(&linux.rootfs_propagation)
        && !linux.namespaces.iter().any(|namespace| namespace.kind == oci::NamespaceKind::User)
}

/// Of the mounts, those that say so themselves.
fn share(mount: &mut Mount) {
    if let Mount::Bind(bind) = mount {
        bind.shared_with_host = bind.propagation.iter().any(|(to, _)| *to == Propagation::Shared);
    }
}

fn lower_mount(mount: &oci::Mount, path: &str, with: &Lowering<'_>) -> Result<Mount, InvalidConfig> {
    let mut options = MountOptions::default();
    let mut own = Vec::new();
    for word in mount.options.iter().filter(|word| !word.is_empty()) {
        if options.apply(word).is_err() {
            own.push(match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word.clone(), None),
            });
        }
    }
    own.extend(options.superblock_parameters().map(|name| (name.to_owned(), None)));
    let target = normalized(&mount.destination);
    if options.remount {
        if options.recursive_flags != MountFlags::NONE {
            let problem = "recursive options do not go with remount: a bind mount can have them";
            return Err(invalid(format!("{path}.options"), problem));
        }
        return Ok(remount(mount, target, &options, own));
    }
    if mount.is_bind() {
        return bind(mount, path, target, &options, with);
    }
    // There is nothing below what is new.
    let flags = options.flags.then(options.recursive_flags);
    let propagation = options.propagation;
    match mount.kind.as_deref().unwrap_or_default() {
        "" => Err(invalid(format!("{path}.type"), "a mount needs a type, or the option bind")),
        "cgroup" => {
            let propagation = propagation.last().copied();
            Ok(Mount::Cgroup(CgroupMount { target, flags, propagation }))
        }
        kind => Ok(Mount::Filesystem(FilesystemMount {
            kind: kind.to_owned(),
            source: mount.source.clone().filter(|source| !source.is_empty()),
            target,
            keep_mode: kind == "tmpfs" && !own.iter().any(|(name, _)| name == "mode"),
            options: own,
            flags,
            propagation,
            copy_up: options.tmpcopyup && kind == "tmpfs",
        })),
    }
}

/// As `mount(2)` takes it: with `bind`, the mount that is there gets these attributes and no others; without, its file system
/// gets these options as well.
fn remount(
    mount: &oci::Mount,
    target: PathBuf,
    options: &MountOptions,
    mut own: Vec<(String, Option<String>)>,
) -> Mount {
    let readonly = if options.flags.set.contains(Attr::MOUNT_ATTR_RDONLY) { "ro" } else { "rw" };
    own.push((readonly.to_owned(), None));
    let file_system = (!mount.is_bind()).then_some(own);
    Mount::Remount(Remount { target, flags: options.flags, file_system })
}

fn bind(
    mount: &oci::Mount,
    path: &str,
    target: PathBuf,
    options: &MountOptions,
    with: &Lowering<'_>,
) -> Result<Mount, InvalidConfig> {
    let source = mount.source.as_deref().filter(|source| !source.is_empty());
    let source = source.ok_or_else(|| invalid(format!("{path}.source"), "a bind mount needs a source"))?;
    Ok(Mount::Bind(BindMount {
        source: with.bundle.join(source),
        target,
        recursive: options.recursive.unwrap_or(mount.kind.as_deref() == Some("rbind")),
        idmap: idmap(mount, options),
        flags: options.flags,
        recursive_flags: options.recursive_flags,
        shared_with_host: false,
        propagation: options.propagation.clone(),
    }))
}

/// The mount's own maps, or the container's; own maps need no word for it.
fn idmap(mount: &oci::Mount, options: &MountOptions) -> BindIdmap {
    let recursive = options.idmap == Some(Idmap::Recursive);
    if mount.uid_mappings.is_empty() && mount.gid_mappings.is_empty() {
        return match options.idmap {
            None | Some(Idmap::Off) => BindIdmap::Off,
            Some(_) => BindIdmap::Container { recursive },
        };
    }
    let map = |mappings: &[oci::IdMapping]| mappings.iter().map(namespaces::mapping).collect();
    BindIdmap::Own { uids: map(&mount.uid_mappings), gids: map(&mount.gid_mappings), recursive }
}

/// The default devices, each unless the configuration has its own at that place, and the configuration's.
fn devices(linux: &Linux) -> Result<Vec<Given<Device>>, InvalidConfig> {
    let default = |(path, major, minor): &(&str, u32, u32)| {
        let node = Node { mode: 0o020_666, device: rustix::fs::makedev(*major, *minor), uid: 0, gid: 0 };
        let device = Device { source: PathBuf::from(path), target: PathBuf::from(path), node: Some(node) };
        Given::default(device, "devices that every container has")
    };
    let is_at = |device: &oci::Device, path: &str| normalized(&device.path) == Path::new(path);
    let is_default = |(path, ..): &&(&str, u32, u32)| !linux.devices.iter().any(|device| is_at(device, path));
    let mut devices: Vec<_> = DEVICES.iter().filter(is_default).map(default).collect();
    // The place of a link that every container has, whatever an engine lists that passes on all of the host's.
    let is_link = |device: &oci::Device| is_at(device, "/dev/ptmx");
    for (index, device) in linux.devices.iter().enumerate().filter(|(_, device)| !is_link(device)) {
        let path = format!("linux.devices[{index}]");
        devices.push(Given::config(lower_device(device, &path)?, path));
    }
    Ok(devices)
}

fn lower_device(device: &oci::Device, path: &str) -> Result<Device, InvalidConfig> {
    let number = |number: i64, name: &str| {
        u32::try_from(number)
            .map_err(|_| invalid(format!("{path}.{name}"), "a device number is not negative"))
    };
    let (kind, number) = match device.kind {
        DeviceKind::Fifo => (0o010_000, 0),
        DeviceKind::Character | DeviceKind::Block => {
            let kind = if device.kind == DeviceKind::Block { 0o060_000 } else { 0o020_000 };
            (kind, rustix::fs::makedev(number(device.major, "major")?, number(device.minor, "minor")?))
        }
    };
    let node = Node {
        mode: kind | device.file_mode.unwrap_or(0o666) & 0o7777,
        device: number,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
    };
    let place = normalized(&device.path);
    Ok(Device { source: place.clone(), target: place, node: Some(node) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fifo(path: &str) -> oci::Device {
        let (path, kind) = (path.to_owned(), DeviceKind::Fifo);
        oci::Device { kind, path, major: 0, minor: 0, file_mode: None, uid: None, gid: None }
    }

    #[test]
    fn a_device_takes_the_place_of_a_default_one_however_that_is_written() {
        for path in ["/dev/null", "dev/null", "/dev//null", "/dev/x/../null"] {
            let linux = Linux { devices: vec![fifo(path), fifo("dev/ptmx")], ..Linux::default() };
            let devices = devices(&linux).expect(path);
            let of_null: Vec<_> =
                devices.iter().filter(|device| device.value.target == Path::new("/dev/null")).collect();
            assert_eq!((of_null.len(), devices.len()), (1, DEVICES.len()), "{path}");
            assert_eq!(of_null[0].origin, Origin::Config("linux.devices[0]".to_owned()), "{path}");
        }
    }

    #[test]
    fn a_device_is_at_the_same_place_inside_and_outside() {
        for path in ["/dev/x", "dev/x", "//dev/./y/../x", "/../dev/x"] {
            let lowered = lower_device(&fifo(path), "linux.devices[0]").expect(path);
            let places = (lowered.source.as_path(), lowered.target.as_path());
            assert_eq!(places, (Path::new("/dev/x"), Path::new("/dev/x")), "{path}");
        }
    }
}
