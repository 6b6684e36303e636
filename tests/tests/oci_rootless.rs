// SPDX-License-Identifier: Apache-2.0
//! husk-oci as an ordinary user: the life of a container, where its state is, its ids, and what cannot be had.
#![forbid(unsafe_code)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use husk_tests::oci::{Runtime, is_unified};
use husk_tests::{Caller, Command, Output, Place, copy_program, is_root, skip, until};
use serde_json::{Value, json};

/// A user with a runtime directory, a bundle made by `spec --rootless`, and husk-oci.
struct User<'p> {
    caller: Caller<'p>,
    program: PathBuf,
    runtime_directory: PathBuf,
}

impl<'p> User<'p> {
    fn new(place: &'p Place, caller: Caller<'p>) -> Self {
        let program = place.path().join("husk-oci");
        let built = Runtime::under_test().expect("husk-oci").path();
        if !program.exists() {
            copy_program(built, &program);
        }
        let runtime_directory = caller.home().join("run");
        caller.command("mkdir").args(["-m", "700"]).arg(&runtime_directory).run().succeeds();
        Self { caller, program, runtime_directory }
    }

    fn oci(&self, words: &[&str]) -> Command {
        let command = self.caller.command(&self.program).args(words);
        command.env("XDG_RUNTIME_DIR", &self.runtime_directory)
    }

