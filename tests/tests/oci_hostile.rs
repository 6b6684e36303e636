// SPDX-License-Identifier: Apache-2.0
//! Root file systems and callers' words that are out to do harm, under an OCI runtime: the classes of attack that this kind of
//! program has fallen to. Beside each there is a harmless twin that has to work, and all that is outside the root, a canary above
//! all, has to stay as it was.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use husk_tests::oci::{Bundle, ConsoleSocket, Site, SpecChange};
use husk_tests::{Command, Output, contained_site, copy_program};
use serde_json::{Value, json};

/// What nobody in a container may see.
const SECRET: &str = "the canary sings";

/// A directory beside the bundles, open to everybody, so that nothing but the runtime keeps a container out of it.
struct Canary {
    path: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

impl Canary {
    fn new(site: &Site) -> Self {
        let path = site.path().join("canary");
        for directory in ["", "directory", "sys/net/ipv4"] {
            fs::create_dir_all(path.join(directory)).expect("the canary");
            fs::set_permissions(path.join(directory), Permissions::from_mode(0o777)).expect("the canary");
        }
        for file in ["secret", "directory/secret", "null", "passwd", "sys/net/ipv4/ip_forward"] {
            fs::write(path.join(file), format!("{SECRET}\n")).expect("the canary");
            fs::set_permissions(path.join(file), Permissions::from_mode(0o666)).expect("the canary");
        }
        let before = look(&path);
        Self { path, before }
    }

    #[track_caller]
    fn is_alive(&self, output: &Output) {
        assert_eq!(look(&self.path), self.before, "the canary was touched:\n{output}");
        assert!(!output.stdout.contains(SECRET), "the canary was seen:\n{output}");
    }

