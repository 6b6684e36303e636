// SPDX-License-Identifier: Apache-2.0
//! `husk explain --pid` and `husk explain CONTAINER`: what is told of a running process is what the kernel shows of it, and of
//! a container of husk's, what was planned.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use husk_tests::{Caller, Outside, PATIENCE, Place, Running, is_root, note_skip, skip};
use serde_json::Value;

/// The kinds of namespaces below `/proc/PID/ns`, and their names in sentences, in the order of those.
const KINDS: [(&str, &str); 8] = [
    ("user", "user"),
    ("mnt", "mount"),
    ("pid", "pid"),
    ("net", "network"),
    ("ipc", "IPC"),
    ("uts", "UTS"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

/// What husk tells.
struct Told {
    text: String,
    steps: Vec<Value>,
    notes: Vec<String>,
}

impl Told {
    fn of(caller: &Caller<'_>, words: &[&str]) -> Self {
        let output = caller.husk(["explain", "--format", "json"]).args(words).run();
        Self::read(&output.succeeds().stdout)
    }

    fn read(text: &str) -> Self {
        let json: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(json["version"], 1);
        let list = |key: &str| json[key].as_array().cloned().unwrap_or_default();
        let notes =
            list("notes").iter().filter_map(|note| note["what"].as_str().map(str::to_owned)).collect();
        Self { text: text.to_owned(), steps: list("steps"), notes }
    }

    fn sentences(&self) -> BTreeSet<&str> {
        self.steps.iter().filter_map(|step| step["does"].as_str()).collect()
    }

    fn origins(&self) -> BTreeSet<&str> {
        self.steps.iter().filter_map(|step| step["origin"].as_str()).collect()
    }

    #[track_caller]
    fn says(&self, sentence: &str) {
        assert!(self.sentences().contains(sentence), "not told: {sentence}\n{:#?}", self.sentences());
    }

    fn begins(&self, beginning: &str) -> bool {
        self.sentences().iter().any(|sentence| sentence.starts_with(beginning))
    }
}

fn read(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_else(|error| panic!("{pid}/{file}: {error}"))
}

fn status(pid: u32, key: &str) -> String {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("{key} in {status}")).to_owned()
}

/// The words of a mountinfo line that tell one mount from another on this machine: device, root, place.
fn place_of(line: &str) -> Vec<&str> {
    line.split(' ').skip(2).take(3).collect()
}

/// What is told of process `pid`, which `/proc` bears out: each namespace that is not the caller's, each mount that the host
/// has not, ids, capabilities and confinement, and nothing else of these.
fn bears_out(caller: &Caller<'_>, pid: u32) -> Told {
    let told = Told::of(caller, &["--pid", &pid.to_string()]);
    let link = |of: &str, kind: &str| fs::read_link(format!("/proc/{of}/ns/{kind}")).ok();
    for (kind, name) in KINDS {
        let is_other = link(&pid.to_string(), kind) != link("self", kind);
        let is_told = told.sentences().iter().any(|sentence| {
            let new = sentence.strip_prefix("start the container's first process in new ");
            let entered = sentence.starts_with(&format!("enter the {name} namespace"));
            let clocks = kind == "time" && sentence.starts_with("enter a new time namespace");
            entered
                || clocks
                || new.is_some_and(|new| new.replace(',', "").split(' ').any(|word| word == name))
        });
        assert_eq!(is_told, is_other, "{kind}\n{}", told.text);
    }

    let host = fs::read_to_string("/proc/self/mountinfo").expect("the host's mounts");
    let hosts: BTreeSet<Vec<&str>> = host.lines().map(place_of).collect();
    let mounts = read(pid, "mountinfo");
    let is_chroot = fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|root| root != Path::new("/"));
    for line in mounts.lines().filter(|line| !hosts.contains(&place_of(line)) && !is_chroot) {
        let id = line.split(' ').next().expect("an id");
        let origin = format!("/proc/{pid}/mountinfo: line {id}");
        assert!(told.origins().contains(origin.as_str()), "{line}\n{}", told.text);
    }

    for file in ["uid_map", "gid_map"] {
        let what = if file == "uid_map" { "user ids" } else { "group ids" };
        for line in read(pid, file).lines().filter(|_| link(&pid.to_string(), "user") != link("self", "user"))
        {
            let n: Vec<u32> = line.split_whitespace().map(|word| word.parse().expect("a number")).collect();
            let range = |first: u32| match n[2] {
                1 => first.to_string(),
                count => format!("{first}-{}", first + (count - 1)),
            };
            let part = format!("{} (outside {})", range(n[0]), range(n[1]));
            let maps = told
                .sentences()
                .into_iter()
                .find(|s| s.contains(&format!("map {what}")) || s.contains("and group ids"));
            assert!(maps.is_some_and(|sentence| sentence.contains(&part)), "{part}\n{}", told.text);
        }
    }

    assert_eq!(told.begins("let no program gain"), status(pid, "NoNewPrivs") == "1", "{}", told.text);
    assert_eq!(told.begins("filter system calls"), status(pid, "Seccomp") == "2", "{}", told.text);
    let is_less = status(pid, "CapBnd") != status(std::process::id(), "CapBnd");
    let is_full =
        link(&pid.to_string(), "user") != link("self", "user") && status(pid, "CapBnd") == "000001ffffffffff";
    assert_eq!(told.begins("drop every capability"), is_less && !is_full, "{}", told.text);
    assert_eq!(told.steps.last().map(|step| step["stage"].clone()), Some("exec".into()), "{}", told.text);
    for (index, step) in told.steps.iter().enumerate() {
        assert_eq!(step["number"], index + 1);
        assert!(["maker", "container"].contains(&step["actor"].as_str().expect("an actor")), "{step}");
    }
    told
}

