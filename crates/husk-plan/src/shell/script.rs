// SPDX-License-Identifier: Apache-2.0
//! A whole plan as one bash script: the container by hand.
//!
//! Its parts are those of husk. Outside, on the host: what is prepared, the namespaces and the id maps. Inside, as the
//! container's first process: the mounts and everything else. What husk does by one process with descriptors takes three
//! here, because a program of the host's cannot be executed any more once the root has changed: the first process gives up
//! its rights while it can still execute setpriv, and one beside it, which has them, changes the root for both.

use std::fmt::{self, Write as _};

use husk_init::{Exec, Step};

use super::cgroup;
use super::quote::quote_all;
use super::steps::{Context, EMPTY, Entry, Piece, Place, environment, pieces};
use crate::explain;
use crate::plan::{Action, Actor, Plan, PlannedStep, ReadBack, Stage};
use crate::seen::Seen;

/// A plan as a bash script for Debian 12 and later.
#[derive(Clone, Copy, Debug)]
pub struct Script<'p> {
    /// The plan.
    pub plan: &'p Plan<'p>,
    /// The user id that the plan was made for.
    pub uid: u32,
}

/// The widest that a comment may be.
const WIDTH: usize = 110;

/// Programs that a system may lack.
const TOOLS: [&str; 13] = [
    "systemd-run",
    "unshare",
    "nsenter",
    "mount",
    "umount",
    "pivot_root",
    "setpriv",
    "prlimit",
    "setsid",
    "findmnt",
    "hostname",
    "ip",
    "busctl",
];

