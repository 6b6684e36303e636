// SPDX-License-Identifier: Apache-2.0
//! What husk itself never does, in the shell.

use husk_spec::{Capabilities, IdMapping, MountFlags};

use super::steps::{
    Context, Entry, Piece, Place, below, map_line, no_terminal, text, working_directory, write_maps,
};
use crate::seen::Seen;

pub(super) fn piece(context: &Context<'_>, seen: &Seen<'_>) -> Piece {
    match seen {
        Seen::ForeignMaps { uids, gids } => foreign_maps(context, uids, gids),
        Seen::NoMaps => Piece::new(Place::Unshare, "--map-root-user")
            .weaker("id-map", "the caller is root inside, else nothing could be mounted"),
        Seen::HostName { variable: Some(name) } => {
            Piece::new(Place::Inside, format!("hostname {}", text(name)))
                .weaker("host-name", "the name may have been changed since, or never have been set")
        }
        Seen::HostName { variable: None } => Piece::impossible(
            "host-name",
            "nobody outside can read the name; to see it: nsenter --target PID --uts hostname",
        ),
        Seen::Interface(_) => Piece::impossible(
            "interface",
            "who made the interface, and what it is connected to, does not show: the script's has loopback alone",
        ),
        Seen::LostRoot { why, .. } => Piece {
            place: Place::Inside,
            code: format!(
                "echo {} >&2; exit 125",
                super::quote(format!("the root cannot be made again: {why}").as_bytes())
            ),
            in_full: Some(String::new()),
            ..Piece::impossible("root", *why)
        },
        Seen::InnerBind { source, target, set } => {
            let (source, target) = (below(source), below(target));
            let options = MountFlags::set(*set).options().join(",");
            let mut code = format!("mount --bind {source} {target}");
            if !options.is_empty() {
                code += &format!("\nmount -o remount,bind,{options} {target}");
            }
            Piece::new(Place::Inside, code)
        }
        Seen::LostMount { .. } => {
            Piece::impossible("mount", "there is no path on the host by which to name it")
        }
        Seen::Console => no_terminal(),
        Seen::Files => Piece::impossible(
            "files",
            "what is in the new file systems does not show, and is missing in the script's",
        ),
        Seen::Parameters => {
            Piece::impossible("kernel-parameters", "they do not show, and the script sets none")
        }
        Seen::Attributes { target, set, clear } => {
            let options = MountFlags { set: *set, clear: *clear }.options().join(",");
            Piece::new(Place::Inside, format!("mount -o remount,bind,{options} {}", below(target)))
        }
        Seen::ChangeRoot { path } => match context.entry {
            Entry::Mount(_) => Piece::impossible(
                "root",
                "the last program of the host's enters the mount namespace, no more",
            ),
            _ => Piece::done("the last program before the command does it")
                .in_full(format!("chroot {} …", text(path))),
        },
        Seen::Directory(path) => working_directory(context, path),
        Seen::Capabilities { inheritable, ambient, .. } => {
            let of = |set: &Capabilities| {
                let name = |c: husk_spec::Capability| {
                    format!(",+{}", c.name().to_ascii_lowercase().trim_start_matches("cap_"))
                };
                format!("-all{}", set.iter().map(name).collect::<String>())
            };
            let options = format!("--inh-caps={} --ambient-caps={}", of(inheritable), of(ambient));
            Piece::new(Place::Setpriv, options).weaker(
                "capabilities",
                "what is permitted and effective then follows from the user and the program",
            )
        }
        Seen::SeccompStrict | Seen::SeccompFilters { .. } => Piece::impossible(
            "seccomp",
            "the kernel does not show the rules, and the shell has no means to set any",
        ),
        Seen::Label(label) => Piece::impossible("label", "a script keeps the label of its caller")
            .in_full(format!("aa-exec -p {} …, or runcon", text(label))),
        Seen::Cgroup { directories, .. } => {
            let files = directories.iter().map(|directory| [directory.to_bytes(), b"/cgroup.procs"].concat());
            let files: Vec<String> = files.map(|file| super::quote(&file)).collect();
            let line = match files.as_slice() {
                [] => String::new(),
                [one] => format!("echo $$ >{one}"),
                several => format!("echo $$ | tee {}", several.join(" ")),
            };
            Piece::done("")
                .weaker(
                    "cgroup",
                    "the script stays in its caller's cgroup: this one, and its limits, are somebody else's",
                )
                .in_full(line)
        }
        Seen::OomScore(score) => Piece::new(Place::Inside, format!("echo {score} >/proc/self/oom_score_adj")),
    }
}

/// The programs of the host's mount for root alone, so there has to be a root inside; and only the caller's own ids, or all of
/// root's, can be mapped without taking somebody else's.
fn foreign_maps(context: &Context<'_>, uids: &[IdMapping], gids: &[IdMapping]) -> Piece {
    if context.maps_root_alone() {
        return Piece::new(Place::Unshare, "--map-root-user").weaker("id-map", "the caller is root inside");
    }
    let same = |map: &[IdMapping]| {
        let lines = map.iter().map(|m| map_line(&IdMapping { outside: m.inside, ..*m }));
        lines.collect::<Vec<_>>().join(r"\n")
    };
    Piece::new(Place::Maps, write_maps(&same(uids), &same(gids), false))
        .weaker("id-map", "the ids inside are mapped to the same ids outside")
}