/// Waits for a process below `of` whose command line begins so.
fn descendant(of: u32, beginning: &str) -> u32 {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(pid) = below(of).into_iter().find(|pid| command(*pid).starts_with(beginning)) {
            return pid;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!(
        "{of} has no descendant {beginning:?}: {:?}",
        below(of).into_iter().map(command).collect::<Vec<_>>()
    );
}

/// Its descendants. Each thread has children of its own.
fn below(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|list| list.split(' ').filter_map(|child| child.trim().parse().ok()).collect::<Vec<_>>())
        .collect();
    children.into_iter().flat_map(|child| [vec![child], below(child)].concat()).collect()
}

fn command(pid: u32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).replace('\0', " ")
}

/// Where a sentence mounts something, or makes it so; `None` if it does not.
fn target(sentence: &str) -> Option<&str> {
    let words: Vec<&str> = sentence.split(' ').collect();
    let target = match words.as_slice() {
        ["mount", "a", "new", _, "on", target, ..] => target,
        ["bind", .., "to", target] => target,
        ["bind", "the", "host's", _, "to", target, ..] | ["bind", "tree", _, "to", target, ..] => target,
        ["hide", target] | ["make", target, "read-only"] => target,
        _ => return None,
    };
    Some(target.trim_end_matches(','))
}

/// The words after a mount that say how: `read-only`, `nosuid`.
fn attributes(sentence: &str) -> BTreeSet<&str> {
    let words = sentence.split([' ', ',', '(', ')']);
    words
        .map(|word| if word == "ro" { "read-only" } else { word })
        .filter(|word| ["read-only", "nosuid", "nodev", "noexec"].contains(word))
        .collect()
}

