// SPDX-License-Identifier: Apache-2.0
//! `--volume` and `--mount`: parts of the host's files, shown in the container.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use husk_spec::{BindIdmap, BindMount, Idmap, Mount, MountFlags, MountOptions, Propagation};
use rustix::mount::MountAttrFlags as Attr;

use super::tmpfs::Tmpfs;
use super::{Problem, absolute};
use crate::caller::Caller;

/// What a volume is unless it says `suid` or `dev`.
const FLAGS: Attr = Attr::MOUNT_ATTR_NOSUID.union(Attr::MOUNT_ATTR_NODEV);

/// Words that Docker and Podman take and that name what husk does anyway, or what Linux has no use for.
const NO_EFFECT: [&str; 6] = ["private", "rprivate", "nocopy", "cached", "delegated", "consistent"];

/// `SRC:DST[:OPTIONS]`. `idmap`: whether files keep their owners unless it says otherwise.
pub(super) fn parse_volume(value: &OsStr, caller: &Caller, idmap: bool) -> Result<Mount, Problem> {
    let parts: Vec<&[u8]> = value.as_bytes().split(|byte| *byte == b':').collect();
    let (source, destination, words) = match parts[..] {
        [source, destination] => (source, destination, ""),
        [source, destination, words] => (
            source,
            destination,
            std::str::from_utf8(words).map_err(|_| Problem::new("options are plain text"))?,
        ),
        [_] => {
            return Err(Problem::new("there is no DST")
                .hint("SRC:DST, such as ./data:/data; --tmpfs DST gives an empty directory in memory"));
        }
        _ => {
            return Err(Problem::new("too many colons")
                .hint("SRC:DST[:OPTIONS]; for paths with colons: --mount type=bind,src=SRC,dst=DST"));
        }
    };
    if source.is_empty() {
        return Err(Problem::new("SRC is empty").hint("a variable that is not set?"));
    }
    if !source.contains(&b'/') && source != b"." && source != b".." {
        let name = String::from_utf8_lossy(source);
        return Err(Problem::new(format!("{name:?} would be a named volume, which husk does not have"))
            .hint(format!("for a directory of that name write ./{name}")));
    }
    let target = target(destination)?;
    let mut options = MountOptions { flags: MountFlags::set(FLAGS), ..MountOptions::default() };
    words.split(',').filter(|word| !word.is_empty()).try_for_each(|word| apply(&mut options, word))?;
    Ok(bind(absolute(Path::new(OsStr::from_bytes(source)), caller), target, &options, idmap))
}

fn bind(source: PathBuf, target: PathBuf, options: &MountOptions, idmap: bool) -> Mount {
    Mount::Bind(BindMount {
        source,
        target,
        recursive: options.recursive.unwrap_or(true),
        idmap: match options.idmap.map_or(idmap, |how| how != Idmap::Off) {
            true => BindIdmap::WherePossible,
            false => BindIdmap::Off,
        },
        flags: MountFlags::NONE,
        recursive_flags: options.flags,
        propagation: vec![(Propagation::Private, true)],
        shared_with_host: false,
    })
}

fn apply(options: &mut MountOptions, word: &str) -> Result<(), Problem> {
    match word {
        _ if NO_EFFECT.contains(&word) => Ok(()),
        "shared" | "rshared" | "slave" | "rslave" | "unbindable" | "runbindable" => Err(Problem::new(
            format!("{word}: the mounts of a container are private, so that none of them reaches the host"),
        )
        .hint("leave the word out")),
        "z" | "Z" => Err(Problem::new(format!("{word}: husk does not relabel files for SELinux"))
            .hint("chcon -t container_file_t does")),
        "U" => Err(Problem::new("U: husk does not change the owners of files")
            .hint("the default, idmap, shows them with the owners that they have")),
        _ => apply_plain(options, word),
    }
}

