// SPDX-License-Identifier: Apache-2.0
//! Hosts that refuse: a seccomp filter in front of husk, and kernel parameters that this machine's kernel need not have.

use std::fs;
use std::path::Path;

use crate::{Command, Place, is_root};

/// An ordinary user whom no machine knows.
const UID: &str = "54321";

/// Refuses system calls with an errno: arguments NUMBER=ERRNO,… or NUMBER:SECOND=ERRNO,…, for calls with that second argument,
/// and the command.
const FILTER: &str = r#"
import ctypes, os, struct, sys
code = [(0x20, 0, 0, 0)]
for pair in filter(None, sys.argv[1].split(",")):
    call, errno = pair.split("=")
    call, _, second = call.partition(":")
    refuse = [(0x06, 0, 0, 0x50000 | int(errno))]
    if second:
        refuse = [(0x20, 0, 0, 24), (0x15, 0, 1, int(second)), *refuse, (0x20, 0, 0, 0)]
    code += [(0x15, 0, len(refuse), int(call)), *refuse]
code.append((0x06, 0, 0, 0x7fff0000))
raw = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in code))
program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(raw))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// `command`, of root's, as an ordinary user under a seccomp filter that refuses `calls` (NUMBER=ERRNO,…), as engines and
/// security modules do, and in a mount namespace where `/proc/sys/kernel` has this file with this content.
pub fn refusing(place: &Place, command: Command, calls: &str, sysctl: Option<(&str, &str)>) -> Command {
    let filter = place.path().join("filter.py");
    fs::write(&filter, FILTER).expect("a file");
    let mut script = String::new();
    if let Some((name, value)) = sysctl {
        let mount = "mount -t tmpfs -o size=64k tmpfs /proc/sys/kernel";
        script = format!("{mount} && echo {value} > /proc/sys/kernel/{name} && ");
    }
    script += &format!("exec setpriv --reuid {UID} --regid {UID} --clear-groups \"$@\"");
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh", "python3"];
    let filter = filter.to_str().expect("a path of the test's is text").to_owned();
    command.through([filter.as_str(), calls]).through(words)
}

/// `command` under a seccomp filter that refuses `calls` (NUMBER=ERRNO,… or NUMBER:SECOND=ERRNO,…), as an older kernel would.
/// Whoever runs it, it has `no_new_privs`. Needs python3.
pub fn masked(place: &Place, command: Command, calls: &str) -> Command {
    let filter = place.path().join("mask.py");
    fs::write(&filter, FILTER).expect("a file");
    command.through(["python3", filter.to_str().expect("a path of the test's is text"), calls])
}

/// What this machine lacks for [`refusing`].
pub fn cannot_filter() -> Option<&'static str> {
    if !is_root() {
        return Some("only root can lay a file over /proc/sys in a mount namespace");
    }
    let there = |program: &str| Path::new("/usr/bin").join(program).exists();
    (!there("python3") || !there("setpriv")).then_some("needs python3 and setpriv in /usr/bin")
}
