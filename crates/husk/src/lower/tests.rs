// SPDX-License-Identifier: Apache-2.0

use std::collections::BTreeSet;
use std::ffi::OsString;

use husk_spec::{Capabilities, Mount, Origin, Stdio, Terminal, TimeOffset, User, UserNamespace};

use super::*;
use crate::cli::{self, Request};
use crate::failure::Failure;

/// Ann, at home, with pipes on all sides.
pub(super) fn caller() -> Caller {
    let variable = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
    Caller {
        directory: PathBuf::from("/home/ann"),
        environment: [("EDITOR", "vi"), ("TERM", "screen"), ("SECRET", "x")].iter().map(variable).collect(),
        env_files: Vec::new(),
        bundle: None,
        block_devices: [("/dev/sda".into(), Some((8, 0))), ("/dev/null".into(), None)].into(),
        terminals: Vec::new(),
        terminal_size: None,
        default_root: PathBuf::from("/home/ann/.local/share/husk/root"),
        name: "calm-otter".to_owned(),
    }
}

fn at_a_terminal() -> Caller {
    Caller {
        terminals: vec![Stdio::Input, Stdio::Output, Stdio::Error],
        terminal_size: Some((80, 24)),
        ..caller()
    }
}

/// Words of a line, separated by spaces; `''` is an empty one.
fn run(line: &str) -> Run {
    let words = line.split_whitespace().map(|word| if word == "''" { "" } else { word });
    let line: Vec<OsString> = ["husk", "run"].into_iter().chain(words).map(OsString::from).collect();
    match cli::parse(&line) {
        Ok(Request::Run(run)) => run,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn lowered(line: &str) -> Lowered {
    lower(&run(line), &caller()).unwrap_or_else(|refused| panic!("{line}: {}", Failure::from(refused)))
}

fn config(line: &str) -> Config {
    lowered(line).config
}

/// Which lines of the default configuration a command line changes.
fn changed(line: &str) -> String {
    let dump = |config: &Config| format!("{config:#?}").lines().map(str::to_owned).collect::<Vec<_>>();
    let (default, asked) = (dump(&config("root")), dump(&config(line)));
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (default.iter().collect(), asked.iter().collect());
    let gone = default.iter().filter(|line| !new.contains(line)).map(|line| format!("- {}", line.trim()));
    let come = asked.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {}", line.trim()));
    gone.chain(come).collect::<Vec<_>>().join("\n")
}

fn targets(config: &Config) -> Vec<String> {
    let target = |mount: &Given<Mount>| match &mount.value {
        Mount::Filesystem(new) => format!("{} {}", new.kind, new.target.display()),
        Mount::Bind(bind) => format!("{} {}", bind.source.display(), bind.target.display()),
        Mount::Cgroup(cgroup) => format!("cgroup {}", cgroup.target.display()),
        Mount::Remount(remount) => format!("remount {}", remount.target.display()),
    };
    config.mounts.iter().map(target).collect()
}

#[test]
fn the_default_container() {
    insta::assert_debug_snapshot!(lowered(""));
}

#[test]
fn a_container_with_much_asked_for() {
    let line = "--name web --hostname box -e A=1 -e EDITOR -w /srv -u www-data:adm --umask 027 -v ./site:/srv:ro \
                --mount type=tmpfs,dst=/cache,tmpfs-size=1g --tmpfs /tmp:size=1g --device /dev/fuse --cap-drop ALL \
                --cap-add chown,NET_ADMIN --ulimit nofile=64:128 -it --init --ephemeral --chroot --userns single \
                --share time,cgroup --join ipc=77 --allow-setuid --sysctl net.ipv4.ip_forward=1 ./root/ /bin/httpd -f";
    insta::assert_snapshot!(changed(line));
}

#[test]
fn a_root_of_ones_own_is_written_to_and_the_default_one_is_not() {
    let writes = |line: &str| {
        let root = config(line).root.expect("a root");
        (root.path.value.display().to_string(), root.writes.value)
    };
    let default = "/home/ann/.local/share/husk/root".to_owned();
    assert_eq!(writes(""), (default.clone(), Writes::Ephemeral));
    assert_eq!(writes("-- ls"), (default.clone(), Writes::Ephemeral));
    assert_eq!(writes("--read-only"), (default, Writes::Refused));
    assert_eq!(writes("root"), ("/home/ann/root".into(), Writes::Through));
    assert_eq!(writes("--ephemeral /r/./x/"), ("/r/x".into(), Writes::Ephemeral));
    assert_eq!(writes("--read-only ../r"), ("/home/ann/../r".into(), Writes::Refused));
}

#[test]
fn the_users_mount_takes_the_place_of_a_default() {
    assert_eq!(
        targets(&config("")),
        [
            "proc /proc",
            "tmpfs /dev",
            "devpts /dev/pts",
            "tmpfs /dev/shm",
            "mqueue /dev/mqueue",
            "sysfs /sys",
            "tmpfs /tmp",
            "tmpfs /run"
        ]
    );
    let replaced = config("-v ./x:/tmp --tmpfs /dev -v /b:/a/b -v /a:/a root");
    assert_eq!(
        targets(&replaced),
        [
            "proc /proc",
            "tmpfs /dev",
            "devpts /dev/pts",
            "tmpfs /dev/shm",
            "mqueue /dev/mqueue",
            "sysfs /sys",
            "/home/ann/x /tmp",
            "tmpfs /run",
            "/a /a",
            "/b /a/b"
        ]
    );
    assert_eq!(replaced.mounts[1].origin, Origin::Argument("--tmpfs".into()));
}

#[test]
fn nothing_is_made_in_a_dev_of_the_hosts() {
    let config = config("-v /dev:/dev -v /x:/dev/shm root");
    assert_eq!(
        targets(&config),
        ["proc /proc", "/dev /dev", "sysfs /sys", "tmpfs /tmp", "tmpfs /run", "/x /dev/shm"]
    );
    assert!(config.devices.is_empty() && config.links.is_empty());
}

#[test]
fn a_device_takes_the_place_of_a_default_one() {
    let config = config("--device /dev/zero:/dev/null root");
    let nulls: Vec<_> = config.devices.iter().filter(|d| d.value.target == Path::new("/dev/null")).collect();
    assert_eq!((config.devices.len(), nulls.len()), (6, 1));
    assert_eq!(nulls[0].value.source, Path::new("/dev/zero"));
}

#[test]
fn what_cannot_be_mounted_anew_is_the_hosts() {
    let of = |line: &str| targets(&config(line));
    assert!(of("--share pid root").contains(&"/proc /proc".to_owned()));
    assert!(of("--network host root").contains(&"/sys /sys".to_owned()));
    assert!(of("--ipc host root").contains(&"/dev/shm /dev/shm".to_owned()));
    assert!(!of("--ipc host root").contains(&"mqueue /dev/mqueue".to_owned()));
    for line in ["--share user,pid root", "--pid host --userns host root"] {
        assert!(of(line).contains(&"proc /proc".to_owned()), "{line}");
    }
    assert!(of("--share user,net root").contains(&"sysfs /sys".to_owned()));
    let joined = lowered("--join net=7 root");
    assert!(!targets(&joined.config).iter().any(|target| target.ends_with("/sys")));
    assert_eq!(joined.notes.len(), 1);
    assert!(of("--join net=7 --join user=7 root").contains(&"sysfs /sys".to_owned()));
}

#[test]
fn hardened_is_less_of_proc_and_no_sys() {
    insta::assert_snapshot!(changed("--hardened root"));
}

fn bounding(line: &str) -> Capabilities {
    match config(line).process.capabilities.value {
        Grant::Bounded(set) => set,
        Grant::Sets(sets) => panic!("{sets:?}"),
    }
}

#[test]
fn sys_admin_only_in_a_user_namespace_of_its_own() {
    let of = |line: &str| bounding(line).to_string();
    let default = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID";
    assert_eq!(of("root"), format!("{default} SYS_ADMIN"));
    assert_eq!(of("--userns single root"), format!("{default} SYS_ADMIN"));
    assert_eq!(of("--userns host root"), default);
    assert_eq!(of("--share user root"), default);
    assert_eq!(of("--join user=7 root"), default);
}

#[test]
fn capabilities_are_added_and_dropped_as_in_docker() {
    let of = bounding;
    assert_eq!(of("--cap-drop ALL root"), Capabilities::NONE);
    assert_eq!(of("--cap-drop all --cap-add CAP_CHOWN,kill root").to_string(), "CHOWN KILL");
    assert_eq!(of("--cap-add ALL root"), Capabilities::all());
    assert_eq!(of("--cap-add ALL --cap-drop BPF root").bits(), Capabilities::all().bits() & !(1 << 39));
    assert_eq!(
        of("--cap-drop SYS_ADMIN,KILL root").to_string(),
        "CHOWN DAC_OVERRIDE FOWNER FSETID SETGID SETUID"
    );
}

#[test]
fn namespaces_in_the_words_of_docker_are_those_of_husk() {
    for (ours, dockers) in [
        ("--share net", "--network=host"),
        ("--share pid", "--pid host"),
        ("--share ipc", "--ipc host"),
        ("--share uts", "--uts host"),
        ("--share cgroup", "--cgroupns host"),
        ("--join net=/run/netns/a", "--network ns:/run/netns/a"),
    ] {
        let values = |line: &str| {
            let namespaces = config(&format!("{line} root")).namespaces;
            [namespaces.network, namespaces.pid, namespaces.ipc, namespaces.uts, namespaces.cgroup]
                .map(|kind| kind.value)
        };
        assert_eq!(values(ours), values(dockers), "{ours}");
        assert_ne!(values(ours), values(""), "{ours}");
    }
    assert_eq!(config("--network none --share pid --pid host root").namespaces.network.value, Namespace::New);
    assert_eq!(config("--userns host --share user root").namespaces.user.value, UserNamespace::Host);
}

#[test]
fn a_namespace_that_is_joined_is_named_by_its_path() {
    let namespaces = config("--join net=77 --join user=./u root").namespaces;
    assert_eq!(namespaces.network.value, Namespace::Join("/proc/77/ns/net".into()));
    assert_eq!(namespaces.user.value, UserNamespace::Join("/home/ann/u".into()));
}

#[test]
fn a_joined_mount_namespace_brings_its_root() {
    let config = config("--join mnt=77 -- ls");
    assert_eq!(config.root, None);
    assert!(config.mounts.is_empty() && config.devices.is_empty() && config.links.is_empty());
    assert!(config.masked_paths.value.is_empty() && config.readonly_paths.value.is_empty());
}

#[test]
fn clocks_that_are_set_need_a_time_namespace() {
    assert_eq!(config("root").namespaces.time.value, Namespace::Host);
    let namespaces = config("--boottime -1.5 root").namespaces;
    assert_eq!(namespaces.time.value, Namespace::New);
    let boottime = namespaces.time_offsets.boottime.expect("set").value;
    assert_eq!(boottime, TimeOffset { seconds: -2, nanoseconds: 500_000_000 });
    assert_eq!(namespaces.time_offsets.monotonic, None);
}

#[test]
fn the_terminal_takes_the_place_of_the_callers_and_leaves_pipes() {
    let of = |line: &str, caller: &Caller| lower(&run(line), caller).expect("lowers").config.process;
    let all = vec![Stdio::Input, Stdio::Output, Stdio::Error];
    let term = |process: &husk_spec::Process| {
        let found = process.environment.iter().find(|variable| variable.value.name == "TERM");
        found.map(|variable| variable.value.value.to_string_lossy().into_owned())
    };
    let piped = of("root", &caller());
    assert_eq!((piped.terminal.stdio.len(), term(&piped)), (0, None));
    let whole = of("root", &at_a_terminal());
    assert_eq!(whole.terminal, Terminal { stdio: all.clone(), size: Some((80, 24)), inherit_settings: true });
    assert_eq!(term(&whole).as_deref(), Some("screen"));
    let half = of("-i root", &Caller { terminals: vec![Stdio::Output], ..at_a_terminal() });
    assert_eq!(half.terminal.stdio, [Stdio::Output]);
    let forced = of("-t root", &Caller { environment: Vec::new(), ..caller() });
    assert_eq!((forced.terminal.stdio.clone(), term(&forced).as_deref()), (all, Some("xterm")));
}

#[test]
fn the_host_name_is_the_containers_name_unless_it_is_shared() {
    let of = |line: &str| config(line).hostname.map(|given| given.value);
    assert_eq!(of("root").as_deref(), Some("calm-otter"));
    assert_eq!(of("--name web root").as_deref(), Some("web"));
    assert_eq!(of("--name web -h box root").as_deref(), Some("box"));
    assert_eq!(of("--share uts root"), None);
    let hostname = |variable: &Given<husk_spec::Environment>| variable.value.name == "HOSTNAME";
    assert!(config("root").process.environment.iter().any(hostname));
    assert!(!config("--share uts root").process.environment.iter().any(hostname));
}

#[test]
fn nothing_of_the_callers_environment_gets_in_unasked() {
    let names: Vec<_> =
        config("root").process.environment.into_iter().map(|given| given.value.name).collect();
    assert_eq!(names, ["PATH", "HOSTNAME"]);
}

#[test]
fn the_user_is_root_or_as_typed() {
    assert_eq!(config("root").process.user.value, User::Numeric { uid: 0, gid: 0, groups: vec![] });
    assert_eq!(config("-u 1000:5 root").process.user.value, User::Named("1000:5".into()));
}

#[test]
fn sysctls_replace_defaults_and_take_both_separators() {
    let of = |line: &str| -> Vec<String> {
        config(line).sysctls.iter().map(|s| format!("{}={}", s.value.name, s.value.value)).collect()
    };
    assert_eq!(of("root"), ["net.ipv4.ip_unprivileged_port_start=0", "net.ipv4.ping_group_range=0 65535"]);
    assert_eq!(of("--share net root"), [""; 0]);
    assert_eq!(
        of("--sysctl net.ipv4.ip_unprivileged_port_start=80 --sysctl net/ipv4/conf/eth0.1/forwarding=1 root"),
        [
            "net.ipv4.ping_group_range=0 65535",
            "net.ipv4.ip_unprivileged_port_start=80",
            "net.ipv4.conf.eth0/1.forwarding=1"
        ]
    );
    assert_eq!(of("--share net --sysctl kernel.shmmax=1 --sysctl user.max_user_namespaces=1 root").len(), 2);
}

/// What is limited, and by which options.
fn limits(line: &str) -> Option<husk_spec::PassingCgroup> {
    match config(line).cgroup?.value {
        husk_spec::Cgroup::Passing(passing) => Some(*passing),
        other => panic!("{other:?}"),
    }
}

#[test]
fn limits_are_dockers() {
    let plain = limits("root").expect("a limit of processes");
    assert_eq!((plain.resources.pids.and_then(|pids| pids.limit), plain.asked.len()), (Some(1024), 0));
    for any in ["-1", "0"] {
        assert_eq!(limits(&format!("--pids-limit {any} root")), None, "there is nothing left to limit");
    }
    let memory = |line: &str| limits(line).expect("limits").resources.memory.expect("memory");
    assert_eq!(memory("-m 64m root").swap, Some(128 << 20), "as much swap as memory");
    assert_eq!(memory("-m 64m --memory-swap 64m root").swap, Some(64 << 20));
    assert_eq!(memory("-m 64m --memory-swap -1 root").swap, Some(-1));
    let cpu = limits("--cpus 1.5 --cpuset-cpus 0-2,5 root").expect("limits").resources.cpu.expect("cpu");
    assert_eq!((cpu.quota, cpu.period, cpu.cpus.as_str()), (Some(150_000), Some(100_000), "0-2,5"));
    let all =
        limits("--device-read-bps /dev/sda:1m --blkio-weight 500 --cgroup-parent /a root").expect("limits");
    let block_io = all.resources.block_io.expect("block devices");
    let throttle = &block_io.throttle_read_bps_device[0];
    assert_eq!((throttle.major, throttle.minor, throttle.rate), (8, 0, 1 << 20));
    assert_eq!((block_io.weight, all.parent.as_deref()), (Some(500), Some("/a")));
    let options: Vec<_> = all.asked.iter().map(|(_, option)| *option).collect();
    assert_eq!(options, ["--io-weight", "--device-read-bps", "--cgroup-parent"]);
}

/// Every refusal of lowering, as a person sees it.
#[test]
fn refusals() {
    let long = "x".repeat(65);
    let lines = [
        "--name=-x",
        "--name a/b",
        &format!("--name {long}"),
        "--name ''",
        "--hostname a_b!",
        "--hostname .x",
        "--hostname x --share uts",
        "--read-only --ephemeral root",
        "''",
        "root ''",
        "-u 4294967295",
        "-u 0:4294967296",
        "-u :",
        "-u a:b:c",
        "-w srv",
        "--umask 9",
        "--umask 1000",
        "-e =x",
        "-v data:/data",
        "-v /data",
        "-v a/b:c",
        "-v /a:/b:nope",
        "-v /a:/b:c:d",
        "-v /a:/b:z",
        "-v /a:/b:rshared",
        "-v /a:/b --tmpfs /b/",
        "--mount type=volume,dst=/a",
        "--mount src=/a,dst=/b",
        "--mount type=tmpfs,dst=/a,nope=1",
        "--tmpfs a",
        "--tmpfs /",
        "--tmpfs /a:size=x",
        "--tmpfs /a/../b",
        "--device fuse",
        "--device /dev/fuse:r",
        "-v /dev:/dev --device /dev/fuse",
        "--cap-add NOPE",
        "--cap-drop ''",
        "--cap-add KILL --cap-drop KILL",
        "--cap-add ALL --cap-drop ALL",
        "--ulimit nofile",
        "--ulimit files=1",
        "--ulimit nofile=2:1",
        "--ulimit nofile=x",
        "--userns keep-id",
        "--userns auto --share user",
        "--share mnt",
        "--share nope",
        "--share net --network none",
        "--share net --join net=1",
        "--join net",
        "--join net=x",
        "--join net=0",
        "--join nope=1",
        "--join pid=7",
        "--join mnt=7 root",
        "--join mnt=7 -v /a:/b",
        "--network bridge",
        "--network container:x",
        "--pid x",
        "--init --share pid",
        "--hardened --pid host",
        "--boottime soon",
        "--boottime 1 --share time",
        "--monotonic 5000000000",
        "--sysctl a",
        "--sysctl vm.swappiness=1",
        "--sysctl net.x=1 --network host",
        "--sysctl kernel.hostname=x",
        "--sysctl net..x=1",
        "--sysctl net.//.x=1",
        "--sysctl user.x=1 --userns host",
        "-m 1q root",
        "-m 0 root",
        "--memory-swap 1g root",
        "-m 1g --memory-swap 512m root",
        "-m 1g --memory-reservation 2g root",
        "--cpus 0 root",
        "--cpus many root",
        "--cpu-shares 1 root",
        "--cpuset-cpus 3-1 root",
        "--cpuset-mems all root",
        "--pids-limit -5 root",
        "--io-weight 5 root",
        "--device-read-bps /dev/sda root",
        "--device-write-bps /dev/sda:fast root",
        "--device-read-iops /dev/null:5 root",
        "--cgroup-parent ../up root",
        "--cgroup-parent system.slice root",
        "--systemd-cgroup root",
        "--no-systemd-cgroup root",
    ];
    let all: Vec<String> = lines
        .iter()
        .map(|line| match lower(&run(line), &caller()) {
            Err(refused) => {
                let failure = Failure::from(refused);
                assert_eq!(failure.status, 125, "{line}");
                format!("$ husk run {line}\n{failure}\n")
            }
            Ok(_) => panic!("{line} is taken"),
        })
        .collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn lowering_is_pure() {
    let line = "-it --name x -v ./a:/b root";
    assert_eq!(config(line), config(line));
}

#[test]
fn a_chroot_that_does_not_hold_is_noted() {
    assert_eq!(lowered("--chroot root").notes, [""; 0]);
    assert_eq!(lowered("--chroot --cap-add SYS_CHROOT root").notes.len(), 1);
    assert_eq!(lowered("--cap-add SYS_CHROOT root").notes, [""; 0]);
}