const HELPERS: [(&str, &str); 4] = [
    (
        "place",
        "\
# Makes TARGET, a place to mount SOURCE on: a directory on a directory, else a file.
place() {
    if [ -d \"$1\" ]; then mkdir \"$2\"; else : >\"$2\"; fi
}
",
    ),
    (
        "mask",
        "\
# Hides what is at TARGET, if anything is.
mask() {
    if [ -d \"$1\" ]; then EMPTY \"$1\"; mount -o remount,bind,ro \"$1\"
    elif [ -e \"$1\" ]; then mount --bind /dev/null \"$1\"; mount -o remount,bind,ro,nosuid,noexec \"$1\"; fi
}
",
    ),
    (
        "read_only",
        "\
# Makes what is at TARGET, if anything is, and all below it read-only.
read_only() {
    if [ -e \"$1\" ]; then mount --rbind \"$1\" \"$1\"; attributes ro \"$1\"; fi
}
",
    ),
    (
        "attributes",
        "\
# Gives OPTIONS to the mount at TARGET and to each below it, one by one: doing it at once needs util-linux 2.39.
attributes() {
    findmnt -nrRo TARGET \"$2\" | while IFS= read -r target; do
        mount -o \"remount,bind,$1\" \"$(printf %b \"$target\")\"
    done
}
",
    ),
];

impl fmt::Display for Script<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.steps.is_empty() {
            return writeln!(f, "#!/bin/bash\n# {}", explain::nothing(self.plan));
        }
        let script = Parts::of(self.plan);
        let functions = script.functions();
        f.write_str(&script.head(self, &functions))?;
        f.write_str(&functions)?;
        writeln!(f, "{}", script.call())
    }
}

/// The lines of each part, with the comments of the steps that they carry out.
struct Parts<'a> {
    context: Context<'a>,
    exec: Option<Exec<'a>>,
    groups: Vec<u32>,
    pieces: Vec<Piece>,
    cgroup: String,
    /// The lines by which its cgroups are entered.
    entering: Vec<String>,
    /// The lines with which the first process in its scope begins.
    in_scope: String,
    outside: String,
    start: String,
    maps: String,
    inside: String,
    chain: String,
    roots: String,
    descriptors: String,
    finish: String,
    directory: Option<String>,
}

impl<'a> Parts<'a> {
    fn of(plan: &Plan<'a>) -> Self {
        let mut parts = Self {
            context: Context::of(plan),
            exec: None,
            groups: Vec::new(),
            pieces: pieces(plan),
            cgroup: String::new(),
            entering: cgroup::entering(plan),
            in_scope: cgroup::in_scope(plan),
            outside: String::new(),
            start: String::new(),
            maps: String::new(),
            inside: String::new(),
            chain: String::new(),
            roots: String::new(),
            descriptors: String::new(),
            finish: String::new(),
            directory: None,
        };
        for (number, step) in plan.steps.iter().enumerate() {
            match step.action {
                Action::Child(Step::Exec(exec)) => parts.exec = Some(exec),
                Action::Child(Step::Groups(groups)) => parts.groups = groups.to_vec(),
                Action::Child(Step::WorkingDirectory(path)) | Action::Seen(Seen::Directory(path)) => {
                    parts.directory = Some(super::quote(path.to_bytes()));
                }
                _ => {}
            }
            parts.take(number, step);
        }
        parts
    }

    fn take(&mut self, number: usize, step: &PlannedStep<'_>) {
        let piece = self.pieces[number].clone();
        let is_exec = matches!(step.action, Action::Child(Step::Exec(_)));
        let comment = step_comment(number, step, &piece);
        let part = self.part(piece.place, step);
        part.push_str(&comment);
        let is_line = matches!(
            piece.place,
            Place::Cgroup | Place::Outside | Place::Maps | Place::Inside | Place::Descriptors | Place::Finish
        );
        if is_line && !is_exec {
            piece.code.lines().for_each(|line| {
                let _ = writeln!(part, "    {line}");
            });
        }
    }

    /// The part in which a step is told of.
    fn part(&mut self, place: Place, step: &PlannedStep<'_>) -> &mut String {
        match (place, step.actor(), step.stage) {
            (Place::Cgroup, _, _) => &mut self.cgroup,
            (Place::Outside, _, _) => &mut self.outside,
            (Place::Maps, _, _) => &mut self.maps,
            (Place::Inside, _, _) => &mut self.inside,
            (Place::Roots | Place::NewRoot, _, _) => &mut self.roots,
            (Place::Descriptors, _, _) => &mut self.descriptors,
            (Place::Finish, _, _) | (Place::Nowhere, _, Stage::Exec) => &mut self.finish,
            (Place::Scope | Place::Nsenter | Place::Unshare, _, _) | (Place::Nowhere, Actor::Husk, _) => {
                &mut self.start
            }
            (Place::Nowhere, Actor::Container, stage) if stage <= Stage::Mounts => &mut self.inside,
            _ => &mut self.chain,
        }
    }

    /// The options that steps have given to one program.
    fn options(&self, place: Place) -> String {
        let of = self.pieces.iter().filter(|piece| piece.place == place && !piece.code.is_empty());
        let codes = of.fold(Vec::new(), |mut codes: Vec<&str>, piece| {
            // What is set twice on the way is the same to the program that sets it, which takes it once.
            if !codes.contains(&piece.code.as_str()) {
                codes.push(&piece.code);
            }
            codes
        });
        codes.iter().map(|code| format!(" {code}")).collect()
    }

    fn head(&self, script: &Script<'_>, functions: &str) -> String {
        let mut text = "#!/bin/bash\n".to_owned();
        let name = &script.plan.name;
        let title = match &script.plan.read_back {
            None => format!("The container {name} by hand: what `husk run` would do, in the shell."),
            Some(ReadBack { pid, .. }) => format!(
                "What process {pid} sees ({name}), by hand: made again in the shell from what the kernel shows of it."
            ),
        };
        text += &comment("", &title);
        text += "#\n";
        text += &comment(
            "",
            "Each step of the plan stands here with its number, what it does and where it comes from. `=` means that \
             the shell does the same, `≈` something weaker or different, `–` that it has no means for it. The numbers are \
             the order of the plan; the shell has to go about some of the steps in another order. All that differs:",
        );
        text += "#\n";
        text += &self.differences();
        let uid = script.uid;
        let _ = writeln!(
            text,
            "\nset -eu\nexport PATH=\"$PATH:/usr/sbin:/sbin\"\n\
             if [ \"$(id -u)\" != {uid} ]; then echo 'this script was made for user {uid}' >&2; exit 125; fi\n\
             for tool in {}; do\n    \
             command -v \"$tool\" >/dev/null || {{ echo \"$tool is not installed\" >&2; exit 125; }}\ndone\n",
            tools(&(functions.to_owned() + &self.call()))
        );
        text += "# A place to mount on. Only the empty directory is the host's; what is mounted there goes with the container.\n";
        text += "work=$(mktemp -d)\n";
        text += if self.entering.is_empty() { "trap 'rmdir \"$work\"' EXIT\n" } else { CLEAN_UP };
        text += "chmod 711 \"$work\"\nexport work root=\"$work/root\"\n\n";
        text
    }

    /// The declarations, which a program may read: `# differs: KEY: words`.
    fn differences(&self) -> String {
        let mut said: Vec<(&str, &str)> = Vec::new();
        for piece in &self.pieces {
            let Some(key) = piece.differs else { continue };
            if !said.contains(&(key, &piece.remark)) {
                said.push((key, &piece.remark));
            }
        }
        said.iter().map(|(key, words)| format!("# differs: {key}: {}\n", printable(words))).collect()
    }

    fn functions(&self) -> String {
        let mut text = String::new();
        if !self.in_scope.is_empty() {
            text += "# ---- outside: the first process in the scope\n";
            let lines = |code: &str| code.lines().map(|line| format!("    {line}\n")).collect::<String>();
            let (first, call) = (lines(&self.in_scope), lines(&self.call_of_container()));
            let _ = writeln!(text, "in_scope() {{\n    set -eu\n{first}{}{call}}}\n", self.cgroup);
        } else if !self.cgroup.is_empty() {
            text += "# ---- outside: the cgroup, by a process that is not in it\n";
            let _ = writeln!(text, "limit() {{\n{}}}\n", self.cgroup);
        }
        if !self.outside.is_empty() {
            text += "# ---- outside: in a mount namespace that only keeps what is prepared out of the host's sight\n";
            let _ =
                writeln!(text, "outside() {{\n    set -eu\n{}{}    start\n}}\n", self.layout(), self.outside);
        }
        text += "# ---- outside: the namespaces\n";
        let _ = writeln!(text, "start() {{\n{}{}}}\n", self.start, self.start_command());
        if self.has_helper() {
            text += &self.beside();
        }
        if self.context.maps_by_hand() {
            text += BEGIN;
        }
        text += "# ---- inside: the container's first process\n";
        let _ = writeln!(text, "inside() {{\n    set -eu\n{}}}\n", self.inside_body());
        if self.context.entry == Entry::Pivot {
            text += &self.change_roots();
        }
        text += "# ---- inside: the first process again, with no more rights than the command has\n";
        let _ = writeln!(text, "finish() {{\n    set -eu\n{}}}\n", self.finish_body());
        text += &helpers(&text);
        text
    }

    /// Directories to mount on.
    fn layout(&self) -> &'static str {
        match self.context.entry {
            Entry::Mount(_) => "",
            Entry::Stay if self.outside.is_empty() => "",
            Entry::Chroot if self.context.root.is_some() && self.outside.is_empty() => "",
            _ => {
                "    mount -t tmpfs -o mode=755 husk \"$work\"\n    mkdir \"$root\" \"$work\"/scratch \"$work\"/host\n"
            }
        }
    }

    /// Whether something is to be done from outside, beside the container.
    fn has_helper(&self) -> bool {
        self.context.maps_by_hand() || self.context.entry == Entry::Pivot
    }

    fn beside(&self) -> String {
        let mut text =
            "# ---- outside: beside the container, what its first process may not do itself\n".to_owned();
        let _ = write!(text, "beside() {{\n    set -eu\n    read -r pid\n{}", self.maps);
        if self.context.entry == Entry::Pivot {
            let user = match (self.context.maps.is_some(), self.context.joins_user) {
                (false, true) if self.context.sets_groups => " --user",
                (false, false) => "",
                _ => " --user --preserve-credentials",
            };
            let _ = write!(
                text,
                "    read -r _\n    exec nsenter --target \"$pid\"{user} --mount \\\n        \
                 bash -c \"$(declare -f change_roots); change_roots\"\n"
            );
        }
        text + "}\n\n"
    }

    fn start_command(&self) -> String {
        let mut text = String::new();
        if self.has_helper() {
            text += "    coproc beside { beside; }\n";
            text += "    exec 3<\"/dev/fd/${beside[0]}\" 4>\"/dev/fd/${beside[1]}\"\n";
        }
        text += "    setpriv --pdeathsig KILL";
        let nsenter = self.options(Place::Nsenter);
        if !nsenter.is_empty() {
            let _ = write!(text, " nsenter{nsenter} \\\n       ");
        }
        let first = if self.context.maps_by_hand() { "begin" } else { "inside" };
        let mut unshare = self.options(Place::Unshare);
        // A new pid namespace begins with a child. A plan of husk's has a step for it.
        if !unshare.contains("--kill-child") {
            unshare += " --kill-child";
        }
        let _ = writeln!(text, " unshare{unshare} \\\n        bash -c \"$(declare -f); {first}\"");
        text
    }

    fn inside_body(&self) -> String {
        let mut text = String::new();
        if self.outside.is_empty() {
            text += self.layout();
        }
        if self.has_helper() && !self.context.maps_by_hand() {
            text += SAY_WHO;
        }
        if self.context.entry == Entry::Pivot {
            text += "    # The host's programs, for when the root has changed.\n    mount --rbind / \"$work\"/host\n";
        }
        text += &self.inside;
        if self.context.entry == Entry::Pivot {
            text += "\n    echo >&4\n    read -r _ <&3\n";
        }
        text += &self.chain;
        let odd = self.exec.map_or(Vec::new(), |exec| environment(&exec).1);
        let odd: String = odd.iter().map(|variable| format!(" {variable}")).collect();
        let [setsid, env, prlimit, setpriv] =
            [Place::Setsid, Place::Env, Place::Prlimit, Place::Setpriv].map(|place| self.options(place));
        let _ = writeln!(text, "    exec{setsid} env -i{env} PATH=\"$PATH\"{odd} \\");
        if !prlimit.is_empty() {
            let _ = writeln!(text, "        prlimit{prlimit} \\");
        }
        let keep =
            if setpriv.contains("-groups") || !setpriv.contains("id=") { "" } else { " --keep-groups" };
        let _ = writeln!(text, "        setpriv{setpriv}{keep} \\");
        let root = self.context.root_word();
        let _ = writeln!(text, "        bash -c \"$(declare -f finish); finish \\\"\\$@\\\"\" bash {root}");
        text
    }

    fn change_roots(&self) -> String {
        let is_planned = |code: &str| self.pieces.iter().any(|piece| piece.code == code);
        debug_assert!(is_planned("pivot_root . .") && is_planned("umount -i -c -l ."));
        let new_root = self.pieces.iter().filter(|piece| piece.place == Place::NewRoot);
        let new_root: String = new_root.map(|piece| format!(" && {}", piece.code)).collect();
        format!(
            "# ---- beside the container, in its mount namespace and with all rights. pivot_root changes the root of every\n\
             # process that has the host's, also its own; so the host's is unmounted by one whose root is a copy of it.\n\
             change_roots() {{\n    set -eu\n{}    \
             {{ read -r _; cd \"$root\"; pivot_root . .; echo; }} |\n        \
             nsenter --root=\"$work/host\" --wd=\"$root\" \\\n            \
             sh -c 'echo ready; read -r _ && umount -i -c -l .{new_root} && echo done'\n}}\n\n",
            self.roots
        )
    }

    fn finish_body(&self) -> String {
        let mut text = self.descriptors.clone();
        if self.context.entry == Entry::Pivot {
            text += "    cd /\n    echo >&4\n    read -r _ <&3\n";
        }
        text += "    exec 3<&- 4>&-\n";
        text += &self.finish;
        let (variables, _) = self.exec.map_or_else(Default::default, |exec| environment(&exec));
        let last = self.last_program();
        if !last.is_empty() {
            text += "    last=$(command -v ";
            text += if self.context.entry == Entry::Chroot { "chroot)\n" } else { "nsenter)\n" };
        }
        text += "    # SHLVL as an array: bash sets it again on exec, but exports no arrays.\n";
        text += "    unset PWD OLDPWD SHLVL _\n    declare -ga SHLVL\n";
        if !variables.iter().any(|variable| variable.starts_with("PATH=")) {
            text += "    export -n PATH\n";
        }
        text += "    # Without its complaints: a locale may be unknown in the container.\n    {\n";
        variables.iter().for_each(|variable| {
            let _ = writeln!(text, "        export {variable}");
        });
        text += "    } 2>/dev/null\n";
        let words = self
            .exec
            .map_or(String::new(), |exec| quote_all(exec.arguments.iter().map(std::ffi::CStr::to_bytes)));
        let command = format!("exec -- {last}{words}");
        let _ = match self.context.init {
            true => writeln!(text, "    ({command}) || exit\n    exit 0"),
            false => writeln!(text, "    {command}"),
        };
        text
    }

    /// The last program of the host's, where that is not bash.
    fn last_program(&self) -> String {
        let ids = Some(self.context.ids).filter(|(uid, _)| *uid != 0);
        match self.context.entry {
            Entry::Pivot | Entry::Stay => String::new(),
            Entry::Chroot => {
                let groups: Vec<_> = self.groups.iter().map(ToString::to_string).collect();
                let who = ids.map_or(String::new(), |(uid, gid)| {
                    format!(" --userspec={uid}:{gid} --groups={}", groups.join(","))
                });
                format!("\"$last\"{who} \"$1\" ")
            }
            Entry::Mount(path) => {
                let who = ids.map_or(String::new(), |(uid, gid)| format!(" --setuid={uid} --setgid={gid}"));
                let directory = self.directory.as_deref().unwrap_or("/");
                format!("\"$last\" --mount={} --wdns={directory}{who} ", super::quote(path.to_bytes()))
            }
        }
    }

    /// The call that sets it all off.
    fn call(&self) -> String {
        if !self.in_scope.is_empty() {
            let options = self.options(Place::Scope);
            return format!(
                "setpriv --pdeathsig KILL systemd-run{options} -- \\\n    bash -c \"$(declare -f); in_scope\""
            );
        }
        if self.entering.is_empty() {
            return self.call_of_container();
        }
        format!("limit\n( {}\n  {} )", self.entering.join("\n  "), self.call_of_container())
    }

    fn call_of_container(&self) -> String {
        if self.outside.is_empty() {
            return "start".to_owned();
        }
        // What is to be the host's slave inside must not have been cut off here.
        let is_slave = self.options(Place::Unshare).contains("--propagation slave");
        let propagation = if is_slave { "slave" } else { "private" };
        format!(
            "setpriv --pdeathsig KILL unshare --mount --propagation {propagation} bash -c \"$(declare -f); outside\""
        )
    }
}