    /// Links to `name` in it: absolute, relative, and through /proc.
    fn links(&self, name: &str) -> [PathBuf; 3] {
        let absolute = self.path.join(name);
        let relative =
            "../".repeat(40) + absolute.strip_prefix("/").expect("absolute").to_str().expect("text");
        let through_proc = format!("/proc/1/root{}", absolute.display());
        [absolute, relative.into(), through_proc.into()]
    }
}

/// All that is in a directory, with owner, mode, device, content and time of change.
fn look(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        let about = fs::symlink_metadata(&path).expect("what is in the canary");
        let text =
            if about.is_file() { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let (mode, owner, group, device) = (about.mode(), about.uid(), about.gid(), about.rdev());
        let line =
            format!("{mode:o} {owner}:{group} {device} {}.{} {text}", about.ctime(), about.ctime_nsec());
        if about.is_dir() {
            todo.extend(fs::read_dir(&path).expect("the canary").flatten().map(|entry| entry.path()));
        }
        seen.insert(path, line);
    }
    seen
}

/// Puts a symbolic link in the place of what is there.
fn put_link(bundle: &Bundle<'_>, at: &str, to: &Path) {
    let path = bundle.in_root(at);
    match fs::symlink_metadata(&path) {
        Ok(about) if about.is_dir() => fs::remove_dir_all(&path).expect("a directory of the root"),
        Ok(_) => fs::remove_file(&path).expect("a file of the root"),
        Err(_) => fs::create_dir_all(path.parent().expect("a directory")).expect("a directory of the root"),
    }
    symlink(to, &path).expect("a symbolic link");
}

/// What comes of a container, wherever it fails.
fn attempt(bundle: &Bundle<'_>) -> Output {
    let container = match bundle.create_with(&[], &[]) {
        Ok(container) => container,
        Err(output) => return output,
    };
    let output = container.verb("start").run();
    if output.code() != 0 {
        container.delete();
        return output;
    }
    container.finish()
}

/// Looks from inside at the place that was made a link, and tries to write there.
fn poke(at: &str) -> String {
    format!(
        "[ -c {at} ] || cat {at} {at}/secret {at}/directory/secret; ls -R {at}/; echo x > {at}/planted; echo x > {at}/secret; \
         mkdir {at}/made; rm {at}/null; chmod 0 {at}/null; echo x > {at}; true"
    )
}

fn remove_mount(spec: &mut Value, destination: &str) {
    spec["mounts"].as_array_mut().expect("mounts").retain(|mount| {
        let at = mount["destination"].as_str().expect("a destination");
        at != destination && !at.starts_with(&format!("{destination}/"))
    });
}

/// Where the runtime mounts, makes or reads something, and which part of the canary a link there leads to: one that is there, and
/// one that is not yet.
const PLACES: [(&str, [&str; 2]); 15] = [
    ("/dev", ["", "new"]),
    ("/dev/null", ["null", "new"]),
    ("/dev/pts", ["directory", "new"]),
    ("/dev/ptmx", ["secret", "new"]),
    ("/dev/console", ["secret", "new"]),
    ("/dev/shm", ["directory", "new/deep"]),
    ("/proc", ["", "new"]),
    ("/proc/sys", ["directory", "new"]),
    ("/sys", ["", "new"]),
    ("/sys/fs/cgroup", ["directory", "new"]),
    ("/work", ["directory", "new/deep"]),
    ("/etc/passwd", ["passwd", "new"]),
    ("/mnt", ["", "new"]),
    ("/srv/a", ["directory", "new"]),
    ("/srv/a/b", ["directory", "new/deep"]),
];

#[test]
fn links_out_of_the_root_lead_nowhere() {
    let site = contained_site!();
    let canary = Canary::new(&site);
    let volume = site.path().join("volume");
    fs::create_dir(&volume).expect("a directory");
    fs::write(volume.join("file"), "from the volume\n").expect("a file");
    let volume = volume.to_str().expect("text");
    let mut ran = 0;
    for (at, names) in PLACES {
        for (number, link) in names.iter().flat_map(|name| canary.links(name)).enumerate() {
            // With the file systems of the default configuration, and with none of them on /dev, /proc and /sys.
            let is_bare = number % 2 == 1;
            let bundle = site.bundle().sh(&poke(at)).change(|spec| {
                if is_bare {
                    for target in ["/dev", "/proc", "/sys"] {
                        remove_mount(spec, target);
                    }
                }
                spec["process"]["cwd"] = json!(if at == "/work" { "/work/below" } else { "/" });
                for below in
                    ["", "/x", "/x/y"].iter().filter(|_| ["/mnt", "/srv/a", "/srv/a/b"].contains(&at))
                {
                    spec.add_mount(&format!("{at}{below}"), "bind", volume, &["rbind", "rw"]);
                }
            });
            put_link(&bundle, at, &link);
            let output = attempt(&bundle);
            canary.is_alive(&output);
            ran += u32::from(output.command.starts_with("container"));
            fs::remove_dir_all(bundle.path()).expect("a bundle can be removed");
        }
    }
    assert!(ran > 20, "{ran} containers came up: the test is void");
}

#[test]
fn links_within_the_root_work() {
    let site = contained_site!();
    let volume = site.path().join("volume");
    fs::create_dir(&volume).expect("a directory");
    fs::write(volume.join("file"), "from the volume\n").expect("a file");
    let volume = volume.to_str().expect("text");
    for (at, to, there) in [
        ("/var/run", "/run", "/run"),
        ("/var/run", "../run", "/run"),
        ("/srv", "/mnt", "/mnt"),
        ("/srv", "../../../../mnt", "/mnt"),
        ("/a/b/c", "/mnt", "/mnt"),
    ] {
        for below in ["", "/x", "/x/y"] {
            let bundle = site.bundle().sh(&format!("cat {there}{below}/file"));
            let bundle =
                bundle.change(|spec| spec.add_mount(&format!("{at}{below}"), "bind", volume, &["bind"]));
            fs::create_dir(bundle.in_root("run")).expect("a directory");
            put_link(&bundle, at, Path::new(to));
            bundle.output().succeeds().prints("from the volume\n");
        }
    }
    // A console, in a /dev without a tmpfs and in the usual one.
    for is_bare in [false, true] {
        let bundle = site.bundle().sh("stat -c %F /dev/console; test -t 0 && tty").change(|spec| {
            spec["process"]["terminal"] = json!(true);
            if is_bare {
                remove_mount(spec, "/dev");
                spec.add_mount(
                    "/dev/pts",
                    "devpts",
                    "devpts",
                    &["newinstance", "ptmxmode=0666", "mode=0620"],
                );
            }
        });
        assert_eq!(on_console(&site, &bundle).code(), 0);
    }
}

/// Runs a bundle with a terminal, whose master is taken by this process.
fn on_console(site: &Site, bundle: &Bundle<'_>) -> Output {
    let socket = ConsoleSocket::listen(&site.path().join(format!("{}.sock", bundle.id())));
    let container =
        match bundle.create_with(&[], &["--console-socket", socket.path().to_str().expect("text")]) {
            Ok(container) => container,
            Err(output) => return output,
        };
    let _terminal = socket.terminal();
    container.start();
    container.finish()
}

#[test]
fn a_console_that_is_a_link_leads_nowhere() {
    let site = contained_site!();
    let canary = Canary::new(&site);
    for (at, name) in
        [("/dev/console", "secret"), ("/dev/pts", "directory"), ("/dev", ""), ("/dev/ptmx", "secret")]
    {
        for link in canary.links(name) {
            for is_bare in [false, true] {
                let bundle =
                    site.bundle().sh("echo x > /dev/console; cat /dev/console/secret").change(|spec| {
                        spec["process"]["terminal"] = json!(true);
                        if is_bare {
                            remove_mount(spec, "/dev");
                        }
                    });
                put_link(&bundle, at, &link);
                canary.is_alive(&on_console(&site, &bundle));
            }
        }
    }
}

#[test]
fn a_root_that_is_a_link_is_refused() {
    let site = contained_site!();
    if site.deviates("crun", "follows it") {
        return;
    }
    let canary = Canary::new(&site);
    for link in [canary.path.clone(), PathBuf::from("real")] {
        let bundle = site.bundle();
        fs::rename(bundle.in_root(""), bundle.path().join("real")).expect("a rename");
        symlink(&link, bundle.path().join("rootfs")).expect("a link");
        symlink(".", bundle.path().join("here")).expect("a link");
        let mut bundle = bundle;
        for path in ["rootfs", "rootfs/", "rootfs/.", "rootfs/bin/..", "here/real"] {
            bundle = bundle.change(|spec| spec["root"]["path"] = json!(path));
            canary.is_alive(&bundle.refused());
        }
        bundle.change(|spec| spec["root"]["path"] = json!("./real/../real/")).output().succeeds();
    }
}

#[test]
fn a_false_null_device_does_not_unmask() {
    let site = contained_site!();
    let canary = Canary::new(&site);
    let script = "cat /masked /proc/keys /secret-file; ls -A /masked-directory; echo x > /secret-file; \
                  umount /secret-file && cat /secret-file; true";
    let with_null = |make: &dyn Fn(&Path)| {
        let bundle = site.bundle().sh(script).change(|spec| {
            remove_mount(spec, "/dev");
            spec["linux"]["maskedPaths"] =
                json!(["/secret-file", "/proc/keys", "/masked-directory", "/nothing-there"]);
        });
        fs::write(bundle.in_root("secret-file"), format!("{SECRET}\n")).expect("a file");
        fs::create_dir(bundle.in_root("masked-directory")).expect("a directory");
        fs::write(bundle.in_root("masked-directory/file"), SECRET).expect("a file");
        make(&bundle.in_root("dev/null"));
        let output = attempt(&bundle);
        canary.is_alive(&output);
        assert!(!output.stdout.contains("file"), "{output}");
        assert_eq!(fs::read_to_string(bundle.in_root("secret-file")).expect("a file"), format!("{SECRET}\n"));
        output.command.starts_with("container")
    };
    assert!(with_null(&|_| {}), "the twin");
    with_null(&|null| fs::write(null, SECRET).expect("a file"));
    for link in canary.links("null") {
        with_null(&|null| symlink(&link, null).expect("a link"));
    }
    with_null(&|null| fs::create_dir(null).expect("a directory"));
    with_null(&|null| mkfifo(null));
}

fn mkfifo(path: &Path) {
    Command::new("mkfifo").arg(path).run().succeeds();
    assert!(fs::metadata(path).expect("a FIFO").file_type().is_fifo());
}

/// Exchanges two names for ever (`renameat2(2)`, RENAME_EXCHANGE), in bursts of milliseconds: whoever never rests keeps two
/// processors for itself, and in shorter bursts a runtime that looks a path up twice is seldom caught.
const EXCHANGE: &str = "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <stdio.h>\n#include <unistd.h>\n\
     int main(int n, char **a) { (void)n; for (;; usleep(2000)) for (int i = 0; i < 3000; i++)\n\
     renameat2(AT_FDCWD, a[1], AT_FDCWD, a[2], RENAME_EXCHANGE); }\n";

/// Pushes a byte into the terminal that is standard input (`ioctl_tty(2)`, TIOCSTI), plain and with a high bit set, which a
/// filter that compares 64 bits overlooks.
const TIOCSTI: &str = "#include <sys/ioctl.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n#include <errno.h>\n#include <stdio.h>\n\
     int main(void) { char c = '!'; int a = ioctl(0, TIOCSTI, &c) == 0;\n\
     int b = syscall(SYS_ioctl, 0, TIOCSTI | 1UL << 32, &c) == 0; puts(a || b ? \"pushed\" : \"refused\"); return 0; }\n";

/// A static program made of C; `None` where there is no compiler.
fn compiled(site: &Site, name: &str, source: &str) -> Option<PathBuf> {
    let (text, path) = (site.path().join(format!("{name}.c")), site.path().join(name));
    if !Path::new("/usr/bin/cc").exists() {
        site.note("there is no C compiler in /usr/bin");
        return None;
    }
    fs::write(&text, source).expect("a file");
    Command::new("cc").args(["-static", "-o"]).arg(&path).arg(&text).run().succeeds();
    Some(path)
}

/// A process that is ended with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_target_that_is_exchanged_all_the_time() {
    let site = contained_site!();
    let Some(exchange) = compiled(&site, "exchange", EXCHANGE) else { return };
    let canary = Canary::new(&site);
    let volume = site.path().join("volume");
    fs::create_dir(&volume).expect("a directory");
    fs::write(volume.join("file"), "from the volume\n").expect("a file");
    let volume = volume.to_str().expect("text");
    let targets = ["/target", "/target/made/deep", "/target/sys"];
    let bundles = targets.map(|target| {
        let script = format!("cat {target}/file /target/secret /other/secret; echo x > /target/planted");
        site.bundle().sh(&script).change(|spec| match target {
            "/target/sys" => {
                remove_mount(spec, "/proc");
                spec.add_mount("/target", "proc", "proc", &[]);
                spec["linux"]["maskedPaths"] = json!(["/target/secret", "/target/directory"]);
                spec["linux"]["readonlyPaths"] = json!(["/target/sys"]);
                spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
            }
            _ => spec.add_mount(target, "bind", volume, &["rbind"]),
        })
    });
    let _loops = bundles.each_ref().map(|bundle| {
        let (target, other) = (bundle.in_root("target"), bundle.in_root("other"));
        fs::create_dir(&target).expect("a directory");
        symlink(&canary.path, &other).expect("a link");
        Killed(Command::new(&exchange).arg(target).arg(other).process().spawn().expect("the loop starts"))
    });
    let mut ran = 0;
    for number in 0..201 {
        let output = attempt(&bundles[number % 3]);
        canary.is_alive(&output);
        ran += u32::from(output.command.starts_with("container"));
    }
    assert!(ran > 10, "{ran} containers came up: the test is void");
}