#[test]
fn a_container_of_husks_is_told_as_it_was_planned() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let volume = caller.home().join("volume");
        fs::create_dir(&volume).expect("a volume");
        let volume = format!("{}:/mnt:ro,noexec", volume.display());
        let mut cases: Vec<Vec<&str>> = vec![
            vec![],
            vec!["--userns=single"],
            vec!["-v", &volume, "--tmpfs", "/srv:size=1m"],
            vec!["--read-only", "--hardened"],
            vec!["--ephemeral"],
            vec!["--chroot", "-w", "/tmp"],
            vec!["--share=ipc,uts"],
            vec!["--monotonic=3600", "--ulimit", "nofile=64:128", "--umask", "027"],
            vec!["--cap-drop=ALL", "--allow-setuid"],
        ];
        if caller.has_many_ids() {
            cases.push(vec!["-u", "1000:100"]);
        }
        if caller.is_root() {
            cases.push(vec!["--userns=host"]);
        }
        for options in cases {
            is_told_as_planned(&caller, &options, &root);
        }
    }
}

const STARTED: &str = "start the container's first process in ";

/// The namespaces that are planned, in one sentence: which of them came with the process, and which it made itself, does not show.
fn namespaces(plan: &Told) -> String {
    let makes = |sentence: &&&str| {
        [STARTED, "enter new ", "enter a new cgroup namespace"]
            .iter()
            .any(|start| sentence.starts_with(start))
    };
    let sentences = plan.sentences();
    let made: Vec<_> = sentences.iter().filter(makes).collect();
    let is_made = |name: &&&str| {
        let word = |sentence: &&&&str| sentence.split([' ', ',']).any(|word| word == **name);
        made.iter().any(|sentence| word(&sentence))
    };
    let all = ["user", "mount", "pid", "network", "IPC", "UTS", "cgroup", "time"];
    match all.iter().filter(is_made).copied().collect::<Vec<_>>().as_slice() {
        [one] => format!("a new {one} namespace"),
        [some @ .., last] => format!("new {} and {last} namespaces", some.join(", ")),
        [] => String::new(),
    }
}

