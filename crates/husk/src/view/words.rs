// SPDX-License-Identifier: Apache-2.0
//! Facts in words.

use husk_see::{Container, IdMap, Kind, Limit, Machine, Root, Seen, Text};

/// What stands where something cannot be known.
pub(crate) const UNKNOWN: &str = "?";

/// What to call a container: its name, or the id of its first process.
pub(crate) fn name(container: &Container) -> String {
    container.name.as_ref().map_or_else(|| container.id.to_string(), Text::to_string)
}

/// A command line as one would read it, not as one would type it: words with blanks are not quoted.
pub(crate) fn command(machine: &Machine, pid: u32) -> String {
    machine.process(pid).map_or_else(String::new, |process| match process.command.as_slice() {
        [] if process.is_kernel => format!("[{}]", process.name),
        [] => process.name.to_string(),
        words => line(words),
    })
}

/// Words in a line.
pub(crate) fn line(words: &[Text]) -> String {
    words.iter().map(Text::to_string).collect::<Vec<_>>().join(" ")
}

/// The namespaces that are not the host's: `mnt pid uts`, `all but time`, `mnt, net of web`.
pub(crate) fn namespaces(machine: &Machine, container: &Container) -> String {
    let seen = || Kind::ALL.into_iter().zip(&container.whose);
    let names = |wanted: &Seen| -> Vec<&str> {
        seen().filter(|(_, seen)| *seen == wanted).map(|(kind, _)| kind.name()).collect()
    };
    if seen().all(|(_, seen)| *seen == Seen::Unknown) {
        return UNKNOWN.to_owned();
    }
    let (own, others) = (names(&Seen::Own), names(&Seen::Host));
    let own = match (own.as_slice(), others.as_slice()) {
        (own, []) if own.len() == Kind::ALL.len() => "all".to_owned(),
        (own, [other]) if own.len() == Kind::ALL.len() - 1 => format!("all but {other}"),
        (own, _) => own.join(" "),
    };
    let shared = seen().filter_map(|(kind, seen)| match seen {
        Seen::Shared(with) => Some(format!("{kind} of {}", with_whom(machine, with))),
        _ => None,
    });
    std::iter::once(own).filter(|own| !own.is_empty()).chain(shared).collect::<Vec<_>>().join(", ")
}

/// Those that a namespace is shared with.
pub(crate) fn with_whom(machine: &Machine, with: &[usize]) -> String {
    match with {
        [] => UNKNOWN.to_owned(),
        [one] => name(&machine.containers[*one]),
        [one, others @ ..] => format!("{} and {} more", name(&machine.containers[*one]), others.len()),
    }
}

/// A root file system in a few words.
pub(crate) fn root(root: Option<&Root>) -> String {
    let Some(root) = root else { return UNKNOWN.to_owned() };
    if root.is_host {
        return "the host's".to_owned();
    }
    let place = match (&root.on_host, root.layers.as_slice()) {
        (_, [_, lower]) if lower.bytes().starts_with(b"/") => format!("overlay on {lower}"),
        (_, layers @ [_, ..]) => format!("overlay of {} layers", layers.len()),
        (Some(path), _) => path.to_string(),
        (None, _) => elsewhere(root),
    };
    if root.is_chroot() { format!("{place} (chroot)") } else { place }
}

/// A file system that the host has nowhere.
fn elsewhere(root: &Root) -> String {
    let Root { fs_type, source, directory, .. } = root;
    let mut words = vec![fs_type.to_string()];
    words.extend((!source.is_empty() && source != fs_type && !source.is("none")).then(|| source.to_string()));
    words.extend((!directory.is("/")).then(|| directory.to_string()));
    words.join(" ")
}

/// Who is who, in a few words: `root = 100000, 65536 ids`.
pub(crate) fn users(map: Option<&IdMap>) -> String {
    let Some(map) = map else { return String::new() };
    let count: u64 = map.0.iter().map(|range| u64::from(range.count)).sum();
    let first = match (map.outside(0), map.0.first()) {
        _ if map.is_identity() => return "every id is itself".to_owned(),
        (Some(outside), _) => format!("root = {outside}"),
        (None, Some(range)) => format!("{} = {}", range.inside, range.outside),
        (None, None) => return "none mapped".to_owned(),
    };
    if count == 1 { first } else { format!("{first}, {count} ids") }
}

/// Every range of a map.
pub(crate) fn ranges(map: Option<&IdMap>) -> String {
    let Some(map) = map else { return UNKNOWN.to_owned() };
    if map.is_identity() {
        return "every id is itself".to_owned();
    }
    let range = |range: &husk_see::IdRange| match range.count {
        1 => format!("{} inside is {} outside", range.inside, range.outside),
        count => {
            let last = |first: u32| u64::from(first) + u64::from(count) - 1;
            let husk_see::IdRange { inside, outside, .. } = *range;
            format!("{inside}-{} inside are {outside}-{} outside", last(inside), last(outside))
        }
    };
    match map.0.as_slice() {
        [] => "none is mapped".to_owned(),
        all => all.iter().filter(|one| one.count > 0).map(range).collect::<Vec<_>>().join("; "),
    }
}

