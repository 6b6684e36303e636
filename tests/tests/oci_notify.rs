// SPDX-License-Identifier: Apache-2.0
//! `NOTIFY_SOCKET`: a container's word that it is ready, by a datagram from inside, as it arrives on the host.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use husk_tests::oci::{Bundle, Site};
use husk_tests::{Command, PATIENCE, note_skip, oci_site};
use serde_json::json;

/// What a service does that was written for systemd: it says this and that, and in the end that it is ready. With a word of its
/// command line it is in a hurry, and ends.
const SERVICE: &str = r#"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int words_given, char **given) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    strncpy(address.sun_path, getenv("NOTIFY_SOCKET"), sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    const char *words[] = { "STATUS=almost", "STATUS=READY=1 is to come", "READY=1\nSTATUS=up\n" };
    for (int i = 0; i < 3; i++) {
        usleep(words_given > 1 ? 0 : 200000);
        if (sendto(fd, words[i], strlen(words[i]), 0, (struct sockaddr *)&address, sizeof address) < 0)
            return 9;
    }
    if (words_given > 1)
        return 3;
    sleep(1000);
}
"#;

/// Debian's runc.
const OLD: &str = "sends no barrier in its older versions, and waits for a first process that is a zombie";

/// Whoever waits on the host.
struct Host {
    socket: UnixDatagram,
    path: String,
}

impl Host {
    fn listen(site: &Site) -> Self {
        let path = site.path().join("host.sock").display().to_string();
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Self { socket, path }
    }

