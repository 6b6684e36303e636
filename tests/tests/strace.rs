// SPDX-License-Identifier: Apache-2.0
//! The system calls that a plan foretells are those that strace(1) sees, in both processes.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use husk_tests::{Caller, Place, is_root, skip};
use serde_json::{Value, json};

/// What a plan foretells of one step.
struct Step {
    actor: String,
    does: String,
    calls: Vec<String>,
}

impl Step {
    /// Whether calls of it may be missing: those that make what is there already, or hide what is not there.
    fn is_conditional(&self) -> bool {
        let conditional = ["make the directory", "make the file", "hide ", "link ", "set the supplementary"];
        let is_readonly = self.does.starts_with("make /") && self.does.ends_with("read-only");
        conditional.iter().any(|start| self.does.starts_with(start)) || is_readonly
    }
}

fn foretold(caller: &Caller<'_>, words: &[String]) -> Vec<Step> {
    let output = caller.husk(["explain", "run", "--format", "json"]).args(words).run();
    let json: Value = serde_json::from_str(&output.succeeds().stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let calls = |value: &Value| value.as_array().expect("a list").iter().map(text).collect();
    let step = |step: &Value| Step {
        actor: text(&step["actor"]),
        does: text(&step["does"]),
        calls: calls(&step["calls"]),
    };
    json["steps"].as_array().expect("steps").iter().map(step).collect()
}

/// The calls of husk and of the container's first process up to its command, without their results.
fn seen(place: &Place, caller: &Caller<'_>, words: &[String]) -> (Vec<String>, Vec<String>) {
    let log = caller.home().join("strace");
    let _ = fs::remove_file(&log);
    // By root, whoever the caller is: of a process that is not dumpable, others see no strings.
    let (uid, gid) = (caller.uid().to_string(), caller.gid().to_string());
    let command = place.root().command("strace").args(["-f", "-s", "4096", "-o"]).arg(&log);
    let command = command.args(["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups"]);
    let command = command.env("HOME", caller.home()).env("XDG_DATA_HOME", caller.data_home());
    command.arg(place.binary()).args(["run", "-q"]).args(words).current_dir(caller.home()).run().succeeds();
    let text = fs::read_to_string(&log).expect("what strace wrote");
    let mut begun: Vec<(String, String)> = Vec::new();
    let mut calls: Vec<(String, String)> = Vec::new();
    let mut order: Vec<String> = Vec::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').expect("a process");
        let (pid, rest) = (pid.to_owned(), rest.trim_start());
        if !order.contains(&pid) {
            order.push(pid.clone());
        }
        let whole = match (rest.strip_suffix(" <unfinished ...>"), rest.split_once(" resumed>")) {
            (Some(start), _) => {
                begun.push((pid, start.to_owned()));
                continue;
            }
            (None, Some((_, end))) if rest.starts_with("<... ") => {
                let start = begun.iter().rposition(|(of, _)| *of == pid).expect("a beginning");
                begun.remove(start).1 + end
            }
            _ => rest.to_owned(),
        };
        if let Some((call, _)) = whole.rsplit_once(") = ").or_else(|| whole.rsplit_once(") ")) {
            calls.push((pid, normal(&format!("{}) ", call.trim_end()))));
        }
    }
    let of = |pid: &String| -> Vec<String> {
        calls.iter().filter(|(other, _)| other == pid).map(|(_, call)| call.clone()).collect()
    };
    let is_command = |call: &String| call.starts_with("execve(");
    let mut child =
        order[1..].iter().map(of).find(|calls| calls.iter().any(is_command)).expect("the command");
    let last = child.iter().rposition(is_command).unwrap_or_default();
    child.truncate(last + 1);
    (of(&order[0]), child)
}

