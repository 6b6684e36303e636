// SPDX-License-Identifier: Apache-2.0
//! `--device SRC[:DST[:rwm]]`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use husk_spec::Device;

use super::Problem;
use super::volume::target;

pub(super) fn parse(value: &OsStr) -> Result<Device, Problem> {
    let parts: Vec<&[u8]> = value.as_bytes().split(|byte| *byte == b':').collect();
    let (source, destination, access) = match parts[..] {
        [source] => (source, source, None),
        [source, access] if is_access(access) => (source, source, Some(access)),
        [source, destination] => (source, destination, None),
        [source, destination, access] => (source, destination, Some(access)),
        _ => return Err(Problem::new("too many colons").hint("SRC[:DST[:rwm]], such as /dev/fuse")),
    };
    let below_dev =
        |bytes| target(bytes).ok().filter(|path| path.starts_with("/dev") && path != Path::new("/dev"));
    let (Some(source), Some(target)) = (below_dev(source), below_dev(destination)) else {
        return Err(Problem::new("a device is a file below /dev, on the host and inside")
            .hint("-v shows other files"));
    };
    match access {
        None | Some(b"rwm" | b"rw") => Ok(Device { source, target, node: None }),
        // A read-only mount does not keep anybody from writing to the device behind a node.
        Some(access) if is_access(access) => {
            let why = "husk shows a device whole: its file permissions alone limit reading and writing";
            Err(Problem::new(why).hint("leave the access out"))
        }
        Some(_) => Err(Problem::new("access is made of r, w and m")),
    }
}

fn is_access(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| b"rwm".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, String)> {
        let Device { source, target, .. } = parse(OsStr::new(text)).ok()?;
        Some((source.display().to_string(), target.display().to_string()))
    }

    #[test]
    fn devices() {
        let fuse = || Some(("/dev/fuse".to_owned(), "/dev/fuse".to_owned()));
        for text in ["/dev/fuse", "/dev/fuse:rwm", "/dev/fuse:/dev/fuse", "/dev/fuse:/dev/fuse:rw"] {
            assert_eq!(parsed(text), fuse(), "{text}");
        }
        assert_eq!(parsed("/dev/sda:/dev/disk/a"), Some(("/dev/sda".into(), "/dev/disk/a".into())));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "fuse",
            "/dev",
            "/etc/passwd",
            "/dev/../etc/passwd",
            "/dev/a:/b",
            "/dev/a:/dev",
            "/dev/a:/dev/b:r",
            "/dev/a:w",
            "/dev/a:/dev/b:x",
            "/dev/a:/dev/b:rw:",
            "vendor.com/gpu=all",
            "/dev/a::",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