/// The number of the first process is the host's, since the /proc in sight is.
const SAY_WHO: &str = "    read -r pid _ </proc/self/stat\n    echo \"$pid\" >&4\n";

/// husk, too, asks for a while.
const CLEAN_UP: &str = "\
# Cgroups, which go with the script: the kernel lets go of them a moment after their last process has ended.
cgroups=()
clean_up() {
    rmdir \"$work\"
    for made in \"${cgroups[@]}\"; do
        for try in {1..100}; do if rmdir \"$made\" 2>/dev/null; then continue 2; fi; sleep 0.1; done
        rmdir \"$made\"
    done
}
trap clean_up EXIT
";

const BEGIN: &str = "\
# ---- inside: the first process, as long as no id is mapped and it is nobody. Executed again as root, bash has all
# capabilities in the new user namespace.
begin() {
    set -eu
    read -r pid _ </proc/self/stat
    echo \"$pid\" >&4
    read -r _ <&3
    exec bash -c \"$(declare -f); inside\"
}

";

fn helpers(text: &str) -> String {
    let mut needed = text.to_owned();
    for (name, body) in HELPERS {
        if calls(&needed, name) {
            needed += &format!("{}\n", body.replace("EMPTY", EMPTY));
        }
    }
    needed.split_off(text.len())
}

