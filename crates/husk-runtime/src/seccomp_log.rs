// SPDX-License-Identifier: Apache-2.0
//! What the kernel's log says of system calls that seccomp filters answered.
//!
//! It has those that ended a thread or process, and with SECCOMP_FILTER_FLAG_LOG or SCMP_ACT_LOG others too, unless an auditd
//! takes them instead (`kernel/seccomp.c`, `kernel/auditsc.c`).

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use rustix::io::Errno;

/// A call as the kernel has logged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedCall {
    /// When, since the machine was started.
    pub when: Duration,
    /// The process, as the machine's first pid namespace numbers it.
    pub pid: u32,
    /// The name of its program, which it may have chosen itself.
    pub program: String,
    /// The call by its name, or by its number where it has none here.
    pub call: String,
    /// How the filter answered.
    pub answer: String,
}

impl fmt::Display for LoggedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, program, call, answer, .. } = self;
        write!(f, "{call} by {} (process {pid}): {answer}", program.escape_debug())
    }
}

/// All that the kernel's log still has, the oldest first; `None` if it may not be read.
pub fn logged_calls() -> Option<Vec<LoggedCall>> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut log = File::options().read(true).custom_flags(nonblock).open("/dev/kmsg").ok()?;
    let mut calls = Vec::new();
    let mut record = [0; 8192];
    // Each read gives one record; EPIPE says that some were overwritten, EAGAIN that there are no more.
    for _ in 0..1_000_000 {
        match log.read(&mut record) {
            Ok(length) => calls.extend(parse(&String::from_utf8_lossy(&record[..length]))),
            Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
            Err(_) => break,
        }
    }
    Some(calls)
}

/// `PRIORITY,NUMBER,MICROSECONDS,FLAGS;audit: type=1326 … pid=N comm="NAME" … arch=HEX syscall=N … code=HEX`.
pub(crate) fn parse(record: &str) -> Option<LoggedCall> {
    let (head, text) = record.split_once(';')?;
    let text = text.lines().next()?.strip_prefix("audit: type=1326 ")?;
    // A name with a blank or a quote stands in hexadecimal digits, so that words are words.
    let value = |key: &str| text.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    Some(LoggedCall {
        when: Duration::from_micros(head.split(',').nth(2)?.parse().ok()?),
        pid: value("pid")?.parse().ok()?,
        program: name(value("comm")?),
        call: call(value("arch")?, value("syscall")?.parse().ok()?),
        answer: answer(u32::from_str_radix(value("code")?.strip_prefix("0x")?, 16).ok()?),
    })
}

fn name(word: &str) -> String {
    if let Some(name) = word.strip_prefix('"') {
        return name.strip_suffix('"').unwrap_or(name).to_owned();
    }
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = word.as_bytes().chunks(2).map(digits).collect();
    bytes.map_or_else(|| word.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn call(arch: &str, number: u32) -> String {
    /// `AUDIT_ARCH_X86_64`, `AUDIT_ARCH_AARCH64`.
    const NATIVE: &str = if cfg!(target_arch = "x86_64") { "c000003e" } else { "c00000b7" };
    let name = if arch == NATIVE { husk_sys::system_call_name(number) } else { None };
    name.map_or_else(|| format!("system call {number} of architecture {arch}"), str::to_owned)
}

fn answer(code: u32) -> String {
    let data = code & 0xffff;
    match code & 0xffff_0000 {
        0x8000_0000 => "the process was killed for it (SCMP_ACT_KILL_PROCESS)".to_owned(),
        0 => "the thread was killed for it (SCMP_ACT_KILL_THREAD)".to_owned(),
        0x0003_0000 => "it was answered with SIGSYS (SCMP_ACT_TRAP)".to_owned(),
        0x0005_0000 => {
            // Others are no errors to the kernel either.
            let known = i32::try_from(data).ok().filter(|data| (1..4096).contains(data));
            let errno = known.and_then(|known| husk_sys::errno_name(Errno::from_raw_os_error(known)));
            let errno = errno.map_or_else(|| format!("error {data}"), str::to_owned);
            format!("it was answered with {errno} (SCMP_ACT_ERRNO)")
        }
        0x7ffc_0000 => "it was let pass, and logged (SCMP_ACT_LOG)".to_owned(),
        0x7fc0_0000 => "an agent was asked (SCMP_ACT_NOTIFY)".to_owned(),
        0x7ff0_0000 => "a tracer was asked (SCMP_ACT_TRACE)".to_owned(),
        _ => format!("the filter said {code:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_kernels() {
        let arch = if cfg!(target_arch = "x86_64") { "c000003e syscall=83" } else { "c00000b7 syscall=34" };
        let record = |comm: &str, code: &str| {
            let text = format!(
                "5,1243,790060592,-;audit: type=1326 audit(1796005353.940:6): auid=4294967295 uid=0 gid=0 ses=4294967295 \
                 pid=17366 comm={comm} exe=\"/usr/bin/mkdir\" sig=0 arch={arch} compat=0 ip=0x7f3dc0ff1f37 code={code}\n"
            );
            parse(&text).expect("a call")
        };
        let call = record("\"mkdir\"", "0x7ffc0000");
        assert_eq!((call.pid, call.program.as_str()), (17366, "mkdir"));
        assert_eq!(call.when, Duration::from_micros(790_060_592));
        assert!(call.call.starts_with("mkdir") && call.answer.contains("logged"), "{call:?}");
        let told = record("\"a\u{1b}b\"", "0x50001").to_string();
        assert_eq!(
            told,
            "mkdirat by a\\u{1b}b (process 17366): it was answered with EPERM (SCMP_ACT_ERRNO)"
                .replace("mkdirat", &call.call)
        );
        assert_eq!(record("6D6B20646972", "0x50001").program, "mk dir");
        assert!(record("\"x\"", "0x50001").answer.contains("EPERM"));
        assert!(record("\"x\"", "0x50000").answer.contains("error 0"));
        assert!(record("\"x\"", "0x5ffff").answer.contains("error 65535"));
        assert!(record("\"x\"", "0x80000000").answer.contains("killed"));
        assert_eq!(parse("6,1,2,-;docker0: port 1 entered disabled state\n"), None);
        assert_eq!(parse("audit: type=1326"), None);
    }
}
