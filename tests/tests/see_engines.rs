// SPDX-License-Identifier: Apache-2.0
//! `husk see` among real containers of Docker, Podman, containerd, buildah, bubblewrap, `unshare` and husk, side by side.
#![forbid(unsafe_code)]

use std::path::Path;

use husk_engines::{Engine, Setting, World};
use husk_tests::{Place, is_root, skip};
use serde_json::{Value, json};

const PROGRAMS: &[&str] = &[
    "/usr/sbin/runc",
    "/usr/sbin/dockerd",
    "/usr/bin/podman",
    "/usr/bin/containerd",
    "/usr/bin/bwrap",
    "/usr/bin/tini",
];

/// Starts one of each; every first process sleeps for a time of its own, by which it is found.
const START: &str = r#"
docker run -d --name web --memory 64m --pids-limit 50 box sleep 1001
docker run -d --name inside --pid container:web --net container:web box sleep 1002
docker run -d --name loose --pid host --net host --ipc host --uts host box sleep 1003
podman run -d --name pod box sleep 1011
podman run -d --name mapped --uidmap 0:100000:65536 --gidmap 0:100000:65536 box sleep 1012
run -d shimmed sleep 1021
bwrap --unshare-all --bind /tmp/engines/root / --proc /proc --dev /dev sleep 1031 >/dev/null 2>&1 &
unshare --pid --uts --ipc --mount --fork --mount-proc chroot /tmp/engines/root sleep 1041 >/dev/null 2>&1 &
setpriv --reuid 1000 --regid 1000 --clear-groups unshare --user --map-root-user --net sleep 1051 >/dev/null 2>&1 &
husk run -q --name own /tmp/engines/root sleep 1061 >/dev/null 2>&1 &
for seconds in 1001 1002 1003 1011 1012 1021 1031 1041 1051 1061; do
    await 1 sh -c "ps -e -o comm=,args= | grep -c '^sleep .*sleep $seconds\$'" >/dev/null
done
"#;

/// The one container whose first process sleeps that long.
fn container(seen: &Value, seconds: u32) -> &Value {
    let command = json!(["sleep", seconds.to_string()]);
    let containers = seen["containers"].as_array().expect("a list");
    let has = |container: &&Value| {
        let mut processes = container["processes"].as_array().expect("a list").iter();
        processes.any(|process| process["command"] == command)
    };
    let found: Vec<_> = containers.iter().filter(has).collect();
    assert_eq!(found.len(), 1, "sleep {seconds}: {seen:#}");
    found[0]
}