fn is_told_as_planned(caller: &Caller<'_>, options: &[&str], root: &Path) {
    let case = format!("{caller}: {options:?}");
    let options = [&["-q", "--name", "told"], options].concat();
    let words = ["/bin/sh", "-c", "echo up; read end; true"];
    let mut container = caller.husk(["run"]).args(&options).arg(root).args(words).start();
    container.wait_for("up");
    let pid = container.container();
    let plan = caller.husk(["explain", "run", "--format", "json"]).args(&options).arg(root).args(words).run();
    let plan = Told::read(&plan.succeeds().stdout);
    let told = bears_out(caller, pid);
    let is_mounted =
        |target: &str| read(pid, "mountinfo").lines().any(|line| line.split(' ').nth(4) == Some(target));
    let (mut mounts, mut equal) = (0, 0);
    for planned in plan.sentences() {
        if let Some(target) = target(planned) {
            // A path that is not there is neither hidden nor made read-only.
            if !is_mounted(target) {
                assert!(planned.starts_with("hide ") || planned.ends_with(" read-only"), "{case}: {planned}");
                continue;
            }
            let found = told.sentences().into_iter().find(|sentence| self::target(sentence) == Some(target));
            let found = found.unwrap_or_else(|| panic!("{case}: not told: {planned}\n{}", told.text));
            let verb = |sentence: &str| {
                sentence
                    .split(' ')
                    .take(4)
                    .take_while(|word| *word != "tree" && *word != "the")
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            assert_eq!(verb(found), verb(planned), "{case}: {found}, planned: {planned}");
            // A new mount of the host's file system has what that has besides what was asked for.
            assert!(
                attributes(found).is_superset(&attributes(planned)),
                "{case}: {found}, planned: {planned}"
            );
            mounts += 1;
        }
        let is_known = [
            "start the container's first",
            "drop every capability",
            "let no program gain",
            "limit ",
            "execute ",
            "become user 1",
            "become group 1",
            "enter a new time",
            "make the root read-only",
            "take a detached",
            "make tree",
            "make the host's",
            "bring the loopback",
            "show the files",
            "make the container's root the root",
        ]
        .iter()
        .any(|beginning| planned.starts_with(beginning));
        // Whoever is root with every capability of the bounding set has done nothing for it.
        let has_all = planned.starts_with("keep the capabilities")
            && status(pid, "CapBnd") != status(std::process::id(), "CapBnd");
        if is_known || has_all {
            if planned.contains("tree") || planned.starts_with("take a detached") {
                is_tree_told(&told, planned, options.contains(&"--ephemeral"));
                continue;
            }
            match planned.starts_with(STARTED) {
                true => told.says(&format!("{STARTED}{}", namespaces(&plan))),
                false => told.says(planned),
            }
            equal += 1;
        }
    }
    let is_idmapped =
        |line: &&str| line.split(' ').nth(5).is_some_and(|options| options.contains("idmapped"));
    let idmapped = read(pid, "mountinfo").lines().filter(is_idmapped).count();
    let shown = told.sentences().iter().filter(|sentence| sentence.starts_with("show the files")).count();
    assert_eq!(shown, idmapped, "{case}: {}", told.text);
    assert!(
        mounts >= 8 && equal >= 5,
        "{case}: {mounts} mounts and {equal} others are not much of a comparison"
    );
    assert!(
        told.steps.iter().all(|step| !step["as"].as_str().is_some_and(|who| who.contains("whoever"))),
        "{case}: husk made it"
    );
    container.write("\n");
    container.finish().succeeds();
}

/// What an overlay is made of does not show, nor who prepared a tree, unless its files are idmapped.
fn is_tree_told(told: &Told, planned: &str, is_overlay: bool) {
    let source = planned.strip_prefix("take a detached, private copy of the mount at ");
    let Some(source) = source.and_then(|rest| rest.split(' ').next()) else { return };
    let ways = match is_overlay {
        true => vec!["make the directory / of the file system overlay the root".to_owned()],
        false => vec![
            format!("take a detached, private copy of the mount at {source} (tree"),
            format!("bind the host's {source} to"),
            format!("make the host's {source} the container's root"),
        ],
    };
    assert!(ways.iter().any(|way| told.begins(way)), "{planned}: none of {ways:?}\n{}", told.text);
}

#[test]
fn a_container_is_found_by_its_name() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let name = format!("told-{caller}-{}", std::process::id());
        let mut container = caller.shell(&["-q", "--name", &name], &root, "echo up; read end; true").start();
        container.wait_for("up");
        let pid = container.container().to_string();
        let by_name = caller.husk(["explain", &name]).run().succeeds().stdout.clone();
        assert_eq!(by_name, caller.husk(["explain", "--pid", &pid]).run().succeeds().stdout);
        let told = Told::of(&caller, &[&name]);
        let table = caller.husk(["explain", "--format=md", &name]).run().succeeds().stdout.clone();
        let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |")).count();
        assert_eq!(rows - 1, told.steps.len(), "{caller}: {table}");
        for sentence in told.sentences() {
            assert!(by_name.contains(sentence), "{caller}: {sentence}");
        }
        container.write("\n");
        container.finish().succeeds();
        caller.husk(["explain", &name]).run().exits(1).says("no container with this name");
        caller.husk(["explain", "--pid", "4194305"]).run().exits(1).says("there is none with this id");
        caller.husk(["explain", "--pid", &pid, "run"]).run().exits(1);
    }
}

#[test]
fn a_process_of_the_hosts_has_nothing_to_tell() {
    let place = Place::new();
    for caller in place.callers() {
        let sleep = caller.command("sleep").arg("60").start();
        let pid = sleep.pid().to_string();
        let text = caller.husk(["explain", "--pid", &pid]).run().succeeds().stdout.clone();
        assert_eq!(text, "nothing: it sees what the host sees\n", "{caller}");
        for format in ["sh", "md"] {
            let output = caller.husk(["explain", "--format", format, "--pid", &pid]).run();
            output.succeeds();
            assert!(output.stdout.ends_with("nothing: it sees what the host sees\n"), "{caller}: {output}");
        }
        assert_eq!(Told::of(&caller, &["--pid", &pid]).steps.len(), 0, "{caller}");

        let confined = caller.command("setpriv").args(["--no-new-privs", "sleep", "60"]).start();
        while status(confined.pid(), "Name") != "sleep" {
            std::thread::sleep(Duration::from_millis(2));
        }
        let told = bears_out(&caller, confined.pid());
        assert_eq!(told.steps.len(), 2, "{caller}: {}", told.text);
        told.says("execute sleep 60");
    }
}