    /// The next message.
    #[track_caller]
    fn hear(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("a message in time");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    /// All that was said until the barrier, whose descriptor is closed as it is not taken: whoever sent it waits for that.
    fn hear_all(&self) -> JoinHandle<Vec<String>> {
        let host = Self { socket: self.socket.try_clone().expect("a socket"), path: self.path.clone() };
        spawn(move || {
            let mut all: Vec<String> = Vec::new();
            while all.last().is_none_or(|last| last != "BARRIER=1") {
                all.push(host.hear());
            }
            let lines = all.iter().flat_map(|message| message.lines()).filter(|line| *line != "BARRIER=1");
            lines.map(str::to_owned).collect()
        })
    }
}

/// A bundle that runs the service as a user that is not root; `None` where it cannot be compiled.
fn service<'s>(site: &'s Site, name: &'static str) -> Option<Bundle<'s>> {
    let source = site.path().join("service.c");
    fs::write(&source, SERVICE).expect("a source");
    let bundle = site.bundle().args(&["/bin/service"]).change(|spec| {
        spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    });
    let program = bundle.in_root("bin/service");
    let compiled = Command::new("cc").args(["-static", "-o"]).arg(&program).arg(&source).run();
    if compiled.code() != 0 {
        note_skip(name, "there is no C compiler with a static C library");
        return None;
    }
    Some(bundle)
}

#[test]
fn the_host_is_told_when_a_container_is_ready() {
    let site = oci_site!();
    let Some(bundle) = service(&site, "the_host_is_told_when_a_container_is_ready") else { return };
    if site.deviates("crun", "was built without it") || site.deviates("runc", OLD) {
        return;
    }
    bundle.write();
    let host = Host::listen(&site);
    let oci = |words: &[&str]| site.oci(words).env("NOTIFY_SOCKET", &host.path);
    let pid_file = bundle.path().join("pid");
    let place = bundle.path().to_str().expect("text");
    let flags = ["--bundle", place, "--pid-file", pid_file.to_str().expect("text")];
    let file = |name: &str| fs::File::create(bundle.path().join(name)).expect("a file");
    let streamed = |words: &[&str]| {
        let mut command = oci(words).process();
        command.stdin(std::process::Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let status = command.status().expect("it starts");
        let said = fs::read_to_string(bundle.path().join("stderr")).unwrap_or_default();
        assert!(status.success(), "{words:?}: {status}: {said}");
    };
    let expected = || {
        let pid = fs::read_to_string(&pid_file).expect("a pid file");
        vec!["READY=1".to_owned(), format!("MAINPID={pid}")]
    };

    // In two calls: the second comes back when the container is ready.
    streamed(&[&["create"], &flags[..], &[bundle.id()]].concat());
    let (begin, heard) = (Instant::now(), host.hear_all());
    streamed(&["start", bundle.id()]);
    assert!(begin.elapsed() > Duration::from_millis(500), "start did not wait: {:?}", begin.elapsed());
    assert_eq!(heard.join().expect("words"), expected());
    site.oci(["delete", "--force", bundle.id()]).run().succeeds();

    // In one, and let go.
    let heard = host.hear_all();
    streamed(&[&["run", "--detach"], &flags[..], &[bundle.id()]].concat());
    assert_eq!(heard.join().expect("words"), expected());
    // What does not start the service is not told what it says.
    let shown = site.oci(["exec", bundle.id(), "env"]).run();
    assert!(!shown.succeeds().stdout.contains("NOTIFY_SOCKET"), "{shown}");
    site.oci(["delete", "--force", bundle.id()]).run().succeeds();

    // In one, and stayed with.
    let mut stays = oci(&[&["run"], &flags[..], &[bundle.id()]].concat()).process();
    let mut stays =
        stays.stdin(std::process::Stdio::null()).stdout(file("stdout")).spawn().expect("it starts");
    assert_eq!(host.hear_all().join().expect("words"), expected());
    site.oci(["kill", bundle.id(), "KILL"]).run().succeeds();
    stays.wait().expect("it ends");
    site.oci(["list", "-q"]).run().succeeds().prints("");
    assert!(!site.root().join(bundle.id()).exists(), "its state is left");
}

/// Whoever stays with it hears that as well.
#[test]
fn what_a_container_says_right_before_it_ends_is_passed_on() {
    let site = oci_site!();
    let Some(bundle) = service(&site, "what_a_container_says_right_before_it_ends_is_passed_on") else {
        return;
    };
    if site.deviates("crun", "was built without it") || site.deviates("runc", OLD) {
        return;
    }
    let bundle = bundle.args(&["/bin/service", "at once"]);
    bundle.write();
    let host = Host::listen(&site);
    let place = bundle.path().to_str().expect("text");
    for _ in 0..5 {
        let heard = host.hear_all();
        let run = site.oci(["run", "--bundle", place, bundle.id()]).env("NOTIFY_SOCKET", &host.path).run();
        run.exits(3);
        assert_eq!(heard.join().expect("words").first().map(String::as_str), Some("READY=1"));
    }
}

#[test]
fn a_container_that_ends_or_is_seen_to_by_others_keeps_nobody_waiting() {
    let site = oci_site!();
    if site.deviates("crun", "was built without it") || site.deviates("runc", OLD) {
        return;
    }
    let host = Host::listen(&site);
    let run = |bundle: &Bundle<'_>| {
        bundle.write();
        let words = ["run", "--bundle", bundle.path().to_str().expect("text"), bundle.id()];
        let begin = Instant::now();
        let output = site.oci(words).env("NOTIFY_SOCKET", &host.path).run();
        // So long it would wait for a host that does not read.
        assert!(begin.elapsed() < Duration::from_secs(30), "{output}");
        output
    };
    run(&site.bundle().sh("ls -l $NOTIFY_SOCKET >/dev/null && echo there; exit 4"))
        .exits(4)
        .prints("there\n");
    // Podman brings a socket of its own.
    let own = site.bundle().sh("echo $NOTIFY_SOCKET; ls /run/notify 2>/dev/null").change(|spec| {
        spec["process"]["env"].as_array_mut().expect("variables").push(json!("NOTIFY_SOCKET=/own"));
    });
    assert!(run(&own).stdout.starts_with("/own\n"));
    let without = site.bundle().sh("echo ${NOTIFY_SOCKET-none}");
    without.output().succeeds().prints("none\n");
    let gone = site.bundle().sh("echo ran");
    gone.write();
    let words = ["run", "--bundle", gone.path().to_str().expect("text"), gone.id()];
    let output = site.oci(words).env("NOTIFY_SOCKET", "/no/such/socket").run();
    output.exits(1).says("NOTIFY_SOCKET").says("/no/such/socket").prints("");
    site.oci(["list", "-q"]).run().succeeds().prints("");
    assert!(Path::new(&host.path).exists());
}