#[test]
fn a_proc_that_is_none_is_not_written_to() {
    let site = contained_site!();
    let canary = Canary::new(&site);
    let value = |proc: &str| format!("cat {proc}/sys/net/ipv4/ip_forward");
    let sysctl = |spec: &mut Value| {
        spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
        spec["process"]["oomScoreAdj"] = json!(321);
        spec["linux"]["maskedPaths"] = json!([]);
        spec["linux"]["readonlyPaths"] = json!([]);
    };
    // The twin.
    assert_eq!(site.inside(&value("/proc"), sysctl), "1");
    // A tree that looks like it, in the root, where nothing is mounted; the real one is elsewhere.
    let false_proc = |bundle: &Bundle<'_>| {
        for file in ["proc/sys/net/ipv4/ip_forward", "proc/self/oom_score_adj", "proc/1/oom_score_adj"] {
            fs::create_dir_all(bundle.in_root(file).parent().expect("a directory")).expect("a directory");
            fs::write(bundle.in_root(file), "untouched\n").expect("a file");
        }
    };
    let elsewhere = |spec: &mut Value| {
        sysctl(spec);
        remove_mount(spec, "/proc");
        spec.add_mount("/mnt", "proc", "proc", &[]);
    };
    let bundle = site
        .bundle()
        .sh(&(value("/mnt") + " /mnt/self/oom_score_adj /proc/self/oom_score_adj"))
        .change(elsewhere);
    false_proc(&bundle);
    bundle.output().succeeds().prints("1\n321\nuntouched\n");
    for file in ["proc/sys/net/ipv4/ip_forward", "proc/1/oom_score_adj"] {
        assert_eq!(fs::read_to_string(bundle.in_root(file)).expect("a file"), "untouched\n");
    }
    // Covered by the configuration's own mounts: a tmpfs over all of it, a canary over a part.
    let bundle = site.bundle().sh(&value("/mnt")).change(|spec| {
        sysctl(spec);
        spec.add_mount("/mnt", "proc", "proc", &[]);
        spec.add_mount("/proc", "tmpfs", "tmpfs", &["size=64k"]);
    });
    let output = attempt(&bundle);
    assert!(output.code() != 0 || output.stdout == "1\n", "{output}");
    let canarys = canary.path.join("sys");
    let bundle = site.bundle().sh(&value("/mnt")).change(|spec| {
        sysctl(spec);
        spec.add_mount("/mnt", "proc", "proc", &[]);
        spec.add_mount("/proc/sys", "bind", canarys.to_str().expect("text"), &["bind", "rw"]);
    });
    let output = attempt(&bundle);
    canary.is_alive(&output);
    assert!(output.code() != 0 || output.stdout == "1\n", "{output}");
    // A link in its place.
    for link in canary.links("").iter().map(PathBuf::as_path).chain([Path::new("/etc"), Path::new("mnt")]) {
        let bundle = site.bundle().sh("cat /proc/sys/net/ipv4/ip_forward; true").change(sysctl);
        put_link(&bundle, "/proc", link);
        let before = look(&bundle.in_root("etc"));
        let output = attempt(&bundle);
        canary.is_alive(&output);
        assert_eq!(look(&bundle.in_root("etc")), before, "{output}");
    }
}