/// Takes a word of which a volume can have the whole meaning.
fn apply_plain(options: &mut MountOptions, word: &str) -> Result<(), Problem> {
    let hint = "ro rw suid dev noexec noatime nosymfollow bind rbind idmap noidmap";
    let mut changed = options.clone();
    changed.apply_typed(word).map_err(|e| Problem::new(e.to_string()).hint(hint))?;
    if changed.recursive_flags != MountFlags::NONE || changed.idmap == Some(Idmap::Recursive) {
        return Err(Problem::new(format!(
            "{word}: the options of a volume always hold for the mounts below too"
        ))
        .hint(format!("write {}", &word[1..])));
    }
    if !changed.is_plain() {
        return Err(Problem::new(format!("{word} is not for volumes")).hint(hint));
    }
    *options = changed;
    Ok(())
}

/// A place in the container for a mount: absolute, without `.` and doubled slashes.
pub(super) fn target(bytes: &[u8]) -> Result<PathBuf, Problem> {
    let path = Path::new(OsStr::from_bytes(bytes));
    let wrong = |why: &str| Problem::new(format!("{:?}: {why}", path.display().to_string()));
    if path.as_os_str().is_empty() {
        return Err(Problem::new("DST is empty").hint("a variable that is not set?"));
    }
    if !path.is_absolute() {
        return Err(wrong("a place in the container begins with /"));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(wrong("write the place without .."));
    }
    let path: PathBuf = path.components().collect();
    if path == Path::new("/") {
        return Err(wrong("this is the root itself").hint("ROOTFS says what that is"));
    }
    Ok(path)
}

/// `KEY=VALUE,...` with the keys of Docker and Podman.
pub(super) fn parse_mount(value: &OsStr, caller: &Caller, idmap: bool) -> Result<Mount, Problem> {
    let mut kind = None;
    let mut source = None;
    let mut destination = None;
    let mut words: Vec<String> = Vec::new();
    for field in fields(value.as_bytes())? {
        let (key, value) = match field.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&field[..equals], Some(&field[equals + 1..])),
            None => (&field[..], None),
        };
        let key = std::str::from_utf8(key).map_err(|_| Problem::new("keys are plain text"))?;
        let path = || value.map(<[u8]>::to_vec).ok_or_else(|| Problem::new(format!("{key} takes a path")));
        match key {
            "type" => kind = Some(String::from_utf8_lossy(value.unwrap_or_default()).into_owned()),
            "source" | "src" => source = Some(path()?),
            "target" | "dst" | "destination" => destination = Some(path()?),
            _ => {
                let value = value.map(|value| std::str::from_utf8(value)).transpose();
                words.extend(word_of(
                    key,
                    value.map_err(|_| Problem::new(format!("{key}: not plain text")))?,
                )?);
            }
        }
    }
    let destination = destination.ok_or_else(|| {
        Problem::new("there is no dst").hint("type=bind,src=SRC,dst=DST or type=tmpfs,dst=DST")
    })?;
    let target = target(&destination)?;
    match (kind.as_deref(), source) {
        (Some("bind"), Some(source)) if !source.is_empty() => {
            let mut options = MountOptions { flags: MountFlags::set(FLAGS), ..MountOptions::default() };
            words.iter().try_for_each(|word| apply(&mut options, word))?;
            Ok(bind(absolute(Path::new(OsStr::from_bytes(&source)), caller), target, &options, idmap))
        }
        (Some("bind"), _) => Err(Problem::new("there is no src").hint("type=bind,src=SRC,dst=DST")),
        (Some("tmpfs"), None) => {
            let mut tmpfs = Tmpfs::new();
            words.iter().try_for_each(|word| tmpfs.apply(word))?;
            Ok(tmpfs.mount(target))
        }
        (Some("tmpfs"), Some(_)) => Err(Problem::new("a tmpfs has no src, it is new and empty")),
        (None, _) => Err(Problem::new("it does not say which type").hint("type=bind or type=tmpfs")),
        (Some("volume"), _) => {
            Err(Problem::new("husk has no named volumes")
                .hint("type=bind,src=./DIR,dst=DST shows a directory"))
        }
        (Some(kind), _) => {
            Err(Problem::new(format!("type {kind:?} is none of husk's")).hint("type=bind or type=tmpfs"))
        }
    }
}