    /// A bundle with a busybox root, which runs `script`.
    fn bundle(&self, name: &str, script: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let bundle = self.caller.home().join(name);
        self.caller.command("mkdir").arg(&bundle).run().succeeds();
        self.oci(&["spec", "--rootless", "--bundle"]).arg(&bundle).run().succeeds().prints("");
        let file = bundle.join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&file).expect("a config")).expect("JSON");
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sh", "-c", script]);
        change(&mut spec);
        fs::write(&file, spec.to_string()).expect("a config");
        self.caller.root(&format!("{name}-root"));
        fs::rename(self.caller.home().join(format!("{name}-root")), bundle.join("rootfs")).expect("a root");
        bundle
    }

    /// An id that no other test's container has: where the user has cgroups, they go by it.
    fn id(&self, name: &str) -> String {
        let place = self.program.parent().and_then(Path::file_name).expect("a place").to_string_lossy();
        format!("{name}-{place}")
    }

    fn run(&self, bundle: &Path) -> Output {
        self.oci(&["run", "--bundle"]).arg(bundle).arg(self.id("one")).run()
    }

    #[track_caller]
    fn state(&self, id: &str) -> Value {
        let output = self.oci(&["state", id]).run();
        serde_json::from_str(&output.succeeds().stdout).unwrap_or_else(|error| panic!("{error}\n{output}"))
    }

    /// Waits until the container has ended.
    #[track_caller]
    fn wait(&self, id: &str) {
        until("it is stopped", || self.state(id)["status"] == "stopped");
    }

    /// Fails the test if there is a state.
    #[track_caller]
    fn has_no_state(&self) {
        self.oci(&["list", "-q"]).run().succeeds().prints("");
        let left: Vec<_> = fs::read_dir(self.runtime_directory.join("husk")).into_iter().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn is_husk_oci(test: &str) -> bool {
    let name = Runtime::under_test().map(Runtime::name);
    if name != Ok("husk-oci") {
        husk_tests::note_skip(test, "the state of other runtimes is elsewhere");
    }
    name == Ok("husk-oci")
}

#[test]
fn the_life_of_a_users_container() {
    if !is_husk_oci("the_life_of_a_users_container") {
        return;
    }
    let place = Place::new();
    let user = User::new(&place, place.ordinary());
    let id = &*user.id("life");
    let script = "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done";
    let bundle = user.bundle("bundle", script, |_| ());
    let bundle = bundle.to_str().expect("text");
    let (out, pid_file) = (format!("{bundle}/out"), format!("{bundle}/pid"));
    // Whoever waits for the end of these streams waits for the container.
    let create = "exec \"$0\" create --bundle \"$1\" --pid-file \"$2\" \"$4\" >\"$3\" 2>&1 </dev/null";
    let sh = user.caller.command("sh").env("XDG_RUNTIME_DIR", &user.runtime_directory);
    sh.args(["-c", create]).arg(&user.program).args([bundle, &pid_file, &out, id]).run().succeeds();

    let directory = user.runtime_directory.join("husk").join(id);
    let of = |path: &Path| fs::metadata(path).map(|data| (data.uid(), data.mode() & 0o777)).expect("a state");
    assert_eq!(of(&directory), (user.caller.uid(), 0o700));
    assert_eq!(of(&directory.join("state.json")), (user.caller.uid(), 0o600));
    let state = user.state(id);
    assert_eq!((&state["status"], &state["bundle"]), (&json!("created"), &json!(bundle)));
    assert_eq!(fs::read_to_string(&pid_file).expect("a pid file"), state["pid"].to_string());

    user.oci(&["start", id]).run().succeeds().prints("");
    until("it is up", || fs::read_to_string(&out).expect("output") == "up\n");
    assert_eq!(user.state(id)["status"], "running");
    user.oci(&["start", id]).run().exits(1).says("running");
    user.oci(&["list", "-q"]).run().succeeds().prints(&format!("{id}\n"));
    let list: Value =
        serde_json::from_str(&user.oci(&["list", "--format", "json"]).run().stdout).expect("JSON");
    assert_eq!((&list[0]["id"], &list[0]["status"]), (&json!(id), &json!("running")));

    // Root inside, and the user outside.
    user.oci(&["exec", id, "id", "-u"]).run().succeeds().prints("0\n");
    let shown =
        user.oci(&["exec", "--cwd", "/tmp", "-e", "WORD=said", id, "sh", "-c", "pwd; echo $WORD"]).run();
    shown.succeeds().prints("/tmp\nsaid\n");
    user.oci(&["exec", id, "sh", "-c", "exit 5"]).run().exits(5);
    user.oci(&["exec", id, "no-such-program"]).run().exits(255).says("executable file not found");
    user.oci(&["exec", "-u", "1000", id, "id"]).run().exits(255).says("is not mapped");
    let of_init = fs::metadata(format!("/proc/{}", state["pid"])).expect("the first process");
    assert_eq!(of_init.uid(), user.caller.uid());

    // Without a cgroup that is the user's to make, what needs one is refused; with one it works.
    let has_cgroup =
        !fs::read_to_string(directory.join("state.json")).expect("a state").contains("\"cgroup\":null")
            && user.oci(&["ps", id]).run().code() == 0;
    for words in [&["ps", id][..], &["pause", id], &["resume", id], &["events", "--stats", id]] {
        let output = user.oci(words).run();
        match has_cgroup {
            true => output.succeeds(),
            false => output.exits(1).says("it has no cgroup of its own").says("delegated"),
        };
    }
    assert_eq!(user.state(id)["status"], "running");

    user.oci(&["delete", id]).run().exits(1).says("running");
    user.oci(&["kill", id, "TERM"]).run().succeeds();
    user.wait(id);
    assert_eq!(user.state(id)["pid"], 0);
    user.oci(&["kill", id, "KILL"]).run().exits(1).says("container not running");
    user.oci(&["exec", id, "true"]).run().exits(255).says("container not running");
    user.oci(&["delete", id]).run().succeeds();
    user.has_no_state();
    user.oci(&["state", id]).run().exits(1).says("container does not exist");
    user.oci(&["delete", "--force", id]).run().succeeds();
}

#[test]
fn a_user_runs_a_container_to_its_end() {
    if !is_husk_oci("a_user_runs_a_container_to_its_end") {
        return;
    }
    let place = Place::new();
    let user = User::new(&place, place.ordinary());
    let script =
        "cat; id -u; hostname; ls /sys/fs/cgroup >/dev/null && echo shown; touch /x 2>/dev/null; exit 7";
    let bundle = user.bundle("bundle", script, |spec| spec["hostname"] = json!("inside"));
    let run = || user.oci(&["run", "--bundle"]).arg(&bundle).arg(user.id("one"));
    run().input("from outside\n").run().exits(7).prints("from outside\n0\ninside\nshown\n");
    user.has_no_state();
    assert!(!bundle.join("rootfs/x").exists(), "root.readonly");

    run().env("XDG_RUNTIME_DIR", "").run().exits(7);
    let fallback = PathBuf::from(format!("/tmp/husk-{}", user.caller.uid()));
    let found = fs::metadata(&fallback).expect("the state where there is no runtime directory");
    assert_eq!((found.uid(), found.mode() & 0o777), (user.caller.uid(), 0o700));
    fs::remove_dir(&fallback).expect("nothing is left in it");

    let id = &*user.id("two");
    user.oci(&["run", "--detach", "--bundle"]).arg(&bundle).arg(id).run().succeeds();
    user.wait(id);
    user.oci(&["delete", id]).run().succeeds();
    user.has_no_state();
}

#[test]
fn subordinate_ids_are_mapped_by_the_helpers() {
    let test = "subordinate_ids_are_mapped_by_the_helpers";
    if !is_husk_oci(test) {
        return;
    }
    let place = Place::new();
    let caller = match place.with_subordinate_ids() {
        Ok(caller) => caller,
        Err(reason) => skip!("subordinate_ids_are_mapped_by_the_helpers", "{reason}"),
    };
    let user = User::new(&place, caller);
    let (own, [uids, gids]) =
        ((user.caller.uid(), user.caller.gid()), user.caller.ranges().expect("this caller has them"));
    let map = |own: u32, (first, count): (u32, u32)| {
        json!([
            {"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first, "size": count}
        ])
    };
    let script =
        "cat /proc/self/uid_map /proc/self/gid_map; touch /own /given; chown 1000:100 /given; id -u; id -G";
    let bundle = user.bundle("bundle", script, |spec| {
        spec["root"]["readonly"] = json!(false);
        spec["linux"]["uidMappings"] = map(own.0, uids);
        spec["linux"]["gidMappings"] = map(own.1, gids);
        spec["process"]["user"] = json!({"uid": 0, "gid": 0, "additionalGids": [7]});
        let sets = spec["process"]["capabilities"].as_object_mut().expect("sets");
        sets.values_mut().for_each(|set| set.as_array_mut().expect("a set").push(json!("CAP_CHOWN")));
    });
    let output = user.run(&bundle);
    let words: Vec<_> = output.succeeds().stdout.split_whitespace().collect();
    let number = |number: u32| number.to_string();
    let expected = [
        "0".to_owned(),
        number(own.0),
        number(1),
        number(1),
        number(uids.0),
        number(uids.1),
        "0".to_owned(),
        number(own.1),
        number(1),
        number(1),
        number(gids.0),
        number(gids.1),
        "0".to_owned(),
        "0".to_owned(),
        "7".to_owned(),
    ];
    assert_eq!(words, expected);
    let owner = |name: &str| {
        fs::metadata(bundle.join("rootfs").join(name)).map(|data| (data.uid(), data.gid())).expect("a file")
    };
    assert_eq!(owner("own"), own, "root inside is the user outside");
    assert_eq!(owner("given"), (uids.0 + 999, gids.0 + 99), "the others are of the range");

    let strangers = user.bundle("strangers", "true", |spec| {
        spec["linux"]["uidMappings"] = map(own.0, (uids.0 + uids.1, 1));
        spec["linux"]["gidMappings"] = map(own.1, gids);
    });
    user.run(&strangers).exits(1).says("newuidmap").says("/etc/subuid");
    user.has_no_state();
}

#[test]
fn what_a_user_cannot_have_is_refused_with_its_reason() {
    if !is_husk_oci("what_a_user_cannot_have_is_refused_with_its_reason") {
        return;
    }
    let place = Place::new();
    let user = User::new(&place, place.ordinary());
    let refused = |name: &str, change: &dyn Fn(&mut Value), words: &[&str]| {
        let bundle = user.bundle(name, "echo ran", |spec| change(spec));
        let output = user.run(&bundle);
        output.exits(1).prints("");
        for word in words {
            output.says(word);
        }
        user.has_no_state();
    };
    let remove_user = |spec: &mut Value| {
        let linux = spec["linux"].as_object_mut().expect("linux");
        linux.retain(|key, _| !key.ends_with("Mappings"));
        linux["namespaces"]
            .as_array_mut()
            .expect("namespaces")
            .retain(|namespace| namespace["type"] != "user");
    };
    refused("hosts-user", &remove_user, &["linux.namespaces", "needs root", "spec --rootless"]);
    let strangers = |spec: &mut Value| spec["linux"]["uidMappings"][0]["hostID"] = json!(1);
    // Who has subordinate ids is refused by the helper that maps them.
    let who = if user.caller.ranges().is_some() { "newuidmap" } else { "linux.uidMappings" };
    refused("strangers", &strangers, &[who, "/etc/subuid"]);
    let below = |spec: &mut Value| spec["process"]["oomScoreAdj"] = json!(-900);
    refused("oom", &below, &["process.oomScoreAdj", "CAP_SYS_RESOURCE"]);
    let rlimit = |spec: &mut Value| {
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 1 << 30, "hard": 1 << 30}]);
    };
    refused("rlimit", &rlimit, &["process.rlimits[0]"]);
    let hosts_sysctl = |spec: &mut Value| spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    refused("sysctl", &hosts_sysctl, &["linux.sysctl"]);

    // A cgroup of a session may be the user's to divide.
    let limited = user.bundle("limited", "echo ran", |spec| {
        spec["linux"]["resources"] = json!({"memory": {"limit": 50_000_000}});
    });
    let output = user.run(&limited);
    match output.code() {
        0 => output.prints("ran\n"),
        _ => output.exits(1).prints("").says("linux.resources").says("not yours to divide"),
    };
    user.has_no_state();
}

