// SPDX-License-Identifier: Apache-2.0
//! `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`).

use crate::id_map::IdMap;
use crate::text::Text;

/// A mount, as a process sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// Its id, until it is reused.
    pub id: u32,
    /// The id of the mount it is mounted on.
    pub parent: u32,
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// The directory of the file system that is mounted.
    pub root: Text,
    /// Where it is mounted, below the process's root.
    pub point: Text,
    /// Options of this mount.
    pub options: Text,
    /// `shared:N`, `master:N`, `unbindable`; empty if it is private.
    pub propagation: Text,
    /// The type of the file system.
    pub fs_type: Text,
    /// What was mounted.
    pub source: Text,
    /// Options of the file system.
    pub fs_options: Text,
    /// Which user ids on the disk show as which here, if it is idmapped and the kernel has told: a mountinfo does not.
    pub uid_map: Option<IdMap>,
    /// The same of groups.
    pub gid_map: Option<IdMap>,
}

/// Reads the file. Lines that are no mounts are passed over.
pub fn parse(content: &[u8]) -> Vec<Mount> {
    content.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = || fields.next();
    let (id, parent) = (number(next()?)?, number(next()?)?);
    let device = device(next()?)?;
    let (root, point, options) = (unescaped(next()?), unescaped(next()?), unescaped(next()?));
    let optional: Vec<_> = std::iter::from_fn(&mut next).take_while(|field| *field != b"-").collect();
    let (fs_type, source, fs_options) = (unescaped(next()?), unescaped(next()?), unescaped(next()?));
    let propagation = Text::new(optional.join(&b' '));
    let (uid_map, gid_map) = (None, None);
    Some(Mount {
        id,
        parent,
        device,
        root,
        point,
        options,
        propagation,
        fs_type,
        source,
        fs_options,
        uid_map,
        gid_map,
    })
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn device(field: &[u8]) -> Option<(u32, u32)> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    Some((number(&field[..colon])?, number(&field[colon + 1..])?))
}

/// The kernel writes blanks, newlines, backslashes and `#` as three octal digits.
pub(crate) fn unescaped(field: &[u8]) -> Text {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *byte == b'\\' => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    Text::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &[u8] =
        b"36 35 98:0 /mnt1 /mnt\\0402\\134\\012 rw,noatime master:1 propagate_from:3 - ext3 /dev/root rw,errors=continue";

    #[test]
    fn the_fields_of_a_mount() {
        let mounts = parse(&[LINE, b"\nno mount\n22 27 0:21 / /proc rw - proc proc rw\n"].concat());
        assert_eq!(mounts.len(), 2);
        let mount = &mounts[0];
        assert_eq!((mount.id, mount.parent, mount.device), (36, 35, (98, 0)));
        assert_eq!((mount.root.bytes(), mount.point.bytes()), (&b"/mnt1"[..], &b"/mnt 2\\\n"[..]));
        assert!(mount.propagation.is("master:1 propagate_from:3") && mount.fs_type.is("ext3"));
        assert!(mount.source.is("/dev/root") && mount.fs_options.is("rw,errors=continue"));
        assert!(mounts[1].propagation.is_empty() && mounts[1].source.is("proc"));
    }

    #[test]
    fn a_source_may_be_empty() {
        let mounts = parse(b"1 2 0:3 / /x rw -  tmpfs  rw\n1 2 0:3 / /x rw - tmpfs  rw\n");
        assert!(
            mounts[1].fs_type.is("tmpfs") && mounts[1].source.is_empty() && mounts[1].fs_options.is("rw")
        );
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes: Vec<u8>, cut in 0..LINE.len(), flip: u8) {
            let _ = parse(&bytes);
            let mut broken = LINE.to_vec();
            broken[cut] ^= flip;
            let _ = parse(&broken);
            let _ = parse(&LINE[..cut]);
        }
    }
}
