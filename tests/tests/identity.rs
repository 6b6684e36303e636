// SPDX-License-Identifier: Apache-2.0
//! Who the command is, what it may do, and what it is given.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use husk_tests::{Caller, Place, copy_program, is_root, skip};

/// The capability sets, inheritable to ambient, and no_new_privs, as `/proc/self/status` has them.
fn privileges(caller: &Caller<'_>, options: &[&str], root: &Path) -> String {
    let script = "grep -E '^(Cap|NoNewPrivs)' /proc/self/status";
    let text = caller.inside(options, root, script);
    let sets: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once(":\t")).collect();
    let set = |name| u64::from_str_radix(sets[name], 16).expect("a set in hexadecimal");
    let [inheritable, permitted, effective, bounding, ambient] =
        ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(set);
    assert_eq!((inheritable, ambient), (0, 0), "{caller} {options:?}: nothing is inherited");
    assert_eq!(permitted, effective, "{caller} {options:?}");
    format!("{effective:x} of {bounding:x}, {}", sets["NoNewPrivs"])
}

#[test]
fn root_has_few_capabilities() {
    let place = Place::new();
    let all = fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("the last capability");
    let all = (1u64 << (all.trim().parse::<u32>().expect("a number") + 1)) - 1;
    for caller in place.callers() {
        let root = caller.root("root");
        // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID, and SYS_ADMIN over its own namespaces.
        for (options, expected) in [
            (&[][..], "2000fb of 2000fb, 1".to_owned()),
            (&["--cap-add", "NET_RAW"], "2020fb of 2020fb, 1".to_owned()),
            (&["--cap-add", "cap_net_raw,NET_ADMIN"], "2030fb of 2030fb, 1".to_owned()),
            (&["--cap-drop", "SYS_ADMIN,CHOWN"], "fa of fa, 1".to_owned()),
            (&["--cap-drop", "ALL"], "0 of 0, 1".to_owned()),
            (&["--cap-drop", "ALL", "--cap-add", "KILL"], "20 of 20, 1".to_owned()),
            (&["--cap-add", "ALL"], format!("{all:x} of {all:x}, 1")),
            (&["--cap-add=ALL", "--cap-drop=KILL"], format!("{0:x} of {0:x}, 1", all & !0x20)),
            (&["--allow-setuid"], "2000fb of 2000fb, 0".to_owned()),
            (&["--init"], "2000fb of 2000fb, 1".to_owned()),
        ] {
            assert_eq!(privileges(&caller, options, &root), expected, "{caller} {options:?}");
        }
        caller.run(&["--cap-add", "EVERYTHING"], &root, "true").exits(125).says("--cap-add");
        caller.run(&["--cap-drop=CHOWN"], &root, "touch /x && chown 0:5 /x").exits(1);
    }
}