/// How an idmapped mount shows the owners of its files, behind other words; nothing if that is not known.
pub(crate) fn owners(uids: Option<&IdMap>, gids: Option<&IdMap>) -> String {
    let range = |range: &husk_see::IdRange| {
        let husk_see::IdRange { inside, outside, count } = *range;
        let ids = |first: u32| match count {
            1 => first.to_string(),
            _ => format!("{first}-{}", u64::from(first) + u64::from(count) - 1),
        };
        format!("{} as {}", ids(inside), ids(outside))
    };
    let ranges = |map: &IdMap| map.0.iter().map(range).collect::<Vec<_>>().join(" and ");
    match (uids, gids) {
        (Some(uids), Some(gids)) if uids == gids => format!(", owners {}", ranges(uids)),
        _ => {
            let of = |who: &str, map: Option<&IdMap>| {
                map.map_or_else(String::new, |map| format!(", {who} {}", ranges(map)))
            };
            of("users", uids) + &of("groups", gids)
        }
    }
}

/// A limit with its unit.
pub(crate) fn limit(limit: Limit, unit: impl Fn(u64) -> String) -> String {
    match limit {
        Limit::Unknown => UNKNOWN.to_owned(),
        Limit::None => "no limit".to_owned(),
        Limit::At(number) => unit(number),
    }
}

/// Bytes in the largest unit that they are a whole number of.
pub(crate) fn bytes(number: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| number > 0 && number.trailing_zeros() >= *shift);
    unit.map_or_else(|| format!("{number} bytes"), |(shift, name)| format!("{} {name}", number >> shift))
}

/// Thousandths of a CPU.
pub(crate) fn cpus(thousandths: u64) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    format!("{} CPU", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A fact that may not be known.
pub(crate) fn known(fact: Option<impl ToString>) -> String {
    fact.map_or_else(|| UNKNOWN.to_owned(), |fact| fact.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk_see::IdRange;

    #[test]
    fn sizes_and_shares() {
        assert_eq!((bytes(64 << 20), bytes(1 << 30)), ("64 MiB".into(), "1 GiB".into()));
        assert_eq!((bytes(1000), bytes(0)), ("1000 bytes".into(), "0 bytes".into()));
        assert_eq!((cpus(1500), cpus(2000), cpus(50)), ("1.5 CPU".into(), "2 CPU".into(), "0.05 CPU".into()));
    }

    #[test]
    fn maps_in_words() {
        let map = |ranges: &[(u32, u32, u32)]| {
            let range = |(inside, outside, count): &(u32, u32, u32)| IdRange {
                inside: *inside,
                outside: *outside,
                count: *count,
            };
            IdMap(ranges.iter().map(range).collect())
        };
        assert_eq!(users(Some(&map(&[(0, 1000, 1), (1, 100_000, 65_535)]))), "root = 1000, 65536 ids");
        assert_eq!(users(Some(&map(&[(1000, 1000, 1)]))), "1000 = 1000");
        assert_eq!((users(None), users(Some(&map(&[])))), (String::new(), "none mapped".into()));
        let both = ranges(Some(&map(&[(0, 1000, 1), (1, 100_000, 9)])));
        assert_eq!(both, "0 inside is 1000 outside; 1-9 inside are 100000-100008 outside");
        let (own, many) = (map(&[(0, 1000, 1)]), map(&[(0, 5, 1), (1, 100_000, 9)]));
        assert_eq!(owners(Some(&many), Some(&many)), ", owners 0 as 5 and 1-9 as 100000-100008");
        assert_eq!(
            owners(Some(&many), Some(&own)),
            ", users 0 as 5 and 1-9 as 100000-100008, groups 0 as 1000"
        );
        assert_eq!(owners(None, None), "");
    }

    #[test]
    fn roots_in_words() {
        let overlay = |layers: &[&str]| Root {
            path: Some("/".into()),
            fs_type: "overlay".into(),
            layers: layers.iter().map(|layer| (*layer).into()).collect(),
            ..Root::default()
        };
        assert_eq!(root(Some(&overlay(&["/upper", "/lower"]))), "overlay on /lower");
        assert_eq!(root(Some(&overlay(&["/u", "/a", "/b"]))), "overlay of 3 layers");
        assert_eq!(root(Some(&overlay(&["upper", "lower"]))), "overlay of 2 layers");
        assert_eq!(root(None), "?");
        let chroot = Root { path: Some("/box".into()), on_host: Some("/box".into()), ..Root::default() };
        assert_eq!(root(Some(&chroot)), "/box (chroot)");
        let disk = Root {
            path: Some("/".into()),
            fs_type: "ext4".into(),
            source: "/dev/sdb1".into(),
            directory: "/x\n".into(),
            ..Root::default()
        };
        assert_eq!(root(Some(&disk)), "ext4 /dev/sdb1 /x\\n");
    }

    /// husk-see may not depend on husk-spec, so each has a table; this is where both can be seen.
    #[test]
    fn what_is_seen_and_what_is_asked_have_the_same_names() {
        let asked: Vec<String> = husk_spec::Capability::all().map(|one| format!("{one:?}")).collect();
        assert_eq!(husk_see::CapabilitySet::ALL.names(), asked);
    }
}
