// SPDX-License-Identifier: Apache-2.0
//! What differs from run to run, taken out.

/// Words that engines and people search an error of the runtime for: the text around them is the runtime's own.
const CLASSES: &[&str] = &[
    "executable file not found",
    "no such file or directory",
    "permission denied",
    "operation not permitted",
    "invalid argument",
    "container does not exist",
    "container not running",
    "no such process",
    "process already finished",
    "exec format error",
];

/// Where an engine begins to pass on what the runtime has said.
const PASSED_ON: &[&str] = &[
    "OCI runtime create failed: ",
    "OCI runtime exec failed: ",
    "OCI runtime start failed: ",
    "/tmp/engines/bin/runc creating container for ",
];

/// What runtimes do differently and may, as it looks in a line: what is written there instead, and why it is no fault.
const MAY_DIFFER: &[(&str, &str, &str)] = &[
    (
        "/sys/fs/cgroup / ro,nosuid,nodev,noexec,relatime  tmpfs",
        "/sys/fs/cgroup / rw,nosuid,nodev,noexec,relatime  tmpfs",
        "runc 1.1 leaves the directory of the hierarchies writable where `ro` was asked for",
    ),
    (
        "/run / rw,nosuid,nodev,relatime  tmpfs rw,mode=755",
        "/run / rw,nosuid,nodev,relatime  tmpfs rw",
        "husk-oci gives a tmpfs the mode of what it covers when it is made, runc changes it afterwards",
    ),
    (
        "/run / rw,nosuid,nodev,relatime  tmpfs rw,mode=755,uid=61000,gid=61000",
        "/run / rw,nosuid,nodev,relatime  tmpfs rw,uid=61000,gid=61000",
        "the same, for an ordinary user",
    ),
    (
        "drwxrwxrwt 65534:65534 0,0 /dev/mqueue",
        "drwxrwxrwt 0:65534 0,0 /dev/mqueue",
        "the queues belong to whoever made the namespace; anybody may use them",
    ),
    (
        "poststart running",
        "poststart created",
        "runc 1.1 runs poststart hooks at create, before there is a command",
    ),
    (
        "/ rw,relatime shared -",
        "/ rw,relatime - overlay",
        "rootfsPropagation is for the container's root mount, which runc leaves as it was",
    ),
    (
        "0 /dev/null",
        "0 pipe:[N]",
        "runc puts a pipe of its own before the standard input of a foreground run, husk-oci passes it on as it is",
    ),
];

/// Lines that one runtime has and the other may lack, and why that is no fault.
const MAY_LACK: &[(&str, &str)] =
    &[("c 10:200 rwm", "runc allows /dev/net/tun to everybody; from 1.2 on it does not")];

/// Lines that are printed or not, by chance: an engine's, and runc's about cgroups that an ordinary user's container has not.
const BY_CHANCE: &[&str] = &[
    "error waiting for container: context canceled",
    "level=warning msg=\"cannot toggle freezer: cgroups not configured for container\"",
    "level=warning msg=\"lstat : no such file or directory\"",
];

/// The text with ids, times, and numbers of processes, pipes and namespaces replaced, and with the runtime's own words
/// reduced to those that others search for.
pub(crate) fn normal(text: &str) -> String {
    let lines = text.lines().filter(|line| !BY_CHANCE.iter().any(|words| line.contains(words)));
    let lines = lines.map(|line| if is_layer(line) { "--> <id>" } else { line });
    let lines = lines.filter(|line| !MAY_LACK.iter().any(|(words, _)| line.trim() == *words));
    lines.map(|line| may_differ(times(&ids(&numbers(&runtimes_words(line))))) + "\n").collect()
}

fn may_differ(line: String) -> String {
    if let Some(ignored) = line.strip_prefix("SigIgn:\t") {
        // 32 and 33 belong to the C library. husk-oci gives every signal its default; Go's runtime passes on what it was given.
        let bits = u64::from_str_radix(ignored.trim(), 16).map(|bits| bits & !(0b11 << 31));
        return bits.map_or(line.clone(), |bits| format!("SigIgn:\t{bits:016x}"));
    }
    let row = MAY_DIFFER.iter().find(|(words, ..)| line.trim() == *words);
    row.map_or(line.clone(), |(words, instead, _)| line.replace(words, instead))
}

/// Whether buildah says in this line which layer a step has made: the one id of 11 digits.
fn is_layer(line: &str) -> bool {
    line.strip_prefix("--> ").is_some_and(|id| id.len() == 11)
}

fn runtimes_words(line: &str) -> String {
    let begin = PASSED_ON.iter().filter_map(|words| Some(line.find(words)? + words.len())).min();
    let podman = line
        .strip_prefix("Error: ")
        .and_then(|rest| rest.split_once(": "))
        .filter(|(name, _)| name.ends_with("runc") || *name == "OCI runtime error");
    let (front, words) = match (begin, podman) {
        (Some(begin), _) => line.split_at(begin),
        (None, Some((name, rest))) => ("Error: ", rest.strip_prefix(name).unwrap_or(rest)),
        (None, None) => return line.into(),
    };
    let words = words.to_lowercase();
    let classes: Vec<_> = CLASSES.iter().filter(|class| words.contains(*class)).copied().collect();
    format!("{front}<the runtime: {}>", classes.join(", "))
}