/// A runtime that was started with descriptors of the canary open.
fn leaking(site: &Site, canary: &Canary, words: &[&str]) -> Output {
    let script = "exec 5< \"$0\" 9< \"$0\" 8< \"$0/secret\" 17< \"$0\" && exec \"$@\"";
    let shell = site.command("bash").args(["-c", script]).arg(&canary.path).arg(site.runtime().path());
    shell.arg("--root").arg(site.root()).args(words).run()
}

#[test]
fn no_descriptor_leads_out() {
    let site = contained_site!();
    let canary = Canary::new(&site);
    let list = "cd /proc/self/fd && echo *; cat /proc/*/fd/*/secret /proc/self/fd/[3-9] 2>/dev/null";
    let is_clean = |output: &Output| {
        canary.is_alive(output);
        let open = output.stdout.lines().next().unwrap_or_default().trim();
        // The shell itself opens the directory to list it.
        assert!(["0 1 2", "0 1 2 3"].contains(&open), "{output}");
    };
    let run = |bundle: &Bundle<'_>| {
        bundle.write();
        leaking(&site, &canary, &["run", "--bundle", bundle.path().to_str().expect("text"), bundle.id()])
    };
    is_clean(&run(&site.bundle().sh(list)));
    let hooked = site.bundle().sh(list).change(|spec| {
        let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "ls -l /proc/self/fd >&2; exit 1"]}]);
        spec["hooks"] = json!({"createRuntime": hook});
    });
    let output = run(&hooked);
    assert!(
        output.code() != 0 && !output.stderr.contains("canary"),
        "a hook has the caller's descriptors:\n{output}"
    );
    let target = site.bundle().sh("echo up; sleep 100").start();
    target.wait_for("up");
    is_clean(&leaking(&site, &canary, &["exec", target.id(), "sh", "-c", list]));
    for number in 0..24 {
        let directory = format!("/proc/self/fd/{number}");
        for cwd in [directory.clone(), format!("{directory}/.."), "/work".to_owned()] {
            let bundle = site
                .bundle()
                .sh("pwd -P; cat secret; ls -a")
                .change(|spec| spec["process"]["cwd"] = json!(cwd));
            put_link(&bundle, "/work", Path::new(&directory));
            let output = run(&bundle);
            canary.is_alive(&output);
            // Refused, unless it is a descriptor of the runtime's own that is of the container's root itself.
            assert!(output.code() != 0 || output.stdout.starts_with("/\n"), "{output}");
            fs::remove_dir_all(bundle.path()).expect("a bundle can be removed");
        }
        let output = leaking(
            &site,
            &canary,
            &["exec", "--cwd", &directory, target.id(), "sh", "-c", "pwd -P; cat secret"],
        );
        canary.is_alive(&output);
        assert!(output.code() != 0 || output.stdout.starts_with("/\n"), "{output}");
    }
    // The twins.
    let words = ["exec", "--cwd", "/etc", target.id(), "pwd"];
    leaking(&site, &canary, &words).succeeds().prints("/etc\n");
    let bundle = site.bundle().sh("pwd -P").change(|spec| spec["process"]["cwd"] = json!("/etc"));
    run(&bundle).succeeds().prints("/etc\n");
    target.delete();
}