/// The mount option that a key of `--mount` stands for, if it stands for one.
fn word_of(key: &str, value: Option<&str>) -> Result<Option<String>, Problem> {
    let switch = |on: &str, off: &str| match value {
        None | Some("true" | "1") => Ok(Some(on.to_owned())),
        Some("false" | "0") => Ok(Some(off.to_owned())),
        Some(_) => Err(Problem::new(format!("{key} is true or false"))),
    };
    match (key, value) {
        ("readonly" | "ro", _) => switch("ro", "rw"),
        ("rw", _) => switch("rw", "ro"),
        ("bind-nonrecursive", _) => switch("bind", "rbind"),
        ("bind-recursive", Some("enabled" | "readonly")) => Ok(Some("rbind".to_owned())),
        ("bind-recursive", Some("disabled")) => Ok(Some("bind".to_owned())),
        ("bind-recursive", _) => Err(Problem::new(
            "bind-recursive is enabled or disabled; ro always holds for the mounts below too",
        )),
        ("bind-propagation", Some(word)) => Ok(Some(word.to_owned())),
        ("consistency", _) => Ok(None),
        ("tmpfs-size", Some(size)) => Ok(Some(format!("size={size}"))),
        ("tmpfs-mode", Some(mode)) => Ok(Some(format!("mode={mode}"))),
        ("idmap", _) => switch("idmap", "noidmap"),
        (_, None) => Ok(Some(key.to_owned())),
        (_, Some(value)) => Ok(Some(format!("{key}={value}"))),
    }
}