#[test]
fn what_may_not_be_looked_at_is_named_and_not_guessed() {
    let place = Place::new();
    if !is_root() {
        skip!(
            "what_may_not_be_looked_at_is_named_and_not_guessed",
            "it takes root to have what others may not see"
        );
    }
    let (root_caller, ordinary) = (place.root(), place.ordinary());
    let root = root_caller.root("root");
    let mut container = root_caller.shell(&["-q", "--userns=host"], &root, "echo up; read end; true").start();
    container.wait_for("up");
    let pid = container.container();
    let told = Told::of(&ordinary, &["--pid", &pid.to_string()]);
    assert!(told.notes.iter().any(|note| note.contains(&format!("/proc/{pid}/ns/*"))), "{}", told.text);
    assert!(!told.begins("start the container") && !told.begins("make the container"), "{}", told.text);
    let text = ordinary.husk(["explain", "--pid", &pid.to_string()]).run().succeeds().stdout.clone();
    assert!(!text.contains("sees what the host sees") && text.contains("ask again as root"), "{text}");
    container.write("\n");
    container.finish().succeeds();

    let sleep = root_caller.command("sleep").arg("60").start();
    let text = ordinary.husk(["explain", "--pid", &sleep.pid().to_string()]).run().succeeds().stdout.clone();
    assert!(text.starts_with("unknown: you may not look"), "{text}");
}

#[test]
fn the_classic_pair_of_unshare_and_chroot() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("mycontainer");
        let user: &[&str] = if caller.is_root() { &[] } else { &["--user", "--map-root-user"] };
        let script = format!(
            "mount -t tmpfs -o size=4k fresh {0}/mnt; chroot {0} /bin/sh -c 'read end; true'; true",
            root.display()
        );
        let namespaces = ["--pid", "--uts", "--ipc", "--mount", "--fork", "--mount-proc"];
        let running =
            caller.command("unshare").args(user).args(namespaces).args(["bash", "-c", &script]).start();
        let inner = descendant(running.pid(), "/bin/sh -c read end");
        let outer = descendant(running.pid(), "bash -c mount");
        let outside = bears_out(&caller, outer);
        assert!(outside.begins("mount a new proc on /proc"), "{}", outside.text);
        assert!(
            outside.begins(&format!("mount a new tmpfs on {}/mnt (size=4k", root.display())),
            "{}",
            outside.text
        );
        assert!(
            !outside.begins("change the root") && !outside.begins("make the container's root"),
            "{}",
            outside.text
        );
        let inside = bears_out(&caller, inner);
        inside.says(&format!("change the root to {}, and leave all else mounted (chroot)", root.display()));
        assert!(inside.begins("mount a new tmpfs on /mnt (size=4k"), "{}", inside.text);
        assert!(!inside.begins("mount a new proc"), "it is out of its sight: {}", inside.text);
        drop(running);
    }
}

#[test]
fn bubblewrap() {
    if !Path::new("/usr/bin/bwrap").exists() {
        skip!("bubblewrap", "bwrap is not installed");
    }
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let options = [
            "--unshare-all",
            "--dev",
            "/dev",
            "--proc",
            "/proc",
            "--tmpfs",
            "/tmp",
            "--cap-drop",
            "ALL",
            "--bind",
        ];
        let command = ["/", "--ro-bind", "/etc", "/mnt", "/bin/sh", "-c", "read end; true"];
        let running = caller
            .command("bwrap")
            .args(["--bind"])
            .arg(&root)
            .args(["/"])
            .args(&options[..9])
            .args(&command[1..])
            .start();
        let pid = descendant(running.pid(), "/bin/sh -c read end");
        let told = bears_out(&caller, pid);
        assert!(
            told.begins(&format!("make the host's {} the container's root", root.display())),
            "{}",
            told.text
        );
        assert!(told.begins("bind the host's /etc to /mnt, read-only"), "{}", told.text);
        assert!(
            told.steps
                .iter()
                .any(|step| step["as"].as_str().is_some_and(|who| who.starts_with("bwrap, on the host"))),
            "{}",
            told.text
        );
        drop(running);
    }
}