/// Whether a line of `text` starts with the word `name`, or has it after `; `.
fn calls(text: &str, name: &str) -> bool {
    let word = format!("{name} ");
    text.lines().any(|line| line.trim_start().starts_with(&word) || line.contains(&format!("; {word}")))
}

/// Those of the tools that a script uses.
fn tools(functions: &str) -> String {
    let code = functions.lines().filter(|line| !line.trim_start().starts_with('#'));
    let code: Vec<&str> = code.flat_map(|line| line.split([' ', ';', '(', '|'])).collect();
    TOOLS.into_iter().filter(|tool| code.contains(tool)).collect::<Vec<_>>().join(" ")
}

fn step_comment(number: usize, step: &PlannedStep<'_>, piece: &Piece) -> String {
    let remark = if piece.remark.is_empty() { String::new() } else { format!(": {}", piece.remark) };
    let sign = piece.grade.sign();
    let sentence = shortened(&explain::describe(step));
    let shown = format!("{} {sign} {sentence} [{}]{remark}", number + 1, step.origin);
    comment("    ", &shown)
}

/// The beginning of a sentence, which stands there for a person: a command may be as long as it likes.
fn shortened(sentence: &str) -> String {
    match sentence.char_indices().nth(300) {
        Some((end, _)) => format!("{} …", &sentence[..end]),
        None => sentence.to_owned(),
    }
}

/// `text` as a comment, broken at spaces. Whatever could end a comment is made visible: what a person gave may hold a line
/// break, and what follows that would be executed.
fn comment(indent: &str, text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in printable(text).split(' ') {
        if !line.is_empty() && indent.len() + line.chars().count() + word.chars().count() > WIDTH {
            let _ = writeln!(lines, "{indent}# {line}");
            line = "   ".to_owned();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    let _ = writeln!(lines, "{indent}# {line}");
    lines
}

/// `text` with its control characters made visible.
fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(visible).collect()
}