#[test]
fn a_user_has_what_is_the_containers_own() {
    if !is_husk_oci("a_user_has_what_is_the_containers_own") {
        return;
    }
    let place = Place::new();
    let user = User::new(&place, place.ordinary());
    let script = "cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj /volume/file; echo word >/dev/null; \
                  echo new >/volume/new; mount -t tmpfs none /mnt 2>/dev/null || echo refused; test -c /dev/kmsg && echo node";
    let bundle = user.bundle("bundle", script, |spec| {
        spec["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({"type": "network"}));
        spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
        spec["process"]["oomScoreAdj"] = json!(900);
        // A node is the host's, in a user namespace: it has to be there.
        spec["linux"]["devices"] = json!([{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]);
        let volume = json!({
            "destination": "/volume", "type": "bind", "source": "volume", "options": ["rbind", "nosuid", "nodev"]
        });
        spec["mounts"].as_array_mut().expect("mounts").push(volume);
        spec["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO"}]
        });
    });
    user.caller.command("mkdir").arg(bundle.join("volume")).run().succeeds();
    fs::write(bundle.join("volume/file"), "text\n").expect("a file");
    fs::set_permissions(bundle.join("volume/file"), Permissions::from_mode(0o644)).expect("chmod");
    user.run(&bundle).succeeds().prints("1\n900\ntext\nrefused\nnode\n");
    let new = fs::metadata(bundle.join("volume/new")).expect("what the container has written");
    assert_eq!(new.uid(), user.caller.uid());
    user.has_no_state();
}