#[test]
fn runtimes_of_engines() {
    let place = Place::new();
    let test = "runtimes_of_engines";
    if !is_root() {
        skip!(test, "runc and crun need root to make cgroups");
    }
    let caller = place.root();
    let root = caller.root("root");
    for (runtime, before) in [("runc", "true"), ("crun", "umount -l /sys/fs/cgroup/unified 2>&1; true")] {
        if !["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(runtime).exists()) {
            note_skip(test, &format!("{runtime} is not installed"));
            continue;
        }
        let bundle = caller.home().join(format!("bundle-{runtime}"));
        fs::create_dir(&bundle).expect("a bundle");
        caller.command(runtime).arg("spec").current_dir(&bundle).run().succeeds();
        let file = bundle.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&file).expect("a spec")).expect("JSON");
        config["root"]["path"] = root.display().to_string().into();
        config["process"]["args"] = ["/bin/sh", "-c", "read end; true"].into();
        config["process"]["terminal"] = false.into();
        config["process"]["rlimits"] = Value::Array(Vec::new());
        if let Some(linux) = config["linux"].as_object_mut() {
            linux.remove("resources");
            let rule = serde_json::json!({ "names": ["swapon"], "action": "SCMP_ACT_ERRNO" });
            let filter = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
            linux.insert("seccomp".to_owned(), filter);
        }
        fs::write(&file, config.to_string()).expect("a spec");
        let name = format!("told-{runtime}-{}", std::process::id());
        // crun knows no hybrid of cgroup v1 and v2: in a mount namespace of its own it sees v1 alone.
        let state = caller.home().join(format!("state-{runtime}"));
        let _engine = Engine { caller: &caller, runtime, state: &state, name: &name };
        let script = format!(
            "{before}; {runtime} --root {state} run -b {bundle} {name}",
            state = state.display(),
            bundle = bundle.display()
        );
        let running = caller.command("unshare").args(["--mount", "sh", "-c", &script]).start();
        let pid = descendant(running.pid(), "/bin/sh -c read end");
        let told = bears_out(&caller, pid);
        told.says("make the root read-only");
        told.says(&format!("make the host's {} the container's root", root.display()));
        told.says("hide /sys/firmware");
        told.says("make /proc/sys read-only");
        assert!(
            told.begins(&format!("put it into the cgroup /{name}"))
                || told.text.contains(&format!("/{name}\"")),
            "{}",
            told.text
        );
        end(running);
    }
}

/// Removes the container in the end, also if the test fails.
struct Engine<'c> {
    caller: &'c Caller<'c>,
    runtime: &'c str,
    state: &'c Path,
    name: &'c str,
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        let command = self.caller.command(self.runtime).arg("--root").arg(self.state);
        // Usually it has gone by itself, and the runtime says so.
        command.args(["delete", "-f", self.name]).run();
    }
}

/// Lets a container go that waits for a line.
fn end(mut running: Running) {
    running.write("\n");
    running.finish();
}

/// Prints what a container can be told by, of which there is nothing that the kernel does not show outside.
const OBSERVE: &str = r###"
section() { echo "## $1"; }
section namespaces; for kind in cgroup ipc mnt net pid time user uts; do busybox readlink /proc/self/ns/$kind; done
section mounts; busybox cut -d' ' -f4-6 /proc/self/mountinfo | busybox sort
section maps; busybox awk '{ print $1, $3 }' /proc/self/uid_map /proc/self/gid_map
section ids; busybox grep -E '^(Uid|Gid|Groups):' /proc/$$/status
section limits; busybox cat /proc/$$/limits
section pid; echo $$ of /proc/[0-9]*
section capabilities; busybox grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/$$/status
section hostname; busybox hostname
section process; umask; busybox pwd
section end
read end; true"###;