/// `pipe:[123]` and the like.
fn numbers(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(":[") {
        let (front, back) = rest.split_at(at + 2);
        out.push_str(front);
        let digits = back.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && back[digits..].starts_with(']') {
            out.push('n');
            rest = &back[digits..];
        } else {
            rest = back;
        }
    }
    out + rest
}

/// Hexadecimal words of 64, 32 or 12 digits, BuildKit's of 25 digits and letters, and buildah's names for what it makes.
fn ids(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut word = String::new();
    for c in line.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        out.push_str(if is_id(&word) { "<id>" } else { &word });
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

fn is_id(word: &str) -> bool {
    if let Some(number) = word.strip_prefix("buildah") {
        return !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    }
    let of = |is_digit: fn(&u8) -> bool| word.as_bytes().iter().all(is_digit);
    match word.len() {
        64 | 32 | 12 => of(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        25 => of(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z')),
        _ => false,
    }
}

/// A day and what follows it: `2026-11-23T20:48:37.99Z`, `2026-11-23 20:48:45.9 +0000 UTC`; of `ls -l`, `Nov 23 20:48`.
fn times(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(length) = rest.char_indices().find_map(|(at, _)| Some((at, time(rest.get(at..)?)?))) {
        let (at, end) = length;
        out.push_str(&rest[..at]);
        out.push_str("<time>");
        rest = &rest[at + end..];
    }
    out + rest
}

/// The length of the time at the beginning of a text.
fn time(text: &str) -> Option<usize> {
    const MONTHS: &[&str] =
        &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let of_list = "Mon _d dd:dd";
    if MONTHS.iter().any(|month| text.starts_with(month)) && has_shape(&text[3..], &of_list[3..]) {
        return Some(of_list.len());
    }
    let shape = "dddd-dd-dd?dd:dd:dd";
    if !has_shape(text, shape) {
        return None;
    }
    let fraction =
        text[shape.len()..].bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let end = shape.len() + fraction;
    let zone = ["Z", " +0000 UTC", "+00:00"].into_iter().find(|zone| text[end..].starts_with(zone));
    Some(end + zone.map_or(0, str::len))
}

/// Whether a text begins so: `d` stands for a digit, `_` for one or a blank, `?` for a blank or a `T`, all else for itself.
fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(byte, shape): (u8, u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'_' => byte.is_ascii_digit() || byte == b' ',
        b'?' => matches!(byte, b'T' | b' '),
        _ => byte == shape,
    };
    text.len() >= shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_and_other_words_stay() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(normal(&format!("/docker/{id}/x {}", &id[..12])), "/docker/<id>/x <id>\n");
        assert_eq!(normal("deadbeef 67108864"), "deadbeef 67108864\n");
    }

    #[test]
    fn what_may_differ_is_made_alike() {
        let alike = |one: &str, other: &str| assert_eq!(normal(one), normal(other), "{one:?} {other:?}");
        alike("SigIgn:\t0000000080000004", "SigIgn:\t0000000000000004");
        alike("0 /dev/null", "0 pipe:[N]");
        alike("c 1:3 rwm\nc 10:200 rwm\n", "c 1:3 rwm\n");
        assert_ne!(normal("SigIgn:\t0000000000000004"), normal("SigIgn:\t0000000000000000"));
        assert_ne!(normal("1 /dev/null"), normal("1 pipe:[7]"));
    }

    #[test]
    fn times_go() {
        assert_eq!(normal("at 2026-11-23T20:48:37.990713554Z."), "at <time>.\n");
        assert_eq!(normal("2026-11-23 20:48:45.978 +0000 UTC é"), "<time> é\n");
        assert_eq!(normal("2026-11-23"), "2026-11-23\n");
        assert_eq!(normal("1,  11 Nov 30 13:17 /dev/kmsg"), "1,  11 <time> /dev/kmsg\n");
        assert_eq!(normal("Jan  3 00:00 é, May 2026, Nové"), "<time> é, May 2026, Nové\n");
    }

    #[test]
    fn numbers_of_pipes_and_namespaces_go() {
        assert_eq!(normal("0 pipe:[123] 1 x:[y]"), "0 pipe:[n] 1 x:[y]\n");
    }

    #[test]
    fn of_the_runtimes_words_those_stay_that_others_search_for() {
        let docker = "docker: Error response from daemon: failed to create shim task: OCI runtime create failed: runc \
                      create failed: exec: \"nix\": executable file not found in $PATH: unknown.";
        assert_eq!(
            normal(docker),
            "docker: Error response from daemon: failed to create shim task: OCI runtime create failed: <the runtime: \
             executable file not found>\n"
        );
        assert_eq!(
            normal("Error: runc: x: Permission denied: y"),
            "Error: <the runtime: permission denied>\n"
        );
        assert_eq!(normal("Error: no container a: no such file"), "Error: no container a: no such file\n");
    }
}