#[test]
fn a_users_scope_is_made_by_the_users_own_systemd() {
    let test = "a_users_scope_is_made_by_the_users_own_systemd";
    if !is_husk_oci(test) {
        return;
    }
    let bus = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    if is_root() || !is_unified() || bus.is_empty() {
        skip!(
            "a_users_scope_is_made_by_the_users_own_systemd",
            "this is no session of a user's on cgroup v2"
        );
    }
    let place = Place::new();
    let user = User::new(&place, place.ordinary());
    let name = format!("husktest{}", std::process::id());
    let id = &*user.id("scope");
    let bundle = user.bundle("bundle", "exec sleep 1000", |spec| {
        spec["linux"]["cgroupsPath"] = json!(format!(":{name}:{id}"));
        spec["linux"]["resources"] = json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 33}});
        let namespaces = spec["linux"]["namespaces"].as_array_mut().expect("namespaces");
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        namespaces.push(json!({"type": "cgroup"}));
    });
    let bundle = bundle.to_str().expect("text");
    let oci = |words: &[&str]| user.oci(words).env("DBUS_SESSION_BUS_ADDRESS", &bus);
    // Whoever waits for the end of these streams waits for the container.
    let run = "exec \"$0\" --systemd-cgroup run --detach --bundle \"$1\" \"$2\" >\"$1/out\" 2>&1 </dev/null";
    let run = || {
        let sh = user.caller.command("sh").env("XDG_RUNTIME_DIR", &user.runtime_directory);
        let sh =
            sh.env("DBUS_SESSION_BUS_ADDRESS", &bus).args(["-c", run]).arg(&user.program).args([bundle, id]);
        let ran = sh.run();
        assert_eq!(ran.code(), 0, "{:?}", fs::read_to_string(format!("{bundle}/out")));
    };
    run();

    let text = fs::read_to_string(format!("/proc/{}/cgroup", user.state(id)["pid"])).expect("cgroups");
    let path = text.trim().trim_start_matches("0::").to_owned();
    let (uid, unit) = (user.caller.uid(), format!("{name}-{id}.scope"));
    assert!(path.ends_with(&format!("/user@{uid}.service/user.slice/{unit}")), "{path}");
    let read = |file: &str| {
        fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).expect("a file of the scope's")
    };
    assert_eq!((read("memory.max").trim(), read("pids.max").trim()), ("67108864", "33"));
    // This process may be in the scope of a session, from where it may not put anybody there itself.
    oci(&["exec", id, "cat", "/proc/self/cgroup"]).run().succeeds().prints("0::/\n");
    oci(&["exec", id, "sh", "-c", "exit 6"]).run().exits(6);
    oci(&["update", "--pids-limit", "44", id]).run().succeeds();
    assert_eq!(read("pids.max").trim(), "44");
    let pids: Vec<i64> =
        serde_json::from_str(&oci(&["ps", "--format", "json", id]).run().stdout).expect("JSON");
    assert_eq!(json!(pids), json!([user.state(id)["pid"]]));
    oci(&["pause", id]).run().succeeds();
    assert_eq!(user.state(id)["status"], "paused");
    oci(&["resume", id]).run().succeeds();
    // Without a word of where the bus is: the scope is empty, and systemd sees that.
    user.oci(&["delete", "--force", id]).run().succeeds();
    user.has_no_state();
    assert!(!Path::new(&format!("/sys/fs/cgroup{path}")).exists());

    // What was written down first says whose systemd has it.
    run();
    fs::write(user.runtime_directory.join(format!("husk/{id}/state.json")), "{").expect("a state");
    let procs = format!("/sys/fs/cgroup{path}/cgroup.procs");
    assert!(fs::read_to_string(&procs).is_ok_and(|pids| !pids.is_empty()));
    oci(&["delete", "--force", id]).run().succeeds();
    user.has_no_state();
    assert!(!Path::new(&format!("/sys/fs/cgroup{path}")).exists());
}