/// What [`OBSERVE`] prints, with the caller's namespaces told from others and without what a script declares.
fn observed(output: &str, declared: &BTreeSet<&str>) -> String {
    let own: Vec<String> = KINDS
        .iter()
        .filter_map(|(kind, _)| {
            Some(fs::read_link(format!("/proc/self/ns/{kind}")).ok()?.to_string_lossy().into_owned())
        })
        .collect();
    let mut section = "";
    let line = |line: &str| -> String {
        if line.contains(":[") {
            return if own.iter().any(|one| one == line) {
                format!("{line}\n")
            } else {
                "its own\n".to_owned()
            };
        }
        let line =
            if declared.contains("idmapped") { line.replace(",idmapped", "") } else { line.to_owned() };
        format!("{line}\n")
    };
    let mut text = String::new();
    for one in output.lines() {
        section = one.strip_prefix("## ").unwrap_or(section);
        if !(section == "capabilities" && declared.contains("capabilities")) {
            text += &line(one);
        }
    }
    text
}

/// The script that is read back from a container makes the same container, but for what it declares.
#[test]
fn the_script_makes_it_again() {
    let place = Place::new();
    let test = "the_script_makes_it_again";
    let tools = ["unshare", "setpriv", "prlimit", "pivot_root", "ip", "findmnt", "hostname"];
    let dirs = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    if let Some(tool) = tools.iter().find(|tool| !dirs.iter().any(|dir| Path::new(dir).join(tool).exists())) {
        skip!(test, "{tool} is not installed");
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/explain.md");
    let page = fs::read_to_string(page).expect("docs/explain.md");
    for caller in place.callers() {
        let root = caller.root("root");
        let mut cases = vec![
            vec![],
            vec!["--tmpfs", "/srv:size=1m", "--ulimit", "core=0"],
            vec!["--read-only", "--share=ipc"],
        ];
        if caller.is_root() {
            cases.push(vec!["--userns=host"]);
        }
        let scratch = caller.home().join("scratch");
        caller.command("mkdir").arg("-p").arg(&scratch).run().succeeds();
        let before = Outside::look(&place);
        for options in cases {
            let options = [&["-q", "--name", "again"], options.as_slice()].concat();
            let case = format!("{caller}: {options:?}");
            let mut container =
                caller.husk(["run"]).args(&options).arg(&root).args(["/bin/sh", "-c", OBSERVE]).start();
            container.wait_for("## end");
            let pid = container.container().to_string();
            let script =
                caller.husk(["explain", "--format=sh", "--pid", &pid]).run().succeeds().stdout.clone();
            container.write("\n");
            let original = container.finish();
            let file = caller.home().join("script.sh");
            fs::write(&file, &script).expect("a script");
            let again = caller.command("bash").arg(&file).env("TMPDIR", &scratch).input("\n").run();
            again.succeeds();
            let declared: BTreeSet<&str> = script
                .lines()
                .filter_map(|line| line.strip_prefix("# differs: ")?.split(':').next())
                .collect();
            for key in &declared {
                assert!(page.contains(&format!("\n| `{key}` ")), "{case}: {key} is not in docs/explain.md");
            }
            assert!(declared.contains("files") && declared.contains("host-name"), "{case}: {declared:?}");
            assert!(!declared.contains("root"), "{case}: {declared:?}");
            assert_eq!(
                observed(&again.stdout, &declared),
                observed(&original.stdout, &declared),
                "{case}: {script}"
            );
            fs::remove_file(&file).expect("the script");
        }
        assert_eq!(
            fs::read_dir(&scratch).expect("a directory").count(),
            0,
            "{caller}: the script leaves nothing"
        );
        before.is_unchanged(&place);
    }
}