/// Whose the namespaces of a container are, as `kind: own` in the order of the letters, the host's left out.
fn namespaces(container: &Value) -> String {
    let namespaces = container["namespaces"].as_object().expect("an object");
    let not_hosts = namespaces.iter().filter(|(_, namespace)| namespace["is"] != "host");
    let words = not_hosts.map(|(kind, namespace)| match namespace["is"].as_str() {
        Some("own") => kind.clone(),
        _ => format!("{kind} of {}", namespace["with"]),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The process that sleeps that long: its id on the host and inside.
fn process(container: &Value, seconds: u32) -> (u64, u64) {
    let command = json!(["sleep", seconds.to_string()]);
    let mut processes = container["processes"].as_array().expect("a list").iter();
    let process = processes.find(|process| process["command"] == command).expect("it is in it");
    let inside = process["pids"].as_array().and_then(|pids| pids.last()).and_then(Value::as_u64);
    (process["pid"].as_u64().expect("a number"), inside.expect("a number"))
}

/// Engine, name, and namespaces.
fn summary(container: &Value) -> (&str, &str, String) {
    let text = |key: &str| container[key].as_str().unwrap_or("-");
    (text("engine"), text("name"), namespaces(container))
}

/// The directory that is the root, as the host sees it.
fn root(container: &Value) -> &str {
    container["roots"][0]["root"]["on_host"].as_str().expect("it is known")
}

const ISOLATED: &str = "ipc mnt net pid uts";

#[test]
fn containers_of_all_engines_side_by_side() {
    let name = "containers_of_all_engines_side_by_side";
    if !is_root() {
        skip!(name, "Docker's daemon has to be root's");
    }
    if let Some(missing) = PROGRAMS.iter().find(|program| !Path::new(program).exists()) {
        skip!(name, "{missing} is not installed: cargo xtask setup");
    }
    let place = Place::new();
    let setting =
        Setting { runtime: "/usr/sbin/runc".into(), programs: vec![place.binary()], without_unified: false };
    let mut world = World::start(&setting).expect("a world");
    for engine in [Engine::Docker, Engine::Podman, Engine::Containerd] {
        engine.start(&mut world).unwrap_or_else(|error| panic!("{error}"));
    }
    world.must(START).unwrap_or_else(|error| panic!("{error}"));
    let seen = world.must("husk see --json").unwrap_or_else(|error| panic!("{error}"));
    let seen: Value = serde_json::from_str(&seen).expect("JSON");
    let of = |seconds| container(&seen, seconds);
    let inside = |seconds| process(of(seconds), seconds).1;

    let web = of(1001);
    assert_eq!(summary(web), ("docker", "web", ISOLATED.into()));
    assert_eq!(inside(1001), 1);
    assert!(root(web).starts_with("/tmp/engines/docker/data/overlay2/"), "{}", root(web));
    let shared = format!("ipc mnt net of [{id}] pid of [{id}] uts", id = web["id"]);
    assert_eq!(summary(of(1002)), ("docker", "inside", shared));
    assert_eq!((&of(1002)["inside"], inside(1002) > 1), (&web["id"], true), "it is in web's pid namespace");
    assert_eq!(summary(of(1003)), ("docker", "loose", "mnt".into()));
    assert_eq!(inside(1003), process(of(1003), 1003).0, "it has the host's process ids");

    assert_eq!(summary(of(1011)), ("podman", "pod", ISOLATED.into()));
    let mapped = of(1012);
    assert_eq!(summary(mapped), ("podman", "mapped", "ipc mnt net pid user uts".into()));
    assert_eq!(mapped["uid_map"], json!([{"inside": 0, "outside": 100_000, "count": 65536}]));
    assert_eq!(mapped["outside"][0]["name"], "conmon", "it has mounts of its own, and is no container");
    for container in [of(1011), mapped] {
        assert!(root(container).starts_with("/tmp/engines/storage/overlay/"), "{}", root(container));
    }

    assert_eq!(summary(of(1021)), ("containerd", "shimmed", ISOLATED.into()));
    assert_eq!(root(of(1021)), "/run/containerd/io.containerd.runtime.v2.task/default/shimmed/rootfs");

    let everything = "cgroup ipc mnt net pid user uts";
    assert_eq!(summary(of(1031)), ("bwrap", "-", everything.into()));
    assert_eq!((inside(1031), root(of(1031))), (2, "/tmp/engines/root"), "bwrap itself is 1");

    assert_eq!(summary(of(1041)), ("unshare", "-", "ipc mnt pid uts".into()));
    assert_eq!((inside(1041), root(of(1041))), (1, "/tmp/engines/root"));
    assert_eq!(of(1041)["roots"][0]["root"]["is_chroot"], true);
    assert_eq!(of(1041)["outside"][0]["name"], "unshare");
    // unshare without --fork has become the command: nothing is left of it.
    assert_eq!(summary(of(1051)), ("-", "-", "net user".into()));
    assert_eq!(of(1051)["uid_map"], json!([{"inside": 0, "outside": 1000, "count": 1}]));
    assert_eq!(of(1051)["roots"][0]["root"]["is_host"], true);

    assert_eq!(summary(of(1061)), ("husk", "own", everything.into()));
    assert_eq!((inside(1061), root(of(1061))), (1, "/tmp/engines/root"));

    assert_eq!(seen["containers"].as_array().map(Vec::len), Some(10), "and no other: {seen:#}");
    let limits = world.must("husk see --json web").unwrap_or_else(|error| panic!("{error}"));
    let limits: Value = serde_json::from_str(&limits).expect("JSON");
    let web = &limits["processes"][0];
    assert_eq!((&web["limits"]["memory_bytes"], &web["limits"]["processes"]), (&json!(64 << 20), &json!(50)));
    assert_eq!(web["seccomp"], "filter");
    for name in ["web", "inside", "loose", "pod", "mapped", "shimmed", "own"] {
        let text = world.must(&format!("husk see {name}")).unwrap_or_else(|error| panic!("{error}"));
        assert!(text.contains(&format!("made by {}", engine_of(name))), "{name}: {text}");
    }
    // While it runs, why tells what the kernel knows, and the command for what it does not.
    for name in ["web", "pod"] {
        let text = world.must(&format!("husk why {name}")).unwrap_or_else(|error| panic!("{error}"));
        assert!(text.contains(&format!("{name} runs, made by {}", engine_of(name))), "{text}");
        assert!(text.contains("seccomp  1 filter\n"), "{text}");
        let cure = text.lines().find_map(|line| line.strip_prefix("  cure     ")).expect("a cure");
        let (command, _) = cure.split_once(": runs").expect("what it does");
        if Path::new("/usr/bin/jq").exists() {
            // It sleeps, and so is asked to end.
            let command = command.replace("husk why", "timeout --signal INT 3 husk why");
            let told = world.must(&format!("cd $(mktemp -d) && {{ {command} 2>&1 || true; }}"));
            let told = told.unwrap_or_else(|error| panic!("{error}"));
            assert!(
                told.contains("refused  nothing: the seccomp profile let every system call pass"),
                "{told}"
            );
        }
    }
    let text = world.must("husk why web").unwrap_or_else(|error| panic!("{error}"));
    assert!(text.contains("limit: 64 MiB\n") && text.contains("refused; limit: 50\n"), "{text}");
}

fn engine_of(name: &str) -> &'static str {
    match name {
        "web" | "inside" | "loose" => "docker",
        "pod" | "mapped" => "podman",
        "shimmed" => "containerd",
        _ => "husk",
    }
}
