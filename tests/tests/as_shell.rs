// SPDX-License-Identifier: Apache-2.0
//! `husk run --as-shell`: the container that the script makes is the one that husk makes, seen from inside, but for what the
//! script itself declares.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use husk_tests::oci::is_unified;
use husk_tests::{Caller, Command, Output, Outside, Place, is_root, note_skip, skip, until};
use serde_json::{Value, json};

/// Prints all that a container can be told by from inside, in sections. Of the root's programs it needs sh and busybox.
const OBSERVE: &str = r###"
section() { echo "## $1"; }
section namespaces; for kind in cgroup ipc mnt net pid time user uts; do busybox readlink /proc/self/ns/$kind; done
section mounts; while read line; do echo "$line"; done </proc/self/mountinfo
section maps; while read line; do echo $line; done </proc/self/uid_map; while read line; do echo $line; done </proc/self/gid_map
busybox cat /proc/self/setgroups
section ids; busybox grep -E '^(Uid|Gid|Groups):' /proc/$$/status
section limits; busybox cat /proc/$$/limits
section hostname; busybox hostname
section pid; echo $$ of /proc/[0-9]*
section capabilities; busybox grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/$$/status
section devices; busybox stat -c '%n %F %a %u:%g %t:%T %N' /dev /dev/* /dev/pts/*
section environment; busybox tr '\0' '\n' </proc/$$/environ | busybox sort
section process; umask; busybox pwd; busybox ls /proc/$$/fd
section signals; busybox grep -E '^(Sig|Shd)(Blk|Ign|Cgt|Pnd)' /proc/$$/status
section session; busybox awk '{ print $5, $6, $7 }' /proc/$$/stat
section clocks; busybox cat /proc/self/timens_offsets
section network; busybox tail -n +3 /proc/net/dev | busybox cut -d: -f1; busybox ifconfig lo | busybox grep UP
busybox cat /proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start
section owners; busybox stat -c '%n %u:%g %a' / /* /volume/* 2>&1
section cgroup; busybox cat /proc/self/cgroup
section memory; busybox cat /proc/$$/oom_score_adj
section domain; busybox cat /proc/sys/kernel/domainname
section end
"###;

/// What is seen, by section.
type Seen = BTreeMap<String, Vec<String>>;

fn sections(output: &Output) -> Seen {
    let mut seen = Seen::new();
    for line in output.stdout.lines() {
        match line.strip_prefix("## ") {
            Some(name) => drop(seen.insert(name.to_owned(), Vec::new())),
            None => {
                let last = seen.iter_mut().next_back().map(|(name, _)| name.clone());
                assert!(last.is_some(), "{output}");
            }
        }
    }
    let mut current = String::new();
    for line in output.stdout.lines() {
        match line.strip_prefix("## ") {
            Some(name) => current = name.to_owned(),
            None => seen.entry(current.clone()).or_default().push(line.to_owned()),
        }
    }
    assert!(seen.contains_key("end"), "{output}");
    seen
}

/// The keys of `# differs: KEY: words`.
fn declared(script: &str) -> BTreeSet<String> {
    let lines = script.lines().filter_map(|line| line.strip_prefix("# differs: "));
    lines.map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
}

/// What was seen in a form in which two containers can be compared: without the numbers that differ between any two, and
/// without what `declared` allows to differ.
fn comparable(seen: &Seen, known: &BTreeMap<String, &str>, declared: &BTreeSet<String>) -> Seen {
    let is = |key: &str| declared.contains(key);
    let mut seen = seen.clone();
    for line in seen.get_mut("namespaces").expect("namespaces") {
        *line = known.get(line).copied().unwrap_or("its own").to_owned();
    }
    let mounts = seen.get_mut("mounts").expect("mounts");
    mounts.iter_mut().for_each(|line| *line = mount(line, &is));
    mounts.sort();
    let maps = seen.get_mut("maps").expect("maps");
    let inside = |line: &String| {
        let words: Vec<_> = line.split(' ').collect();
        if words.len() == 3 { format!("{} {}", words[0], words[2]) } else { line.clone() }
    };
    if is("id-map") {
        maps.iter_mut().for_each(|line| *line = inside(line));
        // What is root's on the host is root's inside, and not nobody's.
        for section in ["devices", "owners"] {
            let lines = seen.get_mut(section).expect("a section");
            lines.iter_mut().for_each(|line| *line = line.replace("65534:65534", "0:0"));
        }
    }
    if is("signals") {
        let ignored = seen
            .get_mut("signals")
            .and_then(|lines| lines.iter_mut().find(|line| line.starts_with("SigIgn")));
        let ignored = ignored.expect("the ignored signals");
        let bits =
            ignored.rsplit('\t').next().and_then(|bits| u64::from_str_radix(bits, 16).ok()).expect("bits");
        *ignored = format!("SigIgn: {:x}", bits & !(0b11 << 31));
    }
    let mut forget = |section: &str| drop(seen.remove(section));
    if is("idmapped") && !is("id-map") {
        forget("owners");
    }
    if is("session") {
        forget("session");
    }
    if is("init") {
        forget("pid");
        forget("session");
    }
    if is("capabilities") {
        forget("capabilities");
    }
    if is("clocks") {
        forget("clocks");
    }
    if is("environment") {
        forget("environment");
    }
    if is("terminal") {
        forget("devices");
    }
    if is("cgroup") {
        forget("cgroup");
    } else if let Some(lines) = seen.get_mut("cgroup") {
        lines.iter_mut().for_each(|line| *line = unnumbered(line));
    }
    if is("seccomp") {
        let lines = seen.get_mut("capabilities");
        lines.into_iter().for_each(|lines| lines.retain(|line| !line.starts_with("Seccomp")));
    }
    seen
}

/// A line of `/proc/PID/cgroup` without the process and the name that a cgroup of the container's is named by.
fn unnumbered(line: &str) -> String {
    line.split_once("/husk-").map_or(line, |(above, _)| above).to_owned()
}

/// A line of mountinfo without the numbers that the kernel gives to every mount and file system anew.
fn mount(line: &str, is: &impl Fn(&str) -> bool) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let keep = |word: &&str, of_super: bool| {
        let owner = word.starts_with("uid=") || word.starts_with("gid=");
        let writes = *word == "ro" || *word == "rw";
        let allowed = [
            is("id-map") && owner,
            is("idmapped") && *word == "idmapped",
            of_super && is("superblock") && writes,
        ];
        !allowed.contains(&true)
    };
    let options = |list: &str, of_super: bool| {
        list.split(',').filter(|word| keep(word, of_super)).collect::<Vec<_>>().join(",")
    };
    let [_, _, _, root, target, attributes, rest @ ..] = &words[..] else { panic!("{line}") };
    let [propagation @ .., kind, source, of_super] = rest else { panic!("{line}") };
    let root = if is("cgroup") && *kind == "cgroup" { "any" } else { root };
    let (attributes, of_super) = (options(attributes, false), options(of_super, true));
    let peers = propagation.iter().map(|word| word.split(':').next().unwrap_or_default());
    let peers = peers.collect::<Vec<_>>().join(" ");
    format!("{root} {target} {attributes} {peers} {kind} {source} {of_super}")
}

/// The namespaces of a process.
fn namespaces<'n>(pid: &str, name: &'n str) -> BTreeMap<String, &'n str> {
    ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]
        .iter()
        .filter_map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok())
        .map(|link| (link.to_string_lossy().into_owned(), name))
        .collect()
}

/// Runs the container by husk and by the script, and compares; returns the script.
fn compare(caller: &Caller<'_>, options: &[&str], root: &Path, known: &BTreeMap<String, &str>) -> String {
    let case = format!("{caller}: {options:?}");
    let options: Vec<&str> = ["-q", "--name", "same"].iter().chain(options).copied().collect();
    let script = caller.husk(["run"]).args(&options).arg("--as-shell").arg(root);
    let script = script.args(["/bin/sh", "-c", OBSERVE]).run().succeeds().stdout.clone();
    compare_with(caller, &case, &caller.run(&options, root, OBSERVE), &script, known);
    script
}

/// Compares what was seen in husk's container with what is seen in the script's.
fn compare_with(
    caller: &Caller<'_>,
    case: &str,
    by_husk: &Output,
    script: &str,
    known: &BTreeMap<String, &str>,
) {
    by_husk.succeeds();
    let by_script = run_script(caller, script).run();
    by_script.succeeds();
    let keys = declared(script);
    let [husks, scripts] = [by_husk, &by_script].map(|output| comparable(&sections(output), known, &keys));
    for (section, seen) in &husks {
        let other = scripts.get(section).cloned().unwrap_or_default();
        assert!(
            *seen == other,
            "{case}: {section}\nby husk: {seen:#?}\nby the script: {other:#?}\n{}",
            by_script.stderr
        );
    }
    assert_eq!(by_script.stderr, by_husk.stderr, "{case}: standard error");
    let left = fs::read_dir(caller.home().join("scratch")).expect("a directory").count();
    assert_eq!(left, 0, "{case}: the script leaves nothing");
}

/// bash with `script`, whose temporary directories are in the caller's own.
fn run_script(caller: &Caller<'_>, script: &str) -> Command {
    let file = caller.home().join("script.sh");
    let scratch = caller.home().join("scratch");
    caller.command("mkdir").arg("-p").arg(&scratch).run().succeeds();
    fs::write(&file, script).expect("a script");
    caller.command("bash").arg(&file).env("TMPDIR", &scratch)
}

/// Whether the script's tools are there.
fn tools(test: &str) -> bool {
    let missing = ["bash", "unshare", "setpriv", "prlimit", "pivot_root", "ip", "findmnt", "hostname"]
        .into_iter()
        .find(|tool| {
            !["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|dir| Path::new(dir).join(tool).exists())
        });
    missing.inspect(|tool| note_skip(test, &format!("{tool} is not installed"))).is_none()
}

#[test]
fn the_two_containers_that_people_build_by_hand() {
    let place = Place::new();
    if !tools("the_two_containers_that_people_build_by_hand") {
        return;
    }
    let host = namespaces("self", "the host's");
    for caller in place.callers() {
        let minimal = caller.new_root("minimal", &["--minimal"]);
        let root = caller.root("root");
        let volume = caller.home().join("volume");
        fs::create_dir(&volume).expect("a volume");
        let before = Outside::look(&place);
        if caller.is_root() {
            let script = compare(&caller, &["--userns=host", "--share=net,cgroup"], &minimal, &host);
            assert!(!declared(&script).contains("id-map"), "{script}");
        }
        let volume = format!("{}:/volume", volume.display());
        compare(&caller, &["--hostname", "container2", "-v", &volume], &root, &host);
        let _ = fs::remove_file(caller.home().join("script.sh"));
        before.is_unchanged(&place);
    }
}

#[test]
fn what_options_make_of_it() {
    let place = Place::new();
    if !tools("what_options_make_of_it") {
        return;
    }
    let host = namespaces("self", "the host's");
    let null =
        fs::metadata("/dev/null").map(|null| (null.uid(), null.gid(), null.mode())).expect("/dev/null");
    for caller in place.callers() {
        let root = caller.root("root");
        let data = caller.home().join("it's a volume");
        fs::create_dir_all(data.join("below")).expect("a volume");
        let [plain, read_only] =
            ["", ":ro,noexec"].map(|options| format!("{}:/volume{options}", data.display()));
        let mut cases: Vec<Vec<&str>> = vec![
            vec![],
            vec!["--userns=single"],
            vec!["-v", &plain, "--tmpfs", "/srv:size=1m"],
            vec!["-v", &read_only, "-v", "/etc/hostname:/mnt/a file", "-w", "/volume"],
            vec!["--ephemeral"],
            vec!["--read-only", "--hardened", "--umask", "027"],
            vec!["--chroot"],
            vec!["--init"],
            vec!["--monotonic=3600", "--ulimit", "nofile=64:128"],
            vec!["--share=ipc,uts,cgroup"],
            vec!["--cap-add=CHOWN", "--cap-drop=ALL", "--allow-setuid"],
            vec!["-e", "A=it's $(id)\n#", "-e", "odd.name=1", "-e", "LC_ALL=xx_YY.UTF-8"],
        ];
        if caller.has_many_ids() {
            cases.extend([vec!["-u", "1000:100"], vec!["-u", "1000", "--chroot"]]);
        }
        if caller.is_root() {
            cases.extend([vec!["--userns=host"], vec!["--userns=host", "--ephemeral", "-u", "65534"]]);
        }
        for options in cases {
            compare(&caller, &options, &root, &host);
            let now = fs::metadata("/dev/null").map(|null| (null.uid(), null.gid(), null.mode()));
            assert_eq!(now.ok(), Some(null), "{caller}: {options:?}: the host's /dev/null");
        }
    }
}

/// The cgroups of a container of this name, of all hierarchies.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = left.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let entry_name = entry.file_name().to_string_lossy().into_owned();
            if entry_name.starts_with("husk-") && entry_name.ends_with(&format!("-{name}")) {
                found.push(entry.path());
            }
            left.push(entry.path());
        }
    }
    found
}

/// The values of its limits.
fn limits(name: &str) -> BTreeMap<String, String> {
    let files = [
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "memory.max",
        "memory.swap.max",
        "memory.oom.group",
        "pids.max",
        "cpu.cfs_quota_us",
        "cpu.max",
        "cpuset.cpus",
    ];
    let values = |cgroup: PathBuf| {
        files.into_iter().filter_map(move |file| {
            let value = fs::read_to_string(cgroup.join(file)).ok()?;
            Some((file.to_owned(), value.trim().to_owned()))
        })
    };
    cgroups(name).into_iter().flat_map(values).collect()
}

#[test]
fn the_limits_are_the_same_and_the_cgroup_goes() {
    let place = Place::new();
    let test = "the_limits_are_the_same_and_the_cgroup_goes";
    if !tools(test) {
        return;
    }
    if !is_root() {
        skip!(test, "whether a user has a part of the cgroup tree depends on the machine");
    }
    let caller = place.root();
    let root = caller.root("root");
    let name = format!(
        "limits{}",
        place.path().file_name().expect("a name").to_string_lossy().replace("husk-test", "")
    );
    let options = ["-m", "64m", "--cpus", "0.5", "--cpuset-cpus", "0", "--pids-limit", "99"];
    let script = compare(&caller, &options, &root, &namespaces("self", "the host's"));
    assert!(!declared(&script).contains("cgroup"), "{script}");
    let words: Vec<_> = ["-q", "--name", &name].iter().chain(&options).copied().collect();
    let run = |words: &[&str]| {
        let mut running = caller.shell(words, &root, "echo there; exec sleep 100").start();
        running.wait_for("there");
        running
    };
    let running = run(&words);
    let by_husk = limits(&name);
    running.signal(husk_tests::Signal::TERM);
    running.finish();
    assert!(by_husk.len() >= 4 && by_husk.get("pids.max").is_some_and(|limit| limit == "99"), "{by_husk:?}");
    assert_eq!(limits(&name), BTreeMap::new());
    let script = [&["run", "--as-shell"], words.as_slice()].concat();
    let script = caller.husk(script).arg(&root).args(["/bin/sh", "-c", "echo there; read end; exit 0"]);
    let script = script.run().succeeds().stdout.clone();
    let mut running = run_script(&caller, &script).start();
    running.wait_for("there");
    let by_script = limits(&name);
    running.finish().succeeds();
    assert_eq!(by_script, by_husk, "{script}");
    assert_eq!(limits(&name), BTreeMap::new(), "the script's cgroup is left");
    // Also if the kernel lets go of it a moment later, as if somebody were still in it; and the command's status stays.
    let script = script.replace("exit 0", "exit 7");
    let mut running = run_script(&caller, &script).start();
    running.wait_for("there");
    let late = caller.command("sleep").arg("1000").start();
    let directories = cgroups(&name);
    for directory in &directories {
        fs::write(directory.join("cgroup.procs"), late.pid().to_string()).expect("it moves");
    }
    running.write("\n");
    let alone = format!("{}\n", late.pid());
    let is_alone = |directory: &PathBuf| {
        fs::read_to_string(directory.join("cgroup.procs")).is_ok_and(|pids| pids == alone)
    };
    until("the container ends", || directories.iter().all(is_alone));
    drop(late);
    running.finish().exits(7);
    assert_eq!(cgroups(&name), [""; 0].map(PathBuf::from), "the script's cgroup is left");
}

#[test]
fn the_default_root_and_subordinate_ids() {
    let place = Place::new();
    let test = "the_default_root_and_subordinate_ids";
    if !tools(test) {
        return;
    }
    let host = namespaces("self", "the host's");
    for caller in place.callers() {
        // The default root is built by the first that needs it.
        caller.husk(["run", "-q", "--", "true"]).run().succeeds();
        let default = fs::read_dir(caller.data_home().join("husk")).expect("a data directory").flatten();
        let default = default.map(|entry| entry.path()).find(|path| path.is_dir()).expect("a default root");
        compare(&caller, &["--ephemeral"], &default, &host);
        let script = caller.husk(["run", "-q", "--as-shell", "--", "/bin/sh", "-c", "echo $$; exit 7"]).run();
        let output = run_script(&caller, &script.succeeds().stdout).run();
        output.exits(7).prints("1\n");
    }
    match place.with_subordinate_ids() {
        Ok(caller) => {
            let root = caller.root("subordinate-root");
            let script = compare(&caller, &["-u", "1000:100"], &root, &host);
            assert!(script.contains("newuidmap \"$pid\" 0 "), "{script}");
        }
        Err(reason) => skip!(test, "{reason}"),
    }
}

#[test]
fn the_namespaces_of_another() {
    let place = Place::new();
    if !tools("the_namespaces_of_another") {
        return;
    }
    for caller in place.callers() {
        let root = caller.root("root");
        let mut other = caller.shell(&["-q", "--hostname", "other"], &root, "echo up; read end").start();
        other.wait_for("up");
        let pid = other.container().to_string();
        let mut known = namespaces("self", "the host's");
        known.extend(namespaces(&pid, "the other's"));
        let join = |kinds: &[&str]| {
            kinds.iter().flat_map(|kind| ["--join".to_owned(), format!("{kind}={pid}")]).collect()
        };
        let some: Vec<String> = join(&["user", "net", "ipc", "uts"]);
        compare(&caller, &some.iter().map(String::as_str).collect::<Vec<_>>(), &root, &known);
        enter(&caller, &join(&["user", "pid", "net", "ipc", "uts", "cgroup", "mnt"]), &known);
        other.write("end\n");
        other.finish().succeeds();
    }
}

/// As [`compare`], in the mount namespace of another container, in which there is no bash.
fn enter(caller: &Caller<'_>, join: &[String], known: &BTreeMap<String, &str>) {
    let command = ["--", "/bin/sh", "-c", OBSERVE];
    let by_husk = caller.husk(["run", "-q"]).args(join).args(command).run();
    let script = caller.husk(["run", "-q"]).args(join).arg("--as-shell").args(command).run();
    let script = script.succeeds().stdout.clone();
    let by_script = run_script(caller, &script).run();
    let keys = declared(&script);
    assert!(keys.contains("capabilities"), "{script}");
    let [mut husks, mut scripts] =
        [&by_husk, &by_script].map(|output| comparable(&sections(output.succeeds()), known, &keys));
    // The pid of the observer itself, which is not 1.
    for seen in [&mut husks, &mut scripts] {
        seen.retain(|section, _| section != "pid" && section != "session");
    }
    for (section, seen) in &husks {
        let other = scripts.get(section).cloned().unwrap_or_default();
        assert_eq!(*seen, other, "{caller}: {section}: by husk, by the script");
    }
}

/// The configurations that Docker and Podman wrote.
const ENGINES: [(&str, &str); 2] = [
    ("docker", include_str!("../../crates/husk-spec/tests/configs/docker.json")),
    ("podman", include_str!("../../crates/husk-spec/tests/configs/podman.json")),
];

/// The configuration of an engine for `caller`, with the observer for its command.
fn engines(caller: &Caller<'_>, config: &str, root: &Path) -> Value {
    let mut config: Value = serde_json::from_str(config).expect("JSON");
    config["root"]["path"] = root.display().to_string().into();
    config["process"]["args"] = json!(["/bin/sh", "-c", OBSERVE]);
    let place = caller.home().parent().and_then(Path::file_name).expect("the test's own place");
    config["linux"]["cgroupsPath"] = format!("/{}-{caller}", place.display()).into();
    if !caller.is_root() {
        let own = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
        config["linux"]["uidMappings"] = own(caller.uid());
        config["linux"]["gidMappings"] = own(caller.gid());
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        namespaces.push(json!({ "type": "user" }));
        config["linux"].as_object_mut().expect("an object").remove("resources");
        // Group 5 is not mapped, and cgroups of version 1 are root's to make.
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        mounts.retain(|mount| mount["type"] != "cgroup");
        for mount in mounts {
            mount["options"].as_array_mut().expect("options").retain(|option| option != "gid=5");
        }
    }
    config
}

/// As [`compare`], of the bundle with this configuration.
fn compare_bundle(caller: &Caller<'_>, case: &str, config: &Value, known: &BTreeMap<String, &str>) -> String {
    let bundle = caller.bundle("bundle", config);
    let run = || caller.husk(["run", "-q", "--name", "same", "--bundle"]).arg(&bundle);
    let script = run().arg("--as-shell").run().succeeds().stdout.clone();
    compare_with(caller, &format!("{caller}: {case}"), &run().run(), &script, known);
    script
}

#[test]
fn the_bundles_of_engines() {
    let place = Place::new();
    if !tools("the_bundles_of_engines") {
        return;
    }
    let host = namespaces("self", "the host's");
    for caller in place.callers() {
        let root = caller.root("root");
        for (engine, config) in ENGINES {
            let config = engines(&caller, config, &root);
            let script = compare_bundle(&caller, engine, &config, &host);
            assert!(script.contains("[mounts[0]]"), "{script}");
        }
    }
}

/// As the engines write them for a machine whose cgroups are systemd's.
#[test]
fn the_bundles_of_engines_with_systemds_cgroups() {
    let test = "the_bundles_of_engines_with_systemds_cgroups";
    if !tools(test) {
        return;
    }
    if !is_root() || !is_unified() || !Path::new("/run/systemd/system").is_dir() {
        skip!(test, "the machine's systemd makes scopes for root, on cgroup v2");
    }
    let place = Place::new();
    let host = namespaces("self", "the host's");
    let caller = place.root();
    let root = caller.root("root");
    for (engine, config) in ENGINES {
        let mut config = engines(&caller, config, &root);
        let unit = format!("husktest{}", std::process::id());
        config["linux"]["cgroupsPath"] = format!("husktest.slice:{unit}:{engine}").into();
        config["linux"]["resources"]["pids"] = json!({ "limit": 77 });
        config["linux"]["resources"]["cpu"] = json!({ "quota": 123_450, "period": 50_000 });
        let limits = "echo '## scope'; (cd /sys/fs/cgroup$(busybox sed -n s/^0:://p /proc/self/cgroup); busybox pwd; \
                      busybox grep . pids.max cpu.max cpu.weight memory.max)";
        config["process"]["args"] = json!(["/bin/sh", "-c", limits.to_owned() + OBSERVE]);
        let script = compare_bundle(&caller, engine, &config, &host);
        let keys = declared(&script);
        assert!(script.contains(&format!("--unit={unit}-{engine}.scope --slice=husktest.slice")), "{script}");
        assert!(keys.contains("device-rules") && !keys.contains("cgroup"), "{engine}: {keys:?}");
    }
}

#[test]
fn what_a_bundle_can_ask_for_beyond_options() {
    let place = Place::new();
    let test = "what_a_bundle_can_ask_for_beyond_options";
    if !tools(test) {
        return;
    }
    if !is_root() {
        skip!(test, "device nodes and shared mounts are root's");
    }
    let host = namespaces("self", "the host's");
    let caller = place.root().contained_with_shared_mounts();
    let root = place.root().root("root");
    let data = caller.home().join("data-to-bind");
    fs::create_dir_all(&data).expect("a directory");
    let change = |change: &dyn Fn(&mut Value)| {
        let mut config = engines(&caller, ENGINES[0].1, &root);
        change(&mut config);
        config
    };
    let bind = |options: &[&str]| json!({ "destination": "/volume", "type": "bind", "source": data.display().to_string(), "options": options });
    let mounts = |options: &'static [&'static str]| {
        move |config: &mut Value| config["mounts"].as_array_mut().expect("mounts").push(bind(options))
    };
    let cases: Vec<(&str, Value)> = vec![
        (
            "names",
            change(&|config| {
                config["hostname"] = "inside".into();
                config["domainname"] = "example.org".into();
                config["process"]["oomScoreAdj"] = 321.into();
            }),
        ),
        (
            "a user with capabilities",
            change(&|config| {
                let process = &mut config["process"];
                process["user"] =
                    json!({ "uid": 1000, "gid": 100, "additionalGids": [4, 27], "umask": 0o027 });
                process["noNewPrivileges"] = true.into();
                process["cwd"] = "/made/for/it".into();
                let some = json!(["CAP_CHOWN", "CAP_KILL"]);
                for set in ["inheritable", "ambient", "permitted", "effective", "bounding"] {
                    process["capabilities"][set] = some.clone();
                }
            }),
        ),
        (
            "inheritable capabilities of root",
            change(&|config| {
                config["process"]["capabilities"]["inheritable"] = json!(["CAP_NET_RAW"]);
            }),
        ),
        (
            "devices with owners",
            change(&|config| {
                config["linux"]["devices"] = json!([
                    { "path": "/dev/deep/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 7, "gid": 8 },
                    { "path": "/dev/pipe", "type": "p", "fileMode": 0o600, "uid": 1, "gid": 1 },
                ]);
            }),
        ),
        ("a shared root", change(&|config| config["linux"]["rootfsPropagation"] = "rshared".into())),
        ("a private root", change(&|config| config["linux"]["rootfsPropagation"] = "private".into())),
        ("an unbindable root", change(&|config| config["linux"]["rootfsPropagation"] = "runbindable".into())),
        ("a read-only root", change(&|config| config["root"]["readonly"] = true.into())),
        ("a slave mount", change(&mounts(&["rbind", "rslave", "ro"]))),
        ("a private mount", change(&mounts(&["bind", "private", "noexec", "nosuid"]))),
    ];
    for (case, config) in cases {
        compare_bundle(&caller, case, &config, &host);
    }
}

/// A command with line breaks must not get out of the comments, nor a name of a file out of its quotes.
#[test]
fn nothing_that_a_person_gives_is_executed() {
    let place = Place::new();
    if !tools("nothing_that_a_person_gives_is_executed") {
        return;
    }
    for caller in place.callers() {
        let root = caller.root("root $(touch spilled)\n touch spilled #");
        let word = "'; touch spilled\n touch spilled\n$(touch spilled)`touch spilled` \\";
        let script = caller.husk(["run", "-q", "--as-shell", "-e", &format!("A={word}")]).arg(&root);
        let script = script.args(["/bin/echo", "-n", word]).run().succeeds().stdout.clone();
        let output = run_script(&caller, &script).run();
        output.succeeds().prints(word);
        assert!(!caller.home().join("spilled").exists(), "{caller}: {script}");
        assert!(!root.join("spilled").exists(), "{caller}: {script}");
    }
}