#[test]
fn a_user_has_no_capabilities() {
    if !is_root() {
        skip!("a_user_has_no_capabilities", "an ordinary user has no other user inside");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("root");
    assert_eq!(privileges(&caller, &["-u", "1000"], &root), "0 of 2000fb, 1");
    assert_eq!(privileges(&caller, &["-u", "1000", "--cap-add", "NET_RAW"], &root), "0 of 2020fb, 1");
    assert_eq!(privileges(&caller, &["-u", "1000", "--allow-setuid"], &root), "0 of 2000fb, 0");
    caller.run(&["-u", "1000"], &root, "touch /x").exits(1).says("Permission denied");
    let caller = caller.contained();
    assert_eq!(privileges(&caller, &["--userns=host"], &root), "fb of fb, 1");
    assert_eq!(privileges(&caller, &["--userns=host", "-u", "nobody"], &root), "0 of fb, 1");
}

#[test]
fn set_user_id_programs_work_only_if_allowed() {
    if !is_root() {
        skip!("set_user_id_programs_work_only_if_allowed", "an ordinary user has no other user inside");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.new_root("root", &["--from", "host"]);
    copy_program(&root.join("bin/id"), &root.join("bin/raised"));
    fs::set_permissions(root.join("bin/raised"), fs::Permissions::from_mode(0o4755)).expect("chmod");
    assert_eq!(caller.inside(&["-u", "1000"], &root, "/bin/raised -u"), "1000\n");
    assert_eq!(caller.inside(&["-u", "1000", "--allow-setuid"], &root, "/bin/raised -u"), "0\n");
}

#[test]
fn the_user_is_looked_up_in_the_container() {
    if !is_root() {
        skip!("the_user_is_looked_up_in_the_container", "an ordinary user has no other user inside");
    }
    let place = Place::new();
    let caller = place.root();
    let root = caller.root("root");
    let passwd = "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
    let group = "root:x:0:\nadm:x:4:web,root\naudio:x:29:web\nweb:x:34:web\ntty:x:5:\n";
    fs::write(root.join("etc/passwd"), passwd).expect("passwd");
    fs::write(root.join("etc/group"), group).expect("group");
    let script = "echo $(id -u) $(id -g) $(grep Groups: /proc/self/status) $HOME";
    for (user, expected) in [
        ("root", "0 0 Groups: 4 /root"),
        ("0", "0 0 Groups: 4 /root"),
        ("web", "33 34 Groups: 4 29 /srv"),
        ("33", "33 34 Groups: 4 29 /srv"),
        ("web:tty", "33 5 Groups: /srv"),
        ("33:7", "33 7 Groups: /srv"),
        ("1000", "1000 0 Groups: /"),
        ("1000:1000", "1000 1000 Groups: /"),
        ("65534:65534", "65534 65534 Groups: /"),
    ] {
        assert_eq!(caller.inside(&["-u", user], &root, script), format!("{expected}\n"), "{user}");
    }
    assert_eq!(caller.inside(&[], &root, script), "0 0 Groups: /root\n", "unasked, root has no other group");
    for user in [
        "no-such",
        "web:no-such",
        "-1",
        "+1",
        "4294967295",
        "4294967296",
        "1000:4294967295",
        "",
        "0:",
        ":0",
        "a b",
        "70000",
    ] {
        let output = caller.run(&[&format!("--user={user}")], &root, "true");
        output.exits(125).says("--user");
    }
}

#[test]
fn the_environment_is_what_was_asked_for() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let env = |options: &[&str]| {
            let command = caller.husk(["run", "--name", "box"]).args(options).arg(&root).arg("env");
            let command = command.env("TERM", "vt220").env("SECRET", "host").env("LD_PRELOAD", "/x.so");
            let output = command.run();
            let mut lines: Vec<_> = output.succeeds().stdout.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        assert_eq!(env(&[]), ["HOME=/root", "HOSTNAME=box", path], "{caller}");
        assert_eq!(env(&["-t"]), ["HOME=/root", "HOSTNAME=box", path, "TERM=vt220"], "{caller}");
        let file = caller.home().join("variables");
        fs::write(&file, "# a comment\nFROM=file\nBOTH=file\nSECRET\nQUOTED=\"x\"\n").expect("a file");
        let options = [
            "--env-file",
            file.to_str().expect("text"),
            "-e",
            "BOTH=word",
            "-e",
            "HOME=/",
            "-eABSENT",
            "-e",
            "E=",
        ];
        let expected =
            ["BOTH=word", "E=", "FROM=file", "HOME=/", "HOSTNAME=box", path, "QUOTED=\"x\"", "SECRET=host"];
        assert_eq!(env(&options), expected, "{caller}");
        fs::remove_file(root.join("etc/passwd")).expect("accounts");
        assert_eq!(env(&[]), ["HOME=/root", "HOSTNAME=box", path], "{caller}: without accounts too");
        for option in ["--env==x", "--env-file=/does/not/exist"] {
            caller.run(&[option], &root, "true").exits(125).says("--env");
        }
    }
}

#[test]
fn the_working_directory_is_inside() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        assert_eq!(caller.inside(&[], &root, "pwd"), "/\n", "{caller}");
        assert_eq!(caller.inside(&["-w", "/etc"], &root, "pwd; ls passwd"), "/etc\npasswd\n", "{caller}");
        assert_eq!(caller.inside(&["-w", "/../../bin/.."], &root, "/bin/pwd"), "/\n", "{caller}");
        assert_eq!(caller.inside(&["-w", "/sbin"], &root, "/bin/pwd"), "/bin\n", "{caller}: through a link");
        let output = caller.run(&["-w", "/etc/passwd"], &root, "true");
        output.exits(125).says("/etc/passwd");
    }
}