#[test]
fn descriptors_are_passed_on_where_that_is_asked_for() {
    let site = contained_site!();
    let bundle = site.bundle().sh("cat <&3; cat <&4; cd /proc/self/fd; echo *");
    bundle.write();
    let script = "exec 3<<A 4<<B 5<<C\nthree\nA\nfour\nB\nfive\nC\nexec \"$0\" \"$@\"";
    let run =
        site.command("sh").args(["-c", script]).arg(site.runtime().path()).arg("--root").arg(site.root());
    let run = run.args(["run", "--preserve-fds", "2", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
    run.succeeds();
    assert!(run.stdout.starts_with("three\nfour\n0 1 2 3 4"), "{run}");
    assert!(!run.stdout.contains("3 4 5 6"), "{run}");
    // A number that no process has descriptors for is no way to crash.
    let output =
        site.oci(["run", "--preserve-fds", "4294967295", "--bundle"]).arg(bundle.path()).arg("many").run();
    assert!(!output.stderr.contains("panicked"), "{output}");
}

#[test]
fn nothing_is_inheritable_unless_asked_for() {
    let site = contained_site!();
    let sets = "grep -E '^(CapInh|CapAmb)' /proc/self/status | tr -d '\\t\\n'";
    let none = "CapInh:0000000000000000CapAmb:0000000000000000";
    assert_eq!(site.inside(sets, |_| {}), none);
    for user in [json!({"uid": 1000, "gid": 1000}), json!({"uid": 0, "gid": 0, "additionalGids": [7, 8]})] {
        assert_eq!(site.inside(sets, |spec| spec["process"]["user"] = user), none);
    }
    let target = site.bundle().sh("echo up; sleep 100").start();
    target.wait_for("up");
    let exec =
        |flags: &[&str]| site.oci(["exec"]).args(flags).arg(target.id()).args(["sh", "-c", sets]).run();
    for flags in [
        &[][..],
        &["--cap", "CAP_SYS_PTRACE"],
        &["--user", "1000:1000"],
        &["--user", "1000", "--cap", "CAP_NET_RAW"],
    ] {
        exec(flags).succeeds().prints(none);
    }
    // The caller's own do not come along (CVE-2022-29162).
    let words = ["--inh-caps=+kill,+chown", "--ambient-caps=+kill"];
    let output =
        site.command("setpriv").args(words).arg(site.runtime().path()).arg("--root").arg(site.root());
    output.args(["exec", target.id(), "sh", "-c", sets]).run().succeeds().prints(none);
    // Groups are those that were asked for, not the caller's.
    let groups = site.command("setpriv").args(["--groups", "4,24,27"]).arg(site.runtime().path());
    let groups = groups
        .arg("--root")
        .arg(site.root())
        .args(["exec", "--user", "1000:1000", target.id(), "id", "-G"])
        .run();
    groups.succeeds().prints("1000\n");
    target.delete();
    // The twin: what is asked for is there.
    let asked = site.inside(sets, |spec| {
        let sets = &mut spec["process"]["capabilities"];
        sets["inheritable"] = json!(["CAP_KILL"]);
        sets["ambient"] = json!(["CAP_KILL"]);
    });
    assert_eq!(asked, "CapInh:0000000000000020CapAmb:0000000000000020");
}

#[test]
fn odd_ids_of_users_are_refused() {
    let site = contained_site!();
    let target = site.bundle().sh("echo up; sleep 100").start();
    target.wait_for("up");
    fs::write(
        target.bundle().join("rootfs/etc/passwd"),
        "7x:x:0:0::/:\n4294967296:x:0:0::/:\n1000:x:0:0::/:\n",
    )
    .expect("a file");
    let exec = |flag: &str, id: &str| site.oci(["exec", flag, id, target.id(), "id", "-u"]).run();
    for id in [
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "-1",
        "+0",
        " 0",
        "0 ",
        "0x0",
        "7x",
        "root",
        "",
        ":",
        "0:",
        ":0",
        "0:-1",
        "0:4294967295",
        "0:0:0",
        "1e3",
        "０",
        "\u{202e}0",
        "0\n",
        "00000000000000000000000000x",
    ] {
        let output = exec("--user", id);
        assert_eq!(output.code(), 255, "the user {id:?} was taken for something:\n{output}");
        assert!(!output.stderr.contains("panicked"), "{output}");
    }
    for id in ["4294967295", "-1", "wheel", ""] {
        assert_eq!(exec("--additional-gids", id).code(), 255, "the group {id:?}");
    }
    exec("--user", "1000").succeeds().prints("1000\n");
    exec("--user", "4294967294").succeeds().prints("4294967294\n");
    target.delete();
    for id in [json!(4_294_967_295u32), json!(-1), json!(4_294_967_296u64), json!("0"), json!(1.5)] {
        let refused = site.bundle().change(|spec| spec["process"]["user"]["uid"] = id.clone()).refused();
        assert!(!refused.stderr.contains("panicked"), "{id}:\n{refused}");
    }
}

#[test]
fn accounts_that_never_end_are_left_alone() {
    let site = contained_site!();
    let canary = Canary::new(&site);
    let home = |make: &dyn Fn(&Path)| {
        let bundle = site
            .bundle()
            .sh("echo $HOME")
            .change(|spec| spec["process"]["user"] = json!({"uid": 1000, "gid": 1000}));
        for name in ["etc/passwd", "etc/group"] {
            fs::remove_file(bundle.in_root(name)).expect("a file");
            make(&bundle.in_root(name));
        }
        let output = bundle.output();
        canary.is_alive(&output);
        // For a later process too.
        let target = site.bundle().sh("echo up; sleep 100").start();
        target.wait_for("up");
        let passwd = target.bundle().join("rootfs/etc/passwd");
        fs::remove_file(&passwd).expect("a file");
        make(&passwd);
        let exec = site.oci(["exec", "--user", "1000", target.id(), "sh", "-c", "echo $HOME"]).run();
        canary.is_alive(exec.succeeds());
        target.delete();
        output.succeeds().stdout.trim().to_owned()
    };
    let line = "tester:x:1000:1000::/here:/bin/sh\n";
    assert_eq!(home(&|path| fs::write(path, line).expect("a file")), "/here", "the twin");
    assert_eq!(home(&mkfifo), "/");
    assert_eq!(home(&|path| symlink("/dev/zero", path).expect("a link")), "/");
    assert_eq!(home(&|path| symlink(canary.path.join("passwd"), path).expect("a link")), "/");
    assert_eq!(home(&|path| fs::create_dir(path).expect("a directory")), "/");
    assert_eq!(
        home(&|path| File::create(path).and_then(|file| file.set_len(60 << 20)).expect("a sparse file")),
        "/"
    );
}

#[test]
fn ids_of_containers_come_from_a_narrow_alphabet() {
    let site = contained_site!();
    let canary = Canary::new(&site);
    let bundle = site.bundle();
    bundle.write();
    let path = bundle.path().to_str().expect("text").to_owned();
    let long = "x".repeat(5000);
    for id in [
        "",
        ".",
        "..",
        "../canary",
        "a/b",
        "/",
        "a/../b",
        "a b",
        "a\nb",
        "\u{202e}cba",
        "é",
        "a\u{7}",
        "*",
        "$(x)",
        "a;b",
        "-x",
        &long,
    ] {
        for words in [
            &["run", "--bundle", &path][..],
            &["create", "--bundle", &path],
            &["state"],
            &["start"],
            &["kill"],
            &["delete", "--force"],
        ] {
            let output = site.oci(words).arg(id).run();
            // What was never there is deleted already: delete --force says nothing of it.
            assert!(output.code() != 0, "{words:?} {id:?} was taken:\n{output}");
            assert!(
                !output.stderr.contains(['\u{202e}', '\u{7}']),
                "the terminal is told what to do:\n{output:?}"
            );
            canary.is_alive(&output);
        }
    }
    for id in ["a", "A-b_c.d+e", "0", "a..b", &"x".repeat(200)] {
        site.oci(["run", "--bundle", &path, id]).run().succeeds();
    }
}

#[test]
fn a_namespace_path_of_any_length_is_a_path() {
    let site = contained_site!();
    for kind in ["network", "user", "mount", "pid", "ipc", "uts", "cgroup", "time"] {
        for path in [
            "/".repeat(70_000) + "x",
            "a".repeat(70_000),
            "/proc/self/ns/".to_owned() + &"x".repeat(300),
            "../x".to_owned(),
        ] {
            let bundle = site.bundle().change(|spec| {
                spec.remove_namespace(kind);
                spec.add_namespace(kind, &path);
            });
            let output = bundle.refused();
            assert!(
                !output.stderr.contains("panicked"),
                "{kind}:\n{}",
                output.stderr.chars().take(300).collect::<String>()
            );
            fs::remove_dir_all(bundle.path()).expect("a bundle can be removed");
        }
    }
    site.bundle()
        .change(|spec| {
            spec.remove_namespace("network");
            spec.add_namespace("network", &("/".repeat(3000) + "proc/self/ns/net"));
        })
        .output()
        .succeeds();
}

#[test]
fn nobody_types_into_the_callers_terminal() {
    let site = contained_site!();
    let Some(tiocsti) = compiled(&site, "tiocsti", TIOCSTI) else { return };
    // script(1) gives its command a terminal that is its controlling one.
    let under_terminal = |command: &str| {
        let output = site.command("script").args(["-qec", command, "/dev/null"]).run();
        output.stdout.replace('\r', "")
    };
    let control = under_terminal(tiocsti.to_str().expect("text"));
    if !control.contains("pushed") {
        site.note("this kernel lets nobody push bytes into a terminal (dev.tty.legacy_tiocsti)");
        return;
    }
    let bundle = site.bundle().args(&["/tiocsti"]);
    copy_program(&tiocsti, &bundle.in_root("tiocsti"));
    bundle.write();
    let oci = site.oci([""; 0]).shown();
    let oci = oci.split(" -- ").nth(1).expect("the runtime's own words").to_owned();
    let run = |words: &str| under_terminal(&format!("{oci} {words}"));
    let output = run(&format!("run --bundle {} {}", bundle.path().display(), bundle.id()));
    assert!(output.contains("refused") && !output.contains("pushed"), "run: {output:?}");
    let target = site.bundle().sh("echo up; sleep 100").start();
    target.wait_for("up");
    copy_program(&tiocsti, &target.bundle().join("rootfs/tiocsti"));
    let output = run(&format!("exec {} /tiocsti", target.id()));
    assert!(output.contains("refused") && !output.contains("pushed"), "exec: {output:?}");
    target.delete();
}

#[test]
fn the_hosts_devices_are_never_changed() {
    let site = contained_site!();
    // /dev/null is the test's own, as whatever is contained has it.
    let look = || {
        ["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"].map(|name| {
            fs::metadata(Path::new("/dev").join(name))
                .map(|about| (about.uid(), about.gid(), about.mode(), about.rdev()))
                .ok()
        })
    };
    let before = look();
    let script = "for f in /dev/null /proc/kcore /proc/keys /proc/timer_list; do chmod 000 $f; chown 1:1 $f; done; rm -f /dev/null; mv /dev/zero /dev/x; \
                  ln -sf /x /dev/full; true";
    for is_user in [false, true] {
        let bundle = site.bundle().sh(script).change(|spec| {
            for name in ["CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE"] {
                spec.add_capability(name);
            }
            if is_user {
                spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
            }
        });
        bundle.output().succeeds();
    }
    assert_eq!(look(), before);
}

#[test]
fn what_is_not_null_stays_as_it_is_as_standard_input() {
    let site = contained_site!();
    // A caller's /dev/null as standard streams, and a process of another user: the host's node keeps its owner.
    let before =
        fs::metadata("/dev/null").map(|about| (about.uid(), about.gid(), about.mode())).expect("/dev/null");
    let bundle =
        site.bundle().sh("true").change(|spec| spec["process"]["user"] = json!({"uid": 1000, "gid": 1000}));
    let null = || Stdio::from(File::options().read(true).write(true).open("/dev/null").expect("/dev/null"));
    let container = bundle.create_with_streams([null(), null(), null()]).expect("a container");
    container.start();
    container.wait();
    let after =
        fs::metadata("/dev/null").map(|about| (about.uid(), about.gid(), about.mode())).expect("/dev/null");
    assert_eq!(after, before);
}
