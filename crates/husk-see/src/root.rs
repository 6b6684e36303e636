// SPDX-License-Identifier: Apache-2.0
//! The root file system of a process: where on the host it is, as far as that can be said from outside.

use crate::kernel::{self, Kernel};
use crate::mountinfo::{self, Mount};
use crate::procfs::ProcessDirectory;
use crate::text::{Text, beneath, join};

/// What a process has at `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// The path of its root, as the top of its mount namespace sees it: `/`, unless it has changed its root (`chroot(2)`).
    /// `None` if the caller may not look.
    pub path: Option<Text>,
    /// The type of the file system.
    pub fs_type: Text,
    /// What was mounted.
    pub source: Text,
    /// The directory of that file system that is its root.
    pub directory: Text,
    /// The same directory as the host sees it, if the host has that file system mounted.
    pub on_host: Option<Text>,
    /// Whether it is the host's own root.
    pub is_host: bool,
    /// The layers of an overlay, lowest last.
    pub layers: Vec<Text>,
}

impl Root {
    /// Whether its root is other than the top of its mount namespace.
    pub fn is_chroot(&self) -> bool {
        self.path.as_ref().is_some_and(|path| !path.is("/"))
    }

    /// The root of the process with this directory, `None` if the caller may not look. `peers` gives the mounts of another
    /// process in the same mount namespace that has not changed its root.
    pub(crate) fn of(
        directory: &ProcessDirectory,
        kernel: Kernel,
        host: &[Mount],
        peers: impl FnOnce() -> Vec<Mount>,
    ) -> Option<Self> {
        let path = directory.link("root");
        let told = || {
            let mount = kernel::covering_mount(directory)?;
            let rest = beneath(&mount.point, path.as_ref()?)?;
            Some(Place::of(&mount, join(&mount.root, &rest)))
        };
        let place = kernel
            .tells_mounts
            .then(told)
            .flatten()
            .or_else(|| Place::listed(directory))
            // Below a mount that is outside of its root, and so not in its list. Older kernels tell of that one less.
            .or_else(told)
            .or_else(|| in_peers(path.as_ref()?, &peers()))?;
        Some(place.seen_from(host, path))
    }
}

/// A directory of a file system.
#[derive(Debug)]
struct Place {
    device: (u32, u32),
    fs_type: Text,
    source: Text,
    fs_options: Text,
    directory: Text,
}

impl Place {
    /// The mount `/` of a mountinfo: readable for everybody, in contrast to the link.
    fn listed(directory: &ProcessDirectory) -> Option<Self> {
        let mut tops = mountinfo::parse(&directory.read("mountinfo")?);
        tops.retain(|mount| mount.point.is("/"));
        // What is mounted over the root is there as well, and not seen.
        let is_on_other = |mount: &Mount| tops.iter().any(|top| top.id == mount.parent && top.id != mount.id);
        tops.iter().find(|mount| !is_on_other(mount)).map(|mount| Self::of(mount, mount.root.clone()))
    }

    fn of(mount: &Mount, directory: Text) -> Self {
        let Mount { device, fs_type, source, fs_options, .. } = mount.clone();
        Self { device, fs_type, source, fs_options, directory }
    }

    fn seen_from(self, host: &[Mount], path: Option<Text>) -> Root {
        let Self { device, fs_type, source, fs_options, directory } = self;
        let tops = host.iter().filter(|mount| mount.device == device);
        let found = tops
            .filter_map(|mount| Some((mount, beneath(&mount.root, &directory)?)))
            .max_by_key(|(mount, _)| mount.root.bytes().len());
        let on_host = found.map(|(mount, rest)| join(&mount.point, &rest));
        let is_host = on_host.as_ref().is_some_and(|path| path.is("/"));
        let layers = if fs_type.is("overlay") { layers(&fs_options) } else { Vec::new() };
        Root { path, fs_type, source, directory, on_host, is_host, layers }
    }
}

/// Where a path is, from the list of a process that sees the whole mount namespace: in the mount with the longest path above.
fn in_peers(path: &Text, mounts: &[Mount]) -> Option<Place> {
    let above = mounts.iter().filter_map(|mount| Some((mount, beneath(&mount.point, path)?)));
    // Of two on the same path the later one is on top.
    let (mount, rest) = above.max_by_key(|(mount, _)| mount.point.bytes().len())?;
    Some(Place::of(mount, join(&mount.root, &rest)))
}

/// The layers of an overlay from its options: `lowerdir=A:B`, or `lowerdir+=A` for each, and `upperdir=`.
fn layers(options: &Text) -> Vec<Text> {
    let values = |name: &'static [u8]| {
        options.bytes().split(|byte| *byte == b',').filter_map(move |option| option.strip_prefix(name))
    };
    let lower = values(b"lowerdir=").flat_map(|list| list.split(|byte| *byte == b':'));
    values(b"upperdir=").chain(lower).chain(values(b"lowerdir+=")).map(Text::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &[u8] = b"27 1 254:0 / / rw - ext4 /dev/vda rw\n30 27 0:40 / /srv rw - tmpfs fast rw\n\
        31 27 254:0 /home/x /mnt/x rw - ext4 /dev/vda rw\n";

    fn place(line: &str, directory: &str) -> Root {
        let mount = mountinfo::parse(line.as_bytes()).remove(0);
        Place::of(&mount, directory.into()).seen_from(&mountinfo::parse(HOST), Some("/".into()))
    }

    #[test]
    fn the_hosts_root_is_told_from_a_directory_of_the_host() {
        assert!(place("1 2 254:0 / / rw - ext4 /dev/vda rw", "/").is_host);
        let box_ = place("1 2 254:0 /box / rw - ext4 /dev/vda rw", "/box");
        assert_eq!((box_.is_host, box_.on_host), (false, Some("/box".into())));
    }

    #[test]
    fn a_directory_is_named_by_the_closest_mount() {
        let under = |directory| place("1 2 254:0 / / rw - ext4 /dev/vda rw", directory).on_host;
        assert_eq!(under("/home/x/root"), Some("/mnt/x/root".into()));
        assert_eq!(under("/home/xy"), Some("/home/xy".into()));
        assert_eq!(place("1 2 0:40 /a / rw - tmpfs fast rw", "/a").on_host, Some("/srv/a".into()));
    }

    #[test]
    fn what_the_host_has_not_mounted_has_no_place_there() {
        let root = place("1 2 0:99 / / rw - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/u,workdir=/w", "/");
        assert_eq!((root.on_host, root.is_host), (None, false));
        assert_eq!(root.layers, [Text::from("/u"), "/l1".into(), "/l2".into()]);
        let root = place("1 2 0:99 / / rw - overlay overlay rw,lowerdir+=/l1,lowerdir+=/l2", "/");
        assert_eq!(root.layers, [Text::from("/l1"), "/l2".into()]);
    }

    #[test]
    fn a_changed_root_is_found_in_the_mounts_of_a_peer() {
        let place = in_peers(&"/srv/deep/root".into(), &mountinfo::parse(HOST)).expect("there");
        assert!(place.source.is("fast") && place.directory.is("/deep/root"));
        let place = in_peers(&"/srvx".into(), &mountinfo::parse(HOST)).expect("there");
        assert!(place.fs_type.is("ext4") && place.directory.is("/srvx"));
    }
}