/// A call with its flags in one order, without those that say nothing, and without what the kernel gives back or is not asked.
fn normal(call: &str) -> String {
    let call = call.trim_end();
    let mut call = call.replace(" /* MS_??? */", "").replace(" /* CAP_??? */", "").replace("1<<CAP_", "CAP_");
    if let Some(rest) = call.strip_prefix("open(") {
        call = format!("openat(AT_FDCWD, {rest}");
    }
    for nothing in [", attr_clr=0", ", propagation=0", ", userns_fd=0", "attr_set=0, ", "O_LARGEFILE|"] {
        call = call.replace(nothing, "");
    }
    // Of the cgroup in which a process begins, on version 2, other steps tell.
    if let Some((before, after)) = call.split_once(", cgroup=") {
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        call = format!("{before}{rest}").replace("|CLONE_INTO_CGROUP", "");
    }
    if let Some((before, after)) = call.split_once(" => {") {
        call = format!("{before}{}", after.split_once('}').map_or("", |(_, rest)| rest));
    }
    let mut words = Vec::new();
    for word in call.split(' ') {
        let start = word.find(|c: char| c.is_ascii_uppercase()).unwrap_or(0);
        let end =
            word.rfind(|c: char| c.is_ascii_alphanumeric() || c == '_').map_or(word.len(), |end| end + 1);
        if word.contains('|') && start < end && !word.contains('"') {
            let mut flags: Vec<&str> =
                word[start..end].split('|').filter(|flag| *flag != "O_RDONLY").collect();
            flags.sort_unstable();
            words.push(format!("{}{}{}", &word[..start], flags.join("|"), &word[end..]));
        } else {
            words.push(word.to_owned());
        }
    }
    words.join(" ")
}

/// Whether `call` is what `template` foretells, in which `<…>` stands for a word and `…` for anything.
fn fits(template: &str, call: &str) -> bool {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find(['<', '…']) {
        parts.push((&rest[..start], rest[start..].starts_with('<')));
        let end = match rest[start..].starts_with('<') {
            true => start + rest[start..].find('>').expect("closed") + 1,
            false => start + '…'.len_utf8(),
        };
        rest = &rest[end..];
    }
    fn matches(parts: &[(&str, bool)], rest: &str, call: &str) -> bool {
        let Some(((text, is_word), others)) = parts.split_first() else { return call == rest };
        let Some(after) = call.strip_prefix(text) else { return false };
        let ends = after.char_indices().map(|(at, _)| at).chain([after.len()]);
        ends.take_while(|end| !is_word || !after[..*end].contains([',', ' ']))
            .any(|end| matches(others, rest, &after[end..]))
    }
    matches(&parts, rest, call)
}

/// What the child does on the way that no plan tells: it closes what it no longer needs, and looks at what it found.
const ON_THE_WAY: [&str; 8] =
    ["close(", "close_range(", "fcntl(", "openat2(", "fstat(", "newfstatat(", "statx(", "getpid("];

/// Every call of the child is foretold, in its order; and every call that is foretold is made.
fn compare_child(case: &str, steps: &[Step], seen: &[String]) {
    let of_child: Vec<(&Step, String)> = steps
        .iter()
        .filter(|step| step.actor == "container")
        .flat_map(|step| step.calls.iter().map(move |call| (step, normal(call))))
        .collect();
    let (mut next, mut wrong) = (0, Vec::new());
    for call in seen {
        let ahead = of_child[next..].iter().position(|(_, template)| fits(template, call));
        let skipped_all = |count: usize| {
            of_child[next..next + count].iter().all(|(step, template)| {
                step.is_conditional() || template.starts_with("openat2(") || is_optional(template)
            })
        };
        match ahead {
            Some(count) if skipped_all(count) => next += count + 1,
            _ if ON_THE_WAY.iter().any(|name| call.starts_with(name)) => {}
            // The same again: directories above, each capability, each signal.
            _ if next > 0 && is_again(&of_child, next, call) => {}
            _ => wrong.push(format!(
                "{call} is not foretold before {:?}",
                of_child.get(next).map(|(_, call)| call)
            )),
        }
    }
    let left =
        of_child[next..].iter().filter(|(step, template)| !step.is_conditional() && !is_optional(template));
    wrong.extend(left.map(|(_, template)| format!("{template} is not done")));
    assert!(wrong.is_empty(), "{case}: {wrong:#?}");
}

/// A call that is made only where it changes something, in one version of cgroups, or of several places only at one.
fn is_optional(template: &str) -> bool {
    let starts =
        ["execve(", "fchown(<pipe>", "bpf(", "write(<tasks>"].iter().any(|start| template.starts_with(start));
    starts || ["<each", "AMBIENT_CLEAR", "devices.allow"].iter().any(|part| template.contains(part))
}

fn is_again(of_child: &[(&Step, String)], next: usize, call: &str) -> bool {
    let step = of_child[next - 1].0;
    let of_step = of_child.iter().filter(|(other, _)| std::ptr::eq(*other, step));
    of_step.into_iter().any(|(_, template)| fits(template, call))
}