/// The fields of one line of CSV: a field in double quotes may have commas in it, and quotes doubled.
fn fields(line: &[u8]) -> Result<Vec<Vec<u8>>, Problem> {
    let mut fields = vec![Vec::new()];
    let mut quoted = false;
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let field = fields.last_mut().expect("there is always one");
        match byte {
            b'"' if quoted && bytes.peek() == Some(&b'"') => field.extend(bytes.next()),
            b'"' if quoted || field.is_empty() => quoted = !quoted,
            b',' if !quoted => fields.push(Vec::new()),
            _ => field.push(byte),
        }
    }
    if quoted {
        return Err(Problem::new("a quote is not closed"));
    }
    fields.retain(|field| !field.is_empty());
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::super::tests::caller;
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt;

    fn shown(mount: &Mount) -> String {
        match mount {
            Mount::Bind(BindMount { source, target, recursive, idmap, recursive_flags, .. }) => {
                let words = recursive_flags.words().join(" ");
                let depth = if *recursive { "rbind" } else { "bind" };
                let idmap = if *idmap == BindIdmap::WherePossible { " idmap" } else { "" };
                format!("{} on {}: {depth}{idmap} {words}", source.display(), target.display())
            }
            Mount::Filesystem(mount) => {
                format!(
                    "{} on {}: {:?} {}",
                    mount.kind,
                    mount.target.display(),
                    mount.options,
                    mount.flags.words().join(" ")
                )
            }
            Mount::Cgroup(mount) => format!("cgroup on {}", mount.target.display()),
            Mount::Remount(mount) => format!("remount of {}", mount.target.display()),
        }
    }

    fn volume(text: &str) -> Result<String, String> {
        parse_volume(OsStr::new(text), &caller(), true)
            .map(|mount| shown(&mount))
            .map_err(|problem| problem.why)
    }

    fn mount(text: &str) -> Result<String, String> {
        parse_mount(OsStr::new(text), &caller(), true)
            .map(|mount| shown(&mount))
            .map_err(|problem| problem.why)
    }

    fn ok(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    #[test]
    fn volumes() {
        assert_eq!(volume("/a:/b"), ok("/a on /b: rbind idmap nosuid nodev"));
        assert_eq!(volume("./a:/b:ro"), ok("/home/ann/a on /b: rbind idmap ro nosuid nodev"));
        assert_eq!(volume(".:/b//c/."), ok("/home/ann on /b/c: rbind idmap nosuid nodev"));
        assert_eq!(volume("../a/./b/:/b"), ok("/home/ann/../a/b on /b: rbind idmap nosuid nodev"));
        assert_eq!(volume("/a:/b:suid,dev,noexec,bind,noidmap"), ok("/a on /b: bind noexec"));
        assert_eq!(volume("..:/b"), ok("/home/ann/.. on /b: rbind idmap nosuid nodev"));
        assert_eq!(volume("/a:/b:rprivate,cached,"), ok("/a on /b: rbind idmap nosuid nodev"));
    }

    #[test]
    fn volumes_that_are_none() {
        for text in [
            "",
            "a",
            "/a",
            "a:/b",
            ":/b",
            "/a:",
            "/a:b",
            "/a:/",
            "/a:/b/../c",
            "/a:/b:nope",
            "/a:/b:ro:rw",
            "/a:/b:z",
            "/a:/b:U",
            "/a:/b:shared",
            "/a:/b:rro",
            "/a:/b:ridmap",
            "/a:/b:sync",
            "/a:/b:remount",
            "/a:/b:tmpcopyup",
            "/a:/b:size=1m",
        ] {
            assert!(volume(text).is_err(), "{text}");
        }
        let problem = parse_volume(OsStr::new("data:/b"), &caller(), true).expect_err("a named volume");
        assert_eq!(problem.hint.as_deref(), Some("for a directory of that name write ./data"));
        let problem = volume("/a:/b:rro").expect_err("a recursive word");
        assert!(
            problem.contains("rro: the options of a volume always hold for the mounts below too"),
            "{problem}"
        );
    }

    #[test]
    fn mounts_with_the_keys_of_docker() {
        let bound = ok("/a on /b: rbind idmap nosuid nodev");
        assert_eq!(mount("type=bind,source=/a,target=/b"), bound);
        assert_eq!(mount("dst=/b,src=/a,type=bind,readonly=false,consistency=cached"), bound);
        assert_eq!(
            mount("type=bind,src=/a,destination=/b,bind-propagation=rprivate,bind-recursive=enabled"),
            bound
        );
        assert_eq!(
            mount("type=bind,src=a,dst=/b,ro,bind-nonrecursive"),
            ok("/home/ann/a on /b: bind idmap ro nosuid nodev")
        );
        assert_eq!(mount("type=bind,src=/a,dst=/b,suid,idmap=false"), ok("/a on /b: rbind nodev"));
        assert_eq!(
            mount("type=bind,\"src=/a,\"\"x\"\"\",dst=/b"),
            ok("/a,\"x\" on /b: rbind idmap nosuid nodev")
        );
        assert_eq!(mount("type=bind,src=/a:c,dst=/b"), ok("/a:c on /b: rbind idmap nosuid nodev"));
        assert_eq!(
            mount("type=tmpfs,dst=/b,tmpfs-size=64m,tmpfs-mode=1777"),
            ok("tmpfs on /b: [(\"size\", Some(\"64m\")), (\"mode\", Some(\"1777\"))] nosuid nodev noexec")
        );
    }

    #[test]
    fn mounts_that_are_none() {
        for text in [
            "",
            "type=bind",
            "src=/a,dst=/b",
            "type=bind,dst=/b",
            "type=bind,src=,dst=/b",
            "type=bind,src=/a",
            "type=tmpfs,src=/a,dst=/b",
            "type=volume,src=a,dst=/b",
            "type=image,dst=/b",
            "type=bind,src=/a,dst=b",
            "type=bind,src=/a,dst=/b,ro=perhaps",
            "type=bind,src=/a,dst=/b,bind-propagation=shared",
            "type=bind,src=/a,dst=/b,bind-recursive=writable",
            "type=bind,src=/a,dst=/b,tmpfs-size=1m",
            "type=bind,\"src=/a,dst=/b",
            "type=tmpfs,dst=/b,volume-nocopy",
            "type=bind,src,dst=/b",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = std::ffi::OsString::from_vec(bytes);
            let _ = parse_volume(&text, &caller(), true);
            let _ = parse_mount(&text, &caller(), true);
        }

        #[test]
        fn what_is_shown_is_what_was_typed(source in "(/[a-z.]{1,5}x){1,4}", target in "(/[a-z.]{1,5}x){1,4}") {
            prop_assert_eq!(volume(&format!("{source}:{target}")), Ok(format!("{source} on {target}: rbind idmap nosuid nodev")));
            prop_assert_eq!(mount(&format!("type=bind,src={source},dst={target}")), volume(&format!("{source}:{target}")));
        }

        #[test]
        fn a_place_is_always_below_the_root(text in "[/.a]{1,12}") {
            if let Ok(path) = target(text.as_bytes()) {
                prop_assert!(path.is_absolute() && path.components().count() > 1);
                prop_assert!(path.components().skip(1).all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