#[test]
fn nothing_but_the_three_streams_is_open() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let opened = ["sh", "-c", "exec 3</ 4</etc 5</proc/self 6>/dev/null 9</ && exec \"$@\"", "sh"];
        for options in [&[][..], &["--init"], &["--ephemeral"], &["--monotonic=1"], &["-t"]] {
            let command = caller.husk(["run"]).args(options).arg(&root).args(["/bin/ls", "/proc/self/fd"]);
            let output = command.through(opened).run();
            let found: Vec<_> = output.succeeds().stdout.split_whitespace().collect();
            assert_eq!(found, ["0", "1", "2", "3"], "{caller} {options:?}: 3 is the directory itself");
            let links =
                caller.husk(["run"]).args(options).arg(&root).args(["/bin/sh", "-c", "ls -l /proc/1/fd"]);
            let links = links.through(opened).run().stdout;
            assert!(!links.contains("-> /\n") && !links.contains("/etc"), "{caller} {options:?}: {links}");
        }
    }
}

#[test]
fn signals_are_as_a_program_expects_them() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let ignoring = ["env", "--ignore-signal=HUP,INT,QUIT,USR1,CHLD,TERM,PIPE,RTMIN"];
        for options in [&[][..], &["--init"]] {
            let script = "grep -E 'Sig(Blk|Ign|Pnd)' /proc/self/status; exit 7";
            let output = caller.shell(options, &root, script).through(ignoring).run();
            let lines = "SigPnd:\t0000000000000000\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
            output.exits(7).prints(lines);
        }
    }
}

#[test]
fn limits_are_set() {
    let place = Place::new();
    for caller in place.callers() {
        let root = caller.root("root");
        let limits = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc";
        let options = ["--ulimit", "nofile=64:128"];
        assert_eq!(caller.inside(&options, &root, limits), "64\n128\n0\n0\n", "{caller}");
        let raised = caller.run(&["--ulimit", "nofile=64:1073741000"], &root, "ulimit -Hn");
        assert_ne!(raised.code(), 0, "{caller}: above what anybody may have: {raised}");
        caller.run(&["--ulimit", "hats=3"], &root, "true").exits(125).says("--ulimit");
        assert_eq!(caller.inside(&[], &root, "umask"), "0022\n", "{caller}");
        caller.run(&["--umask", "9"], &root, "true").exits(125).says("--umask");
    }
}

#[test]
fn pipes_belong_to_the_user_and_files_stay_whose_they_are() {
    let place = Place::new();
    let owner = |path: &Path| {
        let found = fs::metadata(path).expect("a file");
        (found.uid(), found.gid())
    };
    let before = owner(Path::new("/dev/null"));
    for caller in place.callers() {
        let root = caller.root("root");
        let mut users = vec![&[][..]];
        if caller.has_many_ids() {
            users.push(&["-u", "1000:1000"]);
        }
        for options in users {
            let script = "echo out > /dev/stdout; echo err > /dev/stderr; cat < /dev/stdin";
            let husk = caller.husk(["run", "-q"]).args(options).arg(&root).args(["/bin/sh", "-c", script]);
            let pipes = caller.command("sh").args(["-c", "echo in | \"$@\" 2>&1 | cat", "sh"]);
            let output = pipes.arg(place.binary()).args(husk.process().get_args()).run();
            assert_eq!(output.stdout, "out\nerr\nin\n", "{caller} {options:?}");
        }
        // A file that somebody else's shell opened for husk.
        let file = place.path().join("file");
        fs::write(&file, "").expect("a file");
        let husk = caller.husk(["run", "-q"]).arg(&root).args(["echo", "text"]);
        let redirected = caller.command("sh").args(["-c", "\"$@\" >> \"$0\" < /dev/null"]).arg(&file);
        let redirected = redirected.arg(place.binary()).args(husk.process().get_args());
        let writable = fs::Permissions::from_mode(0o666);
        fs::set_permissions(&file, writable).expect("permissions");
        let owned = owner(&file);
        redirected.run().succeeds();
        assert_eq!((fs::read_to_string(&file).expect("text").as_str(), owner(&file)), ("text\n", owned));
    }
    assert_eq!(owner(Path::new("/dev/null")), before);
}