/// What husk is foretold to do it does, in this order, among all that it does besides.
fn compare_husk(case: &str, steps: &[Step], seen: &[String]) {
    let mut rest = seen.iter();
    for step in steps.iter().filter(|step| step.actor == "husk") {
        for template in step.calls.iter().map(|call| normal(call)) {
            let found = is_optional(&template) || rest.any(|call| fits(&template, call));
            assert!(found, "{case}: {template} is not done for {:?}\n{seen:#?}", step.does);
        }
    }
}

fn compare(place: &Place, caller: &Caller<'_>, words: &[&str]) {
    let words: Vec<String> =
        ["--name", "traced"].iter().chain(words).map(|word| (*word).to_owned()).collect();
    let case = format!("{caller}: {words:?}");
    let steps = foretold(caller, &words);
    let (husk, child) = seen(place, caller, &words);
    compare_husk(&case, &steps, &husk);
    compare_child(&case, &steps, &child);
}

#[test]
fn every_call_is_foretold() {
    if !Path::new("/usr/bin/strace").exists() {
        skip!("every_call_is_foretold", "strace is not in /usr/bin");
    }
    if !is_root() {
        skip!("every_call_is_foretold", "only root's strace sees all of a process that is not dumpable");
    }
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let root = root.to_str().expect("UTF-8");
        let volume = caller.home().join("volume");
        fs::create_dir(&volume).expect("a volume");
        let volume = format!("{}:/volume:ro", volume.display());
        compare(&place, &caller, &[root, "true"]);
        compare(&place, &caller, &["--userns=single", "--tmpfs=/x:size=1m", "-v", &volume, root, "true"]);
        compare(
            &place,
            &caller,
            &["--ephemeral", "--hardened", "--ulimit=nofile=64", "-w", "/tmp", root, "/bin/true"],
        );
        compare(&place, &caller, &["--chroot", "--monotonic=60", root, "true"]);
        if caller.has_many_ids() {
            compare(&place, &caller, &["-u", "1000:100", "--cap-add=CHOWN", root, "true"]);
        }
        let mut other = caller.shell(&["-q"], Path::new(root), "echo up; read end").start();
        other.wait_for("up");
        let joined = ["user", "net", "ipc"].map(|kind| format!("--join={kind}={}", other.container()));
        let joined: Vec<&str> = joined.iter().map(String::as_str).chain([root, "true"]).collect();
        compare(&place, &caller, &joined);
        other.write("end\n");
        other.finish().succeeds();
        let bundle = caller.bundle("bundle", &bundle(&caller, root));
        compare(&place, &caller, &["--bundle", bundle.to_str().expect("UTF-8")]);
    }
}

fn bundle(caller: &Caller<'_>, root: &str) -> Value {
    let own = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
    let namespaces = ["mount", "pid", "network", "ipc", "uts", "user"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.2.0",
        "root": { "path": root, "readonly": true },
        "hostname": "bundled",
        "domainname": "example.org",
        "process": {
            "args": ["/bin/true"],
            "cwd": "/",
            "env": ["PATH=/bin"],
            "user": { "uid": 0, "gid": 0 },
            "noNewPrivileges": true,
            "oomScoreAdj": 500,
            "capabilities": { "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"],
                "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"] },
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
        ],
        "linux": {
            "namespaces": namespaces,
            "uidMappings": own(caller.uid()),
            "gidMappings": own(caller.gid()),
            "rootfsPropagation": "rprivate",
            "maskedPaths": ["/proc/kcore", "/proc/acpi"],
            "readonlyPaths": ["/proc/sys"],
        },
    })
}

#[test]
fn a_template_fits_what_it_says_and_nothing_else() {
    assert!(fits("close(<fd>)", "close(3)") && !fits("close(<fd>)", "close(3, 4)"));
    assert!(
        fits("write(<a>, …, 3)", "write(1, \"x, y\", 3)") && !fits("write(<a>, …, 3)", "write(1, \"x\", 4)")
    );
    assert_eq!(
        normal("open(\"/\", O_RDONLY|O_LARGEFILE|O_CLOEXEC|O_PATH)"),
        normal("open(\"/\", O_PATH|O_CLOEXEC)")
    );
}
